/* SPDX-License-Identifier: Apache-2.0 */
/* A container that is called otherwise: what is held for it goes along. */
#include "model_fixture.h"

#include "cpumap.h"
#include "hierarchy.h"
#include "memory_store.h"

static struct memory_store memory;
static struct store *store;
static struct model *kept;

static void release(void *arg)
{
	store_close(TAKE_PTR(store));
	model_free(TAKE_PTR(kept));
	memory_store_clear(&memory);
}

static bool is_kept(enum store_db db, const char *id)
{
	_cleanup_json_ json_t *doc = memory_store_get(&memory, db, id);

	return doc;
}

TEST(guard_limits_and_shares_go_along)
{
	struct model *model = new_model();
	struct host *host = register_host(model, "h0");
	struct structure *other = add(model, host, "other", 100, 512);
	struct structure *s = add(model, host, "3f1c", 150, 1024);
	unsigned long version;
	int64_t free_cpu, free_mem;

	guard(model, other);
	CHECK_INT(set(model, s, EBB_CPU, "max", 300), 0);
	guard(model, s);
	apply_all(model);
	struct cpu_list before, after;
	CHECK_INT(cpumap_cpus(host->cpumap, "3f1c", &before), 0);
	free_cpu = host->free[EBB_CPU];
	free_mem = host->free[EBB_MEM];
	version = host->guard_version;
	CHECK_INT(model_rename(model, s, "web"), 0);
	sound(model);
	CHECK(model_structure(model, "web") == s && !model_structure(model, "3f1c"));
	CHECK_STR(s->name, "web");
	CHECK(s->guard && s->live && s->guard_state);
	CHECK_INT(s->resources[EBB_CPU].max, 300);
	CHECK_INT(s->resources[EBB_CPU].current, 150);
	CHECK_INT(s->resources[EBB_CPU].allocated, 150);
	CHECK_INT(s->resources[EBB_MEM].allocated, 1024);
	CHECK_INT(host->free[EBB_CPU], free_cpu);
	CHECK_INT(host->free[EBB_MEM], free_mem);
	CHECK_INT(cpumap_owned(host->cpumap, "3f1c"), 0);
	CHECK_INT(cpumap_cpus(host->cpumap, "web", &after), 0);
	CHECK_INT(after.n, before.n);
	for (size_t i = 0; i < after.n; i++)
		CHECK_INT(after.cpus[i], before.cpus[i]);
	cpu_list_clear(&before);
	cpu_list_clear(&after);
	CHECK(host->guard_version != version);
	/* Nothing is to be ordered for it. */
	CHECK(!model_next_apply(model));
	/* It is reported under its new name, and is the same one. */
	CHECK(add(model, host, "web", 150, 1024) == s);
	sound(model);
	CHECK_INT(s->resources[EBB_CPU].current, 150);
	CHECK(!model_next_apply(model));
}

TEST(a_name_that_is_known_is_refused)
{
	struct model *model = new_model();
	struct host *host = register_host(model, "h0");
	struct structure *web = add(model, host, "web", 100, 512);
	struct structure *s = add(model, host, "3f1c", 150, 1024);

	guard(model, s);
	CHECK_INT(model_rename(model, s, "web"), -EEXIST);
	CHECK_INT(model_rename(model, s, "h0"), -EEXIST);
	CHECK_INT(model_rename(model, host->structure, "h1"), -EINVAL);
	s->subscription = 1;
	CHECK_INT(model_rename(model, s, "x"), -EBUSY);
	s->subscription = 0;
	sound(model);
	CHECK(model_structure(model, "3f1c") == s && model_structure(model, "web") == web);
	CHECK(!model_structure(model, "x") && !model_structure(model, "h1"));
}

TEST(names_that_no_container_can_have)
{
	struct model *model = new_model();
	struct host *host = register_host(model, "h0");
	struct structure *s = add(model, host, "3f1c", 150, 1024);

	guard(model, s);
	/* What the core map calls the shares that nobody has. */
	CHECK_INT(model_rename(model, s, "free"), -EINVAL);
	CHECK_INT(model_rename(model, s, ""), -EINVAL);
	CHECK_INT(model_rename(model, s, "a\nb"), -EINVAL);
	sound(model);
	CHECK(model_structure(model, "3f1c") == s && !model_structure(model, "free"));
	CHECK_INT(cpumap_owned(host->cpumap, "3f1c"), 150);
}

/* It was taken up before, and could not be ordered at once. */
TEST(what_is_still_to_be_put_in_force_is)
{
	struct model *model = new_model();
	struct host *host = register_host(model, "h0");
	struct structure *s = add(model, host, "3f1c", 150, 1024);

	guard(model, s);
	apply_all(model);
	CHECK_INT(set(model, s, EBB_CPU, "max", 100), 0);
	CHECK(model_next_apply(model) == s);
	CHECK(s->apply);
	unsigned wanted = s->apply;
	CHECK_INT(model_rename(model, s, "web"), 0);
	CHECK(model_next_apply(model) == s);
	CHECK(!model_next_apply(model));
	CHECK_INT(s->apply, wanted);
	CHECK_INT(s->resources[EBB_CPU].current, 100);
}

TEST(it_stays_in_its_application)
{
	struct model *model = new_model();
	struct host *host = register_host(model, "h0");
	struct structure *a = add(model, host, "a", 100, 512);
	struct structure *s = add(model, host, "3f1c", 150, 1024);
	struct structure *app = structure_new("app", STRUCTURE_APPLICATION);
	_cleanup_free_ char *error = NULL;

	CHECK_INT(model_add(model, app), 0);
	CHECK_INT(hierarchy_join(model, app, s, &error), 0);
	CHECK_INT(hierarchy_join(model, app, a, &error), 0);
	CHECK_INT(model_rename(model, s, "web"), 0);
	CHECK(hierarchy_parent(s) == app && hierarchy_parent(a) == app);
	const json_t *list = json_object_get(app->doc, "containers");
	CHECK_INT(json_array_size(list), 2);
	CHECK_STR(json_string_value(json_array_get(list, 0)), "a");
	CHECK_STR(json_string_value(json_array_get(list, 1)), "web");
	sound(model);
}

TEST(one_that_has_gone_takes_its_name_back_with_it)
{
	struct model *model = new_model();
	struct host *host = register_host(model, "h0");
	struct structure *s = add(model, host, "3f1c", 150, 1024);

	guard(model, s);
	apply_all(model);
	model_container_gone(model, s);
	CHECK_INT(model_rename(model, s, "web"), 0);
	sound(model);
	CHECK(add(model, host, "web", 150, 1024) == s);
	sound(model);
	CHECK(s->live && s->guard);
	CHECK_INT(s->resources[EBB_CPU].allocated, 150);
	CHECK_INT(s->resources[EBB_CPU].current, 150);
}

TEST(its_documents_are_kept_under_its_new_name)
{
	struct structure *s;

	memory_store_init(&memory);
	test_at_end(release, NULL);
	CHECK_INT(store_new(&memory_ops, &memory, &store), 0);
	CHECK_INT(model_new(store, &kept), 0);
	CHECK_INT(store_start(store), 0);
	model_lock(kept);
	CHECK_INT(model_set_leading(kept, true), 0);
	struct host *host = register_host(kept, "h0");
	s = add(kept, host, "3f1c", 150, 1024);
	guard(kept, s);
	model_unlock(kept);
	CHECK_INT(store_flush(store), 0);
	CHECK(is_kept(DB_STRUCTURES, "3f1c") && is_kept(DB_LIMITS, "3f1c"));
	model_lock(kept);
	CHECK_INT(model_rename(kept, s, "web"), 0);
	model_unlock(kept);
	CHECK_INT(store_flush(store), 0);
	CHECK(!is_kept(DB_STRUCTURES, "3f1c") && !is_kept(DB_LIMITS, "3f1c"));
	CHECK(is_kept(DB_LIMITS, "web"));
	_cleanup_json_ json_t *doc = memory_store_get(&memory, DB_STRUCTURES, "web");
	CHECK(json_is_true(json_object_get(doc, "guard")));
	CHECK_STR(json_string_value(json_object_get(doc, "name")), "web");
	/* The core map is in the host's. */
	_cleanup_json_ json_t *of_host = memory_store_get(&memory, DB_STRUCTURES, "h0");
	_cleanup_free_ char *text = json_dumps(of_host, JSON_COMPACT);
	CHECK(strstr(text, "\"web\":") && !strstr(text, "3f1c"));
}

TEST_MAIN()
