/* SPDX-License-Identifier: Apache-2.0 */
#include "model_walk.h"

#include <time.h>

#include "ebb/cleanup.h"
#include "ebb/loop.h"

/* A hold may be this long and one step more; far below a millisecond, because a thread that holds
 * the lock may also lose its CPU. */
#define HOLD_NS     (200 * 1000ULL)
#define CLOCK_STEPS 8
/* The mutex goes to who comes first, and that is who has just released it: without a pause others
 * would wait for the whole walk. */
#define PAUSE_NS (100 * 1000ULL)

void model_hold_begin(struct model_hold *hold)
{
	if (hold->held_ns && now_ns() - hold->ended_ns >= PAUSE_NS) {
		hold->held_ns = 0;
	} else if (hold->held_ns >= HOLD_NS) {
		nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
		hold->held_ns = 0;
	}
	model_lock(hold->model);
	hold->began_ns = now_ns();
	hold->steps = 0;
}

bool model_hold_is_over(struct model_hold *hold)
{
	return ++hold->steps % CLOCK_STEPS == 0 && now_ns() - hold->began_ns >= HOLD_NS;
}

void model_hold_end(struct model_hold *hold)
{
	uint64_t held_ns;

	model_unlock(hold->model);
	hold->ended_ns = now_ns();
	held_ns = hold->ended_ns - hold->began_ns;
	hold->held_ns += held_ns;
	hold->longest_s = MAX(hold->longest_s, (double)held_ns / EBB_NS_PER_SEC);
}

void model_walk_begin(struct model_walk *walk, struct model *model)
{
	*walk = (struct model_walk){.hold = {.model = model}, .at = SIZE_MAX};
}

void model_walk_begin_users(struct model_walk *walk, struct model *model)
{
	model_walk_begin(walk, model);
	walk->users = true;
}

void model_walk_begin_reader(struct model_walk *walk, struct model *model)
{
	pthread_mutex_lock(&model->reader);
	model_walk_begin(walk, model);
	walk->reader = 1;
}

void model_walk_end_reader(struct model_walk *walk)
{
	pthread_mutex_unlock(&walk->hold.model->reader);
}

bool model_walk_piece(struct model_walk *walk)
{
	struct model *model = walk->hold.model;

	model_hold_begin(&walk->hold);
	if (!walk->visit)
		walk->visit = ++model->visits;
	/* Downwards: what is removed is replaced by the last one, which has been visited. */
	walk->at = MIN(walk->at, walk->users ? model->n_users : model->n_structures);
	if (walk->at > 0)
		return true;
	model_hold_end(&walk->hold);
	return false;
}

struct structure *model_walk_next(struct model_walk *walk)
{
	const struct model *model = walk->hold.model;
	struct structure **list = walk->users ? model->users : model->structures;

	while (walk->at > 0 && !model_hold_is_over(&walk->hold)) {
		struct structure *structure = list[--walk->at];

		if (structure->visited[walk->reader] == walk->visit)
			continue;
		structure->visited[walk->reader] = walk->visit;
		return structure;
	}
	return NULL;
}

void model_walk_again(struct model_walk *walk, struct structure *structure)
{
	structure->visited[walk->reader] = 0;
	walk->at++;
}

void model_walk_release(struct model_walk *walk)
{
	model_hold_end(&walk->hold);
}
