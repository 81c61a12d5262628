/* SPDX-License-Identifier: Apache-2.0 */
/* From two samples to usage in edge units: pure. */
#ifndef EBB_RATE_H
#define EBB_RATE_H

#include <stdbool.h>

#include "ebb/sample.h"
#include "ebb/units.h"

struct usage {
	unsigned valid;                 /* 1 << enum ebb_resource */
	double value[EBB_RESOURCE_MAX]; /* shares, MiB, MiB/s */
	bool throttled;                 /* a period ended throttled in between */
	double seconds;
};

/* False when the pair cannot be compared: other id, no time between, counters going back. */
bool usage_between(const struct ebb_sample *before, const struct ebb_sample *after,
		   struct usage *ret_usage);

#endif
