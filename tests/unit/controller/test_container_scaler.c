/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts without an agent: which containers there are, and what a Container Scaler says of them. */
#include "mixed_site.h"

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
