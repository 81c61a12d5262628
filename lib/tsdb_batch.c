/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"
#include "ebb/units.h"
#include "ebb/util.h"
#include "tsdb_batch.h"

/* The ends of the points have 32 bits. */
#define TEXT_MAX ((size_t)1 << 31)

static const char pairs[] = "00010203040506070809101112131415161718192021222324252627282930313233"
			    "34353637383940414243444546474849505152535455565758596061626364656667"
			    "6869707172737475767778798081828384858687888990919293949596979899";

static const bool name_bytes[256] = {
	['-'] = true,         ['.'] = true,         ['/'] = true,         ['_'] = true,
	['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true,
};

static size_t format_u64(uint64_t value, char *buffer)
{
	char digits[20], *at = digits + sizeof(digits);

	while (value >= 100) {
		at -= 2;
		memcpy(at, pairs + value % 100 * 2, 2);
		value /= 100;
	}
	if (value >= 10) {
		at -= 2;
		memcpy(at, pairs + value * 2, 2);
	} else {
		*--at = (char)('0' + value);
	}
	memcpy(buffer, at, digits + sizeof(digits) - at);
	return digits + sizeof(digits) - at;
}

size_t tsdb_value_format(double value, char buffer[TSDB_VALUE_TEXT])
{
	double size = fabs(value);
	size_t n = 0;

	if (size >= 0x1p63) {
		/* The decimal point follows the locale. */
		n = snprintf(buffer, TSDB_VALUE_TEXT, "%.17g", value);
		for (size_t i = 0; i < n; i++)
			if (buffer[i] == ',')
				buffer[i] = '.';
		return n;
	}

	uint64_t whole = (uint64_t)size;
	/* The difference is exact, and so is the whole from 2^53 on. */
	unsigned hundredths = (unsigned)((size - (double)whole) * 100 + 0.5);
	if (hundredths == 100) {
		whole++;
		hundredths = 0;
	}
	if (value < 0 && (whole || hundredths))
		buffer[n++] = '-';
	n += format_u64(whole, buffer + n);
	if (hundredths) {
		buffer[n++] = '.';
		buffer[n++] = pairs[hundredths * 2];
		if (hundredths % 10)
			buffer[n++] = pairs[hundredths * 2 + 1];
	}
	return n;
}

bool tsdb_name_is_valid(const char *name)
{
	const unsigned char *p = (const unsigned char *)name;

	while (name_bytes[*p])
		p++;
	return *name && !*p;
}

struct tsdb_batch *tsdb_batch_new(void)
{
	return calloc(1, sizeof(struct tsdb_batch));
}

void tsdb_batch_free(struct tsdb_batch *batch)
{
	if (!batch)
		return;
	free(batch->text);
	free(batch->ends);
	free(batch);
}

size_t tsdb_batch_count(const struct tsdb_batch *batch)
{
	return batch->n;
}

/* Room for one more point of at most `len` bytes. */
static int make_room(struct tsdb_batch *batch, size_t len)
{
	if (batch->len + len > batch->room) {
		size_t room = MAX(MAX(batch->room * 2, batch->len + len), (size_t)16384);
		char *grown = room <= TEXT_MAX ? realloc(batch->text, room) : NULL;

		if (!grown)
			return -ENOMEM;
		batch->text = grown;
		batch->room = room;
	}
	if (batch->n == batch->ends_room) {
		size_t room = MAX(batch->ends_room * 2, (size_t)128);
		uint32_t *grown = reallocarray(batch->ends, room, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		batch->ends = grown;
		batch->ends_room = room;
	}
	return 0;
}

static void set_head(struct tsdb_batch *batch, int64_t timestamp)
{
	static const char before[] = "{\"timestamp\":", after[] = ",\"metric\":\"";
	char *at = batch->head;

	at = mempcpy(at, before, sizeof(before) - 1);
	at += format_u64((uint64_t)timestamp, at);
	at = mempcpy(at, after, sizeof(after) - 1);
	batch->head_len = at - batch->head;
	batch->head_timestamp = timestamp;
}

int tsdb_batch_add_encoded(struct tsdb_batch *batch, const char *metric, int64_t timestamp,
			   double value, const char *tags)
{
	static const char to_value[] = "\",\"value\":", to_tags[] = ",\"tags\":{", to_end[] = "}},";
	size_t metric_len = strlen(metric), tags_len = strlen(tags);
	char *at;
	int r;

	/* A TSD takes more than 32 bits for milliseconds. */
	if (!tags_len || !isfinite(value) || timestamp <= 0 || timestamp > UINT32_MAX ||
	    !tsdb_name_is_valid(metric))
		return -EINVAL;
	r = make_room(batch, sizeof(batch->head) + sizeof(to_value) + sizeof(to_tags) +
				     sizeof(to_end) + TSDB_VALUE_TEXT + metric_len + tags_len);
	if (r < 0)
		return r;
	if (timestamp != batch->head_timestamp)
		set_head(batch, timestamp);

	at = mempcpy(batch->text + batch->len, batch->head, batch->head_len);
	at = mempcpy(at, metric, metric_len);
	at = mempcpy(at, to_value, sizeof(to_value) - 1);
	at += tsdb_value_format(value, at);
	at = mempcpy(at, to_tags, sizeof(to_tags) - 1);
	at = mempcpy(at, tags, tags_len);
	at = mempcpy(at, to_end, sizeof(to_end) - 1);
	batch->len = at - batch->text;
	if (!batch->n || timestamp < batch->first)
		batch->first = timestamp;
	batch->ends[batch->n++] = (uint32_t)batch->len;
	return 0;
}

int tsdb_tags_encode(const struct tsdb_tag *tags, size_t n_tags, char *buffer, size_t size)
{
	size_t need = 0;
	char *at = buffer;

	if (!n_tags || n_tags > TSDB_TAGS_MAX)
		return -EINVAL;
	for (size_t i = 0; i < n_tags; i++) {
		if (!tags[i].key || !tags[i].value || !tsdb_name_is_valid(tags[i].key) ||
		    !tsdb_name_is_valid(tags[i].value))
			return -EINVAL;
		for (size_t k = 0; k < i; k++)
			if (!strcmp(tags[k].key, tags[i].key))
				return -EINVAL;
		/* Four quotes, the colon, and a comma or the NUL. */
		need += strlen(tags[i].key) + strlen(tags[i].value) + 6;
	}
	if (need > size)
		return -ENOSPC;
	for (size_t i = 0; i < n_tags; i++) {
		if (i)
			*at++ = ',';
		*at++ = '"';
		at = stpcpy(at, tags[i].key);
		at = stpcpy(at, "\":\"");
		at = stpcpy(at, tags[i].value);
		*at++ = '"';
	}
	*at = '\0';
	return 0;
}

int tsdb_batch_add(struct tsdb_batch *batch, const char *metric, int64_t timestamp, double value,
		   const struct tsdb_tag *tags, size_t n_tags)
{
	char text[TSDB_TAGS_TEXT];
	int r = tsdb_tags_encode(tags, n_tags, text, sizeof(text));

	/* Tags of that length make a point that no default server takes. */
	if (r < 0)
		return -EINVAL;
	return tsdb_batch_add_encoded(batch, metric, timestamp, value, text);
}

/* --- Parts of a batch, for what is sent again ------------------------------------------------- */

struct tsdb_batch *tsdb_batch_pick(const struct tsdb_batch *batch, const uint32_t *indexes,
				   size_t n)
{
	struct tsdb_batch *picked = tsdb_batch_new();

	if (!picked)
		return NULL;
	picked->first = batch->first;
	for (size_t i = 0; i < n; i++) {
		size_t start = tsdb_batch_start(batch, indexes[i]);
		size_t len = batch->ends[indexes[i]] - start;

		if (make_room(picked, len) < 0) {
			tsdb_batch_free(picked);
			return NULL;
		}
		memcpy(picked->text + picked->len, batch->text + start, len);
		picked->len += len;
		picked->ends[picked->n++] = (uint32_t)picked->len;
	}
	return picked;
}

struct tsdb_batch *tsdb_batch_slice(const struct tsdb_batch *batch, size_t from, size_t to)
{
	_cleanup_free_ uint32_t *indexes = reallocarray(NULL, MAX(to - from, 1), sizeof(*indexes));

	if (!indexes)
		return NULL;
	for (size_t i = from; i < to; i++)
		indexes[i - from] = (uint32_t)i;
	return tsdb_batch_pick(batch, indexes, to - from);
}

int tsdb_batch_from_text(const char *text, size_t len, struct tsdb_batch **ret_batch)
{
	struct tsdb_batch *batch;
	int r = 0;

	if (len < 2 || text[0] != '[' || text[len - 1] != ']')
		return -EBADMSG;
	batch = tsdb_batch_new();
	if (!batch)
		return -ENOMEM;
	/* No name holds a brace, so "}}" is the end of a point and of nothing else. */
	for (const char *at = text + 1, *end = text + len - 1; r == 0 && at < end;) {
		const char *stop = memmem(at, end - at, "}}", 2);
		size_t n = stop ? stop + 2 - at : 0;

		if (!stop || *at != '{' || (stop + 2 < end && stop[2] != ',')) {
			r = -EBADMSG;
			break;
		}
		r = make_room(batch, n + 1);
		if (r < 0)
			break;
		memcpy(batch->text + batch->len, at, n);
		batch->text[batch->len + n] = ',';
		batch->len += n + 1;
		batch->ends[batch->n++] = (uint32_t)batch->len;
		at = stop + 3;
	}
	if (r == 0 && !batch->n)
		r = -EBADMSG;
	if (r < 0) {
		tsdb_batch_free(batch);
		return r;
	}
	*ret_batch = batch;
	return 0;
}
