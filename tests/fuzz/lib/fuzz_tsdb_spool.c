/* SPDX-License-Identifier: Apache-2.0 */
/* The input is a segment of a spool: it is opened, emptied and opened again. */
#include <fcntl.h>
#include <unistd.h>

#include "../fuzz.h"
#include "ebb/log.h"
#include "tsdb_body.h"
#include "tsdb_spool.h"

static char dir[] = "/tmp/ebb-fuzz-spool-XXXXXX", path[96];

static void remove_dir(void)
{
	char command[96];

	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	if (system(command))
		fprintf(stderr, "%s is left\n", dir);
}

static void write_segment(const uint8_t *data, size_t size)
{
	char taken[96];
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	FUZZ_CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	close(fd);
	snprintf(taken, sizeof(taken), "%s/taken", dir);
	unlink(taken);
}

/* Every record found lies within the bytes, and behind the one before. */
static void check_find(const uint8_t *data, size_t size)
{
	struct tsdb_record record;
	uint64_t from = 0;
	int64_t at;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	FUZZ_CHECK(fd >= 0);
	while ((at = tsdb_spool_find(fd, from, size, &record)) >= 0) {
		FUZZ_CHECK((uint64_t)at >= from);
		from = (uint64_t)at + TSDB_RECORD_HEADER + record.len;
		FUZZ_CHECK(from <= size && record.len > 0);

		struct tsdb_batch *batch;
		if (tsdb_body_open(data + at + TSDB_RECORD_HEADER, record.len, &batch) == 0) {
			FUZZ_CHECK(batch->n > 0 && batch->ends[batch->n - 1] == batch->len);
			tsdb_batch_free(batch);
		}
	}
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tsdb_spool_stats before, after;
	struct tsdb_spool *spool;
	struct tsdb_record record;
	uint8_t *body = NULL;
	size_t room = 0;
	uint64_t points = 0, last = 0;

	if (!*path) {
		FUZZ_CHECK(mkdtemp(dir));
		atexit(remove_dir);
		log_set_level(LOG_LEVEL_ERROR);
		snprintf(path, sizeof(path), "%s/0000000000000001.spool", dir);
	}
	write_segment(data, size);
	check_find(data, size);
	FUZZ_CHECK(tsdb_spool_open(dir, 1 << 20, &spool) == 0);
	tsdb_spool_get_stats(spool, &before);
	while (tsdb_spool_peek(spool, &body, &room, &record) == 1) {
		FUZZ_CHECK(record.len <= room && record.seq > last);
		FUZZ_CHECK(tsdb_record_crc(body, record.len) == record.crc);
		last = record.seq;
		points += record.points;
		tsdb_spool_taken(spool, record.seq);
	}
	/* Each point that waited was either taken or lost. */
	tsdb_spool_get_stats(spool, &after);
	FUZZ_CHECK(after.points == 0 && after.bytes == 0);
	FUZZ_CHECK(points + after.dropped == before.points);
	tsdb_spool_close(spool);

	FUZZ_CHECK(tsdb_spool_open(dir, 1 << 20, &spool) == 0);
	FUZZ_CHECK(tsdb_spool_peek(spool, &body, &room, &record) == 0);
	tsdb_spool_close(spool);
	free(body);
	return 0;
}
