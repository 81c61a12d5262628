// SPDX-License-Identifier: Apache-2.0
#include "rebalance_snapshot.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "hierarchy.h"
#include "model_walk.h"
#include "rebalance_tracker.h"
#include "usage_history.h"
#include "ebb/cleanup.h"

/* --- growing arrays --- */

static int reserve(void *array, size_t size, size_t n, size_t *room)
{
	void **p = array;
	size_t wanted = MAX(2 * *room, (size_t)64);
	void *grown;

	if (n < *room)
		return 0;
	grown = reallocarray(*p, wanted, size);
	if (!grown)
		return -ENOMEM;
	*p = grown;
	*room = wanted;
	return 0;
}

static int add_name(struct rebalance_snapshot *snapshot, const char *name, size_t *ret_at)
{
	size_t size = strlen(name) + 1;

	while (snapshot->names_length + size > snapshot->names_room) {
		size_t room = MAX(2 * snapshot->names_room, (size_t)4096);
		char *grown = realloc(snapshot->names, room);

		if (!grown)
			return -ENOMEM;
		snapshot->names = grown;
		snapshot->names_room = room;
	}
	memcpy(snapshot->names + snapshot->names_length, name, size);
	*ret_at = snapshot->names_length;
	snapshot->names_length += size;
	return 0;
}

static int add_node(struct rebalance_snapshot *snapshot, struct rebalance_nodes *nodes)
{
	size_t room = nodes->room;
	int r = reserve(&nodes->nodes, sizeof(*nodes->nodes), nodes->n, &nodes->room);

	if (r < 0 || room == nodes->room)
		return r;
	struct rebalance_value *values =
		reallocarray(nodes->values, nodes->room * snapshot->n_resources, sizeof(*values));

	if (!values) {
		nodes->room = room;
		return -ENOMEM;
	}
	nodes->values = values;
	return 0;
}

/* --- one structure, with the lock held --- */

static enum rebalance_level level_of(const struct structure *structure)
{
	switch (structure->subtype) {
	case STRUCTURE_USER: return REBALANCE_USER;
	case STRUCTURE_APPLICATION: return REBALANCE_APPLICATION;
	case STRUCTURE_CONTAINER: return REBALANCE_CONTAINER;
	default: return REBALANCE_LEVEL_MAX;
	}
}

static struct usage_window window_of(const struct rebalance_config *config, unsigned resources)
{
	return (struct usage_window){.length = config->window_timelapse,
				     .delay = config->window_delay,
				     .resources = resources};
}

static void remember_usage(struct structure *container, const struct usage_window *window)
{
	if (container->balance_history && usage_history_fits(container->balance_history, window))
		return;
	free(container->balance_history);
	/* Without memory for it its usage is not known: nothing is decided about it. */
	container->balance_history = usage_history_new(window);
}

static double usage_of(const struct structure *container, uint64_t now_ns,
		       enum ebb_resource resource)
{
	const struct usage_history *history = container->balance_history;
	double mean;

	if (!history)
		return NAN;
	mean = usage_history_mean(history, now_ns, resource);
	/* A feed slower than the window: what it said last. */
	return isnan(mean) && usage_history_reaches_back(history, now_ns)
		       ? container->resources[resource].usage
		       : mean;
}

static void read_values(const struct rebalance_snapshot *snapshot, struct structure *s,
			struct rebalance_value *values)
{
	bool container = s->subtype == STRUCTURE_CONTAINER;
	const struct host *host = container ? s->host : NULL;

	for (size_t k = 0; k < snapshot->n_resources; k++) {
		enum ebb_resource resource = snapshot->resources[k];
		const struct resource_state *state = &s->resources[resource];
		unsigned bit = 1u << resource;

		values[k] = (struct rebalance_value){
			.max = state->max,
			.min = container ? resource_floor(state, resource) : state->min,
			.current = state->current,
			.model_max = state->max,
			.model_current = state->current,
			.usage = state->usage,
			.weight = state->weight,
			.credit = rebalance_credit(s->doc, resource),
			.allocated = state->allocated,
			.present = state->present,
			.usable = state->present && state->max > 0 &&
				  !((s->in_flight | s->apply) & bit),
		};
		/* What a host accounts for is moved only where it is set aside. */
		if (container)
			values[k].usable &=
				state->current >= 0 &&
				(!host || host->max[resource] == 0 || state->allocated > 0);
	}
}

static bool opted_out(const struct structure *s)
{
	return json_is_false(json_object_get(s->doc, "rebalance"));
}

static bool says_it_runs(const struct structure *s)
{
	const char *state = json_string_value(json_object_get(s->doc, "state"));

	return state && strcmp(state, "running") == 0;
}

/* A container that is not there does not count. */
static bool is_there(const struct structure *s)
{
	return s->subtype != STRUCTURE_CONTAINER || (s->live && s->host_name);
}

static int take_node(struct rebalance_snapshot *snapshot, struct structure *s,
		     const struct usage_window *window, uint64_t now_ns)
{
	enum rebalance_level level = level_of(s);
	struct rebalance_nodes *nodes = &snapshot->levels[level];
	struct rebalance_value *values;
	struct rebalance_node node = {
		.parent = REBALANCE_NONE,
		.host = REBALANCE_NONE,
		.host_name = REBALANCE_NONE,
		.opted_out = opted_out(s),
		/* What its document says (spec 2.4); sum_up() looks at what there is. */
		.running = says_it_runs(s),
		.key = s,
		.parent_key = level > REBALANCE_USER ? hierarchy_parent(s) : NULL,
	};
	int r = add_node(snapshot, nodes);

	if (r >= 0)
		r = add_name(snapshot, s->name, &node.name);
	if (r >= 0 && level == REBALANCE_CONTAINER && !s->host)
		r = add_name(snapshot, s->host_name, &node.host_name);
	if (r < 0)
		return r;
	values = &nodes->values[nodes->n * snapshot->n_resources];
	read_values(snapshot, s, values);
	if (level == REBALANCE_CONTAINER) {
		const struct host *host = s->host;

		node.host_key = host;
		node.reachable = !host || host->connected;
		remember_usage(s, window);
		for (size_t k = 0; k < snapshot->n_resources; k++)
			values[k].usage =
				node.reachable ? usage_of(s, now_ns, snapshot->resources[k]) : NAN;
	}
	nodes->nodes[nodes->n++] = node;
	return 0;
}

static int take_host(struct rebalance_snapshot *snapshot, const struct structure *s)
{
	const struct host *host = s->host;
	int r;

	if (!host)
		return 0;
	r = reserve(&snapshot->hosts, sizeof(*snapshot->hosts), snapshot->n_hosts,
		    &snapshot->hosts_room);
	if (r < 0)
		return r;
	snapshot->hosts[snapshot->n_hosts] = (struct rebalance_host){.key = host};
	memcpy(snapshot->hosts[snapshot->n_hosts].max, host->max, sizeof(host->max));
	memcpy(snapshot->hosts[snapshot->n_hosts].free, host->free, sizeof(host->free));
	snapshot->n_hosts++;
	return 0;
}

static int take_all(struct rebalance_snapshot *snapshot, struct model *model, bool users,
		    const struct usage_window *window, uint64_t now_ns)
{
	struct structure *s;
	struct model_walk walk;
	int r = 0;

	if (users)
		model_walk_begin_users(&walk, model);
	else
		model_walk_begin(&walk, model);
	while (model_walk_piece(&walk)) {
		while (r >= 0 && (s = model_walk_next(&walk))) {
			if (s->subtype == STRUCTURE_HOST)
				r = take_host(snapshot, s);
			else if (is_there(s))
				r = take_node(snapshot, s, window, now_ns);
		}
		model_walk_release(&walk);
		if (r < 0)
			break;
	}
	snapshot->hold_s = MAX(snapshot->hold_s, walk.hold.longest_s);
	return r;
}

/* --- who belongs to whom --- */

struct key_index {
	const void *key;
	size_t index;
};

static int by_key(const void *a, const void *b)
{
	uintptr_t x = (uintptr_t)((const struct key_index *)a)->key;
	uintptr_t y = (uintptr_t)((const struct key_index *)b)->key;

	return (x > y) - (x < y);
}

static size_t find(const struct key_index *keys, size_t n, const void *key)
{
	const struct key_index wanted = {.key = key};
	const struct key_index *found =
		key && n ? bsearch(&wanted, keys, n, sizeof(*keys), by_key) : NULL;

	return found ? found->index : REBALANCE_NONE;
}

static int link_parents(struct rebalance_snapshot *snapshot, enum rebalance_level level)
{
	struct rebalance_nodes *above = &snapshot->levels[level - 1];
	struct rebalance_nodes *nodes = &snapshot->levels[level];
	_cleanup_free_ struct key_index *keys = calloc(above->n + 1, sizeof(*keys));
	/* Counts stand two further on, so that adding them up and filling in leaves each where the
	 * children of its node begin. */
	size_t *first = above->first_child = calloc(above->n + 2, sizeof(*first));

	above->children = calloc(nodes->n + 1, sizeof(*above->children));
	if (!keys || !first || !above->children)
		return -ENOMEM;
	for (size_t i = 0; i < above->n; i++)
		keys[i] = (struct key_index){above->nodes[i].key, i};
	qsort(keys, above->n, sizeof(*keys), by_key);
	for (size_t i = 0; i < nodes->n; i++) {
		size_t parent = find(keys, above->n, nodes->nodes[i].parent_key);

		nodes->nodes[i].parent = parent;
		if (parent != REBALANCE_NONE)
			first[parent + 2]++;
	}
	for (size_t i = 2; i < above->n + 2; i++)
		first[i] += first[i - 1];
	for (size_t i = 0; i < nodes->n; i++)
		if (nodes->nodes[i].parent != REBALANCE_NONE)
			above->children[first[nodes->nodes[i].parent + 1]++] = i;
	return 0;
}

struct hostless {
	const char *host_name;
	size_t node;
};

static int by_host_name(const void *a, const void *b)
{
	return strcmp(((const struct hostless *)a)->host_name,
		      ((const struct hostless *)b)->host_name);
}

/* Hosts that are only a name: in a simulation. Nothing is accounted for there. */
static int link_host_names(struct rebalance_snapshot *snapshot)
{
	struct rebalance_nodes *containers = &snapshot->levels[REBALANCE_CONTAINER];
	_cleanup_free_ struct hostless *list = calloc(containers->n + 1, sizeof(*list));
	size_t n = 0;
	int r;

	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < containers->n; i++)
		if (containers->nodes[i].host_name != REBALANCE_NONE)
			list[n++] = (struct hostless){
				snapshot->names + containers->nodes[i].host_name, i};
	qsort(list, n, sizeof(*list), by_host_name);
	for (size_t i = 0; i < n; i++) {
		if (i == 0 || strcmp(list[i].host_name, list[i - 1].host_name) != 0) {
			r = reserve(&snapshot->hosts, sizeof(*snapshot->hosts), snapshot->n_hosts,
				    &snapshot->hosts_room);
			if (r < 0)
				return r;
			snapshot->hosts[snapshot->n_hosts++] = (struct rebalance_host){};
		}
		containers->nodes[list[i].node].host = snapshot->n_hosts - 1;
	}
	return 0;
}

static int link_hosts(struct rebalance_snapshot *snapshot)
{
	struct rebalance_nodes *containers = &snapshot->levels[REBALANCE_CONTAINER];
	_cleanup_free_ struct key_index *keys = calloc(snapshot->n_hosts + 1, sizeof(*keys));

	if (!keys)
		return -ENOMEM;
	for (size_t i = 0; i < snapshot->n_hosts; i++)
		keys[i] = (struct key_index){snapshot->hosts[i].key, i};
	qsort(keys, snapshot->n_hosts, sizeof(*keys), by_key);
	for (size_t i = 0; i < containers->n; i++)
		containers->nodes[i].host =
			find(keys, snapshot->n_hosts, containers->nodes[i].host_key);
	return link_host_names(snapshot);
}

/* --- sums --- */

/* Of what there is nothing, nothing is used; a part that is not known makes the sum unknown. */
static void sum_children(const struct rebalance_snapshot *snapshot, enum rebalance_level level,
			 size_t node)
{
	const struct rebalance_nodes *nodes = &snapshot->levels[level];
	size_t first = nodes->first_child[node], end = nodes->first_child[node + 1];

	for (size_t k = 0; k < snapshot->n_resources; k++) {
		struct rebalance_value *value = rebalance_value_of(snapshot, level, node, k);
		double usage = 0;
		int64_t current = 0;
		bool any = false;

		for (size_t i = first; i < end; i++) {
			const struct rebalance_value *child =
				rebalance_value_of(snapshot, level + 1, nodes->children[i], k);

			if (!child->present)
				continue;
			any = true;
			usage += child->usage;
			current += MAX(child->current, 0);
		}
		if (any) {
			value->usage = usage;
			value->current = current;
		} else {
			/* What its document says may be somebody else's measurement. */
			value->usage = isnan(value->usage) ? 0 : value->usage;
			value->current = MAX(value->current, 0);
		}
	}
}

static void sum_application(struct rebalance_snapshot *snapshot, size_t i)
{
	struct rebalance_nodes *nodes = &snapshot->levels[REBALANCE_APPLICATION];
	struct rebalance_node *node = &nodes->nodes[i];
	bool empty = nodes->first_child[i] == nodes->first_child[i + 1];

	/* One that says it runs and has nothing yet is about to start. Else `state` is what
	 * somebody once wrote, and what is there counts. */
	for (size_t k = 0; k < snapshot->n_resources; k++)
		rebalance_value_of(snapshot, REBALANCE_APPLICATION, i, k)->usable &=
			!(empty && node->running);
	node->running = !empty;
	node->stopped = empty;
}

static void sum_user(struct rebalance_snapshot *snapshot, size_t i)
{
	struct rebalance_nodes *nodes = &snapshot->levels[REBALANCE_USER];
	const struct rebalance_node *applications = snapshot->levels[REBALANCE_APPLICATION].nodes;

	nodes->nodes[i].running = false;
	for (size_t c = nodes->first_child[i]; c < nodes->first_child[i + 1]; c++)
		nodes->nodes[i].running |= applications[nodes->children[c]].running;
}

static void sum_up(struct rebalance_snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->levels[REBALANCE_APPLICATION].n; i++) {
		sum_children(snapshot, REBALANCE_APPLICATION, i);
		sum_application(snapshot, i);
	}
	for (size_t i = 0; i < snapshot->levels[REBALANCE_USER].n; i++) {
		sum_children(snapshot, REBALANCE_USER, i);
		sum_user(snapshot, i);
	}
}

/* An application that opts out does so for its containers too, a user for all that it owns. */
static void pass_down(struct rebalance_snapshot *snapshot)
{
	for (enum rebalance_level level = REBALANCE_APPLICATION; level < REBALANCE_LEVEL_MAX;
	     level++) {
		struct rebalance_nodes *nodes = &snapshot->levels[level];

		for (size_t i = 0; i < nodes->n; i++) {
			struct rebalance_node *node = &nodes->nodes[i];
			const struct rebalance_node *parent =
				node->parent == REBALANCE_NONE
					? NULL
					: &snapshot->levels[level - 1].nodes[node->parent];

			node->opted_out |= parent && parent->opted_out;
			if (level == REBALANCE_CONTAINER)
				node->running = true;
		}
	}
}

static void finish_values(struct rebalance_snapshot *snapshot)
{
	for (int level = 0; level < REBALANCE_LEVEL_MAX; level++) {
		struct rebalance_nodes *nodes = &snapshot->levels[level];

		for (size_t i = 0; i < nodes->n * snapshot->n_resources; i++)
			nodes->values[i].usable &= isfinite(nodes->values[i].usage);
	}
}

/* --- all of it --- */

int rebalance_snapshot_take(struct model *model, const struct rebalance_config *config,
			    struct rebalance_snapshot *ret_snapshot)
{
	struct rebalance_snapshot snapshot = {};
	unsigned resources = config->resources;
	struct usage_window window;
	uint64_t now_ns = timebase_now_ns(model->time);
	int r;

	/* Rules about energy are about what it is used for. */
	if (resources & 1u << EBB_ENERGY)
		resources |= 1u << EBB_CPU;
	for (int resource = 0; resource < EBB_RESOURCE_MAX; resource++)
		if (resources & 1u << resource)
			snapshot.resources[snapshot.n_resources++] = (enum ebb_resource)resource;
	window = window_of(config, resources);
	r = take_all(&snapshot, model, true, &window, now_ns);
	if (r >= 0)
		r = take_all(&snapshot, model, false, &window, now_ns);
	if (r >= 0)
		r = link_hosts(&snapshot);
	if (r >= 0)
		r = link_parents(&snapshot, REBALANCE_APPLICATION);
	if (r >= 0)
		r = link_parents(&snapshot, REBALANCE_CONTAINER);
	if (r < 0) {
		rebalance_snapshot_clear(&snapshot);
		return r;
	}
	sum_up(&snapshot);
	pass_down(&snapshot);
	finish_values(&snapshot);
	*ret_snapshot = snapshot;
	return 0;
}

void rebalance_snapshot_clear(struct rebalance_snapshot *snapshot)
{
	for (int level = 0; level < REBALANCE_LEVEL_MAX; level++) {
		free(snapshot->levels[level].nodes);
		free(snapshot->levels[level].values);
		free(snapshot->levels[level].children);
		free(snapshot->levels[level].first_child);
	}
	free(snapshot->hosts);
	free(snapshot->names);
	*snapshot = (struct rebalance_snapshot){};
}

void rebalance_snapshot_forget(struct model *model)
{
	struct structure *s;
	struct model_walk walk;

	model_walk_begin(&walk, model);
	while (model_walk_piece(&walk)) {
		while ((s = model_walk_next(&walk))) {
			free(s->balance_history);
			s->balance_history = NULL;
		}
		model_walk_release(&walk);
	}
}

const char *rebalance_name(const struct rebalance_snapshot *snapshot, enum rebalance_level level,
			   size_t node)
{
	return snapshot->names + snapshot->levels[level].nodes[node].name;
}
