/* SPDX-License-Identifier: Apache-2.0 */
#include "subscriber.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "container_scaler.h"
#include "fail.h"
#include "limit_debt.h"
#include "rescaler.h"
#include "scaler_plan.h"
#include "subscription.h"
#include "subscription_private.h"
#include "ebb/cleanup.h"
#include "ebb/units.h"

/* More than any order may take: lowering memory 10 s, a Container Scaler 20 s (scaler_order.c). */
#define GIVE_UP_S           15
#define GIVE_UP_AGENTLESS_S 45
#define CONTAINER_SCALER_MS 20000
#define CONNECTIVITY_MS     5000

enum stage {
	STAGE_ASKING,    /* the agent, or whether there is one; one order of ours is out */
	STAGE_APPLYING,  /* the scaler's orders are */
	STAGE_RESTORING, /* what was in force before is ordered; one order of ours is out */
	STAGE_DONE,
};

struct subscription {
	struct subscription *next;
	struct subscriber *subscriber;
	unsigned long number;
	enum stage stage;
	bool host; /* else a container */
	char *name;
	json_t *body;
	subscriber_done_fn done;
	void *userdata;
	uint64_t give_up_ns;

	/* Of a container. */
	char *host_name, *address;
	bool agentless;
	json_t *before; /* resources as its agent told them */
	unsigned mask;  /* 1 << resource: what is to be put in force */
	unsigned sent;  /* likewise: what has been ordered so far */
	int64_t wanted[EBB_RESOURCE_MAX];
	bool maybe_changed; /* on the host */
	bool pinned;        /* its cores may have been changed with it */

	/* The outcome. */
	json_t *doc;
	unsigned status;
	char *message;
};

struct subscriber {
	struct model *model;
	struct scaler *scaler;
	struct order_sink sink;
	/* Under the model's lock. */
	struct subscription *under_way, *finished;
	unsigned long last;
	struct limit_debts *debts;
	unsigned n; /* under way; read without the lock, too */
};

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

/* Lock held. */
static void begin(struct subscription *sub)
{
	struct subscriber *subscriber = sub->subscriber;

	sub->number = ++subscriber->last;
	sub->next = subscriber->under_way;
	subscriber->under_way = sub;
	__atomic_add_fetch(&subscriber->n, 1, __ATOMIC_RELAXED);
}

/* Lock held. Answered when it is released. */
static void finish(struct subscription *sub)
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

static void unlock(struct subscriber *subscriber)
{
	struct subscription *finished = TAKE_PTR(subscriber->finished);

	model_unlock(subscriber->model);
	answer(finished);
}

static void succeed(struct subscription *sub, const struct structure *s)
{
	model_settle(sub->subscriber->model);
	sub->doc = structure_to_json(s);
	sub->status = sub->doc ? 200 : 500;
	finish(sub);
}

/* For people. The first reason counts. Takes `message` over. */
static void blame(struct subscription *sub, unsigned status, char *message)
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

/* Takes `message` over. */
static void fail(struct subscription *sub, int err, char *message)
{
	blame(sub, status_of(err), message);
	finish(sub);
}

/* Lock held. Another controller leads: what is under way that one takes back. True: it is over. */
static bool is_lost(struct subscription *sub)
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
	fail(sub, -ESHUTDOWN, message);
	return true;
}

/* Lock held. */
static struct subscription *by_number(struct subscriber *subscriber, unsigned long number)
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

static int refuse_twice(struct subscriber *subscriber, const char *name, char **ret_error)
{
	if (!by_name(subscriber, name))
		return 0;
	return fail_with(-EBUSY, ret_error, "%s is being subscribed: wait for the outcome", name);
}

/* --- our own orders --- */

/* `container` and `body` as in struct order; takes `body` over. */
static int send(struct subscription *sub, const char *container, json_t *body, unsigned timeout_ms,
		bool without_token, order_done_fn done)
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
	if (is_lost(sub)) {
		unlock(subscriber);
		return;
	}
	if (!there) {
		fail_with(0, &error,
			  "Could not connect to host %s at %s, is it up and does its agent or "
			  "Container Scaler run? %s",
			  sub->name, sub->address, result->error);
		fail(sub, -EINVAL, error);
	} else {
		r = subscribe_host(subscriber->model, sub->name, sub->body, &s, &error);
		if (r >= 0) {
			struct host *host = s->host;

			if (!host->connected && !(host->agent_heard > 0))
				model_stand_in(subscriber->model, host, sub->address);
			succeed(sub, s);
		} else {
			fail(sub, r, error);
		}
	}
	unlock(subscriber);
}

static int begin_host(struct subscription *sub, char **ret_error)
{
	struct subscriber *subscriber = sub->subscriber;
	struct model *model = subscriber->model;
	struct host *host = model_host(model, sub->name);
	struct structure *s;
	int r;

	r = refuse_twice(subscriber, sub->name, ret_error);
	if (r >= 0)
		r = subscribe_host(model, sub->name, sub->body, NULL, ret_error);
	if (r < 0)
		return r;
	if (host && host->connected) {
		r = subscribe_host(model, sub->name, sub->body, &s, ret_error);
		if (r >= 0)
			succeed(sub, s);
		return r;
	}
	r = rescaler_address(sub->body, &sub->address);
	if (r < 0)
		return r;
	begin(sub);
	/* Nobody has said that this one may see the token. */
	return send(sub, NULL, NULL, CONNECTIVITY_MS, true, host_answered);
}

void subscriber_host(struct subscriber *subscriber, const char *name, json_t *body,
		     subscriber_done_fn done, void *userdata)
{
	struct subscription *sub = subscription_new(subscriber, name, body, done, userdata);
	char *error = NULL;
	int r;

	if (!sub) {
		done(userdata, NULL, 500, "The controller is out of memory");
		return;
	}
	sub->host = true;
	model_lock(subscriber->model);
	r = is_lost(sub) ? 0 : begin_host(sub, &error);
	if (r < 0)
		fail(sub, r, error);
	unlock(subscriber);
}

/* --- containers: on the way back --- */

/* What was in force before, as a body. NULL: nothing to say. */
static json_t *old_limits(const struct subscription *sub)
{
	const json_t *cpu = json_object_get(sub->before, ebb_resource_name(EBB_CPU));
	const char *cores = json_string_value(json_object_get(cpu, "cpu_num"));
	const struct host *host = model_host(sub->subscriber->model, sub->host_name);
	json_t *body = json_object();

	for (int i = 0; body && i < EBB_RESOURCE_MAX; i++) {
		int64_t limit;

		if (!(sub->mask & 1u << i) || scaler_body_limit(sub->before, i, &limit) < 0)
			continue;
		/* A Container Scaler cannot take a limit off: all that there is, then. */
		if (limit < 0 && sub->agentless && host)
			limit = host->max[i];
		if (limit == 0)
			continue;
		(void)scaler_body_add(body, i, limit,
				      i == EBB_CPU && sub->pinned && cores && *cores ? cores
										     : NULL);
	}
	if (json_object_size(body) > 0)
		return body;
	json_decref(body);
	return NULL;
}

/* They are not in force again: `why`. With `later` they are to be, when the host answers. */
static void not_restored(struct subscription *sub, const char *why, bool later)
{
	char *message = NULL;

	later = later && sub->subscriber->model->leading &&
		limit_debts_add(sub->subscriber->debts, sub->name, sub->host_name, sub->address,
				sub->agentless, old_limits(sub));
	fail_with(0, &message, "%s. Its old limits could not be put back yet (%s)%s",
		  sub->message ? sub->message : "", why,
		  later ? "; they will be when its host answers" : "");
	if (!message)
		return;
	free(sub->message);
	sub->message = message;
}

static void restored(void *userdata, void *order_userdata, const struct order_result *result)
{
	struct subscriber *subscriber = userdata;
	struct subscription *sub = order_userdata;

	model_lock(subscriber->model);
	if (!result->ok)
		not_restored(sub, result->error,
			     !result->status || result->status == ORDER_NOT_SENT);
	else if (subscriber->model->leading)
		limit_debts_taken_back(subscriber->model, sub->name, sub->agentless,
				       result->resources);
	finish(sub);
	unlock(subscriber);
}

/* Lock held. As if it had never been asked for. */
static void take_back(struct subscription *sub)
{
	struct subscriber *subscriber = sub->subscriber;
	struct structure *s = model_structure(subscriber->model, sub->name);
	json_t *body = sub->maybe_changed ? old_limits(sub) : NULL;
	char *error = NULL;
	int r;

	if (s && s->subscription == sub->number) {
		s->in_flight = 0;
		/* What will be in force in a moment. */
		for (int i = 0; i < EBB_RESOURCE_MAX; i++)
			if (sub->mask & 1u << i)
				(void)scaler_body_limit(sub->before, i, &s->physical[i]);
		if (desubscribe(subscriber->model, subscriber->scaler, s, &error) < 0)
			model_log(subscriber->model, LOG_LEVEL_ERROR,
				  "The subscription of %s cannot be taken back: %s", sub->name,
				  error ? error : "no memory");
		free(error);
	}
	if (!body) {
		finish(sub);
		return;
	}
	sub->stage = STAGE_RESTORING;
	r = send(sub, sub->name, body, sub->agentless ? CONTAINER_SCALER_MS : 0, sub->agentless,
		 restored);
	if (r >= 0)
		return;
	not_restored(sub, strerror(-r), true);
	finish(sub);
}

/* --- containers: on the way there --- */

static void hear(struct subscription *sub, const struct order_result *result)
{
	char *message = NULL;

	/* A 5xx of a Container Scaler may have been half of it. */
	if (result->ok || result->status == 0 || result->status >= 500)
		sub->maybe_changed = true;
	if (result->ok)
		return;
	fail_with(0, &message, "%s was not subscribed, host %s did not take its limits: %s",
		  sub->name, sub->host_name, result->error);
	blame(sub, result->status == ORDER_NOT_SENT ? 503 : 502, message);
}

/* Went as far as it was to go? */
static bool reached(struct subscription *sub, const struct structure *s, unsigned mask)
{
	for (int i = 0; i < EBB_RESOURCE_MAX; i++) {
		char *message = NULL;

		if (!(mask & 1u << i) || s->physical[i] == sub->wanted[i])
			continue;
		fail_with(0, &message,
			  "%s was not subscribed: %s of it is at %lld %s now, and could not be "
			  "brought to %lld; more may be in use. Raise "
			  "container.resources.%s.current",
			  sub->name, ebb_resource_name(i), (long long)s->physical[i],
			  ebb_resource_unit(i), (long long)sub->wanted[i], ebb_resource_name(i));
		blame(sub, 409, message);
		return false;
	}
	return true;
}

/* Lock held, in STAGE_APPLYING: is that all, and how did it go? */
static void look(struct subscription *sub)
{
	struct model *model = sub->subscriber->model;
	struct structure *s = model_structure(model, sub->name);
	char *message = NULL;

	if (is_lost(sub))
		return;
	if (!s || s->subscription != sub->number) {
		fail_with(0, &message, "%s was desubscribed before its limits were in force",
			  sub->name);
		blame(sub, 409, message);
		finish(sub);
		return;
	}
	/* What was tried, and is wished for again, fell short. */
	if (!sub->status)
		(void)reached(sub, s, s->apply & sub->sent & ~s->in_flight);
	sub->sent |= s->in_flight & sub->mask;
	/* Not tried again. */
	if (sub->status)
		s->apply &= ~sub->mask;
	if ((s->in_flight | s->apply) & sub->mask)
		return;
	if (!sub->status && reached(sub, s, sub->mask)) {
		s->subscription = 0;
		json_object_del(s->doc, SUBSCRIPTION_LIMITS_BEFORE);
		model_touch(model, s, MODEL_DIRTY_STRUCTURE);
		/* What waited for the outcome. */
		scaler_run_for(sub->subscriber->scaler, s);
		succeed(sub, s);
		return;
	}
	take_back(sub);
}

static void order_answered(void *userdata, unsigned long number, const struct order_result *result)
{
	struct subscriber *subscriber = userdata;
	struct subscription *sub;

	model_lock(subscriber->model);
	sub = by_number(subscriber, number);
	if (sub && sub->stage == STAGE_APPLYING) {
		hear(sub, result);
		look(sub);
	}
	unlock(subscriber);
}

/* A Container Scaler has told of it: it is there, as an agent's would be. */
static int register_asked(struct subscription *sub, struct host *host, const json_t *resources)
{
	struct model *model = sub->subscriber->model;
	_cleanup_json_ json_t *limits = container_scaler_limits(resources, host->max[EBB_CPU]);
	_cleanup_json_ json_t *added = NULL;
	struct structure *s;

	if (limits)
		added = json_pack("{s:s, s:O}", "name", sub->name, "limits", limits);
	if (!added)
		return -ENOMEM;
	model_stand_in(model, host, sub->address);
	return model_register_container(model, host, added, &s);
}

static int apply(struct subscription *sub, char **ret_error)
{
	struct subscriber *subscriber = sub->subscriber;
	struct model *model = subscriber->model;
	struct host *host = model_host(model, sub->host_name);
	struct structure *s = model_structure(model, sub->name);
	json_t *before;
	int r;

	if (s && s->operating)
		return fail_with(-EBUSY, ret_error,
				 "The limits of %s are just being changed together with those of "
				 "others: subscribe it again in a moment",
				 sub->name);
	/* All of it again: it took a while to ask. */
	r = subscribe_container(model, sub->name, sub->body, NULL, ret_error);
	if (r >= 0 && subscription_has_to_ask(host))
		r = register_asked(sub, host, sub->before);
	if (r >= 0)
		r = subscribe_container(model, sub->name, sub->body, &s, ret_error);
	if (r < 0)
		return r;
	s->subscription = sub->number;
	sub->stage = STAGE_APPLYING;
	sub->mask = s->apply;
	sub->agentless = host->agentless;
	sub->pinned = model->scaler.pin_cores && s->pinnable;
	before = old_limits(sub);
	if (before)
		json_object_set_new(s->doc, SUBSCRIPTION_LIMITS_BEFORE, before);
	for (int i = 0; i < EBB_RESOURCE_MAX; i++)
		sub->wanted[i] = s->resources[i].current;
	sub->give_up_ns =
		timebase_now_ns(model->time) +
		(uint64_t)(sub->agentless ? GIVE_UP_AGENTLESS_S : GIVE_UP_S) * EBB_NS_PER_SEC;
	scaler_run_for(subscriber->scaler, s);
	look(sub);
	return 0;
}

/* After a failure between the two steps of apply(). */
static void forget_asked(struct subscription *sub)
{
	struct model *model = sub->subscriber->model;
	struct structure *s = model_structure(model, sub->name);
	const struct host *host = s ? s->host : NULL;

	if (s && s->automatic && host && host->agentless)
		model_remove(model, s);
}

static void container_asked(void *userdata, void *order_userdata, const struct order_result *result)
{
	struct subscriber *subscriber = userdata;
	struct subscription *sub = order_userdata;
	char *error = NULL;
	int r;

	model_lock(subscriber->model);
	if (is_lost(sub)) {
		unlock(subscriber);
		return;
	}
	if (result->ok) {
		sub->before = json_deep_copy(result->resources);
		r = sub->before ? apply(sub, &error) : -ENOMEM;
		if (r < 0) {
			forget_asked(sub);
			fail(sub, r, error);
		}
	} else {
		bool unknown = result->status == 404;

		fail_with(0, &error,
			  unknown ? "%s was not subscribed: host %s, at %s, knows no such "
				    "container. %s"
				  : "%s was not subscribed: host %s, at %s, does not tell what is "
				    "in force now. %s",
			  sub->name, sub->host_name, sub->address, result->error);
		blame(sub, unknown ? 400 : 502, error);
		finish(sub);
	}
	unlock(subscriber);
}

static int begin_container(struct subscription *sub, char **ret_error)
{
	struct subscriber *subscriber = sub->subscriber;
	struct model *model = subscriber->model;
	const json_t *container = json_object_get(sub->body, "container");
	const struct host *host;
	int r;

	r = refuse_twice(subscriber, sub->name, ret_error);
	if (r >= 0 && limit_debts_under_way(subscriber->debts, sub->name))
		r = fail_with(-EBUSY, ret_error,
			      "%s is just getting back the limits that it had before a "
			      "subscription that failed: subscribe it again in a moment",
			      sub->name);
	if (r >= 0)
		r = subscribe_container(model, sub->name, sub->body, NULL, ret_error);
	if (r < 0)
		return r;
	host = model_host(model, json_string_value(json_object_get(container, "host")));
	sub->host_name = strdup(host->structure->name);
	if (host->address)
		sub->address = strdup(host->address);
	else
		(void)rescaler_address(host->structure->doc, &sub->address);
	if (!sub->host_name || !sub->address)
		return -ENOMEM;
	sub->agentless = subscription_has_to_ask(host);
	begin(sub);
	return send(sub, sub->name, NULL, sub->agentless ? CONTAINER_SCALER_MS : 0, sub->agentless,
		    container_asked);
}

void subscriber_container(struct subscriber *subscriber, const char *name, json_t *body,
			  subscriber_done_fn done, void *userdata)
{
	struct subscription *sub = subscription_new(subscriber, name, body, done, userdata);
	char *error = NULL;
	int r;

	if (!sub) {
		done(userdata, NULL, 500, "The controller is out of memory");
		return;
	}
	model_lock(subscriber->model);
	r = is_lost(sub) ? 0 : begin_container(sub, &error);
	if (r < 0)
		fail(sub, r, error);
	unlock(subscriber);
}

/* --- by time --- */

/* An order that has been handed over may still be carried out: what was in force before is only
 * ordered once that one has been answered, which it always is. */
static void give_up(struct subscription *sub)
{
	struct model *model = sub->subscriber->model;
	struct structure *s = model_structure(model, sub->name);
	char *message = NULL;

	if (s && s->subscription == sub->number && (s->in_flight | s->apply) & sub->mask) {
		fail_with(0, &message,
			  "%s was not subscribed: host %s did not take its limits in time. Does "
			  "its agent answer?",
			  sub->name, sub->host_name);
		blame(sub, 504, message);
	}
	look(sub);
}

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
			give_up(sub);
		else
			look(sub);
	}
	limit_debts_pay(subscriber->debts, is_under_way, subscriber);
	unlock(subscriber);
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
	scaler_on_subscription(scaler, order_answered, subscriber);
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
		fail(subscriber->under_way, -ESHUTDOWN, message);
	}
	unlock(subscriber);
	limit_debts_free(subscriber->debts);
	free(subscriber);
}
