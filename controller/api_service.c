/* SPDX-License-Identifier: Apache-2.0 */
/* /service/: the services documents and their configuration keys (spec 3.1). */
#include "api.h"

#include <errno.h>
#include <string.h>

#include "ebb/cleanup.h"
#include "ebb/util.h"

/* Keys whose value is a word; every other string must read as a number or a boolean. */
static bool key_is_text(const char *key)
{
	static const char *const keys[] = {
		"STRUCTURE_GUARDED",
		"ENERGY_MODEL_NAME",
		"ENERGY_MODEL_RELIABILITY",
		"CONTAINERS_SCOPE",
		"BALANCING_METHOD",
		"BALANCING_POLICY",
		"CONTROL_POLICY",
		"POWER_MODEL",
		"EVENTS_SYSTEM",
		"FEED",
		"CORE_DISTRIBUTION",
		"DRIFT",
	};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (!strcmp(key, keys[i]))
			return true;
	return false;
}

static bool key_is_sane(const char *key)
{
	size_t n = strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");

	return n > 0 && n <= 64 && !key[n];
}

/* The value that `key` gets from `given`, with its meaning kept. New reference; NULL when it has
 * none. */
static json_t *value_from_given(const char *key, const json_t *given)
{
	const char *text = json_string_value(given);
	int64_t integer;
	double real;

	switch (json_typeof(given)) {
	case JSON_INTEGER:
	case JSON_REAL:
	case JSON_TRUE:
	case JSON_FALSE: return key_is_text(key) ? NULL : json_copy((json_t *)given);
	case JSON_ARRAY: {
		size_t i;
		json_t *item;
		json_array_foreach((json_t *)given, i, item)
			if (!json_is_string(item) && !json_is_number(item))
				return NULL;
		return json_deep_copy(given);
	}
	case JSON_STRING:
		if (key_is_text(key))
			return *text ? json_string(text) : NULL;
		if (!strcmp(text, "true") || !strcmp(text, "false"))
			return json_boolean(!strcmp(text, "true"));
		if (parse_i64(text, &integer) >= 0)
			return json_integer(integer);
		if (parse_double(text, &real) >= 0)
			return json_real(real);
		return NULL;
	default: return NULL;
	}
}

static void service_list(void *userdata, struct http_call *call)
{
	struct api *api = userdata;

	api_reply_documents(api, call, &api->model->services, NULL);
}

static void service_get(void *userdata, struct http_call *call)
{
	struct api *api = userdata;

	api_reply_document(api, call, &api->model->services, "service");
}

/* Lays `changes`, whose values are final, over the service's configuration: all of them or none. */
static void change_service(struct api *api, struct http_call *call, json_t *changes)
{
	_cleanup_json_ json_t *doc = NULL;
	_cleanup_free_ char *error = NULL;
	json_t *config;
	int r = 0;

	doc = api_lock_document(api, call, &api->model->services, "service");
	if (!doc)
		return;
	config = json_object_get(doc, "config");
	if (json_is_object(config))
		r = json_object_update(config, changes) ? -ENOMEM : 0;
	else
		r = json_object_set(doc, "config", changes) ? -ENOMEM : 0;
	if (r >= 0)
		r = model_set_service(api->model, doc, &error);
	if (r >= 0)
		scaler_run(api->scaler);
	model_unlock(api->model);
	if (r < 0)
		api_reply_failure(call, r, error);
	else
		api_reply_changed(call, DB_SERVICES, TAKE_PTR(doc));
}

static bool add_change(struct http_call *call, json_t *changes, const char *key,
		       const json_t *given)
{
	json_t *value;

	if (!key_is_sane(key)) {
		http_reply_error(call, 400,
				 "'%s' is not a configuration key: capital letters, digits and "
				 "'_', such as WINDOW_TIMELAPSE",
				 key);
		return false;
	}
	value = value_from_given(key, given);
	if (!value) {
		http_reply_error(call, 400, "%s must be %s", key,
				 key_is_text(key)
					 ? "a string that is not empty"
					 : "a number, true, false, or a list of names or numbers");
		return false;
	}
	json_object_set_new(changes, key, value);
	return true;
}

static void service_put(void *userdata, struct http_call *call)
{
	_cleanup_json_ json_t *body = NULL, *changes = json_object();
	const char *key;
	json_t *given;

	body = http_body_object(call);
	if (!body)
		return;
	if (!json_object_size(body)) {
		http_reply_error(call, 400, "The body has no key. Send {\"KEY\": value, ...}");
		return;
	}
	json_object_foreach(body, key, given)
		if (!add_change(call, changes, key, given))
			return;
	change_service(userdata, call, changes);
}

static void service_put_key(void *userdata, struct http_call *call)
{
	_cleanup_json_ json_t *body = NULL, *changes = json_object();
	json_t *given;

	if (!api_body_member(call, "value", &body, &given) ||
	    !add_change(call, changes, call->captures[1], given))
		return;
	change_service(userdata, call, changes);
}

const struct http_route api_service_routes[] = {
	{HTTP_GET, "/service", service_list, false},
	{HTTP_GET, "/service/*", service_get, false},
	{HTTP_PUT, "/service/*", service_put, false},
	{HTTP_PUT, "/service/*/*", service_put_key, false},
};
const size_t api_service_n_routes = ARRAY_SIZE(api_service_routes);
