/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One keep-alive PUT after another over loopback: the round trip that every order and every urgent
 * sample pays. The server runs in the client's loop, in a loop of another thread, or on threads.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"
#include "ebb/http_client.h"
#include "ebb/http_server.h"
#include "ebb/units.h"

#define ROUNDS  3000
#define WARM_UP 100

static void on_put(void *userdata, struct http_call *call)
{
	json_t *body = http_body_object(call);

	if (body)
		http_reply_json(call, 201, body);
}

static void on_defer(void *userdata, struct http_call *call)
{
	struct http_deferred *deferred;

	if (http_defer(call, &deferred) == 0)
		http_resume_json(deferred, 201, json_pack("{s:i}", "cpu", 100));
}

static const struct http_route routes[] = {
	{HTTP_PUT, "/container/*", on_put, false},
	{HTTP_PUT, "/deferred/*", on_defer, false},
};

struct bench {
	struct loop *loop, *server_loop;
	struct http_client *client;
	struct http_server *server;
	char url[128];
	const char *path, *body;
	unsigned n;
	uint64_t started_ns, took_ns[WARM_UP + ROUNDS];
	bool failed;
};

static void on_done(void *userdata, const struct http_response *response);

static void send_next(struct bench *bench)
{
	struct http_request_options options = {
		.method = "PUT",
		.address = bench->url,
		.path = bench->path,
		.body = bench->body,
		.body_len = strlen(bench->body),
		.token = "0123456789abcdef",
	};

	bench->started_ns = now_ns();
	if (http_client_send(bench->client, &options, on_done, bench) < 0) {
		bench->failed = true;
		loop_stop(bench->loop);
	}
}

static void on_done(void *userdata, const struct http_response *response)
{
	struct bench *bench = userdata;

	bench->took_ns[bench->n++] = now_ns() - bench->started_ns;
	if (response->status != 201) {
		fprintf(stderr, "status %ld %s\n", response->status, response->error);
		bench->failed = true;
	}
	if (bench->failed || bench->n == WARM_UP + ROUNDS)
		loop_stop(bench->loop);
	else
		send_next(bench);
}

static void *run_loop(void *arg)
{
	loop_run(arg);
	return NULL;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

enum place { SAME_LOOP, OTHER_LOOP, THREADS };

static int measure(const char *title, enum place place, const char *listen, const char *path,
		   const char *body)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	pthread_t thread;
	int r = bench ? loop_new(&bench->loop) : -ENOMEM;

	if (r == 0 && place == OTHER_LOOP)
		r = loop_new(&bench->server_loop);
	if (r == 0) {
		struct http_server_options options = {
			.listen = listen,
			.token = "0123456789abcdef",
			.threads = place == THREADS ? 2 : 0,
			.loop = place == OTHER_LOOP ? bench->server_loop : bench->loop,
			.routes = routes,
			.n_routes = ARRAY_SIZE(routes),
		};
		r = http_server_new(&options, &bench->server);
	}
	if (r == 0)
		r = http_client_new(bench->loop, &bench->client);
	if (r == 0 && place == OTHER_LOOP)
		r = -pthread_create(&thread, NULL, run_loop, bench->server_loop);
	if (r < 0) {
		fprintf(stderr, "%s: %s\n", title, strerror(-r));
		return 1;
	}
	const char *address = http_server_address(bench->server);
	snprintf(bench->url, sizeof(bench->url), "%s%s", *address == 'u' ? "" : "http://", address);
	bench->path = path;
	bench->body = body;
	send_next(bench);
	loop_run(bench->loop);
	if (place == OTHER_LOOP) {
		loop_stop(bench->server_loop);
		pthread_join(thread, NULL);
	}

	uint64_t *took = bench->took_ns + WARM_UP;
	qsort(took, ROUNDS, sizeof(*took), by_value);
	printf("%-44s p50 %4.0f us   p95 %4.0f us   p99 %4.0f us   max %5.0f us\n", title,
	       (double)took[ROUNDS / 2] / 1e3, (double)took[ROUNDS * 95 / 100] / 1e3,
	       (double)took[ROUNDS * 99 / 100] / 1e3, (double)took[ROUNDS - 1] / 1e3);

	int failed = bench->failed;
	http_client_free(bench->client);
	http_server_free(bench->server);
	loop_free(bench->loop);
	loop_free(bench->server_loop);
	free(bench);
	return failed;
}

int main(void)
{
	static const char order[] =
		"{\"cpu\":{\"cpu_allowance_limit\":150},\"mem\":{\"mem_limit\":512}}";
	static char batch[60000];
	char on_unix[64];
	const char *on_tcp = "127.0.0.1:0";
	int failed = 0;

	snprintf(on_unix, sizeof(on_unix), "unix:/tmp/ebb-bench-http-%d", getpid());
	snprintf(batch, sizeof(batch), "{\"samples\":\"%*s\"}", (int)sizeof(batch) - 16, "");
	failed |=
		measure("PUT, server in the same loop", SAME_LOOP, on_tcp, "/container/c0", order);
	failed |= measure("PUT, server in another thread's loop", OTHER_LOOP, on_tcp,
			  "/container/c0", order);
	failed |= measure("PUT, server on threads", THREADS, on_tcp, "/container/c0", order);
	failed |= measure("PUT, server on threads, unix socket", THREADS, on_unix, "/container/c0",
			  order);
	failed |= measure("deferred PUT, another thread's loop", OTHER_LOOP, on_tcp, "/deferred/c0",
			  order);
	failed |=
		measure("deferred PUT, server on threads", THREADS, on_tcp, "/deferred/c0", order);
	failed |= measure("60 kB there and back, another thread's loop", OTHER_LOOP, on_tcp,
			  "/container/c0", batch);
	failed |= measure("60 kB there and back, server on threads", THREADS, on_tcp,
			  "/container/c0", batch);
	return failed;
}
