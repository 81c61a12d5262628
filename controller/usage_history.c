/* SPDX-License-Identifier: Apache-2.0 */
#include "usage_history.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"

struct slice {
	float amount; /* usage times seconds */
	float seconds;
};

struct usage_history {
	struct usage_window window;
	uint64_t slice_ns;
	unsigned n_slices;     /* per resource */
	unsigned delay_slices; /* between the window and now */
	uint64_t newest;       /* number of the slice that is being filled */
	uint64_t first;        /* number of the one that was filled first; UINT64_MAX: none */
	struct slice slices[]; /* [resource][number % n_slices] */
};

static unsigned count(unsigned resources)
{
	return (unsigned)__builtin_popcount(resources);
}

struct usage_history *usage_history_new(const struct usage_window *window)
{
	double slice_s = window->length / USAGE_SLICES;
	unsigned delay_slices = (unsigned)lround(window->delay / slice_s);
	unsigned n_slices = USAGE_SLICES + delay_slices + 1;
	struct usage_history *history;

	history = calloc(1, sizeof(*history) +
				    n_slices * count(window->resources) * sizeof(struct slice));
	if (!history)
		return NULL;
	history->window = *window;
	history->slice_ns = (uint64_t)llround(slice_s * 1e9);
	history->n_slices = n_slices;
	history->delay_slices = delay_slices;
	history->first = UINT64_MAX;
	return history;
}

bool usage_history_fits(const struct usage_history *history, const struct usage_window *window)
{
	return history->window.length == window->length && history->window.delay == window->delay &&
	       history->window.resources == window->resources;
}

size_t usage_history_bytes(const struct usage_history *history)
{
	return sizeof(*history) +
	       history->n_slices * count(history->window.resources) * sizeof(struct slice);
}

static const struct slice *slices_of(const struct usage_history *history,
				     enum ebb_resource resource)
{
	unsigned before = history->window.resources & ((1u << resource) - 1);

	return &history->slices[count(before) * history->n_slices];
}

/* Empties what the ring says of times that are over. */
static void advance(struct usage_history *history, uint64_t number)
{
	uint64_t first = MAX(history->newest + 1,
			     number >= history->n_slices ? number - history->n_slices + 1 : 0);

	for (uint64_t i = first; i <= number; i++)
		for (unsigned r = 0; r < count(history->window.resources); r++)
			history->slices[r * history->n_slices + i % history->n_slices] =
				(struct slice){};
	history->newest = number;
}

void usage_history_add(struct usage_history *history, uint64_t now_ns,
		       const struct guard_sample *sample)
{
	uint64_t number = now_ns / history->slice_ns;

	if (!(sample->seconds > 0))
		return;
	if (number > history->newest)
		advance(history, number);
	if (history->first == UINT64_MAX)
		history->first = number;
	for (int r = 0; r < EBB_RESOURCE_MAX; r++) {
		struct slice *slice;

		if (!(history->window.resources & sample->valid & 1u << r) ||
		    !isfinite(sample->usage[r]))
			continue;
		slice = (struct slice *)&slices_of(history, r)[history->newest % history->n_slices];
		slice->amount += (float)(sample->usage[r] * sample->seconds);
		slice->seconds += (float)sample->seconds;
	}
}

bool usage_history_reaches_back(const struct usage_history *history, uint64_t now_ns)
{
	uint64_t now = now_ns / history->slice_ns;
	uint64_t reach = history->delay_slices + USAGE_SLICES;

	return history->first != UINT64_MAX && now >= reach && history->first <= now - reach;
}

double usage_history_mean(const struct usage_history *history, uint64_t now_ns,
			  enum ebb_resource resource)
{
	uint64_t now = now_ns / history->slice_ns, last, first;
	double amount = 0, seconds = 0;
	const struct slice *slices;

	if (!(history->window.resources & 1u << resource) || now < history->delay_slices)
		return NAN;
	slices = slices_of(history, resource);
	last = MIN(now - history->delay_slices, history->newest);
	first = now - history->delay_slices;
	first = first > USAGE_SLICES ? first - USAGE_SLICES : 0;
	/* Of what the ring does not hold any more nothing is known. */
	if (history->newest >= history->n_slices)
		first = MAX(first, history->newest - history->n_slices + 1);
	for (uint64_t i = first; i <= last; i++) {
		amount += (double)slices[i % history->n_slices].amount;
		seconds += (double)slices[i % history->n_slices].seconds;
	}
	return seconds > 0 ? amount / seconds : NAN;
}
