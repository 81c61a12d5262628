/* SPDX-License-Identifier: Apache-2.0 */
#define ZLIB_CONST
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "ebb/cleanup.h"
#include "tsdb_body.h"

/* Level 1 needs a third of the time of 6 for bodies that are a fifth larger (bench_tsdb). */
#define LEVEL_DEFAULT 1
#define GZIP_WINDOW   (15 + 16)
/* What a body is aimed at: the next one is rarely that much worse than the last. */
#define FILL 0.96
/* Before the first body is known. Typical is 14 to 20. */
#define RATIO_START 10.0
#define TEXT_MAX    (64u << 20)

struct tsdb_encoder {
	z_stream stream;
	double ratio; /* bytes of text in one byte of body, of the last body */
	unsigned long retries;
};

int tsdb_encoder_new(int level, struct tsdb_encoder **ret_encoder)
{
	struct tsdb_encoder *encoder = calloc(1, sizeof(*encoder));

	if (!encoder)
		return -ENOMEM;
	if (deflateInit2(&encoder->stream, level ? level : LEVEL_DEFAULT, Z_DEFLATED, GZIP_WINDOW,
			 8, Z_DEFAULT_STRATEGY) != Z_OK) {
		free(encoder);
		return -ENOMEM;
	}
	encoder->ratio = RATIO_START;
	*ret_encoder = encoder;
	return 0;
}

void tsdb_encoder_free(struct tsdb_encoder *encoder)
{
	if (!encoder)
		return;
	deflateEnd(&encoder->stream);
	free(encoder);
}

unsigned long tsdb_encoder_retries(const struct tsdb_encoder *encoder)
{
	return encoder->retries;
}

/*
 * The body's length, or 0 when it is more than `room`. *ret_taken is how much of the text had gone
 * in by then.
 */
static size_t compress_text(z_stream *stream, const char *text, size_t len, uint8_t *out,
			    size_t room, size_t *ret_taken)
{
	const struct {
		const char *data;
		size_t len;
	} pieces[] = {{"[", 1}, {text, len}, {"]", 1}};

	deflateReset(stream);
	stream->next_out = out;
	stream->avail_out = (uInt)room;
	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		bool last = i == ARRAY_SIZE(pieces) - 1;
		int r;

		stream->next_in = (const Bytef *)pieces[i].data;
		stream->avail_in = (uInt)pieces[i].len;
		r = deflate(stream, last ? Z_FINISH : Z_NO_FLUSH);
		if (last ? r != Z_STREAM_END : stream->avail_in || !stream->avail_out) {
			*ret_taken = stream->total_in;
			return 0;
		}
	}
	*ret_taken = stream->total_in;
	return stream->total_out;
}

/* How many points from `from` on have at most `len` bytes of text; at least one. */
static size_t points_within(const struct tsdb_batch *batch, size_t from, double len)
{
	size_t start = tsdb_batch_start(batch, from), low = from + 1;
	size_t high = MIN(batch->n, from + TSDB_BODY_POINTS_MAX);

	while (low < high) {
		size_t middle = (low + high + 1) / 2;

		if ((double)(batch->ends[middle - 1] - start) <= len)
			low = middle;
		else
			high = middle - 1;
	}
	return low - from;
}

int tsdb_encoder_build(struct tsdb_encoder *encoder, const struct tsdb_batch *batch, size_t from,
		       size_t max, uint8_t *out, size_t room, size_t *ret_len)
{
	double aim = encoder->ratio * (double)max * FILL;
	size_t start = tsdb_batch_start(batch, from);

	for (;;) {
		size_t n = points_within(batch, from, aim), taken;
		size_t text = batch->ends[from + n - 1] - 1 - start;
		size_t len = compress_text(&encoder->stream, batch->text + start, text, out,
					   n == 1 ? room : max, &taken);

		if (len) {
			/* Few points tell little: the head of the body weighs too much. */
			if (len > max / 4 || (double)text / (double)len > encoder->ratio)
				encoder->ratio = (double)text / (double)len;
			*ret_len = len;
			return (int)n;
		}
		if (n == 1)
			return -EMSGSIZE;
		encoder->retries++;
		/* What had gone in when the room was used up tells the ratio, but zlib holds a
		 * block back: never more than three quarters of what was too much. */
		aim = MIN((double)taken * FILL, (double)text * 0.75);
		encoder->ratio = aim / (double)max;
	}
}

int tsdb_body_open(const uint8_t *body, size_t len, struct tsdb_batch **ret_batch)
{
	size_t room = MAX(len * 24, (size_t)65536);
	_cleanup_free_ char *text = NULL;
	z_stream stream = {.next_in = body, .avail_in = (uInt)len};
	int r, z;

	if (len > TEXT_MAX)
		return -EBADMSG;
	if (inflateInit2(&stream, GZIP_WINDOW) != Z_OK)
		return -ENOMEM;
	do {
		char *grown = room <= TEXT_MAX ? realloc(text, room) : NULL;

		if (!grown) {
			inflateEnd(&stream);
			return room <= TEXT_MAX ? -ENOMEM : -EBADMSG;
		}
		text = grown;
		stream.next_out = (Bytef *)text + stream.total_out;
		stream.avail_out = (uInt)(room - stream.total_out);
		z = inflate(&stream, Z_NO_FLUSH);
		room *= 2;
	} while (z == Z_OK && !stream.avail_out);
	r = z == Z_STREAM_END ? tsdb_batch_from_text(text, stream.total_out, ret_batch) : -EBADMSG;
	inflateEnd(&stream);
	return r;
}
