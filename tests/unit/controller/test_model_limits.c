/* SPDX-License-Identifier: Apache-2.0 */
/* The model: ranges that people set, limits that others set, and containers that come back. */
#include <time.h>
#include <unistd.h>

#include "model_fixture.h"

/* --- ranges and boundaries --- */

TEST(model_parameters_are_checked)
{
	struct model *model = new_model();
	struct host *host = register_host(model, "h0");
	struct structure *s = add(model, host, "web", -1, -1);

	CHECK_INT(set(model, s, EBB_CPU, "max", 401), -EINVAL);
	CHECK_INT(set(model, s, EBB_CPU, "max", 19), -EINVAL);
	CHECK_INT(set(model, s, EBB_CPU, "max", -1), -EINVAL);
	CHECK_INT(set(model, s, EBB_CPU, "max", NAN), -EINVAL);
	CHECK_INT(set(model, s, EBB_CPU, "max", 0), -EINVAL);
	CHECK_INT(set(model, s, EBB_CPU, "min", 401), -EINVAL);
	CHECK_INT(set(model, s, EBB_CPU, "weight", -0.5), -EINVAL);
	CHECK_INT(set(model, s, EBB_CPU, "current", 100), -EINVAL);
	CHECK_INT(set(model, s, EBB_ENERGY, "max", 100), -ENOENT);
	CHECK_INT(s->resources[EBB_CPU].max, 400);
	CHECK_INT(s->resources[EBB_CPU].min, 20);
	CHECK(s->automatic);

	CHECK_INT(set(model, s, EBB_CPU, "max", 300), 0);
	CHECK_INT(set(model, s, EBB_CPU, "min", 300), 0);
	CHECK_INT(set(model, s, EBB_CPU, "weight", 2.5), 0);
	CHECK_INT(s->resources[EBB_CPU].max, 300);
	CHECK_INT(s->resources[EBB_CPU].min, 300);
	CHECK_NEAR(s->resources[EBB_CPU].weight, 2.5, 0);
	CHECK(!s->automatic);
}

TEST(model_lower_max_takes_the_limit_along)
{
	struct model *model = new_model();
	struct host *host = register_host(model, "h0");
	struct structure *s = add(model, host, "web", -1, -1);

	s->resources[EBB_CPU].usage = 200;
	guard(model, s);
	apply_all(model);
	CHECK_INT(s->resources[EBB_CPU].current, 300);
	CHECK_INT(set(model, s, EBB_CPU, "max", 120), 0);
	CHECK_INT(s->resources[EBB_CPU].current, 120);
	CHECK_INT(s->resources[EBB_CPU].upper, 108);
	CHECK_INT(s->apply, 1u << EBB_CPU);
	/* Until the agent has applied it, it holds what it may still use. */
	CHECK_INT(s->resources[EBB_CPU].allocated, 300);
	CHECK_INT(host->free[EBB_CPU], 100);
	apply_all(model);
	CHECK_INT(s->resources[EBB_CPU].allocated, 120);
	CHECK_INT(host->free[EBB_CPU], 280);
	/* A higher max raises nothing. */
	CHECK_INT(set(model, s, EBB_CPU, "max", 400), 0);
	CHECK_INT(s->resources[EBB_CPU].current, 120);
	CHECK_INT(s->apply, 0);
}

TEST(model_limit_lowered_while_an_order_is_under_way)
{
	struct model *model = new_model();
	struct host *host = register_host(model, "h0");
	struct structure *s = add(model, host, "web", 100, 512);

	CHECK_INT(set(model, s, EBB_CPU, "max", 400), 0);
	guard(model, s);
	apply_all(model);
	/* The scaler grows it to 300; before that is done max becomes 150, which is above 100. */
	CHECK_INT(model_allocate(model, s, EBB_CPU, 200), 200);
	s->in_flight = 1u << EBB_CPU;
	CHECK_INT(report(model, s, 300, 512), 0);
	CHECK_INT(s->resources[EBB_CPU].current, 100);
	CHECK_INT(set(model, s, EBB_CPU, "max", 150), 0);
	s->in_flight = 0;
	model_limit_applied(model, s, EBB_CPU, 300);
	CHECK_INT(s->resources[EBB_CPU].current, 150);
	CHECK_INT(s->resources[EBB_CPU].allocated, 300);
	CHECK(s->apply & 1u << EBB_CPU);
	sound(model);
	apply_all(model);
	CHECK_INT(s->resources[EBB_CPU].allocated, 150);
	CHECK_INT(set(model, s, EBB_CPU, "max", 400), 0);
	CHECK_INT(model_allocate(model, s, EBB_CPU, 150), 150);
	model_limit_applied(model, s, EBB_CPU, 300);
	CHECK_INT(s->resources[EBB_CPU].current, 300);
	sound(model);

	s->in_flight = 1u << EBB_CPU;
	CHECK_INT(set(model, s, EBB_CPU, "max", 150), 0);
	s->in_flight = 0;
	model_limit_applied(model, s, EBB_CPU, 280);
	/* What the model wants meanwhile still holds. */
	CHECK_INT(s->resources[EBB_CPU].current, 150);
	CHECK(s->apply & 1u << EBB_CPU);
	apply_all(model);
	CHECK_INT(host->free[EBB_CPU], 250);
}

TEST(model_boundaries_are_checked)
{
	struct model *model = new_model();
	struct host *host = register_host(model, "h0");
	struct structure *s = add(model, host, "web", 200, 512);
	char *error = NULL;
	int r;

	CHECK_INT(model_set_boundary(model, s, EBB_CPU, 101, NULL), -EINVAL);
	CHECK_INT(model_set_boundary(model, s, EBB_CPU, -1, NULL), -EINVAL);
	CHECK_INT(model_set_boundary(model, s, EBB_NET, 10, NULL), -ENOENT);
	r = model_set_boundary_type(model, s, EBB_CPU, "percent", &error);
	refused(r, -EINVAL, error, "percentage_of_max");
	CHECK_INT(s->resources[EBB_CPU].upper, 180);

	CHECK_INT(model_set_boundary(model, s, EBB_CPU, 25, NULL), 0);
	CHECK_INT(s->resources[EBB_CPU].upper, 150);
	CHECK_INT(set(model, s, EBB_CPU, "max", 400), 0);
	CHECK_INT(model_set_boundary_type(model, s, EBB_CPU, "percentage_of_max", NULL), 0);
	CHECK_INT(s->resources[EBB_CPU].upper, 100);
	CHECK_INT(s->resources[EBB_CPU].lower, 0);
}

/* --- foreign hands, returns --- */

TEST(model_foreign_limits_of_a_managed_container)
{
	struct model *model = new_model();
	struct host *host = register_host(model, "h0");
	struct structure *s = add(model, host, "web", 100, 512);

	CHECK_INT(set(model, s, EBB_CPU, "max", 300), 0);
	CHECK_INT(set(model, s, EBB_MEM, "max", 2048), 0);
	guard(model, s);
	apply_all(model);
	/* What was ordered is what is reported: nothing to say. */
	CHECK_INT(report(model, s, 100, 512), 0);
	/* Another finite one is adopted, up and down. */
	CHECK_INT(report(model, s, 250, 256), 1u << EBB_CPU | 1u << EBB_MEM);
	CHECK_INT(s->resources[EBB_CPU].current, 250);
	CHECK_INT(s->resources[EBB_CPU].allocated, 250);
	CHECK_INT(s->resources[EBB_MEM].allocated, 256);
	CHECK_INT(s->apply, 0);
	sound(model);
	/* Above max: cut, and put in force. */
	CHECK_INT(report(model, s, 390, 256), 1u << EBB_CPU);
	CHECK_INT(s->resources[EBB_CPU].current, 300);
	CHECK_INT(s->apply, 1u << EBB_CPU);
	apply_all(model);
	/* Taken off: put back. */
	CHECK_INT(report(model, s, -1, 256), 1u << EBB_CPU);
	CHECK_INT(s->resources[EBB_CPU].current, 300);
	CHECK_INT(s->apply, 1u << EBB_CPU);
	apply_all(model);
	/* More than is free: what is free. */
	guard(model, add(model, host, "db", 60, 512));
	apply_all(model);
	CHECK_INT(set(model, s, EBB_CPU, "max", 400), 0);
	CHECK_INT(report(model, s, 390, 256), 1u << EBB_CPU);
	CHECK_INT(s->resources[EBB_CPU].current, 340);
	CHECK_INT(host->free[EBB_CPU], 0);
	CHECK_INT(s->apply, 1u << EBB_CPU);
	sound(model);
}

TEST(model_foreign_limits_of_an_unguarded_container)
{
	struct model *model = new_model();
	struct host *host = register_host(model, "h0");
	struct structure *s = add(model, host, "web", 100, 512);

	guard(model, s);
	apply_all(model);
	CHECK_INT(model_guard(model, s, false, NULL), 0);
	/* One that fits stays accounted, even above max. */
	CHECK_INT(report(model, s, 250, 512), 1u << EBB_CPU);
	CHECK_INT(s->resources[EBB_CPU].current, 250);
	CHECK_INT(host->free[EBB_CPU], 150);
	/* Taken off, or more than there is: it goes its own way. */
	CHECK_INT(report(model, s, -1, 9000), 1u << EBB_CPU | 1u << EBB_MEM);
	CHECK_INT(s->resources[EBB_CPU].current, -1);
	CHECK_INT(s->resources[EBB_MEM].current, 9000);
	CHECK_INT(host->free[EBB_CPU], 400);
	CHECK_INT(host->free[EBB_MEM], 8192);
	CHECK_INT(s->apply, 0);
	sound(model);
}

TEST(model_recreated_container_gets_its_limits_again)
{
	struct model *model = new_model();
	struct host *host = register_host(model, "h0");
	struct structure *s = add(model, host, "web", 100, 512);

	guard(model, s);
	apply_all(model);
	model_container_gone(model, s);
	CHECK_INT(host->free[EBB_CPU], 400);
	CHECK_INT(host->free[EBB_MEM], 8192);
	CHECK_INT(s->resources[EBB_CPU].allocated, 0);
	sound(model);
	/* The new cgroup comes without limits, or with others. */
	CHECK(add(model, host, "web", -1, 4096) == s);
	CHECK_INT(s->resources[EBB_CPU].current, 100);
	CHECK_INT(s->resources[EBB_MEM].current, 512);
	CHECK_INT(s->apply, 1u << EBB_CPU | 1u << EBB_MEM);
	CHECK_INT(host->free[EBB_CPU], 300);
	sound(model);
	/* Also when it was unguarded, as unguarding keeps limits. */
	apply_all(model);
	CHECK_INT(model_guard(model, s, false, NULL), 0);
	model_container_gone(model, s);
	add(model, host, "web", -1, -1);
	CHECK_INT(s->resources[EBB_CPU].current, 100);
	CHECK_INT(host->free[EBB_CPU], 300);
	sound(model);
}

/* As the store keeps it, for another model. */
static json_t *kept(struct model *model, const char *name)
{
	_cleanup_json_ json_t *doc = structure_to_json(model_structure(model, name));
	_cleanup_free_ char *text = json_dumps(doc, 0);

	return json_loads(text, 0, NULL);
}

TEST(model_recreated_container_gets_its_limits_again_after_a_restart)
{
	struct model *model = new_model(), *restarted = NULL;
	struct host *host = register_host(model, "h0");
	struct structure *s = add(model, host, "web", 100, 512);
	_cleanup_json_ json_t *of_host = NULL, *of_web = NULL, *back = NULL;
	_cleanup_free_ char *error = NULL;

	guard(model, s);
	apply_all(model);
	model_container_gone(model, s);
	of_host = kept(model, "h0");
	of_web = kept(model, "web");

	CHECK_INT(model_new(NULL, &restarted), 0);
	model_lock(restarted);
	test_at_end(free_model, restarted);
	CHECK_INT(structure_from_json(of_host, NULL, &s, &error), 0);
	CHECK_INT(model_add(restarted, s), 0);
	CHECK_INT(structure_from_json(of_web, NULL, &s, &error), 0);
	CHECK_INT(model_add(restarted, s), 0);
	CHECK(s->gone);
	host = register_host(restarted, "h0");
	CHECK(add(restarted, host, "web", -1, -1) == s);
	CHECK_INT(s->resources[EBB_CPU].current, 100);
	CHECK_INT(s->resources[EBB_MEM].current, 512);
	CHECK_INT(s->apply, 1u << EBB_CPU | 1u << EBB_MEM);
	CHECK_INT(host->free[EBB_CPU], 300);
	sound(restarted);
	back = kept(restarted, "web");
	CHECK(!json_object_get(json_object_get(json_object_get(back, "resources"), "cpu"), "held"));
}

TEST(model_hosts_of_impossible_size_are_refused)
{
	struct model *model = new_model();
	struct host *host;
	static const char *const sizes[] = {"1e300", "9007199254740994", "0", "-1"};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		_cleanup_json_ json_t *message =
			parse("{'host':'h0','session':'s','register':{'address':'http://a:1',"
			      "'cpus':[0],'mem':%s,'topology':{}}}",
			      sizes[i]);

		CHECK_INT(model_register_host(model, message, &host), -EINVAL);
	}
}

TEST(model_cpus_are_taken_once_and_the_known_ones_first)
{
	struct model *model = new_model();
	_cleanup_json_ json_t *message = parse(
		"{'host':'h0','session':'s','register':{'address':'http://a:1',"
		"'cpus':[65535,3,1,3,0],'mem':8589934592,'topology':{'0':{'0':[0,2],'1':[1]}}}}");
	struct host *host;

	CHECK_INT(model_register_host(model, message, &host), 0);
	CHECK_INT(host->max[EBB_CPU], 400);
	_cleanup_json_ json_t *map = cpumap_to_json(host->cpumap);
	static const char *const order[] = {"0", "1", "65535", "3"};
	const char *key;
	json_t *core;
	size_t i = 0;

	CHECK_INT(json_object_size(map), 4);
	json_object_foreach(map, key, core)
		CHECK_STR(key, order[i++]);
}

TEST(model_ranges_below_what_agents_set_are_refused)
{
	struct model *model = new_model();
	struct structure *s = add(model, register_host(model, "h0"), "web", 100, 512);

	CHECK_INT(set(model, s, EBB_MEM, "min", 63), -EINVAL);
	CHECK_INT(set(model, s, EBB_MEM, "max", 63), -EINVAL);
	CHECK_INT(set(model, s, EBB_CPU, "min", 0), -EINVAL);
	CHECK_INT(set(model, s, EBB_CPU, "max", 0), -EINVAL);
	CHECK_INT(s->resources[EBB_MEM].min, 64);
	CHECK_INT(set(model, s, EBB_MEM, "max", 64), 0);
	CHECK_INT(set(model, s, EBB_CPU, "min", 1), 0);
	CHECK_INT(set(model, s, EBB_CPU, "max", 1), 0);
}

TEST(model_services_read_active_alike)
{
	static const struct {
		const char *json;
		int active; /* -1: refused */
	} cases[] = {
		{"true", 1}, {"false", 0},  {"1", 1},       {"0", 0},   {"'1'", 1},
		{"'0'", 0},  {"'True'", 1}, {"'false'", 0}, {"2", -1},  {"-1", -1},
		{"1.0", -1}, {"'yes'", -1}, {"null", -1},   {"[]", -1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_json_ json_t *config = parse("{'ACTIVE':%s}", cases[i].json);
		struct guardian_config guardian = {};
		struct scaler_config scaler = {};
		bool refused = cases[i].active < 0;

		CHECK((guardian_config_from_json(config, &guardian, NULL) < 0) == refused);
		CHECK((scaler_config_from_json(config, &scaler, NULL) < 0) == refused);
		CHECK_INT(guardian.active, refused ? 0 : cases[i].active);
		CHECK_INT(scaler.active, refused ? 0 : cases[i].active);
	}
}

TEST(model_return_without_room)
{
	struct model *model = new_model();
	struct host *host = register_host(model, "h0");
	struct structure *a = add(model, host, "a", 100, 512), *b;

	guard(model, a);
	apply_all(model);
	model_container_gone(model, a);
	b = add(model, host, "b", 400, 512);
	guard(model, b);
	apply_all(model);
	CHECK_INT(host->free[EBB_CPU], 0);
	add(model, host, "a", -1, -1);
	/* Its CPU is not managed, its memory is. */
	CHECK_INT(a->resources[EBB_CPU].allocated, 0);
	CHECK_INT(a->resources[EBB_CPU].current, -1);
	CHECK_INT(a->resources[EBB_MEM].allocated, 512);
	sound(model);
	CHECK_INT(set(model, b, EBB_CPU, "max", 300), 0);
	apply_all(model);
	guard(model, a);
	CHECK_INT(a->resources[EBB_CPU].allocated, 50);
}

TEST(model_silent_hosts_are_disconnected)
{
	struct model *model = new_model();
	struct host *host = register_host(model, "h0");

	host->last_heard = 1000;
	model_check_hosts(model, 1004.9);
	CHECK(host->connected);
	model_check_hosts(model, 1005.1);
	CHECK(!host->connected);
}

TEST_MAIN()
