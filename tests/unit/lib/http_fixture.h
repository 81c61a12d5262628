/* SPDX-License-Identifier: Apache-2.0 */
/* A real server on a free port, in a loop of its own thread or on four threads, and raw sockets. */
#ifndef EBB_HTTP_FIXTURE_H
#define EBB_HTTP_FIXTURE_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/http_client.h"
#include "ebb/http_server.h"
#include "ebb/loop.h"
#include "ebb/util.h"
#include "test.h"

#define LOOP_MODE   0u
#define THREAD_MODE 4u
#define RELAY_MODE  1u /* a thread reads, handlers run in the loop */
#define TOKEN       "0123456789abcdef"
#define BODY_MAX    ((size_t)100000)

struct fixture {
	struct loop *loop; /* NULL in threaded mode */
	pthread_t thread;
	struct http_server *server;
	char url[64];
	uint16_t port;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct http_deferred *waiting[256];
	size_t n_waiting;
	unsigned calls;
};

static void sleep_ms(long ms)
{
	struct timespec ts = {ms / 1000, ms % 1000 * 1000000};
	nanosleep(&ts, NULL);
}

static void *run_loop(void *arg)
{
	loop_run(arg);
	return NULL;
}

/* Stops the loop's thread first: the server may be freed in its thread only. */
static void fixture_free_server(struct fixture *f)
{
	if (f->loop) {
		loop_stop(f->loop);
		pthread_join(f->thread, NULL);
	}
	http_server_free(f->server);
	f->server = NULL;
	loop_free(f->loop);
	f->loop = NULL;
}

static void fixture_end(void *arg)
{
	struct fixture *f = arg;

	if (f->server)
		fixture_free_server(f);
	for (size_t i = 0; i < f->n_waiting; i++)
		http_resume_error(f->waiting[i], 503, "end");
	pthread_cond_destroy(&f->changed);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

static void on_echo(void *userdata, struct http_call *call)
{
	struct fixture *f = userdata;
	json_t *captures = json_array();

	__atomic_add_fetch(&f->calls, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < HTTP_MAX_CAPTURES && call->captures[i]; i++)
		json_array_append_new(captures, json_string(call->captures[i]));
	http_reply_header(call, "X-Test", "yes");
	http_reply_json(call, 200,
			json_pack("{s:i, s:o, s:i, s:s#, s:s?, s:s?}", "method", call->method,
				  "captures", captures, "len", (int)call->body_len, "body",
				  call->body, (int)MIN(call->body_len, 64), "q",
				  http_query(call, "q"), "flag", http_query(call, "flag")));
}

/* Waits in f->waiting for the test to answer it. */
static void on_defer(void *userdata, struct http_call *call)
{
	struct fixture *f = userdata;
	struct http_deferred *deferred;

	if (http_defer(call, &deferred) < 0) {
		http_reply_error(call, 503, "cannot defer");
		return;
	}
	pthread_mutex_lock(&f->lock);
	f->waiting[f->n_waiting++] = deferred;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

static void on_defer_at_once(void *userdata, struct http_call *call)
{
	struct http_deferred *deferred;

	bool late = http_query(call, "late");

	http_reply_header(call, "X-Early", "1");
	if (http_defer(call, &deferred) < 0)
		return;
	http_resume_header(deferred, "X-Late", "2");
	http_resume_json(deferred, 201, json_pack("{s:b}", "deferred", 1));
	/* Too late to have a say. */
	if (late)
		http_reply_error(call, 500, "must not be seen");
}

static void on_numbers(void *userdata, struct http_call *call)
{
	http_reply_json(call, 200,
			json_pack("{s:I, s:f, s:f, s:f, s:I}", "i", (json_int_t)200, "a", 0.1, "b",
				  200.1, "c", 200.0, "big", (json_int_t)INT64_MAX));
}

static void on_silence(void *userdata, struct http_call *call)
{
}

static void on_twice(void *userdata, struct http_call *call)
{
	http_reply_text(call, 200, "text/plain", "first", 5);
	http_reply_error(call, 500, "second");
}

static void on_object(void *userdata, struct http_call *call)
{
	json_t *body = http_body_object(call);

	if (body)
		http_reply_json(call, 200, body);
}

static void on_null(void *userdata, struct http_call *call)
{
	http_reply_json(call, 200, NULL);
}

static const struct http_route routes[] = {
	{HTTP_GET, "/heartbeat", on_echo, true},
	{HTTP_PUT, "/public", on_echo, true},
	{HTTP_GET, "/container/resources", on_numbers, false},
	{HTTP_GET, "/container/*", on_echo, false},
	{HTTP_PUT, "/container/*", on_echo, false},
	{HTTP_DELETE, "/container/*", on_echo, false},
	{HTTP_POST, "/echo", on_echo, false},
	{HTTP_POST, "/object", on_object, false},
	{HTTP_GET, "/defer", on_defer, false},
	{HTTP_PUT, "/defer", on_defer, false},
	{HTTP_PUT, "/at-once", on_defer_at_once, false},
	{HTTP_GET, "/numbers", on_numbers, false},
	{HTTP_GET, "/silence", on_silence, false},
	{HTTP_GET, "/twice", on_twice, false},
	{HTTP_GET, "/null", on_null, false},
};

/* `with`: token, limits, ...; may be NULL. Ended by itself. */
static struct fixture *start_server(unsigned threads, const struct http_server_options *with)
{
	struct http_server_options options = with ? *with : (struct http_server_options){0};
	struct fixture *f = calloc(1, sizeof(*f));
	struct address address;

	CHECK(f);
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->changed, NULL);
	test_at_end(fixture_end, f);
	if (!options.listen)
		options.listen = "127.0.0.1:0";
	if (!options.body_max)
		options.body_max = BODY_MAX;
	options.routes = routes;
	options.n_routes = ARRAY_SIZE(routes);
	options.userdata = f;
	options.threads = threads;
	options.relay = threads == RELAY_MODE;
	if (!threads || options.relay) {
		CHECK_INT(loop_new(&f->loop), 0);
		options.loop = f->loop;
	}
	int r = http_server_new(&options, &f->server);
	if (r < 0)
		loop_free(TAKE_PTR(f->loop));
	CHECK_INT(r, 0);
	if (f->loop)
		CHECK_INT(pthread_create(&f->thread, NULL, run_loop, f->loop), 0);
	CHECK_INT(address_parse(http_server_address(f->server), &address), 0);
	f->port = address.port;
	if (*address.unix_path)
		snprintf(f->url, sizeof(f->url), "%s", http_server_address(f->server));
	else
		snprintf(f->url, sizeof(f->url), "http://127.0.0.1:%u", address.port);
	return f;
}

/* The nth call that waits, once it is there. */
__attribute__((unused)) static struct http_deferred *take_waiting(struct fixture *f)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 20;
	pthread_mutex_lock(&f->lock);
	while (!f->n_waiting && pthread_cond_timedwait(&f->changed, &f->lock, &until) == 0)
		;
	struct http_deferred *deferred = f->n_waiting ? f->waiting[--f->n_waiting] : NULL;
	pthread_mutex_unlock(&f->lock);
	CHECK(deferred);
	return deferred;
}

/* Status of one blocking request; the body in `text`, cut. */
__attribute__((unused)) static long call(struct fixture *f, const char *method, const char *path,
					 const char *body, const char *token, char *text,
					 size_t size)
{
	struct http_request_options options = {
		.method = method,
		.address = f->url,
		.path = path,
		.body = body,
		.body_len = body ? strlen(body) : 0,
		.token = token,
		.timeout_ms = 20000,
	};
	struct http_result result;

	CHECK_INT(http_call_blocking(&options, &result), 0);
	if (*result.error)
		fprintf(stderr, "%s %s: %s\n", method, path, result.error);
	if (text)
		snprintf(text, size, "%s", result.body);
	long status = result.status;
	http_result_clear(&result);
	return status;
}

static int connect_raw(const struct fixture *f)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(f->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct timeval limit = {.tv_sec = 20};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(fd >= 0);
	CHECK_INT(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
	CHECK_INT(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* From another address of this machine. */
__attribute__((unused)) static int connect_from(const struct fixture *f, const char *source)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(f->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct sockaddr_in from = {.sin_family = AF_INET};
	struct timeval limit = {.tv_sec = 20};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(fd >= 0);
	CHECK_INT(inet_pton(AF_INET, source, &from.sin_addr), 1);
	CHECK_INT(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
	CHECK_INT(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
	CHECK_INT(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void send_text(int fd, const char *text)
{
	CHECK_INT(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Reads until `until` was seen `times` times, or to the end; -1 in *ret_len: neither came. */
static const char *receive(int fd, const char *until, int times, ssize_t *ret_len)
{
	static char text[65536];
	size_t len = 0;

	text[0] = '\0';
	*ret_len = -1;
	while (len < sizeof(text) - 1) {
		int seen = 0;
		for (const char *p = text; until && (p = strstr(p, until)); p += strlen(until))
			seen++;
		if (until && seen >= times)
			break;
		ssize_t n = recv(fd, text + len, sizeof(text) - 1 - len, 0);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return text;
		if (n <= 0)
			break;
		len += n;
		text[len] = '\0';
	}
	*ret_len = (ssize_t)len;
	return text;
}

/* What the server says to `request`, which asks it to close. */
__attribute__((unused)) static const char *raw_call(const struct fixture *f, const char *request)
{
	int fd = connect_raw(f);
	ssize_t len;

	send_text(fd, request);
	const char *text = receive(fd, NULL, 0, &len);
	close(fd);
	CHECK(len >= 0);
	return text;
}

/* Waits until no connection is open; false after 20 s. */
__attribute__((unused)) static bool wait_idle(struct fixture *f)
{
	for (int i = 0; i < 2000; i++) {
		struct http_server_stats stats;
		http_server_get_stats(f->server, &stats);
		if (!stats.connections)
			return true;
		sleep_ms(10);
	}
	return false;
}

/* One body, run against all kinds of server. */
#define BOTH_MODES(id)                        \
	static void both_##id(unsigned mode); \
	TEST(id##_in_loop)                    \
	{                                     \
		both_##id(LOOP_MODE);         \
	}                                     \
	TEST(id##_on_threads)                 \
	{                                     \
		both_##id(THREAD_MODE);       \
	}                                     \
	TEST(id##_relayed)                    \
	{                                     \
		both_##id(RELAY_MODE);        \
	}                                     \
	static void both_##id(unsigned mode)

#endif
