/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <sys/stat.h>
#include <unistd.h>

#include "facts.h"

static char root[64];

static void cleanup(void *unused)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", root);
	CHECK_INT(system(command), 0);
}

static void put(const char *path, const char *text)
{
	char full[256];
	FILE *file;

	snprintf(full, sizeof(full), "%s%s", root, path);
	for (char *p = full + strlen(root) + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		mkdir(full, 0755);
		*p = '/';
	}
	file = fopen(full, "w");
	CHECK(file);
	fputs(text, file);
	fclose(file);
}

static void make_root(void)
{
	snprintf(root, sizeof(root), "/tmp/ebb-facts-XXXXXX");
	CHECK(mkdtemp(root));
	test_at_end(cleanup, NULL);
}

TEST(lockdown_states)
{
	CHECK_INT(lockdown_parse("[none] integrity confidentiality"), LOCKDOWN_NONE);
	CHECK_INT(lockdown_parse("none [integrity] confidentiality"), LOCKDOWN_INTEGRITY);
	CHECK_INT(lockdown_parse("none integrity [confidentiality]"), LOCKDOWN_CONFIDENTIALITY);
	CHECK_INT(lockdown_parse(""), LOCKDOWN_UNKNOWN);
}

TEST(effective_capabilities)
{
	CHECK_INT(capabilities_parse("Name:\tx\nCapPrm:\t0000000000000001\n"
				     "CapEff:\t000001c000200000\nCapBnd:\t0\n"),
		  0x1c000200000);
	CHECK_INT(capabilities_parse("Name:\tx\n"), 0);
}

TEST(words_of_lists)
{
	CHECK(list_has("cpuset,cpu", "cpu"));
	CHECK(list_has("cpu io memory", "memory"));
	CHECK(!list_has("cpuset,cpuacct", "cpu"));
	CHECK(!list_has("", "cpu"));
}

TEST(a_host_with_v1)
{
	struct facts facts;

	make_root();
	put("/proc/sys/kernel/osrelease", "4.18.0\n");
	put("/proc/self/mountinfo",
	    "30 23 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
	    "31 23 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
	    "32 23 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
	    "33 23 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n");
	put("/sys/fs/cgroup/unified/cgroup.controllers", "\n");
	facts_read(root, &facts);
	CHECK_STR(facts.release, "4.18.0");
	CHECK(facts.v1 && !facts.v2 && !facts.btf);
	CHECK(list_has(facts.v1_controllers, "memory"));
	CHECK(list_has(facts.v1_controllers, "cpu"));
	CHECK(!list_has(facts.v1_controllers, "cpuset"));
}

TEST(a_host_with_v2)
{
	struct facts facts;

	make_root();
	put("/proc/self/mountinfo", "31 23 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
	put("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n");
	put("/sys/kernel/btf/vmlinux", "x");
	put("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n");
	facts_read(root, &facts);
	CHECK(facts.v2 && !facts.v1 && facts.btf);
	CHECK_STR(facts.v2_controllers, "cpuset cpu io memory pids");
	CHECK_INT(facts.lockdown, LOCKDOWN_INTEGRITY);
}

TEST_MAIN()
