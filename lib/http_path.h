/* SPDX-License-Identifier: Apache-2.0 */
/* Request paths: split, decode, match. Pure; the server hands it what came from the network. */
#ifndef EBB_HTTP_PATH_H
#define EBB_HTTP_PATH_H

#include <stdbool.h>
#include <stddef.h>

#include "ebb/http_server.h"

/* The longest route has eight; deeper paths match nothing. */
#define HTTP_MAX_SEGMENTS 16

struct http_path {
	char *buffer; /* owned: the segments, each NUL-terminated */
	const char *segments[HTTP_MAX_SEGMENTS];
	size_t n; /* HTTP_MAX_SEGMENTS + 1: too deep */
};

/*
 * Decodes %XX of `text` into `buffer` (as long as `text`, plus NUL). Its length, or -EINVAL: a '%'
 * without two hex digits, a NUL, broken UTF-8.
 */
int http_percent_decode(const char *text, size_t len, char *buffer);

/*
 * "/a/b%20c/" is {"a", "b c"}; "/" has no segments. -EINVAL: no leading slash, or a segment that
 * does not decode or holds a '/'. -ENOMEM.
 */
int http_path_parse(const char *raw, struct http_path *ret_path);
void http_path_clear(struct http_path *path);

/* Captures point into `path`. */
bool http_path_matches(const struct http_path *path, const char *pattern,
		       const char *captures[HTTP_MAX_CAPTURES]);

#endif
