/* SPDX-License-Identifier: Apache-2.0 */
/* A struct container for a cgroup of a test's own tree (cgroup_tree.h), without discovery. */
#ifndef EBB_TEST_TREE_CONTAINER_H
#define EBB_TEST_TREE_CONTAINER_H

#include "cgroup_tree.h"
#include "container.h"

/* The tree itself or, with `child`, the cgroup below it; free with container_free(). NULL: none. */
static inline struct container *tree_container(const struct hierarchies *hierarchies,
					       const struct cgroup_tree *tree, const char *child)
{
	struct container *container;
	char path[512];

	snprintf(path, sizeof(path), "%s%s%s", tree->name, child ? "/" : "", child ? child : "");
	if (container_new(0, child ? child : tree->name, path, "cgroup", &container) < 0)
		return NULL;
	for (unsigned c = 0; c < CGROUP_CONTROLLER_MAX; c++) {
		const struct hierarchy *hierarchy = &hierarchies->by_controller[c];

		if (!hierarchy->mount)
			continue;
		container->dir_fds[c] = hierarchy->shared < c
						? container->dir_fds[hierarchy->shared]
						: cgroup_open_beneath(hierarchy->root_fd, path);
		if (container->dir_fds[c] < 0) {
			container->dir_fds[c] = -1;
			continue;
		}
		container->ids[c] = cgroup_id_of_fd(container->dir_fds[c]);
	}
	container->id = container->ids[hierarchies->primary];
	return container;
}

#endif
