/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files that load a scenario. -EINVAL: `ret_error` says what is wrong where. */
#ifndef EBB_SCENARIO_PRIVATE_H
#define EBB_SCENARIO_PRIVATE_H

#include "simulation_private.h"

/* Until the year 2286, so that nanoseconds fit. */
#define SECONDS_MAX 1e10

/* --- members --- */

/* "LIST[INDEX].MEMBER: EXPECTED"; -EINVAL. */
int scenario_member_fail(char **ret_error, const char *list, size_t index, const char *member,
			 const char *expected);
/* Borrowed; NULL: there is none, or it is null. All that is in it are objects. */
int scenario_list(const json_t *scenario, const char *name, json_t **ret_list, char **ret_error);
int scenario_seconds(const json_t *object, const char *list, size_t index, const char *member,
		     double *ret_seconds, char **ret_error);
/* What nobody expects is a slip of the hand: it would be a scenario that says something else. */
int scenario_check_members(const json_t *object, const char *where, const char *const *known,
			   size_t n, char **ret_error);

/* --- scenario_site.c, in this order --- */

int scenario_load_documents(struct simulation *sim, char **ret_error);
int scenario_load_limits(struct simulation *sim, char **ret_error);
int scenario_load_rules(struct simulation *sim, char **ret_error);
int scenario_load_services(struct simulation *sim, char **ret_error);
int scenario_load_hosts(struct simulation *sim, char **ret_error);

/* --- scenario_inputs.c, when the site is there --- */

int scenario_load_usages(struct simulation *sim, char **ret_error);
int scenario_load_requests(struct simulation *sim, char **ret_error);

#endif
