/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leader.c with a real CouchDB and the API between the controllers: in one process, so that
 * ThreadSanitizer sees what the threads share. That the lease is right is tested by
 * test_lease_simulation; whole programs are in tests/e2e/leader.sh. Beside others.
 */
#include "test.h"

#include <stdatomic.h>
#include <unistd.h>

#include "api.h"
#include "leader.h"
#include "peers/peers.h"
#include "ebb/cleanup.h"
#include "ebb/http_server.h"
#include "ebb/log.h"
#include "ebb/loop.h"

/* A controller without a model: its leader, and the routes between controllers. */
struct site {
	struct identity *identity;
	struct leader *leader;
	struct http_server *server;
	struct api api;
	char url[128];
	atomic_ulong term, changes;
};

static struct peer couch;
static struct site sites[2];

static void on_changed(void *userdata, uint64_t term)
{
	struct site *site = userdata;

	site->term = term;
	site->changes++;
}

static bool does_lead(const struct site *site)
{
	uint64_t term;

	return leader_acts(site->leader, &term);
}

static void put(void *userdata, struct http_call *call)
{
	http_reply_json(call, 200, json_object());
}

/* What changes something, after the routes of the leader. */
static struct http_route routes[8];

static struct identity *site_identity(struct site *site)
{
	CHECK_INT(identity_new_token("a token of the site", &site->identity), 0);
	return site->identity;
}

/* `url` NULL: where its server listens. */
static void start_at(int i, const char *url)
{
	struct site *site = &sites[i];
	const struct leader_options options = {
		.uri = couch.state,
		.identity = site_identity(site),
		.changed = on_changed,
		.userdata = site,
	};
	struct http_server_options server = {
		.listen = "127.0.0.1:0",
		.token = "a token of the site",
		.threads = 2,
		.routes = routes,
		.n_routes = api_leader_n_routes + 1,
		.admit = api_admit,
		.userdata = &site->api,
	};

	memcpy(routes, api_leader_routes, api_leader_n_routes * sizeof(routes[0]));
	routes[api_leader_n_routes] = (struct http_route){HTTP_PUT, "/thing/*", put, false};
	CHECK_INT(leader_new(&options, &site->leader), 0);
	site->api.leader = site->leader;
	CHECK_INT(http_server_new(&server, &site->server), 0);
	snprintf(site->url, sizeof(site->url), "http://%s", http_server_address(site->server));
	CHECK_INT(leader_start(site->leader, url ?: site->url), 0);
}

static void start(int i)
{
	start_at(i, NULL);
}

static void stop(int i)
{
	http_server_free(TAKE_PTR(sites[i].server));
	leader_free(TAKE_PTR(sites[i].leader));
	identity_free(TAKE_PTR(sites[i].identity));
	CHECK_INT(sites[i].term, 0);
}

static void clean_up(void *unused)
{
	for (int i = 0; i < 2; i++)
		if (sites[i].leader)
			stop(i);
}

static void call(const char *address, const char *method, const char *path, const char *body,
		 struct http_result *ret_result)
{
	const struct http_request_options options = {
		.method = method,
		.address = address,
		.path = path,
		.body = body,
		.body_len = body ? strlen(body) : 0,
		.token = "a token of the site",
	};

	CHECK_INT(http_call_blocking(&options, ret_result), 0);
}

/* The bound is for failures only. */
#define WAIT_FOR(condition)                                       \
	do {                                                      \
		for (int _n = 0; _n < 2000 && !(condition); _n++) \
			usleep(10000);                            \
		if (!(condition))                                 \
			TEST_FAIL("waited for %s", #condition);   \
	} while (0)

static bool knows(const struct site *site, const struct site *other)
{
	struct leader_state state;

	leader_get_state(site->leader, &state);
	return strcmp(state.standby, other->url) == 0;
}

static bool sees_leader(const struct site *site, const struct site *other)
{
	struct leader_state state;

	leader_get_state(site->leader, &state);
	return !state.acts && strcmp(state.holder, other->url) == 0;
}

static bool has_error(const struct site *site)
{
	struct leader_state state;

	leader_get_state(site->leader, &state);
	return state.error[0] != '\0';
}

static void set_up_database(void)
{
	struct http_result result;
	char path[128];

	log_set_level(LOG_LEVEL_ERROR);
	memset(sites, 0, sizeof(sites));
	memset(&couch, 0, sizeof(couch));
	peer_start(&couch, "couchdb", NULL);
	test_at_end(clean_up, NULL);
	snprintf(path, sizeof(path), "/%sservices", couch.prefix);
	peer_call(couch.address, "admin:adminpw", "PUT", path, NULL, &result);
	CHECK_INT(result.status, 201);
	http_result_clear(&result);
}

/* The first leads, the second stands by, and both know it. */
static void set_up(void)
{
	set_up_database();
	start(0);
	WAIT_FOR(does_lead(&sites[0]));
	start(1);
	WAIT_FOR(knows(&sites[0], &sites[1]) && sees_leader(&sites[1], &sites[0]));
}

TEST(one_leads_and_hands_over)
{
	struct http_result result;
	char path[128];

	set_up();
	CHECK_INT(sites[0].term, 1);
	CHECK_INT(sites[0].changes, 1);
	CHECK_INT(sites[1].changes, 0);
	call(sites[0].url, "PUT", "/thing/x", "{}", &result);
	CHECK_INT(result.status, 200);
	http_result_clear(&result);
	call(sites[1].url, "PUT", "/thing/x", "{}", &result);
	CHECK_INT(result.status, 307);
	http_result_clear(&result);
	stop(0);
	WAIT_FOR(does_lead(&sites[1]));
	CHECK_INT(sites[1].term, 2);

	/* What it leaves says that nobody leads, and lists nobody. */
	stop(1);
	snprintf(path, sizeof(path), "/%sservices/ebb_leader", couch.prefix);
	peer_call(couch.address, "admin:adminpw", "GET", path, NULL, &result);
	CHECK(strstr(result.body, "\"holder\":\"\""));
	CHECK(strstr(result.body, "\"standbys\":[]"));
	http_result_clear(&result);
}

/* Killed and started again: it must not send writes to the one that it was, at its own address. */
TEST(the_one_that_led_here_before_is_nobody)
{
	struct leader_state state;
	struct http_result result;
	char path[128];

	set_up_database();
	snprintf(path, sizeof(path), "/%sservices/ebb_leader", couch.prefix);
	peer_call(
		couch.address, "admin:adminpw", "PUT", path,
		"{\"name\":\"ebb_leader\",\"holder\":\"http://127.0.0.1:1\",\"instance\":\"before\","
		"\"term\":7,\"renewed\":1,\"standbys\":[]}",
		&result);
	CHECK_INT(result.status, 201);
	http_result_clear(&result);
	start_at(0, "http://127.0.0.1:1");
	do {
		leader_get_state(sites[0].leader, &state);
		if (!state.acts)
			CHECK_STR(state.holder, "");
		usleep(1000);
	} while (!state.acts);
	CHECK_INT(state.term, 8);
	CHECK_STR(state.holder, "http://127.0.0.1:1");
}

TEST(without_couchdb_the_one_that_led_goes_on)
{
	struct http_result result;

	set_up();
	peer_kill(&couch);
	WAIT_FOR(has_error(&sites[0]) && has_error(&sites[1]));
	for (int i = 0; i < 40; i++) {
		CHECK(does_lead(&sites[0]));
		CHECK(!does_lead(&sites[1]));
		usleep(100000);
	}
	CHECK_INT(sites[0].changes, 1);
	/* Without the standby's promise it stops, and no change is taken any more. */
	http_server_free(TAKE_PTR(sites[1].server));
	WAIT_FOR(!does_lead(&sites[0]) && sites[0].term == 0);
	call(sites[0].url, "PUT", "/thing/x", "{}", &result);
	CHECK_INT(result.status, 503);
	http_result_clear(&result);
	peer_restart(&couch);
	WAIT_FOR(does_lead(&sites[0]) != does_lead(&sites[1]));
}

#define N_SLOW 7

/* A standby that promises, but takes its time. */
static void promise_slowly(void *userdata, struct http_call *call)
{
	usleep(120000);
	http_reply_json(call, 200,
			json_pack("{s:b, s:i, s:s}", "promised", 1, "term", 1, "instance",
				  (const char *)userdata));
}

TEST(slow_promises_of_many_are_enough)
{
	static const struct http_route slow = {HTTP_POST, "/leader/promise", promise_slowly, false};
	struct http_server *servers[N_SLOW];
	char names[N_SLOW][8], url[128];
	const char *instance;

	set_up();
	for (int i = 0; i < N_SLOW; i++) {
		struct http_server_options options = {
			.listen = "127.0.0.1:0",
			.token = "a token of the site",
			.threads = 1,
			.routes = &slow,
			.n_routes = 1,
			.userdata = names[i],
		};

		snprintf(names[i], sizeof(names[i]), "slow%d", i);
		CHECK_INT(http_server_new(&options, &servers[i]), 0);
		snprintf(url, sizeof(url), "http://%s", http_server_address(servers[i]));
		CHECK(leader_asked(sites[0].leader, url, names[i], &instance));
	}
	peer_kill(&couch);
	WAIT_FOR(has_error(&sites[0]));
	for (int i = 0; i < 40; i++) {
		CHECK(does_lead(&sites[0]));
		usleep(100000);
	}
	CHECK_INT(sites[0].changes, 1);
	for (int i = 0; i < N_SLOW; i++)
		http_server_free(servers[i]);
}

TEST(a_higher_term_at_an_agent_is_gone_beyond)
{
	uint64_t term;

	set_up();
	leader_outdated(sites[0].leader, 41);
	CHECK(!does_lead(&sites[0]));
	WAIT_FOR(does_lead(&sites[0]) && leader_acts(sites[0].leader, &term) && term == 42);
	CHECK_INT(sites[0].term, 42);
	/* Not again for the same. */
	leader_outdated(sites[0].leader, 42);
	CHECK(does_lead(&sites[0]));
}

TEST(a_lease_that_is_deleted_is_made_again)
{
	struct http_result result;
	char path[256], rev[128], *at;
	long status;

	set_up();
	/* Until no renewal comes between the two. */
	do {
		snprintf(path, sizeof(path), "/%sservices/ebb_leader", couch.prefix);
		peer_call(couch.address, "admin:adminpw", "GET", path, NULL, &result);
		at = strstr(result.body, "\"_rev\":\"");
		CHECK(at && sscanf(at + 8, "%127[^\"]", rev) == 1);
		http_result_clear(&result);
		snprintf(path, sizeof(path), "/%sservices/ebb_leader?rev=%s", couch.prefix, rev);
		peer_call(couch.address, "admin:adminpw", "DELETE", path, NULL, &result);
		status = result.status;
		http_result_clear(&result);
	} while (status == 409);
	CHECK_INT(status, 200);
	snprintf(path, sizeof(path), "/%sservices/ebb_leader", couch.prefix);
	do {
		usleep(10000);
		peer_call(couch.address, "admin:adminpw", "GET", path, NULL, &result);
		status = result.status;
		http_result_clear(&result);
		CHECK(!does_lead(&sites[1]));
	} while (status == 404);
	WAIT_FOR(does_lead(&sites[0]));
	CHECK_INT(sites[0].term, 1);
}

/* A revision of the lease beside the one there is, which wins and names `holder`. */
static void insert_leaf(const struct site *holder, unsigned long term)
{
	struct http_result result;
	struct leader_state state;
	char path[128], body[1024];

	leader_get_state(holder->leader, &state);
	snprintf(path, sizeof(path), "/%sservices/_bulk_docs", couch.prefix);
	snprintf(body, sizeof(body),
		 "{\"new_edits\":false,\"docs\":[{\"_id\":\"ebb_leader\",\"_rev\":"
		 "\"900000-00000000000000000000000000000000\",\"name\":\"ebb_leader\",\"holder\":"
		 "\"%s\",\"instance\":\"%s\",\"term\":%lu,\"renewed\":1,\"standbys\":[]}]}",
		 holder->url, state.instance, term);
	peer_call(couch.address, "admin:adminpw", "POST", path, body, &result);
	CHECK_INT(result.status, 201);
	http_result_clear(&result);
}

static bool has_one_leaf(void)
{
	struct http_result result;
	char path[128];
	bool has;

	snprintf(path, sizeof(path), "/%sservices/ebb_leader?conflicts=true", couch.prefix);
	peer_call(couch.address, "admin:adminpw", "GET", path, NULL, &result);
	has = result.status == 200 && !strstr(result.body, "\"_conflicts\"");
	http_result_clear(&result);
	return has;
}

/* Until one leads above both terms: never both. */
static void check_that_one_leads_above(uint64_t term)
{
	uint64_t now = 0;

	for (int n = 0; n < 3000; n++) {
		uint64_t one, other;
		bool first = leader_acts(sites[0].leader, &one);
		bool second = leader_acts(sites[1].leader, &other);

		CHECK(!(first && second));
		now = first ? one : second ? other : 0;
		if (now > term)
			break;
		usleep(5000);
	}
	CHECK(now > term);
	CHECK(has_one_leaf());
}

TEST(a_second_leaf_that_names_the_standby_makes_no_second_leader)
{
	set_up();
	insert_leaf(&sites[1], 1);
	check_that_one_leads_above(1);
	for (int n = 0; n < 200; n++) {
		CHECK(!(does_lead(&sites[0]) && does_lead(&sites[1])));
		usleep(10000);
	}
}

TEST(the_term_of_a_leaf_that_goes_is_gone_beyond)
{
	set_up();
	insert_leaf(&sites[0], 70);
	check_that_one_leads_above(70);
}

TEST(a_promise_needs_a_term_and_an_instance)
{
	static const char *const bad[] = {"{}", "{\"term\":0,\"instance\":\"x\"}", "{\"term\":1}",
					  "{\"term\":\"1\",\"instance\":\"x\"}"};
	struct http_result result;

	set_up();
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		call(sites[1].url, "POST", "/leader/promise", bad[i], &result);
		CHECK_INT(result.status, 400);
		http_result_clear(&result);
	}
	call(sites[1].url, "POST", "/leader/ask", "{\"url\":\"x\"}", &result);
	CHECK_INT(result.status, 400);
	http_result_clear(&result);
	/* Who leads promises nobody; nor is an older term promised. */
	call(sites[0].url, "POST", "/leader/promise",
	     "{\"term\":9,\"instance\":\"x\",\"acts\":true}", &result);
	CHECK_INT(result.status, 200);
	CHECK(strstr(result.body, "\"promised\":false"));
	http_result_clear(&result);
}

TEST_MAIN()
