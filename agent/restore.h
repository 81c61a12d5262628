/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the limits of containers were before this agent changed them, for --restore-on-exit. Of each
 * limit the first value that it replaced; one that somebody else has changed since stays as it is.
 */
#ifndef EBB_RESTORE_H
#define EBB_RESTORE_H

#include "apply.h"

struct restore;
int restore_new(struct restore **ret_restore);
void restore_free(struct restore *restore);

/* `kind` of the container, `before` as it is, is about to be written. No memory: it is not put
 * back. */
void restore_writing(struct restore *restore, uint64_t container_id, enum limit_kind kind,
		     const struct limits *before);
/* These limits (1 << enum limit_kind) were set: `present` is what is in force now. */
void restore_wrote(struct restore *restore, uint64_t container_id, unsigned kinds,
		   const struct limits *present);
/* The container has gone. */
void restore_forget(struct restore *restore, uint64_t container_id);

/*
 * The order that puts back what this agent changed and nobody since: `present` is what is in force.
 * False: nothing to do. Pure.
 */
bool restore_order(const struct restore *restore, uint64_t container_id,
		   const struct limits *present, struct limit_order *ret_order);

/* Reads what is in force of what this agent has changed. False: nothing, or the container has gone.
 */
bool restore_read(const struct restore *restore, const struct applier_options *reader,
		  const struct container *container, struct limits *ret_present);

/*
 * Puts back the limits of one container, which the agent is to leave alone from now on. `left` is
 * called once with its id, perhaps before this returns.
 */
typedef void (*restore_left_fn)(void *userdata, uint64_t container_id);
void restore_container(struct restore *restore, const struct applier_options *reader,
		       struct applier *applier, const struct container *container,
		       restore_left_fn left, void *userdata);

struct restore_run {
	const struct applier_options *reader; /* hierarchies, table, disk and net */
	struct applier *applier;
	/* All orders have ended; `failed`: of so many containers not all could be put back. */
	void (*done)(void *userdata, unsigned restored, unsigned failed);
	void *userdata;
};
/* Ends the orders that are under way, orders it all, and waits for what restore_container() began;
 * `run` is copied. `done` is called once, perhaps before this returns, and not after
 * restore_free(). */
void restore_all(struct restore *restore, const struct restore_run *run);

#endif
