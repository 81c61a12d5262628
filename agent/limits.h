/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading and writing a container's limits through one interface; cgroup_v1.c and cgroup_v2.c
 * behind it. Equal writes are skipped, every write is read back. In which order to write several:
 * limit_order.h.
 */
#ifndef EBB_LIMITS_H
#define EBB_LIMITS_H

#include <errno.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "container.h"

/* Agent units: microseconds, bytes, bytes per second; LIMIT_NONE: unlimited. */
#define LIMIT_NONE UINT64_MAX

/* Networks count in powers of ten, and in bits. */
#define LIMIT_BYTES_PER_MBIT 125000

/* The least quota the kernel takes (min_cfs_quota_period in kernel/sched). */
#define LIMIT_QUOTA_MIN_US 1000

/* 1,000 CPUs without two neighbours among them, as text. */
#define LIMIT_CPUS_TEXT 4096

enum limit_kind {
	LIMIT_CPUS,
	LIMIT_QUOTA,
	LIMIT_BURST,
	LIMIT_WEIGHT,
	LIMIT_MEM,
	LIMIT_MEM_HIGH,
	LIMIT_MEM_MIN,
	LIMIT_MEM_RECLAIM, /* something that is done once, not a limit */
	LIMIT_DISK_READ,
	LIMIT_DISK_WRITE,
	LIMIT_READ_IOPS,
	LIMIT_WRITE_IOPS,
	LIMIT_NET,
	LIMIT_KIND_MAX,
};

/* cpu.weight of cgroup v2; 100 is what a cgroup starts with. On v1: cpu.shares, 1024 for 100. */
#define LIMIT_WEIGHT_MIN 1
#define LIMIT_WEIGHT_MAX 10000

struct cpu_limits {
	uint64_t quota_us; /* per period */
	uint64_t period_us;
	uint64_t weight;   /* only with limits_read_more(), or by weight */
	uint64_t burst_us; /* only with limits_read_more() */
	/* The CPU limit of a container without a quota is its weight (struct hierarchies). */
	bool by_weight;
	char cpus[LIMIT_CPUS_TEXT];           /* configured cpuset, "0-1,4"; "" inherits */
	char effective_cpus[LIMIT_CPUS_TEXT]; /* what the kernel grants */
	unsigned n_effective;
};

struct disk_limits {
	dev_t device;
	uint64_t read_bps, write_bps;
	uint64_t read_iops, write_iops; /* only with limits_read_more() */
};

struct net_limits {
	uint64_t bps;           /* bytes per second that the container may receive */
	char device[IFNAMSIZ];  /* the host's end of its veth pair */
	char inside[IFNAMSIZ];  /* the container's */
	char foreign[IFNAMSIZ]; /* kind of a root qdisc that is not Ebb's; "": there is none */
};

struct limits {
	bool has_cpu, has_cpuset, has_mem, has_disk; /* the controller exists for this container */
	bool has_net; /* it has a link of its own; only after net_limit_read() (net_limit.h) */
	const char *no_net; /* why not, "it ..."; static text, NULL: not looked for */
	struct cpu_limits cpu;
	uint64_t mem_bytes;
	struct disk_limits disk;
	struct net_limits net;
	/* By limits_read_more(). */
	unsigned has_more; /* 1 << enum limit_kind: which of the rest the kernel offers here */
	int mem_version;   /* of the hierarchy with the memory controller; 0: there is none */
	uint64_t mem_high; /* beyond it the kernel reclaims and slows down, but never kills */
	uint64_t mem_min;  /* never reclaimed for others */
};

/* `device`: whose bandwidth to read; 0: leave disk out. Negative errno; -ENODEV and -ENOENT: the
 * cgroup has gone. */
int limits_read(const struct hierarchies *hierarchies, const struct container *container,
		dev_t device, struct limits *ret_limits);
/*
 * Reads the rest into what limits_read() has filled: burst, weight, memory.high, memory.min and the
 * I/O requests per second. For who shows or changes them; the feed does without. 0 or as
 * limits_read().
 */
int limits_read_more(const struct hierarchies *hierarchies, const struct container *container,
		     struct limits *limits);
/* Whether limits_read() failed for want of the cgroup, rather than of descriptors or memory. */
static inline bool limits_has_gone(int r)
{
	return r == -ENOENT || r == -ENODEV;
}

/*
 * Each skips an equal write, writes, reads back and returns 0, or a negative errno with the old
 * value in place and, where the number alone does not tell, a log line that explains it:
 *
 * - -EPERM: the directory is a hierarchy's root or holds this agent; never written.
 * - -EOPNOTSUPP: this container has no such controller.
 * - -ENOENT, -ENODEV: the cgroup has gone, or the disk.
 * - -EINVAL: the kernel or Ebb refuses the value.
 * - -EACCES: v1, CPUs that the parent lacks.
 * - -EBUSY: v1, that much memory cannot be reclaimed, or a nested cgroup uses the CPUs.
 * - -EREMOTEIO: another value was read back; someone else writes it too.
 */
/*
 * `quota_us` per EBB_CFS_PERIOD_US, at least LIMIT_QUOTA_MIN_US, or LIMIT_NONE. By weight (struct
 * hierarchies): sets the weight that this quota stands for and takes a quota away; LIMIT_NONE is
 * -EINVAL then.
 */
int limits_write_quota(const struct hierarchies *hierarchies, const struct container *container,
		       uint64_t quota_us);
/* "0-1,4" in any order; "": what the parent has. CPUs that the parent cannot grant are refused. */
int limits_write_cpus(const struct hierarchies *hierarchies, const struct container *container,
		      const char *cpus);
/*
 * Rounded down to pages. May block while the kernel reclaims: never from the loop when it lowers
 * the limit (shrink.h). v1: memory+swap moves along, so that the swap allowed stays the same.
 */
int limits_write_mem(const struct hierarchies *hierarchies, const struct container *container,
		     uint64_t bytes);
/* `device`: a whole disk. Other keys of io.max stay. `bps` > 0 or LIMIT_NONE. */
int limits_write_disk(const struct hierarchies *hierarchies, const struct container *container,
		      dev_t device, bool write, uint64_t bps);

/* The same in requests per second. */
int limits_write_iops(const struct hierarchies *hierarchies, const struct container *container,
		      dev_t device, bool write, uint64_t iops);
/*
 * LIMIT_BURST (us), LIMIT_WEIGHT, LIMIT_MEM_HIGH and LIMIT_MEM_MIN (bytes, rounded down to pages).
 * A lower memory.high may block while the kernel reclaims, as limits_write_mem().
 */
int limits_write_value(const struct hierarchies *hierarchies, const struct container *container,
		       enum limit_kind kind, uint64_t value);
/* Puts quota and weight back to what `before` says, by weight or not. */
int limits_restore_cpu(const struct hierarchies *hierarchies, const struct container *container,
		       const struct cpu_limits *before);

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
	/* `kind`: LIMIT_DISK_READ, LIMIT_DISK_WRITE, LIMIT_READ_IOPS or LIMIT_WRITE_IOPS */
	int (*write_disk)(const struct container *container, dev_t device, enum limit_kind kind,
			  uint64_t value);
	int (*read_iops)(const struct container *container, dev_t device, struct disk_limits *disk);
	/* limits_write_value()'s kinds; -EOPNOTSUPP: not in this version, or in this kernel. */
	int (*read_value)(const struct container *container, enum limit_kind kind,
			  uint64_t *ret_value);
	int (*write_value)(const struct container *container, enum limit_kind kind, uint64_t value);
};
extern const struct cgroup_ops cgroup_v1_ops, cgroup_v2_ops;

/* Memory in use as the container's limit counts it, and of that the inactive file cache. */
int limits_read_mem_usage(const struct hierarchies *hierarchies, const struct container *container,
			  uint64_t *ret_usage, uint64_t *ret_inactive_file);

/* Helpers of the two, pure but for the first three. */
/* read_file_at() and write_file_at(), but -EOPNOTSUPP for a file that a living cgroup lacks. */
ssize_t cgroup_read(int dir_fd, const char *file, char *buffer, size_t size);
int cgroup_write(int dir_fd, const char *file, const char *text);
/* A single number; "max" and, on v1, the highest page count are LIMIT_NONE. */
int cgroup_read_u64(int dir_fd, const char *file, uint64_t *ret_value);
uint64_t limits_round_to_page(uint64_t bytes);
bool limits_cpus_equal(const char *a, const char *b);
/* The value after `key` and a space at the start of a line; -ENOENT. */
int limits_parse_stat(const char *text, const char *key, uint64_t *ret_value);
int limits_parse_cpu_max(const char *text, uint64_t *ret_quota_us, uint64_t *ret_period_us);
/* A device that has no line is unlimited. */
int limits_parse_io_max(const char *text, dev_t device, struct disk_limits *ret_disk);
int limits_parse_throttle(const char *text, dev_t device, uint64_t *ret_bps);
/* The write that sets one key of io.max and leaves the others: "8:0 rbps=1048576". */
void limits_format_io_max(dev_t device, enum limit_kind kind, uint64_t value, char *buffer,
			  size_t size);
/* cpu.shares for a weight and back: as the kernel counts them, 1024 for 100. */
uint64_t limits_weight_to_shares(uint64_t weight);
uint64_t limits_shares_to_weight(uint64_t shares);
/* The weight that stands for a quota: 100 for each core, within its bounds. */
uint64_t limits_quota_to_weight(uint64_t quota_us);

#endif
