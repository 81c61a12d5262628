/* SPDX-License-Identifier: Apache-2.0 */
#include "store_couchdb_batch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "couchdb_json.h"
#include "document_merge.h"
#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/loop.h"
#include "ebb/units.h"
#include "ebb/util.h"

#define CONFLICT_TRIES  8
#define CONFLICT_MS     5
#define CONFLICT_MAX_MS 200
/* Times that the server does not know attachments that it has just shown, before they are let go.
 */
#define STUB_TRIES 3
/* What every write would be said of otherwise. */
#define SAY_AGAIN_NS (60 * EBB_NS_PER_SEC)

enum outcome { OUTCOME_OK, OUTCOME_CONFLICT, OUTCOME_REFUSED, OUTCOME_AGAIN };

void couchdb_item_clear(struct couchdb_item *item)
{
	free(item->body);
	free(item->base);
	free(item->rev);
	free(item->ours);
	*item = (struct couchdb_item){0};
}

/* --- What goes out -----------------------------------------------------------------------------
 */

static char *quoted(const char *text)
{
	_cleanup_json_ json_t *string = json_string(text);

	return string ? json_dumps(string, JSON_ENCODE_ANY) : NULL;
}

static int print_item(FILE *out, const struct couchdb_item *item)
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

static char *print_items(const struct couchdb_item *items, size_t n)
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

static void item_written(struct couchdb_batch *batch, struct couchdb_item *item, const char *rev)
{
	COUCHDB_TOLD_LIST(told);
	struct couchdb_store *store = batch->store;
	struct couchdb_documents *documents = couchdb_database(store, batch->db)->documents;

	pthread_mutex_lock(&store->lock);
	if (item->body)
		couchdb_documents_written(documents, item->document, rev, TAKE_PTR(item->body),
					  item->ours, &told);
	else
		couchdb_documents_deleted(documents, item->document, rev, false, now_ns(), &told);
	couchdb_queue(store, batch->db, &told);
	pthread_mutex_unlock(&store->lock);
	item->write->result = 0;
	couchdb_item_clear(item);
	couchdb_tell(store, batch->db);
}

static void item_deleted_by_them(struct couchdb_batch *batch, struct couchdb_item *item)
{
	COUCHDB_TOLD_LIST(told);
	struct couchdb_store *store = batch->store;

	pthread_mutex_lock(&store->lock);
	couchdb_documents_deleted(couchdb_database(store, batch->db)->documents, item->document,
				  NULL, true, now_ns(), &told);
	couchdb_queue(store, batch->db, &told);
	pthread_mutex_unlock(&store->lock);
	item->write->result = 0;
	couchdb_item_clear(item);
	couchdb_tell(store, batch->db);
}

static void item_failed(struct couchdb_batch *batch, struct couchdb_item *item, int result)
{
	COUCHDB_TOLD_LIST(told);
	struct couchdb_store *store = batch->store;

	pthread_mutex_lock(&store->lock);
	couchdb_documents_failed(couchdb_database(store, batch->db)->documents, item->document,
				 result == -EINVAL, &told);
	couchdb_queue(store, batch->db, &told);
	pthread_mutex_unlock(&store->lock);
	item->write->result = result;
	couchdb_item_clear(item);
	couchdb_tell(store, batch->db);
}

static void item_refused(struct couchdb_batch *batch, struct couchdb_item *item, const char *error,
			 const char *reason)
{
	log_error("State: CouchDB refuses the document %s in %s for good (%s%s%s); it is not "
		  "written",
		  item->write->id, store_db_name(batch->db), error ?: "", reason ? ": " : "",
		  reason ?: "");
	item_failed(batch, item, -EINVAL);
}

/* What stands there cannot be merged with: it stays until somebody corrects it. */
static void item_unreadable(struct couchdb_batch *batch, struct couchdb_item *item)
{
	uint64_t now = now_ns(), said = batch->store->unreadable_said_ns;

	if (!said || now - said > SAY_AGAIN_NS) {
		batch->store->unreadable_said_ns = now;
		log_error("State: the document %s in %s is not written: %s", item->write->id,
			  store_db_name(batch->db), couchdb_error(batch->couch));
	}
	item_failed(batch, item, -EINVAL);
}

static void item_later(struct couchdb_batch *batch, struct couchdb_item *item, const json_t *line)
{
	json_decref(batch->why);
	batch->why = json_incref((json_t *)line);
	item_failed(batch, item, -EAGAIN);
}

/* What one line of the reply says. *ret_rev is borrowed from it. */
static enum outcome judge(const json_t *line, const char **ret_rev)
{
	const char *error = json_string_value(json_object_get(line, "error"));

	*ret_rev = json_string_value(json_object_get(line, "rev"));
	if (!error)
		return *ret_rev ? OUTCOME_OK : OUTCOME_AGAIN;
	if (strcmp(error, "conflict") == 0 || strcmp(error, "missing_stub") == 0)
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

/* CouchDB has it on one node at least, and brings it to the others when they are back. */
static void note_unconfirmed(struct couchdb_store *store, enum store_db db, size_t n)
{
	uint64_t now = now_ns(), said = store->unconfirmed_said_ns;

	pthread_mutex_lock(&store->lock);
	store->unconfirmed += n;
	pthread_mutex_unlock(&store->lock);
	if (said && now - said < SAY_AGAIN_NS)
		return;
	store->unconfirmed_said_ns = now;
	log_warning("State: fewer nodes of the CouchDB cluster than a majority have taken what was "
		    "written to %s (202): it is lost if those fail before the others are back",
		    store_db_name(db));
}

static int call_bulk(struct couchdb_batch *batch, const struct couchdb_item *items, size_t n,
		     struct couchdb_reply *ret_reply)
{
	_cleanup_free_ char *path = couchdb_db_path(batch->couch, batch->db, "/_bulk_docs");
	_cleanup_free_ char *body = print_items(items, n);
	int r;

	*ret_reply = (struct couchdb_reply){0};
	if (!path || !body)
		return -ENOMEM;
	r = couchdb_call(batch->couch, "POST", path, body, 0, ret_reply);
	if (r == 0 && ret_reply->status == 202)
		note_unconfirmed(batch->store, batch->db, n);
	return r;
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

static int read_theirs(struct couchdb_batch *batch, const struct couchdb_item *item,
		       struct theirs *ret_theirs)
{
	struct theirs theirs = {0};
	struct couchdb_reply reply;
	const char *rev;
	int r;

	r = couchdb_read_one(batch->couch, batch->db, item->document->id, &reply);
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
static int merge_item(struct couchdb_batch *batch, struct couchdb_item *item,
		      const struct theirs *theirs, bool *ret_same)
{
	_cleanup_json_ json_t *base = couchdb_json_reload(item->base);
	_cleanup_json_ json_t *ours = couchdb_json_reload(item->body), *merged = NULL;
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

void couchdb_batch_drop_attachments(struct couchdb_batch *batch, struct couchdb_document *document)
{
	if (!document->kept)
		return;
	free(document->kept);
	document->kept = NULL;
	if (batch->n_bare++ == 0)
		log_warning("State: the attachments of %s in %s are not in CouchDB any more; it is "
			    "written without them",
			    document->key, store_db_name(batch->db));
}

/* 1: settled without a write. */
static int prepare_again(struct couchdb_batch *batch, struct couchdb_item *item)
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
		couchdb_batch_drop_attachments(batch, item->document);
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
static int resolve(struct couchdb_batch *batch, struct couchdb_item *item)
{
	unsigned stubs = 0;

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
		if (r == 0 && stubs >= STUB_TRIES)
			couchdb_batch_drop_attachments(batch, item->document);
		if (r == 0)
			r = call_bulk(batch, item, 1, &reply);
		if (r == 0 && reply.status == 412 && item->document->kept) {
			stubs++;
			couchdb_reply_clear(&reply);
			continue;
		}
		if (r == -EBADMSG) {
			item_unreadable(batch, item);
			return 0;
		}
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
		default: item_later(batch, item, line); break;
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

static void fail_items(struct couchdb_batch *batch, struct couchdb_item *items, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (items[i].write)
			item_failed(batch, &items[i], -EAGAIN);
}

static int settle(struct couchdb_batch *batch, struct couchdb_item *items, size_t n,
		  const json_t *lines)
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
		default: item_later(batch, &items[i], line); break;
		}
	}
	for (size_t i = 0; i < n && r == 0 && !batch->lost; i++)
		if (items[i].write)
			r = resolve(batch, &items[i]);
	fail_items(batch, items, n);
	return r;
}

/* A whole batch was answered so, or one document that was alone in it. */
static int unexpected(struct couchdb_batch *batch, const struct couchdb_item *items, size_t n,
		      const struct couchdb_reply *reply)
{
	char what[160];

	if (n == 1)
		snprintf(what, sizeof(what), "writing the document %s in %s", items->document->id,
			 store_db_name(batch->db));
	else
		snprintf(what, sizeof(what), "writing %zu documents in %s", n,
			 store_db_name(batch->db));
	return couchdb_fail(batch->couch, -EAGAIN, what, reply);
}

static int send_items(struct couchdb_batch *batch, struct couchdb_item *items, size_t n)
{
	struct couchdb_reply reply;
	int r;

	r = call_bulk(batch, items, n, &reply);
	if (r == 0 && n > 1 &&
	    (reply.status == 413 || reply.status == 400 || reply.status == 412)) {
		/* Too much at once, or a bad one that spoils the others. */
		couchdb_reply_clear(&reply);
		r = send_items(batch, items, n / 2);
		if (r == 0 && !batch->lost)
			r = send_items(batch, items + n / 2, n - n / 2);
	} else if (r == 0 && reply.status == 412 && items->document->kept) {
		/* An attachment that we were told of has gone: what is there now? */
		r = resolve(batch, items);
	} else if (r == 0 && (reply.status == 413 || reply.status == 400)) {
		item_refused(batch, items, json_string_value(json_object_get(reply.json, "error")),
			     json_string_value(json_object_get(reply.json, "reason")));
	} else if (r == 0 && reply.status == 404) {
		batch->lost = true;
	} else if (r == 0 && !json_is_array(reply.json)) {
		r = unexpected(batch, items, n, &reply);
	} else if (r == 0) {
		r = settle(batch, items, n, reply.json);
	}
	fail_items(batch, items, n);
	couchdb_reply_clear(&reply);
	return r;
}

int couchdb_batch_flush(struct couchdb_batch *batch)
{
	int r = batch->n && !batch->lost ? send_items(batch, batch->items, batch->n) : 0;

	fail_items(batch, batch->items, batch->n);
	batch->n = batch->bytes = 0;
	return r;
}
