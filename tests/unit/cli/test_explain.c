/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "explain.h"
#include "ebb/cleanup.h"

static char *got;

static void cleanup(void *unused)
{
	free(got);
	got = NULL;
}

/* Without the headline, whose clock is local time. */
static const char *details(json_t *decision)
{
	cleanup(NULL);
	test_at_end(cleanup, NULL);
	CHECK(decision);
	got = explain_decision(decision, false);
	json_decref(decision);
	CHECK(got && strchr(got, '\n'));
	return strchr(got, '\n') + 1;
}

static json_t *raise(void)
{
	return json_pack(
		"{s:f s:s s:s s:s s:s s:f s:f s:f s:i s:i s:i s:i s:i s:i s:i s:i s:i s:s s:s "
		"s:s s:i s:f s:f s:f s:f}",
		"at", 1795344748.12, "structure", "web", "resource", "cpu", "origin", "guardian",
		"rule", "CpuRescaleUp", "usage", 149.8, "peak", 151.0, "throttled", 0.62, "current",
		150, "upper", 135, "lower", 120, "min", 20, "max", 200, "events_up", 2,
		"events_down", 0, "requested", 30, "planned", 180, "cpus", "0,1", "outcome",
		"applied", "reason", "", "applied", 180, "received_ms", 12.3, "evaluated_ms", 12.9,
		"sent_ms", 13.4, "applied_ms", 17.6);
}

TEST(a_raise_from_measurement_to_result)
{
	CHECK_STR(
		details(raise()),
		"    Measured: usage 149.8, peak 151.0, throttled in 62% of the periods: above upper, "
		"135.\n"
		"    Rule CpuRescaleUp asked for +30 shares (events: 2 up, 0 down).\n"
		"    Planned: 180 within 20..200, on CPUs 0,1.\n"
		"    Result: the agent read back 180; in force 18 ms after the sample (received after "
		"12, decided 13, sent 13).\n");
	CHECK(strstr(got, "  cpu 150 -> 180 shares  applied\n"));
}

TEST(memory_tells_how_it_came_down)
{
	json_t *decision = raise();

	json_object_set_new(decision, "steps",
			    json_string("high 64 MiB, 2 ms; limit 64 MiB, 0 ms"));
	CHECK(strstr(details(decision),
		     "decided 13, sent 13).\n    Steps: high 64 MiB, 2 ms; limit 64 MiB, 0 ms.\n"));
}

TEST(a_refusal_tells_its_reason)
{
	json_t *decision = raise();

	json_object_set_new(decision, "outcome", json_string("refused"));
	json_object_set_new(decision, "reason", json_string("no free shares on h0"));
	json_object_set_new(decision, "applied", json_null());
	json_object_set_new(decision, "planned", json_null());
	json_object_set_new(decision, "applied_ms", json_null());
	CHECK(strstr(details(decision), "    Result: refused: no free shares on h0.\n"));
	CHECK(!strstr(got, "Planned"));
	CHECK(strstr(got, "  cpu 150 (+30 asked) shares  refused\n"));
}

TEST(a_limit_that_nobody_asked_to_change)
{
	json_t *decision =
		json_pack("{s:s s:s s:i s:i s:s s:i s:s}", "resource", "cpu", "rule", "",
			  "requested", 0, "planned", 100, "outcome", "applied", "applied", 100,
			  "reason", "the limit on record is put in force");

	CHECK_STR(details(decision),
		  "    Planned: 100.\n"
		  "    Result: the agent read back 100: the limit on record is put in force.\n");
	CHECK(strstr(got, "  cpu unlimited -> 100 shares  applied\n"));
}

static json_t *swap(const char *outcome, const char *reason)
{
	return json_pack("{s:s s:s s:s s:i s:s s:s s:s s:i s:i s:i s:i s:i s:s s:s}", "resource",
			 "cpu", "origin", "rebalancer", "rule", "", "operation", 12, "subtype",
			 "container", "field", "current", "pair", "c0", "requested", 60, "current",
			 200, "planned", 260, "min", 20, "max", 400, "outcome", outcome, "reason",
			 reason);
}

TEST(a_swap_tells_with_whom)
{
	json_t *decision = swap("applied", "");

	json_object_set_new(decision, "applied", json_integer(260));
	CHECK_STR(details(decision), "    The rebalancer asked for +60 shares.\n"
				     "    A swap: it gets what c0 gives up, operation 12.\n"
				     "    Planned: 260 within 20..400.\n"
				     "    Result: the agent read back 260.\n");
	CHECK(strstr(got, "  cpu 200 -> 260 shares  applied\n"));
}

TEST(a_rollback_tells_whose_fault_it_was)
{
	json_t *decision = swap("rolled back", "c1: it answered 500: no such cgroup");

	json_object_set_new(decision, "requested", json_integer(-60));
	CHECK(strstr(details(decision),
		     "    A swap: what it gives up goes to c0, operation 12.\n"));
	CHECK(strstr(got, "    Result: rolled back: c1: it answered 500: no such cgroup.\n"));
	CHECK(strstr(got, "  cpu 200 (-60 asked) shares  rolled back\n"));
}

TEST(a_max_is_not_what_is_in_force)
{
	json_t *decision = swap("applied", "");

	json_object_del(decision, "pair");
	json_object_set_new(decision, "field", json_string("max"));
	json_object_set_new(decision, "subtype", json_string("application"));
	json_object_set_new(decision, "planned", json_integer(460));
	json_object_set_new(decision, "applied", json_integer(460));
	CHECK(strstr(details(decision), "    All of it or nothing, operation 12.\n"
					"    Planned: a max of 460.\n"
					"    Result: its max is 460.\n"));
	CHECK(strstr(got, "  cpu max 400 -> 460 shares  applied\n"));
	decision = swap("applied", "");
	json_object_set_new(decision, "subtype", json_string("application"));
	json_object_set_new(decision, "applied", json_integer(260));
	CHECK(strstr(details(decision), "    Result: its containers have 260.\n"));
}

TEST(a_hostile_document_is_tamed)
{
	json_t *decision =
		json_pack("{s:s s:s s:[i]}", "resource", "cpu", "rule", "x\033[2Jy\n", "usage", 1);

	CHECK(strstr(details(decision), "Rule x?[2Jy? asked for +0"));
}

TEST_MAIN()
