/* SPDX-License-Identifier: Apache-2.0 */
/* The directories of containers, one in each hierarchy, and which container one belongs to. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "discovery_private.h"
#include "ebb/cleanup.h"
#include "ebb/util.h"

static bool path_equal(const void *value, const void *key)
{
	return !strcmp(((const struct container *)value)->path, key);
}

struct container *discovery_by_path(const struct discovery *d, const char *path)
{
	return hash_find(&d->by_path, hash_string(path), path_equal, path);
}

/* Ids repeat from one hierarchy to the next. */
struct dir_key {
	enum cgroup_controller controller;
	uint64_t id;
};

static uint64_t hash_dir(enum cgroup_controller controller, uint64_t id)
{
	return hash_u64(id ^ (uint64_t)controller << 56);
}

static bool dir_equal(const void *value, const void *key)
{
	const struct dir_key *dir = key;
	return ((const struct container *)value)->ids[dir->controller] == dir->id;
}

struct container *discovery_by_dir(const struct discovery *d, enum cgroup_controller controller,
				   uint64_t id)
{
	struct dir_key key = {controller, id};
	return hash_find(&d->by_dir, hash_dir(controller, id), dir_equal, &key);
}

struct container *discovery_find(struct discovery *discovery, enum cgroup_controller controller,
				 uint64_t id)
{
	enum cgroup_controller shared = hierarchy_of(discovery, controller)->shared;

	return shared == discovery->hierarchies[0] ? container_table_by_id(discovery->table, id)
						   : discovery_by_dir(discovery, shared, id);
}

int discovery_set_dir(struct discovery *d, struct container *container,
		      enum cgroup_controller controller, int fd, uint64_t id)
{
	if (controller != d->hierarchies[0]) {
		int r = hash_add(&d->by_dir, hash_dir(controller, id), container);
		if (r < 0) {
			close(fd);
			return r;
		}
	}
	for (unsigned c = 0; c < CGROUP_CONTROLLER_MAX; c++) {
		const struct hierarchy *hierarchy = hierarchy_of(d, c);
		if (hierarchy->mount && hierarchy->shared == controller) {
			container->dir_fds[c] = fd;
			container->ids[c] = id;
		}
	}
	return 0;
}

void discovery_drop_dir(struct discovery *d, struct container *container,
			enum cgroup_controller controller)
{
	if (container->dir_fds[controller] < 0)
		return;
	hash_remove(&d->by_dir, hash_dir(controller, container->ids[controller]), container);
	container_close_dir(container, container->dir_fds[controller]);
}

int discovery_open_dir(struct discovery *d, struct container *container,
		       enum cgroup_controller controller, uint64_t expected)
{
	_cleanup_close_ int fd =
		cgroup_open_beneath(hierarchy_of(d, controller)->root_fd, container->path);
	if (fd < 0)
		return fd;
	uint64_t id = cgroup_id_of_fd(fd);
	if (id == 0)
		return -ENOENT;
	if (expected && id != expected)
		return -ESTALE;
	if (container->ids[controller] == id)
		return 0;
	discovery_drop_dir(d, container, controller);
	int r = discovery_set_dir(d, container, controller, TAKE_FD(fd), id);
	return r < 0 ? r : 1;
}
