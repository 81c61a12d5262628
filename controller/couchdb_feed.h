/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes out of a continuous `_changes`: pieces of any size become lines, and a line a change.
 * Pure.
 */
#ifndef EBB_COUCHDB_FEED_H
#define EBB_COUCHDB_FEED_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* A document of 8 MB, CouchDB's usual limit, fits with whatever surrounds it. */
#define COUCHDB_LINE_MAX (64UL << 20)

/* Zeroed to begin with, but for `max`. */
struct couchdb_lines {
	size_t max; /* longer lines are dropped */
	char *line; /* the one that is not whole yet */
	size_t len, room;
	bool dropping;
};
/*
 * Called for each whole line, without its end and NUL-terminated; empty ones (heartbeats) are left
 * out. NULL: one was longer than `max`. A negative result ends the taking and is returned.
 */
typedef int (*couchdb_line_fn)(void *userdata, const char *line, size_t len);
int couchdb_lines_take(struct couchdb_lines *lines, const char *data, size_t len,
		       couchdb_line_fn fn, void *userdata);
/* The part of a line that a cut left is forgotten: it comes again. */
void couchdb_lines_clear(struct couchdb_lines *lines);

struct couchdb_change {
	char *id;    /* NULL: the feed's end, or an error; only `seq` and `error` count */
	char *rev;   /* the winning one */
	char *seq;   /* as it goes into "since=", not yet percent-encoded; NULL: none told */
	json_t *doc; /* NULL: deleted, or not told */
	bool deleted;
	char *error; /* what the server said instead; NULL */
};
/* -EBADMSG when it is no such line; `ret_change` is untouched then. */
int couchdb_change_parse(const char *line, size_t len, struct couchdb_change *ret_change);
/*
 * Of a line that could not be parsed, for what is in its document: `id` and `seq` only, so that it
 * can be passed over. -EBADMSG when it is not whole, or no such line at all.
 */
int couchdb_change_skim(const char *line, size_t len, struct couchdb_change *ret_change);
void couchdb_change_clear(struct couchdb_change *change);

/* `seq` of a document or reply as text, owned; NULL for null, and on no memory. Numbers (CouchDB 1,
 * PouchDB), strings and arrays are known. */
char *couchdb_seq_text(const json_t *seq);

#endif
