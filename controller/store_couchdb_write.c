/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing: what differs from what both sides have goes out in `_bulk_docs`; a document that
 * somebody else has written meanwhile is read again, merged and written once more.
 */
#include "store_couchdb_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "document_merge.h"
#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/loop.h"
#include "ebb/units.h"
#include "ebb/util.h"

#define BATCH_DOCUMENTS 500
#define BATCH_BYTES     (1UL << 20)
#define CONFLICT_TRIES  8
#define CONFLICT_MS     5
#define CONFLICT_MAX_MS 200
/* Above what the queue lets a write wait while all is well: after that long nothing is left that
 * was made before. */
#define BEHIND_NS (1 * EBB_NS_PER_SEC)
/* How long after a deletion an old change may still come. */
#define GONE_NS  (60 * EBB_NS_PER_SEC)
#define SWEEP_NS (10 * EBB_NS_PER_SEC)

/* A document on its way. While it is in flight nobody else touches its entry. */
struct item {
	struct store_write *write;
	struct couchdb_document *document;
	char *body; /* as it shall be; NULL: deleted */
	char *base; /* what it was made from; NULL: not known */
	char *rev;  /* what it replaces; NULL: nothing */
	char *ours; /* `body` before something of theirs came into it; NULL: nothing did */
};

enum outcome { OUTCOME_NONE, OUTCOME_OK, OUTCOME_CONFLICT, OUTCOME_REFUSED, OUTCOME_AGAIN };

struct batch {
	struct couchdb_store *store;
	struct couchdb *couch;
	enum store_db db;
	struct item items[BATCH_DOCUMENTS];
	size_t n, bytes;
	bool lost;
};

static void item_clear(struct item *item)
{
	free(item->body);
	free(item->base);
	free(item->rev);
	free(item->ours);
	*item = (struct item){0};
}

/* --- What goes out -----------------------------------------------------------------------------
 */

static char *quoted(const char *text)
{
	_cleanup_json_ json_t *string = json_string(text);

	return string ? json_dumps(string, JSON_ENCODE_ANY) : NULL;
}

static int print_item(FILE *out, const struct item *item)
{
	_cleanup_free_ char *id = quoted(item->document->id);
	_cleanup_free_ char *rev = item->rev ? quoted(item->rev) : NULL;
	const char *kept = item->body ? item->document->kept : NULL;

	if (!id || (item->rev && !rev))
		return -ENOMEM;
	fprintf(out, "{\"_id\":%s", id);
	if (rev)
		fprintf(out, ",\"_rev\":%s", rev);
	if (kept)
		fprintf(out, ",%s", kept);
	/* The body is an object: without its bracket, and a comma if there is anything in it. */
	if (!item->body)
		fputs(",\"_deleted\":true}", out);
	else
		fprintf(out, "%s%s", item->body[1] == '}' ? "" : ",", item->body + 1);
	return 0;
}

static char *print_items(const struct item *items, size_t n)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	int r = 0;

	if (!out)
		return NULL;
	fputs("{\"docs\":[", out);
	for (size_t i = 0; i < n && r == 0; i++) {
		if (i > 0)
			fputc(',', out);
		r = print_item(out, &items[i]);
	}
	fputs("]}", out);
	if (fclose(out) != 0 || r < 0) {
		free(text);
		return NULL;
	}
	return text;
}

/* --- What came back ----------------------------------------------------------------------------
 */

/* Each with a list of its own: what is told must not wait for the lock. */
static void item_written(struct batch *batch, struct item *item, const char *rev)
{
	COUCHDB_TOLD_LIST(told);
	struct couchdb_store *store = batch->store;
	struct couchdb_documents *documents = couchdb_database(store, batch->db)->documents;
	_cleanup_json_ json_t *doc = NULL;

	if (item->ours && item->body)
		doc = json_loads(item->body, 0, NULL);
	pthread_mutex_lock(&store->lock);
	if (doc)
		couchdb_told_add(&told, item->document->key, item->ours, doc);
	if (item->body)
		couchdb_documents_written(documents, item->document, rev, TAKE_PTR(item->body),
					  &told);
	else
		couchdb_documents_deleted(documents, item->document, rev, false, now_ns(), &told);
	pthread_mutex_unlock(&store->lock);
	item->write->result = 0;
	item_clear(item);
	couchdb_tell(store, batch->db, &told);
}

static void item_deleted_by_them(struct batch *batch, struct item *item)
{
	COUCHDB_TOLD_LIST(told);
	struct couchdb_store *store = batch->store;

	pthread_mutex_lock(&store->lock);
	couchdb_documents_deleted(couchdb_database(store, batch->db)->documents, item->document,
				  NULL, true, now_ns(), &told);
	pthread_mutex_unlock(&store->lock);
	item->write->result = 0;
	item_clear(item);
	couchdb_tell(store, batch->db, &told);
}

static void item_failed(struct batch *batch, struct item *item, int result)
{
	COUCHDB_TOLD_LIST(told);
	struct couchdb_store *store = batch->store;

	pthread_mutex_lock(&store->lock);
	couchdb_documents_failed(couchdb_database(store, batch->db)->documents, item->document,
				 result == -EINVAL, &told);
	pthread_mutex_unlock(&store->lock);
	item->write->result = result;
	item_clear(item);
	couchdb_tell(store, batch->db, &told);
}

static void item_refused(struct batch *batch, struct item *item, const char *error,
			 const char *reason)
{
	log_error("State: CouchDB refuses the document %s in %s for good (%s%s%s); it is not "
		  "written",
		  item->write->id, store_db_name(batch->db), error ?: "", reason ? ": " : "",
		  reason ?: "");
	item_failed(batch, item, -EINVAL);
}

/* What one line of the reply says. *ret_rev is borrowed from it. */
static enum outcome judge(const json_t *line, const char **ret_rev)
{
	const char *error = json_string_value(json_object_get(line, "error"));

	*ret_rev = json_string_value(json_object_get(line, "rev"));
	if (!error)
		return *ret_rev ? OUTCOME_OK : OUTCOME_AGAIN;
	if (strcmp(error, "conflict") == 0)
		return OUTCOME_CONFLICT;
	/* What a validation function of the site's says, and what CouchDB says of a document. */
	if (strcmp(error, "forbidden") == 0 || strcmp(error, "unauthorized") == 0 ||
	    strcmp(error, "doc_validation") == 0 || strcmp(error, "bad_request") == 0 ||
	    strcmp(error, "document_too_large") == 0 || strcmp(error, "illegal_docid") == 0)
		return OUTCOME_REFUSED;
	return OUTCOME_AGAIN;
}

/* The line for item `i`: in its place with CouchDB, but who knows. */
static const json_t *line_of(const json_t *lines, size_t i, const char *id)
{
	for (size_t tries = 0, n = json_array_size(lines); tries < n; tries++) {
		const json_t *line = json_array_get(lines, (i + tries) % n);
		const char *line_id = json_string_value(json_object_get(line, "id"));

		if (line_id && strcmp(line_id, id) == 0)
			return line;
	}
	return NULL;
}

static int call_bulk(struct batch *batch, const struct item *items, size_t n,
		     struct couchdb_reply *ret_reply)
{
	_cleanup_free_ char *path = couchdb_db_path(batch->couch, batch->db, "/_bulk_docs");
	_cleanup_free_ char *body = print_items(items, n);

	*ret_reply = (struct couchdb_reply){0};
	if (!path || !body)
		return -ENOMEM;
	return couchdb_call(batch->couch, "POST", path, body, 0, ret_reply);
}

/* --- Conflicts ---------------------------------------------------------------------------------
 */

struct theirs {
	char *rev; /* NULL: there is no such document */
	char *kept;
	json_t *doc;
};

static void theirs_clear(struct theirs *theirs)
{
	free(theirs->rev);
	free(theirs->kept);
	json_decref(theirs->doc);
	*theirs = (struct theirs){0};
}

static int read_theirs(struct batch *batch, const struct item *item, struct theirs *ret_theirs)
{
	_cleanup_free_ char *id = http_escape(item->document->id), *rest = NULL, *path = NULL;
	struct theirs theirs = {0};
	struct couchdb_reply reply = {0};
	const char *rev;
	int r;

	if (!id || asprintf(&rest, "/%s", id) < 0) {
		rest = NULL;
		return -ENOMEM;
	}
	path = couchdb_db_path(batch->couch, batch->db, rest);
	r = path ? couchdb_call(batch->couch, "GET", path, NULL, 0, &reply) : -ENOMEM;
	rev = json_string_value(json_object_get(reply.json, "_rev"));
	if (r == 0 && reply.status == 200 && rev) {
		theirs.rev = strdup(rev);
		r = theirs.rev ? couchdb_document_strip(reply.json, &theirs.kept) : -ENOMEM;
		theirs.doc = json_incref(reply.json);
	} else if (r == 0 && reply.status != 404) {
		r = couchdb_fail(batch->couch, -EAGAIN, "reading a document", &reply);
	}
	couchdb_reply_clear(&reply);
	if (r < 0)
		theirs_clear(&theirs);
	else
		*ret_theirs = theirs;
	return r;
}

/* `item` becomes what both wanted. *ret_same: which is what they have already. */
static int merge_item(struct batch *batch, struct item *item, const struct theirs *theirs,
		      bool *ret_same)
{
	_cleanup_json_ json_t *base = item->base ? json_loads(item->base, 0, NULL) : NULL;
	_cleanup_json_ json_t *ours = json_loads(item->body, 0, NULL), *merged = NULL;
	_cleanup_free_ char *lost = NULL;
	char *text;
	bool of_theirs = false;

	/* An answer that was lost: what is there is ours. */
	if (document_same(ours, theirs->doc)) {
		*ret_same = true;
		return 0;
	}
	merged =
		ours ? document_merge(batch->db, base, ours, theirs->doc, &of_theirs, &lost) : NULL;
	text = merged ? json_dumps(merged, JSON_COMPACT) : NULL;
	if (!text)
		return -ENOMEM;
	if (lost)
		log_warning("State: %s of %s in %s was changed here and by somebody else at the "
			    "same time; theirs stays",
			    lost, item->write->id, store_db_name(batch->db));
	pthread_mutex_lock(&batch->store->lock);
	batch->store->conflicts++;
	pthread_mutex_unlock(&batch->store->lock);
	if (of_theirs && !item->ours)
		item->ours = TAKE_PTR(item->body);
	free(item->body);
	item->body = text;
	free(item->base);
	item->base = json_dumps(theirs->doc, JSON_COMPACT);
	*ret_same = document_same(merged, theirs->doc);
	return 0;
}

/* 1: settled without a write. */
static int prepare_again(struct batch *batch, struct item *item)
{
	struct theirs theirs = {0};
	bool same = false;
	int r;

	r = read_theirs(batch, item, &theirs);
	if (r < 0)
		return r;
	if (!theirs.rev) {
		bool had_one = item->rev != NULL;

		r = couchdb_check_database(batch->store, batch->couch, batch->db, false);
		if (r > 0)
			batch->lost = true;
		if (r != 0)
			return r < 0 ? r : -ESTALE;
		free(item->rev);
		item->rev = NULL;
		if (item->body && had_one)
			item_deleted_by_them(batch, item);
		else if (!item->body)
			item_written(batch, item, NULL);
		else
			return 0;
		return 1;
	}
	if (item->body)
		r = merge_item(batch, item, &theirs, &same);
	if (r == 0) {
		free(item->rev);
		item->rev = TAKE_PTR(theirs.rev);
		/* Nobody else looks at it during the flight. */
		free(item->document->kept);
		item->document->kept = TAKE_PTR(theirs.kept);
		if (item->body && same) {
			_cleanup_free_ char *rev = strdup(item->rev);

			if (rev)
				item_written(batch, item, rev);
			r = rev ? 1 : -ENOMEM;
		}
	}
	theirs_clear(&theirs);
	return r;
}

static void wait_ms(unsigned ms)
{
	struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	nanosleep(&time, NULL);
}

/* Until it is written or it is clear what else becomes of it. Negative: `couch` says why. */
static int resolve(struct batch *batch, struct item *item)
{
	for (unsigned tries = 0; tries < CONFLICT_TRIES; tries++) {
		struct couchdb_reply reply = {0};
		const json_t *line;
		const char *rev;
		int r;

		if (tries > 0)
			wait_ms(backoff_ms(tries, CONFLICT_MS, CONFLICT_MAX_MS));
		r = prepare_again(batch, item);
		if (r == 1)
			return 0;
		if (r == 0)
			r = call_bulk(batch, item, 1, &reply);
		if (r < 0) {
			couchdb_reply_clear(&reply);
			item_failed(batch, item, -EAGAIN);
			return r == -ESTALE ? 0 : r;
		}
		line = json_array_get(reply.json, 0);
		switch (judge(line, &rev)) {
		case OUTCOME_OK: item_written(batch, item, rev); break;
		case OUTCOME_REFUSED:
			item_refused(batch, item, json_string_value(json_object_get(line, "error")),
				     json_string_value(json_object_get(line, "reason")));
			break;
		case OUTCOME_CONFLICT: break;
		default: item_failed(batch, item, -EAGAIN); break;
		}
		couchdb_reply_clear(&reply);
		if (!item->write)
			return 0;
	}
	item_failed(batch, item, -EAGAIN);
	return 0;
}

/* --- A batch -----------------------------------------------------------------------------------
 */

static void fail_items(struct batch *batch, struct item *items, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (items[i].write)
			item_failed(batch, &items[i], -EAGAIN);
}

static int settle(struct batch *batch, struct item *items, size_t n, const json_t *lines)
{
	int r = 0;

	/* First those that are done: a conflict takes its time. */
	for (size_t i = 0; i < n; i++) {
		const json_t *line = line_of(lines, i, items[i].document->id);
		const char *rev;

		switch (judge(line, &rev)) {
		case OUTCOME_OK: item_written(batch, &items[i], rev); break;
		case OUTCOME_REFUSED:
			item_refused(batch, &items[i],
				     json_string_value(json_object_get(line, "error")),
				     json_string_value(json_object_get(line, "reason")));
			break;
		case OUTCOME_CONFLICT: break;
		default: item_failed(batch, &items[i], -EAGAIN); break;
		}
	}
	for (size_t i = 0; i < n && r == 0 && !batch->lost; i++)
		if (items[i].write)
			r = resolve(batch, &items[i]);
	fail_items(batch, items, n);
	return r;
}

static int send_items(struct batch *batch, struct item *items, size_t n)
{
	struct couchdb_reply reply;
	int r;

	r = call_bulk(batch, items, n, &reply);
	if (r == 0 && (reply.status == 413 || reply.status == 400)) {
		/* Too much at once, or a bad one that spoils the others. */
		if (n > 1) {
			couchdb_reply_clear(&reply);
			r = send_items(batch, items, n / 2);
			if (r == 0 && !batch->lost)
				r = send_items(batch, items + n / 2, n - n / 2);
			fail_items(batch, items, n);
			return r;
		}
		item_refused(batch, items, json_string_value(json_object_get(reply.json, "error")),
			     json_string_value(json_object_get(reply.json, "reason")));
	} else if (r == 0 && reply.status == 404) {
		batch->lost = true;
	} else if (r == 0 && !json_is_array(reply.json)) {
		r = couchdb_fail(batch->couch, -EAGAIN, "writing documents", &reply);
	} else if (r == 0) {
		r = settle(batch, items, n, reply.json);
	}
	fail_items(batch, items, n);
	couchdb_reply_clear(&reply);
	return r;
}

static int flush(struct batch *batch)
{
	int r = batch->n && !batch->lost ? send_items(batch, batch->items, batch->n) : 0;

	fail_items(batch, batch->items, batch->n);
	batch->n = batch->bytes = 0;
	return r;
}

/* --- What has to be written --------------------------------------------------------------------
 */

/* May the write have been made before the last news of the document was taken in? */
static bool is_behind(const struct couchdb_store *store, const struct couchdb_document *document)
{
	uint64_t told = document->told_ns;

	if (!document->behind)
		return false;
	if (told == UINT64_MAX)
		return true;
	if (told < store->clean_ns)
		return false;
	return store->dirty || store->call_ns < MAX(told, store->call_end_ns) + BEHIND_NS;
}

static char *body_text(const char *given, json_t **ret_doc)
{
	_cleanup_free_ char *kept = NULL;
	_cleanup_json_ json_t *doc = json_loads(given, 0, NULL);
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

static int prepare_deletion(struct couchdb_document *document, struct item *item)
{
	if (!document || document->gone || !document->rev) {
		item->write->result = 0;
		return 0;
	}
	item->rev = strdup(document->rev);
	return item->rev ? 1 : -ENOMEM;
}

static int prepare_body(struct couchdb_store *store, struct couchdb_database *database,
			struct couchdb_document **document, struct item *item)
{
	struct couchdb_document *d = *document;
	bool behind = d && is_behind(store, d), redo = d && d->redo;
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
		synced = json_loads(d->synced, 0, NULL);
		if (document_same(synced, doc)) {
			free(d->synced);
			d->synced = TAKE_PTR(item->body);
			goto unchanged;
		}
	}
	if (synced && (behind || redo)) {
		_cleanup_json_ json_t *base =
			d->before && !redo ? json_loads(d->before, 0, NULL) : NULL;
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
static int prepare(struct couchdb_store *store, enum store_db db, struct item *item)
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

static int add_write(struct batch *batch, struct store_write *write)
{
	struct item item = {.write = write};
	int r;

	pthread_mutex_lock(&batch->store->lock);
	r = prepare(batch->store, batch->db, &item);
	pthread_mutex_unlock(&batch->store->lock);
	if (r != 1) {
		item_clear(&item);
		if (r == -EINVAL) {
			log_error("State: the document \"%s\" in %s is nothing that CouchDB could "
				  "hold; it is not written",
				  write->id, store_db_name(batch->db));
			write->result = -EINVAL;
			r = 0;
		}
		return r;
	}
	batch->items[batch->n++] = item;
	batch->bytes += (item.body ? strlen(item.body) : 0) + strlen(item.document->id) + 64;
	return 0;
}

int couchdb_write_database(struct couchdb_store *store, struct couchdb *couch, enum store_db db,
			   struct store_write *const *writes, size_t n)
{
	struct batch *batch = calloc(1, sizeof(*batch));
	int r = 0;

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
			r = flush(batch);
	}
	if (r == 0)
		r = flush(batch);
	fail_items(batch, batch->items, batch->n);
	if (batch->lost) {
		pthread_mutex_lock(&store->lock);
		couchdb_database(store, db)->lost = true;
		pthread_mutex_unlock(&store->lock);
	}
	free(batch);
	return r;
}

/* --- The backend's write() ---------------------------------------------------------------------
 */

/* They were made from documents that nobody could read. */
static void note_queued(struct couchdb_store *store, enum store_db db,
			struct store_write *const *writes, size_t n)
{
	struct couchdb_documents *documents = couchdb_database(store, db)->documents;

	pthread_mutex_lock(&store->lock);
	for (size_t i = 0; i < n && !couchdb_database(store, db)->loaded; i++) {
		struct couchdb_document *d;

		if (!writes[i]->body || !*writes[i]->id)
			continue;
		d = couchdb_documents_by_key(documents, writes[i]->id);
		d = d ?: couchdb_documents_add(documents, writes[i]->id);
		if (d && !d->rev)
			d->queued = true;
	}
	pthread_mutex_unlock(&store->lock);
}

static int write_in_turn(struct couchdb_store *store, enum store_db db,
			 struct store_write *const *writes, size_t n)
{
	struct couchdb_database *database = couchdb_database(store, db);
	bool ready;
	int r = 0;

	pthread_mutex_lock(&store->lock);
	ready = database->loaded && !database->lost;
	pthread_mutex_unlock(&store->lock);
	if (!ready) {
		note_queued(store, db, writes, n);
		r = couchdb_recover_database(store, store->writer, db);
	}
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
		note_queued(store, db, writes, n);
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
	if (r < 0)
		snprintf(store->error, sizeof(store->error), "%s",
			 r == -ENOMEM ? "out of memory" : couchdb_error(store->writer));
	return r;
}

static void end_call(struct couchdb_store *store, uint64_t begun, bool clean)
{
	uint64_t now = now_ns();

	pthread_mutex_lock(&store->lock);
	store->call_end_ns = now;
	store->dirty = !clean;
	if (clean)
		store->clean_ns = begun;
	if (now - store->swept_ns > SWEEP_NS) {
		store->swept_ns = now;
		for (enum store_db db = 0; db < DB_MAX; db++)
			couchdb_documents_sweep(couchdb_database(store, db)->documents,
						now - GONE_NS);
	}
	pthread_mutex_unlock(&store->lock);
}

int couchdb_store_write(void *backend, struct store_write *const *writes, size_t n)
{
	struct couchdb_store *store = backend;
	_cleanup_free_ struct store_write **of_db = calloc(n, sizeof(*of_db));
	uint64_t begun = now_ns();
	bool clean = true;
	int r = 0;

	if (n > 0 && !of_db)
		return -ENOMEM;
	pthread_mutex_lock(&store->lock);
	store->call_ns = begun;
	pthread_mutex_unlock(&store->lock);
	for (enum store_db db = 0; db < DB_MAX && r == 0; db++) {
		size_t n_of_db = 0;

		for (size_t i = 0; i < n; i++)
			if (writes[i]->db == db)
				of_db[n_of_db++] = writes[i];
		if (n_of_db > 0)
			r = write_to(store, db, of_db, n_of_db);
		for (size_t i = 0; i < n_of_db; i++)
			clean = clean && of_db[i]->result != -EAGAIN;
	}
	if (r < 0) {
		/* All of it comes again, also what nobody could read a first version of. */
		for (enum store_db db = 0; db < DB_MAX; db++) {
			size_t n_of_db = 0;

			for (size_t i = 0; i < n; i++)
				if (writes[i]->db == db)
					of_db[n_of_db++] = writes[i];
			note_queued(store, db, of_db, n_of_db);
		}
	}
	end_call(store, begun, clean && r == 0);
	return r;
}
