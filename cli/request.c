/* SPDX-License-Identifier: Apache-2.0 */
#include "request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"
#include "ebb/cleanup.h"
#include "ebb/http_client.h"

#define TIMEOUT_MS 5000

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

/* One line for a refusal, from {"message"} where the answer has one. */
static int refuse(const struct cli *cli, long status, const json_t *doc)
{
	const char *message = json_string_value(json_object_get(doc, "message"));
	_cleanup_free_ char *tame = message ? strdup(message) : NULL;

	if (tame)
		text_tame(tame);
	if (status == 401 || status == 403) {
		cli_fail("the controller wants %s token: give its file with --token-file FILE, or "
			 "in EBB_TOKEN_FILE",
			 cli->token ? "another" : "a");
		return -EPERM;
	}
	if (tame)
		cli_fail("%s", tame);
	else
		cli_fail("%s answered %ld", cli->controller, status);
	return status == 404 ? -ENOENT : -EINVAL;
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

static int call(const struct cli *cli, const char *method, const char *path, const char *text,
		struct http_result *result, char **ret_leader)
{
	struct http_request_options options = {
		.method = method,
		.address = cli->controller,
		.path = path,
		.body = text,
		.body_len = text ? strlen(text) : 0,
		.token = cli->token,
		.timeout_ms = TIMEOUT_MS,
	};
	struct http_session *session;
	int r = http_session_new(&session);

	if (r < 0)
		return r;
	r = http_session_call(session, &options, result);
	if (r >= 0 && result->status == 307)
		r = follow(session, &options, result, ret_leader);
	http_session_free(session);
	return r;
}

int request_call(const struct cli *cli, const char *method, const char *path, const json_t *body,
		 json_t **ret_doc)
{
	_cleanup_free_ char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	_cleanup_json_ json_t *doc = NULL;
	_cleanup_free_ char *leader = NULL;
	struct http_result result = {};
	long status;
	int r;

	r = call(cli, method, path, text, &result, &leader);
	if (leader && (r < 0 || !result.status)) {
		text_tame(leader);
		cli_fail("%s stands by, and %s, which leads, cannot be reached (%s): nothing is "
			 "changed. Can this machine reach it, and is its --advertise right?",
			 cli->controller, leader, reason(&result, r));
		http_result_clear(&result);
		return -ECONNREFUSED;
	}
	if (r < 0 || !result.status) {
		cli_fail("no controller at %s (%s). Start it with `ebb-controller`, or name "
			 "another with --controller URL or EBB_CONTROLLER",
			 cli->controller, reason(&result, r));
		http_result_clear(&result);
		return -ECONNREFUSED;
	}
	status = result.status;
	doc = json_loadb(result.body ? result.body : "", result.body_len, JSON_DECODE_ANY, NULL);
	http_result_clear(&result);
	if (status >= 300)
		return refuse(cli, status, doc);
	if (!doc) {
		cli_fail("%s answered something that is not JSON; is it an Ebb controller?",
			 cli->controller);
		return -EINVAL;
	}
	if (ret_doc)
		*ret_doc = TAKE_PTR(doc);
	return 0;
}

long request_try(const char *address, const char *token, const char *path, json_t **ret_doc,
		 char *ret_error)
{
	struct http_request_options options = {
		.method = "GET",
		.address = address,
		.path = path,
		.token = token,
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
