// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdlib.h>

#include "rebalance_snapshot.h"
#include "split.h"
#include "ebb/cleanup.h"

/*
 * Down: `current` is cut when it is above the new max. Up: it follows to the new max as far as the
 * host has room; what it cannot get is taken off the rise.
 */
static void change_container(struct rebalance_snapshot *snapshot, size_t node, size_t k,
			     int64_t amount)
{
	struct rebalance_value *value = rebalance_value_of(snapshot, REBALANCE_CONTAINER, node, k);
	size_t host = snapshot->levels[REBALANCE_CONTAINER].nodes[node].host;
	enum ebb_resource resource = snapshot->resources[k];
	int64_t *free_share = NULL, change, wanted;

	if (host != REBALANCE_NONE && snapshot->hosts[host].max[resource] > 0)
		free_share = &snapshot->hosts[host].free[resource];
	if (value->current < 0) {
		value->max += amount;
		return;
	}
	if (amount < 0) {
		value->max += amount;
		change = MIN(value->max - value->current, 0);
	} else {
		wanted = MAX(value->max + amount - value->current, 0);
		change = free_share ? CLAMP(*free_share, 0, wanted) : wanted;
		value->max += MAX(amount - (wanted - change), 0);
	}
	value->current += change;
	if (free_share)
		*free_share -= change;
}

int rebalance_propagate(struct rebalance_snapshot *snapshot, enum rebalance_level level,
			size_t node, size_t k, int64_t amount)
{
	const struct rebalance_nodes *nodes = &snapshot->levels[level];
	size_t first = nodes->first_child[node], n = nodes->first_child[node + 1] - first;
	_cleanup_free_ struct split_child *children = calloc(n + 1, sizeof(*children));
	const size_t *ids = nodes->children + first;
	int r = 0;

	if (!children)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const struct rebalance_value *value =
			rebalance_value_of(snapshot, level + 1, ids[i], k);
		size_t host = snapshot->levels[level + 1].nodes[ids[i]].host;
		int64_t most = INT64_MAX;

		if (host != REBALANCE_NONE && snapshot->hosts[host].max[snapshot->resources[k]] > 0)
			most = snapshot->hosts[host].max[snapshot->resources[k]];
		/* What has none of it stays in its place, and takes no part. */
		if (!value->present)
			continue;
		children[i] = (struct split_child){
			.value = value->max,
			.least = value->min,
			.most = most,
			.usage = value->usage,
			.stopped = snapshot->levels[level + 1].nodes[ids[i]].stopped,
		};
	}
	(void)split_amount(children, n, amount, split_slice(snapshot->resources[k]));
	for (size_t i = 0; r >= 0 && i < n; i++) {
		if (children[i].assigned == 0)
			continue;
		if (level + 1 == REBALANCE_CONTAINER) {
			change_container(snapshot, ids[i], k, children[i].assigned);
			continue;
		}
		rebalance_value_of(snapshot, level + 1, ids[i], k)->max += children[i].assigned;
		r = rebalance_propagate(snapshot, level + 1, ids[i], k, children[i].assigned);
	}
	return r;
}
