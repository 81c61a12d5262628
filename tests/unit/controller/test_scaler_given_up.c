/* SPDX-License-Identifier: Apache-2.0 */
/* Operations whose way back is barred: a host that is dead, an agent that never answers, the lead
 * that goes. */
#include "model_private.h"
#include "operation_world.h"

static struct host *h0, *h1;
static struct structure *c0, *c1, *c2;

static int64_t cpu(const struct structure *s)
{
	return s->resources[EBB_CPU].current;
}

static int64_t held(const struct structure *s)
{
	return s->resources[EBB_CPU].allocated;
}

/* Seconds pass; all that is ordered is answered, that for `silent` is not (NULL: all are). */
static void pass(int seconds, const char *silent)
{
	for (int i = 0; i < seconds; i++) {
		world.now += 1;
		run();
		for (int turn = 0; turn < 20 && n_waiting(); turn++)
			for (size_t k = 0; k < ORDERS_MAX; k++) {
				const char *name = world.orders[k].order.container;
				_cleanup_free_ char *copy = NULL;

				if (!world.orders[k].waits)
					continue;
				copy = strdup(name);
				answer_for(copy, silent && strcmp(copy, silent) == 0 ? ANSWER_LOST
										     : ANSWER_OK);
			}
	}
	check_adds_up();
}

static void check_whole(const struct structure *s, int64_t limit)
{
	CHECK_INT(cpu(s), limit);
	CHECK_INT(held(s), limit);
	CHECK_INT(in_force(s->name, EBB_CPU), limit);
	CHECK_INT(s->in_flight | s->apply | s->operating, 0);
}

/* An application grows on two hosts, and one of them dies before it has answered. */
static void grow_and_lose(enum world_answer how)
{
	static const char *const members[] = {"c0", "c1", NULL};
	struct structure *app;

	world_start();
	h0 = add_host("h0", 4);
	h1 = add_host("h1", 4);
	c0 = add_container(h0, "c0", 100, 512, true);
	c1 = add_container(h1, "c1", 100, 512, true);
	app = add_parent(STRUCTURE_APPLICATION, "app0", 800, 40, members);
	c0->resources[EBB_CPU].usage = c1->resources[EBB_CPU].usage = 90;
	ask(app, NULL, REQUEST_CURRENT, 100);
	CHECK(ordered("c0") && ordered("c1"));
	answer_for("c0", ANSWER_OK);
	h1->connected = false;
	answer_for("c1", how);
	pass(60, NULL);
}

TEST(a_dead_host_holds_up_no_other)
{
	int64_t more;

	grow_and_lose(ANSWER_LOST_DONE);
	more = in_force("c1", EBB_CPU) - 100;
	CHECK(more > 0);
	CHECK_INT(stats().operations_open, 0);
	CHECK_INT(stats().rolled_back, 1);
	check_whole(c0, 100);
	/* What may be in force there is nobody else's. */
	CHECK_INT(cpu(c1), 100);
	CHECK_INT(held(c1), 100 + more);
	CHECK_INT(h1->free[EBB_CPU], 400 - 100 - more);
	CHECK_STR(newest("c1", "outcome"), "failed");
	CHECK(strstr(newest("c1", "reason"), "its agent is not connected"));
	CHECK_STR(newest("c0", "outcome"), "rolled back");

	ask(c0, NULL, REQUEST_CURRENT, 30);
	pass(1, NULL);
	check_whole(c0, 130);

	h1->connected = true;
	pass(60, NULL);
	check_whole(c1, 100);
	CHECK_INT(h1->free[EBB_CPU], 300);
}

TEST(the_application_goes_on_with_the_hosts_that_live)
{
	grow_and_lose(ANSWER_LOST);
	ask(model_structure(world.model, "app0"), NULL, REQUEST_CURRENT, 60);
	pass(2, NULL);
	CHECK_INT(stats().operations_open, 0);
	check_whole(c0, 160);
}

/* The controller ends as well before the host is back. */
TEST(what_was_given_up_survives_a_crash)
{
	grow_and_lose(ANSWER_LOST_DONE);
	world_crash();
	h1 = add_host("h1", 4);
	c1 = register_container(h1, "c1", (int)in_force("c1", EBB_CPU), 512);
	pass(60, NULL);
	check_whole(c1, 100);
	CHECK_INT(h1->free[EBB_CPU], 300);
}

TEST(a_donor_on_a_healthy_host_is_put_back)
{
	static const char *const a[] = {"c0", NULL}, *const b[] = {"c1", "c2", NULL};
	struct structure *app0, *app1;

	world_start();
	h0 = add_host("h0", 4);
	h1 = add_host("h1", 4);
	c0 = add_container(h0, "c0", 200, 512, true);
	c1 = add_container(h0, "c1", 100, 512, true);
	c2 = add_container(h1, "c2", 100, 512, true);
	c0->resources[EBB_CPU].max = 200;
	c1->resources[EBB_CPU].max = c2->resources[EBB_CPU].max = 100;
	app0 = add_parent(STRUCTURE_APPLICATION, "app0", 200, 40, a);
	app1 = add_parent(STRUCTURE_APPLICATION, "app1", 200, 40, b);
	ask(app1, app0, REQUEST_MAX, 100);
	answer_for("c0", ANSWER_OK);
	CHECK(ordered("c2"));
	h1->connected = false;
	answer_for("c2", ANSWER_LOST);
	pass(60, NULL);
	CHECK_INT(stats().operations_open, 0);
	check_whole(c0, 200);
	check_whole(c1, 100);
	CHECK_INT(app0->resources[EBB_CPU].max, 200);
	CHECK_INT(app1->resources[EBB_CPU].max, 200);
	h1->connected = true;
	pass(60, NULL);
	check_whole(c2, 100);
}

static void swap_with_silence(void)
{
	world_start();
	h0 = add_host("h0", 4);
	c0 = add_container(h0, "c0", 200, 1024, true);
	c1 = add_container(h0, "c1", 200, 1024, true);
	ask(c1, c0, REQUEST_CURRENT, 60);
	answer_for("c0", ANSWER_OK);
	answer_for("c1", ANSWER_LOST_DONE);
	CHECK_INT(in_force("c1", EBB_CPU), 260);
}

/* The operation ends; the donor waits for its shares, and has them when the receiver answers. */
TEST(a_container_that_does_not_answer_keeps_what_it_got)
{
	swap_with_silence();
	for (int i = 0; i < 100 && stats().operations_open; i++)
		pass(1, "c1");
	CHECK_INT(stats().operations_open, 0);
	CHECK_INT(held(c1), 260);
	CHECK_INT(held(c0), 140);
	CHECK_INT(in_force("c0", EBB_CPU), 140);
	/* Nor can it be asked for before. */
	ask(c0, NULL, REQUEST_CURRENT, 10);
	CHECK(!ordered("c0"));
	pass(20, NULL);
	check_whole(c1, 200);
	CHECK_INT(held(c0), in_force("c0", EBB_CPU));
	check_whole(c0, 200);
}

/* What never answers holds nobody for ever; it is not given out twice either. */
TEST(a_donor_does_not_wait_for_ever)
{
	swap_with_silence();
	pass(200, "c1");
	CHECK_INT(stats().operations_open, 0);
	CHECK_INT(held(c1), 260);
	check_whole(c0, 140);
	ask(c0, NULL, REQUEST_CURRENT, -20);
	pass(1, "c1");
	check_whole(c0, 120);
	pass(200, NULL);
	check_whole(c1, 200);
	CHECK_INT(h0->free[EBB_CPU], 400 - 200 - 120);
}

/* Nor where it was in an operation when a controller ended. */
TEST(a_marked_donor_does_not_wait_for_ever_after_a_crash)
{
	swap_with_silence();
	world_crash();
	h0 = add_host("h0", 4);
	c0 = register_container(h0, "c0", 140, 1024);
	c1 = register_container(h0, "c1", 260, 1024);
	for (int i = 0; i < 5; i++) {
		pass(1, "c1");
		CHECK_INT(in_force("c0", EBB_CPU), 140);
	}
	pass(200, "c1");
	check_whole(c0, 200);
	pass(60, NULL);
	check_whole(c1, 200);
}

/* A limit that its agent does not tell is nothing to wait for. */
TEST(a_marked_receiver_without_a_limit_is_not_waited_for)
{
	_cleanup_json_ json_t *added =
		json_pack("{s:s, s:{s:i}}", "name", "c1", "limits", "mem", 1024);
	swap_with_silence();
	world_crash();
	h0 = add_host("h0", 4);
	c0 = register_container(h0, "c0", 140, 1024);
	model_lock(world.model);
	CHECK_INT(model_register_container(world.model, h0, added, &c1), 0);
	model_unlock(world.model);
	pass(200, "c1");
	check_whole(c0, 200);
}

/* --- the lead --- */

static void lose_lead_and_back(void)
{
	model_lock(world.model);
	CHECK_INT(model_set_leading(world.model, false), 0);
	CHECK_INT(model_set_leading(world.model, true), 0);
	scaler_run(world.scaler);
	model_unlock(world.model);
}

static void register_again(void)
{
	h0 = add_host("h0", 4);
	register_container(h0, "c0", (int)in_force("c0", EBB_CPU), 1024);
	register_container(h0, "c1", (int)in_force("c1", EBB_CPU), 1024);
	pass(60, NULL);
	CHECK_INT(stats().operations_open, 0);
	check_whole(c0, 200);
	check_whole(c1, 200);
}

TEST(a_lead_that_comes_back_before_the_answer)
{
	world_start();
	h0 = add_host("h0", 4);
	c0 = add_container(h0, "c0", 200, 1024, true);
	c1 = add_container(h0, "c1", 200, 1024, true);
	ask(c1, c0, REQUEST_CURRENT, 50);
	lose_lead_and_back();
	answer_for("c0", ANSWER_LOST_DONE);
	CHECK_INT(in_force("c0", EBB_CPU), 150);
	CHECK_INT(stats().operations_open, 0);
	CHECK(c0->operating && c1->operating);
	register_again();
}

TEST(a_lead_that_goes_on_the_way_back)
{
	for (int late = 0; late < 2; late++) {
		swap_with_silence();
		/* The way back is under way, or waits for its next try. */
		if (!late)
			answer_for("c1", ANSWER_LOST);
		lose_lead_and_back();
		if (late)
			answer_for("c1", ANSWER_LOST);
		world.now += 13;
		run();
		CHECK_INT(stats().operations_open, 0);
		CHECK(c0->operating && c1->operating);
		register_again();
		world_end(NULL);
	}
}

/* Rolled back, but the donor's old limit is not in force yet. */
TEST(a_lead_that_goes_before_the_donor_is_put_back)
{
	world_start();
	h0 = add_host("h0", 4);
	c0 = add_container(h0, "c0", 200, 1024, true);
	c1 = add_container(h0, "c1", 200, 1024, true);
	ask(c1, c0, REQUEST_CURRENT, 50);
	answer_for("c0", ANSWER_OK);
	answer_for("c1", ANSWER_REFUSED);
	CHECK_INT(stats().operations_open, 0);
	answer_for("c0", ANSWER_LOST);
	lose_lead_and_back();
	CHECK_INT(in_force("c0", EBB_CPU), 150);
	register_again();
}

/* --- what a crash leaves of documents that are written apart --- */

static json_t *written_structures(void)
{
	CHECK_INT(store_flush(world.store), 0);
	return json_deep_copy(world.memory.documents[DB_STRUCTURES]);
}

/* It ends with these documents written; the agents come back with what is in force. */
static void crash_with(json_t *structures)
{
	CHECK_INT(store_flush(world.store), 0);
	json_decref(world.memory.documents[DB_STRUCTURES]);
	world.memory.documents[DB_STRUCTURES] = structures;
	world_crash();
	h0 = add_host("h0", 4);
	c0 = register_container(h0, "c0", (int)in_force("c0", EBB_CPU), 1024);
	c1 = register_container(h0, "c1", (int)in_force("c1", EBB_CPU), 1024);
	check_adds_up();
	pass(60, NULL);
	check_whole(c0, cpu(c0));
	check_whole(c1, cpu(c1));
	CHECK_INT(h0->free[EBB_CPU], 400 - cpu(c0) - cpu(c1));
}

/* Before the mark: limits in force are taken as they are, what the donor gave is free. */
TEST(a_crash_before_the_mark_is_written)
{
	json_t *structures;

	world_start();
	h0 = add_host("h0", 4);
	c0 = add_container(h0, "c0", 200, 1024, true);
	c1 = add_container(h0, "c1", 200, 1024, true);
	structures = written_structures();
	ask(c1, c0, REQUEST_CURRENT, 60);
	set_in_force("c0", EBB_CPU, 140);
	crash_with(structures);
	CHECK_INT(cpu(c0), 140);
	CHECK_INT(cpu(c1), 200);
	CHECK_INT(h0->free[EBB_CPU], 60);
}

/* Whose last document is written keeps the new limit, the other goes back. */
TEST(a_crash_between_the_last_documents_of_a_swap)
{
	static const char *const written[] = {"c0", "c1"};

	for (int i = 0; i < 2; i++) {
		json_t *before, *after;

		world_start();
		h0 = add_host("h0", 4);
		c0 = add_container(h0, "c0", 200, 1024, true);
		c1 = add_container(h0, "c1", 200, 1024, true);
		ask(c1, c0, REQUEST_CURRENT, 60);
		before = written_structures();
		pass(1, NULL);
		check_whole(c0, 140);
		check_whole(c1, 260);
		after = written_structures();
		json_object_set(before, written[i], json_object_get(after, written[i]));
		json_decref(after);
		crash_with(before);
		/* Both would have more than the host: one of them is cut. */
		if (i) {
			CHECK(cpu(c0) <= 200 && cpu(c1) <= 260);
			CHECK_INT(cpu(c0) + cpu(c1), 400);
		} else {
			CHECK_INT(cpu(c0), 140);
			CHECK_INT(cpu(c1), 200);
		}
		world_end(NULL);
	}
}

/* --- another host --- */

/* It is started elsewhere while an order is under way: the answer of the first host is not about
 * it any more. */
static void move(enum world_answer how)
{
	world_start();
	h0 = add_host("h0", 4);
	h1 = add_host("h1", 4);
	c0 = add_container(h0, "c0", 200, 1024, true);
	ask(c0, NULL, REQUEST_CURRENT, 100);
	h0->connected = false;
	register_container(h1, "c0", 200, 1024);
	CHECK_INT(c0->in_flight | c0->operating, 0);
	CHECK_INT(h0->free[EBB_CPU], 400);
	answer_nth(0, how);
	set_in_force("c0", EBB_CPU, 200);
	pass(60, NULL);
	check_whole(c0, 200);
	CHECK_INT(h1->free[EBB_CPU], 200);
	CHECK_STR(c0->host_name, "h1");
}

TEST(the_answer_of_the_host_before_is_not_taken)
{
	for (int how = 0; how < ANSWER_MAX; how++) {
		if (how == ANSWER_FLOOR)
			continue;
		move(how);
		world_end(NULL);
	}
}

TEST(a_swap_ends_where_one_of_it_moves_to_another_host)
{
	world_start();
	h0 = add_host("h0", 4);
	h1 = add_host("h1", 4);
	c0 = add_container(h0, "c0", 200, 1024, true);
	c1 = add_container(h0, "c1", 200, 1024, true);
	ask(c1, c0, REQUEST_CURRENT, 60);
	answer_for("c0", ANSWER_OK);
	CHECK(ordered("c1"));
	h0->connected = false;
	register_container(h1, "c1", 200, 1024);
	answer_for("c1", ANSWER_LOST);
	CHECK_INT(stats().operations_open, 0);
	h0->connected = true;
	pass(60, NULL);
	check_whole(c0, 200);
	check_whole(c1, 200);
	CHECK_INT(h1->free[EBB_CPU], 200);
}

TEST_MAIN()
