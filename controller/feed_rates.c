/* SPDX-License-Identifier: Apache-2.0 */
#include "feed_rates.h"

#include <math.h>
#include <string.h>

#include "ebb/units.h"

enum known { UNKNOWN, KNOWN, BACKWARDS };

static enum known rise(const struct feed_sample *before, const struct feed_sample *now,
		       enum feed_counter counter, double *ret_rise)
{
	if (before->counters[counter] == FEED_NONE || now->counters[counter] == FEED_NONE)
		return UNKNOWN;
	if (now->counters[counter] < before->counters[counter])
		return BACKWARDS;
	*ret_rise = (double)(now->counters[counter] - before->counters[counter]);
	return KNOWN;
}

/* False: backwards. */
static bool set_rate(const struct feed_sample *before, const struct feed_sample *now,
		     enum feed_counter counter, enum ebb_resource resource, double per_second,
		     struct guard_sample *sample)
{
	double risen;

	switch (rise(before, now, counter, &risen)) {
	case UNKNOWN: return true;
	case BACKWARDS: return false;
	case KNOWN: break;
	}
	sample->usage[resource] = risen * per_second / sample->seconds;
	sample->valid |= 1u << resource;
	return true;
}

static double throttled_share(const struct feed_sample *before, const struct feed_sample *now)
{
	uint32_t periods, throttled;

	for (int i = FEED_NR_PERIODS; i <= FEED_NR_THROTTLED; i++)
		if (before->counters[i] == FEED_NONE || now->counters[i] == FEED_NONE)
			return NAN;
	periods = (uint32_t)now->counters[FEED_NR_PERIODS] -
		  (uint32_t)before->counters[FEED_NR_PERIODS];
	throttled = (uint32_t)now->counters[FEED_NR_THROTTLED] -
		    (uint32_t)before->counters[FEED_NR_THROTTLED];
	/* The kernel counts both at the end of a period, but not in one step. */
	return periods ? fmin((double)throttled / periods, 1) : 0;
}

/* A throttled CPU counts its time when it runs again, at the end of the period: over less than one
 * it would look like more than there are CPUs. */
static double held_back(const struct feed_sample *before, const struct feed_sample *now,
			double seconds)
{
	double risen;

	if (rise(before, now, FEED_THROTTLED_NS, &risen) != KNOWN)
		return NAN;
	return risen * EBB_SHARES_PER_CORE / 1e9 / fmax(seconds, EBB_CFS_PERIOD_US / 1e6);
}

static void set_memory(const struct feed_sample *now, struct guard_sample *sample)
{
	int64_t bytes = now->counters[FEED_WORKING_SET];

	if (bytes == FEED_NONE)
		bytes = now->counters[FEED_MEM_CHARGED];
	if (bytes == FEED_NONE)
		return;
	sample->usage[EBB_MEM] = (double)bytes / (double)EBB_MIB;
	sample->valid |= 1u << EBB_MEM;
}

bool feed_rates(const struct feed_sample *before, const struct feed_sample *now,
		struct guard_sample *ret_sample)
{
	struct guard_sample sample = {
		.at = (double)now->t / 1e9,
		.seconds = (double)(now->t - before->t) / 1e9,
		.throttled = throttled_share(before, now),
		.wait = NAN,
	};

	if (now->t <= before->t)
		return false;
	sample.held_back = held_back(before, now, sample.seconds);
	for (int r = 0; r < EBB_RESOURCE_MAX; r++)
		sample.usage[r] = sample.pressure[r] = NAN;
	set_memory(now, &sample);
	if (!set_rate(before, now, FEED_CPU_NS, EBB_CPU, EBB_SHARES_PER_CORE / 1e9, &sample) ||
	    !set_rate(before, now, FEED_READ_BYTES, EBB_DISK_READ, 1.0 / (double)EBB_MIB,
		      &sample) ||
	    !set_rate(before, now, FEED_WRITE_BYTES, EBB_DISK_WRITE, 1.0 / (double)EBB_MIB,
		      &sample))
		return false;
	*ret_sample = sample;
	return true;
}
