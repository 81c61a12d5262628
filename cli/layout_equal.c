/* SPDX-License-Identifier: Apache-2.0 */
#include "layout_equal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"

static bool objects_equal(const json_t *a, const json_t *b)
{
	const char *key;
	json_t *value;

	if (json_object_size(a) != json_object_size(b))
		return false;
	json_object_foreach((json_t *)a, key, value)
		if (!layout_equal(value, json_object_get(b, key)))
			return false;
	return true;
}

static bool arrays_equal(const json_t *a, const json_t *b)
{
	size_t n = json_array_size(a);

	if (n != json_array_size(b))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!layout_equal(json_array_get(a, i), json_array_get(b, i)))
			return false;
	return true;
}

bool layout_equal(const json_t *a, const json_t *b)
{
	if (!a || !b)
		return a == b;
	if (json_is_number(a) && json_is_number(b))
		return json_number_value(a) == json_number_value(b);
	if (json_is_object(a) && json_is_object(b))
		return objects_equal(a, b);
	if (json_is_array(a) && json_is_array(b))
		return arrays_equal(a, b);
	return json_equal(a, b);
}

bool layout_means_the_same(const json_t *a, const json_t *b)
{
	_cleanup_free_ char *ta = NULL, *tb = NULL;

	if (!a || !b || json_is_string(a) == json_is_string(b))
		return layout_equal(a, b);
	ta = layout_value_text(a);
	tb = layout_value_text(b);
	return ta && tb && !strcmp(ta, tb);
}

#define TEXT_MAX 60

char *layout_value_text(const json_t *value)
{
	_cleanup_free_ char *text = NULL;

	if (!value)
		return strdup("");
	if (json_is_string(value))
		return strdup(json_string_value(value));
	text = json_dumps(value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(15));
	if (text && strlen(text) > TEXT_MAX)
		strcpy(text + TEXT_MAX - 3, "...");
	return TAKE_PTR(text);
}
