/* SPDX-License-Identifier: Apache-2.0 */
#include "ebb/json_text.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"

#define FIRST_ROOM 512
/* As deep as jansson reads and writes. */
#define DEPTH_MAX 2048

struct text {
	char *data;
	size_t n, room;
	size_t flags;
};

/* Where `n` more bytes go; NULL: no memory. */
static char *reserve(struct text *text, size_t n)
{
	size_t room = text->room ? text->room : FIRST_ROOM;
	char *grown;

	if (text->room - text->n >= n)
		return text->data + text->n;
	while (room - text->n < n)
		room *= 2;
	grown = realloc(text->data, room);
	if (!grown)
		return NULL;
	text->data = grown;
	text->room = room;
	return grown + text->n;
}

static bool add(struct text *text, const char *bytes, size_t n)
{
	char *at = reserve(text, n);

	if (!at)
		return false;
	memcpy(at, bytes, n);
	text->n += n;
	return true;
}

static bool add_char(struct text *text, char c)
{
	char *at = reserve(text, 1);

	if (!at)
		return false;
	*at = c;
	text->n++;
	return true;
}

static bool add_integer(struct text *text, json_int_t value)
{
	char digits[24], *at = digits + sizeof(digits);
	uint64_t left = value < 0 ? -(uint64_t)value : (uint64_t)value;

	do
		*--at = (char)('0' + left % 10);
	while (left /= 10);
	if (value < 0)
		*--at = '-';
	return add(text, at, (size_t)(digits + sizeof(digits) - at));
}

/* Rare enough to be left to those who know how. */
static bool add_real(struct text *text, const json_t *real)
{
	char digits[64];
	size_t n = json_dumpb(real, digits, sizeof(digits), text->flags | JSON_ENCODE_ANY);

	return n > 0 && n <= sizeof(digits) && add(text, digits, n);
}

static bool add_escaped(struct text *text, unsigned char c)
{
	static const char digits[] = "0123456789ABCDEF";
	char hex[] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]};

	switch (c) {
	case '"': return add(text, "\\\"", 2);
	case '\\': return add(text, "\\\\", 2);
	case '\b': return add(text, "\\b", 2);
	case '\f': return add(text, "\\f", 2);
	case '\n': return add(text, "\\n", 2);
	case '\r': return add(text, "\\r", 2);
	case '\t': return add(text, "\\t", 2);
	default: return add(text, hex, sizeof(hex));
	}
}

/* What is in a json_t is UTF-8 already. */
static bool add_string(struct text *text, const char *string, size_t n)
{
	size_t begin = 0;

	if (!add_char(text, '"'))
		return false;
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)string[i];

		if (c >= ' ' && c != '"' && c != '\\')
			continue;
		if (!add(text, string + begin, i - begin) || !add_escaped(text, c))
			return false;
		begin = i + 1;
	}
	return add(text, string + begin, n - begin) && add_char(text, '"');
}

static bool add_value(struct text *text, const json_t *value, unsigned depth);

static bool add_object(struct text *text, const json_t *object, unsigned depth)
{
	/* Iterators are of objects that may change; this one does not. */
	json_t *changeable = (json_t *)object;
	bool first = true;

	if (!add_char(text, '{'))
		return false;
	for (void *i = json_object_iter(changeable); i; i = json_object_iter_next(changeable, i)) {
		const char *key = json_object_iter_key(i);

		if (!first && !add_char(text, ','))
			return false;
		first = false;
		if (!add_string(text, key, strlen(key)) || !add_char(text, ':') ||
		    !add_value(text, json_object_iter_value(i), depth + 1))
			return false;
	}
	return add_char(text, '}');
}

static bool add_array(struct text *text, const json_t *array, unsigned depth)
{
	if (!add_char(text, '['))
		return false;
	for (size_t i = 0; i < json_array_size(array); i++)
		if ((i && !add_char(text, ',')) ||
		    !add_value(text, json_array_get(array, i), depth + 1))
			return false;
	return add_char(text, ']');
}

static bool add_value(struct text *text, const json_t *value, unsigned depth)
{
	if (!value || depth > DEPTH_MAX)
		return false;
	switch (json_typeof(value)) {
	case JSON_OBJECT: return add_object(text, value, depth);
	case JSON_ARRAY: return add_array(text, value, depth);
	case JSON_STRING:
		return add_string(text, json_string_value(value), json_string_length(value));
	case JSON_INTEGER: return add_integer(text, json_integer_value(value));
	case JSON_REAL: return add_real(text, value);
	case JSON_TRUE: return add(text, "true", 4);
	case JSON_FALSE: return add(text, "false", 5);
	case JSON_NULL: return add(text, "null", 4);
	}
	return false;
}

char *json_text(const json_t *json, size_t flags, size_t *ret_len)
{
	struct text text = {.flags = flags};

	if (!add_value(&text, json, 0) || !add_char(&text, '\0')) {
		free(text.data);
		return NULL;
	}
	if (ret_len)
		*ret_len = text.n - 1;
	return text.data;
}
