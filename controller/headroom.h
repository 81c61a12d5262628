/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the controller leases to a host's agent, so that it may raise limits between two decisions
 * (docs/feed.md). The lease is what the host has free; who may have of it, and how far up, is the
 * ceilings. Lock held.
 */
#ifndef EBB_HEADROOM_H
#define EBB_HEADROOM_H

#include "model.h"

/* In a container's document: false, and its limits are raised by the controller alone. */
#define REFLEX_KEY "reflex"

/*
 * {"number", "ttl_ms", "cpu", "mem", "cpus"}: what is free on the host now. NULL: nothing is leased
 * there (REFLEX is off, its agent has none, nobody guards), or no memory. New reference.
 */
json_t *headroom_lease(const struct model *model, const struct host *host);

/*
 * What containers have in force beyond what was free for them is set aside as soon as it is: to be
 * called before any of it is given to others. Those in an operation are left to that.
 */
void headroom_hold_beyond(struct model *model, struct host *host, enum ebb_resource resource);

/*
 * {name: {"cpu": highest, "mem": highest}} of the guarded containers that may grow: up to their
 * max, and not beyond their part of what their application and its user have left to theirs. Not
 * those in an operation, being subscribed, or whose document has "reflex": false. New reference.
 */
json_t *headroom_ceilings(const struct model *model, const struct host *host);

/* One of them; 0: it may not grow. */
int64_t headroom_ceiling(const struct model *model, const struct structure *container,
			 enum ebb_resource resource);

/* May its agent raise it by itself, once something is leased there? -EINVAL: no container. */
int headroom_set_reflex(struct model *model, struct structure *structure, bool on);

#endif
