/* SPDX-License-Identifier: Apache-2.0 */
/* The typed form of the services document `rebalancer` (spec 1.8). Pure. */
#ifndef EBB_REBALANCE_CONFIG_H
#define EBB_REBALANCE_CONFIG_H

#include <jansson.h>
#include <stdbool.h>

#include "ebb/units.h"

/* From the top: in this order they are balanced. */
enum rebalance_level {
	REBALANCE_USER,
	REBALANCE_APPLICATION,
	REBALANCE_CONTAINER,
	REBALANCE_LEVEL_MAX
};
/* "user", "application", "container" */
const char *rebalance_level_name(enum rebalance_level level);

struct rebalance_config {
	bool active, debug;
	double window_timelapse; /* s: period, and length of the window that usage is averaged over
				  */
	double window_delay;     /* s: the window ends this long ago */
	double diff, stolen;     /* DIFF_PERCENTAGE, STOLEN_PERCENTAGE: 0..1 */
	unsigned resources;      /* RESOURCES_BALANCED, 1 << enum ebb_resource */
	unsigned levels;         /* STRUCTURES_BALANCED, 1 << enum rebalance_level */
	bool host_scope;         /* CONTAINERS_SCOPE: among all of a host, not of an application */
	bool by_thresholds;      /* BALANCING_POLICY: not by rules */
	bool by_weights;         /* BALANCING_METHOD: containers; not by pair swapping */
	bool compensate;
	bool only_running;
};

/*
 * Over the defaults; `config` may be NULL. -EINVAL with `ret_error` (caller frees) for a value that
 * cannot be, or values that do not go together.
 */
int rebalance_config_from_json(const json_t *config, struct rebalance_config *ret_config,
			       char **ret_error);

#endif
