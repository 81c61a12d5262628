/* SPDX-License-Identifier: Apache-2.0 */
#include "events.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "ebb/cleanup.h"

#define FIRST_ROOM 4

static struct event_entry *entry(const struct events *events, unsigned i)
{
	return &events->entries[(events->first + i) % events->room];
}

void events_clear(struct events *events)
{
	free(events->entries);
	*events = (struct events){0};
}

void events_measured(struct events *events, double usage)
{
	/* With no event yet, what was before is not part of any evidence. */
	events->since_last = events->n > 0 ? MAX(events->since_last, (float)usage) : (float)usage;
}

static void drop_oldest(struct events *events)
{
	events->total -= entry(events, 0)->count;
	events->first = (uint8_t)((events->first + 1) % events->room);
	events->n--;
}

/* Room for one more. False: there is none at all. */
static bool make_room(struct events *events)
{
	unsigned room = events->room ? MIN(events->room * 2u, EVENT_ENTRIES) : FIRST_ROOM;
	struct event_entry *entries;

	if (events->n < events->room)
		return true;
	entries = room > events->room ? calloc(room, sizeof(*entries)) : NULL;
	if (!entries) {
		if (events->n > 0)
			drop_oldest(events);
		return events->room > 0;
	}
	for (unsigned i = 0; i < events->n; i++)
		entries[i] = *entry(events, i);
	free(events->entries);
	events->entries = entries;
	events->first = 0;
	events->room = (uint8_t)room;
	return true;
}

void events_add(struct events *events, uint32_t now_ms, unsigned count, double timeout)
{
	struct event_entry *newest = events->n ? entry(events, events->n - 1u) : NULL;

	count = MIN(count, UINT16_MAX);
	if (newest && (int32_t)(now_ms - newest->at_ms) * (EVENT_ENTRIES - 1.0) < timeout * 1000 &&
	    newest->count + count <= UINT16_MAX) {
		newest->count = (uint16_t)(newest->count + count);
		newest->peak = MAX(newest->peak, events->since_last);
	} else {
		if (!make_room(events))
			return;
		*entry(events, events->n++) = (struct event_entry){
			.at_ms = now_ms,
			.count = (uint16_t)count,
			.peak = events->since_last,
		};
	}
	events->total += count;
	events->since_last = 0;
}

void events_expire(struct events *events, uint32_t now_ms, double timeout)
{
	while (events->n > 0 && (int32_t)(now_ms - entry(events, 0)->at_ms) > timeout * 1000)
		drop_oldest(events);
	if (events->n == 0 && events->room) {
		free(events->entries);
		events->entries = NULL;
		events->first = events->room = 0;
	}
}

void events_span(const struct events *events, uint32_t now_ms, unsigned count, double *ret_peak,
		 double *ret_age)
{
	double peak = NAN;

	for (unsigned i = 0, seen = 0; i < events->n && seen < count; i++) {
		seen += entry(events, i)->count;
		peak = fmax(peak, entry(events, i)->peak);
	}
	if (count >= events->total && events->n > 0)
		peak = fmax(peak, events->since_last);
	*ret_peak = peak;
	*ret_age = events->n > 0 ? (int32_t)(now_ms - entry(events, 0)->at_ms) / 1000.0 : NAN;
}

void events_consume(struct events *events, unsigned count)
{
	while (count > 0 && events->n > 0) {
		uint16_t *oldest = &entry(events, 0)->count;

		if (*oldest > count) {
			*oldest = (uint16_t)(*oldest - count);
			events->total -= count;
			return;
		}
		count -= *oldest;
		drop_oldest(events);
	}
}
