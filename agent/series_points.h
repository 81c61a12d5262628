/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One interval: from the samples that the loop handed over and a look at the processes to the
 * points of all sets. Owned by the series' thread.
 */
#ifndef EBB_SERIES_POINTS_H
#define EBB_SERIES_POINTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "series_files.h"
#include "tasks.h"
#include "ebb/sample.h"
#include "ebb/tsdb.h"

/* A container as the loop handed it over. */
struct series_handed {
	uint64_t id;
	size_t name; /* offset in the names' buffer */
	struct ebb_sample sample;
	bool gone;               /* this is its last sample */
	bool has_dirs;           /* its directories are new, and in here */
	struct series_dirs dirs; /* taken over */
};

struct series_points;

struct series_points_options {
	unsigned sets;
	const char *host_name;
	struct tasks *tasks; /* NULL: none here. Borrowed */
};

int series_points_new(const struct series_points_options *options,
		      struct series_points **ret_points);
void series_points_free(struct series_points *points);

/* The numbers from which the first interval counts; processes that end from now on are counted. */
void series_points_start(struct series_points *points);
/* Between intervals, so that the buffer of ended processes does not fill up. How many there were.
 */
int series_points_drain(struct series_points *points);

/* All points of `timestamp` (seconds), added to `batch`. */
int series_points_interval(struct series_points *points, int64_t timestamp,
			   struct series_handed *handed, size_t n, const char *names,
			   struct tsdb_batch *batch);

struct series_points_stats {
	unsigned long points;
	unsigned long lost_exits;
	unsigned processes; /* in the last interval */
	uint64_t look_ns;   /* CPU time of the looks at all processes, in total */
	uint64_t encode_ns; /* of what came after them */
};
void series_points_get_stats(const struct series_points *points,
			     struct series_points_stats *ret_stats);

#endif
