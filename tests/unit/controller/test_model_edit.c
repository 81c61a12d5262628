/* SPDX-License-Identifier: Apache-2.0 */
/* Documents that somebody else changes in the database: while we lead, while we do not, and with
 * orders under way. */
#include "model.h"

#include <errno.h>
#include <stdarg.h>

#include "agent_stand_in.h"
#include "document_merge.h"
#include "hierarchy.h"
#include "memory_store.h"
#include "model_private.h"
#include "request_document.h"
#include "scaler.h"
#include "test.h"

static struct stand_in agent;
static struct memory_store memory;
static struct store *store;
static struct model *model;
static struct audit *audit;
static struct scaler *scaler;
static struct executor *executor;
static struct host *host;

/* JSON with ' for ". */
__attribute__((format(printf, 1, 2))) static json_t *parse(const char *format, ...)
{
	char text[4096];
	json_t *json;
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	for (char *p = text; *p; p++)
		if (*p == '\'')
			*p = '"';
	json = json_loads(text, 0, NULL);
	if (!json)
		TEST_FAIL("not JSON: %s", text);
	return json;
}

static void release_all(void *arg)
{
	executor_free(TAKE_PTR(executor));
	scaler_free(TAKE_PTR(scaler));
	audit_free(TAKE_PTR(audit));
	store_close(TAKE_PTR(store));
	model_free(TAKE_PTR(model));
	memory_store_clear(&memory);
	stand_in_stop(&agent);
}

static void claimed(void *userdata, enum store_db db, const char *id)
{
	model_lock(model);
	if (db == DB_REQUESTS && request_claimed(model, scaler, id, wall_seconds()))
		scaler_run(scaler);
	model_unlock(model);
}

static void open_model(void)
{
	CHECK_INT(store_new(&memory_ops, &memory, &store), 0);
	store_on_claimed(store, claimed, NULL);
	CHECK_INT(model_new(store, &model), 0);
	CHECK_INT(store_start(store), 0);
	CHECK_INT(audit_new(NULL, 4096, &audit), 0);
	CHECK_INT(scaler_new(model, audit, &scaler), 0);
	CHECK_INT(executor_new(NULL, scaler_order_done, scaler, &executor), 0);
	scaler_set_sink(scaler, executor_sink(executor));
}

/* Another controller on the same database. */
static void again(void)
{
	executor_free(TAKE_PTR(executor));
	scaler_free(TAKE_PTR(scaler));
	audit_free(TAKE_PTR(audit));
	store_close(TAKE_PTR(store));
	model_free(TAKE_PTR(model));
	open_model();
}

/* What has been touched is in the database when it returns. */
static void settle(void)
{
	struct scaler_stats stats;

	CHECK_INT(store_flush(store), 0);
	do {
		usleep(1000);
		model_lock(model);
		scaler_get_stats(scaler, &stats);
		model_unlock(model);
	} while (stats.in_flight);
	CHECK_INT(store_flush(store), 0);
}

static void sound(void)
{
	_cleanup_free_ char *wrong = NULL;

	model_lock(model);
	wrong = model_check(model);
	model_unlock(model);
	if (wrong)
		TEST_FAIL("%s", wrong);
}

static void lead(bool leading)
{
	model_lock(model);
	CHECK_INT(model_set_leading(model, leading), 0);
	model_unlock(model);
}

static struct host *register_host(const char *name)
{
	_cleanup_json_ json_t *message = NULL;
	struct host *registered = NULL;
	char url[128];

	message = parse("{'host':'%s','session':'s','register':{'address':'%s',"
			"'cpus':[0,1,2,3],'mem':%lld,'topology':{'0':{'0':[0],'1':[1],'2':[2],"
			"'3':[3]}}}}",
			name, stand_in_url(&agent, url, sizeof(url)), 4096LL << 20);
	model_lock(model);
	CHECK_INT(model_register_host(model, message, &registered), 0);
	registered->connected = true;
	registered->last_heard = wall_seconds();
	model_unlock(model);
	return registered;
}

static struct structure *add(const char *name, int cpu, int mem)
{
	_cleanup_json_ json_t *added = parse("{'c':1,'name':'%s','limits':{'cpu':%d,'cpus':'',"
					     "'mem':%d}}",
					     name, cpu, mem);
	struct structure *s = NULL;

	model_lock(model);
	CHECK_INT(model_register_container(model, host, added, &s), 0);
	model_unlock(model);
	return s;
}

/* Leads a host of 4 cores and 4,096 MiB with c0, 100 shares and 512 MiB, guarded in 20..400. */
static void start(void)
{
	_cleanup_free_ char *error = NULL;
	struct structure *s;

	test_at_end(release_all, NULL);
	memory_store_init(&memory);
	CHECK_INT(stand_in_start(&agent), 0);
	open_model();
	CHECK(!model->leading);
	lead(true);
	host = register_host("h0");
	s = add("c0", 100, 512);
	model_lock(model);
	CHECK_INT(model_set_parameter(model, s, EBB_CPU, "max", 400, &error), 0);
	CHECK_INT(model_set_parameter(model, s, EBB_MEM, "max", 4096, &error), 0);
	CHECK_INT(model_guard(model, s, true, &error), 0);
	scaler_run(scaler);
	model_unlock(model);
	settle();
	sound();
}

static json_t *stored(enum store_db db, const char *id)
{
	return memory_store_get(&memory, db, id);
}

static void overlay(json_t *doc, const json_t *changes)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)changes, key, value) {
		json_t *into = json_object_get(doc, key);

		if (json_is_null(value))
			json_object_del(doc, key);
		else if (json_is_object(value) && json_is_object(into))
			overlay(into, value);
		else
			json_object_set(doc, key, value);
	}
}

/* The database has `doc` now, and we are told. */
static void changed(enum store_db db, const char *id, const json_t *base, json_t *doc)
{
	memory_store_set(&memory, db, id, doc);
	model_lock(model);
	model_document_changed(model, db, id, base, doc);
	if (model->leading) {
		requests_take(model, wall_seconds());
		scaler_run(scaler);
	}
	model_unlock(model);
	settle();
}

/* Somebody lays `changes` (null: removes) over what is there. */
__attribute__((format(printf, 3, 4))) static void edit(enum store_db db, const char *id,
						       const char *format, ...)
{
	_cleanup_json_ json_t *base = stored(db, id), *changes = NULL, *doc = NULL;
	char text[2048];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	changes = parse("%s", text);
	doc = base ? json_deep_copy(base) : json_object();
	overlay(doc, changes);
	changed(db, id, base, doc);
}

static void delete (enum store_db db, const char *id)
{
	_cleanup_json_ json_t *base = stored(db, id);

	changed(db, id, base, NULL);
}

/* What the database has at "a.b.c", as JSON; "" for nothing. */
static const char *there(enum store_db db, const char *id, const char *path)
{
	static char text[2048];
	_cleanup_json_ json_t *doc = stored(db, id);
	_cleanup_free_ char *keys = strdup(path), *dumped = NULL;
	const json_t *at = doc;
	char *save = NULL;

	for (char *key = strtok_r(keys, ".", &save); key; key = strtok_r(NULL, ".", &save))
		at = json_object_get(at, key);
	dumped = at ? json_dumps(at, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS) : NULL;
	snprintf(text, sizeof(text), "%s", dumped ? dumped : "");
	return text;
}

static struct structure *get(const char *name)
{
	struct structure *s;

	model_lock(model);
	s = model_structure(model, name);
	model_unlock(model);
	return s;
}

static void check_in_force(const char *name)
{
	const struct structure *s = get(name);

	CHECK(s);
	for (int i = 0; i < EBB_RESOURCE_MAX; i++)
		if (s->resources[i].present && s->resources[i].allocated > 0)
			CHECK_INT(s->physical[i], s->resources[i].current);
	sound();
}

/* --- structures --- */

TEST(ranges_follow_an_edit)
{
	start();
	edit(DB_STRUCTURES, "c0", "{'resources':{'cpu':{'max':300,'min':50,'weight':2}}}");
	CHECK_INT(get("c0")->resources[EBB_CPU].max, 300);
	CHECK_INT(get("c0")->resources[EBB_CPU].min, 50);
	CHECK_NEAR(get("c0")->resources[EBB_CPU].weight, 2, 0);
	CHECK_STR(there(DB_STRUCTURES, "c0", "resources.cpu.max"), "300");
	/* Both below the old min, then both above the old max. */
	edit(DB_STRUCTURES, "c0", "{'resources':{'cpu':{'max':40,'min':30}}}");
	CHECK_INT(get("c0")->resources[EBB_CPU].max, 40);
	CHECK_INT(get("c0")->resources[EBB_CPU].min, 30);
	/* The limit follows a max downwards, and the agent has it. */
	CHECK_INT(get("c0")->resources[EBB_CPU].current, 40);
	check_in_force("c0");
	edit(DB_STRUCTURES, "c0", "{'resources':{'cpu':{'max':400,'min':200}}}");
	CHECK_INT(get("c0")->resources[EBB_CPU].max, 400);
	CHECK_INT(get("c0")->resources[EBB_CPU].min, 200);
	/* By an operator's hand: it stays when it goes. */
	CHECK(!get("c0")->automatic);
}

TEST(what_cannot_be_is_set_back)
{
	start();
	/* More than the host has; the rest of the edit is taken. */
	edit(DB_STRUCTURES, "c0", "{'resources':{'cpu':{'max':4000,'min':30}}}");
	CHECK_INT(get("c0")->resources[EBB_CPU].max, 400);
	CHECK_INT(get("c0")->resources[EBB_CPU].min, 30);
	CHECK_STR(there(DB_STRUCTURES, "c0", "resources.cpu.max"), "400");
	/* No number, and min above max. */
	edit(DB_STRUCTURES, "c0", "{'resources':{'cpu':{'max':'much'}}}");
	CHECK_STR(there(DB_STRUCTURES, "c0", "resources.cpu.max"), "400");
	edit(DB_STRUCTURES, "c0", "{'resources':{'cpu':{'min':401}}}");
	CHECK_STR(there(DB_STRUCTURES, "c0", "resources.cpu.min"), "30");
	edit(DB_STRUCTURES, "c0", "{'resources':7}");
	CHECK_STR(there(DB_STRUCTURES, "c0", "resources.cpu.min"), "30");
	/* Another kind of thing. */
	edit(DB_STRUCTURES, "c0", "{'subtype':'application'}");
	CHECK_STR(there(DB_STRUCTURES, "c0", "subtype"), "\"container\"");
	edit(DB_STRUCTURES, "c0", "{'resources':{'mem':null}}");
	CHECK_INT(get("c0")->resources[EBB_MEM].max, 4096);
	CHECK_STR(there(DB_STRUCTURES, "c0", "resources.mem.max"), "4096");
	check_in_force("c0");
}

TEST(what_is_ours_is_put_back)
{
	_cleanup_json_ json_t *before = NULL, *after = NULL;

	start();
	before = stored(DB_STRUCTURES, "c0");
	edit(DB_STRUCTURES, "c0",
	     "{'resources':{'cpu':{'current':7,'allocated':9,'usage':3,'held':true}}}");
	after = stored(DB_STRUCTURES, "c0");
	CHECK(document_same(before, after));
	/* Nobody's hand: a program writes what it always writes. */
	model_lock(model);
	model_structure(model, "c0")->automatic = true;
	model_unlock(model);
	edit(DB_STRUCTURES, "c0", "{'resources':{'cpu':{'current':7}}}");
	CHECK(get("c0")->automatic);
	edit(DB_STRUCTURES, "h0", "{'resources':{'cpu':{'free':1,'core_usage_mapping':{}}}}");
	CHECK_STR(there(DB_STRUCTURES, "h0", "resources.cpu.free"), "300");
	CHECK_STR(there(DB_STRUCTURES, "h0", "resources.cpu.core_usage_mapping.0.c0"), "100");
	edit(DB_LIMITS, "c0", "{'resources':{'cpu':{'upper':1,'lower':1}}}");
	CHECK_STR(there(DB_LIMITS, "c0", "resources.cpu.upper"), "90");
	check_in_force("c0");
}

TEST(unknown_fields_are_kept)
{
	start();
	edit(DB_STRUCTURES, "c0", "{'owner':{'name':'ann'},'resources':{'cpu':{'note':[1,2]}}}");
	CHECK_STR(there(DB_STRUCTURES, "c0", "owner.name"), "\"ann\"");
	/* Through a change of ours too. */
	model_lock(model);
	CHECK_INT(
		model_set_parameter(model, model_structure(model, "c0"), EBB_CPU, "max", 350, NULL),
		0);
	model_unlock(model);
	settle();
	CHECK_STR(there(DB_STRUCTURES, "c0", "resources.cpu.max"), "350");
	CHECK_STR(there(DB_STRUCTURES, "c0", "owner"), "{\"name\":\"ann\"}");
	CHECK_STR(there(DB_STRUCTURES, "c0", "resources.cpu.note"), "[1,2]");
	edit(DB_STRUCTURES, "c0", "{'owner':null}");
	CHECK_STR(there(DB_STRUCTURES, "c0", "owner"), "");
	edit(DB_STRUCTURES, "h0", "{'rack':'r7'}");
	CHECK_STR(there(DB_STRUCTURES, "h0", "rack"), "\"r7\"");
}

TEST(guard_flags_follow_an_edit)
{
	start();
	edit(DB_STRUCTURES, "c0", "{'guard':false}");
	CHECK(!get("c0")->guard && !get("c0")->guard_state);
	CHECK_STR(there(DB_STRUCTURES, "c0", "guard"), "false");
	edit(DB_STRUCTURES, "c0", "{'guard':true,'resources':{'mem':{'guard':false}}}");
	CHECK(get("c0")->guard && get("c0")->guard_state);
	CHECK(!get("c0")->resources[EBB_MEM].guard && get("c0")->resources[EBB_CPU].guard);
	check_in_force("c0");
	/* A container that holds nothing yet is given what it has. */
	add("c1", 200, 256);
	settle();
	edit(DB_STRUCTURES, "c1", "{'guard':true,'resources':{'cpu':{'max':250}}}");
	CHECK_INT(get("c1")->resources[EBB_CPU].allocated, 200);
	check_in_force("c1");
	/* No room for its min. */
	add("c2", -1, -1);
	settle();
	edit(DB_STRUCTURES, "c2", "{'guard':true,'resources':{'cpu':{'min':200}}}");
	CHECK(!get("c2")->guard);
	CHECK_STR(there(DB_STRUCTURES, "c2", "guard"), "false");
	CHECK_STR(there(DB_STRUCTURES, "c2", "resources.cpu.min"), "200");
	/* A host is none. */
	edit(DB_STRUCTURES, "h0", "{'guard':true}");
	CHECK_STR(there(DB_STRUCTURES, "h0", "guard"), "false");
	sound();
}

TEST(boundaries_follow_an_edit)
{
	start();
	edit(DB_LIMITS, "c0", "{'resources':{'cpu':{'boundary':20}},'note':'x'}");
	CHECK_INT(get("c0")->resources[EBB_CPU].boundary, 20);
	CHECK_INT(get("c0")->resources[EBB_CPU].upper, 80);
	CHECK_STR(there(DB_LIMITS, "c0", "resources.cpu.upper"), "80");
	CHECK_STR(there(DB_LIMITS, "c0", "note"), "\"x\"");
	edit(DB_LIMITS, "c0", "{'resources':{'cpu':{'boundary_type':'percentage_of_max'}}}");
	CHECK_INT(get("c0")->resources[EBB_CPU].boundary_type, BOUNDARY_PERCENTAGE_OF_MAX);
	edit(DB_LIMITS, "c0", "{'resources':{'cpu':{'boundary':101}}}");
	CHECK_STR(there(DB_LIMITS, "c0", "resources.cpu.boundary"), "20");
	edit(DB_LIMITS, "c0", "{'resources':{'cpu':{'boundary_type':'of_nothing'}}}");
	CHECK_STR(there(DB_LIMITS, "c0", "resources.cpu.boundary_type"), "\"percentage_of_max\"");
	edit(DB_LIMITS, "c0", "{'resources':{'cpu':null}}");
	CHECK_STR(there(DB_LIMITS, "c0", "resources.cpu.boundary"), "20");
	delete (DB_LIMITS, "c0");
	CHECK_STR(there(DB_LIMITS, "c0", "resources.cpu.boundary"), "20");
}

/* The API changed one field, which is not written yet; they changed another. */
TEST(neither_side_s_change_is_lost)
{
	_cleanup_json_ json_t *base = NULL, *doc = NULL;

	start();
	base = stored(DB_STRUCTURES, "c0");
	doc = json_deep_copy(base);
	json_object_set_new(json_object_get(json_object_get(doc, "resources"), "cpu"), "min",
			    json_integer(60));
	model_lock(model);
	CHECK_INT(
		model_set_parameter(model, model_structure(model, "c0"), EBB_CPU, "max", 333, NULL),
		0);
	model_unlock(model);
	changed(DB_STRUCTURES, "c0", base, doc);
	CHECK_INT(get("c0")->resources[EBB_CPU].max, 333);
	CHECK_INT(get("c0")->resources[EBB_CPU].min, 60);
	CHECK_STR(there(DB_STRUCTURES, "c0", "resources.cpu.max"), "333");
	CHECK_STR(there(DB_STRUCTURES, "c0", "resources.cpu.min"), "60");
}

TEST(structures_are_added_by_hand)
{
	start();
	/* In any order: the container before its host, the limits before both. */
	edit(DB_LIMITS, "d0",
	     "{'type':'limit','name':'d0','resources':{'cpu':{'boundary':30,"
	     "'boundary_type':'percentage_of_current'}}}");
	edit(DB_STRUCTURES, "d0",
	     "{'type':'structure','subtype':'container','name':'d0','host':'h1','guard':true,"
	     "'host_rescaler_ip':'h1','host_rescaler_port':'8000','resources':{'cpu':{'max':200,"
	     "'min':20,'current':100,'guard':true,'allocated':100}}}");
	edit(DB_STRUCTURES, "h1",
	     "{'type':'structure','subtype':'host','name':'h1','host':'h1','resources':{"
	     "'cpu':{'max':400,'free':400,'core_usage_mapping':{'0':{'free':100},"
	     "'1':{'free':100},'2':{'free':100},'3':{'free':100}}},'mem':{'max':8192,"
	     "'free':8192}}}");
	edit(DB_STRUCTURES, "app1",
	     "{'type':'structure','subtype':'application','name':'app1','guard':false,"
	     "'containers':['d0'],'resources':{'cpu':{'max':800,'min':20,'guard':false}}}");
	CHECK(get("d0") && get("h1") && get("app1"));
	CHECK(get("d0")->host == get("h1")->host);
	CHECK_INT(get("d0")->resources[EBB_CPU].boundary, 30);
	/* What the document says that it holds nobody has given it. */
	CHECK_INT(get("d0")->resources[EBB_CPU].allocated, 0);
	CHECK(get("d0")->guard_state);
	CHECK_INT(((struct host *)get("h1")->host)->free[EBB_MEM], 8192);
	CHECK_STR(there(DB_STRUCTURES, "app1", "containers"), "[\"d0\"]");
	/* Its host is what its document says, as long as no agent says other. */
	edit(DB_STRUCTURES, "h1", "{'resources':{'mem':{'max':4096}}}");
	CHECK_INT(((struct host *)get("h1")->host)->free[EBB_MEM], 4096);
	/* And it may be said to be elsewhere. */
	edit(DB_STRUCTURES, "d0", "{'host':'h0','host_rescaler_ip':'other'}");
	CHECK(get("d0")->host == host);
	CHECK_STR(there(DB_STRUCTURES, "d0", "host_rescaler_ip"), "\"other\"");
	edit(DB_STRUCTURES, "d0", "{'host':null}");
	CHECK(get("d0")->host == NULL);
	edit(DB_STRUCTURES, "app1", "{'containers':['d0','d1'],'resources':{'cpu':{'max':700}}}");
	CHECK_INT(get("app1")->resources[EBB_CPU].max, 700);
	CHECK_STR(there(DB_STRUCTURES, "app1", "containers"), "[\"d0\",\"d1\"]");
	sound();
	/* What an agent says of a live one stays. */
	edit(DB_STRUCTURES, "c0", "{'host':'h1','host_rescaler_ip':'nowhere'}");
	CHECK_STR(there(DB_STRUCTURES, "c0", "host"), "\"h0\"");
	CHECK_STR(there(DB_STRUCTURES, "c0", "host_rescaler_ip"), "\"127.0.0.1\"");
	/* Documents that are none stay where they are, and do nothing. */
	edit(DB_STRUCTURES, "bad", "{'name':'bad','subtype':'moon'}");
	edit(DB_STRUCTURES, "free", "{'name':'free','subtype':'container'}");
	edit(DB_STRUCTURES, "x", "{'name':'y','subtype':'container'}");
	edit(DB_STRUCTURES, "z", "{'subtype':'container'}");
	CHECK(!get("bad") && !get("free") && !get("x") && !get("y") && !get("z"));
	CHECK_STR(there(DB_STRUCTURES, "bad", "subtype"), "\"moon\"");
}

TEST(resources_come_and_go_by_hand)
{
	start();
	edit(DB_STRUCTURES, "c0", "{'resources':{'energy':{'max':60,'min':10,'current':50}}}");
	CHECK(get("c0")->resources[EBB_ENERGY].present);
	CHECK_INT(get("c0")->resources[EBB_ENERGY].max, 60);
	edit(DB_STRUCTURES, "c0", "{'resources':{'energy':null}}");
	CHECK(!get("c0")->resources[EBB_ENERGY].present);
	CHECK_STR(there(DB_STRUCTURES, "c0", "resources.energy"), "");
	/* Of a host too: what its containers may share. */
	edit(DB_STRUCTURES, "h0", "{'resources':{'disk_read':{'max':500}}}");
	CHECK_INT(host->free[EBB_DISK_READ], 500);
	CHECK_STR(there(DB_STRUCTURES, "h0", "resources.disk_read.free"), "500");
	edit(DB_STRUCTURES, "h0", "{'resources':{'cpu':{'max':10000}}}");
	CHECK_STR(there(DB_STRUCTURES, "h0", "resources.cpu.max"), "400");
	sound();
	/* Without an agent its document says what it has, and where its Container Scaler is. */
	host->agentless = true;
	edit(DB_STRUCTURES, "h0",
	     "{'host_rescaler_ip':'elsewhere','feed':'opentsdb','resources':{'mem':{'max':2048}}}");
	CHECK_INT(host->max[EBB_MEM], 2048);
	CHECK_INT(host->free[EBB_MEM], 2048 - get("c0")->resources[EBB_MEM].allocated);
	CHECK_STR(there(DB_STRUCTURES, "h0", "host_rescaler_ip"), "\"elsewhere\"");
	CHECK_STR(there(DB_STRUCTURES, "h0", "feed"), "\"opentsdb\"");
	edit(DB_STRUCTURES, "c0", "{'host_rescaler_port':'8001'}");
	CHECK_STR(there(DB_STRUCTURES, "c0", "host_rescaler_port"), "\"8001\"");
	host->agentless = false;
	sound();
}

TEST(deleted_by_hand)
{
	start();
	edit(DB_STRUCTURES, "app1", "{'subtype':'application','name':'app1'}");
	delete (DB_STRUCTURES, "app1");
	CHECK(!get("app1"));
	/* It runs: as it was when it came. */
	CHECK_INT(host->free[EBB_CPU], 300);
	delete (DB_STRUCTURES, "c0");
	CHECK(get("c0"));
	CHECK(!get("c0")->guard && get("c0")->automatic && get("c0")->live);
	CHECK_INT(get("c0")->resources[EBB_CPU].current, 100);
	CHECK_INT(get("c0")->resources[EBB_CPU].allocated, 0);
	CHECK_INT(host->free[EBB_CPU], 400);
	CHECK_STR(there(DB_STRUCTURES, "c0", "automatic"), "true");
	CHECK_STR(there(DB_LIMITS, "c0", "resources.cpu.boundary"), "10");
	/* One that is kept for its return. */
	edit(DB_STRUCTURES, "c0", "{'guard':true}");
	model_lock(model);
	model_container_gone(model, model_structure(model, "c0"));
	model_unlock(model);
	settle();
	CHECK(get("c0"));
	delete (DB_STRUCTURES, "c0");
	CHECK(!get("c0"));
	CHECK_STR(there(DB_LIMITS, "c0", "name"), "");
	/* A host with its agent here, and without. */
	delete (DB_STRUCTURES, "h0");
	CHECK(get("h0"));
	CHECK_STR(there(DB_STRUCTURES, "h0", "name"), "\"h0\"");
	model_lock(model);
	host->connected = false;
	model_unlock(model);
	delete (DB_STRUCTURES, "h0");
	CHECK(!get("h0"));
	delete (DB_STRUCTURES, "never_was");
	sound();
}

/* --- rules, services, users, requests --- */

TEST(rules_follow_an_edit)
{
	start();
	edit(DB_RULES, "CpuRescaleUp", "{'amount':77,'active':false}");
	model_lock(model);
	CHECK_INT(json_integer_value(
			  json_object_get(json_object_get(model->rules, "CpuRescaleUp"), "amount")),
		  77);
	model_unlock(model);
	/* A bad one: ours is there again. */
	edit(DB_RULES, "CpuRescaleUp", "{'rule':{'nonsense':[]}}");
	CHECK(strstr(there(DB_RULES, "CpuRescaleUp", "rule"), "events.scale.up"));
	CHECK_STR(there(DB_RULES, "CpuRescaleUp", "amount"), "77");
	edit(DB_RULES, "mine",
	     "{'name':'mine','type':'rule','resource':'cpu','active':true,'generates':'events',"
	     "'rule':{'>':[{'var':'cpu.structure.cpu.usage'},1]},"
	     "'action':{'events':{'scale':{'up':1}}}}");
	CHECK(json_object_get(model->rules, "mine"));
	delete (DB_RULES, "mine");
	CHECK(!json_object_get(model->rules, "mine"));
	CHECK_STR(there(DB_RULES, "mine", "name"), "");
	edit(DB_RULES, "bad", "{'name':'bad','type':'rule'}");
	CHECK(!json_object_get(model->rules, "bad"));
}

TEST(a_bad_rule_in_the_database_is_set_back)
{
	start();
	edit(DB_RULES, "CpuRescaleUp",
	     "{'rule':{'and':[{'>=':[{'var':'events.scale.up'},5]},"
	     "{'<=':[{'var':'events.scale.up'},3]}]}}");
	CHECK(strstr(there(DB_RULES, "CpuRescaleUp", "rule"), "events.scale.down"));
	edit(DB_RULES, "mine",
	     "{'name':'mine','type':'rule','resource':'cpu','active':true,'generates':'events',"
	     "'rule':{'>':[{'var':'cpu.usage'},1]},'action':{'events':{'scale':{'up':1}}}}");
	CHECK(!json_object_get(model->rules, "mine"));
}

/* Deleted by hand or over the API, it does not come back, until somebody brings it back. */
TEST(a_deleted_rule_stays_away)
{
	_cleanup_json_ json_t *rule = NULL;

	start();
	rule = json_deep_copy(json_object_get(model->rules, "mem_saturated"));
	delete (DB_RULES, "cpu_saturated");
	model_lock(model);
	CHECK_INT(model_delete_rule(model, "mem_saturated"), 0);
	CHECK_INT(model_delete_rule(model, "mem_saturated"), -ENOENT);
	model_unlock(model);
	settle();
	CHECK_STR(there(DB_RULES, "mem_saturated", "name"), "");
	CHECK_STR(there(DB_SERVICES, "guardian", "rules_deleted"),
		  "[\"cpu_saturated\",\"mem_saturated\"]");
	again();
	lead(true);
	settle();
	CHECK(!json_object_get(model->rules, "cpu_saturated"));
	CHECK(!json_object_get(model->rules, "mem_saturated"));
	CHECK(json_object_get(model->rules, "cpu_exceeded_upper"));
	CHECK_STR(there(DB_RULES, "cpu_saturated", "name"), "");
	model_lock(model);
	CHECK_INT(model_set_rule(model, rule, NULL), 0);
	model_unlock(model);
	settle();
	CHECK_STR(there(DB_SERVICES, "guardian", "rules_deleted"), "[\"cpu_saturated\"]");
	again();
	lead(true);
	CHECK(json_object_get(model->rules, "mem_saturated"));
	CHECK(!json_object_get(model->rules, "cpu_saturated"));
}

/* Of everything that has an ETag. */
static void versions(uint64_t got[6])
{
	_cleanup_json_ json_t *container = structure_to_json(get("c0"));
	_cleanup_json_ json_t *in_host = structure_to_json(get("h0"));
	_cleanup_json_ json_t *limits = structure_limits_to_json(get("c0"));

	got[0] = document_version(DB_STRUCTURES, container);
	got[1] = document_version(DB_STRUCTURES, in_host);
	got[2] = document_version(DB_LIMITS, limits);
	got[3] = document_version(DB_RULES, json_object_get(model->rules, "CpuRescaleUp"));
	got[4] = document_version(DB_SERVICES, json_object_get(model->services, "guardian"));
	got[5] = document_version(DB_SERVICES, json_object_get(model->services, "scaler"));
}

/* A client that reads from the one and writes to the other is not told that something changed. */
TEST(a_standby_has_the_versions_of_the_leader)
{
	uint64_t leader[6], standby[6];

	start();
	versions(leader);
	again();
	CHECK(!model->leading);
	versions(standby);
	for (size_t i = 0; i < ARRAY_SIZE(leader); i++)
		if (leader[i] != standby[i])
			TEST_FAIL("version %zu differs", i);
	lead(true);
	settle();
	versions(standby);
	for (size_t i = 0; i < ARRAY_SIZE(leader); i++)
		if (leader[i] != standby[i])
			TEST_FAIL("version %zu differs after the takeover", i);
	edit(DB_STRUCTURES, "c0", "{'resources':{'cpu':{'max':300}}}");
	versions(standby);
	CHECK(standby[0] != leader[0]);
	CHECK(standby[2] == leader[2]);
}

TEST(services_follow_an_edit)
{
	start();
	edit(DB_SERVICES, "scaler", "{'config':{'REQUEST_TIMEOUT':33,'ACTIVE':false}}");
	CHECK_NEAR(model->scaler.request_timeout, 33, 0);
	CHECK(!model->scaler.active);
	edit(DB_SERVICES, "scaler", "{'config':{'REQUEST_TIMEOUT':'soon'}}");
	CHECK_NEAR(model->scaler.request_timeout, 33, 0);
	CHECK_STR(there(DB_SERVICES, "scaler", "config.REQUEST_TIMEOUT"), "33");
	/* Heartbeats are ours... */
	model_lock(model);
	model_heartbeat(model, 1795344748);
	model_unlock(model);
	settle();
	edit(DB_SERVICES, "scaler", "{'heartbeat':5}");
	CHECK_STR(there(DB_SERVICES, "scaler", "heartbeat"), "1795344748.0");
	delete (DB_SERVICES, "guardian");
	CHECK_STR(there(DB_SERVICES, "guardian", "name"), "\"guardian\"");
	/* ...but not those of services that run elsewhere. */
	edit(DB_SERVICES, "watt_trainer", "{'name':'watt_trainer','heartbeat':1,'config':{}}");
	edit(DB_SERVICES, "watt_trainer", "{'heartbeat':2}");
	CHECK_STR(there(DB_SERVICES, "watt_trainer", "heartbeat"), "2");
	delete (DB_SERVICES, "watt_trainer");
	CHECK_STR(there(DB_SERVICES, "watt_trainer", "name"), "");
	/* The lease is no service. */
	edit(DB_SERVICES, "ebb_leader", "{'name':'ebb_leader','term':1}");
	CHECK(!json_object_get(model->services, "ebb_leader"));
	edit(DB_SERVICES, "ebb_leader", "{'term':2}");
	CHECK_STR(there(DB_SERVICES, "ebb_leader", "term"), "2");
}

TEST(users_follow_an_edit)
{
	start();
	edit(DB_USERS, "u0",
	     "{'type':'user','name':'u0','clusters':['app1'],"
	     "'resources':{'cpu':{'max':2000,'min':100}}}");
	CHECK(model_user(model, "u0") && !get("u0"));
	edit(DB_USERS, "u0", "{'clusters':['app1','app2'],'resources':{'cpu':{'usage':7}}}");
	CHECK_STR(there(DB_USERS, "u0", "clusters"), "[\"app1\",\"app2\"]");
	CHECK_STR(there(DB_USERS, "u0", "resources.cpu"), "{\"max\":2000,\"min\":100}");
	delete (DB_USERS, "u0");
	CHECK(!model_user(model, "u0"));
}

static void request(const char *id, const char *structure, const char *resource, int amount,
		    double timestamp, const char *more)
{
	edit(DB_REQUESTS, id,
	     "{'type':'request','resource':'%s','amount':%d,'priority':0,'structure':'%s',"
	     "'action':'CpuRescaleUp','field':'current','timestamp':%.3f,"
	     "'structure_type':'container'%s}",
	     resource, amount, structure, timestamp, more);
	CHECK_STR(there(DB_REQUESTS, id, "type"), "");
}

static const char *boundary_of(const struct structure *s)
{
	static char text[32];

	if (!s || !s->resources[EBB_CPU].has_boundary)
		return "-";
	snprintf(text, sizeof(text), "%d", s->resources[EBB_CPU].boundary);
	return text;
}

TEST(users_have_limits_and_names_of_their_own)
{
	start();
	/* Limits may come before. */
	edit(DB_LIMITS, "u0",
	     "{'type':'limit','name':'u0','resources':{'cpu':{'boundary':7,"
	     "'boundary_type':'percentage_of_max'}}}");
	edit(DB_USERS, "u0",
	     "{'type':'structure','subtype':'user','name':'u0','odd':[1],'clusters':[],"
	     "'resources':{'cpu':{'max':2000,'min':100,'gpu':1}}}");
	CHECK_STR(boundary_of(model_user(model, "u0")), "7");
	CHECK_STR(there(DB_USERS, "u0", "odd"), "[1]");
	CHECK_STR(there(DB_USERS, "u0", "type"), "\"structure\"");
	CHECK_STR(there(DB_USERS, "u0", "resources.cpu.gpu"), "1");
	edit(DB_LIMITS, "u0", "{'resources':{'cpu':{'boundary':8}}}");
	CHECK_STR(boundary_of(model_user(model, "u0")), "8");
	/* What cannot be is set back. */
	edit(DB_USERS, "u0", "{'resources':{'cpu':{'max':50}}}");
	CHECK_STR(there(DB_USERS, "u0", "resources.cpu.max"), "2000");
	edit(DB_USERS, "u0", "{'subtype':'host'}");
	CHECK_STR(there(DB_USERS, "u0", "subtype"), "\"user\"");

	/* A structure of that name has the limits document from now on. */
	edit(DB_STRUCTURES, "u0",
	     "{'type':'structure','subtype':'application','name':'u0','containers':[],"
	     "'resources':{'cpu':{'max':400,'min':10}}}");
	CHECK(get("u0") && model_user(model, "u0"));
	CHECK_STR(boundary_of(get("u0")), "8");
	edit(DB_LIMITS, "u0",
	     "{'type':'limit','name':'u0','resources':{'cpu':{'boundary':33,"
	     "'boundary_type':'percentage_of_max'}}}");
	CHECK_STR(boundary_of(get("u0")), "33");
	CHECK_STR(boundary_of(model_user(model, "u0")), "8");
	delete (DB_STRUCTURES, "u0");
	CHECK(!get("u0") && model_user(model, "u0"));
	CHECK_STR(there(DB_LIMITS, "u0", "resources.cpu.boundary"), "8");
	delete (DB_USERS, "u0");
	CHECK(!model_user(model, "u0"));
	CHECK_STR(there(DB_LIMITS, "u0", "name"), "");

	/* No structure, and nothing to be set right. */
	edit(DB_STRUCTURES, "u1", "{'type':'user','subtype':'user','name':'u1','clusters':[]}");
	CHECK(!get("u1") && !model_user(model, "u1"));
	CHECK_STR(there(DB_STRUCTURES, "u1", "subtype"), "\"user\"");
	/* Nor is a user that has no sense. */
	edit(DB_USERS, "u2", "{'name':'u2','resources':7}");
	CHECK(!model_user(model, "u2"));
	CHECK_STR(there(DB_USERS, "u2", "resources"), "7");
	sound();
}

static const char *parent(const char *name)
{
	const struct structure *s = get(name), *of = s ? hierarchy_parent(s) : NULL;

	return of ? of->name : "-";
}

TEST(memberships_follow_an_edit)
{
	start();
	edit(DB_USERS, "u0", "{'type':'user','name':'u0','clusters':['app']}");
	edit(DB_STRUCTURES, "app",
	     "{'type':'structure','subtype':'application','name':'app','containers':['c1','c0'],"
	     "'resources':{}}");
	CHECK_STR(parent("c0"), "app");
	CHECK_STR(parent("app"), "u0");
	add("c1", 100, 512);
	CHECK_STR(parent("c1"), "app");
	/* Its document is written anew when it runs: it is where it was. */
	delete (DB_STRUCTURES, "c1");
	CHECK_STR(parent("c1"), "app");
	edit(DB_STRUCTURES, "app", "{'containers':['c1'],'user':'u1'}");
	CHECK_STR(parent("c0"), "-");
	CHECK_STR(parent("app"), "u0");
	edit(DB_USERS, "u0", "{'clusters':[]}");
	CHECK_STR(parent("app"), "-");
	edit(DB_USERS, "u1", "{'type':'user','name':'u1'}");
	CHECK_STR(parent("app"), "u1");
	delete (DB_STRUCTURES, "app");
	CHECK_STR(parent("c1"), "-");
	/* On a standby likewise. */
	lead(false);
	edit(DB_STRUCTURES, "app",
	     "{'type':'structure','subtype':'application','name':'app','containers':['c1','c0'],"
	     "'user':'u1','resources':{}}");
	CHECK_STR(parent("c0"), "app");
	CHECK_STR(parent("app"), "u1");
	edit(DB_STRUCTURES, "app", "{'containers':['c0'],'user':'u0'}");
	CHECK_STR(parent("c1"), "-");
	CHECK_STR(parent("app"), "u0");
	edit(DB_USERS, "u1", "{'clusters':['app'],'resources':{'cpu':{'max':5,'min':1}}}");
	CHECK_STR(parent("app"), "u1");
	CHECK_INT(model_user(model, "u1")->resources[EBB_CPU].max, 5);
	delete (DB_USERS, "u1");
	CHECK_STR(parent("app"), "u0");
	edit(DB_STRUCTURES, "u9", "{'subtype':'user','name':'u9'}");
	CHECK(!get("u9"));
	lead(true);
	CHECK_STR(parent("c0"), "app");
	CHECK_STR(there(DB_STRUCTURES, "app", "containers"), "[\"c0\"]");
}

TEST(applications_and_users_are_guarded_by_hand)
{
	struct structure *app, *u;
	int64_t has;

	start();
	has = get("c0")->resources[EBB_CPU].current;
	edit(DB_STRUCTURES, "app",
	     "{'type':'structure','subtype':'application','name':'app','containers':['c0','c9'],"
	     "'guard':false,'resources':{'cpu':{'max':800,'min':20,'guard':true},"
	     "'mem':{'max':800,'min':20,'guard':false}}}");
	edit(DB_USERS, "u",
	     "{'type':'user','subtype':'user','name':'u','clusters':['app'],"
	     "'resources':{'cpu':{'max':900,'min':20}}}");
	edit(DB_SERVICES, "guardian",
	     "{'config':{'STRUCTURE_GUARDED':['container','application','user']}}");
	app = get("app");
	u = model_user(model, "u");
	edit(DB_STRUCTURES, "app", "{'guard':true}");
	CHECK(app->guard && app->guard_state && app->resources[EBB_CPU].current == has);
	/* It had no limits document. */
	CHECK_STR(there(DB_LIMITS, "app", "resources.cpu.boundary"), "10");
	CHECK_STR(there(DB_LIMITS, "app", "resources.mem"), "");
	CHECK_INT(app->resources[EBB_CPU].upper, has - has / 10);
	edit(DB_USERS, "u", "{'guard':true,'resources':{'cpu':{'guard':true}}}");
	CHECK(u->guard && u->guard_state && u->resources[EBB_CPU].current == has);
	CHECK_STR(there(DB_USERS, "u", "guard"), "true");
	CHECK_STR(there(DB_LIMITS, "u", "resources.cpu.boundary"), "10");
	/* Without a max there is nothing to guard within. */
	edit(DB_USERS, "u", "{'resources':{'mem':{'max':0,'min':0,'guard':true}}}");
	CHECK_STR(there(DB_USERS, "u", "resources.mem.guard"), "");
	/* Whoever leads next goes on with it. */
	lead(false);
	edit(DB_LIMITS, "app", "{'resources':{'cpu':{'boundary':20}}}");
	edit(DB_USERS, "u", "{'guard':false}");
	lead(true);
	CHECK(app->guard && app->guard_state && !u->guard);
	CHECK_INT(app->resources[EBB_CPU].upper, has - has / 5);
	edit(DB_STRUCTURES, "app", "{'guard':false}");
	CHECK(!app->guard && !app->guard_state);
	sound();
}

TEST(requests_are_taken)
{
	double now = wall_seconds();
	struct scaler_stats stats;

	start();
	request("r1", "c0", "cpu", 50, now, "");
	CHECK_INT(get("c0")->resources[EBB_CPU].current, 150);
	check_in_force("c0");
	/* None of these is done, all are deleted. */
	request("r2", "c0", "cpu", 50, now - 3600, "");
	request("r3", "c0", "cpu", 50, now + 3600, "");
	request("r4", "nobody", "cpu", 50, now, "");
	request("r5", "h0", "cpu", 50, now, "");
	request("r6", "c0", "moonlight", 50, now, "");
	request("r7", "c0", "cpu", 0, now, "");
	request("r8", "c0", "cpu", 50, now, ",'field':'min'");
	request("r9", "c0", "cpu", 50, now, ",'pair_structure':'nobody'");
	request("r10", "c0", "cpu", 50, now, ",'pair_structure':'c0'");
	request("r11", "c0", "cpu", 50, now, ",'pair_structure':'h0'");
	request("r12", "c0", "cpu", 50, now, ",'structure_type':'user'");
	request("r13", "c0", "cpu", 50, now, ",'structure_type':'application'");
	request("r14", "c0", "cpu", 50, now, ",'power_budget':'much'");
	request("ra", "c0", "cpu", 50, now, ",'amount':1e300");
	request("rb", "c0", "cpu", 50, now, ",'amount':'lots'");
	edit(DB_REQUESTS, "rc", "{'type':'request'}");
	CHECK_STR(there(DB_REQUESTS, "rc", "type"), "");
	model_lock(model);
	scaler_get_stats(scaler, &stats);
	model_unlock(model);
	CHECK_INT(stats.requests, 1);
	CHECK_INT(get("c0")->resources[EBB_CPU].current, 150);
	/* Less is asked for as well. */
	request("rd", "c0", "cpu", -60, now, "");
	CHECK_INT(get("c0")->resources[EBB_CPU].current, 90);
	check_in_force("c0");
	/* Events are nobody's business here. */
	edit(DB_EVENTS, "e1", "{'type':'event','name':'CpuBottleneck'}");
	CHECK_STR(there(DB_EVENTS, "e1", "type"), "\"event\"");
}

TEST(requests_of_all_kinds_are_taken)
{
	double now = wall_seconds();

	start();
	edit(DB_STRUCTURES, "app",
	     "{'type':'structure','subtype':'application','name':'app','containers':['c0'],"
	     "'resources':{'cpu':{'max':400,'min':20}}}");
	edit(DB_USERS, "c0",
	     "{'name':'c0','clusters':['app'],'resources':{'cpu':{'max':400,'min':20}}}");
	request("r1", "c0", "cpu", -40, now, ",'field':'max','priority':2");
	CHECK_INT(get("c0")->resources[EBB_CPU].max, 360);
	CHECK_INT(get("c0")->resources[EBB_CPU].current, 100);
	request("r2", "app", "cpu", 30, now, ",'structure_type':'application'");
	check_in_force("c0");
	CHECK_INT(get("c0")->resources[EBB_CPU].current, 130);
	CHECK_INT(get("app")->resources[EBB_CPU].current, 130);
	request("r3", "c0", "cpu", -60, now, ",'structure_type':'user','field':'max'");
	CHECK(model_user(model, "c0"));
	CHECK_INT(model_user(model, "c0")->resources[EBB_CPU].max, 340);
	CHECK_INT(get("app")->resources[EBB_CPU].max, 340);
	CHECK_INT(get("c0")->resources[EBB_CPU].max, 300);
	check_in_force("c0");
}

/* Somebody asks for 50 shares more for c0, and nothing can be written. */
static void ask_while_away(const char *id)
{
	_cleanup_json_ json_t *doc =
		parse("{'type':'request','resource':'cpu','amount':50,'structure':'c0',"
		      "'timestamp':%.3f}",
		      wall_seconds());

	memory_store_go(&memory, true);
	memory_store_set(&memory, DB_REQUESTS, id, doc);
	model_lock(model);
	model_document_changed(model, DB_REQUESTS, id, NULL, doc);
	CHECK(requests_take(model, wall_seconds()));
	model_unlock(model);
	CHECK_INT(store_flush(store), -EIO);
}

static unsigned long requests_done(void)
{
	struct scaler_stats stats;

	model_lock(model);
	scaler_get_stats(scaler, &stats);
	model_unlock(model);
	return stats.requests;
}

static void come_back(void)
{
	memory_store_go(&memory, false);
	settle();
}

TEST(requests_are_done_once)
{
	start();
	/* As long as it may be found again, after a kill, nothing is done. */
	ask_while_away("r1");
	CHECK_INT(requests_done(), 0);
	CHECK_INT(get("c0")->resources[EBB_CPU].current, 100);
	come_back();
	CHECK_STR(there(DB_REQUESTS, "r1", "type"), "");
	CHECK_INT(requests_done(), 1);
	CHECK_INT(get("c0")->resources[EBB_CPU].current, 150);
	check_in_force("c0");
	/* Who asked takes it back. */
	ask_while_away("r2");
	model_lock(model);
	model_document_changed(model, DB_REQUESTS, "r2", NULL, NULL);
	model_unlock(model);
	come_back();
	CHECK_INT(requests_done(), 1);
	/* Another one leads: that one has it, or nobody. */
	ask_while_away("r3");
	lead(false);
	come_back();
	CHECK_INT(requests_done(), 1);
	CHECK_INT(json_object_size(model->requests), 0);
	CHECK_INT(json_object_size(model->claimed), 0);
}

TEST(requests_that_are_too_many_are_deleted)
{
	_cleanup_json_ json_t *doc = parse("{'type':'request','resource':'cpu','amount':50,"
					   "'structure':'c0','timestamp':%.3f}",
					   wall_seconds());
	char id[32];

	start();
	lead(false);
	model_lock(model);
	for (int i = 0; i < MODEL_KEPT_MAX + 100; i++) {
		snprintf(id, sizeof(id), "r%d", i);
		memory_store_set(&memory, DB_REQUESTS, id, doc);
		model_document_changed(model, DB_REQUESTS, id, NULL, doc);
	}
	CHECK_INT(model_set_leading(model, true), 0);
	CHECK(requests_take(model, wall_seconds()));
	model_unlock(model);
	settle();
	CHECK_INT(requests_done(), MODEL_KEPT_MAX);
	CHECK_INT(json_object_size(memory.documents[DB_REQUESTS]), 0);
}

/* --- a standby --- */

TEST(a_standby_takes_documents_as_they_stand)
{
	unsigned long written;

	test_at_end(release_all, NULL);
	memory_store_init(&memory);
	CHECK_INT(stand_in_start(&agent), 0);
	open_model();
	/* No defaults of its own. */
	CHECK_INT(json_object_size(model->rules), 0);
	edit(DB_STRUCTURES, "c0",
	     "{'subtype':'container','name':'c0','host':'h0','guard':true,'resources':{'cpu':{"
	     "'max':200,'min':20,'current':150,'allocated':150,'guard':true}}}");
	edit(DB_LIMITS, "c0",
	     "{'name':'c0','resources':{'cpu':{'boundary':10,'boundary_type':"
	     "'percentage_of_current','upper':135,'lower':120}}}");
	edit(DB_STRUCTURES, "h0",
	     "{'subtype':'host','name':'h0','resources':{'cpu':{'max':400,'free':250,"
	     "'core_usage_mapping':{'0':{'c0':100,'free':0},'1':{'c0':50,'free':50},"
	     "'2':{'free':100},'3':{'free':100}}},'mem':{'max':4096,'free':4096}}}");
	CHECK_INT(get("c0")->resources[EBB_CPU].current, 150);
	CHECK_INT(get("c0")->resources[EBB_CPU].allocated, 150);
	CHECK_INT(get("c0")->resources[EBB_CPU].upper, 135);
	CHECK(get("c0")->host && get("c0")->host == get("h0")->host);
	sound();
	/* The leader goes on. */
	edit(DB_STRUCTURES, "c0", "{'resources':{'cpu':{'current':50,'allocated':50}}}");
	edit(DB_STRUCTURES, "h0",
	     "{'resources':{'cpu':{'free':350,'core_usage_mapping':{'0':{'c0':50,'free':50},"
	     "'1':{'c0':0,'free':100}}}}}");
	CHECK_INT(get("c0")->resources[EBB_CPU].current, 50);
	CHECK_INT(((struct host *)get("h0")->host)->free[EBB_CPU], 350);
	CHECK_INT(get("c0")->resources[EBB_CPU].upper, 135);
	sound();
	edit(DB_SERVICES, "scaler", "{'name':'scaler','config':{'REQUEST_TIMEOUT':44}}");
	CHECK_NEAR(model->scaler.request_timeout, 44, 0);
	edit(DB_REQUESTS, "r1",
	     "{'type':'request','structure':'c0','resource':'cpu','amount':10,"
	     "'timestamp':1}");
	CHECK_STR(there(DB_REQUESTS, "r1", "type"), "\"request\"");
	edit(DB_STRUCTURES, "c9", "{'subtype':'container','name':'c9','host':'h0'}");
	delete (DB_STRUCTURES, "c9");
	CHECK(!get("c9"));
	model_lock(model);
	model_heartbeat(model, 5);
	model_touch(model, model_structure(model, "c0"), MODEL_DIRTY_STRUCTURE);
	model_unlock(model);
	settle();
	written = memory.written;
	CHECK_INT(written, 0);

	/* It takes over. */
	lead(true);
	settle();
	CHECK(memory.written > written);
	CHECK(json_object_get(model->rules, "CpuRescaleUp"));
	CHECK_STR(there(DB_RULES, "CpuRescaleUp", "name"), "\"CpuRescaleUp\"");
	/* What was changed by hand is no default. */
	CHECK_NEAR(model->scaler.request_timeout, 44, 0);
	CHECK(get("c0")->guard_state && !get("c0")->live);
	CHECK_INT(get("c0")->resources[EBB_CPU].upper, 45);
	CHECK_STR(there(DB_LIMITS, "c0", "resources.cpu.upper"), "45");
	sound();
	model_lock(model);
	CHECK(requests_take(model, wall_seconds()));
	model_unlock(model);
	settle();
	CHECK_STR(there(DB_REQUESTS, "r1", "type"), "");
	/* The agent comes, with what is in force. */
	host = register_host("h0");
	add("c0", 60, 512);
	settle();
	CHECK_INT(get("c0")->resources[EBB_CPU].current, 60);
	sound();

	/* And it leads no more. */
	lead(false);
	written = memory.written;
	CHECK(!get("c0")->live && !host->connected && !host->session);
	edit(DB_STRUCTURES, "c0", "{'resources':{'cpu':{'current':70,'allocated':70}}}");
	CHECK_INT(get("c0")->resources[EBB_CPU].current, 70);
	CHECK_INT(memory.written, written);
	lead(true);
	settle();
	sound();
}

/* --- orders under way --- */

/* The agent is slow: edits come while it works, and it answers to what is not there any more. */
/* Somebody changed the boundary while no controller ran: what follows from it was worked out on
 * loading, before we led and could write it. */
TEST(what_was_worked_out_before_leading_is_written)
{
	_cleanup_json_ json_t *structure = NULL, *limits = NULL;

	structure = parse("{'subtype':'container','name':'c0','host':'h0','guard':true,'resources':"
			  "{'cpu':{'max':200,'min':20,'current':100,'guard':true}}}");
	limits = parse("{'name':'c0','resources':{'cpu':{'boundary':20,'boundary_type':"
		       "'percentage_of_current','upper':90,'lower':80}}}");
	test_at_end(release_all, NULL);
	memory_store_init(&memory);
	CHECK_INT(stand_in_start(&agent), 0);
	memory_store_set(&memory, DB_STRUCTURES, "c0", structure);
	memory_store_set(&memory, DB_LIMITS, "c0", limits);
	open_model();
	CHECK_INT(get("c0")->resources[EBB_CPU].upper, 80);
	CHECK_STR(there(DB_LIMITS, "c0", "resources.cpu.upper"), "90");
	lead(true);
	settle();
	CHECK_STR(there(DB_LIMITS, "c0", "resources.cpu.upper"), "80");
	CHECK_STR(there(DB_LIMITS, "c0", "resources.cpu.lower"), "60");
}

TEST(edits_with_orders_under_way)
{
	const char *given = getenv("EBB_TEST_SEED");
	unsigned seed = given ? (unsigned)atoi(given) : (unsigned)now_ns() % 100000;

	fprintf(stderr, "seed %u (EBB_TEST_SEED)\n", seed);
	srandom(seed);
	start();
	agent.delay_ms = 3;
	add("c1", 50, 256);
	for (int i = 0; i < 400; i++) {
		const char *name = random() % 2 ? "c0" : "c1";
		_cleanup_json_ json_t *base = stored(DB_STRUCTURES, name), *doc = NULL;
		struct structure *s;

		model_lock(model);
		s = model_structure(model, name);
		if (s && s->guard && s->live) {
			struct request asked = {.structure = s,
						.resource = random() % 2 ? EBB_CPU : EBB_MEM,
						.amount = random() % 2 ? 20 : -20,
						.timestamp = wall_seconds(),
						.origin = "test"};

			(void)scaler_request(scaler, &asked);
			scaler_run(scaler);
		}
		switch (random() % 6) {
		case 0: model_document_changed(model, DB_STRUCTURES, name, base, NULL); break;
		case 1:
			if (base) {
				doc = json_deep_copy(base);
				json_object_set_new(doc, "guard", json_boolean(random() % 4));
				model_document_changed(model, DB_STRUCTURES, name, base, doc);
			}
			break;
		case 2:
			if (base) {
				doc = json_deep_copy(base);
				json_object_set_new(
					json_object_get(json_object_get(doc, "resources"), "cpu"),
					"max", json_integer(20 + random() % 400));
				model_document_changed(model, DB_STRUCTURES, name, base, doc);
			}
			break;
		case 3:
			if (s) {
				scaler_forget(scaler, s);
				model_container_gone(model, s);
			}
			break;
		case 4:
			host->connected = random() % 8 != 0;
			if (!host->connected) {
				/* Its agent begins anew. */
				model_document_changed(model, DB_STRUCTURES, "h0", NULL, NULL);
				CHECK(!model_host(model, "h0"));
				model_unlock(model);
				host = register_host("h0");
				model_lock(model);
			}
			break;
		default: break;
		}
		scaler_run(scaler);
		model_unlock(model);
		model_lock(model);
		s = model_structure(model, name);
		model_unlock(model);
		if (!s || !s->live || s->host != host)
			add(name, 50 + (int)(random() % 100), 256);
		if (random() % 3 == 0)
			usleep(1000 * (unsigned)(random() % 4));
		sound();
	}
	settle();
	sound();
}

TEST_MAIN()
