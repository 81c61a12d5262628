/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <errno.h>

#include "reflex.h"

#define MIB  (1024ULL * 1024)
#define MS   1000000ULL
#define SLOT (10 * MS)

static struct ebb_sample look;
static struct reflex_state state;

/* Half a core, 200 MiB of which 100 are used. */
static void reset(void)
{
	state = (struct reflex_state){0};
	look = (struct ebb_sample){
		.id = 7,
		.valid =
			EBB_VALID_BANDWIDTH | EBB_VALID_MEM | EBB_VALID_WORKING_SET | EBB_VALID_OOM,
		.at_ns = 1000 * MS,
		.quota_ns = 50 * MS,
		.period_ns = 100 * MS,
		.nr_throttled = 3,
		.mem_charged = 100 * MIB,
		.mem_working_set = 100 * MIB,
		.mem_limit = 200 * MIB,
	};
}

static int64_t next_cpu(bool throttled)
{
	look.at_ns += SLOT;
	return reflex_cpu_wants(&state, &look, throttled);
}

static int64_t next_mem(uint64_t used_mib)
{
	look.at_ns += SLOT;
	look.mem_charged = look.mem_working_set = used_mib * MIB;
	return reflex_mem_wants(&state, &look);
}

TEST(reflex_cpu_wants_nothing_unthrottled)
{
	reset();
	for (int i = 0; i < 20; i++)
		CHECK_INT(next_cpu(false), 0);
	CHECK_INT(state.seen_ns, 0);
}

TEST(reflex_cpu_steps_widen_while_throttled)
{
	reset();
	CHECK_INT(next_cpu(false), 0);
	CHECK_INT(next_cpu(true), 25); /* 50 shares and half as many */
	CHECK_INT(state.seen_ns, look.at_ns);
	reflex_raised(&state, look.at_ns);
	look.quota_ns = 75 * MS;
	CHECK_INT(next_cpu(true), 75);
	reflex_raised(&state, look.at_ns);
	look.quota_ns = 150 * MS;
	CHECK_INT(next_cpu(true), 300);
	reflex_raised(&state, look.at_ns);
	look.quota_ns = 450 * MS;
	CHECK_INT(next_cpu(true), 900);
}

TEST(reflex_cpu_begins_anew_after_relief)
{
	reset();
	CHECK_INT(next_cpu(true), 25);
	reflex_raised(&state, look.at_ns);
	look.quota_ns = 75 * MS;
	for (int i = 0; i < 19; i++)
		CHECK_INT(next_cpu(false), 0);
	CHECK_INT(state.raises, 1);
	for (int i = 0; i < 3; i++)
		CHECK_INT(next_cpu(false), 0);
	CHECK_INT(state.raises, 0);
	CHECK_INT(next_cpu(true), 37);
}

TEST(reflex_cpu_ignores_what_was_before_the_raise)
{
	reset();
	CHECK_INT(next_cpu(true), 25);
	reflex_raised(&state, look.at_ns + SLOT);
	look.quota_ns = 75 * MS;
	/* Looked at before, or in the moment of the write. */
	CHECK_INT(next_cpu(true), 0);
}

TEST(reflex_cpu_counts_periods_that_ended_throttled)
{
	reset();
	CHECK_INT(next_cpu(false), 0);
	look.nr_throttled++;
	CHECK_INT(next_cpu(false), 25);
	/* The counter wraps. */
	reset();
	look.nr_throttled = UINT32_MAX;
	CHECK_INT(next_cpu(false), 0);
	look.nr_throttled = 0;
	CHECK_INT(next_cpu(false), 25);
}

TEST(reflex_cpu_smallest_step)
{
	reset();
	look.quota_ns = 10 * MS;
	CHECK_INT(next_cpu(true), 20);
	/* Per another period than ours. */
	reset();
	look.quota_ns = 25 * MS;
	look.period_ns = 50 * MS;
	CHECK_INT(next_cpu(true), 25);
}

TEST(reflex_cpu_without_quota)
{
	reset();
	look.quota_ns = EBB_UNLIMITED;
	CHECK_INT(next_cpu(true), 0);
	reset();
	look.valid &= ~(unsigned)EBB_VALID_BANDWIDTH;
	CHECK_INT(next_cpu(true), 0);
}

TEST(reflex_mem_steady_wants_nothing)
{
	reset();
	for (int i = 0; i < 10; i++)
		CHECK_INT(next_mem(180), 0);
	/* 4 MiB are left: hardly any. */
	CHECK(next_mem(196) >= 25);
}

TEST(reflex_mem_looks_ahead_at_a_gibibyte_a_second)
{
	uint64_t used = 100, limit = 200;

	/* 10 MiB a look: what is left must never be less than a busy host's 50 ms of it. */
	reset();
	CHECK_INT(next_mem(used), 0);
	for (int i = 0; i < 400; i++) {
		int64_t wanted;

		used += 10;
		look.mem_limit = limit * MIB;
		wanted = next_mem(used);
		limit += (uint64_t)wanted;
		CHECK(used + 50 <= limit);
	}
	/* And not much more than half a second's. */
	CHECK(limit < used + 520 + limit / 4);
}

TEST(reflex_mem_slow_growth_waits_for_the_controller)
{
	reset();
	/* 10 MiB a second. */
	for (int i = 0; i < 50; i++) {
		look.at_ns += SLOT;
		look.mem_working_set += MIB / 10;
		CHECK_INT(reflex_mem_wants(&state, &look), 0);
	}
}

TEST(reflex_mem_file_cache_is_no_want)
{
	reset();
	CHECK_INT(next_mem(100), 0);
	for (int i = 0; i < 20; i++) {
		look.at_ns += SLOT;
		look.mem_charged = look.mem_limit;
		CHECK_INT(reflex_mem_wants(&state, &look), 0);
	}
}

TEST(reflex_mem_after_a_kill)
{
	reset();
	CHECK_INT(next_mem(100), 0);
	look.oom_kills++;
	CHECK_INT(next_mem(60), 25);
}

TEST(reflex_mem_without_limit)
{
	reset();
	look.mem_limit = EBB_UNLIMITED;
	CHECK_INT(next_mem(100), 0);
	CHECK_INT(next_mem(5000), 0);
}

TEST(reflex_grant_stays_in_the_envelope)
{
	CHECK_INT(reflex_grant(50, 100, 200, 1000), 50);
	CHECK_INT(reflex_grant(500, 100, 200, 1000), 100);
	CHECK_INT(reflex_grant(500, 100, 200, 30), 30);
	CHECK_INT(reflex_grant(500, 200, 200, 1000), 0);
	CHECK_INT(reflex_grant(500, 300, 200, 1000), 0); /* never down */
	CHECK_INT(reflex_grant(500, 100, 200, 0), 0);
	CHECK_INT(reflex_grant(500, 100, 200, -5), 0); /* more was ordered than it leased */
	CHECK_INT(reflex_grant(0, 100, 200, 50), 0);
}

TEST(reflex_cpus_widen_with_the_quota)
{
	char cpus[LIMIT_CPUS_TEXT];

	/* It has them: the cpuset is left alone. */
	CHECK_INT(reflex_cpus("0-1", 2, "2,3", 150, cpus), 150);
	CHECK_STR(cpus, "");
	CHECK_INT(reflex_cpus("0-1", 2, "3,2", 250, cpus), 250);
	CHECK_STR(cpus, "0-1,3");
	CHECK_INT(reflex_cpus("0-1", 2, "1,3,2", 390, cpus), 390);
	CHECK_STR(cpus, "0-1,3,2");
	/* No more than there are. */
	CHECK_INT(reflex_cpus("0-1", 2, "1,3", 500, cpus), 300);
	CHECK_STR(cpus, "0-1,3");
	CHECK_INT(reflex_cpus("0-1", 2, "", 500, cpus), 200);
	CHECK_STR(cpus, "");
	CHECK_INT(reflex_cpus("0-1", 2, "0,1", 500, cpus), 200);
	CHECK_STR(cpus, "");
}

static int parse(const char *text, struct reflex_lease *lease)
{
	json_t *json = json_loads(text, 0, NULL);
	int r = reflex_lease_parse(json, 1000 * MS, 7, lease);

	json_decref(json);
	return r;
}

TEST(reflex_lease_is_read)
{
	struct reflex_lease lease;

	CHECK_INT(parse("{\"number\":3,\"ttl_ms\":5000,\"cpu\":120,\"mem\":2048,\"cpus\":\"2,1\"}",
			&lease),
		  0);
	CHECK_INT(lease.number, 3);
	CHECK_INT(lease.pool[REFLEX_CPU], 120);
	CHECK_INT(lease.pool[REFLEX_MEM], 2048);
	CHECK_STR(lease.cpus, "2,1");
	CHECK(reflex_lease_holds(&lease, 7, 1000 * MS));
	CHECK(reflex_lease_holds(&lease, 7, 5999 * MS));
	CHECK(!reflex_lease_holds(&lease, 7, 6000 * MS));
	/* Another controller leads. */
	CHECK(!reflex_lease_holds(&lease, 8, 1000 * MS));
	/* What a host does not account cannot be leased. */
	CHECK_INT(parse("{\"number\":3,\"ttl_ms\":5000}", &lease), 0);
	CHECK_INT(lease.pool[REFLEX_CPU], 0);
}

TEST(reflex_lease_that_is_none)
{
	struct reflex_lease lease = {.number = 42};

	CHECK_INT(parse("{}", &lease), -EINVAL);
	CHECK_INT(parse("[]", &lease), -EINVAL);
	CHECK_INT(parse("{\"number\":3}", &lease), -EINVAL);
	CHECK_INT(parse("{\"number\":-1,\"ttl_ms\":5000}", &lease), -EINVAL);
	CHECK_INT(parse("{\"number\":3,\"ttl_ms\":86400000}", &lease), -EINVAL);
	CHECK_INT(parse("{\"number\":3,\"ttl_ms\":5000,\"cpu\":-1}", &lease), -EINVAL);
	CHECK_INT(parse("{\"number\":3,\"ttl_ms\":5000,\"mem\":\"9\"}", &lease), -EINVAL);
	CHECK_INT(lease.number, 42);
	CHECK(!reflex_lease_holds(&(struct reflex_lease){0}, 0, 0));
}

TEST(reflex_report_is_settled_once_it_was_sent)
{
	struct reflex_report report = {.pending = true, .from = 100, .to = 150, .at_ns = 20};

	/* Another container's: this one's was not in the message. */
	CHECK(!reflex_report_settled(&report, 25));
	CHECK(report.pending);
	report.sent_ns = 20;
	report.sent_to = 150;
	CHECK(!reflex_report_settled(&report, 19));
	CHECK(reflex_report_settled(&report, 20));
	CHECK(!report.pending);
	CHECK(!reflex_report_settled(&report, 21));
}

TEST(reflex_report_that_grew_while_it_was_sent)
{
	struct reflex_report report = {.pending = true,
				       .from = 100,
				       .to = 200,
				       .at_ns = 30,
				       .sent_ns = 20,
				       .sent_to = 150};

	/* Also by the number of a later one of another container. */
	CHECK(!reflex_report_settled(&report, 35));
	CHECK(report.pending);
	CHECK_INT(report.from, 150);
	CHECK_INT(report.to, 200);
	report.sent_ns = 30;
	report.sent_to = 200;
	CHECK(reflex_report_settled(&report, 35));
}

TEST_MAIN()
