/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread for all services that work by time (the snapshoters, the ReFeeder, the Sanity Checker,
 * the ReBalancer): one after the other, each to its end. What they do has to let go of the model's
 * lock often (model_walk.h).
 */
#ifndef EBB_TIMED_H
#define EBB_TIMED_H

#include <stdbool.h>

struct timed;
int timed_new(struct timed **ret_timed);
/* Ends the thread when a job that is at work has come to its end. */
void timed_free(struct timed *timed);

/*
 * Does what is due at `now`, and returns when it wants to be called again; both are wall clock in
 * seconds. It is called at least twice a second, so that a changed period is seen.
 */
typedef double (*timed_fn)(void *userdata, double now);
/* From any thread; first come, first run. `userdata` is borrowed until timed_free(). -ENOMEM. */
int timed_add(struct timed *timed, timed_fn fn, void *userdata);
/* From any thread: all are called soon. */
void timed_wake(struct timed *timed);

#endif
