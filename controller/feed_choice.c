/* SPDX-License-Identifier: Apache-2.0 */
#include "feed_choice.h"

#include <strings.h>

static const char *const names[FEED_SETTING_MAX] = {
	[FEED_AUTO] = "auto",
	[FEED_LOCAL] = "local",
	[FEED_OPENTSDB] = "opentsdb",
};

const char *feed_setting_name(enum feed_setting setting)
{
	return (unsigned)setting < FEED_SETTING_MAX ? names[setting] : NULL;
}

enum feed_setting feed_setting_from_json(const json_t *value)
{
	const char *text = json_string_value(value);
	unsigned i;

	for (i = 0; text && i < FEED_SETTING_MAX; i++)
		if (strcasecmp(text, names[i]) == 0)
			return i;
	return FEED_SETTING_MAX;
}

struct feed_choice feed_choose(const struct feed_case *c)
{
	struct feed_choice choice = {false, false};
	bool awaited;

	if (c->setting == FEED_LOCAL || !c->has_opentsdb || !c->can_do_without)
		return choice;
	/* An agent that was started anew, or has not found this controller yet. */
	awaited = c->agent_silent_s < c->grace_s ||
		  (c->setting == FEED_AUTO && !c->was_from_series && c->leading_s < c->grace_s);
	choice.agentless = !c->agent_connected && !awaited;
	choice.from_series = c->setting == FEED_OPENTSDB || choice.agentless;
	return choice;
}
