/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts and containers as their agents register them (docs/feed.md). */
#include "model.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "boundaries.h"
#include "disks.h"
#include "labels.h"
#include "member_sums.h"
#include "model_private.h"
#include "ebb/cleanup.h"

#define NAME_LEN_MAX 255

/* Doubles hold integers exactly up to here: 8 PiB. */
#define EXACT_MAX 9007199254740992.0

#define FIRST_BOUNDARY 10

static int64_t first_min(enum ebb_resource resource)
{
	switch (resource) {
	case EBB_CPU: return 20;
	case EBB_MEM: return 64;
	default: return 1;
	}
}

/* --- hosts --- */

/* host_rescaler_ip and host_rescaler_port, as the original's tools look for them. */
static void set_rescaler(struct structure *structure, json_t *ip, json_t *port)
{
	json_t *doc = structure_own_doc(&structure->doc);

	json_object_set(doc, "host_rescaler_ip", ip);
	json_object_set(doc, "host_rescaler_port", port);
}

/* A new one shares them with another of its host that has nothing else: 0.4 KiB of each. */
static void share_rescaler(struct structure *structure, const struct host *host)
{
	json_t *ip = json_object_get(host->structure->doc, "host_rescaler_ip");
	json_t *port = json_object_get(host->structure->doc, "host_rescaler_port");
	const struct structure *other = host->containers;

	if (other && json_object_size(other->doc) == 2 &&
	    json_object_get(other->doc, "host_rescaler_ip") == ip &&
	    json_object_get(other->doc, "host_rescaler_port") == port && ip && port)
		structure->doc = json_incref(other->doc);
	else
		set_rescaler(structure, ip, port);
}

/* True: it is new. */
bool model_set_address(struct model *model, struct host *host, const char *address)
{
	_cleanup_json_ json_t *ip = NULL, *port = NULL;
	const char *rest = strncmp(address, "http://", 7) == 0 ? address + 7 : address;
	const char *colon = strrchr(rest, ':');

	if (host->address && strcmp(host->address, address) == 0)
		return false;
	free(host->address);
	host->address = strdup(address);
	if (rest != address && colon) {
		ip = json_stringn(rest, (size_t)(colon - rest));
		port = json_string(colon + 1);
	} else {
		ip = json_string(address);
		port = json_string("");
	}
	set_rescaler(host->structure, ip, port);
	model_touch(model, host->structure, MODEL_DIRTY_STRUCTURE);
	for (struct structure *s = host->containers; s; s = s->host_next) {
		set_rescaler(s, ip, port);
		model_touch(model, s, MODEL_DIRTY_STRUCTURE);
	}
	return true;
}

static int find_or_add_host(struct model *model, const char *name, struct host **ret_host)
{
	struct structure *structure = model_structure(model, name);
	int r;

	if (structure && structure->subtype != STRUCTURE_HOST) {
		model_log(
			model, LOG_LEVEL_WARNING,
			"A host registers as %s, which is the name of a %s: give the agent another "
			"one with --name",
			name, structure_subtype_name(structure->subtype));
		return -EEXIST;
	}
	if (!structure) {
		structure = structure_new(name, STRUCTURE_HOST);
		if (!structure)
			return -ENOMEM;
		structure->doc = json_pack("{s:s}", "host", name);
		structure->automatic = true;
		r = model_add(model, structure);
		if (r < 0) {
			structure_free(structure);
			return r;
		}
	}
	*ret_host = structure->host;
	return 0;
}

int model_register_host(struct model *model, const json_t *message, struct host **ret_host)
{
	const char *name = json_string_value(json_object_get(message, "host"));
	const json_t *registration = json_object_get(message, "register");
	const json_t *grown = json_object_get(registration, "grown");
	const char *address = json_string_value(json_object_get(registration, "address"));
	json_t *topology = json_object_get(registration, "topology");
	json_t *nodes = json_object_get(registration, "numa");
	struct host *host = name ? model_host(model, name) : NULL;
	enum core_distribution distribution =
		host ? model_core_distribution(model, host) : model->scaler.core_distribution;
	struct cpu_list order;
	double mem, period_ms;
	int r;

	if (!name || !name_is_sane(name, NAME_LEN_MAX) || !address || !*address ||
	    json_to_double(json_object_get(registration, "mem"), &mem) < 0 || mem < EBB_MIB ||
	    mem > EXACT_MAX)
		return -EINVAL;
	r = registration_order(distribution, json_object_get(registration, "cpus"), topology, nodes,
			       &order);
	if (r < 0)
		return r;
	r = find_or_add_host(model, name, &host);
	if (r >= 0)
		r = host_take_cores(model, host, &order);
	cpu_list_clear(&order);
	if (r < 0)
		return r;

	for (struct structure *s = host->containers; s; s = s->host_next)
		s->live = false;
	if (host->max[EBB_MEM] != (int64_t)(mem / EBB_MIB)) {
		host->max[EBB_MEM] = (int64_t)(mem / EBB_MIB);
		host_settle(model, host, EBB_MEM);
	}
	json_decref(host->topology);
	host->topology = json_incref(topology);
	json_decref(host->nodes);
	host->nodes = json_incref(nodes);
	host->ordered = distribution;
	if (json_to_double(json_object_get(registration, "period_ms"), &period_ms) == 0)
		host->period = CLAMP(period_ms, 1, 60000) / 1e3;
	host->reflex = json_is_integer(grown);
	/* The limits that it tells are from after that. */
	host->grown = (uint64_t)MAX(json_integer_value(grown), (json_int_t)0);
	host->registered_ns =
		(uint64_t)MAX(json_integer_value(json_object_get(message, "now")), (json_int_t)0);
	host_save_document(host);
	model_agent_takes_over(model, host, address);
	if (model_set_address(model, host, address))
		model_log(model, LOG_LEVEL_INFO, "Host %s at %s: %lld shares, %lld MiB", name,
			  address, (long long)host->max[EBB_CPU], (long long)host->max[EBB_MEM]);
	*ret_host = host;
	return 0;
}

/* --- containers --- */

void registration_first_range(const struct host *host, struct resource_state *state,
			      enum ebb_resource resource, int64_t limit)
{
	state->max = host->max[resource];
	if (limit > 0 && (state->max <= 0 || limit < state->max))
		state->max = limit;
	state->min = first_min(resource);
	if (state->max > 0)
		state->min = MIN(state->min, state->max);
}

void registration_first_resource(const struct host *host, struct structure *structure,
				 enum ebb_resource resource, int64_t limit, bool limitable)
{
	struct resource_state *state = &structure->resources[resource];

	state->present = true;
	registration_first_range(host, state, resource, limit);
	/* Of a disk or a network nobody knows what it can do: guarding it is for the operator to
	 * begin. */
	state->guard = limitable && (resource == EBB_CPU || resource == EBB_MEM);
	state->has_boundary = true;
	state->boundary = FIRST_BOUNDARY;
	state->boundary_type = BOUNDARY_PERCENTAGE_OF_CURRENT;
}

static int add_container(struct model *model, struct host *host, const char *name,
			 const json_t *limits, struct structure **ret_structure)
{
	static const enum ebb_resource resources[] = {EBB_CPU, EBB_MEM, EBB_DISK_READ,
						      EBB_DISK_WRITE, EBB_NET};
	struct structure *structure = structure_new(name, STRUCTURE_CONTAINER);
	int r = -ENOMEM;

	if (!structure)
		return r;
	structure->automatic = true;
	structure->host_name = strdup(host->structure->name);
	for (size_t i = 0; i < ARRAY_SIZE(resources); i++) {
		const json_t *value = json_object_get(limits, ebb_resource_name(resources[i]));
		bool limitable = value != NULL;
		int64_t limit = -1;

		if (limitable)
			(void)json_to_int64(value, &limit);
		/* Every container has CPU and memory, if the host can limit them or not. */
		if (limitable || resources[i] == EBB_CPU || resources[i] == EBB_MEM)
			registration_first_resource(host, structure, resources[i], limit,
						    limitable);
	}
	share_rescaler(structure, host);
	if (structure->host_name)
		r = model_add(model, structure);
	if (r < 0) {
		structure_free(structure);
		return r;
	}
	*ret_structure = structure;
	return 0;
}

/* A known one reports: is it ours to take, from this host? */
static int claim_container(struct model *model, struct host *host, struct structure *structure)
{
	struct host *before = structure->host;
	char *name;

	if (structure->subtype != STRUCTURE_CONTAINER ||
	    (before && before != host && structure->live && before->connected)) {
		model_log(
			model, LOG_LEVEL_WARNING,
			"%s on host %s gets another name, or is left out: the name is that of %s%s",
			structure->name, host->structure->name,
			structure->subtype != STRUCTURE_CONTAINER
				? structure_subtype_name(structure->subtype)
				: "a container on host ",
			before && structure->subtype == STRUCTURE_CONTAINER
				? before->structure->name
				: "");
		return -EEXIST;
	}
	if (before == host)
		return 0;
	name = strdup(host->structure->name);
	if (!name)
		return -ENOMEM;
	/* Also what its document says it holds of a host whose own document is not there. */
	accounting_release(model, structure);
	structure->gone |= structure->held != 0 || before;
	/* What is under way is for the other host, and ends as if it had gone. */
	structure->in_flight = structure->operating = structure->grown_meanwhile = 0;
	disks_unbind(model, structure);
	host_detach(structure);
	free(structure->host_name);
	structure->host_name = name;
	host_attach(host, structure);
	set_rescaler(structure, json_object_get(host->structure->doc, "host_rescaler_ip"),
		     json_object_get(host->structure->doc, "host_rescaler_port"));
	model_touch(model, structure, MODEL_DIRTY_STRUCTURE);
	return 0;
}

/*
 * Shares for what is guarded, or gave them back when it went, and holds none. `keep_current`: what
 * came back is another cgroup, whose limits say nothing; those of the document hold.
 */
static void settle_container(struct model *model, struct structure *structure, bool keep_current)
{
	if (structure->held)
		model_touch(model, structure, MODEL_DIRTY_STRUCTURE);
	for (int i = 0; i < EBB_RESOURCE_MAX; i++) {
		struct resource_state *state = &structure->resources[i];
		bool wanted = structure->held & 1u << i || (structure->guard && state->guard);
		_cleanup_free_ char *error = NULL;

		if (!wanted || !state->present || state->allocated > 0 || state->max <= 0)
			continue;
		if (accounting_take(model, structure, i, keep_current, &error) >= 0)
			continue;
		model_log(model, LOG_LEVEL_WARNING,
			  "%s has no %s limit from here, guard it again later: %s", structure->name,
			  ebb_resource_name(i), error ? error : "?");
		accounting_set_current(model, structure, i, MAX(structure->physical[i], -1));
	}
	structure->held = 0;
}

/*
 * Growths that were settled are told again by an agent that has not heard so: by their numbers they
 * are known. One that was started anew numbers from where it is; one whose host has booted, from
 * lower on. And while an order is under way, what is registered is what its answer is held against,
 * as a growth is: an agent that has been started anew knows of none.
 */
static void keep_growths(const struct host *host, struct structure *structure, bool same,
			 const json_t *limits)
{
	for (size_t i = 0; i < ARRAY_SIZE(structure->grown); i++) {
		const json_t *value = json_object_get(limits, ebb_resource_name(i));
		unsigned bit = 1u << i;
		int64_t limit;

		if (same && structure->in_flight & ~structure->operating & bit && value &&
		    json_to_int64(value, &limit) >= 0 && limit > 0) {
			structure->grown_meanwhile |= bit;
			structure->grown[i].to = limit;
			structure->grown[i].number = host->registered_ns;
		} else if (!same || structure->grown[i].number > host->grown) {
			memset(&structure->grown[i], 0, sizeof(structure->grown[i]));
		}
	}
}

int model_register_container(struct model *model, struct host *host, const json_t *added,
			     struct structure **ret_structure)
{
	const char *name = json_string_value(json_object_get(added, "name"));
	const json_t *limits = json_object_get(added, "limits");
	struct structure *structure;
	bool came_back, same;
	int r;

	if (!structure_name_is_sane(name))
		return -EINVAL;
	structure = model_structure(model, name);
	same = structure && structure->host == host && !structure->gone;
	if (structure)
		r = claim_container(model, host, structure);
	else
		r = add_container(model, host, name, limits, &structure);
	if (r < 0)
		return r;

	came_back = structure->gone;
	structure->gone = false;
	structure->live = true;
	for (int i = 0; i < EBB_RESOURCE_MAX; i++)
		structure->physical[i] = INT64_MIN;
	keep_growths(host, structure, same, limits);
	model_limits_reported(model, structure, limits);
	labels_take(model, structure, added);
	if (came_back && structure->guard_state) {
		guard_state_free(structure->guard_state);
		structure->guard_state = guard_state_new();
	}
	settle_container(model, structure, came_back);
	if (structure->guard)
		model_guard_changed(model, structure);
	*ret_structure = structure;
	return 0;
}

int model_start_anew(struct model *model, struct structure *structure,
		     struct structure **ret_structure)
{
	_cleanup_free_ char *name = strdup(structure->name);
	_cleanup_json_ json_t *limits = json_object(), *added = NULL;
	struct host *host = structure->host;
	struct structure *again;
	int r;

	for (int i = 0; i < EBB_RESOURCE_MAX; i++)
		if (structure->physical[i] != INT64_MIN)
			json_object_set_new(limits, ebb_resource_name(i),
					    json_integer(structure->physical[i]));
	if (structure->pinnable)
		json_object_set_new(limits, "cpus", json_string(""));
	if (name && limits)
		added = json_pack("{s:s, s:O}", "name", name, "limits", limits);
	model_remove(model, structure);
	r = added ? model_register_container(model, host, added, &again) : -ENOMEM;
	if (r >= 0 && ret_structure)
		*ret_structure = again;
	return r;
}

void model_container_gone(struct model *model, struct structure *structure)
{
	if (structure->automatic && !structure->guard) {
		model_remove(model, structure);
		return;
	}
	accounting_release(model, structure);
	structure->live = false;
	structure->gone = true;
	structure->in_flight = structure->operating = structure->grown_meanwhile = 0;
	members_silent(model, structure);
	for (int i = 0; i < EBB_RESOURCE_MAX; i++) {
		structure->physical[i] = INT64_MIN;
		structure->resources[i].usage = NAN;
	}
	if (structure->guard)
		model_guard_changed(model, structure);
	model_touch(model, structure, MODEL_DIRTY_STRUCTURE);
}

void model_host_registered(struct model *model, struct host *host)
{
	for (struct structure *s = host->containers, *next; s; s = next) {
		next = s->host_next;
		if (!s->live && !s->gone)
			model_container_gone(model, s);
	}
}
