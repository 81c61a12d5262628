/* SPDX-License-Identifier: Apache-2.0 */
#include "couchdb_documents.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "couchdb.h"
#include "couchdb_json.h"
#include "document_merge.h"
#include "name_index.h"
#include "ebb/cleanup.h"
#include "ebb/log.h"

struct couchdb_documents {
	enum store_db db;
	struct name_index *by_key, *by_id;
	struct couchdb_document *first;
	char *newest_id, *newest_rev;
};

/* --- Keys, revisions, content ------------------------------------------------------------------
 */

/* '~' before '_' and before another '~': every key has one id, and every such id its key. */
char *couchdb_id_of_key(const char *key)
{
	char *id;

	if (*key != '_' && *key != '~')
		return strdup(key);
	return asprintf(&id, "~%s", key) < 0 ? NULL : id;
}

char *couchdb_key_of(enum store_db db, const char *id, const json_t *doc)
{
	const char *name = json_string_value(json_object_get(doc, "name"));

	/* One with a \0 in it is none. */
	if (db != DB_EVENTS && db != DB_REQUESTS && name && *name &&
	    strlen(name) == json_string_length(json_object_get(doc, "name")))
		return strdup(name);
	if (id[0] == '~' && (id[1] == '_' || id[1] == '~'))
		id++;
	return strdup(id);
}

unsigned long couchdb_rev_number(const char *rev)
{
	char *end;
	unsigned long n;

	if (!rev || *rev < '0' || *rev > '9')
		return 0;
	n = strtoul(rev, &end, 10);
	return *end == '-' ? n : 0;
}

/* FNV-1a. */
static uint64_t hash_bytes(uint64_t hash, const void *data, size_t len)
{
	for (const unsigned char *p = data; len > 0; len--)
		hash = (hash ^ *p++) * 0x100000001b3;
	return hash;
}

static uint64_t hash_value(const json_t *value)
{
	uint64_t hash = 0xcbf29ce484222325, sum = 0;
	const char *key;
	json_t *member;
	double number;

	if (json_is_number(value)) {
		/* 1.0 is 1 after a trip through JavaScript; -0 is 0. */
		number = json_number_value(value) + 0.0;
		return hash_bytes(hash, &number, sizeof(number));
	}
	hash = hash_bytes(hash, &value->type, sizeof(value->type));
	if (json_is_string(value))
		return hash_bytes(hash, json_string_value(value), json_string_length(value));
	if (json_is_array(value))
		for (size_t i = 0; i < json_array_size(value); i++) {
			uint64_t item = hash_value(json_array_get(value, i));

			hash = hash_bytes(hash, &item, sizeof(item));
		}
	json_object_foreach((json_t *)value, key, member) {
		uint64_t item = hash_value(member);

		sum += hash_bytes(hash_bytes(hash, key, strlen(key)), &item, sizeof(item));
	}
	return hash_bytes(hash, &sum, sizeof(sum));
}

uint64_t couchdb_document_hash(const json_t *doc)
{
	return hash_value(doc) ?: 1;
}

int couchdb_document_strip(json_t *doc, char **ret_kept)
{
	const json_t *attachments = json_object_get(doc, "_attachments");
	_cleanup_free_ char *text = NULL;
	char *kept = NULL;
	const char *key;
	json_t *value;
	void *next;

	if (attachments) {
		text = json_dumps(attachments, JSON_COMPACT | JSON_ENCODE_ANY);
		if (!text || asprintf(&kept, "\"_attachments\":%s", text) < 0)
			return -ENOMEM;
	}
	json_object_foreach_safe(doc, next, key, value) {
		if (*key == '_')
			json_object_del(doc, key);
	}
	*ret_kept = kept;
	return 0;
}

/* --- The table ---------------------------------------------------------------------------------
 */

int couchdb_documents_new(enum store_db db, struct couchdb_documents **ret_documents)
{
	struct couchdb_documents *documents = calloc(1, sizeof(*documents));

	if (!documents)
		return -ENOMEM;
	documents->db = db;
	documents->by_key = name_index_new();
	documents->by_id = name_index_new();
	if (!documents->by_key || !documents->by_id) {
		couchdb_documents_free(documents);
		return -ENOMEM;
	}
	*ret_documents = documents;
	return 0;
}

static void document_free(struct couchdb_document *document)
{
	free(document->key);
	free(document->id);
	free(document->rev);
	free(document->synced);
	free(document->kept);
	free(document->before);
	couchdb_change_clear(&document->waiting);
	free(document);
}

void couchdb_documents_free(struct couchdb_documents *documents)
{
	if (!documents)
		return;
	name_index_free(documents->by_key);
	name_index_free(documents->by_id);
	free(documents->newest_id);
	free(documents->newest_rev);
	for (struct couchdb_document *d = documents->first, *next; d; d = next) {
		next = d->next;
		document_free(d);
	}
	free(documents);
}

size_t couchdb_documents_count(const struct couchdb_documents *documents)
{
	return name_index_size(documents->by_key);
}

struct couchdb_document *couchdb_documents_by_key(const struct couchdb_documents *documents,
						  const char *key)
{
	return name_index_get(documents->by_key, key);
}

struct couchdb_document *couchdb_documents_first(const struct couchdb_documents *documents)
{
	return documents->first;
}

/* Takes the strings over, on failure too. */
static struct couchdb_document *add(struct couchdb_documents *documents, char *key, char *id)
{
	struct couchdb_document *document = calloc(1, sizeof(*document));

	if (!document || !key || !id) {
		free(document);
		free(key);
		free(id);
		return NULL;
	}
	document->key = key;
	document->id = id;
	if (name_index_add(documents->by_key, key, document) < 0) {
		document_free(document);
		return NULL;
	}
	if (name_index_add(documents->by_id, id, document) < 0) {
		name_index_remove(documents->by_key, key);
		document_free(document);
		return NULL;
	}
	document->next = documents->first;
	if (document->next)
		document->next->prev = document;
	documents->first = document;
	return document;
}

struct couchdb_document *couchdb_documents_add(struct couchdb_documents *documents, const char *key)
{
	return add(documents, strdup(key), couchdb_id_of_key(key));
}

void couchdb_documents_remove(struct couchdb_documents *documents,
			      struct couchdb_document *document)
{
	name_index_remove(documents->by_key, document->key);
	name_index_remove(documents->by_id, document->id);
	if (document->prev)
		document->prev->next = document->next;
	else
		documents->first = document->next;
	if (document->next)
		document->next->prev = document->prev;
	document_free(document);
}

int couchdb_told_add(struct couchdb_told_list *told, const char *key, const char *base, json_t *doc)
{
	struct couchdb_told *item = calloc(1, sizeof(*item));

	if (!item)
		return -ENOMEM;
	item->key = strdup(key);
	if (!item->key) {
		free(item);
		return -ENOMEM;
	}
	item->base = couchdb_json_reload(base);
	item->doc = json_incref(doc);
	*told->last = item;
	told->last = &item->next;
	return 0;
}

void couchdb_told_free(struct couchdb_told *told)
{
	json_decref(told->base);
	json_decref(told->doc);
	free(told->key);
	free(told);
}

/* --- What a change means -----------------------------------------------------------------------
 */

static void set_text(char **field, char *text)
{
	free(*field);
	*field = text;
}

/* Takes `rev` over; NULL: no memory. */
static void set_rev(struct couchdb_documents *documents, struct couchdb_document *document,
		    char *rev)
{
	char *id = rev ? strdup(document->id) : NULL, *newest = id ? strdup(rev) : NULL;

	set_text(&document->rev, rev);
	if (!newest) {
		free(id);
		return;
	}
	set_text(&documents->newest_id, id);
	set_text(&documents->newest_rev, newest);
}

const char *couchdb_documents_newest(const struct couchdb_documents *documents,
				     const char **ret_rev)
{
	*ret_rev = documents->newest_rev;
	return documents->newest_id;
}

/* News of a document that we may be about to write from what we knew before. */
static void fall_behind(struct couchdb_document *document)
{
	/* The oldest is what such a write was made from. */
	if (!document->behind)
		set_text(&document->before, TAKE_PTR(document->synced));
	document->behind = true;
	document->told_ns = UINT64_MAX;
}

static void catch_up(struct couchdb_document *document)
{
	document->behind = document->redo = false;
	set_text(&document->before, NULL);
}

static int tell_gone(struct couchdb_document *document, struct couchdb_told_list *told)
{
	int r = couchdb_told_add(told, document->key, document->synced, NULL);

	if (r < 0)
		return r;
	fall_behind(document);
	set_text(&document->synced, NULL);
	set_text(&document->kept, NULL);
	document->gone = true;
	document->absent = false;
	return 0;
}

static int take_deletion(struct couchdb_documents *documents, struct couchdb_document *document,
			 struct couchdb_change *change, struct couchdb_told_list *told)
{
	int r;

	if (!document)
		return 0;
	if (document->gone) {
		/* The echo: nothing older comes after it. */
		if (!document->behind &&
		    couchdb_rev_number(change->rev) >= couchdb_rev_number(document->rev))
			couchdb_documents_remove(documents, document);
		return 0;
	}
	if (!document->rev || couchdb_rev_number(change->rev) < couchdb_rev_number(document->rev))
		return 0;
	r = tell_gone(document, told);
	if (r == 0)
		set_rev(documents, document, TAKE_PTR(change->rev));
	return r;
}

static void warn_of_twin(struct couchdb_documents *documents, struct couchdb_document *document,
			 const char *id)
{
	if (!document->twin_told)
		log_warning("State: %s has two documents named %s; the one with the id %s counts, "
			    "the one with %s does not: delete one of them",
			    store_db_name(documents->db), document->key, document->id, id);
	document->twin_told = true;
}

/*
 * The entry for a document with this id and key. *ret NULL: it does not count, another one has its
 * name. *ret_old_key: it had another name before.
 */
static int find_place(struct couchdb_documents *documents, const char *id, const char *key,
		      struct couchdb_document **ret, struct couchdb_told_list *told)
{
	struct couchdb_document *by_id = name_index_get(documents->by_id, id);
	struct couchdb_document *by_key = name_index_get(documents->by_key, key);
	int r;

	*ret = NULL;
	if (by_id && by_id == by_key) {
		*ret = by_id;
		return 0;
	}
	if (by_key) {
		/* Another has the name: it stays, unless it is not there. */
		if ((by_key->rev && !by_key->gone) || by_key->in_flight) {
			warn_of_twin(documents, by_key, id);
			by_key = NULL;
		}
	}
	if (by_id) {
		/* Renamed. */
		if (by_id->rev && !by_id->gone) {
			r = couchdb_told_add(told, by_id->key, by_id->synced, NULL);
			if (r < 0)
				return r;
		}
		couchdb_documents_remove(documents, by_id);
	}
	if (name_index_get(documents->by_key, key)) {
		if (!by_key)
			return 0;
		/* Only a plan, or a memory: this document takes its place. */
		couchdb_documents_remove(documents, by_key);
	}
	*ret = add(documents, strdup(key), strdup(id));
	return *ret ? 0 : -ENOMEM;
}

/* Is `doc` what `document` is known to be already? */
static bool nothing_new(const struct couchdb_document *document, const json_t *doc)
{
	_cleanup_json_ json_t *synced = NULL;

	if (document->attempt && couchdb_document_hash(doc) == document->attempt)
		return true;
	if (!document->synced)
		return false;
	synced = couchdb_json_reload(document->synced);
	return document_same(synced, doc);
}

static int take_document(struct couchdb_documents *documents, struct couchdb_change *change,
			 struct couchdb_told_list *told)
{
	_cleanup_free_ char *key = couchdb_key_of(documents->db, change->id, change->doc);
	_cleanup_free_ char *kept = NULL, *text = NULL;
	struct couchdb_document *document;
	int r;

	if (!key)
		return -ENOMEM;
	if (documents->db == DB_SERVICES && strcmp(key, COUCHDB_LEASE) == 0)
		return 0;
	document = name_index_get(documents->by_id, change->id);
	if (document && document->rev && !document->absent) {
		if (strcmp(document->rev, change->rev) == 0 ||
		    couchdb_rev_number(change->rev) < couchdb_rev_number(document->rev))
			return 0;
	}
	r = couchdb_document_strip(change->doc, &kept);
	if (r < 0)
		return r;
	text = json_dumps(change->doc, JSON_COMPACT);
	if (!text)
		return -ENOMEM;
	r = find_place(documents, change->id, key, &document, told);
	if (r < 0 || !document)
		return r;

	if (!nothing_new(document, change->doc)) {
		r = couchdb_told_add(told, key, document->synced, change->doc);
		if (r < 0)
			return r;
		if (document->absent && document->synced) {
			catch_up(document);
			document->redo = true;
		}
		fall_behind(document);
	}
	document->gone = document->absent = false;
	document->attempt = 0;
	set_text(&document->synced, TAKE_PTR(text));
	set_text(&document->kept, TAKE_PTR(kept));
	set_rev(documents, document, TAKE_PTR(change->rev));
	return 0;
}

int couchdb_documents_take(struct couchdb_documents *documents, struct couchdb_change *change,
			   struct couchdb_told_list *told)
{
	struct couchdb_document *document;
	int r = 0;

	if (!change->id || strncmp(change->id, "_design/", 8) == 0)
		goto out;
	document = name_index_get(documents->by_id, change->id);
	if (document && document->in_flight) {
		couchdb_change_clear(&document->waiting);
		document->waiting = *change;
		*change = (struct couchdb_change){0};
	} else if (change->deleted) {
		r = take_deletion(documents, document, change, told);
	} else if (json_is_object(change->doc)) {
		r = take_document(documents, change, told);
	}
out:
	couchdb_change_clear(change);
	return r;
}

/* --- What a write came to ----------------------------------------------------------------------
 */

static int end_flight(struct couchdb_documents *documents, struct couchdb_document *document,
		      struct couchdb_told_list *told)
{
	struct couchdb_change waiting = document->waiting;

	document->waiting = (struct couchdb_change){0};
	document->in_flight = false;
	return couchdb_documents_take(documents, &waiting, told);
}

int couchdb_documents_written(struct couchdb_documents *documents,
			      struct couchdb_document *document, const char *rev, char *body,
			      const char *ours, struct couchdb_told_list *told)
{
	char *copy = strdup(rev);

	_cleanup_json_ json_t *doc = ours ? couchdb_json_reload(body) : NULL;
	int r = 0;

	/* Without it the next write finds a conflict, and that what is there is ours. */
	set_rev(documents, document, copy);
	set_text(&document->synced, body);
	catch_up(document);
	document->attempt = 0;
	document->gone = document->absent = false;
	if (doc) {
		r = couchdb_told_add(told, document->key, ours, doc);
		/* What was made meanwhile was made from ours. */
		document->behind = true;
		document->told_ns = UINT64_MAX;
		document->before = strdup(ours);
	}
	return MIN(r, end_flight(documents, document, told));
}

int couchdb_documents_deleted(struct couchdb_documents *documents,
			      struct couchdb_document *document, const char *rev, bool by_them,
			      uint64_t now, struct couchdb_told_list *told)
{
	int r = 0;

	if (by_them) {
		r = tell_gone(document, told);
	} else {
		/* It was told since we decided that: now it is no more. */
		if (document->behind)
			r = couchdb_told_add(told, document->key, document->synced, NULL);
		catch_up(document);
		set_text(&document->synced, NULL);
		set_text(&document->kept, NULL);
		document->gone = true;
		document->told_ns = now;
	}
	document->attempt = 0;
	document->absent = false;
	if (rev)
		set_rev(documents, document, strdup(rev));
	return MIN(r, end_flight(documents, document, told));
}

int couchdb_documents_failed(struct couchdb_documents *documents, struct couchdb_document *document,
			     bool refused, struct couchdb_told_list *told)
{
	if (refused)
		document->attempt = 0;
	if (refused && !document->rev && !document->waiting.id) {
		couchdb_documents_remove(documents, document);
		return 0;
	}
	return end_flight(documents, document, told);
}

/* --- The whole ---------------------------------------------------------------------------------
 */

void couchdb_documents_settle(struct couchdb_documents *documents)
{
	for (struct couchdb_document *d = documents->first; d; d = d->next)
		catch_up(d);
}

bool couchdb_document_was_told_since(const struct couchdb_document *document, uint64_t made_ns)
{
	return document->behind && made_ns < document->told_ns;
}

void couchdb_documents_lose(struct couchdb_documents *documents)
{
	set_text(&documents->newest_id, NULL);
	set_text(&documents->newest_rev, NULL);
	for (struct couchdb_document *d = documents->first, *next; d; d = next) {
		next = d->next;
		if (d->gone) {
			couchdb_documents_remove(documents, d);
			continue;
		}
		/* Left so by an earlier attempt: ours is what counts. */
		if (d->redo && d->before) {
			set_text(&d->synced, TAKE_PTR(d->before));
			catch_up(d);
		}
		d->absent = true;
	}
}

bool couchdb_documents_absent(const struct couchdb_documents *documents)
{
	for (const struct couchdb_document *d = documents->first; d; d = d->next)
		if (d->absent)
			return true;
	return false;
}

void couchdb_documents_sweep(struct couchdb_documents *documents, uint64_t until_ns)
{
	for (struct couchdb_document *d = documents->first, *next; d; d = next) {
		next = d->next;
		if (d->gone && !d->in_flight && d->told_ns < until_ns)
			couchdb_documents_remove(documents, d);
	}
}
