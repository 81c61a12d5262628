/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Oldest first, at full speed: points of one series arrive in order, and a backlog of hours is gone
 * in seconds to minutes, so that nothing is gained by letting fresh points overtake.
 */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/units.h"
#include "ebb/util.h"
#include "tsdb_body.h"
#include "tsdb_poster.h"
#include "tsdb_refused.h"
#include "tsdb_reply.h"

#define BACKOFF_MS     200
#define BACKOFF_MAX_MS 30000
#define SETUP_MS       30000
#define NO_MEMORY_MS   1000
/* Closed without a reply: so often before it is asked whether the server is there at all. */
#define CUTS_ASK 3
/* One point cannot be too large; given up only so that it does not hold up all others for ever. */
#define CUTS_DROP 20
/*
 * A server that never took anything is not OpenTSDB, and one that refuses so many single points in
 * a row is broken, or what stands before it: each of them is given so many more chances.
 */
#define SINGLES_ROW   3
#define SINGLES_DROP  3
#define LOG_EVERY_NS  (60 * EBB_NS_PER_SEC)
#define LOG_REMIND_NS (600 * EBB_NS_PER_SEC)

struct tsdb_poster {
	const struct tsdb_target *target;
	struct tsdb_spool *spool;
	struct http_session *session;
	struct tsdb_encoder *encoder;
	bool (*stopped)(void *userdata);
	void *userdata;

	/* The body under way: as it is in the spool, or what is left of it in parts. */
	bool active;
	uint8_t *body;
	size_t body_room;
	struct tsdb_record record;
	struct tsdb_batch *parts;
	uint8_t *built;
	size_t built_room;

	bool ask;          /* for details, of the part under way */
	bool keep_asking;  /* of all, as long as points are refused */
	unsigned attempts; /* failures in a row */
	unsigned cuts;     /* of this part, in a row */
	unsigned singles;  /* refusals of this one point */
	unsigned given_up; /* single points, with nothing taken in between */
	struct tsdb_size size;
	struct tsdb_refused refused;
	bool told; /* the log knows of the failure */
	uint64_t told_ns;
	char told_text[256];

	pthread_mutex_t lock; /* both below */
	size_t limit;
	struct tsdb_poster_stats stats;
};

/* What is posted: data and the number of its points. */
struct put {
	const uint8_t *data;
	size_t len, points;
	bool asked;
};

int tsdb_poster_new(const struct tsdb_target *target, struct tsdb_spool *spool, size_t body_max,
		    bool (*stopped)(void *userdata), void *userdata,
		    struct tsdb_poster **ret_poster)
{
	struct tsdb_poster *poster = calloc(1, sizeof(*poster));
	int r;

	if (!poster)
		return -ENOMEM;
	poster->target = target;
	poster->spool = spool;
	poster->stopped = stopped;
	poster->userdata = userdata;
	poster->refused.address = target->address;
	tsdb_size_init(&poster->size, body_max);
	poster->limit = body_max;
	poster->built_room = MAX(body_max, (size_t)TSDB_BODY_ROOM_MIN);
	pthread_mutex_init(&poster->lock, NULL);
	r = http_session_new(&poster->session);
	if (r == 0)
		r = tsdb_encoder_new(0, &poster->encoder);
	poster->built = malloc(poster->built_room);
	if (r < 0 || !poster->built) {
		tsdb_poster_free(poster);
		return r < 0 ? r : -ENOMEM;
	}
	*ret_poster = poster;
	return 0;
}

static void pop_part(struct tsdb_poster *poster)
{
	struct tsdb_batch *part = poster->parts;

	poster->parts = part->next;
	tsdb_batch_free(part);
}

void tsdb_poster_free(struct tsdb_poster *poster)
{
	if (!poster)
		return;
	while (poster->parts)
		pop_part(poster);
	http_session_free(poster->session);
	tsdb_encoder_free(poster->encoder);
	tsdb_refused_clear(&poster->refused);
	pthread_mutex_destroy(&poster->lock);
	free(poster->body);
	free(poster->built);
	free(poster);
}

size_t tsdb_poster_body_limit(struct tsdb_poster *poster)
{
	pthread_mutex_lock(&poster->lock);
	size_t limit = poster->limit;
	pthread_mutex_unlock(&poster->lock);
	return limit;
}

void tsdb_poster_get_stats(struct tsdb_poster *poster, struct tsdb_poster_stats *ret_stats)
{
	pthread_mutex_lock(&poster->lock);
	*ret_stats = poster->stats;
	pthread_mutex_unlock(&poster->lock);
}

/* --- What is told ----------------------------------------------------------------------------- */

/* One line when it begins, when its reason changes, and now and then while it lasts. */
static void note_failure(struct tsdb_poster *poster, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static void note_failure(struct tsdb_poster *poster, const char *format, ...)
{
	uint64_t now = now_ns(), silent = now - poster->told_ns;
	char text[sizeof(poster->told_text)];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	pthread_mutex_lock(&poster->lock);
	poster->stats.failures++;
	poster->stats.reachable = false;
	memcpy(poster->stats.last_error, text, sizeof(text));
	pthread_mutex_unlock(&poster->lock);
	if (poster->told && silent < LOG_REMIND_NS &&
	    (silent < LOG_EVERY_NS || !strcmp(text, poster->told_text)))
		return;
	poster->told = true;
	poster->told_ns = now;
	memcpy(poster->told_text, text, sizeof(text));
	log_warning("OpenTSDB: %s; points wait", text);
}

/* The server took `points`, and judged all of what it got. */
static void note_success(struct tsdb_poster *poster, size_t points)
{
	pthread_mutex_lock(&poster->lock);
	poster->stats.points += points;
	poster->stats.bodies++;
	poster->stats.reachable = true;
	poster->stats.last_error[0] = '\0';
	poster->limit = poster->size.limit;
	pthread_mutex_unlock(&poster->lock);
	poster->attempts = 0;
	poster->given_up = 0;
	if (poster->told)
		log_info("OpenTSDB %s takes points again", poster->target->address);
	poster->told = false;
}

static void note_rejected(struct tsdb_poster *poster, size_t points)
{
	pthread_mutex_lock(&poster->lock);
	poster->stats.rejected += points;
	pthread_mutex_unlock(&poster->lock);
}

/* --- The body under way ----------------------------------------------------------------------- */

static void begin_part(struct tsdb_poster *poster)
{
	poster->ask = false;
	poster->cuts = 0;
	poster->singles = 0;
}

static void end_part(struct tsdb_poster *poster)
{
	if (poster->parts)
		pop_part(poster);
	begin_part(poster);
	if (poster->parts)
		return;
	tsdb_spool_taken(poster->spool, poster->record.seq);
	poster->active = false;
}

/* From now on in parts: the first is the whole. */
static int open_body(struct tsdb_poster *poster)
{
	if (poster->parts)
		return 0;
	return tsdb_body_open(poster->body, poster->record.len, &poster->parts);
}

/* Nobody but this program writes the spool, and its checksums hold: another version did. */
static unsigned cannot_open(struct tsdb_poster *poster, int r)
{
	if (r != -EBADMSG)
		return NO_MEMORY_MS;
	log_warning("OpenTSDB %s refuses a body of %u points that this version did not write",
		    poster->target->address, poster->record.points);
	note_rejected(poster, poster->record.points);
	end_part(poster);
	return 0;
}

/* The first part becomes two: up to `n`, and the rest. */
static int split_part(struct tsdb_poster *poster, size_t n)
{
	struct tsdb_batch *part = poster->parts;
	struct tsdb_batch *head = tsdb_batch_slice(part, 0, n);
	struct tsdb_batch *rest = tsdb_batch_slice(part, n, part->n);

	if (!head || !rest) {
		tsdb_batch_free(head);
		tsdb_batch_free(rest);
		return -ENOMEM;
	}
	rest->next = part->next;
	head->next = rest;
	poster->parts = head;
	tsdb_batch_free(part);
	return 0;
}

/* 1: there is something to post, 0: nothing waits, or -ENOMEM. */
static int prepare(struct tsdb_poster *poster, struct put *ret_put)
{
	int r;

	if (!poster->active) {
		r = tsdb_spool_peek(poster->spool, &poster->body, &poster->body_room,
				    &poster->record);
		if (r <= 0)
			return r;
		poster->active = true;
		begin_part(poster);
	}
	ret_put->asked = poster->ask || poster->keep_asking;
	/* Waited since the limit was higher, here or in the configuration. */
	if (!poster->parts && poster->record.len > poster->size.limit && poster->record.points > 1)
		if (open_body(poster) == -ENOMEM)
			return -ENOMEM;
	if (!poster->parts) {
		ret_put->data = poster->body;
		ret_put->len = poster->record.len;
		ret_put->points = poster->record.points;
		return 1;
	}
	r = tsdb_encoder_build(poster->encoder, poster->parts, 0, poster->size.limit, poster->built,
			       poster->built_room, &ret_put->len);
	if (r < 0)
		return -ENOMEM;
	ret_put->data = poster->built;
	ret_put->points = (size_t)r;
	if (ret_put->points < poster->parts->n && split_part(poster, ret_put->points) < 0)
		return -ENOMEM;
	return 1;
}

/* --- What a reply leads to: each returns the milliseconds to wait
 * --------------------------------- */

static unsigned wait_longer(struct tsdb_poster *poster, unsigned at_least_s)
{
	unsigned ms = backoff_ms(poster->attempts, BACKOFF_MS, BACKOFF_MAX_MS);

	poster->attempts++;
	return MAX(ms, at_least_s * 1000);
}

static unsigned reject_point(struct tsdb_poster *poster, const struct tsdb_reply *reply)
{
	char why[128];

	tsdb_reply_message(reply, why, sizeof(why));
	if (open_body(poster) == 0)
		tsdb_refused_point(&poster->refused, poster->parts->text,
				   (int)poster->parts->len - 1,
				   *why            ? why
				   : reply->status ? "answered 400"
						   : "closed the connection");
	note_rejected(poster, 1);
	end_part(poster);
	return 0;
}

static unsigned refused_alone(struct tsdb_poster *poster, const struct tsdb_reply *reply)
{
	bool never = !poster->size.worked, broken = poster->given_up >= SINGLES_ROW;

	if ((never || broken) && poster->singles++ < SINGLES_DROP) {
		note_failure(poster, "%s answers %ld %s: is this the HTTP port of OpenTSDB?",
			     poster->target->address, reply->status,
			     never ? "even to a single point, and took none yet"
				   : "to one point after another");
		return SETUP_MS;
	}
	poster->given_up++;
	return reject_point(poster, reply);
}

static unsigned halve(struct tsdb_poster *poster, const struct put *put,
		      const struct tsdb_reply *reply, bool too_large)
{
	int r = open_body(poster);

	if (r < 0)
		return cannot_open(poster, r);
	if (poster->parts->n <= 1)
		return refused_alone(poster, reply);
	if (too_large) {
		size_t before = poster->size.limit;

		tsdb_size_refused(&poster->size, put->len);
		if (poster->size.limit < before)
			log_info("OpenTSDB %s refuses a body of %zu bytes: at most %zu from now on",
				 poster->target->address, put->len, poster->size.limit);
		pthread_mutex_lock(&poster->lock);
		poster->limit = poster->size.limit;
		pthread_mutex_unlock(&poster->lock);
	}
	if (split_part(poster, poster->parts->n / 2) < 0)
		return NO_MEMORY_MS;
	begin_part(poster);
	return 0;
}

static bool server_answers(struct tsdb_poster *poster)
{
	struct http_request_options options = tsdb_target_request(poster->target);
	struct http_result result;
	bool answers;

	options.method = "GET";
	options.path = "/api/version";
	options.stopped = poster->stopped;
	options.stopped_userdata = poster->userdata;
	if (http_session_call(poster->session, &options, &result) < 0)
		return false;
	answers = result.status != 0;
	http_result_clear(&result);
	return answers;
}

static unsigned after_cut(struct tsdb_poster *poster, const struct put *put,
			  const struct tsdb_reply *reply, const char *error)
{
	poster->cuts++;
	note_failure(poster, "%s", error);
	if (poster->cuts % CUTS_ASK == 0 && server_answers(poster)) {
		if (put->points > 1) {
			poster->attempts = 0;
			return halve(poster, put, reply, true);
		}
		if (poster->cuts >= CUTS_DROP)
			return reject_point(poster, reply);
	}
	return wait_longer(poster, 0);
}

static unsigned after_setup_error(struct tsdb_poster *poster, long status)
{
	const char *address = poster->target->address;

	if (status == 401 && !poster->target->user)
		note_failure(poster,
			     "%s wants a user and a password (401): give them in the URL, "
			     "http://USER:PASSWORD@HOST:PORT",
			     address);
	else if (status == 401)
		note_failure(poster, "%s refuses the user or the password in the URL (401)",
			     address);
	else if (status == 403)
		note_failure(poster, "%s forbids puts (403): allow them in the proxy before it",
			     address);
	else if (status == 404 || status == 405)
		note_failure(poster,
			     "%s takes no put (%ld): give the URL of OpenTSDB's HTTP port, and run "
			     "it with tsd.mode=rw",
			     address, status);
	else if (status / 100 == 3)
		note_failure(poster, "%s redirects (%ld): give the URL that it redirects to",
			     address, status);
	else
		note_failure(poster, "%s answers %ld to a put: give the URL of OpenTSDB", address,
			     status);
	return SETUP_MS;
}

/* Of one put: the points that failed. */
struct failed {
	struct tsdb_poster *poster;
	uint32_t *again; /* to be sent again */
	size_t n_again, n_rejected;
};

static void on_failed(void *userdata, uint32_t index, const char *metric, const char *error)
{
	struct failed *failed = userdata;
	struct tsdb_poster *poster = failed->poster;
	const struct tsdb_batch *part = poster->parts;
	size_t start = tsdb_batch_start(part, index);

	switch (tsdb_reply_fault(error)) {
	case TSDB_FAULT_STORAGE: failed->again[failed->n_again++] = index; return;
	case TSDB_FAULT_METRIC: tsdb_refused_metric(&poster->refused, metric); break;
	case TSDB_FAULT_POINT:
		tsdb_refused_point(&poster->refused, part->text + start,
				   (int)(part->ends[index] - 1 - start), error);
		break;
	}
	failed->n_rejected++;
}

/* The good ones are stored; of the others, those are sent again that failed for the moment only. */
static unsigned after_named(struct tsdb_poster *poster, const struct put *put,
			    const json_t *details)
{
	_cleanup_free_ uint32_t *again = NULL;
	struct failed failed = {.poster = poster};
	struct tsdb_batch *left;
	int r = open_body(poster);

	if (r < 0)
		return cannot_open(poster, r);
	failed.again = again = reallocarray(NULL, poster->parts->n, sizeof(*again));
	if (!again || tsdb_reply_match(details, poster->parts, on_failed, &failed) < 0)
		return NO_MEMORY_MS;
	note_rejected(poster, failed.n_rejected);
	tsdb_size_taken(&poster->size, put->len);
	if (!failed.n_again) {
		note_success(poster, poster->parts->n - failed.n_rejected);
		end_part(poster);
		return 0;
	}
	left = tsdb_batch_pick(poster->parts, again, failed.n_again);
	if (!left)
		return NO_MEMORY_MS;
	left->next = poster->parts->next;
	poster->parts->next = left;
	pthread_mutex_lock(&poster->lock);
	poster->stats.points += poster->parts->n - failed.n_rejected - failed.n_again;
	pthread_mutex_unlock(&poster->lock);
	end_part(poster);
	note_failure(poster, "the storage of %s fails for some points", poster->target->address);
	return wait_longer(poster, 0);
}

static unsigned act(struct tsdb_poster *poster, const struct put *put,
		    const struct tsdb_reply *reply, const char *error)
{
	_cleanup_json_ json_t *details = NULL;
	char why[128];

	switch (tsdb_reply_judge(reply, &details)) {
	case TSDB_TAKEN:
		if (put->asked)
			poster->keep_asking = false;
		tsdb_size_taken(&poster->size, put->len);
		note_success(poster, put->points);
		end_part(poster);
		return 0;
	case TSDB_NAMED: poster->keep_asking = true; return after_named(poster, put, details);
	case TSDB_ASK: poster->ask = true; return 0;
	case TSDB_TOO_LARGE: return halve(poster, put, reply, true);
	case TSDB_UNCLEAR: return halve(poster, put, reply, false);
	case TSDB_CUT: return after_cut(poster, put, reply, error);
	case TSDB_SETUP: return after_setup_error(poster, reply->status);
	case TSDB_LATER: break;
	}
	if (reply->status) {
		tsdb_reply_message(reply, why, sizeof(why));
		note_failure(poster, "%s answers %ld%s%s", poster->target->address, reply->status,
			     *why ? ": " : "", why);
	} else {
		bool untrusted = strcasestr(error, "certificate") != NULL;

		note_failure(poster, "%s%s", error,
			     untrusted ? ": give the CA that signed it with --ca-file" : "");
	}
	return wait_longer(poster, tsdb_reply_wait_s(reply));
}

unsigned tsdb_poster_step(struct tsdb_poster *poster)
{
	static const char *const headers[] = {"Content-Encoding: gzip", NULL};
	struct http_request_options options = tsdb_target_request(poster->target);
	struct http_result result;
	struct put put;
	unsigned wait;
	int r = prepare(poster, &put);

	tsdb_refused_tell(&poster->refused, now_ns());
	if (r <= 0)
		return r < 0 ? NO_MEMORY_MS : TSDB_POSTER_IDLE;
	options.path = put.asked ? "/api/put?details" : "/api/put";
	options.body = (const char *)put.data;
	options.body_len = put.len;
	options.headers = headers;
	options.stopped = poster->stopped;
	options.stopped_userdata = poster->userdata;
	r = http_session_call(poster->session, &options, &result);
	if (r < 0) {
		note_failure(poster, "%s: %s", poster->target->address, strerror(-r));
		return wait_longer(poster, 0);
	}
	struct tsdb_reply reply = {
		.status = result.status,
		.cut = result.cut,
		.asked = put.asked,
		.body = result.body,
		.body_len = result.body_len,
		.retry_after =
			result.status ? http_session_header(poster->session, "Retry-After") : NULL,
	};
	/* Ended by us: it says nothing of the server. */
	if (!reply.status && poster->stopped(poster->userdata))
		wait = 0;
	else
		wait = act(poster, &put, &reply, result.error);
	http_result_clear(&result);
	return wait;
}
