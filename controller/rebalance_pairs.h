/* SPDX-License-Identifier: Apache-2.0 */
/* From donors and receivers of one domain to swaps (spec 7.4). Pure. */
#ifndef EBB_REBALANCE_PAIRS_H
#define EBB_REBALANCE_PAIRS_H

#include "rebalance_roles.h"

/*
 * Sets `change` of all members, which are of one domain: what each donor offers is cut into slices,
 * the largest are dealt out first, one to each receiver and round after round, the neediest first;
 * one that is full leaves. What nobody takes stays with its donor. The changes add up to 0.
 * O((n + slices) log n). -ENOMEM.
 */
int rebalance_deal(struct rebalance_member *members, size_t n, bool moves_max, double stolen,
		   int64_t slice);

struct rebalance_pair {
	size_t donor, receiver; /* of `members` */
	int64_t amount;         /* > 0 */
};

/*
 * As few swaps as bring the changes about: again and again the one who gives most and the one who
 * gets most. Fewer than there are givers and getters. `pairs` has room for n; their number is
 * returned. -ENOMEM.
 */
int rebalance_match(const struct rebalance_member *members, size_t n, struct rebalance_pair *pairs,
		    size_t *ret_n_pairs);

#endif
