/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What TLS costs: calls one after another on a kept connection, and each on a connection of its own
 * (the handshake), in plain, with EC and with RSA keys, and with certificates on both sides. The
 * server is as the agent's: a thread reads, handlers run in a loop.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"
#include "ebb/http_client.h"
#include "ebb/http_server.h"
#include "ebb/identity.h"
#include "ebb/units.h"

#define KEPT  2000
#define FRESH 300

static char dir[] = "/tmp/ebb-bench-tls-XXXXXX";

static void on_get(void *userdata, struct http_call *call)
{
	http_reply_json(call, 200, json_pack("{s:s}", "status", "alive"));
}

static const struct http_route routes[] = {{HTTP_GET, "/heartbeat", on_get, true}};

static void *run_loop(void *arg)
{
	loop_run(arg);
	return NULL;
}

/* NAME.pem and NAME.key, which vouch for themselves. */
static int make_pair(const char *name, const char *algorithm)
{
	char command[512];

	snprintf(command, sizeof(command),
		 "openssl req -x509 -newkey %s -nodes -days 2 -subj /CN=bench -addext "
		 "subjectAltName=IP:127.0.0.1 -keyout %s/%s.key -out %s/%s.pem 2>%s/log",
		 algorithm, dir, name, dir, name, dir);
	return system(command);
}

static double per_second(const struct http_request_options *options, bool kept, unsigned n)
{
	struct http_session *session = NULL;
	struct http_result result = {0};
	uint64_t start;

	if (http_session_new(&session) < 0)
		return 0;
	start = now_ns();
	for (unsigned i = 0; i < n; i++) {
		int r = kept ? http_session_call(session, options, &result)
			     : http_call_blocking(options, &result);
		long status = r < 0 ? r : result.status;

		if (status != 200)
			fprintf(stderr, "status %ld %s\n", status, r < 0 ? "" : result.error);
		if (r >= 0)
			http_result_clear(&result);
		if (status != 200) {
			n = 0;
			break;
		}
	}
	http_session_free(session);
	return n * 1e9 / (double)(now_ns() - start);
}

/* `pair` NULL: plain. */
static int measure(const char *title, const char *pair, bool mutual)
{
	char cert[64], key[64], url[96];
	struct identity_files files = {0};
	struct identity *identity = NULL;
	struct http_server *server = NULL;
	struct loop *loop = NULL;
	pthread_t thread;
	double kept, fresh;

	snprintf(cert, sizeof(cert), "%s/%s.pem", dir, pair ? pair : "");
	snprintf(key, sizeof(key), "%s/%s.key", dir, pair ? pair : "");
	if (pair) {
		files = (struct identity_files){.tls_cert = cert, .tls_key = key, .ca_file = cert};
		if (mutual) {
			files.tls_client_ca = files.client_cert = cert;
			files.client_key = key;
		}
	}
	if (identity_new(&files, &identity) < 0 || loop_new(&loop) < 0)
		return 1;
	struct http_server_options options = {
		.listen = "127.0.0.1:0",
		.identity = identity,
		.threads = 1,
		.relay = true,
		.loop = loop,
		.routes = routes,
		.n_routes = ARRAY_SIZE(routes),
	};
	if (http_server_new(&options, &server) < 0 || pthread_create(&thread, NULL, run_loop, loop))
		return 1;
	snprintf(url, sizeof(url), "%s://%s", pair ? "https" : "http", http_server_address(server));
	struct http_request_options request = {
		.method = "GET",
		.address = url,
		.path = "/heartbeat",
		.identity = identity,
	};
	per_second(&request, true, 50);
	kept = per_second(&request, true, KEPT);
	fresh = per_second(&request, false, FRESH);
	printf("%-36s kept connection %6.0f calls/s   new connections %5.0f/s\n", title, kept,
	       fresh);
	loop_stop(loop);
	pthread_join(thread, NULL);
	http_server_free(server);
	loop_free(loop);
	identity_free(identity);
	return kept > 0 && fresh > 0 ? 0 : 1;
}

int main(void)
{
	char command[128];
	int failed = 0;

	if (!mkdtemp(dir) || make_pair("ec", "ec -pkeyopt ec_paramgen_curve:P-256") ||
	    make_pair("rsa", "rsa:2048")) {
		fprintf(stderr, "openssl makes no certificates\n");
		return EXIT_FAILURE;
	}
	failed |= measure("plain", NULL, false);
	failed |= measure("TLS, EC P-256", "ec", false);
	failed |= measure("TLS, EC P-256, both sides", "ec", true);
	failed |= measure("TLS, RSA 2048", "rsa", false);
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command) || failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
