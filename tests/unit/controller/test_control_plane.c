/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control plane against a small model of it: random series of requests, edits, failures and
 * restarts, on hosts whose agents only remember what they were told. After each step it must add
 * up: every core to 100, what is free and what is held to the max, no more in force than is set
 * aside, no limit outside of its range, every change of a limit in the audit. EBB_TEST_SEED repeats
 * a run, EBB_TEST_STEPS makes it longer.
 */
#include "scaler.h"

#include <errno.h>
#include <stdarg.h>

#include "control_plane.h"
#include "../../test.h"
#include "ebb/log.h"
#include "ebb/loop.h"

#define STEPS     100000
#define SETTLE_AT 200 /* steps between two moments at which all work is done */
#define TOLD      40

static struct plane plane;
static char told[TOLD][160]; /* the last steps, for a failure */
static unsigned n_told;

static void release(void *unused)
{
	plane_free(&plane);
}

__attribute__((format(printf, 1, 2))) static void tell(const char *format, ...)
{
	char *text = told[n_told++ % TOLD];
	int n = snprintf(text, sizeof(told[0]), "%lu: ", plane.step);
	va_list args;

	va_start(args, format);
	vsnprintf(text + n, sizeof(told[0]) - (size_t)n, format, args);
	va_end(args);
}

__attribute__((format(printf, 1, 2))) static void fail(const char *format, ...)
{
	char text[1200];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	for (unsigned i = n_told > TOLD ? n_told - TOLD : 0; i < n_told; i++)
		fprintf(stderr, "  %s\n", told[i % TOLD]);
	TEST_FAIL("seed 0x%llx (EBB_TEST_SEED), step %lu: %s", (unsigned long long)plane.seed,
		  plane.step, text);
}

/* --- steps --- */

static struct container *any_container(void)
{
	return &plane.containers[plane_random(&plane, CONTAINERS)];
}

static enum ebb_resource any_resource(void)
{
	return plane_random(&plane, 3) ? EBB_CPU : EBB_MEM;
}

static int64_t any_amount(enum ebb_resource resource)
{
	int64_t most = resource == EBB_CPU ? 150 : 1500;
	int64_t amount = 1 + (int64_t)plane_random(&plane, (unsigned)most);

	return plane_random(&plane, 2) ? amount : -amount;
}

static void ask(void)
{
	struct container *c = any_container();
	struct structure *s = model_structure(plane.model, c->name);
	struct request request = {.structure = s, .resource = any_resource()};

	request.amount = any_amount(request.resource);
	request.priority = (int)plane_random(&plane, 3) - 1;
	request.timestamp = plane.now;
	snprintf(request.origin, sizeof(request.origin), "%s",
		 plane_random(&plane, 2) ? "guardian" : "api");
	tell("%s asks for %+lld of %s for %s", request.origin, (long long)request.amount,
	     ebb_resource_name(request.resource), c->name);
	if (s && s->subtype == STRUCTURE_CONTAINER)
		(void)scaler_request(plane.scaler, &request);
}

static void edit(void)
{
	static const char *const params[] = {"max", "min", "max", "weight"};
	struct container *c = any_container();
	struct structure *s = model_structure(plane.model, c->name);
	const char *param = params[plane_random(&plane, 4)];
	enum ebb_resource resource = any_resource();
	double value = (double)plane_random(&plane, resource == EBB_CPU ? 500 : 5000);
	int r;

	if (strcmp(param, "min") == 0)
		value = floor(value / 4);
	if (!s)
		return;
	r = model_set_parameter(plane.model, s, resource, param, value, NULL);
	tell("%s %s of %s is set to %g: %d", ebb_resource_name(resource), param, c->name, value, r);
}

static void guard(void)
{
	struct container *c = any_container();
	struct structure *s = model_structure(plane.model, c->name);
	bool on = plane_random(&plane, 3) != 0;
	int r;

	if (!s)
		return;
	for (int i = 0; i < 2; i++)
		c->foreign |= s->resources[i].allocated <= 0;
	r = model_guard(plane.model, s, on, NULL);
	tell("%s is %sguarded: %d", c->name, on ? "" : "un", r);
	if (r >= 0 && !on)
		scaler_unguarded(plane.scaler, s);
}

static void pass_time(void)
{
	double seconds = plane_random(&plane, 10) ? plane_random(&plane, 1000) / 1000.0
						  : plane_random(&plane, 20000) / 1000.0;

	plane.now += seconds;
	tell("%g s pass", seconds);
}

static void come_and_go(void)
{
	struct container *c = any_container();

	if (c->there) {
		tell("%s stops on %s", c->name, plane.hosts[c->host].name);
		plane_stop(&plane, c);
	} else {
		tell("%s starts on %s", c->name, plane.hosts[c->host].name);
		plane_start(&plane, c);
	}
}

static void other_hand(void)
{
	struct container *c = any_container();
	enum ebb_resource resource = any_resource();

	if (!c->there)
		return;
	c->limit[resource] = plane_random(&plane, 4) ? 64 + (int64_t)plane_random(&plane, 600) : -1;
	c->foreign = true;
	tell("somebody sets %s of %s to %lld", ebb_resource_name(resource), c->name,
	     (long long)c->limit[resource]);
	plane_report(&plane, c);
}

static void agent_restarts(void)
{
	struct agent *agent = &plane.hosts[plane_random(&plane, HOSTS)];

	tell("the agent of %s restarts", agent->name);
	plane_register(&plane, agent);
}

static void connection(void)
{
	struct agent *agent = &plane.hosts[plane_random(&plane, HOSTS)];
	struct host *host = model_host(plane.model, agent->name);

	if (!host)
		return;
	host->connected = !host->connected;
	tell("%s is %sconnected", agent->name, host->connected ? "" : "dis");
}

static void controller_restarts(void)
{
	tell("the controller restarts");
	plane_restart(&plane);
}

static void answer(void)
{
	enum answer how = plane_random(&plane, 5) ? ANSWER_DONE
						  : (enum answer)plane_random(&plane, ANSWER_MAX);
	const char *name = plane.orders ? plane.orders->order.container : NULL;

	if (!name)
		return;
	tell("the order for %s: %s", name, answer_name(how));
	plane_answer(&plane, how);
}

static const struct {
	void (*fn)(void);
	unsigned weight;
	bool outside; /* takes the lock itself */
} kinds[] = {
	{ask, 40, false},       {answer, 40, true},         {edit, 8, false},
	{guard, 5, false},      {pass_time, 12, false},     {come_and_go, 3, false},
	{other_hand, 2, false}, {agent_restarts, 1, false}, {connection, 1, false},
};

static void step(void)
{
	unsigned all = 0, pick;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		all += kinds[i].weight;
	/* Rare: it loads everything. */
	if (plane_random(&plane, 400) == 0) {
		controller_restarts();
		return;
	}
	pick = plane_random(&plane, all);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (pick >= kinds[i].weight) {
			pick -= kinds[i].weight;
			continue;
		}
		if (!kinds[i].outside)
			model_lock(plane.model);
		kinds[i].fn();
		if (!kinds[i].outside)
			model_unlock(plane.model);
		break;
	}
	model_lock(plane.model);
	scaler_run(plane.scaler);
	model_unlock(plane.model);
}

/* --- what must hold --- */

/* From the documents alone, as somebody reads them who knows nothing of the code. */
static void check_host(const struct agent *agent)
{
	struct structure *s = model_structure(plane.model, agent->name);
	_cleanup_json_ json_t *doc = s ? structure_to_json(s) : NULL;
	json_t *cpu = json_object_get(json_object_get(doc, "resources"), "cpu");
	json_t *mem = json_object_get(json_object_get(doc, "resources"), "mem");
	json_int_t held[2] = {0, 0}, unowned = 0, owned = 0;
	const char *id, *owner;
	json_t *core, *shares;

	if (!s)
		return;
	json_object_foreach(json_object_get(cpu, "core_usage_mapping"), id, core) {
		json_int_t sum = 0;

		json_object_foreach(core, owner, shares) {
			sum += json_integer_value(shares);
			if (json_integer_value(shares) < 0)
				fail("core %s of %s: %s has less than nothing", id, agent->name,
				     owner);
			if (strcmp(owner, "free") == 0)
				unowned += json_integer_value(shares);
			else
				owned += json_integer_value(shares);
		}
		if (sum != 100)
			fail("core %s of %s sums to %lld", id, agent->name, (long long)sum);
	}
	for (size_t i = 0; i < CONTAINERS; i++) {
		struct structure *c = model_structure(plane.model, plane.containers[i].name);

		if (c && c->host_name && strcmp(c->host_name, agent->name) == 0) {
			held[0] += c->resources[EBB_CPU].allocated;
			held[1] += c->resources[EBB_MEM].allocated;
		}
	}
	if (json_integer_value(json_object_get(cpu, "free")) != unowned || owned != held[0])
		fail("%s: %lld shares free, %lld by the cores; %lld held, %lld by the cores",
		     agent->name, (long long)json_integer_value(json_object_get(cpu, "free")),
		     (long long)unowned, (long long)held[0], (long long)owned);
	for (int i = 0; i < 2; i++) {
		json_int_t max = json_integer_value(json_object_get(i ? mem : cpu, "max"));
		json_int_t left = json_integer_value(json_object_get(i ? mem : cpu, "free"));

		if (left < 0 || left != max - held[i])
			fail("%s: %s: %lld free is not %lld - %lld", agent->name, i ? "mem" : "cpu",
			     (long long)left, (long long)max, (long long)held[i]);
	}
}

static void check_container(const struct container *c)
{
	const struct structure *s = model_structure(plane.model, c->name);

	for (int r = 0; s && r < 2; r++) {
		const struct resource_state *state = &s->resources[r];

		if (state->allocated <= 0)
			continue;
		if (state->max > 0 && state->current > state->max && s->guard && state->guard &&
		    !(s->in_flight & 1u << r))
			fail("%s: %s: current %lld is above max %lld", c->name,
			     ebb_resource_name(r), (long long)state->current,
			     (long long)state->max);
		if (state->current > state->allocated)
			fail("%s: %s: current %lld, but only %lld are set aside", c->name,
			     ebb_resource_name(r), (long long)state->current,
			     (long long)state->allocated);
		/* In force is never more than is set aside, but by another hand. */
		if (c->there && !c->foreign && s->live && c->limit[r] > state->allocated &&
		    c->ordered[r])
			fail("%s: %s: %lld in force, but only %lld are set aside", c->name,
			     ebb_resource_name(r), (long long)c->limit[r],
			     (long long)state->allocated);
	}
}

static void check(void)
{
	_cleanup_free_ char *wrong = NULL;

	model_lock(plane.model);
	wrong = model_check(plane.model);
	if (wrong)
		fail("%s", wrong);
	for (size_t i = 0; i < HOSTS; i++)
		check_host(&plane.hosts[i]);
	for (size_t i = 0; i < CONTAINERS; i++)
		check_container(&plane.containers[i]);
	model_unlock(plane.model);
	if (plane.unexplained[0])
		fail("%s", plane.unexplained);
}

/* When nothing is under way any more, what is in force is what is on record and set aside. */
static void check_settled(void)
{
	for (size_t i = 0; i < HOSTS; i++) {
		struct host *host = model_host(plane.model, plane.hosts[i].name);

		if (host)
			host->connected = true;
	}
	if (!plane_settle(&plane))
		fail("orders without an end");
	for (size_t i = 0; i < CONTAINERS; i++) {
		struct container *c = &plane.containers[i];
		const struct structure *s = model_structure(plane.model, c->name);

		for (int r = 0; s && s->live && r < 2; r++) {
			const struct resource_state *state = &s->resources[r];

			if (state->allocated <= 0 || !s->guard || !state->guard)
				continue;
			if (state->current != state->allocated || c->limit[r] != state->current)
				fail("%s: %s: %lld on record, %lld set aside, %lld in force",
				     c->name, ebb_resource_name(r), (long long)state->current,
				     (long long)state->allocated, (long long)c->limit[r]);
		}
		c->foreign = false;
	}
}

static uint64_t number_from(const char *variable, uint64_t by_default)
{
	const char *text = getenv(variable);

	return text ? strtoull(text, NULL, 0) : by_default;
}

TEST(random_operations_always_add_up)
{
	uint64_t steps = number_from("EBB_TEST_STEPS", STEPS);

	test_at_end(release, NULL);
	log_set_level(LOG_LEVEL_ERROR);
	CHECK_INT(plane_new(&plane, number_from("EBB_TEST_SEED", now_ns())), 0);
	printf("seed 0x%llx (EBB_TEST_SEED)\n", (unsigned long long)plane.seed);
	for (plane.step = 1; plane.step <= steps; plane.step++) {
		step();
		check();
		if (plane.step % SETTLE_AT == 0) {
			check_settled();
			check();
		}
	}
	printf("# %lu orders, %lu decisions, %lu applied\n", plane.n_orders, plane.n_decisions,
	       plane.n_applied);
	CHECK(plane.n_applied > steps / 20);
}

TEST_MAIN()
