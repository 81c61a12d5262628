/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "yaml_json.h"
#include "ebb/cleanup.h"

/* What was told last, until the next is: many are looked at in one test. */
static char *got;

static void forget(void)
{
	free(got);
	got = NULL;
}

/* The value as compact JSON, or the error. */
static const char *read_bytes(const char *text, size_t len)
{
	_cleanup_json_ json_t *json = NULL;
	char *error = NULL;

	forget();
	if (yaml_to_json(text, len, &json, &error) < 0)
		got = error;
	else
		got = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
	return got;
}

static const char *yaml(const char *text)
{
	return read_bytes(text, strlen(text));
}

TEST(plain_scalars_have_the_types_of_the_core_schema)
{
	CHECK_STR(yaml("[null, Null, NULL, ~, ]"), "[null,null,null,null]");
	CHECK_STR(yaml("a:\nb: 1"), "{\"a\":null,\"b\":1}");
	CHECK_STR(yaml("[true, True, TRUE, false, False, FALSE]"),
		  "[true,true,true,false,false,false]");
	CHECK_STR(yaml("[0, -7, +7, 007, 0x1F, 0o17]"), "[0,-7,7,7,31,15]");
	CHECK_STR(yaml("[1.5, .5, -2e3, 5.]"), "[1.5,0.5,-2000.0,5.0]");
}

TEST(words_of_yaml_1_1_are_text)
{
	CHECK_STR(
		yaml("[yes, no, on, off, y, 1_000, 0b1, 1:30, 2001-01-01, 0o8, 0x, -, '']"),
		"[\"yes\",\"no\",\"on\",\"off\",\"y\",\"1_000\",\"0b1\",\"1:30\",\"2001-01-01\",\"0o8\","
		"\"0x\",\"-\",\"\"]");
}

TEST(what_is_quoted_is_text)
{
	CHECK_STR(yaml("['1', \"true\", 'null', \"0x1F\", !!str 5, ! 6]"),
		  "[\"1\",\"true\",\"null\",\"0x1F\",\"5\",\"6\"]");
	CHECK_STR(yaml("a: |\n  1\n  2\nb: >\n  x\n  y\n"),
		  "{\"a\":\"1\\n2\\n\",\"b\":\"x y\\n\"}");
}

TEST(json_is_yaml)
{
	CHECK_STR(yaml("{\"a\": [1, \"two\", {\"b\": null}], \"c\": -1.5}"),
		  "{\"a\":[1,\"two\",{\"b\":null}],\"c\":-1.5}");
}

TEST(nothing_is_null)
{
	CHECK_STR(yaml(""), "null");
	CHECK_STR(yaml("# only a comment\n"), "null");
}

TEST(aliases_are_the_values_of_their_anchors)
{
	CHECK_STR(yaml("a: &r {max: 1}\nb: *r\nc: [&n 5, *n]"),
		  "{\"a\":{\"max\":1},\"b\":{\"max\":1},\"c\":[5,5]}");
	/* The nearest before it. */
	CHECK_STR(yaml("[&x 1, &x 2, *x]"), "[1,2,2]");
	CHECK_STR(yaml("a: *r"), "1:4: there is no anchor &r before this");
	CHECK_STR(yaml("a: &r [*r]"), "1:8: there is no anchor &r before this");
}

TEST(aliases_are_no_bomb)
{
	char text[2048] = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
	size_t used = strlen(text);

	for (int i = 1; i < 20; i++)
		used += snprintf(text + used, sizeof(text) - used,
				 "a%d: &a%d [*a%d,*a%d,*a%d,*a%d]\n", i, i, i - 1, i - 1, i - 1,
				 i - 1);
	CHECK(strstr(yaml(text), "more than 2000000 values"));
}

TEST(depth_is_bounded)
{
	char text[1000];

	memset(text, '[', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	CHECK_STR(yaml(text), "1:65: more than 64 levels");
}

TEST(what_is_not_of_it_is_refused_with_its_place)
{
	CHECK_STR(yaml("a: 1\nb: 2\na: 3"), "3:1: the key 'a' is there twice");
	CHECK_STR(yaml("a: !ruby/object 1"), "1:4: the tag !ruby/object is not known here");
	CHECK_STR(yaml("a: !!int '1'"), "1:4: the tag tag:yaml.org,2002:int is not known here");
	CHECK_STR(yaml("a: .inf"), "1:4: .inf is no number here; put it in quotes if it is text");
	CHECK_STR(yaml("a: 99999999999999999999"),
		  "1:4: 99999999999999999999 is too large a number");
	CHECK_STR(yaml("a: 1e999"), "1:4: 1e999 is too large a number");
	CHECK_STR(yaml("? [a]\n: 1"), "1:3: a key is a text");
	CHECK_STR(yaml("a: &r {x: 1}\nb:\n  <<: *r"),
		  "3:3: merge keys (<<) are not of YAML 1.2: write the members out");
	CHECK_STR(yaml("a: 1\n---\nb: 2"), "2:1: there is more than one document");
	CHECK_STR(yaml("a:\n\t- b"),
		  "2:1: found character that cannot start any token while scanning for the next "
		  "token");
	CHECK_STR(yaml("a: b: c"), "1:5: mapping values are not allowed in this context");
	CHECK_STR(yaml("a: \"\\0\""), "1:4: a text has no NUL in it");
}

TEST(broken_bytes_are_refused_with_their_place)
{
	CHECK_STR(yaml("\xff"), "1:1: invalid leading UTF-8 octet");
	CHECK_STR(yaml("a: 1\nb: \xff"), "2:4: invalid leading UTF-8 octet");
	CHECK_STR(read_bytes("a: 1\nb: \x01", 9), "2:4: control characters are not allowed");
}

TEST_MAIN()
