/* SPDX-License-Identifier: Apache-2.0 */
/* Discovery driven by the kernel's own events, with everything happening while it listens. */
#include "test.h"

#include <sys/resource.h>

#include "bpf_programs.h"
#include "cgroup_tree.h"
#include "discovery.h"
#include "ebb/cleanup.h"
#include "ebb/units.h"

#define N 200

static struct hierarchies hierarchies;
static struct cgroup_tree tree;
static struct discovery *discovery;
static struct loop *loop;
static struct bpf_programs *bpf;
static struct lifecycle *lifecycle;
static char glob[128], pins[64];
static unsigned n_added, n_removed, n_joined;
static uint64_t worst_ns;

static bool is_ours(const struct container *container)
{
	return !strncmp(container->path, tree.name, strlen(tree.name));
}

/* The name of a cgroup of this test ends in the time of its mkdir. */
static void on_added(void *userdata, struct container *container)
{
	if (!is_ours(container))
		return;
	n_added++;
	const char *at = strrchr(container->name, '@');
	if (at)
		worst_ns = MAX(worst_ns, now_ns() - strtoull(at + 1, NULL, 10));
}

static void on_removed(void *userdata, struct container *container)
{
	n_removed += is_ours(container);
}

static void on_joined(void *userdata, struct container *container)
{
	n_joined += is_ours(container);
}

static void on_event(void *userdata, const struct lifecycle_event *event)
{
	discovery_event(discovery, event);
}

static void tear_down(void *arg)
{
	lifecycle_free(lifecycle);
	lifecycle = NULL;
	discovery_free(discovery);
	discovery = NULL;
	bpf_programs_free(bpf);
	bpf = NULL;
	loop_free(loop);
	loop = NULL;
	cgroup_tree_remove(&tree);
	hierarchies_close(&hierarchies);
	rmdir(pins);
}

static void set_up(void)
{
	if (geteuid() != 0)
		SKIP("needs root");
	if (hierarchies_open(NULL, &hierarchies) < 0)
		SKIP("no cgroup hierarchy");
	struct rlimit limit;
	CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);

	n_added = n_removed = n_joined = 0;
	worst_ns = 0;
	test_at_end(tear_down, NULL);
	int r = cgroup_tree_new(&tree, "live");
	if (r < 0)
		SKIP("cannot make cgroups: %s", strerror(-r));
	snprintf(glob, sizeof(glob), "%s/*", tree.name);
	snprintf(pins, sizeof(pins), "/sys/fs/bpf/ebb-test-live-%d", (int)getpid());
	CHECK_INT(loop_new(&loop), 0);

	struct bpf_programs_options bpf_options = {
		.pin_dir = pins,
		.max_containers = 64,
		.kind = SAMPLER_AUTO,
		.hierarchies = &hierarchies,
	};
	if (bpf_programs_load(&bpf_options, &bpf) < 0)
		SKIP("no BPF here");
	char *globs[] = {glob};
	struct string_list list = {globs, 1};
	struct discovery_options options = {
		.hierarchies = &hierarchies,
		.loop = loop,
		.globs = &list,
		.added = on_added,
		.removed = on_removed,
		.joined = on_joined,
	};
	CHECK_INT(discovery_new(&options, &discovery), 0);
	if (lifecycle_new(bpf, loop, on_event, NULL, &lifecycle) < 0)
		SKIP("no lifecycle events here");
	CHECK_INT(discovery_scan(discovery), 0);
}

static pid_t in_child(void (*fn)(void))
{
	fflush(NULL);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		fn();
		_exit(0);
	}
	return pid;
}

static void finish(pid_t pid, const unsigned *count, unsigned want)
{
	int status = -1;
	bool running = true;
	for (uint64_t end = now_ns() + 60 * EBB_NS_PER_SEC;
	     now_ns() < end && (running || *count < want);) {
		loop_turn(loop, 10);
		if (running && waitpid(pid, &status, WNOHANG) == pid)
			running = false;
	}
	CHECK(!running && WIFEXITED(status) && WEXITSTATUS(status) == 0);
	/* Nothing is to come that was not waited for. */
	for (int i = 0; i < 20; i++)
		loop_turn(loop, 10);
	CHECK_INT(*count, want);
}

/* "c0@TIME", ... in each hierarchy, as an engine does: one after another. */
static void make_many(void)
{
	for (int i = 0; i < N; i++) {
		char child[64];
		snprintf(child, sizeof(child), "c%d@%llu", i, (unsigned long long)now_ns());
		for (int m = 0; m < tree.n_mounts; m++) {
			char path[512];
			/* Now and then the primary directory is not the first. */
			const struct cgroup_tree_mount *mount =
				&tree.mounts[(m + i) % tree.n_mounts];
			snprintf(path, sizeof(path), "%s/%s/%s", mount->path, tree.name, child);
			if (mkdir(path, 0755) < 0)
				_exit(1);
		}
	}
}

static void remove_many(void)
{
	for (int m = 0; m < tree.n_mounts; m++) {
		char path[512];
		snprintf(path, sizeof(path), "%s/%s", tree.mounts[m].path, tree.name);
		DIR *dir = opendir(path);
		struct dirent *entry;
		if (!dir)
			_exit(1);
		while ((entry = readdir(dir))) {
			if (entry->d_name[0] == 'c' && strchr(entry->d_name, '@') &&
			    unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR) < 0)
				_exit(1);
		}
		closedir(dir);
	}
}

TEST(cgroups_come_and_go)
{
	set_up();
	finish(in_child(make_many), &n_added, N);
	CHECK_INT(n_removed, 0);

	struct container *c;
	container_table_foreach(discovery_table(discovery), c) {
		if (!is_ours(c))
			continue;
		for (unsigned i = 0; i < CGROUP_CONTROLLER_MAX; i++) {
			if (hierarchies.by_controller[i].mount && c->dir_fds[i] < 0)
				TEST_FAIL("%s was not joined by its %s directory", c->name,
					  cgroup_controller_name(i));
			if (c->dir_fds[i] >= 0)
				CHECK(c->ids[i] == cgroup_id_of_fd(c->dir_fds[i]));
		}
	}
	fprintf(stderr, "%d containers, %u joins, seen at most %.1f ms after they were made\n", N,
		n_joined, worst_ns / 1e6);

	finish(in_child(remove_many), &n_removed, N);
	CHECK_INT(n_added, N);
}

static void make_and_remove_at_once(void)
{
	char path[512];
	cgroup_tree_dir(&tree, "cpu", "short", path, sizeof(path));
	for (int i = 0; i < 2000; i++) {
		if (mkdir(path, 0755) < 0 || rmdir(path) < 0)
			_exit(1);
	}
}

TEST(short_lives_leave_nothing)
{
	set_up();
	pid_t pid = in_child(make_and_remove_at_once);
	unsigned none = 0;
	finish(pid, &none, 0);
	CHECK_INT(n_added, n_removed);
	CHECK(!container_table_by_name(discovery_table(discovery), "short"));
}

TEST_MAIN()
