/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One `_bulk_docs`: the documents that are on their way, and what becomes of each when the answer
 * is there, conflicts included.
 */
#ifndef EBB_STORE_COUCHDB_BATCH_H
#define EBB_STORE_COUCHDB_BATCH_H

#include "store_couchdb_private.h"

#define BATCH_DOCUMENTS 500
#define BATCH_BYTES     (1UL << 20)

/* A document on its way. While it is in flight nobody else touches its entry. */
struct couchdb_item {
	struct store_write *write;
	struct couchdb_document *document;
	char *body; /* as it shall be; NULL: deleted */
	char *base; /* what it was made from; NULL: not known */
	char *rev;  /* what it replaces; NULL: nothing */
	char *ours; /* `body` before something of theirs came into it; NULL: nothing did */
};

struct couchdb_batch {
	struct couchdb_store *store;
	struct couchdb *couch;
	enum store_db db;
	struct couchdb_item items[BATCH_DOCUMENTS];
	size_t n, bytes;
	bool lost;       /* it was found out that the database is not the one we know */
	unsigned n_bare; /* documents whose attachments had to be left out */
	json_t *why;     /* what was said of one that is to be tried again; NULL: nothing */
};

/* Said once per batch: what the document had of them is not in the database any more. */
void couchdb_batch_drop_attachments(struct couchdb_batch *batch, struct couchdb_document *document);
void couchdb_item_clear(struct couchdb_item *item);
/*
 * Sends what is in it and waits until each result is known and the batch is empty. Negative:
 * `couch` says why, and what is not done is -EAGAIN.
 */
int couchdb_batch_flush(struct couchdb_batch *batch);

#endif
