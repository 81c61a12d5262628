/* SPDX-License-Identifier: Apache-2.0 */
#include "audit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "../../test.h"

static struct audit *audit;
static json_t *list;
static char dir[64], path[96], old_path[96];

static void release_all(void *arg)
{
	audit_free(TAKE_PTR(audit));
	json_decref(TAKE_PTR(list));
	unlink(path);
	unlink(old_path);
	rmdir(dir);
}

static void make_dir(void)
{
	snprintf(dir, sizeof(dir), "/tmp/ebb-audit-XXXXXX");
	CHECK(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/decisions", dir);
	snprintf(old_path, sizeof(old_path), "%s/decisions.1", dir);
	test_at_end(release_all, NULL);
}

static void add(const char *structure, const char *outcome, double applied_ms)
{
	struct decision decision;

	decision_init(&decision);
	snprintf(decision.structure, sizeof(decision.structure), "%s", structure);
	snprintf(decision.outcome, sizeof(decision.outcome), "%s", outcome);
	decision.applied_ms = applied_ms;
	audit_add(audit, &decision);
}

static const char *text_of(size_t i, const char *key)
{
	return json_string_value(json_object_get(json_array_get(list, i), key));
}

static long long id_of(size_t i)
{
	return json_integer_value(json_object_get(json_array_get(list, i), "id"));
}

static void query(const char *structure, size_t limit)
{
	json_decref(list);
	list = audit_query(audit, structure, limit);
	CHECK(list);
}

TEST(decision_survives_json)
{
	struct decision in, out;
	_cleanup_json_ json_t *json = NULL;

	decision_init(&in);
	in.id = 7;
	in.at = 1795344748.25;
	in.resource = EBB_DISK_WRITE;
	snprintf(in.structure, sizeof(in.structure), "c0");
	snprintf(in.rule, sizeof(in.rule), "CpuRescaleUp");
	snprintf(in.outcome, sizeof(in.outcome), "partial");
	snprintf(in.cpus, sizeof(in.cpus), "0,1,4");
	in.operation = 4711;
	snprintf(in.subtype, sizeof(in.subtype), "application");
	snprintf(in.field, sizeof(in.field), "max");
	snprintf(in.pair, sizeof(in.pair), "app0");
	in.usage = 97.5;
	in.current = 100;
	in.requested = -40;
	in.planned = 140;
	in.events_down = 3;
	in.applied_ms = 12.345;
	snprintf(in.steps, sizeof(in.steps), "high 64 MiB, 2 ms; limit 64 MiB, 0 ms");
	json = decision_to_json(&in);
	CHECK(json);
	CHECK(json_is_null(json_object_get(json, "throttled")));
	CHECK(json_is_null(json_object_get(json, "applied")));
	CHECK_INT(decision_from_json(json, &out), 0);
	CHECK_INT(out.id, 7);
	CHECK_NEAR(out.at, in.at, 1e-9);
	CHECK_INT(out.resource, EBB_DISK_WRITE);
	CHECK_STR(out.structure, "c0");
	CHECK_STR(out.rule, "CpuRescaleUp");
	CHECK_STR(out.cpus, "0,1,4");
	CHECK_STR(out.outcome, "partial");
	CHECK_INT(out.operation, 4711);
	CHECK_STR(out.subtype, "application");
	CHECK_STR(out.field, "max");
	CHECK_STR(out.pair, "app0");
	CHECK_NEAR(out.usage, 97.5, 1e-9);
	CHECK(isnan(out.throttled));
	CHECK_INT(out.requested, -40);
	CHECK_INT(out.planned, 140);
	CHECK_INT(out.applied, -1);
	CHECK_INT(out.events_down, 3);
	CHECK_NEAR(out.applied_ms, 12.345, 1e-9);
	CHECK_STR(out.steps, "high 64 MiB, 2 ms; limit 64 MiB, 0 ms");
	CHECK(isnan(out.sent_ms));
}

/* One of an earlier version is about the limit of a container, and of no operation. */
TEST(an_older_decision_is_read)
{
	_cleanup_json_ json_t *json =
		json_pack("{s:i, s:s, s:s}", "id", 3, "resource", "cpu", "structure", "c0");
	struct decision out;

	CHECK_INT(decision_from_json(json, &out), 0);
	CHECK_INT(out.operation, 0);
	CHECK_STR(out.subtype, "container");
	CHECK_STR(out.field, "current");
	CHECK_STR(out.pair, "");
	json_decref(json);
	json = decision_to_json(&out);
	CHECK(json_is_null(json_object_get(json, "operation")));
}

TEST(decision_cut_inside_a_character_is_still_json)
{
	struct decision in;
	_cleanup_json_ json_t *json = NULL;

	decision_init(&in);
	snprintf(in.reason, sizeof(in.reason), "half a letter: \xc3");
	json = decision_to_json(&in);
	CHECK_STR(json_string_value(json_object_get(json, "reason")), "?");
}

TEST(query_is_newest_first_and_limited)
{
	test_at_end(release_all, NULL);
	CHECK_INT(audit_new(NULL, 1000, &audit), 0);
	for (int i = 0; i < 200; i++)
		add(i % 2 ? "odd" : "even", "applied", 10);
	query(NULL, 3);
	CHECK_INT(json_array_size(list), 3);
	CHECK_INT(id_of(0), 200);
	CHECK_INT(id_of(2), 198);
	/* More than one hold of the lock copies. */
	query("even", 1000);
	CHECK_INT(json_array_size(list), 100);
	CHECK_INT(id_of(0), 199);
	CHECK_INT(id_of(99), 1);
	query("nobody", 10);
	CHECK_INT(json_array_size(list), 0);
	query(NULL, 0);
	CHECK_INT(json_array_size(list), 0);
}

TEST(ring_forgets_the_oldest)
{
	test_at_end(release_all, NULL);
	CHECK_INT(audit_new(NULL, 4, &audit), 0);
	for (int i = 0; i < 10; i++)
		add("c", "applied", 1);
	query(NULL, 100);
	CHECK_INT(json_array_size(list), 4);
	CHECK_INT(id_of(0), 10);
	CHECK_INT(id_of(3), 7);
}

TEST(stats_count_and_rank)
{
	struct audit_stats stats;

	test_at_end(release_all, NULL);
	CHECK_INT(audit_new(NULL, 16, &audit), 0);
	audit_get_stats(audit, &stats);
	CHECK(isnan(stats.reaction_ms_p50));
	for (int i = 1; i <= 100; i++)
		add("c", i % 2 ? "applied" : "partial", i);
	add("c", "failed", 5000);
	add("c", "refused", NAN);
	audit_get_stats(audit, &stats);
	CHECK_INT(stats.total, 102);
	CHECK_INT(stats.applied, 100);
	CHECK_INT(stats.failed, 1);
	CHECK_NEAR(stats.reaction_ms_p50, 51, 1);
	CHECK_NEAR(stats.reaction_ms_p99, 100, 1);
}

TEST(file_is_read_back)
{
	make_dir();
	CHECK_INT(audit_new(path, 8, &audit), 0);
	for (int i = 0; i < 5; i++)
		add("kept", "applied", 1);
	audit_free(TAKE_PTR(audit));
	CHECK_INT(audit_new(path, 8, &audit), 0);
	add("new", "applied", 1);
	query(NULL, 100);
	CHECK_INT(json_array_size(list), 6);
	CHECK_INT(id_of(0), 6);
	CHECK_STR(text_of(0, "structure"), "new");
	CHECK_STR(text_of(1, "structure"), "kept");
	CHECK_INT(id_of(5), 1);
}

TEST(numbers_of_operations_go_on_after_a_restart)
{
	struct decision decision;

	make_dir();
	CHECK_INT(audit_new(path, 8, &audit), 0);
	CHECK_INT(audit_next_operation(audit), 1);
	CHECK_INT(audit_next_operation(audit), 2);
	decision_init(&decision);
	decision.operation = 2;
	audit_add(audit, &decision);
	audit_free(TAKE_PTR(audit));
	CHECK_INT(audit_new(path, 8, &audit), 0);
	CHECK_INT(audit_next_operation(audit), 3);
}

TEST(file_survives_a_torn_line_and_a_gap)
{
	struct stat st;
	int fd;

	make_dir();
	CHECK_INT(audit_new(path, 8, &audit), 0);
	add("one", "applied", 1);
	audit_free(TAKE_PTR(audit));
	fd = open(path, O_WRONLY | O_APPEND);
	CHECK(fd >= 0);
	dprintf(fd, "{\"id\":9,\"resource\":\"cpu\",\"structure\":\"nine\"}\n{\"id\":10,\"resou");
	close(fd);
	CHECK_INT(audit_new(path, 8, &audit), 0);
	add("after", "applied", 1);
	audit_free(TAKE_PTR(audit));
	CHECK_INT(audit_new(path, 8, &audit), 0);
	query(NULL, 100);
	CHECK_INT(json_array_size(list), 3);
	CHECK_STR(text_of(0, "structure"), "after");
	CHECK_INT(id_of(0), 10);
	CHECK_STR(text_of(1, "structure"), "nine");
	CHECK_STR(text_of(2, "structure"), "one");
	CHECK_INT(stat(path, &st), 0);
	CHECK_INT(st.st_mode & 0777, 0600);
}

TEST(file_is_rotated)
{
	struct stat st;
	int fd;

	make_dir();
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	CHECK(fd >= 0);
	/* A hole of 64 MiB costs no disk. */
	CHECK_INT(ftruncate(fd, (64LL << 20) - 1), 0);
	close(fd);
	CHECK_INT(audit_new(path, 4, &audit), 0);
	add("c", "applied", 1);
	audit_free(TAKE_PTR(audit));
	CHECK_INT(stat(old_path, &st), 0);
	CHECK(st.st_size >= 64LL << 20);
	CHECK_INT(stat(path, &st), 0);
	CHECK_INT(st.st_size, 0);
}

TEST(a_directory_that_is_not_there_is_refused)
{
	test_at_end(release_all, NULL);
	CHECK(audit_new("/proc/none/decisions", 4, &audit) < 0);
	CHECK(!audit);
}

TEST_MAIN()
