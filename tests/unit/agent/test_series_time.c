/* SPDX-License-Identifier: Apache-2.0 */
#include "series.h"
#include "test.h"

static int64_t timestamp;
static unsigned wait_ms;

static bool due(int64_t wall_ms, unsigned period_s, int64_t last_s)
{
	timestamp = -1;
	return series_is_due(wall_ms, period_s, last_s, &timestamp, &wait_ms);
}

TEST(points_are_due_at_whole_multiples_of_the_period)
{
	CHECK(due(1795367510003, 5, 1795367505));
	CHECK_INT(timestamp, 1795367510);
	CHECK_INT(wait_ms, 4997);
	CHECK(due(1795367510000, 5, 1795367505));
	CHECK_INT(timestamp, 1795367510);
	CHECK_INT(wait_ms, 5000);
	CHECK(due(1795367520000, 60, 0));
	CHECK_INT(timestamp, 1795367520);
}

TEST(a_timer_that_comes_early_is_not_followed_by_another)
{
	CHECK(due(1795367509990, 5, 1795367505));
	CHECK_INT(timestamp, 1795367510);
	CHECK_INT(wait_ms, 5010);
	CHECK(!due(1795367510010, 5, 1795367510));
	CHECK_INT(timestamp, -1);
	CHECK_INT(wait_ms, 4990);
}

TEST(a_timer_that_comes_late_writes_for_its_own_moment)
{
	CHECK(due(1795367513000, 5, 1795367505));
	CHECK_INT(timestamp, 1795367510);
	CHECK_INT(wait_ms, 2000);
	/* So late that the next moment is near: one point, not two in a row. */
	CHECK(due(1795367514500, 5, 1795367505));
	CHECK_INT(timestamp, 1795367515);
	CHECK_INT(wait_ms, 5500);
}

TEST(a_moment_that_a_late_timer_passed_over_is_counted)
{
	/* Woken at ...510.0 and, after a stall, at ...519.5, which is nearer to 520 than to 515. */
	CHECK(due(1795367519500, 5, 1795367510));
	CHECK_INT(timestamp, 1795367520);
	CHECK_INT(series_passed_over(timestamp, 1795367510, 5, 9500000000ULL), 1);
	CHECK_INT(series_passed_over(1795367515, 1795367510, 5, 5000000000ULL), 0);
	CHECK_INT(series_passed_over(1795367515, 1795367510, 5, 3900000000ULL), 0);
	CHECK_INT(series_passed_over(1795367600, 1795367510, 5, 90000000000ULL), 17);
	CHECK_INT(series_passed_over(1795371110, 1795367510, 5, 5000000000ULL), 0); /* set */
	CHECK_INT(series_passed_over(1795363910, 1795367510, 5, 5000000000ULL), 0);
	CHECK_INT(series_passed_over(1795367515, 0, 5, 5000000000ULL), 0);
	CHECK_INT(series_passed_over(1795367512, 1795367510, 1, 2000000000ULL), 1);
}

TEST(no_moment_is_passed_over_in_silence)
{
	/* In time for ...510, 0.8 s late for ...511: that goes to ...512. */
	CHECK(due(1795367511800, 1, 1795367510));
	CHECK_INT(timestamp, 1795367512);
	CHECK_INT(series_passed_over(timestamp, 1795367510, 1, 1800000000ULL), 1);
	/* 0.7 s late for ...510, then 0.75 s for ...511. */
	CHECK_INT(series_passed_over(1795367512, 1795367510, 1, 1050000000ULL), 1);
	/* Woken at ...513.0 for ...510 and at ...518.8, which goes to ...520. */
	CHECK_INT(series_passed_over(1795367520, 1795367510, 5, 5800000000ULL), 1);
	/* However late two wakings are. */
	for (unsigned period_s = 1; period_s <= 5; period_s += 4)
		for (unsigned late = 0; late < 75; late++)
			for (unsigned then = 75; then < 500; then++) {
				int64_t first = 1795367510000 + (int64_t)late * 10 * period_s;
				int64_t second = 1795367510000 + 1000 * (int64_t)period_s +
						 (int64_t)then * 10 * period_s;

				CHECK(due(second, period_s, 1795367510));
				CHECK_INT(series_passed_over(timestamp, 1795367510, period_s,
							     (uint64_t)(second - first) * 1000000),
					  (timestamp - 1795367510) / period_s - 1);
			}
}

TEST(a_clock_that_was_set_passes_over_what_the_time_between_says)
{
	CHECK_INT(series_passed_over(1795371110, 1795367510, 5, 5000000001ULL), 0);
	CHECK_INT(series_passed_over(1795371110, 1795367510, 5, 15000000001ULL), 2);
	CHECK_INT(series_passed_over(1795371110, 1795367510, 1, 990000000ULL), 0);
}

TEST(a_clock_that_steps_finds_its_multiples_again)
{
	CHECK(due(1795367512300, 5, 1795367505)); /* forward by 2.3 s */
	CHECK_INT(timestamp, 1795367510);
	CHECK_INT(wait_ms, 2700);
	CHECK(due(1795371110000, 5, 1795367505)); /* by an hour */
	CHECK_INT(timestamp, 1795371110);
	CHECK(!due(1795367508000, 5, 1795367505)); /* back by 2 s: that was written */
	CHECK_INT(wait_ms, 2000);
	CHECK(due(1795363910000, 5, 1795367505)); /* back by an hour: it goes on there */
	CHECK_INT(timestamp, 1795363910);
}

TEST_MAIN()
