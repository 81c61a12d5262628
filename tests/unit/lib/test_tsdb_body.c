/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <jansson.h>
#include <zlib.h>

#include "ebb/cleanup.h"
#include "test.h"
#include "tsdb_body.h"

static uint64_t state;

static uint64_t next_random(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * 0x2545f4914f6cdd1dULL;
}

/* Names that no compressor can shorten much. */
static void random_name(char *name, size_t len)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";

	for (size_t i = 0; i < len; i++)
		name[i] = letters[next_random() % 64];
	name[len] = '\0';
}

static struct tsdb_batch *random_batch(size_t n, size_t name_len)
{
	struct tsdb_batch *batch = tsdb_batch_new();

	CHECK(batch && name_len < 256);
	for (size_t i = 0; i < n; i++) {
		char a[256], b[256];
		struct tsdb_tag tags[] = {{"a", a}, {"b", b}};

		random_name(a, 1 + next_random() % name_len);
		random_name(b, 1 + next_random() % name_len);
		CHECK_INT(tsdb_batch_add(batch, "metric", 1795000000 + (int64_t)i,
					 (double)(next_random() % 1000000) / 100, tags, 2),
			  0);
	}
	return batch;
}

/* All of the batch in bodies of at most `max`, opened again and compared. */
static size_t check_bodies(struct tsdb_encoder *encoder, const struct tsdb_batch *batch, size_t max)
{
	size_t room = MAX(max, (size_t)TSDB_BODY_ROOM_MIN), at = 0, bodies = 0;
	uint8_t *out = malloc(room);

	CHECK(out);
	for (size_t from = 0; from < batch->n; bodies++) {
		struct tsdb_batch *opened;
		size_t len;
		int n = tsdb_encoder_build(encoder, batch, from, max, out, room, &len);

		CHECK(n >= 1 && n <= TSDB_BODY_POINTS_MAX);
		CHECK(len <= max || n == 1);
		CHECK_INT(tsdb_body_open(out, len, &opened), 0);
		CHECK_INT(opened->n, n);
		CHECK(!memcmp(opened->text, batch->text + at, opened->len));
		at += opened->len;
		from += (size_t)n;
		tsdb_batch_free(opened);
	}
	free(out);
	CHECK_INT(at, batch->len);
	return bodies;
}

TEST(a_body_is_gzip_over_a_json_array)
{
	struct tsdb_tag tag = {"host", "c0"};
	struct tsdb_batch *batch = tsdb_batch_new();
	struct tsdb_encoder *encoder;
	uint8_t body[TSDB_BODY_ROOM_MIN];
	char text[256];
	size_t len;

	CHECK_INT(tsdb_encoder_new(0, &encoder), 0);
	CHECK_INT(tsdb_batch_add(batch, "m", 1795000000, 1.5, &tag, 1), 0);
	CHECK_INT(tsdb_batch_add(batch, "m", 1795000005, 2, &tag, 1), 0);
	CHECK_INT(tsdb_encoder_build(encoder, batch, 0, 8192, body, sizeof(body), &len), 2);
	CHECK_INT(body[0], 0x1f);
	CHECK_INT(body[1], 0x8b);

	z_stream stream = {.next_in = body, .avail_in = (uInt)len};
	CHECK_INT(inflateInit2(&stream, 31), Z_OK);
	stream.next_out = (Bytef *)text;
	stream.avail_out = sizeof(text) - 1;
	CHECK_INT(inflate(&stream, Z_FINISH), Z_STREAM_END);
	text[stream.total_out] = '\0';
	inflateEnd(&stream);
	CHECK_STR(text, "[{\"timestamp\":1795000000,\"metric\":\"m\",\"value\":1.5,"
			"\"tags\":{\"host\":\"c0\"}},"
			"{\"timestamp\":1795000005,\"metric\":\"m\",\"value\":2,"
			"\"tags\":{\"host\":\"c0\"}}]");

	/* From the second point on. */
	CHECK_INT(tsdb_encoder_build(encoder, batch, 1, 8192, body, sizeof(body), &len), 1);
	tsdb_encoder_free(encoder);
	tsdb_encoder_free(NULL);
	tsdb_batch_free(batch);
}

TEST(bodies_stay_below_the_limit_whatever_is_in_them)
{
	static const size_t limits[] = {256, 500, 1000, 4096, 8192, 65536, 1000000};
	struct tsdb_encoder *encoder;

	state = 20260101;
	for (int level = 1; level <= 9; level += 4) {
		CHECK_INT(tsdb_encoder_new(level, &encoder), 0);
		for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
			struct tsdb_batch *batch = random_batch(3000, 1 + i * 30);

			CHECK(check_bodies(encoder, batch, limits[i]) >= 2);
			tsdb_batch_free(batch);
		}
		tsdb_encoder_free(encoder);
	}
}

/* What compresses well is followed by what does not, and the other way round. */
TEST(a_sudden_change_of_ratio)
{
	struct tsdb_encoder *encoder;
	struct tsdb_tag tag = {"host", "c0"};

	state = 7;
	CHECK_INT(tsdb_encoder_new(0, &encoder), 0);
	for (int round = 0; round < 3; round++) {
		struct tsdb_batch *smooth = tsdb_batch_new(), *rough = random_batch(2000, 200);

		for (int i = 0; i < 20000; i++)
			CHECK_INT(tsdb_batch_add(smooth, "m", 1795000000, 0, &tag, 1), 0);
		/* However well it compresses: the reply must have an end. */
		CHECK(check_bodies(encoder, smooth, 8192) <= 20000 / TSDB_BODY_POINTS_MAX + 1);
		size_t bodies = check_bodies(encoder, rough, 8192);
		CHECK(bodies < 2000 * 420 / 8192 * 2);
		CHECK(tsdb_encoder_retries(encoder) <= 8ul * (round + 1));
		tsdb_batch_free(smooth);
		tsdb_batch_free(rough);
	}
	tsdb_encoder_free(encoder);
}

TEST(one_point_above_the_limit_goes_alone)
{
	struct tsdb_encoder *encoder;
	struct tsdb_batch *batch;
	uint8_t out[TSDB_BODY_ROOM_MIN];
	size_t len;

	state = 11;
	batch = random_batch(3, 255);
	CHECK_INT(tsdb_encoder_new(0, &encoder), 0);
	CHECK_INT(tsdb_encoder_build(encoder, batch, 0, 64, out, sizeof(out), &len), 1);
	CHECK(len > 64);
	CHECK_INT(tsdb_encoder_build(encoder, batch, 0, 64, out, 70, &len), -EMSGSIZE);
	tsdb_encoder_free(encoder);
	tsdb_batch_free(batch);
}

TEST(what_is_no_body_does_not_open)
{
	struct tsdb_encoder *encoder;
	struct tsdb_batch *batch, *opened;
	uint8_t out[TSDB_BODY_ROOM_MIN];
	size_t len;

	state = 13;
	batch = random_batch(20, 20);
	CHECK_INT(tsdb_encoder_new(0, &encoder), 0);
	CHECK(tsdb_encoder_build(encoder, batch, 0, 8192, out, sizeof(out), &len) > 0);
	for (size_t cut = 0; cut < len; cut++)
		CHECK_INT(tsdb_body_open(out, cut, &opened), -EBADMSG);
	for (size_t i = 0; i < len; i++) {
		out[i] ^= 0xff;
		/* Some bytes of the header do not matter. */
		int r = tsdb_body_open(out, len, &opened);
		CHECK(r == -EBADMSG || r == 0);
		if (r == 0)
			tsdb_batch_free(opened);
		out[i] ^= 0xff;
	}
	CHECK_INT(tsdb_body_open((const uint8_t *)"[]", 2, &opened), -EBADMSG);
	tsdb_encoder_free(encoder);
	tsdb_batch_free(batch);
}

TEST_MAIN()
