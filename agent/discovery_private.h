/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the discovery, for the files that make it: discovery.c has the containers,
 * discovery_dirs.c their directories. Events (discovery_events.c) and walks through the tree
 * (discovery_scan.c) tell which there are.
 */
#ifndef EBB_DISCOVERY_PRIVATE_H
#define EBB_DISCOVERY_PRIVATE_H

#include "discovery.h"
#include "exclusion.h"
#include "hash.h"

/* More than this many that cannot be opened yet are cheaper to scan for. */
#define LATER_MAX 1024

/* A cgroup whose mkdir was announced but that could not be opened. */
struct later {
	enum cgroup_controller controller; /* whose hierarchy */
	uint64_t id;
	uint64_t until_ns;
	char *path;
};

struct discovery {
	struct discovery_options options;
	struct container_table *table;
	struct hash by_path; /* of containers */
	struct hash by_dir;  /* of containers, by their directories outside the primary hierarchy */
	/* One controller per mounted hierarchy; the first is the primary one. */
	enum cgroup_controller hierarchies[CGROUP_CONTROLLER_MAX];
	size_t n_hierarchies;

	char **globs; /* without leading and trailing slashes */
	size_t n_globs;
	size_t glob_depth; /* of the deepest */

	struct exclusion_set excluded; /* by what their engines said */

	unsigned generation;
	bool full;      /* a container was left out for max_containers or spare_descriptors */
	bool told_full; /* and since then there was no scan that left out none */
	bool told_deep;
	bool complained; /* about another reason to leave one out, since the last scan */

	struct later *later;
	size_t n_later;
	uint64_t later_wait_ns;
	struct loop_source *later_timer, *scan_timer;
};

static inline const struct hierarchy *hierarchy_of(const struct discovery *d,
						   enum cgroup_controller controller)
{
	return &d->options.hierarchies->by_controller[controller];
}

/* discovery.c */
/*
 * Adds the container at `path`, if it is one. `expected`: its announced id, 0: any. 0 also when
 * there is nothing to add; -ENOENT when it cannot be opened.
 */
int discovery_consider(struct discovery *d, const char *path, uint64_t expected);
void discovery_remove(struct discovery *d, struct container *container);
void discovery_tell_joined(struct discovery *d, struct container *container);
void discovery_scan_soon(struct discovery *d);
/* A container could not be taken in: said once between two scans. */
void discovery_complain(struct discovery *d, const char *path, int error);

/* discovery_dirs.c */
struct container *discovery_by_path(const struct discovery *d, const char *path);
/* Outside the primary hierarchy. */
struct container *discovery_by_dir(const struct discovery *d, enum cgroup_controller controller,
				   uint64_t id);
/* Takes `fd` over, for every controller of the hierarchy. */
int discovery_set_dir(struct discovery *d, struct container *container,
		      enum cgroup_controller controller, int fd, uint64_t id);
void discovery_drop_dir(struct discovery *d, struct container *container,
			enum cgroup_controller controller);
/*
 * Opens the container's directory in another hierarchy. 1: it has a new one; 0: nothing changed.
 * `expected`: the id that was announced, 0: any.
 */
int discovery_open_dir(struct discovery *d, struct container *container,
		       enum cgroup_controller controller, uint64_t expected);

/* discovery_events.c */
/* Of the timer: looks again at what could not be opened. */
void discovery_on_later(void *userdata);
void discovery_drop_later(struct discovery *d, size_t i);

#endif
