// SPDX-License-Identifier: Apache-2.0
#include "rebalance_pairs.h"

#include <errno.h>
#include <stdlib.h>

#include "amount_heap.h"
#include "ebb/cleanup.h"

/* Per member of the domain, at least so many in all: then slices get larger. */
#define SLICES_MAX 65536

struct deal {
	struct rebalance_member *members;
	bool moves_max;
	int64_t slice;
	size_t *donors, *receivers; /* indices; donors with whole slices, receivers with room */
	size_t n_donors, n_receivers;
	int64_t *whole; /* slices that members[donors[i]] still has */
	/* Smaller than a slice: what is left over at the end of an offer, or by a receiver that
	 * was nearly full. */
	struct amount_heap pieces;
};

static int compare_receivers(const void *a, const void *b, void *userdata)
{
	const struct deal *deal = userdata;
	size_t x = *(const size_t *)a, y = *(const size_t *)b;
	int order = rebalance_compare_need(&deal->members[x], &deal->members[y], deal->moves_max);

	return order ? order : (x > y) - (x < y);
}

/* Returns false when there is none. */
static bool next_slice(struct deal *deal, struct amount_of *ret_slice)
{
	if (deal->n_donors > 0) {
		size_t last = deal->n_donors - 1;

		*ret_slice = (struct amount_of){deal->slice, deal->donors[last]};
		if (--deal->whole[last] == 0)
			deal->n_donors--;
		return true;
	}
	if (deal->pieces.n == 0)
		return false;
	*ret_slice = amount_heap_pop(&deal->pieces);
	return true;
}

static void deal_out(struct deal *deal)
{
	struct amount_of slice;
	size_t n = deal->n_receivers;

	/* Round after round; those that are full drop out, the others keep their order. */
	while (n > 0) {
		size_t kept = 0;

		for (size_t i = 0; i < n; i++) {
			struct rebalance_member *receiver = &deal->members[deal->receivers[i]];
			int64_t room = rebalance_room(receiver, deal->moves_max) - receiver->change;
			int64_t taken;

			if (!next_slice(deal, &slice))
				return;
			taken = MIN(slice.amount, room);
			receiver->change += taken;
			deal->members[slice.owner].change -= taken;
			if (slice.amount > taken)
				amount_heap_push(&deal->pieces, slice.amount - taken, slice.owner);
			if (room > taken)
				deal->receivers[kept++] = deal->receivers[i];
		}
		n = kept;
	}
}

int rebalance_deal(struct rebalance_member *members, size_t n, bool moves_max, double stolen,
		   int64_t slice)
{
	_cleanup_free_ size_t *donors = calloc(n + 1, sizeof(*donors));
	_cleanup_free_ size_t *receivers = calloc(n + 1, sizeof(*receivers));
	_cleanup_free_ int64_t *whole = calloc(n + 1, sizeof(*whole));
	/* One piece of each offer, and one by each receiver. */
	_cleanup_free_ struct amount_of *pieces = calloc(n + 1, sizeof(*pieces));
	struct deal deal = {
		.members = members,
		.moves_max = moves_max,
		.donors = donors,
		.receivers = receivers,
		.whole = whole,
		.pieces = {.items = pieces},
	};
	int64_t total = 0;

	if (!donors || !receivers || !whole || !pieces)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		members[i].change = 0;
		if (members[i].role == REBALANCE_RECEIVER &&
		    rebalance_room(&members[i], moves_max) > 0)
			receivers[deal.n_receivers++] = i;
		if (members[i].role == REBALANCE_DONOR)
			total += rebalance_offer(&members[i], moves_max, stolen);
	}
	if (deal.n_receivers == 0 || total == 0)
		return 0;
	deal.slice = slice;
	if (total / slice > SLICES_MAX + (int64_t)n)
		deal.slice *= total / slice / (SLICES_MAX + (int64_t)n) + 1;
	for (size_t i = 0; i < n; i++) {
		int64_t offer = members[i].role == REBALANCE_DONOR
					? rebalance_offer(&members[i], moves_max, stolen)
					: 0;

		if (offer >= deal.slice) {
			whole[deal.n_donors] = offer / deal.slice;
			donors[deal.n_donors++] = i;
		}
		if (offer % deal.slice > 0)
			amount_heap_push(&deal.pieces, offer % deal.slice, i);
	}
	qsort_r(receivers, deal.n_receivers, sizeof(*receivers), compare_receivers, &deal);
	deal_out(&deal);
	return 0;
}

int rebalance_match(const struct rebalance_member *members, size_t n, struct rebalance_pair *pairs,
		    size_t *ret_n_pairs)
{
	_cleanup_free_ struct amount_of *items = calloc(2 * n + 1, sizeof(*items));
	struct amount_heap givers = {.items = items}, getters = {.items = items + n};
	size_t n_pairs = 0;

	if (!items)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		if (members[i].change < 0)
			amount_heap_push(&givers, -members[i].change, i);
		else if (members[i].change > 0)
			amount_heap_push(&getters, members[i].change, i);
	}
	while (givers.n > 0 && getters.n > 0) {
		struct amount_of giver = amount_heap_pop(&givers);
		struct amount_of getter = amount_heap_pop(&getters);
		int64_t amount = MIN(giver.amount, getter.amount);

		pairs[n_pairs++] = (struct rebalance_pair){
			.donor = giver.owner,
			.receiver = getter.owner,
			.amount = amount,
		};
		if (giver.amount > amount)
			amount_heap_push(&givers, giver.amount - amount, giver.owner);
		if (getter.amount > amount)
			amount_heap_push(&getters, getter.amount - amount, getter.owner);
	}
	*ret_n_pairs = n_pairs;
	return 0;
}
