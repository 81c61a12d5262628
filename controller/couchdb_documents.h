/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a CouchDB database is known to hold: one entry per document, by key and by id, with the
 * revision and the body that the last write or read left. Decides what a change that arrives means:
 * an echo of our own write, something old, or news. Pure; the caller locks.
 */
#ifndef EBB_COUCHDB_DOCUMENTS_H
#define EBB_COUCHDB_DOCUMENTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "couchdb_feed.h"
#include "store.h"

struct couchdb_document {
	char *key, *id;
	char *rev;    /* NULL: not in the database as far as known */
	char *synced; /* the body both sides have, compact, without '_' fields; NULL: none */
	char *kept;   /* "_attachments":{...}, as it goes into the next write; NULL: nothing */
	/*
	 * A change was told: what was made before that must be merged with it, from `before` (NULL:
	 * not known) as the base; or must not bring back what was deleted.
	 */
	bool behind;
	char *before;
	uint64_t told_ns; /* when telling it began, or we deleted it; UINT64_MAX: not yet */

	uint64_t attempt; /* couchdb_document_hash() of what was sent without an answer; 0: none */
	struct couchdb_change waiting; /* came while in flight; id NULL: nothing */

	bool in_flight; /* the writer has it: changes wait, and it is not freed */
	bool gone;      /* deleted; stays until no old change can bring it back */
	bool absent;    /* not found again yet, after the database was lost */
	bool redo;      /* found again, but other than it was: `before` has to be merged with it */
	bool untold;    /* there was nobody to tell yet */
	bool twin_told; /* another document with the same name was said in the log */
	struct couchdb_document *prev, *next;
};

struct couchdb_documents;
int couchdb_documents_new(enum store_db db, struct couchdb_documents **ret_documents);
void couchdb_documents_free(struct couchdb_documents *documents);
size_t couchdb_documents_count(const struct couchdb_documents *documents);

struct couchdb_document *couchdb_documents_by_key(const struct couchdb_documents *documents,
						  const char *key);
struct couchdb_document *couchdb_documents_first(const struct couchdb_documents *documents);
/* One that is to be made, with the id that its key gives. NULL on no memory. */
struct couchdb_document *couchdb_documents_add(struct couchdb_documents *documents,
					       const char *key);
void couchdb_documents_remove(struct couchdb_documents *documents,
			      struct couchdb_document *document);

/* What somebody has to be told, in order. */
struct couchdb_told {
	char *key;
	json_t *base; /* what we had of it; NULL: nothing that is known */
	json_t *doc;  /* NULL: deleted */
	struct couchdb_told *next;
};
struct couchdb_told_list {
	struct couchdb_told *first, **last;
};
#define COUCHDB_TOLD_LIST(list)             \
	struct couchdb_told_list list = {}; \
	(list).last = &(list).first
/* `base`: as text, NULL when not known. */
int couchdb_told_add(struct couchdb_told_list *told, const char *key, const char *base,
		     json_t *doc);
void couchdb_told_free(struct couchdb_told *told);

/*
 * Takes in what the database says: a change, or a document read from it. Takes the contents of
 * `change` over, whatever comes out. Old ones, echoes and ones without a difference tell nothing.
 */
int couchdb_documents_take(struct couchdb_documents *documents, struct couchdb_change *change,
			   struct couchdb_told_list *told);

/* The writer has an answer for a document that is in flight. Each ends the flight, and takes in
 * what waited for it. */
/*
 * It is there now as `body`, which is taken over, with `rev`. `ours`: what it would have been
 * without something of theirs, which is told; NULL: there was nothing.
 */
int couchdb_documents_written(struct couchdb_documents *documents,
			      struct couchdb_document *document, const char *rev, char *body,
			      const char *ours, struct couchdb_told_list *told);
/* It was deleted: by us, or by them, which is told. The entry stays, so that what comes late of an
 * older revision is known as such. `rev` NULL: not known. */
int couchdb_documents_deleted(struct couchdb_documents *documents,
			      struct couchdb_document *document, const char *rev, bool by_them,
			      uint64_t now, struct couchdb_told_list *told);
/* Nobody knows, or it was refused (`refused`). May free `document`. */
int couchdb_documents_failed(struct couchdb_documents *documents, struct couchdb_document *document,
			     bool refused, struct couchdb_told_list *told);

/* Whatever is written from now on was made by somebody who knows all that was told. */
void couchdb_documents_settle(struct couchdb_documents *documents);
/* Was a write made before the last change of the document was told? */
bool couchdb_document_was_told_since(const struct couchdb_document *document, uint64_t made_ns);
/*
 * The document whose revision was told or written last, and that revision: a database that does not
 * know it was set back. Owned by the table; NULL: none since the database was found.
 */
const char *couchdb_documents_newest(const struct couchdb_documents *documents,
				     const char **ret_rev);
/* The database was lost: everything known has to be found again, or written. */
void couchdb_documents_lose(struct couchdb_documents *documents);
/* Is there one that was not found again? */
bool couchdb_documents_absent(const struct couchdb_documents *documents);
/* Forgets deletions older than `until_ns`, unless a write from before might still come. */
void couchdb_documents_sweep(struct couchdb_documents *documents, uint64_t until_ns);

/* A document's own fields: takes those that begin with '_' out of `doc` (an object). The ones that
 * must go back with a write come as text in *ret_kept, NULL for none. */
int couchdb_document_strip(json_t *doc, char **ret_kept);
/* Of the content, whatever the order of members and the way numbers are written. Never 0. */
uint64_t couchdb_document_hash(const json_t *doc);

/* The id of a new document: the key, but ids cannot begin with '_'. NULL on no memory. */
char *couchdb_id_of_key(const char *key);
/* The key of a document that stands under `id`: events and requests go by their id, the others by
 * their name, if they have one. NULL on no memory. */
char *couchdb_key_of(enum store_db db, const char *id, const json_t *doc);
/* The number a revision begins with; 0 for anything else. */
unsigned long couchdb_rev_number(const char *rev);

#endif
