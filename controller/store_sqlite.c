/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State in one SQLite file: one table of documents by database and id.
 *
 * WAL with synchronous=NORMAL: a killed process loses nothing that was committed, a power failure
 * at most the newest commits, and neither breaks the file. A second controller is kept out by
 * flock(2) on PATH.lock, not by SQLite's exclusive mode, so that an operator can read the state
 * with sqlite3 while the controller runs; and not on the file itself, because closing any
 * descriptor of it would drop SQLite's own POSIX locks.
 */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/util.h"

#define APPLICATION_ID 0x45626221 /* "Ebb!" */
#define SCHEMA_VERSION 1
/* Others that read the file hold the writer up no longer than this. */
#define BUSY_MS 2000

/* https://www.sqlite.org/fileformat.html, section 1.3 */
#define HEADER_MAGIC          "SQLite format 3"
#define HEADER_SIZE           100
#define HEADER_USER_VERSION   60
#define HEADER_APPLICATION_ID 68

struct sqlite_store {
	sqlite3 *db;
	sqlite3_stmt *begin, *commit, *rollback, *put, *delete;
	int lock_fd;
	char error[160];
};

static int lock_state(const char *path, int *ret_fd)
{
	_cleanup_free_ char *lock_path = NULL;
	_cleanup_close_ int fd = -1;
	char pid[24] = "";
	ssize_t n;

	if (asprintf(&lock_path, "%s.lock", path) < 0)
		return -ENOMEM;
	fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return log_error_errno(errno,
				       "Cannot create %s for the state; make its directory "
				       "writable, or choose another place with --state sqlite:PATH",
				       lock_path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return log_error_errno(errno, "Cannot lock %s", lock_path);
		n = pread(fd, pid, sizeof(pid) - 1, 0);
		pid[MAX(n, 0)] = '\0';
		log_error("The state %s is in use by another controller%s%s; stop it, or choose "
			  "another place with --state sqlite:PATH",
			  path, *pid ? ", process " : "", pid);
		return -EBUSY;
	}
	n = snprintf(pid, sizeof(pid), "%d", (int)getpid());
	/* Only for the message above: the lock is what counts. */
	if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)n, 0) < 0)
		log_warning_errno(errno, "Cannot write %s", lock_path);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static uint32_t big_endian_u32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/*
 * Reads the header by hand: SQLite would already have recovered or created side files of what may
 * not be ours.
 */
static int check_header(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	unsigned char header[HEADER_SIZE];
	uint32_t version;
	ssize_t n;

	if (fd < 0)
		return errno == ENOENT ? -ENOENT
				       : log_error_errno(errno, "Cannot read the state %s", path);
	n = pread(fd, header, sizeof(header), 0);
	if (n != sizeof(header) || memcmp(header, HEADER_MAGIC, sizeof(HEADER_MAGIC)) != 0 ||
	    big_endian_u32(header + HEADER_APPLICATION_ID) != APPLICATION_ID) {
		log_error("%s is not the state of an Ebb controller; it is left alone: move it "
			  "away, or choose another place with --state sqlite:PATH",
			  path);
		return -EINVAL;
	}
	version = big_endian_u32(header + HEADER_USER_VERSION);
	if (version > SCHEMA_VERSION) {
		log_error("The state %s was written by a newer Ebb (schema %u, this one knows %d); "
			  "it is left alone: use that version",
			  path, version, SCHEMA_VERSION);
		return -EINVAL;
	}
	return 0;
}

static int sync_directory_of(const char *path)
{
	_cleanup_free_ char *dir = strdup(path);
	_cleanup_close_ int fd = -1;
	char *slash = dir ? strrchr(dir, '/') : NULL;

	if (!dir)
		return -ENOMEM;
	if (slash)
		slash[slash == dir] = '\0';
	fd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

/* A new file is built aside and then renamed: a crash never leaves half of one under the name. */
static int create_file(const char *path)
{
	_cleanup_free_ char *aside = NULL, *wal = NULL;
	char sql[512], *error = NULL;
	sqlite3 *db = NULL;
	int fd, r;

	if (asprintf(&aside, "%s.new", path) < 0 || asprintf(&wal, "%s-wal", path) < 0)
		return -ENOMEM;
	/* SQLite would take it for the new file's own. */
	if (access(wal, F_OK) == 0) {
		log_error("%s belongs to a state file that is gone from beside it: bring that "
			  "back, or move this one away too",
			  wal);
		return -EEXIST;
	}
	if (unlink(aside) < 0 && errno != ENOENT)
		return log_error_errno(errno, "Cannot remove %s", aside);
	/* SQLite gives its side files the mode of this one. */
	fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return log_error_errno(errno, "Cannot create the state %s", path);
	close(fd);

	snprintf(sql, sizeof(sql),
		 "PRAGMA auto_vacuum=INCREMENTAL; PRAGMA application_id=%d; PRAGMA user_version=%d;"
		 "CREATE TABLE documents (db TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL,"
		 " PRIMARY KEY (db, id)) WITHOUT ROWID;",
		 APPLICATION_ID, SCHEMA_VERSION);
	r = sqlite3_open_v2(aside, &db, SQLITE_OPEN_READWRITE, NULL);
	if (r == SQLITE_OK)
		r = sqlite3_exec(db, sql, NULL, NULL, &error);
	if (r != SQLITE_OK)
		log_error("Cannot create the state %s: %s", path,
			  error ? error : sqlite3_errstr(r));
	sqlite3_free(error);
	sqlite3_close(db);
	if (r != SQLITE_OK) {
		unlink(aside);
		return -EIO;
	}
	if (rename(aside, path) < 0) {
		r = log_error_errno(errno, "Cannot create the state %s", path);
		unlink(aside);
		return r;
	}
	r = sync_directory_of(path);
	if (r < 0)
		log_warning_errno(r, "Cannot sync the directory of %s", path);
	return 0;
}

/* "ok", or the first thing that is wrong. Writes nothing. */
static int check_pages(sqlite3 *db, const char *path)
{
	sqlite3_stmt *stmt = NULL;
	const char *found = NULL;
	int r;

	r = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &stmt, NULL);
	if (r == SQLITE_OK)
		r = sqlite3_step(stmt);
	found = r == SQLITE_ROW ? (const char *)sqlite3_column_text(stmt, 0) : sqlite3_errmsg(db);
	if (r == SQLITE_ROW && found && strcmp(found, "ok") == 0)
		r = 0;
	else if (r == SQLITE_BUSY || r == SQLITE_LOCKED)
		r = log_error_errno(EBUSY, "The state %s is locked by another program; end it",
				    path);
	else {
		/* A heading comes first. */
		if (found && strchr(found, '\n'))
			found = strchr(found, '\n') + 1;
		log_error("The state %s is damaged (%s); it is left alone: restore a copy, or "
			  "move it away to begin anew",
			  path, found ? found : "no answer");
		r = -EBADMSG;
	}
	sqlite3_finalize(stmt);
	return r;
}

static int prepare(struct sqlite_store *store)
{
	const struct {
		const char *sql;
		sqlite3_stmt **stmt;
	} statements[] = {
		{"BEGIN IMMEDIATE", &store->begin},
		{"COMMIT", &store->commit},
		{"ROLLBACK", &store->rollback},
		{"INSERT INTO documents (db, id, body) VALUES (?1, ?2, ?3)"
		 " ON CONFLICT (db, id) DO UPDATE SET body = excluded.body",
		 &store->put},
		{"DELETE FROM documents WHERE db = ?1 AND id = ?2", &store->delete},
	};
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(statements); i++) {
		r = sqlite3_prepare_v3(store->db, statements[i].sql, -1, SQLITE_PREPARE_PERSISTENT,
				       statements[i].stmt, NULL);
		if (r != SQLITE_OK)
			return r;
	}
	return SQLITE_OK;
}

static void sqlite_store_close(void *backend)
{
	struct sqlite_store *store = backend;
	sqlite3_stmt *statements[] = {store->begin, store->commit, store->rollback, store->put,
				      store->delete};

	for (size_t i = 0; i < ARRAY_SIZE(statements); i++)
		sqlite3_finalize(statements[i]);
	sqlite3_close(store->db);
	if (store->lock_fd >= 0)
		close(store->lock_fd);
	free(store);
}

static const char *sqlite_store_error(void *backend)
{
	struct sqlite_store *store = backend;

	return store->error;
}

static int sqlite_store_load(void *backend, enum store_db db,
			     int (*fn)(void *userdata, const char *id, json_t *doc), void *userdata)
{
	struct sqlite_store *store = backend;
	sqlite3_stmt *stmt = NULL;
	int r, result = 0;

	r = sqlite3_prepare_v2(store->db, "SELECT id, body FROM documents WHERE db = ?1", -1, &stmt,
			       NULL);
	if (r == SQLITE_OK)
		r = sqlite3_bind_text(stmt, 1, store_db_name(db), -1, SQLITE_STATIC);
	while (r == SQLITE_OK && result >= 0) {
		const char *id, *body;
		_cleanup_json_ json_t *doc = NULL;
		json_error_t error;

		r = sqlite3_step(stmt);
		if (r != SQLITE_ROW)
			break;
		r = SQLITE_OK;
		id = (const char *)sqlite3_column_text(stmt, 0);
		body = (const char *)sqlite3_column_text(stmt, 1);
		if (!id || !body) {
			result = -ENOMEM;
			break;
		}
		doc = json_loads(body, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
		if (!json_is_object(doc)) {
			log_warning("State: document %s in %s is not a JSON object (%s); ignored",
				    id, store_db_name(db), doc ? "another value" : error.text);
			continue;
		}
		result = fn(userdata, id, doc);
	}
	if (result >= 0 && r != SQLITE_DONE && r != SQLITE_OK) {
		log_error("Cannot read the state: %s", sqlite3_errmsg(store->db));
		result = -EIO;
	}
	sqlite3_finalize(stmt);
	return MIN(result, 0);
}

/* One step of a statement that gives no rows; ready to be used again. */
static int run(sqlite3_stmt *stmt)
{
	int r = sqlite3_step(stmt), r2 = sqlite3_reset(stmt);

	return r == SQLITE_DONE ? r2 : r;
}

static int write_one(struct sqlite_store *store, const struct store_write *write)
{
	sqlite3_stmt *stmt = write->body ? store->put : store->delete;
	int r;

	r = sqlite3_bind_text(stmt, 1, store_db_name(write->db), -1, SQLITE_STATIC);
	if (r == SQLITE_OK)
		r = sqlite3_bind_text(stmt, 2, write->id, -1, SQLITE_STATIC);
	if (r == SQLITE_OK && write->body)
		r = sqlite3_bind_text(stmt, 3, write->body, -1, SQLITE_STATIC);
	if (r == SQLITE_OK)
		r = run(stmt);
	return r;
}

static int sqlite_store_write(void *backend, struct store_write *const *writes, size_t n)
{
	struct sqlite_store *store = backend;
	int r;

	r = run(store->begin);
	for (size_t i = 0; i < n && r == SQLITE_OK; i++)
		r = write_one(store, writes[i]);
	if (r == SQLITE_OK)
		r = run(store->commit);
	if (r == SQLITE_OK)
		return 0;
	snprintf(store->error, sizeof(store->error), "%s", sqlite3_errmsg(store->db));
	if (!sqlite3_get_autocommit(store->db))
		run(store->rollback);
	return r == SQLITE_NOMEM ? -ENOMEM : -EIO;
}

/* One file for all of them. The pages that deletions left go back to the file system, at most
 * 16 MiB of them, and the WAL becomes empty; a reader that holds it up is not waited for long. */
static int sqlite_store_compact(void *backend, unsigned databases)
{
	struct sqlite_store *store = backend;
	int r;

	r = sqlite3_exec(store->db, "PRAGMA incremental_vacuum(4096)", NULL, NULL, NULL);
	if (r == SQLITE_OK)
		r = sqlite3_exec(store->db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL);
	if (r == SQLITE_OK || r == SQLITE_BUSY)
		return 0;
	snprintf(store->error, sizeof(store->error), "%s", sqlite3_errmsg(store->db));
	return r == SQLITE_NOMEM ? -ENOMEM : -EIO;
}

static const struct store_backend_ops sqlite_ops = {
	.compact = sqlite_store_compact,
	.load = sqlite_store_load,
	.write = sqlite_store_write,
	.error = sqlite_store_error,
	.close = sqlite_store_close,
};

static int open_database(struct sqlite_store *store, const char *path)
{
	int r;

	r = sqlite3_open_v2(path, &store->db, SQLITE_OPEN_READWRITE, NULL);
	if (r != SQLITE_OK) {
		log_error("Cannot open the state %s: %s", path, sqlite3_errstr(r));
		return -EIO;
	}
	sqlite3_busy_timeout(store->db, BUSY_MS);
	/* A damaged file is not to be touched, not even by moving its WAL into it on close. */
	sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	r = check_pages(store->db, path);
	if (r < 0)
		return r;
	sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
	r = sqlite3_exec(store->db,
			 "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
			 "PRAGMA journal_size_limit=16777216;",
			 NULL, NULL, NULL);
	if (r == SQLITE_OK)
		r = prepare(store);
	if (r != SQLITE_OK) {
		log_error("Cannot use the state %s: %s", path, sqlite3_errmsg(store->db));
		return -EIO;
	}
	return 0;
}

int store_sqlite_open(const char *path, const struct store_backend_ops **ret_ops,
		      void **ret_backend)
{
	struct sqlite_store *store = calloc(1, sizeof(*store));
	int r;

	if (!store)
		return -ENOMEM;
	store->lock_fd = -1;
	r = make_directory_for(path);
	if (r < 0)
		log_error_errno(r,
				"Cannot create the directory of the state %s; choose another place "
				"with --state sqlite:PATH",
				path);
	else
		r = lock_state(path, &store->lock_fd);
	if (r >= 0) {
		r = check_header(path);
		if (r == -ENOENT)
			r = create_file(path);
	}
	if (r >= 0)
		r = open_database(store, path);
	if (r < 0) {
		sqlite_store_close(store);
		return r;
	}
	*ret_ops = &sqlite_ops;
	*ret_backend = store;
	return 0;
}
