/* SPDX-License-Identifier: Apache-2.0 */
/* Services: their documents, the defaults, and what is compiled from them. */
#include "model.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "drift.h"
#include "model_private.h"
#include "ebb/cleanup.h"

/* With their pauses a bit more than a minute. */
#define DRIFT_TRIES     8
#define DRIFT_TRIES_MAX 1000000

void model_keep(struct model *model, enum store_db db, const char *name, const json_t *doc)
{
	struct store *store = model_store(model);

	if (store && store_put(store, db, name, doc) < 0)
		model_log(model, LOG_LEVEL_ERROR, "No memory to keep %s %s", store_db_name(db),
			  name);
}

int scaler_config_from_json(const json_t *config, struct scaler_config *ret_config,
			    char **ret_error)
{
	struct scaler_config c = {
		.active = true,
		.polling_frequency = 1,
		.request_timeout = 60,
		.check_core_map = true,
		.drift = DRIFT_REASSERT,
		.drift_tries = DRIFT_TRIES,
		.pin_cores = true,
		/* Off until an operator asks for it: it changes who decides. */
		.reflex = false,
		.reflex_lease = 5,
		.core_distribution = CORES_GROUP_PP_LL,
	};
	const json_t *distribution = json_object_get(config, "CORE_DISTRIBUTION");
	const json_t *drift = json_object_get(config, "DRIFT");
	const json_t *tries = json_object_get(config, "DRIFT_TRIES");
	int64_t n;
	const struct {
		const char *key;
		bool *value;
	} flags[] = {
		{"ACTIVE", &c.active},
		{"CHECK_CORE_MAP", &c.check_core_map},
		{"PIN_CORES", &c.pin_cores},
		{"REFLEX", &c.reflex},
	};
	const struct {
		const char *key;
		double *value, least, most;
	} times[] = {
		{"POLLING_FREQUENCY", &c.polling_frequency, 0.01, 3600},
		{"REQUEST_TIMEOUT", &c.request_timeout, 0.1, 86400},
		/* Agents ask once a second; a minute is the most that they take. */
		{"REFLEX_LEASE", &c.reflex_lease, 0.1, 60},
	};

	if (config && !json_is_object(config))
		return fail_with(-EINVAL, ret_error, "config must be an object");
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		const json_t *value = json_object_get(config, flags[i].key);

		if (value && json_to_bool(value, flags[i].value) < 0)
			return fail_with(-EINVAL, ret_error, "%s must be true or false",
					 flags[i].key);
	}
	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		const json_t *value = json_object_get(config, times[i].key);
		double seconds;

		if (!value)
			continue;
		if (json_to_double(value, &seconds) < 0 || seconds < times[i].least ||
		    seconds > times[i].most)
			return fail_with(-EINVAL, ret_error, "%s must be seconds, from %g to %g",
					 times[i].key, times[i].least, times[i].most);
		*times[i].value = seconds;
	}
	if (distribution)
		c.core_distribution = core_distribution_from_json(distribution);
	if (c.core_distribution == CORES_MAX)
		return fail_with(-EINVAL, ret_error, "CORE_DISTRIBUTION must be %s",
				 core_distribution_names());
	if (drift)
		c.drift = drift_from_json(drift);
	if (c.drift == DRIFT_MAX)
		return fail_with(-EINVAL, ret_error, "DRIFT must be reassert, accept or manual");
	if (tries) {
		if (json_to_int64(tries, &n) < 0 || n < 0 || n > DRIFT_TRIES_MAX)
			return fail_with(-EINVAL, ret_error,
					 "DRIFT_TRIES must be a number from 0 (without end) to %d",
					 DRIFT_TRIES_MAX);
		c.drift_tries = (unsigned)n;
	}
	*ret_config = c;
	return 0;
}

/* Of the modules that read one: what the documents say is in force. */
struct in_force {
	struct guardian_config guardian;
	struct scaler_config scaler;
	struct series_config series;
	struct rebalance_config rebalancer;
	struct sanity_config sanity;
};

static struct in_force in_force(const struct model *model)
{
	return (struct in_force){.guardian = model->guardian,
				 .scaler = model->scaler,
				 .series = model->series,
				 .rebalancer = model->rebalancer,
				 .sanity = model->sanity};
}

static void put_in_force(struct model *model, const struct in_force *configs)
{
	model->guardian = configs->guardian;
	model->scaler = configs->scaler;
	model_guards_changed(model);
	model->series = configs->series;
	model->rebalancer = configs->rebalancer;
	model->sanity = configs->sanity;
}

static int compile_service(const char *name, const json_t *config, struct in_force *configs,
			   char **ret_error)
{
	if (strcmp(name, "guardian") == 0)
		return guardian_config_from_json(config, &configs->guardian, ret_error);
	if (strcmp(name, "scaler") == 0)
		return scaler_config_from_json(config, &configs->scaler, ret_error);
	if (strcmp(name, "rebalancer") == 0)
		return rebalance_config_from_json(config, &configs->rebalancer, ret_error);
	if (strcmp(name, "sanity_checker") == 0)
		return sanity_config_from_json(config, &configs->sanity, ret_error);
	return series_config_set(&configs->series, name, config, ret_error);
}

static json_t *resource_names(unsigned mask)
{
	json_t *list = json_array();

	for (int i = 0; i < EBB_RESOURCE_MAX; i++)
		if (mask & 1u << i)
			json_array_append_new(list, json_string(ebb_resource_name(i)));
	return list;
}

/* Times are whole seconds where they can be. */
static json_t *seconds(double value)
{
	return value == trunc(value) ? json_integer((json_int_t)value) : json_real(value);
}

/*
 * Keys, and the values of what does not run yet, are the original's (spec 1.3 to 1.9). Those of
 * the guardian and the scaler are laid over from what their modules take for granted.
 */
/* clang-format off */
#define DOCUMENT(...) #__VA_ARGS__
static const char default_services[] = DOCUMENT({
	"guardian": {"ACTIVE": true, "DEBUG": false, "STRUCTURE_GUARDED": "container"},
	"scaler": {"ACTIVE": true, "DEBUG": false},
	"structures_snapshoter": {"ACTIVE": true, "DEBUG": false, "POLLING_FREQUENCY": 5,
		"STRUCTURES_PERSISTED": ["application"], "RESOURCES_PERSISTED": ["cpu", "mem"]},
	"database_snapshoter": {"ACTIVE": true, "DEBUG": false, "POLLING_FREQUENCY": 5,
		"DOCUMENTS_PERSISTED": ["limits", "structures", "users", "configs"],
		"SERVICES_PERSISTED": ["guardian", "scaler"],
		"FIELDS_PERSISTED": ["max", "min", "upper", "lower", "current", "usage", "fixed",
			"shares"]},
	"refeeder": {"ACTIVE": true, "DEBUG": false, "WINDOW_TIMELAPSE": 10, "WINDOW_DELAY": 20,
		"STRUCTURES_REFEEDED": ["application"], "GENERATED_METRICS": ["cpu", "mem"]},
	"sanity_checker": {"ACTIVE": true, "DEBUG": false, "DELAY": 120, "POLLING_FREQUENCY": 0,
		"DATABASES": ["events", "requests", "services", "structures", "limits"]},
	"rebalancer": {"ACTIVE": false, "DEBUG": false, "WINDOW_TIMELAPSE": 30, "WINDOW_DELAY": 10,
		"DIFF_PERCENTAGE": 0.4, "STOLEN_PERCENTAGE": 0.4, "RESOURCES_BALANCED": ["cpu"],
		"STRUCTURES_BALANCED": ["container"], "CONTAINERS_SCOPE": "application",
		"BALANCING_POLICY": "rules", "BALANCING_METHOD": "pair_swapping",
		"COMPENSATE": false, "ONLY_RUNNING": false}
});
#undef DOCUMENT
/* clang-format on */

static json_t *default_configs(const struct guardian_config *guardian,
			       const struct scaler_config *scaler)
{
	_cleanup_json_ json_t *configs = json_loads(default_services, 0, NULL);
	json_t *of_guardian = json_object_get(configs, "guardian");
	json_t *of_scaler = json_object_get(configs, "scaler");
	int r;

	r = json_object_set_new(of_guardian, "WINDOW_TIMELAPSE",
				seconds(guardian->window_timelapse));
	r |= json_object_set_new(of_guardian, "WINDOW_DELAY", seconds(guardian->window_delay));
	r |= json_object_set_new(of_guardian, "EVENT_TIMEOUT", seconds(guardian->event_timeout));
	r |= json_object_set_new(of_guardian, "FEED",
				 json_string(feed_setting_name(guardian->feed)));
	r |= json_object_set_new(of_guardian, "FEED_GRACE", seconds(guardian->feed_grace));
	r |= json_object_set_new(of_guardian, "GUARDABLE_RESOURCES",
				 resource_names(guardian->guardable));
	r |= json_object_set_new(of_scaler, "POLLING_FREQUENCY",
				 seconds(scaler->polling_frequency));
	r |= json_object_set_new(of_scaler, "REQUEST_TIMEOUT", seconds(scaler->request_timeout));
	r |= json_object_set_new(of_scaler, "CHECK_CORE_MAP", json_boolean(scaler->check_core_map));
	r |= json_object_set_new(of_scaler, "DRIFT", json_string(drift_name(scaler->drift)));
	r |= json_object_set_new(of_scaler, "DRIFT_TRIES", json_integer(scaler->drift_tries));
	r |= json_object_set_new(of_scaler, "PIN_CORES", json_boolean(scaler->pin_cores));
	r |= json_object_set_new(of_scaler, "REFLEX", json_boolean(scaler->reflex));
	r |= json_object_set_new(of_scaler, "REFLEX_LEASE", seconds(scaler->reflex_lease));
	r |= json_object_set_new(of_scaler, "CORE_DISTRIBUTION",
				 json_string(core_distribution_name(scaler->core_distribution)));
	return r == 0 ? TAKE_PTR(configs) : NULL;
}

bool model_service_is_ours(const char *name)
{
	_cleanup_json_ json_t *configs = json_loads(default_services, 0, NULL);

	return json_object_get(configs, name) != NULL;
}

void model_put_service(struct model *model, const char *name)
{
	const json_t *doc = json_object_get(model->services, name);

	if (doc)
		model_keep(model, DB_SERVICES, name, doc);
}

int model_load_services(struct model *model)
{
	_cleanup_json_ json_t *configs = NULL;
	const char *name;
	json_t *config, *doc;
	struct in_force compiled;
	int r;

	r = guardian_config_from_json(NULL, &model->guardian, NULL);
	if (r >= 0)
		r = scaler_config_from_json(NULL, &model->scaler, NULL);
	if (r >= 0)
		r = rebalance_config_from_json(NULL, &model->rebalancer, NULL);
	if (r >= 0)
		r = sanity_config_from_json(NULL, &model->sanity, NULL);
	if (r < 0)
		return r;
	/* It moves shares by itself: not because its document is missing, or is wrong. */
	model->rebalancer.active = false;
	series_config_defaults(&model->series);
	configs = default_configs(&model->guardian, &model->scaler);
	if (!configs)
		return -ENOMEM;
	json_object_foreach(configs, name, config) {
		if (!model->leading || json_object_get(model->services, name))
			continue;
		doc = json_pack("{s:s, s:s, s:s, s:O}", "name", name, "type", "service",
				"heartbeat", "", "config", config);
		if (json_object_set_new(model->services, name, doc) < 0)
			return -ENOMEM;
		model_keep(model, DB_SERVICES, name, doc);
	}
	compiled = in_force(model);
	json_object_foreach(model->services, name, doc) {
		_cleanup_free_ char *error = NULL;

		/* An edit that cannot be does not keep the controller from starting. */
		if (compile_service(name, json_object_get(doc, "config"), &compiled, &error) < 0)
			model_log(model, LOG_LEVEL_WARNING,
				  "State: service %s runs with its defaults: %s", name,
				  error ? error : "no memory");
	}
	put_in_force(model, &compiled);
	return 0;
}

int model_set_service(struct model *model, json_t *doc, char **ret_error)
{
	const char *name = json_string_value(json_object_get(doc, "name"));
	const json_t *config = json_object_get(doc, "config");
	struct in_force compiled = in_force(model);
	json_t *mine;
	int r;

	if (!name || !json_is_object(config))
		return fail_with(-EINVAL, ret_error,
				 "A service needs a name, and a config that is an object");
	r = compile_service(name, config, &compiled, ret_error);
	if (r < 0)
		return r;
	mine = json_deep_copy(doc);
	if (!mine || json_object_set_new(model->services, name, mine) < 0)
		return -ENOMEM;
	put_in_force(model, &compiled);
	model_keep(model, DB_SERVICES, name, mine);
	return 0;
}

void model_heartbeat_service(struct model *model, const char *name, double now)
{
	json_t *doc = json_object_get(model->services, name);
	time_t at = (time_t)now;
	char human[32] = "";
	struct tm tm;

	if (!doc)
		return;
	if (localtime_r(&at, &tm))
		strftime(human, sizeof(human), "%D %H:%M:%S", &tm);
	json_object_set_new(doc, "heartbeat", json_real(now));
	json_object_set_new(doc, "heartbeat_human", json_string(human));
	model_keep(model, DB_SERVICES, name, doc);
}

void model_heartbeat(struct model *model, double now)
{
	model_heartbeat_service(model, "guardian", now);
	model_heartbeat_service(model, "scaler", now);
}
