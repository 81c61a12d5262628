/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two threads: one makes bodies of what was submitted and puts them into the spool, one posts what
 * is in there. A server that hangs so never keeps points from the disk, nor a disk from the caller.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/loop.h"
#include "ebb/units.h"
#include "tsdb_body.h"
#include "tsdb_poster.h"

#define DISK_MAX_DEFAULT (256 * EBB_MIB)
/* Text that waits for the first thread: a second of what it manages, and a batch always fits. */
#define QUEUE_MAX ((size_t)64 << 20)
/* At the end: to post what is left, then to end a post under way (asked once a second). */
#define LAST_POSTS_MS 800
#define TELL_NS       (60 * EBB_NS_PER_SEC)

struct tsdb {
	struct tsdb_target target;
	struct tsdb_spool *spool;
	struct tsdb_poster *poster;
	struct tsdb_encoder *encoder;
	size_t body_max;
	bool on_disk;
	uint8_t *records;
	size_t records_room;
	pthread_t writer, posting;
	bool has_writer, has_posting;
	atomic_bool stopping;

	pthread_mutex_t lock; /* all below */
	pthread_cond_t changed;
	struct tsdb_batch *first, *last;
	size_t queued;                        /* bytes of text */
	uint64_t submitted, written, dropped; /* batches, batches, points */
	uint64_t waiting;                     /* points in the queue or being written */
	uint64_t untold_late, untold_long;    /* points dropped since the last line about it */
	uint64_t told_ns;
	int write_error; /* since the last flush */
	bool writer_done;
};

static bool is_stopping(void *userdata)
{
	return ((struct tsdb *)userdata)->stopping;
}

/* --- From batches to the spool ---------------------------------------------------------------- */

static void append(struct tsdb *tsdb, size_t len)
{
	int r = len ? tsdb_spool_append(tsdb->spool, tsdb->records, len) : 0;

	if (r < 0) {
		pthread_mutex_lock(&tsdb->lock);
		tsdb->write_error = r;
		pthread_mutex_unlock(&tsdb->lock);
	}
}

/* Bodies are compressed to where they are written from, behind their headers. */
static void write_batch(struct tsdb *tsdb, const struct tsdb_batch *batch)
{
	size_t max = tsdb_poster_body_limit(tsdb->poster), len = 0;
	size_t need = TSDB_RECORD_HEADER + MAX(tsdb->body_max, (size_t)TSDB_BODY_ROOM_MIN);

	for (size_t from = 0; from < batch->n;) {
		size_t body_len;

		if (len + need > tsdb->records_room) {
			append(tsdb, len);
			len = 0;
		}
		uint8_t *at = tsdb->records + len;
		int n = tsdb_encoder_build(tsdb->encoder, batch, from, max, at + TSDB_RECORD_HEADER,
					   need - TSDB_RECORD_HEADER, &body_len);
		if (n < 0) {
			/* -EMSGSIZE: alone it is too large for a body. */
			pthread_mutex_lock(&tsdb->lock);
			tsdb->dropped++;
			tsdb->untold_long++;
			pthread_mutex_unlock(&tsdb->lock);
			from++;
			continue;
		}
		struct tsdb_record record = {
			.len = (uint32_t)body_len,
			.points = (uint32_t)n,
			.timestamp = batch->first,
		};
		tsdb_record_write(&record, at);
		len += TSDB_RECORD_HEADER + body_len;
		from += (size_t)n;
	}
	append(tsdb, len);
}

/* Under the lock, by the writer: it comes past after whatever was dropped. */
static void tell_dropped(struct tsdb *tsdb)
{
	uint64_t late = tsdb->untold_late, too_long = tsdb->untold_long, now = now_ns();

	if (!(late | too_long) || (tsdb->told_ns && now - tsdb->told_ns < TELL_NS))
		return;
	tsdb->untold_late = tsdb->untold_long = 0;
	tsdb->told_ns = now;
	pthread_mutex_unlock(&tsdb->lock);
	if (late)
		log_warning("%llu points of series were dropped: they came faster than they could "
			    "be compressed and written; give it more CPU, or --spool a faster disk",
			    (unsigned long long)late);
	if (too_long)
		log_warning(
			"%llu points of series were dropped: each is larger than a body may "
			"be (%zu bytes); raise --opentsdb-body-max, and tsd.http.request.max_chunk "
			"there",
			(unsigned long long)too_long, tsdb_poster_body_limit(tsdb->poster));
	pthread_mutex_lock(&tsdb->lock);
}

static void *run_writer(void *arg)
{
	struct tsdb *tsdb = arg;

	pthread_setname_np(pthread_self(), "tsdb-spool");
	pthread_mutex_lock(&tsdb->lock);
	for (;;) {
		struct tsdb_batch *batch = tsdb->first;

		if (!batch) {
			if (tsdb->stopping)
				break;
			pthread_cond_wait(&tsdb->changed, &tsdb->lock);
			continue;
		}
		tsdb->first = batch->next;
		if (!tsdb->first)
			tsdb->last = NULL;
		tsdb->queued -= batch->len;
		pthread_mutex_unlock(&tsdb->lock);
		write_batch(tsdb, batch);
		pthread_mutex_lock(&tsdb->lock);
		tsdb->waiting -= batch->n;
		tsdb->written++;
		pthread_cond_broadcast(&tsdb->changed);
		tsdb_batch_free(batch);
		tell_dropped(tsdb);
	}
	tsdb->told_ns = 0; /* what has not been told yet is, whenever that was */
	tell_dropped(tsdb);
	tsdb->writer_done = true;
	pthread_cond_broadcast(&tsdb->changed);
	pthread_mutex_unlock(&tsdb->lock);
	return NULL;
}

/* --- From the spool to the server ------------------------------------------------------------- */

static void at_ms_from_now(struct timespec *ts, unsigned ms)
{
	clock_gettime(CLOCK_MONOTONIC, ts);
	ts->tv_sec += ms / 1000;
	ts->tv_nsec += (long)(ms % 1000) * 1000000;
	if (ts->tv_nsec >= 1000000000) {
		ts->tv_sec++;
		ts->tv_nsec -= 1000000000;
	}
}

/* Until `ms` are over, or there is something new when nothing was left. */
static void rest(struct tsdb *tsdb, unsigned ms, uint64_t seen)
{
	struct timespec end;

	if (ms == TSDB_POSTER_IDLE)
		at_ms_from_now(&end, 60000);
	else
		at_ms_from_now(&end, ms);
	pthread_mutex_lock(&tsdb->lock);
	while (!tsdb->stopping && (ms != TSDB_POSTER_IDLE || tsdb->written == seen))
		if (pthread_cond_timedwait(&tsdb->changed, &tsdb->lock, &end) == ETIMEDOUT)
			break;
	pthread_mutex_unlock(&tsdb->lock);
}

static void *run_posting(void *arg)
{
	struct tsdb *tsdb = arg;

	pthread_setname_np(pthread_self(), "tsdb-post");
	while (!tsdb->stopping) {
		pthread_mutex_lock(&tsdb->lock);
		uint64_t seen = tsdb->written;
		pthread_mutex_unlock(&tsdb->lock);

		unsigned wait = tsdb_poster_step(tsdb->poster);
		if (wait)
			rest(tsdb, wait, seen);
	}
	return NULL;
}

/* --- For the caller --------------------------------------------------------------------------- */

static int start(struct tsdb *tsdb)
{
	int r = pthread_create(&tsdb->writer, NULL, run_writer, tsdb);

	tsdb->has_writer = r == 0;
	if (r == 0)
		r = pthread_create(&tsdb->posting, NULL, run_posting, tsdb);
	tsdb->has_posting = tsdb->has_writer && r == 0;
	return -r;
}

int tsdb_new(const struct tsdb_options *options, struct tsdb **ret_tsdb)
{
	struct tsdb *tsdb = calloc(1, sizeof(*tsdb));
	uint64_t max = options->spool_max;
	pthread_condattr_t attr;
	int r;

	if (!tsdb)
		return -ENOMEM;
	pthread_mutex_init(&tsdb->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&tsdb->changed, &attr);
	pthread_condattr_destroy(&attr);
	tsdb->body_max = options->body_max ? MIN(options->body_max, (size_t)TSDB_RECORD_BODY_MAX)
					   : TSDB_BODY_MAX;
	tsdb->on_disk = options->spool != NULL;
	if (!max)
		max = options->spool ? DISK_MAX_DEFAULT : TSDB_SPOOL_MEMORY;

	r = tsdb_target_parse(options, &tsdb->target);
	if (r == 0)
		r = tsdb_spool_open(options->spool, max, &tsdb->spool);
	if (r == 0) {
		tsdb->records_room =
			MAX(tsdb_spool_piece(tsdb->spool),
			    TSDB_RECORD_HEADER + MAX(tsdb->body_max, (size_t)TSDB_BODY_ROOM_MIN));
		tsdb->records = malloc(tsdb->records_room);
		r = tsdb->records ? tsdb_encoder_new(0, &tsdb->encoder) : -ENOMEM;
	}
	if (r == 0)
		r = tsdb_poster_new(&tsdb->target, tsdb->spool, tsdb->body_max, is_stopping, tsdb,
				    &tsdb->poster);
	if (r == 0)
		r = start(tsdb);
	if (r < 0) {
		tsdb_free(tsdb);
		return r;
	}
	*ret_tsdb = tsdb;
	return 0;
}

/* All of the queue into the spool, and for a moment more, what is there to the server. */
static void finish(struct tsdb *tsdb)
{
	struct tsdb_stats stats;
	struct timespec end;

	at_ms_from_now(&end, LAST_POSTS_MS);
	do {
		tsdb_get_stats(tsdb, &stats);
		if (!stats.waiting_points || (!stats.reachable && stats.failures))
			break;
		nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
		struct timespec now;
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec > end.tv_sec ||
		    (now.tv_sec == end.tv_sec && now.tv_nsec > end.tv_nsec))
			break;
	} while (true);
	pthread_mutex_lock(&tsdb->lock);
	tsdb->stopping = true;
	pthread_cond_broadcast(&tsdb->changed);
	pthread_mutex_unlock(&tsdb->lock);
}

void tsdb_free(struct tsdb *tsdb)
{
	struct tsdb_spool_stats left = {0};

	if (!tsdb)
		return;
	if (tsdb->has_posting)
		finish(tsdb);
	tsdb->stopping = true;
	if (tsdb->has_writer) {
		pthread_mutex_lock(&tsdb->lock);
		pthread_cond_broadcast(&tsdb->changed);
		pthread_mutex_unlock(&tsdb->lock);
		pthread_join(tsdb->writer, NULL);
	}
	if (tsdb->has_posting)
		pthread_join(tsdb->posting, NULL);
	if (tsdb->spool)
		tsdb_spool_get_stats(tsdb->spool, &left);
	if (left.points && !tsdb->on_disk)
		log_warning("%llu points of series are lost: with --spool none they wait in memory "
			    "only",
			    (unsigned long long)left.points);
	while (tsdb->first) {
		struct tsdb_batch *batch = tsdb->first;

		tsdb->first = batch->next;
		tsdb_batch_free(batch);
	}
	tsdb_poster_free(tsdb->poster);
	tsdb_encoder_free(tsdb->encoder);
	tsdb_spool_close(tsdb->spool);
	tsdb_target_clear(&tsdb->target);
	pthread_cond_destroy(&tsdb->changed);
	pthread_mutex_destroy(&tsdb->lock);
	free(tsdb->records);
	free(tsdb);
}

int tsdb_submit(struct tsdb *tsdb, struct tsdb_batch *batch)
{
	int r = 0;

	pthread_mutex_lock(&tsdb->lock);
	if (tsdb->first && tsdb->queued + batch->len > QUEUE_MAX) {
		tsdb->dropped += batch->n;
		tsdb->untold_late += batch->n;
		r = -ENOBUFS;
	} else {
		batch->next = NULL;
		if (tsdb->last)
			tsdb->last->next = batch;
		else
			tsdb->first = batch;
		tsdb->last = batch;
		tsdb->queued += batch->len;
		tsdb->waiting += batch->n;
		tsdb->submitted++;
		pthread_cond_broadcast(&tsdb->changed);
	}
	pthread_mutex_unlock(&tsdb->lock);
	if (r < 0)
		tsdb_batch_free(batch);
	return r;
}

int tsdb_flush(struct tsdb *tsdb)
{
	pthread_mutex_lock(&tsdb->lock);
	uint64_t mine = tsdb->submitted;
	while (tsdb->written < mine)
		pthread_cond_wait(&tsdb->changed, &tsdb->lock);
	int r = tsdb->write_error;
	tsdb->write_error = 0;
	pthread_mutex_unlock(&tsdb->lock);
	return r;
}

void tsdb_get_stats(struct tsdb *tsdb, struct tsdb_stats *ret_stats)
{
	struct tsdb_poster_stats posted;
	struct tsdb_spool_stats spool;
	struct tsdb_stats stats;
	int64_t now = time(NULL);

	/* In this order nothing that moves on meanwhile is missed, at worst counted twice. */
	pthread_mutex_lock(&tsdb->lock);
	stats = (struct tsdb_stats){.dropped = tsdb->dropped, .waiting_points = tsdb->waiting};
	stats.waiting_bytes = tsdb->queued;
	pthread_mutex_unlock(&tsdb->lock);
	tsdb_spool_get_stats(tsdb->spool, &spool);
	tsdb_poster_get_stats(tsdb->poster, &posted);
	stats.points = posted.points;
	stats.bodies = posted.bodies;
	stats.rejected = posted.rejected;
	stats.failures = posted.failures;
	stats.reachable = posted.reachable;
	memcpy(stats.last_error, posted.last_error, sizeof(stats.last_error));
	stats.dropped += spool.dropped;
	stats.waiting_points += spool.points;
	stats.waiting_bytes += spool.bytes;
	stats.oldest_s = spool.oldest && now > spool.oldest ? (double)(now - spool.oldest) : 0;
	*ret_stats = stats;
}
