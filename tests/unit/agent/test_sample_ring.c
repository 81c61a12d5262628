/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "sample_ring.h"

static struct sample_ring ring;

static void clear(void *unused)
{
	sample_ring_clear(&ring);
}

static unsigned push(uint64_t at, unsigned limit)
{
	struct ebb_sample sample = {.at_ns = at};

	return sample_ring_push(&ring, &sample, limit);
}

static void check_holds(uint64_t first, uint64_t last)
{
	CHECK_INT(ring.n, last - first + 1);
	for (unsigned i = 0; i < ring.n; i++)
		CHECK_INT(sample_ring_at(&ring, i)->at_ns, first + i);
}

TEST(ring_keeps_order_while_growing)
{
	test_at_end(clear, NULL);
	for (int i = 1; i <= 100; i++) {
		CHECK_INT(push(i, 1000), 0);
		if (i == 10) {
			sample_ring_send(&ring, 5);
			sample_ring_sent(&ring, true);
		}
	}
	check_holds(6, 100);
}

TEST(ring_drops_the_oldest_at_its_limit)
{
	unsigned lost = 0;

	test_at_end(clear, NULL);
	for (int i = 1; i <= 50; i++)
		lost += push(i, 20);
	CHECK_INT(lost, 30);
	check_holds(31, 50);
	/* The limit fell: one more goes than comes. */
	CHECK_INT(push(51, 10), 11);
	check_holds(42, 51);
}

TEST(ring_sends_again_what_did_not_arrive)
{
	test_at_end(clear, NULL);
	for (int i = 1; i <= 10; i++)
		push(i, 100);
	sample_ring_send(&ring, 10);
	push(11, 100);
	sample_ring_sent(&ring, false);
	check_holds(1, 11);
	sample_ring_send(&ring, 11);
	push(12, 100);
	sample_ring_sent(&ring, true);
	check_holds(12, 12);
}

TEST(ring_drops_while_in_flight)
{
	test_at_end(clear, NULL);
	for (int i = 1; i <= 10; i++)
		push(i, 10);
	sample_ring_send(&ring, 4);
	CHECK_INT(push(11, 10), 1);
	CHECK_INT(push(12, 10), 1);
	/* 1 and 2 were dropped, 3 and 4 arrived. */
	sample_ring_sent(&ring, true);
	check_holds(5, 12);
	sample_ring_send(&ring, 8);
	for (int i = 13; i <= 30; i++)
		push(i, 10);
	sample_ring_sent(&ring, true);
	check_holds(21, 30);
}

TEST(ring_drops_by_age)
{
	test_at_end(clear, NULL);
	for (int i = 1; i <= 20; i++)
		push(i, 100);
	sample_ring_send(&ring, 6);
	CHECK_INT(sample_ring_expire(&ring, 1), 0);
	CHECK_INT(sample_ring_expire(&ring, 5), 4);
	check_holds(5, 20);
	/* 5 and 6 were on their way. */
	sample_ring_sent(&ring, true);
	check_holds(7, 20);
	CHECK_INT(sample_ring_expire(&ring, 1000), 14);
	CHECK_INT(ring.n, 0);
	CHECK_INT(sample_ring_expire(&ring, 1000), 0);
}

TEST(ring_gives_memory_back)
{
	test_at_end(clear, NULL);
	for (int i = 1; i <= 500; i++)
		push(i, 1000);
	sample_ring_send(&ring, 500);
	sample_ring_sent(&ring, true);
	CHECK(!ring.samples);
	push(1, 10);
	CHECK_INT(ring.size, 12);
	sample_ring_send(&ring, 1);
	sample_ring_sent(&ring, true);
	CHECK(ring.samples);
}

TEST_MAIN()
