/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations: what changes several limits does it wholly or not at all. What donors give up stays
 * set aside for the operation until all of them have; then it moves to the receivers, on the same
 * hold of the lock. Documents keep the limits of before, and say that the container is in an
 * operation, until all of it is done: whoever starts anew goes back to them.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boundaries.h"
#include "hierarchy.h"
#include "model_private.h"
#include "scaler_private.h"
#include "ebb/cleanup.h"
#include "ebb/loop.h"

#define RETRY_FIRST_MS 200
#define RETRY_CAP_MS   10000
/* Memory in use cannot be taken back, and of an agent that is away nothing: so often it is tried.
 */
#define TAKE_BACK_TRIES SCALER_TRIES

/* --- life --- */

struct operation *operation_new(const struct waiting *waiting, const char *name, size_t n_changes,
				size_t n_parents)
{
	struct operation *operation = calloc(1, sizeof(*operation));
	struct decision inputs;

	if (!operation)
		return NULL;
	operation->request = waiting->request;
	operation->request.structure = operation->request.pair = NULL;
	scaler_inputs(waiting, &inputs);
	operation->inputs = packed_new(&inputs, sizeof(inputs));
	operation->name = strdup(name);
	operation->pair = waiting->pair ? strdup(waiting->pair) : NULL;
	operation->changes = calloc(n_changes + 1, sizeof(*operation->changes));
	operation->parents = calloc(n_parents + 1, sizeof(*operation->parents));
	if (!operation->inputs || !operation->name || (waiting->pair && !operation->pair) ||
	    !operation->changes || !operation->parents) {
		operation_free(operation);
		return NULL;
	}
	return operation;
}

void operation_free(struct operation *operation)
{
	for (size_t i = 0; operation->changes && i < operation->n_changes; i++) {
		cpumap_row_free(operation->changes[i].row);
		scaler_release_end(operation->changes[i].releases, operation->request.resource);
	}
	free(operation->changes);
	free(operation->parents);
	free(operation->name);
	free(operation->pair);
	free(operation->inputs);
	free(operation);
}

static unsigned bit_of(const struct operation *operation)
{
	return 1u << operation->request.resource;
}

#define foreach_change(it, operation)                  \
	for (struct change *it = (operation)->changes; \
	     it < (operation)->changes + (operation)->n_changes; it++)
#define foreach_parent(it, operation)                         \
	for (struct parent_change *it = (operation)->parents; \
	     it < (operation)->parents + (operation)->n_parents; it++)

static bool gives(const struct change *change)
{
	return change->to < change->from;
}

static bool gets(const struct change *change)
{
	return change->to > change->from;
}

/* NULL: it has gone, or what has its name now is another one. */
static struct structure *structure_of(const struct scaler *scaler, const struct change *change)
{
	struct structure *s = scaler_structure(scaler, change->slot);

	if (change->state == CHANGE_LOST || !s || !(s->in_flight & bit_of(change->operation)))
		return NULL;
	return s;
}

static void link_operation(struct scaler *scaler, struct operation *operation)
{
	operation->next = scaler->operations;
	if (operation->next)
		operation->next->prev = operation;
	scaler->operations = operation;
	scaler->stats.operations_open++;
}

static void unlink_operation(struct scaler *scaler, struct operation *operation)
{
	if (operation->prev)
		operation->prev->next = operation->next;
	else
		scaler->operations = operation->next;
	if (operation->next)
		operation->next->prev = operation->prev;
	scaler->stats.operations_open--;
}

/* It goes on with the next turn of the scaler. */
static void set_stuck(struct scaler *scaler, struct operation *operation)
{
	if (operation->stuck)
		return;
	operation->stuck = true;
	operation->next_stuck = scaler->stuck;
	scaler->stuck = operation;
}

/* Others may order what it has held back. */
static void let_go(struct scaler *scaler, struct operation *operation)
{
	unsigned bit = bit_of(operation);

	foreach_change(change, operation)
	{
		struct structure *s = scaler_structure(scaler, change->slot);

		change->slot->under_way[operation->request.resource] = false;
		if (!s)
			continue;
		/* Without the bit it was given up with the lead, or is another one; what is still
		 * to be put back stays marked until it is. */
		if (s->in_flight & bit && !(s->apply & bit))
			s->operating &= ~bit;
		s->in_flight &= ~bit;
		model_guard_changed(scaler->model, s);
		model_touch(scaler->model, s, MODEL_DIRTY_STRUCTURE);
		scaler_wake(scaler, s);
	}
	foreach_parent(parent, operation)
	{
		struct structure *s = scaler_structure(scaler, parent->slot);

		parent->slot->under_way[operation->request.resource] = false;
		if (!s)
			continue;
		s->in_flight &= ~bit;
		scaler_wake(scaler, s);
	}
}

static void hold(struct scaler *scaler, struct operation *operation)
{
	unsigned bit = bit_of(operation);

	foreach_change(change, operation)
	{
		struct structure *s = scaler_structure(scaler, change->slot);

		change->slot->under_way[operation->request.resource] = true;
		s->in_flight |= bit;
		s->operating |= bit;
		s->held &= ~bit;
		/* What a swap frees is its receiver's. */
		if (!operation->pair && gives(change))
			change->releases =
				scaler_release_begin(scaler, s, operation->request.resource);
		/* The reflex leaves it alone. */
		model_guard_changed(scaler->model, s);
		model_touch(scaler->model, s, MODEL_DIRTY_STRUCTURE);
	}
	foreach_parent(parent, operation)
	{
		parent->slot->under_way[operation->request.resource] = true;
		scaler_structure(scaler, parent->slot)->in_flight |= bit;
	}
}

/* --- the record --- */

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

/* --- shares --- */

/* The cores that it has now, for the way back. -ENOMEM. */
static int save_row(const struct host *host, const struct structure *s, struct change *change)
{
	if (change->operation->request.resource != EBB_CPU || !host->cpumap)
		return 0;
	return cpumap_save(host->cpumap, s->name, &change->row);
}

/* True: it has the very cores that it had. */
static bool restore_row(const struct structure *s, const struct change *change)
{
	const struct host *host = s->host;

	return !change->row || (host && host->cpumap &&
				cpumap_owned(host->cpumap, s->name) == change->held_before &&
				cpumap_restore(host->cpumap, s->name, change->row) == 0);
}

/* What is in force without being accounted is, from here on. */
static bool adopt(struct scaler *scaler, struct structure *s, struct change *change)
{
	enum ebb_resource resource = change->operation->request.resource;
	int64_t held = s->resources[resource].allocated, more = change->from - held;

	if (more > 0 && model_allocate(scaler->model, s, resource, more) < more)
		return false;
	change->held_before = s->resources[resource].allocated;
	return save_row(s->host, s, change) == 0;
}

/* All that receivers need and donors do not give up. */
static bool set_aside(struct scaler *scaler, struct operation *operation)
{
	enum ebb_resource resource = operation->request.resource;

	foreach_change(change, operation)
	{
		struct structure *s = scaler_structure(scaler, change->slot);

		if (change->to == change->from)
			continue;
		((struct host *)s->host)->room = 0;
		if (!adopt(scaler, s, change))
			return false;
	}
	if (operation->pair)
		foreach_change(change, operation)
		{
			struct host *host = scaler_structure(scaler, change->slot)->host;

			if (gives(change))
				host->room += change->held_before - change->to;
		}
	foreach_change(change, operation)
	{
		struct structure *s = scaler_structure(scaler, change->slot);
		struct host *host = s->host;
		int64_t need = change->to - change->held_before, given;

		if (!gets(change) || need <= 0)
			continue;
		given = MIN(need, host->room);
		host->room -= given;
		if (model_allocate(scaler->model, s, resource, need - given) < need - given)
			return false;
	}
	return true;
}

/* Nothing has been ordered: all as it was. */
static void set_back(struct scaler *scaler, struct operation *operation)
{
	enum ebb_resource resource = operation->request.resource;

	foreach_change(change, operation)
	{
		struct structure *s = scaler_structure(scaler, change->slot);
		int64_t more = s->resources[resource].allocated - change->held_first;

		if (more > 0)
			model_allocate(scaler->model, s, resource, -more);
		if (change->row && change->held_first == change->held_before)
			(void)restore_row(s, change);
	}
}

/* Donors are done: what they gave up is the receivers' from here on. */
static bool move_shares(struct scaler *scaler, struct operation *operation)
{
	enum ebb_resource resource = operation->request.resource;
	bool whole = true;

	operation->moved = true;
	foreach_change(change, operation)
	{
		struct structure *s = structure_of(scaler, change);

		if (s && gives(change))
			model_allocate(
				scaler->model, s, resource,
				MIN(change->to - s->resources[resource].allocated, (int64_t)0));
	}
	foreach_change(change, operation)
	{
		struct structure *s = structure_of(scaler, change);
		int64_t need;

		if (!s || !gets(change))
			continue;
		need = change->to - s->resources[resource].allocated;
		if (need > 0 && model_allocate(scaler->model, s, resource, need) < need)
			whole = false;
	}
	return whole;
}

/* As far as its host has it: what a donor held before. */
static bool give_back(struct scaler *scaler, struct structure *s, const struct change *change)
{
	enum ebb_resource resource = change->operation->request.resource;
	int64_t need = change->held_before - s->resources[resource].allocated;

	return need <= 0 || model_allocate(scaler->model, s, resource, need) == need;
}

/*
 * What it got may be in force, and nobody answers: its shares stay its own until it is put back,
 * which goes on without the operation.
 */
static void leave_adrift(struct scaler *scaler, struct structure *s, const struct change *change)
{
	enum ebb_resource resource = change->operation->request.resource;

	s->physical[resource] = INT64_MIN;
	change->slot->failures[resource] = 0;
	model_apply(scaler->model, s, resource);
}

/* What a donor lacks comes back from one that is adrift. */
static bool has_adrift_on(const struct scaler *scaler, const struct operation *operation,
			  const void *host)
{
	foreach_change(change, operation)
	{
		const struct structure *s = change->adrift ? structure_of(scaler, change) : NULL;

		if (s && s->host == host)
			return true;
	}
	return false;
}

/* Receivers are back at what they had, and so are all shares. */
static void restore_shares(struct scaler *scaler, struct operation *operation)
{
	enum ebb_resource resource = operation->request.resource;

	foreach_change(change, operation)
	{
		struct structure *s = structure_of(scaler, change);
		int64_t least;

		if (!s || !gets(change))
			continue;
		if (change->adrift) {
			leave_adrift(scaler, s, change);
			continue;
		}
		/* Memory in use that could not be taken back stays its own. */
		least = MAX(change->held_before, MIN(change->in_force, change->to));
		if (s->resources[resource].allocated > least)
			model_allocate(scaler->model, s, resource,
				       least - s->resources[resource].allocated);
		if (!restore_row(s, change))
			model_apply(scaler->model, s, resource);
		if (least > change->held_before)
			accounting_set_current(scaler->model, s, resource, least);
	}
	foreach_change(change, operation)
	{
		struct structure *s = structure_of(scaler, change);
		struct resource_state *state;

		if (!s || !gives(change))
			continue;
		state = &s->resources[resource];
		if (!give_back(scaler, s, change) && state->current > state->allocated &&
		    !has_adrift_on(scaler, operation, s->host))
			accounting_set_current(scaler->model, s, resource, state->allocated);
		if (!restore_row(s, change) || change->state == CHANGE_DONE ||
		    change->state == CHANGE_UNKNOWN)
			model_apply(scaler->model, s, resource);
	}
}

/* Its shares are still there: those that came from donors go back to them. */
static void lose(struct scaler *scaler, struct change *change)
{
	struct operation *operation = change->operation;
	enum ebb_resource resource = operation->request.resource;
	struct structure *s = structure_of(scaler, change);
	const void *host = s ? s->host : NULL;
	int64_t more = s ? s->resources[resource].allocated - change->held_before : 0;

	change->state = CHANGE_LOST;
	if (!operation->failure[0])
		snprintf(operation->failure, sizeof(operation->failure),
			 "%s: the container has gone", change->slot->name);
	snprintf(change->error, sizeof(change->error), "the container has gone");
	if (!s || !gets(change) || more <= 0)
		return;
	model_allocate(scaler->model, s, resource, -more);
	if (!operation->moved)
		return;
	foreach_change(donor, operation)
	{
		struct structure *d = structure_of(scaler, donor);

		if (d && gives(donor) && d->host == host)
			(void)give_back(scaler, d, donor);
	}
}

/* --- orders --- */

static const char *out_of_reach(const struct structure *s)
{
	const struct host *host = s->host;

	return s->live && host && host->connected && host->address ? NULL
								   : "its agent is not connected";
}

static void fail(struct change *change, const char *error)
{
	struct operation *operation = change->operation;

	snprintf(change->error, sizeof(change->error), "%s", error);
	if (!operation->failure[0])
		snprintf(operation->failure, sizeof(operation->failure), "%s: %s",
			 change->slot->name, error);
}

static void order(struct scaler *scaler, struct change *change, int64_t to)
{
	const struct request *request = &change->operation->request;
	struct structure *s = structure_of(scaler, change);
	const char *reason = s ? out_of_reach(s) : "the container has gone";
	int64_t from = to == change->to ? change->from : change->to;
	struct part *part = reason ? NULL : part_new(request->resource, from, to);

	if (part) {
		part->change = change;
		part->sampled_ns = request->sampled_ns;
		part->sampled_host_ns = request->sampled_host_ns;
	}
	if (!part || scaler_add_part(scaler, change->slot, s, part) < 0) {
		part_free(part);
		fail(change, reason ?: strerror(ENOMEM));
		return;
	}
	change->ordered = true;
	change->state = CHANGE_UNDER_WAY;
	change->operation->under_way++;
}

static void order_all(struct scaler *scaler, struct operation *operation, bool donors)
{
	foreach_change(change, operation) if (donors ? gives(change) : gets(change))
		order(scaler, change, change->to);
}

/* It may have more in force than it had. */
static bool is_ahead(const struct scaler *scaler, const struct change *change)
{
	return gets(change) && change->ordered && structure_of(scaler, change) &&
	       (change->state == CHANGE_UNKNOWN ||
		(change->state == CHANGE_DONE && change->in_force > change->from));
}

void operation_answered(struct scaler *scaler, struct change *change, enum change_state answer,
			int64_t in_force, const char *error)
{
	struct operation *operation = change->operation;
	bool short_of = answer == CHANGE_DONE && in_force != change->to;

	operation->under_way--;
	if (change->state == CHANGE_LOST)
		return;
	if (answer == CHANGE_LOST) {
		lose(scaler, change);
		return;
	}
	change->state = answer;
	if (answer == CHANGE_DONE)
		change->in_force = in_force;
	if (operation->phase == OPERATION_TAKE_BACK) {
		if (answer == CHANGE_REFUSED)
			change->state = CHANGE_UNKNOWN;
		return;
	}
	/* What is in use cannot be given up: a part of it is what there is. */
	if (short_of && !operation->pair && gives(change) && in_force > change->to &&
	    in_force <= change->from) {
		change->to = in_force;
		change->max_to = change->max_to < change->max_from
					 ? CLAMP(in_force, change->max_to, change->max_from)
					 : change->max_to;
		return;
	}
	if (short_of) {
		change->state = CHANGE_UNKNOWN;
		error = "the agent could not go all the way";
	}
	if (error)
		fail(change, error);
}

/* --- the end --- */

/* What has changed under it, so that it cannot be as planned; NULL: nothing. */
static const char *overtaken(const struct scaler *scaler, const struct change *change)
{
	const struct structure *s = structure_of(scaler, change);
	const struct resource_state *state;

	if (!s)
		return "the container has gone";
	state = &s->resources[change->operation->request.resource];
	if (!state->present || state->max != change->max_from)
		return "its max was changed meanwhile";
	if (change->to != change->from &&
	    (state->current != change->from || s->apply & bit_of(change->operation)))
		return "its limit was changed meanwhile";
	if ((gives(change) && change->to < state->min) ||
	    (change->max_to < change->max_from && change->max_to < state->min))
		return "its min was raised meanwhile";
	return NULL;
}

static void commit_change(struct scaler *scaler, struct change *change)
{
	enum ebb_resource resource = change->operation->request.resource;
	struct structure *s = structure_of(scaler, change);
	struct resource_state *state = &s->resources[resource];
	struct model *model = scaler->model;

	s->in_flight &= ~bit_of(change->operation);
	s->operating &= ~bit_of(change->operation);
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

static bool is_partial(const struct operation *operation, int64_t done, int64_t planned)
{
	return done != planned || llabs(done) < llabs(operation->request.amount);
}

static void tell_swapped(const struct scaler *scaler, const struct operation *operation)
{
	/* A user's own change comes before those of its applications. */
	bool users = operation->n_parents && operation->parents[0].subtype == STRUCTURE_USER;
	struct model *model = scaler->model;
	struct structure *receiver = users ? model_user(model, operation->name)
					   : model_structure(model, operation->name);
	struct structure *donor = users ? model_user(model, operation->pair)
					: model_structure(model, operation->pair);

	if (scaler->swapped && receiver && donor)
		scaler->swapped(scaler->swapped_userdata, receiver, donor, &operation->request);
}

static void commit(struct scaler *scaler, struct operation *operation)
{
	foreach_change(change, operation) commit_change(scaler, change);
	sum_up(operation);
	foreach_parent(parent, operation) commit_parent(scaler, operation, parent);
	operation->committed = true;
	let_go(scaler, operation);
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

		change->slot->under_way[operation->request.resource] = false;
		record_change(scaler, change,
			      asked && is_partial(operation, change->amount, change->amount)
				      ? "partial"
				      : "applied",
			      NULL);
	}
	if (operation->pair) {
		scaler->stats.swaps++;
		tell_swapped(scaler, operation);
	}
	unlink_operation(scaler, operation);
	operation_free(operation);
}

static void finish_back(struct scaler *scaler, struct operation *operation)
{
	char reason[sizeof(operation->failure)];

	memcpy(reason, operation->failure, sizeof(reason));
	restore_shares(scaler, operation);
	foreach_change(change, operation)
	{
		struct structure *s = structure_of(scaler, change);

		if (!s)
			continue;
		scaler_below_max(scaler, s, operation->request.resource);
		scaler_settle_overwritten(scaler, s, operation->request.resource);
	}
	let_go(scaler, operation);
	foreach_parent(parent, operation)
		record_parent(scaler, operation, parent, "rolled back", reason);
	foreach_change(change, operation)
		record_change(scaler, change, change->error[0] ? "failed" : "rolled back",
			      change->error[0] ? change->error : reason);
	scaler->stats.rolled_back++;
	model_log(scaler->model, LOG_LEVEL_WARNING,
		  "Operation %llu, %+lld %s for %s%s%s, is rolled back: %s",
		  (unsigned long long)operation->number, (long long)operation->request.amount,
		  ebb_resource_name(operation->request.resource), operation->name,
		  operation->pair ? " from " : "", operation->pair ?: "", reason);
	unlink_operation(scaler, operation);
	operation_free(operation);
}

/* The last try has failed. What its agent has not said is left to the put-backs of one container.
 */
static void give_up(const struct scaler *scaler, struct operation *operation)
{
	foreach_change(change, operation)
	{
		const struct structure *s = structure_of(scaler, change);
		char why[sizeof(change->error)];

		if (!s || !is_ahead(scaler, change) ||
		    (change->state == CHANGE_DONE && !out_of_reach(s)))
			continue;
		change->adrift = true;
		memcpy(why, change->error, sizeof(why));
		snprintf(
			change->error, sizeof(change->error),
			"it could not be taken back yet, what it got stays set aside for it: %.80s",
			out_of_reach(s)
				?: why[0] ? why
					  : "no answer");
	}
}

/* Receivers back to what they had; donors are put back when the shares are theirs again. */
static void take_back(struct scaler *scaler, struct operation *operation, uint64_t now)
{
	bool waits = false;
	unsigned ms;

	operation->phase = OPERATION_TAKE_BACK;
	if (now < operation->not_before_ns) {
		set_stuck(scaler, operation);
		return;
	}
	if (operation->failures >= TAKE_BACK_TRIES) {
		give_up(scaler, operation);
		finish_back(scaler, operation);
		return;
	}
	foreach_change(change, operation)
	{
		struct structure *s = structure_of(scaler, change);

		if (!s || !is_ahead(scaler, change))
			continue;
		if (out_of_reach(s))
			waits = true;
		else
			order(scaler, change, change->from);
	}
	if (!operation->under_way && !waits) {
		finish_back(scaler, operation);
		return;
	}
	ms = backoff_ms(operation->failures++, RETRY_FIRST_MS, RETRY_CAP_MS);
	operation->not_before_ns = now + ms * EBB_NS_PER_MS;
	if (!operation->under_way)
		set_stuck(scaler, operation);
}

void operation_go_on(struct scaler *scaler, struct operation *operation, uint64_t now)
{
	bool ahead = false;

	if (operation->under_way)
		return;
	if (!scaler->model->leading) {
		set_stuck(scaler, operation);
		return;
	}
	if (operation->phase == OPERATION_RELEASE && !operation->failure[0]) {
		operation->phase = OPERATION_GROW;
		if (!move_shares(scaler, operation))
			snprintf(operation->failure, sizeof(operation->failure),
				 "the host has lost what was set aside");
		else
			order_all(scaler, operation, false);
		if (operation->under_way)
			return;
	}
	foreach_change(change, operation)
	{
		const char *why = operation->failure[0] ? NULL : overtaken(scaler, change);

		if (why)
			fail(change, why);
	}
	if (!operation->failure[0]) {
		commit(scaler, operation);
		return;
	}
	foreach_change(change, operation) ahead |= is_ahead(scaler, change);
	/* The first try is at once. */
	if (operation->phase != OPERATION_TAKE_BACK || !ahead)
		operation->not_before_ns = 0;
	take_back(scaler, operation, now);
}

void operation_start(struct scaler *scaler, struct operation *operation, uint64_t now,
		     struct verdict *verdict)
{
	enum ebb_resource resource = operation->request.resource;

	foreach_change(change, operation)
	{
		change->operation = operation;
		change->in_force = change->from;
		change->held_first = change->held_before =
			scaler_structure(scaler, change->slot)->resources[resource].allocated;
		change->sent_ms = change->applied_ms = NAN;
	}
	if (!set_aside(scaler, operation)) {
		set_back(scaler, operation);
		operation_free(operation);
		verdict->what = VERDICT_WAIT;
		verdict->wait = "the host has nothing free";
		return;
	}
	verdict->what = VERDICT_DONE;
	operation->number = audit_next_operation(scaler->audit);
	link_operation(scaler, operation);
	scaler->stats.operations++;
	hold(scaler, operation);
	order_all(scaler, operation, true);
	operation_go_on(scaler, operation, now);
}

void operations_retry(struct scaler *scaler, uint64_t now)
{
	struct operation *stuck = scaler->stuck;

	/* With each answer of any agent is too often. */
	if (!stuck || now - scaler->retried_ns < RETRY_FIRST_MS / 2 * EBB_NS_PER_MS)
		return;
	scaler->retried_ns = now;
	scaler->stuck = NULL;
	while (stuck) {
		struct operation *operation = stuck;

		stuck = operation->next_stuck;
		operation->stuck = false;
		operation_go_on(scaler, operation, now);
	}
}

void operations_lose(struct scaler *scaler, struct slot *slot)
{
	bool busy = false;

	for (int r = 0; r < EBB_RESOURCE_MAX; r++)
		busy |= slot->under_way[r];
	for (struct operation *operation = busy ? scaler->operations : NULL; operation;
	     operation = operation->next)
		foreach_change(change,
			       operation) if (change->slot == slot && change->state != CHANGE_LOST)
			lose(scaler, change);
}

void operations_abandon(struct scaler *scaler)
{
	for (; scaler->stuck; scaler->stuck = scaler->stuck->next_stuck)
		scaler->stuck->stuck = false;
	for (struct operation *operation = scaler->operations, *next; operation; operation = next) {
		next = operation->next;
		if (operation->under_way)
			continue;
		foreach_change(change, operation)
			change->slot->under_way[operation->request.resource] = false;
		foreach_parent(parent, operation)
			parent->slot->under_way[operation->request.resource] = false;
		unlink_operation(scaler, operation);
		operation_free(operation);
	}
}
