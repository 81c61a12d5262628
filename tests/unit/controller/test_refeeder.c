/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "refeeder.h"
#include "series_world.h"
#include "usage_history.h"

#define BIT(resource) (1u << (resource))
#define S(seconds)    ((uint64_t)((seconds)*1e9))

static struct refeeder_config config;
static struct aggregate_result result;

static void run(struct model *model, double at)
{
	CHECK_INT(refeeder_run(model, &config, S(at), &result), 0);
}

static void set_up(void)
{
	config = (struct refeeder_config){
		.active = true,
		.window_timelapse = 8,
		.structures = SERIES_APPLICATION,
		.resources = BIT(EBB_CPU) | BIT(EBB_MEM),
	};
}

/* A sample as every feed hands it on; NAN: not measured. */
static void sample(struct model *model, const char *name, double at, double cpu, double mem)
{
	struct guard_sample s = {
		.at = at,
		.seconds = 1,
		.valid = (isnan(cpu) ? 0 : BIT(EBB_CPU)) | (isnan(mem) ? 0 : BIT(EBB_MEM)),
		.usage = {[EBB_CPU] = cpu, [EBB_MEM] = mem},
		.throttled = NAN,
	};
	const struct sample_times times = {.received_ns = S(at)};

	model_lock(model);
	guarding_take_sample(model, NULL, model_structure(model, name), &model->guardian, &s,
			     &times);
	model_unlock(model);
}

static void add_container(struct model *model, const char *name)
{
	char text[256];

	snprintf(text, sizeof(text),
		 "{'subtype':'container','name':'%s','resources':{'cpu':{'max':400,'min':20},"
		 "'mem':{'max':4096,'min':64}}}",
		 name);
	add_structure(model, text);
}

static void add_all(struct model *model)
{
	add_container(model, "c0");
	add_container(model, "c1");
	add_container(model, "alone");
	add_structure(model, "{'subtype':'application','name':'app','containers':['c0','c1'],"
			     "'resources':{'cpu':{'max':800,'min':20},'mem':{'max':8192,'min':64,"
			     "'usage':77}}}");
}

TEST(refeeder_sums_the_means)
{
	struct model *model = new_world();

	set_up();
	add_all(model);
	run(model, 100);
	CHECK_INT(result.containers, 2);
	CHECK(!model_structure(model, "alone")->history);
	/* What the document said is of another time: nothing has been measured yet. */
	CHECK_STR(kept(model, "app", "mem", "usage"), "-");
	CHECK_INT(result.changed, 1);

	sample(model, "c0", 101, 100, 200);
	sample(model, "c0", 102, 50, 200);
	sample(model, "c1", 102, 30.5, 100.253);
	sample(model, "alone", 102, 1000, 1000);
	run(model, 103);
	CHECK_STR(kept(model, "app", "cpu", "usage"), "105.5r");
	CHECK_STR(kept(model, "app", "mem", "usage"), "300.25r");
	CHECK_INT(result.changed, 1);
	run(model, 104);
	CHECK_INT(result.changed, 0);
	/* Not of the containers. */
	CHECK_STR(kept(model, "c0", "cpu", "usage"), "-");
}

TEST(refeeder_a_container_without_data_adds_nothing)
{
	struct model *model = new_world();

	set_up();
	add_all(model);
	run(model, 100);
	sample(model, "c0", 101, 100, NAN);
	sample(model, "c1", 101, NAN, 64);
	run(model, 102);
	CHECK_STR(kept(model, "app", "cpu", "usage"), "100r");
	CHECK_STR(kept(model, "app", "mem", "usage"), "64r");
	/* An idle one is measured, and is 0. */
	sample(model, "c1", 103, 0, 64);
	sample(model, "c0", 109, NAN, 1);
	run(model, 111);
	CHECK_STR(kept(model, "app", "cpu", "usage"), "0r");
	CHECK_STR(kept(model, "app", "mem", "usage"), "65r");
	/* And when nobody has been measured for a window it is left out, not 0. */
	run(model, 120);
	CHECK_STR(kept(model, "app", "cpu", "usage"), "-");
	CHECK_STR(kept(model, "app", "mem", "usage"), "-");
	CHECK_STR(kept(model, "app", "mem", "max"), "8192");
}

TEST(refeeder_window_ends_a_while_ago)
{
	struct model *model = new_world();

	set_up();
	config.window_timelapse = 4;
	config.window_delay = 8;
	add_all(model);
	run(model, 100);
	for (int i = 1; i <= 8; i++)
		sample(model, "c0", 100 + i, i <= 4 ? 100 : 10, 50);
	run(model, 107.9);
	CHECK_STR(kept(model, "app", "cpu", "usage"), "-");
	/* 101 to 104 */
	run(model, 112.6);
	CHECK_STR(kept(model, "app", "cpu", "usage"), "100r");
	/* 105 to 108 */
	run(model, 116.9);
	CHECK_STR(kept(model, "app", "cpu", "usage"), "10r");
}

TEST(refeeder_only_what_is_asked_for)
{
	struct model *model = new_world();

	set_up();
	config.resources = BIT(EBB_MEM);
	add_all(model);
	run(model, 100);
	sample(model, "c0", 101, 100, 200);
	run(model, 102);
	CHECK_STR(kept(model, "app", "cpu", "usage"), "-");
	CHECK_STR(kept(model, "app", "mem", "usage"), "200r");
	/* Another question begins anew, and the old answer goes. */
	config.resources = BIT(EBB_CPU);
	run(model, 103);
	CHECK_STR(kept(model, "app", "mem", "usage"), "-");
	sample(model, "c0", 104, 100, 200);
	run(model, 105);
	CHECK_STR(kept(model, "app", "cpu", "usage"), "100r");
	CHECK_STR(kept(model, "app", "mem", "usage"), "-");
}

TEST(refeeder_sums_users)
{
	struct model *model = new_world();

	set_up();
	config.structures = SERIES_USER;
	add_all(model);
	add_structure(model, "{'subtype':'application','name':'b','containers':['alone'],"
			     "'resources':{}}");
	add_user(model, "{'name':'u0','clusters':['app','b'],'resources':{'cpu':{'max':1},"
			"'mem':{'max':1},'energy':{'max':1,'usage':3.5}}}");
	run(model, 100);
	sample(model, "c0", 101, 100, 200);
	sample(model, "alone", 101, 11, NAN);
	run(model, 102);
	CHECK_STR(kept_of_user(model, "u0", "cpu", "usage"), "111r");
	CHECK_STR(kept_of_user(model, "u0", "mem", "usage"), "200r");
	CHECK_STR(kept_of_user(model, "u0", "energy", "usage"), "-");
	/* Applications were not asked for. */
	CHECK_STR(kept(model, "app", "cpu", "usage"), "-");
	CHECK_STR(kept(model, "app", "mem", "usage"), "77r");
}

TEST(refeeder_disk)
{
	struct model *model = new_world();
	struct guard_sample s = {
		.at = 101,
		.seconds = 1,
		.valid = BIT(EBB_DISK_READ) | BIT(EBB_DISK_WRITE),
		.usage = {[EBB_DISK_READ] = 3, [EBB_DISK_WRITE] = 4.5},
		.throttled = NAN,
	};
	const struct sample_times times = {.received_ns = S(101)};

	set_up();
	config.resources |= BIT(EBB_DISK_READ) | BIT(EBB_DISK_WRITE);
	add_container(model, "c0");
	add_structure(model, "{'subtype':'application','name':'app','containers':['c0'],"
			     "'resources':{'disk_read':{},'disk':{'max':9}}}");
	run(model, 100);
	model_lock(model);
	guarding_take_sample(model, NULL, model_structure(model, "c0"), &model->guardian, &s,
			     &times);
	model_unlock(model);
	run(model, 102);
	CHECK_STR(kept(model, "app", "disk", "usage"), "7.5r");
	CHECK_STR(kept(model, "app", "disk", "max"), "9");
	CHECK_STR(kept(model, "app", "disk_read", "usage"), "3r");
	CHECK_STR(kept(model, "app", "disk_write", "usage"), "-");
	/* One of the two says nothing about both. */
	config.resources = BIT(EBB_DISK_READ);
	run(model, 103);
	CHECK_STR(kept(model, "app", "disk", "usage"), "-");
}

TEST(refeeder_container_that_is_removed)
{
	struct model *model = new_world();

	set_up();
	add_all(model);
	run(model, 100);
	sample(model, "c0", 101, 100, 200);
	sample(model, "c1", 101, 1, 2);
	model_lock(model);
	model_remove(model, model_structure(model, "c0"));
	model_unlock(model);
	run(model, 102);
	CHECK_STR(kept(model, "app", "cpu", "usage"), "1r");
	CHECK_INT(result.containers, 1);
}

TEST_MAIN()
