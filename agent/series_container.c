/* SPDX-License-Identifier: Apache-2.0 */
#include "series_container.h"

#include <stddef.h>
#include <string.h>

#include "sampler_text.h"
#include "ebb/cleanup.h"
#include "ebb/units.h"

const char *series_value_name(enum series_value value)
{
	static const char *const names[SERIES_VALUE_MAX] = {
		[SERIES_CPU_USER] = "proc.cpu.user",
		[SERIES_CPU_KERNEL] = "proc.cpu.kernel",
		[SERIES_RESIDENT] = "proc.mem.resident",
		[SERIES_VIRTUAL] = "proc.mem.virtual",
		[SERIES_READS] = "proc.disk.reads.mb",
		[SERIES_WRITES] = "proc.disk.writes.mb",
		[SERIES_THROTTLED] = "proc.cpu.throttled",
		[SERIES_WORKING_SET] = "proc.mem.working_set",
		[SERIES_CPU_PRESSURE] = "proc.cpu.pressure",
		[SERIES_MEM_PRESSURE] = "proc.mem.pressure",
		[SERIES_DISK_PRESSURE] = "proc.disk.pressure",
	};

	return names[value];
}

/* In a shorter time the grain of the counters (a tick) makes too much of a rate. */
#define FIRST_LEAST_S 0.5

static void set(struct series_values *values, enum series_value what, double value)
{
	values->value[what] = value;
	values->valid |= 1U << what;
}

void series_split(uint64_t runtime, uint64_t utime, uint64_t stime, uint64_t *ret_user,
		  uint64_t *ret_kernel)
{
	uint64_t kernel;

	if (!stime)
		kernel = 0;
	else if (!utime)
		kernel = runtime;
	else
		kernel = (uint64_t)((unsigned __int128)runtime * stime / (utime + stime));
	*ret_kernel = kernel;
	*ret_user = runtime - kernel;
}

static uint64_t grown(uint64_t before, uint64_t now)
{
	return now > before ? now - before : 0;
}

void series_container_values(const struct ebb_sample *before, const struct ebb_sample *now,
			     const struct series_sums *sums, double seconds,
			     struct series_values *ret_values)
{
	bool pair = before && before->id == now->id && now->at_ns > before->at_ns;
	unsigned both = pair ? before->valid & now->valid : 0;
	double between = pair ? (double)(now->at_ns - before->at_ns) / EBB_NS_PER_SEC : 0;
	uint64_t runtime = sums->runtime_ns, user, kernel;
	uint64_t read = sums->read_bytes, written = sums->write_bytes;
	double cpu_seconds = seconds, io_seconds = seconds;
	bool rates = before || (seconds >= FIRST_LEAST_S && !sums->unknown);
	struct series_values values = {0};

	/* Where the sampler has no such counter, its processes do. */
	if (before && (now->valid & EBB_VALID_CPU)) {
		runtime = both & EBB_VALID_CPU ? grown(before->cpu_ns, now->cpu_ns) : 0;
		cpu_seconds = between;
	}
	if (before && (now->valid & EBB_VALID_IO)) {
		bool io = both & EBB_VALID_IO;

		read = io ? grown(before->read_bytes, now->read_bytes) : 0;
		written = io ? grown(before->write_bytes, now->write_bytes) : 0;
		io_seconds = between;
	}
	series_split(runtime, sums->utime_ns, sums->stime_ns, &user, &kernel);
	set(&values, SERIES_CPU_USER,
	    cpu_seconds > 0 ? (double)user / EBB_NS_PER_SEC / cpu_seconds * 100 : 0);
	set(&values, SERIES_CPU_KERNEL,
	    cpu_seconds > 0 ? (double)kernel / EBB_NS_PER_SEC / cpu_seconds * 100 : 0);
	set(&values, SERIES_RESIDENT, (double)sums->resident_bytes / EBB_MIB);
	set(&values, SERIES_VIRTUAL, (double)sums->virtual_bytes / EBB_MIB);
	set(&values, SERIES_READS, io_seconds > 0 ? (double)read / EBB_MIB / io_seconds : 0);
	set(&values, SERIES_WRITES, io_seconds > 0 ? (double)written / EBB_MIB / io_seconds : 0);

	if (before && (now->valid & EBB_VALID_BANDWIDTH)) {
		/* The kernel's counters wrap. */
		uint32_t periods = 0, throttled = 0;

		if (both & EBB_VALID_BANDWIDTH) {
			periods = now->nr_periods - before->nr_periods;
			throttled = now->nr_throttled - before->nr_throttled;
		}
		set(&values, SERIES_THROTTLED,
		    periods ? 100.0 * MIN(throttled, periods) / periods : 0);
	}
	if (now->valid & EBB_VALID_WORKING_SET)
		set(&values, SERIES_WORKING_SET, (double)now->mem_working_set / EBB_MIB);
	if (!rates)
		values.valid &= ~(1U << SERIES_CPU_USER | 1U << SERIES_CPU_KERNEL |
				  1U << SERIES_READS | 1U << SERIES_WRITES);
	*ret_values = values;
}

void series_pressure_values(const struct series_files_read *before,
			    const struct series_files_read *now, struct series_values *values)
{
	for (int i = 0; before && i < 3; i++) {
		double us = now->at_ns > before->at_ns ? (double)(now->at_ns - before->at_ns) / 1000
						       : 0;
		double waited = 0;

		if (!now->has_pressure[i])
			continue;
		if (us > 0 && before->has_pressure[i])
			waited = 100.0 *
				 (double)grown(before->pressure_us[i], now->pressure_us[i]) / us;
		set(values, SERIES_CPU_PRESSURE + i, MIN(waited, 100));
	}
}

bool pressure_parse(const char *text, uint64_t *ret_us)
{
	const char *total, *end;
	uint64_t us;

	if (strncmp(text, "some ", 5))
		return false;
	total = strstr(text, " total=");
	end = strchr(text, '\n');
	if (!total || (end && total > end))
		return false;
	if (!take_number(total + 7, &us))
		return false;
	*ret_us = us;
	return true;
}
