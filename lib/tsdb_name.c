/* SPDX-License-Identifier: Apache-2.0 */
/* Names of commands and containers as tag values: what the old feeder made of them, then what a TSD
 * takes. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"
#include "ebb/tsdb.h"
#include "ebb/util.h"

struct out {
	char *text;
	size_t at, size;
};

/* Nothing is written in halves: of a word that does not fit, nothing comes. */
static void put(struct out *out, const char *text, size_t len)
{
	if (out->at + len >= out->size) {
		out->size = out->at + 1;
		return;
	}
	memcpy(out->text + out->at, text, len);
	out->at += len;
}

static bool is_word(unsigned char c)
{
	return c < 0x80 && (isalnum(c) || c == '_');
}

static bool is_run(unsigned char c)
{
	return is_word(c) || (c < 0x80 && (isspace(c) || strchr(",:/\\", c)));
}

static const char *spelled(char c)
{
	switch (c) {
	case ',': return "_comma_";
	case ':': return "_twodot_";
	case '/': return "_slash_";
	case ' ': return "_space_";
	}
	return NULL;
}

static void put_valid(struct out *out, const char *at, size_t len)
{
	char text[2] = {*at, '\0'};

	put(out, len == 1 && tsdb_name_is_valid(text) ? text : "_", 1);
}

/* The first run of these characters is spelled out when there are several words in it. */
static size_t run_of(const char *name, size_t *ret_len)
{
	size_t start = 0, len = 0, words = 0;

	while (name[start] && !is_run((unsigned char)name[start]))
		start++;
	for (; name[start + len] && is_run((unsigned char)name[start + len]); len++)
		words += is_word((unsigned char)name[start + len]) &&
			 (!len || !is_word((unsigned char)name[start + len - 1]));
	*ret_len = words > 1 ? len : 0;
	return start;
}

void tsdb_sanitize(const char *name, char *buffer, size_t size)
{
	_cleanup_free_ char *bare = malloc(strlen(name) + 1);
	struct out out = {buffer, 0, size};
	size_t n = 0, run_len;

	if (!size)
		return;
	if (bare) {
		for (const char *p = name; *p; p++)
			if (*p != '(' && *p != ')')
				bare[n++] = *p;
		bare[n] = '\0';

		size_t run = run_of(bare, &run_len);
		for (size_t i = 0, step; i < n && out.at + 1 < out.size; i += step) {
			const char *word = i >= run && i < run + run_len ? spelled(bare[i]) : NULL;
			uint32_t code;

			step = MAX(utf8_decode(bare + i, n - i, &code), 1u);
			if (word)
				put(&out, word, strlen(word));
			else
				put_valid(&out, bare + i, step);
		}
	}
	if (!out.at)
		put(&out, "unknown", MIN(sizeof("unknown") - 1, size - 1));
	buffer[out.at] = '\0';
}
