/* SPDX-License-Identifier: Apache-2.0 */
#include "patience.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "ebb/cleanup.h"

#define LEVEL_MAX 6 /* 2^6 s */
/* A raise this soon after a lowering undoes it. Two samples, an order, and what a busy host adds.
 */
#define UNDO_S 1.5
/* Lowerings no further apart are one way down, as a halving per second makes it. */
#define DESCENT_S 3.0
/* A burst is no longer than this, beyond the patience that it was given, and the gap to the next no
 * longer than so many times the patience. */
#define BURST_S    4.0
#define GAP_FACTOR 8.0
/* Down to a third or less costs more when wrong: longer bursts and gaps count. */
#define DEEP            3
#define BURST_DEEP_S    8.0
#define GAP_DEEP_FACTOR 15.0
/* What is high for so long is no burst. Without this, patience longer than a phase would never be
 * put to the test again. */
#define LASTING_MS 15000

void patience_init(struct patience *patience, double least)
{
	*patience = (struct patience){.raised_at = NAN, .lowered_at = NAN, .least = least};
}

/* What is remembered, s. */
static double seconds(const struct patience *patience)
{
	return patience->level > 0 ? fmax(ldexp(1, patience->level), patience->least)
				   : patience->least;
}

static float highest(const struct patience *patience)
{
	float peak = 0;

	for (int i = 0; i < PATIENCE_BUCKETS; i++)
		peak = fmaxf(peak, patience->peaks[i]);
	return peak;
}

static void wane(struct patience *patience)
{
	if (patience->level > 0)
		patience->level--;
}

void patience_measured(struct patience *patience, uint32_t now_ms, double usage)
{
	/* Two seconds also while it is not asked for, so that it is there when patience grows. */
	int32_t width = (int32_t)(fmax(seconds(patience), 2) * 1000 / PATIENCE_BUCKETS);
	int32_t age = (int32_t)(now_ms - patience->bucket_ms);

	if (age < 0 || age >= width * PATIENCE_BUCKETS) {
		memset(patience->peaks, 0, sizeof(patience->peaks));
		patience->bucket_ms = now_ms;
		age = 0;
	}
	for (; age >= width; age -= width) {
		memmove(patience->peaks + 1, patience->peaks,
			sizeof(*patience->peaks) * (PATIENCE_BUCKETS - 1));
		patience->peaks[0] = 0;
		patience->bucket_ms += (uint32_t)width;
	}
	patience->peaks[0] = fmaxf(patience->peaks[0], (float)usage);

	if (usage <= highest(patience) / 2) {
		patience->high_ms = now_ms;
	} else if (now_ms - patience->high_ms >= LASTING_MS) {
		patience->high_ms = now_ms;
		wane(patience);
	}
}

double patience_peak(const struct patience *patience)
{
	return seconds(patience) > 0 ? highest(patience) : NAN;
}

void patience_raised(struct patience *patience, double at)
{
	patience->raised_at = at;
	patience->lowered_at = NAN;
}

void patience_lowered(struct patience *patience, int64_t before, double at)
{
	double since = at - patience->lowered_at;

	if (!(since <= DESCENT_S)) {
		if (since > 2 * seconds(patience))
			wane(patience);
		patience->before_descent = before;
		patience->dwell = isnan(patience->raised_at) ? INFINITY : at - patience->raised_at;
	}
	patience->lowered_at = at;
}

void patience_disturbed(struct patience *patience)
{
	patience->lowered_at = NAN;
}

int64_t patience_undo(const struct patience *patience, int64_t limit, double now)
{
	bool deep = patience->before_descent >= DEEP * limit;
	double since = now - patience->lowered_at;
	double given = fmax(seconds(patience), 1);

	if (isnan(patience->lowered_at))
		return 0;
	if (since > UNDO_S && (patience->dwell > given + (deep ? BURST_DEEP_S : BURST_S) ||
			       since > given * (deep ? GAP_DEEP_FACTOR : GAP_FACTOR)))
		return 0;
	return patience->before_descent;
}

void patience_judge(struct patience *patience, uint32_t now_ms, double now, int64_t undo)
{
	if (isnan(patience->lowered_at))
		return;
	if (undo > 0) {
		/* The limit that was enough is kept for as long, whatever the samples show: a burst
		 * that two of them share looks half as high. */
		patience->level = MIN(patience->level + 1, LEVEL_MAX);
		patience_measured(patience, now_ms, (double)undo);
		patience->lowered_at = NAN;
	} else if (now - patience->lowered_at > fmax(seconds(patience), UNDO_S)) {
		wane(patience);
		patience->lowered_at = NAN;
	}
}
