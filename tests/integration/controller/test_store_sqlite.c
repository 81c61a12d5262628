/* SPDX-License-Identifier: Apache-2.0 */
/* The state file itself: what is kept, what is refused, and what kill -9 leaves. */
#include "seed.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "store.h"
#include "ebb/cleanup.h"

static char dir[64], path[128], uri[160];
static struct store *opened;

static void clean_up(void *unused)
{
	char command[128];

	store_close(TAKE_PTR(opened));
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	if (strncmp(dir, "/tmp/ebb-store-", 15) == 0 && system(command) != 0)
		fprintf(stderr, "%s failed\n", command);
}

static void set_up(void)
{
	snprintf(dir, sizeof(dir), "/tmp/ebb-store-XXXXXX");
	CHECK(mkdtemp(dir));
	test_at_end(clean_up, NULL);
	snprintf(path, sizeof(path), "%s/a/b/state.db", dir);
	snprintf(uri, sizeof(uri), "sqlite:%s", path);
}

static void open_store(void)
{
	CHECK_INT(store_open(uri, NULL, &opened), 0);
}

static void put(struct store *store, const char *id, int64_t value)
{
	_cleanup_json_ json_t *doc = json_pack("{s:s, s:I}", "name", id, "v", (json_int_t)value);

	if (store_put(store, DB_STRUCTURES, id, doc) < 0)
		abort();
}

static int collect(void *userdata, const char *id, json_t *doc)
{
	return json_object_set(userdata, id, json_object_get(doc, "v"));
}

/* {id: v} of one database; caller frees. */
static json_t *load(enum store_db db)
{
	json_t *all = json_object();

	CHECK_INT(store_load(opened, db, collect, all), 0);
	return all;
}

static void execute(const char *sql)
{
	sqlite3 *db = NULL;
	int r = sqlite3_open(path, &db);

	if (r == SQLITE_OK)
		r = sqlite3_exec(db, sql, NULL, NULL, NULL);
	sqlite3_close(db);
	CHECK_INT(r, SQLITE_OK);
}

static void integrity_check(void)
{
	sqlite3_stmt *stmt = NULL;
	sqlite3 *db = NULL;
	char found[256] = "";

	if (sqlite3_open(path, &db) == SQLITE_OK &&
	    sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &stmt, NULL) == SQLITE_OK &&
	    sqlite3_step(stmt) == SQLITE_ROW)
		snprintf(found, sizeof(found), "%s", sqlite3_column_text(stmt, 0));
	else
		snprintf(found, sizeof(found), "%s", sqlite3_errmsg(db));
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	CHECK_STR(found, "ok");
}

/* Size and contents, to see that a refused file was left alone. */
static uint64_t fingerprint(void)
{
	_cleanup_close_ int fd = open(path, O_RDONLY);
	unsigned char buffer[4096];
	uint64_t hash = 1469598103934665603ULL;
	ssize_t n;

	CHECK(fd >= 0);
	while ((n = read(fd, buffer, sizeof(buffer))) > 0)
		for (ssize_t i = 0; i < n; i++)
			hash = (hash ^ buffer[i]) * 1099511628211ULL;
	return hash;
}

static void refused(int error)
{
	uint64_t before = fingerprint();

	CHECK_INT(store_open(uri, NULL, &opened), error);
	CHECK(opened == NULL);
	CHECK(fingerprint() == before);
}

static void write_file(const char *name, const void *data, size_t len)
{
	_cleanup_close_ int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	CHECK(fd >= 0);
	CHECK_INT(write(fd, data, len), len);
}

TEST(sqlite_keeps_documents)
{
	_cleanup_json_ json_t *all = NULL, *rules = NULL;

	set_up();
	open_store();
	CHECK_INT(store_start(opened), 0);
	put(opened, "c0", 1);
	put(opened, "c1", 2);
	put(opened, "caf\xc3\xa9 '; DROP TABLE documents; --", 3);
	CHECK_INT(store_flush(opened), 0);
	put(opened, "c1", 4);
	CHECK_INT(store_delete(opened, DB_STRUCTURES, "c0"), 0);
	CHECK_INT(store_delete(opened, DB_STRUCTURES, "never there"), 0);
	store_close(TAKE_PTR(opened));

	open_store();
	all = load(DB_STRUCTURES);
	rules = load(DB_RULES);
	CHECK_INT(json_object_size(all), 2);
	CHECK_INT(json_object_size(rules), 0);
	CHECK_INT(json_integer_value(json_object_get(all, "c1")), 4);
	CHECK_INT(
		json_integer_value(json_object_get(all, "caf\xc3\xa9 '; DROP TABLE documents; --")),
		3);
}

TEST(sqlite_modes)
{
	char *names[] = {"", "-wal", "-shm", ".lock"};
	char name[192];
	struct stat st;

	set_up();
	umask(0);
	open_store();
	umask(022);
	CHECK_INT(store_start(opened), 0);
	put(opened, "c0", 1);
	CHECK_INT(store_flush(opened), 0);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(name, sizeof(name), "%s%s", path, names[i]);
		CHECK_INT(stat(name, &st), 0);
		CHECK_INT(st.st_mode & 07777, 0600);
	}
	snprintf(name, sizeof(name), "%s/a/b", dir);
	CHECK_INT(stat(name, &st), 0);
	CHECK_INT(st.st_mode & 07777, 0700);
	/* A clean stop leaves the file alone with its lock. */
	store_close(TAKE_PTR(opened));
	snprintf(name, sizeof(name), "%s-wal", path);
	CHECK(stat(name, &st) < 0);
}

TEST(sqlite_second_controller_is_refused)
{
	struct store *second = NULL;

	set_up();
	open_store();
	CHECK_INT(store_open(uri, NULL, &second), -EBUSY);
	CHECK(second == NULL);
	store_close(TAKE_PTR(opened));
	open_store();
}

TEST(sqlite_can_be_read_while_in_use)
{
	set_up();
	open_store();
	CHECK_INT(store_start(opened), 0);
	put(opened, "c0", 1);
	CHECK_INT(store_flush(opened), 0);
	execute("SELECT * FROM documents");
	put(opened, "c1", 1);
	CHECK_INT(store_flush(opened), 0);
}

TEST(sqlite_foreign_files_are_left_alone)
{
	set_up();
	open_store();
	store_close(TAKE_PTR(opened));

	write_file(path, "", 0);
	refused(-EINVAL);
	write_file(path, "not a database", 14);
	refused(-EINVAL);
	/* Another program's SQLite file. */
	CHECK_INT(unlink(path), 0);
	execute("CREATE TABLE t (x); PRAGMA application_id=7");
	refused(-EINVAL);
}

TEST(sqlite_newer_schema_is_left_alone)
{
	set_up();
	open_store();
	store_close(TAKE_PTR(opened));
	execute("PRAGMA journal_mode=DELETE; PRAGMA user_version=99");
	refused(-EINVAL);
}

TEST(sqlite_damaged_file_is_left_alone)
{
	char junk[4096];
	struct stat st;

	set_up();
	open_store();
	CHECK_INT(store_start(opened), 0);
	for (int i = 0; i < 2000; i++) {
		char id[32];

		snprintf(id, sizeof(id), "container-with-a-long-name-%d", i);
		put(opened, id, i);
	}
	store_close(TAKE_PTR(opened));
	CHECK_INT(stat(path, &st), 0);
	CHECK(st.st_size > 5 * 4096);

	memset(junk, 0xa5, sizeof(junk));
	_cleanup_close_ int fd = open(path, O_WRONLY);
	CHECK_INT(pwrite(fd, junk, sizeof(junk), 3 * 4096), sizeof(junk));
	refused(-EBADMSG);
	/* Cut short. */
	CHECK_INT(ftruncate(fd, st.st_size / 2 / 4096 * 4096), 0);
	refused(-EBADMSG);
}

TEST(sqlite_wal_without_its_file_is_left_alone)
{
	char wal[160];
	struct stat st;

	set_up();
	open_store();
	store_close(TAKE_PTR(opened));
	CHECK_INT(unlink(path), 0);
	snprintf(wal, sizeof(wal), "%s-wal", path);
	write_file(wal, "precious", 8);
	CHECK_INT(store_open(uri, NULL, &opened), -EEXIST);
	CHECK_INT(stat(wal, &st), 0);
	CHECK_INT(st.st_size, 8);
	CHECK(stat(path, &st) < 0);
}

TEST(sqlite_place_that_cannot_be_written)
{
	char file[128];

	set_up();
	snprintf(file, sizeof(file), "%s/a", dir);
	write_file(file, "", 0);
	CHECK_INT(store_open(uri, NULL, &opened), -ENOTDIR);
	/* procfs takes no file, of root neither. */
	CHECK(store_open("sqlite:/proc/state.db", NULL, &opened) < 0);
	CHECK(opened == NULL);
}

TEST(sqlite_bad_documents_are_skipped)
{
	_cleanup_json_ json_t *all = NULL;

	set_up();
	open_store();
	store_close(TAKE_PTR(opened));
	execute("INSERT INTO documents VALUES ('structures', 'cut', '{\"v\":'),"
		" ('structures', 'list', '[1]'), ('structures', 'good', '{\"v\":5}')");
	open_store();
	all = load(DB_STRUCTURES);
	CHECK_INT(json_object_size(all), 1);
	CHECK_INT(json_integer_value(json_object_get(all, "good")), 5);
}

/* Somebody else's write lock for longer than the writer waits: kept, and written afterwards. */
TEST(sqlite_locked_by_another_program)
{
	_cleanup_json_ json_t *all = NULL;
	struct store_stats stats;
	sqlite3 *other = NULL;
	int r;

	set_up();
	open_store();
	CHECK_INT(store_start(opened), 0);
	CHECK_INT(sqlite3_open(path, &other), SQLITE_OK);
	r = sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL);
	put(opened, "c0", 1);
	int flushed = store_flush(opened);
	sqlite3_close(other);
	CHECK_INT(r, SQLITE_OK);
	CHECK_INT(flushed, -EIO);
	store_get_stats(opened, &stats);
	CHECK(strstr(stats.last_error, "locked"));
	CHECK_INT(store_flush(opened), 0);
	store_close(TAKE_PTR(opened));
	open_store();
	all = load(DB_STRUCTURES);
	CHECK_INT(json_object_size(all), 1);
}

enum { ROUNDS = 50, DOCUMENTS = 20 };

/* Puts and flushes until it is killed; says each flushed value in the pipe. */
static void write_until_killed(int fd, int64_t value)
{
	struct store *store;
	char id[32];

	if (store_open(uri, NULL, &store) < 0 || store_start(store) < 0)
		_exit(1);
	for (;;) {
		value++;
		for (int i = 0; i < DOCUMENTS; i++) {
			snprintf(id, sizeof(id), "c%d", i);
			put(store, id, value);
		}
		if (store_flush(store) < 0 || write(fd, &value, sizeof(value)) != sizeof(value))
			_exit(1);
	}
}

static int64_t run_and_kill(int64_t value, unsigned delay_us)
{
	struct timespec delay = {.tv_nsec = delay_us * 1000L};
	int64_t flushed = value, next;
	int fds[2], status;
	pid_t child;

	CHECK_INT(pipe2(fds, O_CLOEXEC), 0);
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		close(fds[0]);
		write_until_killed(fds[1], value);
	}
	close(fds[1]);
	nanosleep(&delay, NULL);
	kill(child, SIGKILL);
	while (read(fds[0], &next, sizeof(next)) == sizeof(next))
		flushed = next;
	close(fds[0]);
	CHECK_INT(waitpid(child, &status, 0), child);
	CHECK(WIFSIGNALED(status));
	return flushed;
}

TEST(sqlite_survives_kill_at_any_moment)
{
	unsigned seed = (unsigned)test_seed(1);
	int64_t flushed = 0, most = 0;
	int rounds_with_writes = 0;
	char id[32];

	set_up();
	for (int round = 0; round < ROUNDS; round++) {
		_cleanup_json_ json_t *all = NULL;
		int64_t before = flushed;

		/* From before the file exists to well into the writing. */
		flushed = run_and_kill(flushed, (unsigned)rand_r(&seed) % 40000);
		rounds_with_writes += flushed > before;
		open_store();
		all = load(DB_STRUCTURES);
		store_close(TAKE_PTR(opened));
		integrity_check();
		if (flushed > 0)
			CHECK_INT(json_object_size(all), DOCUMENTS);
		most = flushed;
		for (int i = 0; i < DOCUMENTS; i++) {
			int64_t found;

			snprintf(id, sizeof(id), "c%d", i);
			found = json_integer_value(json_object_get(all, id));
			if (found < flushed)
				TEST_FAIL("round %d: %s is %lld, %lld was flushed", round, id,
					  (long long)found, (long long)flushed);
			most = MAX(most, found);
		}
		flushed = most;
	}
	printf("# %lld flushes, %d of %d rounds got to write\n", (long long)flushed,
	       rounds_with_writes, ROUNDS);
	CHECK(rounds_with_writes > 0);
}

static off_t size_of(const char *suffix)
{
	char file[160];
	struct stat st = {};

	snprintf(file, sizeof(file), "%s%s", path, suffix);
	(void)stat(file, &st);
	return st.st_size;
}

TEST(compaction_gives_room_back)
{
	struct store_stats stats;
	off_t before;

	set_up();
	open_store();
	CHECK_INT(store_start(opened), 0);
	for (int i = 0; i < 20000; i++) {
		char id[32];

		snprintf(id, sizeof(id), "container-%d", i);
		put(opened, id, i);
	}
	CHECK_INT(store_flush(opened), 0);
	for (int i = 0; i < 20000; i++) {
		char id[32];

		snprintf(id, sizeof(id), "container-%d", i);
		CHECK_INT(store_delete(opened, DB_STRUCTURES, id), 0);
	}
	CHECK_INT(store_flush(opened), 0);
	execute("PRAGMA wal_checkpoint(PASSIVE)");
	before = size_of("");
	CHECK(before > 500000);
	store_compact(opened, 1u << DB_EVENTS);
	do {
		usleep(1000);
		store_get_stats(opened, &stats);
	} while (!stats.compactions);
	CHECK(size_of("") < before / 4);
	CHECK_INT(size_of("-wal"), 0);
	integrity_check();
	put(opened, "c0", 1);
	CHECK_INT(store_flush(opened), 0);
}

TEST_MAIN()
