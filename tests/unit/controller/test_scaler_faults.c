/* SPDX-License-Identifier: Apache-2.0 */
/* Agents that refuse, are silent, are late, or do not know the container. */
#include "scaler_fixture.h"

TEST(a_refused_order_leaves_everything_as_it_was)
{
	struct structure *c0;
	_cleanup_json_ json_t *before = NULL, *after = NULL;

	start();
	container("c9", 150, 1024);
	c0 = container("c0", 120, 1024);
	before = cpumap_to_json(host->cpumap);
	agent.status = 500;
	ask_and_run(c0, EBB_CPU, 100);
	after = cpumap_to_json(host->cpumap);
	CHECK(json_equal(before, after));
	CHECK_INT(c0->resources[EBB_CPU].current, 120);
	CHECK_INT(host->free[EBB_CPU], 130);
	CHECK_STR(newest("outcome"), "failed");
	CHECK_STR(newest("reason"), "it answered 500: told to");
	check_adds_up();
}

TEST(a_failing_container_does_not_spin)
{
	struct structure *c0;
	size_t before;

	start();
	c0 = container("c0", 120, 1024);
	agent.status = 500;
	before = stand_in_n_asked(&agent);
	for (int i = 0; i < 20; i++)
		ask_and_run(c0, EBB_CPU, 100);
	CHECK(stand_in_n_asked(&agent) < before + 5);
	/* It is asked again all the same. */
	agent.status = 0;
	while (c0->resources[EBB_CPU].current != 220)
		run();
	check_adds_up();
}

/* It reads all limits again before it answers; given up, the raise would be taken back for ever. */
TEST(a_slow_container_scaler_is_waited_for)
{
	struct structure *c0;

	start();
	c0 = container("c0", 120, 1024);
	host->agentless = true;
	agent.delay_ms = 2600;
	ask_and_run(c0, EBB_CPU, 100);
	agent.delay_ms = 0;
	CHECK_INT(c0->resources[EBB_CPU].current, 220);
	CHECK_STR(newest("outcome"), "applied");
	check_adds_up();
}

TEST(no_answer_keeps_both_limits_accounted_until_it_is_known)
{
	struct structure *c0;
	int64_t took;

	start();
	c0 = container("c0", 120, 1024);
	free(host->address);
	host->address = strdup("http://127.0.0.1:1");
	model_lock(model);
	ask(c0, EBB_CPU, 100);
	scaler_run(scaler);
	model_unlock(model);
	settle();
	CHECK_INT(c0->resources[EBB_CPU].current, 120);
	CHECK_INT(c0->resources[EBB_CPU].allocated, 220);
	took = host->free[EBB_CPU];
	CHECK_INT(took, 180);
	check_adds_up();

	/* It had been applied. Its agent is back, is told the limit on record, and says so. */
	char url[128];
	free(host->address);
	host->address = strdup(stand_in_url(&agent, url, sizeof(url)));
	while (c0->resources[EBB_CPU].allocated != 120)
		run();
	CHECK(strstr(last_asked(), "\"cpu_allowance_limit\":120"));
	CHECK_INT(host->free[EBB_CPU], 280);
	check_adds_up();
}

TEST(an_answer_without_the_limit_is_no_success)
{
	struct structure *c0;

	start();
	c0 = container("c0", 120, 1024);
	agent.answer = "{\"cpu\":{\"success\":false}}";
	ask_and_run(c0, EBB_CPU, 100);
	CHECK_INT(c0->resources[EBB_CPU].current, 120);
	CHECK_STR(newest("outcome"), "failed");
	check_adds_up();
}

TEST(an_unknown_container_has_gone)
{
	struct structure *c0;

	start();
	c0 = container("c0", 120, 1024);
	agent.status = 404;
	ask_and_run(c0, EBB_CPU, 100);
	CHECK(!c0->live);
	CHECK_INT(c0->resources[EBB_CPU].allocated, 0);
	CHECK_INT(host->free[EBB_CPU], 400);
	check_adds_up();
}

TEST(a_structure_removed_under_way_is_no_harm)
{
	struct structure *c0;

	start();
	c0 = container("c0", 120, 1024);
	agent.delay_ms = 100;
	model_lock(model);
	ask(c0, EBB_CPU, 100);
	ask(c0, EBB_MEM, -512);
	scaler_run(scaler);
	scaler_forget(scaler, c0);
	model_remove(model, c0);
	model_unlock(model);
	/* One of the same name comes before the order is done. */
	pthread_mutex_lock(&agent.lock);
	agent.delay_ms = 0;
	pthread_mutex_unlock(&agent.lock);
	c0 = container("c0", 60, 256);
	settle();
	CHECK_INT(c0->resources[EBB_CPU].current, 60);
	CHECK_INT(c0->resources[EBB_CPU].allocated, 60);
	CHECK_INT(host->free[EBB_CPU], 340);
	check_adds_up();
}

TEST(a_late_404_is_not_about_the_next_of_that_name)
{
	struct structure *c0;
	size_t before;

	start();
	c0 = container("c0", 120, 1024);
	before = stand_in_n_asked(&agent);
	agent.delay_ms = 200;
	agent.status = 404;
	model_lock(model);
	ask(c0, EBB_CPU, 100);
	scaler_run(scaler);
	scaler_forget(scaler, c0);
	model_remove(model, c0);
	model_unlock(model);
	while (stand_in_n_asked(&agent) == before)
		usleep(1000);
	pthread_mutex_lock(&agent.lock);
	agent.delay_ms = 0;
	agent.status = 0;
	pthread_mutex_unlock(&agent.lock);
	c0 = container("c0", 60, 256);
	settle();
	CHECK(model_structure(model, "c0") == c0);
	CHECK(c0->live);
	CHECK_INT(c0->resources[EBB_CPU].allocated, 60);
	CHECK_INT(host->free[EBB_CPU], 340);
	check_adds_up();
}

TEST(nothing_is_ordered_from_a_silent_agent_or_by_an_inactive_scaler)
{
	struct structure *c0;
	size_t before;

	start();
	c0 = container("c0", 120, 1024);
	before = stand_in_n_asked(&agent);
	host->connected = false;
	ask_and_run(c0, EBB_CPU, 100);
	CHECK_INT(stand_in_n_asked(&agent), before);
	host->connected = true;
	model->scaler.active = false;
	run();
	CHECK_INT(stand_in_n_asked(&agent), before);
	model->scaler.active = true;
	run();
	CHECK_INT(stand_in_n_asked(&agent), before + 1);
	CHECK_INT(c0->resources[EBB_CPU].current, 220);
}

TEST_MAIN()
