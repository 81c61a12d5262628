/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the cgroup tree to containers: which cgroups are containers, and under which name. Owns the
 * container table.
 */
#ifndef EBB_DISCOVERY_H
#define EBB_DISCOVERY_H

#include "container.h"
#include "lifecycle.h"
#include "runtime.h"
#include "ebb/config.h"
#include "ebb/loop.h"

struct discovery_options {
	const struct hierarchies *hierarchies;
	/* For a second look at a cgroup that was announced before it can be opened (the kernel's
	 * mkdir event comes a moment earlier). NULL: such a cgroup waits for the next scan. */
	struct loop *loop;
	const struct string_list *globs; /* --containers, relative to the root; '*' stops at '/' */
	const struct string_list *excludes; /* --exclude, see exclusion.h */
	/*
	 * Containers of engines that can tell their names are `unnamed` when they are added, under
	 * a name of no meaning, until discovery_name() is called.
	 */
	bool names_follow;
	struct name_record *record; /* see container_table_set_record() */
	const char *host_name;
	unsigned max_containers; /* 0: any number */
	/* Descriptors that containers leave to the rest of the agent, of what RLIMIT_NOFILE allows.
	 */
	unsigned spare_descriptors;
	/* Called after the table has it / before it leaves the table. */
	void (*added)(void *userdata, struct container *container);
	void (*removed)(void *userdata, struct container *container);
	/*
	 * The container's dir_fds and ids changed after `added`: on v1 engines make the
	 * directories of one container one after another, so most containers start with one
	 * directory and are joined by the others within a millisecond. Also when one of them goes
	 * before the primary one. The sampler must take its references anew; the container, its
	 * name and its slot stay.
	 */
	void (*joined)(void *userdata, struct container *container);
	void *userdata;
};

struct discovery;
int discovery_new(const struct discovery_options *options, struct discovery **ret_discovery);
void discovery_free(struct discovery *discovery); /* calls `removed` for each */
struct container_table *discovery_table(struct discovery *discovery);
/* The container whose directory in the hierarchy of `controller` is the cgroup `id`; NULL: none. */
struct container *discovery_find(struct discovery *discovery, enum cgroup_controller controller,
				 uint64_t id);

/*
 * Walks the primary hierarchy; adds what is new, removes what is gone, joins what was missed. At
 * start, after LIFECYCLE_LOST (by itself), and by time where there are no lifecycle events.
 */
int discovery_scan(struct discovery *discovery);
/*
 * O(1) but for the directory opens of a container that appears. Scans, a little later when there is
 * a loop, for what an event cannot tell: paths cut short, renames, a mount of a part of a
 * hierarchy.
 */
void discovery_event(struct discovery *discovery, const struct lifecycle_event *event);

/*
 * The name of a container is known, and what else its engine says: takes `labels` (NULL: nothing is
 * known, it is called as in its path). `engine` and `owner` NULL: as they are; `qualified`: see
 * container_table_rename(). 1: it has another name now, or has become named; 0: its name stays;
 * -ECANCELED: it is excluded by that, has its old name, and is to be let go; -ENOMEM.
 */
int discovery_name(struct discovery *discovery, struct container *container,
		   struct container_labels *labels, const char *engine, const char *owner,
		   bool qualified);
/*
 * The patterns in `excludes` may be others than when they were looked at last. Is this one excluded
 * by those that are there now?
 */
bool discovery_excludes(const struct discovery *discovery, const struct container *container);
/* Nobody is to be told of it from now on, nor to find it: its name is free for others. */
void discovery_hide(struct discovery *discovery, struct container *container);
/* Removes it; should it not be excluded any more, it is found again as a new one. */
void discovery_let_go(struct discovery *discovery, struct container *container);
/* Finds those that are not excluded any more. */
int discovery_look_again(struct discovery *discovery);

/*
 * A container of another host has its name: it gets another one, for good. 1, 0 or a negative errno
 * as above.
 */
int discovery_name_taken(struct discovery *discovery, struct container *container);

#endif
