/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the host mounts its cgroup controllers: v1 (one mount each, some joined), v2, or both.
 * Found once at start from /proc/self/mountinfo; everything else asks here and never builds a path
 * of its own.
 */
#ifndef EBB_HIERARCHY_H
#define EBB_HIERARCHY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum cgroup_controller {
	CGROUP_CPU,
	CGROUP_CPUACCT, /* v2: the same directory as CGROUP_CPU */
	CGROUP_CPUSET,
	CGROUP_MEMORY,
	CGROUP_IO, /* v1: blkio */
	CGROUP_CONTROLLER_MAX,
};

struct hierarchy {
	char *mount; /* "/sys/fs/cgroup/cpu"; NULL: the host has no such controller */
	int version; /* 1 or 2 */
	int root_fd; /* O_PATH|O_DIRECTORY on the mount */
	/*
	 * The kernel's number of the hierarchy (cgroup_root.hierarchy_id, first column of
	 * /proc/PID/cgroup); 0: v2. Cgroup ids are unique only within one hierarchy.
	 */
	int id;
	uint64_t root_id; /* cgroup id of the mount's root: 1 unless a subtree is mounted */
	/* Where this process was at start, relative to the mount; NULL: not below it. Never a
	 * container, never limited. */
	char *own_path;
	uint64_t own_id; /* its cgroup id, 0: none */
	/*
	 * Index of the first controller that lives in the same mount: controllers with equal
	 * `shared` have one directory per container.
	 */
	enum cgroup_controller shared;
};

struct hierarchies {
	struct hierarchy by_controller[CGROUP_CONTROLLER_MAX];
	enum cgroup_controller primary; /* names containers: cpu where it exists, else memory */
	bool v1, v2; /* is one of that version mounted, be it without a controller of ours */
	/* The operator's choice, not the host's: CPU limits are set as weights. Of who opened it.
	 */
	bool cpu_by_weight;
};

/* "v1", "v2" or, with both mounted, "hybrid". */
const char *hierarchies_kind(const struct hierarchies *hierarchies);

/*
 * Reads `mountinfo` (NULL: /proc/self/mountinfo). -ENOENT with a log line when no usable hierarchy
 * is mounted.
 */
int hierarchies_open(const char *mountinfo, struct hierarchies *ret_hierarchies);
void hierarchies_close(struct hierarchies *hierarchies);

/* "cpu", "cpuacct", "cpuset", "memory", "io". */
const char *cgroup_controller_name(enum cgroup_controller controller);

/* Is `path` the root, or does this process run in that cgroup or below it, in any hierarchy? */
bool hierarchies_path_is_own(const struct hierarchies *hierarchies, const char *path);

/* The cgroup id of an open cgroup directory (its inode number). 0 on failure. */
uint64_t cgroup_id_of_fd(int fd);

/*
 * Opens (O_PATH) the directory `path` below `root_fd`: never above it, through no symbolic link.
 * Leading slashes are ignored. Negative errno; -EXDEV for a path with "..", -ELOOP or -ENOTDIR for
 * one with a symbolic link.
 */
int cgroup_open_beneath(int root_fd, const char *path);
/* The same, segment by segment, for kernels without openat2(2) (before 5.6, or seccomp). */
int cgroup_open_beneath_by_segments(int root_fd, const char *path);

/* One cgroup mount of a mountinfo text. Pure; for hierarchies_open() and tests. */
struct cgroup_mount {
	char *path;           /* mount point, escapes resolved */
	char *root;           /* what of the hierarchy is mounted, "/" for all */
	unsigned controllers; /* 1 << enum cgroup_controller; v2: 0, its cgroup.controllers tells */
	int version;          /* 1, 2; 0: cannot be used */
	int mount_id;
	dev_t device;
	bool read_only;
};
/*
 * v1 mounts without a controller of ours (named hierarchies, pids, ...) and mounts that another one
 * covers are left out. Caller frees with cgroup_mounts_free().
 */
int cgroup_mounts_parse(const char *mountinfo, struct cgroup_mount **ret_mounts, size_t *ret_n);
void cgroup_mounts_free(struct cgroup_mount *mounts, size_t n);
/* The controllers of ours in a cgroup.controllers text or a v1 mount's options: 1 << enum. */
unsigned cgroup_controllers_parse(const char *text, int version);
/*
 * The index of the mount to use for `controller`, or -1: the whole hierarchy before a part of it,
 * writable before read-only, the first in the list otherwise.
 */
int cgroup_mounts_choose(const struct cgroup_mount *mounts, size_t n,
			 enum cgroup_controller controller);
/*
 * From a /proc/PID/cgroup text: the hierarchy's number and the path of the process in it.
 * `controller` NULL: cgroup2. The path is [path, path+len) of the text. -ENOENT: not there.
 */
int cgroup_membership_parse(const char *text, const char *controller, int *ret_id,
			    const char **ret_path, size_t *ret_len);

#endif
