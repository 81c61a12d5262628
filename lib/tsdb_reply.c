/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"
#include "ebb/util.h"
#include "tsdb_reply.h"

#define WAIT_MAX_S 300
/* Bodies taken before a larger one is tried again; each refusal doubles it. */
#define PATIENCE     32
#define PATIENCE_MAX 4096

static json_t *parse_object(const struct tsdb_reply *reply)
{
	json_t *value = reply->body ? json_loadb(reply->body, reply->body_len, 0, NULL) : NULL;

	if (json_is_object(value))
		return value;
	json_decref(value);
	return NULL;
}

static bool names_points(const json_t *details)
{
	return json_array_size(json_object_get(details, "errors")) > 0;
}

enum tsdb_verdict tsdb_reply_judge(const struct tsdb_reply *reply, json_t **ret_details)
{
	_cleanup_json_ json_t *object = NULL;

	if (!reply->status)
		return reply->cut ? TSDB_CUT : TSDB_LATER;
	if (reply->status == 408 || reply->status == 429 || reply->status / 100 == 5)
		return TSDB_LATER;
	if (reply->status == 413)
		return TSDB_TOO_LARGE;
	if (reply->status != 400 && reply->status / 100 != 2)
		return TSDB_SETUP;
	/* What was not asked for is not looked at: nothing says that it is about points. */
	if (reply->status != 400 && !reply->asked)
		return TSDB_TAKEN;

	object = parse_object(reply);
	if (object && names_points(object)) {
		*ret_details = TAKE_PTR(object);
		return TSDB_NAMED;
	}
	if (reply->status != 400)
		return json_integer_value(json_object_get(object, "failed")) > 0 ? TSDB_UNCLEAR
										 : TSDB_TAKEN;
	/* A TSD that takes no chunks answers with a page before it knows the path; so do proxies.
	 */
	if (!object)
		return TSDB_TOO_LARGE;
	return reply->asked ? TSDB_UNCLEAR : TSDB_ASK;
}

unsigned tsdb_reply_wait_s(const struct tsdb_reply *reply)
{
	uint64_t seconds;

	if (!reply->retry_after || parse_u64(reply->retry_after, &seconds) < 0)
		return 0;
	return (unsigned)MIN(seconds, (uint64_t)WAIT_MAX_S);
}

void tsdb_reply_message(const struct tsdb_reply *reply, char *buffer, size_t size)
{
	_cleanup_json_ json_t *object = parse_object(reply);
	const json_t *error = json_object_get(object, "error");
	const char *text = json_string_value(json_object_get(error, "message"));

	if (!text)
		text = json_string_value(error);
	if (!text && !object && reply->body && *reply->body != '<')
		text = reply->body;
	snprintf(buffer, size, "%.*s", text ? (int)strcspn(text, "\r\n") : 0, text ? text : "");
}

enum tsdb_fault tsdb_reply_fault(const char *error)
{
	static const char *const later[] = {"Please throttle", "Storage exception",
					    "Timeout exception", "Unexpected exception"};

	if (!strncmp(error, "Unknown metric", strlen("Unknown metric")))
		return TSDB_FAULT_METRIC;
	for (size_t i = 0; i < ARRAY_SIZE(later); i++)
		if (!strncmp(error, later[i], strlen(later[i])))
			return TSDB_FAULT_STORAGE;
	return TSDB_FAULT_POINT;
}

/* --- Which points failed ---------------------------------------------------------------------- */

/* Metric, time and tags name a point. NULL: it lacks one of them, or there is no memory. */
static char *point_key(const json_t *point)
{
	const char *metric = json_string_value(json_object_get(point, "metric"));
	const json_t *time = json_object_get(point, "timestamp"),
		     *tags = json_object_get(point, "tags");
	int64_t timestamp = json_integer_value(time);
	_cleanup_free_ char *tags_text = NULL;
	char *key;

	/* The server may give back a string for what it got as a number. */
	if (!metric || !json_is_object(tags) ||
	    (json_is_string(time) ? parse_i64(json_string_value(time), &timestamp) < 0
				  : !json_is_integer(time)))
		return NULL;
	tags_text = json_dumps(tags, JSON_COMPACT | JSON_SORT_KEYS);
	if (!tags_text || asprintf(&key, "%s %lld %s", metric, (long long)timestamp, tags_text) < 0)
		return NULL;
	return key;
}

static int index_points(const struct tsdb_batch *batch, json_t *indexes)
{
	for (size_t i = 0; i < batch->n; i++) {
		size_t start = tsdb_batch_start(batch, i);
		_cleanup_json_ json_t *point =
			json_loadb(batch->text + start, batch->ends[i] - 1 - start, 0, NULL);
		_cleanup_free_ char *key = point ? point_key(point) : NULL;

		if (key && json_object_set_new(indexes, key, json_integer((json_int_t)i)) < 0)
			return -ENOMEM;
	}
	return 0;
}

int tsdb_reply_match(const json_t *details, const struct tsdb_batch *batch, tsdb_failed_fn fn,
		     void *userdata)
{
	_cleanup_json_ json_t *indexes = json_object();
	const json_t *failed;
	size_t i;
	int r = indexes ? index_points(batch, indexes) : -ENOMEM;

	if (r < 0)
		return r;
	json_array_foreach(json_object_get(details, "errors"), i, failed) {
		const json_t *point = json_object_get(failed, "datapoint");
		const char *error = json_string_value(json_object_get(failed, "error"));
		_cleanup_free_ char *key = point_key(point);
		const json_t *index = key ? json_object_get(indexes, key) : NULL;

		if (!index)
			continue;
		fn(userdata, (uint32_t)json_integer_value(index),
		   json_string_value(json_object_get(point, "metric")), error ? error : "");
		json_object_del(indexes, key);
	}
	return 0;
}

/* --- How large a body may be
 * ---------------------------------------------------------------------- */

void tsdb_size_init(struct tsdb_size *size, size_t max)
{
	*size = (struct tsdb_size){.max = max, .limit = max, .patience = PATIENCE};
}

void tsdb_size_refused(struct tsdb_size *size, size_t len)
{
	size->limit = MAX(MIN(size->limit, len / 2), (size_t)TSDB_SIZE_MIN);
	size->taken = 0;
	size->patience = MIN(size->patience * 2, (unsigned)PATIENCE_MAX);
}

void tsdb_size_taken(struct tsdb_size *size, size_t len)
{
	size->worked = MAX(size->worked, len);
	if (++size->taken < size->patience)
		return;
	size->taken = 0;
	size->limit = MAX(size->limit, MIN(MIN(size->limit * 2, size->worked), size->max));
}
