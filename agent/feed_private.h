/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the feed, for the files that make it. Limits (feed_limits.c) and samples
 * (feed_samples.c) go into messages (feed_compose.c); what is answered makes the session
 * (feed_session.c). feed.c decides when to send, and hears what happens to containers.
 */
#ifndef EBB_FEED_PRIVATE_H
#define EBB_FEED_PRIVATE_H

#include <jansson.h>

#include "controllers.h"
#include "feed.h"
#include "feed_name.h"
#include "limits.h"
#include "sample_ring.h"
#include "text.h"
#include "ebb/http_client.h"

/* More than these removals unsent, and a new session says the same in less. */
#define REMOVED_MAX 4096

/* Of one container, while no message arrives. */
#define RENUMBERED_MAX 4

/* Whether the controller knows the container in this session. */
enum announced { ANNOUNCED_NO, ANNOUNCED_IN_FLIGHT, ANNOUNCED_YES };

struct feed_container {
	uint64_t c; /* its number in this session */
	enum announced announced;
	struct feed_name name;
	/* Called otherwise since: the numbers that the message with the new name is to remove, and
	 * how many of them are in the one under way. */
	uint64_t was_c[RENUMBERED_MAX];
	unsigned n_was_c, n_was_c_in_flight;
	bool changed, changed_in_flight; /* its limits */
	bool changing;                   /* by an order that takes time */
	bool urgent;                     /* a sample in the ring is */
	bool has_last, has_seen;
	bool other_labels; /* than were told */
	unsigned taken;    /* so often the controller said that another host's has its name */
	bool told_foreign, told_unread;
	bool touched;      /* somebody wrote a file of its limits */
	struct hand *hand; /* who did last, until the controller has it; NULL: not known */
	bool had_net;      /* in the last report */
	uint64_t added_ns;
	uint64_t sent_at_ns; /* `at_ns` of the last sample that was sent; unguarded only */
	/* Limits: in the last sample, and in the last report (cpuset and disk as a hash), with when
	 * they were read for it. */
	uint64_t seen_quota_ns, seen_period_ns, seen_mem;
	uint64_t reported_ns;
	uint64_t reported_quota_ns, reported_period_ns, reported_mem, reported_rest;
	/* Guarded only. */
	struct ebb_sample last;
	struct sample_ring ring;
};

struct feed {
	struct feed_options options;
	char *host_name, *api_address;
	struct controllers controllers;
	struct http_client *client;
	struct loop_source *timer; /* for retries, and what no sweep would send */

	char session[17];
	uint64_t seq, next_c;
	bool registered, registering, sending, sending_batch;
	bool carries_news; /* the message under way */
	unsigned failed;   /* messages in a row */
	uint64_t retry_at, batch_at;
	uint64_t asked_ns; /* when the message under way was made */
	struct text message;
	size_t recheck; /* index of the next one */
	unsigned long samples_in_message;

	uint64_t guard_version;
	json_t *guard; /* {name: {resource: upper}} */
	struct container **guarded;
	size_t n_guarded, size_guarded;
	bool guarded_stale; /* it has some that have gone, or lacks some that have come */

	/* Why not to wait for the next batch. `news_at`: when there are containers to be told. */
	bool urgent, more;
	uint64_t news_at;
	bool any_changed, any_unread, any_touched;
	bool renew; /* start a new session as soon as no message is under way */
	uint64_t removed[REMOVED_MAX];
	size_t n_removed, removed_in_flight;

	bool told_away;
	struct feed_stats stats;
};

/* feed_limits.c */
/* Of a container that is to be told; what was told is remembered. False: they cannot be read. */
bool feed_read_limits(struct feed *feed, struct container *container, struct limits *ret_limits);
/* The sampler carries the limits: those that another hand changed are seen here. */
void feed_check_limits(struct feed *feed, struct container *container,
		       const struct ebb_sample *sample);
/* What samples do not carry, of some containers each time, in turn. */
void feed_recheck_limits(struct feed *feed);
/* Those that somebody wrote to since the last sample. */
void feed_check_touched(struct feed *feed);
void feed_forget_hand(struct feed_container *fc);

/* feed_samples.c */
void feed_guard_container(struct feed *feed, struct container *container);
/* After any `guarded` has changed. */
void feed_list_guarded(struct feed *feed);
/* Before the list is used: without those that have gone. */
void feed_check_guarded(struct feed *feed);
/* By the controller's table, which may be NULL: nobody is. */
void feed_guard_all(struct feed *feed, json_t *guard);
/* After each sweep: the new samples of those that are guarded. */
void feed_collect(struct feed *feed);
/* The samples for the message; `batch`: not only the urgent ones. */
void feed_add_samples(struct feed *feed, bool batch);

/* feed_compose.c */
/* Into feed->message. -ENOMEM. */
int feed_compose(struct feed *feed, bool batch);
/* Takes back, or strikes off, all that the last message carried. */
void feed_settle(struct feed *feed, bool arrived);
/* When a container is complete, or taken as it is; 0: it is complete. */
uint64_t feed_settled_at(const struct feed *feed, const struct container *container);

/* feed_session.c */
/* A new one: everything is to be told again. */
void feed_session_start(struct feed *feed);
void feed_remove_number(struct feed *feed, uint64_t c);
/* The first `n` of those that a message with a new name removes have been. */
void feed_drop_old_numbers(struct feed_container *fc, unsigned n);
/* What the controller knows as `fc->c`, or by the name before, is no more. */
void feed_tell_removed(struct feed *feed, const struct feed_container *fc);
/* The message could not be sent: it is tried again, after a while. */
void feed_session_unsent(struct feed *feed, int error);
void feed_session_answered(struct feed *feed, const struct http_response *response);

#endif
