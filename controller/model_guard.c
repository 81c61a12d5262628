/* SPDX-License-Identifier: Apache-2.0 */
/* What an operator changes about a structure: guarding, ranges, boundaries (spec 3.3). */
#include "model.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "boundaries.h"
#include "drift.h"
#include "hierarchy.h"
#include "member_sums.h"
#include "model_private.h"
#include "ebb/cleanup.h"

#define EXACT_MAX 9007199254740992.0

/* From here on it is somebody's, and is not forgotten when it goes. */
static void touched_by_hand(struct model *model, struct structure *structure)
{
	structure->automatic = false;
	model_touch(model, structure, MODEL_DIRTY_STRUCTURE);
}

static void adjust(struct model *model, struct structure *structure, enum ebb_resource resource)
{
	if (boundaries_adjust(&structure->resources[resource]) && structure->guard)
		model_guard_changed(model, structure);
	model_touch(model, structure, MODEL_DIRTY_LIMITS);
}

static bool can_take(const struct structure *structure, enum ebb_resource resource)
{
	const struct resource_state *state = &structure->resources[resource];

	return structure->subtype == STRUCTURE_CONTAINER && structure->host && structure->live &&
	       state->present && state->max > 0 && state->allocated <= 0;
}

/* Sets shares aside for each resource of `mask` that has none, or for none of them. */
static int take_all(struct model *model, struct structure *structure, unsigned mask,
		    char **ret_error)
{
	int64_t before[EBB_RESOURCE_MAX];
	unsigned apply = structure->apply, taken = 0;
	int r = 0;

	for (int i = 0; i < EBB_RESOURCE_MAX && r >= 0; i++) {
		before[i] = structure->resources[i].current;
		if (!(mask & 1u << i) || !can_take(structure, i))
			continue;
		r = accounting_take(model, structure, i, false, ret_error);
		if (r >= 0)
			taken |= 1u << i;
	}
	if (r >= 0)
		return 0;
	for (int i = 0; i < EBB_RESOURCE_MAX; i++) {
		if (!(taken & 1u << i))
			continue;
		model_allocate(model, structure, i, -structure->resources[i].allocated);
		accounting_set_current(model, structure, i, before[i]);
		structure->apply = (structure->apply & ~(1u << i)) | (apply & 1u << i);
	}
	return r;
}

/* While nobody guarded it, it may have got a limit outside of its range. */
static void into_range(struct model *model, struct structure *structure, unsigned mask)
{
	for (int i = 0; i < EBB_RESOURCE_MAX; i++) {
		if (!(mask & 1u << i) || structure->resources[i].allocated <= 0)
			continue;
		if (!accounting_below_max(model, structure, i) && structure->physical[i] >= 0 &&
		    !((structure->in_flight | structure->apply) & 1u << i))
			model_limit_applied(model, structure, i, structure->physical[i]);
	}
}

static int refuse_host(const struct structure *structure, char **ret_error)
{
	if (structure->subtype != STRUCTURE_HOST)
		return 0;
	return fail_with(-EINVAL, ret_error, "%s is a host: guard its containers, by their names",
			 structure->name);
}

static void default_boundary(struct resource_state *state)
{
	state->has_boundary = true;
	state->boundary = 10;
	state->boundary_type = BOUNDARY_PERCENTAGE_OF_CURRENT;
}

/* An application or a user may have no limits document; and its limits are its members'. */
static void prepare_parent(struct model *model, struct structure *parent, bool guard)
{
	unsigned kind = 1u << parent->subtype;

	for (int i = 0; i < EBB_RESOURCE_MAX && guard; i++) {
		struct resource_state *state = &parent->resources[i];
		int64_t current;

		if (!state->present || !state->guard)
			continue;
		if (members_current(parent, i, &current))
			state->current = current;
		if (!state->has_boundary)
			default_boundary(state);
		adjust(model, parent, i);
	}
	members_begin(parent);
	if (guard && !parent->guard && !(model->guardian.guarded & kind))
		model_log(model, LOG_LEVEL_WARNING,
			  "%s is guarded, but the guardian does not look at %ss: add \"%s\" to its "
			  "STRUCTURE_GUARDED",
			  parent->name, structure_subtype_name(parent->subtype),
			  structure_subtype_name(parent->subtype));
}

int model_guard(struct model *model, struct structure *structure, bool guard, char **ret_error)
{
	unsigned mask = 0;
	int r;

	r = refuse_host(structure, ret_error);
	if (r < 0)
		return r;
	for (int i = 0; i < EBB_RESOURCE_MAX && guard; i++)
		if (structure->resources[i].guard)
			mask |= 1u << i;
	r = take_all(model, structure, mask, ret_error);
	if (r < 0)
		return r;
	if (guard && !structure->guard_state)
		structure->guard_state = guard_state_new();
	if (guard && !structure->guard_state)
		return -ENOMEM;
	if (!guard) {
		guard_state_free(structure->guard_state);
		structure->guard_state = NULL;
	}
	if (structure_is_parent(structure))
		prepare_parent(model, structure, guard);
	if (guard && json_object_get(structure->doc, MANUAL_KEY) &&
	    structure_own_doc(&structure->doc))
		json_object_del(structure->doc, MANUAL_KEY);
	model_set_guard_flag(model, structure, guard);
	into_range(model, structure, mask);
	touched_by_hand(model, structure);
	model_guard_changed(model, structure);
	return 0;
}

int model_guard_resources(struct model *model, struct structure *structure, unsigned mask,
			  bool guard, char **ret_error)
{
	int r;

	r = refuse_host(structure, ret_error);
	if (r < 0)
		return r;
	for (int i = 0; i < EBB_RESOURCE_MAX; i++) {
		const struct resource_state *state = &structure->resources[i];
		const char *name = ebb_resource_name(i);

		if (!(mask & 1u << i))
			continue;
		if (!state->present)
			return fail_with(-ENOENT, ret_error, "%s has no %s that can be limited",
					 structure->name, name);
		if (guard && state->max <= 0)
			return fail_with(-EINVAL, ret_error,
					 "%s has no max for %s yet: set one first, PUT "
					 "/%s/%s/resources/%s/max",
					 structure->name, name,
					 structure->subtype == STRUCTURE_USER ? "user"
									      : "structure",
					 structure->name, name);
		if (guard && structure->live && structure->physical[i] == INT64_MIN)
			return fail_with(-EINVAL, ret_error,
					 "The agent of %s cannot limit %s: `ebb doctor` on its "
					 "host says why",
					 structure->name, name);
	}
	if (guard && structure->guard) {
		r = take_all(model, structure, mask, ret_error);
		if (r < 0)
			return r;
	}
	for (int i = 0; i < EBB_RESOURCE_MAX; i++)
		if (mask & 1u << i)
			structure->resources[i].guard = guard;
	if (structure->guard && structure_is_parent(structure))
		prepare_parent(model, structure, guard);
	if (guard && structure->guard)
		into_range(model, structure, mask);
	touched_by_hand(model, structure);
	if (structure->guard)
		model_guard_changed(model, structure);
	return 0;
}

/* What a host can give of a resource that its agent does not know the size of. */
static int set_host_max(struct model *model, struct structure *structure,
			enum ebb_resource resource, int64_t max, char **ret_error)
{
	struct host *host = structure->host;
	int64_t held = 0;

	if ((resource == EBB_CPU || resource == EBB_MEM) && !host->agentless)
		return fail_with(-EINVAL, ret_error,
				 "What host %s has of cpu and mem comes from its agent",
				 structure->name);
	for (struct structure *s = host->containers; s; s = s->host_next)
		held += s->resources[resource].allocated;
	if (max > 0 && max < held)
		return fail_with(-EINVAL, ret_error,
				 "The containers of %s hold %lld %s of %s: lower their max first",
				 structure->name, (long long)held, ebb_resource_unit(resource),
				 ebb_resource_name(resource));
	if (resource == EBB_CPU) {
		if (max < EBB_SHARES_PER_CORE ||
		    model_resize_cores(model, host, (size_t)(max / EBB_SHARES_PER_CORE)) < 0)
			return fail_with(-EINVAL, ret_error,
					 "The cpu of host %s must be some cores, 100 shares each",
					 structure->name);
		max = host->max[resource];
	}
	host->max[resource] = max;
	host->free[resource] = max > 0 ? max - held : 0;
	structure->resources[resource].present = max > 0;
	structure->resources[resource].max = max;
	touched_by_hand(model, structure);
	return 0;
}

static int refuse_below_least(const struct structure *structure, enum ebb_resource resource,
			      const char *param, int64_t value, char **ret_error)
{
	int64_t least = resource_least(resource);

	if (structure->subtype != STRUCTURE_CONTAINER || value >= least)
		return 0;
	return fail_with(-EINVAL, ret_error,
			 "%s %lld of %s %s is below %lld %s, the least that an agent sets", param,
			 (long long)value, structure->name, ebb_resource_name(resource),
			 (long long)least, ebb_resource_unit(resource));
}

/* How far the agents may raise by themselves: they are told with the guard table. */
static void ceilings_changed(struct model *model, struct structure *structure)
{
	struct structure *member;

	if (structure->guard)
		model_guard_changed(model, structure);
	hierarchy_foreach(member, structure) ceilings_changed(model, member);
}

static int set_max(struct model *model, struct structure *structure, enum ebb_resource resource,
		   int64_t max, char **ret_error)
{
	struct resource_state *state = &structure->resources[resource];
	const struct host *host = structure->host;
	const char *name = ebb_resource_name(resource);

	if (max > 0 && max < state->min)
		return fail_with(-EINVAL, ret_error,
				 "max %lld is below min %lld of %s %s: lower min first",
				 (long long)max, (long long)state->min, structure->name, name);
	if (max == 0 && (state->guard || resource == EBB_CPU || resource == EBB_MEM))
		return fail_with(-EINVAL, ret_error,
				 "A max of 0 takes %s from %s: unguard it instead", name,
				 structure->name);
	if (refuse_below_least(structure, resource, "max", max, ret_error) < 0)
		return -EINVAL;
	if (structure->subtype == STRUCTURE_CONTAINER && host && host->max[resource] > 0 &&
	    max > host->max[resource])
		return fail_with(-EINVAL, ret_error,
				 "max %lld is more than the %lld %s of %s that host %s has",
				 (long long)max, (long long)host->max[resource],
				 ebb_resource_unit(resource), name, host->structure->name);
	if (state->max != max) {
		state->max = max;
		ceilings_changed(model, structure);
	}
	/* The limit in force follows downwards, never upwards. */
	accounting_below_max(model, structure, resource);
	return 0;
}

static int set_min(struct structure *structure, enum ebb_resource resource, int64_t min,
		   char **ret_error)
{
	struct resource_state *state = &structure->resources[resource];

	if (state->max > 0 && min > state->max)
		return fail_with(-EINVAL, ret_error,
				 "min %lld is above max %lld of %s %s: raise max first",
				 (long long)min, (long long)state->max, structure->name,
				 ebb_resource_name(resource));
	if (refuse_below_least(structure, resource, "min", min, ret_error) < 0)
		return -EINVAL;
	state->min = min;
	return 0;
}

/*
 * A power limit is set by hand, or by whoever shares out a budget: no usage of ours moves it. What
 * a host's agent cannot order is only accounted.
 */
static int set_energy(struct model *model, struct structure *structure, int64_t current,
		      char **ret_error)
{
	struct resource_state *state = &structure->resources[EBB_ENERGY];
	int64_t more = state->allocated > 0 ? current - state->allocated : 0;
	bool ordered = structure->live && structure->physical[EBB_ENERGY] != INT64_MIN;

	if (current < state->min || (state->max > 0 && current > state->max))
		return fail_with(-EINVAL, ret_error,
				 "current %lld of %s energy is not from min %lld to max %lld",
				 (long long)current, structure->name, (long long)state->min,
				 (long long)state->max);
	if (more > 0 && more > model_free_for(structure, EBB_ENERGY))
		return fail_with(
			-ENOSPC, ret_error,
			"Host %s has %lld W of energy free, %s needs %lld more: lower that "
			"of others first",
			structure->host_name ? structure->host_name : "?",
			(long long)model_free_for(structure, EBB_ENERGY), structure->name,
			(long long)more);
	/* What goes back does so once it is in force. */
	if (more > 0 || !ordered)
		model_allocate(model, structure, EBB_ENERGY, more);
	accounting_set_current(model, structure, EBB_ENERGY, current);
	if (ordered && state->allocated > 0)
		model_apply(model, structure, EBB_ENERGY);
	return 0;
}

int model_set_parameter(struct model *model, struct structure *structure,
			enum ebb_resource resource, const char *param, double value,
			char **ret_error)
{
	struct resource_state *state = &structure->resources[resource];
	bool is_weight = strcmp(param, "weight") == 0, is_max = strcmp(param, "max") == 0;
	bool is_current = strcmp(param, "current") == 0 && resource == EBB_ENERGY;
	int r = 0;

	if (!is_weight && !is_max && !is_current && strcmp(param, "min") != 0)
		return fail_with(-EINVAL, ret_error,
				 "Parameter '%s' cannot be set: use max, min or weight", param);
	if (!isfinite(value) || value < 0 || value > EXACT_MAX)
		return fail_with(-EINVAL, ret_error, "%s must be a number, 0 or more", param);
	if (structure->subtype == STRUCTURE_HOST) {
		if (!is_max)
			return fail_with(-EINVAL, ret_error, "%s is a host: it has no %s",
					 structure->name, param);
		return set_host_max(model, structure, resource, (int64_t)value, ret_error);
	}
	if (!state->present)
		return fail_with(-ENOENT, ret_error, "%s has no %s that can be limited",
				 structure->name, ebb_resource_name(resource));
	if (is_weight)
		state->weight = value;
	else if (is_current)
		r = set_energy(model, structure, (int64_t)value, ret_error);
	else if (is_max)
		r = set_max(model, structure, resource, (int64_t)value, ret_error);
	else
		r = set_min(structure, resource, (int64_t)value, ret_error);
	if (r < 0)
		return r;
	touched_by_hand(model, structure);
	adjust(model, structure, resource);
	return 0;
}

/* The limits entry of a resource, begun when it has none. */
static int begin_limits(struct structure *structure, enum ebb_resource resource, char **ret_error)
{
	struct resource_state *state = &structure->resources[resource];

	if (structure->subtype == STRUCTURE_HOST || !state->present)
		return fail_with(-ENOENT, ret_error, "%s has no %s that can be limited",
				 structure->name, ebb_resource_name(resource));
	if (!state->has_boundary)
		default_boundary(state);
	return 0;
}

int model_set_boundary(struct model *model, struct structure *structure, enum ebb_resource resource,
		       int boundary, char **ret_error)
{
	int r;

	if (boundary < 0 || boundary > 100)
		return fail_with(-EINVAL, ret_error, "boundary must be a percentage, 0 to 100");
	r = begin_limits(structure, resource, ret_error);
	if (r < 0)
		return r;
	structure->resources[resource].boundary = boundary;
	touched_by_hand(model, structure);
	adjust(model, structure, resource);
	return 0;
}

int model_set_boundary_type(struct model *model, struct structure *structure,
			    enum ebb_resource resource, const char *type, char **ret_error)
{
	enum boundary_type parsed = boundary_type_from_name(type);
	int r;

	if (parsed == BOUNDARY_TYPE_MAX)
		return fail_with(-EINVAL, ret_error,
				 "boundary_type must be percentage_of_max or "
				 "percentage_of_current");
	r = begin_limits(structure, resource, ret_error);
	if (r < 0)
		return r;
	structure->resources[resource].boundary_type = parsed;
	touched_by_hand(model, structure);
	adjust(model, structure, resource);
	return 0;
}
