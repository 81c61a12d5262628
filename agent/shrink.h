/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lowering a memory limit on a thread of its own: the kernel reclaims inside the write, which may
 * take seconds. Never below the working set plus a margin; a target that is too low is raised to
 * that floor and the caller is told.
 */
#ifndef EBB_SHRINK_H
#define EBB_SHRINK_H

#include <stdint.h>

#include "container.h"
#include "ebb/loop.h"

struct shrinker;

struct shrink_result {
	int error;                      /* 0, or negative errno: the limit is what it was */
	uint64_t asked, floor, applied; /* bytes */
	double seconds;
};
/* In the loop's thread. */
typedef void (*shrink_done_fn)(void *userdata, const struct shrink_result *result);

int shrinker_new(struct loop *loop, const struct hierarchies *hierarchies,
		 struct shrinker **ret_shrinker);
void shrinker_free(struct shrinker *shrinker);
/*
 * `working_set`: from the last sample. The container may vanish meanwhile: descriptors are
 * duplicated. `done` is called once.
 */
int shrinker_submit(struct shrinker *shrinker, const struct container *container, uint64_t target,
		    uint64_t working_set, shrink_done_fn done, void *userdata);

/* Pure: the least limit that does not hurt: working set + max(16 MiB, 5% of it). */
uint64_t shrink_floor(uint64_t working_set);

#endif
