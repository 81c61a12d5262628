/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers with the limits of all containers. Reading those of 1,000 takes 100 ms of file reads,
 * more than a sample period: it is done in slices, and sampling goes on in between.
 */
#ifndef EBB_LISTING_H
#define EBB_LISTING_H

#include "container.h"
#include "host.h"
#include "net_link.h"
#include "ebb/http_server.h"
#include "ebb/loop.h"

struct listings_options {
	struct loop *loop;
	const struct hierarchies *hierarchies;
	const struct host *host;
	struct container_table *table;
	struct net_links *net; /* NULL: no network limits */
};

struct listings;
int listings_new(const struct listings_options *options, struct listings **ret_listings);
/* Answers what waits with 503. */
void listings_free(struct listings *listings);

/*
 * {name: resources} of every container, of each the resources in `wanted` (resources.h). Answers
 * the call, now or later.
 */
void listings_reply(struct listings *listings, struct http_call *call, unsigned wanted);

#endif
