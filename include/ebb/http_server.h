/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP server over libmicrohttpd: routes by method and pattern, JSON in and out, bearer token,
 * bounded bodies and connections. Runs either inside a loop (agent: one thread owns all state) or
 * on its own threads (controller).
 */
#ifndef EBB_HTTP_SERVER_H
#define EBB_HTTP_SERVER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "ebb/identity.h"
#include "ebb/loop.h"

struct http_server;
struct http_request;

enum http_method { HTTP_GET, HTTP_PUT, HTTP_POST, HTTP_DELETE, HTTP_METHOD_MAX };

#define HTTP_MAX_CAPTURES 6

/*
 * What a handler sees. Strings live until the handler returns. `captures` are the decoded path
 * segments that matched '*' in the pattern, in order. A decoded segment with a NUL, a '/' or broken
 * UTF-8 never reaches a handler: the request is answered 400.
 */
struct http_call {
	struct http_request *request; /* opaque, for http_request_* and deferred replies */
	enum http_method method;
	const char *path;
	const char *captures[HTTP_MAX_CAPTURES];
	const char *body; /* NUL-terminated; may be empty */
	size_t body_len;
};

/*
 * Handles a call and answers it with one of the http_reply_* functions, now or (loop mode and
 * threaded mode alike) later after http_defer(). A handler that returns without either is answered
 * 500.
 */
typedef void (*http_handler_fn)(void *userdata, struct http_call *call);

struct http_route {
	enum http_method method;
	/* Segments joined by '/', '*' matches any one; a trailing slash is optional. First match
	 * wins, so "/container/resources" comes before "/container" followed by '*'. GET serves
	 * HEAD too. */
	const char *pattern;
	http_handler_fn handler;
	bool public; /* served without a token even where one is set (heartbeat) */
};

struct http_server_options {
	const char *listen; /* "ADDR:PORT", "[V6]:PORT" or "unix:PATH"; port 0 picks a free one */
	/* NULL: none asked; then a request that changes something is refused when a browser sends
	 * it from a page (it carries Origin): loopback is no protection against those. */
	const char *token;
	struct identity *identity; /* instead: its tokens, as they are at each call; borrowed */
	bool token_on_reads;       /* ask it on GET too */
	size_t body_max;           /* bytes, 413 above; 0: 1 MiB */
	size_t bodies_max;         /* of all requests at once, 503 above; 0: 64 times body_max */
	unsigned connections_max;  /* 0: 512. The next one takes the place of an idle one */
	unsigned per_address_max;  /* of them; 0: seven eighths */
	size_t memory;             /* of each, and so for its headers, 431 above; 0: 32 KiB */
	unsigned timeout_s;        /* a silent connection is closed; 0: 60 */
	/* A request must have come within so many seconds, however it drips; needs `loop`. 0: no
	 * limit. */
	unsigned request_s;
	unsigned threads; /* 0: run in `loop`; they inherit the signal mask */
	/* With threads: they read and write, TLS included, but handlers run in `loop`, whose thread
	 * has nothing to do with what comes over the network but whole requests. */
	bool relay;
	struct loop *loop; /* with threads and without `relay`: for time limits only */
	const struct http_route *routes;
	size_t n_routes;
	/* Before the handler of `route`, with the body there: false when it has answered instead.
	 * NULL: every call is let in. */
	bool (*admit)(void *userdata, const struct http_route *route, struct http_call *call);
	void *userdata;
};

/*
 * With TLS when `identity` has it: each connection takes the certificate, key and client CA that
 * are in force when it begins, and keeps them.
 *
 * Strings are copied, `routes` must outlive the server. Logs what is wrong with the address.
 * -EADDRINUSE, -EACCES, -EINVAL, ... A unix socket gets mode 0660; a stale one is replaced only
 * when nobody listens on it.
 */
int http_server_new(const struct http_server_options *options, struct http_server **ret_server);
/*
 * Closes every connection and waits for handlers that run. Not from a handler; in loop mode only in
 * the loop's thread, before loop_free(). Deferred replies may be outstanding: their connections are
 * closed, and http_resume_*() may still be called for them, at any time.
 */
void http_server_free(struct http_server *server);
/* The bound address, "127.0.0.1:8000" or "unix:/run/x": with port 0, the port that was picked. */
const char *http_server_address(const struct http_server *server);

/* Decoded. NULL when absent; "" for a key without a value (?cpu&mem). */
const char *http_query(struct http_call *call, const char *key);
const char *http_header(struct http_call *call, const char *name);
/* Path and query anew, percent-encoded, for a Location. Caller frees; NULL on no memory. */
char *http_call_target(struct http_call *call);
/* The same with `key` set to `value`, whether it was there or not. */
char *http_call_target_with(struct http_call *call, const char *key, const char *value);

/* Adds a response header to whatever reply follows, a deferred one included. */
void http_reply_header(struct http_call *call, const char *name, const char *value);
/* Steals `body`. NULL (no memory) is answered 500. The first reply of a call counts. */
void http_reply_json(struct http_call *call, unsigned status, json_t *body);
void http_reply_text(struct http_call *call, unsigned status, const char *content_type,
		     const char *text, size_t len);
/* {"error": <status phrase>, "message": ...}: the message says what to do. */
void http_reply_error(struct http_call *call, unsigned status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * Takes the call out of its handler: the connection waits, without a time limit, and *ret_deferred,
 * which the caller owns, is answered once, from any thread, by http_resume_*, which frees it. A
 * client that has gone by then is no error, nor is a server that was freed. -ESHUTDOWN: the server
 * is being freed; reply with an error or not at all.
 */
struct http_deferred;
int http_defer(struct http_call *call, struct http_deferred **ret_deferred);
/* Adds a response header, as http_reply_header() does; by the owner, before http_resume_*. */
void http_resume_header(struct http_deferred *deferred, const char *name, const char *value);
/* Steals `body`. */
void http_resume_json(struct http_deferred *deferred, unsigned status, json_t *body);
void http_resume_error(struct http_deferred *deferred, unsigned status, const char *message);

/*
 * Parses the body as a JSON object. On failure answers 400 (with the place) and returns NULL. New
 * reference.
 */
json_t *http_body_object(struct http_call *call);

/* Counters for /metrics. `connections` are those open now. */
struct http_server_stats {
	unsigned long requests, errors_4xx, errors_5xx, connections;
	size_t body_bytes;       /* held now, of requests that come or are worked on */
	unsigned long evicted;   /* connections closed because there were too many */
	unsigned long timed_out; /* because they took too long */
};
void http_server_get_stats(const struct http_server *server, struct http_server_stats *ret_stats);

#endif
