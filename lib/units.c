/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "ebb/cleanup.h"
#include "ebb/units.h"

static const struct {
	const char *name, *title, *unit;
} resources[EBB_RESOURCE_MAX] = {
	[EBB_CPU] = {"cpu", "Cpu", "shares"},
	[EBB_MEM] = {"mem", "Mem", "MiB"},
	[EBB_DISK_READ] = {"disk_read", "Disk_Read", "MiB/s"},
	[EBB_DISK_WRITE] = {"disk_write", "Disk_Write", "MiB/s"},
	[EBB_NET] = {"net", "Net", "Mbit/s"},
	[EBB_ENERGY] = {"energy", "Energy", "W"},
};

static int in_range(enum ebb_resource resource)
{
	return (int)resource >= 0 && resource < EBB_RESOURCE_MAX;
}

const char *ebb_resource_name(enum ebb_resource resource)
{
	return in_range(resource) ? resources[resource].name : NULL;
}

const char *ebb_resource_title(enum ebb_resource resource)
{
	return in_range(resource) ? resources[resource].title : NULL;
}

const char *ebb_resource_unit(enum ebb_resource resource)
{
	return in_range(resource) ? resources[resource].unit : NULL;
}

enum ebb_resource ebb_resource_from_name(const char *name)
{
	for (size_t i = 0; name && i < ARRAY_SIZE(resources); i++)
		if (!strcmp(name, resources[i].name))
			return (enum ebb_resource)i;
	return EBB_RESOURCE_INVALID;
}
