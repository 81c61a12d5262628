/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading and writing a container's limits through one interface; cgroup_v1.c and cgroup_v2.c
 * behind it. Equal writes are skipped, every write is read back. Growth is applied before shrinking
 * order matters: a cpuset is widened before the quota and narrowed after it.
 */
#ifndef EBB_LIMITS_H
#define EBB_LIMITS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "container.h"

/* Agent units: nanoseconds and bytes per second; LIMIT_NONE: unlimited. */
#define LIMIT_NONE UINT64_MAX

struct cpu_limits {
	uint64_t quota_us; /* per period */
	uint64_t period_us;
	char cpus[1024];           /* configured cpuset, "0-1,4"; "" inherits */
	char effective_cpus[1024]; /* what the kernel grants */
	unsigned n_effective;
};

struct disk_limits {
	dev_t device;
	uint64_t read_bps, write_bps;
};

struct limits {
	bool has_cpu, has_cpuset, has_mem, has_disk; /* the controller exists for this container */
	struct cpu_limits cpu;
	uint64_t mem_bytes;
	struct disk_limits disk;
};

/* `device`: whose bandwidth to read; 0: leave disk out. Negative errno when the cgroup has gone
 * (-ENODEV or -ENOENT). */
int limits_read(const struct hierarchies *hierarchies, const struct container *container,
		dev_t device, struct limits *ret_limits);

/* Each writes, reads back and returns 0; -EBUSY, -EINVAL, -ENOENT, ... and, when the value read
 * back differs, -EREMOTEIO. */
int limits_write_quota(const struct hierarchies *hierarchies, const struct container *container,
		       uint64_t quota_us);
int limits_write_cpus(const struct hierarchies *hierarchies, const struct container *container,
		      const char *cpus);
/* May block while the kernel reclaims: never from the loop when it lowers the limit (shrink.h). */
int limits_write_mem(const struct hierarchies *hierarchies, const struct container *container,
		     uint64_t bytes);
int limits_write_disk(const struct hierarchies *hierarchies, const struct container *container,
		      dev_t device, bool write, uint64_t bps);

/* What cgroup_v1.c and cgroup_v2.c each offer; pure parsing and formatting is exposed for the unit
 * tests. */
struct cgroup_ops {
	int (*read_cpu)(const struct container *container, struct cpu_limits *ret_cpu);
	int (*read_cpuset)(const struct container *container, struct cpu_limits *ret_cpu);
	int (*read_mem)(const struct container *container, uint64_t *ret_bytes);
	int (*read_disk)(const struct container *container, dev_t device,
			 struct disk_limits *ret_disk);
	int (*write_quota)(const struct container *container, uint64_t quota_us);
	int (*write_cpus)(const struct container *container, const char *cpus);
	int (*write_mem)(const struct container *container, uint64_t bytes);
	int (*write_disk)(const struct container *container, dev_t device, bool write,
			  uint64_t bps);
};
extern const struct cgroup_ops cgroup_v1_ops, cgroup_v2_ops;

#endif
