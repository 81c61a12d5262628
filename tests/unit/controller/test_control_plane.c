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
#include "hierarchy.h"
#include "subscription.h"
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

/* Of several structures at once, and of their ranges. */
static void ask_more(void)
{
	unsigned kind = plane_random(&plane, 4); /* a user, an application, a container */
	bool parent = kind < 2, user = kind == 0;
	struct structure *s, *pair;
	struct request request = {0};
	int r;

	s = parent ? plane_parent(&plane, user, plane_random(&plane, 2))
		   : model_structure(plane.model, any_container()->name);
	pair = parent ? plane_parent(&plane, user, plane_random(&plane, 2))
		      : model_structure(plane.model, any_container()->name);
	if (!s)
		return;
	request = (struct request){
		.structure = s,
		.pair = plane_random(&plane, 2) ? pair : NULL,
		.field = plane_random(&plane, 2) ? REQUEST_MAX : REQUEST_CURRENT,
		.resource = any_resource(),
		.timestamp = plane.now,
	};
	request.amount = any_amount(request.resource);
	snprintf(request.origin, sizeof(request.origin), "api");
	r = scaler_request(plane.scaler, &request);
	tell("%+lld of %s %s for %s with %s: %d", (long long)request.amount,
	     request.field == REQUEST_MAX ? "max" : "current", ebb_resource_name(request.resource),
	     s->name, request.pair ? request.pair->name : "nobody", r);
}

static void unsubscribe(void)
{
	unsigned kind = plane_random(&plane, 6);
	struct container *c = any_container();
	struct structure *s = kind < 2 ? plane_parent(&plane, kind == 0, plane_random(&plane, 2))
				       : model_structure(plane.model, c->name);
	int r;

	if (!s)
		return;
	if (kind >= 2)
		c->foreign = true;
	tell("%s is desubscribed", s->name);
	r = desubscribe(plane.model, plane.scaler, s, NULL);
	if (r < 0)
		fail("it cannot be desubscribed: %d", r);
}

/* What was desubscribed is there again. */
static void subscribe_again(void)
{
	struct container *c = any_container();
	struct structure *s = model_structure(plane.model, c->name), *app;
	unsigned i = (unsigned)(c - plane.containers) / 3;

	if (plane_add_parents(&plane) < 0)
		fail("parents cannot be added");
	app = i < 2 ? plane_parent(&plane, false, i) : NULL;
	if (s && app && !hierarchy_parent(s))
		tell("%s joins %s: %d", c->name, app->name,
		     hierarchy_join(plane.model, app, s, NULL));
	app = plane_parent(&plane, false, i % 2);
	if (!hierarchy_parent(app))
		(void)hierarchy_join(plane.model, plane_parent(&plane, true, i % 2), app, NULL);
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

/* Those that are only done in the run with operations. */
#define OF_OPERATIONS 3

static const struct {
	void (*fn)(void);
	unsigned weight;
	bool outside; /* takes the lock itself */
} kinds[] = {
	{ask, 40, false},
	{answer, 40, true},
	{edit, 8, false},
	{guard, 5, false},
	{pass_time, 12, false},
	{come_and_go, 3, false},
	{other_hand, 2, false},
	{agent_restarts, 1, false},
	{connection, 1, false},
	/* Of operations. */
	{ask_more, 20, false},
	{unsubscribe, 1, false},
	{subscribe_again, 3, false},
};

static void step(void)
{
	size_t n_kinds = ARRAY_SIZE(kinds) - (plane.operations ? 0 : OF_OPERATIONS);
	unsigned all = 0, pick;

	for (size_t i = 0; i < n_kinds; i++)
		all += kinds[i].weight;
	/* Rare: it loads everything. */
	if (plane_random(&plane, 400) == 0) {
		controller_restarts();
		return;
	}
	pick = plane_random(&plane, all);
	for (size_t i = 0; i < n_kinds; i++) {
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

/*
 * Agents never have more in force than the host has, whatever dies and whatever is taken back: as
 * long as nobody else writes limits.
 */
static void check_not_overdrawn(unsigned h)
{
	const struct host *host = model_host(plane.model, plane.hosts[h].name);

	for (int r = 0; host && r < 2; r++) {
		int64_t sum = 0;
		bool ours = true;

		for (size_t i = 0; i < CONTAINERS; i++) {
			const struct container *c = &plane.containers[i];
			const struct structure *s = model_structure(plane.model, c->name);

			if (!c->there || c->host != h || !s || s->resources[r].allocated <= 0)
				continue;
			ours &= !c->foreign && s->live;
			sum += MAX(c->limit[r], 0);
		}
		if (ours && sum > host->max[r])
			fail("%s: %s: %lld are in force, of %lld", plane.hosts[h].name,
			     ebb_resource_name(r), (long long)sum, (long long)host->max[r]);
	}
}

static void check_container(const struct container *c)
{
	const struct structure *s = model_structure(plane.model, c->name);

	for (int r = 0; s && r < 2; r++) {
		const struct resource_state *state = &s->resources[r];

		if (state->allocated <= 0)
			continue;
		/* What is away is looked at when it is back. */
		if (s->live && state->max > 0 && state->current > state->max && s->guard &&
		    state->guard && !(s->in_flight & 1u << r))
			fail("%s: %s: current %lld is above max %lld", c->name,
			     ebb_resource_name(r), (long long)state->current,
			     (long long)state->max);
		/* Documents say what was before, until all of an operation is done. */
		if (state->current > state->allocated && !(s->operating & 1u << r))
			fail("%s: %s: current %lld, but only %lld are set aside", c->name,
			     ebb_resource_name(r), (long long)state->current,
			     (long long)state->allocated);
		/* In force is never more than is set aside, but by another hand. */
		if (c->there && !c->foreign && s->live && c->limit[r] > state->allocated &&
		    c->ordered[r] && !(s->operating & 1u << r))
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
	for (size_t i = 0; i < HOSTS; i++) {
		check_host(&plane.hosts[i]);
		check_not_overdrawn((unsigned)i);
	}
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
	struct scaler_stats stats;

	/* Agents tell what has changed, whoever changed it. */
	model_lock(plane.model);
	for (size_t i = 0; plane.operations && i < CONTAINERS; i++)
		if (plane.containers[i].there)
			plane_report(&plane, &plane.containers[i]);
	model_unlock(plane.model);
	if (!plane_settle(&plane))
		fail("orders without an end");
	scaler_get_stats(plane.scaler, &stats);
	if (stats.operations_open)
		fail("%u operations without an end", stats.operations_open);
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
		if (s && (s->in_flight || (s->live && s->operating)))
			fail("%s: operations %x, orders %x without an end", c->name, s->operating,
			     s->in_flight);
		if (s && s->live && c->changed & ~c->told)
			fail("%s: a limit was changed by an order, and nothing is on record",
			     c->name);
		c->changed = c->told = 0;
		c->foreign = !s || s->resources[EBB_CPU].allocated <= 0 ||
			     s->resources[EBB_MEM].allocated <= 0;
	}
}

static uint64_t number_from(const char *variable, uint64_t by_default)
{
	const char *text = getenv(variable);

	return text ? strtoull(text, NULL, 0) : by_default;
}

static void run(bool operations, uint64_t by_default)
{
	uint64_t steps = number_from("EBB_TEST_STEPS", STEPS);

	test_at_end(release, NULL);
	log_set_level(LOG_LEVEL_ERROR);
	CHECK_INT(plane_new(&plane, number_from("EBB_TEST_SEED", by_default)), 0);
	printf("seed 0x%llx (EBB_TEST_SEED)\n", (unsigned long long)plane.seed);
	plane.operations = operations;
	n_told = 0;
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

TEST(random_requests_always_add_up)
{
	run(false, now_ns());
}

/* The same steps each time; EBB_TEST_SEED takes others. */
TEST(random_operations_always_add_up)
{
	run(true, 6);
}

TEST_MAIN()
