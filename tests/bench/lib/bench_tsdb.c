/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Points through the pusher: encoded, compressed, put into the spool and posted to a server in a
 * process of its own that only counts bytes and says 204. CPU time is the pusher's, all threads.
 *   bench_tsdb [POINTS [URL]]     default: 3,000,000; URL: a server of yours instead
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/loop.h"
#include "ebb/tsdb.h"
#include "tsdb_body.h"
#include "tsdb_spool.h"

#define PROCESSES   1000
#define CONTAINERS  40
#define BATCH_TURNS 10 /* moments in one batch: 60,000 points */

static const char *const metrics[] = {"proc.cpu.user",      "proc.cpu.kernel",
				      "proc.mem.resident",  "proc.mem.virtual",
				      "proc.disk.reads.mb", "proc.disk.writes.mb"};
#define N_METRICS ARRAY_SIZE(metrics)

/* --- A server --------------------------------------------------------------------------------- */

static void serve_connection(int fd)
{
	static const char reply[] = "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n";
	char buffer[65536];
	size_t have = 0;

	for (;;) {
		char *end;
		while (!(end = memmem(buffer, have, "\r\n\r\n", 4))) {
			ssize_t n = recv(fd, buffer + have, sizeof(buffer) - have - 1, 0);
			if (n <= 0)
				return;
			have += n;
		}
		*end = '\0';
		char *length = strcasestr(buffer, "\r\nContent-Length: ");
		size_t need = length ? strtoul(length + 18, NULL, 10) : 0;
		size_t head = end + 4 - buffer, got = have - head;
		while (got < need) {
			ssize_t n = recv(fd, buffer, MIN(sizeof(buffer), need - got), 0);
			if (n <= 0)
				return;
			got += n;
		}
		have = 0;
		if (send(fd, reply, sizeof(reply) - 1, MSG_NOSIGNAL) < 0)
			return;
	}
}

static pid_t start_server(int fd)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		int connection = accept(fd, NULL, NULL), one = 1;
		if (connection < 0)
			_exit(1);
		setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		serve_connection(connection);
		close(connection);
	}
}

static int listen_free(char *url, size_t size)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) < 0 || listen(fd, 8) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &len) < 0)
		return -errno;
	snprintf(url, size, "http://127.0.0.1:%d", ntohs(address.sin_port));
	return fd;
}

/* --- Points
 * --------------------------------------------------------------------------------------- */

/* Tags of the processes, as an agent keeps them between the intervals. */
struct site {
	char tags[PROCESSES][128];
	double idle; /* share of processes that do nothing */
	uint64_t random;
};

static uint64_t next_random(struct site *site)
{
	site->random ^= site->random >> 12;
	site->random ^= site->random << 25;
	site->random ^= site->random >> 27;
	return site->random * 0x2545f4914f6cdd1dULL;
}

static double next_value(struct site *site, int metric, bool idle)
{
	uint64_t random = next_random(site) >> 32;

	/* Memory is always there; the rest is 0 where nothing happens. */
	if (metric == 2 || metric == 3)
		return (double)(random % 1000000) / 100.0;
	return idle ? 0 : (double)(random % 20000) / 100.0;
}

static void init_site(struct site *site, double idle)
{
	site->idle = idle;
	site->random = 20260101;
	for (int p = 0; p < PROCESSES; p++) {
		char host[32], pid[32], command[32];
		struct tsdb_tag tags[] = {{"host", host}, {"pid", pid}, {"command", command}};

		snprintf(host, sizeof(host), "container-%d", p * CONTAINERS / PROCESSES);
		snprintf(pid, sizeof(pid), "%d", 1000 + p * 37);
		snprintf(command, sizeof(command), "worker-%d", p % 17);
		if (tsdb_tags_encode(tags, 3, site->tags[p], sizeof(site->tags[p])) < 0)
			abort();
	}
}

static struct tsdb_batch *make_batch(struct site *site, int64_t start, int turns)
{
	struct tsdb_batch *batch = tsdb_batch_new();

	for (int turn = 0; turn < turns; turn++)
		for (int p = 0; p < PROCESSES; p++) {
			bool idle = (double)(next_random(site) >> 40) < site->idle * (1 << 24);
			for (int i = 0; i < (int)N_METRICS; i++)
				if (tsdb_batch_add_encoded(batch, metrics[i], start + turn * 5,
							   next_value(site, i, idle),
							   site->tags[p]) < 0)
					abort();
		}
	return batch;
}

/* --- Measuring
 * ------------------------------------------------------------------------------------ */

static double clock_s(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double cpu_s(void)
{
	return clock_s(CLOCK_PROCESS_CPUTIME_ID);
}

static void measure_encoding(struct site *site)
{
	struct tsdb_batch *batch;
	double begin = cpu_s(), took;
	volatile double sum = 0;
	size_t n = 0;

	for (int i = 0; i < 20; i++) {
		batch = make_batch(site, 1795000000, BATCH_TURNS);
		n += tsdb_batch_count(batch);
		tsdb_batch_free(batch);
	}
	took = cpu_s() - begin;
	/* The values' own cost is not the encoder's. */
	begin = cpu_s();
	for (size_t i = 0; i < n; i++)
		sum += next_value(site, (int)(i % N_METRICS), false);
	took -= cpu_s() - begin;
	printf("encode:                 %.3f us a point\n", took * 1e6 / (double)n);
}

static void measure_level(const struct tsdb_batch *batch, int level)
{
	uint8_t body[TSDB_BODY_ROOM_MIN];
	struct tsdb_encoder *encoder;
	size_t bytes = 0, points = 0, bodies = 0;
	double begin;

	if (tsdb_encoder_new(level, &encoder) < 0)
		abort();
	begin = cpu_s();
	for (int i = 0; i < 5; i++)
		for (size_t from = 0; from < batch->n;) {
			size_t len;
			int n = tsdb_encoder_build(encoder, batch, from, TSDB_BODY_MAX, body,
						   sizeof(body), &len);
			if (n < 0)
				abort();
			from += (size_t)n;
			points += (size_t)n;
			bytes += len;
			bodies++;
		}
	double took = cpu_s() - begin;
	printf("gzip level %d:           %.3f us a point, %.2f bytes a point, %.0f points and %.0f "
	       "bytes a body, %lu of %zu bodies compressed in vain\n",
	       level, took * 1e6 / (double)points, (double)bytes / (double)points,
	       (double)points / (double)bodies, (double)bytes / (double)bodies,
	       tsdb_encoder_retries(encoder), bodies);
	tsdb_encoder_free(encoder);
}

static void measure_spool(const struct tsdb_batch *batch, const char *dir)
{
	struct tsdb_spool *spool;
	struct tsdb_encoder *encoder;
	struct tsdb_record record;
	uint8_t *records = malloc(4 << 20), *body = NULL;
	size_t len = 0, room = 0;

	if (!records || tsdb_spool_open(dir, 64 << 20, &spool) < 0 ||
	    tsdb_encoder_new(0, &encoder) < 0)
		abort();
	for (size_t from = 0; from < batch->n;) {
		size_t body_len;
		int n = tsdb_encoder_build(encoder, batch, from, TSDB_BODY_MAX,
					   records + len + TSDB_RECORD_HEADER, TSDB_BODY_ROOM_MIN,
					   &body_len);
		record = (struct tsdb_record){.len = (uint32_t)body_len, .points = (uint32_t)n};
		tsdb_record_write(&record, records + len);
		len += TSDB_RECORD_HEADER + body_len;
		from += (size_t)n;
	}
	double begin = cpu_s(), wall = clock_s(CLOCK_MONOTONIC);
	for (int i = 0; i < 20; i++)
		if (tsdb_spool_append(spool, records, len) < 0)
			abort();
	double appended = cpu_s(), waited = clock_s(CLOCK_MONOTONIC);
	while (tsdb_spool_peek(spool, &body, &room, &record) == 1)
		tsdb_spool_taken(spool, record.seq);
	double taken = cpu_s(), points = 20.0 * (double)batch->n;
	printf("spool:                  %.4f us a point to append (with its flush %.1f ms a batch of "
	       "%zu points), %.4f us to take\n",
	       (appended - begin) * 1e6 / points, (waited - wall) * 1e3 / 20, batch->n,
	       (taken - appended) * 1e6 / points);
	tsdb_encoder_free(encoder);
	tsdb_spool_close(spool);
	free(records);
	free(body);
}

static void wait_until_empty(struct tsdb *tsdb, struct tsdb_stats *stats)
{
	if (tsdb_flush(tsdb) < 0)
		fprintf(stderr, "the spool refused points\n");
	do {
		usleep(1000);
		tsdb_get_stats(tsdb, stats);
	} while (stats->waiting_points);
}

static int submit_all(struct site *site, struct tsdb *tsdb, size_t points)
{
	size_t each = PROCESSES * N_METRICS * BATCH_TURNS;

	for (size_t at = 0; at < points; at += each) {
		struct tsdb_batch *batch =
			make_batch(site, 1795000000 + (int64_t)(at / each) * 50, BATCH_TURNS);
		struct tsdb_stats stats;
		if (tsdb_submit(tsdb, batch) < 0)
			return -ENOBUFS;
		/* Not more than the queue takes. */
		for (tsdb_get_stats(tsdb, &stats); stats.waiting_bytes > (20u << 20);
		     tsdb_get_stats(tsdb, &stats))
			usleep(1000);
	}
	return 0;
}

static int measure_whole(struct site *site, const char *title, const char *url, const char *spool,
			 size_t points)
{
	struct tsdb_options options = {.url = url, .spool = spool};
	struct tsdb_stats stats;
	struct tsdb *tsdb;
	int r = tsdb_new(&options, &tsdb);

	if (r < 0)
		return r;
	double begin = cpu_s(), wall = clock_s(CLOCK_MONOTONIC);
	r = submit_all(site, tsdb, points);
	wait_until_empty(tsdb, &stats);
	double cpu = cpu_s() - begin, took = clock_s(CLOCK_MONOTONIC) - wall;
	printf("%-23s %.0f points/s per core (%.3f us CPU a point), %.0f points/s on the clock, "
	       "%lu bodies, %lu points taken, %lu lost, %lu failures\n",
	       title, (double)stats.points / cpu, cpu * 1e6 / (double)stats.points,
	       (double)stats.points / took, stats.bodies, stats.points, stats.dropped,
	       stats.failures);
	tsdb_free(tsdb);
	return r;
}

/* Points that were left behind by a server away are sent once it is there. */
static int measure_backlog(struct site *site, const char *url, const char *spool, size_t points)
{
	struct tsdb_options options = {.url = "http://127.0.0.1:1", .spool = spool};
	struct tsdb_stats stats;
	struct tsdb *tsdb;
	int r = tsdb_new(&options, &tsdb);

	if (r < 0)
		return r;
	for (size_t at = 0; r == 0 && at < points; at += PROCESSES * N_METRICS * BATCH_TURNS) {
		r = tsdb_submit(tsdb, make_batch(site, 1795000000 + (int64_t)at, BATCH_TURNS));
		tsdb_flush(tsdb);
	}
	tsdb_get_stats(tsdb, &stats);
	uint64_t waiting = stats.waiting_points, bytes = stats.waiting_bytes;
	tsdb_free(tsdb);

	options.url = url;
	double wall = clock_s(CLOCK_MONOTONIC), begin = cpu_s();
	r = tsdb_new(&options, &tsdb);
	if (r < 0)
		return r;
	double opened = clock_s(CLOCK_MONOTONIC) - wall;
	wait_until_empty(tsdb, &stats);
	double took = clock_s(CLOCK_MONOTONIC) - wall;
	printf("backlog after a restart: %lu of %llu points (%.1f MB) in %.2f s: %.0f points/s on "
	       "the clock, %.3f us CPU a point; opening took %.1f ms\n",
	       stats.points, (unsigned long long)waiting, (double)bytes / 1e6, took,
	       (double)stats.points / took, (cpu_s() - begin) * 1e6 / (double)stats.points,
	       opened * 1e3);
	tsdb_free(tsdb);
	return 0;
}

int main(int argc, char **argv)
{
	size_t points = argc > 1 ? strtoul(argv[1], NULL, 10) : 3000000;
	char dir[] = "/tmp/ebb-bench-XXXXXX", spool[64], command[96], url[64];
	struct site *site = calloc(1, sizeof(*site));
	int fd = listen_free(url, sizeof(url)), r;
	pid_t server;

	if (!site || fd < 0 || !mkdtemp(dir)) {
		perror("bench_tsdb");
		return 1;
	}
	server = start_server(fd);
	if (argc > 2)
		snprintf(url, sizeof(url), "%s", argv[2]);
	snprintf(spool, sizeof(spool), "%s/spool", dir);

	printf("%d processes in %d containers, %zu metrics each, tags host, pid, command\n",
	       PROCESSES, CONTAINERS, N_METRICS);
	init_site(site, 0);
	measure_encoding(site);
	struct tsdb_batch *busy = make_batch(site, 1795000000, BATCH_TURNS);
	printf("text:                   %.0f bytes a point\n", (double)busy->len / (double)busy->n);
	for (int level = 1; level <= 6; level++)
		measure_level(busy, level);
	measure_spool(busy, spool);
	tsdb_batch_free(busy);
	r = measure_whole(site, "all of them busy:", url, spool, points);
	if (r == 0)
		r = measure_whole(site, "  without a spool:", url, NULL, points);
	init_site(site, 0.8);
	if (r == 0)
		r = measure_whole(site, "80% of them idle:", url, spool, points);
	if (r == 0)
		r = measure_backlog(site, url, spool, points);

	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	if (system(command))
		fprintf(stderr, "%s is left\n", dir);
	free(site);
	if (r < 0)
		fprintf(stderr, "bench_tsdb: %s\n", strerror(-r));
	return r < 0;
}
