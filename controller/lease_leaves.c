/* SPDX-License-Identifier: Apache-2.0 */
#include "lease_leaves.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "lease.h"
#include "lease_document.h"
#include "ebb/cleanup.h"
#include "ebb/http_client.h"

static int call_leaf(struct couchdb *couch, const char *method, const char *rev,
		     unsigned timeout_ms, struct couchdb_reply *ret_reply)
{
	_cleanup_free_ char *escaped = http_escape(rev), *rest = NULL, *path = NULL;

	*ret_reply = (struct couchdb_reply){0};
	if (!escaped || asprintf(&rest, "/" COUCHDB_LEASE "?rev=%s", escaped) < 0)
		return -ENOMEM;
	path = couchdb_db_path(couch, DB_SERVICES, rest);
	return path ? couchdb_call(couch, method, path, NULL, timeout_ms, ret_reply) : -ENOMEM;
}

int lease_leaves_term(struct couchdb *couch, const json_t *document, unsigned timeout_ms,
		      uint64_t *term)
{
	const json_t *leaves = json_object_get(document, "_conflicts"), *rev;
	int r = 0;
	size_t i;

	json_array_foreach(leaves, i, rev) {
		struct couchdb_reply reply;
		struct lease_doc leaf;

		if (i == LEASE_LEAVES_MAX || r < 0)
			break;
		r = call_leaf(couch, "GET", json_string_value(rev) ?: "", timeout_ms, &reply);
		/* One that is no lease has no term. */
		if (r == 0 && reply.status == 200 && lease_document_parse(reply.json, &leaf) == 0)
			*term = MAX(*term, leaf.term);
		couchdb_reply_clear(&reply);
	}
	return r;
}

int lease_leaves_delete(struct couchdb *couch, const json_t *document, unsigned timeout_ms)
{
	const json_t *leaves = json_object_get(document, "_conflicts"), *rev;
	int r = 0;
	size_t i;

	json_array_foreach(leaves, i, rev) {
		struct couchdb_reply reply;

		if (i == LEASE_LEAVES_MAX || r < 0)
			break;
		r = call_leaf(couch, "DELETE", json_string_value(rev) ?: "", timeout_ms, &reply);
		if (r == 0 && reply.status / 100 != 2 && reply.status != 404 && reply.status != 409)
			r = couchdb_fail(couch, -EPROTO, "deleting a leaf of " COUCHDB_LEASE,
					 &reply);
		couchdb_reply_clear(&reply);
	}
	return r;
}
