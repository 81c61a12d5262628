/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sys.*: what the whole host uses, from /proc and /sys. The parsers and formulas are pure; only
 * series_host_read() opens files.
 */
#ifndef EBB_SERIES_HOST_H
#define EBB_SERIES_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOST_DISKS_MAX      64
#define HOST_INTERFACES_MAX 64
#define HOST_NAME_MAX_LEN   32

/* Ticks of a "cpu" line of /proc/stat; user and nice have the guests' in them. */
struct host_cpu {
	unsigned id;
	uint64_t user, nice, system, idle, iowait, irq, softirq, steal;
};

struct host_disk {
	char name[HOST_NAME_MAX_LEN];
	uint64_t reads, read_sectors, writes, written_sectors, busy_ms;
};

struct host_interface {
	char name[HOST_NAME_MAX_LEN];
	uint64_t in_bytes, out_bytes;
	unsigned speed_mbit; /* 0: unknown */
	bool half_duplex;
};

struct host_reading {
	uint64_t at_ns; /* CLOCK_MONOTONIC */
	struct host_cpu total, *cpus;
	size_t n_cpus, size_cpus;
	uint64_t mem_total, mem_free, mem_available, swap_free; /* bytes */
	struct host_disk disks[HOST_DISKS_MAX];
	struct host_interface interfaces[HOST_INTERFACES_MAX];
	size_t n_disks, n_interfaces;
};

/* Texts of /proc/stat, meminfo, diskstats, net/dev. What is not understood is left out. */
int host_stat_parse(const char *text, struct host_reading *reading); /* 0, -ENOMEM, -EINVAL */
bool host_meminfo_parse(const char *text, struct host_reading *reading);
/* `is_disk` tells whole real disks from partitions and devices on top of others. */
typedef bool (*host_is_disk_fn)(void *userdata, const char *name);
void host_diskstats_parse(const char *text, host_is_disk_fn is_disk, void *userdata,
			  struct host_reading *reading);
/* Without the containers' ends of virtual cables (veth). */
void host_net_parse(const char *text, struct host_reading *reading);

/* One point of the host; `key` NULL: no second tag. Rounding is the receiver's. */
typedef void (*host_point_fn)(void *userdata, const char *metric, const char *key,
			      const char *tag_value, double value);
/* `before` NULL: what is no rate only. `hz`: ticks a second. */
void host_points(const struct host_reading *before, const struct host_reading *now, unsigned hz,
		 host_point_fn fn, void *userdata);

struct series_host;
int series_host_new(struct series_host **ret_host);
void series_host_free(struct series_host *host);
/* Reads everything and tells the points of the time since the last call. */
int series_host_read(struct series_host *host, host_point_fn fn, void *userdata);

#endif
