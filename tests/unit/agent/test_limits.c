/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsing with literals, and the cgroup v2 writers on a directory of plain files. Plain files take
 * any value and keep the tail of a longer one, so what the kernel refuses, rounds or grants is not
 * seen here; tests/integration/agent/test_limits.c does the same on a real cgroup of either
 * version.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/util.h"
#include "limits.h"

TEST(cpu_max)
{
	uint64_t quota = 7, period = 7;
	CHECK_INT(limits_parse_cpu_max("max 100000", &quota, &period), 0);
	CHECK(quota == LIMIT_NONE && period == 100000);
	CHECK_INT(limits_parse_cpu_max("1500 50000\n", &quota, &period), 0);
	CHECK(quota == 1500 && period == 50000);

	static const char *const broken[] = {"",    "max",   "1 2 3",    "x 100000",
					     "1 0", "1 max", "-1 100000"};
	for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
		if (limits_parse_cpu_max(broken[i], &quota, &period) != -EINVAL)
			TEST_FAIL("\"%s\" is taken", broken[i]);
	}
	CHECK(quota == 1500 && period == 50000);
}

TEST(io_max)
{
	static const char text[] = "8:0 rbps=1048576 wbps=max riops=max wiops=max\n"
				   "8:16 rbps=max wbps=2097152 riops=120 wiops=max\n"
				   "254:0 rbps=5 wbps=6 riops=7 wiops=8 future=9\n";
	struct disk_limits disk = {0};

	CHECK_INT(limits_parse_io_max(text, makedev(8, 0), &disk), 0);
	CHECK(disk.device == makedev(8, 0));
	CHECK(disk.read_bps == 1048576 && disk.write_bps == LIMIT_NONE);
	CHECK(disk.read_iops == LIMIT_NONE && disk.write_iops == LIMIT_NONE);
	CHECK_INT(limits_parse_io_max(text, makedev(8, 16), &disk), 0);
	CHECK(disk.read_bps == LIMIT_NONE && disk.write_bps == 2097152);
	CHECK(disk.read_iops == 120 && disk.write_iops == LIMIT_NONE);
	CHECK_INT(limits_parse_io_max(text, makedev(254, 0), &disk), 0);
	CHECK(disk.read_bps == 5 && disk.write_bps == 6);
	CHECK(disk.read_iops == 7 && disk.write_iops == 8);
	CHECK_INT(limits_parse_io_max(text, makedev(8, 1), &disk), 0);
	CHECK(disk.read_bps == LIMIT_NONE && disk.write_bps == LIMIT_NONE);
	CHECK(disk.read_iops == LIMIT_NONE && disk.write_iops == LIMIT_NONE);
	CHECK_INT(limits_parse_io_max("", makedev(8, 0), &disk), 0);
	CHECK(disk.read_bps == LIMIT_NONE && disk.write_bps == LIMIT_NONE);
	CHECK_INT(limits_parse_io_max("8:0 rbps\n", makedev(8, 1), &disk), 0);
	disk.read_bps = 3;
	CHECK_INT(limits_parse_io_max("8:0 rbps\n", makedev(8, 0), &disk), -EINVAL);
	CHECK_INT(limits_parse_io_max("8:0 riops=x\n", makedev(8, 0), &disk), -EINVAL);
	CHECK(disk.read_bps == 3);
}

TEST(io_max_is_written_a_key_at_a_time)
{
	static const struct {
		enum limit_kind kind;
		uint64_t value;
		const char *want;
	} cases[] = {
		{LIMIT_DISK_READ, 1048576, "8:16 rbps=1048576"},
		{LIMIT_DISK_WRITE, LIMIT_NONE, "8:16 wbps=max"},
		{LIMIT_READ_IOPS, 4294967294, "8:16 riops=4294967294"},
		{LIMIT_WRITE_IOPS, 1, "8:16 wiops=1"},
	};
	char text[64];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		limits_format_io_max(makedev(8, 16), cases[i].kind, cases[i].value, text,
				     sizeof(text));
		CHECK_STR(text, cases[i].want);
	}
}

TEST(weights)
{
	CHECK_INT(limits_weight_to_shares(100), 1024);
	CHECK_INT(limits_weight_to_shares(1), 10);
	CHECK_INT(limits_weight_to_shares(10000), 102400);
	CHECK_INT(limits_shares_to_weight(1024), 100);
	CHECK_INT(limits_shares_to_weight(2), 1);
	CHECK_INT(limits_shares_to_weight(262144), 10000);
	CHECK_INT(limits_shares_to_weight(UINT64_MAX), 10000);
	for (uint64_t weight = LIMIT_WEIGHT_MIN; weight <= LIMIT_WEIGHT_MAX; weight++)
		if (limits_shares_to_weight(limits_weight_to_shares(weight)) != weight)
			TEST_FAIL("weight %d is not read back", (int)weight);

	/* A core is what a cgroup starts with. */
	CHECK_INT(limits_quota_to_weight(100000), 100);
	CHECK_INT(limits_quota_to_weight(150000), 150);
	CHECK_INT(limits_quota_to_weight(1499), 1);
	CHECK_INT(limits_quota_to_weight(1500), 2);
	CHECK_INT(limits_quota_to_weight(1), 1);
	CHECK_INT(limits_quota_to_weight(10000000), 10000);
	CHECK_INT(limits_quota_to_weight(LIMIT_NONE), 10000);
}

TEST(throttle_device)
{
	static const char text[] = "8:0 1048576\n254:0 18446744073709551615\n9:0 0";
	uint64_t bps = 0;

	CHECK_INT(limits_parse_throttle(text, makedev(8, 0), &bps), 0);
	CHECK(bps == 1048576);
	CHECK_INT(limits_parse_throttle(text, makedev(254, 0), &bps), 0);
	CHECK(bps == LIMIT_NONE);
	CHECK_INT(limits_parse_throttle(text, makedev(9, 0), &bps), 0);
	CHECK(bps == LIMIT_NONE);
	CHECK_INT(limits_parse_throttle(text, makedev(54, 0), &bps), 0);
	CHECK(bps == LIMIT_NONE);
}

TEST(stat_keys_are_whole)
{
	static const char text[] =
		"cache 1\ninactive_file 2\ntotal_cache 3\ntotal_inactive_file 4\n";
	uint64_t value = 0;

	CHECK_INT(limits_parse_stat(text, "inactive_file", &value), 0);
	CHECK(value == 2);
	CHECK_INT(limits_parse_stat(text, "total_inactive_file", &value), 0);
	CHECK(value == 4);
	CHECK_INT(limits_parse_stat(text, "inactive", &value), -ENOENT);
	CHECK_INT(limits_parse_stat("", "cache", &value), -ENOENT);
}

TEST(cpu_lists_are_sets)
{
	CHECK(limits_cpus_equal("0-3", "3,1,0,2"));
	CHECK(limits_cpus_equal("", ""));
	CHECK(!limits_cpus_equal("0-3", "0-2"));
	CHECK(!limits_cpus_equal("0", ""));
	CHECK(!limits_cpus_equal("0-1", "2-3"));
	CHECK(!limits_cpus_equal("0-1", "x"));
	CHECK(limits_cpus_equal("63-64,65535", "64,65535,63"));
}

TEST(bytes_are_rounded_down_to_pages)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	CHECK_INT(limits_round_to_page(page + 1), page);
	CHECK_INT(limits_round_to_page(page - 1), 0);
	CHECK_INT(limits_round_to_page(3 * page), 3 * page);
}

static char dir[64];
static int dir_fd = -1;
static struct hierarchies hierarchies;
static struct container *container;

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	return remove(path);
}

static void remove_fixture(void *arg)
{
	container_free(container);
	container = NULL;
	if (dir_fd >= 0)
		close(dir_fd);
	dir_fd = -1;
	hierarchies_close(&hierarchies);
	nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void put(const char *file, const char *text)
{
	_cleanup_close_ int fd = openat(dir_fd, file, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
}

static const char *got(const char *file)
{
	static char text[256];
	CHECK(read_file_at(dir_fd, file, text, sizeof(text)) >= 0);
	return text;
}

/* A v2 hierarchy with one cgroup "c". */
static void make_v2(void)
{
	strcpy(dir, "/tmp/ebb-limits-XXXXXX");
	CHECK(mkdtemp(dir));
	for (unsigned c = 0; c < CGROUP_CONTROLLER_MAX; c++)
		hierarchies.by_controller[c] = (struct hierarchy){.root_fd = -1, .version = 2};
	test_at_end(remove_fixture, NULL);

	int root = open(dir, O_PATH | O_DIRECTORY);
	CHECK(root >= 0 && mkdirat(root, "c", 0755) == 0);
	for (unsigned c = 0; c < CGROUP_CONTROLLER_MAX; c++)
		hierarchies.by_controller[c].root_fd = fcntl(root, F_DUPFD_CLOEXEC, 3);
	CHECK_INT(container_new(1, "c", "c", "cgroup", &container), 0);
	dir_fd = openat(root, "c", O_PATH | O_DIRECTORY);
	close(root);
	int fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 3);
	for (unsigned c = 0; c < CGROUP_CONTROLLER_MAX; c++)
		container->dir_fds[c] = fd;
	put("cgroup.procs", "");
}

TEST(v2_reads_what_is_there)
{
	struct limits limits;
	make_v2();

	CHECK_INT(limits_read(&hierarchies, container, makedev(8, 0), &limits), 0);
	CHECK(!limits.has_cpu && !limits.has_cpuset && !limits.has_mem && !limits.has_disk);

	put("cpu.max", "150000 100000\n");
	put("cpuset.cpus", "\n");
	put("cpuset.cpus.effective", "0-2,7\n");
	put("memory.max", "max\n");
	put("io.max", "8:0 rbps=1048576 wbps=max riops=max wiops=max\n");
	CHECK_INT(limits_read(&hierarchies, container, makedev(8, 0), &limits), 0);
	CHECK(limits.has_cpu && limits.has_cpuset && limits.has_mem && limits.has_disk);
	CHECK_INT(limits.cpu.quota_us, 150000);
	CHECK_INT(limits.cpu.period_us, 100000);
	CHECK_STR(limits.cpu.cpus, "");
	CHECK_STR(limits.cpu.effective_cpus, "0-2,7");
	CHECK_INT(limits.cpu.n_effective, 4);
	CHECK(limits.mem_bytes == LIMIT_NONE);
	CHECK_INT(limits.disk.read_bps, 1048576);
	CHECK(limits.disk.write_bps == LIMIT_NONE);

	CHECK_INT(limits_read(&hierarchies, container, 0, &limits), 0);
	CHECK(!limits.has_disk);
}

TEST(v2_writes_the_kernels_words)
{
	make_v2();
	put("cpu.max", "max 100000\n");
	CHECK_INT(limits_write_quota(&hierarchies, container, 150000), 0);
	CHECK_STR(got("cpu.max"), "150000 100000");

	put("memory.max", "max\n");
	CHECK_INT(limits_write_mem(&hierarchies, container, 64 * EBB_MIB + 1), 0);
	CHECK_STR(got("memory.max"), "67108864");

	put("cpuset.cpus", "0\n");
	put("cpuset.cpus.effective", "1,3\n");
	CHECK_INT(limits_write_cpus(&hierarchies, container, "1,3"), 0);
	CHECK_STR(got("cpuset.cpus"), "1,3");
}

TEST(v2_leaves_other_keys_of_io_max_alone)
{
	make_v2();
	put("io.max", "");
	/* The plain file keeps only what was written: one key, which the kernel merges. */
	CHECK_INT(limits_write_disk(&hierarchies, container, makedev(8, 0), false, 1048576), 0);
	CHECK_STR(got("io.max"), "8:0 rbps=1048576");
	put("io.max", "");
	CHECK_INT(limits_write_disk(&hierarchies, container, makedev(8, 0), true, 2097152), 0);
	CHECK_STR(got("io.max"), "8:0 wbps=2097152");
}

TEST(equal_writes_are_skipped)
{
	make_v2();
	put("cpu.max", "150000 100000\n");
	put("memory.max", "67108864\n");
	put("cpuset.cpus", "0-1\n");
	put("io.max", "8:0 rbps=5 wbps=6 riops=max wiops=max\n");
	/* Root writes to read-only files too: the modification time tells. */
	static const char *const files[] = {"cpu.max", "memory.max", "cpuset.cpus", "io.max"};
	static const struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		CHECK_INT(utimensat(dir_fd, files[i], old, 0), 0);

	CHECK_INT(limits_write_quota(&hierarchies, container, 150000), 0);
	CHECK_INT(limits_write_mem(&hierarchies, container, 67108864 + 17), 0);
	CHECK_INT(limits_write_cpus(&hierarchies, container, "1,0"), 0);
	CHECK_INT(limits_write_disk(&hierarchies, container, makedev(8, 0), false, 5), 0);
	CHECK_INT(limits_write_disk(&hierarchies, container, makedev(8, 0), true, 6), 0);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		struct stat st;
		CHECK_INT(fstatat(dir_fd, files[i], &st, 0), 0);
		if (st.st_mtim.tv_sec != 1000)
			TEST_FAIL("%s was written", files[i]);
	}
}

TEST(another_value_read_back_is_an_error)
{
	make_v2();
	/* The tail of the longer old text stays: "1500000 100000000". */
	put("cpu.max", "9000000000 100000\n");
	CHECK_INT(limits_write_quota(&hierarchies, container, 150000), -EREMOTEIO);
}

TEST(cpus_that_are_not_granted_are_put_back)
{
	make_v2();
	put("cpuset.cpus", "0\n");
	put("cpuset.cpus.effective", "0\n");
	CHECK_INT(limits_write_cpus(&hierarchies, container, "0-3"), -EINVAL);
}

TEST(nonsense_is_refused)
{
	make_v2();
	put("cpu.max", "max 100000\n");
	put("cpuset.cpus", "0\n");
	put("memory.max", "max\n");
	put("io.max", "");
	CHECK_INT(limits_write_quota(&hierarchies, container, 999), -EINVAL);
	CHECK_INT(limits_write_quota(&hierarchies, container, 0), -EINVAL);
	CHECK_INT(limits_write_cpus(&hierarchies, container, "3-1"), -EINVAL);
	CHECK_INT(limits_write_cpus(&hierarchies, container, "0; rm"), -EINVAL);
	CHECK_INT(limits_write_mem(&hierarchies, container, 0), -EINVAL);
	CHECK_INT(limits_write_disk(&hierarchies, container, makedev(8, 0), false, 0), -EINVAL);
	CHECK_INT(limits_write_disk(&hierarchies, container, 0, false, 5), -EINVAL);
	CHECK_STR(got("cpu.max"), "max 100000");
	CHECK_STR(got("cpuset.cpus"), "0");
	CHECK_STR(got("memory.max"), "max");
	CHECK_STR(got("io.max"), "");
}

TEST(missing_controllers_and_missing_cgroups_differ)
{
	make_v2();
	CHECK_INT(limits_write_quota(&hierarchies, container, 150000), -EOPNOTSUPP);
	CHECK_INT(unlinkat(dir_fd, "cgroup.procs", 0), 0);
	CHECK_INT(limits_write_quota(&hierarchies, container, 150000), -ENOENT);
	struct limits limits;
	CHECK_INT(limits_read(&hierarchies, container, 0, &limits), -ENOENT);

	container_close_dir(container, container->dir_fds[0]);
	CHECK_INT(limits_write_quota(&hierarchies, container, 150000), -EOPNOTSUPP);
}

TEST(the_root_and_the_agents_own_cgroup_are_never_written)
{
	make_v2();
	put("memory.max", "max\n");
	hierarchies.by_controller[CGROUP_MEMORY].own_id = cgroup_id_of_fd(dir_fd);
	CHECK_INT(limits_write_mem(&hierarchies, container, 64 * EBB_MIB), -EPERM);
	hierarchies.by_controller[CGROUP_MEMORY].own_id = 0;
	hierarchies.by_controller[CGROUP_CPU].own_path = strdup("/c/agent");
	CHECK_INT(limits_write_mem(&hierarchies, container, 64 * EBB_MIB), -EPERM);
	free(hierarchies.by_controller[CGROUP_CPU].own_path);
	hierarchies.by_controller[CGROUP_CPU].own_path = NULL;

	close(hierarchies.by_controller[CGROUP_MEMORY].root_fd);
	hierarchies.by_controller[CGROUP_MEMORY].root_fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 3);
	CHECK_INT(limits_write_mem(&hierarchies, container, 64 * EBB_MIB), -EPERM);
	close(hierarchies.by_controller[CGROUP_MEMORY].root_fd);
	hierarchies.by_controller[CGROUP_MEMORY].root_fd = open("/proc", O_PATH);
	CHECK_INT(limits_write_mem(&hierarchies, container, 64 * EBB_MIB), -EPERM);
	CHECK_STR(got("memory.max"), "max");
}

TEST_MAIN()
