/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container's limits as the API shows them: spec section 4, in edge units. Pure.
 */
#ifndef EBB_RESOURCES_H
#define EBB_RESOURCES_H

#include <jansson.h>

#include "host.h"
#include "limits.h"
#include "shrink_ladder.h"
#include "ebb/units.h"

/* Edge units, -1 for unlimited. By weight the shares that the weight stands for. */
double limits_shares(const struct cpu_limits *cpu);
double limits_mib(uint64_t bytes);
/* The configured list, or what the kernel grants where none is configured. */
const char *limits_cpus(const struct limits *limits);

/* LIMIT_NONE is -1. */
double limits_mbit(uint64_t bytes_per_s);

/* What a full read shows. */
#define RESOURCES_ALL \
	(1U << EBB_CPU | 1U << EBB_MEM | 1U << EBB_DISK_READ | 1U << EBB_DISK_WRITE | 1U << EBB_NET)

/*
 * Adds "pressure": {"some_s","full_s"}, seconds in total in which some task or all of them waited,
 * to cpu, mem and both disks of `resources`, where it has been read.
 */
void resources_add_pressure(json_t *resources, const struct container *container);
/*
 * {"cpu":{...},"mem":{...},...} of the resources in `wanted` (1 << enum ebb_resource). A resource
 * that is wanted but cannot be limited here is {}. New reference; NULL on no memory.
 */
json_t *resources_to_json(const struct limits *limits, const struct host *host, unsigned wanted);
/* [{"rung":"reclaim","mib":96.0,"ms":34.0,"times":3,"why":"..."},...]. New reference. */
json_t *resources_steps_to_json(const struct shrink_steps *steps);

#endif
