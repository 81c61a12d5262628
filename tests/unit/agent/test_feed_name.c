/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "feed_name.h"

static struct feed_name name;

static void clear(void *unused)
{
	feed_name_clear(&name);
}

/* Sent, and heard. */
static void told(const char *as, bool by_id)
{
	feed_name_sent(&name, as, by_id);
	feed_name_arrived(&name);
}

TEST(from_its_id_to_its_name)
{
	test_at_end(clear, NULL);
	CHECK(!feed_name_was(&name, "3f1c"));
	told("3f1c", true);
	CHECK(feed_name_changed(&name));
	CHECK_STR(feed_name_was(&name, "web"), "3f1c");
	feed_name_sent(&name, "web", false);
	/* Whether it arrives or not: each new session says it again. */
	CHECK_STR(feed_name_was(&name, "web"), "3f1c");
	feed_name_arrived(&name);
	CHECK_STR(feed_name_was(&name, "web"), "3f1c");
	told("web", false);
	CHECK_STR(feed_name_was(&name, "web"), "3f1c");
}

/* docker rename web web-old; a new "web" gets what is held for "web". */
TEST(what_is_held_for_a_name_stays_with_the_name)
{
	test_at_end(clear, NULL);
	told("web", false);
	CHECK(!feed_name_changed(&name));
	CHECK(!feed_name_was(&name, "web-old"));
	feed_name_clear(&name);

	told("3f1c", true);
	CHECK(feed_name_changed(&name));
	told("web", false);
	CHECK(!feed_name_changed(&name));
	CHECK(!feed_name_was(&name, "web-old"));
}

TEST(renamed_before_the_controller_has_heard)
{
	test_at_end(clear, NULL);
	told("3f1c", true);
	CHECK(feed_name_changed(&name));
	/* Before a message has it, and while one is under way. */
	CHECK(!feed_name_changed(&name));
	CHECK_STR(feed_name_was(&name, "two"), "3f1c");
	feed_name_sent(&name, "two", false);
	CHECK(!feed_name_changed(&name));
	CHECK_STR(feed_name_was(&name, "three"), "3f1c");
	told("three", false);
	CHECK(!feed_name_changed(&name));
	CHECK(!feed_name_was(&name, "four"));
}

TEST(a_refused_name)
{
	test_at_end(clear, NULL);
	told("3f1c", true);
	CHECK(feed_name_changed(&name));
	told("web", false);
	feed_name_refused(&name);
	/* It is told again, then under a name of its own. */
	CHECK_STR(feed_name_was(&name, "web"), "3f1c");
	told("web", false);
	feed_name_refused(&name);
	CHECK(!feed_name_changed(&name));
	CHECK_STR(feed_name_was(&name, "web@h0"), "3f1c");
	feed_name_clear(&name);

	/* What is held for the one that has this id is not this one's. */
	told("3f1c", true);
	feed_name_refused(&name);
	CHECK(!feed_name_changed(&name));
	CHECK(!feed_name_was(&name, "web"));
}

TEST(never_told)
{
	test_at_end(clear, NULL);
	CHECK(!feed_name_changed(&name));
	CHECK(!feed_name_was(&name, "web"));
	told("3f1c", true);
	CHECK(feed_name_changed(&name));
	/* Back again. */
	CHECK(!feed_name_was(&name, "3f1c"));
}

TEST_MAIN()
