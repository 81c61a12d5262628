/* SPDX-License-Identifier: Apache-2.0 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/loop.h"
#include "ebb/units.h"
#include "tsdb_spool_private.h"

/* A sixteenth of the spool is lost at a time when it is full. */
#define SEGMENTS    16
#define SEGMENT_MIN (16u << 10)
#define PIECE_MAX   (1u << 20)
/* Between two lines about lost points. */
#define LOG_EVERY_S 60

/* --- Lost points ------------------------------------------------------------------------------ */

/* Under the lock. */
static void drop_points(struct tsdb_spool *spool, uint64_t points)
{
	spool->dropped += points;
	spool->unsaid += points;
	spool->points -= MIN(points, spool->points);
}

static void tell_dropped(struct tsdb_spool *spool, const char *why)
{
	uint64_t now = now_ns(), n = 0;

	pthread_mutex_lock(&spool->lock);
	if (spool->unsaid &&
	    (!spool->said_ns || now - spool->said_ns >= LOG_EVERY_S * EBB_NS_PER_SEC)) {
		n = spool->unsaid;
		spool->unsaid = 0;
		spool->said_ns = now;
	}
	pthread_mutex_unlock(&spool->lock);
	if (n)
		log_warning("spool %s: %s, %" PRIu64 " points of series are lost",
			    spool->dir ? spool->dir : "in memory", why, n);
}

/* --- Segments --------------------------------------------------------------------------------- */

static void segment_unref(struct tsdb_spool *spool, struct tsdb_segment *segment)
{
	pthread_mutex_lock(&spool->lock);
	bool last = --segment->refs == 0;
	pthread_mutex_unlock(&spool->lock);
	if (last)
		tsdb_segment_free(segment);
}

/* Takes the first segment out of the list, under the lock. The list's reference goes with it. */
static struct tsdb_segment *unlink_first(struct tsdb_spool *spool)
{
	struct tsdb_segment *segment = spool->first;

	spool->first = segment->next;
	if (!spool->first)
		spool->last = NULL;
	if (spool->open == segment)
		spool->open = NULL;
	drop_points(spool, segment->points);
	segment->points = 0;
	return segment;
}

static void delete_segment(struct tsdb_spool *spool, struct tsdb_segment *segment)
{
	char name[32];

	tsdb_segment_name(segment->id, name);
	if (unlinkat(spool->dir_fd, name, 0) < 0 && errno != ENOENT)
		log_warning_errno(errno, "cannot delete %s/%s", spool->dir, name);
	segment_unref(spool, segment);
}

/* --- Appending -------------------------------------------------------------------------------- */

/* Until `len` more bytes fit, the oldest segments go. */
static void keep_bound(struct tsdb_spool *spool, size_t len)
{
	for (;;) {
		struct tsdb_segment *victim = NULL;
		uint64_t bytes = len;

		pthread_mutex_lock(&spool->lock);
		for (struct tsdb_segment *s = spool->first; s; s = s->next)
			bytes += s->size;
		if (spool->first && bytes > spool->disk_max)
			victim = unlink_first(spool);
		pthread_mutex_unlock(&spool->lock);
		if (!victim)
			break;
		delete_segment(spool, victim);
	}
	tell_dropped(spool, "it is full (--spool-max)");
}

static int new_segment(struct tsdb_spool *spool, struct tsdb_segment **ret_segment)
{
	struct tsdb_segment *segment = calloc(1, sizeof(*segment));
	char name[32];

	if (!segment)
		return -ENOMEM;
	segment->id = spool->next_id++;
	segment->refs = 1;
	tsdb_segment_name(segment->id, name);
	segment->fd = openat(spool->dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (segment->fd < 0 || fsync(spool->dir_fd) < 0) {
		int r = -errno;

		if (segment->fd >= 0)
			unlinkat(spool->dir_fd, name, 0);
		tsdb_segment_free(segment);
		return r;
	}
	*ret_segment = segment;
	return 0;
}

static int write_all(int fd, const uint8_t *data, size_t len, uint64_t at)
{
	while (len) {
		ssize_t n = pwrite(fd, data, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		data += n;
		len -= n;
		at += n;
	}
	return fdatasync(fd) < 0 ? -errno : 0;
}

static int append_disk(struct tsdb_spool *spool, const uint8_t *records, size_t len,
		       uint64_t points, int64_t oldest)
{
	struct tsdb_segment *segment, *fresh = NULL;
	uint64_t at;
	int r = 0;

	keep_bound(spool, len);
	pthread_mutex_lock(&spool->lock);
	segment = spool->open;
	if (segment && segment->size && segment->size + len > spool->segment_max)
		segment = spool->open = NULL;
	if (segment)
		segment->refs++;
	pthread_mutex_unlock(&spool->lock);

	if (!segment) {
		r = new_segment(spool, &fresh);
		if (r < 0)
			return r;
		segment = fresh;
	}
	at = segment->size;
	r = write_all(segment->fd, records, len, at);
	if (r < 0) {
		/* Half a write must not stand before what comes later. */
		int ignored = ftruncate(segment->fd, (off_t)at);
		(void)ignored;
		if (fresh) {
			delete_segment(spool, fresh);
		} else {
			pthread_mutex_lock(&spool->lock);
			if (spool->open == segment)
				spool->open = NULL;
			pthread_mutex_unlock(&spool->lock);
			segment_unref(spool, segment);
		}
		return r;
	}

	pthread_mutex_lock(&spool->lock);
	if (segment->offset == segment->size)
		segment->oldest = oldest;
	segment->size += len;
	segment->points += points;
	spool->points += points;
	if (fresh) {
		tsdb_segment_add(spool, fresh);
		spool->open = fresh;
	}
	pthread_mutex_unlock(&spool->lock);
	if (!fresh)
		segment_unref(spool, segment);
	return 0;
}

static void hold(struct tsdb_spool *spool, const struct tsdb_record *record, const uint8_t *body)
{
	size_t need = sizeof(struct tsdb_held) + record->len;
	struct tsdb_held *held = need <= spool->memory_max ? malloc(need) : NULL;

	pthread_mutex_lock(&spool->lock);
	spool->points += record->points;
	if (!held) {
		drop_points(spool, record->points);
	} else {
		held->record = *record;
		held->next = NULL;
		memcpy(held->body, body, record->len);
		while (spool->held_bytes + need > spool->memory_max) {
			struct tsdb_held *oldest = spool->held_first;

			spool->held_first = oldest->next;
			spool->held_bytes -= sizeof(*oldest) + oldest->record.len;
			drop_points(spool, oldest->record.points);
			free(oldest);
		}
		if (spool->held_first)
			spool->held_last->next = held;
		else
			spool->held_first = held;
		spool->held_last = held;
		spool->held_bytes += need;
	}
	pthread_mutex_unlock(&spool->lock);
	tell_dropped(spool, "its memory is full");
}

size_t tsdb_spool_piece(const struct tsdb_spool *spool)
{
	return MIN(spool->segment_max, (uint64_t)PIECE_MAX);
}

int tsdb_spool_append(struct tsdb_spool *spool, uint8_t *records, size_t len)
{
	uint64_t points = 0;
	int64_t oldest = INT64_MAX;
	struct tsdb_record record;
	int r = 0;

	for (size_t at = 0; at < len; at += TSDB_RECORD_HEADER + record.len) {
		if (!tsdb_record_read(records + at, &record))
			return -EINVAL;
		record.seq = spool->next_seq++;
		record.crc = tsdb_record_crc(records + at + TSDB_RECORD_HEADER, record.len);
		tsdb_record_write(&record, records + at);
		points += record.points;
		oldest = MIN(oldest, record.timestamp);
	}

	/* Tried each time: a batch comes every few seconds. */
	if (spool->dir) {
		r = append_disk(spool, records, len, points, oldest);
		if (r == 0 && spool->disk_error)
			log_info("spool %s takes points again", spool->dir);
		if (r < 0 && r != spool->disk_error)
			log_warning_errno(r,
					  "cannot write to the spool %s: points wait in memory, "
					  "at most %llu MiB; make room there",
					  spool->dir,
					  (unsigned long long)(spool->memory_max / EBB_MIB));
		spool->disk_error = r;
		if (r == 0)
			return 0;
	}
	for (size_t at = 0; at < len; at += TSDB_RECORD_HEADER + record.len) {
		tsdb_record_read(records + at, &record);
		hold(spool, &record, records + at + TSDB_RECORD_HEADER);
	}
	return spool->disk_error;
}

/* --- Taking ----------------------------------------------------------------------------------- */

/* Segments with nothing left go, except the one that is written to. */
static void delete_finished(struct tsdb_spool *spool)
{
	for (;;) {
		struct tsdb_segment *segment = NULL;

		pthread_mutex_lock(&spool->lock);
		if (spool->first && spool->first != spool->open &&
		    spool->first->offset >= spool->first->size)
			segment = unlink_first(spool);
		pthread_mutex_unlock(&spool->lock);
		if (!segment)
			return;
		delete_segment(spool, segment);
		tell_dropped(spool, "it is damaged");
	}
}

static int make_space(uint8_t **body, size_t *room, size_t len)
{
	uint8_t *grown;

	if (*room >= len)
		return 0;
	grown = realloc(*body, len);
	if (!grown)
		return -ENOMEM;
	*body = grown;
	*room = len;
	return 0;
}

/* Past what cannot be used, or is taken already. The points stay with the segment, and what it
 * still has when it ends counts as lost. */
static void skip_to(struct tsdb_spool *spool, struct tsdb_segment *segment, uint64_t end)
{
	pthread_mutex_lock(&spool->lock);
	segment->offset = MAX(segment->offset, end);
	pthread_mutex_unlock(&spool->lock);
}

/* The next record of the segment from its offset on. 1, 0: none left, or -ENOMEM. */
static int peek_segment(struct tsdb_spool *spool, struct tsdb_segment *segment, uint64_t size,
			uint64_t before, uint8_t **body, size_t *room)
{
	while (segment->offset < size) {
		struct tsdb_record record;
		int64_t at = tsdb_spool_find(segment->fd, segment->offset, size, &record);

		if (at < 0) {
			skip_to(spool, segment, size);
			break;
		}
		uint64_t from = (uint64_t)at + TSDB_RECORD_HEADER, end = from + record.len;
		if (record.seq <= spool->taken) {
			skip_to(spool, segment, end);
			continue;
		}
		if (record.seq > before)
			return 0;
		if (make_space(body, room, record.len) < 0)
			return -ENOMEM;
		if (pread(segment->fd, *body, record.len, (off_t)from) != (ssize_t)record.len ||
		    tsdb_record_crc(*body, record.len) != record.crc) {
			skip_to(spool, segment, end);
			continue;
		}
		spool->head = record;
		spool->head_id = segment->id;
		spool->head_end = end;
		spool->head_in_memory = false;
		pthread_mutex_lock(&spool->lock);
		segment->oldest = record.timestamp;
		pthread_mutex_unlock(&spool->lock);
		return 1;
	}
	return 0;
}

static int peek_memory(struct tsdb_spool *spool, uint8_t **body, size_t *room)
{
	int r = 0;

	pthread_mutex_lock(&spool->lock);
	const struct tsdb_held *held = spool->held_first;
	if (held) {
		r = make_space(body, room, held->record.len);
		if (r == 0) {
			memcpy(*body, held->body, held->record.len);
			spool->head = held->record;
			spool->head_in_memory = true;
			r = 1;
		}
	}
	pthread_mutex_unlock(&spool->lock);
	return r;
}

int tsdb_spool_peek(struct tsdb_spool *spool, uint8_t **body, size_t *room,
		    struct tsdb_record *ret_record)
{
	int r = 0;

	for (bool again = true; again && r == 0;) {
		uint64_t size = 0, before = UINT64_MAX;
		struct tsdb_segment *segment;

		delete_finished(spool);
		pthread_mutex_lock(&spool->lock);
		segment = spool->first;
		if (segment) {
			segment->refs++;
			size = segment->size;
		}
		if (spool->held_first)
			before = spool->held_first->record.seq;
		pthread_mutex_unlock(&spool->lock);

		again = false;
		if (segment) {
			r = peek_segment(spool, segment, size, before, body, room);
			/* Nothing good was left in it: what it still counts is lost. There may be
			 * more by now, or another one. */
			pthread_mutex_lock(&spool->lock);
			if (r == 0 && segment->offset >= segment->size) {
				drop_points(spool, segment->points);
				segment->points = 0;
			}
			again = r == 0 && segment->offset >= size &&
				(segment->size > size || segment->next);
			pthread_mutex_unlock(&spool->lock);
			segment_unref(spool, segment);
			tell_dropped(spool, "it is damaged");
		}
	}
	if (r == 0)
		r = peek_memory(spool, body, room);
	if (r == 1)
		*ret_record = spool->head;
	return r;
}

static void note_taken(struct tsdb_spool *spool, uint64_t seq)
{
	uint8_t slot[TSDB_SPOOL_SLOT] = {0};
	uint64_t le = htole64(seq);

	memcpy(slot, &le, sizeof(le));
	uint32_t check = htole32(tsdb_record_crc(slot, sizeof(le)));
	memcpy(slot + sizeof(le), &check, sizeof(check));
	/* When it fails, a restart sends more again than it had to. */
	ssize_t ignored =
		pwrite(spool->taken_fd, slot, sizeof(slot), (off_t)(seq % 2 * TSDB_SPOOL_SLOT));
	(void)ignored;
}

void tsdb_spool_taken(struct tsdb_spool *spool, uint64_t seq)
{
	bool mine = spool->head.seq == seq && seq;

	pthread_mutex_lock(&spool->lock);
	if (mine && spool->head_in_memory && spool->held_first &&
	    spool->held_first->record.seq == seq) {
		struct tsdb_held *held = spool->held_first;

		spool->held_first = held->next;
		spool->held_bytes -= sizeof(*held) + held->record.len;
		spool->points -= MIN(held->record.points, spool->points);
		free(held);
	} else if (mine && !spool->head_in_memory && spool->first &&
		   spool->first->id == spool->head_id) {
		uint64_t points = MIN(spool->head.points, spool->first->points);

		spool->first->offset = MAX(spool->first->offset, spool->head_end);
		spool->first->points -= points;
		spool->points -= MIN(points, spool->points);
	}
	pthread_mutex_unlock(&spool->lock);
	spool->taken = MAX(spool->taken, seq);
	if (spool->dir)
		note_taken(spool, seq);
	delete_finished(spool);
}

void tsdb_spool_get_stats(struct tsdb_spool *spool, struct tsdb_spool_stats *ret_stats)
{
	struct tsdb_spool_stats stats;
	int64_t oldest = INT64_MAX;

	pthread_mutex_lock(&spool->lock);
	stats = (struct tsdb_spool_stats){.points = spool->points, .dropped = spool->dropped};
	stats.bytes = spool->held_bytes;
	for (const struct tsdb_segment *s = spool->first; s; s = s->next) {
		stats.bytes += s->size - MIN(s->offset, s->size);
		if (s->offset < s->size)
			oldest = MIN(oldest, s->oldest);
	}
	if (spool->held_first)
		oldest = MIN(oldest, spool->held_first->record.timestamp);
	pthread_mutex_unlock(&spool->lock);
	stats.oldest = oldest == INT64_MAX ? 0 : oldest;
	*ret_stats = stats;
}

/* --- Opening and closing ---------------------------------------------------------------------- */

int tsdb_spool_open(const char *dir, uint64_t max, struct tsdb_spool **ret_spool)
{
	struct tsdb_spool *spool = calloc(1, sizeof(*spool));
	int r = 0;

	if (!spool)
		return -ENOMEM;
	spool->dir_fd = spool->lock_fd = spool->taken_fd = -1;
	spool->disk_max = max;
	spool->memory_max = dir ? MIN(max, TSDB_SPOOL_MEMORY) : max;
	spool->segment_max = MAX(max / SEGMENTS, (uint64_t)SEGMENT_MIN);
	spool->next_seq = spool->next_id = 1;
	pthread_mutex_init(&spool->lock, NULL);
	if (dir) {
		spool->dir = strdup(dir);
		r = spool->dir ? tsdb_spool_open_dir(spool) : -ENOMEM;
	}
	if (r < 0) {
		tsdb_spool_close(spool);
		return r;
	}
	*ret_spool = spool;
	return 0;
}

void tsdb_spool_close(struct tsdb_spool *spool)
{
	if (!spool)
		return;
	/* Nothing is written any more: the last segment goes too when nothing is left in it. */
	spool->open = NULL;
	if (spool->dir_fd >= 0)
		delete_finished(spool);
	for (struct tsdb_segment *s = spool->first, *next; s; s = next) {
		next = s->next;
		tsdb_segment_free(s);
	}
	for (struct tsdb_held *held = spool->held_first, *next; held; held = next) {
		next = held->next;
		free(held);
	}
	if (spool->taken_fd >= 0)
		close(spool->taken_fd);
	if (spool->lock_fd >= 0)
		close(spool->lock_fd);
	if (spool->dir_fd >= 0)
		close(spool->dir_fd);
	pthread_mutex_destroy(&spool->lock);
	free(spool->dir);
	free(spool);
}
