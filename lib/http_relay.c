/* SPDX-License-Identifier: Apache-2.0 */
/* Handlers in the loop, for requests that threads read. */
#include <errno.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "http_server_private.h"

bool http_relay_push(struct http_request *request)
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
		http_request_fail(request, 503, "the server is being stopped");
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
	if (http_request_handle(request))
		MHD_resume_connection(request->connection);
}

void http_relay_close(struct http_server *server)
{
	struct http_request *request;

	pthread_mutex_lock(&server->relay.lock);
	server->relay.closed = true;
	pthread_mutex_unlock(&server->relay.lock);
	while ((request = relay_pop(server))) {
		http_request_fail(request, 503, "the server is being stopped");
		MHD_resume_connection(request->connection);
	}
}

int http_relay_start(struct http_server *server, struct loop *loop)
{
	server->relay.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (server->relay.fd < 0)
		return -errno;
	return loop_add_fd(loop, server->relay.fd, EPOLLIN, on_relayed, server,
			   &server->relay.source);
}
