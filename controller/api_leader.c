/* SPDX-License-Identifier: Apache-2.0 */
/* /leader: who of the controllers leads, and what they ask each other; and what a standby does with
 * calls that are the leader's. */
#include "api.h"

#include <math.h>
#include <string.h>

#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/util.h"

json_t *api_leader_json(struct api *api)
{
	struct leader_state state;
	json_t *json;

	leader_get_state(api->leader, &state);
	json = json_pack("{s:s, s:s, s:s?, s:I, s:I, s:s}", "role",
			 state.acts ? "leader" : "standby", "instance", state.instance, "leader",
			 state.holder[0] ? state.holder : NULL, "term", (json_int_t)state.term,
			 "takeovers", (json_int_t)state.takeovers, "error", state.error);
	if (json && isfinite(state.renewed_age_s))
		json_object_set_new(json, "renewed_age_s", json_real(state.renewed_age_s));
	if (json) {
		json_t *standbys = json_array();
		char *save, *url = strtok_r(state.standby, " ", &save);

		for (; url; url = strtok_r(NULL, " ", &save))
			json_array_append_new(standbys, json_string(url));
		json_object_set_new(json, "standbys", standbys);
	}
	return json;
}

static bool has_leader(struct api *api, struct http_call *call)
{
	if (api->leader)
		return true;
	http_reply_error(call, 404, "This controller has no others beside it");
	return false;
}

static void leader_get(void *userdata, struct http_call *call)
{
	struct api *api = userdata;

	if (has_leader(api, call))
		api_reply(call, api_leader_json(api));
}

/* {"term", "instance", "acts"} */
static void promise_post(void *userdata, struct http_call *call)
{
	struct api *api = userdata;
	_cleanup_json_ json_t *body = has_leader(api, call) ? http_body_object(call) : NULL;
	const json_t *term = json_object_get(body, "term");
	const char *asks = json_string_value(json_object_get(body, "instance")), *ours;
	uint64_t known;
	bool promised;

	if (!body)
		return;
	if (!json_is_integer(term) || json_integer_value(term) < 1 || !asks || !*asks) {
		http_reply_error(call, 400, "A leader asks with its \"term\" and \"instance\"");
		return;
	}
	promised = leader_promise(api->leader, (uint64_t)json_integer_value(term), asks,
				  json_is_true(json_object_get(body, "acts")), &known, &ours);
	api_reply(call, json_pack("{s:b, s:s, s:I}", "promised", promised, "instance", ours, "term",
				  (json_int_t)known));
}

/* {"url", "instance"} */
static void ask_post(void *userdata, struct http_call *call)
{
	struct api *api = userdata;
	_cleanup_json_ json_t *body = has_leader(api, call) ? http_body_object(call) : NULL;
	const char *url = json_string_value(json_object_get(body, "url")), *ours;
	const char *asks = json_string_value(json_object_get(body, "instance"));
	bool acts;

	if (!body)
		return;
	if (!url || !name_is_sane(url, 255) || !asks || !name_is_sane(asks, 16)) {
		http_reply_error(call, 400, "A standby asks with its \"url\" and \"instance\"");
		return;
	}
	acts = leader_asked(api->leader, url, asks, &ours);
	api_reply(call, json_pack("{s:b, s:s}", "acts", acts, "instance", ours));
}

/* Reads are answered anywhere; these too, because they are about the leader. */
static bool is_for_anybody(const struct http_route *route)
{
	return route->method == HTTP_GET || route->handler == promise_post ||
	       route->handler == ask_post || strcmp(route->pattern, "/feed") == 0;
}

/* Where else it has to go; nowhere while this one changes from one to the other. */
static void show_the_way(const struct leader_state *state, struct http_call *call)
{
	_cleanup_free_ char *target = NULL, *location = NULL;

	if (state->acts || !state->holder[0]) {
		http_reply_header(call, "Retry-After", "1");
		http_reply_error(call, 503,
				 "No controller leads at the moment%s%s: nothing can be changed. "
				 "Try again in a few seconds",
				 state->error[0] ? ", " : "", state->error);
		return;
	}
	target = http_call_target(call);
	if (strncmp(state->holder, "http", 4) != 0 || !target ||
	    asprintf(&location, "%s%s", state->holder, target) < 0) {
		location = NULL;
		http_reply_error(call, 503, "This controller stands by: ask the one that leads, %s",
				 state->holder);
		return;
	}
	http_reply_header(call, "Location", location);
	http_reply_error(call, 307, "This controller stands by: %s leads", state->holder);
}

bool api_admit(void *userdata, const struct http_route *route, struct http_call *call)
{
	struct api *api = userdata;
	struct leader_state state;
	uint64_t term;

	if (!api->leader || is_for_anybody(route) || leader_acts(api->leader, &term))
		return true;
	leader_get_state(api->leader, &state);
	if (state.acts)
		return true;
	show_the_way(&state, call);
	return false;
}

bool api_lock_to_change(struct api *api, struct http_call *call)
{
	struct leader_state state = {0};

	model_lock(api->model);
	if (api->model->leading)
		return true;
	model_unlock(api->model);
	if (api->leader)
		leader_get_state(api->leader, &state);
	show_the_way(&state, call);
	return false;
}

const struct http_route api_leader_routes[] = {
	{HTTP_GET, "/leader", leader_get, false},
	{HTTP_POST, "/leader/promise", promise_post, false},
	{HTTP_POST, "/leader/ask", ask_post, false},
};
const size_t api_leader_n_routes = ARRAY_SIZE(api_leader_routes);
