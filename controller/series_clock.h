/* SPDX-License-Identifier: Apache-2.0 */
/* When something that runs at the whole multiples of a period is due. Pure; wall clock, seconds. */
#ifndef EBB_SERIES_CLOCK_H
#define EBB_SERIES_CLOCK_H

#include <stdbool.h>

struct series_clock {
	double period; /* 0: not set yet */
	double due;
};

/*
 * True when it is to run now; *ret_at: the multiple that it runs for. What was missed is not made
 * up for. A new period, and a clock that was set back, count from the next multiple on.
 */
bool series_clock_strikes(struct series_clock *clock, double period, double now, double *ret_at);

#endif
