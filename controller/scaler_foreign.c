/* SPDX-License-Identifier: Apache-2.0 */
/* What others do to limits: hosts that boot, hands that write. */
#include <stdio.h>
#include <string.h>

#include "drift.h"
#include "scaler_private.h"
#include "ebb/cleanup.h"
#include "ebb/loop.h"

bool scaler_is_outdated(const struct scaler *scaler, const struct structure *structure,
			uint64_t host_ns)
{
	const struct slot *slot = name_index_get(scaler->index, structure->name);

	return slot && host_ns <= slot->applied_ns && !slot_other_boot(slot, host_ns);
}

bool scaler_cores_differ(const struct scaler *scaler, const struct structure *s,
			 const json_t *limits)
{
	const char *text = json_string_value(json_object_get(limits, "cpus"));
	const struct host *host = s->host;
	struct cpu_list found = {0}, wanted = {0};
	bool differ = false;

	if (!text || !host || !host->cpumap || !model_pins_cores(scaler->model, host) ||
	    cpumap_cpus(host->cpumap, s->name, &wanted) < 0)
		return false;
	if (wanted.n && cpu_list_parse(text, &found) == 0) {
		differ = found.n != wanted.n;
		for (size_t i = 0; i < wanted.n && !differ; i++)
			differ = !cpu_list_contains(&found, wanted.cpus[i]);
	}
	cpu_list_clear(&found);
	cpu_list_clear(&wanted);
	return differ;
}

static bool limit_differs(const struct structure *s, int resource, const json_t *limits,
			  int64_t *ret_found)
{
	const json_t *value = json_object_get(limits, ebb_resource_name(resource));
	int64_t found;

	if (!value || json_to_int64(value, &found) < 0)
		return false;
	*ret_found = MAX(found, (int64_t)-1);
	return *ret_found != s->resources[resource].current;
}

/*
 * Somebody who goes on writing is not fought at every turn: the next order of this resource waits
 * for ever longer. Returns how often it was so without a quiet minute after the last order.
 */
static unsigned pace(struct scaler *scaler, struct slot *slot, int resource)
{
	uint64_t now = scaler_now_ns(scaler);
	uint64_t last = MAX(slot->foreign_ns[resource], slot->apply_after_ns[resource]);

	if (now > last && now - last > FOREIGN_QUIET_NS)
		slot->foreign[resource] = 0;
	slot->foreign_ns[resource] = now;
	if (slot->foreign[resource]++)
		slot->apply_after_ns[resource] =
			now +
			backoff_ms(slot->foreign[resource] - 2, FOREIGN_FIRST_MS, FOREIGN_CAP_MS) *
				EBB_NS_PER_MS;
	return slot->foreign[resource];
}

static void record(struct scaler *scaler, const struct structure *s,
		   const struct drift_found *found, enum drift done, const char *text)
{
	static const char *const outcomes[DRIFT_MAX] = {
		[DRIFT_REASSERT] = "reasserted",
		[DRIFT_ACCEPT] = "accepted",
		[DRIFT_MANUAL] = "manual",
	};
	const struct resource_state *state = &s->resources[found->resource];
	struct decision decision;

	decision_init(&decision);
	decision.at = scaler_wall(scaler);
	snprintf(decision.structure, sizeof(decision.structure), "%s", s->name);
	snprintf(decision.subtype, sizeof(decision.subtype), "%s",
		 structure_subtype_name(s->subtype));
	snprintf(decision.host, sizeof(decision.host), "%s", s->host_name ?: "");
	snprintf(decision.origin, sizeof(decision.origin), "drift");
	snprintf(decision.field, sizeof(decision.field), "current");
	decision.resource = found->resource;
	decision.usage = state->usage;
	decision.throttled = s->throttled;
	decision.current = found->was;
	decision.upper = state->upper;
	decision.lower = state->lower;
	decision.min = state->min;
	decision.max = state->max;
	decision.requested = MAX(found->found, (int64_t)0) - MAX(found->was, (int64_t)0);
	if (done != DRIFT_MANUAL)
		decision.planned = done == DRIFT_ACCEPT ? found->found : found->was;
	scaler_record(scaler, &decision, outcomes[done], text);
	scaler->stats.drift[done]++;
}

/* Model and record say the same, and nothing is ordered. False: no memory, and it stays guarded. */
static bool set_manual(struct scaler *scaler, struct structure *s, const struct drift_found *found,
		       unsigned tries)
{
	char text[sizeof(((struct decision *)NULL)->reason)];
	size_t len;

	drift_text(found, text, sizeof(text));
	len = strlen(text);
	if (tries && len < sizeof(text))
		snprintf(text + len, sizeof(text) - len, ", again after it was put back%s",
			 tries == 2 ? "" : " many times");
	if (drift_set_manual(scaler->model, s, text) < 0)
		return false;
	scaler_unguarded(scaler, s);
	model_log(scaler->model, LOG_LEVEL_WARNING,
		  "%s is set to manual: its %s. Guard it again when its limits are Ebb's to set",
		  s->name, text);
	record(scaler, s, found, DRIFT_MANUAL, text);
	return true;
}

/* Has it been so too often in a row, and is the container left alone from now on? */
static bool given_up(struct scaler *scaler, struct slot *slot, struct structure *s,
		     const struct drift_found *found, unsigned times)
{
	unsigned most = scaler->model->scaler.drift_tries;

	if (!most || times <= most || s->operating & 1u << found->resource ||
	    !set_manual(scaler, s, found, times))
		return false;
	slot->foreign[found->resource] = 0;
	slot->apply_after_ns[found->resource] = 0;
	return true;
}

static void put_back(struct scaler *scaler, struct structure *s, const struct drift_found *found)
{
	struct slot *slot = scaler_slot(scaler, s);
	char text[sizeof(((struct decision *)NULL)->reason)];
	unsigned times;

	if (!slot)
		return;
	times = pace(scaler, slot, found->resource);
	if (given_up(scaler, slot, s, found, times))
		return;
	s->cores_put_back |= found->cores;
	drift_text(found, text, sizeof(text));
	if (scaler_worth_a_line(times))
		model_log(scaler->model, LOG_LEVEL_WARNING, "%s: %s; it is put back (DRIFT)",
			  s->name, text);
	record(scaler, s, found, DRIFT_REASSERT, text);
	model_apply(scaler->model, s, found->resource);
	scaler->stats.foreign++;
}

/* It becomes the limit on record, and what is above its max, or the host has not, is cut. */
static void accept(struct scaler *scaler, struct structure *s, const struct drift_found *found)
{
	const struct resource_state *state = &s->resources[found->resource];
	struct slot *slot = scaler_slot(scaler, s);
	char text[sizeof(((struct decision *)NULL)->reason)];
	bool fits = (state->max <= 0 || found->found <= state->max) &&
		    found->found - state->allocated <=
			    MAX(model_free_for(s, found->resource), (int64_t)0);

	/* Cutting is an order, too. */
	if (!fits && slot && given_up(scaler, slot, s, found, pace(scaler, slot, found->resource)))
		return;
	drift_text(found, text, sizeof(text));
	record(scaler, s, found, DRIFT_ACCEPT, text);
}

/* A guarded limit, or the cores, are others than on record. */
static void drifted(struct scaler *scaler, struct structure *s, const struct drift_found *found)
{
	enum drift policy = drift_policy(scaler->model, s);

	/* Half of an operation may be in force: that is gone back on, whatever the policy. */
	if (s->operating & 1u << found->resource)
		policy = DRIFT_REASSERT;
	/* Cores are the core map's to give: there is nothing of them to accept. */
	if (policy == DRIFT_ACCEPT && found->was == found->found)
		return;
	if (policy == DRIFT_MANUAL && set_manual(scaler, s, found, 0))
		return;
	if (policy == DRIFT_ACCEPT && found->found > 0 &&
	    found->found >= resource_least(found->resource))
		accept(scaler, s, found);
	else
		put_back(scaler, s, found);
}

void scaler_limits_reported(struct scaler *scaler, struct structure *structure,
			    const json_t *limits, double at)
{
	unsigned foreign, busy = structure->in_flight | structure->apply;

	for (int r = 0; r < EBB_RESOURCE_MAX; r++) {
		struct drift_found found = {
			.resource = r,
			.was = structure->resources[r].current,
			.found = structure->resources[r].current,
			.by = json_object_get(limits, "by"),
		};

		if (!structure->resources[r].present || structure->resources[r].allocated <= 0 ||
		    busy & 1u << r)
			continue;
		/* Not ours any more: the model adopts what it finds. */
		if (!structure->guard || !structure->resources[r].guard)
			continue;
		found.cores = r == EBB_CPU && scaler_cores_differ(scaler, structure, limits);
		if (limit_differs(structure, r, limits, &found.found) || found.cores)
			drifted(scaler, structure, &found);
	}
	/* What is to be put back is left alone there. */
	foreign = model_limits_reported(scaler->model, structure, limits);
	scaler->stats.foreign += (unsigned)__builtin_popcount(foreign);
	for (int r = 0; r < EBB_RESOURCE_MAX; r++)
		if (foreign & 1u << r && structure->guard_state)
			guard_state_limit_changed(structure->guard_state, r, at, false);
}
