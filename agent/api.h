/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's HTTP API: the Container Scaler's routes and shapes (spec section 4), the same for
 * every engine and both cgroup versions, and GET /metrics. Reads are open; orders need the token
 * where one is set.
 */
#ifndef EBB_API_H
#define EBB_API_H

#include "apply.h"
#include "grower.h"
#include "host.h"
#include "metrics.h"
#include "net_link.h"
#include "term.h"
#include "ebb/identity.h"
#include "ebb/loop.h"

/* A controller has 64 at most (for orders that take long), Prometheus and people the rest. */
#define API_CONNECTIONS_MAX 128

struct api_options {
	struct loop *loop;
	const char *listen;
	struct identity *identity; /* borrowed */
	bool token_on_reads;
	const struct hierarchies *hierarchies;
	const struct host *host;
	struct container_table *table;
	struct applier *applier;
	struct grower *grower; /* NULL: no reflex */
	struct net_links *net; /* NULL: no network limits */
	/* Completed with the server on every request: the feed starts after the API. */
	const struct metrics_source *metrics;
	struct term *term;
};

struct api;
int api_new(const struct api_options *options, struct api **ret_api);
/* The applier must have been freed before: it owes answers. */
void api_free(struct api *api);
/* From now on: the agent stops. */
void api_refuse_orders(struct api *api);
/* As bound: "127.0.0.1:8000" or "unix:/run/ebb/agent.sock". */
const char *api_address(const struct api *api);

#endif
