/* SPDX-License-Identifier: Apache-2.0 */
/* The values of a JsonLogic rule under evaluation, and how JavaScript turns one kind into another.
 */
#ifndef EBB_JSONLOGIC_VALUE_H
#define EBB_JSONLOGIC_VALUE_H

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>

#include "ebb/cleanup.h"

/* Nesting of a value that `reduce` builds; jansson releases recursively. */
#define VALUE_DEPTH_MAX 128
/* More can never be paid at once. */
#define VALUE_SPEND_MAX (1 << 22)

enum value_kind { V_NULL, V_BOOL, V_NUMBER, V_JSON /* string, array or object; owned */ };

struct value {
	enum value_kind kind;
	union {
		bool boolean;
		double number; /* always finite */
		json_t *json;
	};
};

static const struct value null_value = {.kind = V_NULL};

static inline void value_clear(struct value *value)
{
	if (value->kind == V_JSON)
		json_decref(value->json);
}

#define _cleanup_value_ __attribute__((cleanup(value_clear)))

static inline struct value value_take(struct value *value)
{
	struct value taken = *value;

	*value = null_value;
	return taken;
}

static inline struct value value_bool(bool boolean)
{
	return (struct value){.kind = V_BOOL, .boolean = boolean};
}

/* Null unless it is finite. */
static inline struct value value_number(double number)
{
	if (!isfinite(number))
		return null_value;
	return (struct value){.kind = V_NUMBER, .number = number};
}

/* Steals; NULL (no memory) is null. */
static inline struct value value_json(json_t *json)
{
	if (!json)
		return null_value;
	return (struct value){.kind = V_JSON, .json = json};
}

static inline struct value value_string(const char *text, size_t length)
{
	return value_json(json_stringn_nocheck(text, length));
}

/* Borrows; NULL is null. */
struct value value_from_json(json_t *json);
/* New reference; consumes. */
json_t *value_to_json(struct value value);

static inline bool value_truthy(const struct value *value)
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

static inline bool value_is_string(const struct value *value)
{
	return value->kind == V_JSON && json_is_string(value->json);
}

static inline bool value_is_array(const struct value *value)
{
	return value->kind == V_JSON && json_is_array(value->json);
}

/* Takes `units` from what an evaluation may still spend. False, from then on: it was not enough. */
static inline bool spend(long *budget, size_t units)
{
	if (units > (size_t)VALUE_SPEND_MAX)
		*budget = -1;
	else if (*budget >= 0)
		*budget -= (long)units;
	return *budget >= 0;
}

/* --- as text; each byte is paid for --- */

struct value_text {
	char *bytes; /* ends with a NUL, once anything was added, even "" */
	size_t length, allocated;
};

void value_text_clear(struct value_text *text);
#define _cleanup_value_text_ __attribute__((cleanup(value_text_clear)))

/* False: no memory, or the budget is spent. */
bool value_text_add(long *budget, struct value_text *text, const char *bytes, size_t length);
/* JavaScript's String(); within an array null is empty. */
bool value_text_add_value(long *budget, struct value_text *text, const struct value *value,
			  bool in_array);

/* --- as a number; NAN: it is none --- */

/* Of what is no number. */
double value_read_number(long *budget, const struct value *value);
double value_cast_number(const struct value *value);

/* For - / % < > == and the like: JavaScript's Number(). */
static inline double value_to_number(long *budget, const struct value *value)
{
	return value->kind == V_NUMBER ? value->number : value_read_number(budget, value);
}

/* For + and *, which are how a rule casts: "3.5 MiB" is 3.5, true is no number. */
static inline double value_parse_number(const struct value *value)
{
	return value->kind == V_NUMBER ? value->number : value_cast_number(value);
}

/* --- compared; arrays and objects by their contents --- */

bool value_strictly_equal(const struct value *a, const struct value *b);
bool value_loosely_equal(long *budget, const struct value *a, const struct value *b);

#endif
