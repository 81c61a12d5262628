/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshoter_structures.h"

#include <math.h>

#include "model_walk.h"
#include "ebb/cleanup.h"

/* A document is serialised for each that changed, when the lock is released: so many at once. */
#define CHANGES_PER_HOLD 8

double snapshoter_structures_limit(const struct structure *container, enum ebb_resource resource)
{
	const struct host *host = container->host;
	int64_t physical = container->physical[resource];

	if (container->gone)
		return NAN;
	if (physical >= 0)
		return (double)physical;
	if (physical == -1)
		return host && host->max[resource] > 0 ? (double)host->max[resource] : NAN;
	return container->resources[resource].current >= 0
		       ? (double)container->resources[resource].current
		       : NAN;
}

static double limit_in_force(void *userdata, struct structure *container,
			     enum ebb_resource resource)
{
	return snapshoter_structures_limit(container, resource);
}

/* What it may read and write together. True: it changed. */
static bool set_disk(struct structure *container)
{
	json_t *disk = json_object_get(json_object_get(container->doc, "resources"), "disk");
	const json_t *before = json_object_get(disk, "current");
	double current;

	if (!json_is_object(disk))
		return false;
	current = snapshoter_structures_limit(container, EBB_DISK_READ) +
		  snapshoter_structures_limit(container, EBB_DISK_WRITE);
	if (isnan(current) ? !before
			   : json_is_number(before) && json_number_value(before) == current)
		return false;
	if (isnan(current))
		json_object_del(disk, "current");
	else
		json_object_set_new(disk, "current", json_integer((json_int_t)current));
	return true;
}

static void set_disks(struct model *model, struct aggregate_result *result)
{
	struct structure *structure;
	struct model_walk walk;

	model_walk_begin(&walk, model);
	while (model_walk_piece(&walk)) {
		unsigned changed = 0;

		while (changed < CHANGES_PER_HOLD && (structure = model_walk_next(&walk))) {
			if (structure->subtype != STRUCTURE_CONTAINER || !model->leading ||
			    !set_disk(structure))
				continue;
			model_touch(model, structure, MODEL_DIRTY_STRUCTURE);
			changed++;
		}
		model_walk_release(&walk);
		result->changed += changed;
	}
	result->hold_s = MAX(result->hold_s, walk.hold.longest_s);
}

int snapshoter_structures_run(struct model *model,
			      const struct snapshoter_structures_config *config,
			      struct aggregate_result *ret_result)
{
	const unsigned both = 1u << EBB_DISK_READ | 1u << EBB_DISK_WRITE;
	const struct aggregate aggregate = {
		.field = "current",
		.resources = config->resources,
		.applications = config->structures & SERIES_APPLICATION,
		.users = config->structures & SERIES_USER,
		.empty_is_zero = true,
		.of_container = limit_in_force,
	};
	int r;

	*ret_result = (struct aggregate_result){};
	if (!config->structures)
		return 0;
	r = aggregate_run(model, &aggregate, ret_result);
	if (r >= 0 && (config->resources & both) == both)
		set_disks(model, ret_result);
	return r;
}
