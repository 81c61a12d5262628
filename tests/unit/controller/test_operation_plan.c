/* SPDX-License-Identifier: Apache-2.0 */
#include "operation_plan.h"

#include <math.h>

#include "seed.h"
#include "ebb/cleanup.h"
#include "../../test.h"

static struct plan_leaf leaf(int64_t current, int64_t max, int64_t least, int64_t *room)
{
	struct plan_leaf l = {
		.current = current,
		.max = max,
		.least = least,
		.most = 800,
		.held = current,
		.room = room,
		.usage = NAN,
	};

	plan_leaf_init(&l);
	return l;
}

TEST(growth_is_bounded_by_max_and_by_room)
{
	int64_t room = 100;
	struct plan_leaf l = leaf(200, 250, 20, &room);

	CHECK_INT(plan_leaf_change(&l, REQUEST_CURRENT, 30), 30);
	CHECK_INT(room, 70);
	CHECK_INT(plan_leaf_change(&l, REQUEST_CURRENT, 30), 20);
	CHECK_INT(plan_leaf_change(&l, REQUEST_CURRENT, 30), 0);
	CHECK_INT(l.to, 250);
	CHECK_INT(l.amount, 50);
	CHECK_INT(room, 50);

	l = leaf(200, 400, 20, &room);
	CHECK_INT(plan_leaf_change(&l, REQUEST_CURRENT, 90), 50);
	CHECK_INT(room, 0);
	/* Without a max it is bounded by the host; without accounting by nothing else. */
	l = leaf(200, 0, 20, NULL);
	CHECK_INT(plan_leaf_change(&l, REQUEST_CURRENT, 1000), 600);
}

/* 9.3, 26: a host that has given out more than it has. */
TEST(a_room_below_nothing_is_none)
{
	int64_t room = -40;
	struct plan_leaf l = leaf(200, 400, 20, &room);

	CHECK_INT(plan_leaf_change(&l, REQUEST_CURRENT, 30), 0);
	CHECK_INT(plan_leaf_change(&l, REQUEST_MAX, 30), 0);
	CHECK_INT(l.to, 200);
	CHECK_INT(room, -40);
}

TEST(shrinking_keeps_the_least)
{
	struct plan_leaf l = leaf(22, 400, 20, NULL);

	CHECK_INT(plan_leaf_change(&l, REQUEST_CURRENT, -5), -2);
	CHECK_INT(l.to, 20);
	CHECK_INT(plan_leaf_change(&l, REQUEST_CURRENT, -5), 0);
	/* What is below already is not raised. */
	l = leaf(10, 400, 20, NULL);
	CHECK_INT(plan_leaf_change(&l, REQUEST_CURRENT, -5), 0);
	CHECK_INT(l.to, 10);
}

TEST(a_lower_max_takes_the_limit_only_when_it_is_above)
{
	struct plan_leaf l = leaf(200, 400, 20, NULL);

	CHECK_INT(plan_leaf_change(&l, REQUEST_MAX, -60), -60);
	CHECK_INT(l.to, 200);
	CHECK_INT(l.max_to, 340);
	CHECK_INT(plan_leaf_change(&l, REQUEST_MAX, -190), -190);
	CHECK_INT(l.to, 150);
	CHECK_INT(plan_leaf_change(&l, REQUEST_MAX, -190), -130);
	CHECK_INT(l.max_to, 20);
	CHECK_INT(l.to, 20);
	CHECK_INT(plan_leaf_freed(&l), 180);
}

TEST(a_higher_max_takes_the_limit_up_as_far_as_there_is_room)
{
	int64_t room = 250;
	struct plan_leaf l = leaf(200, 400, 20, &room);

	/* 450 needs 250 more. */
	CHECK_INT(plan_leaf_change(&l, REQUEST_MAX, 50), 50);
	CHECK_INT(l.max_to, 450);
	CHECK_INT(l.to, 450);
	CHECK_INT(room, 0);

	room = 220;
	l = leaf(200, 400, 20, &room);
	CHECK_INT(plan_leaf_change(&l, REQUEST_MAX, 50), 20);
	CHECK_INT(l.max_to, 420);
	CHECK_INT(l.to, 420);

	/* Never negative, and then nothing follows. */
	room = 20;
	l = leaf(200, 400, 20, &room);
	CHECK_INT(plan_leaf_change(&l, REQUEST_MAX, 50), 0);
	CHECK_INT(l.max_to, 400);
	CHECK_INT(l.to, 200);
	CHECK_INT(room, 20);

	room = 10000;
	l = leaf(200, 400, 20, &room);
	CHECK_INT(plan_leaf_change(&l, REQUEST_MAX, 1000), 400);
	l = leaf(200, 0, 20, &room);
	CHECK_INT(plan_leaf_change(&l, REQUEST_MAX, 50), 0);
	CHECK_INT(plan_leaf_change(&l, REQUEST_MAX, -50), 0);
}

TEST(what_is_not_held_yet_needs_room_too)
{
	int64_t room = 250;
	struct plan_leaf l = leaf(200, 400, 20, &room);

	l.held = 0;
	CHECK_INT(plan_leaf_change(&l, REQUEST_CURRENT, 100), 50);
	CHECK_INT(room, 0);
	CHECK_INT(l.held, 250);

	room = 250;
	l = leaf(200, 400, 20, &room);
	l.held = 0;
	CHECK_INT(plan_leaf_change(&l, REQUEST_CURRENT, -50), -50);
	CHECK_INT(room, 50);
	CHECK_INT(plan_leaf_freed(&l), 50);

	room = 199;
	l = leaf(200, 400, 20, &room);
	l.held = 0;
	CHECK_INT(plan_leaf_change(&l, REQUEST_CURRENT, -50), 0);
	CHECK_INT(plan_leaf_change(&l, REQUEST_MAX, -300), -200);
	CHECK_INT(l.max_to, 200);
}

TEST(a_fixed_limit_stays)
{
	struct plan_leaf l = leaf(200, 400, 20, NULL);

	l.fixed = true;
	CHECK_INT(plan_leaf_change(&l, REQUEST_CURRENT, 50), 0);
	CHECK_INT(plan_leaf_change(&l, REQUEST_CURRENT, -50), 0);
	CHECK_INT(plan_leaf_change(&l, REQUEST_MAX, 50), 0);
	CHECK_INT(plan_leaf_change(&l, REQUEST_MAX, -300), -200);
	CHECK_INT(l.to, 200);
}

TEST(ranges_are_what_can_be_done)
{
	int64_t room = 30;
	struct plan_leaf l = leaf(200, 400, 20, &room);

	CHECK_INT(plan_leaf_range(&l, REQUEST_CURRENT, true), 30);
	CHECK_INT(plan_leaf_range(&l, REQUEST_CURRENT, false), 180);
	CHECK_INT(plan_leaf_range(&l, REQUEST_MAX, true), 0);
	CHECK_INT(plan_leaf_range(&l, REQUEST_MAX, false), 380);
	CHECK_INT(room, 30);
	CHECK_INT(l.to, 200);
}

/* Spec 6.5: 100 and 100 of 20, usages 95 and 10: all to the bottleneck. */
TEST(containers_share_by_need)
{
	int64_t room = 400, done;
	struct plan_leaf l[] = {leaf(100, 200, 20, &room), leaf(100, 200, 20, &room)};

	l[0].usage = 95;
	l[1].usage = 10;
	CHECK_INT(plan_leaves(l, 2, REQUEST_CURRENT, 23, 5, &done), 0);
	CHECK_INT(done, 23);
	CHECK_INT(l[0].amount, 23);
	CHECK_INT(l[1].amount, 0);
}

TEST(what_one_host_has_not_goes_to_another)
{
	int64_t near = 10, far = 100, done;
	struct plan_leaf l[] = {leaf(100, 400, 20, &near), leaf(100, 400, 20, &near),
				leaf(100, 400, 20, &far)};

	for (int i = 0; i < 3; i++)
		l[i].usage = i < 2 ? 100 : 1;
	CHECK_INT(plan_leaves(l, 3, REQUEST_CURRENT, 60, 5, &done), 0);
	CHECK_INT(done, 60);
	CHECK_INT(l[0].amount + l[1].amount, 10);
	CHECK_INT(l[2].amount, 50);
	CHECK_INT(near, 0);
	CHECK_INT(far, 50);
	/* And what none has is not done. */
	CHECK_INT(plan_leaves(l, 3, REQUEST_CURRENT, 60, 5, &done), 0);
	CHECK_INT(done, 50);
	CHECK_INT(far, 0);
}

TEST(no_container_is_brought_out_of_its_range)
{
	int64_t done;
	struct plan_leaf l[] = {leaf(22, 200, 20, NULL), leaf(21, 200, 20, NULL)};

	CHECK_INT(plan_leaves(l, 2, REQUEST_CURRENT, -20, 5, &done), 0);
	CHECK_INT(done, -3);
	CHECK_INT(l[0].to, 20);
	CHECK_INT(l[1].to, 20);
	CHECK_INT(plan_leaves(NULL, 0, REQUEST_CURRENT, -20, 5, &done), 0);
	CHECK_INT(done, 0);
}

TEST(a_user_is_split_over_applications_and_containers)
{
	int64_t done;
	struct plan_leaf a[] = {leaf(100, 200, 20, NULL), leaf(100, 200, 20, NULL)};
	struct plan_leaf b[] = {leaf(50, 60, 20, NULL)};
	struct plan_branch branches[] = {
		{.leaves = a, .n = 2, .value = 200, .most = 210, .least = 40, .usage = 195},
		{.leaves = b, .n = 1, .value = 50, .most = INT64_MAX, .least = 20, .usage = 45},
	};

	/* The first has 10 below its own max, the second 10 below its container's. */
	CHECK_INT(plan_branches(branches, 2, REQUEST_CURRENT, 100, 5, &done), 0);
	CHECK_INT(done, 20);
	CHECK_INT(branches[0].amount, 10);
	CHECK_INT(branches[1].amount, 10);
	CHECK_INT(a[0].amount + a[1].amount, 10);
	CHECK_INT(b[0].amount, 10);
}

TEST(an_application_without_containers_has_a_max_all_the_same)
{
	int64_t done;
	struct plan_branch branches[] = {
		{.value = 100, .most = INT64_MAX, .bare = true, .stopped = true, .usage = NAN},
		{.value = 200, .most = INT64_MAX, .least = 200, .usage = NAN},
	};

	CHECK_INT(plan_branches(branches, 2, REQUEST_MAX, -150, 5, &done), 0);
	CHECK_INT(done, -100);
	CHECK_INT(branches[0].amount, -100);
	branches[0].amount = 0;
	CHECK_INT(plan_branches(branches, 2, REQUEST_CURRENT, 50, 5, &done), 0);
	CHECK_INT(done, 0);
}

TEST(parents_keep_their_least)
{
	CHECK_INT(plan_parent_amount(-50, 100, 20, INT64_MAX), -50);
	CHECK_INT(plan_parent_amount(-90, 100, 20, INT64_MAX), -80);
	CHECK_INT(plan_parent_amount(-90, 10, 20, INT64_MAX), 0);
	CHECK_INT(plan_parent_amount(50, 100, 20, INT64_MAX), 50);
	CHECK_INT(plan_parent_amount(50, 100, 20, 120), 20);
	CHECK_INT(plan_parent_amount(50, 130, 20, 120), 0);
}

TEST(a_budget_that_moved_makes_a_request_void)
{
	CHECK(!plan_budget_is_outdated(10, 0, 50));
	CHECK(!plan_budget_is_outdated(10, 50, NAN));
	CHECK(plan_budget_is_outdated(10, 60, 50));
	CHECK(!plan_budget_is_outdated(10, 50, 50));
	CHECK(!plan_budget_is_outdated(10, 40, 50));
	CHECK(plan_budget_is_outdated(-10, 40, 50));
	CHECK(!plan_budget_is_outdated(-10, 60, 50));
}

/* Whatever is asked: ranges hold, rooms are not overdrawn, and what is done adds up. */
TEST(random_plans_add_up)
{
	unsigned seed = (unsigned)test_seed(1);
	unsigned state = seed;

	for (int step = 0; step < 3000; step++) {
		int64_t rooms[2] = {rand_r(&state) % 200, rand_r(&state) % 200};
		int64_t given = rooms[0] + rooms[1], amount = 1 + rand_r(&state) % 500, done;
		int64_t sum = 0, held = 0;
		enum request_field field = rand_r(&state) % 2 ? REQUEST_MAX : REQUEST_CURRENT;
		struct plan_leaf l[6];

		for (int i = 0; i < 6; i++) {
			int64_t least = 1 + rand_r(&state) % 30;
			int64_t max = least + rand_r(&state) % 200;

			l[i] = leaf(least + rand_r(&state) % (max - least + 1), max, least,
				    &rooms[rand_r(&state) % 2]);
			l[i].usage = rand_r(&state) % 3 ? (double)(rand_r(&state) % 200) : NAN;
			if (rand_r(&state) % 4 == 0)
				l[i].held = 0;
			l[i].fixed = rand_r(&state) % 5 == 0;
			held += l[i].held;
		}
		if (rand_r(&state) % 2)
			amount = -amount;
		CHECK_INT(plan_leaves(l, 6, field, amount, 5, &done), 0);
		CHECK(amount > 0 ? done >= 0 && done <= amount : done <= 0 && done >= amount);
		for (int i = 0; i < 6; i++) {
			sum += l[i].amount;
			held -= l[i].held;
			CHECK(l[i].to >= l[i].least && l[i].to <= l[i].max_to);
			CHECK_INT(l[i].amount, field == REQUEST_MAX ? l[i].max_to - l[i].max
								    : l[i].to - l[i].current);
			CHECK(!l[i].amount || (l[i].amount > 0) == (amount > 0));
			CHECK(l[i].to == l[i].current ||
			      (!l[i].fixed && l[i].held >= MAX(l[i].to, l[i].current)));
		}
		CHECK_INT(sum, done);
		CHECK(rooms[0] >= 0 && rooms[1] >= 0);
		CHECK_INT(given - rooms[0] - rooms[1], -held);
	}
}

TEST_MAIN()
