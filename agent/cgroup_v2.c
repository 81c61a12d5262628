/* SPDX-License-Identifier: Apache-2.0 */
/* Limits on cgroup v2. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

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

static int v2_write_cpus(const struct container *container, const char *cpus)
{
	int fd = container->dir_fds[CGROUP_CPUSET];
	char present[LIMIT_CPUS_TEXT], now[LIMIT_CPUS_TEXT];

	ssize_t n = cgroup_read(fd, "cpuset.cpus", present, sizeof(present));
	if (n < 0)
		return (int)n;
	if (limits_cpus_equal(present, cpus))
		return 0;

	int r = put_cpus(fd, cpus);
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
	struct disk_limits disk = {.device = device};

	ssize_t n = cgroup_read(container->dir_fds[CGROUP_IO], "io.max", text, sizeof(text));
	if (n < 0)
		return (int)n;
	int r = limits_parse_io_max(text, device, &disk.read_bps, &disk.write_bps);
	if (r == 0)
		*ret_disk = disk;
	return r;
}

static int v2_write_disk(const struct container *container, dev_t device, bool write, uint64_t bps)
{
	struct disk_limits present;
	char text[64];

	int r = v2_read_disk(container, device, &present);
	if (r < 0)
		return r;
	if ((write ? present.write_bps : present.read_bps) == bps)
		return 0;

	/* Keys that are not named keep their values. */
	int len = snprintf(text, sizeof(text), "%u:%u %s=", major(device), minor(device),
			   write ? "wbps" : "rbps");
	if (bps == LIMIT_NONE)
		snprintf(text + len, sizeof(text) - (size_t)len, "max");
	else
		snprintf(text + len, sizeof(text) - (size_t)len, "%" PRIu64, bps);
	r = cgroup_write(container->dir_fds[CGROUP_IO], "io.max", text);
	if (r < 0)
		return r;
	r = v2_read_disk(container, device, &present);
	if (r < 0)
		return r;
	return (write ? present.write_bps : present.read_bps) == bps ? 0 : -EREMOTEIO;
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
};
