// SPDX-License-Identifier: Apache-2.0
#include "rebalance_config.h"

#include <errno.h>
#include <string.h>

#include "fail.h"
#include "structure.h"
#include "ebb/cleanup.h"

/* Containers that are not guarded are reported once a second: a shorter window would miss one now
 * and then. */
#define WINDOW_MIN_S 2.0
#define SECONDS_MAX  3600.0
/* What is remembered of a container is as long as both, in pieces of the window. */
#define DELAY_WINDOWS 20

const char *rebalance_level_name(enum rebalance_level level)
{
	static const char *const names[REBALANCE_LEVEL_MAX] = {
		[REBALANCE_USER] = "user",
		[REBALANCE_APPLICATION] = "application",
		[REBALANCE_CONTAINER] = "container",
	};

	return (unsigned)level < REBALANCE_LEVEL_MAX ? names[level] : NULL;
}

static int get_flag(const json_t *config, const char *key, bool *flag, char **ret_error)
{
	const json_t *value = json_object_get(config, key);

	if (value && json_to_bool(value, flag) < 0)
		return fail_with(-EINVAL, ret_error, "%s must be true or false", key);
	return 0;
}

static int get_number(const json_t *config, const char *key, const char *what, double least,
		      double most, double *ret_number, char **ret_error)
{
	const json_t *value = json_object_get(config, key);
	double number;

	if (!value)
		return 0;
	if (json_to_double(value, &number) < 0 || number < least || number > most)
		return fail_with(-EINVAL, ret_error, "%s must be %s, from %g to %g", key, what,
				 least, most);
	*ret_number = number;
	return 0;
}

/* One of two words; `ret_second`: whether it is the second one. */
static int get_word(const json_t *config, const char *key, const char *first, const char *second,
		    bool *ret_second, char **ret_error)
{
	const json_t *value = json_object_get(config, key);
	const char *word = json_string_value(value);

	if (!value)
		return 0;
	if (!word || (strcmp(word, first) != 0 && strcmp(word, second) != 0))
		return fail_with(-EINVAL, ret_error, "%s must be \"%s\" or \"%s\"", key, first,
				 second);
	*ret_second = strcmp(word, second) == 0;
	return 0;
}

static int get_list(const json_t *config, const char *key, const json_t **ret_list,
		    char **ret_error)
{
	const json_t *list = json_object_get(config, key);

	if (list && !json_is_array(list))
		return fail_with(-EINVAL, ret_error, "%s must be a list of names", key);
	*ret_list = list;
	return 0;
}

static int get_resources(const json_t *config, unsigned *ret_resources, char **ret_error)
{
	const json_t *list = NULL, *item;
	unsigned resources = 0;
	size_t i;
	int r;

	r = get_list(config, "RESOURCES_BALANCED", &list, ret_error);
	if (r < 0 || !list)
		return r;
	json_array_foreach((json_t *)list, i, item) {
		const char *name = json_string_value(item);
		enum ebb_resource resource =
			name ? ebb_resource_from_name(name) : EBB_RESOURCE_INVALID;

		if (resource == EBB_RESOURCE_INVALID)
			return fail_with(-EINVAL, ret_error,
					 "RESOURCES_BALANCED[%zu] must be cpu, mem, disk_read, "
					 "disk_write, net or energy",
					 i);
		resources |= 1u << resource;
	}
	*ret_resources = resources;
	return 0;
}

static int get_levels(const json_t *config, unsigned *ret_levels, char **ret_error)
{
	const json_t *list = NULL, *item;
	unsigned levels = 0;
	size_t i;
	int r;

	r = get_list(config, "STRUCTURES_BALANCED", &list, ret_error);
	if (r < 0 || !list)
		return r;
	json_array_foreach((json_t *)list, i, item) {
		const char *name = json_string_value(item);
		int level = 0;

		while (level < REBALANCE_LEVEL_MAX &&
		       !(name && strcmp(name, rebalance_level_name(level)) == 0))
			level++;
		if (level == REBALANCE_LEVEL_MAX)
			return fail_with(-EINVAL, ret_error,
					 "STRUCTURES_BALANCED[%zu] must be container, application "
					 "or user",
					 i);
		levels |= 1u << level;
	}
	*ret_levels = levels;
	return 0;
}

/* What each key allows, but not with each other. */
static int check_together(const struct rebalance_config *c, char **ret_error)
{
	if (c->window_delay > DELAY_WINDOWS * c->window_timelapse)
		return fail_with(-EINVAL, ret_error,
				 "WINDOW_DELAY %g must be at most %d times WINDOW_TIMELAPSE, which "
				 "is %g: set both at once",
				 c->window_delay, DELAY_WINDOWS, c->window_timelapse);
	if (c->by_weights && !c->host_scope)
		return fail_with(-EINVAL, ret_error,
				 "BALANCING_METHOD weights is for CONTAINERS_SCOPE host only: set "
				 "both at once");
	/* What an application owns would go to another one behind its back. */
	if (c->host_scope && c->levels & 1u << REBALANCE_CONTAINER &&
	    c->levels & 1u << REBALANCE_APPLICATION)
		return fail_with(-EINVAL, ret_error,
				 "CONTAINERS_SCOPE host moves shares between the containers of "
				 "different applications: take application out of "
				 "STRUCTURES_BALANCED, or set CONTAINERS_SCOPE to application");
	return 0;
}

int rebalance_config_from_json(const json_t *config, struct rebalance_config *ret_config,
			       char **ret_error)
{
	struct rebalance_config c = {
		.active = true,
		.window_timelapse = 30,
		.window_delay = 10,
		.diff = 0.4,
		.stolen = 0.4,
		.resources = 1u << EBB_CPU,
		.levels = 1u << REBALANCE_CONTAINER,
	};
	const struct {
		const char *key;
		bool *flag;
	} flags[] = {
		{"ACTIVE", &c.active},
		{"DEBUG", &c.debug},
		{"COMPENSATE", &c.compensate},
		{"ONLY_RUNNING", &c.only_running},
	};
	const struct {
		const char *key, *what;
		double least, most, *number;
	} numbers[] = {
		{"WINDOW_TIMELAPSE", "seconds", WINDOW_MIN_S, SECONDS_MAX, &c.window_timelapse},
		{"WINDOW_DELAY", "seconds", 0, SECONDS_MAX, &c.window_delay},
		{"DIFF_PERCENTAGE", "a ratio", 0, 1, &c.diff},
		{"STOLEN_PERCENTAGE", "a ratio", 0, 1, &c.stolen},
	};
	int r = 0;

	if (config && !json_is_object(config))
		return fail_with(-EINVAL, ret_error, "config must be an object");
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(flags); i++)
		r = get_flag(config, flags[i].key, flags[i].flag, ret_error);
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(numbers); i++)
		r = get_number(config, numbers[i].key, numbers[i].what, numbers[i].least,
			       numbers[i].most, numbers[i].number, ret_error);
	if (r >= 0)
		r = get_resources(config, &c.resources, ret_error);
	if (r >= 0)
		r = get_levels(config, &c.levels, ret_error);
	if (r >= 0)
		r = get_word(config, "CONTAINERS_SCOPE", "application", "host", &c.host_scope,
			     ret_error);
	if (r >= 0)
		r = get_word(config, "BALANCING_POLICY", "rules", "thresholds", &c.by_thresholds,
			     ret_error);
	if (r >= 0)
		r = get_word(config, "BALANCING_METHOD", "pair_swapping", "weights", &c.by_weights,
			     ret_error);
	if (r >= 0)
		r = check_together(&c, ret_error);
	if (r < 0)
		return r;
	*ret_config = c;
	return 0;
}
