/* SPDX-License-Identifier: Apache-2.0 */
/* Operations of applications and users. */

#include "operation_world.h"
#include "seed.h"

static struct host *h0, *h1;
static struct structure *c[4], *app0, *app1, *user0, *user1;

static int64_t cpu(const struct structure *s)
{
	return s->resources[EBB_CPU].current;
}

static int64_t max(const struct structure *s)
{
	return s->resources[EBB_CPU].max;
}

static void use(struct structure *s, double usage)
{
	s->resources[EBB_CPU].usage = usage;
}

/* user0 { app0 { c0 on h0, c1 on h1 } }, user1 { app1 { c2 on h0, c3 on h1 } }: 100 of 20..200
 * each, 8 cores each host. */
static void start(bool guarded)
{
	const char *const of_app0[] = {"c0", "c1", NULL}, *const of_app1[] = {"c2", "c3", NULL};
	const char *const of_user0[] = {"app0", NULL}, *const of_user1[] = {"app1", NULL};
	char name[16];

	world_start();
	h0 = add_host("h0", 4);
	h1 = add_host("h1", 4);
	for (int i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "c%d", i);
		c[i] = add_container(i % 2 ? h1 : h0, name, 100, 512, guarded);
		c[i]->resources[EBB_CPU].max = 200;
	}
	app0 = add_parent(STRUCTURE_APPLICATION, "app0", 400, 40, of_app0);
	app1 = add_parent(STRUCTURE_APPLICATION, "app1", 400, 40, of_app1);
	user0 = add_parent(STRUCTURE_USER, "user0", 400, 40, of_user0);
	user1 = add_parent(STRUCTURE_USER, "user1", 400, 40, of_user1);
}

static void check_at_rest(void)
{
	check_adds_up();
	CHECK_INT(n_waiting(), 0);
	CHECK_INT(stats().in_flight, 0);
	CHECK_INT(stats().operations_open, 0);
	for (int i = 0; i < 4; i++) {
		CHECK_INT(c[i]->in_flight | c[i]->operating, 0);
		CHECK_INT(in_force(c[i]->name, EBB_CPU), cpu(c[i]));
		if (c[i]->resources[EBB_CPU].allocated)
			CHECK_INT(c[i]->resources[EBB_CPU].allocated, cpu(c[i]));
	}
	CHECK_INT(app0->in_flight | app1->in_flight | user0->in_flight | user1->in_flight, 0);
}

static void check_as_before(void)
{
	check_at_rest();
	for (int i = 0; i < 4; i++) {
		CHECK_INT(cpu(c[i]), 100);
		CHECK_INT(max(c[i]), 200);
	}
	CHECK_INT(max(app0), 400);
	CHECK_INT(max(app1), 400);
	CHECK_INT(max(user0), 400);
	CHECK_INT(max(user1), 400);
}

/* The original refused it after half of the work (9.3, 3). */
TEST(an_application_asks_for_limits)
{
	start(true);
	use(c[0], 95);
	use(c[1], 10);
	ask(app0, NULL, REQUEST_CURRENT, 23);
	CHECK(ordered("c0"));
	CHECK_INT(n_waiting(), 1);
	answer_all(ANSWER_OK);
	CHECK_INT(cpu(c[0]), 123);
	CHECK_INT(cpu(c[1]), 100);
	CHECK_INT(cpu(app0), 223);
	CHECK_INT(cpu(user0), 223);
	CHECK_INT(max(app0), 400);
	CHECK_STR(newest("app0", "outcome"), "applied");
	CHECK_STR(newest("app0", "subtype"), "application");
	CHECK_STR(newest("app0", "applied"), "223");
	CHECK_STR(newest("c0", "requested"), "23");
	CHECK_STR(newest("c0", "subtype"), "container");
	check_at_rest();
}

TEST(what_is_not_guarded_is_scaled_too_and_accounted)
{
	start(false);
	ask(app0, NULL, REQUEST_CURRENT, 40);
	answer_all(ANSWER_OK);
	CHECK_INT(cpu(app0), 240);
	CHECK_INT(c[0]->resources[EBB_CPU].allocated, cpu(c[0]));
	CHECK_INT(c[2]->resources[EBB_CPU].allocated, 0);
	check_at_rest();
	ask(app1, NULL, REQUEST_CURRENT, -40);
	answer_all(ANSWER_OK);
	CHECK_INT(cpu(app1), 160);
	CHECK(c[2]->resources[EBB_CPU].allocated || c[3]->resources[EBB_CPU].allocated);
	check_at_rest();
}

TEST(an_application_stays_within_its_own_range)
{
	start(true);
	app0->resources[EBB_CPU].max = 230;
	ask(app0, NULL, REQUEST_CURRENT, 100);
	answer_all(ANSWER_OK);
	CHECK_INT(cpu(app0), 230);
	CHECK_STR(newest("app0", "outcome"), "partial");
	ask(app0, NULL, REQUEST_CURRENT, 100);
	CHECK_STR(newest("app0", "outcome"), "refused");
	CHECK_STR(newest("app0", "reason"), "it is at its max already");
	app0->resources[EBB_CPU].min = 210;
	ask(app0, NULL, REQUEST_CURRENT, -100);
	answer_all(ANSWER_OK);
	CHECK_INT(cpu(app0), 210);
	app0->resources[EBB_CPU].min = 220;
	ask(app0, NULL, REQUEST_CURRENT, -100);
	CHECK_STR(newest("app0", "reason"), "it is at its min already");
	check_at_rest();
}

TEST(what_containers_cannot_take_is_not_given)
{
	start(true);
	ask(app0, NULL, REQUEST_CURRENT, 1000);
	answer_all(ANSWER_OK);
	CHECK_INT(cpu(c[0]), 200);
	CHECK_INT(cpu(c[1]), 200);
	CHECK_INT(cpu(app0), 400);
	app0->resources[EBB_CPU].max = 1000;
	ask(app0, NULL, REQUEST_CURRENT, 10);
	CHECK_STR(newest("app0", "outcome"), "refused");
	CHECK_STR(newest("app0", "reason"), "its containers are at their max already");
	check_at_rest();
}

TEST(hosts_without_room_are_waited_for)
{
	start(true);
	app1->resources[EBB_CPU].max = 1000;
	c[2]->resources[EBB_CPU].max = c[3]->resources[EBB_CPU].max = 400;
	ask(app1, NULL, REQUEST_CURRENT, 1000);
	answer_all(ANSWER_OK);
	CHECK_INT(cpu(app1), 600);
	ask(app0, NULL, REQUEST_CURRENT, 10);
	CHECK_INT(stats().waiting, 1);
	ask(c[3], NULL, REQUEST_CURRENT, -50);
	answer_all(ANSWER_OK);
	CHECK_INT(stats().waiting, 0);
	CHECK_INT(cpu(c[1]), 110);
	check_at_rest();
}

TEST(an_application_that_has_nothing_takes_nothing)
{
	const char *const nobody[] = {NULL};
	struct structure *empty;

	start(true);
	empty = add_parent(STRUCTURE_APPLICATION, "empty", 100, 10, nobody);
	ask(empty, NULL, REQUEST_CURRENT, 10);
	CHECK_STR(newest("empty", "outcome"), "refused");
	CHECK_STR(newest("empty", "reason"), "it has no containers with cpu");
	/* It does not run: only its document changes, down to 0 (spec 6.4). */
	ask(empty, NULL, REQUEST_MAX, -200);
	CHECK_INT(max(empty), 0);
	ask(empty, NULL, REQUEST_MAX, 50);
	CHECK_INT(max(empty), 50);
	check_as_before();
}

TEST(an_application_asks_for_max)
{
	start(true);
	ask(app0, NULL, REQUEST_MAX, -250);
	answer_all(ANSWER_OK);
	CHECK_INT(max(app0), 150);
	CHECK_INT(max(c[0]) + max(c[1]), 150);
	CHECK(cpu(c[0]) <= max(c[0]) && cpu(c[1]) <= max(c[1]));
	CHECK_INT(cpu(app0), cpu(c[0]) + cpu(c[1]));
	CHECK_INT(max(user0), 400);
	check_at_rest();
	ask(app0, NULL, REQUEST_MAX, 60);
	answer_all(ANSWER_OK);
	CHECK_INT(max(app0), 210);
	CHECK_INT(max(c[0]) + max(c[1]), 210);
	check_at_rest();
}

TEST(a_user_asks_for_max_and_for_limits)
{
	start(true);
	ask(user0, NULL, REQUEST_CURRENT, 60);
	answer_all(ANSWER_OK);
	CHECK_INT(cpu(user0), 260);
	CHECK_INT(cpu(app0), 260);
	CHECK_INT(cpu(c[0]) + cpu(c[1]), 260);
	CHECK_STR(newest("user0", "subtype"), "user");
	ask(user0, NULL, REQUEST_MAX, -100);
	answer_all(ANSWER_OK);
	CHECK_INT(max(user0), 300);
	CHECK_INT(max(app0), 300);
	CHECK_INT(max(c[0]) + max(c[1]), 300);
	check_at_rest();
}

TEST(a_user_that_runs_keeps_its_min)
{
	start(true);
	user0->resources[EBB_CPU].min = 500;
	ask(user0, NULL, REQUEST_MAX, -50);
	CHECK_STR(newest("user0", "outcome"), "refused");
	CHECK_STR(newest("user0", "reason"), "it is at its min already");
	user0->resources[EBB_CPU].min = 390;
	ask(user0, NULL, REQUEST_MAX, -50);
	answer_all(ANSWER_OK);
	CHECK_INT(max(user0), 390);
	check_at_rest();
}

/* Donors are on both hosts, and so are receivers; both are full. */
TEST(applications_and_users_swap_max)
{
	for (int users = 0; users < 2; users++) {
		start(true);
		for (int i = 0; i < 4; i++)
			c[i]->resources[EBB_CPU].max = 200;
		for (int i = 0; i < 4; i++)
			ask(c[i], NULL, REQUEST_CURRENT, 100);
		answer_all(ANSWER_OK);
		CHECK_INT(h0->free[EBB_CPU], 0);
		CHECK_INT(h1->free[EBB_CPU], 0);
		ask(users ? user1 : app1, users ? user0 : app0, REQUEST_MAX, 100);
		CHECK(ordered("c0") && ordered("c1"));
		CHECK_INT(n_waiting(), 2);
		answer_all(ANSWER_OK);
		CHECK_INT(max(app0), 300);
		CHECK_INT(max(app1), 500);
		CHECK_INT(max(user0), users ? 300 : 400);
		CHECK_INT(max(user1), users ? 500 : 400);
		CHECK_INT(cpu(app0), 300);
		CHECK_INT(cpu(app1), 500);
		CHECK_INT(stats().swaps, 1);
		check_at_rest();
		world_end(NULL);
	}
}

TEST(a_swap_of_applications_is_exact_or_refused)
{
	start(true);
	ask(app1, app0, REQUEST_MAX, 370);
	CHECK_STR(newest("app1", "outcome"), "refused");
	CHECK_STR(newest("app1", "reason"),
		  "app0 can give up 360 of 370 shares, its min and those of "
		  "its containers kept");
	check_as_before();
}

TEST(limits_of_applications_are_not_swapped)
{
	start(true);
	CHECK_INT(ask_only(app1, app0, REQUEST_CURRENT, EBB_CPU, 10), -EINVAL);
	CHECK_INT(ask_only(user1, user0, REQUEST_CURRENT, EBB_CPU, 10), -EINVAL);
	CHECK_INT(ask_only(user1, app0, REQUEST_MAX, EBB_CPU, 10), -EINVAL);
	CHECK_INT(ask_only(app1, c[0], REQUEST_MAX, EBB_CPU, 10), -EINVAL);
}

/* Which order fails, and how: all of it is taken back. */
TEST(one_failure_takes_all_back)
{
	for (enum world_answer how = ANSWER_REFUSED; how < ANSWER_MAX; how++)
		for (int which = 0; which < 4; which++) {
			if (how == ANSWER_GONE)
				continue;
			start(true);
			for (int i = 0; i < 4; i++)
				c[i]->resources[EBB_CPU].max = 100;
			ask(app1, app0, REQUEST_MAX, 60);
			for (int i = 0; i < which; i++)
				answer_nth(0, ANSWER_OK);
			answer_nth(0, how);
			answer_all(ANSWER_OK);
			for (int i = 0; i < 4; i++) {
				CHECK_INT(max(c[i]), 100);
				c[i]->resources[EBB_CPU].max = 200;
			}
			check_as_before();
			CHECK_INT(stats().rolled_back, 1);
			CHECK_STR(newest("app1", "outcome"), "rolled back");
			CHECK_STR(newest("app0", "outcome"), "rolled back");
			world_end(NULL);
		}
}

TEST(memory_in_use_makes_it_less)
{
	start(true);
	world_floor = 400;
	CHECK_INT(ask_only(app0, NULL, REQUEST_CURRENT, EBB_MEM, -600), 0);
	run();
	answer_all(ANSWER_FLOOR);
	CHECK_INT(c[0]->resources[EBB_MEM].current, 400);
	CHECK_INT(c[1]->resources[EBB_MEM].current, 400);
	CHECK_INT(app0->resources[EBB_MEM].current, 800);
	CHECK_STR(newest("app0", "outcome"), "partial");
	CHECK_STR(newest("app0", "applied"), "800");
	check_at_rest();
}

TEST(an_agent_that_is_away_is_left_out)
{
	start(true);
	h0->connected = false;
	use(c[0], 100);
	use(c[1], 1);
	ask(app0, NULL, REQUEST_CURRENT, 30);
	answer_all(ANSWER_OK);
	CHECK_INT(cpu(c[0]), 100);
	CHECK_INT(cpu(c[1]), 130);
	check_at_rest();
}

TEST(an_operation_waits_for_another_of_the_same)
{
	start(true);
	ask(app0, NULL, REQUEST_CURRENT, 20);
	ask(user0, NULL, REQUEST_CURRENT, 20);
	CHECK_INT(stats().operations_open, 1);
	CHECK_INT(stats().waiting, 1);
	answer_all(ANSWER_OK);
	CHECK_INT(cpu(user0), 240);
	CHECK_INT(stats().waiting, 0);
	check_at_rest();
}

TEST(what_a_container_asks_comes_on_top)
{
	start(true);
	use(c[0], 95);
	use(c[1], 10);
	CHECK_INT(ask_only(c[0], NULL, REQUEST_CURRENT, EBB_CPU, 30), 0);
	ask(app0, NULL, REQUEST_CURRENT, 40);
	answer_all(ANSWER_OK);
	CHECK_INT(cpu(c[0]), 170);
	CHECK_STR(newest("c0", "outcome"), "applied");
	CHECK_INT(stats().refused, 0);
	check_at_rest();
}

/* What was decided on a limit is not added to another. */
TEST(what_the_guardian_decided_is_not_overshot)
{
	struct request request = {
		.resource = EBB_CPU,
		.amount = 30,
		.absolute = true,
		.has_priority = true,
		.timestamp = 1000,
		.origin = "guardian",
	};

	start(true);
	use(c[0], 95);
	use(c[1], 10);
	app0->guard = app0->resources[EBB_CPU].guard = true;
	model_lock(world.model);
	request.structure = c[0];
	CHECK_INT(scaler_request(world.scaler, &request), 0);
	request.structure = app0;
	CHECK_INT(scaler_request(world.scaler, &request), 0);
	model_unlock(world.model);
	ask(user0, NULL, REQUEST_CURRENT, 40);
	answer_all(ANSWER_OK);
	CHECK_INT(cpu(c[0]), 140);
	CHECK_INT(cpu(app0), 240);
	CHECK_STR(newest("c0", "outcome"), "refused");
	CHECK_STR(newest("app0", "outcome"), "refused");
	check_at_rest();
}

TEST(an_application_that_goes_ends_nothing)
{
	start(true);
	ask(user0, NULL, REQUEST_CURRENT, 20);
	model_lock(world.model);
	scaler_forget(world.scaler, app0);
	model_remove(world.model, app0);
	model_unlock(world.model);
	answer_all(ANSWER_OK);
	check_adds_up();
	CHECK_INT(stats().operations_open, 0);
	CHECK_INT(user0->in_flight, 0);
}

/* --- the controller dies in the middle --- */

/*
 * Never more CPU in force on a host than it has, as long as it was so when it began, and nobody
 * else writes limits.
 */
static void check_not_overdrawn(void)
{
	for (int h = 0; h < 2; h++) {
		const struct host *host = h ? h1 : h0;
		int64_t one = in_force(h ? "c1" : "c0", EBB_CPU);
		int64_t other = in_force(h ? "c3" : "c2", EBB_CPU);

		if (one + other > host->max[EBB_CPU])
			TEST_FAIL("%lld and %lld shares are in force on h%d", (long long)one,
				  (long long)other, h);
	}
}

static void register_again(void)
{
	static const char *const names[] = {"c0", "c1", "c2", "c3"};

	h0 = add_host("h0", 4);
	h1 = add_host("h1", 4);
	for (int i = 0; i < 4; i++)
		c[i] = register_container(i % 2 ? h1 : h0, names[i],
					  (int)in_force(names[i], EBB_CPU),
					  (int)in_force(names[i], EBB_MEM));
	app0 = model_structure(world.model, "app0");
	app1 = model_structure(world.model, "app1");
	user0 = model_user(world.model, "user0");
	user1 = model_user(world.model, "user1");
}

TEST(who_starts_anew_takes_half_an_operation_back)
{
	for (int done = 0; done <= 4; done++)
		for (int lost = 0; lost < 2; lost++) {
			start(true);
			for (int i = 0; i < 4; i++)
				ask(c[i], NULL, REQUEST_CURRENT, 100);
			answer_all(ANSWER_OK);
			ask(app1, app0, REQUEST_MAX, 100);
			for (int i = 0; i < done; i++)
				answer_nth(0, ANSWER_OK);
			/* What was under way may be done by the agents all the same. */
			while (lost && n_waiting()) {
				const struct order *order = NULL;
				int64_t limit;

				for (size_t i = 0; i < ORDERS_MAX && !order; i++)
					if (world.orders[i].waits)
						order = &world.orders[i].order;
				CHECK_INT(scaler_body_limit(order->body, EBB_CPU, &limit), 0);
				set_in_force(order->container, EBB_CPU, limit);
				break;
			}
			world_crash();
			register_again();
			run();
			check_adds_up();
			/* Who got gives back before who gave gets it. */
			while (n_waiting()) {
				answer_nth(n_waiting() - 1, ANSWER_OK);
				check_not_overdrawn();
			}
			answer_all(ANSWER_OK);
			run();
			check_at_rest();
			CHECK_INT(max(app0), done == 4 ? 300 : 400);
			CHECK_INT(max(app1), done == 4 ? 500 : 400);
			for (int i = 0; i < 4; i++) {
				CHECK_INT(max(c[i]), done < 4 ? 200 : i < 2 ? 150 : 250);
				CHECK_INT(cpu(c[i]), done < 4 ? 200 : i < 2 ? 150 : 250);
			}
			CHECK_INT(h0->free[EBB_CPU], 0);
			world_end(NULL);
		}
}

/* --- whatever happens --- */

static struct structure *any_of_kind(unsigned *state, int kind)
{
	struct structure *const apps[] = {app0, app1}, *const users[] = {user0, user1};

	return kind == 0   ? c[rand_r(state) % 4]
	       : kind == 1 ? apps[rand_r(state) % 2]
			   : users[rand_r(state) % 2];
}

static void ask_at_random(unsigned *state)
{
	int kind = rand_r(state) % 3;
	enum request_field field = rand_r(state) % 2 ? REQUEST_MAX : REQUEST_CURRENT;
	struct structure *s = any_of_kind(state, kind);
	struct structure *pair = rand_r(state) % 2 ? any_of_kind(state, kind) : NULL;
	int64_t amount = 1 + rand_r(state) % 120;

	/* Some are refused, which is as good. */
	(void)ask_only(s, pair, field, rand_r(state) % 3 ? EBB_CPU : EBB_MEM,
		       rand_r(state) % 2 ? amount : -amount);
}

static void come_and_go(unsigned *state)
{
	int i = rand_r(state) % 4;
	char name[16];

	snprintf(name, sizeof(name), "c%d", i);
	model_lock(world.model);
	scaler_forget(world.scaler, c[i]);
	model_container_gone(world.model, c[i]);
	model_unlock(world.model);
	check_adds_up();
	c[i] = register_container(i % 2 ? h1 : h0, name, 50, 256);
}

/* 0 and more, and below its max; as a sum, within what the hosts have. */
static void check_ranges(void)
{
	for (int i = 0; i < 4; i++)
		for (int r = EBB_CPU; r <= EBB_MEM; r++) {
			const struct resource_state *state = &c[i]->resources[r];

			CHECK(state->max >= resource_floor(state, r));
			CHECK(state->current <= MAX(state->max, state->allocated));
		}
	CHECK(h0->free[EBB_CPU] >= 0 && h1->free[EBB_CPU] >= 0);
	CHECK(h0->free[EBB_MEM] >= 0 && h1->free[EBB_MEM] >= 0);
}

/* Any but that the container has gone; `silent`: mostly none at all. */
static enum world_answer any_answer(unsigned *state, bool silent)
{
	enum world_answer answer = rand_r(state) % ANSWER_MAX;

	if (silent)
		return rand_r(state) % 8 ? rand_r(state) % 2 ? ANSWER_LOST : ANSWER_LOST_DONE
					 : ANSWER_OK;
	return rand_r(state) % 3 || answer == ANSWER_GONE ? ANSWER_OK : answer;
}

/* Answers come when it leads again, before the agents do. (Later ones the feed would tell of.) */
static void lose_lead_and_back(unsigned *state)
{
	model_lock(world.model);
	CHECK_INT(model_set_leading(world.model, false), 0);
	CHECK_INT(model_set_leading(world.model, true), 0);
	model_unlock(world.model);
	while (n_waiting())
		answer_nth(rand_r(state) % n_waiting(), any_answer(state, rand_r(state) % 2));
}

static void random_world(unsigned seed, int steps)
{
	unsigned state = seed;
	bool churn = seed % 2, crashed = false, silent = false;

	start(true);
	for (int step = 0; step < steps; step++) {
		unsigned dice = rand_r(&state) % 100;

		world_floor = 100 + rand_r(&state) % 300;
		/* Long enough for operations to be given up. */
		if (rand_r(&state) % 100 == 0)
			silent = !silent;
		if (dice < 40) {
			ask_at_random(&state);
			if (rand_r(&state) % 2)
				run();
		} else if (dice < 90) {
			if (n_waiting())
				answer_nth(rand_r(&state) % n_waiting(),
					   any_answer(&state, silent));
		} else if (dice < 95) {
			world.now += rand_r(&state) % 20;
			run();
		} else if (dice < 97) {
			h1->connected = !h1->connected;
		} else if (dice < 98 && churn) {
			come_and_go(&state);
		} else if (dice < 99) {
			if (rand_r(&state) % 2)
				world_crash();
			else
				lose_lead_and_back(&state);
			crashed = true;
			register_again();
			for (int i = 0; i < 4; i++)
				run();
		}
		check_adds_up();
		check_ranges();
		if (!churn && !crashed)
			check_not_overdrawn();
	}
	h1->connected = true;
	answer_all(ANSWER_OK);
	check_at_rest();
	check_ranges();
	world_end(NULL);
}

TEST(random_operations_always_add_up)
{
	unsigned seed = (unsigned)test_seed(1);

	for (unsigned i = 0; i < (getenv("EBB_TEST_SEED") ? 1 : 12); i++)
		random_world(seed + i, 800);
}

TEST_MAIN()
