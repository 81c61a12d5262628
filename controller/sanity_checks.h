/* SPDX-License-Identifier: Apache-2.0 */
/* The checks of the Sanity Checker, of one thing each; with the model's lock held, but for rules.
 */
#ifndef EBB_SANITY_CHECKS_H
#define EBB_SANITY_CHECKS_H

#include "model.h"
#include "rule_check.h"
#include "sanity_findings.h"

/* The cpuset that was last reported against the core map. True: `current` and the cores of the map
 * are to be ordered again (model_apply()). */
bool sanity_check_cores(struct model *model, struct structure *container,
			struct sanity_findings *findings);
/* Ranges, limits in force, boundaries, and shares that were set aside. */
void sanity_check_limits(const struct structure *structure, struct sanity_findings *findings);
/* Sums and core map of a host. */
void sanity_check_host(const struct host *host, struct sanity_findings *findings);
/* The list of an application or a user, and what its members may be against what it may be. */
void sanity_check_members(const struct structure *parent, struct sanity_findings *findings);

/* What rules there are, copied: they are looked at without the lock. */
struct sanity_rules {
	json_t *docs; /* name -> document */
	struct rule_reach reach[EBB_RESOURCE_MAX];
	struct rule_reach late[EBB_RESOURCE_MAX]; /* of hosts that are fed from OpenTSDB */
	bool any_late;
};
/* -ENOMEM. Caller clears. */
int sanity_rules_copy(struct model *model, struct sanity_rules *ret_rules);
void sanity_rules_clear(struct sanity_rules *rules);
void sanity_check_rules(const struct sanity_rules *rules, struct sanity_findings *findings);

#endif
