/* SPDX-License-Identifier: Apache-2.0 */
/* What a change means to the table of documents: an echo, something old, or news. */
#include "test.h"

#include <errno.h>

#include "couchdb_documents.h"
#include "ebb/cleanup.h"

static struct couchdb_documents *documents;
static struct couchdb_told_list told;
static char said[2048];

static void end(void *arg)
{
	for (struct couchdb_told *item = told.first, *next; item; item = next) {
		next = item->next;
		couchdb_told_free(item);
	}
	told.first = NULL;
	couchdb_documents_free(documents);
	documents = NULL;
}

static void begin(enum store_db db)
{
	CHECK_INT(couchdb_documents_new(db, &documents), 0);
	test_at_end(end, NULL);
	told.first = NULL;
	told.last = &told.first;
}

/* What was told since: "KEY=DOC<BASE ..." or "KEY- ...". */
static const char *heard(void)
{
	said[0] = '\0';
	while (told.first) {
		struct couchdb_told *item = told.first;
		_cleanup_free_ char *doc = NULL, *base = NULL;

		doc = item->doc ? json_dumps(item->doc, JSON_COMPACT) : strdup("-");
		base = item->base ? json_dumps(item->base, JSON_COMPACT) : strdup("");
		strcat(said, item->key);
		strcat(said, item->doc ? "=" : "");
		strcat(said, doc);
		strcat(said, "<");
		strcat(said, base);
		strcat(said, " ");
		told.first = item->next;
		couchdb_told_free(item);
	}
	told.last = &told.first;
	/* The backend notes when it has told. */
	for (struct couchdb_document *d = couchdb_documents_first(documents); d; d = d->next)
		if (d->told_ns == UINT64_MAX)
			d->told_ns = 1;
	return said;
}

/* `doc` NULL: deleted. */
static void change(const char *id, const char *rev, const char *doc)
{
	struct couchdb_change it = {
		.id = strdup(id),
		.rev = strdup(rev),
		.deleted = !doc,
		.doc = doc ? json_loads(doc, 0, NULL) : NULL,
	};

	CHECK(!doc || it.doc);
	CHECK_INT(couchdb_documents_take(documents, &it, &told), 0);
	CHECK(!it.id && !it.doc);
}

static struct couchdb_document *at(const char *key)
{
	return couchdb_documents_by_key(documents, key);
}

/* As the writer does. */
static struct couchdb_document *fly(const char *key, const char *body)
{
	_cleanup_json_ json_t *doc = body ? json_loads(body, 0, NULL) : NULL;
	struct couchdb_document *document = at(key) ?: couchdb_documents_add(documents, key);

	CHECK(document);
	document->in_flight = true;
	document->attempt = doc ? couchdb_document_hash(doc) : 0;
	return document;
}

static void land(const char *key, const char *rev, const char *body)
{
	CHECK_INT(couchdb_documents_written(documents, at(key), rev, strdup(body), NULL, &told), 0);
}

TEST(ids_of_keys_and_back)
{
	static const char *const pairs[][2] = {
		{"c0", "c0"},    {"_x", "~_x"},  {"~x", "~~x"},
		{"~_x", "~~_x"}, {"a_~", "a_~"}, {"_", "~_"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		_cleanup_free_ char *id = couchdb_id_of_key(pairs[i][0]);
		_cleanup_free_ char *key = couchdb_key_of(DB_EVENTS, pairs[i][1], NULL);

		CHECK_STR(id, pairs[i][1]);
		CHECK_STR(key, pairs[i][0]);
	}
}

TEST(keys_are_names_but_of_events_and_requests)
{
	_cleanup_json_ json_t *doc = json_pack("{s:s}", "name", "n");
	_cleanup_json_ json_t *odd = json_pack("{s:i}", "name", 7);
	_cleanup_free_ char *a = couchdb_key_of(DB_STRUCTURES, "id", doc);
	_cleanup_free_ char *b = couchdb_key_of(DB_EVENTS, "id", doc);
	_cleanup_free_ char *c = couchdb_key_of(DB_REQUESTS, "id", doc);
	_cleanup_free_ char *d = couchdb_key_of(DB_RULES, "~plain", odd);

	CHECK_STR(a, "n");
	CHECK_STR(b, "id");
	CHECK_STR(c, "id");
	CHECK_STR(d, "~plain");
}

TEST(numbers_of_revisions)
{
	CHECK_INT(couchdb_rev_number("12-abc"), 12);
	CHECK_INT(couchdb_rev_number("x"), 0);
	CHECK_INT(couchdb_rev_number("12"), 0);
	CHECK_INT(couchdb_rev_number("-1-x"), 0);
	CHECK_INT(couchdb_rev_number(NULL), 0);
}

static uint64_t hash_of(const char *text)
{
	_cleanup_json_ json_t *doc = json_loads(text, 0, NULL);

	CHECK(doc);
	return couchdb_document_hash(doc);
}

TEST(hashes_of_content)
{
	uint64_t hash = hash_of("{\"a\":1,\"b\":[1,2,{\"c\":null}],\"d\":\"x\"}");

	CHECK(hash == hash_of("{\"d\":\"x\",\"b\":[1.0,2,{\"c\":null}],\"a\":1.0}"));
	CHECK(hash != hash_of("{\"a\":1,\"b\":[2,1,{\"c\":null}],\"d\":\"x\"}"));
	CHECK(hash != hash_of("{\"a\":1,\"b\":[1,2,{\"c\":false}],\"d\":\"x\"}"));
	CHECK(hash != hash_of("{\"a\":2,\"b\":[1,2,{\"c\":null}],\"d\":\"x\"}"));
	CHECK(hash_of("{\"a\":\"b\",\"c\":\"d\"}") != hash_of("{\"a\":\"d\",\"c\":\"b\"}"));
	CHECK(hash_of("{\"a\":\"1\"}") != hash_of("{\"a\":1}"));
}

TEST(stripped_documents_keep_their_attachments_aside)
{
	_cleanup_json_ json_t *doc = json_loads("{\"_id\":\"a\",\"x\":1,\"_rev\":\"1-a\","
						"\"_attachments\":{\"f\":{\"stub\":true}},"
						"\"_conflicts\":[]}",
						0, NULL);
	_cleanup_free_ char *kept = NULL, *text = NULL;

	CHECK_INT(couchdb_document_strip(doc, &kept), 0);
	text = json_dumps(doc, JSON_COMPACT);
	CHECK_STR(text, "{\"x\":1}");
	CHECK_STR(kept, "\"_attachments\":{\"f\":{\"stub\":true}}");
}

TEST(new_changed_and_deleted_documents_are_told)
{
	begin(DB_LIMITS);
	change("i", "1-a", "{\"_id\":\"i\",\"_rev\":\"1-a\",\"name\":\"c0\",\"x\":1}");
	CHECK_STR(heard(), "c0={\"name\":\"c0\",\"x\":1}< ");
	change("i", "2-b", "{\"name\":\"c0\",\"x\":2}");
	CHECK_STR(heard(), "c0={\"name\":\"c0\",\"x\":2}<{\"name\":\"c0\",\"x\":1} ");
	CHECK_STR(at("c0")->rev, "2-b");
	change("i", "3-c", NULL);
	CHECK_STR(heard(), "c0-<{\"name\":\"c0\",\"x\":2} ");
	change("i", "4-d", "{\"name\":\"c0\",\"x\":3}");
	CHECK_STR(heard(), "c0={\"name\":\"c0\",\"x\":3}< ");
}

TEST(what_is_old_or_the_same_is_not_told)
{
	begin(DB_LIMITS);
	change("i", "5-a", "{\"name\":\"c0\",\"x\":1}");
	heard();
	change("i", "5-a", "{\"name\":\"c0\",\"x\":1}");
	change("i", "4-z", "{\"name\":\"c0\",\"x\":9}");
	change("i", "4-z", NULL);
	change("i", "6-b", "{\"x\":1.0,\"name\":\"c0\"}");
	change("_design/x", "1-a", "{\"views\":{}}");
	change("never", "1-a", NULL);
	CHECK_STR(heard(), "");
	CHECK_STR(at("c0")->rev, "6-b");
	CHECK_INT(couchdb_documents_count(documents), 1);
}

TEST(the_lease_is_nobodys_business)
{
	begin(DB_SERVICES);
	change("ebb_leader", "1-a", "{\"name\":\"ebb_leader\",\"term\":1}");
	CHECK_STR(heard(), "");
	CHECK_INT(couchdb_documents_count(documents), 0);
}

TEST(echo_after_the_reply)
{
	begin(DB_LIMITS);
	fly("c0", "{\"name\":\"c0\"}");
	land("c0", "1-a", "{\"name\":\"c0\"}");
	change("c0", "1-a", "{\"name\":\"c0\"}");
	CHECK_STR(heard(), "");
}

TEST(echo_before_the_reply_waits_for_it)
{
	begin(DB_LIMITS);
	fly("c0", "{\"name\":\"c0\"}");
	change("c0", "1-a", "{\"name\":\"c0\"}");
	CHECK(at("c0")->waiting.id);
	CHECK_STR(heard(), "");
	land("c0", "1-a", "{\"name\":\"c0\"}");
	CHECK_STR(heard(), "");
	CHECK(!at("c0")->waiting.id);
}

TEST(their_change_that_came_after_ours_waits_and_is_told)
{
	begin(DB_LIMITS);
	fly("c0", "{\"name\":\"c0\",\"x\":1}");
	change("c0", "1-a", "{\"name\":\"c0\",\"x\":1}");
	change("c0", "2-b", "{\"name\":\"c0\",\"x\":2}");
	land("c0", "1-a", "{\"name\":\"c0\",\"x\":1}");
	CHECK_STR(heard(), "c0={\"name\":\"c0\",\"x\":2}<{\"name\":\"c0\",\"x\":1} ");
}

TEST(their_change_that_a_merge_took_in_is_not_told_again)
{
	begin(DB_LIMITS);
	change("c0", "1-a", "{\"name\":\"c0\",\"x\":1}");
	heard();
	fly("c0", "{\"name\":\"c0\",\"x\":3}");
	change("c0", "2-b", "{\"name\":\"c0\",\"x\":2}");
	land("c0", "3-c", "{\"name\":\"c0\",\"x\":3}");
	CHECK_STR(heard(), "");
	CHECK_STR(at("c0")->rev, "3-c");
}

TEST(lost_answer_is_known_by_its_content)
{
	begin(DB_LIMITS);
	fly("c0", "{\"name\":\"c0\",\"x\":1}");
	CHECK_INT(couchdb_documents_failed(documents, at("c0"), false, &told), 0);
	change("c0", "1-a", "{\"x\":1.0,\"name\":\"c0\"}");
	CHECK_STR(heard(), "");
	CHECK_STR(at("c0")->rev, "1-a");
	CHECK(at("c0")->synced);
}

TEST(refused_document_leaves_nothing)
{
	begin(DB_LIMITS);
	fly("c0", "{\"name\":\"c0\",\"x\":1}");
	CHECK_INT(couchdb_documents_failed(documents, at("c0"), true, &told), 0);
	CHECK(!at("c0"));
	/* But one that is there stays as it is there. */
	change("c1", "1-a", "{\"name\":\"c1\"}");
	fly("c1", "{\"name\":\"c1\",\"bad\":1}");
	CHECK_INT(couchdb_documents_failed(documents, at("c1"), true, &told), 0);
	CHECK_STR(at("c1")->synced, "{\"name\":\"c1\"}");
}

TEST(our_deletion_is_not_undone_by_what_comes_late)
{
	begin(DB_EVENTS);
	fly("e", "{}");
	land("e", "1-a", "{}");
	fly("e", NULL);
	CHECK_INT(couchdb_documents_deleted(documents, at("e"), "2-b", false, 1, &told), 0);
	change("e", "1-a", "{}");
	CHECK_STR(heard(), "");
	/* The echo: nothing older can come after it. */
	change("e", "2-b", NULL);
	CHECK_STR(heard(), "");
	CHECK(!at("e"));
}

TEST(deletion_by_them_that_a_write_finds)
{
	begin(DB_LIMITS);
	change("c0", "1-a", "{\"name\":\"c0\"}");
	heard();
	fly("c0", "{\"name\":\"c0\",\"x\":1}");
	CHECK_INT(couchdb_documents_deleted(documents, at("c0"), NULL, true, 1, &told), 0);
	CHECK_STR(heard(), "c0-<{\"name\":\"c0\"} ");
	change("c0", "2-b", NULL);
	CHECK_STR(heard(), "");
}

TEST(renamed_document)
{
	begin(DB_RULES);
	change("i", "1-a", "{\"name\":\"old\"}");
	heard();
	change("i", "2-b", "{\"name\":\"new\"}");
	CHECK_STR(heard(), "old-<{\"name\":\"old\"} new={\"name\":\"new\"}< ");
	CHECK(!at("old") && at("new"));
}

TEST(second_document_of_a_name_does_not_count)
{
	begin(DB_RULES);
	change("i1", "1-a", "{\"name\":\"r\",\"x\":1}");
	heard();
	change("i2", "1-b", "{\"name\":\"r\",\"x\":2}");
	change("i2", "2-b", "{\"name\":\"r\",\"x\":3}");
	change("i2", "3-b", NULL);
	CHECK_STR(heard(), "");
	CHECK_STR(at("r")->id, "i1");
	/* Nor can another be renamed to it. */
	change("i3", "1-c", "{\"name\":\"s\"}");
	heard();
	change("i3", "2-c", "{\"name\":\"r\"}");
	CHECK_STR(heard(), "s-<{\"name\":\"s\"} ");
	CHECK_STR(at("r")->id, "i1");
	CHECK(!at("s"));
}

TEST(a_plan_gives_way_to_what_is_there)
{
	begin(DB_RULES);
	couchdb_documents_add(documents, "r");
	change("i1", "4-a", "{\"name\":\"r\",\"x\":1}");
	CHECK_STR(heard(), "r={\"name\":\"r\",\"x\":1}< ");
	CHECK_STR(at("r")->id, "i1");
	/* What is planned was made without it. */
	CHECK(at("r")->behind && !at("r")->before);
}

TEST(what_was_made_before_it_was_told)
{
	begin(DB_LIMITS);
	change("c0", "1-a", "{\"name\":\"c0\",\"x\":1}");
	/* Not told yet. */
	CHECK(couchdb_document_was_told_since(at("c0"), 1000));
	at("c0")->told_ns = 500;
	CHECK(couchdb_document_was_told_since(at("c0"), 499));
	CHECK(!couchdb_document_was_told_since(at("c0"), 500));
	couchdb_documents_settle(documents);
	CHECK(!couchdb_document_was_told_since(at("c0"), 1));
	heard();
}

TEST(what_was_made_during_a_merge_was_made_from_ours)
{
	begin(DB_LIMITS);
	change("c0", "1-a", "{\"name\":\"c0\",\"x\":1}");
	heard();
	fly("c0", "{\"name\":\"c0\",\"x\":2,\"u\":1}");
	CHECK_INT(couchdb_documents_written(documents, at("c0"), "3-c",
					    strdup("{\"name\":\"c0\",\"x\":9,\"u\":1}"),
					    "{\"name\":\"c0\",\"x\":2,\"u\":1}", &told),
		  0);
	CHECK_STR(at("c0")->before, "{\"name\":\"c0\",\"x\":2,\"u\":1}");
	CHECK(couchdb_document_was_told_since(at("c0"), 1000));
	CHECK_STR(heard(), "c0={\"name\":\"c0\",\"x\":9,\"u\":1}<"
			   "{\"name\":\"c0\",\"x\":2,\"u\":1} ");
}

TEST(news_leaves_what_may_still_be_written_behind)
{
	begin(DB_LIMITS);
	change("c0", "1-a", "{\"name\":\"c0\",\"x\":1}");
	heard();
	couchdb_documents_settle(documents); /* loaded so */
	change("c0", "2-a", "{\"name\":\"c0\",\"x\":2}");
	CHECK(at("c0")->behind && at("c0")->told_ns == UINT64_MAX);
	heard();
	change("c0", "3-a", "{\"name\":\"c0\",\"x\":3}");
	heard();
	/* The oldest of them, as long as nothing was written. */
	CHECK_STR(at("c0")->before, "{\"name\":\"c0\",\"x\":1}");
	fly("c0", "{\"name\":\"c0\",\"x\":3,\"y\":1}");
	land("c0", "4-a", "{\"name\":\"c0\",\"x\":3,\"y\":1}");
	CHECK(!at("c0")->behind && !at("c0")->before);
}

TEST(lost_database_is_found_again)
{
	begin(DB_LIMITS);
	change("a", "3-a", "{\"name\":\"a\",\"x\":1}");
	change("b", "3-b", "{\"name\":\"b\",\"x\":1}");
	change("c", "3-c", "{\"name\":\"c\",\"x\":1}");
	change("d", "3-d", "{\"name\":\"d\",\"x\":1}");
	change("d", "4-d", NULL);
	heard();
	couchdb_documents_lose(documents);
	change("a", "1-z", "{\"name\":\"a\",\"x\":1}"); /* the same, however young */
	change("b", "1-y", "{\"name\":\"b\",\"x\":9}"); /* older, say */
	CHECK_STR(heard(), "b={\"name\":\"b\",\"x\":9}<{\"name\":\"b\",\"x\":1} ");
	CHECK(!at("a")->absent && !at("a")->redo);
	CHECK(!at("b")->absent && at("b")->redo);
	CHECK_STR(at("b")->before, "{\"name\":\"b\",\"x\":1}");
	CHECK(at("c")->absent);
	CHECK(!at("d"));
	/* Lost again before it was put right: ours is still known. */
	couchdb_documents_lose(documents);
	CHECK_STR(at("b")->synced, "{\"name\":\"b\",\"x\":1}");
	CHECK(at("b")->absent && !at("b")->redo);
}

TEST(old_deletions_are_forgotten)
{
	begin(DB_EVENTS);
	for (int i = 0; i < 2; i++) {
		const char *key = i ? "late" : "early";

		fly(key, "{}");
		land(key, "1-a", "{}");
		fly(key, NULL);
		CHECK_INT(couchdb_documents_deleted(documents, at(key), "2-b", false, 10 + 10 * i,
						    &told),
			  0);
	}
	couchdb_documents_sweep(documents, 15);
	CHECK(!at("early") && at("late"));
}

TEST_MAIN()
