/* SPDX-License-Identifier: Apache-2.0 */
/* What others do to limits: hosts that boot, hands that write. */
#include <stdio.h>
#include <string.h>

#include "scaler_private.h"
#include "ebb/cleanup.h"
#include "ebb/loop.h"

bool scaler_is_outdated(const struct scaler *scaler, const struct structure *structure,
			uint64_t host_ns)
{
	const struct slot *slot = name_index_get(scaler->index, structure->name);

	return slot && host_ns <= slot->applied_ns && !slot_other_boot(slot, host_ns);
}

/* The cores a container runs on against those that the core map gives it. */
static bool cores_differ(const struct scaler *scaler, const struct structure *s,
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

	return value && json_to_int64(value, ret_found) == 0 &&
	       MAX(*ret_found, -1) != s->resources[resource].current;
}

/* Somebody who goes on writing is not fought at every turn. */
static void put_back(struct scaler *scaler, struct structure *s, int resource, int64_t found)
{
	const struct resource_state *state = &s->resources[resource];
	struct slot *slot = scaler_slot(scaler, s);
	uint64_t now = scaler_now_ns(scaler);

	if (!slot)
		return;
	if (now - slot->foreign_ns[resource] > FOREIGN_QUIET_NS)
		slot->foreign[resource] = 0;
	slot->foreign_ns[resource] = now;
	if (slot->foreign[resource]++)
		slot->apply_after_ns[resource] =
			now +
			backoff_ms(slot->foreign[resource] - 2, FOREIGN_FIRST_MS, FOREIGN_CAP_MS) *
				EBB_NS_PER_MS;
	if (scaler_worth_a_line(slot->foreign[resource]))
		model_log(scaler->model, LOG_LEVEL_WARNING,
			  "The %s limit of %s was changed by another hand, %lld to %lld %s or its "
			  "cores; it is put back (CHECK_CORE_MAP)",
			  ebb_resource_name(resource), s->name, (long long)state->current,
			  (long long)found, ebb_resource_unit(resource));
	model_apply(scaler->model, s, resource);
	scaler->stats.foreign++;
}

void scaler_limits_reported(struct scaler *scaler, struct structure *structure,
			    const json_t *limits, double at)
{
	unsigned foreign, busy = structure->in_flight | structure->apply;
	bool cores;

	for (int r = 0; r < EBB_RESOURCE_MAX && scaler->model->scaler.check_core_map; r++) {
		int64_t found = structure->resources[r].current;

		if (!structure->resources[r].present || structure->resources[r].allocated <= 0 ||
		    busy & 1u << r)
			continue;
		/* Not ours any more: the model adopts what it finds. */
		if (!structure->guard || !structure->resources[r].guard)
			continue;
		cores = r == EBB_CPU && cores_differ(scaler, structure, limits);
		structure->cores_put_back |= cores;
		if (cores || limit_differs(structure, r, limits, &found))
			put_back(scaler, structure, r, found);
	}
	/* What is to be put back is left alone there. */
	foreign = model_limits_reported(scaler->model, structure, limits);
	scaler->stats.foreign += (unsigned)__builtin_popcount(foreign);
	for (int r = 0; r < EBB_RESOURCE_MAX; r++)
		if (foreign & 1u << r && structure->guard_state)
			guard_state_limit_changed(structure->guard_state, r, at, false);
}
