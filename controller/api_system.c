/* SPDX-License-Identifier: Apache-2.0 */
/* /heartbeat, /feed, /metrics and /decision/: the controller about itself. */
#include "api.h"

#include <stdio.h>
#include <string.h>

#include "metrics.h"
#include "openapi.h"
#include "ebb/cleanup.h"
#include "ebb/loop.h"
#include "ebb/util.h"

/* Decisions, unless ?limit says. */
#define DECISIONS_DEFAULT 100

/* How the state fares. NULL on no memory. */
static json_t *state_health(struct store *store)
{
	struct store_stats stats;

	store_get_stats(store, &stats);
	/* Cut inside a character, perhaps. */
	while (*stats.last_error && !utf8_is_valid(stats.last_error, strlen(stats.last_error)))
		stats.last_error[strlen(stats.last_error) - 1] = '\0';
	return json_pack("{s:b, s:b, s:I, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s}",
			 "following", stats.following, "reachable", stats.reachable, "queued",
			 (json_int_t)stats.queued, "oldest_queued_s", stats.oldest_queued_s,
			 "writes", (json_int_t)stats.writes, "unchanged",
			 (json_int_t)stats.unchanged, "conflicts", (json_int_t)stats.conflicts,
			 "changes", (json_int_t)stats.changes, "refused", (json_int_t)stats.refused,
			 "unconfirmed", (json_int_t)stats.unconfirmed, "failures",
			 (json_int_t)stats.failures, "last_error", stats.last_error);
}

/* How the series fare; the same keys as in an agent's heartbeat. NULL: there are none. */
static json_t *opentsdb_health(struct series *series)
{
	struct series_stats stats;
	const struct tsdb_stats *tsdb = &stats.tsdb;

	series_get_stats(series, &stats);
	if (!stats.has_tsdb)
		return NULL;
	return json_pack(
		"{s:b, s:I, s:f, s:I, s:I, s:s}", "reachable", tsdb->reachable, "waiting_points",
		(json_int_t)tsdb->waiting_points, "oldest_s", tsdb->oldest_s, "dropped",
		(json_int_t)tsdb->dropped, "rejected", (json_int_t)tsdb->rejected, "error",
		utf8_is_valid(tsdb->last_error, strlen(tsdb->last_error)) ? tsdb->last_error
									  : "see the log");
}

static void heartbeat(void *userdata, struct http_call *call)
{
	struct api *api = userdata;
	struct model *model = api->model;
	size_t containers, guarded, connected = 0, n_hosts;
	bool guardian, scaler, leading;
	json_t *reply;

	model_lock(model);
	containers = model->n_of[STRUCTURE_CONTAINER];
	guarded = model->n_guarded;
	n_hosts = model->n_hosts;
	for (size_t i = 0; i < n_hosts; i++)
		connected += model->hosts[i]->connected;
	leading = model->leading;
	guardian = model->guardian.active;
	scaler = model->scaler.active;
	model_unlock(model);

	reply = json_pack("{s:s, s:s, s:f, s:I, s:I, s:I, s:I, s:b, s:b}", "status", "alive",
			  "version", EBB_VERSION, "uptime", wall_seconds() - api->started, "hosts",
			  (json_int_t)n_hosts, "hosts_connected", (json_int_t)connected,
			  "containers", (json_int_t)containers, "guarded", (json_int_t)guarded,
			  "guardian_active", guardian, "scaler_active", scaler);
	/* Only who leads hears of the hosts. */
	if (reply && !leading)
		json_object_set_new(reply, "hosts_connected", json_null());
	if (api->store)
		json_object_set_new(reply, "state", state_health(api->store));
	if (api->series) {
		json_t *health = opentsdb_health(api->series);

		if (health)
			json_object_set_new(reply, "opentsdb", health);
	}
	if (reply && api->leader) {
		_cleanup_json_ json_t *state = api_leader_json(api);

		json_object_set(reply, "role", json_object_get(state, "role"));
		json_object_set(reply, "leader", json_object_get(state, "leader"));
		json_object_set(reply, "term", json_object_get(state, "term"));
	}
	api_reply(call, reply);
}

static void feed_post(void *userdata, struct http_call *call)
{
	struct api *api = userdata;

	feed_handle(api->feed, call);
}

static void metrics_get(void *userdata, struct http_call *call)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r;

	r = metrics_format(userdata, &text, &len);
	if (r < 0)
		api_reply_failure(call, r, NULL);
	else
		http_reply_text(call, 200, "text/plain; version=0.0.4; charset=utf-8", text, len);
}

static void openapi_get(void *userdata, struct http_call *call)
{
	http_reply_text(call, 200, "application/json", openapi_json, openapi_json_len);
}

/* Of nothing there is no decision; of what is not known neither. True: answered 404. */
static bool is_unknown(struct api *api, struct http_call *call, const char *name)
{
	bool known;

	model_lock(api->model);
	known = model_structure(api->model, name) || model_user(api->model, name);
	model_unlock(api->model);
	if (!known)
		http_reply_error(call, 404,
				 "There is no structure '%s', and no decision about one. "
				 "GET /structure/ lists those that are known",
				 name);
	return !known;
}

/* GET /decision/?structure=&resource=&origin=&outcome=&limit=&start=ID, newest first. */
static void decision_list(void *userdata, struct http_call *call)
{
	struct api *api = userdata;
	const char *resource = http_query(call, "resource");
	struct audit_page wanted = {
		.filter =
			{
				.structure = http_query(call, "structure"),
				.origin = http_query(call, "origin"),
				.outcome = http_query(call, "outcome"),
				.resource = EBB_RESOURCE_INVALID,
			},
	};
	_cleanup_json_ json_t *list = NULL;
	char last[32] = "";
	struct api_page page;
	size_t total = 0;
	bool more = false;

	if (!api_page(call, &page))
		return;
	if (page.start && (parse_u64(page.start, &wanted.before) < 0 || !wanted.before)) {
		http_reply_error(call, 400, "?start= takes the id of a decision here");
		return;
	}
	if (resource) {
		wanted.filter.resource = ebb_resource_from_name(resource);
		if (wanted.filter.resource == EBB_RESOURCE_INVALID) {
			http_reply_error(call, 400, "?resource= takes the name of a resource");
			return;
		}
	}
	wanted.limit = http_query(call, "limit") ? page.limit : DECISIONS_DEFAULT;
	list = audit_query_page(api->audit, &wanted, &total, &more);
	if (list && !total && wanted.filter.structure &&
	    is_unknown(api, call, wanted.filter.structure))
		return;
	if (list && more)
		snprintf(last, sizeof(last), "%" JSON_INTEGER_FORMAT,
			 json_integer_value(json_object_get(
				 json_array_get(list, json_array_size(list) - 1), "id")));
	if (list)
		api_page_headers(call, total, *last ? last : NULL);
	api_reply(call, TAKE_PTR(list));
}

const struct http_route api_system_routes[] = {
	{HTTP_GET, "/heartbeat", heartbeat, true},
	{HTTP_POST, "/feed", feed_post, false},
	{HTTP_GET, "/metrics", metrics_get, false},
	{HTTP_GET, "/openapi.json", openapi_get, false},
	{HTTP_GET, "/decision", decision_list, false},
};
const size_t api_system_n_routes = ARRAY_SIZE(api_system_routes);
