/* SPDX-License-Identifier: Apache-2.0 */
/* The poster, step by step, against a server that plays a script over raw sockets. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/tsdb.h"
#include "test.h"
#include "tsdb_body.h"
#include "tsdb_poster.h"

#define MAX_REQUESTS 64

#define TAKEN  "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"
#define CLOSED ""
#define BUSY   "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
#define BUSY_7 "HTTP/1.1 429 x\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"
#define HTML   "HTTP/1.1 400 Bad Request\r\nContent-Length: 15\r\n\r\n<html>no</html>"
#define SOME_FAILED \
	"HTTP/1.1 400 Bad Request\r\nContent-Length: 28\r\n\r\n{\"error\":{\"message\":\"some\"}}"
#define VERSION "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

static struct {
	int fd;
	char url[64];
	pthread_t thread;
	const char *replies[MAX_REQUESTS];
	pthread_mutex_t lock;
	unsigned connections, n;
	struct {
		char head[1024], first_host[32];
		size_t len, points;
	} requests[MAX_REQUESTS];
} server;

static struct tsdb_spool *spool;
static struct tsdb_target target;
static struct tsdb_poster *poster;
static bool stop;

/* What came; the reply that the script has for it. NULL: the script is over. */
static const char *note_request(const char *head, const uint8_t *body, size_t len)
{
	struct tsdb_batch *batch = NULL;
	const char *reply = NULL;

	if (len && tsdb_body_open(body, len, &batch) < 0)
		batch = NULL;
	pthread_mutex_lock(&server.lock);
	if (server.n < MAX_REQUESTS) {
		snprintf(server.requests[server.n].head, sizeof(server.requests[0].head), "%.1000s",
			 head);
		server.requests[server.n].len = len;
		server.requests[server.n].points = batch ? batch->n : 0;
		const char *host = batch ? memmem(batch->text, batch->len, "\"host\":\"", 8) : NULL;
		if (host)
			snprintf(server.requests[server.n].first_host, 32, "%.*s",
				 (int)strcspn(host + 8, "\""), host + 8);
		reply = server.replies[server.n++];
	}
	pthread_mutex_unlock(&server.lock);
	tsdb_batch_free(batch);
	return reply;
}

static void serve_connection(int fd)
{
	char buffer[65536];
	size_t have = 0;

	for (;;) {
		char *end;
		while (!(end = memmem(buffer, have, "\r\n\r\n", 4))) {
			ssize_t n = recv(fd, buffer + have, sizeof(buffer) - have, 0);
			if (n <= 0)
				return;
			have += (size_t)n;
		}
		*end = '\0';
		char *length = strcasestr(buffer, "\r\nContent-Length: ");
		size_t need = length ? strtoul(length + 18, NULL, 10) : 0;
		size_t head = (size_t)(end + 4 - buffer);
		while (have < head + need && have < sizeof(buffer)) {
			ssize_t n = recv(fd, buffer + have, sizeof(buffer) - have, 0);
			if (n <= 0)
				return;
			have += (size_t)n;
		}
		const char *reply = note_request(buffer, (uint8_t *)buffer + head, need);
		have = 0;
		if (!reply || !*reply || send(fd, reply, strlen(reply), MSG_NOSIGNAL) < 0 ||
		    strstr(reply, "Connection: close"))
			return;
	}
}

static void *run_server(void *arg)
{
	for (;;) {
		int fd = accept(server.fd, NULL, NULL);
		if (fd < 0)
			return NULL;
		pthread_mutex_lock(&server.lock);
		server.connections++;
		pthread_mutex_unlock(&server.lock);
		serve_connection(fd);
		close(fd);
	}
}

static bool is_stopped(void *userdata)
{
	return stop;
}

static void clean_up(void *arg)
{
	tsdb_poster_free(poster);
	tsdb_spool_close(spool);
	tsdb_target_clear(&target);
	poster = NULL;
	spool = NULL;
	shutdown(server.fd, SHUT_RDWR);
	pthread_join(server.thread, NULL);
	close(server.fd);
	pthread_mutex_destroy(&server.lock);
}

/* The script has one reply for each request, in order. */
static void play(const char *const *replies, size_t n)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct tsdb_options options = {.url = server.url, .timeout_ms = 20000};
	socklen_t len = sizeof(address);

	CHECK(n <= MAX_REQUESTS);
	memset(&server, 0, sizeof(server));
	memcpy(server.replies, replies, n * sizeof(*replies));
	pthread_mutex_init(&server.lock, NULL);
	server.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(server.fd >= 0);
	CHECK_INT(bind(server.fd, (struct sockaddr *)&address, len), 0);
	CHECK_INT(listen(server.fd, 8), 0);
	CHECK_INT(getsockname(server.fd, (struct sockaddr *)&address, &len), 0);
	snprintf(server.url, sizeof(server.url), "http://127.0.0.1:%d", ntohs(address.sin_port));
	CHECK_INT(pthread_create(&server.thread, NULL, run_server, NULL), 0);
	test_at_end(clean_up, NULL);
	stop = false;
	CHECK_INT(tsdb_target_parse(&options, &target), 0);
	CHECK_INT(tsdb_spool_open(NULL, 1 << 20, &spool), 0);
	CHECK_INT(tsdb_poster_new(&target, spool, TSDB_BODY_MAX, is_stopped, NULL, &poster), 0);
}
#define PLAY(...)                                                    \
	do {                                                         \
		static const char *const _replies[] = {__VA_ARGS__}; \
		play(_replies, ARRAY_SIZE(_replies));                \
	} while (0)

/* One body of `n` points, tag host=h0, h1, ... */
static void append(int n)
{
	uint8_t record[TSDB_RECORD_HEADER + TSDB_BODY_ROOM_MIN];
	struct tsdb_batch *batch = tsdb_batch_new();
	struct tsdb_encoder *encoder;
	size_t len;

	CHECK_INT(tsdb_encoder_new(0, &encoder), 0);
	for (int i = 0; i < n; i++) {
		char host[32];
		struct tsdb_tag tag = {"host", host};

		snprintf(host, sizeof(host), "h%d", i);
		CHECK_INT(tsdb_batch_add(batch, "m", 1795000000, i, &tag, 1), 0);
	}
	CHECK_INT(tsdb_encoder_build(encoder, batch, 0, TSDB_BODY_MAX, record + TSDB_RECORD_HEADER,
				     TSDB_BODY_ROOM_MIN, &len),
		  n);
	struct tsdb_record header = {
		.len = (uint32_t)len, .points = (uint32_t)n, .timestamp = 1795000000};
	tsdb_record_write(&header, record);
	CHECK_INT(tsdb_spool_append(spool, record, TSDB_RECORD_HEADER + len), 0);
	tsdb_encoder_free(encoder);
	tsdb_batch_free(batch);
}

static struct tsdb_poster_stats stats_now(void)
{
	struct tsdb_poster_stats stats;

	tsdb_poster_get_stats(poster, &stats);
	return stats;
}

static uint64_t waiting(void)
{
	struct tsdb_spool_stats stats;

	tsdb_spool_get_stats(spool, &stats);
	return stats.points;
}

/* Steps with no wait between them; the first wait that is one. */
static unsigned go_on(void)
{
	for (int i = 0; i < MAX_REQUESTS; i++) {
		unsigned wait = tsdb_poster_step(poster);
		if (wait)
			return wait;
	}
	TEST_FAIL("it goes on and on");
	return 0;
}

static bool asked(unsigned i)
{
	return !strncmp(server.requests[i].head, "POST /api/put?details HTTP/1.1\r\n", 32);
}

TEST(what_a_put_looks_like)
{
	PLAY(TAKEN, TAKEN);
	CHECK_INT(tsdb_poster_step(poster), TSDB_POSTER_IDLE);
	append(10);
	append(20);
	CHECK_INT(tsdb_poster_step(poster), 0);
	CHECK_INT(waiting(), 20);
	CHECK_INT(go_on(), TSDB_POSTER_IDLE);
	CHECK_INT(server.n, 2);
	CHECK_INT(server.connections, 1);
	CHECK_INT(server.requests[0].points, 10);
	CHECK_INT(server.requests[1].points, 20);
	const char *head = server.requests[0].head;
	CHECK(!strncmp(head, "POST /api/put HTTP/1.1\r\n", 24));
	CHECK(strcasestr(head, "\r\nContent-Length: "));
	CHECK(strcasestr(head, "\r\nContent-Encoding: gzip"));
	CHECK(strcasestr(head, "\r\nContent-Type: application/json"));
	CHECK(!strcasestr(head, "\r\nExpect"));
	CHECK(!strcasestr(head, "\r\nTransfer-Encoding"));
	CHECK(!strcasestr(head, "\r\nAuthorization"));
	CHECK(!strcasestr(head, "\r\nConnection: close"));
	CHECK_INT(stats_now().points, 30);
	CHECK_INT(stats_now().bodies, 2);
	CHECK(stats_now().reachable);
}

/* Replies that name failed points of h1 and h2. */
#define POINT(host, error)                                                                    \
	"{\"datapoint\":{\"metric\":\"m\",\"timestamp\":1795000000,\"value\":\"1\",\"tags\":" \
	"{\"host\":\"" host "\"}},\"error\":\"" error "\"}"
#define NAMED(points)                                                                       \
	"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n{\"success\":8,\"failed\":2," \
	"\"errors\":[" points "]}"

TEST(failed_points_are_asked_for_once_and_not_resent)
{
	PLAY(SOME_FAILED, NAMED(POINT("h1", "Unknown metric") "," POINT("h2", "Empty value")),
	     NAMED(POINT("h1", "Unknown metric")), TAKEN, TAKEN);
	append(10);
	append(11);
	append(12);
	append(13);
	CHECK_INT(tsdb_poster_step(poster), 0);
	CHECK(!asked(0));
	CHECK_INT(waiting(), 46);
	CHECK_INT(tsdb_poster_step(poster), 0);
	CHECK(asked(1));
	CHECK_INT(server.requests[1].points, 10);
	CHECK_INT(stats_now().rejected, 2);
	CHECK_INT(stats_now().points, 8);
	CHECK_INT(waiting(), 36);
	/* While points fail it asks at once: half as many puts. */
	CHECK_INT(tsdb_poster_step(poster), 0);
	CHECK(asked(2));
	CHECK_INT(stats_now().rejected, 3);
	CHECK_INT(tsdb_poster_step(poster), 0);
	CHECK(asked(3));
	CHECK_INT(tsdb_poster_step(poster), 0);
	CHECK(!asked(4));
	CHECK_INT(go_on(), TSDB_POSTER_IDLE);
	CHECK_INT(stats_now().points, 8 + 10 + 12 + 13);
	CHECK_INT(stats_now().failures, 0);
	CHECK_INT(waiting(), 0);
}

TEST(points_that_the_storage_failed_come_again_alone)
{
	PLAY(SOME_FAILED,
	     NAMED(POINT("h1", "Please throttle") "," POINT("h7", "Storage exception: x") "," POINT(
		     "h2", "Empty value")),
	     TAKEN);
	append(10);
	unsigned wait = go_on();
	CHECK(wait >= 150 && wait <= 250);
	CHECK_INT(stats_now().points, 7);
	CHECK_INT(stats_now().rejected, 1);
	/* Not done with the body before they are in. */
	CHECK_INT(waiting(), 10);
	CHECK_INT(go_on(), TSDB_POSTER_IDLE);
	CHECK_INT(server.requests[2].points, 2);
	CHECK_STR(server.requests[2].first_host, "h1");
	CHECK_INT(stats_now().points, 9);
	CHECK_INT(waiting(), 0);
}

static size_t points_from(unsigned first)
{
	size_t points = 0;

	for (unsigned i = first; i < server.n; i++)
		points += server.requests[i].points;
	return points;
}

TEST(a_page_halves_and_lowers_the_limit)
{
	PLAY(HTML, TAKEN, HTML, TAKEN, TAKEN, TAKEN, TAKEN, TAKEN, TAKEN, TAKEN, TAKEN, TAKEN,
	     TAKEN, TAKEN, TAKEN);
	append(1000);
	CHECK_INT(go_on(), TSDB_POSTER_IDLE);
	CHECK_INT(server.requests[0].points, 1000);
	CHECK(server.requests[1].points > 50 && server.requests[1].points <= 500);
	CHECK(server.requests[1].len <= server.requests[0].len / 2);
	CHECK_STR(server.requests[1].first_host, "h0");
	CHECK(server.requests[3].points <= server.requests[2].points / 2);
	CHECK_STR(server.requests[3].first_host, server.requests[2].first_host);
	CHECK(server.requests[3].len <= server.requests[2].len / 2);
	/* Each point once, but for those of the second refusal. */
	CHECK_INT(points_from(1), 1000 + server.requests[2].points);
	CHECK_INT(stats_now().points, 1000);
	CHECK_INT(stats_now().rejected, 0);
	CHECK_INT(waiting(), 0);
	CHECK(tsdb_poster_body_limit(poster) <= server.requests[2].len / 2);
}

/* Nothing is said of the size, and so nothing is learned of it. */
TEST(unclear_refusals_are_narrowed_down_to_the_point)
{
	PLAY(SOME_FAILED, SOME_FAILED, /* h0-h3 */
	     TAKEN,                    /* h0-h1 */
	     SOME_FAILED, SOME_FAILED, /* h2-h3 */
	     TAKEN,                    /* h2 */
	     SOME_FAILED, SOME_FAILED /* h3 */);
	append(4);
	CHECK_INT(go_on(), TSDB_POSTER_IDLE);
	CHECK_INT(server.n, 8);
	CHECK_STR(server.requests[7].first_host, "h3");
	CHECK_INT(stats_now().points, 3);
	CHECK_INT(stats_now().rejected, 1);
	CHECK_INT(waiting(), 0);
	CHECK_INT(tsdb_poster_body_limit(poster), TSDB_BODY_MAX);
}

/* It may be no OpenTSDB at all: points are not thrown away for a wrong URL. */
TEST(who_never_took_a_point_is_not_trusted)
{
	PLAY(HTML, HTML, HTML, HTML, TAKEN);
	append(2);
	append(1);
	for (int i = 0; i < 3; i++) {
		CHECK_INT(go_on(), 30000);
		CHECK(strstr(stats_now().last_error, "is this the HTTP port of OpenTSDB?"));
		CHECK_INT(waiting(), 3);
		CHECK_INT(stats_now().rejected, 0);
	}
	/* The script's fifth request is for h1. */
	CHECK_INT(tsdb_poster_step(poster), 0);
	CHECK_INT(stats_now().rejected, 0);
	CHECK_INT(stats_now().points, 1);
}

TEST(one_refused_point_does_not_hold_up_the_others_for_ever)
{
	PLAY(HTML, HTML, HTML, HTML, TAKEN);
	append(1);
	append(2);
	for (int i = 0; i < 3; i++)
		CHECK_INT(go_on(), 30000);
	CHECK_INT(go_on(), TSDB_POSTER_IDLE);
	CHECK_INT(stats_now().rejected, 1);
	CHECK_INT(stats_now().points, 2);
}

/* A proxy that broke looks the same as a bad point, but not for point after point. */
TEST(points_are_not_thrown_away_one_after_another)
{
	PLAY(TAKEN, HTML, HTML, HTML, HTML, HTML, TAKEN, TAKEN);
	for (int i = 0; i < 7; i++)
		append(1);
	CHECK_INT(go_on(), 30000);
	CHECK_INT(stats_now().points, 1);
	CHECK_INT(stats_now().rejected, 3);
	CHECK(strstr(stats_now().last_error, "one point after another"));
	CHECK_INT(waiting(), 3);
	CHECK_INT(go_on(), 30000);
	CHECK_INT(stats_now().rejected, 3);
	/* It was not the points. */
	CHECK_INT(tsdb_poster_step(poster), 0);
	CHECK_INT(tsdb_poster_step(poster), 0);
	CHECK_INT(stats_now().points, 3);
	CHECK_INT(stats_now().rejected, 3);
}

TEST(mistakes_of_people_are_named_and_nothing_is_lost)
{
	static const struct {
		const char *reply, *says;
	} cases[] = {
		{"HTTP/1.1 401 x\r\nContent-Length: 0\r\n\r\n", "USER:PASSWORD@HOST"},
		{"HTTP/1.1 403 x\r\nContent-Length: 0\r\n\r\n", "forbids puts (403)"},
		{"HTTP/1.1 404 x\r\nContent-Length: 0\r\n\r\n", "HTTP port"},
		{"HTTP/1.1 405 x\r\nContent-Length: 0\r\n\r\n", "HTTP port"},
		{"HTTP/1.1 301 x\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", "redirects (301)"},
		{"HTTP/1.1 418 x\r\nContent-Length: 0\r\n\r\n", "answers 418"},
	};
	const char *replies[ARRAY_SIZE(cases) + 1];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		replies[i] = cases[i].reply;
	replies[ARRAY_SIZE(cases)] = TAKEN;
	play(replies, ARRAY_SIZE(replies));
	append(10);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CHECK_INT(tsdb_poster_step(poster), 30000);
		if (!strstr(stats_now().last_error, cases[i].says))
			TEST_FAIL("\"%s\" lacks \"%s\"", stats_now().last_error, cases[i].says);
		CHECK_INT(waiting(), 10);
		CHECK_INT(server.requests[i].points, 10);
	}
	CHECK_INT(go_on(), TSDB_POSTER_IDLE);
	CHECK_INT(stats_now().points, 10);
	CHECK_STR(stats_now().last_error, "");
}

TEST(backoff_grows_to_its_bound_and_starts_again)
{
	unsigned wait = 0;

	PLAY(BUSY, BUSY, BUSY, BUSY, BUSY, BUSY, BUSY, BUSY, BUSY, BUSY, BUSY, BUSY_7, TAKEN, BUSY,
	     BUSY_7, TAKEN);
	append(10);
	append(11);
	for (unsigned i = 0, base = 200; i < 11; i++, base = MIN(base * 2, 30000u)) {
		wait = tsdb_poster_step(poster);
		CHECK(wait >= base * 3 / 4 && wait <= base * 5 / 4);
		CHECK_INT(waiting(), 21);
	}
	/* The server's wish does not shorten it. */
	CHECK(tsdb_poster_step(poster) >= 22500);
	CHECK_INT(stats_now().failures, 12);
	CHECK_INT(tsdb_poster_step(poster), 0);
	CHECK(tsdb_poster_step(poster) <= 250);
	CHECK_INT(tsdb_poster_step(poster), 7000);
	CHECK_INT(go_on(), TSDB_POSTER_IDLE);
	CHECK_INT(stats_now().points, 21);
}

TEST(closed_three_times_may_mean_too_large)
{
	PLAY(CLOSED, CLOSED, CLOSED, VERSION, TAKEN, TAKEN, TAKEN, TAKEN);
	append(400);
	for (int i = 0; i < 2; i++) {
		unsigned wait = tsdb_poster_step(poster);
		CHECK(wait >= 150 && wait <= 500);
	}
	CHECK_INT(go_on(), TSDB_POSTER_IDLE);
	CHECK(!strncmp(server.requests[3].head, "GET /api/version ", 17));
	CHECK(server.requests[4].points <= 200);
	CHECK_INT(points_from(4), 400);
	CHECK(tsdb_poster_body_limit(poster) <= server.requests[0].len / 2);
	CHECK_INT(stats_now().points, 400);
	CHECK(stats_now().reachable);
}

TEST(closed_by_a_server_that_is_away_means_nothing)
{
	PLAY(CLOSED, CLOSED, CLOSED, CLOSED, TAKEN);
	append(40);
	for (int i = 0; i < 3; i++)
		CHECK(tsdb_poster_step(poster) >= 150);
	CHECK(!strncmp(server.requests[3].head, "GET ", 4));
	CHECK_INT(go_on(), TSDB_POSTER_IDLE);
	CHECK_INT(server.requests[4].points, 40);
	CHECK_INT(tsdb_poster_body_limit(poster), TSDB_BODY_MAX);
}

TEST(what_is_not_http_is_waited_out)
{
	PLAY("220 mail.example ESMTP\r\n", TAKEN);
	append(10);
	CHECK(tsdb_poster_step(poster) >= 150);
	CHECK_INT(waiting(), 10);
	CHECK_INT(go_on(), TSDB_POSTER_IDLE);
	CHECK_INT(stats_now().points, 10);
}

TEST(bodies_above_a_limit_learned_since_are_posted_in_parts)
{
	PLAY(HTML, TAKEN, TAKEN, TAKEN, TAKEN, TAKEN, TAKEN, TAKEN, TAKEN, TAKEN, TAKEN);
	append(400);
	append(400);
	CHECK_INT(go_on(), TSDB_POSTER_IDLE);
	CHECK_INT(stats_now().points, 800);
	for (unsigned i = 1; i < server.n; i++)
		CHECK(server.requests[i].len <= server.requests[0].len / 2);
	CHECK_INT(points_from(1), 800);
}

TEST(a_post_that_is_stopped_is_no_failure)
{
	PLAY(CLOSED);
	append(10);
	stop = true;
	CHECK_INT(tsdb_poster_step(poster), 0);
	CHECK_INT(stats_now().failures, 0);
	CHECK_INT(waiting(), 10);
}

/* --- Where to --------------------------------------------------------------------------------- */

TEST(urls)
{
	static const struct {
		const char *url, *address, *user, *password;
	} cases[] = {
		{"http://tsdb:4242", "http://tsdb:4242", NULL, NULL},
		{"https://[::1]:4242/", "https://[::1]:4242/", NULL, NULL},
		{"http://proxy/tsdb", "http://proxy/tsdb", NULL, NULL},
		{"http://a:b@tsdb:4242", "http://tsdb:4242", "a", "b"},
		{"https://a:b%40c%3a@tsdb/x", "https://tsdb/x", "a", "b@c:"},
		{"http://a@tsdb", "http://tsdb", "a", ""},
		{"http://tsdb/x@y", "http://tsdb/x@y", NULL, NULL},
		{"", NULL, NULL, NULL},
		{"tsdb:4242", NULL, NULL, NULL},
		{"ftp://tsdb", NULL, NULL, NULL},
		{"http://", NULL, NULL, NULL},
		{"http://a:b@", NULL, NULL, NULL},
		{"http://a:%zz@tsdb", NULL, NULL, NULL},
		{"http://tsdb?x=1", NULL, NULL, NULL},
		{"http://ts db", NULL, NULL, NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tsdb_options options = {.url = cases[i].url};
		struct tsdb_target got = {0};
		int r = tsdb_target_parse(&options, &got);

		if (!cases[i].address) {
			CHECK_INT(r, -EINVAL);
			CHECK(!got.address && !got.user);
			continue;
		}
		CHECK_INT(r, 0);
		CHECK_STR(got.address, cases[i].address);
		CHECK((got.user != NULL) == (cases[i].user != NULL));
		if (got.user) {
			CHECK_STR(got.user, cases[i].user);
			CHECK_STR(got.password, cases[i].password);
		}
		tsdb_target_clear(&got);
	}
	struct tsdb_options options = {.url = "http://a:b@tsdb", .user = "c", .password = "d"};
	struct tsdb_target got;
	CHECK_INT(tsdb_target_parse(&options, &got), 0);
	CHECK_STR(got.user, "c");
	CHECK_STR(got.password, "d");
	tsdb_target_clear(&got);
}

TEST_MAIN()
