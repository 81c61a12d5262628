/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API over HTTP, on the controller's real parts: what each route answers, and that a refusal
 * leaves every document as it was, byte for byte. The agent's address is a port that nobody listens
 * on.
 */
#include "api_fixture.h"

#include "metrics.h"
#include "ebb/cleanup.h"

TEST(heartbeat_tells_what_there_is)
{
	_cleanup_json_ json_t *doc = NULL;

	start();
	doc = get("/heartbeat");
	CHECK_STR(json_string_value(json_object_get(doc, "status")), "alive");
	CHECK_INT(number_at(doc, "hosts"), 1);
	CHECK_INT(number_at(doc, "containers"), 2);
	CHECK_INT(number_at(doc, "guarded"), 0);
}

TEST(structures_are_listed_and_filtered)
{
	static const struct {
		const char *path;
		size_t n;
	} cases[] = {
		{"/structure/", 3},
		{"/structure", 3},
		{"/structure/?subtype=container", 2},
		{"/structure/?subtype=host", 1},
		{"/structure/?host=h0", 3},
		{"/structure/?host=elsewhere", 0},
		{"/structure/?guard=true", 0},
		{"/structure/?subtype=container&guard=0", 2},
	};

	start();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_json_ json_t *list = get(cases[i].path);

		if (json_array_size(list) != cases[i].n)
			TEST_FAIL("%s: %zu, want %zu", cases[i].path, json_array_size(list),
				  cases[i].n);
	}
	ask("GET", "/structure/?guard=maybe", NULL);
	CHECK_INT(status, 400);
}

TEST(parts_of_a_structure_can_be_read)
{
	_cleanup_json_ json_t *doc = NULL, *resources = NULL, *cpu = NULL, *max = NULL;
	_cleanup_json_ json_t *limits = NULL, *limit = NULL;

	start();
	doc = get("/structure/c0/");
	CHECK_STR(json_string_value(json_object_get(doc, "name")), "c0");
	CHECK_STR(json_string_value(json_object_get(doc, "host")), "h0");
	CHECK_INT(number_at(doc, "resources.cpu.current"), 200);
	resources = get("/structure/c0/resources");
	CHECK_INT(number_at(resources, "mem.current"), 512);
	cpu = get("/structure/c0/resources/cpu/");
	max = get("/structure/c0/resources/cpu/max");
	CHECK(json_is_integer(max));
	CHECK_INT(json_integer_value(max), number_at(cpu, "max"));
	limits = get("/structure/c0/limits");
	limit = get("/structure/c0/limits/cpu");
	CHECK_INT(number_at(limits, "cpu.boundary"), number_at(limit, "boundary"));
}

TEST(users_can_be_read)
{
	_cleanup_json_ json_t *list = NULL, *one = NULL, *doc = NULL;
	struct structure *user = NULL;

	start();
	doc = json_pack("{s:s, s:[s]}", "name", "user0", "clusters", "app1");
	CHECK_INT(user_from_json(doc, NULL, &user, NULL), 0);
	model_lock(f.api.model);
	CHECK_INT(model_add(f.api.model, user), 0);
	model_unlock(f.api.model);
	list = get("/user/");
	CHECK_INT(json_array_size(list), 1);
	one = get("/user/user0");
	CHECK(json_equal(json_array_get(list, 0), one));
	CHECK_STR(json_string_value(json_array_get(json_object_get(one, "clusters"), 0)), "app1");
	ask("POST", "/user/user0", "{}");
	CHECK_INT(status, 405);
}

TEST(users_can_be_guarded)
{
	_cleanup_json_ json_t *doc = NULL, *after = NULL;
	struct structure *user = NULL;

	start();
	doc = json_pack("{s:s, s:[], s:{s:{s:i, s:i}, s:{s:i, s:i}}}", "name", "user0", "clusters",
			"resources", "cpu", "max", 800, "min", 20, "mem", "max", 0, "min", 0);
	CHECK_INT(user_from_json(doc, NULL, &user, NULL), 0);
	model_lock(f.api.model);
	CHECK_INT(model_add(f.api.model, user), 0);
	model_unlock(f.api.model);
	ask("PUT", "/user/user0/resources/cpu/guard", NULL);
	CHECK_INT(status, 200);
	ask("PUT", "/user/user0/guard", NULL);
	CHECK_INT(status, 200);
	after = get("/user/user0");
	CHECK(json_is_true(json_object_get(after, "guard")));
	CHECK(user->guard && user->guard_state && user->resources[EBB_CPU].guard);
	CHECK(user->resources[EBB_CPU].has_boundary && !user->resources[EBB_MEM].has_boundary);
	refused("/user/user0/resources/mem/guard", NULL, 400, "PUT /user/user0/resources/mem/max");
	refused("/user/user0/resources/energy/guard", NULL, 404, "energy");
	refused("/user/nobody/guard", NULL, 404, "nobody");
	ask("PUT", "/user/user0/resources/cpu/unguard", NULL);
	CHECK_INT(status, 200);
	CHECK(user->guard && !user->resources[EBB_CPU].guard);
	ask("PUT", "/user/user0/unguard", NULL);
	CHECK_INT(status, 200);
	CHECK(!user->guard && !user->guard_state);
}

TEST(unknown_things_are_404)
{
	static const char *const paths[] = {
		"/structure/nobody",
		"/structure/nobody/resources",
		"/structure/c0/resources/energy",
		"/structure/c0/resources/cpu/nonsense",
		"/structure/nobody/limits",
		"/structure/c0/limits/energy",
		"/rule/nonsense",
		"/service/nonsense",
		"/user/nobody",
		"/nonsense",
		"/decision/?structure=nobody",
	};

	start();
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		_cleanup_json_ json_t *doc = NULL;

		ask("GET", paths[i], NULL);
		if (status != 404)
			TEST_FAIL("%s: %ld", paths[i], status);
		doc = answer();
		CHECK(json_object_get(doc, "message"));
	}
}

TEST(numbers_may_be_strings)
{
	_cleanup_json_ json_t *a = NULL, *b = NULL, *c = NULL;

	start();
	a = put("/structure/c0/resources/cpu/max", "{'value':300}");
	CHECK_INT(number_at(a, "resources.cpu.max"), 300);
	b = put("/structure/c0/resources/cpu/max/", "{'value':'250'}");
	CHECK_INT(number_at(b, "resources.cpu.max"), 250);
	c = put("/structure/c0/resources/cpu/weight", "{'value':'1.5'}");
	CHECK_NEAR(number_at(c, "resources.cpu.weight"), 1.5, 1e-9);
}

TEST(bad_parameters_are_refused)
{
	start();
	json_decref(put("/structure/c0/resources/cpu/max", "{'value':200}"));
	json_decref(put("/structure/c0/resources/cpu/min", "{'value':50}"));

	refused("/structure/c0/resources/cpu/max", "{'value':40}", 400, "min");
	refused("/structure/c0/resources/cpu/min", "{'value':201}", 400, "max");
	refused("/structure/c0/resources/cpu/max", "{'value':-1}", 400, NULL);
	refused("/structure/c0/resources/cpu/max", "{'value':100.5}", 400, "whole");
	refused("/structure/c0/resources/cpu/max", "{'value':1e300}", 400, NULL);
	refused("/structure/c0/resources/cpu/max", "{'value':99999999999999999999}", 400, NULL);
	refused("/structure/c0/resources/cpu/max", "{'value':'nan'}", 400, NULL);
	refused("/structure/c0/resources/cpu/max", "{'value':'inf'}", 400, NULL);
	refused("/structure/c0/resources/cpu/max", "{'value':NaN}", 400, NULL);
	refused("/structure/c0/resources/cpu/max", "{'value':''}", 400, NULL);
	refused("/structure/c0/resources/cpu/max", "{'value':true}", 400, NULL);
	refused("/structure/c0/resources/cpu/max", "{'value':null}", 400, NULL);
	refused("/structure/c0/resources/cpu/max", "{'value':[200]}", 400, NULL);
	refused("/structure/c0/resources/cpu/max", "{'value':{'x':1}}", 400, NULL);
	refused("/structure/c0/resources/cpu/max", "{'valu':200}", 400, "value");
	refused("/structure/c0/resources/cpu/max", "{}", 400, "value");
	refused("/structure/c0/resources/cpu/max", "[200]", 400, NULL);
	refused("/structure/c0/resources/cpu/max", "200", 400, NULL);
	refused("/structure/c0/resources/cpu/max", "{'value':200", 400, NULL);
	refused("/structure/c0/resources/cpu/max", "", 400, NULL);
	refused("/structure/c0/resources/cpu/max", NULL, 400, NULL);
	refused("/structure/c0/resources/cpu/weight", "{'value':-1}", 400, NULL);
	refused("/structure/c0/resources/cpu/weight", "{'value':1e9}", 400, NULL);
	refused("/structure/c0/resources/cpu/current", "{'value':100}", 400, "max");
	refused("/structure/c0/resources/gpu/max", "{'value':100}", 400, "gpu");
	refused("/structure/nobody/resources/cpu/max", "{'value':100}", 404, "nobody");
}

TEST(a_body_that_is_not_utf8_is_refused)
{
	static const char bad[] = "{\"value\":\"\xff\xfe\"}";

	start();
	refused_bytes("PUT", "/structure/c0/resources/cpu/max", bad, sizeof(bad) - 1, 400, NULL);
	refused_bytes("PUT", "/structure/c0/limits/cpu/boundary_type", bad, sizeof(bad) - 1, 400,
		      NULL);
	refused_bytes("PUT", "/service/guardian/STRUCTURE_GUARDED", bad, sizeof(bad) - 1, 400,
		      NULL);
}

TEST(a_body_that_is_too_large_is_refused)
{
	size_t size = 2 << 20;
	_cleanup_free_ char *large = malloc(size);

	start();
	memset(large, ' ', size);
	memcpy(large, "{\"value\":200", 12);
	large[size - 1] = '}';
	refused_bytes("PUT", "/structure/c0/resources/cpu/max", large, size, 413, NULL);
}

TEST(boundaries)
{
	_cleanup_json_ json_t *a = NULL, *b = NULL;

	start();
	a = put("/structure/c0/limits/cpu/boundary", "{'value':'20'}");
	CHECK_INT(number_at(a, "resources.cpu.boundary"), 20);
	b = put("/structure/c0/limits/cpu/boundary_type", "{'value':'percentage_of_current'}");
	CHECK_STR(
		json_string_value(json_object_get(
			json_object_get(json_object_get(b, "resources"), "cpu"), "boundary_type")),
		"percentage_of_current");

	refused("/structure/c0/limits/cpu/boundary", "{'value':101}", 400, "100");
	refused("/structure/c0/limits/cpu/boundary", "{'value':-1}", 400, NULL);
	refused("/structure/c0/limits/cpu/boundary", "{'value':'many'}", 400, NULL);
	refused("/structure/c0/limits/cpu/boundary_type", "{'value':'percentage'}", 400,
		"percentage_of_max");
	refused("/structure/c0/limits/cpu/boundary_type", "{'value':7}", 400, NULL);
	refused("/structure/c0/limits/gpu/boundary", "{'value':10}", 400, "gpu");
	refused("/structure/nobody/limits/cpu/boundary", "{'value':10}", 404, NULL);
	refused("/structure/h0/limits/cpu/boundary", "{'value':10}", 404, "h0");
}

static bool guarded(const char *name, const char *resource)
{
	char path[128];
	_cleanup_json_ json_t *doc = NULL;

	snprintf(path, sizeof(path), "/structure/%s/resources/%s/guard", name, resource);
	doc = get(path);
	CHECK(json_is_boolean(doc));
	return json_is_true(doc);
}

TEST(guarding_in_all_forms)
{
	_cleanup_json_ json_t *doc = NULL, *list = NULL;

	start();
	json_decref(put("/structure/c0/resources/unguard", "{'resources':['cpu','mem']}"));
	CHECK(!guarded("c0", "cpu") && !guarded("c0", "mem"));
	json_decref(put("/structure/c0/resources/cpu/guard", NULL));
	CHECK(guarded("c0", "cpu") && !guarded("c0", "mem"));
	json_decref(put("/structure/c0/resources/cpu/unguard", NULL));
	CHECK(!guarded("c0", "cpu"));
	json_decref(put("/structure/c0/resources/guard/", "{'resources':['cpu','mem']}"));
	CHECK(guarded("c0", "cpu") && guarded("c0", "mem"));
	doc = put("/structure/c0/guard", "{}");
	CHECK(json_is_true(json_object_get(doc, "guard")));
	list = get("/structure/?guard=true");
	CHECK_INT(json_array_size(list), 1);
	json_decref(put("/structure/c0/unguard", NULL));
	json_decref(list);
	list = get("/structure/?guard=true");
	CHECK_INT(json_array_size(list), 0);
}

TEST(guarding_nonsense_is_refused)
{
	start();
	refused("/structure/nobody/guard", NULL, 404, "nobody");
	refused("/structure/h0/guard", NULL, 400, NULL);
	refused("/structure/c0/resources/gpu/guard", NULL, 400, "gpu");
	refused("/structure/c0/resources/energy/guard", NULL, 404, "energy");
	refused("/structure/c0/resources/guard", "{'resources':'cpu'}", 400, "list");
	refused("/structure/c0/resources/guard", "{'resources':[]}", 400, "list");
	refused("/structure/c0/resources/guard", "{'resources':['cpu','gpu']}", 400, "gpu");
	refused("/structure/c0/resources/guard", "{'resources':['cpu',7]}", 400, NULL);
	/* All of them or none. */
	json_decref(put("/structure/c0/resources/cpu/unguard", NULL));
	refused("/structure/c0/resources/guard", "{'resources':['cpu','energy']}", 404, "energy");
	json_decref(put("/structure/c0/guard", NULL));
	settle();
	refused("/structure/c0/resources/guard", "{'resources':['cpu','energy']}", 404, "energy");
	refused("/structure/c0/resources/guard", NULL, 400, NULL);
}

/* The name of a rule that makes requests of this direction. */
static const char *request_rule(const json_t *rules, const char *type)
{
	json_t *rule;
	size_t i;

	json_array_foreach(rules, i, rule) {
		const char *t = json_string_value(json_object_get(rule, "rescale_type"));

		if (t && !strcmp(t, type) && json_object_get(rule, "amount") &&
		    json_is_true(json_object_get(rule, "active")))
			return json_string_value(json_object_get(rule, "name"));
	}
	TEST_FAIL("no active request rule with an amount for %s", type);
}

static const char *rule_path(const char *name, const char *what)
{
	static char path[200];

	snprintf(path, sizeof(path), "/rule/%s/%s", name, what);
	return path;
}

TEST(rules_can_be_switched_and_tuned)
{
	_cleanup_json_ json_t *rules = NULL, *doc = NULL;
	const char *up;

	start();
	rules = get("/rule/");
	CHECK(json_array_size(rules) > 0);
	up = request_rule(rules, "up");

	doc = put(rule_path(up, "deactivate"), NULL);
	CHECK(json_is_false(json_object_get(doc, "active")));
	json_decref(doc);
	doc = put(rule_path(up, "activate/"), NULL);
	CHECK(json_is_true(json_object_get(doc, "active")));
	json_decref(doc);
	doc = put(rule_path(up, "amount"), "{'value':'120'}");
	CHECK_INT(number_at(doc, "amount"), 120);
	json_decref(doc);
	doc = put(rule_path(up, "policy"), "{'value':'proportional'}");
	CHECK_STR(json_string_value(json_object_get(doc, "rescale_policy")), "proportional");
	json_decref(doc);
	doc = put(rule_path(up, "events_required"), "{'event_type':'up','value':'4'}");
	CHECK_INT(number_at(doc, "events_to_remove"), 4);
	json_decref(doc);
	/* The other direction does not change how many events the rule takes away. */
	doc = put(rule_path(up, "events_required"), "{'event_type':'down','value':6}");
	CHECK_INT(number_at(doc, "events_to_remove"), 4);
}

TEST(bad_rule_changes_are_refused)
{
	_cleanup_json_ json_t *rules = NULL;
	char up[128];

	start();
	rules = get("/rule/");
	snprintf(up, sizeof(up), "%s", request_rule(rules, "up"));
	refused("/rule/nonsense/activate", NULL, 404, "nonsense");
	refused(rule_path(up, "nonsense"), NULL, 404, NULL);
	refused(rule_path(up, "amount"), "{'value':'many'}", 400, NULL);
	refused(rule_path(up, "amount"), "{'value':-5}", 400, NULL);
	refused(rule_path(up, "amount"), "{}", 400, NULL);
	refused(rule_path(up, "policy"), "{'value':'nonsense'}", 400, NULL);
	refused(rule_path(up, "policy"), "{'value':'fit_to_usage'}", 400, NULL);
	refused(rule_path(up, "policy"), "{'value':5}", 400, NULL);
	refused(rule_path(up, "events_required"), "{'event_type':'sideways','value':4}", 400, NULL);
	refused(rule_path(up, "events_required"), "{'event_type':'up','value':-1}", 400, NULL);
	refused(rule_path(up, "events_required"), "{'event_type':'up'}", 400, NULL);
	refused(rule_path(up, "events_required"), "{'value':4}", 400, "event_type");
	refused("/rule/cpu_exceeded_upper/amount", "{'value':4}", 400, NULL);
	refused("/rule/cpu_exceeded_upper/events_required", "{'event_type':'up','value':4}", 400,
		NULL);
}

/* A rule of one's own, and what is in its place afterwards. */
#define MY_RULE                                                                         \
	"{'resource':'cpu','active':true,'generates':'requests','rule':{'and':[{'>=':[" \
	"{'var':'events.scale.up'},%d]},{'<=':[{'var':'events.scale.up'},%d]}]},"       \
	"'rescale_type':'up','rescale_policy':'amount','amount':%d,'events_to_remove':%d%s}"

static const char *my_rule(int least, int most, int amount, int removed, const char *more)
{
	static char text[1024];

	snprintf(text, sizeof(text), MY_RULE, least, most, amount, removed, more);
	return text;
}

TEST(rules_can_be_written_and_deleted)
{
	json_t *doc;
	size_t n;

	start();
	n = f.model->ruleset->n;
	doc = put("/rule/mine", my_rule(2, 9, 50, 2, ",'note':'kept'"));
	CHECK_STR(json_string_value(json_object_get(doc, "name")), "mine");
	CHECK_STR(json_string_value(json_object_get(doc, "type")), "rule");
	CHECK_STR(json_string_value(json_object_get(doc, "note")), "kept");
	json_decref(doc);
	CHECK_INT(f.model->ruleset->n, n + 1);
	/* What GET says may be sent back as it is. */
	ask("GET", "/rule/mine", NULL);
	doc = put("/rule/mine", body);
	json_decref(doc);
	doc = put("/rule/mine", my_rule(3, 9, 60, 3, ",'_rev':'1-x','type':'rule'"));
	CHECK(!json_object_get(doc, "note") && !json_object_get(doc, "_rev"));
	CHECK_INT(number_at(doc, "amount"), 60);
	json_decref(doc);
	CHECK_INT(f.model->ruleset->n, n + 1);
	ask("DELETE", "/rule/mine", NULL);
	CHECK_INT(status, 200);
	doc = answer();
	CHECK_INT(number_at(doc, "amount"), 60);
	json_decref(doc);
	CHECK_INT(f.model->ruleset->n, n);
	ask("GET", "/rule/mine", NULL);
	CHECK_INT(status, 404);
	ask("DELETE", "/rule/mine", NULL);
	CHECK_INT(status, 404);
}

TEST(bad_rules_are_refused_with_the_place)
{
	char *large = calloc(1, 80000);

	start();
	refused("/rule/mine", my_rule(5, 3, 50, 2, ""), 400, "rule.and[1]: it can never fire");
	/* 21 samples, and the rules that Ebb comes with count 5 of each at most. */
	refused("/rule/mine", my_rule(106, 9999, 50, 2, ""), 400, "EVENT_TIMEOUT");
	refused("/rule/mine", my_rule(2, 9, 50, 106, ""), 400, "events_to_remove: ");
	refused("/rule/mine", my_rule(2, 9, -50, 2, ""), 400, "amount");
	refused("/rule/mine", my_rule(2, 9, 50, 2, ",'name':'yours'"), 400, "another rule");
	refused("/rule/mine", my_rule(2, 9, 50, 2, ",'type':'limit'"), 400, "type");
	refused("/rule/mine",
		"{'resource':'cpu','active':true,'generates':'events','rule':{'and':["
		"{'>=':[{'var':'cpu.structure.cpu.usge'},2]}]},"
		"'action':{'events':{'scale':{'up':1}}}}",
		400, "rule.and[0].");
	refused("/rule/mine", "[]", 400, NULL);
	refused("/rule/mine", NULL, 400, NULL);
	refused("/rule/CpuRescaleUp", "{}", 400, "resource");
	refused("/rule/CpuRescaleUp/events_required", "{'event_type':'up','value':4000}", 400,
		"EVENT_TIMEOUT");
	refused("/rule/CpuRescaleUp/events_required", "{'event_type':'down','value':4000000}", 400,
		NULL);
	memset(large, ' ', 79999);
	ask_bytes("PUT", "/rule/mine", large, 79999);
	CHECK_INT(status, 413);
	free(large);
}

/* One that a new version of the checks has something against can be switched off, not on. */
TEST(a_bad_rule_can_be_switched_off)
{
	_cleanup_json_ json_t *bad = NULL;
	json_t *doc;

	start();
	model_lock(f.model);
	bad = json_deep_copy(json_object_get(f.model->rules, "CpuRescaleUp"));
	json_object_set_new(bad, "events_to_remove", json_integer(5000));
	json_object_set(f.model->rules, "CpuRescaleUp", bad);
	model_unlock(f.model);
	refused("/rule/CpuRescaleUp/amount", "{'value':7}", 400, "events_to_remove");
	doc = put("/rule/CpuRescaleUp/deactivate", NULL);
	CHECK(json_is_false(json_object_get(doc, "active")));
	json_decref(doc);
	refused("/rule/CpuRescaleUp/activate", NULL, 400, "events_to_remove");
}

TEST(service_values_keep_their_meaning)
{
	_cleanup_json_ json_t *doc = NULL;

	start();
	doc = put("/service/guardian/WINDOW_TIMELAPSE", "{'value':'0.5'}");
	CHECK_NEAR(number_at(doc, "config.WINDOW_TIMELAPSE"), 0.5, 1e-9);
	json_decref(doc);
	doc = put("/service/guardian/EVENT_TIMEOUT", "{'value':20}");
	CHECK_INT(number_at(doc, "config.EVENT_TIMEOUT"), 20);
	json_decref(doc);
	doc = put("/service/guardian/ACTIVE", "{'value':'false'}");
	CHECK(json_is_false(json_object_get(json_object_get(doc, "config"), "ACTIVE")));
	json_decref(doc);
	doc = put("/service/guardian/ACTIVE", "{'value':true}");
	CHECK(json_is_true(json_object_get(json_object_get(doc, "config"), "ACTIVE")));
	json_decref(doc);
	doc = put("/service/guardian/GUARDABLE_RESOURCES/", "{'value':['cpu','mem']}");
	CHECK_INT(json_array_size(
			  json_object_get(json_object_get(doc, "config"), "GUARDABLE_RESOURCES")),
		  2);
	json_decref(doc);
	doc = put("/service/scaler/CORE_DISTRIBUTION", "{'value':'Spread_P&L'}");
	CHECK_INT(f.model->scaler.core_distribution, CORES_SPREAD_PL);
	json_decref(doc);
	doc = put("/service/guardian/STRUCTURE_GUARDED", "{'value':['container','user']}");
	json_decref(doc);
	doc = put("/service/scaler", "{'REQUEST_TIMEOUT':'30','CHECK_CORE_MAP':'true'}");
	CHECK_INT(number_at(doc, "config.REQUEST_TIMEOUT"), 30);
	CHECK(json_is_true(json_object_get(json_object_get(doc, "config"), "CHECK_CORE_MAP")));
	json_decref(doc);
	doc = put("/service/scaler", "{'DRIFT':'manual','DRIFT_TRIES':3}");
	CHECK_INT(f.model->scaler.drift, DRIFT_MANUAL);
	CHECK_INT(f.model->scaler.drift_tries, 3);
	json_decref(doc);
	doc = put("/service/scaler/DRIFT", "{'value':'accept'}");
	CHECK_INT(f.model->scaler.drift, DRIFT_ACCEPT);
	ask("PUT", "/service/scaler", "{'DRIFT':'manual','DRIFT_TRIES':-1}");
	CHECK_INT(status, 400);
	ask("PUT", "/service/scaler", "{'DRIFT':'never'}");
	CHECK_INT(status, 400);
	CHECK_INT(f.model->scaler.drift, DRIFT_ACCEPT);
	CHECK_INT(f.model->scaler.drift_tries, 3);
}

TEST(the_drift_of_a_container_can_be_chosen)
{
	_cleanup_json_ json_t *chosen = NULL, *of_the_site = NULL;

	start();
	chosen = put("/structure/c0/drift", "{'value':'manual'}");
	CHECK_STR(json_string_value(json_object_get(chosen, "drift")), "manual");
	of_the_site = put("/structure/c0/drift", "{'value':null}");
	CHECK(!json_object_get(of_the_site, "drift"));
	refused("/structure/c0/drift", "{'value':'never'}", 400, "reassert, accept or manual");
	refused("/structure/c0/drift", "{}", 400, "value");
	refused("/structure/h0/drift", "{'value':'accept'}", 400, "container");
	refused("/structure/nobody/drift", "{'value':'accept'}", 404, "nobody");
}

TEST(the_reflex_of_a_container_can_be_switched)
{
	_cleanup_json_ json_t *off = NULL, *on = NULL, *kept = NULL;
	unsigned long told;

	start();
	told = f.model->generation;
	off = put("/structure/c0/reflex", "{'value':false}");
	CHECK(json_is_false(json_object_get(off, "reflex")));
	/* Its agent is to hear of it. */
	CHECK(f.model->generation > told);
	kept = get("/structure/c0");
	CHECK(json_is_false(json_object_get(kept, "reflex")));
	refused("/structure/c0/reflex", "{'value':'never'}", 400, "true or false");
	refused("/structure/c0/reflex", "{'value':0}", 400, "true or false");
	refused("/structure/c0/reflex", "{'value':null}", 400, "true or false");
	refused("/structure/c0/reflex", "{}", 400, "value");
	refused("/structure/h0/reflex", "{'value':false}", 400, "container");
	refused("/structure/nobody/reflex", "{'value':false}", 404, "nobody");
	on = put("/structure/c0/reflex", "{'value':'true'}");
	CHECK(json_is_true(json_object_get(on, "reflex")));
}

TEST(the_feed_of_a_host_can_be_chosen)
{
	json_t *doc;

	start();
	doc = put("/structure/h0/feed", "{'value':'LOCAL'}");
	CHECK_STR(json_string_value(json_object_get(doc, "feed")), "local");
	json_decref(doc);
	ask("GET", "/structure/h0", NULL);
	doc = answer();
	CHECK_STR(json_string_value(json_object_get(doc, "feed_in_use")), "local");
	json_decref(doc);
	ask("PUT", "/structure/h0/feed", "{'value':'opentsdb'}");
	CHECK_INT(status, 409);
	CHECK(strstr(body, "--opentsdb"));
	ask("PUT", "/structure/h0/feed", "{'value':'atop'}");
	CHECK_INT(status, 400);
	ask("PUT", "/structure/c0/core_distribution", "{'value':'none'}");
	CHECK_INT(status, 400);
	ask("PUT", "/structure/h0/core_distribution", "{'value':'group'}");
	CHECK_INT(status, 400);
	CHECK(strstr(body, "Group_NUMA or none"));
	doc = put("/structure/h0/core_distribution", "{'value':'Spread_P&L'}");
	CHECK_STR(json_string_value(json_object_get(doc, "core_distribution")), "Spread_P&L");
	json_decref(doc);
	ask("PUT", "/structure/c0/feed", "{'value':'auto'}");
	CHECK_INT(status, 400);
	CHECK(strstr(body, "Only a host"));
	doc = put("/service/guardian/FEED", "{'value':'local'}");
	json_decref(doc);
	ask("PUT", "/service/guardian/FEED", "{'value':'atop'}");
	CHECK_INT(status, 400);
}

TEST(bad_service_changes_are_refused)
{
	start();
	refused("/service/nonsense/ACTIVE", "{'value':true}", 404, "nonsense");
	refused("/service/guardian/WINDOW_TIMELAPSE", "{'value':'soon'}", 400, "WINDOW_TIMELAPSE");
	refused("/service/guardian/WINDOW_TIMELAPSE", "{'value':-1}", 400, NULL);
	refused("/service/guardian/WINDOW_TIMELAPSE", "{'value':0}", 400, NULL);
	refused("/service/guardian/WINDOW_TIMELAPSE", "{'value':{}}", 400, NULL);
	refused("/service/guardian/WINDOW_TIMELAPSE", "{'value':null}", 400, NULL);
	refused("/service/guardian/WINDOW_TIMELAPSE", "{}", 400, "value");
	refused("/service/guardian/GUARDABLE_RESOURCES", "{'value':['cpu','gpu']}", 400, NULL);
	refused("/service/guardian/GUARDABLE_RESOURCES", "{'value':'cpu'}", 400, NULL);
	refused("/service/guardian/lower", "{'value':1}", 400, "lower");
	refused("/service/guardian/STRUCTURE_GUARDED", "{'value':5}", 400, NULL);
	refused("/service/scaler/POLLING_FREQUENCY", "{'value':-3}", 400, NULL);
	refused("/service/scaler/CORE_DISTRIBUTION", "{'value':'group'}", 400, "Group");
	refused("/service/scaler/CORE_DISTRIBUTION", "{'value':7}", 400, "CORE_DISTRIBUTION");
	/* All of them or none. */
	refused("/service/guardian", "{'EVENT_TIMEOUT':33,'WINDOW_TIMELAPSE':'x'}", 400, NULL);
	refused("/service/guardian", "{'EVENT_TIMEOUT':33,'WINDOW_TIMELAPSE':-1}", 400, NULL);
	refused("/service/guardian", "{}", 400, NULL);
	refused("/service/guardian", NULL, 400, NULL);
	refused("/service/guardian", "[]", 400, NULL);
}

TEST(decisions_can_be_asked_for)
{
	_cleanup_json_ json_t *none = NULL, *list = NULL;
	struct decision decision;

	start();
	none = get("/decision/?structure=c0");
	CHECK_INT(json_array_size(none), 0);
	decision_init(&decision);
	snprintf(decision.structure, sizeof(decision.structure), "c0");
	decision.resource = EBB_CPU;
	for (int i = 0; i < 5; i++)
		audit_add(f.audit, &decision);
	list = get("/decision/?structure=c0&limit=3");
	CHECK_INT(json_array_size(list), 3);
	ask("GET", "/decision/?limit=0", NULL);
	CHECK_INT(status, 400);
	ask("GET", "/decision/?limit=x", NULL);
	CHECK_INT(status, 400);
}

TEST(live_values_are_shown_on_demand)
{
	_cleanup_json_ json_t *plain = NULL, *live = NULL;

	start();
	plain = get("/structure/c0");
	CHECK(!json_object_get(plain, "live"));
	live = get("/structure/c0?live");
	CHECK(json_is_true(json_object_get(json_object_get(live, "live"), "connected")));
}

TEST(metrics_are_prometheus_text)
{
	start();
	ask("GET", "/metrics", NULL);
	CHECK_INT(status, 200);
	CHECK(strstr(body, "\nebb_structures 3\n"));
	CHECK(strstr(body,
		     "\nebb_structure_limit{structure=\"c0\",host=\"h0\",resource=\"cpu\"} 200\n"));
	CHECK(strstr(body, "\nebb_host_max{structure=\"h0\",host=\"h0\",resource=\"cpu\"} 400\n"));
	CHECK(strstr(body, "# TYPE process_cpu_seconds_total counter\n"));
	/* Every line is a comment or "name{labels} number". */
	for (char *line = body, *end; *line; line = end + 1) {
		char *space;

		end = strchr(line, '\n');
		CHECK(end);
		*end = '\0';
		if (*line == '#')
			continue;
		space = strrchr(line, ' ');
		CHECK(space && (!strncmp(line, "ebb_", 4) || !strncmp(line, "process_", 8)));
		if (strspn(space + 1, "0123456789.e+-") != strlen(space + 1))
			TEST_FAIL("%s", line);
	}
}

/* --- subscription: what becomes of the bodies is in test_subscription.c --- */

#define HOST_BODY(name, port)                                                          \
	"{'name':'" name "','host':'" name "','subtype':'host','host_rescaler_ip':"    \
	"'127.0.0.1','host_rescaler_port':'" port "','resources':{'cpu':{'max':'800'," \
	"'free':'800'},'mem':{'max':24576,'free':24576}}}"
#define CONTAINER_BODY                                                                      \
	"{'container':{'name':'c0','resources':{'cpu':{'max':'200','current':'200','min':"  \
	"'20','guard':'false'},'mem':{'max':6144,'current':6144,'min':512,'guard':false}}," \
	"'host_rescaler_ip':'h0','host_rescaler_port':'8000','host':'h0','guard':false,"    \
	"'subtype':'container'},'limits':{'resources':{'cpu':{'boundary':10,"               \
	"'boundary_type':'percentage_of_max'},'mem':{'boundary':10,'boundary_type':"        \
	"'percentage_of_max'}}}}"
#define APP_BODY                                                                            \
	"{'app':{'name':'app1','guard':false,'subtype':'application','resources':{'cpu':"   \
	"{'max':1600,'min':20,'guard':false},'mem':{'max':24576,'min':512,'guard':false}}," \
	"'install_script':'','install_files':'','runtime_files':'','output_dir':'',"        \
	"'start_script':'','stop_script':''},'limits':{'resources':{}}}"
#define USER_BODY                                                               \
	"{'user':{'name':'u0','subtype':'user','resources':{'cpu':{'max':2000," \
	"'min':100},'mem':{'max':8192,'min':64},'energy':{'max':100,'min':20}}}}"

static void deleted(const char *path, long want)
{
	ask("DELETE", path, NULL);
	if (status != want)
		TEST_FAIL("DELETE %s: %ld %s", path, status, body);
}

TEST(hosts_come_and_go_over_http)
{
	_cleanup_json_ json_t *doc = NULL;

	start();
	refused("/structure/host/h9", HOST_BODY("h9", "1"), 400, "Could not connect to host h9");
	refused("/structure/host/h9", HOST_BODY("h8", "1"), 400, "must be the same");
	refused("/structure/host/h9", "{", 400, NULL);
	doc = put("/structure/host/h0/", HOST_BODY("h0", "1"));
	CHECK_INT(number_at(doc, "resources.cpu.max"), 400);
	/* As it is, not as it was before. */
	CHECK_INT(number_at(doc, "resources.cpu.free"), 400);
	CHECK_INT(number_at(doc, "resources.cpu.core_usage_mapping.3.free"), 100);
	json_decref(doc);
	doc = put("/structure/h0/resources/energy/max", "{'value':'300'}");
	CHECK_INT(number_at(doc, "resources.energy.free"), 300);
	json_decref(doc);
	doc = put("/structure/h0/resources/energy/max", "{'value':'200'}");
	CHECK_INT(number_at(doc, "resources.energy.free"), 200);
	refused("/structure/host/h0", HOST_BODY("h0", "1"), 409, "already");
	json_decref(doc);
	doc = put("/structure/host/h0/disks",
		  "{'resources':{'disks':[{'name':'d','type':'SSD','load':0,'path':'/dev/x',"
		  "'max_read':5,'free_read':5,'max_write':4,'free_write':4}]}}");
	CHECK_INT(number_at(doc, "resources.disks.d.free_write"), 4);
	ask("POST", "/structure/host/h0/disks",
	    "{'resources':{'disks':[{'name':'d','max_read':'9','max_write':'8'}]}}");
	CHECK_INT(status, 200);
	ask("POST", "/structure/host/h0/disks",
	    "{'resources':{'disks':[{'name':'e','max_read':'9','max_write':'8'}]}}");
	CHECK_INT(status, 404);
	refused("/structure/host/c0/disks", "{}", 404, "no host 'c0'");
	deleted("/structure/host/c0", 404);
	deleted("/structure/host/h0/", 200);
	deleted("/structure/host/h0", 404);
	deleted("/structure/container/c0", 404);
}

TEST(a_container_whose_agent_is_not_there_is_not_subscribed)
{
	start();
	refused("/structure/container/c0", CONTAINER_BODY, 502, "c0 was not subscribed");
	refused("/structure/container/c1", CONTAINER_BODY, 400, "must be the same");
	refused("/structure/container/c0", "[]", 400, NULL);
	deleted("/structure/container/h0", 404);
	deleted("/structure/container/nobody", 404);
	/* It is reported, and known on. */
	deleted("/structure/container/c0/", 200);
	ask("GET", "/structure/c0", NULL);
	CHECK_INT(status, 200);
}

TEST(applications_and_users_come_and_go_over_http)
{
	_cleanup_json_ json_t *doc = NULL;

	start();
	doc = put("/structure/apps/app1", APP_BODY);
	refused("/structure/apps/app1", APP_BODY, 409, "already");
	json_decref(doc);
	doc = put("/structure/container/c0/app1", NULL);
	CHECK_INT(json_array_size(json_object_get(doc, "containers")), 1);
	refused("/structure/container/c0/app1", NULL, 409, "belongs to app1 already");
	refused("/structure/container/c1/nothing", NULL, 404, "no application 'nothing'");
	refused("/structure/container/h0/app1", NULL, 404, "no container 'h0'");
	deleted("/structure/container/c1/app1", 400);
	json_decref(doc);
	doc = put("/structure/app1/state/Running", NULL);
	CHECK_STR(json_string_value(json_object_get(doc, "state")), "running");
	refused("/structure/app1/state/resting", NULL, 400, "hdfs_uploading");
	refused("/structure/c0/state/running", NULL, 400, "only applications");

	json_decref(doc);
	doc = put("/user/u0", USER_BODY);
	refused("/user/u0", USER_BODY, 409, "already");
	refused("/user/u1", USER_BODY, 400, "must be the same");
	json_decref(doc);
	doc = put("/user/clusters/u0/app1", NULL);
	CHECK_INT(json_array_size(json_object_get(doc, "clusters")), 1);
	refused("/user/clusters/u0/app1", NULL, 409, "belongs to u0");
	refused("/user/clusters/nobody/app1", NULL, 404, "no user 'nobody'");
	refused("/user/clusters/u0/c0", NULL, 404, "no application 'c0'");
	json_decref(doc);
	doc = put("/user/u0/resources/cpu/max", "{'value':'900'}");
	CHECK_INT(number_at(doc, "resources.cpu.max"), 900);
	json_decref(doc);
	doc = put("/user/u0/energy/max", "{'value':'90'}");
	CHECK_INT(number_at(doc, "resources.energy.max"), 90);
	refused("/user/u0/resources/cpu/min", "{'value':901}", 400, "above max");
	refused("/user/u0/resources/cpu/current", "{'value':901}", 400, "cannot be set");
	refused("/user/u0/resources/gpu/max", "{'value':901}", 400, "'gpu'");
	refused("/user/nobody/resources/cpu/max", "{'value':9}", 404, "no user");
	deleted("/user/clusters/u0/app1/", 200);
	deleted("/user/clusters/u0/app1/", 400);
	deleted("/user/u0", 200);
	deleted("/user/u0", 404);
	deleted("/structure/container/c0/app1/", 200);
	deleted("/structure/apps/app1", 200);
	deleted("/structure/apps/app1", 404);
}

TEST(label_values_are_escaped)
{
	_cleanup_free_ char *text = metrics_escape("a\"b\\c\nd");

	CHECK_STR(text, "a\\\"b\\\\c\\nd");
}

TEST_MAIN()
