/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The feed of hosts that have BDWatchdog and no Ebb agent: a thread asks OpenTSDB for the usage of
 * all their containers, by the query of the original (tsdb_query.h), and the guardian takes what
 * comes as it takes an agent's samples. One name that OpenTSDB does not know spoils a whole query:
 * it is left out for a minute and the others are asked for again.
 */
#ifndef EBB_CONTROLLER_FEED_OPENTSDB_H
#define EBB_CONTROLLER_FEED_OPENTSDB_H

#include "model.h"
#include "scaler.h"

struct feed_opentsdb_options {
	const char *url;           /* "http(s)://[USER:PASSWORD@]HOST:PORT" */
	struct identity *identity; /* its CA and certificate; borrowed. NULL: the system's */
	size_t body_max;           /* bytes of a query; 0: 8,192, what a TSD takes as delivered */
};

struct feed_opentsdb;
/* Borrows model and scaler, copies the options. -EINVAL: the URL is wrong; logged. */
int feed_opentsdb_new(struct model *model, struct scaler *scaler,
		      const struct feed_opentsdb_options *options, struct feed_opentsdb **ret_feed);
/* Ends a query that is under way. NULL is ignored. */
void feed_opentsdb_free(struct feed_opentsdb *feed);

struct feed_opentsdb_stats {
	unsigned long queries, failures; /* failures: no answer, or one that was none */
	unsigned long refused;           /* queries that named what OpenTSDB does not know */
	unsigned long samples;
	unsigned containers;      /* asked for */
	unsigned with_data;       /* of those, with usage that is not stale */
	unsigned unknown;         /* left out at present: not known, or no name to ask for */
	unsigned unknown_metrics; /* likewise */
	bool reachable;
	char last_error[256];
};
void feed_opentsdb_get_stats(struct feed_opentsdb *feed, struct feed_opentsdb_stats *ret_stats);

#endif
