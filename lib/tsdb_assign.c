/* SPDX-License-Identifier: Apache-2.0 */
/* Names of metrics for a TSD that does not make them itself (tsd.core.auto_create_metrics). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/tsdb.h"
#include "tsdb_poster.h"

/* {"metric":["...","..."]} of at most `max` bytes, of as many names as fit; at least one. */
static char *make_body(const char *const *names, size_t n, size_t max, size_t *ret_n)
{
	_cleanup_json_ json_t *list = json_array();
	size_t len = strlen("{\"metric\":[]}"), i;

	for (i = 0; list && i < n && (!i || len + strlen(names[i]) + 3 <= max); i++) {
		len += strlen(names[i]) + 3;
		if (json_array_append_new(list, json_string(names[i])) < 0)
			return NULL;
	}
	_cleanup_json_ json_t *body = list ? json_pack("{s:O}", "metric", list) : NULL;
	*ret_n = i;
	return body ? json_dumps(body, JSON_COMPACT) : NULL;
}

static int explain(const struct tsdb_target *target, const struct http_result *result)
{
	switch (result->status) {
	case 0: log_error("OpenTSDB: %s", result->error); return -EHOSTUNREACH;
	case 401:
		log_error("OpenTSDB %s refuses the user or the password (401): give them in the "
			  "URL, http://USER:PASSWORD@HOST:PORT",
			  target->address);
		return -EACCES;
	case 400:
	case 404:
	case 405:
		log_error("%s has no /api/uid/assign (%ld): if it is VictoriaMetrics or InfluxDB, "
			  "it takes every name and nothing is to be done; if not, give the URL of "
			  "OpenTSDB's HTTP port",
			  target->address, result->status);
		return -EOPNOTSUPP;
	}
	log_error("OpenTSDB %s answers %ld to /api/uid/assign: try again, or run there: tsdb "
		  "mkmetric NAME...",
		  target->address, result->status);
	return -EIO;
}

/* One line for each name. */
static int print_result(const json_t *reply, const char *const *names, size_t n)
{
	const json_t *assigned = json_object_get(reply, "metric");
	const json_t *errors = json_object_get(reply, "metric_errors");
	int r = 0;

	for (size_t i = 0; i < n; i++) {
		const char *error = json_string_value(json_object_get(errors, names[i]));

		if (json_object_get(assigned, names[i])) {
			printf("%s assigned\n", names[i]);
		} else if (error && strcasestr(error, "already exists")) {
			printf("%s exists\n", names[i]);
		} else {
			char text[256];

			log_escape(error ? error : "the server says nothing of it", text,
				   sizeof(text));
			printf("%s error: %s\n", names[i], text);
			r = -EIO;
		}
	}
	return r;
}

static int assign_some(const struct tsdb_target *target, struct http_session *session, size_t max,
		       const char *const *names, size_t n, size_t *ret_done)
{
	struct http_request_options options = tsdb_target_request(target);
	_cleanup_free_ char *body = make_body(names, n, max, ret_done);
	struct http_result result;
	int r;

	if (!body)
		return -ENOMEM;
	options.path = "/api/uid/assign";
	options.body = body;
	options.body_len = strlen(body);
	r = http_session_call(session, &options, &result);
	if (r < 0)
		return log_error_errno(r, "cannot ask OpenTSDB %s", target->address);

	/* 400 also when some names exist already; then it names them. */
	_cleanup_json_ json_t *reply = result.status == 200 || result.status == 400
					       ? json_loadb(result.body, result.body_len, 0, NULL)
					       : NULL;
	if (json_object_get(reply, "metric") || json_object_get(reply, "metric_errors"))
		r = print_result(reply, names, *ret_done);
	else
		r = explain(target, &result);
	http_result_clear(&result);
	return r;
}

int tsdb_assign(const struct tsdb_options *options, const char *const *names, size_t n)
{
	size_t max = options->body_max ? options->body_max : TSDB_BODY_MAX, done = n;
	struct http_session *session = NULL;
	struct tsdb_target target;
	int r = tsdb_target_parse(options, &target), worst = 0;

	if (r < 0)
		return r;
	r = http_session_new(&session);
	for (size_t i = 0; r >= 0 && i < n; i += done) {
		r = assign_some(&target, session, max, names + i, n - i, &done);
		/* A name that the server refuses does not keep the others from it. */
		if (r == -EIO) {
			worst = r;
			r = 0;
		}
	}
	http_session_free(session);
	tsdb_target_clear(&target);
	return r < 0 ? r : worst;
}
