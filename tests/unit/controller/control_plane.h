/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A controller of which only the ends are stand-ins: virtual time, agents that remember what they
 * were told, a store in memory. Everything here is done by one thread.
 */
#ifndef EBB_TEST_CONTROL_PLANE_H
#define EBB_TEST_CONTROL_PLANE_H

#include "audit.h"
#include "memory_store.h"
#include "model.h"
#include "scaler.h"
#include "scaler_plan.h"
#include "ebb/cleanup.h"
#include "ebb/units.h"
#include "ebb/util.h"

#define HOSTS      2
#define CONTAINERS 10
#define CORES      8
#define MEM_MIB    8192
#define BOOT_NS    (1000 * EBB_NS_PER_SEC)

/* What becomes of an order. */
enum answer {
	ANSWER_DONE,
	ANSWER_REFUSED,   /* 500, nothing done */
	ANSWER_LOST,      /* done, but nobody hears of it */
	ANSWER_NOT_DONE,  /* nobody hears of it, and nothing was done */
	ANSWER_NOT_THERE, /* 404 */
	ANSWER_MAX
};

static const char *answer_name(enum answer answer)
{
	static const char *const names[] = {"done", "refused", "done, answer lost", "lost",
					    "not there"};

	return names[answer];
}

struct agent {
	char name[16];
};

struct container {
	char name[16];
	unsigned host;
	bool there;
	int64_t limit[EBB_RESOURCE_MAX]; /* in force; -1: none */
	bool ordered[EBB_RESOURCE_MAX];  /* by us, the last time */
	/* 1 << resource, since all was settled: by an order; and in the audit. */
	unsigned changed, told;
	bool foreign; /* somebody else wrote one, or it was nobody's, since all was settled */
};

struct given {
	struct given *next;
	struct order order;
	bool dead; /* its container has stopped meanwhile */
};

struct plane {
	uint64_t seed, random;
	unsigned long step, n_orders, n_decisions, n_applied;
	double now;
	struct timebase time;
	struct memory_store memory;
	struct store_backend_ops ops;
	struct store *store;
	struct model *model;
	struct audit *audit;
	struct scaler *scaler;
	struct agent hosts[HOSTS];
	struct container containers[CONTAINERS];
	struct given *orders;
	/* The order that is being answered, and what the audit says of it. */
	const struct order *answering;
	enum answer how;
	unsigned explained; /* 1 << resource */
	char unexplained[1024];
	bool operations; /* over several structures: they are on record when they are over */
	bool ending;     /* takes no orders any more */
	/* The last operation in the audit, and whether it was done. */
	json_int_t operation;
	bool operation_done;
};

/* In place of the library's, so that a run can be repeated: delays have some of it in them. */
static uint64_t plane_noise = 1;

uint64_t random_u64(void)
{
	plane_noise = plane_noise * 6364136223846793005ULL + 1442695040888963407ULL;
	return plane_noise >> 16;
}

static unsigned plane_random(struct plane *plane, unsigned below)
{
	plane->random ^= plane->random >> 12;
	plane->random ^= plane->random << 25;
	plane->random ^= plane->random >> 27;
	return (unsigned)((plane->random * 0x2545f4914f6cdd1dULL) >> 33) % below;
}

static double plane_wall(void *userdata)
{
	return ((struct plane *)userdata)->now;
}

static uint64_t plane_ns(void *userdata)
{
	return BOOT_NS + (uint64_t)(((struct plane *)userdata)->now * 1e9);
}

static struct container *plane_container(struct plane *plane, const char *name)
{
	for (size_t i = 0; i < CONTAINERS; i++)
		if (strcmp(plane->containers[i].name, name) == 0)
			return &plane->containers[i];
	return NULL;
}

/* Each part of the order that is being answered is told of in the audit, once, and as it went. */
static void plane_decided(void *userdata, const struct decision *decision)
{
	struct plane *plane = userdata;
	bool applied = strcmp(decision->outcome, "applied") == 0 ||
		       strcmp(decision->outcome, "partial") == 0;
	bool failed = strcmp(decision->outcome, "failed") == 0;
	struct container *c = plane_container(plane, decision->structure);
	int64_t ordered;

	plane->n_decisions++;
	if (decision->grounds.has_plan && decision->planned >= 0 &&
	    grounds_plan(&decision->grounds).target != decision->planned)
		snprintf(plane->unexplained, sizeof(plane->unexplained),
			 "%s: %s: planned %lld, and %lld from what is on record",
			 decision->structure, ebb_resource_name(decision->resource),
			 (long long)decision->planned,
			 (long long)grounds_plan(&decision->grounds).target);
	plane->n_applied += applied;
	/* All of it or nothing. */
	if (decision->operation && plane->operation == (json_int_t)decision->operation &&
	    plane->operation_done != applied)
		snprintf(plane->unexplained, sizeof(plane->unexplained),
			 "%s: %s: operation %llu is %s, and was not for others",
			 decision->structure, ebb_resource_name(decision->resource),
			 (unsigned long long)decision->operation, decision->outcome);
	if (decision->operation) {
		plane->operation = (json_int_t)decision->operation;
		plane->operation_done = applied;
	}
	if (c && (applied || failed || strcmp(decision->outcome, "rolled back") == 0))
		c->told |= 1u << decision->resource;
	if (plane->operations || !plane->answering || (!applied && !failed) ||
	    strcmp(decision->structure, plane->answering->container) != 0 ||
	    scaler_body_limit(plane->answering->body, decision->resource, &ordered) < 0)
		return;
	if (plane->explained & 1u << decision->resource)
		return;
	plane->explained |= 1u << decision->resource;
	if (applied != (plane->how == ANSWER_DONE) || (applied && decision->applied != ordered))
		snprintf(plane->unexplained, sizeof(plane->unexplained),
			 "%s: %s: the audit says %s %lld, the order was %lld and %s",
			 decision->structure, ebb_resource_name(decision->resource),
			 decision->outcome, (long long)decision->applied, (long long)ordered,
			 answer_name(plane->how));
}

static int plane_submit(void *userdata, struct order *order)
{
	struct plane *plane = userdata;
	struct given **link = &plane->orders, *given;

	if (plane->ending)
		return -ESHUTDOWN;
	given = calloc(1, sizeof(*given));
	if (!given)
		return -ENOMEM;
	given->order = *order;
	while (*link)
		link = &(*link)->next;
	*link = given;
	plane->n_orders++;
	return 0;
}

/* What was sent to it is for nobody any more. */
static void plane_gone(struct plane *plane, struct container *c)
{
	c->there = false;
	for (struct given *given = plane->orders; given; given = given->next)
		given->dead |= strcmp(given->order.container, c->name) == 0;
}

static void plane_drop(struct given *given)
{
	free(given->order.address);
	free(given->order.container);
	json_decref(given->order.body);
	free(given);
}

/* --- agents --- */

static json_t *plane_limits(const struct container *c)
{
	return json_pack("{s:I, s:s, s:I}", "cpu", (json_int_t)c->limit[EBB_CPU], "cpus", "0-7",
			 "mem", (json_int_t)c->limit[EBB_MEM]);
}

/* Lock held. */
static void plane_report(struct plane *plane, struct container *c)
{
	struct structure *s = model_structure(plane->model, c->name);
	_cleanup_json_ json_t *limits = plane_limits(c);

	if (s && s->live)
		scaler_limits_reported(plane->scaler, s, limits, plane->now);
}

/* Lock held. */
static void plane_add(struct plane *plane, struct container *c)
{
	struct host *host = model_host(plane->model, plane->hosts[c->host].name);
	json_t *limits = plane_limits(c);
	_cleanup_json_ json_t *added = json_pack("{s:s, s:o}", "name", c->name, "limits", limits);
	struct structure *s = model_structure(plane->model, c->name);

	for (int r = 0; s && r < 2; r++)
		c->foreign |= s->resources[r].allocated <= 0;
	if (host)
		(void)model_register_container(plane->model, host, added, &s);
}

/* Lock held. */
static void plane_start(struct plane *plane, struct container *c)
{
	/* Another cgroup of the same name, perhaps elsewhere. */
	if (plane_random(plane, 4) == 0)
		c->host = plane_random(plane, HOSTS);
	c->there = true;
	c->foreign = true;
	for (int r = 0; r < 2; r++) {
		c->ordered[r] = false;
		c->limit[r] = plane_random(plane, 2) ? -1 : r ? 512 : 100;
	}
	plane_add(plane, c);
}

/* Lock held. */
static void plane_stop(struct plane *plane, struct container *c)
{
	struct structure *s = model_structure(plane->model, c->name);

	plane_gone(plane, c);
	if (!s)
		return;
	scaler_forget(plane->scaler, s);
	model_container_gone(plane->model, s);
}

/* Lock held. As an agent that has just started: all that it finds. */
static void plane_register(struct plane *plane, struct agent *agent)
{
	json_t *cpus = json_array(), *cores = json_object();
	_cleanup_json_ json_t *message = NULL;
	struct host *host;

	for (int i = 0; i < CORES; i++) {
		char core[8];

		snprintf(core, sizeof(core), "%d", i);
		json_array_append_new(cpus, json_integer(i));
		json_object_set_new(cores, core, json_pack("[i]", i));
	}
	message = json_pack("{s:s, s:{s:s, s:o, s:I, s:{s:o}}}", "host", agent->name, "register",
			    "address", "http://127.0.0.1:1", "cpus", cpus, "mem",
			    (json_int_t)MEM_MIB << 20, "topology", "0", cores);
	if (model_register_host(plane->model, message, &host) < 0)
		return;
	host->connected = true;
	host->last_heard = plane->now;
	for (size_t i = 0; i < CONTAINERS; i++)
		if (plane->containers[i].there && &plane->hosts[plane->containers[i].host] == agent)
			plane_add(plane, &plane->containers[i]);
	model_host_registered(plane->model, host);
}

/* What the agent does with it. */
static void plane_carry_out(struct plane *plane, struct given *given)
{
	struct container *c = plane_container(plane, given->order.container);

	for (int r = 0; c && c->there && r < EBB_RESOURCE_MAX; r++) {
		int64_t limit;

		if (scaler_body_limit(given->order.body, r, &limit) < 0)
			continue;
		if (c->limit[r] != limit)
			c->changed |= 1u << r;
		c->limit[r] = limit;
		c->ordered[r] = true;
	}
}

/* The oldest order. */
static void plane_answer(struct plane *plane, enum answer how)
{
	struct given *given = plane->orders;
	struct container *c = plane_container(plane, given->order.container);
	struct order_result result = {.status = 201, .applied_ns = plane_ns(plane)};

	if (given->dead || (c && !c->there))
		how = ANSWER_NOT_THERE;
	if (how == ANSWER_DONE || how == ANSWER_LOST)
		plane_carry_out(plane, given);
	result.ok = how == ANSWER_DONE;
	if (how == ANSWER_DONE)
		result.resources = given->order.body;
	else
		result.status = how == ANSWER_REFUSED ? 500 : how == ANSWER_NOT_THERE ? 404 : 0;
	snprintf(result.error, sizeof(result.error), "%s", answer_name(how));
	/* Told that it is not there, the controller takes it for gone. */
	plane->orders = given->next;
	if (how == ANSWER_NOT_THERE && c && !given->dead)
		plane_gone(plane, c);
	plane->answering = &given->order;
	plane->how = how;
	plane->explained = 0;
	scaler_order_done(plane->scaler, given->order.userdata, &result);
	for (int r = 0; r < EBB_RESOURCE_MAX && !plane->operations; r++)
		if (json_object_get(given->order.body, ebb_resource_name(r)) &&
		    !(plane->explained & 1u << r))
			snprintf(plane->unexplained, sizeof(plane->unexplained),
				 "%s: %s: an order was %s, and the audit says nothing",
				 given->order.container, ebb_resource_name(r), answer_name(how));
	plane->answering = NULL;
	plane_drop(given);
}

/* False: it never ends. */
static bool plane_settle(struct plane *plane)
{
	/* Long enough for what waits to be tried again, or to expire. */
	for (int i = 0; i < 40; i++) {
		for (int n = 0; plane->orders; n++) {
			if (n > 1000)
				return false;
			plane_answer(plane, ANSWER_DONE);
		}
		plane->now += 5;
		model_lock(plane->model);
		scaler_run(plane->scaler);
		model_unlock(plane->model);
	}
	return !plane->orders;
}

/* --- the controller --- */

static struct structure *plane_parent(struct plane *plane, bool user, unsigned i)
{
	char name[16];

	snprintf(name, sizeof(name), user ? "user%u" : "app%u", i);
	return user ? model_user(plane->model, name) : model_structure(plane->model, name);
}

/* Lock held. Those of user0 { app0 { c0 c1 c2 } } and user1 { app1 { c3 c4 c5 } } that are not
 * there; the other containers are nobody's. */
static int plane_add_parent(struct plane *plane, bool user, unsigned i)
{
	_cleanup_json_ json_t *doc = NULL;
	json_t *names = json_array();
	struct structure *s;
	char name[16];
	int r;

	for (unsigned j = 0; j < (user ? 1 : 3); j++) {
		snprintf(name, sizeof(name), user ? "app%u" : "c%u", user ? i : 3 * i + j);
		json_array_append_new(names, json_string(name));
	}
	snprintf(name, sizeof(name), user ? "user%u" : "app%u", i);
	doc = json_pack("{s:s, s:s, s:s, s:b, s:s, s:o, s:{s:{s:i, s:i, s:b}, s:{s:i, s:i, s:b}}}",
			"type", "structure", "subtype", user ? "user" : "application", "name", name,
			"guard", 0, "state", "running", user ? "clusters" : "containers", names,
			"resources", "cpu", "max", 1500, "min", 50, "guard", 0, "mem", "max", 9000,
			"min", 300, "guard", 0);
	r = user ? user_from_json(doc, NULL, &s, NULL) : structure_from_json(doc, NULL, &s, NULL);
	return r >= 0 ? model_add(plane->model, s) : r;
}

static int plane_add_parents(struct plane *plane)
{
	for (unsigned i = 0; i < 4; i++) {
		bool user = i >= 2;
		int r = plane_parent(plane, user, i % 2) ? 0 : plane_add_parent(plane, user, i % 2);

		if (r < 0)
			return r;
	}
	return 0;
}

static int plane_boot(struct plane *plane)
{
	int r;

	r = store_new(&plane->ops, &plane->memory, &plane->store);
	if (r >= 0)
		r = model_new(plane->store, &plane->model);
	if (r >= 0)
		r = store_start(plane->store);
	if (r < 0)
		return r;
	plane->model->time = &plane->time;
	r = audit_new(NULL, 16, &plane->audit);
	if (r >= 0)
		r = scaler_new(plane->model, plane->audit, &plane->scaler);
	if (r < 0)
		return r;
	audit_observe(plane->audit, plane_decided, plane);
	scaler_set_sink(plane->scaler, (struct order_sink){plane_submit, plane});
	model_lock(plane->model);
	r = plane_add_parents(plane);
	for (size_t i = 0; i < HOSTS; i++)
		plane_register(plane, &plane->hosts[i]);
	model_unlock(plane->model);
	return r;
}

static void plane_shut_down(struct plane *plane)
{
	scaler_free(TAKE_PTR(plane->scaler));
	audit_free(TAKE_PTR(plane->audit));
	if (plane->model)
		model_free(TAKE_PTR(plane->model));
	if (plane->store)
		store_close(TAKE_PTR(plane->store));
}

/* Orders that were sent arrive, or never; nobody hears of it, if only because of being killed. */
static void plane_end_orders(struct plane *plane, bool killed)
{
	struct store *store = plane->model->store;

	if (killed)
		plane->model->store = NULL;
	plane->ending = true;
	while (plane->orders) {
		struct given *given = plane->orders;

		plane->orders = given->next;
		if (!given->dead && plane_random(plane, 2))
			plane_carry_out(plane, given);
		scaler_order_done(plane->scaler, given->order.userdata,
				  &(struct order_result){.error = "the controller ends"});
		plane_drop(given);
	}
	plane->model->store = store;
	plane->ending = false;
	/* Nobody was there to write down what it did. */
	for (size_t i = 0; i < CONTAINERS; i++)
		plane->containers[i].changed = 0;
	plane->operation = 0;
}

static void plane_restart(struct plane *plane)
{
	bool killed = plane_random(plane, 2);

	plane_end_orders(plane, killed);
	plane_shut_down(plane);
	plane->now += 1;
	if (plane_boot(plane) < 0)
		abort();
}

static int plane_new(struct plane *plane, uint64_t seed)
{
	memset(plane, 0, sizeof(*plane));
	plane->seed = plane->random = plane_noise = seed ? seed : 1;
	plane->now = 1000;
	plane->time = (struct timebase){plane_wall, plane_ns, plane};
	plane->ops = memory_ops;
	plane->ops.follow = NULL;
	pthread_mutex_init(&plane->memory.lock, NULL);
	for (int i = 0; i < DB_MAX; i++)
		plane->memory.documents[i] = json_object();
	for (unsigned i = 0; i < HOSTS; i++)
		snprintf(plane->hosts[i].name, sizeof(plane->hosts[i].name), "h%u", i);
	for (unsigned i = 0; i < CONTAINERS; i++) {
		struct container *c = &plane->containers[i];

		snprintf(c->name, sizeof(c->name), "c%u", i);
		c->host = i % HOSTS;
		c->there = true;
		c->foreign = true;
		c->limit[EBB_CPU] = c->limit[EBB_MEM] = -1;
	}
	return plane_boot(plane);
}

static void plane_free(struct plane *plane)
{
	if (plane->scaler)
		plane_end_orders(plane, true);
	plane_shut_down(plane);
	for (int i = 0; i < DB_MAX; i++)
		json_decref(plane->memory.documents[i]);
	pthread_mutex_destroy(&plane->memory.lock);
	memset(plane, 0, sizeof(*plane));
}

#endif
