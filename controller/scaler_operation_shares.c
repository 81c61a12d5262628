/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shares of an operation: what donors give up and receivers need stays set aside for it, moves
 * when all donors have given, and goes back where it came from when it cannot be.
 */
#include <stdio.h>

#include "model_private.h"
#include "scaler_operation_private.h"
#include "ebb/cleanup.h"

struct structure *change_structure(const struct scaler *scaler, const struct change *change)
{
	struct structure *s = scaler_structure(scaler, change->slot);

	if (change->state == CHANGE_LOST || !s ||
	    !(s->in_flight & operation_bit(change->operation)))
		return NULL;
	return s;
}

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

bool operation_set_aside(struct scaler *scaler, struct operation *operation)
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

			if (change_gives(change))
				host->room += change->held_before - change->to;
		}
	foreach_change(change, operation)
	{
		struct structure *s = scaler_structure(scaler, change->slot);
		struct host *host = s->host;
		int64_t need = change->to - change->held_before, given;

		if (!change_gets(change) || need <= 0)
			continue;
		given = MIN(need, host->room);
		host->room -= given;
		if (model_allocate(scaler->model, s, resource, need - given) < need - given)
			return false;
	}
	return true;
}

void operation_set_back(struct scaler *scaler, struct operation *operation)
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

bool operation_move_shares(struct scaler *scaler, struct operation *operation)
{
	enum ebb_resource resource = operation->request.resource;
	bool whole = true;

	operation->moved = true;
	foreach_change(change, operation)
	{
		struct structure *s = change_structure(scaler, change);

		if (s && change_gives(change))
			model_allocate(
				scaler->model, s, resource,
				MIN(change->to - s->resources[resource].allocated, (int64_t)0));
	}
	foreach_change(change, operation)
	{
		struct structure *s = change_structure(scaler, change);
		int64_t need;

		if (!s || !change_gets(change))
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
		const struct structure *s =
			change->adrift ? change_structure(scaler, change) : NULL;

		if (s && s->host == host)
			return true;
	}
	return false;
}

void operation_restore_shares(struct scaler *scaler, struct operation *operation)
{
	enum ebb_resource resource = operation->request.resource;

	foreach_change(change, operation)
	{
		struct structure *s = change_structure(scaler, change);
		int64_t least;

		if (!s || !change_gets(change))
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
		struct structure *s = change_structure(scaler, change);
		struct resource_state *state;

		if (!s || !change_gives(change))
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

void change_lose(struct scaler *scaler, struct change *change)
{
	struct operation *operation = change->operation;
	enum ebb_resource resource = operation->request.resource;
	struct structure *s = change_structure(scaler, change);
	const void *host = s ? s->host : NULL;
	int64_t more = s ? s->resources[resource].allocated - change->held_before : 0;

	change->state = CHANGE_LOST;
	if (!operation->failure[0])
		snprintf(operation->failure, sizeof(operation->failure),
			 "%s: the container has gone", change->slot->name);
	snprintf(change->error, sizeof(change->error), "the container has gone");
	if (!s || !change_gets(change) || more <= 0)
		return;
	model_allocate(scaler->model, s, resource, -more);
	if (!operation->moved)
		return;
	foreach_change(donor, operation)
	{
		struct structure *d = change_structure(scaler, donor);

		if (d && change_gives(donor) && d->host == host)
			(void)give_back(scaler, d, donor);
	}
}
