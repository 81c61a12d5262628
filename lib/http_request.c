/* SPDX-License-Identifier: Apache-2.0 */
/* A request on its way through the handler: what it says, its body, and the call. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"
#include "ebb/http_client.h"
#include "ebb/log.h"
#include "ebb/util.h"
#include "http_server_private.h"

const char *http_query(struct http_call *call, const char *key)
{
	const struct http_request *request = call->request;

	for (size_t i = 0; i < request->n_args; i++)
		if (!strcmp(request->args[i].name, key))
			return request->args[i].value;
	return NULL;
}

const char *http_header(struct http_call *call, const char *name)
{
	return MHD_lookup_connection_value(call->request->connection, MHD_HEADER_KIND, name);
}

/* Adds "?name=value" or "&name=value". Steals `target`; NULL on no memory. */
static char *target_add(char *target, bool first, const char *name, const char *value)
{
	_cleanup_free_ char *before = target, *name_text = http_escape(name);
	_cleanup_free_ char *value_text = http_escape(value);
	char *longer;

	if (!before || !name_text || !value_text ||
	    asprintf(&longer, "%s%c%s=%s", before, first ? '?' : '&', name_text, value_text) < 0)
		return NULL;
	return longer;
}

char *http_call_target_with(struct http_call *call, const char *key, const char *value)
{
	const struct http_request *request = call->request;
	char *target = strdup(call->path);
	bool first = true;

	for (size_t i = 0; target && i < request->n_args; i++) {
		const struct http_header *arg = &request->args[i];

		if (key && strcmp(arg->name, key) == 0)
			continue;
		target = target_add(target, first, arg->name, arg->value);
		first = false;
	}
	return target && key ? target_add(target, first, key, value) : target;
}

char *http_call_target(struct http_call *call)
{
	return http_call_target_with(call, NULL, NULL);
}

json_t *http_body_object(struct http_call *call)
{
	json_error_t error;
	json_t *body = json_loadb(call->body, call->body_len, JSON_REJECT_DUPLICATES, &error);

	if (!body) {
		http_reply_error(call, 400,
				 "the body is not valid JSON: %s (line %d, column %d, byte %d)",
				 error.text, error.line, error.column, error.position);
	} else if (!json_is_object(body)) {
		http_reply_error(call, 400, "the body must be a JSON object, {...}");
		json_decref(body);
		body = NULL;
	}
	return body;
}

int http_request_add_body(struct http_request *request, const char *data, size_t len)
{
	struct http_server *server = request->server;
	size_t need = request->body_len + len + 1;

	if (need > request->body_room) {
		/* Grown as it comes: a Content-Length alone shall not cost memory. */
		size_t room = MAX(need, MAX(request->body_room * 2, 4096));
		size_t more = room - request->body_room;
		char *grown;

		if (atomic_fetch_add(&server->bodies, more) + more > server->bodies_max) {
			atomic_fetch_sub(&server->bodies, more);
			return -ENOBUFS;
		}
		grown = realloc(request->body, room);
		if (!grown) {
			atomic_fetch_sub(&server->bodies, more);
			return -ENOMEM;
		}
		request->body = grown;
		request->body_room = room;
	}
	memcpy(request->body + request->body_len, data, len);
	request->body_len += len;
	request->body[request->body_len] = '\0';
	return 0;
}

bool http_request_handle(struct http_request *request)
{
	struct http_gate *gate = request->server->gate;
	bool answered;
	struct http_call call = {
		.request = request,
		.method = request->route->method,
		.path = request->raw_path,
		.body = request->body ? request->body : "",
		.body_len = request->body_len,
	};

	memcpy(call.captures, request->captures, sizeof(call.captures));
	request->in_handler = true;
	if (!request->server->admit ||
	    request->server->admit(request->server->userdata, request->route, &call))
		request->route->handler(request->server->userdata, &call);
	/* From here on a deferred request belongs to whoever answers it. */
	pthread_mutex_lock(&gate->lock);
	request->in_handler = false;
	if (!request->deferred && !request->response) {
		log_error("no reply to %s %s", request->method_name, request->raw_path);
		http_request_fail(request, 500,
				  "the server has no answer to this; please report it");
	}
	answered = request->response != NULL;
	pthread_mutex_unlock(&gate->lock);
	return answered;
}
