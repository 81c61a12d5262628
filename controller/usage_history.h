/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was measured of a container lately, summed up in slices of time, so that the mean over a
 * window that ended a while ago can be had. Cheap to feed: two additions per resource and sample.
 * Pure; times are CLOCK_MONOTONIC of the controller.
 */
#ifndef EBB_USAGE_HISTORY_H
#define EBB_USAGE_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guardian.h"

/* A window is made of so many slices; it may reach one slice further back than asked. */
#define USAGE_SLICES 8

struct usage_window {
	double length, delay; /* s; the window ended `delay` ago. delay <= 20 * length */
	unsigned resources;   /* 1 << enum ebb_resource: which are kept */
};

struct usage_history;
/* 200 bytes per resource when the delay is twice the length. NULL: no memory. free() it. */
struct usage_history *usage_history_new(const struct usage_window *window);
bool usage_history_fits(const struct usage_history *history, const struct usage_window *window);
size_t usage_history_bytes(const struct usage_history *history);

void usage_history_add(struct usage_history *history, uint64_t now_ns,
		       const struct guard_sample *sample);
/* Is the first that was added from before the window, so that nothing in it means that nothing
 * came? */
bool usage_history_reaches_back(const struct usage_history *history, uint64_t now_ns);
/* Each sample counts by the time it covers. NAN: nothing was measured in the window. */
double usage_history_mean(const struct usage_history *history, uint64_t now_ns,
			  enum ebb_resource resource);

#endif
