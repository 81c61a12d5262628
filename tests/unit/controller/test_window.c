/* SPDX-License-Identifier: Apache-2.0 */
#include "ebb/cleanup.h"
#include "events.h"
#include "test.h"
#include "window.h"

TEST(window_empty)
{
	struct window window = {};
	struct window_stats stats = window_stats(&window, 1000, 0.3, 0);

	CHECK(isnan(stats.usage) && isnan(stats.peak) && isnan(stats.throttled) &&
	      isnan(stats.growth) && isnan(stats.before));
}

TEST(window_mean_and_peak)
{
	struct window window = {};
	struct window_stats stats;

	window_add(&window, 100, 0.1, 10, 0, 0.3);
	stats = window_stats(&window, 100, 0.3, 0);
	CHECK_NEAR(stats.usage, 10, 1e-6);
	CHECK(isnan(stats.growth) && isnan(stats.before));

	window_add(&window, 200, 0.1, 20, 1, 0.3);
	window_add(&window, 300, 0.1, 60, NAN, 0.3);
	stats = window_stats(&window, 300, 0.3, 0);
	CHECK_NEAR(stats.usage, 30, 1e-5);
	CHECK_NEAR(stats.before, 15, 1e-5);
	CHECK_NEAR(stats.peak, 60, 0);
	CHECK_NEAR(stats.throttled, 0.5, 1e-6);

	/* The first leaves the window. */
	window_add(&window, 400, 0.1, 60, 0, 0.3);
	stats = window_stats(&window, 400, 0.3, 0);
	CHECK_NEAR(stats.usage, 140 / 3.0, 1e-4);

	/* Nothing newer for a while. */
	CHECK(isnan(window_stats(&window, 800, 0.3, 0).usage));
	window_clear(&window);
	CHECK(isnan(window_stats(&window, 400, 0.3, 0).usage));
}

TEST(window_weighs_by_time)
{
	struct window window = {};

	window_add(&window, 100, 0.1, 100, 0, 1);
	window_add(&window, 400, 0.3, 20, 0, 1);
	CHECK_NEAR(window_stats(&window, 400, 1, 0).usage, 40, 1e-4);
}

/* A sample longer than the window still is the window. */
TEST(window_of_slow_samples)
{
	struct window window = {};

	window_add(&window, 5000, 5, 80, 0, 0.3);
	CHECK_NEAR(window_stats(&window, 5000, 0.3, 0).usage, 80, 1e-4);
}

/* The original's ten seconds, ten samples a second, in fifteen slots. */
TEST(window_long)
{
	struct window window = {};
	struct window_stats stats = {};

	for (int i = 1; i <= 1000; i++) {
		window_add(&window, (uint32_t)i * 100, 0.1, i % 2 ? 50 : 150, i % 4 == 0, 10);
		stats = window_stats(&window, (uint32_t)i * 100, 10, 0);
		if (i > 110) {
			CHECK_NEAR(stats.usage, 100, 5);
			CHECK_NEAR(stats.peak, 150, 0);
			CHECK_NEAR(stats.throttled, 0.25, 0.05);
		}
	}
	/* A burst is seen for ten seconds and no longer than a slot more. */
	window_add(&window, 100100, 0.1, 1000, 0, 10);
	for (int i = 1002; i <= 1200; i++) {
		window_add(&window, (uint32_t)i * 100, 0.1, 100, 0, 10);
		stats = window_stats(&window, (uint32_t)i * 100, 10, 0);
		if (i <= 1001 + 92)
			CHECK_NEAR(stats.peak, 1000, 0);
		if (i >= 1001 + 109)
			CHECK_NEAR(stats.peak, 100, 60);
	}
}

TEST(window_delayed)
{
	struct window window = {};

	for (int i = 1; i <= 40; i++)
		window_add(&window, (uint32_t)i * 100, 0.1, i, 0, 0.7);
	/* Ends 400 ms ago: samples 34, 35, 36. */
	CHECK_NEAR(window_stats(&window, 4000, 0.3, 0.4).usage, 35, 1e-4);
	CHECK_NEAR(window_stats(&window, 4000, 0.3, 0.4).peak, 36, 0);
}

TEST(window_growth_is_steady)
{
	struct window window = {};

	window_add(&window, 100, 0.1, 100, NAN, 0.3);
	window_add(&window, 200, 0.1, 120, NAN, 0.3);
	CHECK_NEAR(window_stats(&window, 200, 0.3, 0).growth, 200, 0.1);
	window_add(&window, 300, 0.1, 150, NAN, 0.3);
	CHECK_NEAR(window_stats(&window, 300, 0.3, 0).growth, 200, 0.1);
	/* A jump is not growth, nor is what goes up and down. */
	window_add(&window, 400, 0.1, 150, NAN, 0.3);
	CHECK_NEAR(window_stats(&window, 400, 0.3, 0).growth, 0, 0);
	window_add(&window, 500, 0.1, 100, NAN, 0.3);
	window_add(&window, 600, 0.1, 90, NAN, 0.3);
	CHECK_NEAR(window_stats(&window, 600, 0.3, 0).growth, -100, 0.1);
}

TEST(window_survives_the_wrap)
{
	struct window window = {};

	window_add(&window, UINT32_MAX - 49, 0.1, 10, 0, 0.3);
	window_add(&window, 50, 0.1, 20, 0, 0.3);
	CHECK_NEAR(window_stats(&window, 50, 0.3, 0).usage, 15, 1e-5);
	CHECK_NEAR(window_stats(&window, 50, 0.3, 0).growth, 100, 0.1);
}

/* ---- events ---- */

static double span_peak(const struct events *events, uint32_t now, unsigned count)
{
	double peak, age;

	events_span(events, now, count, &peak, &age);
	return peak;
}

TEST(events_count_and_expire)
{
	struct events events = {};

	for (int i = 1; i <= 30; i++) {
		events_expire(&events, (uint32_t)i * 100, 2);
		events_add(&events, (uint32_t)i * 100, 1, 2);
	}
	/* 1.0 s .. 3.0 s */
	CHECK_INT(events.total, 21);
	events_expire(&events, 5000, 2);
	CHECK_INT(events.total, 1);
	events_expire(&events, 5001, 2);
	CHECK_INT(events.total, 0);
	CHECK(isnan(span_peak(&events, 5001, 1)));
	events_clear(&events);
}

/* Minutes of events at 100 ms fit, each still forgotten about when it should be. */
TEST(events_long_timeout)
{
	struct events events = {};

	for (int i = 1; i <= 3000; i++) {
		events_expire(&events, (uint32_t)i * 100, 120);
		events_add(&events, (uint32_t)i * 100, 1, 120);
		if (i > 1300)
			CHECK(events.total > 1100 && events.total <= 1201);
	}
	events_clear(&events);
}

TEST(events_consume_oldest)
{
	struct events events = {};
	double peak, age;

	for (int i = 1; i <= 5; i++) {
		events_measured(&events, i * 10);
		events_add(&events, (uint32_t)i * 100, 2, 2);
	}
	CHECK_INT(events.total, 10);
	events_consume(&events, 3);
	CHECK_INT(events.total, 7);
	events_span(&events, 500, 100, &peak, &age);
	CHECK_NEAR(age, 0.3, 1e-6);
	CHECK_NEAR(peak, 50, 0);
	CHECK_NEAR(span_peak(&events, 500, 2), 30, 0);
	events_consume(&events, 100);
	CHECK_INT(events.total, 0);
	events_consume(&events, 1);
	events_clear(&events);
}

/* What lies between two events belongs to the evidence; what was before the first does not. */
TEST(events_peak_over_their_span)
{
	struct events events = {};

	events_measured(&events, 500);
	events_measured(&events, 10);
	events_add(&events, 200, 1, 2);
	CHECK_NEAR(span_peak(&events, 200, 1), 10, 0);
	events_measured(&events, 90);
	events_measured(&events, 20);
	events_add(&events, 400, 1, 2);
	CHECK_NEAR(span_peak(&events, 400, 1), 10, 0);
	CHECK_NEAR(span_peak(&events, 400, 2), 90, 0);
	/* Newer than the last event, and all of them are asked for. */
	events_measured(&events, 95);
	CHECK_NEAR(span_peak(&events, 500, 2), 95, 0);
	events_clear(&events);
	events_measured(&events, 5);
	events_add(&events, 600, 1, 2);
	CHECK_NEAR(span_peak(&events, 600, 1), 5, 0);
	events_clear(&events);
}

TEST(events_survive_the_wrap)
{
	struct events events = {};

	events_add(&events, UINT32_MAX - 500, 1, 2);
	events_add(&events, 500, 1, 2);
	events_expire(&events, 1000, 2);
	CHECK_INT(events.total, 2);
	events_expire(&events, 1600, 2);
	CHECK_INT(events.total, 1);
	events_clear(&events);
}

/* What has none takes no memory, however many it had. */
TEST(events_give_their_memory_back)
{
	struct events events = {};

	CHECK(!events.entries);
	for (int i = 1; i <= 100; i++)
		events_add(&events, (uint32_t)i * 1000, 1, 20);
	CHECK_INT(events.room, EVENT_ENTRIES);
	events_consume(&events, 1000);
	events_expire(&events, 100001, 20);
	CHECK(!events.entries);
	events_add(&events, 101000, 1, 20);
	CHECK(events.room < EVENT_ENTRIES);
	events_expire(&events, 200000, 20);
	CHECK(!events.entries);
	CHECK_INT(events.total, 0);
}

TEST_MAIN()
