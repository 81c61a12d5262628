/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The series of the whole controller: an application of two containers that use what is known, read
 * back out of an OpenTSDB (the strict double) and VictoriaMetrics and compared with the documents,
 * number by number.
 */
#include "quoted_json.h"
#include "test.h"

#include <pthread.h>
#include <unistd.h>

#include "controller.h"
#include "model.h"
#include "options.h"
#include "series.h"
#include "store.h"
#include "ebb/cleanup.h"
#include "ebb/http_client.h"
#include "ebb/loop.h"
#include "ebb/tsdb_metrics.h"
#include "peers/peers.h"

static struct peer opentsdb, victoria;
static char dir[64], state[128], address[128];
static struct controller *controller;
static pthread_t running, feeding;
static bool is_running, is_feeding;

static void *run(void *unused)
{
	controller_run(controller);
	return NULL;
}

/* The status; -1: no answer. `ret_body` may be NULL. */
static int call(const char *method, const char *path, const char *body, char **ret_body)
{
	struct http_request_options options = {
		.method = method,
		.address = address,
		.path = path,
		.body = body,
		.body_len = body ? strlen(body) : 0,
		.timeout_ms = 10000,
	};
	struct http_result result;
	int status;

	if (http_call_blocking(&options, &result) < 0)
		return -1;
	status = result.status ? (int)result.status : -1;
	if (ret_body)
		*ret_body = result.body ? strdup(result.body) : NULL;
	http_result_clear(&result);
	return status;
}

static json_t *get(const char *path)
{
	_cleanup_free_ char *body = NULL;
	json_t *json;

	CHECK_INT(call("GET", path, NULL, &body), 200);
	json = json_loads(body, JSON_DECODE_ANY, NULL);
	CHECK(json);
	return json;
}

static void put(const char *path, const char *body)
{
	CHECK_INT(call("PUT", path, body, NULL), 200);
}

/* A number of /metrics; NAN when there is none of that name and labels. */
static double metric(const char *name)
{
	_cleanup_free_ char *body = NULL;
	size_t len = strlen(name);

	CHECK_INT(call("GET", "/metrics", NULL, &body), 200);
	for (char *line = body; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, len) == 0 && line[len] == ' ')
			return atof(line + len + 1);
	}
	return NAN;
}

/* Until it is at least that; with a minus sign, at most. */
static void wait_for_metric(const char *name, double value)
{
	for (int i = 0; i < 600; i++) {
		double now = metric(name);

		if (signbit(value) ? now <= -value : now >= value)
			return;
		usleep(50000);
	}
	TEST_FAIL("%s stays at %g, wait for %g", name, metric(name), value);
}

/* --- a host that feeds --- */

enum { CPU0 = 120, CPU1 = 40, MEM0 = 300, MEM1 = 200 };

/* Usage is exactly the same at all times, so that any mean of it is known. */
static int sample(char *text, size_t size, int c, uint64_t now, int cpu, int mem)
{
	return snprintf(text, size, "[%d,%llu,%llu,0,0,0,%llu,%llu,0,0,%llu,0,0]", c,
			(unsigned long long)now, (unsigned long long)(now / 100 * (uint64_t)cpu),
			(unsigned long long)mem << 20, (unsigned long long)mem << 20,
			(unsigned long long)(now / 1000 * 1024 * 1024 / 1000000));
}

static int feed_once(int seq)
{
	static const char registration[] =
		"\"register\":{\"version\":\"0\",\"address\":\"http://127.0.0.1:1\",\"cpus\":"
		"[0,1,2,3],\"mem\":8589934592,\"topology\":{\"0\":{\"0\":[0,2],\"1\":[1,3]}}},"
		"\"added\":[{\"c\":1,\"name\":\"c0\",\"engine\":\"cgroup\",\"path\":\"x/c0\","
		"\"limits\":{\"cpu\":200,\"cpus\":\"0-3\",\"mem\":512,\"disk_read\":100,"
		"\"disk_write\":30}},{\"c\":2,\"name\":\"c1 b\",\"engine\":\"cgroup\",\"path\":"
		"\"x/c1\",\"limits\":{\"cpu\":50,\"cpus\":\"0-3\",\"mem\":1024}}],";
	char text[4096], c0[256], c1[256];
	uint64_t now = now_ns();

	sample(c0, sizeof(c0), 1, now, CPU0, MEM0);
	sample(c1, sizeof(c1), 2, now, CPU1, MEM1);
	snprintf(text, sizeof(text),
		 "{\"host\":\"h0\",\"session\":\"s\",\"seq\":%d,\"guard_version\":0,\"now\":%llu,"
		 "%s\"samples\":[%s,%s]}",
		 seq, (unsigned long long)now, seq == 1 ? registration : "", c0, c1);
	return call("POST", "/feed", text, NULL);
}

static void *feed(void *unused)
{
	for (int seq = 2; __atomic_load_n(&is_feeding, __ATOMIC_RELAXED); seq++) {
		feed_once(seq);
		usleep(100000);
	}
	return NULL;
}

static void start_feeding(void)
{
	CHECK_INT(feed_once(1), 200);
	is_feeding = true;
	CHECK_INT(pthread_create(&feeding, NULL, feed, NULL), 0);
}

static void stop_feeding(void)
{
	if (!is_feeding)
		return;
	__atomic_store_n(&is_feeding, false, __ATOMIC_RELAXED);
	pthread_join(feeding, NULL);
}

/* --- the controller --- */

static void stop(void)
{
	stop_feeding();
	if (is_running) {
		controller_stop(controller);
		pthread_join(running, NULL);
		is_running = false;
	}
	controller_free(TAKE_PTR(controller));
}

static void clean_up(void *unused)
{
	char command[128];

	stop();
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	if (strncmp(dir, "/tmp/ebb-series-", 16) == 0 && system(command) != 0)
		fprintf(stderr, "%s failed\n", command);
}

static void keep(struct store *store, enum store_db db, const char *id, const char *text)
{
	_cleanup_json_ json_t *doc = parse_text(text);

	CHECK_INT(store_put(store, db, id, doc), 0);
}

/* What an operator of the hierarchy has put into the database. */
static void keep_documents(void)
{
	struct store *store;

	CHECK_INT(store_open(state, NULL, &store), 0);
	CHECK_INT(store_start(store), 0);
	keep(store, DB_STRUCTURES, "app1",
	     "{'type':'structure','subtype':'application','name':'app1','guard':false,'state':"
	     "'running','containers':['c0','c1 b'],'user':'user0','resources':{'cpu':{'max':800,"
	     "'min':20,'guard':false,'weight':1},'mem':{'max':8192,'min':512,'guard':false},"
	     "'disk_read':{'max':500,'min':1},'disk_write':{'max':500,'min':1},'disk':{},"
	     "'energy':{'max':60,'min':10,'guard':false,'current':33}}}");
	keep(store, DB_USERS, "user0",
	     "{'type':'user','subtype':'user','name':'user0','balancing_method':'pair_swapping',"
	     "'clusters':['app1'],'resources':{'energy':{'max':100,'min':20},'cpu':{'max':2000,"
	     "'min':100},'mem':{'max':16384,'min':100}}}");
	/* A document of the original's has only these two. */
	keep(store, DB_SERVICES, "database_snapshoter",
	     "{'name':'database_snapshoter','type':'service','heartbeat':'','config':{'ACTIVE':"
	     "true,'DEBUG':false,'POLLING_FREQUENCY':1}}");
	keep(store, DB_SERVICES, "structures_snapshoter",
	     "{'name':'structures_snapshoter','type':'service','heartbeat':'','config':{'ACTIVE':"
	     "true,'POLLING_FREQUENCY':1,'STRUCTURES_PERSISTED':['application','user'],"
	     "'RESOURCES_PERSISTED':['cpu','mem','disk_read','disk_write','energy']}}");
	keep(store, DB_SERVICES, "refeeder",
	     "{'name':'refeeder','type':'service','heartbeat':'','config':{'ACTIVE':true,"
	     "'WINDOW_TIMELAPSE':2,'WINDOW_DELAY':0,'STRUCTURES_REFEEDED':['application','user'],"
	     "'GENERATED_METRICS':['cpu','mem','disk_write']}}");
	CHECK_INT(store_flush(store), 0);
	store_close(store);
}

static void start(const struct peer *peer, bool spool)
{
	char at[128], url[192];
	struct controller_options options = {
		.listen = "127.0.0.1:0",
		.state = state,
		.threads = 4,
		.opentsdb = peer ? url : NULL,
		.opentsdb_body_max = 8192,
		.spool = spool ? at : NULL,
		.spool_max = 16,
	};

	peer_text(url, sizeof(url), "%s", peer ? peer->address : "");
	peer_text(at, sizeof(at), "%s/spool", dir);
	CHECK_INT(controller_new(&options, &controller), 0);
	snprintf(address, sizeof(address), "http://%s", controller_address(controller));
	CHECK_INT(pthread_create(&running, NULL, run, NULL), 0);
	is_running = true;
}

static void set_up(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	snprintf(dir, sizeof(dir), "/tmp/ebb-series-XXXXXX");
	CHECK(mkdtemp(dir));
	snprintf(state, sizeof(state), "sqlite:%s/state.db", dir);
	test_at_end(clean_up, NULL);
	keep_documents();
}

/* --- what is there, and what should be --- */

/* "METRIC TAG=NAME" -> value */
static void expect(json_t *expected, const char *metric_name, const char *tag, const char *name,
		   double value)
{
	char key[512];

	snprintf(key, sizeof(key), "%s %s=%s", metric_name, tag, name);
	json_object_set_new(expected, key, json_real(value));
}

static void expect_document(json_t *expected, const char *group, const char *tag, const json_t *doc)
{
	static const char *const fields[] = {"max", "min", "current", "usage", "upper", "lower"};
	const char *name = json_string_value(json_object_get(doc, "name")), *resource;
	json_t *object;

	json_object_foreach(json_object_get(doc, "resources"), resource, object)
		for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
			const json_t *value = json_object_get(object, fields[i]);
			char metric_name[128];

			if (!json_is_number(value))
				continue;
			snprintf(metric_name, sizeof(metric_name), "%s.%s.%s", group, resource,
				 fields[i]);
			expect(expected, metric_name, tag,
			       strcmp(name, "c1 b") == 0 ? "c1_space_b" : name,
			       json_number_value(value));
		}
}

/* Everything that the API says of structures and limits, and what is known of the user. */
static json_t *expected_points(void)
{
	_cleanup_json_ json_t *structures = get("/structure/");
	_cleanup_json_ json_t *user = parse(
		"{'name':'user0','resources':{'energy':{'max':100,'min':20},'cpu':{'max':2000,"
		"'min':100,'current':250,'usage':160},'mem':{'max':16384,'min':100,'current':1536,"
		"'usage':500}}}");
	static const char *const limited[] = {"c0", "c1%20b"};
	json_t *expected = json_object(), *doc;
	size_t i;

	CHECK_INT(json_array_size(structures), 4);
	json_array_foreach(structures, i, doc)
		expect_document(expected, "structure", "structure", doc);
	for (i = 0; i < ARRAY_SIZE(limited); i++) {
		char path[64];

		snprintf(path, sizeof(path), "/structure/%s/limits", limited[i]);
		_cleanup_json_ json_t *limits = get(path);
		_cleanup_json_ json_t *of =
			json_pack("{s:s, s:O}", "name", i ? "c1 b" : "c0", "resources", limits);
		expect_document(expected, "limit", "structure", of);
	}
	expect_document(expected, "structure", "user", user);
	expect(expected, "conf.guardian.window_delay", "service", "guardian", 0);
	expect(expected, "conf.guardian.event_timeout", "service", "guardian", 2);
	expect(expected, "conf.guardian.window_timelapse", "service", "guardian", 0.3);
	expect(expected, "conf.scaler.request_timeout", "service", "scaler", 60);
	expect(expected, "conf.scaler.polling_frequency", "service", "scaler", 1);
	return expected;
}

static void compare(const json_t *expected, const json_t *got)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)expected, key, value)
		if (!json_object_get(got, key))
			TEST_FAIL("%s is not there", key);
	json_object_foreach((json_t *)got, key, value) {
		const json_t *want = json_object_get(expected, key);

		if (!want)
			TEST_FAIL("%s is there, and nobody knows why", key);
		if (fabs(json_number_value(value) - json_number_value(want)) > 0.005)
			TEST_FAIL("%s is %g, want %g", key, json_number_value(value),
				  json_number_value(want));
	}
}

static void add_point(json_t *points, const char *metric_name, const json_t *tags, double value)
{
	const char *tag;
	json_t *name;

	CHECK_INT(json_object_size(tags), 1);
	json_object_foreach((json_t *)tags, tag, name)
		expect(points, metric_name, tag, json_string_value(name), value);
}

static json_t *points_of_double(const struct peer *peer)
{
	struct http_result result;
	json_t *points;

	peer_call(peer->address, NULL, "GET", "/control/points", NULL, &result);
	CHECK_INT(result.status, 200);
	points = json_loads(result.body, 0, NULL);
	http_result_clear(&result);
	CHECK(json_is_array(points));
	return points;
}

/* Those of the newest moment. */
static json_t *newest_in_double(const struct peer *peer)
{
	_cleanup_json_ json_t *all = points_of_double(peer);
	json_t *newest = json_object(), *point;
	json_int_t last = 0;
	size_t i;

	json_array_foreach(all, i, point)
		last = MAX(last, json_integer_value(json_object_get(point, "timestamp")));
	json_array_foreach(all, i, point)
		if (json_integer_value(json_object_get(point, "timestamp")) == last)
			add_point(newest, json_string_value(json_object_get(point, "metric")),
				  json_object_get(point, "tags"),
				  json_number_value(json_object_get(point, "value")));
	return newest;
}

static bool is_listed(const char *name)
{
	for (size_t i = 0; i < tsdb_n_metrics; i++)
		if (strcmp(tsdb_metrics[i].name, name) == 0)
			return tsdb_metrics[i].sets & TSDB_SET_STATE;
	return false;
}

/* Until all that was written before has come, with what two periods of everything bring. */
static void wait_until_settled(void)
{
	wait_for_metric("ebb_series_runs_total{service=\"refeeder\"}",
			metric("ebb_series_runs_total{service=\"refeeder\"}") + 2);
	wait_for_metric("ebb_series_runs_total{service=\"structures_snapshoter\"}",
			metric("ebb_series_runs_total{service=\"structures_snapshoter\"}") + 2);
	wait_for_metric("ebb_opentsdb_points_total",
			metric("ebb_series_written_total{service=\"database_snapshoter\"}") + 1);
	wait_for_metric("ebb_opentsdb_waiting_points", -0.0);
}

TEST(series_are_what_the_documents_say)
{
	_cleanup_json_ json_t *app = NULL, *expected = NULL, *got = NULL, *all = NULL;
	json_t *resources, *point;
	size_t i;

	peer_start(&opentsdb, "opentsdb_double", "auto_create=true");
	set_up();
	start(&opentsdb, false);
	start_feeding();
	put("/structure/c0/resources/cpu/max", "{\"value\":300}");
	put("/structure/c0/limits/cpu/boundary", "{\"value\":25}");
	wait_until_settled();

	/* The sums, against what the containers were given and use. */
	app = get("/structure/app1");
	resources = json_object_get(app, "resources");
#define OF_APP(r, f) json_number_value(json_object_get(json_object_get(resources, r), f))
	CHECK_INT(OF_APP("cpu", "current"), 250);
	CHECK_INT(OF_APP("mem", "current"), 1536);
	CHECK_INT(OF_APP("disk_read", "current"), 100);
	CHECK_INT(OF_APP("disk", "current"), 130);
	CHECK_NEAR(OF_APP("cpu", "usage"), CPU0 + CPU1, 0.011);
	CHECK_NEAR(OF_APP("mem", "usage"), MEM0 + MEM1, 0.011);
	CHECK_NEAR(OF_APP("disk_write", "usage"), 2, 0.011);
	CHECK(!json_object_get(json_object_get(resources, "energy"), "current"));
	CHECK(!json_object_get(json_object_get(resources, "energy"), "usage"));
	CHECK(!json_object_get(json_object_get(resources, "disk_read"), "usage"));
	CHECK_STR(json_string_value(json_object_get(app, "state")), "running");

	expected = expected_points();
	got = newest_in_double(&opentsdb);
	compare(expected, got);

	all = points_of_double(&opentsdb);
	json_array_foreach(all, i, point) {
		const char *name = json_string_value(json_object_get(point, "metric"));

		if (!is_listed(name))
			TEST_FAIL("%s is not among the metrics that --print-mkmetric lists", name);
		CHECK_INT(json_integer_value(json_object_get(point, "writes")), 1);
	}
	CHECK_NEAR(metric("ebb_opentsdb_rejected_total"), 0, 0);
	CHECK_NEAR(metric("ebb_opentsdb_reachable"), 1, 0);
	CHECK_NEAR(metric("ebb_series_failures_total{service=\"database_snapshoter\"}"), 0, 0);
	CHECK_NEAR(metric("ebb_series_failures_total{service=\"refeeder\"}"), 0, 0);
}

/* --- VictoriaMetrics --- */

static json_t *newest_in_victoria(const struct peer *peer)
{
	json_t *newest = json_object();
	struct http_result result;
	json_int_t last = 0;

	peer_call(peer->health, NULL, "GET", "/internal/force_flush", NULL, &result);
	http_result_clear(&result);
	peer_call(peer->health, NULL, "GET", "/api/v1/export?match[]=%7B__name__!=%22%22%7D", NULL,
		  &result);
	CHECK_INT(result.status, 200);
	for (int pass = 0; pass < 2; pass++) {
		/* One object a line. */
		for (char *line = result.body; line && *line;) {
			char *end = strchr(line, '\n');
			_cleanup_json_ json_t *series = json_loadb(
				line, end ? (size_t)(end - line) : strlen(line), 0, NULL);
			json_t *tags = json_object_get(series, "metric");
			const json_t *times = json_object_get(series, "timestamps");
			_cleanup_free_ char *name = NULL;
			size_t n = json_array_size(times);
			json_int_t at;

			CHECK(n > 0);
			at = json_integer_value(json_array_get(times, n - 1));
			last = MAX(last, at);
			if (pass == 1 && at == last) {
				name = strdup(json_string_value(json_object_get(tags, "__name__")));
				json_object_del(tags, "__name__");
				add_point(newest, name, tags,
					  json_number_value(json_array_get(
						  json_object_get(series, "values"), n - 1)));
			}
			line = end ? end + 1 : NULL;
		}
	}
	http_result_clear(&result);
	/* It keeps milliseconds. */
	CHECK_INT(last % 1000, 0);
	return newest;
}

TEST(series_in_victoria_metrics)
{
	_cleanup_json_ json_t *expected = NULL, *got = NULL;

	peer_start(&victoria, "victoria", NULL);
	set_up();
	start(&victoria, false);
	start_feeding();
	wait_until_settled();
	put("/service/database_snapshoter/ACTIVE", "{\"value\":false}");
	wait_for_metric("ebb_series_active{service=\"database_snapshoter\"}", -0.0);
	wait_for_metric("ebb_opentsdb_points_total",
			metric("ebb_series_written_total{service=\"database_snapshoter\"}"));
	expected = expected_points();
	got = newest_in_victoria(&victoria);
	compare(expected, got);
}

/* --- switched, refused, away --- */

TEST(series_are_switched_off_and_on)
{
	double runs, points;

	peer_start(&opentsdb, "opentsdb_double", "auto_create=true");
	set_up();
	start(&opentsdb, false);
	wait_for_metric("ebb_opentsdb_points_total", 1);
	put("/service/database_snapshoter/ACTIVE", "{\"value\":false}");
	wait_for_metric("ebb_series_active{service=\"database_snapshoter\"}", -0.0);
	wait_for_metric("ebb_opentsdb_waiting_points", -0.0);
	runs = metric("ebb_series_runs_total{service=\"database_snapshoter\"}");
	points = metric("ebb_opentsdb_points_total");
	/* The others go on: three of their periods. */
	wait_for_metric("ebb_series_runs_total{service=\"structures_snapshoter\"}",
			metric("ebb_series_runs_total{service=\"structures_snapshoter\"}") + 3);
	CHECK_NEAR(metric("ebb_series_runs_total{service=\"database_snapshoter\"}"), runs, 0);
	CHECK_NEAR(metric("ebb_opentsdb_points_total"), points, 0);

	put("/service/database_snapshoter/ACTIVE", "{\"value\":true}");
	wait_for_metric("ebb_series_runs_total{service=\"database_snapshoter\"}", runs + 2);
	wait_for_metric("ebb_opentsdb_points_total", points + 1);

	put("/service/structures_snapshoter/ACTIVE", "{\"value\":\"false\"}");
	wait_for_metric("ebb_series_active{service=\"structures_snapshoter\"}", -0.0);
	runs = metric("ebb_series_runs_total{service=\"structures_snapshoter\"}");
	wait_for_metric("ebb_series_runs_total{service=\"refeeder\"}",
			metric("ebb_series_runs_total{service=\"refeeder\"}") + 2);
	CHECK_NEAR(metric("ebb_series_runs_total{service=\"structures_snapshoter\"}"), runs, 0);
}

TEST(series_heartbeat_and_refused_keys)
{
	static const char *const services[] = {"database_snapshoter", "structures_snapshoter",
					       "refeeder"};

	peer_start(&opentsdb, "opentsdb_double", "auto_create=true");
	set_up();
	start(&opentsdb, false);
	wait_for_metric("ebb_series_runs_total{service=\"refeeder\"}", 1);
	for (size_t i = 0; i < ARRAY_SIZE(services); i++) {
		_cleanup_free_ char *answer = NULL;
		_cleanup_json_ json_t *doc = NULL;
		char path[64];

		snprintf(path, sizeof(path), "/service/%s", services[i]);
		doc = get(path);
		CHECK_NEAR(json_number_value(json_object_get(doc, "heartbeat")), wall_seconds(),
			   60);
		snprintf(path, sizeof(path), "/service/%s/%s", services[i],
			 i == 2 ? "WINDOW_TIMELAPSE" : "POLLING_FREQUENCY");
		CHECK_INT(call("PUT", path, "{\"value\":0.2}", &answer), 400);
		CHECK(strstr(answer, i == 2 ? "WINDOW_TIMELAPSE must be seconds, from 2 to 3600"
					    : "POLLING_FREQUENCY must be seconds, from 1 to 3600"));
	}
	CHECK_INT(call("PUT", "/service/database_snapshoter",
		       "{\"FIELDS_PERSISTED\":[\"free\"],\"POLLING_FREQUENCY\":1.5}", NULL),
		  200);
}

/* Of how many seconds it has points. */
static int seconds_between(const struct peer *peer, json_int_t from, json_int_t to)
{
	_cleanup_json_ json_t *all = points_of_double(peer);
	json_t *point;
	int n = 0;
	size_t i;

	for (json_int_t at = from; at <= to; at++) {
		bool found = false;

		json_array_foreach(all, i, point)
			found |= json_integer_value(json_object_get(point, "timestamp")) == at &&
				 strcmp(json_string_value(json_object_get(point, "metric")),
					"conf.scaler.polling_frequency") == 0;
		n += found;
	}
	return n;
}

TEST(series_wait_while_opentsdb_is_away)
{
	json_int_t from, to;
	double runs;

	peer_start(&opentsdb, "opentsdb_double", "auto_create=true");
	set_up();
	start(&opentsdb, true);
	wait_for_metric("ebb_opentsdb_points_total", 1);
	peer_kill(&opentsdb);
	wait_for_metric("ebb_opentsdb_reachable", -0.0);
	/* A run that began before may be counted only now. */
	from = (json_int_t)wall_seconds() - 1;
	runs = metric("ebb_series_runs_total{service=\"database_snapshoter\"}");
	wait_for_metric("ebb_series_runs_total{service=\"database_snapshoter\"}", runs + 4);
	runs = metric("ebb_series_runs_total{service=\"database_snapshoter\"}") - runs;
	to = (json_int_t)wall_seconds();
	CHECK(metric("ebb_opentsdb_waiting_points") > 0);
	CHECK(metric("ebb_opentsdb_put_failures_total") > 0);

	/* Also over an end of the controller: they lie on the disk. */
	stop();
	start(&opentsdb, true);
	peer_restart(&opentsdb);
	wait_for_metric("ebb_opentsdb_points_total", 1);
	wait_for_metric("ebb_opentsdb_oldest_seconds", -2);
	wait_for_metric("ebb_opentsdb_reachable", 1);
	/* Each run is of a second of its own; one that came too late for a second leaves it out. */
	CHECK(runs >= 4);
	CHECK(seconds_between(&opentsdb, from, to) >= (int)runs);
	CHECK_NEAR(metric("ebb_opentsdb_dropped_total"), 0, 0);
}

/* --- many --- */

static struct model *many;
static struct tsdb *pusher;
static struct timed *timed;
static struct series *writer;

static void free_many(void *unused)
{
	timed_free(TAKE_PTR(timed));
	series_free(TAKE_PTR(writer));
	tsdb_free(TAKE_PTR(pusher));
	model_free(TAKE_PTR(many));
}

static void add_many(int n)
{
	CHECK_INT(model_new(NULL, &many), 0);
	model_lock(many);
	for (int i = 0; i < n; i++) {
		char name[32];
		struct structure *s;

		snprintf(name, sizeof(name), "container-%d", i);
		s = structure_new(name, STRUCTURE_CONTAINER);
		CHECK(s);
		for (int r = 0; r < 2; r++)
			s->resources[r] = (struct resource_state){
				.present = true,
				.max = 400,
				.min = 20,
				.current = i % 400,
				.has_boundary = true,
				.boundary = 10,
			};
		CHECK_INT(model_add(many, s), 0);
	}
	model_unlock(many);
}

/*
 * A million points at once are more than the pusher takes: it is waited for, and nobody takes them
 * from the spool meanwhile.
 */
TEST(series_of_a_large_site_all_go_to_the_spool)
{
	char spool[128];
	const struct tsdb_options options = {.url = "http://127.0.0.1:1", .spool = spool};
	struct series_stats stats;

	log_set_level(LOG_LEVEL_ERROR);
	snprintf(dir, sizeof(dir), "/tmp/ebb-series-XXXXXX");
	CHECK(mkdtemp(dir));
	test_at_end(clean_up, NULL);
	test_at_end(free_many, NULL);
	snprintf(spool, sizeof(spool), "%s/spool", dir);
	add_many(100000);
	many->series.database.polling_frequency = 3600;
	CHECK_INT(tsdb_new(&options, &pusher), 0);
	CHECK_INT(timed_new(&timed), 0);
	CHECK_INT(series_new(many, pusher, timed, &writer), 0);
	/* It has the period by now; with another it is due at once. */
	usleep(700000);
	model_lock(many);
	many->series.database.polling_frequency = 1;
	model_unlock(many);
	for (int i = 0; i < 1200; i++) {
		series_get_stats(writer, &stats);
		if (stats.database.runs > 0)
			break;
		usleep(50000);
	}
	CHECK(stats.database.runs > 0);
	timed_free(TAKE_PTR(timed));
	series_free(TAKE_PTR(writer));
	CHECK_INT(tsdb_flush(pusher), 0);
	tsdb_get_stats(pusher, &stats.tsdb);
	CHECK_INT(stats.database.failures, 0);
	CHECK(stats.database.written >= 1000000);
	CHECK_INT(stats.tsdb.dropped, 0);
	CHECK(stats.tsdb.waiting_points >= stats.database.written);
}

TEST(series_without_opentsdb)
{
	_cleanup_json_ json_t *doc = NULL;

	set_up();
	start(NULL, false);
	start_feeding();
	wait_for_metric("ebb_series_runs_total{service=\"structures_snapshoter\"}", 2);
	/* Sums are made, and it does not say that it runs what it cannot. */
	doc = get("/structure/app1/resources/cpu/current");
	CHECK_INT(json_integer_value(doc), 250);
	json_decref(doc);
	doc = get("/service/database_snapshoter");
	CHECK_STR(json_string_value(json_object_get(doc, "heartbeat")), "");
	CHECK_NEAR(metric("ebb_series_active{service=\"database_snapshoter\"}"), 0, 0);
	CHECK(isnan(metric("ebb_opentsdb_reachable")));
}

TEST_MAIN()
