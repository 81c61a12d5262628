/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of subscriptions: a host and its containers as an agent reports them, every document
 * there is, and what a subscription came to.
 */
#ifndef EBB_TEST_SUBSCRIPTION_FIXTURE_H
#define EBB_TEST_SUBSCRIPTION_FIXTURE_H

#include "subscription.h"

#include <errno.h>

#include "fake_host.h"
#include "disks.h"
#include "guarding.h"
#include "hierarchy.h"
#include "quoted_json.h"
#include "memory_store.h"
#include "subscriber.h"
#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/loop.h"
#include "ebb/util.h"
#include "test.h"

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

static inline void forget_outcome(void)
{
	json_decref(TAKE_PTR(got));
	free(TAKE_PTR(message));
	status = 0;
	n_done = 0;
}

static inline void release_all(void *unused)
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

static inline double wall(void *unused)
{
	return virtual_now;
}

static inline uint64_t now(void *unused)
{
	return (uint64_t)(virtual_now * 1e9);
}

/* --- the world: host h0 of four cores and 8,192 MiB, whose agent reports c0 to c3 --- */

#define UNLIMITED                                                          \
	"{'cpu': {'cpu_allowance_limit': -1, 'cpu_num': '0-3'}, "          \
	"'mem': {'mem_limit': -1}, 'disk_read': {'disk_read_limit': -1}, " \
	"'disk_write': {'disk_write_limit': -1}}"

static inline void register_container(const char *name)
{
	_cleanup_json_ json_t *added =
		json_pack("{s:s, s:{s:i, s:s, s:i, s:i, s:i}}", "name", name, "limits", "cpu", -1,
			  "cpus", "0-3", "mem", -1, "disk_read", -1, "disk_write", -1);
	struct structure *s;

	fake_container(&fake, name, UNLIMITED);
	CHECK_INT(model_register_container(model, model_host(model, "h0"), added, &s), 0);
}

static inline void register_host(void)
{
	_cleanup_json_ json_t *host = parse_text(
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

static inline void start_empty(void)
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

static inline void start(void)
{
	start_empty();
	model_lock(model);
	register_host();
	model_unlock(model);
}

/* --- every document there is --- */

static inline void add_documents(json_t *all, const struct structure *s)
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
static inline char *everything(void)
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

static inline void check_adds_up(void)
{
	_cleanup_free_ char *wrong = NULL;

	model_lock(model);
	wrong = model_check(model);
	model_unlock(model);
	if (wrong)
		TEST_FAIL("%s", wrong);
}

static inline void check_same(const char *before, const char *what)
{
	_cleanup_free_ char *after = everything();

	check_adds_up();
	if (strcmp(before, after))
		TEST_FAIL("%s changed something:\n%s\n%s", what, before, after);
}

static inline struct structure *find(const char *name)
{
	struct structure *s = model_structure(model, name);

	if (!s)
		TEST_FAIL("there is no %s", name);
	return s;
}

/* A member by a path such as "resources.cpu.max". Borrowed. */
static inline json_t *at(json_t *doc, const char *path)
{
	char copy[256], *saved, *key;

	snprintf(copy, sizeof(copy), "%s", path);
	for (key = strtok_r(copy, ".", &saved); key; key = strtok_r(NULL, ".", &saved))
		doc = json_is_array(doc) ? json_array_get(doc, (size_t)atoi(key))
					 : json_object_get(doc, key);
	return doc;
}

/* Compact, into a static buffer. */
static inline const char *text_at(json_t *doc, const char *path)
{
	static char text[1024];
	char *dumped = json_dumps(at(doc, path), JSON_COMPACT | JSON_ENCODE_ANY);

	snprintf(text, sizeof(text), "%s", dumped ? dumped : "");
	free(dumped);
	return text;
}

static inline const char *document_at(const char *name, const char *path)
{
	_cleanup_json_ json_t *doc = NULL;

	model_lock(model);
	model_touch(model, find(name), MODEL_DIRTY_STRUCTURE);
	model_unlock(model);
	doc = structure_to_json(find(name));
	return text_at(doc, path);
}

/* --- subscribing --- */

static inline void on_done(void *userdata, json_t *doc, unsigned with, const char *why)
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
static inline json_t *body_with(const char *base, const char *path, const char *value)
{
	json_t *body = parse_text(base), *parent = body;
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
		json_t *item = parse_text(value);

		CHECK_INT(json_array_set_new(parent, (size_t)atoi(key), item), 0);
	} else if (value) {
		CHECK_INT(json_object_set_new(parent, key, parse_text(value)), 0);
	} else {
		CHECK_INT(json_object_del(parent, key), 0);
	}
	return body;
}

static inline void begin_container(const char *name, json_t *body)
{
	forget_outcome();
	subscriber_container(subscriber, name, body, on_done, NULL);
	json_decref(body);
}

static inline void begin_host(const char *name, json_t *body)
{
	forget_outcome();
	subscriber_host(subscriber, name, body, on_done, NULL);
	json_decref(body);
}

static inline void check_done(unsigned want, const char *word)
{
	CHECK_INT(n_done, 1);
	if (status != want || (word && (!message || !strstr(message, word))))
		TEST_FAIL("%u %s, want %u with \"%s\"", status, message ? message : "(done)", want,
			  word ? word : "");
}

/* Of c0, with one change; all orders are carried out. */
static inline void subscribe(const char *path, const char *value)
{
	begin_container("c0", body_with(CONTAINER, path, value));
	fake_answer_all(&fake, FATE_DONE);
	check_done(200, NULL);
	check_adds_up();
}

static inline int leave(const char *name, char **ret_error)
{
	int r;

	model_lock(model);
	r = desubscribe(model, scaler, find(name), ret_error);
	model_unlock(model);
	check_adds_up();
	return r;
}

struct refusal {
	const char *path, *value; /* of the body */
	unsigned status;
	const char *word; /* in the message */
};

static inline void check_refusals(const char *base, const char *name,
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

/* --- disks --- */

#define DISKS                                                                             \
	"{'resources': {'disks': [{'name': 'ssd_0', 'type': 'SSD', 'load': 0, "           \
	"'path': '/dev/sdb', 'max_read': '500', 'free_read': '500', 'max_write': '400', " \
	"'free_write': '400'}]}}"

static inline int put_disks(const char *path, const char *value, char **ret_error)
{
	_cleanup_json_ json_t *body = body_with(DISKS, path, value);
	int r;

	model_lock(model);
	r = subscribe_disks(model, find("h0"), body, ret_error);
	model_unlock(model);
	return r;
}

static inline int post_disks(const char *text, char **ret_error)
{
	_cleanup_json_ json_t *body = parse_text(text);
	int r;

	model_lock(model);
	r = resize_disks(model, find("h0"), body, ret_error);
	model_unlock(model);
	return r;
}

static inline json_t *with_disk(int read, int write)
{
	json_t *body = parse_text(CONTAINER), *resources = at(body, "container.resources");

	json_object_set_new(resources, "disk", parse_text("{'name': 'ssd_0', 'path': '/mnt/ssd'}"));
	json_object_set_new(resources, "disk_read",
			    json_pack("{s:i, s:i, s:i, s:b}", "max", 300, "current", read, "min",
				      20, "guard", 0));
	json_object_set_new(resources, "disk_write",
			    json_pack("{s:i, s:i, s:i, s:b}", "max", 300, "current", write, "min",
				      20, "guard", 0));
	return body;
}

/* --- the lead --- */

static inline void lose_the_lead(void)
{
	model_lock(model);
	CHECK_INT(model_set_leading(model, false), 0);
	model_unlock(model);
}

#endif
