/* SPDX-License-Identifier: Apache-2.0 */
#include "http_connections.h"

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"
#include "ebb/loop.h"
#include "ebb/units.h"
#include "ebb/util.h"

#define N_BUCKETS 1024 /* of addresses: a power of two */

struct peer {
	uint64_t address[2]; /* IPv6 network, or IPv4 */
	unsigned n;          /* connections, those shut down not counted */
	unsigned refs;       /* those included */
	struct peer *next;
};

struct http_connection {
	int fd;
	enum http_phase phase;
	bool ended; /* shut down by us */
	uint64_t since;
	struct peer *peer;
	struct http_connection *prev, *next; /* the longest in its phase first */
};

struct http_connections {
	struct http_connections_options options;
	pthread_mutex_t lock;
	unsigned n, n_peers; /* those shut down not counted */
	struct http_connection *first, *last;
	struct peer *buckets[N_BUCKETS];
	uint64_t seed; /* nobody can choose addresses that share a bucket */
	struct http_connections_stats stats;
};

int http_connections_new(const struct http_connections_options *options,
			 struct http_connections **ret_connections)
{
	struct http_connections *connections = calloc(1, sizeof(*connections));

	if (!connections)
		return -ENOMEM;
	connections->options = *options;
	connections->seed = random_u64() | 1;
	pthread_mutex_init(&connections->lock, NULL);
	*ret_connections = connections;
	return 0;
}

void http_connections_free(struct http_connections *connections)
{
	if (!connections)
		return;
	pthread_mutex_destroy(&connections->lock);
	free(connections);
}

/* --- Addresses -------------------------------------------------------------------------------- */

static void address_key(const struct sockaddr *address, uint64_t *ret_key)
{
	ret_key[0] = ret_key[1] = 0;
	if (address && address->sa_family == AF_INET) {
		ret_key[0] = ((const struct sockaddr_in *)address)->sin_addr.s_addr;
		ret_key[1] = AF_INET;
	} else if (address && address->sa_family == AF_INET6) {
		const struct in6_addr *v6 = &((const struct sockaddr_in6 *)address)->sin6_addr;

		ret_key[1] = IN6_IS_ADDR_V4MAPPED(v6) ? AF_INET : AF_INET6;
		if (IN6_IS_ADDR_V4MAPPED(v6))
			memcpy(ret_key, v6->s6_addr + 12, 4);
		else
			memcpy(ret_key, v6->s6_addr, 8);
	}
}

static struct peer **bucket_of(struct http_connections *connections, const uint64_t *key)
{
	uint64_t mixed = (key[0] ^ connections->seed) * 0x9e3779b97f4a7c15 + key[1];

	mixed = (mixed ^ mixed >> 29) * connections->seed;
	return &connections->buckets[mixed >> 32 & (N_BUCKETS - 1)];
}

static struct peer *find_peer(struct http_connections *connections, const uint64_t *key)
{
	struct peer **bucket = bucket_of(connections, key), *peer = *bucket;

	while (peer && memcmp(peer->address, key, sizeof(peer->address)))
		peer = peer->next;
	if (!peer) {
		peer = calloc(1, sizeof(*peer));
		if (!peer)
			return NULL;
		memcpy(peer->address, key, sizeof(peer->address));
		peer->next = *bucket;
		*bucket = peer;
	}
	return peer;
}

static void drop_peer(struct http_connections *connections, struct peer *peer)
{
	struct peer **at = bucket_of(connections, peer->address);

	while (*at != peer)
		at = &(*at)->next;
	*at = peer->next;
	free(peer);
}

/* --- The list --------------------------------------------------------------------------------- */

static void unlink_one(struct http_connections *connections, struct http_connection *connection)
{
	*(connection->prev ? &connection->prev->next : &connections->first) = connection->next;
	*(connection->next ? &connection->next->prev : &connections->last) = connection->prev;
}

static void append(struct http_connections *connections, struct http_connection *connection)
{
	connection->prev = connections->last;
	connection->next = NULL;
	*(connections->last ? &connections->last->next : &connections->first) = connection;
	connections->last = connection;
}

static void discount(struct http_connections *connections, struct http_connection *connection)
{
	connections->n--;
	if (!--connection->peer->n)
		connections->n_peers--;
}

/* Its owner sees the end of the stream, and closes it. */
static void end(struct http_connections *connections, struct http_connection *connection)
{
	connection->ended = true;
	discount(connections, connection);
	shutdown(connection->fd, SHUT_RDWR);
}

/* Of `peer` (NULL: any): the one that has waited longest. */
static bool make_place(struct http_connections *connections, const struct peer *peer,
		       const struct http_connection *newest)
{
	struct http_connection *oldest = NULL;
	unsigned share = connections->n / MAX(connections->n_peers, 1u);

	for (struct http_connection *c = connections->first; c; c = c->next) {
		if (c->ended || c->phase == HTTP_PHASE_WORK || c == newest ||
		    (peer && c->peer != peer))
			continue;
		if (!oldest)
			oldest = c;
		if (peer || c->peer->n > share) {
			oldest = c;
			break;
		}
	}
	if (!oldest)
		return false;
	end(connections, oldest);
	connections->stats.evicted++;
	return true;
}

struct http_connection *http_connections_add(struct http_connections *connections, int fd,
					     const struct sockaddr *address)
{
	const struct http_connections_options *options = &connections->options;
	struct http_connection *connection = calloc(1, sizeof(*connection));
	bool networked = address && address->sa_family != AF_UNIX, place = true;
	uint64_t key[2];

	address_key(address, key);
	pthread_mutex_lock(&connections->lock);
	if (connection)
		connection->peer = find_peer(connections, key);
	if (!connection || !connection->peer) {
		pthread_mutex_unlock(&connections->lock);
		free(connection);
		shutdown(fd, SHUT_RDWR);
		return NULL;
	}
	connection->fd = fd;
	connection->phase = HTTP_PHASE_HEAD;
	connection->since = now_ns();
	connection->peer->refs++;
	connections->n++;
	if (!connection->peer->n++)
		connections->n_peers++;
	append(connections, connection);
	if (networked && connection->peer->n > options->per_address_max)
		place = make_place(connections, connection->peer, connection);
	if (place && connections->n > options->max)
		place = make_place(connections, NULL, connection);
	if (!place) {
		end(connections, connection);
		connections->stats.refused++;
	}
	pthread_mutex_unlock(&connections->lock);
	return connection;
}

void http_connections_remove(struct http_connections *connections,
			     struct http_connection *connection)
{
	if (!connection)
		return;
	pthread_mutex_lock(&connections->lock);
	unlink_one(connections, connection);
	if (!connection->ended)
		discount(connections, connection);
	if (!--connection->peer->refs)
		drop_peer(connections, connection->peer);
	pthread_mutex_unlock(&connections->lock);
	free(connection);
}

void http_connections_enter(struct http_connections *connections,
			    struct http_connection *connection, enum http_phase phase)
{
	if (!connection)
		return;
	pthread_mutex_lock(&connections->lock);
	connection->phase = phase;
	connection->since = now_ns();
	unlink_one(connections, connection);
	append(connections, connection);
	pthread_mutex_unlock(&connections->lock);
}

void http_connections_sweep(struct http_connections *connections, uint64_t now)
{
	const unsigned *limit_s = connections->options.limit_s;

	pthread_mutex_lock(&connections->lock);
	for (struct http_connection *c = connections->first; c; c = c->next) {
		unsigned limit = limit_s[c->phase];

		if (c->ended || !limit || now < c->since ||
		    now - c->since < limit * (uint64_t)EBB_NS_PER_SEC)
			continue;
		end(connections, c);
		connections->stats.timed_out++;
	}
	pthread_mutex_unlock(&connections->lock);
}

void http_connections_get_stats(struct http_connections *connections,
				struct http_connections_stats *ret_stats)
{
	pthread_mutex_lock(&connections->lock);
	*ret_stats = connections->stats;
	pthread_mutex_unlock(&connections->lock);
}
