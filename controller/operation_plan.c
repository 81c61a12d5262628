/* SPDX-License-Identifier: Apache-2.0 */
#include "operation_plan.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "split.h"
#include "ebb/cleanup.h"
#include "ebb/util.h"

/* Each round fills at least one host or branch that had room in the one before; what is not laid
 * after so many is not worth the time. */
#define ROUNDS_MAX 16

void plan_leaf_init(struct plan_leaf *leaf)
{
	leaf->to = leaf->current;
	leaf->max_to = leaf->max;
	leaf->amount = 0;
}

/* How high its limit could be made. */
static int64_t reach(const struct plan_leaf *leaf)
{
	if (leaf->fixed)
		return leaf->to;
	return leaf->room ? leaf->held + MAX(*leaf->room, (int64_t)0) : INT64_MAX;
}

static bool hold(struct plan_leaf *leaf, int64_t limit)
{
	int64_t more = limit - leaf->held;

	if (more <= 0)
		return true;
	if (leaf->fixed || limit > reach(leaf))
		return false;
	if (leaf->room)
		*leaf->room -= more;
	leaf->held = limit;
	return true;
}

/* value + amount, but at most `top`. */
static int64_t raised(int64_t value, int64_t amount, int64_t top)
{
	return amount > top - value ? top : value + amount;
}

static int64_t raise_current(struct plan_leaf *leaf, int64_t amount)
{
	int64_t top = MIN(leaf->max > 0 ? leaf->max : leaf->most, reach(leaf)), to;

	if (leaf->fixed || top <= leaf->to)
		return 0;
	to = raised(leaf->to, amount, top);
	if (!hold(leaf, to))
		return 0;
	amount = to - leaf->to;
	leaf->to = to;
	return amount;
}

static int64_t raise_max(struct plan_leaf *leaf, int64_t amount)
{
	int64_t top = MIN(leaf->most, reach(leaf)), max;

	if (leaf->fixed || leaf->max <= 0 || top <= leaf->max_to)
		return 0;
	max = raised(leaf->max_to, amount, top);
	if (!hold(leaf, MAX(max, leaf->to)))
		return 0;
	amount = max - leaf->max_to;
	leaf->max_to = max;
	leaf->to = MAX(leaf->to, max);
	return amount;
}

static int64_t lower_current(struct plan_leaf *leaf, int64_t amount)
{
	int64_t to = MAX(leaf->to - amount, leaf->least);

	if (leaf->fixed || to >= leaf->to || !hold(leaf, leaf->current))
		return 0;
	amount = leaf->to - to;
	leaf->to = to;
	return amount;
}

static int64_t lower_max(struct plan_leaf *leaf, int64_t amount)
{
	int64_t max = MAX(leaf->max_to - amount, leaf->least);

	if (leaf->max <= 0)
		return 0;
	/* What runs above it has to follow. */
	if (max < leaf->to && (leaf->fixed || !hold(leaf, leaf->current)))
		max = MIN(leaf->to, leaf->max_to);
	if (max >= leaf->max_to)
		return 0;
	amount = leaf->max_to - max;
	leaf->max_to = max;
	leaf->to = MIN(leaf->to, max);
	return amount;
}

int64_t plan_leaf_change(struct plan_leaf *leaf, enum request_field field, int64_t amount)
{
	int64_t done;

	if (amount > 0)
		done = field == REQUEST_MAX ? raise_max(leaf, amount) : raise_current(leaf, amount);
	else
		done = field == REQUEST_MAX ? -lower_max(leaf, -amount)
					    : -lower_current(leaf, -amount);
	leaf->amount += done;
	return done;
}

int64_t plan_leaf_range(const struct plan_leaf *leaf, enum request_field field, bool growth)
{
	int64_t room = leaf->room ? *leaf->room : 0;
	struct plan_leaf copy = *leaf;

	if (leaf->room)
		copy.room = &room;
	return llabs(plan_leaf_change(&copy, field, growth ? INT64_MAX : -INT64_MAX));
}

int64_t plan_leaf_freed(const struct plan_leaf *leaf)
{
	return MAX(leaf->held - leaf->to, (int64_t)0);
}

static int64_t leaf_value(const struct plan_leaf *leaf, enum request_field field)
{
	return field == REQUEST_MAX ? leaf->max_to : leaf->to;
}

int plan_leaves(struct plan_leaf *leaves, size_t n, enum request_field field, int64_t amount,
		int64_t slice, int64_t *ret_done)
{
	_cleanup_free_ struct split_child *children = calloc(n + 1, sizeof(*children));
	bool growth = amount > 0;
	int64_t left = amount;

	if (!children)
		return -ENOMEM;
	for (int round = 0; left && round < ROUNDS_MAX; round++) {
		int64_t before = left;

		for (size_t i = 0; i < n; i++) {
			int64_t value = leaf_value(&leaves[i], field);
			int64_t range = plan_leaf_range(&leaves[i], field, growth);

			children[i] = (struct split_child){
				.value = value,
				.least = growth ? leaves[i].least : value - range,
				.most = growth ? value + range : INT64_MAX,
				.usage = leaves[i].usage,
			};
		}
		split_amount(children, n, left, slice);
		for (size_t i = 0; i < n; i++)
			if (children[i].assigned)
				left -= plan_leaf_change(&leaves[i], field, children[i].assigned);
		if (left == before)
			break;
	}
	*ret_done = amount - left;
	return 0;
}

static int64_t branch_range(const struct plan_branch *branch, enum request_field field, bool growth)
{
	int64_t value = branch->value + branch->amount, range = 0;
	int64_t bound = growth ? branch->most - value : value - branch->least;

	if (bound <= 0)
		return 0;
	if (branch->bare)
		return field == REQUEST_MAX ? bound : 0;
	for (size_t i = 0; i < branch->n && range < bound; i++) {
		int64_t more = plan_leaf_range(&branch->leaves[i], field, growth);

		range = more > bound - range ? bound : range + more;
	}
	return range;
}

int plan_branches(struct plan_branch *branches, size_t n, enum request_field field, int64_t amount,
		  int64_t slice, int64_t *ret_done)
{
	_cleanup_free_ struct split_child *children = calloc(n + 1, sizeof(*children));
	bool growth = amount > 0;
	int64_t left = amount;

	if (!children)
		return -ENOMEM;
	for (int round = 0; left && round < ROUNDS_MAX; round++) {
		int64_t before = left;

		for (size_t i = 0; i < n; i++) {
			int64_t value = branches[i].value + branches[i].amount;
			int64_t range = branch_range(&branches[i], field, growth);

			children[i] = (struct split_child){
				.value = value,
				.least = growth ? branches[i].least : value - range,
				.most = growth ? value + range : INT64_MAX,
				.usage = branches[i].usage,
				.stopped = branches[i].stopped,
			};
		}
		split_amount(children, n, left, slice);
		for (size_t i = 0; i < n; i++) {
			int64_t done = children[i].assigned;
			int r;

			if (!done)
				continue;
			if (!branches[i].bare) {
				r = plan_leaves(branches[i].leaves, branches[i].n, field, done,
						slice, &done);
				if (r < 0)
					return r;
			}
			branches[i].amount += done;
			left -= done;
		}
		if (left == before)
			break;
	}
	*ret_done = amount - left;
	return 0;
}

int64_t plan_parent_amount(int64_t amount, int64_t value, int64_t least, int64_t most)
{
	if (amount < 0)
		return MAX(MIN(least - value, (int64_t)0), amount);
	return MIN(MAX(most - value, (int64_t)0), amount);
}

bool plan_budget_is_outdated(int64_t amount, double budget, double now)
{
	if (!(budget > 0) || isnan(now))
		return false;
	return amount > 0 ? budget > now : budget < now;
}
