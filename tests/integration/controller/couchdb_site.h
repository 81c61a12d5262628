/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For the tests of the store over CouchDB: a server, another client that writes to the same
 * databases, and a store whose changes are noted.
 */
#ifndef EBB_TEST_COUCHDB_SITE_H
#define EBB_TEST_COUCHDB_SITE_H

#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "peers/peers.h"
#include "store.h"
#include "test.h"
#include "ebb/cleanup.h"
#include "ebb/loop.h"

/* Far above what anything takes: only a failure gets there. */
#define PATIENCE_S 60

static struct peer peer;
static struct store *store;

/* --- The other client --------------------------------------------------------------------------
 */

__attribute__((unused)) static json_t *other(const char *method, const char *db, const char *rest,
					     const char *body, long *ret_status)
{
	char path[512];
	struct http_result result;
	json_t *json;

	peer_text(path, sizeof(path), "/%s%s%s", peer.prefix, db, rest);
	char credentials[256];
	const char *host = strstr(peer.url, "//") + 2, *at = strrchr(peer.url, '@');

	peer_text(credentials, sizeof(credentials), "%.*s", at ? (int)(at - host) : 0, host);
	peer_call(peer.address, at ? credentials : NULL, method, path, body, &result);
	json = json_loads(result.body, 0, NULL);
	if (ret_status)
		*ret_status = result.status;
	http_result_clear(&result);
	return json;
}

/* What stands there under `id`; NULL: nothing. */
__attribute__((unused)) static json_t *read_back(const char *db, const char *id)
{
	char rest[256];
	long status;
	json_t *json;

	peer_text(rest, sizeof(rest), "/%s", id);
	json = other("GET", db, rest, NULL, &status);
	if (status == 200)
		return json;
	CHECK_INT(status, 404);
	json_decref(json);
	return NULL;
}

/* As a person with curl does: reads it, changes it, writes it. */
__attribute__((unused)) static void edit(const char *db, const char *id, const char *resource,
					 const char *field, int value)
{
	_cleanup_json_ json_t *doc = read_back(db, id), *reply = NULL;
	_cleanup_free_ char *text = NULL;
	char rest[256];
	long status;
	json_t *at;

	CHECK(doc);
	at = resource ? json_object_get(json_object_get(doc, "resources"), resource) : doc;
	json_object_set_new(at, field, json_integer(value));
	text = json_dumps(doc, 0);
	peer_text(rest, sizeof(rest), "/%s", id);
	reply = other("PUT", db, rest, text, &status);
	CHECK(status == 201 || status == 202);
}

__attribute__((unused)) static void create(const char *db, const char *id, const char *text)
{
	_cleanup_json_ json_t *reply = NULL;
	char rest[256];
	long status;

	peer_text(rest, sizeof(rest), "/%s", id);
	reply = other("PUT", db, rest, text, &status);
	CHECK(status == 201 || status == 202);
}

__attribute__((unused)) static void remove_document(const char *db, const char *id)
{
	_cleanup_json_ json_t *doc = read_back(db, id), *reply = NULL;
	char rest[512];
	long status;

	CHECK(doc);
	peer_text(rest, sizeof(rest), "/%s?rev=%s", id,
		  json_string_value(json_object_get(doc, "_rev")));
	reply = other("DELETE", db, rest, NULL, &status);
	CHECK(status == 200 || status == 202);
}

__attribute__((unused)) static json_int_t number_at(const json_t *doc, const char *resource,
						    const char *field)
{
	const json_t *at =
		resource ? json_object_get(json_object_get(doc, "resources"), resource) : doc;

	return json_integer_value(json_object_get(at, field));
}

/* --- What the store tells ----------------------------------------------------------------------
 */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	json_t *docs; /* "structures/c0" -> the document last told, null: deleted */
	json_t *bases;
	unsigned n;
} told = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL, NULL, 0};

__attribute__((unused)) static void on_change(void *userdata, enum store_db db, const char *id,
					      const json_t *base, json_t *doc)
{
	char key[256];

	snprintf(key, sizeof(key), "%s/%s", store_db_name(db), id);
	pthread_mutex_lock(&told.lock);
	json_object_set_new(told.docs, key, doc ? json_deep_copy(doc) : json_null());
	json_object_set_new(told.bases, key, base ? json_deep_copy(base) : json_null());
	told.n++;
	pthread_cond_broadcast(&told.changed);
	pthread_mutex_unlock(&told.lock);
}

__attribute__((unused)) static unsigned told_count(void)
{
	unsigned n;

	pthread_mutex_lock(&told.lock);
	n = told.n;
	pthread_mutex_unlock(&told.lock);
	return n;
}

/* A copy of what was told of `key` once `want` says yes to it. */
__attribute__((unused)) static json_t *
wait_told(const char *key, bool (*want)(const json_t *doc, long long arg), long long arg)
{
	struct timespec until;
	json_t *doc, *copy = NULL;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_S;
	pthread_mutex_lock(&told.lock);
	for (;;) {
		doc = json_object_get(told.docs, key);
		if (doc && want(doc, arg)) {
			copy = json_deep_copy(doc);
			break;
		}
		if (r)
			break;
		r = pthread_cond_timedwait(&told.changed, &told.lock, &until);
	}
	pthread_mutex_unlock(&told.lock);
	if (!copy)
		TEST_FAIL("%s was not told", key);
	return copy;
}

__attribute__((unused)) static bool is_there(const json_t *doc, long long arg)
{
	return json_is_object(doc);
}

__attribute__((unused)) static bool is_gone(const json_t *doc, long long arg)
{
	return json_is_null(doc);
}

__attribute__((unused)) static bool cpu_max_is(const json_t *doc, long long arg)
{
	return number_at(doc, "cpu", "max") == arg;
}

/* --- The store ---------------------------------------------------------------------------------
 */

static json_t *loaded[DB_MAX];

__attribute__((unused)) static int note_loaded(void *userdata, const char *id, json_t *doc)
{
	CHECK(!json_object_get(userdata, id));
	json_object_set(userdata, id, doc);
	return 0;
}

__attribute__((unused)) static void load_all(void)
{
	for (enum store_db db = 0; db < DB_MAX; db++) {
		json_decref(loaded[db]);
		loaded[db] = json_object();
		CHECK_INT(store_load(store, db, note_loaded, loaded[db]), 0);
	}
}

__attribute__((unused)) static void end_store(void *userdata)
{
	store_close(store);
	store = NULL;
	for (enum store_db db = 0; db < DB_MAX; db++) {
		json_decref(loaded[db]);
		loaded[db] = NULL;
	}
	json_decref(told.docs);
	json_decref(told.bases);
	told.docs = told.bases = NULL;
	told.n = 0;
}

__attribute__((unused)) static void open_store(void)
{
	CHECK_INT(store_open(peer.state, NULL, &store), 0);
	load_all();
}

__attribute__((unused)) static void follow_store(void)
{
	told.docs = json_object();
	told.bases = json_object();
	CHECK_INT(store_start(store), 0);
	CHECK_INT(store_follow(store, on_change, NULL), 0);
}

__attribute__((unused)) static void begin(void)
{
	peer_start(&peer, "couchdb", NULL);
	test_at_end(end_store, NULL);
}

__attribute__((unused)) static void begin_open(void)
{
	begin();
	open_store();
	follow_store();
}

__attribute__((unused)) static void put(enum store_db db, const char *id, const char *text)
{
	_cleanup_json_ json_t *doc = json_loads(text, 0, NULL);

	CHECK(doc);
	CHECK_INT(store_put(store, db, id, doc), 0);
}

/* Until everything is there, however often that fails. */
__attribute__((unused)) static void flush(void)
{
	uint64_t begun = now_ns();

	while (store_flush(store) < 0) {
		nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
		if (now_ns() - begun > PATIENCE_S * 1000000000ULL)
			TEST_FAIL("not written");
	}
}

#define CONTAINER(name, max, current)                                             \
	"{\"type\":\"structure\",\"subtype\":\"container\",\"name\":\"" name      \
	"\",\"host\":\"h0\",\"resources\":{\"cpu\":{\"max\":" #max ",\"min\":20," \
	"\"current\":" #current "}}}"

__attribute__((unused)) static void drop(const char *db, bool make_anew)
{
	_cleanup_json_ json_t *reply = NULL, *made = NULL;
	long status;

	reply = other("DELETE", db, "", NULL, &status);
	CHECK(status == 200 || status == 202);
	if (!make_anew)
		return;
	made = other("PUT", db, "", NULL, &status);
	CHECK(status == 201 || status == 202);
}

/* Until the document is there again. */
__attribute__((unused)) static json_t *wait_back(const char *db, const char *id)
{
	uint64_t begun = now_ns();
	const struct timespec moment = {.tv_nsec = 50000000};

	for (;;) {
		json_t *doc = read_back(db, id);

		if (doc)
			return doc;
		if (now_ns() - begun > PATIENCE_S * 1000000000ULL)
			TEST_FAIL("%s did not come back", id);
		nanosleep(&moment, NULL);
	}
}

#endif
