/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state store: the seven databases of spec section 2 as documents by id. Memory is the working
 * copy; the store is loaded once and written behind by a thread of its own, at most 100 ms late,
 * coalesced per document.
 */
#ifndef EBB_STORE_H
#define EBB_STORE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum store_db {
	DB_STRUCTURES,
	DB_SERVICES,
	DB_LIMITS,
	DB_RULES,
	DB_EVENTS,
	DB_REQUESTS,
	DB_USERS,
	DB_MAX,
};
const char *store_db_name(enum store_db db);

/*
 * A backend; called by the writer thread only, but for `load` which runs before it and `close`
 * after it. Blocking is fine.
 */
struct store_write {
	enum store_db db;
	char *id;
	char *body; /* compact JSON; NULL: delete */
};
struct store_backend_ops {
	/* Calls `fn` for every document of `db`. */
	int (*load)(void *backend, enum store_db db,
		    int (*fn)(void *userdata, const char *id, json_t *doc), void *userdata);
	/* All or nothing; negative errno: nothing was written, try again later. */
	int (*write)(void *backend, const struct store_write *const *writes, size_t n);
	/* The last failure, for people. */
	const char *(*error)(void *backend);
	void (*close)(void *backend);
};
/*
 * Creates the file (0600) and its directory (0700). A file that is not Ebb's, is damaged or is in
 * use by another controller is refused with one line in the log, and left as it is.
 */
int store_sqlite_open(const char *path, const struct store_backend_ops **ret_ops,
		      void **ret_backend);

struct store;
/* `uri`: "sqlite:PATH"; -EINVAL for a scheme nobody knows. Errors are logged with what to do. */
int store_open(const char *uri, struct store **ret_store);
/* The same over a backend of one's own, which the store then owns. */
int store_new(const struct store_backend_ops *ops, void *backend, struct store **ret_store);
/* Before store_start(). `fn` keeps `doc` only by a reference of its own; a negative result ends the
 * loading and is returned. */
int store_load(struct store *store, enum store_db db,
	       int (*fn)(void *userdata, const char *id, json_t *doc), void *userdata);
int store_start(struct store *store);
/* Writes what is queued, then closes. */
void store_close(struct store *store);

/*
 * Queues a document (serialised here, so the caller may change it afterwards) or its deletion.
 * Never blocks on I/O. A newer write of the same document replaces one that waits.
 */
int store_put(struct store *store, enum store_db db, const char *id, const json_t *doc);
int store_delete(struct store *store, enum store_db db, const char *id);
/*
 * Waits until everything queued before is on disk; -EIO when that was tried and failed (it
 * stays queued). For tests and a clean stop.
 */
int store_flush(struct store *store);

struct store_stats {
	unsigned long writes, batches, failures;
	size_t queued;
	double last_write_age_s;
	char last_error[160];
};
void store_get_stats(struct store *store, struct store_stats *ret_stats);

#endif
