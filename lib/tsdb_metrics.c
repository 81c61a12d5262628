/* SPDX-License-Identifier: Apache-2.0 */
#include "ebb/cleanup.h"
#include "ebb/tsdb_metrics.h"

#define AGENT (TSDB_SET_CONTAINER | TSDB_SET_PROCESS)

#define LIMITS(resource, unit)                                      \
	{"limit." resource ".boundary", TSDB_SET_STATE, "%"},       \
		{"limit." resource ".lower", TSDB_SET_STATE, unit}, \
	{                                                           \
		"limit." resource ".upper", TSDB_SET_STATE, unit    \
	}
#define STRUCTURE(resource, unit)                                            \
	{"structure." resource ".current", TSDB_SET_STATE, unit},            \
		{"structure." resource ".fixed", TSDB_SET_STATE, unit},      \
		{"structure." resource ".max", TSDB_SET_STATE, unit},        \
		{"structure." resource ".min", TSDB_SET_STATE, unit},        \
		{"structure." resource ".shares", TSDB_SET_STATE, "shares"}, \
	{                                                                    \
		"structure." resource ".usage", TSDB_SET_STATE, unit         \
	}

const struct tsdb_metric tsdb_metrics[] = {
	{"conf.guardian.event_timeout", TSDB_SET_STATE, "s"},
	{"conf.guardian.window_delay", TSDB_SET_STATE, "s"},
	{"conf.guardian.window_timelapse", TSDB_SET_STATE, "s"},
	{"conf.scaler.polling_frequency", TSDB_SET_STATE, "s"},
	{"conf.scaler.request_timeout", TSDB_SET_STATE, "s"},
	LIMITS("cpu", "shares"),
	LIMITS("disk", "MiB/s"),
	LIMITS("disk_read", "MiB/s"),
	LIMITS("disk_write", "MiB/s"),
	LIMITS("energy", "W"),
	LIMITS("mem", "MiB"),
	LIMITS("net", "Mbit/s"),
	{"proc.cpu.kernel", AGENT, "% of a core"},
	{"proc.cpu.pressure", TSDB_SET_CONTAINER, "% of the time"},
	{"proc.cpu.throttled", TSDB_SET_CONTAINER, "% of the periods"},
	{"proc.cpu.user", AGENT, "% of a core"},
	{"proc.disk.pressure", TSDB_SET_CONTAINER, "% of the time"},
	{"proc.disk.reads.mb", AGENT, "MiB/s"},
	{"proc.disk.writes.mb", AGENT, "MiB/s"},
	{"proc.mem.pressure", TSDB_SET_CONTAINER, "% of the time"},
	{"proc.mem.resident", AGENT, "MiB"},
	{"proc.mem.virtual", AGENT, "MiB"},
	{"proc.mem.working_set", TSDB_SET_CONTAINER, "MiB"},
	STRUCTURE("cpu", "shares"),
	STRUCTURE("disk", "MiB/s"),
	STRUCTURE("disk_read", "MiB/s"),
	STRUCTURE("disk_write", "MiB/s"),
	STRUCTURE("energy", "W"),
	STRUCTURE("mem", "MiB"),
	STRUCTURE("net", "Mbit/s"),
	{"sys.cpu.idle", TSDB_SET_HOST, "% of the core"},
	{"sys.cpu.kernel", TSDB_SET_HOST, "% of the core"},
	{"sys.cpu.usage", TSDB_SET_HOST, "% of the machine"},
	{"sys.cpu.user", TSDB_SET_HOST, "% of the core"},
	{"sys.cpu.wait", TSDB_SET_HOST, "% of the core"},
	{"sys.disk.read.ios", TSDB_SET_HOST, "requests/s"},
	{"sys.disk.read.mb", TSDB_SET_HOST, "MiB/s"},
	{"sys.disk.usage", TSDB_SET_HOST, "% busy"},
	{"sys.disk.write.ios", TSDB_SET_HOST, "requests/s"},
	{"sys.disk.write.mb", TSDB_SET_HOST, "MiB/s"},
	{"sys.mem.free", TSDB_SET_HOST, "MiB"},
	{"sys.mem.usage", TSDB_SET_HOST, "%"},
	{"sys.net.in.mb", TSDB_SET_HOST, "Mibit/s"},
	{"sys.net.out.mb", TSDB_SET_HOST, "Mibit/s"},
	{"sys.net.usage", TSDB_SET_HOST, "% of the link"},
	{"sys.swap.free", TSDB_SET_HOST, "MiB"},
};
const size_t tsdb_n_metrics = ARRAY_SIZE(tsdb_metrics);
