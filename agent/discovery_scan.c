/* SPDX-License-Identifier: Apache-2.0 */
/* Walks through the cgroup tree: all that is there, and what has gone without an event. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "discovery_private.h"
#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/util.h"
#include "runtime.h"

/*
 * The deepest real trees are Kubernetes in Docker in a user session: about 12. Each level holds two
 * descriptors while it is looked at.
 */
#define SCAN_DEPTH_MAX 128
#define SCAN_PATH_MAX  4096

static bool worth_descending(const struct discovery *d, const char *path, size_t depth)
{
	const char *engine, *name;
	size_t len;

	return depth < d->glob_depth ||
	       !(runtime_match(path, &engine, &name, &len) || runtime_is_nested(path));
}

/* kernfs counts subdirectories as links, two being the directory's own: most cgroups are leaves. */
static bool has_children(int dir_fd, const char *name)
{
	struct stat st;
	return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_nlink != 2;
}

static void tell_too_deep(struct discovery *d, const char *path)
{
	if (!d->told_deep)
		log_warning("cgroups below %s are not looked at: they are more than %d deep", path,
			    SCAN_DEPTH_MAX);
	d->told_deep = true;
}

/*
 * `path` holds the directory's own path (`len` bytes, "" for the root) and has SCAN_PATH_MAX. 0, or
 * the error that left a part of the tree unseen; a directory that vanishes meanwhile is none.
 */
static int scan_dir(struct discovery *d, int fd, char *path, size_t len, size_t depth)
{
	_cleanup_dir_ DIR *dir = fdopendir(fd);
	struct dirent *entry;
	int r, error = 0;

	if (!dir) {
		close(fd);
		return -errno;
	}
	while ((entry = readdir(dir))) {
		if (entry->d_type != DT_DIR || !strcmp(entry->d_name, ".") ||
		    !strcmp(entry->d_name, ".."))
			continue;
		size_t name_len = strlen(entry->d_name);
		if (len + name_len + 2 > SCAN_PATH_MAX)
			continue;
		size_t child_len = len + (len > 0) + name_len;
		if (len > 0)
			path[len] = '/';
		memcpy(path + child_len - name_len, entry->d_name, name_len + 1);

		/* kernfs gives the cgroup id as the inode number: known ones need no open. */
		struct container *known = container_table_by_id(d->table, entry->d_ino);
		if (known && !strcmp(known->path, path))
			known->generation = d->generation;
		else if (!exclusion_set_sees(&d->excluded, entry->d_ino, path, d->generation) &&
			 (r = discovery_consider(d, path, 0)) < 0 && r != -ENOENT)
			discovery_complain(d, path, r);

		if (worth_descending(d, path, depth + 1) &&
		    has_children(dirfd(dir), entry->d_name)) {
			if (depth == SCAN_DEPTH_MAX) {
				tell_too_deep(d, path);
				path[len] = '\0';
				continue;
			}
			int child = openat(dirfd(dir), entry->d_name,
					   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			r = child >= 0 ? scan_dir(d, child, path, child_len, depth + 1) : -errno;
			if (r < 0 && r != -ENOENT)
				error = r;
		}
		path[len] = '\0';
	}
	return error;
}

/* Finds directories that came or went without an event. */
static void check_dirs(struct discovery *d, struct container *container)
{
	bool changed = false;

	for (size_t i = 1; i < d->n_hierarchies; i++) {
		enum cgroup_controller c = d->hierarchies[i];
		struct stat st;
		uint64_t id = fstatat(hierarchy_of(d, c)->root_fd, container->path, &st,
				      AT_SYMLINK_NOFOLLOW) < 0
				      ? 0
				      : st.st_ino;
		if (id == container->ids[c])
			continue;
		if (id == 0) {
			discovery_drop_dir(d, container, c);
			changed = true;
		} else if (discovery_open_dir(d, container, c, 0) == 1) {
			changed = true;
		}
	}
	if (changed)
		discovery_tell_joined(d, container);
}

int discovery_scan(struct discovery *discovery)
{
	struct discovery *d = discovery;
	_cleanup_free_ char *path = calloc(1, SCAN_PATH_MAX);
	if (!path)
		return -ENOMEM;

	int fd = openat(hierarchy_of(d, d->hierarchies[0])->root_fd, ".",
			O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return log_error_errno(errno, "cannot read the cgroup tree at %s",
				       hierarchy_of(d, d->hierarchies[0])->mount);

	d->full = d->complained = false;
	/* Containers that the scan adds have their directories looked up as they are added. */
	size_t before = container_table_count(d->table);
	d->generation++;
	int r = scan_dir(d, fd, path, 0, 0);
	if (r < 0)
		log_warning_errno(r, "cannot scan all of the cgroup tree");
	else
		exclusion_set_prune(&d->excluded, d->generation);

	d->told_full = d->told_full && d->full;
	for (size_t i = container_table_count(d->table); i-- > 0;) {
		struct container *container = container_table_at(d->table, i);
		if (container->generation != d->generation) {
			/* What was not looked at is not known to have gone. */
			if (r == 0)
				discovery_remove(d, container);
		} else if (before > 0) {
			check_dirs(d, container);
		}
	}
	return r;
}
