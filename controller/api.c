/* SPDX-License-Identifier: Apache-2.0 */
/* What the groups of routes share: finding things, reading values from bodies, answering. */
#include "api.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "ebb/cleanup.h"
#include "ebb/util.h"

int api_routes(struct http_route **ret_routes, size_t *ret_n)
{
	const struct {
		const struct http_route *routes;
		size_t n;
	} groups[] = {
		{api_subscription_routes, api_subscription_n_routes},
		{api_structure_routes, api_structure_n_routes},
		{api_structure_read_routes, api_structure_read_n_routes},
		{api_limits_routes, api_limits_n_routes},
		{api_rule_routes, api_rule_n_routes},
		{api_service_routes, api_service_n_routes},
		{api_system_routes, api_system_n_routes},
		{api_leader_routes, api_leader_n_routes},
		{api_user_routes, api_user_n_routes},
		{api_sanity_routes, api_sanity_n_routes},
	};
	struct http_route *routes;
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
		n += groups[i].n;
	routes = calloc(n, sizeof(*routes));
	if (!routes)
		return -ENOMEM;
	n = 0;
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		memcpy(routes + n, groups[i].routes, groups[i].n * sizeof(*routes));
		n += groups[i].n;
	}
	*ret_routes = routes;
	*ret_n = n;
	return 0;
}

static struct structure *lock_structure(struct api *api, struct http_call *call, enum store_db db)
{
	const char *name = call->captures[0], *kind = db == DB_USERS ? "user" : "structure";
	struct structure *structure;
	_cleanup_json_ json_t *doc = NULL;

	if (call->method == HTTP_GET)
		model_lock(api->model);
	else if (!api_lock_to_change(api, call))
		return NULL;
	structure =
		db == DB_USERS ? model_user(api->model, name) : model_structure(api->model, name);
	if (!structure) {
		model_unlock(api->model);
		http_reply_error(call, 404,
				 "There is no %s '%s'. GET /%s/ lists those that are known", kind,
				 name, kind);
		return NULL;
	}
	if (call->method == HTTP_GET)
		return structure;
	if (structure->subscription) {
		model_unlock(api->model);
		http_reply_error(call, 409, "%s is being subscribed: wait for the outcome", name);
		return NULL;
	}
	if (!api_is_conditional(call))
		return structure;
	doc = db == DB_LIMITS ? structure_limits_to_json(structure) : structure_to_json(structure);
	if (api_may_change(call, db, doc))
		return structure;
	model_unlock(api->model);
	return NULL;
}

struct structure *api_lock_structure(struct api *api, struct http_call *call)
{
	return lock_structure(api, call, DB_STRUCTURES);
}

struct structure *api_lock_limits(struct api *api, struct http_call *call)
{
	return lock_structure(api, call, DB_LIMITS);
}

struct structure *api_lock_user(struct api *api, struct http_call *call)
{
	return lock_structure(api, call, DB_USERS);
}

struct structure *api_second_application(struct api *api, struct http_call *call)
{
	struct structure *app = model_structure(api->model, call->captures[1]);

	if (app && app->subtype == STRUCTURE_APPLICATION)
		return app;
	model_unlock(api->model);
	http_reply_error(call, 404,
			 "There is no application '%s'. GET /structure/?subtype=application lists "
			 "those that are known",
			 call->captures[1]);
	return NULL;
}

static enum store_db db_of(const char *kind)
{
	return strcmp(kind, "rule") ? DB_SERVICES : DB_RULES;
}

json_t *api_lock_document(struct api *api, struct http_call *call, json_t *const *docs,
			  const char *kind)
{
	const json_t *doc;
	json_t *copy;

	if (call->method == HTTP_GET)
		model_lock(api->model);
	else if (!api_lock_to_change(api, call))
		return NULL;
	doc = json_object_get(*docs, call->captures[0]);
	copy = json_deep_copy(doc);
	if (copy && (call->method == HTTP_GET || api_may_change(call, db_of(kind), doc)))
		return copy;
	model_unlock(api->model);
	if (!doc)
		http_reply_error(call, 404,
				 "There is no %s '%s'. GET /%s/ lists those that are known", kind,
				 call->captures[0], kind);
	else if (!copy)
		api_reply(call, NULL);
	json_decref(copy);
	return NULL;
}

void api_reply_document(struct api *api, struct http_call *call, json_t *const *docs,
			const char *kind)
{
	_cleanup_json_ json_t *doc = api_lock_document(api, call, docs, kind);

	if (!doc)
		return;
	model_unlock(api->model);
	api_etag(call, db_of(kind), doc);
	if (!api_if_none_match(call, db_of(kind), doc))
		api_reply(call, TAKE_PTR(doc));
}

bool api_resource(struct http_call *call, int index, enum ebb_resource *ret_resource)
{
	enum ebb_resource resource = ebb_resource_from_name(call->captures[index]);

	if (resource == EBB_RESOURCE_INVALID) {
		http_reply_error(call, 400,
				 "Resource '%s' is not valid. Use cpu, mem, disk_read, disk_write, "
				 "net or energy",
				 call->captures[index]);
		return false;
	}
	*ret_resource = resource;
	return true;
}

bool api_body_member(struct http_call *call, const char *key, json_t **ret_body, json_t **ret_value)
{
	_cleanup_json_ json_t *body = NULL;
	json_t *value;

	body = http_body_object(call);
	if (!body)
		return false;
	value = json_object_get(body, key);
	if (!value) {
		http_reply_error(call, 400, "The body has no \"%s\"", key);
		return false;
	}
	*ret_body = TAKE_PTR(body);
	*ret_value = value;
	return true;
}

bool api_number(struct http_call *call, const json_t *value, const char *what, double *ret_number)
{
	double number = NAN;

	if (json_is_number(value))
		number = json_number_value(value);
	else if (!json_is_string(value) || parse_double(json_string_value(value), &number) < 0)
		number = NAN;
	if (!isfinite(number)) {
		http_reply_error(call, 400, "%s must be a number, such as 100 or \"100\"", what);
		return false;
	}
	*ret_number = number;
	return true;
}

bool api_integer(struct http_call *call, const json_t *value, const char *what, int64_t min,
		 int64_t max, int64_t *ret_integer)
{
	double number;

	if (!api_number(call, value, what, &number))
		return false;
	if (number != trunc(number) || number < (double)min || number > (double)max) {
		http_reply_error(call, 400, "%s must be a whole number from %lld to %lld", what,
				 (long long)min, (long long)max);
		return false;
	}
	*ret_integer = (int64_t)number;
	return true;
}

bool api_string(struct http_call *call, const json_t *value, const char *what,
		const char **ret_string)
{
	if (!json_is_string(value) || !*json_string_value(value)) {
		http_reply_error(call, 400, "%s must be a string that is not empty", what);
		return false;
	}
	*ret_string = json_string_value(value);
	return true;
}

void api_reply_failure(struct http_call *call, int err, const char *message)
{
	unsigned status;

	switch (-err) {
	case EINVAL:
	case ERANGE: status = 400; break;
	case ENOENT:
	case ENODATA: status = 404; break;
	case ENOSPC:
	case EBUSY:
	case EEXIST: status = 409; break;
	default: status = 500; break;
	}
	http_reply_error(call, status, "%s", message ? message : strerror(-err));
}

void api_reply(struct http_call *call, json_t *body)
{
	if (body)
		http_reply_json(call, 200, body);
	else
		http_reply_error(call, 500, "The controller is out of memory");
}

void api_reply_changed(struct http_call *call, enum store_db db, json_t *doc)
{
	if (doc)
		api_etag(call, db, doc);
	api_reply(call, doc);
}

void api_end_change(struct api *api, struct http_call *call, struct structure *structure,
		    enum store_db db, int err, const char *error)
{
	json_t *doc = NULL;

	if (err >= 0) {
		scaler_run_for(api->scaler, structure);
		model_settle(api->model);
		doc = db == DB_LIMITS ? structure_limits_to_json(structure)
				      : structure_to_json(structure);
	}
	model_unlock(api->model);
	if (err < 0)
		api_reply_failure(call, err, error);
	else
		api_reply_changed(call, db, doc);
}

void api_reply_part(struct http_call *call, const json_t *doc, const char *member)
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
