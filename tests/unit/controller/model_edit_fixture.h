/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of documents that somebody else changes in the database: a controller with an agent's
 * stand-in, and the database in memory.
 */
#ifndef EBB_TEST_MODEL_EDIT_FIXTURE_H
#define EBB_TEST_MODEL_EDIT_FIXTURE_H

#include "model.h"

#include <errno.h>
#include <stdarg.h>

#include "agent_stand_in.h"
#include "document_merge.h"
#include "hierarchy.h"
#include "quoted_json.h"
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

static inline void release_all(void *arg)
{
	executor_free(TAKE_PTR(executor));
	scaler_free(TAKE_PTR(scaler));
	audit_free(TAKE_PTR(audit));
	store_close(TAKE_PTR(store));
	model_free(TAKE_PTR(model));
	memory_store_clear(&memory);
	stand_in_stop(&agent);
}

static inline void claimed(void *userdata, enum store_db db, const char *id)
{
	model_lock(model);
	if (db == DB_REQUESTS && request_claimed(model, scaler, id, wall_seconds()))
		scaler_run(scaler);
	model_unlock(model);
}

static inline void open_model(void)
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
static inline void again(void)
{
	executor_free(TAKE_PTR(executor));
	scaler_free(TAKE_PTR(scaler));
	audit_free(TAKE_PTR(audit));
	store_close(TAKE_PTR(store));
	model_free(TAKE_PTR(model));
	open_model();
}

/* What has been touched is in the database when it returns. */
static inline void settle(void)
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

static inline void sound(void)
{
	_cleanup_free_ char *wrong = NULL;

	model_lock(model);
	wrong = model_check(model);
	model_unlock(model);
	if (wrong)
		TEST_FAIL("%s", wrong);
}

static inline void lead(bool leading)
{
	model_lock(model);
	CHECK_INT(model_set_leading(model, leading), 0);
	model_unlock(model);
}

static inline struct host *register_host(const char *name)
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

static inline struct structure *add(const char *name, int cpu, int mem)
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
static inline void start(void)
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

static inline json_t *stored(enum store_db db, const char *id)
{
	return memory_store_get(&memory, db, id);
}

static inline void overlay(json_t *doc, const json_t *changes)
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
static inline void changed(enum store_db db, const char *id, const json_t *base, json_t *doc)
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
	changes = parse_text(text);
	doc = base ? json_deep_copy(base) : json_object();
	overlay(doc, changes);
	changed(db, id, base, doc);
}

static inline void delete (enum store_db db, const char *id)
{
	_cleanup_json_ json_t *base = stored(db, id);

	changed(db, id, base, NULL);
}

/* What the database has at "a.b.c", as JSON; "" for nothing. */
static inline const char *there(enum store_db db, const char *id, const char *path)
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

static inline struct structure *get(const char *name)
{
	struct structure *s;

	model_lock(model);
	s = model_structure(model, name);
	model_unlock(model);
	return s;
}

static inline void check_in_force(const char *name)
{
	const struct structure *s = get(name);

	CHECK(s);
	for (int i = 0; i < EBB_RESOURCE_MAX; i++)
		if (s->resources[i].present && s->resources[i].allocated > 0)
			CHECK_INT(s->physical[i], s->resources[i].current);
	sound();
}

#endif
