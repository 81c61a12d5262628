/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The query by which the original guards (spec 3.2, 3.3): its body, its answer and its errors.
 * Pure.
 */
#ifndef EBB_CONTROLLER_TSDB_QUERY_H
#define EBB_CONTROLLER_TSDB_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ebb/units.h"

/* "5s-avg": BDWatchdog's period. */
#define TSDB_QUERY_BUCKET_S 5
#define TSDB_QUERY_METRICS  8

/* What is asked for one resource: usage is the sum. */
const char *tsdb_query_metric_name(unsigned metric);
/* 1 << metric, of resources (1 << enum ebb_resource). */
unsigned tsdb_query_metrics_of(unsigned resources);

struct tsdb_query {
	int64_t start, end; /* s */
	unsigned metrics;   /* 1 << metric; not 0 */
};

/* Letters, digits, "-_./": what can be asked for. '|' and '*' would ask for others, too. */
bool tsdb_query_name_is_valid(const char *name);
/*
 * The body of POST /api/query for as many of `names` (valid ones, the first) as fit into
 * `body_max`, but at least one; at most `n`. Caller frees. -ENOMEM.
 */
int tsdb_query_body(const struct tsdb_query *query, const char *const *names, size_t n,
		    size_t body_max, char **ret_body, size_t *ret_n);

struct tsdb_bucket {
	int64_t at; /* its begin, s */
	double value;
};

/* One metric of one container; `buckets` ascend and live until the call returns. */
typedef void (*tsdb_query_series_fn)(void *userdata, const char *name, unsigned metric,
				     const struct tsdb_bucket *buckets, size_t n);
/*
 * The answer to such a query. Series of other metrics or without the tag are ignored, as are values
 * that are no finite number. -EINVAL with `ret_error` (caller frees): it is no such answer; `fn`
 * may not have been called then. -ENOMEM.
 */
int tsdb_query_parse(const char *text, size_t len, tsdb_query_series_fn fn, void *userdata,
		     char **ret_error);

/* What was answered of one metric; `buckets` ascend. */
struct tsdb_series {
	struct tsdb_bucket *buckets;
	size_t n;
};
struct tsdb_span {
	int64_t first, last; /* begins of the buckets */
};
/*
 * Usage by resource: the sum of its metrics, as the mean over the buckets that begin at `from` or
 * later, end at `to` or earlier, and that all its metrics have: half of a resource is no usage of
 * it. Returns 1 << resource of those that have data, and sets only these; `ret_span`: the oldest
 * and the newest bucket that counted, untouched when there is none.
 */
unsigned tsdb_query_usage(const struct tsdb_series series[TSDB_QUERY_METRICS], int64_t from,
			  int64_t to, double usage[EBB_RESOURCE_MAX], struct tsdb_span *ret_span);

enum tsdb_query_trouble {
	TSDB_QUERY_UNKNOWN_NAME,   /* no series of `subject` yet: one name spoils the whole query */
	TSDB_QUERY_UNKNOWN_METRIC, /* `subject` was never created */
	TSDB_QUERY_NOTHING_STORED, /* not even the tag "host" is known */
	TSDB_QUERY_UNREADABLE,     /* something in it is not liked, or it is too much */
	TSDB_QUERY_FORBIDDEN,      /* user or password */
	TSDB_QUERY_AWAY,           /* the server's own trouble, or no answer: ask again later */
};
/*
 * What an answer other than 200 says. `subject` (TSDB_QUERY_SUBJECT bytes) is set for the first
 * two; `text` to one line for people, cut where needed.
 */
#define TSDB_QUERY_SUBJECT 256
enum tsdb_query_trouble tsdb_query_trouble(long status, const char *body, size_t len, char *subject,
					   char *text, size_t text_size);

#endif
