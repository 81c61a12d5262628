/* SPDX-License-Identifier: Apache-2.0 */
#include "quoted_json.h"
#include "test.h"

#include <errno.h>

#include "rule_check.h"
#include "ebb/cleanup.h"

static char *error;

static void free_error(void *unused)
{
	free(error);
	error = NULL;
}

static json_t *event_rule(const char *logic)
{
	char text[4096];

	snprintf(text, sizeof(text),
		 "{'name':'r','resource':'cpu','active':true,'generates':'events','rule':%s,"
		 "'action':{'events':{'scale':{'up':1}}}}",
		 logic);
	return parse_text(text);
}

static json_t *request_rule(const char *logic)
{
	char text[4096];

	snprintf(text, sizeof(text),
		 "{'name':'r','resource':'cpu','active':true,'generates':'requests','rule':%s,"
		 "'rescale_type':'up','rescale_policy':'amount','amount':5,'events_to_remove':2}",
		 logic);
	return parse_text(text);
}

static json_t *swap_rule(const char *logic)
{
	char text[4096];

	snprintf(text, sizeof(text),
		 "{'name':'r','resource':'cpu','active':true,'generates':'','rule':%s}", logic);
	return parse_text(text);
}

/* Steals `doc`. */
static void accepted(json_t *doc)
{
	_cleanup_json_ json_t *owned = doc;
	int r = rule_check(doc, &error);

	if (r < 0)
		TEST_FAIL("refused: %s", error);
}

/* Refused, and the error has `place` and `reason` in it. Steals `doc`. */
static void refused(json_t *doc, const char *place, const char *reason)
{
	_cleanup_json_ json_t *owned = doc;
	_cleanup_json_ json_t *before = json_deep_copy(doc);

	CHECK_INT(rule_check(doc, &error), -EINVAL);
	if (!error || !strstr(error, place) || !strstr(error, reason))
		TEST_FAIL("\"%s\" does not tell of %s, %s", error ? error : "nothing", place,
			  reason);
	free_error(NULL);
	CHECK(json_equal(doc, before));
	CHECK_INT(rule_check(doc, NULL), -EINVAL);
}

TEST(the_rules_that_ebb_comes_with_are_good)
{
	_cleanup_json_ json_t *docs = rules_default();
	struct ruleset *ruleset;
	struct rule_reach reach = {.event_timeout = 2, .period = 0.1};
	json_t *doc;
	size_t i;

	CHECK_INT(ruleset_new(docs, &ruleset), 0);
	json_array_foreach(docs, i, doc) {
		enum ebb_resource resource =
			ebb_resource_from_name(json_string_value(json_object_get(doc, "resource")));

		accepted(json_incref(doc));
		rule_reach_count(ruleset, resource, &reach);
		if (rule_check_reach(doc, &reach, &error) < 0)
			TEST_FAIL("%s", error);
	}
	ruleset_free(ruleset);
}

/* Their own numbers may be odd, but they are in use. */
TEST(the_rules_of_the_original_are_accepted)
{
	static const char *const docs[] = {
		"{'_id':'energy_dropped_lower_and_cpu_exceeded_upper','type':'rule',"
		"'resource':'energy','name':'energy_dropped_lower_and_cpu_exceeded_upper',"
		"'rule':{'and':[{'<':[{'var':'energy.structure.energy.usage'},"
		"{'var':'energy.limits.energy.upper'}]},{'>':[{'var':'cpu.structure.cpu.usage'},"
		"{'var':'cpu.limits.cpu.upper'}]}]},'generates':'events','action':{'events':"
		"{'scale':{'down':1}}},'active':true}",
		"{'_id':'EnergyRescaleUp','type':'rule','resource':'energy','name':"
		"'EnergyRescaleUp','rule':{'and':[{'>=':[{'var':'events.scale.down'},3]},{'<=':"
		"[{'var':'events.scale.up'},1]}]},'generates':'requests','events_to_remove':3,"
		"'action':{'requests':['CpuRescaleUp']},'amount':20,'rescale_policy':"
		"'proportional','rescale_type':'up','active':true}",
		"{'_id':'EnergyRescaleDown','type':'rule','resource':'energy','name':"
		"'EnergyRescaleDown','rule':{'and':[{'<=':[{'var':'events.scale.down'},1]},{'>=':"
		"[{'var':'events.scale.up'},4]}]},'generates':'requests','events_to_remove':4,"
		"'amount':-20,'rescale_policy':'proportional','rescale_type':'down',"
		"'active':true}",
		"{'_id':'disk_read_dropped_lower','type':'rule','resource':'disk_read','name':"
		"'disk_read_dropped_lower','rule':{'and':[{'>=':[{'var':"
		"'disk_read.structure.disk_read.usage'},0]},{'<':[{'var':"
		"'disk_read.structure.disk_read.usage'},{'var':'disk_read.limits.disk_read.lower'"
		"}]},{'>':[{'var':'disk_read.limits.disk_read.lower'},{'var':"
		"'disk_read.structure.disk_read.min'}]}]},'generates':'events','action':{'events':"
		"{'scale':{'down':1}}},'active':true}",
		"{'_id':'CpuRescaleDown','type':'rule','resource':'cpu','name':'CpuRescaleDown',"
		"'rule':{'and':[{'>=':[{'var':'events.scale.down'},6]},{'<=':[{'var':"
		"'events.scale.up'},0]}]},'events_to_remove':6,'generates':'requests','action':"
		"{'requests':['CpuRescaleDown']},'rescale_policy':'fit_to_usage','rescale_type':"
		"'down','active':true}",
		"{'_id':'cpu_usage_low','type':'rule','resource':'cpu','name':'cpu_usage_low',"
		"'rule':{'and':[{'>=':[{'-':[{'var':'cpu.structure.cpu.current'},{'var':"
		"'cpu.structure.cpu.min'}]},25]},{'<':[{'/':[{'var':'cpu.structure.cpu.usage'},"
		"{'var':'cpu.structure.cpu.current'}]},0.4]}]},'active':false,'generates':''}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(docs); i++)
		accepted(parse_text(docs[i]));
}

TEST(the_whole_operator_set_may_be_used)
{
	accepted(event_rule("{'if':[{'>':[{'var':'cpu.structure.cpu.usage'},5]},true,false]}"));
	accepted(event_rule("{'!':{'missing':['cpu.structure.cpu.usage']}}"));
	accepted(event_rule("{'<':[1,{'var':'mem.structure.mem.usage'},5]}"));
	accepted(event_rule("{'some':[[1,2],{'==':[{'var':''},2]}]}"));
	accepted(event_rule("{'>':[{'max':[{'var':'cpu.structure.cpu.peak'},3]},2]}"));
	accepted(event_rule("{'>':[{'var':['cpu.structure.cpu.throttled',0]},0.5]}"));
	accepted(request_rule("{'>':[{'-':[{'var':'events.scale.up'},"
			      "{'var':'events.scale.down'}]},3]}"));
	accepted(swap_rule("{'<':[{'var':'cpu.structure.cpu.usage'},5]}"));
}

TEST(operators_are_checked_with_their_place)
{
	refused(event_rule("{'and':[{'>':[1,2]},{'=>':[{'var':'cpu.structure.cpu.usage'},1]}]}"),
		"Rule r: rule.and[1]: ", "no operator '=>'");
	refused(event_rule("{'>':[{'var':'cpu.structure.cpu.usage'}]}"),
		"Rule r: rule: ", "'>' takes at least 2 arguments, not 1");
	refused(event_rule("{'and':[{'or':[{'%':[1,2,3]}]}]}"),
		"rule.and[0].or[0]: ", "'%' takes 2 arguments, not 3");
	refused(event_rule("{'!':{'<':[1,2,3,4]}}"), "rule.\"!\": ", "at most 3 arguments, not 4");
	refused(event_rule("{'and':[{'>':[1,2],'<':[1,2]}]}"), "rule.and[0]: ", "one member");
	refused(event_rule("[]"), "Rule r: ", "\"rule\"");
	refused(event_rule("true"), "Rule r: ", "\"rule\"");
	refused(event_rule("{}"), "Rule r: rule: ", "one member");
}

TEST(variables_have_to_exist)
{
	refused(event_rule("{'and':[{'>':[1,0]},{'>=':[{'var':'cpu.structure.cpu.usge'},1]}]}"),
		"rule.and[1].\">=\"[0].var: ", "no variable 'cpu.structure.cpu.usge'");
	refused(event_rule("{'>':[{'var':['cpu.usage',0]},1]}"),
		"rule.\">\"[0].var[0]: ", "cpu.structure.cpu.usage");
	refused(event_rule("{'>':[{'var':'events.scale.up'},1]}"),
		"rule.\">\"[0].var: ", "generates events");
	refused(event_rule("{'>':[{'var':'mem.structure.mem.throttled'},1]}"),
		"rule.\">\"[0].var: ", "mem.structure.mem.throttled");
	refused(event_rule("{'!':{'missing':['cpu.nothing']}}"), "rule.\"!\": ", "cpu.nothing");
	refused(event_rule("{'>':[{'var':''},1]}"), "rule.\">\"[0].var: ", "name of a variable");
	refused(event_rule("{'>':[{'var':1},1]}"), "rule.\">\"[0].var: ", "name of a variable");
	refused(event_rule("{'>':[{'var':{'cat':['a','b']}},1]}"),
		"rule.\">\"[0].var: ", "write the variable's name out");
	refused(request_rule("{'>':[{'var':'cpu.structure.cpu.usage'},1]}"),
		"rule.\">\"[0].var: ", "events.scale.up");
	refused(request_rule("{'>':[{'var':'events.scale.left'},1]}"),
		"rule.\">\"[0].var: ", "events.scale.left");
	refused(swap_rule("{'<':[{'var':'cpu.structure.cpu.peak'},5]}"),
		"rule.\"<\"[0].var: ", "rebalancer");
	refused(swap_rule("{'<':[{'var':'cpu.limits.cpu.upper'},5]}"),
		"rule.\"<\"[0].var: ", "rebalancer");
}

TEST(conditions_that_exclude_each_other_are_refused)
{
	refused(request_rule("{'and':[{'>=':[{'var':'events.scale.up'},5]},"
			     "{'<=':[{'var':'events.scale.up'},3]}]}"),
		"rule.and[1]: it can never fire",
		"events.scale.up would have to be at least 5 (rule.and[0]) and at most 3");
	/* Whole numbers: nothing between 2 and 3. */
	refused(request_rule("{'and':[{'>':[{'var':'events.scale.up'},2]},"
			     "{'<':[{'var':'events.scale.up'},3]}]}"),
		"rule.and[1]: it can never fire", "events.scale.up");
	refused(request_rule("{'<':[{'var':'events.scale.down'},0]}"), "rule: it can never fire",
		"events.scale.down is always at least 0");
	refused(request_rule("{'and':[{'>':[3,{'var':'events.scale.up'}]},"
			     "{'and':[{'==':[{'var':'events.scale.up'},'4']}]}]}"),
		"rule.and[1].and[0]: it can never fire", "at most 2 (rule.and[0])");
	refused(request_rule("{'and':[{'>=':[{'var':'events.scale.up'},2]},"
			     "{'or':[{'<':[{'var':'events.scale.up'},1]},{'<':[5,4]}]}]}"),
		"rule.and[1]: it can never fire", "none of these");
	refused(request_rule("{'and':[{'<=':[4,{'var':'events.scale.up'},2]}]}"),
		"rule.and[0]: it can never fire", "at most 2");
	refused(event_rule("{'and':[{'>':[{'var':'cpu.structure.cpu.throttled'},1]}]}"),
		"rule.and[0]: it can never fire", "at most 1");
	refused(event_rule("{'and':[{'>':[{'var':'cpu.structure.cpu.usage'},90]},"
			   "{'<':[{'var':'cpu.structure.cpu.usage'},90]}]}"),
		"rule.and[1]: it can never fire", "above 90");
	refused(event_rule("{'and':[{'>':[1,2]}]}"), "rule.and[0]: it can never fire", "1");
	refused(event_rule("{'and':[{'>':[{'var':'cpu.structure.cpu.usage'},90]},false]}"),
		"Rule r: rule: it can never fire", "constant");
}

TEST(conditions_that_can_hold_are_not_refused)
{
	accepted(request_rule("{'and':[{'>=':[{'var':'events.scale.up'},3]},"
			      "{'<=':[{'var':'events.scale.up'},3]}]}"));
	accepted(request_rule("{'and':[{'>=':[{'var':'events.scale.up'},2]},"
			      "{'or':[{'<':[{'var':'events.scale.up'},1]},"
			      "{'<':[{'var':'events.scale.down'},4]}]}]}"));
	/* A default is a value too. */
	accepted(request_rule("{'and':[{'>=':[{'var':['events.scale.up',9]},5]},"
			      "{'<=':[{'var':'events.scale.up'},3]}]}"));
	accepted(request_rule("{'or':[{'>':[1,2]},{'>=':[{'var':'events.scale.up'},5]}]}"));
	accepted(event_rule("{'and':[{'>':[{'var':'cpu.structure.cpu.usage'},2]},"
			    "{'<':[{'var':'cpu.structure.cpu.usage'},3]}]}"));
	accepted(event_rule("{'and':[{'>':[{'var':'cpu.structure.cpu.growth'},-5]},"
			    "{'<':[{'var':'cpu.structure.cpu.growth'},-3]}]}"));
}

TEST(members_that_are_needed)
{
	static const struct {
		const char *doc, *reason;
	} cases[] = {
		{"{'name':'r'}", "\"resource\""},
		{"{'name':'r','resource':'gpu'}", "\"resource\""},
		{"{'name':'r','resource':'cpu','active':1}", "\"active\""},
		{"{'name':'r','resource':'cpu','active':true,'generates':'smoke'}",
		 "\"generates\""},
		{"{'name':'r','resource':'cpu','active':true,'generates':'events',"
		 "'rule':{'==':[1,1]}}",
		 "action"},
		{"{'name':'r','resource':'cpu','active':true,'generates':'requests',"
		 "'rescale_type':'sideways','rule':{'==':[1,1]}}",
		 "\"rescale_type\""},
		{"{'name':'r','resource':'cpu','active':true,'generates':'requests',"
		 "'rescale_type':'up','rescale_policy':'amount','rule':{'==':[1,1]}}",
		 "\"amount\""},
		{"{'name':'r','resource':'cpu','active':true,'generates':'requests',"
		 "'rescale_type':'up','rescale_policy':'amount','amount':-4,'rule':{'==':[1,1]}}",
		 "\"amount\" must be above 0"},
		{"{'name':'r','resource':'cpu','active':true,'generates':'requests',"
		 "'rescale_type':'down','rescale_policy':'amount','amount':4,'rule':{'==':[1,1]}}",
		 "\"amount\" must be below 0"},
		{"{'name':'r','resource':'cpu','active':true,'generates':'requests',"
		 "'rescale_type':'up','rescale_policy':'fit_to_usage','rule':{'==':[1,1]}}",
		 "rescale_policy"},
		{"{'name':'r','resource':'cpu','active':true,'generates':'requests',"
		 "'rescale_type':'up','rescale_policy':'demand','amount':1,"
		 "'events_to_remove':-1,'rule':{'==':[1,1]}}",
		 "\"events_to_remove\""},
		{"{'name':'r','resource':'cpu','active':true,'generates':''}", "\"rule\""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		refused(parse_text(cases[i].doc), "Rule r: ", cases[i].reason);
	refused(parse_text("[]"), "Rule without a name", "object");
}

TEST(what_is_nested_too_deep_is_refused)
{
	char logic[4096] = "";

	for (int i = 0; i < 70; i++)
		strcat(logic, "{'!':");
	strcat(logic, "true");
	for (int i = 0; i < 70; i++)
		strcat(logic, "}");
	refused(event_rule(logic), "Rule r: rule: ", "deeper than 64");
}

/* Steals `doc`. `reason` NULL: it can be reached. */
static void reachable(json_t *doc, const struct rule_reach *reach, const char *place,
		      const char *reason)
{
	_cleanup_json_ json_t *owned = doc;
	int r;

	CHECK_INT(rule_check(doc, NULL), 0);
	r = rule_check_reach(doc, reach, &error);
	CHECK_INT(r, reason ? -EINVAL : 0);
	if (reason && (!strstr(error, place) || !strstr(error, reason)))
		TEST_FAIL("\"%s\" does not tell of %s, %s", error, place, reason);
	free_error(NULL);
}

TEST(events_are_forgotten_before_there_are_enough)
{
	/* 20 samples and the one that has just come. */
	const struct rule_reach fast = {.event_timeout = 2, .period = 0.1, .up = 2, .down = 1};
	/* 12 samples within the time, but 20 are kept whatever it is. */
	const struct rule_reach slow = {.event_timeout = 120, .period = 10, .up = 1, .down = 1};
	const struct rule_reach none = {.event_timeout = 2, .period = 0.1};

	test_at_end(free_error, NULL);
	reachable(request_rule("{'>=':[{'var':'events.scale.up'},42]}"), &fast, NULL, NULL);
	reachable(request_rule("{'>=':[{'var':'events.scale.up'},43]}"), &fast,
		  "rule: ", "EVENT_TIMEOUT, 2 s");
	reachable(request_rule("{'and':[{'>=':[{'var':'events.scale.up'},4]},"
			       "{'>':[{'var':'events.scale.down'},21]}]}"),
		  &fast, "rule.and[1]: ", "events down");
	reachable(request_rule("{'<=':[{'var':'events.scale.up'},1000]}"), &fast, NULL, NULL);
	reachable(request_rule("{'>=':[{'var':'events.scale.up'},21]}"), &slow, NULL, NULL);
	reachable(request_rule("{'>=':[{'var':'events.scale.up'},22]}"), &slow, "rule: ", "22");
	reachable(request_rule("{'>=':[{'var':'events.scale.up'},5000]}"), &none, NULL, NULL);
	reachable(event_rule("{'>=':[{'var':'cpu.structure.cpu.usage'},5000]}"), &fast, NULL, NULL);
}

TEST(more_events_are_taken_away_than_there_can_be)
{
	const struct rule_reach reach = {.event_timeout = 2, .period = 0.1, .up = 1, .down = 9};
	json_t *doc = request_rule("{'>=':[{'var':'events.scale.up'},2]}");

	test_at_end(free_error, NULL);
	json_object_set_new(doc, "events_to_remove", json_string("21"));
	reachable(json_incref(doc), &reach, NULL, NULL);
	json_object_set_new(doc, "events_to_remove", json_integer(22));
	reachable(doc, &reach, "Rule r: events_to_remove: ", "21 events up");
}

TEST(what_one_sample_can_count)
{
	_cleanup_json_ json_t *docs = json_array();
	struct ruleset *ruleset;
	struct rule_reach reach;
	json_t *off = event_rule("{'==':[1,1]}");

	json_object_set_new(off, "active", json_false());
	json_array_append_new(docs, event_rule("{'==':[1,1]}"));
	json_array_append_new(docs, event_rule("{'==':[2,2]}"));
	json_array_append_new(docs, off);
	json_array_append_new(docs, request_rule("{'==':[1,1]}"));
	CHECK_INT(ruleset_new(docs, &ruleset), 0);
	rule_reach_count(ruleset, EBB_CPU, &reach);
	CHECK_INT(reach.up, 2);
	CHECK_INT(reach.down, 0);
	rule_reach_count(ruleset, EBB_MEM, &reach);
	CHECK_INT(reach.up, 0);
	ruleset_free(ruleset);
}

TEST_MAIN()
