/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing: what differs from what both sides have goes out in `_bulk_docs`; a document that
 * somebody else has written meanwhile is read again, merged and written once more.
 */
#include "store_couchdb_batch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "couchdb_json.h"
#include "document_merge.h"
#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/loop.h"
#include "ebb/units.h"
#include "ebb/util.h"

/* How long after a deletion an old change may still come. */
#define GONE_NS  (60 * EBB_NS_PER_SEC)
#define SWEEP_NS (10 * EBB_NS_PER_SEC)
/* A database that cannot be written, while others can. */
#define TROUBLE_MS     100
#define TROUBLE_MAX_MS 2000

/* --- What has to be written --------------------------------------------------------------------
 */

static char *body_text(const char *given, json_t **ret_doc)
{
	_cleanup_free_ char *kept = NULL;
	_cleanup_json_ json_t *doc = couchdb_json_reload(given);
	char *text;

	if (!json_is_object(doc))
		return NULL;
	if (strstr(given, "\"_")) {
		if (couchdb_document_strip(doc, &kept) < 0)
			return NULL;
		text = json_dumps(doc, JSON_COMPACT);
	} else {
		text = strdup(given);
	}
	if (text)
		*ret_doc = TAKE_PTR(doc);
	return text;
}

static int prepare_deletion(struct couchdb_document *document, struct couchdb_item *item)
{
	if (!document || document->gone || !document->rev) {
		item->write->result = 0;
		return 0;
	}
	document->behind = couchdb_document_was_told_since(document, item->write->made_ns);
	item->rev = strdup(document->rev);
	return item->rev ? 1 : -ENOMEM;
}

static int prepare_body(struct couchdb_store *store, struct couchdb_database *database,
			struct couchdb_document **document, struct couchdb_item *item)
{
	struct couchdb_document *d = *document;
	bool redo = d && d->redo;
	bool behind = d && couchdb_document_was_told_since(d, item->write->made_ns);
	_cleanup_json_ json_t *doc = NULL, *synced = NULL;

	if (d && d->synced && !d->absent && strcmp(d->synced, item->write->body) == 0)
		goto unchanged;
	/* Deleted by somebody: what was made before that does not bring it back. */
	if (d && d->gone && behind)
		goto unchanged;
	item->body = body_text(item->write->body, &doc);
	if (!item->body)
		return -EINVAL;
	if (d && d->synced && !d->absent) {
		synced = couchdb_json_reload(d->synced);
		if (document_same(synced, doc)) {
			free(d->synced);
			d->synced = TAKE_PTR(item->body);
			goto unchanged;
		}
	}
	if (synced && (behind || redo)) {
		_cleanup_json_ json_t *base =
			d->before && !redo ? couchdb_json_reload(d->before) : NULL;
		_cleanup_json_ json_t *merged =
			document_merge(item->write->db, base, doc, synced, NULL, NULL);

		free(item->body);
		item->body = merged ? json_dumps(merged, JSON_COMPACT) : NULL;
		if (!item->body)
			return -ENOMEM;
		if (document_same(merged, synced)) {
			d->redo = false;
			goto unchanged;
		}
		json_decref(doc);
		doc = json_incref(merged);
	}
	/* What is to be written was made from that, or has been merged with it. */
	if (synced) {
		item->base = strdup(d->synced);
		if (!item->base)
			return -ENOMEM;
	}
	if (d && d->rev && !d->gone && !d->absent) {
		item->rev = strdup(d->rev);
		if (!item->rev)
			return -ENOMEM;
	}
	if (!d)
		d = *document = couchdb_documents_add(database->documents, item->write->id);
	if (!d)
		return -ENOMEM;
	d->attempt = couchdb_document_hash(doc);
	return 1;
unchanged:
	free(item->body);
	item->body = NULL;
	store->unchanged++;
	item->write->result = 0;
	return 0;
}

/* 1: it has to go out, and is in flight. With the lock held. */
static int prepare(struct couchdb_store *store, enum store_db db, struct couchdb_item *item)
{
	struct couchdb_database *database = couchdb_database(store, db);
	struct couchdb_document *document =
		couchdb_documents_by_key(database->documents, item->write->id);
	int r;

	if (!*item->write->id)
		return -EINVAL;
	if (item->write->body)
		r = prepare_body(store, database, &document, item);
	else
		r = prepare_deletion(document, item);
	if (r == 1) {
		document->in_flight = true;
		item->document = document;
	}
	return r;
}

static int add_write(struct couchdb_batch *batch, struct store_write *write)
{
	struct couchdb_item item = {.write = write};
	int r;

	pthread_mutex_lock(&batch->store->lock);
	r = prepare(batch->store, batch->db, &item);
	pthread_mutex_unlock(&batch->store->lock);
	if (r != 1) {
		couchdb_item_clear(&item);
		if (r == -EINVAL) {
			log_error("State: the document \"%s\" in %s is nothing that CouchDB could "
				  "hold; it is not written",
				  write->id, store_db_name(batch->db));
			write->result = -EINVAL;
			r = 0;
		}
		return r;
	}
	/* Made anew: what hung on the one that was there went with it. */
	if (item.body && !item.rev)
		couchdb_batch_drop_attachments(batch, item.document);
	batch->items[batch->n++] = item;
	batch->bytes += (item.body ? strlen(item.body) : 0) + strlen(item.document->id) + 64;
	return 0;
}

int couchdb_write_database(struct couchdb_store *store, struct couchdb *couch, enum store_db db,
			   struct store_write *const *writes, size_t n)
{
	struct couchdb_batch *batch = calloc(1, sizeof(*batch));
	int r = 0, flushed;

	if (!batch)
		return -ENOMEM;
	batch->store = store;
	batch->couch = couch;
	batch->db = db;
	for (size_t i = 0; i < n; i++)
		writes[i]->result = -EAGAIN;
	for (size_t i = 0; i < n && r == 0 && !batch->lost; i++) {
		r = add_write(batch, writes[i]);
		if (r == 0 && (batch->n == BATCH_DOCUMENTS || batch->bytes >= BATCH_BYTES))
			r = couchdb_batch_flush(batch);
	}
	/* Also after a failure: nothing is left in flight. */
	flushed = couchdb_batch_flush(batch);
	r = r < 0 ? r : flushed;
	if (batch->n_bare > 1)
		log_warning("State: so are %u more documents in %s", batch->n_bare - 1,
			    store_db_name(db));
	if (batch->lost)
		couchdb_lose_database(store, db);
	if (r == 0 && batch->why)
		couchdb_fail_document(couch, batch->why);
	json_decref(batch->why);
	free(batch);
	return r;
}

/* --- The backend's write() ---------------------------------------------------------------------
 */

static int write_in_turn(struct couchdb_store *store, enum store_db db,
			 struct store_write *const *writes, size_t n)
{
	struct couchdb_database *database = couchdb_database(store, db);
	bool ready;
	int r = 0;

	pthread_mutex_lock(&store->lock);
	ready = database->loaded && !database->lost;
	pthread_mutex_unlock(&store->lock);
	if (!ready)
		r = couchdb_recover_database(store, store->writer, db);
	if (r == 0)
		r = couchdb_write_database(store, store->writer, db, writes, n);
	pthread_mutex_lock(&store->lock);
	ready = database->loaded && !database->lost;
	pthread_mutex_unlock(&store->lock);
	if (r == 0 && !ready)
		r = couchdb_recover_database(store, store->writer, db);
	return r;
}

static int write_to(struct couchdb_store *store, enum store_db db,
		    struct store_write *const *writes, size_t n)
{
	int r;

	if (!couchdb_take_turn(store, db)) {
		/* The other thread is bringing it together; a moment later it is done. */
		for (size_t i = 0; i < n; i++)
			writes[i]->result = -EAGAIN;
		snprintf(store->error, sizeof(store->error),
			 "CouchDB: the database %s is being brought up to date; it is written "
			 "after that",
			 store_db_name(db));
		return 0;
	}
	r = write_in_turn(store, db, writes, n);
	couchdb_give_turn(store, db);
	if (r < 0 || *couchdb_error(store->writer))
		snprintf(store->error, sizeof(store->error), "%s",
			 r == -ENOMEM ? "out of memory" : couchdb_error(store->writer));
	return r;
}

static void end_call(struct couchdb_store *store)
{
	uint64_t now = now_ns();

	pthread_mutex_lock(&store->lock);
	store->call_end_ns = now;
	if (now - store->swept_ns > SWEEP_NS) {
		store->swept_ns = now;
		for (enum store_db db = 0; db < DB_MAX; db++)
			couchdb_documents_sweep(couchdb_database(store, db)->documents,
						now - GONE_NS);
	}
	pthread_mutex_unlock(&store->lock);
}

static size_t writes_of(enum store_db db, struct store_write *const *writes, size_t n,
			struct store_write **ret_of_db)
{
	size_t found = 0;

	for (size_t i = 0; i < n; i++)
		if (writes[i]->db == db)
			ret_of_db[found++] = writes[i];
	return found;
}

/* It is left alone for a moment; the others are not. */
static void note_trouble(struct couchdb_store *store, enum store_db db)
{
	struct couchdb_database *database = couchdb_database(store, db);

	if (database->troubles == 0)
		log_warning("State: %s cannot be written: %s; trying again until it works, the "
			    "other databases are written",
			    store_db_name(db), store->error);
	database->not_before_ns =
		now_ns() +
		backoff_ms(database->troubles++, TROUBLE_MS, TROUBLE_MAX_MS) * EBB_NS_PER_MS;
}

static void note_success(struct couchdb_store *store, enum store_db db)
{
	struct couchdb_database *database = couchdb_database(store, db);

	if (database->troubles > 0)
		log_info("State: %s is written again", store_db_name(db));
	database->troubles = 0;
	database->not_before_ns = 0;
}

/* Negative: it is of no use to try the other databases. */
static int write_alone(struct couchdb_store *store, enum store_db db,
		       struct store_write *const *writes, size_t n)
{
	bool left_alone = now_ns() < couchdb_database(store, db)->not_before_ns;
	int r = 0;

	for (size_t i = 0; i < n; i++)
		writes[i]->result = -EAGAIN;
	if (!left_alone)
		r = write_to(store, db, writes, n);
	if (r == -ENOMEM || r == -ENOSPC || r == -EPROTO ||
	    (r < 0 && couchdb_is_silent(store->writer)))
		return r;
	if (r < 0)
		note_trouble(store, db);
	else if (!left_alone)
		note_success(store, db);
	for (size_t i = 0; (r < 0 || left_alone) && i < n; i++)
		if (writes[i]->result == -EAGAIN)
			writes[i]->result = -EIO;
	return 0;
}

int couchdb_store_write(void *backend, struct store_write *const *writes, size_t n)
{
	struct couchdb_store *store = backend;
	_cleanup_free_ struct store_write **of_db = calloc(n + 1, sizeof(*of_db));
	int r = 0;

	if (!of_db)
		return -ENOMEM;
	for (enum store_db db = 0; db < DB_MAX && r == 0; db++) {
		size_t n_of_db = writes_of(db, writes, n, of_db);

		if (n_of_db > 0)
			r = write_alone(store, db, of_db, n_of_db);
	}
	end_call(store);
	return r;
}
