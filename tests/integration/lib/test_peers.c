/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The servers of tests/peers come up for C tests, come back after a kill, and are gone at the end.
 * Beside others.
 */
#include <errno.h>
#include <jansson.h>
#include <sys/stat.h>
#include <time.h>

#include "peers/peers.h"

static struct peer peer;

static json_t *get(const char *address, const char *path)
{
	struct http_result result;

	peer_call(address, "admin:adminpw", "GET", path, NULL, &result);
	CHECK_INT(result.status, 200);
	json_t *json = json_loads(result.body, 0, NULL);
	http_result_clear(&result);
	CHECK(json);
	return json;
}

static void call(const char *address, const char *credentials, const char *method, const char *path,
		 const char *body, long status)
{
	struct http_result result;

	peer_call(address, credentials, method, path, body, &result);
	CHECK_INT(result.status, status);
	http_result_clear(&result);
}

TEST(a_couchdb_keeps_its_documents_over_a_kill)
{
	char path[128];

	peer_start(&peer, "couchdb", NULL);
	snprintf(path, sizeof(path), "/%sdocs", peer.prefix);
	const char *credentials = strstr(peer.url, "//") + 2, *at = strrchr(credentials, '@');
	char user[256];
	snprintf(user, sizeof(user), "%.*s", (int)(at - credentials), credentials);
	call(peer.address, user, "PUT", path, NULL, 201);
	snprintf(path, sizeof(path), "/%sdocs/d", peer.prefix);
	call(peer.address, user, "PUT", path, "{\"a\":7}", 201);
	if (peer.pid) { /* a site's own is not killed */
		peer_restart(&peer);
		json_t *doc = get(peer.address, path);
		CHECK_INT(json_integer_value(json_object_get(doc, "a")), 7);
		json_decref(doc);
	}
}

/* What tests of a pusher read back. */
TEST(victoria_takes_a_point)
{
	char body[160];

	peer_start(&peer, "victoria", NULL);
	snprintf(body, sizeof(body),
		 "{\"metric\":\"a.b\",\"timestamp\":%ld,\"value\":2.5,\"tags\":{\"host\":\"h\"}}",
		 (long)time(NULL));
	call(peer.address, NULL, "POST", "/api/put", body, 204);
	call(peer.health, NULL, "GET", "/internal/force_flush", NULL, 200);
	json_t *series = get(peer.health, "/api/v1/export?match%5B%5D=%7Bhost%3D%22h%22%7D");
	CHECK_NEAR(json_number_value(json_array_get(json_object_get(series, "values"), 0)), 2.5, 0);
	json_decref(series);
}

TEST(influx_takes_a_point)
{
	peer_start(&peer, "influx", NULL);
	call(peer.address, NULL, "POST", "/api/put",
	     "{\"metric\":\"a.b\",\"timestamp\":1700000000,\"value\":2.5,\"tags\":{\"host\":\"h\"}}",
	     204);
}

TEST(an_ended_peer_leaves_nothing)
{
	struct stat st;
	char dir[sizeof(peer.dir)];

	peer_start(&peer, "victoria", NULL);
	pid_t pid = peer.pid;
	memcpy(dir, peer.dir, sizeof(dir));
	peer_end(&peer);
	CHECK(kill(pid, 0) < 0 && errno == ESRCH);
	CHECK(stat(dir, &st) < 0 && errno == ENOENT);
}

TEST_MAIN()
