/* SPDX-License-Identifier: Apache-2.0 */
#include "sanity_config.h"

#include <errno.h>
#include <string.h>

#include "fail.h"
#include "store.h"
#include "structure.h"
#include "ebb/util.h"

#define DELAY_MIN_S   1.0
#define SECONDS_MAX_S 86400.0

static int get_flag(const json_t *config, const char *key, bool *flag, char **ret_error)
{
	const json_t *value = json_object_get(config, key);

	if (value && json_to_bool(value, flag) < 0)
		return fail_with(-EINVAL, ret_error, "%s must be true or false", key);
	return 0;
}

static int get_seconds(const json_t *config, const char *key, double least, double *seconds,
		       char **ret_error)
{
	const json_t *value = json_object_get(config, key);
	double number;

	if (!value)
		return 0;
	if (json_to_double(value, &number) < 0 || number < least || number > SECONDS_MAX_S)
		return fail_with(-EINVAL, ret_error, "%s must be seconds, from %g to %g", key,
				 least, SECONDS_MAX_S);
	*seconds = number;
	return 0;
}

static int db_of(const char *name)
{
	for (int db = 0; name && db < DB_MAX; db++)
		if (strcmp(store_db_name(db), name) == 0)
			return db;
	return -1;
}

static int get_databases(const json_t *config, unsigned *databases, char **ret_error)
{
	const json_t *names = json_object_get(config, "DATABASES"), *item;
	unsigned set = 0;
	size_t i;

	if (!names)
		return 0;
	if (!json_is_array(names))
		return fail_with(-EINVAL, ret_error, "DATABASES must be a list of names");
	json_array_foreach((json_t *)names, i, item) {
		int db = db_of(json_string_value(item));

		if (db < 0)
			return fail_with(-EINVAL, ret_error,
					 "DATABASES[%zu] must be structures, services, limits, "
					 "rules, events, requests or users",
					 i);
		set |= 1u << db;
	}
	*databases = set;
	return 0;
}

int sanity_config_from_json(const json_t *config, struct sanity_config *ret_config,
			    char **ret_error)
{
	struct sanity_config c = {
		.active = true,
		.delay = 120,
		.databases = 1u << DB_EVENTS | 1u << DB_REQUESTS | 1u << DB_SERVICES |
			     1u << DB_STRUCTURES | 1u << DB_LIMITS,
	};
	int r;

	if (config && !json_is_object(config))
		return fail_with(-EINVAL, ret_error, "config must be an object");
	r = get_flag(config, "ACTIVE", &c.active, ret_error);
	if (r >= 0)
		r = get_flag(config, "DEBUG", &c.debug, ret_error);
	if (r >= 0)
		r = get_seconds(config, "DELAY", DELAY_MIN_S, &c.delay, ret_error);
	if (r >= 0)
		r = get_seconds(config, "POLLING_FREQUENCY", 0, &c.polling_frequency, ret_error);
	if (r >= 0)
		r = get_databases(config, &c.databases, ret_error);
	if (r >= 0)
		*ret_config = c;
	return r;
}
