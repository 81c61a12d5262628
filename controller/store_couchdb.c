/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State in CouchDB: seven databases that others read and write too. A table of what each holds is
 * kept by key; see couchdb_documents.h for what it decides and the files beside this one for how it
 * is loaded, written and followed.
 */
#include "store_couchdb_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/loop.h"
#include "ebb/units.h"

#define COMPACT_TIMEOUT_MS 2000
#define TRY_MS             500
#define REPEAT_NS          (60 * EBB_NS_PER_SEC)

bool couchdb_take_turn(struct couchdb_store *store, enum store_db db)
{
	bool free_now;

	pthread_mutex_lock(&store->lock);
	free_now = !store->dbs[db].taken;
	store->dbs[db].taken = true;
	pthread_mutex_unlock(&store->lock);
	return free_now;
}

void couchdb_give_turn(struct couchdb_store *store, enum store_db db)
{
	pthread_mutex_lock(&store->lock);
	store->dbs[db].taken = false;
	pthread_mutex_unlock(&store->lock);
}

void couchdb_lose_database(struct couchdb_store *store, enum store_db db)
{
	struct couchdb_database *database = couchdb_database(store, db);

	pthread_mutex_lock(&store->lock);
	if (database->loaded && !database->lost) {
		database->lost = true;
		database->lost_ns = now_ns();
	}
	pthread_mutex_unlock(&store->lock);
}

void couchdb_queue(struct couchdb_store *store, enum store_db db, struct couchdb_told_list *told)
{
	struct couchdb_told_list *queue = &couchdb_database(store, db)->told;

	if (!told->first)
		return;
	*queue->last = told->first;
	queue->last = told->last;
	told->first = NULL;
	told->last = &told->first;
}

static struct couchdb_told *next_told(struct couchdb_told_list *queue)
{
	struct couchdb_told *item = queue->first;

	if (!item)
		return NULL;
	queue->first = item->next;
	if (!queue->first)
		queue->last = &queue->first;
	return item;
}

static bool comes_again(const struct couchdb_told_list *queue, const char *key)
{
	for (const struct couchdb_told *item = queue->first; item; item = item->next)
		if (strcmp(item->key, key) == 0)
			return true;
	return false;
}

/* With the lock held, which it leaves for the call. */
static void tell_one(struct couchdb_store *store, enum store_db db, struct couchdb_told *item)
{
	struct couchdb_database *database = couchdb_database(store, db);
	struct couchdb_document *document =
		couchdb_documents_by_key(database->documents, item->key);
	store_changed_fn fn = store->fn;

	/* What is made of it may be handed to the writer before `fn` returns. */
	if (document && fn && document->told_ns == UINT64_MAX &&
	    !comes_again(&database->told, item->key))
		document->told_ns = now_ns();
	if (document && !fn)
		document->untold = true;
	if (fn) {
		pthread_mutex_unlock(&store->lock);
		fn(store->userdata, db, item->key, item->base, item->doc);
		pthread_mutex_lock(&store->lock);
	}
	couchdb_told_free(item);
}

void couchdb_tell(struct couchdb_store *store, enum store_db db)
{
	struct couchdb_database *database = couchdb_database(store, db);
	struct couchdb_told *item;

	pthread_mutex_lock(&store->lock);
	/* One thread at a time, or a change could overtake another: it takes what comes along. */
	if (!database->telling) {
		database->telling = true;
		while ((item = next_told(&database->told)))
			tell_one(store, db, item);
		database->telling = false;
		pthread_cond_broadcast(&store->all_told);
	}
	pthread_mutex_unlock(&store->lock);
}

void couchdb_wait_told(struct couchdb_store *store, enum store_db db)
{
	struct couchdb_database *database = couchdb_database(store, db);

	pthread_mutex_lock(&store->lock);
	while (database->telling)
		pthread_cond_wait(&store->all_told, &store->lock);
	pthread_mutex_unlock(&store->lock);
}

/* --- Loading -----------------------------------------------------------------------------------
 */

struct loading {
	int (*fn)(void *userdata, const char *id, json_t *doc);
	void *userdata;
};

static int load_told(void *userdata, struct couchdb_told_list *told)
{
	struct loading *loading = userdata;
	int r = 0;

	for (struct couchdb_told *item = told->first, *next; item; item = next) {
		next = item->next;
		if (r >= 0 && item->doc)
			r = loading->fn(loading->userdata, item->key, item->doc);
		couchdb_told_free(item);
	}
	told->first = NULL;
	told->last = &told->first;
	return MIN(r, 0);
}

/* While nothing runs yet nobody shall wait for a server that swallows what it is sent. */
static bool gives_up(void *userdata)
{
	struct couchdb_store *store = userdata;

	if (!store->given_up && store->give_up)
		store->given_up = store->give_up(store->give_up_userdata);
	return store->given_up;
}

static bool wait_a_moment(struct couchdb_store *store)
{
	const struct timespec moment = {.tv_nsec = TRY_MS * (long)EBB_NS_PER_MS};

	if (gives_up(store))
		return false;
	nanosleep(&moment, NULL);
	return true;
}

/* At once, then every minute. */
static void say_waiting(struct couchdb_store *store, const char *why)
{
	uint64_t now = now_ns();

	if (store->said_ns && now - store->said_ns < REPEAT_NS)
		return;
	store->said_ns = now;
	log_warning("Waiting for the state: %s", why);
}

static bool retry_page(struct couchdb_store *store, struct couchdb *couch)
{
	if (gives_up(store))
		return false;
	say_waiting(store, couchdb_error(couch));
	return wait_a_moment(store);
}

static int couchdb_store_load(void *backend, enum store_db db,
			      int (*fn)(void *userdata, const char *id, json_t *doc),
			      void *userdata)
{
	struct couchdb_store *store = backend;
	struct couchdb_database *database = couchdb_database(store, db);
	struct loading loading = {fn, userdata};
	int r;

	/* It did not answer, and may be gone on without. */
	if (!database->marker)
		return 0;
	couchdb_set_stopped(store->writer, gives_up, store);
	r = couchdb_read_database(store, store->writer, db, retry_page, load_told, &loading);
	couchdb_set_stopped(store->writer, NULL, NULL);
	if (r < 0 && gives_up(store))
		return -ECANCELED;
	if (r < 0) {
		if (*couchdb_error(store->writer))
			log_error("Cannot read the state: %s", couchdb_error(store->writer));
		return r;
	}
	pthread_mutex_lock(&store->lock);
	couchdb_documents_settle(database->documents);
	database->loaded = true;
	/* It was deleted while it was read: what was in the first pages is written again. */
	if (couchdb_documents_absent(database->documents)) {
		database->lost = true;
		database->lost_ns = now_ns();
	}
	pthread_mutex_unlock(&store->lock);
	return 0;
}

/* --- Following ---------------------------------------------------------------------------------
 */

static int couchdb_store_follow(void *backend, store_changed_fn fn, void *userdata)
{
	struct couchdb_store *store = backend;

	pthread_mutex_lock(&store->lock);
	store->fn = fn;
	store->userdata = userdata;
	pthread_mutex_unlock(&store->lock);
	return couchdb_follow_start(store);
}

static bool couchdb_store_is_read(void *backend)
{
	struct couchdb_store *store = backend;
	bool all = true;

	pthread_mutex_lock(&store->lock);
	for (enum store_db db = 0; db < DB_MAX; db++) {
		struct couchdb_database *database = couchdb_database(store, db);

		if (database->loaded && !database->telling && !database->told.first)
			database->read = true;
		all = all && database->read;
	}
	pthread_mutex_unlock(&store->lock);
	return all;
}

/* --- The rest ----------------------------------------------------------------------------------
 */

static const char *couchdb_store_error(void *backend)
{
	struct couchdb_store *store = backend;

	return store->error;
}

static void couchdb_store_add_stats(void *backend, struct store_stats *stats)
{
	struct couchdb_store *store = backend;

	pthread_mutex_lock(&store->lock);
	stats->unchanged += store->unchanged;
	stats->conflicts += store->conflicts;
	stats->unconfirmed += store->unconfirmed;
	stats->following = !store->blind;
	/* Known also when there is nothing to write. */
	if (store->unseen[0]) {
		stats->reachable = false;
		snprintf(stats->last_error, sizeof(stats->last_error), "%s", store->unseen);
	}
	pthread_mutex_unlock(&store->lock);
}

static void couchdb_store_close(void *backend)
{
	struct couchdb_store *store = backend;

	store->stopping = true;
	couchdb_follow_stop(store);
	couchdb_free(store->writer);
	couchdb_free(store->follower);
	for (enum store_db db = 0; db < DB_MAX; db++) {
		for (struct couchdb_told *item; (item = next_told(&store->dbs[db].told));)
			couchdb_told_free(item);
		couchdb_documents_free(store->dbs[db].documents);
		free(store->dbs[db].marker);
		free(store->dbs[db].since);
	}
	pthread_cond_destroy(&store->all_told);
	pthread_mutex_destroy(&store->lock);
	free(store);
}

/* It answers at once, and works on in the background. */
static int couchdb_store_compact(void *backend, unsigned databases)
{
	struct couchdb_store *store = backend;

	for (enum store_db db = 0; db < DB_MAX; db++) {
		_cleanup_free_ char *path = NULL;
		struct couchdb_reply reply = {};
		int r;

		if (!(databases & 1u << db))
			continue;
		path = couchdb_db_path(store->writer, db, "/_compact");
		if (!path)
			return -ENOMEM;
		r = couchdb_call(store->writer, "POST", path, "{}", COMPACT_TIMEOUT_MS, &reply);
		/* A database that is gone is found out, and made again, by who writes to it. */
		if (r >= 0 && reply.status != 200 && reply.status != 202 && reply.status != 404)
			r = couchdb_fail(store->writer, -EIO, "the request to compact", &reply);
		couchdb_reply_clear(&reply);
		if (r < 0) {
			snprintf(store->error, sizeof(store->error), "%s",
				 couchdb_error(store->writer));
			return r;
		}
	}
	return 0;
}

static const struct store_backend_ops couchdb_ops = {
	.compact = couchdb_store_compact,
	.load = couchdb_store_load,
	.write = couchdb_store_write,
	.follow = couchdb_store_follow,
	.catch_up = couchdb_store_catch_up,
	.is_read = couchdb_store_is_read,
	.error = couchdb_store_error,
	.add_stats = couchdb_store_add_stats,
	.close = couchdb_store_close,
};

static bool is_stopping(void *userdata)
{
	struct couchdb_store *store = userdata;

	return store->stopping;
}

static int prepare_all(struct couchdb_store *store)
{
	int r = 0;

	for (enum store_db db = 0; db < DB_MAX && r == 0; db++)
		if (!couchdb_database(store, db)->marker)
			r = couchdb_prepare_database(store, store->writer, db);
	return r;
}

static int wait_for_server(struct couchdb_store *store)
{
	for (;;) {
		int r = prepare_all(store);

		if (r == 0) {
			if (store->said_ns)
				log_info("CouchDB at %s answers", couchdb_server(store->writer));
			return 0;
		}
		if (r != -EAGAIN && r != -ENOSPC) {
			log_error("Cannot use the state: %s",
				  r == -ENOMEM ? "out of memory" : couchdb_error(store->writer));
			return r;
		}
		if (gives_up(store))
			return -ECANCELED;
		if (store->optional) {
			log_warning("Going on without the state: %s; what is in it counts when it "
				    "is there",
				    couchdb_error(store->writer));
			return 0;
		}
		say_waiting(store, couchdb_error(store->writer));
		if (!wait_a_moment(store))
			return -ECANCELED;
	}
}

int store_couchdb_open(const char *uri, const struct store_options *options,
		       const struct store_backend_ops **ret_ops, void **ret_backend)
{
	struct couchdb_store *store = calloc(1, sizeof(*store));
	int r = 0;

	if (!store)
		return -ENOMEM;
	pthread_mutex_init(&store->lock, NULL);
	pthread_cond_init(&store->all_told, NULL);
	for (enum store_db db = 0; db < DB_MAX; db++)
		store->dbs[db].told.last = &store->dbs[db].told.first;
	if (options) {
		store->optional = options->optional;
		store->give_up = options->give_up;
		store->give_up_userdata = options->userdata;
	}
	for (enum store_db db = 0; db < DB_MAX && r == 0; db++)
		r = couchdb_documents_new(db, &store->dbs[db].documents);
	if (r == 0)
		r = couchdb_new(uri, options, &store->writer);
	if (r == 0)
		r = couchdb_copy(store->writer, &store->follower);
	if (r == 0) {
		couchdb_set_stopped(store->follower, is_stopping, store);
		couchdb_set_stopped(store->writer, gives_up, store);
		r = wait_for_server(store);
		couchdb_set_stopped(store->writer, NULL, NULL);
	}
	if (r < 0) {
		couchdb_store_close(store);
		return r;
	}
	*ret_ops = &couchdb_ops;
	*ret_backend = store;
	return 0;
}
