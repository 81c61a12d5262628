/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Evaluation. Operators do as in JavaScript where jsonlogic.com's own implementation leaves it to
 * JavaScript, but for what a missing measurement would turn into a decision:
 *  - null on either side of < <= > >= is false, but two nulls are <= and >=, being equal;
 *  - arithmetic on null, on what is no number, or by zero gives null, not 0, NaN or Infinity.
 * Arrays and objects are equal when their contents are.
 */
#include "jsonlogic_node.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"
#include "ebb/log.h"

/*
 * What one evaluation may spend: nodes visited, elements and bytes made. `reduce` can double its
 * accumulator at each step, so depth alone bounds nothing. Beyond it the rule's value is null.
 */
#define BUDGET_NUMBERS (1 << 16)
#define BUDGET_JSON    (1 << 22)
/* Nesting of a value that `reduce` builds; jansson releases recursively. */
#define VALUE_DEPTH_MAX 128

enum value_kind { V_NULL, V_BOOL, V_NUMBER, V_JSON /* string, array or object; owned */ };

struct value {
	enum value_kind kind;
	union {
		bool boolean;
		double number; /* always finite */
		json_t *json;
	};
};

struct eval {
	const struct jsonlogic *logic;
	const struct jsonlogic_numbers *numbers; /* NULL: data is `data` */
	json_t *data;
	long budget;
};

static const struct value null_value = {.kind = V_NULL};

static struct value eval_node(struct eval *e, const struct jsonlogic_node *node);

static void value_clear(struct value *value)
{
	if (value->kind == V_JSON)
		json_decref(value->json);
}

#define _cleanup_value_ __attribute__((cleanup(value_clear)))

static struct value take(struct value *value)
{
	struct value taken = *value;

	*value = null_value;
	return taken;
}

static struct value make_bool(bool boolean)
{
	return (struct value){.kind = V_BOOL, .boolean = boolean};
}

static struct value make_number(double number)
{
	if (!isfinite(number))
		return null_value;
	return (struct value){.kind = V_NUMBER, .number = number};
}

/* Steals; NULL (no memory) is null. */
static struct value make_json(json_t *json)
{
	if (!json)
		return null_value;
	return (struct value){.kind = V_JSON, .json = json};
}

static struct value make_string(const char *text, size_t length)
{
	return make_json(json_stringn_nocheck(text, length));
}

/* Borrows. */
static struct value from_json(json_t *json)
{
	if (!json)
		return null_value;
	switch (json_typeof(json)) {
	case JSON_TRUE: return make_bool(true);
	case JSON_FALSE: return make_bool(false);
	case JSON_INTEGER:
	case JSON_REAL: return make_number(json_number_value(json));
	case JSON_STRING:
	case JSON_ARRAY:
	case JSON_OBJECT: return make_json(json_incref(json));
	case JSON_NULL: break;
	}
	return null_value;
}

/* New reference; consumes. */
static json_t *to_json(struct value value)
{
	switch (value.kind) {
	case V_BOOL: return json_boolean(value.boolean);
	case V_NUMBER:
		if (value.number == trunc(value.number) && fabs(value.number) < 0x1p53)
			return json_integer((json_int_t)value.number);
		return json_real(value.number);
	case V_JSON: return value.json;
	case V_NULL: break;
	}
	return json_null();
}

static bool truthy(const struct value *value)
{
	switch (value->kind) {
	case V_BOOL: return value->boolean;
	case V_NUMBER: return value->number != 0;
	case V_JSON:
		if (json_is_string(value->json))
			return json_string_length(value->json) > 0;
		if (json_is_array(value->json))
			return json_array_size(value->json) > 0;
		return true;
	case V_NULL: break;
	}
	return false;
}

static bool is_string(const struct value *value)
{
	return value->kind == V_JSON && json_is_string(value->json);
}

static bool is_array(const struct value *value)
{
	return value->kind == V_JSON && json_is_array(value->json);
}

static bool spend(struct eval *e, size_t units)
{
	if (units > (size_t)BUDGET_JSON)
		e->budget = -1;
	else if (e->budget >= 0)
		e->budget -= (long)units;
	return e->budget >= 0;
}

/* ---- text ---- */

struct text {
	char *bytes;
	size_t length, allocated;
};

static void text_clear(struct text *text)
{
	free(text->bytes);
}

#define _cleanup_text_ __attribute__((cleanup(text_clear)))

static bool text_add(struct eval *e, struct text *text, const char *bytes, size_t length)
{
	if (!spend(e, length))
		return false;
	if (text->length + length + 1 > text->allocated) {
		size_t allocated = MAX(text->allocated * 2, text->length + length + 1);
		char *grown = realloc(text->bytes, allocated);

		if (!grown)
			return false;
		text->bytes = grown;
		text->allocated = allocated;
	}
	memcpy(text->bytes + text->length, bytes, length);
	text->length += length;
	text->bytes[text->length] = '\0';
	return true;
}

/* The shortest decimal that reads back as the same number. */
static void format_number(double number, char *buffer, size_t size)
{
	if (number == trunc(number) && fabs(number) < 1e15) {
		snprintf(buffer, size, "%.0f", number == 0 ? 0.0 : number);
		return;
	}
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(buffer, size, "%.*g", digits, number);
		if (strtod(buffer, NULL) == number)
			return;
	}
}

/* JavaScript's String(); within an array null is empty. */
static bool text_add_json(struct eval *e, struct text *text, const json_t *json, bool in_array,
			  unsigned depth)
{
	char buffer[32];

	if (!spend(e, 1) || depth > VALUE_DEPTH_MAX)
		return false;
	switch (json_typeof(json)) {
	case JSON_STRING:
		return text_add(e, text, json_string_value(json), json_string_length(json));
	case JSON_INTEGER:
	case JSON_REAL:
		format_number(json_number_value(json), buffer, sizeof(buffer));
		return text_add(e, text, buffer, strlen(buffer));
	case JSON_TRUE: return text_add(e, text, "true", 4);
	case JSON_FALSE: return text_add(e, text, "false", 5);
	case JSON_NULL: return in_array || text_add(e, text, "null", 4);
	case JSON_OBJECT: return text_add(e, text, "[object Object]", 15);
	case JSON_ARRAY:
		for (size_t i = 0; i < json_array_size(json); i++) {
			if (i > 0 && !text_add(e, text, ",", 1))
				return false;
			if (!text_add_json(e, text, json_array_get(json, i), true, depth + 1))
				return false;
		}
		return true;
	}
	return false;
}

static bool text_add_value(struct eval *e, struct text *text, const struct value *value,
			   bool in_array)
{
	char buffer[32];

	switch (value->kind) {
	case V_NULL: return in_array || text_add(e, text, "null", 4);
	case V_BOOL:
		return text_add(e, text, value->boolean ? "true" : "false", value->boolean ? 4 : 5);
	case V_NUMBER:
		format_number(value->number, buffer, sizeof(buffer));
		return text_add(e, text, buffer, strlen(buffer));
	case V_JSON: return text_add_json(e, text, value->json, in_array, 0);
	}
	return false;
}

/* ---- numbers ---- */

/*
 * The decimal number `text` begins with; NAN when with none. `whole`: nothing but blanks may follow
 * and an empty text is 0 (JavaScript's Number(), else its parseFloat()).
 */
static double number_from_text(const char *text, bool whole)
{
	const char *p;
	char *end;
	double number;

	text += strspn(text, " \t\r\n\f\v");
	if (whole && !*text)
		return 0;
	p = text + (*text == '+' || *text == '-');
	if (*p == '.')
		p++;
	/* strtod() alone would also take "inf", "nan" and "0x1p3". */
	if (*p < '0' || *p > '9')
		return NAN;
	if (p[0] == '0' && (p[1] == 'x' || p[1] == 'X'))
		return whole ? NAN : 0;
	number = strtod(text, &end);
	if (whole && end[strspn(end, " \t\r\n\f\v")])
		return NAN;
	return number;
}

/* For - / % < > == and the like; NAN: not a number. */
static double to_number(struct eval *e, const struct value *value)
{
	switch (value->kind) {
	case V_NUMBER: return value->number;
	case V_BOOL: return value->boolean ? 1 : 0;
	case V_JSON: {
		_cleanup_text_ struct text text = {};

		if (json_is_string(value->json))
			return number_from_text(json_string_value(value->json), true);
		if (!json_is_array(value->json) || !text_add(e, &text, "", 0) ||
		    !text_add_value(e, &text, value, false))
			return NAN;
		return number_from_text(text.bytes, true);
	}
	case V_NULL: break;
	}
	return NAN;
}

/* For + and *, which are how a rule casts: "3.5 MiB" is 3.5, true is no number. */
static double parse_number(const struct value *value)
{
	if (value->kind == V_NUMBER)
		return value->number;
	if (is_string(value))
		return number_from_text(json_string_value(value->json), false);
	return NAN;
}

/* ---- comparison ---- */

static bool strictly_equal(const struct value *a, const struct value *b)
{
	if (a->kind != b->kind)
		return false;
	switch (a->kind) {
	case V_NULL: return true;
	case V_BOOL: return a->boolean == b->boolean;
	case V_NUMBER: return a->number == b->number;
	case V_JSON: return json_equal(a->json, b->json);
	}
	return false;
}

static bool loosely_equal(struct eval *e, const struct value *a, const struct value *b)
{
	_cleanup_text_ struct text text = {};

	if (a->kind == V_NULL || b->kind == V_NULL)
		return a->kind == b->kind;
	if (a->kind == b->kind &&
	    (a->kind != V_JSON || json_typeof(a->json) == json_typeof(b->json)))
		return strictly_equal(a, b);

	/* A string and an array or object: as texts. Everything else: as numbers. */
	if (is_string(a) || is_string(b)) {
		const struct value *string = is_string(a) ? a : b;
		const struct value *other = is_string(a) ? b : a;

		if (other->kind == V_JSON)
			return text_add(e, &text, "", 0) &&
			       text_add_value(e, &text, other, false) &&
			       !strcmp(text.bytes, json_string_value(string->json));
	}
	return to_number(e, a) == to_number(e, b);
}

static bool ordered(struct eval *e, enum jsonlogic_op op, const struct value *a,
		    const struct value *b)
{
	double x, y;

	if (a->kind == V_NULL || b->kind == V_NULL)
		return a->kind == b->kind && (op == JL_LE || op == JL_GE);
	if (is_string(a) && is_string(b)) {
		x = strcmp(json_string_value(a->json), json_string_value(b->json));
		y = 0;
	} else {
		x = to_number(e, a);
		y = to_number(e, b);
	}
	switch (op) {
	case JL_LT: return x < y;
	case JL_LE: return x <= y;
	case JL_GT: return x > y;
	default: return x >= y;
	}
}

/* ---- variables ---- */

/* Borrowed; NULL: not there. */
static json_t *find_in_json(json_t *data, const struct jsonlogic_path *path)
{
	const char *segment = path->segments;

	for (size_t i = 0; data && i < path->n_segments; i++) {
		if (json_is_object(data)) {
			data = json_object_get(data, segment);
		} else if (json_is_array(data)) {
			size_t length = strlen(segment);
			bool digits = length > 0 && length <= 9 &&
				      strspn(segment, "0123456789") == length;

			data = digits ? json_array_get(data, strtoul(segment, NULL, 10)) : NULL;
		} else {
			data = NULL;
		}
		segment += strlen(segment) + 1;
	}
	return data;
}

/* False: not there, so that a default applies. */
static bool find_variable(struct eval *e, const struct jsonlogic_path *path, int bound,
			  struct value *ret_value)
{
	json_t *found;

	if (e->numbers) {
		if (bound < 0 || (size_t)bound >= e->numbers->n ||
		    !isfinite(e->numbers->values[bound]))
			return false;
		*ret_value = make_number(e->numbers->values[bound]);
		return true;
	}
	found = find_in_json(e->data, path);
	if (!found)
		return false;
	*ret_value = from_json(found);
	return true;
}

static bool find_computed(struct eval *e, const char *text, struct value *ret_value)
{
	struct jsonlogic_path path;
	bool found;

	for (size_t i = 0; i < e->logic->n_paths; i++)
		if (!strcmp(e->logic->paths[i].text, text))
			return find_variable(e, &e->logic->paths[i], e->logic->paths[i].bound,
					     ret_value);
	/* Bound numbers have no names left but those in the rule. */
	if (e->numbers || !spend(e, strlen(text)) || jsonlogic_path_init(&path, text) < 0)
		return false;
	found = find_variable(e, &path, -1, ret_value);
	jsonlogic_path_clear(&path);
	return found;
}

static inline const struct jsonlogic_node *arg(const struct eval *e,
					       const struct jsonlogic_node *node, uint32_t i)
{
	return &e->logic->nodes[node->args + i];
}

static struct value eval_path(struct eval *e, const struct jsonlogic_node *node)
{
	struct value value;

	if (find_variable(e, &e->logic->paths[node->path], node->bound, &value))
		return value;
	return node->n_args > 0 ? eval_node(e, arg(e, node, 0)) : null_value;
}

static struct value eval_var(struct eval *e, const struct jsonlogic_node *node)
{
	_cleanup_value_ struct value name = eval_node(e, arg(e, node, 0));
	_cleanup_text_ struct text text = {};
	struct value value;

	if (!text_add(e, &text, "", 0) || !text_add_value(e, &text, &name, true))
		return null_value;
	if (find_computed(e, text.bytes, &value))
		return value;
	return node->n_args > 1 ? eval_node(e, arg(e, node, 1)) : null_value;
}

/* Adds `name` to `missing` when the data has nothing, null or "" for it. */
static void check_missing(struct eval *e, const struct value *name, json_t *missing)
{
	_cleanup_text_ struct text text = {};
	_cleanup_value_ struct value value = null_value;

	if (!spend(e, 1) || !text_add(e, &text, "", 0) || !text_add_value(e, &text, name, true))
		return;
	if (find_computed(e, text.bytes, &value) && value.kind != V_NULL &&
	    !(is_string(&value) && json_string_length(value.json) == 0))
		return;
	json_array_append_new(missing,
			      to_json(name->kind == V_JSON ? from_json(name->json) : *name));
}

static void check_missing_array(struct eval *e, json_t *names, json_t *missing)
{
	for (size_t i = 0; i < json_array_size(names); i++) {
		_cleanup_value_ struct value name = from_json(json_array_get(names, i));

		check_missing(e, &name, missing);
	}
}

static struct value eval_missing(struct eval *e, const struct jsonlogic_node *node)
{
	json_t *missing = json_array();

	if (!missing)
		return null_value;
	for (uint32_t i = 0; i < node->n_args; i++) {
		_cleanup_value_ struct value name = eval_node(e, arg(e, node, i));

		/* {"missing": <array>}: all names are in the first argument. */
		if (i == 0 && is_array(&name)) {
			check_missing_array(e, name.json, missing);
			break;
		}
		check_missing(e, &name, missing);
	}
	return make_json(missing);
}

static struct value eval_missing_some(struct eval *e, const struct jsonlogic_node *node)
{
	_cleanup_value_ struct value need = eval_node(e, arg(e, node, 0));
	_cleanup_value_ struct value names = eval_node(e, arg(e, node, 1));
	json_t *missing = json_array();

	if (!missing || !is_array(&names)) {
		json_decref(missing);
		return null_value;
	}
	check_missing_array(e, names.json, missing);
	if ((double)json_array_size(names.json) - (double)json_array_size(missing) >=
	    to_number(e, &need))
		json_array_clear(missing);
	return make_json(missing);
}

/* ---- lists ---- */

/* Evaluates `node` with `element` (borrowed) as the data. */
static struct value eval_with(struct eval *e, const struct jsonlogic_node *node, json_t *element)
{
	const struct jsonlogic_numbers *numbers = e->numbers;
	json_t *data = e->data;
	struct value value;

	e->numbers = NULL;
	e->data = element;
	value = eval_node(e, node);
	e->numbers = numbers;
	e->data = data;
	return value;
}

static struct value eval_map(struct eval *e, const struct jsonlogic_node *node)
{
	_cleanup_value_ struct value list = eval_node(e, arg(e, node, 0));
	json_t *made = json_array();

	if (!made || !is_array(&list))
		return make_json(made);
	for (size_t i = 0; i < json_array_size(list.json) && spend(e, 1); i++) {
		json_t *element = json_array_get(list.json, i);

		json_array_append_new(made, to_json(eval_with(e, arg(e, node, 1), element)));
	}
	return make_json(made);
}

static struct value eval_filter(struct eval *e, const struct jsonlogic_node *node)
{
	_cleanup_value_ struct value list = eval_node(e, arg(e, node, 0));
	json_t *made = json_array();

	if (!made || !is_array(&list))
		return make_json(made);
	for (size_t i = 0; i < json_array_size(list.json) && spend(e, 1); i++) {
		json_t *element = json_array_get(list.json, i);
		_cleanup_value_ struct value keep = eval_with(e, arg(e, node, 1), element);

		if (truthy(&keep))
			json_array_append(made, element);
	}
	return make_json(made);
}

/* all, none, some: of an empty list, or of what is none, only `none` is true. */
static struct value eval_quantifier(struct eval *e, const struct jsonlogic_node *node)
{
	_cleanup_value_ struct value list = eval_node(e, arg(e, node, 0));
	bool stop_at = node->op != JL_ALL;

	if (!is_array(&list) || json_array_size(list.json) == 0)
		return make_bool(node->op == JL_NONE);
	for (size_t i = 0; i < json_array_size(list.json) && spend(e, 1); i++) {
		json_t *element = json_array_get(list.json, i);
		_cleanup_value_ struct value holds = eval_with(e, arg(e, node, 1), element);

		if (truthy(&holds) == stop_at)
			return make_bool(node->op == JL_SOME);
	}
	return make_bool(node->op != JL_SOME);
}

/* Is `json` nested no deeper than `depth`? */
static bool depth_within(struct eval *e, const json_t *json, unsigned depth)
{
	const char *key;
	json_t *inner;
	size_t i;

	if (!json_is_array(json) && !json_is_object(json))
		return true;
	if (depth == 0)
		return false;
	if (json_is_array(json)) {
		json_array_foreach(json, i, inner) {
			if (!spend(e, 1) || !depth_within(e, inner, depth - 1))
				return false;
		}
	} else {
		json_object_foreach((json_t *)json, key, inner) {
			if (!spend(e, 1) || !depth_within(e, inner, depth - 1))
				return false;
		}
	}
	return true;
}

static struct value eval_reduce(struct eval *e, const struct jsonlogic_node *node)
{
	_cleanup_value_ struct value list = eval_node(e, arg(e, node, 0));
	_cleanup_value_ struct value accumulator =
		node->n_args > 2 ? eval_node(e, arg(e, node, 2)) : null_value;

	if (!is_array(&list))
		return take(&accumulator);
	for (size_t i = 0; i < json_array_size(list.json) && spend(e, 1); i++) {
		_cleanup_json_ json_t *data = json_object();

		if (!data)
			return null_value;
		json_object_set_nocheck(data, "current", json_array_get(list.json, i));
		json_object_set_new_nocheck(data, "accumulator", to_json(take(&accumulator)));
		accumulator = eval_with(e, arg(e, node, 1), data);
		if (accumulator.kind == V_JSON &&
		    !depth_within(e, accumulator.json, VALUE_DEPTH_MAX)) {
			e->budget = -1;
			break;
		}
	}
	return take(&accumulator);
}

static struct value eval_merge(struct eval *e, const struct jsonlogic_node *node)
{
	json_t *merged = json_array();

	if (!merged)
		return null_value;
	for (uint32_t i = 0; i < node->n_args; i++) {
		struct value value = eval_node(e, arg(e, node, i));

		if (is_array(&value)) {
			if (spend(e, json_array_size(value.json)))
				json_array_extend(merged, value.json);
			value_clear(&value);
		} else {
			json_array_append_new(merged, to_json(value));
		}
	}
	return make_json(merged);
}

static struct value eval_array(struct eval *e, const struct jsonlogic_node *node)
{
	json_t *array = json_array();

	if (!array)
		return null_value;
	for (uint32_t i = 0; i < node->n_args; i++)
		json_array_append_new(array, to_json(eval_node(e, arg(e, node, i))));
	return make_json(array);
}

/* ---- text operators ---- */

static struct value eval_in(struct eval *e, const struct jsonlogic_node *node)
{
	_cleanup_value_ struct value needle = eval_node(e, arg(e, node, 0));
	_cleanup_value_ struct value hay = eval_node(e, arg(e, node, 1));
	_cleanup_text_ struct text text = {};

	if (is_array(&hay)) {
		for (size_t i = 0; i < json_array_size(hay.json) && spend(e, 1); i++) {
			_cleanup_value_ struct value element =
				from_json(json_array_get(hay.json, i));

			if (strictly_equal(&needle, &element))
				return make_bool(true);
		}
		return make_bool(false);
	}
	if (!is_string(&hay) || !text_add(e, &text, "", 0) ||
	    !text_add_value(e, &text, &needle, false))
		return make_bool(false);
	spend(e, json_string_length(hay.json));
	return make_bool(strstr(json_string_value(hay.json), text.bytes));
}

static struct value eval_cat(struct eval *e, const struct jsonlogic_node *node)
{
	_cleanup_text_ struct text text = {};

	if (!text_add(e, &text, "", 0))
		return null_value;
	for (uint32_t i = 0; i < node->n_args; i++) {
		_cleanup_value_ struct value value = eval_node(e, arg(e, node, i));

		if (!text_add_value(e, &text, &value, true))
			return null_value;
	}
	return make_string(text.bytes, text.length);
}

/* Byte offset of the character `index` (0 <= index), or of the end. */
static size_t utf8_offset(const char *text, double index)
{
	const char *p = text;

	for (; *p && index >= 1; index--)
		for (p++; ((unsigned char)*p & 0xc0) == 0x80;)
			p++;
	return (size_t)(p - text);
}

static size_t utf8_length(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

/* Counts characters. A negative start counts from the end; a negative length leaves off so many. */
static struct value eval_substr(struct eval *e, const struct jsonlogic_node *node)
{
	_cleanup_value_ struct value source = eval_node(e, arg(e, node, 0));
	_cleanup_value_ struct value start_value = eval_node(e, arg(e, node, 1));
	_cleanup_text_ struct text text = {};
	double characters, start, end;
	size_t from, to;

	if (!text_add(e, &text, "", 0) || !text_add_value(e, &text, &source, false))
		return null_value;
	characters = (double)utf8_length(text.bytes);
	start = trunc(to_number(e, &start_value));
	if (isnan(start))
		start = 0;
	if (start < 0)
		start = MAX(characters + start, 0);

	end = characters;
	if (node->n_args > 2) {
		_cleanup_value_ struct value length_value = eval_node(e, arg(e, node, 2));
		double length = trunc(to_number(e, &length_value));

		if (isnan(length))
			length = 0;
		end = length < 0 ? characters + length : start + length;
	}
	from = utf8_offset(text.bytes, start);
	to = end > start ? utf8_offset(text.bytes, end) : from;
	return make_string(text.bytes + from, to - from);
}

static struct value eval_log(struct eval *e, const struct jsonlogic_node *node)
{
	_cleanup_value_ struct value value = eval_node(e, arg(e, node, 0));
	_cleanup_text_ struct text text = {};

	if (text_add(e, &text, "", 0) && text_add_value(e, &text, &value, false))
		log_debug("Rule logs: %s", text.bytes);
	return take(&value);
}

/* ---- logic and arithmetic: what rules over measurements are made of; nothing here allocates ----
 */

static struct value eval_if(struct eval *e, const struct jsonlogic_node *node)
{
	uint32_t i = 0;

	for (; i + 1 < node->n_args; i += 2) {
		_cleanup_value_ struct value condition = eval_node(e, arg(e, node, i));

		if (truthy(&condition))
			return eval_node(e, arg(e, node, i + 1));
	}
	return i < node->n_args ? eval_node(e, arg(e, node, i)) : null_value;
}

/* and, or: the value that decided. */
static struct value eval_connective(struct eval *e, const struct jsonlogic_node *node)
{
	struct value value = null_value;

	for (uint32_t i = 0; i < node->n_args; i++) {
		value_clear(&value);
		value = eval_node(e, arg(e, node, i));
		if (truthy(&value) == (node->op == JL_OR))
			break;
	}
	return value;
}

static struct value eval_equality(struct eval *e, const struct jsonlogic_node *node)
{
	_cleanup_value_ struct value a = eval_node(e, arg(e, node, 0));
	_cleanup_value_ struct value b = eval_node(e, arg(e, node, 1));

	switch (node->op) {
	case JL_EQ: return make_bool(loosely_equal(e, &a, &b));
	case JL_NE: return make_bool(!loosely_equal(e, &a, &b));
	case JL_EQ_STRICT: return make_bool(strictly_equal(&a, &b));
	default: return make_bool(!strictly_equal(&a, &b));
	}
}

/* With three arguments the middle one lies between, also for > and >=. */
static struct value eval_order(struct eval *e, const struct jsonlogic_node *node)
{
	_cleanup_value_ struct value a = eval_node(e, arg(e, node, 0));
	_cleanup_value_ struct value b = eval_node(e, arg(e, node, 1));

	if (!ordered(e, node->op, &a, &b))
		return make_bool(false);
	if (node->n_args > 2) {
		_cleanup_value_ struct value c = eval_node(e, arg(e, node, 2));

		return make_bool(ordered(e, node->op, &b, &c));
	}
	return make_bool(true);
}

/* + * min max: any null makes the whole null. */
static struct value eval_fold(struct eval *e, const struct jsonlogic_node *node)
{
	double folded = node->op == JL_ADD ? 0 : NAN;

	for (uint32_t i = 0; i < node->n_args; i++) {
		_cleanup_value_ struct value value = eval_node(e, arg(e, node, i));
		double x = node->op == JL_ADD || node->op == JL_MUL ? parse_number(&value)
								    : to_number(e, &value);

		if (isnan(x))
			return null_value;
		if (node->op == JL_ADD)
			folded += x;
		else if (i == 0)
			folded = x;
		else if (node->op == JL_MUL)
			folded *= x;
		else if (node->op == JL_MAX ? x > folded : x < folded)
			folded = x;
	}
	return make_number(folded);
}

static struct value eval_arithmetic(struct eval *e, const struct jsonlogic_node *node)
{
	_cleanup_value_ struct value a = eval_node(e, arg(e, node, 0));
	double x = to_number(e, &a), y;

	if (node->n_args == 1)
		return make_number(-x);

	_cleanup_value_ struct value b = eval_node(e, arg(e, node, 1));
	y = to_number(e, &b);
	if (node->op == JL_SUB)
		return make_number(x - y);
	if (y == 0)
		return null_value;
	return make_number(node->op == JL_DIV ? x / y : fmod(x, y));
}

static struct value eval_node(struct eval *e, const struct jsonlogic_node *node)
{
	if (!spend(e, 1))
		return null_value;

	switch (node->op) {
	case JL_NULL: break;
	case JL_FALSE: return make_bool(false);
	case JL_TRUE: return make_bool(true);
	case JL_NUMBER: return make_number(node->number);
	case JL_LITERAL: return make_json(json_incref(node->literal));
	case JL_ARRAY: return eval_array(e, node);
	case JL_PATH: return eval_path(e, node);
	case JL_VAR: return eval_var(e, node);
	case JL_MISSING: return eval_missing(e, node);
	case JL_MISSING_SOME: return eval_missing_some(e, node);
	case JL_IF: return eval_if(e, node);
	case JL_EQ:
	case JL_NE:
	case JL_EQ_STRICT:
	case JL_NE_STRICT: return eval_equality(e, node);
	case JL_NOT:
	case JL_TRUTH: {
		_cleanup_value_ struct value value = eval_node(e, arg(e, node, 0));

		return make_bool(truthy(&value) == (node->op == JL_TRUTH));
	}
	case JL_OR:
	case JL_AND: return eval_connective(e, node);
	case JL_GT:
	case JL_GE:
	case JL_LT:
	case JL_LE: return eval_order(e, node);
	case JL_MAX:
	case JL_MIN:
	case JL_ADD:
	case JL_MUL: return eval_fold(e, node);
	case JL_SUB:
	case JL_DIV:
	case JL_MOD: return eval_arithmetic(e, node);
	case JL_MAP: return eval_map(e, node);
	case JL_REDUCE: return eval_reduce(e, node);
	case JL_FILTER: return eval_filter(e, node);
	case JL_ALL:
	case JL_NONE:
	case JL_SOME: return eval_quantifier(e, node);
	case JL_MERGE: return eval_merge(e, node);
	case JL_IN: return eval_in(e, node);
	case JL_CAT: return eval_cat(e, node);
	case JL_SUBSTR: return eval_substr(e, node);
	case JL_LOG: return eval_log(e, node);
	}
	return null_value;
}

bool jsonlogic_test(const struct jsonlogic *logic, const struct jsonlogic_numbers *numbers)
{
	struct eval e = {.logic = logic, .numbers = numbers, .budget = BUDGET_NUMBERS};
	_cleanup_value_ struct value value = eval_node(&e, logic->nodes);

	return e.budget >= 0 && truthy(&value);
}

json_t *jsonlogic_apply(const struct jsonlogic *logic, const json_t *data)
{
	/* References to the data are taken and given back; it is not changed. */
	struct eval e = {.logic = logic, .data = (json_t *)data, .budget = BUDGET_JSON};
	_cleanup_value_ struct value value = eval_node(&e, logic->nodes);

	if (e.budget < 0)
		return json_null();
	/* A copy: the caller may change what it gets, the rule and the data stay as they are. */
	if (value.kind == V_JSON)
		return json_deep_copy(value.json);
	return to_json(take(&value));
}
