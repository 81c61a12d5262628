/* SPDX-License-Identifier: Apache-2.0 */
/* /user/: users and the applications they own (spec 3.5). */
#include "api.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "hierarchy.h"
#include "subscription.h"
#include "ebb/cleanup.h"

/* More is a slip of the hand: a million cores, a PiB of memory. */
#define RANGE_MAX (1LL << 30)

/* Some at a time: a site with many users has many documents to build. */
#define USERS_AT_ONCE 32

/* Appends up to USERS_AT_ONCE after `cursor` (an empty one: the first), which moves on. Returns how
 * many there were. */
static size_t add_users(struct model *model, char cursor[256], size_t limit, json_t *list)
{
	void *users[USERS_AT_ONCE];
	size_t n;

	model_lock(model);
	n = name_order_after(model->user_order, *cursor ? cursor : NULL, users,
			     MIN(limit, ARRAY_SIZE(users)));
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, structure_to_json(users[i]));
	if (n)
		snprintf(cursor, 256, "%s", ((const struct structure *)users[n - 1])->name);
	model_unlock(model);
	return n;
}

static void user_list(void *userdata, struct http_call *call)
{
	struct api *api = userdata;
	_cleanup_json_ json_t *list = NULL;
	char cursor[256] = "";
	struct api_page page;
	size_t n, left, total;
	void *next;
	bool more;

	if (!api_page(call, &page))
		return;
	snprintf(cursor, sizeof(cursor), "%s", page.start ? page.start : "");
	list = json_array();
	left = page.limit;
	do {
		n = add_users(api->model, cursor, left, list);
		left -= n;
	} while (n && left);
	model_lock(api->model);
	total = name_order_size(api->model->user_order);
	more = *cursor && name_order_after(api->model->user_order, cursor, &next, 1);
	model_unlock(api->model);
	api_page_headers(call, total, more ? cursor : NULL);
	api_reply(call, TAKE_PTR(list));
}

static void user_get(void *userdata, struct http_call *call)
{
	struct api *api = userdata;
	const struct structure *user = api_lock_user(api, call);
	_cleanup_json_ json_t *doc = NULL;

	if (!user)
		return;
	doc = structure_to_json(user);
	model_unlock(api->model);
	if (!doc) {
		api_reply(call, NULL);
		return;
	}
	api_etag(call, DB_USERS, doc);
	if (!api_if_none_match(call, DB_USERS, doc))
		api_reply(call, TAKE_PTR(doc));
}

static void user_put(void *userdata, struct http_call *call)
{
	struct api *api = userdata;
	_cleanup_json_ json_t *body = http_body_object(call);
	_cleanup_free_ char *error = NULL;
	struct structure *user;
	int r;

	if (!body || !api_lock_to_change(api, call))
		return;
	user = model_user(api->model, call->captures[0]);
	if (!api_may_change_structure(call, user)) {
		model_unlock(api->model);
		return;
	}
	r = subscribe_user(api->model, call->captures[0], body, &user, &error);
	api_end_change(api, call, user, DB_USERS, r, error);
}

/* Answers with the document as it was. */
static void user_delete(void *userdata, struct http_call *call)
{
	struct api *api = userdata;
	struct structure *user = api_lock_user(api, call);
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
	struct structure *user = api_lock_user(api, call), *app;
	_cleanup_free_ char *error = NULL;
	int r;

	if (!user)
		return;
	app = api_second_application(api, call);
	if (!app)
		return;
	r = change(api->model, user, app, &error);
	/* The original's answer to what is no member. */
	api_end_change(api, call, user, DB_USERS, r == -ENOENT ? -EINVAL : r, error);
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
	user = api_lock_user(api, call);
	if (!user)
		return;
	r = model_set_parameter(api->model, user, resource, param, weight ? number : (double)whole,
				&error);
	api_end_change(api, call, user, DB_USERS, r, error);
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

static void set_guard(struct api *api, struct http_call *call, bool guard)
{
	struct structure *user = api_lock_user(api, call);
	_cleanup_free_ char *error = NULL;
	int r;

	if (!user)
		return;
	r = model_guard(api->model, user, guard, &error);
	if (r >= 0 && !guard)
		scaler_unguarded(api->scaler, user);
	api_end_change(api, call, user, DB_USERS, r, error);
}

static void guard_put(void *userdata, struct http_call *call)
{
	set_guard(userdata, call, true);
}

static void unguard_put(void *userdata, struct http_call *call)
{
	set_guard(userdata, call, false);
}

static void set_resource_guard(struct api *api, struct http_call *call, bool guard)
{
	_cleanup_free_ char *error = NULL;
	enum ebb_resource resource;
	struct structure *user;
	int r;

	if (!api_resource(call, 1, &resource))
		return;
	user = api_lock_user(api, call);
	if (!user)
		return;
	r = model_guard_resources(api->model, user, 1u << resource, guard, &error);
	api_end_change(api, call, user, DB_USERS, r, error);
}

static void resource_guard_put(void *userdata, struct http_call *call)
{
	set_resource_guard(userdata, call, true);
}

static void resource_unguard_put(void *userdata, struct http_call *call)
{
	set_resource_guard(userdata, call, false);
}

const struct http_route api_user_routes[] = {
	{HTTP_GET, "/user", user_list, false},
	{HTTP_PUT, "/user/clusters/*/*", clusters_put, false},
	{HTTP_DELETE, "/user/clusters/*/*", clusters_delete, false},
	{HTTP_GET, "/user/*", user_get, false},
	{HTTP_PUT, "/user/*", user_put, false},
	{HTTP_DELETE, "/user/*", user_delete, false},
	{HTTP_PUT, "/user/*/guard", guard_put, false},
	{HTTP_PUT, "/user/*/unguard", unguard_put, false},
	{HTTP_PUT, "/user/*/resources/*/guard", resource_guard_put, false},
	{HTTP_PUT, "/user/*/resources/*/unguard", resource_unguard_put, false},
	{HTTP_PUT, "/user/*/resources/*/*", range_put, false},
	{HTTP_PUT, "/user/*/energy/max", energy_put, false},
};
const size_t api_user_n_routes = ARRAY_SIZE(api_user_routes);
