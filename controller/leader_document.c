/* SPDX-License-Identifier: Apache-2.0 */
/* The lease's document in the database: read, written, and made one of several. */
#include "leader_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lease_document.h"
#include "lease_leaves.h"
#include "ebb/cleanup.h"
#include "ebb/log.h"

static void set_error(struct leader *leader, const char *text)
{
	bool is_new;

	pthread_mutex_lock(&leader->lock);
	is_new = !leader->error[0] && *text;
	snprintf(leader->error, sizeof(leader->error), "%s", text);
	pthread_mutex_unlock(&leader->lock);
	if (is_new)
		log_warning("The lease: %s", text);
}

/* New documents come with the answer of a read; what was written is kept with its revision. */
static void keep_document(struct leader *leader, json_t *document)
{
	json_decref(leader->document);
	leader->document = document;
}

enum lease_result leader_read_document(struct leader *leader, unsigned timeout_ms,
				       struct lease_doc *ret_doc)
{
	_cleanup_free_ char *path =
		couchdb_db_path(leader->couch, DB_SERVICES, "/" COUCHDB_LEASE "?conflicts=true");
	struct couchdb_reply reply = {0};
	enum lease_result result = LEASE_FAILED;
	const char *reason;
	int r = path ? couchdb_call(leader->couch, "GET", path, NULL, timeout_ms, &reply) : -ENOMEM;

	reason = json_string_value(json_object_get(reply.json, "reason"));
	if (r < 0) {
		set_error(leader, path ? couchdb_error(leader->couch) : strerror(ENOMEM));
	} else if (reply.status == 200 && lease_document_parse(reply.json, ret_doc) >= 0) {
		keep_document(leader, json_incref(reply.json));
		result = LEASE_DONE;
	} else if (reply.status == 200) {
		set_error(leader, "the document " COUCHDB_LEASE " of the services is no lease: "
				  "delete it");
	} else if (reply.status == 404 && reason &&
		   (!strcmp(reason, "missing") || !strcmp(reason, "deleted"))) {
		result = LEASE_MISSING;
	} else {
		set_error(leader, reply.status == 404
					  ? "the database of the services does not exist"
					  : "unexpected answer to the reading of " COUCHDB_LEASE);
	}
	couchdb_reply_clear(&reply);
	/* Of one with conflicts, the error may be why they stay. */
	if (result == LEASE_MISSING || (result == LEASE_DONE && !ret_doc->split)) {
		set_error(leader, "");
		leader->told_split = false;
	}
	return result;
}

enum lease_result leader_write_document(struct leader *leader, const struct lease_doc *doc,
					unsigned timeout_ms, char ret_rev[LEASE_REV_MAX])
{
	_cleanup_free_ char *path = couchdb_db_path(leader->couch, DB_SERVICES, "/" COUCHDB_LEASE);
	_cleanup_json_ json_t *json = lease_document_build(doc, leader->document, wall_seconds());
	_cleanup_free_ char *body = json ? json_dumps(json, JSON_COMPACT) : NULL;
	struct couchdb_reply reply = {0};
	enum lease_result result = LEASE_FAILED;
	const char *rev;
	int r = -ENOMEM;

	if (path && body)
		r = couchdb_call(leader->couch, "PUT", path, body, timeout_ms, &reply);
	rev = json_string_value(json_object_get(reply.json, "rev"));
	if (r < 0) {
		set_error(leader, r == -ENOMEM ? strerror(ENOMEM) : couchdb_error(leader->couch));
	} else if (reply.status == 201 && rev && strlen(rev) < LEASE_REV_MAX) {
		/* A cluster's 202 is not enough: too few of its nodes have it. */
		snprintf(ret_rev, LEASE_REV_MAX, "%s", rev);
		result = LEASE_DONE;
	} else if (reply.status == 409) {
		result = LEASE_CONFLICT;
	} else {
		set_error(leader, reply.status == 404
					  ? "the database of the services does not exist"
					  : "the database has not taken " COUCHDB_LEASE);
	}
	couchdb_reply_clear(&reply);
	if (result == LEASE_DONE)
		keep_document(leader, TAKE_PTR(json));
	if (result != LEASE_FAILED)
		set_error(leader, "");
	return result;
}

uint64_t leader_settle_leaves(struct leader *leader, const struct lease_doc *doc)
{
	/* Writing replaces it. */
	_cleanup_json_ json_t *document = json_incref(leader->document);
	struct lease_doc raised = *doc;
	char rev[LEASE_REV_MAX];
	int r;

	if (!leader->told_split)
		log_warning("The document " COUCHDB_LEASE
			    " of the services has %zu other revisions "
			    "in conflict with it: nobody leads until they are deleted, which is "
			    "done now",
			    json_array_size(json_object_get(document, "_conflicts")));
	leader->told_split = true;
	r = lease_leaves_term(leader->couch, document, STANDBY_MS, &raised.term);
	if (r >= 0 && raised.term > doc->term) {
		raised.renewed++;
		if (leader_write_document(leader, &raised, STANDBY_MS, rev) != LEASE_DONE)
			return raised.term;
	}
	if (r >= 0)
		r = lease_leaves_delete(leader->couch, document, STANDBY_MS);
	if (r < 0)
		set_error(leader, r == -ENOMEM ? strerror(ENOMEM) : couchdb_error(leader->couch));
	return raised.term;
}
