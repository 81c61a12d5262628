/* SPDX-License-Identifier: Apache-2.0 */
#include "subscriber_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "rescaler.h"
#include "subscription.h"
#include "ebb/cleanup.h"

#define CONNECTIVITY_MS 5000

/* --- life of one --- */

static void subscription_free(struct subscription *sub)
{
	free(sub->name);
	json_decref(sub->body);
	free(sub->host_name);
	free(sub->address);
	json_decref(sub->before);
	json_decref(sub->doc);
	free(sub->message);
	free(sub);
}

static struct subscription *subscription_new(struct subscriber *subscriber, const char *name,
					     json_t *body, subscriber_done_fn done, void *userdata)
{
	struct subscription *sub = calloc(1, sizeof(*sub));

	if (!sub)
		return NULL;
	sub->subscriber = subscriber;
	sub->done = done;
	sub->userdata = userdata;
	sub->body = json_incref(body);
	sub->name = strdup(name);
	if (!sub->name) {
		subscription_free(sub);
		return NULL;
	}
	return sub;
}

void subscription_begin(struct subscription *sub)
{
	struct subscriber *subscriber = sub->subscriber;

	sub->number = ++subscriber->last;
	sub->next = subscriber->under_way;
	subscriber->under_way = sub;
	__atomic_add_fetch(&subscriber->n, 1, __ATOMIC_RELAXED);
}

void subscription_finish(struct subscription *sub)
{
	struct subscriber *subscriber = sub->subscriber;
	struct subscription **link = &subscriber->under_way;

	while (*link && *link != sub)
		link = &(*link)->next;
	if (*link) {
		*link = sub->next;
		__atomic_sub_fetch(&subscriber->n, 1, __ATOMIC_RELAXED);
	}
	sub->stage = STAGE_DONE;
	sub->next = subscriber->finished;
	subscriber->finished = sub;
}

static void answer(struct subscription *sub)
{
	while (sub) {
		struct subscription *next = sub->next;
		json_t *doc = TAKE_PTR(sub->doc);

		sub->done(sub->userdata, doc, sub->status,
			  doc            ? NULL
			  : sub->message ? sub->message
					 : "The controller is out of memory");
		subscription_free(sub);
		sub = next;
	}
}

void subscriber_unlock(struct subscriber *subscriber)
{
	struct subscription *finished = TAKE_PTR(subscriber->finished);

	model_unlock(subscriber->model);
	answer(finished);
}

void subscription_succeed(struct subscription *sub, const struct structure *s)
{
	model_settle(sub->subscriber->model);
	sub->doc = structure_to_json(s);
	sub->status = sub->doc ? 200 : 500;
	subscription_finish(sub);
}

void subscription_blame(struct subscription *sub, unsigned status, char *message)
{
	if (sub->status) {
		free(message);
		return;
	}
	sub->status = status;
	sub->message = message;
}

static unsigned status_of(int err)
{
	switch (-err) {
	case EINVAL: return 400;
	case ENOENT: return 404;
	case EEXIST:
	case EBUSY:
	case ENOSPC: return 409;
	case ESHUTDOWN: return 503;
	default: return 500;
	}
}

void subscription_fail(struct subscription *sub, int err, char *message)
{
	subscription_blame(sub, status_of(err), message);
	subscription_finish(sub);
}

bool subscription_is_lost(struct subscription *sub)
{
	char *message = NULL;

	if (sub->subscriber->model->leading)
		return false;
	/* Whatever went wrong before, it is not settled. */
	free(TAKE_PTR(sub->message));
	sub->status = 0;
	fail_with(0, &message,
		  "This controller does not lead any more: ask the one that does whether %s has "
		  "been subscribed",
		  sub->name);
	subscription_fail(sub, -ESHUTDOWN, message);
	return true;
}

struct subscription *subscriber_by_number(struct subscriber *subscriber, unsigned long number)
{
	struct subscription *sub = subscriber->under_way;

	while (sub && sub->number != number)
		sub = sub->next;
	return sub;
}

static struct subscription *by_name(struct subscriber *subscriber, const char *name)
{
	struct subscription *sub = subscriber->under_way;

	while (sub && strcmp(sub->name, name) != 0)
		sub = sub->next;
	return sub;
}

int subscription_refuse_twice(struct subscriber *subscriber, const char *name, char **ret_error)
{
	if (!by_name(subscriber, name))
		return 0;
	return fail_with(-EBUSY, ret_error, "%s is being subscribed: wait for the outcome", name);
}

void subscription_start(struct subscriber *subscriber, const char *name, json_t *body,
			subscriber_done_fn done, void *userdata, subscription_begin_fn begin)
{
	struct subscription *sub = subscription_new(subscriber, name, body, done, userdata);
	char *error = NULL;
	int r;

	if (!sub) {
		done(userdata, NULL, 500, "The controller is out of memory");
		return;
	}
	model_lock(subscriber->model);
	r = subscription_is_lost(sub) ? 0 : begin(sub, &error);
	if (r < 0)
		subscription_fail(sub, r, error);
	subscriber_unlock(subscriber);
}

/* --- our own orders --- */

int subscription_send(struct subscription *sub, const char *container, json_t *body,
		      unsigned timeout_ms, bool without_token, order_done_fn done)
{
	struct subscriber *subscriber = sub->subscriber;
	struct order order = {
		.address = strdup(sub->address),
		.container = container ? strdup(container) : NULL,
		.body = body,
		.timeout_ms = timeout_ms,
		.without_token = without_token,
		.userdata = sub,
		.done = done,
		.done_userdata = subscriber,
	};
	int r = -ENOMEM;

	if (order.address && (!container || order.container))
		r = subscriber->sink.submit
			    ? subscriber->sink.submit(subscriber->sink.userdata, &order)
			    : -ESHUTDOWN;
	if (r >= 0)
		return 0;
	free(order.address);
	free(order.container);
	json_decref(order.body);
	return r;
}

/* --- hosts --- */

static void host_answered(void *userdata, void *order_userdata, const struct order_result *result)
{
	struct subscriber *subscriber = userdata;
	struct subscription *sub = order_userdata;
	/* With LXC a Container Scaler fails at this path whatever there is. */
	bool there = result->ok || result->status == 500;
	struct structure *s;
	char *error = NULL;
	int r;

	model_lock(subscriber->model);
	if (subscription_is_lost(sub)) {
		subscriber_unlock(subscriber);
		return;
	}
	if (!there) {
		fail_with(0, &error,
			  "Could not connect to host %s at %s, is it up and does its agent or "
			  "Container Scaler run? %s",
			  sub->name, sub->address, result->error);
		subscription_fail(sub, -EINVAL, error);
	} else {
		r = subscribe_host(subscriber->model, sub->name, sub->body, &s, &error);
		if (r >= 0) {
			struct host *host = s->host;

			if (!host->connected && !(host->agent_heard > 0))
				model_stand_in(subscriber->model, host, sub->address);
			subscription_succeed(sub, s);
		} else {
			subscription_fail(sub, r, error);
		}
	}
	subscriber_unlock(subscriber);
}

static int begin_host(struct subscription *sub, char **ret_error)
{
	struct subscriber *subscriber = sub->subscriber;
	struct model *model = subscriber->model;
	struct host *host = model_host(model, sub->name);
	struct structure *s;
	int r;

	r = subscription_refuse_twice(subscriber, sub->name, ret_error);
	if (r >= 0)
		r = subscribe_host(model, sub->name, sub->body, NULL, ret_error);
	if (r < 0)
		return r;
	if (host && host->connected) {
		r = subscribe_host(model, sub->name, sub->body, &s, ret_error);
		if (r >= 0)
			subscription_succeed(sub, s);
		return r;
	}
	r = rescaler_address(sub->body, &sub->address);
	if (r < 0)
		return r;
	subscription_begin(sub);
	/* Nobody has said that this one may see the token. */
	return subscription_send(sub, NULL, NULL, CONNECTIVITY_MS, true, host_answered);
}

void subscriber_host(struct subscriber *subscriber, const char *name, json_t *body,
		     subscriber_done_fn done, void *userdata)
{
	subscription_start(subscriber, name, body, done, userdata, begin_host);
}

/* --- by time --- */

static bool is_under_way(void *userdata, const char *name)
{
	return by_name(userdata, name) != NULL;
}

/* What a controller before this one has not ended: its hosts get what was in force before. */
static void take_unfinished(struct subscriber *subscriber)
{
	struct model *model = subscriber->model;
	json_t *unfinished = model->unfinished, *one;
	const char *name;

	__atomic_store_n(&model->unfinished, NULL, __ATOMIC_RELAXED);
	json_object_foreach(unfinished, name, one) {
		const char *host = json_string_value(json_object_get(one, "host"));
		json_t *limits = json_object_get(one, "limits");

		if (!limit_debts_add(subscriber->debts, name, host, NULL, false,
				     json_incref(limits)))
			model_log(model, LOG_LEVEL_ERROR,
				  "The limits that %s had before it was subscribed are not put "
				  "back: there are too many",
				  name);
	}
	json_decref(unfinished);
}

void subscriber_tick(void *userdata)
{
	struct subscriber *subscriber = userdata;
	struct model *model = subscriber->model;
	uint64_t now;

	if (!__atomic_load_n(&subscriber->n, __ATOMIC_RELAXED) &&
	    !__atomic_load_n(&model->unfinished, __ATOMIC_RELAXED) &&
	    !limit_debts_any(subscriber->debts))
		return;
	model_lock(model);
	take_unfinished(subscriber);
	now = timebase_now_ns(model->time);
	for (struct subscription *sub = subscriber->under_way, *next; sub; sub = next) {
		next = sub->next;
		if (sub->stage != STAGE_APPLYING)
			continue;
		if (now >= sub->give_up_ns)
			subscription_give_up(sub);
		else
			subscription_look(sub);
	}
	limit_debts_pay(subscriber->debts, is_under_way, subscriber);
	subscriber_unlock(subscriber);
}

int subscriber_new(struct model *model, struct scaler *scaler, struct order_sink sink,
		   struct subscriber **ret_subscriber)
{
	struct subscriber *subscriber = calloc(1, sizeof(*subscriber));

	if (!subscriber)
		return -ENOMEM;
	subscriber->debts = limit_debts_new(model, sink);
	if (!subscriber->debts) {
		free(subscriber);
		return -ENOMEM;
	}
	subscriber->model = model;
	subscriber->scaler = scaler;
	subscriber->sink = sink;
	scaler_on_subscription(scaler, subscriber_order_answered, subscriber);
	*ret_subscriber = subscriber;
	return 0;
}

void subscriber_free(struct subscriber *subscriber)
{
	if (!subscriber)
		return;
	scaler_on_subscription(subscriber->scaler, NULL, NULL);
	model_lock(subscriber->model);
	while (subscriber->under_way) {
		char *message = NULL;

		fail_with(0, &message, "The controller is stopping: subscribe %s again",
			  subscriber->under_way->name);
		subscription_fail(subscriber->under_way, -ESHUTDOWN, message);
	}
	subscriber_unlock(subscriber);
	limit_debts_free(subscriber->debts);
	free(subscriber);
}
