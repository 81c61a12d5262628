/* SPDX-License-Identifier: Apache-2.0 */
/* What is set aside, and what is in force, while orders fail, wait for each other, or are put back.
 */
#include "operation_world.h"

static struct host *host;
static struct structure *c0, *c1;

static int64_t cpu(const struct structure *s)
{
	return s->resources[EBB_CPU].current;
}

static int64_t held(const struct structure *s)
{
	return s->resources[EBB_CPU].allocated;
}

static void set_max(struct structure *s, double max)
{
	model_lock(world.model);
	CHECK_INT(model_set_parameter(world.model, s, EBB_CPU, "max", max, NULL), 0);
	model_unlock(world.model);
}

/* c0 is guarded and came back with 100 in force, above its max of 55, when its host was full: it is
 * not accounted. There is room again. */
static void start_unaccounted(void)
{
	world_start();
	host = add_host("h0", 4);
	c0 = add_container(host, "c0", 100, 512, true);
	c1 = add_container(host, "c1", 300, 512, true);
	model_lock(world.model);
	scaler_forget(world.scaler, c0);
	model_container_gone(world.model, c0);
	model_unlock(world.model);
	ask(c1, NULL, REQUEST_CURRENT, 100);
	answer_all(ANSWER_OK);
	CHECK_INT(cpu(c1), 400);
	c0 = register_container(host, "c0", 100, 512);
	CHECK_INT(held(c0), 0);
	CHECK_INT(cpu(c0), 100);
	set_max(c0, 55);
	ask(c1, NULL, REQUEST_CURRENT, -200);
	answer_for("c1", ANSWER_OK);
}

TEST(what_is_taken_into_the_accounts_goes_below_its_max_if_the_order_fails)
{
	const enum world_answer how[] = {ANSWER_REFUSED, ANSWER_LOST};

	for (size_t i = 0; i < ARRAY_SIZE(how); i++) {
		start_unaccounted();
		ask(c0, NULL, REQUEST_CURRENT, -60);
		answer_for("c0", how[i]);
		check_adds_up();
		CHECK_INT(held(c0), 100);
		CHECK_INT(cpu(c0), 55);
		answer_all(ANSWER_OK);
		CHECK_INT(in_force("c0", EBB_CPU), 55);
		CHECK_INT(held(c0), 55);
		check_adds_up();
		world_end(NULL);
	}
}

TEST(what_is_taken_into_the_accounts_goes_below_its_max_if_its_operation_fails)
{
	start_unaccounted();
	ask(c1, c0, REQUEST_CURRENT, 60);
	answer_for("c0", ANSWER_REFUSED);
	check_adds_up();
	CHECK_INT(held(c0), 100);
	CHECK_INT(cpu(c0), 55);
	answer_all(ANSWER_OK);
	CHECK_INT(in_force("c0", EBB_CPU), 55);
	CHECK_INT(held(c0), 55);
	check_adds_up();
}

TEST(a_max_lowered_while_it_is_away_holds_when_it_is_back)
{
	world_start();
	host = add_host("h0", 4);
	c0 = add_container(host, "c0", 200, 512, true);
	c1 = add_container(host, "c1", 100, 512, true);
	world_crash();
	host = add_host("h0", 4);
	c0 = model_structure(world.model, "c0");
	CHECK(!c0->live);
	CHECK_INT(held(c0), 200);
	ask(c0, NULL, REQUEST_MAX, -250);
	CHECK_INT(c0->resources[EBB_CPU].max, 150);
	CHECK_INT(cpu(c0), 150);
	register_container(host, "c0", 200, 512);
	run();
	answer_all(ANSWER_OK);
	CHECK_INT(in_force("c0", EBB_CPU), 150);
	CHECK_INT(held(c0), 150);
	check_adds_up();
}

TEST(what_comes_back_above_its_max_is_brought_below_it)
{
	world_start();
	host = add_host("h0", 4);
	c0 = add_container(host, "c0", 200, 512, true);
	world_crash();
	host = add_host("h0", 4);
	c0 = model_structure(world.model, "c0");
	/* As a document that another controller has written. */
	c0->resources[EBB_CPU].max = 150;
	register_container(host, "c0", 200, 512);
	run();
	answer_all(ANSWER_OK);
	CHECK_INT(in_force("c0", EBB_CPU), 150);
	CHECK_INT(cpu(c0), 150);
	CHECK_INT(held(c0), 150);
}

TEST(an_operation_leaves_nothing_behind_where_nothing_is_accounted)
{
	world_start();
	host = add_host("h0", 4);
	c0 = add_container(host, "c0", 100, 512, false);
	c0->operating |= 1u << EBB_CPU;
	register_container(host, "c0", 100, 512);
	CHECK_INT(c0->operating, 0);
}

TEST(what_another_hand_wrote_during_an_operation_is_put_back)
{
	_cleanup_json_ json_t *limits = json_pack("{s:i, s:s}", "cpu", -1, "cpus", "0");

	world_start();
	host = add_host("h0", 4);
	c0 = add_container(host, "c0", 200, 512, true);
	c1 = add_container(host, "c1", 200, 512, true);
	ask(c1, c0, REQUEST_CURRENT, 50);
	answer_for("c0", ANSWER_OK);
	set_in_force("c0", EBB_CPU, -1);
	model_lock(world.model);
	scaler_limits_reported(world.scaler, c0, limits, world.now);
	model_unlock(world.model);
	answer_for("c1", ANSWER_OK);
	answer_all(ANSWER_OK);
	CHECK_INT(in_force("c0", EBB_CPU), 150);
	CHECK_INT(in_force("c1", EBB_CPU), 250);
	check_adds_up();
}

/* c0 grew to 150 by half of an operation when the controller died; the rest of the host is free. */
TEST(what_is_to_be_taken_back_is_nobody_elses_before)
{
	world_start();
	host = add_host("h0", 4);
	c0 = add_container(host, "c0", 100, 512, true);
	c1 = add_container(host, "c1", 100, 512, true);
	set_max(c0, 100);
	ask(c0, NULL, REQUEST_MAX, 50);
	CHECK(ordered("c0"));
	world_crash();
	host = add_host("h0", 4);
	c0 = register_container(host, "c0", 150, 512);
	c1 = register_container(host, "c1", 100, 512);
	CHECK_INT(cpu(c0), 100);
	CHECK_INT(held(c0), 150);
	ask(c1, NULL, REQUEST_CURRENT, 200);
	CHECK_INT(held(c1), 100);
	answer_for("c0", ANSWER_OK);
	CHECK_INT(in_force("c0", EBB_CPU), 100);
	CHECK_INT(held(c0), 100);
	answer_for("c1", ANSWER_OK);
	CHECK_INT(cpu(c1), 300);
	check_adds_up();
}

/* --- what is freed is planned in --- */

/* 20 are free. */
static void start_nearly_full(void)
{
	world_start();
	host = add_host("h0", 4);
	c0 = add_container(host, "c0", 200, 512, true);
	c1 = add_container(host, "c1", 180, 512, true);
	CHECK_INT(host->free[EBB_CPU], 20);
}

TEST(a_growth_waits_for_the_release_and_has_all_of_it)
{
	start_nearly_full();
	CHECK_INT(ask_only(c1, NULL, REQUEST_CURRENT, EBB_CPU, 60), 0);
	CHECK_INT(ask_only(c0, NULL, REQUEST_CURRENT, EBB_CPU, -80), 0);
	run();
	CHECK(ordered("c0") && !ordered("c1"));
	/* Another turn changes nothing. */
	run();
	CHECK(!ordered("c1"));
	answer_for("c0", ANSWER_OK);
	answer_for("c1", ANSWER_OK);
	CHECK_INT(cpu(c0), 120);
	CHECK_INT(cpu(c1), 240);
	CHECK_INT(host->free[EBB_CPU], 40);
	CHECK_STR(newest("c1", "outcome"), "applied");
	check_adds_up();
}

TEST(a_growth_has_what_there_is_if_the_release_fails)
{
	const enum world_answer how[] = {ANSWER_REFUSED, ANSWER_LOST};

	for (size_t i = 0; i < ARRAY_SIZE(how); i++) {
		start_nearly_full();
		ask(c0, NULL, REQUEST_CURRENT, -80);
		ask(c1, NULL, REQUEST_CURRENT, 60);
		CHECK(!ordered("c1"));
		answer_for("c0", how[i]);
		answer_for("c1", ANSWER_OK);
		CHECK_INT(cpu(c1), 200);
		CHECK_STR(newest("c1", "outcome"), "partial");
		answer_all(ANSWER_OK);
		check_adds_up();
		world_end(NULL);
	}
}

TEST(a_growth_waits_for_releases_but_not_for_ever)
{
	start_nearly_full();
	ask(c0, NULL, REQUEST_CURRENT, -80);
	ask(c1, NULL, REQUEST_CURRENT, 60);
	world.now += 9;
	run();
	CHECK(!ordered("c1"));
	world.now += 2;
	run();
	CHECK(ordered("c1"));
	answer_for("c1", ANSWER_OK);
	CHECK_INT(cpu(c1), 200);
	answer_all(ANSWER_OK);
	check_adds_up();
}

TEST(a_growth_waits_for_the_lower_max_of_another)
{
	start_nearly_full();
	ask(c0, NULL, REQUEST_MAX, -280);
	ask(c1, NULL, REQUEST_CURRENT, 60);
	CHECK(ordered("c0") && !ordered("c1"));
	answer_for("c0", ANSWER_OK);
	answer_for("c1", ANSWER_OK);
	CHECK_INT(cpu(c0), 120);
	CHECK_INT(cpu(c1), 240);
	check_adds_up();
}

/* What a swap frees is not for others. */
TEST(a_growth_does_not_wait_for_a_swap)
{
	struct structure *c2;

	world_start();
	host = add_host("h0", 4);
	c0 = add_container(host, "c0", 100, 512, true);
	c1 = add_container(host, "c1", 140, 512, true);
	c2 = add_container(host, "c2", 140, 512, true);
	ask(c2, c0, REQUEST_CURRENT, 50);
	ask(c1, NULL, REQUEST_CURRENT, 60);
	CHECK(ordered("c1"));
	answer_all(ANSWER_OK);
	CHECK_INT(cpu(c1), 160);
	CHECK_INT(cpu(c2), 190);
	check_adds_up();
}

TEST_MAIN()
