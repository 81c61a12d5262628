/* SPDX-License-Identifier: Apache-2.0 */
/* /rule/: reading the rules, switching them, tuning their numbers (spec 3.2). */
#include "api.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "ebb/cleanup.h"

static void rule_list(void *userdata, struct http_call *call)
{
	struct api *api = userdata;

	api_reply_documents(api, call, &api->model->rules);
}

static void rule_get(void *userdata, struct http_call *call)
{
	struct api *api = userdata;

	api_reply_document(api, call, &api->model->rules, "rule");
}

/* What a PUT wants of the document; read from the body before the lock is taken. */
struct rule_change {
	enum { CHANGE_ACTIVE, CHANGE_AMOUNT, CHANGE_POLICY, CHANGE_EVENTS } kind;
	bool active;
	double number;
	const char *text; /* policy, event type: the body's */
};

static bool read_change(struct http_call *call, struct rule_change *ret_change, json_t **ret_body)
{
	const char *what = call->captures[1];
	struct rule_change change = {};
	_cleanup_json_ json_t *body = NULL;
	json_t *value;
	int64_t events;

	if (!strcmp(what, "activate") || !strcmp(what, "deactivate")) {
		change.kind = CHANGE_ACTIVE;
		change.active = !strcmp(what, "activate");
	} else if (!strcmp(what, "amount")) {
		change.kind = CHANGE_AMOUNT;
		if (!api_body_member(call, "value", &body, &value) ||
		    !api_number(call, value, "value", &change.number))
			return false;
	} else if (!strcmp(what, "policy")) {
		change.kind = CHANGE_POLICY;
		if (!api_body_member(call, "value", &body, &value) ||
		    !api_string(call, value, "value", &change.text))
			return false;
	} else if (!strcmp(what, "events_required")) {
		change.kind = CHANGE_EVENTS;
		if (!api_body_member(call, "value", &body, &value) ||
		    !api_integer(call, value, "value", 0, INT_MAX, &events) ||
		    !api_string(call, json_object_get(body, "event_type"),
				"event_type (\"up\" or \"down\")", &change.text))
			return false;
		change.number = events;
	} else {
		http_reply_error(call, 404,
				 "A rule has no '%s'. Use activate, deactivate, amount, policy or "
				 "events_required",
				 what);
		return false;
	}
	*ret_change = change;
	*ret_body = TAKE_PTR(body);
	return true;
}

static int apply_change(json_t *doc, const struct rule_change *change, char **ret_error)
{
	switch (change->kind) {
	case CHANGE_ACTIVE:
		return json_object_set_new(doc, "active", json_boolean(change->active)) ? -ENOMEM
											: 0;
	case CHANGE_AMOUNT: return rule_set_amount(doc, change->number, ret_error);
	case CHANGE_POLICY: return rule_set_policy(doc, change->text, ret_error);
	case CHANGE_EVENTS:
		return rule_set_events_required(doc, change->text, (int)change->number, ret_error);
	}
	return -EINVAL;
}

static void rule_put(void *userdata, struct http_call *call)
{
	struct api *api = userdata;
	struct rule_change change;
	_cleanup_json_ json_t *body = NULL, *doc = NULL;
	_cleanup_free_ char *error = NULL;
	int r;

	if (!read_change(call, &change, &body))
		return;
	doc = api_lock_document(api, call, &api->model->rules, "rule");
	if (!doc)
		return;
	r = apply_change(doc, &change, &error);
	if (r >= 0)
		r = model_set_rule(api->model, doc, &error);
	model_unlock(api->model);
	if (r < 0)
		api_reply_failure(call, r, error);
	else
		api_reply(call, TAKE_PTR(doc));
}

const struct http_route api_rule_routes[] = {
	{HTTP_GET, "/rule", rule_list, false},
	{HTTP_GET, "/rule/*", rule_get, false},
	{HTTP_PUT, "/rule/*/*", rule_put, false},
};
const size_t api_rule_n_routes = ARRAY_SIZE(api_rule_routes);
