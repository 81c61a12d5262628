/* SPDX-License-Identifier: Apache-2.0 */
#include "resources.h"

#include <math.h>
#include <stdio.h>
#include <sys/sysmacros.h>

#include "ebb/cleanup.h"

double limits_shares(const struct cpu_limits *cpu)
{
	if (cpu->by_weight && cpu->quota_us == LIMIT_NONE)
		return (double)cpu->weight;
	if (cpu->quota_us == LIMIT_NONE || !cpu->period_us)
		return -1;
	return (double)cpu->quota_us * EBB_SHARES_PER_CORE / (double)cpu->period_us;
}

double limits_mib(uint64_t bytes)
{
	return bytes == LIMIT_NONE ? -1 : (double)bytes / (double)EBB_MIB;
}

double limits_mbit(uint64_t bytes_per_s)
{
	return bytes_per_s == LIMIT_NONE ? -1 : (double)bytes_per_s / LIMIT_BYTES_PER_MBIT;
}

const char *limits_cpus(const struct limits *limits)
{
	if (!limits->has_cpuset)
		return "";
	return limits->cpu.cpus[0] ? limits->cpu.cpus : limits->cpu.effective_cpus;
}

static void set_more(json_t *object, const struct limits *limits, enum limit_kind kind,
		     const char *key, double value)
{
	if (limits->has_more & 1U << kind)
		json_object_set_new(object, key,
				    value == trunc(value) && fabs(value) < 1e15
					    ? json_integer((json_int_t)value)
					    : json_real(value));
}

static double or_unlimited(uint64_t value)
{
	return value == LIMIT_NONE ? -1 : (double)value;
}

static json_t *cpu_to_json(const struct limits *limits, const struct host *host)
{
	unsigned n = limits->has_cpuset ? limits->cpu.n_effective : (unsigned)host->online.n;
	double all = (double)n * EBB_SHARES_PER_CORE, shares = -1;

	if (!limits->has_cpu && !limits->has_cpuset)
		return json_object();
	if (limits->has_cpu)
		shares = limits_shares(&limits->cpu);
	bool by_weight = limits->cpu.by_weight && limits->cpu.quota_us == LIMIT_NONE;
	json_t *cpu =
		json_pack("{s:f, s:s, s:i, s:f}", "cpu_allowance_limit", shares, "cpu_num",
			  limits_cpus(limits), "effective_num_cpus", (int)n, "effective_cpu_limit",
			  shares < 0 || by_weight ? all : MIN(shares, all));
	if (limits->cpu.by_weight)
		json_object_set_new(cpu, "cpu_mode", json_string("weight"));
	set_more(cpu, limits, LIMIT_WEIGHT, "cpu_weight", (double)limits->cpu.weight);
	set_more(cpu, limits, LIMIT_BURST, "cpu_burst",
		 (double)limits->cpu.burst_us * EBB_SHARES_PER_CORE / EBB_CFS_PERIOD_US);
	return cpu;
}

static json_t *mem_to_json(const struct limits *limits)
{
	if (!limits->has_mem)
		return json_object();
	json_t *mem = json_pack("{s:f, s:s}", "mem_limit", limits_mib(limits->mem_bytes), "unit",
				limits->mem_bytes == LIMIT_NONE ? "unlimited" : "M");
	set_more(mem, limits, LIMIT_MEM_HIGH, "mem_high", limits_mib(limits->mem_high));
	set_more(mem, limits, LIMIT_MEM_MIN, "mem_min", limits_mib(limits->mem_min));
	return mem;
}

static json_t *disk_to_json(const struct limits *limits, const struct host *host, bool write)
{
	uint64_t bps = write ? limits->disk.write_bps : limits->disk.read_bps;

	char major_number[16], minor_number[16];
	double mib = limits_mib(bps);

	if (!limits->has_disk || !host->disk)
		return json_object();
	snprintf(major_number, sizeof(major_number), "%u", major(host->disk));
	snprintf(minor_number, sizeof(minor_number), "%u", minor(host->disk));
	json_t *disk = json_pack(
		"{s:s, s:s, s:s, s:s, s:s, s:o}", "mountpoint", host->disk_path, "device_path",
		host->disk_device ? host->disk_device : "", "major", major_number, "minor",
		minor_number, "unit", "MiB/s", write ? "disk_write_limit" : "disk_read_limit",
		mib == trunc(mib) ? json_integer((json_int_t)mib) : json_real(mib));
	if (write)
		set_more(disk, limits, LIMIT_WRITE_IOPS, "disk_write_iops",
			 or_unlimited(limits->disk.write_iops));
	else
		set_more(disk, limits, LIMIT_READ_IOPS, "disk_read_iops",
			 or_unlimited(limits->disk.read_iops));
	return disk;
}

void resources_add_pressure(json_t *resources, const struct container *container)
{
	static const struct {
		const char *resource;
		enum pressure_kind kind;
	} places[] = {
		{"cpu", PRESSURE_CPU},
		{"mem", PRESSURE_MEM},
		{"disk_read", PRESSURE_IO},
		{"disk_write", PRESSURE_IO},
	};

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		json_t *object = json_object_get(resources, places[i].resource);
		const struct pressure *pressure = &container->pressure[places[i].kind];

		if (json_object_size(object) && container->has_pressure & 1U << places[i].kind)
			json_object_set_new(object, "pressure",
					    json_pack("{s:f, s:f}", "some_s",
						      (double)pressure->some_us / 1e6, "full_s",
						      (double)pressure->full_us / 1e6));
	}
}

json_t *resources_steps_to_json(const struct shrink_steps *steps)
{
	json_t *list = json_array();

	for (size_t i = 0; i < steps->n; i++) {
		const struct shrink_step *step = &steps->steps[i];
		json_t *one =
			json_pack("{s:s, s:f, s:f}", "rung", shrink_rung_name(step->rung), "mib",
				  limits_mib(step->bytes), "ms", round(step->seconds * 1e6) / 1e3);

		if (step->times > 1)
			json_object_set_new(one, "times", json_integer(step->times));
		if (step->why)
			json_object_set_new(one, "why", json_string(step->why));
		json_array_append_new(list, one);
	}
	return list;
}

static json_t *net_to_json(const struct limits *limits)
{
	const struct net_limits *net = &limits->net;
	double mbit = limits_mbit(net->bps);

	if (!limits->has_net)
		return json_object();
	return json_pack("{s:s, s:s, s:o, s:s}", "device_name_in_container", net->inside,
			 "device_name_in_host", net->device, "net_limit",
			 mbit == trunc(mbit) ? json_integer((json_int_t)mbit) : json_real(mbit),
			 "unit", mbit < 0 ? "unlimited" : "Mbit");
}

json_t *resources_to_json(const struct limits *limits, const struct host *host, unsigned wanted)
{
	_cleanup_json_ json_t *all = json_object();

	for (int r = 0; r < EBB_RESOURCE_MAX; r++) {
		json_t *one;

		if (!(wanted & 1U << r))
			continue;
		switch ((enum ebb_resource)r) {
		case EBB_CPU: one = cpu_to_json(limits, host); break;
		case EBB_MEM: one = mem_to_json(limits); break;
		case EBB_DISK_READ: one = disk_to_json(limits, host, false); break;
		case EBB_DISK_WRITE: one = disk_to_json(limits, host, true); break;
		case EBB_NET: one = net_to_json(limits); break;
		default: one = json_object(); break;
		}
		if (json_object_set_new(all, ebb_resource_name(r), one) < 0)
			return NULL;
	}
	return TAKE_PTR(all);
}
