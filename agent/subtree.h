/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Controllers that a container's cgroup lacks on cgroup v2, because no ancestor hands them down
 * (cgroup.subtree_control), and handing them down where the operator has asked for it.
 */
#ifndef EBB_SUBTREE_H
#define EBB_SUBTREE_H

#include <stddef.h>

#include "container.h"

/* Those that Ebb sets limits with: 1 << CGROUP_CPU, CGROUP_CPUSET, CGROUP_MEMORY, CGROUP_IO. */
#define SUBTREE_ALL (1U << CGROUP_CPU | 1U << CGROUP_CPUSET | 1U << CGROUP_MEMORY | 1U << CGROUP_IO)

/* Those of `wanted` (1 << enum cgroup_controller) that the host has on v2 and the container not. */
unsigned subtree_missing(const struct hierarchies *hierarchies, const struct container *container,
			 unsigned wanted);
/*
 * Has every ancestor of the container's cgroup hand `wanted` down, from the root on; nothing else
 * is written, and what they hand down already is left. What failed is said in the log, with the
 * cgroup and why. Returns those that are missing still.
 */
unsigned subtree_enable(const struct hierarchies *hierarchies, const struct container *container,
			unsigned wanted);

/* "cpu and io", "cpu, memory and io"; pure. */
void subtree_names(unsigned controllers, char *buffer, size_t size);
/* The controller by its name; -EINVAL. Pure. */
int subtree_parse(const char *name, unsigned *ret_controller);

#endif
