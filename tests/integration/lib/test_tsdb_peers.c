/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes through the pusher is read back from real servers, and from the strict double.
 * Beside others.
 */
#include <errno.h>
#include <jansson.h>
#include <time.h>

#include "ebb/cleanup.h"
#include "ebb/loop.h"
#include "ebb/tsdb.h"
#include "ebb/units.h"
#include "peers/peers.h"

static struct peer peer;
static struct tsdb *tsdb;
static char spool[64];

static void end_tsdb(void *arg)
{
	char command[128];

	tsdb_free(tsdb);
	tsdb = NULL;
	if (*spool) {
		snprintf(command, sizeof(command), "rm -rf '%s'", spool);
		if (system(command))
			fprintf(stderr, "%s is left\n", spool);
		*spool = '\0';
	}
}

static void start_tsdb(const char *url, bool on_disk)
{
	struct tsdb_options options = {.url = url, .timeout_ms = 20000};

	test_at_end(end_tsdb, NULL);
	if (on_disk) {
		strcpy(spool, "/tmp/ebb-spool-XXXXXX");
		CHECK(mkdtemp(spool));
		options.spool = spool;
	}
	CHECK_INT(tsdb_new(&options, &tsdb), 0);
}

static struct tsdb_stats stats_now(void)
{
	struct tsdb_stats stats;

	tsdb_get_stats(tsdb, &stats);
	return stats;
}

static struct tsdb_stats wait_until_empty(void)
{
	uint64_t end = now_ns() + 60 * EBB_NS_PER_SEC;

	CHECK_INT(tsdb_flush(tsdb), 0);
	while (stats_now().waiting_points && now_ns() < end)
		usleep(5000);
	CHECK_INT(stats_now().waiting_points, 0);
	return stats_now();
}

static void wait_for_failures(unsigned long n)
{
	uint64_t end = now_ns() + 60 * EBB_NS_PER_SEC;

	while (stats_now().failures < n && now_ns() < end)
		usleep(5000);
	CHECK(stats_now().failures >= n);
}

static const char *const metrics[] = {"proc.cpu.user",      "proc.cpu.kernel",
				      "proc.mem.resident",  "proc.mem.virtual",
				      "proc.disk.reads.mb", "proc.disk.writes.mb"};

/* Different for each container, metric and moment; with 0, 1 and 2 decimals, and negative. */
static double value_of(int container, int metric, int64_t timestamp)
{
	return ((container * 7919 + metric * 104729 + (int)(timestamp % 100000) * 31) % 2000003 -
		1000) /
	       100.0;
}

static void submit(int containers, int64_t start, int moments)
{
	for (int m = 0; m < moments; m++) {
		struct tsdb_batch *batch = tsdb_batch_new();

		for (int c = 0; c < containers; c++) {
			char name[32], tags[TSDB_TAGS_TEXT];
			struct tsdb_tag tag = {"host", name};

			snprintf(name, sizeof(name), "c%d", c);
			CHECK_INT(tsdb_tags_encode(&tag, 1, tags, sizeof(tags)), 0);
			for (int i = 0; i < (int)ARRAY_SIZE(metrics); i++)
				CHECK_INT(tsdb_batch_add_encoded(batch, metrics[i], start + m * 5,
								 value_of(c, i, start + m * 5),
								 tags),
					  0);
		}
		CHECK_INT(tsdb_submit(tsdb, batch), 0);
	}
}

static json_t *get_json(const char *address, const char *path)
{
	struct http_result result;

	peer_call(address, NULL, "GET", path, NULL, &result);
	CHECK_INT(result.status, 200);
	json_t *json = json_loads(result.body, 0, NULL);
	http_result_clear(&result);
	CHECK(json);
	return json;
}

static int find_metric(const char *name)
{
	for (size_t i = 0; name && i < ARRAY_SIZE(metrics); i++)
		if (!strcmp(metrics[i], name))
			return (int)i;
	TEST_FAIL("metric \"%s\" was never sent", name ? name : "(none)");
	return -1;
}

#define CONTAINERS 200
#define MOMENTS    4

TEST(victoria_gives_back_every_number)
{
	int64_t start = time(NULL) / 5 * 5 - 100;
	struct http_result result;
	size_t points = 0;

	peer_start(&peer, "victoria", NULL);
	start_tsdb(peer.address, true);
	submit(CONTAINERS, start, MOMENTS);
	struct tsdb_stats stats = wait_until_empty();
	CHECK_INT(stats.points, CONTAINERS * MOMENTS * ARRAY_SIZE(metrics));
	CHECK_INT(stats.failures + stats.rejected + stats.dropped, 0);
	CHECK(stats.bodies >= MOMENTS && stats.reachable);

	peer_call(peer.health, NULL, "GET", "/internal/force_flush", NULL, &result);
	http_result_clear(&result);
	/* {host!=""} */
	peer_call(peer.health, NULL, "GET", "/api/v1/export?match%5B%5D=%7Bhost!%3D%22%22%7D", NULL,
		  &result);
	CHECK_INT(result.status, 200);
	for (char *save = NULL, *line = strtok_r(result.body, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		_cleanup_json_ json_t *series = json_loads(line, 0, NULL);
		const json_t *labels = json_object_get(series, "metric");
		const json_t *values = json_object_get(series, "values");
		const char *host = json_string_value(json_object_get(labels, "host"));
		int i = find_metric(json_string_value(json_object_get(labels, "__name__")));

		CHECK(host);
		CHECK_INT(json_array_size(values), MOMENTS);
		for (int m = 0; m < MOMENTS; m++) {
			CHECK_INT(json_integer_value(
					  json_array_get(json_object_get(series, "timestamps"), m)),
				  (start + m * 5) * 1000);
			CHECK_NEAR(json_number_value(json_array_get(values, m)),
				   value_of(atoi(host + 1), i, start + m * 5), 1e-9);
			points++;
		}
	}
	http_result_clear(&result);
	CHECK_INT(points, CONTAINERS * MOMENTS * ARRAY_SIZE(metrics));
}

TEST(influx_gives_back_every_number)
{
	int64_t start = time(NULL) / 5 * 5 - 100;
	size_t points = 0;

	peer_start(&peer, "influx", NULL);
	start_tsdb(peer.address, true);
	submit(CONTAINERS, start, MOMENTS);
	CHECK_INT(wait_until_empty().points, CONTAINERS * MOMENTS * ARRAY_SIZE(metrics));
	CHECK_INT(stats_now().rejected + stats_now().failures, 0);

	/* The server writes what it took to its database a second later. */
	uint64_t end = now_ns() + 30 * EBB_NS_PER_SEC;
	for (size_t i = 0; i < ARRAY_SIZE(metrics); i++) {
		char path[256];
		_cleanup_json_ json_t *answer = NULL;
		json_t *all = NULL, *series;
		size_t at, n = 0;

		snprintf(path, sizeof(path),
			 "/query?db=opentsdb&epoch=s&q=SELECT+value+FROM+%%22%s%%22+GROUP+BY+host",
			 metrics[i]);
		do {
			json_decref(answer);
			answer = get_json(peer.health, path);
			all = json_object_get(json_array_get(json_object_get(answer, "results"), 0),
					      "series");
			n = 0;
			json_array_foreach(all, at, series) {
				n += json_array_size(json_object_get(series, "values"));
			}
			if (n < CONTAINERS * MOMENTS)
				usleep(50000);
		} while (n < CONTAINERS * MOMENTS && now_ns() < end);
		json_array_foreach(all, at, series) {
			const char *host = json_string_value(
				json_object_get(json_object_get(series, "tags"), "host"));
			const json_t *values = json_object_get(series, "values");

			CHECK(host);
			CHECK_INT(json_array_size(values), MOMENTS);
			for (int m = 0; m < MOMENTS; m++) {
				const json_t *pair = json_array_get(values, m);

				CHECK_INT(json_integer_value(json_array_get(pair, 0)),
					  start + m * 5);
				CHECK_NEAR(json_number_value(json_array_get(pair, 1)),
					   value_of(atoi(host + 1), (int)i, start + m * 5), 1e-9);
				points++;
			}
		}
	}
	CHECK_INT(points, CONTAINERS * MOMENTS * ARRAY_SIZE(metrics));
}

/* --- The double
 * ----------------------------------------------------------------------------------- */

static json_int_t counter(const char *name)
{
	_cleanup_json_ json_t *answer = get_json(peer.address, "/control");

	return json_integer_value(json_object_get(json_object_get(answer, "counters"), name));
}

static json_int_t status_count(const char *status)
{
	_cleanup_json_ json_t *answer = get_json(peer.address, "/control");
	const json_t *statuses = json_object_get(json_object_get(answer, "counters"), "statuses");

	return json_integer_value(json_object_get(statuses, status));
}

/* Every point of the batch is stored with its value; how many are stored in all. */
static size_t check_stored(int containers, int64_t start, int moments)
{
	_cleanup_json_ json_t *points = get_json(peer.address, "/control/points");
	bool *seen = calloc((size_t)containers * moments * ARRAY_SIZE(metrics), sizeof(*seen));
	const json_t *point;
	size_t at;

	CHECK(seen);
	json_array_foreach(points, at, point) {
		const char *host =
			json_string_value(json_object_get(json_object_get(point, "tags"), "host"));
		int i = find_metric(json_string_value(json_object_get(point, "metric")));
		int m = (int)(json_integer_value(json_object_get(point, "timestamp")) - start) / 5;
		const json_t *value = json_object_get(point, "value");

		CHECK(host && m >= 0 && m < moments && atoi(host + 1) < containers);
		CHECK_NEAR(json_is_string(value) ? atof(json_string_value(value))
						 : json_number_value(value),
			   value_of(atoi(host + 1), i, start + m * 5), 1e-9);
		seen[(atoi(host + 1) * moments + m) * ARRAY_SIZE(metrics) + i] = true;
	}
	size_t n = 0;
	for (size_t i = 0; i < (size_t)containers * moments * ARRAY_SIZE(metrics); i++)
		n += seen[i];
	free(seen);
	return n;
}

static const int64_t moment0 = 1795000000;

TEST(strict_server_takes_all_in_few_bodies_on_one_connection)
{
	peer_start(&peer, "opentsdb_double", NULL);
	json_int_t before = counter("connections");
	start_tsdb(peer.address, false);
	submit(400, moment0, 3);
	struct tsdb_stats stats = wait_until_empty();
	CHECK_INT(stats.points, 7200);
	CHECK_INT(stats.failures, 0);
	CHECK_INT(check_stored(400, moment0, 3), 7200);
	CHECK_INT(counter("gzip_bodies"), counter("bodies"));
	CHECK_INT(counter("bodies"), (json_int_t)stats.bodies);
	CHECK(counter("largest_body") <= TSDB_BODY_MAX);
	/* Filled: not a body for each handful of points. */
	CHECK(counter("largest_body") > TSDB_BODY_MAX * 7 / 10);
	/* One for the pusher; the others are the test's own questions. */
	CHECK(counter("connections") - before <= 10);
}

TEST(unknown_metrics_and_bad_points_are_counted_and_the_rest_stored)
{
	struct tsdb_tag tag = {"host", "c0"};
	struct tsdb_batch *batch = tsdb_batch_new();

	peer_start(&peer, "opentsdb_double", NULL);
	start_tsdb(peer.address, false);
	submit(20, moment0, 1);
	for (int i = 0; i < 7; i++)
		CHECK_INT(tsdb_batch_add(batch, "no.such.metric", moment0 + i, i, &tag, 1), 0);
	CHECK_INT(tsdb_batch_add(batch, "no.other", moment0, 1, &tag, 1), 0);
	CHECK_INT(tsdb_batch_add(batch, "sys.cpu.usage", moment0, 1, &tag, 1), 0);
	CHECK_INT(tsdb_submit(tsdb, batch), 0);
	struct tsdb_stats stats = wait_until_empty();
	CHECK_INT(stats.rejected, 8);
	CHECK_INT(stats.points, 121);
	CHECK_INT(stats.dropped, 0);
	CHECK(stats.reachable);
}

TEST(points_that_the_storage_could_not_take_come_again_alone)
{
	peer_start(&peer, "opentsdb_double", "throttle=25");
	start_tsdb(peer.address, false);
	submit(50, moment0, 1);
	struct tsdb_stats stats = wait_until_empty();
	CHECK_INT(stats.points, 300);
	CHECK_INT(stats.rejected + stats.dropped, 0);
	CHECK_INT(check_stored(50, moment0, 1), 300);
	/* The good ones came twice at most (for the question which ones failed). */
	CHECK(counter("points") <= 300 + 300 + 25);
}

TEST(smaller_bodies_are_learned_from_an_html_400)
{
	peer_start(&peer, "opentsdb_double", "body_max=3000");
	start_tsdb(peer.address, false);
	submit(400, moment0, 2);
	CHECK_INT(wait_until_empty().points, 4800);
	json_int_t refused = status_count("400");
	CHECK(refused >= 2);
	/* What the first time taught is not forgotten. */
	submit(400, moment0 + 10, 2);
	CHECK_INT(wait_until_empty().points, 9600);
	CHECK_INT(status_count("400"), refused);
	CHECK_INT(check_stored(400, moment0, 4), 9600);
}

TEST(smaller_bodies_are_learned_from_closed_connections)
{
	peer_start(&peer, "opentsdb_double", "body_max=1000 chunked=true max_chunk=3000");
	start_tsdb(peer.address, false);
	submit(400, moment0, 1);
	CHECK_INT(wait_until_empty().points, 2400);
	CHECK_INT(check_stored(400, moment0, 1), 2400);
}

static void check_outage(const char *fail, const char *unit)
{
	peer_start(&peer, "opentsdb_double", NULL);
	peer_control(&peer, fail);
	start_tsdb(peer.address, true);
	submit(50, moment0, 1);
	wait_for_failures(2);
	struct tsdb_stats stats = stats_now();
	CHECK(!stats.reachable);
	CHECK(strstr(stats.last_error, unit));
	CHECK_INT(stats.waiting_points, 300);
	CHECK(stats.oldest_s >= 0);
	peer_control(&peer, "{\"fail\":null}");
	stats = wait_until_empty();
	CHECK_INT(stats.points, 300);
	CHECK_INT(stats.rejected + stats.dropped, 0);
	CHECK(stats.reachable && !*stats.last_error);
	CHECK_INT(check_stored(50, moment0, 1), 300);
}

TEST(outage_503)
{
	check_outage("{\"fail\":503,\"fail_path\":\"/api/put\"}", "503");
}

TEST(outage_429)
{
	check_outage("{\"fail\":429,\"retry_after\":1,\"fail_path\":\"/api/put\"}", "429");
}

TEST(outage_closed)
{
	check_outage("{\"fail\":\"close\",\"fail_path\":\"/api\"}", "127.0.0.1");
}

TEST(outage_reset)
{
	check_outage("{\"fail\":\"reset\",\"fail_path\":\"/api\"}", "127.0.0.1");
}

TEST(outage_lost_replies)
{
	check_outage("{\"fail\":\"lost\",\"fail_path\":\"/api/put\",\"fail_next\":2}", "127.0.0.1");
}

TEST(slow_bytes_are_waited_for)
{
	peer_start(&peer, "opentsdb_double", "slow=true");
	start_tsdb(peer.address, false);
	submit(50, moment0, 1);
	CHECK_INT(wait_until_empty().points, 300);
	CHECK_INT(stats_now().failures, 0);
}

/* What a server holds on to is let go of at the end, and sent by the next run. */
TEST(a_hanging_server_does_not_keep_the_end_waiting)
{
	struct tsdb_options options = {.url = peer.address, .timeout_ms = 60000};

	peer_start(&peer, "opentsdb_double", NULL);
	peer_control(&peer, "{\"fail\":\"hang\",\"fail_path\":\"/api/put\"}");
	start_tsdb(peer.address, true);
	options.spool = spool;
	submit(50, moment0, 2);
	CHECK_INT(tsdb_flush(tsdb), 0);
	uint64_t begin = now_ns();
	tsdb_free(tsdb);
	tsdb = NULL;
	/* 2 s are promised; the put itself may take 20. */
	CHECK(now_ns() - begin < 15 * EBB_NS_PER_SEC);
	peer_control(&peer, "{\"fail\":null}");
	CHECK_INT(tsdb_new(&options, &tsdb), 0);
	CHECK_INT(wait_until_empty().points, 600);
	CHECK_INT(check_stored(50, moment0, 2), 600);
}

TEST(restart_of_the_server)
{
	peer_start(&peer, "opentsdb_double", NULL);
	start_tsdb(peer.address, true);
	submit(50, moment0, 1);
	CHECK_INT(wait_until_empty().points, 300);
	peer_kill(&peer);
	submit(50, moment0 + 5, 2);
	wait_for_failures(1);
	CHECK_INT(stats_now().waiting_points, 600);
	peer_restart(&peer);
	CHECK_INT(wait_until_empty().points, 900);
	/* It forgot the first. */
	CHECK_INT(check_stored(50, moment0 + 5, 2), 600);
}

TEST(user_and_password_of_the_url)
{
	char url[256];

	peer_start(&peer, "opentsdb_double", "auth=ebb:s3cret@x");
	snprintf(url, sizeof(url), "http://ebb:s3cret%%40x@%s", strstr(peer.address, "//") + 2);
	start_tsdb(url, false);
	submit(5, moment0, 1);
	CHECK_INT(wait_until_empty().points, 30);
	end_tsdb(NULL);

	snprintf(url, sizeof(url), "http://ebb:wr0ng@%s", strstr(peer.address, "//") + 2);
	start_tsdb(url, false);
	submit(5, moment0, 1);
	wait_for_failures(1);
	CHECK(strstr(stats_now().last_error, "refuses the user or the password"));
	CHECK(!strstr(stats_now().last_error, "wr0ng"));
	CHECK_INT(stats_now().waiting_points, 30);
}

TEST(https_with_its_ca)
{
	char ca[128];
	struct tsdb_options options = {.url = peer.address, .ca_file = ca};

	peer_start(&peer, "opentsdb_double", "tls=true");
	snprintf(ca, sizeof(ca), "%s/ca.pem", peer.dir);
	test_at_end(end_tsdb, NULL);
	CHECK_INT(tsdb_new(&options, &tsdb), 0);
	submit(5, moment0, 1);
	CHECK_INT(wait_until_empty().points, 30);
	end_tsdb(NULL);
	start_tsdb(peer.address, false);
	submit(5, moment0, 1);
	wait_for_failures(1);
	CHECK(strstr(stats_now().last_error, "--ca-file"));
}

/* --- Names
 * ---------------------------------------------------------------------------------------- */

static int assign(const char *url, const char *const *names, size_t n, char *buffer, size_t size)
{
	struct tsdb_options options = {.url = url, .timeout_ms = 20000};
	_cleanup_file_ FILE *file = tmpfile();

	fflush(stdout);
	int saved = dup(1);
	CHECK(file && saved >= 0 && dup2(fileno(file), 1) == 1);
	int r = tsdb_assign(&options, names, n);
	fflush(stdout);
	dup2(saved, 1);
	close(saved);
	rewind(file);
	buffer[fread(buffer, 1, size - 1, file)] = '\0';
	return r;
}

TEST(names_are_assigned_once)
{
	static const char *const names[] = {"proc.cpu.throttled", "proc.cpu.user", "bad name"};
	char text[512];

	peer_start(&peer, "opentsdb_double", NULL);
	CHECK_INT(assign(peer.address, names, 1, text, sizeof(text)), 0);
	CHECK_STR(text, "proc.cpu.throttled assigned\n");
	CHECK_INT(assign(peer.address, names, 1, text, sizeof(text)), 0);
	CHECK_STR(text, "proc.cpu.throttled exists\n");
	CHECK_INT(assign(peer.address, names, 3, text, sizeof(text)), -EIO);
	CHECK(strstr(text, "proc.cpu.throttled exists\n"));
	CHECK(strstr(text, "bad name error: "));
}

TEST(many_names_go_in_several_bodies)
{
	char text[65536], (*made)[48] = calloc(1000, sizeof(*made));
	const char **names = calloc(1000, sizeof(*names));

	peer_start(&peer, "opentsdb_double", NULL);
	for (int i = 0; i < 1000; i++) {
		snprintf(made[i], sizeof(made[i]), "a.name.that.is.not.short.at.all.%d", i);
		names[i] = made[i];
	}
	CHECK_INT(assign(peer.address, names, 1000, text, sizeof(text)), 0);
	for (int i = 0; i < 1000; i++)
		CHECK(strstr(text, made[i]));
	CHECK(!strstr(text, "error"));
	CHECK(counter("largest_body") <= TSDB_BODY_MAX);
	free(names);
	free(made);
}

TEST(names_where_none_are_needed)
{
	static const char *const names[] = {"proc.cpu.throttled"};
	char text[512];

	peer_start(&peer, "victoria", NULL);
	CHECK_INT(assign(peer.address, names, 1, text, sizeof(text)), -EOPNOTSUPP);
	CHECK_STR(text, "");
	peer_end(&peer);
	peer_start(&peer, "influx", NULL);
	CHECK_INT(assign(peer.address, names, 1, text, sizeof(text)), -EOPNOTSUPP);
	CHECK_INT(assign("http://127.0.0.1:1", names, 1, text, sizeof(text)), -EHOSTUNREACH);
	CHECK_INT(assign("127.0.0.1:1", names, 1, text, sizeof(text)), -EINVAL);
}

TEST_MAIN()
