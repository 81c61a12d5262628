/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ReBalancer (spec 7.4): moves shares from structures that leave them unused to those that need
 * them, users first, then applications, then containers, each seeing what the level above decided.
 * What it decides are swaps, handed to the scaler.
 */
#ifndef EBB_REBALANCER_H
#define EBB_REBALANCER_H

#include "model.h"
#include "scaler.h"

struct rebalancer;
/* Borrows both. */
int rebalancer_new(struct model *model, struct scaler *scaler, struct rebalancer **ret_rebalancer);
void rebalancer_free(struct rebalancer *rebalancer);
/*
 * One epoch at `now` (wall clock): takes the model's lock itself, in pieces. Nothing when its
 * service is not ACTIVE or another controller leads. The first ones only begin to measure: nothing
 * is decided on less than half a window. Negative errno: no memory.
 */
int rebalancer_epoch(struct rebalancer *rebalancer, double now);
/*
 * A timed_fn (timed.h): an epoch at each multiple of WINDOW_TIMELAPSE, and one at once when it
 * becomes ACTIVE; the heartbeat of its service. To be called from the beginning on, so that there
 * is something measured when an epoch is due.
 */
double rebalancer_turn(void *rebalancer, double now);

struct rebalancer_stats {
	bool active;
	unsigned long epochs, swaps; /* asked for */
	size_t donors, receivers;    /* of the last epoch */
	double seconds, hold_s;      /* the last epoch; longest hold of the lock, ever */
};
void rebalancer_get_stats(struct rebalancer *rebalancer, struct rebalancer_stats *ret_stats);

#endif
