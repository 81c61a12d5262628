/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of a batch: the text of its points, as it goes into a body. */
#ifndef EBB_TSDB_BATCH_H
#define EBB_TSDB_BATCH_H

#include <stdint.h>

#include "ebb/tsdb.h"

/* Of a value with two decimals, or in the form with an exponent. */
#define TSDB_VALUE_TEXT 32

struct tsdb_batch {
	char *text; /* {...},{...}, : one comma after each */
	size_t len, room;
	uint32_t *ends; /* of each point in `text`, its comma included */
	size_t n, ends_room;
	int64_t first; /* the earliest timestamp */
	/* What a point starts with, for the timestamp of the last one. */
	char head[64];
	size_t head_len;
	int64_t head_timestamp;
	struct tsdb_batch *next; /* for who owns it */
};

/*
 * "0", "4.8", "-1.25": rounded to hundredths, half away from zero; no "-0". Above 2^63 with an
 * exponent, so that nobody takes it for an integer. `value` is finite. Not NUL-terminated; the
 * length.
 */
size_t tsdb_value_format(double value, char buffer[TSDB_VALUE_TEXT]);

/* Where point `i` starts; that of `n` is the end of the text. */
static inline size_t tsdb_batch_start(const struct tsdb_batch *batch, size_t i)
{
	return i ? batch->ends[i - 1] : 0;
}

/* A batch with copies of the points that `indexes` names. NULL: no memory. */
struct tsdb_batch *tsdb_batch_pick(const struct tsdb_batch *batch, const uint32_t *indexes,
				   size_t n);
/* Those from `from` to before `to`. NULL: no memory. */
struct tsdb_batch *tsdb_batch_slice(const struct tsdb_batch *batch, size_t from, size_t to);
/* The points of a body's text, "[{...},{...}]", as this code writes it. -EBADMSG, -ENOMEM. */
int tsdb_batch_from_text(const char *text, size_t len, struct tsdb_batch **ret_batch);

#endif
