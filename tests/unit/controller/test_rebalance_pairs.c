/* SPDX-License-Identifier: Apache-2.0 */
#include "seed.h"
#include "test.h"

#include "amount_heap.h"
#include "rebalance_pairs.h"
#include "ebb/cleanup.h"

static struct rebalance_member member(enum rebalance_role role, int64_t current, int64_t max,
				      int64_t min, double usage)
{
	return (struct rebalance_member){
		.role = role, .current = current, .max = max, .min = min, .usage = usage};
}

TEST(the_heap_gives_the_largest_and_the_lowest_owner)
{
	struct amount_of items[8];
	struct amount_heap heap = {.items = items};
	static const int64_t amounts[] = {5, 9, 5, 1, 9, 7};
	static const size_t owners[] = {1, 4, 5, 0, 2, 3};

	for (size_t i = 0; i < ARRAY_SIZE(amounts); i++)
		amount_heap_push(&heap, amounts[i], i);
	for (size_t i = 0; i < ARRAY_SIZE(owners); i++)
		CHECK_INT(amount_heap_pop(&heap).owner, owners[i]);
	CHECK_INT(heap.n, 0);
}

/* Spec 7.4's vector. */
TEST(an_idle_one_gives_to_a_busy_one)
{
	struct rebalance_member m[] = {member(REBALANCE_DONOR, 200, 200, 20, 10),
				       member(REBALANCE_RECEIVER, 100, 200, 20, 98)};
	struct rebalance_pair pairs[2];
	size_t n;

	CHECK_INT(rebalance_deal(m, 2, false, 0.4, 5), 0);
	CHECK_INT(m[0].change, -72);
	CHECK_INT(m[1].change, 72);
	CHECK_INT(rebalance_match(m, 2, pairs, &n), 0);
	CHECK_INT(n, 1);
	CHECK_INT(pairs[0].donor, 0);
	CHECK_INT(pairs[0].receiver, 1);
	CHECK_INT(pairs[0].amount, 72);
}

TEST(slices_are_dealt_round_robin_the_neediest_first)
{
	/* 12 = 5 + 5 + 2: the one with the lowest current gets the first, and the piece. */
	struct rebalance_member m[] = {member(REBALANCE_RECEIVER, 80, 200, 20, 79),
				       member(REBALANCE_RECEIVER, 50, 200, 20, 49),
				       member(REBALANCE_DONOR, 50, 200, 20, 20)};

	CHECK_INT(rebalance_deal(m, 3, false, 0.4, 5), 0);
	CHECK_INT(m[0].change, 5);
	CHECK_INT(m[1].change, 7);
	CHECK_INT(m[2].change, -12);
}

TEST(a_receiver_stops_at_its_max_and_what_is_left_goes_on)
{
	struct rebalance_member m[] = {member(REBALANCE_DONOR, 200, 200, 20, 10),
				       member(REBALANCE_RECEIVER, 98, 101, 20, 98),
				       member(REBALANCE_RECEIVER, 100, 142, 20, 98)};

	CHECK_INT(rebalance_deal(m, 3, false, 0.4, 5), 0);
	CHECK_INT(m[1].change, 3);
	CHECK_INT(m[2].change, 42);
	/* What nobody takes stays where it is. */
	CHECK_INT(m[0].change, -45);
}

TEST(a_max_has_no_bound)
{
	struct rebalance_member m[] = {member(REBALANCE_DONOR, 0, 1000, 20, 10),
				       member(REBALANCE_RECEIVER, 0, 100, 20, 98)};

	CHECK_INT(rebalance_deal(m, 2, true, 0.4, 5), 0);
	CHECK_INT(m[1].change, 392);
}

TEST(nothing_happens_without_both)
{
	struct rebalance_member donors[] = {member(REBALANCE_DONOR, 200, 200, 20, 10),
					    member(REBALANCE_NEITHER, 100, 200, 20, 50)};
	struct rebalance_member receivers[] = {member(REBALANCE_RECEIVER, 100, 200, 20, 98)};
	struct rebalance_pair pairs[2];
	size_t n = 7;

	donors[0].change = 99; /* of the round before */
	CHECK_INT(rebalance_deal(donors, 2, false, 0.4, 5), 0);
	CHECK_INT(donors[0].change, 0);
	CHECK_INT(rebalance_deal(receivers, 1, false, 0.4, 5), 0);
	CHECK_INT(receivers[0].change, 0);
	CHECK_INT(rebalance_match(receivers, 1, pairs, &n), 0);
	CHECK_INT(n, 0);
	CHECK_INT(rebalance_deal(NULL, 0, false, 0.4, 5), 0);
}

TEST(the_largest_are_matched)
{
	struct rebalance_member m[4] = {
		{.change = -30}, {.change = 20}, {.change = -10}, {.change = 20}};
	struct rebalance_pair pairs[4];
	size_t n;

	CHECK_INT(rebalance_match(m, 4, pairs, &n), 0);
	CHECK_INT(n, 3);
	CHECK_INT(pairs[0].donor, 0);
	CHECK_INT(pairs[0].receiver, 1);
	CHECK_INT(pairs[0].amount, 20);
	CHECK_INT(pairs[1].donor, 0);
	CHECK_INT(pairs[1].receiver, 3);
	CHECK_INT(pairs[1].amount, 10);
	CHECK_INT(pairs[2].donor, 2);
	CHECK_INT(pairs[2].receiver, 3);
}

static uint64_t state;

static int64_t below(int64_t n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (int64_t)(state % (uint64_t)n);
}

static void check_round(struct rebalance_member *m, size_t n, bool moves_max, double stolen)
{
	struct rebalance_pair pairs[16];
	int64_t moved[16] = {}, sum = 0, room = 0, offered = 0, given = 0;
	size_t n_pairs, donors = 0, receivers = 0;

	CHECK_INT(rebalance_deal(m, n, moves_max, stolen, 1 + below(5)), 0);
	CHECK_INT(rebalance_match(m, n, pairs, &n_pairs), 0);
	for (size_t i = 0; i < n; i++) {
		int64_t before = moves_max ? m[i].max : m[i].current;

		sum += m[i].change;
		donors += m[i].change < 0;
		receivers += m[i].change > 0;
		CHECK(m[i].change >= 0 || m[i].role == REBALANCE_DONOR);
		CHECK(m[i].change <= 0 || m[i].role == REBALANCE_RECEIVER);
		CHECK(m[i].change >= 0 || before + m[i].change >= m[i].min);
		CHECK(m[i].change <= 0 || moves_max || before + m[i].change <= m[i].max);
		if (m[i].role == REBALANCE_DONOR) {
			int64_t offer = rebalance_offer(&m[i], moves_max, stolen);

			CHECK(-m[i].change <= offer);
			CHECK((double)-m[i].change <= fmax((double)before - m[i].usage, 1));
			offered += offer;
			given -= m[i].change;
		} else if (m[i].role == REBALANCE_RECEIVER) {
			room += moves_max ? 100000 : MAX(m[i].max - m[i].current, 0);
		}
	}
	CHECK_INT(sum, 0);
	/* All that is offered goes, if there is room for it. */
	CHECK_INT(given, MIN(offered, room));
	CHECK(n_pairs == 0 || n_pairs < donors + receivers);
	for (size_t i = 0; i < n_pairs; i++) {
		CHECK(pairs[i].donor != pairs[i].receiver && pairs[i].amount > 0);
		moved[pairs[i].donor] -= pairs[i].amount;
		moved[pairs[i].receiver] += pairs[i].amount;
	}
	for (size_t i = 0; i < n; i++)
		CHECK_INT(moved[i], m[i].change);
}

TEST(random_rounds_keep_the_sum_and_every_bound)
{
	uint64_t seed = test_seed(1);

	state = seed * 2 + 1;
	for (int round = 0; round < 20000; round++) {
		struct rebalance_member m[16];
		size_t n = (size_t)below(ARRAY_SIZE(m) + 1);

		for (size_t i = 0; i < n; i++) {
			int64_t min = below(100), max = min + below(300);

			m[i] = member((enum rebalance_role)below(3), below(400), max, min,
				      (double)below(4000) / 10);
			m[i].stopped = below(8) == 0;
		}
		check_round(m, n, below(2), (double)below(101) / 100);
	}
}

/* A domain with more than 65,536 slices goes in larger ones, and is still whole. */
TEST(large_amounts)
{
	struct rebalance_member m[] = {
		member(REBALANCE_DONOR, 0, (int64_t)1 << 40, 20, 10),
		member(REBALANCE_RECEIVER, 0, 100, 20, 98),
		member(REBALANCE_RECEIVER, 0, 100, 20, 99),
	};

	CHECK_INT(rebalance_deal(m, 3, true, 1, 5), 0);
	CHECK_INT(m[0].change, 20 - ((int64_t)1 << 40));
	CHECK_INT(m[1].change + m[2].change, -m[0].change);
	CHECK_NEAR((double)m[1].change / (double)m[2].change, 1, 0.001);
}

TEST_MAIN()
