/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ReFeeder (spec 7.3): the usage of an application is the sum of what its containers used on
 * average over WINDOW_TIMELAPSE, that of a user the sum over its applications.
 */
#ifndef EBB_REFEEDER_H
#define EBB_REFEEDER_H

#include "aggregate.h"

/*
 * Takes the model's lock, in pieces. Containers that have no history yet get one and count from
 * the next run on. `now_ns`: CLOCK_MONOTONIC.
 */
int refeeder_run(struct model *model, const struct refeeder_config *config, uint64_t now_ns,
		 struct aggregate_result *ret_result);

#endif
