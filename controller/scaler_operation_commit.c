/* SPDX-License-Identifier: Apache-2.0 */
/* An operation that went well: containers, applications and users have what was planned. */
#include "boundaries.h"
#include "hierarchy.h"
#include "model_private.h"
#include "scaler_operation_private.h"

const char *change_overtaken(const struct scaler *scaler, const struct change *change)
{
	const struct structure *s = change_structure(scaler, change);
	const struct resource_state *state;

	if (!s)
		return "the container has gone";
	state = &s->resources[change->operation->request.resource];
	if (!state->present || state->max != change->max_from)
		return "its max was changed meanwhile";
	if (change->to != change->from &&
	    (state->current != change->from || s->apply & operation_bit(change->operation)))
		return "its limit was changed meanwhile";
	if ((change_gives(change) && change->to < state->min) ||
	    (change->max_to < change->max_from && change->max_to < state->min))
		return "its min was raised meanwhile";
	return NULL;
}

static void commit_change(struct scaler *scaler, struct change *change)
{
	enum ebb_resource resource = change->operation->request.resource;
	struct structure *s = change_structure(scaler, change);
	struct resource_state *state = &s->resources[resource];
	struct model *model = scaler->model;

	s->in_flight &= ~operation_bit(change->operation);
	s->operating &= ~operation_bit(change->operation);
	if (change->max_to != change->max_from) {
		state->max = change->max_to;
		s->automatic = false;
	}
	if (change->to != change->from) {
		int64_t found = s->physical[resource];

		model_limit_applied(model, s, resource, change->in_force);
		s->physical[resource] = found;
		scaler->stats.applied++;
	} else {
		/* What is away, and could not be ordered, comes back to its new max. */
		accounting_below_max(model, s, resource);
	}
	/* By another hand, while the operation waited for others. */
	scaler_settle_overwritten(scaler, s, resource);
	if (boundaries_adjust(state))
		model_touch(model, s, MODEL_DIRTY_LIMITS);
	model_touch(model, s, MODEL_DIRTY_STRUCTURE);
	if (s->guard)
		model_guard_changed(model, s);
}

static void sum_up(struct operation *operation)
{
	bool max = operation->request.field == REQUEST_MAX;

	foreach_parent(parent, operation) parent->done = parent->bare ? parent->amount : 0;
	foreach_change(change, operation)
	{
		change->amount =
			max ? change->max_to - change->max_from : change->to - change->from;
		if (change->parent != SIZE_MAX)
			operation->parents[change->parent].done += change->amount;
	}
	/* A user comes before its applications. */
	for (size_t i = operation->n_parents; i-- > 0;)
		if (operation->parents[i].parent != SIZE_MAX)
			operation->parents[operation->parents[i].parent].done +=
				operation->parents[i].done;
}

static void commit_parent(struct scaler *scaler, const struct operation *operation,
			  const struct parent_change *parent)
{
	enum ebb_resource resource = operation->request.resource;
	struct structure *s = scaler_structure(scaler, parent->slot), *user;

	if (!s)
		return;
	if (operation->request.field == REQUEST_MAX)
		s->resources[resource].max += parent->done;
	operation_parent_changed(scaler, s, resource);
	/* Its user has no part in it, but for the sum. */
	user = parent->parent == SIZE_MAX ? hierarchy_parent(s) : NULL;
	if (user)
		operation_parent_changed(scaler, user, resource);
}

void operation_commit(struct scaler *scaler, struct operation *operation)
{
	foreach_change(change, operation) commit_change(scaler, change);
	sum_up(operation);
	foreach_parent(parent, operation) commit_parent(scaler, operation, parent);
	operation->committed = true;
}
