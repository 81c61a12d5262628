/* SPDX-License-Identifier: Apache-2.0 */
/* /user/: reading the users' documents (spec 3.5). */
#include "api.h"

#include "ebb/cleanup.h"

static void user_list(void *userdata, struct http_call *call)
{
	struct api *api = userdata;

	api_reply_documents(api, call, &api->model->users);
}

static void user_get(void *userdata, struct http_call *call)
{
	struct api *api = userdata;

	api_reply_document(api, call, &api->model->users, "user");
}

const struct http_route api_user_routes[] = {
	{HTTP_GET, "/user", user_list, false},
	{HTTP_GET, "/user/*", user_get, false},
};
const size_t api_user_n_routes = ARRAY_SIZE(api_user_routes);
