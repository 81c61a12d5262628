/* SPDX-License-Identifier: Apache-2.0 */
#include "sanity.h"

#include <errno.h>
#include <stdarg.h>

#include "model_private.h"
#include "sanity_config.h"
#include "sanity_findings.h"
#include "store.h"
#include "ebb/cleanup.h"
#include "ebb/loop.h"
#include "../../quoted_json.h"
#include "../../test.h"

static struct model *model;
static struct audit *audit;
static struct scaler *scaler;
static struct timed *timed;
static struct sanity *sanity;
static struct host *host;
static json_t *findings;

/* The last order, which waits for finish(). */
static char ordered[512];
static void *under_way;
static unsigned orders;

static int take_order(void *userdata, struct order *order)
{
	_cleanup_free_ char *body = json_dumps(order->body, JSON_COMPACT | JSON_SORT_KEYS);

	snprintf(ordered, sizeof(ordered), "%s %s", order->container, body);
	under_way = order->userdata;
	orders++;
	free(order->address);
	free(order->container);
	json_decref(order->body);
	return 0;
}

/* As the agent reads it back. */
static void finish(int cpu, const char *cpus)
{
	_cleanup_json_ json_t *resources =
		json_pack("{s:{s:i, s:s}}", "cpu", "cpu_allowance_limit", cpu, "cpu_num", cpus);
	const struct order_result result = {
		.ok = true, .status = 201, .resources = resources, .applied_ns = 5};

	CHECK(under_way);
	scaler_order_done(scaler, TAKE_PTR(under_way), &result);
}

static void release_all(void *arg)
{
	const struct order_result lost = {.status = 0, .error = "the test ends"};

	if (under_way)
		scaler_order_done(scaler, TAKE_PTR(under_way), &lost);
	timed_free(TAKE_PTR(timed));
	sanity_free(TAKE_PTR(sanity));
	scaler_free(TAKE_PTR(scaler));
	audit_free(TAKE_PTR(audit));
	model_free(TAKE_PTR(model));
	json_decref(TAKE_PTR(findings));
}

static void start_with(bool by_time)
{
	_cleanup_json_ json_t *message =
		parse("{'host':'h0','session':'s','register':{'address':'http://127.0.0.1:1',"
		      "'cpus':[0,1,2,3],'mem':8589934592}}");

	test_at_end(release_all, NULL);
	CHECK_INT(model_new(NULL, &model), 0);
	CHECK_INT(audit_new(NULL, 64, &audit), 0);
	CHECK_INT(scaler_new(model, audit, &scaler), 0);
	scaler_set_sink(scaler, (struct order_sink){.submit = take_order});
	if (by_time)
		CHECK_INT(timed_new(&timed), 0);
	CHECK_INT(sanity_new(model, scaler, timed, &sanity), 0);
	model_lock(model);
	CHECK_INT(model_register_host(model, message, &host), 0);
	host->connected = true;
	model_unlock(model);
	orders = 0;
}

static void start(void)
{
	start_with(false);
}

/* A guarded container of 20..400 shares, with that limit and those cores in force. */
static struct structure *container(const char *name, int cpu, const char *cpus)
{
	_cleanup_json_ json_t *added = parse(
		"{'c':1,'name':'%s','limits':{'cpu':%d,'cpus':'%s','mem':512}}", name, cpu, cpus);
	_cleanup_free_ char *error = NULL;
	struct structure *s = NULL;
	int r;

	model_lock(model);
	r = model_register_container(model, host, added, &s);
	if (r >= 0)
		r = model_set_parameter(model, s, EBB_CPU, "max", 400, &error);
	if (r >= 0)
		r = model_guard(model, s, true, &error);
	if (r < 0)
		TEST_FAIL("%s: %s", name, error ? error : strerror(-r));
	for (struct structure *waiting; (waiting = model_next_apply(model));)
		waiting->apply = 0;
	model_unlock(model);
	return s;
}

static struct structure *document(const char *format, ...) __attribute__((format(printf, 1, 2)));
static struct structure *document(const char *format, ...)
{
	struct structure *s = NULL;
	_cleanup_json_ json_t *doc = NULL;
	char text[2048];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	doc = parse_text(text);
	CHECK_INT(structure_from_json(doc, NULL, &s, NULL), 0);
	model_lock(model);
	CHECK_INT(model_add(model, s), 0);
	model_unlock(model);
	return s;
}

/* How many findings an epoch at `now` has, and which. */
static size_t look_at(double now)
{
	CHECK_INT(sanity_epoch(sanity, now), 0);
	json_decref(findings);
	findings = sanity_findings(sanity);
	return json_array_size(findings);
}

static size_t look(void)
{
	return look_at(1000);
}

static size_t n_of(enum sanity_check check)
{
	size_t counts[SANITY_CHECK_MAX];

	sanity_count(sanity, counts);
	return counts[check];
}

static void check_found(size_t i, const char *check, const char *structure, const char *mention)
{
	const json_t *finding = json_array_get(findings, i);
	const char *message = json_string_value(json_object_get(finding, "message"));

	CHECK(finding);
	CHECK_STR(json_string_value(json_object_get(finding, "check")), check);
	CHECK_STR(json_string_value(json_object_get(finding, "structure")), structure);
	if (!strstr(message, mention))
		TEST_FAIL("\"%s\" does not mention \"%s\"", message, mention);
}

static bool repaired(size_t i)
{
	return json_is_true(json_object_get(json_array_get(findings, i), "repaired"));
}

static unsigned long repairs(void)
{
	struct sanity_stats stats;

	sanity_get_stats(sanity, &stats);
	return stats.repairs;
}

TEST(what_is_right_is_not_told)
{
	start();
	container("c0", 150, "0-1");
	container("c1", 100, "2");
	document("{'type':'structure','subtype':'application','name':'a0',"
		 "'resources':{'cpu':{'max':400,'min':100}},'containers':['c0','c1']}");
	if (look())
		TEST_FAIL("%s", json_dumps(findings, 0));
	CHECK_INT(orders, 0);
	CHECK_INT(repairs(), 0);
}

/* --- core maps --- */

TEST(cores_that_differ_are_ordered_again)
{
	start();
	container("c0", 150, "3");
	CHECK_INT(look(), 1);
	check_found(0, "core_map", "c0", "on cores 3, the map of host h0 gives it 0,1");
	CHECK(repaired(0));
	CHECK_INT(repairs(), 1);
	CHECK_INT(orders, 1);
	CHECK_STR(ordered, "c0 {\"cpu\":{\"cpu_allowance_limit\":150,\"cpu_num\":\"0,1\"}}");
	/* Under way: nothing to be said, and nothing to be ordered twice. */
	CHECK_INT(look(), 0);
	CHECK_INT(orders, 1);
	finish(150, "0-1");
	CHECK_INT(look(), 0);
	CHECK_INT(orders, 1);
}

TEST(cores_of_which_nothing_is_known_or_meant_are_left_alone)
{
	struct structure *c0;

	start();
	c0 = container("c0", 100, "3");
	model_lock(model);
	host->connected = false;
	model_unlock(model);
	CHECK_INT(look(), 0);
	model_lock(model);
	host->connected = true;
	model->scaler.pin_cores = false;
	model_unlock(model);
	CHECK_INT(look(), 0);
	model_lock(model);
	model->scaler.pin_cores = true;
	model_cpus_reported(c0, NULL);
	model_unlock(model);
	CHECK_INT(look(), 0);
	CHECK_INT(orders, 0);
}

TEST(a_cpuset_that_is_too_narrow_is_told)
{
	start();
	container("c0", 150, "3");
	container("c1", 150, "2-3");
	container("c2", 50, "");
	model_lock(model);
	CHECK_INT(model_set_core_distribution(model, host->structure, CORES_NONE), 0);
	model_unlock(model);
	CHECK_INT(look(), 1);
	check_found(0, "core_map", "c0", "may use 150 shares, but its cpuset is 3");
	CHECK(!repaired(0));
	CHECK_INT(orders, 0);
}

TEST(what_the_scaler_put_back_is_told_once)
{
	_cleanup_json_ json_t *limits = parse("{'cpu':150,'cpus':'2-3','mem':512}");
	struct structure *c0;

	start();
	c0 = container("c0", 150, "0-1");
	model_lock(model);
	model_cpus_reported(c0, "0-1");
	scaler_limits_reported(scaler, c0, limits, 1);
	scaler_run(scaler);
	model_unlock(model);
	CHECK_INT(orders, 1);
	finish(150, "0-1");
	CHECK_INT(look(), 1);
	check_found(0, "core_map", "c0", "they were put back");
	CHECK(repaired(0));
	CHECK_INT(repairs(), 1);
	CHECK_INT(look(), 0);
	CHECK_INT(repairs(), 1);
}

/* --- accounting --- */

TEST(hosts_whose_sums_are_wrong)
{
	start();
	container("c0", 150, "0-1");
	model_lock(model);
	host->free[EBB_MEM] += 7;
	model_unlock(model);
	CHECK_INT(look(), 1);
	check_found(0, "accounting", "h0", "h0: mem: 512 held + 7687 free is not 8192");
	CHECK(!repaired(0));
	model_lock(model);
	host->free[EBB_MEM] -= 7;
	host->containers->resources[EBB_CPU].allocated = 140;
	host->containers->resources[EBB_CPU].current = 140;
	model_unlock(model);
	CHECK_INT(look(), 1);
	check_found(0, "accounting", "h0", "c0 holds 140 shares, the core map of h0 says 150");
	model_lock(model);
	host->containers->resources[EBB_CPU].allocated = 150;
	host->containers->resources[EBB_CPU].current = 150;
	model_unlock(model);
	CHECK_INT(look(), 0);
}

TEST(limits_that_cannot_be)
{
	struct structure *c0;
	struct resource_state *cpu;

	start();
	c0 = container("c0", 150, "0-1");
	cpu = &c0->resources[EBB_CPU];
	cpu->max = 100;
	CHECK_INT(look(), 1);
	check_found(0, "accounting", "c0", "its cpu limit of 150 is not within 20 to 100");
	/* An order is to put that right. */
	c0->in_flight = 1u << EBB_CPU;
	CHECK_INT(look(), 0);
	c0->in_flight = 0;
	cpu->min = 120;
	CHECK_INT(look(), 1);
	check_found(0, "accounting", "c0", "min of its cpu, 120, is above its max, 100");
	cpu->min = -3;
	CHECK_INT(look(), 1);
	check_found(0, "accounting", "c0", "negative number: max 100, min -3");
	cpu->max = 400;
	cpu->min = 20;
	cpu->upper = 160;
	CHECK_INT(look(), 1);
	check_found(0, "accounting", "c0", "upper 160 and current 150 of its cpu");
	cpu->has_boundary = false;
	CHECK_INT(look(), 1);
	check_found(0, "accounting", "c0", "has no boundary");
	CHECK_STR(json_string_value(json_object_get(json_array_get(findings, 0), "resource")),
		  "cpu");
	/* Nobody watches it. */
	c0->resources[EBB_CPU].guard = false;
	CHECK_INT(look(), 0);
}

/* --- lists --- */

TEST(lists_that_are_wrong)
{
	start();
	container("c0", 150, "0-1");
	container("c1", 100, "2");
	document("{'type':'structure','subtype':'application','name':'a0','resources':{},"
		 "'containers':['c0','ghost']}");
	CHECK_INT(look(), 1);
	check_found(0, "membership", "a0", "names ghost, which is not there");
	document("{'type':'structure','subtype':'application','name':'a1',"
		 "'resources':{'cpu':{'max':30,'min':0}},'containers':['c1','c0']}");
	CHECK_INT(look(), 3);
	CHECK_INT(n_of(SANITY_MEMBERSHIP), 3);
	CHECK_INT(n_of(SANITY_CORE_MAP), 0);
}

TEST(parents_that_are_too_small)
{
	struct structure *app;

	start();
	container("c0", 150, "0-1");
	container("c1", 100, "2");
	app = document("{'type':'structure','subtype':'application','name':'a0',"
		       "'resources':{'cpu':{'max':249,'min':0}},'containers':['c0','c1']}");
	CHECK_INT(look(), 1);
	check_found(0, "membership", "a0", "are 250 of cpu together, its max is 249");
	app->resources[EBB_CPU].max = 39;
	CHECK_INT(look(), 1);
	check_found(0, "membership", "a0", "needs at least 40 of cpu, its max is 39");
	app->resources[EBB_CPU].max = 250;
	CHECK_INT(look(), 0);
}

/* --- rules --- */

static void set_rule(const char *name, const char *text)
{
	json_t *doc = parse_text(text);

	json_object_set_new(doc, "name", json_string(name));
	model_lock(model);
	json_object_set_new(model->rules, name, doc);
	CHECK_INT(model_load_rules(model), 0);
	model_unlock(model);
}

#define ASKS                                                                   \
	"'type':'rule','resource':'cpu','active':true,'generates':'requests'," \
	"'action':{'requests':['R']},'amount':10,'rescale_policy':'amount','rescale_type':'up',"

TEST(rules_that_can_never_fire)
{
	start();
	set_rule("Few", "{" ASKS "'events_to_remove':5,'rule':{'and':["
			"{'>=':[{'var':'events.scale.up'},5]},"
			"{'<=':[{'var':'events.scale.up'},3]}]}}");
	CHECK_INT(look(), 1);
	check_found(0, "rule", "Few", "Few");
	set_rule("Few", "{" ASKS "'events_to_remove':100000,'rule':{'and':["
			"{'>=':[{'var':'events.scale.up'},100000]}]}}");
	CHECK_INT(look(), 1);
	check_found(0, "rule", "Few", "EVENT_TIMEOUT");
	set_rule("Few", "{" ASKS "'events_to_remove':2,'rule':{'and':["
			"{'>=':[{'var':'cpu.structure.cpu.usge'},2]}]}}");
	CHECK_INT(look(), 1);
	check_found(0, "rule", "Few", "usge");
	set_rule("Few", "{" ASKS "'events_to_remove':2,'rule':{'and':["
			"{'>=':[{'var':'events.scale.up'},2]}]}}");
	CHECK_INT(look(), 0);
	/* One that is switched off is nobody's trouble. */
	set_rule("Few", "{'active':false,'resource':'cpu','rule':{}}");
	CHECK_INT(look(), 0);
}

TEST(a_late_feed_needs_another_window)
{
	start();
	/* 400 events a minute there are with a sample every 100 ms, not with one every 5 s. */
	model->guardian.event_timeout = 60;
	set_rule("Many", "{" ASKS "'events_to_remove':400,'rule':{'and':["
			 "{'>=':[{'var':'events.scale.up'},400]}]}}");
	CHECK_INT(look(), 0);
	host->from_series = true;
	CHECK_INT(look(), 1);
	check_found(0, "rule", "Many", "EVENT_TIMEOUT");
}

TEST(events_that_nobody_makes)
{
	start();
	set_rule("cpu_exceeded_upper", "{'active':false,'resource':'cpu','rule':{}}");
	set_rule("cpu_saturated", "{'active':false,'resource':'cpu','rule':{}}");
	set_rule("cpu_throttled", "{'active':false,'resource':'cpu','rule':{}}");
	CHECK_INT(look(), 1);
	check_found(0, "rule", "CpuRescaleUp", "no active rule makes events up");
}

/* --- epochs --- */

TEST(findings_remember_since_when)
{
	struct structure *c0;

	start();
	c0 = container("c0", 150, "0-1");
	c0->resources[EBB_CPU].max = 100;
	CHECK_INT(look_at(1000), 1);
	CHECK_INT(look_at(1100), 1);
	CHECK_NEAR(json_number_value(json_object_get(json_array_get(findings, 0), "since")), 1000,
		   0);
	c0->resources[EBB_CPU].max = 400;
	CHECK_INT(look_at(1200), 0);
	c0->resources[EBB_CPU].max = 100;
	CHECK_INT(look_at(1300), 1);
	CHECK_NEAR(json_number_value(json_object_get(json_array_get(findings, 0), "since")), 1300,
		   0);
}

TEST(who_stands_by_looks_at_nothing)
{
	struct sanity_stats stats;
	struct structure *c0;

	start();
	c0 = container("c0", 150, "3");
	c0->resources[EBB_CPU].max = 100;
	model_lock(model);
	model->leading = false;
	model_unlock(model);
	CHECK_INT(look(), 0);
	sanity_get_stats(sanity, &stats);
	CHECK_INT(stats.epochs, 0);
	CHECK_INT(orders, 0);
}

TEST(an_epoch_that_is_asked_for_runs)
{
	struct sanity_stats stats;

	start_with(true);
	model_lock(model);
	model->sanity.active = false;
	model_unlock(model);
	for (int i = 0; i < 5; i++)
		CHECK_INT(sanity_run_now(sanity, 20000), 0);
	sanity_get_stats(sanity, &stats);
	CHECK(stats.epochs >= 5);
	CHECK(!stats.active);
}

TEST(findings_are_bounded_but_all_counted)
{
	struct sanity_findings *many = sanity_findings_new();
	_cleanup_json_ json_t *list = NULL;
	char name[32];

	for (int i = 0; i < SANITY_FINDINGS_MAX + 500; i++) {
		snprintf(name, sizeof(name), "c%d", i);
		sanity_findings_add(many, SANITY_ACCOUNTING, name, "cpu", false, "%s", name);
		if (i == 3)
			sanity_findings_add(many, SANITY_ACCOUNTING, name, "cpu", false, "again");
	}
	CHECK_INT(sanity_findings_count(many, SANITY_ACCOUNTING), SANITY_FINDINGS_MAX + 500);
	list = sanity_findings_to_json(many);
	CHECK_INT(json_array_size(list), SANITY_FINDINGS_MAX);
	sanity_findings_free(many);
}

TEST(a_large_site_is_looked_at_in_pieces)
{
	struct sanity_stats stats;

	start();
	model_lock(model);
	for (int i = 0; i < 20000; i++) {
		char name[32];
		struct structure *s;

		snprintf(name, sizeof(name), "other%d", i);
		s = structure_new(name, STRUCTURE_CONTAINER);
		s->resources[EBB_CPU].present = true;
		s->resources[EBB_CPU].max = 10;
		s->resources[EBB_CPU].min = i % 20;
		CHECK_INT(model_add(model, s), 0);
	}
	model_unlock(model);
	CHECK_INT(look(), SANITY_FINDINGS_MAX);
	CHECK_INT(n_of(SANITY_ACCOUNTING), 9 * 1000);
	sanity_get_stats(sanity, &stats);
	CHECK(stats.hold_s < stats.seconds);
}

/* --- configuration --- */

TEST(the_configuration_of_the_original)
{
	_cleanup_json_ json_t *config =
		parse("{'DELAY':30,'POLLING_FREQUENCY':'5','DEBUG':true,'ACTIVE':'true',"
		      "'DATABASES':['events','rules']}");
	struct sanity_config c;

	CHECK_INT(sanity_config_from_json(NULL, &c, NULL), 0);
	CHECK(c.active && !c.debug);
	CHECK_NEAR(c.delay, 120, 0);
	CHECK_NEAR(c.polling_frequency, 0, 0);
	CHECK_INT(c.databases, 1u << DB_EVENTS | 1u << DB_REQUESTS | 1u << DB_SERVICES |
				       1u << DB_STRUCTURES | 1u << DB_LIMITS);
	CHECK_INT(sanity_config_from_json(config, &c, NULL), 0);
	CHECK(c.active && c.debug);
	CHECK_NEAR(c.delay, 30, 0);
	CHECK_NEAR(c.polling_frequency, 5, 0);
	CHECK_INT(c.databases, 1u << DB_EVENTS | 1u << DB_RULES);
}

TEST(a_wrong_configuration_is_refused)
{
	static const char *const wrong[][2] = {
		{"{'DELAY':0}", "DELAY must be seconds, from 1"},
		{"{'DELAY':'soon'}", "DELAY must be seconds"},
		{"{'POLLING_FREQUENCY':-1}", "POLLING_FREQUENCY"},
		{"{'DATABASES':'events'}", "DATABASES must be a list"},
		{"{'DATABASES':['events','leases']}", "DATABASES[1] must be structures"},
		{"{'ACTIVE':'perhaps'}", "ACTIVE must be true or false"},
		{"[]", "config must be an object"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		_cleanup_json_ json_t *config = parse_text(wrong[i][0]);
		_cleanup_free_ char *error = NULL;
		struct sanity_config c = {.delay = 7};

		CHECK_INT(sanity_config_from_json(config, &c, &error), -EINVAL);
		if (!strstr(error, wrong[i][1]))
			TEST_FAIL("\"%s\" does not mention \"%s\"", error, wrong[i][1]);
		CHECK_NEAR(c.delay, 7, 0);
	}
}

TEST_MAIN()
