/* SPDX-License-Identifier: Apache-2.0 */
#include "core_order.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"

#define CPU_MAX 65535

static const char *const names[CORES_MAX] = {
	[CORES_GROUP_PL] = "Group_P&L",
	[CORES_GROUP_1P_2L] = "Group_1P_2L",
	[CORES_GROUP_PP_LL] = "Group_PP_LL",
	[CORES_SPREAD_PL] = "Spread_P&L",
	[CORES_SPREAD_PP_LL] = "Spread_PP_LL",
	[CORES_GROUP_NUMA] = "Group_NUMA",
	[CORES_NONE] = "none",
};

const char *core_distribution_name(enum core_distribution distribution)
{
	return distribution < CORES_MAX ? names[distribution] : "?";
}

enum core_distribution core_distribution_from_json(const json_t *value)
{
	const char *name = json_string_value(value);

	for (int i = 0; name && i < CORES_MAX; i++)
		if (strcmp(names[i], name) == 0)
			return (enum core_distribution)i;
	return CORES_MAX;
}

const char *core_distribution_names(void)
{
	return "Group_P&L, Group_1P_2L, Group_PP_LL, Spread_P&L, Spread_PP_LL, Group_NUMA or none";
}

/* --- what the topology says --- */

struct numbered {
	int64_t number;
	const json_t *value;
};

static int by_number(const void *a, const void *b)
{
	const struct numbered *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

/* Members by the number in their key: the document's own order may have been lost on its way. */
static int sorted_members(const json_t *object, struct numbered **ret_members, size_t *ret_n)
{
	_cleanup_free_ struct numbered *members = NULL;
	const char *key;
	json_t *value;
	size_t n = 0;

	if (!json_is_object(object))
		return -EINVAL;
	members = calloc(json_object_size(object) + 1, sizeof(*members));
	if (!members)
		return -ENOMEM;
	json_object_foreach((json_t *)object, key, value) {
		if (parse_i64(key, &members[n].number) < 0)
			return -EINVAL;
		members[n++].value = value;
	}
	qsort(members, n, sizeof(*members), by_number);
	*ret_members = TAKE_PTR(members);
	*ret_n = n;
	return 0;
}

static bool is_cpu(const json_t *value)
{
	return json_is_integer(value) && json_integer_value(value) >= 0 &&
	       json_integer_value(value) <= CPU_MAX;
}

/* A CPU, with its keys for sorting. */
struct thread {
	int64_t keys[4];
	unsigned cpu;
	int64_t socket, core, thread; /* by rank, the core's within its socket */
};

struct threads {
	struct thread *items;
	size_t n, room;
	bool seen[CPU_MAX + 1];
};

static void cleanup_threadsp(struct threads **threads)
{
	if (*threads)
		free((*threads)->items);
	free(*threads);
}

static int add_core(struct threads *threads, int64_t socket, int64_t core, const json_t *cpus)
{
	const json_t *cpu;
	size_t i;

	if (!json_is_array(cpus))
		return -EINVAL;
	json_array_foreach((json_t *)cpus, i, cpu) {
		size_t id = is_cpu(cpu) ? (size_t)json_integer_value(cpu) : 0;

		if (!is_cpu(cpu) || threads->seen[id])
			return -EINVAL;
		threads->seen[id] = true;
		if (threads->n == threads->room) {
			size_t room = MAX(2 * threads->room, (size_t)64);
			struct thread *items = reallocarray(threads->items, room, sizeof(*items));

			if (!items)
				return -ENOMEM;
			threads->items = items;
			threads->room = room;
		}
		threads->items[threads->n++] = (struct thread){
			.cpu = (unsigned)id, .socket = socket, .core = core, .thread = (int64_t)i};
	}
	return 0;
}

static int add_socket(struct threads *threads, int64_t socket, const json_t *cores)
{
	_cleanup_free_ struct numbered *members = NULL;
	size_t n;
	int r;

	r = sorted_members(cores, &members, &n);
	for (size_t i = 0; r >= 0 && i < n; i++)
		r = add_core(threads, socket, (int64_t)i, members[i].value);
	return r;
}

static int list_threads(struct threads *threads, const json_t *topology)
{
	_cleanup_free_ struct numbered *sockets = NULL;
	size_t n;
	int r;

	r = sorted_members(topology, &sockets, &n);
	for (size_t i = 0; r >= 0 && i < n; i++)
		r = add_socket(threads, (int64_t)i, sockets[i].value);
	return r < 0 ? r : threads->n ? 0 : -EINVAL;
}

/* The node of every CPU by id, -1 unknown. -EINVAL: not of that form. */
static int list_nodes(const json_t *nodes, int64_t **ret_node_of)
{
	_cleanup_free_ struct numbered *members = NULL;
	_cleanup_free_ int64_t *node_of = NULL;
	size_t n, j;
	int r;

	r = sorted_members(nodes, &members, &n);
	if (r < 0)
		return r;
	node_of = malloc((CPU_MAX + 1) * sizeof(*node_of));
	if (!node_of)
		return -ENOMEM;
	for (size_t i = 0; i <= CPU_MAX; i++)
		node_of[i] = -1;
	for (size_t i = 0; i < n; i++) {
		const json_t *cpu;

		if (!json_is_array(members[i].value))
			return -EINVAL;
		json_array_foreach((json_t *)members[i].value, j, cpu) {
			if (!is_cpu(cpu))
				return -EINVAL;
			node_of[json_integer_value(cpu)] = (int64_t)i;
		}
	}
	*ret_node_of = TAKE_PTR(node_of);
	return 0;
}

/* --- the orders --- */

static void set_keys(struct thread *t, enum core_distribution distribution, const int64_t *node_of)
{
	int64_t node = !node_of ? t->socket : node_of[t->cpu] < 0 ? INT64_MAX : node_of[t->cpu];
	const int64_t keys[CORES_MAX][4] = {
		[CORES_GROUP_PL] = {t->socket, t->core, t->thread},
		[CORES_GROUP_1P_2L] = {t->socket, t->thread, t->core},
		[CORES_GROUP_PP_LL] = {t->thread, t->socket, t->core},
		[CORES_SPREAD_PL] = {t->core, -t->socket, t->thread},
		[CORES_SPREAD_PP_LL] = {t->thread, t->core, -t->socket},
		[CORES_GROUP_NUMA] = {node, t->thread, t->socket, t->core},
		[CORES_NONE] = {t->thread, t->socket, t->core},
	};

	memcpy(t->keys, keys[distribution], sizeof(t->keys));
}

static int by_keys(const void *a, const void *b)
{
	const struct thread *x = a, *y = b;

	for (size_t i = 0; i < ARRAY_SIZE(x->keys); i++)
		if (x->keys[i] != y->keys[i])
			return x->keys[i] < y->keys[i] ? -1 : 1;
	return 0;
}

int core_order(enum core_distribution distribution, const json_t *topology, const json_t *nodes,
	       struct cpu_list *ret_order)
{
	__attribute__((cleanup(cleanup_threadsp))) struct threads *threads = NULL;
	_cleanup_free_ int64_t *node_of = NULL;
	unsigned *cpus;
	int r;

	if (distribution >= CORES_MAX)
		return -EINVAL;
	threads = calloc(1, sizeof(*threads));
	if (!threads)
		return -ENOMEM;
	r = list_threads(threads, topology);
	if (r >= 0 && distribution == CORES_GROUP_NUMA && list_nodes(nodes, &node_of) == -ENOMEM)
		r = -ENOMEM;
	if (r < 0)
		return r;
	for (size_t i = 0; i < threads->n; i++)
		set_keys(&threads->items[i], distribution, node_of);
	qsort(threads->items, threads->n, sizeof(*threads->items), by_keys);
	cpus = calloc(threads->n, sizeof(*cpus));
	if (!cpus)
		return -ENOMEM;
	for (size_t i = 0; i < threads->n; i++)
		cpus[i] = threads->items[i].cpu;
	*ret_order = (struct cpu_list){.cpus = cpus, .n = threads->n};
	return 0;
}
