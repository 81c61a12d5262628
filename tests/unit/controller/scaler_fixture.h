/* SPDX-License-Identifier: Apache-2.0 */
/* The scaler with a model, an executor and the other end of its orders; only the kernel is missing.
 */
#ifndef EBB_TEST_SCALER_FIXTURE_H
#define EBB_TEST_SCALER_FIXTURE_H

#include "scaler.h"

#include "agent_stand_in.h"
#include "test.h"

static struct stand_in agent;
static struct model *model;
static struct audit *audit;
static struct scaler *scaler;
static struct executor *executor;
static struct host *host;
static json_t *decisions;

static inline void release_all(void *arg)
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
static inline void start(void)
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
static inline void settle(void)
{
	struct scaler_stats stats;

	do {
		usleep(1000);
		model_lock(model);
		scaler_get_stats(scaler, &stats);
		model_unlock(model);
	} while (stats.in_flight);
}

static inline void check_adds_up(void)
{
	char *wrong;

	model_lock(model);
	wrong = model_check(model);
	model_unlock(model);
	if (wrong)
		TEST_FAIL("%s", wrong);
}

/* A guarded container with those limits in force, of 20..400 shares and 64..4,096 MiB. */
static inline struct structure *container(const char *name, int cpu, int mem)
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

static inline void ask_with(struct structure *s, enum ebb_resource resource, int64_t amount,
			    int priority, double timestamp)
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

static inline void ask_without_priority(struct structure *s, int64_t amount, double timestamp)
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
static inline void decide(struct structure *s, enum ebb_resource resource, int64_t amount)
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
static inline void ask(struct structure *s, enum ebb_resource resource, int64_t amount)
{
	ask_with(s, resource, amount, 0, wall_seconds());
}

static inline void run(void)
{
	model_lock(model);
	scaler_run(scaler);
	model_unlock(model);
	settle();
}

static inline void ask_and_run(struct structure *s, enum ebb_resource resource, int64_t amount)
{
	model_lock(model);
	ask(s, resource, amount);
	scaler_run(scaler);
	model_unlock(model);
	settle();
}

/* The newest decision's member, as text. */
static inline const char *newest(const char *key)
{
	json_t *value;

	json_decref(decisions);
	decisions = audit_query(audit, NULL, 1);
	value = json_object_get(json_array_get(decisions, 0), key);
	return json_string_value(value) ? json_string_value(value) : "";
}

static inline const char *last_asked(void)
{
	return stand_in_asked(&agent, stand_in_n_asked(&agent) - 1);
}

#endif
