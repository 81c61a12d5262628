/* SPDX-License-Identifier: Apache-2.0 */
#include "boundaries.h"

#include <errno.h>

#include "ebb/cleanup.h"

static int64_t effective_current(const struct resource_state *resource)
{
	/* A max of 0 is one that nobody has set. */
	return resource->max > 0 ? MIN(resource->current, resource->max) : resource->current;
}

int boundaries_margin(const struct resource_state *resource, int64_t *ret_margin)
{
	int64_t base;

	if (!resource->has_boundary || resource->current < 0)
		return -EINVAL;
	if (resource->boundary_type == BOUNDARY_PERCENTAGE_OF_MAX) {
		if (resource->max <= 0)
			return -EINVAL;
		base = resource->max;
	} else {
		base = effective_current(resource);
	}
	*ret_margin = MAX(base * resource->boundary / 100, 1);
	return 0;
}

bool boundaries_adjust(struct resource_state *resource)
{
	int64_t margin, upper, lower;

	if (boundaries_margin(resource, &margin) < 0)
		return false;
	upper = MAX(effective_current(resource) - margin, 0);
	lower = MAX(upper - margin, 0);
	if (upper == resource->upper && lower == resource->lower)
		return false;
	resource->upper = upper;
	resource->lower = lower;
	return true;
}
