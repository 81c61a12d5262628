/* SPDX-License-Identifier: Apache-2.0 */
/* Where a host's containers are measured: by its Ebb agent, or by BDWatchdog through OpenTSDB.
 * Pure.
 */
#ifndef EBB_CONTROLLER_FEED_CHOICE_H
#define EBB_CONTROLLER_FEED_CHOICE_H

#include <jansson.h>
#include <stdbool.h>

/* FEED: of the guardian for all hosts, `feed` in a host's document for that one. */
enum feed_setting { FEED_AUTO, FEED_LOCAL, FEED_OPENTSDB, FEED_SETTING_MAX };
const char *feed_setting_name(enum feed_setting setting);
/* "auto", "local" or "opentsdb", case ignored; FEED_SETTING_MAX: anything else. */
enum feed_setting feed_setting_from_json(const json_t *value);

struct feed_case {
	enum feed_setting setting;
	bool has_opentsdb;     /* the controller was given one */
	bool agent_connected;  /* an Ebb agent feeds from that host */
	bool was_from_series;  /* the feed that was last in use, also before the controller began */
	bool can_do_without;   /* it has containers, and a Container Scaler's address */
	double agent_silent_s; /* since its agent was heard, INFINITY: never */
	double leading_s;      /* since this controller may expect to hear agents */
	double grace_s;        /* FEED_GRACE */
};
struct feed_choice {
	bool from_series; /* usage comes out of OpenTSDB */
	bool agentless;   /* limits are read and set through a Container Scaler */
};
struct feed_choice feed_choose(const struct feed_case *c);

#endif
