/* SPDX-License-Identifier: Apache-2.0 */
/* From a snapshot to the swaps of one epoch, of all levels (spec 7.4). Pure. */
#ifndef EBB_REBALANCE_DECIDE_H
#define EBB_REBALANCE_DECIDE_H

#include "jsonlogic.h"
#include "rebalance_snapshot.h"

/* The rules of one level and resource; NULL: there is none that is active. */
struct rebalance_rule {
	struct jsonlogic *low, *high; /* donors, receivers */
	char high_name[64];
};
struct rebalance_rules {
	struct rebalance_rule of[REBALANCE_LEVEL_MAX][EBB_RESOURCE_MAX];
};
/*
 * `LEVEL_RESOURCE_usage_low` and `_high`, or else `RESOURCE_usage_low` and `_high`, out of rule
 * documents by name; NULL where that is not `active`.
 */
void rebalance_rules_load(const json_t *docs, struct rebalance_rules *ret_rules);
void rebalance_rules_clear(struct rebalance_rules *rules);

struct rebalance_swap {
	enum rebalance_level level;
	size_t k; /* of snapshot->resources */
	size_t donor, receiver;
	int64_t amount;
};

struct rebalance_decision {
	struct rebalance_swap *swaps; /* users' first, then applications', then containers' */
	size_t n, room;
	size_t donors, receivers; /* found, whether anything was left for them or not */
};
/* Lays what is decided over the snapshot. -ENOMEM. */
int rebalance_decide(const struct rebalance_config *config, const struct rebalance_rules *rules,
		     struct rebalance_snapshot *snapshot, struct rebalance_decision *ret_decision);
void rebalance_decision_clear(struct rebalance_decision *decision);

#endif
