/* SPDX-License-Identifier: Apache-2.0 */
/* Operations of containers: their max, and swaps. */
#include "operation_world.h"

static struct host *host;
static struct structure *c0, *c1;

/* 4 cores, all given out: 200 each. */
static void start_full(void)
{
	world_start();
	host = add_host("h0", 4);
	c0 = add_container(host, "c0", 200, 1024, true);
	c1 = add_container(host, "c1", 200, 1024, true);
	CHECK_INT(host->free[EBB_CPU], 0);
}

static int64_t cpu(const struct structure *s)
{
	return s->resources[EBB_CPU].current;
}

static int64_t max(const struct structure *s)
{
	return s->resources[EBB_CPU].max;
}

/* Nothing is left of any operation. */
static void check_at_rest(void)
{
	check_adds_up();
	CHECK_INT(n_waiting(), 0);
	CHECK_INT(stats().in_flight, 0);
	CHECK_INT(stats().operations_open, 0);
	CHECK_INT(c0->in_flight | c1->in_flight | c0->operating | c1->operating, 0);
}

static void check_as_before(void)
{
	check_at_rest();
	CHECK_INT(cpu(c0), 200);
	CHECK_INT(cpu(c1), 200);
	CHECK_INT(c0->resources[EBB_CPU].allocated, 200);
	CHECK_INT(c1->resources[EBB_CPU].allocated, 200);
	CHECK_INT(in_force("c0", EBB_CPU), 200);
	CHECK_INT(in_force("c1", EBB_CPU), 200);
	CHECK_INT(max(c0), 400);
	CHECK_INT(max(c1), 400);
}

/* --- max of one container --- */

TEST(a_lower_max_takes_the_limit_with_it)
{
	start_full();
	ask(c0, NULL, REQUEST_MAX, -250);
	CHECK_INT(max(c0), 400);
	answer_for("c0", ANSWER_OK);
	CHECK_INT(max(c0), 150);
	CHECK_INT(cpu(c0), 150);
	CHECK_INT(host->free[EBB_CPU], 50);
	CHECK_STR(newest("c0", "outcome"), "applied");
	check_at_rest();
}

/* The original raised what ran at 200 to 340 (9.3, 7). */
TEST(a_lower_max_never_raises_the_limit)
{
	start_full();
	ask(c0, NULL, REQUEST_MAX, -60);
	CHECK_INT(max(c0), 340);
	CHECK_INT(cpu(c0), 200);
	CHECK_INT(world.n_orders, 2); /* those of the two guards */
	CHECK_STR(newest("c0", "field"), "max");
	CHECK_STR(newest("c0", "applied"), "340");
	check_at_rest();
}

TEST(a_max_goes_no_lower_than_min)
{
	start_full();
	ask(c0, NULL, REQUEST_MAX, -1000);
	answer_all(ANSWER_OK);
	CHECK_INT(max(c0), 20);
	CHECK_INT(cpu(c0), 20);
	CHECK_STR(newest("c0", "outcome"), "partial");
	ask(c0, NULL, REQUEST_MAX, -10);
	CHECK_STR(newest("c0", "outcome"), "refused");
	CHECK_STR(newest("c0", "reason"), "it is at its min already");
	check_at_rest();
}

TEST(a_higher_max_takes_the_limit_up_to_it)
{
	world_start();
	host = add_host("h0", 4);
	c0 = c1 = add_container(host, "c0", 200, 1024, true);
	model_lock(world.model);
	CHECK_INT(model_set_parameter(world.model, c0, EBB_CPU, "max", 220, NULL), 0);
	model_unlock(world.model);
	ask(c0, NULL, REQUEST_MAX, 60);
	answer_all(ANSWER_OK);
	CHECK_INT(max(c0), 280);
	CHECK_INT(cpu(c0), 280);
	check_at_rest();
}

TEST(a_higher_max_goes_no_further_than_the_host_has_room)
{
	world_start();
	host = add_host("h0", 4);
	c0 = add_container(host, "c0", 200, 1024, true);
	c1 = add_container(host, "c1", 150, 1024, true);
	model_lock(world.model);
	CHECK_INT(model_set_parameter(world.model, c0, EBB_CPU, "max", 220, NULL), 0);
	model_unlock(world.model);
	ask(c0, NULL, REQUEST_MAX, 100);
	answer_all(ANSWER_OK);
	CHECK_INT(max(c0), 250);
	CHECK_INT(cpu(c0), 250);
	CHECK_STR(newest("c0", "outcome"), "partial");
	check_at_rest();
	/* And waits when there is none. */
	ask(c0, NULL, REQUEST_MAX, 10);
	CHECK_INT(stats().waiting, 1);
	CHECK_INT(max(c0), 250);
}

TEST(a_memory_max_below_what_is_used_becomes_what_is_used)
{
	start_full();
	world_floor = 700;
	CHECK_INT(ask_only(c0, NULL, REQUEST_MAX, EBB_MEM, -3584), 0);
	run();
	answer_for("c0", ANSWER_FLOOR);
	CHECK_INT(c0->resources[EBB_MEM].max, 700);
	CHECK_INT(c0->resources[EBB_MEM].current, 700);
	CHECK_STR(newest("c0", "outcome"), "partial");
	check_at_rest();
}

TEST(a_max_that_the_agent_refuses_stays)
{
	static const enum world_answer answers[] = {ANSWER_REFUSED, ANSWER_LOST, ANSWER_LOST_DONE,
						    ANSWER_NONSENSE};

	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		start_full();
		ask(c0, NULL, REQUEST_MAX, -250);
		answer_for("c0", answers[i]);
		answer_all(ANSWER_OK);
		check_as_before();
		world_end(NULL);
	}
}

TEST(what_is_not_managed_is_taken_into_the_accounting)
{
	world_start();
	host = add_host("h0", 4);
	c0 = c1 = add_container(host, "c0", 150, 1024, false);
	CHECK_INT(c0->resources[EBB_CPU].allocated, 0);
	ask(c0, NULL, REQUEST_CURRENT, 50);
	answer_all(ANSWER_OK);
	CHECK_INT(cpu(c0), 200);
	CHECK_INT(c0->resources[EBB_CPU].allocated, 200);
	CHECK_INT(host->free[EBB_CPU], 200);
	ask(c0, NULL, REQUEST_MAX, -250);
	answer_all(ANSWER_OK);
	CHECK_INT(c0->resources[EBB_CPU].allocated, 150);
	check_at_rest();
}

/* --- swaps --- */

TEST(a_cut_needs_no_room)
{
	struct structure *c2;

	world_start();
	host = add_host("h0", 4);
	c0 = add_container(host, "c0", 250, 512, true);
	c1 = add_container(host, "c1", 100, 512, true);
	c2 = add_container(host, "c2", 120, 512, false);
	CHECK_INT(host->free[EBB_CPU], 50);
	/* What is left of it does not fit either. */
	ask(c2, NULL, REQUEST_CURRENT, -30);
	answer_all(ANSWER_OK);
	CHECK_INT(cpu(c2), 90);
	CHECK_INT(in_force("c2", EBB_CPU), 90);
	CHECK_INT(c2->resources[EBB_CPU].allocated, 0);
	check_at_rest();
	/* It does now, but the agent refuses. */
	ask(c2, NULL, REQUEST_CURRENT, -60);
	CHECK_INT(n_waiting(), 1);
	answer_nth(0, ANSWER_REFUSED);
	CHECK_INT(cpu(c2), 90);
	CHECK_INT(c2->resources[EBB_CPU].allocated, 0);
	CHECK_INT(host->free[EBB_CPU], 50);
	check_at_rest();
	answer_all(ANSWER_OK);
	ask(c2, NULL, REQUEST_CURRENT, -60);
	answer_all(ANSWER_OK);
	CHECK_INT(cpu(c2), 30);
	CHECK_INT(c2->resources[EBB_CPU].allocated, 30);
	CHECK_INT(host->free[EBB_CPU], 20);
	CHECK_INT(stats().refused, 0);
	check_at_rest();
}

TEST(more_waits_for_room_for_what_is_in_force)
{
	struct structure *c2;

	world_start();
	host = add_host("h0", 4);
	c0 = add_container(host, "c0", 250, 512, true);
	c1 = add_container(host, "c1", 100, 512, true);
	c2 = add_container(host, "c2", 120, 512, false);
	ask(c2, NULL, REQUEST_CURRENT, 10);
	CHECK_INT(n_waiting(), 0);
	CHECK_INT(stats().waiting, 1);
	CHECK_INT(host->free[EBB_CPU], 50);
	ask(c0, NULL, REQUEST_CURRENT, -100);
	answer_all(ANSWER_OK);
	CHECK_INT(cpu(c2), 130);
	CHECK_INT(c2->resources[EBB_CPU].allocated, 130);
	check_at_rest();
}

TEST(a_swap_on_a_full_host)
{
	char number[32];

	start_full();
	ask(c1, c0, REQUEST_CURRENT, 60);
	/* The donor first; nobody else gets what it gives up. */
	CHECK(ordered("c0") && !ordered("c1"));
	CHECK(c0->operating && c1->operating);
	CHECK_INT(host->free[EBB_CPU], 0);
	answer_for("c0", ANSWER_OK);
	CHECK(ordered("c1"));
	CHECK_INT(host->free[EBB_CPU], 0);
	/* Both documents change together. */
	CHECK_INT(cpu(c0), 200);
	CHECK_INT(cpu(c1), 200);
	check_adds_up();
	answer_for("c1", ANSWER_OK);
	CHECK_INT(cpu(c0), 140);
	CHECK_INT(cpu(c1), 260);
	CHECK_INT(in_force("c0", EBB_CPU), 140);
	CHECK_INT(in_force("c1", EBB_CPU), 260);
	check_at_rest();
	CHECK_INT(stats().swaps, 1);
	CHECK_STR(newest("c0", "outcome"), "applied");
	CHECK_STR(newest("c0", "pair"), "c1");
	CHECK_STR(newest("c0", "applied"), "140");
	CHECK_STR(newest("c1", "pair"), "c0");
	snprintf(number, sizeof(number), "%s", newest("c0", "operation"));
	CHECK_STR(newest("c1", "operation"), number);
	CHECK(strcmp(number, "0") != 0);
}

TEST(a_swap_asked_by_the_donor_is_the_same)
{
	start_full();
	ask(c0, c1, REQUEST_CURRENT, -60);
	answer_all(ANSWER_OK);
	CHECK_INT(cpu(c0), 140);
	CHECK_INT(cpu(c1), 260);
	CHECK_STR(newest("c0", "requested"), "-60");
	check_at_rest();
}

TEST(a_swap_of_max_on_a_full_host)
{
	start_full();
	model_lock(world.model);
	CHECK_INT(model_set_parameter(world.model, c0, EBB_CPU, "max", 200, NULL), 0);
	CHECK_INT(model_set_parameter(world.model, c1, EBB_CPU, "max", 200, NULL), 0);
	model_unlock(world.model);
	ask(c1, c0, REQUEST_MAX, 60);
	answer_for("c0", ANSWER_OK);
	CHECK_INT(max(c0), 200);
	answer_for("c1", ANSWER_OK);
	CHECK_INT(max(c0), 140);
	CHECK_INT(max(c1), 260);
	CHECK_INT(cpu(c0), 140);
	CHECK_INT(cpu(c1), 260);
	check_at_rest();
}

TEST(a_swap_is_exact_or_refused)
{
	start_full();
	ask(c1, c0, REQUEST_CURRENT, 190);
	CHECK_STR(newest("c1", "outcome"), "refused");
	CHECK_STR(newest("c1", "reason"),
		  "c0 can give up 180 of 190 shares without going below its min of 20");
	model_lock(world.model);
	CHECK_INT(model_set_parameter(world.model, c1, EBB_CPU, "max", 250, NULL), 0);
	model_unlock(world.model);
	ask(c1, c0, REQUEST_CURRENT, 60);
	CHECK_STR(newest("c1", "reason"),
		  "it can take 50 of 60 shares within its max of 250 and what its host has");
	CHECK_INT(cpu(c0), 200);
	CHECK_INT(cpu(c1), 200);
	check_at_rest();
}

TEST(a_swap_between_hosts_is_refused)
{
	struct host *other;

	world_start();
	host = add_host("h0", 4);
	other = add_host("h1", 4);
	c0 = add_container(host, "c0", 200, 1024, true);
	c1 = add_container(other, "c1", 200, 1024, true);
	ask(c1, c0, REQUEST_CURRENT, 60);
	CHECK_STR(newest("c1", "outcome"), "refused");
	CHECK_STR(newest("c1", "reason"), "c1 is on host h1, c0 on host h0: they cannot swap");
	check_as_before();
}

TEST(pairs_that_cannot_be_are_no_requests)
{
	start_full();
	CHECK_INT(ask_only(c0, c0, REQUEST_CURRENT, EBB_CPU, 10), -EINVAL);
	CHECK_INT(ask_only(c0, host->structure, REQUEST_CURRENT, EBB_CPU, 10), -EINVAL);
	CHECK_INT(ask_only(host->structure, NULL, REQUEST_MAX, EBB_CPU, 10), -EINVAL);
	CHECK_INT(ask_only(c0, c1, REQUEST_CURRENT, EBB_NET, 10), -EINVAL);
}

/* Each way in which the first or the second order may fail. */
TEST(a_swap_that_fails_is_taken_back)
{
	for (int which = 0; which < 2; which++)
		for (enum world_answer how = ANSWER_REFUSED; how < ANSWER_MAX; how++) {
			if (how == ANSWER_GONE)
				continue;
			start_full();
			ask(c1, c0, REQUEST_CURRENT, 60);
			if (which)
				answer_for("c0", ANSWER_OK);
			answer_nth(0, how);
			check_adds_up();
			CHECK_INT(cpu(c0), 200);
			CHECK_INT(cpu(c1), 200);
			answer_all(ANSWER_OK);
			check_as_before();
			CHECK_INT(stats().swaps, 0);
			CHECK_INT(stats().rolled_back, 1);
			CHECK_INT(stats().operations, 1);
			world_end(NULL);
		}
}

TEST(a_rollback_is_on_record)
{
	_cleanup_json_ json_t *decisions = NULL;
	const json_t *d;

	start_full();
	ask(c1, c0, REQUEST_CURRENT, 60);
	answer_for("c0", ANSWER_OK);
	answer_for("c1", ANSWER_REFUSED);
	CHECK_STR(newest("c1", "outcome"), "failed");
	CHECK_STR(newest("c1", "reason"), "told to");
	decisions = audit_query(world.audit, "c0", 1);
	d = json_array_get(decisions, 0);
	CHECK_STR(json_string_value(json_object_get(d, "outcome")), "rolled back");
	CHECK_STR(json_string_value(json_object_get(d, "reason")), "c1: told to");
	CHECK(json_is_null(json_object_get(d, "applied")));
	/* The donor is put back at once. */
	CHECK(ordered("c0"));
	answer_all(ANSWER_OK);
	check_as_before();
}

/* No answer to the way back either: nothing is given out twice meanwhile. How long it is tried:
 * test_scaler_given_up.c. */
TEST(what_cannot_be_taken_back_stays_reserved)
{
	start_full();
	ask(c1, c0, REQUEST_CURRENT, 60);
	answer_for("c0", ANSWER_OK);
	answer_for("c1", ANSWER_LOST_DONE);
	for (int i = 0; i < 7; i++) {
		answer_for("c1", i % 2 ? ANSWER_LOST : ANSWER_REFUSED);
		CHECK(!ordered("c0"));
		CHECK_INT(stats().operations_open, 1);
		CHECK_INT(c1->resources[EBB_CPU].allocated, 260);
		CHECK_INT(c0->resources[EBB_CPU].allocated, 140);
		check_adds_up();
		world.now += 13;
		run();
	}
	answer_for("c1", ANSWER_OK);
	CHECK(ordered("c0"));
	answer_all(ANSWER_OK);
	check_as_before();
}

TEST(a_silent_agent_is_waited_for_with_the_way_back)
{
	start_full();
	ask(c1, c0, REQUEST_CURRENT, 60);
	answer_for("c0", ANSWER_OK);
	host->connected = false;
	answer_for("c1", ANSWER_LOST_DONE);
	world.now += 13;
	run();
	CHECK_INT(n_waiting(), 0);
	CHECK_INT(stats().operations_open, 1);
	host->connected = true;
	world.now += 13;
	run();
	CHECK(ordered("c1"));
	answer_all(ANSWER_OK);
	check_as_before();
}

TEST(a_memory_swap_that_meets_the_floor_is_taken_back)
{
	start_full();
	world_floor = 900;
	CHECK_INT(ask_only(c1, c0, REQUEST_CURRENT, EBB_MEM, 512), 0);
	run();
	answer_for("c0", ANSWER_FLOOR);
	CHECK(!ordered("c1"));
	answer_all(ANSWER_OK);
	CHECK_INT(in_force("c0", EBB_MEM), 1024);
	CHECK_INT(c0->resources[EBB_MEM].current, 1024);
	CHECK_INT(c1->resources[EBB_MEM].current, 1024);
	CHECK_INT(stats().rolled_back, 1);
	check_as_before();
}

TEST(a_donor_that_goes_takes_the_swap_with_it)
{
	for (int which = 0; which < 2; which++) {
		start_full();
		ask(c1, c0, REQUEST_CURRENT, 60);
		if (which)
			answer_for("c0", ANSWER_OK);
		model_lock(world.model);
		scaler_forget(world.scaler, c0);
		model_container_gone(world.model, c0);
		model_unlock(world.model);
		check_adds_up();
		answer_all(ANSWER_OK);
		check_at_rest();
		CHECK_INT(cpu(c1), 200);
		CHECK_INT(in_force("c1", EBB_CPU), 200);
		CHECK_INT(host->free[EBB_CPU], 200);
		world_end(NULL);
	}
}

TEST(a_receiver_that_goes_gives_back_what_it_got)
{
	for (int how = 0; how < 2; how++) {
		start_full();
		/* A third one waits for whatever becomes free. */
		ask(c1, c0, REQUEST_CURRENT, 60);
		answer_for("c0", ANSWER_OK);
		CHECK_INT(ask_only(c0, NULL, REQUEST_MAX, EBB_CPU, -10), 0);
		if (how) {
			answer_for("c1", ANSWER_GONE);
		} else {
			model_lock(world.model);
			scaler_forget(world.scaler, c1);
			model_container_gone(world.model, c1);
			model_unlock(world.model);
			answer_for("c1", ANSWER_LOST);
		}
		check_adds_up();
		answer_all(ANSWER_OK);
		check_at_rest();
		CHECK_INT(cpu(c0), 200);
		CHECK_INT(in_force("c0", EBB_CPU), 200);
		CHECK_INT(host->free[EBB_CPU], 200);
		world_end(NULL);
	}
}

TEST(another_of_the_name_is_left_alone)
{
	start_full();
	ask(c1, c0, REQUEST_CURRENT, 60);
	answer_for("c0", ANSWER_OK);
	model_lock(world.model);
	scaler_forget(world.scaler, c1);
	model_remove(world.model, c1);
	model_unlock(world.model);
	c1 = register_container(host, "c1", 100, 512);
	answer_for("c1", ANSWER_OK);
	set_in_force("c1", EBB_CPU, 100);
	answer_all(ANSWER_OK);
	check_at_rest();
	CHECK_INT(cpu(c1), 100);
	CHECK_INT(cpu(c0), 200);
}

TEST(a_max_set_by_hand_meanwhile_wins)
{
	start_full();
	ask(c1, c0, REQUEST_CURRENT, 60);
	answer_for("c0", ANSWER_OK);
	model_lock(world.model);
	CHECK_INT(model_set_parameter(world.model, c1, EBB_CPU, "max", 230, NULL), 0);
	model_unlock(world.model);
	answer_for("c1", ANSWER_OK);
	answer_all(ANSWER_OK);
	CHECK_INT(max(c1), 230);
	CHECK_INT(cpu(c1), 200);
	CHECK_INT(in_force("c1", EBB_CPU), 200);
	CHECK_INT(cpu(c0), 200);
	CHECK_INT(stats().rolled_back, 1);
	check_at_rest();
}

TEST(orders_that_do_not_leave_are_failures)
{
	start_full();
	world.no_sink = true;
	ask(c1, c0, REQUEST_CURRENT, 60);
	CHECK_INT(stats().rolled_back, 1);
	world.no_sink = false;
	answer_all(ANSWER_OK);
	check_as_before();
}

TEST(swaps_with_different_pairs_do_not_merge)
{
	start_full();
	host = add_host("h1", 4);
	add_container(host, "c2", 100, 256, true);
	CHECK_INT(ask_only(c1, c0, REQUEST_CURRENT, EBB_CPU, 10), 0);
	CHECK_INT(ask_only(c1, c0, REQUEST_CURRENT, EBB_CPU, 20), 0);
	CHECK_INT(stats().waiting, 1);
	CHECK_INT(ask_only(c1, c0, REQUEST_MAX, EBB_CPU, 20), 0);
	CHECK_INT(ask_only(c1, NULL, REQUEST_MAX, EBB_CPU, 20), 0);
	CHECK_INT(ask_only(c1, NULL, REQUEST_CURRENT, EBB_CPU, 20), 0);
	CHECK_INT(ask_only(c1, model_structure(world.model, "c2"), REQUEST_CURRENT, EBB_CPU, 20),
		  0);
	CHECK_INT(stats().waiting, 5);
	/* Nor do the two directions. */
	CHECK_INT(ask_only(c0, c1, REQUEST_CURRENT, EBB_CPU, 5), 0);
	CHECK_INT(stats().waiting, 6);
}

TEST(a_swap_and_more_from_the_host_add_up)
{
	world_start();
	host = add_host("h0", 8);
	c0 = add_container(host, "c0", 200, 1024, true);
	c1 = add_container(host, "c1", 200, 1024, true);
	CHECK_INT(ask_only(c0, NULL, REQUEST_CURRENT, EBB_CPU, 20), 0);
	CHECK_INT(ask_only(c0, c1, REQUEST_CURRENT, EBB_CPU, 30), 0);
	run();
	answer_all(ANSWER_OK);
	CHECK_INT(cpu(c0), 250);
	CHECK_INT(cpu(c1), 170);
	CHECK_INT(ask_only(c0, NULL, REQUEST_MAX, EBB_CPU, -20), 0);
	CHECK_INT(ask_only(c0, c1, REQUEST_MAX, EBB_CPU, 30), 0);
	run();
	answer_all(ANSWER_OK);
	CHECK_INT(max(c0), 410);
	CHECK_INT(max(c1), 370);
	CHECK_INT(stats().refused, 0);
	check_at_rest();
}

TEST(another_power_budget_cancels)
{
	struct request request = {.resource = EBB_CPU, .amount = -10, .origin = "energy"};

	start_full();
	request.structure = c0;
	request.timestamp = world.now;
	request.power_budget = 50;
	c0->resources[EBB_ENERGY].present = true;
	c0->resources[EBB_ENERGY].current = 60;
	model_lock(world.model);
	CHECK_INT(scaler_request(world.scaler, &request), 0);
	scaler_run(world.scaler);
	model_unlock(world.model);
	CHECK_STR(newest("c0", "outcome"), "refused");
	CHECK_STR(newest("c0", "reason"), "its power budget has changed since it was asked for");
	check_as_before();
}

TEST_MAIN()
