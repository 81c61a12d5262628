/* SPDX-License-Identifier: Apache-2.0 */
/* /structure/{host,container,apps}/: what comes in and goes out, and the state of applications
 * (spec 3.4). */
#include "api.h"

#include <errno.h>
#include <string.h>

#include "hierarchy.h"
#include "subscription.h"
#include "ebb/cleanup.h"

/* Of a subscription that had to wait. */
static void answer(void *userdata, json_t *doc, unsigned status, const char *message)
{
	struct http_deferred *deferred = userdata;

	if (doc) {
		api_resume_etag(deferred, DB_STRUCTURES, doc);
		http_resume_json(deferred, 200, doc);
	} else
		http_resume_error(deferred, status, message);
}

typedef void (*subscribe_fn)(struct subscriber *subscriber, const char *name, json_t *body,
			     subscriber_done_fn done, void *userdata);

/* What is there already: If-Match and If-None-Match are about it. With the lock taken, or answered.
 */
static bool lock_for_put(struct api *api, struct http_call *call)
{
	if (!api_lock_to_change(api, call))
		return false;
	if (api_may_change_structure(call, model_structure(api->model, call->captures[0])))
		return true;
	model_unlock(api->model);
	return false;
}

static void subscribe_later(struct api *api, struct http_call *call, subscribe_fn subscribe)
{
	_cleanup_json_ json_t *body = http_body_object(call);
	_cleanup_free_ char *name = strdup(call->captures[0]);
	struct http_deferred *deferred;
	int r;

	if (!body)
		return;
	if (!api->subscriber) {
		http_reply_error(call, 503, "This controller subscribes nothing");
		return;
	}
	if (!lock_for_put(api, call))
		return;
	model_unlock(api->model);
	r = name ? http_defer(call, &deferred) : -ENOMEM;
	if (r < 0)
		http_reply_error(call, r == -ESHUTDOWN ? 503 : 500, "%s", strerror(-r));
	else
		subscribe(api->subscriber, name, body, answer, deferred);
}

static void host_put(void *userdata, struct http_call *call)
{
	subscribe_later(userdata, call, subscriber_host);
}

static void container_put(void *userdata, struct http_call *call)
{
	subscribe_later(userdata, call, subscriber_container);
}

static void app_put(void *userdata, struct http_call *call)
{
	struct api *api = userdata;
	_cleanup_json_ json_t *body = http_body_object(call);
	_cleanup_free_ char *error = NULL;
	struct structure *s = NULL;
	int r;

	if (!body || !lock_for_put(api, call))
		return;
	r = subscribe_application(api->model, call->captures[0], body, &s, &error);
	api_end_change(api, call, s, DB_STRUCTURES, r, error);
}

/* With the lock taken, or 404. */
static struct structure *lock_named(struct api *api, struct http_call *call,
				    enum structure_subtype subtype)
{
	const char *name = call->captures[0];
	const char *kind = structure_subtype_name(subtype);
	struct structure *s;

	if (!api_lock_to_change(api, call))
		return NULL;
	s = model_structure(api->model, name);
	if (s && s->subtype == subtype)
		return s;
	model_unlock(api->model);
	http_reply_error(call, 404,
			 "There is no %s '%s'. GET /structure/?subtype=%s lists those that are "
			 "known",
			 kind, name, kind);
	return NULL;
}

/* The same, or 412. */
static struct structure *lock_kind(struct api *api, struct http_call *call,
				   enum structure_subtype subtype)
{
	struct structure *s = lock_named(api, call, subtype);

	if (!s || api_may_change_structure(call, s))
		return s;
	model_unlock(api->model);
	return NULL;
}

/* Answers with the document as it was. */
static void desubscribe_kind(struct api *api, struct http_call *call,
			     enum structure_subtype subtype)
{
	struct structure *s = lock_kind(api, call, subtype);
	_cleanup_free_ char *error = NULL;
	json_t *doc;
	int r;

	if (!s)
		return;
	doc = structure_to_json(s);
	r = desubscribe(api->model, api->scaler, s, &error);
	if (r >= 0)
		scaler_run(api->scaler);
	model_unlock(api->model);
	if (r >= 0) {
		api_reply(call, doc);
		return;
	}
	json_decref(doc);
	api_reply_failure(call, r, error);
}

static void host_delete(void *userdata, struct http_call *call)
{
	desubscribe_kind(userdata, call, STRUCTURE_HOST);
}

static void container_delete(void *userdata, struct http_call *call)
{
	desubscribe_kind(userdata, call, STRUCTURE_CONTAINER);
}

static void app_delete(void *userdata, struct http_call *call)
{
	desubscribe_kind(userdata, call, STRUCTURE_APPLICATION);
}

/* --- membership --- */

typedef int (*membership_fn)(struct model *model, struct structure *parent, struct structure *child,
			     char **ret_error);

/* /structure/container/CONTAINER/APPLICATION. It is the application that is changed, that If-Match
 * is about, and that is the answer. */
static void change_membership(struct api *api, struct http_call *call, membership_fn change)
{
	struct structure *container = lock_named(api, call, STRUCTURE_CONTAINER);
	_cleanup_free_ char *error = NULL;
	struct structure *app;
	int r;

	if (!container)
		return;
	app = api_second_application(api, call);
	if (!app)
		return;
	if (!api_may_change_structure(call, app)) {
		model_unlock(api->model);
		return;
	}
	r = change(api->model, app, container, &error);
	/* The original's answer to what is no member. */
	api_end_change(api, call, app, DB_STRUCTURES, r == -ENOENT ? -EINVAL : r, error);
}

static void membership_put(void *userdata, struct http_call *call)
{
	change_membership(userdata, call, hierarchy_join);
}

static void membership_delete(void *userdata, struct http_call *call)
{
	change_membership(userdata, call, hierarchy_leave);
}

/* --- disks, states --- */

typedef int (*disks_fn)(struct model *model, struct structure *host, const json_t *body,
			char **ret_error);

static void change_disks(struct api *api, struct http_call *call, disks_fn change)
{
	_cleanup_json_ json_t *body = http_body_object(call);
	_cleanup_free_ char *error = NULL;
	struct structure *s;
	int r;

	if (!body)
		return;
	s = lock_kind(api, call, STRUCTURE_HOST);
	if (!s)
		return;
	r = change(api->model, s, body, &error);
	api_end_change(api, call, s, DB_STRUCTURES, r, error);
}

static void disks_put(void *userdata, struct http_call *call)
{
	change_disks(userdata, call, subscribe_disks);
}

static void disks_post(void *userdata, struct http_call *call)
{
	change_disks(userdata, call, resize_disks);
}

static void state_put(void *userdata, struct http_call *call)
{
	struct api *api = userdata;
	struct structure *s = api_lock_structure(api, call);
	_cleanup_free_ char *error = NULL;
	int r;

	if (!s)
		return;
	r = application_set_state(api->model, s, call->captures[1], &error);
	api_end_change(api, call, s, DB_STRUCTURES, r, error);
}

/* Before those of api_structure.c: "container" and the like come before any name. */
const struct http_route api_subscription_routes[] = {
	{HTTP_PUT, "/structure/host/*", host_put, false},
	{HTTP_DELETE, "/structure/host/*", host_delete, false},
	{HTTP_PUT, "/structure/host/*/disks", disks_put, false},
	{HTTP_POST, "/structure/host/*/disks", disks_post, false},
	{HTTP_PUT, "/structure/container/*", container_put, false},
	{HTTP_DELETE, "/structure/container/*", container_delete, false},
	{HTTP_PUT, "/structure/container/*/*", membership_put, false},
	{HTTP_DELETE, "/structure/container/*/*", membership_delete, false},
	{HTTP_PUT, "/structure/apps/*", app_put, false},
	{HTTP_DELETE, "/structure/apps/*", app_delete, false},
	{HTTP_PUT, "/structure/*/state/*", state_put, false},
};
const size_t api_subscription_n_routes = ARRAY_SIZE(api_subscription_routes);
