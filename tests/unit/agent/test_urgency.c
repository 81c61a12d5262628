/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "urgency.h"

#define MIB (1024ULL * 1024)

static int64_t upper[EBB_RESOURCE_MAX];
static struct ebb_sample before, now;

/* 100 ms apart, half a core used, 100 of 200 MiB, nothing read or written. */
static void reset(void)
{
	for (int r = 0; r < EBB_RESOURCE_MAX; r++)
		upper[r] = INT64_MAX;
	before = (struct ebb_sample){
		.id = 7,
		.valid = EBB_VALID_CPU | EBB_VALID_BANDWIDTH | EBB_VALID_MEM |
			 EBB_VALID_WORKING_SET | EBB_VALID_OOM | EBB_VALID_IO,
		.at_ns = 1000000000,
		.cpu_ns = 5000000000,
		.quota_ns = 100000000,
		.period_ns = 100000000,
		.nr_periods = 50,
		.nr_throttled = 3,
		.mem_charged = 120 * MIB,
		.mem_working_set = 100 * MIB,
		.mem_limit = 200 * MIB,
	};
	now = before;
	now.at_ns += 100000000;
	now.cpu_ns += 50000000;
	now.nr_periods++;
}

TEST(urgency_usage_above_upper)
{
	reset();
	CHECK_INT(urgency_of(&before, &now, upper), 0);
	upper[EBB_CPU] = 60;
	CHECK_INT(urgency_of(&before, &now, upper), 0);
	upper[EBB_CPU] = 49;
	CHECK_INT(urgency_of(&before, &now, upper), 1 << EBB_CPU);
	upper[EBB_MEM] = 99;
	CHECK_INT(urgency_of(&before, &now, upper), 1 << EBB_CPU | 1 << EBB_MEM);
	upper[EBB_CPU] = INT64_MAX;
	now.read_bytes += 2 * MIB;
	upper[EBB_MEM] = 101;
	upper[EBB_DISK_READ] = 19;
	CHECK_INT(urgency_of(&before, &now, upper), 1 << EBB_DISK_READ);
}

TEST(urgency_throttled)
{
	reset();
	now.nr_throttled++;
	CHECK_INT(urgency_of(&before, &now, upper), URGENT_THROTTLED);
}

TEST(urgency_memory_nearly_full)
{
	reset();
	now.mem_working_set = now.mem_charged = 190 * MIB;
	CHECK_INT(urgency_of(&before, &now, upper), 0);
	now.mem_working_set = now.mem_charged = 190 * MIB + 4096;
	CHECK_INT(urgency_of(&before, &now, upper), URGENT_MEMORY);
	now.mem_working_set = 201 * MIB;
	CHECK_INT(urgency_of(&before, &now, upper), URGENT_MEMORY);
	now.mem_limit = EBB_UNLIMITED;
	CHECK_INT(urgency_of(&before, &now, upper), 0);
	/* Without the counter nothing is known. */
	now.mem_limit = 200 * MIB;
	now.valid &= ~EBB_VALID_WORKING_SET;
	CHECK_INT(urgency_of(&before, &now, upper), 0);
}

TEST(urgency_needs_two_samples_for_rates)
{
	reset();
	upper[EBB_CPU] = 1;
	now.nr_throttled++;
	CHECK_INT(urgency_of(NULL, &now, upper), 0);
	/* Another cgroup's, or the same sample again. */
	before.id = 8;
	CHECK_INT(urgency_of(&before, &now, upper), 0);
	before.id = 7;
	CHECK_INT(urgency_of(&now, &now, upper), 0);
	now.mem_working_set = 199 * MIB;
	CHECK_INT(urgency_of(NULL, &now, upper), URGENT_MEMORY);
}

TEST_MAIN()
