/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pressure of the guarded containers (cgroup v2 with PSI), read a few at a time beside the
 * sampling: each about every five seconds, into struct container.
 */
#ifndef EBB_PRESSURE_LANE_H
#define EBB_PRESSURE_LANE_H

#include "container.h"
#include "ebb/loop.h"

struct pressure_lane;

/* NULL in *ret_lane and 0: no hierarchy here has any. Both are borrowed. */
int pressure_lane_new(struct loop *loop, const struct hierarchies *hierarchies,
		      struct container_table *table, struct pressure_lane **ret_lane);
void pressure_lane_free(struct pressure_lane *lane);

/* Reads one container's now: at once for tests, otherwise from the lane's timer. */
void pressure_lane_read(const struct hierarchies *hierarchies, struct container *container);

#endif
