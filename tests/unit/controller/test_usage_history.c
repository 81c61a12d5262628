/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "usage_history.h"
#include "ebb/cleanup.h"
#include "ebb/units.h"

#define S(seconds) ((uint64_t)((seconds)*1e9))

static const struct usage_window plain = {.length = 8, .resources = 1u << EBB_CPU | 1u << EBB_MEM};
static const struct usage_window late = {
	.length = 8, .delay = 16, .resources = 1u << EBB_CPU | 1u << EBB_MEM};

static void add(struct usage_history *history, double at, double seconds, double cpu, double mem)
{
	struct guard_sample sample = {
		.seconds = seconds,
		.valid = 1u << EBB_CPU | (isnan(mem) ? 0 : 1u << EBB_MEM),
		.usage = {[EBB_CPU] = cpu, [EBB_MEM] = mem},
	};

	usage_history_add(history, S(at), &sample);
}

TEST(usage_history_is_a_mean_by_time)
{
	_cleanup_free_ struct usage_history *history = usage_history_new(&plain);

	add(history, 1000.1, 0.1, 100, 50);
	add(history, 1000.2, 0.1, 200, 50);
	/* Late, and for a whole second. */
	add(history, 1001.2, 1.0, 50, 60);
	CHECK_NEAR(usage_history_mean(history, S(1001.5), EBB_CPU), (10 + 20 + 50) / 1.2, 1e-3);
	CHECK_NEAR(usage_history_mean(history, S(1001.5), EBB_MEM), (5 + 5 + 60) / 1.2, 1e-3);
	CHECK(isnan(usage_history_mean(history, S(1001.5), EBB_ENERGY)));
}

TEST(usage_history_forgets_what_is_out_of_the_window)
{
	_cleanup_free_ struct usage_history *history = usage_history_new(&plain);

	for (int i = 0; i < 20; i++)
		add(history, 1000.5 + i, 1, 10 * i, 1);
	/* 11 to 19 are in slices 1011 to 1019: the one that is being filled and eight more. */
	CHECK_NEAR(usage_history_mean(history, S(1019.9), EBB_CPU), 150, 1e-3);
	/* Nothing came since. */
	CHECK_NEAR(usage_history_mean(history, S(1026.5), EBB_CPU), 185, 1e-3);
	CHECK_NEAR(usage_history_mean(history, S(1027.5), EBB_CPU), 190, 1e-3);
	CHECK(isnan(usage_history_mean(history, S(1028.5), EBB_CPU)));
	CHECK(isnan(usage_history_mean(history, S(90000), EBB_CPU)));
	/* And then something came, after longer than the ring is. */
	add(history, 2000.5, 1, 7, NAN);
	CHECK_NEAR(usage_history_mean(history, S(2000.9), EBB_CPU), 7, 1e-3);
	CHECK(isnan(usage_history_mean(history, S(2000.9), EBB_MEM)));
}

TEST(usage_history_window_ends_when_it_was_asked_to)
{
	_cleanup_free_ struct usage_history *history = usage_history_new(&late);

	/* One second of each number, from 1000 on. */
	for (int i = 0; i < 60; i++) {
		double mean;

		add(history, 1000.5 + i, 1, i, 2 * i);
		mean = usage_history_mean(history, S(1000.6 + i), EBB_CPU);
		if (i < 16) {
			CHECK(isnan(mean));
			continue;
		}
		/* The newest is of 16 s ago, the oldest of eight more. */
		CHECK_NEAR(mean, (i - 16 + MAX(i - 24, 0)) / 2.0, 1e-3);
		CHECK_NEAR(usage_history_mean(history, S(1000.6 + i), EBB_MEM), 2 * mean, 1e-3);
	}
}

TEST(usage_history_keeps_the_resources_apart)
{
	static const struct usage_window one = {.length = 2, .resources = 1u << EBB_DISK_WRITE};
	_cleanup_free_ struct usage_history *history = usage_history_new(&one);
	struct guard_sample sample = {
		.seconds = 0.5,
		.valid = 63,
		.usage = {1, 2, 3, 4, 5, 6},
	};

	usage_history_add(history, S(50), &sample);
	for (int r = 0; r < EBB_RESOURCE_MAX; r++) {
		double mean = usage_history_mean(history, S(50.1), r);

		if (r == EBB_DISK_WRITE)
			CHECK_NEAR(mean, 4, 1e-6);
		else
			CHECK(isnan(mean));
	}
	sample.usage[EBB_DISK_WRITE] = NAN;
	usage_history_add(history, S(50.2), &sample);
	sample.usage[EBB_DISK_WRITE] = 100;
	sample.seconds = 0;
	usage_history_add(history, S(50.2), &sample);
	CHECK_NEAR(usage_history_mean(history, S(50.3), EBB_DISK_WRITE), 4, 1e-6);
}

TEST(usage_history_fits_one_window_only)
{
	_cleanup_free_ struct usage_history *history = usage_history_new(&late);
	struct usage_window other = late;

	CHECK(usage_history_fits(history, &late));
	CHECK(!usage_history_fits(history, &plain));
	other.resources |= 1u << EBB_NET;
	CHECK(!usage_history_fits(history, &other));
	other = late;
	other.length = 8.5;
	CHECK(!usage_history_fits(history, &other));
	CHECK(usage_history_bytes(history) < 600);
}

TEST(usage_history_at_the_beginning_of_time)
{
	_cleanup_free_ struct usage_history *history = usage_history_new(&late);

	CHECK(isnan(usage_history_mean(history, 0, EBB_CPU)));
	add(history, 0.5, 0.5, 10, 10);
	CHECK(isnan(usage_history_mean(history, S(1), EBB_CPU)));
	CHECK_NEAR(usage_history_mean(history, S(16.6), EBB_CPU), 10, 1e-6);
}

TEST_MAIN()
