/* SPDX-License-Identifier: Apache-2.0 */
/* /sanity: what the Sanity Checker has found. */
#include "api.h"

#include <errno.h>
#include <string.h>

#include "sanity.h"
#include "ebb/cleanup.h"
#include "ebb/util.h"

/* 100,000 containers take some tenths of a second. */
#define RUN_TIMEOUT_MS 10000

static json_t *sanity_json(struct sanity *sanity)
{
	size_t counts[SANITY_CHECK_MAX];
	struct sanity_stats stats;
	json_t *reply, *by_check = json_object();

	sanity_get_stats(sanity, &stats);
	sanity_count(sanity, counts);
	for (int i = 0; i < SANITY_CHECK_MAX; i++)
		json_object_set_new(by_check, sanity_check_name(i),
				    json_integer((json_int_t)counts[i]));
	reply = json_pack("{s:b, s:I, s:o?, s:f, s:I, s:o?, s:o?}", "active", stats.active,
			  "epochs", (json_int_t)stats.epochs, "at",
			  stats.at > 0 ? json_real(stats.at) : json_null(), "seconds",
			  stats.seconds, "repairs", (json_int_t)stats.repairs, "counts", by_check,
			  "findings", sanity_findings(sanity));
	return reply;
}

static bool is_there(struct api *api, struct http_call *call)
{
	if (!api->sanity)
		http_reply_error(call, 503, "No Sanity Checker runs here");
	return api->sanity != NULL;
}

static void sanity_get(void *userdata, struct http_call *call)
{
	struct api *api = userdata;

	if (is_there(api, call))
		api_reply(call, sanity_json(api->sanity));
}

static void sanity_run(void *userdata, struct http_call *call)
{
	struct api *api = userdata;

	if (!is_there(api, call))
		return;
	if (sanity_run_now(api->sanity, RUN_TIMEOUT_MS) < 0)
		http_reply_error(
			call, 503,
			"The epoch is not over after %d s. GET /sanity tells what it found "
			"when it is",
			RUN_TIMEOUT_MS / 1000);
	else
		api_reply(call, sanity_json(api->sanity));
}

const struct http_route api_sanity_routes[] = {
	{HTTP_GET, "/sanity", sanity_get, false},
	{HTTP_POST, "/sanity/run", sanity_run, false},
	{HTTP_PUT, "/sanity/run", sanity_run, false},
};
const size_t api_sanity_n_routes = ARRAY_SIZE(api_sanity_routes);
