/* SPDX-License-Identifier: Apache-2.0 */
/* Limits on cgroup v2. */
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
#include "limits.h"

static int v2_read_cpu(const struct container *container, struct cpu_limits *ret_cpu)
{
	char text[64];

	ssize_t n = cgroup_read(container->dir_fds[CGROUP_CPU], "cpu.max", text, sizeof(text));
	return n < 0 ? (int)n : limits_parse_cpu_max(text, &ret_cpu->quota_us, &ret_cpu->period_us);
}

static bool quota_is(const struct cpu_limits *cpu, uint64_t quota_us)
{
	return cpu->quota_us == quota_us &&
	       (quota_us == LIMIT_NONE || cpu->period_us == EBB_CFS_PERIOD_US);
}

static int v2_write_quota(const struct container *container, uint64_t quota_us)
{
	struct cpu_limits present;
	char text[64] = "max";

	int r = v2_read_cpu(container, &present);
	if (r < 0)
		return r;
	if (quota_is(&present, quota_us))
		return 0;

	if (quota_us != LIMIT_NONE)
		snprintf(text, sizeof(text), "%" PRIu64 " %d", quota_us, EBB_CFS_PERIOD_US);
	r = cgroup_write(container->dir_fds[CGROUP_CPU], "cpu.max", text);
	if (r == -EINVAL)
		log_warning(
			"the kernel refuses \"%s\" as cpu.max of %s: is its cpu.max.burst larger "
			"than that quota?",
			text, container->name);
	if (r < 0)
		return r;

	r = v2_read_cpu(container, &present);
	if (r < 0)
		return r;
	return quota_is(&present, quota_us) ? 0 : -EREMOTEIO;
}

static int v2_read_cpuset(const struct container *container, struct cpu_limits *ret_cpu)
{
	int fd = container->dir_fds[CGROUP_CPUSET];
	char cpus[LIMIT_CPUS_TEXT], effective[LIMIT_CPUS_TEXT];

	ssize_t n = cgroup_read(fd, "cpuset.cpus", cpus, sizeof(cpus));
	if (n < 0)
		return (int)n;
	n = cgroup_read(fd, "cpuset.cpus.effective", effective, sizeof(effective));
	if (n < 0)
		return (int)n;
	memcpy(ret_cpu->cpus, cpus, sizeof(cpus));
	memcpy(ret_cpu->effective_cpus, effective, sizeof(effective));
	return 0;
}

static int put_cpus(int fd, const char *cpus)
{
	/* An empty write(2) is no write: the newline clears. */
	return cgroup_write(fd, "cpuset.cpus", *cpus ? cpus : "\n");
}

/* What the parent has, by name: a set with tasks in it is not taken away (-ENOSPC). */
static int put_parents_cpus(int fd, char *ret_cpus, size_t size)
{
	_cleanup_close_ int parent = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (parent < 0)
		return -errno;
	ssize_t n = cgroup_read(parent, "cpuset.cpus.effective", ret_cpus, size);
	return n < 0 ? (int)n : put_cpus(fd, ret_cpus);
}

static int v2_write_cpus(const struct container *container, const char *cpus)
{
	int fd = container->dir_fds[CGROUP_CPUSET];
	char present[LIMIT_CPUS_TEXT], now[LIMIT_CPUS_TEXT], parents[LIMIT_CPUS_TEXT];

	ssize_t n = cgroup_read(fd, "cpuset.cpus", present, sizeof(present));
	if (n < 0)
		return (int)n;
	if (limits_cpus_equal(present, cpus))
		return 0;

	int r = put_cpus(fd, cpus);
	if (r == -ENOSPC && !*cpus) {
		r = put_parents_cpus(fd, parents, sizeof(parents));
		cpus = parents;
	}
	if (r < 0)
		return r;
	n = cgroup_read(fd, "cpuset.cpus", now, sizeof(now));
	if (n < 0)
		return (int)n;
	if (!limits_cpus_equal(now, cpus))
		return -EREMOTEIO;
	if (!*cpus)
		return 0;

	/* v2 stores any set, grants what the parent has of it, and says nothing. */
	n = cgroup_read(fd, "cpuset.cpus.effective", now, sizeof(now));
	if (n < 0)
		return (int)n;
	if (limits_cpus_equal(now, cpus))
		return 0;
	log_warning("of the CPUs %s for %s only %s can be granted: the rest is not in its parent "
		    "cgroup's cpuset or not online",
		    cpus, container->name, now);
	put_cpus(fd, present);
	return -EINVAL;
}

static int v2_read_mem(const struct container *container, uint64_t *ret_bytes)
{
	return cgroup_read_u64(container->dir_fds[CGROUP_MEMORY], "memory.max", ret_bytes);
}

static int v2_write_mem(const struct container *container, uint64_t bytes)
{
	int fd = container->dir_fds[CGROUP_MEMORY];
	char text[24] = "max";
	uint64_t present;

	int r = cgroup_read_u64(fd, "memory.max", &present);
	if (r < 0)
		return r;
	if (present == bytes)
		return 0;

	if (bytes != LIMIT_NONE)
		snprintf(text, sizeof(text), "%" PRIu64, bytes);
	r = cgroup_write(fd, "memory.max", text);
	if (r < 0)
		return r;
	r = cgroup_read_u64(fd, "memory.max", &present);
	if (r < 0)
		return r;
	return present == bytes ? 0 : -EREMOTEIO;
}

static int v2_read_disk(const struct container *container, dev_t device,
			struct disk_limits *ret_disk)
{
	char text[16384]; /* a line per limited disk */

	ssize_t n = cgroup_read(container->dir_fds[CGROUP_IO], "io.max", text, sizeof(text));
	return n < 0 ? (int)n : limits_parse_io_max(text, device, ret_disk);
}

/* All four stand in one line. */
static int v2_read_iops(const struct container *container, dev_t device, struct disk_limits *disk)
{
	return 0;
}

static uint64_t disk_value(const struct disk_limits *disk, enum limit_kind kind)
{
	switch (kind) {
	case LIMIT_DISK_READ: return disk->read_bps;
	case LIMIT_DISK_WRITE: return disk->write_bps;
	case LIMIT_READ_IOPS: return disk->read_iops;
	default: return disk->write_iops;
	}
}

static int v2_write_disk(const struct container *container, dev_t device, enum limit_kind kind,
			 uint64_t value)
{
	struct disk_limits present;
	char text[64];

	int r = v2_read_disk(container, device, &present);
	if (r < 0)
		return r;
	if (disk_value(&present, kind) == value)
		return 0;

	limits_format_io_max(device, kind, value, text, sizeof(text));
	r = cgroup_write(container->dir_fds[CGROUP_IO], "io.max", text);
	if (r < 0)
		return r;
	r = v2_read_disk(container, device, &present);
	if (r < 0)
		return r;
	return disk_value(&present, kind) == value ? 0 : -EREMOTEIO;
}

/* Static file name, and the directory that it is in; NULL: no file. */
static const char *value_file(const struct container *container, enum limit_kind kind, int *ret_fd)
{
	bool cpu = kind == LIMIT_BURST || kind == LIMIT_WEIGHT;

	*ret_fd = container->dir_fds[cpu ? CGROUP_CPU : CGROUP_MEMORY];
	switch (kind) {
	case LIMIT_BURST: return "cpu.max.burst";
	case LIMIT_WEIGHT: return "cpu.weight";
	case LIMIT_MEM_HIGH: return "memory.high";
	case LIMIT_MEM_MIN: return "memory.min";
	default: return NULL;
	}
}

static int v2_read_value(const struct container *container, enum limit_kind kind,
			 uint64_t *ret_value)
{
	int fd;
	const char *file = value_file(container, kind, &fd);

	return file ? cgroup_read_u64(fd, file, ret_value) : -EOPNOTSUPP;
}

static int v2_write_value(const struct container *container, enum limit_kind kind, uint64_t value)
{
	char text[24] = "max";
	uint64_t present;
	int fd;
	const char *file = value_file(container, kind, &fd);

	int r = file ? cgroup_read_u64(fd, file, &present) : -EOPNOTSUPP;
	if (r < 0)
		return r;
	if (present == value)
		return 0;
	if (value != LIMIT_NONE)
		snprintf(text, sizeof(text), "%" PRIu64, value);
	r = cgroup_write(fd, file, text);
	if (r == 0)
		r = cgroup_read_u64(fd, file, &present);
	if (r < 0)
		return r;
	return present == value ? 0 : -EREMOTEIO;
}

const struct cgroup_ops cgroup_v2_ops = {
	.read_cpu = v2_read_cpu,
	.read_cpuset = v2_read_cpuset,
	.read_mem = v2_read_mem,
	.read_disk = v2_read_disk,
	.write_quota = v2_write_quota,
	.write_cpus = v2_write_cpus,
	.write_mem = v2_write_mem,
	.write_disk = v2_write_disk,
	.read_iops = v2_read_iops,
	.read_value = v2_read_value,
	.write_value = v2_write_value,
};
