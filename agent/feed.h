/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The feed to the controller: registers the host and its containers, sends one batch a second, and
 * a container at once when it is guarded and crosses its upper limit, is throttled, or has less
 * than 5% of its memory left. Format: docs/feed.md. Bounded memory: while the controller is away
 * the oldest samples are dropped and counted; limits stay as they are.
 */
#ifndef EBB_FEED_H
#define EBB_FEED_H

#include <jansson.h>

#include "discovery.h"
#include "grower.h"
#include "hands.h"
#include "host.h"
#include "net_link.h"
#include "sampler.h"
#include "term.h"
#include "ebb/config.h"
#include "ebb/http_client.h"
#include "ebb/identity.h"

struct feed_options {
	struct loop *loop;
	const struct string_list *controllers; /* URLs, at least one; outlive the feed */
	struct term *term;
	struct identity *identity; /* borrowed; NULL: no token */
	const char *host_name;
	const char *api_address; /* where the controller reaches this agent */
	const struct host *host;
	const struct hierarchies *hierarchies;
	struct container_table *table;
	struct sampler *sampler;
	struct net_links *net; /* NULL: no network limits */
	struct grower *grower; /* NULL: no reflex */
	unsigned period_ms;
	/* The controller has a container of another host under this one's name. NULL: it stays
	 * untold. */
	void (*name_taken)(void *userdata, struct container *container);
	void *userdata;
};

struct feed;
int feed_new(const struct feed_options *options, struct feed **ret_feed);
void feed_free(struct feed *feed);

void feed_container_added(struct feed *feed, struct container *container);
/* It has a directory more, or less (discovery's `joined`). */
void feed_container_joined(struct feed *feed, struct container *container);
/* Its name has become known, or is another one (`renamed`), or what else its engine says. */
void feed_container_named(struct feed *feed, struct container *container, bool renamed);
void feed_container_removed(struct feed *feed, struct container *container);
/* After every sweep: collects samples, decides what is urgent, sends what is due. */
void feed_swept(struct feed *feed);
/* The limits of a container were changed by a PUT: drop the urgency state, report the new limits
 * with the next batch. */
void feed_limits_changed(struct feed *feed, struct container *container);

/* An order that takes time begins or ends: until then what samples show of the limits is its doing,
 * and no other hand's. */
void feed_limits_changing(struct feed *feed, struct container *container, bool under_way);

/* Somebody else wrote a file of its limits: looks with the next sweep whether one changed. Copies.
 */
void feed_limits_touched(struct feed *feed, struct container *container, const struct hand *hand);
/* The reflex raised limits: they are told at once. */
void feed_grown(struct feed *feed);

/* The CPUs of the host are others: registers anew, with what is there now. */
void feed_host_changed(struct feed *feed);

/* The one that is fed, or asked at the moment. */
const char *feed_controller(const struct feed *feed);

struct feed_stats {
	bool connected; /* the last message was answered, and the controller knows the session */
	/* Messages that arrived: one a second, and those sent out of turn. */
	unsigned long batches, urgent;
	unsigned long failures, samples_sent, samples_dropped;
	unsigned long foreign; /* limits that were changed, but not through the API */
};
void feed_get_stats(const struct feed *feed, struct feed_stats *ret_stats);

#endif
