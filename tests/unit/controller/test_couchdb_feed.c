/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces of a continuous feed become lines, and lines changes; pages of documents become documents.
 */
#include "test.h"

#include <errno.h>

#include "couchdb_feed.h"
#include "couchdb_page.h"
#include "ebb/cleanup.h"

struct seen {
	char text[1024];
	int fail_at; /* the how-manieth line is refused; 0: none */
	int n;
};

static int note_line(void *userdata, const char *line, size_t len)
{
	struct seen *seen = userdata;

	CHECK(!line || strlen(line) == len);
	strcat(seen->text, line ?: "(too long)");
	strcat(seen->text, "|");
	return ++seen->n == seen->fail_at ? -EPIPE : 0;
}

static void take(struct couchdb_lines *lines, struct seen *seen, const char *data)
{
	CHECK_INT(couchdb_lines_take(lines, data, strlen(data), note_line, seen), 0);
}

TEST(lines_whatever_the_pieces)
{
	static const char feed[] = "{\"a\":1}\n\n\n{\"b\":2}\r\n{\"c\":3}\n{\"cut";

	for (size_t piece = 1; piece <= sizeof(feed); piece++) {
		struct couchdb_lines lines = {.max = 100};
		struct seen seen = {};

		for (size_t at = 0; at < sizeof(feed) - 1; at += piece)
			CHECK_INT(couchdb_lines_take(&lines, feed + at,
						     MIN(piece, sizeof(feed) - 1 - at), note_line,
						     &seen),
				  0);
		CHECK_STR(seen.text, "{\"a\":1}|{\"b\":2}|{\"c\":3}|");
		couchdb_lines_clear(&lines);
	}
}

TEST(what_a_cut_left_is_forgotten)
{
	struct couchdb_lines lines = {.max = 100};
	struct seen seen = {};

	take(&lines, &seen, "{\"half\":");
	couchdb_lines_clear(&lines);
	take(&lines, &seen, "{\"whole\":1}\n");
	CHECK_STR(seen.text, "{\"whole\":1}|");
	couchdb_lines_clear(&lines);
}

TEST(lines_that_are_too_long_are_dropped_alone)
{
	struct couchdb_lines lines = {.max = 8};
	struct seen seen = {};

	take(&lines, &seen, "12345678\n123456789\n1\n1234");
	take(&lines, &seen, "5678");
	take(&lines, &seen, "9 and much more of it, so that it would not fit");
	take(&lines, &seen, "\n2\n");
	CHECK_STR(seen.text, "12345678|(too long)|1|(too long)|2|");
	CHECK(lines.room < 8192);
	couchdb_lines_clear(&lines);
}

TEST(refused_line_ends_the_taking)
{
	struct couchdb_lines lines = {.max = 100};
	struct seen seen = {.fail_at = 2};

	CHECK_INT(couchdb_lines_take(&lines, "1\n2\n3\n", 6, note_line, &seen), -EPIPE);
	CHECK_STR(seen.text, "1|2|");
	couchdb_lines_clear(&lines);
}

static void parse(const char *line, struct couchdb_change *ret_change)
{
	CHECK_INT(couchdb_change_parse(line, strlen(line), ret_change), 0);
}

TEST(change_of_couchdb_3)
{
	struct couchdb_change change;

	parse("{\"seq\":\"9-g1AAA\",\"id\":\"c0\",\"changes\":[{\"rev\":\"3-abc\"}],"
	      "\"doc\":{\"_id\":\"c0\",\"_rev\":\"3-abc\",\"x\":1}}",
	      &change);
	CHECK_STR(change.id, "c0");
	CHECK_STR(change.rev, "3-abc");
	CHECK_STR(change.seq, "9-g1AAA");
	CHECK(!change.deleted);
	CHECK_INT(json_integer_value(json_object_get(change.doc, "x")), 1);
	couchdb_change_clear(&change);
	CHECK(!change.id);
}

TEST(sequences_of_other_servers)
{
	struct couchdb_change change;

	parse("{\"seq\":12,\"id\":\"a\",\"changes\":[{\"rev\":\"1-a\"}]}", &change);
	CHECK_STR(change.seq, "12");
	CHECK(!change.doc);
	couchdb_change_clear(&change);
	parse("{\"seq\":[3,\"g1\"],\"id\":\"a\",\"changes\":[{\"rev\":\"1-a\"}]}", &change);
	CHECK_STR(change.seq, "[3,\"g1\"]");
	couchdb_change_clear(&change);
	/* CouchDB leaves it out of some lines (seq_interval). */
	parse("{\"seq\":null,\"id\":\"a\",\"changes\":[{\"rev\":\"1-a\"}]}", &change);
	CHECK(!change.seq);
	couchdb_change_clear(&change);
}

TEST(deletion_in_either_form)
{
	struct couchdb_change change;

	parse("{\"seq\":1,\"id\":\"a\",\"changes\":[{\"rev\":\"2-a\"}],\"deleted\":true}", &change);
	CHECK(change.deleted && !change.doc);
	couchdb_change_clear(&change);
	parse("{\"seq\":1,\"id\":\"a\",\"changes\":[{\"rev\":\"2-a\"}],"
	      "\"doc\":{\"_id\":\"a\",\"_deleted\":true}}",
	      &change);
	CHECK(change.deleted && !change.doc);
	couchdb_change_clear(&change);
}

TEST(end_of_a_feed)
{
	struct couchdb_change change;

	parse("{\"last_seq\":\"7-x\",\"pending\":0}", &change);
	CHECK(!change.id);
	CHECK_STR(change.seq, "7-x");
	couchdb_change_clear(&change);
	parse("{\"error\":\"timeout\",\"reason\":\"x\"}", &change);
	CHECK(!change.id);
	CHECK_STR(change.error, "timeout");
	couchdb_change_clear(&change);
}

TEST(lines_that_are_no_change)
{
	static const char *const lines[] = {
		"x",
		"{",
		"[]",
		"7",
		"null",
		"{}",
		"{\"id\":\"a\"}",
		"{\"id\":\"a\",\"changes\":[]}",
		"{\"id\":7,\"changes\":[{\"rev\":\"1-a\"}]}",
		"{\"id\":\"a\",\"changes\":[{\"rev\":1}]}",
		"{\"id\":\"a\",\"changes\":[{\"rev\":\"1-a\"}]",
		"<html>",
	};

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct couchdb_change change = {.id = (char *)"untouched"};

		if (couchdb_change_parse(lines[i], strlen(lines[i]), &change) != -EBADMSG)
			TEST_FAIL("%s was taken", lines[i]);
		CHECK_STR(change.id, "untouched");
	}
}

static void check_skim(const char *line, const char *id, const char *seq)
{
	struct couchdb_change change;

	CHECK_INT(couchdb_change_parse(line, strlen(line), &change), -EBADMSG);
	CHECK_INT(couchdb_change_skim(line, strlen(line), &change), 0);
	CHECK_STR(change.id, id);
	if (seq)
		CHECK_STR(change.seq, seq);
	else
		CHECK(!change.seq);
	CHECK(!change.rev && !change.doc);
	couchdb_change_clear(&change);
}

TEST(lines_that_are_passed_over)
{
	check_skim("{\"seq\":\"9-g1\",\"id\":\"c0\",\"changes\":[{\"rev\":\"3-abc\"}],"
		   "\"doc\":{\"id\":\"x\",\"seq\":\"y\",\"a\\u0000\":[{\"}\":\"]\\\"\"}]}}",
		   "c0", "9-g1");
	check_skim(
		"{\"changes\":[{\"rev\":\"1-a\"}],\"doc\":{\"n\":1e999},\"id\":\"a,\\\"}\",\"seq\":12}",
		"a,\"}", "12");
	check_skim("{\"seq\":[3,\"g1\"],\"id\":\"a\",\"doc\":{\"n\":-1e999}}", "a", "[3,\"g1\"]");
	check_skim("{\"seq\":null,\"id\":\"a\",\"doc\":{\"n\":1e999}}", "a", NULL);
}

TEST(lines_that_are_not_even_that)
{
	static const char line[] = "{\"seq\":\"9-g1\",\"id\":\"c0\",\"doc\":{\"n\":[1e999]}}";
	static const char *const lines[] = {
		"x",
		"{}",
		"[]",
		"<html>",
		"{\"id\":7,\"seq\":1}",
		"{\"seq\":1}",
		"{\"id\":\"a\"]",
		"{\"id\":\"a\"}x",
		"{\"id\":]}",
	};

	for (size_t len = 0; len < sizeof(line) - 1; len++) {
		_cleanup_free_ char *piece = malloc(len ?: 1);
		struct couchdb_change change = {.id = (char *)"untouched"};

		memcpy(piece, line, len);
		CHECK_INT(couchdb_change_skim(piece, len, &change), -EBADMSG);
		CHECK_STR(change.id, "untouched");
	}
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct couchdb_change change;

		if (couchdb_change_skim(lines[i], strlen(lines[i]), &change) != -EBADMSG)
			TEST_FAIL("%s was taken", lines[i]);
	}
}

TEST(numbers_beyond_64_bits_in_a_change)
{
	struct couchdb_change change;

	parse("{\"seq\":1,\"id\":\"a\",\"changes\":[{\"rev\":\"1-a\"}],"
	      "\"doc\":{\"n\":9223372036854775808,\"i\":7,\"t\":\"a\\u0000b\"}}",
	      &change);
	CHECK(json_real_value(json_object_get(change.doc, "n")) == 9223372036854775808.0);
	CHECK_INT(json_integer_value(json_object_get(change.doc, "i")), 7);
	couchdb_change_clear(&change);
}

static int note_row(void *userdata, struct couchdb_change *change)
{
	struct seen *seen = userdata;

	strcat(seen->text, change->id);
	strcat(seen->text, "@");
	strcat(seen->text, change->rev);
	strcat(seen->text, "|");
	CHECK(json_is_object(change->doc));
	couchdb_change_clear(change);
	return ++seen->n == seen->fail_at ? -EPIPE : 0;
}

#define ROW(id) "{\"id\":\"" id "\",\"value\":{\"rev\":\"1-" id "\"},\"doc\":{\"_id\":\"" id "\"}}"

TEST(pages_begin_where_the_last_one_says)
{
	_cleanup_json_ json_t *page =
		json_loads("{\"rows\":[" ROW("a") "," ROW("_design/x") "," ROW("c") "]}", 0, NULL);
	struct seen seen = {};
	char *next = NULL;

	CHECK_INT(couchdb_page_read(page, 2, note_row, &seen, &next), 0);
	CHECK_STR(seen.text, "a@1-a|");
	CHECK_STR(next, "c");
	free(next);
	CHECK_INT(couchdb_page_read(page, 3, note_row, &seen, &next), 0);
	CHECK_STR(seen.text, "a@1-a|a@1-a|c@1-c|");
	CHECK(!next);
}

TEST(pages_with_a_document_that_has_just_gone)
{
	_cleanup_json_ json_t *page = json_loads(
		"{\"rows\":[{\"id\":\"a\",\"value\":{\"rev\":\"2-a\",\"deleted\":true},\"doc\":null},"
		"{\"key\":\"x\",\"id\":\"x\",\"error\":\"not_found\"}," ROW("b") "]}",
		0, NULL);
	struct seen seen = {};
	char *next = NULL;

	CHECK_INT(couchdb_page_read(page, 10, note_row, &seen, &next), 0);
	CHECK_STR(seen.text, "b@1-b|");
}

TEST(pages_that_are_none)
{
	_cleanup_json_ json_t *object = json_loads("{\"error\":\"x\"}", 0, NULL);
	_cleanup_json_ json_t *nameless = json_loads("{\"rows\":[{}]}", 0, NULL);
	_cleanup_json_ json_t *good = json_loads("{\"rows\":[" ROW("a") "]}", 0, NULL);
	struct seen seen = {.fail_at = 1};
	char *next = (char *)"untouched";

	CHECK_INT(couchdb_page_read(NULL, 2, note_row, &seen, &next), -EBADMSG);
	CHECK_INT(couchdb_page_read(object, 2, note_row, &seen, &next), -EBADMSG);
	CHECK_INT(couchdb_page_read(nameless, 2, note_row, &seen, &next), -EBADMSG);
	CHECK_INT(couchdb_page_read(good, 2, note_row, &seen, &next), -EPIPE);
	CHECK_STR(next, "untouched");
}

TEST(paths_of_pages)
{
	_cleanup_free_ char *first = couchdb_page_path(500, NULL);
	_cleanup_free_ char *second = couchdb_page_path(2, "a\"b/\xc3\xa9");
	_cleanup_free_ char *ids = couchdb_page_path_ids(500, "a");

	CHECK_STR(ids, "/_all_docs?limit=501&startkey=%22a%22");

	CHECK_STR(first, "/_all_docs?include_docs=true&limit=501");
	CHECK_STR(second, "/_all_docs?include_docs=true&limit=3"
			  "&startkey=%22a%5C%22b%2F%C3%A9%22");
}

TEST_MAIN()
