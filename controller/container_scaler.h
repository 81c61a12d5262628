/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hosts without an agent, seen through the Container Scaler that runs there (spec section 4): which
 * of their containers are there and what limits are in force, read in turn. What the agents' feed
 * tells of other hosts. A thread of its own; asks all hosts at once, waits for none.
 */
#ifndef EBB_CONTROLLER_CONTAINER_SCALER_H
#define EBB_CONTROLLER_CONTAINER_SCALER_H

#include <jansson.h>

#include "model.h"
#include "scaler.h"

/*
 * Pure: the limits of one container as it answers them, in the form of the feed's `limits`
 * (docs/feed.md). A CPU quota that is not set counts as the cores it may run on, when these are
 * fewer than the host's `host_shares`. What it does not tell is left out. New reference; NULL on no
 * memory.
 */
json_t *container_scaler_limits(const json_t *resources, int64_t host_shares);

struct container_scalers;
/* Borrows model and scaler. */
int container_scalers_new(struct model *model, struct scaler *scaler,
			  struct container_scalers **ret_scalers);
void container_scalers_free(struct container_scalers *scalers);

struct container_scalers_stats {
	unsigned hosts, containers; /* agentless ones, heard */
	unsigned long polls, failures;
};
void container_scalers_get_stats(struct container_scalers *scalers,
				 struct container_scalers_stats *ret_stats);

#endif
