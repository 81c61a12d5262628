/* SPDX-License-Identifier: Apache-2.0 */
/* The pusher as a whole, without a server. */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/tsdb.h"
#include "test.h"

static struct tsdb *tsdb;
static char spool[64];

static void clean_up(void *arg)
{
	char command[96];

	tsdb_free(tsdb);
	tsdb = NULL;
	if (!*spool)
		return;
	snprintf(command, sizeof(command), "rm -rf '%s'", spool);
	if (system(command))
		fprintf(stderr, "%s is left\n", spool);
	*spool = '\0';
}

static void begin(bool on_disk)
{
	log_set_level(LOG_LEVEL_ERROR);
	*spool = '\0';
	test_at_end(clean_up, NULL);
	if (on_disk) {
		strcpy(spool, "/tmp/ebb-spool-XXXXXX");
		CHECK(mkdtemp(spool));
	}
}

/* Nobody listens there. */
#define NOWHERE "http://127.0.0.1:1"

static struct tsdb_batch *make_batch(int n)
{
	struct tsdb_batch *batch = tsdb_batch_new();
	char tags[TSDB_TAGS_TEXT];
	struct tsdb_tag tag = {"host", "c0"};

	CHECK(batch);
	CHECK_INT(tsdb_tags_encode(&tag, 1, tags, sizeof(tags)), 0);
	for (int i = 0; i < n; i++)
		CHECK_INT(tsdb_batch_add_encoded(batch, "proc.cpu.user", 1795000000 + i, i, tags),
			  0);
	return batch;
}

static struct tsdb_stats stats_now(void)
{
	struct tsdb_stats stats;

	tsdb_get_stats(tsdb, &stats);
	return stats;
}

TEST(bad_options)
{
	struct tsdb_options options = {.url = "tsdb:4242"};

	begin(true);
	CHECK_INT(tsdb_new(&options, &tsdb), -EINVAL);
	options.url = NULL;
	CHECK_INT(tsdb_new(&options, &tsdb), -EINVAL);
	CHECK(!tsdb);
	options.url = NOWHERE;
	options.spool = "/proc/none/spool";
	CHECK_INT(tsdb_new(&options, &tsdb), -ENOENT);
	options.spool = spool;
	CHECK_INT(tsdb_new(&options, &tsdb), 0);
	/* One spool, two pushers. */
	struct tsdb *other = NULL;
	CHECK_INT(tsdb_new(&options, &other), -EBUSY);
	CHECK(!other);
	tsdb_free(NULL);
}

TEST(nothing_is_lost_by_a_restart_without_a_server)
{
	struct tsdb_options options = {.url = NOWHERE, .spool = spool};

	begin(true);
	for (int run = 0; run < 3; run++) {
		CHECK_INT(tsdb_new(&options, &tsdb), 0);
		CHECK_INT(stats_now().waiting_points, 5000 * run);
		CHECK_INT(tsdb_submit(tsdb, make_batch(3000)), 0);
		CHECK_INT(tsdb_flush(tsdb), 0);
		CHECK_INT(stats_now().waiting_points, 5000 * run + 3000);
		CHECK(stats_now().waiting_bytes > 0);
		CHECK(!stats_now().reachable);
		/* Also what was not flushed. */
		CHECK_INT(tsdb_submit(tsdb, make_batch(2000)), 0);
		tsdb_free(tsdb);
		tsdb = NULL;
	}
	CHECK_INT(tsdb_new(&options, &tsdb), 0);
	CHECK_INT(stats_now().waiting_points, 15000);
	CHECK_INT(stats_now().dropped, 0);
}

TEST(memory_has_a_bound)
{
	struct tsdb_options options = {.url = NOWHERE, .spool_max = 100000};
	unsigned long total = 0;

	begin(false);
	CHECK_INT(tsdb_new(&options, &tsdb), 0);
	while (!stats_now().dropped) {
		CHECK_INT(tsdb_submit(tsdb, make_batch(1000)), 0);
		CHECK_INT(tsdb_flush(tsdb), 0);
		total += 1000;
		CHECK(total < 1000000);
	}
	CHECK_INT(stats_now().waiting_points + stats_now().dropped, total);
	CHECK(stats_now().waiting_bytes <= 100000);
}

TEST(empty_batches)
{
	struct tsdb_options options = {.url = NOWHERE};

	begin(false);
	CHECK_INT(tsdb_new(&options, &tsdb), 0);
	CHECK_INT(tsdb_flush(tsdb), 0);
	CHECK_INT(tsdb_submit(tsdb, tsdb_batch_new()), 0);
	CHECK_INT(tsdb_flush(tsdb), 0);
	CHECK_INT(stats_now().waiting_points, 0);
	CHECK_NEAR(stats_now().oldest_s, 0, 0);
}

/* Faster than a body can be made of it: refused, counted, and never waited for. */
TEST(queue_has_a_bound)
{
	struct tsdb_options options = {.url = NOWHERE};
	struct tsdb_batch *batches[4];
	unsigned long refused = 0, told = 0;
	int was = dup(STDERR_FILENO), log = memfd_create("log", MFD_CLOEXEC);
	char line[4096];
	FILE *lines;

	begin(false);
	CHECK(was >= 0 && log >= 0);
	CHECK(dup2(log, STDERR_FILENO) >= 0);
	log_set_level(LOG_LEVEL_WARNING);
	CHECK_INT(tsdb_new(&options, &tsdb), 0);
	for (size_t i = 0; i < ARRAY_SIZE(batches); i++)
		batches[i] = make_batch(400000); /* 34 MB of text */
	for (size_t i = 0; i < ARRAY_SIZE(batches); i++) {
		int r = tsdb_submit(tsdb, batches[i]);

		CHECK(r == 0 || r == -ENOBUFS);
		refused += r < 0;
	}
	CHECK(refused >= 1);
	CHECK_INT(tsdb_flush(tsdb), 0);
	CHECK_INT(stats_now().dropped, refused * 400000ul);
	CHECK_INT(stats_now().waiting_points, (ARRAY_SIZE(batches) - refused) * 400000ul);

	/* And told, all of them. */
	tsdb_free(tsdb);
	tsdb = NULL;
	CHECK(dup2(was, STDERR_FILENO) >= 0);
	close(was);
	lines = fdopen(log, "re");
	CHECK(lines);
	rewind(lines);
	while (fgets(line, sizeof(line), lines)) {
		const char *at = strstr(line, " points of series were dropped: they came faster");

		if (!at)
			continue;
		while (at > line && at[-1] >= '0' && at[-1] <= '9')
			at--;
		told += strtoul(at, NULL, 10);
	}
	fclose(lines);
	CHECK_INT(told, refused * 400000ul);
}

TEST_MAIN()
