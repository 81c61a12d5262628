/* SPDX-License-Identifier: Apache-2.0 */
#include "timebase.h"

#include "ebb/loop.h"
#include "ebb/util.h"

static double system_wall(void *userdata)
{
	(void)userdata;
	return wall_seconds();
}

static uint64_t system_now_ns(void *userdata)
{
	(void)userdata;
	return now_ns();
}

const struct timebase timebase_system = {.wall = system_wall, .now_ns = system_now_ns};
