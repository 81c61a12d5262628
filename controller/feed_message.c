/* SPDX-License-Identifier: Apache-2.0 */
#include "feed_message.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "ebb/cleanup.h"
#include "ebb/util.h"

#define NAME_MAX_BYTES 255

static int refuse(char **ret_error, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int refuse(char **ret_error, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	if (vasprintf(ret_error, format, ap) < 0)
		*ret_error = NULL;
	va_end(ap);
	return -EINVAL;
}

static int get_name(const json_t *object, const char *key, const char **ret_name, char **ret_error)
{
	const char *name = json_string_value(json_object_get(object, key));

	if (!name || !name_is_sane(name, NAME_MAX_BYTES))
		return refuse(ret_error, "\"%s\" must be a string of 1 to %d bytes", key,
			      NAME_MAX_BYTES);
	*ret_name = name;
	return 0;
}

static int get_count(const json_t *value, const char *what, int64_t *ret_count, char **ret_error)
{
	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return refuse(ret_error, "%s must be an integer that is not negative", what);
	*ret_count = json_integer_value(value);
	return 0;
}

/* An array whose members are objects with "c" and, when `named`, "name". */
static int get_containers(const json_t *message, const char *key, bool named, json_t **ret_array,
			  char **ret_error)
{
	json_t *array = json_object_get(message, key), *member;
	const char *name;
	int64_t c;
	size_t i;
	int r;

	if (array && !json_is_array(array))
		return refuse(ret_error, "\"%s\" must be an array", key);
	json_array_foreach(array, i, member) {
		if (!json_is_object(member))
			return refuse(ret_error, "\"%s\"[%zu] must be an object", key, i);
		r = get_count(json_object_get(member, "c"), "\"c\"", &c, ret_error);
		if (r >= 0 && named)
			r = get_name(member, "name", &name, ret_error);
		if (r < 0)
			return r;
	}
	*ret_array = array;
	return 0;
}

static int get_removed(const json_t *message, json_t **ret_array, char **ret_error)
{
	json_t *array = json_object_get(message, "removed"), *member;
	int64_t c;
	size_t i;
	int r;

	if (array && !json_is_array(array))
		return refuse(ret_error, "\"removed\" must be an array");
	json_array_foreach(array, i, member) {
		r = get_count(member, "a member of \"removed\"", &c, ret_error);
		if (r < 0)
			return r;
	}
	*ret_array = array;
	return 0;
}

static int get_sample(const json_t *array, size_t at, struct feed_sample *ret_sample,
		      char **ret_error)
{
	if (!json_is_array(array) || json_array_size(array) != 2 + FEED_COUNTERS)
		return refuse(ret_error, "\"samples\"[%zu] must be an array of %d members", at,
			      2 + FEED_COUNTERS);
	if (get_count(json_array_get(array, 0), "the container of a sample", &ret_sample->c,
		      ret_error) < 0 ||
	    get_count(json_array_get(array, 1), "the time of a sample", &ret_sample->t, ret_error) <
		    0)
		return -EINVAL;
	for (size_t i = 0; i < FEED_COUNTERS; i++) {
		const json_t *value = json_array_get(array, 2 + i);

		if (json_is_null(value))
			ret_sample->counters[i] = FEED_NONE;
		else if (get_count(value, "a counter", &ret_sample->counters[i], ret_error) < 0)
			return -EINVAL;
	}
	return 0;
}

static int get_samples(const json_t *message, struct feed_sample **ret_samples, size_t *ret_n,
		       char **ret_error)
{
	_cleanup_free_ struct feed_sample *samples = NULL;
	const json_t *array = json_object_get(message, "samples"), *member;
	size_t i;

	if (array && !json_is_array(array))
		return refuse(ret_error, "\"samples\" must be an array");
	samples = calloc(json_array_size(array) + 1, sizeof(*samples));
	if (!samples)
		return -ENOMEM;
	json_array_foreach(array, i, member) {
		if (get_sample(member, i, &samples[i], ret_error) < 0)
			return -EINVAL;
	}
	*ret_n = json_array_size(array);
	*ret_samples = TAKE_PTR(samples);
	return 0;
}

int feed_message_parse(const char *text, size_t len, struct feed_message *ret_message,
		       char **ret_error)
{
	_cleanup_json_ json_t *json = NULL;
	struct feed_message message = {0};
	json_error_t error;
	int r;

	json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
	if (!json)
		return refuse(ret_error, "not JSON: %s (line %d, column %d)", error.text,
			      error.line, error.column);
	if (!json_is_object(json))
		return refuse(ret_error, "a feed message is a JSON object");
	if (get_name(json, "host", &message.host, ret_error) < 0 ||
	    get_name(json, "session", &message.session, ret_error) < 0 ||
	    get_count(json_object_get(json, "seq"), "\"seq\"", &message.seq, ret_error) < 0 ||
	    get_count(json_object_get(json, "now"), "\"now\"", &message.now, ret_error) < 0)
		return -EINVAL;
	if (json_object_get(json, "guard_version") &&
	    get_count(json_object_get(json, "guard_version"), "\"guard_version\"",
		      &message.guard_version, ret_error) < 0)
		return -EINVAL;
	message.registration = json_object_get(json, "register");
	if (message.registration && !json_is_object(message.registration))
		return refuse(ret_error, "\"register\" must be an object");
	if (get_containers(json, "added", true, &message.added, ret_error) < 0 ||
	    get_containers(json, "limits", false, &message.limits, ret_error) < 0 ||
	    get_removed(json, &message.removed, ret_error) < 0)
		return -EINVAL;
	r = get_samples(json, &message.samples, &message.n_samples, ret_error);
	if (r < 0)
		return r;
	message.json = TAKE_PTR(json);
	*ret_message = message;
	return 0;
}

void feed_message_clear(struct feed_message *message)
{
	json_decref(message->json);
	free(message->samples);
	*message = (struct feed_message){0};
}
