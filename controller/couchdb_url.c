/* SPDX-License-Identifier: Apache-2.0 */
#include "couchdb.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "ebb/cleanup.h"
#include "ebb/util.h"

#define FORM "http(s)://[USER:PASSWORD@]HOST[:PORT]/[PREFIX]"

/* Percent-decoded; a malformed escape or a NUL byte is -EINVAL. */
static int decode(const char *text, size_t len, char **ret_text)
{
	char *out = malloc(len + 1), *at = out;

	if (!out)
		return -ENOMEM;
	for (size_t i = 0; i < len; i++) {
		int c = (unsigned char)text[i];

		if (c == '%') {
			int high = len - i > 2 ? hex_value(text[i + 1]) : -1;
			int low = len - i > 2 ? hex_value(text[i + 2]) : -1;

			c = high < 0 || low < 0 ? 0 : high * 16 + low;
			i += 2;
		}
		if (c == 0) {
			explicit_bzero(out, len);
			free(out);
			return -EINVAL;
		}
		*at++ = (char)c;
	}
	*at = '\0';
	*ret_text = out;
	return 0;
}

/* "HOST", "HOST:PORT", "[V6]:PORT": nothing in it may mean something else in a URL. */
static bool host_is_sane(const char *text, size_t len)
{
	size_t n = 0;
	uint64_t port;
	char digits[8];

	if (len > 0 && *text == '[') {
		n = 1;
		while (n < len && (hex_value(text[n]) >= 0 || text[n] == ':' || text[n] == '.'))
			n++;
		if (n == 1 || n == len || text[n++] != ']')
			return false;
	} else {
		while (n < len &&
		       ((text[n] >= 'a' && text[n] <= 'z') || (text[n] >= 'A' && text[n] <= 'Z') ||
			(text[n] >= '0' && text[n] <= '9') || strchr(".-_", text[n])))
			n++;
		if (n == 0)
			return false;
	}
	if (n == len)
		return true;
	if (text[n++] != ':' || len - n >= sizeof(digits))
		return false;
	memcpy(digits, text + n, len - n);
	digits[len - n] = '\0';
	return parse_u64(digits, &port) == 0 && port >= 1 && port <= UINT16_MAX;
}

/* What CouchDB takes as the begin of a database's name. */
static bool prefix_is_sane(const char *prefix)
{
	if (*prefix && (*prefix < 'a' || *prefix > 'z'))
		return false;
	return prefix[strspn(prefix, "abcdefghijklmnopqrstuvwxyz0123456789_$()+/-")] == '\0';
}

/* "USER:PASSWORD@" of `len` bytes, without the '@'. */
static int parse_user(const char *text, size_t len, struct couchdb_url *url, char **ret_error)
{
	const char *colon = memchr(text, ':', len);
	int r;

	if (!colon || colon == text)
		return fail_with(
			-EINVAL, ret_error,
			"The state's URL has a user without a password: give USER:PASSWORD@, "
			"or both in a file with --state-credentials");
	r = decode(text, (size_t)(colon - text), &url->user);
	if (r == 0)
		r = decode(colon + 1, len - (size_t)(colon - text) - 1, &url->password);
	if (r == -EINVAL)
		return fail_with(
			-EINVAL, ret_error,
			"The user or the password in the state's URL has a '%%' that begins no "
			"%%XX: write a '%%' itself as %%25");
	return r;
}

static int parse(const char *uri, struct couchdb_url *url, char **ret_error)
{
	size_t scheme = !strncmp(uri, "http://", 7) ? 7 : !strncmp(uri, "https://", 8) ? 8 : 0;
	const char *host = uri + scheme, *path, *at;
	size_t len;
	int r;

	if (!scheme)
		return fail_with(-EINVAL, ret_error, "The state's URL is not of the form " FORM);
	len = strcspn(host, "/?#");
	path = host + len;
	at = memrchr(host, '@', len);
	if (at) {
		r = parse_user(host, (size_t)(at - host), url, ret_error);
		if (r < 0)
			return r;
		len -= (size_t)(at + 1 - host);
		host = at + 1;
	} else if (*path && strchr(path, '@')) {
		/* Part of a password, most likely: nothing of it may be shown. */
		return fail_with(
			-EINVAL, ret_error,
			"The user or the password in the state's URL has a '/', '?' or '#': "
			"write it as %%2F, %%3F or %%23");
	}
	if (!host_is_sane(host, len))
		return fail_with(-EINVAL, ret_error,
				 "The state's URL has no valid HOST[:PORT]: it is " FORM);
	if (*path == '/')
		path++;
	r = decode(path, strlen(path), &url->prefix);
	if (r == -ENOMEM)
		return r;
	if (r < 0 || !prefix_is_sane(url->prefix))
		return fail_with(
			-EINVAL, ret_error,
			"The prefix in the state's URL cannot begin the name of a database: it "
			"begins with a-z, and has a-z, 0-9 and _$()+/- only");
	if (asprintf(&url->server, "%.*s%.*s", (int)scheme, uri, (int)len, host) < 0) {
		url->server = NULL;
		return -ENOMEM;
	}
	return 0;
}

int couchdb_url_parse(const char *uri, struct couchdb_url *ret_url, char **ret_error)
{
	struct couchdb_url url = {0};
	int r = parse(uri, &url, ret_error);

	if (r < 0) {
		couchdb_url_clear(&url);
		return r;
	}
	*ret_url = url;
	return 0;
}

void couchdb_url_clear(struct couchdb_url *url)
{
	if (url->password)
		explicit_bzero(url->password, strlen(url->password));
	free(url->server);
	free(url->prefix);
	free(url->user);
	free(url->password);
	*url = (struct couchdb_url){0};
}
