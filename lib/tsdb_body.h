/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of puts: gzip over a JSON array of points, cut where the compressed size says so. */
#ifndef EBB_TSDB_BODY_H
#define EBB_TSDB_BODY_H

#include "tsdb_batch.h"

/*
 * The server names each point that it refuses, with a text of its own: the reply must have an end.
 */
#define TSDB_BODY_POINTS_MAX 2000
/* One point of the longest names fits in here uncompressed. */
#define TSDB_BODY_ROOM_MIN 8192

/* One deflate state, used again and again; for one thread. */
struct tsdb_encoder;
/* `level`: of zlib, 1 to 9; 0: the one that the measurement chose. -ENOMEM. */
int tsdb_encoder_new(int level, struct tsdb_encoder **ret_encoder);
void tsdb_encoder_free(struct tsdb_encoder *encoder);
/*
 * Compresses points of `batch` from `from` on, as many as make at most `max` bytes, into `out`. At
 * least one point, whatever its size: `room` >= max(max, TSDB_BODY_ROOM_MIN). The number of points,
 * or -EMSGSIZE when even one does not fit in `room`.
 */
int tsdb_encoder_build(struct tsdb_encoder *encoder, const struct tsdb_batch *batch, size_t from,
		       size_t max, uint8_t *out, size_t room, size_t *ret_len);
/* How many bodies were compressed in vain, for being above `max`. */
unsigned long tsdb_encoder_retries(const struct tsdb_encoder *encoder);

/* The points of a body. -EBADMSG: damaged, or not written by this code; -ENOMEM. */
int tsdb_body_open(const uint8_t *body, size_t len, struct tsdb_batch **ret_batch);

#endif
