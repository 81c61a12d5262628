/* SPDX-License-Identifier: Apache-2.0 */
/* What happens to a container while an operation has it: another hand, another min, its end. */
#include "operation_world.h"

static struct host *host;
static struct structure *c0, *c1, *app;

static int64_t cpu(const struct structure *s)
{
	return s->resources[EBB_CPU].current;
}

static int64_t held(const struct structure *s)
{
	return s->resources[EBB_CPU].allocated;
}

static int64_t max(const struct structure *s)
{
	return s->resources[EBB_CPU].max;
}

static void check_whole(const struct structure *s, int64_t limit)
{
	CHECK_INT(cpu(s), limit);
	CHECK_INT(held(s), limit);
	CHECK_INT(in_force(s->name, EBB_CPU), limit);
	CHECK_INT(s->in_flight | s->apply | s->operating, 0);
}

/* Of 200 shares each, on a host of 800; 400 is their max. */
static void start(void)
{
	static const char *const members[] = {"c0", "c1", NULL};

	world_start();
	host = add_host("h0", 8);
	c0 = add_container(host, "c0", 200, 1024, true);
	c1 = add_container(host, "c1", 200, 1024, true);
	app = add_parent(STRUCTURE_APPLICATION, "app", 800, 40, members);
}

static void other_hand(struct structure *s, int64_t limit)
{
	_cleanup_json_ json_t *limits = json_pack("{s:I}", "cpu", (json_int_t)limit);

	set_in_force(s->name, EBB_CPU, limit);
	model_lock(world.model);
	scaler_limits_reported(world.scaler, s, limits, world.now);
	model_unlock(world.model);
}

static void goes(struct structure *s)
{
	model_lock(world.model);
	scaler_forget(world.scaler, s);
	model_container_gone(world.model, s);
	model_unlock(world.model);
}

static void set_min(struct structure *s, int min)
{
	model_lock(world.model);
	CHECK_INT(model_set_parameter(world.model, s, EBB_CPU, "min", min, NULL), 0);
	model_unlock(world.model);
}

/* A swap of max takes the limit of the receiver up; that of the donor is below its new max, and the
 * operation orders nothing of it. */
static void swap_max(void)
{
	start();
	ask(c1, c0, REQUEST_MAX, 50);
	CHECK(ordered("c1") && !ordered("c0"));
}

TEST(another_hand_beside_a_new_max_is_put_back)
{
	for (int off = 0; off < 2; off++) {
		swap_max();
		other_hand(c0, off ? -1 : 250);
		answer_for("c1", ANSWER_OK);
		answer_all(ANSWER_OK);
		CHECK_INT(max(c0), 350);
		CHECK_INT(max(c1), 450);
		check_whole(c0, 200);
		check_whole(c1, 450);
		check_adds_up();
		world_end(NULL);
	}
}

TEST(another_hand_beside_a_swap_taken_back_is_put_back)
{
	for (int off = 0; off < 2; off++) {
		swap_max();
		other_hand(c0, off ? -1 : 250);
		answer_for("c1", ANSWER_REFUSED);
		answer_all(ANSWER_OK);
		CHECK_INT(max(c0), 400);
		CHECK_INT(max(c1), 400);
		check_whole(c0, 200);
		check_whole(c1, 200);
		check_adds_up();
		world_end(NULL);
	}
}

/* What nobody guards is as the other hand has left it. */
TEST(another_hand_beside_a_swap_is_adopted_without_guard)
{
	for (int done = 0; done < 2; done++) {
		swap_max();
		model_lock(world.model);
		CHECK_INT(model_guard(world.model, c0, false, NULL), 0);
		model_unlock(world.model);
		other_hand(c0, 250);
		answer_for("c1", done ? ANSWER_OK : ANSWER_REFUSED);
		answer_all(ANSWER_OK);
		check_whole(c0, 250);
		check_whole(c1, done ? 450 : 200);
		check_adds_up();
		world_end(NULL);
	}
}

/* The one that is back first waits for the other: the operation still has it. */
TEST(another_hand_beside_a_slow_way_back_is_put_back)
{
	start();
	ask(app, NULL, REQUEST_CURRENT, 200);
	CHECK(ordered("c0") && ordered("c1"));
	answer_for("c0", ANSWER_OK);
	answer_for("c1", ANSWER_LOST);
	CHECK(ordered("c0") && ordered("c1"));
	answer_for("c0", ANSWER_OK);
	CHECK_INT(in_force("c0", EBB_CPU), 200);
	other_hand(c0, -1);
	answer_all(ANSWER_OK);
	CHECK_INT(stats().operations_open, 0);
	check_whole(c0, 200);
	check_whole(c1, 200);
	check_adds_up();
}

/* Of what is away only the max changes: it is no lower than a min raised meanwhile. */
TEST(a_min_raised_meanwhile_is_kept_by_what_is_away)
{
	start();
	goes(c0);
	ask(app, NULL, REQUEST_MAX, -500);
	CHECK(ordered("c1"));
	set_min(c0, 300);
	answer_all(ANSWER_OK);
	CHECK_INT(stats().rolled_back, 1);
	CHECK_INT(max(c0), 400);
	CHECK_INT(max(c1), 400);
	check_whole(c1, 200);
}

/* It holds nothing, and is in an operation for its max alone when the controller ends. */
TEST(what_is_away_holds_nothing_after_a_crash)
{
	start();
	goes(c0);
	CHECK_INT(host->free[EBB_CPU], 600);
	ask(app, NULL, REQUEST_MAX, -500);
	CHECK(c0->operating & 1u << EBB_CPU);
	world_crash();
	host = add_host("h0", 8);
	c0 = model_structure(world.model, "c0");
	CHECK_INT(held(c0), 0);
	CHECK_INT(host->free[EBB_CPU], 600);
	c1 = register_container(host, "c1", 200, 1024);
	answer_all(ANSWER_OK);
	check_whole(c1, 200);
	CHECK_INT(cpu(c0), 200);
	check_adds_up();
}

TEST_MAIN()
