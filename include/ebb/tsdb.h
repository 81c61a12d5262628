/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Series to OpenTSDB: points are encoded once into bodies that OpenTSDB takes (gzip, below
 * `body_max` by measured size), kept in a bounded spool on disk until they are taken, and posted by
 * a thread of its own with backoff. POST /api/put: docs of OpenTSDB 2.4, api_http/put.
 */
#ifndef EBB_TSDB_H
#define EBB_TSDB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TSDB_BODY_MAX 8192 /* the largest body that a TSD takes as it is delivered */
#define TSDB_TAGS_MAX 8

struct tsdb_tag {
	const char *key, *value;
};

/* Points of one moment, encoded as they are added; for one thread. */
struct tsdb_batch;
struct tsdb_batch *tsdb_batch_new(void);
void tsdb_batch_free(struct tsdb_batch *batch);
/*
 * `timestamp` in whole seconds; `value` is rounded to two decimals. Names and tags must be valid
 * (tsdb_name_is_valid()). -EINVAL: they are not, no tag, a key twice, more than TSDB_TAGS_MAX or
 * TSDB_TAGS_TEXT, or no finite value. -ENOMEM. Nothing is added then.
 */
int tsdb_batch_add(struct tsdb_batch *batch, const char *metric, int64_t timestamp, double value,
		   const struct tsdb_tag *tags, size_t n_tags);
/*
 * The same for many points with one set of tags: the tags are encoded once. The text of them lives
 * in `buffer` (TSDB_TAGS_TEXT); -ENOSPC when it is too small.
 */
#define TSDB_TAGS_TEXT 1024
int tsdb_tags_encode(const struct tsdb_tag *tags, size_t n_tags, char *buffer, size_t size);
int tsdb_batch_add_encoded(struct tsdb_batch *batch, const char *metric, int64_t timestamp,
			   double value, const char *tags);
size_t tsdb_batch_count(const struct tsdb_batch *batch);

/* Letters, digits, "-_./", not empty (OpenTSDB, Tags.validateString; ASCII only). */
bool tsdb_name_is_valid(const char *name);
/* A command or container name as the old system wrote it (spec 2.6), then what is still not valid
 * becomes '_'; "unknown" for nothing. Pure; always terminates. */
void tsdb_sanitize(const char *name, char *buffer, size_t size);

struct tsdb_options {
	const char *url;             /* "http://HOST:4242" */
	const char *spool;           /* directory, made when missing; NULL: memory only */
	uint64_t spool_max;          /* bytes that wait; 0: 256 MiB on disk, 32 MiB without one */
	size_t body_max;             /* bytes of a compressed body; 0: TSDB_BODY_MAX */
	unsigned timeout_ms;         /* of one put; 0: 10,000 */
	const char *ca_file;         /* NULL: the system's */
	struct identity *identity;   /* instead: its CA and certificate; borrowed */
	const char *user, *password; /* NULL: those in the URL, or none */
};

struct tsdb;
/* Logs what is wrong with the URL or the directory. A spool in use by another process is refused.
 */
int tsdb_new(const struct tsdb_options *options, struct tsdb **ret_tsdb);
/* What has not been taken stays in the spool; waits at most 2 s. */
void tsdb_free(struct tsdb *tsdb);
/* Takes `batch` over and returns at once. -ENOBUFS: the thread is so far behind that the batch was
 * dropped (and counted). */
int tsdb_submit(struct tsdb *tsdb, struct tsdb_batch *batch);
/*
 * Waits until all that was submitted before is in the spool; then a kill or a power loss does not
 * lose it. Negative errno: the spool's disk refused some of it since the last flush, and it waits
 * in memory. For tests and benches; does not wait for the server.
 */
int tsdb_flush(struct tsdb *tsdb);

struct tsdb_stats {
	unsigned long points, bodies; /* taken by the server */
	unsigned long rejected;       /* points that the server refused one by one */
	unsigned long dropped;        /* points lost: the spool was full, or its disk failed */
	unsigned long failures;       /* posts without success */
	uint64_t waiting_points, waiting_bytes;
	double oldest_s; /* age of the oldest point that waits */
	bool reachable;
	char last_error[256]; /* one line that says what to do */
};
void tsdb_get_stats(struct tsdb *tsdb, struct tsdb_stats *ret_stats);

/*
 * POST /api/uid/assign for `names`, in bodies of at most `body_max`; one line on standard output
 * each. For --assign-metrics. 0: all of them are there now. Else what is wrong was logged, or is in
 * a name's line (-EIO); -EOPNOTSUPP: the server has no such thing.
 */
int tsdb_assign(const struct tsdb_options *options, const char *const *names, size_t n);

#endif
