/* SPDX-License-Identifier: Apache-2.0 */
/* The listening socket of a server. */
#ifndef EBB_HTTP_LISTEN_H
#define EBB_HTTP_LISTEN_H

#include <sys/types.h>

/* All zero: nothing listens. */
struct http_listener {
	char *address; /* "127.0.0.1:8000" or "unix:/run/x" */
	/* To remove only our own socket file. */
	char *unix_path; /* NULL: TCP */
	dev_t unix_dev;
	ino_t unix_ino;
};

/*
 * On "ADDR:PORT", "[V6]:PORT" or "unix:PATH", into an empty listener. The caller closes *ret_fd.
 * Logs what is wrong: -EADDRINUSE, -EACCES, -EINVAL, ... A stale socket file is replaced.
 */
int http_listen(const char *listen_on, struct http_listener *listener, int *ret_fd);
/* Removes the socket file, if it still is the one that was made. */
void http_listener_unlink(const struct http_listener *listener);
void http_listener_clear(struct http_listener *listener);

#endif
