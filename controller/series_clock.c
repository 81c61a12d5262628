/* SPDX-License-Identifier: Apache-2.0 */
#include "series_clock.h"

#include <math.h>

/* A multiple of 0.1 s is none in binary: a hair before it is it. */
#define HAIR_S 1e-6

static double last_multiple(double period, double now)
{
	return floor((now + HAIR_S) / period) * period;
}

bool series_clock_strikes(struct series_clock *clock, double period, double now, double *ret_at)
{
	if (clock->period != period || clock->due - now > period + HAIR_S) {
		clock->period = period;
		clock->due = last_multiple(period, now) + period;
	}
	if (now + HAIR_S < clock->due)
		return false;
	*ret_at = last_multiple(period, now);
	clock->due = *ret_at + period;
	return true;
}
