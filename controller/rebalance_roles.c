// SPDX-License-Identifier: Apache-2.0
#include "rebalance_roles.h"

#include <math.h>

#include "ebb/cleanup.h"

bool rebalance_moves_max(enum rebalance_level level, enum ebb_resource resource)
{
	return level != REBALANCE_CONTAINER || resource == EBB_ENERGY;
}

int64_t rebalance_value(const struct rebalance_member *member, bool moves_max)
{
	return moves_max ? member->max : member->current;
}

int64_t rebalance_room(const struct rebalance_member *member, bool moves_max)
{
	return moves_max ? INT64_MAX : MAX(member->max - member->current, 0);
}

enum rebalance_role rebalance_role_by_thresholds(const struct rebalance_member *member,
						 bool moves_max, double diff)
{
	double max = (double)member->max, current = (double)member->current;
	double unused = max - member->usage;

	if (moves_max) {
		if (unused > diff * max)
			return REBALANCE_DONOR;
		return unused < diff * max ? REBALANCE_RECEIVER : REBALANCE_NEITHER;
	}
	if (current - member->usage < diff * current && rebalance_room(member, false) > 0)
		return REBALANCE_RECEIVER;
	return max - current < diff * max ? REBALANCE_DONOR : REBALANCE_NEITHER;
}

enum rebalance_role rebalance_role_by_rules(const struct rebalance_member *member, bool moves_max,
					    const struct jsonlogic *low,
					    const struct jsonlogic *high,
					    const struct jsonlogic_numbers *numbers)
{
	if (high && rebalance_room(member, moves_max) > 0 && jsonlogic_test(high, numbers))
		return REBALANCE_RECEIVER;
	return low && jsonlogic_test(low, numbers) ? REBALANCE_DONOR : REBALANCE_NEITHER;
}

int64_t rebalance_offer(const struct rebalance_member *member, bool moves_max, double stolen)
{
	double value = (double)rebalance_value(member, moves_max), amount;
	int64_t above_min = rebalance_value(member, moves_max) - member->min;

	/* Of a stopped one the original takes what is below its min too: a max below min is a
	 * document that nobody accepts. */
	if (moves_max && member->stopped)
		stolen = 1;
	amount = stolen * (value - fmax((double)member->min, member->usage));
	if (!(amount > 0) || above_min < 1)
		amount = 0;
	if (moves_max && amount < 1 && above_min >= 1)
		amount = 1;
	return MIN((int64_t)amount, MAX(above_min, 0));
}

static double used_of_max(const struct rebalance_member *member)
{
	return member->usage / fmax((double)member->max, 1e-30);
}

int rebalance_compare_need(const struct rebalance_member *a, const struct rebalance_member *b,
			   bool moves_max)
{
	double x = moves_max ? -used_of_max(a) : (double)a->current;
	double y = moves_max ? -used_of_max(b) : (double)b->current;

	return (x > y) - (x < y);
}
