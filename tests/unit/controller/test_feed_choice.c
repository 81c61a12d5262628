/* SPDX-License-Identifier: Apache-2.0 */
#include "feed_choice.h"
#include "test.h"

/* A host with documents and a Container Scaler, no agent ever, an hour after the start. */
static struct feed_case a_case(enum feed_setting setting)
{
	return (struct feed_case){
		.setting = setting,
		.has_opentsdb = true,
		.can_do_without = true,
		.agent_silent_s = INFINITY,
		.leading_s = 3600,
		.grace_s = 30,
	};
}

static void chooses(const struct feed_case *c, bool from_series, bool agentless)
{
	struct feed_choice choice = feed_choose(c);

	CHECK_INT(choice.from_series, from_series);
	CHECK_INT(choice.agentless, agentless);
}

TEST(settings_by_name)
{
	for (int i = 0; i < FEED_SETTING_MAX; i++) {
		json_t *name = json_string(feed_setting_name(i));

		CHECK_INT(feed_setting_from_json(name), i);
		json_decref(name);
	}
	json_t *value = json_string("OpenTSDB");
	CHECK_INT(feed_setting_from_json(value), FEED_OPENTSDB);
	json_decref(value);
	value = json_string("tsdb");
	CHECK_INT(feed_setting_from_json(value), FEED_SETTING_MAX);
	json_decref(value);
	CHECK_INT(feed_setting_from_json(NULL), FEED_SETTING_MAX);
	CHECK(feed_setting_name(FEED_SETTING_MAX) == NULL);
}

TEST(auto_takes_opentsdb_where_no_agent_ever_was)
{
	struct feed_case c = a_case(FEED_AUTO);

	chooses(&c, true, true);
	c.has_opentsdb = false;
	chooses(&c, false, false);
	c = a_case(FEED_AUTO);
	c.can_do_without = false;
	chooses(&c, false, false);
}

TEST(auto_waits_for_agents_after_the_start)
{
	struct feed_case c = a_case(FEED_AUTO);

	c.leading_s = 29;
	chooses(&c, false, false);
	c.leading_s = 30;
	chooses(&c, true, true);
	/* Not where none was before. */
	c.leading_s = 0;
	c.was_from_series = true;
	chooses(&c, true, true);
}

TEST(auto_is_local_while_an_agent_feeds_and_a_little_longer)
{
	struct feed_case c = a_case(FEED_AUTO);

	c.agent_connected = true;
	c.agent_silent_s = 0;
	chooses(&c, false, false);
	c.was_from_series = true;
	chooses(&c, false, false);
	c.agent_connected = false;
	c.agent_silent_s = 29;
	chooses(&c, false, false);
	c.agent_silent_s = 31;
	chooses(&c, true, true);
	c.was_from_series = false;
	chooses(&c, true, true);
}

TEST(local_is_local)
{
	struct feed_case c = a_case(FEED_LOCAL);

	chooses(&c, false, false);
	c.was_from_series = true;
	chooses(&c, false, false);
}

TEST(opentsdb_measures_also_beside_an_agent)
{
	struct feed_case c = a_case(FEED_OPENTSDB);

	c.leading_s = 0;
	chooses(&c, true, true);
	c.agent_connected = true;
	c.agent_silent_s = 0;
	chooses(&c, true, false);
	c.agent_connected = false;
	c.agent_silent_s = 10;
	chooses(&c, true, false);
	c.agent_silent_s = 31;
	chooses(&c, true, true);
}

TEST_MAIN()
