/* SPDX-License-Identifier: Apache-2.0 */
#include "couchdb_feed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "couchdb_json.h"
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

static const char *winning_rev(const json_t *line)
{
	const json_t *first = json_array_get(json_object_get(line, "changes"), 0);

	return json_string_value(json_object_get(first, "rev"));
}

static char *copy(const char *text)
{
	return text ? strdup(text) : NULL;
}

/* NULL for no text, and for one with a \0 in it: it would count as another. */
static const char *plain_text(const json_t *value)
{
	const char *text = json_string_value(value);

	return text && strlen(text) == json_string_length(value) ? text : NULL;
}

int couchdb_change_parse(const char *line, size_t len, struct couchdb_change *ret_change)
{
	json_error_t why;
	_cleanup_json_ json_t *json = couchdb_json_load(line, len, &why);
	const char *id = plain_text(json_object_get(json, "id"));
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

/* After the string that begins at `p`; NULL: it does not end. */
static const char *skip_string(const char *p, const char *end)
{
	for (p++; p < end; p++) {
		if (*p == '"')
			return p + 1;
		if (*p == '\\')
			p++;
	}
	return NULL;
}

/* After the value that begins at `p`, whatever is in it; NULL: it does not end. */
static const char *skip_value(const char *p, const char *end)
{
	size_t depth = 0;

	while (p && p < end) {
		if (depth == 0 && (*p == ',' || *p == '}'))
			return p;
		if (*p == '"') {
			p = skip_string(p, end);
			continue;
		}
		depth += *p == '{' || *p == '[';
		if (*p == '}' || *p == ']')
			depth--;
		p++;
	}
	return NULL;
}

static json_t *load_value(const char *text, size_t len)
{
	return json_loadb(text, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
}

int couchdb_change_skim(const char *line, size_t len, struct couchdb_change *ret_change)
{
	const char *p = line, *end = line + len;
	_cleanup_json_ json_t *id = NULL, *seq = NULL;
	struct couchdb_change change = {0};

	/* {"NAME":VALUE,...}: CouchDB puts nothing between them. */
	do {
		const char *name = p + 1, *value;

		if (p == end || name >= end || *name != '"')
			return -EBADMSG;
		value = skip_string(name, end);
		if (!value || value == end || *value != ':')
			return -EBADMSG;
		value++;
		p = skip_value(value, end);
		if (!p)
			return -EBADMSG;
		if (value - name == strlen("\"id\":") && !strncmp(name, "\"id\":", 5) && !id)
			id = load_value(value, (size_t)(p - value));
		if (value - name == strlen("\"seq\":") && !strncmp(name, "\"seq\":", 6) && !seq)
			seq = load_value(value, (size_t)(p - value));
	} while (*p == ',');
	if (p + 1 != end || *line != '{' || !json_is_string(id))
		return -EBADMSG;
	change.id = copy(json_string_value(id));
	change.seq = couchdb_seq_text(seq);
	if (!change.id) {
		couchdb_change_clear(&change);
		return -ENOMEM;
	}
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
