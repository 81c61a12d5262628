/* SPDX-License-Identifier: Apache-2.0 */
#include "rate.h"
#include "test.h"

#define MS EBB_NS_PER_MS

static const struct ebb_sample first = {
	.id = 7,
	.valid = EBB_VALID_CPU | EBB_VALID_BANDWIDTH | EBB_VALID_MEM | EBB_VALID_WORKING_SET |
		 EBB_VALID_OOM | EBB_VALID_IO,
	.at_ns = 1000 * MS,
	.cpu_ns = 500 * MS,
	.nr_throttled = 3,
	.mem_charged = 200 * EBB_MIB,
	.mem_working_set = 150 * EBB_MIB,
	.read_bytes = 10 * EBB_MIB,
	.write_bytes = 20 * EBB_MIB,
};

TEST(usage_is_in_edge_units)
{
	struct ebb_sample second = first;
	struct usage usage;

	second.at_ns += 100 * MS;
	second.cpu_ns += 150 * MS;
	second.read_bytes += 1 * EBB_MIB;
	second.write_bytes += 3 * EBB_MIB;
	CHECK(usage_between(&first, &second, &usage));
	CHECK_NEAR(usage.seconds, 0.1, 1e-9);
	CHECK_NEAR(usage.value[EBB_CPU], 150, 1e-6); /* one and a half cores */
	CHECK_NEAR(usage.value[EBB_MEM], 150, 1e-6); /* the working set */
	CHECK_NEAR(usage.value[EBB_DISK_READ], 10, 1e-6);
	CHECK_NEAR(usage.value[EBB_DISK_WRITE], 30, 1e-6);
	CHECK_INT(usage.valid,
		  1 << EBB_CPU | 1 << EBB_MEM | 1 << EBB_DISK_READ | 1 << EBB_DISK_WRITE);
	CHECK(!usage.throttled);
}

TEST(a_period_that_ended_throttled_shows_even_when_the_counter_wraps)
{
	struct ebb_sample before = first, second = first;
	struct usage usage;

	second.at_ns += 100 * MS;
	second.nr_throttled++;
	CHECK(usage_between(&before, &second, &usage));
	CHECK(usage.throttled);

	before.nr_throttled = UINT32_MAX;
	second.nr_throttled = 0;
	CHECK(usage_between(&before, &second, &usage));
	CHECK(usage.throttled);

	second.valid &= ~EBB_VALID_BANDWIDTH;
	CHECK(usage_between(&before, &second, &usage));
	CHECK(!usage.throttled);
}

TEST(samples_that_cannot_be_compared_are_refused)
{
	struct usage usage = {.seconds = -1};
	struct ebb_sample second = first;

	CHECK(!usage_between(&first, &second, &usage)); /* no time between */
	second.at_ns -= 1;
	CHECK(!usage_between(&first, &second, &usage)); /* back in time */
	second.at_ns = first.at_ns + MS;
	second.id = 8;
	CHECK(!usage_between(&first, &second, &usage)); /* another cgroup */
	second.id = 7;
	second.cpu_ns--;
	CHECK(!usage_between(&first, &second, &usage)); /* counter reset */
	second.cpu_ns++;
	second.read_bytes--;
	CHECK(!usage_between(&first, &second, &usage));
	second.read_bytes++;
	second.write_bytes--;
	CHECK(!usage_between(&first, &second, &usage));
	CHECK_NEAR(usage.seconds, -1, 0); /* untouched on failure */
}

TEST(an_empty_slot_has_no_usage)
{
	struct ebb_sample none = {.at_ns = 1}, later = {.at_ns = 2};
	struct usage usage;

	CHECK(!usage_between(&none, &later, &usage));
}

TEST(invalid_groups_give_no_value)
{
	struct ebb_sample before = first, second = first;
	struct usage usage;

	second.at_ns += 100 * MS;
	second.valid = EBB_VALID_MEM;
	CHECK(usage_between(&before, &second, &usage));
	CHECK_INT(usage.valid, 1 << EBB_MEM);
	CHECK_NEAR(usage.value[EBB_MEM], 200, 1e-6); /* without a working set, what is charged */

	second.valid = first.valid;
	before.valid = 0; /* a counter that has just appeared has no rate yet */
	CHECK(usage_between(&before, &second, &usage));
	CHECK_INT(usage.valid, 1 << EBB_MEM);
}

TEST_MAIN()
