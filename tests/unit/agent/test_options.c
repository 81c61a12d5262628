/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <errno.h>
#include <unistd.h>

#include "options.h"
#include "sampler.h"
#include "ebb/log.h"
#include "ebb/tsdb_metrics.h"

static struct agent_options options;

static void clear(void *unused)
{
	agent_options_clear(&options);
	memset(&options, 0, sizeof(options));
}

#define LOAD(...)                                                                       \
	({                                                                              \
		char *argv[] = {(char *)"ebb-agent", __VA_ARGS__, NULL};                \
		clear(NULL);                                                            \
		agent_options_load(sizeof(argv) / sizeof(argv[0]) - 1, argv, &options); \
	})

TEST(options_defaults)
{
	char node[256] = "";

	test_at_end(clear, NULL);
	CHECK_INT(LOAD((char *)"--log-level=warning"), CONFIG_OK);
	gethostname(node, sizeof(node) - 1);
	CHECK_STR(options.name, node);
	CHECK_STR(options.listen, "127.0.0.1:8000");
	CHECK_STR(options.pin_dir, "/sys/fs/bpf/ebb");
	CHECK_STR(options.disk, "/");
	CHECK(!options.controllers.n && !options.token_file && !options.advertise);
	CHECK_INT(options.period_ms, 100);
	CHECK_INT(options.max_containers, 4096);
	CHECK_INT(options.sampler, SAMPLER_AUTO);
	CHECK_INT(options.log_level, LOG_LEVEL_WARNING);
	CHECK_INT(options.containers.n, 0);
}

TEST(options_given)
{
	test_at_end(clear, NULL);
	CHECK_INT(LOAD((char *)"--sampler=files", (char *)"--containers", (char *)"a/*",
		       (char *)"--containers=b/*", (char *)"--exclude=x", (char *)"--period=10",
		       (char *)"--name=h0", (char *)"--controller=http://127.0.0.1:5000"),
		  CONFIG_OK);
	CHECK_INT(options.sampler, SAMPLER_FILES);
	CHECK_INT(options.containers.n, 2);
	CHECK_STR(options.containers.items[1], "b/*");
	CHECK_INT(options.exclude.n, 1);
	CHECK_INT(options.period_ms, 10);
	CHECK_STR(options.name, "h0");
	CHECK(LOAD((char *)"--sampler=magic") < 0);
	CHECK(LOAD((char *)"--period=9") < 0);
	CHECK(LOAD((char *)"--nonsense=1") < 0);
}

static void wrong(const char *mention)
{
	char buffer[512];
	const char *problem = agent_options_check(&options, buffer, sizeof(buffer));

	CHECK(problem);
	if (!strstr(problem, mention))
		TEST_FAIL("\"%s\" does not mention \"%s\"", problem, mention);
}

TEST(options_that_make_no_sense_together)
{
	char good[] = "h0", listen[] = "0.0.0.0:8000", local[] = "127.0.0.1:8000", pins[] = "/p",
	     disk[] = "/", token[] = "/t", bad_name[] = "a/b", bad_url[] = "host:5000",
	     relative[] = "p", empty[] = "", unix_path[] = "unix:/run/x";
	struct agent_options base = {.name = good, .listen = local, .pin_dir = pins, .disk = disk};
	char buffer[512];

	options = base;
	CHECK(!agent_options_check(&options, buffer, sizeof(buffer)));
	options.listen = listen;
	wrong("--token-file");
	options.token_file = token;
	CHECK(!agent_options_check(&options, buffer, sizeof(buffer)));
	options = base;
	options.listen = unix_path;
	CHECK(!agent_options_check(&options, buffer, sizeof(buffer)));
	options.name = bad_name;
	wrong("--name");
	options.name = empty;
	wrong("--name");
	options = base;
	options.controllers = (struct string_list){(char *[]){unix_path, bad_url}, 2};
	wrong("--controller");
	options.controllers.n = 1;
	options.advertise = bad_url;
	wrong("--advertise");
	options = base;
	options.pin_dir = relative;
	wrong("--pin-dir");
	options = base;
	options.disk = relative;
	wrong("--disk");
	memset(&options, 0, sizeof(options));
}

static void check_url(const char *advertise, const char *bound, const char *want)
{
	char *url = agent_api_url(advertise, bound, "h0", false), copy[128];

	CHECK(url);
	snprintf(copy, sizeof(copy), "%s", url);
	free(url);
	CHECK_STR(copy, want);
}

static const char *wrong_with(char *url, char *sets, char *spool)
{
	static char buffer[512];
	struct agent_options o = {
		.name = (char *)"h0",
		.listen = (char *)"127.0.0.1:8000",
		.pin_dir = (char *)"/p",
		.disk = (char *)"/",
		.opentsdb = url,
		.spool = spool,
		.opentsdb_sets = {&sets, sets ? 1 : 0},
	};

	return agent_options_check(&o, buffer, sizeof(buffer));
}

TEST(options_of_opentsdb)
{
	/* The password in it is overwritten. */
	char url[] = "--opentsdb=http://u:hunter2@tsdb:4242";
	const char *wrong;

	test_at_end(clear, NULL);
	CHECK_INT(LOAD(url, (char *)"--name=h0"), CONFIG_OK);
	CHECK(!strstr(url, "hunter2"));
	CHECK_STR(options.opentsdb, "http://u:hunter2@tsdb:4242");
	CHECK_INT(agent_opentsdb_sets(&options), TSDB_SET_CONTAINER);
	CHECK_INT(options.opentsdb_period_s, 5);
	CHECK_INT(options.opentsdb_body_max, 8192);
	CHECK_INT(options.spool_max, 256);
	CHECK(!options.ca_file && !options.print_mkmetric);
	CHECK_INT(LOAD((char *)"--opentsdb=http://tsdb:4242", (char *)"--name=h0",
		       (char *)"--opentsdb-sets=process,host"),
		  CONFIG_OK);
	CHECK_INT(agent_opentsdb_sets(&options), TSDB_SET_PROCESS | TSDB_SET_HOST);
	CHECK(LOAD((char *)"--opentsdb-period=0") < 0);
	CHECK(LOAD((char *)"--assign-metrics") < 0);

	CHECK(!wrong_with(NULL, NULL, NULL));
	CHECK(!wrong_with((char *)"https://tsdb", (char *)"host", (char *)"/var/spool/ebb"));
	wrong = wrong_with((char *)"u:hunter2@tsdb:4242", NULL, NULL);
	CHECK(wrong && strstr(wrong, "http://HOST:4242") && !strstr(wrong, "hunter2"));
	wrong = wrong_with((char *)"http://tsdb:4242", (char *)"processes", NULL);
	CHECK(wrong && strstr(wrong, "processes") && strstr(wrong, "container, process, host"));
	CHECK(!wrong_with(NULL, NULL, (char *)"none"));
	wrong = wrong_with(NULL, NULL, (char *)"/var/spool/ebb");
	CHECK(wrong && strstr(wrong, "--opentsdb URL"));
}

static void spool(bool root, const char *opentsdb, const char *given, const char *want)
{
	char *path = given ? strdup(given) : NULL;

	CHECK_INT(agent_spool(root, opentsdb, &path), 0);
	if (want)
		CHECK_STR(path, want);
	else
		CHECK(!path);
	free(path);
}

TEST(options_points_survive_a_restart_unless_told_otherwise)
{
	spool(true, "http://tsdb:4242", NULL, "/var/lib/ebb/spool/agent");
	spool(true, "http://tsdb:4242", "/srv/spool", "/srv/spool");
	spool(true, "http://tsdb:4242", "none", NULL);
	spool(true, "http://tsdb:4242", "", NULL);
	spool(true, NULL, NULL, NULL);
	spool(false, "http://tsdb:4242", NULL, NULL);
	spool(false, "http://tsdb:4242", "/srv/spool", "/srv/spool");
	spool(false, "http://tsdb:4242", "none", NULL);
}

TEST(options_api_url)
{
	check_url(NULL, "127.0.0.1:8000", "http://127.0.0.1:8000");
	check_url(NULL, "[::1]:8000", "http://[::1]:8000");
	check_url(NULL, "unix:/run/ebb.sock", "unix:/run/ebb.sock");
	check_url(NULL, "0.0.0.0:8000", "http://h0:8000");
	check_url(NULL, "[::]:8000", "http://h0:8000");
	check_url("http://proxy:1", "0.0.0.0:8000", "http://proxy:1");
}

TEST(options_api_must_be_in_reach)
{
	CHECK(agent_api_is_reachable("http://127.0.0.1:5000", "http://127.0.0.1:8000"));
	CHECK(agent_api_is_reachable("http://localhost", "http://127.0.0.1:8000"));
	CHECK(agent_api_is_reachable("http://[::1]", "unix:/run/agent"));
	CHECK(agent_api_is_reachable("unix:/run/controller", "http://127.0.0.1:8000"));
	CHECK(agent_api_is_reachable("http://centre:5000", "http://h0:8000"));
	CHECK(agent_api_is_reachable("http://10.0.0.1:5000/", "http://10.0.0.2:8000"));
	CHECK(!agent_api_is_reachable("http://centre:5000", "http://127.0.0.1:8000"));
	CHECK(!agent_api_is_reachable("http://centre", "unix:/run/agent"));
	CHECK(!agent_api_is_reachable("http://[2001:db8::1]:5000", "http://[::1]:8000"));
}

TEST(controllers_to_hand_down)
{
	char buffer[512], *names[] = {(char *)"cpu", (char *)"io", (char *)"blkio"};
	struct agent_options o = {
		.name = (char *)"h0",
		.listen = (char *)"127.0.0.1:8000",
		.pin_dir = (char *)"/p",
		.disk = (char *)"/",
		.enable_controllers = {names, 2},
	};

	CHECK(!agent_options_check(&o, buffer, sizeof(buffer)));
	o.enable_controllers.n = 3;
	CHECK(strstr(agent_options_check(&o, buffer, sizeof(buffer)),
		     "--enable-controllers blkio"));
}

static void record(bool root, const char *pin_dir, const char *given, const char *want)
{
	char *path = given ? strdup(given) : NULL;

	CHECK_INT(agent_name_record(root, pin_dir, &path), 0);
	if (want)
		CHECK_STR(path, want);
	else
		CHECK(!path);
	free(path);
}

TEST(where_the_owners_of_names_are_kept)
{
	record(true, "/sys/fs/bpf/ebb", NULL, "/var/lib/ebb/names");
	record(false, "/sys/fs/bpf/ebb", NULL, NULL);
	/* A second agent of the host must not share it. */
	record(true, "/sys/fs/bpf/other", NULL, NULL);
	record(true, "/sys/fs/bpf/other", "/srv/names", "/srv/names");
	record(true, "/sys/fs/bpf/ebb", "none", NULL);
	record(true, "/sys/fs/bpf/ebb", "", NULL);
}

TEST_MAIN()
