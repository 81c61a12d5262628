/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <errno.h>

#include "amount.h"

static int64_t parsed(enum ebb_resource resource, const char *text)
{
	int64_t amount = -99;
	int r = amount_parse(resource, text, &amount);

	return r < 0 ? r : amount;
}

TEST(cpu_is_shares_or_cores)
{
	CHECK_INT(parsed(EBB_CPU, "150"), 150);
	CHECK_INT(parsed(EBB_CPU, "1.5c"), 150);
	CHECK_INT(parsed(EBB_CPU, "0.2C"), 20);
	CHECK_INT(parsed(EBB_CPU, "2cores"), 200);
	CHECK_INT(parsed(EBB_CPU, "2G"), -EINVAL);
}

TEST(memory_is_mib_or_has_a_unit)
{
	CHECK_INT(parsed(EBB_MEM, "512"), 512);
	CHECK_INT(parsed(EBB_MEM, "512M"), 512);
	CHECK_INT(parsed(EBB_MEM, "1G"), 1024);
	CHECK_INT(parsed(EBB_MEM, "1.5GiB"), 1536);
	CHECK_INT(parsed(EBB_MEM, "1T"), 1024 * 1024);
	CHECK_INT(parsed(EBB_MEM, "2048k"), 2);
	CHECK_INT(parsed(EBB_MEM, "2c"), -EINVAL);
}

TEST(what_is_no_amount_is_refused)
{
	CHECK_INT(parsed(EBB_CPU, ""), -EINVAL);
	CHECK_INT(parsed(EBB_CPU, "c"), -EINVAL);
	CHECK_INT(parsed(EBB_CPU, "1.2.3"), -EINVAL);
	CHECK_INT(parsed(EBB_CPU, "nan"), -EINVAL);
	CHECK_INT(parsed(EBB_CPU, "1e3"), -EINVAL);
	CHECK_INT(parsed(EBB_CPU, "-5"), -ERANGE);
	CHECK_INT(parsed(EBB_MEM, "99999999T"), -ERANGE);
	CHECK_INT(parsed(EBB_NET, "10M"), -EINVAL);
	CHECK_INT(parsed(EBB_NET, "10"), 10);
}

TEST(a_range_may_leave_an_end_out)
{
	int64_t min = 7, max = 7;

	CHECK_INT(amount_parse_range(EBB_CPU, "20..200", &min, &max), 0);
	CHECK_INT(min, 20);
	CHECK_INT(max, 200);
	CHECK_INT(amount_parse_range(EBB_CPU, "0.2c..2c", &min, &max), 0);
	CHECK_INT(min, 20);
	CHECK_INT(max, 200);
	CHECK_INT(amount_parse_range(EBB_MEM, "256M..", &min, &max), 0);
	CHECK_INT(min, 256);
	CHECK_INT(max, -1);
	CHECK_INT(amount_parse_range(EBB_MEM, "..1G", &min, &max), 0);
	CHECK_INT(min, -1);
	CHECK_INT(max, 1024);
}

TEST(a_bad_range_leaves_the_values_alone)
{
	static const char *const bad[] = {"", "..", "20", "200..20", "a..b", "20...200", "20-200"};
	int64_t min = 7, max = 8;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK(amount_parse_range(EBB_CPU, bad[i], &min, &max) < 0);
	CHECK_INT(min, 7);
	CHECK_INT(max, 8);
}

TEST(amounts_and_durations_read_well)
{
	char buffer[AMOUNT_MAX];

	CHECK_STR(amount_format(EBB_CPU, 180, buffer), "180 shares");
	CHECK_STR(amount_format(EBB_MEM, -1, buffer), "unlimited");
	CHECK_STR(duration_format(0.0837, buffer), "84 ms");
	CHECK_STR(duration_format(0.9999, buffer), "1.0 s");
	CHECK_STR(duration_format(12.3, buffer), "12 s");
	CHECK_STR(duration_format(600, buffer), "10 min");
	CHECK_STR(duration_format(3 * 3600, buffer), "3 h");
	CHECK_STR(duration_format(-1, buffer), "?");
}

TEST_MAIN()
