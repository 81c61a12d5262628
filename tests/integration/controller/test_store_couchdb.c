/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store over a real server, PouchDB Server or a site's CouchDB (EBB_TEST_COUCHDB), with another
 * client that writes to the same databases. Beside others.
 */
#include "couchdb_site.h"

TEST(databases_and_indexes_are_made)
{
	begin_open();
	for (enum store_db db = 0; db < DB_MAX; db++) {
		_cleanup_json_ json_t *all = NULL, *index = NULL;
		long status;
		char names[512] = "";
		size_t i;
		json_t *item;

		all = other("GET", store_db_name(db), "/_all_docs", NULL, &status);
		CHECK_INT(status, 200);
		index = other("GET", store_db_name(db), "/_index", NULL, &status);
		CHECK_INT(status, 200);
		json_array_foreach(json_object_get(index, "indexes"), i, item) {
			strcat(names, json_string_value(json_object_get(item, "name")));
			strcat(names, " ");
		}
		CHECK(strstr(names, "ebb-name "));
		if (db == DB_STRUCTURES)
			CHECK(strstr(names, "ebb-subtype ") && strstr(names, "ebb-subtype-host "));
		if (db == DB_EVENTS || db == DB_REQUESTS)
			CHECK(strstr(names, "ebb-structure "));
	}
}

TEST(written_documents_are_found_by_the_old_system)
{
	begin_open();
	put(DB_STRUCTURES, "c0", CONTAINER("c0", 200, 100));
	put(DB_EVENTS, "e1", "{\"name\":\"CpuBottleneck\",\"structure\":\"c0\"}");
	flush();

	_cleanup_json_ json_t *doc = read_back("structures", "c0");
	CHECK(doc);
	CHECK_STR(json_string_value(json_object_get(doc, "name")), "c0");
	CHECK_INT(number_at(doc, "cpu", "max"), 200);
	_cleanup_json_ json_t *found =
		other("POST", "structures", "/_find", "{\"selector\":{\"name\":\"c0\"}}", NULL);
	CHECK_INT(json_array_size(json_object_get(found, "docs")), 1);
	_cleanup_json_ json_t *event = read_back("events", "e1");
	CHECK(event);
}

TEST(what_was_written_is_loaded)
{
	begin_open();
	put(DB_STRUCTURES, "c0", CONTAINER("c0", 200, 100));
	put(DB_RULES, "_odd", "{\"name\":\"_odd\",\"x\":1}");
	put(DB_RULES, "~odd", "{\"name\":\"~odd\",\"x\":2}");
	put(DB_EVENTS, "_e", "{\"name\":\"CpuUnderuse\"}");
	put(DB_LIMITS, "a/b c%?", "{\"name\":\"a/b c%?\",\"x\":[1.5,null,\"\\u00e9\"]}");
	flush();
	store_close(store);
	open_store();
	CHECK_INT(json_object_size(loaded[DB_STRUCTURES]), 1);
	CHECK_INT(json_object_size(loaded[DB_RULES]), 2);
	CHECK_INT(json_object_size(loaded[DB_LIMITS]), 1);
	CHECK_INT(number_at(json_object_get(loaded[DB_RULES], "_odd"), NULL, "x"), 1);
	CHECK_INT(number_at(json_object_get(loaded[DB_RULES], "~odd"), NULL, "x"), 2);
	CHECK(json_object_get(loaded[DB_EVENTS], "_e"));
	json_t *limit = json_object_get(loaded[DB_LIMITS], "a/b c%?");
	CHECK_STR(json_string_value(json_array_get(json_object_get(limit, "x"), 2)), "\u00e9");
	/* Ids and revisions stay where they belong. */
	CHECK(!json_object_get(limit, "_id") && !json_object_get(limit, "_rev"));
}

TEST(many_documents_are_loaded_by_pages)
{
	char id[32], text[128];

	begin_open();
	for (int i = 0; i < 1203; i++) {
		snprintf(id, sizeof(id), "c%d", i);
		snprintf(text, sizeof(text), "{\"name\":\"c%d\",\"i\":%d}", i, i);
		put(DB_LIMITS, id, text);
	}
	flush();
	store_close(store);
	open_store();
	CHECK_INT(json_object_size(loaded[DB_LIMITS]), 1203);
	for (int i = 0; i < 1203; i++) {
		snprintf(id, sizeof(id), "c%d", i);
		CHECK_INT(number_at(json_object_get(loaded[DB_LIMITS], id), NULL, "i"), i);
	}
}

/* The old system lets the server choose the id. */
TEST(documents_with_ids_of_others_are_updated_in_place)
{
	begin();
	open_store();
	create("structures", "c065adad00", CONTAINER("c0", 200, 100));
	store_close(store);
	open_store();
	CHECK(json_object_get(loaded[DB_STRUCTURES], "c0"));
	follow_store();
	put(DB_STRUCTURES, "c0", CONTAINER("c0", 200, 150));
	flush();
	_cleanup_json_ json_t *doc = read_back("structures", "c065adad00");
	_cleanup_json_ json_t *none = read_back("structures", "c0");
	CHECK_INT(number_at(doc, "cpu", "current"), 150);
	CHECK(!none);
}

TEST(two_documents_of_one_name_count_once)
{
	begin();
	open_store();
	create("structures", "a1", CONTAINER("c0", 111, 100));
	create("structures", "a2", CONTAINER("c0", 222, 100));
	store_close(store);
	open_store();
	CHECK_INT(json_object_size(loaded[DB_STRUCTURES]), 1);
	CHECK_INT(number_at(json_object_get(loaded[DB_STRUCTURES], "c0"), "cpu", "max"), 111);
}

TEST(fields_that_ebb_does_not_know_are_kept)
{
	_cleanup_json_ json_t *doc = NULL;

	begin();
	open_store();
	create("rules", "r1",
	       "{\"name\":\"r1\",\"amount\":1,\"note\":{\"by\":\"me\"},\"_attachments\":{\"a.txt\":"
	       "{\"content_type\":\"text/plain\",\"data\":\"aGVsbG8=\"}}}");
	store_close(store);
	open_store();
	follow_store();
	doc = json_deep_copy(json_object_get(loaded[DB_RULES], "r1"));
	CHECK(doc);
	CHECK(!json_object_get(doc, "_attachments"));
	json_object_set_new(doc, "amount", json_integer(2));
	CHECK_INT(store_put(store, DB_RULES, "r1", doc), 0);
	flush();
	_cleanup_json_ json_t *now = read_back("rules", "r1");
	CHECK_INT(number_at(now, NULL, "amount"), 2);
	CHECK(json_object_get(json_object_get(now, "note"), "by"));
	CHECK(json_object_get(json_object_get(now, "_attachments"), "a.txt"));
}

TEST(what_did_not_change_is_not_written)
{
	struct store_stats stats;

	begin_open();
	put(DB_LIMITS, "c0", "{\"name\":\"c0\",\"a\":1,\"b\":2.0}");
	flush();
	_cleanup_json_ json_t *first = read_back("limits", "c0");
	put(DB_LIMITS, "c0", "{\"name\":\"c0\",\"a\":1,\"b\":2.0}");
	flush();
	put(DB_LIMITS, "c0", "{\"b\":2,\"name\":\"c0\",\"a\":1.0}");
	flush();
	_cleanup_json_ json_t *then = read_back("limits", "c0");
	CHECK(json_equal(first, then)); /* the revision too */
	store_get_stats(store, &stats);
	CHECK_INT(stats.unchanged, 2);
}

TEST(deleted_documents_are_gone_and_can_come_back)
{
	begin_open();
	put(DB_STRUCTURES, "c0", CONTAINER("c0", 200, 100));
	flush();
	CHECK_INT(store_delete(store, DB_STRUCTURES, "c0"), 0);
	CHECK_INT(store_delete(store, DB_STRUCTURES, "never"), 0);
	flush();
	CHECK(!read_back("structures", "c0"));
	put(DB_STRUCTURES, "c0", CONTAINER("c0", 300, 100));
	flush();
	_cleanup_json_ json_t *doc = read_back("structures", "c0");
	CHECK_INT(number_at(doc, "cpu", "max"), 300);
}

TEST(an_edit_by_hand_is_told)
{
	begin_open();
	put(DB_STRUCTURES, "c0", CONTAINER("c0", 200, 100));
	flush();
	edit("structures", "c0", "cpu", "max", 300);
	_cleanup_json_ json_t *doc = wait_told("structures/c0", cpu_max_is, 300);
	CHECK_INT(number_at(doc, "cpu", "current"), 100);
	CHECK(!json_object_get(doc, "_rev"));
	pthread_mutex_lock(&told.lock);
	json_int_t before = number_at(json_object_get(told.bases, "structures/c0"), "cpu", "max");
	pthread_mutex_unlock(&told.lock);
	CHECK_INT(before, 200);
}

TEST(a_new_document_by_hand_is_told)
{
	begin_open();
	create("rules", "r9", "{\"name\":\"r9\",\"amount\":7}");
	_cleanup_json_ json_t *doc = wait_told("rules/r9", is_there, 0);
	CHECK_INT(number_at(doc, NULL, "amount"), 7);
}

TEST(a_deletion_by_hand_is_told)
{
	begin_open();
	put(DB_STRUCTURES, "c0", CONTAINER("c0", 200, 100));
	flush();
	remove_document("structures", "c0");
	_cleanup_json_ json_t *doc = wait_told("structures/c0", is_gone, 0);
	CHECK(json_is_null(doc));
}

TEST(our_own_writes_are_not_told)
{
	begin_open();
	for (int i = 0; i < 50; i++) {
		char text[256];

		snprintf(text, sizeof(text), "{\"name\":\"c0\",\"n\":%d}", i);
		put(DB_LIMITS, "c0", text);
		flush();
	}
	CHECK_INT(store_delete(store, DB_LIMITS, "c0"), 0);
	flush();
	/* Behind all of them in the same feed: */
	create("limits", "last", "{\"name\":\"last\"}");
	json_decref(wait_told("limits/last", is_there, 0));
	CHECK_INT(told_count(), 1);
}

TEST(what_changed_between_load_and_follow_is_told)
{
	begin();
	open_store();
	create("rules", "r9", "{\"name\":\"r9\",\"amount\":7}");
	follow_store();
	json_decref(wait_told("rules/r9", is_there, 0));
}

/* Another client is first, and the store finds out by the reply. */
TEST(a_conflict_inside_a_bulk_is_merged)
{
	struct store_stats stats;

	begin();
	open_store();
	put(DB_STRUCTURES, "c0", CONTAINER("c0", 200, 100));
	put(DB_STRUCTURES, "c1", CONTAINER("c1", 200, 100));
	CHECK_INT(store_start(store), 0);
	flush();
	/* Not followed yet: the store cannot know of it before it writes. */
	edit("structures", "c0", "cpu", "max", 400);
	put(DB_STRUCTURES, "c0", CONTAINER("c0", 200, 150));
	put(DB_STRUCTURES, "c1", CONTAINER("c1", 200, 160));
	flush();
	_cleanup_json_ json_t *c0 = read_back("structures", "c0");
	_cleanup_json_ json_t *c1 = read_back("structures", "c1");
	CHECK_INT(number_at(c0, "cpu", "max"), 400);
	CHECK_INT(number_at(c0, "cpu", "current"), 150);
	CHECK_INT(number_at(c1, "cpu", "current"), 160);
	store_get_stats(store, &stats);
	CHECK_INT(stats.conflicts, 1);
	told.docs = json_object();
	told.bases = json_object();
	CHECK_INT(store_follow(store, on_change, NULL), 0);
	_cleanup_json_ json_t *doc = wait_told("structures/c0", cpu_max_is, 400);
	CHECK_INT(number_at(doc, "cpu", "current"), 150);
}

TEST(a_deletion_inside_a_bulk_is_not_undone)
{
	begin();
	open_store();
	put(DB_STRUCTURES, "c0", CONTAINER("c0", 200, 100));
	CHECK_INT(store_start(store), 0);
	flush();
	remove_document("structures", "c0");
	put(DB_STRUCTURES, "c0", CONTAINER("c0", 200, 150));
	flush();
	CHECK(!read_back("structures", "c0"));
	told.docs = json_object();
	told.bases = json_object();
	CHECK_INT(store_follow(store, on_change, NULL), 0);
	json_decref(wait_told("structures/c0", is_gone, 0));
}

/* Both write the same document again and again: no limit of either is lost. */
TEST(edits_and_writes_at_once_lose_nothing)
{
	begin_open();
	put(DB_STRUCTURES, "c0", CONTAINER("c0", 200, 100));
	flush();
	for (int i = 1; i <= 30; i++) {
		_cleanup_json_ json_t *reply = NULL, *doc = read_back("structures", "c0");
		_cleanup_free_ char *text = NULL;
		char ours[512];
		long status;
		json_t *resources = json_object_get(doc, "resources");

		/* The model's view has the newest of theirs once it was told. */
		snprintf(ours, sizeof(ours),
			 "{\"type\":\"structure\",\"subtype\":\"container\",\"name\":\"c0\","
			 "\"host\":\"h0\",\"resources\":{\"cpu\":{\"max\":%d,\"min\":20,"
			 "\"current\":%d}}}",
			 (int)number_at(doc, "cpu", "max"), 100 + i);
		json_object_set_new(json_object_get(resources, "cpu"), "max",
				    json_integer(1000 + i));
		text = json_dumps(doc, 0);
		put(DB_STRUCTURES, "c0", ours);
		reply = other("PUT", "structures", "/c0", text, &status);
		flush();
		if (status == 409)
			edit("structures", "c0", "cpu", "max", 1000 + i);
		json_decref(wait_told("structures/c0", cpu_max_is, 1000 + i));
		flush();
		_cleanup_json_ json_t *now = read_back("structures", "c0");
		CHECK_INT(number_at(now, "cpu", "max"), 1000 + i);
		CHECK_INT(number_at(now, "cpu", "current"), 100 + i);
	}
}

TEST(a_deleted_database_is_made_and_filled_again_on_a_write)
{
	begin_open();
	put(DB_STRUCTURES, "c0", CONTAINER("c0", 200, 100));
	put(DB_STRUCTURES, "c1", CONTAINER("c1", 200, 100));
	flush();
	drop("structures", false);
	put(DB_STRUCTURES, "c1", CONTAINER("c1", 200, 170));
	flush();
	_cleanup_json_ json_t *c0 = wait_back("structures", "c0");
	_cleanup_json_ json_t *c1 = wait_back("structures", "c1");
	CHECK_INT(number_at(c0, "cpu", "max"), 200);
	CHECK_INT(number_at(c1, "cpu", "current"), 170);
	CHECK(!json_object_get(told.docs, "structures/c0"));
	edit("structures", "c0", "cpu", "max", 333);
	json_decref(wait_told("structures/c0", cpu_max_is, 333));
}

TEST(a_database_made_anew_by_hand_is_filled_again)
{
	begin_open();
	put(DB_STRUCTURES, "c0", CONTAINER("c0", 200, 100));
	put(DB_STRUCTURES, "c1", CONTAINER("c1", 200, 100));
	flush();
	drop("structures", true);
	/* From an older copy, say, and one that nobody knew. */
	create("structures", "c1", CONTAINER("c1", 111, 50));
	create("structures", "c2", CONTAINER("c2", 222, 100));
	_cleanup_json_ json_t *c0 = wait_back("structures", "c0");
	CHECK_INT(number_at(c0, "cpu", "max"), 200);
	json_decref(wait_told("structures/c2", cpu_max_is, 222));
	json_decref(wait_told("structures/c1", cpu_max_is, 111));
	/* As the model does with what it was told. */
	put(DB_STRUCTURES, "c1", CONTAINER("c1", 111, 100));
	flush();
	_cleanup_json_ json_t *c1 = read_back("structures", "c1");
	CHECK_INT(number_at(c1, "cpu", "max"), 111);
	CHECK_INT(number_at(c1, "cpu", "current"), 100);
	pthread_mutex_lock(&told.lock);
	bool said = json_object_get(told.docs, "structures/c0") != NULL;
	pthread_mutex_unlock(&told.lock);
	CHECK(!said);
}

static struct store *standby;
static _Atomic unsigned standby_told;

static void note_standby(void *userdata, enum store_db db, const char *id, const json_t *base,
			 json_t *doc)
{
	standby_told++;
}

static void end_standby(void *userdata)
{
	store_close(standby);
	standby = NULL;
}

static int ignore_loaded(void *userdata, const char *id, json_t *doc)
{
	return 0;
}

/* The one that writes fills it; to the other nothing has happened. */
TEST(two_controllers_and_a_deleted_database)
{
	begin_open();
	for (int i = 0; i < 20; i++) {
		char id[16], text[64];

		snprintf(id, sizeof(id), "c%d", i);
		snprintf(text, sizeof(text), "{\"name\":\"c%d\"}", i);
		put(DB_LIMITS, id, text);
	}
	flush();
	standby_told = 0;
	test_at_end(end_standby, NULL);
	CHECK_INT(store_open(peer.state, NULL, &standby), 0);
	for (enum store_db db = 0; db < DB_MAX; db++)
		CHECK_INT(store_load(standby, db, ignore_loaded, NULL), 0);
	CHECK_INT(store_start(standby), 0);
	CHECK_INT(store_follow(standby, note_standby, NULL), 0);
	drop("limits", true);
	for (int i = 0; i < 20; i++) {
		char id[16];

		snprintf(id, sizeof(id), "c%d", i);
		json_decref(wait_back("limits", id));
	}
	CHECK_INT(told_count(), 0);
	/* Both still hear what others do. */
	create("limits", "new", "{\"name\":\"new\"}");
	json_decref(wait_told("limits/new", is_there, 0));
	while (standby_told == 0)
		nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
	CHECK_INT(told_count(), 1);
	CHECK_INT(standby_told, 1);
}

static void need_own_server(void)
{
	if (getenv("EBB_TEST_COUCHDB"))
		SKIP("the site's server is not to be killed");
}

TEST(nothing_is_lost_when_the_server_is_killed_while_we_write)
{
	begin();
	need_own_server();
	open_store();
	follow_store();
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < 100; i++) {
			char id[32], text[128];

			snprintf(id, sizeof(id), "c%d", i);
			snprintf(text, sizeof(text), "{\"name\":\"c%d\",\"round\":%d}", i, round);
			put(DB_LIMITS, id, text);
			if (i == 50) {
				store_flush(store);
				peer_kill(&peer);
			}
		}
		peer_restart(&peer);
		flush();
	}
	_cleanup_json_ json_t *all =
		other("GET", "limits", "/_all_docs?include_docs=true", NULL, NULL);
	size_t n = 0, i;
	json_t *row;

	json_array_foreach(json_object_get(all, "rows"), i, row) {
		const json_t *doc = json_object_get(row, "doc");

		if (json_object_get(doc, "name")) {
			n++;
			CHECK_INT(number_at(doc, NULL, "round"), 4);
		}
	}
	CHECK_INT(n, 100);
	/* And what others do is seen again. */
	edit("limits", "c7", NULL, "mine", 1);
	json_decref(wait_told("limits/c7", is_there, 0));
	CHECK_INT(json_object_size(told.docs), 1);
}

TEST(a_wrong_password_is_said_and_ends_it)
{
	char uri[512];

	begin();
	if (!strstr(peer.state, "adminpw"))
		SKIP("a site's own server");
	snprintf(uri, sizeof(uri), "http://admin:wrong@%s/%s", strstr(peer.address, "//") + 2,
		 peer.prefix);
	CHECK_INT(store_open(uri, NULL, &store), -EACCES);
	store = NULL;
}

TEST(a_server_that_is_no_couchdb_ends_it)
{
	char uri[512];

	peer_start(&peer, "opentsdb_double", NULL);
	snprintf(uri, sizeof(uri), "%s/", peer.address);
	CHECK_INT(store_open(uri, NULL, &store), -EPROTO);
	store = NULL;
}

static bool asked_once(void *userdata)
{
	++*(int *)userdata;
	return true;
}

/* Bytes go out and nothing comes back. */
TEST(a_silent_server_can_be_given_up_too)
{
	int asked = 0;
	const struct store_options options = {.give_up = asked_once, .userdata = &asked};

	peer_start(&peer, "couchdb_double", "fail=hang");
	CHECK_INT(store_open(peer.state, &options, &store), -ECANCELED);
	CHECK(asked >= 1);
	store = NULL;
}

TEST(cookies_do_as_well)
{
	const struct store_options options = {.cookie = true};

	begin();
	CHECK_INT(store_open(peer.state, &options, &store), 0);
	load_all();
	follow_store();
	put(DB_STRUCTURES, "c0", CONTAINER("c0", 200, 100));
	flush();
	edit("structures", "c0", "cpu", "max", 300);
	json_decref(wait_told("structures/c0", cpu_max_is, 300));
}

static bool give_up_third_time(void *userdata)
{
	return ++*(int *)userdata >= 3;
}

TEST(waiting_for_a_server_can_be_given_up)
{
	int asked = 0;
	const struct store_options options = {.give_up = give_up_third_time, .userdata = &asked};

	CHECK_INT(store_open("http://127.0.0.1:1/", &options, &store), -ECANCELED);
	CHECK(asked >= 3);
	store = NULL;
}

static bool restart_first_time(void *userdata)
{
	if (!peer.pid)
		peer_restart(&peer);
	return false;
}

TEST(a_server_that_starts_later_is_waited_for)
{
	const struct store_options options = {.give_up = restart_first_time};

	begin();
	need_own_server();
	peer_kill(&peer);
	CHECK_INT(store_open(peer.state, &options, &store), 0);
	load_all();
	follow_store();
	put(DB_STRUCTURES, "c0", CONTAINER("c0", 200, 100));
	flush();
}

static bool wait_reachable(bool wanted)
{
	struct store_stats stats;

	for (int i = 0; i < 2000; i++) {
		store_get_stats(store, &stats);
		if (stats.reachable == wanted)
			return wanted || strstr(stats.last_error, "cannot reach");
		usleep(10000);
	}
	return false;
}

/* Nothing is written, so the writer does not find out. */
TEST(a_server_that_is_away_is_told_of)
{
	const struct store_options options = {.optional = true};

	begin();
	need_own_server();
	open_store();
	follow_store();
	CHECK(wait_reachable(true));
	peer_kill(&peer);
	CHECK(wait_reachable(false));
	peer_restart(&peer);
	CHECK(wait_reachable(true));
	store_close(store);
	store = NULL;
	peer_kill(&peer);
	CHECK_INT(store_open(peer.state, &options, &store), 0);
	load_all();
	follow_store();
	CHECK(wait_reachable(false));
	peer_restart(&peer);
	CHECK(wait_reachable(true));
}

TEST(an_optional_server_that_comes_later_has_the_say)
{
	const struct store_options options = {.optional = true};

	begin();
	need_own_server();
	open_store();
	create("structures", "c0", CONTAINER("c0", 777, 100));
	create("structures", "c1", CONTAINER("c1", 200, 100));
	store_close(store);
	store = NULL;
	peer_kill(&peer);

	CHECK_INT(store_open(peer.state, &options, &store), 0);
	load_all();
	CHECK_INT(json_object_size(loaded[DB_STRUCTURES]), 0);
	follow_store();
	put(DB_STRUCTURES, "c0", CONTAINER("c0", 200, 150));
	put(DB_STRUCTURES, "c5", CONTAINER("c5", 200, 150));
	CHECK_INT(store_flush(store), -EIO);
	peer_restart(&peer);
	json_decref(wait_told("structures/c0", cpu_max_is, 777));
	json_decref(wait_told("structures/c1", cpu_max_is, 200));
	flush();
	_cleanup_json_ json_t *c0 = read_back("structures", "c0");
	_cleanup_json_ json_t *c5 = read_back("structures", "c5");
	CHECK_INT(number_at(c0, "cpu", "max"), 777);
	CHECK_INT(number_at(c0, "cpu", "current"), 150);
	CHECK_INT(number_at(c5, "cpu", "current"), 150);
}

TEST_MAIN()
