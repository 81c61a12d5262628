/* SPDX-License-Identifier: Apache-2.0 */
/* Limits within min and max, also when these change under way. */
#include "scaler_fixture.h"

/* The documents of others may say so: 0 shares would be no limit there, and 0 MiB is refused. */
TEST(a_min_of_nothing_orders_no_less_than_can_be_set)
{
	struct structure *c0;

	start();
	c0 = container("c0", 120, 1024);
	model_lock(model);
	c0->resources[EBB_CPU].min = c0->resources[EBB_MEM].min = 0;
	model_unlock(model);
	ask_and_run(c0, EBB_CPU, -120);
	CHECK_INT(c0->resources[EBB_CPU].current, 1);
	ask_and_run(c0, EBB_MEM, -1000);
	CHECK_INT(c0->resources[EBB_MEM].current, 64);
	check_adds_up();
}

static void set_under_way(struct structure *s, int64_t amount, const char *param, int value)
{
	agent.delay_ms = 50;
	model_lock(model);
	ask(s, EBB_CPU, amount);
	scaler_run(scaler);
	CHECK_INT(s->in_flight, 1 << EBB_CPU);
	CHECK_INT(model_set_parameter(model, s, EBB_CPU, param, value, NULL), 0);
	model_unlock(model);
	settle();
}

TEST(a_max_set_while_a_growth_is_under_way_holds)
{
	struct structure *c0;

	start();
	c0 = container("c0", 100, 1024);
	set_under_way(c0, 200, "max", 150);
	CHECK_STR(last_asked(), "{\"cpu\":{\"cpu_allowance_limit\":150,\"cpu_num\":\"0,1\"}}");
	CHECK_INT(c0->resources[EBB_CPU].current, 150);
	CHECK_INT(c0->physical[EBB_CPU], 150);
	CHECK_INT(host->free[EBB_CPU], 250);
	check_adds_up();
}

TEST(a_min_set_while_a_shrink_is_under_way_holds)
{
	struct structure *c0;

	start();
	c0 = container("c0", 200, 1024);
	set_under_way(c0, -150, "min", 120);
	CHECK(strstr(last_asked(), "\"cpu_allowance_limit\":120"));
	CHECK_INT(c0->resources[EBB_CPU].current, 120);
	CHECK_INT(host->free[EBB_CPU], 280);
	check_adds_up();
}

TEST(a_min_without_room_is_left_unmet)
{
	struct structure *c0;

	start();
	container("c1", 250, 1024);
	c0 = container("c0", 100, 1024);
	set_under_way(c0, -50, "min", 300);
	CHECK_INT(c0->resources[EBB_CPU].current, 50);
	CHECK_INT(c0->resources[EBB_CPU].allocated, 50);
	CHECK_INT(c0->apply, 0);
	CHECK_INT(host->free[EBB_CPU], 100);
	check_adds_up();
}

TEST(a_max_below_what_is_used_is_not_ordered_at_every_turn)
{
	struct structure *c0;
	size_t before;

	start();
	c0 = container("c0", 150, 1024);
	agent.mem_floor = 700;
	before = stand_in_n_asked(&agent);
	model_lock(model);
	CHECK_INT(model_set_parameter(model, c0, EBB_MEM, "max", 512, NULL), 0);
	model_unlock(model);
	for (int i = 0; i < 20; i++)
		run();
	CHECK(stand_in_n_asked(&agent) < before + 5);
	CHECK_INT(c0->resources[EBB_MEM].current, 512);
	CHECK_INT(c0->resources[EBB_MEM].allocated, 700);
	check_adds_up();
	agent.mem_floor = 0;
	while (c0->resources[EBB_MEM].allocated != 512)
		run();
	check_adds_up();
}

TEST_MAIN()
