/* SPDX-License-Identifier: Apache-2.0 */
/* The running host's hierarchies, and mounts made in a mount namespace of a child's own. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/util.h"
#include "hierarchy.h"

static struct hierarchies hierarchies;

static void close_hierarchies(void *arg)
{
	hierarchies_close(&hierarchies);
}

TEST(this_host)
{
	if (hierarchies_open(NULL, &hierarchies) < 0)
		SKIP("no cgroup hierarchy");
	test_at_end(close_hierarchies, NULL);

	CHECK(hierarchies.by_controller[hierarchies.primary].mount);
	for (unsigned c = 0; c < CGROUP_CONTROLLER_MAX; c++) {
		const struct hierarchy *h = &hierarchies.by_controller[c];
		if (!h->mount) {
			CHECK_INT(h->root_fd, -1);
			continue;
		}
		struct stat st;
		CHECK_INT(stat(h->mount, &st), 0);
		CHECK(h->root_id == st.st_ino && h->root_id == cgroup_id_of_fd(h->root_fd));
		CHECK(h->version == 1 ? h->id > 0 : h->id == 0);
		CHECK(h->shared <= c);
		CHECK_STR(hierarchies.by_controller[h->shared].mount, h->mount);
		/* Where the kernel says that this process is, it is. */
		CHECK(h->own_path && h->own_id);
		_cleanup_close_ int own = cgroup_open_beneath(h->root_fd, h->own_path);
		CHECK(own >= 0);
		FILE *f = fdopen(openat(own, "cgroup.procs", O_RDONLY), "r");
		CHECK(f);
		bool found = false;
		for (int pid; fscanf(f, "%d", &pid) == 1;)
			found |= pid == getpid();
		fclose(f);
		CHECK(found);
	}
}

/* Runs fn in a child with mounts of its own. */
static void in_namespace(int (*fn)(void))
{
	fflush(NULL);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		if (unshare(CLONE_NEWNS) < 0 ||
		    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
			_exit(77);
		_exit(fn());
	}
	int status;
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		SKIP("no mount namespaces here");
	CHECK_INT(WEXITSTATUS(status), 0);
}

#define EXPECT(cond)                                                                   \
	do {                                                                           \
		if (!(cond)) {                                                         \
			fprintf(stderr, "%s:%d: not %s\n", __FILE__, __LINE__, #cond); \
			return 1;                                                      \
		}                                                                      \
	} while (0)

/* The primary hierarchy, seen through a bind mount with a blank in its name, and then not at all.
 */
static int other_mounts(void)
{
	struct hierarchies h, again;
	char text[4096], dir[] = "/tmp/ebb hierarchy-XXXXXX";

	EXPECT(hierarchies_open(NULL, &h) == 0);
	struct hierarchy *primary = &h.by_controller[h.primary];
	EXPECT(mkdtemp(dir));
	int r = mount(primary->mount, dir, NULL, MS_BIND, NULL);
	rmdir(r < 0 ? dir : "/nonexistent");
	if (r < 0)
		return 77;

	/* Only the line of the bind mount. */
	FILE *f = fopen("/proc/self/mountinfo", "re");
	EXPECT(f);
	bool found = false;
	while (!found && fgets(text, sizeof(text), f))
		found = strstr(text, "/tmp/ebb\\040hierarchy-");
	fclose(f);
	EXPECT(found);
	char list[] = "/tmp/ebb-mountinfo-XXXXXX";
	int fd = mkstemp(list);
	EXPECT(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));

	r = hierarchies_open(list, &again);
	bool same = r == 0 && !strcmp(again.by_controller[again.primary].mount, dir) &&
		    again.by_controller[again.primary].root_id == primary->root_id &&
		    again.by_controller[again.primary].id == primary->id;
	if (r == 0)
		hierarchies_close(&again);

	/* A line that is no longer true: something else is mounted over it. */
	int covered = mount("none", dir, "tmpfs", 0, NULL);
	int stale = covered == 0 ? hierarchies_open(list, &again) : -ENOENT;

	/* This namespace's mounts only. */
	if (covered == 0)
		umount2(dir, MNT_DETACH);
	umount2(dir, MNT_DETACH);
	rmdir(dir);
	unlink(list);
	EXPECT(same);
	EXPECT(stale == -ENOENT);
	hierarchies_close(&h);
	return 0;
}

TEST(mounts_are_checked_before_use)
{
	if (geteuid() != 0)
		SKIP("needs root");
	in_namespace(other_mounts);
}

TEST(no_hierarchy_is_an_error)
{
	CHECK_INT(hierarchies_open("/dev/null", &hierarchies), -ENOENT);
	CHECK_INT(hierarchies_open("/nonexistent", &hierarchies), -ENOENT);
}

TEST_MAIN()
