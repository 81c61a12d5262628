/* SPDX-License-Identifier: Apache-2.0 */
#include "text.h"

#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/util.h"

static bool text_reserve(struct text *text, size_t n)
{
	if (text->failed)
		return false;
	/* One byte stays for the NUL. */
	if (text->size - text->len > n)
		return true;

	size_t size = text->size ? text->size : 1024;
	while (size - text->len <= n)
		size *= 2;
	char *data = realloc(text->data, size);
	if (!data) {
		text->failed = true;
		return false;
	}
	text->data = data;
	text->size = size;
	return true;
}

void text_clear(struct text *text)
{
	free(text->data);
	*text = (struct text){0};
}

void text_reset(struct text *text)
{
	text->len = 0;
	text->failed = false;
	if (text->data)
		text->data[0] = '\0';
}

void text_add(struct text *text, const char *bytes, size_t n)
{
	if (!text_reserve(text, n))
		return;
	memcpy(text->data + text->len, bytes, n);
	text->len += n;
	text->data[text->len] = '\0';
}

void text_str(struct text *text, const char *string)
{
	text_add(text, string, strlen(string));
}

void text_char(struct text *text, char c)
{
	text_add(text, &c, 1);
}

void text_u64(struct text *text, uint64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = '0' + value % 10;
		value /= 10;
	} while (value);
	text_add(text, digits + at, sizeof(digits) - at);
}

void text_number(struct text *text, double value)
{
	char digits[64];

	/* Up to 2^53 every integer is exact. */
	if (value == trunc(value) && fabs(value) < 9007199254740992.0) {
		text_printf(text, "%lld", (long long)value);
		return;
	}
	int n = snprintf(digits, sizeof(digits), "%.6f", value);
	if (n < 0 || (size_t)n >= sizeof(digits)) {
		text_printf(text, "%.17g", value);
		return;
	}
	while (digits[n - 1] == '0')
		n--;
	if (digits[n - 1] == '.')
		n--;
	text_add(text, digits, n);
}

void text_printf(struct text *text, const char *format, ...)
{
	va_list args;

	if (!text_reserve(text, 128))
		return;
	va_start(args, format);
	int n = vsnprintf(text->data + text->len, text->size - text->len, format, args);
	va_end(args);
	if (n < 0) {
		text->failed = true;
		return;
	}
	if ((size_t)n >= text->size - text->len) {
		if (!text_reserve(text, n)) {
			text->data[text->len] = '\0';
			return;
		}
		va_start(args, format);
		vsnprintf(text->data + text->len, text->size - text->len, format, args);
		va_end(args);
	}
	text->len += n;
}

void text_json_string(struct text *text, const char *string)
{
	_cleanup_free_ char *clean = NULL;
	_cleanup_json_ json_t *value = json_string(string);
	char small[256];

	if (!value) {
		clean = strdup(string);
		if (!clean) {
			text->failed = true;
			return;
		}
		for (char *p = clean; *p; p++)
			if (*p & 0x80)
				*p = '?';
		value = json_string(clean);
		if (!value) {
			text->failed = true;
			return;
		}
	}

	size_t n = json_dumpb(value, small, sizeof(small), JSON_ENCODE_ANY);
	if (n > 0 && n <= sizeof(small)) {
		text_add(text, small, n);
		return;
	}
	if (n == 0 || !text_reserve(text, n)) {
		text->failed = true;
		return;
	}
	json_dumpb(value, text->data + text->len, n, JSON_ENCODE_ANY);
	text->len += n;
	text->data[text->len] = '\0';
}

void text_label(struct text *text, const char *string)
{
	_cleanup_free_ char *escaped = NULL;
	size_t clean, len = strlen(string);

	/* One such label, and no other line would be taken. */
	if (!utf8_is_valid(string, len)) {
		escaped = malloc(4 * len + 1);
		if (!escaped) {
			text->failed = true;
			return;
		}
		log_escape(string, escaped, 4 * len + 1);
		string = escaped;
	}
	while (*string) {
		clean = strcspn(string, "\\\"\n");
		text_add(text, string, clean);
		string += clean;
		if (!*string)
			break;
		text_char(text, '\\');
		text_char(text, *string == '\n' ? 'n' : *string);
		string++;
	}
}
