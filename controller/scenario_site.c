/* SPDX-License-Identifier: Apache-2.0 */
/* What a scenario says is there: structures, limits, rules, services, and the cores of hosts. */
#include "scenario_private.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boundaries.h"
#include "model_private.h"
#include "ebb/cleanup.h"

#define CPUS_MAX 65536
/* EVENT_TIMEOUT as it stands: see EVENT_SAMPLES in guardian.c. */
#define EVENT_SAMPLES 20

/* --- structures --- */

static int by_name(const void *a, const void *b)
{
	const struct simulated *x = a, *y = b;
	int r = strcmp(x->structure->name, y->structure->name);

	return r ? r : (int)x->structure->subtype - (int)y->structure->subtype;
}

struct simulated *simulation_find(const struct simulation *sim, const char *name, const char *type)
{
	struct simulated *one = NULL;

	if (!name)
		return NULL;
	if (!type || strcmp(type, "user") != 0)
		one = name_index_get(sim->index, name);
	if (!one && (!type || strcmp(type, "user") == 0))
		one = name_index_get(sim->user_index, name);
	return one;
}

static int add_structure(struct simulation *sim, const char *list, size_t i, json_t *doc,
			 char **ret_error)
{
	bool user = strcmp(list, "users") == 0;
	_cleanup_free_ char *error = NULL;
	struct structure *structure;
	int r;

	r = model_parse(user ? DB_USERS : DB_STRUCTURES, doc, &structure, &error);
	if (r == -EINVAL) {
		const char *name = json_string_value(json_object_get(doc, "name"));

		model_log(sim->model, LOG_LEVEL_WARNING, "%s[%zu] is ignored: %s", list, i,
			  error ? error : "not a structure");
		return name && json_object_set_new(sim->ignored, name, json_true()) < 0 ? -ENOMEM
											: 0;
	}
	if (r < 0)
		return r;
	r = model_add(sim->model, structure);
	if (r < 0) {
		if (r == -EEXIST)
			fail_with(r, ret_error, "%s[%zu].name: %s is there twice", list, i,
				  structure->name);
		structure_free(structure);
		return r == -EEXIST ? -EINVAL : r;
	}
	sim->structures[sim->n_structures++].structure = structure;
	return 0;
}

int scenario_load_documents(struct simulation *sim, char **ret_error)
{
	static const char *const lists[] = {"structures", "users"};
	json_t *documents[ARRAY_SIZE(lists)], *doc;
	size_t i, room = 1;
	int r;

	for (size_t k = 0; k < ARRAY_SIZE(lists); k++) {
		r = scenario_list(sim->scenario, lists[k], &documents[k], ret_error);
		if (r < 0)
			return r;
		room += json_array_size(documents[k]);
	}
	sim->structures = calloc(room, sizeof(*sim->structures));
	if (!sim->structures)
		return -ENOMEM;
	for (size_t k = 0; k < ARRAY_SIZE(lists); k++) {
		json_array_foreach(documents[k], i, doc) {
			r = add_structure(sim, lists[k], i, doc, ret_error);
			if (r < 0)
				return r;
		}
	}
	qsort(sim->structures, sim->n_structures, sizeof(*sim->structures), by_name);
	for (i = 0; i < sim->n_structures; i++) {
		struct simulated *one = &sim->structures[i];
		bool user = one->structure->subtype == STRUCTURE_USER;

		one->sampled_at = NAN;
		one->told_at = -INFINITY;
		for (int k = 0; k < EBB_RESOURCE_MAX; k++)
			one->changed_at[k] = -INFINITY;
		r = name_index_add(user ? sim->user_index : sim->index, one->structure->name, one);
		if (r < 0)
			return r;
	}
	return 0;
}

/* What a controller gives to a container that nobody has said anything about. */
static void default_limits(struct structure *structure)
{
	for (int r = 0; r < EBB_RESOURCE_MAX; r++) {
		struct resource_state *state = &structure->resources[r];

		if (structure->subtype == STRUCTURE_HOST || !state->present || !state->guard)
			continue;
		state->has_boundary = true;
		state->boundary = 10;
		state->boundary_type = BOUNDARY_PERCENTAGE_OF_CURRENT;
	}
}

/* Of a container without a host, on which its limit is looked at. */
static void limits_in_force(struct simulation *sim, struct structure *s)
{
	if (s->host_name && model_host(sim->model, s->host_name))
		return;
	for (int r = 0; r < EBB_RESOURCE_MAX; r++) {
		struct resource_state *state = &s->resources[r];

		if (!state->present)
			continue;
		if (state->max > 0 && (state->current < 0 || state->current > state->max))
			state->current = state->max;
		else if (state->current < 0 && s->guard && state->guard)
			model_log(sim->model, LOG_LEVEL_WARNING,
				  "%s has neither current nor max of %s: nothing is decided about "
				  "it",
				  s->name, ebb_resource_name(r));
	}
}

int scenario_load_limits(struct simulation *sim, char **ret_error)
{
	json_t *list, *doc;
	size_t i;
	int r;

	r = scenario_list(sim->scenario, "limits", &list, ret_error);
	if (r < 0)
		return r;
	json_array_foreach(list, i, doc) {
		const char *name = json_string_value(json_object_get(doc, "name"));
		_cleanup_free_ char *error = NULL;
		struct simulated *one = simulation_find(sim, name, NULL);

		if (!name)
			return scenario_member_fail(ret_error, "limits", i, "name",
						    "must be the name of a structure");
		/* Left behind by a structure that was removed, as in a state that has lived. */
		if (!one)
			continue;
		r = structure_set_limits(one->structure, doc, &error);
		if (r == -EINVAL)
			model_log(sim->model, LOG_LEVEL_WARNING,
				  "limits[%zu] of %s is ignored, so nothing is decided about it: "
				  "%s",
				  i, name, error ? error : "not limits");
		else if (r < 0)
			return r;
	}
	for (i = 0; i < sim->n_structures; i++) {
		struct simulated *one = &sim->structures[i];

		for (int k = 0; k < EBB_RESOURCE_MAX; k++) {
			const struct resource_state *state = &one->structure->resources[k];

			one->upper[k] = state->upper;
			one->lower[k] = state->lower;
			one->current[k] = state->current;
		}
		if (one->structure->subtype == STRUCTURE_CONTAINER)
			limits_in_force(sim, one->structure);
		if (!list)
			default_limits(one->structure);
		for (int k = 0; k < EBB_RESOURCE_MAX; k++)
			boundaries_adjust(&one->structure->resources[k]);
	}
	return 0;
}

/* --- hosts --- */

/*
 * Those of the topology, as when its agent registers. Without one those that its document gives out
 * and, where these are fewer than max / 100, more of the natural numbers.
 */
static json_t *host_cores(const struct host *host, const struct cpu_list *all)
{
	_cleanup_json_ json_t *mapping = cpumap_to_json(host->cpumap);
	size_t want = (size_t)MIN(
		MAX(host->structure->resources[EBB_CPU].max, 0) / EBB_SHARES_PER_CORE, CPUS_MAX);
	json_t *cpus = json_array(), *core;
	const char *key;

	for (size_t i = 0; all && i < all->n; i++)
		json_array_append_new(cpus, json_integer(all->cpus[i]));
	if (all)
		return cpus;
	json_object_foreach(mapping, key, core) {
		uint64_t cpu;

		if (parse_u64(key, &cpu) >= 0)
			json_array_append_new(cpus, json_integer((json_int_t)cpu));
	}
	for (unsigned cpu = 0; json_array_size(cpus) < want && cpu < CPUS_MAX; cpu++) {
		char name[16];

		snprintf(name, sizeof(name), "%u", cpu);
		if (!json_object_get(mapping, name))
			json_array_append_new(cpus, json_integer(cpu));
	}
	return cpus;
}

static int load_cores(struct simulation *sim, struct host *host, const json_t *topologies,
		      char **ret_error)
{
	const char *name = host->structure->name;
	json_t *topology = json_object_get(topologies, name);
	_cleanup_json_ json_t *cpus = NULL;
	struct cpu_list all = {0};
	int r;

	if (topology && core_order(CORES_GROUP_PP_LL, topology, NULL, &all) < 0)
		return fail_with(-EINVAL, ret_error,
				 "topology.%s: must be {SOCKET: {CORE: [CPU, ...]}}", name);
	cpus = host_cores(host, topology ? &all : NULL);
	cpu_list_clear(&all);
	if (!json_array_size(cpus))
		return 0;
	r = registration_set_cores(sim->model, host, cpus, topology);
	if (r == -EINVAL)
		return fail_with(r, ret_error,
				 "structures: the core_usage_mapping of %s names a core that "
				 "cannot be: ids are 0 to 65535",
				 name);
	if (r < 0)
		return r;
	json_decref(host->topology);
	host->topology = json_incref(topology);
	return 0;
}

/* Everybody on a host holds its limit, as in a state that the old system kept; one that does not
 * fit holds nothing. */
static void hold_limits(struct simulation *sim, struct structure *s)
{
	struct host *host = s->host;

	s->pinnable = host->max[EBB_CPU] > 0;
	for (int r = 0; r < EBB_RESOURCE_MAX; r++) {
		struct resource_state *state = &s->resources[r];

		if (!state->present)
			continue;
		s->physical[r] = state->current;
		if (state->allocated <= 0 && state->current > 0) {
			int64_t got = model_allocate(sim->model, s, r, state->current);

			if (got < state->current && got > 0)
				model_allocate(sim->model, s, r, -got);
		}
		if (state->allocated <= 0 && s->guard && state->guard && state->max > 0)
			(void)accounting_take(sim->model, s, r, true, NULL);
		/* A limit above its max is cut when it is seen. */
		if (s->guard && state->guard && state->max > 0 && state->current > state->max)
			model_limit_applied(sim->model, s, r, state->current);
	}
}

int scenario_load_hosts(struct simulation *sim, char **ret_error)
{
	struct model *model = sim->model;
	json_t *topologies = json_object_get(sim->scenario, "topology"), *topology;
	const char *name;
	int r;

	if (topologies && !json_is_null(topologies) && !json_is_object(topologies))
		return fail_with(-EINVAL, ret_error,
				 "topology: must be an object, {HOST: {SOCKET: {CORE: [CPU, "
				 "...]}}}");
	json_object_foreach(topologies, name, topology)
		if (!model_host(model, name) && !json_object_get(sim->ignored, name))
			return fail_with(-EINVAL, ret_error,
					 "topology.%s: there is no such host in structures", name);
	model_attach_containers(model);
	for (size_t i = 0; i < sim->n_structures; i++) {
		struct structure *s = sim->structures[i].structure;
		struct host *host = s->subtype == STRUCTURE_HOST ? s->host : NULL;

		if (!host)
			continue;
		r = load_cores(sim, host, topologies, ret_error);
		if (r < 0)
			return r;
		free(host->address);
		host->address = strdup(s->name);
		if (!host->address)
			return -ENOMEM;
		host->connected = true;
		host_rebuild_accounting(model, host);
	}
	for (size_t i = 0; i < sim->n_structures; i++) {
		struct structure *s = sim->structures[i].structure;

		if (s->subtype != STRUCTURE_CONTAINER)
			continue;
		/* Without a host, too: it is measured. */
		s->live = true;
		if (s->host)
			hold_limits(sim, s);
	}
	return 0;
}

/* --- rules and services --- */

int scenario_load_rules(struct simulation *sim, char **ret_error)
{
	struct model *model = sim->model;
	json_t *list, *doc;
	size_t i;
	int r;

	r = scenario_list(sim->scenario, "rules", &list, ret_error);
	if (r < 0)
		return r;
	if (!list)
		return 0;
	json_object_clear(model->rules);
	json_array_foreach(list, i, doc) {
		_cleanup_free_ char *error = NULL;
		struct rule rule;

		r = rule_from_json(doc, &rule, &error);
		if (r == -EINVAL) {
			model_log(model, LOG_LEVEL_WARNING, "rules[%zu] is ignored: %s", i,
				  error ? error : "not a rule");
			continue;
		}
		if (r < 0)
			return r;
		rule_clear(&rule);
		if (json_object_set_new(model->rules,
					json_string_value(json_object_get(doc, "name")),
					json_deep_copy(doc)) < 0)
			return -ENOMEM;
	}
	/* These and no others: a standby adds no default ones. */
	model->leading = false;
	r = model_load_rules(model);
	model->leading = true;
	return r;
}

int scenario_load_services(struct simulation *sim, char **ret_error)
{
	struct model *model = sim->model;
	const json_t *of_guardian = NULL;
	json_t *list, *doc;
	size_t i;
	int r;

	r = scenario_list(sim->scenario, "services", &list, ret_error);
	if (r < 0)
		return r;
	json_array_foreach(list, i, doc) {
		_cleanup_free_ char *error = NULL;
		const char *name = json_string_value(json_object_get(doc, "name"));

		r = model_set_service(model, doc, &error);
		if (r == -EINVAL) {
			model_log(model, LOG_LEVEL_WARNING, "services[%zu]%s%s is ignored: %s", i,
				  name ? " " : "", name ? name : "",
				  error ? error : "not a service");
			continue;
		}
		if (r < 0)
			return r;
		if (strcmp(name, "guardian") == 0)
			of_guardian = json_object_get(doc, "config");
	}
	sim->guardian = model->guardian;
	sim->window = model->guardian.window_timelapse;
	sim->delay = model->guardian.window_delay;
	sim->longest = json_object_get(of_guardian, "EVENT_TIMEOUT")
			       ? model->guardian.event_timeout / EVENT_SAMPLES
			       : INFINITY;
	return 0;
}
