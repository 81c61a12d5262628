/* SPDX-License-Identifier: Apache-2.0 */
/* Whose time decisions are made by: the machine's, or that of a simulation. */
#ifndef EBB_TIMEBASE_H
#define EBB_TIMEBASE_H

#include <stdint.h>

struct timebase {
	double (*wall)(void *userdata); /* seconds since 1970 */
	uint64_t (*now_ns)(void *userdata);
	void *userdata;
};

/* CLOCK_REALTIME and CLOCK_MONOTONIC. */
extern const struct timebase timebase_system;

static inline double timebase_wall(const struct timebase *timebase)
{
	return timebase->wall(timebase->userdata);
}
static inline uint64_t timebase_now_ns(const struct timebase *timebase)
{
	return timebase->now_ns(timebase->userdata);
}

#endif
