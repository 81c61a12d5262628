/* SPDX-License-Identifier: Apache-2.0 */
#include "quoted_json.h"
#include "test.h"

#include "layout.h"
#include "ebb/cleanup.h"

/* What was told last, until the next is: many are looked at in one test. */
static char *got;

static void forget(void)
{
	free(got);
	got = NULL;
}

/* The part of the layout that becomes of it, or the error. Single quotes stand for double ones. */
static const char *part_of(const char *text, const char *kind)
{
	_cleanup_json_ json_t *document = parse_text(text), *layout = NULL;
	char *error = NULL;

	forget();
	if (layout_parse(document, &layout, &error) < 0)
		got = error;
	else
		got = json_dumps(json_object_get(layout, kind), JSON_COMPACT);
	for (char *c = got; *c; c++)
		if (*c == '"')
			*c = '\'';
	return got;
}

TEST(the_originals_layout)
{
	const char *text = "{'hosts':[{'name':'h0','containers':['c0','c1']},{'name':'h1'}],"
			   "'apps':[{'name':'a','containers':['c0']}]}";

	CHECK_STR(part_of(text, "hosts"), "{'h0':{},'h1':{}}");
	CHECK_STR(part_of(text, "containers"), "{'c0':{'host':'h0'},'c1':{'host':'h0'}}");
	CHECK_STR(part_of(text, "applications"), "{'a':{'containers':['c0']}}");
	CHECK_STR(part_of(text, "told"), "{'hosts':true,'containers':true,'applications':true}");
}

TEST(amounts_become_numbers)
{
	CHECK_STR(
		part_of("{'containers':[{'name':'c','resources':{'cpu':{'min':'0.2c','max':200.0},"
			"'mem':{'max':'2G'},'disk_read':{'max':'30M'}}}]}",
			"containers"),
		"{'c':{'resources':{'cpu':{'min':20,'max':200},'mem':{'max':2048},"
		"'disk_read':{'max':30}}}}");
}

TEST(a_container_may_be_named_and_told_apart)
{
	const char *want = "{'c':{'host':'h','guard':false}}";

	CHECK_STR(
		part_of("{'hosts':[{'name':'h','containers':['c']}],'containers':[{'name':'c','guard':"
			"false}]}",
			"containers"),
		want);
	CHECK_STR(part_of("{'hosts':[{'name':'h','containers':[{'name':'c','guard':false}]}]}",
			  "containers"),
		  want);
	CHECK_STR(
		part_of("{'containers':[{'name':'c','guard':false}],'hosts':[{'name':'h','containers'"
			":['c']}]}",
			"containers"),
		"{'c':{'guard':false,'host':'h'}}");
}

TEST(what_a_guarded_one_names_is_guarded)
{
	CHECK_STR(
		part_of("{'containers':[{'name':'c','guard':true,'resources':{'cpu':{'max':1},'mem':{"
			"'guard':false}}}]}",
			"containers"),
		"{'c':{'guard':true,'resources':{'cpu':{'max':1,'guard':true},'mem':{'guard':"
		"false}}}}");
}

TEST(what_is_wrong_is_told_with_its_way)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{"[]", "a layout has members: hosts, containers, applications, users, rules, "
		       "services"},
		{"{'dance':[]}", "dance: there is no such member; a layout has hosts, containers, "
				 "applications, users, rules, services"},
		{"{'hosts':{}}", "hosts: this is a list, each with a name"},
		{"{'hosts':['h']}", "hosts[0]: this has members, such as {name: host0}"},
		{"{'hosts':[{}]}", "hosts[0]: the name is missing"},
		{"{'hosts':[{'name':5}]}", "hosts[0].name: a name is a text: put it in quotes"},
		{"{'hosts':[{'name':'free'}]}",
		 "hosts[0].name: a name has 1 to 255 bytes without control characters, and is not "
		 "'free'"},
		{"{'hosts':[{'name':'h'},{'name':'h'}]}",
		 "hosts[1].name: 'h' is there already, further up"},
		{"{'hosts':[{'name':'h','guard':true}]}",
		 "hosts[0].guard: there is no such member; host has name, resources, address, "
		 "core_distribution, feed, disks, containers"},
		{"{'hosts':[{'name':'h','resources':{'cpu':{'min':1}}}]}",
		 "hosts[0].resources.cpu.min: there is no such member; there are max"},
		{"{'users':[{'name':'u','resources':{'dance':{}}}]}",
		 "users[0].resources.dance: there is no such resource; there are cpu, mem, "
		 "disk_read, disk_write, net, energy"},
		{"{'containers':[{'name':'c','resources':{'cpu':{'min':5,'max':4}}}]}",
		 "containers[0].resources.cpu: min 5 is above max 4"},
		{"{'containers':[{'name':'c','resources':{'cpu':{'max':4,'current':5}}}]}",
		 "containers[0].resources.cpu: current 5 is not between min and max"},
		{"{'containers':[{'name':'c','resources':{'mem':{'max':1.5}}}]}",
		 "containers[0].resources.mem.max: this is not an amount of mem, such as 512 (MiB) "
		 "or 2G"},
		{"{'containers':[{'name':'c','resources':{'cpu':{'boundary':101}}}]}",
		 "containers[0].resources.cpu.boundary: a boundary is a percentage, 0 to 100"},
		{"{'containers':[{'name':'c','guard':'yes'}]}",
		 "containers[0].guard: this is true or false"},
		{"{'hosts':[{'name':'h','containers':['c']},{'name':'i','containers':['c']}]}",
		 "hosts[1].containers[0]: 'c' is said to be on host 'h' too"},
		{"{'hosts':[{'name':'h','containers':['c']}],'containers':[{'name':'c','host':'i'}]}",
		 "containers[0].name: 'c' is said to be on host 'h' too"},
		{"{'apps':[{'name':'a','containers':['c']},{'name':'b','containers':['c']}]}",
		 "applications: 'c' belongs to 'a' and to 'b': it can only belong to one, and once"},
		{"{'apps':[{'name':'a','containers':['c','c']}]}",
		 "applications: 'c' belongs to 'a' and to 'a': it can only belong to one, and once"},
		{"{'hosts':[{'name':'x'}],'apps':[{'name':'x'}]}",
		 "applications: 'x' is the name of a host too: each needs its own"},
		{"{'rules':[{}]}", "rules[0]: the name is missing"},
		{"{'rules':[{'name':'r'},{'name':'r'}]}",
		 "rules[1]: 'r' is there already, further up"},
		{"{'services':{'guardian':true}}",
		 "services.guardian: this has keys, such as {ACTIVE: true}"},
		{"{'services':{'guardian':{'A':{}}}}",
		 "services.guardian.A: a key is a number, a text, true, false or a list"},
		{"{'hosts':[{'name':'h','disks':[{'name':'d','path':'/','max_read':1}]}]}",
		 "hosts[0].disks[0]: max_write is a number of MiB/s"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		CHECK_STR(part_of(cases[i].text, "hosts"), cases[i].error);
}

TEST(users_have_a_name_space_of_their_own)
{
	CHECK_STR(part_of("{'users':[{'name':'x'}],'apps':[{'name':'x'}]}", "users"), "{'x':{}}");
}

/* --- bodies --- */

static const char *text_of(json_t *body)
{
	_cleanup_json_ json_t *held = body;

	forget();
	got = json_dumps(held, JSON_COMPACT | JSON_SORT_KEYS);
	for (char *c = got; *c; c++)
		if (*c == '"')
			*c = '\'';
	return got;
}

TEST(hosts_have_the_defaults_of_the_old_scripts)
{
	_cleanup_json_ json_t *none = json_object();
	_cleanup_json_ json_t *item = json_pack("{s:s, s:{s:{s:i}}}", "address", "10.0.0.7:8001",
						"resources", "cpu", "max", 400);

	CHECK_STR(text_of(layout_host_body("h", none)),
		  "{'host':'h','host_rescaler_ip':'h','host_rescaler_port':'8000','name':'h',"
		  "'resources':{'cpu':{'free':800,'max':800},'mem':{'free':24576,'max':24576}},"
		  "'subtype':'host'}");
	CHECK_STR(
		text_of(layout_host_body("h", item)),
		"{'host':'h','host_rescaler_ip':'10.0.0.7','host_rescaler_port':'8001','name':'h',"
		"'resources':{'cpu':{'free':400,'max':400},'mem':{'free':24576,'max':24576}},"
		"'subtype':'host'}");
}

TEST(containers_start_at_their_maximum)
{
	_cleanup_json_ json_t *item =
		json_pack("{s:s, s:b, s:{s:{s:i, s:i}}}", "host", "h", "guard", true, "resources",
			  "cpu", "max", 10, "boundary", 7);

	CHECK_STR(
		text_of(layout_container_body("c", item, NULL)),
		"{'container':{'guard':true,'host':'h','host_rescaler_ip':'h','host_rescaler_port':"
		"'8000','name':'c','resources':{'cpu':{'current':10,'guard':true,'max':10,'min':"
		"10},'mem':{'current':6144,'guard':true,'max':6144,'min':512}},'subtype':"
		"'container'},'limits':{'resources':{'cpu':{'boundary':7,'boundary_type':"
		"'percentage_of_max'},'mem':{'boundary':10,'boundary_type':'percentage_of_max'}}}}");
}

TEST(applications_and_users_have_the_defaults_of_the_old_scripts)
{
	_cleanup_json_ json_t *none = json_object();

	CHECK_STR(
		text_of(layout_application_body("a", none)),
		"{'app':{'guard':false,'install_files':'','install_script':'','name':'a',"
		"'output_dir':'','resources':{'cpu':{'guard':false,'max':1600,'min':20,'weight':1},"
		"'mem':{'guard':false,'max':24576,'min':512,'weight':1}},'runtime_files':'',"
		"'start_script':'','stop_script':'','subtype':'application'},'limits':{'resources':"
		"{'cpu':{'boundary':5,'boundary_type':'percentage_of_max'},'mem':{'boundary':5,"
		"'boundary_type':'percentage_of_max'}}}}");
	CHECK_STR(text_of(layout_user_body("u", none)),
		  "{'user':{'name':'u','resources':{'cpu':{'max':1600,'min':20},'mem':{'max':24576,"
		  "'min':512}},'subtype':'user'}}");
}

TEST_MAIN()
