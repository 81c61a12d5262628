/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Catching up before leading: what the feeds should have brought, but may not have, because they
 * are half-open or behind, is asked for once. The feeds themselves go on from where they are: what
 * comes twice is known by its revision.
 */
#include "store_couchdb_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "couchdb_feed.h"
#include "ebb/cleanup.h"
#include "ebb/http_client.h"
#include "ebb/log.h"
#include "ebb/loop.h"
#include "ebb/units.h"

struct catching_up {
	struct couchdb_store *store;
	struct couchdb *couch;
	uint64_t deadline_ns;
};

static bool is_late(void *userdata)
{
	struct catching_up *now = userdata;

	return now->store->stopping || now_ns() >= now->deadline_ns;
}

/* One of the `results` of a reply. */
static int take_change(struct catching_up *now, enum store_db db, const json_t *result,
		       unsigned generation)
{
	struct couchdb_store *store = now->store;
	struct couchdb_database *database = couchdb_database(store, db);
	_cleanup_free_ char *text = json_dumps(result, JSON_COMPACT);
	struct couchdb_change change;
	COUCHDB_TOLD_LIST(told);
	int r = text ? couchdb_change_parse(text, strlen(text), &change) : -ENOMEM;

	if (r < 0)
		return r;
	pthread_mutex_lock(&store->lock);
	if (database->lost || database->generation != generation) {
		couchdb_change_clear(&change);
		r = -ESTALE;
	} else {
		r = couchdb_documents_take(database->documents, &change, &told);
	}
	couchdb_queue(store, db, &told);
	pthread_mutex_unlock(&store->lock);
	couchdb_tell(store, db);
	couchdb_wait_told(store, db);
	return r;
}

static int read_changes(struct catching_up *now, const char *path, enum store_db db,
			unsigned generation)
{
	uint64_t at = now_ns();
	struct couchdb_reply reply = {0};
	const json_t *results, *result;
	size_t i;
	int r;

	if (at + EBB_NS_PER_MS > now->deadline_ns)
		return -ETIME;
	r = couchdb_call(now->couch, "GET", path, NULL,
			 (unsigned)((now->deadline_ns - at) / EBB_NS_PER_MS), &reply);
	results = json_object_get(reply.json, "results");
	if (r == 0 && !json_is_array(results))
		r = couchdb_fail(now->couch, -EPROTO, "reading what has changed", &reply);
	json_array_foreach(results, i, result) {
		if (r == 0)
			r = take_change(now, db, result, generation);
	}
	couchdb_reply_clear(&reply);
	return r;
}

static int catch_up_with(struct catching_up *now, enum store_db db)
{
	struct couchdb_store *store = now->store;
	struct couchdb_database *database = couchdb_database(store, db);
	_cleanup_free_ char *since = NULL, *rest = NULL, *path = NULL;
	unsigned generation;
	bool known;

	pthread_mutex_lock(&store->lock);
	known = database->loaded && !database->lost && database->since;
	since = known ? http_escape(database->since) : NULL;
	generation = database->generation;
	pthread_mutex_unlock(&store->lock);
	/* It will be read as a whole. */
	if (!known)
		return -ESTALE;
	if (!since || asprintf(&rest, "/_changes?include_docs=true&since=%s", since) < 0)
		return -ENOMEM;
	path = couchdb_db_path(now->couch, db, rest);
	return path ? read_changes(now, path, db, generation) : -ENOMEM;
}

static const char *explain(const struct catching_up *now, int r)
{
	switch (r) {
	case -ETIME: return "no time is left";
	case -ESTALE: return "the database has not been read yet, or was made anew";
	case -ENOMEM: return "out of memory";
	case -EBADMSG: return "a line of the answer is no change";
	default: return couchdb_error(now->couch);
	}
}

int couchdb_store_catch_up(void *backend, unsigned timeout_ms)
{
	static const enum store_db dbs[] = {DB_SERVICES, DB_RULES, DB_LIMITS, DB_STRUCTURES};
	struct catching_up now = {
		.store = backend,
		.deadline_ns = now_ns() + timeout_ms * EBB_NS_PER_MS,
	};
	int r = couchdb_copy(now.store->writer, &now.couch), ret = r;
	bool ends;

	if (r == 0)
		couchdb_set_stopped(now.couch, is_late, &now);
	for (size_t i = 0; i < ARRAY_SIZE(dbs) && now.couch; i++) {
		r = catch_up_with(&now, dbs[i]);
		if (r == 0)
			continue;
		ret = r;
		/* Nor will the others answer. */
		ends = r == -EAGAIN || r == -ETIME;
		log_warning("State: what others changed last in %s could not be read before "
			    "leading: %s; it counts when the feeds bring it",
			    ends ? "the databases" : store_db_name(dbs[i]), explain(&now, r));
		if (ends)
			break;
	}
	couchdb_free(now.couch);
	return ret;
}
