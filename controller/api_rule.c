/* SPDX-License-Identifier: Apache-2.0 */
/* /rule/: reading the rules, writing them, switching them, tuning their numbers (spec 3.2). */
#include "api.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "ebb/cleanup.h"

struct rule_filter {
	const char *resource, *generates; /* NULL: any */
	int active;                       /* -1: any */
};

static bool has_text(const json_t *doc, const char *key, const char *wanted)
{
	const char *text = json_string_value(json_object_get(doc, key));

	return !wanted || (text && strcmp(text, wanted) == 0);
}

static bool passes(const struct api_filter *filter, const json_t *doc)
{
	const struct rule_filter *wanted = filter->userdata;

	return has_text(doc, "resource", wanted->resource) &&
	       has_text(doc, "generates", wanted->generates) &&
	       (wanted->active < 0 ||
		json_is_true(json_object_get(doc, "active")) == (wanted->active != 0));
}

/* GET /rule/?resource=&generates=&active=&limit=&start= */
static void rule_list(void *userdata, struct http_call *call)
{
	struct api *api = userdata;
	struct rule_filter wanted = {
		.resource = http_query(call, "resource"),
		.generates = http_query(call, "generates"),
	};
	const struct api_filter filter = {passes, &wanted};

	if (api_query_bool(call, "active", &wanted.active))
		api_reply_documents(api, call, &api->model->rules, &filter);
}

static void rule_get(void *userdata, struct http_call *call)
{
	struct api *api = userdata;

	api_reply_document(api, call, &api->model->rules, "rule");
}

/* Conditions of more than this are no rules; the model's lock is held while they are compiled. */
#define RULE_BYTES_MAX 65536

/* Changes `doc`, a copy; what it needs of the body was read before the lock was taken. */
struct rule_change {
	int (*apply)(json_t *doc, const struct rule_change *change, char **ret_error);
	bool active;
	double number;
	const char *text; /* policy, event type: the body's */
};

static void change_rule(struct api *api, struct http_call *call, const struct rule_change *change)
{
	_cleanup_json_ json_t *doc = NULL;
	_cleanup_free_ char *error = NULL;
	int r;

	doc = api_lock_document(api, call, &api->model->rules, "rule");
	if (!doc)
		return;
	r = change->apply(doc, change, &error);
	if (r >= 0)
		r = model_set_rule(api->model, doc, &error);
	model_unlock(api->model);
	if (r < 0)
		api_reply_failure(call, r, error);
	else
		api_reply_changed(call, DB_RULES, TAKE_PTR(doc));
}

static int apply_active(json_t *doc, const struct rule_change *change, char **ret_error)
{
	return json_object_set_new(doc, "active", json_boolean(change->active)) ? -ENOMEM : 0;
}

static void rule_activate(void *userdata, struct http_call *call)
{
	change_rule(userdata, call, &(struct rule_change){apply_active, .active = true});
}

static void rule_deactivate(void *userdata, struct http_call *call)
{
	change_rule(userdata, call, &(struct rule_change){apply_active, .active = false});
}

static int apply_amount(json_t *doc, const struct rule_change *change, char **ret_error)
{
	return rule_set_amount(doc, change->number, ret_error);
}

/* {"value": 75} */
static void rule_amount(void *userdata, struct http_call *call)
{
	struct rule_change change = {.apply = apply_amount};
	_cleanup_json_ json_t *body = NULL;
	json_t *value;

	if (api_body_member(call, "value", &body, &value) &&
	    api_number(call, value, "value", &change.number))
		change_rule(userdata, call, &change);
}

static int apply_policy(json_t *doc, const struct rule_change *change, char **ret_error)
{
	return rule_set_policy(doc, change->text, ret_error);
}

/* {"value": "proportional"} */
static void rule_policy(void *userdata, struct http_call *call)
{
	struct rule_change change = {.apply = apply_policy};
	_cleanup_json_ json_t *body = NULL;
	json_t *value;

	if (api_body_member(call, "value", &body, &value) &&
	    api_string(call, value, "value", &change.text))
		change_rule(userdata, call, &change);
}

static int apply_events(json_t *doc, const struct rule_change *change, char **ret_error)
{
	return rule_set_events_required(doc, change->text, (int)change->number, ret_error);
}

/* {"event_type": "up", "value": 4} */
static void rule_events_required(void *userdata, struct http_call *call)
{
	struct rule_change change = {.apply = apply_events};
	_cleanup_json_ json_t *body = NULL;
	json_t *value;
	int64_t events;

	if (!api_body_member(call, "value", &body, &value) ||
	    !api_integer(call, value, "value", 0, INT_MAX, &events) ||
	    !api_string(call, json_object_get(body, "event_type"),
			"event_type (\"up\" or \"down\")", &change.text))
		return;
	change.number = (double)events;
	change_rule(userdata, call, &change);
}

/* What the path and the database say of it; NULL: answered. */
static json_t *rule_from_body(struct http_call *call)
{
	const char *name = call->captures[0], *key, *given;
	_cleanup_json_ json_t *doc = NULL;
	json_t *value;
	void *next;

	if (call->body_len > RULE_BYTES_MAX) {
		http_reply_error(call, 413, "A rule may have at most %d bytes", RULE_BYTES_MAX);
		return NULL;
	}
	doc = http_body_object(call);
	if (!doc)
		return NULL;
	json_object_foreach_safe(doc, next, key, value)
		if (*key == '_')
			json_object_del(doc, key);
	given = json_string_value(json_object_get(doc, "name"));
	if (json_object_get(doc, "name") && (!given || strcmp(given, name) != 0)) {
		http_reply_error(call, 400, "The body has the name of another rule than '%s'",
				 name);
		return NULL;
	}
	given = json_string_value(json_object_get(doc, "type"));
	if (json_object_get(doc, "type") && (!given || strcmp(given, "rule") != 0)) {
		http_reply_error(call, 400, "\"type\" of a rule is \"rule\"");
		return NULL;
	}
	/* CouchDB's name for it; the original's documents have both. */
	if (json_object_set_new(doc, "_id", json_string(name)) < 0 ||
	    json_object_set_new(doc, "name", json_string(name)) < 0 ||
	    json_object_set_new(doc, "type", json_string("rule")) < 0) {
		api_reply(call, NULL);
		return NULL;
	}
	return TAKE_PTR(doc);
}

/* The whole document: replaces the one that is there, or adds it. */
static void rule_put(void *userdata, struct http_call *call)
{
	struct api *api = userdata;
	_cleanup_json_ json_t *doc = rule_from_body(call);
	_cleanup_free_ char *error = NULL;
	bool may;
	int r = 0;

	if (!doc)
		return;
	if (!api_lock_to_change(api, call))
		return;
	may = api_may_change(call, DB_RULES, json_object_get(api->model->rules, call->captures[0]));
	if (may)
		r = model_set_rule(api->model, doc, &error);
	model_unlock(api->model);
	if (!may)
		return;
	if (r < 0)
		api_reply_failure(call, r, error);
	else
		api_reply_changed(call, DB_RULES, TAKE_PTR(doc));
}

static void rule_delete(void *userdata, struct http_call *call)
{
	struct api *api = userdata;
	_cleanup_json_ json_t *doc = NULL;
	int r;

	doc = api_lock_document(api, call, &api->model->rules, "rule");
	if (!doc)
		return;
	r = model_delete_rule(api->model, call->captures[0]);
	model_unlock(api->model);
	if (r < 0)
		api_reply_failure(call, r, NULL);
	else
		api_reply(call, TAKE_PTR(doc));
}

const struct http_route api_rule_routes[] = {
	{HTTP_GET, "/rule", rule_list, false},
	{HTTP_GET, "/rule/*", rule_get, false},
	{HTTP_PUT, "/rule/*", rule_put, false},
	{HTTP_DELETE, "/rule/*", rule_delete, false},
	{HTTP_PUT, "/rule/*/activate", rule_activate, false},
	{HTTP_PUT, "/rule/*/deactivate", rule_deactivate, false},
	{HTTP_PUT, "/rule/*/amount", rule_amount, false},
	{HTTP_PUT, "/rule/*/policy", rule_policy, false},
	{HTTP_PUT, "/rule/*/events_required", rule_events_required, false},
};
const size_t api_rule_n_routes = ARRAY_SIZE(api_rule_routes);
