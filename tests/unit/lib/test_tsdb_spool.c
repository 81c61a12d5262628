/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "test.h"
#include "tsdb_spool.h"

#define MIB (1ull << 20)

static char top[64], dir[80];
static struct tsdb_spool *spool;
static uint8_t *got;
static size_t got_room;

static void clean_up(void *arg)
{
	char command[128];

	tsdb_spool_close(spool);
	spool = NULL;
	free(got);
	got = NULL;
	got_room = 0;
	snprintf(command, sizeof(command), "rm -rf '%s'", top);
	if (system(command))
		fprintf(stderr, "%s is left\n", top);
}

static void make_top(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	strcpy(top, "/tmp/ebb-spool-XXXXXX");
	CHECK(mkdtemp(top));
	snprintf(dir, sizeof(dir), "%s/spool", top);
	test_at_end(clean_up, NULL);
}

static void reopen(uint64_t max)
{
	tsdb_spool_close(spool);
	spool = NULL;
	CHECK_INT(tsdb_spool_open(*dir ? dir : NULL, max, &spool), 0);
}

/* Body `i`: its bytes, length and number of points follow from it. */
static size_t body_len(unsigned i)
{
	return 100 + i * 37 % 400;
}

static void fill_body(unsigned i, uint8_t *body)
{
	for (size_t k = 0; k < body_len(i); k++)
		body[k] = (uint8_t)(i * 131 + k * 7);
}

/* Bodies `from` to before `to` in one append. */
static int append(unsigned from, unsigned to)
{
	uint8_t *records = malloc((to - from) * (TSDB_RECORD_HEADER + 500));
	size_t len = 0;

	CHECK(records);
	for (unsigned i = from; i < to; i++) {
		struct tsdb_record record = {.len = (uint32_t)body_len(i),
					     .points = 1 + i % 10,
					     .timestamp = 1795000000 + i};

		tsdb_record_write(&record, records + len);
		fill_body(i, records + len + TSDB_RECORD_HEADER);
		len += TSDB_RECORD_HEADER + record.len;
	}
	int r = tsdb_spool_append(spool, records, len);
	free(records);
	return r;
}

static uint64_t points_of(unsigned from, unsigned to)
{
	uint64_t points = 0;

	for (unsigned i = from; i < to; i++)
		points += 1 + i % 10;
	return points;
}

/* The next body's number, -1: none. It is what it was. */
static int peek(struct tsdb_record *record)
{
	uint8_t want[500];
	int r = tsdb_spool_peek(spool, &got, &got_room, record);

	if (r == 0)
		return -1;
	CHECK_INT(r, 1);
	unsigned i = (unsigned)(record->timestamp - 1795000000);
	CHECK_INT(record->len, body_len(i));
	CHECK_INT(record->points, 1 + i % 10);
	fill_body(i, want);
	CHECK(!memcmp(got, want, record->len));
	return (int)i;
}

static int take(void)
{
	struct tsdb_record record;
	int i = peek(&record);

	if (i >= 0)
		tsdb_spool_taken(spool, record.seq);
	return i;
}

static void take_all(unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++)
		CHECK_INT(take(), i);
	CHECK_INT(take(), -1);
}

static struct tsdb_spool_stats stats_now(void)
{
	struct tsdb_spool_stats stats;

	tsdb_spool_get_stats(spool, &stats);
	return stats;
}

/* The segments' names in order; how many. */
static int list(char names[][32], int max)
{
	_cleanup_dir_ DIR *d = opendir(dir);
	int n = 0;

	CHECK(d);
	for (struct dirent *entry; (entry = readdir(d));)
		if (strstr(entry->d_name, ".spool") && n < max)
			snprintf(names[n++], 32, "%.31s", entry->d_name);
	qsort(names, n, 32, (int (*)(const void *, const void *))strcmp);
	return n;
}

static int open_segment(int which, int flags)
{
	char names[64][32], path[128];
	int n = list(names, 64);

	CHECK(which < n);
	snprintf(path, sizeof(path), "%s/%.31s", dir, names[which < 0 ? n + which : which]);
	int fd = open(path, flags | O_CLOEXEC);
	CHECK(fd >= 0);
	return fd;
}

TEST(record_headers)
{
	struct tsdb_record record = {.len = 8000,
				     .points = 700,
				     .seq = 0x123456789aULL,
				     .timestamp = 1795000000,
				     .crc = 0xdeadbeef},
			   back;
	uint8_t header[TSDB_RECORD_HEADER];

	tsdb_record_write(&record, header);
	CHECK(tsdb_record_read(header, &back));
	CHECK_INT(back.len, 8000);
	CHECK_INT(back.points, 700);
	CHECK_INT(back.seq, 0x123456789aULL);
	CHECK_INT(back.timestamp, 1795000000);
	CHECK_INT(back.crc, 0xdeadbeef);
	/* Any bit of it. */
	for (int bit = 0; bit < TSDB_RECORD_HEADER * 8; bit++) {
		header[bit / 8] ^= (uint8_t)(1 << bit % 8);
		CHECK(!tsdb_record_read(header, &back));
		header[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	CHECK(tsdb_record_read(header, &back));
	record.len = 0;
	tsdb_record_write(&record, header);
	CHECK(!tsdb_record_read(header, &back));
	record.len = TSDB_RECORD_BODY_MAX + 1;
	tsdb_record_write(&record, header);
	CHECK(!tsdb_record_read(header, &back));
}

static void check_order(void)
{
	struct tsdb_record record;

	CHECK_INT(append(0, 5), 0);
	CHECK_INT(append(5, 6), 0);
	CHECK_INT(stats_now().points, points_of(0, 6));
	CHECK_INT(stats_now().oldest, 1795000000);
	/* Looking takes nothing. */
	CHECK_INT(peek(&record), 0);
	CHECK_INT(peek(&record), 0);
	CHECK_INT(take(), 0);
	CHECK_INT(take(), 1);
	CHECK_INT(peek(&record), 2);
	CHECK_INT(stats_now().points, points_of(2, 6));
	CHECK_INT(stats_now().oldest, 1795000002);
	/* A number that is not the one looked at. */
	tsdb_spool_taken(spool, 0);
	CHECK_INT(peek(&record), 2);
	CHECK_INT(append(6, 8), 0);
	take_all(2, 8);
	CHECK_INT(stats_now().points, 0);
	CHECK_INT(stats_now().bytes, 0);
	CHECK_INT(stats_now().oldest, 0);
	CHECK_INT(stats_now().dropped, 0);
}

TEST(order_on_disk)
{
	make_top();
	reopen(MIB);
	check_order();
}

TEST(order_in_memory)
{
	make_top();
	*dir = '\0';
	reopen(MIB);
	check_order();
}

TEST(files_are_private_and_go_when_taken)
{
	char names[64][32];
	struct stat st;

	make_top();
	umask(0);
	reopen(MIB);
	umask(022);
	CHECK_INT(stat(dir, &st), 0);
	CHECK_INT(st.st_mode & 0777, 0700);
	for (unsigned i = 0; i < 1000; i += 10)
		CHECK_INT(append(i, i + 10), 0);
	int fd = open_segment(0, O_RDONLY);
	CHECK_INT(fstat(fd, &st), 0);
	close(fd);
	CHECK_INT(st.st_mode & 0777, 0600);
	CHECK(list(names, 64) >= 4);
	take_all(0, 1000);
	/* The one that is written to stays. */
	CHECK_INT(list(names, 64), 1);
	reopen(MIB);
	CHECK_INT(take(), -1);
	CHECK_INT(append(1000, 1001), 0);
	take_all(1000, 1001);
}

TEST(restart_goes_on_where_it_was)
{
	make_top();
	reopen(MIB);
	CHECK_INT(append(0, 300), 0);
	for (unsigned i = 0; i < 300; i++) {
		if (i % 7 == 0) {
			reopen(MIB);
			CHECK_INT(stats_now().points, points_of(i, 300));
			CHECK_INT(stats_now().oldest, 1795000000 + i);
		}
		CHECK_INT(take(), i);
	}
	CHECK_INT(take(), -1);
	CHECK_INT(append(300, 310), 0);
	reopen(MIB);
	CHECK_INT(append(310, 320), 0);
	take_all(300, 320);
}

/* Without the note all comes again: twice, never not at all. */
TEST(note_of_what_was_taken_is_lost_or_damaged)
{
	char path[128];

	make_top();
	reopen(MIB);
	CHECK_INT(append(0, 10), 0);
	CHECK_INT(take(), 0);
	CHECK_INT(take(), 1);
	CHECK_INT(take(), 2);
	tsdb_spool_close(spool);
	spool = NULL;
	snprintf(path, sizeof(path), "%s/taken", dir);
	/* The newer slot only: the older one holds. */
	int fd = open(path, O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0);
	CHECK_INT(pwrite(fd, "x", 1, 16), 1);
	reopen(MIB);
	CHECK_INT(take(), 2);
	tsdb_spool_close(spool);
	spool = NULL;
	CHECK_INT(ftruncate(fd, 3), 0);
	close(fd);
	reopen(MIB);
	take_all(0, 10);
	reopen(MIB);
	CHECK_INT(take(), -1);
}

TEST(torn_tail_at_every_byte)
{
	struct stat st;
	off_t whole, last;

	make_top();
	reopen(MIB);
	CHECK_INT(append(0, 4), 0);
	CHECK_INT(append(4, 5), 0);
	int fd = open_segment(0, O_RDONLY);
	CHECK_INT(fstat(fd, &st), 0);
	whole = st.st_size;
	last = whole - (off_t)(TSDB_RECORD_HEADER + body_len(4));
	uint8_t *bytes = malloc(whole);
	CHECK_INT(pread(fd, bytes, whole, 0), whole);
	close(fd);
	for (off_t cut = last; cut <= whole; cut++)
		for (int zeros = 0; zeros < 2; zeros++) {
			tsdb_spool_close(spool);
			spool = NULL;
			fd = open_segment(0, O_RDWR);
			CHECK_INT(ftruncate(fd, 0), 0);
			CHECK_INT(pwrite(fd, bytes, cut, 0), cut);
			/* A file system may know of the length before the data. */
			CHECK_INT(ftruncate(fd, zeros ? whole : cut), 0);
			reopen(MIB);
			CHECK_INT(stats_now().points, points_of(0, cut == whole ? 5 : 4));
			CHECK_INT(fstat(fd, &st), 0);
			CHECK_INT(st.st_size, cut == whole ? whole : last);
			close(fd);
		}
	/* What comes then stands behind what is left. */
	tsdb_spool_close(spool);
	spool = NULL;
	fd = open_segment(0, O_RDWR);
	CHECK_INT(ftruncate(fd, whole - 1), 0);
	close(fd);
	reopen(MIB);
	CHECK_INT(append(5, 7), 0);
	reopen(MIB);
	for (int i = 0; i < 4; i++)
		CHECK_INT(take(), i);
	take_all(5, 7);
	CHECK_INT(stats_now().dropped, 0);
	free(bytes);
}

/* One byte anywhere in the second of four: the others are there, the loss is counted. */
TEST(damage_in_the_middle)
{
	size_t first = TSDB_RECORD_HEADER + body_len(0), n = TSDB_RECORD_HEADER + body_len(1);

	make_top();
	for (size_t at = first; at < first + n; at += at < first + 48 ? 1 : 29)
		for (int live = 0; live < 2; live++) {
			uint8_t byte;

			reopen(MIB);
			CHECK_INT(append(0, 4), 0);
			if (!live) {
				tsdb_spool_close(spool);
				spool = NULL;
			}
			int fd = open_segment(0, O_RDWR);
			CHECK_INT(pread(fd, &byte, 1, (off_t)at), 1);
			byte ^= 0x41;
			CHECK_INT(pwrite(fd, &byte, 1, (off_t)at), 1);
			close(fd);
			if (!live)
				reopen(MIB);
			CHECK_INT(take(), 0);
			CHECK_INT(take(), 2);
			CHECK_INT(take(), 3);
			CHECK_INT(take(), -1);
			/* At the start, a header that cannot be read says nothing of points. */
			CHECK_INT(stats_now().points, 0);
			CHECK(stats_now().dropped == points_of(1, 2) ||
			      (!live && at < first + TSDB_RECORD_HEADER && !stats_now().dropped));
			tsdb_spool_close(spool);
			spool = NULL;
			char command[128];
			snprintf(command, sizeof(command), "rm -rf '%s'", dir);
			CHECK_INT(system(command), 0);
		}
}

TEST(damage_is_counted_once)
{
	make_top();
	reopen(MIB);
	for (unsigned i = 0; i < 600; i += 10)
		CHECK_INT(append(i, i + 10), 0);
	int fd = open_segment(0, O_RDWR);
	CHECK_INT(pwrite(fd, "damage", 6, TSDB_RECORD_HEADER + 5), 6);
	close(fd);
	take_all(1, 600);
	CHECK_INT(stats_now().dropped, 1);
	CHECK_INT(stats_now().points, 0);
}

TEST(bound_drops_the_oldest)
{
	char names[64][32];
	uint64_t max = 512 << 10;
	unsigned n = 4000;

	make_top();
	reopen(max);
	for (unsigned i = 0; i < n; i += 10) {
		CHECK_INT(append(i, i + 10), 0);
		CHECK(stats_now().bytes <= max);
	}
	struct tsdb_spool_stats stats = stats_now();
	CHECK_INT(stats.points + stats.dropped, points_of(0, n));
	CHECK(stats.dropped > 0);
	/* A sixteenth at a time, not more than is needed. */
	CHECK(stats.bytes > max * 7 / 8);
	CHECK(list(names, 64) <= 18);
	int first = take();
	CHECK(first > 0 && points_of(0, (unsigned)first) == stats.dropped);
	take_all((unsigned)first + 1, n);
	CHECK_INT(stats_now().dropped, stats.dropped);
	/* Also what a larger bound left behind. */
	for (unsigned i = 0; i < n; i += 10)
		CHECK_INT(append(i, i + 10), 0);
	reopen(64 << 10);
	CHECK_INT(append(0, 1), 0);
	CHECK(stats_now().bytes <= 64 << 10);
}

TEST(taken_after_it_was_dropped)
{
	struct tsdb_record record;
	unsigned n = 0;

	make_top();
	reopen(256 << 10);
	CHECK_INT(append(n, n + 10), 0);
	CHECK_INT(peek(&record), 0);
	while (!stats_now().dropped) {
		n += 10;
		CHECK_INT(append(n, n + 10), 0);
	}
	uint64_t points = stats_now().points;
	tsdb_spool_taken(spool, record.seq);
	CHECK_INT(stats_now().points, points);
	int first = take();
	CHECK(first > 0);
	take_all((unsigned)first + 1, n + 10);
}

TEST(memory_is_bounded)
{
	make_top();
	*dir = '\0';
	reopen(64 << 10);
	for (unsigned i = 0; i < 2000; i += 10)
		CHECK_INT(append(i, i + 10), 0);
	struct tsdb_spool_stats stats = stats_now();
	CHECK(stats.bytes <= 64 << 10 && stats.bytes > 60 << 10);
	CHECK_INT(stats.points + stats.dropped, points_of(0, 2000));
	int first = take();
	CHECK_INT(points_of(0, (unsigned)first), stats.dropped);
	take_all((unsigned)first + 1, 2000);
}

static void set_file_limit(rlim_t limit)
{
	struct rlimit rlimit;

	CHECK_INT(getrlimit(RLIMIT_FSIZE, &rlimit), 0);
	rlimit.rlim_cur = limit == RLIM_INFINITY ? rlimit.rlim_max : limit;
	CHECK_INT(setrlimit(RLIMIT_FSIZE, &rlimit), 0);
}

static void end_file_limit(void *arg)
{
	set_file_limit(RLIM_INFINITY);
	signal(SIGXFSZ, SIG_DFL);
}

TEST(full_disk_falls_back_to_memory_in_order)
{
	make_top();
	test_at_end(end_file_limit, NULL);
	signal(SIGXFSZ, SIG_IGN);
	reopen(MIB);
	CHECK_INT(append(0, 10), 0);
	/* In the middle of the next write. */
	struct stat st;
	int fd = open_segment(0, O_RDONLY);
	CHECK_INT(fstat(fd, &st), 0);
	set_file_limit((rlim_t)st.st_size + 700);
	CHECK_INT(append(10, 20), -EFBIG);
	CHECK_INT(fstat(fd, &st), 0);
	set_file_limit(1);
	CHECK_INT(append(20, 25), -EFBIG);
	CHECK_INT(append(25, 30), -EFBIG);
	CHECK_INT(stats_now().points, points_of(0, 30));
	CHECK_INT(stats_now().dropped, 0);
	for (int i = 0; i < 5; i++)
		CHECK_INT(take(), i);
	set_file_limit(RLIM_INFINITY);
	CHECK_INT(append(30, 40), 0);
	take_all(5, 40);
	close(fd);

	/* Nothing torn is left in the files. */
	CHECK_INT(append(40, 50), 0);
	reopen(MIB);
	take_all(40, 50);
}

/* A program must come up all the same, and make a note again when it can. */
TEST(start_on_a_full_disk)
{
	make_top();
	test_at_end(end_file_limit, NULL);
	signal(SIGXFSZ, SIG_IGN);
	set_file_limit(0);
	reopen(MIB);
	CHECK_INT(append(0, 3), -EFBIG);
	CHECK_INT(take(), 0);
	set_file_limit(RLIM_INFINITY);
	CHECK_INT(append(3, 6), 0);
	take_all(1, 6);
	CHECK_INT(append(6, 8), 0);
	CHECK_INT(take(), 6);
	reopen(MIB);
	take_all(7, 8);
}

TEST(a_second_process_is_refused)
{
	make_top();
	reopen(MIB);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		struct tsdb_spool *other;

		_exit(tsdb_spool_open(dir, MIB, &other) == -EBUSY ? 0 : 1);
	}
	int status;
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	/* Free again after a kill. */
	tsdb_spool_close(spool);
	spool = NULL;
	int pipes[2];
	CHECK_INT(pipe(pipes), 0);
	pid = fork();
	if (pid == 0) {
		struct tsdb_spool *other;

		if (tsdb_spool_open(dir, MIB, &other) < 0 || write(pipes[1], "x", 1) != 1)
			_exit(1);
		pause();
	}
	char byte;
	CHECK_INT(read(pipes[0], &byte, 1), 1);
	CHECK_INT(tsdb_spool_open(dir, MIB, &spool), -EBUSY);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(pipes[0]);
	close(pipes[1]);
	reopen(MIB);
}

TEST(bad_directories)
{
	char path[128];

	make_top();
	snprintf(path, sizeof(path), "%s/file", top);
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	CHECK_INT(tsdb_spool_open(path, MIB, &spool), -ENOTDIR);
	snprintf(path, sizeof(path), "%s/file/spool", top);
	CHECK_INT(tsdb_spool_open(path, MIB, &spool), -ENOTDIR);
	CHECK_INT(mkdir(dir, 0700), 0);
	CHECK_INT(chmod(dir, 0777), 0);
	CHECK_INT(tsdb_spool_open(dir, MIB, &spool), -EPERM);
	/* Other files there are left alone. */
	CHECK_INT(chmod(dir, 0750), 0);
	snprintf(path, sizeof(path), "%s/README", dir);
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	snprintf(path, sizeof(path), "%s/1.spool", dir);
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	reopen(MIB);
	CHECK_INT(append(0, 3), 0);
	take_all(0, 3);
	CHECK_INT(access(path, F_OK), 0);
}

TEST(what_append_cannot_read_it_refuses)
{
	uint8_t zeros[100] = {0};

	make_top();
	reopen(MIB);
	CHECK_INT(tsdb_spool_append(spool, zeros, sizeof(zeros)), -EINVAL);
	CHECK_INT(stats_now().points, 0);
}

TEST_MAIN()
