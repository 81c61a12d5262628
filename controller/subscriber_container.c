/* SPDX-License-Identifier: Apache-2.0 */
/* A container's subscription: its agent is asked, the scaler orders, and what fails is taken back.
 */
#include "subscriber_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "container_scaler.h"
#include "fail.h"
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

/* --- on the way back --- */

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
	subscription_finish(sub);
	subscriber_unlock(subscriber);
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
		subscription_finish(sub);
		return;
	}
	sub->stage = STAGE_RESTORING;
	r = subscription_send(sub, sub->name, body, sub->agentless ? CONTAINER_SCALER_MS : 0,
			      sub->agentless, restored);
	if (r >= 0)
		return;
	not_restored(sub, strerror(-r), true);
	subscription_finish(sub);
}

/* --- on the way there --- */

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
	subscription_blame(sub, result->status == ORDER_NOT_SENT ? 503 : 502, message);
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
		subscription_blame(sub, 409, message);
		return false;
	}
	return true;
}

void subscription_look(struct subscription *sub)
{
	struct model *model = sub->subscriber->model;
	struct structure *s = model_structure(model, sub->name);
	char *message = NULL;

	if (subscription_is_lost(sub))
		return;
	if (!s || s->subscription != sub->number) {
		fail_with(0, &message, "%s was desubscribed before its limits were in force",
			  sub->name);
		subscription_blame(sub, 409, message);
		subscription_finish(sub);
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
		subscription_succeed(sub, s);
		return;
	}
	take_back(sub);
}

void subscriber_order_answered(void *userdata, unsigned long number,
			       const struct order_result *result)
{
	struct subscriber *subscriber = userdata;
	struct subscription *sub;

	model_lock(subscriber->model);
	sub = subscriber_by_number(subscriber, number);
	if (sub && sub->stage == STAGE_APPLYING) {
		hear(sub, result);
		subscription_look(sub);
	}
	subscriber_unlock(subscriber);
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
	subscription_look(sub);
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
	if (subscription_is_lost(sub)) {
		subscriber_unlock(subscriber);
		return;
	}
	if (result->ok) {
		sub->before = json_deep_copy(result->resources);
		r = sub->before ? apply(sub, &error) : -ENOMEM;
		if (r < 0) {
			forget_asked(sub);
			subscription_fail(sub, r, error);
		}
	} else {
		bool unknown = result->status == 404;

		fail_with(0, &error,
			  unknown ? "%s was not subscribed: host %s, at %s, knows no such "
				    "container. %s"
				  : "%s was not subscribed: host %s, at %s, does not tell what is "
				    "in force now. %s",
			  sub->name, sub->host_name, sub->address, result->error);
		subscription_blame(sub, unknown ? 400 : 502, error);
		subscription_finish(sub);
	}
	subscriber_unlock(subscriber);
}

static int begin_container(struct subscription *sub, char **ret_error)
{
	struct subscriber *subscriber = sub->subscriber;
	struct model *model = subscriber->model;
	const json_t *container = json_object_get(sub->body, "container");
	const struct host *host;
	int r;

	r = subscription_refuse_twice(subscriber, sub->name, ret_error);
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
	subscription_begin(sub);
	return subscription_send(sub, sub->name, NULL, sub->agentless ? CONTAINER_SCALER_MS : 0,
				 sub->agentless, container_asked);
}

void subscriber_container(struct subscriber *subscriber, const char *name, json_t *body,
			  subscriber_done_fn done, void *userdata)
{
	subscription_start(subscriber, name, body, done, userdata, begin_container);
}

void subscription_give_up(struct subscription *sub)
{
	struct model *model = sub->subscriber->model;
	struct structure *s = model_structure(model, sub->name);
	char *message = NULL;

	if (s && s->subscription == sub->number && (s->in_flight | s->apply) & sub->mask) {
		fail_with(0, &message,
			  "%s was not subscribed: host %s did not take its limits in time. Does "
			  "its agent answer?",
			  sub->name, sub->host_name);
		subscription_blame(sub, 504, message);
	}
	subscription_look(sub);
}
