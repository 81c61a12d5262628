/* SPDX-License-Identifier: Apache-2.0 */
/* From two readings of the kernel's counters to usage in edge units. Pure. */
#ifndef EBB_FEED_RATES_H
#define EBB_FEED_RATES_H

#include <stdbool.h>

#include "feed_message.h"
#include "guardian.h"

/*
 * False when no time has passed or a counter ran backwards (the cgroup was made anew): `now` is
 * then a new start. CFS counters are the kernel's 32-bit ints and may wrap. Memory is the working
 * set where the host has it, else what is charged. `throttled` is 0 while no period has ended.
 */
bool feed_rates(const struct feed_sample *before, const struct feed_sample *now,
		struct guard_sample *ret_sample);

#endif
