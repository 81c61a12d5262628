/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is a rule one that can work? What rule_from_json() needs to run it is not all: its variables have
 * to exist, and its condition has to be one that can hold. Pure.
 */
#ifndef EBB_RULE_CHECK_H
#define EBB_RULE_CHECK_H

#include <jansson.h>

#include "rule.h"

/*
 * The whole document: its members by what it generates (spec 5.6), the operators and how many
 * arguments they take, the variables, and that its conditions do not exclude each other. -EINVAL
 * with `ret_error` (may be NULL; caller frees): "Rule NAME: rule.and[1].\">=\"[0].var: ...", the
 * place and the reason.
 */
int rule_check(const json_t *doc, char **ret_error);

/* What there can be of events at once. */
struct rule_reach {
	double event_timeout; /* s: older ones are forgotten */
	double period;        /* s from a container's sample to its next */
	/* That one sample can count, of this resource; 0: no active rule counts such */
	unsigned up, down;
};
/* Fills `up` and `down`. */
void rule_reach_count(const struct ruleset *ruleset, enum ebb_resource resource,
		      struct rule_reach *reach);
/*
 * Of one that rule_check() has nothing against: can there ever be as many events at once as it
 * needs and takes away? Only rules that generate requests need any. -EINVAL with `ret_error` as
 * above. What no rule counts at all is not looked at: the rule that does may be yet to come.
 */
int rule_check_reach(const json_t *doc, const struct rule_reach *reach, char **ret_error);

#endif
