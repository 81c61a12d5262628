/* SPDX-License-Identifier: Apache-2.0 */
#include "limits.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/units.h"
#include "ebb/util.h"

/* A living cgroup has cgroup.procs, whatever its controllers. */
static int missing(int dir_fd)
{
	return faccessat(dir_fd, "cgroup.procs", F_OK, 0) < 0 ? -ENOENT : -EOPNOTSUPP;
}

ssize_t cgroup_read(int dir_fd, const char *file, char *buffer, size_t size)
{
	if (dir_fd < 0)
		return -EOPNOTSUPP;
	ssize_t r = read_file_at(dir_fd, file, buffer, size);
	return r == -ENOENT ? missing(dir_fd) : r;
}

int cgroup_write(int dir_fd, const char *file, const char *text)
{
	if (dir_fd < 0)
		return -EOPNOTSUPP;
	int r = write_file_at(dir_fd, file, text, 0);
	return r == -ENOENT ? missing(dir_fd) : r;
}

uint64_t limits_round_to_page(uint64_t bytes)
{
	return bytes & ~((uint64_t)sysconf(_SC_PAGESIZE) - 1);
}

int cgroup_read_u64(int dir_fd, const char *file, uint64_t *ret_value)
{
	char text[32];
	uint64_t value;

	ssize_t n = cgroup_read(dir_fd, file, text, sizeof(text));
	if (n < 0)
		return (int)n;
	if (!strcmp(text, "max")) {
		*ret_value = LIMIT_NONE;
		return 0;
	}
	int r = parse_u64(text, &value);
	if (r < 0)
		return r;
	/* PAGE_COUNTER_MAX in bytes, 0x7ffffffffffff000 with pages of 4 KiB. */
	*ret_value = value >= limits_round_to_page(INT64_MAX) ? LIMIT_NONE : value;
	return 0;
}

static int cpu_set(const char *text, uint64_t bits[1024], unsigned *ret_n)
{
	struct cpu_list list;
	int r = cpu_list_parse(text, &list);
	if (r < 0)
		return r;

	memset(bits, 0, 1024 * sizeof(*bits));
	for (size_t i = 0; i < list.n; i++)
		bits[list.cpus[i] / 64] |= 1ULL << list.cpus[i] % 64;
	*ret_n = (unsigned)list.n;
	cpu_list_clear(&list);
	return 0;
}

bool limits_cpus_equal(const char *a, const char *b)
{
	uint64_t bits_a[1024], bits_b[1024];
	unsigned n_a, n_b;

	return cpu_set(a, bits_a, &n_a) == 0 && cpu_set(b, bits_b, &n_b) == 0 && n_a == n_b &&
	       !memcmp(bits_a, bits_b, sizeof(bits_a));
}

/* The number at `text`, or "max", up to a blank or the end. */
static int parse_amount(const char *text, uint64_t *ret_value, const char **ret_end)
{
	size_t len = strcspn(text, " \n");
	char number[24];

	if (len == 3 && !memcmp(text, "max", 3)) {
		*ret_value = LIMIT_NONE;
	} else {
		if (len >= sizeof(number))
			return -EINVAL;
		memcpy(number, text, len);
		number[len] = '\0';
		int r = parse_u64(number, ret_value);
		if (r < 0)
			return r;
	}
	*ret_end = text + len;
	return 0;
}

int limits_parse_cpu_max(const char *text, uint64_t *ret_quota_us, uint64_t *ret_period_us)
{
	uint64_t quota, period;
	const char *end;

	int r = parse_amount(text, &quota, &end);
	if (r < 0)
		return r;
	if (*end != ' ')
		return -EINVAL;
	r = parse_amount(end + 1, &period, &end);
	if (r < 0)
		return r;
	if (period == 0 || period == LIMIT_NONE || *end == ' ')
		return -EINVAL;
	*ret_quota_us = quota;
	*ret_period_us = period;
	return 0;
}

/* What follows "MAJ:MIN " in the device's line; NULL: it has none. */
static const char *device_line(const char *text, dev_t device)
{
	char prefix[32];
	int len = snprintf(prefix, sizeof(prefix), "%u:%u ", major(device), minor(device));

	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, prefix, (size_t)len))
			return line + len;
	}
	return NULL;
}

static const struct {
	enum limit_kind kind;
	char key[8];
	size_t offset;
} io_keys[] = {
	{LIMIT_DISK_READ, "rbps", offsetof(struct disk_limits, read_bps)},
	{LIMIT_DISK_WRITE, "wbps", offsetof(struct disk_limits, write_bps)},
	{LIMIT_READ_IOPS, "riops", offsetof(struct disk_limits, read_iops)},
	{LIMIT_WRITE_IOPS, "wiops", offsetof(struct disk_limits, write_iops)},
};

int limits_parse_io_max(const char *text, dev_t device, struct disk_limits *ret_disk)
{
	struct disk_limits disk = {device, LIMIT_NONE, LIMIT_NONE, LIMIT_NONE, LIMIT_NONE};
	const char *at = device_line(text, device);

	while (at && *at && *at != '\n') {
		size_t key = strcspn(at, "= \n");
		if (at[key] != '=')
			return -EINVAL;
		uint64_t other, *value = &other;
		for (size_t i = 0; i < ARRAY_SIZE(io_keys); i++)
			if (key == strlen(io_keys[i].key) && !memcmp(at, io_keys[i].key, key))
				value = (uint64_t *)((char *)&disk + io_keys[i].offset);
		int r = parse_amount(at + key + 1, value, &at);
		if (r < 0)
			return r;
		at += *at == ' ';
	}
	*ret_disk = disk;
	return 0;
}

void limits_format_io_max(dev_t device, enum limit_kind kind, uint64_t value, char *buffer,
			  size_t size)
{
	const char *key = "";

	for (size_t i = 0; i < ARRAY_SIZE(io_keys); i++)
		if (io_keys[i].kind == kind)
			key = io_keys[i].key;
	if (value == LIMIT_NONE)
		snprintf(buffer, size, "%u:%u %s=max", major(device), minor(device), key);
	else
		snprintf(buffer, size, "%u:%u %s=%" PRIu64, major(device), minor(device), key,
			 value);
}

uint64_t limits_weight_to_shares(uint64_t weight)
{
	return MAX((weight * 1024 + 50) / 100, 2);
}

uint64_t limits_shares_to_weight(uint64_t shares)
{
	uint64_t weight = (MIN(shares, LIMIT_WEIGHT_MAX * 1024) * 100 + 512) / 1024;
	return MIN(MAX(weight, LIMIT_WEIGHT_MIN), LIMIT_WEIGHT_MAX);
}

uint64_t limits_quota_to_weight(uint64_t quota_us)
{
	uint64_t one = EBB_CFS_PERIOD_US / EBB_SHARES_PER_CORE;
	uint64_t weight = (MIN(quota_us, LIMIT_WEIGHT_MAX * one) + one / 2) / one;
	return MAX(weight, LIMIT_WEIGHT_MIN);
}

int limits_parse_throttle(const char *text, dev_t device, uint64_t *ret_bps)
{
	const char *at = device_line(text, device), *end;
	uint64_t bps = LIMIT_NONE;

	if (at) {
		int r = parse_amount(at, &bps, &end);
		if (r < 0)
			return r;
	}
	*ret_bps = bps ? bps : LIMIT_NONE;
	return 0;
}

int limits_parse_stat(const char *text, const char *key, uint64_t *ret_value)
{
	size_t len = strlen(key);

	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		const char *end;
		line += *line == '\n';
		if (!strncmp(line, key, len) && line[len] == ' ')
			return parse_amount(line + len + 1, ret_value, &end);
	}
	return -ENOENT;
}

static const struct cgroup_ops *ops_of(const struct hierarchies *hierarchies,
				       enum cgroup_controller controller)
{
	return hierarchies->by_controller[controller].version == 2 ? &cgroup_v2_ops
								   : &cgroup_v1_ops;
}

/*
 * Discovery names neither the root nor the agent's own cgroup, so this never refuses; it stands
 * here because a limit on the root throttles the whole machine.
 */
static int may_write(const struct hierarchies *hierarchies, const struct container *container,
		     enum cgroup_controller controller, const struct cgroup_ops **ret_ops)
{
	const struct hierarchy *hierarchy = &hierarchies->by_controller[controller];
	int fd = container->dir_fds[controller];
	struct stat st, root;

	if (fd < 0)
		return -EOPNOTSUPP;
	if (fstat(fd, &st) < 0 || fstat(hierarchy->root_fd, &root) < 0)
		return -errno;
	if (st.st_dev != root.st_dev || st.st_ino == root.st_ino ||
	    st.st_ino == hierarchy->own_id || hierarchies_path_is_own(hierarchies, container->path))
		return log_error_errno(
			EPERM,
			"not writing a %s limit to %s: it is the root cgroup, outside "
			"the hierarchy, or holds this agent",
			cgroup_controller_name(controller), container->path);
	*ret_ops = ops_of(hierarchies, controller);
	return 0;
}

/* 0: read; 1: this container has no such controller. */
static int optional(int r, bool *has)
{
	*has = r == 0;
	return r == -EOPNOTSUPP ? 0 : r;
}

int limits_read(const struct hierarchies *hierarchies, const struct container *container,
		dev_t device, struct limits *ret_limits)
{
	_cleanup_free_ struct limits *limits = calloc(1, sizeof(*limits));
	int r;

	if (!limits)
		return -ENOMEM;

	r = optional(ops_of(hierarchies, CGROUP_CPU)->read_cpu(container, &limits->cpu),
		     &limits->has_cpu);
	limits->cpu.by_weight = hierarchies->cpu_by_weight;
	if (r == 0 && limits->has_cpu && limits->cpu.by_weight)
		r = ops_of(hierarchies, CGROUP_CPU)
			    ->read_value(container, LIMIT_WEIGHT, &limits->cpu.weight);
	if (r == 0)
		r = optional(
			ops_of(hierarchies, CGROUP_CPUSET)->read_cpuset(container, &limits->cpu),
			&limits->has_cpuset);
	if (r == 0)
		r = optional(
			ops_of(hierarchies, CGROUP_MEMORY)->read_mem(container, &limits->mem_bytes),
			&limits->has_mem);
	if (r == 0 && device)
		r = optional(
			ops_of(hierarchies, CGROUP_IO)->read_disk(container, device, &limits->disk),
			&limits->has_disk);
	if (r < 0)
		return r;

	if (limits->has_cpuset) {
		uint64_t bits[1024];
		r = cpu_set(limits->cpu.effective_cpus, bits, &limits->cpu.n_effective);
		if (r < 0)
			return r;
	}
	*ret_limits = *limits;
	return 0;
}

static enum cgroup_controller controller_of(enum limit_kind kind)
{
	return kind == LIMIT_BURST || kind == LIMIT_WEIGHT ? CGROUP_CPU : CGROUP_MEMORY;
}

int limits_read_more(const struct hierarchies *hierarchies, const struct container *container,
		     struct limits *limits)
{
	const struct {
		enum limit_kind kind;
		uint64_t *value;
	} values[] = {
		{LIMIT_BURST, &limits->cpu.burst_us},
		{LIMIT_WEIGHT, &limits->cpu.weight},
		{LIMIT_MEM_HIGH, &limits->mem_high},
		{LIMIT_MEM_MIN, &limits->mem_min},
	};
	int memory_fd = container->dir_fds[CGROUP_MEMORY];
	unsigned has = 0;
	bool one;

	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		enum limit_kind kind = values[i].kind;
		int r = optional(ops_of(hierarchies, controller_of(kind))
					 ->read_value(container, kind, values[i].value),
				 &one);
		if (r < 0)
			return r;
		has |= one ? 1U << kind : 0;
	}
	if (memory_fd >= 0) {
		limits->mem_version = hierarchies->by_controller[CGROUP_MEMORY].version;
		if (limits->mem_version == 2 &&
		    faccessat(memory_fd, "memory.reclaim", F_OK, 0) == 0)
			has |= 1U << LIMIT_MEM_RECLAIM;
	}
	if (limits->has_disk) {
		int r = optional(ops_of(hierarchies, CGROUP_IO)
					 ->read_iops(container, limits->disk.device, &limits->disk),
				 &one);
		if (r < 0)
			return r;
		has |= one ? 1U << LIMIT_READ_IOPS | 1U << LIMIT_WRITE_IOPS : 0;
	}
	limits->has_more = has;
	return 0;
}

int limits_write_value(const struct hierarchies *hierarchies, const struct container *container,
		       enum limit_kind kind, uint64_t value)
{
	const struct cgroup_ops *ops;
	int r = may_write(hierarchies, container, controller_of(kind), &ops);
	if (r < 0)
		return r;
	if (kind == LIMIT_WEIGHT && (value < LIMIT_WEIGHT_MIN || value > LIMIT_WEIGHT_MAX))
		return -EINVAL;
	if ((kind == LIMIT_MEM_HIGH || kind == LIMIT_MEM_MIN) && value != LIMIT_NONE)
		value = limits_round_to_page(value);
	return ops->write_value(container, kind, value);
}

/* The new weight first: without its quota the container must not have less of a claim meanwhile. */
static int write_weight(const struct cgroup_ops *ops, const struct container *container,
			uint64_t weight, uint64_t quota_us)
{
	int r = ops->write_value(container, LIMIT_WEIGHT, weight);
	return r < 0 ? r : ops->write_quota(container, quota_us);
}

int limits_restore_cpu(const struct hierarchies *hierarchies, const struct container *container,
		       const struct cpu_limits *before)
{
	const struct cgroup_ops *ops;
	uint64_t quota_us = before->quota_us;

	int r = may_write(hierarchies, container, CGROUP_CPU, &ops);
	if (r < 0)
		return r;
	/* It was per another period, and ours is what is written beside it. */
	if (quota_us != LIMIT_NONE && before->period_us)
		quota_us = (uint64_t)((double)quota_us * EBB_CFS_PERIOD_US /
				      (double)before->period_us);
	return before->by_weight ? write_weight(ops, container, before->weight, quota_us)
				 : ops->write_quota(container, quota_us);
}

int limits_write_quota(const struct hierarchies *hierarchies, const struct container *container,
		       uint64_t quota_us)
{
	const struct cgroup_ops *ops;
	int r = may_write(hierarchies, container, CGROUP_CPU, &ops);
	if (r < 0)
		return r;
	if (quota_us < LIMIT_QUOTA_MIN_US)
		return log_error_errno(EINVAL,
				       "a quota of %" PRIu64
				       " us for %s is below the kernel's least, %d us",
				       quota_us, container->name, LIMIT_QUOTA_MIN_US);
	if (hierarchies->cpu_by_weight)
		return quota_us == LIMIT_NONE
			       ? -EINVAL
			       : write_weight(ops, container, limits_quota_to_weight(quota_us),
					      LIMIT_NONE);
	return ops->write_quota(container, quota_us);
}

int limits_write_cpus(const struct hierarchies *hierarchies, const struct container *container,
		      const char *cpus)
{
	const struct cgroup_ops *ops;
	uint64_t bits[1024];
	unsigned n;

	int r = may_write(hierarchies, container, CGROUP_CPUSET, &ops);
	if (r < 0)
		return r;
	r = cpu_set(cpus, bits, &n);
	if (r < 0)
		return log_error_errno(r, "\"%s\" for %s is no list of CPUs", cpus,
				       container->name);
	return ops->write_cpus(container, cpus);
}

int limits_write_mem(const struct hierarchies *hierarchies, const struct container *container,
		     uint64_t bytes)
{
	const struct cgroup_ops *ops;
	int r = may_write(hierarchies, container, CGROUP_MEMORY, &ops);
	if (r < 0)
		return r;
	if (limits_round_to_page(bytes) == 0)
		return -EINVAL;
	return ops->write_mem(container, bytes == LIMIT_NONE ? bytes : limits_round_to_page(bytes));
}

static int write_disk(const struct hierarchies *hierarchies, const struct container *container,
		      dev_t device, enum limit_kind kind, uint64_t value)
{
	const struct cgroup_ops *ops;
	int r = may_write(hierarchies, container, CGROUP_IO, &ops);
	if (r < 0)
		return r;
	if (value == 0 || device == 0)
		return -EINVAL;
	r = ops->write_disk(container, device, kind, value);
	if (r == -ENODEV || r == -EINVAL)
		log_error_errno(
			r,
			"the kernel takes no bandwidth limit on the device %u:%u for %s: it "
			"must be a whole disk that exists, not a partition",
			major(device), minor(device), container->name);
	return r;
}

int limits_write_disk(const struct hierarchies *hierarchies, const struct container *container,
		      dev_t device, bool write, uint64_t bps)
{
	return write_disk(hierarchies, container, device,
			  write ? LIMIT_DISK_WRITE : LIMIT_DISK_READ, bps);
}

int limits_write_iops(const struct hierarchies *hierarchies, const struct container *container,
		      dev_t device, bool write, uint64_t iops)
{
	return write_disk(hierarchies, container, device,
			  write ? LIMIT_WRITE_IOPS : LIMIT_READ_IOPS, iops);
}

int limits_read_mem_usage(const struct hierarchies *hierarchies, const struct container *container,
			  uint64_t *ret_usage, uint64_t *ret_inactive_file)
{
	/* About 1.5 KiB on v1 and 2 KiB on v2, more on hosts with many NUMA events. */
	char stat[16384];
	uint64_t usage, inactive;
	bool v2 = hierarchies->by_controller[CGROUP_MEMORY].version == 2;
	int fd = container->dir_fds[CGROUP_MEMORY];

	int r = cgroup_read_u64(fd, v2 ? "memory.current" : "memory.usage_in_bytes", &usage);
	if (r < 0)
		return r;
	ssize_t n = cgroup_read(fd, "memory.stat", stat, sizeof(stat));
	if (n < 0)
		return (int)n;
	r = limits_parse_stat(stat, v2 ? "inactive_file" : "total_inactive_file", &inactive);
	if (r < 0)
		return r;
	*ret_usage = usage;
	*ret_inactive_file = inactive;
	return 0;
}
