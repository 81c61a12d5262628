/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patience of one resource of one container: for how long a peak is remembered that a lowering must
 * leave room for. It doubles when a lowering turned out wrong: undone at once, or the limit had
 * been high for a short burst and the next burst came soon. So a service with a burst every few
 * seconds keeps its room, while the phases of a batch, which last, are followed. It halves with
 * each lowering that stood. Pure.
 */
#ifndef EBB_PATIENCE_H
#define EBB_PATIENCE_H

#include <stdint.h>

#define PATIENCE_BUCKETS 4

struct patience {
	double raised_at;       /* the last raise; NAN: none */
	double lowered_at;      /* the last lowering since; NAN: none, or judged */
	double dwell;           /* how long the limit had stood when the descent began */
	int64_t before_descent; /* the limit then */
	double least;           /* seconds remembered in any case */
	uint8_t level;
	uint32_t bucket_ms; /* start of the newest bucket; wraps */
	uint32_t high_ms;   /* since when usage has been above half its peak, or last told so */
	float peaks[PATIENCE_BUCKETS];
};

/* `least`: seconds of peaks to remember in any case; 0: only what the evidence shows. */
void patience_init(struct patience *patience, double least);

/* Every sample. */
void patience_measured(struct patience *patience, uint32_t now_ms, double usage);
/* The highest usage remembered; NAN: nothing beyond the evidence counts. */
double patience_peak(const struct patience *patience);

/* The limit was raised or lowered (from `before`) at `at`, as asked; or changed by someone else. */
void patience_raised(struct patience *patience, double at);
void patience_lowered(struct patience *patience, int64_t before, double at);
void patience_disturbed(struct patience *patience);

/*
 * More is asked for, while pinned at `limit`: was the descent before it a mistake? The limit that
 * undoes it, 0 for no.
 */
int64_t patience_undo(const struct patience *patience, int64_t limit, double now);
/* The raise is asked for; `undo` is what patience_undo() said, 0 when not pinned. */
void patience_judge(struct patience *patience, uint32_t now_ms, double now, int64_t undo);

#endif
