/* SPDX-License-Identifier: Apache-2.0 */
/* From a request to an operation: who is concerned, and what becomes of each. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "headroom.h"
#include "operation_plan.h"
#include "scaler_private.h"
#include "ebb/cleanup.h"

void verdict_refuse(struct verdict *verdict, const char *format, ...)
{
	va_list ap;

	verdict->what = VERDICT_REFUSE;
	va_start(ap, format);
	vsnprintf(verdict->refusal, sizeof(verdict->refusal), format, ap);
	va_end(ap);
}

void verdict_wait(struct verdict *verdict, const char *reason)
{
	verdict->what = VERDICT_WAIT;
	verdict->wait = reason;
}

/* What is left to do of what was decided when the value was `base`. */
int64_t operation_amount(const struct waiting *waiting, int64_t value)
{
	int64_t amount = waiting->request.amount, left;

	if (waiting->pair || !waiting->request.absolute)
		return amount;
	left = waiting->base + amount - value;
	return (left > 0) == (amount > 0) ? left : 0;
}

/* --- a container --- */

static const char *busy(const struct slot *slot, const struct structure *s,
			enum ebb_resource resource)
{
	if (s->subscription)
		return "it is being subscribed";
	if (slot->under_way[resource])
		return "an order is under way";
	return s->apply & 1u << resource ? "its limit is not in force yet" : NULL;
}

void operation_leaf(const struct structure *s, enum ebb_resource resource, int64_t *room,
		    struct plan_leaf *ret_leaf)
{
	const struct resource_state *state = &s->resources[resource];
	const struct host *host = s->host;
	bool accounted = host && host->max[resource] > 0;

	*ret_leaf = (struct plan_leaf){
		/* What it comes back with is looked at when it does. */
		.current = s->live ? MAX(state->current, (int64_t)0) : 0,
		.max = state->max,
		.least = resource_floor(state, resource),
		.most = accounted ? host->max[resource] : INT64_MAX,
		.held = state->allocated,
		.room = accounted ? room : NULL,
		.usage = state->usage,
	};
	plan_leaf_init(ret_leaf);
}

void operation_add_change(struct operation *operation, struct slot *slot,
			  const struct plan_leaf *leaf, size_t parent)
{
	operation->changes[operation->n_changes++] = (struct change){
		.slot = slot,
		.parent = parent,
		.amount = leaf->amount,
		.from = leaf->current,
		.to = leaf->to,
		.max_from = leaf->max,
		.max_to = leaf->max_to,
	};
}

int64_t *operation_room(const struct scaler *scaler, const struct structure *s,
			enum ebb_resource resource)
{
	struct host *host = s->host;

	if (!host)
		return NULL;
	headroom_hold_beyond(scaler->model, host, resource);
	host->room = MAX(host->free[resource], (int64_t)0);
	return &host->room;
}

/* Why a container takes nothing of what is asked. */
static void nothing(struct verdict *verdict, const struct plan_leaf *leaf, enum request_field field,
		    bool growth)
{
	struct plan_leaf free_of_host = *leaf;

	free_of_host.room = NULL;
	if (field == REQUEST_MAX && leaf->max <= 0)
		verdict_refuse(verdict, "it has no max");
	else if (plan_leaf_range(&free_of_host, field, growth) > 0)
		verdict_wait(verdict,
			     growth ? "the host has nothing free"
				    : "the host has not room for what is in force already");
	else if (growth)
		verdict_refuse(verdict, "%s",
			       field == REQUEST_MAX ? "its max is all that its host has"
						    : "it is at its max already");
	else
		verdict_refuse(verdict, "it is at its min already");
}

static void begin_max(struct scaler *scaler, struct slot *slot, struct structure *s,
		      struct waiting *waiting, uint64_t now, struct verdict *verdict)
{
	enum ebb_resource resource = waiting->request.resource;
	int64_t amount = operation_amount(waiting, s->resources[resource].max);
	const char *reason = busy(slot, s, resource);
	struct operation *operation;
	struct plan_leaf leaf;

	if (reason) {
		verdict_wait(verdict, reason);
		return;
	}
	if (!amount) {
		verdict_refuse(verdict, "its max has moved past it meanwhile");
		return;
	}
	operation_leaf(s, resource, operation_room(scaler, s, resource), &leaf);
	if (!plan_leaf_change(&leaf, REQUEST_MAX, amount)) {
		nothing(verdict, &leaf, REQUEST_MAX, amount > 0);
		return;
	}
	reason = leaf.to != leaf.current ? scaler_held_back(scaler, slot, s, resource, now) : NULL;
	if (reason) {
		verdict_wait(verdict, reason);
		return;
	}
	operation = operation_new(waiting, s->name, 1, 0);
	if (!operation) {
		verdict_wait(verdict, strerror(ENOMEM));
		return;
	}
	operation->request.amount = amount;
	operation_add_change(operation, slot, &leaf, SIZE_MAX);
	operation_start(scaler, operation, now, verdict);
}

/* --- two containers --- */

/* The donor's side, then the receiver's, which may have what the donor gives up. */
static bool plan_swap(const struct request *request, const char *from, struct plan_leaf *donor,
		      struct plan_leaf *receiver, int64_t *room, struct verdict *verdict)
{
	const char *unit = ebb_resource_unit(request->resource);
	long long amount = request->amount, done;

	done = -plan_leaf_change(donor, request->field, -amount);
	if (done != amount) {
		verdict_refuse(verdict,
			       "%s can give up %lld of %lld %s without going below its min of %lld",
			       from, done, amount, unit, (long long)donor->least);
		return false;
	}
	if (donor->to != donor->current)
		*room += plan_leaf_freed(donor);
	done = plan_leaf_change(receiver, request->field, amount);
	if (done != amount) {
		verdict_refuse(
			verdict,
			"it can take %lld of %lld %s within its max of %lld and what its host has",
			done, amount, unit, (long long)receiver->max);
		return false;
	}
	return true;
}

static void begin_swap(struct scaler *scaler, struct slot *slot, struct structure *s,
		       struct waiting *waiting, uint64_t now, struct verdict *verdict)
{
	const struct request *request = &waiting->request;
	enum ebb_resource resource = request->resource;
	struct structure *from = model_structure(scaler->model, waiting->pair);
	struct slot *from_slot = from ? scaler_slot(scaler, from) : NULL;
	struct plan_leaf donor, receiver;
	struct operation *operation;
	const char *reason;
	int64_t *room;

	if (!from || !from_slot || from->subtype != STRUCTURE_CONTAINER ||
	    !from->resources[resource].present || from->resources[resource].current < 0) {
		verdict_refuse(verdict, "%s is no container whose %s can be changed", waiting->pair,
			       ebb_resource_name(resource));
		return;
	}
	if (!s->host || !from->host) {
		verdict_wait(verdict, "its agent is not connected");
		return;
	}
	if (s->host != from->host) {
		verdict_refuse(verdict, "%s is on host %s, %s on host %s: they cannot swap",
			       s->name, s->host_name ?: "?", from->name, from->host_name ?: "?");
		return;
	}
	reason = busy(slot, s, resource) ?: busy(from_slot, from, resource);
	if (reason) {
		verdict_wait(verdict, reason);
		return;
	}
	room = operation_room(scaler, s, resource);
	operation_leaf(s, resource, room, &receiver);
	operation_leaf(from, resource, room, &donor);
	if (!plan_swap(request, from->name, &donor, &receiver, room, verdict))
		return;
	reason = receiver.to != receiver.current ? scaler_held_back(scaler, slot, s, resource, now)
						 : NULL;
	if (!reason && donor.to != donor.current)
		reason = scaler_held_back(scaler, from_slot, from, resource, now);
	if (reason) {
		verdict_wait(verdict, reason);
		return;
	}
	operation = operation_new(waiting, s->name, 2, 0);
	if (!operation) {
		verdict_wait(verdict, strerror(ENOMEM));
		return;
	}
	operation_add_change(operation, from_slot, &donor, SIZE_MAX);
	operation_add_change(operation, slot, &receiver, SIZE_MAX);
	operation_start(scaler, operation, now, verdict);
}

void operation_begin(struct scaler *scaler, struct slot *slot, struct structure *s,
		     struct waiting *waiting, uint64_t now, struct verdict *verdict)
{
	if (!scaler->model->scaler.active) {
		verdict_wait(verdict, "the scaler is not active");
	} else if (s->subtype == STRUCTURE_CONTAINER) {
		if (waiting->pair)
			begin_swap(scaler, slot, s, waiting, now, verdict);
		else
			begin_max(scaler, slot, s, waiting, now, verdict);
	} else {
		operation_begin_parent(scaler, s, waiting, now, verdict);
	}
}
