/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked for, and whether it may be: all that is decided before the body comes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http_server_private.h"

static int method_from_name(const char *name)
{
	static const char *const names[HTTP_METHOD_MAX] = {"GET", "PUT", "POST", "DELETE"};

	for (int i = 0; i < HTTP_METHOD_MAX; i++)
		if (!strcmp(name, names[i]))
			return i;
	/* libmicrohttpd leaves the body out. */
	return strcmp(name, "HEAD") ? -1 : HTTP_GET;
}

/* The list for Allow of all routes with this path. */
static void allowed_methods(const struct http_request *request, char *buffer, size_t size)
{
	static const char *const names[HTTP_METHOD_MAX] = {"GET, HEAD", "PUT", "POST", "DELETE"};
	const struct http_server *server = request->server;
	const char *captures[HTTP_MAX_CAPTURES];
	unsigned methods = 0;
	size_t at = 0;

	for (size_t i = 0; i < server->n_routes; i++)
		if (http_path_matches(&request->path, server->routes[i].pattern, captures))
			methods |= 1U << server->routes[i].method;
	*buffer = '\0';
	for (int m = 0; m < HTTP_METHOD_MAX && at < size; m++)
		if (methods & 1U << m)
			at += snprintf(buffer + at, size - at, "%s%s", at ? ", " : "", names[m]);
}

static bool has_token(const struct http_request *request)
{
	const char *given = MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND,
							MHD_HTTP_HEADER_AUTHORIZATION);

	if (!given || strncasecmp(given, "Bearer ", 7))
		return false;
	given += 7;
	return identity_accepts(request->server->identity, given + strspn(given, " "));
}

static enum MHD_Result add_arg(void *cls, enum MHD_ValueKind kind, const char *key, size_t key_len,
			       const char *value, size_t value_len)
{
	struct http_request *request = cls;
	char *name = malloc(key_len + 1), *text = malloc(value_len + 1);

	if (name && text &&
	    (http_percent_decode(key, key_len, name) < 0 ||
	     http_percent_decode(value ? value : "", value ? value_len : 0, text) < 0)) {
		free(name);
		free(text);
		http_request_fail(request, 400,
				  "the query has a broken percent-encoding, a NUL or broken UTF-8");
		return MHD_NO;
	}
	if (http_headers_add(&request->args, &request->n_args, name, text) < 0) {
		http_request_answer(request, 500, NULL);
		return MHD_NO;
	}
	return MHD_YES;
}

void http_request_examine(struct http_request *request, const char *method_name,
			  const char *raw_path, size_t content_length)
{
	const struct http_server *server = request->server;
	int method = method_from_name(method_name);
	int parsed = http_path_parse(raw_path, &request->path);

	for (size_t i = 0; parsed == 0 && i < server->n_routes; i++)
		if ((int)server->routes[i].method == method &&
		    http_path_matches(&request->path, server->routes[i].pattern,
				      request->captures)) {
			request->route = &server->routes[i];
			break;
		}

	/* Before anything tells what exists here. */
	bool is_public = request->route && request->route->public;
	bool changes = method != HTTP_GET;
	bool guarded = identity_has_token(server->identity);
	if (guarded && (changes || server->token_on_reads) && !is_public && !has_token(request)) {
		http_headers_add(&request->headers, &request->n_headers,
				 strdup(MHD_HTTP_HEADER_WWW_AUTHENTICATE), strdup("Bearer"));
		http_request_fail(request, 401,
				  "this needs the token of this server: send it in the header "
				  "\"Authorization: Bearer TOKEN\"");
	} else if (!guarded && changes &&
		   MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND,
					       MHD_HTTP_HEADER_ORIGIN)) {
		http_request_fail(request, 403,
				  "web pages may change something here only when the server has a "
				  "token: start it with --token-file");
	} else if (parsed == -ENOMEM) {
		http_request_answer(request, 500, NULL);
	} else if (parsed < 0) {
		http_request_fail(
			request, 400,
			"the path has a broken percent-encoding, a NUL, an encoded '/' or "
			"broken UTF-8");
	} else if (!request->route) {
		char allow[64];
		allowed_methods(request, allow, sizeof(allow));
		if (*allow) {
			http_headers_add(&request->headers, &request->n_headers,
					 strdup(MHD_HTTP_HEADER_ALLOW), strdup(allow));
			http_request_fail(request, 405, "%s is not possible here, only %s",
					  method_name, allow);
		} else {
			http_request_fail(request, 404, "there is nothing at %s", raw_path);
		}
	} else if (content_length > server->body_max) {
		http_request_fail(request, 413, "the body may have at most %zu bytes",
				  server->body_max);
	} else {
		MHD_get_connection_values_n(request->connection, MHD_GET_ARGUMENT_KIND, add_arg,
					    request);
	}
}
