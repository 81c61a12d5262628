/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the series of a site cost the controller: the Database Snapshoter with its points encoded as
 * for OpenTSDB, the Structures Snapshoter and the ReFeeder over applications of a hundred
 * containers, for 1,000, 10,000 and 100,000 containers. CPU time per container, how long the
 * model's lock was held at a time, and how long another thread that wants it all the time waited
 * for it.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "refeeder.h"
#include "snapshoter_database.h"
#include "snapshoter_structures.h"
#include "usage_history.h"
#include "ebb/cleanup.h"
#include "ebb/loop.h"
#include "ebb/tsdb.h"

#define PER_APPLICATION 100
#define ROUNDS          10

static double cpu_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void add(struct model *model, json_t *doc, const json_t *limits)
{
	struct structure *structure;

	if (structure_from_json(doc, limits, &structure, NULL) < 0 ||
	    model_add(model, structure) < 0)
		exit(1);
	for (int r = 0; r < EBB_RESOURCE_MAX; r++)
		if (structure->resources[r].present)
			structure->physical[r] = structure->resources[r].current;
	json_decref(doc);
}

static struct model *fill(int n)
{
	_cleanup_json_ json_t *limits = json_loads(
		"{\"resources\":{\"cpu\":{\"boundary\":10,\"boundary_type\":\"percentage_of_max\"},"
		"\"mem\":{\"boundary\":10,\"boundary_type\":\"percentage_of_max\"}}}",
		0, NULL);
	struct model *model;
	char name[64];

	if (model_new(NULL, &model) < 0)
		exit(1);
	model_lock(model);
	for (int i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "libpod-%08x-%d", i * 2654435761u, i);
		add(model,
		    json_pack("{s:s, s:s, s:s, s:s, s:{s:{s:i, s:i, s:i}, s:{s:i, s:i, s:i}}}",
			      "subtype", "container", "name", name, "host_rescaler_ip", "10.0.0.1",
			      "host_rescaler_port", "8000", "resources", "cpu", "max", 400, "min",
			      20, "current", 100 + i % 100, "mem", "max", 8192, "min", 64,
			      "current", 1024 + i % 1024),
		    limits);
	}
	for (int a = 0; a < n / PER_APPLICATION; a++) {
		json_t *containers = json_array();

		for (int i = a * PER_APPLICATION; i < (a + 1) * PER_APPLICATION; i++) {
			snprintf(name, sizeof(name), "libpod-%08x-%d", i * 2654435761u, i);
			json_array_append_new(containers, json_string(name));
		}
		snprintf(name, sizeof(name), "app-%d", a);
		add(model,
		    json_pack("{s:s, s:s, s:o, s:{s:{s:i, s:i}, s:{s:i, s:i}}}", "subtype",
			      "application", "name", name, "containers", containers, "resources",
			      "cpu", "max", 40000, "min", 20, "mem", "max", 819200, "min", 64),
		    NULL);
	}
	model_unlock(model);
	return model;
}

/* --- one who wants the lock all the time --- */

struct rival {
	struct model *model;
	atomic_bool done;
	uint64_t longest_ns;
	unsigned long turns;
};

static void *compete(void *userdata)
{
	struct rival *rival = userdata;

	while (!atomic_load(&rival->done)) {
		uint64_t started = now_ns();

		model_lock(rival->model);
		model_unlock(rival->model);
		rival->longest_ns = MAX(rival->longest_ns, now_ns() - started);
		rival->turns++;
		/* As often as a host sends urgent samples. */
		nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
	}
	return NULL;
}

/* --- what is measured --- */

static int encode(void *userdata, int64_t timestamp, const char *tag, const char *name,
		  const struct series_point *points, size_t n)
{
	const struct tsdb_tag tags[] = {{tag, name}};
	struct tsdb_batch **batch = userdata;
	char text[TSDB_TAGS_TEXT];
	int r;

	if (!*batch)
		*batch = tsdb_batch_new();
	r = *batch ? tsdb_tags_encode(tags, 1, text, sizeof(text)) : -1;
	for (size_t i = 0; r >= 0 && i < n; i++)
		r = tsdb_batch_add_encoded(*batch, points[i].metric, timestamp, points[i].value,
					   text);
	if (r >= 0 && tsdb_batch_count(*batch) >= 4096) {
		tsdb_batch_free(*batch);
		*batch = NULL;
	}
	return r;
}

static void report(const char *name, int n, double cpu_s, double hold_s, const struct rival *rival,
		   size_t count, const char *what)
{
	printf("%-22s %7d %8.3f us %8.1f ms %9.3f ms %9.3f ms   %zu %s\n", name, n, cpu_s * 1e6 / n,
	       cpu_s * 1e3, hold_s * 1e3, (double)rival->longest_ns / 1e6, count, what);
}

typedef void (*run_fn)(struct model *model, const struct series_config *config, int round,
		       double *hold_s, size_t *count);

static void run_database(struct model *model, const struct series_config *config, int round,
			 double *hold_s, size_t *count)
{
	struct snapshoter_database_result result;
	struct tsdb_batch *batch = NULL;

	if (snapshoter_database_run(model, &config->database, 1700000000 + round, encode, &batch,
				    &result) < 0)
		exit(1);
	tsdb_batch_free(batch);
	*hold_s = result.hold_s;
	*count = result.points;
}

static void run_structures(struct model *model, const struct series_config *config, int round,
			   double *hold_s, size_t *count)
{
	struct aggregate_result result;

	if (snapshoter_structures_run(model, &config->structures, &result) < 0)
		exit(1);
	*hold_s = result.hold_s;
	*count = result.containers;
}

static void run_refeeder(struct model *model, const struct series_config *config, int round,
			 double *hold_s, size_t *count)
{
	struct aggregate_result result;

	if (refeeder_run(model, &config->refeeder, now_ns(), &result) < 0)
		exit(1);
	*hold_s = result.hold_s;
	*count = result.containers;
}

static void measure(const char *name, int n, struct model *model,
		    const struct series_config *config, run_fn run, const char *what)
{
	struct rival rival = {.model = model};
	double cpu_s = 0, longest_s = 0;
	pthread_t thread;
	size_t count = 0;

	if (pthread_create(&thread, NULL, compete, &rival) != 0)
		exit(1);
	for (int round = -1; round < ROUNDS; round++) {
		double started = cpu_seconds(), hold_s = 0;

		run(model, config, round, &hold_s, &count);
		/* The first one fills the caches and allocates. */
		if (round < 0)
			continue;
		cpu_s += cpu_seconds() - started;
		/* The kernel takes the CPU from what uses up 95% of a second at this priority. */
		nanosleep(&(struct timespec){.tv_nsec = 100 * 1000 * 1000}, NULL);
		longest_s = MAX(longest_s, hold_s);
	}
	atomic_store(&rival.done, true);
	pthread_join(thread, NULL);
	report(name, n, cpu_s / ROUNDS, longest_s, &rival, count, what);
}

static void feed(struct model *model)
{
	struct guard_sample sample = {
		.seconds = 1,
		.valid = 1u << EBB_CPU | 1u << EBB_MEM,
		.usage = {[EBB_CPU] = 50, [EBB_MEM] = 500},
	};
	struct structure *s;

	model_lock(model);
	model_foreach_structure(model, s)
		if (s->history)
			usage_history_add(s->history, now_ns(), &sample);
	model_unlock(model);
}

int main(void)
{
	static const int sizes[] = {1000, 10000, 100000};
	struct series_config config;

	/* What is measured are these programs, not who else wants the CPU. Threads inherit it. */
	if (sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 1}) < 0)
		printf("no real-time priority: holds and waits include what others took\n");
	series_config_defaults(&config);
	config.refeeder.window_delay = 0;
	printf("%-22s %7s %11s %11s %12s %12s\n", "per run", "n", "each", "CPU", "longest hold",
	       "longest wait");
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct model *model = fill(sizes[i]);
		struct aggregate_result result;

		measure("database_snapshoter", sizes[i], model, &config, run_database, "points");
		measure("structures_snapshoter", sizes[i], model, &config, run_structures,
			"containers");
		refeeder_run(model, &config.refeeder, now_ns(), &result);
		feed(model);
		measure("refeeder", sizes[i], model, &config, run_refeeder, "containers");
		model_free(model);
	}
	printf("containers with CPU and memory, limits, names of 20 bytes; %d containers an "
	       "application\n",
	       PER_APPLICATION);
	return 0;
}
