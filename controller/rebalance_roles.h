/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who has too much and who too little, of one resource at one level (spec 7.4). Pure; edge units.
 */
#ifndef EBB_REBALANCE_ROLES_H
#define EBB_REBALANCE_ROLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "jsonlogic.h"
#include "rebalance_config.h"
#include "ebb/units.h"

enum rebalance_role { REBALANCE_NEITHER, REBALANCE_DONOR, REBALANCE_RECEIVER };

/* One structure and what it has of one resource. Members of one domain may exchange it. */
struct rebalance_member {
	size_t node; /* the caller's */
	int64_t max, min, current;
	double usage;
	double weight;  /* 0: none */
	int64_t credit; /* it gave so much more than it got; < 0: it owes (rebalance_tracker.h) */
	bool stopped;   /* an application without containers: it needs nothing now */

	enum rebalance_role role;
	int64_t change; /* what is decided: < 0 it gives so much, > 0 it gets */
};

/* Does `max` move, not `current`? That of users, of applications, and of energy, whose `current` is
 * the power controller's. */
bool rebalance_moves_max(enum rebalance_level level, enum ebb_resource resource);
int64_t rebalance_value(const struct rebalance_member *member, bool moves_max);
/* How much more it may get; of a `max` there is no bound of its own. */
int64_t rebalance_room(const struct rebalance_member *member, bool moves_max);

/*
 * By thresholds, with d = `diff`. `max` moves: a donor leaves more than d * max unused, a receiver
 * less. `current` moves: a receiver has less than d * current left and room up to its max; a donor
 * is within d * max of its max and no receiver.
 */
enum rebalance_role rebalance_role_by_thresholds(const struct rebalance_member *member,
						 bool moves_max, double diff);
/*
 * By the rules `low` (donor) and `high` (receiver) over `numbers` (RULE_VARIABLES of rule.h); NULL:
 * there is no such rule. Who is both needs more rather than less.
 */
enum rebalance_role rebalance_role_by_rules(const struct rebalance_member *member, bool moves_max,
					    const struct jsonlogic *low,
					    const struct jsonlogic *high,
					    const struct jsonlogic_numbers *numbers);

/*
 * What a donor gives in one round: the share `stolen` of what is above both its usage and its min;
 * all of it when it is stopped. Of a `max` at least 1 where there is 1.
 */
int64_t rebalance_offer(const struct rebalance_member *member, bool moves_max, double stolen);

/* Which of two receivers is served first: < 0 the first one. The one that uses most of its `max`,
 * or has the lowest `current`. */
int rebalance_compare_need(const struct rebalance_member *a, const struct rebalance_member *b,
			   bool moves_max);

#endif
