/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <errno.h>
#include <unistd.h>

#include "ebb/units.h"
#include "limits.h"
#include "shrink_ladder.h"

TEST(the_margin_is_a_twentieth_and_at_least_16_mib)
{
	CHECK_INT(shrink_floor(0), 16 * EBB_MIB);
	CHECK_INT(shrink_floor(1), 16 * EBB_MIB + 1);
	CHECK_INT(shrink_floor(100 * EBB_MIB), 116 * EBB_MIB);
	CHECK_INT(shrink_floor(320 * EBB_MIB), 336 * EBB_MIB);
	CHECK_INT(shrink_floor(1000 * EBB_MIB), 1050 * EBB_MIB);
	CHECK(shrink_floor(UINT64_MAX) == UINT64_MAX);
	CHECK(shrink_floor(UINT64_MAX - 1) == UINT64_MAX);
}

static struct shrink_steps steps;

static void add(enum shrink_rung rung, uint64_t mib, double ms, const char *why)
{
	shrink_steps_add(&steps,
			 &(struct shrink_step){.rung = rung,
					       .bytes = mib == LIMIT_NONE ? mib : mib * EBB_MIB,
					       .seconds = ms / 1000,
					       .why = why});
}

TEST(steps_of_one_kind_are_one)
{
	char text[256];

	shrink_steps_format(&steps, text, sizeof(text));
	CHECK_STR(text, "");
	add(SHRINK_CLAMP, 80, 0, "in use");
	add(SHRINK_RECLAIM, 32, 10, NULL);
	add(SHRINK_RECLAIM, 31, 14, NULL);
	add(SHRINK_RECLAIM, 1, 1, NULL);
	add(SHRINK_HIGH, 90, 0, NULL);
	add(SHRINK_HIGH, 80, 2, NULL);
	add(SHRINK_LIMIT, 80, 1, NULL);
	add(SHRINK_PUT_BACK, LIMIT_NONE, 0, NULL);
	CHECK_INT(steps.n, 5);
	CHECK_INT(steps.steps[1].times, 3);
	shrink_steps_format(&steps, text, sizeof(text));
	CHECK_STR(text,
		  "clamp 80 MiB, 0 ms: in use; reclaim 64 MiB in 3 steps, 25 ms; high 80 MiB in "
		  "2 steps, 2 ms; limit 80 MiB, 1 ms; put back unlimited, 0 ms");
	shrink_steps_format(&steps, text, 20);
	CHECK_STR(text, "clamp 80 MiB, 0 ms:");
}

TEST(steps_are_bounded)
{
	for (int i = 0; i < 100; i++)
		add(i % 2 ? SHRINK_HIGH : SHRINK_RECLAIM, 1, 1, NULL);
	CHECK_INT(steps.n, SHRINK_STEPS_MAX);
}

TEST(a_container_that_suffers)
{
	struct shrink_signs before = {.at_ns = 1000,
				      .has_pressure = true,
				      .waited_us = 500,
				      .refaulted_bytes = 7 * EBB_MIB};
	struct shrink_signs now = before;

	CHECK(!shrink_strains(&before, &now, 0));
	/* Too short to tell, then a tenth of the time, then more. */
	now.at_ns += 99 * EBB_NS_PER_MS;
	now.waited_us += 90000;
	CHECK(!shrink_strains(&before, &now, 0));
	now.at_ns += 901 * EBB_NS_PER_MS;
	now.waited_us = before.waited_us + 100000;
	CHECK(!shrink_strains(&before, &now, 0));
	now.waited_us++;
	CHECK_STR(shrink_strains(&before, &now, 0), "its tasks wait for memory");
	now.has_pressure = false;
	CHECK(!shrink_strains(&before, &now, 0));

	now.refaulted_bytes = 15 * EBB_MIB;
	CHECK(!shrink_strains(&before, &now, 32 * EBB_MIB));
	CHECK_STR(shrink_strains(&before, &now, 31 * EBB_MIB), "it reads back what was reclaimed");
	now.refaulted_bytes = 15 * EBB_MIB - 1;
	CHECK(!shrink_strains(&before, &now, 0));
	/* A counter that fell is none. */
	now.refaulted_bytes = 0;
	CHECK(!shrink_strains(&before, &now, 0));
}

TEST(refaults_of_any_kernel)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	CHECK_INT(shrink_refaults_parse("anon 1\nworkingset_refault_anon 3\n"
					"workingset_refault_file 4\n",
					true),
		  7 * page);
	CHECK_INT(shrink_refaults_parse("anon 1\nworkingset_refault 5\n", true), 5 * page);
	CHECK_INT(shrink_refaults_parse("workingset_refault_file 9\n"
					"total_workingset_refault_file 4\n",
					false),
		  4 * page);
	CHECK_INT(shrink_refaults_parse("cache 5\n", false), 0);
}

TEST(marks)
{
	uint64_t old = 1, held = 2;

	CHECK_INT(shrink_mark_parse("max 4096", &old, &held), 0);
	CHECK(old == LIMIT_NONE && held == 4096);
	CHECK_INT(shrink_mark_parse("8192 4096", &old, &held), 0);
	CHECK(old == 8192 && held == 4096);
	static const char *const broken[] = {"", "1", "max max", "x 1", "1 -1", "max", "1 0x10"};
	for (size_t i = 0; i < sizeof(broken) / sizeof(*broken); i++)
		if (shrink_mark_parse(broken[i], &old, &held) != -EINVAL)
			TEST_FAIL("\"%s\" is taken", broken[i]);
	CHECK(old == 8192 && held == 4096);
}

TEST_MAIN()
