/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of the controller's end of the feed: over HTTP, with the model and the scaler behind
 * it, and an agent that carries out orders. */
#ifndef EBB_TEST_FEED_FIXTURE_H
#define EBB_TEST_FEED_FIXTURE_H

#include "feed.h"

#include <errno.h>
#include <stdarg.h>

#include "agent_stand_in.h"
#include "ebb/cleanup.h"
#include "ebb/http_client.h"
#include "ebb/units.h"
#include "../../test.h"

#define MS 1000000LL

static struct stand_in agent;
static struct model *model;
static struct audit *audit;
static struct scaler *scaler;
static struct executor *executor;
static struct feed *feed;
static struct http_server *server;
static json_t *answer;
static long status;
static char agent_url[128];
static long long seq;

static inline void end_controller(void)
{
	if (server)
		http_server_free(TAKE_PTR(server));
	executor_free(TAKE_PTR(executor));
	feed_free(TAKE_PTR(feed));
	scaler_free(TAKE_PTR(scaler));
	audit_free(TAKE_PTR(audit));
	if (model)
		model_free(TAKE_PTR(model));
	json_decref(TAKE_PTR(answer));
}

static inline void release_all(void *arg)
{
	end_controller();
	stand_in_stop(&agent);
}

static inline void post(void *userdata, struct http_call *call)
{
	feed_handle(feed, call);
}

static inline void start_controller(void)
{
	static const struct http_route routes[] = {{HTTP_POST, "/feed", post, false}};
	struct http_server_options options = {
		.listen = "127.0.0.1:0",
		.body_max = 1 << 20,
		.connections_max = 16,
		.timeout_s = 30,
		.threads = 2,
		.routes = routes,
		.n_routes = 1,
	};

	CHECK_INT(model_new(NULL, &model), 0);
	CHECK_INT(audit_new(NULL, 64, &audit), 0);
	CHECK_INT(scaler_new(model, audit, &scaler), 0);
	CHECK_INT(feed_new(model, scaler, &feed), 0);
	CHECK_INT(executor_new(NULL, scaler_order_done, scaler, &executor), 0);
	scaler_set_sink(scaler, executor_sink(executor));
	CHECK_INT(http_server_new(&options, &server), 0);
}

static inline void start(void)
{
	test_at_end(release_all, NULL);
	seq = 0;
	CHECK_INT(stand_in_start(&agent), 0);
	stand_in_url(&agent, agent_url, sizeof(agent_url));
	start_controller();
}

static inline void send_text(const char *text)
{
	char address[128];
	struct http_request_options options = {
		.method = "POST",
		.address = address,
		.path = "/feed",
		.body = text,
		.body_len = strlen(text),
	};
	struct http_result result;

	snprintf(address, sizeof(address), "http://%s", http_server_address(server));
	CHECK_INT(http_call_blocking(&options, &result), 0);
	status = result.status;
	json_decref(answer);
	answer = json_loads(result.body ? result.body : "", 0, NULL);
	http_result_clear(&result);
}

/* A message of that session with the next seq, and `rest` (",...") in it. */
static inline void tell(const char *session, long long now, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static inline void tell(const char *session, long long now, const char *format, ...)
{
	char rest[8192], text[9000];
	va_list ap;

	va_start(ap, format);
	vsnprintf(rest, sizeof(rest), format, ap);
	va_end(ap);
	snprintf(text, sizeof(text),
		 "{\"host\":\"h0\",\"session\":\"%s\",\"seq\":%lld,\"guard_version\":%lld,"
		 "\"now\":%lld%s}",
		 session, ++seq, json_integer_value(json_object_get(answer, "guard_version")), now,
		 rest);
	send_text(text);
}

/* Registers h0 of 4 cores and 4,096 MiB with `added`. */
static inline void registers(const char *session, const char *added)
{
	tell(session, 1,
	     ",\"register\":{\"address\":\"%s\",\"cpus\":[0,1,2,3],\"mem\":4294967296,"
	     "\"topology\":{\"0\":{\"0\":[0],\"1\":[1],\"2\":[2],\"3\":[3]}}},"
	     "\"added\":[%s]",
	     agent_url, added);
}

#define WEB "{\"c\":1,\"name\":\"web\",\"limits\":{\"cpu\":100,\"cpus\":\"0\",\"mem\":512}}"
#define DB  "{\"c\":2,\"name\":\"db\",\"limits\":{\"cpu\":-1,\"cpus\":\"\",\"mem\":-1}}"

/* CPU time and throttling of container `c` at `t`. */
static inline void sample(const char *session, int c, long long t, long long cpu_ns, int periods,
			  int throttled)
{
	tell(session, t + 2 * MS,
	     ",\"samples\":[[%d,%lld,%lld,%d,%d,0,%lld,%lld,0,null,null,null,null]]", c, t, cpu_ns,
	     periods, throttled, 300 * (long long)EBB_MIB, 200 * (long long)EBB_MIB);
}

static inline double usage_of(const char *name, enum ebb_resource resource)
{
	struct structure *s;
	double usage;

	model_lock(model);
	s = model_structure(model, name);
	usage = s ? s->resources[resource].usage : -1;
	model_unlock(model);
	return usage;
}

static inline bool known(const char *name)
{
	bool found;

	model_lock(model);
	found = model_structure(model, name) != NULL;
	model_unlock(model);
	return found;
}

static inline void guard(const char *name, int max)
{
	_cleanup_free_ char *error = NULL;
	struct structure *s;
	int r;

	model_lock(model);
	s = model_structure(model, name);
	r = s ? model_set_parameter(model, s, EBB_CPU, "max", max, &error) : -ENOENT;
	if (r >= 0)
		r = model_guard(model, s, true, &error);
	scaler_run(scaler);
	model_unlock(model);
	if (r < 0)
		TEST_FAIL("guard %s: %s", name, error ? error : strerror(-r));
}

static inline void settle(void)
{
	struct scaler_stats stats;

	do {
		usleep(1000);
		model_lock(model);
		scaler_get_stats(scaler, &stats);
		model_unlock(model);
	} while (stats.in_flight);
}

#endif
