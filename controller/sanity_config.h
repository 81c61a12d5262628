/* SPDX-License-Identifier: Apache-2.0 */
/* The typed form of the service document `sanity_checker` (spec 1.9). Times in seconds. Pure. */
#ifndef EBB_SANITY_CONFIG_H
#define EBB_SANITY_CONFIG_H

#include <jansson.h>
#include <stdbool.h>

struct sanity_config {
	bool active, debug;
	double delay, polling_frequency; /* an epoch begins every `delay` + `polling_frequency` */
	unsigned databases;              /* 1 << enum store_db: compacted after each epoch */
};

/* `config` NULL: the defaults. -EINVAL with `ret_error` (caller frees) for a value that cannot be.
 */
int sanity_config_from_json(const json_t *config, struct sanity_config *ret_config,
			    char **ret_error);

#endif
