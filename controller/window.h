/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was measured of one resource lately: a ring of slots. A slot is one sample when the window
 * is short and several when it is long, so that any length of window fits. Pure.
 */
#ifndef EBB_WINDOW_H
#define EBB_WINDOW_H

#include <stdint.h>

#define WINDOW_SLOTS 15

struct window_slot {
	uint32_t end_ms;  /* when its last sample ended; wraps */
	float seconds;    /* it covers */
	float usage;      /* mean */
	float peak, last; /* highest and newest sample */
	float throttled;  /* share of periods, mean; NAN: unknown */
};

struct window {
	struct window_slot slots[WINDOW_SLOTS];
	uint8_t first, n;
};

struct window_stats {
	double usage;     /* mean; NAN: nothing measured */
	double before;    /* mean without the newest; NAN: nothing else measured */
	double peak;      /* highest sample */
	double throttled; /* mean share of throttled periods; NAN: unknown */
	double growth;    /* change per second that both halves show; NAN: fewer than two slots */
};

void window_clear(struct window *window);
/* `reach`: seconds that will be asked about, delay included; decides how coarse a slot is. */
void window_add(struct window *window, uint32_t end_ms, double seconds, double usage,
		double throttled, double reach);
/* Over the slots that ended within `length` seconds before `now` - `delay`. */
struct window_stats window_stats(const struct window *window, uint32_t now_ms, double length,
				 double delay);

#endif
