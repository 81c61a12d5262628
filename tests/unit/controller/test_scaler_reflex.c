/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an agent raises by itself, in the controller's accounts: against an agent that keeps to the
 * rules of docs/feed.md, with messages, orders and answers that come late, twice or never.
 */
#include "headroom.h"
#include "scaler.h"
#include "scaler_plan.h"
#include "seed.h"
#include "ebb/cleanup.h"
#include "ebb/util.h"
#include "../../test.h"

#define N       4
#define SHARES  400
#define MEM_MIB 4096

struct given {
	struct given *next;
	struct order order;
	bool arrived, done; /* at the agent, whose answer may come later; done there */
	uint64_t at_ns;
};

static struct model *model;
static struct audit *audit;
static struct scaler *scaler;
static struct given *orders;
static struct structure *web[N];
static struct host *host;
static uint64_t random_state, clock_ns;

/* The agent. */
static struct {
	int64_t limit[N][2];
	uint64_t grown[N][2]; /* number of the last growth */
	bool pending[N][2];
	int64_t from[N][2];
	uint64_t last[2];
	int64_t pool[2];
	uint64_t number, accounts;
	bool leased;
	bool changed[N]; /* limits that are to be told */
} agent;

static uint64_t any(uint64_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (random_state >> 11) % below;
}

/* In place of the library's: also how long is waited before a try is then the seed's. */
uint64_t random_u64(void)
{
	return any(UINT64_MAX);
}

static void drop(struct given *given)
{
	free(given->order.address);
	free(given->order.container);
	json_decref(given->order.body);
	free(given);
}

static void release_all(void *arg)
{
	while (orders) {
		struct given *given = orders;

		orders = given->next;
		drop(given);
	}
	if (scaler)
		scaler_free(TAKE_PTR(scaler));
	if (audit)
		audit_free(TAKE_PTR(audit));
	if (model)
		model_free(TAKE_PTR(model));
}

static int submit(void *userdata, struct order *order)
{
	struct given **link = &orders, *given = calloc(1, sizeof(*given));

	if (!given)
		return -1;
	given->order = *order;
	while (*link)
		link = &(*link)->next;
	*link = given;
	return 0;
}

/* The controller's time: it goes on only when the test says so. */
static uint64_t controller_ns;

static uint64_t controller_now(void *userdata)
{
	return controller_ns;
}

static double controller_wall(void *userdata)
{
	return 1e9 + (double)controller_ns / 1e9;
}

static const struct timebase controller_time = {
	.wall = controller_wall,
	.now_ns = controller_now,
};

static void pass_ms(uint64_t ms)
{
	controller_ns += ms * 1000000;
}

static uint64_t tick(void)
{
	return clock_ns += 1000000;
}

/* The limits that the agent has, as its registration tells them. */
static void registers(void)
{
	json_t *message =
		json_pack("{s:s, s:I, s:{s:s, s:[i,i,i,i], s:I, s:{}}}", "host", "h0", "now",
			  (json_int_t)tick(), "register", "address", "http://h0", "cpus", 0, 1, 2,
			  3, "mem", (json_int_t)MEM_MIB << 20, "topology");

	CHECK_INT(model_register_host(model, message, &host), 0);
	json_decref(message);
	host->connected = host->reflex = true;
	host->grown = MAX(agent.last[0], agent.last[1]);
	for (int i = 0; i < N; i++) {
		char name[16];
		json_t *added;

		snprintf(name, sizeof(name), "web%d", i);
		added = json_pack("{s:s, s:{s:I, s:I}}", "name", name, "limits", "cpu",
				  (json_int_t)agent.limit[i][0], "mem",
				  (json_int_t)agent.limit[i][1]);
		CHECK_INT(model_register_container(model, host, added, &web[i]), 0);
		json_decref(added);
	}
	model_host_registered(model, host);
	agent.accounts = 0;
}

static void start(void)
{
	test_at_end(release_all, NULL);
	memset(&agent, 0, sizeof(agent));
	clock_ns = 1000000000;
	CHECK_INT(model_new(NULL, &model), 0);
	CHECK_INT(audit_new(NULL, 64, &audit), 0);
	CHECK_INT(scaler_new(model, audit, &scaler), 0);
	model->scaler.reflex = true;
	controller_ns = 1000000000;
	model->time = &controller_time;
	scaler_set_sink(scaler, (struct order_sink){.submit = submit});
	model_lock(model);
	for (int i = 0; i < N; i++) {
		agent.limit[i][0] = 50;
		agent.limit[i][1] = 512;
	}
	registers();
	for (int i = 0; i < N; i++) {
		char *error = NULL;

		CHECK_INT(model_set_parameter(model, web[i], EBB_CPU, "min", 20, &error), 0);
		CHECK_INT(model_set_parameter(model, web[i], EBB_CPU, "max", 300, &error), 0);
		CHECK_INT(model_set_parameter(model, web[i], EBB_MEM, "max", 3000, &error), 0);
		CHECK_INT(model_guard(model, web[i], true, &error), 0);
	}
	scaler_run(scaler);
}

static int index_of(const char *name)
{
	return atoi(name + 3);
}

/* As agent/grower.c: false, it was made without knowing of a growth. */
static bool accepts(const struct order *order)
{
	int i = index_of(order->container);

	for (int r = 0; r < 2; r++) {
		int64_t to;

		if (scaler_body_limit(order->body, r, &to) < 0)
			continue;
		if (agent.grown[i][r] > order->grown)
			return false;
		if (to > agent.limit[i][r] && agent.last[r] > order->grown)
			return false;
	}
	return true;
}

static void carry_out(const struct order *order)
{
	int i = index_of(order->container);

	for (int r = 0; r < 2; r++) {
		int64_t to;

		if (scaler_body_limit(order->body, r, &to) < 0)
			continue;
		if (to > agent.limit[i][r] && order->accounts > agent.number) {
			agent.accounts = MAX(agent.accounts, order->accounts);
			agent.pool[r] -= to - agent.limit[i][r];
		}
		agent.limit[i][r] = to;
		agent.pending[i][r] = false;
		agent.changed[i] = true;
	}
}

/* At the agent. */
static void arrive(struct given *given)
{
	if (given->arrived)
		return;
	given->arrived = true;
	given->at_ns = tick();
	given->done = accepts(&given->order);
	if (given->done)
		carry_out(&given->order);
}

/* Answers one of them, which is taken out. The lock is held, but not while it is answered. */
static void answer(struct given *given, bool done, bool heard)
{
	struct order_result result = {0};
	json_t *read = NULL;

	if (done)
		arrive(given);
	result.applied_ns = given->arrived ? given->at_ns : tick();
	if (given->done) {
		read = json_incref(given->order.body);
		result.ok = heard;
		result.status = heard ? 201 : 0;
		result.resources = read;
	} else if (given->arrived && heard) {
		result.status = 409;
		result.grown = true;
		snprintf(result.error, sizeof(result.error), "it had grown");
	}
	model_unlock(model);
	scaler_order_done(scaler, given->order.userdata, &result);
	model_lock(model);
	json_decref(read);
	drop(given);
}

static struct given *take_order(size_t at)
{
	struct given **link = &orders, *given;

	while (*link && at--)
		link = &(*link)->next;
	given = *link;
	if (given)
		*link = given->next;
	return given;
}

static void grow(int i, int r, int64_t wanted, int64_t ceiling)
{
	int64_t more = MIN(MIN(wanted, agent.pool[r]), ceiling - agent.limit[i][r]);

	if (!agent.leased || more <= 0)
		return;
	if (!agent.pending[i][r])
		agent.from[i][r] = agent.limit[i][r];
	agent.pending[i][r] = true;
	agent.limit[i][r] += more;
	agent.pool[r] -= more;
	agent.grown[i][r] = agent.last[r] = tick();
	agent.changed[i] = true;
}

/* A message with all that is not acknowledged, and the limits, as controller/feed.c takes it. */
static void settle_reports(void)
{
	uint64_t settled = 0, first_open = UINT64_MAX, now = tick();
	bool open[N] = {0};

	for (int i = 0; i < N; i++)
		for (int r = 0; r < 2; r++) {
			struct feed_growth growth = {
				.c = i,
				.resource = r,
				.from = agent.from[i][r],
				.to = agent.limit[i][r],
				.at = (int64_t)agent.grown[i][r],
				.seen = (int64_t)agent.grown[i][r] - 1,
				.why = "throttled",
			};

			if (!agent.pending[i][r])
				continue;
			/* A later order of ours may have lowered it: then it has been heard. */
			if (scaler_grown(scaler, web[i], &growth))
				settled = MAX(settled, agent.grown[i][r]);
			else {
				first_open = MIN(first_open, agent.grown[i][r]);
				open[i] = true;
			}
		}
	host->grown = MAX(host->grown, MIN(settled, first_open - 1));
	for (int i = 0; i < N; i++) {
		json_t *limits;

		if (open[i] || !agent.changed[i])
			continue;
		agent.changed[i] = false;
		limits = json_pack("{s:I, s:I}", "cpu", (json_int_t)agent.limit[i][0], "mem",
				   (json_int_t)agent.limit[i][1]);
		if (!scaler_is_outdated(scaler, web[i], now))
			scaler_limits_reported(scaler, web[i], limits, (double)now / 1e9);
		json_decref(limits);
	}
	scaler_run(scaler);
}

/* Nobody else writes limits here. */
static void check_no_drift(void)
{
	struct scaler_stats stats;

	scaler_get_stats(scaler, &stats);
	for (int i = 0; i < DRIFT_MAX; i++)
		CHECK_INT(stats.drift[i], 0);
	CHECK_INT(stats.foreign, 0);
}

static void acknowledge(uint64_t grown)
{
	for (int i = 0; i < N; i++)
		for (int r = 0; r < 2; r++)
			if (agent.grown[i][r] <= grown)
				agent.pending[i][r] = false;
}

/* And its answer. */
static void report(bool acknowledged)
{
	settle_reports();
	if (acknowledged)
		acknowledge(host->grown);
}

struct lease {
	uint64_t number;
	int64_t pool[2];
};

static struct lease made_lease(void)
{
	json_t *json = headroom_lease(model, host);
	struct lease lease = {
		.number = (uint64_t)json_integer_value(json_object_get(json, "number")),
		.pool = {json_integer_value(json_object_get(json, "cpu")),
			 json_integer_value(json_object_get(json, "mem"))},
	};

	CHECK(json);
	json_decref(json);
	return lease;
}

static void take_lease(struct lease lease)
{
	if (lease.number < agent.accounts)
		return;
	for (int r = 0; r < 2; r++) {
		for (int i = 0; i < N; i++)
			if (agent.pending[i][r])
				lease.pool[r] -= agent.limit[i][r] - agent.from[i][r];
		agent.pool[r] = lease.pool[r];
	}
	agent.number = lease.number;
	agent.leased = true;
}

static void settle(void)
{
	for (int turns = 0; turns < 2000; turns++) {
		bool open = orders != NULL;

		while (orders)
			answer(take_order(0), true, true);
		for (int i = 0; i < N; i++)
			open |= agent.pending[i][0] || agent.pending[i][1] || web[i]->apply ||
				web[i]->in_flight;
		if (!open)
			return;
		report(true);
		/* What failed is tried again a moment later. */
		pass_ms(100);
		scaler_run(scaler);
	}
	TEST_FAIL("it does not settle");
}

static void check_books(bool settled)
{
	_cleanup_free_ char *wrong = model_check(model);
	int64_t sum[2] = {0};

	if (wrong)
		TEST_FAIL("%s", wrong);
	for (int i = 0; i < N; i++)
		for (int r = 0; r < 2; r++) {
			sum[r] += agent.limit[i][r];
			if (!settled)
				continue;
			CHECK_INT(web[i]->resources[r].current, agent.limit[i][r]);
			CHECK_INT(web[i]->resources[r].allocated, agent.limit[i][r]);
		}
	/* At no moment is more in force than the host has. */
	CHECK(sum[0] <= SHARES);
	CHECK(sum[1] <= MEM_MIB);
}

static void ask(int i, int r, int64_t amount)
{
	struct request request = {
		.structure = web[i],
		.resource = r,
		.amount = amount,
		.timestamp = timebase_wall(model->time),
		.origin = "guardian",
		.absolute = true,
		.has_priority = true,
	};

	(void)scaler_request(scaler, &request);
	scaler_run(scaler);
}

TEST(a_growth_is_booked)
{
	json_t *decisions;
	const json_t *last;

	start();
	settle();
	take_lease(made_lease());
	CHECK_INT(agent.pool[0], SHARES - 4 * 50);
	grow(0, EBB_CPU, 70, 300);
	CHECK_INT(agent.limit[0][0], 120);
	report(true);
	check_books(true);
	CHECK_INT(web[0]->resources[EBB_CPU].current, 120);
	CHECK_INT(host->free[EBB_CPU], SHARES - 4 * 50 - 70);
	/* Told twice it is booked once. */
	agent.pending[0][0] = true;
	report(true);
	check_books(true);
	decisions = audit_query(audit, "web0", 1);
	last = json_array_get(decisions, 0);
	CHECK_STR(json_string_value(json_object_get(last, "origin")), "reflex");
	CHECK_STR(json_string_value(json_object_get(last, "outcome")), "applied");
	CHECK_INT(json_integer_value(json_object_get(last, "applied")), 120);
	json_decref(decisions);
	model_unlock(model);
}

TEST(an_order_that_knew_nothing_of_it_is_decided_anew)
{
	start();
	settle();
	take_lease(made_lease());
	ask(0, EBB_CPU, -20);
	CHECK(orders);
	grow(0, EBB_CPU, 70, 300);
	answer(take_order(0), true, true);
	CHECK_INT(agent.limit[0][0], 120);
	report(true);
	settle();
	check_books(true);
	/* One that knows of it wins. The refused one's resource rests for a moment. */
	pass_ms(20);
	ask(0, EBB_CPU, -40);
	settle();
	CHECK_INT(agent.limit[0][0], 80);
	check_books(true);
	model_unlock(model);
}

TEST(one_share_is_not_spent_twice)
{
	start();
	settle();
	take_lease(made_lease());
	/* All that is free, for one by an order and for another by the reflex. */
	ask(0, EBB_CPU, 200);
	CHECK_INT(host->free[EBB_CPU], 0);
	grow(1, EBB_CPU, 150, 300);
	report(true);
	check_books(false);
	answer(take_order(0), true, true);
	check_books(false);
	report(true);
	settle();
	check_books(true);
	CHECK(agent.limit[1][0] == 200);
	model_unlock(model);
}

TEST(an_order_takes_it_from_the_lease)
{
	start();
	settle();
	take_lease(made_lease());
	ask(0, EBB_CPU, 150);
	answer(take_order(0), true, true);
	grow(1, EBB_CPU, 200, 300);
	CHECK_INT(agent.limit[1][0], 100);
	report(true);
	check_books(true);
	model_unlock(model);
}

TEST(an_answer_overtaken_by_the_report)
{
	struct order_result result = {.ok = true, .status = 201};
	struct given *given;
	json_t *body;

	start();
	settle();
	take_lease(made_lease());
	ask(0, EBB_CPU, 50);
	given = take_order(0);
	carry_out(&given->order);
	result.applied_ns = tick();
	body = json_incref(given->order.body);
	result.resources = body;
	grow(0, EBB_CPU, 30, 300);
	report(true);
	model_unlock(model);
	scaler_order_done(scaler, given->order.userdata, &result);
	model_lock(model);
	json_decref(body);
	drop(given);
	settle();
	CHECK_INT(agent.limit[0][0], 130);
	check_books(true);
	model_unlock(model);
}

/* The agent registers anew while an order is under way that its growth has overtaken. */
TEST(a_registration_between_a_growth_and_the_answer)
{
	start();
	settle();
	take_lease(made_lease());
	/* Refused: what grew holds. */
	ask(0, EBB_CPU, -20);
	grow(0, EBB_CPU, 70, 300);
	report(true);
	registers();
	check_books(false);
	answer(take_order(0), true, true);
	CHECK_INT(web[0]->resources[EBB_CPU].current, 120);
	settle();
	CHECK_INT(agent.limit[0][0], 120);
	check_books(true);
	check_no_drift();
	model_unlock(model);
}

/* And was started anew, so that it cannot tell of what it raised. */
TEST(a_registration_of_another_agent_before_the_answer)
{
	start();
	settle();
	take_lease(made_lease());
	ask(0, EBB_CPU, -20);
	arrive(orders);
	CHECK_INT(agent.limit[0][0], 30);
	grow(0, EBB_CPU, 70, 300);
	memset(agent.pending, 0, sizeof(agent.pending));
	registers();
	answer(take_order(0), true, true);
	CHECK_INT(web[0]->resources[EBB_CPU].current, 100);
	report(true);
	settle();
	CHECK_INT(agent.limit[0][0], 100);
	check_books(true);
	check_no_drift();
	model_unlock(model);
}

/* Nobody knows what became of an order, which is ordered again after a pause; then comes a growth.
 */
TEST(a_growth_after_an_order_of_unknown_end)
{
	start();
	settle();
	take_lease(made_lease());
	ask(0, EBB_CPU, -20);
	answer(take_order(0), true, false);
	CHECK_INT(agent.limit[0][0], 30);
	CHECK_INT(web[0]->resources[EBB_CPU].current, 50);
	grow(0, EBB_CPU, 70, 300);
	report(true);
	CHECK_INT(web[0]->resources[EBB_CPU].current, 100);
	settle();
	CHECK_INT(agent.limit[0][0], 100);
	check_books(true);
	check_no_drift();
	model_unlock(model);
}

TEST(what_is_in_force_beyond_the_books_is_not_leased)
{
	start();
	settle();
	CHECK_INT(made_lease().pool[0], SHARES - 4 * 50);
	/* To be cut, and not yet. */
	web[1]->physical[EBB_CPU] = 80;
	CHECK_INT(made_lease().pool[0], SHARES - 4 * 50 - 30);
	web[2]->physical[EBB_CPU] = -1;
	CHECK_INT(made_lease().pool[0], 0);
	CHECK_INT(made_lease().pool[1], MEM_MIB - 4 * 512);
	model_unlock(model);
}

/* An agent that was started anew has more in force than the host has free for it. What comes free
 * then is not another's before that has been cut. */
TEST(what_is_in_force_beyond_the_books_goes_before_an_order)
{
	start();
	settle();
	ask(1, EBB_CPU, 200);
	CHECK_INT(host->free[EBB_CPU], 0);
	agent.limit[0][0] = 80;
	agent.grown[1][0] = agent.last[0] = tick();
	registers();
	scaler_run(scaler);
	/* It was made before a growth. */
	answer(take_order(0), true, true);
	CHECK_INT(agent.limit[1][0], 50);
	ask(2, EBB_CPU, 200);
	for (struct given *given = orders; given; given = given->next)
		if (index_of(given->order.container) == 2)
			arrive(given);
	check_books(false);
	settle();
	check_books(true);
	CHECK_INT(agent.limit[0][0], 50);
	CHECK_INT(agent.limit[2][0], 250);
	model_unlock(model);
}

/* A growth lacks what an order of unknown end has, whose limits are ordered again; and that is
 * refused for what grew after it. Neither waits for the other without end. */
TEST(a_growth_and_an_order_do_not_wait_for_each_other)
{
	start();
	settle();
	take_lease(made_lease());
	ask(2, EBB_CPU, 200);
	ask(2, EBB_MEM, -100);
	answer(take_order(0), false, false);
	answer(take_order(0), true, false);
	CHECK_INT(host->free[EBB_CPU], 0);
	CHECK_INT(agent.limit[2][EBB_MEM], 412);
	grow(1, EBB_CPU, 70, 300);
	grow(0, EBB_MEM, 100, 3000);
	report(true);
	CHECK_INT(web[1]->resources[EBB_CPU].current, 50);
	settle();
	check_books(true);
	check_no_drift();
	model_unlock(model);
}

TEST(who_may_grow)
{
	unsigned long version;
	json_t *ceilings;
	char *error = NULL;

	start();
	settle();
	ceilings = headroom_ceilings(model, host);
	CHECK_INT(json_integer_value(json_object_get(json_object_get(ceilings, "web0"), "cpu")),
		  300);
	CHECK_INT(json_integer_value(json_object_get(json_object_get(ceilings, "web0"), "mem")),
		  3000);
	json_decref(ceilings);
	web[0]->operating |= 1u << EBB_CPU;
	CHECK_INT(headroom_ceiling(model, web[0], EBB_CPU), 0);
	web[0]->operating = 0;
	CHECK_INT(headroom_ceiling(model, web[0], EBB_CPU), 300);
	version = host->guard_version;
	CHECK_INT(headroom_set_reflex(model, web[0], false), 0);
	CHECK_INT(headroom_ceiling(model, web[0], EBB_CPU), 0);
	CHECK_INT(headroom_ceiling(model, web[0], EBB_MEM), 0);
	CHECK(host->guard_version > version);
	ceilings = headroom_ceilings(model, host);
	CHECK(!json_object_get(ceilings, "web0") && json_object_get(ceilings, "web1"));
	json_decref(ceilings);
	CHECK_INT(headroom_set_reflex(model, web[0], true), 0);
	CHECK_INT(headroom_ceiling(model, web[0], EBB_CPU), 300);
	json_object_set_new(structure_own_doc(&web[0]->doc), "reflex", json_string("false"));
	CHECK_INT(headroom_ceiling(model, web[0], EBB_CPU), 0);
	CHECK_INT(headroom_set_reflex(model, host->structure, false), -EINVAL);
	CHECK_INT(model_guard(model, web[1], false, &error), 0);
	CHECK_INT(headroom_ceiling(model, web[1], EBB_CPU), 0);
	/* Off with one switch. */
	model->scaler.reflex = false;
	CHECK(!headroom_lease(model, host));
	ceilings = headroom_ceilings(model, host);
	CHECK_INT(json_object_size(ceilings), 0);
	json_decref(ceilings);
	model_unlock(model);
}

/* Also where no boundary moves with it. */
TEST(a_new_max_is_told)
{
	unsigned long version;
	char *error = NULL;

	start();
	settle();
	version = host->guard_version;
	CHECK_INT(model_set_parameter(model, web[0], EBB_CPU, "max", 300, &error), 0);
	CHECK_INT(host->guard_version, version);
	CHECK_INT(model_set_parameter(model, web[0], EBB_CPU, "max", 350, &error), 0);
	CHECK(host->guard_version > version);
	CHECK_INT(headroom_ceiling(model, web[0], EBB_CPU), 350);
	model_unlock(model);
}

TEST(at_random_the_books_hold)
{
	uint64_t seed = test_seed(7);
	struct lease late = {0};
	uint64_t late_grown = 0;
	bool has_late = false;

	random_state = seed * 0x9e3779b97f4a7c15ULL + 1;
	start();
	settle();
	for (int step = 0; step < 3000; step++) {
		int i = (int)any(N), r = (int)any(2);
		size_t n = 0;

		/* It takes its time, or has little. */
		pass_ms(any(50) == 0 ? any(300) : any(2));
		for (const struct given *g = orders; g; g = g->next)
			n++;
		switch (any(10)) {
		case 0:
		case 1: ask(i, r, (int64_t)any(r ? 600 : 120) - (r ? 300 : 60)); break;
		case 2:
		case 3:
			/* Its answer may be overtaken by what follows. */
			if (n && any(3) == 0) {
				struct given *given = orders;

				for (size_t k = any(n); k; k--)
					given = given->next;
				arrive(given);
			} else if (n) {
				answer(take_order(any(n)), true, true);
			}
			break;
		case 4:
			/* Carried out or not, nobody hears of it. */
			if (n && any(3) == 0)
				answer(take_order(any(n)), any(2), false);
			break;
		case 5:
		case 6: grow(i, r, (int64_t)any(r ? 800 : 150) + 1, r ? 3000 : 300); break;
		case 7:
		case 8:
			/* One message at a time; its answer may be on its way for a while, or be
			 * lost. */
			if (!has_late) {
				settle_reports();
				late = made_lease();
				late_grown = host->grown;
				has_late = true;
			} else if (any(4)) {
				acknowledge(late_grown);
				take_lease(late);
				has_late = false;
			} else {
				has_late = false;
			}
			break;
		case 9:
			if (any(20) == 0) {
				/* Another session, perhaps of an agent that was restarted. */
				if (any(2)) {
					memset(agent.pending, 0, sizeof(agent.pending));
					agent.leased = false;
				}
				has_late = false;
				registers();
				scaler_run(scaler);
			}
			break;
		}
		check_books(false);
		check_no_drift();
	}
	settle();
	check_books(true);
	check_no_drift();
	model_unlock(model);
}

TEST_MAIN()
