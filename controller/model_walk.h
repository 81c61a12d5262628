/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Long walks over the model that never hold its lock for long: in pieces of some hundred
 * microseconds, with the lock free in between for long enough that others get it.
 *
 *	model_walk_begin(&walk, model);
 *	while (model_walk_piece(&walk)) {
 *		while ((structure = model_walk_next(&walk)))
 *			...
 *		model_walk_release(&walk);
 *		... what takes time ...
 *	}
 *
 * One walk at a time, for one thread (timed.h); other threads use model_walk_begin_reader().
 */
#ifndef EBB_MODEL_WALK_H
#define EBB_MODEL_WALK_H

#include "model.h"

/* A hold of the lock that somebody measures; for other loops than over all structures too. */
struct model_hold {
	struct model *model;
	uint64_t began_ns, ended_ns;
	uint64_t held_ns; /* since others had time to take it */
	unsigned steps;
	double longest_s; /* of all holds so far, what model_unlock() does included */
};
void model_hold_begin(struct model_hold *hold);
/* Has it been long enough? To be asked after each small step. */
bool model_hold_is_over(struct model_hold *hold);
void model_hold_end(struct model_hold *hold);

struct model_walk {
	struct model_hold hold;
	size_t at; /* structures below it are still to come */
	unsigned long visit;
	bool users;
	unsigned reader; /* index of `visited` */
};
void model_walk_begin(struct model_walk *walk, struct model *model);
/* Over the users instead of the structures. */
void model_walk_begin_users(struct model_walk *walk, struct model *model);
/* From any thread, beside the one walk: readers wait for each other. To be ended in any case. */
void model_walk_begin_reader(struct model_walk *walk, struct model *model);
void model_walk_end_reader(struct model_walk *walk);
/* Takes the lock. False, without it: that was all. */
bool model_walk_piece(struct model_walk *walk);
/*
 * Each structure that is there from the first piece to the last comes exactly once, others at most
 * once. NULL: the piece is over. A structure may be left for another piece by model_walk_again().
 */
struct structure *model_walk_next(struct model_walk *walk);
/* The structure that came last comes again, at the beginning of the next piece. */
void model_walk_again(struct model_walk *walk, struct structure *structure);
void model_walk_release(struct model_walk *walk);

#endif
