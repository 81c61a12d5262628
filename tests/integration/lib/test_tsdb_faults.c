/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pusher in a process of its own, killed again and again, and a server that fails in every way
 * at random: what was submitted and flushed arrives, in order for each series, and nothing else
 * does. EBB_TEST_SEED repeats a run.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/loop.h"
#include "ebb/tsdb.h"
#include "ebb/units.h"
#include "ebb/util.h"
#include "seed.h"
#include "test.h"

#define KILLS       25
#define SERIES      100
#define MOMENTS_MAX 100000
#define MOMENT0     1795000000

/* The only value that a point of that series and moment has. */
static double value_of(int series, int moment)
{
	return (double)(moment % 5000) + (double)series / 100;
}

/* --- The pusher's process
 * -------------------------------------------------------------------------- */

/* Submits moment after moment and reports each one that is flushed; without any left, until all
 * have been taken. */
static int run_pusher(const char *url, const char *spool, int first, bool drain)
{
	struct tsdb_options options = {.url = url, .spool = spool, .timeout_ms = 300};
	struct tsdb_stats stats;
	struct tsdb *tsdb;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	log_set_level(LOG_LEVEL_ERROR);
	if (tsdb_new(&options, &tsdb) < 0)
		return 1;
	for (int moment = first; !drain && moment < MOMENTS_MAX; moment++) {
		struct tsdb_batch *batch = tsdb_batch_new();

		for (int s = 0; s < SERIES; s++) {
			char host[16];
			struct tsdb_tag tag = {"host", host};

			snprintf(host, sizeof(host), "c%d", s);
			if (tsdb_batch_add(batch, "m", MOMENT0 + moment, value_of(s, moment), &tag,
					   1) < 0)
				return 2;
		}
		if (tsdb_submit(tsdb, batch) < 0 || tsdb_flush(tsdb) < 0)
			return 3;
		if (write(STDOUT_FILENO, &moment, sizeof(moment)) != sizeof(moment))
			return 4;
		usleep(1000);
	}
	do {
		usleep(5000);
		tsdb_get_stats(tsdb, &stats);
	} while (stats.waiting_points);
	tsdb_free(tsdb);
	return stats.dropped || stats.rejected ? 5 : 0;
}

/* --- The server
 * ------------------------------------------------------------------------------------- */

enum fault {
	NONE,
	BUSY,
	THROTTLE,
	CLOSE_FIRST,
	CLOSE_AFTER,
	LOST,
	HALF,
	GARBAGE,
	SLOW,
	SOME_FAIL, /* in the storage; named when that is asked for */
	FAULTS
};

static struct {
	int fd;
	char url[64];
	pthread_t thread;
	uint64_t random;
	_Atomic bool kind; /* no faults any more */
	size_t body_max;   /* bytes; larger ones are refused with a page */
	unsigned too_large;
	unsigned faults[FAULTS], puts;
	/* Of each series: what arrived, and the last that arrived for the first time. */
	bool *arrived[SERIES];
	int newest[SERIES];
	unsigned long again;
	char wrong[256];
} server;

static uint64_t next_random(void)
{
	server.random ^= server.random >> 12;
	server.random ^= server.random << 25;
	server.random ^= server.random >> 27;
	return server.random * 0x2545f4914f6cdd1dULL >> 16;
}

static void complain(const char *what, long a, long b)
{
	if (!*server.wrong)
		snprintf(server.wrong, sizeof(server.wrong), "%s (%ld, %ld)", what, a, b);
}

static void take_point(const json_t *point)
{
	const char *host =
		json_string_value(json_object_get(json_object_get(point, "tags"), "host"));
	const char *metric = json_string_value(json_object_get(point, "metric"));
	const json_t *value = json_object_get(point, "value");
	int moment = (int)(json_integer_value(json_object_get(point, "timestamp")) - MOMENT0);
	int series = host ? atoi(host + 1) : -1;

	if (!metric || strcmp(metric, "m") || series < 0 || series >= SERIES || moment < 0 ||
	    moment >= MOMENTS_MAX || !json_is_number(value) || json_object_size(point) != 4)
		return complain("a point that nobody sent", series, moment);
	if (fabs(json_number_value(value) - value_of(series, moment)) > 1e-9)
		return complain("a wrong value", series, moment);
	if (server.arrived[series][moment]) {
		server.again++;
		return;
	}
	server.arrived[series][moment] = true;
	if (moment < server.newest[series])
		complain("out of order", moment, server.newest[series]);
	server.newest[series] = moment;
}

/* Takes all points, but one in `fail_one_in`. *ret_named: the reply that names those; to be freed.
 */
static void take_body(const char *body, size_t len, unsigned fail_one_in, char **ret_named)
{
	_cleanup_json_ json_t *errors = json_array();
	size_t room = 4 << 20;
	_cleanup_free_ char *text = malloc(room);
	z_stream stream = {.next_in = (Bytef *)body, .avail_in = (uInt)len};
	const json_t *point;
	size_t i;

	if (!text || inflateInit2(&stream, 31) != Z_OK)
		abort();
	stream.next_out = (Bytef *)text;
	stream.avail_out = (uInt)room;
	bool whole = inflate(&stream, Z_FINISH) == Z_STREAM_END;
	inflateEnd(&stream);
	_cleanup_json_ json_t *points = whole ? json_loadb(text, stream.total_out, 0, NULL) : NULL;
	if (!json_array_size(points) || len > TSDB_BODY_MAX)
		return complain("not a body", (long)len, whole);
	json_array_foreach(points, i, point) {
		take_point(point);
	}
}

static const char *const replies[FAULTS] = {
	[NONE] = "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
	[BUSY] = "HTTP/1.1 503 x\r\nContent-Length: 4\r\n\r\nbusy",
	[THROTTLE] = "HTTP/1.1 429 x\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n",
	[HALF] = "HTTP/1.1 204 No Con",
	[GARBAGE] = "\x16\x03\x01 what is this\r\n\r\n",
	[SLOW] = "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
	[SOME_FAIL] =
		"HTTP/1.1 400 x\r\nContent-Length: 28\r\n\r\n{\"error\":{\"message\":\"some\"}}",
};
static const char page[] = "HTTP/1.1 400 x\r\nContent-Length: 14\r\n\r\n<html>x</html>";

static ssize_t receive(int fd, char *buffer, size_t size)
{
	struct pollfd poll_fd = {fd, POLLIN, 0};

	/* A pusher that was killed in the middle shall not keep the next one waiting. */
	return poll(&poll_fd, 1, 20000) == 1 ? recv(fd, buffer, size, 0) : -1;
}

/* Any, but those that have not been yet first: a slow machine comes to some 60 in all. */
static enum fault next_fault(void)
{
	enum fault fault = (enum fault)(1 + next_random() % (FAULTS - 1));

	for (int i = 1; i < FAULTS && server.faults[fault]; i++)
		fault = server.faults[i] ? fault : (enum fault)i;
	return fault;
}

static void serve_connection(int fd)
{
	static char buffer[65536];
	size_t have = 0;

	for (;;) {
		enum fault fault = server.kind || next_random() % 100 >= 45 ? NONE : next_fault();
		char *end;

		if (fault == CLOSE_FIRST) {
			server.faults[fault]++;
			return;
		}
		while (!(end = memmem(buffer, have, "\r\n\r\n", 4))) {
			ssize_t n = receive(fd, buffer + have, sizeof(buffer) - have);
			if (n <= 0)
				return;
			have += (size_t)n;
		}
		*end = '\0';
		bool put = !strncmp(buffer, "POST /api/put", 13);
		char *length = strcasestr(buffer, "\r\nContent-Length: ");
		size_t need = length ? strtoul(length + 18, NULL, 10) : 0;
		size_t head = (size_t)(end + 4 - buffer);
		while (have < head + need) {
			ssize_t n = have < sizeof(buffer)
					    ? receive(fd, buffer + have, sizeof(buffer) - have)
					    : -1;
			if (n <= 0)
				return;
			have += (size_t)n;
		}
		have = 0;
		server.faults[fault]++;
		server.puts += put;

		_cleanup_free_ char *named = NULL;
		const char *reply = replies[fault];
		bool details = put && strstr(buffer, "?details");
		if (put && reply != replies[BUSY] && reply != replies[THROTTLE] &&
		    fault != CLOSE_AFTER) {
			if (need > server.body_max) {
				server.too_large++;
				reply = page;
			} else {
				take_body(buffer + head, need, fault == SOME_FAIL ? 6 : 0,
					  details ? &named : NULL);
			}
		}
		if (named && (fault == NONE || fault == SOME_FAIL))
			reply = named;
		if (fault == SLOW)
			/* Some of them after the pusher has given up. */
			usleep(next_random() % 4 ? 30000 : 400000);
		if (!reply || send(fd, reply, strlen(reply), MSG_NOSIGNAL) < 0 || fault == HALF ||
		    fault == GARBAGE)
			return;
	}
}

static void *run_server(void *arg)
{
	for (;;) {
		int fd = accept(server.fd, NULL, NULL);
		if (fd < 0)
			return NULL;
		serve_connection(fd);
		close(fd);
	}
}

static char top[64];

static void stop_server(void)
{
	if (server.fd < 0)
		return;
	shutdown(server.fd, SHUT_RDWR);
	pthread_join(server.thread, NULL);
	close(server.fd);
	server.fd = -1;
}

static void clean_up(void *arg)
{
	char command[128];

	stop_server();
	for (int s = 0; s < SERIES; s++)
		free(server.arrived[s]);
	snprintf(command, sizeof(command), "rm -rf '%s'", top);
	if (system(command))
		fprintf(stderr, "%s is left\n", top);
}

static void start_server(uint64_t seed, size_t body_max)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);

	memset(&server, 0, sizeof(server));
	server.random = seed | 1;
	server.body_max = body_max;
	for (int s = 0; s < SERIES; s++) {
		server.arrived[s] = calloc(MOMENTS_MAX, sizeof(bool));
		server.newest[s] = -1;
		CHECK(server.arrived[s]);
	}
	server.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(server.fd >= 0);
	CHECK_INT(bind(server.fd, (struct sockaddr *)&address, len), 0);
	CHECK_INT(listen(server.fd, 64), 0);
	CHECK_INT(getsockname(server.fd, (struct sockaddr *)&address, &len), 0);
	snprintf(server.url, sizeof(server.url), "http://127.0.0.1:%d", ntohs(address.sin_port));
	CHECK_INT(pthread_create(&server.thread, NULL, run_server, NULL), 0);
	strcpy(top, "/tmp/ebb-faults-XXXXXX");
	test_at_end(clean_up, NULL);
	CHECK(mkdtemp(top));
}

/* --- Both
 * -------------------------------------------------------------------------------------------- */

static pid_t start_pusher(int first, bool drain, int *ret_fd)
{
	char spool[96], number[16];
	int pipes[2];

	snprintf(spool, sizeof(spool), "%s/spool", top);
	snprintf(number, sizeof(number), "%d", first);
	CHECK_INT(pipe(pipes), 0);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		/* Nothing between fork and exec that another thread may hold a lock of. */
		dup2(pipes[1], STDOUT_FILENO);
		close(pipes[0]);
		close(pipes[1]);
		execl("/proc/self/exe", "pusher", "--pusher", server.url, spool, number,
		      drain ? "drain" : "push", (char *)NULL);
		_exit(127);
	}
	close(pipes[1]);
	*ret_fd = pipes[0];
	return pid;
}

static void check_kills(size_t body_max)
{
	uint64_t seed = test_seed(1);
	int next = 0, fd, status;
	unsigned rounds = 0;
	pid_t pid;

	fflush(stdout);
	start_server(seed, body_max);
	srandom((unsigned)seed);
	while (rounds++ < KILLS) {
		uint64_t end = now_ns() + (uint64_t)(20 + random() % 400) * EBB_NS_PER_MS;
		int moment;

		pid = start_pusher(next, false, &fd);
		/* Up to the kill, and then what was in the pipe already. */
		for (uint64_t now; (now = now_ns()) < end;) {
			struct pollfd poll_fd = {fd, POLLIN, 0};

			if (poll(&poll_fd, 1, (int)((end - now) / EBB_NS_PER_MS) + 1) == 1) {
				if (read(fd, &moment, sizeof(moment)) != sizeof(moment))
					TEST_FAIL("the pusher has ended");
				next = moment + 1;
			}
		}
		kill(pid, SIGKILL);
		while (read(fd, &moment, sizeof(moment)) == sizeof(moment))
			next = moment + 1;
		CHECK_INT(waitpid(pid, &status, 0), pid);
		CHECK(WIFSIGNALED(status));
		close(fd);
	}
	CHECK(next > 100);
	server.kind = true;
	pid = start_pusher(next, true, &fd);
	CHECK_INT(waitpid(pid, &status, 0), pid);
	close(fd);
	CHECK(WIFEXITED(status));
	CHECK_INT(WEXITSTATUS(status), 0);
	stop_server();

	if (*server.wrong)
		TEST_FAIL("%s", server.wrong);
	for (int s = 0; s < SERIES; s++)
		for (int m = 0; m < next; m++)
			if (!server.arrived[s][m])
				TEST_FAIL("moment %d of %d, series %d never arrived", m, next, s);
	/* Otherwise it was not this test that ran. */
	CHECK((server.too_large > 0) == (body_max < TSDB_BODY_MAX));
	for (int fault = BUSY; fault < FAULTS; fault++)
		CHECK(server.faults[fault] > 0);
	printf("%d moments of %d series, %u kills, %u puts, %lu points more than once\n", next,
	       SERIES, KILLS, server.puts, server.again);
}

TEST(what_was_flushed_arrives_in_order_and_nothing_else)
{
	check_kills(TSDB_BODY_MAX);
}

TEST(the_same_where_bodies_are_too_large)
{
	check_kills(300);
}

int main(int argc, char **argv)
{
	if (argc == 6 && !strcmp(argv[1], "--pusher"))
		return run_pusher(argv[2], argv[3], atoi(argv[4]), !strcmp(argv[5], "drain"));
	return test_main(argc, argv);
}
