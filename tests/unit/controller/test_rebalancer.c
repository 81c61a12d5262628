/* SPDX-License-Identifier: Apache-2.0 */
/* The ReBalancer with a model, the scaler, and agents that do every order at once. */
#include "seed.h"
#include "test.h"

#include <errno.h>

#include "rebalance_tracker.h"
#include "rebalance_world.h"
#include "rebalancer.h"
#include "ebb/util.h"

struct todo {
	struct todo *next;
	struct order order;
};

static struct model *model;
static struct audit *audit;
static struct scaler *scaler;
static struct rebalancer *rebalancer;
static struct todo *first, **last = &first;
static bool refusing; /* agents answer 500 */

static int take_order(void *unused, struct order *order)
{
	struct todo *todo = calloc(1, sizeof(*todo));

	if (!todo)
		return -ENOMEM;
	todo->order = *order;
	*last = todo;
	last = &todo->next;
	return 0;
}

/* Every order in turn, with those that follow from it. */
static void work(void)
{
	while (first) {
		struct todo *todo = first;
		struct order_result result = {
			.ok = !refusing,
			.status = refusing ? 500 : 201,
			.resources = refusing ? NULL : todo->order.body,
			.applied_ns = world_now_ns(NULL),
		};

		first = todo->next;
		if (!first)
			last = &first;
		if (refusing)
			snprintf(result.error, sizeof(result.error), "it will not");
		scaler_order_done(scaler, todo->order.userdata, &result);
		free(todo->order.address);
		free(todo->order.container);
		json_decref(todo->order.body);
		free(todo);
	}
}

static void release_all(void *unused)
{
	work();
	rebalancer_free(TAKE_PTR(rebalancer));
	scaler_free(TAKE_PTR(scaler));
	audit_free(TAKE_PTR(audit));
}

/* The service's keys, with a window of 10 s that ends at once. */
static void configure(const char *keys)
{
	_cleanup_json_ json_t *doc = parse("{'name':'rebalancer','type':'service','config':{"
					   "'ACTIVE':true,'WINDOW_TIMELAPSE':10,'WINDOW_DELAY':0%s"
					   "%s}}",
					   *keys ? "," : "", keys);
	_cleanup_free_ char *error = NULL;
	int r;

	model_lock(model);
	r = model_set_service(model, doc, &error);
	model_unlock(model);
	if (r < 0)
		TEST_FAIL("%s", error);
}

static void start(const char *keys)
{
	refusing = false;
	model = new_balanced_world();
	test_at_end(release_all, NULL);
	CHECK_INT(audit_new(NULL, 4096, &audit), 0);
	CHECK_INT(scaler_new(model, audit, &scaler), 0);
	scaler_set_sink(scaler, (struct order_sink){.submit = take_order});
	CHECK_INT(rebalancer_new(model, scaler, &rebalancer), 0);
	configure(keys);
}

/* With a core map; what is not handed out is free. */
static struct host *real_host(const char *name, int cores)
{
	struct host *host;
	char text[512];

	snprintf(text, sizeof(text),
		 "{'name':'%s','subtype':'host','host':'%s','host_rescaler_ip':'127.0.0.1',"
		 "'host_rescaler_port':'1','resources':{'cpu':{'max':%d,'free':%d},"
		 "'mem':{'max':4096,'free':4096}}}",
		 name, name, cores * 100, cores * 100);
	add_structure(model, text);
	host = model_host(model, name);
	host->connected = true;
	host->last_heard = world_now;
	if (!host->address)
		host->address = strdup("http://127.0.0.1:1");
	return host;
}

static struct structure *real_container(const char *name, const char *host, int current, int max)
{
	struct structure *s = add_container(model, name, host, current, max);

	s->resources[EBB_CPU].allocated = 0;
	model_lock(model);
	CHECK_INT(model_allocate(model, s, EBB_CPU, current), current);
	model_unlock(model);
	return s;
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

struct used {
	struct structure *container;
	double usage;
};

/* Ten seconds of that, then an epoch, and all that follows. */
static void after(const struct used *used, size_t n)
{
	for (size_t i = 0; i < n; i++)
		use(used[i].container, EBB_CPU, used[i].usage, 10);
	world_now += 10;
	CHECK_INT(rebalancer_epoch(rebalancer, world_now), 0);
	work();
	check_adds_up();
}
#define AFTER(...)                          \
	after((struct used[]){__VA_ARGS__}, \
	      sizeof((struct used[]){__VA_ARGS__}) / sizeof(struct used))

static unsigned long swaps(void)
{
	struct rebalancer_stats stats;

	rebalancer_get_stats(rebalancer, &stats);
	return stats.swaps;
}

static struct structure *a, *b;

/* Two on a full host. */
static void two(const char *keys)
{
	start(keys);
	real_host("h0", 3);
	a = real_container("a", "h0", 200, 200);
	b = real_container("b", "h0", 100, 200);
	CHECK_INT(rebalancer_epoch(rebalancer, world_now), 0);
}

TEST(a_starved_container_gets_what_an_idle_one_has_on_a_full_host)
{
	_cleanup_json_ json_t *decisions = NULL;
	const json_t *decision;
	struct rebalancer_stats stats;

	two("");
	AFTER({a, 10}, {b, 98});
	CHECK_INT(a->resources[EBB_CPU].current, 128);
	CHECK_INT(b->resources[EBB_CPU].current, 172);
	CHECK_INT(a->resources[EBB_CPU].allocated, 128);
	rebalancer_get_stats(rebalancer, &stats);
	CHECK(stats.active);
	CHECK_INT(stats.epochs, 2);
	CHECK_INT(stats.swaps, 1);
	CHECK_INT(stats.donors, 1);
	CHECK_INT(stats.receivers, 1);
	/* The record says who, why, and with whom. */
	decisions = audit_query(audit, "b", 1);
	decision = json_array_get(decisions, 0);
	CHECK_STR(json_string_value(json_object_get(decision, "origin")), "rebalancer");
	CHECK_STR(json_string_value(json_object_get(decision, "rule")), "container_cpu_usage_high");
	CHECK_STR(json_string_value(json_object_get(decision, "pair")), "a");
	CHECK_STR(json_string_value(json_object_get(decision, "outcome")), "applied");
	CHECK_NEAR(json_number_value(json_object_get(decision, "usage")), 98, 0.01);
	/* And again, until a has its min or b its max. */
	AFTER({a, 10}, {b, 170});
	CHECK_INT(b->resources[EBB_CPU].current, 200);
	CHECK_INT(a->resources[EBB_CPU].current, 100);
	AFTER({a, 10}, {b, 198});
	CHECK_INT(swaps(), 2);
}

static const char *cpus_of(const char *name)
{
	static char cpus[64];
	_cleanup_json_ json_t *decisions = audit_query(audit, name, 1);
	const json_t *decision = json_array_get(decisions, 0);

	snprintf(cpus, sizeof(cpus), "%s", json_string_value(json_object_get(decision, "cpus")));
	return cpus;
}

/* It is told to leave those that it gives away, at once: else they look like another hand's. */
TEST(a_donor_is_pinned_to_the_cores_that_it_keeps)
{
	start("");
	real_host("h0", 2);
	a = real_container("a", "h0", 150, 200);
	b = real_container("b", "h0", 50, 200);
	a->pinnable = b->pinnable = true;
	CHECK_INT(rebalancer_epoch(rebalancer, world_now), 0);
	AFTER({a, 10}, {b, 49});
	CHECK_INT(a->resources[EBB_CPU].current, 98);
	CHECK_STR(cpus_of("a"), "0");
	CHECK_STR(cpus_of("b"), "1,0");
}

TEST(nothing_is_decided_before_half_a_window_was_seen)
{
	start("'WINDOW_DELAY':4");
	real_host("h0", 3);
	a = real_container("a", "h0", 200, 200);
	b = real_container("b", "h0", 100, 200);
	CHECK_INT(rebalancer_epoch(rebalancer, world_now), 0);
	use(a, EBB_CPU, 10, 9);
	use(b, EBB_CPU, 98, 9);
	world_now += 8;
	CHECK_INT(rebalancer_epoch(rebalancer, world_now), 0);
	CHECK_INT(swaps(), 0);
	world_now += 1;
	CHECK_INT(rebalancer_epoch(rebalancer, world_now), 0);
	CHECK_INT(swaps(), 1);
}

/* As by `ebb rules deactivate`. */
static void set_rule_active(const char *name, bool active)
{
	_cleanup_json_ json_t *doc = NULL;
	_cleanup_free_ char *error = NULL;

	model_lock(model);
	doc = json_deep_copy(json_object_get(model->rules, name));
	CHECK_INT(json_object_set_new(doc, "active", json_boolean(active)), 0);
	CHECK_INT(model_set_rule(model, doc, &error), 0);
	model_unlock(model);
}

TEST(a_rule_is_switched_off_and_on)
{
	two("");
	set_rule_active("container_cpu_usage_high", false);
	AFTER({a, 10}, {b, 98});
	CHECK_INT(swaps(), 0);
	set_rule_active("container_cpu_usage_high", true);
	AFTER({a, 10}, {b, 98});
	CHECK_INT(swaps(), 1);
}

TEST(it_rests_when_it_is_not_active_or_does_not_lead)
{
	two("");
	configure("'ACTIVE':false");
	AFTER({a, 10}, {b, 98});
	CHECK_INT(swaps(), 0);
	/* Nobody has to remember anything for it. */
	CHECK(!a->balance_history && !b->balance_history);
	configure("");
	model->leading = false;
	AFTER({a, 10}, {b, 98});
	AFTER({a, 10}, {b, 98});
	CHECK_INT(swaps(), 0);
	CHECK(!a->balance_history);
	model->leading = true;
	AFTER({a, 10}, {b, 98});
	CHECK_INT(swaps(), 0);
	AFTER({a, 10}, {b, 98});
	CHECK_INT(swaps(), 1);
}

TEST(a_missing_document_is_no_reason_to_move_shares)
{
	start("");
	model_lock(model);
	json_object_del(model->services, "rebalancer");
	model_unlock(model);
	CHECK(model->rebalancer.active);
	/* As a controller that begins finds it. */
	struct model *other = NULL;

	CHECK_INT(model_new(NULL, &other), 0);
	CHECK(!other->rebalancer.active);
	CHECK(json_is_false(json_object_get(
		json_object_get(json_object_get(other->services, "rebalancer"), "config"),
		"ACTIVE")));
	model_free(other);
}

TEST(turns_come_at_multiples_of_the_window)
{
	const json_t *doc;
	double due;

	two("");
	world_now = 1003;
	due = rebalancer_turn(rebalancer, world_now);
	CHECK_NEAR(due, 1010, 1e-6);
	doc = json_object_get(model->services, "rebalancer");
	CHECK_NEAR(json_number_value(json_object_get(doc, "heartbeat")), 1003, 1e-6);
	use(a, EBB_CPU, 10, 7);
	use(b, EBB_CPU, 98, 7);
	world_now = 1009.9;
	rebalancer_turn(rebalancer, world_now);
	CHECK_INT(swaps(), 0);
	world_now = 1010;
	due = rebalancer_turn(rebalancer, world_now);
	CHECK_INT(swaps(), 1);
	CHECK_NEAR(due, 1020, 1e-6);
	/* Switched off, it lets go at once. */
	configure("'ACTIVE':false");
	world_now = 1011;
	rebalancer_turn(rebalancer, world_now);
	CHECK(!a->balance_history);
}

TEST(what_was_given_is_remembered_and_paid_back)
{
	two("'COMPENSATE':true,'STRUCTURES_BALANCED':['container']");
	AFTER({a, 10}, {b, 98});
	CHECK_INT(rebalance_credit(a->doc, EBB_CPU), 72);
	CHECK_INT(rebalance_credit(b->doc, EBB_CPU), -72);
	/* Now a needs it, and b is neither idle nor in need. */
	AFTER({a, 125}, {b, 110});
	CHECK_INT(a->resources[EBB_CPU].current, 200);
	CHECK_INT(b->resources[EBB_CPU].current, 100);
	CHECK_INT(rebalance_credit(a->doc, EBB_CPU), 0);
	CHECK_INT(rebalance_credit(b->doc, EBB_CPU), 0);
	CHECK(!json_object_get(b->doc, "rebalance_credit"));
}

TEST(credits_live_in_the_document)
{
	_cleanup_json_ json_t *doc = NULL;
	struct structure *again = NULL;

	two("");
	AFTER({a, 10}, {b, 98});
	doc = structure_to_json(b);
	CHECK(doc);
	CHECK_INT(structure_from_json(doc, NULL, &again, NULL), 0);
	CHECK_INT(rebalance_credit(again->doc, EBB_CPU), -72);
	structure_free(again);
}

TEST(a_host_that_refuses_loses_nothing)
{
	two("");
	refusing = true;
	AFTER({a, 10}, {b, 98});
	CHECK_INT(a->resources[EBB_CPU].current, 200);
	CHECK_INT(b->resources[EBB_CPU].current, 100);
	/* Nobody owes anything for it. */
	CHECK_INT(rebalance_credit(a->doc, EBB_CPU), 0);
	CHECK_INT(rebalance_credit(b->doc, EBB_CPU), 0);
}

TEST(applications_swap_and_their_containers_follow)
{
	struct structure *c, *d, *idle, *busy;

	start("'STRUCTURES_BALANCED':['application','container']");
	real_host("h0", 8);
	a = real_container("a", "h0", 200, 200);
	b = real_container("b", "h0", 200, 200);
	c = real_container("c", "h0", 200, 200);
	d = real_container("d", "h0", 200, 200);
	idle = add_application(model, "idle", 400, "'a','b'");
	busy = add_application(model, "busy", 400, "'c','d'");
	CHECK_INT(rebalancer_epoch(rebalancer, world_now), 0);
	AFTER({a, 10}, {b, 10}, {c, 190}, {d, 190});
	CHECK_INT(idle->resources[EBB_CPU].max, 248);
	CHECK_INT(busy->resources[EBB_CPU].max, 552);
	CHECK_INT(a->resources[EBB_CPU].max + b->resources[EBB_CPU].max, 248);
	CHECK_INT(c->resources[EBB_CPU].current + d->resources[EBB_CPU].current, 552);
	CHECK_INT(rebalance_credit(idle->doc, EBB_CPU), 152);
	CHECK_INT(rebalance_credit(busy->doc, EBB_CPU), -152);
}

TEST(users_swap_and_all_that_is_theirs_follows)
{
	struct structure *u0, *u1;

	start("'STRUCTURES_BALANCED':['user','application','container'],"
	      "'BALANCING_POLICY':'thresholds'");
	real_host("h0", 4);
	a = real_container("a", "h0", 200, 200);
	b = real_container("b", "h0", 200, 200);
	add_application(model, "idle", 200, "'a'");
	add_application(model, "busy", 200, "'b'");
	/* Called like their applications. */
	u0 = add_user(model, "{'name':'idle','type':'user','clusters':['idle'],"
			     "'resources':{'cpu':{'max':200,'min':20}}}");
	u1 = add_user(model, "{'name':'busy','type':'user','clusters':['busy'],"
			     "'resources':{'cpu':{'max':200,'min':20}}}");
	CHECK_INT(rebalancer_epoch(rebalancer, world_now), 0);
	AFTER({a, 10}, {b, 198});
	CHECK_INT(u0->resources[EBB_CPU].max, 128);
	CHECK_INT(u1->resources[EBB_CPU].max, 272);
	CHECK_INT(model_structure(model, "busy")->resources[EBB_CPU].max, 272);
	CHECK_INT(b->resources[EBB_CPU].current, 272);
	CHECK_INT(rebalance_credit(u1->doc, EBB_CPU), -72);
	CHECK_INT(rebalance_credit(model_structure(model, "busy")->doc, EBB_CPU), 0);
}

static uint64_t state;

static int below(int n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (int)(state % (uint64_t)n);
}

static void check_outcomes(void)
{
	_cleanup_json_ json_t *decisions = audit_query(audit, NULL, 4096);
	const json_t *decision;
	size_t i;

	json_array_foreach(decisions, i, decision) {
		const char *outcome = json_string_value(json_object_get(decision, "outcome"));

		if (strcmp(outcome, "applied") != 0)
			TEST_FAIL("%s of %s: %s: %s",
				  json_string_value(json_object_get(decision, "pair")),
				  json_string_value(json_object_get(decision, "structure")),
				  outcome, json_string_value(json_object_get(decision, "reason")));
	}
}

/* Full hosts with applications on them, for some epochs: nothing is lost, nobody leaves its range,
 * and what is asked for is what can be done. */
static void random_site(bool parents)
{
	struct structure *containers[24];
	struct used used[24];
	int64_t sum = 0, after_sum = 0;
	int n = 2 + below(22);
	char list[512], name[16];

	start(parents ? "'STRUCTURES_BALANCED':['application']" : "'CONTAINERS_SCOPE':'host'");
	real_host("h0", 100);
	real_host("h1", 100);
	for (int i = 0; i < n; i++) {
		int max = 50 + below(300), current = 20 + below(max - 19);

		snprintf(name, sizeof(name), "c%d", i);
		containers[i] = real_container(name, below(2) ? "h0" : "h1", current, max);
		sum += current;
	}
	for (int first_one = 0, app = 0; first_one < n; app++) {
		int size = 1 + below(5), end = MIN(n, first_one + size);

		list[0] = '\0';
		for (; first_one < end; first_one++)
			snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s'c%d'",
				 *list ? "," : "", first_one);
		snprintf(name, sizeof(name), "app%d", app);
		add_application(model, name, 100 + below(1000), list);
	}
	CHECK_INT(rebalancer_epoch(rebalancer, world_now), 0);
	for (int epoch = 0; epoch < 4; epoch++) {
		for (int i = 0; i < n; i++)
			used[i] = (struct used){
				containers[i],
				(double)below((int)containers[i]->resources[EBB_CPU].current)};
		after(used, (size_t)n);
		for (int i = 0; i < n; i++) {
			const struct resource_state *cpu = &containers[i]->resources[EBB_CPU];

			CHECK(cpu->current >= cpu->min && cpu->current <= cpu->max);
		}
		check_outcomes();
	}
	for (int i = 0; i < n; i++)
		after_sum += containers[i]->resources[EBB_CPU].current;
	if (!parents)
		CHECK_INT(after_sum, sum);
}

TEST(random_sites_stay_whole)
{
	uint64_t seed = test_seed(1);

	state = seed * 2 + 1;
	for (int round = 0; round < 40; round++) {
		random_site(round % 2);
		release_all(NULL);
		test_n_ends = 0;
		model_free(model);
	}
}

TEST_MAIN()
