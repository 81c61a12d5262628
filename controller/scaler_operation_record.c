/* SPDX-License-Identifier: Apache-2.0 */
/* What became of an operation, for the audit: a decision for each field of each that it changes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit.h"
#include "scaler_operation_private.h"

static void describe(const struct scaler *scaler, const struct operation *operation,
		     const struct structure *s, const char *name, enum structure_subtype subtype,
		     struct decision *ret_asked, struct decision *ret_decision)
{
	const struct decision *asked = ret_asked;
	const char *type = structure_subtype_name(subtype);
	struct decision decision;

	packed_get(operation->inputs, ret_asked, sizeof(*ret_asked));
	decision_init(&decision);
	if (strcmp(asked->structure, name) == 0 && strcmp(asked->subtype, type) == 0) {
		decision = *asked;
	} else {
		decision.at = scaler_wall(scaler);
		decision.resource = asked->resource;
		memcpy(decision.origin, asked->origin, sizeof(decision.origin));
		memcpy(decision.rule, asked->rule, sizeof(decision.rule));
		decision.received_ms = asked->received_ms;
		decision.evaluated_ms = asked->evaluated_ms;
		snprintf(decision.structure, sizeof(decision.structure), "%s", name);
		snprintf(decision.subtype, sizeof(decision.subtype), "%s", type);
		/* Its partner in the swap is who asked. */
		if (operation->pair && strcmp(name, asked->pair) == 0)
			snprintf(decision.pair, sizeof(decision.pair), "%s", asked->structure);
		if (s) {
			const struct resource_state *state = &s->resources[asked->resource];

			snprintf(decision.host, sizeof(decision.host), "%s", s->host_name ?: "");
			decision.usage = state->usage;
			decision.throttled = s->throttled;
			decision.upper = state->upper;
			decision.lower = state->lower;
			decision.min = state->min;
		}
	}
	decision.operation = operation->number;
	*ret_decision = decision;
}

/* One field of one container. */
static void record_field(struct scaler *scaler, const struct change *change, bool max,
			 const char *outcome, const char *reason)
{
	const struct operation *operation = change->operation;
	const struct structure *s = scaler_structure(scaler, change->slot);
	bool done = operation->committed;
	struct decision asked, decision;

	describe(scaler, operation, s, change->slot->name, STRUCTURE_CONTAINER, &asked, &decision);
	snprintf(decision.field, sizeof(decision.field), max ? "max" : "current");
	decision.current = change->from;
	decision.max = change->max_from;
	decision.planned = max ? change->max_to : change->to;
	/* What was asked for stands there already. */
	if (strcmp(asked.structure, change->slot->name) != 0 ||
	    max != (operation->request.field == REQUEST_MAX))
		decision.requested =
			max ? change->max_to - change->max_from : change->to - change->from;
	if (done)
		decision.applied = max ? change->max_to : change->in_force;
	if (!max) {
		memcpy(decision.cpus, change->cpus, sizeof(decision.cpus));
		decision.sent_ms = change->sent_ms;
		decision.applied_ms = done ? change->applied_ms : NAN;
		memcpy(decision.steps, change->steps, sizeof(decision.steps));
	}
	scaler_record(scaler, &decision, outcome, reason);
}

static void record_change(struct scaler *scaler, const struct change *change, const char *outcome,
			  const char *reason)
{
	if (change->max_to != change->max_from)
		record_field(scaler, change, true, outcome, reason);
	if (change->to != change->from)
		record_field(scaler, change, false, outcome, reason);
}

static void record_parent(struct scaler *scaler, const struct operation *operation,
			  const struct parent_change *parent, const char *outcome,
			  const char *reason)
{
	const struct structure *s = scaler_structure(scaler, parent->slot);
	struct decision asked, decision;

	describe(scaler, operation, s, parent->slot->name, parent->subtype, &asked, &decision);
	memcpy(decision.field, asked.field, sizeof(decision.field));
	if (strcmp(asked.structure, parent->slot->name) != 0)
		decision.requested = parent->amount;
	decision.planned = parent->before + parent->amount;
	if (operation->request.field == REQUEST_MAX)
		decision.max = parent->before;
	else
		decision.current = parent->before;
	if (operation->committed)
		decision.applied = parent->before + parent->done;
	scaler_record(scaler, &decision, outcome, reason);
}

static bool is_partial(const struct operation *operation, int64_t done, int64_t planned)
{
	return done != planned || llabs(done) < llabs(operation->request.amount);
}

void operation_record_applied(struct scaler *scaler, const struct operation *operation)
{
	foreach_parent(parent, operation)
	{
		bool asked = parent->parent == SIZE_MAX && !operation->pair;

		record_parent(scaler, operation, parent,
			      parent->done != parent->amount ||
					      (asked &&
					       is_partial(operation, parent->done, parent->amount))
				      ? "partial"
				      : "applied",
			      NULL);
	}
	foreach_change(change, operation)
	{
		bool asked = change->parent == SIZE_MAX && !operation->pair;

		record_change(scaler, change,
			      asked && is_partial(operation, change->amount, change->amount)
				      ? "partial"
				      : "applied",
			      NULL);
	}
}

void operation_record_back(struct scaler *scaler, const struct operation *operation,
			   const char *reason)
{
	foreach_parent(parent, operation)
		record_parent(scaler, operation, parent, "rolled back", reason);
	foreach_change(change, operation)
		record_change(scaler, change, change->error[0] ? "failed" : "rolled back",
			      change->error[0] ? change->error : reason);
}
