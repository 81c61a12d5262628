/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "ebb/cleanup.h"
#include "rule.h"
#include "test.h"

static void cleanup_rule(struct rule *rule)
{
	rule_clear(rule);
}
#define _cleanup_rule_ __attribute__((cleanup(cleanup_rule)))

static void cleanup_ruleset(struct ruleset **ruleset)
{
	ruleset_free(*ruleset);
}
#define _cleanup_ruleset_ __attribute__((cleanup(cleanup_ruleset)))

static const char event_rule[] =
	"{\"_id\":\"cpu_hot\",\"type\":\"rule\",\"name\":\"cpu_hot\",\"resource\":\"cpu\",\"active\":true,"
	"\"generates\":\"events\",\"action\":{\"events\":{\"scale\":{\"up\":2}}},"
	"\"rule\":{\">\":[{\"var\":\"cpu.structure.cpu.usage\"},{\"var\":\"cpu.limits.cpu.upper\"}]}}";

/* As the original ships it. */
static const char request_rule[] =
	"{\"_id\":\"CpuRescaleUp\",\"type\":\"rule\",\"name\":\"CpuRescaleUp\",\"resource\":\"cpu\","
	"\"active\":true,\"generates\":\"requests\",\"rule\":{\"and\":[{\">=\":[{\"var\":"
	"\"events.scale.up\"},2]},{\"<=\":[{\"var\":\"events.scale.down\"},2]}]},\"action\":"
	"{\"requests\":[\"CpuRescaleUp\"]},\"events_to_remove\":2,\"amount\":75,\"rescale_policy\":"
	"\"amount\",\"rescale_type\":\"up\"}";

static json_t *parse(const char *text)
{
	json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);

	if (!json)
		TEST_FAIL("no JSON: %s", text);
	return json;
}

TEST(rule_variables)
{
	CHECK_INT(rule_variable_index(NULL, "cpu.structure.cpu.usage"), VAR_USAGE);
	CHECK_INT(rule_variable_index(NULL, "cpu.limits.cpu.boundary"), VAR_BOUNDARY);
	CHECK_INT(rule_variable_index(NULL, "disk_read.limits.disk_read.lower"),
		  EBB_DISK_READ * RULE_VARIABLES_PER_RESOURCE + VAR_LOWER);
	CHECK_INT(rule_variable_index(NULL, "energy.structure.energy.growth"),
		  EBB_ENERGY * RULE_VARIABLES_PER_RESOURCE + VAR_GROWTH);
	for (int i = 0; i < RULE_VARIABLES_PER_RESOURCE; i++)
		CHECK(i < RULE_VARIABLES);
	CHECK(rule_variable_index(NULL, "cpu.limits.cpu.usage") < 0);
	CHECK(rule_variable_index(NULL, "cpu.structure.cpu.upper") < 0);
	CHECK(rule_variable_index(NULL, "cpu.structure.mem.usage") < 0);
	CHECK(rule_variable_index(NULL, "cpu.structure.cpu.usage.x") < 0);
	CHECK(rule_variable_index(NULL, "cpu.structure.cpu") < 0);
	CHECK(rule_variable_index(NULL, "cpux.structure.cpux.usage") < 0);
	CHECK(rule_variable_index(NULL, "") < 0);
	CHECK_INT(rule_event_variable_index(NULL, "events.scale.up"), VAR_EVENTS_UP);
	CHECK_INT(rule_event_variable_index(NULL, "events.scale.down"), VAR_EVENTS_DOWN);
	CHECK(rule_event_variable_index(NULL, "events.scale") < 0);
}

TEST(rule_reads_event_rule)
{
	_cleanup_json_ json_t *doc = parse(event_rule);
	_cleanup_rule_ struct rule rule = {};

	CHECK_INT(rule_from_json(doc, &rule, NULL), 0);
	CHECK_STR(rule.name, "cpu_hot");
	CHECK_INT(rule.resource, EBB_CPU);
	CHECK(rule.active);
	CHECK_INT(rule.generates, RULE_EVENTS);
	CHECK_INT(rule.events_up, 2);
	CHECK_INT(rule.events_down, 0);

	double values[RULE_VARIABLES];

	for (int i = 0; i < RULE_VARIABLES; i++)
		values[i] = NAN;
	struct jsonlogic_numbers numbers = {values, RULE_VARIABLES};

	CHECK(!jsonlogic_test(rule.logic, &numbers));
	values[VAR_USAGE] = 150.5;
	values[VAR_UPPER] = 150;
	CHECK(jsonlogic_test(rule.logic, &numbers));
	values[VAR_USAGE] = 150;
	CHECK(!jsonlogic_test(rule.logic, &numbers));
}

TEST(rule_reads_request_rule)
{
	_cleanup_json_ json_t *doc = parse(request_rule);
	_cleanup_rule_ struct rule rule = {};
	double events[RULE_EVENT_VARIABLES] = {[VAR_EVENTS_UP] = 2, [VAR_EVENTS_DOWN] = 2};
	struct jsonlogic_numbers numbers = {events, RULE_EVENT_VARIABLES};

	/* Numbers as text, as the old scripts write them. */
	json_object_set_new(doc, "amount", json_string("75"));
	CHECK_INT(rule_from_json(doc, &rule, NULL), 0);
	CHECK_INT(rule.generates, RULE_REQUESTS);
	CHECK_INT(rule.policy, RESCALE_AMOUNT);
	CHECK_INT(rule.rescale_up, 1);
	CHECK_NEAR(rule.amount, 75, 0);
	CHECK_INT(rule.events_to_remove, 2);
	CHECK(jsonlogic_test(rule.logic, &numbers));
	events[VAR_EVENTS_DOWN] = 3;
	CHECK(!jsonlogic_test(rule.logic, &numbers));
}

/* `key` replaced by `value` (NULL: removed) makes the rule invalid for this reason. */
static void check_invalid(const char *base, const char *key, const char *value, const char *reason)
{
	_cleanup_json_ json_t *doc = parse(base);
	_cleanup_free_ char *error = NULL;
	struct rule rule = {};

	if (value)
		json_object_set_new(doc, key, parse(value));
	else
		json_object_del(doc, key);
	CHECK_INT(rule_from_json(doc, &rule, &error), -EINVAL);
	CHECK(!rule.name && !rule.logic);
	if (!error || !strstr(error, reason))
		TEST_FAIL("%s: \"%s\" does not say \"%s\"", key, error ? error : "", reason);
	CHECK_INT(rule_from_json(doc, &rule, NULL), -EINVAL);
}

TEST(rule_refuses)
{
	check_invalid(event_rule, "name", NULL, "\"name\" must be");
	check_invalid(event_rule, "name", "\"a\\u0007b\"", "\"name\" must be");
	check_invalid(event_rule, "resource", "\"disk\"",
		      "Rule cpu_hot: \"resource\" must be cpu,");
	check_invalid(event_rule, "resource", NULL, "\"resource\" must be");
	check_invalid(event_rule, "active", NULL, "\"active\" must be true or false");
	check_invalid(event_rule, "generates", "\"alarms\"", "\"generates\" must be");
	check_invalid(event_rule, "action", "{\"events\":{}}", "it needs {\"action\"");
	check_invalid(event_rule, "action", "{\"events\":{\"scale\":{\"up\":0}}}", "must count");
	check_invalid(event_rule, "action", "{\"events\":{\"scale\":{\"up\":1.5}}}",
		      "\"up\" must be an integer");
	check_invalid(event_rule, "rule", "true", "\"rule\" must be JsonLogic");
	check_invalid(event_rule, "rule", "{\">\":[1,2],\"<\":[1,2]}", "one operator");
	check_invalid(event_rule, "rule", "{\"and\":[{\"=\":[1,2]}]}",
		      "not JsonLogic: and[0].=: there is no such operator");

	check_invalid(request_rule, "rescale_type", "\"sideways\"", "\"up\" or \"down\"");
	check_invalid(request_rule, "rescale_policy", NULL, "\"rescale_policy\" must be");
	check_invalid(request_rule, "rescale_policy", "\"rescale_by\"",
		      "\"rescale_policy\" must be");
	check_invalid(request_rule, "amount", NULL, "needs \"amount\"");
	check_invalid(request_rule, "amount", "-75", "above 0 for a rule that rescales up");
	check_invalid(request_rule, "amount", "\"many\"", "\"amount\" must be a number");
	check_invalid(request_rule, "amount", "1e300", "\"amount\" must be a number within");
	check_invalid(request_rule, "events_to_remove", "-1", "from 0 to");
	/* Up and down need amounts that point there. */
	check_invalid(request_rule, "rescale_type", "\"down\"",
		      "below 0 for a rule that rescales down");
}

TEST(ruleset_groups_by_resource)
{
	_cleanup_json_ json_t *docs = json_array();
	_cleanup_json_ json_t *inactive = parse(event_rule);
	_cleanup_json_ json_t *mem = parse(event_rule);
	_cleanup_ruleset_ struct ruleset *set = NULL;

	json_object_set_new(inactive, "active", json_false());
	json_object_set_new(mem, "resource", json_string("mem"));
	json_object_set_new(mem, "name", json_string("mem_hot"));
	json_array_append_new(docs, parse(request_rule));
	json_array_append(docs, inactive);
	json_array_append_new(docs, json_string("no rule"));
	json_array_append(docs, mem);
	json_array_append_new(docs, parse(event_rule));

	CHECK_INT(ruleset_new(docs, &set), 0);
	CHECK_INT(set->n, 4);
	CHECK_INT(set->resources, 1 << EBB_CPU | 1 << EBB_MEM);
	CHECK_STR(set->rules[set->ranges[EBB_CPU].first].name, "cpu_hot");
	CHECK(set->rules[set->ranges[EBB_CPU].first].active);
	CHECK_STR(set->rules[set->ranges[EBB_CPU].requests].name, "CpuRescaleUp");
	CHECK_INT(set->ranges[EBB_CPU].requests - set->ranges[EBB_CPU].first, 1);
	CHECK_INT(set->ranges[EBB_CPU].end - set->ranges[EBB_CPU].requests, 1);
	CHECK_STR(set->rules[set->ranges[EBB_MEM].first].name, "mem_hot");
	CHECK_INT(set->ranges[EBB_MEM].end - set->ranges[EBB_MEM].requests, 0);
	CHECK_INT(set->ranges[EBB_NET].end - set->ranges[EBB_NET].first, 0);
	CHECK(!set->rules[3].active);
}

TEST(ruleset_of_nothing)
{
	_cleanup_json_ json_t *docs = json_object();
	_cleanup_ruleset_ struct ruleset *set = NULL;

	CHECK_INT(ruleset_new(docs, &set), 0);
	CHECK_INT(set->n, 0);
	CHECK_INT(set->resources, 0);
}

static void check_known_variable(void *userdata, const char *path)
{
	const struct rule *rule = userdata;

	if ((rule->generates == RULE_REQUESTS ? rule_event_variable_index(NULL, path)
					      : rule_variable_index(NULL, path)) < 0)
		TEST_FAIL("%s reads %s", rule->name, path);
}

TEST(default_rules_are_valid)
{
	_cleanup_json_ json_t *docs = rules_default();
	size_t i, inactive = 0;
	json_t *doc;

	CHECK(json_array_size(docs) >= 24);
	json_array_foreach(docs, i, doc) {
		_cleanup_rule_ struct rule rule = {};
		_cleanup_free_ char *error = NULL;

		if (rule_from_json(doc, &rule, &error) < 0)
			TEST_FAIL("%s", error);
		CHECK_STR(json_string_value(json_object_get(doc, "_id")), rule.name);
		CHECK_STR(json_string_value(json_object_get(doc, "type")), "rule");
		jsonlogic_each_variable(rule.logic, check_known_variable, &rule);
		inactive += !rule.active;
		for (size_t k = 0; k < i; k++)
			CHECK(strcmp(rule.name, json_string_value(json_object_get(
							json_array_get(docs, k), "name"))));
	}
	CHECK_INT(inactive, 2);
}

/* ---- edits ---- */

static json_int_t integer_at(const json_t *doc, const char *key)
{
	return json_integer_value(json_object_get(doc, key));
}

static json_int_t required(const json_t *doc, size_t condition, const char *op)
{
	const json_t *conditions = json_object_get(json_object_get(doc, "rule"), "and");

	return json_integer_value(
		json_array_get(json_object_get(json_array_get(conditions, condition), op), 1));
}

TEST(rule_edit_amount)
{
	_cleanup_json_ json_t *doc = parse(request_rule), *events = parse(event_rule);
	_cleanup_free_ char *error = NULL, *error2 = NULL;

	CHECK_INT(rule_set_amount(doc, 100, NULL), 0);
	CHECK(json_is_integer(json_object_get(doc, "amount")));
	CHECK_INT(integer_at(doc, "amount"), 100);
	CHECK_INT(rule_set_amount(doc, 0, &error), -EINVAL);
	CHECK(strstr(error, "above 0"));
	CHECK_INT(rule_set_amount(doc, NAN, NULL), -EINVAL);
	CHECK_INT(integer_at(doc, "amount"), 100);

	CHECK_INT(rule_set_amount(events, 10, &error2), -EINVAL);
	CHECK(strstr(error2, "can't be changed"));
	json_object_set_new(doc, "rescale_type", json_string("down"));
	CHECK_INT(rule_set_amount(doc, 10, NULL), -EINVAL);
}

TEST(rule_edit_policy)
{
	_cleanup_json_ json_t *doc = parse(request_rule), *events = parse(event_rule);
	_cleanup_free_ char *error = NULL, *error2 = NULL, *error3 = NULL;

	CHECK_INT(rule_set_policy(doc, "proportional", NULL), 0);
	CHECK_STR(json_string_value(json_object_get(doc, "rescale_policy")), "proportional");
	CHECK_INT(rule_set_policy(doc, "modelling", NULL), 0);
	CHECK_INT(rule_set_policy(doc, "fixed-ratio", NULL), 0);
	CHECK_INT(rule_set_policy(doc, "demand", NULL), 0);
	CHECK_INT(rule_set_policy(doc, "fit_to_usage", &error), -EINVAL);
	CHECK(strstr(error, "must be amount, proportional, demand"));
	CHECK_STR(json_string_value(json_object_get(doc, "rescale_policy")), "demand");
	CHECK_INT(rule_set_policy(events, "amount", &error2), -EINVAL);
	CHECK(strstr(error2, "makes no requests"));

	json_object_set_new(doc, "rescale_type", json_string("down"));
	json_object_del(doc, "amount");
	CHECK_INT(rule_set_policy(doc, "fit_to_usage", NULL), 0);
	CHECK_INT(rule_set_policy(doc, "demand", NULL), 0);
	CHECK_INT(rule_set_policy(doc, "amount", &error3), -EINVAL);
	CHECK(strstr(error3, "needs \"amount\""));
}

/* Each type changes its own condition; only the consumed direction changes what is removed. */
TEST(rule_edit_events_required)
{
	_cleanup_json_ json_t *doc = parse(request_rule), *events = parse(event_rule);
	_cleanup_free_ char *error = NULL;

	CHECK_INT(rule_set_events_required(doc, "up", 4, NULL), 0);
	CHECK_INT(required(doc, 0, ">="), 4);
	CHECK_INT(required(doc, 1, "<="), 2);
	CHECK_INT(integer_at(doc, "events_to_remove"), 4);
	CHECK_INT(rule_set_events_required(doc, "down", 6, NULL), 0);
	CHECK_INT(required(doc, 0, ">="), 4);
	CHECK_INT(required(doc, 1, "<="), 6);
	CHECK_INT(integer_at(doc, "events_to_remove"), 4);

	CHECK_INT(rule_set_events_required(doc, "up", -1, NULL), -EINVAL);
	CHECK_INT(rule_set_events_required(doc, "both", 1, NULL), -EINVAL);
	CHECK_INT(rule_set_events_required(events, "up", 1, NULL), -EINVAL);
	json_array_remove(json_object_get(json_object_get(doc, "rule"), "and"), 1);
	CHECK_INT(rule_set_events_required(doc, "down", 1, &error), -EINVAL);
	CHECK(strstr(error, "no condition on events.scale.down"));
}

TEST_MAIN()
