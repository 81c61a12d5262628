/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How what an application or a user gets or gives up is split over what belongs to it (spec 6.5).
 * Pure. Edge units.
 */
#ifndef EBB_SPLIT_H
#define EBB_SPLIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ebb/units.h"

struct split_child {
	int64_t value; /* of the field that changes, before; >= 0 */
	int64_t least; /* it is never brought below; a child that is there already gives nothing */
	int64_t most;  /* nor above; INT64_MAX: no bound */
	double usage;  /* NAN: not known, which is like 0 for growth, and like `value` otherwise */
	bool stopped;  /* an application that does not run: last to get, first to give */
	int64_t assigned; /* set: what it gets (> 0) or gives up (< 0) */

	/* split.c's own: what it is ranked by, and a place of the heap (the index of a child). */
	int tier;
	double key;
	size_t heap;
};

/* In slices of 5, of 1 for energy. */
int64_t split_slice(enum ebb_resource resource);

/*
 * Splits `amount` (> 0: growth) slice by slice, each to the child with the lowest key (growth) or
 * the highest (the other way), ties to the first in the array; one that has less room than a slice
 * takes what it can, and the rest goes on to the next. Returns what no child could take: 0, or of
 * the sign of `amount`. The sum of `assigned` and what is returned is `amount`. O((n + slices) log
 * n); what is more than 65,536 slices goes in larger ones.
 */
int64_t split_amount(struct split_child *children, size_t n, int64_t amount, int64_t slice);

#endif
