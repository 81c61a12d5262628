/* SPDX-License-Identifier: Apache-2.0 */
/* /user/: users and the applications they own (spec 3.5). */
#include "api.h"

#include <errno.h>
#include <string.h>

#include "hierarchy.h"
#include "subscription.h"
#include "ebb/cleanup.h"

/* More is a slip of the hand: a million cores, a PiB of memory. */
#define RANGE_MAX (1LL << 30)

/* With the lock taken, or 404. */
static struct structure *lock_user(struct api *api, struct http_call *call)
{
	struct structure *user;

	model_lock(api->model);
	user = model_user(api->model, call->captures[0]);
	if (user)
		return user;
	model_unlock(api->model);
	http_reply_error(call, 404, "There is no user '%s'. GET /user/ lists those that are known",
			 call->captures[0]);
	return NULL;
}

/* Releases the lock and answers, with the document of `s` when it went well. */
static void finish(struct api *api, struct http_call *call, const struct structure *s, int r,
		   const char *error)
{
	json_t *doc = r < 0 ? NULL : structure_to_json(s);

	model_unlock(api->model);
	if (r < 0)
		api_reply_failure(call, r, error);
	else
		api_reply(call, doc);
}

static void user_list(void *userdata, struct http_call *call)
{
	struct api *api = userdata;
	json_t *list = json_array();
	const struct structure *user;

	model_lock(api->model);
	model_foreach_user(api->model, user) json_array_append_new(list, structure_to_json(user));
	model_unlock(api->model);
	api_reply(call, list);
}

static void user_get(void *userdata, struct http_call *call)
{
	struct api *api = userdata;
	const struct structure *user = lock_user(api, call);

	if (user)
		finish(api, call, user, 0, NULL);
}

static void user_put(void *userdata, struct http_call *call)
{
	struct api *api = userdata;
	_cleanup_json_ json_t *body = http_body_object(call);
	_cleanup_free_ char *error = NULL;
	struct structure *user = NULL;
	int r;

	if (!body)
		return;
	model_lock(api->model);
	r = subscribe_user(api->model, call->captures[0], body, &user, &error);
	finish(api, call, user, r, error);
}

/* Answers with the document as it was. */
static void user_delete(void *userdata, struct http_call *call)
{
	struct api *api = userdata;
	struct structure *user = lock_user(api, call);
	_cleanup_free_ char *error = NULL;
	json_t *doc;
	int r;

	if (!user)
		return;
	doc = structure_to_json(user);
	r = desubscribe(api->model, api->scaler, user, &error);
	model_unlock(api->model);
	if (r >= 0) {
		api_reply(call, doc);
		return;
	}
	json_decref(doc);
	api_reply_failure(call, r, error);
}

typedef int (*membership_fn)(struct model *model, struct structure *parent, struct structure *child,
			     char **ret_error);

static void change_clusters(struct api *api, struct http_call *call, membership_fn change)
{
	struct structure *user = lock_user(api, call), *app;
	_cleanup_free_ char *error = NULL;
	int r;

	if (!user)
		return;
	app = model_structure(api->model, call->captures[1]);
	if (!app || app->subtype != STRUCTURE_APPLICATION) {
		model_unlock(api->model);
		http_reply_error(call, 404,
				 "There is no application '%s'. GET "
				 "/structure/?subtype=application lists those that are known",
				 call->captures[1]);
		return;
	}
	r = change(api->model, user, app, &error);
	/* The original's answer to what is no member. */
	finish(api, call, user, r == -ENOENT ? -EINVAL : r, error);
}

static void clusters_put(void *userdata, struct http_call *call)
{
	change_clusters(userdata, call, hierarchy_join);
}

static void clusters_delete(void *userdata, struct http_call *call)
{
	change_clusters(userdata, call, hierarchy_leave);
}

static void set_range(struct api *api, struct http_call *call, enum ebb_resource resource,
		      const char *param)
{
	_cleanup_json_ json_t *body = NULL;
	_cleanup_free_ char *error = NULL;
	bool weight = strcmp(param, "weight") == 0;
	struct structure *user;
	double number = 0;
	int64_t whole = 0;
	json_t *value;
	int r;

	if (strcmp(param, "max") && strcmp(param, "min") && !weight) {
		http_reply_error(call, 400,
				 "Parameter '%s' of a user cannot be set. Use max, min or weight",
				 param);
		return;
	}
	if (!api_body_member(call, "value", &body, &value) ||
	    (weight ? !api_number(call, value, param, &number)
		    : !api_integer(call, value, param, 0, RANGE_MAX, &whole)))
		return;
	user = lock_user(api, call);
	if (!user)
		return;
	r = model_set_parameter(api->model, user, resource, param, weight ? number : (double)whole,
				&error);
	finish(api, call, user, r, error);
}

static void range_put(void *userdata, struct http_call *call)
{
	enum ebb_resource resource;

	if (api_resource(call, 1, &resource))
		set_range(userdata, call, resource, call->captures[2]);
}

/* As the original's documents and one of its scripts have it. */
static void energy_put(void *userdata, struct http_call *call)
{
	set_range(userdata, call, EBB_ENERGY, "max");
}

const struct http_route api_user_routes[] = {
	{HTTP_GET, "/user", user_list, false},
	{HTTP_PUT, "/user/clusters/*/*", clusters_put, false},
	{HTTP_DELETE, "/user/clusters/*/*", clusters_delete, false},
	{HTTP_GET, "/user/*", user_get, false},
	{HTTP_PUT, "/user/*", user_put, false},
	{HTTP_DELETE, "/user/*", user_delete, false},
	{HTTP_PUT, "/user/*/resources/*/*", range_put, false},
	{HTTP_PUT, "/user/*/energy/max", energy_put, false},
};
const size_t api_user_n_routes = ARRAY_SIZE(api_user_routes);
