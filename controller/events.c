/* SPDX-License-Identifier: Apache-2.0 */
#include "events.h"

#include <math.h>

#include "ebb/cleanup.h"

static unsigned entry(const struct events *events, unsigned i)
{
	return (events->first + i) % EVENT_ENTRIES;
}

void events_clear(struct events *events)
{
	events->first = events->n = 0;
	events->total = 0;
	events->since_last = 0;
}

void events_measured(struct events *events, double usage)
{
	/* With no event yet, what was before is not part of any evidence. */
	events->since_last = events->n > 0 ? MAX(events->since_last, (float)usage) : (float)usage;
}

static void drop_oldest(struct events *events)
{
	events->total -= events->count[events->first];
	events->first = (uint8_t)entry(events, 1);
	events->n--;
}

void events_add(struct events *events, uint32_t now_ms, unsigned count, double timeout)
{
	unsigned newest = entry(events, events->n + EVENT_ENTRIES - 1u);

	count = MIN(count, UINT16_MAX);
	if (events->n > 0 &&
	    (int32_t)(now_ms - events->at_ms[newest]) * (EVENT_ENTRIES - 1.0) < timeout * 1000 &&
	    events->count[newest] + count <= UINT16_MAX) {
		events->count[newest] = (uint16_t)(events->count[newest] + count);
		events->peak[newest] = MAX(events->peak[newest], events->since_last);
	} else {
		if (events->n == EVENT_ENTRIES)
			drop_oldest(events);
		newest = entry(events, events->n++);
		events->at_ms[newest] = now_ms;
		events->count[newest] = (uint16_t)count;
		events->peak[newest] = events->since_last;
	}
	events->total += count;
	events->since_last = 0;
}

void events_expire(struct events *events, uint32_t now_ms, double timeout)
{
	while (events->n > 0 && (int32_t)(now_ms - events->at_ms[events->first]) > timeout * 1000)
		drop_oldest(events);
}

void events_span(const struct events *events, uint32_t now_ms, unsigned count, double *ret_peak,
		 double *ret_age)
{
	double peak = NAN;

	for (unsigned i = 0, seen = 0; i < events->n && seen < count; i++) {
		seen += events->count[entry(events, i)];
		peak = fmax(peak, events->peak[entry(events, i)]);
	}
	if (count >= events->total && events->n > 0)
		peak = fmax(peak, events->since_last);
	*ret_peak = peak;
	*ret_age = events->n > 0 ? (int32_t)(now_ms - events->at_ms[events->first]) / 1000.0 : NAN;
}

void events_consume(struct events *events, unsigned count)
{
	while (count > 0 && events->n > 0) {
		uint16_t *oldest = &events->count[events->first];

		if (*oldest > count) {
			*oldest = (uint16_t)(*oldest - count);
			events->total -= count;
			return;
		}
		count -= *oldest;
		drop_oldest(events);
	}
}
