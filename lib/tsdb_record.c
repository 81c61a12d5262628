/* SPDX-License-Identifier: Apache-2.0 */
/* Records of the spool: their bytes, and finding them in a file that may be damaged. */
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "ebb/cleanup.h"
#include "tsdb_spool.h"

/* Magic with the version in it, then u32 len, u32 points, u64 seq, i64 timestamp, u32 crc of the
 * body, u32 zero, u32 crc of all that. */
static const uint8_t magic[4] = {'E', 'b', 'S', 1};

enum { AT_LEN = 4, AT_POINTS = 8, AT_SEQ = 12, AT_TIMESTAMP = 20, AT_CRC = 28, AT_CHECK = 36 };

static void put32(uint8_t *at, uint32_t value)
{
	value = htole32(value);
	memcpy(at, &value, sizeof(value));
}

static void put64(uint8_t *at, uint64_t value)
{
	value = htole64(value);
	memcpy(at, &value, sizeof(value));
}

static uint32_t get32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return le32toh(value);
}

static uint64_t get64(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return le64toh(value);
}

uint32_t tsdb_record_crc(const uint8_t *body, size_t len)
{
	return (uint32_t)crc32_z(0, body, len);
}

void tsdb_record_write(const struct tsdb_record *record, uint8_t header[TSDB_RECORD_HEADER])
{
	memset(header, 0, TSDB_RECORD_HEADER);
	memcpy(header, magic, sizeof(magic));
	put32(header + AT_LEN, record->len);
	put32(header + AT_POINTS, record->points);
	put64(header + AT_SEQ, record->seq);
	put64(header + AT_TIMESTAMP, (uint64_t)record->timestamp);
	put32(header + AT_CRC, record->crc);
	put32(header + AT_CHECK, tsdb_record_crc(header, AT_CHECK));
}

bool tsdb_record_read(const uint8_t header[TSDB_RECORD_HEADER], struct tsdb_record *ret_record)
{
	struct tsdb_record record;

	if (memcmp(header, magic, sizeof(magic)) ||
	    get32(header + AT_CHECK) != tsdb_record_crc(header, AT_CHECK))
		return false;
	record = (struct tsdb_record){
		.len = get32(header + AT_LEN),
		.points = get32(header + AT_POINTS),
		.seq = get64(header + AT_SEQ),
		.timestamp = (int64_t)get64(header + AT_TIMESTAMP),
		.crc = get32(header + AT_CRC),
	};
	if (!record.len || record.len > TSDB_RECORD_BODY_MAX || record.seq > INT64_MAX)
		return false;
	*ret_record = record;
	return true;
}

/* The next place after `from` where the magic stands; `size` when there is none. */
static int64_t find_magic(int fd, uint64_t from, uint64_t size)
{
	uint8_t block[16384];

	while (from + sizeof(magic) <= size) {
		ssize_t n = pread(fd, block, MIN(sizeof(block), size - from), (off_t)from);

		if (n < 0)
			return -errno;
		if ((size_t)n < sizeof(magic))
			break;
		const uint8_t *hit = memmem(block, n, magic, sizeof(magic));
		if (hit)
			return (int64_t)(from + (hit - block));
		/* It may begin in the last bytes of the block. */
		from += n - (sizeof(magic) - 1);
	}
	return (int64_t)size;
}

int64_t tsdb_spool_find(int fd, uint64_t from, uint64_t size, struct tsdb_record *ret_record)
{
	uint8_t header[TSDB_RECORD_HEADER];

	while (from + sizeof(header) < size) {
		ssize_t n = pread(fd, header, sizeof(header), (off_t)from);
		struct tsdb_record record;

		if (n < 0)
			return -errno;
		if ((size_t)n < sizeof(header))
			break;
		if (tsdb_record_read(header, &record) &&
		    record.len <= size - from - sizeof(header)) {
			*ret_record = record;
			return (int64_t)from;
		}
		int64_t next = find_magic(fd, from + 1, size);
		if (next < 0)
			return next;
		from = (uint64_t)next;
	}
	return -ENODATA;
}
