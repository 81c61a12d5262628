/* SPDX-License-Identifier: Apache-2.0 */
#include "jsonlogic_value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct value value_from_json(json_t *json)
{
	if (!json)
		return null_value;
	switch (json_typeof(json)) {
	case JSON_TRUE: return value_bool(true);
	case JSON_FALSE: return value_bool(false);
	case JSON_INTEGER:
	case JSON_REAL: return value_number(json_number_value(json));
	case JSON_STRING:
	case JSON_ARRAY:
	case JSON_OBJECT: return value_json(json_incref(json));
	case JSON_NULL: break;
	}
	return null_value;
}

json_t *value_to_json(struct value value)
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

/* --- text --- */

void value_text_clear(struct value_text *text)
{
	free(text->bytes);
}

bool value_text_add(long *budget, struct value_text *text, const char *bytes, size_t length)
{
	if (!spend(budget, length))
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
static bool add_json(long *budget, struct value_text *text, const json_t *json, bool in_array,
		     unsigned depth)
{
	char buffer[32];

	if (!spend(budget, 1) || depth > VALUE_DEPTH_MAX)
		return false;
	switch (json_typeof(json)) {
	case JSON_STRING:
		return value_text_add(budget, text, json_string_value(json),
				      json_string_length(json));
	case JSON_INTEGER:
	case JSON_REAL:
		format_number(json_number_value(json), buffer, sizeof(buffer));
		return value_text_add(budget, text, buffer, strlen(buffer));
	case JSON_TRUE: return value_text_add(budget, text, "true", 4);
	case JSON_FALSE: return value_text_add(budget, text, "false", 5);
	case JSON_NULL: return in_array || value_text_add(budget, text, "null", 4);
	case JSON_OBJECT: return value_text_add(budget, text, "[object Object]", 15);
	case JSON_ARRAY:
		for (size_t i = 0; i < json_array_size(json); i++) {
			if (i > 0 && !value_text_add(budget, text, ",", 1))
				return false;
			if (!add_json(budget, text, json_array_get(json, i), true, depth + 1))
				return false;
		}
		return true;
	}
	return false;
}

bool value_text_add_value(long *budget, struct value_text *text, const struct value *value,
			  bool in_array)
{
	char buffer[32];

	switch (value->kind) {
	case V_NULL: return in_array || value_text_add(budget, text, "null", 4);
	case V_BOOL:
		return value_text_add(budget, text, value->boolean ? "true" : "false",
				      value->boolean ? 4 : 5);
	case V_NUMBER:
		format_number(value->number, buffer, sizeof(buffer));
		return value_text_add(budget, text, buffer, strlen(buffer));
	case V_JSON: return add_json(budget, text, value->json, in_array, 0);
	}
	return false;
}

/* --- numbers --- */

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

double value_read_number(long *budget, const struct value *value)
{
	switch (value->kind) {
	case V_BOOL: return value->boolean ? 1 : 0;
	case V_JSON: {
		_cleanup_value_text_ struct value_text text = {};

		if (json_is_string(value->json))
			return number_from_text(json_string_value(value->json), true);
		if (!json_is_array(value->json) || !value_text_add(budget, &text, "", 0) ||
		    !value_text_add_value(budget, &text, value, false))
			return NAN;
		return number_from_text(text.bytes, true);
	}
	case V_NUMBER: return value->number;
	case V_NULL: break;
	}
	return NAN;
}

double value_cast_number(const struct value *value)
{
	if (value_is_string(value))
		return number_from_text(json_string_value(value->json), false);
	return NAN;
}

/* --- comparison --- */

bool value_strictly_equal(const struct value *a, const struct value *b)
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

bool value_loosely_equal(long *budget, const struct value *a, const struct value *b)
{
	_cleanup_value_text_ struct value_text text = {};

	if (a->kind == V_NULL || b->kind == V_NULL)
		return a->kind == b->kind;
	if (a->kind == b->kind &&
	    (a->kind != V_JSON || json_typeof(a->json) == json_typeof(b->json)))
		return value_strictly_equal(a, b);

	/* A string and an array or object: as texts. Everything else: as numbers. */
	if (value_is_string(a) || value_is_string(b)) {
		const struct value *string = value_is_string(a) ? a : b;
		const struct value *other = value_is_string(a) ? b : a;

		if (other->kind == V_JSON)
			return value_text_add(budget, &text, "", 0) &&
			       value_text_add_value(budget, &text, other, false) &&
			       !strcmp(text.bytes, json_string_value(string->json));
	}
	return value_to_number(budget, a) == value_to_number(budget, b);
}
