/* SPDX-License-Identifier: Apache-2.0 */
/* A scenario into a model, samples and requests, with everything checked before anything is done.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boundaries.h"
#include "model_private.h"
#include "simulation_private.h"
#include "ebb/cleanup.h"

/* Until the year 2286, so that nanoseconds fit. */
#define SECONDS_MAX 1e10
#define AMOUNT_MAX  1e15
#define CPUS_MAX    65536
/* EVENT_TIMEOUT as it stands: see EVENT_SAMPLES in guardian.c. */
#define EVENT_SAMPLES 20
/* A window shorter than this is one of samples that come many times a second. */
#define WINDOW_OF_MANY 1.0
/* Within the float error of times of 1e10 s. */
#define EPSILON 1e-6

/* --- members --- */

static int member_fail(char **ret_error, const char *list, size_t index, const char *member,
		       const char *expected)
{
	return fail_with(-EINVAL, ret_error, "%s[%zu].%s: %s", list, index, member, expected);
}

static int get_list(const json_t *scenario, const char *name, json_t **ret_list, char **ret_error)
{
	json_t *list = json_object_get(scenario, name), *item;
	size_t i;

	if (json_is_null(list))
		list = NULL;
	if (list && !json_is_array(list))
		return fail_with(-EINVAL, ret_error, "%s: must be an array of objects", name);
	json_array_foreach(list, i, item)
		if (!json_is_object(item))
			return fail_with(-EINVAL, ret_error, "%s[%zu]: must be an object", name, i);
	*ret_list = list;
	return 0;
}

static int get_seconds(const json_t *object, const char *list, size_t index, const char *member,
		       double *ret_seconds, char **ret_error)
{
	double seconds;

	if (json_to_double(json_object_get(object, member), &seconds) < 0 || seconds < 0 ||
	    seconds > SECONDS_MAX)
		return member_fail(ret_error, list, index, member,
				   "must be a number of seconds, 0 to 1e10");
	*ret_seconds = seconds;
	return 0;
}

/* What nobody expects is a slip of the hand: it would be a scenario that says something else. */
static int check_members(const json_t *object, const char *where, const char *const *known,
			 size_t n, char **ret_error)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)object, key, value) {
		size_t i = 0;

		while (i < n && strcmp(key, known[i]) != 0)
			i++;
		if (i == n)
			return fail_with(-EINVAL, ret_error,
					 "%s%s%s: there is no such member; `ebb help simulate` "
					 "lists them",
					 where, *where ? "." : "", key);
	}
	return 0;
}

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

static int load_documents(struct simulation *sim, char **ret_error)
{
	static const char *const lists[] = {"structures", "users"};
	json_t *documents[ARRAY_SIZE(lists)], *doc;
	size_t i, room = 1;
	int r;

	for (size_t k = 0; k < ARRAY_SIZE(lists); k++) {
		r = get_list(sim->scenario, lists[k], &documents[k], ret_error);
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

static int load_limits(struct simulation *sim, char **ret_error)
{
	json_t *list, *doc;
	size_t i;
	int r;

	r = get_list(sim->scenario, "limits", &list, ret_error);
	if (r < 0)
		return r;
	json_array_foreach(list, i, doc) {
		const char *name = json_string_value(json_object_get(doc, "name"));
		_cleanup_free_ char *error = NULL;
		struct simulated *one = simulation_find(sim, name, NULL);

		if (!name)
			return member_fail(ret_error, "limits", i, "name",
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

static int load_hosts(struct simulation *sim, char **ret_error)
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

static int load_rules(struct simulation *sim, char **ret_error)
{
	struct model *model = sim->model;
	json_t *list, *doc;
	size_t i;
	int r;

	r = get_list(sim->scenario, "rules", &list, ret_error);
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

static int load_services(struct simulation *sim, char **ret_error)
{
	struct model *model = sim->model;
	const json_t *of_guardian = NULL;
	json_t *list, *doc;
	size_t i;
	int r;

	r = get_list(sim->scenario, "services", &list, ret_error);
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

static int load_evaluation(struct simulation *sim, char **ret_error)
{
	const json_t *evaluate = json_object_get(sim->scenario, "evaluate");
	const char *text = json_string_value(evaluate);

	if (evaluate && (!text || (strcmp(text, "sample") && strcmp(text, "window"))))
		return fail_with(-EINVAL, ret_error, "evaluate: must be \"sample\" or \"window\"");
	sim->by_window = text && strcmp(text, "window") == 0;
	/* A sample, or the mean over a window, stands for itself. */
	sim->guardian.window_delay = 0;
	if (sim->by_window || sim->window >= WINDOW_OF_MANY)
		sim->guardian.window_timelapse = 1e-3;
	return 0;
}

/* Does it name a structure whose document was of no use? */
static bool is_ignored(const struct simulation *sim, const json_t *doc, const char *member)
{
	const char *name = json_string_value(json_object_get(doc, member));

	return name && json_object_get(sim->ignored, name) && !simulation_find(sim, name, NULL);
}

/* --- usages --- */

static int get_usage(const json_t *doc, size_t index, struct simulated_usage *usage,
		     char **ret_error)
{
	for (int r = 0; r < EBB_RESOURCE_MAX; r++) {
		const char *name = ebb_resource_name(r);
		const json_t *value = json_object_get(doc, name);

		usage->usage[r] = NAN;
		if (!value || json_is_null(value))
			continue;
		/* -1 is how the old system says that there is no data. */
		if (json_to_double(value, &usage->usage[r]) < 0 ||
		    (usage->usage[r] < 0 && usage->usage[r] != -1) || usage->usage[r] > AMOUNT_MAX)
			return member_fail(ret_error, "usages", index, name,
					   "must be a number, 0 or more");
		if (usage->usage[r] >= 0)
			usage->valid |= 1u << r;
	}
	return 0;
}

static int get_share(const json_t *doc, size_t index, const char *member, double most,
		     double *ret_value, char **ret_error)
{
	const json_t *value = json_object_get(doc, member);

	*ret_value = NAN;
	if (!value || json_is_null(value))
		return 0;
	if (json_to_double(value, ret_value) < 0 || *ret_value < 0 || *ret_value > most)
		return member_fail(ret_error, "usages", index, member,
				   most > 1 ? "must be shares, 0 or more"
					    : "must be a share of the periods, 0 to 1");
	return 0;
}

static int load_usage(struct simulation *sim, const json_t *doc, size_t index,
		      struct simulated_usage *usage, char **ret_error)
{
	static const char *const known[] = {"at",  "structure", "structure_type", "throttled",
					    "cpu", "mem",       "disk_read",      "disk_write",
					    "net", "energy",    "held_back"};
	const char *name = json_string_value(json_object_get(doc, "structure"));
	char where[48];
	int r;

	snprintf(where, sizeof(where), "usages[%zu]", index);
	r = check_members(doc, where, known, ARRAY_SIZE(known), ret_error);
	if (r >= 0)
		r = get_seconds(doc, "usages", index, "at", &usage->at, ret_error);
	if (r < 0)
		return r;
	usage->of = simulation_find(sim, name,
				    json_string_value(json_object_get(doc, "structure_type")));
	if (!usage->of)
		return fail_with(-EINVAL, ret_error,
				 "usages[%zu].structure: must be the name of one of structures%s%s",
				 index, name ? ", which has no " : "", name ? name : "");
	if (usage->of->structure->subtype == STRUCTURE_HOST)
		return fail_with(-EINVAL, ret_error,
				 "usages[%zu].structure: %s is a host; usage is of containers, "
				 "applications and users",
				 index, name);
	r = get_usage(doc, index, usage, ret_error);
	if (r >= 0)
		r = get_share(doc, index, "throttled", 1, &usage->throttled, ret_error);
	if (r >= 0)
		r = get_share(doc, index, "held_back", AMOUNT_MAX, &usage->held_back, ret_error);
	usage->index = index;
	usage->due = usage->at;
	return r;
}

static int by_due(const void *a, const void *b)
{
	const struct simulated_usage *x = a, *y = b;

	if (x->due != y->due)
		return x->due < y->due ? -1 : 1;
	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return (x->index > y->index) - (x->index < y->index);
}

/* The first evaluation whose window is over when the sample was taken; a window has no beginning
 * before the first sample's. */
static void set_due(struct simulation *sim)
{
	double first = INFINITY, begin;

	for (size_t i = 0; i < sim->n_usages; i++)
		first = fmin(first, sim->usages[i].at);
	begin = floor(first / sim->window) * sim->window;
	for (size_t i = 0; i < sim->n_usages; i++) {
		struct simulated_usage *usage = &sim->usages[i];
		double n = ceil((usage->at + sim->delay) / sim->window - EPSILON);

		usage->due = fmax(n * sim->window, begin + sim->window);
	}
}

static int load_usages(struct simulation *sim, char **ret_error)
{
	json_t *list, *doc;
	size_t i;
	int r;

	r = get_list(sim->scenario, "usages", &list, ret_error);
	if (r < 0)
		return r;
	sim->usages = calloc(json_array_size(list) + 1, sizeof(*sim->usages));
	if (!sim->usages)
		return -ENOMEM;
	json_array_foreach(list, i, doc) {
		if (is_ignored(sim, doc, "structure"))
			continue;
		r = load_usage(sim, doc, i, &sim->usages[sim->n_usages++], ret_error);
		if (r < 0)
			return r;
	}
	if (sim->by_window && sim->n_usages)
		set_due(sim);
	qsort(sim->usages, sim->n_usages, sizeof(*sim->usages), by_due);
	return 0;
}

/* --- requests --- */

static int check_partner(const struct simulation *sim, const json_t *doc, size_t index,
			 const char *member, char **ret_error)
{
	const char *name = json_string_value(json_object_get(doc, member));
	const struct simulated *one = simulation_find(sim, name, NULL);

	if (!one)
		return fail_with(-EINVAL, ret_error,
				 "requests[%zu].%s: must be the name of one of structures%s%s",
				 index, member, name ? ", which has no " : "", name ? name : "");
	if (one->structure->subtype == STRUCTURE_HOST)
		return fail_with(-EINVAL, ret_error,
				 "requests[%zu].%s: %s is a host, and only containers, "
				 "applications and users are scaled",
				 index, member, name);
	return 0;
}

static int load_request(struct simulation *sim, const json_t *doc, size_t index,
			struct simulated_request *request, char **ret_error)
{
	const char *resource = json_string_value(json_object_get(doc, "resource"));
	const json_t *field = json_object_get(doc, "field");
	const json_t *type = json_object_get(doc, "structure_type");
	const json_t *pair = json_object_get(doc, "pair_structure");
	const char *text;
	double amount;
	int r;

	r = get_seconds(doc, "requests", index, "at", &request->at, ret_error);
	if (r < 0)
		return r;
	request->timestamp = request->at;
	if (json_object_get(doc, "timestamp")) {
		r = get_seconds(doc, "requests", index, "timestamp", &request->timestamp,
				ret_error);
		if (r < 0)
			return r;
		request->timestamp = fmin(request->timestamp, request->at);
	}
	if (!resource || ebb_resource_from_name(resource) == EBB_RESOURCE_INVALID)
		return member_fail(ret_error, "requests", index, "resource",
				   "must be cpu, mem, disk_read, disk_write, net or energy");
	/* One that cannot be done, of 0 shares, is an operation that is refused. */
	if (json_to_double(json_object_get(doc, "amount"), &amount) < 0)
		return member_fail(ret_error, "requests", index, "amount",
				   "must be a number: what is asked for beyond the limit "
				   "now, below 0 for less");
	text = json_string_value(field);
	if (field && (!text || (strcmp(text, "current") && strcmp(text, "max"))))
		return member_fail(ret_error, "requests", index, "field", "must be current or max");
	text = json_string_value(type);
	if (type && (!text || (strcmp(text, "container") && strcmp(text, "application") &&
			       strcmp(text, "user"))))
		return member_fail(ret_error, "requests", index, "structure_type",
				   "must be container, application or user");
	r = check_partner(sim, doc, index, "structure", ret_error);
	if (r >= 0 && pair && !json_is_null(pair))
		r = check_partner(sim, doc, index, "pair_structure", ret_error);
	request->index = index;
	request->doc = doc;
	return r;
}

static int by_time(const void *a, const void *b)
{
	const struct simulated_request *x = a, *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return (x->index > y->index) - (x->index < y->index);
}

static int load_requests(struct simulation *sim, char **ret_error)
{
	json_t *list, *doc;
	size_t i;
	int r;

	r = get_list(sim->scenario, "requests", &list, ret_error);
	if (r < 0)
		return r;
	sim->requests = calloc(json_array_size(list) + 1, sizeof(*sim->requests));
	if (!sim->requests)
		return -ENOMEM;
	json_array_foreach(list, i, doc) {
		if (is_ignored(sim, doc, "structure") || is_ignored(sim, doc, "pair_structure"))
			continue;
		r = load_request(sim, doc, i, &sim->requests[sim->n_requests++], ret_error);
		if (r < 0)
			return r;
	}
	qsort(sim->requests, sim->n_requests, sizeof(*sim->requests), by_time);
	return 0;
}

static int load_until(struct simulation *sim, char **ret_error)
{
	const json_t *until = json_object_get(sim->scenario, "until");

	if (until && !json_is_null(until)) {
		if (json_to_double(until, &sim->until) < 0 || sim->until < 0 ||
		    sim->until > SECONDS_MAX)
			return fail_with(-EINVAL, ret_error,
					 "until: must be a number of seconds, 0 to 1e10");
		return 0;
	}
	if (sim->n_usages)
		sim->until = sim->usages[sim->n_usages - 1].due;
	if (sim->n_requests)
		sim->until = fmax(sim->until, sim->requests[sim->n_requests - 1].at);
	return 0;
}

static void set_begin(struct simulation *sim)
{
	sim->begin = INFINITY;
	for (size_t i = 0; i < sim->n_usages; i++)
		sim->begin = fmin(sim->begin, sim->usages[i].at);
	if (sim->n_requests)
		sim->begin = fmin(sim->begin, sim->requests[0].at);
	if (!isfinite(sim->begin))
		sim->begin = 0;
	if (sim->n_usages && !sim->model->guardian.active)
		model_log(
			sim->model, LOG_LEVEL_WARNING,
			"services: the guardian is not ACTIVE, so nothing is decided from usages");
}

int simulation_load(struct simulation *sim, char **ret_error)
{
	static const char *const known[] = {
		"structures", "limits", "rules",  "services", "topology", "usages",     "requests",
		"until",      "users",  "events", "evaluate", "name",     "description"};
	int r;

	if (!json_is_object(sim->scenario))
		return fail_with(
			-EINVAL, ret_error,
			"a scenario must be one JSON object; `ebb help simulate` shows it");
	r = check_members(sim->scenario, "", known, ARRAY_SIZE(known), ret_error);
	if (r >= 0)
		r = load_documents(sim, ret_error);
	if (r >= 0)
		r = load_limits(sim, ret_error);
	if (r >= 0)
		r = load_rules(sim, ret_error);
	if (r >= 0)
		r = load_services(sim, ret_error);
	if (r >= 0)
		r = load_hosts(sim, ret_error);
	if (r >= 0)
		r = load_evaluation(sim, ret_error);
	if (r >= 0)
		r = load_usages(sim, ret_error);
	if (r >= 0)
		r = load_requests(sim, ret_error);
	if (r >= 0)
		r = load_until(sim, ret_error);
	if (r >= 0)
		set_begin(sim);
	return r;
}
