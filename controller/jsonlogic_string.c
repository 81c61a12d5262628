/* SPDX-License-Identifier: Apache-2.0 */
/* Operators on text. */
#include "jsonlogic_eval_private.h"

#include <math.h>
#include <string.h>

#include "ebb/log.h"

struct value eval_in(struct eval *e, const struct jsonlogic_node *node)
{
	_cleanup_value_ struct value needle = eval_node(e, arg(e, node, 0));
	_cleanup_value_ struct value hay = eval_node(e, arg(e, node, 1));
	_cleanup_value_text_ struct value_text text = {};

	if (value_is_array(&hay)) {
		for (size_t i = 0; i < json_array_size(hay.json) && spend(&e->budget, 1); i++) {
			_cleanup_value_ struct value element =
				value_from_json(json_array_get(hay.json, i));

			if (value_strictly_equal(&needle, &element))
				return value_bool(true);
		}
		return value_bool(false);
	}
	if (!value_is_string(&hay) || !value_text_add(&e->budget, &text, "", 0) ||
	    !value_text_add_value(&e->budget, &text, &needle, false))
		return value_bool(false);
	spend(&e->budget, json_string_length(hay.json));
	return value_bool(strstr(json_string_value(hay.json), text.bytes));
}

struct value eval_cat(struct eval *e, const struct jsonlogic_node *node)
{
	_cleanup_value_text_ struct value_text text = {};

	if (!value_text_add(&e->budget, &text, "", 0))
		return null_value;
	for (uint32_t i = 0; i < node->n_args; i++) {
		_cleanup_value_ struct value value = eval_node(e, arg(e, node, i));

		if (!value_text_add_value(&e->budget, &text, &value, true))
			return null_value;
	}
	return value_string(text.bytes, text.length);
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
struct value eval_substr(struct eval *e, const struct jsonlogic_node *node)
{
	_cleanup_value_ struct value source = eval_node(e, arg(e, node, 0));
	_cleanup_value_ struct value start_value = eval_node(e, arg(e, node, 1));
	_cleanup_value_text_ struct value_text text = {};
	double characters, start, end;
	size_t from, to;

	if (!value_text_add(&e->budget, &text, "", 0) ||
	    !value_text_add_value(&e->budget, &text, &source, false))
		return null_value;
	characters = (double)utf8_length(text.bytes);
	start = trunc(value_to_number(&e->budget, &start_value));
	if (isnan(start))
		start = 0;
	if (start < 0)
		start = MAX(characters + start, 0);

	end = characters;
	if (node->n_args > 2) {
		_cleanup_value_ struct value length_value = eval_node(e, arg(e, node, 2));
		double length = trunc(value_to_number(&e->budget, &length_value));

		if (isnan(length))
			length = 0;
		end = length < 0 ? characters + length : start + length;
	}
	from = utf8_offset(text.bytes, start);
	to = end > start ? utf8_offset(text.bytes, end) : from;
	return value_string(text.bytes + from, to - from);
}

struct value eval_log(struct eval *e, const struct jsonlogic_node *node)
{
	_cleanup_value_ struct value value = eval_node(e, arg(e, node, 0));
	_cleanup_value_text_ struct value_text text = {};

	if (value_text_add(&e->budget, &text, "", 0) &&
	    value_text_add_value(&e->budget, &text, &value, false))
		log_debug("Rule logs: %s", text.bytes);
	return value_take(&value);
}
