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

/* What the agent answers to orders; 0: it carries them out. */
static void orders_get(unsigned answer_status)
{
	pthread_mutex_lock(&agent.lock);
	agent.status = answer_status;
	pthread_mutex_unlock(&agent.lock);
}

/* The agent calls it by its new name already, and has not said so. */
TEST(an_order_by_the_old_name_is_answered_first)
{
	start();
	registers("s1", WEB);
	guard("web", 300);
	settle();
	orders_get(404);
	guard("web", 90);
	settle();
	CHECK_STR(held("web"), "guard 1 live 0 cpu 0 of 90");
	orders_get(0);
	tell("s1", 1, ",\"removed\":[1],\"added\":[" RENAMED(7, "web", "shop") "]");
	CHECK_INT(status, 200);
	settle();
	CHECK_STR(held("web"), "nothing");
	CHECK_STR(held("shop"), "guard 1 live 1 cpu 90 of 90");
}

TEST(an_order_that_waits_is_given_by_the_new_name)
{
	start();
	registers("s1", WEB);
	guard("web", 300);
	settle();
	orders_get(503);
	guard("web", 90);
	settle();
	orders_get(0);
	size_t asked = stand_in_n_asked(&agent);
	tell("s1", 1, ",\"removed\":[1],\"added\":[" RENAMED(7, "web", "shop") "]");
	CHECK_INT(status, 200);
	settle();
	CHECK(stand_in_n_asked(&agent) > asked);
	CHECK_STR(held("shop"), "guard 1 live 1 cpu 90 of 90");
	model_lock(model);
	CHECK_INT(model_structure(model, "shop")->physical[EBB_CPU], 90);
	model_unlock(model);
}

/* An agent says it again as long as the container lives. */
TEST(a_former_name_that_another_one_has_now)
{
	start();
	registers("s1", RENAMED(3, "3f1c", "shop") "," WEB);
	CHECK_INT(status, 200);
	CHECK(!known("3f1c"));
	guard("shop", 300);
	guard("web", 250);
	settle();
	registers("s2", RENAMED(3, "3f1c", "shop") "," WEB);
	CHECK_STR(held("shop"), "guard 1 live 1 cpu 100 of 300");
	registers("s3", RENAMED(3, "web", "x") "," WEB);
	CHECK_STR(held("x"), "guard 0 live 1 cpu 0 of 100");
	CHECK_STR(held("web"), "guard 1 live 1 cpu 100 of 250");
	/* Nor when it was told before, and is still there. */
	tell("s3", 1, ",\"added\":[" RENAMED(7, "web", "y") "]");
	CHECK_STR(held("y"), "guard 0 live 1 cpu 0 of 100");
	CHECK_STR(held("web"), "guard 1 live 1 cpu 100 of 250");
}

TEST(a_former_name_of_another_host)
{
	char text[1024];

	start();
	registers("s1", WEB);
	guard("web", 300);
	settle();
	tell("s1", 1, ",\"removed\":[1]");
	CHECK_STR(held("web"), "guard 1 live 0 cpu 0 of 300");
	snprintf(text, sizeof(text),
		 "{\"host\":\"h1\",\"session\":\"t1\",\"seq\":1,\"now\":1,\"register\":{"
		 "\"address\":\"%s\",\"cpus\":[0,1],\"mem\":4294967296,\"topology\":{\"0\":"
		 "{\"0\":[0],\"1\":[1]}}},\"added\":[%s]}",
		 agent_url, RENAMED(1, "web", "shop"));
	send_text(text);
	CHECK_INT(status, 200);
	CHECK_STR(held("web"), "guard 1 live 0 cpu 0 of 300");
	CHECK_STR(held("shop"), "guard 0 live 1 cpu 0 of 100");
}

TEST(the_name_that_the_core_map_has_for_itself)
{
	_cleanup_json_ json_t *doc = NULL;
	const json_t *cpu, *cores;

	start();
	registers("s1", WEB "," DB);
	guard("web", 300);
	settle();
	tell("s1", 1, ",\"removed\":[1],\"added\":[" RENAMED(7, "web", "free") "]");
	CHECK_INT(status, 200);
	CHECK(!known("free"));
	CHECK_STR(held("web"), "guard 1 live 0 cpu 0 of 300");
	model_lock(model);
	model_settle(model);
	doc = structure_to_json(model_host(model, "h0")->structure);
	model_unlock(model);
	cpu = json_object_get(json_object_get(doc, "resources"), "cpu");
	cores = json_object_get(cpu, "core_usage_mapping");
	CHECK_INT(json_integer_value(json_object_get(json_object_get(cores, "0"), "free")), 100);
}

/* Of the one that had it, nobody has changed a thing. */
TEST(a_name_that_becomes_free_in_the_same_message)
{
	start();
	registers("s1", WEB "," DB);
	guard("web", 300);
	settle();
	tell("s1", 1, ",\"removed\":[2,1],\"added\":[" RENAMED(7, "web", "db") "]");
	CHECK_INT(status, 200);
	CHECK_STR(held("web"), "nothing");
	CHECK_STR(held("db"), "guard 1 live 1 cpu 100 of 300");
	sample("s1", 7, 1000 * MS, 500 * MS, 0, 0);
	sample("s1", 7, 2000 * MS, 1000 * MS, 0, 0);
	CHECK_NEAR(usage_of("db", EBB_CPU), 50, 1);
}

TEST(a_name_that_is_free_at_a_registration)
{
	start();
	registers("s1", WEB "," DB);
	guard("web", 300);
	settle();
	registers("s2", RENAMED(1, "web", "db"));
	CHECK_INT(status, 200);
	CHECK_STR(held("web"), "nothing");
	CHECK_STR(held("db"), "guard 1 live 1 cpu 100 of 300");
}

TEST(what_grew_before_the_new_name_was_told)
{
	_cleanup_json_ json_t *decisions = NULL;
	struct scaler_stats stats;

	start();
	tell("s1", 1000,
	     ",\"register\":{\"address\":\"%s\",\"cpus\":[0,1,2,3],\"mem\":4294967296,"
	     "\"topology\":{\"0\":{\"0\":[0],\"1\":[1],\"2\":[2],\"3\":[3]}},\"grown\":0},"
	     "\"added\":[" WEB "]",
	     agent_url);
	CHECK_INT(status, 200);
	guard("web", 300);
	settle();
	tell("s1", 2000,
	     ",\"removed\":[1],\"added\":[{\"c\":7,\"name\":\"shop\",\"was\":\"web\",\"limits\":{"
	     "\"cpu\":200,\"cpus\":\"0,1\",\"mem\":512}}],\"reflex\":[{\"c\":7,\"resource\":"
	     "\"cpu\",\"from\":100,\"to\":200,\"seen\":1500,\"at\":1600,\"why\":\"throttled\"}]");
	CHECK_INT(status, 200);
	CHECK_INT(json_integer_value(json_object_get(answer, "grown")), 1600);
	CHECK_STR(held("shop"), "guard 1 live 1 cpu 200 of 300");
	model_lock(model);
	scaler_get_stats(scaler, &stats);
	model_unlock(model);
	CHECK_INT(stats.grown, 1);
	CHECK_INT(stats.foreign, 0);
	decisions = audit_query(audit, "shop", 1);
	CHECK_STR(json_string_value(json_object_get(json_array_get(decisions, 0), "origin")),
		  "reflex");
}

TEST(what_waited_by_the_old_name_goes_on_record)
{
	_cleanup_json_ json_t *decisions = NULL;
	struct scaler_stats stats;
	const json_t *decision;

	start();
	registers("s1", WEB ",{\"c\":2,\"name\":\"db\",\"limits\":{\"cpu\":300,\"cpus\":\"1-3\","
			    "\"mem\":512}}");
	guard("web", 300);
	guard("db", 300);
	settle();
	model_lock(model);
	struct request request = {
		.structure = model_structure(model, "web"),
		.resource = EBB_CPU,
		.amount = 50,
		.timestamp = wall_seconds(),
		.origin = "user",
	};
	CHECK_INT(scaler_request(scaler, &request), 0);
	scaler_run(scaler);
	scaler_get_stats(scaler, &stats);
	model_unlock(model);
	CHECK_INT(stats.waiting, 1);
	tell("s1", 1, ",\"removed\":[1],\"added\":[" RENAMED(7, "web", "shop") "]");
	CHECK_INT(status, 200);
	model_lock(model);
	scaler_get_stats(scaler, &stats);
	model_unlock(model);
	CHECK_INT(stats.waiting, 0);
	decisions = audit_query(audit, "web", 1);
	decision = json_array_get(decisions, 0);
	CHECK_STR(json_string_value(json_object_get(decision, "outcome")), "refused");
	CHECK_STR(json_string_value(json_object_get(decision, "reason")),
		  "the container is called otherwise now: ask again by that name");
}

TEST_MAIN()
