/* SPDX-License-Identifier: Apache-2.0 */
#include "window.h"

#include <math.h>

#include "ebb/cleanup.h"

void window_clear(struct window *window)
{
	window->first = window->n = 0;
}

static const struct window_slot *slot_at(const struct window *window, unsigned i)
{
	return &window->slots[(window->first + i) % WINDOW_SLOTS];
}

void window_add(struct window *window, uint32_t end_ms, double seconds, double usage,
		double throttled, double reach)
{
	struct window_slot *slot;

	/* Slots just wide enough for the ring to span `reach`, with some to spare for jitter. */
	if (window->n > 0) {
		slot = (struct window_slot *)slot_at(window, window->n - 1u);
		if ((slot->seconds + seconds) * (WINDOW_SLOTS - 3) <= reach) {
			double whole = slot->seconds + seconds;

			slot->usage =
				(float)((slot->usage * slot->seconds + usage * seconds) / whole);
			if (isnan(slot->throttled))
				slot->throttled = (float)throttled;
			else if (!isnan(throttled))
				slot->throttled = (float)((slot->throttled * slot->seconds +
							   throttled * seconds) /
							  whole);
			slot->end_ms = end_ms;
			slot->seconds = (float)whole;
			slot->peak = MAX(slot->peak, (float)usage);
			slot->last = (float)usage;
			return;
		}
	}

	if (window->n == WINDOW_SLOTS)
		window->first = (window->first + 1) % WINDOW_SLOTS;
	else
		window->n++;
	slot = (struct window_slot *)slot_at(window, window->n - 1u);
	*slot = (struct window_slot){
		.end_ms = end_ms,
		.seconds = (float)seconds,
		.usage = (float)usage,
		.peak = (float)usage,
		.last = (float)usage,
		.throttled = (float)throttled,
	};
}

static double slope(const struct window_slot *from, const struct window_slot *to)
{
	double seconds = (int32_t)(to->end_ms - from->end_ms) / 1000.0;

	return seconds > 0 ? ((double)to->last - from->last) / seconds : 0;
}

/* What both halves share: a single jump is no growth. */
static double steady_growth(const struct window_slot *oldest, const struct window_slot *middle,
			    const struct window_slot *newest)
{
	double early, late;

	if (middle == newest || middle == oldest)
		return slope(oldest, newest);
	early = slope(oldest, middle);
	late = slope(middle, newest);
	if (early > 0 && late > 0)
		return MIN(early, late);
	if (early < 0 && late < 0)
		return MAX(early, late);
	return 0;
}

struct window_stats window_stats(const struct window *window, uint32_t now_ms, double length,
				 double delay)
{
	struct window_stats stats = {NAN, NAN, NAN, NAN, NAN};
	const struct window_slot *newest = NULL, *oldest = NULL;
	unsigned first = 0, n = 0;
	double seconds = 0, sum = 0, throttled_seconds = 0, throttled_sum = 0;
	int64_t from = (int64_t)lround((delay + length) * 1000), to = (int64_t)lround(delay * 1000);

	for (unsigned i = window->n; i-- > 0;) {
		const struct window_slot *slot = slot_at(window, i);
		int64_t age = (int32_t)(now_ms - slot->end_ms);

		if (age >= from)
			break;
		if (age < to)
			continue;
		if (!newest)
			newest = slot;
		oldest = slot;
		first = i;
		n++;
		seconds += slot->seconds;
		sum += (double)slot->usage * slot->seconds;
		if (!(stats.peak >= slot->peak))
			stats.peak = slot->peak;
		if (!isnan(slot->throttled)) {
			throttled_seconds += slot->seconds;
			throttled_sum += (double)slot->throttled * slot->seconds;
		}
	}
	if (seconds > 0)
		stats.usage = sum / seconds;
	if (throttled_seconds > 0)
		stats.throttled = throttled_sum / throttled_seconds;
	if (n > 1) {
		stats.before = (sum - (double)newest->usage * newest->seconds) /
			       (seconds - newest->seconds);
		stats.growth = steady_growth(oldest, slot_at(window, first + n / 2), newest);
	}
	return stats;
}
