/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/config.h"
#include "ebb/units.h"
#include "ebb/util.h"

enum metric_form {
	FORM_NUMBER,
	FORM_SECONDS,      /* from nanoseconds */
	FORM_MICROSECONDS, /* from nanoseconds */
};

struct family {
	const char *name, *type, *help, *labels; /* `labels`: further ones, ",k=\"v\"" */
	unsigned valid;
	size_t offset; /* in struct ebb_sample */
	bool narrow;   /* 32 bits */
	enum metric_form form;
	/* What EBB_UNLIMITED is shown as: cAdvisor leaves the quota out, and says 0 for memory. */
	enum { UNLIMITED_ABSENT, UNLIMITED_ZERO } unlimited;
};

#define AT(field) offsetof(struct ebb_sample, field)

static const struct family families[] = {
	{"container_cpu_usage_seconds_total", "counter", "CPU time used.", ",cpu=\"total\"",
	 EBB_VALID_CPU, AT(cpu_ns), false, FORM_SECONDS, 0},
	{"container_cpu_cfs_periods_total", "counter", "Bandwidth periods that ended.", "",
	 EBB_VALID_BANDWIDTH, AT(nr_periods), true, FORM_NUMBER, 0},
	{"container_cpu_cfs_throttled_periods_total", "counter",
	 "Bandwidth periods that ended throttled.", "", EBB_VALID_BANDWIDTH, AT(nr_throttled), true,
	 FORM_NUMBER, 0},
	{"container_cpu_cfs_throttled_seconds_total", "counter",
	 "Time throttled, summed over CPUs.", "", EBB_VALID_BANDWIDTH, AT(throttled_ns), false,
	 FORM_SECONDS, 0},
	{"container_spec_cpu_quota", "gauge", "CPU quota per period, in microseconds.", "",
	 EBB_VALID_BANDWIDTH, AT(quota_ns), false, FORM_MICROSECONDS, UNLIMITED_ABSENT},
	{"container_spec_cpu_period", "gauge", "CPU bandwidth period, in microseconds.", "",
	 EBB_VALID_BANDWIDTH, AT(period_ns), false, FORM_MICROSECONDS, 0},
	{"container_memory_usage_bytes", "gauge", "Memory charged, caches included.", "",
	 EBB_VALID_MEM, AT(mem_charged), false, FORM_NUMBER, 0},
	{"container_memory_working_set_bytes", "gauge",
	 "Memory charged without inactive file cache.", "", EBB_VALID_WORKING_SET,
	 AT(mem_working_set), false, FORM_NUMBER, 0},
	{"container_spec_memory_limit_bytes", "gauge", "Memory limit, 0 without one.", "",
	 EBB_VALID_MEM, AT(mem_limit), false, FORM_NUMBER, UNLIMITED_ZERO},
	{"container_oom_events_total", "counter", "Tasks killed for lack of memory.", "",
	 EBB_VALID_OOM, AT(oom_kills), false, FORM_NUMBER, 0},
	{"container_fs_reads_bytes_total", "counter", "Bytes read from disk.", "", EBB_VALID_IO,
	 AT(read_bytes), false, FORM_NUMBER, 0},
	{"container_fs_writes_bytes_total", "counter", "Bytes written to disk.", "", EBB_VALID_IO,
	 AT(write_bytes), false, FORM_NUMBER, 0},
	{"container_fs_reads_total", "counter", "Disk reads.", "", EBB_VALID_IO, AT(read_ops),
	 false, FORM_NUMBER, 0},
	{"container_fs_writes_total", "counter", "Disk writes.", "", EBB_VALID_IO, AT(write_ops),
	 false, FORM_NUMBER, 0},
};

static void add_head(struct text *text, const char *name, const char *type, const char *help)
{
	text_printf(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static uint64_t value_of(const struct family *family, const struct ebb_sample *sample)
{
	const char *at = (const char *)sample + family->offset;
	uint64_t wide;
	uint32_t narrow;

	if (family->narrow) {
		memcpy(&narrow, at, sizeof(narrow));
		return narrow;
	}
	memcpy(&wide, at, sizeof(wide));
	return wide;
}

static void add_value(struct text *text, enum metric_form form, uint64_t value)
{
	text_char(text, ' ');
	switch (form) {
	case FORM_NUMBER: text_u64(text, value); break;
	case FORM_SECONDS:
		text_u64(text, value / EBB_NS_PER_SEC);
		text_printf(text, ".%09u", (unsigned)(value % EBB_NS_PER_SEC));
		break;
	case FORM_MICROSECONDS: text_u64(text, value / 1000); break;
	}
	text_char(text, '\n');
}

static void add_label(struct text *text, const char *key, const char *value)
{
	if (!value)
		return;
	text_printf(text, ",%s=\"", key);
	text_label(text, value);
	text_char(text, '"');
}

/* As cAdvisor has them: `container` is the name within the pod. */
static void add_labels(struct text *text, const struct container_labels *labels)
{
	if (!labels)
		return;
	add_label(text, "image", labels->image);
	if (!labels->pod)
		return;
	add_label(text, "namespace", labels->namespace);
	add_label(text, "pod", labels->pod);
	add_label(text, "container", labels->name);
}

/* One family of the six. */
static void add_pressure(struct text *text, enum pressure_kind kind, bool full,
			 const struct metrics_container *containers, size_t n,
			 const struct text *labels, const size_t *starts)
{
	static const char *const names[PRESSURE_MAX] = {
		[PRESSURE_CPU] = "cpu",
		[PRESSURE_MEM] = "memory",
		[PRESSURE_IO] = "io",
	};
	char name[64], help[64];
	bool any = false;

	snprintf(name, sizeof(name), "container_pressure_%s_%s_seconds_total", names[kind],
		 full ? "stalled" : "waiting");
	snprintf(help, sizeof(help), "Time in which %s waited for %s.",
		 full ? "all tasks" : "a task", names[kind]);
	for (size_t i = 0; i < n; i++) {
		const struct pressure *pressure = containers[i].pressure;

		if (!(containers[i].has_pressure & 1U << kind))
			continue;
		if (!any)
			add_head(text, name, "counter", help);
		any = true;
		text_str(text, name);
		text_char(text, '{');
		text_add(text, labels->data + starts[i], starts[i + 1] - starts[i]);
		text_char(text, '}');
		add_value(text, FORM_SECONDS,
			  1000 * (full ? pressure[kind].full_us : pressure[kind].some_us));
	}
}

void metrics_write_containers(struct text *text, const struct metrics_container *containers,
			      size_t n)
{
	struct text labels = {0};
	_cleanup_free_ size_t *starts = calloc(n + 1, sizeof(*starts));

	if (!starts) {
		text->failed = true;
		return;
	}
	/* Escaped once, used by every family. */
	for (size_t i = 0; i < n; i++) {
		text_str(&labels, "id=\"/");
		text_label(&labels, containers[i].path + (containers[i].path[0] == '/'));
		text_str(&labels, "\",name=\"");
		text_label(&labels, containers[i].name);
		text_char(&labels, '"');
		add_labels(&labels, containers[i].labels);
		starts[i + 1] = labels.len;
	}
	text->failed = text->failed || labels.failed;

	for (size_t f = 0; f < ARRAY_SIZE(families) && !text->failed; f++) {
		const struct family *family = &families[f];

		add_head(text, family->name, family->type, family->help);
		for (size_t i = 0; i < n; i++) {
			const struct ebb_sample *sample = &containers[i].sample;
			uint64_t value = value_of(family, sample);
			bool is_limit =
				family->offset == AT(quota_ns) || family->offset == AT(mem_limit);

			if (!(sample->valid & family->valid))
				continue;
			if (is_limit && value == EBB_UNLIMITED) {
				if (family->unlimited == UNLIMITED_ABSENT)
					continue;
				value = 0;
			}
			text_str(text, family->name);
			text_char(text, '{');
			text_add(text, labels.data + starts[i], starts[i + 1] - starts[i]);
			text_str(text, family->labels);
			text_char(text, '}');
			add_value(text, family->form, value);
		}
	}
	for (int p = 0; p < 2 * PRESSURE_MAX && !text->failed; p++)
		add_pressure(text, p / 2, p % 2, containers, n, &labels, starts);
	text_clear(&labels);
}

static void add_own(struct text *text, const char *name, const char *type, const char *help,
		    double value)
{
	add_head(text, name, type, help);
	text_str(text, name);
	text_char(text, ' ');
	text_number(text, value);
	text_char(text, '\n');
}

static double seconds_of(struct timeval t)
{
	return (double)t.tv_sec + (double)t.tv_usec * 1e-6;
}

static void add_process(struct text *text)
{
	struct rusage usage;
	char statm[128], *resident;

	if (getrusage(RUSAGE_SELF, &usage) == 0)
		add_own(text, "ebb_agent_cpu_seconds_total", "counter",
			"CPU time of the agent itself, its BPF sweeps included.",
			seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime));
	if (read_file_at(AT_FDCWD, "/proc/self/statm", statm, sizeof(statm)) > 0 &&
	    (resident = strchr(statm, ' ')))
		add_own(text, "ebb_agent_resident_memory_bytes", "gauge",
			"Resident memory of the agent, its maps included.",
			(double)strtoull(resident, NULL, 10) * (double)sysconf(_SC_PAGESIZE));
}

static void add_feed(struct text *text, const struct feed *feed)
{
	struct feed_stats stats;

	feed_get_stats(feed, &stats);
	add_own(text, "ebb_agent_feed_connected", "gauge",
		"1 while the controller answers and knows this agent.", stats.connected);
	add_own(text, "ebb_agent_feed_batches_total", "counter", "Batches that arrived.",
		(double)stats.batches);
	add_own(text, "ebb_agent_feed_urgent_total", "counter",
		"Messages that arrived out of turn.", (double)stats.urgent);
	add_own(text, "ebb_agent_feed_failures_total", "counter", "Messages that did not arrive.",
		(double)stats.failures);
	add_own(text, "ebb_agent_feed_samples_total", "counter", "Samples that arrived.",
		(double)stats.samples_sent);
	add_own(text, "ebb_agent_feed_dropped_samples_total", "counter",
		"Samples of guarded containers dropped while the controller was away.",
		(double)stats.samples_dropped);
	add_own(text, "ebb_agent_foreign_limit_changes_total", "counter",
		"Limits changed by another hand than this API.", (double)stats.foreign);
}

static void add_applier(struct text *text, const struct applier *applier)
{
	struct applier_stats stats;

	applier_get_stats(applier, &stats);
	add_own(text, "ebb_agent_orders_total", "counter", "Orders taken to change limits.",
		(double)stats.orders);
	add_own(text, "ebb_agent_limit_writes_total", "counter", "Limits written and read back.",
		(double)stats.writes);
	add_own(text, "ebb_agent_limit_errors_total", "counter", "Limits that could not be set.",
		(double)stats.errors);
	add_own(text, "ebb_agent_memory_floored_total", "counter",
		"Memory limits lowered less than asked, to spare what is in use.",
		(double)stats.floored);
}

static void add_reflex(struct text *text, const struct grower *grower)
{
	struct grower_stats stats;

	grower_get_stats(grower, &stats);
	add_head(text, "ebb_agent_reflex_growths_total", "counter",
		 "Limits raised between two decisions of the controller.");
	for (enum reflex_resource r = 0; r < REFLEX_MAX; r++)
		text_printf(text, "ebb_agent_reflex_growths_total{resource=\"%s\"} %lu\n",
			    ebb_resource_name(reflex_resource(r)), stats.growths[r]);
	add_own(text, "ebb_agent_reflex_failures_total", "counter",
		"Limits that the reflex could not raise.", (double)stats.failed);
	add_own(text, "ebb_agent_reflex_refused_orders_total", "counter",
		"Orders refused because they were made without knowing of a growth.",
		(double)stats.refused);
	add_own(text, "ebb_agent_reflex_reaction_seconds_total", "counter",
		"Time from the first look that found a want to the raised limit.",
		(double)stats.reaction_ns / EBB_NS_PER_SEC);
	add_own(text, "ebb_agent_reflex_watched", "gauge",
		"Containers looked at every 10 ms while a lease holds.", stats.watched);
	add_own(text, "ebb_agent_reflex_lease_seconds", "gauge",
		"What is left of the controller's lease, 0 without one.", stats.lease_s);
	add_own(text, "ebb_agent_reflex_looks_total", "counter", "Looks between two sweeps.",
		(double)stats.looks);
	add_own(text, "ebb_agent_reflex_look_seconds_total", "counter", "Time spent in them.",
		(double)stats.look_ns / EBB_NS_PER_SEC);
}

static void add_series(struct text *text, struct series *series, struct tsdb *tsdb)
{
	struct series_stats own;
	struct tsdb_stats stats;

	series_get_stats(series, &own);
	tsdb_get_stats(tsdb, &stats);
	add_own(text, "ebb_agent_opentsdb_reachable", "gauge",
		"1 while the OpenTSDB takes what it is sent.", stats.reachable);
	add_own(text, "ebb_agent_opentsdb_points_total", "counter",
		"Points that the OpenTSDB has taken.", (double)stats.points);
	add_own(text, "ebb_agent_opentsdb_bodies_total", "counter",
		"Requests with points that it has taken.", (double)stats.bodies);
	add_own(text, "ebb_agent_opentsdb_rejected_points_total", "counter",
		"Points that it refused one by one, such as those of unknown metrics.",
		(double)stats.rejected);
	add_own(text, "ebb_agent_opentsdb_dropped_points_total", "counter",
		"Points lost because the spool was full or failed.", (double)stats.dropped);
	add_own(text, "ebb_agent_opentsdb_failures_total", "counter",
		"Requests with points without success.", (double)stats.failures);
	add_own(text, "ebb_agent_opentsdb_waiting_points", "gauge", "Points in the spool.",
		(double)stats.waiting_points);
	add_own(text, "ebb_agent_opentsdb_waiting_bytes", "gauge", "Size of the spool.",
		(double)stats.waiting_bytes);
	add_own(text, "ebb_agent_opentsdb_oldest_seconds", "gauge",
		"Age of the oldest point in the spool, 0 without one.", stats.oldest_s);
	add_own(text, "ebb_agent_series_intervals_total", "counter", "Intervals written.",
		(double)own.intervals);
	add_own(text, "ebb_agent_series_points_total", "counter", "Points made of them.",
		(double)own.points);
	add_own(text, "ebb_agent_series_late_total", "counter",
		"Intervals left out because those before were still being written.",
		(double)own.late);
	add_own(text, "ebb_agent_series_lost_exits_total", "counter",
		"Ended processes whose last numbers were lost.", (double)own.lost_exits);
	add_own(text, "ebb_agent_series_processes", "gauge", "Processes in the last interval.",
		own.processes);
	add_own(text, "ebb_agent_series_collect_seconds_total", "counter",
		"CPU time spent looking at processes.", (double)own.collect_ns / EBB_NS_PER_SEC);
	add_own(text, "ebb_agent_series_encode_seconds_total", "counter",
		"CPU time spent making points.", (double)own.encode_ns / EBB_NS_PER_SEC);
}

static void add_server(struct text *text, const struct http_server *server)
{
	struct http_server_stats stats;

	http_server_get_stats(server, &stats);
	add_own(text, "ebb_agent_http_requests_total", "counter", "API requests.",
		(double)stats.requests);
	add_head(text, "ebb_agent_http_errors_total", "counter", "API requests that failed.");
	text_printf(text, "ebb_agent_http_errors_total{class=\"4xx\"} %lu\n", stats.errors_4xx);
	text_printf(text, "ebb_agent_http_errors_total{class=\"5xx\"} %lu\n", stats.errors_5xx);
	add_own(text, "ebb_agent_http_connections", "gauge", "Open connections.",
		(double)stats.connections);
	add_own(text, "ebb_agent_http_evicted_total", "counter",
		"Connections closed because there were too many.", (double)stats.evicted);
	add_own(text, "ebb_agent_http_timed_out_total", "counter",
		"Connections closed because a request took too long to come.",
		(double)stats.timed_out);
}

static void add_programs(struct text *text, struct bpf_programs *bpf)
{
	struct bpf_program_info infos[16];
	size_t n = bpf_programs_info(bpf, infos, ARRAY_SIZE(infos));

	if (!n)
		return;
	add_head(text, "ebb_agent_bpf_run_seconds_total", "counter",
		 "Run time of a BPF program, while the kernel's BPF statistics are on.");
	for (size_t i = 0; i < n; i++) {
		text_printf(text, "ebb_agent_bpf_run_seconds_total{program=\"%s\"}", infos[i].name);
		add_value(text, FORM_SECONDS, infos[i].run_ns);
	}
	add_head(text, "ebb_agent_bpf_runs_total", "counter",
		 "Runs of a BPF program, while the kernel's BPF statistics are on.");
	for (size_t i = 0; i < n; i++)
		text_printf(text, "ebb_agent_bpf_runs_total{program=\"%s\"} %llu\n", infos[i].name,
			    infos[i].run_count);
}

static void add_sampler(struct text *text, const struct metrics_source *source)
{
	struct sampler_stats stats;

	sampler_get_stats(source->sampler, &stats);
	add_head(text, "ebb_agent_build_info", "gauge", "Always 1.");
	text_printf(text, "ebb_agent_build_info{version=\"%s\"} 1\n", ebb_version());
	add_head(text, "ebb_agent_sampler_info", "gauge", "Always 1; how samples are taken.");
	text_printf(text, "ebb_agent_sampler_info{kind=\"%s\",cgroup=\"%s\",reason=\"",
		    sampler_name(source->sampler), hierarchies_kind(source->hierarchies));
	text_label(text, sampler_reason(source->sampler));
	text_str(text, "\"} 1\n");
	add_own(text, "ebb_agent_containers", "gauge", "Containers known.",
		(double)container_table_count(source->table));
	add_own(text, "ebb_agent_sampler_slots", "gauge", "Containers being sampled.",
		stats.slots_used);
	add_own(text, "ebb_agent_sweeps_total", "counter", "Sweeps over all containers.",
		(double)stats.sweeps);
	add_head(text, "ebb_agent_sweep_seconds_total", "counter", "Time spent in sweeps.");
	text_str(text, "ebb_agent_sweep_seconds_total");
	add_value(text, FORM_SECONDS, stats.sweep_ns);
}

int metrics_write(struct text *text, const struct metrics_source *source)
{
	size_t n = 0, count = container_table_count(source->table);
	_cleanup_free_ struct metrics_container *containers =
		calloc(count + 1, sizeof(*containers));
	struct container *container;

	if (!containers)
		return -ENOMEM;
	container_table_foreach(source->table, container) {
		struct metrics_container *one = &containers[n];

		if (container->slot < 0 || container->unnamed ||
		    !sampler_read(source->sampler, container->slot, &one->sample) ||
		    one->sample.id != container->id)
			continue;
		one->name = container->name;
		one->path = container->path;
		one->has_pressure = container->has_pressure;
		one->pressure = container->pressure;
		one->labels = &container->labels;
		n++;
	}
	metrics_write_containers(text, containers, n);
	add_sampler(text, source);
	add_applier(text, source->applier);
	if (source->grower)
		add_reflex(text, source->grower);
	add_own(text, "ebb_agent_term", "gauge",
		"The highest term of a controller that was heard of.", (double)source->term->seen);
	add_own(text, "ebb_agent_outdated_total", "counter",
		"Orders and feed answers refused for their lower term.",
		(double)source->term->refused);
	if (source->feed)
		add_feed(text, source->feed);
	if (source->series)
		add_series(text, source->series, source->tsdb);
	if (source->server)
		add_server(text, source->server);
	if (source->bpf)
		add_programs(text, source->bpf);
	add_process(text);
	return text->failed ? -ENOMEM : 0;
}
