/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "series_clock.h"

TEST(series_clock_strikes_at_whole_multiples)
{
	struct series_clock clock = {};
	double at = 0;
	int strikes = 0;

	CHECK(!series_clock_strikes(&clock, 5, 1001, &at));
	for (double now = 1001; now < 1021; now += 0.25)
		if (series_clock_strikes(&clock, 5, now, &at)) {
			CHECK_NEAR(at, 1005 + 5 * strikes, 1e-9);
			CHECK_NEAR(now, at, 1e-9);
			strikes++;
		}
	CHECK_INT(strikes, 4);
}

TEST(series_clock_does_not_make_up_for_what_was_missed)
{
	struct series_clock clock = {};
	double at = 0;

	series_clock_strikes(&clock, 5, 1001, &at);
	CHECK(series_clock_strikes(&clock, 5, 1093, &at));
	CHECK_NEAR(at, 1090, 1e-9);
	CHECK(!series_clock_strikes(&clock, 5, 1093, &at));
	CHECK(!series_clock_strikes(&clock, 5, 1094.9, &at));
	CHECK(series_clock_strikes(&clock, 5, 1095, &at));
}

TEST(series_clock_takes_fractions)
{
	struct series_clock clock = {};
	double at = 0, last = 0;
	int strikes = 0;

	for (int ms = 1000000; ms < 1015000; ms += 10) {
		if (!series_clock_strikes(&clock, 1.1, ms / 1000.0, &at))
			continue;
		if (strikes++)
			CHECK_NEAR(at - last, 1.1, 1e-6);
		last = at;
		CHECK_NEAR(at, ms / 1000.0, 0.011);
	}
	CHECK(strikes == 13 || strikes == 14);
}

TEST(series_clock_new_period)
{
	struct series_clock clock = {};
	double at = 0;

	series_clock_strikes(&clock, 3600, 1001, &at);
	CHECK(!series_clock_strikes(&clock, 2, 1001.5, &at));
	CHECK(series_clock_strikes(&clock, 2, 1002, &at));
	CHECK_NEAR(at, 1002, 1e-9);
	/* Never twice for one moment. */
	CHECK(!series_clock_strikes(&clock, 3, 1002.1, &at));
	CHECK(series_clock_strikes(&clock, 3, 1005, &at));
}

TEST(series_clock_that_is_set)
{
	struct series_clock clock = {};
	double at = 0;

	series_clock_strikes(&clock, 5, 5001, &at);
	/* Back: it does not wait for an hour. */
	CHECK(!series_clock_strikes(&clock, 5, 1001, &at));
	CHECK(series_clock_strikes(&clock, 5, 1005.1, &at));
	CHECK_NEAR(at, 1005, 1e-9);
	/* Forward. */
	CHECK(series_clock_strikes(&clock, 5, 9001, &at));
	CHECK_NEAR(at, 9000, 1e-9);
	CHECK(!series_clock_strikes(&clock, 5, 9001.1, &at));
}

TEST_MAIN()
