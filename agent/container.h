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
#include "pressure.h"
#include "labels.h"
#include "name_record.h"
#include "ebb/units.h"

#define CONTAINER_NAME_MAX 255

struct container {
	uint64_t id; /* cgroup id in the primary hierarchy: the identity */
	char *name;  /* unique in the table */
	char *path;  /* relative to the hierarchy root, "docker/3f…": for people and logs */
	char *key;   /* the id or name in the path, by which its engine knows it */
	/*
	 * Whose it is among containers of one name: "docker", "podman.1000" of a user, or for a
	 * --containers glob where it lies, "batch.b".
	 */
	char *owner;
	struct container_labels labels;
	/* Its engine is being asked, for a second at most: it is sampled, and nobody is told of it.
	 */
	bool unnamed;
	/* It is excluded by now: likewise, while its orders end and its limits are put back, which
	 * ends it. */
	bool leaving;
	bool by_id;         /* called so as in its path, as its engine has not said any name yet */
	bool qualified;     /* NAME@OWNER in any case */
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

	/* Set by the pressure lane while it is guarded: 1 << enum pressure_kind of those read. */
	unsigned has_pressure;
	struct pressure pressure[PRESSURE_MAX];

	/* Set by the feed from the controller's answers. */
	bool guarded;
	int64_t upper[EBB_RESOURCE_MAX]; /* edge units; INT64_MAX: none */
	void *feed_state;                /* the feed's own, freed by it */
	void *grown;                     /* the grower's own, freed by it */
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
 * Whose the names are that several containers have had, those of other hosts too (NULL: known for
 * as long as they are in the table), and the name of this host. Borrowed.
 */
void container_table_set_record(struct container_table *table, struct name_record *record,
				const char *host_name);
/* The owner, in the record, of a name that a container of another host has. */
#define CONTAINER_ELSEWHERE "/"
/*
 * The name that the container has now is that of one on another host: from the next rename on, also
 * after a restart, it is NAME@HOST here. -EOPNOTSUPP without a record.
 */
int container_table_name_taken(struct container_table *table, struct container *container);
/*
 * Takes `container` over. Where another container has its name, or had it first, it is called
 * NAME@OWNER, where that is taken, too, NAME@OWNER-HASH of its path: which of them is called what
 * does not depend on the order in which they are found again. -EEXIST: id known.
 */
int container_table_add(struct container_table *table, struct container *container);
/*
 * Calls a container of the table `name`, or as above; `qualified`: NAME@OWNER in any case. `owner`
 * becomes its owner; NULL: stays. 1: it has another name now; 0: it had this one already; -ENOMEM.
 */
int container_table_rename(struct container_table *table, struct container *container,
			   const char *name, const char *owner, bool qualified);
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
