/* SPDX-License-Identifier: Apache-2.0 */
#include "urgency.h"

#include "rate.h"

static bool memory_is_short(const struct ebb_sample *sample)
{
	unsigned needed = EBB_VALID_MEM | EBB_VALID_WORKING_SET;

	if ((sample->valid & needed) != needed || sample->mem_limit == EBB_UNLIMITED)
		return false;
	return sample->mem_working_set >= sample->mem_limit ||
	       sample->mem_limit - sample->mem_working_set < sample->mem_limit / 20;
}

unsigned urgency_of(const struct ebb_sample *before, const struct ebb_sample *now,
		    const int64_t upper[EBB_RESOURCE_MAX])
{
	unsigned urgency = memory_is_short(now) ? URGENT_MEMORY : 0;
	struct usage usage;

	if (!before || !usage_between(before, now, &usage))
		return urgency;
	if (usage.throttled)
		urgency |= URGENT_THROTTLED;
	for (int r = 0; r < EBB_RESOURCE_MAX; r++) {
		if ((usage.valid & 1U << r) && upper[r] != INT64_MAX &&
		    usage.value[r] > (double)upper[r])
			urgency |= 1U << r;
	}
	return urgency;
}
