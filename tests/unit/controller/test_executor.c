/* SPDX-License-Identifier: Apache-2.0 */
#include "executor.h"

#include <errno.h>

#include "agent_stand_in.h"
#include "../../test.h"

struct outcome {
	bool done, ok;
	long status;
	char error[256];
	double cpu;
	uint64_t applied_ns;
};

static struct stand_in agent;
static struct executor *executor;
static struct identity *identity;
static struct outcome outcomes[64];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned n_done, n_ticks;

static void release_all(void *arg)
{
	executor_free(TAKE_PTR(executor));
	identity_free(TAKE_PTR(identity));
	stand_in_stop(&agent);
}

static void done(void *userdata, void *order_userdata, const struct order_result *result)
{
	struct outcome *outcome = order_userdata;

	pthread_mutex_lock(&lock);
	outcome->done = true;
	outcome->ok = result->ok;
	outcome->status = result->status;
	outcome->applied_ns = result->applied_ns;
	snprintf(outcome->error, sizeof(outcome->error), "%s", result->error);
	outcome->cpu = json_number_value(
		json_object_get(json_object_get(result->resources, "cpu"), "cpu_allowance_limit"));
	n_done++;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

static void start(void)
{
	test_at_end(release_all, NULL);
	memset(outcomes, 0, sizeof(outcomes));
	n_done = n_ticks = 0;
	CHECK_INT(stand_in_start(&agent), 0);
	CHECK_INT(identity_new_token("a token of the site", &identity), 0);
	CHECK_INT(executor_new(identity, done, NULL, &executor), 0);
}

static void submit(size_t i, const char *address, const char *container, unsigned timeout_ms)
{
	char url[128];
	struct order order = {
		.address = strdup(address ? address : stand_in_url(&agent, url, sizeof(url))),
		.container = strdup(container),
		.body = json_pack("{s:{s:i}}", "cpu", "cpu_allowance_limit", (int)(100 + i)),
		.timeout_ms = timeout_ms,
		.userdata = &outcomes[i],
	};

	CHECK_INT(executor_submit(executor, &order), 0);
	CHECK(!order.address && !order.body);
}

static void wait_for(unsigned n)
{
	pthread_mutex_lock(&lock);
	while (n_done < n)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
}

TEST(order_is_carried_and_answered)
{
	start();
	agent.applied = "123456789";
	submit(0, NULL, "web", 0);
	wait_for(1);
	CHECK(outcomes[0].ok);
	CHECK_INT(outcomes[0].status, 201);
	CHECK_NEAR(outcomes[0].cpu, 100, 0);
	CHECK_INT(outcomes[0].applied_ns, 123456789);
	CHECK_STR(outcomes[0].error, "");
	CHECK_STR(stand_in_asked(&agent, 0), "{\"cpu\":{\"cpu_allowance_limit\":100}}");
	CHECK_STR(agent.token, "a token of the site");
}

TEST(names_are_escaped)
{
	start();
	submit(0, NULL, "a name?x=1%", 0);
	wait_for(1);
	CHECK(outcomes[0].ok);
	CHECK_STR(json_string_value(json_object_get(json_array_get(agent.asked, 0), "container")),
		  "a name?x=1%");
}

TEST(many_orders_each_once)
{
	start();
	for (size_t i = 0; i < ARRAY_SIZE(outcomes); i++)
		submit(i, NULL, "web", 0);
	wait_for(ARRAY_SIZE(outcomes));
	for (size_t i = 0; i < ARRAY_SIZE(outcomes); i++) {
		CHECK_STR(outcomes[i].error, "");
		CHECK_NEAR(outcomes[i].cpu, 100 + (double)i, 0);
	}
	CHECK_INT(stand_in_n_asked(&agent), ARRAY_SIZE(outcomes));
}

TEST(refusals_tell_what_the_agent_said)
{
	start();
	agent.status = 404;
	submit(0, NULL, "web", 0);
	wait_for(1);
	CHECK(!outcomes[0].ok);
	CHECK_INT(outcomes[0].status, 404);
	CHECK_STR(outcomes[0].error, "it answered 404: told to");
}

TEST(success_without_json_is_none)
{
	start();
	agent.answer = "[1]";
	submit(0, NULL, "web", 0);
	wait_for(1);
	CHECK(!outcomes[0].ok);
	CHECK_INT(outcomes[0].status, 201);
}

TEST(no_agent_is_an_unknown_outcome)
{
	start();
	submit(0, "http://127.0.0.1:1", "web", 0);
	wait_for(1);
	CHECK(!outcomes[0].ok);
	CHECK_INT(outcomes[0].status, 0);
	CHECK(strstr(outcomes[0].error, "no answer: "));
}

TEST(a_slow_agent_times_out)
{
	start();
	agent.delay_ms = 1500;
	submit(0, NULL, "slow", 50);
	wait_for(1);
	CHECK(!outcomes[0].ok);
	CHECK_INT(outcomes[0].status, 0);
}

TEST(the_rest_is_not_sent_to_a_silent_agent)
{
	unsigned unknown = 0, not_sent = 0;

	start();
	agent.delay_ms = 1500;
	for (size_t i = 0; i < 40; i++)
		submit(i, NULL, "slow", 50);
	wait_for(40);
	for (size_t i = 0; i < 40; i++) {
		CHECK(!outcomes[i].ok);
		unknown += outcomes[i].status == 0;
		not_sent += outcomes[i].status == ORDER_NOT_SENT;
	}
	CHECK(unknown > 0);
	CHECK(not_sent > 0);
	CHECK_INT(unknown + not_sent, 40);
}

TEST(freeing_waits_for_orders_under_way)
{
	start();
	agent.delay_ms = 200;
	submit(0, NULL, "web", 0);
	executor_free(TAKE_PTR(executor));
	CHECK_INT(n_done, 1);
	CHECK(outcomes[0].ok);
}

static void tick(void *userdata)
{
	pthread_mutex_lock(&lock);
	n_ticks++;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

TEST(timers_run_in_its_thread)
{
	start();
	CHECK_INT(executor_every(executor, 0, tick, NULL), -EINVAL);
	CHECK_INT(executor_every(executor, 0.01, tick, NULL), 0);
	pthread_mutex_lock(&lock);
	while (n_ticks < 3)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
}

/* --- who may give orders --- */

static struct {
	bool may;
	uint64_t term, told;
} leadership;

static bool may_send(void *userdata, uint64_t *ret_term)
{
	*ret_term = leadership.term;
	return leadership.may;
}

static void outdated(void *userdata, uint64_t term)
{
	leadership.told = term;
}

static void lead(bool may, uint64_t term)
{
	const struct executor_fence fence = {.may_send = may_send, .outdated = outdated};

	leadership.may = may;
	leadership.term = term;
	leadership.told = 0;
	executor_set_fence(executor, &fence);
}

TEST(the_term_goes_with_the_order)
{
	start();
	lead(true, 42);
	submit(0, NULL, "web", 0);
	wait_for(1);
	CHECK(outcomes[0].ok);
	CHECK_STR(agent.ebb_term, "42");
	CHECK_INT(leadership.told, 0);
}

TEST(with_one_controller_there_is_no_term)
{
	start();
	lead(true, 0);
	submit(0, NULL, "web", 0);
	wait_for(1);
	CHECK(outcomes[0].ok);
	CHECK_STR(agent.ebb_term, "");
}

TEST(who_does_not_lead_sends_nothing)
{
	start();
	lead(false, 42);
	submit(0, NULL, "web", 0);
	wait_for(1);
	CHECK(!outcomes[0].ok);
	CHECK_INT(outcomes[0].status, ORDER_NOT_SENT);
	CHECK(strstr(outcomes[0].error, "not the leader"));
	CHECK_INT(json_array_size(agent.asked), 0);
}

TEST(a_higher_term_at_an_agent_is_told)
{
	start();
	agent.seen_term = 43;
	lead(true, 42);
	submit(0, NULL, "web", 0);
	wait_for(1);
	CHECK(!outcomes[0].ok);
	CHECK_INT(outcomes[0].status, 409);
	CHECK_INT(leadership.told, 43);
	agent.seen_term = 0;
	/* A conflict of another kind is none. */
	agent.status = 409;
	leadership.told = 0;
	submit(1, NULL, "web", 0);
	wait_for(2);
	CHECK_INT(outcomes[1].status, 409);
	CHECK_INT(leadership.told, 0);
}

TEST_MAIN()
