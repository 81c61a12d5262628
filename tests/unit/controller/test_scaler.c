/* SPDX-License-Identifier: Apache-2.0 */
/* What is ordered for a request, and what of the host that takes or gives back. */
#include "scaler_fixture.h"
#include "seed.h"

TEST(guarding_pins_and_accounts)
{
	struct structure *c0;

	start();
	c0 = container("c0", 150, 1024);
	CHECK_INT(c0->resources[EBB_CPU].current, 150);
	CHECK_INT(c0->resources[EBB_CPU].allocated, 150);
	CHECK_INT(host->free[EBB_CPU], 250);
	CHECK_INT(host->free[EBB_MEM], 3072);
	CHECK(strstr(last_asked(), "\"cpu\":{\"cpu_allowance_limit\":150,\"cpu_num\":\"0,1\"}"));
	check_adds_up();
}

TEST(growth_is_ordered_and_recorded)
{
	struct structure *c0;

	start();
	c0 = container("c0", 150, 1024);
	ask_and_run(c0, EBB_CPU, 100);
	CHECK_STR(last_asked(), "{\"cpu\":{\"cpu_allowance_limit\":250,\"cpu_num\":\"0,1,2\"}}");
	CHECK_INT(c0->resources[EBB_CPU].current, 250);
	CHECK_INT(c0->physical[EBB_CPU], 250);
	CHECK_INT(host->free[EBB_CPU], 150);
	CHECK_INT(c0->in_flight, 0);
	CHECK_STR(newest("outcome"), "applied");
	CHECK_STR(newest("structure"), "c0");
	CHECK_STR(newest("host"), "h0");
	CHECK_STR(newest("origin"), "test");
	CHECK_STR(newest("cpus"), "0,1,2");
	check_adds_up();
}

TEST(without_a_cpuset_only_the_quota_is_ordered)
{
	_cleanup_json_ json_t *limits = json_pack("{s:i, s:i}", "cpu", 150, "mem", 1024);
	struct structure *c0;

	start();
	c0 = container("c0", 150, 1024);
	model_lock(model);
	scaler_limits_reported(scaler, c0, limits, 0);
	ask(c0, EBB_CPU, 100);
	scaler_run(scaler);
	model_unlock(model);
	settle();
	CHECK_STR(last_asked(), "{\"cpu\":{\"cpu_allowance_limit\":250}}");
	check_adds_up();
}

TEST(shrinking_gives_back_when_applied)
{
	struct structure *c0;

	start();
	c0 = container("c0", 250, 1024);
	agent.delay_ms = 100;
	model_lock(model);
	ask(c0, EBB_CPU, -150);
	scaler_run(scaler);
	CHECK_INT(c0->in_flight, 1 << EBB_CPU);
	CHECK_INT(host->free[EBB_CPU], 150);
	model_unlock(model);
	settle();
	CHECK_STR(last_asked(), "{\"cpu\":{\"cpu_allowance_limit\":100,\"cpu_num\":\"0\"}}");
	CHECK_INT(host->free[EBB_CPU], 300);
	check_adds_up();
}

TEST(cores_are_left_alone_without_pinning)
{
	struct structure *c0;

	start();
	model->scaler.pin_cores = false;
	c0 = container("c0", 150, 1024);
	ask_and_run(c0, EBB_CPU, 50);
	CHECK_STR(last_asked(), "{\"cpu\":{\"cpu_allowance_limit\":200}}");
}

TEST(cores_are_left_alone_with_the_distribution_none)
{
	struct structure *c0;

	start();
	model_lock(model);
	CHECK_INT(model_set_core_distribution(model, host->structure, CORES_NONE), 0);
	model_unlock(model);
	c0 = container("c0", 150, 1024);
	ask_and_run(c0, EBB_CPU, 50);
	CHECK_STR(last_asked(), "{\"cpu\":{\"cpu_allowance_limit\":200}}");
	check_adds_up();
}

TEST(several_resources_go_in_one_order)
{
	struct structure *c0;
	size_t before;

	start();
	c0 = container("c0", 150, 1024);
	before = stand_in_n_asked(&agent);
	model_lock(model);
	ask(c0, EBB_CPU, 50);
	ask(c0, EBB_MEM, 512);
	scaler_run(scaler);
	model_unlock(model);
	settle();
	CHECK_INT(stand_in_n_asked(&agent), before + 1);
	CHECK(strstr(last_asked(), "\"mem\":{\"mem_limit\":1536}"));
	CHECK(strstr(last_asked(), "\"cpu_allowance_limit\":200"));
}

TEST(lowering_memory_holds_nothing_else_back)
{
	struct structure *c0;
	size_t before;

	start();
	c0 = container("c0", 150, 1024);
	before = stand_in_n_asked(&agent);
	model_lock(model);
	ask(c0, EBB_CPU, 50);
	ask(c0, EBB_MEM, -512);
	scaler_run(scaler);
	model_unlock(model);
	settle();
	CHECK_INT(stand_in_n_asked(&agent), before + 2);
	CHECK_INT(c0->resources[EBB_MEM].current, 512);
	CHECK_INT(host->free[EBB_MEM], 4096 - 512);
	check_adds_up();
}

TEST(a_memory_shrink_that_stops_short_is_accounted_as_it_is)
{
	struct structure *c0;

	start();
	c0 = container("c0", 150, 1024);
	agent.mem_floor = 700;
	ask_and_run(c0, EBB_MEM, -512);
	CHECK_INT(c0->resources[EBB_MEM].current, 700);
	CHECK_INT(c0->resources[EBB_MEM].allocated, 700);
	CHECK_INT(host->free[EBB_MEM], 4096 - 700);
	CHECK_STR(newest("outcome"), "partial");
	check_adds_up();
}

TEST(shrinks_make_room_for_growth)
{
	struct structure *c0, *c1;

	start();
	c0 = container("c0", 200, 1024);
	c1 = container("c1", 200, 1024);
	CHECK_INT(host->free[EBB_CPU], 0);
	/* The growth was asked first; it waits until the shrink is in force. */
	model_lock(model);
	ask(c1, EBB_CPU, 60);
	ask(c0, EBB_CPU, -80);
	scaler_run(scaler);
	CHECK_INT(c1->in_flight, 0);
	CHECK_INT(c0->in_flight, 1 << EBB_CPU);
	model_unlock(model);
	settle();
	CHECK_INT(c0->resources[EBB_CPU].current, 120);
	CHECK_INT(c1->resources[EBB_CPU].current, 260);
	CHECK_INT(host->free[EBB_CPU], 20);
	CHECK_STR(last_asked(), "{\"cpu\":{\"cpu_allowance_limit\":260,\"cpu_num\":\"2,3,1\"}}");
	check_adds_up();
}

/* Random requests against an agent that fails at random: nothing is ever lost or promised twice. */
TEST(random_orders_always_add_up)
{
	unsigned seed = (unsigned)test_seed(1);
	unsigned state = seed;
	struct structure *c[5];
	char name[16];

	start();
	for (int i = 0; i < 5; i++) {
		snprintf(name, sizeof(name), "c%d", i);
		c[i] = container(name, 60, 512);
	}
	for (int step = 0; step < 600; step++) {
		struct structure *s = c[rand_r(&state) % 5];

		pthread_mutex_lock(&agent.lock);
		agent.status = rand_r(&state) % 6 ? 0 : 500;
		agent.mem_floor = rand_r(&state) % 3 ? 0 : 300;
		agent.delay_ms = rand_r(&state) % 20 ? 0 : 3;
		pthread_mutex_unlock(&agent.lock);
		model_lock(model);
		ask(s, rand_r(&state) % 2 ? EBB_CPU : EBB_MEM, 1 + rand_r(&state) % 300);
		s = c[rand_r(&state) % 5];
		ask(s, rand_r(&state) % 2 ? EBB_CPU : EBB_MEM, -1 - rand_r(&state) % 300);
		scaler_run(scaler);
		model_unlock(model);
		check_adds_up();
		if (step % 50 == 0)
			settle();
	}
	settle();
	check_adds_up();
	for (int i = 0; i < 5; i++)
		for (int r = EBB_CPU; r <= EBB_MEM; r++) {
			CHECK_INT(c[i]->resources[r].allocated, c[i]->resources[r].current);
			CHECK(c[i]->resources[r].current >= c[i]->resources[r].min);
			CHECK(c[i]->resources[r].current <= c[i]->resources[r].max);
		}
}

TEST_MAIN()
