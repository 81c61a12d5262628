/* SPDX-License-Identifier: Apache-2.0 */
/* What CouchDB keeps and JSON for us has no type for. */
#include "test.h"

#include "couchdb_json.h"
#include "ebb/cleanup.h"

static json_t *load(const char *text)
{
	json_error_t error;
	json_t *json = couchdb_json_load(text, strlen(text), &error);

	if (!json)
		TEST_FAIL("%s: %s", text, error.text);
	return json;
}

TEST(integers_stay_integers_beside_one_that_is_too_large)
{
	_cleanup_json_ json_t *json =
		load("{\"a\":9223372036854775807,\"b\":9223372036854775808,\"c\":200,"
		     "\"d\":[-9223372036854775809,-9223372036854775808],\"e\":1.5,"
		     "\"f\":\"9223372036854775808, \\\" 9223372036854775808\","
		     "\"g\":123456789012345678901234567890}");

	CHECK_INT(json_integer_value(json_object_get(json, "a")), 9223372036854775807);
	CHECK(json_real_value(json_object_get(json, "b")) == 9223372036854775808.0);
	CHECK_INT(json_integer_value(json_object_get(json, "c")), 200);
	CHECK(json_real_value(json_array_get(json_object_get(json, "d"), 0)) ==
	      -9223372036854775808.0);
	CHECK(json_is_integer(json_array_get(json_object_get(json, "d"), 1)));
	CHECK(json_real_value(json_object_get(json, "e")) == 1.5);
	CHECK_STR(json_string_value(json_object_get(json, "f")),
		  "9223372036854775808, \" 9223372036854775808");
	CHECK(json_real_value(json_object_get(json, "g")) == 123456789012345678901234567890.0);
}

TEST(what_was_loaded_is_loaded_again)
{
	_cleanup_json_ json_t *json = load("{\"a\":\"x\\u0000y\",\"b\":99999999999999999999}");
	_cleanup_free_ char *text = json_dumps(json, JSON_COMPACT);
	_cleanup_json_ json_t *again = couchdb_json_reload(text);

	CHECK_INT(json_string_length(json_object_get(json, "a")), 3);
	CHECK(json_equal(json, again));
	CHECK(!couchdb_json_reload(NULL));
}

TEST(what_stays_unreadable)
{
	static const char *const texts[] = {
		"",
		"x",
		"{",
		"7",
		"{\"a\\u0000b\":1}",
		"{\"a\":1e999}",
		"{\"a\":9223372036854775808",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		json_error_t error;
		json_t *json = couchdb_json_load(texts[i], strlen(texts[i]), &error);

		if (json)
			TEST_FAIL("%s was taken", texts[i]);
	}
}

/* Every piece of a text that needs the second look, as a cut connection leaves it. */
TEST(cut_anywhere)
{
	static const char text[] =
		"[-99999999999999999999,\"a\\\\\\\"\",{\"b\":99999999999999999999}]";

	for (size_t len = 0; len < sizeof(text) - 1; len++) {
		_cleanup_free_ char *piece = malloc(len ?: 1);
		json_error_t error;

		memcpy(piece, text, len);
		CHECK(!couchdb_json_load(piece, len, &error));
	}
	json_decref(load(text));
}

TEST(json_or_something_else)
{
	CHECK(couchdb_json_like(" \r\n{", 4));
	CHECK(couchdb_json_like("[1", 2));
	CHECK(!couchdb_json_like("", 0));
	CHECK(!couchdb_json_like("  ", 2));
	CHECK(!couchdb_json_like("<html>", 6));
	CHECK(!couchdb_json_like("OK", 2));
}

TEST_MAIN()
