/* SPDX-License-Identifier: Apache-2.0 */
#include "couchdb_page.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"
#include "ebb/http_client.h"

static char *page_path(const char *what, size_t limit, const char *start)
{
	_cleanup_json_ json_t *id = start ? json_string(start) : NULL;
	_cleanup_free_ char *text = id ? json_dumps(id, JSON_ENCODE_ANY) : NULL, *key = NULL;
	char *path;

	key = text ? http_escape(text) : NULL;
	if (start && !key)
		return NULL;
	if (asprintf(&path, "/_all_docs?%slimit=%zu%s%s", what, limit + 1, key ? "&startkey=" : "",
		     key ?: "") < 0)
		return NULL;
	return path;
}

char *couchdb_page_path(size_t limit, const char *start)
{
	return page_path("include_docs=true&", limit, start);
}

char *couchdb_page_path_ids(size_t limit, const char *start)
{
	return page_path("", limit, start);
}

static int read_row(const json_t *row, int (*fn)(void *userdata, struct couchdb_change *change),
		    void *userdata)
{
	const char *id = json_string_value(json_object_get(row, "id"));
	const char *rev = json_string_value(json_object_get(json_object_get(row, "value"), "rev"));
	json_t *doc = json_object_get(row, "doc");
	struct couchdb_change change = {0};

	if (!id)
		return -EBADMSG;
	/* Deleted between the index and the document: null. */
	if (!rev || !json_is_object(doc) || !strncmp(id, "_design/", 8))
		return 0;
	change.id = strdup(id);
	change.rev = strdup(rev);
	change.doc = json_incref(doc);
	if (!change.id || !change.rev) {
		couchdb_change_clear(&change);
		return -ENOMEM;
	}
	return fn(userdata, &change);
}

int couchdb_page_read(const json_t *reply, size_t limit,
		      int (*fn)(void *userdata, struct couchdb_change *change), void *userdata,
		      char **ret_next)
{
	const json_t *rows = json_object_get(reply, "rows");
	size_t n = json_array_size(rows);
	char *next = NULL;
	int r = 0;

	if (!json_is_array(rows))
		return -EBADMSG;
	for (size_t i = 0; i < MIN(n, limit) && r >= 0; i++)
		r = read_row(json_array_get(rows, i), fn, userdata);
	if (r < 0)
		return r;
	if (n > limit) {
		const char *id =
			json_string_value(json_object_get(json_array_get(rows, limit), "id"));

		if (!id)
			return -EBADMSG;
		next = strdup(id);
		if (!next)
			return -ENOMEM;
	}
	*ret_next = next;
	return 0;
}
