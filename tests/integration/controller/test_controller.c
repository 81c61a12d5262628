/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole controller over HTTP: hosts that feed it, people that change things at the same time,
 * agents that apply what they are told. Under ThreadSanitizer it shows who touches what without the
 * lock; in any build, that the accounting adds up afterwards. Beside others.
 */
#include "seed.h"
#include "test.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <unistd.h>

#include "controller.h"
#include "model.h"
#include "store.h"
#include "ebb/cleanup.h"
#include "ebb/http_client.h"
#include "ebb/loop.h"
#include "unit/controller/agent_stand_in.h"

enum { HOSTS = 3, CONTAINERS = 4, MESSAGES = 100 };

static char dir[64], state[128], address[128];
static struct controller *controller;
static struct stand_in agent;
static pthread_t running;
static bool is_running;

static void *run(void *unused)
{
	controller_run(controller);
	return NULL;
}

static void stop(void)
{
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
	stand_in_stop(&agent);
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	if (strncmp(dir, "/tmp/ebb-controller-", 20) == 0 && system(command) != 0)
		fprintf(stderr, "%s failed\n", command);
}

static void start(void)
{
	struct controller_options options = {
		.listen = "127.0.0.1:0",
		.state = state,
		.threads = 4,
	};

	CHECK_INT(controller_new(&options, &controller), 0);
	snprintf(address, sizeof(address), "http://%s", controller_address(controller));
	CHECK_INT(pthread_create(&running, NULL, run, NULL), 0);
	is_running = true;
}

static void set_up(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	snprintf(dir, sizeof(dir), "/tmp/ebb-controller-XXXXXX");
	CHECK(mkdtemp(dir));
	snprintf(state, sizeof(state), "sqlite:%s/state.db", dir);
	test_at_end(clean_up, NULL);
	CHECK_INT(stand_in_start(&agent), 0);
	start();
}

/* The status; -1: no answer. `ret_answer` may be NULL. */
static int call(const char *method, const char *path, const char *body, json_t **ret_answer)
{
	struct http_request_options options = {
		.method = method,
		.address = address,
		.path = path,
		.body = body,
		.body_len = body ? strlen(body) : 0,
	};
	struct http_result result;
	int status;

	if (http_call_blocking(&options, &result) < 0)
		return -1;
	status = result.status ? (int)result.status : -1;
	if (ret_answer)
		*ret_answer = result.body ? json_loads(result.body, JSON_DECODE_ANY, NULL) : NULL;
	http_result_clear(&result);
	return status;
}

/* --- a host that feeds --- */

struct feeder {
	int host;
	unsigned seed;
	int64_t cpu_ns[CONTAINERS];
	char wrong[256];
};

static void append(char *text, size_t size, const char *format, ...)
{
	size_t len = strlen(text);
	va_list ap;

	va_start(ap, format);
	vsnprintf(text + len, size - len, format, ap);
	va_end(ap);
}

static void message(struct feeder *f, int seq, char *text, size_t size)
{
	char url[128];

	text[0] = '\0';
	append(text, size,
	       "{\"host\":\"h%d\",\"session\":\"s%d\",\"seq\":%d,\"guard_version\":0,"
	       "\"now\":%llu,",
	       f->host, f->host, seq, (unsigned long long)now_ns());
	if (seq == 0) {
		append(text, size,
		       "\"register\":{\"address\":\"%s\",\"cpus\":[0,1,2,3],\"mem\":8589934592,"
		       "\"topology\":{\"0\":{\"0\":[0,2],\"1\":[1,3]}}},\"added\":[",
		       stand_in_url(&agent, url, sizeof(url)));
		for (int i = 0; i < CONTAINERS; i++)
			append(text, size,
			       "%s{\"c\":%d,\"name\":\"h%dc%d\",\"limits\":{\"cpu\":-1,\"mem\":-1}}",
			       i ? "," : "", i + 1, f->host, i);
		append(text, size, "],");
	}
	append(text, size, "\"samples\":[");
	for (int i = 0; i < CONTAINERS; i++) {
		f->cpu_ns[i] += rand_r(&f->seed) % 40000000;
		append(text, size, "%s[%d,%llu,%lld,%d,%d,0,%d,%d,0,0,0,0,0]", i ? "," : "", i + 1,
		       (unsigned long long)now_ns(), (long long)f->cpu_ns[i], seq,
		       rand_r(&f->seed) % 2 ? seq : 0, 200 << 20, 100 << 20);
	}
	append(text, size, "]}");
}

static void *feed(void *userdata)
{
	struct feeder *f = userdata;
	char text[8192];

	for (int seq = 0; seq < MESSAGES && !f->wrong[0]; seq++) {
		int status;

		message(f, seq, text, sizeof(text));
		status = call("POST", "/feed", text, NULL);
		if (status != 200)
			snprintf(f->wrong, sizeof(f->wrong), "feed %d: %d", seq, status);
		usleep(10000);
	}
	return NULL;
}

/* --- somebody who changes things --- */

struct person {
	unsigned seed;
	atomic_bool *done;
	int calls;
	char wrong[256];
};

static void *operate(void *userdata)
{
	static const char *const reads[] = {
		"/structure/", "/metrics",   "/decision/?limit=5", "/rule/",
		"/service/",   "/heartbeat", "/structure/h0",      "/structure/h0c0/limits"};
	struct person *o = userdata;

	while (!atomic_load(o->done) && !o->wrong[0]) {
		char path[128], body[64] = "";
		const char *method = "PUT";
		int what = rand_r(&o->seed) % 8, status;
		int host = rand_r(&o->seed) % HOSTS, c = rand_r(&o->seed) % CONTAINERS;

		if (what <= 1) {
			method = "GET";
			snprintf(path, sizeof(path), "%s", reads[rand_r(&o->seed) % 8]);
		} else if (what <= 4) {
			snprintf(path, sizeof(path), "/structure/h%dc%d/%s", host, c,
				 rand_r(&o->seed) % 4 ? "guard" : "unguard");
		} else if (what == 5) {
			snprintf(path, sizeof(path), "/structure/h%dc%d/resources/cpu/max", host,
				 c);
			snprintf(body, sizeof(body), "{\"value\":\"%d\"}", rand_r(&o->seed) % 500);
		} else if (what == 6) {
			snprintf(path, sizeof(path), "/structure/h%dc%d/limits/cpu/boundary", host,
				 c);
			snprintf(body, sizeof(body), "{\"value\":%d}", rand_r(&o->seed) % 120);
		} else {
			snprintf(path, sizeof(path), "/service/scaler/PIN_CORES");
			snprintf(body, sizeof(body), "{\"value\":\"%s\"}",
				 rand_r(&o->seed) % 2 ? "true" : "false");
		}
		status = call(method, path, *body ? body : NULL, NULL);
		o->calls++;
		/* Not known yet, not possible, no room: all are answers. */
		if (status != 200 && status != 400 && status != 404 && status != 409)
			snprintf(o->wrong, sizeof(o->wrong), "%s %s: %d", method, path, status);
	}
	return NULL;
}

/* What GET says of a host and its containers adds up. */
static void check_documents(int host)
{
	_cleanup_json_ json_t *list = NULL, *doc = NULL;
	json_t *item, *resources, *cores, *core, *shares;
	const char *cpu, *owner;
	int64_t held[2] = {0, 0};
	char path[64];
	size_t i;

	snprintf(path, sizeof(path), "/structure/?subtype=container&host=h%d", host);
	CHECK_INT(call("GET", path, NULL, &list), 200);
	CHECK_INT(json_array_size(list), CONTAINERS);
	json_array_foreach(list, i, item) {
		resources = json_object_get(item, "resources");
		for (int r = EBB_CPU; r <= EBB_MEM; r++) {
			json_t *resource = json_object_get(resources, ebb_resource_name(r));

			held[r] += json_integer_value(json_object_get(resource, "allocated"));
		}
	}
	snprintf(path, sizeof(path), "/structure/h%d", host);
	CHECK_INT(call("GET", path, NULL, &doc), 200);
	resources = json_object_get(doc, "resources");
	for (int r = EBB_CPU; r <= EBB_MEM; r++) {
		json_t *resource = json_object_get(resources, ebb_resource_name(r));

		CHECK_INT(json_integer_value(json_object_get(resource, "free")) + held[r],
			  json_integer_value(json_object_get(resource, "max")));
	}
	cores = json_object_get(json_object_get(resources, "cpu"), "core_usage_mapping");
	CHECK_INT(json_object_size(cores), 4);
	json_object_foreach(cores, cpu, core) {
		int64_t sum = 0;

		json_object_foreach(core, owner, shares)
			sum += json_integer_value(shares);
		CHECK_INT(sum, 100);
	}
}

TEST(controller_under_feed_and_change)
{
	struct feeder feeders[HOSTS];
	struct person people[2];
	pthread_t threads[HOSTS + 2];
	unsigned seed = (unsigned)test_seed(1);
	atomic_bool done = false;

	set_up();
	for (int i = 0; i < HOSTS; i++) {
		feeders[i] = (struct feeder){.host = i, .seed = seed + (unsigned)i};
		CHECK_INT(pthread_create(&threads[i], NULL, feed, &feeders[i]), 0);
	}
	for (int i = 0; i < 2; i++) {
		people[i] = (struct person){.seed = ~seed + (unsigned)i, .done = &done};
		CHECK_INT(pthread_create(&threads[HOSTS + i], NULL, operate, &people[i]), 0);
	}
	for (int i = 0; i < HOSTS; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&done, true);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[HOSTS + i], NULL);

	for (int i = 0; i < HOSTS; i++)
		CHECK_STR(feeders[i].wrong, "");
	for (int i = 0; i < 2; i++)
		CHECK_STR(people[i].wrong, "");
	printf("# %d changes and reads, %zu orders\n", people[0].calls + people[1].calls,
	       stand_in_n_asked(&agent));
	CHECK(stand_in_n_asked(&agent) > 0);
	for (int i = 0; i < HOSTS; i++)
		check_documents(i);

	/* The same from the state on disk. */
	stop();
	struct store *store = NULL;
	struct model *model = NULL;
	CHECK_INT(store_open(state, NULL, &store), 0);
	int r = model_new(store, &model);
	char *wrong = r < 0 ? NULL : model_check(model);
	model_free(model);
	store_close(store);
	CHECK_INT(r, 0);
	if (wrong)
		TEST_FAIL("%s", wrong);
}

TEST(controller_continues_after_a_restart)
{
	struct feeder f = {.host = 0, .seed = 1};
	_cleanup_json_ json_t *doc = NULL, *answer = NULL;
	char text[8192];

	set_up();
	message(&f, 0, text, sizeof(text));
	CHECK_INT(call("POST", "/feed", text, NULL), 200);
	CHECK_INT(call("PUT", "/structure/h0c0/resources/cpu/max", "{\"value\":300}", NULL), 200);
	CHECK_INT(call("PUT", "/structure/h0c0/guard", NULL, NULL), 200);
	stop();
	start();
	/* The agent's session means nothing to it. */
	message(&f, 1, text, sizeof(text));
	CHECK_INT(call("POST", "/feed", text, &answer), 409);
	CHECK(json_is_true(json_object_get(answer, "register")));
	CHECK_INT(call("GET", "/structure/h0c0", NULL, &doc), 200);
	CHECK(json_is_true(json_object_get(doc, "guard")));
	message(&f, 0, text, sizeof(text));
	CHECK_INT(call("POST", "/feed", text, NULL), 200);
	check_documents(0);
}

TEST(controller_refuses_a_second_one_and_a_taken_port)
{
	struct controller *second = NULL;
	char other[160];
	struct controller_options options = {
		.listen = "127.0.0.1:0",
		.state = state,
		.threads = 1,
	};

	set_up();
	CHECK_INT(controller_new(&options, &second), -EBUSY);
	snprintf(other, sizeof(other), "sqlite:%s/other/state.db", dir);
	options.state = other;
	options.listen = address + strlen("http://");
	CHECK_INT(controller_new(&options, &second), -EADDRINUSE);
	CHECK(second == NULL);
}

TEST(controller_tells_how_its_state_fares)
{
	_cleanup_json_ json_t *doc = NULL;
	struct http_request_options options = {
		.method = "GET", .address = address, .path = "/metrics"};
	struct http_result result;
	const json_t *of_state;

	set_up();
	CHECK_INT(call("PUT", "/service/scaler/REQUEST_TIMEOUT", "{\"value\": 9}", NULL), 200);
	do {
		json_decref(doc);
		CHECK_INT(call("GET", "/heartbeat", NULL, &doc), 200);
		of_state = json_object_get(doc, "state");
	} while (json_integer_value(json_object_get(of_state, "queued")) > 0);
	CHECK(json_is_true(json_object_get(of_state, "reachable")));
	CHECK(json_integer_value(json_object_get(of_state, "writes")) > 0);
	CHECK_NEAR(json_number_value(json_object_get(of_state, "oldest_queued_s")), 0, 0);
	CHECK_STR(json_string_value(json_object_get(of_state, "last_error")), "");

	CHECK_INT(http_call_blocking(&options, &result), 0);
	CHECK(result.body && strstr(result.body, "\nebb_store_reachable 1\n"));
	CHECK(strstr(result.body, "\nebb_store_queued ") &&
	      strstr(result.body, "\nebb_store_oldest_queued_seconds ") &&
	      strstr(result.body, "\nebb_store_conflicts_total 0\n"));
	http_result_clear(&result);
}

TEST_MAIN()
