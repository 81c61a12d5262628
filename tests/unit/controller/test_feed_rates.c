/* SPDX-License-Identifier: Apache-2.0 */
#include "feed_rates.h"

#include "ebb/units.h"
#include "../../test.h"

static struct feed_sample at(int64_t t)
{
	struct feed_sample sample = {.c = 1, .t = t};

	for (int i = 0; i < FEED_COUNTERS; i++)
		sample.counters[i] = FEED_NONE;
	return sample;
}

TEST(cpu_is_shares_of_a_core)
{
	struct feed_sample before = at(1000000000), now = at(1100000000);
	struct guard_sample rates;

	before.counters[FEED_CPU_NS] = 5000000000;
	now.counters[FEED_CPU_NS] = 5150000000;
	CHECK(feed_rates(&before, &now, &rates));
	CHECK_INT(rates.valid, 1 << EBB_CPU);
	CHECK_NEAR(rates.usage[EBB_CPU], 150, 1e-9);
	CHECK_NEAR(rates.at, 1.1, 1e-9);
	CHECK_NEAR(rates.seconds, 0.1, 1e-9);
	CHECK(isnan(rates.usage[EBB_MEM]));
	CHECK(isnan(rates.throttled));
	CHECK(isnan(rates.wait));
}

TEST(memory_is_the_working_set)
{
	struct feed_sample before = at(1), now = at(2);
	struct guard_sample rates;

	now.counters[FEED_MEM_CHARGED] = 300 * (int64_t)EBB_MIB;
	CHECK(feed_rates(&before, &now, &rates));
	CHECK_NEAR(rates.usage[EBB_MEM], 300, 1e-9);
	now.counters[FEED_WORKING_SET] = 200 * (int64_t)EBB_MIB;
	CHECK(feed_rates(&before, &now, &rates));
	CHECK_NEAR(rates.usage[EBB_MEM], 200, 1e-9);
	CHECK_INT(rates.valid, 1 << EBB_MEM);
}

TEST(disk_is_mib_per_second)
{
	struct feed_sample before = at(0), now = at(500000000);
	struct guard_sample rates;

	before.counters[FEED_READ_BYTES] = 0;
	now.counters[FEED_READ_BYTES] = 50 * (int64_t)EBB_MIB;
	before.counters[FEED_WRITE_BYTES] = now.counters[FEED_WRITE_BYTES] = 7;
	CHECK(feed_rates(&before, &now, &rates));
	CHECK_NEAR(rates.usage[EBB_DISK_READ], 100, 1e-9);
	CHECK_NEAR(rates.usage[EBB_DISK_WRITE], 0, 1e-9);
	CHECK_INT(rates.valid, 1 << EBB_DISK_READ | 1 << EBB_DISK_WRITE);
}

static double throttled(int64_t periods0, int64_t throttled0, int64_t periods1, int64_t throttled1)
{
	struct feed_sample before = at(1), now = at(2);
	struct guard_sample rates;

	before.counters[FEED_NR_PERIODS] = periods0;
	before.counters[FEED_NR_THROTTLED] = throttled0;
	now.counters[FEED_NR_PERIODS] = periods1;
	now.counters[FEED_NR_THROTTLED] = throttled1;
	CHECK(feed_rates(&before, &now, &rates));
	return rates.throttled;
}

TEST(throttled_is_a_share_of_periods)
{
	CHECK_NEAR(throttled(10, 2, 14, 5), 0.75, 1e-9);
	CHECK_NEAR(throttled(10, 2, 10, 2), 0, 1e-9);
	CHECK_NEAR(throttled(10, 2, 11, 4), 1, 1e-9);
}

TEST(held_back_is_shares_over_a_period_at_least)
{
	struct feed_sample before = at(1000000000), now = at(1200000000);
	struct guard_sample rates;

	CHECK(feed_rates(&before, &now, &rates));
	CHECK(isnan(rates.held_back));
	before.counters[FEED_THROTTLED_NS] = 1000;
	now.counters[FEED_THROTTLED_NS] = 1000 + 240000000;
	CHECK(feed_rates(&before, &now, &rates));
	CHECK_NEAR(rates.held_back, 120, 1e-9);
	now.t = 1010000000;
	CHECK(feed_rates(&before, &now, &rates));
	CHECK_NEAR(rates.held_back, 240, 1e-9);
	now.counters[FEED_THROTTLED_NS] = 0;
	CHECK(feed_rates(&before, &now, &rates));
	CHECK(isnan(rates.held_back));
}

TEST(cfs_counters_wrap_at_32_bits)
{
	CHECK_NEAR(throttled(4294967294, 4294967295, 2, 1), 0.5, 1e-9);
}

TEST(no_time_or_backwards_is_a_new_start)
{
	struct feed_sample before = at(5), now = at(5);
	struct guard_sample rates = {.seconds = 77};

	CHECK(!feed_rates(&before, &now, &rates));
	now.t = 4;
	CHECK(!feed_rates(&before, &now, &rates));
	now.t = 6;
	before.counters[FEED_CPU_NS] = 100;
	now.counters[FEED_CPU_NS] = 99;
	CHECK(!feed_rates(&before, &now, &rates));
	now.counters[FEED_CPU_NS] = 100;
	before.counters[FEED_WRITE_BYTES] = 8;
	now.counters[FEED_WRITE_BYTES] = 7;
	CHECK(!feed_rates(&before, &now, &rates));
	CHECK_NEAR(rates.seconds, 77, 0);
}

TEST_MAIN()
