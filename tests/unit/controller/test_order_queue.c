/* SPDX-License-Identifier: Apache-2.0 */
#include "order_queue.h"

#include "ebb/util.h"
#include "test.h"

static struct order_queue *queue;
static struct order_place places[64];

static void begin(unsigned all, unsigned quick, unsigned slow)
{
	queue = order_queue_new(&(struct order_queue_limits){all, quick, slow});
	CHECK(queue);
}

static void push(int i, const char *address, bool slow)
{
	CHECK_INT(order_queue_push(queue, &places[i], address, slow), 0);
}

/* Its number; -1: none. */
static int next(void)
{
	struct order_place *place = order_queue_next(queue);

	return place ? (int)(place - places) : -1;
}

static void done(int i)
{
	order_queue_done(queue, &places[i]);
}

TEST(orders_of_one_agent_keep_their_order)
{
	begin(10, 2, 1);
	for (int i = 0; i < 4; i++)
		push(i, "a", false);
	CHECK_INT(next(), 0);
	CHECK_INT(next(), 1);
	CHECK_INT(next(), -1);
	CHECK_INT(order_queue_waiting(queue), 2);
	done(1);
	CHECK_INT(next(), 2);
	CHECK_INT(next(), -1);
	done(0);
	CHECK_INT(next(), 3);
	done(2);
	done(3);
	CHECK_INT(order_queue_under_way(queue), 0);
	order_queue_free(queue);
}

TEST(agents_take_turns)
{
	begin(3, 8, 1);
	push(0, "a", false);
	push(1, "a", false);
	push(2, "a", false);
	push(3, "b", false);
	push(4, "c", false);
	CHECK_INT(next(), 0);
	CHECK_INT(next(), 3);
	CHECK_INT(next(), 4);
	CHECK_INT(next(), -1);
	done(4);
	CHECK_INT(next(), 1);
	done(0);
	CHECK_INT(next(), 2);
	done(1);
	done(2);
	done(3);
	order_queue_free(queue);
}

TEST(slow_orders_hold_up_no_quick_ones)
{
	begin(10, 1, 1);
	push(0, "a", true);
	push(1, "a", true);
	push(2, "a", false);
	CHECK_INT(next(), 0);
	CHECK_INT(next(), 2);
	CHECK_INT(next(), -1);
	done(2);
	CHECK_INT(next(), -1);
	done(0);
	CHECK_INT(next(), 1);
	done(1);
	order_queue_free(queue);
}

TEST(what_waits_can_be_withdrawn)
{
	begin(10, 1, 1);
	push(0, "a", false);
	push(1, "a", false);
	push(2, "b", false);
	push(3, "a", false);
	CHECK_INT(next(), 0);
	CHECK(order_queue_withdraw(queue, &places[0]) == &places[1]);
	CHECK(order_queue_withdraw(queue, &places[0]) == &places[3]);
	CHECK(!order_queue_withdraw(queue, &places[0]));
	CHECK_INT(order_queue_waiting(queue), 1);
	done(0);
	CHECK_INT(next(), 2);
	push(4, "a", false);
	CHECK_INT(next(), 4);
	done(2);
	done(4);
	CHECK_INT(order_queue_waiting(queue), 0);
	order_queue_free(queue);
}

TEST(withdrawing_all_of_a_lane_that_has_its_turn)
{
	begin(1, 2, 1);
	push(0, "a", false);
	push(1, "a", false);
	CHECK_INT(next(), 0);
	CHECK(order_queue_withdraw(queue, &places[0]) == &places[1]);
	done(0);
	CHECK_INT(next(), -1);
	push(2, "a", false);
	CHECK_INT(next(), 2);
	done(2);
	order_queue_free(queue);
}

TEST_MAIN()
