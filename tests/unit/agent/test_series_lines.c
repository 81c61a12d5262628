/* SPDX-License-Identifier: Apache-2.0 */
#include "series_lines.h"
#include "test.h"

static struct series_lines lines;

static void end(void *arg)
{
	series_lines_clear(&lines);
}

static struct series_values one(enum series_value what, double value)
{
	struct series_values values = {.valid = 1U << what};

	values.value[what] = value;
	return values;
}

static void add(const char *tags, enum series_value what, double value, bool gone)
{
	struct series_values values = one(what, value);

	CHECK_INT(series_lines_add(&lines, tags, &values, gone), 0);
}

static double value_of(size_t line, enum series_value what)
{
	struct series_values values = series_line_values(&lines.all[line]);

	CHECK(values.valid & (1U << what));
	return values.value[what];
}

TEST(a_restart_under_the_same_name_is_one_line_of_all_that_was_used)
{
	test_at_end(end, NULL);
	add("{\"host\":\"c\"}", SERIES_CPU_USER, 70, true);
	add("{\"host\":\"c\"}", SERIES_WORKING_SET, 300, true);
	add("{\"host\":\"c\"}", SERIES_THROTTLED, 90, true);
	add("{\"host\":\"c\"}", SERIES_CPU_PRESSURE, 20, true);
	add("{\"host\":\"other\"}", SERIES_CPU_USER, 1, false);
	add("{\"host\":\"c\"}", SERIES_CPU_USER, 25, false);
	add("{\"host\":\"c\"}", SERIES_WORKING_SET, 10, false);
	add("{\"host\":\"c\"}", SERIES_THROTTLED, 5, false);
	CHECK_INT(lines.n, 2);
	CHECK_STR(lines.all[0].tags, "{\"host\":\"c\"}");
	CHECK_NEAR(value_of(0, SERIES_CPU_USER), 95, 1e-9);
	CHECK_NEAR(value_of(0, SERIES_WORKING_SET), 10, 0);
	CHECK_NEAR(value_of(0, SERIES_THROTTLED), 5, 0);
	CHECK_NEAR(value_of(0, SERIES_CPU_PRESSURE), 20, 0); /* nobody else tells */
	CHECK_NEAR(value_of(1, SERIES_CPU_USER), 1, 0);
}

TEST(names_that_become_the_same_tag_add_up)
{
	test_at_end(end, NULL);
	add("xy", SERIES_CPU_USER, 10, false);
	add("xy", SERIES_CPU_USER, 0, false); /* closes one of them */
	add("xy", SERIES_RESIDENT, 30, false);
	add("xy", SERIES_RESIDENT, 12, false);
	add("xy", SERIES_MEM_PRESSURE, 8, false);
	add("xy", SERIES_MEM_PRESSURE, 3, false);
	CHECK_INT(lines.n, 1);
	CHECK_NEAR(value_of(0, SERIES_CPU_USER), 10, 0);
	CHECK_NEAR(value_of(0, SERIES_RESIDENT), 42, 0);
	CHECK_NEAR(value_of(0, SERIES_MEM_PRESSURE), 8, 0);
	CHECK(!(series_line_values(&lines.all[0]).valid & (1U << SERIES_READS)));
}

TEST(many_lines_are_all_found_again_and_forgotten)
{
	static char tags[3000][16];

	test_at_end(end, NULL);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 3000; i++) {
			snprintf(tags[i], sizeof(tags[i]), "tag-%d", i);
			add(tags[i], SERIES_READS, i, i % 2);
		}
		for (int i = 0; i < 3000; i++)
			add(tags[i], SERIES_READS, 1, false);
		CHECK_INT(lines.n, 3000);
		for (int i = 0; i < 3000; i++)
			CHECK_NEAR(value_of((size_t)i, SERIES_READS), i + 1, 0);
		series_lines_reset(&lines);
		CHECK_INT(lines.n, 0);
	}
}

TEST_MAIN()
