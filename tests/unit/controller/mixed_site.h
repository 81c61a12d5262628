/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of hosts without an agent: the model, both threads, and the two servers they talk to.
 */
#ifndef EBB_TEST_MIXED_SITE_H
#define EBB_TEST_MIXED_SITE_H

#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "container_scaler.h"
#include "feed_opentsdb.h"
#include "test.h"
#include "ebb/cleanup.h"
#include "ebb/http_server.h"
#include "ebb/loop.h"
#include "ebb/util.h"

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

static inline void lock(void)
{
	model_lock(model);
	locked = true;
}

static inline void unlock(void)
{
	locked = false;
	model_unlock(model);
}

/* --- OpenTSDB --- */

static inline json_t *tsdb_error(const char *kind, const char *name)
{
	return json_pack("{s:{s:i, s:o}}", "error", "code", 400, "message",
			 tsdb.mute ? json_string("something is wrong")
				   : json_sprintf("No such name for '%s': '%s'", kind, name));
}

static inline json_t *tsdb_series(const char *metric, const char *name, json_int_t start,
				  json_int_t end)
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

static inline json_t *tsdb_answer(const json_t *body, unsigned *status)
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

static inline void tsdb_query(void *userdata, struct http_call *call)
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

static inline void look_for_token(struct http_call *call)
{
	if (!http_header(call, "Authorization"))
		return;
	pthread_mutex_lock(&rescaler.lock);
	rescaler.given_token = true;
	pthread_mutex_unlock(&rescaler.lock);
}

static inline void rescaler_topology(void *userdata, struct http_call *call)
{
	(void)userdata;
	look_for_token(call);
	if (rescaler.no_topology)
		http_reply_error(call, 500, "no topology");
	else
		http_reply_json(call, 200,
				json_pack("{s:{s:[i,i], s:[i,i]}}", "0", "0", 0, 2, "1", 1, 3));
}

static inline void rescaler_list(void *userdata, struct http_call *call)
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

static inline void rescaler_resources(void *userdata, struct http_call *call)
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
static inline void rescaler_put(void *userdata, struct http_call *call)
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

static inline int serve(const struct http_route *routes, size_t n, struct http_server **ret_server)
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

static inline void release_all(void *arg)
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

static inline void add_document(json_t *doc)
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

static inline const char *rescaler_port(void)
{
	return strrchr(http_server_address(rescaler.server), ':') + 1;
}

static inline void add_container(const char *name, int cpu, bool guard)
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

static inline void know(const char *name, double cpu)
{
	pthread_mutex_lock(&tsdb.lock);
	json_object_set_new(tsdb.cpu, name, json_real(cpu));
	pthread_mutex_unlock(&tsdb.lock);
}

/* h0, of documents as the original leaves them: c0 at 100 shares on core 0. */
static inline void start(void)
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
static inline void wait_until(bool (*holds)(void *arg), void *arg, const char *what)
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

static inline bool is_live(void *name)
{
	const struct structure *s = model_structure(model, name);

	return s && s->live && ((const struct host *)s->host)->connected;
}

static inline void start_feed(const char *user, const char *address)
{
	char url[128];
	const struct feed_opentsdb_options options = {.url = url};

	snprintf(url, sizeof(url), "http://%s%s", user, address);
	CHECK_INT(feed_opentsdb_new(model, scaler, &options, &feed), 0);
}

static inline void start_scalers(void)
{
	CHECK_INT(container_scalers_new(model, scaler, &scalers), 0);
}

/* The feed when c0 is there already, so that its first question gets usage: the next bucket of 5 s
 * would have to be waited for. */
static inline void start_threads_with(const char *user, const char *address)
{
	start_scalers();
	WAIT(is_live, "c0");
	start_feed(user, address);
}

static inline void start_threads(void)
{
	start_threads_with("", http_server_address(tsdb.server));
}

static inline bool is_not_live(void *name)
{
	return !model_structure(model, name)->live;
}

static inline bool has_usage(void *name)
{
	return isfinite(model_structure(model, name)->resources[EBB_CPU].usage);
}

static inline bool has_no_usage(void *name)
{
	return !has_usage(name);
}

static inline bool has_grown(void *name)
{
	const struct structure *s = model_structure(model, name);

	return s->physical[EBB_CPU] > 100 && s->resources[EBB_CPU].current > 100 && !s->in_flight;
}

static inline void adds_up(void)
{
	_cleanup_free_ char *wrong = NULL;

	lock();
	wrong = model_check(model);
	unlock();
	if (wrong)
		TEST_FAIL("%s", wrong);
}

#endif
