/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The `samples` of a feed message, read straight from its text: they are nearly all of it, and a
 * JSON value for each of their numbers costs ten times as much (2 against 0.2 us per sample). Pure.
 */
#ifndef EBB_FEED_SAMPLES_H
#define EBB_FEED_SAMPLES_H

#include <stdbool.h>

#include "feed_message.h"

/*
 * Finds the member "samples" of the object that `text` is, and where its array begins and ends.
 * False: there is none, or what comes before it is no JSON; a JSON parser will say so.
 */
bool feed_samples_find(const char *text, size_t len, size_t *ret_begin, size_t *ret_end);

/* The array, from its '[' to its ']'. -EINVAL: something else is in it than docs/feed.md says, at
 * sample number *ret_at. */
int feed_samples_parse(const char *text, size_t len, struct feed_sample **ret_samples,
		       size_t *ret_n, size_t *ret_at);

#endif
