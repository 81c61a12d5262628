/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The samples of one guarded container that the controller does not have yet, oldest first. Grows
 * up to a limit; then the oldest are dropped. Those at the front may be on their way: they stay
 * until the controller has acknowledged them. Pure.
 */
#ifndef EBB_SAMPLE_RING_H
#define EBB_SAMPLE_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "ebb/sample.h"

struct sample_ring {
	struct ebb_sample *samples;
	unsigned first, n, size;
	unsigned in_flight; /* of the n */
};

/*
 * Appends; returns how many samples were lost for it (0, or 1 and more when `limit` is reached or
 * memory ran out).
 */
unsigned sample_ring_push(struct sample_ring *ring, const struct ebb_sample *sample,
			  unsigned limit);
/* Drops those taken before `at_ns`; returns how many. */
unsigned sample_ring_expire(struct sample_ring *ring, uint64_t at_ns);
/* `index` from 0, the oldest, to n - 1. */
const struct ebb_sample *sample_ring_at(const struct sample_ring *ring, unsigned index);
/* The first `n` leave with a message. */
void sample_ring_send(struct sample_ring *ring, unsigned n);
/* The message arrived (what was in flight is dropped) or did not (it will be sent again). */
void sample_ring_sent(struct sample_ring *ring, bool arrived);
void sample_ring_clear(struct sample_ring *ring);

#endif
