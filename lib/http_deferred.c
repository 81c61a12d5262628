/* SPDX-License-Identifier: Apache-2.0 */
/* Replies that come after the handler has returned, from any thread. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/util.h"
#include "http_server_private.h"

struct http_deferred {
	struct http_gate *gate;
	struct http_request *request; /* NULL once the server has gone */
	struct http_header *headers;
	size_t n_headers;
	struct http_deferred *prev, *next;
};

struct http_gate *http_gate_new(void)
{
	struct http_gate *gate = calloc(1, sizeof(*gate));

	if (!gate)
		return NULL;
	pthread_mutex_init(&gate->lock, NULL);
	gate->refs = 1;
	return gate;
}

void http_gate_unref(struct http_gate *gate)
{
	pthread_mutex_lock(&gate->lock);
	bool last = --gate->refs == 0;
	pthread_mutex_unlock(&gate->lock);
	if (last) {
		pthread_mutex_destroy(&gate->lock);
		free(gate);
	}
}

int http_defer(struct http_call *call, struct http_deferred **ret_deferred)
{
	struct http_request *request = call->request;
	struct http_gate *gate = request->server->gate;
	struct http_deferred *deferred;

	if (!request->in_handler || request->deferred || request->response)
		return -EINVAL;
	deferred = calloc(1, sizeof(*deferred));
	if (!deferred)
		return -ENOMEM;
	deferred->gate = gate;
	deferred->request = request;

	pthread_mutex_lock(&gate->lock);
	if (gate->closed) {
		pthread_mutex_unlock(&gate->lock);
		free(deferred);
		return -ESHUTDOWN;
	}
	gate->refs++;
	deferred->next = gate->waiting;
	if (gate->waiting)
		gate->waiting->prev = deferred;
	gate->waiting = deferred;
	request->deferred = true;
	if (request->server->relay.fd < 0)
		MHD_suspend_connection(request->connection);
	pthread_mutex_unlock(&gate->lock);
	*ret_deferred = deferred;
	return 0;
}

/* Under the lock: gives the request its reply and lets the connection go on. */
static void wake_request(struct http_deferred *deferred, unsigned status,
			 struct MHD_Response *response)
{
	struct http_request *request = deferred->request;
	int wake_fd = request->server->wake_fd;

	for (size_t i = 0; i < deferred->n_headers; i++)
		http_headers_add(&request->headers, &request->n_headers,
				 TAKE_PTR(deferred->headers[i].name),
				 TAKE_PTR(deferred->headers[i].value));
	http_request_answer(request, status, response);
	deferred->request = NULL;
	if (deferred->prev)
		deferred->prev->next = deferred->next;
	else
		deferred->gate->waiting = deferred->next;
	if (deferred->next)
		deferred->next->prev = deferred->prev;
	/* From here on the request may be freed at any moment; but not under the hands of its
	 * handler, which runs in another thread than the connection: that one resumes it. */
	if (request->server->relay.fd < 0 || !request->in_handler)
		MHD_resume_connection(request->connection);
	/* libmicrohttpd's own wake-up can be lost: MHD_run() looks for resumed connections first
	 * and clears the wake-up after, which is right only for its own threads. */
	if (wake_fd >= 0)
		eventfd_write(wake_fd, 1);
}

void http_gate_close(struct http_gate *gate)
{
	pthread_mutex_lock(&gate->lock);
	gate->closed = true;
	while (gate->waiting)
		wake_request(gate->waiting, 503,
			     http_response_error(503, "the server is being stopped"));
	pthread_mutex_unlock(&gate->lock);
}

static void resume(struct http_deferred *deferred, unsigned status, struct MHD_Response *response)
{
	struct http_gate *gate = deferred->gate;

	pthread_mutex_lock(&gate->lock);
	bool waits = deferred->request;
	if (waits)
		wake_request(deferred, status, response);
	pthread_mutex_unlock(&gate->lock);
	if (!waits && response)
		MHD_destroy_response(response);
	http_headers_free(deferred->headers, deferred->n_headers);
	free(deferred);
	http_gate_unref(gate);
}

void http_resume_header(struct http_deferred *deferred, const char *name, const char *value)
{
	if (http_headers_add(&deferred->headers, &deferred->n_headers, strdup(name),
			     strdup(value)) < 0)
		log_error("no memory for response header %s", name);
}

void http_resume_json(struct http_deferred *deferred, unsigned status, json_t *body)
{
	resume(deferred, status, http_response_json(body));
}

void http_resume_error(struct http_deferred *deferred, unsigned status, const char *message)
{
	resume(deferred, status, http_response_error(status, message));
}
