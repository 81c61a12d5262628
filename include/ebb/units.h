/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Units. Edges (documents, HTTP, command line) speak the units operators know: CPU in shares
 * (100 = one core), memory in MiB, disk in MiB/s, network in Mbit/s, energy in W. Inside the agent:
 * nanoseconds and bytes.
 */
#ifndef EBB_UNITS_H
#define EBB_UNITS_H

#include <stdint.h>

enum ebb_resource {
	EBB_CPU,
	EBB_MEM,
	EBB_DISK_READ,
	EBB_DISK_WRITE,
	EBB_NET,
	EBB_ENERGY,
	EBB_RESOURCE_MAX,
	EBB_RESOURCE_INVALID = -1,
};

#define EBB_SHARES_PER_CORE 100
#define EBB_MIB             (1024ULL * 1024ULL)
#define EBB_NS_PER_SEC      1000000000ULL
#define EBB_NS_PER_MS       1000000ULL
#define EBB_NS_PER_US       1000ULL
/* The CFS period Ebb sets: with 100 ms one share is 1 ms of quota, the least the kernel takes. */
#define EBB_CFS_PERIOD_US 100000

/* "cpu", "mem", "disk_read", "disk_write", "net", "energy"; NULL when out of range. */
const char *ebb_resource_name(enum ebb_resource resource);
/* "Cpu", "Mem", "Disk_Read", ... as in event and request names (spec 2.9). */
const char *ebb_resource_title(enum ebb_resource resource);
/* "shares", "MiB", "MiB/s", "Mbit/s", "W". */
const char *ebb_resource_unit(enum ebb_resource resource);
/* EBB_RESOURCE_INVALID for an unknown name. */
enum ebb_resource ebb_resource_from_name(const char *name);

#endif
