/* SPDX-License-Identifier: Apache-2.0 */
#include "store_couchdb_private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "couchdb_page.h"
#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/units.h"
#include "ebb/util.h"

/* A look at the server, as against work for it. */
#define LOOK_MS 3000
/* A page of 500 documents from a server that has other things to do. */
#define PAGE_MS    30000
#define BACK_TRIES 4
#define BACK_MS    150

/* What is looked for: documents by name, and what ServerlessContainers asks. */
static const struct {
	enum store_db db; /* DB_MAX: each */
	const char *name, *fields;
} indexes[] = {
	{DB_MAX, "ebb-name", "[\"name\"]"},
	{DB_STRUCTURES, "ebb-subtype", "[\"subtype\"]"},
	{DB_STRUCTURES, "ebb-subtype-host", "[\"subtype\",\"host\"]"},
	{DB_EVENTS, "ebb-structure", "[\"structure\"]"},
	{DB_REQUESTS, "ebb-structure", "[\"structure\"]"},
};

/* couchdb_call() to a path of the database. */
static int call(struct couchdb *couch, enum store_db db, const char *method, const char *rest,
		const char *body, unsigned timeout_ms, struct couchdb_reply *ret_reply)
{
	_cleanup_free_ char *path = couchdb_db_path(couch, db, rest);

	*ret_reply = (struct couchdb_reply){0};
	if (!path)
		return -ENOMEM;
	return couchdb_call(couch, method, path, body, timeout_ms, ret_reply);
}

/* 1: the server does not let us, or cannot. */
static int make_index(struct couchdb *couch, enum store_db db, const char *name, const char *fields)
{
	_cleanup_free_ char *body = NULL;
	struct couchdb_reply reply;
	int r;

	if (asprintf(
		    &body,
		    "{\"index\":{\"fields\":%s},\"ddoc\":\"%s\",\"name\":\"%s\",\"type\":\"json\"}",
		    fields, name, name) < 0) {
		body = NULL;
		return -ENOMEM;
	}
	r = call(couch, db, "POST", "/_index", body, 0, &reply);
	if (r == 0 && reply.status / 100 != 2)
		r = couchdb_fail(couch, -EACCES, "making an index", &reply);
	couchdb_reply_clear(&reply);
	return r == -EACCES ? 1 : r;
}

/* Without them all works, but what others ask is slow. */
static int make_indexes(struct couchdb_store *store, struct couchdb *couch, enum store_db db)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(indexes) && r == 0; i++)
		if (indexes[i].db == DB_MAX || indexes[i].db == db)
			r = make_index(couch, db, indexes[i].name, indexes[i].fields);
	if (r == 1 && !atomic_exchange(&store->index_said, true))
		log_warning("State: the databases get no indexes, and queries by others will be "
			    "slow: %s",
			    couchdb_error(couch));
	return MIN(r, 0);
}

/* Another controller may make it at the same time. */
static int ensure_database(struct couchdb *couch, enum store_db db, char **ret_seq)
{
	struct couchdb_reply reply;
	int r;

	r = call(couch, db, "GET", "", NULL, 0, &reply);
	if (r == 0 && reply.status == 404) {
		couchdb_reply_clear(&reply);
		r = call(couch, db, "PUT", "", NULL, 0, &reply);
		if (r == 0 && reply.status / 100 != 2 && reply.status != 412)
			r = couchdb_fail(couch, -EPROTO, "making a database", &reply);
		couchdb_reply_clear(&reply);
		if (r == 0)
			r = call(couch, db, "GET", "", NULL, 0, &reply);
	}
	/* A 404: deleted again at once, somebody is at it. */
	if (r == 0 && reply.status == 404)
		r = couchdb_fail(couch, -EAGAIN, "a look at a database", &reply);
	if (r == 0 && !json_object_get(reply.json, "db_name"))
		r = couchdb_fail(couch, -EPROTO, "a look at a database", &reply);
	if (r == 0) {
		*ret_seq = couchdb_seq_text(json_object_get(reply.json, "update_seq"));
		if (!*ret_seq)
			*ret_seq = strdup("0");
	}
	couchdb_reply_clear(&reply);
	return r;
}

/* The marker's id; *ret_id NULL: there is none, or no database. */
static int read_marker(struct couchdb *couch, enum store_db db, char **ret_id)
{
	struct couchdb_reply reply;
	int r = call(couch, db, "GET", "/_local/ebb", NULL, LOOK_MS, &reply);
	const char *id = json_string_value(json_object_get(reply.json, "incarnation"));

	if (r == 0) {
		*ret_id = id ? strdup(id) : NULL;
		if (id && !*ret_id)
			r = -ENOMEM;
	}
	couchdb_reply_clear(&reply);
	return r;
}

static int ensure_marker(struct couchdb *couch, enum store_db db, char **ret_id)
{
	struct couchdb_reply reply;
	char body[64];
	char *id = NULL;
	int r;

	r = read_marker(couch, db, &id);
	if (r == 0 && !id) {
		snprintf(body, sizeof(body), "{\"incarnation\":\"%016" PRIx64 "%016" PRIx64 "\"}",
			 random_u64(), random_u64());
		r = call(couch, db, "PUT", "/_local/ebb", body, 0, &reply);
		/* A 409 is the other controller's doing. */
		if (r == 0 && reply.status / 100 != 2 && reply.status != 409)
			r = couchdb_fail(couch, -EAGAIN, "writing a marker", &reply);
		couchdb_reply_clear(&reply);
		if (r == 0)
			r = read_marker(couch, db, &id);
		if (r == 0 && !id)
			r = -EAGAIN;
	}
	if (r == 0)
		*ret_id = id;
	return r;
}

int couchdb_prepare_database(struct couchdb_store *store, struct couchdb *couch, enum store_db db)
{
	struct couchdb_database *database = couchdb_database(store, db);
	char *since = NULL, *marker = NULL;
	int r;

	/* The sequence before anything is read: nothing falls between. */
	r = ensure_database(couch, db, &since);
	if (r == 0)
		r = make_indexes(store, couch, db);
	if (r == 0)
		r = ensure_marker(couch, db, &marker);
	if (r < 0) {
		free(since);
		return r;
	}
	pthread_mutex_lock(&store->lock);
	free(database->since);
	free(database->marker);
	database->since = since;
	database->marker = marker;
	database->generation++;
	pthread_mutex_unlock(&store->lock);
	return 0;
}

/* The highest number that a revision at an end of the document's tree has; 0: no such document. */
static int highest_leaf(struct couchdb *couch, enum store_db db, const char *id,
			unsigned long *ret_number)
{
	_cleanup_free_ char *escaped = http_escape(id), *rest = NULL;
	struct couchdb_reply reply;
	const json_t *leaf;
	size_t i;
	int r;

	if (!escaped || asprintf(&rest, "/%s?open_revs=all", escaped) < 0) {
		rest = NULL;
		return -ENOMEM;
	}
	r = call(couch, db, "GET", rest, NULL, LOOK_MS, &reply);
	*ret_number = 0;
	json_array_foreach(reply.json, i, leaf) {
		const json_t *rev = json_object_get(json_object_get(leaf, "ok"), "_rev");

		*ret_number = MAX(*ret_number, couchdb_rev_number(json_string_value(rev)));
	}
	couchdb_reply_clear(&reply);
	return r;
}

/*
 * 1: the database does not know a revision that it had. Sequences cannot tell: they are opaque, and
 * their numbers go down when another node of a cluster answers. One that was cut off the tree as
 * too old has younger ones; one that lost to another leaf, which was deleted, is still known.
 */
static int lacks_revision(struct couchdb *couch, enum store_db db, const char *id, const char *rev)
{
	_cleanup_json_ json_t *asked = json_pack("{s:[s]}", id, rev);
	_cleanup_free_ char *body = asked ? json_dumps(asked, JSON_COMPACT) : NULL;
	struct couchdb_reply reply;
	unsigned long highest;
	bool lacks;
	int r;

	if (!body)
		return -ENOMEM;
	r = call(couch, db, "POST", "/_revs_diff", body, LOOK_MS, &reply);
	lacks = reply.status == 404 ||
		json_array_size(json_object_get(json_object_get(reply.json, id), "missing")) > 0;
	couchdb_reply_clear(&reply);
	if (r < 0 || !lacks)
		return MIN(r, 0);
	r = highest_leaf(couch, db, id, &highest);
	return r < 0 ? r : highest < couchdb_rev_number(rev);
}

int couchdb_check_database(struct couchdb_store *store, struct couchdb *couch, enum store_db db,
			   bool back)
{
	const struct timespec moment = {.tv_nsec = BACK_MS * EBB_NS_PER_MS};
	struct couchdb_database *database = couchdb_database(store, db);
	_cleanup_free_ char *marker = NULL, *id = NULL, *rev = NULL;
	const char *newest_id, *newest_rev;
	bool same;
	int r;

	r = read_marker(couch, db, &marker);
	if (r < 0)
		return r;
	pthread_mutex_lock(&store->lock);
	same = marker && database->marker && strcmp(marker, database->marker) == 0;
	newest_id = couchdb_documents_newest(database->documents, &newest_rev);
	if (newest_id) {
		id = strdup(newest_id);
		rev = strdup(newest_rev);
	}
	pthread_mutex_unlock(&store->lock);
	if (!same)
		return 1;
	if (!back || !id || !rev)
		return 0;
	/* Of a cluster nodes that lag may answer: they catch up. */
	r = 1;
	for (int tries = 0; tries < BACK_TRIES && r == 1; tries++) {
		if (tries > 0)
			nanosleep(&moment, NULL);
		r = lacks_revision(couch, db, id, rev);
	}
	return r;
}

/* --- Reading all of it -------------------------------------------------------------------------
 */

struct reading {
	struct couchdb_store *store;
	enum store_db db;
	bool tells; /* whoever follows; else `told` is for the caller */
	struct couchdb_told_list told;
};

static int take_row(void *userdata, struct couchdb_change *change)
{
	struct reading *reading = userdata;
	int r;

	pthread_mutex_lock(&reading->store->lock);
	r = couchdb_documents_take(couchdb_database(reading->store, reading->db)->documents, change,
				   &reading->told);
	if (reading->tells)
		couchdb_queue(reading->store, reading->db, &reading->told);
	pthread_mutex_unlock(&reading->store->lock);
	return r;
}

/* A new one has taken its place, or will: what was read of the old one has to be found again. */
static int begin_anew(struct reading *reading, struct couchdb *couch, char **start)
{
	struct couchdb_database *database = couchdb_database(reading->store, reading->db);
	int r = couchdb_prepare_database(reading->store, couch, reading->db);

	if (r < 0)
		return r;
	free(*start);
	*start = NULL;
	pthread_mutex_lock(&reading->store->lock);
	couchdb_documents_lose(database->documents);
	pthread_mutex_unlock(&reading->store->lock);
	return 0;
}

/* *start: moved on to the next page. 1: that was the last one. */
static int read_page(struct reading *reading, struct couchdb *couch, char **start)
{
	_cleanup_free_ char *path = couchdb_page_path(COUCHDB_PAGE, *start);
	struct couchdb_reply reply;
	char *next = NULL;
	bool gone;
	int r;

	if (!path)
		return -ENOMEM;
	r = call(couch, reading->db, "GET", path, NULL, PAGE_MS, &reply);
	gone = r == 0 && reply.status == 404;
	if (r == 0 && !gone) {
		r = couchdb_page_read(reply.json, COUCHDB_PAGE, take_row, reading, &next);
		if (r == -EBADMSG)
			r = couchdb_fail(couch, -EAGAIN, "reading documents", &reply);
	} else if (r == -EBADMSG) {
		r = couchdb_read_page_singly(couch, reading->db, *start, take_row, reading, &next);
	}
	couchdb_reply_clear(&reply);
	/* It may have been made anew between two pages, and nothing in a page tells. */
	if (r == 0 && !gone && !next) {
		r = couchdb_check_database(reading->store, couch, reading->db, false);
		gone = r > 0;
	}
	if (r < 0) {
		free(next);
		return r;
	}
	if (gone) {
		free(next);
		return begin_anew(reading, couch, start);
	}
	free(*start);
	*start = next;
	return next == NULL;
}

int couchdb_read_database(struct couchdb_store *store, struct couchdb *couch, enum store_db db,
			  bool (*retry)(struct couchdb_store *store, struct couchdb *couch),
			  int (*fn)(void *userdata, struct couchdb_told_list *told), void *userdata)
{
	_cleanup_free_ char *start = NULL;
	int r;

	do {
		struct reading reading = {.store = store, .db = db, .tells = !fn};
		int told = 0;

		reading.told.last = &reading.told.first;
		r = read_page(&reading, couch, &start);
		if (r == -EAGAIN && retry && retry(store, couch))
			r = 0;
		if (fn)
			told = fn(userdata, &reading.told);
		else
			couchdb_tell(store, db);
		if (told < 0)
			r = told;
		if (store->stopping && r >= 0)
			r = -ECANCELED;
	} while (r == 0);
	return MIN(r, 0);
}

/* --- Finding it again --------------------------------------------------------------------------
 */

static void writes_free(struct store_write *writes, struct store_write **pointers, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(writes[i].id);
		free(writes[i].body);
	}
	free(writes);
	free(pointers);
}

/* What the database lacks, or has otherwise than we had it. With the lock held. */
static int collect_missing(struct couchdb_store *store, enum store_db db,
			   struct store_write **ret_writes, struct store_write ***ret_pointers,
			   size_t *ret_n)
{
	struct couchdb_documents *documents = couchdb_database(store, db)->documents;
	size_t room = couchdb_documents_count(documents), n = 0;
	struct store_write *writes = calloc(room + 1, sizeof(*writes));
	struct store_write **pointers = calloc(room + 1, sizeof(*pointers));

	if (!writes || !pointers)
		goto fail;
	for (struct couchdb_document *d = couchdb_documents_first(documents); d; d = d->next) {
		const char *body = d->redo ? d->before : d->absent ? d->synced : NULL;

		if (!body)
			continue;
		writes[n] = (struct store_write){
			.db = db,
			.id = strdup(d->key),
			.body = strdup(body),
		};
		pointers[n] = &writes[n];
		n++;
		if (!writes[n - 1].id || !writes[n - 1].body)
			goto fail;
	}
	*ret_writes = writes;
	*ret_pointers = pointers;
	*ret_n = n;
	return 0;
fail:
	writes_free(writes, pointers, n);
	return -ENOMEM;
}

static int write_missing(struct couchdb_store *store, struct couchdb *couch, enum store_db db)
{
	struct store_write *writes = NULL, **pointers = NULL;
	size_t n = 0, left = 0;
	int r;

	pthread_mutex_lock(&store->lock);
	r = collect_missing(store, db, &writes, &pointers, &n);
	pthread_mutex_unlock(&store->lock);
	if (r < 0)
		return r;
	if (n > 0)
		r = couchdb_write_database(store, couch, db, pointers, n);
	for (size_t i = 0; i < n; i++)
		left += writes[i].result == -EAGAIN;
	if (r == 0 && left > 0)
		r = -EAGAIN;
	if (r == 0 && n > 0)
		log_info("State: %zu documents are in %s again", n, store_db_name(db));
	writes_free(writes, pointers, n);
	return r;
}

int couchdb_recover_database(struct couchdb_store *store, struct couchdb *couch, enum store_db db)
{
	struct couchdb_database *database = couchdb_database(store, db);
	_cleanup_free_ char *name = couchdb_db_name(couch, db);
	bool lost;
	int r;

	pthread_mutex_lock(&store->lock);
	lost = database->loaded;
	database->lost = lost;
	pthread_mutex_unlock(&store->lock);
	if (lost)
		log_warning("State: the database %s was deleted, made anew or set back; what it "
			    "lacks is written again",
			    name ?: store_db_name(db));
	r = couchdb_prepare_database(store, couch, db);
	if (r < 0)
		return r;
	pthread_mutex_lock(&store->lock);
	couchdb_documents_lose(database->documents);
	pthread_mutex_unlock(&store->lock);
	r = couchdb_read_database(store, couch, db, NULL, NULL, NULL);
	if (r == 0)
		r = write_missing(store, couch, db);
	if (r < 0)
		return r;
	pthread_mutex_lock(&store->lock);
	database->loaded = true;
	database->lost = false;
	database->generation++;
	pthread_mutex_unlock(&store->lock);
	return 0;
}
