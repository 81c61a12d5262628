/* SPDX-License-Identifier: Apache-2.0 */
/* The controller's end of the feed over HTTP, with the model and the scaler behind it. */
#include "feed_fixture.h"

#include "model_private.h"

TEST(an_unknown_session_is_asked_to_register)
{
	start();
	tell("s1", 5, "%s", "");
	CHECK_INT(status, 409);
	CHECK(json_is_true(json_object_get(answer, "register")));
	CHECK(json_string_value(json_object_get(answer, "message")));
	CHECK(!known("h0"));
}

TEST(registration_makes_structures)
{
	struct feed_stats stats;

	start();
	registers("s1", WEB "," DB);
	CHECK_INT(status, 200);
	CHECK_INT(json_integer_value(json_object_get(answer, "ack")), 1);
	CHECK(json_is_object(json_object_get(answer, "guard")));
	CHECK_INT(json_object_size(json_object_get(answer, "guard")), 0);
	CHECK(known("h0"));
	CHECK(known("web"));
	CHECK(known("db"));
	model_lock(model);
	CHECK(model_host(model, "h0")->connected);
	model_unlock(model);
	feed_get_stats(feed, &stats);
	CHECK_INT(stats.messages, 1);
	CHECK_INT(stats.sessions, 1);
}

TEST(samples_become_usage)
{
	start();
	registers("s1", WEB);
	sample("s1", 1, 1000 * MS, 500 * MS, 0, 0);
	CHECK(isnan(usage_of("web", EBB_CPU)));
	sample("s1", 1, 1100 * MS, 550 * MS, 1, 0);
	CHECK_INT(status, 200);
	CHECK_NEAR(usage_of("web", EBB_CPU), 50, 1e-6);
	CHECK_NEAR(usage_of("web", EBB_MEM), 200, 1e-6);
}

TEST(what_was_taken_already_is_ignored)
{
	long long before;

	start();
	registers("s1", WEB);
	sample("s1", 1, 1000 * MS, 500 * MS, 0, 0);
	sample("s1", 1, 1100 * MS, 550 * MS, 1, 0);
	before = seq;
	seq -= 1;
	sample("s1", 1, 1200 * MS, 650 * MS, 1, 0);
	CHECK_INT(status, 200);
	CHECK_INT(json_integer_value(json_object_get(answer, "ack")), before);
	CHECK_NEAR(usage_of("web", EBB_CPU), 50, 1e-6);
	/* An older sample in a newer message says nothing either. */
	sample("s1", 1, 1050 * MS, 540 * MS, 1, 0);
	CHECK_NEAR(usage_of("web", EBB_CPU), 50, 1e-6);
}

TEST(numbers_that_do_not_fit_begin_again)
{
	start();
	registers("s1", WEB);
	sample("s1", 7, 1000 * MS, 1, 0, 0);
	CHECK_INT(status, 409);
	CHECK(json_is_true(json_object_get(answer, "register")));
	tell("s1", 1, ",\"limits\":[{\"c\":9,\"cpu\":1}]");
	CHECK_INT(status, 409);
	tell("s1", 1, ",\"added\":[{\"c\":1,\"name\":\"another\",\"limits\":{}}]");
	CHECK_INT(status, 409);
	CHECK(!known("another"));
	/* In the same message as its container it fits. */
	tell("s1", 1, ",\"added\":[" DB "],\"limits\":[{\"c\":2,\"cpu\":50}]");
	CHECK_INT(status, 200);
}

TEST(nonsense_changes_nothing)
{
	start();
	registers("s1", WEB);
	tell("s1", 1, ",\"added\":[" DB "],\"samples\":[[1,2,3]]");
	CHECK_INT(status, 400);
	CHECK(json_string_value(json_object_get(answer, "message")));
	CHECK(!known("db"));
	send_text("{");
	CHECK_INT(status, 400);
	send_text("");
	CHECK_INT(status, 400);
	tell("s2", 1, ",\"register\":{\"address\":\"%s\"}", agent_url);
	CHECK_INT(status, 400);
	/* The session goes on. */
	tell("s1", 1, "%s", "");
	CHECK_INT(status, 200);
}

TEST(removed_containers_are_forgotten_and_may_return)
{
	start();
	registers("s1", WEB "," DB);
	tell("s1", 1, ",\"removed\":[2]");
	CHECK_INT(status, 200);
	CHECK(!known("db"));
	/* Made anew under the same name within one message. */
	tell("s1", 1, ",\"removed\":[1],\"added\":[{\"c\":3,\"name\":\"web\",\"limits\":{}}]");
	CHECK_INT(status, 200);
	CHECK(known("web"));
	sample("s1", 3, 1000 * MS, 500 * MS, 0, 0);
	CHECK_INT(status, 200);
	sample("s1", 1, 1000 * MS, 500 * MS, 0, 0);
	CHECK_INT(status, 409);
}

TEST(a_new_session_replaces_the_old)
{
	struct feed_stats stats;

	start();
	registers("s1", WEB "," DB);
	registers("s2", "{\"c\":8,\"name\":\"web\",\"limits\":{}}");
	CHECK_INT(status, 200);
	CHECK(!known("db"));
	feed_get_stats(feed, &stats);
	CHECK_INT(stats.sessions, 1);
	/* A message of the old one that was late. */
	sample("s1", 1, 1000 * MS, 500 * MS, 0, 0);
	CHECK_INT(status, 409);
	sample("s2", 8, 1000 * MS, 500 * MS, 0, 0);
	CHECK_INT(status, 200);
}

/* Registers h0 from `address`, with `web` only. */
static void registers_from(const char *session, const char *address)
{
	tell(session, 1,
	     ",\"register\":{\"address\":\"%s\",\"cpus\":[0,1,2,3],\"mem\":4294967296,"
	     "\"topology\":{\"0\":{\"0\":[0],\"1\":[1],\"2\":[2],\"3\":[3]}}},"
	     "\"added\":[" WEB "]",
	     address);
}

TEST(two_agents_do_not_share_a_name)
{
	start();
	registers("s1", WEB "," DB);
	registers_from("s2", "http://192.0.2.7:8000");
	CHECK_INT(status, 409);
	CHECK(!json_object_get(answer, "register"));
	CHECK(strstr(json_string_value(json_object_get(answer, "message")), "--name"));
	CHECK(strstr(json_string_value(json_object_get(answer, "message")), agent_url));
	CHECK(known("db"));
	/* The first goes on, also when it is started again at another port. */
	sample("s1", 1, 1000 * MS, 500 * MS, 0, 0);
	CHECK_INT(status, 200);
	registers_from("s3", "http://127.0.0.1:1");
	CHECK_INT(status, 200);
	registers_from("s4", "http://192.0.2.7:8000");
	CHECK_INT(status, 409);
	/* Silent, it gives way. */
	model_lock(model);
	model_check_hosts(model, model_host(model, "h0")->last_heard + 6);
	model_unlock(model);
	registers_from("s4", "http://192.0.2.7:8000");
	CHECK_INT(status, 200);
}

TEST(a_name_that_is_taken_is_not_a_host)
{
	start();
	registers("s1", "{\"c\":1,\"name\":\"h0\",\"limits\":{}}");
	CHECK_INT(status, 200);
	/* Its samples are ignored, the rest of the host is not. */
	sample("s1", 1, 1000 * MS, 500 * MS, 0, 0);
	CHECK_INT(status, 200);
}

static bool labels_are(const char *name, const char *want)
{
	_cleanup_free_ char *have = NULL;
	struct structure *s;

	model_lock(model);
	s = model_structure(model, name);
	have = s ? json_dumps(json_object_get(s->doc, "labels"),
			      JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY)
		 : NULL;
	model_unlock(model);
	if (have && want && strcmp(have, want))
		printf("# %s\n", have);
	return want ? have && !strcmp(have, want) : !have;
}

TEST(labels_are_kept_in_the_document)
{
	start();
	registers("s1",
		  "{\"c\":1,\"name\":\"web\",\"engine\":\"docker\",\"labels\":{\"name\":\"web\","
		  "\"image\":\"nginx:1\",\"pod\":7,\"id\":\"a\\nb\",\"other\":\"x\"},"
		  "\"limits\":{\"cpu\":-1}},"
		  "{\"c\":2,\"name\":\"job\",\"engine\":\"cgroup\",\"labels\":{\"name\":\"job\"},"
		  "\"limits\":{}}");
	CHECK_INT(status, 200);
	/* No number, no control character, nothing unknown. */
	CHECK(labels_are("web", "{\"engine\":\"docker\",\"image\":\"nginx:1\",\"name\":\"web\"}"));
	/* The name is known already. */
	CHECK(labels_are("job", NULL));
	/* Limits alone change nothing, labels replace those that were. */
	tell("s1", 1, ",\"limits\":[{\"c\":1,\"cpu\":50}]");
	CHECK(labels_are("web", "{\"engine\":\"docker\",\"image\":\"nginx:1\",\"name\":\"web\"}"));
	tell("s1", 1,
	     ",\"limits\":[{\"c\":1,\"cpu\":50,\"engine\":\"docker\",\"labels\":{\"image\":\"nginx:2\"}}]");
	CHECK(labels_are("web", "{\"engine\":\"docker\",\"image\":\"nginx:2\"}"));
	tell("s1", 1, ",\"limits\":[{\"c\":1,\"cpu\":50,\"labels\":[]}]");
	CHECK(labels_are("web", "{\"engine\":\"docker\",\"image\":\"nginx:2\"}"));
	tell("s1", 1, ",\"limits\":[{\"c\":1,\"cpu\":50,\"labels\":{}}]");
	CHECK(labels_are("web", NULL));
}

TEST(taken_names_are_told)
{
	json_t *taken;

	start();
	registers("s1", WEB ",{\"c\":5,\"name\":\"h0\",\"limits\":{}}");
	CHECK_INT(status, 200);
	taken = json_object_get(answer, "taken");
	CHECK_INT(json_array_size(taken), 1);
	CHECK_INT(json_integer_value(json_array_get(taken, 0)), 5);
	/* Only in answer to their `added`. */
	tell("s1", 1, ",\"added\":[" DB "]");
	CHECK(!json_object_get(answer, "taken"));
	tell("s1", 1, ",\"removed\":[5],\"added\":[{\"c\":6,\"name\":\"x@h0\",\"limits\":{}}]");
	CHECK(!json_object_get(answer, "taken"));
	CHECK(known("x@h0"));
}

TEST(the_guard_table_goes_out_when_it_changed)
{
	json_t *web;

	start();
	registers("s1", WEB);
	tell("s1", 1, "%s", "");
	CHECK(!json_object_get(answer, "guard"));
	guard("web", 300);
	settle();
	tell("s1", 1, "%s", "");
	web = json_object_get(json_object_get(answer, "guard"), "web");
	CHECK_INT(json_integer_value(json_object_get(web, "cpu")), 90);
	CHECK_INT(json_integer_value(json_object_get(web, "mem")), 461);
	tell("s1", 1, "%s", "");
	CHECK(!json_object_get(answer, "guard"));
}

/* From samples to an order, on the default rules. */
TEST(a_throttled_container_is_given_more)
{
	struct structure *web;
	long long t = 10000 * MS, cpu = 0;
	int periods = 0;
	struct scaler_stats stats;
	json_t *decision;

	start();
	registers("s1", WEB);
	guard("web", 300);
	settle();
	for (int i = 0; i < 30; i++) {
		sample("s1", 1, t, cpu, periods, periods);
		CHECK_INT(status, 200);
		t += 100 * MS;
		cpu += 100 * MS;
		periods++;
	}
	settle();
	model_lock(model);
	web = model_structure(model, "web");
	CHECK(web->resources[EBB_CPU].current > 100);
	scaler_get_stats(scaler, &stats);
	model_unlock(model);
	CHECK(stats.applied >= 2);
	json_decref(answer);
	answer = audit_query(audit, "web", 1);
	decision = json_array_get(answer, 0);
	CHECK_STR(json_string_value(json_object_get(decision, "origin")), "guardian");
	CHECK(*json_string_value(json_object_get(decision, "rule")));
	CHECK(json_is_number(json_object_get(decision, "received_ms")));
	CHECK(json_is_number(json_object_get(decision, "applied_ms")));
}

/* --- the reflex, where one side or the other ends --- */

/* All that is written down. */
static json_t *documents(void)
{
	json_t *docs = json_array();
	struct structure *s;

	model_lock(model);
	model_settle(model);
	model_foreach_structure(model, s) {
		_cleanup_json_ json_t *doc = structure_to_json(s);

		json_array_append_new(docs, json_pack("[o, o?]", json_deep_copy(doc),
						      structure_limits_to_json(s)));
	}
	model_unlock(model);
	return docs;
}

/* Another controller, which has `docs` and nothing else. */
static void start_again(const json_t *docs)
{
	const json_t *pair;
	size_t i;

	end_controller();
	start_controller();
	model_lock(model);
	json_array_foreach(docs, i, pair) {
		_cleanup_free_ char *error = NULL;
		struct structure *s;

		const json_t *limits = json_array_get(pair, 1);

		CHECK_INT(structure_from_json(json_array_get(pair, 0),
					      json_is_object(limits) ? limits : NULL, &s, &error),
			  0);
		CHECK_INT(model_add(model, s), 0);
	}
	model_drop_dirty(model);
	model_attach_containers(model);
	for (i = 0; i < model->n_hosts; i++)
		host_rebuild_accounting(model, model->hosts[i]);
	model_unlock(model);
}

#define RAISED                                                                             \
	",\"reflex\":[{\"c\":1,\"resource\":\"cpu\",\"from\":100,\"to\":200,\"seen\":400," \
	"\"at\":500,\"why\":\"throttled\"}]"

/* An agent with the reflex, whose last growth has the number `grown`; web has `cpu` shares. */
static void registers_grown(const char *session, int cpu, int grown, const char *reflex)
{
	tell(session, 1000,
	     ",\"register\":{\"address\":\"%s\",\"cpus\":[0,1,2,3],\"mem\":4294967296,"
	     "\"topology\":{\"0\":{\"0\":[0],\"1\":[1],\"2\":[2],\"3\":[3]}},\"grown\":%d},"
	     "\"added\":[{\"c\":1,\"name\":\"web\",\"limits\":{\"cpu\":%d,\"cpus\":\"0,1\","
	     "\"mem\":512}}]%s",
	     agent_url, grown, cpu, reflex);
	CHECK_INT(status, 200);
}

/* In the accounts once, and nobody else's doing. */
static void check_raised(unsigned long grown)
{
	_cleanup_free_ char *wrong = NULL;
	struct scaler_stats stats;
	struct structure *web;

	settle();
	model_lock(model);
	web = model_structure(model, "web");
	scaler_get_stats(scaler, &stats);
	CHECK_INT(web->resources[EBB_CPU].current, 200);
	CHECK_INT(web->resources[EBB_CPU].allocated, 200);
	CHECK_INT(stats.grown, grown);
	CHECK_INT(stats.foreign, 0);
	for (int i = 0; i < DRIFT_MAX; i++)
		CHECK_INT(stats.drift[i], 0);
	wrong = model_check(model);
	model_unlock(model);
	if (wrong)
		TEST_FAIL("%s", wrong);
}

static size_t raises_on_record(void)
{
	_cleanup_json_ json_t *decisions = audit_query(audit, "web", 100);
	const json_t *decision;
	size_t i, n = 0;

	json_array_foreach(decisions, i, decision) {
		if (strcmp(json_string_value(json_object_get(decision, "origin")), "reflex") != 0)
			continue;
		CHECK_INT(json_integer_value(json_object_get(decision, "current")), 100);
		CHECK_INT(json_integer_value(json_object_get(decision, "applied")), 200);
		n++;
	}
	return n;
}

/* web is guarded at 100 shares by a controller that has written that down. */
static json_t *guarded_at_100(void)
{
	start();
	registers_grown("s1", 100, 0, "");
	guard("web", 300);
	settle();
	return documents();
}

TEST(a_raise_that_was_not_told_before_the_controller_ended)
{
	_cleanup_json_ json_t *docs = guarded_at_100();

	start_again(docs);
	registers_grown("s2", 200, 500, RAISED);
	CHECK_INT(json_integer_value(json_object_get(answer, "grown")), 500);
	check_raised(1);
	CHECK_INT(raises_on_record(), 1);
	/* Its answer was lost. */
	tell("s2", 2000, RAISED ",\"limits\":[{\"c\":1,\"cpu\":200,\"mem\":512}]");
	registers_grown("s3", 200, 500, RAISED);
	tell("s3", 3000, ",\"limits\":[{\"c\":1,\"cpu\":200,\"mem\":512}]");
	check_raised(1);
	CHECK_INT(raises_on_record(), 1);
}

TEST(a_raise_that_was_settled_but_not_written_down)
{
	_cleanup_json_ json_t *before = guarded_at_100(), *after = NULL;

	tell("s1", 1000, RAISED ",\"limits\":[{\"c\":1,\"cpu\":200,\"mem\":512}]");
	CHECK_INT(json_integer_value(json_object_get(answer, "grown")), 500);
	check_raised(1);
	after = documents();
	/* The agent tells all that is in force: whoever settled it may have been too late. */
	start_again(before);
	registers_grown("s2", 200, 500, RAISED);
	check_raised(1);
	CHECK_INT(raises_on_record(), 1);
	/* Or not. */
	start_again(after);
	registers_grown("s3", 200, 500, RAISED);
	check_raised(0);
	CHECK_INT(raises_on_record(), 0);
}

/* It cannot say so any more; what is in force holds, whoever did it. */
TEST(a_raise_of_an_agent_that_ended)
{
	_cleanup_json_ json_t *docs = guarded_at_100();

	registers_grown("s2", 200, 0, "");
	check_raised(0);
	tell("s2", 2000, ",\"limits\":[{\"c\":1,\"cpu\":200,\"mem\":512}]");
	check_raised(0);
	/* And of both. */
	start_again(docs);
	registers_grown("s3", 200, 0, "");
	check_raised(0);
	tell("s3", 2000, ",\"limits\":[{\"c\":1,\"cpu\":200,\"mem\":512}]");
	check_raised(0);
}

TEST_MAIN()
