/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What makes sums and series of the model, by time: runs the Structures Snapshoter, the ReFeeder
 * and the Database Snapshoter, in this order, each at the multiples of its period while its service
 * is ACTIVE and this controller leads.
 */
#ifndef EBB_SERIES_H
#define EBB_SERIES_H

#include <stdbool.h>
#include <stddef.h>

#include "model.h"
#include "timed.h"
#include "ebb/tsdb.h"

struct series;
/* Borrows them; `tsdb` NULL: the Database Snapshoter does not run. */
int series_new(struct model *model, struct tsdb *tsdb, struct timed *timed,
	       struct series **ret_series);
/* After timed_free(). */
void series_free(struct series *series);

struct series_module_stats {
	bool runs_here;     /* ACTIVE, and there is what it needs */
	unsigned long runs; /* whole ones */
	unsigned long failures;
	unsigned long written; /* points, or documents that changed */
	double seconds;        /* of the last run; 0: none yet */
};
struct series_stats {
	struct series_module_stats structures, refeeder, database;
	double hold_s;        /* longest that the model's lock was held, ever */
	char last_error[160]; /* "" none */
	bool has_tsdb;
	struct tsdb_stats tsdb;
};
/* Does not take the model's lock. */
void series_get_stats(struct series *series, struct series_stats *ret_stats);

#endif
