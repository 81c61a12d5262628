/* SPDX-License-Identifier: Apache-2.0 */
#include "guardian.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "boundaries.h"
#include "ebb/cleanup.h"
#include "events.h"
#include "patience.h"
#include "window.h"

/* An interval says something about a new limit when no more of it than this came before. */
#define STRADDLE 0.05

/* EVENT_TIMEOUT holds at least so many samples, else rules that count to ten never fire on a slow
 * feed. */
#define EVENT_SAMPLES 20
/* A lowering by `demand` wants so much evidence, however fast the feed (DESIGN 4.7). */
#define EVIDENCE_S     0.95
#define EVIDENCE_MEM_S 3.0
/* One bucket may have caught a moment's pause. */
#define EVIDENCE_BLURS 2
/* A feed that was silent for longer starts anew; keeps 32-bit milliseconds from wrapping, too. */
#define SILENCE_S 3600.0

struct resource_guard {
	struct window window;
	struct events up, down;

	double measured_since; /* the limit in force, or the first sample; NAN: nothing yet */
	double changed_at; /* samples that began before this say nothing about the limit in force */
	int64_t limit;     /* at the last sample; -1: the next one's is new and known of */

	double last, held_back;         /* of the newest sample */
	uint8_t raises;                 /* in a row while pinned */
	bool asked_pinned, asked_lower; /* what the last request was, until the limit changes */

	struct patience patience;
};

struct guard_state {
	double last_at;
	struct resource_guard *resources[EBB_RESOURCE_MAX];
};

struct guard_state *guard_state_new(void)
{
	struct guard_state *state = calloc(1, sizeof(*state));

	if (state)
		state->last_at = -INFINITY;
	return state;
}

void guard_state_free(struct guard_state *state)
{
	if (!state)
		return;
	for (int r = 0; r < EBB_RESOURCE_MAX; r++) {
		struct resource_guard *guard = state->resources[r];

		if (!guard)
			continue;
		events_clear(&guard->up);
		events_clear(&guard->down);
		free(guard);
	}
	free(state);
}

size_t guard_state_bytes(const struct guard_state *state)
{
	size_t bytes = sizeof(*state);

	for (int r = 0; r < EBB_RESOURCE_MAX; r++) {
		const struct resource_guard *guard = state->resources[r];

		if (guard)
			bytes += sizeof(*guard) +
				 (guard->up.room + guard->down.room) * sizeof(*guard->up.entries);
	}
	return bytes;
}

/* Wraps after 49 days; only differences are used. */
static uint32_t milliseconds(double at)
{
	return (uint32_t)(int64_t)llround(at * 1000);
}

static void forget_everything(struct resource_guard *guard, enum ebb_resource resource)
{
	events_clear(&guard->up);
	events_clear(&guard->down);
	*guard = (struct resource_guard){
		.measured_since = NAN,
		.changed_at = -INFINITY,
		.limit = -1,
	};
	patience_init(&guard->patience, resource == EBB_MEM ? EVIDENCE_MEM_S : 0);
}

/* NULL: no memory; the resource is not guarded this time. */
static struct resource_guard *resource_guard_get(struct guard_state *state,
						 enum ebb_resource resource)
{
	struct resource_guard *guard = state->resources[resource];

	if (!guard) {
		guard = state->resources[resource] = calloc(1, sizeof(*guard));
		if (guard)
			forget_everything(guard, resource);
	}
	return guard;
}

void guard_state_limit_changed(struct guard_state *state, enum ebb_resource resource, double at,
			       bool grown)
{
	struct resource_guard *guard = state ? state->resources[resource] : NULL;

	if (!guard)
		return;
	/* How much memory is used does not depend on its limit: its growth goes on across a change.
	 */
	if (resource != EBB_MEM)
		window_clear(&guard->window);
	events_clear(&guard->up);
	events_clear(&guard->down);
	guard->changed_at = at;
	guard->measured_since = NAN;
	if (grown) {
		guard->raises = guard->asked_pinned ? (uint8_t)MIN(guard->raises + 1, 100) : 0;
		patience_raised(&guard->patience, at);
	} else {
		guard->raises = 0;
		if (guard->asked_lower)
			patience_lowered(&guard->patience, guard->limit, at);
		else
			patience_disturbed(&guard->patience);
	}
	guard->asked_pinned = guard->asked_lower = false;
	guard->limit = -1;
}

void guard_state_limit_follows(struct guard_state *state, enum ebb_resource resource, int64_t limit)
{
	struct resource_guard *guard = state ? state->resources[resource] : NULL;

	if (guard && guard->limit >= 0)
		guard->limit = limit;
}

struct evaluation {
	const struct guardian_config *config;
	const struct ruleset *rules;
	struct structure *structure;
	const struct guard_sample *sample;
	struct guard_outcome *outcome;
	uint32_t now_ms;
	double event_timeout;
	struct window_stats stats[EBB_RESOURCE_MAX];
	double variables[RULE_VARIABLES];
};

static bool is_guarded(const struct evaluation *e, enum ebb_resource resource)
{
	const struct resource_state *state = &e->structure->resources[resource];

	return (e->config->guardable & e->rules->resources & e->sample->valid & 1u << resource) &&
	       state->present && state->guard && state->has_boundary && state->current >= 0;
}

/* Takes the sample in. False: nothing can be said about the limit in force yet. */
static bool measure(struct evaluation *e, struct resource_guard *guard, enum ebb_resource resource)
{
	const struct guard_sample *sample = e->sample;
	struct resource_state *state = &e->structure->resources[resource];
	double usage = sample->usage[resource], began;
	bool cpu = resource == EBB_CPU;

	/* A limit that changed without a word: by someone else, or found so at a new start. */
	if (guard->limit >= 0 && guard->limit != state->current) {
		guard->asked_pinned = guard->asked_lower = false;
		guard_state_limit_changed(e->structure->guard_state, resource, sample->at, false);
	}
	guard->limit = state->current;
	patience_measured(&guard->patience, e->now_ms, usage);
	/*
	 * Memory is read at one moment, all else is a rate over the interval. An order is in force
	 * a millisecond after the sample that led to it: to wait for an interval that began after
	 * it would cost every step a whole period, for an error of a hundredth.
	 */
	began = resource == EBB_MEM ? sample->at : sample->at - sample->seconds - sample->blur;
	if (began < guard->changed_at - fmax(0.001, STRADDLE * sample->seconds))
		return false;
	if (isnan(guard->measured_since))
		guard->measured_since = began;

	guard->last = usage;
	guard->held_back = cpu ? sample->held_back : NAN;
	events_measured(&guard->down, usage);
	window_add(&guard->window, e->now_ms, sample->seconds, usage, cpu ? sample->throttled : NAN,
		   e->config->window_timelapse + e->config->window_delay);
	e->stats[resource] = window_stats(&guard->window, e->now_ms, e->config->window_timelapse,
					  e->config->window_delay);
	if (isnan(e->stats[resource].usage))
		return false;
	state->usage = e->stats[resource].usage;
	return true;
}

static void set_variables(struct evaluation *e, enum ebb_resource resource)
{
	const struct resource_state *state = &e->structure->resources[resource];
	const struct window_stats *stats = &e->stats[resource];
	double *v = e->variables + resource * RULE_VARIABLES_PER_RESOURCE;

	v[VAR_USAGE] = stats->usage;
	v[VAR_CURRENT] = (double)state->current;
	v[VAR_MAX] = (double)state->max;
	v[VAR_MIN] = (double)state->min;
	v[VAR_UPPER] = (double)state->upper;
	v[VAR_LOWER] = (double)state->lower;
	v[VAR_BOUNDARY] = state->boundary;
	v[VAR_THROTTLED] = stats->throttled;
	v[VAR_PEAK] = stats->peak;
	v[VAR_PRESSURE] = e->sample->pressure[resource];
	v[VAR_WAIT] = resource == EBB_CPU ? e->sample->wait : NAN;
	v[VAR_GROWTH] = stats->growth;
}

/* A second time, so that a controller does not pay for what only a simulation tells. */
static void tell_fired(const struct evaluation *e, enum ebb_resource resource, bool up)
{
	const struct jsonlogic_numbers numbers = {e->variables, RULE_VARIABLES};
	const struct rule_range *range = &e->rules->ranges[resource];
	const struct guard_observer *observer = e->config->observer;

	for (size_t i = range->first; i < range->requests; i++) {
		const struct rule *rule = &e->rules->rules[i];

		if ((up ? rule->events_up : rule->events_down) > 0 &&
		    jsonlogic_test(rule->logic, &numbers))
			observer->fired(observer->userdata, e->structure, rule);
	}
}

static void fire_events(struct evaluation *e, struct resource_guard *guard,
			enum ebb_resource resource)
{
	const struct jsonlogic_numbers numbers = {e->variables, RULE_VARIABLES};
	const struct rule_range *range = &e->rules->ranges[resource];
	unsigned up = 0, down = 0;

	for (size_t i = range->first; i < range->requests; i++) {
		const struct rule *rule = &e->rules->rules[i];

		if (!jsonlogic_test(rule->logic, &numbers))
			continue;
		up += (unsigned)rule->events_up;
		down += (unsigned)rule->events_down;
	}
	events_expire(&guard->up, e->now_ms, e->event_timeout);
	events_expire(&guard->down, e->now_ms, e->event_timeout);
	if (up > 0) {
		/* What spoke for less is refuted, in this sample too (a peak in a low mean): it
		 * must not hold back what is needed now. */
		down = 0;
		events_clear(&guard->down);
		events_add(&guard->up, e->now_ms, up, e->event_timeout);
	} else if (down > 0) {
		events_add(&guard->down, e->now_ms, down, e->event_timeout);
	}
	if (e->config->observer && (up > 0 || down > 0))
		tell_fired(e, resource, up > 0);
	e->outcome->up_events[resource] = up;
	e->outcome->down_events[resource] = down;
	e->outcome->events_up += up;
	e->outcome->events_down += down;
}

static void add_request(struct evaluation *e, struct resource_guard *guard, const struct rule *rule,
			const struct guard_measure *m, int64_t amount)
{
	const struct resource_state *state = &e->structure->resources[rule->resource];

	if (e->outcome->n_requests == ARRAY_SIZE(e->outcome->requests))
		return;
	e->outcome->requests[e->outcome->n_requests++] = (struct guard_request){
		.resource = rule->resource,
		.amount = amount,
		.rule = rule,
		.measure = *m,
		.upper = state->upper,
		.lower = state->lower,
		.current = state->current,
		.events_up = (int)guard->up.total,
		.events_down = (int)guard->down.total,
	};
}

/* A rule's condition holds. True: it asked for something. */
static bool fire_request(struct evaluation *e, struct resource_guard *guard,
			 const struct rule *rule)
{
	const struct resource_state *state = &e->structure->resources[rule->resource];
	const struct window_stats *stats = &e->stats[rule->resource];
	struct events *consumed = rule->rescale_up > 0 ? &guard->up : &guard->down;
	struct guard_measure m = {
		.usage = stats->usage,
		.before = stats->before,
		.peak = stats->peak,
		.last = guard->last,
		.throttled = stats->throttled,
		.held_back = guard->held_back,
		.of_members = e->sample->of_members,
		.need = e->sample->need[rule->resource],
		.growth = stats->growth,
	};
	bool pinned = false;
	int64_t amount;

	if (rule->rescale_up > 0) {
		pinned = guardian_pinned(rule->resource, state->current, &m);
		if (!pinned)
			guard->raises = 0;
		else
			m.undo = patience_undo(&guard->patience, state->current, e->sample->at);
		m.raises = guard->raises;
	} else {
		double age;

		events_span(&guard->down, e->now_ms, (unsigned)rule->events_to_remove, &m.peak,
			    &age);
		if (rule->policy == RESCALE_DEMAND) {
			if (!(age + e->sample->seconds >=
			      fmax(EVIDENCE_S, EVIDENCE_BLURS * e->sample->blur)) ||
			    (rule->resource == EBB_MEM &&
			     e->sample->at - guard->measured_since < EVIDENCE_MEM_S))
				return false;
			m.peak = fmax(m.peak, patience_peak(&guard->patience));
		}
	}

	amount = guardian_amount(rule, state, &m);
	if (amount != 0)
		add_request(e, guard, rule, &m, amount);
	events_consume(consumed, (unsigned)rule->events_to_remove);
	if (amount == 0)
		return false;

	guard->asked_pinned = amount > 0 && pinned;
	guard->asked_lower = amount < 0;
	if (amount > 0)
		patience_judge(&guard->patience, e->now_ms, e->sample->at, m.undo);
	return true;
}

static void fire_requests(struct evaluation *e, struct resource_guard *guard,
			  enum ebb_resource resource)
{
	const struct rule_range *range = &e->rules->ranges[resource];
	bool asked_up = false;

	if (guard->up.total + guard->down.total == 0 || e->structure->in_flight & 1u << resource)
		return;
	for (size_t i = range->requests; i < range->end; i++) {
		const struct rule *rule = &e->rules->rules[i];
		const double events[RULE_EVENT_VARIABLES] = {
			[VAR_EVENTS_UP] = guard->up.total,
			[VAR_EVENTS_DOWN] = guard->down.total,
		};
		const struct jsonlogic_numbers numbers = {events, RULE_EVENT_VARIABLES};

		/* Never both ways from one sample: what is needed goes first. */
		if (asked_up && rule->rescale_up < 0)
			continue;
		if (jsonlogic_test(rule->logic, &numbers) && fire_request(e, guard, rule))
			asked_up |= rule->rescale_up > 0;
	}
}

void guardian_evaluate(const struct guardian_config *config, const struct ruleset *rules,
		       struct structure *structure, const struct guard_sample *sample,
		       struct guard_outcome *ret_outcome)
{
	struct guard_state *state = structure->guard_state;
	struct evaluation e = {
		.config = config,
		.rules = rules,
		.structure = structure,
		.sample = sample,
		.outcome = ret_outcome,
		.now_ms = milliseconds(sample->at),
		.event_timeout = fmax(config->event_timeout,
				      EVENT_SAMPLES * (sample->seconds + sample->blur)),
	};
	unsigned measured = 0;

	/* Requests are set one by one, and most samples have none. */
	memset(&ret_outcome->n_requests, 0,
	       sizeof(*ret_outcome) - offsetof(struct guard_outcome, n_requests));
	for (int r = 0; r < EBB_RESOURCE_MAX; r++)
		if (sample->valid & 1u << r)
			structure->resources[r].usage = sample->usage[r];
	if (!config->active || !structure->guard || !state || !(sample->seconds > 0))
		return;

	/* The same sample again; or a clock that starts anew, with its host. */
	if (sample->at == state->last_at)
		return;
	if (sample->at < state->last_at || sample->at - state->last_at > SILENCE_S)
		for (int r = 0; r < EBB_RESOURCE_MAX; r++)
			if (state->resources[r])
				forget_everything(state->resources[r], r);
	state->last_at = sample->at;

	for (int i = 0; i < RULE_VARIABLES; i++)
		e.variables[i] = NAN;
	for (int r = 0; r < EBB_RESOURCE_MAX; r++) {
		struct resource_guard *guard;

		if (!is_guarded(&e, r) || !isfinite(sample->usage[r]))
			continue;
		guard = resource_guard_get(state, r);
		if (!guard)
			continue;
		if (boundaries_adjust(&structure->resources[r]))
			ret_outcome->boundaries_changed |= 1u << r;
		if (!measure(&e, guard, r))
			continue;
		set_variables(&e, r);
		measured |= 1u << r;
	}

	/* After all are measured: a rule about one resource may read another. */
	for (int r = 0; measured >> r; r++) {
		if (!(measured & 1u << r))
			continue;
		fire_events(&e, state->resources[r], r);
		fire_requests(&e, state->resources[r], r);
	}
}
