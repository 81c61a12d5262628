/* SPDX-License-Identifier: Apache-2.0 */
/* Who holds how much of a host: free = max - what its containers hold, core by core for CPU. */
#include "model.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boundaries.h"
#include "disks.h"
#include "headroom.h"
#include "model_private.h"
#include "ebb/cleanup.h"

/* CPUs in the order of the document; without one, as many as cpu.max says, from 0 on. */
static int document_order(const struct structure *structure, const json_t *mapping,
			  struct cpu_list *ret_order)
{
	size_t room = json_object_size(mapping), n = 0;
	_cleanup_free_ unsigned *cpus = NULL;
	const char *key;
	json_t *core;

	if (!room)
		room = (size_t)(structure->resources[EBB_CPU].max / EBB_SHARES_PER_CORE);
	cpus = calloc(room + 1, sizeof(*cpus));
	if (!cpus)
		return -ENOMEM;
	if (json_object_size(mapping)) {
		json_object_foreach((json_t *)mapping, key, core) {
			uint64_t cpu;

			if (parse_u64(key, &cpu) >= 0 && cpu <= 65535)
				cpus[n++] = (unsigned)cpu;
		}
	} else {
		for (; n < room; n++)
			cpus[n] = (unsigned)n;
	}
	*ret_order = (struct cpu_list){.cpus = TAKE_PTR(cpus), .n = n};
	return 0;
}

static json_t *document_mapping(const struct host *host)
{
	json_t *resources = json_object_get(host->structure->doc, "resources");

	return json_object_get(json_object_get(resources, ebb_resource_name(EBB_CPU)),
			       "core_usage_mapping");
}

int host_load_document(struct host *host)
{
	const struct structure *structure = host->structure;
	const json_t *mapping = document_mapping(host);
	struct cpu_list order;
	int r;

	for (int i = 0; i < EBB_RESOURCE_MAX; i++)
		host->max[i] = host->free[i] =
			structure->resources[i].present ? structure->resources[i].max : 0;
	r = document_order(structure, mapping, &order);
	if (r < 0)
		return r;
	r = cpumap_new(&order, &host->cpumap);
	cpu_list_clear(&order);
	if (r < 0)
		return r;
	cpumap_load_json(host->cpumap, mapping);
	host->max[EBB_CPU] = cpumap_total(host->cpumap);
	host->free[EBB_CPU] = cpumap_free_shares(host->cpumap);
	host->ordered = CORES_MAX;
	return 0;
}

/* The member object of that name, made when missing. */
static json_t *member(json_t *object, const char *key)
{
	json_t *found = json_object_get(object, key);

	if (!json_is_object(found)) {
		found = json_object();
		if (json_object_set_new(object, key, found) < 0)
			return NULL;
	}
	return found;
}

void host_save_document(struct host *host)
{
	struct structure *structure = host->structure;
	json_t *resources;

	if (!structure->doc)
		structure->doc = json_object();
	resources = member(structure->doc, "resources");
	for (int i = 0; i < EBB_RESOURCE_MAX; i++) {
		json_t *resource;

		if (host->max[i] <= 0)
			continue;
		structure->resources[i].present = true;
		structure->resources[i].max = host->max[i];
		resource = member(resources, ebb_resource_name(i));
		json_object_set_new(resource, "free", json_integer(host->free[i]));
		if (i == EBB_CPU)
			json_object_set(resource, "core_usage_mapping",
					cpumap_mapping(host->cpumap));
	}
}

static void note_beyond(const struct structure *structure, enum ebb_resource resource)
{
	const struct resource_state *state = &structure->resources[resource];
	struct host *host = structure->host;

	if (host && state->allocated > 0 && structure->physical[resource] > state->allocated)
		host->beyond |= 1u << resource;
}

int64_t model_allocate(struct model *model, struct structure *structure, enum ebb_resource resource,
		       int64_t amount)
{
	struct resource_state *state = &structure->resources[resource];
	struct host *host = structure->host;
	int64_t moved;

	/* What a container whose host has gone still holds is nobody's. */
	if (amount < 0)
		amount = MAX(amount, -state->allocated);
	else if (!host)
		return 0;
	if (amount == 0)
		return 0;

	if (amount > 0)
		amount = MIN(amount, disks_room(structure, resource));
	if (!host || host->max[resource] <= 0) {
		moved = amount;
	} else if (resource == EBB_CPU) {
		host_order_cores(model, host);
		moved = amount > 0 ? cpumap_grow(host->cpumap, structure->name, amount)
				   : -cpumap_shrink(host->cpumap, structure->name, -amount);
		host->free[resource] = cpumap_free_shares(host->cpumap);
	} else {
		moved = MIN(amount, host->free[resource]);
		host->free[resource] -= moved;
	}
	if (moved == 0) {
		note_beyond(structure, resource);
		return 0;
	}
	if (host && moved > 0)
		host->accounts++;
	state->allocated += moved;
	note_beyond(structure, resource);
	disks_take(structure, resource, moved);
	model_touch(model, structure, MODEL_DIRTY_STRUCTURE);
	if (host)
		model_touch(model, host->structure, MODEL_DIRTY_STRUCTURE);
	return moved;
}

void accounting_set_current(struct model *model, struct structure *structure,
			    enum ebb_resource resource, int64_t limit)
{
	struct resource_state *state = &structure->resources[resource];

	if (state->current == limit)
		return;
	state->current = limit;
	model_touch(model, structure, MODEL_DIRTY_STRUCTURE);
	if (boundaries_adjust(state)) {
		model_touch(model, structure, MODEL_DIRTY_LIMITS);
		if (structure->guard)
			model_guard_changed(model, structure);
	}
}

bool accounting_below_max(struct model *model, struct structure *structure,
			  enum ebb_resource resource)
{
	const struct resource_state *state = &structure->resources[resource];

	if (state->max <= 0 || state->allocated <= 0 || state->current <= state->max)
		return false;
	accounting_set_current(model, structure, resource, state->max);
	model_apply(model, structure, resource);
	return true;
}

/* It holds less than its limit: the limit follows. */
static void fit_current(struct model *model, struct structure *structure,
			enum ebb_resource resource)
{
	struct resource_state *state = &structure->resources[resource];

	if (state->current <= state->allocated)
		return;
	if (state->allocated <= 0) {
		model_log(model, LOG_LEVEL_WARNING,
			  "%s: the host has no %s left for it: it keeps its limit, but is not "
			  "accounted; guard it again when there is room",
			  structure->name, ebb_resource_name(resource));
		return;
	}
	model_log(model, LOG_LEVEL_WARNING,
		  "%s: its %s limit of %lld %s does not fit on the host any more: %lld",
		  structure->name, ebb_resource_name(resource), (long long)state->current,
		  ebb_resource_unit(resource), (long long)state->allocated);
	accounting_set_current(model, structure, resource, state->allocated);
	model_apply(model, structure, resource);
}

void host_settle(struct model *model, struct host *host, enum ebb_resource resource)
{
	int64_t left = host->max[resource];

	if (left <= 0)
		return;
	if (resource == EBB_CPU) {
		host->max[resource] = cpumap_total(host->cpumap);
		host->free[resource] = cpumap_free_shares(host->cpumap);
		return;
	}
	for (struct structure *s = host->containers; s; s = s->host_next) {
		struct resource_state *state = &s->resources[resource];

		if (state->allocated <= 0)
			continue;
		if (state->allocated > left) {
			state->allocated = left;
			model_touch(model, s, MODEL_DIRTY_STRUCTURE);
		}
		fit_current(model, s, resource);
		left -= state->allocated;
	}
	host->free[resource] = left;
	model_touch(model, host->structure, MODEL_DIRTY_STRUCTURE);
}

/* The map's shares of each container against what it is to hold, `want`. */
static void settle_cores(struct model *model, struct host *host, struct structure *structure,
			 int64_t want)
{
	struct resource_state *state = &structure->resources[EBB_CPU];
	int64_t owned = cpumap_owned(host->cpumap, structure->name);

	if (want <= 0 && owned <= 0)
		return;
	if (want > owned)
		owned += cpumap_grow(host->cpumap, structure->name, want - owned);
	else if (want < owned)
		owned -= cpumap_shrink(host->cpumap, structure->name, owned - want);
	if (state->allocated != owned) {
		state->allocated = owned;
		model_touch(model, structure, MODEL_DIRTY_STRUCTURE);
	}
	fit_current(model, structure, EBB_CPU);
}

/* It had shares on cores that have gone. */
static void move_from_lost_cores(struct model *model, struct host *host, struct structure *s)
{
	int64_t before = s->resources[EBB_CPU].allocated;
	_cleanup_free_ char *text = NULL;
	struct cpu_list cpus = {};

	settle_cores(model, host, s, before);
	if (s->resources[EBB_CPU].allocated <= 0)
		s->held |= 1u << EBB_CPU;
	if (cpumap_cpus(host->cpumap, s->name, &cpus) >= 0)
		text = cpu_list_format(&cpus);
	cpu_list_clear(&cpus);
	model_log(model, LOG_LEVEL_WARNING,
		  "%s: some of its CPUs on host %s have gone: it holds %lld shares of %lld now, on "
		  "%s",
		  s->name, host->structure->name, (long long)s->resources[EBB_CPU].allocated,
		  (long long)before, text && *text ? text : "none");
	if (s->resources[EBB_CPU].allocated > 0 && s->resources[EBB_CPU].current > 0)
		model_apply(model, s, EBB_CPU);
}

int host_replace_cpumap(struct model *model, struct host *host, struct cpumap *map)
{
	int r = host->cpumap ? cpumap_inherit(map, host->cpumap) : 0;

	if (r < 0) {
		cpumap_free(map);
		return r;
	}
	cpumap_free(host->cpumap);
	host->cpumap = map;
	for (struct structure *s = host->containers; s; s = s->host_next)
		if (s->resources[EBB_CPU].allocated > cpumap_owned(map, s->name))
			move_from_lost_cores(model, host, s);
	host->max[EBB_CPU] = cpumap_total(map);
	host->free[EBB_CPU] = cpumap_free_shares(map);
	model_touch(model, host->structure, MODEL_DIRTY_STRUCTURE);
	return 0;
}

/* Owners in the core map that are no containers of this host any more. */
static void release_strangers(struct model *model, struct host *host)
{
	const char *cpu, *name;
	json_t *core, *shares;

	json_object_foreach(document_mapping(host), cpu, core) {
		json_object_foreach(core, name, shares) {
			const struct structure *owner = model_structure(model, name);

			if (!owner || owner->host != host || owner->subtype != STRUCTURE_CONTAINER)
				cpumap_release(host->cpumap, name);
		}
	}
}

void host_rebuild_accounting(struct model *model, struct host *host)
{
	release_strangers(model, host);
	for (struct structure *s = host->containers; s; s = s->host_next) {
		bool owns = cpumap_owned(host->cpumap, s->name) > 0, says = false;

		for (int i = 0; i < EBB_RESOURCE_MAX; i++)
			says |= s->resources[i].allocated > 0;
		for (int i = 0; i < EBB_RESOURCE_MAX; i++) {
			struct resource_state *state = &s->resources[i];

			/* A document of the original system, which accounts without saying so:
			 * whoever owns cores is accounted with all of its limits. */
			if (!says && owns && state->present && state->current > 0)
				state->allocated = state->current;
			if (state->allocated <= 0)
				continue;
			/* More than `current` was growth under way when the controller ended: kept
			 * until the agent says what is in force. An operation that was not done is
			 * taken back as a whole. */
			if (s->operating & 1u << i && state->current > 0)
				state->allocated = state->current;
			else
				state->allocated = MAX(state->allocated, state->current);
		}
	}
	/* Who has too much first: it may be what others lack. */
	for (struct structure *s = host->containers; s; s = s->host_next)
		if (s->resources[EBB_CPU].allocated < cpumap_owned(host->cpumap, s->name))
			settle_cores(model, host, s, s->resources[EBB_CPU].allocated);
	for (struct structure *s = host->containers; s; s = s->host_next)
		settle_cores(model, host, s, s->resources[EBB_CPU].allocated);
	for (int i = 0; i < EBB_RESOURCE_MAX; i++)
		host_settle(model, host, i);
	if (disks_settle(host))
		model_touch(model, host->structure, MODEL_DIRTY_STRUCTURE);
}

int64_t model_free_for(const struct structure *structure, enum ebb_resource resource)
{
	const struct host *host = structure->host;
	int64_t room = disks_room(structure, resource);

	return host && host->max[resource] > 0 ? MIN(host->free[resource], room) : room;
}

void accounting_release(struct model *model, struct structure *structure)
{
	for (int i = 0; i < EBB_RESOURCE_MAX; i++) {
		if (structure->resources[i].allocated <= 0)
			continue;
		structure->held |= 1u << i;
		model_allocate(model, structure, i, -structure->resources[i].allocated);
	}
}

/*
 * A first limit for a container that has none: what it uses and half as much again, at least one
 * core, 256 MiB or 10 MiB/s more; but of what is free only half, for others are guarded in the same
 * breath. The guardian takes back what is too much within seconds, too little would hurt at once.
 */
static int64_t first_limit(const struct resource_state *state, enum ebb_resource resource,
			   int64_t free)
{
	int64_t least = resource == EBB_CPU ? EBB_SHARES_PER_CORE : resource == EBB_MEM ? 256 : 10;
	int64_t usage = isnan(state->usage) ? 0 : (int64_t)ceil(state->usage);
	int64_t more = isnan(state->usage) ? state->max : MAX(usage / 2, least);
	int64_t low = resource_floor(state, resource);

	more = MIN(more, MAX((free - usage) / 2, 0));
	return CLAMP(usage + more, low, state->max);
}

int accounting_take(struct model *model, struct structure *structure, enum ebb_resource resource,
		    bool keep_current, char **ret_error)
{
	struct resource_state *state = &structure->resources[resource];
	struct host *host = structure->host;
	int64_t in_force = structure->physical[resource], want, got, free;
	int64_t low = resource_floor(state, resource);

	headroom_hold_beyond(model, host, resource);
	free = model_free_for(structure, resource);
	if (keep_current && state->current > 0)
		in_force = state->current;
	want = first_limit(state, resource, free);
	if (in_force > 0 && CLAMP(in_force, low, state->max) <= free)
		want = CLAMP(in_force, low, state->max);
	want = MIN(want, free);
	if (want < low || want <= 0)
		return fail_with(-ENOSPC, ret_error,
				 "Host %s has %lld %s of %s free, %s needs at least its min of "
				 "%lld: lower its min, or free some by lowering the max of others",
				 host->structure->name, (long long)free,
				 ebb_resource_unit(resource), ebb_resource_name(resource),
				 structure->name, (long long)low);
	got = model_allocate(model, structure, resource, want);
	if (got < want) {
		model_allocate(model, structure, resource, -got);
		return fail_with(-ENOMEM, ret_error, "No memory to account %s", structure->name);
	}
	structure->held &= ~(1u << resource);
	accounting_set_current(model, structure, resource, want);
	if (structure->physical[resource] != want ||
	    (resource == EBB_CPU && model_pins_cores(model, host)))
		model_apply(model, structure, resource);
	return 0;
}

/*
 * The limit to be after `applied`: the range may have been changed while the order was under way.
 * The host sets aside the larger of the two; a min for which it has no room is left unmet, and so
 * is what somebody else wrote beyond that. What was not accounted is so wholly or not at all.
 */
static int64_t into_range(struct model *model, struct structure *structure,
			  enum ebb_resource resource, int64_t applied)
{
	struct resource_state *state = &structure->resources[resource];
	bool managed = state->allocated > 0;

	if (managed && structure->guard && state->guard && applied < state->min) {
		headroom_hold_beyond(model, structure->host, resource);
		model_allocate(model, structure, resource, state->min - state->allocated);
		if (state->allocated >= state->min)
			return state->min;
	}
	model_allocate(model, structure, resource, applied - state->allocated);
	if (!managed && state->allocated < applied) {
		model_allocate(model, structure, resource, -state->allocated);
		return applied;
	}
	if (state->max > 0 && (managed || (structure->guard && state->guard)))
		applied = MIN(applied, state->max);
	return MIN(applied, state->allocated);
}

/* What was in an operation when a controller ended is back from it. */
static void back_from_operation(struct model *model, struct structure *structure,
				enum ebb_resource resource)
{
	unsigned bit = 1u << resource;

	if (!(structure->operating & bit))
		return;
	structure->operating &= ~bit;
	model_touch(model, structure, MODEL_DIRTY_STRUCTURE);
}

void model_limit_applied(struct model *model, struct structure *structure,
			 enum ebb_resource resource, int64_t applied)
{
	unsigned bit = 1u << resource;
	int64_t limit;

	structure->physical[resource] = applied < 0 ? -1 : applied;
	back_from_operation(model, structure, resource);
	if (applied < 0 || structure->apply & bit)
		return;
	if (structure->in_flight & bit) {
		accounting_set_current(model, structure, resource, applied);
		return;
	}
	limit = into_range(model, structure, resource, applied);
	accounting_set_current(model, structure, resource, limit);
	if (limit != applied)
		model_apply(model, structure, resource);
}

/*
 * Somebody else set the limit of a container that is accounted but not guarded. One that fits is
 * adopted; with any other it leaves the accounting: it is not ours to put back.
 */
static void adopt_unguarded(struct model *model, struct structure *structure,
			    enum ebb_resource resource, int64_t found)
{
	struct resource_state *state = &structure->resources[resource];

	if (found > 0)
		model_allocate(model, structure, resource, found - state->allocated);
	if (state->allocated != found)
		model_allocate(model, structure, resource, -state->allocated);
	accounting_set_current(model, structure, resource, found);
}

/* `how` it came to be other than on record, as far as can be told. */
static void adopt(struct model *model, struct structure *structure, enum ebb_resource resource,
		  const char *how)
{
	struct resource_state *state = &structure->resources[resource];
	int64_t found = structure->physical[resource], before = state->current;
	int64_t limit = state->max > 0 ? MIN(found, state->max) : found;
	const char *name = ebb_resource_name(resource), *unit = ebb_resource_unit(resource);

	if (!structure->guard || !state->guard) {
		adopt_unguarded(model, structure, resource, found);
		return;
	}
	if (found <= 0) {
		model_log(model, LOG_LEVEL_INFO,
			  "%s: its %s limit has been taken off; %lld %s again", structure->name,
			  name, (long long)before, unit);
		model_apply(model, structure, resource);
		return;
	}
	/* Also what is to be cut, until it is. */
	model_allocate(model, structure, resource, found - state->allocated);
	limit = MIN(limit, state->allocated);
	model_log(model, LOG_LEVEL_INFO, "%s: its %s limit was changed %s, %lld to %lld %s%s",
		  structure->name, name, how, (long long)before, (long long)found, unit,
		  limit < found ? "; more than its max or than is free, cut" : "");
	accounting_set_current(model, structure, resource, limit);
	if (limit != found)
		model_apply(model, structure, resource);
}

void model_adopt_limit(struct model *model, struct structure *structure, enum ebb_resource resource)
{
	adopt(model, structure, resource, "from outside");
}

/*
 * What an agent can limit only some time after it told of the container: a network that is joined
 * late, or a cgroup v1 directory that the engine made last. To one that nobody has begun with it is
 * as if it had been there at first.
 */
static bool comes_late(const struct structure *structure, enum ebb_resource resource)
{
	const struct resource_state *state = &structure->resources[resource];

	if (!structure->automatic || !structure->host || structure->physical[resource] != INT64_MIN)
		return false;
	return !state->present || ((resource == EBB_CPU || resource == EBB_MEM) && !state->guard);
}

unsigned model_limits_reported(struct model *model, struct structure *structure,
			       const json_t *limits)
{
	unsigned foreign = 0;

	structure->pinnable = json_object_get(limits, "cpus") != NULL;
	model_cpus_reported(structure, json_string_value(json_object_get(limits, "cpus")));
	for (int i = 0; i < EBB_RESOURCE_MAX; i++) {
		struct resource_state *state = &structure->resources[i];
		const json_t *value = json_object_get(limits, ebb_resource_name(i));
		int64_t limit;
		bool late, first;

		if (!value || json_to_int64(value, &limit) < 0)
			continue;
		limit = MAX(limit, -1);
		late = comes_late(structure, i);
		first = structure->physical[i] == INT64_MIN;
		structure->physical[i] = limit;
		if (late) {
			registration_first_resource(structure->host, structure, i, limit, true);
			model_touch(model, structure, MODEL_DIRTY_STRUCTURE);
		}
		if (!state->present)
			continue;
		if (state->allocated <= 0) {
			if (structure->automatic && structure->host)
				registration_first_range(structure->host, state, i, limit);
			if (!(structure->held & 1u << i))
				accounting_set_current(model, structure, i, limit);
			/* Nothing of it is to be taken back. */
			if (!(structure->in_flight & 1u << i))
				back_from_operation(model, structure, i);
			continue;
		}
		if ((structure->in_flight | structure->apply) & 1u << i) {
			/* Until that is in force, nobody else is to have it. */
			if (limit > state->allocated && !(structure->operating & 1u << i))
				model_allocate(model, structure, i, limit - state->allocated);
			continue;
		}
		if (limit == state->current) {
			model_allocate(model, structure, i, limit - state->allocated);
			back_from_operation(model, structure, i);
			/* Its max was lowered while it was away. */
			if (structure->guard && state->guard)
				accounting_below_max(model, structure, i);
			continue;
		}
		/* Half of an operation may be in force: what was before is put back. */
		if (structure->operating & 1u << i) {
			/* Nobody else is to have it before that. */
			if (limit > state->allocated)
				model_allocate(model, structure, i, limit - state->allocated);
			model_apply(model, structure, i);
			continue;
		}
		/* At a registration: an order of ours may have done it that nobody heard of, or an
		 * agent that ended before it could tell. */
		adopt(model, structure, i, first ? "while nobody heard of it" : "from outside");
		foreign |= 1u << i;
	}
	return foreign;
}

static char *check_resource(const struct host *host, enum ebb_resource resource)
{
	int64_t held = 0;
	char *text = NULL;

	for (const struct structure *s = host->containers; s; s = s->host_next) {
		const struct resource_state *state = &s->resources[resource];

		held += state->allocated;
		if (resource == EBB_CPU && host->max[EBB_CPU] > 0 &&
		    cpumap_owned(host->cpumap, s->name) != state->allocated &&
		    asprintf(&text, "%s holds %lld shares, the core map of %s says %lld", s->name,
			     (long long)state->allocated, host->structure->name,
			     (long long)cpumap_owned(host->cpumap, s->name)) > 0)
			return text;
	}
	if (host->max[resource] > 0 &&
	    (host->free[resource] < 0 || held + host->free[resource] != host->max[resource]) &&
	    asprintf(&text, "%s: %s: %lld held + %lld free is not %lld", host->structure->name,
		     ebb_resource_name(resource), (long long)held, (long long)host->free[resource],
		     (long long)host->max[resource]) > 0)
		return text;
	return NULL;
}

char *host_check(const struct host *host)
{
	char *text;

	for (int i = 0; i < EBB_RESOURCE_MAX; i++) {
		text = check_resource(host, i);
		if (text)
			return text;
	}
	text = cpumap_check(host->cpumap);
	if (text)
		return text;
	if (host->free[EBB_CPU] != cpumap_free_shares(host->cpumap) &&
	    asprintf(&text, "%s: %lld shares free, the core map says %lld", host->structure->name,
		     (long long)host->free[EBB_CPU],
		     (long long)cpumap_free_shares(host->cpumap)) > 0)
		return text;
	return NULL;
}

char *model_check(struct model *model)
{
	struct structure *s;
	char *text;

	for (size_t i = 0; i < model->n_hosts; i++) {
		text = host_check(model->hosts[i]);
		if (text)
			return text;
	}
	model_foreach_structure(model, s) {
		if (s->slot < model->n_structures && model->structures[s->slot] == s &&
		    model_structure(model, s->name) == s)
			continue;
		if (asprintf(&text, "%s is not where the index says", s->name) > 0)
			return text;
	}
	return NULL;
}
