/* SPDX-License-Identifier: Apache-2.0 */
/* /structure/: what can be changed about a structure: its ranges, guarding (spec 3.3). */
#include "api.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "drift.h"
#include "headroom.h"
#include "ebb/cleanup.h"
#include "ebb/loop.h"

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
	api_end_change(api, call, s, DB_STRUCTURES, r, error);
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
	api_end_change(api, call, s, DB_STRUCTURES, r, error);
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
		.absolute = true,
	};

	if (!s->guard || !state->guard || state->current < 0)
		return;
	amount = CLAMP(state->current, state->min, state->max) - state->current;
	if (!amount)
		return;
	request.amount = amount;
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
	if (strcmp(param, "max") && strcmp(param, "min") && strcmp(param, "weight") &&
	    (strcmp(param, "current") || resource != EBB_ENERGY)) {
		http_reply_error(call, 400,
				 "Parameter '%s' cannot be set. Use max, min or weight; the limit "
				 "in force follows from them and from usage (but that of energy, "
				 "current)",
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
	api_end_change(api, call, s, DB_STRUCTURES, r, error);
}

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
	api_end_change(api, call, s, DB_STRUCTURES, r, "Only a host has a feed");
}

/* {"value": "manual"}: what becomes of a limit that somebody else changed; null: as on the site. */
static void drift_put(void *userdata, struct http_call *call)
{
	struct api *api = userdata;
	_cleanup_json_ json_t *body = NULL;
	json_t *value;
	struct structure *s;
	int r;

	if (!api_body_member(call, "value", &body, &value))
		return;
	if (!json_is_null(value) && drift_from_json(value) == DRIFT_MAX) {
		http_reply_error(call, 400,
				 "drift is reassert, accept or manual; null: what DRIFT of the "
				 "service scaler says");
		return;
	}
	s = api_lock_structure(api, call);
	if (!s)
		return;
	r = drift_set_policy(api->model, s, json_is_null(value) ? "" : json_string_value(value));
	api_end_change(api, call, s, DB_STRUCTURES, r, "Only a container's limits drift");
}

/* {"value": false}: its agent raises nothing of it by itself. */
static void reflex_put(void *userdata, struct http_call *call)
{
	struct api *api = userdata;
	_cleanup_json_ json_t *body = NULL;
	const char *text;
	json_t *value;
	struct structure *s;
	bool on;
	int r;

	if (!api_body_member(call, "value", &body, &value))
		return;
	text = json_string_value(value);
	on = json_is_true(value) || (text && !strcmp(text, "true"));
	if (!on && !json_is_false(value) && !(text && !strcmp(text, "false"))) {
		http_reply_error(call, 400, "reflex is true or false");
		return;
	}
	s = api_lock_structure(api, call);
	if (!s)
		return;
	r = headroom_set_reflex(api->model, s, on);
	api_end_change(api, call, s, DB_STRUCTURES, r, "Only a container has a reflex");
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
	api_end_change(api, call, s, DB_STRUCTURES, r, "Only a host has a core distribution");
}

/* The first pattern that fits is taken: words before '*'. */
const struct http_route api_structure_routes[] = {
	{HTTP_PUT, "/structure/*/feed", feed_put, false},
	{HTTP_PUT, "/structure/*/core_distribution", core_distribution_put, false},
	{HTTP_PUT, "/structure/*/drift", drift_put, false},
	{HTTP_PUT, "/structure/*/reflex", reflex_put, false},
	{HTTP_PUT, "/structure/*/guard", structure_guard, false},
	{HTTP_PUT, "/structure/*/unguard", structure_unguard, false},
	{HTTP_PUT, "/structure/*/resources/guard", resources_guard, false},
	{HTTP_PUT, "/structure/*/resources/unguard", resources_unguard, false},
	{HTTP_PUT, "/structure/*/resources/*/guard", resource_guard, false},
	{HTTP_PUT, "/structure/*/resources/*/unguard", resource_unguard, false},
	{HTTP_PUT, "/structure/*/resources/*/*", parameter_put, false},
};
const size_t api_structure_n_routes = ARRAY_SIZE(api_structure_routes);
