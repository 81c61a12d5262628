/* SPDX-License-Identifier: Apache-2.0 */
/* From a model to the swaps of one epoch. */
#include "seed.h"
#include "test.h"

#include "rebalance_decide.h"
#include "rebalance_tracker.h"
#include "rebalance_world.h"

static struct model *model;
static struct rebalance_config config;
static struct rebalance_snapshot snapshot;
static struct rebalance_rules rules;
static struct rebalance_decision decision;

static void clear(void *unused)
{
	rebalance_decision_clear(&decision);
	rebalance_rules_clear(&rules);
	rebalance_snapshot_clear(&snapshot);
}

/* Windows of 30 s that end now. */
static void start(const char *text)
{
	_cleanup_json_ json_t *json = parse("%s", text);
	_cleanup_free_ char *error = NULL;

	test_at_end(clear, NULL);
	model = new_balanced_world();
	if (rebalance_config_from_json(json, &config, &error) < 0)
		TEST_FAIL("%s", error);
	config.window_delay = 0;
}

#define BY_THRESHOLDS "{'BALANCING_POLICY':'thresholds'}"

struct used {
	struct structure *container;
	double usage;
};

static void snapshot_now(void)
{
	rebalance_snapshot_clear(&snapshot);
	CHECK_INT(rebalance_snapshot_take(model, &config, &snapshot), 0);
}

/* The containers used so much for half a minute; then an epoch. */
static void epoch(const struct used *used, size_t n)
{
	clear(NULL);
	/* Makes them remember. */
	snapshot_now();
	for (size_t i = 0; i < n; i++)
		if (!isnan(used[i].usage))
			use(used[i].container, EBB_CPU, used[i].usage, 30);
	world_now += 30;
	snapshot_now();
	rebalance_rules_load(model->rules, &rules);
	CHECK_INT(rebalance_decide(&config, &rules, &snapshot, &decision), 0);
}
#define EPOCH(...)                          \
	epoch((struct used[]){__VA_ARGS__}, \
	      sizeof((struct used[]){__VA_ARGS__}) / sizeof(struct used))

/* "donor>receiver:amount ..." in the order decided. */
static const char *swaps(void)
{
	static char text[1024];
	size_t len = 0;

	text[0] = '\0';
	for (size_t i = 0; i < decision.n && len < sizeof(text); i++)
		len += (size_t)snprintf(
			text + len, sizeof(text) - len, "%s%s>%s:%lld", i ? " " : "",
			rebalance_name(&snapshot, decision.swaps[i].level, decision.swaps[i].donor),
			rebalance_name(&snapshot, decision.swaps[i].level,
				       decision.swaps[i].receiver),
			(long long)decision.swaps[i].amount);
	return text;
}

static const struct rebalance_value *value_of(enum rebalance_level level, const char *name)
{
	for (size_t i = 0; i < snapshot.levels[level].n; i++)
		if (strcmp(rebalance_name(&snapshot, level, i), name) == 0)
			return rebalance_value_of(&snapshot, level, i, 0);
	TEST_FAIL("%s is not in the snapshot", name);
}

static void add_pair(struct structure **a, struct structure **b)
{
	add_host(model, "h0", 400, 100);
	*a = add_container(model, "a", "h0", 200, 200);
	*b = add_container(model, "b", "h0", 100, 200);
}

/* Spec 7.4's vector. */
TEST(an_idle_container_gives_to_a_starved_one)
{
	struct structure *a, *b;

	start(BY_THRESHOLDS);
	add_pair(&a, &b);
	EPOCH({a, 10}, {b, 98});
	CHECK_STR(swaps(), "a>b:72");
	CHECK_INT(decision.donors, 1);
	CHECK_INT(decision.receivers, 1);
	CHECK_INT(decision.swaps[0].level, REBALANCE_CONTAINER);
}

/* The original's own rules have other names than it looks for. */
TEST(the_default_rules_find_both)
{
	struct structure *a, *b;

	start("{}");
	add_pair(&a, &b);
	EPOCH({a, 10}, {b, 98});
	CHECK_STR(swaps(), "a>b:72");
	EPOCH({a, 90}, {b, 60});
	CHECK_STR(swaps(), "");
	CHECK_INT(decision.donors + decision.receivers, 0);
}

static void set_active(const char *rule, bool active)
{
	CHECK_INT(json_object_set_new(json_object_get(model->rules, rule), "active",
				      json_boolean(active)),
		  0);
}

TEST(a_rule_that_is_not_active_finds_nobody)
{
	struct structure *a, *b;

	start("{}");
	add_pair(&a, &b);
	/* They are not for a level that has its own. */
	set_active("cpu_usage_low", true);
	set_active("cpu_usage_high", true);
	set_active("container_cpu_usage_high", false);
	EPOCH({a, 10}, {b, 98});
	CHECK_STR(swaps(), "");
	CHECK_INT(decision.donors, 1);
	CHECK_INT(decision.receivers, 0);
	set_active("container_cpu_usage_high", true);
	set_active("container_cpu_usage_low", false);
	EPOCH({a, 10}, {b, 98});
	CHECK_STR(swaps(), "");
	CHECK_INT(decision.donors, 0);
	CHECK_INT(decision.receivers, 1);
	set_active("container_cpu_usage_low", true);
	EPOCH({a, 10}, {b, 98});
	CHECK_STR(swaps(), "a>b:72");
}

TEST(a_level_without_rules_uses_those_for_all)
{
	struct structure *a, *b;

	start("{}");
	add_pair(&a, &b);
	json_object_del(model->rules, "container_cpu_usage_low");
	json_object_del(model->rules, "container_cpu_usage_high");
	/* As the original ships them. */
	EPOCH({a, 10}, {b, 98});
	CHECK_STR(swaps(), "");
	set_active("cpu_usage_low", true);
	set_active("cpu_usage_high", true);
	EPOCH({a, 10}, {b, 98});
	CHECK_STR(swaps(), "a>b:72");
	CHECK_STR(rules.of[REBALANCE_CONTAINER][EBB_CPU].high_name, "cpu_usage_high");
	json_object_del(model->rules, "cpu_usage_low");
	EPOCH({a, 10}, {b, 98});
	CHECK_STR(swaps(), "");
}

TEST(shares_stay_on_their_host)
{
	struct structure *a, *b;

	start("{'BALANCING_POLICY':'thresholds','CONTAINERS_SCOPE':'host'}");
	add_host(model, "h0", 400, 100);
	add_host(model, "h1", 400, 100);
	a = add_container(model, "a", "h0", 200, 200);
	b = add_container(model, "b", "h1", 100, 200);
	EPOCH({a, 10}, {b, 98});
	CHECK_STR(swaps(), "");
	CHECK_INT(decision.donors, 1);
}

TEST(the_scope_is_an_application_or_the_host)
{
	struct structure *a, *b, *c;

	start(BY_THRESHOLDS);
	add_pair(&a, &b);
	c = add_container(model, "c", "h0", 100, 200);
	add_application(model, "app0", 400, "'a'");
	add_application(model, "app1", 400, "'b','c'");
	EPOCH({a, 10}, {b, 98}, {c, 50});
	CHECK_STR(swaps(), "");
	config.host_scope = true;
	EPOCH({a, 10}, {b, 98}, {c, 50});
	CHECK_STR(swaps(), "a>b:72");
}

TEST(who_opts_out_is_left_alone)
{
	struct structure *a, *b, *app;

	start(BY_THRESHOLDS);
	add_pair(&a, &b);
	app = add_application(model, "app0", 400, "'a','b'");
	EPOCH({a, 10}, {b, 98});
	CHECK_STR(swaps(), "a>b:72");
	json_object_set_new(app->doc, "rebalance", json_false());
	EPOCH({a, 10}, {b, 98});
	CHECK_STR(swaps(), "");
	json_object_set_new(app->doc, "rebalance", json_true());
	if (!a->doc)
		a->doc = json_object();
	json_object_set_new(a->doc, "rebalance", json_false());
	EPOCH({a, 10}, {b, 98});
	CHECK_STR(swaps(), "");
}

TEST(what_is_not_known_or_changing_is_left_alone)
{
	struct structure *a, *b;

	start(BY_THRESHOLDS);
	add_pair(&a, &b);
	EPOCH({a, NAN}, {b, 98});
	CHECK_STR(swaps(), "");
	b->in_flight = 1u << EBB_CPU;
	EPOCH({a, 10}, {b, 98});
	CHECK_STR(swaps(), "");
	b->in_flight = 1u << EBB_MEM;
	a->resources[EBB_CPU].allocated = 0;
	EPOCH({a, 10}, {b, 98});
	CHECK_STR(swaps(), "");
	a->resources[EBB_CPU].allocated = 200;
	a->live = false;
	EPOCH({a, 10}, {b, 98});
	CHECK_STR(swaps(), "");
	a->live = true;
	((struct host *)a->host)->connected = false;
	EPOCH({a, 10}, {b, 98});
	CHECK_STR(swaps(), "");
	((struct host *)a->host)->connected = true;
	EPOCH({a, 10}, {b, 98});
	CHECK_STR(swaps(), "a>b:72");
}

TEST(usage_is_the_mean_over_the_window)
{
	struct structure *a, *b;

	start(BY_THRESHOLDS);
	add_pair(&a, &b);
	snapshot_now();
	use(b, EBB_CPU, 20, 40);
	world_now += 40;
	use(b, EBB_CPU, 80, 15);
	world_now += 15;
	snapshot_now();
	/* It was idle for half of the time; the window may reach an eighth further back. */
	CHECK_NEAR(value_of(REBALANCE_CONTAINER, "b")->usage, 48, 3);
	CHECK(isnan(value_of(REBALANCE_CONTAINER, "a")->usage));
	/* Nothing came for a while: what was said last. */
	world_now += 60;
	snapshot_now();
	CHECK_NEAR(value_of(REBALANCE_CONTAINER, "b")->usage, 80, 0.01);
	rebalance_snapshot_forget(model);
	CHECK(!a->balance_history && !b->balance_history);
	snapshot_now();
	CHECK(isnan(value_of(REBALANCE_CONTAINER, "b")->usage));
}

/* Two applications of two containers each; one is idle. */
static void add_applications(struct used *used)
{
	add_host(model, "h0", 800, 0);
	for (int i = 0; i < 4; i++) {
		char name[8];

		snprintf(name, sizeof(name), "c%d", i);
		used[i].container = add_container(model, name, "h0", 200, 200);
		used[i].usage = i < 2 ? 10 : 190;
	}
	add_application(model, "idle", 400, "'c0','c1'");
	add_application(model, "busy", 400, "'c2','c3'");
}

static void add_room(int64_t amount)
{
	struct host *host = model_host(model, "h0");

	host->max[EBB_CPU] += amount;
	host->free[EBB_CPU] += amount;
}

TEST(applications_move_their_max)
{
	struct used used[4];

	start("{'STRUCTURES_BALANCED':['application']}");
	add_applications(used);
	epoch(used, 4);
	/* 0.4 * (400 - 20) */
	CHECK_STR(swaps(), "idle>busy:152");
	CHECK_INT(decision.swaps[0].level, REBALANCE_APPLICATION);
	/* As the scaler will split it: the idle ones give evenly, in slices of 5. */
	CHECK_INT(value_of(REBALANCE_APPLICATION, "idle")->max, 248);
	CHECK_INT(value_of(REBALANCE_APPLICATION, "busy")->max, 552);
	CHECK_INT(value_of(REBALANCE_CONTAINER, "c0")->max +
			  value_of(REBALANCE_CONTAINER, "c1")->max,
		  248);
	CHECK_INT(value_of(REBALANCE_CONTAINER, "c0")->current,
		  value_of(REBALANCE_CONTAINER, "c0")->max);
	CHECK_INT(value_of(REBALANCE_CONTAINER, "c2")->current +
			  value_of(REBALANCE_CONTAINER, "c3")->current,
		  552);
	CHECK_INT(snapshot.hosts[0].free[EBB_CPU], 0);
	/* What the model had is still known. */
	CHECK_INT(value_of(REBALANCE_CONTAINER, "c0")->model_max, 200);
}

TEST(each_level_sees_what_the_one_above_decided)
{
	struct used used[4];

	start("{'STRUCTURES_BALANCED':['container'],'BALANCING_POLICY':'thresholds'}");
	add_applications(used);
	used[3].usage = 20;
	/* Of the busy one c3 has much and c2 has no room: nothing to do for containers alone. */
	epoch(used, 4);
	CHECK_STR(swaps(), "");
	/* With what the application gets it has: its max rises, and current follows. */
	config.levels |= 1u << REBALANCE_APPLICATION;
	used[1].usage = 0;
	used[2].usage = 200;
	used[3].usage = 160;
	epoch(used, 4);
	CHECK(decision.n >= 1);
	CHECK_INT(decision.swaps[0].level, REBALANCE_APPLICATION);
	for (size_t i = 1; i < decision.n; i++) {
		const struct rebalance_value *donor = rebalance_value_of(
			&snapshot, REBALANCE_CONTAINER, decision.swaps[i].donor, 0);

		CHECK_INT(decision.swaps[i].level, REBALANCE_CONTAINER);
		CHECK(donor->current - decision.swaps[i].amount >= donor->min);
	}
}

TEST(an_application_with_a_container_that_is_not_known_is_left_alone)
{
	struct used used[4];

	start("{'STRUCTURES_BALANCED':['application']}");
	add_applications(used);
	used[1].usage = NAN;
	epoch(used, 4);
	CHECK_STR(swaps(), "");
	/* One that is not there does not count. */
	used[1].container->live = false;
	epoch(used, 4);
	CHECK_STR(swaps(), "idle>busy:152");
}

TEST(a_stopped_application_gives_all_but_its_min)
{
	struct used used[4];
	struct structure *stopped;

	start("{'STRUCTURES_BALANCED':['application']}");
	add_applications(used);
	used[0].usage = used[1].usage = 150;
	stopped = add_application(model, "stopped", 300, "");
	/* What it gives is a number: those who get it need room on their host. */
	epoch(used, 4);
	CHECK_STR(swaps(), "");
	CHECK_INT(decision.donors, 1);
	add_room(1000);
	json_object_set_new(stopped->doc, "state", json_string("stopped"));
	epoch(used, 4);
	CHECK_STR(swaps(), "stopped>busy:140 stopped>idle:140");
	config.only_running = true;
	epoch(used, 4);
	CHECK_STR(swaps(), "");
	/* It is about to start. */
	config.only_running = false;
	json_object_set_new(stopped->doc, "state", json_string("running"));
	epoch(used, 4);
	CHECK_STR(swaps(), "");
}

static void add_owner(const char *name, int max, const char *clusters)
{
	char text[512];

	snprintf(text, sizeof(text),
		 "{'name':'%s','type':'user','subtype':'user','clusters':[%s],'resources':{'cpu':"
		 "{'max':%d,'min':20}}}",
		 name, clusters, max);
	add_user(model, text);
}

TEST(users_move_their_max_and_applications_stay_within_one)
{
	struct used used[4];

	start("{'STRUCTURES_BALANCED':['application']}");
	add_applications(used);
	add_owner("u0", 400, "'idle'");
	add_owner("u1", 400, "'busy'");
	epoch(used, 4);
	CHECK_STR(swaps(), "");
	config.levels = 1u << REBALANCE_USER;
	epoch(used, 4);
	CHECK_STR(swaps(), "u0>u1:152");
	CHECK_INT(value_of(REBALANCE_USER, "u1")->max, 552);
	CHECK_INT(value_of(REBALANCE_APPLICATION, "busy")->max, 552);
	CHECK_INT(value_of(REBALANCE_APPLICATION, "idle")->max, 248);
	CHECK_INT(value_of(REBALANCE_CONTAINER, "c2")->max +
			  value_of(REBALANCE_CONTAINER, "c3")->max,
		  552);
	/* One of whose applications none runs. */
	add_application(model, "spare", 1000, "");
	add_owner("u2", 1000, "'spare'");
	add_room(1000);
	config.only_running = true;
	epoch(used, 4);
	CHECK_STR(swaps(), "u0>u1:152");
	config.only_running = false;
	epoch(used, 4);
	CHECK_STR(swaps(), "u2>u1:392 u0>u1:152");
	CHECK_INT(value_of(REBALANCE_APPLICATION, "spare")->max, 608);
	CHECK_INT(value_of(REBALANCE_APPLICATION, "busy")->max, 400 + 392 + 152);
}

TEST(weights_share_what_is_consumed)
{
	struct structure *a, *b, *c;

	start("{'BALANCING_METHOD':'weights','CONTAINERS_SCOPE':'host'}");
	add_pair(&a, &b);
	c = add_container(model, "c", "h0", 100, 200);
	a->resources[EBB_CPU].weight = 1;
	b->resources[EBB_CPU].weight = 2;
	c->resources[EBB_CPU].weight = 5;
	/* c is idle. 300 by 1:2. */
	EPOCH({a, 190}, {b, 98}, {c, 5});
	CHECK_STR(swaps(), "a>b:100");
	CHECK_INT(decision.donors, 1);
	CHECK_INT(decision.receivers, 1);
}

TEST(debts_are_paid_when_asked_for)
{
	struct structure *a, *b;

	start(BY_THRESHOLDS);
	add_pair(&a, &b);
	CHECK_INT(rebalance_credit_add(&a->doc, EBB_CPU, -60), 0);
	CHECK_INT(rebalance_credit_add(&b->doc, EBB_CPU, 50), 0);
	/* a needs all that it has. */
	EPOCH({a, 200}, {b, 98});
	CHECK_STR(swaps(), "");
	config.compensate = true;
	EPOCH({a, 200}, {b, 98});
	CHECK_STR(swaps(), "a>b:50");
}

TEST(resources_are_balanced_each_by_itself)
{
	struct structure *a, *b;

	start("{'BALANCING_POLICY':'thresholds','RESOURCES_BALANCED':['energy','mem']}");
	add_pair(&a, &b);
	for (int i = 0; i < 2; i++) {
		struct resource_state *energy = &(i ? b : a)->resources[EBB_ENERGY];

		*energy = (struct resource_state){
			.present = true, .max = 100, .min = 10, .current = 60, .usage = NAN};
	}
	clear(NULL);
	snapshot_now();
	CHECK_INT(snapshot.n_resources, 3); /* energy is looked at together with CPU */
	use(a, EBB_ENERGY, 10, 30);
	use(b, EBB_ENERGY, 90, 30);
	use(a, EBB_CPU, 10, 30);
	world_now += 30;
	snapshot_now();
	CHECK_INT(rebalance_decide(&config, &rules, &snapshot, &decision), 0);
	CHECK_STR(swaps(), "");
	use(a, EBB_ENERGY, 10, 30);
	use(b, EBB_ENERGY, 90, 30);
	use(a, EBB_CPU, 10, 30);
	use(b, EBB_CPU, 98, 30);
	world_now += 30;
	snapshot_now();
	CHECK_INT(rebalance_decide(&config, &rules, &snapshot, &decision), 0);
	/* 0.4 * (100 - 10): its max moves, and CPU itself is not balanced. */
	CHECK_STR(swaps(), "a>b:36");
	CHECK_INT(snapshot.resources[decision.swaps[0].k], EBB_ENERGY);
}

static uint64_t state;

static int below(int n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (int)(state % (uint64_t)n);
}

static void check_decision(void)
{
	int64_t sum = 0, before = 0;

	for (size_t i = 0; i < decision.n; i++) {
		const struct rebalance_swap *swap = &decision.swaps[i];
		const struct rebalance_node *nodes = snapshot.levels[swap->level].nodes;

		CHECK(swap->amount > 0 && swap->donor != swap->receiver);
		CHECK(!nodes[swap->donor].opted_out && !nodes[swap->receiver].opted_out);
		if (swap->level == REBALANCE_CONTAINER)
			CHECK(nodes[swap->donor].host == nodes[swap->receiver].host);
		if (swap->level != REBALANCE_USER)
			CHECK(nodes[swap->donor].parent == nodes[swap->receiver].parent);
		if (i > 0)
			CHECK(decision.swaps[i - 1].level <= swap->level);
	}
	for (int level = 0; level < REBALANCE_LEVEL_MAX; level++) {
		sum = before = 0;
		for (size_t i = 0; i < snapshot.levels[level].n; i++) {
			const struct rebalance_value *v =
				rebalance_value_of(&snapshot, level, i, 0);

			CHECK(v->max >= v->min);
			sum += v->max;
			before += v->model_max;
			if (level == REBALANCE_CONTAINER)
				CHECK(v->current >= v->min && v->current <= v->max);
		}
		/* Of users nothing comes or goes; of the rest nothing in a swap of their own. */
		if (level == REBALANCE_USER || config.levels == 1u << level)
			CHECK_INT(sum, before);
	}
}

/* Sites of any shape: at each level the sum over a domain is kept, and nobody leaves its range. */
static void random_site(void)
{
	struct used used[24];
	char list[512] = "", name[16];
	int n = 2 + below(22), first = 0, n_apps = 0;

	start("{'STRUCTURES_BALANCED':['user','application','container'],"
	      "'BALANCING_POLICY':'thresholds'}");
	config.by_thresholds = below(3);
	config.compensate = below(2);
	config.only_running = below(2);
	config.stolen = (double)below(101) / 100;
	for (int h = 0; h < 3; h++) {
		snprintf(name, sizeof(name), "h%d", h);
		add_host(model, name, 10000, below(300));
	}
	for (int i = 0; i < n; i++) {
		int max = 20 + below(400), current = 20 + below(max - 19);
		char host[8];

		snprintf(name, sizeof(name), "c%d", i);
		snprintf(host, sizeof(host), "h%d", below(3));
		used[i].container = add_container(model, name, host, current, max);
		used[i].usage = below(10) ? (double)below(4000) / 10 : NAN;
		if (below(2))
			CHECK_INT(rebalance_credit_add(&used[i].container->doc, EBB_CPU,
						       below(200) - 100),
				  0);
	}
	while (first < n && n_apps < 8) {
		int size = below(5), end = MIN(n, first + size);

		list[0] = '\0';
		for (; first < end; first++)
			snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s'c%d'",
				 *list ? "," : "", first);
		snprintf(name, sizeof(name), "app%d", n_apps++);
		add_application(model, name, 20 + below(2000), list);
	}
	list[0] = '\0';
	for (int i = 0; i < n_apps; i++)
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s'app%d'",
			 *list ? "," : "", i);
	if (below(2))
		add_owner("u0", 20 + below(3000), list);
	add_owner("u1", 20 + below(3000), "");
	epoch(used, (size_t)n);
	check_decision();
	for (size_t h = 0; h < snapshot.n_hosts; h++)
		CHECK(snapshot.hosts[h].free[EBB_CPU] >= 0);
}

TEST(random_sites_keep_every_bound)
{
	uint64_t seed = test_seed(1);

	state = seed * 2 + 1;
	for (int round = 0; round < 100; round++) {
		random_site();
		clear(NULL);
		test_n_ends = 0;
		model_free(model);
	}
}

TEST_MAIN()
