/* SPDX-License-Identifier: Apache-2.0 */
/* What applications and users ask for, laid on their containers (spec 6.4, 6.5). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "boundaries.h"
#include "hierarchy.h"
#include "operation_plan.h"
#include "scaler_private.h"
#include "split.h"
#include "ebb/cleanup.h"

/* --- values --- */

static int64_t sum_in_force(const struct structure *application, enum ebb_resource resource)
{
	struct structure *container;
	int64_t sum = 0;

	hierarchy_foreach(container, application)
	{
		const struct resource_state *state = &container->resources[resource];

		if (state->present && !container->gone)
			sum += MAX(state->current, (int64_t)0);
	}
	return sum;
}

int64_t operation_value(const struct structure *structure, enum request_field field,
			enum ebb_resource resource)
{
	const struct resource_state *state = &structure->resources[resource];
	struct structure *application;
	int64_t sum = 0;

	if (field == REQUEST_MAX)
		return state->max;
	if (structure->subtype == STRUCTURE_CONTAINER)
		return state->current;
	if (structure->subtype == STRUCTURE_APPLICATION)
		return sum_in_force(structure, resource);
	hierarchy_foreach(application, structure) sum += sum_in_force(application, resource);
	return sum;
}

/* --- all that belongs to one --- */

/* An application or a user with all that belongs to it. */
struct side {
	struct structure *parent;
	struct slot *slot;
	struct plan_branch *branches; /* applications */
	struct slot **branch_slots;
	size_t n_branches;
	struct plan_leaf *leaves; /* containers, those of one branch after each other */
	struct slot **leaf_slots;
	size_t n_leaves;
	int64_t value, least, most;
	bool bare; /* an application without containers */
	int64_t done;
};

static void side_clear(struct side *side)
{
	free(side->branches);
	free(side->branch_slots);
	free(side->leaves);
	free(side->leaf_slots);
}

static bool runs(const struct structure *application)
{
	const char *state = json_string_value(json_object_get(application->doc, "state"));

	return hierarchy_first(application) || (state && strcmp(state, "running") == 0);
}

static int side_reserve(struct side *side)
{
	struct structure *application, *container;
	size_t n_branches = 1, n_leaves = 1;

	if (side->parent->subtype == STRUCTURE_USER) {
		hierarchy_foreach(application, side->parent)
		{
			n_branches++;
			hierarchy_foreach(container, application) n_leaves++;
		}
	} else {
		hierarchy_foreach(container, side->parent) n_leaves++;
	}
	side->branches = calloc(n_branches, sizeof(*side->branches));
	side->branch_slots = calloc(n_branches, sizeof(*side->branch_slots));
	side->leaves = calloc(n_leaves, sizeof(*side->leaves));
	side->leaf_slots = calloc(n_leaves, sizeof(*side->leaf_slots));
	return side->branches && side->branch_slots && side->leaves && side->leaf_slots ? 0
											: -ENOMEM;
}

/* A container of it. NULL: it is there; else why all has to wait. */
static const char *add_leaf(struct scaler *scaler, struct side *side, struct structure *s,
			    enum ebb_resource resource, uint64_t now)
{
	const struct resource_state *state = &s->resources[resource];
	struct plan_leaf *leaf = &side->leaves[side->n_leaves];
	struct slot *slot;

	if (!state->present || !s->host)
		return NULL;
	slot = scaler_slot(scaler, s);
	if (!slot)
		return strerror(ENOMEM);
	if (slot->under_way[resource])
		return "an order for one of its containers is under way";
	operation_leaf(s, resource, operation_room(scaler, s, resource), leaf);
	/* Others get what one that does not answer cannot. */
	leaf->fixed = state->current < 0 || s->subscription || s->apply & 1u << resource ||
		      scaler_held_back(scaler, slot, s, resource, now);
	side->leaf_slots[side->n_leaves++] = slot;
	return NULL;
}

static const char *add_branch(struct scaler *scaler, struct side *side, struct structure *s,
			      const struct request *request, uint64_t now)
{
	enum ebb_resource resource = request->resource;
	const struct resource_state *state = &s->resources[resource];
	bool max = request->field == REQUEST_MAX;
	struct plan_branch *branch = &side->branches[side->n_branches];
	struct slot *slot = scaler_slot(scaler, s);
	size_t first = side->n_leaves;
	struct structure *container;
	const char *reason = NULL;

	if (!slot)
		return strerror(ENOMEM);
	if (slot->under_way[resource])
		return "an operation of one of its applications is under way";
	hierarchy_foreach(container, s)
	{
		reason = add_leaf(scaler, side, container, resource, now);
		if (reason)
			return reason;
	}
	*branch = (struct plan_branch){
		.leaves = &side->leaves[first],
		.n = side->n_leaves - first,
		.value = operation_value(s, request->field, resource),
		.least = runs(s) ? MAX(state->min, (int64_t)1) : 0,
		.most = !max && state->max > 0 ? state->max : INT64_MAX,
		.usage = state->usage,
		.bare = max && !runs(s),
		.stopped = !runs(s),
	};
	side->branch_slots[side->n_branches++] = slot;
	return NULL;
}

/* All that belongs to it. NULL: done; else why it has to wait. */
static const char *gather(struct scaler *scaler, struct side *side, const struct request *request,
			  uint64_t now)
{
	enum ebb_resource resource = request->resource;
	const struct resource_state *state = &side->parent->resources[resource];
	bool running = false, max = request->field == REQUEST_MAX;
	struct structure *application;
	const char *reason;

	side->slot = scaler_slot(scaler, side->parent);
	if (!side->slot || side_reserve(side) < 0)
		return strerror(ENOMEM);
	if (side->slot->under_way[resource])
		return "an operation is under way";
	if (side->parent->subtype == STRUCTURE_APPLICATION) {
		reason = add_branch(scaler, side, side->parent, request, now);
		running = runs(side->parent);
		side->bare = side->branches[0].bare;
		if (reason)
			return reason;
	} else {
		hierarchy_foreach(application, side->parent)
		{
			if (!application->resources[resource].present)
				continue;
			reason = add_branch(scaler, side, application, request, now);
			if (reason)
				return reason;
			running |= runs(application);
		}
	}
	side->value = operation_value(side->parent, request->field, resource);
	side->least = running ? MAX(state->min, (int64_t)1) : 0;
	side->most = !max && state->max > 0 ? state->max : INT64_MAX;
	return NULL;
}

static int plan_side(struct side *side, const struct request *request, int64_t amount)
{
	int64_t slice = split_slice(request->resource);
	struct plan_branch *branch = side->branches;
	int r = 0;

	amount = plan_parent_amount(amount, side->value, side->least, side->most);
	if (side->parent->subtype == STRUCTURE_USER)
		return plan_branches(side->branches, side->n_branches, request->field, amount,
				     slice, &side->done);
	side->done = amount;
	if (!branch->bare)
		r = plan_leaves(branch->leaves, branch->n, request->field, amount, slice,
				&side->done);
	branch->amount = side->done;
	return r;
}

/* Why it takes nothing. */
static void nothing_for(struct verdict *verdict, const struct side *side,
			const struct request *request, int64_t amount)
{
	bool growth = amount > 0;

	if (!plan_parent_amount(amount, side->value, side->least, side->most)) {
		verdict_refuse(verdict,
			       growth ? "it is at its max already" : "it is at its min already");
		return;
	}
	for (size_t i = 0; i < side->n_leaves; i++) {
		struct plan_leaf leaf = side->leaves[i];

		leaf.room = NULL;
		leaf.fixed = false;
		if (plan_leaf_range(&leaf, request->field, growth) > 0) {
			verdict_wait(verdict,
				     side->leaves[i].fixed
					     ? "its containers cannot be reached"
					     : "the hosts of its containers have nothing free");
			return;
		}
	}
	if (!side->n_leaves)
		verdict_refuse(verdict, "it has no containers with %s",
			       ebb_resource_name(request->resource));
	else
		verdict_refuse(verdict, "its containers are at their %s already",
			       growth ? "max" : "min");
}

/* What donors give up is there for receivers of the same host. */
static void free_rooms(const struct side *side)
{
	for (size_t i = 0; i < side->n_leaves; i++) {
		const struct plan_leaf *leaf = &side->leaves[i];

		if (leaf->room && leaf->to != leaf->current)
			*leaf->room += plan_leaf_freed(leaf);
	}
}

static void add_parent(struct operation *operation, struct slot *slot, const struct side *side,
		       const struct plan_branch *branch, size_t parent)
{
	operation->parents[operation->n_parents++] = (struct parent_change){
		.slot = slot,
		.subtype = slot->user ? STRUCTURE_USER : STRUCTURE_APPLICATION,
		.parent = parent,
		.before = branch ? branch->value : side->value,
		.amount = branch ? branch->amount : side->done,
		.bare = branch && branch->bare,
	};
}

static void add_side(struct operation *operation, const struct side *side)
{
	size_t user = SIZE_MAX;

	if (side->slot->user) {
		user = operation->n_parents;
		add_parent(operation, side->slot, side, NULL, SIZE_MAX);
	}
	for (size_t i = 0; i < side->n_branches; i++) {
		const struct plan_branch *branch = &side->branches[i];
		size_t first = (size_t)(branch->leaves - side->leaves);

		if (!branch->amount)
			continue;
		add_parent(operation, side->branch_slots[i], side, branch, user);
		for (size_t j = 0; j < branch->n; j++)
			if (branch->leaves[j].amount)
				operation_add_change(operation, side->leaf_slots[first + j],
						     &branch->leaves[j], operation->n_parents - 1);
	}
}

static void start_sides(struct scaler *scaler, const struct waiting *waiting,
			const struct side *donor, const struct side *receiver, int64_t amount,
			uint64_t now, struct verdict *verdict)
{
	const struct side *asked = receiver ?: donor;
	size_t n_changes = 0, n_parents = 0;
	struct operation *operation;

	if (donor) {
		n_changes += donor->n_leaves;
		n_parents += donor->n_branches + 1;
	}
	if (receiver) {
		n_changes += receiver->n_leaves;
		n_parents += receiver->n_branches + 1;
	}
	operation = operation_new(waiting, asked->parent->name, n_changes, n_parents);
	if (!operation) {
		verdict_wait(verdict, strerror(ENOMEM));
		return;
	}
	operation->request.amount = amount;
	if (donor)
		add_side(operation, donor);
	if (receiver)
		add_side(operation, receiver);
	operation_start(scaler, operation, now, verdict);
}

static void begin_alone(struct scaler *scaler, struct structure *s, struct waiting *waiting,
			uint64_t now, struct verdict *verdict)
{
	const struct request *request = &waiting->request;
	struct side side = {.parent = s};
	const char *reason = gather(scaler, &side, request, now);
	int64_t amount;

	if (reason) {
		verdict_wait(verdict, reason);
		goto out;
	}
	amount = operation_amount(waiting, side.value);
	if (!amount)
		verdict_refuse(verdict, "it has moved past it meanwhile");
	else if (request->field == REQUEST_MAX && side.value <= 0 && !side.bare)
		verdict_refuse(verdict, "it has no max");
	else if (plan_side(&side, request, amount) < 0)
		verdict_wait(verdict, strerror(ENOMEM));
	else if (!side.done)
		nothing_for(verdict, &side, request, amount);
	else
		start_sides(scaler, waiting, amount < 0 ? &side : NULL, amount < 0 ? NULL : &side,
			    amount, now, verdict);
out:
	side_clear(&side);
}

static void begin_swap(struct scaler *scaler, struct structure *s, struct structure *from,
		       struct waiting *waiting, uint64_t now, struct verdict *verdict)
{
	const struct request *request = &waiting->request;
	struct side receiver = {.parent = s}, donor = {.parent = from};
	const char *unit = ebb_resource_unit(request->resource);
	long long amount = request->amount;
	const char *reason;

	reason = gather(scaler, &donor, request, now) ?: gather(scaler, &receiver, request, now);
	if (reason) {
		verdict_wait(verdict, reason);
	} else if (plan_side(&donor, request, -amount) < 0) {
		verdict_wait(verdict, strerror(ENOMEM));
	} else if (donor.done != -amount) {
		verdict_refuse(
			verdict,
			"%s can give up %lld of %lld %s, its min and those of its containers kept",
			from->name, -(long long)donor.done, amount, unit);
	} else {
		free_rooms(&donor);
		if (plan_side(&receiver, request, amount) < 0)
			verdict_wait(verdict, strerror(ENOMEM));
		else if (receiver.done != amount)
			verdict_refuse(verdict,
				       "its containers can take %lld of %lld %s on their hosts",
				       (long long)receiver.done, amount, unit);
		else
			start_sides(scaler, waiting, &donor, &receiver, amount, now, verdict);
	}
	side_clear(&donor);
	side_clear(&receiver);
}

void operation_parent_changed(struct scaler *scaler, struct structure *parent,
			      enum ebb_resource resource)
{
	struct resource_state *state = &parent->resources[resource];

	state->current = operation_value(parent, REQUEST_CURRENT, resource);
	if (boundaries_adjust(state))
		model_touch(scaler->model, parent, MODEL_DIRTY_LIMITS);
	model_touch(scaler->model, parent, MODEL_DIRTY_STRUCTURE);
}

void operation_begin_parent(struct scaler *scaler, struct structure *s, struct waiting *waiting,
			    uint64_t now, struct verdict *verdict)
{
	enum ebb_resource resource = waiting->request.resource;
	struct structure *from;

	if (!waiting->pair) {
		begin_alone(scaler, s, waiting, now, verdict);
		return;
	}
	from = s->subtype == STRUCTURE_USER ? model_user(scaler->model, waiting->pair)
					    : model_structure(scaler->model, waiting->pair);
	if (!from || from->subtype != s->subtype || !from->resources[resource].present)
		verdict_refuse(verdict, "%s has gone", waiting->pair);
	else
		begin_swap(scaler, s, from, waiting, now, verdict);
}
