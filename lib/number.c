/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "ebb/cleanup.h"
#include "ebb/util.h"

int parse_u64(const char *text, uint64_t *ret_value)
{
	uint64_t value = 0;

	if (!*text)
		return -EINVAL;
	/* The whole text is looked at first: "99999999999999999999x" is malformed, not too big. */
	if (text[strspn(text, "0123456789")])
		return -EINVAL;
	for (const char *p = text; *p; p++)
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
			return -ERANGE;
	*ret_value = value;
	return 0;
}

int parse_i64(const char *text, int64_t *ret_value)
{
	bool negative = *text == '-';
	uint64_t value;
	int r = parse_u64(text + negative, &value);

	if (r < 0)
		return r;
	if (value > (uint64_t)INT64_MAX + negative)
		return -ERANGE;
	*ret_value = negative ? (int64_t)(0 - value) : (int64_t)value;
	return 0;
}

int parse_double(const char *text, double *ret_value)
{
	char *end;

	/* strtod() would take blanks, '+', "0x1p3", "inf" and "nan" as well. */
	if (!*text || text[strspn(text, "0123456789.eE+-")] || *text == '+')
		return -EINVAL;
	errno = 0;
	double value = strtod(text, &end);
	if (end == text || *end)
		return -EINVAL;
	if (!isfinite(value))
		return -ERANGE;
	*ret_value = value;
	return 0;
}

uint64_t random_u64(void)
{
	uint64_t value;

	/* Up to 256 bytes come whole. It fails only before the pool is ready or under a filter that
	 * forbids it; what is left then is good enough for jitter and session names. */
	if (getrandom(&value, sizeof(value), 0) != sizeof(value)) {
		struct timespec ts;
		clock_gettime(CLOCK_REALTIME, &ts);
		value = ((uint64_t)ts.tv_sec << 32 ^ (uint64_t)ts.tv_nsec) * 0x9e3779b97f4a7c15ULL;
		value ^= value >> 29;
	}
	return value;
}

unsigned backoff_ms(unsigned attempt, unsigned base, unsigned cap)
{
	uint64_t delay = attempt < 32 ? (uint64_t)base << attempt : cap;

	delay = MIN(delay, cap);
	/* 75% to 125%, so that hosts that lost the controller together do not return together. */
	uint64_t spread = delay / 2;
	return (unsigned)MIN(delay - delay / 4 + random_u64() % (spread + 1), UINT32_MAX);
}
