/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/tsdb.h"
#include "http_path.h"
#include "tsdb_poster.h"

#define TIMEOUT_MS_DEFAULT 10000

static void free_secret(char *secret)
{
	if (secret)
		explicit_bzero(secret, strlen(secret));
	free(secret);
}

/* "USER:PASSWORD" with %XX in both. */
static int parse_user(const char *text, size_t len, struct tsdb_target *target)
{
	const char *colon = memchr(text, ':', len);
	size_t user_len = colon ? (size_t)(colon - text) : len;
	const char *password = colon ? colon + 1 : text + len;

	target->user = calloc(1, len + 1);
	target->password = calloc(1, len + 1);
	if (!target->user || !target->password)
		return -ENOMEM;
	if (http_percent_decode(text, user_len, target->user) < 0 ||
	    http_percent_decode(password, text + len - password, target->password) < 0)
		return -EINVAL;
	return 0;
}

static int parse_url(const char *url, struct tsdb_target *target)
{
	size_t scheme = !strncmp(url, "http://", 7) ? 7 : !strncmp(url, "https://", 8) ? 8 : 0;
	const char *rest = url + scheme, *end = rest + strcspn(rest, "/?#");
	const char *at = memrchr(rest, '@', end - rest);
	const char *host = at ? at + 1 : rest;
	int r = 0;

	/* The URL may hold a password: it is not shown. */
	if (!scheme || host == end || strpbrk(end, "?#") || strpbrk(url, " \t\r\n")) {
		log_error("the URL of OpenTSDB is not like http://HOST:4242: correct it");
		return -EINVAL;
	}
	if (at)
		r = parse_user(rest, at - rest, target);
	if (r == -EINVAL)
		log_error("user or password in the URL of OpenTSDB: write %%, @, : and / as %%XX");
	if (r < 0)
		return r;
	if (asprintf(&target->address, "%.*s%s", (int)scheme, url, host) < 0) {
		target->address = NULL;
		return -ENOMEM;
	}
	return 0;
}

int tsdb_target_parse(const struct tsdb_options *options, struct tsdb_target *ret_target)
{
	struct tsdb_target target = {
		.timeout_ms = options->timeout_ms ? options->timeout_ms : TIMEOUT_MS_DEFAULT,
	};
	int r = parse_url(options->url ? options->url : "", &target);

	if (r == 0 && options->user) {
		free_secret(target.user);
		free_secret(target.password);
		target.user = strdup(options->user);
		target.password = strdup(options->password ? options->password : "");
		r = target.user && target.password ? 0 : -ENOMEM;
	}
	target.identity = options->identity;
	if (r == 0 && options->ca_file) {
		target.ca_file = strdup(options->ca_file);
		r = target.ca_file ? 0 : -ENOMEM;
	}
	if (r < 0) {
		tsdb_target_clear(&target);
		return r;
	}
	*ret_target = target;
	return 0;
}

void tsdb_target_clear(struct tsdb_target *target)
{
	free(target->address);
	free_secret(target->user);
	free_secret(target->password);
	free(target->ca_file);
	*target = (struct tsdb_target){0};
}

struct http_request_options tsdb_target_request(const struct tsdb_target *target)
{
	return (struct http_request_options){
		.method = "POST",
		.address = target->address,
		.timeout_ms = target->timeout_ms,
		.user = target->user,
		.password = target->password,
		.ca_file = target->ca_file,
		.identity = target->identity,
		.without_token = true,
	};
}
