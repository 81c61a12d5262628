/* SPDX-License-Identifier: Apache-2.0 */
/* Real cgroups being made, renamed, entered, filled and removed, as the agent hears of it. */
#include <sys/mman.h>

#include "lifecycle.h"
#include "sampled_tree.h"

#define EVENTS_KEPT 4096

static struct rig rig;
static struct loop *loop;
static struct lifecycle *lifecycle;

static struct {
	enum lifecycle_kind kind;
	int hierarchy_id;
	uint64_t cgroup_id;
	int pid;
	char path[256];
} seen[EVENTS_KEPT];
static int n_seen, n_lost;

static void on_event(void *userdata, const struct lifecycle_event *event)
{
	if (event->kind == LIFECYCLE_LOST)
		n_lost++;
	/* Other tests make cgroups meanwhile. */
	if (event->path[0] && !strstr(event->path, rig.tree.name))
		return;
	if (n_seen == EVENTS_KEPT)
		return;
	seen[n_seen].kind = event->kind;
	seen[n_seen].hierarchy_id = event->hierarchy_id;
	seen[n_seen].cgroup_id = event->cgroup_id;
	seen[n_seen].pid = event->pid;
	snprintf(seen[n_seen].path, sizeof(seen[n_seen].path), "%s", event->path);
	n_seen++;
}

static void stop_lifecycle(void *arg)
{
	lifecycle_free(lifecycle);
	loop_free(loop);
	lifecycle = NULL;
	loop = NULL;
}

static void begin(const char *name)
{
	rig_begin(&rig, name, SAMPLER_FILES, 16);
	n_seen = n_lost = 0;
	test_at_end(stop_lifecycle, NULL);
	CHECK_INT(loop_new(&loop), 0);
	int r = lifecycle_new(rig.bpf, loop, on_event, NULL, &lifecycle);
	if (r == -EOPNOTSUPP)
		SKIP("the kernel has no cgroup tracepoints");
	CHECK_INT(r, 0);
}

/* Waits for an event on `child` (NULL: any path), at most 5 s; its index, or -1. */
static int wait_for(enum lifecycle_kind kind, int hierarchy_id, const char *child)
{
	char path[300];

	snprintf(path, sizeof(path), "/%s/%s", rig.tree.name, child ? child : "");
	for (int turn = 0; turn < 500; turn++) {
		for (int i = 0; i < n_seen; i++)
			if (seen[i].kind == kind && seen[i].hierarchy_id == hierarchy_id &&
			    (!child || !strcmp(seen[i].path, path)))
				return i;
		loop_turn(loop, 10);
	}
	return -1;
}

static const struct hierarchy *primary(void)
{
	return &rig.hierarchies.by_controller[rig.hierarchies.primary];
}

TEST(cgroups_made_renamed_and_removed_are_told_with_path_and_hierarchy)
{
	char from[512], to[512];
	struct container *container;
	int i;

	begin("events");
	CHECK_INT(cgroup_tree_mkdir(&rig.tree, "web"), 0);
	container = rig_describe(&rig, "web");
	rig.containers[rig.n_containers++] = container;
	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++) {
		const struct hierarchy *h = &rig.hierarchies.by_controller[c];

		if (!h->mount)
			continue;
		i = wait_for(LIFECYCLE_MKDIR, h->id, "web");
		CHECK(i >= 0);
		CHECK_INT(seen[i].cgroup_id, container->ids[c]);
	}

	if (primary()->version == 1) {
		snprintf(from, sizeof(from), "%s/%s/web", primary()->mount, rig.tree.name);
		snprintf(to, sizeof(to), "%s/%s/shop", primary()->mount, rig.tree.name);
		CHECK_INT(rename(from, to), 0);
		i = wait_for(LIFECYCLE_RENAME, primary()->id, "shop");
		CHECK(i >= 0);
		CHECK_INT(seen[i].cgroup_id, container->id);
		CHECK_INT(rename(to, from), 0);
	}

	snprintf(from, sizeof(from), "%s/%s/web", primary()->mount, rig.tree.name);
	CHECK_INT(rmdir(from), 0);
	i = wait_for(LIFECYCLE_RMDIR, primary()->id, "web");
	CHECK(i >= 0);
	CHECK_INT(seen[i].cgroup_id, container->id);
}

TEST(tasks_entering_a_sampled_cgroup_are_told_and_others_are_not)
{
	struct container *container;
	pid_t outside, inside;
	int i;

	begin("attach");
	container = rig_add(&rig, "sampled");
	CHECK_INT(cgroup_tree_mkdir(&rig.tree, "sampled/nested"), 0);
	CHECK_INT(cgroup_tree_mkdir(&rig.tree, "other"), 0);
	outside = cgroup_tree_spawn(&rig.tree, "other", NULL, NULL);
	inside = cgroup_tree_spawn(&rig.tree, "sampled/nested", NULL, NULL);

	i = wait_for(LIFECYCLE_ATTACH, primary()->id, NULL);
	CHECK(i >= 0);
	CHECK_INT(seen[i].cgroup_id, container->id);
	CHECK_INT(seen[i].pid, inside);
	for (int turn = 0; turn < 5; turn++)
		loop_turn(loop, 10);
	for (i = 0; i < n_seen; i++)
		CHECK(seen[i].kind != LIFECYCLE_ATTACH || seen[i].pid != outside);
}

static void eat(void *arg)
{
	size_t size = 64 << 20;
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory != MAP_FAILED)
		memset(memory, 1, size);
}

TEST(an_oom_kill_below_a_sampled_cgroup_is_told_with_its_container)
{
	struct container *container;
	struct ebb_sample sample;
	pid_t pid;
	int i;

	begin("oom");
	if (!rig.hierarchies.by_controller[CGROUP_MEMORY].mount)
		SKIP("no memory controller");
	container = rig_add(&rig, "small");
	CHECK_INT(cgroup_tree_mkdir(&rig.tree, "small/nested"), 0);
	if (cgroup_tree_write(&rig.tree, "memory", "small/nested", "memory.limit_in_bytes",
			      "8388608") < 0 &&
	    cgroup_tree_write(&rig.tree, "memory", "small/nested", "memory.max", "8388608") < 0)
		SKIP("memory is not limited by this cgroup");
	pid = cgroup_tree_spawn(&rig.tree, "small/nested", eat, NULL);

	i = wait_for(LIFECYCLE_OOM_KILL, primary()->id, NULL);
	CHECK(i >= 0);
	CHECK_INT(seen[i].cgroup_id, container->id);
	CHECK_INT(seen[i].pid, pid);

	/* The counter beside it: of the cgroup itself on v1, of all below it on v2. */
	CHECK_INT(sampler_sweep(rig.sampler), 0);
	CHECK(sampler_read(rig.sampler, container->slot, &sample));
	CHECK_INT(sample.oom_kills, primary()->version == 2 ? 1 : 0);
}

/* A loss needs the buffer to overflow: nobody reads while 2,500 cgroups come and go in it. */
TEST(events_that_find_the_buffer_full_are_told_as_lost)
{
	char path[512];

	begin("lost");
	snprintf(path, sizeof(path), "%s/%s/again", primary()->mount, rig.tree.name);
	for (int i = 0; i < 2500; i++) {
		CHECK_INT(mkdir(path, 0755), 0);
		CHECK_INT(rmdir(path), 0);
	}
	for (int turn = 0; turn < 100 && !n_lost; turn++)
		loop_turn(loop, 10);
	CHECK(n_lost > 0);

	/* And it goes on after that. */
	n_seen = 0;
	CHECK_INT(mkdir(path, 0755), 0);
	CHECK(wait_for(LIFECYCLE_MKDIR, primary()->id, "again") >= 0);
}

TEST_MAIN()
