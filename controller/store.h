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

/* A backend; called by the writer thread only, but for `load` which runs before it. Blocking is
 * fine. */
struct store_write {
	enum store_db db;
	char *id;
	char *body; /* compact JSON; NULL: delete */
};
struct store_backend_ops {
	/* Calls `fn` for every document of `db`. */
	int (*load)(void *backend, enum store_db db,
		    int (*fn)(void *userdata, const char *id, json_t *doc), void *userdata);
	/* All or nothing. */
	int (*write)(void *backend, const struct store_write *writes, size_t n);
	void (*close)(void *backend);
};
/* "sqlite:PATH" (store_sqlite.c); a scheme nobody knows is -EINVAL. Creates the file (0600) and its
 * directory. */
int store_sqlite_open(const char *path, const struct store_backend_ops **ret_ops,
		      void **ret_backend);

struct store;
/* `uri`: "sqlite:PATH". Errors are logged with what to do. */
int store_open(const char *uri, struct store **ret_store);
/* Before store_start(). */
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
/* Waits until everything queued before is on disk. For tests and a clean stop. */
int store_flush(struct store *store);

struct store_stats {
	unsigned long writes, batches, failures;
	size_t queued;
	double last_write_age_s;
	char last_error[160];
};
void store_get_stats(struct store *store, struct store_stats *ret_stats);

#endif
