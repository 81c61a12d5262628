/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Structures Snapshoter (spec 7.1): `current` of an application is the sum of the limits that are
 * in force on its containers, that of a user the sum over its applications. The containers' own
 * `current` the model keeps at any time; only their `disk` is set here.
 */
#ifndef EBB_SNAPSHOTER_STRUCTURES_H
#define EBB_SNAPSHOTER_STRUCTURES_H

#include "aggregate.h"

/*
 * Lock held. The limit in force: as its agent reported it, what the host has when there is none, or
 * what the document says while no agent has reported. NAN: nothing known, or it has gone.
 */
double snapshoter_structures_limit(const struct structure *container, enum ebb_resource resource);

/* Takes the model's lock, in pieces. */
int snapshoter_structures_run(struct model *model,
			      const struct snapshoter_structures_config *config,
			      struct aggregate_result *ret_result);

#endif
