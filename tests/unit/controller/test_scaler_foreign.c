/* SPDX-License-Identifier: Apache-2.0 */
/* Limits that another hand changed, and what was measured before an order. */
#include "scaler_fixture.h"

#include <errno.h>

#include "drift.h"
#include "ebb/util.h"

static void report(struct structure *s, int cpu, const char *cpus)
{
	_cleanup_json_ json_t *limits =
		json_pack("{s:i, s:i, s:s, s:{s:i, s:s, s:s}}", "c", 1, "cpu", cpu, "cpus", cpus,
			  "by", "pid", 12, "name", "sh", "unit", "cron.service");

	model_lock(model);
	scaler_limits_reported(scaler, s, limits, 1);
	scaler_run(scaler);
	model_unlock(model);
	settle();
}

TEST(a_limit_changed_by_another_hand_is_put_back)
{
	struct structure *c0;
	struct scaler_stats stats;
	size_t before;

	start();
	c0 = container("c0", 120, 1024);
	before = stand_in_n_asked(&agent);
	report(c0, 120, "0-1");
	CHECK_INT(stand_in_n_asked(&agent), before);
	report(c0, 300, "0-1");
	CHECK_INT(stand_in_n_asked(&agent), before + 1);
	CHECK_STR(last_asked(), "{\"cpu\":{\"cpu_allowance_limit\":120,\"cpu_num\":\"0,1\"}}");
	CHECK_INT(c0->physical[EBB_CPU], 120);
	CHECK_INT(c0->resources[EBB_CPU].current, 120);
	/* Whoever goes on is not fought at once, and holds back nothing else. */
	report(c0, 300, "0-1");
	report(c0, 350, "0-1");
	CHECK_INT(stand_in_n_asked(&agent), before + 1);
	ask_and_run(c0, EBB_CPU, 50);
	CHECK_STR(last_asked(), "{\"cpu\":{\"cpu_allowance_limit\":170,\"cpu_num\":\"0,1\"}}");
	model_lock(model);
	scaler_get_stats(scaler, &stats);
	model_unlock(model);
	CHECK(stats.foreign >= 2);
	check_adds_up();
}

TEST(cores_changed_by_another_hand_are_put_back)
{
	struct structure *c0;
	size_t before;

	start();
	c0 = container("c0", 120, 1024);
	before = stand_in_n_asked(&agent);
	report(c0, 120, "0,3");
	CHECK_INT(stand_in_n_asked(&agent), before + 1);
	CHECK_STR(last_asked(), "{\"cpu\":{\"cpu_allowance_limit\":120,\"cpu_num\":\"0,1\"}}");
}

TEST(without_the_check_a_foreign_limit_is_taken_over)
{
	struct structure *c0;
	size_t before;

	start();
	c0 = container("c0", 120, 1024);
	model->scaler.check_core_map = false;
	before = stand_in_n_asked(&agent);
	report(c0, 150, "0-1");
	CHECK_INT(stand_in_n_asked(&agent), before);
	CHECK_INT(c0->resources[EBB_CPU].current, 150);
	CHECK_INT(c0->resources[EBB_CPU].allocated, 150);
	check_adds_up();
}

/* The newest decision about drift. */
static json_t *last_drift(void)
{
	json_t *decision;
	size_t i;

	json_decref(decisions);
	decisions = audit_query(audit, NULL, 1000);
	json_array_foreach(decisions, i, decision)
		if (!strcmp(json_string_value(json_object_get(decision, "origin")), "drift"))
			return decision;
	return NULL;
}

static void check_drift(const char *outcome, const char *reason)
{
	const json_t *decision = last_drift();

	CHECK(decision);
	CHECK_STR(json_string_value(json_object_get(decision, "outcome")), outcome);
	CHECK_STR(json_string_value(json_object_get(decision, "reason")), reason);
}

TEST(drift_is_on_record_with_whoever_did_it)
{
	struct structure *c0;

	start();
	c0 = container("c0", 120, 1024);
	CHECK(!last_drift());
	report(c0, 300, "0-1");
	check_drift("reasserted",
		    "cpu changed from 120 to 300 shares by sh (process 12 of cron.service)");
	CHECK_INT(json_integer_value(json_object_get(last_drift(), "planned")), 120);
	model->scaler.drift = DRIFT_ACCEPT;
	report(c0, 150, "0-1");
	check_drift("accepted",
		    "cpu changed from 120 to 150 shares by sh (process 12 of cron.service)");
	CHECK_INT(c0->resources[EBB_CPU].current, 150);
	CHECK_INT(c0->resources[EBB_CPU].allocated, 150);
	check_adds_up();
}

TEST(a_container_s_own_policy_goes_before_the_site_s)
{
	struct structure *c0;
	size_t before;

	start();
	c0 = container("c0", 120, 1024);
	CHECK_INT(drift_policy(model, c0), DRIFT_REASSERT);
	model_lock(model);
	CHECK_INT(drift_set_policy(model, c0, "accept"), 0);
	model_unlock(model);
	CHECK_INT(drift_policy(model, c0), DRIFT_ACCEPT);
	before = stand_in_n_asked(&agent);
	report(c0, 150, "0-1");
	CHECK_INT(stand_in_n_asked(&agent), before);
	CHECK_INT(c0->resources[EBB_CPU].current, 150);
	/* No limit at all is none that could be accounted. */
	report(c0, -1, "0-1");
	CHECK_INT(stand_in_n_asked(&agent), before + 1);
	CHECK_INT(c0->resources[EBB_CPU].current, 150);
	model_lock(model);
	CHECK_INT(drift_set_policy(model, c0, ""), 0);
	CHECK_INT(drift_set_policy(model, host->structure, "accept"), -EINVAL);
	model->scaler.drift = DRIFT_MANUAL;
	CHECK_INT(drift_policy(model, c0), DRIFT_MANUAL);
	/* The older key knows of putting back and taking over. */
	model->scaler.check_core_map = false;
	CHECK_INT(drift_policy(model, c0), DRIFT_MANUAL);
	model->scaler.drift = DRIFT_REASSERT;
	CHECK_INT(drift_policy(model, c0), DRIFT_ACCEPT);
	model_unlock(model);
}

TEST(manual_leaves_a_container_alone_until_it_is_guarded_again)
{
	struct structure *c0;
	_cleanup_json_ json_t *doc = NULL;
	struct scaler_stats stats;
	size_t before;

	start();
	c0 = container("c0", 120, 1024);
	model->scaler.drift = DRIFT_MANUAL;
	before = stand_in_n_asked(&agent);
	report(c0, 300, "0-3");
	CHECK(!c0->guard);
	CHECK(drift_is_manual(c0));
	CHECK_INT(stand_in_n_asked(&agent), before);
	/* It holds what it has: nobody else gets that. */
	CHECK_INT(c0->resources[EBB_CPU].current, 300);
	CHECK_INT(c0->resources[EBB_CPU].allocated, 300);
	check_drift("manual",
		    "cpu changed from 120 to 300 shares by sh (process 12 of cron.service)");
	doc = structure_to_json(c0);
	CHECK(json_is_string(json_object_get(json_object_get(doc, "manual"), "why")));
	/* Whoever asks. */
	ask_and_run(c0, EBB_CPU, -50);
	CHECK_INT(stand_in_n_asked(&agent), before);
	model_lock(model);
	scaler_get_stats(scaler, &stats);
	CHECK_INT(stats.drift[DRIFT_MANUAL], 1);
	CHECK_INT(stats.waiting, 1);
	CHECK_INT(model_guard(model, c0, true, NULL), 0);
	CHECK(!drift_is_manual(c0));
	CHECK(!json_object_get(c0->doc, "manual"));
	scaler_run(scaler);
	model_unlock(model);
	settle();
	CHECK_INT(stand_in_n_asked(&agent), before + 1);
	CHECK_INT(c0->resources[EBB_CPU].current, 250);
	check_adds_up();
}

TEST(putting_back_is_given_up_when_another_hand_persists)
{
	struct structure *c0;
	size_t before;

	start();
	c0 = container("c0", 120, 1024);
	model->scaler.drift_tries = 1;
	before = stand_in_n_asked(&agent);
	report(c0, 300, "0-1");
	CHECK_INT(stand_in_n_asked(&agent), before + 1);
	CHECK(c0->guard);
	report(c0, 310, "0-1");
	CHECK_INT(stand_in_n_asked(&agent), before + 1);
	CHECK(!c0->guard);
	CHECK(drift_is_manual(c0));
	check_drift("manual",
		    "cpu changed from 120 to 310 shares by sh (process 12 of cron.service), again "
		    "after it was put back");
	CHECK_INT(c0->resources[EBB_CPU].current, 310);
	check_adds_up();
}

TEST(what_is_not_guarded_any_more_is_not_put_back)
{
	struct structure *c0, *c1;
	size_t before;

	start();
	c0 = container("c0", 120, 1024);
	c1 = container("c1", 120, 1024);
	model_lock(model);
	CHECK_INT(model_guard(model, c0, false, NULL), 0);
	CHECK_INT(model_guard_resources(model, c1, 1u << EBB_CPU, false, NULL), 0);
	model_unlock(model);
	before = stand_in_n_asked(&agent);
	report(c0, 150, "0-3");
	CHECK_INT(c0->resources[EBB_CPU].current, 150);
	CHECK_INT(c0->resources[EBB_CPU].allocated, 150);
	report(c1, 200, "0-3");
	CHECK_INT(c1->resources[EBB_CPU].current, 200);
	CHECK_INT(host->free[EBB_CPU], 50);
	/* One that does not fit leaves the accounting. */
	report(c0, 350, "0-3");
	CHECK_INT(c0->resources[EBB_CPU].current, 350);
	CHECK_INT(c0->resources[EBB_CPU].allocated, 0);
	CHECK_INT(stand_in_n_asked(&agent), before);
	check_adds_up();
}

TEST(a_clock_that_began_anew_outdates_nothing)
{
	const uint64_t day = 86400 * EBB_NS_PER_SEC;
	struct structure *c0;

	start();
	agent.applied = "86400000000000";
	c0 = container("c0", 120, 1024);
	ask_and_run(c0, EBB_CPU, 20);
	CHECK(scaler_is_outdated(scaler, c0, day - EBB_NS_PER_SEC));
	CHECK(scaler_is_outdated(scaler, c0, day));
	CHECK(!scaler_is_outdated(scaler, c0, day + 1));
	/* The host was booted, and is up for 5 s. */
	CHECK(!scaler_is_outdated(scaler, c0, 5 * EBB_NS_PER_SEC));
	agent.applied = "6000000000";
	ask_and_run(c0, EBB_CPU, 20);
	CHECK(scaler_is_outdated(scaler, c0, 5 * EBB_NS_PER_SEC));
	CHECK(!scaler_is_outdated(scaler, c0, 7 * EBB_NS_PER_SEC));
	/* An answer that was overtaken. */
	agent.applied = "5500000000";
	ask_and_run(c0, EBB_CPU, 20);
	CHECK(scaler_is_outdated(scaler, c0, 6 * EBB_NS_PER_SEC));
}

TEST_MAIN()
