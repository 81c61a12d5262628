/* SPDX-License-Identifier: Apache-2.0 */
#include "headroom.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hierarchy.h"
#include "member_sums.h"
#include "ebb/cleanup.h"

static const enum ebb_resource growing[] = {EBB_CPU, EBB_MEM};

static bool leases(const struct model *model, const struct host *host)
{
	return model->leading && model->scaler.reflex && model->scaler.active &&
	       model->guardian.active && model->guardian.guarded & 1u << STRUCTURE_CONTAINER &&
	       host->reflex && !host->agentless && !host->from_series;
}

/* "2,3,1": as they would be handed out; an order of ranges would lose that. */
static char *spare_cpus(const struct host *host)
{
	struct cpu_list cpus;
	size_t room;
	char *text, *at;

	if (!host->cpumap || cpumap_free_cpus(host->cpumap, &cpus) < 0)
		return NULL;
	room = cpus.n * 6 + 1;
	text = at = malloc(room);
	if (text)
		*text = '\0';
	for (size_t i = 0; text && i < cpus.n; i++)
		at += snprintf(at, room - (size_t)(at - text), "%s%u", i ? "," : "", cpus.cpus[i]);
	cpu_list_clear(&cpus);
	return text;
}

/* What containers have in force beyond what is set aside for them, until it is cut: the books call
 * it free, and it is not. */
static int64_t beyond_books(const struct host *host, enum ebb_resource resource)
{
	int64_t beyond = 0;

	for (const struct structure *s = host->containers; s; s = s->host_next) {
		int64_t allocated = s->resources[resource].allocated;

		if (allocated <= 0 || s->physical[resource] == INT64_MIN)
			continue;
		/* Unlimited. */
		if (s->physical[resource] < 0)
			return INT64_MAX;
		beyond += MAX(s->physical[resource] - allocated, (int64_t)0);
	}
	return beyond;
}

void headroom_hold_beyond(struct model *model, struct host *host, enum ebb_resource resource)
{
	unsigned bit = 1u << resource;

	/* While nothing is free, nobody can be given it either. */
	if (!host || !(host->beyond & bit) || host->free[resource] <= 0)
		return;
	host->beyond &= ~bit;
	for (struct structure *s = host->containers; s; s = s->host_next) {
		int64_t allocated = s->resources[resource].allocated;

		/* An operation puts right what it finds in force. */
		if (allocated > 0 && s->physical[resource] > allocated && !(s->operating & bit))
			model_allocate(model, s, resource, s->physical[resource] - allocated);
	}
}

json_t *headroom_lease(const struct model *model, const struct host *host)
{
	_cleanup_free_ char *cpus = NULL;
	json_t *lease;

	if (!leases(model, host))
		return NULL;
	lease = json_pack("{s:I, s:I}", "number", (json_int_t)host->accounts, "ttl_ms",
			  (json_int_t)(model->scaler.reflex_lease * 1000));
	for (size_t i = 0; lease && i < ARRAY_SIZE(growing); i++) {
		enum ebb_resource r = growing[i];
		int64_t beyond = host->max[r] > 0 && host->free[r] > 0 ? beyond_books(host, r) : 0;

		if (host->max[r] > 0 && host->free[r] > beyond)
			json_object_set_new(lease, ebb_resource_name(r),
					    json_integer(host->free[r] - beyond));
	}
	cpus = model_pins_cores(model, host) ? spare_cpus(host) : NULL;
	if (lease && cpus)
		json_object_set_new(lease, "cpus", json_string(cpus));
	return lease;
}

/* Its part of what a parent has left: all of its members may grow at the same time. */
static int64_t below_parent(const struct structure *parent, enum ebb_resource resource,
			    int64_t current, int64_t ceiling)
{
	const struct resource_state *state = &parent->resources[resource];
	int64_t in_force, members;

	if (!state->present || state->max <= 0 || !parent->sums ||
	    !members_current(parent, resource, &in_force))
		return ceiling;
	members = MAX(parent->sums->values[MEMBER_LIMITED + resource], (int64_t)1);
	return MIN(ceiling, current + MAX(state->max - in_force, (int64_t)0) / members);
}

/* Documents written by others have it as text too. */
static bool is_kept_out(const struct structure *container)
{
	const json_t *reflex = json_object_get(container->doc, REFLEX_KEY);
	const char *text = json_string_value(reflex);

	return json_is_false(reflex) || (text && !strcmp(text, "false"));
}

int64_t headroom_ceiling(const struct model *model, const struct structure *container,
			 enum ebb_resource resource)
{
	const struct resource_state *state = &container->resources[resource];
	unsigned bit = 1u << resource;
	int64_t ceiling = state->max;

	/* Without a rule that raises it, nobody wants it raised. */
	if (!(model->guardian.guardable & bit) || !model->ruleset ||
	    !(model->ruleset->resources & bit))
		return 0;
	if (!container->guard || !container->live || !state->present || !state->guard ||
	    !state->has_boundary || state->allocated <= 0 || state->current <= 0 || state->max <= 0)
		return 0;
	if (container->operating & bit || container->subscription || is_kept_out(container))
		return 0;
	for (const struct structure *parent = hierarchy_parent(container); parent;
	     parent = hierarchy_parent(parent))
		ceiling = below_parent(parent, resource, state->current, ceiling);
	/* Also of one that has it all now: it is told again only with its next change. */
	return ceiling;
}

json_t *headroom_ceilings(const struct model *model, const struct host *host)
{
	json_t *ceilings = json_object();

	if (!leases(model, host))
		return ceilings;
	for (const struct structure *s = host->containers; s; s = s->host_next) {
		json_t *own = NULL;

		for (size_t i = 0; s->guard && i < ARRAY_SIZE(growing); i++) {
			int64_t ceiling = headroom_ceiling(model, s, growing[i]);

			if (!ceiling)
				continue;
			own = own ? own : json_object();
			json_object_set_new(own, ebb_resource_name(growing[i]),
					    json_integer(ceiling));
		}
		if (own)
			json_object_set_new(ceilings, s->name, own);
	}
	return ceilings;
}

int headroom_set_reflex(struct model *model, struct structure *structure, bool on)
{
	json_t *doc;

	if (structure->subtype != STRUCTURE_CONTAINER)
		return -EINVAL;
	doc = structure_own_doc(&structure->doc);
	if (!doc || json_object_set_new(doc, REFLEX_KEY, json_boolean(on)) < 0)
		return -ENOMEM;
	structure->automatic = false;
	model_touch(model, structure, MODEL_DIRTY_STRUCTURE);
	model_guard_changed(model, structure);
	return 0;
}
