/* SPDX-License-Identifier: Apache-2.0 */
/* What the host has: CPUs, sockets and cores, memory, and the disk that a path lies on. */
#ifndef EBB_HOST_H
#define EBB_HOST_H

#include <jansson.h>
#include <stdint.h>
#include <sys/types.h>

#include "ebb/util.h"

struct host {
	struct cpu_list online; /* ascending; ids may have holes */
	uint64_t mem_bytes;
	dev_t disk;        /* whole disk that `disk_path` lies on; 0: none that can be throttled */
	char *disk_path;   /* "/" by default */
	char *disk_device; /* "/dev/sda" */
};

/* `sysroot` NULL: the running system; else a directory that holds /sys and /proc fixtures. */
int host_read(const char *sysroot, const char *disk_path, struct host *ret_host);
void host_clear(struct host *host);

/*
 * The whole disk that `device` (a file system's st_dev) lies on, and its name; negative errno when
 * that is no block device.
 */
int host_disk_of(const char *sysroot, dev_t device, dev_t *ret_disk, char **ret_device);

/*
 * What a limit on `disk` does not reach, for people: "" for a plain disk; device-mapper, RAID and
 * loop devices lie on others. Pure but for /sys.
 */
void host_disk_note(const char *sysroot, dev_t disk, char *buffer, size_t size);

/*
 * {socket: {core: [cpu, ...]}} (spec section 4), socket and core ids as strings in numeric order,
 * online CPUs only. From /sys/devices/system/cpu/cpuN/topology. New reference.
 */
json_t *host_topology(const char *sysroot, const struct cpu_list *online);
/*
 * {node: [cpu, ...]}: the NUMA nodes that have online CPUs, in numeric order; {} where the kernel
 * tells of none. From /sys/devices/system/node. New reference.
 */
json_t *host_nodes(const char *sysroot, const struct cpu_list *online);

/* CPUs go offline and come back. The file that lists them, kept open: a descriptor for
 * host_check_online(); negative errno. */
int host_watch_online(const char *sysroot);
/* One pread. 1: the list is another now, and host->online is that; 0: the same; negative errno, and
 * nothing changed. */
int host_check_online(int fd, struct host *host);

#endif
