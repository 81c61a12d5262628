/* SPDX-License-Identifier: Apache-2.0 */
/* Applications and users come in. */
#include "subscription.h"

#include <errno.h>
#include <strings.h>

#include "model_private.h"
#include "subscription_body.h"
#include "subscription_private.h"
#include "ebb/cleanup.h"

const char *application_state(const char *text)
{
	static const char *const states[] = {"running", "stopped", "hdfs_downloading",
					     "hdfs_uploading"};

	for (size_t i = 0; text && i < ARRAY_SIZE(states); i++)
		if (strcasecmp(text, states[i]) == 0)
			return states[i];
	return NULL;
}

int application_set_state(struct model *model, struct structure *application, const char *text,
			  char **ret_error)
{
	const char *state = application_state(text);

	if (application->subtype != STRUCTURE_APPLICATION)
		return fail_with(-EINVAL, ret_error, "%s is a %s: only applications have a state",
				 application->name, structure_subtype_name(application->subtype));
	if (!state)
		return fail_with(-EINVAL, ret_error,
				 "State '%.64s' is not valid. Use running, stopped, "
				 "hdfs_downloading or hdfs_uploading",
				 text);
	if (!application->doc)
		application->doc = json_object();
	if (json_object_set_new(application->doc, "state", json_string(state)) < 0)
		return -ENOMEM;
	model_touch(model, application, MODEL_DIRTY_STRUCTURE);
	return 0;
}

static int check_body(const char *name, const json_t *body, const json_t **ret_app,
		      char **ret_error)
{
	static const char *const keys[] = {
		"name",          "resources",     "guard",      "subtype",      "install_script",
		"install_files", "runtime_files", "output_dir", "start_script", "stop_script"};
	static const char *const strings[] = {"install_script", "install_files", "runtime_files",
					      "output_dir",     "start_script",  "stop_script",
					      "framework"};
	static const char *const range_keys[] = {"max", "min", "guard"};
	const json_t *app = NULL, *state;
	int r;

	r = body_object(body, "app", &app, ret_error);
	if (r >= 0)
		r = body_has(app, "app", keys, ARRAY_SIZE(keys), ret_error);
	if (r >= 0)
		r = body_is_called(app, "app", name, STRUCTURE_APPLICATION, ret_error);
	if (r >= 0)
		r = body_guard(app, "app", ret_error);
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(strings); i++) {
		const json_t *value = json_object_get(app, strings[i]);

		if (value && !json_is_string(value) && !json_is_null(value))
			r = fail_with(-EINVAL, ret_error, "app.%s must be a string", strings[i]);
	}
	state = json_object_get(app, "state");
	if (r >= 0 && state && !application_state(json_string_value(state)))
		r = fail_with(-EINVAL, ret_error,
			      "app.state must be running, stopped, hdfs_downloading or "
			      "hdfs_uploading");
	if (r >= 0)
		r = body_resources(app, "app", STRUCTURE_APPLICATION, range_keys,
				   ARRAY_SIZE(range_keys), ret_error);
	if (r >= 0)
		r = body_limits(body, app, "app", false, ret_error);
	if (r >= 0)
		*ret_app = app;
	return r;
}

static int new_application(const json_t *app, const json_t *limits,
			   struct structure **ret_application, char **ret_error)
{
	_cleanup_json_ json_t *doc = body_document(app);
	const char *state = application_state(json_string_value(json_object_get(app, "state")));

	if (json_object_set_new(doc, "state", json_string(state ? state : "stopped")) < 0 ||
	    json_object_set_new(doc, "containers", json_array()) < 0)
		return -ENOMEM;
	return structure_from_json(doc, limits, ret_application, ret_error);
}

int subscribe_application(struct model *model, const char *name, const json_t *body,
			  struct structure **ret_application, char **ret_error)
{
	_cleanup_structure_ struct structure *application = NULL;
	const struct structure *s = model_structure(model, name);
	const json_t *app;
	int r;

	r = check_body(name, body, &app, ret_error);
	if (r >= 0 && s)
		r = subscription_exists(s, ret_error);
	if (r >= 0)
		r = new_application(app, json_object_get(body, "limits"), &application, ret_error);
	if (r >= 0)
		r = model_add(model, application);
	if (r < 0)
		return r;
	*ret_application = TAKE_PTR(application);
	return 0;
}

/* --- users --- */

static int check_user(const char *name, const json_t *body, const json_t **ret_user,
		      char **ret_error)
{
	static const char *const keys[] = {"name", "subtype", "resources"};
	static const char *const range_keys[] = {"max", "min"};
	const json_t *user = NULL, *method;
	int r;

	r = body_object(body, "user", &user, ret_error);
	if (r >= 0)
		r = body_has(user, "user", keys, ARRAY_SIZE(keys), ret_error);
	if (r >= 0)
		r = body_is_called(user, "user", name, STRUCTURE_USER, ret_error);
	method = json_object_get(user, "balancing_method");
	if (r >= 0 && method && !json_is_string(method))
		r = fail_with(-EINVAL, ret_error, "user.balancing_method must be a string");
	if (r >= 0)
		r = body_resources(user, "user", STRUCTURE_USER, range_keys, ARRAY_SIZE(range_keys),
				   ret_error);
	if (r >= 0)
		*ret_user = user;
	return r;
}

int subscribe_user(struct model *model, const char *name, const json_t *body,
		   struct structure **ret_user, char **ret_error)
{
	_cleanup_structure_ struct structure *structure = NULL;
	const struct structure *known = model_user(model, name);
	_cleanup_json_ json_t *doc = NULL;
	const json_t *user;
	int r;

	r = check_user(name, body, &user, ret_error);
	if (r >= 0 && known)
		r = subscription_exists(known, ret_error);
	if (r < 0)
		return r;
	doc = body_document(user);
	if (json_object_set_new(doc, "clusters", json_array()) < 0)
		return -ENOMEM;
	r = user_from_json(doc, NULL, &structure, ret_error);
	if (r >= 0)
		r = model_add(model, structure);
	if (r < 0)
		return r;
	*ret_user = TAKE_PTR(structure);
	return 0;
}
