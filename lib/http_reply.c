/* SPDX-License-Identifier: Apache-2.0 */
/* The reply to a request: how it is made, that there is one, and its way to the client. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/json_text.h"
#include "ebb/log.h"
#include "http_server_private.h"

/* 200.1 as 200.1, not as 200.09999999999999. */
#define JSON_FLAGS JSON_REAL_PRECISION(15)

void http_headers_free(struct http_header *headers, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(headers[i].name);
		free(headers[i].value);
	}
	free(headers);
}

int http_headers_add(struct http_header **headers, size_t *n, char *name, char *value)
{
	struct http_header *grown = reallocarray(*headers, *n + 1, sizeof(**headers));

	if (grown)
		*headers = grown;
	if (!grown || !name || !value) {
		free(name);
		free(value);
		return -ENOMEM;
	}
	grown[(*n)++] = (struct http_header){name, value};
	return 0;
}

/* Takes `text` over (malloc). NULL on no memory. */
static struct MHD_Response *make_response(char *text, size_t len, const char *content_type)
{
	struct MHD_Response *response;

	if (!text)
		return NULL;
	response = MHD_create_response_from_buffer(len, text, MHD_RESPMEM_MUST_FREE);
	if (!response) {
		free(text);
		return NULL;
	}
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
	MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	return response;
}

struct MHD_Response *http_response_json(json_t *body)
{
	size_t len = 0;
	char *text = json_text(body, JSON_FLAGS, &len);

	json_decref(body);
	return make_response(text, len, "application/json");
}

struct MHD_Response *http_response_error(unsigned status, const char *message)
{
	const char *phrase = MHD_get_reason_phrase_for(status);
	char escaped[2048];

	/* What a client sent may be part of it. */
	log_escape(message, escaped, sizeof(escaped));
	return http_response_json(
		json_pack("{s:s, s:s}", "error", phrase ? phrase : "Error", "message", escaped));
}

void http_request_answer(struct http_request *request, unsigned status,
			 struct MHD_Response *response)
{
	if (request->response) {
		log_warning("a request was answered twice");
		MHD_destroy_response(response);
		return;
	}
	if (!response) {
		status = MHD_HTTP_INTERNAL_SERVER_ERROR;
		response = MHD_create_response_from_buffer(0, "", MHD_RESPMEM_PERSISTENT);
	}
	request->status = status;
	request->response = response;
}

void http_request_fail(struct http_request *request, unsigned status, const char *format, ...)
{
	char message[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	http_request_answer(request, status, http_response_error(status, message));
}

/* A handler that deferred its call has no say any more: the other side may be answering. */
static bool may_reply(const struct http_call *call)
{
	if (call->request->deferred)
		log_warning("a deferred request was answered by its handler");
	return !call->request->deferred;
}

void http_reply_header(struct http_call *call, const char *name, const char *value)
{
	struct http_request *request = call->request;

	if (may_reply(call) && http_headers_add(&request->headers, &request->n_headers,
						strdup(name), strdup(value)) < 0)
		log_error("no memory for response header %s", name);
}

void http_reply_json(struct http_call *call, unsigned status, json_t *body)
{
	if (may_reply(call))
		http_request_answer(call->request, status, http_response_json(body));
	else
		json_decref(body);
}

void http_reply_text(struct http_call *call, unsigned status, const char *content_type,
		     const char *text, size_t len)
{
	if (!may_reply(call))
		return;

	/* One more: malloc(0) may be NULL. */
	char *copy = malloc(len + 1);
	if (copy)
		memcpy(copy, text, len);
	http_request_answer(call->request, status, make_response(copy, len, content_type));
}

void http_reply_error(struct http_call *call, unsigned status, const char *format, ...)
{
	char message[1024];
	va_list args;

	if (!may_reply(call))
		return;
	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	http_request_answer(call->request, status, http_response_error(status, message));
}

enum MHD_Result http_request_send(struct http_request *request)
{
	struct http_server *server = request->server;

	for (size_t i = 0; i < request->n_headers; i++)
		MHD_add_response_header(request->response, request->headers[i].name,
					request->headers[i].value);
	server->errors_4xx += request->status >= 400 && request->status < 500;
	server->errors_5xx += request->status >= 500;
	return MHD_queue_response(request->connection, request->status, request->response);
}
