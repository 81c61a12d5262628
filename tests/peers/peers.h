/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For C tests: the servers that Ebb talks to (tests/peers/peer), each on a free port of loopback,
 * ready when peer_start() returns, killed and its directory removed at the end of the test whatever
 * happens. Where the server cannot be had the test is skipped. Programs that include this run in
 * the root of the tree, as tests/run runs them. Only from the main thread.
 */
#ifndef EBB_TEST_PEERS_H
#define EBB_TEST_PEERS_H

#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ebb/http_client.h"
#include "test.h"

struct peer {
	const char *kind; /* "couchdb", "victoria", "influx", "opentsdb_double", "couchdb_double" */
	char args[512];   /* of the doubles: "MODE=VALUE MODE=VALUE" */
	char dir[64];
	pid_t pid;         /* 0: not running, or a server of the site's */
	char address[128]; /* "http://127.0.0.1:PORT": where Ebb is sent to */
	char health[128];  /* where VictoriaMetrics and InfluxDB answer queries; or `address` */
	char url[384];     /* `address` with user and password, for the CouchDBs */
	char prefix[64];   /* of this test's own, for the databases */
	char state[512];   /* `url`/`prefix`: for --state */
};

__attribute__((format(printf, 3, 4))) static inline void peer_text(char *buffer, size_t size,
								   const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	int n = vsnprintf(buffer, size, format, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= size)
		TEST_FAIL("\"%s\" does not fit", format);
}

/* The first line of a file in the peer's directory; "" when there is none. */
static inline void peer_read(const struct peer *peer, const char *name, char *buffer, size_t size)
{
	char path[128];

	peer_text(path, sizeof(path), "%s/%s", peer->dir, name);
	FILE *file = fopen(path, "re");
	if (!file || !fgets(buffer, (int)size, file))
		buffer[0] = '\0';
	if (file)
		fclose(file);
	buffer[strcspn(buffer, "\n")] = '\0';
}

/* One request to a peer. `credentials`: "USER:PASSWORD" or NULL. Free with http_result_clear(). */
static inline void peer_call(const char *address, const char *credentials, const char *method,
			     const char *path, const char *body, struct http_result *ret_result)
{
	char user[256] = "", *password = NULL;

	if (credentials) {
		peer_text(user, sizeof(user), "%s", credentials);
		password = strchr(user, ':');
		if (password)
			*password++ = '\0';
	}
	const struct http_request_options options = {
		.method = method,
		.address = address,
		.path = path,
		.body = body,
		.body_len = body ? strlen(body) : 0,
		.user = credentials ? user : NULL,
		.password = password,
		.timeout_ms = 20000,
	};
	CHECK_INT(http_call_blocking(&options, ret_result), 0);
}

static inline void peer_kill(struct peer *peer)
{
	if (peer->pid <= 0)
		return;
	kill(peer->pid, SIGKILL);
	waitpid(peer->pid, NULL, 0);
	peer->pid = 0;
}

/* Drops what the test has made on a site's own CouchDB. */
static inline void peer_drop_databases(const struct peer *peer)
{
	char command[1400];

	if (strcmp(peer->kind, "couchdb") || !getenv("EBB_TEST_COUCHDB"))
		return;
	peer_text(
		command, sizeof(command),
		"for db in $(curl -s '%s/_all_dbs' | tr -d '[]\"' | tr , ' '); do case $db in '%s'*) "
		"curl -s -o /dev/null -X DELETE '%s'/$db;; esac; done",
		peer->url, peer->prefix, peer->url);
	if (system(command))
		fprintf(stderr, "databases %s* may be left at %s\n", peer->prefix, peer->address);
}

static inline void peer_end(void *userdata)
{
	struct peer *peer = userdata;
	char command[96];

	peer_drop_databases(peer);
	peer_kill(peer);
	if (!peer->dir[0])
		return;
	peer_text(command, sizeof(command), "rm -rf '%s'", peer->dir);
	if (system(command))
		fprintf(stderr, "%s is left\n", peer->dir);
	peer->dir[0] = '\0';
}

/* Starts it in its directory; false when it does not come up. */
static inline bool peer_run(struct peer *peer)
{
	char command[256], arguments[sizeof(peer->args)];
	char *argv[32] = {"tests/peers/peer", (char *)peer->kind, peer->dir}, *save = NULL;
	int argc = 3;

	memcpy(arguments, peer->args, sizeof(arguments));
	for (char *arg = strtok_r(arguments, " ", &save); arg && argc < 31;
	     arg = strtok_r(NULL, " ", &save))
		argv[argc++] = arg;
	peer_text(command, sizeof(command), "rm -f '%s/address'", peer->dir);
	if (system(command))
		return false;
	peer->pid = fork();
	if (peer->pid < 0)
		TEST_FAIL("fork: %m");
	if (peer->pid == 0) {
		/* A test that is killed takes its servers with it. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execv(argv[0], argv);
		_exit(127);
	}
	peer_text(command, sizeof(command), "tests/peers/peer --wait %s '%s' %d", peer->kind,
		  peer->dir, peer->pid);
	if (system(command)) {
		peer_kill(peer);
		return false;
	}
	peer_read(peer, "address", peer->address, sizeof(peer->address));
	peer_read(peer, "health", peer->health, sizeof(peer->health));
	if (!peer->health[0])
		peer_text(peer->health, sizeof(peer->health), "%s", peer->address);
	return true;
}

/* `url` has user and password in it. */
static inline void peer_set_couchdb(struct peer *peer, const char *url)
{
	const char *at = strrchr(url, '@'), *host = strstr(url, "//");

	CHECK(host);
	peer_text(peer->url, sizeof(peer->url), "%.*s", (int)strcspn(url, "\n"), url);
	if (peer->url[strlen(peer->url) - 1] == '/')
		peer->url[strlen(peer->url) - 1] = '\0';
	peer_text(peer->address, sizeof(peer->address), "%.*s%s", (int)(host + 2 - url), url,
		  at ? peer->url + (at + 1 - url) : peer->url + (host + 2 - url));
	peer_text(peer->prefix, sizeof(peer->prefix), "ebb_test_%d_%ld_", getpid(), random());
	peer_text(peer->state, sizeof(peer->state), "%s/%s", peer->url, peer->prefix);
}

/*
 * `args`: of a double, "MODE=VALUE MODE=VALUE"; NULL: none. `peer` must live until the test's end
 * (static). EBB_TEST_COUCHDB: "couchdb" is that server then, and is not started.
 */
static inline void peer_start(struct peer *peer, const char *kind, const char *args)
{
	char why[256] = "", command[128];
	const char *sites_own = getenv("EBB_TEST_COUCHDB");

	memset(peer, 0, sizeof(*peer));
	peer->kind = kind;
	if (!strcmp(kind, "couchdb") && sites_own) {
		peer_set_couchdb(peer, sites_own);
		test_at_end(peer_end, peer);
		return;
	}
	peer_text(command, sizeof(command), "tests/peers/peer --why %s", kind);
	FILE *pipe = popen(command, "re");
	CHECK(pipe);
	if (!fgets(why, sizeof(why), pipe))
		why[0] = '\0';
	CHECK_INT(pclose(pipe), 0);
	why[strcspn(why, "\n")] = '\0';
	if (why[0])
		SKIP("no %s: %s", kind, why);

	peer_text(peer->args, sizeof(peer->args), "%s", args ? args : "");
	test_at_end(peer_end, peer);
	/* A port may be taken by another between the choice and the start. */
	for (int i = 0; i < 3; i++) {
		peer_text(peer->dir, sizeof(peer->dir), "/tmp/ebb-peer-XXXXXX");
		CHECK(mkdtemp(peer->dir));
		if (peer_run(peer))
			break;
		if (i == 2) {
			peer_text(command, sizeof(command), "cat '%s/log' >&2", peer->dir);
			TEST_FAIL("%s does not start%s", kind,
				  system(command) ? "" : " (see above)");
		}
		peer_end(peer);
	}
	if (!strncmp(kind, "couchdb", 7)) {
		const char *host = strstr(peer->address, "//");
		char url[256];

		CHECK(host);
		peer_text(url, sizeof(url), "%.*sadmin:adminpw@%s", (int)(host + 2 - peer->address),
			  peer->address, host + 2);
		peer_set_couchdb(peer, url);
	} else if (!strcmp(kind, "influx")) {
		struct http_result result;

		peer_call(peer->health, NULL, "POST", "/query?q=CREATE+DATABASE+opentsdb", NULL,
			  &result);
		CHECK_INT(result.status, 200);
		http_result_clear(&result);
	}
}

/* After peer_kill() or without: the same directory, address and arguments again. */
static inline void peer_restart(struct peer *peer)
{
	peer_kill(peer);
	for (int i = 0; i < 3; i++)
		if (peer_run(peer))
			return;
	TEST_FAIL("%s does not start again", peer->kind);
}

/* Sets modes of a double: {"MODE": VALUE, ...}. */
static inline void peer_control(const struct peer *peer, const char *modes)
{
	struct http_result result;

	peer_call(peer->address, NULL, "POST", "/control", modes, &result);
	CHECK_INT(result.status, 200);
	http_result_clear(&result);
}

#endif
