/* SPDX-License-Identifier: Apache-2.0 */
/* The CPUs of hosts: which are there, and in which order their shares are handed out. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model_private.h"
#include "ebb/cleanup.h"

#define CPU_ID_MAX 65535

enum core_distribution model_core_distribution(const struct model *model, const struct host *host)
{
	enum core_distribution distribution = core_distribution_from_json(
		json_object_get(host->structure->doc, "core_distribution"));

	return distribution == CORES_MAX ? model->scaler.core_distribution : distribution;
}

bool model_pins_cores(const struct model *model, const struct host *host)
{
	return model->scaler.pin_cores && model_core_distribution(model, host) != CORES_NONE;
}

/* Also after a change of the service's configuration: when the next shares are handed out is soon
 * enough, and one host at a time. */
void host_order_cores(struct model *model, struct host *host)
{
	enum core_distribution distribution = model_core_distribution(model, host);
	const json_t *said = json_object_get(host->structure->doc, "core_distribution");
	bool wrong = said && core_distribution_from_json(said) == CORES_MAX;
	struct cpu_list order;

	if (wrong && !host->told_distribution)
		model_log(model, LOG_LEVEL_WARNING,
			  "The core_distribution of host %s is none of %s; the scaler's holds, "
			  "which is %s",
			  host->structure->name, core_distribution_names(),
			  core_distribution_name(distribution));
	host->told_distribution = wrong;
	if (host->ordered == distribution)
		return;
	host->ordered = distribution;
	/* Without a topology the cores stay in the order they have. */
	if (core_order(distribution, host->topology, host->nodes, &order) < 0)
		return;
	if (cpumap_reorder(host->cpumap, &order) < 0)
		host->ordered = CORES_MAX;
	else
		model_touch(model, host->structure, MODEL_DIRTY_STRUCTURE);
	cpu_list_clear(&order);
}

int model_set_core_distribution(struct model *model, struct structure *structure,
				enum core_distribution distribution)
{
	if (structure->subtype != STRUCTURE_HOST || distribution >= CORES_MAX)
		return -EINVAL;
	if (!structure->doc)
		structure->doc = json_object();
	if (json_object_set_new(structure->doc, "core_distribution",
				json_string(core_distribution_name(distribution))) < 0)
		return -ENOMEM;
	host_order_cores(model, structure->host);
	model_touch(model, structure, MODEL_DIRTY_STRUCTURE);
	return 0;
}

int registration_order(enum core_distribution distribution, const json_t *cpus,
		       const json_t *topology, const json_t *nodes, struct cpu_list *ret_order)
{
	struct cpu_list order = {};
	_cleanup_free_ bool *left = NULL; /* by id: there, and not in `all` yet */
	unsigned *all;
	size_t i, n = 0;
	json_t *item;

	if (json_array_size(cpus) == 0 || json_array_size(cpus) > CPU_ID_MAX + 1)
		return -EINVAL;
	json_array_foreach((json_t *)cpus, i, item)
		if (!json_is_integer(item) || json_integer_value(item) < 0 ||
		    json_integer_value(item) > CPU_ID_MAX)
			return -EINVAL;
	left = calloc(CPU_ID_MAX + 1, sizeof(*left));
	all = calloc(json_array_size(cpus), sizeof(*all));
	if (!left || !all) {
		free(all);
		return -ENOMEM;
	}
	if (core_order(distribution, topology, nodes, &order) < 0)
		order = (struct cpu_list){};
	json_array_foreach((json_t *)cpus, i, item)
		left[json_integer_value(item)] = true;
	for (i = 0; i < order.n; i++) {
		unsigned cpu = order.cpus[i];

		if (cpu <= CPU_ID_MAX && left[cpu]) {
			left[cpu] = false;
			all[n++] = cpu;
		}
	}
	json_array_foreach((json_t *)cpus, i, item) {
		unsigned cpu = (unsigned)json_integer_value(item);

		if (left[cpu]) {
			left[cpu] = false;
			all[n++] = cpu;
		}
	}
	cpu_list_clear(&order);
	*ret_order = (struct cpu_list){.cpus = all, .n = n};
	return 0;
}

int host_take_cores(struct model *model, struct host *host, const struct cpu_list *order)
{
	struct cpumap *map;
	int r;

	if (cpumap_has_cpus(host->cpumap, order))
		return cpumap_reorder(host->cpumap, order);
	r = cpumap_new(order, &map);
	if (r < 0)
		return r;
	return host_replace_cpumap(model, host, map);
}

int registration_set_cores(struct model *model, struct host *host, const json_t *cpus,
			   const json_t *topology)
{
	enum core_distribution distribution = model_core_distribution(model, host);
	struct cpu_list order;
	int r;

	r = registration_order(distribution, cpus, topology, host->nodes, &order);
	if (r < 0)
		return r;
	r = host_take_cores(model, host, &order);
	if (r >= 0)
		host->ordered = distribution;
	cpu_list_clear(&order);
	return r;
}

void model_cpus_reported(struct structure *structure, const char *cpus)
{
	if (cpus && structure->cpus && strcmp(cpus, structure->cpus) == 0)
		return;
	free(structure->cpus);
	structure->cpus = cpus ? strdup(cpus) : NULL;
}
