/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the host mounts its cgroup controllers: v1 (one mount each, some joined), v2, or both.
 * Found once at start from /proc/self/mountinfo; everything else asks here and never builds a path
 * of its own.
 */
#ifndef EBB_HIERARCHY_H
#define EBB_HIERARCHY_H

#include <stdbool.h>
#include <stdint.h>

enum cgroup_controller {
	CGROUP_CPU,
	CGROUP_CPUACCT, /* v2: the same directory as CGROUP_CPU */
	CGROUP_CPUSET,
	CGROUP_MEMORY,
	CGROUP_IO, /* v1: blkio */
	CGROUP_CONTROLLER_MAX,
};

struct hierarchy {
	char *mount;      /* "/sys/fs/cgroup/cpu"; NULL: the host has no such controller */
	int version;      /* 1 or 2 */
	int root_fd;      /* O_PATH|O_DIRECTORY on the mount */
	uint64_t root_id; /* cgroup id (inode number) of the root */
	/*
	 * Index of the first controller that lives in the same mount: controllers with equal
	 * `shared` have one directory per container.
	 */
	enum cgroup_controller shared;
};

struct hierarchies {
	struct hierarchy by_controller[CGROUP_CONTROLLER_MAX];
	enum cgroup_controller primary; /* names containers: cpu where it exists, else memory */
};

/* "v1", "v2" or "hybrid". */
const char *hierarchies_kind(const struct hierarchies *hierarchies);

/*
 * Reads `mountinfo` (NULL: /proc/self/mountinfo). -ENOENT with a log line when no usable hierarchy
 * is mounted.
 */
int hierarchies_open(const char *mountinfo, struct hierarchies *ret_hierarchies);
void hierarchies_close(struct hierarchies *hierarchies);

/* "cpu", "cpuacct", "cpuset", "memory", "io". */
const char *cgroup_controller_name(enum cgroup_controller controller);

/* The cgroup id of an open cgroup directory (its inode number). 0 on failure. */
uint64_t cgroup_id_of_fd(int fd);

#endif
