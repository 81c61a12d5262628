/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which order is sent next: so many at a time in all, and to each agent, in the order they came.
 * Agents take turns, so that one that is slow or silent holds up nobody else; orders that take long
 * (a memory limit that is lowered waits for reclaim) are counted apart from the others of their
 * agent. Pure: knows nothing of orders but their place here.
 */
#ifndef EBB_ORDER_QUEUE_H
#define EBB_ORDER_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

struct order_lane;
/* A member of what is queued. */
struct order_place {
	struct order_place *next;
	struct order_lane *lane;
};

struct order_queue_limits {
	unsigned all, quick, slow; /* under way: in all; to one agent, of either kind */
};

struct order_queue;
struct order_queue *order_queue_new(const struct order_queue_limits *limits); /* NULL: no memory */
/* Nothing may be queued or under way. */
void order_queue_free(struct order_queue *queue);

/* Copies `address`. -ENOMEM */
int order_queue_push(struct order_queue *queue, struct order_place *place, const char *address,
		     bool slow);
/* The next to be sent, now under way; NULL: none at the moment. */
struct order_place *order_queue_next(struct order_queue *queue);
/* One that was under way is done. */
void order_queue_done(struct order_queue *queue, struct order_place *place);
/* Takes the first that waits for the agent and kind of `place`, which is under way; NULL: none. */
struct order_place *order_queue_withdraw(struct order_queue *queue,
					 const struct order_place *place);

size_t order_queue_waiting(const struct order_queue *queue);
size_t order_queue_under_way(const struct order_queue *queue);

#endif
