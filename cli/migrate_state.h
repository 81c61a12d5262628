/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One of the two states that `ebb migrate` copies between. Reading changes nothing there; failures
 * are said on standard error, as one line.
 */
#ifndef EBB_CLI_MIGRATE_STATE_H
#define EBB_CLI_MIGRATE_STATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controller/couchdb.h"
#include "controller/store.h"

struct migrate_state {
	char *uri, *shown; /* `shown`: without the password */
	const struct store_options *options;
	bool exists; /* there is something to read, if only empty */

	struct couchdb *couch;               /* of a CouchDB: for reading */
	const struct store_backend_ops *ops; /* once opened */
	void *backend;
	uint64_t until_ns;         /* when waiting for it ends */
	json_t *documents[DB_MAX]; /* key -> document, as last read */
	/* What was read and is not in `documents`, a line for each: what it is and what to do. */
	json_t *twins, *attachments;
};

/* `uri` is copied. 0; negative errno, and it has been said why. */
int migrate_state_init(struct migrate_state *state, const char *uri,
		       const struct store_options *options);
void migrate_state_clear(struct migrate_state *state);
/* Reads all documents, anew each time. What does not exist is empty. */
int migrate_state_read(struct migrate_state *state);
size_t migrate_state_count(const struct migrate_state *state);
/* Makes what is missing, and is ready to be written to; after migrate_state_read(). */
int migrate_state_open(struct migrate_state *state);
/* Writes (`doc`) or deletes (NULL) some; each one's result. */
int migrate_state_write(struct migrate_state *state, struct store_write *const *writes, size_t n);
/*
 * Is a controller at work on a CouchDB? Takes two seconds when one seems to be. 1: yes, with its
 * URL (caller frees); 0: no; negative errno. That of an SQLite file holds a lock, which keeps it
 * from being opened.
 */
int migrate_state_leader(struct migrate_state *state, char **ret_holder);

#endif
