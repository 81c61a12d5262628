/* SPDX-License-Identifier: Apache-2.0 */
/* What the scaler will make of a swap, by its own planning, laid over the snapshot. */
#include <errno.h>
#include <stdlib.h>

#include "operation_plan.h"
#include "rebalance_snapshot.h"
#include "split.h"
#include "ebb/cleanup.h"

/* Each try is for less. What is not settled then is left for the next epoch. */
#define TRIES_MAX 4

/* One of the two with all that belongs to it. */
struct side {
	size_t node;
	struct plan_branch *branches; /* applications */
	size_t *branch_nodes, n_branches;
	struct plan_leaf *leaves; /* containers, those of one branch after each other */
	size_t *leaf_nodes, n_leaves;
	int64_t done;
};

struct swap {
	struct rebalance_snapshot *snapshot;
	enum rebalance_level level;
	enum request_field field;
	size_t k;
};

static void side_clear(struct side *side)
{
	free(side->branches);
	free(side->branch_nodes);
	free(side->leaves);
	free(side->leaf_nodes);
}

static size_t count_children(const struct swap *swap, enum rebalance_level level, size_t node)
{
	const struct rebalance_nodes *nodes = &swap->snapshot->levels[level];

	return nodes->first_child[node + 1] - nodes->first_child[node];
}

static size_t child_of(const struct swap *swap, enum rebalance_level level, size_t node, size_t i)
{
	const struct rebalance_nodes *nodes = &swap->snapshot->levels[level];

	return nodes->children[nodes->first_child[node] + i];
}

static int side_reserve(const struct swap *swap, struct side *side)
{
	size_t n_branches = 1, n_leaves = 1;

	if (swap->level == REBALANCE_APPLICATION)
		n_leaves += count_children(swap, swap->level, side->node);
	if (swap->level == REBALANCE_USER) {
		n_branches += count_children(swap, swap->level, side->node);
		for (size_t i = 0; i + 1 < n_branches; i++)
			n_leaves += count_children(swap, REBALANCE_APPLICATION,
						   child_of(swap, swap->level, side->node, i));
	}
	side->branches = calloc(n_branches, sizeof(*side->branches));
	side->branch_nodes = calloc(n_branches, sizeof(*side->branch_nodes));
	side->leaves = calloc(n_leaves, sizeof(*side->leaves));
	side->leaf_nodes = calloc(n_leaves, sizeof(*side->leaf_nodes));
	return side->branches && side->branch_nodes && side->leaves && side->leaf_nodes ? 0
											: -ENOMEM;
}

static struct rebalance_host *host_of(const struct swap *swap, size_t container)
{
	size_t host = swap->snapshot->levels[REBALANCE_CONTAINER].nodes[container].host;
	enum ebb_resource resource = swap->snapshot->resources[swap->k];

	return host != REBALANCE_NONE && swap->snapshot->hosts[host].max[resource] > 0
		       ? &swap->snapshot->hosts[host]
		       : NULL;
}

static void add_leaf(const struct swap *swap, struct side *side, size_t node)
{
	enum ebb_resource resource = swap->snapshot->resources[swap->k];
	const struct rebalance_value *value =
		rebalance_value_of(swap->snapshot, REBALANCE_CONTAINER, node, swap->k);
	struct plan_leaf *leaf = &side->leaves[side->n_leaves];
	struct rebalance_host *host = host_of(swap, node);

	if (!value->present)
		return;
	*leaf = (struct plan_leaf){
		.current = MAX(value->current, (int64_t)0),
		.max = value->max,
		.least = value->min,
		.most = host ? host->max[resource] : INT64_MAX,
		.held = value->allocated,
		.room = host ? &host->room : NULL,
		.usage = value->usage,
		.fixed = value->current < 0 ||
			 !swap->snapshot->levels[REBALANCE_CONTAINER].nodes[node].reachable,
	};
	if (host)
		host->room = MAX(host->free[resource], (int64_t)0);
	plan_leaf_init(leaf);
	side->leaf_nodes[side->n_leaves++] = node;
}

static void add_branch(const struct swap *swap, struct side *side, size_t node)
{
	const struct rebalance_value *value =
		rebalance_value_of(swap->snapshot, REBALANCE_APPLICATION, node, swap->k);
	bool stopped = swap->snapshot->levels[REBALANCE_APPLICATION].nodes[node].stopped;
	size_t first = side->n_leaves, n = count_children(swap, REBALANCE_APPLICATION, node);

	if (!value->present)
		return;
	for (size_t i = 0; i < n; i++)
		add_leaf(swap, side, child_of(swap, REBALANCE_APPLICATION, node, i));
	side->branches[side->n_branches] = (struct plan_branch){
		.leaves = &side->leaves[first],
		.n = side->n_leaves - first,
		.value = value->max,
		/* What rules read of it must not become a max below min. */
		.least = MAX(value->min, (int64_t)1),
		.most = INT64_MAX,
		.usage = value->usage,
		.bare = stopped,
		.stopped = stopped,
	};
	side->branch_nodes[side->n_branches++] = node;
}

static int gather(const struct swap *swap, struct side *side)
{
	int r = side_reserve(swap, side);

	if (r < 0)
		return r;
	if (swap->level == REBALANCE_CONTAINER)
		add_leaf(swap, side, side->node);
	if (swap->level == REBALANCE_APPLICATION)
		add_branch(swap, side, side->node);
	for (size_t i = 0;
	     swap->level == REBALANCE_USER && i < count_children(swap, swap->level, side->node);
	     i++)
		add_branch(swap, side, child_of(swap, swap->level, side->node, i));
	return 0;
}

static int plan_side(const struct swap *swap, struct side *side, int64_t amount)
{
	int64_t slice = split_slice(swap->snapshot->resources[swap->k]);
	struct plan_branch *branch = side->branches;
	int r = 0;

	if (swap->level == REBALANCE_CONTAINER)
		side->done = plan_leaf_change(side->leaves, swap->field, amount);
	else if (swap->level == REBALANCE_USER)
		r = plan_branches(branch, side->n_branches, swap->field, amount, slice,
				  &side->done);
	else if (branch->bare)
		side->done = branch->amount = amount;
	else
		r = plan_leaves(branch->leaves, branch->n, swap->field, amount, slice, &side->done);
	return r;
}

/* What donors give up is there for receivers of the same host. */
static void free_rooms(const struct side *side)
{
	for (size_t i = 0; i < side->n_leaves; i++)
		if (side->leaves[i].room && side->leaves[i].to != side->leaves[i].current)
			*side->leaves[i].room += plan_leaf_freed(&side->leaves[i]);
}

static void lay_side(const struct swap *swap, const struct side *side)
{
	struct rebalance_snapshot *snapshot = swap->snapshot;
	enum ebb_resource resource = snapshot->resources[swap->k];

	for (size_t i = 0; i < side->n_leaves; i++) {
		const struct plan_leaf *leaf = &side->leaves[i];
		struct rebalance_value *value = rebalance_value_of(snapshot, REBALANCE_CONTAINER,
								   side->leaf_nodes[i], swap->k);
		struct rebalance_host *host = host_of(swap, side->leaf_nodes[i]);

		value->max = leaf->max_to;
		if (value->current >= 0)
			value->current = leaf->to;
		value->allocated = leaf->to < leaf->current ? leaf->to : leaf->held;
		/* What is freed is there when the operation is done, which others of this epoch do
		 * not wait for. */
		if (host)
			host->free[resource] = MIN(host->free[resource], host->room);
	}
	for (size_t i = 0; swap->level == REBALANCE_USER && i < side->n_branches; i++)
		rebalance_value_of(snapshot, REBALANCE_APPLICATION, side->branch_nodes[i], swap->k)
			->max += side->branches[i].amount;
	if (swap->level != REBALANCE_CONTAINER)
		rebalance_value_of(snapshot, swap->level, side->node, swap->k)->max += side->done;
}

/* Whether both sides can do `amount`; if not, *ret_amount is what could perhaps be done. */
static int try_swap(const struct swap *swap, size_t donor_node, size_t receiver_node,
		    int64_t amount, int64_t *ret_amount)
{
	struct side donor = {.node = donor_node}, receiver = {.node = receiver_node};
	int r;

	r = gather(swap, &donor);
	if (r >= 0)
		r = gather(swap, &receiver);
	if (r >= 0)
		r = plan_side(swap, &donor, -amount);
	if (r >= 0)
		free_rooms(&donor);
	if (r >= 0)
		r = plan_side(swap, &receiver, amount);
	if (r >= 0) {
		*ret_amount = MIN(-donor.done, receiver.done);
		if (*ret_amount == amount) {
			lay_side(swap, &donor);
			lay_side(swap, &receiver);
		}
	}
	side_clear(&donor);
	side_clear(&receiver);
	return r;
}

int rebalance_lay_swap(struct rebalance_snapshot *snapshot, enum rebalance_level level,
		       bool moves_max, size_t k, size_t donor, size_t receiver, int64_t amount,
		       int64_t *ret_done)
{
	const struct swap swap = {
		.snapshot = snapshot,
		.level = level,
		.field = moves_max ? REQUEST_MAX : REQUEST_CURRENT,
		.k = k,
	};

	for (int attempt = 0; amount > 0 && attempt < TRIES_MAX; attempt++) {
		int64_t could = 0;
		int r = try_swap(&swap, donor, receiver, amount, &could);

		if (r < 0)
			return r;
		if (could == amount) {
			*ret_done = amount;
			return 0;
		}
		amount = could;
	}
	*ret_done = 0;
	return 0;
}
