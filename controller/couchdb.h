/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CouchDB's HTTP API as far as Ebb needs it: one connection that is kept, authentication by basic
 * or cookie, replies parsed, failures as one line that says what to do. Blocking; one thread each.
 * CouchDB 2.3 and 3.x, and what speaks their API.
 */
#ifndef EBB_COUCHDB_H
#define EBB_COUCHDB_H

#include <jansson.h>
#include <stdbool.h>

#include "store.h"
#include "ebb/http_client.h"

/* The leader's lease, a document of `services` that only the leader reads and writes: the store
 * neither shows nor restores it. */
#define COUCHDB_LEASE "ebb_leader"

/* "http(s)://[USER:PASSWORD@]HOST[:PORT]/[PREFIX]", percent-decoded where it must be. */
struct couchdb_url {
	char *server; /* "http://HOST:PORT" */
	char *prefix; /* put before each database's name; "" for none */
	char *user, *password;
};
/* Pure. -EINVAL with `ret_error` (caller frees), which never has the password in it. */
int couchdb_url_parse(const char *uri, struct couchdb_url *ret_url, char **ret_error);
/* Wipes the password. */
void couchdb_url_clear(struct couchdb_url *url);

struct couchdb;
/* Opens nothing yet. Reads the credentials file; logs what is wrong with it. */
int couchdb_new(const char *uri, const struct store_options *options, struct couchdb **ret_couch);
/* Another connection to the same server, for another thread. */
int couchdb_copy(const struct couchdb *couch, struct couchdb **ret_couch);
void couchdb_free(struct couchdb *couch);

struct couchdb_reply {
	long status;          /* 0: no answer */
	json_t *json;         /* NULL when it was none */
	bool unreadable;      /* it was, but with something in it for which we have no type */
	double retry_after_s; /* a Retry-After header; 0: none */
};
void couchdb_reply_clear(struct couchdb_reply *reply);

/*
 * One request. `path` begins with '/', is encoded, and is the server's ("/_session") or one from
 * couchdb_db_path(). 0 for any answer that CouchDB means, a 404 or 409 too; negative errno when
 * there was none, or one that says come back later or not like this: -EAGAIN (no answer, 408, 429,
 * 5xx), -ENOSPC (507, or a 500 that speaks of a full disk), -EACCES (401, 403 after the cookie was
 * renewed), -EBADMSG (JSON, but not for us: couchdb_json.h), -EPROTO (whatever answers is not
 * CouchDB). While the server has asked to be left alone
 * (Retry-After, up to 10 s) nothing is sent: -EAGAIN. couchdb_error() then says it in one line,
 * never with a secret. `timeout_ms` 0: 10,000. Fills `ret_reply` on failure too, with what there
 * is; clear it in any case.
 */
int couchdb_call(struct couchdb *couch, const char *method, const char *path, const char *body,
		 unsigned timeout_ms, struct couchdb_reply *ret_reply);
const char *couchdb_error(const struct couchdb *couch);
/* Did the last call get no answer, or one (408, 429, 502 and above) that speaks for the whole
 * server? */
bool couchdb_is_silent(const struct couchdb *couch);
/* Makes an unexpected reply to `what` the error: `result`. */
int couchdb_fail(struct couchdb *couch, int result, const char *what,
		 const struct couchdb_reply *reply);
/* The same for a document that `_bulk_docs` could not write now, of which it says `line`. */
void couchdb_fail_document(struct couchdb *couch, const json_t *line);
/* Asked at least once a second during a call; true ends it with -EAGAIN. */
void couchdb_set_stopped(struct couchdb *couch, bool (*stopped)(void *userdata), void *userdata);
/* "http://HOST:PORT". */
const char *couchdb_server(const struct couchdb *couch);
/*
 * For a request of one's own, in a loop: address, who we are and the CA file, all borrowed until
 * the next call with `couch`. Logs in first if need be, so it may block and fail like
 * couchdb_call().
 */
int couchdb_access(struct couchdb *couch, struct http_request_options *options);
/* After a 401 to such a request: the next one logs in anew. */
void couchdb_forget_cookie(struct couchdb *couch);
/* "PREFIXstructures", as people know it. Caller frees; NULL on no memory. */
char *couchdb_db_name(const struct couchdb *couch, enum store_db db);
/* "/PREFIXstructures" + `rest`, encoded. Caller frees; NULL on no memory. */
char *couchdb_db_path(const struct couchdb *couch, enum store_db db, const char *rest);

#endif
