/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lowering memory limits on threads of their own, by the rungs of shrink_ladder.h: the kernel
 * reclaims inside the writes, which may take seconds. Four containers at once, one job of each.
 * Never below the working set plus a margin; a target that is too low is raised to that floor and
 * the caller is told.
 */
#ifndef EBB_SHRINK_H
#define EBB_SHRINK_H

#include <stdbool.h>
#include <stdint.h>

#include "container.h"
#include "shrink_ladder.h"
#include "ebb/loop.h"

struct shrinker;

struct shrink_result {
	/*
	 * 0, or negative errno, and then the limit is what it was: -EBUSY, the kernel cannot
	 * reclaim that much; -ECANCELED; -ENOENT or -ENODEV, the container has gone; -EREMOTEIO,
	 * someone else set another limit meanwhile, which stays.
	 */
	int error;
	/*
	 * Bytes. `applied`: the limit in force with error 0, never above what it was before; of a
	 * reclaim what it has freed. `floor`: what the container needs, also when it was only seen
	 * to suffer.
	 */
	uint64_t asked, floor, applied;
	double seconds;
	struct shrink_steps steps; /* what was done, and after a failure what was tried */
};
/* In the loop's thread. */
typedef void (*shrink_done_fn)(void *userdata, const struct shrink_result *result);

int shrinker_new(struct loop *loop, const struct hierarchies *hierarchies,
		 struct shrinker **ret_shrinker);
/* Calls `done` of what waits or runs, with -ECANCELED; submits from there fail with -ESHUTDOWN. */
void shrinker_free(struct shrinker *shrinker);
/*
 * `working_set`: from the last sample; what the cgroup's files say by the time of the write counts
 * too. The container may vanish meanwhile: descriptors are duplicated. `done` is called once, from
 * the loop, also when a newer submit for the same container replaces this one (-ECANCELED). A
 * target above the present limit is written as it is.
 */
int shrinker_submit(struct shrinker *shrinker, const struct container *container, uint64_t target,
		    uint64_t working_set, shrink_done_fn done, void *userdata);
/* The same for memory.high, as it is asked. */
int shrinker_submit_high(struct shrinker *shrinker, const struct container *container,
			 uint64_t bytes, shrink_done_fn done, void *userdata);
/* Gives `bytes` back by memory.reclaim, fewer when there are no more or the container suffers;
 * -EBUSY: none. */
int shrinker_submit_reclaim(struct shrinker *shrinker, const struct container *container,
			    uint64_t bytes, shrink_done_fn done, void *userdata);
/*
 * Cancels what waits or runs for the container with this id, before its limit grows: their `done`
 * comes with -ECANCELED. True: one runs, and takes up to one step (32 MiB of reclaim) to stop and
 * to put the old limit back; grow by shrinker_submit() then, which runs after it, or after its
 * `done`.
 */
bool shrinker_cancel(struct shrinker *shrinker, uint64_t container_id);

#endif
