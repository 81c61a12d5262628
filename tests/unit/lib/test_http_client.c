/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "http_fixture.h"

/* The client's own loop, in the main thread. */
struct site {
	struct loop *loop;
	struct http_client *client;
	unsigned done, good, failed;
	long status;
	char body[256], error[512], header[64];
	double seconds;
	struct fixture *f;
	unsigned again; /* requests to send from the callback */
};

static void free_site(void *arg)
{
	struct site *s = arg;

	http_client_free(s->client);
	loop_free(s->loop);
	free(s);
}

static struct site *make_site(struct fixture *f)
{
	struct site *s = calloc(1, sizeof(*s));

	CHECK(s);
	s->f = f;
	test_at_end(free_site, s);
	CHECK_INT(loop_new(&s->loop), 0);
	CHECK_INT(http_client_new(s->loop, &s->client), 0);
	return s;
}

static void on_done(void *userdata, const struct http_response *response);

static int put(struct site *s, const char *path, const char *body, unsigned timeout_ms)
{
	struct http_request_options options = {
		.method = body ? "PUT" : "GET",
		.address = s->f->url,
		.path = path,
		.body = body,
		.body_len = body ? strlen(body) : 0,
		.timeout_ms = timeout_ms,
	};

	return http_client_send(s->client, &options, on_done, s);
}

static void on_done(void *userdata, const struct http_response *response)
{
	struct site *s = userdata;
	const char *header = http_response_header(response, "x-test");

	s->done++;
	s->good += response->status == 200 && !*response->error;
	s->failed += response->status == 0 && *response->error;
	s->status = response->status;
	s->seconds = response->seconds;
	snprintf(s->body, sizeof(s->body), "%s", response->body);
	snprintf(s->error, sizeof(s->error), "%s", response->error);
	snprintf(s->header, sizeof(s->header), "%s", header ? header : "");
	if (s->again) {
		s->again--;
		if (put(s, "/container/again", "{}", 20000) < 0)
			s->again = 0;
	}
}

static void turn_until(struct site *s, unsigned done)
{
	uint64_t end = now_ns() + 40000000000ULL;

	while (s->done < done && now_ns() < end)
		CHECK_INT(loop_turn(s->loop, 100), 0);
	CHECK_INT(s->done, done);
}

static size_t count_waiting(struct fixture *f)
{
	pthread_mutex_lock(&f->lock);
	size_t n = f->n_waiting;
	pthread_mutex_unlock(&f->lock);
	return n;
}

static void error_without_password(const char *address, size_t response_max, const char *want)
{
	const struct http_request_options options = {
		.method = "GET",
		.address = address,
		.path = "/numbers",
		.response_max = response_max,
		.timeout_ms = 20000,
	};
	struct http_result result;
	char error[sizeof(result.error)];

	CHECK_INT(http_call_blocking(&options, &result), 0);
	strcpy(error, result.error);
	http_result_clear(&result);
	if (!strstr(error, want) || strstr(error, "swordfish") || strstr(error, "guard"))
		TEST_FAIL("%s", error);
}

TEST(no_password_in_an_error)
{
	struct fixture *f = start_server(THREAD_MODE, NULL);
	char address[128];

	snprintf(address, sizeof(address), "http://guard:swordfish@127.0.0.1:%u", f->port);
	error_without_password(address, 4, "127.0.0.1");
	error_without_password("http://guard:swordfish@127.0.0.1:1", 0,
			       "cannot reach http://127.0.0.1:1:");
	error_without_password("https://guard:swordfish@127.0.0.1:1/path/", 0,
			       "cannot reach https://127.0.0.1:1/path/:");
	/* Not encoded as it should be. */
	error_without_password("http://guard:sword@swordfish@127.0.0.1:1", 0, "http://127.0.0.1:1");
}

BOTH_MODES(one_request)
{
	struct fixture *f = start_server(mode, NULL);
	struct site *s = make_site(f);

	CHECK_INT(put(s, "/container/a%20b?q=1", "{\"x\":1}", 20000), 0);
	CHECK_INT(s->done, 0);
	turn_until(s, 1);
	CHECK_INT(s->status, 200);
	CHECK_STR(s->error, "");
	CHECK_STR(s->header, "yes");
	CHECK(s->seconds > 0);
	CHECK(strstr(s->body,
		     "\"captures\":[\"a b\"],\"len\":7,\"body\":\"{\\\"x\\\":1}\",\"q\":\"1\""));
	CHECK_INT(put(s, "/nothing", NULL, 20000), 0);
	turn_until(s, 2);
	CHECK_INT(s->status, 404);
	CHECK_STR(s->error, "");
	CHECK_STR(s->header, "");
}

BOTH_MODES(many_at_once_keep_their_connections)
{
	struct fixture *f = start_server(mode, NULL);
	struct site *s = make_site(f);
	struct http_server_stats stats;

	for (int round = 1; round <= 3; round++) {
		for (int i = 0; i < 200; i++)
			CHECK_INT(put(s, i & 1 ? "/container/c0" : "/at-once", "{}", 30000), 0);
		turn_until(s, 200 * round);
		CHECK_INT(s->failed, 0);
	}
	CHECK_INT(s->good, 300);
	http_server_get_stats(f->server, &stats);
	CHECK_INT(stats.requests, 600);
	CHECK(stats.connections >= 1 && stats.connections <= 64);
}

BOTH_MODES(deferred_replies_come_in_any_order)
{
	struct fixture *f = start_server(mode, NULL);
	struct site *s = make_site(f);

	for (int i = 0; i < 20; i++)
		CHECK_INT(put(s, "/defer", "{}", 30000), 0);
	for (int i = 0; i < 20; i++) {
		while (!count_waiting(f))
			CHECK_INT(loop_turn(s->loop, 5), 0);
		http_resume_json(take_waiting(f), 200, json_pack("{s:i}", "i", i));
	}
	turn_until(s, 20);
	CHECK_INT(s->good, 20);
}

BOTH_MODES(callback_sends_the_next)
{
	struct fixture *f = start_server(mode, NULL);
	struct site *s = make_site(f);
	struct http_server_stats stats;

	s->again = 49;
	CHECK_INT(put(s, "/container/c0", "{}", 20000), 0);
	turn_until(s, 50);
	CHECK_INT(s->good, 50);
	http_server_get_stats(f->server, &stats);
	CHECK_INT(stats.connections, 1);
}

BOTH_MODES(time_limit)
{
	struct fixture *f = start_server(mode, NULL);
	struct site *s = make_site(f);

	CHECK_INT(put(s, "/defer", "{}", 50), 0);
	turn_until(s, 1);
	CHECK_INT(s->failed, 1);
	CHECK(s->seconds >= 0.04);
	CHECK(strstr(s->error, f->url));
	CHECK(strcasestr(s->error, "timed out"));
	/* The connection that still waits for its answer is not used for the next request. */
	CHECK_INT(put(s, "/container/c0", "{}", 20000), 0);
	turn_until(s, 2);
	CHECK_INT(s->status, 200);
}

BOTH_MODES(server_goes_and_comes)
{
	struct fixture *f = start_server(mode, NULL);
	struct site *s = make_site(f);
	struct http_server_options with = {.listen = NULL};
	char listen_on[64];

	CHECK_INT(put(s, "/container/c0", "{}", 20000), 0);
	turn_until(s, 1);
	CHECK_INT(put(s, "/defer", "{}", 20000), 0);
	while (!count_waiting(f))
		CHECK_INT(loop_turn(s->loop, 5), 0);
	snprintf(listen_on, sizeof(listen_on), "127.0.0.1:%u", f->port);
	fixture_free_server(f);
	turn_until(s, 2);
	/* With luck its threads still tell why. */
	CHECK(s->status == 503 || (s->status == 0 && *s->error));
	CHECK_INT(put(s, "/container/c0", "{}", 20000), 0);
	turn_until(s, 3);
	CHECK_INT(s->status, 0);
	CHECK(strstr(s->error, "cannot reach http://127.0.0.1:"));

	with.listen = listen_on;
	start_server(mode, &with);
	CHECK_INT(put(s, "/container/c0", "{}", 20000), 0);
	turn_until(s, 4);
	CHECK_INT(s->status, 200);
}

BOTH_MODES(kept_connection_that_the_server_closed)
{
	struct http_server_options with = {.timeout_s = 1};
	struct fixture *f = start_server(mode, &with);
	struct site *s = make_site(f);

	CHECK_INT(put(s, "/container/c0", "{}", 20000), 0);
	turn_until(s, 1);
	CHECK(wait_idle(f));
	CHECK_INT(put(s, "/container/c0", "{}", 20000), 0);
	turn_until(s, 2);
	CHECK_INT(s->good, 2);
}

BOTH_MODES(client_freed_with_requests_under_way)
{
	struct fixture *f = start_server(mode, NULL);
	struct site *s = make_site(f);

	for (int i = 0; i < 30; i++)
		CHECK_INT(put(s, i & 1 ? "/defer" : "/container/c0", "{}", 20000), 0);
	while (!count_waiting(f))
		CHECK_INT(loop_turn(s->loop, 5), 0);
	struct http_deferred *deferred = take_waiting(f);
	unsigned done = s->done;
	http_client_free(TAKE_PTR(s->client));
	http_resume_json(deferred, 200, json_object());
	CHECK_INT(loop_turn(s->loop, 20), 0);
	CHECK_INT(s->done, done);
}

static void free_in_callback(void *userdata, const struct http_response *response)
{
	struct site *s = userdata;

	s->done++;
	http_client_free(TAKE_PTR(s->client));
}

BOTH_MODES(client_freed_in_a_callback)
{
	struct fixture *f = start_server(mode, NULL);
	struct site *s = make_site(f);
	struct http_request_options options = {
		.method = "GET", .address = f->url, .path = "/heartbeat"};

	for (int i = 0; i < 10; i++)
		CHECK_INT(http_client_send(s->client, &options, free_in_callback, s), 0);
	turn_until(s, 1);
	CHECK_INT(loop_turn(s->loop, 20), 0);
	CHECK_INT(s->done, 1);
	CHECK(!s->client);
}

/* Answers what it is told to on one connection, then closes it. */
struct rogue {
	int listen_fd;
	const char *answer;
	pthread_t thread;
	char url[64];
	char request[4096]; /* what it was asked, once joined */
};

static void *run_rogue(void *arg)
{
	struct rogue *rogue = arg;
	int fd = accept(rogue->listen_fd, NULL, NULL);

	if (fd >= 0) {
		ssize_t n = recv(fd, rogue->request, sizeof(rogue->request) - 1, 0);
		if (n > 0)
			n = send(fd, rogue->answer, strlen(rogue->answer), MSG_NOSIGNAL);
		close(fd);
	}
	return NULL;
}

/* A listening socket on a free port, and its URL. */
static int listen_free(char *url, size_t size)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK_INT(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	CHECK_INT(listen(fd, 1), 0);
	CHECK_INT(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	snprintf(url, size, "http://127.0.0.1:%u", ntohs(address.sin_port));
	return fd;
}

static void start_rogue(struct rogue *rogue, const char *answer)
{
	*rogue = (struct rogue){.answer = answer};
	rogue->listen_fd = listen_free(rogue->url, sizeof(rogue->url));
	CHECK_INT(pthread_create(&rogue->thread, NULL, run_rogue, rogue), 0);
}

static void end_rogue(struct rogue *rogue)
{
	pthread_join(rogue->thread, NULL);
	close(rogue->listen_fd);
}

static struct http_result ask_rogue(const char *answer, size_t response_max)
{
	struct rogue rogue;
	struct http_result result = {0};

	start_rogue(&rogue, answer);
	struct http_request_options options = {.method = "GET",
					       .address = rogue.url,
					       .path = "/",
					       .timeout_ms = 20000,
					       .response_max = response_max};
	int r = http_call_blocking(&options, &result);
	end_rogue(&rogue);
	CHECK_INT(r, 0);
	return result;
}

TEST(answers_of_a_bad_server)
{
	static const struct {
		const char *answer;
		long status;
		const char *error;
	} cases[] = {
		{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, NULL},
		{"HTTP/1.1 200 OK\r\n\r\nok", 200, NULL},
		{"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhalf", 0, "http://127.0.0.1:"},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", 0,
		 "http://127.0.0.1:"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n", 0, "http://127.0.0.1:"},
		{"", 0, "http://127.0.0.1:"},
		{"SSH-2.0-OpenSSH_9.2\r\n", 0, "http://127.0.0.1:"},
		/* Not followed: the token would go with it. */
		{"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
		 302, NULL},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct http_result result = ask_rogue(cases[i].answer, 0);
		bool right = result.status == cases[i].status &&
			     (cases[i].error ? strstr(result.error, cases[i].error) != NULL
					     : !*result.error);
		fprintf(stderr, "case %zu: %ld \"%s\"\n", i, result.status, result.error);
		http_result_clear(&result);
		CHECK(right);
	}
}

TEST(response_over_the_limit)
{
	struct http_result result =
		ask_rogue("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n12345678901", 10);
	bool right =
		result.status == 0 && strstr(result.error, "the response is larger than 10 bytes");

	http_result_clear(&result);
	CHECK(right);
	result = ask_rogue("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n1234567890", 10);
	right = result.status == 200 && result.body_len == 10;
	http_result_clear(&result);
	CHECK(right);
}

TEST(environment_and_options_are_not_trusted)
{
	struct fixture *f = start_server(THREAD_MODE, NULL);
	struct http_request_options options = {
		.method = "GET", .address = f->url, .path = "/heartbeat"};
	struct http_result result;

	/* A proxy of the environment would see the token. */
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("all_proxy", "http://127.0.0.1:1", 1);
	CHECK_INT(http_call_blocking(&options, &result), 0);
	unsetenv("http_proxy");
	unsetenv("all_proxy");
	CHECK_INT(result.status, 200);
	http_result_clear(&result);

	static const char *const bad[] = {
		"file:///etc/passwd", "ftp://127.0.0.1", "127.0.0.1:80", "unix:", "", "gopher://x"};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		options.address = bad[i];
		CHECK_INT(http_call_blocking(&options, &result), -EINVAL);
	}
	options.address = f->url;
	options.path = "heartbeat";
	CHECK_INT(http_call_blocking(&options, &result), -EINVAL);
	options.path = NULL;
	CHECK_INT(http_call_blocking(&options, &result), -EINVAL);
	options.path = "/container/../heartbeat";
	CHECK_INT(http_call_blocking(&options, &result), 0);
	CHECK_INT(result.status, 404);
	http_result_clear(&result);
	options.address = "unix:/nowhere/at/all";
	CHECK_INT(http_call_blocking(&options, &result), 0);
	CHECK_INT(result.status, 0);
	bool told = strstr(result.error, "cannot reach unix:/nowhere/at/all");
	http_result_clear(&result);
	CHECK(told);
	options.address = "http://127.0.0.1:1//";
	CHECK_INT(http_call_blocking(&options, &result), 0);
	CHECK_INT(result.status, 0);
	http_result_clear(&result);
}

/* Its own connection counter tells whether the server saw one connection or several. */
TEST(session_keeps_its_connection)
{
	struct fixture *f = start_server(THREAD_MODE, NULL);
	struct http_request_options options = {
		.method = "GET", .address = f->url, .path = "/container/x"};
	struct http_server_stats stats;
	struct http_session *session;
	struct http_result result;

	CHECK_INT(http_session_new(&session), 0);
	CHECK(http_session_header(session, "x-test") == NULL);
	for (int i = 0; i < 3; i++) {
		CHECK_INT(http_session_call(session, &options, &result), 0);
		CHECK_INT(result.status, 200);
		CHECK_STR(http_session_header(session, "X-TEST"), "yes");
		CHECK(http_session_header(session, "x-other") == NULL);
		http_result_clear(&result);
	}
	http_server_get_stats(f->server, &stats);
	CHECK_INT(stats.connections, 1);
	options.address = "http://127.0.0.1:1";
	CHECK_INT(http_session_call(session, &options, &result), 0);
	CHECK_INT(result.status, 0);
	http_result_clear(&result);
	http_session_free(session);
	http_session_free(NULL);
}

static int collect(void *userdata, const char *data, size_t len)
{
	char *text = userdata;

	strncat(text, data, len);
	return strchr(text, '!') ? -ECANCELED : 0;
}

TEST(pieces_as_they_arrive)
{
	static const struct {
		const char *answer, *pieces, *kept;
		long status;
	} cases[] = {
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", "", 200},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
		 "abc", "", 200},
		{"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nenough!..", "enough!..", "", 0},
		/* What a refusal says is kept: it is for people. */
		{"HTTP/1.1 404 No\r\nContent-Length: 7\r\n\r\nmissing", "", "missing", 404},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[64] = "";
		struct rogue rogue;
		struct http_request_options options = {.method = "GET",
						       .address = rogue.url,
						       .path = "/",
						       .timeout_ms = 20000,
						       .on_data = collect,
						       .data_userdata = text};
		struct http_result result;

		start_rogue(&rogue, cases[i].answer);
		CHECK_INT(http_call_blocking(&options, &result), 0);
		end_rogue(&rogue);
		CHECK_INT(result.status, cases[i].status);
		CHECK_STR(text, cases[i].pieces);
		if (cases[i].status)
			CHECK_STR(result.body, cases[i].kept);
		http_result_clear(&result);
	}
}

/* A server that sends a header and then nothing. */
TEST(silence_is_a_failure)
{
	struct http_request_options options = {.method = "GET",
					       .path = "/",
					       .timeout_ms = HTTP_NO_TIMEOUT,
					       .connect_timeout_ms = 20000,
					       .silence_s = 1};
	struct http_result result;
	char url[64];
	int fd = listen_free(url, sizeof(url));

	options.address = url;
	CHECK_INT(http_call_blocking(&options, &result), 0);
	close(fd);
	CHECK_INT(result.status, 0);
	CHECK(*result.error);
	http_result_clear(&result);
}

static bool is_set(void *userdata)
{
	return *(bool *)userdata;
}

TEST(blocking_call_can_be_stopped)
{
	bool stop = true;
	struct http_request_options options = {.method = "GET",
					       .path = "/",
					       .timeout_ms = HTTP_NO_TIMEOUT,
					       .connect_timeout_ms = 20000,
					       .stopped = is_set,
					       .stopped_userdata = &stop};
	struct http_result result;
	char url[64];
	int fd = listen_free(url, sizeof(url));

	options.address = url;
	CHECK_INT(http_call_blocking(&options, &result), 0);
	close(fd);
	CHECK_INT(result.status, 0);
	CHECK(!result.cut);
	http_result_clear(&result);
}

TEST(cut_tells_a_closed_connection_from_none)
{
	static const struct {
		const char *answer;
		bool cut;
		long status;
	} cases[] = {
		{"", true, 0},
		{"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab", true, 0},
		{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", false, 200},
		{"220 mail.example ESMTP\r\n", false, 0},
	};
	struct http_request_options options = {.method = "GET", .path = "/", .timeout_ms = 20000};
	struct http_result result;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rogue rogue;

		start_rogue(&rogue, cases[i].answer);
		options.address = rogue.url;
		CHECK_INT(http_call_blocking(&options, &result), 0);
		end_rogue(&rogue);
		CHECK_INT(result.cut, cases[i].cut);
		CHECK_INT(result.status, cases[i].status);
		http_result_clear(&result);
	}
	options.address = "http://127.0.0.1:1";
	CHECK_INT(http_call_blocking(&options, &result), 0);
	CHECK(!result.cut && !result.status);
	http_result_clear(&result);
}

TEST(headers_and_basic_authentication)
{
	static const char *const lines[] = {"Content-Encoding: gzip", "content-type: text/x", NULL};
	struct rogue rogue;
	struct http_request_options options = {
		.method = "POST",
		.address = rogue.url,
		.path = "/",
		.body = "a\0b",
		.body_len = 3,
		.timeout_ms = 20000,
		.headers = lines,
		.user = "ebb",
		.password = "secret",
	};
	struct http_result result;

	start_rogue(&rogue, "HTTP/1.1 204 No Content\r\n\r\n");
	CHECK_INT(http_call_blocking(&options, &result), 0);
	end_rogue(&rogue);
	CHECK_INT(result.status, 204);
	http_result_clear(&result);
	CHECK(strstr(rogue.request, "\r\nContent-Encoding: gzip\r\n"));
	CHECK(strstr(rogue.request, "\r\ncontent-type: text/x\r\n"));
	CHECK(!strstr(rogue.request, "Content-Type: application/json"));
	CHECK(!strcasestr(rogue.request, "expect"));
	CHECK(strstr(rogue.request, "\r\nContent-Length: 3\r\n"));
	/* base64 of "ebb:secret" */
	CHECK(strstr(rogue.request, "\r\nAuthorization: Basic ZWJiOnNlY3JldA==\r\n"));
}

TEST(free_is_null_safe)
{
	http_client_free(NULL);
}

TEST_MAIN()
