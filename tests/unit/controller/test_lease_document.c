/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <errno.h>

#include "lease_document.h"
#include "ebb/cleanup.h"

static json_t *load(const char *text)
{
	json_t *json = json_loads(text, 0, NULL);

	CHECK(json);
	return json;
}

TEST(what_is_written_is_what_is_read)
{
	struct lease_doc doc = {
		.rev = "3-abc",
		.holder = "http://a:5000",
		.instance = "0123456789abcdef",
		.term = 7,
		.renewed = 99,
		.standbys = {{"http://b:5000", "b", 4}, {"https://c/ebb", "c", 0}},
		.n_standbys = 2,
	};
	struct lease_doc again;
	_cleanup_json_ json_t *json = lease_document_build(&doc, NULL, 1700000000.5);

	CHECK_STR(json_string_value(json_object_get(json, "_id")), "ebb_leader");
	CHECK_STR(json_string_value(json_object_get(json, "name")), "ebb_leader");
	CHECK_STR(json_string_value(json_object_get(json, "type")), "service");
	CHECK(json_is_object(json_object_get(json, "config")));
	CHECK_NEAR(json_real_value(json_object_get(json, "heartbeat")), 1700000000.5, 0.001);
	CHECK_INT(lease_document_parse(json, &again), 0);
	CHECK(memcmp(&doc, &again, sizeof(doc)) == 0);
}

TEST(a_new_document_has_no_revision_and_fields_of_others_stay)
{
	struct lease_doc doc = {.holder = "http://a:5000", .instance = "a", .term = 1};
	_cleanup_json_ json_t *before =
		load("{\"_rev\":\"9-x\",\"note\":\"of the site\",\"config\":{\"A\":1},\"term\":0}");
	_cleanup_json_ json_t *json = lease_document_build(&doc, before, 1);

	CHECK(!json_object_get(json, "_rev"));
	CHECK_STR(json_string_value(json_object_get(json, "note")), "of the site");
	CHECK_INT(json_integer_value(json_object_get(json_object_get(json, "config"), "A")), 1);
	CHECK_INT(json_integer_value(json_object_get(json, "term")), 1);
	CHECK_INT(json_integer_value(json_object_get(before, "term")), 0);
}

TEST(other_leaves_are_seen_and_not_written)
{
	static const struct {
		const char *conflicts;
		bool split;
	} cases[] = {
		{"[]", false}, {"[\"2-y\"]", true}, {"[\"2-y\",\"2-z\"]", true}, {"null", false}};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_json_ json_t *json = json_pack(
			"{s:s, s:i, s:i, s:o}", "_rev", "3-x", "term", 4, "renewed", 5,
			"_conflicts", json_loads(cases[i].conflicts, JSON_DECODE_ANY, NULL));
		_cleanup_json_ json_t *again = NULL;
		struct lease_doc doc;

		CHECK_INT(lease_document_parse(json, &doc), 0);
		CHECK_INT(doc.split, cases[i].split);
		again = lease_document_build(&doc, json, 1);
		CHECK(again && !json_object_get(again, "_conflicts"));
	}
}

TEST(what_is_no_lease_is_refused)
{
	static const char *const wrong[] = {
		"[]",
		"{}",
		"{\"term\":1,\"renewed\":1}",
		"{\"_rev\":\"1-x\",\"renewed\":1}",
		"{\"_rev\":\"1-x\",\"term\":-1,\"renewed\":1}",
		"{\"_rev\":\"1-x\",\"term\":\"1\",\"renewed\":1}",
		"{\"_rev\":\"1-x\",\"term\":1.5,\"renewed\":1}",
		"{\"_rev\":\"1-x\",\"term\":9007199254740993,\"renewed\":1}",
		"{\"_rev\":\"1-x\",\"term\":1,\"renewed\":1,\"holder\":3}",
		"{\"_rev\":\"1-x\",\"term\":1,\"renewed\":1,\"instance\":\"01234567890123456\"}",
		"{\"_rev\":\"1-x\",\"term\":1,\"renewed\":1,\"standbys\":{}}",
		"{\"_rev\":\"1-x\",\"term\":1,\"renewed\":1,\"standbys\":[1]}",
		"{\"_rev\":\"1-x\",\"term\":1,\"renewed\":1,\"standbys\":[{\"url\":\"u\",\"seen\":1}]}",
		("{\"_rev\":\"1-x\",\"term\":1,\"renewed\":1,\"standbys\":[{\"url\":\"u\","
		 "\"instance\":\"i\"}]}"),
		"{\"_rev\":\"1-x\",\"term\":1,\"renewed\":1,\"standbys\":[1,2,3,4,5,6,7,8,9]}",
	};
	struct lease_doc doc = {.term = 42};
	_cleanup_json_ json_t *right =
		load("{\"_rev\":\"1-x\",\"term\":1,\"renewed\":0,\"holder\":null}");

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		json_t *json = load(wrong[i]);
		int r = lease_document_parse(json, &doc);

		json_decref(json);
		if (r != -EINVAL)
			TEST_FAIL("%s was taken", wrong[i]);
	}
	CHECK_INT(doc.term, 42);
	CHECK_INT(lease_document_parse(right, &doc), 0);
	CHECK_STR(doc.instance, "");
}

TEST_MAIN()
