/* SPDX-License-Identifier: Apache-2.0 */
#include "patience.h"
#include "test.h"

/* A limit of 200 for `high` seconds, then 20; more is needed `gap` seconds later. */
static int64_t undo_after(double high, double gap)
{
	struct patience patience;

	patience_init(&patience, 0);
	patience_raised(&patience, 100);
	patience_lowered(&patience, 200, 100 + high);
	return patience_undo(&patience, 20, 100 + high + gap);
}

TEST(patience_tells_bursts_from_phases)
{
	/* Needed again at once: whatever it was before. */
	CHECK_INT(undo_after(2, 0.3), 200);
	CHECK_INT(undo_after(3600, 0.3), 200);
	/* A burst, and the next. */
	CHECK_INT(undo_after(2, 5), 200);
	CHECK_INT(undo_after(8, 14), 200);
	/* A phase that lasted; a gap that is long. */
	CHECK_INT(undo_after(20, 5), 0);
	CHECK_INT(undo_after(2, 60), 0);
}

/* Half the limit is a smaller mistake than a tenth of it. */
TEST(patience_with_shallow_descents_is_shorter)
{
	struct patience patience;

	patience_init(&patience, 0);
	patience_raised(&patience, 100);
	patience_lowered(&patience, 200, 107);
	CHECK_INT(patience_undo(&patience, 100, 112), 0);
	CHECK_INT(patience_undo(&patience, 60, 112), 200);
}

TEST(patience_has_nothing_to_undo)
{
	struct patience patience;

	patience_init(&patience, 0);
	CHECK_INT(patience_undo(&patience, 20, 10), 0);
	patience_lowered(&patience, 200, 10);
	CHECK_INT(patience_undo(&patience, 20, 10.5), 200);
	patience_raised(&patience, 10.5);
	CHECK_INT(patience_undo(&patience, 200, 10.6), 0);
	patience_lowered(&patience, 200, 11);
	patience_disturbed(&patience);
	CHECK_INT(patience_undo(&patience, 20, 11.5), 0);
}

TEST(patience_of_a_descent_in_steps)
{
	struct patience patience;

	patience_init(&patience, 0);
	patience_raised(&patience, 100);
	patience_lowered(&patience, 400, 102);
	patience_lowered(&patience, 200, 103.2);
	patience_lowered(&patience, 100, 104.4);
	CHECK_INT(patience_undo(&patience, 50, 105), 400);
	/* Much later: another descent. */
	patience_lowered(&patience, 50, 130);
	CHECK_INT(patience_undo(&patience, 30, 131), 50);
}

TEST(patience_remembers_for_its_length)
{
	struct patience patience;
	uint32_t ms = UINT32_MAX - 5000;

	patience_init(&patience, 3);
	patience_measured(&patience, ms, 500);
	for (int i = 0; i < 60; i++) {
		ms += 100;
		patience_measured(&patience, ms, 10);
		if (i < 20)
			CHECK_NEAR(patience_peak(&patience), 500, 0);
		if (i >= 30)
			CHECK_NEAR(patience_peak(&patience), 10, 0);
	}
	/* A silence. */
	patience_measured(&patience, ms, 500);
	patience_measured(&patience, ms + 100000, 7);
	CHECK_NEAR(patience_peak(&patience), 7, 0);

	patience_init(&patience, 0);
	patience_measured(&patience, 5, 500);
	CHECK(isnan(patience_peak(&patience)));
}

TEST(patience_grows_and_wanes)
{
	struct patience patience;
	double now = 100;

	patience_init(&patience, 0);
	for (int i = 1; i <= 10; i++) {
		patience_raised(&patience, now);
		patience_lowered(&patience, 200, now += 2);
		now += 1;
		patience_measured(&patience, (uint32_t)(now * 1000), 10);
		patience_judge(&patience, (uint32_t)(now * 1000), now,
			       patience_undo(&patience, 20, now));
		CHECK_INT(patience.level, i < 6 ? i : 6);
		/* The limit that was enough counts as a peak. */
		CHECK_NEAR(patience_peak(&patience), 200, 0);
	}
	/* 64 s now. Descents that stand for longer than that. */
	for (int i = 5; i >= 0; i--) {
		patience_raised(&patience, now);
		patience_lowered(&patience, 200, now += 200);
		now += 100;
		CHECK_INT(patience_undo(&patience, 100, now), 0);
		patience_judge(&patience, (uint32_t)(now * 1000), now, 0);
		CHECK_INT(patience.level, i);
	}
	patience_lowered(&patience, 200, now += 200);
	patience_judge(&patience, (uint32_t)(now * 1000), now + 100, 0);
	CHECK_INT(patience.level, 0);
	/* A mild excess right after a lowering says neither. */
	patience.level = 3;
	patience_lowered(&patience, 200, now += 200);
	patience_judge(&patience, (uint32_t)(now * 1000), now + 1, 0);
	CHECK_INT(patience.level, 3);
}

/* Usage that stays up is no burst. */
TEST(patience_wanes_while_usage_lasts)
{
	struct patience patience;
	uint32_t ms = 1000;

	patience_init(&patience, 0);
	patience.level = 5;
	/* Bursts of 5 s in every 10 s. */
	for (int i = 0; i < 1000; i++)
		patience_measured(&patience, ms += 100, i / 50 % 2 ? 200 : 20);
	/* Nothing at all is not high, either. */
	for (int i = 0; i < 1000; i++)
		patience_measured(&patience, ms += 100, 0);
	CHECK_INT(patience.level, 5);
	for (int i = 0; i < 320; i++)
		patience_measured(&patience, ms += 100, 150 + i % 50);
	CHECK_INT(patience.level, 3);
}

TEST_MAIN()
