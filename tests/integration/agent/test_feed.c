/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The feed of the real agent on real cgroups, received by a controller's side of this test's own:
 * what is sent when, and what happens when the controller forgets, stays away, or comes back.
 */
#include "test.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cgroup_tree.h"
#include "ebb/cleanup.h"
#include "ebb/http_client.h"
#include "ebb/http_server.h"
#include "ebb/loop.h"
#include "ebb/units.h"
#include "ebb/util.h"

#define ONLINE "/sys/devices/system/cpu/online"
#define TOKEN  "a-secret-of-enough-characters"

static struct {
	struct cgroup_tree tree;
	char dir[64], token_file[96], log_file[96], pin_dir[96], containers[96];
	struct loop *loop;
	struct http_server *server;
	char listen[64];
	pid_t agent;

	json_t *messages; /* all, in order */
	int forget;       /* answer that many with 409 */
	json_t *guard;    /* NULL: nobody */
	int guard_version;
	bool without_token;
	int term;                  /* told in the answers; 0: none */
	const char *misdirect;     /* answer 421, and that this one leads */
	struct http_server *other; /* of another controller */
	char other_url[96];
	const char *second; /* --controller, too */
	char online[96];    /* the agent takes this file for the list of online CPUs; "": none */
	json_t *at_other;   /* messages that came there */
	bool by_weight;     /* --cpu-mode */
	bool lease;         /* "a" may have up to 25 shares */
	bool hold;          /* the next answer is `held` until the test gives it */
	struct http_deferred *held;
	json_t *held_answer;
} t;

/* And all that has grown is settled. */
static void add_lease(json_t *answer, const json_t *message)
{
	json_t *registered = json_object_get(json_object_get(message, "register"), "grown");
	json_int_t grown = json_integer_value(registered);
	const json_t *growth;
	size_t i;

	json_array_foreach(json_object_get(message, "reflex"), i, growth)
		grown = MAX(grown, json_integer_value(json_object_get(growth, "at")));
	json_object_set_new(answer, "grown", json_integer(grown));
	json_object_set_new(answer, "guard", json_pack("{s:{}}", "a"));
	json_object_set_new(answer, "ceilings", json_pack("{s:{s:i}}", "a", "cpu", 25));
	json_object_set_new(
		answer, "lease",
		json_pack("{s:i, s:i, s:i}", "number", 1, "ttl_ms", 60000, "cpu", 1000));
}

static void on_feed(void *userdata, struct http_call *call)
{
	const char *authorization = http_header(call, "Authorization");
	json_t *message = http_body_object(call);

	if (!message)
		return;
	if (!authorization || strcmp(authorization, "Bearer " TOKEN))
		t.without_token = true;
	json_array_append_new(t.messages, message);
	if (t.misdirect) {
		http_reply_json(call, 421,
				json_pack("{s:s, s:s, s:s}", "error", "Misdirected Request",
					  "message", "another leads", "leader", t.misdirect));
		return;
	}
	if (t.forget > 0) {
		t.forget--;
		http_reply_json(call, 409,
				json_pack("{s:s, s:s, s:b}", "error", "Conflict", "message",
					  "unknown session", "register", 1));
		return;
	}

	json_t *answer = json_pack("{s:O, s:i}", "ack", json_object_get(message, "seq"),
				   "guard_version", t.guard_version);
	json_t *known = json_object_get(message, "guard_version");
	if (json_integer_value(known) != t.guard_version)
		json_object_set(answer, "guard", t.guard);
	if (t.term)
		json_object_set_new(answer, "term", json_integer(t.term));
	if (t.lease)
		add_lease(answer, message);
	if (t.hold && !t.held && http_defer(call, &t.held) == 0)
		t.held_answer = answer;
	else
		http_reply_json(call, 200, answer);
}

static void give_held_answer(void)
{
	t.hold = false;
	if (t.held)
		http_resume_json(TAKE_PTR(t.held), 200, TAKE_PTR(t.held_answer));
}

static void on_other_feed(void *userdata, struct http_call *call)
{
	json_t *message = http_body_object(call);

	if (!message)
		return;
	json_array_append_new(t.at_other, message);
	http_reply_json(call, 200,
			json_pack("{s:O, s:i, s:i}", "ack", json_object_get(message, "seq"),
				  "guard_version", 0, "term", t.term));
}

static const struct http_route routes[] = {{HTTP_POST, "/feed", on_feed, true}};

static void serve(void)
{
	struct http_server_options options = {
		.listen = t.listen,
		.body_max = 16 << 20,
		.connections_max = 16,
		.timeout_s = 30,
		.loop = t.loop,
		.routes = routes,
		.n_routes = 1,
	};

	CHECK_INT(http_server_new(&options, &t.server), 0);
	snprintf(t.listen, sizeof(t.listen), "%s", http_server_address(t.server));
}

static const struct http_route other_routes[] = {{HTTP_POST, "/feed", on_other_feed, true}};

static void serve_other(void)
{
	struct http_server_options options = {
		.listen = "127.0.0.1:0",
		.body_max = 16 << 20,
		.loop = t.loop,
		.routes = other_routes,
		.n_routes = 1,
	};

	t.at_other = json_array();
	CHECK_INT(http_server_new(&options, &t.other), 0);
	snprintf(t.other_url, sizeof(t.other_url), "http://%s", http_server_address(t.other));
}

static void stop_serving(void)
{
	http_server_free(t.server);
	t.server = NULL;
}

static void stop_agent(void)
{
	if (t.agent <= 0)
		return;
	kill(t.agent, SIGTERM);
	waitpid(t.agent, NULL, 0);
	t.agent = 0;
}

static void tear_down(void *unused)
{
	char command[256];

	stop_agent();
	give_held_answer();
	stop_serving();
	http_server_free(t.other);
	loop_free(t.loop);
	json_decref(t.at_other);
	json_decref(t.messages);
	json_decref(t.guard);
	cgroup_tree_remove(&t.tree);
	snprintf(command, sizeof(command), "rm -rf %s /run/ebb/agent-sys-fs-bpf-%s.*", t.dir,
		 t.tree.name);
	if (system(command) != 0)
		fprintf(stderr, "%s: not removed\n", t.dir);
	memset(&t, 0, sizeof(t));
}

static void make_container(const char *name)
{
	char path[512];

	CHECK_INT(cgroup_tree_mkdir(&t.tree, name), 0);
	if (cgroup_tree_dir(&t.tree, "cpuset", name, path, sizeof(path)))
		cgroup_tree_fill_cpuset(path);
}

static void remove_container(const char *name)
{
	char path[512];

	for (int i = 0; i < t.tree.n_mounts; i++) {
		snprintf(path, sizeof(path), "%s/%s/%s", t.tree.mounts[i].path, t.tree.name, name);
		cgroup_tree_remove_dir(path);
	}
}

/* In a child: nobody else sees the mount, and it goes with the child. */
static int fake_online(const char *file)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -1;
	return mount(file, ONLINE, NULL, MS_BIND, NULL);
}

static void start_agent(const char *period)
{
	const char *build = getenv("BUILD");
	char program[200], controller[256];

	snprintf(program, sizeof(program), "%s/ebb-agent", build ? build : "build");
	if (access(program, X_OK) < 0)
		SKIP("no %s: run make first", program);
	snprintf(controller, sizeof(controller), "http://%s%s%s", t.listen, t.second ? "," : "",
		 t.second ? t.second : "");
	fflush(NULL);
	t.agent = fork();
	CHECK(t.agent >= 0);
	if (t.agent == 0) {
		int log = open(t.log_file, O_WRONLY | O_CREAT | O_APPEND, 0600);

		if (log >= 0)
			dup2(log, STDERR_FILENO);
		if (t.online[0] && fake_online(t.online) < 0)
			_exit(126);
		execl(program, program, "--listen", "127.0.0.1:0", "--controller", controller,
		      "--name", "h0", "--containers", t.containers, "--pin-dir", t.pin_dir,
		      "--token-file", t.token_file, "--period", period, "--cpu-mode",
		      t.by_weight ? "weight" : "quota",
		      /* All but "cgroup", this test's: other containers may run here. */
		      "--exclude", "engine=[!c]*", "--exclude", "engine=c[!g]*", (char *)NULL);
		_exit(127);
	}
}

/* Cgroups "a" and "b", the controller's side, the agent. */
static void set_up(const char *period)
{
	FILE *f;

	if (geteuid() != 0)
		SKIP("needs root, to make cgroups");
	t.agent = 0;
	test_at_end(tear_down, NULL);
	int r = cgroup_tree_new(&t.tree, "feed");
	if (r < 0)
		SKIP("no cgroup can be made here: %s", strerror(-r));
	make_container("a");
	make_container("b");
	t.messages = json_array();
	snprintf(t.dir, sizeof(t.dir), "/tmp/ebb-test-feed-XXXXXX");
	CHECK(mkdtemp(t.dir));
	snprintf(t.token_file, sizeof(t.token_file), "%s/token", t.dir);
	snprintf(t.log_file, sizeof(t.log_file), "%s/log", t.dir);
	snprintf(t.pin_dir, sizeof(t.pin_dir), "/sys/fs/bpf/%s", t.tree.name);
	snprintf(t.containers, sizeof(t.containers), "%s/*", t.tree.name);
	umask(077);
	f = fopen(t.token_file, "we");
	CHECK(f);
	fputs(TOKEN "\n", f);
	fclose(f);
	CHECK_INT(loop_new(&t.loop), 0);
	snprintf(t.listen, sizeof(t.listen), "127.0.0.1:0");
	serve();
	start_agent(period);
}

static size_t received(void)
{
	return json_array_size(t.messages);
}

static json_t *message_at(size_t i)
{
	return json_array_get(t.messages, i);
}

/* Turns the loop until `condition` holds; the bound is for failures only. */
#define UNTIL(condition)                                                          \
	do {                                                                      \
		uint64_t _end = now_ns() + 60 * EBB_NS_PER_SEC;                   \
		while (!(condition)) {                                            \
			if (now_ns() > _end)                                      \
				TEST_FAIL("waited in vain for %s; the log is in " \
					  "%s, after %zu messages",               \
					  #condition, show_log(), received());    \
			loop_turn(t.loop, 20);                                    \
		}                                                                 \
	} while (0)

static const char *show_log(void)
{
	char command[256];

	snprintf(command, sizeof(command), "tail -n 20 %s >&2", t.log_file);
	return system(command) == 0 ? "the lines above" : t.log_file;
}

/* The entry of a container in a list of a message ("added", "limits"); by name or number. */
static json_t *entry_of(json_t *message, const char *list, const char *name, json_int_t c)
{
	json_t *entry;
	size_t i;

	json_array_foreach(json_object_get(message, list), i, entry) {
		const char *its = json_string_value(json_object_get(entry, "name"));

		if (name ? its && !strcmp(its, name)
			 : json_integer_value(json_object_get(entry, "c")) == c)
			return entry;
	}
	return NULL;
}

/* The number of a container in the newest session that has it; 0: not announced. */
static json_int_t number_of(const char *name)
{
	json_int_t c = 0;

	for (size_t i = 0; i < received(); i++) {
		json_t *entry = entry_of(message_at(i), "added", name, 0);

		if (entry)
			c = json_integer_value(json_object_get(entry, "c"));
	}
	return c;
}

static size_t samples_of(json_t *message, json_int_t c)
{
	json_t *row;
	size_t i, n = 0;

	json_array_foreach(json_object_get(message, "samples"), i, row)
		n += json_integer_value(json_array_get(row, 0)) == c;
	return n;
}

static void burn(void *unused)
{
	for (;;)
		;
}

static json_t *metrics_value(const char *name)
{
	json_t *registration = json_object_get(message_at(0), "register");
	struct http_result result = {0};
	json_t *value = NULL;
	char line[128];

	CHECK_INT(http_call_blocking(
			  &(struct http_request_options){
				  .method = "GET",
				  .address = json_string_value(
					  json_object_get(registration, "address")),
				  .path = "/metrics",
			  },
			  &result),
		  0);
	snprintf(line, sizeof(line), "\n%s ", name);
	const char *at = result.body ? strstr(result.body, line) : NULL;
	if (at)
		value = json_real(atof(at + strlen(line)));
	http_result_clear(&result);
	return value;
}

static double metric(const char *name)
{
	json_t *value = metrics_value(name);
	double number = value ? json_real_value(value) : -1;

	json_decref(value);
	return number;
}

TEST(feed_registers_host_and_containers)
{
	set_up("100");
	UNTIL(received() >= 1);

	json_t *first = message_at(0), *registration = json_object_get(first, "register");
	CHECK_STR(json_string_value(json_object_get(first, "host")), "h0");
	CHECK_INT(strlen(json_string_value(json_object_get(first, "session"))), 16);
	CHECK_INT(json_integer_value(json_object_get(first, "seq")), 1);
	CHECK(json_integer_value(json_object_get(first, "now")) > 0);
	CHECK_INT(json_array_size(json_object_get(registration, "cpus")),
		  sysconf(_SC_NPROCESSORS_ONLN));
	CHECK(json_integer_value(json_object_get(registration, "mem")) > 1 << 20);
	CHECK_INT(json_integer_value(json_object_get(registration, "period_ms")), 100);
	CHECK(!strncmp(json_string_value(json_object_get(registration, "address")),
		       "http://127.0.0.1:", 17));
	CHECK(json_object_size(json_object_get(registration, "topology")) > 0);
	CHECK(json_is_string(json_object_get(registration, "version")));
	CHECK(json_is_string(json_object_get(registration, "kernel")));
	CHECK(json_is_string(json_object_get(registration, "cgroup")));
	CHECK(json_is_string(json_object_get(registration, "sampler")));
	CHECK(!t.without_token);

	CHECK_INT(json_array_size(json_object_get(first, "added")), 2);
	json_t *a = entry_of(first, "added", "a", 0), *limits = json_object_get(a, "limits");
	char path[128];
	snprintf(path, sizeof(path), "%s/a", t.tree.name);
	CHECK_STR(json_string_value(json_object_get(a, "path")), path);
	CHECK_STR(json_string_value(json_object_get(a, "engine")), "cgroup");
	CHECK_INT(json_integer_value(json_object_get(limits, "cpu")), -1);
	CHECK_INT(json_integer_value(json_object_get(limits, "mem")), -1);
	CHECK(json_is_string(json_object_get(limits, "cpus")));
}

TEST(feed_sends_one_batch_a_second)
{
	set_up("100");
	UNTIL(received() >= 4);

	json_int_t a = number_of("a"), b = number_of("b");
	CHECK(a && b && a != b);
	for (size_t i = 1; i < received(); i++) {
		json_t *before = message_at(i - 1), *now = message_at(i), *row;
		size_t k;

		CHECK_STR(json_string_value(json_object_get(now, "session")),
			  json_string_value(json_object_get(before, "session")));
		CHECK_INT(json_integer_value(json_object_get(now, "seq")), i + 1);
		CHECK(!json_object_get(now, "register"));
		/* Not sooner than a second, but for the half period of slack. */
		CHECK(json_integer_value(json_object_get(now, "now")) -
			      json_integer_value(json_object_get(before, "now")) >
		      500000000);
		/* Nobody is guarded: the last sample of each. */
		CHECK_INT(samples_of(now, a), 1);
		CHECK_INT(samples_of(now, b), 1);
		json_array_foreach(json_object_get(now, "samples"), k, row)
			CHECK_INT(json_array_size(row), 13);
	}
}

TEST(feed_sends_every_sample_of_the_guarded_and_urgent_ones_at_once)
{
	size_t urgent = 0, from, i, k;
	json_int_t last = 0;
	json_t *row;

	set_up("50");
	t.guard = json_pack("{s:{s:i}}", "a", "cpu", 10);
	t.guard_version = 7;
	UNTIL(received() >= 4);

	json_int_t a = number_of("a"), b = number_of("b");
	CHECK_INT(json_integer_value(json_object_get(message_at(2), "guard_version")), 7);
	CHECK(samples_of(message_at(3), a) > 5);
	CHECK_INT(samples_of(message_at(3), b), 1);

	/* Above its upper limit: messages of its own, in between the batches. */
	from = received();
	CHECK(cgroup_tree_spawn(&t.tree, "a", burn, NULL) > 0);
	UNTIL(received() >= from + 30);
	for (i = from; i < received(); i++) {
		json_t *message = message_at(i);

		urgent += samples_of(message, a) > 0 && samples_of(message, b) == 0;
		json_array_foreach(json_object_get(message, "samples"), k, row) {
			if (json_integer_value(json_array_get(row, 0)) != a)
				continue;
			/* Each sample once, in order. */
			CHECK(json_integer_value(json_array_get(row, 1)) > last);
			last = json_integer_value(json_array_get(row, 1));
		}
	}
	CHECK(urgent >= 15);
	CHECK(metric("ebb_agent_feed_urgent_total") >= 15);

	/* No longer guarded: one sample per batch again. */
	json_decref(t.guard);
	t.guard = json_object();
	t.guard_version = 8;
	UNTIL(json_integer_value(json_object_get(message_at(received() - 1), "guard_version")) ==
	      8);
	from = received();
	UNTIL(received() >= from + 2);
	CHECK_INT(samples_of(message_at(from + 1), a), 1);
}

TEST(feed_tells_a_throttled_container_at_once)
{
	size_t urgent = 0, from;

	set_up("50");
	t.guard = json_pack("{s:{}}", "a");
	t.guard_version = 1;
	UNTIL(received() >= 3);

	json_int_t a = number_of("a"), b = number_of("b");
	if (cgroup_tree_write(&t.tree, "cpu", "a", "cpu.cfs_quota_us", "10000") < 0)
		CHECK_INT(cgroup_tree_write(&t.tree, "cpu", "a", "cpu.max", "10000 100000"), 0);
	CHECK(cgroup_tree_spawn(&t.tree, "a", burn, NULL) > 0);
	from = received();
	UNTIL(received() >= from + 15);
	for (size_t i = from; i < received(); i++)
		urgent += samples_of(message_at(i), a) > 0 && samples_of(message_at(i), b) == 0;
	CHECK(urgent >= 5);
}

static bool log_has(const char *text)
{
	char log[65536];

	return read_file_at(AT_FDCWD, t.log_file, log, sizeof(log)) > 0 && strstr(log, text);
}

/* This process wrote. */
static void check_hand(const json_t *limits)
{
	const json_t *by = json_object_get(limits, "by");
	char comm[64];

	if (!by && log_has("this kernel does not tell"))
		return;
	CHECK(read_file_at(AT_FDCWD, "/proc/self/comm", comm, sizeof(comm)) > 0);
	CHECK_INT(json_integer_value(json_object_get(by, "pid")), getpid());
	CHECK_STR(json_string_value(json_object_get(by, "name")), comm);
}

/* The last entry of `part` for the container that was told since message `from`. */
static json_t *last_told(size_t from, const char *part, json_int_t c)
{
	json_t *entry = NULL;

	for (size_t i = received(); i-- > from && !entry;)
		entry = entry_of(message_at(i), part, NULL, c);
	return entry;
}

/* 150 shares for "a", through the agent's API. */
static void order_a(void)
{
	json_t *registration = json_object_get(message_at(0), "register");
	struct http_result result = {0};

	CHECK_INT(http_call_blocking(
			  &(struct http_request_options){
				  .method = "PUT",
				  .address = json_string_value(
					  json_object_get(registration, "address")),
				  .path = "/container/a",
				  .body = "{\"cpu\":{\"cpu_allowance_limit\":150}}",
				  .body_len = 35,
				  .token = TOKEN,
			  },
			  &result),
		  0);
	long status = result.status;
	http_result_clear(&result);
	CHECK_INT(status, 201);
}

TEST(feed_tells_limits_that_changed)
{
	json_t *limits = NULL;
	size_t from;

	set_up("100");
	UNTIL(received() >= 2);
	json_int_t a = number_of("a");
	from = received();
	order_a();
	UNTIL(limits = last_told(from, "limits", a));
	CHECK_INT(json_integer_value(json_object_get(limits, "cpu")), 150);
	CHECK_NEAR(metric("ebb_agent_foreign_limit_changes_total"), 0, 0);
	CHECK_NEAR(metric("ebb_agent_limit_writes_total"), 1, 0);

	/* Another hand. */
	from = received();
	if (cgroup_tree_write(&t.tree, "cpu", "a", "cpu.cfs_quota_us", "80000") < 0)
		CHECK_INT(cgroup_tree_write(&t.tree, "cpu", "a", "cpu.max", "80000 100000"), 0);
	UNTIL(limits = last_told(from, "limits", a));
	CHECK_INT(json_integer_value(json_object_get(limits, "cpu")), 80);
	check_hand(limits);
	CHECK_NEAR(metric("ebb_agent_foreign_limit_changes_total"), 1, 0);

	/* Told once, not with every batch. */
	from = received();
	UNTIL(received() >= from + 2);
	CHECK(!json_object_get(message_at(received() - 1), "limits"));

	/* The same quota per half the time is twice as much. */
	from = received();
	if (cgroup_tree_write(&t.tree, "cpu", "a", "cpu.cfs_period_us", "50000") < 0)
		CHECK_INT(cgroup_tree_write(&t.tree, "cpu", "a", "cpu.max", "80000 50000"), 0);
	UNTIL(limits = last_told(from, "limits", a));
	CHECK_INT(json_integer_value(json_object_get(limits, "cpu")), 160);
	CHECK_NEAR(metric("ebb_agent_foreign_limit_changes_total"), 2, 0);

	/* No sample carries the cpuset: it is read again now and then. */
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2 ||
	    cgroup_tree_write(&t.tree, "cpuset", "a", "cpuset.cpus", "0") < 0)
		return;
	from = received();
	UNTIL(limits = last_told(from, "limits", a));
	CHECK_STR(json_string_value(json_object_get(limits, "cpus")), "0");
	check_hand(limits);
	CHECK_NEAR(metric("ebb_agent_foreign_limit_changes_total"), 3, 0);
}

/* No sample carries weights: where they are the limits, the kernel's word is all there is. */
TEST(feed_tells_weights_that_changed)
{
	json_t *limits = NULL;
	size_t from;

	t.by_weight = true;
	set_up("100");
	UNTIL(received() >= 2);
	json_int_t a = number_of("a");
	from = received();
	order_a();
	UNTIL(limits = last_told(from, "limits", a));
	CHECK_INT(json_integer_value(json_object_get(limits, "cpu")), 150);

	from = received();
	if (cgroup_tree_write(&t.tree, "cpu", "a", "cpu.shares", "2048") < 0)
		CHECK_INT(cgroup_tree_write(&t.tree, "cpu", "a", "cpu.weight", "200"), 0);
	UNTIL(limits = last_told(from, "limits", a));
	CHECK_INT(json_integer_value(json_object_get(limits, "cpu")), 200);
	check_hand(limits);
	CHECK_NEAR(metric("ebb_agent_foreign_limit_changes_total"), 1, 0);
}

/* Asks for a registration and returns it. */
static json_t *registers_anew(void)
{
	size_t at = received();

	t.forget = 1;
	UNTIL(received() > at + 1);
	while (at + 1 < received() && !json_object_get(message_at(at), "register"))
		at++;
	CHECK(json_object_get(message_at(at), "register"));
	return message_at(at);
}

/*
 * A controller that has settled a growth may end before it has written that down: to the one that
 * asks for a registration it is told again, until an order has set the limit.
 */
TEST(feed_tells_another_controller_of_what_grew)
{
	json_t *growth = NULL, *registration;
	size_t from;
	pid_t pid;

	t.lease = true;
	set_up("100");
	if (cgroup_tree_write(&t.tree, "cpu", "a", "cpu.cfs_quota_us", "5000") < 0)
		CHECK_INT(cgroup_tree_write(&t.tree, "cpu", "a", "cpu.max", "5000 100000"), 0);
	UNTIL(received() >= 3 && number_of("a"));
	pid = cgroup_tree_spawn(&t.tree, "a", burn, NULL);
	CHECK(pid > 0);
	UNTIL((growth = last_told(0, "reflex", number_of("a"))));
	CHECK_INT(json_integer_value(json_object_get(growth, "from")), 5);
	CHECK_INT(json_integer_value(json_object_get(growth, "to")), 25);
	/* It has heard that this is settled. */
	from = received();
	UNTIL(received() >= from + 3);
	CHECK(!json_object_get(message_at(received() - 1), "reflex"));

	registration = registers_anew();
	growth = entry_of(registration, "reflex", NULL, number_of("a"));
	CHECK(growth);
	CHECK_INT(json_integer_value(json_object_get(growth, "from")), 5);
	CHECK_INT(json_integer_value(json_object_get(growth, "to")), 25);
	from = received();
	UNTIL(received() >= from + 3);
	CHECK(!json_object_get(message_at(received() - 1), "reflex"));

	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	order_a();
	CHECK(!json_object_get(registers_anew(), "reflex"));
}

/*
 * The controller is slow to answer: meanwhile a sample is taken, and then the limit is set by an
 * order. The message that follows the answer at once has that sample, of before the order.
 */
TEST(feed_takes_no_order_for_another_hand)
{
	json_t *limits = NULL;
	double sweeps;
	size_t from;

	set_up("1000");
	UNTIL(received() >= 2);
	json_int_t a = number_of("a");
	t.hold = true;
	UNTIL(t.held);
	sweeps = metric("ebb_agent_sweeps_total");
	UNTIL(metric("ebb_agent_sweeps_total") > sweeps);
	order_a();
	from = received();
	give_held_answer();
	UNTIL(limits = last_told(from, "limits", a));
	CHECK_INT(json_integer_value(json_object_get(limits, "cpu")), 150);
	/* And is not told again. */
	UNTIL(received() >= from + 3);
	CHECK(!entry_of(message_at(from + 1), "limits", NULL, a));
	CHECK_NEAR(metric("ebb_agent_foreign_limit_changes_total"), 0, 0);
	CHECK(!log_has("another hand"));
}

TEST(feed_tells_who_comes_and_goes)
{
	bool told = false;

	set_up("100");
	UNTIL(received() >= 2);
	json_int_t a = number_of("a"), b = number_of("b");

	make_container("c");
	UNTIL(number_of("c"));
	json_int_t c = number_of("c");
	CHECK(c > a && c > b);
	/* On v1 made directory by directory: told when it is whole. */
	for (size_t i = 0; i < received(); i++) {
		json_t *limits =
			json_object_get(entry_of(message_at(i), "added", "c", 0), "limits");

		CHECK(!limits ||
		      (json_object_get(limits, "cpu") && json_object_get(limits, "mem") &&
		       json_object_get(limits, "cpus")));
	}

	remove_container("b");
	for (size_t seen = received(); !told;) {
		UNTIL(received() > seen);
		json_t *removed = json_object_get(message_at(seen++), "removed");
		told = json_array_size(removed) == 1 &&
		       json_integer_value(json_array_get(removed, 0)) == b;
	}
	/* A number is not used again. */
	make_container("b");
	UNTIL(number_of("b") != b);
	CHECK(number_of("b") > c);
	CHECK_INT(samples_of(message_at(received() - 1), b), 0);
}

TEST(feed_registers_anew_when_the_controller_forgot)
{
	set_up("100");
	t.guard = json_pack("{s:{s:i}}", "a", "cpu", 1000);
	t.guard_version = 3;
	UNTIL(received() >= 3);

	size_t from = received();
	const char *session = json_string_value(json_object_get(message_at(0), "session"));
	t.forget = 1;
	UNTIL(received() >= from + 4);
	CHECK_INT(t.forget, 0);
	json_t *again = message_at(from + 1);
	CHECK(json_object_get(again, "register"));
	CHECK(strcmp(json_string_value(json_object_get(again, "session")), session));
	CHECK_INT(json_integer_value(json_object_get(again, "seq")), 1);
	CHECK_INT(json_integer_value(json_object_get(again, "guard_version")), 0);
	CHECK_INT(json_array_size(json_object_get(again, "added")), 2);
	/* Guarded again after the answer. */
	CHECK_INT(json_integer_value(json_object_get(message_at(from + 2), "guard_version")), 3);
	CHECK(samples_of(message_at(from + 3), number_of("a")) > 2);

	/* A controller that never knows it is not hammered. */
	t.forget = 1000000;
	from = received();
	uint64_t end = now_ns() + 2 * EBB_NS_PER_SEC;
	while (now_ns() < end)
		loop_turn(t.loop, 20);
	CHECK(received() - from < 15);
	UNTIL(received() > from);
}

static void write_online(const char *text)
{
	FILE *f = fopen(t.online, "we");

	CHECK(f && fputs(text, f) >= 0);
	fclose(f);
}

/* Of the last message with a registration: how many CPUs it has, and its session. */
static size_t registered_cpus(const char **ret_session)
{
	for (size_t i = received(); i-- > 0;) {
		json_t *registration = json_object_get(message_at(i), "register");

		if (!registration)
			continue;
		*ret_session = json_string_value(json_object_get(message_at(i), "session"));
		return json_array_size(json_object_get(registration, "cpus"));
	}
	return 0;
}

TEST(feed_registers_anew_when_cpus_go_and_come_back)
{
	const char *session, *first;
	int status;
	pid_t pid;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP("needs two CPUs, for one to go");
	set_up("100");
	stop_agent();
	snprintf(t.online, sizeof(t.online), "%s/online", t.dir);
	write_online("0-1\n");
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		_exit(fake_online(t.online) < 0);
	CHECK(waitpid(pid, &status, 0) == pid);
	if (status)
		SKIP("no mount can be made here");
	json_array_clear(t.messages);
	start_agent("100");
	UNTIL(registered_cpus(&session) == 2);
	first = session;
	/* As the kernel lists it when CPU 0 has gone. */
	write_online("1\n");
	UNTIL(registered_cpus(&session) == 1);
	CHECK(strcmp(session, first) != 0);
	CHECK_INT(json_array_size(json_object_get(message_at(received() - 1), "added")), 2);
	write_online("0-1\n");
	UNTIL(registered_cpus(&session) == 2);
	CHECK(strcmp(session, first) != 0);
}

TEST(feed_keeps_samples_while_the_controller_is_away)
{
	char quota[64];
	json_int_t gone, back = 0, kept = 0;
	json_t *row;
	size_t k;

	set_up("100");
	t.guard = json_pack("{s:{s:i}}", "a", "cpu", 1000);
	t.guard_version = 1;
	UNTIL(received() >= 3);
	json_int_t a = number_of("a");
	const char *file = "cpu.cfs_quota_us";
	if (cgroup_tree_write(&t.tree, "cpu", "a", file, "90000") < 0) {
		file = "cpu.max";
		CHECK_INT(cgroup_tree_write(&t.tree, "cpu", "a", file, "90000 100000"), 0);
	}

	stop_serving();
	gone = (json_int_t)now_ns();
	while (back < gone + 3 * (json_int_t)EBB_NS_PER_SEC) {
		loop_turn(t.loop, 20);
		back = (json_int_t)now_ns();
	}
	size_t from = received();
	serve();
	UNTIL(received() >= from + 2);

	/* The session goes on, and nothing of what happened meanwhile is lost. */
	CHECK(!json_object_get(message_at(from), "register"));
	CHECK_STR(json_string_value(json_object_get(message_at(from), "session")),
		  json_string_value(json_object_get(message_at(0), "session")));
	for (size_t i = from; i < received(); i++) {
		json_array_foreach(json_object_get(message_at(i), "samples"), k, row) {
			json_int_t at = json_integer_value(json_array_get(row, 1));

			kept += json_integer_value(json_array_get(row, 0)) == a && at > gone &&
				at < back;
		}
	}
	CHECK(kept >= 10);
	CHECK(metric("ebb_agent_feed_failures_total") >= 2);
	CHECK_NEAR(metric("ebb_agent_feed_dropped_samples_total"), 0, 0);
	CHECK_NEAR(metric("ebb_agent_feed_connected"), 1, 0);
	/* Fail-static. */
	cgroup_tree_read(&t.tree, "cpu", "a", file, quota, sizeof(quota));
	CHECK(!strncmp(quota, "90000", 5));
}

TEST(feed_forgets_the_oldest_after_ten_seconds_away)
{
	json_int_t oldest = 0, newest = 0;
	size_t from, k, n = 0;
	json_t *row;

	set_up("100");
	t.guard = json_pack("{s:{s:i}}", "a", "cpu", 1000);
	t.guard_version = 1;
	UNTIL(received() >= 3);
	json_int_t a = number_of("a");

	stop_serving();
	for (uint64_t end = now_ns() + 12 * EBB_NS_PER_SEC; now_ns() < end;)
		loop_turn(t.loop, 20);
	from = received();
	serve();
	UNTIL(received() >= from + 1);
	json_array_foreach(json_object_get(message_at(from), "samples"), k, row) {
		if (json_integer_value(json_array_get(row, 0)) != a)
			continue;
		newest = json_integer_value(json_array_get(row, 1));
		oldest = n++ ? oldest : newest;
	}
	CHECK(n > 1);
	CHECK(n <= 100);
	CHECK(newest - oldest <= 10 * (json_int_t)EBB_NS_PER_SEC);
	CHECK(metric("ebb_agent_feed_dropped_samples_total") > 0);
}

static int notified = -1;

static void close_notified(void *unused)
{
	close(notified);
	notified = -1;
	unsetenv("NOTIFY_SOCKET");
}

static void restart_agent(void)
{
	stop_agent();
	start_agent("100");
}

TEST(feed_ignores_a_controller_that_led_before)
{
	set_up("100");
	t.term = 5;
	UNTIL(received() >= 3);
	CHECK(!json_object_get(message_at(0), "term"));
	CHECK_INT(json_integer_value(json_object_get(message_at(2), "term")), 5);

	/* It guards "a", but nobody listens to it any more. */
	t.term = 4;
	t.guard = json_pack("{s:{s:i}}", "a", "cpu", 25);
	t.guard_version = 9;
	size_t before = received();
	UNTIL(received() >= before + 5);
	for (size_t i = before; i < received(); i++) {
		CHECK_INT(json_integer_value(json_object_get(message_at(i), "guard_version")), 0);
		CHECK_INT(json_integer_value(json_object_get(message_at(i), "term")), 5);
	}
	/* Nor after the agent was started again. */
	restart_agent();
	before = received();
	UNTIL(received() >= before + 3);
	CHECK_INT(json_integer_value(json_object_get(message_at(before + 2), "term")), 5);
	CHECK_INT(json_integer_value(json_object_get(message_at(before + 2), "guard_version")), 0);
	t.term = 6;
	UNTIL(json_integer_value(json_object_get(message_at(received() - 1), "guard_version")) ==
	      9);
	CHECK_INT(json_integer_value(json_object_get(message_at(received() - 1), "term")), 6);
}

TEST(feed_goes_where_one_of_its_controllers_points)
{
	set_up("100");
	UNTIL(received() >= 1);
	serve_other();
	t.second = t.other_url;
	restart_agent();
	size_t before = received();
	UNTIL(received() >= before + 2);
	CHECK_INT(json_array_size(t.at_other), 0);
	t.misdirect = t.other_url;
	UNTIL(json_array_size(t.at_other) >= 3);
	/* A session of its own, all containers again. */
	json_t *first = json_array_get(t.at_other, 0);
	CHECK(json_object_get(first, "register"));
	CHECK_INT(json_array_size(json_object_get(first, "added")), 2);
	before = received();
	UNTIL(json_array_size(t.at_other) >= 5);
	CHECK_INT(received(), before);

	/* That one goes: back to the first. */
	t.misdirect = NULL;
	http_server_free(t.other);
	t.other = NULL;
	UNTIL(received() >= before + 2);
}

TEST(feed_does_not_take_the_token_to_where_it_was_not_told_to)
{
	set_up("100");
	UNTIL(received() >= 1);
	serve_other();
	t.misdirect = t.other_url;
	size_t before = received();
	UNTIL(received() >= before + 5);
	CHECK_INT(json_array_size(t.at_other), 0);
	t.misdirect = NULL;
	before = received();
	UNTIL(received() >= before + 3);
}

TEST(agent_tells_the_service_manager)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char got[64];

	/* An abstract name: no file to leave behind. */
	int n = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "ebb-test-notify-%d",
			 (int)getpid());
	notified = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	CHECK(notified >= 0);
	test_at_end(close_notified, NULL);
	CHECK(bind(notified, (struct sockaddr *)&address,
		   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)) == 0);
	address.sun_path[0] = '@';
	setenv("NOTIFY_SOCKET", address.sun_path, 1);
	set_up("100");
	UNTIL(recv(notified, got, sizeof(got), 0) == 7);
	CHECK(!memcmp(got, "READY=1", 7));
	/* Ready is: an answering API. */
	UNTIL(received() >= 1);
	CHECK(metric("ebb_agent_containers") >= 2);
	stop_agent();
	CHECK_INT(recv(notified, got, sizeof(got), 0), 10);
	CHECK(!memcmp(got, "STOPPING=1", 10));
}

TEST_MAIN()
