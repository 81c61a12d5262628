/* SPDX-License-Identifier: Apache-2.0 */
#include "series.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "series_points.h"
#include "tasks.h"
#include "text.h"
#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/units.h"

/* An older sample is taken anew: rates shall end where the interval does. */
#define SAMPLE_AGE_MAX_NS (250 * EBB_NS_PER_MS)
/* Containers that went since the last interval. */
#define GONE_MAX 4096
/* How often the buffer of ended processes is emptied; the fast way when it was a quarter full. */
#define DRAIN_NS      EBB_NS_PER_SEC
#define DRAIN_FAST_NS (50 * EBB_NS_PER_MS)

/* From the loop to the thread. */
struct handover {
	int64_t timestamp;
	struct series_handed *all;
	size_t n, size;
	struct text names;
	struct handover *next;
};

struct series {
	struct series_options options;
	struct loop_source *timer;
	int64_t last_s;
	uint64_t last_ns;           /* CLOCK_MONOTONIC, at that */
	unsigned long without_last; /* containers that went, not told of yet */
	uint64_t told_without_last_ns;
	bool needs_dirs, told_descriptors;
	struct handover gone; /* the loop's: containers that went, for the next interval */

	pthread_t thread;
	bool running;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	/* Below: under `lock`. */
	struct handover buffers[2], *spare, *ready;
	bool stopping;
	struct series_stats stats;
	/* The thread's. */
	struct tasks *tasks;
	struct series_points *points;
	bool failing;
};

/* --- Time ------------------------------------------------------------------------------------- */

bool series_is_due(int64_t wall_ms, unsigned period_s, int64_t last_s, int64_t *ret_timestamp,
		   unsigned *ret_wait_ms)
{
	int64_t period_ms = (int64_t)period_s * 1000;
	/* The timer runs on another clock and may come a little early. */
	int64_t timestamp = (wall_ms + period_ms / 4) / period_ms * period_s;
	int64_t next_s = (wall_ms / period_ms + 1) * period_s;

	/* Due early: not again a moment later. */
	if (next_s == timestamp)
		next_s += period_s;
	*ret_wait_ms = (unsigned)(next_s * 1000 - wall_ms);
	/* Between two multiples there is nothing to write, but for one that comes late. */
	if (timestamp == last_s)
		return false;
	*ret_timestamp = timestamp;
	return true;
}

unsigned long series_passed_over(int64_t timestamp, int64_t last_s, unsigned period_s,
				 uint64_t elapsed_ns)
{
	uint64_t period_ns = period_s * EBB_NS_PER_SEC;
	uint64_t steps;

	if (!last_s || timestamp <= last_s)
		return 0;
	steps = (uint64_t)(timestamp - last_s) / period_s;
	/*
	 * A timer writes for a moment from a quarter of a period before it on, to three quarters
	 * after it: so many more steps than periods go by at most. Beyond, the clock was set.
	 */
	if (steps > (elapsed_ns + period_ns - 1) / period_ns)
		steps = (elapsed_ns + period_ns / 2) / period_ns;
	return (unsigned long)(MAX(steps, (uint64_t)1) - 1);
}

static int64_t wall_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* --- The loop's side -------------------------------------------------------------------------- */

static struct series_handed *hand(struct handover *handover, uint64_t id, const char *name)
{
	struct series_handed *handed;

	if (handover->n == handover->size) {
		size_t size = handover->size ? 2 * handover->size : 64;
		struct series_handed *all = realloc(handover->all, size * sizeof(*all));

		if (!all)
			return NULL;
		handover->all = all;
		handover->size = size;
	}
	handed = &handover->all[handover->n];
	*handed = (struct series_handed){
		.id = id, .name = handover->names.len, .dirs = SERIES_DIRS_NONE};
	text_add(&handover->names, name, strlen(name) + 1);
	if (handover->names.failed)
		return NULL;
	handover->n++;
	return handed;
}

static void handover_reset(struct handover *handover)
{
	for (size_t i = 0; i < handover->n; i++)
		if (handover->all[i].has_dirs)
			series_dirs_close(&handover->all[i].dirs);
	handover->n = 0;
	text_reset(&handover->names);
}

static void handover_clear(struct handover *handover)
{
	handover_reset(handover);
	free(handover->all);
	text_clear(&handover->names);
}

static void hand_dirs(struct series *series, struct container *container,
		      struct series_handed *handed)
{
	int r;

	if (!series->needs_dirs || container->in_series)
		return;
	r = series_dirs_dup(series->options.hierarchies, container->dir_fds, series->tasks != NULL,
			    &handed->dirs);
	if (r == 0) {
		handed->has_dirs = container->in_series = true;
		return;
	}
	if (!series->told_descriptors)
		log_warning_errno(r,
				  "%s: cannot keep its directory for the series; raise the "
				  "limit of open files (LimitNOFILE=)",
				  container->name);
	series->told_descriptors = true;
}

static void hand_over(struct series *series, struct handover *handover)
{
	struct container *container;

	for (size_t i = 0; i < series->gone.n; i++) {
		const struct series_handed *gone = &series->gone.all[i];
		struct series_handed *handed =
			hand(handover, gone->id, series->gone.names.data + gone->name);

		if (!handed)
			break;
		handed->sample = gone->sample;
		handed->gone = true;
	}
	handover_reset(&series->gone);
	container_table_foreach(series->options.table, container) {
		struct ebb_sample sample;
		struct series_handed *handed;

		if (container->unnamed ||
		    !sampler_read(series->options.sampler, container->slot, &sample) ||
		    sample.id != container->id)
			continue;
		handed = hand(handover, container->id, container->name);
		if (!handed)
			return;
		handed->sample = sample;
		hand_dirs(series, container, handed);
	}
}

static void freshen(struct series *series)
{
	struct container *container;
	struct ebb_sample sample;
	uint64_t now = now_ns();

	container_table_foreach(series->options.table, container) {
		if (!sampler_read(series->options.sampler, container->slot, &sample))
			continue;
		if (now > sample.at_ns + SAMPLE_AGE_MAX_NS)
			sampler_sweep(series->options.sampler);
		return;
	}
}

static void write_interval(struct series *series, int64_t timestamp)
{
	struct handover *handover;

	pthread_mutex_lock(&series->lock);
	handover = series->spare;
	if (handover)
		series->spare = handover->next;
	else
		series->stats.late++;
	pthread_mutex_unlock(&series->lock);
	if (!handover)
		return;

	freshen(series);
	handover->timestamp = timestamp;
	hand_over(series, handover);

	pthread_mutex_lock(&series->lock);
	handover->next = NULL;
	if (series->ready)
		series->ready->next = handover;
	else
		series->ready = handover;
	pthread_cond_signal(&series->wake);
	pthread_mutex_unlock(&series->lock);
}

static void tell_without_last(struct series *series, uint64_t now)
{
	if (!series->without_last || (series->told_without_last_ns &&
				      now - series->told_without_last_ns < 60 * EBB_NS_PER_SEC))
		return;
	log_warning("%lu containers that went have no last point: more than %d within %u s, or no "
		    "memory",
		    series->without_last, GONE_MAX, series->options.period_s);
	series->without_last = 0;
	series->told_without_last_ns = now;
}

static void on_timer(void *userdata)
{
	struct series *series = userdata;
	int64_t timestamp;
	unsigned long passed;
	unsigned wait_ms;
	uint64_t now;

	if (series_is_due(wall_ms(), series->options.period_s, series->last_s, &timestamp,
			  &wait_ms)) {
		if (timestamp < series->last_s)
			log_warning("the clock went back by %lld s: series are written again from "
				    "there on",
				    (long long)(series->last_s - timestamp));
		now = now_ns();
		passed = series_passed_over(timestamp, series->last_s, series->options.period_s,
					    now - series->last_ns);
		if (passed) {
			pthread_mutex_lock(&series->lock);
			series->stats.late += passed;
			pthread_mutex_unlock(&series->lock);
		}
		series->last_s = timestamp;
		series->last_ns = now;
		tell_without_last(series, now);
		write_interval(series, timestamp);
	}
	loop_set_timer(series->timer, wait_ms * EBB_NS_PER_MS, 0);
}

void series_container_removed(struct series *series, struct container *container)
{
	struct ebb_sample sample;
	struct series_handed *handed;

	if (container->unnamed ||
	    !sampler_read(series->options.sampler, container->slot, &sample) ||
	    sample.id != container->id)
		return;
	handed = series->gone.n < GONE_MAX ? hand(&series->gone, container->id, container->name)
					   : NULL;
	if (handed)
		handed->sample = sample;
	else
		series->without_last++;
}

void series_container_joined(struct series *series, struct container *container)
{
	container->in_series = false;
}

/* --- The thread's side ------------------------------------------------------------------------ */

static void run_interval(struct series *series, struct handover *handover)
{
	struct tsdb_batch *batch = tsdb_batch_new();
	int r = -ENOMEM;

	if (batch) {
		r = series_points_interval(series->points, handover->timestamp, handover->all,
					   handover->n, handover->names.data, batch);
		if (tsdb_batch_count(batch))
			tsdb_submit(series->options.tsdb, batch); /* it counts what it drops */
		else
			tsdb_batch_free(batch);
	}
	if (r < 0 && !series->failing)
		log_warning_errno(r, "some series cannot be written");
	series->failing = r < 0;
	handover_reset(handover);
}

static void take_stats(struct series *series)
{
	struct series_points_stats points;

	series_points_get_stats(series->points, &points);
	series->stats.points = points.points;
	series->stats.lost_exits = points.lost_exits;
	series->stats.processes = points.processes;
	series->stats.collect_ns = points.look_ns;
	series->stats.encode_ns = points.encode_ns;
}

static void wait_until(struct series *series, uint64_t until_ns)
{
	struct timespec until = {.tv_sec = (time_t)(until_ns / EBB_NS_PER_SEC),
				 .tv_nsec = (long)(until_ns % EBB_NS_PER_SEC)};

	if (series->tasks)
		pthread_cond_timedwait(&series->wake, &series->lock, &until);
	else
		pthread_cond_wait(&series->wake, &series->lock);
}

static void *run(void *arg)
{
	struct series *series = arg;
	uint64_t drain_ns;

	pthread_setname_np(pthread_self(), "series");
	series_points_start(series->points);
	drain_ns = now_ns() + DRAIN_NS;
	pthread_mutex_lock(&series->lock);
	while (!series->stopping) {
		struct handover *handover = series->ready;

		if (!handover && now_ns() < drain_ns) {
			wait_until(series, drain_ns);
			continue;
		}
		if (handover)
			series->ready = handover->next;
		pthread_mutex_unlock(&series->lock);
		if (handover)
			run_interval(series, handover);
		drain_ns = now_ns() + (series_points_drain(series->points) > TASKS_ENDED_MAX / 4
					       ? DRAIN_FAST_NS
					       : DRAIN_NS);
		pthread_mutex_lock(&series->lock);
		if (handover) {
			handover->next = series->spare;
			series->spare = handover;
			series->stats.intervals++;
		}
		take_stats(series);
	}
	pthread_mutex_unlock(&series->lock);
	return NULL;
}

/* --- Start and end ---------------------------------------------------------------------------- */

int series_load_tasks(struct bpf_programs *bpf, const struct hierarchies *hierarchies,
		      unsigned sets, struct tasks **ret_tasks)
{
	bool outside = sets & TSDB_SET_PROCESS;
	struct tasks *tasks = NULL;
	int r = 0;

	if (sets & (TSDB_SET_CONTAINER | TSDB_SET_PROCESS))
		r = bpf ? tasks_new(bpf, hierarchies, outside, &tasks) : -EOPNOTSUPP;
	if (r < 0 && outside)
		return log_error_errno(r, "--opentsdb-sets process needs eBPF, which cannot read "
					  "processes here: leave `process` out");
	if (r < 0)
		log_warning_errno(r, "no eBPF to read processes: series come from cgroup files, "
				     "without proc.mem.virtual");
	*ret_tasks = tasks;
	return 0;
}

static int start_thread(struct series *series)
{
	pthread_condattr_t attributes;
	int r;

	pthread_mutex_init(&series->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&series->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	series->buffers[0].next = &series->buffers[1];
	series->spare = &series->buffers[0];
	r = pthread_create(&series->thread, NULL, run, series);
	series->running = r == 0;
	return -r;
}

int series_new(const struct series_options *options, struct series **ret_series)
{
	const struct hierarchies *hierarchies = options->hierarchies;
	struct series *series = calloc(1, sizeof(*series));
	int64_t unused;
	unsigned wait_ms;
	int r = 0;

	if (!series)
		return -ENOMEM;
	series->options = *options;
	series->tasks = options->tasks;
	series->needs_dirs =
		(options->sets & TSDB_SET_CONTAINER) &&
		(!series->tasks || hierarchies->by_controller[hierarchies->primary].version == 2);
	if (r == 0)
		r = series_points_new(
			&(struct series_points_options){
				.sets = options->sets,
				.host_name = options->host_name,
				.tasks = series->tasks,
			},
			&series->points);
	/* Not at once: the first interval starts at a whole multiple, too. */
	series_is_due(wall_ms(), options->period_s, 0, &unused, &wait_ms);
	if (r == 0)
		r = loop_add_timer(options->loop, wait_ms * EBB_NS_PER_MS, 0, on_timer, series,
				   &series->timer);
	if (r == 0)
		r = start_thread(series);
	if (r < 0) {
		series_free(series);
		return r;
	}
	*ret_series = series;
	return 0;
}

void series_free(struct series *series)
{
	if (!series)
		return;
	loop_remove(series->timer);
	if (series->running) {
		pthread_mutex_lock(&series->lock);
		series->stopping = true;
		pthread_cond_signal(&series->wake);
		pthread_mutex_unlock(&series->lock);
		pthread_join(series->thread, NULL);
		pthread_cond_destroy(&series->wake);
		pthread_mutex_destroy(&series->lock);
	}
	series_points_free(series->points);
	tasks_free(series->tasks);
	handover_clear(&series->gone);
	handover_clear(&series->buffers[0]);
	handover_clear(&series->buffers[1]);
	free(series);
}

void series_get_stats(struct series *series, struct series_stats *ret_stats)
{
	pthread_mutex_lock(&series->lock);
	*ret_stats = series->stats;
	pthread_mutex_unlock(&series->lock);
}
