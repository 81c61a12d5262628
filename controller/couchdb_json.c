/* SPDX-License-Identifier: Apache-2.0 */
#include "couchdb_json.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"

/* Fewer digits always fit. */
#define DIGITS_MIN 19

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* After the string that begins at `p`. */
static const char *after_string(const char *p, const char *end)
{
	for (p++; p < end && *p != '"'; p++)
		if (*p == '\\' && p + 1 < end)
			p++;
	return MIN(p + 1, end);
}

/* `text` is NUL-terminated somewhere at or after its end, as strtoll() wants it. */
static bool is_huge_integer(const char *number, size_t len)
{
	size_t sign = *number == '-';

	if (len - sign < DIGITS_MIN || strspn(number + sign, "0123456789") < len - sign)
		return false;
	errno = 0;
	strtoll(number, NULL, 10);
	return errno == ERANGE;
}

/* Integers that are too large become fractions, which may be that large. */
static char *with_fractions(const char *text, size_t len, size_t *ret_len)
{
	_cleanup_free_ char *given = strndup(text, len);
	const char *p, *end;
	char *made = NULL;
	FILE *out;

	if (!given)
		return NULL;
	out = open_memstream(&made, ret_len);
	if (!out)
		return NULL;
	end = given + strlen(given);
	for (p = given; p < end;) {
		const char *begin = p;

		if (*p == '"')
			p = after_string(p, end);
		else if (*p == '-' || (*p >= '0' && *p <= '9'))
			p += strspn(p, "+-.0123456789eE");
		else
			p++;
		fwrite(begin, 1, (size_t)(p - begin), out);
		if (*begin != '"' && is_huge_integer(begin, (size_t)(p - begin)))
			fputs(".0", out);
	}
	if (fclose(out) != 0) {
		free(made);
		return NULL;
	}
	return made;
}

json_t *couchdb_json_load(const char *text, size_t len, json_error_t *ret_error)
{
	json_t *json = json_loadb(text, len, JSON_ALLOW_NUL, ret_error);
	_cleanup_free_ char *again = NULL;
	size_t again_len;

	if (json || json_error_code(ret_error) != json_error_numeric_overflow)
		return json;
	again = with_fractions(text, len, &again_len);
	return again ? json_loadb(again, again_len, JSON_ALLOW_NUL, ret_error) : NULL;
}

json_t *couchdb_json_reload(const char *text)
{
	return text ? json_loads(text, JSON_ALLOW_NUL, NULL) : NULL;
}

bool couchdb_json_like(const char *text, size_t len)
{
	while (len > 0 && is_space(*text)) {
		text++;
		len--;
	}
	return len > 0 && (*text == '{' || *text == '[');
}
