/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A page of documents of which one cannot be read spoils the others with it: they are read one by
 * one then, and that one is passed over.
 */
#include "store_couchdb_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "couchdb_page.h"
#include "ebb/cleanup.h"
#include "ebb/log.h"

#define ONE_MS 10000

int couchdb_read_one(struct couchdb *couch, enum store_db db, const char *id,
		     struct couchdb_reply *ret_reply)
{
	_cleanup_free_ char *escaped = http_escape(id), *rest = NULL, *path = NULL;

	*ret_reply = (struct couchdb_reply){0};
	if (!escaped || asprintf(&rest, "/%s", escaped) < 0) {
		rest = NULL;
		return -ENOMEM;
	}
	path = couchdb_db_path(couch, db, rest);
	return path ? couchdb_call(couch, "GET", path, NULL, ONE_MS, ret_reply) : -ENOMEM;
}

static int take_one(struct couchdb *couch, enum store_db db, const char *id,
		    int (*fn)(void *userdata, struct couchdb_change *change), void *userdata)
{
	struct couchdb_change change = {0};
	struct couchdb_reply reply;
	const char *rev;
	int r;

	r = couchdb_read_one(couch, db, id, &reply);
	rev = json_string_value(json_object_get(reply.json, "_rev"));
	if (r == -EBADMSG) {
		log_error("State: the document %s in %s is passed over: %s", id, store_db_name(db),
			  couchdb_error(couch));
		r = 0;
	} else if (r == 0 && reply.status == 200 && rev) {
		change.id = strdup(id);
		change.rev = strdup(rev);
		change.doc = json_incref(reply.json);
		if (change.id && change.rev) {
			r = fn(userdata, &change);
		} else {
			couchdb_change_clear(&change);
			r = -ENOMEM;
		}
	} else if (r == 0 && reply.status != 404) {
		r = couchdb_fail(couch, -EAGAIN, "reading a document", &reply);
	}
	couchdb_reply_clear(&reply);
	return r;
}

static int take_rows(struct couchdb *couch, enum store_db db, const json_t *rows,
		     int (*fn)(void *userdata, struct couchdb_change *change), void *userdata,
		     char **ret_next)
{
	size_t n = json_array_size(rows);
	int r = 0;

	for (size_t i = 0; i < n && r >= 0; i++) {
		const char *id = json_string_value(json_object_get(json_array_get(rows, i), "id"));

		if (!id)
			return -EBADMSG;
		if (i == COUCHDB_PAGE) {
			*ret_next = strdup(id);
			return *ret_next ? 0 : -ENOMEM;
		}
		if (strncmp(id, "_design/", 8) != 0)
			r = take_one(couch, db, id, fn, userdata);
	}
	return MIN(r, 0);
}

int couchdb_read_page_singly(struct couchdb *couch, enum store_db db, const char *start,
			     int (*fn)(void *userdata, struct couchdb_change *change),
			     void *userdata, char **ret_next)
{
	_cleanup_free_ char *rest = couchdb_page_path_ids(COUCHDB_PAGE, start), *path = NULL;
	struct couchdb_reply reply = {0};
	char *next = NULL;
	int r;

	path = rest ? couchdb_db_path(couch, db, rest) : NULL;
	r = path ? couchdb_call(couch, "GET", path, NULL, ONE_MS, &reply) : -ENOMEM;
	if (r == 0)
		r = take_rows(couch, db, json_object_get(reply.json, "rows"), fn, userdata, &next);
	if (r == -EBADMSG)
		r = couchdb_fail(couch, -EAGAIN, "reading the ids of documents", &reply);
	couchdb_reply_clear(&reply);
	if (r == 0)
		*ret_next = next;
	return r;
}
