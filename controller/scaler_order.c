/* SPDX-License-Identifier: Apache-2.0 */
/* Orders: what goes into one, who carries it, what came of it. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boundaries.h"
#include "model_private.h"
#include "drift.h"
#include "scaler_private.h"
#include "shrink_steps.h"
#include "ebb/cleanup.h"
#include "ebb/loop.h"

/* The agent reclaims inside of it; every other order is a few writes. */
#define SHRINK_TIMEOUT_MS 10000
/* A Container Scaler reads all limits again before it answers, on few threads: 3 s are usual. An
 * order given up before its answer is taken back, and would be so for ever. */
#define CONTAINER_SCALER_TIMEOUT_MS 20000
/* A container that fails is tried again after 0.2 s, then ever later up to this. */
#define RETRY_FIRST_MS 200
#define RETRY_CAP_MS   10000
/* What the agent raised meanwhile is told in the same moment. */
#define GROWN_MS 5

/* --- parts --- */

void part_free(struct part *part)
{
	if (!part)
		return;
	scaler_release_end(part->releases, part->resource);
	cpumap_row_free(part->row);
	free(part->inputs);
	free(part->cpus);
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

/* What is on record of it so far. */
static void part_decision(const struct part *part, struct decision *ret_decision)
{
	if (part->inputs)
		packed_get(part->inputs, ret_decision, sizeof(*ret_decision));
	else
		decision_init(ret_decision);
	ret_decision->planned = part->to;
	ret_decision->sent_ms = part->sent_ms;
	snprintf(ret_decision->cpus, sizeof(ret_decision->cpus), "%s", part->cpus ?: "");
}

/*
 * It gets back what it gave in an operation that is no more: not before those who got it have given
 * it back, or have failed to again and again.
 */
static bool waits_for_others(const struct scaler *scaler, const struct structure *s, int resource)
{
	unsigned bit = 1u << resource;
	const struct host *host = s->host;

	if (!(s->operating & bit) || !host || s->physical[resource] < 0 ||
	    s->resources[resource].current <= s->physical[resource])
		return false;
	for (const struct structure *o = host->containers; o; o = o->host_next) {
		const struct resource_state *state = &o->resources[resource];
		const struct slot *slot;

		if (o == s || !(o->operating & bit) || o->gone ||
		    (o->physical[resource] >= 0 &&
		     MAX(o->physical[resource], state->allocated) <= state->current))
			continue;
		slot = scaler_slot_of(scaler, o);
		if (!o->live ||
		    (o->apply & bit && !(slot && slot->failures[resource] >= SCALER_TRIES)) ||
		    (slot && slot->putting_back & bit && slot->failures[resource] < SCALER_TRIES))
			return true;
	}
	return false;
}

/* Why nothing can be ordered for this resource at the moment; NULL: it can. */
const char *scaler_held_back(const struct scaler *scaler, const struct slot *slot,
			     const struct structure *s, int resource, uint64_t now)
{
	const struct host *host = s->host;

	if (!scaler->model->scaler.active && !s->subscription)
		return "the scaler is not active";
	if (!s->live || !host || !host->connected || !host->address)
		return host && host->agentless ? "its Container Scaler does not answer"
					       : "its agent is not connected";
	if (drift_is_manual(s) && !(s->operating & 1u << resource))
		return "it is set to manual, until it is guarded again";
	if (slot->under_way[resource])
		return "an order is under way";
	if (now < slot->not_before_ns[resource])
		return "the last order failed a moment ago";
	if (waits_for_others(scaler, s, resource))
		return "what it gave in an operation is not back yet";
	return NULL;
}

/*
 * The cores that `to` shares will lie on, those of `before` where that fits; NULL: the order leaves
 * them alone. Caller frees.
 */
static char *cores_for(const struct scaler *scaler, struct structure *s, int64_t to,
		       const struct cpumap_row *before)
{
	const struct host *host = s->host;
	struct cpumap_row *row = NULL;
	struct cpu_list cpus = {0};
	char *text = NULL;
	int64_t owned;

	if (!model_pins_cores(scaler->model, host) || !s->pinnable || !host->cpumap)
		return NULL;
	owned = cpumap_owned(host->cpumap, s->name);
	/* A shrink frees its cores only once it is applied: look ahead, and step back. */
	if (to < owned) {
		if (cpumap_save(host->cpumap, s->name, &row) < 0)
			return NULL;
		cpumap_shrink(host->cpumap, s->name, owned - to);
		if (before)
			(void)cpumap_restore(host->cpumap, s->name, before);
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
int scaler_take_shares(struct model *model, struct structure *s, struct part *part, int64_t take)
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

void scaler_return_shares(struct model *model, struct structure *s, struct part *part)
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

int scaler_add_part(struct scaler *scaler, struct slot *slot, const struct structure *s,
		    struct part *part)
{
	bool slow = lowers_memory(s, part);
	/* What an operation orders stands alone: it fails for no other's sake. */
	struct scaler_order *order = part->change ? NULL : slot->planned[slow];

	if (!order) {
		order = calloc(1, sizeof(*order));
		if (!order)
			return -ENOMEM;
		order->slot = slot;
		order->slow = slow;
		*scaler->planned_end = order;
		scaler->planned_end = &order->next;
		if (!part->change)
			slot->planned[slow] = order;
	}
	part->next = order->parts;
	order->parts = part;
	slot->under_way[part->resource] = true;
	if (!part->change && part->to < part->from)
		part->releases = scaler_release_begin(scaler, s, part->resource);
	return 0;
}

struct part *part_new(enum ebb_resource resource, int64_t from, int64_t to)
{
	struct part *part = calloc(1, sizeof(*part));

	if (!part)
		return NULL;
	part->resource = resource;
	part->from = from;
	part->to = to;
	part->sent_ms = NAN;
	return part;
}

/* `current` as the model set it, into force. */
static bool plan_apply(struct scaler *scaler, struct slot *slot, struct structure *s, int resource)
{
	const struct resource_state *state = &s->resources[resource];
	struct decision decision;
	struct part *part;

	part = part_new(resource, s->physical[resource], state->current);
	if (!part)
		return false;
	part->apply = true;
	decision_init(&decision);
	decision.at = scaler_wall(scaler);
	decision.resource = resource;
	snprintf(decision.structure, sizeof(decision.structure), "%s", s->name);
	snprintf(decision.host, sizeof(decision.host), "%s", s->host_name ? s->host_name : "");
	snprintf(decision.origin, sizeof(decision.origin), "controller");
	snprintf(decision.reason, sizeof(decision.reason), "the limit on record is put in force");
	decision.usage = state->usage;
	decision.current = s->physical[resource];
	decision.upper = state->upper;
	decision.lower = state->lower;
	decision.min = state->min;
	decision.max = state->max;
	part->inputs = packed_new(&decision, sizeof(decision));
	if (!part->inputs || scaler_add_part(scaler, slot, s, part) < 0) {
		part_free(part);
		return false;
	}
	slot->putting_back |= s->operating & 1u << resource;
	return true;
}

/* It was in an operation that is no more: it is back with its shares, or goes with those it has. */
static void take_shares_back(struct scaler *scaler, struct structure *s, enum ebb_resource resource)
{
	struct resource_state *state = &s->resources[resource];
	int64_t missing = state->current - state->allocated;

	if (!(s->operating & 1u << resource) || state->allocated <= 0 || missing <= 0)
		return;
	if (model_allocate(scaler->model, s, resource, missing) < missing)
		accounting_set_current(scaler->model, s, resource, state->allocated);
}

void scaler_plan_applies(struct scaler *scaler, uint64_t now)
{
	struct structure *s;

	while ((s = model_next_apply(scaler->model))) {
		struct slot *slot = scaler_slot(scaler, s);
		unsigned wanted = s->apply, held = 0;

		s->apply = 0;
		for (int r = 0; slot && r < EBB_RESOURCE_MAX; r++) {
			if (!(wanted & 1u << r) || s->resources[r].current < 0)
				continue;
			if (scaler_held_back(scaler, slot, s, r, now) ||
			    now < slot->apply_after_ns[r]) {
				held |= 1u << r;
				continue;
			}
			take_shares_back(scaler, s, r);
			if (!plan_apply(scaler, slot, s, r))
				held |= 1u << r;
		}
		/* It stays wanted, and is asked for again when its host has its turn. */
		s->apply |= held;
		if (!slot || (held && scaler_wait(scaler, slot, s) < 0))
			model_log(scaler->model, LOG_LEVEL_ERROR,
				  "No memory to keep a limit of %s for later", s->name);
		else
			slot->later |= held;
	}
}

/* --- sending --- */

static json_t *order_body(struct scaler *scaler, struct structure *s, struct scaler_order *order)
{
	_cleanup_json_ json_t *body = json_object();

	for (struct part *part = order->parts; body && part; part = part->next) {
		_cleanup_free_ char *cores = NULL;

		if (part->resource == EBB_CPU) {
			bool back = part->change &&
				    part->change->operation->phase == OPERATION_TAKE_BACK;

			cores = cores_for(scaler, s, part->to, back ? part->change->row : NULL);
			if (part->change)
				snprintf(part->change->cpus, sizeof(part->change->cpus), "%s",
					 cores ? cores : "");
		}
		if (scaler_body_add(body, part->resource, part->to, cores) < 0)
			return NULL;
		free(part->cpus);
		part->cpus = TAKE_PTR(cores);
	}
	return TAKE_PTR(body);
}

static void retry_later(struct slot *slot, int resource, uint64_t now)
{
	unsigned ms = backoff_ms(slot->failures[resource]++, RETRY_FIRST_MS, RETRY_CAP_MS);

	slot->not_before_ns[resource] = now + ms * EBB_NS_PER_MS;
}

/* The first, the second, the fourth, the eighth time in a row. */
bool scaler_worth_a_line(unsigned failures)
{
	return !(failures & (failures - 1));
}

/* For the record and the next try. Is it worth a line in the log? */
static bool part_failed(struct scaler *scaler, struct slot *slot, struct part *part,
			const char *why, bool grown, uint64_t now)
{
	struct decision decision;

	/* Nobody's fault: it is decided anew, with what the agent tells. */
	if (grown) {
		slot->not_before_ns[part->resource] = now + GROWN_MS * EBB_NS_PER_MS;
		part_decision(part, &decision);
		scaler_record(scaler, &decision, "superseded", why);
		return false;
	}
	retry_later(slot, part->resource, now);
	scaler->stats.failed++;
	part_decision(part, &decision);
	scaler_record(scaler, &decision, "failed", why);
	return scaler_worth_a_line(slot->failures[part->resource]);
}

void scaler_settle_overwritten(struct scaler *scaler, struct structure *s,
			       enum ebb_resource resource)
{
	const struct resource_state *state = &s->resources[resource];

	if (s->apply & 1u << resource || state->allocated <= 0 ||
	    s->physical[resource] == INT64_MIN || s->physical[resource] == state->current)
		return;
	if (s->guard && state->guard)
		model_apply(scaler->model, s, resource);
	else
		model_adopt_limit(scaler->model, s, resource);
}

bool scaler_below_max(struct scaler *scaler, struct structure *s, enum ebb_resource resource)
{
	return s->guard && s->resources[resource].guard &&
	       accounting_below_max(scaler->model, s, resource);
}

/* The order will not be, or was refused: everything is as it was before it was planned. */
static void undo_part(struct scaler *scaler, struct slot *slot, struct structure *s,
		      struct part *part, const char *why, bool grown, uint64_t now)
{
	scaler_return_shares(scaler->model, s, part);
	scaler_settle_meanwhile(scaler, s, part->resource);
	scaler_hold_physical(scaler, s, part->resource);
	if (part->apply)
		model_apply(scaler->model, s, part->resource);
	else
		scaler_settle_overwritten(scaler, s, part->resource);
	/* It was taken into the accounts for this order, with more than its max in force. */
	scaler_below_max(scaler, s, part->resource);
	if (part_failed(scaler, slot, part, why, grown, now))
		model_log(scaler->model, LOG_LEVEL_WARNING,
			  "The %s limit of %s stays at %lld, not %lld: %s",
			  ebb_resource_name(part->resource), s->name, (long long)part->from,
			  (long long)part->to, why);
}

/* It does not leave: as if the agent had refused it. */
static void not_sent(struct scaler *scaler, struct scaler_order *planned, struct structure *s,
		     const char *why, uint64_t now)
{
	struct slot *slot = planned->slot;

	for (struct part *part = planned->parts; part; part = part->next) {
		if (part->change) {
			retry_later(slot, part->resource, now);
			operation_answered(scaler, part->change, CHANGE_REFUSED, part->from, why);
			operation_go_on(scaler, part->change->operation, now);
			continue;
		}
		slot->under_way[part->resource] = false;
		slot->putting_back &= ~(1u << part->resource);
		s->in_flight &= ~(1u << part->resource);
		undo_part(scaler, slot, s, part, why, false, now);
	}
	order_free(planned);
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
		.has_knowledge = host->reflex && !host->agentless,
		.accounts = host->accounts,
		.grown = host->grown,
		.userdata = planned,
	};
	int r = -ENOMEM;

	planned->sent_ns = scaler_now_ns(scaler);
	for (struct part *part = planned->parts; part; part = part->next) {
		part->sent_ms = scaler_ms_since(part->sampled_ns, planned->sent_ns);
		if (part->change)
			part->change->sent_ms = part->sent_ms;
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
	not_sent(scaler, planned, s, strerror(-r), now);
}

void scaler_flush(struct scaler *scaler, uint64_t now)
{
	while (scaler->planned) {
		struct scaler_order *order = scaler->planned;

		scaler->planned = order->next;
		if (!scaler->planned)
			scaler->planned_end = &scaler->planned;
		if (order->slot->planned[order->slow] == order)
			order->slot->planned[order->slow] = NULL;
		submit(scaler, order, now);
	}
}

/* --- completion --- */

static bool is_agentless(const struct structure *s)
{
	const struct host *host = s->host;

	return host && host->agentless;
}

void scaler_limit_in_force(struct scaler *scaler, struct slot *slot, struct structure *s,
			   enum ebb_resource resource, int64_t from, int64_t applied,
			   const struct order_result *result)
{
	const char *cpus = json_string_value(
		json_object_get(json_object_get(result->resources, "cpu"), "cpu_num"));
	const struct host *host = s->host;
	/* A Container Scaler tells no time; and OpenTSDB's are of the wall clock. */
	bool by_wall = host && host->from_series;
	uint64_t applied_ns = is_agentless(s)
				      ? (uint64_t)(scaler_wall(scaler) * (double)EBB_NS_PER_SEC)
				      : result->applied_ns;
	double at = by_wall ? scaler_wall(scaler) : (double)result->applied_ns / 1e9;

	if (resource == EBB_CPU && cpus)
		model_cpus_reported(s, cpus);
	if (applied != from && s->guard_state)
		guard_state_limit_changed(s->guard_state, resource, at,
					  from >= 0 && applied > from);
	if (slot_other_boot(slot, applied_ns))
		slot->applied_ns = 0;
	slot->applied_ns = MAX(slot->applied_ns, applied_ns);
	slot->not_before_ns[resource] = 0;
}

/* Milliseconds from the sample to the limit, on the host's clock where it told both. */
static double reaction_ms(const struct structure *s, uint64_t sampled_ns, uint64_t sampled_host_ns,
			  const struct order_result *result, uint64_t now)
{
	return sampled_host_ns && result->applied_ns && !is_agentless(s)
		       ? ((double)result->applied_ns - (double)sampled_host_ns) / 1e6
		       : scaler_ms_since(sampled_ns, now);
}

static void part_applied(struct scaler *scaler, struct slot *slot, struct structure *s,
			 struct part *part, int64_t applied, const struct order_result *result,
			 uint64_t now)
{
	struct model *model = scaler->model;
	struct decision decision;
	bool short_of_plan = applied != part->to;

	model_limit_applied(model, s, part->resource, applied);
	scaler_limit_in_force(scaler, slot, s, part->resource, part->from, applied, result);
	if (boundaries_adjust(&s->resources[part->resource]))
		model_touch(model, s, MODEL_DIRTY_LIMITS);
	model_touch(model, s, MODEL_DIRTY_STRUCTURE);
	model_guard_changed(model, s);
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
	part_decision(part, &decision);
	decision.applied = applied;
	if (part->resource == EBB_MEM)
		shrink_steps_text(result->resources, decision.steps, sizeof(decision.steps));
	decision.applied_ms = reaction_ms(s, part->sampled_ns, part->sampled_host_ns, result, now);
	scaler_record(scaler, &decision, short_of_plan || part->partial ? "partial" : "applied",
		      short_of_plan ? "the agent could not go all the way" : NULL);
}

/* Whatever became of it. */
static void part_lost(struct scaler *scaler, const struct part *part)
{
	struct decision decision;

	part_decision(part, &decision);
	scaler_record(scaler, &decision, "failed", "the container has gone");
}

/* No answer: it may be in force or not. Both limits stay accounted until the old one is ordered
 * again and the agent says what is. */
static void part_unknown(struct scaler *scaler, struct slot *slot, struct structure *s,
			 struct part *part, const char *why, uint64_t now)
{
	if (s->grown_meanwhile & 1u << part->resource) {
		/* After the order or without it: it is ordered, and the rest given back then. */
		s->grown_meanwhile &= ~(1u << part->resource);
		accounting_set_current(
			scaler->model, s, part->resource,
			MIN(s->grown[part->resource].to, s->resources[part->resource].allocated));
	}
	if (!scaler_below_max(scaler, s, part->resource))
		model_apply(scaler->model, s, part->resource);
	if (part_failed(scaler, slot, part, why, false, now))
		model_log(scaler->model, LOG_LEVEL_WARNING,
			  "Whether the %s limit of %s became %lld is not known: %s",
			  ebb_resource_name(part->resource), s->name, (long long)part->to, why);
}

/* The answer to an order of an operation. */
static void change_answered(struct scaler *scaler, struct part *part, struct structure *s,
			    const struct order_result *result, uint64_t now)
{
	struct change *change = part->change;
	struct slot *slot = change->slot;
	int64_t applied;

	if (!s || !(s->in_flight & 1u << part->resource) || result->status == 404) {
		operation_answered(scaler, change, CHANGE_LOST, -1, "the container has gone");
		return;
	}
	if (!result->ok) {
		retry_later(slot, part->resource, now);
		operation_answered(scaler, change, result->status ? CHANGE_REFUSED : CHANGE_UNKNOWN,
				   part->from, result->error);
		return;
	}
	if (scaler_body_limit(result->resources, part->resource, &applied) < 0 || applied < 0) {
		retry_later(slot, part->resource, now);
		operation_answered(scaler, change, CHANGE_UNKNOWN, -1,
				   "the agent's answer has no such limit");
		return;
	}
	s->physical[part->resource] = applied;
	scaler_limit_in_force(scaler, slot, s, part->resource, part->from, applied, result);
	slot->failures[part->resource] = 0;
	if (part->resource == EBB_MEM)
		shrink_steps_text(result->resources, change->steps, sizeof(change->steps));
	change->applied_ms = reaction_ms(s, part->sampled_ns, part->sampled_host_ns, result, now);
	operation_answered(scaler, change, CHANGE_DONE, applied, NULL);
}

static void part_answered(struct scaler *scaler, struct slot *slot, struct structure *s,
			  struct part *part, const struct order_result *result, uint64_t now)
{
	unsigned bit = 1u << part->resource;
	int64_t applied;

	s->in_flight &= ~bit;
	if (result->ok && scaler_body_limit(result->resources, part->resource, &applied) == 0 &&
	    applied >= 0) {
		/* In force before it grew further: its answer was overtaken by the report. */
		if (s->grown_meanwhile & bit &&
		    s->grown[part->resource].number > result->applied_ns)
			applied = s->grown[part->resource].to;
		s->grown_meanwhile &= ~bit;
		part_applied(scaler, slot, s, part, applied, result, now);
	} else if (result->ok)
		part_unknown(scaler, slot, s, part, "the agent's answer has no such limit", now);
	else if (result->status)
		undo_part(scaler, slot, s, part, result->error, result->grown, now);
	else
		part_unknown(scaler, slot, s, part, result->error, now);
}

void scaler_order_done(void *userdata, void *order_userdata, const struct order_result *result)
{
	struct scaler *scaler = userdata;
	struct scaler_order *order = order_userdata;
	struct model *model = scaler->model;
	struct slot *slot = order->slot;
	uint64_t now = scaler_now_ns(scaler);
	bool gone = result->status == 404, ours = false;
	const struct structure *host_structure = NULL;
	struct operation *operation = NULL;
	unsigned long subscription;
	struct structure *s;

	model_lock(model);
	s = model_structure(model, slot->name);
	subscription = s ? s->subscription : 0;
	if (s && s->host)
		host_structure = ((const struct host *)s->host)->structure;
	scaler->stats.in_flight--;
	for (struct part *part = order->parts; part; part = part->next) {
		unsigned bit = 1u << part->resource;

		if (part->change) {
			operation = part->change->operation;
			ours |= s && s->in_flight & bit;
			change_answered(scaler, part, s, result, now);
			continue;
		}
		slot->under_way[part->resource] = false;
		slot->putting_back &= ~bit;
		/* Without its bit it is another structure of that name, or has been given up. */
		if (!s || !(s->in_flight & bit)) {
			part_lost(scaler, part);
			continue;
		}
		ours = true;
		part_answered(scaler, slot, s, part, result, now);
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
	if (operation)
		operation_go_on(scaler, operation, now);
	scaler_run_for(scaler, host_structure);
	scaler_flush(scaler, now);
	model_unlock(model);
	if (subscription && scaler->answered)
		scaler->answered(scaler->answered_userdata, subscription, result);
}
