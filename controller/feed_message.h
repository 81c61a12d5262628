/* SPDX-License-Identifier: Apache-2.0 */
/* One message of the feed (docs/feed.md), read and checked as a whole before anything is changed.
 * Pure. */
#ifndef EBB_FEED_MESSAGE_H
#define EBB_FEED_MESSAGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ebb/units.h"

/* A counter that the host does not have. */
#define FEED_NONE INT64_MAX

enum feed_counter {
	FEED_CPU_NS,
	FEED_NR_PERIODS,
	FEED_NR_THROTTLED,
	FEED_THROTTLED_NS,
	FEED_MEM_CHARGED,
	FEED_WORKING_SET,
	FEED_OOM_KILLS,
	FEED_READ_BYTES,
	FEED_WRITE_BYTES,
	FEED_READ_OPS,
	FEED_WRITE_OPS,
	FEED_COUNTERS,
};

struct feed_sample {
	int64_t c;                       /* the container's number within the session */
	int64_t t;                       /* the host's clock, ns */
	int64_t counters[FEED_COUNTERS]; /* or FEED_NONE */
};

struct feed_message {
	json_t *json; /* owned; the pointers below are into it */
	const char *host, *session;
	int64_t seq, guard_version, now;
	int64_t term;                     /* the highest that the agent has heard of; 0: none */
	json_t *registration;             /* NULL: none */
	json_t *added, *limits, *removed; /* arrays, checked; NULL: none */
	int64_t *added_numbers;           /* "c" of each of `added`, ascending */
	size_t n_added;
	json_t *growths; /* of the reflex: an array, checked; NULL: none */
	struct feed_sample *samples;
	size_t n_samples;
};

/* A member of `reflex`: what the agent raised by itself, inside of its lease. */
struct feed_growth {
	int64_t c;
	enum ebb_resource resource;
	int64_t from, to;
	int64_t seen, at; /* the host's clock, ns; `at` is its number, too */
	const char *why;
};

/* -EINVAL with `ret_error` (caller frees) that names what is wrong. Caller clears on success. */
int feed_message_parse(const char *text, size_t len, struct feed_message *ret_message,
		       char **ret_error);
void feed_message_clear(struct feed_message *message);

/* -EINVAL: it is none. */
int feed_message_growth(const json_t *json, struct feed_growth *ret_growth);

/* Is it the number of one of `added`? */
bool feed_message_adds(const struct feed_message *message, int64_t c);

#endif
