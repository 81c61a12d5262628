/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Sanity Checker (spec 1.9, 6.3): looks for what cannot be: core maps and cgroups that differ,
 * sums that do not add up, rules that can never fire. What can be repaired is; all of it is told.
 */
#ifndef EBB_SANITY_H
#define EBB_SANITY_H

#include "model.h"
#include "scaler.h"

enum sanity_check {
	SANITY_CORE_MAP,   /* cores of a cgroup against the host's map; repaired by an order */
	SANITY_ACCOUNTING, /* free = max - allocated, every core 100, limits within min..max */
	SANITY_RULE,       /* a rule that can never fire */
	SANITY_MEMBERSHIP, /* lists that name what is not there, or the same twice */
	SANITY_CHECK_MAX
};
const char *sanity_check_name(enum sanity_check check); /* "core_map", … */

struct sanity;
/* Borrows both. */
int sanity_new(struct model *model, struct scaler *scaler, struct sanity **ret_sanity);
void sanity_free(struct sanity *sanity);
/* Once every DELAY seconds of its service's document; takes the lock itself, in pieces. */
int sanity_epoch(struct sanity *sanity, double now);
/*
 * [{"check", "structure", "resource", "message", "since", "repaired"}], at most 1,000. For GET
 * /sanity, `ebb doctor` and the metrics. New reference.
 */
json_t *sanity_findings(struct sanity *sanity);
void sanity_count(struct sanity *sanity, size_t ret_counts[SANITY_CHECK_MAX]);

#endif
