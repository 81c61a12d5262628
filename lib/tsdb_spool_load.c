/* SPDX-License-Identifier: Apache-2.0 */
/* What an earlier run, or a crash, has left in the spool's directory. */
#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/util.h"
#include "tsdb_spool_private.h"

void tsdb_segment_name(uint64_t id, char name[32])
{
	snprintf(name, 32, "%016" PRIx64 ".spool", id);
}

void tsdb_segment_free(struct tsdb_segment *segment)
{
	if (segment->fd >= 0)
		close(segment->fd);
	free(segment);
}

void tsdb_segment_add(struct tsdb_spool *spool, struct tsdb_segment *segment)
{
	segment->refs = 1;
	if (spool->last)
		spool->last->next = segment;
	else
		spool->first = segment;
	spool->last = segment;
}

static bool body_is_whole(int fd, uint64_t at, const struct tsdb_record *record)
{
	_cleanup_free_ uint8_t *body = malloc(record->len);

	return body && pread(fd, body, record->len, (off_t)at) == (ssize_t)record->len &&
	       tsdb_record_crc(body, record->len) == record->crc;
}

/* What waits in the segment. Of the last one, what a crash left half written is cut off. */
static int load_segment(struct tsdb_spool *spool, struct tsdb_segment *segment, bool last)
{
	uint64_t good = 0, at = 0, unsure = 0;
	struct tsdb_record record;
	struct stat st;
	int64_t found;

	if (fstat(segment->fd, &st) < 0)
		return -errno;
	segment->size = (uint64_t)st.st_size;
	segment->offset = UINT64_MAX;
	while ((found = tsdb_spool_find(segment->fd, at, segment->size, &record)) >= 0) {
		uint64_t from = (uint64_t)found + TSDB_RECORD_HEADER;

		at = from + record.len;
		spool->next_seq = MAX(spool->next_seq, record.seq + 1);
		if (record.seq > spool->taken) {
			if (segment->offset == UINT64_MAX) {
				segment->offset = (uint64_t)found;
				segment->oldest = record.timestamp;
			}
			unsure += record.points;
		}
		if (!last || body_is_whole(segment->fd, from, &record)) {
			good = at;
			segment->points += unsure;
			unsure = 0;
		}
	}
	if (found != -ENODATA)
		return (int)found;
	if (last && good < segment->size) {
		log_info("spool %s: cut %" PRIu64 " bytes of an unfinished write", spool->dir,
			 segment->size - good);
		if (ftruncate(segment->fd, (off_t)good) < 0)
			return -errno;
		segment->size = good;
	}
	segment->offset = MIN(segment->offset, segment->size);
	spool->points += segment->points;
	return 0;
}

static int by_id(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static int list_segments(struct tsdb_spool *spool, uint64_t **ret_ids, size_t *ret_n)
{
	_cleanup_free_ uint64_t *ids = NULL;
	size_t n = 0, room = 0;
	int fd = openat(spool->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_dir_ DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

	if (!dir) {
		int r = -errno;

		if (fd >= 0)
			close(fd);
		return r;
	}
	for (struct dirent *entry; (entry = readdir(dir));) {
		char name[32], *end;
		uint64_t id = strtoull(entry->d_name, &end, 16);

		tsdb_segment_name(id, name);
		if (strcmp(name, entry->d_name))
			continue;
		if (n == room) {
			uint64_t *grown = reallocarray(ids, room = room * 2 + 32, sizeof(*ids));

			if (!grown)
				return -ENOMEM;
			ids = grown;
		}
		ids[n++] = id;
	}
	if (n)
		qsort(ids, n, sizeof(*ids), by_id);
	*ret_ids = TAKE_PTR(ids);
	*ret_n = n;
	return 0;
}

static int load(struct tsdb_spool *spool)
{
	_cleanup_free_ uint64_t *ids = NULL;
	uint8_t slots[2][TSDB_SPOOL_SLOT] = {0};
	size_t n = 0;
	int r;

	/* Short or unreadable: then more is sent again than had to be. */
	ssize_t ignored = pread(spool->taken_fd, slots, sizeof(slots), 0);
	(void)ignored;
	for (int i = 0; i < 2; i++) {
		uint64_t seq;
		uint32_t check;

		memcpy(&seq, slots[i], sizeof(seq));
		memcpy(&check, slots[i] + sizeof(seq), sizeof(check));
		if (le32toh(check) == tsdb_record_crc(slots[i], sizeof(seq)) &&
		    le64toh(seq) <= INT64_MAX)
			spool->taken = MAX(spool->taken, le64toh(seq));
	}
	spool->next_seq = spool->taken + 1;

	r = list_segments(spool, &ids, &n);
	for (size_t i = 0; r == 0 && i < n; i++) {
		struct tsdb_segment *segment = calloc(1, sizeof(*segment));
		char name[32];

		if (!segment)
			return -ENOMEM;
		segment->id = ids[i];
		tsdb_segment_name(ids[i], name);
		segment->fd = openat(spool->dir_fd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
		r = segment->fd < 0 ? -errno : load_segment(spool, segment, i == n - 1);
		if (r < 0) {
			tsdb_segment_free(segment);
			break;
		}
		tsdb_segment_add(spool, segment);
		spool->next_id = ids[i] + 1;
	}
	if (r == 0 && spool->last && spool->last->size < spool->segment_max)
		spool->open = spool->last;
	return r;
}

int tsdb_spool_open_dir(struct tsdb_spool *spool)
{
	struct stat st;

	int r = make_directory_for(spool->dir);
	if (r < 0)
		return log_error_errno(
			r,
			"cannot make the spool %s: name another with --spool DIR, or "
			"--spool none, that is in memory",
			spool->dir);
	bool made = mkdir(spool->dir, 0700) == 0;
	if (!made && errno != EEXIST)
		return log_error_errno(
			errno,
			"cannot make the spool %s: name another with --spool DIR, or "
			"--spool none, that is in memory",
			spool->dir);
	spool->dir_fd = open(spool->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (spool->dir_fd < 0 || fstat(spool->dir_fd, &st) < 0)
		return log_error_errno(errno, "cannot open the spool %s", spool->dir);
	if (made) {
		/* A power loss must not take the directory itself. */
		_cleanup_close_ int parent =
			openat(spool->dir_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (parent >= 0)
			fsync(parent);
	}
	if (st.st_mode & 022) {
		log_error("others may write to the spool %s: chmod go-w it", spool->dir);
		return -EPERM;
	}
	spool->lock_fd = openat(spool->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (spool->lock_fd < 0)
		return log_error_errno(errno, "cannot write to the spool %s", spool->dir);
	if (flock(spool->lock_fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return log_error_errno(errno, "cannot lock the spool %s", spool->dir);
		log_error("the spool %s is in use by another process: give this one its own with "
			  "--spool DIR, or --spool none, that is in memory",
			  spool->dir);
		return -EBUSY;
	}
	spool->taken_fd = openat(spool->dir_fd, "taken", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (spool->taken_fd < 0)
		return log_error_errno(errno, "cannot write to the spool %s", spool->dir);
	r = load(spool);
	if (r < 0)
		return log_error_errno(r, "cannot read the spool %s", spool->dir);
	return 0;
}
