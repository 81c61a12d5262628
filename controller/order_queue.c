/* SPDX-License-Identifier: Apache-2.0 */
#include "order_queue.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "name_index.h"
#include "ebb/cleanup.h"

/* Of one agent, and one kind. There while it has orders. */
struct order_lane {
	char *key;
	bool slow;
	struct order_place *first, **end;
	unsigned under_way;
	bool in_turn;
	struct order_lane *next_turn;
};

struct order_queue {
	struct order_queue_limits limits;
	struct name_index *lanes;
	struct order_lane *turn, **turn_end; /* those that have one to send and may */
	size_t waiting, under_way;
};

struct order_queue *order_queue_new(const struct order_queue_limits *limits)
{
	struct order_queue *queue = calloc(1, sizeof(*queue));

	if (!queue)
		return NULL;
	queue->limits = *limits;
	queue->turn_end = &queue->turn;
	queue->lanes = name_index_new();
	if (!queue->lanes) {
		free(queue);
		return NULL;
	}
	return queue;
}

void order_queue_free(struct order_queue *queue)
{
	if (!queue)
		return;
	name_index_free(queue->lanes);
	free(queue);
}

static void take_turn(struct order_queue *queue, struct order_lane *lane)
{
	unsigned most = lane->slow ? queue->limits.slow : queue->limits.quick;

	if (lane->in_turn || !lane->first || lane->under_way >= most)
		return;
	lane->in_turn = true;
	lane->next_turn = NULL;
	*queue->turn_end = lane;
	queue->turn_end = &lane->next_turn;
}

static struct order_lane *lane_get(struct order_queue *queue, const char *address, bool slow)
{
	_cleanup_free_ char *key = NULL;
	struct order_lane *lane;

	if (asprintf(&key, "%c%s", slow ? 's' : 'q', address) < 0) {
		key = NULL;
		return NULL;
	}
	lane = name_index_get(queue->lanes, key);
	if (lane)
		return lane;
	lane = calloc(1, sizeof(*lane));
	if (!lane)
		return NULL;
	lane->slow = slow;
	lane->end = &lane->first;
	lane->key = TAKE_PTR(key);
	if (name_index_add(queue->lanes, lane->key, lane) < 0) {
		free(lane->key);
		free(lane);
		return NULL;
	}
	return lane;
}

static void lane_put(struct order_queue *queue, struct order_lane *lane)
{
	if (lane->first || lane->under_way || lane->in_turn)
		return;
	name_index_remove(queue->lanes, lane->key);
	free(lane->key);
	free(lane);
}

static struct order_place *lane_shift(struct order_queue *queue, struct order_lane *lane)
{
	struct order_place *place = lane->first;

	if (!place)
		return NULL;
	lane->first = place->next;
	if (!lane->first)
		lane->end = &lane->first;
	place->next = NULL;
	queue->waiting--;
	return place;
}

int order_queue_push(struct order_queue *queue, struct order_place *place, const char *address,
		     bool slow)
{
	struct order_lane *lane = lane_get(queue, address, slow);

	if (!lane)
		return -ENOMEM;
	place->lane = lane;
	place->next = NULL;
	*lane->end = place;
	lane->end = &place->next;
	queue->waiting++;
	take_turn(queue, lane);
	return 0;
}

struct order_place *order_queue_next(struct order_queue *queue)
{
	while (queue->turn && queue->under_way < queue->limits.all) {
		struct order_lane *lane = queue->turn;
		struct order_place *place = lane_shift(queue, lane);

		queue->turn = lane->next_turn;
		if (!queue->turn)
			queue->turn_end = &queue->turn;
		lane->in_turn = false;
		if (!place) {
			/* What it had was withdrawn. */
			lane_put(queue, lane);
			continue;
		}
		lane->under_way++;
		queue->under_way++;
		take_turn(queue, lane);
		return place;
	}
	return NULL;
}

void order_queue_done(struct order_queue *queue, struct order_place *place)
{
	struct order_lane *lane = place->lane;

	lane->under_way--;
	queue->under_way--;
	place->lane = NULL;
	take_turn(queue, lane);
	lane_put(queue, lane);
}

struct order_place *order_queue_withdraw(struct order_queue *queue, const struct order_place *place)
{
	return lane_shift(queue, place->lane);
}

size_t order_queue_waiting(const struct order_queue *queue)
{
	return queue->waiting;
}

size_t order_queue_under_way(const struct order_queue *queue)
{
	return queue->under_way;
}
