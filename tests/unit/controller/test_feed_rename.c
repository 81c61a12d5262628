/* SPDX-License-Identifier: Apache-2.0 */
/* Containers that are called otherwise from one message to the next. */
#include "feed_fixture.h"

/* What is held for `name`, as one text. */
static const char *held(const char *name)
{
	static char text[128];
	struct structure *s;
	_cleanup_free_ char *wrong = NULL;

	model_lock(model);
	wrong = model_check(model);
	s = model_structure(model, name);
	snprintf(text, sizeof(text), "nothing");
	if (s)
		snprintf(text, sizeof(text), "guard %d live %d cpu %lld of %lld", s->guard, s->live,
			 (long long)s->resources[EBB_CPU].allocated,
			 (long long)s->resources[EBB_CPU].max);
	model_unlock(model);
	if (wrong)
		TEST_FAIL("%s", wrong);
	return text;
}

#define RENAMED(c, was, name)                                                              \
	"{\"c\":" #c ",\"name\":\"" name "\",\"was\":\"" was "\",\"limits\":{\"cpu\":100," \
	"\"cpus\":\"0\",\"mem\":512}}"

TEST(a_guard_follows_its_container_to_another_name)
{
	start();
	registers("s1", WEB "," DB);
	guard("web", 300);
	settle();
	size_t asked = stand_in_n_asked(&agent);
	tell("s1", 1, ",\"removed\":[1],\"added\":[" RENAMED(7, "web", "shop") "]");
	CHECK_INT(status, 200);
	CHECK_STR(held("web"), "nothing");
	CHECK_STR(held("shop"), "guard 1 live 1 cpu 100 of 300");
	CHECK(json_object_get(json_object_get(answer, "guard"), "shop"));
	sample("s1", 7, 1000 * MS, 500 * MS, 0, 0);
	CHECK_INT(status, 200);
	sample("s1", 7, 2000 * MS, 1000 * MS, 0, 0);
	CHECK_NEAR(usage_of("shop", EBB_CPU), 50, 1);
	/* Nothing was ordered for the name alone, and what is ordered is by the new one. */
	settle();
	CHECK_INT(stand_in_n_asked(&agent), asked);
	/* The old number is no more. */
	sample("s1", 1, 3000 * MS, 0, 0, 0);
	CHECK_INT(status, 409);
}

TEST(a_name_with_a_structure_of_its_own_keeps_that)
{
	start();
	registers("s1", WEB "," DB);
	guard("web", 300);
	guard("db", 250);
	settle();
	/* The one that had it has gone; it is kept, for it was guarded. */
	tell("s1", 1, ",\"removed\":[2]");
	tell("s1", 1, ",\"removed\":[1],\"added\":[" RENAMED(7, "web", "db") "]");
	CHECK_INT(status, 200);
	settle();
	CHECK(strstr(held("web"), "guard 1 live 0 cpu 0"));
	CHECK(strstr(held("db"), "guard 1 live 1") && strstr(held("db"), "of 250"));
}

TEST(names_that_move_on_in_one_message)
{
	start();
	registers("s1", WEB "," DB);
	guard("web", 300);
	guard("db", 250);
	settle();
	tell("s1", 1,
	     ",\"removed\":[2,1],\"added\":[" RENAMED(8, "web", "db") "," RENAMED(7, "db",
										  "old") "]");
	CHECK_INT(status, 200);
	CHECK(strstr(held("old"), "guard 1 live 1") && strstr(held("old"), "of 250"));
	CHECK(strstr(held("db"), "guard 1 live 1") && strstr(held("db"), "of 300"));
	CHECK_STR(held("web"), "nothing");
}

TEST(a_registration_tells_other_names_too)
{
	start();
	registers("s1", WEB "," DB);
	guard("web", 300);
	settle();
	registers("s2", RENAMED(1, "web", "shop") "," DB);
	CHECK_INT(status, 200);
	CHECK_STR(held("web"), "nothing");
	CHECK_STR(held("shop"), "guard 1 live 1 cpu 100 of 300");
}

TEST(two_numbers_of_one_name_go_at_once)
{
	start();
	registers("s1", WEB ",{\"c\":2,\"name\":\"web\",\"limits\":{}}");
	CHECK_INT(status, 200);
	tell("s1", 1, ",\"removed\":[1,2]");
	CHECK_INT(status, 200);
	CHECK(!known("web"));
	/* Once more, for one that gets another name meanwhile. */
	registers("s2", WEB ",{\"c\":2,\"name\":\"web\",\"limits\":{}}");
	guard("web", 300);
	settle();
	tell("s2", 1, ",\"removed\":[1,2],\"added\":[" RENAMED(3, "web", "shop") "]");
	CHECK_STR(held("web"), "nothing");
	CHECK_STR(held("shop"), "guard 1 live 1 cpu 100 of 300");
}

/* An order that was on its way to the old name. */
TEST(another_name_while_an_order_is_under_way)
{
	struct structure *web;

	start();
	registers("s1", WEB);
	guard("web", 300);
	settle();
	model_lock(model);
	web = model_structure(model, "web");
	/* As the scaler leaves it meanwhile. */
	web->in_flight = 1U << EBB_CPU;
	CHECK_INT(model_allocate(model, web, EBB_CPU, 50), 50);
	model_unlock(model);
	tell("s1", 1, ",\"removed\":[1],\"added\":[" RENAMED(7, "web", "shop") "]");
	CHECK_INT(status, 200);
	settle();
	CHECK_STR(held("web"), "nothing");
	CHECK_STR(held("shop"), "guard 1 live 1 cpu 100 of 300");
}

TEST(other_names_that_are_nobodys)
{
	start();
	registers("s1", WEB "," DB);
	guard("web", 300);
	settle();
	/* Not known, the host, itself; what is not guarded leaves nothing. */
	tell("s1", 1,
	     ",\"added\":[" RENAMED(7, "none", "a") "," RENAMED(8, "h0", "b") "," RENAMED(
		     1, "web", "web") "]");
	CHECK_INT(status, 200);
	CHECK(known("a") && known("b") && known("h0"));
	CHECK_STR(held("web"), "guard 1 live 1 cpu 100 of 300");
	tell("s1", 1, ",\"removed\":[2],\"added\":[" RENAMED(9, "db", "free-db") "]");
	CHECK(!known("db") && known("free-db"));
	tell("s1", 1, ",\"added\":[{\"c\":10,\"name\":\"x\",\"was\":7,\"limits\":{}}]");
	CHECK_INT(status, 400);
	CHECK(!known("x"));
}

TEST_MAIN()
