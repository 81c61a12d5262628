/* SPDX-License-Identifier: Apache-2.0 */
#include "hands.h"

#include <string.h>

#include "test.h"

static const char *unit_of(const char *membership)
{
	static char unit[32];

	hands_unit(membership, unit, sizeof(unit));
	return unit;
}

TEST(files_of_limits)
{
	CHECK(hands_is_limit("cpu.max"));
	CHECK(hands_is_limit("cpu.cfs_quota_us"));
	CHECK(hands_is_limit("memory.limit_in_bytes"));
	CHECK(hands_is_limit("memory.max"));
	CHECK(hands_is_limit("io.max"));
	CHECK(hands_is_limit("cpuset.cpus"));
	CHECK(hands_is_limit("cpu.weight"));
	CHECK(hands_is_limit("cpu.shares"));
	CHECK(!hands_is_limit("cgroup.procs"));
	CHECK(!hands_is_limit("cpu.max.burst"));
	CHECK(!hands_is_limit("memory.current"));
	CHECK(!hands_is_limit(""));
}

TEST(unit_of_a_process)
{
	CHECK_STR(unit_of("0::/system.slice/cron.service\n"), "cron.service");
	CHECK_STR(unit_of("0::/user.slice/user-0.slice/session-3.scope\n"), "session-3.scope");
	/* v1: what systemd says before what it was put in. */
	CHECK_STR(unit_of("4:cpu:/docker/ab\n1:name=systemd:/system.slice/docker.service\n0::/\n"),
		  "docker.service");
	CHECK_STR(unit_of("4:memory:/x\n3:cpu,cpuacct:/docker/ab\n0::/\n"), "ab");
}

TEST(no_unit)
{
	CHECK_STR(unit_of("0::/\n"), "");
	CHECK_STR(unit_of("4:cpu:/\n"), "");
	CHECK_STR(unit_of(""), "");
	CHECK_STR(unit_of("nonsense"), "");
	/* Too long for its room, or no text. */
	CHECK_STR(unit_of("0::/0123456789012345678901234567890123456789.service\n"), "");
	CHECK_STR(unit_of("0::/a\xff\n"), "");
	CHECK_STR(unit_of("0::/a\033[2J\n"), "");
}

TEST_MAIN()
