/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts without an agent: what OpenTSDB says that their containers use. */
#include "mixed_site.h"

static double delay_with(struct host *host, const char *doc, double guardian)
{
	json_decref(host->structure->doc);
	host->structure->doc = json_loads(doc, 0, NULL);
	CHECK(host->structure->doc);
	model->guardian.window_delay = guardian;
	return model_window_delay(model, host);
}

TEST(the_delay_is_that_of_bdwatchdog_unless_told)
{
	struct host *host;

	start();
	lock();
	host = model_host(model, "h0");
	CHECK(delay_with(host, "{}", 0) == 10);
	CHECK(delay_with(host, "{}", 20) == 20);
	CHECK(delay_with(host, "{\"window_delay\":0}", 20) == 0);
	CHECK(delay_with(host, "{\"WINDOW_DELAY\":\"2.5\"}", 20) == 2.5);
	CHECK(delay_with(host, "{\"window_delay\":-1}", 0) == 10);
	CHECK(delay_with(host, "{\"window_delay\":\"soon\"}", 15) == 15);
	unlock();
}

TEST(a_container_without_an_agent_is_guarded)
{
	struct structure *s;

	start();
	know("c0", 99);
	start_threads();
	WAIT(is_live, "c0");
	lock();
	s = model_structure(model, "c0");
	CHECK_INT(s->resources[EBB_CPU].current, 100);
	CHECK_INT(s->resources[EBB_CPU].allocated, 100);
	CHECK_INT(model_host(model, "h0")->max[EBB_CPU], 400);
	CHECK_INT(model_host(model, "h0")->max[EBB_MEM], 4096);
	CHECK(model_host(model, "h0")->agentless);
	CHECK_STR(host_feed_name(model_host(model, "h0")), "opentsdb");
	unlock();
	adds_up();
	WAIT(has_usage, "c0");
	WAIT(has_grown, "c0");
	adds_up();
	pthread_mutex_lock(&rescaler.lock);
	CHECK(rescaler.puts > 0);
	CHECK(rescaler.polls > 0);
	/* It checks nobody, and is not to learn what agents are ordered with. */
	CHECK(!rescaler.given_token);
	pthread_mutex_unlock(&rescaler.lock);
}

TEST(the_query_is_that_of_the_original)
{
	start();
	know("c0", 50);
	start_threads();
	WAIT(has_usage, "c0");
	pthread_mutex_lock(&tsdb.lock);
	CHECK(strstr(tsdb.last, "{\"aggregator\":\"zimsum\",\"metric\":\"proc.cpu.user\","
				"\"downsample\":\"5s-avg\",\"tags\":{\"host\":\"c0\"}}"));
	CHECK(strstr(tsdb.last, "proc.cpu.kernel") && strstr(tsdb.last, "proc.mem.resident"));
	CHECK(!strstr(tsdb.last, "proc.disk"));
	pthread_mutex_unlock(&tsdb.lock);
	lock();
	CHECK(model_structure(model, "c0")->resources[EBB_CPU].usage == 51);
	CHECK(model_structure(model, "c0")->resources[EBB_MEM].usage == 1);
	unlock();
}

TEST(unknown_names_do_not_blind_the_others)
{
	struct feed_opentsdb_stats stats;

	start();
	add_container("c1", 50, true);
	add_container("c2", 50, true);
	add_container("bad|name", 50, true);
	know("c0", 50);
	know("c2", 20);
	start_threads();
	WAIT(has_usage, "c0");
	WAIT(has_usage, "c2");
	lock();
	CHECK(has_no_usage("c1"));
	CHECK(has_no_usage("bad|name"));
	unlock();
	feed_opentsdb_get_stats(feed, &stats);
	CHECK_INT(stats.containers, 4);
	CHECK(stats.reachable);
	CHECK_INT(stats.failures, 0);
	CHECK(stats.refused >= 1);
}

TEST(a_culprit_is_found_without_its_name)
{
	start();
	for (int i = 1; i < 12; i++) {
		char name[16];

		snprintf(name, sizeof(name), "c%d", i);
		add_container(name, 10, false);
		if (i != 7)
			know(name, 5);
	}
	know("c0", 50);
	tsdb.mute = true;
	start_threads();
	WAIT(has_usage, "c0");
	WAIT(has_usage, "c6");
	WAIT(has_usage, "c8");
	WAIT(has_usage, "c11");
	lock();
	CHECK(has_no_usage("c7"));
	unlock();
	pthread_mutex_lock(&tsdb.lock);
	CHECK(tsdb.asked < 30);
	pthread_mutex_unlock(&tsdb.lock);
}

TEST(an_unknown_metric_is_left_out)
{
	struct feed_opentsdb_stats stats;

	start();
	know("c0", 50);
	tsdb.no_metric = "proc.mem.resident";
	start_threads();
	WAIT(has_usage, "c0");
	lock();
	CHECK(isnan(model_structure(model, "c0")->resources[EBB_MEM].usage));
	unlock();
	feed_opentsdb_get_stats(feed, &stats);
	CHECK_INT(stats.failures, 0);
}

static bool has_memory_usage(void *name)
{
	return isfinite(model_structure(model, name)->resources[EBB_MEM].usage);
}

TEST(half_of_a_resource_shrinks_nothing)
{
	start();
	know("c0", 50);
	tsdb.no_metric = "proc.cpu.user";
	start_threads();
	WAIT(has_memory_usage, "c0");
	lock();
	CHECK(has_no_usage("c0"));
	CHECK_INT(model_structure(model, "c0")->resources[EBB_CPU].current, 100);
	unlock();
}

TEST(while_opentsdb_is_away_nothing_changes)
{
	struct feed_opentsdb_stats stats;
	unsigned long puts;

	start();
	know("c0", 1);
	tsdb.status = 503;
	start_threads();
	WAIT(is_live, "c0");
	do {
		usleep(10000);
		feed_opentsdb_get_stats(feed, &stats);
	} while (stats.failures < 2);
	CHECK(!stats.reachable);
	CHECK(strstr(stats.last_error, "503"));
	lock();
	CHECK(has_no_usage("c0"));
	CHECK_INT(model_structure(model, "c0")->resources[EBB_CPU].current, 100);
	unlock();
	pthread_mutex_lock(&rescaler.lock);
	puts = rescaler.puts;
	pthread_mutex_unlock(&rescaler.lock);
	/* Its cores, at most: the limit stays. */
	CHECK(puts <= 1);
	tsdb.status = 0;
	WAIT(has_usage, "c0");
}

/* What is logged from here on goes to the file too. */
static int stderr_kept = -1;

static FILE *logged;

static void log_as_before(void *arg)
{
	(void)arg;
	if (stderr_kept >= 0) {
		dup2(stderr_kept, STDERR_FILENO);
		close(stderr_kept);
		stderr_kept = -1;
	}
	if (logged)
		fclose(TAKE_PTR(logged));
}

static void keep_log(void)
{
	logged = tmpfile();
	CHECK(logged != NULL);
	stderr_kept = dup(STDERR_FILENO);
	CHECK(stderr_kept >= 0);
	test_at_end(log_as_before, NULL);
	CHECK(dup2(fileno(logged), STDERR_FILENO) >= 0);
}

static bool log_has(const char *text)
{
	static char all[65536];
	ssize_t n = pread(fileno(logged), all, sizeof(all) - 1, 0);

	all[MAX(n, 0)] = '\0';
	return strstr(all, text) != NULL;
}

static void wait_for_line(const char *text)
{
	for (int i = 0; i < 6000 && !log_has(text); i++)
		usleep(5000);
	CHECK(log_has(text));
}

static void no_password(const struct feed_opentsdb_stats *stats)
{
	CHECK(!strstr(stats->last_error, "swordfish"));
	CHECK(!log_has("swordfish"));
}

#define USER "guard:swordfish@"

TEST(the_password_is_told_to_nobody_in_an_outage)
{
	struct feed_opentsdb_stats stats;

	start();
	keep_log();
	start_threads_with(USER, "127.0.0.1:1");
	wait_for_line("OpenTSDB at http://guard:***@127.0.0.1:1 cannot be asked");
	feed_opentsdb_get_stats(feed, &stats);
	CHECK(strstr(stats.last_error, "cannot reach http://127.0.0.1:1:"));
	no_password(&stats);
}

TEST(the_password_is_told_to_nobody_by_other_lines)
{
	struct feed_opentsdb_stats stats;

	start();
	keep_log();
	tsdb.empty = true;
	start_threads_with(USER, http_server_address(tsdb.server));
	wait_for_line("has nothing with a tag host yet");
	pthread_mutex_lock(&tsdb.lock);
	tsdb.empty = false;
	tsdb.status = 401;
	CHECK_STR(tsdb.authorization, "Basic Z3VhcmQ6c3dvcmRmaXNo");
	pthread_mutex_unlock(&tsdb.lock);
	wait_for_line("it wants another user and password");
	feed_opentsdb_get_stats(feed, &stats);
	no_password(&stats);
	know("c0", 50);
	pthread_mutex_lock(&tsdb.lock);
	tsdb.status = 0;
	pthread_mutex_unlock(&tsdb.lock);
	wait_for_line("answers again");
	feed_opentsdb_get_stats(feed, &stats);
	no_password(&stats);
}

static bool uses(const char *name, double cpu)
{
	bool yes;

	lock();
	yes = model_structure(model, name)->resources[EBB_CPU].usage == cpu;
	unlock();
	return yes;
}

/* A longer delay is to the feed what a clock that is set back is: what it has seen lies ahead. */
TEST(a_clock_that_steps_back_stops_nothing)
{
	start();
	know("c0", 50);
	start_threads();
	WAIT(has_usage, "c0");
	lock();
	json_object_set_new(model_host(model, "h0")->structure->doc, "window_delay",
			    json_integer(100));
	model_host(model, "h0")->fed_since = wall_seconds() + 100;
	unlock();
	know("c0", 77);
	for (int i = 0; i < 4000 && !uses("c0", 78); i++)
		usleep(5000);
	CHECK(uses("c0", 78));
	lock();
	CHECK(model_host(model, "h0")->fed_since <= wall_seconds());
	unlock();
}

TEST_MAIN()
