/* SPDX-License-Identifier: Apache-2.0 */
#include "scaler.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "operation_plan.h"
#include "member_sums.h"
#include "scaler_private.h"
#include "ebb/cleanup.h"

#define SWEEP_NS (10 * EBB_NS_PER_SEC)
/* Slots looked at in one turn: some 50 us. */
#define SWEEP_SLOTS 256
/* Requests that wait for one structure: one with each of so many others to swap with. */
#define WAITING_MAX 64

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

static void waiting_free(struct waiting *waiting)
{
	free(waiting->inputs);
	free(waiting->pair);
	free(waiting);
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

static void drop_waiting(struct scaler *scaler, struct slot *slot, struct waiting *waiting)
{
	struct waiting **link = &slot->waiting;

	while (*link != waiting)
		link = &(*link)->next;
	*link = waiting->next;
	waiting_free(waiting);
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

void scaler_inputs(const struct waiting *waiting, struct decision *ret_decision)
{
	packed_get(waiting->inputs, ret_decision, sizeof(*ret_decision));
	ret_decision->grounds.has_plan = waiting->planned;
	ret_decision->grounds.plan = waiting->plan;
}

static void refuse(struct scaler *scaler, struct slot *slot, struct waiting *waiting,
		   const char *outcome, const char *reason)
{
	struct decision decision;

	scaler_inputs(waiting, &decision);
	scaler_record(scaler, &decision, outcome, reason);
	if (strcmp(outcome, "expired") == 0)
		scaler->stats.expired++;
	else
		scaler->stats.refused++;
	drop_waiting(scaler, slot, waiting);
}

/* --- requests --- */

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

static bool is_guardians(const struct request *request)
{
	return strcmp(request->origin, "guardian") == 0;
}

/* The guardian has changed its mind: what waits and asks for the contrary. */
static void supersede(struct scaler *scaler, struct slot *slot, const struct request *request)
{
	struct waiting *waiting = NULL;

	if (is_guardians(request))
		waiting = find_waiting(slot, request, NULL, request->amount < 0);
	if (waiting && is_guardians(&waiting->request))
		refuse(scaler, slot, waiting, "superseded", "a newer request goes the other way");
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
		drop_waiting(scaler, slot, old);
	}
	supersede(scaler, slot, &request);
	waiting->next = slot->waiting;
	slot->waiting = waiting;
	scaler->stats.waiting++;
	if (scaler_wait(scaler, slot, request.structure) < 0) {
		drop_waiting(scaler, slot, waiting);
		return -ENOMEM;
	}
	scaler_wake_slot(scaler, slot);
	return 0;
}

void scaler_unguarded(struct scaler *scaler, struct structure *structure)
{
	struct slot *slot = scaler_slot_of(scaler, structure);

	while (slot && slot->waiting)
		drop_waiting(scaler, slot, slot->waiting);
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
	drop_waiting(scaler, slot, waiting);
	return;
out:
	if (adopted)
		model_allocate(scaler->model, s, resource, -state->allocated);
	waiting->reason = plan.reason;
	if (plan.verdict == PLAN_NOTHING)
		refuse(scaler, slot, waiting, "refused", plan.reason);
}

static void plan_request(struct scaler *scaler, struct slot *slot, struct waiting *waiting,
			 uint64_t now)
{
	const struct request *request = &waiting->request;
	struct structure *s = scaler_structure(scaler, slot);
	struct resource_state *state;
	struct verdict verdict = {.what = VERDICT_DONE};

	if (!s || !s->resources[request->resource].present) {
		refuse(scaler, slot, waiting, "refused", "the container has gone");
		return;
	}
	state = &s->resources[request->resource];
	if (is_guardians(request) && (!s->guard || !state->guard)) {
		refuse(scaler, slot, waiting, "refused", "it is not guarded any more");
		return;
	}
	/* It came back meanwhile, without one and without room for one. */
	if (s->subtype == STRUCTURE_CONTAINER && state->current < 0) {
		refuse(scaler, slot, waiting, "refused", "its limit is not known any more");
		return;
	}
	if (request->resource == EBB_CPU && !waiting->pair &&
	    plan_budget_is_outdated(request->amount, request->power_budget,
				    s->resources[EBB_ENERGY].present &&
						    s->resources[EBB_ENERGY].current >= 0
					    ? (double)s->resources[EBB_ENERGY].current
					    : NAN)) {
		refuse(scaler, slot, waiting, "refused",
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
		refuse(scaler, slot, waiting, "refused", verdict.refusal);
	else
		drop_waiting(scaler, slot, waiting);
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
	refuse(scaler, slot, waiting, "expired", reason);
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
