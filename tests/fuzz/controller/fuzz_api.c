/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The controller's API without a network: paths, bodies and whole series of calls, through the real
 * handlers on a model in memory. Calls are divided by empty lines, each "METHOD PATH", then the
 * body. Every call is answered once; one that is refused changes nothing; and it always adds up.
 */
#include "../fuzz.h"

#include <errno.h>
#include <stdarg.h>

#include "../../../lib/http_path.h"
#include "api.h"
#include "metrics.h"
#include "ebb/cleanup.h"
#include "ebb/log.h"

#define CALLS_MAX 16
#define ARGS_MAX  8

/* With the sanitizers a series of calls on a new model takes 20 ms. */
extern unsigned fuzz_changes_per_input;
unsigned fuzz_changes_per_input = 200;

/* --- the other side of the handlers: what lib/http_server.c is on a network --- */

struct http_request {
	const struct http_call *call;
	const char *keys[ARGS_MAX], *values[ARGS_MAX];
	size_t n_args;
	unsigned replies, status;
	bool deferred;
};

struct http_deferred {
	struct http_request *request;
};

static void reply(struct http_request *request, unsigned status, json_t *body)
{
	_cleanup_free_ char *text = json_dumps(body, JSON_ENCODE_ANY);

	FUZZ_CHECK(status >= 200 && status < 600 && status != 500);
	FUZZ_CHECK(!body || text);
	request->replies++;
	request->status = status;
	json_decref(body);
}

void http_reply_json(struct http_call *call, unsigned status, json_t *body)
{
	FUZZ_CHECK(body);
	reply(call->request, status, body);
}

void http_reply_text(struct http_call *call, unsigned status, const char *content_type,
		     const char *text, size_t len)
{
	FUZZ_CHECK(strlen(content_type) > 0 && strnlen(text, len) == len);
	reply(call->request, status, NULL);
}

void http_reply_error(struct http_call *call, unsigned status, const char *format, ...)
{
	char message[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	FUZZ_CHECK(status >= 400 && *message);
	reply(call->request, status, NULL);
}

void http_reply_header(struct http_call *call, const char *name, const char *value)
{
	FUZZ_CHECK(*name && value);
}

int http_defer(struct http_call *call, struct http_deferred **ret_deferred)
{
	struct http_deferred *deferred = malloc(sizeof(*deferred));

	FUZZ_CHECK(deferred && !call->request->deferred);
	deferred->request = call->request;
	call->request->deferred = true;
	*ret_deferred = deferred;
	return 0;
}

void http_resume_header(struct http_deferred *deferred, const char *name, const char *value)
{
	FUZZ_CHECK(deferred && *name && value);
}

void http_resume_json(struct http_deferred *deferred, unsigned status, json_t *body)
{
	reply(deferred->request, status, body);
	free(deferred);
}

void http_resume_error(struct http_deferred *deferred, unsigned status, const char *message)
{
	FUZZ_CHECK(status >= 400 && message);
	reply(deferred->request, status, NULL);
	free(deferred);
}

const char *http_query(struct http_call *call, const char *key)
{
	for (size_t i = 0; i < call->request->n_args; i++)
		if (strcmp(call->request->keys[i], key) == 0)
			return call->request->values[i];
	return NULL;
}

const char *http_header(struct http_call *call, const char *name)
{
	(void)call;
	(void)name;
	return NULL;
}

char *http_call_target_with(struct http_call *call, const char *key, const char *value)
{
	FUZZ_CHECK(*key && *value);
	return http_call_target(call);
}

char *http_call_target(struct http_call *call)
{
	return strdup(call->path);
}

json_t *http_body_object(struct http_call *call)
{
	json_error_t error;
	json_t *body = json_loadb(call->body, call->body_len, JSON_REJECT_DUPLICATES, &error);

	if (json_is_object(body))
		return body;
	json_decref(body);
	http_reply_error(call, 400, "the body must be a JSON object: %s", error.text);
	return NULL;
}

void http_server_get_stats(const struct http_server *server, struct http_server_stats *ret_stats)
{
	(void)server;
	*ret_stats = (struct http_server_stats){0};
}

/* --- a site --- */

struct given {
	struct given *next;
	struct order order;
};

static struct site {
	struct model *model;
	struct audit *audit;
	struct scaler *scaler;
	struct feed *feed;
	struct api api;
	struct http_route *routes;
	size_t n_routes;
	struct given *orders;
	double now;
} site;

static double site_wall(void *unused)
{
	return site.now;
}

static uint64_t site_ns(void *unused)
{
	return (uint64_t)(site.now * 1e9);
}

static const struct timebase site_time = {site_wall, site_ns, NULL};

static int submit(void *unused, struct order *order)
{
	struct given **link = &site.orders, *given = calloc(1, sizeof(*given));

	FUZZ_CHECK(given);
	given->order = *order;
	while (*link)
		link = &(*link)->next;
	*link = given;
	return 0;
}

/* Every third is refused by the agent. */
static void carry_out_orders(void)
{
	static unsigned n;

	while (site.orders) {
		struct given *given = site.orders;
		bool ok = ++n % 3 != 0;
		struct order_result result = {
			.ok = ok,
			.status = ok ? 201 : 500,
			.error = "told to",
			.resources = ok ? given->order.body : NULL,
			.applied_ns = site_ns(NULL),
		};

		site.orders = given->next;
		scaler_order_done(site.scaler, given->order.userdata, &result);
		free(given->order.address);
		free(given->order.container);
		json_decref(given->order.body);
		free(given);
	}
}

static const char registration[] =
	"{\"host\":\"h0\",\"register\":{\"address\":\"http://127.0.0.1:1\",\"cpus\":[0,1,2,3],"
	"\"mem\":8589934592,\"topology\":{\"0\":{\"0\":[0],\"1\":[1],\"2\":[2],\"3\":[3]}}}}";
static const char *const added[] = {
	"{\"c\":1,\"name\":\"c0\",\"limits\":{\"cpu\":200,\"cpus\":\"0-3\",\"mem\":512}}",
	"{\"c\":2,\"name\":\"c1\",\"limits\":{\"cpu\":-1,\"cpus\":\"0-3\",\"mem\":-1}}",
};
static const char application[] =
	"{\"type\":\"structure\",\"subtype\":\"application\",\"name\":\"app1\",\"guard\":false,"
	"\"containers\":[\"c0\"],\"resources\":{\"cpu\":{\"max\":400,\"min\":20,\"guard\":false}}}";

static void start(void)
{
	_cleanup_json_ json_t *message = json_loads(registration, 0, NULL);
	_cleanup_json_ json_t *doc = json_loads(application, 0, NULL);
	struct structure *s;
	struct host *host;

	site.now = 1000;
	FUZZ_CHECK(model_new(NULL, &site.model) == 0);
	site.model->time = &site_time;
	FUZZ_CHECK(audit_new(NULL, 64, &site.audit) == 0);
	FUZZ_CHECK(scaler_new(site.model, site.audit, &site.scaler) == 0);
	scaler_set_sink(site.scaler, (struct order_sink){submit, NULL});
	FUZZ_CHECK(feed_new(site.model, site.scaler, &site.feed) == 0);
	site.api = (struct api){
		.model = site.model,
		.scaler = site.scaler,
		.audit = site.audit,
		.feed = site.feed,
		.started = site.now,
	};
	FUZZ_CHECK(api_routes(&site.routes, &site.n_routes) == 0);
	model_lock(site.model);
	FUZZ_CHECK(model_register_host(site.model, message, &host) == 0);
	host->connected = true;
	host->last_heard = site.now;
	for (size_t i = 0; i < ARRAY_SIZE(added); i++) {
		_cleanup_json_ json_t *container = json_loads(added[i], 0, NULL);

		FUZZ_CHECK(model_register_container(site.model, host, container, &s) == 0);
	}
	FUZZ_CHECK(structure_from_json(doc, NULL, &s, NULL) == 0);
	FUZZ_CHECK(model_add(site.model, s) == 0);
	FUZZ_CHECK(model_guard(site.model, model_structure(site.model, "c0"), true, NULL) == 0);
	scaler_run(site.scaler);
	model_unlock(site.model);
	carry_out_orders();
}

static void stop(void)
{
	feed_free(site.feed);
	scaler_free(site.scaler);
	audit_free(site.audit);
	model_free(site.model);
	free(site.routes);
	site = (struct site){0};
}

/* All that a call could change. Caller frees. */
static char *state(void)
{
	json_t *structures = json_object(), *limits = json_object(), *users = json_object(), *all;
	struct structure *s;
	char *text;

	model_foreach_structure(site.model, s) {
		json_t *doc = structure_limits_to_json(s);

		json_object_set_new(structures, s->name, structure_to_json(s));
		if (doc)
			json_object_set_new(limits, s->name, doc);
	}
	model_foreach_user(site.model, s) json_object_set_new(users, s->name, structure_to_json(s));
	all = json_pack("{s:o, s:o, s:o, s:O, s:O}", "structures", structures, "limits", limits,
			"users", users, "rules", site.model->rules, "services",
			site.model->services);
	text = json_dumps(all, JSON_COMPACT | JSON_SORT_KEYS);
	FUZZ_CHECK(all && text);
	json_decref(all);
	return text;
}

/* --- calls --- */

static void split_query(struct http_request *request, char *query)
{
	char *rest = query;

	while (rest && *rest && request->n_args < ARGS_MAX) {
		char *pair = strsep(&rest, "&"), *value = strchr(pair, '=');

		if (value)
			*value++ = '\0';
		request->keys[request->n_args] = pair;
		request->values[request->n_args++] = value ? value : "";
	}
}

static int method_of(const char *name)
{
	static const char *const names[] = {"GET", "PUT", "POST", "DELETE"};

	for (int i = 0; i < HTTP_METHOD_MAX; i++)
		if (strcmp(name, names[i]) == 0)
			return i;
	return -1;
}

static const struct http_route *route_of(int method, const struct http_path *path,
					 struct http_call *call)
{
	for (size_t i = 0; i < site.n_routes; i++)
		if ((int)site.routes[i].method == method &&
		    http_path_matches(path, site.routes[i].pattern, call->captures))
			return &site.routes[i];
	return NULL;
}

static void check_unchanged(const char *before)
{
	_cleanup_free_ char *after = NULL;

	model_lock(site.model);
	after = state();
	model_unlock(site.model);
	FUZZ_CHECK(strcmp(before, after) == 0);
}

static void call_handler(const struct http_route *route, struct http_call *call)
{
	_cleanup_free_ char *before = NULL;
	char *wrong;

	model_lock(site.model);
	before = state();
	model_unlock(site.model);
	if (api_admit(&site.api, route, call))
		route->handler(&site.api, call);
	if (!call->request->deferred) {
		FUZZ_CHECK(call->request->replies == 1);
		/* A feed message is taken as far as it makes sense. */
		if (call->request->status >= 400 && strcmp(route->pattern, "/feed") != 0)
			check_unchanged(before);
	}
	carry_out_orders();
	FUZZ_CHECK(call->request->replies == 1);
	model_lock(site.model);
	wrong = model_check(site.model);
	if (wrong)
		fprintf(stderr, "%s %s %s: %s\n", call->path, call->body, route->pattern, wrong);
	FUZZ_CHECK(!wrong);
	model_unlock(site.model);
	site.now += 0.5;
}

/* "METHOD PATH\nBODY" */
static void make_call(char *text)
{
	char *body = strchr(text, '\n'), *target = strchr(text, ' '), *query;
	struct http_request request = {0};
	struct http_path path;
	struct http_call call = {.request = &request, .body = ""};
	const struct http_route *route;
	int method;

	if (body)
		*body++ = '\0';
	if (!target || (body && target > body))
		return;
	*target++ = '\0';
	query = strchr(target, '?');
	if (query)
		*query++ = '\0';
	method = method_of(text);
	if (method < 0 || http_path_parse(target, &path) < 0)
		return;
	call.method = (enum http_method)method;
	call.path = target;
	if (body) {
		call.body = body;
		call.body_len = strlen(body);
	}
	request.call = &call;
	split_query(&request, query);
	route = route_of(method, &path, &call);
	if (route)
		call_handler(route, &call);
	http_path_clear(&path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = fuzz_string(data, size);
	char *rest = text;

	log_set_level(LOG_LEVEL_ERROR);
	start();
	for (int i = 0; rest && i < CALLS_MAX; i++) {
		char *one = rest, *end = strstr(rest, "\n\n");

		if (end)
			*end = '\0';
		rest = end ? end + 2 : NULL;
		make_call(one);
	}
	stop();
	return 0;
}
