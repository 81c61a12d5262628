/* SPDX-License-Identifier: Apache-2.0 */
#include "scaler.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scaler_private.h"
#include "ebb/cleanup.h"

#define SWEEP_NS (10 * EBB_NS_PER_SEC)

/* --- slots --- */

struct slot *scaler_slot(struct scaler *scaler, const char *name)
{
	struct slot *slot = name_index_get(scaler->index, name);

	if (slot)
		return slot;
	slot = calloc(1, sizeof(*slot));
	if (!slot)
		return NULL;
	slot->name = strdup(name);
	if (!slot->name || name_index_add(scaler->index, slot->name, slot) < 0) {
		free(slot->name);
		free(slot);
		return NULL;
	}
	slot->next = scaler->slots;
	scaler->slots = slot;
	return slot;
}

static void slot_free(struct slot *slot)
{
	for (int r = 0; r < EBB_RESOURCE_MAX; r++)
		free(slot->waiting[r]);
	free(slot->name);
	free(slot);
}

/* Whether the host has booted between the slot's last order and `host_ns`; 0: not known. */
bool slot_other_boot(const struct slot *slot, uint64_t host_ns)
{
	return host_ns && slot->applied_ns > host_ns && slot->applied_ns - host_ns > OTHER_BOOT_NS;
}

static bool slot_waits(const struct slot *slot)
{
	for (int r = 0; r < EBB_RESOURCE_MAX; r++)
		if (slot->waiting[r])
			return true;
	return false;
}

static bool slot_idle(const struct slot *slot)
{
	for (int r = 0; r < EBB_RESOURCE_MAX; r++)
		if (slot->under_way[r])
			return false;
	return !slot->listed;
}

/* Structures go without a word to the scaler, too. */
static void sweep(struct scaler *scaler, uint64_t now)
{
	struct slot **link = &scaler->slots;

	if (now - scaler->swept_ns < SWEEP_NS)
		return;
	scaler->swept_ns = now;
	while (*link) {
		struct slot *slot = *link;

		if (!slot_idle(slot) || model_structure(scaler->model, slot->name)) {
			link = &slot->next;
			continue;
		}
		*link = slot->next;
		name_index_remove(scaler->index, slot->name);
		slot_free(slot);
	}
}

static void drop_waiting(struct scaler *scaler, struct slot *slot, int resource)
{
	if (!slot->waiting[resource])
		return;
	free(TAKE_PTR(slot->waiting[resource]));
	scaler->stats.waiting--;
}

/* --- the record --- */

double scaler_wall(const struct scaler *scaler)
{
	return timebase_wall(scaler->model->time);
}

uint64_t scaler_now_ns(const struct scaler *scaler)
{
	return timebase_now_ns(scaler->model->time);
}

double scaler_ms_since(uint64_t from_ns, uint64_t to_ns)
{
	return from_ns ? ((double)to_ns - (double)from_ns) / 1e6 : NAN;
}

void scaler_record(struct scaler *scaler, struct decision *decision, const char *outcome,
		   const char *reason)
{
	snprintf(decision->outcome, sizeof(decision->outcome), "%s", outcome);
	if (reason)
		snprintf(decision->reason, sizeof(decision->reason), "%s", reason);
	audit_add(scaler->audit, decision);
}

static void refuse(struct scaler *scaler, struct slot *slot, int resource, const char *outcome,
		   const char *reason)
{
	scaler_record(scaler, &slot->waiting[resource]->request.decision, outcome, reason);
	if (strcmp(outcome, "expired") == 0)
		scaler->stats.expired++;
	else
		scaler->stats.refused++;
	drop_waiting(scaler, slot, resource);
}

/* --- requests --- */

int scaler_request(struct scaler *scaler, const struct request *request)
{
	struct structure *s = request->structure;
	struct waiting *waiting, *old;
	struct decision *decision;
	struct slot *slot;

	if (!request->amount || request->resource < 0 || request->resource >= EBB_RESOURCE_MAX ||
	    !s->resources[request->resource].present || s->resources[request->resource].current < 0)
		return -EINVAL;
	scaler->stats.requests++;
	slot = scaler_slot(scaler, s->name);
	if (!slot)
		return -ENOMEM;
	old = slot->waiting[request->resource];
	if (old && (old->request.amount < 0) == (request->amount < 0) &&
	    (old->request.priority > request->priority ||
	     (old->request.priority == request->priority &&
	      old->request.timestamp > request->timestamp)))
		return 0;

	waiting = calloc(1, sizeof(*waiting));
	if (!waiting)
		return -ENOMEM;
	waiting->request = *request;
	waiting->base = s->resources[request->resource].current;
	waiting->since = request->timestamp;
	if (old && (old->request.amount < 0) == (request->amount < 0)) {
		waiting->since = old->since;
		waiting->reason = old->reason;
	} else if (old) {
		refuse(scaler, slot, request->resource, "superseded",
		       "a newer request goes the other way");
	}

	decision = &waiting->request.decision;
	decision->at = request->timestamp;
	decision->resource = request->resource;
	decision->requested = request->amount;
	decision->planned = decision->applied = -1;
	snprintf(decision->structure, sizeof(decision->structure), "%s", s->name);
	snprintf(decision->host, sizeof(decision->host), "%s", s->host_name ? s->host_name : "");
	snprintf(decision->origin, sizeof(decision->origin), "%s", request->origin);
	decision->received_ms = request->received_ns
					? scaler_ms_since(request->sampled_ns, request->received_ns)
					: NAN;
	decision->evaluated_ms = scaler_ms_since(request->sampled_ns, scaler_now_ns(scaler));
	decision->sent_ms = decision->applied_ms = NAN;

	if (scaler->model->observer)
		scaler->model->observer->requested(scaler->model->observer->userdata,
						   &waiting->request);
	drop_waiting(scaler, slot, request->resource);
	slot->waiting[request->resource] = waiting;
	scaler->stats.waiting++;
	if (!slot->listed) {
		slot->listed = true;
		slot->next_waiting = scaler->waiting;
		scaler->waiting = slot;
	}
	return 0;
}

void scaler_forget(struct scaler *scaler, struct structure *structure)
{
	struct slot *slot = name_index_get(scaler->index, structure->name);

	if (!slot)
		return;
	for (int r = 0; r < EBB_RESOURCE_MAX; r++) {
		drop_waiting(scaler, slot, r);
		slot->failures[r] = 0;
		slot->not_before_ns[r] = 0;
	}
}

/* --- planning --- */

static void plan_request(struct scaler *scaler, struct slot *slot, int resource, uint64_t now,
			 struct scaler_order **orders)
{
	struct waiting *waiting = slot->waiting[resource];
	struct structure *s = model_structure(scaler->model, slot->name);
	struct resource_state *state;
	struct host *host;
	struct plan_input input;
	struct plan plan;
	struct part *part;

	if (!s || !s->resources[resource].present) {
		refuse(scaler, slot, resource, "refused", "the container has gone");
		return;
	}
	state = &s->resources[resource];
	if (!s->guard || !state->guard) {
		refuse(scaler, slot, resource, "refused", "it is not guarded any more");
		return;
	}
	waiting->reason = scaler_held_back(scaler, slot, s, resource, now);
	if (waiting->reason)
		return;

	host = s->host;
	input = (struct plan_input){
		.base = waiting->base,
		.amount = waiting->request.amount,
		.current = state->current,
		.allocated = state->allocated,
		.min = resource_floor(state, resource),
		.max = state->max,
		.free = host->max[resource] > 0 ? host->free[resource] : PLAN_UNACCOUNTED,
	};
	plan = scaler_plan(&input);
	if (plan.verdict == PLAN_NOTHING) {
		refuse(scaler, slot, resource, "refused", plan.reason);
		return;
	}
	if (plan.verdict == PLAN_WAIT) {
		waiting->reason = plan.reason;
		return;
	}

	part = part_new(resource, state->current, plan.target);
	if (!part)
		return;
	part->partial = plan.verdict == PLAN_PARTIAL;
	part->decision = waiting->request.decision;
	part->sampled_ns = waiting->request.sampled_ns;
	part->sampled_host_ns = waiting->request.sampled_host_ns;
	if (part->partial)
		snprintf(part->decision.reason, sizeof(part->decision.reason),
			 "the host had no more to give");
	if (scaler_take_shares(scaler->model, s, part, plan.take) < 0 ||
	    (plan.take && part->to <= state->current) ||
	    scaler_add_part(orders, slot, s, part) < 0) {
		scaler_return_shares(scaler->model, s, part);
		part_free(part);
		return;
	}
	part->decision.planned = part->to;
	/* What waited to be put back is put right by this order as well. */
	s->apply &= ~(1u << resource);
	drop_waiting(scaler, slot, resource);
}

struct candidate {
	struct plan_rank rank;
	struct slot *slot;
	int resource;
};

static int by_rank(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	return scaler_plan_compare(&x->rank, &y->rank);
}

static void expire(struct scaler *scaler, struct slot *slot, int resource)
{
	struct waiting *waiting = slot->waiting[resource];
	char reason[128];

	snprintf(reason, sizeof(reason), "waited %.0f s: %s", scaler_wall(scaler) - waiting->since,
		 waiting->reason ? waiting->reason : "its turn never came");
	refuse(scaler, slot, resource, "expired", reason);
}

/* Takes those off the list that wait no more. */
static void unlist(struct scaler *scaler)
{
	struct slot **link = &scaler->waiting;

	while (*link) {
		struct slot *slot = *link;

		if (slot_waits(slot)) {
			link = &slot->next_waiting;
			continue;
		}
		*link = slot->next_waiting;
		slot->listed = false;
	}
}

static void plan_requests(struct scaler *scaler, uint64_t now, struct scaler_order **orders)
{
	_cleanup_free_ struct candidate *candidates = NULL;
	double oldest = scaler_wall(scaler) - scaler->model->scaler.request_timeout;
	size_t n = 0;

	if (scaler->stats.waiting)
		candidates = calloc(scaler->stats.waiting, sizeof(*candidates));
	for (struct slot *slot = candidates ? scaler->waiting : NULL; slot;
	     slot = slot->next_waiting)
		for (int r = 0; r < EBB_RESOURCE_MAX; r++) {
			struct waiting *waiting = slot->waiting[r];

			if (!waiting)
				continue;
			if (waiting->since < oldest) {
				expire(scaler, slot, r);
				continue;
			}
			candidates[n++] = (struct candidate){
				.rank = {waiting->request.amount, waiting->request.priority,
					 waiting->since},
				.slot = slot,
				.resource = r,
			};
		}
	if (n)
		qsort(candidates, n, sizeof(*candidates), by_rank);
	for (size_t i = 0; i < n; i++)
		plan_request(scaler, candidates[i].slot, candidates[i].resource, now, orders);
	unlist(scaler);
}

void scaler_run(struct scaler *scaler)
{
	struct scaler_order *orders = NULL;
	uint64_t now = scaler_now_ns(scaler);

	/* What waits is tried when this controller leads, or expires. */
	if (!scaler->model->leading)
		return;
	scaler_plan_applies(scaler, now, &orders);
	plan_requests(scaler, now, &orders);
	while (orders) {
		struct scaler_order *order = orders;

		orders = order->next;
		scaler_submit(scaler, order, now);
	}
	sweep(scaler, now);
}

/* --- life --- */

int scaler_new(struct model *model, struct audit *audit, struct scaler **ret_scaler)
{
	struct scaler *scaler = calloc(1, sizeof(*scaler));

	if (!scaler)
		return -ENOMEM;
	scaler->index = name_index_new();
	if (!scaler->index) {
		free(scaler);
		return -ENOMEM;
	}
	scaler->model = model;
	scaler->audit = audit;
	scaler->swept_ns = scaler_now_ns(scaler);
	*ret_scaler = scaler;
	return 0;
}

void scaler_set_sink(struct scaler *scaler, struct order_sink sink)
{
	scaler->sink = sink;
}

void scaler_free(struct scaler *scaler)
{
	if (!scaler)
		return;
	while (scaler->slots) {
		struct slot *slot = scaler->slots;

		scaler->slots = slot->next;
		slot_free(slot);
	}
	name_index_free(scaler->index);
	free(scaler);
}

void scaler_get_stats(const struct scaler *scaler, struct scaler_stats *ret_stats)
{
	*ret_stats = scaler->stats;
}
