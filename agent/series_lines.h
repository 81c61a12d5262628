/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The values of one interval, one set of them for each text of tags: what has the same tags is one
 * series, however many containers or processes are behind it, and gets one point. A container that
 * was restarted under its name, names that become the same tag, a pid that was used again. Pure but
 * for memory, which stays for the next interval.
 */
#ifndef EBB_SERIES_LINES_H
#define EBB_SERIES_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "series_container.h"

struct series_line {
	const char *tags;
	uint64_t hash;
	struct series_values living, gone;
};

/* Zeroed is empty. */
struct series_lines {
	struct series_line *all;
	uint32_t *slots; /* by the tags' hash: index + 1; 0: free */
	size_t n, size, n_slots;
};

/* Forgets the lines. */
void series_lines_reset(struct series_lines *lines);
void series_lines_clear(struct series_lines *lines);
/*
 * `tags` is borrowed until the reset. `gone`: of one that is no more. -ENOMEM: nothing was added.
 */
int series_lines_add(struct series_lines *lines, const char *tags,
		     const struct series_values *values, bool gone);
/*
 * Rates are the sum of all; what tells of a moment is the sum of those that live, shares of the
 * time are the largest among those, and both are those of who is gone where nobody lives.
 */
struct series_values series_line_values(const struct series_line *line);

#endif
