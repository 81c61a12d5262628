/* SPDX-License-Identifier: Apache-2.0 */
/* Limits on real cgroups of either version; each test states what only one version has. */
#include "test.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

#include "ebb/cleanup.h"
#include "ebb/units.h"
#include "ebb/util.h"
#include "host.h"
#include "limits.h"
#include "tree_container.h"

#define MIB ((uint64_t)EBB_MIB)

static struct hierarchies hierarchies;
static struct cgroup_tree tree;
static struct container *container; /* TREE/a */
static struct limits limits;
static pid_t child;

static void tear_down(void *arg)
{
	if (child > 0)
		kill(child, SIGKILL);
	cgroup_tree_remove(&tree);
	while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	child = 0;
	container_free(container);
	container = NULL;
	hierarchies_close(&hierarchies);
}

/* As an engine does it: without cgroup_tree_mkdir()'s CPUs in a v1 cpuset. */
static void make(const char *cgroup)
{
	char path[512];

	for (int i = 0; i < tree.n_mounts; i++) {
		snprintf(path, sizeof(path), "%s/%s/%s", tree.mounts[i].path, tree.name, cgroup);
		CHECK_INT(mkdir(path, 0755), 0);
	}
}

static void set_up(enum cgroup_controller controller)
{
	if (geteuid() != 0)
		SKIP("needs root");
	if (hierarchies_open(NULL, &hierarchies) < 0)
		SKIP("no cgroup hierarchy");
	test_at_end(tear_down, NULL);
	int r = cgroup_tree_new(&tree, "limits");
	if (r < 0)
		SKIP("cannot make cgroups: %s", strerror(-r));
	/* v2: hand the controllers down to TREE/a, as the container engines' parents do. Each by
	 * itself: where the host is hybrid, some are not there. */
	static const char *const names[] = {"+cpu", "+cpuset", "+memory", "+io"};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (hierarchies.by_controller[controller].version == 2)
			cgroup_tree_write(&tree, cgroup_controller_name(controller), NULL,
					  "cgroup.subtree_control", names[i]);
	make("a");
	container = tree_container(&hierarchies, &tree, "a");
	CHECK(container);
	if (container->dir_fds[controller] < 0)
		SKIP("no %s controller", cgroup_controller_name(controller));
}

static int version(enum cgroup_controller controller)
{
	return hierarchies.by_controller[controller].version;
}

static const struct limits *read_limits(void)
{
	CHECK_INT(limits_read(&hierarchies, container, 0, &limits), 0);
	return &limits;
}

static void put(const char *controller, const char *cgroup, const char *file, const char *text)
{
	int r = cgroup_tree_write(&tree, controller, cgroup, file, text);
	if (r < 0)
		TEST_FAIL("cannot write \"%s\" to %s of %s: %s", text, file,
			  cgroup ? cgroup : "the tree", strerror(-r));
}

static const char *get(const char *controller, const char *cgroup, const char *file)
{
	static char text[4096];
	CHECK_INT(cgroup_tree_read(&tree, controller, cgroup, file, text, sizeof(text)), 0);
	text[strcspn(text, "\n")] = '\0';
	return text;
}

/* TREE/CGROUP's bandwidth, whichever version. */
static void put_quota(const char *cgroup, const char *quota, const char *period)
{
	char text[64];
	if (version(CGROUP_CPU) == 2) {
		snprintf(text, sizeof(text), "%s %s", strcmp(quota, "-1") ? quota : "max", period);
		put("cpu", cgroup, "cpu.max", text);
	} else {
		put("cpu", cgroup, "cpu.cfs_period_us", period);
		put("cpu", cgroup, "cpu.cfs_quota_us", quota);
	}
}

static void check_quota(uint64_t quota_us, uint64_t period_us)
{
	read_limits();
	CHECK(limits.has_cpu);
	if (quota_us == LIMIT_NONE)
		CHECK(limits.cpu.quota_us == LIMIT_NONE);
	else
		CHECK_INT(limits.cpu.quota_us, quota_us);
	CHECK_INT(limits.cpu.period_us, period_us);
}

static int write_quota(uint64_t quota_us)
{
	return limits_write_quota(&hierarchies, container, quota_us);
}

static void need_bandwidth(void)
{
	set_up(CGROUP_CPU);
	if (!read_limits()->has_cpu)
		SKIP("the cpu controller has no bandwidth control here");
}

TEST(quota_both_ways)
{
	need_bandwidth();
	check_quota(LIMIT_NONE, 100000);
	CHECK_INT(write_quota(50000), 0);
	check_quota(50000, 100000);
	CHECK_INT(write_quota(50000), 0);
	CHECK_INT(write_quota(1000), 0);
	check_quota(1000, 100000);
	CHECK_INT(write_quota(250000), 0);
	check_quota(250000, 100000);
	CHECK_INT(write_quota(LIMIT_NONE), 0);
	check_quota(LIMIT_NONE, 100000);
	CHECK_INT(write_quota(LIMIT_NONE), 0);
	CHECK_INT(write_quota(999), -EINVAL);
	check_quota(LIMIT_NONE, 100000);
}

TEST(quota_with_another_period)
{
	static const struct {
		const char *quota, *period;
		uint64_t want;
	} cases[] = {
		{"25000", "50000", 80000},    /* raised, longer period */
		{"25000", "50000", 20000},    /* lowered */
		{"400000", "200000", 150000}, /* lowered, shorter period */
		{"10000", "200000", 150000},  /* raised */
		{"50000", "50000", 50000},    /* the same quota is another ratio */
		{"-1", "50000", 70000},
	};
	need_bandwidth();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		put_quota("a", cases[i].quota, cases[i].period);
		CHECK_INT(write_quota(cases[i].want), 0);
		check_quota(cases[i].want, 100000);
		CHECK_INT(write_quota(LIMIT_NONE), 0);
		check_quota(LIMIT_NONE, 100000);
	}
}

TEST(v1_quota_keeps_below_the_parent_on_the_way)
{
	need_bandwidth();
	if (version(CGROUP_CPU) != 1)
		SKIP("only v1 forbids a child more than its parent");
	put_quota(NULL, "100000", "100000");
	put_quota("a", "25000", "50000");
	/* The new quota with the old period would be two cores. */
	CHECK_INT(write_quota(100000), 0);
	check_quota(100000, 100000);

	/* Half a core in another period, with a nested cgroup of 0.4: new quota and old period
	 * would be a quarter. */
	make("a/nested");
	put_quota("a", "200000", "200000");
	put_quota("a/nested", "40000", "100000");
	CHECK_INT(write_quota(50000), 0);
	check_quota(50000, 100000);
}

TEST(v1_quota_above_the_parent_or_below_a_child_is_refused)
{
	need_bandwidth();
	if (version(CGROUP_CPU) != 1)
		SKIP("only v1 forbids a child more than its parent");
	put_quota(NULL, "100000", "100000");
	put_quota("a", "25000", "50000");
	CHECK_INT(write_quota(100001), -EINVAL);
	check_quota(25000, 50000);

	make("a/nested");
	put_quota("a/nested", "40000", "100000");
	CHECK_INT(write_quota(30000), -EINVAL);
	check_quota(25000, 50000);
	CHECK_INT(write_quota(40000), 0);
	check_quota(40000, 100000);
	CHECK_INT(write_quota(39999), -EINVAL);
	check_quota(40000, 100000);
}

TEST(v2_quota_may_exceed_the_parent)
{
	need_bandwidth();
	if (version(CGROUP_CPU) != 2)
		SKIP("v1 refuses");
	put_quota(NULL, "50000", "100000");
	CHECK_INT(write_quota(200000), 0);
	check_quota(200000, 100000);
}

static int write_cpus(const char *cpus)
{
	return limits_write_cpus(&hierarchies, container, cpus);
}

/* Two CPUs to choose from. */
static void need_cpuset(void)
{
	set_up(CGROUP_CPUSET);
	if (!read_limits()->has_cpuset)
		SKIP("the cpuset controller is not handed down here");
	struct cpu_list all;
	CHECK_INT(cpu_list_parse(limits.cpu.effective_cpus, &all), 0);
	bool enough = cpu_list_contains(&all, 0) && cpu_list_contains(&all, 1);
	cpu_list_clear(&all);
	if (!enough)
		SKIP("needs the CPUs 0 and 1");
}

TEST(cpuset_of_a_fresh_cgroup)
{
	need_cpuset();
	CHECK_STR(limits.cpu.cpus, "");
	CHECK(limits.cpu.n_effective >= 2);

	CHECK_INT(write_cpus("1"), 0);
	read_limits();
	CHECK_STR(limits.cpu.cpus, "1");
	CHECK_STR(limits.cpu.effective_cpus, "1");
	CHECK_INT(limits.cpu.n_effective, 1);
	if (version(CGROUP_CPUSET) == 1)
		CHECK(*get("cpuset", "a", "cpuset.mems"));

	/* Not only written: a process may run there, and there only. */
	child = cgroup_tree_spawn(&tree, "a", NULL, NULL);
	cpu_set_t set;
	for (int i = 0; i < 200; i++) {
		CHECK_INT(sched_getaffinity(child, sizeof(set), &set), 0);
		if (CPU_COUNT(&set) == 1)
			break;
		usleep(10000);
	}
	CHECK(CPU_COUNT(&set) == 1 && CPU_ISSET(1, &set));

	CHECK_INT(write_cpus("1,0"), 0);
	CHECK_STR(read_limits()->cpu.cpus, "0-1");
	CHECK_INT(write_cpus("0-1"), 0);
	CHECK_INT(sched_getaffinity(child, sizeof(set), &set), 0);
	CHECK_INT(CPU_COUNT(&set), 2);
}

TEST(cpuset_below_parents_that_are_fresh_too)
{
	need_cpuset();
	if (version(CGROUP_CPUSET) != 1)
		SKIP("only v1 starts with empty cpusets");
	make("b");
	make("b/c");
	make("b/c/d");
	container_free(container);
	container = tree_container(&hierarchies, &tree, "b/c/d");
	read_limits();
	CHECK_STR(limits.cpu.cpus, "");
	CHECK(limits.cpu.n_effective >= 2); /* of the nearest ancestor that has any */
	CHECK_INT(write_cpus("0"), 0);
	CHECK_STR(read_limits()->cpu.effective_cpus, "0");
	CHECK(*get("cpuset", "b", "cpuset.mems") && *get("cpuset", "b/c", "cpuset.cpus"));
	child = cgroup_tree_spawn(&tree, "b/c/d", NULL, NULL);
	cpu_set_t set;
	for (int i = 0; i < 200; i++) {
		CHECK_INT(sched_getaffinity(child, sizeof(set), &set), 0);
		if (CPU_COUNT(&set) == 1)
			break;
		usleep(10000);
	}
	CHECK(CPU_COUNT(&set) == 1 && CPU_ISSET(0, &set));
}

TEST(cpuset_beyond_the_parent_is_refused)
{
	need_cpuset();
	put("cpuset", NULL, "cpuset.cpus", "0");
	CHECK_INT(write_cpus("0"), 0);
	int r = write_cpus("0-1");
	if (r != -EINVAL && r != -EACCES)
		TEST_FAIL("CPUs that the parent lacks give %d", r);
	CHECK_STR(read_limits()->cpu.cpus, "0");
	r = write_cpus("0,60000");
	if (r >= 0)
		TEST_FAIL("a CPU that does not exist gives %d", r);
	CHECK_STR(read_limits()->cpu.cpus, "0");
}

TEST(cpuset_taken_off_again)
{
	need_cpuset();
	CHECK_INT(write_cpus("1"), 0);
	CHECK_INT(write_cpus(""), 0);
	read_limits();
	CHECK(limits.cpu.n_effective >= 2);
}

TEST(cpuset_taken_off_again_with_a_task_inside)
{
	need_cpuset();
	char all[LIMIT_CPUS_TEXT];
	snprintf(all, sizeof(all), "%s", limits.cpu.effective_cpus);
	CHECK_INT(write_cpus("1"), 0);
	child = cgroup_tree_spawn(&tree, "a", NULL, NULL);
	for (int i = 0; i < 3000 && !*get("cpuset", "a", "cgroup.procs"); i++)
		usleep(10000);
	CHECK_INT(write_cpus(""), 0);
	CHECK_STR(read_limits()->cpu.effective_cpus, all);
	CHECK_INT(write_cpus(""), 0);
	CHECK_STR(read_limits()->cpu.effective_cpus, all);
}

TEST(v1_cpuset_narrower_than_a_nested_one_is_refused)
{
	need_cpuset();
	if (version(CGROUP_CPUSET) != 1)
		SKIP("v2 narrows nested cpusets along");
	CHECK_INT(write_cpus("0-1"), 0);
	make("a/nested");
	put("cpuset", "a/nested", "cpuset.cpus", "1");
	CHECK_INT(write_cpus("0"), -EBUSY);
	CHECK_STR(read_limits()->cpu.cpus, "0-1");
}

static int write_mem(uint64_t bytes)
{
	return limits_write_mem(&hierarchies, container, bytes);
}

static void need_memory(void)
{
	set_up(CGROUP_MEMORY);
	if (!read_limits()->has_mem)
		SKIP("the memory controller is not handed down here");
}

TEST(memory_both_ways)
{
	need_memory();
	CHECK(limits.mem_bytes == LIMIT_NONE);
	CHECK_INT(write_mem(128 * MIB + 5), 0);
	CHECK_INT(read_limits()->mem_bytes, 128 * MIB);
	CHECK_INT(write_mem(128 * MIB), 0);
	CHECK_INT(write_mem(64 * MIB), 0);
	CHECK_INT(read_limits()->mem_bytes, 64 * MIB);
	CHECK_INT(write_mem(2048 * MIB), 0);
	CHECK_INT(read_limits()->mem_bytes, 2048 * MIB);
	CHECK_INT(write_mem(LIMIT_NONE), 0);
	CHECK(read_limits()->mem_bytes == LIMIT_NONE);
}

TEST(v1_memory_and_swap_move_along)
{
	need_memory();
	if (version(CGROUP_MEMORY) != 1)
		SKIP("v2 limits swap apart");
	char text[32];
	if (cgroup_tree_read(&tree, "memory", "a", "memory.memsw.limit_in_bytes", text,
			     sizeof(text)) < 0)
		SKIP("swap is not accounted here");

	/* As LXD sets them: equal. Raising memory alone would give EINVAL. */
	CHECK_INT(write_mem(100 * MIB), 0);
	put("memory", "a", "memory.memsw.limit_in_bytes", "100M");
	CHECK_INT(write_mem(200 * MIB), 0);
	CHECK_STR(get("memory", "a", "memory.limit_in_bytes"), "209715200");
	CHECK_STR(get("memory", "a", "memory.memsw.limit_in_bytes"), "209715200");
	CHECK_INT(write_mem(64 * MIB), 0);
	CHECK_STR(get("memory", "a", "memory.limit_in_bytes"), "67108864");
	CHECK_STR(get("memory", "a", "memory.memsw.limit_in_bytes"), "67108864");

	/* 32 MiB of swap stay 32 MiB of swap. */
	put("memory", "a", "memory.memsw.limit_in_bytes", "96M");
	CHECK_INT(write_mem(128 * MIB), 0);
	CHECK_STR(get("memory", "a", "memory.memsw.limit_in_bytes"), "167772160");
	CHECK_INT(write_mem(LIMIT_NONE), 0);
	CHECK(read_limits()->mem_bytes == LIMIT_NONE);
}

static void hold_memory(void *arg)
{
	size_t size = 80 * MIB;
	int *ready = arg;
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED || mlock(p, size) < 0)
		_exit(1);
	memset(p, 1, size);
	if (write(*ready, "r", 1) != 1)
		_exit(1);
}

TEST(v1_memory_below_what_cannot_be_reclaimed_is_busy)
{
	need_memory();
	if (version(CGROUP_MEMORY) != 1)
		SKIP("v2 kills instead; shrink.c keeps away from it");
	CHECK_INT(write_mem(256 * MIB), 0);
	if (version(CGROUP_CPUSET) == 1)
		CHECK_INT(write_cpus(""), 0); /* or the process could not enter */
	int fds[2];
	char c;
	CHECK_INT(pipe(fds), 0);
	child = cgroup_tree_spawn(&tree, "a", hold_memory, &fds[1]);
	close(fds[1]);
	ssize_t n = read(fds[0], &c, 1);
	close(fds[0]);
	CHECK_INT(n, 1);

	CHECK_INT(write_mem(64 * MIB), -EBUSY);
	CHECK_INT(read_limits()->mem_bytes, 256 * MIB);
	CHECK_INT(waitpid(child, NULL, WNOHANG), 0);

	uint64_t usage, inactive;
	CHECK_INT(limits_read_mem_usage(&hierarchies, container, &usage, &inactive), 0);
	CHECK(usage >= 80 * MIB && usage < 256 * MIB && inactive < usage);
}

static dev_t disk;

static void need_disk(void)
{
	set_up(CGROUP_IO);
	static const char *const paths[] = {"/", "/var/tmp"};
	disk = 0;
	for (size_t i = 0; !disk && i < ARRAY_SIZE(paths); i++) {
		struct host host;
		CHECK_INT(host_read(NULL, paths[i], &host), 0);
		disk = host.disk;
		host_clear(&host);
	}
	if (!disk)
		SKIP("neither / nor /var/tmp is on a block device");
	CHECK_INT(limits_read(&hierarchies, container, disk, &limits), 0);
	if (!limits.has_disk)
		SKIP("the io controller is not handed down here");
}

static void check_disk(uint64_t read_bps, uint64_t write_bps)
{
	CHECK_INT(limits_read(&hierarchies, container, disk, &limits), 0);
	CHECK(limits.disk.device == disk);
	CHECK(limits.disk.read_bps == read_bps);
	CHECK(limits.disk.write_bps == write_bps);
}

TEST(disk_bandwidth)
{
	/* Far above what the disk does: nothing here is slowed down. */
	const uint64_t some = 20480 * MIB, more = 30720 * MIB;
	need_disk();
	check_disk(LIMIT_NONE, LIMIT_NONE);
	CHECK_INT(limits_write_disk(&hierarchies, container, disk, false, some), 0);
	check_disk(some, LIMIT_NONE);
	CHECK_INT(limits_write_disk(&hierarchies, container, disk, true, more), 0);
	check_disk(some, more);
	CHECK_INT(limits_write_disk(&hierarchies, container, disk, true, more), 0);
	CHECK_INT(limits_write_disk(&hierarchies, container, disk, false, LIMIT_NONE), 0);
	check_disk(LIMIT_NONE, more);
	CHECK_INT(limits_write_disk(&hierarchies, container, disk, true, LIMIT_NONE), 0);
	check_disk(LIMIT_NONE, LIMIT_NONE);
}

TEST(v2_disk_keeps_the_other_keys)
{
	need_disk();
	if (version(CGROUP_IO) != 2)
		SKIP("v1 has a file per key");
	char text[64];
	snprintf(text, sizeof(text), "%u:%u riops=1000000 wbps=32212254720", major(disk),
		 minor(disk));
	put("io", "a", "io.max", text);
	CHECK_INT(limits_write_disk(&hierarchies, container, disk, false, 20480 * MIB), 0);
	snprintf(text, sizeof(text),
		 "%u:%u rbps=21474836480 wbps=32212254720 riops=1000000 wiops=max", major(disk),
		 minor(disk));
	CHECK_STR(get("io", "a", "io.max"), text);
}

TEST(a_disk_that_does_not_exist)
{
	need_disk();
	int r = limits_write_disk(&hierarchies, container, makedev(4095, 77), false, MIB);
	if (r != -ENODEV && r != -EINVAL)
		TEST_FAIL("a disk that does not exist gives %d", r);
}

TEST(a_cgroup_that_has_gone)
{
	set_up(hierarchies.primary);
	if (!read_limits()->has_cpu && !limits.has_mem)
		SKIP("no controller is handed down here");
	bool had_cpu = limits.has_cpu, had_cpuset = limits.has_cpuset, had_mem = limits.has_mem;
	cgroup_tree_remove(&tree);

	int r[] = {
		limits_read(&hierarchies, container, makedev(8, 0), &limits),
		had_cpu ? write_quota(50000) : -ENOENT,
		had_cpuset ? write_cpus("0") : -ENOENT,
		had_mem ? write_mem(64 * MIB) : -ENOENT,
		container->dir_fds[CGROUP_IO] < 0
			? -ENOENT
			: limits_write_disk(&hierarchies, container, makedev(8, 0), true, MIB),
	};
	for (size_t i = 0; i < ARRAY_SIZE(r); i++) {
		if (r[i] != -ENOENT && r[i] != -ENODEV)
			TEST_FAIL("call %zu on a cgroup that has gone gives %d", i, r[i]);
	}
}

TEST(the_root_is_never_written)
{
	/* Only the quota is tried: were it not refused here, the kernel would refuse it. */
	need_bandwidth();
	struct container *root;
	CHECK_INT(container_new(1, "root", "/", "cgroup", &root), 0);
	root->dir_fds[CGROUP_CPU] =
		fcntl(hierarchies.by_controller[CGROUP_CPU].root_fd, F_DUPFD_CLOEXEC, 3);
	int r = limits_write_quota(&hierarchies, root, 100000);
	container_free(root);
	CHECK_INT(r, -EPERM);
}

/* --- What lies beside the limits --- */

static const struct limits *read_more(dev_t device)
{
	CHECK_INT(limits_read(&hierarchies, container, device, &limits), 0);
	CHECK_INT(limits_read_more(&hierarchies, container, &limits), 0);
	return &limits;
}

static bool has_more(enum limit_kind kind)
{
	return limits.has_more & 1U << kind;
}

static int write_value(enum limit_kind kind, uint64_t value)
{
	return limits_write_value(&hierarchies, container, kind, value);
}

TEST(cpu_burst)
{
	need_bandwidth();
	read_more(0);
	if (!has_more(LIMIT_BURST))
		SKIP("this kernel has no CPU burst");
	CHECK_INT(limits.cpu.burst_us, 0);
	CHECK_INT(write_quota(100000), 0);
	CHECK_INT(write_value(LIMIT_BURST, 40000), 0);
	CHECK_INT(read_more(0)->cpu.burst_us, 40000);
	CHECK_STR(version(CGROUP_CPU) == 2 ? get("cpu", "a", "cpu.max.burst")
					   : get("cpu", "a", "cpu.cfs_burst_us"),
		  "40000");
	/* The kernel wants it within the quota, from either side. */
	CHECK_INT(write_value(LIMIT_BURST, 100001), -EINVAL);
	CHECK_INT(write_quota(30000), -EINVAL);
	CHECK_INT(read_more(0)->cpu.burst_us, 40000);
	check_quota(100000, 100000);
	CHECK_INT(write_value(LIMIT_BURST, 0), 0);
	CHECK_INT(read_more(0)->cpu.burst_us, 0);
}

TEST(cpu_weight)
{
	need_bandwidth();
	read_more(0);
	CHECK(has_more(LIMIT_WEIGHT));
	CHECK_INT(limits.cpu.weight, 100);
	static const uint64_t weights[] = {1, 79, 250, 10000};
	for (size_t i = 0; i < ARRAY_SIZE(weights); i++) {
		CHECK_INT(write_value(LIMIT_WEIGHT, weights[i]), 0);
		CHECK_INT(read_more(0)->cpu.weight, weights[i]);
	}
	CHECK_STR(version(CGROUP_CPU) == 2 ? get("cpu", "a", "cpu.weight")
					   : get("cpu", "a", "cpu.shares"),
		  version(CGROUP_CPU) == 2 ? "10000" : "102400");
	CHECK_INT(write_value(LIMIT_WEIGHT, 0), -EINVAL);
	CHECK_INT(write_value(LIMIT_WEIGHT, 10001), -EINVAL);
	CHECK_INT(read_more(0)->cpu.weight, 10000);
}

TEST(by_weight_no_quota_is_left)
{
	need_bandwidth();
	CHECK_INT(write_quota(50000), 0);
	hierarchies.cpu_by_weight = true;
	read_limits();
	CHECK(limits.cpu.by_weight && limits.cpu.weight == 100);
	struct cpu_limits before = limits.cpu;
	CHECK_INT(write_quota(LIMIT_NONE), -EINVAL);
	check_quota(50000, 100000);

	CHECK_INT(write_quota(150000), 0);
	check_quota(LIMIT_NONE, 100000);
	CHECK_INT(limits.cpu.weight, 150);
	CHECK_INT(write_quota(150000), 0);

	CHECK_INT(limits_restore_cpu(&hierarchies, container, &before), 0);
	check_quota(50000, 100000);
	CHECK_INT(limits.cpu.weight, 100);
}

TEST(memory_high_and_min)
{
	need_memory();
	read_more(0);
	if (version(CGROUP_MEMORY) == 1) {
		CHECK_INT(limits.mem_version, 1);
		CHECK(!has_more(LIMIT_MEM_HIGH) && !has_more(LIMIT_MEM_MIN) &&
		      !has_more(LIMIT_MEM_RECLAIM));
		CHECK_INT(write_value(LIMIT_MEM_HIGH, 64 * MIB), -EOPNOTSUPP);
		CHECK_INT(write_value(LIMIT_MEM_MIN, 64 * MIB), -EOPNOTSUPP);
		return;
	}
	CHECK_INT(limits.mem_version, 2);
	CHECK(has_more(LIMIT_MEM_HIGH) && has_more(LIMIT_MEM_MIN));
	CHECK(limits.mem_high == LIMIT_NONE && limits.mem_min == 0);
	CHECK_INT(write_value(LIMIT_MEM_HIGH, 100 * MIB + 5), 0);
	CHECK_INT(write_value(LIMIT_MEM_MIN, 10 * MIB + 4095), 0);
	read_more(0);
	CHECK_INT(limits.mem_high, 100 * MIB);
	CHECK_INT(limits.mem_min, 10 * MIB);
	CHECK_STR(get("memory", "a", "memory.high"), "104857600");
	CHECK_STR(get("memory", "a", "memory.min"), "10485760");
	CHECK(limits.mem_bytes == LIMIT_NONE);
	CHECK_INT(write_value(LIMIT_MEM_HIGH, LIMIT_NONE), 0);
	CHECK_INT(write_value(LIMIT_MEM_MIN, 0), 0);
	read_more(0);
	CHECK(limits.mem_high == LIMIT_NONE && limits.mem_min == 0);
}

TEST(disk_requests)
{
	need_disk();
	read_more(disk);
	CHECK(has_more(LIMIT_READ_IOPS) && has_more(LIMIT_WRITE_IOPS));
	CHECK(limits.disk.read_iops == LIMIT_NONE && limits.disk.write_iops == LIMIT_NONE);
	CHECK_INT(limits_write_disk(&hierarchies, container, disk, true, 30720 * MIB), 0);
	CHECK_INT(limits_write_iops(&hierarchies, container, disk, false, 4294967294), 0);
	CHECK_INT(limits_write_iops(&hierarchies, container, disk, true, 1000000), 0);
	read_more(disk);
	CHECK_INT(limits.disk.read_iops, 4294967294);
	CHECK_INT(limits.disk.write_iops, 1000000);
	CHECK_INT(limits.disk.write_bps, 30720 * MIB);
	CHECK_INT(limits_write_iops(&hierarchies, container, disk, false, LIMIT_NONE), 0);
	CHECK_INT(limits_write_iops(&hierarchies, container, disk, true, LIMIT_NONE), 0);
	read_more(disk);
	CHECK(limits.disk.read_iops == LIMIT_NONE && limits.disk.write_iops == LIMIT_NONE);
	CHECK_INT(limits.disk.write_bps, 30720 * MIB);
}

TEST(cpus_that_are_granted)
{
	set_up(CGROUP_CPUSET);
	if (!read_limits()->has_cpuset)
		SKIP("no cpuset controller is handed down here");
	if (version(CGROUP_CPUSET) == 1)
		CHECK_INT(write_cpus(""), 0);
	read_limits();
	CHECK_STR(limits.cpu.effective_cpus,
		  get("cpuset", "a",
		      version(CGROUP_CPUSET) == 2 ? "cpuset.cpus.effective"
						  : "cpuset.effective_cpus"));
	CHECK(limits.cpu.n_effective > 0);
}

TEST_MAIN()
