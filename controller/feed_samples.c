/* SPDX-License-Identifier: Apache-2.0 */
#include "feed_samples.h"

#include <errno.h>
#include <string.h>

#include "ebb/cleanup.h"

/* "[1,2,3,4,5,6,7,8,9,0,1,2,3]," at its shortest */
#define SAMPLE_BYTES_MIN 28
#define KEY              "\"samples\""

struct scan {
	const char *at, *end;
};

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static char peek(struct scan *scan)
{
	while (scan->at < scan->end && is_space(*scan->at))
		scan->at++;
	return scan->at < scan->end ? *scan->at : '\0';
}

static bool take(struct scan *scan, char c)
{
	if (peek(scan) != c)
		return false;
	scan->at++;
	return true;
}

/* From the opening quote to behind the closing one. */
static bool skip_string(struct scan *scan)
{
	for (scan->at++; scan->at < scan->end; scan->at++) {
		if (*scan->at == '\\')
			scan->at++;
		else if (*scan->at == '"') {
			scan->at++;
			return true;
		}
	}
	return false;
}

/* To behind the bracket that closes the one at scan->at. */
static bool skip_nested(struct scan *scan)
{
	unsigned depth = 0;

	while (scan->at < scan->end) {
		char c = *scan->at;

		if (c == '"') {
			if (!skip_string(scan))
				return false;
			continue;
		}
		depth += c == '[' || c == '{';
		depth -= c == ']' || c == '}';
		scan->at++;
		if (!depth)
			return true;
	}
	return false;
}

static bool skip_value(struct scan *scan)
{
	char c = peek(scan);

	if (c == '"')
		return skip_string(scan);
	if (c == '[' || c == '{')
		return skip_nested(scan);
	while (scan->at < scan->end && !strchr(",}] \t\r\n", *scan->at))
		scan->at++;
	return true;
}

bool feed_samples_find(const char *text, size_t len, size_t *ret_begin, size_t *ret_end)
{
	struct scan scan = {text, text + len};

	if (!take(&scan, '{'))
		return false;
	do {
		const char *key, *begin;
		bool found;

		if (peek(&scan) != '"')
			return false;
		key = scan.at;
		if (!skip_string(&scan))
			return false;
		found = (size_t)(scan.at - key) == strlen(KEY) &&
			memcmp(key, KEY, strlen(KEY)) == 0;
		if (!take(&scan, ':'))
			return false;
		found = found && peek(&scan) == '[';
		begin = scan.at;
		if (!skip_value(&scan))
			return false;
		if (found) {
			*ret_begin = (size_t)(begin - text);
			*ret_end = (size_t)(scan.at - text);
			return true;
		}
	} while (take(&scan, ','));
	return false;
}

/* An integer that is not negative, as JSON writes it. */
static bool take_count(struct scan *scan, int64_t *ret_count)
{
	const char *begin;
	int64_t count = 0;

	peek(scan);
	begin = scan->at;
	for (; scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9'; scan->at++)
		if (__builtin_mul_overflow(count, 10, &count) ||
		    __builtin_add_overflow(count, *scan->at - '0', &count))
			return false;
	if (scan->at == begin || (*begin == '0' && scan->at != begin + 1))
		return false;
	*ret_count = count;
	return true;
}

static bool take_counter(struct scan *scan, int64_t *ret_counter)
{
	if (peek(scan) != 'n')
		return take_count(scan, ret_counter);
	if (scan->end - scan->at < 4 || memcmp(scan->at, "null", 4) != 0)
		return false;
	scan->at += 4;
	*ret_counter = FEED_NONE;
	return true;
}

static bool take_sample(struct scan *scan, struct feed_sample *ret_sample)
{
	if (!take(scan, '[') || !take_count(scan, &ret_sample->c) || !take(scan, ',') ||
	    !take_count(scan, &ret_sample->t))
		return false;
	for (size_t i = 0; i < FEED_COUNTERS; i++)
		if (!take(scan, ',') || !take_counter(scan, &ret_sample->counters[i]))
			return false;
	return take(scan, ']');
}

int feed_samples_parse(const char *text, size_t len, struct feed_sample **ret_samples,
		       size_t *ret_n, size_t *ret_at)
{
	struct scan scan = {text, text + len};
	_cleanup_free_ struct feed_sample *samples = NULL;
	size_t n = 0, room = len / SAMPLE_BYTES_MIN + 1;

	samples = reallocarray(NULL, room, sizeof(*samples));
	if (!samples)
		return -ENOMEM;
	*ret_at = 0;
	if (!take(&scan, '['))
		return -EINVAL;
	if (peek(&scan) != ']') {
		do {
			*ret_at = n;
			if (n == room || !take_sample(&scan, &samples[n]))
				return -EINVAL;
			n++;
		} while (take(&scan, ','));
	}
	if (!take(&scan, ']') || scan.at != scan.end)
		return -EINVAL;
	*ret_samples = TAKE_PTR(samples);
	*ret_n = n;
	return 0;
}
