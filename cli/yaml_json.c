/* SPDX-License-Identifier: Apache-2.0 */
#include "yaml_json.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "ebb/cleanup.h"
#include "ebb/util.h"

#define DEPTH_MAX  64
#define VALUES_MAX 2000000

/* A sequence or a mapping that is not closed yet. */
struct level {
	json_t *value; /* owned */
	char *key;     /* of a mapping: the one that waits for its value */
	char *anchor;
	size_t before; /* `values` when it began */
};

struct reader {
	yaml_parser_t parser;
	struct level levels[DEPTH_MAX];
	size_t depth;
	json_t *root;    /* NULL: not there yet */
	json_t *anchors; /* {NAME: value} */
	json_t *sizes;   /* {NAME: how many values it has} */
	size_t values;
	bool documents; /* one has begun */
	char **ret_error;
};

__attribute__((format(printf, 3, 4))) static int refuse(struct reader *reader, yaml_mark_t mark,
							const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list args;
	int r;

	va_start(args, format);
	r = vasprintf(&text, format, args);
	va_end(args);
	if (r < 0) {
		text = NULL;
		return -ENOMEM;
	}
	if (asprintf(reader->ret_error, "%zu:%zu: %s", mark.line + 1, mark.column + 1, text) < 0) {
		*reader->ret_error = NULL;
		return -ENOMEM;
	}
	return -EINVAL;
}

/* --- scalars --- */

static bool is_one_of(const char *text, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(text, words[i]))
			return true;
	return false;
}

/* [-+]?[0-9]+, 0o[0-7]+, 0x[0-9a-fA-F]+; *ret_base 0: it is none. */
static const char *integer_digits(const char *text, int *ret_base)
{
	const char *digits = text;

	*ret_base = 0;
	if (!strncmp(text, "0o", 2) && text[2] && !text[2 + strspn(text + 2, "01234567")]) {
		*ret_base = 8;
		return text + 2;
	}
	if (!strncmp(text, "0x", 2) && text[2] &&
	    !text[2 + strspn(text + 2, "0123456789abcdefABCDEF")]) {
		*ret_base = 16;
		return text + 2;
	}
	digits += *digits == '-' || *digits == '+';
	if (*digits && !digits[strspn(digits, "0123456789")])
		*ret_base = 10;
	return text;
}

/* [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)? */
static bool is_float(const char *text)
{
	size_t whole, fraction = 0;

	text += *text == '-' || *text == '+';
	whole = strspn(text, "0123456789");
	text += whole;
	if (*text == '.') {
		fraction = strspn(text + 1, "0123456789");
		text += 1 + fraction;
	}
	if (!whole && !fraction)
		return false;
	if (*text == 'e' || *text == 'E') {
		text++;
		text += *text == '-' || *text == '+';
		if (!*text)
			return false;
		text += strspn(text, "0123456789");
	}
	return !*text;
}

static bool is_infinite_or_nan(const char *text)
{
	static const char *const words[] = {".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN"};

	if (*text == '-' || *text == '+')
		text++;
	return is_one_of(text, words, ARRAY_SIZE(words));
}

/* What a plain scalar means. */
static int plain_value(struct reader *reader, yaml_mark_t mark, const char *text,
		       json_t **ret_value)
{
	static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
	static const char *const trues[] = {"true", "True", "TRUE"};
	static const char *const falses[] = {"false", "False", "FALSE"};
	const char *digits;
	int base;

	if (is_one_of(text, nulls, ARRAY_SIZE(nulls))) {
		*ret_value = json_null();
	} else if (is_one_of(text, trues, ARRAY_SIZE(trues))) {
		*ret_value = json_true();
	} else if (is_one_of(text, falses, ARRAY_SIZE(falses))) {
		*ret_value = json_false();
	} else if (digits = integer_digits(text, &base), base) {
		long long number;

		errno = 0;
		number = strtoll(digits, NULL, base);
		if (errno)
			return refuse(reader, mark, "%.40s is too large a number", text);
		*ret_value = json_integer(number);
	} else if (is_float(text)) {
		double number = strtod(text, NULL);

		if (!isfinite(number))
			return refuse(reader, mark, "%.40s is too large a number", text);
		*ret_value = json_real(number);
	} else if (is_infinite_or_nan(text)) {
		return refuse(reader, mark, "%s is no number here; put it in quotes if it is text",
			      text);
	} else {
		*ret_value = json_string(text);
	}
	return *ret_value ? 0 : -ENOMEM;
}

static int check_tag(struct reader *reader, yaml_mark_t mark, const yaml_char_t *tag,
		     const char *ours)
{
	if (!tag || !strcmp((const char *)tag, "!") || !strcmp((const char *)tag, ours))
		return 0;
	return refuse(reader, mark, "the tag %.60s is not known here", (const char *)tag);
}

static int scalar_value(struct reader *reader, const yaml_event_t *event, json_t **ret_value)
{
	const char *text = (const char *)event->data.scalar.value;
	size_t len = event->data.scalar.length;
	int r;

	r = check_tag(reader, event->start_mark, event->data.scalar.tag, YAML_STR_TAG);
	if (r < 0)
		return r;
	if (memchr(text, '\0', len))
		return refuse(reader, event->start_mark, "a text has no NUL in it");
	if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !event->data.scalar.tag)
		return plain_value(reader, event->start_mark, text, ret_value);
	*ret_value = json_stringn(text, len);
	return *ret_value ? 0 : refuse(reader, event->start_mark, "this is not UTF-8");
}

/* --- where values go --- */

static int count(struct reader *reader, yaml_mark_t mark, size_t n)
{
	if (n > VALUES_MAX - reader->values)
		return refuse(reader, mark,
			      "more than %d values, with those that aliases repeat: split it up",
			      VALUES_MAX);
	reader->values += n;
	return 0;
}

static bool waits_for_key(const struct reader *reader)
{
	const struct level *level = reader->depth ? &reader->levels[reader->depth - 1] : NULL;

	return level && json_is_object(level->value) && !level->key;
}

/* Steals `value`. */
static int put_value(struct reader *reader, json_t *value)
{
	struct level *level = reader->depth ? &reader->levels[reader->depth - 1] : NULL;
	int r;

	if (!level) {
		reader->root = value;
		return 0;
	}
	if (json_is_array(level->value))
		return json_array_append_new(level->value, value) < 0 ? -ENOMEM : 0;
	r = json_object_set_new(level->value, level->key, value);
	free(level->key);
	level->key = NULL;
	return r < 0 ? -ENOMEM : 0;
}

static int keep_anchor(struct reader *reader, const char *name, json_t *value, size_t size)
{
	if (!name)
		return 0;
	return json_object_set(reader->anchors, name, value) < 0 ||
			       json_object_set_new(reader->sizes, name,
						   json_integer((json_int_t)size)) < 0
		       ? -ENOMEM
		       : 0;
}

static int take_key(struct reader *reader, const yaml_event_t *event)
{
	struct level *level = &reader->levels[reader->depth - 1];
	const char *text = (const char *)event->data.scalar.value;

	if (event->type != YAML_SCALAR_EVENT)
		return refuse(reader, event->start_mark, "a key is a text");
	if (event->data.scalar.anchor)
		return refuse(reader, event->start_mark, "a key has no anchor here");
	if (memchr(text, '\0', event->data.scalar.length) || !utf8_is_valid(text, strlen(text)))
		return refuse(reader, event->start_mark, "a key is a text");
	if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !strcmp(text, "<<"))
		return refuse(reader, event->start_mark,
			      "merge keys (<<) are not of YAML 1.2: write the members out");
	if (json_object_get(level->value, text))
		return refuse(reader, event->start_mark, "the key '%.60s' is there twice", text);
	level->key = strdup(text);
	return level->key ? 0 : -ENOMEM;
}

static int take_scalar(struct reader *reader, const yaml_event_t *event)
{
	json_t *value = NULL;
	int r;

	r = scalar_value(reader, event, &value);
	if (r >= 0)
		r = count(reader, event->start_mark, 1);
	if (r >= 0)
		r = keep_anchor(reader, (const char *)event->data.scalar.anchor, value, 1);
	if (r < 0) {
		json_decref(value);
		return r;
	}
	return put_value(reader, value);
}

static int take_alias(struct reader *reader, const yaml_event_t *event)
{
	const char *name = (const char *)event->data.alias.anchor;
	json_t *value = json_object_get(reader->anchors, name);
	int r;

	if (!value)
		return refuse(reader, event->start_mark, "there is no anchor &%.60s before this",
			      name);
	r = count(reader, event->start_mark,
		  (size_t)json_integer_value(json_object_get(reader->sizes, name)));
	return r < 0 ? r : put_value(reader, json_incref(value));
}

static int begin_level(struct reader *reader, const yaml_event_t *event, json_t *value,
		       const yaml_char_t *tag, const char *ours, const yaml_char_t *anchor)
{
	_cleanup_json_ json_t *held = value;
	struct level *level = &reader->levels[reader->depth];
	char *name = NULL;
	int r;

	r = check_tag(reader, event->start_mark, tag, ours);
	if (r < 0)
		return r;
	if (reader->depth == DEPTH_MAX)
		return refuse(reader, event->start_mark, "more than %d levels", DEPTH_MAX);
	if (anchor) {
		name = strdup((const char *)anchor);
		if (!name)
			return -ENOMEM;
		/* Until it is complete its name is nobody's: no value holds itself. */
		json_object_del(reader->anchors, name);
	}
	*level = (struct level){TAKE_PTR(held), NULL, name, reader->values};
	reader->depth++;
	return count(reader, event->start_mark, 1);
}

static int end_level(struct reader *reader)
{
	struct level level = reader->levels[--reader->depth];
	int r;

	r = keep_anchor(reader, level.anchor, level.value, reader->values - level.before);
	free(level.anchor);
	if (r < 0) {
		json_decref(level.value);
		return r;
	}
	return put_value(reader, level.value);
}

/* --- events --- */

static int take_event(struct reader *reader, const yaml_event_t *event)
{
	bool begins = event->type == YAML_SCALAR_EVENT || event->type == YAML_ALIAS_EVENT ||
		      event->type == YAML_SEQUENCE_START_EVENT ||
		      event->type == YAML_MAPPING_START_EVENT;

	if (begins && waits_for_key(reader))
		return take_key(reader, event);
	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (reader->documents)
			return refuse(reader, event->start_mark, "there is more than one document");
		reader->documents = true;
		return 0;
	case YAML_SCALAR_EVENT: return take_scalar(reader, event);
	case YAML_ALIAS_EVENT: return take_alias(reader, event);
	case YAML_SEQUENCE_START_EVENT:
		return begin_level(reader, event, json_array(), event->data.sequence_start.tag,
				   YAML_SEQ_TAG, event->data.sequence_start.anchor);
	case YAML_MAPPING_START_EVENT:
		return begin_level(reader, event, json_object(), event->data.mapping_start.tag,
				   YAML_MAP_TAG, event->data.mapping_start.anchor);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT: return end_level(reader);
	default: return 0;
	}
}

/* What is wrong with the bytes is told with their offset alone. */
static yaml_mark_t mark_of_byte(const char *text, size_t offset)
{
	yaml_mark_t mark = {.index = offset};

	for (size_t i = 0; i < offset; i++) {
		mark.column++;
		if (text[i] == '\n') {
			mark.line++;
			mark.column = 0;
		}
	}
	return mark;
}

static int refuse_syntax(struct reader *reader, const char *text, size_t len)
{
	const yaml_parser_t *p = &reader->parser;

	if (p->error == YAML_MEMORY_ERROR)
		return -ENOMEM;
	if (p->error == YAML_READER_ERROR)
		return refuse(reader, mark_of_byte(text, MIN(p->problem_offset, len)), "%s",
			      p->problem);
	return refuse(reader, p->problem_mark, "%s%s%s", p->problem ? p->problem : "not YAML",
		      p->context ? " " : "", p->context ? p->context : "");
}

static int read_all(struct reader *reader, const char *text, size_t len)
{
	bool end = false;
	int r = 0;

	while (r >= 0 && !end) {
		yaml_event_t event;

		if (!yaml_parser_parse(&reader->parser, &event))
			return refuse_syntax(reader, text, len);
		end = event.type == YAML_STREAM_END_EVENT;
		r = take_event(reader, &event);
		yaml_event_delete(&event);
	}
	return r;
}

int yaml_to_json(const char *text, size_t len, json_t **ret_json, char **ret_error)
{
	struct reader reader = {.ret_error = ret_error};
	int r = -ENOMEM;

	if (!yaml_parser_initialize(&reader.parser))
		return -ENOMEM;
	yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, len);
	reader.anchors = json_object();
	reader.sizes = json_object();
	if (reader.anchors && reader.sizes)
		r = read_all(&reader, text, len);
	yaml_parser_delete(&reader.parser);
	while (reader.depth) {
		struct level *level = &reader.levels[--reader.depth];

		json_decref(level->value);
		free(level->key);
		free(level->anchor);
	}
	json_decref(reader.anchors);
	json_decref(reader.sizes);
	if (r >= 0 && !reader.root)
		reader.root = json_null();
	if (r < 0) {
		json_decref(reader.root);
		return r;
	}
	*ret_json = reader.root;
	return 0;
}
