/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "controllers.h"

static char a[] = "http://a:5000", b[] = "http://b:5000/", c[] = "http://c:5000";
static struct controllers controllers;

static void init(size_t n)
{
	static char *items[] = {a, b, c};
	static struct string_list urls;

	urls = (struct string_list){items, n};
	controllers_init(&controllers, &urls);
	CHECK_STR(controllers_current(&controllers), a);
}

static bool is_quick(unsigned ms)
{
	return ms >= 100 && ms <= 250;
}

TEST(the_next_one_is_asked_soon)
{
	init(3);
	CHECK(is_quick(controllers_move_on(&controllers, false, NULL)));
	CHECK_STR(controllers_current(&controllers), b);
	CHECK(is_quick(controllers_move_on(&controllers, true, NULL)));
	CHECK_STR(controllers_current(&controllers), c);
	CHECK(is_quick(controllers_move_on(&controllers, false, NULL)));
	CHECK_STR(controllers_current(&controllers), a);
}

TEST(who_points_to_another_is_followed_at_once)
{
	init(3);
	CHECK_INT(controllers_move_on(&controllers, true, "http://c:5000"), 0);
	CHECK_STR(controllers_current(&controllers), c);
	controllers_settle(&controllers);
	/* Written in another way. */
	CHECK_INT(controllers_move_on(&controllers, true, "http://b:5000"), 0);
	CHECK_STR(controllers_current(&controllers), b);
}

TEST(two_that_point_to_each_other_are_not_followed_without_end)
{
	init(2);
	CHECK_INT(controllers_move_on(&controllers, true, b), 0);
	CHECK(is_quick(controllers_move_on(&controllers, true, a)));
	CHECK_STR(controllers_current(&controllers), a);
}

TEST(nobody_is_followed_to_where_the_token_should_not_go)
{
	init(2);
	CHECK(is_quick(controllers_move_on(&controllers, true, "http://evil:5000")));
	CHECK_STR(controllers_current(&controllers), b);
	CHECK(is_quick(controllers_move_on(&controllers, true, "http://a:50001")));
	CHECK_STR(controllers_current(&controllers), a);
	CHECK(is_quick(controllers_move_on(&controllers, true, a)));
}

TEST(one_alone_is_asked_less_and_less)
{
	unsigned ms = 0;

	init(1);
	CHECK(controllers_move_on(&controllers, false, NULL) <= 125);
	for (int i = 0; i < 20; i++)
		ms = controllers_move_on(&controllers, false, NULL);
	CHECK(ms >= 3750);
	/* A standby alone: a leader is on its way. */
	CHECK(is_quick(controllers_move_on(&controllers, true, NULL)));
	controllers_settle(&controllers);
	CHECK(controllers_move_on(&controllers, false, NULL) <= 125);
}

TEST(when_all_are_silent_for_long_they_are_asked_less_and_less)
{
	unsigned ms = 0;

	init(2);
	for (int i = 0; i < 10; i++)
		CHECK(is_quick(controllers_move_on(&controllers, false, NULL)));
	for (int i = 0; i < 60; i++)
		ms = controllers_move_on(&controllers, false, NULL);
	CHECK(ms >= 3750);
	CHECK(is_quick(controllers_move_on(&controllers, true, NULL)));
}

TEST_MAIN()
