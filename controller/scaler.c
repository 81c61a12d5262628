/* SPDX-License-Identifier: Apache-2.0 */
#include "scaler.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boundaries.h"
#include "name_index.h"
#include "scaler_plan.h"
#include "ebb/cleanup.h"
#include "ebb/loop.h"
#include "ebb/util.h"

/* The agent reclaims inside of it; every other order is a few writes. */
#define SHRINK_TIMEOUT_MS 10000
/* A Container Scaler reads all limits again before it answers, on few threads: 3 s are usual. An
 * order given up before its answer is taken back, and would be so for ever. */
#define CONTAINER_SCALER_TIMEOUT_MS 20000
/* A container that fails is tried again after 0.2 s, then ever later up to this. */
#define RETRY_FIRST_MS 200
#define RETRY_CAP_MS   10000
/* Between two writes of a limit that somebody else keeps changing. */
#define FOREIGN_FIRST_MS 1000
#define FOREIGN_CAP_MS   60000
#define FOREIGN_QUIET_NS (60 * EBB_NS_PER_SEC)
#define SWEEP_NS         (10 * EBB_NS_PER_SEC)
/* A host's clock starts anew when it boots. Answers and messages overtake each other by seconds. */
#define OTHER_BOOT_NS (60 * EBB_NS_PER_SEC)

/* One resource of an order under way. */
struct part {
	struct part *next;
	enum ebb_resource resource;
	bool apply;             /* the model's own wish: `current` is `to` already */
	bool partial;           /* planned for less than was asked */
	int64_t from, to;       /* limit in force before, and ordered; from < 0: not known */
	int64_t taken;          /* from the host, when planned */
	struct cpumap_row *row; /* CPU: the cores before that; NULL: nothing taken */
	int64_t row_total;
	struct decision decision;
	uint64_t sampled_ns, sampled_host_ns;
};

struct waiting {
	struct request request;
	int64_t base;       /* limit in force when it was asked */
	double since;       /* wall clock: first asked */
	const char *reason; /* why it waits; static */
};

/*
 * What the scaler knows of one structure, by name: a structure may be removed, and one of the same
 * name come, while an order is under way.
 */
struct slot {
	struct slot *next, *next_waiting;
	char *name;
	bool listed; /* among those that wait */
	struct waiting *waiting[EBB_RESOURCE_MAX];
	bool under_way[EBB_RESOURCE_MAX];
	uint64_t applied_ns; /* the last order's, on the host's clock */
	unsigned failures[EBB_RESOURCE_MAX];
	uint64_t not_before_ns[EBB_RESOURCE_MAX];
	unsigned foreign[EBB_RESOURCE_MAX]; /* put back so often, without a quiet minute */
	uint64_t foreign_ns[EBB_RESOURCE_MAX], apply_after_ns[EBB_RESOURCE_MAX];
};

struct scaler_order {
	struct scaler_order *next;
	struct slot *slot;
	bool slow; /* lowers a memory limit: apart, so that nothing else waits for its reclaim */
	struct part *parts;
	uint64_t sent_ns;
};

struct scaler {
	struct model *model;
	struct audit *audit;
	struct order_sink sink;
	struct slot *slots, *waiting;
	struct name_index *index;
	uint64_t swept_ns;
	struct scaler_stats stats;
};

/* --- slots --- */

static struct slot *slot_get(struct scaler *scaler, const char *name)
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
static bool other_boot(const struct slot *slot, uint64_t host_ns)
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

static double wall(const struct scaler *scaler)
{
	return timebase_wall(scaler->model->time);
}

static uint64_t monotonic_ns(const struct scaler *scaler)
{
	return timebase_now_ns(scaler->model->time);
}

static double ms_since(uint64_t from_ns, uint64_t to_ns)
{
	return from_ns ? ((double)to_ns - (double)from_ns) / 1e6 : NAN;
}

static void record(struct scaler *scaler, struct decision *decision, const char *outcome,
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
	record(scaler, &slot->waiting[resource]->request.decision, outcome, reason);
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
	slot = slot_get(scaler, s->name);
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
	decision->received_ms =
		request->received_ns ? ms_since(request->sampled_ns, request->received_ns) : NAN;
	decision->evaluated_ms = ms_since(request->sampled_ns, monotonic_ns(scaler));
	decision->sent_ms = decision->applied_ms = NAN;

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

static void part_free(struct part *part)
{
	cpumap_row_free(part->row);
	free(part);
}

static void order_free(struct scaler_order *order)
{
	while (order->parts) {
		struct part *part = order->parts;

		order->parts = part->next;
		part_free(part);
	}
	free(order);
}

/* Why nothing can be ordered for this resource at the moment; NULL: it can. */
static const char *held_back(const struct scaler *scaler, const struct slot *slot,
			     const struct structure *s, int resource, uint64_t now)
{
	const struct host *host = s->host;

	if (!scaler->model->scaler.active)
		return "the scaler is not active";
	if (!s->live || !host || !host->connected || !host->address)
		return host && host->agentless ? "its Container Scaler does not answer"
					       : "its agent is not connected";
	if (slot->under_way[resource])
		return "an order is under way";
	if (now < slot->not_before_ns[resource])
		return "the last order failed a moment ago";
	return NULL;
}

/* The cores that `to` shares will lie on; NULL: the order leaves them alone. Caller frees. */
static char *cores_for(const struct scaler *scaler, struct structure *s, int64_t to)
{
	const struct host *host = s->host;
	struct cpumap_row *row = NULL;
	struct cpu_list cpus = {0};
	char *text = NULL;
	int64_t owned;

	if (!scaler->model->scaler.pin_cores || !s->pinnable || !host->cpumap)
		return NULL;
	owned = cpumap_owned(host->cpumap, s->name);
	/* A shrink frees its cores only once it is applied: look ahead, and step back. */
	if (to < owned) {
		if (cpumap_save(host->cpumap, s->name, &row) < 0)
			return NULL;
		cpumap_shrink(host->cpumap, s->name, owned - to);
	}
	if (cpumap_cpus(host->cpumap, s->name, &cpus) == 0 && cpus.n)
		text = cpu_list_format(&cpus);
	if (row && cpumap_restore(host->cpumap, s->name, row) < 0)
		model_log(scaler->model, LOG_LEVEL_ERROR, "The core map of %s lost the row of %s",
			  host->structure->name, s->name);
	cpumap_row_free(row);
	cpu_list_clear(&cpus);
	return text;
}

/* Takes the shares that a growth needs; `part` keeps what a way back needs. */
static int take_shares(struct model *model, struct structure *s, struct part *part, int64_t take)
{
	struct host *host = s->host;
	int r;

	if (!take)
		return 0;
	if (part->resource == EBB_CPU && host->cpumap) {
		r = cpumap_save(host->cpumap, s->name, &part->row);
		if (r < 0)
			return r;
		part->row_total = cpumap_owned(host->cpumap, s->name);
	}
	part->taken = model_allocate(model, s, part->resource, take);
	if (part->taken < take) {
		part->to -= take - part->taken;
		part->partial = true;
	}
	return 0;
}

static void return_shares(struct model *model, struct structure *s, struct part *part)
{
	struct host *host = s->host;
	int64_t back = MIN(part->taken, s->resources[part->resource].allocated);

	part->taken = 0;
	if (back > 0)
		model_allocate(model, s, part->resource, -back);
	/* The same number of shares, but on the very cores it had. */
	if (part->row && host && host->cpumap &&
	    cpumap_owned(host->cpumap, s->name) == part->row_total)
		(void)cpumap_restore(host->cpumap, s->name, part->row);
}

static bool lowers_memory(const struct structure *s, const struct part *part)
{
	int64_t in_force = s->physical[EBB_MEM];

	return part->resource == EBB_MEM && (in_force < 0 || part->to < in_force);
}

static int add_part(struct scaler_order **orders, struct slot *slot, const struct structure *s,
		    struct part *part)
{
	bool slow = lowers_memory(s, part);
	struct scaler_order *order;

	for (order = *orders; order; order = order->next)
		if (order->slot == slot && order->slow == slow)
			break;
	if (!order) {
		order = calloc(1, sizeof(*order));
		if (!order)
			return -ENOMEM;
		order->slot = slot;
		order->slow = slow;
		order->next = *orders;
		*orders = order;
	}
	part->next = order->parts;
	order->parts = part;
	slot->under_way[part->resource] = true;
	return 0;
}

static struct part *part_new(enum ebb_resource resource, int64_t from, int64_t to)
{
	struct part *part = calloc(1, sizeof(*part));

	if (!part)
		return NULL;
	part->resource = resource;
	part->from = from;
	part->to = to;
	decision_init(&part->decision);
	return part;
}

/* `current` as the model set it, into force. */
static void plan_apply(struct scaler *scaler, struct slot *slot, struct structure *s, int resource,
		       struct scaler_order **orders)
{
	const struct resource_state *state = &s->resources[resource];
	struct decision *decision;
	struct part *part;

	part = part_new(resource, s->physical[resource], state->current);
	if (!part || add_part(orders, slot, s, part) < 0) {
		free(part);
		model_apply(scaler->model, s, resource);
		return;
	}
	part->apply = true;
	decision = &part->decision;
	decision->at = wall(scaler);
	decision->resource = resource;
	snprintf(decision->structure, sizeof(decision->structure), "%s", s->name);
	snprintf(decision->host, sizeof(decision->host), "%s", s->host_name ? s->host_name : "");
	snprintf(decision->origin, sizeof(decision->origin), "controller");
	snprintf(decision->reason, sizeof(decision->reason), "the limit on record is put in force");
	decision->usage = state->usage;
	decision->current = s->physical[resource];
	decision->upper = state->upper;
	decision->lower = state->lower;
	decision->min = state->min;
	decision->max = state->max;
	decision->planned = part->to;
}

static void plan_applies(struct scaler *scaler, uint64_t now, struct scaler_order **orders)
{
	struct {
		struct structure *s;
		unsigned mask;
	} *later = NULL;
	struct structure *s;
	size_t n = 0, room = 0;

	/* Put back after the loop: the list would never end otherwise. */
	while ((s = model_next_apply(scaler->model))) {
		struct slot *slot = slot_get(scaler, s->name);
		unsigned wanted = s->apply, held = slot ? 0 : wanted;

		s->apply = 0;
		for (int r = 0; slot && r < EBB_RESOURCE_MAX; r++) {
			if (!(wanted & 1u << r) || s->resources[r].current < 0)
				continue;
			if (held_back(scaler, slot, s, r, now) || now < slot->apply_after_ns[r])
				held |= 1u << r;
			else
				plan_apply(scaler, slot, s, r, orders);
		}
		if (!held)
			continue;
		if (n == room) {
			size_t larger = MAX(2 * room, (size_t)16);
			void *more = reallocarray(later, larger, sizeof(*later));

			if (!more) {
				model_log(scaler->model, LOG_LEVEL_ERROR,
					  "No memory to keep a limit of %s for later", s->name);
				continue;
			}
			later = more;
			room = larger;
		}
		later[n].s = s;
		later[n++].mask = held;
	}
	for (size_t i = 0; i < n; i++)
		for (int r = 0; r < EBB_RESOURCE_MAX; r++)
			if (later[i].mask & 1u << r)
				model_apply(scaler->model, later[i].s, r);
	free(later);
}

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
	waiting->reason = held_back(scaler, slot, s, resource, now);
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
	if (take_shares(scaler->model, s, part, plan.take) < 0 ||
	    (plan.take && part->to <= state->current) || add_part(orders, slot, s, part) < 0) {
		return_shares(scaler->model, s, part);
		part_free(part);
		return;
	}
	part->decision.planned = part->to;
	/* What waited to be put back is put right by this order as well. */
	s->apply &= ~(1u << resource);
	drop_waiting(scaler, slot, resource);
}

/* --- sending --- */

static json_t *order_body(struct scaler *scaler, struct structure *s, struct scaler_order *order)
{
	_cleanup_json_ json_t *body = json_object();

	for (struct part *part = order->parts; body && part; part = part->next) {
		_cleanup_free_ char *cores = NULL;

		if (part->resource == EBB_CPU) {
			cores = cores_for(scaler, s, part->to);
			snprintf(part->decision.cpus, sizeof(part->decision.cpus), "%s",
				 cores ? cores : "");
		}
		if (scaler_body_add(body, part->resource, part->to, cores) < 0)
			return NULL;
	}
	return TAKE_PTR(body);
}

static void retry_later(struct slot *slot, int resource, uint64_t now)
{
	unsigned ms = backoff_ms(slot->failures[resource]++, RETRY_FIRST_MS, RETRY_CAP_MS);

	slot->not_before_ns[resource] = now + ms * EBB_NS_PER_MS;
}

/* The first, the second, the fourth, the eighth time in a row. */
static bool worth_a_line(unsigned failures)
{
	return !(failures & (failures - 1));
}

/* For the record and the next try. Is it worth a line in the log? */
static bool part_failed(struct scaler *scaler, struct slot *slot, struct part *part,
			const char *why, uint64_t now)
{
	retry_later(slot, part->resource, now);
	scaler->stats.failed++;
	record(scaler, &part->decision, "failed", why);
	return worth_a_line(slot->failures[part->resource]);
}

/* The order will not be, or was refused: everything is as it was before it was planned. */
static void undo_part(struct scaler *scaler, struct slot *slot, struct structure *s,
		      struct part *part, const char *why, uint64_t now)
{
	return_shares(scaler->model, s, part);
	if (part->apply)
		model_apply(scaler->model, s, part->resource);
	if (part_failed(scaler, slot, part, why, now))
		model_log(scaler->model, LOG_LEVEL_WARNING,
			  "The %s limit of %s stays at %lld, not %lld: %s",
			  ebb_resource_name(part->resource), s->name, (long long)part->from,
			  (long long)part->to, why);
}

static void submit(struct scaler *scaler, struct scaler_order *planned, uint64_t now)
{
	struct slot *slot = planned->slot;
	struct structure *s = model_structure(scaler->model, slot->name);
	struct host *host = s->host;
	struct order order = {
		.address = strdup(host->address),
		.container = strdup(s->name),
		.body = order_body(scaler, s, planned),
		.timeout_ms = host->agentless ? CONTAINER_SCALER_TIMEOUT_MS
			      : planned->slow ? SHRINK_TIMEOUT_MS
					      : 0,
		.without_token = host->agentless,
		.userdata = planned,
	};
	int r = -ENOMEM;

	planned->sent_ns = monotonic_ns(scaler);
	for (struct part *part = planned->parts; part; part = part->next) {
		part->decision.sent_ms = ms_since(part->sampled_ns, planned->sent_ns);
		s->in_flight |= 1u << part->resource;
	}
	if (order.address && order.container && order.body)
		r = scaler->sink.submit ? scaler->sink.submit(scaler->sink.userdata, &order)
					: -ESHUTDOWN;
	if (r >= 0) {
		scaler->stats.orders++;
		scaler->stats.in_flight++;
		return;
	}
	free(order.address);
	free(order.container);
	json_decref(order.body);
	for (struct part *part = planned->parts; part; part = part->next) {
		slot->under_way[part->resource] = false;
		s->in_flight &= ~(1u << part->resource);
		undo_part(scaler, slot, s, part, strerror(-r), now);
	}
	order_free(planned);
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

	snprintf(reason, sizeof(reason), "waited %.0f s: %s", wall(scaler) - waiting->since,
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
	double oldest = wall(scaler) - scaler->model->scaler.request_timeout;
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
	uint64_t now = monotonic_ns(scaler);

	/* What waits is tried when this controller leads, or expires. */
	if (!scaler->model->leading)
		return;
	plan_applies(scaler, now, &orders);
	plan_requests(scaler, now, &orders);
	while (orders) {
		struct scaler_order *order = orders;

		orders = order->next;
		submit(scaler, order, now);
	}
	sweep(scaler, now);
}

/* --- completion --- */

static void part_applied(struct scaler *scaler, struct slot *slot, struct structure *s,
			 struct part *part, int64_t applied, const struct order_result *result,
			 uint64_t now)
{
	struct model *model = scaler->model;
	struct resource_state *state = &s->resources[part->resource];
	struct decision *decision = &part->decision;
	bool short_of_plan = applied != part->to;
	const struct host *host = s->host;
	/* A Container Scaler tells no time; and OpenTSDB's are of the wall clock. */
	bool by_wall = host && host->from_series, agentless = host && host->agentless;
	uint64_t applied_ns =
		agentless ? (uint64_t)(wall(scaler) * (double)EBB_NS_PER_SEC) : result->applied_ns;
	double at = by_wall ? wall(scaler) : (double)result->applied_ns / 1e9;

	model_limit_applied(model, s, part->resource, applied);
	if (applied != part->from && s->guard_state)
		guard_state_limit_changed(s->guard_state, part->resource, at,
					  part->from >= 0 && applied > part->from);
	if (boundaries_adjust(state))
		model_touch(model, s, MODEL_DIRTY_LIMITS);
	model_touch(model, s, MODEL_DIRTY_STRUCTURE);
	model_guard_changed(model, s);

	if (other_boot(slot, applied_ns))
		slot->applied_ns = 0;
	slot->applied_ns = MAX(slot->applied_ns, applied_ns);
	slot->not_before_ns[part->resource] = 0;
	/* A range that cannot be reached, memory in use above a new max, is not tried without end.
	 */
	if (short_of_plan && s->apply & 1u << part->resource)
		slot->apply_after_ns[part->resource] =
			now + backoff_ms(slot->failures[part->resource]++, FOREIGN_FIRST_MS,
					 FOREIGN_CAP_MS) *
				      EBB_NS_PER_MS;
	else
		slot->failures[part->resource] = 0;
	scaler->stats.applied++;
	decision->applied = applied;
	decision->applied_ms =
		part->sampled_host_ns && result->applied_ns && !agentless
			? ((double)result->applied_ns - (double)part->sampled_host_ns) / 1e6
			: ms_since(part->sampled_ns, now);
	record(scaler, decision, short_of_plan || part->partial ? "partial" : "applied",
	       short_of_plan ? "the agent could not go all the way" : NULL);
}

/* No answer: it may be in force or not. Both limits stay accounted until the old one is ordered
 * again and the agent says what is. */
static void part_unknown(struct scaler *scaler, struct slot *slot, struct structure *s,
			 struct part *part, const char *why, uint64_t now)
{
	model_apply(scaler->model, s, part->resource);
	if (part_failed(scaler, slot, part, why, now))
		model_log(scaler->model, LOG_LEVEL_WARNING,
			  "Whether the %s limit of %s became %lld is not known: %s",
			  ebb_resource_name(part->resource), s->name, (long long)part->to, why);
}

void scaler_order_done(void *userdata, void *order_userdata, const struct order_result *result)
{
	struct scaler *scaler = userdata;
	struct scaler_order *order = order_userdata;
	struct model *model = scaler->model;
	struct slot *slot = order->slot;
	uint64_t now = monotonic_ns(scaler);
	bool gone = result->status == 404, ours = false;
	struct structure *s;

	model_lock(model);
	s = model_structure(model, slot->name);
	scaler->stats.in_flight--;
	for (struct part *part = order->parts; part; part = part->next) {
		unsigned bit = 1u << part->resource;
		int64_t applied;

		slot->under_way[part->resource] = false;
		/* Without its bit it is another structure of that name, or has been given up. */
		if (!s || !(s->in_flight & bit)) {
			record(scaler, &part->decision, "failed", "the container has gone");
			continue;
		}
		ours = true;
		s->in_flight &= ~bit;
		if (result->ok &&
		    scaler_body_limit(result->resources, part->resource, &applied) == 0 &&
		    applied >= 0)
			part_applied(scaler, slot, s, part, applied, result, now);
		else if (result->ok)
			part_unknown(scaler, slot, s, part, "the agent's answer has no such limit",
				     now);
		else if (result->status)
			undo_part(scaler, slot, s, part, result->error, now);
		else
			part_unknown(scaler, slot, s, part, result->error, now);
	}
	if (gone && ours) {
		const struct host *host = s->host;

		model_log(model, LOG_LEVEL_INFO, "The %s of %s does not know %s any more",
			  host && host->agentless ? "Container Scaler" : "agent",
			  s->host_name ? s->host_name : "?", s->name);
		scaler_forget(scaler, s);
		model_container_gone(model, s);
	}
	order_free(order);
	scaler_run(scaler);
	model_unlock(model);
}

/* --- what others do --- */

bool scaler_is_outdated(const struct scaler *scaler, const struct structure *structure,
			uint64_t host_ns)
{
	const struct slot *slot = name_index_get(scaler->index, structure->name);

	return slot && host_ns <= slot->applied_ns && !other_boot(slot, host_ns);
}

/* The cores a container runs on against those that the core map gives it. */
static bool cores_differ(const struct scaler *scaler, const struct structure *s,
			 const json_t *limits)
{
	const char *text = json_string_value(json_object_get(limits, "cpus"));
	const struct host *host = s->host;
	struct cpu_list found = {0}, wanted = {0};
	bool differ = false;

	if (!scaler->model->scaler.pin_cores || !text || !host || !host->cpumap ||
	    cpumap_cpus(host->cpumap, s->name, &wanted) < 0)
		return false;
	if (wanted.n && cpu_list_parse(text, &found) == 0) {
		differ = found.n != wanted.n;
		for (size_t i = 0; i < wanted.n && !differ; i++)
			differ = !cpu_list_contains(&found, wanted.cpus[i]);
	}
	cpu_list_clear(&found);
	cpu_list_clear(&wanted);
	return differ;
}

static bool limit_differs(const struct structure *s, int resource, const json_t *limits,
			  int64_t *ret_found)
{
	const json_t *value = json_object_get(limits, ebb_resource_name(resource));

	return value && json_to_int64(value, ret_found) == 0 &&
	       MAX(*ret_found, -1) != s->resources[resource].current;
}

/* Somebody who goes on writing is not fought at every turn. */
static void put_back(struct scaler *scaler, struct structure *s, int resource, int64_t found)
{
	const struct resource_state *state = &s->resources[resource];
	struct slot *slot = slot_get(scaler, s->name);
	uint64_t now = monotonic_ns(scaler);

	if (!slot)
		return;
	if (now - slot->foreign_ns[resource] > FOREIGN_QUIET_NS)
		slot->foreign[resource] = 0;
	slot->foreign_ns[resource] = now;
	if (slot->foreign[resource]++)
		slot->apply_after_ns[resource] =
			now +
			backoff_ms(slot->foreign[resource] - 2, FOREIGN_FIRST_MS, FOREIGN_CAP_MS) *
				EBB_NS_PER_MS;
	if (worth_a_line(slot->foreign[resource]))
		model_log(scaler->model, LOG_LEVEL_WARNING,
			  "The %s limit of %s was changed by another hand, %lld to %lld %s or its "
			  "cores; it is put back (CHECK_CORE_MAP)",
			  ebb_resource_name(resource), s->name, (long long)state->current,
			  (long long)found, ebb_resource_unit(resource));
	model_apply(scaler->model, s, resource);
	scaler->stats.foreign++;
}

void scaler_limits_reported(struct scaler *scaler, struct structure *structure,
			    const json_t *limits, double at)
{
	unsigned foreign, busy = structure->in_flight | structure->apply;

	for (int r = 0; r < EBB_RESOURCE_MAX && scaler->model->scaler.check_core_map; r++) {
		int64_t found = structure->resources[r].current;

		if (!structure->resources[r].present || structure->resources[r].allocated <= 0 ||
		    busy & 1u << r)
			continue;
		/* Not ours any more: the model adopts what it finds. */
		if (!structure->guard || !structure->resources[r].guard)
			continue;
		if (limit_differs(structure, r, limits, &found) ||
		    (r == EBB_CPU && cores_differ(scaler, structure, limits)))
			put_back(scaler, structure, r, found);
	}
	/* What is to be put back is left alone there. */
	foreign = model_limits_reported(scaler->model, structure, limits);
	scaler->stats.foreign += (unsigned)__builtin_popcount(foreign);
	for (int r = 0; r < EBB_RESOURCE_MAX; r++)
		if (foreign & 1u << r && structure->guard_state)
			guard_state_limit_changed(structure->guard_state, r, at, false);
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
	scaler->swept_ns = monotonic_ns(scaler);
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
