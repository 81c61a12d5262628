/* SPDX-License-Identifier: Apache-2.0 */
/* The boundaries around a resource's current limit (spec 5.3): pure. */
#ifndef EBB_BOUNDARIES_H
#define EBB_BOUNDARIES_H

#include "structure.h"

/* margin = max(int(base * boundary / 100), 1), base = max or current. -EINVAL: boundary or current
 * missing. */
int boundaries_margin(const struct resource_state *resource, int64_t *ret_margin);
/*
 * Sets upper = current - margin and lower = upper - margin, neither below 0. `current` above `max`
 * counts as `max`. True when upper or lower changed.
 */
bool boundaries_adjust(struct resource_state *resource);

#endif
