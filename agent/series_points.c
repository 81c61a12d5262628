/* SPDX-License-Identifier: Apache-2.0 */
#include "series_points.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hash.h"
#include "series_host.h"
#include "series_lines.h"
#include "series_process.h"
#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/loop.h"
#include "ebb/tsdb_metrics.h"
#include "ebb/units.h"

/* Pairs of container and command that came and went within one interval. */
#define GONE_MAX 8192
/* A container name, every byte of which may become a word. */
#define HOST_TAG_MAX 512

/* A container from one interval to the next. */
struct owner {
	uint64_t id; /* 0: the host, for what is in no container */
	char *tags;  /* {host=name} */
	char host[HOST_TAG_MAX];
	struct ebb_sample before, now;
	bool has_before;
	struct series_files files;
	struct series_files_read read_before, read_now;
	struct series_cpu_times cpu_before, cpu_now;
	uint64_t resident;
	struct series_sums sums;
	double rest[SERIES_BASE_MAX]; /* of processes too small for a series of their own */
	bool gone;
	unsigned round;
	size_t position;
};

struct series_points {
	unsigned sets;
	struct tasks *tasks;
	struct process_table *processes;
	struct series_host *host;
	struct owner **owners; /* the first is the host */
	size_t n_owners, size_owners;
	struct hash by_id;
	struct series_lines lines; /* of containers and processes, in this interval */
	unsigned round;
	long page_size;
	bool look_failing, host_failing;

	/* While an interval is written. */
	struct tsdb_batch *batch;
	int64_t timestamp;
	int error;

	struct series_points_stats stats;
	unsigned long not_counted; /* ended processes for whom there was no place */
};

static uint64_t thread_cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * EBB_NS_PER_SEC + (uint64_t)t.tv_nsec;
}

/* --- Points ----------------------------------------------------------------------------------- */

static void put(struct series_points *points, const char *metric, double value, const char *tags)
{
	int r = tsdb_batch_add_encoded(points->batch, metric, points->timestamp, value, tags);

	if (r < 0)
		points->error = r;
	else
		points->stats.points++;
}

static char *encode_tags(const struct tsdb_tag *tags, size_t n)
{
	char buffer[TSDB_TAGS_TEXT];

	return tsdb_tags_encode(tags, n, buffer, sizeof(buffer)) < 0 ? NULL : strdup(buffer);
}

static char *process_tags(const struct owner *owner, const char *pid, const char *comm)
{
	char command[256], name[EBB_COMM_MAX + 1];

	snprintf(name, sizeof(name), "%.*s", EBB_COMM_MAX, comm);
	tsdb_sanitize(name, command, sizeof(command));
	return encode_tags(
		(const struct tsdb_tag[]){
			{"host", owner->host},
			{"pid", pid},
			{"command", command},
		},
		3);
}

static const enum series_value group_values[][2] = {
	{SERIES_CPU_USER, SERIES_CPU_KERNEL},
	{SERIES_RESIDENT, SERIES_VIRTUAL},
	{SERIES_READS, SERIES_WRITES},
};

/* To what the others with these tags have; all of it is written at the end of the interval. */
static void add_line(struct series_points *points, const char *tags,
		     const struct series_values *values, bool gone)
{
	int r = series_lines_add(&points->lines, tags, values, gone);

	if (r < 0)
		points->error = r;
}

/* `values` NULL: zeros. */
static void add_groups(struct series_points *points, unsigned groups, const double *values,
		       const char *tags)
{
	struct series_values some = {0};

	for (unsigned g = 0; g < ARRAY_SIZE(group_values); g++) {
		if (!(groups & (1U << g)))
			continue;
		for (unsigned i = 0; i < 2; i++) {
			enum series_value what = group_values[g][i];

			some.valid |= 1U << what;
			some.value[what] = values ? values[what] : 0;
		}
	}
	if (some.valid)
		add_line(points, tags, &some, false);
}

static void put_lines(struct series_points *points)
{
	for (size_t i = 0; i < points->lines.n; i++) {
		const struct series_line *line = &points->lines.all[i];
		struct series_values values = series_line_values(line);

		for (unsigned what = 0; what < SERIES_VALUE_MAX; what++)
			if (values.valid & (1U << what))
				put(points, series_value_name(what), values.value[what],
				    line->tags);
	}
	series_lines_reset(&points->lines);
}

/* --- Owners ----------------------------------------------------------------------------------- */

static bool owner_equal(const void *value, const void *key)
{
	return ((const struct owner *)value)->id == *(const uint64_t *)key;
}

/* NULL: it has just come, or just gone. */
static struct owner *find_owner(struct series_points *points, uint64_t id)
{
	return hash_find(&points->by_id, hash_u64(id), owner_equal, &id);
}

static void owner_free(struct owner *owner)
{
	if (!owner)
		return;
	series_files_close(&owner->files);
	free(owner->tags);
	free(owner);
}

static int owner_add(struct series_points *points, uint64_t id, const char *name,
		     struct owner **ret_owner)
{
	struct owner *owner;
	int r;

	if (points->n_owners == points->size_owners) {
		size_t size = points->size_owners ? 2 * points->size_owners : 64;
		struct owner **owners = realloc(points->owners, size * sizeof(*owners));

		if (!owners)
			return -ENOMEM;
		points->owners = owners;
		points->size_owners = size;
	}
	owner = calloc(1, sizeof(*owner));
	if (!owner)
		return -ENOMEM;
	owner->id = id;
	owner->files = SERIES_FILES_NONE;
	tsdb_sanitize(name, owner->host, sizeof(owner->host));
	owner->tags = encode_tags(&(const struct tsdb_tag){"host", owner->host}, 1);
	r = owner->tags ? hash_add(&points->by_id, hash_u64(id), owner) : -ENOMEM;
	if (r < 0) {
		owner_free(owner);
		return r;
	}
	owner->position = points->n_owners;
	points->owners[points->n_owners++] = owner;
	*ret_owner = owner;
	return 0;
}

static void owner_remove(struct series_points *points, struct owner *owner)
{
	struct owner *last = points->owners[--points->n_owners];

	hash_remove(&points->by_id, hash_u64(owner->id), owner);
	last->position = owner->position;
	points->owners[last->position] = last;
	owner_free(owner);
}

/* Goes on under its new name, from the same counters. */
static int follow_name(struct owner *owner, const char *name)
{
	char host[sizeof(owner->host)];

	tsdb_sanitize(name, host, sizeof(host));
	if (!strcmp(host, owner->host))
		return 0;
	char *tags = encode_tags(&(const struct tsdb_tag){"host", host}, 1);
	if (!tags)
		return -ENOMEM;
	free(owner->tags);
	owner->tags = tags;
	memcpy(owner->host, host, sizeof(host));
	return 0;
}

static int take_container(struct series_points *points, struct series_handed *handed,
			  const char *name)
{
	struct owner *owner = find_owner(points, handed->id);
	int r;

	r = owner ? follow_name(owner, name) : owner_add(points, handed->id, name, &owner);
	if (r < 0)
		return r;
	if (handed->has_dirs) {
		series_files_open(&owner->files, &handed->dirs);
		handed->has_dirs = false;
	}
	owner->now = handed->sample;
	owner->gone = handed->gone;
	owner->round = points->round;
	if (series_files_any(&owner->files))
		series_files_read(&owner->files, &owner->read_now, &owner->cpu_now,
				  &owner->resident);
	else
		owner->read_now = (struct series_files_read){0};
	return 0;
}

/* Where processes cannot be had. */
static void sums_from_files(struct owner *owner)
{
	const struct series_cpu_times *before = &owner->cpu_before, *now = &owner->cpu_now;
	struct series_sums *sums = &owner->sums;

	sums->resident_bytes = owner->resident;
	if (!before->valid || !now->valid)
		return;
	if (now->user_ns > before->user_ns)
		sums->utime_ns = now->user_ns - before->user_ns;
	if (now->kernel_ns > before->kernel_ns)
		sums->stime_ns = now->kernel_ns - before->kernel_ns;
}

static void put_container(struct series_points *points, struct owner *owner)
{
	bool base = !(points->sets & TSDB_SET_PROCESS);
	struct series_values values;

	if (!points->tasks)
		sums_from_files(owner);
	series_container_values(owner->has_before ? &owner->before : NULL, &owner->now,
				&owner->sums, process_table_seconds(points->processes), &values);
	series_pressure_values(owner->has_before ? &owner->read_before : NULL, &owner->read_now,
			       &values);
	if (!points->tasks)
		values.valid &= ~(1U << SERIES_VIRTUAL);
	if (!base)
		values.valid &= ~((1U << SERIES_BASE_MAX) - 1);
	add_line(points, owner->tags, &values, owner->gone);
}

static void finish_owner(struct owner *owner)
{
	owner->before = owner->now;
	owner->read_before = owner->read_now;
	owner->cpu_before = owner->cpu_now;
	owner->has_before = true;
	owner->sums = (struct series_sums){0};
	memset(owner->rest, 0, sizeof(owner->rest));
}

/* --- Processes -------------------------------------------------------------------------------- */

static void add_sums(struct series_points *points, struct owner *owner,
		     const struct process_use *use, bool unknown)
{
	struct series_sums *sums = &owner->sums;

	sums->runtime_ns += use->runtime_ns;
	sums->utime_ns += use->utime_ns;
	sums->stime_ns += use->stime_ns;
	sums->read_bytes += use->read_bytes;
	sums->write_bytes += use->write_bytes;
	sums->resident_bytes += use->rss_pages * (uint64_t)points->page_size;
	sums->virtual_bytes += use->vm_pages * (uint64_t)points->page_size;
	sums->processes++;
	sums->unknown |= unknown;
}

static void use_values(const struct series_points *points, const struct process_use *use,
		       double seconds, double *ret_values)
{
	double rate = seconds > 0 ? 1 / seconds : 0;
	double mib = 1.0 / EBB_MIB;

	ret_values[SERIES_CPU_USER] = (double)use->user_ns * rate * 100 / EBB_NS_PER_SEC;
	ret_values[SERIES_CPU_KERNEL] = (double)use->kernel_ns * rate * 100 / EBB_NS_PER_SEC;
	ret_values[SERIES_RESIDENT] = (double)use->rss_pages * (double)points->page_size * mib;
	ret_values[SERIES_VIRTUAL] = (double)use->vm_pages * (double)points->page_size * mib;
	ret_values[SERIES_READS] = (double)use->read_bytes * rate * mib;
	ret_values[SERIES_WRITES] = (double)use->write_bytes * rate * mib;
}

/* What gets no series of its own is in its owner's, so that the sum is that of all. */
static void add_rest(struct owner *owner, unsigned written, const double *values)
{
	for (unsigned g = 0; g < ARRAY_SIZE(group_values); g++)
		if (!(written & (1U << g)))
			for (unsigned i = 0; i < 2; i++)
				owner->rest[group_values[g][i]] += values[group_values[g][i]];
}

static void add_rest_line(struct series_points *points, const struct owner *owner)
{
	struct series_values values = {.valid = (1U << SERIES_BASE_MAX) - 1};

	memcpy(values.value, owner->rest, sizeof(owner->rest));
	add_line(points, owner->tags, &values, owner->gone);
}

/* Writes what is worth it, closes by a zero what was and is no more; what is open then. */
static unsigned put_use(struct series_points *points, struct owner *owner, const double *values,
			unsigned open, char **tags, const char *pid, const char *comm)
{
	unsigned worth = series_groups_worth(values);

	if ((worth | open) && !*tags)
		*tags = process_tags(owner, pid, comm);
	if (!*tags)
		worth = 0;
	else
		add_groups(points, open & ~worth, NULL, *tags);
	add_groups(points, worth, values, *tags);
	add_rest(owner, worth, values);
	return worth;
}

static void put_process(struct series_points *points, struct process *process, double seconds)
{
	struct owner *owner = find_owner(points, process->last.container_id);
	double values[SERIES_BASE_MAX];
	char pid[16];

	add_groups(points, process->closing, NULL, process->closing_tags);
	process->closing = 0;
	if (!owner) {
		/* Its container has gone, or has just come and will be handed over next time. */
		add_groups(points, process->open, NULL, process->tags);
		process->open = 0;
		process->keep = true;
		return;
	}
	add_sums(points, owner, &process->use, process->unknown);
	if (!(points->sets & TSDB_SET_PROCESS))
		return;
	use_values(points, &process->use, seconds, values);
	snprintf(pid, sizeof(pid), "%u", process->last.pid);
	process->open = put_use(points, owner, values, process->open, &process->tags, pid,
				process->last.comm);
}

/* A pid of its own for each would make series without end. */
static void put_gone(struct series_points *points, struct process_gone *gone, double seconds)
{
	struct owner *owner = find_owner(points, gone->container_id);
	double values[SERIES_BASE_MAX];

	if (!owner) {
		add_groups(points, gone->open, NULL, gone->tags);
		gone->open = 0;
		gone->keep = true;
		return;
	}
	add_sums(points, owner, &gone->use, false);
	if (!(points->sets & TSDB_SET_PROCESS))
		return;
	use_values(points, &gone->use, seconds, values);
	gone->open = put_use(points, owner, values, gone->open, &gone->tags, "0", gone->comm);
}

static void put_processes(struct series_points *points)
{
	double seconds = process_table_seconds(points->processes);

	for (size_t i = 0; i < process_table_count(points->processes); i++)
		put_process(points, process_table_at(points->processes, i), seconds);
	for (size_t i = 0; i < process_table_gone_count(points->processes); i++)
		put_gone(points, process_table_gone_at(points->processes, i), seconds);
}

static void on_process(void *userdata, const struct ebb_process *process)
{
	struct series_points *points = userdata;

	points->stats.processes++;
	process_table_add(points->processes, process);
}

static void on_ended(void *userdata, const struct ebb_process *process)
{
	struct series_points *points = userdata;

	if (process_table_ended(points->processes, process) < 0)
		points->not_counted++;
}

int series_points_drain(struct series_points *points)
{
	return points->tasks ? tasks_drain(points->tasks, on_ended, points) : 0;
}

static void look(struct series_points *points)
{
	uint64_t start = thread_cpu_ns();
	int r;

	if (!points->tasks)
		return;
	process_table_look(points->processes, now_ns());
	points->stats.processes = 0;
	r = tasks_read(points->tasks, on_process, points);
	if (r == 0)
		process_table_seen(points->processes);
	if (r < 0 && !points->look_failing)
		log_warning_errno(r, "cannot read what processes use");
	points->look_failing = r < 0;
	series_points_drain(points);
	points->stats.look_ns += thread_cpu_ns() - start;
}

/* --- The whole -------------------------------------------------------------------------------- */

static void put_host_point(void *userdata, const char *metric, const char *key, const char *value,
			   double number)
{
	struct series_points *points = userdata;
	const struct owner *host = points->owners[0];
	char clean[256], buffer[TSDB_TAGS_TEXT];

	if (!key) {
		put(points, metric, number, host->tags);
		return;
	}
	tsdb_sanitize(value, clean, sizeof(clean));
	if (tsdb_tags_encode((const struct tsdb_tag[]){{"host", host->host}, {key, clean}}, 2,
			     buffer, sizeof(buffer)) >= 0)
		put(points, metric, number, buffer);
}

static void put_host(struct series_points *points)
{
	int r = series_host_read(points->host, put_host_point, points);

	if (r < 0 && !points->host_failing)
		log_warning_errno(r, "cannot read what the host uses from /proc");
	points->host_failing = r < 0;
}

static int take_handed(struct series_points *points, struct series_handed *handed, size_t n,
		       const char *names)
{
	int r = 0;

	points->round++;
	points->owners[0]->round = points->round;
	for (size_t i = 0; i < n; i++) {
		int one = take_container(points, &handed[i], names + handed[i].name);

		if (one < 0)
			r = one;
	}
	/* Those that went without a last sample. */
	for (size_t i = points->n_owners; i-- > 1;)
		if (points->owners[i]->round != points->round)
			owner_remove(points, points->owners[i]);
	return r;
}

int series_points_interval(struct series_points *points, int64_t timestamp,
			   struct series_handed *handed, size_t n, const char *names,
			   struct tsdb_batch *batch)
{
	uint64_t start;
	int r;

	points->batch = batch;
	points->timestamp = timestamp;
	points->error = 0;
	look(points);

	start = thread_cpu_ns();
	r = take_handed(points, handed, n, names);
	put_processes(points);
	for (size_t i = 1; i < points->n_owners; i++)
		if (points->sets & TSDB_SET_CONTAINER)
			put_container(points, points->owners[i]);
	for (size_t i = 0; i < points->n_owners; i++) {
		struct owner *owner = points->owners[i];

		if (points->sets & TSDB_SET_PROCESS)
			add_rest_line(points, owner);
		finish_owner(owner);
	}
	put_lines(points);
	for (size_t i = points->n_owners; i-- > 1;)
		if (points->owners[i]->gone)
			owner_remove(points, points->owners[i]);
	process_table_next(points->processes);
	if (points->sets & TSDB_SET_HOST)
		put_host(points);
	points->stats.encode_ns += thread_cpu_ns() - start;
	points->batch = NULL;
	return r < 0 ? r : points->error;
}

void series_points_start(struct series_points *points)
{
	look(points);
	process_table_next(points->processes);
}

int series_points_new(const struct series_points_options *options,
		      struct series_points **ret_points)
{
	struct series_points *points = calloc(1, sizeof(*points));
	struct owner *host;
	int r;

	if (!points)
		return -ENOMEM;
	points->sets = options->sets;
	points->tasks = options->tasks;
	points->page_size = sysconf(_SC_PAGESIZE);
	r = process_table_new(GONE_MAX, &points->processes);
	if (r == 0)
		r = owner_add(points, 0, options->host_name, &host);
	if (r == 0 && (options->sets & TSDB_SET_HOST))
		r = series_host_new(&points->host);
	if (r < 0) {
		series_points_free(points);
		return r;
	}
	*ret_points = points;
	return 0;
}

void series_points_free(struct series_points *points)
{
	if (!points)
		return;
	for (size_t i = 0; i < points->n_owners; i++)
		owner_free(points->owners[i]);
	free(points->owners);
	hash_clear(&points->by_id);
	series_lines_clear(&points->lines);
	process_table_free(points->processes);
	series_host_free(points->host);
	free(points);
}

void series_points_get_stats(const struct series_points *points,
			     struct series_points_stats *ret_stats)
{
	*ret_stats = points->stats;
	ret_stats->lost_exits =
		points->not_counted + (points->tasks ? tasks_lost(points->tasks) : 0);
}
