/* SPDX-License-Identifier: Apache-2.0 */
#include "seed.h"
#include "test.h"

#include "rebalance_weights.h"
#include "ebb/cleanup.h"

static struct rebalance_member member(int64_t current, int64_t max, double usage, double weight)
{
	return (struct rebalance_member){
		.current = current, .max = max, .min = 20, .usage = usage, .weight = weight};
}

/* Close to what it may use: the original has it the other way round. */
TEST(who_consumes)
{
	struct rebalance_member m = member(100, 200, 60, 1);

	CHECK(rebalance_consumes(&m, false, 0.4));
	m.usage = 59;
	CHECK(!rebalance_consumes(&m, false, 0.4));
	m.usage = 130;
	CHECK(rebalance_consumes(&m, false, 0.4));
	CHECK(rebalance_consumes(&m, true, 0.4));
	m.usage = 119;
	CHECK(!rebalance_consumes(&m, true, 0.4));
	m.current = 0;
	m.usage = 0;
	CHECK(!rebalance_consumes(&m, false, 0.4));
}

TEST(shares_follow_weights)
{
	struct rebalance_member m[] = {member(150, 400, 150, 1), member(150, 400, 150, 2),
				       member(300, 400, 10, 5), member(100, 400, 100, 0)};

	CHECK_INT(rebalance_weigh(m, 4, false, 0.4), 0);
	CHECK_INT(m[0].change, -50);
	CHECK_INT(m[1].change, 50);
	/* Idle, and without a weight: not part of it. */
	CHECK_INT(m[2].change, 0);
	CHECK_INT(m[3].change, 0);
}

TEST(what_one_cannot_take_goes_to_the_others)
{
	/* 400 by 1:2:1 is 100, 200, 100; the second may have 120 only. */
	struct rebalance_member m[] = {member(200, 400, 200, 1), member(100, 120, 100, 2),
				       member(100, 400, 100, 1)};

	CHECK_INT(rebalance_weigh(m, 3, false, 0.4), 0);
	CHECK_INT(200 + m[0].change, 140);
	CHECK_INT(100 + m[1].change, 120);
	CHECK_INT(100 + m[2].change, 140);
}

TEST(nobody_falls_below_its_min)
{
	struct rebalance_member m[] = {member(100, 400, 100, 1), member(100, 400, 100, 99)};

	CHECK_INT(rebalance_weigh(m, 2, false, 0.4), 0);
	CHECK_INT(m[0].change, -80);
	CHECK_INT(m[1].change, 80);
}

TEST(rounding_loses_nothing)
{
	struct rebalance_member m[] = {member(40, 400, 40, 1), member(30, 400, 30, 1),
				       member(30, 400, 30, 1)};

	CHECK_INT(rebalance_weigh(m, 3, false, 0.4), 0);
	CHECK_INT(m[0].change, -6);
	CHECK_INT(m[1].change, 3);
	CHECK_INT(m[2].change, 3);
}

TEST(one_alone_keeps_what_it_has)
{
	struct rebalance_member m[] = {member(100, 400, 100, 3), member(100, 400, 5, 1)};

	m[0].change = 17; /* of another round */
	CHECK_INT(rebalance_weigh(m, 2, false, 0.4), 0);
	CHECK_INT(m[0].change, 0);
	CHECK_INT(rebalance_weigh(NULL, 0, false, 0.4), 0);
}

TEST(random_weights_keep_the_sum_and_every_bound)
{
	uint64_t seed = test_seed(1);
	unsigned random = (unsigned)seed;

	for (int round = 0; round < 5000; round++) {
		struct rebalance_member m[12];
		size_t n = (size_t)rand_r(&random) % (ARRAY_SIZE(m) + 1);
		bool moves_max = rand_r(&random) % 2;
		int64_t sum = 0;

		for (size_t i = 0; i < n; i++) {
			int64_t current = rand_r(&random) % 400;

			m[i] = member(current, 20 + rand_r(&random) % 400,
				      (double)current * (rand_r(&random) % 3) / 2,
				      rand_r(&random) % 4 ? (double)(rand_r(&random) % 1000) / 7
							  : 0);
		}
		CHECK_INT(rebalance_weigh(m, n, moves_max, 0.4), 0);
		for (size_t i = 0; i < n; i++) {
			int64_t before = moves_max ? m[i].max : m[i].current;
			int64_t after = before + m[i].change;

			sum += m[i].change;
			CHECK(m[i].change >= 0 || after >= m[i].min);
			CHECK(m[i].change <= 0 || moves_max || after <= m[i].max);
			CHECK(m[i].change == 0 ||
			      (m[i].weight > 0 && rebalance_consumes(&m[i], moves_max, 0.4)));
		}
		CHECK_INT(sum, 0);
	}
}

TEST_MAIN()
