/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container as the agent knows it, and the table of all of them. The table is the only way from a
 * name to a cgroup: names that come over the network are looked up here and never become a path.
 */
#ifndef EBB_CONTAINER_H
#define EBB_CONTAINER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hierarchy.h"
#include "ebb/units.h"

#define CONTAINER_NAME_MAX 255

struct container {
	uint64_t id; /* cgroup id in the primary hierarchy: the identity */
	char *name;  /* unique in the table */
	char *path;  /* relative to the hierarchy root, "docker/3f…": for people and logs */
	const char *engine; /* "docker", "podman", "lxc", ..., "cgroup" for a --containers glob;
			       static string */
	int dir_fds[CGROUP_CONTROLLER_MAX];  /* O_PATH directory per controller, -1: none. Shared
						mounts share a descriptor */
	uint64_t ids[CGROUP_CONTROLLER_MAX]; /* cgroup id per controller, 0: none */
	int slot;                            /* of its sample record; -1: not sampled (yet) */
	bool told_unsampled;                 /* the manager's own: said why not */
	bool in_series;                      /* the series' own: its directories are known there */
	size_t position;                     /* the table's own */
	unsigned generation;                 /* discovery's own: the last scan that saw it */

	/* Set by the feed from the controller's answers. */
	bool guarded;
	int64_t upper[EBB_RESOURCE_MAX]; /* edge units; INT64_MAX: none */
	void *feed_state;                /* the feed's own, freed by it */
};

/* An unsampled container without directories and bounds; name and path are copied. */
int container_new(uint64_t id, const char *name, const char *path, const char *engine,
		  struct container **ret_container);

struct container_table;

int container_table_new(struct container_table **ret_table);
void container_table_free(struct container_table *table);

size_t container_table_count(const struct container_table *table);
struct container *container_table_by_name(struct container_table *table, const char *name);
struct container *container_table_by_id(struct container_table *table, uint64_t id);
/*
 * Takes `container` over. Makes its name unique where another container has it: "name-2" and so on,
 * from the tenth on "name-ID", so that thousands of equal names stay cheap. -EEXIST: id known.
 */
int container_table_add(struct container_table *table, struct container *container);
/* Takes it out without freeing. NULL when unknown. */
struct container *container_table_remove(struct container_table *table, uint64_t id);
/* Closes descriptors and frees; `feed_state` must be gone. */
void container_free(struct container *container);
/* Closes one of its directories and forgets it for every controller that shares it. -1 is ignored.
 */
void container_close_dir(struct container *container, int fd);

/* Dense order, stable while nothing is removed: `index` from 0 to count - 1. */
struct container *container_table_at(struct container_table *table, size_t index);
#define container_table_foreach(table, c) \
	for (size_t _i = 0;               \
	     _i < container_table_count(table) && ((c) = container_table_at(table, _i)); _i++)

#endif
