// SPDX-License-Identifier: Apache-2.0
#include "rebalance_weights.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "ebb/cleanup.h"

/* Halvings: a double has no more to give. */
#define HALVINGS 100

struct share {
	struct rebalance_member *member;
	double weight;
	int64_t least, most, share;
	double rest; /* what rounding down took off */
};

bool rebalance_consumes(const struct rebalance_member *member, bool moves_max, double diff)
{
	double value = (double)rebalance_value(member, moves_max);

	return value > 0 && member->usage >= (1 - diff) * value;
}

static double bounded(const struct share *share, double per_weight)
{
	return CLAMP(per_weight * share->weight, (double)share->least, (double)share->most);
}

/* What one unit of weight is worth when all bounds are kept: at most `total` is given then. */
static double worth(const struct share *shares, size_t n, double total)
{
	double low = 0, high = 0;

	for (size_t i = 0; i < n; i++)
		high = fmax(high, total / shares[i].weight);
	for (int step = 0; step < HALVINGS; step++) {
		double middle = low + (high - low) / 2, sum = 0;

		for (size_t i = 0; i < n; i++)
			sum += bounded(&shares[i], middle);
		if (sum <= total)
			low = middle;
		else
			high = middle;
	}
	return low;
}

static int by_rest(const void *a, const void *b)
{
	const struct share *x = a, *y = b;

	if (x->rest != y->rest)
		return x->rest < y->rest ? 1 : -1;
	return (x->member > y->member) - (x->member < y->member);
}

static void share_out(struct share *shares, size_t n, int64_t total)
{
	double per_weight = worth(shares, n, (double)total);
	int64_t left = total;
	bool more = true;

	for (size_t i = 0; i < n; i++) {
		double share = bounded(&shares[i], per_weight);

		shares[i].share = (int64_t)share;
		shares[i].rest = share - (double)shares[i].share;
		left -= shares[i].share;
	}
	/* What rounding left, one by one to those that it took most from. */
	qsort(shares, n, sizeof(*shares), by_rest);
	while (left > 0 && more) {
		more = false;
		for (size_t i = 0; i < n && left > 0; i++) {
			if (shares[i].share >= shares[i].most)
				continue;
			shares[i].share++;
			left--;
			more = true;
		}
	}
}

int rebalance_weigh(struct rebalance_member *members, size_t n, bool moves_max, double diff)
{
	_cleanup_free_ struct share *shares = calloc(n + 1, sizeof(*shares));
	size_t n_shares = 0;
	int64_t total = 0;

	if (!shares)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct rebalance_member *m = &members[i];
		int64_t value = rebalance_value(m, moves_max);

		m->change = 0;
		if (!(m->weight > 0) || !isfinite(m->weight) ||
		    !rebalance_consumes(m, moves_max, diff))
			continue;
		shares[n_shares++] = (struct share){
			.member = m,
			.weight = m->weight,
			/* One that is out of its range already is not driven further. */
			.least = MIN(m->min, value),
			.most = moves_max ? INT64_MAX : MAX(m->max, value),
		};
		total += value;
	}
	if (n_shares < 2)
		return 0;
	/* Nobody can get more than there is. */
	for (size_t i = 0; i < n_shares; i++)
		shares[i].most = MIN(shares[i].most, total);
	share_out(shares, n_shares, total);
	for (size_t i = 0; i < n_shares; i++)
		shares[i].member->change =
			shares[i].share - rebalance_value(shares[i].member, moves_max);
	return 0;
}
