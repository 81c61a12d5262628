/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "fail.h"
#include "guardian.h"
#include "ebb/util.h"

/* An hour: the guardian's own memory of a feed ends there. */
#define SECONDS_MAX 3600.0
/* Longer than an agent, a controller or a leader takes to be back. */
#define FEED_GRACE_S 30

static int get_seconds(const json_t *config, const char *key, bool may_be_zero, double *value,
		       char **ret_error)
{
	const json_t *json = json_object_get(config, key);
	double seconds;

	if (!json)
		return 0;
	if (json_is_number(json))
		seconds = json_number_value(json);
	else if (!json_is_string(json) || parse_double(json_string_value(json), &seconds) < 0)
		seconds = NAN;
	if (!(seconds >= 0 && seconds <= SECONDS_MAX) || (seconds == 0 && !may_be_zero))
		return fail_with(-EINVAL, ret_error,
				 "%s must be a number of seconds %s and at most %.0f.", key,
				 may_be_zero ? "from 0" : "above 0", SECONDS_MAX);
	*value = seconds;
	return 0;
}

static int get_resources(const json_t *config, unsigned *value, char **ret_error)
{
	const json_t *json = json_object_get(config, "GUARDABLE_RESOURCES");
	const json_t *element;
	unsigned resources = 0;
	size_t i;

	if (!json)
		return 0;
	if (!json_is_array(json))
		return fail_with(-EINVAL, ret_error,
				 "GUARDABLE_RESOURCES must be an array of resources, such "
				 "as [\"cpu\", \"mem\"].");
	json_array_foreach(json, i, element) {
		const char *name = json_string_value(element);
		enum ebb_resource resource =
			name ? ebb_resource_from_name(name) : EBB_RESOURCE_INVALID;

		if (resource == EBB_RESOURCE_INVALID)
			return fail_with(-EINVAL, ret_error,
					 "GUARDABLE_RESOURCES[%zu] must be cpu, mem, disk_read, "
					 "disk_write, net or energy.",
					 i);
		resources |= 1u << resource;
	}
	*value = resources;
	return 0;
}

static int get_active(const json_t *config, bool *value, char **ret_error)
{
	const json_t *json = json_object_get(config, "ACTIVE");

	if (json && json_to_bool(json, value) < 0)
		return fail_with(-EINVAL, ret_error, "ACTIVE must be true or false.");
	return 0;
}

static int get_feed(const json_t *config, enum feed_setting *value, char **ret_error)
{
	const json_t *json = json_object_get(config, "FEED");
	enum feed_setting setting = feed_setting_from_json(json);

	if (!json)
		return 0;
	if (setting == FEED_SETTING_MAX)
		return fail_with(-EINVAL, ret_error, "FEED must be local, opentsdb or auto.");
	*value = setting;
	return 0;
}

static bool add_guarded(const json_t *name, unsigned *guarded)
{
	const char *text = json_string_value(name);

	for (unsigned i = STRUCTURE_CONTAINER; text && i <= STRUCTURE_USER; i++) {
		if (strcmp(text, structure_subtype_name(i)) != 0)
			continue;
		*guarded |= 1u << i;
		return true;
	}
	return false;
}

static int get_guarded(const json_t *config, unsigned *value, char **ret_error)
{
	const json_t *json = json_object_get(config, "STRUCTURE_GUARDED");
	unsigned guarded = 0;
	bool good = true;

	if (!json)
		return 0;
	if (!json_is_array(json))
		good = add_guarded(json, &guarded);
	for (size_t i = 0; i < json_array_size(json); i++)
		good = good && add_guarded(json_array_get(json, i), &guarded);
	if (!good || !guarded)
		return fail_with(-EINVAL, ret_error,
				 "STRUCTURE_GUARDED must be container, application or user, or a "
				 "list of them.");
	*value = guarded;
	return 0;
}

int guardian_config_from_json(const json_t *config, struct guardian_config *ret_config,
			      char **ret_error)
{
	struct guardian_config parsed = {
		.active = true,
		.window_timelapse = 0.3,
		.window_delay = 0,
		.event_timeout = 2,
		.feed = FEED_AUTO,
		.feed_grace = FEED_GRACE_S,
		.guarded = 1u << STRUCTURE_CONTAINER,
		.guardable =
			1u << EBB_CPU | 1u << EBB_MEM | 1u << EBB_DISK_READ | 1u << EBB_DISK_WRITE,
	};
	int r;

	if (config && !json_is_object(config))
		return fail_with(-EINVAL, ret_error,
				 "The guardian's config must be a JSON object.");
	r = get_active(config, &parsed.active, ret_error);
	if (r >= 0)
		r = get_seconds(config, "WINDOW_TIMELAPSE", false, &parsed.window_timelapse,
				ret_error);
	if (r >= 0)
		r = get_seconds(config, "WINDOW_DELAY", true, &parsed.window_delay, ret_error);
	if (r >= 0)
		r = get_seconds(config, "EVENT_TIMEOUT", false, &parsed.event_timeout, ret_error);
	if (r >= 0)
		r = get_seconds(config, "FEED_GRACE", true, &parsed.feed_grace, ret_error);
	if (r >= 0)
		r = get_feed(config, &parsed.feed, ret_error);
	if (r >= 0)
		r = get_resources(config, &parsed.guardable, ret_error);
	if (r >= 0)
		r = get_guarded(config, &parsed.guarded, ret_error);
	if (r < 0)
		return r;
	*ret_config = parsed;
	return 0;
}
