/* SPDX-License-Identifier: Apache-2.0 */
#include "sampler_text.h"
#include "test.h"

static bool all_but_dm(void *userdata, unsigned major, unsigned minor)
{
	return major != 253;
}

TEST(flat_files_are_searched_by_whole_key)
{
	static const char text[] = "usage_usec 123\nuser_usec 5\nnr_periods 7\nnr_throttled 2\n"
				   "throttled_usec 18446744073709551615\n";
	uint64_t value = 99;

	CHECK(flat_value(text, "usage_usec", &value));
	CHECK_INT(value, 123);
	CHECK(flat_value(text, "nr_throttled", &value));
	CHECK_INT(value, 2);
	CHECK(flat_value(text, "throttled_usec", &value));
	CHECK(value == UINT64_MAX);
	value = 99;
	CHECK(!flat_value(text, "nr_period", &value));
	CHECK(!flat_value(text, "usec", &value));
	CHECK(!flat_value("", "usage_usec", &value));
	CHECK(!flat_value("usage_usec", "usage_usec", &value));
}

TEST(memory_events_tell_oom_kill_from_oom)
{
	static const char text[] = "low 0\nhigh 4\nmax 3\noom 2\noom_kill 1\noom_group_kill 0\n";
	uint64_t value;

	CHECK(flat_value(text, "oom", &value));
	CHECK_INT(value, 2);
	CHECK(flat_value(text, "oom_kill", &value));
	CHECK_INT(value, 1);
}

TEST(cpu_max_is_microseconds_or_max)
{
	uint64_t quota, period;

	CHECK(cpu_max_parse("150000 100000\n", &quota, &period));
	CHECK_INT(quota, 150000000);
	CHECK_INT(period, 100000000);
	CHECK(cpu_max_parse("max 50000\n", &quota, &period));
	CHECK(quota == EBB_UNLIMITED);
	CHECK_INT(period, 50000000);
	CHECK(!cpu_max_parse("max", &quota, &period));
	CHECK(!cpu_max_parse("", &quota, &period));
	CHECK(!cpu_max_parse("maximum 1", &quota, &period));
}

TEST(memory_limits_of_both_versions_know_unlimited)
{
	uint64_t bytes;

	CHECK(mem_limit_parse("max\n", &bytes));
	CHECK(bytes == EBB_UNLIMITED);
	CHECK(mem_limit_parse("9223372036854771712\n", &bytes)); /* v1, pages of 4 KiB */
	CHECK(bytes == EBB_UNLIMITED);
	CHECK(mem_limit_parse("9223372036854710272\n", &bytes)); /* v1, pages of 64 KiB */
	CHECK(bytes == EBB_UNLIMITED);
	CHECK(mem_limit_parse("268435456\n", &bytes));
	CHECK_INT(bytes, 268435456);
	CHECK(!mem_limit_parse("\n", &bytes));
}

TEST(io_stat_is_summed_over_disks_that_are_no_layers)
{
	static const char text[] =
		"8:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=7 dios=9\n"
		"253:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n"
		"259:1 rbytes=100 wbytes=200 rios=10 wios=20 dbytes=0 dios=0 cost.usage=5\n"
		"8:16 \n";
	struct ebb_sample sample = {0};

	io_stat_parse(text, all_but_dm, NULL, &sample);
	CHECK_INT(sample.read_bytes, 4196);
	CHECK_INT(sample.write_bytes, 8392);
	CHECK_INT(sample.read_ops, 11);
	CHECK_INT(sample.write_ops, 22);
}

TEST(blkio_files_are_summed_and_say_whether_they_count)
{
	static const char text[] = "8:0 Read 4096\n8:0 Write 8192\n8:0 Sync 12288\n8:0 Async 0\n"
				   "8:0 Discard 0\n8:0 Total 12288\n"
				   "253:0 Read 4096\n253:0 Write 1\n253:0 Total 4097\n"
				   "Total 16385\n";
	uint64_t read, write;

	CHECK_INT(blkio_parse(text, all_but_dm, NULL, &read, &write), 1);
	CHECK_INT(read, 4096);
	CHECK_INT(write, 8192);
	CHECK_INT(blkio_parse("Total 0\n", all_but_dm, NULL, &read, &write), 0);
	CHECK_INT(read + write, 0);
}

TEST(kernels_from_5_16_to_6_4_count_only_some_io_on_v1)
{
	CHECK(blkio_counts_all("4.18.0-553.el8_10.x86_64"));
	CHECK(blkio_counts_all("5.15.0-91-generic"));
	CHECK(!blkio_counts_all("5.16.0"));
	CHECK(!blkio_counts_all("5.19.17"));
	CHECK(!blkio_counts_all("6.0.1"));
	CHECK(!blkio_counts_all("6.1.0-56-amd64"));
	CHECK(!blkio_counts_all("6.4"));
	CHECK(blkio_counts_all("6.5.0"));
	CHECK(blkio_counts_all("6.18.44+deb13-amd64"));
	CHECK(blkio_counts_all("7.0.0-rc1"));
	CHECK(blkio_counts_all(""));
}

TEST_MAIN()
