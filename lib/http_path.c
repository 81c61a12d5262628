/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"
#include "ebb/util.h"
#include "http_path.h"

int http_percent_decode(const char *text, size_t len, char *buffer)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];
		if (c == '%') {
			int high = i + 2 < len ? hex_value(text[i + 1]) : -1;
			int low = i + 2 < len ? hex_value(text[i + 2]) : -1;
			if (high < 0 || low < 0)
				return -EINVAL;
			c = (char)(high << 4 | low);
			i += 2;
		}
		if (c == '\0')
			return -EINVAL;
		buffer[n++] = c;
	}
	buffer[n] = '\0';
	return utf8_is_valid(buffer, n) ? (int)n : -EINVAL;
}

int http_path_parse(const char *raw, struct http_path *ret_path)
{
	struct http_path path = {0};

	if (*raw != '/')
		return -EINVAL;
	raw++;

	_cleanup_free_ char *buffer = malloc(strlen(raw) + 1);
	char *at = buffer;

	if (!buffer)
		return -ENOMEM;
	while (*raw && path.n <= HTTP_MAX_SEGMENTS) {
		size_t len = strcspn(raw, "/");
		int n = http_percent_decode(raw, len, at);
		if (n < 0)
			return n;
		if (memchr(at, '/', n))
			return -EINVAL;
		if (path.n < HTTP_MAX_SEGMENTS)
			path.segments[path.n] = at;
		path.n++;
		at += n + 1;
		raw += len;
		if (*raw == '/')
			raw++;
	}
	path.buffer = TAKE_PTR(buffer);
	*ret_path = path;
	return 0;
}

void http_path_clear(struct http_path *path)
{
	free(path->buffer);
	*path = (struct http_path){0};
}

bool http_path_matches(const struct http_path *path, const char *pattern,
		       const char *captures[HTTP_MAX_CAPTURES])
{
	const char *found[HTTP_MAX_CAPTURES] = {0};
	size_t i = 0, n = 0;

	if (path->n > HTTP_MAX_SEGMENTS)
		return false;
	pattern += *pattern == '/';
	for (; *pattern && i < path->n; i++) {
		size_t len = strcspn(pattern, "/");
		const char *segment = path->segments[i];

		if (len == 1 && *pattern == '*') {
			if (!*segment || n == HTTP_MAX_CAPTURES)
				return false;
			found[n++] = segment;
		} else if (strncmp(segment, pattern, len) || segment[len]) {
			return false;
		}
		pattern += len;
		pattern += *pattern == '/';
	}
	if (*pattern || i < path->n)
		return false;
	memcpy(captures, found, sizeof(found));
	return true;
}
