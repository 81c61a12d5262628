/* SPDX-License-Identifier: Apache-2.0 */
#include "request.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"
#include "ebb/cleanup.h"
#include "ebb/http_client.h"

#define TIMEOUT_MS 5000
/* A subscription waits for its host: the controller gives up after 45 s. */
#define CHANGE_TIMEOUT_MS 60000

char *address_normalize(const char *text)
{
	char *address;
	size_t n;

	if (!strncmp(text, "unix:", 5))
		return strdup(text);
	if (asprintf(&address, "%s%s", strstr(text, "://") ? "" : "http://", text) < 0)
		return NULL;
	for (n = strlen(address); n && address[n - 1] == '/'; n--)
		address[n - 1] = '\0';
	return address;
}

/* The client says where and how far it came; the last part is why. */
static const char *reason(const struct http_result *result, int r)
{
	const char *text = result->error, *last;

	if (!*text)
		return strerror(-r);
	for (; (last = strstr(text, ": ")); text = last + 2)
		;
	return text;
}

char *request_path(const char *prefix, const char *name, const char *rest)
{
	_cleanup_free_ char *escaped = http_escape(name);
	char *path;

	if (!escaped || asprintf(&path, "%s%s%s", prefix, escaped, rest) < 0)
		return NULL;
	return path;
}

/* The reason of a failure, in one line. `error` < 0: it is returned. */
__attribute__((format(printf, 3, 4))) static int because(int error, char **ret_error,
							 const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	if (text)
		text_tame(text);
	*ret_error = text;
	return error;
}

/* From {"message"} where the answer has one. */
static int refuse(const struct cli *cli, long status, const json_t *doc, char **ret_error)
{
	const char *message = json_string_value(json_object_get(doc, "message"));
	int r = status == 404 ? -ENOENT : status == 412 ? -ESTALE : -EINVAL;

	if ((status == 401 || status == 403) && !cli->token && cli->token_by_default)
		return because(
			-EPERM, ret_error,
			"the controller wants the token in %s, which you cannot read: run it "
			"as root, or have root add you to the group that may (ls -l %s)",
			cli->token_file, cli->token_file);
	if (status == 401 || status == 403)
		return because(-EPERM, ret_error,
			       "the controller wants %s token: give its file with --token-file "
			       "FILE, or in EBB_TOKEN_FILE",
			       cli->token ? "another" : "a");
	if (message)
		return because(r, ret_error, "%s", message);
	return because(r, ret_error, "%s answered %ld", cli->controller, status);
}

bool request_split_location(const char *location, char **ret_address, char **ret_path)
{
	_cleanup_free_ char *address = NULL;
	size_t scheme = strncmp(location, "http://", 7) == 0    ? 7
			: strncmp(location, "https://", 8) == 0 ? 8
								: 0;
	size_t host = scheme ? strcspn(location + scheme, "/?#") : 0;
	char *path;

	/* Nobody's password but ours goes along, and nothing but a path behind the host. */
	if (!host || location[scheme + host] != '/' || memchr(location + scheme, '@', host))
		return false;
	address = strndup(location, scheme + host);
	path = address ? strdup(location + scheme + host) : NULL;
	if (!path)
		return false;
	*ret_address = TAKE_PTR(address);
	*ret_path = path;
	return true;
}

/* One that stands by sends a change to the one that leads: there it is made, or not. */
static int follow(struct http_session *session, struct http_request_options *options,
		  struct http_result *result, char **ret_leader)
{
	const char *location = http_session_header(session, "Location");
	_cleanup_free_ char *address = NULL, *path = NULL;
	int r;

	if (!location || !request_split_location(location, &address, &path))
		return 0;
	http_result_clear(result);
	options->address = address;
	options->path = path;
	r = http_session_call(session, options, result);
	options->address = NULL;
	options->path = NULL;
	*ret_leader = TAKE_PTR(address);
	return r;
}

static int call(const struct cli *cli, const struct request *request, const char *text,
		struct http_result *result, char **ret_etag, char **ret_leader)
{
	_cleanup_free_ char *match = NULL;
	const char *headers[] = {NULL, NULL};
	struct http_request_options options = {
		.method = request->method,
		.address = cli->controller,
		.path = request->path,
		.body = text,
		.body_len = text ? strlen(text) : 0,
		.token = cli->token,
		.identity = cli->identity,
		.timeout_ms = strcmp(request->method, "GET") ? CHANGE_TIMEOUT_MS : TIMEOUT_MS,
		.headers = headers,
	};
	struct http_session *session = cli->session;
	const char *etag;
	int r;

	if (request->if_match && asprintf(&match, "If-Match: %s", request->if_match) < 0)
		return -ENOMEM;
	headers[0] = match ? match : request->only_new ? "If-None-Match: *" : NULL;
	r = http_session_call(session, &options, result);
	if (r >= 0 && result->status == 307)
		r = follow(session, &options, result, ret_leader);
	etag = r >= 0 && ret_etag ? http_session_header(session, "ETag") : NULL;
	if (etag)
		*ret_etag = strdup(etag);
	return r;
}

int request_send(const struct cli *cli, const struct request *request, json_t **ret_doc,
		 char **ret_etag, char **ret_error)
{
	_cleanup_free_ char *text = request->body ? json_dumps(request->body, JSON_COMPACT) : NULL;
	_cleanup_json_ json_t *doc = NULL;
	_cleanup_free_ char *leader = NULL, *etag = NULL;
	struct http_result result = {};
	long status;
	int r;

	r = call(cli, request, text, &result, &etag, &leader);
	if (leader && (r < 0 || !result.status)) {
		r = because(-ECONNREFUSED, ret_error,
			    "%s stands by, and %s, which leads, cannot be reached (%s): nothing is "
			    "changed. Can this machine reach it, and is its --advertise right?",
			    cli->controller, leader, reason(&result, r));
		http_result_clear(&result);
		return r;
	}
	if (r < 0 || !result.status) {
		r = because(-ECONNREFUSED, ret_error,
			    "no controller at %s (%s). Start it with `ebb-controller`, or name "
			    "another with --controller URL or EBB_CONTROLLER",
			    cli->controller, reason(&result, r));
		http_result_clear(&result);
		return r;
	}
	status = result.status;
	doc = json_loadb(result.body ? result.body : "", result.body_len, JSON_DECODE_ANY, NULL);
	http_result_clear(&result);
	if (status >= 300)
		return refuse(cli, status, doc, ret_error);
	if (!doc)
		return because(-EINVAL, ret_error,
			       "%s answered something that is not JSON; is it an Ebb controller?",
			       cli->controller);
	if (ret_doc)
		*ret_doc = TAKE_PTR(doc);
	if (ret_etag)
		*ret_etag = TAKE_PTR(etag);
	return 0;
}

int request_say(const struct cli *cli, const struct request *request, json_t **ret_doc,
		char **ret_etag)
{
	_cleanup_free_ char *error = NULL;
	int r;

	r = request_send(cli, request, ret_doc, ret_etag, &error);
	if (r < 0)
		cli_fail("%s", error ? error : strerror(-r));
	return r;
}

int request_call(const struct cli *cli, const char *method, const char *path, const json_t *body,
		 json_t **ret_doc)
{
	const struct request request = {.method = method, .path = path, .body = body};

	return request_say(cli, &request, ret_doc, NULL);
}

long request_try(const struct cli *cli, const char *address, const char *token, const char *path,
		 json_t **ret_doc, char *ret_error)
{
	struct http_request_options options = {
		.method = "GET",
		.address = address,
		.path = path,
		.token = token,
		.identity = cli->identity,
		.timeout_ms = 2000,
	};
	struct http_result result = {};
	long status;
	int r;

	r = http_call_blocking(&options, &result);
	status = r < 0 ? 0 : result.status;
	if (!status)
		snprintf(ret_error, 256, "%s", reason(&result, r));
	else if (ret_doc)
		*ret_doc = json_loadb(result.body ? result.body : "", result.body_len,
				      JSON_DECODE_ANY, NULL);
	http_result_clear(&result);
	return status;
}
