/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of the API over HTTP, on the controller's real parts. The agent's address is a port
 * that nobody listens on.
 */
#ifndef EBB_TEST_API_FIXTURE_H
#define EBB_TEST_API_FIXTURE_H

#include <unistd.h>

#include "api.h"
#include "quoted_json.h"
#include "test.h"
#include "ebb/cleanup.h"
#include "ebb/http_client.h"
#include "ebb/loop.h"

static struct fixture {
	struct model *model;
	struct audit *audit;
	struct scaler *scaler;
	struct executor *executor;
	struct subscriber *subscriber;
	struct feed *feed;
	struct http_route *routes;
	struct http_server *server;
	struct http_session *session;
	struct api api;
	char address[64];
	unsigned seq;
} f;

static void stop(void *unused)
{
	http_session_free(f.session);
	http_server_free(f.server);
	feed_free(f.feed);
	executor_free(f.executor);
	subscriber_free(f.subscriber);
	scaler_free(f.scaler);
	model_free(f.model);
	audit_free(f.audit);
	free(f.routes);
	memset(&f, 0, sizeof(f));
}

/* --- asking --- */

static long status;
static char *body;

static void free_body(void *unused)
{
	free(body);
	body = NULL;
}

/* What every call carries besides, such as "If-Match: ..."; NULL: nothing. */
static const char *with_header;

/* `with`: the body, or NULL. The answer is in `status` and `body`. */
static void ask_bytes(const char *method, const char *path, const char *with, size_t len)
{
	const char *const headers[] = {with_header, NULL};
	struct http_result result = {};

	CHECK_INT(http_session_call(f.session,
				    &(struct http_request_options){
					    .method = method,
					    .address = f.address,
					    .path = path,
					    .body = with,
					    .body_len = len,
					    .headers = headers,
				    },
				    &result),
		  0);
	if (!result.status)
		TEST_FAIL("%s %s: %s", method, path, result.error);
	status = result.status;
	free(body);
	body = TAKE_PTR(result.body);
	http_result_clear(&result);
}

/* Bodies are written with ' for ". */
static void ask(const char *method, const char *path, const char *with)
{
	char copy[4096] = "";

	if (with)
		snprintf(copy, sizeof(copy), "%s", with);
	requote(copy);
	ask_bytes(method, path, with ? copy : NULL, strlen(copy));
}

__attribute__((unused)) static json_t *answer(void)
{
	json_t *doc = json_loads(body ? body : "", JSON_DECODE_ANY, NULL);

	if (!doc)
		TEST_FAIL("not JSON: %s", body ? body : "(nothing)");
	return doc;
}

__attribute__((unused)) static json_t *get(const char *path)
{
	ask("GET", path, NULL);
	if (status != 200)
		TEST_FAIL("GET %s: %ld %s", path, status, body);
	return answer();
}

__attribute__((unused)) static json_t *put(const char *path, const char *with)
{
	ask("PUT", path, with);
	if (status != 200)
		TEST_FAIL("PUT %s: %ld %s", path, status, body);
	return answer();
}

/* Every document there is. Caller frees. */
__attribute__((unused)) static char *everything(void)
{
	static const char *const paths[] = {"/structure/", "/rule/", "/service/",
					    "/structure/c0/limits", "/structure/c1/limits"};
	char *all = strdup("");

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		char *more;

		ask("GET", paths[i], NULL);
		CHECK_INT(status, 200);
		CHECK(asprintf(&more, "%s%s\n", all, body) >= 0);
		free(all);
		all = more;
	}
	return all;
}

/* The call is refused with `want`, the error names the problem with `word`, nothing changed. */
__attribute__((unused)) static void refused_bytes(const char *method, const char *path,
						  const char *with, size_t len, long want,
						  const char *word)
{
	_cleanup_free_ char *before = everything(), *after = NULL;
	_cleanup_json_ json_t *doc = NULL;
	const char *message;

	ask_bytes(method, path, with, len);
	if (status != want)
		TEST_FAIL("%s %s %s: %ld %s, want %ld", method, path, with ? with : "", status,
			  body, want);
	doc = answer();
	CHECK(json_is_string(json_object_get(doc, "error")));
	message = json_string_value(json_object_get(doc, "message"));
	CHECK(message);
	if (word && !strstr(message, word))
		TEST_FAIL("%s %s %s: \"%s\" does not say \"%s\"", method, path, with ? with : "",
			  message, word);
	after = everything();
	if (strcmp(before, after))
		TEST_FAIL("%s %s %s changed the state:\n%s\n%s", method, path, with ? with : "",
			  before, after);
}

__attribute__((unused)) static void refused(const char *path, const char *with, long want,
					    const char *word)
{
	char copy[4096] = "";

	if (with)
		snprintf(copy, sizeof(copy), "%s", with);
	requote(copy);
	refused_bytes("PUT", path, with ? copy : NULL, strlen(copy), want, word);
}

/* Until no order is under way: what becomes of one is no part of the call that is looked at. */
__attribute__((unused)) static void settle(void)
{
	struct scaler_stats stats = {.in_flight = 1};

	for (int i = 0; i < 500 && stats.in_flight; i++) {
		usleep(10000);
		model_lock(f.model);
		scaler_get_stats(f.scaler, &stats);
		model_unlock(f.model);
	}
	CHECK_INT(stats.in_flight, 0);
}

/* A member by a path such as "resources.cpu.max"; 0 and a failure when it is not a number. */
__attribute__((unused)) static double number_at(const json_t *doc, const char *path)
{
	char copy[256], *saved, *key;

	snprintf(copy, sizeof(copy), "%s", path);
	for (key = strtok_r(copy, ".", &saved); key; key = strtok_r(NULL, ".", &saved))
		doc = json_object_get(doc, key);
	if (!json_is_number(doc))
		TEST_FAIL("no number at %s", path);
	return json_number_value(doc);
}

/* --- the world: one host of four CPUs, two containers --- */

static void start(void)
{
	test_at_end(stop, NULL);
	test_at_end(free_body, NULL);
	CHECK_INT(model_new(NULL, &f.model), 0);
	CHECK_INT(audit_new(NULL, 100, &f.audit), 0);
	CHECK_INT(scaler_new(f.model, f.audit, &f.scaler), 0);
	CHECK_INT(executor_new(NULL, scaler_order_done, f.scaler, &f.executor), 0);
	scaler_set_sink(f.scaler, executor_sink(f.executor));
	CHECK_INT(subscriber_new(f.model, f.scaler, executor_sink(f.executor), &f.subscriber), 0);
	CHECK_INT(feed_new(f.model, f.scaler, &f.feed), 0);
	f.api = (struct api){
		.model = f.model,
		.scaler = f.scaler,
		.audit = f.audit,
		.subscriber = f.subscriber,
		.feed = f.feed,
		.started = wall_seconds(),
	};
	struct http_server_options options = {
		.listen = "127.0.0.1:0",
		.body_max = 1 << 20,
		.connections_max = 16,
		.timeout_s = 10,
		.threads = 2,
		.userdata = &f.api,
	};
	with_header = NULL;
	CHECK_INT(http_session_new(&f.session), 0);
	CHECK_INT(api_routes(&f.routes, &options.n_routes), 0);
	options.routes = f.routes;
	CHECK_INT(http_server_new(&options, &f.server), 0);
	f.api.server = f.server;
	snprintf(f.address, sizeof(f.address), "http://%s", http_server_address(f.server));

	ask("POST", "/feed",
	    "{'host':'h0','session':'s1','seq':1,'guard_version':0,'now':5000000000,'register':{"
	    "'version':'0','address':'http://127.0.0.1:1','period_ms':100,'cpus':[0,1,2,3],"
	    "'mem':8589934592,'topology':{'0':{'0':[0],'1':[1],'2':[2],'3':[3]}},"
	    "'disk':{'path':'/','device':''},'kernel':'6','cgroup':'v1','sampler':'files'},"
	    "'added':[{'c':1,'name':'c0','engine':'cgroup','path':'x/c0','limits':{'cpu':200,"
	    "'cpus':'0-3','mem':512}},{'c':2,'name':'c1','engine':'cgroup','path':'x/c1',"
	    "'limits':{'cpu':-1,'cpus':'0-3','mem':-1}}],'samples':[]}");
	if (status != 200)
		TEST_FAIL("registration: %ld %s", status, body);
}

#endif
