/* SPDX-License-Identifier: Apache-2.0 */
/* What an agent raised by itself, inside of its lease: into the accounts. */
#include <stdio.h>
#include <string.h>

#include "model_private.h"
#include "scaler_private.h"
#include "ebb/cleanup.h"

/* Has an order taken shares that it will give back: refused, as it was made before the growth, or
 * not known to be in force and to be ordered again? */
static bool has_orders(const struct host *host, const struct structure *grown,
		       enum ebb_resource resource)
{
	for (const struct structure *s = host->containers; s; s = s->host_next)
		if ((s->in_flight | (s == grown ? 0 : s->apply)) & 1u << resource)
			return true;
	return false;
}

/*
 * An order that is under way is answered within some 10 ms. But until the growth is settled the
 * agent refuses what would raise anything, so an order may be made and refused again and again: a
 * growth that still lacks something after this time has to do with what is free.
 */
#define WAIT_MS 500

static bool waits_for_orders(struct scaler *scaler, struct structure *s, enum ebb_resource resource,
			     int64_t lacks)
{
	const struct host *host = s->host;
	uint64_t now = scaler_now_ns(scaler), *since = &s->grown[resource].waits_since_ns;

	if (s->resources[resource].allocated <= 0 || !host || host->max[resource] <= 0 ||
	    lacks <= host->free[resource] || !has_orders(host, s, resource))
		return false;
	if (!*since)
		*since = now;
	return now - *since < WAIT_MS * EBB_NS_PER_MS;
}

static void record(struct scaler *scaler, const struct structure *s,
		   const struct feed_growth *growth, int64_t before, int64_t settled)
{
	const struct resource_state *state = &s->resources[growth->resource];
	struct decision decision;

	decision_init(&decision);
	decision.at = scaler_wall(scaler);
	decision.resource = growth->resource;
	snprintf(decision.structure, sizeof(decision.structure), "%s", s->name);
	snprintf(decision.subtype, sizeof(decision.subtype), "%s",
		 structure_subtype_name(s->subtype));
	snprintf(decision.field, sizeof(decision.field), "current");
	snprintf(decision.host, sizeof(decision.host), "%s", s->host_name ? s->host_name : "");
	snprintf(decision.origin, sizeof(decision.origin), "reflex");
	snprintf(decision.reason, sizeof(decision.reason), "%.80s%s", growth->why,
		 settled < growth->to ? "; the host has not room for all of it: the rest is taken "
					"back"
				      : "");
	decision.usage = state->usage;
	decision.throttled = s->throttled;
	decision.current = before;
	decision.upper = state->upper;
	decision.lower = state->lower;
	decision.min = state->min;
	decision.max = state->max;
	decision.requested = growth->to - growth->from;
	decision.planned = decision.applied = growth->to;
	decision.applied_ms = (double)(growth->at - MIN(growth->seen, growth->at)) / 1e6;
	scaler_record(scaler, &decision, settled < growth->to ? "partial" : "applied", NULL);
}

void scaler_settle_meanwhile(struct scaler *scaler, struct structure *s, enum ebb_resource resource)
{
	unsigned bit = 1u << resource;

	if (!(s->grown_meanwhile & bit))
		return;
	s->grown_meanwhile &= ~bit;
	model_limit_applied(scaler->model, s, resource, s->grown[resource].to);
}

void scaler_hold_physical(struct scaler *scaler, struct structure *s, enum ebb_resource resource)
{
	const struct resource_state *state = &s->resources[resource];

	if (state->allocated > 0 && s->physical[resource] > state->allocated)
		model_allocate(scaler->model, s, resource,
			       s->physical[resource] - state->allocated);
}

bool scaler_grown(struct scaler *scaler, struct structure *s, const struct feed_growth *growth)
{
	enum ebb_resource r = growth->resource;
	struct resource_state *state = &s->resources[r];
	struct model *model = scaler->model;
	uint64_t number = (uint64_t)growth->at;
	int64_t before = state->current, lacks = growth->to - state->allocated;
	unsigned bit = 1u << r;

	/* Told twice. An order that was carried out since knew of it: it was settled before. */
	if (number <= s->grown[r].number)
		return true;
	/* What the order under way has taken is not for this. */
	if (s->in_flight & bit && !(s->operating & bit))
		lacks = growth->to - growth->from;
	if (waits_for_orders(scaler, s, r, lacks))
		return false;
	s->grown[r].waits_since_ns = 0;
	s->grown[r].number = number;
	s->grown[r].to = growth->to;
	/* An agent that registers tells of all that is still in force: it was written down. */
	if (!((s->operating | s->in_flight | s->apply) & bit) && state->allocated == growth->to &&
	    before == growth->to)
		return true;
	if (state->allocated <= 0) {
		s->physical[r] = growth->to;
		if (state->present)
			accounting_set_current(model, s, r, growth->to);
		return true;
	}
	if (s->operating & bit) {
		/* What is in force is put right by the operation; until then nobody else has it. */
		s->physical[r] = growth->to;
		if (lacks > 0)
			model_allocate(model, s, r, lacks);
	} else if (s->in_flight & bit) {
		s->physical[r] = growth->to;
		s->grown_meanwhile |= bit;
		model_allocate(model, s, r, growth->to - growth->from);
	} else {
		/* It has grown from what is on record, or from less: there is nothing more to be
		 * put in force. Else somebody's limit is still to be cut. */
		if (s->apply & bit && growth->from <= before && growth->to > before)
			s->apply &= ~bit;
		if (s->apply & bit && lacks > 0)
			model_allocate(model, s, r, lacks);
		model_limit_applied(model, s, r, growth->to);
	}
	if (s->guard_state)
		guard_state_limit_changed(s->guard_state, r, (double)growth->at / 1e9, true);
	model_touch(model, s, MODEL_DIRTY_STRUCTURE);
	scaler->stats.grown++;
	record(scaler, s, growth, before,
	       (s->operating | s->in_flight | s->apply) & bit ? growth->to : state->current);
	return true;
}

void scaler_grown_cores(struct scaler *scaler, struct structure *s, const json_t *limits)
{
	if (s->resources[EBB_CPU].allocated <= 0 ||
	    (s->in_flight | s->apply | s->operating) & 1u << EBB_CPU ||
	    !scaler_cores_differ(scaler, s, limits))
		return;
	model_apply(scaler->model, s, EBB_CPU);
}
