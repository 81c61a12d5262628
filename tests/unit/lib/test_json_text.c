/* SPDX-License-Identifier: Apache-2.0 */
#include "ebb/json_text.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"
#include "../../test.h"

static void check_same(const json_t *json, size_t flags)
{
	_cleanup_free_ char *expected = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY | flags);
	_cleanup_free_ char *text = NULL;
	size_t len = 0;

	text = json_text(json, flags, &len);
	CHECK_STR(text, expected);
	CHECK_INT(len, strlen(expected));
}

static json_t *any_string(void)
{
	static const char *const pieces[] = {"a",    "\"", "\\",     "/",          "\n",
					     "\x01", "é",  "\u20ac", "\U0001f600", "\t",
					     "\r",   "\b", "\f",     "\x1f",       "\x7f"};
	char text[64] = "";

	for (long n = random() % 8; n > 0; n--)
		strcat(text, pieces[random() % (long)ARRAY_SIZE(pieces)]);
	return random() % 10 ? json_string(text) : json_stringn("a\0b", 3);
}

static json_t *any_value(int depth)
{
	static const json_int_t integers[] = {0, 7, -1, 12345, INT64_MAX, INT64_MIN};
	static const double reals[] = {0, 0.1, -2.5, 1e300, 1e-9, 100, 5e15, 0.30000000000000004};
	json_t *value;

	switch (random() % (depth > 4 ? 6 : 8)) {
	case 0: return any_string();
	case 1: return json_integer(integers[random() % (long)ARRAY_SIZE(integers)]);
	case 2: return json_real(reals[random() % (long)ARRAY_SIZE(reals)]);
	case 3: return json_true();
	case 4: return json_false();
	case 5: return json_null();
	case 6:
		value = json_array();
		for (long n = random() % 5; n > 0; n--)
			json_array_append_new(value, any_value(depth + 1));
		return value;
	default:
		value = json_object();
		for (long n = random() % 5; n > 0; n--) {
			_cleanup_json_ json_t *key = any_string();

			json_object_set_new(value, json_string_value(key), any_value(depth + 1));
		}
		return value;
	}
}

TEST(any_document_is_what_jansson_writes)
{
	srandom(1);
	for (int i = 0; i < 3000; i++) {
		_cleanup_json_ json_t *json = any_value(0);

		check_same(json, 0);
		check_same(json, JSON_REAL_PRECISION(15));
	}
}

TEST(empty_ones)
{
	_cleanup_json_ json_t *object = json_object(), *array = json_array();

	check_same(object, 0);
	check_same(array, 0);
}

TEST(what_cannot_be_written)
{
	_cleanup_json_ json_t *object = json_object();

	CHECK(!json_text(NULL, 0, NULL));
	/* An object that is in itself, by way of another. */
	json_object_set_new(object, "a", json_object());
	json_object_set(json_object_get(object, "a"), "b", object);
	CHECK(!json_text(object, 0, NULL));
	json_object_clear(json_object_get(object, "a"));
}

TEST_MAIN()
