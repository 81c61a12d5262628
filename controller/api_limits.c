/* SPDX-License-Identifier: Apache-2.0 */
/* /structure/NAME/limits: boundaries (spec 3.3). */
#include "api.h"

#include "ebb/cleanup.h"

static void limits_get(void *userdata, struct http_call *call)
{
	struct api *api = userdata;
	struct structure *s = api_lock_structure(api, call);
	_cleanup_json_ json_t *doc = NULL;

	if (!s)
		return;
	doc = structure_limits_to_json(s);
	model_unlock(api->model);
	if (doc) {
		api_etag(call, DB_LIMITS, doc);
		if (!call->captures[1] && api_if_none_match(call, DB_LIMITS, doc))
			return;
	}
	api_reply_part(call, doc, "resources");
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
	s = api_lock_limits(api, call);
	if (!s)
		return;
	r = model_set_boundary(api->model, s, resource, (int)boundary, &error);
	api_end_change(api, call, s, DB_LIMITS, r, error);
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
	s = api_lock_limits(api, call);
	if (!s)
		return;
	r = model_set_boundary_type(api->model, s, resource, type, &error);
	api_end_change(api, call, s, DB_LIMITS, r, error);
}

const struct http_route api_limits_routes[] = {
	{HTTP_GET, "/structure/*/limits", limits_get, false},
	{HTTP_GET, "/structure/*/limits/*", limits_get, false},
	{HTTP_PUT, "/structure/*/limits/*/boundary", boundary_put, false},
	{HTTP_PUT, "/structure/*/limits/*/boundary_type", boundary_type_put, false},
};
const size_t api_limits_n_routes = ARRAY_SIZE(api_limits_routes);
