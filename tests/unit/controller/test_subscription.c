/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subscriptions, from the body to the documents, with a host whose answers the test gives. What is
 * refused or fails leaves every document as it was, byte for byte, and the host too.
 */
#include "subscription.h"

#include <errno.h>

#include "fake_host.h"
#include "disks.h"
#include "guarding.h"
#include "hierarchy.h"
#include "memory_store.h"
#include "subscriber.h"
#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/loop.h"
#include "ebb/util.h"
#include "../../test.h"

static struct model *model;
static struct audit *audit;
static struct scaler *scaler;
static struct subscriber *subscriber;
static struct fake_host fake;
static struct timebase virtual_time;
static double virtual_now = 1000;

/* What the last subscription came to. */
static json_t *got;
static unsigned status;
static char *message;
static int n_done;

static void forget_outcome(void)
{
	json_decref(TAKE_PTR(got));
	free(TAKE_PTR(message));
	status = 0;
	n_done = 0;
}

static void release_all(void *unused)
{
	fake_answer_all(&fake, FATE_UNREACHED);
	subscriber_free(TAKE_PTR(subscriber));
	scaler_free(TAKE_PTR(scaler));
	audit_free(TAKE_PTR(audit));
	if (model)
		model_free(TAKE_PTR(model));
	json_decref(TAKE_PTR(fake.containers));
	forget_outcome();
}

static double wall(void *unused)
{
	return virtual_now;
}

static uint64_t now(void *unused)
{
	return (uint64_t)(virtual_now * 1e9);
}

/* Text with ' for ". */
static json_t *json_of(const char *text)
{
	_cleanup_free_ char *copy = strdup(text);
	json_error_t error;
	json_t *json;

	for (char *p = copy; *p; p++)
		if (*p == '\'')
			*p = '"';
	json = json_loads(copy, JSON_DECODE_ANY, &error);
	if (!json)
		TEST_FAIL("%s in %s", error.text, text);
	return json;
}

/* --- the world: host h0 of four cores and 8,192 MiB, whose agent reports c0 to c3 --- */

#define UNLIMITED                                                          \
	"{'cpu': {'cpu_allowance_limit': -1, 'cpu_num': '0-3'}, "          \
	"'mem': {'mem_limit': -1}, 'disk_read': {'disk_read_limit': -1}, " \
	"'disk_write': {'disk_write_limit': -1}}"

static void register_container(const char *name)
{
	_cleanup_json_ json_t *added =
		json_pack("{s:s, s:{s:i, s:s, s:i, s:i, s:i}}", "name", name, "limits", "cpu", -1,
			  "cpus", "0-3", "mem", -1, "disk_read", -1, "disk_write", -1);
	struct structure *s;

	fake_container(&fake, name, UNLIMITED);
	CHECK_INT(model_register_container(model, model_host(model, "h0"), added, &s), 0);
}

static void register_host(void)
{
	_cleanup_json_ json_t *host = json_of(
		"{'host': 'h0', 'register': {'address': 'http://127.0.0.1:1', 'cpus': [0,1,2,3], "
		"'mem': 8589934592, 'topology': {'0': {'0': [0], '1': [1], '2': [2], '3': [3]}}}}");
	struct host *h0;

	CHECK_INT(model_register_host(model, host, &h0), 0);
	h0->connected = true;
	h0->agent_heard = h0->last_heard = virtual_now;
	register_container("c0");
	register_container("c1");
	register_container("c2");
	register_container("c3");
}

static void start_empty(void)
{
	test_at_end(release_all, NULL);
	virtual_time = (struct timebase){.wall = wall, .now_ns = now};
	virtual_now = 1000;
	CHECK_INT(model_new(NULL, &model), 0);
	model->time = &virtual_time;
	CHECK_INT(audit_new(NULL, 4096, &audit), 0);
	CHECK_INT(scaler_new(model, audit, &scaler), 0);
	fake = (struct fake_host){.scaler = scaler, .containers = json_object()};
	scaler_set_sink(scaler, fake_sink(&fake));
	CHECK_INT(subscriber_new(model, scaler, fake_sink(&fake), &subscriber), 0);
	model->scaler.active = false;
	model->scaler.pin_cores = true;
}

static void start(void)
{
	start_empty();
	model_lock(model);
	register_host();
	model_unlock(model);
}

/* --- every document there is --- */

static void add_documents(json_t *all, const struct structure *s)
{
	json_t *limits = structure_limits_to_json(s);

	json_object_set_new(all, s->name, structure_to_json(s));
	if (limits) {
		char key[300];

		snprintf(key, sizeof(key), "limits of %s", s->name);
		json_object_set_new(all, key, limits);
	}
}

/* Sorted by name, and what is in force on the host. Caller frees. */
static char *everything(void)
{
	_cleanup_json_ json_t *all = json_object();
	struct structure *s;

	model_lock(model);
	/* A host's document is brought up to date when the lock is released. */
	for (size_t i = 0; i < model->n_hosts; i++)
		model_touch(model, model->hosts[i]->structure, MODEL_DIRTY_STRUCTURE);
	model_unlock(model);
	model_lock(model);
	model_foreach_structure(model, s)
		add_documents(all, s);
	json_object_set(all, "in force", fake.containers);
	model_unlock(model);
	return json_dumps(all, JSON_SORT_KEYS | JSON_INDENT(1));
}

static void check_adds_up(void)
{
	_cleanup_free_ char *wrong = NULL;

	model_lock(model);
	wrong = model_check(model);
	model_unlock(model);
	if (wrong)
		TEST_FAIL("%s", wrong);
}

static void check_same(const char *before, const char *what)
{
	_cleanup_free_ char *after = everything();

	check_adds_up();
	if (strcmp(before, after))
		TEST_FAIL("%s changed something:\n%s\n%s", what, before, after);
}

static struct structure *find(const char *name)
{
	struct structure *s = model_structure(model, name);

	if (!s)
		TEST_FAIL("there is no %s", name);
	return s;
}

/* A member by a path such as "resources.cpu.max". Borrowed. */
static json_t *at(json_t *doc, const char *path)
{
	char copy[256], *saved, *key;

	snprintf(copy, sizeof(copy), "%s", path);
	for (key = strtok_r(copy, ".", &saved); key; key = strtok_r(NULL, ".", &saved))
		doc = json_is_array(doc) ? json_array_get(doc, (size_t)atoi(key))
					 : json_object_get(doc, key);
	return doc;
}

/* Compact, into a static buffer. */
static const char *text_at(json_t *doc, const char *path)
{
	static char text[1024];
	char *dumped = json_dumps(at(doc, path), JSON_COMPACT | JSON_ENCODE_ANY);

	snprintf(text, sizeof(text), "%s", dumped ? dumped : "");
	free(dumped);
	return text;
}

static const char *document_at(const char *name, const char *path)
{
	_cleanup_json_ json_t *doc = NULL;

	model_lock(model);
	model_touch(model, find(name), MODEL_DIRTY_STRUCTURE);
	model_unlock(model);
	doc = structure_to_json(find(name));
	return text_at(doc, path);
}

/* --- subscribing --- */

static void on_done(void *userdata, json_t *doc, unsigned with, const char *why)
{
	forget_outcome();
	n_done++;
	got = doc;
	status = with;
	message = why ? strdup(why) : NULL;
}

/* What the old shell wrapper sends: all numbers are strings. */
#define CONTAINER                                                                                    \
	"{'container': {'name': 'c0', 'resources': {"                                                \
	"'cpu': {'max': '200', 'current': '200', 'min': '20', 'guard': 'false'}, "                   \
	"'mem': {'max': '6144', 'current': '6144', 'min': '512', 'guard': 'false'}}, "               \
	"'host_rescaler_ip': 'h0', 'host_rescaler_port': '8000', 'host': 'h0', 'guard': 'false', "   \
	"'subtype': 'container'}, "                                                                  \
	"'limits': {'resources': {'cpu': {'boundary': '10', 'boundary_type': 'percentage_of_max'}, " \
	"'mem': {'boundary': '10', 'boundary_type': 'percentage_of_max'}}}}"

#define HOST                                                                                 \
	"{'name': 'h1', 'host': 'h1', 'subtype': 'host', 'host_rescaler_ip': 'h1', "         \
	"'host_rescaler_port': '8000', 'resources': {'cpu': {'max': '800', 'free': '800'}, " \
	"'mem': {'max': '24576', 'free': '24576'}, 'energy': {'max': 200, 'free': 200}, "    \
	"'disks': [{'name': 'ssd_0', 'type': 'SSD', 'load': 0, 'path': '/dev/sdb', "         \
	"'max_read': 500, 'free_read': 500, 'max_write': '400', 'free_write': '400'}]}}"

#define APPLICATION                                                                                 \
	"{'app': {'name': 'app1', 'guard': 'false', 'subtype': 'application', 'resources': {"       \
	"'cpu': {'max': '1600', 'min': '20', 'guard': 'false', 'weight': '1'}, "                    \
	"'mem': {'max': '24576', 'min': '512', 'guard': 'false', 'weight': '1'}}, "                 \
	"'install_script': 'i.sh', 'install_files': '', 'runtime_files': 'r', 'output_dir': 'o', "  \
	"'start_script': 's.sh', 'stop_script': 'x.sh', 'framework': 'spark'}, "                    \
	"'limits': {'resources': {'cpu': {'boundary': '5', 'boundary_type': 'percentage_of_max'}, " \
	"'mem': {'boundary': '5', 'boundary_type': 'percentage_of_max'}}}}"

/* A copy of a body in which the member at `path` is `value`; NULL: it is not there. */
static json_t *body_with(const char *base, const char *path, const char *value)
{
	json_t *body = json_of(base), *parent = body;
	char above[256];
	const char *key = path;
	char *dot;

	if (!path)
		return body;
	snprintf(above, sizeof(above), "%s", path);
	dot = strrchr(above, '.');
	if (dot) {
		*dot = '\0';
		parent = at(body, above);
		key = dot + 1;
	}
	if (!parent)
		TEST_FAIL("no %s", path);
	if (json_is_array(parent)) {
		json_t *item = json_of(value);

		CHECK_INT(json_array_set_new(parent, (size_t)atoi(key), item), 0);
	} else if (value) {
		CHECK_INT(json_object_set_new(parent, key, json_of(value)), 0);
	} else {
		CHECK_INT(json_object_del(parent, key), 0);
	}
	return body;
}

static void begin_container(const char *name, json_t *body)
{
	forget_outcome();
	subscriber_container(subscriber, name, body, on_done, NULL);
	json_decref(body);
}

static void begin_host(const char *name, json_t *body)
{
	forget_outcome();
	subscriber_host(subscriber, name, body, on_done, NULL);
	json_decref(body);
}

static void check_done(unsigned want, const char *word)
{
	CHECK_INT(n_done, 1);
	if (status != want || (word && (!message || !strstr(message, word))))
		TEST_FAIL("%u %s, want %u with \"%s\"", status, message ? message : "(done)", want,
			  word ? word : "");
}

/* Of c0, with one change; all orders are carried out. */
static void subscribe(const char *path, const char *value)
{
	begin_container("c0", body_with(CONTAINER, path, value));
	fake_answer_all(&fake, FATE_DONE);
	check_done(200, NULL);
	check_adds_up();
}

static int leave(const char *name, char **ret_error)
{
	int r;

	model_lock(model);
	r = desubscribe(model, scaler, find(name), ret_error);
	model_unlock(model);
	check_adds_up();
	return r;
}

/* --- containers --- */

TEST(a_container_as_the_old_wrapper_sends_it)
{
	start();
	begin_container("c0", json_of(CONTAINER));
	/* First it is asked what is in force. */
	CHECK_INT(fake.n, 1);
	CHECK_STR(fake_next(&fake), "");
	CHECK(fake_answer(&fake, FATE_DONE));
	/* Then ordered, though the scaler is not active; memory that is lowered apart. */
	CHECK_INT(fake.n, 2);
	CHECK_INT(n_done, 0);
	fake_answer_all(&fake, FATE_DONE);
	check_done(200, NULL);
	CHECK_STR(text_at(got, "resources.cpu"),
		  "{\"max\":200,\"current\":200,\"min\":20,\"guard\":false,\"allocated\":200}");
	CHECK_STR(text_at(got, "resources.mem"),
		  "{\"max\":6144,\"current\":6144,\"min\":512,\"guard\":false,\"allocated\":6144}");
	CHECK_STR(text_at(got, "guard"), "false");
	CHECK_STR(text_at(got, "automatic"), "");
	CHECK_STR(text_at(got, "subscribing"), "");
	CHECK_STR(text_at(got, "resources.disk_read"), "");
	CHECK_STR(document_at("h0", "resources.cpu.free"), "200");
	CHECK_STR(document_at("h0", "resources.mem.free"), "2048");
	CHECK_STR(document_at("h0", "resources.cpu.core_usage_mapping.0.c0"), "100");
	CHECK_STR(document_at("h0", "resources.cpu.core_usage_mapping.0.free"), "0");
	CHECK_STR(text_at(fake.containers, "c0.cpu"),
		  "{\"cpu_allowance_limit\":200,\"cpu_num\":\"0,1\"}");
	CHECK_STR(text_at(fake.containers, "c0.mem"), "{\"mem_limit\":6144}");
	CHECK_INT(find("c0")->resources[EBB_CPU].boundary, 10);
	CHECK_INT(find("c0")->resources[EBB_CPU].upper, 180);
	check_adds_up();
}

TEST(a_container_may_be_guarded_from_the_start)
{
	start();
	subscribe("container.guard", "'true'");
	CHECK(find("c0")->guard);
	CHECK(find("c0")->guard_state);
	CHECK(model_host(model, "h0")->guard_version > 0);
}

TEST(fields_that_are_not_ours_are_kept)
{
	start();
	subscribe("container.guard_policy", "'serverless'");
	CHECK_STR(document_at("c0", "guard_policy"), "\"serverless\"");
}

TEST(what_is_the_controllers_to_say_is_not_taken_from_a_body)
{
	start();
	subscribe("container.resources.cpu",
		  "{'max': 200, 'current': 100, 'min': 20, 'guard': false, 'allocated': 7, "
		  "'usage': 99, 'held': true, 'operating': true}");
	CHECK_INT(find("c0")->resources[EBB_CPU].allocated, 100);
	CHECK_INT(find("c0")->held, 0);
	CHECK_STR(document_at("c0", "resources.cpu.held"), "");
	CHECK_INT(find("c0")->operating, 0);
}

struct refusal {
	const char *path, *value; /* of the body */
	unsigned status;
	const char *word; /* in the message */
};

static void check_refusals(const char *base, const char *name,
			   void (*begin)(const char *name, json_t *body),
			   const struct refusal *refusals, size_t n)
{
	_cleanup_free_ char *before = everything();

	for (size_t i = 0; i < n; i++) {
		begin(name, body_with(base, refusals[i].path, refusals[i].value));
		if (!n_done)
			TEST_FAIL("%s = %s is not refused", refusals[i].path, refusals[i].value);
		check_done(refusals[i].status, refusals[i].word);
		CHECK_INT(fake.n, 0);
		check_same(before, refusals[i].path);
	}
}

TEST(containers_that_cannot_be_are_refused)
{
	static const struct refusal refusals[] = {
		{"container", NULL, 400, "Missing key 'container'"},
		{"container", "7", 400, "container must be an object"},
		{"container.name", NULL, 400, "Missing key 'container.name'"},
		{"container.resources", NULL, 400, "Missing key 'container.resources'"},
		{"container.host_rescaler_ip", NULL, 400, "container.host_rescaler_ip"},
		{"container.host_rescaler_port", NULL, 400, "container.host_rescaler_port"},
		{"container.host", NULL, 400, "Missing key 'container.host'"},
		{"container.guard", NULL, 400, "Missing key 'container.guard'"},
		{"container.subtype", NULL, 400, "Missing key 'container.subtype'"},
		{"container.name", "'c1'", 400, "must be the same"},
		{"container.name", "7", 400, "must be the same"},
		{"container.subtype", "'host'", 400, "container.subtype must be \"container\""},
		{"container.guard", "'perhaps'", 400, "container.guard must be true or false"},
		{"container.host", "'h9'", 400, "there is no host 'h9'"},
		{"container.host", "'c1'", 400, "there is no host 'c1'"},
		{"container.host", "{}", 400, "container.host must be the name"},
		{"container.host_rescaler_ip", "'http://h0/x?'", 400, "host_rescaler_ip"},
		{"container.host_rescaler_port", "'eighty'", 400, "host_rescaler_port"},
		{"container.resources", "[]", 400, "container.resources must be an object"},
		{"container.resources.cpu", NULL, 400, "Missing key 'container.resources.cpu'"},
		{"container.resources.mem", NULL, 400, "Missing key 'container.resources.mem'"},
		{"container.resources.gpu", "{}", 400, "Resource 'gpu'"},
		{"container.resources.cpu", "'x'", 400,
		 "container.resources.cpu must be an object"},
		{"container.resources.cpu.max", NULL, 400, "container.resources.cpu.max"},
		{"container.resources.cpu.min", NULL, 400, "container.resources.cpu.min"},
		{"container.resources.cpu.current", NULL, 400, "container.resources.cpu.current"},
		{"container.resources.cpu.guard", NULL, 400, "container.resources.cpu.guard"},
		{"container.resources.cpu.max", "'many'", 400, "must be a number"},
		{"container.resources.cpu.max", "true", 400, "must be a number"},
		{"container.resources.cpu.max", "200.5", 400, "must be a whole number"},
		{"container.resources.cpu.max", "-200", 400, "must be a whole number from"},
		{"container.resources.cpu.max", "'1e999'", 400, "must be a number"},
		{"container.resources.cpu.max", "9999999999", 400, "must be a whole number from"},
		{"container.resources.cpu.max", "0", 400, "must be a whole number from 1"},
		{"container.resources.cpu.current", "0", 400, "must be a whole number from 1"},
		{"container.resources.cpu.min", "'201'", 400, "min 201 is above max 200"},
		{"container.resources.cpu.current", "19", 400, "is not from min 20 to max 200"},
		{"container.resources.cpu.current", "201", 400, "is not from min 20 to max 200"},
		{"container.resources.mem.max", "63", 400, "must be a whole number from 64"},
		{"container.resources.cpu.weight", "-1", 400, "weight must be a number"},
		{"container.resources.cpu.guard", "2", 400, "guard must be true or false"},
		{"container.resources.mem", "{'max': 8193, 'current': 8193, 'min': 64, 'guard': 0}",
		 409, "does not have enough free mem"},
		{"container.resources.cpu", "{'max': 500, 'current': 401, 'min': 1, 'guard': 0}",
		 409, "c0 wants 401 shares, 400 are free"},
		{"container.resources.disk", "7", 400,
		 "container.resources.disk must be an object"},
		{"container.resources.disk", "{'name': 'ssd_0'}", 400, "disk.path"},
		{"container.resources.disk", "{'name': 'ssd_0', 'path': 8}", 400, "disk.path"},
		{"container.resources.disk", "{'name': 'ssd_0', 'path': '/mnt'}", 400, "disk_read"},
		{"container.resources.net", "{'max': 9, 'current': 9, 'min': 1, 'guard': false}",
		 400, "cannot limit net"},
		{"limits", NULL, 400, "Missing key 'limits'"},
		{"limits.resources", NULL, 400, "limits.resources must be an object"},
		{"limits.resources.cpu", NULL, 400, "Missing key 'limits.resources.cpu'"},
		{"limits.resources.mem", NULL, 400, "Missing key 'limits.resources.mem'"},
		{"limits.resources.cpu", "[]", 400, "limits.resources.cpu must be an object"},
		{"limits.resources.energy", "{}", 400, "has no counterpart"},
		{"limits.resources.cpu.boundary", NULL, 400, "limits.resources.cpu.boundary"},
		{"limits.resources.cpu.boundary", "101", 400, "0 to 100"},
		{"limits.resources.cpu.boundary", "-1", 400, "limits.resources.cpu.boundary"},
		{"limits.resources.cpu.boundary_type", NULL, 400, "percentage_of_max"},
		{"limits.resources.cpu.boundary_type", "'absolute'", 400, "percentage_of_max"},
	};

	start();
	check_refusals(CONTAINER, "c0", begin_container, refusals, ARRAY_SIZE(refusals));
}

TEST(names_that_cannot_be_are_refused)
{
	_cleanup_free_ char *before = NULL;

	start();
	before = everything();
	begin_container("free", body_with(CONTAINER, "container.name", "'free'"));
	check_done(400, "not 'free'");
	begin_container("h0", body_with(CONTAINER, "container.name", "'h0'"));
	check_done(409, "There is a host 'h0' already");
	begin_container("c9", body_with(CONTAINER, "container.name", "'c9'"));
	check_done(400, "reports no container 'c9'");
	check_same(before, "a bad name");
}

TEST(what_is_subscribed_is_not_subscribed_again)
{
	_cleanup_free_ char *before = NULL;

	start();
	subscribe(NULL, NULL);
	before = everything();
	begin_container("c0", body_with(CONTAINER, "container.resources.cpu.max", "400"));
	check_done(409, "DELETE /structure/container/c0");
	CHECK_INT(fake.n, 0);
	check_same(before, "the second subscription");
}

TEST(one_subscription_of_a_name_at_a_time)
{
	start();
	begin_container("c0", json_of(CONTAINER));
	CHECK_INT(n_done, 0);
	begin_container("c0", json_of(CONTAINER));
	check_done(409, "is being subscribed");
	CHECK(fake_answer(&fake, FATE_DONE));
	begin_container("c0", json_of(CONTAINER));
	check_done(409, "is being subscribed");
	fake_answer_all(&fake, FATE_DONE);
	check_done(200, NULL);
}

TEST(an_agent_that_is_not_connected_is_not_asked)
{
	_cleanup_free_ char *before = NULL;

	start();
	before = everything();
	model_host(model, "h0")->connected = false;
	begin_container("c0", json_of(CONTAINER));
	check_done(409, "agent of host h0 is not connected");
	CHECK_INT(fake.n, 0);
	model_host(model, "h0")->connected = true;
	check_same(before, "a silent agent");
}

/* All ways in which it can end on the host, at each of the orders. */
TEST(what_fails_on_the_host_is_taken_back)
{
	for (int at_order = 0; at_order < 3; at_order++) {
		for (enum fate fate = FATE_REFUSED; fate < FATE_MAX; fate++) {
			_cleanup_free_ char *before = NULL;

			start();
			before = everything();
			begin_container("c0", json_of(CONTAINER));
			for (int i = 0; i < at_order; i++)
				CHECK(fake_answer(&fake, FATE_DONE));
			CHECK(fake_answer(&fake, fate));
			fake_answer_all(&fake, FATE_DONE);
			check_done(502, "told to");
			check_same(before, "a failure on the host");
			release_all(NULL);
		}
	}
}

TEST(an_agent_that_dies_between_leaves_nothing_behind)
{
	_cleanup_free_ char *before = NULL;

	start();
	before = everything();
	begin_container("c0", json_of(CONTAINER));
	CHECK(fake_answer(&fake, FATE_DONE));
	CHECK_INT(fake_answer_all(&fake, FATE_UNREACHED), 3);
	check_done(502, "could not be put back yet");
	check_same(before, "an agent that died");
}

TEST(old_limits_are_put_back_when_the_host_answers_again)
{
	_cleanup_free_ char *before = NULL;

	start();
	before = everything();
	begin_container("c0", json_of(CONTAINER));
	CHECK(fake_answer(&fake, FATE_DONE));
	CHECK(fake_answer(&fake, FATE_UNANSWERED));
	fake_answer_all(&fake, FATE_UNREACHED);
	check_done(502, "will be when its host answers");
	/* What was ordered is in force, and nobody was told. */
	CHECK_STR(text_at(fake.containers, "c0.cpu.cpu_allowance_limit"), "200");
	subscriber_tick(subscriber);
	CHECK_INT(fake.n, 0);
	virtual_now += 2;
	model_host(model, "h0")->connected = false;
	subscriber_tick(subscriber);
	CHECK_INT(fake.n, 0);
	model_host(model, "h0")->connected = true;
	subscriber_tick(subscriber);
	CHECK_INT(fake_answer_all(&fake, FATE_UNREACHED), 1);
	virtual_now += 2;
	subscriber_tick(subscriber);
	CHECK_INT(fake_answer_all(&fake, FATE_DONE), 1);
	check_same(before, "an agent that was away");
	virtual_now += 2;
	subscriber_tick(subscriber);
	CHECK_INT(fake.n, 0);
}

TEST(what_somebody_wants_meanwhile_is_not_put_back)
{
	start();
	begin_container("c0", json_of(CONTAINER));
	CHECK(fake_answer(&fake, FATE_DONE));
	CHECK_INT(fake_answer_all(&fake, FATE_UNREACHED), 3);
	check_done(502, "could not be put back yet");
	subscribe(NULL, NULL);
	virtual_now += 2;
	subscriber_tick(subscriber);
	CHECK_INT(fake.n, 0);
}

TEST(memory_that_cannot_be_lowered_takes_all_of_it_back)
{
	_cleanup_free_ char *before = NULL;

	start();
	before = everything();
	fake.mem_floor = 7000;
	begin_container("c0", json_of(CONTAINER));
	fake_answer_all(&fake, FATE_DONE);
	check_done(409, "mem of it is at 7000 MiB now");
	check_same(before, "memory in use");
}

TEST(what_takes_too_long_is_given_up)
{
	_cleanup_free_ char *before = NULL;

	start();
	before = everything();
	begin_container("c0", json_of(CONTAINER));
	fake.is_full = true;
	CHECK(fake_answer(&fake, FATE_DONE));
	fake.is_full = false;
	subscriber_tick(subscriber);
	CHECK_INT(n_done, 0);
	virtual_now += 16;
	subscriber_tick(subscriber);
	fake_answer_all(&fake, FATE_DONE);
	check_done(504, "in time");
	check_same(before, "what took too long");
}

/* The slow order, for memory, stays in the executor's queue for now. */
static struct order hold_back_memory(void)
{
	struct order held = fake.orders[(fake.first + 1) % 256];

	CHECK_INT(fake.n, 2);
	CHECK(json_object_get(held.body, "mem"));
	fake.n = 1;
	return held;
}

static void let_go(const struct order *held)
{
	CHECK_INT(fake.n, 0);
	fake.orders[fake.first] = *held;
	fake.n = 1;
}

TEST(what_is_given_up_while_an_order_is_queued_is_put_back_after_it)
{
	_cleanup_free_ char *before = NULL;
	struct order held;

	start();
	before = everything();
	begin_container("c0", json_of(CONTAINER));
	CHECK(fake_answer(&fake, FATE_DONE));
	held = hold_back_memory();
	CHECK(fake_answer(&fake, FATE_DONE));
	virtual_now += 16;
	subscriber_tick(subscriber);
	CHECK_INT(fake.n, 0);
	let_go(&held);
	CHECK(fake_answer(&fake, FATE_DONE));
	CHECK_STR(text_at(fake.containers, "c0.mem"), "{\"mem_limit\":6144}");
	fake_answer_all(&fake, FATE_DONE);
	check_done(504, "in time");
	check_same(before, "what was queued");
}

static int request(const char *name, const char *pair, enum request_field field, int64_t amount)
{
	struct request request = {
		.structure = find(name),
		.pair = pair ? find(pair) : NULL,
		.resource = EBB_CPU,
		.field = field,
		.amount = amount,
		.timestamp = virtual_now,
		.origin = "tester",
	};
	int r;

	model_lock(model);
	r = scaler_request(scaler, &request);
	scaler_run(scaler);
	model_unlock(model);
	return r;
}

TEST(nothing_scales_what_is_being_subscribed)
{
	static const struct {
		const char *name, *pair;
		enum request_field field;
		int64_t amount, current, max;
	} cases[] = {
		{"c0", NULL, REQUEST_CURRENT, -50, 150, 200},
		{"c0", NULL, REQUEST_MAX, -50, 150, 150},
		{"c1", "c0", REQUEST_CURRENT, 50, 150, 200},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct order held;

		start();
		model->scaler.active = true;
		model->scaler.request_timeout = 1e6;
		begin_container("c1", body_with(CONTAINER, "container.name", "'c1'"));
		fake_answer_all(&fake, FATE_DONE);
		check_done(200, NULL);
		model_lock(model);
		CHECK_INT(model_set_parameter(model, find("c1"), EBB_CPU, "max", 400, NULL), 0);
		model_unlock(model);
		begin_container("c0", body_with(CONTAINER, "container.resources.mem",
						"{'max': 2048, 'current': 2048, 'min': 512, "
						"'guard': false}"));
		CHECK(fake_answer(&fake, FATE_DONE));
		held = hold_back_memory();
		CHECK(fake_answer(&fake, FATE_DONE));
		CHECK_INT(request(cases[i].name, cases[i].pair, cases[i].field, cases[i].amount),
			  0);
		CHECK_INT(fake.n, 0);
		CHECK_INT(find("c0")->resources[EBB_CPU].current, 200);
		let_go(&held);
		CHECK(fake_answer(&fake, FATE_DONE));
		check_done(200, NULL);
		CHECK_STR(text_at(got, "resources.cpu.current"), "200");
		/* Then it is its turn. */
		fake_answer_all(&fake, FATE_DONE);
		CHECK_INT(find("c0")->resources[EBB_CPU].current, cases[i].current);
		CHECK_INT(find("c0")->resources[EBB_CPU].max, cases[i].max);
		check_adds_up();
		release_all(NULL);
	}
}

TEST(nobody_guards_what_is_being_subscribed)
{
	static const struct guardian_config config = {.active = true, .guarded = ~0u};
	const struct guard_sample sample = {.at = 1, .seconds = 0.1};
	const struct sample_times times = {0};
	struct order held;

	start();
	begin_container("c0", body_with(CONTAINER, "container.guard", "true"));
	CHECK(fake_answer(&fake, FATE_DONE));
	held = hold_back_memory();
	CHECK(fake_answer(&fake, FATE_DONE));
	model_lock(model);
	CHECK(!guarding_take_sample(model, scaler, find("c0"), &config, &sample, &times));
	model_unlock(model);
	let_go(&held);
	fake_answer_all(&fake, FATE_DONE);
	check_done(200, NULL);
	model_lock(model);
	CHECK(guarding_take_sample(model, scaler, find("c0"), &config, &sample, &times));
	model_unlock(model);
}

static void lose_the_lead(void)
{
	model_lock(model);
	CHECK_INT(model_set_leading(model, false), 0);
	model_unlock(model);
}

TEST(a_host_does_not_come_in_once_the_lead_is_lost)
{
	_cleanup_free_ char *before = NULL;

	start();
	lose_the_lead();
	before = everything();
	begin_host("h1", json_of(HOST));
	check_done(503, "does not lead");
	CHECK_INT(fake.n, 0);
	check_same(before, "a host on a standby");
	release_all(NULL);

	start();
	begin_host("h1", json_of(HOST));
	lose_the_lead();
	CHECK(fake_answer(&fake, FATE_DONE));
	check_done(503, "does not lead");
	CHECK(!model_structure(model, "h1"));
}

/* After so many answers, and then by the next one or by time. */
TEST(a_container_does_not_come_in_once_the_lead_is_lost)
{
	for (int answers = -1; answers < 3; answers++) {
		for (int by_time = 0; by_time < 2; by_time++) {
			start();
			if (answers < 0)
				lose_the_lead();
			begin_container("c0", json_of(CONTAINER));
			for (int i = 0; i < answers; i++)
				CHECK(fake_answer(&fake, FATE_DONE));
			lose_the_lead();
			if (by_time)
				subscriber_tick(subscriber);
			fake_answer_all(&fake, FATE_DONE);
			check_done(503, "does not lead");
			CHECK_INT(fake.n, 0);
			/* Whoever leads takes it back: it is that one's to write. */
			CHECK_INT(find("c0")->subscription != 0, answers > 0);
			virtual_now += 60;
			subscriber_tick(subscriber);
			CHECK_INT(fake.n, 0);
			release_all(NULL);
		}
	}
}

TEST(old_limits_that_cannot_even_be_ordered_are_owed)
{
	_cleanup_free_ char *before = NULL;

	start();
	before = everything();
	begin_container("c0", json_of(CONTAINER));
	CHECK(fake_answer(&fake, FATE_DONE));
	CHECK(fake_answer(&fake, FATE_UNANSWERED));
	fake.is_full = true;
	CHECK(fake_answer(&fake, FATE_DONE));
	check_done(502, "will be when its host answers");
	fake.is_full = false;
	virtual_now += 2;
	subscriber_tick(subscriber);
	CHECK_INT(fake.n, 1);
	/* They may not come after what is ordered now. */
	begin_container("c0", json_of(CONTAINER));
	check_done(409, "is just getting back");
	CHECK(fake_answer(&fake, FATE_DONE));
	check_same(before, "an executor that was full");
	begin_container("c0", json_of(CONTAINER));
	fake_answer_all(&fake, FATE_DONE);
	check_done(200, NULL);
}

TEST(desubscribed_while_it_is_subscribed)
{
	_cleanup_free_ char *before = NULL;

	start();
	before = everything();
	begin_container("c0", json_of(CONTAINER));
	CHECK(fake_answer(&fake, FATE_DONE));
	CHECK_INT(leave("c0", NULL), 0);
	subscriber_tick(subscriber);
	check_done(409, "was desubscribed before");
	/* Its order was on the way; what it did is the container's own from now on. */
	CHECK(fake_answer(&fake, FATE_REFUSED));
	check_same(before, "both at once");
}

TEST(shares_that_others_take_meanwhile_are_not_promised_twice)
{
	_cleanup_free_ char *before = NULL;

	start();
	begin_container("c0", json_of(CONTAINER));
	begin_container("c1", body_with(CONTAINER, "container.name", "'c1'"));
	CHECK(fake_answer(&fake, FATE_DONE));
	before = everything();
	CHECK(fake_answer(&fake, FATE_DONE));
	check_done(409, "does not have enough free mem");
	check_same(before, "the second one");
	fake_answer_all(&fake, FATE_DONE);
	check_done(200, NULL);
	check_adds_up();
}

/* --- disks --- */

#define DISKS                                                                             \
	"{'resources': {'disks': [{'name': 'ssd_0', 'type': 'SSD', 'load': 0, "           \
	"'path': '/dev/sdb', 'max_read': '500', 'free_read': '500', 'max_write': '400', " \
	"'free_write': '400'}]}}"

static int put_disks(const char *path, const char *value, char **ret_error)
{
	_cleanup_json_ json_t *body = body_with(DISKS, path, value);
	int r;

	model_lock(model);
	r = subscribe_disks(model, find("h0"), body, ret_error);
	model_unlock(model);
	return r;
}

static int post_disks(const char *text, char **ret_error)
{
	_cleanup_json_ json_t *body = json_of(text);
	int r;

	model_lock(model);
	r = resize_disks(model, find("h0"), body, ret_error);
	model_unlock(model);
	return r;
}

static json_t *with_disk(int read, int write)
{
	json_t *body = json_of(CONTAINER), *resources = at(body, "container.resources");

	json_object_set_new(resources, "disk", json_of("{'name': 'ssd_0', 'path': '/mnt/ssd'}"));
	json_object_set_new(resources, "disk_read",
			    json_pack("{s:i, s:i, s:i, s:b}", "max", 300, "current", read, "min",
				      20, "guard", 0));
	json_object_set_new(resources, "disk_write",
			    json_pack("{s:i, s:i, s:i, s:b}", "max", 300, "current", write, "min",
				      20, "guard", 0));
	return body;
}

TEST(disks_are_bound_and_given_back)
{
	_cleanup_free_ char *before = NULL;

	start();
	CHECK_INT(put_disks(NULL, NULL, NULL), 0);
	CHECK_STR(document_at("h0", "resources.disks.ssd_0"),
		  "{\"type\":\"SSD\",\"load\":0,\"path\":\"/dev/sdb\",\"max_read\":500,"
		  "\"free_read\":500,\"max_write\":400,\"free_write\":400}");
	before = everything();
	begin_container("c0", with_disk(100, 150));
	fake_answer_all(&fake, FATE_DONE);
	check_done(200, NULL);
	CHECK_STR(document_at("h0", "resources.disks.ssd_0"),
		  "{\"type\":\"SSD\",\"load\":1,\"path\":\"/dev/sdb\",\"max_read\":500,"
		  "\"free_read\":400,\"max_write\":400,\"free_write\":250}");
	CHECK_STR(document_at("c0", "resources.disk"),
		  "{\"name\":\"ssd_0\",\"path\":\"/mnt/ssd\"}");
	CHECK_STR(text_at(fake.containers, "c0.disk_write"), "{\"disk_write_limit\":150}");
	CHECK_INT(model_free_for(find("c0"), EBB_DISK_READ), 250);
	CHECK_INT(model_free_for(find("c0"), EBB_DISK_WRITE), 250);
	/* Nothing that grows gets more than the disk has. */
	model_lock(model);
	CHECK_INT(model_allocate(model, find("c0"), EBB_DISK_READ, 1000), 250);
	CHECK_INT(model_allocate(model, find("c0"), EBB_DISK_READ, -250), -250);
	model_unlock(model);
	CHECK_INT(leave("c0", NULL), 0);
	CHECK_STR(document_at("h0", "resources.disks.ssd_0.load"), "0");
	fake_container(&fake, "c0", UNLIMITED);
	model_lock(model);
	CHECK_INT(model_limits_reported(model, find("c0"), json_object_get(fake.containers, "x")),
		  0);
	model_unlock(model);
	CHECK_STR(document_at("h0", "resources.disks.ssd_0.free_read"), "500");
	CHECK_STR(document_at("h0", "resources.disks.ssd_0.free_write"), "400");
}

TEST(disks_that_are_full_are_not_bound)
{
	_cleanup_free_ char *before = NULL;

	start();
	before = everything();
	begin_container("c0", with_disk(100, 150));
	check_done(400, "has no disk 'ssd_0'");
	check_same(before, "no such disk");
	CHECK_INT(put_disks("resources.disks.0.max_read", "290", NULL), 0);
	free(before);
	before = everything();
	begin_container("c0", with_disk(291, 20));
	check_done(409, "does not have enough bandwidth");
	/* Each would fit, but not both. */
	begin_container("c0", with_disk(200, 201));
	check_done(409, "400 together");
	check_same(before, "a disk that is full");
	begin_container("c0", with_disk(200, 200));
	fake_answer_all(&fake, FATE_DONE);
	check_done(200, NULL);
}

TEST(disks_are_checked_whole)
{
	static const struct {
		const char *path, *value, *word;
	} refusals[] = {
		{"resources", NULL, "Missing key 'resources'"},
		{"resources.disks", NULL, "Missing key 'resources.disks'"},
		{"resources.disks", "{}", "resources.disks must be a list"},
		{"resources.disks.0", "7", "resources.disks[0] must be an object"},
		{"resources.disks.0.name", "7", "resources.disks[0].name"},
		{"resources.disks.0.name", "''", "resources.disks[0].name"},
		{"resources.disks.0.type", NULL, "resources.disks[0].type"},
		{"resources.disks.0.type", "7", "resources.disks[0].type must be a string"},
		{"resources.disks.0.path", NULL, "resources.disks[0].path"},
		{"resources.disks.0.load", NULL, "resources.disks[0].load"},
		{"resources.disks.0.max_read", "-1", "resources.disks[0].max_read"},
		{"resources.disks.0.free_read", "'x'", "resources.disks[0].free_read"},
		{"resources.disks.0.max_write", NULL, "resources.disks[0].max_write"},
		{"resources.disks.0.free_write", "[]", "resources.disks[0].free_write"},
	};
	_cleanup_free_ char *before = NULL;

	start();
	before = everything();
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		_cleanup_free_ char *error = NULL;

		CHECK_INT(put_disks(refusals[i].path, refusals[i].value, &error), -EINVAL);
		if (!strstr(error, refusals[i].word))
			TEST_FAIL("\"%s\" does not say \"%s\"", error, refusals[i].word);
		check_same(before, refusals[i].path);
	}
}

TEST(disks_are_resized_but_not_below_what_is_held)
{
	_cleanup_free_ char *error = NULL, *before = NULL;

	start();
	CHECK_INT(put_disks(NULL, NULL, NULL), 0);
	/* What is known stays as it is. */
	CHECK_INT(put_disks("resources.disks.0.max_read", "9", NULL), 0);
	CHECK_STR(document_at("h0", "resources.disks.ssd_0.max_read"), "500");
	begin_container("c0", with_disk(100, 150));
	fake_answer_all(&fake, FATE_DONE);
	check_done(200, NULL);
	CHECK_INT(post_disks("{'resources': {'disks': [{'name': 'ssd_0', 'max_read': '600', "
			     "'max_write': 200}]}}",
			     NULL),
		  0);
	CHECK_STR(document_at("h0", "resources.disks.ssd_0.free_read"), "500");
	CHECK_STR(document_at("h0", "resources.disks.ssd_0.free_write"), "50");
	before = everything();
	CHECK_INT(post_disks("{'resources': {'disks': [{'name': 'ssd_0', 'max_read': 99, "
			     "'max_write': 200}]}}",
			     &error),
		  -EBUSY);
	CHECK(strstr(error, "below the 100 MiB/s that containers hold"));
	free(TAKE_PTR(error));
	CHECK_INT(post_disks("{'resources': {'disks': [{'name': 'ssd_0', 'max_read': 200, "
			     "'max_write': 200}]}}",
			     &error),
		  -EBUSY);
	CHECK(strstr(error, "together"));
	free(TAKE_PTR(error));
	CHECK_INT(post_disks("{'resources': {'disks': [{'name': 'ssd_0', 'max_read': 900, "
			     "'max_write': 900}, {'name': 'x', 'max_read': 9, 'max_write': 9}]}}",
			     &error),
		  -ENOENT);
	CHECK(strstr(error, "no disk 'x'"));
	check_same(before, "a resize that cannot be");
}

/* --- hosts --- */

TEST(a_host_that_answers_comes_in)
{
	start_empty();
	begin_host("h1", json_of(HOST));
	CHECK_INT(fake.n, 1);
	CHECK_INT(n_done, 0);
	CHECK_STR(fake.orders[fake.first].address, "http://h1:8000");
	CHECK(!fake.orders[fake.first].container);
	CHECK(fake.orders[fake.first].without_token);
	CHECK(fake_answer(&fake, FATE_DONE));
	check_done(200, NULL);
	CHECK_STR(document_at("h1", "resources.cpu.free"), "800");
	CHECK_STR(document_at("h1", "resources.cpu.core_usage_mapping.7"), "{\"free\":100}");
	CHECK_STR(document_at("h1", "resources.cpu.core_usage_mapping.8"), "");
	CHECK_STR(document_at("h1", "resources.mem"), "{\"max\":24576,\"free\":24576}");
	CHECK_STR(document_at("h1", "resources.energy"), "{\"max\":200,\"free\":200}");
	CHECK_STR(document_at("h1", "resources.disks.ssd_0.free_write"), "400");
	CHECK_STR(document_at("h1", "host_rescaler_port"), "\"8000\"");
	check_adds_up();
}

TEST(a_host_that_does_not_answer_is_refused)
{
	static const enum fate fates[] = {FATE_REFUSED, FATE_UNREACHED};

	for (size_t i = 0; i < ARRAY_SIZE(fates); i++) {
		_cleanup_free_ char *before = NULL;

		start();
		before = everything();
		begin_host("h1", json_of(HOST));
		CHECK(fake_answer(&fake, fates[i]));
		check_done(400, "Could not connect to host h1 at http://h1:8000");
		check_same(before, "a host that is not there");
		release_all(NULL);
	}
}

TEST(hosts_that_cannot_be_are_refused)
{
	static const struct refusal refusals[] = {
		{"name", NULL, 400, "Missing key 'name'"},
		{"host", NULL, 400, "Missing key 'host'"},
		{"host", "7", 400, "host must be the name"},
		{"subtype", NULL, 400, "Missing key 'subtype'"},
		{"subtype", "'container'", 400, "subtype must be \"host\""},
		{"host_rescaler_ip", NULL, 400, "Missing key 'host_rescaler_ip'"},
		{"host_rescaler_ip", "'unix:/run/x'", 400, "host_rescaler_ip"},
		{"host_rescaler_port", NULL, 400, "Missing key 'host_rescaler_port'"},
		{"host_rescaler_port", "0", 400, "host_rescaler_port"},
		{"resources", NULL, 400, "Missing key 'resources'"},
		{"resources", "7", 400, "resources must be an object"},
		{"resources.cpu", NULL, 400, "Missing key 'resources.cpu'"},
		{"resources.mem", NULL, 400, "Missing key 'resources.mem'"},
		{"resources.cpu.max", NULL, 400, "resources.cpu.max"},
		{"resources.cpu.free", NULL, 400, "resources.cpu.free"},
		{"resources.cpu.free", "801", 400, "resources.cpu.free 801 is above max 800"},
		{"resources.cpu", "{'max': 99, 'free': 9}", 400, "some cores"},
		{"resources.gpu", "{}", 400, "Resource 'gpu'"},
		{"resources.disks", "{}", 400, "resources.disks must be a list"},
		{"resources.disks.0", "{}", 400, "resources.disks[0].name"},
		{"name", "'h2'", 400, "must be the same"},
	};
	_cleanup_free_ char *before = NULL;

	start();
	check_refusals(HOST, "h1", begin_host, refusals, ARRAY_SIZE(refusals));
	before = everything();
	begin_host("c0", body_with(HOST, "name", "'c0'"));
	check_done(409, "There is a container 'c0' already");
	check_same(before, "the name of a container");
}

TEST(a_host_that_its_agent_registered_is_taken_over)
{
	json_t *body = body_with(HOST, "name", "'h0'");
	_cleanup_free_ char *before = NULL;

	start();
	CHECK(find("h0")->automatic);
	begin_host("h0", body);
	/* Its agent is there: nobody has to be asked. */
	CHECK_INT(fake.n, 0);
	check_done(200, NULL);
	CHECK(!find("h0")->automatic);
	/* The agent knows better what there is. */
	CHECK_STR(document_at("h0", "resources.cpu.max"), "400");
	CHECK_STR(document_at("h0", "resources.mem.max"), "8192");
	CHECK_STR(document_at("h0", "host_rescaler_ip"), "\"127.0.0.1\"");
	CHECK_STR(document_at("h0", "resources.energy"), "{\"max\":200,\"free\":200}");
	CHECK_STR(document_at("h0", "resources.disks.ssd_0.load"), "0");
	check_adds_up();
	before = everything();
	begin_host("h0", body_with(HOST, "name", "'h0'"));
	check_done(409, "There is a host 'h0' already");
	check_same(before, "the second subscription");
}

TEST(a_host_with_containers_stays)
{
	_cleanup_free_ char *before = NULL, *error = NULL;

	start();
	subscribe(NULL, NULL);
	before = everything();
	CHECK_INT(leave("h0", &error), -EBUSY);
	CHECK(strstr(error, "Host h0 has 1 container, such as c0"));
	check_same(before, "a host with a container");
	CHECK_INT(leave("c0", NULL), 0);
	/* What registered by itself goes with it. */
	CHECK_INT(leave("h0", NULL), 0);
	CHECK(!model_structure(model, "h0"));
	CHECK(!model_structure(model, "c0"));
	CHECK(!model_structure(model, "c1"));
}

/* --- a host without an agent --- */

TEST(a_container_scaler_is_asked_for_its_containers)
{
	_cleanup_free_ char *before = NULL;
	json_t *body = body_with(CONTAINER, "container.host", "'h1'");

	start_empty();
	begin_host("h1", json_of(HOST));
	CHECK(fake_answer(&fake, FATE_DONE));
	check_done(200, NULL);
	before = everything();
	begin_container("c0", json_incref(body));
	CHECK_INT(fake.n, 1);
	CHECK(fake.orders[fake.first].without_token);
	CHECK(fake_answer(&fake, FATE_DONE)); /* it is not there */
	check_done(400, "knows no such container");
	check_same(before, "a container that is not there");

	fake_container(&fake, "c0", UNLIMITED);
	begin_container("c0", json_incref(body));
	fake_answer_all(&fake, FATE_DONE);
	check_done(200, NULL);
	CHECK_STR(text_at(fake.containers, "c0.mem"), "{\"mem_limit\":6144}");
	CHECK_STR(document_at("c0", "host_rescaler_ip"), "\"h1\"");
	check_adds_up();
	CHECK_INT(leave("c0", NULL), 0);
	/* Nobody reports it. */
	CHECK(!model_structure(model, "c0"));
	CHECK_STR(document_at("h1", "resources.cpu.free"), "800");
	json_decref(body);
}

TEST(half_of_an_order_to_a_container_scaler_is_put_back)
{
	json_t *body = body_with(CONTAINER, "container.host", "'h1'");
	_cleanup_free_ char *before = NULL;

	start_empty();
	begin_host("h1", json_of(HOST));
	CHECK(fake_answer(&fake, FATE_DONE));
	fake_container(&fake, "c0",
		       "{'cpu': {'cpu_allowance_limit': 300, 'cpu_num': '2,3,4'}, "
		       "'mem': {'mem_limit': 4096}}");
	before = everything();
	begin_container("c0", body);
	CHECK(fake_answer(&fake, FATE_DONE));
	CHECK(fake_answer(&fake, FATE_BROKEN));
	fake_answer_all(&fake, FATE_DONE);
	check_done(502, "told to");
	check_same(before, "half of an order");
}

/* --- applications --- */

static int put_application(const char *name, const char *path, const char *value, char **ret_error)
{
	_cleanup_json_ json_t *body = body_with(APPLICATION, path, value);
	struct structure *s;
	int r;

	model_lock(model);
	r = subscribe_application(model, name, body, &s, ret_error);
	model_unlock(model);
	return r;
}

TEST(an_application_comes_in_with_all_of_its_keys)
{
	static const struct {
		const char *path, *want;
	} members[] = {
		{"type", "\"structure\""},
		{"subtype", "\"application\""},
		{"guard", "false"},
		{"state", "\"stopped\""},
		{"containers", "[]"},
		{"install_script", "\"i.sh\""},
		{"install_files", "\"\""},
		{"runtime_files", "\"r\""},
		{"output_dir", "\"o\""},
		{"start_script", "\"s.sh\""},
		{"stop_script", "\"x.sh\""},
		{"framework", "\"spark\""},
		{"resources.cpu", "{\"max\":1600,\"min\":20,\"guard\":false,\"weight\":1.0}"},
	};

	start();
	CHECK_INT(put_application("app1", NULL, NULL, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		CHECK_STR(document_at("app1", members[i].path), members[i].want);
	CHECK_INT(find("app1")->resources[EBB_MEM].boundary, 5);
	release_all(NULL);
	start();
	CHECK_INT(put_application("app1", "app.subscribing", "true", NULL), 0);
	CHECK_INT(find("app1")->subscription, 0);
}

TEST(applications_that_cannot_be_are_refused)
{
	static const struct refusal refusals[] = {
		{"app", NULL, 400, "Missing key 'app'"},
		{"app.name", NULL, 400, "Missing key 'app.name'"},
		{"app.name", "'x'", 400, "must be the same"},
		{"app.resources", NULL, 400, "Missing key 'app.resources'"},
		{"app.guard", NULL, 400, "Missing key 'app.guard'"},
		{"app.subtype", "'container'", 400, "app.subtype must be \"application\""},
		{"app.install_script", NULL, 400, "Missing key 'app.install_script'"},
		{"app.install_files", NULL, 400, "Missing key 'app.install_files'"},
		{"app.runtime_files", NULL, 400, "Missing key 'app.runtime_files'"},
		{"app.output_dir", NULL, 400, "Missing key 'app.output_dir'"},
		{"app.start_script", NULL, 400, "Missing key 'app.start_script'"},
		{"app.stop_script", NULL, 400, "Missing key 'app.stop_script'"},
		{"app.stop_script", "7", 400, "app.stop_script must be a string"},
		{"app.state", "'resting'", 400, "app.state must be running"},
		{"app.resources.cpu.max", "10", 400, "min 20 is above max 10"},
		{"app.resources.cpu.max", NULL, 400, "app.resources.cpu.max"},
		{"app.resources.cpu.guard", "'x'", 400, "app.resources.cpu.guard"},
		{"app.resources.mem", NULL, 400, "Missing key 'app.resources.mem'"},
		{"limits", NULL, 400, "Missing key 'limits'"},
		{"limits.resources.energy", "{}", 400, "has no counterpart"},
		{"limits.resources.cpu.boundary", "'x'", 400, "limits.resources.cpu.boundary"},
	};
	_cleanup_free_ char *before = NULL, *error = NULL;

	start();
	before = everything();
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		CHECK_INT(put_application("app1", refusals[i].path, refusals[i].value, &error),
			  -EINVAL);
		if (!strstr(error, refusals[i].word))
			TEST_FAIL("\"%s\" does not say \"%s\"", error, refusals[i].word);
		free(TAKE_PTR(error));
		check_same(before, refusals[i].path);
	}
	CHECK_INT(put_application("c0", "app.name", "'c0'", &error), -EEXIST);
	check_same(before, "the name of a container");
	CHECK_INT(put_application("app1", NULL, NULL, NULL), 0);
	free(TAKE_PTR(error));
	CHECK_INT(put_application("app1", NULL, NULL, &error), -EEXIST);
	CHECK(strstr(error, "DELETE /structure/apps/app1"));
	CHECK_INT(leave("app1", NULL), 0);
	check_same(before, "an application that came and went");
}

/* --- users, and who belongs to whom --- */

#define USER                                                                                    \
	"{'user': {'name': 'user0', 'subtype': 'user', 'balancing_method': 'pair_swapping', "   \
	"'resources': {'cpu': {'max': '2000', 'min': '100'}, 'mem': {'max': 8192, 'min': 64}, " \
	"'energy': {'max': '100', 'min': '20'}}}}"

static int put_user(const char *name, const char *path, const char *value, char **ret_error)
{
	_cleanup_json_ json_t *body = body_with(USER, path, value);
	struct structure *s;
	int r;

	model_lock(model);
	r = subscribe_user(model, name, body, &s, ret_error);
	model_unlock(model);
	return r;
}

TEST(a_user_comes_in_and_goes)
{
	_cleanup_free_ char *before = NULL, *error = NULL;
	_cleanup_json_ json_t *doc = NULL;

	start();
	before = everything();
	CHECK_INT(put_user("user0", NULL, NULL, NULL), 0);
	doc = structure_to_json(model_user(model, "user0"));
	CHECK_STR(text_at(doc, "clusters"), "[]");
	CHECK_STR(text_at(doc, "balancing_method"), "\"pair_swapping\"");
	CHECK_STR(text_at(doc, "resources.energy"), "{\"max\":100,\"min\":20}");
	CHECK_INT(put_user("user0", NULL, NULL, &error), -EEXIST);
	CHECK(strstr(error, "DELETE /user/user0"));
	model_lock(model);
	CHECK_INT(desubscribe(model, scaler, model_user(model, "user0"), NULL), 0);
	model_unlock(model);
	CHECK(!model_user(model, "user0"));
	check_same(before, "a user that came and went");
}

TEST(users_that_cannot_be_are_refused)
{
	static const struct refusal refusals[] = {
		{"user", NULL, 400, "Missing key 'user'"},
		{"user.name", NULL, 400, "Missing key 'user.name'"},
		{"user.name", "'x'", 400, "must be the same"},
		{"user.subtype", "'host'", 400, "user.subtype must be \"user\""},
		{"user.balancing_method", "7", 400, "user.balancing_method"},
		{"user.resources", NULL, 400, "Missing key 'user.resources'"},
		{"user.resources.cpu", NULL, 400, "Missing key 'user.resources.cpu'"},
		{"user.resources.mem", NULL, 400, "Missing key 'user.resources.mem'"},
		{"user.resources.mem.min", NULL, 400, "user.resources.mem.min"},
		{"user.resources.mem.max", "'x'", 400, "user.resources.mem.max"},
		{"user.resources.mem.min", "8193", 400, "above max"},
	};

	start();
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		_cleanup_free_ char *error = NULL;

		CHECK_INT(put_user("user0", refusals[i].path, refusals[i].value, &error), -EINVAL);
		if (!strstr(error, refusals[i].word))
			TEST_FAIL("\"%s\" does not say \"%s\"", error, refusals[i].word);
		CHECK(!model_user(model, "user0"));
	}
}

static void join(struct structure *parent, struct structure *child)
{
	model_lock(model);
	CHECK_INT(hierarchy_join(model, parent, child, NULL), 0);
	model_unlock(model);
}

TEST(what_goes_leaves_all_lists)
{
	_cleanup_json_ json_t *doc = NULL;

	start();
	subscribe(NULL, NULL);
	CHECK_INT(put_application("app1", NULL, NULL, NULL), 0);
	CHECK_INT(put_user("user0", NULL, NULL, NULL), 0);
	join(find("app1"), find("c0"));
	join(model_user(model, "user0"), find("app1"));
	CHECK_STR(document_at("app1", "containers"), "[\"c0\"]");
	CHECK_STR(document_at("app1", "user"), "\"user0\"");

	CHECK_INT(leave("c0", NULL), 0);
	CHECK_STR(document_at("app1", "containers"), "[]");
	/* It is there again, on its own. */
	CHECK(!hierarchy_parent(find("c0")));

	join(find("app1"), find("c1"));
	CHECK_INT(leave("app1", NULL), 0);
	CHECK(!hierarchy_parent(find("c1")));
	doc = structure_to_json(model_user(model, "user0"));
	CHECK_STR(text_at(doc, "clusters"), "[]");

	CHECK_INT(put_application("app1", NULL, NULL, NULL), 0);
	CHECK_STR(document_at("app1", "containers"), "[]");
	CHECK_STR(document_at("app1", "user"), "");
	join(model_user(model, "user0"), find("app1"));
	model_lock(model);
	CHECK_INT(desubscribe(model, scaler, model_user(model, "user0"), NULL), 0);
	model_unlock(model);
	CHECK_STR(document_at("app1", "user"), "");
	CHECK(!hierarchy_parent(find("app1")));
}

TEST(states_of_applications)
{
	_cleanup_free_ char *error = NULL;

	start();
	CHECK_INT(put_application("app1", NULL, NULL, NULL), 0);
	model_lock(model);
	CHECK_INT(application_set_state(model, find("app1"), "HDFS_Uploading", NULL), 0);
	CHECK_INT(application_set_state(model, find("app1"), "resting", &error), -EINVAL);
	model_unlock(model);
	CHECK(strstr(error, "hdfs_downloading"));
	CHECK_STR(document_at("app1", "state"), "\"hdfs_uploading\"");
	free(TAKE_PTR(error));
	model_lock(model);
	CHECK_INT(application_set_state(model, find("c0"), "running", &error), -EINVAL);
	model_unlock(model);
	CHECK(strstr(error, "only applications have a state"));
}

/* --- desubscribing, whatever state it is in --- */

TEST(a_container_that_went_gives_back_what_it_had)
{
	_cleanup_free_ char *host = NULL;

	start();
	CHECK_INT(put_disks(NULL, NULL, NULL), 0);
	host = strdup(document_at("h0", "resources"));
	begin_container("c0", with_disk(100, 150));
	fake_answer_all(&fake, FATE_DONE);
	check_done(200, NULL);
	model_lock(model);
	model_container_gone(model, find("c0"));
	model_unlock(model);
	CHECK_STR(document_at("h0", "resources.disks.ssd_0.load"), "1");
	CHECK_INT(leave("c0", NULL), 0);
	CHECK(!model_structure(model, "c0"));
	CHECK_STR(document_at("h0", "resources"), host);
}

TEST(a_container_of_a_silent_host_gives_back_what_it_had)
{
	_cleanup_free_ char *before = NULL;

	start();
	before = strdup(document_at("h0", "resources"));
	subscribe("container.guard", "true");
	model_host(model, "h0")->connected = false;
	CHECK_INT(leave("c0", NULL), 0);
	CHECK_STR(document_at("h0", "resources"), before);
	CHECK(find("c0")->automatic);
	CHECK(!find("c0")->guard);
}

TEST(an_order_under_way_does_not_keep_a_container)
{
	_cleanup_free_ char *before = NULL;
	struct request request = {
		.resource = EBB_CPU, .amount = -50, .timestamp = 1000, .origin = "test"};

	start();
	before = strdup(document_at("h0", "resources"));
	subscribe("container.guard", "true");
	model->scaler.active = true;
	model_lock(model);
	request.structure = find("c0");
	CHECK_INT(scaler_request(scaler, &request), 0);
	request.resource = EBB_MEM;
	scaler_run(scaler);
	CHECK_INT(scaler_request(scaler, &request), 0);
	model_unlock(model);
	CHECK_INT(fake.n, 1);
	CHECK_INT(leave("c0", NULL), 0);
	CHECK_STR(document_at("h0", "resources"), before);
	fake_answer_all(&fake, FATE_DONE);
	check_adds_up();
	CHECK_STR(document_at("h0", "resources"), before);
	CHECK(find("c0")->automatic);
}

TEST(a_subscription_that_was_cut_short_is_taken_back_by_the_next_controller)
{
	struct memory_store memory;
	struct store *store;
	struct model *next;
	_cleanup_json_ json_t *left = NULL;

	start();
	memory_store_init(&memory);
	begin_container("c0", json_of(CONTAINER));
	CHECK(fake_answer(&fake, FATE_DONE));
	CHECK_STR(document_at("c0", "subscribing"), "true");
	CHECK_STR(document_at("h0", "resources.cpu.free"), "200");
	for (size_t i = 0; i < model->n_structures; i++) {
		_cleanup_json_ json_t *doc = structure_to_json(model->structures[i]);

		memory_store_set(&memory, DB_STRUCTURES, model->structures[i]->name, doc);
	}
	CHECK_INT(store_new(&memory_ops, &memory, &store), 0);
	CHECK_INT(model_new(store, &next), 0);
	/* It stood by, and takes over. */
	model_lock(next);
	CHECK_INT(model_set_leading(next, true), 0);
	model_unlock(next);
	CHECK(!model_structure(next, "c0"));
	CHECK(model_structure(next, "c1"));
	CHECK_STR(text_at(next->unfinished, "c0.host"), "\"h0\"");
	CHECK_STR(text_at(next->unfinished, "c0.limits.mem"), "{\"mem_limit\":-1}");
	CHECK_INT(model_host(next, "h0")->free[EBB_CPU], 400);
	CHECK_INT(model_host(next, "h0")->free[EBB_MEM], 8192);
	model_free(next);
	store_close(store);
	memory_store_clear(&memory);
}

/* As its agent tells what is in force. */
static void register_as_it_is(const char *name)
{
	json_t *now = at(fake.containers, name);
	_cleanup_json_ json_t *added =
		json_pack("{s:s, s:{s:O, s:O, s:O}}", "name", name, "limits", "cpu",
			  at(now, "cpu.cpu_allowance_limit"), "cpus", at(now, "cpu.cpu_num"), "mem",
			  at(now, "mem.mem_limit"));
	struct structure *s;

	CHECK_INT(model_register_container(model, model_host(model, "h0"), added, &s), 0);
}

TEST(the_next_controller_has_old_limits_put_back)
{
	start();
	begin_container("c0", json_of(CONTAINER));
	CHECK(fake_answer(&fake, FATE_DONE));
	CHECK_STR(document_at("c0", "limits_before.mem"), "{\"mem_limit\":-1}");
	CHECK(fake_answer(&fake, FATE_DONE));
	lose_the_lead();
	CHECK(fake_answer(&fake, FATE_UNREACHED));
	check_done(503, "does not lead");
	subscriber_tick(subscriber);
	CHECK_STR(text_at(fake.containers, "c0.cpu.cpu_allowance_limit"), "200");
	/* Another one leads. */
	model_lock(model);
	CHECK_INT(model_set_leading(model, true), 0);
	CHECK(!model_structure(model, "c0"));
	model_unlock(model);
	subscriber_tick(subscriber);
	virtual_now += 2;
	subscriber_tick(subscriber);
	CHECK_INT(fake.n, 0);
	/* The agent speaks again. */
	model_lock(model);
	model_host(model, "h0")->connected = true;
	register_as_it_is("c0");
	model_unlock(model);
	CHECK_INT(find("c0")->physical[EBB_CPU], 200);
	subscriber_tick(subscriber);
	CHECK_INT(fake_answer_all(&fake, FATE_DONE), 1);
	CHECK_STR(text_at(fake.containers, "c0.cpu"),
		  "{\"cpu_allowance_limit\":-1,\"cpu_num\":\"0-3\"}");
	CHECK_STR(text_at(fake.containers, "c0.mem"), "{\"mem_limit\":-1}");
	CHECK(find("c0")->automatic);
	CHECK_INT(find("c0")->physical[EBB_CPU], -1);
	check_adds_up();
	virtual_now += 2;
	subscriber_tick(subscriber);
	CHECK_INT(fake.n, 0);
}

TEST(a_subscription_that_succeeded_is_not_taken_back)
{
	start();
	subscribe("container.limits_before", "{'mem': {'mem_limit': 64}}");
	CHECK_STR(document_at("c0", "limits_before"), "");
	lose_the_lead();
	model_lock(model);
	CHECK_INT(model_set_leading(model, true), 0);
	CHECK(model_structure(model, "c0"));
	model_unlock(model);
	subscriber_tick(subscriber);
	CHECK(!model->unfinished);
}

TEST(the_power_limit_of_a_container_is_set_by_hand)
{
	_cleanup_free_ char *error = NULL, *before = NULL;
	struct structure *c0;

	start();
	begin_host("h0", body_with(HOST, "name", "'h0'"));
	check_done(200, NULL);
	subscribe("container.resources.energy",
		  "{'max': 150, 'current': 60, 'min': 10, 'guard': false}");
	c0 = find("c0");
	/* Its agent knows nothing of it: it is only accounted. */
	CHECK_STR(text_at(fake.containers, "c0.energy"), "");
	CHECK_STR(document_at("h0", "resources.energy.free"), "140");
	model_lock(model);
	CHECK_INT(model_set_parameter(model, c0, EBB_ENERGY, "current", 100, NULL), 0);
	model_unlock(model);
	CHECK_STR(document_at("h0", "resources.energy.free"), "100");
	CHECK_STR(document_at("c0", "resources.energy.current"), "100");
	check_adds_up();
	model_lock(model);
	CHECK_INT(model_set_parameter(model, c0, EBB_ENERGY, "current", 20, NULL), 0);
	CHECK_INT(model_set_parameter(model, find("h0"), EBB_ENERGY, "max", 100, NULL), 0);
	model_unlock(model);
	before = everything();
	model_lock(model);
	CHECK_INT(model_set_parameter(model, c0, EBB_ENERGY, "current", 9, &error), -EINVAL);
	CHECK(strstr(error, "not from min 10 to max 150"));
	free(TAKE_PTR(error));
	CHECK_INT(model_set_parameter(model, c0, EBB_ENERGY, "current", 101, &error), -ENOSPC);
	CHECK(strstr(error, "has 80 W of energy free"));
	free(TAKE_PTR(error));
	CHECK_INT(model_set_parameter(model, c0, EBB_CPU, "current", 100, &error), -EINVAL);
	model_unlock(model);
	check_same(before, "a power limit that cannot be");
}

/* --- at random --- */

static unsigned long long state;

static unsigned pick(unsigned n)
{
	state = state * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(state >> 33) % n;
}

static enum fate pick_fate(void)
{
	return pick(10) < 6 ? FATE_DONE : (enum fate)pick(FATE_MAX);
}

static void count_done(void *userdata, json_t *doc, unsigned with, const char *why)
{
	int *open = userdata;

	CHECK(doc || why);
	json_decref(doc);
	(*open)--;
}

static void begin_random(const char *name, int *open)
{
	int cpu = 1 + (int)pick(250), mem = 64 + (int)pick(4000);
	json_t *body =
		pick(2) ? with_disk((int)pick(300) + 1, (int)pick(300) + 1) : json_of(CONTAINER);
	json_t *container = json_object_get(body, "container");

	json_object_set_new(container, "name", json_string(name));
	json_object_set_new(container, "guard", json_boolean(pick(2)));
	json_object_set_new(at(container, "resources.cpu"), "current", json_integer(cpu));
	json_object_set_new(at(container, "resources.cpu"), "max", json_integer(cpu + 20));
	json_object_set_new(at(container, "resources.mem"), "current", json_integer(mem));
	json_object_set_new(at(container, "resources.mem"), "min", json_integer(mem / 2));
	(*open)++;
	subscriber_container(subscriber, name, body, count_done, open);
	json_decref(body);
}

static void random_step(int *open)
{
	char name[] = "c0";
	struct structure *s;

	name[1] = (char)('0' + pick(4));
	s = model_structure(model, name);
	switch (pick(8)) {
	case 0:
	case 1: begin_random(name, open); break;
	case 2:
		if (s)
			CHECK_INT(leave(name, NULL), 0);
		break;
	case 3:
		virtual_now += pick(10);
		subscriber_tick(subscriber);
		break;
	case 4:
		if (pick(4))
			break;
		model_lock(model);
		if (s && s->live)
			model_container_gone(model, s);
		else
			register_container(name);
		model_unlock(model);
		break;
	default: fake_answer(&fake, pick_fate()); break;
	}
}

TEST(whatever_happens_all_shares_come_back)
{
	const char *seed = getenv("EBB_SEED");
	_cleanup_free_ char *before = NULL;
	int open = 0;

	state = seed ? strtoull(seed, NULL, 10) : random_u64() >> 1;
	printf("# EBB_SEED=%llu\n", state);
	start();
	log_set_level(LOG_LEVEL_ERROR);
	CHECK_INT(put_disks(NULL, NULL, NULL), 0);
	before = strdup(document_at("h0", "resources"));
	for (int i = 0; i < 5000; i++) {
		random_step(&open);
		check_adds_up();
		model_lock(model);
		/* What the disks' documents say is what containers hold. */
		if (disks_settle(model_host(model, "h0")))
			TEST_FAIL("step %d: the disks did not add up", i);
		model_unlock(model);
	}
	fake_answer_all(&fake, FATE_DONE);
	virtual_now += 60;
	subscriber_tick(subscriber);
	fake_answer_all(&fake, FATE_DONE);
	CHECK_INT(open, 0);
	for (char c = '0'; c < '4'; c++) {
		char name[] = {'c', c, '\0'};

		if (model_structure(model, name))
			CHECK_INT(leave(name, NULL), 0);
	}
	CHECK_STR(document_at("h0", "resources"), before);
	log_set_level(LOG_LEVEL_INFO);
}

TEST_MAIN()
