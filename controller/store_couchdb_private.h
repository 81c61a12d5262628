/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the CouchDB backend share. Two threads use it, the store's writer and the one
 * that follows the changes; each has a connection of its own. The lock guards memory only. Whoever
 * writes to a database or reads it as a whole takes its turn first, without waiting for it.
 */
#ifndef EBB_STORE_COUCHDB_PRIVATE_H
#define EBB_STORE_COUCHDB_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "couchdb.h"
#include "couchdb_documents.h"
#include "store.h"

struct couchdb_database {
	struct couchdb_documents *documents;
	char *marker;        /* the id of this incarnation; NULL: not known yet */
	char *since;         /* what the feed has been read up to */
	unsigned generation; /* rises when the feed has to begin anew */
	bool loaded;         /* `documents` is what the database has */
	bool read;           /* and all that was in it when it was first read has been told */
	uint64_t lost_ns;    /* since when that is known */
	bool lost;           /* it is not the one that we knew: find again or write everything */
	unsigned troubles;   /* times in a row that it alone could not be written; the writer's */
	uint64_t not_before_ns; /* then it is tried again */
	bool taken;             /* somebody has the turn */
	bool telling;           /* somebody is going through `told` */
	struct couchdb_told_list told;
};

struct couchdb_follow;
struct couchdb_store {
	struct couchdb *writer, *follower;
	pthread_mutex_t lock;
	pthread_cond_t all_told; /* of a database */
	struct couchdb_database dbs[DB_MAX];
	store_changed_fn fn; /* NULL: not followed yet */
	void *userdata;
	unsigned long unchanged, conflicts, unconfirmed;
	_Atomic uint64_t unconfirmed_said_ns;
	uint64_t swept_ns;
	_Atomic uint64_t unreadable_said_ns; /* when a document was named that cannot be read */
	_Atomic bool stopping, index_said;

	uint64_t call_end_ns; /* when the last call of write() ended; 0: there was none */
	char error[512];      /* the writer's */
	char unseen[160];     /* why the changes of no database can be followed; "" when they can */
	bool blind;           /* the changes of one database at least cannot be followed */
	bool optional, given_up;
	uint64_t said_ns; /* when it was last said what is waited for; 0: never */
	bool (*give_up)(void *userdata);
	void *give_up_userdata;
	struct couchdb_follow *follow;
};

static inline struct couchdb_database *couchdb_database(struct couchdb_store *store,
							enum store_db db)
{
	return &store->dbs[db];
}

/* false: somebody else has it. */
bool couchdb_take_turn(struct couchdb_store *store, enum store_db db);
void couchdb_give_turn(struct couchdb_store *store, enum store_db db);

/* It was found out that the database is not the one we know. */
void couchdb_lose_database(struct couchdb_store *store, enum store_db db);

/*
 * What was found out under the lock is queued before it is given back, in that order; then, without
 * it, whoever follows is told. Another thread that is at it tells ours too.
 */
void couchdb_queue(struct couchdb_store *store, enum store_db db, struct couchdb_told_list *told);
void couchdb_tell(struct couchdb_store *store, enum store_db db);
/* Until what was queued has been told, by whomever. Not from within the telling. */
void couchdb_wait_told(struct couchdb_store *store, enum store_db db);

/* --- store_couchdb_database.c: a database as a whole -------------------------------------------
 */

/*
 * Makes the database, its indexes and its marker as far as they are missing, and notes how far its
 * changes go. As couchdb_call().
 */
int couchdb_prepare_database(struct couchdb_store *store, struct couchdb *couch, enum store_db db);
/* 0: it is the one we know. 1: it is another or gone; with `back` also when it was set back. */
int couchdb_check_database(struct couchdb_store *store, struct couchdb *couch, enum store_db db,
			   bool back);
/*
 * Reads every document into the table, and calls `fn` (NULL: whoever follows) with what is news.
 * `retry` (may be NULL) is asked after a failure whether to ask for the same page again.
 */
int couchdb_read_database(struct couchdb_store *store, struct couchdb *couch, enum store_db db,
			  bool (*retry)(struct couchdb_store *store, struct couchdb *couch),
			  int (*fn)(void *userdata, struct couchdb_told_list *told),
			  void *userdata);
/*
 * Brings a database that was not there at the start, or is not the one we knew, and the table
 * together: news is told, what it lacks is written. With its turn taken. 0; or a failure, and it is
 * to be done again.
 */
int couchdb_recover_database(struct couchdb_store *store, struct couchdb *couch, enum store_db db);

/* --- store_couchdb_singly.c --------------------------------------------------------------------
 */

/* GET of a document. As couchdb_call(). */
int couchdb_read_one(struct couchdb *couch, enum store_db db, const char *id,
		     struct couchdb_reply *ret_reply);
/*
 * A page (couchdb_page.h) that answered -EBADMSG as a whole, document by document. What cannot be
 * read is named in the log and passed over.
 */
int couchdb_read_page_singly(struct couchdb *couch, enum store_db db, const char *start,
			     int (*fn)(void *userdata, struct couchdb_change *change),
			     void *userdata, char **ret_next);

/* --- store_couchdb_write.c ---------------------------------------------------------------------
 */

/* With the turn taken: sets each `result`. Negative: `couch` says why, all have to be tried again.
 */
int couchdb_write_database(struct couchdb_store *store, struct couchdb *couch, enum store_db db,
			   struct store_write *const *writes, size_t n);
/* The backend's write(). */
int couchdb_store_write(void *backend, struct store_write *const *writes, size_t n);

/* --- store_couchdb_catch_up.c ------------------------------------------------------------------
 */

/* The backend's catch_up(). */
int couchdb_store_catch_up(void *backend, unsigned timeout_ms);

/* --- store_couchdb_follow.c --------------------------------------------------------------------
 */

int couchdb_follow_start(struct couchdb_store *store);
/* Ends the thread, if there is one. */
void couchdb_follow_stop(struct couchdb_store *store);

#endif
