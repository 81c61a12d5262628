/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "series_world.h"
#include "hierarchy.h"
#include "snapshoter_structures.h"

#define BIT(resource) (1u << (resource))

static struct snapshoter_structures_config config;
static struct aggregate_result result;

static void run(struct model *model)
{
	CHECK_INT(snapshoter_structures_run(model, &config, &result), 0);
}

static void set_up(void)
{
	config = (struct snapshoter_structures_config){
		.active = true,
		.polling_frequency = 5,
		.structures = SERIES_APPLICATION,
		.resources = BIT(EBB_CPU) | BIT(EBB_MEM),
	};
}

static void add_container(struct model *model, const char *name, int64_t cpu, int64_t mem)
{
	char text[256];
	struct structure *s;

	snprintf(text, sizeof(text),
		 "{'subtype':'container','name':'%s','host':'h0','resources':{"
		 "'cpu':{'max':400,'min':20,'current':33},'mem':{'max':4096,'min':64}}}",
		 name);
	s = add_structure(model, text);
	s->physical[EBB_CPU] = cpu;
	s->physical[EBB_MEM] = mem;
}

static const char app[] = "{'subtype':'application','name':'app','containers':['c0','c1'],"
			  "'resources':{'cpu':{'max':800,'min':20},'mem':{'max':8192,'min':64},"
			  "'energy':{'max':60,'min':10}}}";

TEST(snapshoter_structures_sums_the_limits_in_force)
{
	struct model *model = new_world();

	set_up();
	add_container(model, "c0", 150, 512);
	add_container(model, "c1", 75, 1024);
	add_container(model, "other", 100, 100);
	add_structure(model, app);
	run(model);
	CHECK_STR(kept(model, "app", "cpu", "current"), "225");
	CHECK_STR(kept(model, "app", "mem", "current"), "1536");
	/* Not asked for, and no container has any: left out, and the others are written. */
	CHECK_STR(kept(model, "app", "energy", "current"), "-");
	CHECK_STR(kept(model, "app", "energy", "max"), "60");
	CHECK_INT(result.applications, 1);
	CHECK_INT(result.containers, 2);
	CHECK_INT(result.changed, 1);
	/* The containers' own is not touched. */
	CHECK_STR(kept(model, "c0", "cpu", "current"), "33");

	/* Nothing has changed: nothing is written. */
	run(model);
	CHECK_INT(result.changed, 0);
	model_structure(model, "c1")->physical[EBB_CPU] = 80;
	run(model);
	CHECK_INT(result.changed, 1);
	CHECK_STR(kept(model, "app", "cpu", "current"), "230");
}

TEST(snapshoter_structures_leaves_out_what_has_no_value)
{
	struct model *model = new_world();

	set_up();
	config.resources = 63;
	add_container(model, "c0", 150, INT64_MIN);
	add_container(model, "c1", INT64_MIN, INT64_MIN);
	add_structure(model, app);
	run(model);
	/* What has not been reported since the start is what the document says. */
	CHECK_STR(kept(model, "app", "cpu", "current"), "183");
	CHECK_STR(kept(model, "app", "mem", "current"), "-");
	CHECK_STR(kept(model, "app", "energy", "current"), "-");

	/* What has gone has no limit; an old sum does not stay. */
	model_structure(model, "c0")->gone = model_structure(model, "c1")->gone = true;
	run(model);
	CHECK_STR(kept(model, "app", "cpu", "current"), "-");
}

TEST(snapshoter_structures_unlimited_is_all_the_host_has)
{
	struct model *model = new_world();
	struct structure *host = add_structure(
		model, "{'subtype':'host','name':'h0','host':'h0','resources':{"
		       "'cpu':{'max':400,'free':400,'core_usage_mapping':{'0':{'free':100},'1':"
		       "{'free':100},'2':{'free':100},'3':{'free':100}}},"
		       "'mem':{'max':8192,'free':8192}}}");

	set_up();
	CHECK(host->host);
	add_container(model, "c0", -1, -1);
	add_container(model, "c1", 50, -1);
	add_structure(model, app);
	run(model);
	CHECK_STR(kept(model, "app", "cpu", "current"), "450");
	CHECK_STR(kept(model, "app", "mem", "current"), "16384");
}

TEST(snapshoter_structures_odd_documents)
{
	struct model *model = new_world();

	set_up();
	config.structures |= SERIES_USER;
	add_container(model, "c0", 150, 512);
	add_structure(model, "{'subtype':'application','name':'empty','containers':[],"
			     "'resources':{'cpu':{'max':800,'min':20}}}");
	add_structure(model, "{'subtype':'application','name':'none',"
			     "'resources':{'cpu':{'max':800,'min':20}}}");
	add_structure(model, "{'subtype':'application','name':'odd','containers':['c0','c0',7,null,"
			     "'nobody','empty','odd',{'c0':1}],'resources':{'cpu':{'max':8,"
			     "'min':2},'gpu':{'max':1}}}");
	add_structure(model, "{'subtype':'application','name':'list','containers':'c0',"
			     "'resources':{'cpu':{'max':8,'min':2,'current':5}}}");
	add_user(model, "{'type':'user','name':'u0'}");
	add_user(model, "{'type':'user','name':'u1','clusters':7,'resources':{}}");
	run(model);
	CHECK_STR(kept(model, "empty", "cpu", "current"), "0");
	CHECK_STR(kept(model, "none", "cpu", "current"), "0");
	CHECK_STR(kept(model, "odd", "cpu", "current"), "150");
	CHECK_STR(kept(model, "odd", "gpu", "max"), "1");
	CHECK_STR(kept(model, "list", "cpu", "current"), "0");
	CHECK_INT(result.users, 2);
	CHECK_INT(result.containers, 1);
}

static const char user[] = "{'type':'user','name':'u0','clusters':['app','b','app','nobody'],"
			   "'note':'kept','resources':{'cpu':{'max':2000,'min':100},"
			   "'mem':{'max':1,'min':1},'energy':{'max':100,'min':20}}}";

static void add_two_applications(struct model *model)
{
	add_container(model, "c0", 150, 512);
	add_container(model, "c1", 75, 1024);
	add_container(model, "c2", 25, INT64_MIN);
	add_structure(model, app);
	/* No memory of its own in the document, but what its container has counts. */
	add_structure(model, "{'subtype':'application','name':'b','containers':['c2'],"
			     "'resources':{'cpu':{'max':800,'min':20}}}");
}

TEST(snapshoter_structures_sums_users)
{
	struct model *model = new_world();

	set_up();
	add_two_applications(model);
	add_user(model, user);
	run(model);
	/* Not asked for. */
	CHECK_STR(kept_of_user(model, "u0", "cpu", "current"), "-");
	CHECK_INT(result.users, 0);
	config.structures |= SERIES_USER;
	run(model);
	CHECK_STR(kept_of_user(model, "u0", "cpu", "current"), "250");
	CHECK_STR(kept_of_user(model, "u0", "mem", "current"), "1536");
	CHECK_STR(kept_of_user(model, "u0", "energy", "current"), "-");
	CHECK_STR(kept_of_user(model, "u0", "energy", "max"), "100");
	CHECK_STR(json_string_value(json_object_get(model_user(model, "u0")->doc, "note")), "kept");
	CHECK_INT(result.changed, 1);
	run(model);
	CHECK_INT(result.changed, 0);
	json_object_set_new(model_user(model, "u0")->doc, "clusters", json_array());
	hierarchy_link(model, model_user(model, "u0"));
	run(model);
	CHECK_STR(kept_of_user(model, "u0", "cpu", "current"), "0");
}

TEST(snapshoter_structures_users_without_their_applications)
{
	struct model *model = new_world();

	set_up();
	config.structures = SERIES_USER;
	add_two_applications(model);
	add_user(model, user);
	run(model);
	CHECK_STR(kept(model, "app", "cpu", "current"), "-");
	CHECK_STR(kept_of_user(model, "u0", "cpu", "current"), "250");
}

TEST(snapshoter_structures_nothing_asked_for)
{
	struct model *model = new_world();

	set_up();
	config.structures = 0;
	add_two_applications(model);
	run(model);
	CHECK_INT(result.applications, 0);
	CHECK_STR(kept(model, "app", "cpu", "current"), "-");
}

TEST(snapshoter_structures_disk)
{
	struct model *model = new_world();
	struct structure *s;

	set_up();
	config.resources = BIT(EBB_DISK_READ) | BIT(EBB_DISK_WRITE);
	s = add_structure(model, "{'subtype':'container','name':'c0','resources':{"
				 "'disk':{'name':'ssd_0','path':'/mnt/ssd'},"
				 "'disk_read':{'max':300,'min':20},'disk_write':{'max':300,"
				 "'min':20}}}");
	s->physical[EBB_DISK_READ] = 100;
	s->physical[EBB_DISK_WRITE] = 40;
	s = add_structure(model, "{'subtype':'container','name':'c1','resources':{"
				 "'disk_read':{'max':300,'min':20}}}");
	s->physical[EBB_DISK_READ] = 7;
	add_structure(model, "{'subtype':'application','name':'app','containers':['c0','c1'],"
			     "'resources':{'disk':{},'disk_read':{'max':1000,'min':1}}}");
	run(model);
	CHECK_STR(kept(model, "c0", "disk", "current"), "140");
	CHECK_STR(kept(model, "c1", "disk", "current"), "-");
	CHECK_STR(kept(model, "app", "disk_read", "current"), "107");
	CHECK_STR(kept(model, "app", "disk", "current"), "147");
	CHECK_INT(result.changed, 2);
	run(model);
	CHECK_INT(result.changed, 0);
	/* Of a container that has gone nothing is left. */
	model_structure(model, "c0")->gone = true;
	run(model);
	CHECK_STR(kept(model, "c0", "disk", "current"), "-");
	CHECK_STR(kept(model, "app", "disk", "current"), "7");
}

/* It may have lost the lead while it ran. */
TEST(snapshoter_structures_writes_only_what_it_leads)
{
	struct model *model = new_world();

	set_up();
	config.structures |= SERIES_USER;
	config.resources = 63;
	add_two_applications(model);
	add_structure(model, "{'subtype':'container','name':'d','resources':{'disk':{},"
			     "'disk_read':{'current':5},'disk_write':{'current':6}}}");
	add_user(model, user);
	model->leading = false;
	run(model);
	CHECK_INT(result.changed, 0);
	CHECK_STR(kept(model, "app", "cpu", "current"), "-");
	CHECK_STR(kept(model, "d", "disk", "current"), "-");
	CHECK_STR(kept_of_user(model, "u0", "cpu", "current"), "-");
	model->leading = true;
	run(model);
	CHECK_INT(result.changed, 4);
	CHECK_STR(kept(model, "d", "disk", "current"), "11");
}

TEST(snapshoter_structures_large_application)
{
	struct model *model = new_world();
	struct structure *application;
	json_t *names = json_array();
	char name[32];

	set_up();
	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "c%d", i);
		add_container(model, name, i, 2);
		json_array_append_new(names, json_string(name));
	}
	application = add_structure(model, app);
	json_object_set_new(application->doc, "containers", names);
	hierarchy_link(model, application);
	run(model);
	CHECK_INT(result.containers, 5000);
	CHECK_STR(kept(model, "app", "cpu", "current"), "12497500");
	CHECK_STR(kept(model, "app", "mem", "current"), "10000");
}

TEST_MAIN()
