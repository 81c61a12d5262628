/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon and its connections: started, run in the loop or its own threads, and ended. */
#include "ebb/http_server.h"

#include <errno.h>
#include <gnutls/abstract.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ebb/log.h"
#include "ebb/units.h"
#include "ebb/util.h"
#include "http_connections.h"
#include "http_server_private.h"
#include "http_tls.h"

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

/* Of a connection, as long as it is there. */
struct http_link {
	struct http_connection *place; /* NULL: it has none, and is about to end */
	struct identity_server *tls;   /* what it was made with */
};

/* --- What libmicrohttpd asks and tells -------------------------------------------------------- */

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
		http_request_examine(request, method, url, length);
		if (request->response && length > DRAIN_MAX)
			return http_request_send(request);
		return MHD_YES;
	}

	if (*upload_data_size) {
		size_t len = *upload_data_size;

		*upload_data_size = 0;
		if (!request->response && request->body_len + len > server->body_max) {
			/* Chunked: no Content-Length told before. */
			http_request_fail(request, 413, "the body may have at most %zu bytes",
					  server->body_max);
		} else if (!request->response) {
			int r = http_request_add_body(request, upload_data, len);

			if (r == -ENOBUFS)
				http_request_fail(
					request, 503,
					"the server takes in too much at once; try again later");
			else if (r < 0)
				http_request_answer(request, 500, NULL);
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
			waits = http_relay_push(request);
		} else {
			http_request_handle(request);
			waits = request->deferred;
		}
		/* Suspended: nothing of the request may be looked at until it comes back here,
		 * with its reply. */
		if (waits)
			return MHD_YES;
	}
	enter(request, HTTP_PHASE_REPLY);
	return http_request_send(request);
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
	http_headers_free(request->args, request->n_args);
	http_headers_free(request->headers, request->n_headers);
	http_path_clear(&request->path);
	free(request->body);
	free(request);
}

static void on_connection(void *cls, struct MHD_Connection *connection, void **socket_context,
			  enum MHD_ConnectionNotificationCode code)
{
	struct http_server *server = cls;
	struct http_link *link = *socket_context;
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
		r = http_relay_start(server, options->loop);
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
		log_error("cannot start the HTTP server on %s", server->listener.address);
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
	server->gate = http_gate_new();
	server->identity = options->identity;

	if (!server->gate)
		r = -ENOMEM;
	else if (options->token && !*options->token)
		r = -EINVAL;
	else if (options->token && identity_new_token(options->token, &server->own_identity) < 0)
		r = -ENOMEM;
	else
		r = http_listen(options->listen, &server->listener, &fd);
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
	if (!server)
		return;
	if (server->daemon)
		http_relay_close(server);
	if (server->gate)
		http_gate_close(server->gate);
	loop_remove(server->source);
	loop_remove(server->timer);
	loop_remove(server->wake);
	loop_remove(server->sweep);
	loop_remove(server->relay.source);
	/* New clients shall be refused or find the next server, not wait for this one. */
	http_listener_unlink(&server->listener);
	if (server->daemon)
		MHD_stop_daemon(server->daemon);
	if (server->wake_fd >= 0)
		close(server->wake_fd);
	if (server->relay.fd >= 0)
		close(server->relay.fd);
	pthread_mutex_destroy(&server->relay.lock);
	http_connections_free(server->places);
	if (server->gate)
		http_gate_unref(server->gate);
	identity_free(server->own_identity);
	http_listener_clear(&server->listener);
	free(server);
}

const char *http_server_address(const struct http_server *server)
{
	return server->listener.address;
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
