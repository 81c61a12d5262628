/* SPDX-License-Identifier: Apache-2.0 */
#include "quoted_json.h"
#include "test.h"

#include <errno.h>

#include "rebalance_config.h"
#include "ebb/cleanup.h"

/* `text`: JSON with ' for ". What is refused must say why, and leave everything as it was. */
static struct rebalance_config set(const char *text, const char *mention)
{
	_cleanup_json_ json_t *json = parse_text(text);
	_cleanup_free_ char *error = NULL;
	struct rebalance_config config, before;
	int r;

	memset(&config, 0x5a, sizeof(config));
	before = config;
	r = rebalance_config_from_json(json, &config, &error);
	if (!mention) {
		if (r < 0)
			TEST_FAIL("%s: %s", text, error ? error : "?");
		CHECK(!error);
		return config;
	}
	CHECK_INT(r, -EINVAL);
	if (!error || !strstr(error, mention))
		TEST_FAIL("\"%s\" does not mention \"%s\"", error ? error : "(null)", mention);
	CHECK(memcmp(&before, &config, sizeof(config)) == 0);
	return config;
}

TEST(the_defaults_are_the_originals)
{
	struct rebalance_config config = {};

	CHECK_INT(rebalance_config_from_json(NULL, &config, NULL), 0);
	CHECK(config.active && !config.debug && !config.compensate && !config.only_running);
	CHECK_NEAR(config.window_timelapse, 30, 0);
	CHECK_NEAR(config.window_delay, 10, 0);
	CHECK_NEAR(config.diff, 0.4, 0);
	CHECK_NEAR(config.stolen, 0.4, 0);
	CHECK_INT(config.resources, 1 << EBB_CPU);
	CHECK_INT(config.levels, 1 << REBALANCE_CONTAINER);
	CHECK(!config.host_scope && !config.by_thresholds && !config.by_weights);
}

TEST(every_key_is_read)
{
	struct rebalance_config config =
		set("{'ACTIVE':false,'DEBUG':'true','WINDOW_TIMELAPSE':2.5,'WINDOW_DELAY':'0',"
		    "'DIFF_PERCENTAGE':0.25,'STOLEN_PERCENTAGE':'0.5',"
		    "'RESOURCES_BALANCED':['cpu','mem','disk_read','disk_write','energy'],"
		    "'STRUCTURES_BALANCED':['user','application'],'CONTAINERS_SCOPE':'host',"
		    "'BALANCING_POLICY':'thresholds','BALANCING_METHOD':'weights',"
		    "'COMPENSATE':1,'ONLY_RUNNING':true,'REBALANCE_USERS':true}",
		    NULL);

	CHECK(!config.active && config.debug && config.compensate && config.only_running);
	CHECK_NEAR(config.window_timelapse, 2.5, 0);
	CHECK_NEAR(config.window_delay, 0, 0);
	CHECK_NEAR(config.diff, 0.25, 0);
	CHECK_NEAR(config.stolen, 0.5, 0);
	CHECK_INT(config.resources, 1 << EBB_CPU | 1 << EBB_MEM | 1 << EBB_DISK_READ |
					    1 << EBB_DISK_WRITE | 1 << EBB_ENERGY);
	CHECK_INT(config.levels, 1 << REBALANCE_USER | 1 << REBALANCE_APPLICATION);
	CHECK(config.host_scope && config.by_thresholds && config.by_weights);
}

TEST(what_cannot_be_is_refused)
{
	set("[]", "object");
	set("{'ACTIVE':'perhaps'}", "ACTIVE");
	set("{'WINDOW_TIMELAPSE':1}", "WINDOW_TIMELAPSE");
	set("{'WINDOW_TIMELAPSE':1e9}", "3600");
	set("{'WINDOW_DELAY':-1}", "WINDOW_DELAY");
	set("{'DIFF_PERCENTAGE':40}", "DIFF_PERCENTAGE must be a ratio, from 0 to 1");
	set("{'STOLEN_PERCENTAGE':-0.1}", "STOLEN_PERCENTAGE");
	set("{'RESOURCES_BALANCED':'cpu'}", "list");
	set("{'RESOURCES_BALANCED':['cpu','disk']}", "RESOURCES_BALANCED[1]");
	set("{'STRUCTURES_BALANCED':['containers']}", "STRUCTURES_BALANCED[0]");
	set("{'STRUCTURES_BALANCED':[7]}", "STRUCTURES_BALANCED[0]");
	set("{'CONTAINERS_SCOPE':'rack'}", "CONTAINERS_SCOPE");
	set("{'BALANCING_POLICY':''}", "BALANCING_POLICY");
	set("{'BALANCING_METHOD':3}", "BALANCING_METHOD");
}

TEST(what_does_not_go_together_is_refused)
{
	set("{'WINDOW_TIMELAPSE':2,'WINDOW_DELAY':41}", "WINDOW_DELAY");
	set("{'WINDOW_TIMELAPSE':2,'WINDOW_DELAY':40}", NULL);
	set("{'BALANCING_METHOD':'weights'}", "CONTAINERS_SCOPE");
	/* The original compares with plural names, and never notices. */
	set("{'CONTAINERS_SCOPE':'host','STRUCTURES_BALANCED':['application','container']}",
	    "take application out");
	set("{'CONTAINERS_SCOPE':'host','STRUCTURES_BALANCED':['application']}", NULL);
	set("{'STRUCTURES_BALANCED':['user','application','container']}", NULL);
}

TEST(levels_have_the_names_of_subtypes)
{
	CHECK_STR(rebalance_level_name(REBALANCE_USER), "user");
	CHECK_STR(rebalance_level_name(REBALANCE_CONTAINER), "container");
	CHECK(!rebalance_level_name(REBALANCE_LEVEL_MAX));
}

TEST_MAIN()
