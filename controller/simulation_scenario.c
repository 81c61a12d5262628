/* SPDX-License-Identifier: Apache-2.0 */
/* A scenario into a model, samples and requests, with everything checked before anything is done.
 */
#include "scenario_private.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "ebb/cleanup.h"

/* A window shorter than this is one of samples that come many times a second. */
#define WINDOW_OF_MANY 1.0

/* --- members --- */

int scenario_member_fail(char **ret_error, const char *list, size_t index, const char *member,
			 const char *expected)
{
	return fail_with(-EINVAL, ret_error, "%s[%zu].%s: %s", list, index, member, expected);
}

int scenario_list(const json_t *scenario, const char *name, json_t **ret_list, char **ret_error)
{
	json_t *list = json_object_get(scenario, name), *item;
	size_t i;

	if (json_is_null(list))
		list = NULL;
	if (list && !json_is_array(list))
		return fail_with(-EINVAL, ret_error, "%s: must be an array of objects", name);
	json_array_foreach(list, i, item)
		if (!json_is_object(item))
			return fail_with(-EINVAL, ret_error, "%s[%zu]: must be an object", name, i);
	*ret_list = list;
	return 0;
}

int scenario_seconds(const json_t *object, const char *list, size_t index, const char *member,
		     double *ret_seconds, char **ret_error)
{
	double seconds;

	if (json_to_double(json_object_get(object, member), &seconds) < 0 || seconds < 0 ||
	    seconds > SECONDS_MAX)
		return scenario_member_fail(ret_error, list, index, member,
					    "must be a number of seconds, 0 to 1e10");
	*ret_seconds = seconds;
	return 0;
}

int scenario_check_members(const json_t *object, const char *where, const char *const *known,
			   size_t n, char **ret_error)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)object, key, value) {
		size_t i = 0;

		while (i < n && strcmp(key, known[i]) != 0)
			i++;
		if (i == n)
			return fail_with(-EINVAL, ret_error,
					 "%s%s%s: there is no such member; `ebb help simulate` "
					 "lists them",
					 where, *where ? "." : "", key);
	}
	return 0;
}

/* --- all of it --- */

static int load_evaluation(struct simulation *sim, char **ret_error)
{
	const json_t *evaluate = json_object_get(sim->scenario, "evaluate");
	const char *text = json_string_value(evaluate);

	if (evaluate && (!text || (strcmp(text, "sample") && strcmp(text, "window"))))
		return fail_with(-EINVAL, ret_error, "evaluate: must be \"sample\" or \"window\"");
	sim->by_window = text && strcmp(text, "window") == 0;
	/* A sample, or the mean over a window, stands for itself. */
	sim->guardian.window_delay = 0;
	if (sim->by_window || sim->window >= WINDOW_OF_MANY)
		sim->guardian.window_timelapse = 1e-3;
	return 0;
}

static int load_until(struct simulation *sim, char **ret_error)
{
	const json_t *until = json_object_get(sim->scenario, "until");

	if (until && !json_is_null(until)) {
		if (json_to_double(until, &sim->until) < 0 || sim->until < 0 ||
		    sim->until > SECONDS_MAX)
			return fail_with(-EINVAL, ret_error,
					 "until: must be a number of seconds, 0 to 1e10");
		return 0;
	}
	if (sim->n_usages)
		sim->until = sim->usages[sim->n_usages - 1].due;
	if (sim->n_requests)
		sim->until = fmax(sim->until, sim->requests[sim->n_requests - 1].at);
	return 0;
}

static void set_begin(struct simulation *sim)
{
	sim->begin = INFINITY;
	for (size_t i = 0; i < sim->n_usages; i++)
		sim->begin = fmin(sim->begin, sim->usages[i].at);
	if (sim->n_requests)
		sim->begin = fmin(sim->begin, sim->requests[0].at);
	if (!isfinite(sim->begin))
		sim->begin = 0;
	if (sim->n_usages && !sim->model->guardian.active)
		model_log(
			sim->model, LOG_LEVEL_WARNING,
			"services: the guardian is not ACTIVE, so nothing is decided from usages");
}

int simulation_load(struct simulation *sim, char **ret_error)
{
	static const char *const known[] = {
		"structures", "limits", "rules",  "services", "topology", "usages",     "requests",
		"until",      "users",  "events", "evaluate", "name",     "description"};
	int r;

	if (!json_is_object(sim->scenario))
		return fail_with(
			-EINVAL, ret_error,
			"a scenario must be one JSON object; `ebb help simulate` shows it");
	r = scenario_check_members(sim->scenario, "", known, ARRAY_SIZE(known), ret_error);
	if (r >= 0)
		r = scenario_load_documents(sim, ret_error);
	if (r >= 0)
		r = scenario_load_limits(sim, ret_error);
	if (r >= 0)
		r = scenario_load_rules(sim, ret_error);
	if (r >= 0)
		r = scenario_load_services(sim, ret_error);
	if (r >= 0)
		r = scenario_load_hosts(sim, ret_error);
	if (r >= 0)
		r = load_evaluation(sim, ret_error);
	if (r >= 0)
		r = scenario_load_usages(sim, ret_error);
	if (r >= 0)
		r = scenario_load_requests(sim, ret_error);
	if (r >= 0)
		r = load_until(sim, ret_error);
	if (r >= 0)
		set_begin(sim);
	return r;
}
