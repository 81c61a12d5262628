/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "metrics.h"

static struct text text;

static void clear(void *unused)
{
	text_clear(&text);
}

static void has_line(const char *line)
{
	char wanted[512];

	snprintf(wanted, sizeof(wanted), "\n%s\n", line);
	if (!strstr(text.data, wanted))
		TEST_FAIL("no line %s in\n%s", line, text.data);
}

TEST(metrics_of_containers)
{
	struct metrics_container containers[2] = {
		{.name = "web",
		 .path = "docker/ab",
		 .sample = {.valid = EBB_VALID_CPU | EBB_VALID_BANDWIDTH | EBB_VALID_MEM |
				     EBB_VALID_WORKING_SET | EBB_VALID_OOM | EBB_VALID_IO,
			    .cpu_ns = 12000000345,
			    .quota_ns = 150000000,
			    .period_ns = 100000000,
			    .throttled_ns = 1500000000,
			    .nr_periods = 10,
			    .nr_throttled = 2,
			    .mem_charged = 1000,
			    .mem_working_set = 900,
			    .mem_limit = 2000,
			    .oom_kills = 1,
			    .read_bytes = 11,
			    .write_bytes = 12,
			    .read_ops = 13,
			    .write_ops = 14}},
		{.name = "q\"\\",
		 .path = "/x",
		 .sample = {.valid = EBB_VALID_BANDWIDTH | EBB_VALID_MEM,
			    .quota_ns = EBB_UNLIMITED,
			    .period_ns = 100000000,
			    .nr_periods = UINT32_MAX,
			    .mem_limit = EBB_UNLIMITED}},
	};

	test_at_end(clear, NULL);
	metrics_write_containers(&text, containers, 2);
	CHECK(!text.failed);
#define WEB "{id=\"/docker/ab\",name=\"web\"}"
	has_line("container_cpu_usage_seconds_total{id=\"/docker/ab\",name=\"web\",cpu=\"total\"} "
		 "12.000000345");
	has_line("container_cpu_cfs_periods_total" WEB " 10");
	has_line("container_cpu_cfs_throttled_periods_total" WEB " 2");
	has_line("container_cpu_cfs_throttled_seconds_total" WEB " 1.500000000");
	has_line("container_spec_cpu_quota" WEB " 150000");
	has_line("container_spec_cpu_period" WEB " 100000");
	has_line("container_memory_usage_bytes" WEB " 1000");
	has_line("container_memory_working_set_bytes" WEB " 900");
	has_line("container_spec_memory_limit_bytes" WEB " 2000");
	has_line("container_oom_events_total" WEB " 1");
	has_line("container_fs_reads_bytes_total" WEB " 11");
	has_line("container_fs_writes_bytes_total" WEB " 12");
	has_line("container_fs_reads_total" WEB " 13");
	has_line("container_fs_writes_total" WEB " 14");
	has_line("# TYPE container_oom_events_total counter");

	/* Escaped; no line where there is no counter; unlimited as cAdvisor says it. */
#define Q "{id=\"/x\",name=\"q\\\"\\\\\"}"
	has_line("container_cpu_cfs_periods_total" Q " 4294967295");
	has_line("container_spec_memory_limit_bytes" Q " 0");
	CHECK(!strstr(text.data, "container_spec_cpu_quota" Q));
	CHECK(!strstr(text.data, "container_memory_working_set_bytes" Q));
	CHECK(!strstr(text.data, "container_fs_reads_total" Q));
}

TEST(metrics_of_pressure)
{
	const struct pressure waited[PRESSURE_MAX] = {
		[PRESSURE_CPU] = {2500001, 0},
		[PRESSURE_MEM] = {7, 3},
		[PRESSURE_IO] = {1, 1},
	};
	struct metrics_container containers[2] = {
		{.name = "web",
		 .path = "docker/ab",
		 .has_pressure = 1U << PRESSURE_CPU | 1U << PRESSURE_MEM,
		 .pressure = waited},
		{.name = "x", .path = "x", .pressure = waited},
	};

	test_at_end(clear, NULL);
	metrics_write_containers(&text, containers, 2);
	CHECK(!text.failed);
	has_line("container_pressure_cpu_waiting_seconds_total" WEB " 2.500001000");
	has_line("container_pressure_cpu_stalled_seconds_total" WEB " 0.000000000");
	has_line("container_pressure_memory_waiting_seconds_total" WEB " 0.000007000");
	has_line("container_pressure_memory_stalled_seconds_total" WEB " 0.000003000");
	has_line("# TYPE container_pressure_cpu_waiting_seconds_total counter");
	/* What was not read is not zero. */
	CHECK(!strstr(text.data, "container_pressure_io"));
	CHECK(!strstr(text.data, "name=\"x\""));
}

TEST_MAIN()
