/* SPDX-License-Identifier: Apache-2.0 */
/* The store over a strict double that does what a CouchDB does on a bad day. Beside others. */
#include "couchdb_site.h"

#include <fcntl.h>

static void begin_double(const char *modes)
{
	peer_start(&peer, "couchdb_double", modes);
	test_at_end(end_store, NULL);
}

static void begin_double_open(const char *modes)
{
	begin_double(modes);
	open_store();
	follow_store();
}

static json_int_t counter(const char *name)
{
	struct http_result result;
	json_int_t value;

	peer_call(peer.address, NULL, "GET", "/control", NULL, &result);
	CHECK_INT(result.status, 200);

	_cleanup_json_ json_t *json = json_loads(result.body, 0, NULL);
	http_result_clear(&result);
	json = json ?: json_null();
	value = json_integer_value(json_object_get(json_object_get(json, "counters"), name));
	return value;
}

/* Has a mode that holds once done its work? */
static bool mode_is_over(const char *name)
{
	struct http_result result;

	peer_call(peer.address, NULL, "GET", "/control", NULL, &result);

	_cleanup_json_ json_t *json = json_loads(result.body, 0, NULL);
	http_result_clear(&result);
	return json_is_null(json_object_get(json_object_get(json, "modes"), name));
}

static void put_n(const char *id, int n)
{
	char text[128];

	snprintf(text, sizeof(text), "{\"name\":\"%s\",\"n\":%d}", id, n);
	put(DB_LIMITS, id, text);
}

static void check_n(const char *id, int n)
{
	_cleanup_json_ json_t *doc = read_back("limits", id);

	CHECK(doc);
	CHECK_INT(number_at(doc, NULL, "n"), n);
}

static bool n_is(const json_t *doc, long long n)
{
	return number_at(doc, NULL, "n") == n;
}

/* The store still hears what others do. */
static void check_followed(const char *id)
{
	char key[64], text[128];

	snprintf(key, sizeof(key), "rules/%s", id);
	snprintf(text, sizeof(text), "{\"name\":\"%s\"}", id);
	create("rules", id, text);
	json_decref(wait_told(key, is_there, 0));
}

/* Each kind of failure, of the next requests that write: tried again until it is there. */
static void check_failure(const char *modes)
{
	struct store_stats stats;

	begin_double_open(NULL);
	put_n("c0", 1);
	flush();
	peer_control(&peer, modes);
	put_n("c0", 2);
	put_n("c1", 2);
	flush();
	peer_control(&peer, "{\"fail\":null}");
	check_n("c0", 2);
	check_n("c1", 2);
	store_get_stats(store, &stats);
	CHECK(stats.failures > 0);
	CHECK_INT(stats.conflicts, 0);
	CHECK_INT(stats.queued, 0);
	check_followed("r1");
}

TEST(write_answered_500)
{
	check_failure("{\"fail\":500,\"fail_next\":2,\"fail_path\":\"_bulk_docs\"}");
}

TEST(write_answered_503)
{
	check_failure("{\"fail\":503,\"fail_next\":2,\"fail_path\":\"_bulk_docs\"}");
}

TEST(write_answered_429_with_a_time)
{
	check_failure(
		"{\"fail\":429,\"fail_next\":1,\"fail_path\":\"_bulk_docs\",\"retry_after\":1}");
}

TEST(write_reset)
{
	check_failure("{\"fail\":\"reset\",\"fail_next\":2,\"fail_path\":\"_bulk_docs\"}");
}

/* Done, but nobody said so: the next try finds its own work, and that is no conflict. */
TEST(write_whose_answer_is_lost)
{
	check_failure("{\"fail\":\"lost\",\"fail_next\":2,\"fail_path\":\"_bulk_docs\"}");
}

TEST(write_whose_answer_is_lost_when_nobody_follows)
{
	struct store_stats stats;

	begin_double(NULL);
	open_store();
	CHECK_INT(store_start(store), 0);
	peer_control(&peer, "{\"fail\":\"lost\",\"fail_next\":2,\"fail_path\":\"_bulk_docs\"}");
	put_n("c0", 1);
	put_n("c1", 1);
	flush();
	peer_control(&peer, "{\"fail\":null}");
	check_n("c0", 1);
	check_n("c1", 1);
	store_get_stats(store, &stats);
	CHECK_INT(stats.conflicts, 0);
}

static void check_full_disk(const char *full)
{
	struct store_stats stats;
	char modes[64];

	begin_double_open(NULL);
	put_n("c0", 1);
	flush();
	snprintf(modes, sizeof(modes), "{\"disk_full\":%s}", full);
	peer_control(&peer, modes);
	put_n("c0", 2);
	CHECK_INT(store_flush(store), -EIO);
	store_get_stats(store, &stats);
	CHECK(strstr(stats.last_error, "no room left on its disk"));
	put_n("c0", 3);
	peer_control(&peer, "{\"disk_full\":null}");
	flush();
	check_n("c0", 3);
}

TEST(full_disk_said_of_each_document)
{
	check_full_disk("true");
}

TEST(full_disk_said_by_507)
{
	check_full_disk("507");
}

TEST(full_disk_said_by_500)
{
	check_full_disk("500");
}

/* One database that cannot be written holds up no other, one that comes after it neither. */
static void check_one_database(const char *modes)
{
	struct store_stats stats;

	begin_double_open(NULL);
	peer_control(&peer, modes);
	put(DB_STRUCTURES, "c0", CONTAINER("c0", 200, 100));
	CHECK_INT(store_flush(store), -EIO);
	store_get_stats(store, &stats);
	CHECK(!stats.reachable);
	for (int i = 0; i < 5; i++) {
		char id[16];

		snprintf(id, sizeof(id), "c%d", i);
		put_n(id, i);
		json_decref(wait_back("limits", id));
	}
	store_get_stats(store, &stats);
	CHECK(stats.failures > 0);
	CHECK(!read_back("structures", "c0"));
	peer_control(&peer, "{\"fail\":null}");
	flush();
	_cleanup_json_ json_t *c0 = read_back("structures", "c0");
	CHECK(c0);
	store_get_stats(store, &stats);
	CHECK(stats.reachable);
}

TEST(one_database_may_not_be_written)
{
	check_one_database("{\"fail\":403,\"fail_path\":\"structures/_bulk_docs\"}");
}

TEST(one_database_answers_500)
{
	check_one_database("{\"fail\":500,\"fail_path\":\"structures/_bulk_docs\"}");
}

/* All documents of a batch conflict, and each is merged for itself. */
TEST(a_batch_of_conflicts)
{
	struct store_stats stats;
	char id[16], text[512];

	begin_double(NULL);
	open_store();
	CHECK_INT(store_start(store), 0);
	for (int i = 0; i < 20; i++) {
		snprintf(id, sizeof(id), "c%d", i);
		snprintf(text, sizeof(text),
			 "{\"name\":\"%s\",\"resources\":{\"cpu\":{\"max\":1,\"current\":1}}}", id);
		put(DB_STRUCTURES, id, text);
	}
	flush();
	for (int i = 0; i < 20; i++) {
		snprintf(id, sizeof(id), "c%d", i);
		edit("structures", id, "cpu", "max", 2);
		snprintf(text, sizeof(text),
			 "{\"name\":\"%s\",\"resources\":{\"cpu\":{\"max\":1,\"current\":3}}}", id);
		put(DB_STRUCTURES, id, text);
	}
	flush();
	for (int i = 0; i < 20; i++) {
		snprintf(id, sizeof(id), "c%d", i);

		_cleanup_json_ json_t *doc = read_back("structures", id);
		CHECK_INT(number_at(doc, "cpu", "max"), 2);
		CHECK_INT(number_at(doc, "cpu", "current"), 3);
	}
	store_get_stats(store, &stats);
	CHECK(stats.conflicts >= 1 && stats.conflicts <= 20);
}

TEST(a_document_that_is_too_large_is_dropped_alone)
{
	struct store_stats stats;
	_cleanup_free_ char *large = malloc(3000);
	_cleanup_json_ json_t *doc = NULL;

	begin_double_open("max_document_size=2000");
	memset(large, 'x', 2999);
	large[2999] = '\0';
	doc = json_pack("{s:s, s:s}", "name", "large", "x", large);
	put_n("c0", 1);
	CHECK_INT(store_put(store, DB_LIMITS, "large", doc), 0);
	put_n("c1", 1);
	flush();
	check_n("c0", 1);
	check_n("c1", 1);
	CHECK(!read_back("limits", "large"));
	store_get_stats(store, &stats);
	CHECK_INT(stats.refused, 1);
}

TEST(feed_cut_in_the_middle_of_lines)
{
	char id[16];

	begin_double_open(NULL);
	check_followed("r0");
	peer_control(&peer, "{\"cut_feed\":150,\"cut_feed_times\":20,\"drop_feeds\":true}");
	for (int i = 1; i <= 12; i++) {
		snprintf(id, sizeof(id), "r%d", i);
		check_followed(id);
	}
	/* Nothing twice, nothing missing. */
	CHECK_INT(told_count(), 13);
}

TEST(feeds_dropped_again_and_again)
{
	char id[16];

	begin_double_open(NULL);
	for (int i = 0; i < 10; i++) {
		peer_control(&peer, "{\"drop_feeds\":true}");
		snprintf(id, sizeof(id), "r%d", i);
		check_followed(id);
	}
	CHECK_INT(told_count(), 10);
}

TEST(half_open_feed_is_begun_anew)
{
	begin_double_open(NULL);
	check_followed("r0");
	peer_control(&peer, "{\"mute\":true}");
	create("rules", "r1", "{\"name\":\"r1\"}");
	/* The silence ends it; by then new ones are heard again. */
	json_int_t before = counter("feeds");
	while (counter("feeds") == before)
		nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
	peer_control(&peer, "{\"mute\":false}");
	json_decref(wait_told("rules/r1", is_there, 0));
}

/* As behind a proxy that holds answers back: each feed is begun, and stays silent. */
TEST(feeds_that_stay_silent_are_told_of)
{
	const struct timespec moment = {.tv_nsec = 50000000};
	struct store_stats stats;

	begin_double_open(NULL);
	check_followed("r0");
	store_get_stats(store, &stats);
	CHECK(stats.following);
	peer_control(&peer, "{\"mute\":true}");
	for (uint64_t end = now_ns() + PATIENCE_S * 1000000000ULL; stats.following;) {
		CHECK(now_ns() < end);
		nanosleep(&moment, NULL);
		store_get_stats(store, &stats);
	}
	peer_control(&peer, "{\"mute\":false,\"drop_feeds\":true}");
	for (uint64_t end = now_ns() + PATIENCE_S * 1000000000ULL; !stats.following;) {
		CHECK(now_ns() < end);
		nanosleep(&moment, NULL);
		store_get_stats(store, &stats);
	}
	check_followed("r1");
}

static void check_told(const char *key, bool is_told)
{
	pthread_mutex_lock(&told.lock);
	CHECK_INT(json_object_get(told.docs, key) != NULL, is_told);
	pthread_mutex_unlock(&told.lock);
}

/* Who is about to lead does not wait for that silence. */
TEST(half_open_feed_is_caught_up_with)
{
	begin_double_open(NULL);
	create("rules", "gone", "{\"name\":\"gone\"}");
	json_decref(wait_told("rules/gone", is_there, 0));
	peer_control(&peer, "{\"mute\":true}");
	create("structures", "c0", "{\"name\":\"c0\",\"n\":1}");
	create("limits", "c0", "{\"name\":\"c0\",\"n\":2}");
	create("services", "guardian", "{\"name\":\"guardian\"}");
	create("users", "u", "{\"name\":\"u\"}");
	remove_document("rules", "gone");
	check_told("structures/c0", false);
	CHECK_INT(store_catch_up(store, 1000 * PATIENCE_S), 0);
	check_told("structures/c0", true);
	check_told("limits/c0", true);
	check_told("services/guardian", true);
	pthread_mutex_lock(&told.lock);
	CHECK(json_is_null(json_object_get(told.docs, "rules/gone")));
	CHECK_INT(number_at(json_object_get(told.docs, "limits/c0"), NULL, "n"), 2);
	pthread_mutex_unlock(&told.lock);
	/* What was told is not told again. */
	unsigned n = told_count();
	CHECK_INT(store_catch_up(store, 1000 * PATIENCE_S), 0);
	CHECK_INT(told_count(), n);
	peer_control(&peer, "{\"mute\":false}");
	check_followed("after");
}

TEST(catching_up_with_a_server_that_is_away_ends)
{
	begin_double_open(NULL);
	create("rules", "x", "{\"name\":\"x\"}");
	json_decref(wait_told("rules/x", is_there, 0));
	peer_kill(&peer);
	CHECK(store_catch_up(store, 500) < 0);
	peer_restart(&peer);
	check_followed("after");
	CHECK_INT(store_catch_up(store, 1000 * PATIENCE_S), 0);
}

TEST(slow_bytes)
{
	begin_double_open(NULL);
	peer_control(&peer, "{\"slow\":true,\"drop_feeds\":true}");
	put_n("c0", 1);
	flush();
	check_followed("r0");
	peer_control(&peer, "{\"slow\":false}");
	check_n("c0", 1);
}

TEST(cookies_that_end_are_renewed)
{
	const struct store_options options = {.cookie = true};

	begin_double("require_valid_user=true");
	CHECK_INT(store_open(peer.state, &options, &store), 0);
	load_all();
	follow_store();
	for (int i = 0; i < 3; i++) {
		char id[16];

		put_n("c0", i);
		flush();
		peer_control(&peer, "{\"expire_cookies\":true,\"drop_feeds\":true}");
		snprintf(id, sizeof(id), "r%d", i);
		check_followed(id);
	}
	put_n("c0", 9);
	flush();
	check_n("c0", 9);
}

TEST(wrong_password_for_a_cookie)
{
	const struct store_options options = {.cookie = true};
	char uri[512];

	begin_double("require_valid_user=true");
	snprintf(uri, sizeof(uri), "http://admin:wrong@%s/", strstr(peer.address, "//") + 2);
	CHECK_INT(store_open(uri, &options, &store), -EACCES);
	store = NULL;
}

TEST(no_password)
{
	begin_double("require_valid_user=true");
	CHECK_INT(store_open(peer.address, NULL, &store), -EACCES);
	store = NULL;
}

/* Not an administrator: databases cannot be made, and that ends it. */
TEST(no_right_to_make_databases)
{
	char uri[512];

	begin_double(NULL);
	snprintf(uri, sizeof(uri), "http://ebb:ebbpw@%s/", strstr(peer.address, "//") + 2);
	CHECK_INT(store_open(uri, NULL, &store), -EACCES);
	store = NULL;
}

TEST(no_right_to_make_indexes)
{
	begin_double_open("index_forbidden=all");
	put_n("c0", 1);
	flush();
	check_n("c0", 1);
	check_followed("r0");
}

TEST(tls_by_a_ca_of_ones_own)
{
	char ca[256], uri[512];
	const struct store_options options = {.ca_file = ca};

	begin_double("tls=true");
	snprintf(ca, sizeof(ca), "%s/ca.pem", peer.dir);
	snprintf(uri, sizeof(uri), "%s", peer.state);
	CHECK_INT(store_open(uri, &options, &store), 0);
	load_all();
	CHECK_INT(store_start(store), 0);
	put_n("c0", 1);
	flush();
}

static bool give_up(void *userdata)
{
	return true;
}

TEST(tls_by_nobody_we_know)
{
	const struct store_options options = {.give_up = give_up};

	begin_double("tls=true");
	CHECK_INT(store_open(peer.state, &options, &store), -ECANCELED);
	store = NULL;
}

/* What stands in both, and what a sequence from before means, is as CouchDB 3 has it. */
TEST(database_made_anew_on_a_strict_server)
{
	begin_double_open(NULL);
	put(DB_STRUCTURES, "c0", CONTAINER("c0", 200, 100));
	flush();
	drop("structures", true);
	create("structures", "c2", CONTAINER("c2", 222, 100));
	_cleanup_json_ json_t *c0 = wait_back("structures", "c0");
	CHECK_INT(number_at(c0, "cpu", "max"), 200);
	json_decref(wait_told("structures/c2", cpu_max_is, 222));
	edit("structures", "c0", "cpu", "max", 333);
	json_decref(wait_told("structures/c0", cpu_max_is, 333));
}

TEST(all_databases_deleted_at_once)
{
	begin_double_open(NULL);
	for (int i = 0; i < 20; i++) {
		char id[16];

		snprintf(id, sizeof(id), "c%d", i);
		put_n(id, i);
	}
	put(DB_STRUCTURES, "c0", CONTAINER("c0", 200, 100));
	flush();
	for (enum store_db db = 0; db < DB_MAX; db++)
		drop(store_db_name(db), false);
	json_decref(wait_back("structures", "c0"));
	json_decref(wait_back("limits", "c19"));
	for (int i = 0; i < 20; i++) {
		char id[16];

		snprintf(id, sizeof(id), "c%d", i);
		json_decref(wait_back("limits", id));
		check_n(id, i);
	}
	pthread_mutex_lock(&told.lock);
	unsigned n = told.n;
	pthread_mutex_unlock(&told.lock);
	CHECK_INT(n, 0);
}

/* Too few nodes of a cluster are up: written, and counted as not sure. */
TEST(write_that_no_majority_took)
{
	struct store_stats stats;

	begin_double_open(NULL);
	peer_control(&peer, "{\"no_majority\":true}");
	put_n("c0", 1);
	put_n("c1", 1);
	flush();
	peer_control(&peer, "{\"no_majority\":false}");
	put_n("c2", 1);
	flush();
	check_n("c0", 1);
	store_get_stats(store, &stats);
	CHECK_INT(stats.unconfirmed, 2);
	CHECK_INT(stats.writes, 3);
	CHECK_INT(stats.failures, 0);
}

/* --- Attachments -------------------------------------------------------------------------------
 */

/* Somebody puts one on the document, and changes a number so that it shows when that was seen. */
static void attach(const char *db, const char *id, int max)
{
	_cleanup_json_ json_t *doc = read_back(db, id), *reply = NULL;
	_cleanup_free_ char *text = NULL;
	char rest[64];
	long status;

	CHECK(doc);
	json_object_set_new(doc, "_attachments",
			    json_pack("{s:{s:s, s:s}}", "plan.txt", "content_type", "text/plain",
				      "data", "cGxhbg=="));
	json_object_set_new(json_object_get(json_object_get(doc, "resources"), "cpu"), "max",
			    json_integer(max));
	text = json_dumps(doc, 0);
	snprintf(rest, sizeof(rest), "/%s", id);
	reply = other("PUT", db, rest, text, &status);
	CHECK_INT(status, 201);
}

/* It went with its database: what it hung on is written without, and all others are. */
TEST(attachment_that_was_lost_with_its_database)
{
	begin_double_open(NULL);
	put(DB_STRUCTURES, "c0", CONTAINER("c0", 200, 100));
	put(DB_STRUCTURES, "c1", CONTAINER("c1", 200, 100));
	flush();
	attach("structures", "c0", 300);
	json_decref(wait_told("structures/c0", cpu_max_is, 300));
	drop("structures", false);
	_cleanup_json_ json_t *c0 = wait_back("structures", "c0");
	_cleanup_json_ json_t *c1 = wait_back("structures", "c1");
	CHECK_INT(number_at(c0, "cpu", "max"), 300);
	CHECK(!json_object_get(c0, "_attachments"));
	CHECK(c1);
	put(DB_STRUCTURES, "c0", CONTAINER("c0", 300, 150));
	flush();
	_cleanup_json_ json_t *again = read_back("structures", "c0");
	CHECK_INT(number_at(again, "cpu", "current"), 150);
}

/* One document of a batch spoils it: the others are written, and it is read again. */
static void check_missing_stub(const char *modes, bool kept)
{
	char id[16], text[512];
	struct store_stats stats;

	begin_double_open(NULL);
	for (int i = 0; i < 4; i++) {
		snprintf(id, sizeof(id), "c%d", i);
		snprintf(text, sizeof(text),
			 "{\"name\":\"%s\",\"resources\":{\"cpu\":{\"max\":1,\"current\":1}}}", id);
		put(DB_STRUCTURES, id, text);
	}
	flush();
	attach("structures", "c2", 300);
	json_decref(wait_told("structures/c2", cpu_max_is, 300));
	peer_control(&peer, modes);
	for (int i = 0; i < 4; i++) {
		snprintf(id, sizeof(id), "c%d", i);
		snprintf(text, sizeof(text),
			 "{\"name\":\"%s\",\"resources\":{\"cpu\":{\"max\":%d,\"current\":7}}}", id,
			 i == 2 ? 300 : 1);
		put(DB_STRUCTURES, id, text);
	}
	flush();
	for (int i = 0; i < 4; i++) {
		snprintf(id, sizeof(id), "c%d", i);

		_cleanup_json_ json_t *doc = read_back("structures", id);
		CHECK_INT(number_at(doc, "cpu", "current"), 7);
		CHECK((json_object_get(doc, "_attachments") != NULL) == (kept && i == 2));
	}
	store_get_stats(store, &stats);
	CHECK_INT(stats.failures, 0);
}

TEST(batch_answered_412)
{
	check_missing_stub("{\"fail\":412,\"fail_next\":1,\"fail_path\":\"_bulk_docs\"}", true);
}

TEST(attachment_that_the_server_has_lost)
{
	check_missing_stub("{\"stubs_lost\":true}", false);
}

/* --- What CouchDB keeps and Ebb has no type for -------------------------------------------------
 */

/* As it stands there, whatever is in it. */
static bool stands(const char *db, const char *id, const char *want)
{
	char path[512];
	struct http_result result;
	bool found;

	peer_text(path, sizeof(path), "/%s%s/%s", peer.prefix, db, id);
	peer_call(peer.address, "admin:adminpw", "GET", path, NULL, &result);
	CHECK_INT(result.status, 200);
	found = strstr(result.body, want);
	http_result_clear(&result);
	return found;
}

#define ODD                                                                                         \
	"{\"name\":\"c0\",\"n\":9223372036854775808,\"text\":\"a\\u0000b\",\"i\":7,\"resources\":{" \
	"\"cpu\":{\"max\":200,\"current\":100}}}"

TEST(numbers_and_characters_that_are_odd)
{
	begin_double(NULL);
	open_store();
	create("structures", "c0", ODD);
	store_close(store);
	open_store();
	CHECK_INT(number_at(json_object_get(loaded[DB_STRUCTURES], "c0"), "cpu", "max"), 200);
	CHECK_INT(number_at(json_object_get(loaded[DB_STRUCTURES], "c0"), NULL, "i"), 7);
	follow_store();
	/* Followed. */
	create("rules", "r0", "{\"name\":\"r0\",\"n\":99999999999999999999,\"t\":\"\\u0000\"}");
	json_decref(wait_told("rules/r0", is_there, 0));
	check_followed("r1");
}

/* Somebody's edit, and ours that does not know of it. */
TEST(conflict_with_an_odd_document)
{
	struct store_stats stats;

	begin_double(NULL);
	open_store();
	CHECK_INT(store_start(store), 0);
	create("structures", "c0", ODD);
	put(DB_STRUCTURES, "c0", CONTAINER("c0", 200, 150));
	flush();
	CHECK(stands("structures", "c0", "9223372036854776000"));
	CHECK(stands("structures", "c0", "a\\u0000b"));
	CHECK(stands("structures", "c0", "\"current\":150"));
	store_get_stats(store, &stats);
	CHECK_INT(stats.conflicts, 1);
	CHECK_INT(stats.failures, 0);
}

/* Nothing can be made of that: it is passed over, wherever it is met. */
#define UNREADABLE "{\"name\":\"bad\",\"a\\u0000b\":1}"

TEST(document_that_cannot_be_read)
{
	struct store_stats stats;
	char id[16], text[64];

	begin_double(NULL);
	open_store();
	create("limits", "bad", UNREADABLE);
	create("limits", "c", "{\"name\":\"c\",\"n\":1}");
	for (int i = 0; i < 510; i++) {
		snprintf(id, sizeof(id), "d%03d", i);
		snprintf(text, sizeof(text), "{\"name\":\"%s\",\"n\":1}", id);
		put(DB_LIMITS, id, text);
	}
	CHECK_INT(store_start(store), 0);
	flush();
	store_close(store);
	open_store();
	CHECK_INT(json_object_size(loaded[DB_LIMITS]), 511);
	follow_store();
	create("rules", "bad", UNREADABLE);
	check_followed("r1");
	put_n("bad", 3);
	put_n("c", 3);
	flush();
	check_n("c", 3);
	CHECK(stands("limits", "bad", "a\\u0000b"));
	store_get_stats(store, &stats);
	CHECK_INT(stats.refused, 1);
	/* A database that is lost is brought together around it. */
	drop("limits", true);
	create("limits", "c", UNREADABLE);
	json_decref(wait_back("limits", "d509"));
	put_n("d000", 4);
	flush();
	check_n("d000", 4);
}

/* --- Deleted while it is read ------------------------------------------------------------------
 */

#define MANY 700
#define READ 499 /* what the first page holds, besides a design document */

static void create_many(void)
{
	_cleanup_json_ json_t *made = NULL, *reply = NULL, *body = NULL, *docs = json_array();
	_cleanup_free_ char *text = NULL;
	char id[16];
	long status;

	for (int i = 0; i < MANY; i++) {
		snprintf(id, sizeof(id), "c%03d", i);
		json_array_append_new(docs, json_pack("{s:s, s:s}", "_id", id, "name", id));
	}
	body = json_pack("{s:O}", "docs", docs);
	text = json_dumps(body, 0);
	made = other("PUT", "limits", "", NULL, &status);
	reply = other("POST", "limits", "/_bulk_docs", text, &status);
	CHECK_INT(status, 201);
}

static void wait_many(size_t want)
{
	uint64_t begun = now_ns();

	for (;;) {
		_cleanup_json_ json_t *all = other("GET", "limits", "/_all_docs", NULL, NULL);
		const json_t *row;
		size_t i, n = 0;

		json_array_foreach(json_object_get(all, "rows"), i, row)
			n += *json_string_value(json_object_get(row, "id")) == 'c';
		if (n == want)
			return;
		if (now_ns() - begun > PATIENCE_S * 1000000000ULL)
			TEST_FAIL("%zu documents are there", n);
		nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
	}
}

/* What was read of it is known, and comes back. */
static void check_lost_while_it_loads(const char *modes)
{
	begin_double(NULL);
	create_many();
	CHECK_INT(store_open(peer.state, NULL, &store), 0);
	peer_control(&peer, modes);
	load_all();
	CHECK_INT(json_object_size(loaded[DB_LIMITS]), READ);
	follow_store();
	put_n("new", 1);
	flush();
	wait_many(READ);
	check_n("new", 1);
	check_followed("r0");
}

TEST(database_deleted_while_it_is_loaded)
{
	check_lost_while_it_loads("{\"lose_page\":\"gone\"}");
}

TEST(database_made_anew_while_it_is_loaded)
{
	check_lost_while_it_loads("{\"lose_page\":\"anew\"}");
}

TEST(database_deleted_while_it_is_found_again)
{
	_cleanup_json_ json_t *reply = NULL;
	long status;

	begin_double(NULL);
	create_many();
	open_store();
	follow_store();
	CHECK_INT(json_object_size(loaded[DB_LIMITS]), MANY);
	peer_control(&peer, "{\"lose_page\":\"gone\"}");
	/* Without its marker it is another one, and read again. */
	reply = other("DELETE", "limits", "/_local/ebb", NULL, &status);
	CHECK_INT(status, 200);
	peer_control(&peer, "{\"drop_feeds\":true}");
	while (!mode_is_over("lose_page"))
		nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
	wait_many(MANY);
	check_followed("r0");
}

/* Another node answers, whose numbers are lower; a document is deleted while nobody listens. */
TEST(feed_that_goes_on_at_a_lower_number)
{
	begin_double_open(NULL);
	for (int i = 0; i < 5; i++) {
		char id[16];

		snprintf(id, sizeof(id), "c%d", i);
		put_n(id, i);
	}
	flush();
	check_followed("before");
	peer_control(&peer, "{\"seq_lower\":3,\"fail\":503,\"fail_path\":\"_changes\","
			    "\"drop_feeds\":true}");
	remove_document("limits", "c2");
	peer_control(&peer, "{\"fail\":null,\"fail_path\":\"\"}");
	json_decref(wait_told("limits/c2", is_gone, 0));
	check_followed("after");
	CHECK(!read_back("limits", "c2"));
	CHECK_INT(counter("written"), 5 + 2 + 1);
}

/* What a backup from before does not have is written again; what it has otherwise is an edit. */
TEST(database_that_was_set_back)
{
	char command[256];

	begin_double_open(NULL);
	put_n("c0", 1);
	put_n("c1", 1);
	flush();
	peer_text(command, sizeof(command), "cp '%s/journal' '%s/backup'", peer.dir, peer.dir);
	CHECK_INT(system(command), 0);
	put_n("c0", 2);
	flush();
	put_n("c2", 2);
	flush();
	peer_kill(&peer);
	peer_text(command, sizeof(command), "cp '%s/backup' '%s/journal'", peer.dir, peer.dir);
	CHECK_INT(system(command), 0);
	peer_restart(&peer);
	json_decref(wait_back("limits", "c2"));
	json_decref(wait_told("limits/c0", n_is, 1));
	check_n("c1", 1);
	check_n("c2", 2);
	check_followed("after");
}

TEST(killed_double_comes_back_as_it_was)
{
	begin_double_open(NULL);
	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < 30; i++) {
			char id[16];

			snprintf(id, sizeof(id), "c%d", i);
			put_n(id, round);
			if (i == 15) {
				store_flush(store);
				peer_kill(&peer);
			}
		}
		peer_restart(&peer);
		flush();
	}
	for (int i = 0; i < 30; i++) {
		char id[16];

		snprintf(id, sizeof(id), "c%d", i);
		check_n(id, 3);
	}
	check_followed("r0");
}

TEST_MAIN()
