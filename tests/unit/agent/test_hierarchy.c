/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "hierarchy.h"

#define BIT(c) (1u << (c))

static struct cgroup_mount *mounts;
static size_t n_mounts;

static void free_mounts(void *arg)
{
	cgroup_mounts_free(mounts, n_mounts);
	mounts = NULL;
	n_mounts = 0;
}

static void parse(const char *text)
{
	test_at_end(free_mounts, NULL);
	CHECK_INT(cgroup_mounts_parse(text, &mounts, &n_mounts), 0);
}

static const char *chosen(enum cgroup_controller controller)
{
	int i = cgroup_mounts_choose(mounts, n_mounts, controller);
	return i < 0 ? "none" : mounts[i].path;
}

/* A v2 mount's controllers come from its cgroup.controllers. */
static void set_v2_controllers(const char *list)
{
	for (size_t i = 0; i < n_mounts; i++) {
		if (mounts[i].version == 2)
			mounts[i].controllers = cgroup_controllers_parse(list, 2);
	}
}

TEST(separate_v1_mounts_beside_an_empty_cgroup2)
{
	parse("22 27 0:21 / /proc rw,relatime - proc proc rw\n"
	      "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard\n"
	      "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
	      "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"
	      "33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct\n"
	      "34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset\n"
	      "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
	      "36 31 0:33 / /sys/fs/cgroup/devices rw,relatime - cgroup cgroup rw,devices\n"
	      "38 31 0:35 / /sys/fs/cgroup/blkio rw,relatime - cgroup cgroup rw,blkio\n"
	      "40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd\n"
	      "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n");
	set_v2_controllers("hugetlb");

	CHECK_INT(n_mounts, 6);
	CHECK_STR(chosen(CGROUP_CPU), "/sys/fs/cgroup/cpu");
	CHECK_STR(chosen(CGROUP_CPUACCT), "/sys/fs/cgroup/cpuacct");
	CHECK_STR(chosen(CGROUP_CPUSET), "/sys/fs/cgroup/cpuset");
	CHECK_STR(chosen(CGROUP_MEMORY), "/sys/fs/cgroup/memory");
	CHECK_STR(chosen(CGROUP_IO), "/sys/fs/cgroup/blkio");
	CHECK(mounts[0].device == makedev(0, 29));
	CHECK_INT(mounts[0].version, 1);
	CHECK_INT(mounts[5].version, 2);
}

TEST(pure_v2_as_debian_12_has_it)
{
	parse("24 30 0:22 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw\n"
	      "30 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro\n"
	      "34 24 0:29 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 "
	      "rw,nsdelegate,memory_recursiveprot\n");
	set_v2_controllers("cpuset cpu io memory hugetlb pids rdma misc");

	CHECK_INT(n_mounts, 1);
	CHECK_INT(mounts[0].controllers, BIT(CGROUP_CPU) | BIT(CGROUP_CPUACCT) |
						 BIT(CGROUP_CPUSET) | BIT(CGROUP_MEMORY) |
						 BIT(CGROUP_IO));
	CHECK(!mounts[0].read_only);
	for (unsigned c = 0; c < CGROUP_CONTROLLER_MAX; c++)
		CHECK_STR(chosen(c), "/sys/fs/cgroup");
}

TEST(joint_cpu_cpuacct_as_old_ubuntu_has_it)
{
	parse("25 24 0:21 / /sys/fs/cgroup ro,nosuid,nodev,noexec shared:9 - tmpfs tmpfs ro,mode=755\n"
	      "26 25 0:22 / /sys/fs/cgroup/systemd rw,nosuid shared:10 - cgroup cgroup "
	      "rw,xattr,release_agent=/lib/systemd/systemd-cgroups-agent,name=systemd\n"
	      "30 25 0:26 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:13 - cgroup cgroup "
	      "rw,cpu,cpuacct\n"
	      "31 25 0:27 / /sys/fs/cgroup/net_cls,net_prio rw shared:14 - cgroup cgroup "
	      "rw,net_cls,net_prio\n"
	      "32 25 0:28 / /sys/fs/cgroup/memory rw,nosuid shared:15 - cgroup cgroup rw,memory\n"
	      "33 25 0:29 / /sys/fs/cgroup/cpuset rw,nosuid shared:16 - cgroup cgroup "
	      "rw,cpuset,clone_children\n");

	CHECK_INT(n_mounts, 3);
	CHECK_STR(chosen(CGROUP_CPU), "/sys/fs/cgroup/cpu,cpuacct");
	CHECK_STR(chosen(CGROUP_CPUACCT), "/sys/fs/cgroup/cpu,cpuacct");
	CHECK_STR(chosen(CGROUP_CPUSET), "/sys/fs/cgroup/cpuset");
	CHECK_STR(chosen(CGROUP_IO), "none");
}

TEST(hybrid_with_memory_on_v2)
{
	parse("26 25 0:22 / /sys/fs/cgroup/unified rw,nosuid shared:10 - cgroup2 cgroup2 rw,nsdelegate\n"
	      "30 25 0:26 / /sys/fs/cgroup/cpu,cpuacct rw shared:13 - cgroup cgroup rw,cpu,cpuacct\n");
	set_v2_controllers("memory pids");

	CHECK_STR(chosen(CGROUP_CPU), "/sys/fs/cgroup/cpu,cpuacct");
	CHECK_STR(chosen(CGROUP_MEMORY), "/sys/fs/cgroup/unified");
	CHECK_STR(chosen(CGROUP_IO), "none");
}

TEST(a_whole_hierarchy_is_preferred_to_a_bind_mount)
{
	/* Docker in docker without a cgroup namespace: the container's own part, read-only, and
	 * the host's whole tree bound elsewhere. */
	parse("700 690 0:30 /docker/3f1c /sys/fs/cgroup/cpu,cpuacct ro,nosuid - cgroup cgroup "
	      "rw,cpu,cpuacct\n"
	      "710 690 0:30 / /host/cgroup/cpu rw,nosuid master:14 - cgroup cgroup rw,cpu,cpuacct\n"
	      "711 690 0:31 /docker/3f1c /sys/fs/cgroup/memory ro,nosuid - cgroup cgroup rw,memory\n"
	      "712 690 0:31 /docker/3f1c /other/memory rw,nosuid - cgroup cgroup rw,memory\n");

	CHECK_STR(chosen(CGROUP_CPU), "/host/cgroup/cpu");
	CHECK_STR(chosen(CGROUP_MEMORY), "/other/memory");
	CHECK_STR(mounts[2].root, "/docker/3f1c");
	CHECK(mounts[2].read_only);
}

TEST(the_first_of_equal_mounts_is_used)
{
	parse("30 25 0:26 / /a rw - cgroup cgroup rw,cpu\n"
	      "31 25 0:26 / /b rw - cgroup cgroup rw,cpu\n");
	CHECK_STR(chosen(CGROUP_CPU), "/a");
}

TEST(a_covered_mount_is_not_used)
{
	parse("31 30 0:40 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
	      "30 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
	      "32 31 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n");
	CHECK_INT(n_mounts, 1);
	CHECK_STR(mounts[0].path, "/sys/fs/cgroup/cpu");
}

TEST(octal_escapes_are_resolved)
{
	parse("30 25 0:26 /a\\134b /mnt/my\\040cgroups\\011x rw shared:1 master:2 unbindable - cgroup "
	      "cgroup rw,cpu\n");
	CHECK_INT(n_mounts, 1);
	CHECK_STR(mounts[0].path, "/mnt/my cgroups\tx");
	CHECK_STR(mounts[0].root, "/a\\b");
}

TEST(broken_lines_are_skipped)
{
	parse("\n"
	      "garbage\n"
	      "1 2 3\n"
	      "1 2 0:3 / /x rw - \n"
	      "1 2 0:3 / /x rw\n"
	      "1 2 0:3 / /x rw shared:1 - cgroup cgroup\n"
	      "30 25 0:26 / /a rw - cgroup cgroup rw,cpu");
	CHECK_INT(n_mounts, 1);
	CHECK_STR(chosen(CGROUP_CPU), "/a");
}

TEST(controllers_are_whole_words)
{
	CHECK_INT(cgroup_controllers_parse("rw,cpuset", 1), BIT(CGROUP_CPUSET));
	CHECK_INT(cgroup_controllers_parse("rw,name=cpu", 1), 0);
	CHECK_INT(cgroup_controllers_parse("rw,io", 1), 0);
	CHECK_INT(cgroup_controllers_parse("rw,blkio", 1), BIT(CGROUP_IO));
	CHECK_INT(cgroup_controllers_parse("blkio", 2), 0);
	CHECK_INT(cgroup_controllers_parse("io", 2), BIT(CGROUP_IO));
	CHECK_INT(cgroup_controllers_parse("", 2), 0);
}

TEST(membership_is_found_by_controller)
{
	static const char text[] = "9:name=systemd:/user.slice\n"
				   "4:cpu,cpuacct:/docker/3f:1c\n"
				   "3:memory:/\n"
				   "0::/init.scope\n";
	const char *path;
	size_t len;
	int id;

	CHECK_INT(cgroup_membership_parse(text, "cpuacct", &id, &path, &len), 0);
	CHECK_INT(id, 4);
	CHECK(len == 13 && !memcmp(path, "/docker/3f:1c", len));
	CHECK_INT(cgroup_membership_parse(text, NULL, &id, &path, &len), 0);
	CHECK_INT(id, 0);
	CHECK(len == 11 && !memcmp(path, "/init.scope", len));
	CHECK_INT(cgroup_membership_parse(text, "blkio", &id, &path, &len), -ENOENT);
	CHECK_INT(cgroup_membership_parse("", NULL, &id, &path, &len), -ENOENT);
}

static char dir[64];

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	return remove(path);
}

static void remove_dir(void *arg)
{
	nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* root/a/b, root/link -> a, root/up -> .. */
static int make_tree(void)
{
	strcpy(dir, "/tmp/ebb-hierarchy-XXXXXX");
	CHECK(mkdtemp(dir));
	test_at_end(remove_dir, NULL);
	int fd = open(dir, O_PATH | O_DIRECTORY);
	CHECK(fd >= 0);
	CHECK(mkdirat(fd, "root", 0755) == 0 && mkdirat(fd, "root/a", 0755) == 0 &&
	      mkdirat(fd, "root/a/b", 0755) == 0 && symlinkat("a", fd, "root/link") == 0 &&
	      symlinkat("..", fd, "root/up") == 0 && symlinkat("/", fd, "root/a/abs") == 0);
	int root = openat(fd, "root", O_PATH | O_DIRECTORY);
	close(fd);
	return root;
}

static void check_beneath(int (*open_beneath)(int, const char *))
{
	_cleanup_close_ int root = make_tree();
	_cleanup_close_ int b = openat(root, "a/b", O_PATH);
	_cleanup_close_ int got = open_beneath(root, "/a/b/");
	CHECK(got >= 0);
	CHECK(cgroup_id_of_fd(got) == cgroup_id_of_fd(b) && cgroup_id_of_fd(b) != 0);
	_cleanup_close_ int self = open_beneath(root, "/");
	CHECK(self >= 0);
	CHECK(cgroup_id_of_fd(self) == cgroup_id_of_fd(root));

	static const struct {
		const char *path;
		int error, other;
	} refused[] = {
		{"..", -EXDEV, 0},           {"a/../..", -EXDEV, 0},
		{"a/..", -EXDEV, 0},         {"./a", -EXDEV, 0},
		{"link", -ELOOP, -ENOTDIR},  {"link/b", -ELOOP, -ENOTDIR},
		{"up", -ELOOP, -ENOTDIR},    {"up/root/a", -ELOOP, -ENOTDIR},
		{"a/abs", -ELOOP, -ENOTDIR}, {"a/abs/proc", -ELOOP, -ENOTDIR},
		{"c", -ENOENT, 0},
	};
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		int r = open_beneath(root, refused[i].path);
		if (r != refused[i].error && (!refused[i].other || r != refused[i].other))
			TEST_FAIL("opening \"%s\" gives %d, want %d", refused[i].path, r,
				  refused[i].error);
	}
}

TEST(open_beneath_stays_beneath)
{
	check_beneath(cgroup_open_beneath);
}

TEST(open_beneath_by_segments_stays_beneath)
{
	check_beneath(cgroup_open_beneath_by_segments);
}

/* In a child whose openat2(2) fails as on an old kernel, or as under an old seccomp filter. */
static void check_without_openat2(int error)
{
	close(make_tree());
	fflush(NULL);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		struct sock_filter code[] = {
			BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
			BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		};
		struct sock_fprog program = {ARRAY_SIZE(code), code};
		char path[128];

		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
			_exit(77);
		snprintf(path, sizeof(path), "%s/root", dir);
		int root = open(path, O_PATH | O_DIRECTORY);
		if (syscall(SYS_openat2, root, "a", NULL, 0) >= 0 || errno != error)
			_exit(1);
		if (cgroup_open_beneath(root, "a/b") < 0)
			_exit(2);
		_exit(cgroup_open_beneath(root, "up") >= 0 ? 3 : 0);
	}
	int status;
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		SKIP("no seccomp filters here");
	CHECK_INT(WEXITSTATUS(status), 0);
}

TEST(open_beneath_without_openat2)
{
	check_without_openat2(ENOSYS);
}

TEST(open_beneath_with_openat2_forbidden)
{
	check_without_openat2(EPERM);
}

TEST(other_file_systems_are_not_entered)
{
	_cleanup_close_ int root = open("/", O_PATH | O_DIRECTORY);
	CHECK(root >= 0);
	CHECK_INT(cgroup_open_beneath(root, "proc/1"), -EXDEV);
	CHECK_INT(cgroup_open_beneath_by_segments(root, "proc/1"), -EXDEV);
}

TEST(own_paths_include_their_ancestors)
{
	struct hierarchies h = {0};
	h.by_controller[CGROUP_CPU].own_path = "/";
	h.by_controller[CGROUP_MEMORY].own_path = "/docker/abc/inner";

	CHECK(hierarchies_path_is_own(&h, "/"));
	CHECK(hierarchies_path_is_own(&h, ""));
	CHECK(hierarchies_path_is_own(&h, "/docker/abc/inner"));
	CHECK(hierarchies_path_is_own(&h, "docker/abc/inner/"));
	CHECK(hierarchies_path_is_own(&h, "/docker/abc"));
	CHECK(!hierarchies_path_is_own(&h, "/docker/ab"));
	CHECK(!hierarchies_path_is_own(&h, "/docker/abc/inner/x"));
	CHECK(!hierarchies_path_is_own(&h, "/docker/abd"));
}

TEST_MAIN()
