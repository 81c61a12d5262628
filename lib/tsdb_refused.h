/* SPDX-License-Identifier: Apache-2.0 */
/* Tells the log of points that the server refused: a few of them, then how many and why. */
#ifndef EBB_TSDB_REFUSED_H
#define EBB_TSDB_REFUSED_H

#include <stdbool.h>
#include <stdint.h>

#define TSDB_REFUSED_LINES   3 /* points told of one by one, a minute */
#define TSDB_REFUSED_REASONS 8
#define TSDB_REFUSED_NAMES   256

struct tsdb_refused {
	const char *address;
	uint64_t since_ns; /* start of the minute; 0: none runs */
	unsigned told;
	unsigned long untold;
	struct {
		char text[64];
		unsigned long n;
	} reasons[TSDB_REFUSED_REASONS];
	/* Metrics that the server does not know. */
	struct {
		char *name;
		bool again;       /* refused since the last look at it */
		uint64_t last_ns; /* that look */
	} names[TSDB_REFUSED_NAMES];
	unsigned n_names, n_new;
	bool again; /* one that was told of was refused again */
	uint64_t names_told_ns;
};

void tsdb_refused_clear(struct tsdb_refused *refused);
/* A point by its text, and what the server said. */
void tsdb_refused_point(struct tsdb_refused *refused, const char *point, int len,
			const char *error);
/* One that is not refused for half an hour is known by now, or no longer written, and forgotten. */
void tsdb_refused_metric(struct tsdb_refused *refused, const char *metric);
/* Writes the lines that are due. Cheap; to be called now and then. */
void tsdb_refused_tell(struct tsdb_refused *refused, uint64_t now);

#endif
