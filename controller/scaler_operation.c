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

#include "model_private.h"
#include "scaler_operation_private.h"
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
	unsigned bit = operation_bit(operation);

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
	unsigned bit = operation_bit(operation);

	foreach_change(change, operation)
	{
		struct structure *s = scaler_structure(scaler, change->slot);

		change->slot->under_way[operation->request.resource] = true;
		s->in_flight |= bit;
		s->operating |= bit;
		s->held &= ~bit;
		/* What a swap frees is its receiver's. */
		if (!operation->pair && change_gives(change))
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
	struct structure *s = change_structure(scaler, change);
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
	foreach_change(change, operation) if (donors ? change_gives(change) : change_gets(change))
		order(scaler, change, change->to);
}

/* It may have more in force than it had. */
static bool is_ahead(const struct scaler *scaler, const struct change *change)
{
	return change_gets(change) && change->ordered && change_structure(scaler, change) &&
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
		change_lose(scaler, change);
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
	if (short_of && !operation->pair && change_gives(change) && in_force > change->to &&
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
	operation_commit(scaler, operation);
	let_go(scaler, operation);
	operation_record_applied(scaler, operation);
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
	operation_restore_shares(scaler, operation);
	foreach_change(change, operation)
	{
		struct structure *s = change_structure(scaler, change);

		if (!s)
			continue;
		scaler_below_max(scaler, s, operation->request.resource);
		scaler_settle_overwritten(scaler, s, operation->request.resource);
	}
	let_go(scaler, operation);
	operation_record_back(scaler, operation, reason);
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
		const struct structure *s = change_structure(scaler, change);
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
		struct structure *s = change_structure(scaler, change);

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
		if (!operation_move_shares(scaler, operation))
			snprintf(operation->failure, sizeof(operation->failure),
				 "the host has lost what was set aside");
		else
			order_all(scaler, operation, false);
		if (operation->under_way)
			return;
	}
	foreach_change(change, operation)
	{
		const char *why = operation->failure[0] ? NULL : change_overtaken(scaler, change);

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
	if (!operation_set_aside(scaler, operation)) {
		operation_set_back(scaler, operation);
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
			change_lose(scaler, change);
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
