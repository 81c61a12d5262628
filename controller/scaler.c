/* SPDX-License-Identifier: Apache-2.0 */
#include "scaler.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "headroom.h"
#include "operation_plan.h"
#include "scaler_private.h"
#include "ebb/cleanup.h"

#define SWEEP_NS (10 * EBB_NS_PER_SEC)
/* Slots looked at in one turn: some 50 us. */
#define SWEEP_SLOTS 256

/* --- slots --- */

/* The documents of users are apart from those of all others: no name has a control character. */
static char *slot_key(const char *name, bool user)
{
	char *key;

	return asprintf(&key, "%s%s", user ? "\n" : "", name) < 0 ? NULL : key;
}

struct slot *scaler_slot_of(const struct scaler *scaler, const struct structure *structure)
{
	_cleanup_free_ char *key = NULL;

	if (structure->subtype != STRUCTURE_USER)
		return name_index_get(scaler->index, structure->name);
	key = slot_key(structure->name, true);
	return key ? name_index_get(scaler->index, key) : NULL;
}

struct slot *scaler_slot(struct scaler *scaler, const struct structure *structure)
{
	struct slot *slot = scaler_slot_of(scaler, structure);

	if (slot)
		return slot;
	slot = calloc(1, sizeof(*slot));
	if (!slot)
		return NULL;
	slot->user = structure->subtype == STRUCTURE_USER;
	slot->key = slot_key(structure->name, slot->user);
	if (!slot->key || name_index_add(scaler->index, slot->key, slot) < 0) {
		free(slot->key);
		free(slot);
		return NULL;
	}
	slot->name = slot->key + slot->user;
	slot->next = scaler->slots;
	scaler->slots = slot;
	return slot;
}

struct structure *scaler_structure(const struct scaler *scaler, const struct slot *slot)
{
	return slot->user ? model_user(scaler->model, slot->name)
			  : model_structure(scaler->model, slot->name);
}

static void slot_free(struct slot *slot)
{
	while (slot->waiting) {
		struct waiting *waiting = slot->waiting;

		slot->waiting = waiting->next;
		waiting_free(waiting);
	}
	free(slot->key);
	free(slot);
}

bool slot_other_boot(const struct slot *slot, uint64_t host_ns)
{
	return host_ns && slot->applied_ns > host_ns && slot->applied_ns - host_ns > OTHER_BOOT_NS;
}

static bool slot_idle(const struct slot *slot)
{
	for (int r = 0; r < EBB_RESOURCE_MAX; r++)
		if (slot->under_way[r])
			return false;
	return !slot->group;
}

/* Structures go without a word to the scaler, too. Some at a time: nobody else frees slots, and new
 * ones come first, so that the place stays. */
static void sweep(struct scaler *scaler, uint64_t now)
{
	struct slot **link = scaler->sweep;

	if (!link) {
		if (now - scaler->swept_ns < SWEEP_NS)
			return;
		scaler->swept_ns = now;
		link = &scaler->slots;
	}
	for (unsigned i = 0; *link && i < SWEEP_SLOTS; i++) {
		struct slot *slot = *link;

		if (!slot_idle(slot) || scaler_structure(scaler, slot)) {
			link = &slot->next;
			continue;
		}
		*link = slot->next;
		name_index_remove(scaler->index, slot->key);
		slot_free(slot);
	}
	scaler->sweep = *link ? link : NULL;
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

void scaler_inputs(const struct waiting *waiting, struct decision *ret_decision)
{
	packed_get(waiting->inputs, ret_decision, sizeof(*ret_decision));
	ret_decision->grounds.has_plan = waiting->planned;
	ret_decision->grounds.plan = waiting->plan;
}

/* --- planning --- */

/* The limit in force of one container; without a host's share to swap with. */
static void plan_limit(struct scaler *scaler, struct slot *slot, struct structure *s,
		       struct waiting *waiting, uint64_t now)
{
	enum ebb_resource resource = waiting->request.resource;
	struct resource_state *state = &s->resources[resource];
	bool whole = true;
	int64_t adopted = 0;
	struct plan_input input;
	struct decision decision;
	struct plan plan;
	struct part *part;

	waiting->reason = s->subscription ? "it is being subscribed"
					  : scaler_held_back(scaler, slot, s, resource, now);
	if (waiting->reason)
		return;
	headroom_hold_beyond(scaler->model, s->host, resource);
	if (state->allocated <= 0 && state->current > 0) {
		/* What is in force without being accounted is, from here on. */
		adopted = model_allocate(scaler->model, s, resource, state->current);
		whole = adopted == state->current;
	}
	input = (struct plan_input){
		.base = waiting->request.absolute ? waiting->base : state->current,
		.amount = waiting->request.amount,
		.current = state->current,
		.allocated = state->allocated,
		.min = resource_floor(state, resource),
		.max = state->max,
		.free = model_free_for(s, resource),
	};
	plan = scaler_plan(&input);
	if (!whole && (plan.verdict == PLAN_WAIT || plan.target > state->current)) {
		model_allocate(scaler->model, s, resource, -adopted);
		waiting->reason = "the host has not room for what is in force already";
		return;
	}
	/* A cut needs no room. What it leaves in force is accounted wholly or not at all. */
	if (!whole) {
		model_allocate(scaler->model, s, resource, -adopted);
		adopted = input.allocated = 0;
		input.free = model_free_for(s, resource);
	}
	waiting->planned = true;
	waiting->plan = input;
	if (plan.verdict == PLAN_PARTIAL && scaler_has_releases(scaler, s, waiting)) {
		plan.verdict = PLAN_WAIT;
		plan.reason = "others on its host give up what it lacks";
	}
	if (plan.verdict == PLAN_NOTHING || plan.verdict == PLAN_WAIT)
		goto out;
	part = part_new(resource, state->current, plan.target);
	if (!part)
		goto out;
	part->partial = plan.verdict == PLAN_PARTIAL;
	part->sampled_ns = waiting->request.sampled_ns;
	part->sampled_host_ns = waiting->request.sampled_host_ns;
	scaler_inputs(waiting, &decision);
	if (part->partial)
		snprintf(decision.reason, sizeof(decision.reason), "the host had no more to give");
	part->inputs = packed_new(&decision, sizeof(decision));
	if (!part->inputs || scaler_take_shares(scaler->model, s, part, plan.take) < 0 ||
	    (plan.take && part->to <= state->current) ||
	    scaler_add_part(scaler, slot, s, part) < 0) {
		scaler_return_shares(scaler->model, s, part);
		part_free(part);
		goto out;
	}
	/* What waited to be put back is put right by this order as well. */
	s->apply &= ~(1u << resource);
	s->held &= ~(1u << resource);
	waiting_drop(scaler, slot, waiting);
	return;
out:
	if (adopted)
		model_allocate(scaler->model, s, resource, -state->allocated);
	waiting->reason = plan.reason;
	if (plan.verdict == PLAN_NOTHING)
		waiting_refuse(scaler, slot, waiting, "refused", plan.reason);
}

static void plan_request(struct scaler *scaler, struct slot *slot, struct waiting *waiting,
			 uint64_t now)
{
	const struct request *request = &waiting->request;
	struct structure *s = scaler_structure(scaler, slot);
	struct resource_state *state;
	struct verdict verdict = {.what = VERDICT_DONE};

	if (!s || !s->resources[request->resource].present) {
		waiting_refuse(scaler, slot, waiting, "refused", "the container has gone");
		return;
	}
	state = &s->resources[request->resource];
	if (request_is_guardians(request) && (!s->guard || !state->guard)) {
		waiting_refuse(scaler, slot, waiting, "refused", "it is not guarded any more");
		return;
	}
	/* It came back meanwhile, without one and without room for one. */
	if (s->subtype == STRUCTURE_CONTAINER && state->current < 0) {
		waiting_refuse(scaler, slot, waiting, "refused", "its limit is not known any more");
		return;
	}
	if (request->resource == EBB_CPU && !waiting->pair &&
	    plan_budget_is_outdated(request->amount, request->power_budget,
				    s->resources[EBB_ENERGY].present &&
						    s->resources[EBB_ENERGY].current >= 0
					    ? (double)s->resources[EBB_ENERGY].current
					    : NAN)) {
		waiting_refuse(scaler, slot, waiting, "refused",
			       "its power budget has changed since it was asked for");
		return;
	}
	if (s->subtype == STRUCTURE_CONTAINER && request->field == REQUEST_CURRENT &&
	    !waiting->pair) {
		plan_limit(scaler, slot, s, waiting, now);
		return;
	}
	operation_begin(scaler, slot, s, waiting, now, &verdict);
	if (verdict.what == VERDICT_WAIT)
		waiting->reason = verdict.wait;
	else if (verdict.what == VERDICT_REFUSE)
		waiting_refuse(scaler, slot, waiting, "refused", verdict.refusal);
	else
		waiting_drop(scaler, slot, waiting);
}

struct candidate {
	struct plan_rank rank;
	struct slot *slot;
	struct waiting *waiting;
};

static int by_rank(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	return scaler_plan_compare(&x->rank, &y->rank);
}

static void expire(struct scaler *scaler, struct slot *slot, struct waiting *waiting)
{
	char reason[128];

	snprintf(reason, sizeof(reason), "waited %.0f s: %s", scaler_wall(scaler) - waiting->since,
		 waiting->reason ? waiting->reason : "its turn never came");
	waiting_refuse(scaler, slot, waiting, "expired", reason);
}

static int level_of(const struct scaler *scaler, const struct slot *slot)
{
	const struct structure *s = scaler_structure(scaler, slot);

	return slot->user ? 2 : s && s->subtype == STRUCTURE_APPLICATION ? 1 : 0;
}

static void plan_requests(struct scaler *scaler, struct slot *due, uint64_t now)
{
	_cleanup_free_ struct candidate *candidates = NULL;
	double oldest = scaler_wall(scaler) - scaler->model->scaler.request_timeout;
	size_t n = 0;

	for (struct slot *slot = due; slot; slot = slot->next_due)
		for (struct waiting *w = slot->waiting; w; w = w->next)
			n++;
	candidates = n ? calloc(n, sizeof(*candidates)) : NULL;
	n = 0;
	for (struct slot *slot = candidates ? due : NULL; slot; slot = slot->next_due)
		for (struct waiting *w = slot->waiting, *next; w; w = next) {
			next = w->next;
			if (w->since < oldest) {
				expire(scaler, slot, w);
				continue;
			}
			candidates[n++] = (struct candidate){
				.rank = {.amount = w->request.amount,
					 .priority = w->request.priority,
					 .since = w->since,
					 .max = w->request.field == REQUEST_MAX,
					 .level = level_of(scaler, slot)},
				.slot = slot,
				.waiting = w,
			};
		}
	if (n)
		qsort(candidates, n, sizeof(*candidates), by_rank);
	for (size_t i = 0; i < n; i++)
		plan_request(scaler, candidates[i].slot, candidates[i].waiting, now);
}

/* What the model wants of them is asked of it again. */
static void want_again(struct scaler *scaler, struct slot *due)
{
	for (struct slot *slot = due; slot; slot = slot->next_due) {
		struct structure *s = slot->later ? scaler_structure(scaler, slot) : NULL;

		for (int r = 0; s && r < EBB_RESOURCE_MAX; r++)
			if (slot->later & s->apply & 1u << r)
				model_apply(scaler->model, s, r);
		slot->later = 0;
	}
}

static void wait_on(struct scaler *scaler, struct slot *due)
{
	while (due) {
		struct slot *slot = due;
		struct structure *s = slot->waiting ? scaler_structure(scaler, slot) : NULL;

		due = slot->next_due;
		if (s && scaler_wait(scaler, slot, s) < 0)
			model_log(scaler->model, LOG_LEVEL_ERROR,
				  "No memory to keep a request of %s for later", slot->name);
	}
}

static void run_due(struct scaler *scaler)
{
	uint64_t now = scaler_now_ns(scaler);
	struct slot *due;

	/* What waits is tried when this controller leads, or expires. */
	if (!scaler->model->leading) {
		operations_abandon(scaler);
		return;
	}
	operations_retry(scaler, now);
	due = scaler_take_due(scaler);
	want_again(scaler, due);
	scaler_plan_applies(scaler, now);
	plan_requests(scaler, due, now);
	wait_on(scaler, due);
	scaler_flush(scaler, now);
	sweep(scaler, now);
}

void scaler_run(struct scaler *scaler)
{
	scaler_wake_all(scaler);
	run_due(scaler);
}

void scaler_run_share(struct scaler *scaler, double share)
{
	scaler_wake_share(scaler, share);
	run_due(scaler);
}

void scaler_run_for(struct scaler *scaler, const struct structure *about)
{
	scaler_wake(scaler, about);
	run_due(scaler);
}

/* --- life --- */

int scaler_new(struct model *model, struct audit *audit, struct scaler **ret_scaler)
{
	struct scaler *scaler = calloc(1, sizeof(*scaler));

	if (!scaler)
		return -ENOMEM;
	scaler->index = name_index_new();
	scaler->groups = name_index_new();
	if (!scaler->index || !scaler->groups) {
		name_index_free(scaler->index);
		name_index_free(scaler->groups);
		free(scaler);
		return -ENOMEM;
	}
	scaler->model = model;
	scaler->audit = audit;
	scaler->planned_end = &scaler->planned;
	scaler->swept_ns = scaler_now_ns(scaler);
	*ret_scaler = scaler;
	return 0;
}

void scaler_set_sink(struct scaler *scaler, struct order_sink sink)
{
	scaler->sink = sink;
}

void scaler_on_subscription(struct scaler *scaler, scaler_subscription_fn answered, void *userdata)
{
	scaler->answered = answered;
	scaler->answered_userdata = userdata;
}

void scaler_on_swapped(struct scaler *scaler, scaler_swapped_fn fn, void *userdata)
{
	scaler->swapped = fn;
	scaler->swapped_userdata = userdata;
}

void scaler_free(struct scaler *scaler)
{
	if (!scaler)
		return;
	while (scaler->operations) {
		struct operation *operation = scaler->operations;

		scaler->operations = operation->next;
		operation_free(operation);
	}
	while (scaler->slots) {
		struct slot *slot = scaler->slots;

		scaler->slots = slot->next;
		slot_free(slot);
	}
	scaler_wait_free(scaler);
	name_index_free(scaler->index);
	free(scaler);
}

void scaler_get_stats(const struct scaler *scaler, struct scaler_stats *ret_stats)
{
	*ret_stats = scaler->stats;
}
