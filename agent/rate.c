/* SPDX-License-Identifier: Apache-2.0 */
#include "rate.h"

static void set(struct usage *usage, enum ebb_resource resource, double value)
{
	usage->value[resource] = value;
	usage->valid |= 1U << resource;
}

bool usage_between(const struct ebb_sample *before, const struct ebb_sample *after,
		   struct usage *ret_usage)
{
	unsigned both = before->valid & after->valid;
	struct usage usage = {0};

	if (!after->id || before->id != after->id || after->at_ns <= before->at_ns)
		return false;
	if ((both & EBB_VALID_CPU) && after->cpu_ns < before->cpu_ns)
		return false;
	if ((both & EBB_VALID_IO) &&
	    (after->read_bytes < before->read_bytes || after->write_bytes < before->write_bytes))
		return false;

	usage.seconds = (double)(after->at_ns - before->at_ns) / EBB_NS_PER_SEC;
	if (both & EBB_VALID_CPU)
		set(&usage, EBB_CPU,
		    (double)(after->cpu_ns - before->cpu_ns) / EBB_NS_PER_SEC / usage.seconds *
			    EBB_SHARES_PER_CORE);
	/* Cache that can be dropped at once is no need of the container's. */
	if (after->valid & EBB_VALID_WORKING_SET)
		set(&usage, EBB_MEM, (double)after->mem_working_set / EBB_MIB);
	else if (after->valid & EBB_VALID_MEM)
		set(&usage, EBB_MEM, (double)after->mem_charged / EBB_MIB);
	if (both & EBB_VALID_IO) {
		set(&usage, EBB_DISK_READ,
		    (double)(after->read_bytes - before->read_bytes) / EBB_MIB / usage.seconds);
		set(&usage, EBB_DISK_WRITE,
		    (double)(after->write_bytes - before->write_bytes) / EBB_MIB / usage.seconds);
	}
	/* Unlike, not more: the kernel's counter wraps. */
	usage.throttled =
		(both & EBB_VALID_BANDWIDTH) && after->nr_throttled != before->nr_throttled;
	*ret_usage = usage;
	return true;
}
