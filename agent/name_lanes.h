/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that ask the engines for names, one for each family of engines that is asked at all: what
 * hangs in one's state, a file system that has gone say, is waited for by its own thread only.
 */
#ifndef EBB_NAME_LANES_H
#define EBB_NAME_LANES_H

#include "engines.h"

/* What became of a question. */
struct name_answer {
	struct name_answer *next;
	uint64_t id;
	unsigned family;
	struct engine_query query; /* its strings are in `text` */
	int result;                /* of engines_ask() */
	struct engine_answer answer;
	char text[];
};

struct name_lanes;
/* Starts no thread yet. `roots` is copied. */
int name_lanes_new(const struct engine_roots *roots, struct name_lanes **ret_lanes);
/*
 * Waits for the threads, a second at most: one that hangs ends by itself once it can, and frees
 * what it needs until then.
 */
void name_lanes_free(struct name_lanes *lanes);

/*
 * Asks `family`, one bit of engines_families(), about the container `id`; the query is copied.
 * -EBUSY: what it was asked before takes it long, or is too much.
 */
int name_lanes_ask(struct name_lanes *lanes, unsigned family, uint64_t id,
		   const struct engine_query *query);
/* To poll: readable when there are answers. */
int name_lanes_fd(const struct name_lanes *lanes);
/* All of them so far, a list. Caller frees each with name_answer_free(). */
struct name_answer *name_lanes_take(struct name_lanes *lanes);
void name_answer_free(struct name_answer *answer);
/* How many there are to take; those that were taken do not count. */
size_t name_lanes_answered(struct name_lanes *lanes);

/*
 * The families that have worked on one question for half a second and more. Says so, once, when it
 * becomes ten seconds, and when they go on.
 */
unsigned name_lanes_slow(struct name_lanes *lanes);

#endif
