/* SPDX-License-Identifier: Apache-2.0 */
/* The model: hosts and containers come, are guarded and accounted for. */
#include "seed.h"
#include "model_fixture.h"

/* --- registration --- */

TEST(model_host_appears)
{
	struct model *model = new_model();
	struct host *host = register_host(model, "h0");
	_cleanup_json_ json_t *doc = NULL;
	json_t *cpu;

	CHECK(model_host(model, "h0") == host);
	CHECK(model_structure(model, "h0") == host->structure);
	CHECK_INT(host->max[EBB_CPU], 400);
	CHECK_INT(host->free[EBB_CPU], 400);
	CHECK_INT(host->max[EBB_MEM], 8192);
	CHECK_INT(host->free[EBB_MEM], 8192);
	CHECK_STR(host->address, "http://127.0.0.1:8000");
	sound(model);
	doc = structure_to_json(host->structure);
	CHECK_STR(json_string_value(json_object_get(doc, "host_rescaler_ip")), "127.0.0.1");
	CHECK_STR(json_string_value(json_object_get(doc, "host_rescaler_port")), "8000");
	cpu = json_object_get(json_object_get(doc, "resources"), "cpu");
	CHECK_INT(json_integer_value(json_object_get(cpu, "max")), 400);
	CHECK_INT(json_integer_value(json_object_get(cpu, "free")), 400);
	CHECK_INT(json_object_size(json_object_get(cpu, "core_usage_mapping")), 4);
}

TEST(model_host_message_is_checked)
{
	static const char *const bad[] = {
		"{}",
		"{'host':'h0'}",
		"{'register':{'address':'http://x:1','cpus':[0],'mem':8589934592}}",
		"{'host':'h0','register':{'address':'http://x:1','cpus':[],'mem':8589934592}}",
		"{'host':'h0','register':{'address':'http://x:1','cpus':[-1],'mem':8589934592}}",
		"{'host':'h0','register':{'address':'http://x:1','cpus':[0],'mem':0}}",
		"{'host':'h0','register':{'cpus':[0],'mem':8589934592}}",
		"{'host':'a\\u0001','register':{'address':'http://x:1','cpus':[0],'mem':8589934592}}",
	};
	struct model *model = new_model();
	struct host *host = (void *)1;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_json_ json_t *message = parse("%s", bad[i]);

		CHECK_INT(model_register_host(model, message, &host), -EINVAL);
	}
	CHECK(host == (void *)1);
	CHECK_INT(model->n_structures, 0);
}

TEST(model_container_appears)
{
	struct model *model = new_model();
	struct host *host = register_host(model, "h0");
	struct structure *s = add(model, host, "web", 150, -1);

	CHECK(model_structure(model, "web") == s);
	CHECK(s->automatic && s->live && !s->guard);
	CHECK_STR(s->host_name, "h0");
	/* The limit in force is the max; where there is none, what the host has. */
	CHECK_INT(s->resources[EBB_CPU].max, 150);
	CHECK_INT(s->resources[EBB_CPU].min, 20);
	CHECK_INT(s->resources[EBB_CPU].current, 150);
	CHECK_INT(s->resources[EBB_MEM].max, 8192);
	CHECK_INT(s->resources[EBB_MEM].min, 64);
	CHECK_INT(s->resources[EBB_MEM].current, -1);
	CHECK(s->resources[EBB_CPU].guard && s->resources[EBB_MEM].guard);
	CHECK_INT(s->resources[EBB_CPU].boundary, 10);
	CHECK_INT(s->resources[EBB_CPU].boundary_type, BOUNDARY_PERCENTAGE_OF_CURRENT);
	CHECK_INT(s->resources[EBB_CPU].upper, 135);
	/* A disk without a limit: what it can do is not known. */
	CHECK(s->resources[EBB_DISK_READ].present && !s->resources[EBB_DISK_READ].guard);
	CHECK_INT(s->resources[EBB_DISK_READ].max, 0);
	CHECK_INT(s->resources[EBB_DISK_WRITE].max, 200);
	CHECK(!s->resources[EBB_NET].present);
	/* It has no shares of its host yet. */
	CHECK_INT(host->free[EBB_CPU], 400);
	sound(model);

	s = add(model, host, "tiny", 10, 32);
	CHECK_INT(s->resources[EBB_CPU].min, 10);
	CHECK_INT(s->resources[EBB_MEM].min, 32);
	/* A limit above what the host has. */
	s = add(model, host, "huge", 6400, 99999);
	CHECK_INT(s->resources[EBB_CPU].max, 400);
	CHECK_INT(s->resources[EBB_MEM].max, 8192);
}

TEST(model_container_with_a_network)
{
	struct model *model = new_model();
	struct host *host = register_host(model, "h0");
	_cleanup_json_ json_t *added = parse("{'name':'web','limits':{'cpu':200,'net':100}}");
	_cleanup_json_ json_t *later = parse("{'name':'db','limits':{'cpu':200}}");
	_cleanup_json_ json_t *limits = parse("{'c':2,'cpu':200,'net':-1}");
	struct structure *s = NULL;
	char *error = NULL;
	int r;

	CHECK_INT(model_register_container(model, host, added, &s), 0);
	CHECK(s->resources[EBB_NET].present && !s->resources[EBB_NET].guard);
	CHECK_INT(s->resources[EBB_NET].max, 100);
	CHECK_INT(s->resources[EBB_NET].current, 100);
	CHECK_INT(model_guard_resources(model, s, 1u << EBB_NET, true, NULL), 0);

	/* One that is joined to its network after it was made; what that can do is not known. */
	CHECK_INT(model_register_container(model, host, later, &s), 0);
	CHECK(!s->resources[EBB_NET].present);
	CHECK_INT(model_limits_reported(model, s, limits), 0);
	CHECK(s->resources[EBB_NET].present && !s->resources[EBB_NET].guard);
	CHECK_INT(s->resources[EBB_NET].current, -1);
	r = model_guard_resources(model, s, 1u << EBB_NET, true, &error);
	refused(r, -EINVAL, error, "set one first");
	CHECK_INT(set(model, s, EBB_NET, "max", 50), 0);
	CHECK_INT(model_guard_resources(model, s, 1u << EBB_NET, true, NULL), 0);
	sound(model);
}

/* Where their host is told once for all of them, until one has something of its own. */
TEST(model_containers_share_what_is_of_their_host)
{
	struct model *model = new_model();
	struct host *host = register_host(model, "h0");
	struct structure *a = add(model, host, "a", 100, 1024);
	struct structure *b = add(model, host, "b", 100, 1024);
	const char *port;

	CHECK(a->doc == b->doc);
	json_object_set_new(structure_own_doc(&a->doc), "mine", json_true());
	CHECK(json_object_get(a->doc, "mine") && !json_object_get(b->doc, "mine"));
	CHECK(json_object_get(a->doc, "host_rescaler_port"));
	CHECK(add(model, host, "c", 100, 1024)->doc == b->doc);
	/* The agent moves. */
	_cleanup_json_ json_t *message =
		parse("{'host':'h0','session':'t','register':{'address':'http://127.0.0.1:9000',"
		      "'cpus':[0,1,2,3],'mem':8589934592}}");
	CHECK_INT(model_register_host(model, message, &host), 0);
	for (struct structure *s = host->containers; s; s = s->host_next) {
		port = json_string_value(json_object_get(s->doc, "host_rescaler_port"));
		CHECK_STR(port, "9000");
	}
	CHECK(json_object_get(a->doc, "mine") && !json_object_get(b->doc, "mine"));
	sound(model);
}

TEST(model_container_on_a_host_without_disk_limits)
{
	struct model *model = new_model();
	struct host *host = register_host(model, "h0");
	_cleanup_json_ json_t *added = parse("{'name':'web','limits':{'cpu':-1}}");
	struct structure *s = NULL;
	char *error = NULL;
	int r;

	CHECK_INT(model_register_container(model, host, added, &s), 0);
	CHECK(s->resources[EBB_CPU].guard);
	CHECK(s->resources[EBB_MEM].present && !s->resources[EBB_MEM].guard);
	CHECK(!s->resources[EBB_DISK_READ].present);
	r = model_guard_resources(model, s, 1u << EBB_MEM, true, &error);
	refused(r, -EINVAL, error, "cannot limit mem");
}

/* On cgroup v1 an engine makes a container directory by directory. */
TEST(model_container_whose_limits_come_one_after_another)
{
	struct model *model = new_model();
	struct host *host = register_host(model, "h0");
	_cleanup_json_ json_t *added = parse("{'name':'web','limits':{'cpu':-1}}");
	_cleanup_json_ json_t *touched = parse("{'name':'db','limits':{'cpu':-1}}");
	_cleanup_json_ json_t *limits = parse("{'c':1,'cpu':-1,'mem':512,'disk_read':-1}");
	struct structure *s = NULL;

	CHECK_INT(model_register_container(model, host, added, &s), 0);
	CHECK_INT(model_limits_reported(model, s, limits), 0);
	CHECK(s->resources[EBB_MEM].guard);
	CHECK_INT(s->resources[EBB_MEM].max, 512);
	CHECK_INT(s->resources[EBB_MEM].current, 512);
	CHECK(s->resources[EBB_DISK_READ].present && !s->resources[EBB_DISK_READ].guard);
	CHECK_INT(model_guard(model, s, true, NULL), 0);
	sound(model);

	/* What an operator has begun with is as he left it. */
	CHECK_INT(model_register_container(model, host, touched, &s), 0);
	CHECK_INT(set(model, s, EBB_CPU, "max", 100), 0);
	CHECK_INT(model_limits_reported(model, s, limits), 0);
	CHECK(!s->resources[EBB_MEM].guard);
	CHECK_INT(s->resources[EBB_MEM].current, 512);
	CHECK_INT(model_guard_resources(model, s, 1u << EBB_MEM, true, NULL), 0);
	sound(model);
}

TEST(model_names_are_checked)
{
	static const char *const bad[] = {"{}", "{'name':''}", "{'name':'free'}",
					  "{'name':'a\\nb'}", "{'name':5}"};
	struct model *model = new_model();
	struct host *host = register_host(model, "h0"), *other = register_host(model, "h1");
	struct structure *s = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_json_ json_t *added = parse("%s", bad[i]);

		CHECK_INT(model_register_container(model, host, added, &s), -EINVAL);
	}
	_cleanup_json_ json_t *web = parse("{'name':'web','limits':{'cpu':-1}}");
	_cleanup_json_ json_t *h1 = parse("{'name':'h1','limits':{'cpu':-1}}");
	CHECK_INT(model_register_container(model, host, h1, &s), -EEXIST);
	CHECK_INT(model_register_container(model, host, web, &s), 0);
	/* Alive on h0: h1 cannot have it. */
	CHECK_INT(model_register_container(model, other, web, &s), -EEXIST);
	CHECK(s->host == host);
	/* Nor can a host be called as a container is. */
	_cleanup_json_ json_t *message = parse(
		"{'host':'web','register':{'address':'http://x:1','cpus':[0],'mem':8589934592}}");
	CHECK_INT(model_register_host(model, message, &other), -EEXIST);
	sound(model);
}

TEST(model_automatic_container_is_forgotten)
{
	struct model *model = new_model();
	struct host *host = register_host(model, "h0");

	add(model, host, "web", -1, -1);
	struct structure *db = add(model, host, "db", -1, -1);
	model_container_gone(model, model_structure(model, "web"));
	CHECK(model_structure(model, "web") == NULL);
	CHECK_INT(model->n_structures, 2);
	/* One that somebody set something of waits. */
	CHECK_INT(set(model, db, EBB_CPU, "max", 200), 0);
	model_container_gone(model, db);
	CHECK(model_structure(model, "db") == db);
	CHECK(!db->live && db->gone);
	sound(model);
	CHECK(add(model, host, "db", -1, -1) == db);
	CHECK(db->live && !db->gone);
	CHECK_INT(db->resources[EBB_CPU].max, 200);
}

TEST(model_registration_says_who_has_gone)
{
	struct model *model = new_model();
	struct host *host = register_host(model, "h0");

	add(model, host, "stays", -1, -1);
	add(model, host, "goes", -1, -1);
	guard(model, add(model, host, "guarded", 400, -1));
	apply_all(model);
	CHECK_INT(host->free[EBB_CPU], 0);
	/* The agent was restarted. */
	CHECK(register_host(model, "h0") == host);
	add(model, host, "stays", -1, -1);
	model_host_registered(model, host);
	CHECK(model_structure(model, "stays"));
	CHECK(!model_structure(model, "goes"));
	CHECK(!model_structure(model, "guarded")->live);
	CHECK_INT(host->free[EBB_CPU], 400);
	sound(model);
}

TEST(model_range_of_an_automatic_one_follows_its_limit)
{
	struct model *model = new_model();
	struct host *host = register_host(model, "h0");
	struct structure *s = add(model, host, "web", -1, -1);

	CHECK_INT(s->resources[EBB_CPU].max, 400);
	/* The engine sets its limit a moment after it made the cgroup. */
	CHECK_INT(report(model, s, 50, 128), 0);
	CHECK_INT(s->resources[EBB_CPU].max, 50);
	CHECK_INT(s->resources[EBB_CPU].current, 50);
	CHECK_INT(s->resources[EBB_MEM].max, 128);
	CHECK_INT(report(model, s, -1, 128), 0);
	CHECK_INT(s->resources[EBB_CPU].max, 400);
	CHECK_INT(s->resources[EBB_CPU].current, -1);
	CHECK_INT(set(model, s, EBB_CPU, "max", 300), 0);
	report(model, s, 50, 128);
	CHECK_INT(s->resources[EBB_CPU].max, 300);
}

TEST(model_host_loses_cpus)
{
	struct model *model = new_model();
	struct host *host = register_host(model, "h0");
	struct structure *a = add(model, host, "a", 200, 1024),
			 *b = add(model, host, "b", 150, 1024);
	_cleanup_json_ json_t *less =
		parse("{'host':'h0','register':{'address':'http://127.0.0.1:8000',"
		      "'cpus':[1,2,7],'mem':1073741824}}");

	guard(model, a);
	guard(model, b);
	apply_all(model);
	CHECK_INT(host->free[EBB_CPU], 50);
	CHECK_INT(model_register_host(model, less, &host), 0);
	CHECK_INT(host->max[EBB_CPU], 300);
	CHECK_INT(host->max[EBB_MEM], 1024);
	sound(model);
	CHECK_INT(host->free[EBB_CPU], 0);
	CHECK_INT(a->resources[EBB_CPU].allocated + b->resources[EBB_CPU].allocated, 300);
	CHECK(a->resources[EBB_CPU].current <= a->resources[EBB_CPU].allocated);
	CHECK(b->resources[EBB_CPU].current <= b->resources[EBB_CPU].allocated);
	CHECK((a->apply | b->apply) & 1u << EBB_CPU);
	/* All of the memory goes to one, the other is no longer accounted. */
	CHECK_INT(a->resources[EBB_MEM].allocated + b->resources[EBB_MEM].allocated, 1024);
}

TEST(model_container_moves_to_another_host)
{
	struct model *model = new_model();
	struct host *h0 = register_host(model, "h0"), *h1 = register_host(model, "h1");
	struct structure *s = add(model, h0, "web", 100, 512);

	guard(model, s);
	apply_all(model);
	model_container_gone(model, s);
	CHECK_INT(h0->free[EBB_CPU], 400);
	CHECK(add(model, h1, "web", -1, -1) == s);
	CHECK(s->host == h1);
	CHECK_STR(s->host_name, "h1");
	CHECK_INT(h1->free[EBB_CPU], 300);
	/* Its limits came with it. */
	CHECK_INT(s->resources[EBB_CPU].current, 100);
	CHECK_INT(s->resources[EBB_MEM].current, 512);
	CHECK_INT(s->apply, 1u << EBB_CPU | 1u << EBB_MEM);
	sound(model);
}

/* --- guarding and accounting --- */

TEST(model_guard_takes_the_limit_in_force)
{
	struct model *model = new_model();
	struct host *host = register_host(model, "h0");
	struct structure *s = add(model, host, "web", 150, 2048);
	unsigned long before = host->guard_version;

	guard(model, s);
	CHECK(s->guard && s->guard_state && !s->automatic);
	CHECK_INT(s->resources[EBB_CPU].allocated, 150);
	CHECK_INT(s->resources[EBB_CPU].current, 150);
	CHECK_INT(host->free[EBB_CPU], 250);
	CHECK_INT(host->free[EBB_MEM], 6144);
	/* Only the cores are new to it. */
	CHECK_INT(s->apply, 1u << EBB_CPU);
	CHECK(host->guard_version > before);
	CHECK_INT(cpumap_owned(host->cpumap, "web"), 150);
	/* Disks are not guarded from the start. */
	CHECK_INT(s->resources[EBB_DISK_WRITE].allocated, 0);
}

TEST(model_guard_without_a_limit_takes_usage_and_headroom)
{
	struct model *model = new_model();
	struct host *host = register_host(model, "h0");
	struct structure *s = add(model, host, "web", -1, -1);

	s->resources[EBB_CPU].usage = 80.2;
	s->resources[EBB_MEM].usage = 1000;
	guard(model, s);
	CHECK_INT(s->resources[EBB_CPU].current, 181);
	CHECK_INT(s->resources[EBB_MEM].current, 1500);
	CHECK_INT(s->apply, 1u << EBB_CPU | 1u << EBB_MEM);
	CHECK_INT(host->free[EBB_CPU], 219);
	/* The next one, whose usage is not known, gets half of what is left. */
	s = add(model, host, "db", -1, -1);
	guard(model, s);
	CHECK_INT(s->resources[EBB_CPU].current, 109);
	CHECK_INT(host->free[EBB_CPU], 110);
	/* One that uses more than is free gets that; one that fits, not much more than it uses. */
	s = add(model, host, "batch", -1, -1);
	s->resources[EBB_CPU].usage = 100;
	s->resources[EBB_MEM].usage = 9000;
	guard(model, s);
	CHECK_INT(s->resources[EBB_CPU].current, 105);
	CHECK_INT(host->free[EBB_CPU], 5);
	CHECK_INT(host->free[EBB_MEM], 0);
}

TEST(model_guard_brings_limits_into_the_range)
{
	struct model *model = new_model();
	struct host *host = register_host(model, "h0");
	struct structure *s = add(model, host, "web", 300, 2048);

	CHECK_INT(set(model, s, EBB_CPU, "max", 200), 0);
	CHECK_INT(set(model, s, EBB_MEM, "max", 6000), 0);
	CHECK_INT(set(model, s, EBB_MEM, "min", 3000), 0);
	/* Nothing is done to a container that is not guarded. */
	CHECK_INT(s->apply, 0);
	guard(model, s);
	CHECK_INT(s->resources[EBB_CPU].current, 200);
	CHECK_INT(s->resources[EBB_MEM].current, 3000);
	CHECK_INT(s->apply, 1u << EBB_CPU | 1u << EBB_MEM);
}

TEST(model_guard_without_room_changes_nothing)
{
	struct model *model = new_model();
	struct host *host = register_host(model, "h0");
	struct structure *a = add(model, host, "a", 400, 1024),
			 *b = add(model, host, "b", 100, 1024);
	char *error = NULL;
	int r;

	CHECK_INT(set(model, a, EBB_MEM, "max", 8192), 0);
	guard(model, a);
	apply_all(model);
	CHECK_INT(host->free[EBB_CPU], 0);
	r = model_guard(model, b, true, &error);
	refused(r, -ENOSPC, error, "at least its min of 20");
	CHECK(!b->guard && !b->guard_state && !b->apply);
	CHECK_INT(b->resources[EBB_MEM].allocated, 0);
	CHECK_INT(host->free[EBB_MEM], 7168);
	sound(model);

	/* CPU fits, memory does not: neither is taken. */
	CHECK_INT(set(model, a, EBB_CPU, "max", 200), 0);
	CHECK_INT(set(model, b, EBB_MEM, "max", 8192), 0);
	CHECK_INT(set(model, b, EBB_MEM, "min", 8000), 0);
	apply_all(model);
	CHECK_INT(host->free[EBB_CPU], 200);
	error = NULL;
	r = model_guard(model, b, true, &error);
	refused(r, -ENOSPC, error, "mem");
	CHECK_INT(b->resources[EBB_CPU].allocated, 0);
	CHECK_INT(b->resources[EBB_CPU].current, 100);
	CHECK_INT(host->free[EBB_CPU], 200);
	CHECK_INT(b->apply, 0);
	sound(model);
	CHECK_INT(set(model, b, EBB_MEM, "min", 64), 0);
	guard(model, b);
	apply_all(model);
}

TEST(model_guard_a_limit_that_does_not_fit)
{
	struct model *model = new_model();
	struct host *host = register_host(model, "h0");
	struct structure *a = add(model, host, "a", 250, 1024),
			 *b = add(model, host, "b", 300, 1024);

	guard(model, a);
	b->resources[EBB_CPU].usage = 30;
	guard(model, b);
	CHECK_INT(b->resources[EBB_CPU].current, 90);
	CHECK_INT(b->apply & 1u << EBB_CPU, 1u << EBB_CPU);
	CHECK_INT(host->free[EBB_CPU], 60);
}

TEST(model_unguard_keeps_limit_and_shares)
{
	struct model *model = new_model();
	struct host *host = register_host(model, "h0");
	struct structure *s = add(model, host, "web", 150, 2048);

	guard(model, s);
	apply_all(model);
	CHECK_INT(model_guard(model, s, false, NULL), 0);
	CHECK(!s->guard && !s->guard_state);
	CHECK_INT(s->resources[EBB_CPU].allocated, 150);
	CHECK_INT(host->free[EBB_CPU], 250);
	CHECK_INT(s->apply, 0);
	/* Again: what it has is what it keeps. */
	guard(model, s);
	CHECK_INT(host->free[EBB_CPU], 250);
}

TEST(model_guard_resource_by_resource)
{
	struct model *model = new_model();
	struct host *host = register_host(model, "h0");
	struct structure *s = add(model, host, "web", 150, 2048);
	char *error = NULL;
	int r;

	r = model_guard_resources(model, s, 1u << EBB_DISK_READ, true, &error);
	refused(r, -EINVAL, error, "set one first");
	error = NULL;
	r = model_guard_resources(model, s, 1u << EBB_NET, true, &error);
	refused(r, -ENOENT, error, "no net");
	error = NULL;
	r = model_guard(model, host->structure, true, &error);
	refused(r, -EINVAL, error, "is a host");

	CHECK_INT(model_guard_resources(model, s, 1u << EBB_MEM, false, NULL), 0);
	guard(model, s);
	CHECK_INT(host->free[EBB_MEM], 8192);
	CHECK_INT(model_guard_resources(model, s, 1u << EBB_MEM, true, NULL), 0);
	CHECK_INT(host->free[EBB_MEM], 6144);
	CHECK_INT(set(model, s, EBB_DISK_READ, "max", 100), 0);
	CHECK_INT(model_guard_resources(model, s, 1u << EBB_DISK_READ, true, NULL), 0);
	/* Nobody accounts it on the host, and it is known what the container has. */
	CHECK_INT(s->resources[EBB_DISK_READ].allocated, 100);
	CHECK_INT(s->resources[EBB_DISK_READ].current, 100);
	CHECK_INT(host->max[EBB_DISK_READ], 0);
	CHECK_INT(host->free[EBB_DISK_READ], 0);
	CHECK(s->apply & 1u << EBB_DISK_READ);
	sound(model);
}

TEST(model_allocate_takes_and_gives_back)
{
	struct model *model = new_model();
	struct host *host = register_host(model, "h0");
	struct structure *s = add(model, host, "web", -1, -1);

	CHECK_INT(model_allocate(model, s, EBB_CPU, 150), 150);
	CHECK_INT(model_allocate(model, s, EBB_CPU, 1000), 250);
	CHECK_INT(model_allocate(model, s, EBB_CPU, 1), 0);
	CHECK_INT(host->free[EBB_CPU], 0);
	CHECK_INT(model_allocate(model, s, EBB_MEM, 9000), 8192);
	sound(model);
	CHECK_INT(model_allocate(model, s, EBB_CPU, -100), -100);
	CHECK_INT(host->free[EBB_CPU], 100);
	/* No more than it has. */
	CHECK_INT(model_allocate(model, s, EBB_CPU, -1000), -300);
	CHECK_INT(model_allocate(model, s, EBB_MEM, -8192), -8192);
	CHECK_INT(s->resources[EBB_CPU].allocated, 0);
	CHECK_INT(host->free[EBB_CPU], 400);
	CHECK_INT(host->free[EBB_MEM], 8192);
	sound(model);
}

TEST(model_accounting_of_disks_once_the_host_has_a_max)
{
	struct model *model = new_model();
	struct host *host = register_host(model, "h0");
	struct structure *s = add(model, host, "web", 100, 512);
	char *error = NULL;
	int r;

	CHECK_INT(model_guard_resources(model, s, 1u << EBB_DISK_WRITE, true, NULL), 0);
	guard(model, s);
	CHECK_INT(s->resources[EBB_DISK_WRITE].allocated, 200);
	CHECK_INT(set(model, host->structure, EBB_DISK_WRITE, "max", 500), 0);
	CHECK_INT(host->free[EBB_DISK_WRITE], 300);
	r = model_set_parameter(model, host->structure, EBB_DISK_WRITE, "max", 199, &error);
	refused(r, -EINVAL, error, "hold 200");
	error = NULL;
	r = model_set_parameter(model, host->structure, EBB_CPU, "max", 800, &error);
	refused(r, -EINVAL, error, "comes from its agent");
	sound(model);
}

/* --- everything at once, at random: the accounting adds up after each step --- */

static void random_step(struct model *model, unsigned *seed)
{
	char host_name[16], name[16];
	struct host *host;
	struct structure *s;
	int what = rand_r(seed) % 12, resource = rand_r(seed) % EBB_DISK_READ;

	snprintf(host_name, sizeof(host_name), "h%d", rand_r(seed) % 3);
	snprintf(name, sizeof(name), "c%d", rand_r(seed) % 12);
	host = model_host(model, host_name);
	s = model_structure(model, name);
	if (what == 0 || !host) {
		host = register_host(model, host_name);
		if (rand_r(seed) % 2)
			model_host_registered(model, host);
	} else if (what <= 2) {
		int cpu = rand_r(seed) % 3 ? 1 + rand_r(seed) % 500 : -1;
		int mem = rand_r(seed) % 3 ? 1 + rand_r(seed) % 9000 : -1;

		if (!s || s->host == host || !s->live)
			add(model, host, name, cpu, mem);
	} else if (!s) {
		return;
	} else if (what == 3) {
		model_container_gone(model, s);
	} else if (what <= 6) {
		(void)model_guard(model, s, rand_r(seed) % 4 != 0, NULL);
	} else if (what == 7) {
		report(model, s, rand_r(seed) % 500 - 1, rand_r(seed) % 9000 - 1);
	} else if (what == 8) {
		(void)model_set_parameter(model, s, resource, rand_r(seed) % 2 ? "max" : "min",
					  rand_r(seed) % (resource == EBB_CPU ? 450 : 9000), NULL);
	} else if (what == 9) {
		model_allocate(model, s, resource, rand_r(seed) % 400 - 200);
	} else if (what == 10) {
		model_limit_applied(model, s, resource, 1 + rand_r(seed) % 400);
	} else {
		apply_all(model);
	}
}

TEST(model_random_steps_add_up)
{
	struct model *model = new_model();
	unsigned seed = (unsigned)test_seed(1);

	log_set_level(LOG_LEVEL_ERROR);
	for (int i = 0; i < 20000; i++) {
		random_step(model, &seed);
		sound(model);
		/* Lets the lock's end do its work too. */
		if (i % 100 == 0) {
			model_unlock(model);
			model_lock(model);
		}
	}
}

TEST_MAIN()
