/* SPDX-License-Identifier: Apache-2.0 */
#include "feed_message.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "feed_samples.h"
#include "ebb/cleanup.h"
#include "ebb/util.h"

#define NAME_MAX_BYTES 255

static int get_name(const json_t *object, const char *key, const char **ret_name, char **ret_error)
{
	const char *name = json_string_value(json_object_get(object, key));

	if (!name || !name_is_sane(name, NAME_MAX_BYTES))
		return fail_with(-EINVAL, ret_error, "\"%s\" must be a string of 1 to %d bytes",
				 key, NAME_MAX_BYTES);
	*ret_name = name;
	return 0;
}

static int get_count(const json_t *value, const char *what, int64_t *ret_count, char **ret_error)
{
	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return fail_with(-EINVAL, ret_error, "%s must be an integer that is not negative",
				 what);
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
		return fail_with(-EINVAL, ret_error, "\"%s\" must be an array", key);
	json_array_foreach(array, i, member) {
		if (!json_is_object(member))
			return fail_with(-EINVAL, ret_error, "\"%s\"[%zu] must be an object", key,
					 i);
		r = get_count(json_object_get(member, "c"), "\"c\"", &c, ret_error);
		if (r >= 0 && named)
			r = get_name(member, "name", &name, ret_error);
		if (r >= 0 && named && json_object_get(member, "was"))
			r = get_name(member, "was", &name, ret_error);
		if (r < 0)
			return r;
	}
	*ret_array = array;
	return 0;
}

static int by_number(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

/* A registration looks up the number of every sample, under the lock: of 5,000 containers that was
 * 12.5 million steps along `added`. */
static int index_added(struct feed_message *message)
{
	json_t *member;
	size_t i;

	if (json_array_size(message->added) == 0)
		return 0;
	message->added_numbers = calloc(json_array_size(message->added), sizeof(int64_t));
	if (!message->added_numbers)
		return -ENOMEM;
	json_array_foreach(message->added, i, member)
		message->added_numbers[i] = json_integer_value(json_object_get(member, "c"));
	message->n_added = i;
	qsort(message->added_numbers, i, sizeof(int64_t), by_number);
	return 0;
}

bool feed_message_adds(const struct feed_message *message, int64_t c)
{
	return message->n_added &&
	       bsearch(&c, message->added_numbers, message->n_added, sizeof(int64_t), by_number);
}

/* Who changed limits is for people only, but it is to be text. */
static int check_hands(const json_t *limits, char **ret_error)
{
	static const char *const texts[] = {"name", "unit"};
	json_t *member;
	size_t i;

	json_array_foreach((json_t *)limits, i, member) {
		const json_t *by = json_object_get(member, "by");

		if (!by)
			continue;
		if (!json_is_object(by) || !json_is_integer(json_object_get(by, "pid")))
			return fail_with(-EINVAL, ret_error,
					 "\"limits\"[%zu].by must be an object with a \"pid\"", i);
		for (size_t t = 0; t < ARRAY_SIZE(texts); t++) {
			const json_t *text = json_object_get(by, texts[t]);

			if (text && (!json_is_string(text) ||
				     !name_is_sane(json_string_value(text), NAME_MAX_BYTES)))
				return fail_with(-EINVAL, ret_error,
						 "\"limits\"[%zu].by.%s must be a name", i,
						 texts[t]);
		}
	}
	return 0;
}

static int get_removed(const json_t *message, json_t **ret_array, char **ret_error)
{
	json_t *array = json_object_get(message, "removed"), *member;
	int64_t c;
	size_t i;
	int r;

	if (array && !json_is_array(array))
		return fail_with(-EINVAL, ret_error, "\"removed\" must be an array");
	json_array_foreach(array, i, member) {
		r = get_count(member, "a member of \"removed\"", &c, ret_error);
		if (r < 0)
			return r;
	}
	*ret_array = array;
	return 0;
}

/*
 * The message without its samples: they are read apart, and stand as an empty array in the text
 * that the JSON parser gets.
 */
static int read_json(const char *text, size_t len, struct feed_message *message, json_t **ret_json,
		     char **ret_error)
{
	_cleanup_free_ struct feed_sample *samples = NULL;
	_cleanup_free_ char *rest = NULL;
	size_t begin, end, n = 0, at;
	json_error_t error;
	json_t *json;
	int r;

	if (feed_samples_find(text, len, &begin, &end)) {
		r = feed_samples_parse(text + begin, end - begin, &samples, &n, &at);
		if (r == -EINVAL)
			return fail_with(
				-EINVAL, ret_error,
				"\"samples\"[%zu] must be an array of %d integers that are not "
				"negative, or null for a counter that is not there",
				at, 2 + FEED_COUNTERS);
		if (r < 0)
			return r;
		rest = malloc(len - (end - begin) + 2);
		if (!rest)
			return -ENOMEM;
		memcpy(rest, text, begin);
		memcpy(rest + begin, "[]", 2);
		memcpy(rest + begin + 2, text + end, len - end);
		len = len - (end - begin) + 2;
		text = rest;
	}
	json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
	if (!json)
		return fail_with(-EINVAL, ret_error,
				 "not JSON: %s (line %d, column %d, \"samples\" left out)",
				 error.text, error.line, error.column);
	message->samples = TAKE_PTR(samples);
	message->n_samples = n;
	*ret_json = json;
	return 0;
}

int feed_message_growth(const json_t *json, struct feed_growth *ret_growth)
{
	const char *resource = json_string_value(json_object_get(json, "resource"));
	const char *why = json_string_value(json_object_get(json, "why"));
	struct feed_growth growth = {.why = why ? why : ""};
	const struct {
		const char *key;
		int64_t *value;
	} numbers[] = {
		{"c", &growth.c},       {"from", &growth.from}, {"to", &growth.to},
		{"seen", &growth.seen}, {"at", &growth.at},
	};

	growth.resource = resource ? ebb_resource_from_name(resource) : EBB_RESOURCE_INVALID;
	if (growth.resource != EBB_CPU && growth.resource != EBB_MEM)
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		if (get_count(json_object_get(json, numbers[i].key), "", numbers[i].value, NULL) <
		    0)
			return -EINVAL;
	/* Beyond what a limit can be, sums would not fit. */
	if (growth.to <= growth.from || growth.to > INT64_MAX / 4)
		return -EINVAL;
	*ret_growth = growth;
	return 0;
}

static int read_members(const json_t *json, struct feed_message *message, char **ret_error)
{
	const json_t *samples = json_object_get(json, "samples"), *growth;
	struct feed_growth parsed;
	size_t i;

	if (!json_is_object(json))
		return fail_with(-EINVAL, ret_error, "a feed message is a JSON object");
	if (get_name(json, "host", &message->host, ret_error) < 0 ||
	    get_name(json, "session", &message->session, ret_error) < 0 ||
	    get_count(json_object_get(json, "seq"), "\"seq\"", &message->seq, ret_error) < 0 ||
	    get_count(json_object_get(json, "now"), "\"now\"", &message->now, ret_error) < 0)
		return -EINVAL;
	if (json_object_get(json, "guard_version") &&
	    get_count(json_object_get(json, "guard_version"), "\"guard_version\"",
		      &message->guard_version, ret_error) < 0)
		return -EINVAL;
	if (json_object_get(json, "term") &&
	    get_count(json_object_get(json, "term"), "\"term\"", &message->term, ret_error) < 0)
		return -EINVAL;
	message->registration = json_object_get(json, "register");
	if (message->registration && !json_is_object(message->registration))
		return fail_with(-EINVAL, ret_error, "\"register\" must be an object");
	/* A key written with escapes, say, was not found. */
	if (samples && (!json_is_array(samples) || json_array_size(samples)))
		return fail_with(-EINVAL, ret_error, "\"samples\" must be an array");
	if (get_containers(json, "added", true, &message->added, ret_error) < 0 ||
	    get_containers(json, "limits", false, &message->limits, ret_error) < 0 ||
	    check_hands(message->limits, ret_error) < 0 ||
	    get_containers(json, "reflex", false, &message->growths, ret_error) < 0 ||
	    get_removed(json, &message->removed, ret_error) < 0)
		return -EINVAL;
	json_array_foreach(message->growths, i, growth)
		if (feed_message_growth(growth, &parsed) < 0)
			return fail_with(-EINVAL, ret_error,
					 "\"reflex\"[%zu] must have \"resource\" (cpu or mem), "
					 "\"from\", \"to\", \"seen\" and \"at\"",
					 i);
	return 0;
}

int feed_message_parse(const char *text, size_t len, struct feed_message *ret_message,
		       char **ret_error)
{
	struct feed_message message = {0};
	int r;

	r = read_json(text, len, &message, &message.json, ret_error);
	if (r >= 0)
		r = read_members(message.json, &message, ret_error);
	if (r >= 0)
		r = index_added(&message);
	if (r < 0) {
		feed_message_clear(&message);
		return r;
	}
	*ret_message = message;
	return 0;
}

void feed_message_clear(struct feed_message *message)
{
	json_decref(message->json);
	free(message->samples);
	free(message->added_numbers);
	*message = (struct feed_message){0};
}
