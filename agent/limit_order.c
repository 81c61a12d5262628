/* SPDX-License-Identifier: Apache-2.0 */
#include "limit_order.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"
#include "ebb/units.h"

static const struct {
	const char *resource, *key;
} kinds[LIMIT_KIND_MAX] = {
	[LIMIT_CPUS] = {"cpu", "cpu_num"},
	[LIMIT_QUOTA] = {"cpu", "cpu_allowance_limit"},
	[LIMIT_BURST] = {"cpu", "cpu_burst"},
	[LIMIT_WEIGHT] = {"cpu", "cpu_weight"},
	[LIMIT_MEM] = {"mem", "mem_limit"},
	[LIMIT_MEM_HIGH] = {"mem", "mem_high"},
	[LIMIT_MEM_MIN] = {"mem", "mem_min"},
	[LIMIT_MEM_RECLAIM] = {"mem", "mem_reclaim"},
	[LIMIT_DISK_READ] = {"disk_read", "disk_read_limit"},
	[LIMIT_DISK_WRITE] = {"disk_write", "disk_write_limit"},
	[LIMIT_READ_IOPS] = {"disk_read", "disk_read_iops"},
	[LIMIT_WRITE_IOPS] = {"disk_write", "disk_write_iops"},
	[LIMIT_NET] = {"net", "net_limit"},
};

const char *limit_kind_resource(enum limit_kind kind)
{
	return kinds[kind].resource;
}

const char *limit_kind_key(enum limit_kind kind)
{
	return kinds[kind].key;
}

__attribute__((format(printf, 3, 4))) static int refuse(char *message, size_t size,
							const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(message, size, format, args);
	va_end(args);
	return -EINVAL;
}

/* Accepts 12, 12.5, "12" and "12.5". */
static int number_of(const json_t *value, double *ret_number)
{
	if (json_is_number(value)) {
		double number = json_number_value(value);
		if (!isfinite(number))
			return -EINVAL;
		*ret_number = number;
		return 0;
	}
	if (json_is_string(value) && strlen(json_string_value(value)) == json_string_length(value))
		return parse_double(json_string_value(value), ret_number);
	return -EINVAL;
}

static int parse_amount(enum limit_kind kind, const json_t *value, struct limit_order *order,
			char *message, size_t size)
{
	static const struct {
		const char *unit;
		double least, most; /* edge units; `most` keeps the product below 2^63 */
		double factor;      /* to agent units */
	} amounts[LIMIT_KIND_MAX] = {
		/* The kernel takes no quota below 1 ms, which is one share of a 100 ms period. */
		[LIMIT_QUOTA] = {"shares (100 are one core)", 1, 6553600,
				 EBB_CFS_PERIOD_US / (double)EBB_SHARES_PER_CORE},
		[LIMIT_BURST] = {"shares (100 are one core for a period)", 0, 6553600,
				 EBB_CFS_PERIOD_US / (double)EBB_SHARES_PER_CORE},
		[LIMIT_WEIGHT] = {"weight (100 is what a cgroup starts with)", LIMIT_WEIGHT_MIN,
				  LIMIT_WEIGHT_MAX, 1},
		[LIMIT_MEM] = {"MiB", LIMIT_MEM_MIN_MIB, 1e12, EBB_MIB},
		[LIMIT_MEM_HIGH] = {"MiB", LIMIT_MEM_MIN_MIB, 1e12, EBB_MIB},
		[LIMIT_MEM_MIN] = {"MiB", 0, 1e12, EBB_MIB},
		[LIMIT_MEM_RECLAIM] = {"MiB", 1, 1e12, EBB_MIB},
		/* blkio reads 0 as "no limit", the opposite of what 0 asks for. */
		[LIMIT_DISK_READ] = {"MiB/s", 1.0 / EBB_MIB, 1e12, EBB_MIB},
		[LIMIT_DISK_WRITE] = {"MiB/s", 1.0 / EBB_MIB, 1e12, EBB_MIB},
		/* The kernel keeps 32 bits of it. */
		[LIMIT_READ_IOPS] = {"requests/s", 1, UINT32_MAX - 1.0, 1},
		[LIMIT_WRITE_IOPS] = {"requests/s", 1, UINT32_MAX - 1.0, 1},
		/* Below that one packet takes more than a second; 10 Tbit/s. */
		[LIMIT_NET] = {"Mbit/s", 0.01, 1e7, LIMIT_BYTES_PER_MBIT},
	};
	/* What cannot be unlimited. */
	const unsigned bounded = 1U << LIMIT_BURST | 1U << LIMIT_WEIGHT | 1U << LIMIT_MEM_MIN |
				 1U << LIMIT_MEM_RECLAIM;
	const char *key = kinds[kind].key;
	double number;

	if (bounded & 1U << kind) {
		if (number_of(value, &number) < 0 || number < amounts[kind].least ||
		    number > amounts[kind].most)
			return refuse(message, size, "%s must be a number of %s from %g to %g", key,
				      amounts[kind].unit, amounts[kind].least, amounts[kind].most);
		order->value[kind] = (uint64_t)llround(number * amounts[kind].factor);
		order->asked |= 1U << kind;
		return 0;
	}
	if (number_of(value, &number) < 0)
		return refuse(message, size,
			      "%s must be a number of %s, or -1 for unlimited; numeric strings are "
			      "taken too",
			      key, amounts[kind].unit);
	if (number == -1) {
		order->value[kind] = LIMIT_NONE;
	} else if (number < 0) {
		return refuse(message, size, "%s is negative; only -1, for unlimited, may be", key);
	} else if (number < amounts[kind].least) {
		if (kind == LIMIT_MEM || kind == LIMIT_MEM_HIGH)
			return refuse(message, size,
				      "%s is too low: %g MiB is the least, and -1 is unlimited",
				      key, amounts[kind].least);
		return refuse(message, size, "%s is too low: give %s%s, or -1 for unlimited", key,
			      kind == LIMIT_QUOTA ? "at least 1 of "
			      : kind == LIMIT_NET ? "at least 0.01 "
			      : kind == LIMIT_READ_IOPS || kind == LIMIT_WRITE_IOPS
				      ? "at least 1 of "
				      : "more than 0 ",
			      amounts[kind].unit);
	} else if (number > amounts[kind].most) {
		return refuse(message, size, "%s is too high; write -1 for unlimited", key);
	} else {
		order->value[kind] = llround(number * amounts[kind].factor);
	}
	order->asked |= 1U << kind;
	return 0;
}

/* The interface that the caller believes to be the container's: compared, never looked for. */
static int parse_device(const json_t *value, struct limit_order *order, char *message, size_t size)
{
	const char *name = json_string_value(value);
	size_t len = json_string_length(value);

	if (!name || !len || len >= sizeof(order->device) || strlen(name) != len)
		return refuse(
			message, size,
			"device_name_in_host must be the name of an interface; leave it out to "
			"take the container's");
	memcpy(order->device, name, len + 1);
	return 0;
}

/* Longer lists would be cut off somewhere within a message, and look complete. */
#define ONLINE_TEXT 200

static char *describe_online(const struct cpu_list *online)
{
	char *text = cpu_list_format_ranges(online), *brief = NULL;
	unsigned first = UINT_MAX, last = 0;

	if (!text || strlen(text) <= ONLINE_TEXT)
		return text;
	free(text);
	for (size_t i = 0; i < online->n; i++) {
		first = MIN(first, online->cpus[i]);
		last = MAX(last, online->cpus[i]);
	}
	return asprintf(&brief, "%zu of %u-%u", online->n, first, last) < 0 ? NULL : brief;
}

static int parse_cpus(const json_t *value, const struct cpu_list *online, struct limit_order *order,
		      char *message, size_t size)
{
	struct cpu_list cpus = {0};
	_cleanup_free_ char *all = describe_online(online), *text = NULL;
	char number[24];
	const char *given = NULL;
	int r = 0;

	if (!all)
		return -ENOMEM;
	if (json_is_integer(value)) {
		snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(value));
		given = number;
	} else if (json_is_string(value) &&
		   strlen(json_string_value(value)) == json_string_length(value)) {
		given = json_string_value(value);
	}
	if (given && !strcmp(given, "-1")) {
		order->cpus[0] = '\0';
		order->asked |= 1U << LIMIT_CPUS;
		return 0;
	}
	if (!given || cpu_list_parse(given, &cpus) < 0)
		return refuse(message, size,
			      "cpu_num must be a list of CPUs like \"0-1,4\"; online are %s", all);

	if (!cpus.n)
		r = refuse(message, size,
			   "cpu_num names no CPU: a container needs one; online are %s", all);
	for (size_t i = 0; r == 0 && i < cpus.n; i++) {
		if (!cpu_list_contains(online, cpus.cpus[i]))
			r = refuse(message, size, "CPU %u is not online here; online are %s",
				   cpus.cpus[i], all);
	}
	if (r == 0) {
		text = cpu_list_format_ranges(&cpus);
		if (!text)
			r = -ENOMEM;
		else if (strlen(text) >= sizeof(order->cpus))
			r = refuse(message, size,
				   "cpu_num names too many CPUs without a neighbour: as ranges it "
				   "may have %zu characters, and has %zu",
				   sizeof(order->cpus) - 1, strlen(text));
		else
			memcpy(order->cpus, text, strlen(text) + 1);
	}
	cpu_list_clear(&cpus);
	if (r == 0)
		order->asked |= 1U << LIMIT_CPUS;
	return r;
}

int limit_order_parse(const json_t *body, const struct cpu_list *online,
		      struct limit_order *ret_order, char *message, size_t size)
{
	struct limit_order order = {0};
	const char *resource, *key;
	json_t *fields, *value;
	int r;

	if (!json_is_object(body))
		return refuse(message, size, "the body must be a JSON object, {\"cpu\":{...}}");

	json_object_foreach((json_t *)body, resource, fields) {
		if (!strcmp(resource, "energy"))
			return refuse(message, size,
				      "energy cannot be limited by this agent; leave it out");

		bool known = false;
		for (int kind = 0; kind < LIMIT_KIND_MAX; kind++)
			known = known || !strcmp(resource, kinds[kind].resource);
		if (!known)
			return refuse(message, size,
				      "unknown resource \"%.64s\"; there are cpu, mem, disk_read, "
				      "disk_write and net",
				      resource);
		if (!json_is_object(fields))
			return refuse(message, size, "%s must be an object of limits", resource);
		if (!json_object_size(fields))
			return refuse(message, size, "%s holds no limit; leave it out", resource);

		json_object_foreach(fields, key, value) {
			int kind = 0;

			if (!strcmp(resource, "net") && !strcmp(key, "device_name_in_host")) {
				r = parse_device(value, &order, message, size);
				if (r < 0)
					return r;
				continue;
			}
			while (kind < LIMIT_KIND_MAX && (strcmp(resource, kinds[kind].resource) ||
							 strcmp(key, kinds[kind].key)))
				kind++;
			if (kind == LIMIT_KIND_MAX)
				return refuse(message, size,
					      "unknown field \"%.64s\" in %s; only limits can be "
					      "set: cpu_allowance_limit, cpu_num, cpu_burst, "
					      "cpu_weight, mem_limit, mem_high, mem_min, "
					      "mem_reclaim, disk_read_limit, disk_read_iops, "
					      "disk_write_limit, disk_write_iops, net_limit",
					      key, resource);
			r = kind == LIMIT_CPUS ? parse_cpus(value, online, &order, message, size)
					       : parse_amount(kind, value, &order, message, size);
			if (r < 0)
				return r;
		}
	}
	if (order.device[0] && !(order.asked & 1U << LIMIT_NET))
		return refuse(message, size, "net names an interface but no limit; add net_limit");
	if (!order.asked)
		return refuse(message, size,
			      "the body asks for nothing; give at least one of cpu, mem, "
			      "disk_read, disk_write and net");

	*ret_order = order;
	return 0;
}

static int net_supported(const struct limit_order *order, const struct limits *present,
			 char *message, size_t size)
{
	const struct net_limits *net = &present->net;

	if (!present->has_net)
		refuse(message, size, "the container has no network limit: %s; leave net out",
		       present->no_net ? present->no_net : "this agent sets none");
	else if (order->device[0] && strcmp(order->device, net->device))
		refuse(message, size,
		       "%s is not the container's interface on this host, which is %s; leave "
		       "device_name_in_host out",
		       order->device, net->device);
	else if (net->foreign[0] && order->value[LIMIT_NET] != net->bps)
		refuse(message, size,
		       "%s has a %s qdisc that was not set by Ebb and stays as it is; remove it with "
		       "`tc qdisc del dev %s root`, or leave net out",
		       net->device, net->foreign, net->device);
	else
		return 0;
	return -EOPNOTSUPP;
}

/* What not every kernel and not every version of cgroups has. */
static int more_supported(const struct limit_order *order, const struct limits *present,
			  char *message, size_t size)
{
	static const struct {
		enum limit_kind kind;
		const char *v1, *v2;
	} lacks[] = {
		{LIMIT_BURST, "the kernel has no CPU burst, which came with Linux 5.14",
		 "the kernel has no CPU burst, which came with Linux 5.14"},
		{LIMIT_WEIGHT, "the kernel has no cpu.shares", "the kernel has no cpu.weight"},
		{LIMIT_MEM_HIGH,
		 "cgroup v1 has no memory.high, and memory.soft_limit_in_bytes is none: it acts "
		 "only when the whole host is short of memory",
		 "the kernel has no memory.high"},
		{LIMIT_MEM_MIN, "cgroup v1 has no memory.min", "the kernel has no memory.min"},
		{LIMIT_MEM_RECLAIM, "cgroup v1 has no memory.reclaim",
		 "the kernel has no memory.reclaim, which came with Linux 5.19"},
		{LIMIT_READ_IOPS, "the kernel throttles no disks", "the kernel throttles no disks"},
		{LIMIT_WRITE_IOPS, "the kernel throttles no disks",
		 "the kernel throttles no disks"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(lacks); i++) {
		enum limit_kind kind = lacks[i].kind;

		if (order->asked & ~present->has_more & 1U << kind) {
			refuse(message, size, "%s; leave %s out",
			       present->mem_version == 1 ? lacks[i].v1 : lacks[i].v2,
			       kinds[kind].key);
			return -EOPNOTSUPP;
		}
	}
	return 0;
}

static int cpu_supported(const struct limit_order *order, const struct limits *present,
			 char *message, size_t size)
{
	bool asks_quota = order->asked & 1U << LIMIT_QUOTA;
	uint64_t quota = asks_quota ? order->value[LIMIT_QUOTA] : present->cpu.quota_us;

	if (present->cpu.by_weight && asks_quota && order->asked & 1U << LIMIT_WEIGHT)
		refuse(message, size,
		       "this agent sets cpu_allowance_limit as the weight (--cpu-mode weight): "
		       "leave cpu_weight out");
	else if (present->cpu.by_weight && asks_quota &&
		 quota > LIMIT_WEIGHT_MAX * (uint64_t)(EBB_CFS_PERIOD_US / EBB_SHARES_PER_CORE))
		refuse(message, size,
		       "this agent sets cpu_allowance_limit as a weight (--cpu-mode weight), which "
		       "is %d at most and never unlimited: give a number of shares",
		       LIMIT_WEIGHT_MAX);
	else if (order->asked & 1U << LIMIT_BURST && !(present->cpu.by_weight && asks_quota) &&
		 order->value[LIMIT_BURST] > quota)
		refuse(message, size,
		       "cpu_burst may not be above cpu_allowance_limit, which is %g shares here",
		       (double)quota / (EBB_CFS_PERIOD_US / EBB_SHARES_PER_CORE));
	else
		return 0;
	return -EOPNOTSUPP;
}

int limit_order_supported(const struct limit_order *order, const struct limits *present, dev_t disk,
			  char *message, size_t size)
{
	const unsigned disks = 1U << LIMIT_DISK_READ | 1U << LIMIT_DISK_WRITE |
			       1U << LIMIT_READ_IOPS | 1U << LIMIT_WRITE_IOPS;
	const unsigned cpu = 1U << LIMIT_QUOTA | 1U << LIMIT_BURST | 1U << LIMIT_WEIGHT;
	const unsigned memory = 1U << LIMIT_MEM | 1U << LIMIT_MEM_HIGH | 1U << LIMIT_MEM_MIN |
				1U << LIMIT_MEM_RECLAIM;
	const char *lacking = NULL;

	if ((order->asked & cpu) && !present->has_cpu)
		lacking = "cpu";
	else if ((order->asked & 1U << LIMIT_CPUS) && !present->has_cpuset)
		lacking = "cpuset";
	else if ((order->asked & memory) && !present->has_mem)
		lacking = "memory";
	else if ((order->asked & disks) && disk && !present->has_disk)
		lacking = "io";
	if (lacking) {
		refuse(message, size,
		       "the container has no %s cgroup controller; enable it for its cgroup (on "
		       "cgroup v2 --enable-controllers does), or leave that limit out",
		       lacking);
		return -EOPNOTSUPP;
	}
	if ((order->asked & disks) && !disk) {
		refuse(message, size,
		       "this host has no disk whose bandwidth can be limited; start the agent "
		       "with --disk PATH, or leave the disk out");
		return -EOPNOTSUPP;
	}
	int r = more_supported(order, present, message, size);
	if (r == 0)
		r = cpu_supported(order, present, message, size);
	if (r < 0)
		return r;
	return order->asked & 1U << LIMIT_NET ? net_supported(order, present, message, size) : 0;
}

void limit_order_complete(struct limit_order *order, const struct limits *present)
{
	uint64_t quota = order->value[LIMIT_QUOTA];

	if (order->asked & 1U << LIMIT_QUOTA && !(order->asked & 1U << LIMIT_BURST) &&
	    present->has_more & 1U << LIMIT_BURST && !present->cpu.by_weight &&
	    quota < present->cpu.burst_us) {
		order->asked |= 1U << LIMIT_BURST;
		order->value[LIMIT_BURST] = quota;
	}
}

static size_t count_cpus(const char *text)
{
	struct cpu_list cpus = {0};

	if (cpu_list_parse(text, &cpus) < 0)
		return 0;
	size_t n = cpus.n;
	cpu_list_clear(&cpus);
	return n;
}

uint64_t limits_value(const struct limits *limits, enum limit_kind kind)
{
	switch (kind) {
	case LIMIT_QUOTA:
		return limits->cpu.by_weight && limits->cpu.quota_us == LIMIT_NONE
			       ? limits->cpu.weight * (EBB_CFS_PERIOD_US / EBB_SHARES_PER_CORE)
			       : limits->cpu.quota_us;
	case LIMIT_BURST: return limits->cpu.burst_us;
	case LIMIT_WEIGHT: return limits->cpu.weight;
	case LIMIT_MEM: return limits->mem_bytes;
	case LIMIT_MEM_HIGH: return limits->mem_high;
	case LIMIT_MEM_MIN: return limits->mem_min;
	case LIMIT_READ_IOPS: return limits->disk.read_iops;
	case LIMIT_WRITE_IOPS: return limits->disk.write_iops;
	case LIMIT_DISK_READ: return limits->disk.read_bps;
	case LIMIT_DISK_WRITE: return limits->disk.write_bps;
	case LIMIT_NET: return limits->net.bps;
	case LIMIT_CPUS: return limits->cpu.n_effective;
	case LIMIT_MEM_RECLAIM:
	case LIMIT_KIND_MAX: break;
	}
	return 0;
}

size_t limit_order_plan(const struct limit_order *order, const struct limits *present,
			struct limit_step ret_steps[LIMIT_KIND_MAX])
{
	/* Within one direction; quota before the cpuset that narrows behind it. */
	static const enum limit_kind growing[LIMIT_KIND_MAX] = {
		LIMIT_CPUS,       LIMIT_QUOTA,     LIMIT_BURST,      LIMIT_WEIGHT,
		LIMIT_MEM,        LIMIT_MEM_HIGH,  LIMIT_MEM_MIN,    LIMIT_DISK_READ,
		LIMIT_DISK_WRITE, LIMIT_READ_IOPS, LIMIT_WRITE_IOPS, LIMIT_NET,
		LIMIT_MEM_RECLAIM};
	static const enum limit_kind shrinking[LIMIT_KIND_MAX] = {
		LIMIT_BURST,      LIMIT_QUOTA,     LIMIT_WEIGHT,     LIMIT_CPUS, LIMIT_DISK_READ,
		LIMIT_DISK_WRITE, LIMIT_READ_IOPS, LIMIT_WRITE_IOPS, LIMIT_NET,  LIMIT_MEM_MIN,
		LIMIT_MEM_HIGH,   LIMIT_MEM,       LIMIT_MEM_RECLAIM};
	size_t n = 0;

	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < LIMIT_KIND_MAX; i++) {
			enum limit_kind kind = pass ? shrinking[i] : growing[i];
			bool lowers;

			if (!(order->asked & 1U << kind))
				continue;
			if (kind == LIMIT_CPUS) {
				const char *have = present->cpu.cpus;

				if (have[0] && limits_cpus_equal(order->cpus, have))
					continue;
				if (!have[0])
					have = present->cpu.effective_cpus;
				/* "" is all that the parent has. */
				lowers = order->cpus[0] &&
					 count_cpus(order->cpus) < count_cpus(have);
			} else if (kind == LIMIT_MEM_RECLAIM) {
				lowers = true;
			} else {
				uint64_t want = order->value[kind];
				uint64_t have = limits_value(present, kind);
				bool memory = kind == LIMIT_MEM || kind == LIMIT_MEM_HIGH ||
					      kind == LIMIT_MEM_MIN;

				if (memory && want != LIMIT_NONE)
					want = limits_round_to_page(want);
				/*
				 * A quota counts per period: another period than ours is
				 * always rewritten.
				 */
				bool same_period = kind != LIMIT_QUOTA ||
						   present->cpu.period_us == EBB_CFS_PERIOD_US;

				if (kind == LIMIT_QUOTA && present->cpu.by_weight) {
					same_period = present->cpu.quota_us == LIMIT_NONE;
					want = limits_quota_to_weight(want) *
					       (EBB_CFS_PERIOD_US / EBB_SHARES_PER_CORE);
				}

				if (want == have && (same_period || want == LIMIT_NONE))
					continue;
				if (!same_period && have != LIMIT_NONE && present->cpu.period_us)
					have = (uint64_t)((double)have * EBB_CFS_PERIOD_US /
							  present->cpu.period_us);
				lowers = want < have;
			}
			if (lowers && order->raises_only)
				continue;
			if (lowers == (pass == 1))
				ret_steps[n++] =
					(struct limit_step){.kind = kind, .lowers = lowers};
		}
	}
	return n;
}
