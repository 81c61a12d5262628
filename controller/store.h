/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state store: the seven databases of spec section 2 as documents by key. Memory is the working
 * copy; the store is loaded once and written behind by a thread of its own, at most 100 ms late,
 * coalesced per document. A backend that others write to as well (CouchDB) tells of their changes.
 *
 * The key of a document is its `name`, of an event or a request its id. Ids, revisions and
 * whatever else begins with '_' are the backend's own business and are never seen here.
 */
#ifndef EBB_STORE_H
#define EBB_STORE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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

struct store_stats;

/*
 * A backend; called by the writer thread only, but for `load` which runs before it and `close`
 * after it. Blocking is fine.
 */
struct store_write {
	enum store_db db;
	char *id;
	char *body; /* compact JSON; NULL: delete */
	/*
	 * When it was made (CLOCK_MONOTONIC). One that was made after a change began to be told
	 * takes that change into account: whoever is told of one writes what it makes of it, also
	 * when that is what was there before.
	 */
	uint64_t made_ns;
	/*
	 * Set by write(): 0, it is in the database, or what somebody else wrote meanwhile has been
	 * merged with it and is; -EAGAIN, try again; -EIO, the same, but it was not for this
	 * document alone, and the backend has said so; -EINVAL, the database refuses this document
	 * for good (said in the log by the backend): it is dropped and counted.
	 */
	int result;
};

/*
 * Somebody else changed a document, or a merge took something from somebody else's change; `doc`
 * NULL: deleted. `base` is what the database was last known to have of it, as we wrote it, loaded
 * it or were told of it (after a merge: what we had sent): what we changed since then and they did
 * not is still to be written. NULL: not known. In a thread of the backend's, which holds no lock of
 * its own then. Borrows `base` and `doc`.
 */
typedef void (*store_changed_fn)(void *userdata, enum store_db db, const char *id,
				 const json_t *base, json_t *doc);
struct store_backend_ops {
	/* Calls `fn` for every document of `db`. */
	int (*load)(void *backend, enum store_db db,
		    int (*fn)(void *userdata, const char *id, json_t *doc), void *userdata);
	/* 0: look at each `result`; negative errno: all have to be tried again later. */
	int (*write)(void *backend, struct store_write *const *writes, size_t n);
	/* Optional. From now on `fn` is told, also of what changed since load(). Returns at once.
	 */
	int (*follow)(void *backend, store_changed_fn fn, void *userdata);
	/* Optional, from any thread: as store_catch_up(). */
	int (*catch_up)(void *backend, unsigned timeout_ms);
	/* Optional, from any thread: as store_is_read(). */
	bool (*is_read)(void *backend);
	/* Optional. Makes what the databases (1 << enum store_db) take on disk smaller; negative
	 * errno: error() says why. */
	int (*compact)(void *backend, unsigned databases);
	/* The last failure, for people, with what to do about it. Never a secret. */
	const char *(*error)(void *backend);
	/* Optional, from any thread: adds what only the backend knows: `unchanged`, `conflicts`,
	 * `unconfirmed`.
	 */
	void (*add_stats)(void *backend, struct store_stats *stats);
	void (*close)(void *backend);
};
/*
 * Creates the file (0600) and its directory (0700). A file that is not Ebb's, is damaged or is in
 * use by another controller is refused with one line in the log, and left as it is.
 */
int store_sqlite_open(const char *path, const struct store_backend_ops **ret_ops,
		      void **ret_backend);

/* How to reach a CouchDB, besides its URL. */
struct store_options {
	const char *credentials_file; /* one line, "USER:PASSWORD"; NULL: those of the URL */
	const char *ca_file;          /* NULL: the system's */
	struct identity *identity;    /* instead: its CA and certificate; borrowed */
	bool cookie;                  /* authenticate by /_session */
	bool optional;                /* go on without it when it does not answer at the start */
	/* Asked twice a second and more often while waiting for a database at the start; true: give
	 * up with -ECANCELED. NULL: never. */
	bool (*give_up)(void *userdata);
	void *userdata;
};

/*
 * store_couchdb.c. Waits for one that does not answer as store_open() says. Errors are logged.
 */
int store_couchdb_open(const char *uri, const struct store_options *options,
		       const struct store_backend_ops **ret_ops, void **ret_backend);

struct store;
/*
 * `uri`: "sqlite:PATH" or "http(s)://[USER:PASSWORD@]HOST[:PORT]/[PREFIX]"; -EINVAL for a scheme
 * nobody knows. Waits for a CouchDB that does not answer, unless it is `optional`, and says so.
 * Errors are logged with what to do. `options` NULL: none.
 */
int store_open(const char *uri, const struct store_options *options, struct store **ret_store);
/* NULL, or what is wrong with `uri` and what would be right (caller frees). Pure. */
char *store_uri_check(const char *uri);
/* Is it one that others write to as well? Pure. */
bool store_uri_is_shared(const char *uri);
/* `uri` without its password, for logs and displays. Caller frees; NULL on no memory. */
char *store_uri_public(const char *uri);
/* The same over a backend of one's own, which the store then owns. */
int store_new(const struct store_backend_ops *ops, void *backend, struct store **ret_store);
/* Do others write to it as well? */
bool store_is_shared(const struct store *store);
/* Before store_start(). `fn` keeps `doc` only by a reference of its own; a negative result ends the
 * loading and is returned. */
int store_load(struct store *store, enum store_db db,
	       int (*fn)(void *userdata, const char *id, json_t *doc), void *userdata);
int store_start(struct store *store);
/* After store_start(); nothing happens with a backend that nobody else writes to. */
int store_follow(struct store *store, store_changed_fn fn, void *userdata);
/*
 * Before one begins to write what follows from the state: asks once for what others have changed in
 * the structures, limits, rules and services, for `timeout_ms` in all, and tells it before it
 * returns. Negative errno when not all could be read; that is said in the log. 0 with a backend
 * that nobody else writes to. From any thread, while nothing is being unfollowed or closed.
 */
int store_catch_up(struct store *store, unsigned timeout_ms);
/*
 * Has all that the databases held been told, by store_load() or, of those that were not there then,
 * by the function of store_follow()? What is changed before gives way to what is in there. Once
 * true it stays so. From any thread.
 */
bool store_is_read(struct store *store);
/* From when this returns on `fn` is not called any more. Not from within it. */
void store_unfollow(struct store *store);
/* Writes what is queued, then closes. */
void store_close(struct store *store);

/*
 * Queues a document (serialised here, so the caller may change it afterwards) or its deletion.
 * Never blocks on I/O. A newer write of the same document replaces one that waits.
 */
int store_put(struct store *store, enum store_db db, const char *id, const json_t *doc);
int store_delete(struct store *store, enum store_db db, const char *id);
/*
 * Queues a deletion, and has `fn` of store_on_claimed() called when the document is not in the
 * database any more: what it asks for cannot be found there again then, whatever happens to us.
 */
int store_claim(struct store *store, enum store_db db, const char *id);
/*
 * Before store_start(). `fn` runs in the writer's thread, which holds no lock of what others call;
 * store_unfollow() ends it too, and store_flush() returns after it.
 */
typedef void (*store_claimed_fn)(void *userdata, enum store_db db, const char *id);
void store_on_claimed(struct store *store, store_claimed_fn fn, void *userdata);
/*
 * Waits until everything queued before is on disk; -EIO when that was tried and failed (it
 * stays queued). For tests and a clean stop.
 */
int store_flush(struct store *store);

/*
 * Asks for the databases (1 << enum store_db) to take less room on disk: done by the writer's
 * thread between two batches. A failure is said in the log once. Nothing happens with a backend
 * that cannot.
 */
void store_compact(struct store *store, unsigned databases);

struct store_stats {
	unsigned long writes, batches, failures;
	unsigned long unchanged;   /* not sent: the database has it so already */
	unsigned long conflicts;   /* somebody else had written; merged */
	unsigned long refused;     /* dropped for good */
	unsigned long unconfirmed; /* written, but fewer nodes than a majority said so */
	unsigned long changes;     /* of others, taken in */
	bool following;            /* what others change is seen, in every database */
	unsigned long compactions; /* that worked */
	bool reachable;            /* the last thing tried worked, or nothing was tried yet */
	size_t queued;
	double oldest_queued_s; /* how long the write that waits longest has waited; 0: none does */
	double last_write_age_s;
	char last_error[160];
};
void store_get_stats(struct store *store, struct store_stats *ret_stats);

#endif
