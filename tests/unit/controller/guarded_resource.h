/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EBB_TEST_GUARDED_RESOURCE_H
#define EBB_TEST_GUARDED_RESOURCE_H

#include "structure.h"

/* With a boundary of a tenth of the limit in force. */
static inline struct resource_state guarded(int64_t max, int64_t current, int64_t min)
{
	return (struct resource_state){
		.present = true,
		.guard = true,
		.max = max,
		.current = current,
		.min = min,
		.has_boundary = true,
		.boundary = 10,
		.boundary_type = BOUNDARY_PERCENTAGE_OF_CURRENT,
	};
}

#endif
