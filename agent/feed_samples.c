/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is guarded, and which samples are kept and sent: every one of a container that is, at once
 * when it cannot wait, and the last one of each that is not, once in a batch.
 */
#include <stdlib.h>

#include "feed_message.h"
#include "feed_private.h"
#include "urgency.h"
#include "ebb/cleanup.h"
#include "ebb/units.h"
#include "ebb/util.h"

#define KEEP_MS 10000
/* Of all containers together while the controller is away: 4 MiB. */
#define KEEP_SAMPLES 32768
/* Samples beyond this wait for the next message, which follows at once. */
#define MESSAGE_BYTES (1U << 20)

/* --- Who is guarded --------------------------------------------------------------------------- */

void feed_guard_container(struct feed *feed, struct container *container)
{
	struct feed_container *fc = container->feed_state;
	json_t *uppers = json_object_get(feed->guard, container->name), *value;
	const char *key;

	for (int r = 0; r < EBB_RESOURCE_MAX; r++)
		container->upper[r] = INT64_MAX;
	/* Not the sample again that went with the last batch. */
	if (!container->guarded)
		fc->last.at_ns = MAX(fc->last.at_ns, fc->sent_at_ns);
	container->guarded = json_is_object(uppers);
	if (!container->guarded) {
		sample_ring_clear(&fc->ring);
		fc->urgent = false;
		fc->has_last = false;
		return;
	}
	json_object_foreach(uppers, key, value) {
		enum ebb_resource r = ebb_resource_from_name(key);
		double upper = json_number_value(value);

		if (r != EBB_RESOURCE_INVALID && json_is_number(value) && upper >= 0 &&
		    upper < 1e15)
			container->upper[r] = (int64_t)upper;
	}
}

/* A dense list: a sweep must not touch the containers that are not guarded. */
void feed_list_guarded(struct feed *feed)
{
	struct container *container;

	feed->guarded_stale = false;
	feed->n_guarded = 0;
	container_table_foreach(feed->options.table, container) {
		if (!container->feed_state || !container->guarded)
			continue;
		if (feed->n_guarded == feed->size_guarded) {
			size_t size = feed->size_guarded ? feed->size_guarded * 2 : 64;
			struct container **list = reallocarray(feed->guarded, size, sizeof(*list));

			if (!list) {
				/* It is still in every batch, only not sampled in between. */
				container->guarded = false;
				continue;
			}
			feed->guarded = list;
			feed->size_guarded = size;
		}
		feed->guarded[feed->n_guarded++] = container;
	}
}

void feed_check_guarded(struct feed *feed)
{
	if (feed->guarded_stale)
		feed_list_guarded(feed);
}

void feed_guard_all(struct feed *feed, json_t *guard)
{
	struct container *container;

	json_decref(feed->guard);
	feed->guard = json_incref(guard);
	container_table_foreach(feed->options.table, container) {
		if (container->feed_state)
			feed_guard_container(feed, container);
	}
	feed_list_guarded(feed);
}

/* --- After a sweep ---------------------------------------------------------------------------- */

static unsigned ring_limit(const struct feed *feed)
{
	unsigned by_time = KEEP_MS / feed->options.period_ms;
	unsigned by_count = KEEP_SAMPLES / MAX(feed->n_guarded, 1U);

	return MAX(MIN(by_time, by_count), 8U);
}

static void collect_one(struct feed *feed, struct container *container, unsigned limit)
{
	struct feed_container *fc = container->feed_state;
	struct ebb_sample sample;

	if (container->slot < 0 || !sampler_read(feed->options.sampler, container->slot, &sample) ||
	    sample.id != container->id || sample.at_ns <= fc->last.at_ns)
		return;

	feed_check_limits(feed, container, &sample);
	if (urgency_of(fc->has_last ? &fc->last : NULL, &sample, container->upper)) {
		fc->urgent = true;
		feed->urgent = true;
	}
	fc->last = sample;
	fc->has_last = true;
	/* On a host too busy for its period, as many samples as usual reach back further. */
	if (sample.at_ns > KEEP_MS * EBB_NS_PER_MS)
		feed->stats.samples_dropped +=
			sample_ring_expire(&fc->ring, sample.at_ns - KEEP_MS * EBB_NS_PER_MS);
	feed->stats.samples_dropped += sample_ring_push(&fc->ring, &sample, limit);
}

void feed_collect(struct feed *feed)
{
	unsigned limit;

	feed_check_guarded(feed);
	limit = ring_limit(feed);
	for (size_t i = 0; i < feed->n_guarded; i++)
		collect_one(feed, feed->guarded[i], limit);
}

/* --- Into a message --------------------------------------------------------------------------- */

static void add_guarded_samples(struct feed *feed, struct container *container, size_t *n)
{
	struct feed_container *fc = container->feed_state;
	unsigned sent;

	for (sent = 0; sent < fc->ring.n; sent++) {
		if (feed->message.len > MESSAGE_BYTES) {
			feed->more = true;
			break;
		}
		feed_message_member(&feed->message, "samples", n);
		feed_message_sample(&feed->message, fc->c, sample_ring_at(&fc->ring, sent));
	}
	sample_ring_send(&fc->ring, sent);
	fc->urgent = fc->urgent && sent < fc->ring.n;
}

/* The last sample of each container that is not guarded. */
static void add_other_samples(struct feed *feed, size_t *n)
{
	struct text *message = &feed->message;
	struct container *container;
	struct ebb_sample sample;

	container_table_foreach(feed->options.table, container) {
		struct feed_container *fc = container->feed_state;

		if (!fc || container->guarded || container->slot < 0 ||
		    !sampler_read(feed->options.sampler, container->slot, &sample) ||
		    sample.id != container->id || sample.at_ns == fc->sent_at_ns)
			continue;
		/* What it finds goes with the next batch. */
		feed_check_limits(feed, container, &sample);
		if (fc->announced == ANNOUNCED_NO)
			continue;
		feed_message_member(message, "samples", n);
		feed_message_sample(message, fc->c, &sample);
		fc->sent_at_ns = sample.at_ns;
	}
}

void feed_add_samples(struct feed *feed, bool batch)
{
	size_t n = 0;

	feed_check_guarded(feed);
	for (size_t i = 0; i < feed->n_guarded; i++) {
		struct feed_container *fc = feed->guarded[i]->feed_state;

		if (fc->announced != ANNOUNCED_NO && (batch || fc->urgent))
			add_guarded_samples(feed, feed->guarded[i], &n);
	}
	if (batch)
		add_other_samples(feed, &n);
	feed_message_end_list(&feed->message, n);
	feed->samples_in_message = n;
}
