/* SPDX-License-Identifier: Apache-2.0 */
/* Posts what waits in the spool, oldest first, one put after another on one connection. */
#ifndef EBB_TSDB_POSTER_H
#define EBB_TSDB_POSTER_H

#include "ebb/http_client.h"
#include "tsdb_spool.h"

/* Where to; user and password come from the URL or beside it, and are in no text shown. */
struct tsdb_target {
	char *address;
	char *user, *password, *ca_file;
	struct identity *identity;
	unsigned timeout_ms;
};
struct tsdb_options;
/* Logs what is wrong with the URL. -EINVAL, -ENOMEM. */
int tsdb_target_parse(const struct tsdb_options *options, struct tsdb_target *ret_target);
void tsdb_target_clear(struct tsdb_target *target);
/* The parts of a request that are the same for all. */
struct http_request_options tsdb_target_request(const struct tsdb_target *target);

/* For one thread, but for the two functions that say otherwise. */
struct tsdb_poster;
/* `target` and `spool` must outlive it. `stopped` ends a post under way. */
int tsdb_poster_new(const struct tsdb_target *target, struct tsdb_spool *spool, size_t body_max,
		    bool (*stopped)(void *userdata), void *userdata,
		    struct tsdb_poster **ret_poster);
void tsdb_poster_free(struct tsdb_poster *poster);
/*
 * At most one put (and the question whether the server is there at all). The milliseconds to wait
 * before the next step; TSDB_POSTER_IDLE: until something was appended.
 */
#define TSDB_POSTER_IDLE (~0u)
unsigned tsdb_poster_step(struct tsdb_poster *poster);

/* The body size that the server is known to take. Any thread. */
size_t tsdb_poster_body_limit(struct tsdb_poster *poster);

struct tsdb_poster_stats {
	unsigned long points, bodies, rejected, failures;
	bool reachable;
	char last_error[256];
};
/* Any thread. */
void tsdb_poster_get_stats(struct tsdb_poster *poster, struct tsdb_poster_stats *ret_stats);

#endif
