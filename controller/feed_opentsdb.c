/* SPDX-License-Identifier: Apache-2.0 */
#include "feed_opentsdb.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "guarding.h"
#include "name_index.h"
#include "tsdb_query.h"
#include "ebb/cleanup.h"
#include "ebb/http_client.h"
#include "ebb/log.h"
#include "ebb/loop.h"
#include "ebb/tsdb.h"
#include "ebb/util.h"
#include "lib/tsdb_poster.h"

#define TICK_NS (EBB_NS_PER_SEC / 5)
/* The least WINDOW_TIMELAPSE, as period and as window: points come every 5 s, and fall into buckets
 * of 5 s. */
#define PERIOD_MIN_S 1.0
#define WINDOW_MIN_S 10.0
#define TIMEOUT_MS   10000
#define RESPONSE_MAX (16u << 20)
/* A container that was just started has no point yet. */
#define UNKNOWN_NS (60 * EBB_NS_PER_SEC)
/* Queries refused in one round; what is left is asked for in the next. */
#define REFUSED_MAX 64
/* Between two tries when OpenTSDB is away. */
#define RETRY_FIRST_MS 1000
#define RETRY_CAP_MS   60000
/* So far the clock may be set back without more ado than to wait. */
#define CLOCK_STEP_S 10
/* Usage so much older than its delay is none. */
#define STALE_S 30.0

/* One container. */
struct source {
	struct source *next;
	char *name;
	bool listed;  /* to be asked for in this round */
	bool invalid; /* its name cannot be asked for; told */
	bool told_unknown;
	uint64_t unknown_until_ns;
	double delay;
	unsigned resources;
	int64_t asked; /* everything up to here has been seen, s; 0: nothing */
	int64_t at;    /* begin of the newest bucket taken, s; 0: none */
	struct tsdb_series series[TSDB_QUERY_METRICS]; /* owns the buckets */
};

struct feed_opentsdb {
	struct model *model;
	struct scaler *scaler;
	struct http_session *session;
	struct tsdb_target target;
	char *shown; /* the URL without the password */
	size_t body_max;

	pthread_t thread;
	bool has_thread, stopping; /* stopping: atomic */

	/* The thread's. */
	struct source *sources;
	struct name_index *index;
	uint64_t metric_unknown_until_ns[TSDB_QUERY_METRICS];
	bool told_nothing;
	unsigned failed; /* rounds in a row */

	struct feed_opentsdb_stats stats; /* under the model's lock */
};

/* --- sources --- */

static void series_clear(struct source *source)
{
	for (unsigned m = 0; m < TSDB_QUERY_METRICS; m++) {
		free(source->series[m].buckets);
		source->series[m] = (struct tsdb_series){};
	}
}

static void source_free(struct source *source)
{
	series_clear(source);
	free(source->name);
	free(source);
}

static struct source *source_get(struct feed_opentsdb *feed, const char *name)
{
	struct source *source = name_index_get(feed->index, name);

	if (source)
		return source;
	source = calloc(1, sizeof(*source));
	if (!source)
		return NULL;
	source->name = strdup(name);
	if (!source->name || name_index_add(feed->index, source->name, source) < 0) {
		source_free(source);
		return NULL;
	}
	source->next = feed->sources;
	feed->sources = source;
	return source;
}

/* The structure that is fed from here; lock held. NULL: none any more. */
static struct structure *source_structure(struct feed_opentsdb *feed, const char *name)
{
	struct structure *s = model_structure(feed->model, name);
	const struct host *host = s && s->subtype == STRUCTURE_CONTAINER ? s->host : NULL;

	return host && host->from_series && host->connected && s->live ? s : NULL;
}

static void sweep(struct feed_opentsdb *feed)
{
	struct source **link = &feed->sources;

	while (*link) {
		struct source *source = *link;

		if (model_structure(feed->model, source->name)) {
			link = &source->next;
			continue;
		}
		*link = source->next;
		name_index_remove(feed->index, source->name);
		source_free(source);
	}
}

/* The end of the last bucket of which all points have arrived. */
static int64_t complete(const struct source *source, double now)
{
	int64_t until = (int64_t)floor(now - source->delay);

	return until - until % TSDB_QUERY_BUCKET_S;
}

static void list_container(struct feed_opentsdb *feed, const struct host *host,
			   const struct structure *s, double now, uint64_t now_monotonic)
{
	struct source *source = source_get(feed, s->name);
	int64_t until;

	if (!source)
		return;
	source->delay = model_window_delay(feed->model, host);
	source->resources = 0;
	for (int r = 0; r < EBB_RESOURCE_MAX; r++)
		source->resources |= s->resources[r].present ? 1u << r : 0;
	feed->stats.containers++;
	if (!tsdb_query_name_is_valid(s->name)) {
		if (!source->invalid)
			model_log(feed->model, LOG_LEVEL_WARNING,
				  "%s cannot be guarded from OpenTSDB, which has no such names: "
				  "letters, digits and -_./ only",
				  s->name);
		source->invalid = true;
		feed->stats.unknown++;
		return;
	}
	if (source->unknown_until_ns > now_monotonic) {
		feed->stats.unknown++;
		return;
	}
	until = complete(source, now);
	/* The clock was set back, or the delay made longer: what comes now is new all the same. */
	if (until < source->asked - CLOCK_STEP_S)
		source->asked = source->at = 0;
	source->listed = until > source->asked;
}

/* Who is to be asked for now. Lock held. */
static size_t list_sources(struct feed_opentsdb *feed, double now)
{
	struct model *model = feed->model;
	uint64_t now_monotonic = now_ns();
	size_t n = 0;

	for (struct source *source = feed->sources; source; source = source->next)
		source->listed = false;
	sweep(feed);
	feed->stats.containers = feed->stats.unknown = feed->stats.unknown_metrics = 0;
	for (unsigned m = 0; m < TSDB_QUERY_METRICS; m++)
		feed->stats.unknown_metrics += feed->metric_unknown_until_ns[m] > now_monotonic;
	for (size_t i = 0; model->leading && i < model->n_hosts; i++) {
		const struct host *host = model->hosts[i];

		for (struct structure *s = host->containers; s; s = s->host_next)
			if (source_structure(feed, s->name))
				list_container(feed, host, s, now, now_monotonic);
	}
	for (struct source *source = feed->sources; source; source = source->next)
		n += source->listed;
	return n;
}

/* --- samples --- */

/* What is new of one container, as one sample. Lock held. */
static void take_source(struct feed_opentsdb *feed, struct source *source, double now,
			const struct guardian_config *config)
{
	struct structure *s = source_structure(feed, source->name);
	int64_t until = complete(source, now), from = source->at + TSDB_QUERY_BUCKET_S;
	uint64_t received_ns = now_ns();
	struct tsdb_span span;
	struct guard_sample sample = {.throttled = NAN, .held_back = NAN, .wait = NAN};
	struct sample_times times = {.received_ns = received_ns};
	struct host *host;
	double age;

	source->asked = until;
	if (!s)
		return;
	host = s->host;
	for (int r = 0; r < EBB_RESOURCE_MAX; r++)
		sample.usage[r] = sample.pressure[r] = NAN;
	sample.valid = tsdb_query_usage(source->series, from, until, sample.usage, &span);
	if (!sample.valid)
		return;
	source->at = span.last;
	source->told_unknown = false;
	sample.at = (double)(span.last + TSDB_QUERY_BUCKET_S);
	sample.seconds = (double)(span.last - span.first + TSDB_QUERY_BUCKET_S);
	/* A point tells of the period before it: its bucket reaches back by one more. */
	sample.blur = TSDB_QUERY_BUCKET_S;
	/* What was measured before says nothing about limits that somebody else looked after. */
	host->fed_since = fmin(host->fed_since, now);
	if (sample.at - sample.seconds - sample.blur < host->fed_since) {
		for (int r = 0; r < EBB_RESOURCE_MAX; r++)
			if (sample.valid & 1u << r)
				s->resources[r].usage = sample.usage[r];
		return;
	}
	age = fmax(now - sample.at, 0) * (double)EBB_NS_PER_SEC;
	times.sampled_ns = received_ns - MIN((uint64_t)age, received_ns);
	(void)guarding_take_sample(feed->model, feed->scaler, s, config, &sample, &times);
	feed->stats.samples++;
}

static void take_answer(struct feed_opentsdb *feed, struct source *const *asked, size_t n,
			double now)
{
	struct guardian_config config;

	model_lock(feed->model);
	config = feed->model->guardian;
	config.window_delay = 0; /* the query has waited that long already */
	for (size_t i = 0; feed->model->leading && i < n; i++)
		take_source(feed, asked[i], now, &config);
	guarding_samples_in(feed->model, feed->scaler, &config);
	scaler_run(feed->scaler);
	model_unlock(feed->model);
}

/* Nobody is to decide, or to be shown, what was measured long ago. Lock held. */
static void forget_stale(struct feed_opentsdb *feed, double now)
{
	unsigned with_data = 0;

	for (struct source *source = feed->sources; source; source = source->next) {
		struct structure *s = source_structure(feed, source->name);

		if (!s)
			continue;
		if (source->at > 0 &&
		    now - (double)source->at <= source->delay + STALE_S + TSDB_QUERY_BUCKET_S) {
			with_data++;
			continue;
		}
		for (int r = 0; r < EBB_RESOURCE_MAX; r++)
			s->resources[r].usage = NAN;
	}
	feed->stats.with_data = with_data;
}

/* --- a query --- */

static void on_series(void *userdata, const char *name, unsigned metric,
		      const struct tsdb_bucket *buckets, size_t n)
{
	struct feed_opentsdb *feed = userdata;
	struct source *source = name_index_get(feed->index, name);
	struct tsdb_series *series = source ? &source->series[metric] : NULL;

	if (!source || !source->listed || !n)
		return;
	free(series->buckets);
	series->n = 0;
	series->buckets = calloc(n, sizeof(*buckets));
	if (!series->buckets)
		return;
	memcpy(series->buckets, buckets, n * sizeof(*buckets));
	series->n = n;
}

static bool is_stopping(void *userdata)
{
	const struct feed_opentsdb *feed = userdata;

	return __atomic_load_n(&feed->stopping, __ATOMIC_RELAXED);
}

static void failed(struct feed_opentsdb *feed, const char *why)
{
	model_lock(feed->model);
	feed->stats.failures++;
	feed->stats.reachable = false;
	snprintf(feed->stats.last_error, sizeof(feed->stats.last_error), "%s", why);
	if (!feed->failed)
		model_log(feed->model, LOG_LEVEL_WARNING,
			  "OpenTSDB at %s cannot be asked: %s; the containers of hosts without an "
			  "agent keep their limits until it can",
			  feed->shown, why);
	model_unlock(feed->model);
	feed->failed++;
}

static void answered(struct feed_opentsdb *feed)
{
	model_lock(feed->model);
	if (feed->failed)
		model_log(feed->model, LOG_LEVEL_INFO, "OpenTSDB at %s answers again", feed->shown);
	feed->stats.reachable = true;
	feed->stats.last_error[0] = '\0';
	model_unlock(feed->model);
	feed->failed = 0;
}

static void leave_out(struct feed_opentsdb *feed, struct source *source, const char *why)
{
	source->unknown_until_ns = now_ns() + UNKNOWN_NS;
	source->listed = false;
	if (!source->told_unknown)
		log_warning(
			"OpenTSDB has nothing of %s yet (%s): it is left out, and asked for again "
			"every minute. Does BDWatchdog run in it, and send its name as host?",
			source->name, why);
	source->told_unknown = true;
}

static bool leave_metric_out(struct feed_opentsdb *feed, const char *name, unsigned *metrics)
{
	for (unsigned m = 0; m < TSDB_QUERY_METRICS; m++) {
		if (!(*metrics & 1u << m) || strcmp(tsdb_query_metric_name(m), name) != 0)
			continue;
		if (!feed->metric_unknown_until_ns[m])
			log_warning(
				"OpenTSDB has no metric %s: it is left out, and asked for again "
				"every minute. `tsdb mkmetric %s` creates it",
				name, name);
		feed->metric_unknown_until_ns[m] = now_ns() + UNKNOWN_NS;
		*metrics &= ~(1u << m);
		return true;
	}
	return false;
}

struct round {
	struct feed_opentsdb *feed;
	double now;
	struct tsdb_query query;
	struct source **sources; /* those listed */
	size_t n, at;            /* the next to be asked for */
	size_t limit;            /* at most so many at once */
	unsigned refused;
	/* Of one query. */
	struct source **asked;
	const char **names;
};

/* An answer that is none. False: the round is over. */
static bool round_refused(struct round *round, size_t n, const struct http_result *result)
{
	struct feed_opentsdb *feed = round->feed;
	char subject[TSDB_QUERY_SUBJECT], text[256];
	enum tsdb_query_trouble trouble;
	struct source *source;

	trouble = tsdb_query_trouble(result->status, result->body, result->body_len, subject, text,
				     sizeof(text));
	switch (trouble) {
	case TSDB_QUERY_AWAY: failed(feed, result->status ? text : result->error); return false;
	case TSDB_QUERY_FORBIDDEN:
		failed(feed, "it wants another user and password, which go into --opentsdb "
			     "http://USER:PASSWORD@HOST:PORT");
		return false;
	case TSDB_QUERY_NOTHING_STORED:
		answered(feed);
		if (!feed->told_nothing)
			log_warning(
				"OpenTSDB at %s has nothing with a tag host yet: does BDWatchdog "
				"write to it?",
				feed->shown);
		feed->told_nothing = true;
		return false;
	case TSDB_QUERY_UNKNOWN_NAME:
		source = name_index_get(feed->index, subject);
		if (source && source->listed) {
			leave_out(feed, source, text);
			break;
		}
		goto unreadable;
	case TSDB_QUERY_UNKNOWN_METRIC:
		if (leave_metric_out(feed, subject, &round->query.metrics))
			break;
		goto unreadable;
	case TSDB_QUERY_UNREADABLE:
unreadable:
		/* Which one it is has to be found out. */
		if (n == 1)
			leave_out(feed, round->asked[0], text);
		else
			round->limit = n / 2;
		break;
	}
	model_lock(feed->model);
	feed->stats.refused++;
	model_unlock(feed->model);
	return ++round->refused < REFUSED_MAX && round->query.metrics;
}

/* False: the round is over. */
static bool round_query(struct round *round, size_t n, const char *body)
{
	struct feed_opentsdb *feed = round->feed;
	struct http_request_options options = tsdb_target_request(&feed->target);
	_cleanup_free_ char *error = NULL;
	struct http_result result = {};
	bool more = false;
	int r;

	options.path = "/api/query";
	options.body = body;
	options.body_len = strlen(body);
	options.response_max = RESPONSE_MAX;
	options.stopped = is_stopping;
	options.stopped_userdata = feed;
	model_lock(feed->model);
	feed->stats.queries++;
	model_unlock(feed->model);
	r = http_session_call(feed->session, &options, &result);
	if (is_stopping(feed)) {
		http_result_clear(&result);
		return false;
	}
	if (r < 0) {
		failed(feed, strerror(-r));
	} else if (result.status != 200) {
		more = round_refused(round, n, &result);
	} else {
		r = tsdb_query_parse(result.body, result.body_len, on_series, feed, &error);
		if (r < 0) {
			failed(feed, error ? error : strerror(-r));
		} else {
			answered(feed);
			feed->told_nothing = false;
			take_answer(feed, round->asked, n, round->now);
			round->limit = round->limit > SIZE_MAX / 2 ? SIZE_MAX : 2 * round->limit;
			for (size_t i = 0; i < n; i++)
				round->asked[i]->listed = false;
			more = true;
		}
	}
	http_result_clear(&result);
	return more;
}

/* The next ones, as many as go into one query. False: the round is over. */
static bool round_next(struct round *round)
{
	_cleanup_free_ char *body = NULL;
	size_t n = 0, fit;

	while (round->at < round->n && !round->sources[round->at]->listed)
		round->at++;
	for (size_t i = round->at; i < round->n && n < round->limit; i++) {
		if (!round->sources[i]->listed)
			continue;
		round->names[n] = round->sources[i]->name;
		round->asked[n++] = round->sources[i];
	}
	if (!n ||
	    tsdb_query_body(&round->query, round->names, n, round->feed->body_max, &body, &fit) < 0)
		return false;
	return round_query(round, fit, body);
}

static unsigned metrics_to_ask(struct feed_opentsdb *feed, unsigned resources)
{
	unsigned metrics = tsdb_query_metrics_of(resources);
	uint64_t now = now_ns();

	for (unsigned m = 0; m < TSDB_QUERY_METRICS; m++)
		if (feed->metric_unknown_until_ns[m] > now)
			metrics &= ~(1u << m);
	return metrics;
}

static void do_round(struct feed_opentsdb *feed, double now, double window, size_t n)
{
	_cleanup_free_ struct source **sources = calloc(n, sizeof(struct source *));
	_cleanup_free_ struct source **asked = calloc(n, sizeof(struct source *));
	_cleanup_free_ const char **names = calloc(n, sizeof(const char *));
	struct round round = {
		.feed = feed,
		.now = now,
		.sources = sources,
		.asked = asked,
		.names = names,
		.limit = SIZE_MAX,
	};
	double longest = 0, shortest = INFINITY;
	unsigned resources = 0;

	if (!sources || !asked || !names)
		return;
	for (struct source *source = feed->sources; source; source = source->next) {
		if (!source->listed)
			continue;
		sources[round.n++] = source;
		longest = fmax(longest, source->delay);
		shortest = fmin(shortest, source->delay);
		resources |= source->resources;
	}
	round.query.start = (int64_t)(now - (window + longest));
	round.query.end = (int64_t)(now - shortest);
	round.query.metrics = metrics_to_ask(feed, resources);
	while (round.query.metrics && round_next(&round))
		;
	for (size_t i = 0; i < round.n; i++)
		series_clear(sources[i]);
}

/* --- the thread --- */

static void *run(void *userdata)
{
	struct feed_opentsdb *feed = userdata;
	const struct timespec tick = {.tv_nsec = TICK_NS};
	uint64_t due_ns = 0;

	while (!is_stopping(feed)) {
		double now, period;
		uint64_t ms;
		size_t n;

		if (now_ns() < due_ns) {
			nanosleep(&tick, NULL);
			continue;
		}
		now = wall_seconds();
		model_lock(feed->model);
		period = feed->model->guardian.window_timelapse;
		n = list_sources(feed, now);
		model_unlock(feed->model);
		if (n)
			do_round(feed, now, fmax(period, WINDOW_MIN_S), n);
		model_lock(feed->model);
		forget_stale(feed, wall_seconds());
		model_unlock(feed->model);
		ms = feed->failed ? backoff_ms(feed->failed - 1, RETRY_FIRST_MS, RETRY_CAP_MS)
				  : (uint64_t)(fmax(period, PERIOD_MIN_S) * 1e3);
		due_ns = now_ns() + ms * EBB_NS_PER_MS;
	}
	return NULL;
}

/* --- life --- */

int feed_opentsdb_new(struct model *model, struct scaler *scaler,
		      const struct feed_opentsdb_options *options, struct feed_opentsdb **ret_feed)
{
	const struct tsdb_options target = {
		.url = options->url,
		.timeout_ms = TIMEOUT_MS,
		.identity = options->identity,
	};
	struct feed_opentsdb *feed = calloc(1, sizeof(*feed));
	int r;

	if (!feed)
		return -ENOMEM;
	feed->model = model;
	feed->scaler = scaler;
	feed->body_max = options->body_max ? options->body_max : TSDB_BODY_MAX;
	feed->stats.reachable = true;
	feed->index = name_index_new();
	r = feed->index ? 0 : -ENOMEM;
	if (r >= 0)
		r = tsdb_target_parse(&target, &feed->target);
	if (r >= 0) {
		feed->shown = url_public(options->url);
		r = feed->shown ? 0 : -ENOMEM;
	}
	if (r >= 0)
		r = http_session_new(&feed->session);
	if (r >= 0)
		r = -pthread_create(&feed->thread, NULL, run, feed);
	if (r < 0) {
		feed_opentsdb_free(feed);
		return r;
	}
	feed->has_thread = true;
	*ret_feed = feed;
	return 0;
}

void feed_opentsdb_free(struct feed_opentsdb *feed)
{
	if (!feed)
		return;
	if (feed->has_thread) {
		__atomic_store_n(&feed->stopping, true, __ATOMIC_RELAXED);
		pthread_join(feed->thread, NULL);
	}
	while (feed->sources) {
		struct source *source = feed->sources;

		feed->sources = source->next;
		source_free(source);
	}
	if (feed->index)
		name_index_free(feed->index);
	if (feed->session)
		http_session_free(feed->session);
	tsdb_target_clear(&feed->target);
	free(feed->shown);
	free(feed);
}

void feed_opentsdb_get_stats(struct feed_opentsdb *feed, struct feed_opentsdb_stats *ret_stats)
{
	model_lock(feed->model);
	*ret_stats = feed->stats;
	model_unlock(feed->model);
}
