/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events of one resource in one direction: how many fired when, and the highest usage seen since
 * the one before, so that consuming some tells the peak over exactly their span. Pure.
 */
#ifndef EBB_EVENTS_H
#define EBB_EVENTS_H

#include <stdint.h>

#define EVENT_ENTRIES 24

struct event_entry {
	uint32_t at_ms; /* wraps */
	float peak;
	uint16_t count;
};

/* All zero: none. Most structures have none most of the time, and take no memory for them. */
struct events {
	struct event_entry *entries;
	uint32_t total;
	float since_last; /* highest usage since the newest entry */
	uint8_t first, n, room;
};

/* Forgets them and frees what they take. */
void events_clear(struct events *events);
/* Every sample, also one without an event, before events_add(). */
void events_measured(struct events *events, double usage);
/* Events closer together than a part of `timeout` (s) share an entry, so that all of it
 * fits. Without memory the oldest ones, or this one, are lost. */
void events_add(struct events *events, uint32_t now_ms, unsigned count, double timeout);
/* Forgets those older than `timeout`. */
void events_expire(struct events *events, uint32_t now_ms, double timeout);

/* The oldest `count`: highest usage over their span (and until now when they are all), and how
 * long ago the first was (s). Both NAN when there are none. */
void events_span(const struct events *events, uint32_t now_ms, unsigned count, double *ret_peak,
		 double *ret_age);
void events_consume(struct events *events, unsigned count);

#endif
