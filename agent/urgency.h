/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a sample of a guarded container can wait for the next batch. Pure. */
#ifndef EBB_URGENCY_H
#define EBB_URGENCY_H

#include <stdint.h>

#include "ebb/sample.h"
#include "ebb/units.h"

/* Bits 0..EBB_RESOURCE_MAX-1: usage of that resource above its upper limit. */
#define URGENT_THROTTLED (1U << 16) /* a period ended throttled since the sample before */
#define URGENT_MEMORY    (1U << 17) /* less than 5% between working set and limit */

/*
 * `before` NULL: there is nothing to compare with yet (first sample, or limits just changed).
 * `upper` in edge units, INT64_MAX: none. 0: nothing urgent.
 */
unsigned urgency_of(const struct ebb_sample *before, const struct ebb_sample *now,
		    const int64_t upper[EBB_RESOURCE_MAX]);

#endif
