/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the server, for the files that make it. A request is examined when its headers are
 * there (http_route.c), takes its body in and has its handler called (http_request.c), perhaps in
 * another thread (http_relay.c), and is answered by it (http_reply.c), perhaps later
 * (http_deferred.c). Only http_server.c knows of the daemon and its connections.
 */
#ifndef EBB_HTTP_SERVER_PRIVATE_H
#define EBB_HTTP_SERVER_PRIVATE_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "ebb/http_server.h"
#include "http_listen.h"
#include "http_path.h"

struct http_link;

struct http_header {
	char *name, *value;
};

struct http_request {
	struct http_server *server;
	struct MHD_Connection *connection;
	struct http_link *link;
	const char *method_name, *raw_path; /* libmicrohttpd's */
	struct http_request *next;          /* in the relay */
	const struct http_route *route;
	struct http_path path;
	const char *captures[HTTP_MAX_CAPTURES];
	struct http_header *args, *headers;
	size_t n_args, n_headers;
	char *body;
	size_t body_len, body_room, drained;
	bool in_handler, deferred;
	/* The reply; set by another thread when deferred, under gate->lock. */
	struct MHD_Response *response;
	unsigned status;
};

/*
 * Deferred replies outlive their connections and the server. What stands between them is counted
 * and goes with the last one. The lock is taken before libmicrohttpd's own, never inside.
 */
struct http_gate {
	pthread_mutex_t lock;
	unsigned refs;
	bool closed;
	struct http_deferred *waiting;
};

struct http_server {
	struct MHD_Daemon *daemon;
	struct http_gate *gate;
	struct http_listener listener;
	struct identity *identity, *own_identity; /* who is let in; NULL: everybody */
	bool token_on_reads;
	size_t body_max;
	atomic_size_t bodies;
	size_t bodies_max;
	struct http_connections *places;
	const struct http_route *routes;
	size_t n_routes;
	bool (*admit)(void *userdata, const struct http_route *route, struct http_call *call);
	void *userdata;

	/* Loop mode. */
	struct loop_source *source, *timer, *wake, *sweep;
	int wake_fd;      /* -1 in threaded mode */
	uint64_t wake_ns; /* when the timer fires; UINT64_MAX: not armed */
	bool running;

	/* From the threads to handlers in the loop. */
	struct {
		pthread_mutex_t lock;
		struct http_request *first, *last;
		bool closed;
		int fd; /* -1: handlers run where the request is read */
		struct loop_source *source;
	} relay;

	atomic_ulong requests, errors_4xx, errors_5xx, connections;
};

/* http_reply.c */
void http_headers_free(struct http_header *headers, size_t n);
/* Takes the strings over, also on failure; NULL among them is -ENOMEM. */
int http_headers_add(struct http_header **headers, size_t *n, char *name, char *value);
/* Steals `body`. NULL: no memory. */
struct MHD_Response *http_response_json(json_t *body);
struct MHD_Response *http_response_error(unsigned status, const char *message);
/* Takes `response` over; NULL: no memory, answered 500 without a body. */
void http_request_answer(struct http_request *request, unsigned status,
			 struct MHD_Response *response);
/* The server itself answers, whatever has become of the call. */
void http_request_fail(struct http_request *request, unsigned status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* MHD_NO closes the connection. */
enum MHD_Result http_request_send(struct http_request *request);

/* http_deferred.c */
/* NULL: no memory. */
struct http_gate *http_gate_new(void);
/* Nobody defers any more, and who waits is answered 503. */
void http_gate_close(struct http_gate *gate);
void http_gate_unref(struct http_gate *gate);

/* http_route.c */
/* Everything that can be said before the body: leaves a route or a reply in the request. */
void http_request_examine(struct http_request *request, const char *method_name,
			  const char *raw_path, size_t content_length);

/* http_request.c */
/* A piece of the body. -ENOBUFS: all requests together hold too much; -ENOMEM. */
int http_request_add_body(struct http_request *request, const char *data, size_t len);
/* Calls the handler. True: it has its reply, now. */
bool http_request_handle(struct http_request *request);

/* http_relay.c */
/* Handlers run in `loop` from now on. */
int http_relay_start(struct http_server *server, struct loop *loop);
/* In the thread that has read it; false: the server is being stopped, and it is answered. */
bool http_relay_push(struct http_request *request);
/* Answers what nobody has looked at, and takes nothing more. In the loop's thread. */
void http_relay_close(struct http_server *server);

#endif
