/* SPDX-License-Identifier: Apache-2.0 */
#include "migrate_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "controller/couchdb_documents.h"
#include "controller/couchdb_page.h"
#include "controller/leader.h"
#include "ebb/cleanup.h"
#include "ebb/loop.h"
#include "ebb/units.h"

#define SQLITE     "sqlite:"
#define TIMEOUT_MS 30000
#define PAGE       500
/* It answered a moment ago; but to make seven databases takes its time. */
#define READY_NS (30 * EBB_NS_PER_SEC)

int migrate_state_init(struct migrate_state *state, const char *uri,
		       const struct store_options *options)
{
	_cleanup_free_ char *wrong = store_uri_check(uri);

	*state = (struct migrate_state){.options = options};
	if (wrong) {
		cli_fail("%s", wrong);
		return -EINVAL;
	}
	state->uri = strdup(uri);
	state->shown = store_uri_public(uri);
	for (int i = 0; i < DB_MAX; i++)
		state->documents[i] = json_object();
	state->twins = json_array();
	state->attachments = json_array();
	if (!state->uri || !state->shown || !state->twins || !state->attachments)
		return -ENOMEM;
	/* It has logged what is wrong. */
	return store_uri_is_shared(uri) ? couchdb_new(uri, options, &state->couch) : 0;
}

void migrate_state_clear(struct migrate_state *state)
{
	if (state->ops)
		state->ops->close(state->backend);
	couchdb_free(state->couch);
	for (int i = 0; i < DB_MAX; i++)
		json_decref(state->documents[i]);
	json_decref(state->twins);
	json_decref(state->attachments);
	free(state->shown);
	free(state->uri);
}

size_t migrate_state_count(const struct migrate_state *state)
{
	size_t n = 0;

	for (int i = 0; i < DB_MAX; i++)
		n += json_object_size(state->documents[i]);
	return n;
}

/* --- reading --- */

static int keep(void *userdata, const char *id, json_t *doc)
{
	_cleanup_free_ char *attachments = NULL;
	int r = couchdb_document_strip(doc, &attachments);

	return r < 0 || json_object_set(userdata, id, doc) == 0 ? r : -ENOMEM;
}

/* Takes `line` over; NULL: no memory. */
static int add_line(json_t *lines, char *line)
{
	int r = line && json_array_append_new(lines, json_string(line)) == 0 ? 0 : -ENOMEM;

	free(line);
	return r;
}

/* "logo.png, notes.txt" */
static char *attachment_names(const json_t *attachments)
{
	char *names = NULL, *longer;
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)attachments, name, value) {
		if (asprintf(&longer, "%s%s%s", names ?: "", names ? ", " : "", name) < 0)
			longer = NULL;
		free(names);
		names = longer;
		if (!names)
			break;
	}
	return names;
}

static int call(struct migrate_state *state, const char *path, struct couchdb_reply *ret_reply)
{
	int r = couchdb_call(state->couch, "GET", path, NULL, TIMEOUT_MS, ret_reply);

	if (r < 0)
		cli_fail("%s: %s", state->shown, couchdb_error(state->couch));
	return r;
}

struct page {
	struct migrate_state *state;
	enum store_db db;
};

static int tell_twin(struct page *page, const char *id, const char *key)
{
	char *line;

	if (asprintf(&line,
		     "%s %s is left out: an earlier document is named %s too; rename one of them, "
		     "or delete it",
		     store_db_name(page->db), id, key) < 0)
		line = NULL;
	return add_line(page->state->twins, line);
}

static int tell_attachments(struct page *page, const char *id, const json_t *attachments)
{
	_cleanup_free_ char *names = NULL;
	char *line;

	if (json_object_size(attachments) == 0)
		return 0;
	names = attachment_names(attachments);
	if (!names || asprintf(&line,
			       "%s %s is copied without its attachments (%s): copy them by hand, "
			       "if they are needed",
			       store_db_name(page->db), id, names) < 0)
		line = NULL;
	return add_line(page->state->attachments, line);
}

/* Of two with one key the first one counts, as for the controller. */
static int keep_change(void *userdata, struct couchdb_change *change)
{
	struct page *page = userdata;
	json_t *documents = page->state->documents[page->db];
	_cleanup_free_ char *key = couchdb_key_of(page->db, change->id, change->doc);
	int r = key ? 0 : -ENOMEM;

	if (key && json_object_get(documents, key)) {
		r = tell_twin(page, change->id, key);
	} else if (key && (page->db != DB_SERVICES || strcmp(key, COUCHDB_LEASE) != 0)) {
		r = tell_attachments(page, change->id,
				     json_object_get(change->doc, "_attachments"));
		if (r >= 0)
			r = keep(documents, key, change->doc);
	}
	couchdb_change_clear(change);
	return r;
}

static int read_couchdb_database(struct migrate_state *state, enum store_db db)
{
	struct page page = {state, db};
	char *start = NULL;
	int r;

	do {
		_cleanup_free_ char *query = couchdb_page_path(PAGE, start), *path = NULL;
		struct couchdb_reply reply = {};

		free(TAKE_PTR(start));
		path = query ? couchdb_db_path(state->couch, db, query) : NULL;
		r = path ? call(state, path, &reply) : -ENOMEM;
		if (r == 0 && reply.status == 200) {
			state->exists = true;
			r = couchdb_page_read(reply.json, PAGE, keep_change, &page, &start);
		} else if (r == 0 && reply.status != 404) {
			r = couchdb_fail(state->couch, -EPROTO, "reading a database", &reply);
			cli_fail("%s: %s", state->shown, couchdb_error(state->couch));
		}
		if (r == -EBADMSG)
			cli_fail("%s does not answer as a CouchDB does", state->shown);
		couchdb_reply_clear(&reply);
	} while (r == 0 && start);
	free(start);
	return r;
}

static int open_sqlite(struct migrate_state *state)
{
	return state->ops ? 0
			  : store_sqlite_open(state->uri + strlen(SQLITE), &state->ops,
					      &state->backend);
}

int migrate_state_read(struct migrate_state *state)
{
	int r = 0;

	for (int i = 0; i < DB_MAX; i++)
		json_object_clear(state->documents[i]);
	json_array_clear(state->twins);
	json_array_clear(state->attachments);
	if (!state->couch) {
		if (!state->ops && access(state->uri + strlen(SQLITE), F_OK) < 0)
			return 0;
		state->exists = true;
		r = open_sqlite(state);
	}
	for (int i = 0; i < DB_MAX && r >= 0; i++)
		r = state->couch ? read_couchdb_database(state, i)
				 : state->ops->load(state->backend, i, keep, state->documents[i]);
	return r;
}

/* --- writing --- */

static bool is_late(void *userdata)
{
	return now_ns() > *(uint64_t *)userdata;
}

static int ignore(void *userdata, const char *id, json_t *doc)
{
	return 0;
}

int migrate_state_open(struct migrate_state *state)
{
	struct store_options options = *state->options;
	int r;

	if (!state->couch)
		return open_sqlite(state);
	state->until_ns = now_ns() + READY_NS;
	options.give_up = is_late;
	options.userdata = &state->until_ns;
	options.optional = false;
	r = store_couchdb_open(state->uri, &options, &state->ops, &state->backend);
	if (r == -ECANCELED)
		cli_fail("%s has not made its databases within %d s: try again when it is less "
			 "busy",
			 state->shown, (int)(READY_NS / EBB_NS_PER_SEC));
	/* Revisions are learned by reading. */
	for (int i = 0; i < DB_MAX && r >= 0; i++)
		r = state->ops->load(state->backend, i, ignore, NULL);
	/* Writing has patience of its own. */
	state->until_ns = UINT64_MAX;
	return r;
}

int migrate_state_write(struct migrate_state *state, struct store_write *const *writes, size_t n)
{
	int r = state->ops->write(state->backend, writes, n);

	for (size_t i = 0; i < n && r >= 0; i++)
		if (writes[i]->result == -EAGAIN)
			r = -EAGAIN;
	return r;
}

/* --- is it in use --- */

/* The lease, without what the database says about it; NULL: there is none. */
static int read_lease(struct migrate_state *state, json_t **ret_lease)
{
	_cleanup_free_ char *path = couchdb_db_path(state->couch, DB_SERVICES, "/" COUCHDB_LEASE);
	struct couchdb_reply reply = {};
	int r = path ? call(state, path, &reply) : -ENOMEM;

	if (r >= 0)
		*ret_lease = reply.status == 200 ? json_incref(reply.json) : NULL;
	couchdb_reply_clear(&reply);
	return r;
}

int migrate_state_leader(struct migrate_state *state, char **ret_holder)
{
	_cleanup_json_ json_t *lease = NULL, *later = NULL;
	const char *holder;
	int r;

	if (!state->couch)
		return 0;
	r = read_lease(state, &lease);
	holder = json_string_value(json_object_get(lease, "holder"));
	/* It has been given up. */
	if (r < 0 || !holder || !*holder)
		return r;
	/* Whoever leads renews it within this time. */
	usleep((LEADER_LEASE_MS + LEADER_RENEW_MS) * 1000);
	r = read_lease(state, &later);
	if (r < 0 || json_equal(json_object_get(lease, "_rev"), json_object_get(later, "_rev")))
		return r;
	*ret_holder = strdup(holder);
	return *ret_holder ? 1 : -ENOMEM;
}
