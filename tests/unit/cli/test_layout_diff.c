/* SPDX-License-Identifier: Apache-2.0 */
#include "quoted_json.h"
#include "test.h"

#include "layout.h"
#include "layout_diff.h"
#include "layout_equal.h"
#include "ebb/cleanup.h"

/* What was told last, until the next is: many are looked at in one test. */
static char *got;

static void forget(void)
{
	free(got);
	got = NULL;
}

/* A line for each change, "METHOD PATH BODY: what (why)", and each note; or the error. */
static const char *diff_with(const char *present_text, const char *layout_text, bool prune)
{
	_cleanup_json_ json_t *present = parse_text(present_text),
			      *document = parse_text(layout_text);
	_cleanup_json_ json_t *layout = NULL, *diff = NULL;
	json_t *change, *note;
	char *error = NULL;
	size_t size, i;
	FILE *out;

	forget();
	CHECK(layout_parse(document, &layout, &error) == 0);
	if (layout_diff(present, layout, prune, &diff, &error) < 0)
		return got = error;
	out = open_memstream(&got, &size);
	json_array_foreach(json_object_get(diff, "changes"), i, change) {
		_cleanup_free_ char *body = NULL;

		if (json_object_get(change, "body"))
			body = json_dumps(json_object_get(change, "body"),
					  JSON_COMPACT | JSON_SORT_KEYS);
		fprintf(out, "%s %s %s", json_string_value(json_object_get(change, "method")),
			json_string_value(json_object_get(change, "path")),
			body && strlen(body) < 80 ? body : "");
		if (json_object_get(change, "if_match"))
			fprintf(out, " if %s",
				json_string_value(json_object_get(change, "if_match")));
		if (json_object_get(change, "only_new"))
			fprintf(out, " if new");
		fprintf(out, ": %s (%s)\n", json_string_value(json_object_get(change, "what")),
			json_string_value(json_object_get(change, "why")));
	}
	json_array_foreach(json_object_get(diff, "notes"), i, note)
		fprintf(out, "note: %s\n", json_string_value(note));
	fclose(out);
	for (char *c = got; *c; c++)
		if (*c == '"')
			*c = '\'';
	return got;
}

static const char *diff(const char *present, const char *layout)
{
	return diff_with(present, layout, false);
}

#define HOST "'h':{'subtype':'host','name':'h','resources':{'cpu':{'max':400}}}"
#define CONTAINER(range)                                                                            \
	"'c':{'subtype':'container','name':'c','host':'h','guard':false,'resources':{'cpu':{" range \
	",'guard':false}}}"
#define APP(name, members)                                                            \
	"'" name "':{'subtype':'application','name':'" name "','containers':" members \
	",'resources':{'cpu':{'max':100,'min':1}}}"

TEST(everything_new_in_an_order_that_is_possible)
{
	CHECK_STR(
		diff("{'structures':{}}",
		     "{'users':[{'name':'u','clusters':['a']}],'apps':[{'name':'a','containers':["
		     "'c']}],'hosts':[{'name':'h','core_distribution':'none','containers':['c']}]}"),
		"PUT /structure/host/h : host h: subscribe (it is not there)\n"
		"PUT /structure/h/core_distribution {'value':'none'}: host h: core_distribution "
		"none (it is the default)\n"
		"PUT /structure/container/c : container c: subscribe (it is not there)\n"
		"PUT /structure/apps/a : application a: subscribe (it is not there)\n"
		"PUT /structure/container/c/a : application a: with container c (it is no "
		"member)\n"
		"PUT /user/u : user u: subscribe (it is not there)\n"
		"PUT /user/clusters/u/a : user u: with application a (it is no member)\n");
}

TEST(nothing_where_nothing_differs)
{
	CHECK_STR(diff("{'structures':{" HOST "," CONTAINER("'max':200.0,'min':20") "}}",
		       "{'hosts':[{'name':'h','containers':[{'name':'c','guard':false,'resources':{"
		       "'cpu':{'max':'2c','min':20}}}]}]}"),
		  "");
}

TEST(what_came_by_itself_is_taken_over)
{
	CHECK_STR(
		diff("{'structures':{'c':{'subtype':'container','name':'c','host':'h','automatic':"
		     "true}," HOST "}}",
		     "{'containers':[{'name':'c'}]}"),
		"PUT /structure/container/c : container c: subscribe (it came by itself)\n");
}

TEST(min_never_passes_max)
{
	static const char up[] =
		"{'containers':[{'name':'c','resources':{'cpu':{'min':300,'max':400}"
		"}}]}";
	static const char down[] =
		"{'containers':[{'name':'c','resources':{'cpu':{'min':1,'max':10}}"
		"}]}";

	CHECK_STR(
		diff("{'structures':{" CONTAINER("'max':200,'min':20") "}}", up),
		"PUT /structure/c/resources/cpu/max {'value':400}: container c: cpu max 400 (it is "
		"200)\n"
		"PUT /structure/c/resources/cpu/min {'value':300}: container c: cpu min 300 (it is "
		"20)\n");
	CHECK_STR(diff("{'structures':{" CONTAINER("'max':200,'min':20") "}}", down),
		  "PUT /structure/c/resources/cpu/min {'value':1}: container c: cpu min 1 (it is "
		  "20)\n"
		  "PUT /structure/c/resources/cpu/max {'value':10}: container c: cpu max 10 (it is "
		  "200)\n");
}

TEST(those_that_are_there_give_up_before_new_ones_need)
{
	CHECK_STR(
		diff("{'structures':{" HOST "," CONTAINER("'max':200,'min':20") "}}",
		     "{'containers':[{'name':'n','host':'h'},{'name':'c','resources':{'cpu':{'max':"
		     "50}}}]}"),
		"PUT /structure/c/resources/cpu/max {'value':50}: container c: cpu max 50 (it is "
		"200)\n"
		"PUT /structure/container/n : container n: subscribe (it is not there)\n");
}

TEST(boundaries_and_guards)
{
	CHECK_STR(
		diff("{'structures':{" CONTAINER(
			     "'max':200") "},'limits':{'c':{'cpu':{'boundary':"
					  "10,'boundary_type':'percentage_of_max'}}}}",
		     "{'containers':[{'name':'c','guard':true,'resources':{'cpu':{'boundary':5,"
		     "'boundary_type':'percentage_of_max'}}}]}"),
		"PUT /structure/c/limits/cpu/boundary {'value':5}: container c: cpu boundary 5 (it "
		"is 10)\n"
		"PUT /structure/c/resources/cpu/guard : container c: guard cpu (it is not "
		"guarded)\n"
		"PUT /structure/c/guard : container c: guard (it is not guarded)\n");
}

TEST(names_are_encoded)
{
	CHECK_STR(diff("{}", "{'users':[{'name':'a/b c'}]}"),
		  "PUT /user/a%2Fb%20c : user a/b c: subscribe (it is not there)\n");
}

TEST(a_member_of_another_leaves_it_first)
{
	static const char present[] = "{'structures':{" APP("a", "['c']") "," APP(
		"b", "[]") "," CONTAINER("'max':1") "}}";

	CHECK_STR(diff(present, "{'apps':[{'name':'b','containers':['c']}]}"),
		  "DELETE /structure/container/c/a : application a: without container c (it is to "
		  "belong to another)\n"
		  "PUT /structure/container/c/b : application b: with container c (it belongs to "
		  "another)\n");
	/* That it is taken out says it already. */
	CHECK_STR(diff_with(present, "{'apps':[{'name':'b','containers':['c']}]}", true),
		  "DELETE /structure/apps/a : application a: desubscribe (the layout does not have "
		  "it)\n"
		  "PUT /structure/container/c/b : application b: with container c (it belongs to "
		  "another)\n");
	/* Once, where the layout has both. */
	CHECK_STR(
		diff_with(present,
			  "{'apps':[{'name':'a','containers':[]},{'name':'b','containers':['c']}]}",
			  true),
		"DELETE /structure/container/c/a : application a: without container c (it is to "
		"belong to another)\n"
		"PUT /structure/container/c/b : application b: with container c (it belongs to "
		"another)\n");
}

TEST(only_prune_takes_out_and_only_of_kinds_that_are_named)
{
	static const char present[] =
		"{'structures':{" HOST "," CONTAINER("'max':1") "," APP("a", "['c','x']") "," APP(
			"b",
			"[]") ",'d':{'subtype':'container','name':'d','automatic':true}},'users':{"
			      "'u':{'subtype':'user','name':'u','clusters':['a']}}}";
	static const char layout[] = "{'apps':[{'name':'a','containers':['c']}],'containers':[]}";

	CHECK_STR(diff(present, layout), "");
	CHECK_STR(
		diff_with(present, layout, true),
		"DELETE /structure/container/x/a : application a: without container x (the layout "
		"does not have it)\n"
		"DELETE /structure/apps/b : application b: desubscribe (the layout does not have "
		"it)\n"
		"DELETE /structure/container/c : container c: desubscribe (the layout does not "
		"have it)\n");
}

TEST(rules_keep_what_is_not_named)
{
	static const char present[] =
		"{'rules':{'R':{'_id':'1','_rev':'2','name':'R','amount':5,'active':true}},"
		"'rule_etags':{'R':'E'}}";

	CHECK_STR(diff(present, "{'rules':[{'name':'R','amount':5.0}]}"), "");
	CHECK_STR(diff(present, "{'rules':[{'name':'R','amount':6}]}"),
		  "PUT /rule/R {'active':true,'amount':6,'name':'R'} if E: rule R: change (amount "
		  "differs)\n");
	CHECK_STR(diff(present, "{'rules':[{'name':'N','rule':{'==':[1,1]}}]}"),
		  "PUT /rule/N {'name':'N','rule':{'==':[1,1]}} if new: rule N: add (it is not "
		  "there)\n");
	CHECK_STR(diff(present, "{'rules':[{'name':'N','amount':6}]}"),
		  "rule N is not there: to add it, the layout needs all of it, with \"rule\"");
}

TEST(services_take_what_differs_in_one_call)
{
	static const char present[] =
		"{'services':{'s':{'config':{'A':1,'B':true,'L':['cpu'],'W':'x'}}}}";

	CHECK_STR(diff(present, "{'services':{'s':{'A':'1','B':'true','L':['cpu'],'W':'x'}}}"), "");
	CHECK_STR(diff(present, "{'services':{'s':{'A':2,'B':true,'C':0.5}}}"),
		  "PUT /service/s {'A':2,'C':0.5}: service s: A 2, and more (it is 1)\n");
	CHECK_STR(diff(present, "{'services':{'t':{'A':2}}}"), "there is no service 't'");
}

TEST(disks_are_added_and_resized)
{
	CHECK_STR(
		diff("{'structures':{'h':{'subtype':'host','name':'h','resources':{'disks':{'d':{"
		     "'max_read':1,'max_write':2},'e':{'max_read':1,'max_write':2}}}}}}",
		     "{'hosts':[{'name':'h','disks':[{'name':'d','path':'/','max_read':1,'max_write'"
		     ":3},{'name':'e','path':'/','max_read':1,'max_write':2},{'name':'f','path':'/',"
		     "'max_read':1,'max_write':2}]}]}"),
		"POST /structure/host/h/disks : host h: resize disk d (it has 1 and 2)\n"
		"PUT /structure/host/h/disks : host h: add disk f (it is not there)\n");
}

TEST(what_no_call_can_change_is_noted)
{
	CHECK_STR(
		diff("{'structures':{'h':{'subtype':'host','name':'h','live':{'connected':true,"
		     "'agentless':false},'resources':{'cpu':{'max':400}}},'a':{'subtype':"
		     "'application','name':'a','start_script':'x'}}}",
		     "{'hosts':[{'name':'h','resources':{'cpu':{'max':800}}}],'apps':[{'name':'a',"
		     "'start_script':'y'}]}"),
		"note: host h: cpu max is 400, as its agent says, not 800\n"
		"note: application a: start_script differs; only a subscription sets it, "
		"desubscribe it first to have it so\n");
}

TEST(an_address_is_noted_unless_an_agent_tells_it)
{
	static const char layout[] = "{'hosts':[{'name':'h','address':'10.0.0.2:8001'}]}";

	CHECK_STR(
		diff("{'structures':{'h':{'subtype':'host','name':'h','host_rescaler_ip':"
		     "'10.0.0.1','host_rescaler_port':'8001'}}}",
		     layout),
		"note: host h: address differs; only a subscription sets it, desubscribe it first "
		"to have it so\n");
	CHECK_STR(diff("{'structures':{'h':{'subtype':'host','name':'h','host_rescaler_ip':"
		       "'10.0.0.2','host_rescaler_port':8001}}}",
		       layout),
		  "");
	CHECK_STR(diff("{'structures':{'h':{'subtype':'host','name':'h','host_rescaler_ip':"
		       "'10.0.0.1','live':{'connected':true}}}}",
		       layout),
		  "");
}

TEST(what_cannot_become_so_is_an_error)
{
	static const char present[] = "{'structures':{" HOST "," CONTAINER("'max':1") "}}";
	static const struct {
		const char *layout, *error;
	} cases[] = {
		{"{'containers':[{'name':'c','host':'i'}]}",
		 "container c is on host h, not on i: desubscribe it first"},
		{"{'containers':[{'name':'n'}]}",
		 "container n is not there, and the layout does not "
		 "say on which host it is"},
		{"{'containers':[{'name':'n','host':'x'}]}",
		 "container n: there is no host 'x', nor is it in the layout"},
		{"{'hosts':[{'name':'c'}]}", "host c: there is a container of this name"},
		{"{'containers':[{'name':'c','resources':{'net':{'max':1}}}]}",
		 "container c is there without net: desubscribe it first, or leave net out"},
		{"{'apps':[{'name':'a','containers':['n']}]}",
		 "application a: there is no container 'n', nor is it in the layout"},
		{"{'users':[{'name':'u','clusters':['c']}]}",
		 "user u: there is no application 'c', nor is it in the layout"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		CHECK_STR(diff(present, cases[i].layout), cases[i].error);
}

TEST(long_values_are_cut_and_stay_text)
{
	/* Two bytes each: a cut in bytes could halve one. */
	CHECK(strstr(
		diff("{'services':{'s':{'config':{}}}}",
		     "{'services':{'s':{'L':['\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9"
		     "\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9"
		     "\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9'"
		     "]}}}"),
		"... (it is not set)"));
}

TEST(values_are_compared_as_operators_do)
{
	_cleanup_json_ json_t *a = parse_text("{'x':[1,{'y':2.0}],'z':'1'}");
	_cleanup_json_ json_t *b = parse_text("{'z':'1','x':[1.0,{'y':2}]}");
	_cleanup_json_ json_t *c = parse_text("{'x':[1,{'y':2}],'z':1}");

	CHECK(layout_equal(a, b));
	CHECK(!layout_equal(a, c));
	CHECK(layout_means_the_same(json_object_get(a, "z"), json_object_get(c, "z")));
	CHECK(!layout_means_the_same(json_object_get(a, "x"), json_object_get(c, "z")));
	CHECK(!layout_equal(a, NULL));
}

TEST_MAIN()
