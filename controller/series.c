/* SPDX-License-Identifier: Apache-2.0 */
#include "series.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "refeeder.h"
#include "series_clock.h"
#include "snapshoter_database.h"
#include "snapshoter_structures.h"
#include "ebb/cleanup.h"
#include "ebb/loop.h"

#define HEARTBEAT_S 10.0
/* Points that go to the pusher together, and after how many of these it is waited for: it drops
 * what comes when it has too much. */
#define BATCH_POINTS    4096
#define BATCHES_AT_ONCE 16

struct series {
	struct model *model;
	struct tsdb *tsdb;

	pthread_mutex_t lock; /* never with the model's inside */
	struct series_stats stats;

	/* Of the thread alone. */
	struct series_clock structures_clock, refeeder_clock, database_clock;
	double beat;        /* wall clock */
	char unmapped[128]; /* services without metrics, as they were told last */
	struct tsdb_batch *batch;
	unsigned n_submitted;
};

/* --- points --- */

static int submit(struct series *series)
{
	size_t n = series->batch ? tsdb_batch_count(series->batch) : 0;
	struct tsdb_batch *batch = TAKE_PTR(series->batch);
	int r;

	if (!n) {
		tsdb_batch_free(batch);
		return 0;
	}
	r = tsdb_submit(series->tsdb, batch);
	/* It counts and tells itself what it drops, and what its disk does not take. */
	if (r >= 0 && ++series->n_submitted % BATCHES_AT_ONCE == 0)
		(void)tsdb_flush(series->tsdb);
	return r == -ENOBUFS ? 0 : r;
}

static int take_points(void *userdata, int64_t timestamp, const char *tag, const char *name,
		       const struct series_point *points, size_t n)
{
	const struct tsdb_tag tags[] = {{tag, name}};
	struct series *series = userdata;
	char encoded[TSDB_TAGS_TEXT];
	int r;

	if (!series->batch)
		series->batch = tsdb_batch_new();
	if (!series->batch)
		return -ENOMEM;
	r = tsdb_tags_encode(tags, ARRAY_SIZE(tags), encoded, sizeof(encoded));
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		r = tsdb_batch_add_encoded(series->batch, points[i].metric, timestamp,
					   points[i].value, encoded);
		if (r < 0)
			return r;
	}
	return tsdb_batch_count(series->batch) >= BATCH_POINTS ? submit(series) : 0;
}

/* --- modules --- */

static void note_run(struct series *series, struct series_module_stats *stats, const char *name,
		     int result, size_t written, double hold_s, double seconds)
{
	pthread_mutex_lock(&series->lock);
	stats->seconds = seconds;
	series->stats.hold_s = MAX(series->stats.hold_s, hold_s);
	if (result < 0) {
		stats->failures++;
		snprintf(series->stats.last_error, sizeof(series->stats.last_error),
			 "%s could not run: %s", name, strerror(-result));
	} else {
		stats->runs++;
		stats->written += written;
	}
	pthread_mutex_unlock(&series->lock);
	if (result < 0)
		log_warning("%s could not run: %s", name, strerror(-result));
}

static double seconds_since(uint64_t started_ns)
{
	return (double)(now_ns() - started_ns) / EBB_NS_PER_SEC;
}

static void log_aggregate(const char *name, const struct aggregate_result *result, double seconds)
{
	log_info("%s: %zu applications, %zu users, %zu containers; %zu documents changed; %.1f ms, "
		 "lock held %.3f ms at most",
		 name, result->applications, result->users, result->containers, result->changed,
		 seconds * 1e3, result->hold_s * 1e3);
}

static void run_structures(struct series *series, const struct series_config *config)
{
	struct aggregate_result result = {};
	uint64_t started = now_ns();
	double seconds;
	int r;

	r = snapshoter_structures_run(series->model, &config->structures, &result);
	seconds = seconds_since(started);
	note_run(series, &series->stats.structures, "structures_snapshoter", r, result.changed,
		 result.hold_s, seconds);
	if (r >= 0 && config->structures.debug)
		log_aggregate("structures_snapshoter", &result, seconds);
}

static void run_refeeder(struct series *series, const struct series_config *config)
{
	struct aggregate_result result = {};
	uint64_t started = now_ns();
	double seconds;
	int r;

	r = refeeder_run(series->model, &config->refeeder, started, &result);
	seconds = seconds_since(started);
	note_run(series, &series->stats.refeeder, "refeeder", r, result.changed, result.hold_s,
		 seconds);
	if (r >= 0 && config->refeeder.debug)
		log_aggregate("refeeder", &result, seconds);
}

static void run_database(struct series *series, const struct series_config *config, double at)
{
	const struct snapshoter_database_config *database = &config->database;
	struct snapshoter_database_result result = {};
	uint64_t started = now_ns();
	double seconds;
	int r, submitted;

	if (database->unmapped[0] && database->documents & SERIES_CONFIGS &&
	    strcmp(database->unmapped, series->unmapped) != 0)
		log_warning("database_snapshoter: SERVICES_PERSISTED names services whose "
			    "configuration has no metrics, they are left out: %s",
			    database->unmapped);
	memcpy(series->unmapped, database->unmapped, sizeof(series->unmapped));

	r = snapshoter_database_run(series->model, database, (int64_t)(at + 1e-3), take_points,
				    series, &result);
	/* Also what came before it failed. */
	submitted = submit(series);
	r = r < 0 ? r : submitted;
	seconds = seconds_since(started);
	note_run(series, &series->stats.database, "database_snapshoter", r, result.points,
		 result.hold_s, seconds);
	if (r >= 0 && database->debug)
		log_info("database_snapshoter: %zu points of %zu documents; %.1f ms, lock held "
			 "%.3f ms at most",
			 result.points, result.documents, seconds * 1e3, result.hold_s * 1e3);
}

static void heartbeat(struct series *series, double now)
{
	if (now - series->beat < HEARTBEAT_S && now >= series->beat)
		return;
	series->beat = now;
	model_lock(series->model);
	model_heartbeat_service(series->model, "structures_snapshoter", now);
	model_heartbeat_service(series->model, "refeeder", now);
	if (series->tsdb)
		model_heartbeat_service(series->model, "database_snapshoter", now);
	model_unlock(series->model);
}

/* --- by time --- */

static void turn(struct series *series, double now)
{
	struct series_config config;
	double at;
	bool leading, structures, refeeder, database;

	model_lock(series->model);
	leading = series->model->leading;
	config = series->model->series;
	model_unlock(series->model);

	structures = leading && config.structures.active;
	refeeder = leading && config.refeeder.active;
	database = leading && config.database.active && series->tsdb;
	pthread_mutex_lock(&series->lock);
	series->stats.structures.runs_here = structures;
	series->stats.refeeder.runs_here = refeeder;
	series->stats.database.runs_here = database;
	pthread_mutex_unlock(&series->lock);

	if (leading)
		heartbeat(series, now);
	/* Clocks go on while a module rests: one that is switched on waits for its next multiple.
	 */
	if (series_clock_strikes(&series->structures_clock, config.structures.polling_frequency,
				 now, &at) &&
	    structures)
		run_structures(series, &config);
	if (series_clock_strikes(&series->refeeder_clock, config.refeeder.window_timelapse, now,
				 &at) &&
	    refeeder)
		run_refeeder(series, &config);
	if (series_clock_strikes(&series->database_clock, config.database.polling_frequency, now,
				 &at) &&
	    database)
		run_database(series, &config, at);
}

static double next_due(const struct series *series)
{
	return MIN(series->structures_clock.due,
		   MIN(series->refeeder_clock.due, series->database_clock.due));
}

static double series_turn(void *userdata, double now)
{
	struct series *series = userdata;

	turn(series, now);
	return next_due(series);
}

int series_new(struct model *model, struct tsdb *tsdb, struct timed *timed,
	       struct series **ret_series)
{
	struct series *series = calloc(1, sizeof(*series));
	int r;

	if (!series)
		return -ENOMEM;
	series->model = model;
	series->tsdb = tsdb;
	pthread_mutex_init(&series->lock, NULL);
	r = timed_add(timed, series_turn, series);
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
	tsdb_batch_free(series->batch);
	pthread_mutex_destroy(&series->lock);
	free(series);
}

void series_get_stats(struct series *series, struct series_stats *ret_stats)
{
	pthread_mutex_lock(&series->lock);
	*ret_stats = series->stats;
	pthread_mutex_unlock(&series->lock);
	ret_stats->has_tsdb = series->tsdb != NULL;
	if (series->tsdb)
		tsdb_get_stats(series->tsdb, &ret_stats->tsdb);
}
