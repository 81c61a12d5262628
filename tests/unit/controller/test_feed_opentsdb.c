/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts without an agent: the model, both threads, and the two servers they talk to. */
#include "feed_opentsdb.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "container_scaler.h"
#include "ebb/cleanup.h"
#include "ebb/http_server.h"
#include "ebb/loop.h"
#include "ebb/util.h"
#include "../../test.h"

/* What OpenTSDB would say, and what it was asked. */
static struct {
	struct http_server *server;
	pthread_mutex_t lock;
	json_t *cpu;     /* name -> user CPU; those it does not know are an error */
	unsigned status; /* 0: 200 */
	bool mute;       /* its errors do not say why */
	bool empty;      /* nothing was ever written to it */
	const char *no_metric;
	unsigned long asked;
	size_t most; /* names in one query */
	char last[16384], authorization[64];
} tsdb;

/* A Container Scaler of spec section 4. */
static struct {
	struct http_server *server;
	pthread_mutex_t lock;
	json_t *containers; /* name -> resources */
	bool lxc;           /* its /container/resources/ fails */
	bool overloaded;    /* all of its lists do */
	unsigned empty;     /* so many answers name no container */
	bool no_topology;
	unsigned status;                    /* of a PUT; 0: 201 */
	unsigned long puts, polls, flagged; /* flagged: of /container/resources/ */
	bool given_token;                   /* by any request */
} rescaler;

static struct model *model;
static struct audit *audit;
static struct scaler *scaler;
static struct executor *executor;
static struct identity *identity;
static struct container_scalers *scalers;
static struct feed_opentsdb *feed;
static bool locked; /* by the test, which may end anywhere */

static void lock(void)
{
	model_lock(model);
	locked = true;
}

static void unlock(void)
{
	locked = false;
	model_unlock(model);
}

/* --- OpenTSDB --- */

static json_t *tsdb_error(const char *kind, const char *name)
{
	return json_pack("{s:{s:i, s:o}}", "error", "code", 400, "message",
			 tsdb.mute ? json_string("something is wrong")
				   : json_sprintf("No such name for '%s': '%s'", kind, name));
}

static json_t *tsdb_series(const char *metric, const char *name, json_int_t start, json_int_t end)
{
	json_t *dps = json_object();
	double value = strcmp(metric, "proc.cpu.user") == 0
			       ? json_number_value(json_object_get(tsdb.cpu, name))
			       : 1;

	for (json_int_t at = start - start % 5 + 5; at <= end; at += 5) {
		char key[32];

		snprintf(key, sizeof(key), "%lld", (long long)at);
		json_object_set_new(dps, key, json_real(value));
	}
	return json_pack("{s:s, s:{s:s}, s:[s], s:o}", "metric", metric, "tags", "host", name,
			 "aggregateTags", "pid", "dps", dps);
}

static json_t *tsdb_answer(const json_t *body, unsigned *status)
{
	json_int_t start = json_integer_value(json_object_get(body, "start"));
	json_int_t end = json_integer_value(json_object_get(body, "end"));
	json_t *answer = json_array(), *query;
	size_t i;

	json_array_foreach(json_object_get(body, "queries"), i, query) {
		const char *metric = json_string_value(json_object_get(query, "metric"));
		_cleanup_free_ char *names = strdup(
			json_string_value(json_object_get(json_object_get(query, "tags"), "host")));
		char *save, *name;
		size_t n = 0;

		if (tsdb.no_metric && strcmp(metric, tsdb.no_metric) == 0) {
			json_decref(answer);
			*status = 400;
			return tsdb_error("metrics", metric);
		}
		for (name = strtok_r(names, "|", &save); name; name = strtok_r(NULL, "|", &save)) {
			n++;
			if (json_object_get(tsdb.cpu, name)) {
				json_array_append_new(answer,
						      tsdb_series(metric, name, start, end));
				continue;
			}
			json_decref(answer);
			*status = 400;
			return tsdb_error("tagv", name);
		}
		tsdb.most = MAX(tsdb.most, n);
	}
	return answer;
}

static void tsdb_query(void *userdata, struct http_call *call)
{
	_cleanup_json_ json_t *body = http_body_object(call);
	unsigned status = 200;
	json_t *answer;

	(void)userdata;
	if (!body)
		return;
	pthread_mutex_lock(&tsdb.lock);
	tsdb.asked++;
	snprintf(tsdb.authorization, sizeof(tsdb.authorization), "%s",
		 http_header(call, "Authorization") ?: "");
	snprintf(tsdb.last, sizeof(tsdb.last), "%.*s", (int)call->body_len,
		 (const char *)call->body);
	if (tsdb.empty) {
		status = 400;
		answer = tsdb_error("tagk", "host");
	} else {
		answer = tsdb_answer(body, &status);
	}
	if (tsdb.status)
		status = tsdb.status;
	pthread_mutex_unlock(&tsdb.lock);
	http_reply_json(call, status, answer);
}

/* --- the Container Scaler --- */

static void look_for_token(struct http_call *call)
{
	if (!http_header(call, "Authorization"))
		return;
	pthread_mutex_lock(&rescaler.lock);
	rescaler.given_token = true;
	pthread_mutex_unlock(&rescaler.lock);
}

static void rescaler_topology(void *userdata, struct http_call *call)
{
	(void)userdata;
	look_for_token(call);
	if (rescaler.no_topology)
		http_reply_error(call, 500, "no topology");
	else
		http_reply_json(call, 200,
				json_pack("{s:{s:[i,i], s:[i,i]}}", "0", "0", 0, 2, "1", 1, 3));
}

static void rescaler_list(void *userdata, struct http_call *call)
{
	json_t *answer;
	bool overloaded;

	(void)userdata;
	look_for_token(call);
	pthread_mutex_lock(&rescaler.lock);
	rescaler.polls++;
	overloaded = rescaler.overloaded;
	answer = rescaler.empty ? json_object() : json_deep_copy(rescaler.containers);
	rescaler.empty -= rescaler.empty ? 1 : 0;
	pthread_mutex_unlock(&rescaler.lock);
	if (overloaded) {
		json_decref(answer);
		http_reply_error(call, 500, "too much to do");
		return;
	}
	http_reply_json(call, 200, answer);
}

static void rescaler_resources(void *userdata, struct http_call *call)
{
	pthread_mutex_lock(&rescaler.lock);
	rescaler.flagged++;
	pthread_mutex_unlock(&rescaler.lock);
	if (rescaler.lxc)
		http_reply_error(call, 500, "TypeError");
	else
		rescaler_list(userdata, call);
}

/* As it does: limits as floats, the whole container, no word of when. */
static void rescaler_put(void *userdata, struct http_call *call)
{
	_cleanup_json_ json_t *body = http_body_object(call);
	json_t *container, *answer, *value, *mine;
	const char *resource;

	(void)userdata;
	look_for_token(call);
	if (!body)
		return;
	pthread_mutex_lock(&rescaler.lock);
	rescaler.puts++;
	container = json_object_get(rescaler.containers, call->captures[0]);
	json_object_foreach(body, resource, value) {
		mine = json_object_get(container, resource);
		if (!rescaler.status && mine)
			json_object_update(mine, value);
	}
	answer = json_deep_copy(container);
	pthread_mutex_unlock(&rescaler.lock);
	http_reply_json(call, rescaler.status ? rescaler.status : 201, answer);
}

static int serve(const struct http_route *routes, size_t n, struct http_server **ret_server)
{
	struct http_server_options options = {
		.listen = "127.0.0.1:0",
		.body_max = 1 << 20,
		.connections_max = 64,
		.timeout_s = 30,
		.threads = 2,
		.routes = routes,
		.n_routes = n,
	};

	return http_server_new(&options, ret_server);
}

/* --- the world --- */

static void release_all(void *arg)
{
	if (locked)
		unlock();
	feed_opentsdb_free(TAKE_PTR(feed));
	container_scalers_free(TAKE_PTR(scalers));
	executor_free(TAKE_PTR(executor));
	identity_free(TAKE_PTR(identity));
	scaler_free(TAKE_PTR(scaler));
	audit_free(TAKE_PTR(audit));
	if (model)
		model_free(TAKE_PTR(model));
	if (tsdb.server)
		http_server_free(TAKE_PTR(tsdb.server));
	if (rescaler.server)
		http_server_free(TAKE_PTR(rescaler.server));
	json_decref(TAKE_PTR(tsdb.cpu));
	json_decref(TAKE_PTR(rescaler.containers));
}

static void add_document(json_t *doc)
{
	_cleanup_free_ char *error = NULL;
	struct structure *s;

	CHECK(doc != NULL);
	CHECK_INT(structure_from_json(doc, NULL, &s, &error), 0);
	json_decref(doc);
	for (int r = 0; r < EBB_RESOURCE_MAX; r++) {
		s->resources[r].has_boundary = s->resources[r].present;
		s->resources[r].boundary = 10;
		s->resources[r].boundary_type = BOUNDARY_PERCENTAGE_OF_CURRENT;
	}
	CHECK_INT(model_add(model, s), 0);
}

static const char *rescaler_port(void)
{
	return strrchr(http_server_address(rescaler.server), ':') + 1;
}

static void add_container(const char *name, int cpu, bool guard)
{
	add_document(json_pack(
		"{s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:{s:{s:i,s:i,s:i,s:b},s:{s:i,s:i,s:i,s:b}}}",
		"type", "structure", "subtype", "container", "name", name, "host", "h0",
		"host_rescaler_ip", "127.0.0.1", "host_rescaler_port", rescaler_port(), "guard",
		guard, "resources", "cpu", "max", 300, "current", cpu, "min", 20, "guard", true,
		"mem", "max", 2048, "current", 512, "min", 64, "guard", false));
	pthread_mutex_lock(&rescaler.lock);
	json_object_set_new(rescaler.containers, name,
			    json_pack("{s:{s:f,s:s,s:i,s:f},s:{s:f,s:s}}", "cpu",
				      "cpu_allowance_limit", (double)cpu, "cpu_num", "0-3",
				      "effective_num_cpus", 4, "effective_cpu_limit", (double)cpu,
				      "mem", "mem_limit", 512.0, "unit", "M"));
	pthread_mutex_unlock(&rescaler.lock);
}

static void know(const char *name, double cpu)
{
	pthread_mutex_lock(&tsdb.lock);
	json_object_set_new(tsdb.cpu, name, json_real(cpu));
	pthread_mutex_unlock(&tsdb.lock);
}

/* h0, of documents as the original leaves them: c0 at 100 shares on core 0. */
static void start(void)
{
	static const struct http_route tsdb_routes[] = {
		{HTTP_POST, "/api/query", tsdb_query, true},
	};
	static const struct http_route rescaler_routes[] = {
		{HTTP_GET, "/host/cpu_topology", rescaler_topology, false},
		{HTTP_GET, "/container/resources", rescaler_resources, false},
		{HTTP_GET, "/container", rescaler_list, false},
		{HTTP_PUT, "/container/*", rescaler_put, false},
	};

	test_at_end(release_all, NULL);
	memset(&tsdb, 0, sizeof(tsdb));
	memset(&rescaler, 0, sizeof(rescaler));
	pthread_mutex_init(&tsdb.lock, NULL);
	pthread_mutex_init(&rescaler.lock, NULL);
	tsdb.cpu = json_object();
	rescaler.containers = json_object();
	CHECK_INT(serve(tsdb_routes, ARRAY_SIZE(tsdb_routes), &tsdb.server), 0);
	CHECK_INT(serve(rescaler_routes, ARRAY_SIZE(rescaler_routes), &rescaler.server), 0);
	CHECK_INT(model_new(NULL, &model), 0);
	CHECK_INT(audit_new(NULL, 1024, &audit), 0);
	CHECK_INT(scaler_new(model, audit, &scaler), 0);
	CHECK_INT(identity_new_token("a-token-for-agents", &identity), 0);
	CHECK_INT(executor_new(identity, scaler_order_done, scaler, &executor), 0);
	scaler_set_sink(scaler, executor_sink(executor));
	lock();
	model->guardian.feed_grace = 0;
	model->series.structures.polling_frequency = 0.05; /* at each tick */
	unlock();
	add_document(json_pack(
		"{s:s, s:s, s:s, s:s, s:s, s:i, s:i, s:{s:{s:i, s:i, s:{s:{s:i,s:i},s:{s:i},"
		"s:{s:i},s:{s:i}}},s:{s:i,s:i}}}",
		"type", "structure", "subtype", "host", "name", "h0", "host", "h0",
		"host_rescaler_ip", "127.0.0.1", "host_rescaler_port", atoi(rescaler_port()),
		"window_delay", 0, "resources", "cpu", "max", 400, "free", 300,
		"core_usage_mapping", "0", "c0", 100, "free", 0, "1", "free", 100, "2", "free", 100,
		"3", "free", 100, "mem", "max", 4096, "free", 3584));
	add_container("c0", 100, true);
}

/* Under the lock, until it holds; the bound is for failures only. */
static void wait_until(bool (*holds)(void *arg), void *arg, const char *what)
{
	for (int i = 0; i < 6000; i++) {
		bool done;

		lock();
		/* What was measured before the test began counts here. */
		for (size_t h = 0; h < model->n_hosts; h++)
			model->hosts[h]->fed_since = 0;
		done = holds(arg);
		unlock();
		if (done)
			return;
		usleep(5000);
	}
	TEST_FAIL("never: %s", what);
}
#define WAIT(fn, arg) wait_until(fn, arg, #fn)

static bool is_live(void *name)
{
	const struct structure *s = model_structure(model, name);

	return s && s->live && ((const struct host *)s->host)->connected;
}

static void start_feed(const char *user, const char *address)
{
	char url[128];
	const struct feed_opentsdb_options options = {.url = url};

	snprintf(url, sizeof(url), "http://%s%s", user, address);
	CHECK_INT(feed_opentsdb_new(model, scaler, &options, &feed), 0);
}

static void start_scalers(void)
{
	CHECK_INT(container_scalers_new(model, scaler, &scalers), 0);
}

/* The feed when c0 is there already, so that its first question gets usage: the next bucket of 5 s
 * would have to be waited for. */
static void start_threads_with(const char *user, const char *address)
{
	start_scalers();
	WAIT(is_live, "c0");
	start_feed(user, address);
}

static void start_threads(void)
{
	start_threads_with("", http_server_address(tsdb.server));
}

static bool is_not_live(void *name)
{
	return !model_structure(model, name)->live;
}

static bool has_usage(void *name)
{
	return isfinite(model_structure(model, name)->resources[EBB_CPU].usage);
}

static bool has_no_usage(void *name)
{
	return !has_usage(name);
}

static bool has_grown(void *name)
{
	const struct structure *s = model_structure(model, name);

	return s->physical[EBB_CPU] > 100 && s->resources[EBB_CPU].current > 100 && !s->in_flight;
}

static void adds_up(void)
{
	_cleanup_free_ char *wrong = NULL;

	lock();
	wrong = model_check(model);
	unlock();
	if (wrong)
		TEST_FAIL("%s", wrong);
}

/* --- the pure part --- */

static void limits_are(const char *resources, int64_t shares, const char *want)
{
	_cleanup_json_ json_t *given = json_loads(resources, 0, NULL);
	_cleanup_json_ json_t *limits = container_scaler_limits(given, shares);
	_cleanup_json_ json_t *wanted = json_loads(want, 0, NULL);

	CHECK(given && wanted);
	if (!json_equal(limits, wanted)) {
		_cleanup_free_ char *text = json_dumps(limits, JSON_COMPACT);

		TEST_FAIL("%s, not %s", text, want);
	}
}

TEST(limits_as_a_container_scaler_tells_them)
{
	limits_are("{\"cpu\":{\"cpu_allowance_limit\":200.0,\"cpu_num\":\"0-1\","
		   "\"effective_num_cpus\":2,\"effective_cpu_limit\":200.0},"
		   "\"mem\":{\"mem_limit\":4096.0,\"unit\":\"M\"},"
		   "\"disk_read\":{\"disk_read_limit\":100,\"unit\":\"Mbit\"},\"disk_write\":{},"
		   "\"energy\":{\"success\":false,\"error\":\"x\"}}",
		   400, "{\"cpu\":200,\"cpus\":\"0-1\",\"mem\":4096,\"disk_read\":100}");
	/* No quota: the cores are the limit, if there are more. */
	limits_are("{\"cpu\":{\"cpu_allowance_limit\":-1,\"cpu_num\":\"0-1\","
		   "\"effective_cpu_limit\":200}}",
		   400, "{\"cpu\":200,\"cpus\":\"0-1\"}");
	limits_are("{\"cpu\":{\"cpu_allowance_limit\":-1,\"cpu_num\":\"0-3\","
		   "\"effective_cpu_limit\":400}}",
		   400, "{\"cpu\":-1,\"cpus\":\"0-3\"}");
	limits_are("{\"mem\":{\"mem_limit\":-1,\"unit\":\"unlimited\"}}", 400, "{\"mem\":-1}");
	limits_are("{}", 400, "{}");
}

static double delay_with(struct host *host, const char *doc, double guardian)
{
	json_decref(host->structure->doc);
	host->structure->doc = json_loads(doc, 0, NULL);
	CHECK(host->structure->doc);
	model->guardian.window_delay = guardian;
	return model_window_delay(model, host);
}

TEST(the_delay_is_that_of_bdwatchdog_unless_told)
{
	struct host *host;

	start();
	lock();
	host = model_host(model, "h0");
	CHECK(delay_with(host, "{}", 0) == 10);
	CHECK(delay_with(host, "{}", 20) == 20);
	CHECK(delay_with(host, "{\"window_delay\":0}", 20) == 0);
	CHECK(delay_with(host, "{\"WINDOW_DELAY\":\"2.5\"}", 20) == 2.5);
	CHECK(delay_with(host, "{\"window_delay\":-1}", 0) == 10);
	CHECK(delay_with(host, "{\"window_delay\":\"soon\"}", 15) == 15);
	unlock();
}

/* --- both threads --- */

TEST(a_container_without_an_agent_is_guarded)
{
	struct structure *s;

	start();
	know("c0", 99);
	start_threads();
	WAIT(is_live, "c0");
	lock();
	s = model_structure(model, "c0");
	CHECK_INT(s->resources[EBB_CPU].current, 100);
	CHECK_INT(s->resources[EBB_CPU].allocated, 100);
	CHECK_INT(model_host(model, "h0")->max[EBB_CPU], 400);
	CHECK_INT(model_host(model, "h0")->max[EBB_MEM], 4096);
	CHECK(model_host(model, "h0")->agentless);
	CHECK_STR(host_feed_name(model_host(model, "h0")), "opentsdb");
	unlock();
	adds_up();
	WAIT(has_usage, "c0");
	WAIT(has_grown, "c0");
	adds_up();
	pthread_mutex_lock(&rescaler.lock);
	CHECK(rescaler.puts > 0);
	CHECK(rescaler.polls > 0);
	/* It checks nobody, and is not to learn what agents are ordered with. */
	CHECK(!rescaler.given_token);
	pthread_mutex_unlock(&rescaler.lock);
}

TEST(the_query_is_that_of_the_original)
{
	start();
	know("c0", 50);
	start_threads();
	WAIT(has_usage, "c0");
	pthread_mutex_lock(&tsdb.lock);
	CHECK(strstr(tsdb.last, "{\"aggregator\":\"zimsum\",\"metric\":\"proc.cpu.user\","
				"\"downsample\":\"5s-avg\",\"tags\":{\"host\":\"c0\"}}"));
	CHECK(strstr(tsdb.last, "proc.cpu.kernel") && strstr(tsdb.last, "proc.mem.resident"));
	CHECK(!strstr(tsdb.last, "proc.disk"));
	pthread_mutex_unlock(&tsdb.lock);
	lock();
	CHECK(model_structure(model, "c0")->resources[EBB_CPU].usage == 51);
	CHECK(model_structure(model, "c0")->resources[EBB_MEM].usage == 1);
	unlock();
}

TEST(unknown_names_do_not_blind_the_others)
{
	struct feed_opentsdb_stats stats;

	start();
	add_container("c1", 50, true);
	add_container("c2", 50, true);
	add_container("bad|name", 50, true);
	know("c0", 50);
	know("c2", 20);
	start_threads();
	WAIT(has_usage, "c0");
	WAIT(has_usage, "c2");
	lock();
	CHECK(has_no_usage("c1"));
	CHECK(has_no_usage("bad|name"));
	unlock();
	feed_opentsdb_get_stats(feed, &stats);
	CHECK_INT(stats.containers, 4);
	CHECK(stats.reachable);
	CHECK_INT(stats.failures, 0);
	CHECK(stats.refused >= 1);
}

TEST(a_culprit_is_found_without_its_name)
{
	start();
	for (int i = 1; i < 12; i++) {
		char name[16];

		snprintf(name, sizeof(name), "c%d", i);
		add_container(name, 10, false);
		if (i != 7)
			know(name, 5);
	}
	know("c0", 50);
	tsdb.mute = true;
	start_threads();
	WAIT(has_usage, "c0");
	WAIT(has_usage, "c6");
	WAIT(has_usage, "c8");
	WAIT(has_usage, "c11");
	lock();
	CHECK(has_no_usage("c7"));
	unlock();
	pthread_mutex_lock(&tsdb.lock);
	CHECK(tsdb.asked < 30);
	pthread_mutex_unlock(&tsdb.lock);
}

TEST(an_unknown_metric_is_left_out)
{
	struct feed_opentsdb_stats stats;

	start();
	know("c0", 50);
	tsdb.no_metric = "proc.mem.resident";
	start_threads();
	WAIT(has_usage, "c0");
	lock();
	CHECK(isnan(model_structure(model, "c0")->resources[EBB_MEM].usage));
	unlock();
	feed_opentsdb_get_stats(feed, &stats);
	CHECK_INT(stats.failures, 0);
}

static bool has_memory_usage(void *name)
{
	return isfinite(model_structure(model, name)->resources[EBB_MEM].usage);
}

TEST(half_of_a_resource_shrinks_nothing)
{
	start();
	know("c0", 50);
	tsdb.no_metric = "proc.cpu.user";
	start_threads();
	WAIT(has_memory_usage, "c0");
	lock();
	CHECK(has_no_usage("c0"));
	CHECK_INT(model_structure(model, "c0")->resources[EBB_CPU].current, 100);
	unlock();
}

TEST(while_opentsdb_is_away_nothing_changes)
{
	struct feed_opentsdb_stats stats;
	unsigned long puts;

	start();
	know("c0", 1);
	tsdb.status = 503;
	start_threads();
	WAIT(is_live, "c0");
	do {
		usleep(10000);
		feed_opentsdb_get_stats(feed, &stats);
	} while (stats.failures < 2);
	CHECK(!stats.reachable);
	CHECK(strstr(stats.last_error, "503"));
	lock();
	CHECK(has_no_usage("c0"));
	CHECK_INT(model_structure(model, "c0")->resources[EBB_CPU].current, 100);
	unlock();
	pthread_mutex_lock(&rescaler.lock);
	puts = rescaler.puts;
	pthread_mutex_unlock(&rescaler.lock);
	/* Its cores, at most: the limit stays. */
	CHECK(puts <= 1);
	tsdb.status = 0;
	WAIT(has_usage, "c0");
}

/* What is logged from here on goes to the file too. */
static int stderr_kept = -1;
static FILE *logged;

static void log_as_before(void *arg)
{
	(void)arg;
	if (stderr_kept >= 0) {
		dup2(stderr_kept, STDERR_FILENO);
		close(stderr_kept);
		stderr_kept = -1;
	}
	if (logged)
		fclose(TAKE_PTR(logged));
}

static void keep_log(void)
{
	logged = tmpfile();
	CHECK(logged != NULL);
	stderr_kept = dup(STDERR_FILENO);
	CHECK(stderr_kept >= 0);
	test_at_end(log_as_before, NULL);
	CHECK(dup2(fileno(logged), STDERR_FILENO) >= 0);
}

static bool log_has(const char *text)
{
	static char all[65536];
	ssize_t n = pread(fileno(logged), all, sizeof(all) - 1, 0);

	all[MAX(n, 0)] = '\0';
	return strstr(all, text) != NULL;
}

static void wait_for_line(const char *text)
{
	for (int i = 0; i < 6000 && !log_has(text); i++)
		usleep(5000);
	CHECK(log_has(text));
}

static void no_password(const struct feed_opentsdb_stats *stats)
{
	CHECK(!strstr(stats->last_error, "swordfish"));
	CHECK(!log_has("swordfish"));
}

#define USER "guard:swordfish@"

TEST(the_password_is_told_to_nobody_in_an_outage)
{
	struct feed_opentsdb_stats stats;

	start();
	keep_log();
	start_threads_with(USER, "127.0.0.1:1");
	wait_for_line("OpenTSDB at http://guard:***@127.0.0.1:1 cannot be asked");
	feed_opentsdb_get_stats(feed, &stats);
	CHECK(strstr(stats.last_error, "cannot reach http://127.0.0.1:1:"));
	no_password(&stats);
}

TEST(the_password_is_told_to_nobody_by_other_lines)
{
	struct feed_opentsdb_stats stats;

	start();
	keep_log();
	tsdb.empty = true;
	start_threads_with(USER, http_server_address(tsdb.server));
	wait_for_line("has nothing with a tag host yet");
	pthread_mutex_lock(&tsdb.lock);
	tsdb.empty = false;
	tsdb.status = 401;
	CHECK_STR(tsdb.authorization, "Basic Z3VhcmQ6c3dvcmRmaXNo");
	pthread_mutex_unlock(&tsdb.lock);
	wait_for_line("it wants another user and password");
	feed_opentsdb_get_stats(feed, &stats);
	no_password(&stats);
	know("c0", 50);
	pthread_mutex_lock(&tsdb.lock);
	tsdb.status = 0;
	pthread_mutex_unlock(&tsdb.lock);
	wait_for_line("answers again");
	feed_opentsdb_get_stats(feed, &stats);
	no_password(&stats);
}

TEST(a_container_that_goes_gives_its_shares_back)
{
	start();
	know("c0", 50);
	start_threads();
	WAIT(is_live, "c0");
	pthread_mutex_lock(&rescaler.lock);
	json_object_del(rescaler.containers, "c0");
	pthread_mutex_unlock(&rescaler.lock);
	WAIT(is_not_live, "c0");
	adds_up();
	lock();
	CHECK_INT(model_host(model, "h0")->free[EBB_CPU], 400);
	unlock();
}

static bool polled(void *count)
{
	bool yes;

	pthread_mutex_lock(&rescaler.lock);
	yes = rescaler.polls >= *(unsigned long *)count;
	pthread_mutex_unlock(&rescaler.lock);
	return yes;
}

static void after_polls(unsigned long n)
{
	unsigned long until;

	pthread_mutex_lock(&rescaler.lock);
	until = rescaler.polls + n;
	pthread_mutex_unlock(&rescaler.lock);
	WAIT(polled, &until);
}

TEST(one_answer_without_a_container_takes_nothing_from_it)
{
	json_t *kept;

	start();
	add_container("c1", 50, false);
	know("c0", 50);
	start_threads();
	WAIT(is_live, "c0");
	for (int i = 0; i < 3; i++) {
		pthread_mutex_lock(&rescaler.lock);
		rescaler.empty = 1;
		pthread_mutex_unlock(&rescaler.lock);
		after_polls(3);
		lock();
		CHECK(is_live("c0") && is_live("c1"));
		unlock();
	}
	/* All of them at once even for longer. */
	pthread_mutex_lock(&rescaler.lock);
	rescaler.empty = 4;
	pthread_mutex_unlock(&rescaler.lock);
	after_polls(6);
	lock();
	CHECK(is_live("c0") && is_live("c1"));
	unlock();
	adds_up();
	pthread_mutex_lock(&rescaler.lock);
	kept = json_incref(json_object_get(rescaler.containers, "c1"));
	json_object_del(rescaler.containers, "c1");
	pthread_mutex_unlock(&rescaler.lock);
	WAIT(is_not_live, "c1");
	lock();
	CHECK(is_live("c0"));
	unlock();
	pthread_mutex_lock(&rescaler.lock);
	json_object_set_new(rescaler.containers, "c1", kept);
	pthread_mutex_unlock(&rescaler.lock);
	WAIT(is_live, "c1");
	adds_up();
}

TEST(an_overload_is_not_taken_for_lxc)
{
	struct container_scalers_stats stats;
	unsigned long before;

	start();
	know("c0", 50);
	rescaler.overloaded = true;
	start_scalers();
	start_feed("", http_server_address(tsdb.server));
	do {
		usleep(10000);
		container_scalers_get_stats(scalers, &stats);
	} while (!stats.failures);
	pthread_mutex_lock(&rescaler.lock);
	rescaler.overloaded = false;
	before = rescaler.flagged;
	pthread_mutex_unlock(&rescaler.lock);
	WAIT(is_live, "c0");
	pthread_mutex_lock(&rescaler.lock);
	CHECK(rescaler.flagged > before);
	pthread_mutex_unlock(&rescaler.lock);
}

TEST(lxc_answers_elsewhere_and_documents_do_for_the_topology)
{
	start();
	know("c0", 50);
	rescaler.lxc = rescaler.no_topology = true;
	start_threads();
	WAIT(is_live, "c0");
	adds_up();
	lock();
	CHECK_INT(model_host(model, "h0")->max[EBB_CPU], 400);
	unlock();
}

static bool agent_feeds(void *name)
{
	const struct host *host = model_host(model, name);

	return host->connected && !host->agentless && !host->from_series;
}

static bool is_agentless(void *name)
{
	const struct host *host = model_host(model, name);

	return host->connected && host->agentless && host->from_series;
}

TEST(an_agent_takes_over_and_is_followed)
{
	_cleanup_json_ json_t *message = NULL, *added = NULL;
	struct structure *s;
	struct host *host;

	start();
	know("c0", 50);
	start_threads();
	WAIT(is_live, "c0");
	WAIT(is_agentless, "h0");
	message = json_pack("{s:s, s:{s:s, s:[i,i,i,i], s:I, s:{s:{s:[i,i],s:[i,i]}}}}", "host",
			    "h0", "register", "address", "http://127.0.0.1:1", "cpus", 0, 1, 2, 3,
			    "mem", (json_int_t)4096 << 20, "topology", "0", "0", 0, 2, "1", 1, 3);
	added = json_pack("{s:i, s:s, s:{s:i, s:s, s:i}}", "c", 1, "name", "c0", "limits", "cpu",
			  100, "cpus", "0", "mem", 512);
	CHECK(message && added);

	lock();
	model->guardian.feed_grace = 1;
	CHECK_INT(model_register_host(model, message, &host), 0);
	CHECK_INT(model_register_container(model, host, added, &s), 0);
	host->connected = true;
	host->agent_heard = host->last_heard = wall_seconds();
	CHECK(agent_feeds("h0"));
	CHECK_INT(s->resources[EBB_CPU].current, 100);
	CHECK_INT(s->resources[EBB_CPU].allocated, 100);
	CHECK_STR(host->address, "http://127.0.0.1:1");
	/* It is silent for long. */
	host->connected = false;
	unlock();
	WAIT(is_agentless, "h0");
	WAIT(is_live, "c0");
	lock();
	CHECK(strcmp(model_host(model, "h0")->address, "http://127.0.0.1:1") != 0);
	CHECK_INT(model_structure(model, "c0")->resources[EBB_CPU].allocated, 100);
	unlock();
	adds_up();
}

/* As the original's Orchestrator and an operator change documents. */
static void edit(const char *id, json_t *(*change)(json_t *doc))
{
	_cleanup_json_ json_t *base = NULL, *doc = NULL;

	lock();
	base = structure_to_json(model_structure(model, id));
	doc = change ? change(json_deep_copy(base)) : NULL;
	model_document_changed(model, DB_STRUCTURES, id, base, doc);
	unlock();
}

static bool is_forgotten(void *name)
{
	return !model_structure(model, name);
}

TEST(what_is_desubscribed_is_let_go)
{
	start();
	know("c0", 50);
	start_threads();
	WAIT(is_live, "c0");
	edit("c0", NULL);
	WAIT(is_forgotten, "c0");
	adds_up();
	lock();
	CHECK_INT(model_host(model, "h0")->free[EBB_CPU], 400);
	unlock();
	/* Nor does its being there bring it back. */
	usleep(500000);
	lock();
	CHECK(is_forgotten("c0"));
	unlock();
	edit("h0", NULL);
	WAIT(is_forgotten, "h0");
}

static json_t *with_six_cores(json_t *doc)
{
	json_t *resources = json_object_get(doc, "resources");

	json_object_set_new(json_object_get(resources, "cpu"), "max", json_integer(600));
	json_object_set_new(json_object_get(resources, "mem"), "max", json_integer(6000));
	return doc;
}

TEST(the_document_says_how_large_the_host_is)
{
	_cleanup_free_ char *error = NULL;
	struct host *host;

	start();
	know("c0", 50);
	start_threads();
	WAIT(is_live, "c0");
	edit("h0", with_six_cores);
	lock();
	host = model_host(model, "h0");
	CHECK_INT(host->max[EBB_CPU], 600);
	CHECK_INT(host->free[EBB_CPU], 500);
	CHECK_INT(host->max[EBB_MEM], 6000);
	/* But not smaller than what it has given out. */
	CHECK(model_set_parameter(model, host->structure, EBB_CPU, "max", 50, &error) < 0);
	CHECK_INT(host->max[EBB_CPU], 600);
	unlock();
	adds_up();
}

static json_t *with_another_scaler(json_t *doc)
{
	json_object_set_new(doc, "host_rescaler_port", json_string("1"));
	return doc;
}

static bool is_away(void *name)
{
	const struct host *host = model_host(model, name);

	return !host->connected && host->agentless &&
	       strcmp(host->address, "http://127.0.0.1:1") == 0;
}

TEST(the_document_says_where_the_container_scaler_is)
{
	start();
	know("c0", 50);
	start_threads();
	WAIT(is_live, "c0");
	edit("h0", with_another_scaler);
	WAIT(is_away, "h0");
	adds_up();
}

static bool uses(const char *name, double cpu)
{
	bool yes;

	lock();
	yes = model_structure(model, name)->resources[EBB_CPU].usage == cpu;
	unlock();
	return yes;
}

/* A longer delay is to the feed what a clock that is set back is: what it has seen lies ahead. */
TEST(a_clock_that_steps_back_stops_nothing)
{
	start();
	know("c0", 50);
	start_threads();
	WAIT(has_usage, "c0");
	lock();
	json_object_set_new(model_host(model, "h0")->structure->doc, "window_delay",
			    json_integer(100));
	model_host(model, "h0")->fed_since = wall_seconds() + 100;
	unlock();
	know("c0", 77);
	for (int i = 0; i < 4000 && !uses("c0", 78); i++)
		usleep(5000);
	CHECK(uses("c0", 78));
	lock();
	CHECK(model_host(model, "h0")->fed_since <= wall_seconds());
	unlock();
}

/* In h0's document; "http://127.0.0.1:PORT" is what it says otherwise. */
static void address_is(const char *key, const char *value, const char *port, const char *want)
{
	struct host *host;
	json_t *doc;

	lock();
	host = model_host(model, "h0");
	doc = host->structure->doc;
	json_object_del(doc, "container_scaler");
	json_object_set_new(doc, "host_rescaler_ip", json_string("127.0.0.1"));
	json_object_set_new(doc, "host_rescaler_port", json_string(port));
	json_object_set_new(doc, key, json_string(value));
	/* No container is to help out. */
	for (struct structure *s = host->containers; s; s = s->host_next)
		json_object_del(s->doc, "host_rescaler_ip");
	host->agentless = false;
	host->connected = false;
	model_choose_feeds(model, true, 0, wall_seconds());
	if (!want && host->agentless)
		TEST_FAIL("%s %s leads to %s", key, value, host->address);
	if (want) {
		CHECK(host->agentless);
		CHECK_STR(host->address, want);
	}
	unlock();
}

TEST(a_document_names_a_host_and_a_port_only)
{
	start();
	address_is("host_rescaler_ip", "10.0.0.7", "8000", "http://10.0.0.7:8000");
	address_is("host_rescaler_ip", "node-1.site", "8000", "http://node-1.site:8000");
	address_is("host_rescaler_ip", "fe80::1", "8000", "http://[fe80::1]:8000");
	address_is("host_rescaler_ip", "[fe80::1]", "8000", "http://[fe80::1]:8000");
	address_is("host_rescaler_ip", "http://10.0.0.7:80", "8000", NULL);
	address_is("host_rescaler_ip", "https://10.0.0.7", "8000", NULL);
	address_is("host_rescaler_ip", "unix:/run/docker.sock", "8000", NULL);
	address_is("host_rescaler_ip", "u:p@10.0.0.7", "8000", NULL);
	address_is("host_rescaler_ip", "10.0.0.7/admin?", "8000", NULL);
	address_is("host_rescaler_ip", "10.0.0.7 ", "8000", NULL);
	address_is("host_rescaler_ip", "", "8000", NULL);
	address_is("host_rescaler_port", "0", "", NULL);
	address_is("host_rescaler_port", "80@x", "", NULL);
	address_is("container_scaler", "http://10.0.0.8:80", "8000", "http://10.0.0.8:80");
	/* What cannot have been remembered is as if it were not there. */
	address_is("container_scaler", "https://10.0.0.8:80", "8000", "http://127.0.0.1:8000");
	address_is("container_scaler", "unix:/run/x", "8000", "http://127.0.0.1:8000");
	address_is("container_scaler", "http://u:p@10.0.0.8:80", "8000", "http://127.0.0.1:8000");
	address_is("container_scaler", "http://10.0.0.8:80/x", "8000", "http://127.0.0.1:8000");
}

TEST_MAIN()
