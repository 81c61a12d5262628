/* SPDX-License-Identifier: Apache-2.0 */
#include "series_container.h"
#include "test.h"

#define S   1000000000ULL
#define MIB (1ULL << 20)
#define ALL \
	(EBB_VALID_CPU | EBB_VALID_BANDWIDTH | EBB_VALID_MEM | EBB_VALID_WORKING_SET | EBB_VALID_IO)

static struct ebb_sample sample(uint64_t at_ns, uint64_t cpu_ns)
{
	return (struct ebb_sample){.id = 7, .valid = ALL, .at_ns = at_ns, .cpu_ns = cpu_ns};
}

TEST(rates_are_those_of_the_time_between_the_samples)
{
	struct ebb_sample before = sample(100 * S, 50 * S), now = sample(108 * S, 62 * S);
	struct series_sums sums = {.utime_ns = 2 * S,
				   .stime_ns = 1 * S,
				   .runtime_ns = 11 * S,
				   .resident_bytes = 300 * MIB,
				   .virtual_bytes = 4000 * MIB,
				   .read_bytes = 999 * MIB};
	struct series_values v;

	before.read_bytes = 10 * MIB;
	now.read_bytes = 18 * MIB;
	before.write_bytes = 1 * MIB;
	now.write_bytes = 5 * MIB;
	before.nr_periods = 1000;
	now.nr_periods = 1080;
	before.nr_throttled = 10;
	now.nr_throttled = 30;
	now.mem_working_set = 512 * MIB;
	series_container_values(&before, &now, &sums, 5, &v);
	CHECK_NEAR(v.value[SERIES_CPU_USER], 100, 1e-6); /* 12 s in 8: 150% of a core, two to one */
	CHECK_NEAR(v.value[SERIES_CPU_KERNEL], 50, 1e-6);
	CHECK_NEAR(v.value[SERIES_RESIDENT], 300, 1e-9);
	CHECK_NEAR(v.value[SERIES_VIRTUAL], 4000, 1e-9);
	CHECK_NEAR(v.value[SERIES_READS], 1, 1e-9); /* the cgroup's count, not the processes' */
	CHECK_NEAR(v.value[SERIES_WRITES], 0.5, 1e-9);
	CHECK_NEAR(v.value[SERIES_THROTTLED], 25, 1e-9);
	CHECK_NEAR(v.value[SERIES_WORKING_SET], 512, 1e-9);
	CHECK_INT(v.valid, (1U << SERIES_CPU_PRESSURE) - 1);
}

#define RATES \
	(1U << SERIES_CPU_USER | 1U << SERIES_CPU_KERNEL | 1U << SERIES_READS | 1U << SERIES_WRITES)
#define LEVELS (1U << SERIES_RESIDENT | 1U << SERIES_VIRTUAL | 1U << SERIES_WORKING_SET)

TEST(the_first_interval_invents_no_rate)
{
	struct ebb_sample now = sample(108 * S, 62 * S);
	struct series_sums sums = {.resident_bytes = 300 * MIB};
	struct series_values v;

	now.read_bytes = now.write_bytes = 1000 * MIB;
	now.nr_periods = now.nr_throttled = 50;
	now.mem_working_set = 7 * MIB;
	series_container_values(NULL, &now, &sums, 0, &v); /* one look only */
	CHECK_INT(v.valid, LEVELS);
	CHECK_NEAR(v.value[SERIES_RESIDENT], 300, 0);
	CHECK_NEAR(v.value[SERIES_WORKING_SET], 7, 0);
	series_container_values(NULL, &now, &sums, 0.02, &v);
	CHECK_INT(v.valid, LEVELS);
	sums.unknown = true; /* an old process that was not looked at before */
	series_container_values(NULL, &now, &sums, 5, &v);
	CHECK_INT(v.valid, LEVELS);
}

TEST(the_first_interval_tells_what_its_processes_used)
{
	struct ebb_sample now = sample(108 * S, 62 * S);
	struct series_sums sums = {.runtime_ns = 10 * S,
				   .utime_ns = 3 * S,
				   .stime_ns = 1 * S,
				   .write_bytes = 20 * MIB};
	struct series_values v;

	now.read_bytes = now.write_bytes = 1000 * MIB;
	series_container_values(NULL, &now, &sums, 5, &v);
	CHECK_INT(v.valid, RATES | LEVELS);
	CHECK_NEAR(v.value[SERIES_CPU_USER], 150, 1e-9);
	CHECK_NEAR(v.value[SERIES_CPU_KERNEL], 50, 1e-9);
	CHECK_NEAR(v.value[SERIES_READS], 0, 0);
	CHECK_NEAR(v.value[SERIES_WRITES], 4, 1e-9);
}

TEST(samples_that_cannot_be_compared_give_zeros)
{
	struct series_sums sums = {.utime_ns = S};
	struct ebb_sample before = sample(100 * S, 50 * S), now = sample(108 * S, 62 * S);
	struct series_values v;

	before.id = 8; /* another container in its slot */
	series_container_values(&before, &now, &sums, 5, &v);
	CHECK_NEAR(v.value[SERIES_CPU_USER], 0, 0);
	before.id = 7;
	before.at_ns = now.at_ns; /* not sampled in between */
	series_container_values(&before, &now, &sums, 5, &v);
	CHECK_NEAR(v.value[SERIES_CPU_USER], 0, 0);
	before.at_ns = 100 * S;
	before.cpu_ns = 63 * S; /* a counter that went back */
	before.read_bytes = 5;
	series_container_values(&before, &now, &sums, 5, &v);
	CHECK_NEAR(v.value[SERIES_CPU_USER], 0, 0);
	CHECK_NEAR(v.value[SERIES_READS], 0, 0);
}

TEST(an_idle_container_has_all_its_points_at_zero)
{
	struct ebb_sample before = sample(100 * S, 50 * S), now = sample(105 * S, 50 * S);
	struct series_sums sums = {0};
	struct series_values v;

	series_container_values(&before, &now, &sums, 5, &v);
	CHECK_INT(v.valid, (1U << SERIES_CPU_PRESSURE) - 1);
	for (int i = 0; i < SERIES_CPU_PRESSURE; i++)
		CHECK_NEAR(v.value[i], 0, 0);
}

TEST(counters_that_wrap_count_on)
{
	struct ebb_sample before = sample(100 * S, 0), now = sample(105 * S, 0);
	struct series_sums sums = {0};
	struct series_values v;

	before.nr_periods = UINT32_MAX - 24;
	now.nr_periods = 25;
	before.nr_throttled = UINT32_MAX;
	now.nr_throttled = 9;
	series_container_values(&before, &now, &sums, 5, &v);
	CHECK_NEAR(v.value[SERIES_THROTTLED], 20, 1e-9);
}

TEST(what_the_sampler_cannot_count_its_processes_do)
{
	struct ebb_sample before = sample(100 * S, 50 * S), now = sample(108 * S, 62 * S);
	struct series_sums sums = {.runtime_ns = 5 * S, .stime_ns = S, .write_bytes = 20 * MIB};
	struct series_values v;

	before.valid = now.valid = EBB_VALID_MEM;
	series_container_values(&before, &now, &sums, 10, &v);
	CHECK_NEAR(v.value[SERIES_CPU_USER], 0, 0);
	CHECK_NEAR(v.value[SERIES_CPU_KERNEL], 50, 1e-9);
	CHECK_NEAR(v.value[SERIES_WRITES], 2, 1e-9);
	CHECK_INT(v.valid, (1U << SERIES_BASE_MAX) - 1);
}

TEST(time_is_split_as_the_ticks_say)
{
	uint64_t user, kernel;

	series_split(900, 2, 1, &user, &kernel);
	CHECK_INT(user, 600);
	CHECK_INT(kernel, 300);
	series_split(900, 0, 0, &user, &kernel);
	CHECK_INT(user, 900);
	CHECK_INT(kernel, 0);
	series_split(900, 0, 5, &user, &kernel);
	CHECK_INT(user, 0);
	CHECK_INT(kernel, 900);
	series_split(1ULL << 62, 1ULL << 61, 1ULL << 61, &user, &kernel); /* no overflow */
	CHECK_INT(kernel, 1LL << 61);
	CHECK_INT(user, 1LL << 61);
}

TEST(pressure_is_the_share_of_the_time_that_some_waited)
{
	struct series_files_read before = {.has_pressure = {true, true, false},
					   .pressure_us = {1000, 5000000, 0},
					   .at_ns = 100 * S};
	struct series_files_read now = {.has_pressure = {true, true, false},
					.pressure_us = {501000, 4000000, 0},
					.at_ns = 105 * S};
	struct series_values v = {0};

	series_pressure_values(&before, &now, &v);
	CHECK_NEAR(v.value[SERIES_CPU_PRESSURE], 10, 1e-9);
	CHECK_NEAR(v.value[SERIES_MEM_PRESSURE], 0, 0); /* it went back */
	CHECK_INT(v.valid, 1U << SERIES_CPU_PRESSURE | 1U << SERIES_MEM_PRESSURE);
	v = (struct series_values){0};
	series_pressure_values(NULL, &now, &v);
	CHECK_INT(v.valid, 0);
}

TEST(pressure_files_are_read_as_the_kernel_writes_them)
{
	uint64_t us = 99;

	CHECK(pressure_parse("some avg10=0.00 avg60=0.12 avg300=0.05 total=123456\n"
			     "full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n",
			     &us));
	CHECK_INT(us, 123456);
	CHECK(pressure_parse("some avg10=0.00 avg60=0.12 avg300=0.05 total=8", &us));
	CHECK_INT(us, 8);
	CHECK(!pressure_parse("", &us));
	CHECK(!pressure_parse("full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n", &us));
	CHECK(!pressure_parse("some avg10=0.00\nfull avg10=0.00 total=7\n", &us));
	CHECK(!pressure_parse("some avg10=0.00 avg60=0.12 avg300=0.05 total=\n", &us));
	CHECK_INT(us, 8);
}

TEST(every_value_has_the_name_that_dashboards_know)
{
	CHECK_STR(series_value_name(SERIES_CPU_USER), "proc.cpu.user");
	CHECK_STR(series_value_name(SERIES_WRITES), "proc.disk.writes.mb");
	for (int i = 0; i < SERIES_VALUE_MAX; i++)
		CHECK(!strncmp(series_value_name(i), "proc.", 5));
}

TEST_MAIN()
