/* SPDX-License-Identifier: Apache-2.0 */
/* /structure/: reading structures, their ranges, guarding, boundaries (spec 3.3). */
#include "api.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ebb/cleanup.h"
#include "ebb/loop.h"

/* ?guard=true; -1: not asked. False: answered 400. */
static bool query_bool(struct http_call *call, const char *key, int *ret_value)
{
	const char *text = http_query(call, key);

	if (!text)
		*ret_value = -1;
	else if (!strcmp(text, "true") || !strcmp(text, "1"))
		*ret_value = 1;
	else if (!strcmp(text, "false") || !strcmp(text, "0"))
		*ret_value = 0;
	else {
		http_reply_error(call, 400, "?%s= takes true or false", key);
		return false;
	}
	return true;
}

/*
 * ?live adds what is measured rather than kept: {"connected", "heard_s", "throttled", "resources":
 * {"cpu": {"usage", "upper", "lower"}}}; what is not known is left out.
 */
static json_t *to_json(struct model *model, const struct structure *s, bool live)
{
	const struct host *host = model_host(model, s->host_name ? s->host_name : s->name);
	json_t *doc = structure_to_json(s), *more, *resources;

	/* A standby shows what the leader wrote. */
	if (doc && host && s->subtype == STRUCTURE_HOST &&
	    (model->leading || !json_object_get(doc, "feed_in_use")))
		json_object_set_new(doc, "feed_in_use", json_string(host_feed_name(host)));
	if (!doc || !live)
		return doc;
	more = json_object();
	resources = json_object();
	/* Only who leads hears of the hosts; who did knows what was. */
	if (host && model->leading) {
		json_object_set_new(more, "connected", json_boolean(host->connected));
		if (host->last_heard > 0)
			json_object_set_new(more, "heard_s",
					    json_real(wall_seconds() - host->last_heard));
		json_object_set_new(more, "agentless", json_boolean(host->agentless));
	}
	if (isfinite(s->throttled) && model->leading)
		json_object_set_new(more, "throttled", json_real(s->throttled));
	for (int i = 0; i < EBB_RESOURCE_MAX; i++) {
		const struct resource_state *state = &s->resources[i];
		json_t *object;

		if (!state->present)
			continue;
		object = json_object();
		if (isfinite(state->usage) && model->leading)
			json_object_set_new(object, "usage", json_real(state->usage));
		if (state->has_boundary && state->upper >= 0) {
			json_object_set_new(object, "upper", json_integer(state->upper));
			json_object_set_new(object, "lower", json_integer(state->lower));
		}
		json_object_set_new(resources, ebb_resource_name(i), object);
	}
	json_object_set_new(more, "resources", resources);
	json_object_set_new(doc, "live", more);
	return doc;
}

struct filter {
	const char *subtype, *host; /* NULL: any */
	int guard;                  /* -1: any */
};

static bool passes(const struct filter *filter, const struct structure *s)
{
	return (!filter->subtype || !strcmp(filter->subtype, structure_subtype_name(s->subtype))) &&
	       (!filter->host || !strcmp(filter->host, s->host_name ? s->host_name : s->name)) &&
	       (filter->guard < 0 || s->guard == filter->guard);
}

/* One after the other, each with its NUL. Caller frees. */
static int names_of(struct model *model, const struct filter *filter, char **ret_names,
		    size_t *ret_size)
{
	FILE *out = open_memstream(ret_names, ret_size);
	struct structure *s;

	if (!out)
		return -ENOMEM;
	model_lock(model);
	model_foreach_structure(model, s) {
		if (passes(filter, s))
			fwrite(s->name, 1, strlen(s->name) + 1, out);
	}
	model_unlock(model);
	return fclose(out) ? -ENOMEM : 0;
}

/*
 * A document takes some 10 microseconds: of thousands, all at once would hold the feed up for as
 * long as a reaction may take. So it is some at a time, and they are serialised in between.
 */
#define DOCUMENTS_AT_ONCE 32

static int list_documents(struct model *model, const char *names, size_t size, bool live, FILE *out)
{
	const char *name = names, *end = names + size;
	bool first = true;

	fputc('[', out);
	while (name < end) {
		_cleanup_json_ json_t *some = json_array();
		json_t *doc;
		size_t i;

		if (!some)
			return -ENOMEM;
		model_lock(model);
		for (i = 0; i < DOCUMENTS_AT_ONCE && name < end; i++) {
			const struct structure *s = model_structure(model, name);

			/* It may have gone meanwhile. */
			if (s)
				json_array_append_new(some, to_json(model, s, live));
			name += strlen(name) + 1;
		}
		model_unlock(model);
		json_array_foreach(some, i, doc) {
			if (!first)
				fputc(',', out);
			first = false;
			if (json_dumpf(doc, out, JSON_COMPACT | JSON_REAL_PRECISION(15)))
				return -ENOMEM;
		}
	}
	fputc(']', out);
	return 0;
}

/* GET /structure/?subtype=&host=&guard=&live */
static void structure_list(void *userdata, struct http_call *call)
{
	struct api *api = userdata;
	struct filter filter = {
		.subtype = http_query(call, "subtype"),
		.host = http_query(call, "host"),
	};
	_cleanup_free_ char *names = NULL, *text = NULL;
	size_t names_size = 0, len = 0;
	FILE *out;
	int r;

	if (!query_bool(call, "guard", &filter.guard))
		return;
	r = names_of(api->model, &filter, &names, &names_size);
	out = r < 0 ? NULL : open_memstream(&text, &len);
	if (out) {
		r = list_documents(api->model, names, names_size, http_query(call, "live"), out);
		if (fclose(out))
			r = -ENOMEM;
	}
	if (r < 0 || !out)
		api_reply(call, NULL);
	else
		http_reply_text(call, 200, "application/json", text, len);
}

static void structure_get(void *userdata, struct http_call *call)
{
	struct api *api = userdata;
	struct structure *s = api_lock_structure(api, call);
	json_t *doc;

	if (!s)
		return;
	doc = to_json(api->model, s, http_query(call, "live"));
	model_unlock(api->model);
	api_reply(call, doc);
}

/* Answers the part of `doc` that the captures from the second on lead to, below `member`. */
static void reply_part(struct http_call *call, const json_t *doc, const char *member)
{
	json_t *part = json_object_get(doc, member);

	for (int i = 1; part && i < HTTP_MAX_CAPTURES && call->captures[i]; i++) {
		part = json_object_get(part, call->captures[i]);
		if (!part) {
			http_reply_error(call, 404, "'%s' has no '%s' under %s", call->captures[0],
					 call->captures[i], member);
			return;
		}
	}
	if (!part)
		http_reply_error(call, 404, "'%s' has no %s", call->captures[0], member);
	else
		api_reply(call, json_incref(part));
}

static void resources_get(void *userdata, struct http_call *call)
{
	struct api *api = userdata;
	struct structure *s = api_lock_structure(api, call);
	_cleanup_json_ json_t *doc = NULL;

	if (!s)
		return;
	doc = structure_to_json(s);
	model_unlock(api->model);
	reply_part(call, doc, "resources");
}

static void limits_get(void *userdata, struct http_call *call)
{
	struct api *api = userdata;
	struct structure *s = api_lock_structure(api, call);
	_cleanup_json_ json_t *doc = NULL;

	if (!s)
		return;
	doc = structure_limits_to_json(s);
	model_unlock(api->model);
	reply_part(call, doc, "resources");
}

/*
 * Ends a change under the lock: lets the scaler order what follows from it and answers with the
 * structure's document, or with the limits document when `limits`.
 */
static void finish(struct api *api, struct http_call *call, struct structure *s, int r,
		   const char *error, bool limits)
{
	json_t *doc = NULL;

	if (r >= 0) {
		scaler_run(api->scaler);
		doc = limits ? structure_limits_to_json(s) : structure_to_json(s);
	}
	model_unlock(api->model);
	if (r < 0)
		api_reply_failure(call, r, error);
	else
		api_reply(call, doc);
}

static void set_guard(struct api *api, struct http_call *call, bool guard)
{
	struct structure *s = api_lock_structure(api, call);
	_cleanup_free_ char *error = NULL;
	int r;

	if (!s)
		return;
	r = model_guard(api->model, s, guard, &error);
	if (r >= 0 && !guard)
		scaler_unguarded(api->scaler, s);
	finish(api, call, s, r, error, false);
}

static void structure_guard(void *userdata, struct http_call *call)
{
	set_guard(userdata, call, true);
}

static void structure_unguard(void *userdata, struct http_call *call)
{
	set_guard(userdata, call, false);
}

static void set_resources_guard(struct api *api, struct http_call *call, unsigned mask, bool guard)
{
	struct structure *s = api_lock_structure(api, call);
	_cleanup_free_ char *error = NULL;
	int r;

	if (!s)
		return;
	r = model_guard_resources(api->model, s, mask, guard, &error);
	finish(api, call, s, r, error, false);
}

static void resource_guard(void *userdata, struct http_call *call)
{
	enum ebb_resource resource;

	if (api_resource(call, 1, &resource))
		set_resources_guard(userdata, call, 1u << resource, true);
}

static void resource_unguard(void *userdata, struct http_call *call)
{
	enum ebb_resource resource;

	if (api_resource(call, 1, &resource))
		set_resources_guard(userdata, call, 1u << resource, false);
}

/* {"resources": ["cpu", "mem"]} */
static bool read_resources(struct http_call *call, unsigned *ret_mask)
{
	_cleanup_json_ json_t *body = NULL;
	json_t *list, *item;
	unsigned mask = 0;
	size_t i;

	if (!api_body_member(call, "resources", &body, &list))
		return false;
	if (!json_array_size(list)) {
		http_reply_error(
			call, 400,
			"\"resources\" must be a list of names, such as [\"cpu\",\"mem\"]");
		return false;
	}
	json_array_foreach(list, i, item) {
		const char *name = json_string_value(item);
		enum ebb_resource r = name ? ebb_resource_from_name(name) : EBB_RESOURCE_INVALID;

		if (r == EBB_RESOURCE_INVALID) {
			http_reply_error(call, 400,
					 "Resource '%s' is not valid. Use cpu, mem, disk_read, "
					 "disk_write, net or energy",
					 name ? name : "(not a string)");
			return false;
		}
		mask |= 1u << r;
	}
	*ret_mask = mask;
	return true;
}

static void resources_guard(void *userdata, struct http_call *call)
{
	unsigned mask;

	if (read_resources(call, &mask))
		set_resources_guard(userdata, call, mask, true);
}

static void resources_unguard(void *userdata, struct http_call *call)
{
	unsigned mask;

	if (read_resources(call, &mask))
		set_resources_guard(userdata, call, mask, false);
}

/*
 * After min rose above the limit of a guarded resource: asks for the difference, instead of waiting
 * for usage to make a rule do so. (Below a lowered max the model brings the limit itself.)
 */
static void request_into_range(struct api *api, struct structure *s, enum ebb_resource resource)
{
	const struct resource_state *state = &s->resources[resource];
	int64_t amount;
	struct request request = {
		.structure = s,
		.resource = resource,
		.timestamp = wall_seconds(),
		.origin = "api",
	};
	struct decision *decision = &request.decision;

	decision_init(decision);
	if (!s->guard || !state->guard || state->current < 0)
		return;
	amount = CLAMP(state->current, state->min, state->max) - state->current;
	if (!amount)
		return;
	request.amount = amount;
	decision->resource = resource;
	decision->usage = decision->peak = state->usage;
	decision->throttled = s->throttled;
	decision->current = state->current;
	decision->upper = state->upper;
	decision->lower = state->lower;
	decision->min = state->min;
	decision->max = state->max;
	decision->requested = amount;
	(void)scaler_request(api->scaler, &request);
}

/* Weights are compared with each other: what is more than this is a slip of the hand. */
#define WEIGHT_MAX 1000000

/* PUT .../resources/R/{max|min|weight} {"value": N} */
static void parameter_put(void *userdata, struct http_call *call)
{
	struct api *api = userdata;
	const char *param = call->captures[2];
	_cleanup_json_ json_t *body = NULL;
	_cleanup_free_ char *error = NULL;
	enum ebb_resource resource;
	struct structure *s;
	int64_t integer;
	json_t *value;
	double number;
	int r;

	if (!api_resource(call, 1, &resource))
		return;
	if (strcmp(param, "max") && strcmp(param, "min") && strcmp(param, "weight")) {
		http_reply_error(call, 400,
				 "Parameter '%s' cannot be set. Use max, min or weight; the limit "
				 "in force follows from them and from usage",
				 param);
		return;
	}
	if (!api_body_member(call, "value", &body, &value))
		return;
	if (!strcmp(param, "weight")) {
		if (!api_number(call, value, "weight", &number))
			return;
		if (number < 0 || number > WEIGHT_MAX) {
			http_reply_error(call, 400, "weight must be 0 to %d", WEIGHT_MAX);
			return;
		}
	} else {
		/* A million cores, or a PiB of memory: more is a slip of the hand. */
		if (!api_integer(call, value, param, 0, 1LL << 30, &integer))
			return;
		number = (double)integer;
	}

	s = api_lock_structure(api, call);
	if (!s)
		return;
	r = model_set_parameter(api->model, s, resource, param, number, &error);
	if (r >= 0)
		request_into_range(api, s, resource);
	finish(api, call, s, r, error, false);
}

static void boundary_put(void *userdata, struct http_call *call)
{
	struct api *api = userdata;
	_cleanup_json_ json_t *body = NULL;
	_cleanup_free_ char *error = NULL;
	enum ebb_resource resource;
	struct structure *s;
	int64_t boundary;
	json_t *value;
	int r;

	if (!api_resource(call, 1, &resource) || !api_body_member(call, "value", &body, &value) ||
	    !api_integer(call, value, "boundary, a percentage,", 0, 100, &boundary))
		return;
	s = api_lock_structure(api, call);
	if (!s)
		return;
	r = model_set_boundary(api->model, s, resource, (int)boundary, &error);
	finish(api, call, s, r, error, true);
}

static void boundary_type_put(void *userdata, struct http_call *call)
{
	struct api *api = userdata;
	_cleanup_json_ json_t *body = NULL;
	_cleanup_free_ char *error = NULL;
	enum ebb_resource resource;
	struct structure *s;
	const char *type;
	json_t *value;
	int r;

	if (!api_resource(call, 1, &resource) || !api_body_member(call, "value", &body, &value) ||
	    !api_string(call, value, "boundary_type", &type))
		return;
	s = api_lock_structure(api, call);
	if (!s)
		return;
	r = model_set_boundary_type(api->model, s, resource, type, &error);
	finish(api, call, s, r, error, true);
}

/* The first pattern that fits is taken: words before '*'. */
/* {"value": "opentsdb"}: where a host's containers are measured. */
static void feed_put(void *userdata, struct http_call *call)
{
	struct api *api = userdata;
	_cleanup_json_ json_t *body = NULL;
	json_t *value;
	struct structure *s;
	int r;

	if (!api_body_member(call, "value", &body, &value))
		return;
	if (feed_setting_from_json(value) == FEED_SETTING_MAX) {
		http_reply_error(call, 400, "A host's feed is local, opentsdb or auto");
		return;
	}
	if (feed_setting_from_json(value) == FEED_OPENTSDB && !api->feed_opentsdb) {
		http_reply_error(
			call, 409,
			"This controller has no OpenTSDB to ask: start it with --opentsdb URL");
		return;
	}
	s = api_lock_structure(api, call);
	if (!s)
		return;
	r = model_set_feed(api->model, s, feed_setting_from_json(value));
	finish(api, call, s, r, "Only a host has a feed", false);
}

static void core_distribution_put(void *userdata, struct http_call *call)
{
	struct api *api = userdata;
	_cleanup_json_ json_t *body = NULL;
	enum core_distribution distribution;
	json_t *value;
	struct structure *s;
	int r;

	if (!api_body_member(call, "value", &body, &value))
		return;
	distribution = core_distribution_from_json(value);
	if (distribution == CORES_MAX) {
		http_reply_error(call, 400, "A core distribution is %s", core_distribution_names());
		return;
	}
	s = api_lock_structure(api, call);
	if (!s)
		return;
	r = model_set_core_distribution(api->model, s, distribution);
	finish(api, call, s, r, "Only a host has a core distribution", false);
}

const struct http_route api_structure_routes[] = {
	{HTTP_PUT, "/structure/*/feed", feed_put, false},
	{HTTP_PUT, "/structure/*/core_distribution", core_distribution_put, false},
	{HTTP_GET, "/structure", structure_list, false},
	{HTTP_GET, "/structure/*", structure_get, false},
	{HTTP_PUT, "/structure/*/guard", structure_guard, false},
	{HTTP_PUT, "/structure/*/unguard", structure_unguard, false},
	{HTTP_GET, "/structure/*/resources", resources_get, false},
	{HTTP_GET, "/structure/*/resources/*", resources_get, false},
	{HTTP_GET, "/structure/*/resources/*/*", resources_get, false},
	{HTTP_PUT, "/structure/*/resources/guard", resources_guard, false},
	{HTTP_PUT, "/structure/*/resources/unguard", resources_unguard, false},
	{HTTP_PUT, "/structure/*/resources/*/guard", resource_guard, false},
	{HTTP_PUT, "/structure/*/resources/*/unguard", resource_unguard, false},
	{HTTP_PUT, "/structure/*/resources/*/*", parameter_put, false},
	{HTTP_GET, "/structure/*/limits", limits_get, false},
	{HTTP_GET, "/structure/*/limits/*", limits_get, false},
	{HTTP_PUT, "/structure/*/limits/*/boundary", boundary_put, false},
	{HTTP_PUT, "/structure/*/limits/*/boundary_type", boundary_type_put, false},
};
const size_t api_structure_n_routes = ARRAY_SIZE(api_structure_routes);
