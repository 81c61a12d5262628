/* SPDX-License-Identifier: Apache-2.0 */
/* Requests as they come in: which of several stays, and what is on record of each. */
#include "scaler_private.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "member_sums.h"

/* Requests that wait for one structure: one with each of so many others to swap with. */
#define WAITING_MAX 64

void waiting_free(struct waiting *waiting)
{
	free(waiting->inputs);
	free(waiting->pair);
	free(waiting);
}

void waiting_drop(struct scaler *scaler, struct slot *slot, struct waiting *waiting)
{
	struct waiting **link = &slot->waiting;

	while (*link != waiting)
		link = &(*link)->next;
	*link = waiting->next;
	waiting_free(waiting);
	scaler->stats.waiting--;
}

void waiting_refuse(struct scaler *scaler, struct slot *slot, struct waiting *waiting,
		    const char *outcome, const char *reason)
{
	struct decision decision;

	scaler_inputs(waiting, &decision);
	scaler_record(scaler, &decision, outcome, reason);
	if (strcmp(outcome, "expired") == 0)
		scaler->stats.expired++;
	else
		scaler->stats.refused++;
	waiting_drop(scaler, slot, waiting);
}

static struct waiting *find_waiting(const struct slot *slot, const struct request *request,
				    const char *pair, bool growth)
{
	for (struct waiting *w = slot->waiting; w; w = w->next)
		if (w->request.resource == request->resource &&
		    w->request.field == request->field && (w->request.amount > 0) == growth &&
		    (pair ? w->pair && strcmp(w->pair, pair) == 0 : !w->pair))
			return w;
	return NULL;
}

bool request_is_guardians(const struct request *request)
{
	return strcmp(request->origin, "guardian") == 0;
}

/* The guardian has changed its mind: what waits and asks for the contrary. */
static void supersede(struct scaler *scaler, struct slot *slot, const struct request *request)
{
	struct waiting *waiting = NULL;

	if (request_is_guardians(request))
		waiting = find_waiting(slot, request, NULL, request->amount < 0);
	if (waiting && request_is_guardians(&waiting->request))
		waiting_refuse(scaler, slot, waiting, "superseded",
			       "a newer request goes the other way");
}

/* Of two that ask for the same: does what waits stay? */
static bool outranks(const struct request *waiting, const struct request *request)
{
	if (waiting->has_priority && request->has_priority &&
	    waiting->priority != request->priority)
		return waiting->priority > request->priority;
	return waiting->timestamp > request->timestamp;
}

static bool can_be(const struct structure *s, const struct request *request)
{
	return s->resources[request->resource].present &&
	       (s->subtype == STRUCTURE_APPLICATION || s->subtype == STRUCTURE_USER ||
		(s->subtype == STRUCTURE_CONTAINER &&
		 s->resources[request->resource].current >= 0));
}

static int check_request(const struct request *request)
{
	const struct structure *s = request->structure, *pair = request->pair;

	if (!request->amount || request->amount == INT64_MIN || request->resource < 0 ||
	    request->resource >= EBB_RESOURCE_MAX || !can_be(s, request))
		return -EINVAL;
	if (!pair)
		return 0;
	/* What the containers of two applications have in force is theirs alone to move. */
	if (pair == s || pair->subtype != s->subtype || !can_be(pair, request) ||
	    (s->subtype != STRUCTURE_CONTAINER && request->field != REQUEST_MAX))
		return -EINVAL;
	return 0;
}

static void begin_decision(const struct scaler *scaler, const struct request *request,
			   struct decision *decision)
{
	const struct structure *s = request->structure;
	const struct resource_state *state = &s->resources[request->resource];

	if (request->inputs) {
		*decision = *request->inputs;
	} else {
		decision_init(decision);
		decision->usage = state->usage;
		decision->throttled = s->throttled;
		decision->current = state->current;
		if (structure_is_parent(s))
			(void)members_current(s, request->resource, &decision->current);
		decision->upper = state->upper;
		decision->lower = state->lower;
		decision->min = state->min;
		decision->max = state->max;
	}
	decision->at = request->timestamp;
	decision->resource = request->resource;
	decision->requested = request->amount;
	decision->planned = decision->applied = -1;
	snprintf(decision->structure, sizeof(decision->structure), "%s", s->name);
	snprintf(decision->subtype, sizeof(decision->subtype), "%s",
		 structure_subtype_name(s->subtype));
	snprintf(decision->field, sizeof(decision->field), "%s",
		 request->field == REQUEST_MAX ? "max" : "current");
	snprintf(decision->pair, sizeof(decision->pair), "%s",
		 request->pair ? request->pair->name : "");
	snprintf(decision->host, sizeof(decision->host), "%s", s->host_name ? s->host_name : "");
	snprintf(decision->origin, sizeof(decision->origin), "%s", request->origin);
	decision->received_ms = request->received_ns
					? scaler_ms_since(request->sampled_ns, request->received_ns)
					: NAN;
	decision->evaluated_ms = scaler_ms_since(request->sampled_ns, scaler_now_ns(scaler));
	decision->sent_ms = decision->applied_ms = NAN;
}

static size_t count_waiting(const struct slot *slot)
{
	size_t n = 0;

	for (const struct waiting *w = slot->waiting; w; w = w->next)
		n++;
	return n;
}

/* A swap is what the one that gets asks for. */
static struct request from_receiver(const struct request *request)
{
	struct request turned = *request;

	if (request->pair && request->amount < 0) {
		turned.structure = request->pair;
		turned.pair = request->structure;
		turned.amount = -request->amount;
	}
	return turned;
}

int scaler_request(struct scaler *scaler, const struct request *asked)
{
	struct request request;
	struct waiting *waiting, *old;
	struct decision decision;
	const char *pair;
	struct slot *slot;
	int r;

	r = check_request(asked);
	if (r < 0)
		return r;
	request = from_receiver(asked);
	pair = request.pair ? request.pair->name : NULL;
	scaler->stats.requests++;
	slot = scaler_slot(scaler, request.structure);
	if (!slot)
		return -ENOMEM;
	old = find_waiting(slot, &request, pair, request.amount > 0);
	if (old && outranks(&old->request, &request))
		return 0;
	if (!old && count_waiting(slot) >= WAITING_MAX)
		return -EBUSY;

	waiting = calloc(1, sizeof(*waiting));
	if (!waiting)
		return -ENOMEM;
	begin_decision(scaler, asked, &decision);
	waiting->request = request;
	waiting->request.inputs = NULL;
	waiting->inputs = packed_new(&decision, sizeof(decision));
	waiting->pair = pair ? strdup(pair) : NULL;
	if (!waiting->inputs || (pair && !waiting->pair)) {
		waiting_free(waiting);
		return -ENOMEM;
	}
	waiting->base = operation_value(request.structure, request.field, request.resource);
	waiting->since = request.timestamp;
	if (scaler->model->observer)
		scaler->model->observer->requested(scaler->model->observer->userdata,
						   &waiting->request);
	if (old) {
		waiting->since = old->since;
		waiting->reason = old->reason;
		waiting_drop(scaler, slot, old);
	}
	supersede(scaler, slot, &request);
	waiting->next = slot->waiting;
	slot->waiting = waiting;
	scaler->stats.waiting++;
	if (scaler_wait(scaler, slot, request.structure) < 0) {
		waiting_drop(scaler, slot, waiting);
		return -ENOMEM;
	}
	scaler_wake_slot(scaler, slot);
	return 0;
}

void scaler_unguarded(struct scaler *scaler, struct structure *structure)
{
	struct slot *slot = scaler_slot_of(scaler, structure);

	while (slot && slot->waiting)
		waiting_drop(scaler, slot, slot->waiting);
	for (int r = 0; slot && r < EBB_RESOURCE_MAX; r++) {
		slot->failures[r] = 0;
		slot->not_before_ns[r] = 0;
	}
}

void scaler_forget(struct scaler *scaler, struct structure *structure)
{
	struct slot *slot = scaler_slot_of(scaler, structure);

	if (!slot)
		return;
	scaler_unguarded(scaler, structure);
	operations_lose(scaler, slot);
}

void scaler_renamed(struct scaler *scaler, struct structure *structure)
{
	struct slot *slot = scaler_slot_of(scaler, structure);

	while (slot && slot->waiting)
		waiting_refuse(scaler, slot, slot->waiting, "refused",
			       "the container is called otherwise now: ask again by that name");
	scaler_forget(scaler, structure);
}
