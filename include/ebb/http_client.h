/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP client over libcurl: many requests at once on keep-alive connections inside a loop, or one
 * at a time and blocking (command line, tests). Addresses are "http://HOST:PORT" or "unix:PATH".
 */
#ifndef EBB_HTTP_CLIENT_H
#define EBB_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

#include "ebb/identity.h"
#include "ebb/loop.h"

struct http_client;

struct http_response {
	long status; /* 0: no answer, see `error` */
	const char *body;
	size_t body_len;
	const char *error; /* what went wrong, for people; "" when answered */
	double seconds;    /* from start to end of the request */
	void *easy;        /* for http_response_header() */
};

/* A header of the response, case ignored; NULL when absent. Lives as long as the response. */
const char *http_response_header(const struct http_response *response, const char *name);

/* Runs in the loop's thread. `response` lives until it returns. */
typedef void (*http_done_fn)(void *userdata, const struct http_response *response);

struct http_request_options {
	const char *method; /* "GET", ... */
	/* "http://127.0.0.1:8000" or "unix:/run/ebb/agent.sock". A user and a password in it are
	 * used, and are in no error text. */
	const char *address;
	const char *path; /* "/container/c0", already encoded (http_escape) */
	const char *body; /* copied; NULL: none. Sent as application/json */
	size_t body_len;
	const char *token; /* NULL: none */
	/* Instead: the token that it shows, and its certificate and CA (before `ca_file`), as they
	 * are now. NULL: none. Borrowed until the request is over. */
	struct identity *identity;
	bool without_token;  /* not for the eyes of this server */
	unsigned timeout_ms; /* 0: 5,000; HTTP_NO_TIMEOUT */
	size_t response_max; /* bytes kept; 0: 64 MiB. More is an error */

	/* Further header lines, "Name: value", NULL-terminated; copied. NULL: none. */
	const char *const *headers;
	const char *user, *password; /* basic authentication; NULL: none */
	const char *ca_file;         /* who vouches for an https server; NULL: the system's */
	unsigned connect_timeout_ms; /* 0: as timeout_ms */
	unsigned silence_s;          /* no byte for so long is a failure; 0: not watched */
	/*
	 * Called with each piece of a 2xx answer's body as it arrives, instead of keeping it: for
	 * answers without an end. A negative result ends the request with status 0. Gets
	 * `data_userdata`; runs in the thread that makes the request.
	 */
	int (*on_data)(void *userdata, const char *data, size_t len);
	void *data_userdata;
	/* Asked at least once a second; true ends the request with status 0. Gets
	 * `stopped_userdata`. */
	bool (*stopped)(void *userdata);
	void *stopped_userdata;
};
#define HTTP_NO_TIMEOUT (~0u)

int http_client_new(struct loop *loop, struct http_client **ret_client);
/* Requests under way are dropped without their callback. Also from a callback; before loop_free().
 */
void http_client_free(struct http_client *client);
/* 0 and `done` is called once, later; or a negative errno and it is never called. */
int http_client_send(struct http_client *client, const struct http_request_options *options,
		     http_done_fn done, void *userdata);

/* Blocking. Free with http_result_clear(). Negative errno only when nothing could be tried. */
struct http_result {
	long status;
	bool cut;   /* connected, then closed or reset before the answer was whole */
	char *body; /* NUL-terminated, owned */
	size_t body_len;
	char error[256];
	double seconds;
};
int http_call_blocking(const struct http_request_options *options, struct http_result *ret_result);
void http_result_clear(struct http_result *result);

/*
 * Blocking as well, on connections that are kept between the calls: for a thread that talks to one
 * server again and again. Not for two threads at once.
 */
struct http_session;
int http_session_new(struct http_session **ret_session);
void http_session_free(struct http_session *session);
int http_session_call(struct http_session *session, const struct http_request_options *options,
		      struct http_result *ret_result);
/* Of the last answer, case ignored; NULL when absent. Lives until the next call. */
const char *http_session_header(const struct http_session *session, const char *name);

/* Percent-encodes one path segment. Caller frees; NULL on no memory. */
char *http_escape(const char *segment);

#endif
