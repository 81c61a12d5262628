/* SPDX-License-Identifier: Apache-2.0 */
/* Where the server listens: a TCP address, or a socket file of its own. */
#include "http_listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/http_client.h"
#include "ebb/log.h"
#include "ebb/util.h"

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

static int listen_unix(struct http_listener *listener, const char *path, int *ret_fd)
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
	listener->unix_path = strdup(path);
	if (!listener->unix_path || asprintf(&listener->address, "unix:%s", path) < 0) {
		listener->address = NULL;
		unlink(path);
		return -ENOMEM;
	}
	listener->unix_dev = st.st_dev;
	listener->unix_ino = st.st_ino;
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

static int listen_tcp(struct http_listener *listener, const struct address *address, int *ret_fd)
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
	if (asprintf(&listener->address, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, service) <
	    0) {
		listener->address = NULL;
		close(fd);
		return -ENOMEM;
	}
	*ret_fd = fd;
	return 0;
}

int http_listen(const char *listen_on, struct http_listener *listener, int *ret_fd)
{
	struct address address;
	int r = address_parse(listen_on, &address);

	if (r < 0) {
		log_error("cannot listen on %s: write ADDR:PORT, [V6]:PORT or unix:PATH",
			  listen_on);
		return r;
	}
	r = *address.unix_path ? listen_unix(listener, address.unix_path, ret_fd)
			       : listen_tcp(listener, &address, ret_fd);
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

void http_listener_unlink(const struct http_listener *listener)
{
	struct stat st;

	if (listener->unix_path && lstat(listener->unix_path, &st) == 0 &&
	    st.st_dev == listener->unix_dev && st.st_ino == listener->unix_ino)
		unlink(listener->unix_path);
}

void http_listener_clear(struct http_listener *listener)
{
	free(listener->address);
	free(listener->unix_path);
}
