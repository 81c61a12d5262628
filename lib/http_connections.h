/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connections of a server: how many there may be, in all and of one address, and how long each
 * may take for what. Who comes when all places are taken gets that of the connection that has been
 * silent, or half sent, for longest, of an address that has more than its share: a flood takes
 * places from itself first. A request that is being worked on keeps its place. Thread-safe.
 */
#ifndef EBB_HTTP_CONNECTIONS_H
#define EBB_HTTP_CONNECTIONS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum http_phase {
	HTTP_PHASE_HEAD,  /* new: up to the end of the first request's headers, TLS included */
	HTTP_PHASE_BODY,  /* a body comes */
	HTTP_PHASE_WORK,  /* the request is whole, its answer is made */
	HTTP_PHASE_REPLY, /* the answer goes */
	HTTP_PHASE_IDLE,  /* up to the end of the next request's headers */
	HTTP_PHASE_MAX,
};

struct http_connections_options {
	unsigned max;             /* at once */
	unsigned per_address_max; /* of one IPv4 address, or IPv6 network of 64 bits */
	/* Seconds; 0: no limit. */
	unsigned limit_s[HTTP_PHASE_MAX];
};

struct http_connections;
struct http_connection;

int http_connections_new(const struct http_connections_options *options,
			 struct http_connections **ret_connections);
/* None may be left. */
void http_connections_free(struct http_connections *connections);

/*
 * A new one, in HTTP_PHASE_HEAD; `address` NULL: of no network. When there is no place for it, or
 * no memory, it is shut down. NULL: then its end is not to be told.
 */
struct http_connection *http_connections_add(struct http_connections *connections, int fd,
					     const struct sockaddr *address);
/* Before its descriptor is closed. NULL is ignored. */
void http_connections_remove(struct http_connections *connections,
			     struct http_connection *connection);
/* NULL is ignored. */
void http_connections_enter(struct http_connections *connections,
			    struct http_connection *connection, enum http_phase phase);
/* Shuts down those that took too long, by CLOCK_MONOTONIC; once a second. */
void http_connections_sweep(struct http_connections *connections, uint64_t now);

struct http_connections_stats {
	unsigned long evicted;   /* for want of places */
	unsigned long refused;   /* no place could be made */
	unsigned long timed_out; /* took too long */
};
void http_connections_get_stats(struct http_connections *connections,
				struct http_connections_stats *ret_stats);

#endif
