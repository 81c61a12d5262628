/* SPDX-License-Identifier: Apache-2.0 */
/* /user/: reading the users' documents (spec 3.5). */
#include "api.h"

#include "ebb/cleanup.h"

static void user_list(void *userdata, struct http_call *call)
{
	struct api *api = userdata;
	json_t *list = json_array();
	const struct structure *user;

	model_lock(api->model);
	model_foreach_user(api->model, user) json_array_append_new(list, structure_to_json(user));
	model_unlock(api->model);
	api_reply(call, list);
}

static void user_get(void *userdata, struct http_call *call)
{
	struct api *api = userdata;
	const struct structure *user;
	json_t *doc = NULL;

	model_lock(api->model);
	user = model_user(api->model, call->captures[0]);
	if (user)
		doc = structure_to_json(user);
	model_unlock(api->model);
	if (user)
		api_reply(call, doc);
	else
		http_reply_error(call, 404,
				 "There is no user '%s'. GET /user/ lists those that are known",
				 call->captures[0]);
}

const struct http_route api_user_routes[] = {
	{HTTP_GET, "/user", user_list, false},
	{HTTP_GET, "/user/*", user_get, false},
};
const size_t api_user_n_routes = ARRAY_SIZE(api_user_routes);
