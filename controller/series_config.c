/* SPDX-License-Identifier: Apache-2.0 */
#include "series_config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "structure.h"
#include "fail.h"
#include "ebb/cleanup.h"
#include "ebb/util.h"

/* Points carry whole seconds: two runs in one would be one point. */
#define PERIOD_MIN_S 1.0
/* Unguarded containers are reported once a second: a shorter window would miss one now and then. */
#define WINDOW_MIN_S  2.0
#define SECONDS_MAX   3600.0
#define DELAY_WINDOWS 20

struct choice {
	const char *name;
	unsigned bit;
};

static const struct choice documents[] = {{"limits", SERIES_LIMITS},
					  {"structures", SERIES_STRUCTURES},
					  {"users", SERIES_USERS},
					  {"configs", SERIES_CONFIGS},
					  {}};
static const struct choice services[] = {
	{"guardian", SERIES_GUARDIAN}, {"scaler", SERIES_SCALER}, {}};
static const struct choice structures[] = {{"container", SERIES_CONTAINER},
					   {"application", SERIES_APPLICATION},
					   {"user", SERIES_USER},
					   {}};
static const struct choice resources[] = {{"cpu", 1u << EBB_CPU},
					  {"mem", 1u << EBB_MEM},
					  {"disk_read", 1u << EBB_DISK_READ},
					  {"disk_write", 1u << EBB_DISK_WRITE},
					  {"net", 1u << EBB_NET},
					  {"energy", 1u << EBB_ENERGY},
					  {}};
static const char *const default_fields[] = {"max",     "min",   "upper", "lower",
					     "current", "usage", "fixed", "shares"};

static int get_flag(const json_t *config, const char *key, bool *flag, char **ret_error)
{
	const json_t *value = json_object_get(config, key);

	if (value && json_to_bool(value, flag) < 0)
		return fail_with(-EINVAL, ret_error, "%s must be true or false", key);
	return 0;
}

static int get_seconds(const json_t *config, const char *key, double least, double *ret_seconds,
		       char **ret_error)
{
	const json_t *value = json_object_get(config, key);
	double seconds;

	if (!value)
		return 0;
	if (json_to_double(value, &seconds) < 0 || seconds < least || seconds > SECONDS_MAX)
		return fail_with(-EINVAL, ret_error, "%s must be seconds, from %g to %g", key,
				 least, SECONDS_MAX);
	*ret_seconds = seconds;
	return 0;
}

static const struct choice *find_choice(const struct choice *choices, const char *name)
{
	for (; choices->name; choices++)
		if (name && strcmp(choices->name, name) == 0)
			return choices;
	return NULL;
}

/* "a, b or c" */
static const char *list_choices(const struct choice *choices, char *text, size_t size)
{
	size_t len = 0;

	for (const struct choice *c = choices; c->name && len < size; c++)
		len += (size_t)snprintf(text + len, size - len, "%s%s",
					c == choices ? ""
					: c[1].name  ? ", "
						     : " or ",
					c->name);
	return text;
}

static int get_names(const json_t *config, const char *key, const json_t **ret_names,
		     char **ret_error)
{
	const json_t *names = json_object_get(config, key);

	if (names && !json_is_array(names))
		return fail_with(-EINVAL, ret_error, "%s must be a list of names", key);
	*ret_names = names;
	return 0;
}

static int get_set(const json_t *config, const char *key, const struct choice *choices,
		   unsigned *ret_set, char **ret_error)
{
	const json_t *names = NULL, *item;
	unsigned set = 0;
	char known[128];
	size_t i;
	int r;

	r = get_names(config, key, &names, ret_error);
	if (r < 0 || !names)
		return r;
	json_array_foreach((json_t *)names, i, item) {
		const struct choice *choice = find_choice(choices, json_string_value(item));

		if (!choice)
			return fail_with(-EINVAL, ret_error, "%s[%zu] must be %s", key, i,
					 list_choices(choices, known, sizeof(known)));
		set |= choice->bit;
	}
	*ret_set = set;
	return 0;
}

/* Other services are no error: their names are only told about. */
static int get_services(const json_t *config, struct snapshoter_database_config *c,
			char **ret_error)
{
	const json_t *names = NULL, *item;
	size_t i, len = 0;
	int r;

	r = get_names(config, "SERVICES_PERSISTED", &names, ret_error);
	if (r < 0 || !names)
		return r;
	c->services = 0;
	json_array_foreach((json_t *)names, i, item) {
		const char *name = json_string_value(item);
		const struct choice *choice = find_choice(services, name);

		if (!name || !name_is_sane(name, 64))
			return fail_with(-EINVAL, ret_error,
					 "SERVICES_PERSISTED[%zu] must be the name of a service",
					 i);
		if (choice)
			c->services |= choice->bit;
		else if (len < sizeof(c->unmapped))
			len += (size_t)snprintf(c->unmapped + len, sizeof(c->unmapped) - len,
						"%s%s", len ? ", " : "", name);
	}
	return 0;
}

/* It becomes part of a metric's name. */
static bool field_is_valid(const char *name)
{
	size_t len =
		strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

	return len > 0 && len < SERIES_FIELD_LEN && !name[len];
}

static int get_fields(const json_t *config, struct snapshoter_database_config *c, char **ret_error)
{
	const json_t *names = NULL, *item;
	size_t i;
	int r;

	r = get_names(config, "FIELDS_PERSISTED", &names, ret_error);
	if (r < 0 || !names)
		return r;
	if (json_array_size(names) > SERIES_FIELDS_MAX)
		return fail_with(-EINVAL, ret_error, "FIELDS_PERSISTED: at most %d fields",
				 SERIES_FIELDS_MAX);
	c->n_fields = 0;
	json_array_foreach((json_t *)names, i, item) {
		const char *name = json_string_value(item);
		bool twice = false;

		if (!name || !field_is_valid(name))
			return fail_with(-EINVAL, ret_error,
					 "FIELDS_PERSISTED[%zu] must be the name of a field, such "
					 "as current",
					 i);
		for (unsigned k = 0; k < c->n_fields; k++)
			twice |= strcmp(c->fields[k], name) == 0;
		if (!twice)
			snprintf(c->fields[c->n_fields++], SERIES_FIELD_LEN, "%s", name);
	}
	return 0;
}

static int set_database(struct snapshoter_database_config *ret, const json_t *json,
			char **ret_error)
{
	struct snapshoter_database_config c = {
		.active = true,
		.polling_frequency = 5,
		.documents = SERIES_LIMITS | SERIES_STRUCTURES | SERIES_USERS | SERIES_CONFIGS,
		.services = SERIES_GUARDIAN | SERIES_SCALER,
		.n_fields = ARRAY_SIZE(default_fields),
	};
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(default_fields); i++)
		snprintf(c.fields[i], SERIES_FIELD_LEN, "%s", default_fields[i]);
	r = get_flag(json, "ACTIVE", &c.active, ret_error);
	if (r >= 0)
		r = get_flag(json, "DEBUG", &c.debug, ret_error);
	if (r >= 0)
		r = get_seconds(json, "POLLING_FREQUENCY", PERIOD_MIN_S, &c.polling_frequency,
				ret_error);
	if (r >= 0)
		r = get_set(json, "DOCUMENTS_PERSISTED", documents, &c.documents, ret_error);
	if (r >= 0)
		r = get_services(json, &c, ret_error);
	if (r >= 0)
		r = get_fields(json, &c, ret_error);
	if (r >= 0)
		*ret = c;
	return r;
}

static int set_structures(struct snapshoter_structures_config *ret, const json_t *json,
			  char **ret_error)
{
	struct snapshoter_structures_config c = {
		.active = true,
		.polling_frequency = 5,
		.structures = SERIES_APPLICATION,
		.resources = 1u << EBB_CPU | 1u << EBB_MEM,
	};
	int r;

	r = get_flag(json, "ACTIVE", &c.active, ret_error);
	if (r >= 0)
		r = get_flag(json, "DEBUG", &c.debug, ret_error);
	if (r >= 0)
		r = get_seconds(json, "POLLING_FREQUENCY", PERIOD_MIN_S, &c.polling_frequency,
				ret_error);
	if (r >= 0)
		r = get_set(json, "STRUCTURES_PERSISTED", structures, &c.structures, ret_error);
	if (r >= 0)
		r = get_set(json, "RESOURCES_PERSISTED", resources, &c.resources, ret_error);
	if (r >= 0)
		*ret = c;
	return r;
}

static int set_refeeder(struct refeeder_config *ret, const json_t *json, char **ret_error)
{
	struct refeeder_config c = {
		.active = true,
		.window_timelapse = 10,
		.window_delay = 20,
		.structures = SERIES_APPLICATION,
		.resources = 1u << EBB_CPU | 1u << EBB_MEM,
	};
	int r;

	r = get_flag(json, "ACTIVE", &c.active, ret_error);
	if (r >= 0)
		r = get_flag(json, "DEBUG", &c.debug, ret_error);
	if (r >= 0)
		r = get_seconds(json, "WINDOW_TIMELAPSE", WINDOW_MIN_S, &c.window_timelapse,
				ret_error);
	if (r >= 0)
		r = get_seconds(json, "WINDOW_DELAY", 0, &c.window_delay, ret_error);
	/* What is remembered of a container is as long as both, in pieces of the window. */
	if (r >= 0 && c.window_delay > DELAY_WINDOWS * c.window_timelapse)
		r = fail_with(-EINVAL, ret_error,
			      "WINDOW_DELAY %g must be at most %d times WINDOW_TIMELAPSE, which is "
			      "%g: set both at once",
			      c.window_delay, DELAY_WINDOWS, c.window_timelapse);
	if (r >= 0)
		r = get_set(json, "STRUCTURES_REFEEDED", structures, &c.structures, ret_error);
	if (r >= 0)
		r = get_set(json, "GENERATED_METRICS", resources, &c.resources, ret_error);
	if (r >= 0)
		*ret = c;
	return r;
}

int series_config_set(struct series_config *config, const char *service, const json_t *json,
		      char **ret_error)
{
	bool database = strcmp(service, "database_snapshoter") == 0;
	bool of_structures = strcmp(service, "structures_snapshoter") == 0;

	if (!database && !of_structures && strcmp(service, "refeeder") != 0)
		return 0;
	if (json && !json_is_object(json))
		return fail_with(-EINVAL, ret_error, "config must be an object");
	if (database)
		return set_database(&config->database, json, ret_error);
	if (of_structures)
		return set_structures(&config->structures, json, ret_error);
	return set_refeeder(&config->refeeder, json, ret_error);
}

void series_config_defaults(struct series_config *ret_config)
{
	/* No document at all cannot be wrong. */
	(void)set_database(&ret_config->database, NULL, NULL);
	(void)set_structures(&ret_config->structures, NULL, NULL);
	(void)set_refeeder(&ret_config->refeeder, NULL, NULL);
}
