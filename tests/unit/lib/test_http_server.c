/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "http_fixture.h"

static char text[8192];

static long get(struct fixture *f, const char *path)
{
	return call(f, "GET", path, NULL, NULL, text, sizeof(text));
}

BOTH_MODES(routes)
{
	struct fixture *f = start_server(mode, NULL);

	CHECK_INT(get(f, "/heartbeat"), 200);
	CHECK_INT(get(f, "/heartbeat/"), 200);
	CHECK_INT(get(f, "/container/a%20b?q=x%26y+z&flag"), 200);
	CHECK_STR(
		text,
		"{\"method\":0,\"captures\":[\"a b\"],\"len\":0,\"body\":\"\",\"q\":\"x&y z\",\"flag\":\"\"}");
	CHECK_INT(call(f, "PUT", "/container/c0/", "{\"a\":1}", NULL, text, sizeof(text)), 200);
	CHECK_STR(
		text,
		"{\"method\":1,\"captures\":[\"c0\"],\"len\":7,\"body\":\"{\\\"a\\\":1}\",\"q\":null,\"flag\":null}");
	CHECK_INT(call(f, "DELETE", "/container/c0", NULL, NULL, text, sizeof(text)), 200);
	CHECK_INT(call(f, "POST", "/echo", NULL, NULL, text, sizeof(text)), 200);
	CHECK_INT(call(f, "HEAD", "/heartbeat", NULL, NULL, text, sizeof(text)), 200);
	CHECK_STR(text, "");

	CHECK_INT(get(f, "/nothing"), 404);
	CHECK_STR(text, "{\"error\":\"Not Found\",\"message\":\"there is nothing at /nothing\"}");
	CHECK_INT(get(f, "/"), 404);
	CHECK_INT(get(f, "/container/../heartbeat"), 404);
	CHECK_INT(get(f, "//heartbeat"), 404);
	CHECK_INT(call(f, "POST", "/container/c0", "{}", NULL, text, sizeof(text)), 405);
	CHECK_STR(text,
		  "{\"error\":\"Method Not Allowed\",\"message\":\"POST is not possible here, only "
		  "GET, HEAD, PUT, DELETE\"}");
	CHECK_INT(call(f, "PATCH", "/echo", "{}", NULL, text, sizeof(text)), 405);
	const char *raw = raw_call(
		f, "OPTIONS /container/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	CHECK(strstr(raw, "HTTP/1.1 405 "));
	CHECK(strstr(raw, "\r\nAllow: GET, HEAD, PUT, DELETE\r\n"));
	CHECK(strstr(raw, "\r\nContent-Type: application/json\r\n"));
}

BOTH_MODES(broken_encodings)
{
	struct fixture *f = start_server(mode, NULL);
	static const char *const bad[] = {
		"/container/%",        "/container/%zz",    "/container/a%00b",
		"/container/a%2fb",    "/container/%ff",    "/container/c0?q=%zz",
		"/container/c0?q=%00", "/container/c0?%ff", "/container/\xff",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char request[256];
		snprintf(request, sizeof(request),
			 "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", bad[i]);
		const char *answer = raw_call(f, request);
		if (!strstr(answer, "HTTP/1.1 400 ") ||
		    !strstr(answer, "{\"error\":\"Bad Request\","))
			TEST_FAIL("%s: %s", bad[i], answer);
	}
	CHECK_INT(f->calls, 0);
}

BOTH_MODES(tokens)
{
	struct http_server_options with = {.token = TOKEN};
	struct fixture *f = start_server(mode, &with);

	CHECK_INT(call(f, "PUT", "/container/c0", "{}", NULL, text, sizeof(text)), 401);
	CHECK(strstr(text, "Authorization: Bearer TOKEN"));
	CHECK(!strstr(text, TOKEN));
	CHECK_INT(call(f, "PUT", "/container/c0", "{}", "0123456789abcdeX", NULL, 0), 401);
	CHECK_INT(call(f, "PUT", "/container/c0", "{}", TOKEN "0", NULL, 0), 401);
	CHECK_INT(call(f, "PUT", "/container/c0", "{}", "", NULL, 0), 401);
	CHECK_INT(call(f, "PUT", "/container/c0", "{}", TOKEN, NULL, 0), 200);
	CHECK_INT(call(f, "PUT", "/public", "{}", NULL, NULL, 0), 200);
	CHECK_INT(get(f, "/container/c0"), 200);
	/* Nothing is told about what exists before the token was seen. */
	CHECK_INT(call(f, "PUT", "/nothing", "{}", NULL, NULL, 0), 401);
	CHECK_INT(call(f, "PUT", "/heartbeat", "{}", NULL, NULL, 0), 401);
	CHECK_INT(call(f, "PUT", "/nothing", "{}", TOKEN, NULL, 0), 404);
	CHECK_INT(call(f, "PUT", "/heartbeat", "{}", TOKEN, NULL, 0), 405);
	CHECK_INT(call(f, "PUT", "/%zz", "{}", NULL, NULL, 0), 401);

	static const char *const bad[] = {"Basic " TOKEN,      "Bearer",
					  "Bearer ",           TOKEN,
					  "Bearer: " TOKEN,    "bearer " TOKEN "\r\nX: y",
					  "Bearer " TOKEN " x"};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char request[256];
		snprintf(
			request, sizeof(request),
			"PUT /container/c0 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: "
			"0\r\nAuthorization: %s\r\n\r\n",
			bad[i]);
		const char *answer = raw_call(f, request);
		bool good = i == 5;
		if (!strstr(answer, good ? " 200 OK" : " 401 Unauthorized"))
			TEST_FAIL("%s: %s", bad[i], answer);
		if (!good)
			CHECK(strstr(answer, "\r\nWWW-Authenticate: Bearer\r\n"));
	}
	struct http_server_stats stats;
	http_server_get_stats(f->server, &stats);
	CHECK(stats.requests >= 18);
	CHECK(stats.errors_4xx >= 12);
	CHECK_INT(stats.errors_5xx, 0);
}

BOTH_MODES(tokens_on_reads)
{
	struct http_server_options with = {.token = TOKEN, .token_on_reads = true};
	struct fixture *f = start_server(mode, &with);

	CHECK_INT(get(f, "/container/c0"), 401);
	CHECK_INT(get(f, "/nothing"), 401);
	CHECK_INT(get(f, "/heartbeat"), 200);
	CHECK_INT(call(f, "GET", "/container/c0", NULL, TOKEN, NULL, 0), 200);
}

BOTH_MODES(web_pages_change_nothing_without_token)
{
	struct fixture *f = start_server(mode, NULL);

	CHECK(strstr(raw_call(f, "POST /echo HTTP/1.1\r\nHost: x\r\nOrigin: http://evil.example\r\n"
				 "Connection: close\r\nContent-Length: 0\r\n\r\n"),
		     "HTTP/1.1 403 "));
	CHECK(strstr(
		raw_call(f, "GET /heartbeat HTTP/1.1\r\nHost: x\r\nOrigin: http://evil.example\r\n"
			    "Connection: close\r\n\r\n"),
		"HTTP/1.1 200 "));
	CHECK_INT(f->calls, 1);
}

BOTH_MODES(bodies_over_the_limit)
{
	struct fixture *f = start_server(mode, NULL);
	size_t huge = 20 << 20;
	_cleanup_free_ char *body = malloc(huge + 1);

	CHECK(body);
	memset(body, 'x', huge);
	body[huge] = '\0';
	CHECK_INT(call(f, "POST", "/echo", body, NULL, text, sizeof(text)), 413);
	CHECK(strstr(text, "at most 100000 bytes"));
	body[BODY_MAX + 1] = '\0';
	CHECK_INT(call(f, "POST", "/echo", body, NULL, text, sizeof(text)), 413);
	CHECK_INT(f->calls, 0);
	body[BODY_MAX] = '\0';
	CHECK_INT(call(f, "POST", "/echo", body, NULL, text, sizeof(text)), 200);
	CHECK(strstr(text, "\"len\":100000,"));
	CHECK_INT(f->calls, 1);
	/* More than is worth reading: answered before any of it came, and closed. */
	CHECK(strstr(
		raw_call(f, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n"),
		"HTTP/1.1 413 "));
	/* A lie: the handler is not called, the connection does not hang. */
	CHECK(strstr(raw_call(f, "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
				 "Content-Length: 99999999999999999999999\r\n\r\n"),
		     "HTTP/1.1 4"));
	CHECK_INT(f->calls, 1);
}

static void send_chunks(int fd, int n)
{
	char chunk[4096 + 16];

	memcpy(chunk, "1000\r\n", 6);
	memset(chunk + 6, 'y', 4096);
	memcpy(chunk + 6 + 4096, "\r\n", 2);
	/* The server may close before everything is out. */
	for (int i = 0; i < n; i++)
		if (send(fd, chunk, 6 + 4096 + 2, MSG_NOSIGNAL) < 0)
			return;
	ssize_t ignored = send(fd, "0\r\n\r\n", 5, MSG_NOSIGNAL);
	(void)ignored;
}

BOTH_MODES(chunked_bodies)
{
	struct fixture *f = start_server(mode, NULL);
	int fd = connect_raw(f);
	ssize_t len;

	/* Unknown length, over the limit: answered, and the connection goes on. */
	send_text(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
	send_chunks(fd, 50);
	CHECK(strstr(receive(fd, "bytes\"}", 1, &len), "HTTP/1.1 413 "));
	CHECK_INT(f->calls, 0);
	send_text(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
	send_chunks(fd, 10);
	CHECK(strstr(receive(fd, "}", 1, &len), "\"len\":40960,"));
	close(fd);

	/* Far over it: cut off. */
	fd = connect_raw(f);
	send_text(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
	send_chunks(fd, 20000);
	receive(fd, NULL, 0, &len);
	close(fd);
	CHECK_INT(f->calls, 1);
	CHECK(wait_idle(f));
}

BOTH_MODES(half_requests)
{
	static const char *const halves[] = {
		"",
		"G",
		"GET /heartbeat HTTP/1.1",
		"GET /heartbeat HTTP/1.1\r\nHost: x\r\n",
		"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345",
		"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n123",
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		"\r\n\r\n\r\n",
		"GET\r\n\r\n",
		"GET / HTTP/9.9\r\n\r\n",
		"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
		"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5x\r\n\r\n",
		"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
	};
	/* A FIN that comes with the last bytes makes no event of its own in libmicrohttpd's
	 * edge-triggered set: such a connection goes when its time is up. */
	struct http_server_options with = {.timeout_s = 1};
	struct fixture *f = start_server(mode, &with);
	int fds[ARRAY_SIZE(halves)];
	ssize_t len;

	for (size_t i = 0; i < ARRAY_SIZE(halves); i++) {
		struct linger reset = {.l_onoff = 1};
		int fd = connect_raw(f);
		send_text(fd, halves[i]);
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(fd);
		fds[i] = connect_raw(f);
		send_text(fds[i], halves[i]);
		shutdown(fds[i], SHUT_WR);
	}
	for (size_t i = 0; i < ARRAY_SIZE(halves); i++) {
		receive(fds[i], NULL, 0, &len);
		close(fds[i]);
		CHECK(len >= 0);
	}
	CHECK(wait_idle(f));
	CHECK_INT(f->calls, 0);
	CHECK_INT(get(f, "/heartbeat"), 200);
}

BOTH_MODES(byte_by_byte)
{
	static const char request[] =
		"PUT /container/c0 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
		"Connection: close\r\n\r\nhello";
	struct fixture *f = start_server(mode, NULL);
	int fd = connect_raw(f);
	ssize_t len;

	for (const char *p = request; *p; p++) {
		CHECK_INT(send(fd, p, 1, MSG_NOSIGNAL), 1);
		if (p - request < 40)
			sleep_ms(1);
	}
	CHECK(strstr(receive(fd, NULL, 0, &len), "\"body\":\"hello\""));
	close(fd);
}

BOTH_MODES(pipelined)
{
	struct fixture *f = start_server(mode, NULL);
	int fd = connect_raw(f);
	char many[4096] = "";
	ssize_t len;

	for (int i = 0; i < 20; i++)
		snprintf(many + strlen(many), sizeof(many) - strlen(many),
			 "PUT /container/c%d HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
			 i);
	send_text(fd, many);
	const char *answers = receive(fd, "\"flag\":null}", 20, &len);
	CHECK(len > 0);
	for (int i = 0; i < 20; i++) {
		char want[32];
		snprintf(want, sizeof(want), "[\"c%d\"]", i);
		answers = strstr(answers, want);
		CHECK(answers);
	}
	close(fd);
}

BOTH_MODES(idle_connections_are_closed)
{
	struct http_server_options with = {.timeout_s = 1};
	struct fixture *f = start_server(mode, &with);
	int silent = connect_raw(f), half = connect_raw(f), used = connect_raw(f);
	ssize_t len;

	send_text(half, "GET /heart");
	send_text(used, "GET /heartbeat HTTP/1.1\r\nHost: x\r\n\r\n");
	receive(used, "}", 1, &len);
	CHECK(len > 0);
	receive(silent, NULL, 0, &len);
	CHECK_INT(len, 0);
	receive(half, NULL, 0, &len);
	CHECK(len >= 0);
	receive(used, NULL, 0, &len);
	CHECK_INT(len, 0);
	close(silent);
	close(half);
	close(used);
	CHECK(wait_idle(f));
}

#define HEARTBEAT "GET /heartbeat HTTP/1.1\r\nHost: x\r\n\r\n"

/* Until at least so many are there, were closed, and so many bytes of bodies are held. */
static bool wait_stats(struct fixture *f, int connections, unsigned long evicted, size_t bodies)
{
	struct http_server_stats stats;

	for (int i = 0; i < 2000; i++) {
		http_server_get_stats(f->server, &stats);
		if (stats.connections >= (unsigned long)connections && stats.evicted >= evicted &&
		    stats.body_bytes >= bodies)
			return true;
		sleep_ms(10);
	}
	return false;
}

/* Of several threads one may see later than the client that a request has been answered. */
static bool wait_no_bodies(struct fixture *f)
{
	struct http_server_stats stats;

	for (int i = 0; i < 2000; i++) {
		http_server_get_stats(f->server, &stats);
		if (!stats.body_bytes)
			return true;
		sleep_ms(10);
	}
	return false;
}

/* Eight come where four may be: the first ones have said nothing, and go. */
BOTH_MODES(gives_the_places_of_the_silent_away)
{
	struct http_server_options with = {.connections_max = 4, .per_address_max = 4};
	struct fixture *f = start_server(mode, &with);
	struct http_server_stats stats;
	int fds[8];
	ssize_t len;

	for (int i = 0; i < 8; i++) {
		fds[i] = connect_raw(f);
		/* Threads may take them in another order. */
		CHECK(wait_stats(f, MIN(i + 1, 4), (unsigned long)MAX(i - 3, 0), 0));
		send_text(fds[i], "GET /heart");
	}
	for (int i = 0; i < 4; i++) {
		receive(fds[i], NULL, 0, &len);
		CHECK_INT(len, 0);
	}
	for (int i = 7; i >= 4; i--) {
		send_text(fds[i], "beat HTTP/1.1\r\nHost: x\r\n\r\n");
		CHECK(strstr(receive(fds[i], "}", 1, &len), "200 OK"));
	}
	/* What has been served and is kept goes too, the longest idle first. */
	int next = connect_raw(f);
	send_text(next, HEARTBEAT);
	CHECK(strstr(receive(next, "}", 1, &len), "200 OK"));
	CHECK(wait_stats(f, 0, 5, 0));
	/* Of several threads one may see later than the next that its answer has gone. */
	if (mode != THREAD_MODE) {
		receive(fds[7], NULL, 0, &len);
		CHECK_INT(len, 0);
	}
	http_server_get_stats(f->server, &stats);
	CHECK_INT(stats.evicted, 5);
	for (int i = 0; i < 8; i++)
		close(fds[i]);
	close(next);
	CHECK(wait_idle(f));
	CHECK_INT(f->calls, 5);
}

/* Who is being served keeps its place: the one too many goes. */
BOTH_MODES(keeps_the_places_of_calls_under_way)
{
	struct http_server_options with = {.connections_max = 3, .per_address_max = 3};
	struct fixture *f = start_server(mode, &with);
	struct http_deferred *waiting[3];
	int fds[3], other;
	ssize_t len;

	for (int i = 0; i < 3; i++) {
		fds[i] = connect_raw(f);
		send_text(fds[i], "GET /defer HTTP/1.1\r\nHost: x\r\n\r\n");
		waiting[i] = take_waiting(f);
	}
	other = connect_raw(f);
	receive(other, NULL, 0, &len);
	CHECK_INT(len, 0);
	close(other);
	for (int i = 0; i < 3; i++)
		http_resume_json(waiting[i], 200, json_object());
	for (int i = 0; i < 3; i++) {
		CHECK(strstr(receive(fds[i], "}", 1, &len), "200 OK"));
		close(fds[i]);
	}
	CHECK(wait_idle(f));
}

/* 127.0.0.2 has more than its share, and pays for itself. */
BOTH_MODES(limits_each_address)
{
	struct http_server_options with = {.connections_max = 8, .per_address_max = 5};
	struct fixture *f = start_server(mode, &with);
	int own = connect_raw(f), fds[20];
	ssize_t len;

	send_text(own, HEARTBEAT);
	CHECK(strstr(receive(own, "}", 1, &len), "200 OK"));
	for (int i = 0; i < 20; i++) {
		fds[i] = connect_from(f, "127.0.0.2");
		/* Threads may take them in another order. */
		CHECK(wait_stats(f, 1 + MIN(i + 1, 5), (unsigned long)MAX(i - 4, 0), 0));
	}
	for (int i = 0; i < 15; i++) {
		receive(fds[i], NULL, 0, &len);
		CHECK_INT(len, 0);
	}
	send_text(own, HEARTBEAT);
	CHECK(strstr(receive(own, "}", 1, &len), "200 OK"));
	send_text(fds[19], HEARTBEAT);
	CHECK(strstr(receive(fds[19], "}", 1, &len), "200 OK"));
	for (int i = 0; i < 20; i++)
		close(fds[i]);
	close(own);
	CHECK(wait_idle(f));
}

/* Bytes that drip keep no connection: a request as a whole has its time. */
BOTH_MODES(ends_requests_that_drip)
{
	struct http_server_options with = {.request_s = 1};
	struct fixture *f;
	int head, body, quick;
	struct http_server_stats stats;
	ssize_t len;

	if (mode == THREAD_MODE)
		return;
	f = start_server(mode, &with);
	head = connect_raw(f);
	body = connect_raw(f);
	quick = connect_raw(f);
	send_text(head, "GET /heartbeat HTTP/1.1\r\nX: ");
	send_text(body, "PUT /container/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{");
	send_text(quick, HEARTBEAT);
	CHECK(strstr(receive(quick, "}", 1, &len), "200 OK"));
	for (int ended = 0, i = 0; ended < 2 && i < 400; i++) {
		char c;

		ended = 0;
		ended += send(head, "x", 1, MSG_NOSIGNAL) < 0 ||
			 recv(head, &c, 1, MSG_DONTWAIT) == 0;
		ended += send(body, "x", 1, MSG_NOSIGNAL) < 0 ||
			 recv(body, &c, 1, MSG_DONTWAIT) == 0;
		sleep_ms(50);
		if (i == 399)
			CHECK_INT(ended, 2);
	}
	http_server_get_stats(f->server, &stats);
	CHECK_INT(stats.timed_out, 2);
	/* The one that was quick is idle, and may be. */
	send_text(quick, HEARTBEAT);
	CHECK(strstr(receive(quick, "}", 1, &len), "200 OK"));
	close(head);
	close(body);
	close(quick);
	CHECK(wait_idle(f));
}

/* Bodies of all requests together. */
BOTH_MODES(bounds_all_bodies_together)
{
	struct http_server_options with = {.bodies_max = 150000};
	struct fixture *f = start_server(mode, &with);
	static char most[90001];
	int fds[2];
	ssize_t len;

	memset(most, 'x', 90000);
	for (int i = 0; i < 2; i++) {
		fds[i] = connect_raw(f);
		send_text(fds[i],
			  "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 90001\r\n\r\n");
	}
	send_text(fds[0], most);
	/* Taken in, and kept: its end is missing. */
	CHECK(wait_stats(f, 2, 0, 90000));
	CHECK_INT(call(f, "POST", "/echo", most, NULL, text, sizeof(text)), 503);
	CHECK(strstr(text, "too much at once"));
	send_text(fds[0], "x");
	CHECK(strstr(receive(fds[0], "}", 1, &len), "200 OK"));
	CHECK(wait_no_bodies(f));
	send_text(fds[1], most);
	send_text(fds[1], "x");
	CHECK(strstr(receive(fds[1], "}", 1, &len), "200 OK"));
	for (int i = 0; i < 2; i++)
		close(fds[i]);
	CHECK(wait_idle(f));
}

BOTH_MODES(bounds_headers)
{
	struct http_server_options with = {.memory = 8192};
	struct fixture *f = start_server(mode, &with);
	static char big[20000];
	ssize_t len;
	int fd = connect_raw(f);
	const char *answer;

	memset(big, 'x', sizeof(big) - 1);
	send_text(fd, "GET /heartbeat HTTP/1.1\r\nX: ");
	/* It may have been answered and closed before it is all sent. */
	send(fd, big, sizeof(big) - 1, MSG_NOSIGNAL);
	answer = receive(fd, NULL, 0, &len);
	CHECK(strstr(answer, " 431 ") || strstr(answer, " 413 ") || !*answer);
	close(fd);
	CHECK(wait_idle(f));
	CHECK_INT(call(f, "GET", "/heartbeat", NULL, NULL, NULL, 0), 200);
}

struct caller {
	pthread_t thread;
	struct fixture *f;
	const char *method, *path;
	long status;
	char text[512];
};

static void *run_call(void *arg)
{
	struct caller *c = arg;
	struct http_request_options options = {
		.method = c->method, .address = c->f->url, .path = c->path, .timeout_ms = 30000};
	struct http_result result;

	if (http_call_blocking(&options, &result) == 0) {
		c->status = result.status;
		snprintf(c->text, sizeof(c->text), "%s", result.body);
		http_result_clear(&result);
	}
	return NULL;
}

BOTH_MODES(deferred_replies_from_another_thread)
{
	struct fixture *f = start_server(mode, NULL);
	struct caller callers[8];

	for (int i = 0; i < 8; i++) {
		callers[i] = (struct caller){
			.f = f, .method = i & 1 ? "PUT" : "GET", .path = "/defer", .status = -1};
		CHECK_INT(pthread_create(&callers[i].thread, NULL, run_call, &callers[i]), 0);
	}
	for (int i = 0; i < 8; i++) {
		struct http_deferred *deferred = take_waiting(f);
		/* Others are served meanwhile. */
		CHECK_INT(get(f, "/heartbeat"), 200);
		if (i % 3)
			http_resume_json(deferred, 200, json_pack("{s:i}", "i", i));
		else
			http_resume_error(deferred, 504, "took too long");
	}
	int good = 0, bad = 0;
	for (int i = 0; i < 8; i++) {
		pthread_join(callers[i].thread, NULL);
		good += callers[i].status == 200 && !strncmp(callers[i].text, "{\"i\":", 5);
		bad += callers[i].status == 504 &&
		       !strcmp(callers[i].text,
			       "{\"error\":\"Gateway Timeout\",\"message\":\"took too long\"}");
	}
	CHECK_INT(good, 5);
	CHECK_INT(bad, 3);
}

BOTH_MODES(deferred_reply_within_the_handler)
{
	struct fixture *f = start_server(mode, NULL);
	int fd = connect_raw(f);
	ssize_t len;

	for (int i = 0; i < 200; i++) {
		send_text(
			fd,
			i ? "PUT /at-once HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
			  : "PUT /at-once?late HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}");
		const char *answer = receive(fd, "\"deferred\":true}", 1, &len);
		CHECK(len > 0);
		CHECK(strstr(answer, "HTTP/1.1 201 "));
		CHECK(strstr(answer, "\r\nX-Early: 1\r\n"));
		CHECK(strstr(answer, "\r\nX-Late: 2\r\n"));
	}
	close(fd);
}

BOTH_MODES(deferred_and_the_client_has_gone)
{
	struct fixture *f = start_server(mode, NULL);

	for (int i = 0; i < 10; i++) {
		struct linger reset = {.l_onoff = i & 1};
		int fd = connect_raw(f);
		send_text(fd, "PUT /defer HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}");
		struct http_deferred *deferred = take_waiting(f);
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(fd);
		if (i & 2)
			sleep_ms(5);
		http_resume_json(deferred, 200, json_object());
	}
	CHECK(wait_idle(f));
	CHECK_INT(get(f, "/heartbeat"), 200);
}

BOTH_MODES(deferred_and_the_server_has_gone)
{
	struct fixture *f = start_server(mode, NULL);
	struct http_deferred *deferred[20];
	int fds[20];

	for (int i = 0; i < 20; i++) {
		fds[i] = connect_raw(f);
		send_text(fds[i], "PUT /defer HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}");
		deferred[i] = take_waiting(f);
	}
	fixture_free_server(f);
	for (int i = 0; i < 20; i++) {
		if (i & 1)
			http_resume_json(deferred[i], 200, json_object());
		else
			http_resume_error(deferred[i], 500, "late");
		close(fds[i]);
	}
}

struct resumer {
	struct fixture *f;
	bool stop;
};

static void *resume_all(void *arg)
{
	struct resumer *r = arg;

	while (!__atomic_load_n(&r->stop, __ATOMIC_SEQ_CST)) {
		struct http_deferred *deferred = NULL;
		pthread_mutex_lock(&r->f->lock);
		if (r->f->n_waiting)
			deferred = r->f->waiting[--r->f->n_waiting];
		pthread_mutex_unlock(&r->f->lock);
		if (deferred)
			http_resume_json(deferred, 200, json_object());
	}
	return NULL;
}

/* Resumes race with the end of the server, again and again. */
BOTH_MODES(deferred_while_the_server_goes)
{
	for (int round = 0; round < 10; round++) {
		struct fixture *f = start_server(mode, NULL);
		struct resumer r = {.f = f};
		pthread_t thread;
		int fds[40];

		CHECK_INT(pthread_create(&thread, NULL, resume_all, &r), 0);
		for (int i = 0; i < 40; i++) {
			fds[i] = connect_raw(f);
			send_text(fds[i],
				  "PUT /defer HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}");
		}
		fixture_free_server(f);
		__atomic_store_n(&r.stop, true, __ATOMIC_SEQ_CST);
		pthread_join(thread, NULL);
		for (int i = 0; i < 40; i++)
			close(fds[i]);
	}
}

BOTH_MODES(odd_handlers)
{
	struct fixture *f = start_server(mode, NULL);

	CHECK_INT(get(f, "/silence"), 500);
	CHECK(strstr(text, "{\"error\":\"Internal Server Error\""));
	CHECK_INT(get(f, "/null"), 500);
	CHECK_INT(get(f, "/twice"), 200);
	CHECK_STR(text, "first");
	struct http_server_stats stats;
	http_server_get_stats(f->server, &stats);
	CHECK_INT(stats.errors_5xx, 2);
	CHECK_INT(stats.requests, 3);
}

BOTH_MODES(json_in_and_out)
{
	struct fixture *f = start_server(mode, NULL);

	CHECK_INT(get(f, "/numbers"), 200);
	CHECK_STR(text,
		  "{\"i\":200,\"a\":0.1,\"b\":200.1,\"c\":200.0,\"big\":9223372036854775807}");
	CHECK_INT(call(f, "POST", "/object", "{\"a\": [1, 2.50, \"\xc3\xb1\"]}", NULL, text,
		       sizeof(text)),
		  200);
	CHECK_STR(text, "{\"a\":[1,2.5,\"\xc3\xb1\"]}");
	static const char *const bad[] = {"",
					  "{",
					  "[1]",
					  "1",
					  "\"a\"",
					  "{\"a\":1} x",
					  "{\"a\":1,\"a\":2}",
					  "{\"\xff\":1}",
					  "{\"a\":1e999}",
					  "{\"a\":\"\\u0000\"}",
					  "nan",
					  "{'a':1}"};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (call(f, "POST", "/object", bad[i], NULL, text, sizeof(text)) != 400)
			TEST_FAIL("\"%s\" was taken", bad[i]);
	CHECK_INT(call(f, "POST", "/object", "{\"a\":\n 1 x}", NULL, text, sizeof(text)), 400);
	CHECK(strstr(text, "line 2, column 4"));
	/* Deeper than any document, and than the stack of a careless parser. */
	char deep[60001];
	memset(deep, '[', 60000);
	deep[60000] = '\0';
	CHECK_INT(call(f, "POST", "/object", deep, NULL, text, sizeof(text)), 400);
}

static void unlink_path(void *arg)
{
	char command[128];
	snprintf(command, sizeof(command), "rm -rf '%s'", (char *)arg);
	if (system(command))
		fprintf(stderr, "cannot remove %s\n", (char *)arg);
}

BOTH_MODES(unix_sockets)
{
	static char dir[64], path[80], listen_on[96];
	struct stat st;

	snprintf(dir, sizeof(dir), "/tmp/ebb-test-http-XXXXXX");
	CHECK(mkdtemp(dir));
	test_at_end(unlink_path, dir);
	snprintf(path, sizeof(path), "%s/s", dir);
	snprintf(listen_on, sizeof(listen_on), "unix:%s", path);

	/* Left behind by a program that died. */
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	int dead = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK_INT(bind(dead, (struct sockaddr *)&address, sizeof(address)), 0);
	close(dead);

	struct http_server_options with = {.listen = listen_on};
	struct fixture *f = start_server(mode, &with);
	CHECK_STR(http_server_address(f->server), listen_on);
	CHECK_INT(lstat(path, &st), 0);
	CHECK(S_ISSOCK(st.st_mode));
	CHECK_INT(st.st_mode & 0777, 0660);
	CHECK_INT(get(f, "/container/a%20b"), 200);
	CHECK(strstr(text, "[\"a b\"]"));
	CHECK_INT(call(f, "PUT", "/container/c0", "{}", NULL, text, sizeof(text)), 200);

	/* In use: refused, and left alone. */
	struct http_server_options again = {
		.listen = listen_on, .threads = 1, .routes = routes, .n_routes = 1};
	struct http_server *other;
	CHECK_INT(http_server_new(&again, &other), -EADDRINUSE);
	CHECK_INT(get(f, "/heartbeat"), 200);

	fixture_free_server(f);
	CHECK(lstat(path, &st) < 0 && errno == ENOENT);
	_cleanup_close_ int file = open(path, O_CREAT | O_WRONLY, 0600);
	CHECK(file >= 0);
	CHECK_INT(http_server_new(&again, &other), -EEXIST);
	CHECK_INT(lstat(path, &st), 0);
}

TEST(addresses_that_cannot_be_listened_on)
{
	struct fixture *f = start_server(THREAD_MODE, NULL);
	struct http_server_options options = {.threads = 1, .routes = routes, .n_routes = 1};
	struct http_server *server = NULL;
	char taken[64];

	snprintf(taken, sizeof(taken), "127.0.0.1:%u", f->port);
	options.listen = taken;
	CHECK_INT(http_server_new(&options, &server), -EADDRINUSE);
	options.listen = "127.0.0.1";
	CHECK_INT(http_server_new(&options, &server), -EINVAL);
	options.listen = "192.0.2.1:0";
	CHECK_INT(http_server_new(&options, &server), -EADDRNOTAVAIL);
	options.listen = "unix:/nowhere/at/all";
	CHECK_INT(http_server_new(&options, &server), -ENOENT);
	options.listen = "127.0.0.1:0";
	options.token = "";
	CHECK_INT(http_server_new(&options, &server), -EINVAL);
	CHECK(!server);
	http_server_free(NULL);
}

TEST(every_address)
{
	struct http_server_options with = {.listen = ":0"};
	struct fixture *f = start_server(THREAD_MODE, &with);

	CHECK_INT(get(f, "/heartbeat"), 200);
}

TEST(ipv6)
{
	struct http_server_options options = {
		.listen = "[::1]:0", .threads = 1, .routes = routes, .n_routes = 1};
	struct http_server *server;
	int r = http_server_new(&options, &server);

	if (r == -EADDRNOTAVAIL || r == -EAFNOSUPPORT)
		SKIP("no IPv6 loopback here");
	CHECK_INT(r, 0);
	bool bracketed = !strncmp(http_server_address(server), "[::1]:", 6);
	http_server_free(server);
	CHECK(bracketed);
}

TEST_MAIN()
