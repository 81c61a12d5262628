/* SPDX-License-Identifier: Apache-2.0 */
/* What a scenario says happens: usages and requests, in the order of their time. */
#include "scenario_private.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"

#define AMOUNT_MAX 1e15
/* Within the float error of times of 1e10 s. */
#define EPSILON 1e-6

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
			return scenario_member_fail(ret_error, "usages", index, name,
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
		return scenario_member_fail(ret_error, "usages", index, member,
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
	r = scenario_check_members(doc, where, known, ARRAY_SIZE(known), ret_error);
	if (r >= 0)
		r = scenario_seconds(doc, "usages", index, "at", &usage->at, ret_error);
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

int scenario_load_usages(struct simulation *sim, char **ret_error)
{
	json_t *list, *doc;
	size_t i;
	int r;

	r = scenario_list(sim->scenario, "usages", &list, ret_error);
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

	r = scenario_seconds(doc, "requests", index, "at", &request->at, ret_error);
	if (r < 0)
		return r;
	request->timestamp = request->at;
	if (json_object_get(doc, "timestamp")) {
		r = scenario_seconds(doc, "requests", index, "timestamp", &request->timestamp,
				     ret_error);
		if (r < 0)
			return r;
		request->timestamp = fmin(request->timestamp, request->at);
	}
	if (!resource || ebb_resource_from_name(resource) == EBB_RESOURCE_INVALID)
		return scenario_member_fail(
			ret_error, "requests", index, "resource",
			"must be cpu, mem, disk_read, disk_write, net or energy");
	/* One that cannot be done, of 0 shares, is an operation that is refused. */
	if (json_to_double(json_object_get(doc, "amount"), &amount) < 0)
		return scenario_member_fail(ret_error, "requests", index, "amount",
					    "must be a number: what is asked for beyond the limit "
					    "now, below 0 for less");
	text = json_string_value(field);
	if (field && (!text || (strcmp(text, "current") && strcmp(text, "max"))))
		return scenario_member_fail(ret_error, "requests", index, "field",
					    "must be current or max");
	text = json_string_value(type);
	if (type && (!text || (strcmp(text, "container") && strcmp(text, "application") &&
			       strcmp(text, "user"))))
		return scenario_member_fail(ret_error, "requests", index, "structure_type",
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

int scenario_load_requests(struct simulation *sim, char **ret_error)
{
	json_t *list, *doc;
	size_t i;
	int r;

	r = scenario_list(sim->scenario, "requests", &list, ret_error);
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
