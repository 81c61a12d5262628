/* SPDX-License-Identifier: Apache-2.0 */
#include "refeeder.h"

#include <math.h>
#include <stdlib.h>

#include "usage_history.h"

struct refeeding {
	struct usage_window window;
	uint64_t now_ns;
};

static double mean_usage(void *userdata, struct structure *container, enum ebb_resource resource)
{
	const struct refeeding *refeeding = userdata;

	if (container->history && !usage_history_fits(container->history, &refeeding->window)) {
		free(container->history);
		container->history = NULL;
	}
	if (!container->history) {
		container->history = usage_history_new(&refeeding->window);
		return NAN;
	}
	return usage_history_mean(container->history, refeeding->now_ns, resource);
}

int refeeder_run(struct model *model, const struct refeeder_config *config, uint64_t now_ns,
		 struct aggregate_result *ret_result)
{
	struct refeeding refeeding = {
		.window = {.length = config->window_timelapse,
			   .delay = config->window_delay,
			   .resources = config->resources},
		.now_ns = now_ns,
	};
	const struct aggregate aggregate = {
		.field = "usage",
		.resources = config->resources,
		.applications = config->structures & SERIES_APPLICATION,
		.users = config->structures & SERIES_USER,
		.exclusive = true,
		.of_container = mean_usage,
		.userdata = &refeeding,
	};

	return aggregate_run(model, &aggregate, ret_result);
}
