/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that wait: which counts, which goes first, which ends undone. */
#include "scaler_fixture.h"

#include <errno.h>

TEST(what_is_left_is_granted_by_priority)
{
	struct structure *c0, *c1;
	double now = wall_seconds();

	start();
	c0 = container("c0", 150, 1024);
	c1 = container("c1", 150, 1024);
	model_lock(model);
	ask_with(c0, EBB_CPU, 80, 0, now - 5);
	ask_with(c1, EBB_CPU, 80, 2, now);
	scaler_run(scaler);
	model_unlock(model);
	settle();
	CHECK_INT(c1->resources[EBB_CPU].current, 230);
	CHECK_INT(c0->resources[EBB_CPU].current, 170);
	CHECK_INT(host->free[EBB_CPU], 0);
	check_adds_up();
}

TEST(a_newer_request_replaces_the_older_one)
{
	struct structure *c0;
	struct scaler_stats stats;
	double now = wall_seconds();

	start();
	c0 = container("c0", 150, 1024);
	model_lock(model);
	ask_with(c0, EBB_CPU, 80, 0, now);
	ask_with(c0, EBB_CPU, 30, 0, now + 1);  /* newer: wins */
	ask_with(c0, EBB_CPU, 90, 0, now - 1);  /* older: does not */
	ask_with(c0, EBB_CPU, 90, -1, now + 2); /* less urgent: does not */
	scaler_get_stats(scaler, &stats);
	CHECK_INT(stats.waiting, 1);
	scaler_run(scaler);
	model_unlock(model);
	settle();
	CHECK_INT(c0->resources[EBB_CPU].current, 180);
}

/* No priority is not a priority of 0. */
TEST(a_priority_counts_when_both_have_one)
{
	struct structure *c0, *c1;
	struct scaler_stats stats;
	double now = wall_seconds();

	start();
	c0 = container("c0", 100, 1024);
	c1 = container("c1", 100, 1024);
	model_lock(model);
	ask_with(c0, EBB_CPU, 10, 5, now);
	ask_without_priority(c0, 20, now + 1);  /* newer: wins */
	ask_with(c0, EBB_CPU, 30, 9, now - 1);  /* older: does not */
	ask_with(c0, EBB_CPU, 40, -1, now + 2); /* newer: wins */
	ask_with(c0, EBB_CPU, 50, -1, now + 2); /* as new, and came later: wins */
	ask_with(c1, EBB_CPU, 10, 1, now);
	ask_with(c1, EBB_CPU, 20, 2, now - 1); /* higher: wins */
	ask_without_priority(c1, 30, now - 2); /* older: does not */
	ask_without_priority(c1, 40, now - 1); /* as new, and came later: wins */
	scaler_get_stats(scaler, &stats);
	CHECK_INT(stats.waiting, 2);
	scaler_run(scaler);
	model_unlock(model);
	settle();
	CHECK_INT(c0->resources[EBB_CPU].current, 150);
	CHECK_INT(c1->resources[EBB_CPU].current, 140);
}

TEST(the_guardians_other_direction_supersedes)
{
	struct structure *c0;

	start();
	c0 = container("c0", 150, 1024);
	model_lock(model);
	decide(c0, EBB_CPU, 80);
	decide(c0, EBB_CPU, -50);
	CHECK_STR(newest("outcome"), "superseded");
	scaler_run(scaler);
	model_unlock(model);
	settle();
	CHECK_INT(c0->resources[EBB_CPU].current, 100);
}

TEST(both_directions_are_done_less_before_more)
{
	struct structure *c0;
	struct scaler_stats stats;

	start();
	c0 = container("c0", 200, 1024);
	model_lock(model);
	ask(c0, EBB_CPU, 20);
	ask(c0, EBB_CPU, -50);
	/* What somebody else asked is not the guardian's to drop. */
	ask(c0, EBB_MEM, 300);
	decide(c0, EBB_MEM, -100);
	scaler_get_stats(scaler, &stats);
	CHECK_INT(stats.waiting, 4);
	scaler_run(scaler);
	scaler_get_stats(scaler, &stats);
	CHECK_INT(stats.waiting, 2);
	model_unlock(model);
	settle();
	CHECK_INT(c0->resources[EBB_CPU].current, 170);
	CHECK_INT(c0->resources[EBB_MEM].current, 1224);
	model_lock(model);
	scaler_get_stats(scaler, &stats);
	CHECK_INT(stats.waiting, 0);
	CHECK_INT(stats.refused, 0);
	model_unlock(model);
	check_adds_up();
}

TEST(amounts_that_are_asked_one_after_the_other_add_up)
{
	struct structure *c0;

	start();
	c0 = container("c0", 150, 1024);
	agent.delay_ms = 50;
	model_lock(model);
	ask(c0, EBB_CPU, 50);
	scaler_run(scaler);
	ask(c0, EBB_CPU, 80);
	scaler_run(scaler);
	ask(c0, EBB_CPU, -20);
	scaler_run(scaler);
	model_unlock(model);
	settle();
	CHECK_INT(c0->resources[EBB_CPU].current, 260);
	check_adds_up();
}

TEST(one_order_at_a_time_for_a_resource)
{
	struct structure *c0;
	size_t before;

	start();
	c0 = container("c0", 150, 1024);
	before = stand_in_n_asked(&agent);
	agent.delay_ms = 50;
	model_lock(model);
	decide(c0, EBB_CPU, 50);
	scaler_run(scaler);
	decide(c0, EBB_CPU, 80);
	scaler_run(scaler);
	model_unlock(model);
	settle();
	/* 150 + 80, not 200 + 80: the second was asked on a limit of 150. */
	CHECK_INT(stand_in_n_asked(&agent), before + 2);
	CHECK_INT(c0->resources[EBB_CPU].current, 230);
	check_adds_up();
}

TEST(unguarding_drops_what_waits_and_keeps_what_is_under_way)
{
	struct structure *c0, *c1;
	struct scaler_stats stats;

	start();
	c0 = container("c0", 200, 1024);
	c1 = container("c1", 200, 1024);
	agent.delay_ms = 50;
	model_lock(model);
	ask(c0, EBB_CPU, -100);
	ask(c1, EBB_MEM, 3000);
	scaler_run(scaler);
	CHECK_INT(model_guard(model, c0, false, NULL), 0);
	scaler_forget(scaler, c0);
	scaler_forget(scaler, c1);
	scaler_get_stats(scaler, &stats);
	CHECK_INT(stats.waiting, 0);
	model_unlock(model);
	settle();
	CHECK_INT(c0->resources[EBB_CPU].current, 100);
	CHECK_INT(c0->in_flight, 0);
	CHECK_INT(host->free[EBB_CPU], 100);
	check_adds_up();
}

TEST(what_waits_too_long_expires)
{
	struct structure *c0;

	start();
	container("c1", 200, 1024);
	c0 = container("c0", 200, 1024);
	model_lock(model);
	ask_with(c0, EBB_CPU, 80, 0, wall_seconds() - 59);
	scaler_run(scaler);
	/* Asked again and again, it counts from the first time. */
	ask(c0, EBB_CPU, 80);
	model->scaler.request_timeout = 30;
	scaler_run(scaler);
	model_unlock(model);
	CHECK_STR(newest("outcome"), "expired");
	CHECK(strstr(newest("reason"), "the host has nothing free"));
}

TEST(requests_that_cannot_be_are_refused)
{
	struct request request = {.amount = 10, .resource = EBB_NET, .timestamp = wall_seconds()};

	start();
	request.structure = container("c0", 120, 1024);
	model_lock(model);
	CHECK_INT(scaler_request(scaler, &request), -EINVAL);
	request.resource = EBB_CPU;
	request.amount = 0;
	CHECK_INT(scaler_request(scaler, &request), -EINVAL);
	model_unlock(model);
}

TEST_MAIN()
