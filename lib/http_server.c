/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <gnutls/abstract.h>
#include <limits.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/http_client.h"
#include "ebb/http_server.h"
#include "ebb/json_text.h"
#include "ebb/log.h"
#include "ebb/units.h"
#include "ebb/util.h"
#include "http_connections.h"
#include "http_path.h"
#include "http_tls.h"

/* 200.1 as 200.1, not as 200.09999999999999. */
#define JSON_FLAGS JSON_REAL_PRECISION(15)

/*
 * libmicrohttpd takes a reply before the body has been read only at the price of the connection,
 * and closing it with unread data resets it: the client may lose the reply. So the body of a
 * refused request is read and dropped, piece by piece, up to this size; it costs no memory.
 */
#define DRAIN_MAX ((size_t)64 << 20)

/* Beyond those that may be there: they have been shut down and are about to go. */
#define CONNECTIONS_LEAVING 32
/* Of a connection: what libmicrohttpd reads into, and with it the limit of all headers. */
#define CONNECTION_MEMORY ((size_t)32 << 10)
#define SWEEP_NS          EBB_NS_PER_SEC

struct header {
	char *name, *value;
};

/* Of a connection, as long as it is there. */
struct link {
	struct http_connection *place; /* NULL: it has none, and is about to end */
	struct identity_server *tls;   /* what it was made with */
};

struct http_request {
	struct http_server *server;
	struct MHD_Connection *connection;
	struct link *link;
	const char *method_name, *raw_path; /* libmicrohttpd's */
	struct http_request *next;          /* in the relay */
	const struct http_route *route;
	struct http_path path;
	const char *captures[HTTP_MAX_CAPTURES];
	struct header *args, *headers;
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
struct gate {
	pthread_mutex_t lock;
	unsigned refs;
	bool closed;
	struct http_deferred *waiting;
};

struct http_deferred {
	struct gate *gate;
	struct http_request *request; /* NULL once the server has gone */
	struct header *headers;
	size_t n_headers;
	struct http_deferred *prev, *next;
};

struct http_server {
	struct MHD_Daemon *daemon;
	struct gate *gate;
	char *address;
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

	/* To remove only our own socket file. */
	char *unix_path;
	dev_t unix_dev;
	ino_t unix_ino;

	atomic_ulong requests, errors_4xx, errors_5xx, connections;
};

/* --- Replies ---------------------------------------------------------------------------------- */

static void headers_free(struct header *headers, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(headers[i].name);
		free(headers[i].value);
	}
	free(headers);
}

/* Takes the strings over, also on failure. */
static int headers_add(struct header **headers, size_t *n, char *name, char *value)
{
	struct header *grown = reallocarray(*headers, *n + 1, sizeof(**headers));

	if (grown)
		*headers = grown;
	if (!grown || !name || !value) {
		free(name);
		free(value);
		return -ENOMEM;
	}
	grown[(*n)++] = (struct header){name, value};
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

/* Steals `body`. */
static struct MHD_Response *make_json_response(json_t *body)
{
	size_t len = 0;
	char *text = json_text(body, JSON_FLAGS, &len);

	json_decref(body);
	return make_response(text, len, "application/json");
}

static struct MHD_Response *make_error_response(unsigned status, const char *message)
{
	const char *phrase = MHD_get_reason_phrase_for(status);
	char escaped[2048];

	/* What a client sent may be part of it. */
	log_escape(message, escaped, sizeof(escaped));
	return make_json_response(
		json_pack("{s:s, s:s}", "error", phrase ? phrase : "Error", "message", escaped));
}

/* Takes `response` over; NULL: no memory, answered 500 without a body. */
static void set_reply(struct http_request *request, unsigned status, struct MHD_Response *response)
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

static void reply_errorf(struct http_request *request, unsigned status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void reply_errorf(struct http_request *request, unsigned status, const char *format, ...)
{
	char message[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	set_reply(request, status, make_error_response(status, message));
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

	if (may_reply(call) &&
	    headers_add(&request->headers, &request->n_headers, strdup(name), strdup(value)) < 0)
		log_error("no memory for response header %s", name);
}

void http_reply_json(struct http_call *call, unsigned status, json_t *body)
{
	if (may_reply(call))
		set_reply(call->request, status, make_json_response(body));
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
	set_reply(call->request, status, make_response(copy, len, content_type));
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
	set_reply(call->request, status, make_error_response(status, message));
}

/* --- Deferred replies ------------------------------------------------------------------------- */

static void gate_unref(struct gate *gate)
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
	struct gate *gate = request->server->gate;
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
		headers_add(&request->headers, &request->n_headers,
			    TAKE_PTR(deferred->headers[i].name),
			    TAKE_PTR(deferred->headers[i].value));
	set_reply(request, status, response);
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

static void resume(struct http_deferred *deferred, unsigned status, struct MHD_Response *response)
{
	struct gate *gate = deferred->gate;

	pthread_mutex_lock(&gate->lock);
	bool waits = deferred->request;
	if (waits)
		wake_request(deferred, status, response);
	pthread_mutex_unlock(&gate->lock);
	if (!waits && response)
		MHD_destroy_response(response);
	headers_free(deferred->headers, deferred->n_headers);
	free(deferred);
	gate_unref(gate);
}

void http_resume_header(struct http_deferred *deferred, const char *name, const char *value)
{
	if (headers_add(&deferred->headers, &deferred->n_headers, strdup(name), strdup(value)) < 0)
		log_error("no memory for response header %s", name);
}

void http_resume_json(struct http_deferred *deferred, unsigned status, json_t *body)
{
	resume(deferred, status, make_json_response(body));
}

void http_resume_error(struct http_deferred *deferred, unsigned status, const char *message)
{
	resume(deferred, status, make_error_response(status, message));
}

/* --- Requests --------------------------------------------------------------------------------- */

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
		const struct header *arg = &request->args[i];

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
		reply_errorf(request, 400,
			     "the query has a broken percent-encoding, a NUL or broken UTF-8");
		return MHD_NO;
	}
	if (headers_add(&request->args, &request->n_args, name, text) < 0) {
		set_reply(request, 500, NULL);
		return MHD_NO;
	}
	return MHD_YES;
}

/* Everything that can be said before the body: leaves a route or a reply in the request. */
static void examine(struct http_request *request, const char *method_name, const char *raw_path,
		    size_t content_length)
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
		headers_add(&request->headers, &request->n_headers,
			    strdup(MHD_HTTP_HEADER_WWW_AUTHENTICATE), strdup("Bearer"));
		reply_errorf(request, 401,
			     "this needs the token of this server: send it in the header "
			     "\"Authorization: Bearer TOKEN\"");
	} else if (!guarded && changes &&
		   MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND,
					       MHD_HTTP_HEADER_ORIGIN)) {
		reply_errorf(request, 403,
			     "web pages may change something here only when the server has a "
			     "token: start it with --token-file");
	} else if (parsed == -ENOMEM) {
		set_reply(request, 500, NULL);
	} else if (parsed < 0) {
		reply_errorf(request, 400,
			     "the path has a broken percent-encoding, a NUL, an encoded '/' or "
			     "broken UTF-8");
	} else if (!request->route) {
		char allow[64];
		allowed_methods(request, allow, sizeof(allow));
		if (*allow) {
			headers_add(&request->headers, &request->n_headers,
				    strdup(MHD_HTTP_HEADER_ALLOW), strdup(allow));
			reply_errorf(request, 405, "%s is not possible here, only %s", method_name,
				     allow);
		} else {
			reply_errorf(request, 404, "there is nothing at %s", raw_path);
		}
	} else if (content_length > server->body_max) {
		reply_errorf(request, 413, "the body may have at most %zu bytes", server->body_max);
	} else {
		MHD_get_connection_values_n(request->connection, MHD_GET_ARGUMENT_KIND, add_arg,
					    request);
	}
}

/* MHD_NO closes the connection. */
static enum MHD_Result queue_reply(struct http_request *request)
{
	struct http_server *server = request->server;

	for (size_t i = 0; i < request->n_headers; i++)
		MHD_add_response_header(request->response, request->headers[i].name,
					request->headers[i].value);
	server->errors_4xx += request->status >= 400 && request->status < 500;
	server->errors_5xx += request->status >= 500;
	return MHD_queue_response(request->connection, request->status, request->response);
}

static int add_body(struct http_request *request, const char *data, size_t len)
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

/* True: it has its reply, now. */
static bool call_handler(struct http_request *request)
{
	struct gate *gate = request->server->gate;
	bool answered;
	struct http_call call = {
		.request = request,
		.method = (enum http_method)method_from_name(request->method_name),
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
		reply_errorf(request, 500, "the server has no answer to this; please report it");
	}
	answered = request->response != NULL;
	pthread_mutex_unlock(&gate->lock);
	return answered;
}

/* --- Relay: handlers in the loop, for requests that threads read -------------------------------
 */

/* In the thread that has read it; false: the server is being stopped, and it is answered. */
static bool relay_push(struct http_request *request)
{
	struct http_server *server = request->server;
	bool open;

	pthread_mutex_lock(&server->relay.lock);
	open = !server->relay.closed;
	if (open) {
		MHD_suspend_connection(request->connection);
		*(server->relay.last ? &server->relay.last->next : &server->relay.first) = request;
		server->relay.last = request;
	}
	pthread_mutex_unlock(&server->relay.lock);
	if (open)
		eventfd_write(server->relay.fd, 1);
	else
		reply_errorf(request, 503, "the server is being stopped");
	return open;
}

static struct http_request *relay_pop(struct http_server *server)
{
	struct http_request *request;

	pthread_mutex_lock(&server->relay.lock);
	request = server->relay.first;
	if (request) {
		server->relay.first = request->next;
		if (!request->next)
			server->relay.last = NULL;
		request->next = NULL;
	}
	pthread_mutex_unlock(&server->relay.lock);
	return request;
}

static void on_relayed(void *userdata, int fd, uint32_t events)
{
	struct http_server *server = userdata;
	/* One at a time: what else the loop has to do comes in between. */
	struct http_request *request = relay_pop(server);

	if (!request) {
		eventfd_t count;

		/* Again afterwards: one may have come before the counter was cleared. */
		eventfd_read(fd, &count);
		request = relay_pop(server);
		if (!request)
			return;
		eventfd_write(fd, 1);
	}
	if (call_handler(request))
		MHD_resume_connection(request->connection);
}

/* What nobody has looked at. */
static void relay_close(struct http_server *server)
{
	struct http_request *request;

	pthread_mutex_lock(&server->relay.lock);
	server->relay.closed = true;
	pthread_mutex_unlock(&server->relay.lock);
	while ((request = relay_pop(server))) {
		reply_errorf(request, 503, "the server is being stopped");
		MHD_resume_connection(request->connection);
	}
}

static void enter(const struct http_request *request, enum http_phase phase)
{
	if (request->link)
		http_connections_enter(request->server->places, request->link->place, phase);
}

/* Called with the headers, then with each piece of the body, then with the end of it; and again
 * with the end after a deferred reply came. */
static enum MHD_Result on_access(void *cls, struct MHD_Connection *connection, const char *url,
				 const char *method, const char *version, const char *upload_data,
				 size_t *upload_data_size, void **con_cls)
{
	struct http_server *server = cls;
	struct http_request *request = *con_cls;

	if (!request) {
		const char *length_text = MHD_lookup_connection_value(
			connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
		uint64_t length = 0;

		request = calloc(1, sizeof(*request));
		if (!request)
			return MHD_NO;
		*con_cls = request;
		request->server = server;
		request->connection = connection;
		request->method_name = method;
		request->raw_path = url;
		request->link =
			MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)
				->socket_context;
		enter(request, HTTP_PHASE_BODY);
		server->requests++;
		if (length_text && parse_u64(length_text, &length) < 0)
			length = UINT64_MAX;
		examine(request, method, url, length);
		if (request->response && length > DRAIN_MAX)
			return queue_reply(request);
		return MHD_YES;
	}

	if (*upload_data_size) {
		size_t len = *upload_data_size;

		*upload_data_size = 0;
		if (!request->response && request->body_len + len > server->body_max) {
			/* Chunked: no Content-Length told before. */
			reply_errorf(request, 413, "the body may have at most %zu bytes",
				     server->body_max);
		} else if (!request->response) {
			int r = add_body(request, upload_data, len);

			if (r == -ENOBUFS)
				reply_errorf(
					request, 503,
					"the server takes in too much at once; try again later");
			else if (r < 0)
				set_reply(request, 500, NULL);
		}
		if (request->response) {
			request->drained += len;
			return request->drained > DRAIN_MAX ? MHD_NO : MHD_YES;
		}
		return MHD_YES;
	}

	if (!request->response) {
		bool waits;

		enter(request, HTTP_PHASE_WORK);
		if (server->relay.fd >= 0) {
			waits = relay_push(request);
		} else {
			call_handler(request);
			waits = request->deferred;
		}
		/* Suspended: nothing of the request may be looked at until it comes back here,
		 * with its reply. */
		if (waits)
			return MHD_YES;
	}
	enter(request, HTTP_PHASE_REPLY);
	return queue_reply(request);
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **con_cls,
			 enum MHD_RequestTerminationCode code)
{
	struct http_request *request = *con_cls;

	*con_cls = NULL;
	if (!request)
		return;
	enter(request, HTTP_PHASE_IDLE);
	atomic_fetch_sub(&request->server->bodies, request->body_room);
	if (request->response)
		MHD_destroy_response(request->response);
	headers_free(request->args, request->n_args);
	headers_free(request->headers, request->n_headers);
	http_path_clear(&request->path);
	free(request->body);
	free(request);
}

static void on_connection(void *cls, struct MHD_Connection *connection, void **socket_context,
			  enum MHD_ConnectionNotificationCode code)
{
	struct http_server *server = cls;
	struct link *link = *socket_context;
	const union MHD_ConnectionInfo *info;
	const struct sockaddr *address;
	int fd;

	if (code != MHD_CONNECTION_NOTIFY_STARTED) {
		server->connections--;
		if (link) {
			http_connections_remove(server->places, link->place);
			identity_server_unref(link->tls);
			free(link);
		}
		return;
	}
	fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
	info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	address = info ? info->client_addr : NULL;
	link = calloc(1, sizeof(*link));
	*socket_context = link;
	info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
	if (!link || (info && http_tls_begin(info->tls_session, server->identity, &link->tls) < 0))
		shutdown(fd, SHUT_RDWR);
	if (link)
		link->place = http_connections_add(server->places, fd, address);
	server->connections++;
}

/* Paths and queries are decoded here, where errors can be answered. */
static size_t leave_encoded(void *cls, struct MHD_Connection *connection, char *text)
{
	return strlen(text);
}

static void on_log(void *cls, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));
static void on_log(void *cls, const char *format, va_list args)
{
	char text[512];
	size_t n;

	vsnprintf(text, sizeof(text), format, args);
	n = strlen(text);
	if (n && text[n - 1] == '\n')
		text[n - 1] = '\0';
	log_debug("libmicrohttpd: %s", text);
}

/* --- Listening -------------------------------------------------------------------------------- */

/* 0 when `path` is free, or was a socket that nobody listens on. */
static int clear_stale_socket(const struct sockaddr_un *address)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (lstat(address->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	/* EAGAIN: someone listens, with a full queue. */
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN)
		return -EADDRINUSE;
	if (errno != ECONNREFUSED)
		return -errno;
	return unlink(address->sun_path) < 0 && errno != ENOENT ? -errno : 0;
}

static int listen_unix(struct http_server *server, const char *path, int *ret_fd)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat st;
	int r;

	if (fd < 0)
		return -errno;
	memcpy(address.sun_path, path, strlen(path));
	r = clear_stale_socket(&address);
	if (r < 0)
		return r;
	/* The file is made with the mode of the socket, less the umask: at no moment is it open to
	 * more than it shall be. */
	if (fchmod(fd, 0660) < 0 ||
	    bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	if (chmod(path, 0660) < 0 || lstat(path, &st) < 0 || listen(fd, SOMAXCONN) < 0) {
		r = -errno;
		unlink(path);
		return r;
	}
	server->unix_path = strdup(path);
	if (!server->unix_path || asprintf(&server->address, "unix:%s", path) < 0) {
		server->address = NULL;
		unlink(path);
		return -ENOMEM;
	}
	server->unix_dev = st.st_dev;
	server->unix_ino = st.st_ino;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int listen_one(const struct addrinfo *info, int *ret_fd)
{
	_cleanup_close_ int fd =
		socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
	int on = 1;

	if (fd < 0)
		return -errno;
	/* Accepted sockets inherit TCP_NODELAY: a reply in two writes would wait 40 ms for the
	 * client's delayed ACK. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
	    bind(fd, info->ai_addr, info->ai_addrlen) < 0 || listen(fd, SOMAXCONN) < 0)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int listen_tcp(struct http_server *server, const struct address *address, int *ret_fd)
{
	struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
	};
	struct addrinfo *infos, *info;
	struct sockaddr_storage bound;
	socklen_t bound_len = sizeof(bound);
	char port[8], host[NI_MAXHOST], service[NI_MAXSERV];
	int fd = -1, r;

	snprintf(port, sizeof(port), "%u", address->port);
	/* One IPv6 socket serves IPv4 as well; where there is no IPv6, the next one is taken. */
	if (!*address->host)
		r = getaddrinfo("::", port, &hints, &infos)
			    ? getaddrinfo(NULL, port, &hints, &infos)
			    : 0;
	else
		r = getaddrinfo(address->host, port, &hints, &infos);
	if (r == EAI_MEMORY)
		return -ENOMEM;
	if (r)
		return -EADDRNOTAVAIL;
	r = -EADDRNOTAVAIL;
	for (info = infos; info; info = info->ai_next) {
		r = listen_one(info, &fd);
		if (r == 0)
			break;
	}
	freeaddrinfo(infos);
	if (r == -EAFNOSUPPORT && !*address->host) {
		struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(address->port)};
		struct addrinfo v4 = {
			.ai_family = AF_INET,
			.ai_addr = (struct sockaddr *)&any,
			.ai_addrlen = sizeof(any),
		};
		r = listen_one(&v4, &fd);
	}
	if (r < 0)
		return r;

	if (getsockname(fd, (struct sockaddr *)&bound, &bound_len) < 0 ||
	    getnameinfo((struct sockaddr *)&bound, bound_len, host, sizeof(host), service,
			sizeof(service), NI_NUMERICHOST | NI_NUMERICSERV)) {
		close(fd);
		return -EADDRNOTAVAIL;
	}
	if (asprintf(&server->address, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, service) <
	    0) {
		server->address = NULL;
		close(fd);
		return -ENOMEM;
	}
	*ret_fd = fd;
	return 0;
}

static int start_listening(struct http_server *server, const char *listen_on, int *ret_fd)
{
	struct address address;
	int r = address_parse(listen_on, &address);

	if (r < 0) {
		log_error("cannot listen on %s: write ADDR:PORT, [V6]:PORT or unix:PATH",
			  listen_on);
		return r;
	}
	r = *address.unix_path ? listen_unix(server, address.unix_path, ret_fd)
			       : listen_tcp(server, &address, ret_fd);
	if (r == -EADDRINUSE)
		log_error("cannot listen on %s: another program does; stop it or choose another "
			  "address with --listen",
			  listen_on);
	else if (r == -EEXIST)
		log_error("cannot listen on %s: there is a file that is no socket; remove it or "
			  "choose another path",
			  listen_on);
	else if (r == -EADDRNOTAVAIL)
		log_error("cannot listen on %s: no such address on this machine", listen_on);
	else if (r < 0)
		log_error_errno(r, "cannot listen on %s", listen_on);
	return r;
}

/* --- Running ---------------------------------------------------------------------------------- */

/* Lets libmicrohttpd work, and come back when its next connection times out. */
static void run(struct http_server *server)
{
	unsigned MHD_LONG_LONG wait_ms;

	/* A handler that turns the loop. */
	if (server->running)
		return;
	server->running = true;
	/* At the limit of connections it stops accepting, and only starts to again at the beginning
	 * of the next call. */
	unsigned long before;
	unsigned rounds = 0;
	do {
		before = server->connections;
		MHD_run(server->daemon);
	} while (server->connections < before && ++rounds < 4);
	server->running = false;
	/* A timer that fires too early costs one more call of this; setting it for every request
	 * would cost a system call each. */
	if (server->connections < before)
		wait_ms = 0;
	if (server->connections < before || MHD_get_timeout(server->daemon, &wait_ms) == MHD_YES) {
		uint64_t at = now_ns() + wait_ms * EBB_NS_PER_MS;
		if (at < server->wake_ns &&
		    loop_set_timer(server->timer, wait_ms * EBB_NS_PER_MS, 0) == 0)
			server->wake_ns = at;
	}
}

static void on_ready(void *userdata, int fd, uint32_t events)
{
	run(userdata);
}

static void on_wake(void *userdata, int fd, uint32_t events)
{
	eventfd_t count;

	eventfd_read(fd, &count);
	run(userdata);
}

static void on_timer(void *userdata)
{
	struct http_server *server = userdata;

	server->wake_ns = UINT64_MAX;
	run(server);
}

static void on_sweep(void *userdata)
{
	struct http_server *server = userdata;

	http_connections_sweep(server->places, now_ns());
}

/* Never asked: each connection is given its certificates when it begins. */
static int no_certificate(gnutls_session_t session, const gnutls_datum_t *names, int n_names,
			  const gnutls_pk_algorithm_t *algorithms, int n_algorithms,
			  gnutls_pcert_st **ret_cert, unsigned *ret_n, gnutls_privkey_t *ret_key)
{
	return -1;
}

static int start_relay(struct http_server *server, struct loop *loop)
{
	server->relay.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (server->relay.fd < 0)
		return -errno;
	return loop_add_fd(loop, server->relay.fd, EPOLLIN, on_relayed, server,
			   &server->relay.source);
}

static int start(struct http_server *server, const struct http_server_options *options, int fd)
{
	unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
	unsigned connections = options->connections_max ? options->connections_max : 512;
	unsigned timeout_s = options->timeout_s ? options->timeout_s : 60;
	struct MHD_OptionItem more[] = {
		{MHD_OPTION_END, 0, NULL},
		{MHD_OPTION_END, 0, NULL},
		{MHD_OPTION_END, 0, NULL},
		{MHD_OPTION_END, 0, NULL},
	};
	unsigned n_more = 0;
	const struct http_connections_options places = {
		.max = connections,
		.per_address_max = options->per_address_max ? options->per_address_max
							    : connections - connections / 8,
		.limit_s =
			{
				[HTTP_PHASE_HEAD] = options->request_s,
				[HTTP_PHASE_BODY] = options->request_s,
				[HTTP_PHASE_REPLY] = options->request_s ? timeout_s : 0,
				[HTTP_PHASE_IDLE] = options->request_s ? timeout_s : 0,
			},
	};
	int r = http_connections_new(&places, &server->places);

	if (options->threads)
		flags |= MHD_USE_INTERNAL_POLLING_THREAD;
	if (options->threads > 1)
		more[n_more++] = (struct MHD_OptionItem){MHD_OPTION_THREAD_POOL_SIZE,
							 (intptr_t)options->threads, NULL};
	if (identity_has_tls(server->identity)) {
		flags |= MHD_USE_TLS;
		more[n_more++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_CERT_CALLBACK, 0,
							 (void *)no_certificate};
		more[n_more++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_PRIORITIES, 0,
							 (void *)HTTP_TLS_PRIORITIES};
	}
	if (r >= 0 && options->relay)
		r = start_relay(server, options->loop);
	if (r >= 0 && options->request_s && options->loop)
		r = loop_add_timer(options->loop, SWEEP_NS, SWEEP_NS, on_sweep, server,
				   &server->sweep);
	if (r < 0) {
		close(fd);
		return r;
	}
	server->daemon = MHD_start_daemon(
		flags, 0, NULL, NULL, on_access, server, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
		MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
		connections + CONNECTIONS_LEAVING + options->threads, MHD_OPTION_CONNECTION_TIMEOUT,
		timeout_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		options->memory ? options->memory : CONNECTION_MEMORY, MHD_OPTION_NOTIFY_COMPLETED,
		on_completed, NULL, MHD_OPTION_NOTIFY_CONNECTION, on_connection, server,
		MHD_OPTION_UNESCAPE_CALLBACK, leave_encoded, NULL, MHD_OPTION_STRICT_FOR_CLIENT, 1,
		MHD_OPTION_ARRAY, more, MHD_OPTION_END);
	if (!server->daemon) {
		close(fd);
		log_error("cannot start the HTTP server on %s", server->address);
		return -EIO;
	}
	if (options->threads)
		return 0;

	const union MHD_DaemonInfo *info =
		MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (!info)
		return -EIO;
	server->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (server->wake_fd < 0)
		return -errno;
	r = loop_add_timer(options->loop, LOOP_TIMER_OFF, 0, on_timer, server, &server->timer);
	if (r == 0)
		r = loop_add_fd(options->loop, server->wake_fd, EPOLLIN, on_wake, server,
				&server->wake);
	if (r == 0)
		r = loop_add_fd(options->loop, info->epoll_fd, EPOLLIN, on_ready, server,
				&server->source);
	return r;
}

int http_server_new(const struct http_server_options *options, struct http_server **ret_server)
{
	struct http_server *server = calloc(1, sizeof(*server));
	int fd, r;

	if (!server)
		return -ENOMEM;
	server->wake_ns = UINT64_MAX;
	server->wake_fd = -1;
	server->relay.fd = -1;
	pthread_mutex_init(&server->relay.lock, NULL);
	server->token_on_reads = options->token_on_reads;
	server->body_max = options->body_max ? options->body_max : EBB_MIB;
	server->bodies_max = options->bodies_max ? options->bodies_max : 64 * server->body_max;
	server->routes = options->routes;
	server->n_routes = options->n_routes;
	server->admit = options->admit;
	server->userdata = options->userdata;
	server->gate = calloc(1, sizeof(*server->gate));
	if (server->gate) {
		pthread_mutex_init(&server->gate->lock, NULL);
		server->gate->refs = 1;
	}
	server->identity = options->identity;

	if (!server->gate)
		r = -ENOMEM;
	else if (options->token && !*options->token)
		r = -EINVAL;
	else if (options->token && identity_new_token(options->token, &server->own_identity) < 0)
		r = -ENOMEM;
	else
		r = start_listening(server, options->listen, &fd);
	if (server->own_identity)
		server->identity = server->own_identity;
	if (r == 0)
		r = start(server, options, fd);
	if (r < 0) {
		http_server_free(server);
		return r;
	}
	*ret_server = server;
	return 0;
}

void http_server_free(struct http_server *server)
{
	struct stat st;

	if (!server)
		return;
	if (server->daemon)
		relay_close(server);
	if (server->gate) {
		pthread_mutex_lock(&server->gate->lock);
		server->gate->closed = true;
		while (server->gate->waiting)
			wake_request(server->gate->waiting, 503,
				     make_error_response(503, "the server is being stopped"));
		pthread_mutex_unlock(&server->gate->lock);
	}
	loop_remove(server->source);
	loop_remove(server->timer);
	loop_remove(server->wake);
	loop_remove(server->sweep);
	loop_remove(server->relay.source);
	/* New clients shall be refused or find the next server, not wait for this one. */
	if (server->unix_path && lstat(server->unix_path, &st) == 0 &&
	    st.st_dev == server->unix_dev && st.st_ino == server->unix_ino)
		unlink(server->unix_path);
	if (server->daemon)
		MHD_stop_daemon(server->daemon);
	if (server->wake_fd >= 0)
		close(server->wake_fd);
	if (server->relay.fd >= 0)
		close(server->relay.fd);
	pthread_mutex_destroy(&server->relay.lock);
	http_connections_free(server->places);
	if (server->gate)
		gate_unref(server->gate);
	identity_free(server->own_identity);
	free(server->address);
	free(server->unix_path);
	free(server);
}

const char *http_server_address(const struct http_server *server)
{
	return server->address;
}

void http_server_get_stats(const struct http_server *server, struct http_server_stats *ret_stats)
{
	struct http_connections_stats places;

	http_connections_get_stats(server->places, &places);
	*ret_stats = (struct http_server_stats){
		.body_bytes = server->bodies,
		.evicted = places.evicted + places.refused,
		.timed_out = places.timed_out,
		.requests = server->requests,
		.errors_4xx = server->errors_4xx,
		.errors_5xx = server->errors_5xx,
		.connections = server->connections,
	};
}
