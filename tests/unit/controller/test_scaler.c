/* SPDX-License-Identifier: Apache-2.0 */
/* The scaler with a model, an executor and the other end of its orders; only the kernel is missing.
 */
#include "scaler.h"

#include <errno.h>

#include "agent_stand_in.h"
#include "drift.h"
#include "seed.h"
#include "ebb/util.h"
#include "../../test.h"

static struct stand_in agent;
static struct model *model;
static struct audit *audit;
static struct scaler *scaler;
static struct executor *executor;
static struct host *host;
static json_t *decisions;

static void release_all(void *arg)
{
	executor_free(TAKE_PTR(executor));
	scaler_free(TAKE_PTR(scaler));
	audit_free(TAKE_PTR(audit));
	if (model)
		model_free(TAKE_PTR(model));
	stand_in_stop(&agent);
	json_decref(TAKE_PTR(decisions));
}

/* A host of 4 cores and 4,096 MiB. */
static void start(void)
{
	_cleanup_json_ json_t *message = NULL;
	char url[128];

	test_at_end(release_all, NULL);
	CHECK_INT(stand_in_start(&agent), 0);
	CHECK_INT(model_new(NULL, &model), 0);
	CHECK_INT(audit_new(NULL, 4096, &audit), 0);
	CHECK_INT(scaler_new(model, audit, &scaler), 0);
	CHECK_INT(executor_new(NULL, scaler_order_done, scaler, &executor), 0);
	scaler_set_sink(scaler, executor_sink(executor));

	message = json_pack(
		"{s:s, s:{s:s, s:[i,i,i,i], s:I, s:{s:{s:[i],s:[i],s:[i],s:[i]}}}}", "host", "h0",
		"register", "address", stand_in_url(&agent, url, sizeof(url)), "cpus", 0, 1, 2, 3,
		"mem", (json_int_t)4096 << 20, "topology", "0", "0", 0, "1", 1, "2", 2, "3", 3);
	CHECK(message);
	model_lock(model);
	CHECK_INT(model_register_host(model, message, &host), 0);
	host->connected = true;
	host->last_heard = wall_seconds();
	model->scaler.active = true;
	model->scaler.request_timeout = 60;
	model->scaler.pin_cores = true;
	model->scaler.check_core_map = true;
	model_unlock(model);
}

/* Until no order is under way. */
static void settle(void)
{
	struct scaler_stats stats;

	do {
		usleep(1000);
		model_lock(model);
		scaler_get_stats(scaler, &stats);
		model_unlock(model);
	} while (stats.in_flight);
}

static void check_adds_up(void)
{
	char *wrong;

	model_lock(model);
	wrong = model_check(model);
	model_unlock(model);
	if (wrong)
		TEST_FAIL("%s", wrong);
}

/* A guarded container with those limits in force, of 20..400 shares and 64..4,096 MiB. */
static struct structure *container(const char *name, int cpu, int mem)
{
	_cleanup_json_ json_t *added =
		json_pack("{s:i, s:s, s:{s:i, s:s, s:i}}", "c", 1, "name", name, "limits", "cpu",
			  cpu, "cpus", "", "mem", mem);
	_cleanup_free_ char *error = NULL;
	struct structure *s;
	int r;

	model_lock(model);
	r = model_register_container(model, host, added, &s);
	if (r >= 0)
		r = model_set_parameter(model, s, EBB_CPU, "max", 400, &error);
	if (r >= 0)
		r = model_set_parameter(model, s, EBB_MEM, "max", 4096, &error);
	if (r >= 0)
		r = model_guard(model, s, true, &error);
	if (r >= 0)
		scaler_run(scaler);
	model_unlock(model);
	if (r < 0)
		TEST_FAIL("%s: %s", name, error ? error : strerror(-r));
	settle();
	return s;
}

static void ask_with(struct structure *s, enum ebb_resource resource, int64_t amount, int priority,
		     double timestamp)
{
	struct request request = {
		.structure = s,
		.resource = resource,
		.amount = amount,
		.has_priority = true,
		.priority = priority,
		.timestamp = timestamp,
		.origin = "test",
	};

	CHECK_INT(scaler_request(scaler, &request), 0);
}

static void ask_without_priority(struct structure *s, int64_t amount, double timestamp)
{
	struct request request = {
		.structure = s,
		.resource = EBB_CPU,
		.amount = amount,
		.timestamp = timestamp,
		.origin = "test",
	};

	CHECK_INT(scaler_request(scaler, &request), 0);
}

/* As the guardian does: on the limit in force now. */
static void decide(struct structure *s, enum ebb_resource resource, int64_t amount)
{
	struct request request = {
		.structure = s,
		.resource = resource,
		.amount = amount,
		.absolute = true,
		.has_priority = true,
		.timestamp = wall_seconds(),
		.origin = "guardian",
	};

	CHECK_INT(scaler_request(scaler, &request), 0);
}

/* Asks, without a turn of the scaler; under the lock. */
static void ask(struct structure *s, enum ebb_resource resource, int64_t amount)
{
	ask_with(s, resource, amount, 0, wall_seconds());
}

static void run(void)
{
	model_lock(model);
	scaler_run(scaler);
	model_unlock(model);
	settle();
}

static void ask_and_run(struct structure *s, enum ebb_resource resource, int64_t amount)
{
	model_lock(model);
	ask(s, resource, amount);
	scaler_run(scaler);
	model_unlock(model);
	settle();
}

/* The newest decision's member, as text. */
static const char *newest(const char *key)
{
	json_t *value;

	json_decref(decisions);
	decisions = audit_query(audit, NULL, 1);
	value = json_object_get(json_array_get(decisions, 0), key);
	return json_string_value(value) ? json_string_value(value) : "";
}

static const char *last_asked(void)
{
	return stand_in_asked(&agent, stand_in_n_asked(&agent) - 1);
}

TEST(guarding_pins_and_accounts)
{
	struct structure *c0;

	start();
	c0 = container("c0", 150, 1024);
	CHECK_INT(c0->resources[EBB_CPU].current, 150);
	CHECK_INT(c0->resources[EBB_CPU].allocated, 150);
	CHECK_INT(host->free[EBB_CPU], 250);
	CHECK_INT(host->free[EBB_MEM], 3072);
	CHECK(strstr(last_asked(), "\"cpu\":{\"cpu_allowance_limit\":150,\"cpu_num\":\"0,1\"}"));
	check_adds_up();
}

TEST(growth_is_ordered_and_recorded)
{
	struct structure *c0;

	start();
	c0 = container("c0", 150, 1024);
	ask_and_run(c0, EBB_CPU, 100);
	CHECK_STR(last_asked(), "{\"cpu\":{\"cpu_allowance_limit\":250,\"cpu_num\":\"0,1,2\"}}");
	CHECK_INT(c0->resources[EBB_CPU].current, 250);
	CHECK_INT(c0->physical[EBB_CPU], 250);
	CHECK_INT(host->free[EBB_CPU], 150);
	CHECK_INT(c0->in_flight, 0);
	CHECK_STR(newest("outcome"), "applied");
	CHECK_STR(newest("structure"), "c0");
	CHECK_STR(newest("host"), "h0");
	CHECK_STR(newest("origin"), "test");
	CHECK_STR(newest("cpus"), "0,1,2");
	check_adds_up();
}

TEST(without_a_cpuset_only_the_quota_is_ordered)
{
	_cleanup_json_ json_t *limits = json_pack("{s:i, s:i}", "cpu", 150, "mem", 1024);
	struct structure *c0;

	start();
	c0 = container("c0", 150, 1024);
	model_lock(model);
	scaler_limits_reported(scaler, c0, limits, 0);
	ask(c0, EBB_CPU, 100);
	scaler_run(scaler);
	model_unlock(model);
	settle();
	CHECK_STR(last_asked(), "{\"cpu\":{\"cpu_allowance_limit\":250}}");
	check_adds_up();
}

TEST(shrinking_gives_back_when_applied)
{
	struct structure *c0;

	start();
	c0 = container("c0", 250, 1024);
	agent.delay_ms = 100;
	model_lock(model);
	ask(c0, EBB_CPU, -150);
	scaler_run(scaler);
	CHECK_INT(c0->in_flight, 1 << EBB_CPU);
	CHECK_INT(host->free[EBB_CPU], 150);
	model_unlock(model);
	settle();
	CHECK_STR(last_asked(), "{\"cpu\":{\"cpu_allowance_limit\":100,\"cpu_num\":\"0\"}}");
	CHECK_INT(host->free[EBB_CPU], 300);
	check_adds_up();
}

TEST(cores_are_left_alone_without_pinning)
{
	struct structure *c0;

	start();
	model->scaler.pin_cores = false;
	c0 = container("c0", 150, 1024);
	ask_and_run(c0, EBB_CPU, 50);
	CHECK_STR(last_asked(), "{\"cpu\":{\"cpu_allowance_limit\":200}}");
}

TEST(cores_are_left_alone_with_the_distribution_none)
{
	struct structure *c0;

	start();
	model_lock(model);
	CHECK_INT(model_set_core_distribution(model, host->structure, CORES_NONE), 0);
	model_unlock(model);
	c0 = container("c0", 150, 1024);
	ask_and_run(c0, EBB_CPU, 50);
	CHECK_STR(last_asked(), "{\"cpu\":{\"cpu_allowance_limit\":200}}");
	check_adds_up();
}

TEST(several_resources_go_in_one_order)
{
	struct structure *c0;
	size_t before;

	start();
	c0 = container("c0", 150, 1024);
	before = stand_in_n_asked(&agent);
	model_lock(model);
	ask(c0, EBB_CPU, 50);
	ask(c0, EBB_MEM, 512);
	scaler_run(scaler);
	model_unlock(model);
	settle();
	CHECK_INT(stand_in_n_asked(&agent), before + 1);
	CHECK(strstr(last_asked(), "\"mem\":{\"mem_limit\":1536}"));
	CHECK(strstr(last_asked(), "\"cpu_allowance_limit\":200"));
}

TEST(lowering_memory_holds_nothing_else_back)
{
	struct structure *c0;
	size_t before;

	start();
	c0 = container("c0", 150, 1024);
	before = stand_in_n_asked(&agent);
	model_lock(model);
	ask(c0, EBB_CPU, 50);
	ask(c0, EBB_MEM, -512);
	scaler_run(scaler);
	model_unlock(model);
	settle();
	CHECK_INT(stand_in_n_asked(&agent), before + 2);
	CHECK_INT(c0->resources[EBB_MEM].current, 512);
	CHECK_INT(host->free[EBB_MEM], 4096 - 512);
	check_adds_up();
}

TEST(a_memory_shrink_that_stops_short_is_accounted_as_it_is)
{
	struct structure *c0;

	start();
	c0 = container("c0", 150, 1024);
	agent.mem_floor = 700;
	ask_and_run(c0, EBB_MEM, -512);
	CHECK_INT(c0->resources[EBB_MEM].current, 700);
	CHECK_INT(c0->resources[EBB_MEM].allocated, 700);
	CHECK_INT(host->free[EBB_MEM], 4096 - 700);
	CHECK_STR(newest("outcome"), "partial");
	check_adds_up();
}

TEST(shrinks_make_room_for_growth)
{
	struct structure *c0, *c1;

	start();
	c0 = container("c0", 200, 1024);
	c1 = container("c1", 200, 1024);
	CHECK_INT(host->free[EBB_CPU], 0);
	/* The growth was asked first; it waits until the shrink is in force. */
	model_lock(model);
	ask(c1, EBB_CPU, 60);
	ask(c0, EBB_CPU, -80);
	scaler_run(scaler);
	CHECK_INT(c1->in_flight, 0);
	CHECK_INT(c0->in_flight, 1 << EBB_CPU);
	model_unlock(model);
	settle();
	CHECK_INT(c0->resources[EBB_CPU].current, 120);
	CHECK_INT(c1->resources[EBB_CPU].current, 260);
	CHECK_INT(host->free[EBB_CPU], 20);
	CHECK_STR(last_asked(), "{\"cpu\":{\"cpu_allowance_limit\":260,\"cpu_num\":\"2,3,1\"}}");
	check_adds_up();
}

TEST(what_is_left_is_granted_by_priority)
{
	struct structure *c0, *c1;
	double now = wall_seconds();

	start();
	c0 = container("c0", 150, 1024);
	c1 = container("c1", 150, 1024);
	model_lock(model);
	ask_with(c0, EBB_CPU, 80, 0, now - 5);
	ask_with(c1, EBB_CPU, 80, 2, now);
	scaler_run(scaler);
	model_unlock(model);
	settle();
	CHECK_INT(c1->resources[EBB_CPU].current, 230);
	CHECK_INT(c0->resources[EBB_CPU].current, 170);
	CHECK_INT(host->free[EBB_CPU], 0);
	check_adds_up();
}

TEST(a_newer_request_replaces_the_older_one)
{
	struct structure *c0;
	struct scaler_stats stats;
	double now = wall_seconds();

	start();
	c0 = container("c0", 150, 1024);
	model_lock(model);
	ask_with(c0, EBB_CPU, 80, 0, now);
	ask_with(c0, EBB_CPU, 30, 0, now + 1);  /* newer: wins */
	ask_with(c0, EBB_CPU, 90, 0, now - 1);  /* older: does not */
	ask_with(c0, EBB_CPU, 90, -1, now + 2); /* less urgent: does not */
	scaler_get_stats(scaler, &stats);
	CHECK_INT(stats.waiting, 1);
	scaler_run(scaler);
	model_unlock(model);
	settle();
	CHECK_INT(c0->resources[EBB_CPU].current, 180);
}

/* No priority is not a priority of 0. */
TEST(a_priority_counts_when_both_have_one)
{
	struct structure *c0, *c1;
	struct scaler_stats stats;
	double now = wall_seconds();

	start();
	c0 = container("c0", 100, 1024);
	c1 = container("c1", 100, 1024);
	model_lock(model);
	ask_with(c0, EBB_CPU, 10, 5, now);
	ask_without_priority(c0, 20, now + 1);  /* newer: wins */
	ask_with(c0, EBB_CPU, 30, 9, now - 1);  /* older: does not */
	ask_with(c0, EBB_CPU, 40, -1, now + 2); /* newer: wins */
	ask_with(c0, EBB_CPU, 50, -1, now + 2); /* as new, and came later: wins */
	ask_with(c1, EBB_CPU, 10, 1, now);
	ask_with(c1, EBB_CPU, 20, 2, now - 1); /* higher: wins */
	ask_without_priority(c1, 30, now - 2); /* older: does not */
	ask_without_priority(c1, 40, now - 1); /* as new, and came later: wins */
	scaler_get_stats(scaler, &stats);
	CHECK_INT(stats.waiting, 2);
	scaler_run(scaler);
	model_unlock(model);
	settle();
	CHECK_INT(c0->resources[EBB_CPU].current, 150);
	CHECK_INT(c1->resources[EBB_CPU].current, 140);
}

TEST(the_guardians_other_direction_supersedes)
{
	struct structure *c0;

	start();
	c0 = container("c0", 150, 1024);
	model_lock(model);
	decide(c0, EBB_CPU, 80);
	decide(c0, EBB_CPU, -50);
	CHECK_STR(newest("outcome"), "superseded");
	scaler_run(scaler);
	model_unlock(model);
	settle();
	CHECK_INT(c0->resources[EBB_CPU].current, 100);
}

TEST(both_directions_are_done_less_before_more)
{
	struct structure *c0;
	struct scaler_stats stats;

	start();
	c0 = container("c0", 200, 1024);
	model_lock(model);
	ask(c0, EBB_CPU, 20);
	ask(c0, EBB_CPU, -50);
	/* What somebody else asked is not the guardian's to drop. */
	ask(c0, EBB_MEM, 300);
	decide(c0, EBB_MEM, -100);
	scaler_get_stats(scaler, &stats);
	CHECK_INT(stats.waiting, 4);
	scaler_run(scaler);
	scaler_get_stats(scaler, &stats);
	CHECK_INT(stats.waiting, 2);
	model_unlock(model);
	settle();
	CHECK_INT(c0->resources[EBB_CPU].current, 170);
	CHECK_INT(c0->resources[EBB_MEM].current, 1224);
	model_lock(model);
	scaler_get_stats(scaler, &stats);
	CHECK_INT(stats.waiting, 0);
	CHECK_INT(stats.refused, 0);
	model_unlock(model);
	check_adds_up();
}

TEST(amounts_that_are_asked_one_after_the_other_add_up)
{
	struct structure *c0;

	start();
	c0 = container("c0", 150, 1024);
	agent.delay_ms = 50;
	model_lock(model);
	ask(c0, EBB_CPU, 50);
	scaler_run(scaler);
	ask(c0, EBB_CPU, 80);
	scaler_run(scaler);
	ask(c0, EBB_CPU, -20);
	scaler_run(scaler);
	model_unlock(model);
	settle();
	CHECK_INT(c0->resources[EBB_CPU].current, 260);
	check_adds_up();
}

TEST(one_order_at_a_time_for_a_resource)
{
	struct structure *c0;
	size_t before;

	start();
	c0 = container("c0", 150, 1024);
	before = stand_in_n_asked(&agent);
	agent.delay_ms = 50;
	model_lock(model);
	decide(c0, EBB_CPU, 50);
	scaler_run(scaler);
	decide(c0, EBB_CPU, 80);
	scaler_run(scaler);
	model_unlock(model);
	settle();
	/* 150 + 80, not 200 + 80: the second was asked on a limit of 150. */
	CHECK_INT(stand_in_n_asked(&agent), before + 2);
	CHECK_INT(c0->resources[EBB_CPU].current, 230);
	check_adds_up();
}

TEST(a_refused_order_leaves_everything_as_it_was)
{
	struct structure *c0;
	_cleanup_json_ json_t *before = NULL, *after = NULL;

	start();
	container("c9", 150, 1024);
	c0 = container("c0", 120, 1024);
	before = cpumap_to_json(host->cpumap);
	agent.status = 500;
	ask_and_run(c0, EBB_CPU, 100);
	after = cpumap_to_json(host->cpumap);
	CHECK(json_equal(before, after));
	CHECK_INT(c0->resources[EBB_CPU].current, 120);
	CHECK_INT(host->free[EBB_CPU], 130);
	CHECK_STR(newest("outcome"), "failed");
	CHECK_STR(newest("reason"), "it answered 500: told to");
	check_adds_up();
}

TEST(a_failing_container_does_not_spin)
{
	struct structure *c0;
	size_t before;

	start();
	c0 = container("c0", 120, 1024);
	agent.status = 500;
	before = stand_in_n_asked(&agent);
	for (int i = 0; i < 20; i++)
		ask_and_run(c0, EBB_CPU, 100);
	CHECK(stand_in_n_asked(&agent) < before + 5);
	/* It is asked again all the same. */
	agent.status = 0;
	while (c0->resources[EBB_CPU].current != 220)
		run();
	check_adds_up();
}

/* It reads all limits again before it answers; given up, the raise would be taken back for ever. */
TEST(a_slow_container_scaler_is_waited_for)
{
	struct structure *c0;

	start();
	c0 = container("c0", 120, 1024);
	host->agentless = true;
	agent.delay_ms = 2600;
	ask_and_run(c0, EBB_CPU, 100);
	agent.delay_ms = 0;
	CHECK_INT(c0->resources[EBB_CPU].current, 220);
	CHECK_STR(newest("outcome"), "applied");
	check_adds_up();
}

/* The documents of others may say so: 0 shares would be no limit there, and 0 MiB is refused. */
TEST(a_min_of_nothing_orders_no_less_than_can_be_set)
{
	struct structure *c0;

	start();
	c0 = container("c0", 120, 1024);
	model_lock(model);
	c0->resources[EBB_CPU].min = c0->resources[EBB_MEM].min = 0;
	model_unlock(model);
	ask_and_run(c0, EBB_CPU, -120);
	CHECK_INT(c0->resources[EBB_CPU].current, 1);
	ask_and_run(c0, EBB_MEM, -1000);
	CHECK_INT(c0->resources[EBB_MEM].current, 64);
	check_adds_up();
}

TEST(no_answer_keeps_both_limits_accounted_until_it_is_known)
{
	struct structure *c0;
	int64_t took;

	start();
	c0 = container("c0", 120, 1024);
	free(host->address);
	host->address = strdup("http://127.0.0.1:1");
	model_lock(model);
	ask(c0, EBB_CPU, 100);
	scaler_run(scaler);
	model_unlock(model);
	settle();
	CHECK_INT(c0->resources[EBB_CPU].current, 120);
	CHECK_INT(c0->resources[EBB_CPU].allocated, 220);
	took = host->free[EBB_CPU];
	CHECK_INT(took, 180);
	check_adds_up();

	/* It had been applied. Its agent is back, is told the limit on record, and says so. */
	char url[128];
	free(host->address);
	host->address = strdup(stand_in_url(&agent, url, sizeof(url)));
	while (c0->resources[EBB_CPU].allocated != 120)
		run();
	CHECK(strstr(last_asked(), "\"cpu_allowance_limit\":120"));
	CHECK_INT(host->free[EBB_CPU], 280);
	check_adds_up();
}

TEST(an_answer_without_the_limit_is_no_success)
{
	struct structure *c0;

	start();
	c0 = container("c0", 120, 1024);
	agent.answer = "{\"cpu\":{\"success\":false}}";
	ask_and_run(c0, EBB_CPU, 100);
	CHECK_INT(c0->resources[EBB_CPU].current, 120);
	CHECK_STR(newest("outcome"), "failed");
	check_adds_up();
}

TEST(an_unknown_container_has_gone)
{
	struct structure *c0;

	start();
	c0 = container("c0", 120, 1024);
	agent.status = 404;
	ask_and_run(c0, EBB_CPU, 100);
	CHECK(!c0->live);
	CHECK_INT(c0->resources[EBB_CPU].allocated, 0);
	CHECK_INT(host->free[EBB_CPU], 400);
	check_adds_up();
}

TEST(a_structure_removed_under_way_is_no_harm)
{
	struct structure *c0;

	start();
	c0 = container("c0", 120, 1024);
	agent.delay_ms = 100;
	model_lock(model);
	ask(c0, EBB_CPU, 100);
	ask(c0, EBB_MEM, -512);
	scaler_run(scaler);
	scaler_forget(scaler, c0);
	model_remove(model, c0);
	model_unlock(model);
	/* One of the same name comes before the order is done. */
	pthread_mutex_lock(&agent.lock);
	agent.delay_ms = 0;
	pthread_mutex_unlock(&agent.lock);
	c0 = container("c0", 60, 256);
	settle();
	CHECK_INT(c0->resources[EBB_CPU].current, 60);
	CHECK_INT(c0->resources[EBB_CPU].allocated, 60);
	CHECK_INT(host->free[EBB_CPU], 340);
	check_adds_up();
}

TEST(a_late_404_is_not_about_the_next_of_that_name)
{
	struct structure *c0;
	size_t before;

	start();
	c0 = container("c0", 120, 1024);
	before = stand_in_n_asked(&agent);
	agent.delay_ms = 200;
	agent.status = 404;
	model_lock(model);
	ask(c0, EBB_CPU, 100);
	scaler_run(scaler);
	scaler_forget(scaler, c0);
	model_remove(model, c0);
	model_unlock(model);
	while (stand_in_n_asked(&agent) == before)
		usleep(1000);
	pthread_mutex_lock(&agent.lock);
	agent.delay_ms = 0;
	agent.status = 0;
	pthread_mutex_unlock(&agent.lock);
	c0 = container("c0", 60, 256);
	settle();
	CHECK(model_structure(model, "c0") == c0);
	CHECK(c0->live);
	CHECK_INT(c0->resources[EBB_CPU].allocated, 60);
	CHECK_INT(host->free[EBB_CPU], 340);
	check_adds_up();
}

static void set_under_way(struct structure *s, int64_t amount, const char *param, int value)
{
	agent.delay_ms = 50;
	model_lock(model);
	ask(s, EBB_CPU, amount);
	scaler_run(scaler);
	CHECK_INT(s->in_flight, 1 << EBB_CPU);
	CHECK_INT(model_set_parameter(model, s, EBB_CPU, param, value, NULL), 0);
	model_unlock(model);
	settle();
}

TEST(a_max_set_while_a_growth_is_under_way_holds)
{
	struct structure *c0;

	start();
	c0 = container("c0", 100, 1024);
	set_under_way(c0, 200, "max", 150);
	CHECK_STR(last_asked(), "{\"cpu\":{\"cpu_allowance_limit\":150,\"cpu_num\":\"0,1\"}}");
	CHECK_INT(c0->resources[EBB_CPU].current, 150);
	CHECK_INT(c0->physical[EBB_CPU], 150);
	CHECK_INT(host->free[EBB_CPU], 250);
	check_adds_up();
}

TEST(a_min_set_while_a_shrink_is_under_way_holds)
{
	struct structure *c0;

	start();
	c0 = container("c0", 200, 1024);
	set_under_way(c0, -150, "min", 120);
	CHECK(strstr(last_asked(), "\"cpu_allowance_limit\":120"));
	CHECK_INT(c0->resources[EBB_CPU].current, 120);
	CHECK_INT(host->free[EBB_CPU], 280);
	check_adds_up();
}

TEST(a_min_without_room_is_left_unmet)
{
	struct structure *c0;

	start();
	container("c1", 250, 1024);
	c0 = container("c0", 100, 1024);
	set_under_way(c0, -50, "min", 300);
	CHECK_INT(c0->resources[EBB_CPU].current, 50);
	CHECK_INT(c0->resources[EBB_CPU].allocated, 50);
	CHECK_INT(c0->apply, 0);
	CHECK_INT(host->free[EBB_CPU], 100);
	check_adds_up();
}

TEST(a_max_below_what_is_used_is_not_ordered_at_every_turn)
{
	struct structure *c0;
	size_t before;

	start();
	c0 = container("c0", 150, 1024);
	agent.mem_floor = 700;
	before = stand_in_n_asked(&agent);
	model_lock(model);
	CHECK_INT(model_set_parameter(model, c0, EBB_MEM, "max", 512, NULL), 0);
	model_unlock(model);
	for (int i = 0; i < 20; i++)
		run();
	CHECK(stand_in_n_asked(&agent) < before + 5);
	CHECK_INT(c0->resources[EBB_MEM].current, 512);
	CHECK_INT(c0->resources[EBB_MEM].allocated, 700);
	check_adds_up();
	agent.mem_floor = 0;
	while (c0->resources[EBB_MEM].allocated != 512)
		run();
	check_adds_up();
}

TEST(unguarding_drops_what_waits_and_keeps_what_is_under_way)
{
	struct structure *c0, *c1;
	struct scaler_stats stats;

	start();
	c0 = container("c0", 200, 1024);
	c1 = container("c1", 200, 1024);
	agent.delay_ms = 50;
	model_lock(model);
	ask(c0, EBB_CPU, -100);
	ask(c1, EBB_MEM, 3000);
	scaler_run(scaler);
	CHECK_INT(model_guard(model, c0, false, NULL), 0);
	scaler_forget(scaler, c0);
	scaler_forget(scaler, c1);
	scaler_get_stats(scaler, &stats);
	CHECK_INT(stats.waiting, 0);
	model_unlock(model);
	settle();
	CHECK_INT(c0->resources[EBB_CPU].current, 100);
	CHECK_INT(c0->in_flight, 0);
	CHECK_INT(host->free[EBB_CPU], 100);
	check_adds_up();
}

TEST(what_waits_too_long_expires)
{
	struct structure *c0;

	start();
	container("c1", 200, 1024);
	c0 = container("c0", 200, 1024);
	model_lock(model);
	ask_with(c0, EBB_CPU, 80, 0, wall_seconds() - 59);
	scaler_run(scaler);
	/* Asked again and again, it counts from the first time. */
	ask(c0, EBB_CPU, 80);
	model->scaler.request_timeout = 30;
	scaler_run(scaler);
	model_unlock(model);
	CHECK_STR(newest("outcome"), "expired");
	CHECK(strstr(newest("reason"), "the host has nothing free"));
}

TEST(nothing_is_ordered_from_a_silent_agent_or_by_an_inactive_scaler)
{
	struct structure *c0;
	size_t before;

	start();
	c0 = container("c0", 120, 1024);
	before = stand_in_n_asked(&agent);
	host->connected = false;
	ask_and_run(c0, EBB_CPU, 100);
	CHECK_INT(stand_in_n_asked(&agent), before);
	host->connected = true;
	model->scaler.active = false;
	run();
	CHECK_INT(stand_in_n_asked(&agent), before);
	model->scaler.active = true;
	run();
	CHECK_INT(stand_in_n_asked(&agent), before + 1);
	CHECK_INT(c0->resources[EBB_CPU].current, 220);
}

TEST(requests_that_cannot_be_are_refused)
{
	struct request request = {.amount = 10, .resource = EBB_NET, .timestamp = wall_seconds()};

	start();
	request.structure = container("c0", 120, 1024);
	model_lock(model);
	CHECK_INT(scaler_request(scaler, &request), -EINVAL);
	request.resource = EBB_CPU;
	request.amount = 0;
	CHECK_INT(scaler_request(scaler, &request), -EINVAL);
	model_unlock(model);
}

static void report(struct structure *s, int cpu, const char *cpus)
{
	_cleanup_json_ json_t *limits =
		json_pack("{s:i, s:i, s:s, s:{s:i, s:s, s:s}}", "c", 1, "cpu", cpu, "cpus", cpus,
			  "by", "pid", 12, "name", "sh", "unit", "cron.service");

	model_lock(model);
	scaler_limits_reported(scaler, s, limits, 1);
	scaler_run(scaler);
	model_unlock(model);
	settle();
}

TEST(a_limit_changed_by_another_hand_is_put_back)
{
	struct structure *c0;
	struct scaler_stats stats;
	size_t before;

	start();
	c0 = container("c0", 120, 1024);
	before = stand_in_n_asked(&agent);
	report(c0, 120, "0-1");
	CHECK_INT(stand_in_n_asked(&agent), before);
	report(c0, 300, "0-1");
	CHECK_INT(stand_in_n_asked(&agent), before + 1);
	CHECK_STR(last_asked(), "{\"cpu\":{\"cpu_allowance_limit\":120,\"cpu_num\":\"0,1\"}}");
	CHECK_INT(c0->physical[EBB_CPU], 120);
	CHECK_INT(c0->resources[EBB_CPU].current, 120);
	/* Whoever goes on is not fought at once, and holds back nothing else. */
	report(c0, 300, "0-1");
	report(c0, 350, "0-1");
	CHECK_INT(stand_in_n_asked(&agent), before + 1);
	ask_and_run(c0, EBB_CPU, 50);
	CHECK_STR(last_asked(), "{\"cpu\":{\"cpu_allowance_limit\":170,\"cpu_num\":\"0,1\"}}");
	model_lock(model);
	scaler_get_stats(scaler, &stats);
	model_unlock(model);
	CHECK(stats.foreign >= 2);
	check_adds_up();
}

TEST(cores_changed_by_another_hand_are_put_back)
{
	struct structure *c0;
	size_t before;

	start();
	c0 = container("c0", 120, 1024);
	before = stand_in_n_asked(&agent);
	report(c0, 120, "0,3");
	CHECK_INT(stand_in_n_asked(&agent), before + 1);
	CHECK_STR(last_asked(), "{\"cpu\":{\"cpu_allowance_limit\":120,\"cpu_num\":\"0,1\"}}");
}

TEST(without_the_check_a_foreign_limit_is_taken_over)
{
	struct structure *c0;
	size_t before;

	start();
	c0 = container("c0", 120, 1024);
	model->scaler.check_core_map = false;
	before = stand_in_n_asked(&agent);
	report(c0, 150, "0-1");
	CHECK_INT(stand_in_n_asked(&agent), before);
	CHECK_INT(c0->resources[EBB_CPU].current, 150);
	CHECK_INT(c0->resources[EBB_CPU].allocated, 150);
	check_adds_up();
}

/* The newest decision about drift. */
static json_t *last_drift(void)
{
	json_t *decision;
	size_t i;

	json_decref(decisions);
	decisions = audit_query(audit, NULL, 1000);
	json_array_foreach(decisions, i, decision)
		if (!strcmp(json_string_value(json_object_get(decision, "origin")), "drift"))
			return decision;
	return NULL;
}

static void check_drift(const char *outcome, const char *reason)
{
	const json_t *decision = last_drift();

	CHECK(decision);
	CHECK_STR(json_string_value(json_object_get(decision, "outcome")), outcome);
	CHECK_STR(json_string_value(json_object_get(decision, "reason")), reason);
}

TEST(drift_is_on_record_with_whoever_did_it)
{
	struct structure *c0;

	start();
	c0 = container("c0", 120, 1024);
	CHECK(!last_drift());
	report(c0, 300, "0-1");
	check_drift("reasserted",
		    "cpu changed from 120 to 300 shares by sh (process 12 of cron.service)");
	CHECK_INT(json_integer_value(json_object_get(last_drift(), "planned")), 120);
	model->scaler.drift = DRIFT_ACCEPT;
	report(c0, 150, "0-1");
	check_drift("accepted",
		    "cpu changed from 120 to 150 shares by sh (process 12 of cron.service)");
	CHECK_INT(c0->resources[EBB_CPU].current, 150);
	CHECK_INT(c0->resources[EBB_CPU].allocated, 150);
	check_adds_up();
}

TEST(a_container_s_own_policy_goes_before_the_site_s)
{
	struct structure *c0;
	size_t before;

	start();
	c0 = container("c0", 120, 1024);
	CHECK_INT(drift_policy(model, c0), DRIFT_REASSERT);
	model_lock(model);
	CHECK_INT(drift_set_policy(model, c0, "accept"), 0);
	model_unlock(model);
	CHECK_INT(drift_policy(model, c0), DRIFT_ACCEPT);
	before = stand_in_n_asked(&agent);
	report(c0, 150, "0-1");
	CHECK_INT(stand_in_n_asked(&agent), before);
	CHECK_INT(c0->resources[EBB_CPU].current, 150);
	/* No limit at all is none that could be accounted. */
	report(c0, -1, "0-1");
	CHECK_INT(stand_in_n_asked(&agent), before + 1);
	CHECK_INT(c0->resources[EBB_CPU].current, 150);
	model_lock(model);
	CHECK_INT(drift_set_policy(model, c0, ""), 0);
	CHECK_INT(drift_set_policy(model, host->structure, "accept"), -EINVAL);
	model->scaler.drift = DRIFT_MANUAL;
	CHECK_INT(drift_policy(model, c0), DRIFT_MANUAL);
	/* The older key knows of putting back and taking over. */
	model->scaler.check_core_map = false;
	CHECK_INT(drift_policy(model, c0), DRIFT_MANUAL);
	model->scaler.drift = DRIFT_REASSERT;
	CHECK_INT(drift_policy(model, c0), DRIFT_ACCEPT);
	model_unlock(model);
}

TEST(manual_leaves_a_container_alone_until_it_is_guarded_again)
{
	struct structure *c0;
	_cleanup_json_ json_t *doc = NULL;
	struct scaler_stats stats;
	size_t before;

	start();
	c0 = container("c0", 120, 1024);
	model->scaler.drift = DRIFT_MANUAL;
	before = stand_in_n_asked(&agent);
	report(c0, 300, "0-3");
	CHECK(!c0->guard);
	CHECK(drift_is_manual(c0));
	CHECK_INT(stand_in_n_asked(&agent), before);
	/* It holds what it has: nobody else gets that. */
	CHECK_INT(c0->resources[EBB_CPU].current, 300);
	CHECK_INT(c0->resources[EBB_CPU].allocated, 300);
	check_drift("manual",
		    "cpu changed from 120 to 300 shares by sh (process 12 of cron.service)");
	doc = structure_to_json(c0);
	CHECK(json_is_string(json_object_get(json_object_get(doc, "manual"), "why")));
	/* Whoever asks. */
	ask_and_run(c0, EBB_CPU, -50);
	CHECK_INT(stand_in_n_asked(&agent), before);
	model_lock(model);
	scaler_get_stats(scaler, &stats);
	CHECK_INT(stats.drift[DRIFT_MANUAL], 1);
	CHECK_INT(stats.waiting, 1);
	CHECK_INT(model_guard(model, c0, true, NULL), 0);
	CHECK(!drift_is_manual(c0));
	CHECK(!json_object_get(c0->doc, "manual"));
	scaler_run(scaler);
	model_unlock(model);
	settle();
	CHECK_INT(stand_in_n_asked(&agent), before + 1);
	CHECK_INT(c0->resources[EBB_CPU].current, 250);
	check_adds_up();
}

TEST(putting_back_is_given_up_when_another_hand_persists)
{
	struct structure *c0;
	size_t before;

	start();
	c0 = container("c0", 120, 1024);
	model->scaler.drift_tries = 1;
	before = stand_in_n_asked(&agent);
	report(c0, 300, "0-1");
	CHECK_INT(stand_in_n_asked(&agent), before + 1);
	CHECK(c0->guard);
	report(c0, 310, "0-1");
	CHECK_INT(stand_in_n_asked(&agent), before + 1);
	CHECK(!c0->guard);
	CHECK(drift_is_manual(c0));
	check_drift("manual",
		    "cpu changed from 120 to 310 shares by sh (process 12 of cron.service), again "
		    "after it was put back");
	CHECK_INT(c0->resources[EBB_CPU].current, 310);
	check_adds_up();
}

TEST(what_is_not_guarded_any_more_is_not_put_back)
{
	struct structure *c0, *c1;
	size_t before;

	start();
	c0 = container("c0", 120, 1024);
	c1 = container("c1", 120, 1024);
	model_lock(model);
	CHECK_INT(model_guard(model, c0, false, NULL), 0);
	CHECK_INT(model_guard_resources(model, c1, 1u << EBB_CPU, false, NULL), 0);
	model_unlock(model);
	before = stand_in_n_asked(&agent);
	report(c0, 150, "0-3");
	CHECK_INT(c0->resources[EBB_CPU].current, 150);
	CHECK_INT(c0->resources[EBB_CPU].allocated, 150);
	report(c1, 200, "0-3");
	CHECK_INT(c1->resources[EBB_CPU].current, 200);
	CHECK_INT(host->free[EBB_CPU], 50);
	/* One that does not fit leaves the accounting. */
	report(c0, 350, "0-3");
	CHECK_INT(c0->resources[EBB_CPU].current, 350);
	CHECK_INT(c0->resources[EBB_CPU].allocated, 0);
	CHECK_INT(stand_in_n_asked(&agent), before);
	check_adds_up();
}

TEST(a_clock_that_began_anew_outdates_nothing)
{
	const uint64_t day = 86400 * EBB_NS_PER_SEC;
	struct structure *c0;

	start();
	agent.applied = "86400000000000";
	c0 = container("c0", 120, 1024);
	ask_and_run(c0, EBB_CPU, 20);
	CHECK(scaler_is_outdated(scaler, c0, day - EBB_NS_PER_SEC));
	CHECK(scaler_is_outdated(scaler, c0, day));
	CHECK(!scaler_is_outdated(scaler, c0, day + 1));
	/* The host was booted, and is up for 5 s. */
	CHECK(!scaler_is_outdated(scaler, c0, 5 * EBB_NS_PER_SEC));
	agent.applied = "6000000000";
	ask_and_run(c0, EBB_CPU, 20);
	CHECK(scaler_is_outdated(scaler, c0, 5 * EBB_NS_PER_SEC));
	CHECK(!scaler_is_outdated(scaler, c0, 7 * EBB_NS_PER_SEC));
	/* An answer that was overtaken. */
	agent.applied = "5500000000";
	ask_and_run(c0, EBB_CPU, 20);
	CHECK(scaler_is_outdated(scaler, c0, 6 * EBB_NS_PER_SEC));
}

/* Random requests against an agent that fails at random: nothing is ever lost or promised twice. */
TEST(random_orders_always_add_up)
{
	unsigned seed = (unsigned)test_seed(1);
	unsigned state = seed;
	struct structure *c[5];
	char name[16];

	start();
	for (int i = 0; i < 5; i++) {
		snprintf(name, sizeof(name), "c%d", i);
		c[i] = container(name, 60, 512);
	}
	for (int step = 0; step < 600; step++) {
		struct structure *s = c[rand_r(&state) % 5];

		pthread_mutex_lock(&agent.lock);
		agent.status = rand_r(&state) % 6 ? 0 : 500;
		agent.mem_floor = rand_r(&state) % 3 ? 0 : 300;
		agent.delay_ms = rand_r(&state) % 20 ? 0 : 3;
		pthread_mutex_unlock(&agent.lock);
		model_lock(model);
		ask(s, rand_r(&state) % 2 ? EBB_CPU : EBB_MEM, 1 + rand_r(&state) % 300);
		s = c[rand_r(&state) % 5];
		ask(s, rand_r(&state) % 2 ? EBB_CPU : EBB_MEM, -1 - rand_r(&state) % 300);
		scaler_run(scaler);
		model_unlock(model);
		check_adds_up();
		if (step % 50 == 0)
			settle();
	}
	settle();
	check_adds_up();
	for (int i = 0; i < 5; i++)
		for (int r = EBB_CPU; r <= EBB_MEM; r++) {
			CHECK_INT(c[i]->resources[r].allocated, c[i]->resources[r].current);
			CHECK(c[i]->resources[r].current >= c[i]->resources[r].min);
			CHECK(c[i]->resources[r].current <= c[i]->resources[r].max);
		}
}

TEST_MAIN()
