/* SPDX-License-Identifier: Apache-2.0 */
#include "couchdb_feed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"

#define ROOM_MIN 4096
/* Kept between lines; what a rare giant needed is given back. */
#define ROOM_KEPT (1UL << 20)

static int append(struct couchdb_lines *lines, const char *data, size_t len)
{
	size_t need = lines->len + len + 1;

	if (need > lines->room) {
		size_t room = MAX(need, MAX(lines->room * 2, (size_t)ROOM_MIN));
		char *grown = realloc(lines->line, room);

		if (!grown)
			return -ENOMEM;
		lines->line = grown;
		lines->room = room;
	}
	memcpy(lines->line + lines->len, data, len);
	lines->len += len;
	lines->line[lines->len] = '\0';
	return 0;
}

static void forget(struct couchdb_lines *lines)
{
	lines->len = 0;
	if (lines->room > ROOM_KEPT) {
		free(lines->line);
		lines->line = NULL;
		lines->room = 0;
	}
}

/* The line in the buffer is whole. */
static int deliver(struct couchdb_lines *lines, couchdb_line_fn fn, void *userdata)
{
	int r = 0;

	if (lines->dropping) {
		lines->dropping = false;
		return fn(userdata, NULL, 0);
	}
	if (lines->len > 0 && lines->line[lines->len - 1] == '\r')
		lines->line[--lines->len] = '\0';
	if (lines->len > 0)
		r = fn(userdata, lines->line, lines->len);
	forget(lines);
	return r;
}

int couchdb_lines_take(struct couchdb_lines *lines, const char *data, size_t len,
		       couchdb_line_fn fn, void *userdata)
{
	while (len > 0) {
		const char *end = memchr(data, '\n', len);
		size_t n = end ? (size_t)(end - data) : len;
		int r = 0;

		if (!lines->dropping && n > lines->max - lines->len) {
			lines->dropping = true;
			forget(lines);
		}
		if (!lines->dropping)
			r = append(lines, data, n);
		if (r == 0 && end)
			r = deliver(lines, fn, userdata);
		if (r < 0)
			return r;
		data += n + (end != NULL);
		len -= n + (end != NULL);
	}
	return 0;
}

void couchdb_lines_clear(struct couchdb_lines *lines)
{
	free(lines->line);
	*lines = (struct couchdb_lines){.max = lines->max};
}

char *couchdb_seq_text(const json_t *seq)
{
	if (!seq || json_is_null(seq))
		return NULL;
	if (json_is_string(seq))
		return strdup(json_string_value(seq));
	return json_dumps(seq, JSON_COMPACT | JSON_ENCODE_ANY);
}

/* "[9,...]" too, as clusters before CouchDB 2 had it. */
static bool seq_number(const char *seq, unsigned long long *ret_number)
{
	char *end;

	if (*seq == '[')
		seq++;
	if (*seq < '0' || *seq > '9')
		return false;
	errno = 0;
	*ret_number = strtoull(seq, &end, 10);
	return errno == 0;
}

bool couchdb_seq_went_back(const char *then, const char *now)
{
	unsigned long long a, b;

	return seq_number(then, &a) && seq_number(now, &b) && b < a;
}

static const char *winning_rev(const json_t *line)
{
	const json_t *first = json_array_get(json_object_get(line, "changes"), 0);

	return json_string_value(json_object_get(first, "rev"));
}

static char *copy(const char *text)
{
	return text ? strdup(text) : NULL;
}

int couchdb_change_parse(const char *line, size_t len, struct couchdb_change *ret_change)
{
	_cleanup_json_ json_t *json = json_loadb(line, len, 0, NULL);
	const char *id = json_string_value(json_object_get(json, "id"));
	const char *rev = winning_rev(json);
	const char *error = json_string_value(json_object_get(json, "error"));
	json_t *seq = json_object_get(json, "seq"), *doc = json_object_get(json, "doc");
	bool end = !id && (error || json_object_get(json, "last_seq"));
	struct couchdb_change change = {0};

	if (!end && (!id || !rev))
		return -EBADMSG;
	change.id = end ? NULL : copy(id);
	change.rev = end ? NULL : copy(rev);
	change.seq = couchdb_seq_text(end ? json_object_get(json, "last_seq") : seq);
	change.error = end ? copy(error) : NULL;
	change.deleted = json_is_true(json_object_get(json, "deleted")) ||
			 json_is_true(json_object_get(doc, "_deleted"));
	if (!end && (!change.id || !change.rev)) {
		couchdb_change_clear(&change);
		return -ENOMEM;
	}
	if (!end && !change.deleted && json_is_object(doc))
		change.doc = json_incref(doc);
	*ret_change = change;
	return 0;
}

void couchdb_change_clear(struct couchdb_change *change)
{
	free(change->id);
	free(change->rev);
	free(change->seq);
	free(change->error);
	json_decref(change->doc);
	*change = (struct couchdb_change){0};
}
