/* SPDX-License-Identifier: Apache-2.0 */
#include "sample_ring.h"

#include <stdlib.h>

#include "ebb/cleanup.h"

/* A second of the default period, and two more for a late answer. */
#define SIZE_MIN 12

static void drop_oldest(struct sample_ring *ring, unsigned n)
{
	ring->first = ring->size ? (ring->first + n) % ring->size : 0;
	ring->n -= n;
	ring->in_flight -= MIN(ring->in_flight, n);
}

static bool grow(struct sample_ring *ring, unsigned size)
{
	struct ebb_sample *samples = malloc(size * sizeof(*samples));

	if (!samples)
		return false;
	for (unsigned i = 0; i < ring->n; i++)
		samples[i] = *sample_ring_at(ring, i);
	free(ring->samples);
	ring->samples = samples;
	ring->size = size;
	ring->first = 0;
	return true;
}

unsigned sample_ring_push(struct sample_ring *ring, const struct ebb_sample *sample, unsigned limit)
{
	unsigned lost = 0;

	if (ring->n >= limit) {
		/* More than one when the limit was lowered meanwhile. */
		lost = ring->n - limit + 1;
		drop_oldest(ring, lost);
	}
	if (ring->n == ring->size && !grow(ring, ring->size ? ring->size * 2 : SIZE_MIN)) {
		lost++;
		if (!ring->n)
			return lost;
		drop_oldest(ring, 1);
	}
	ring->samples[(ring->first + ring->n) % ring->size] = *sample;
	ring->n++;
	return lost;
}

unsigned sample_ring_expire(struct sample_ring *ring, uint64_t at_ns)
{
	unsigned n = 0;

	while (n < ring->n && sample_ring_at(ring, n)->at_ns < at_ns)
		n++;
	if (n)
		drop_oldest(ring, n);
	return n;
}

const struct ebb_sample *sample_ring_at(const struct sample_ring *ring, unsigned index)
{
	return &ring->samples[(ring->first + index) % ring->size];
}

void sample_ring_send(struct sample_ring *ring, unsigned n)
{
	ring->in_flight = n;
}

void sample_ring_sent(struct sample_ring *ring, bool arrived)
{
	if (arrived)
		drop_oldest(ring, ring->in_flight);
	ring->in_flight = 0;
	/*
	 * What an absence of the controller took goes back once all is sent; not the 192 that a
	 * second of the shortest period needs.
	 */
	if (!ring->n && ring->size > 16 * SIZE_MIN)
		sample_ring_clear(ring);
}

void sample_ring_clear(struct sample_ring *ring)
{
	free(ring->samples);
	*ring = (struct sample_ring){0};
}
