/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the spool, for the two files that make it. */
#ifndef EBB_TSDB_SPOOL_PRIVATE_H
#define EBB_TSDB_SPOOL_PRIVATE_H

#include <pthread.h>

#include "tsdb_spool.h"

#define TSDB_SPOOL_SLOT 16 /* in the file `taken`: u64 number, u32 checksum, u32 zero */

struct tsdb_segment {
	uint64_t id;
	int fd;
	uint64_t size, offset; /* all that is written; up to here it is taken or lost */
	uint64_t points;       /* that wait in it */
	int64_t oldest;        /* timestamp of the first record that waits */
	unsigned refs;
	struct tsdb_segment *next;
};

struct tsdb_held {
	struct tsdb_record record;
	struct tsdb_held *next;
	uint8_t body[];
};

struct tsdb_spool {
	char *dir;
	int dir_fd, lock_fd, taken_fd;
	uint64_t disk_max, memory_max, segment_max;

	/* Of the thread that appends. */
	uint64_t next_seq, next_id;
	int disk_error;

	/* Of the thread that takes: the record of the last peek. */
	uint64_t taken, head_id, head_end;
	struct tsdb_record head;
	bool head_in_memory;

	pthread_mutex_t lock; /* all below; never held while a file is read or written */
	struct tsdb_segment *first, *last, *open;
	struct tsdb_held *held_first, *held_last;
	uint64_t held_bytes, points, dropped;
	uint64_t unsaid, said_ns; /* dropped points that no line told of yet */
};

void tsdb_segment_name(uint64_t id, char name[32]);
void tsdb_segment_free(struct tsdb_segment *segment);
/* Under the lock; the list has the only reference after it. */
void tsdb_segment_add(struct tsdb_spool *spool, struct tsdb_segment *segment);
/* Makes and locks spool->dir, and loads what waits there. Logs what is wrong. */
int tsdb_spool_open_dir(struct tsdb_spool *spool);

#endif
