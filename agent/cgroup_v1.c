/* SPDX-License-Identifier: Apache-2.0 */
/* Limits on cgroup v1: files of their own per value, and ordering rules that v2 no longer has. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/units.h"
#include "ebb/util.h"
#include "limits.h"

static int open_parent(int fd)
{
	int parent = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return parent < 0 ? -errno : parent;
}

static int write_u64(int fd, const char *file, uint64_t value)
{
	char text[24];

	if (value == LIMIT_NONE)
		return cgroup_write(fd, file, "-1");
	snprintf(text, sizeof(text), "%" PRIu64, value);
	return cgroup_write(fd, file, text);
}

static int read_bandwidth(int fd, uint64_t *ret_quota_us, uint64_t *ret_period_us)
{
	char text[24];
	uint64_t quota = LIMIT_NONE, period;

	ssize_t n = cgroup_read(fd, "cpu.cfs_quota_us", text, sizeof(text));
	if (n < 0)
		return (int)n;
	int r = text[0] == '-' ? 0 : parse_u64(text, &quota);
	if (r < 0)
		return r;
	r = cgroup_read_u64(fd, "cpu.cfs_period_us", &period);
	if (r < 0)
		return r;
	*ret_quota_us = quota;
	*ret_period_us = period;
	return 0;
}

static int v1_read_cpu(const struct container *container, struct cpu_limits *ret_cpu)
{
	return read_bandwidth(container->dir_fds[CGROUP_CPU], &ret_cpu->quota_us,
			      &ret_cpu->period_us);
}

/*
 * Each write alone must leave quota/period no larger than the parent's ratio (__cfs_schedulable()
 * in kernel/sched/core.c). This order's middle state is never above both the old and the new ratio.
 */
static int write_bandwidth(int fd, uint64_t old_quota, uint64_t old_period, uint64_t quota,
			   uint64_t period)
{
	int r;

	if (period == old_period)
		return write_u64(fd, "cpu.cfs_quota_us", quota);
	if (old_quota == LIMIT_NONE || period > old_period) {
		r = write_u64(fd, "cpu.cfs_period_us", period);
		return r < 0 ? r : write_u64(fd, "cpu.cfs_quota_us", quota);
	}
	r = write_u64(fd, "cpu.cfs_quota_us", quota);
	return r < 0 ? r : write_u64(fd, "cpu.cfs_period_us", period);
}

/* A cgroup without a quota inherits its parent's ratio: always valid, for a moment too generous. */
static int write_bandwidth_via_unlimited(int fd, uint64_t quota, uint64_t period)
{
	int r = write_u64(fd, "cpu.cfs_quota_us", LIMIT_NONE);
	if (r == 0)
		r = write_u64(fd, "cpu.cfs_period_us", period);
	if (r == 0 && quota != LIMIT_NONE)
		r = write_u64(fd, "cpu.cfs_quota_us", quota);
	return r;
}

static void explain_quota(const struct container *container, uint64_t quota_us)
{
	int fd = container->dir_fds[CGROUP_CPU];
	uint64_t quota, period, burst;

	_cleanup_close_ int parent = open_parent(fd);
	if (parent >= 0 && read_bandwidth(parent, &quota, &period) == 0 && quota != LIMIT_NONE &&
	    period > 0 && quota_us / (double)EBB_CFS_PERIOD_US > quota / (double)period)
		log_warning(
			"a quota of %.2f cores for %s is more than its parent cgroup has, %.2f: "
			"raise the parent's first (cgroup v1 allows no child above its parent)",
			quota_us / (double)EBB_CFS_PERIOD_US, container->name,
			quota / (double)period);
	else if (cgroup_read_u64(fd, "cpu.cfs_burst_us", &burst) == 0 && burst > quota_us)
		log_warning("a quota of %" PRIu64 " us for %s is less than its cpu.cfs_burst_us, "
			    "%" PRIu64 ": lower that first",
			    quota_us, container->name, burst);
	else
		log_warning(
			"the kernel refuses a quota of %.2f cores for %s: a cgroup nested in it "
			"has more (cgroup v1 allows no child above its parent)",
			quota_us / (double)EBB_CFS_PERIOD_US, container->name);
}

static int v1_write_quota(const struct container *container, uint64_t quota_us)
{
	int fd = container->dir_fds[CGROUP_CPU];
	uint64_t old_quota, old_period, quota, period;

	int r = read_bandwidth(fd, &old_quota, &old_period);
	if (r < 0)
		return r;
	period = quota_us == LIMIT_NONE ? old_period : EBB_CFS_PERIOD_US;
	if (old_quota == quota_us && old_period == period)
		return 0;

	r = write_bandwidth(fd, old_quota, old_period, quota_us, period);
	/* The middle state may still be less than a nested cgroup has. */
	if (r == -EINVAL && period != old_period)
		r = write_bandwidth_via_unlimited(fd, quota_us, period);
	if (r < 0) {
		if (period != old_period)
			write_bandwidth_via_unlimited(fd, old_quota, old_period);
		if (r == -EINVAL)
			explain_quota(container, quota_us);
		return r;
	}

	r = read_bandwidth(fd, &quota, &period);
	if (r < 0)
		return r;
	return quota != quota_us || (quota_us != LIMIT_NONE && period != EBB_CFS_PERIOD_US)
		       ? -EREMOTEIO
		       : 0;
}

#define CPUSET_DEPTH_MAX 64

static int v1_read_cpuset(const struct container *container, struct cpu_limits *ret_cpu)
{
	int fd = container->dir_fds[CGROUP_CPUSET];
	char cpus[LIMIT_CPUS_TEXT], effective[LIMIT_CPUS_TEXT];

	ssize_t n = cgroup_read(fd, "cpuset.cpus", cpus, sizeof(cpus));
	if (n < 0)
		return (int)n;
	n = cgroup_read(fd, "cpuset.effective_cpus", effective, sizeof(effective));
	if (n < 0)
		return (int)n;

	/* A cpuset that nobody filled holds no task: what runs elsewhere has an ancestor's CPUs. */
	_cleanup_close_ int above = -1;
	for (int depth = 0; n == 0 && depth < CPUSET_DEPTH_MAX; depth++) {
		int parent = open_parent(above < 0 ? fd : above);
		if (parent < 0)
			return parent;
		if (above >= 0)
			close(above);
		above = parent;
		n = cgroup_read(above, "cpuset.effective_cpus", effective, sizeof(effective));
		if (n < 0)
			return (int)n;
	}

	memcpy(ret_cpu->cpus, cpus, sizeof(cpus));
	memcpy(ret_cpu->effective_cpus, effective, sizeof(effective));
	return 0;
}

/*
 * A fresh v1 cpuset has neither CPUs nor memory nodes, takes no task, and caps its children to
 * nothing. Fills `file` from the nearest ancestor that has a value; the root always has.
 */
static int inherit(int fd, const char *file, int depth)
{
	char text[LIMIT_CPUS_TEXT];

	ssize_t n = cgroup_read(fd, file, text, sizeof(text));
	if (n != 0)
		return n < 0 ? (int)n : 0;
	if (depth == 0)
		return -ELOOP;

	_cleanup_close_ int parent = open_parent(fd);
	if (parent < 0)
		return parent;
	int r = inherit(parent, file, depth - 1);
	if (r < 0)
		return r;
	n = cgroup_read(parent, file, text, sizeof(text));
	return n < 0 ? (int)n : cgroup_write(fd, file, text);
}

static int v1_write_cpus(const struct container *container, const char *cpus)
{
	int fd = container->dir_fds[CGROUP_CPUSET];
	char present[LIMIT_CPUS_TEXT], parents[LIMIT_CPUS_TEXT];

	ssize_t n = cgroup_read(fd, "cpuset.cpus", present, sizeof(present));
	if (n < 0)
		return (int)n;

	_cleanup_close_ int parent = open_parent(fd);
	if (parent < 0)
		return parent;
	int r = inherit(fd, "cpuset.mems", CPUSET_DEPTH_MAX);
	if (r == 0)
		r = inherit(parent, "cpuset.cpus", CPUSET_DEPTH_MAX);
	if (r < 0)
		return r;
	if (!*cpus) {
		n = cgroup_read(parent, "cpuset.cpus", parents, sizeof(parents));
		if (n < 0)
			return (int)n;
		cpus = parents;
	}
	if (limits_cpus_equal(present, cpus))
		return 0;

	r = cgroup_write(fd, "cpuset.cpus", cpus);
	if (r == -EACCES || r == -EINVAL) {
		n = cgroup_read(parent, "cpuset.cpus", parents, sizeof(parents));
		log_warning("the CPUs %s for %s are not all in its parent cgroup's cpuset (%s) and "
			    "online",
			    cpus, container->name, n < 0 ? "unknown" : parents);
	} else if (r == -EBUSY) {
		log_warning("the cpuset of %s cannot be narrowed to %s: a cgroup nested in it has "
			    "other CPUs",
			    container->name, cpus);
	}
	if (r < 0)
		return r;

	n = cgroup_read(fd, "cpuset.cpus", present, sizeof(present));
	if (n < 0)
		return (int)n;
	return limits_cpus_equal(present, cpus) ? 0 : -EREMOTEIO;
}

#define MEM_FILE   "memory.limit_in_bytes"
#define MEMSW_FILE "memory.memsw.limit_in_bytes"

static int v1_read_mem(const struct container *container, uint64_t *ret_bytes)
{
	return cgroup_read_u64(container->dir_fds[CGROUP_MEMORY], MEM_FILE, ret_bytes);
}

/*
 * Memory+swap may never be below memory, so it goes first on the way up and last on the way down.
 * LXD sets both equal (no swap): their distance is kept.
 */
static int v1_write_mem(const struct container *container, uint64_t bytes)
{
	int fd = container->dir_fds[CGROUP_MEMORY];
	uint64_t present, memsw = LIMIT_NONE, new_memsw = LIMIT_NONE;

	int r = cgroup_read_u64(fd, MEM_FILE, &present);
	if (r < 0)
		return r;
	if (present == bytes)
		return 0;

	/* Absent or refused where swap is not accounted. */
	if (cgroup_read_u64(fd, MEMSW_FILE, &memsw) < 0)
		memsw = LIMIT_NONE;
	if (memsw != LIMIT_NONE && bytes != LIMIT_NONE)
		new_memsw = bytes + (memsw - present);

	if (memsw != LIMIT_NONE && bytes > present) {
		r = write_u64(fd, MEMSW_FILE, new_memsw);
		if (r < 0)
			return r;
	}
	r = write_u64(fd, MEM_FILE, bytes);
	if (r < 0) {
		if (memsw != LIMIT_NONE && bytes > present)
			write_u64(fd, MEMSW_FILE, memsw);
		return r;
	}
	if (memsw != LIMIT_NONE && bytes < present) {
		r = write_u64(fd, MEMSW_FILE, new_memsw);
		if (r < 0)
			log_warning_errno(r,
					  "the memory limit of %s is lowered, but not that of "
					  "memory and swap",
					  container->name);
	}

	r = cgroup_read_u64(fd, MEM_FILE, &present);
	if (r < 0)
		return r;
	return present == bytes ? 0 : -EREMOTEIO;
}

static const char *throttle_file(enum limit_kind kind)
{
	switch (kind) {
	case LIMIT_DISK_READ: return "blkio.throttle.read_bps_device";
	case LIMIT_DISK_WRITE: return "blkio.throttle.write_bps_device";
	case LIMIT_READ_IOPS: return "blkio.throttle.read_iops_device";
	default: return "blkio.throttle.write_iops_device";
	}
}

static int read_throttle(int fd, dev_t device, enum limit_kind kind, uint64_t *ret_value)
{
	char text[16384]; /* a line per limited disk */

	ssize_t n = cgroup_read(fd, throttle_file(kind), text, sizeof(text));
	return n < 0 ? (int)n : limits_parse_throttle(text, device, ret_value);
}

static int v1_read_disk(const struct container *container, dev_t device,
			struct disk_limits *ret_disk)
{
	int fd = container->dir_fds[CGROUP_IO];
	struct disk_limits disk = {device, LIMIT_NONE, LIMIT_NONE, LIMIT_NONE, LIMIT_NONE};

	int r = read_throttle(fd, device, LIMIT_DISK_READ, &disk.read_bps);
	if (r == 0)
		r = read_throttle(fd, device, LIMIT_DISK_WRITE, &disk.write_bps);
	if (r == 0)
		*ret_disk = disk;
	return r;
}

static int v1_read_iops(const struct container *container, dev_t device, struct disk_limits *disk)
{
	int fd = container->dir_fds[CGROUP_IO];
	int r = read_throttle(fd, device, LIMIT_READ_IOPS, &disk->read_iops);

	return r < 0 ? r : read_throttle(fd, device, LIMIT_WRITE_IOPS, &disk->write_iops);
}

static int v1_write_disk(const struct container *container, dev_t device, enum limit_kind kind,
			 uint64_t value)
{
	int fd = container->dir_fds[CGROUP_IO];
	uint64_t present;
	char text[64];

	int r = read_throttle(fd, device, kind, &present);
	if (r < 0)
		return r;
	if (present == value)
		return 0;

	/* 0 takes the limit away. */
	snprintf(text, sizeof(text), "%u:%u %" PRIu64, major(device), minor(device),
		 value == LIMIT_NONE ? 0 : value);
	r = cgroup_write(fd, throttle_file(kind), text);
	if (r < 0)
		return r;
	r = read_throttle(fd, device, kind, &present);
	if (r < 0)
		return r;
	return present == value ? 0 : -EREMOTEIO;
}

/*
 * There is nothing like memory.high and memory.min: memory.soft_limit_in_bytes acts only when the
 * whole host is short of memory.
 */
static int v1_read_value(const struct container *container, enum limit_kind kind,
			 uint64_t *ret_value)
{
	int fd = container->dir_fds[CGROUP_CPU];
	uint64_t shares;

	if (kind == LIMIT_BURST)
		return cgroup_read_u64(fd, "cpu.cfs_burst_us", ret_value);
	if (kind != LIMIT_WEIGHT)
		return -EOPNOTSUPP;
	int r = cgroup_read_u64(fd, "cpu.shares", &shares);
	if (r == 0)
		*ret_value = limits_shares_to_weight(shares);
	return r;
}

static int v1_write_value(const struct container *container, enum limit_kind kind, uint64_t value)
{
	int fd = container->dir_fds[CGROUP_CPU];
	uint64_t present;

	int r = v1_read_value(container, kind, &present);
	if (r < 0)
		return r;
	if (present == value)
		return 0;
	r = kind == LIMIT_BURST ? write_u64(fd, "cpu.cfs_burst_us", value)
				: write_u64(fd, "cpu.shares", limits_weight_to_shares(value));
	if (r == 0)
		r = v1_read_value(container, kind, &present);
	if (r < 0)
		return r;
	return present == value ? 0 : -EREMOTEIO;
}

const struct cgroup_ops cgroup_v1_ops = {
	.read_cpu = v1_read_cpu,
	.read_cpuset = v1_read_cpuset,
	.read_mem = v1_read_mem,
	.read_disk = v1_read_disk,
	.write_quota = v1_write_quota,
	.write_cpus = v1_write_cpus,
	.write_mem = v1_write_mem,
	.write_disk = v1_write_disk,
	.read_iops = v1_read_iops,
	.read_value = v1_read_value,
	.write_value = v1_write_value,
};
