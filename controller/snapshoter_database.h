/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Database Snapshoter (spec 7.2): what the documents say at one moment, as points:
 * structure.<resource>.<field> and limit.<resource>.<field> of structures and users,
 * conf.<service>.<key>.
 */
#ifndef EBB_SNAPSHOTER_DATABASE_H
#define EBB_SNAPSHOTER_DATABASE_H

#include "model.h"

struct series_point {
	const char *metric; /* until the run is over */
	double value;       /* finite */
};

/*
 * The points of one document; the model's lock is free. `tag`: "structure", "user" or "service";
 * `name`: as OpenTSDB takes it. A negative result ends the run.
 */
typedef int (*series_sink_fn)(void *userdata, int64_t timestamp, const char *tag, const char *name,
			      const struct series_point *points, size_t n);

struct snapshoter_database_result {
	size_t documents, points;
	double hold_s; /* the longest hold of the lock */
};

/* Takes the model's lock, in pieces. `timestamp`: of all points, whole seconds. */
int snapshoter_database_run(struct model *model, const struct snapshoter_database_config *config,
			    int64_t timestamp, series_sink_fn sink, void *userdata,
			    struct snapshoter_database_result *ret_result);

#endif
