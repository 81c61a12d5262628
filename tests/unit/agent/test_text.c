/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <jansson.h>

#include "text.h"

static struct text text;

static void clear(void *unused)
{
	text_clear(&text);
}

static const char *number(double value)
{
	text_reset(&text);
	text_number(&text, value);
	return text.data;
}

TEST(text_numbers)
{
	test_at_end(clear, NULL);
	text_u64(&text, 0);
	text_char(&text, ' ');
	text_u64(&text, UINT64_MAX);
	CHECK_STR(text.data, "0 18446744073709551615");
	CHECK_STR(number(200), "200");
	CHECK_STR(number(-1), "-1");
	CHECK_STR(number(0), "0");
	CHECK_STR(number(12.5), "12.5");
	CHECK_STR(number(0.1), "0.1");
	CHECK_STR(number(1.0 / 3), "0.333333");
	CHECK_STR(number(1e-9), "0");
	CHECK_STR(number(1e15 + 0.5), "1000000000000000.5");
}

TEST(text_grows)
{
	test_at_end(clear, NULL);
	for (int i = 0; i < 10000; i++)
		text_printf(&text, "%d,", i % 10);
	CHECK_INT(text.len, 20000);
	CHECK_INT(strlen(text.data), 20000);
	text_printf(&text, "%5000d", 7);
	CHECK_INT(text.len, 25000);
	CHECK_INT(strlen(text.data), 25000);
	CHECK(!text.failed);
	text_reset(&text);
	CHECK_INT(text.len, 0);
	CHECK_STR(text.data, "");
}

/* What is written reads back as the same string. */
static void round_trip(const char *string, const char *want)
{
	json_error_t error;

	text_reset(&text);
	text_json_string(&text, string);
	json_t *back = json_loads(text.data, JSON_DECODE_ANY, &error);
	CHECK(back);
	bool same = !strcmp(json_string_value(back), want);
	json_decref(back);
	if (!same)
		TEST_FAIL("%s came back otherwise", text.data);
}

TEST(text_json_strings)
{
	char longer[2000];

	test_at_end(clear, NULL);
	round_trip("web", "web");
	round_trip("", "");
	round_trip("a\"b\\c\nd\te\x01", "a\"b\\c\nd\te\x01");
	round_trip("caf\xc3\xa9", "caf\xc3\xa9");
	round_trip("broken\xc3", "broken?");
	memset(longer, '"', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	round_trip(longer, longer);
}

TEST(text_labels)
{
	test_at_end(clear, NULL);
	text_label(&text, "a\"b\\c\nd");
	CHECK_STR(text.data, "a\\\"b\\\\c\\nd");
	/* A cgroup can have any name, and one line that is no UTF-8 makes the whole page none. */
	text_reset(&text);
	text_label(&text, "/a\xff\"/\xc3\xa9\xc3");
	CHECK_STR(text.data, "/a\\\\xff\\\"/\xc3\xa9\\\\xc3");
}

TEST_MAIN()
