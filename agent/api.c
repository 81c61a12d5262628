/* SPDX-License-Identifier: Apache-2.0 */
#include "api.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "limit_order.h"
#include "listing.h"
#include "net_limit.h"
#include "resources.h"
#include "sandbox.h"
#include "text.h"
#include "ebb/cleanup.h"
#include "ebb/config.h"
#include "ebb/http_server.h"
#include "ebb/log.h"
#include "ebb/loop.h"
#include "ebb/units.h"

/* An order is a few hundred bytes. */
#define BODY_MAX  (64U << 10)
#define MEMORY    (16U << 10) /* of each connection: headers are a few hundred bytes */
#define TIMEOUT_S 60
#define REQUEST_S 10

struct api {
	struct api_options options;
	struct http_server *server;
	struct listings *listings;
	bool refusing;
};

static void unknown_container(struct http_call *call, const char *name)
{
	http_reply_error(call, 404,
			 "there is no container \"%s\" on this host; GET /container/ lists them",
			 name);
}

/* NULL also for one that nobody is told of. */
static struct container *find_container(const struct api *api, const char *name)
{
	struct container *container = container_table_by_name(api->options.table, name);

	return container && !container->unnamed ? container : NULL;
}

/* New reference. Negative errno; limits_has_gone() tells whether the container is no more. */
static int read_resources(const struct api *api, const struct container *container, unsigned wanted,
			  json_t **ret_resources)
{
	const struct api_options *options = &api->options;
	struct limits limits;
	json_t *resources;

	if (!container)
		return -ENOENT;
	if (wanted) {
		int r = limits_read(options->hierarchies, container, options->host->disk, &limits);

		if (r == 0)
			r = limits_read_more(options->hierarchies, container, &limits);
		if (r == 0 && wanted & 1U << EBB_NET)
			net_limit_read(options->net, container, &limits);
		if (r < 0)
			return r;
	}
	resources = resources_to_json(&limits, options->host, wanted);
	if (!resources)
		return -ENOMEM;
	resources_add_pressure(resources, container);
	*ret_resources = resources;
	return 0;
}

static void reply_one(struct api *api, struct http_call *call, const char *name, unsigned wanted)
{
	struct container *container = find_container(api, name);
	json_t *resources;
	int r = read_resources(api, container, wanted, &resources);

	if (limits_has_gone(r))
		unknown_container(call, name);
	else if (r < 0)
		http_reply_error(call, 500, "the limits of \"%s\" cannot be read: %s", name,
				 strerror(-r));
	else
		http_reply_json(call, 200, resources);
}

/* All containers, or the one that ?name= tells. */
static void reply_all(struct api *api, struct http_call *call, unsigned wanted)
{
	const char *name = http_query(call, "name");

	if (name)
		reply_one(api, call, name, wanted);
	else
		listings_reply(api->listings, call, wanted);
}

static unsigned wanted_resources(struct http_call *call)
{
	unsigned wanted = 0;

	for (int r = 0; r < EBB_RESOURCE_MAX; r++) {
		if (http_query(call, ebb_resource_name(r)))
			wanted |= 1U << r;
	}
	/* The old name for both directions. */
	if (http_query(call, "disk"))
		wanted |= 1U << EBB_DISK_READ | 1U << EBB_DISK_WRITE;
	return wanted;
}

/* Seconds since the newest sample; negative: there is none. */
static double sample_age(const struct metrics_source *source)
{
	struct container *container;
	struct ebb_sample sample;
	uint64_t newest = 0, now;

	container_table_foreach(source->table, container) {
		if (container->slot >= 0 && sampler_read(source->sampler, container->slot, &sample))
			newest = MAX(newest, (uint64_t)sample.at_ns);
	}
	now = now_ns();
	return newest ? (double)(now - MIN(now, newest)) / (double)EBB_NS_PER_SEC : -1;
}

/* What `ebb doctor` asks. */
static json_t *opentsdb_health(struct tsdb *tsdb)
{
	struct tsdb_stats stats;

	tsdb_get_stats(tsdb, &stats);
	return json_pack("{s:b, s:I, s:f, s:I, s:I, s:s}", "reachable", stats.reachable,
			 "waiting_points", (json_int_t)stats.waiting_points, "oldest_s",
			 stats.oldest_s, "dropped", (json_int_t)stats.dropped, "rejected",
			 (json_int_t)stats.rejected, "error", stats.last_error);
}

static void get_heartbeat(void *userdata, struct http_call *call)
{
	const struct api *api = userdata;
	const struct metrics_source *source = api->options.metrics;
	struct feed_stats feed = {0};
	json_t *beat =
		json_pack("{s:s, s:s, s:I}", "status", "alive", "version", ebb_version(),
			  "containers", (json_int_t)container_table_count(api->options.table));
	json_t *privileges;
	double age;

	if (source->sampler) {
		json_object_set_new(beat, "sampler", json_string(sampler_name(source->sampler)));
		json_object_set_new(beat, "sampler_reason",
				    json_string(sampler_reason(source->sampler)));
		age = sample_age(source);
		if (age >= 0)
			json_object_set_new(beat, "sample_age_s", json_real(age));
	}
	if (source->feed) {
		feed_get_stats(source->feed, &feed);
		json_object_set_new(beat, "controller_connected", json_boolean(feed.connected));
		json_object_set_new(beat, "controller", json_string(feed_controller(source->feed)));
		json_object_set_new(beat, "term",
				    json_integer((json_int_t)api->options.term->seen));
	}
	privileges = sandbox_describe();
	if (privileges)
		json_object_set_new(beat, "privileges", privileges);
	if (source->tsdb)
		json_object_set_new(beat, "opentsdb", opentsdb_health(source->tsdb));
	http_reply_json(call, 200, beat);
}

static void get_topology(void *userdata, struct http_call *call)
{
	struct api *api = userdata;
	json_t *topology = host_topology(NULL, &api->options.host->online);

	if (!topology)
		http_reply_error(call, 500, "the CPU topology cannot be read; is /sys mounted?");
	else
		http_reply_json(call, 200, topology);
}

static void get_nodes(void *userdata, struct http_call *call)
{
	struct api *api = userdata;
	json_t *nodes = host_nodes(NULL, &api->options.host->online);

	if (!nodes)
		http_reply_error(call, 500, "out of memory");
	else
		http_reply_json(call, 200, nodes);
}

static void get_containers(void *userdata, struct http_call *call)
{
	reply_all(userdata, call, RESOURCES_ALL);
}

static void get_container(void *userdata, struct http_call *call)
{
	reply_one(userdata, call, call->captures[0], RESOURCES_ALL);
}

static void get_all_resources(void *userdata, struct http_call *call)
{
	reply_all(userdata, call, wanted_resources(call));
}

static void get_resources(void *userdata, struct http_call *call)
{
	reply_one(userdata, call, call->captures[0], wanted_resources(call));
}

static void get_metrics(void *userdata, struct http_call *call)
{
	struct api *api = userdata;
	struct metrics_source source = *api->options.metrics;
	struct text text = {0};

	source.server = api->server;
	if (metrics_write(&text, &source) < 0)
		http_reply_error(call, 500, "out of memory");
	else
		http_reply_text(call, 200, "text/plain; version=0.0.4; charset=utf-8", text.data,
				text.len);
	text_clear(&text);
}

/* --- PUT /container/NAME ---------------------------------------------------------------------- */

/* An order under way: first within its handler's call, later deferred. */
struct put {
	struct api *api;
	struct http_call *call;
	struct http_deferred *deferred; /* NULL: answered for lack of memory */
	bool answered;
	uint64_t id;
	char *name;
	struct limit_order order;
	uint64_t accounts; /* that the controller made it from; UINT64_MAX: nobody's */
};

static void put_free(struct put *put)
{
	free(put->name);
	free(put);
}

static void put_header(struct put *put, const char *name, const char *value)
{
	if (put->call)
		http_reply_header(put->call, name, value);
	else if (put->deferred)
		http_resume_header(put->deferred, name, value);
}

static void put_reply(struct put *put, unsigned status, json_t *body)
{
	if (put->call)
		http_reply_json(put->call, status, body);
	else if (put->deferred)
		http_resume_json(TAKE_PTR(put->deferred), status, body);
	else
		json_decref(body);
}

__attribute__((format(printf, 3, 4))) static void put_error(struct put *put, unsigned status,
							    const char *format, ...)
{
	char message[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	if (put->call)
		http_reply_error(put->call, status, "%s", message);
	else if (put->deferred)
		http_resume_error(TAKE_PTR(put->deferred), status, message);
}

/* How memory came down, for who keeps a record of it. */
static void add_steps(json_t *mem, const struct apply_result *result)
{
	if (!mem)
		return;
	if (result->states[LIMIT_MEM_RECLAIM] == APPLY_WRITTEN)
		json_object_set_new(mem, "reclaimed",
				    json_real((double)result->mem_reclaimed / (double)EBB_MIB));
	if (result->mem_steps.n)
		json_object_set_new(mem, "steps", resources_steps_to_json(&result->mem_steps));
}

static void put_succeeded(struct put *put, const struct apply_result *result)
{
	struct container *container = container_table_by_id(put->api->options.table, put->id);
	char number[32];
	json_t *resources;
	int r = read_resources(put->api, container, RESOURCES_ALL, &resources);

	if (limits_has_gone(r)) {
		put_error(put, 404, "container \"%s\" has gone", put->name);
		return;
	}
	if (r < 0) {
		put_error(put, 500, "the limits of \"%s\" were set, but cannot be read back: %s",
			  put->name, strerror(-r));
		return;
	}
	snprintf(number, sizeof(number), "%" PRIu64, result->applied_ns);
	put_header(put, "Ebb-Applied-Ns", number);
	if (result->mem_floored) {
		put_header(put, "Ebb-Partial", "mem");
		json_object_set_new(json_object_get(resources, "mem"), "asked",
				    json_real((double)result->mem_asked / (double)EBB_MIB));
	}
	add_steps(json_object_get(resources, "mem"), result);
	put_reply(put, 201, resources);
}

static void put_failed(struct put *put, const struct apply_result *result)
{
	const char *key = limit_kind_key(result->failed);
	json_t *resources = json_object();
	char message[512];
	bool kept = false, replaced = result->error == -ECANCELED;

	for (int kind = 0; kind < LIMIT_KIND_MAX; kind++) {
		const char *resource = limit_kind_resource(kind);
		enum apply_state state = result->states[kind];

		if (state == APPLY_NOT_ASKED)
			continue;
		kept = kept || state == APPLY_NOT_PUT_BACK;
		if (!json_object_get(resources, resource))
			json_object_set_new(resources, resource, json_object());
		json_object_set_new(json_object_get(resources, resource), limit_kind_key(kind),
				    result->errors[kind]
					    ? json_sprintf("%s: %s", apply_state_text(state),
							   strerror(-result->errors[kind]))
					    : json_string(apply_state_text(state)));
	}
	add_steps(json_object_get(resources, "mem"), result);
	if (replaced)
		snprintf(message, sizeof(message),
			 "a newer order raised the memory of \"%s\" while this one was lowering it",
			 put->name);
	else
		snprintf(message, sizeof(message), "%s of \"%s\" cannot be set: %s; %s", key,
			 put->name,
			 result->failed == LIMIT_CPUS && result->error == -EBUSY
				 ? "a cgroup nested in it has CPUs that it would lose"
				 : strerror(-result->error),
			 kept ? "not all that was written before could be put back, see `resources`"
			      : "all limits are what they were");
	put_reply(put, replaced ? 409 : 500,
		  json_pack("{s:s, s:s, s:o}", "error",
			    replaced ? "Conflict" : "Internal Server Error", "message", message,
			    "resources", resources));
}

static void put_done(void *userdata, const struct apply_result *result)
{
	struct put *put = userdata;
	struct container *container = container_table_by_id(put->api->options.table, put->id);
	bool failed_write = result->states[result->failed] == APPLY_FAILED;

	if (result->error == 0 && container && put->api->options.grower)
		grower_ordered(put->api->options.grower, container, &put->order, result,
			       put->accounts);
	if (result->error == 0)
		put_succeeded(put, result);
	else if (result->gone)
		put_error(put, 404, "container \"%s\" has gone", put->name);
	else if (result->error == -EOPNOTSUPP && result->message[0])
		put_error(put, 400, "%s", result->message);
	else if (result->error == -ESHUTDOWN)
		put_error(put, 503, "the agent is stopping; ask again when it is back");
	else if (failed_write)
		put_failed(put, result);
	else
		put_error(put, 500, "the limits of \"%s\" cannot be read: %s", put->name,
			  strerror(-result->error));

	if (put->call)
		put->answered = true;
	else
		put_free(put);
}

/* Orders of controllers carry the term in which they lead; those of people do not. False: answered.
 */
static bool heed_term(struct api *api, struct http_call *call)
{
	const char *text = http_header(call, "Ebb-Term");
	uint64_t term;

	if (!text)
		return true;
	if (parse_u64(text, &term) < 0 || term < 1 || term > TERM_MAX) {
		http_reply_error(call, 400, "the header Ebb-Term takes a whole number from 1");
		return false;
	}
	if (term_heed(api->options.term, term) >= 0)
		return true;
	http_reply_json(call, 409,
			json_pack("{s:s, s:o, s:I}", "error", "Conflict", "message",
				  json_sprintf("this order is of term %" PRIu64
					       ", but a controller leads in term %" PRIu64
					       " by now; nothing was changed",
					       term, api->options.term->seen),
				  "term", (json_int_t)api->options.term->seen));
	return false;
}

static bool number_header(struct http_call *call, const char *name, uint64_t *ret_number,
			  bool *ret_bad)
{
	const char *text = http_header(call, name);

	if (!text)
		return false;
	if (parse_u64(text, ret_number) >= 0)
		return true;
	http_reply_error(call, 400, "the header %s takes a whole number", name);
	*ret_bad = true;
	return false;
}

/* Orders of controllers say what they were made from; those of people win over the reflex. False:
 * answered. */
static bool heed_growth(struct api *api, struct http_call *call, const struct container *container,
			const struct limit_order *order, uint64_t *ret_accounts)
{
	char message[512];
	uint64_t heard;
	bool bad = false;

	if (!number_header(call, "Ebb-Accounts", ret_accounts, &bad))
		*ret_accounts = UINT64_MAX;
	if (bad)
		return false;
	if (!number_header(call, "Ebb-Grown", &heard, &bad))
		return !bad;
	if (!api->options.grower ||
	    !grower_refuses(api->options.grower, container, order, heard, message, sizeof(message)))
		return true;
	http_reply_json(
		call, 409,
		json_pack("{s:s, s:s, s:b}", "error", "Conflict", "message", message, "grown", 1));
	return false;
}

static void put_container(void *userdata, struct http_call *call)
{
	struct api *api = userdata;
	const char *name = call->captures[0];
	struct container *container = find_container(api, name);
	struct limit_order order;
	char message[512] = "out of memory";
	int r;

	if (!container) {
		unknown_container(call, name);
		return;
	}
	if (api->refusing) {
		http_reply_error(call, 503, "this agent stops, and takes no more orders");
		return;
	}
	_cleanup_json_ json_t *body = http_body_object(call);
	if (!body)
		return;
	r = limit_order_parse(body, &api->options.host->online, &order, message, sizeof(message));
	if (r < 0) {
		http_reply_error(call, r == -EINVAL ? 400 : 500, "%s", message);
		return;
	}
	uint64_t accounts;
	if (!heed_term(api, call) || !heed_growth(api, call, container, &order, &accounts))
		return;

	struct put *put = calloc(1, sizeof(*put));
	char *copy = put ? strdup(container->name) : NULL;
	if (!copy) {
		free(put);
		http_reply_error(call, 500, "out of memory");
		return;
	}
	*put = (struct put){
		.api = api,
		.call = call,
		.id = container->id,
		.name = copy,
		.order = order,
		.accounts = accounts,
	};
	r = applier_submit(api->options.applier, container, &order, put_done, put);
	if (r == -EBUSY)
		http_reply_error(call, 503,
				 "too many orders wait for \"%s\"; ask again in a second", name);
	else if (r < 0)
		http_reply_error(call, r == -ESHUTDOWN ? 503 : 500, "%s", strerror(-r));
	if (r < 0 || put->answered) {
		put_free(put);
		return;
	}

	/* Memory is being reclaimed: the answer comes later. */
	put->call = NULL;
	if (http_defer(call, &put->deferred) < 0)
		http_reply_error(call, 500, "out of memory; the order itself is carried out");
}

static const struct http_route routes[] = {
	{HTTP_GET, "/heartbeat", get_heartbeat, true},
	{HTTP_GET, "/host/cpu_topology", get_topology, false},
	{HTTP_GET, "/host/numa_nodes", get_nodes, false},
	{HTTP_GET, "/container", get_containers, false},
	/* Before the next: a container called "resources" is at ?name=resources. */
	{HTTP_GET, "/container/resources", get_all_resources, false},
	{HTTP_GET, "/container/*", get_container, false},
	{HTTP_GET, "/container/resources/*", get_resources, false},
	{HTTP_PUT, "/container/*", put_container, false},
	{HTTP_GET, "/metrics", get_metrics, false},
};

void api_refuse_orders(struct api *api)
{
	api->refusing = true;
}

int api_new(const struct api_options *options, struct api **ret_api)
{
	struct api *api = calloc(1, sizeof(*api));
	int r;

	if (!api)
		return -ENOMEM;
	api->options = *options;
	r = listings_new(
		&(struct listings_options){
			.loop = options->loop,
			.hierarchies = options->hierarchies,
			.host = options->host,
			.table = options->table,
			.net = options->net,
		},
		&api->listings);
	if (r < 0) {
		free(api);
		return r;
	}
	r = http_server_new(
		&(struct http_server_options){
			.listen = options->listen,
			.identity = options->identity,
			.body_max = BODY_MAX,
			.token_on_reads = options->token_on_reads,
			.connections_max = API_CONNECTIONS_MAX,
			.memory = MEMORY,
			.timeout_s = TIMEOUT_S,
			.request_s = REQUEST_S,
			.threads = 1,
			.relay = true,
			.loop = options->loop,
			.routes = routes,
			.n_routes = ARRAY_SIZE(routes),
			.userdata = api,
		},
		&api->server);
	if (r < 0) {
		listings_free(api->listings);
		free(api);
		return r;
	}
	*ret_api = api;
	return 0;
}

void api_free(struct api *api)
{
	if (!api)
		return;
	listings_free(api->listings);
	http_server_free(api->server);
	free(api);
}

const char *api_address(const struct api *api)
{
	return http_server_address(api->server);
}
