/* SPDX-License-Identifier: Apache-2.0 */
/* Shares by weight among the containers of a host that use theirs (spec 7.4). Pure. */
#ifndef EBB_REBALANCE_WEIGHTS_H
#define EBB_REBALANCE_WEIGHTS_H

#include "rebalance_roles.h"

/* Is its usage within `diff` of what it may use? (The original asks the other way round.) */
bool rebalance_consumes(const struct rebalance_member *member, bool moves_max, double diff);

/*
 * Sets `change` of all members, which are of one domain: what those have together that consume and
 * have a weight is shared out anew by their weights; what one cannot take (above its max, or what
 * another needs for its min) goes to the others by their weights. The changes add up to 0; those of
 * the rest are 0. O(n log n). -ENOMEM.
 */
int rebalance_weigh(struct rebalance_member *members, size_t n, bool moves_max, double diff);

#endif
