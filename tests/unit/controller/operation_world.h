/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A scaler with a model, and agents that exist in memory alone: orders lie there until the test
 * answers them as it likes, and what is in force on each container is what the answers made it.
 */
#ifndef EBB_OPERATION_WORLD_H
#define EBB_OPERATION_WORLD_H

#include <string.h>

#include "hierarchy.h"
#include "memory_store.h"
#include "scaler.h"
#include "scaler_plan.h"
#include "ebb/cleanup.h"
#include "ebb/loop.h"
#include "ebb/util.h"
#include "../../test.h"

#define ORDERS_MAX 256

struct world_order {
	struct order order;
	bool waits;
};

static struct {
	struct model *model;
	struct audit *audit;
	struct scaler *scaler;
	struct world_order orders[ORDERS_MAX];
	size_t n_orders;  /* ever, modulo ORDERS_MAX they are all answered */
	bool no_sink;     /* orders are not taken */
	json_t *in_force; /* name -> resource -> limit */
	struct memory_store memory;
	struct store *store;
	double now;
} world;

static double world_wall(void *userdata)
{
	return world.now;
}

static uint64_t world_now_ns(void *userdata)
{
	return (uint64_t)(world.now * 1e9);
}

static const struct timebase world_time = {world_wall, world_now_ns, NULL};

static int world_submit(void *userdata, struct order *order)
{
	if (world.no_sink)
		return -ESHUTDOWN;
	for (size_t i = 0; i < ORDERS_MAX; i++) {
		if (world.orders[i].waits)
			continue;
		world.orders[i] = (struct world_order){.order = *order, .waits = true};
		world.n_orders++;
		return 0;
	}
	TEST_FAIL("more than %d orders", ORDERS_MAX);
	return -ENOBUFS;
}

static void world_order_clear(struct world_order *order)
{
	free(order->order.address);
	free(order->order.container);
	json_decref(order->order.body);
	*order = (struct world_order){};
}

/* What the agent holds of it; -1: nothing. */
__attribute__((unused)) static int64_t in_force(const char *name, enum ebb_resource resource)
{
	const json_t *limits = json_object_get(world.in_force, name);
	const json_t *limit = json_object_get(limits, ebb_resource_name(resource));

	return limit ? json_integer_value(limit) : -1;
}

static void set_in_force(const char *name, enum ebb_resource resource, int64_t limit)
{
	json_t *limits = json_object_get(world.in_force, name);

	if (!limits) {
		limits = json_object();
		json_object_set_new(world.in_force, name, limits);
	}
	json_object_set_new(limits, ebb_resource_name(resource), json_integer(limit));
}

enum world_answer {
	ANSWER_OK,
	ANSWER_FLOOR,     /* memory does not go below `world_floor` */
	ANSWER_REFUSED,   /* 500 */
	ANSWER_GONE,      /* 404 */
	ANSWER_LOST,      /* no answer, and it was not done */
	ANSWER_LOST_DONE, /* no answer, but it was done */
	ANSWER_NONSENSE,  /* 201, without the limit */
	ANSWER_MAX
};

static int64_t world_floor;

/* Answers order `i` of those that wait. */
static void answer_nth(size_t nth, enum world_answer how)
{
	struct order_result result = {.status = 201, .applied_ns = 1000};
	struct world_order *order = NULL;
	json_t *resources = NULL;
	void *userdata;

	for (size_t i = 0; i < ORDERS_MAX && !order; i++)
		if (world.orders[i].waits && nth-- == 0)
			order = &world.orders[i];
	if (!order)
		TEST_FAIL("no such order");
	for (int r = 0; r < EBB_RESOURCE_MAX; r++) {
		int64_t limit;

		if (scaler_body_limit(order->order.body, r, &limit) < 0)
			continue;
		if (how == ANSWER_FLOOR && r == EBB_MEM && limit < world_floor)
			limit = world_floor;
		if (how <= ANSWER_FLOOR || how == ANSWER_LOST_DONE)
			set_in_force(order->order.container, r, limit);
		if (how <= ANSWER_FLOOR) {
			resources = resources ?: json_object();
			scaler_body_add(resources, r, limit, NULL);
		}
	}
	result.ok = how <= ANSWER_FLOOR || how == ANSWER_NONSENSE;
	result.resources =
		resources ?: (how == ANSWER_NONSENSE ? (resources = json_object()) : NULL);
	if (how == ANSWER_REFUSED)
		result.status = 500;
	else if (how == ANSWER_GONE)
		result.status = 404;
	else if (how == ANSWER_LOST || how == ANSWER_LOST_DONE)
		result.status = 0;
	if (!result.ok)
		snprintf(result.error, sizeof(result.error), "told to");
	userdata = order->order.userdata;
	world_order_clear(order);
	scaler_order_done(world.scaler, userdata, &result);
	json_decref(resources);
}

__attribute__((unused)) static size_t n_waiting(void)
{
	size_t n = 0;

	for (size_t i = 0; i < ORDERS_MAX; i++)
		n += world.orders[i].waits;
	return n;
}

/* The one order that waits for this container. */
__attribute__((unused)) static void answer_for(const char *name, enum world_answer how)
{
	size_t nth = 0;

	for (size_t i = 0; i < ORDERS_MAX; i++) {
		if (!world.orders[i].waits)
			continue;
		if (strcmp(world.orders[i].order.container, name) == 0) {
			answer_nth(nth, how);
			return;
		}
		nth++;
	}
	TEST_FAIL("no order waits for %s", name);
}

__attribute__((unused)) static bool ordered(const char *name)
{
	for (size_t i = 0; i < ORDERS_MAX; i++)
		if (world.orders[i].waits && strcmp(world.orders[i].order.container, name) == 0)
			return true;
	return false;
}

__attribute__((unused)) static void run(void)
{
	model_lock(world.model);
	scaler_run(world.scaler);
	model_unlock(world.model);
}

/* Answers all there is and will be, until nothing happens any more. */
__attribute__((unused)) static void answer_all(enum world_answer how)
{
	for (int turn = 0; turn < 200; turn++) {
		while (n_waiting())
			answer_nth(0, how);
		/* Whatever waits for another try has it now: they are at most 12.5 s apart. */
		world.now += 13;
		run();
		if (!n_waiting())
			return;
	}
	TEST_FAIL("it never ends");
}

__attribute__((unused)) static struct scaler_stats stats(void)
{
	struct scaler_stats result;

	model_lock(world.model);
	scaler_get_stats(world.scaler, &result);
	model_unlock(world.model);
	return result;
}

__attribute__((unused)) static void check_adds_up(void)
{
	char *wrong;

	model_lock(world.model);
	wrong = model_check(world.model);
	model_unlock(world.model);
	if (wrong)
		TEST_FAIL("%s", wrong);
}

static void world_end(void *arg)
{
	struct order_result result = {.status = 0};

	world.no_sink = true;
	for (size_t i = 0; i < ORDERS_MAX; i++) {
		void *userdata = world.orders[i].order.userdata;

		if (!world.orders[i].waits)
			continue;
		world_order_clear(&world.orders[i]);
		scaler_order_done(world.scaler, userdata, &result);
	}
	if (world.scaler)
		scaler_free(world.scaler);
	if (world.audit)
		audit_free(world.audit);
	if (world.store)
		store_close(world.store);
	if (world.model)
		model_free(world.model);
	if (world.in_force)
		memory_store_clear(&world.memory);
	json_decref(world.in_force);
	memset(&world, 0, sizeof(world));
}

/* A controller over what is in the database. */
static void world_boot(void)
{
	CHECK_INT(store_new(&memory_ops, &world.memory, &world.store), 0);
	CHECK_INT(model_new(world.store, &world.model), 0);
	CHECK_INT(store_start(world.store), 0);
	world.model->time = &world_time;
	model_lock(world.model);
	CHECK_INT(model_set_leading(world.model, true), 0);
	model_unlock(world.model);
	CHECK_INT(audit_new(NULL, 4096, &world.audit), 0);
	CHECK_INT(scaler_new(world.model, world.audit, &world.scaler), 0);
	scaler_set_sink(world.scaler, (struct order_sink){world_submit, NULL});
	world.model->scaler.active = true;
	world.model->scaler.request_timeout = 1e9;
	world.model->scaler.pin_cores = true;
	world.model->scaler.check_core_map = true;
}

__attribute__((unused)) static void world_start(void)
{
	test_at_end(world_end, NULL);
	world.now = 1000;
	world.in_force = json_object();
	memory_store_init(&world.memory);
	world_boot();
}

/* Of so many cores and 4,096 MiB. */
static struct host *add_host(const char *name, int cores)
{
	_cleanup_json_ json_t *message = NULL, *cpus = json_array(), *socket = json_object();
	struct host *host;

	for (int i = 0; i < cores; i++) {
		char core[16];

		snprintf(core, sizeof(core), "%d", i);
		json_array_append_new(cpus, json_integer(i));
		json_object_set_new(socket, core, json_pack("[i]", i));
	}
	message = json_pack("{s:s, s:{s:s, s:O, s:I, s:{s:O}}}", "host", name, "register",
			    "address", "http://127.0.0.1:1", "cpus", cpus, "mem",
			    (json_int_t)4096 << 20, "topology", "0", socket);
	model_lock(world.model);
	CHECK_INT(model_register_host(world.model, message, &host), 0);
	host->connected = true;
	host->last_heard = world.now;
	model_unlock(world.model);
	return host;
}

/* Its agent tells of it, with these limits in force. */
static struct structure *register_container(struct host *host, const char *name, int cpu, int mem)
{
	_cleanup_json_ json_t *added = NULL;
	struct structure *s;

	set_in_force(name, EBB_CPU, cpu);
	set_in_force(name, EBB_MEM, mem);
	added = json_pack("{s:i, s:s, s:{s:i, s:s, s:i}}", "c", 1, "name", name, "limits", "cpu",
			  cpu, "cpus", "", "mem", mem);
	model_lock(world.model);
	CHECK_INT(model_register_container(world.model, host, added, &s), 0);
	model_unlock(world.model);
	return s;
}

/* Of 20..400 shares and 64..4,096 MiB, those in force; guarded, so accounted, or not. */
__attribute__((unused)) static struct structure *add_container(struct host *host, const char *name,
							       int cpu, int mem, bool guarded)
{
	struct structure *s = register_container(host, name, cpu, mem);

	model_lock(world.model);
	s->resources[EBB_CPU].max = MIN(host->max[EBB_CPU], (int64_t)400);
	s->resources[EBB_MEM].max = 4096;
	s->automatic = false;
	if (guarded)
		CHECK_INT(model_guard(world.model, s, true, NULL), 0);
	scaler_run(world.scaler);
	model_unlock(world.model);
	if (n_waiting())
		answer_all(ANSWER_OK);
	return s;
}

/* An application (of containers) or a user (of applications); `members` ends with NULL. */
__attribute__((unused)) static struct structure *add_parent(enum structure_subtype subtype,
							    const char *name, int cpu_max,
							    int cpu_min, const char *const *members)
{
	bool user = subtype == STRUCTURE_USER;
	_cleanup_json_ json_t *list = json_array(), *doc = NULL;
	_cleanup_free_ char *error = NULL;
	struct structure *s;

	for (; *members; members++)
		json_array_append_new(list, json_string(*members));
	doc = json_pack("{s:s, s:s, s:s, s:O, s:{s:{s:i, s:i}, s:{s:i, s:i}}}", "type", "structure",
			"subtype", structure_subtype_name(subtype), "name", name,
			user ? "clusters" : "containers", list, "resources", "cpu", "max", cpu_max,
			"min", cpu_min, "mem", "max", 8192, "min", 64);
	if ((user ? user_from_json(doc, NULL, &s, &error)
		  : structure_from_json(doc, NULL, &s, &error)) < 0)
		TEST_FAIL("%s: %s", name, error);
	model_lock(world.model);
	CHECK_INT(model_add(world.model, s), 0);
	model_unlock(world.model);
	return s;
}

/* It dies as it stands, and another begins where the database left off. Agents register next. */
__attribute__((unused)) static void world_crash(void)
{
	json_t *documents[DB_MAX], *limits;
	double now = world.now;

	CHECK_INT(store_flush(world.store), 0);
	for (int i = 0; i < DB_MAX; i++)
		documents[i] = json_deep_copy(world.memory.documents[i]);
	limits = json_incref(world.in_force);
	world_end(NULL);
	memory_store_init(&world.memory);
	for (int i = 0; i < DB_MAX; i++) {
		json_decref(world.memory.documents[i]);
		world.memory.documents[i] = documents[i];
	}
	world.in_force = limits;
	world.now = now;
	world_boot();
}

/* Without a turn of the scaler. */
static int ask_only(struct structure *s, struct structure *pair, enum request_field field,
		    enum ebb_resource resource, int64_t amount)
{
	struct request request = {
		.structure = s,
		.pair = pair,
		.field = field,
		.resource = resource,
		.amount = amount,
		.timestamp = world.now,
		.origin = "test",
	};
	int r;

	model_lock(world.model);
	r = scaler_request(world.scaler, &request);
	model_unlock(world.model);
	return r;
}

__attribute__((unused)) static void ask(struct structure *s, struct structure *pair,
					enum request_field field, int64_t amount)
{
	CHECK_INT(ask_only(s, pair, field, EBB_CPU, amount), 0);
	run();
}

/* A member of the newest decision about it; "" when there is none. The text lives until the next
 * call. */
__attribute__((unused)) static const char *newest(const char *name, const char *key)
{
	static char text[512];
	_cleanup_json_ json_t *decisions = audit_query(world.audit, name, 1);
	const json_t *value = json_object_get(json_array_get(decisions, 0), key);

	if (json_is_integer(value))
		snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(value));
	else
		snprintf(text, sizeof(text), "%s", json_string_value(value) ?: "");
	return text;
}

#endif
