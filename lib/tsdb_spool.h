/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies that wait for the server, in the order in which they came: in files of a directory, and in
 * memory where there is no directory or while its disk refuses. One thread appends, one takes.
 *
 * DIR/lock      held by the process that uses the directory
 * DIR/taken     the number of the last body taken: two slots, written in turn
 * DIR/N.spool   a segment: records one after another, appended to, deleted when all are taken
 *
 * What tsdb_spool_append() returned 0 for is on the disk: it survives a kill and a power loss. The
 * note of what was taken is written but not flushed, so a power loss may bring back bodies that
 * were taken already; the same points with the same times do no harm.
 */
#ifndef EBB_TSDB_SPOOL_H
#define EBB_TSDB_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Before each body; little endian. */
#define TSDB_RECORD_HEADER   40
#define TSDB_RECORD_BODY_MAX (16u << 20)
#define TSDB_SPOOL_MEMORY    (32ULL << 20) /* the most that waits in memory beside a disk */

struct tsdb_record {
	uint32_t len; /* of the body */
	uint32_t points;
	uint64_t seq;      /* rises by one */
	int64_t timestamp; /* of the earliest point, seconds */
	uint32_t crc;      /* of the body */
};

/* Pure. The header's checksum covers the header, so that a length can be trusted. */
void tsdb_record_write(const struct tsdb_record *record, uint8_t header[TSDB_RECORD_HEADER]);
/* False: not a header, or damaged. */
bool tsdb_record_read(const uint8_t header[TSDB_RECORD_HEADER], struct tsdb_record *ret_record);
uint32_t tsdb_record_crc(const uint8_t *body, size_t len);
/*
 * The first offset at or after `from` where a record with a good header and a whole body stands,
 * below `size` bytes of `fd`. Negative: -ENODATA, or what reading failed with.
 */
int64_t tsdb_spool_find(int fd, uint64_t from, uint64_t size, struct tsdb_record *ret_record);

struct tsdb_spool;
/*
 * `dir`: made when missing; NULL: memory only. `max`: bytes, the oldest are dropped beyond. Logs
 * what is wrong. -EBUSY: another process has it.
 */
int tsdb_spool_open(const char *dir, uint64_t max, struct tsdb_spool **ret_spool);
/* What waits stays in the directory; what waits in memory is lost. */
void tsdb_spool_close(struct tsdb_spool *spool);

/* The most that one append should bring: what is dropped is dropped in such pieces. */
size_t tsdb_spool_piece(const struct tsdb_spool *spool);
/*
 * `records`: headers (`len`, `points`, `timestamp` filled in by tsdb_record_write(), the rest is
 * set here) and bodies, one after another. 0: on the disk. Negative errno: the disk refused them;
 * then they, or as many as fit, wait in memory. Without a directory always 0.
 */
int tsdb_spool_append(struct tsdb_spool *spool, uint8_t *records, size_t len);

/*
 * The oldest body, into *body (grown with realloc, its size in *room). 1; 0: nothing waits;
 * -ENOMEM. It stays where it is until it is taken.
 */
int tsdb_spool_peek(struct tsdb_spool *spool, uint8_t **body, size_t *room,
		    struct tsdb_record *ret_record);
/* The body of that number need not be kept any longer. */
void tsdb_spool_taken(struct tsdb_spool *spool, uint64_t seq);

struct tsdb_spool_stats {
	uint64_t points, bytes; /* that wait */
	uint64_t dropped;       /* points */
	int64_t oldest;         /* timestamp, 0: nothing waits */
};
void tsdb_spool_get_stats(struct tsdb_spool *spool, struct tsdb_spool_stats *ret_stats);

#endif
