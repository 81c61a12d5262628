/* SPDX-License-Identifier: Apache-2.0 */
/* What the samplers promise beside right numbers: nothing stays held, stale, pinned or half-read.
 */
#include <bpf/bpf.h>
#include <sys/mman.h>

#include "bpf_objects.h"
#include "sampled_tree.h"

static struct rig rig;

static bool on_v1(enum cgroup_controller controller)
{
	const struct hierarchy *hierarchy = &rig.hierarchies.by_controller[controller];

	return hierarchy->mount && hierarchy->version == 1;
}

static struct ebb_sample sample_now(const struct container *container)
{
	struct ebb_sample sample;

	CHECK_INT(sampler_sweep(rig.sampler), 0);
	CHECK(sampler_read(rig.sampler, container->slot, &sample));
	return sample;
}

static void remove_child(const char *child)
{
	char path[512];

	for (int i = 0; i < rig.tree.n_mounts; i++) {
		snprintf(path, sizeof(path), "%s/%s/%s", rig.tree.mounts[i].path, rig.tree.name,
			 child);
		CHECK_INT(rmdir(path), 0);
	}
}

/* Cgroups of the hierarchy that exist in memory, removed ones that are still held included.
 */
static int count_in_kernel(const char *controller)
{
	char line[256], name[64], path[512], text[4096];
	int n = -1, count;
	FILE *f;

	if (cgroup_tree_dir(&rig.tree, controller, NULL, path, sizeof(path)) &&
	    strstr(path, "unified") == NULL &&
	    cgroup_tree_read(&rig.tree, controller, NULL, "cgroup.stat", text, sizeof(text)) == 0) {
		const char *p = strstr(text, "nr_dying_descendants ");

		return p ? atoi(p + 21) : -1;
	}
	f = fopen("/proc/cgroups", "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%63s %*d %d", name, &count) == 2 && !strcmp(name, controller))
			n = count;
	if (f)
		fclose(f);
	return n;
}

/* The kernel frees in the background, and other tests make a few cgroups meanwhile. */
static int wait_until_gone(const char *controller, int before, int few)
{
	int left = 0;

	for (int i = 0; i < 1200; i++) {
		left = count_in_kernel(controller) - before;
		if (left < few)
			break;
		sleep_ms(100);
	}
	return left;
}

static void come_and_go(enum sampler_kind kind, const char *name, int total)
{
	enum { BATCH = 100 };
	static const char *const controllers[] = {"cpu", "cpuacct", "memory", "blkio"};
	static struct container *batch[BATCH];
	int before[4], left = 0;
	char child[32];

	rig_begin(&rig, name, kind, BATCH);
	for (int c = 0; c < 4; c++)
		before[c] = count_in_kernel(controllers[c]);
	for (int done = 0; done < total; done += BATCH) {
		for (int i = 0; i < BATCH; i++) {
			snprintf(child, sizeof(child), "c%d", i);
			CHECK_INT(cgroup_tree_mkdir(&rig.tree, child), 0);
			batch[i] = rig_describe(&rig, child);
			CHECK(sampler_add(rig.sampler, batch[i]) >= 0);
		}
		CHECK_INT(sampler_sweep(rig.sampler), 0);
		/* The kernel's rmdir first, the agent hears of it later; and the other way round.
		 */
		for (int i = 0; i < BATCH; i++) {
			snprintf(child, sizeof(child), "c%d", i);
			if (i % 2)
				sampler_remove(rig.sampler, batch[i]);
			remove_child(child);
		}
		CHECK_INT(sampler_sweep(rig.sampler), 0);
		for (int i = 0; i < BATCH; i++) {
			struct ebb_sample sample;

			if (i % 2 == 0) {
				CHECK(sampler_read(rig.sampler, batch[i]->slot, &sample));
				CHECK(kind == SAMPLER_WALK || sample.valid == 0);
			}
		}
		if (done + BATCH == total) {
			/* The last batch's even half is still the sampler's, its cgroups gone. */
			for (int c = 0; c < 4; c++) {
				if (before[c] < 0)
					continue;
				left = wait_until_gone(controllers[c], before[c], BATCH / 4);
				if (left >= BATCH / 4)
					TEST_FAIL("%d of %d cgroups stay in %s", left, total,
						  controllers[c]);
			}
		}
		for (int i = 0; i < BATCH; i++) {
			if (i % 2 == 0)
				sampler_remove(rig.sampler, batch[i]);
			container_free(batch[i]);
		}
	}
}

TEST(of_10000_cgroups_held_and_removed_none_stays)
{
	come_and_go(SAMPLER_HELD, "go-held", getenv("EBB_TEST_EMULATED") ? 400 : 10000);
}

TEST(of_1000_cgroups_walked_and_removed_none_stays)
{
	come_and_go(SAMPLER_WALK, "go-walk", getenv("EBB_TEST_EMULATED") ? 400 : 1000);
}

TEST(of_1000_cgroups_read_and_removed_none_stays)
{
	come_and_go(SAMPLER_FILES, "go-files", getenv("EBB_TEST_EMULATED") ? 400 : 1000);
}

static void hold_and_wait(int report, int n)
{
	struct bpf_programs_options options = {
		.pin_dir = rig.pin_dir,
		.max_containers = n,
		.kind = SAMPLER_HELD,
		.hierarchies = &rig.hierarchies,
	};
	char child[32];

	if (bpf_programs_load(&options, &rig.bpf) < 0 ||
	    sampler_new(SAMPLER_HELD, rig.bpf, &rig.hierarchies, n, &rig.sampler) < 0)
		_exit(1);
	for (int i = 0; i < n; i++) {
		snprintf(child, sizeof(child), "c%d", i);
		if (sampler_add(rig.sampler, rig_describe(&rig, child)) < 0)
			_exit(1);
	}
	if (write(report, "x", 1) == 1)
		pause();
	_exit(1);
}

/* Why the map of references is not pinned. */
TEST(a_crash_lets_go_of_all_that_was_held)
{
	enum { N = 200 };
	int before, report[2], left;
	char child[32], byte;
	pid_t pid;

	rig_begin(&rig, "killed", SAMPLER_HELD, 4);
	sampler_free(rig.sampler);
	bpf_programs_free(rig.bpf);
	rig.sampler = NULL;
	rig.bpf = NULL;
	before = count_in_kernel("memory");
	for (int i = 0; i < N; i++) {
		snprintf(child, sizeof(child), "c%d", i);
		CHECK_INT(cgroup_tree_mkdir(&rig.tree, child), 0);
	}
	CHECK_INT(pipe2(report, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0)
		hold_and_wait(report[1], N);
	close(report[1]);
	CHECK_INT(read(report[0], &byte, 1), 1);
	close(report[0]);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	for (int i = 0; i < N; i++) {
		snprintf(child, sizeof(child), "c%d", i);
		remove_child(child);
	}
	left = wait_until_gone("memory", before, N / 4);
	if (left >= N / 4)
		TEST_FAIL("%d of %d cgroups stay", left, N);

	/* The next one cleans up after it. */
	CHECK_INT(bpf_programs_load(&(struct bpf_programs_options){.pin_dir = rig.pin_dir,
								   .max_containers = 4,
								   .hierarchies = &rig.hierarchies},
				    &rig.bpf),
		  0);
}

static void burn(void *arg)
{
	for (volatile unsigned i = 0; i < 100000000; i++)
		;
}

static void reuse(enum sampler_kind kind, const char *name)
{
	struct container *first, *second;
	struct ebb_sample sample, old;
	int slot;

	rig_begin(&rig, name, kind, 4);
	first = rig_add(&rig, "first");
	slot = first->slot;
	CHECK(!sampler_read(rig.sampler, slot, &sample)); /* not swept yet */
	cgroup_tree_spawn(&rig.tree, "first", burn, NULL);
	old = sample_now(first);
	for (int i = 0; i < 3000 && !old.cpu_ns; i++) {
		sleep_ms(10);
		old = sample_now(first);
	}
	CHECK_INT(old.id, first->id);
	CHECK(old.cpu_ns > 0);

	sampler_remove(rig.sampler, first);
	CHECK_INT(first->slot, -1);
	CHECK(!sampler_read(rig.sampler, slot, &sample));
	second = rig_add(&rig, "second");
	CHECK_INT(second->slot, slot);
	CHECK(!sampler_read(rig.sampler, slot, &sample));
	sample = sample_now(second);
	CHECK_INT(sample.id, second->id);
	CHECK_INT(sample.cpu_ns, 0);
	CHECK_INT(sample.nr_periods, 0);
	CHECK(sample.at_ns > old.at_ns);
}

TEST(a_reused_slot_shows_nothing_of_its_last_container)
{
	reuse(SAMPLER_HELD, "reuse");
}

TEST(a_reused_slot_shows_nothing_of_its_last_container_walk)
{
	reuse(SAMPLER_WALK, "reuse-walk");
}

TEST(a_reused_slot_shows_nothing_of_its_last_container_files)
{
	reuse(SAMPLER_FILES, "reuse-files");
}

TEST(more_containers_than_slots_are_refused)
{
	struct container *extra;

	rig_begin(&rig, "full", SAMPLER_AUTO, 2);
	rig_add(&rig, "a");
	rig_add(&rig, "b");
	CHECK_INT(cgroup_tree_mkdir(&rig.tree, "c"), 0);
	extra = rig_describe(&rig, "c");
	rig.containers[rig.n_containers++] = extra;
	CHECK_INT(sampler_add(rig.sampler, extra), -ENOSPC);
	CHECK_INT(extra->slot, -1);
}

TEST(a_cgroup_that_has_gone_is_refused)
{
	struct container *container;
	struct sampler_stats stats;

	rig_begin(&rig, "gone", SAMPLER_HELD, 4);
	CHECK_INT(cgroup_tree_mkdir(&rig.tree, "gone"), 0);
	container = rig_describe(&rig, "gone");
	rig.containers[rig.n_containers++] = container;
	remove_child("gone");
	CHECK_INT(sampler_add(rig.sampler, container), -ENOENT);
	sampler_get_stats(rig.sampler, &stats);
	CHECK_INT(stats.slots_used, 0);
}

/* On v1 an engine makes a container's directories one after another. */
static void join(enum sampler_kind kind, const char *name)
{
	static const enum cgroup_controller late[] = {CGROUP_MEMORY, CGROUP_IO};
	struct container *container;
	struct ebb_sample sample;
	uint64_t ids[2];
	int fds[2];

	rig_plant(&rig, name, kind);
	if (!on_v1(CGROUP_CPU) || !on_v1(CGROUP_MEMORY) || !on_v1(CGROUP_IO))
		SKIP("controllers share a cgroup here");
	rig_load(&rig, kind, 4);
	CHECK_INT(cgroup_tree_mkdir(&rig.tree, "late"), 0);
	container = rig_describe(&rig, "late");
	rig.containers[rig.n_containers++] = container;
	for (int i = 0; i < 2; i++) {
		fds[i] = container->dir_fds[late[i]];
		ids[i] = container->ids[late[i]];
		container->dir_fds[late[i]] = -1;
		container->ids[late[i]] = 0;
	}

	CHECK(sampler_add(rig.sampler, container) >= 0);
	sample = sample_now(container);
	CHECK(sample.valid & EBB_VALID_CPU);
	CHECK(!(sample.valid & EBB_VALID_MEM));
	CHECK(!(sample.valid & EBB_VALID_IO));

	for (int i = 0; i < 2; i++) {
		container->dir_fds[late[i]] = fds[i];
		container->ids[late[i]] = ids[i];
	}
	CHECK_INT(sampler_update(rig.sampler, container), 0);
	sample = sample_now(container);
	CHECK(sample.valid & EBB_VALID_CPU);
	CHECK(sample.valid & EBB_VALID_MEM);
	/* Files have v1 I/O only where the kernel counts it. */
	CHECK(kind == SAMPLER_FILES || (sample.valid & EBB_VALID_IO));

	/* One directory goes before the others. */
	for (int i = 0; i < 2; i++) {
		container->dir_fds[late[i]] = -1;
		container->ids[late[i]] = 0;
	}
	CHECK_INT(sampler_update(rig.sampler, container), 0);
	sample = sample_now(container);
	for (int i = 0; i < 2; i++)
		container->dir_fds[late[i]] = fds[i]; /* to be closed */
	CHECK(sample.valid & EBB_VALID_CPU);
	CHECK(!(sample.valid & (EBB_VALID_MEM | EBB_VALID_WORKING_SET | EBB_VALID_OOM)));
	CHECK(!(sample.valid & EBB_VALID_IO));
}

TEST(a_controller_that_joins_late_is_sampled_from_then_on)
{
	join(SAMPLER_HELD, "join");
}

TEST(a_controller_that_joins_late_is_sampled_from_then_on_walk)
{
	join(SAMPLER_WALK, "join-walk");
}

TEST(a_controller_that_joins_late_is_sampled_from_then_on_files)
{
	join(SAMPLER_FILES, "join-files");
}

/* The same host, had it no such controller. */
static void load_without(enum cgroup_controller controller, enum sampler_kind kind)
{
	free(rig.hierarchies.by_controller[controller].mount);
	rig.hierarchies.by_controller[controller].mount = NULL;
	rig_load(&rig, kind, 4);
}

static void absent(enum sampler_kind kind, const char *name)
{
	struct container *container;
	struct ebb_sample sample;

	rig_plant(&rig, name, kind);
	if (!on_v1(CGROUP_CPU) || !on_v1(CGROUP_MEMORY))
		SKIP("needs cgroup v1");
	load_without(CGROUP_MEMORY, kind);
	container = rig_add(&rig, "c");
	sample = sample_now(container);
	CHECK(sample.valid & EBB_VALID_CPU);
	CHECK(sample.valid & EBB_VALID_BANDWIDTH);
	CHECK_INT(sample.valid & (EBB_VALID_MEM | EBB_VALID_WORKING_SET | EBB_VALID_OOM), 0);
	CHECK(sample.quota_ns == EBB_UNLIMITED);
	CHECK_INT(sample.period_ns, 100000000);
}

TEST(fields_of_an_absent_controller_are_invalid)
{
	absent(SAMPLER_HELD, "absent");
}

TEST(fields_of_an_absent_controller_are_invalid_walk)
{
	absent(SAMPLER_WALK, "absent-walk");
}

TEST(fields_of_an_absent_controller_are_invalid_files)
{
	absent(SAMPLER_FILES, "absent-files");
}

/*
 * v2: a cgroup has what its parent hands down, and that can change below a living one. What it
 * lacks is invalid, never 0; what it gets is there at the next sweep.
 */
static void handed_down(enum sampler_kind kind, const char *name)
{
	const uint32_t controlled = EBB_VALID_BANDWIDTH | EBB_VALID_MEM | EBB_VALID_WORKING_SET |
				    EBB_VALID_OOM | EBB_VALID_IO;
	struct container *container;
	char path[512];

	rig_begin(&rig, name, kind, 4);
	if (rig.hierarchies.by_controller[CGROUP_CPU].version != 2 ||
	    rig.hierarchies.by_controller[CGROUP_MEMORY].version != 2)
		SKIP("needs cpu and memory on cgroup v2");
	CHECK(cgroup_tree_dir(&rig.tree, "cpu", "bare", path, sizeof(path)));
	CHECK_INT(mkdir(path, 0755), 0);
	container = rig_describe(&rig, "bare");
	rig.containers[rig.n_containers++] = container;
	CHECK(sampler_add(rig.sampler, container) >= 0);
	CHECK_INT(sample_now(container).valid, EBB_VALID_CPU);

	CHECK_INT(cgroup_tree_write(&rig.tree, "cpu", NULL, "cgroup.subtree_control",
				    "+cpu +memory +io"),
		  0);
	sampler_refresh(rig.sampler, container);
	CHECK_INT(sample_now(container).valid, EBB_VALID_CPU | controlled);

	CHECK_INT(cgroup_tree_write(&rig.tree, "cpu", NULL, "cgroup.subtree_control",
				    "-cpu -memory -io"),
		  0);
	/* The kernel takes them away in the background. */
	for (int i = 0; i < 300 && sample_now(container).valid != EBB_VALID_CPU; i++)
		sleep_ms(100);
	CHECK_INT(sample_now(container).valid, EBB_VALID_CPU);

	/* As systemd does it when a unit comes that wants accounting. */
	CHECK_INT(cgroup_tree_write(&rig.tree, "cpu", NULL, "cgroup.subtree_control",
				    "+cpu +memory +io"),
		  0);
	sampler_refresh(rig.sampler, container);
	CHECK_INT(sample_now(container).valid, EBB_VALID_CPU | controlled);
}

TEST(what_a_v2_cgroup_is_not_handed_down_is_invalid)
{
	handed_down(SAMPLER_HELD, "down");
}

TEST(what_a_v2_cgroup_is_not_handed_down_is_invalid_walk)
{
	handed_down(SAMPLER_WALK, "down-walk");
}

TEST(what_a_v2_cgroup_is_not_handed_down_is_invalid_files)
{
	handed_down(SAMPLER_FILES, "down-files");
}

TEST(no_limit_is_told_as_unlimited)
{
	for (int kind = SAMPLER_HELD; kind <= SAMPLER_FILES; kind++) {
		struct ebb_sample sample;

		rig_begin(&rig, "unlimited", kind, 4);
		sample = sample_now(rig_add(&rig, "c"));
		CHECK(!(sample.valid & EBB_VALID_BANDWIDTH) || sample.quota_ns == EBB_UNLIMITED);
		CHECK(!(sample.valid & EBB_VALID_MEM) || sample.mem_limit == EBB_UNLIMITED);
		rig_end(&rig);
		memset(&rig, 0, sizeof(rig));
	}
}

/*
 * cgroup v2 without controllers (as on hybrid hosts): the CPU time is the one thing it has, and is
 * only summed up on request.
 */
static void unified(enum sampler_kind kind, const char *name, enum cgroup_controller last)
{
	struct hierarchy *cpu = &rig.hierarchies.by_controller[CGROUP_CPU];
	struct container *container = NULL;
	const char *mount = NULL;
	char stat_path[512], text[4096];
	uint64_t before = 0, after = 0;
	struct ebb_sample sample;

	rig_plant(&rig, name, kind);
	for (int i = 0; i < rig.tree.n_mounts; i++)
		if (rig.tree.mounts[i].version == 2)
			mount = rig.tree.mounts[i].path;
	if (!mount || cpu->version == 2)
		SKIP("no cgroup v2 beside v1 here");

	hierarchies_close(&rig.hierarchies);
	memset(&rig.hierarchies, 0, sizeof(rig.hierarchies));
	rig.hierarchies.primary = CGROUP_CPU;
	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++)
		rig.hierarchies.by_controller[c].root_fd = -1;
	for (enum cgroup_controller c = CGROUP_CPU; c <= last; c++)
		rig.hierarchies.by_controller[c] = (struct hierarchy){
			.mount = strdup(mount),
			.version = 2,
			.id = 0,
			.root_fd = c == CGROUP_CPU ? open(mount, O_PATH | O_DIRECTORY | O_CLOEXEC)
						   : cpu->root_fd,
			.root_id = 1,
			.shared = CGROUP_CPU,
		};
	rig_load(&rig, kind, 4);
	container = rig_add(&rig, "c");
	CHECK_INT(cgroup_tree_mkdir(&rig.tree, "c/nested"), 0);
	cgroup_tree_spawn(&rig.tree, "c/nested", burn, NULL);

	/* Nobody reads a file, which would sum up too: the sampler has to see to it. */
	sleep_ms(60);
	CHECK_INT(sample_now(container).valid, EBB_VALID_CPU);
	for (int i = 0; i < 3000 && sample_now(container).cpu_ns <= 10 * 1000000; i++)
		sleep_ms(10);
	CHECK(sample_now(container).cpu_ns > 10 * 1000000);

	snprintf(stat_path, sizeof(stat_path), "%s/%s/c", mount, rig.tree.name);
	for (int i = 0; i < 20; i++) {
		for (int side = 0; side < 2; side++) {
			int dir = open(stat_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
			int fd = openat(dir, "cpu.stat", O_RDONLY | O_CLOEXEC);
			ssize_t n = read(fd, text, sizeof(text) - 1);

			close(fd);
			close(dir);
			CHECK(n > 0);
			text[n] = '\0';
			*(side ? &after : &before) =
				strtoull(strstr(text, "usage_usec ") + 11, NULL, 10);
			if (side == 0)
				sample = sample_now(container);
		}
		CHECK_INT(sample.valid, EBB_VALID_CPU);
		/* The file has whole microseconds. */
		CHECK(sample.cpu_ns / 1000 >= before && sample.cpu_ns / 1000 <= after);
		sleep_ms(10);
	}
	CHECK(sample.cpu_ns > 10 * 1000000);
}

TEST(cpu_time_on_v2_without_the_cpu_controller)
{
	unified(SAMPLER_HELD, "unified", CGROUP_CPUACCT);
}

TEST(cpu_time_on_v2_without_the_cpu_controller_walk)
{
	unified(SAMPLER_WALK, "unified-walk", CGROUP_CPUACCT);
}

/* As on a host that has all controllers on v2, where this cgroup was given none of them. */
TEST(cpu_time_on_v2_with_no_controller_enabled)
{
	unified(SAMPLER_HELD, "v2", CGROUP_IO);
}

TEST(cpu_time_on_v2_with_no_controller_enabled_walk)
{
	unified(SAMPLER_WALK, "v2-walk", CGROUP_IO);
}

/*
 * What stands in for cpuacct where a host has none: the group's run time, per CPU. The kernel
 * brings the two up to date at different moments, a tick or so apart.
 */
static void group_runtime(enum sampler_kind kind, const char *name)
{
	struct container *container;
	struct ebb_sample sample;
	uint64_t before, after;
	char text[64];

	rig_plant(&rig, name, kind);
	if (!on_v1(CGROUP_CPU) || !on_v1(CGROUP_CPUACCT))
		SKIP("needs cpu and cpuacct on cgroup v1");
	load_without(CGROUP_CPUACCT, kind);
	container = rig_add(&rig, "c");
	CHECK_INT(cgroup_tree_mkdir(&rig.tree, "c/nested"), 0);
	cgroup_tree_spawn(&rig.tree, "c", burn, NULL);
	cgroup_tree_spawn(&rig.tree, "c/nested", burn, NULL);
	/* Until there is something to compare: a busy machine gives the two little time. */
	sample = sample_now(container);
	for (int i = 0; i < 20 || (sample.cpu_ns <= 50 * 1000000 && i < 2000); i++) {
		cgroup_tree_read(&rig.tree, "cpuacct", "c", "cpuacct.usage", text, sizeof(text));
		before = strtoull(text, NULL, 10);
		sample = sample_now(container);
		cgroup_tree_read(&rig.tree, "cpuacct", "c", "cpuacct.usage", text, sizeof(text));
		after = strtoull(text, NULL, 10);
		CHECK(sample.valid & EBB_VALID_CPU);
		CHECK(sample.cpu_ns + 30000000 >= before && sample.cpu_ns <= after + 30000000);
		sleep_ms(10);
	}
	CHECK(sample.cpu_ns > 50 * 1000000);
}

TEST(without_cpuacct_the_group_s_run_time_is_the_cpu_time)
{
	group_runtime(SAMPLER_HELD, "runtime");
}

TEST(without_cpuacct_the_group_s_run_time_is_the_cpu_time_walk)
{
	group_runtime(SAMPLER_WALK, "runtime-walk");
}

static uint32_t pinned_map_id(const char *name)
{
	struct bpf_map_info info = {0};
	unsigned len = sizeof(info);
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", rig.pin_dir, name);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return 0;
	bpf_obj_get_info_by_fd(fd, &info, &len);
	close(fd);
	return info.id;
}

static int load_again(struct bpf_programs **ret_bpf)
{
	return bpf_programs_load(&(struct bpf_programs_options){.pin_dir = rig.pin_dir,
								.max_containers = 4,
								.kind = SAMPLER_AUTO,
								.hierarchies = &rig.hierarchies},
				 ret_bpf);
}

TEST(pins_go_at_a_clean_stop)
{
	struct stat st;

	rig_begin(&rig, "clean", SAMPLER_AUTO, 4);
	CHECK(pinned_map_id("samples") > 0);
	CHECK(pinned_map_id("cgroups") > 0);
	rig_add(&rig, "c");
	sampler_remove(rig.sampler, rig.containers[0]);
	sampler_free(rig.sampler);
	bpf_programs_free(rig.bpf);
	rig.sampler = NULL;
	rig.bpf = NULL;
	CHECK(stat(rig.pin_dir, &st) < 0 && errno == ENOENT);
}

TEST(pins_of_a_crash_are_replaced)
{
	struct bpf_programs *crashing;
	uint32_t left;
	int ready[2], status;
	char byte;
	pid_t pid;

	rig_begin(&rig, "crash", SAMPLER_AUTO, 4);
	sampler_free(rig.sampler);
	bpf_programs_free(rig.bpf);
	rig.sampler = NULL;
	rig.bpf = NULL;

	CHECK_INT(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		if (load_again(&crashing) == 0 && write(ready[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	CHECK_INT(read(ready[0], &byte, 1), 1);
	left = pinned_map_id("samples");
	CHECK(left > 0);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	CHECK_INT(pinned_map_id("samples"), left);

	CHECK_INT(load_again(&rig.bpf), 0);
	CHECK(pinned_map_id("samples") > 0);
	CHECK(pinned_map_id("samples") != left);
	close(ready[0]);
	close(ready[1]);
}

TEST(a_second_agent_on_the_same_pins_is_refused)
{
	struct bpf_programs *second = NULL;

	rig_begin(&rig, "twice", SAMPLER_AUTO, 4);
	log_set_level(LOG_LEVEL_ERROR);
	CHECK_INT(load_again(&second), -EBUSY);
	CHECK(pinned_map_id("samples") > 0);
}

static void remove_path(void *arg)
{
	if (unlink(arg) < 0)
		rmdir(arg);
}

TEST(a_pin_directory_that_is_not_ours_is_refused)
{
	static char pin_dir[96];
	struct bpf_programs_options options = {.pin_dir = pin_dir, .max_containers = 4};
	struct bpf_programs *bpf = NULL;

	rig_begin(&rig, "foreign", SAMPLER_FILES, 4);
	options.hierarchies = &rig.hierarchies;
	log_set_level(LOG_LEVEL_ERROR);
	snprintf(pin_dir, sizeof(pin_dir), "%s-b", rig.pin_dir);
	test_at_end(remove_path, pin_dir);

	CHECK_INT(symlink(rig.pin_dir, pin_dir), 0);
	CHECK(bpf_programs_load(&options, &bpf) < 0);
	CHECK(pinned_map_id("samples") > 0);
	CHECK_INT(unlink(pin_dir), 0);

	CHECK_INT(mkdir(pin_dir, 0777), 0);
	CHECK_INT(chown(pin_dir, 65534, 65534), 0);
	CHECK_INT(bpf_programs_load(&options, &bpf), -EPERM);
	CHECK_INT(rmdir(pin_dir), 0);

	snprintf(pin_dir, sizeof(pin_dir), "/tmp/ebb-test-%d-pins", (int)getpid());
	CHECK_INT(bpf_programs_load(&options, &bpf), -EINVAL);
	CHECK(access(pin_dir, F_OK) < 0);
}

TEST(pins_of_another_program_survive)
{
	static char pin_dir[96], pin[128], subdir[128], slashes[128];
	struct bpf_programs_options options = {.max_containers = 4, .kind = SAMPLER_FILES};
	struct bpf_programs *bpf = NULL;
	struct stat st;
	int map;

	rig_begin(&rig, "others", SAMPLER_FILES, 4);
	options.hierarchies = &rig.hierarchies;
	log_set_level(LOG_LEVEL_ERROR);
	snprintf(pin_dir, sizeof(pin_dir), "%s-b", rig.pin_dir);
	snprintf(slashes, sizeof(slashes), "%s//", pin_dir);
	snprintf(pin, sizeof(pin), "%s/theirs", pin_dir);
	snprintf(subdir, sizeof(subdir), "%s/globals", pin_dir);
	test_at_end(remove_path, pin_dir);
	test_at_end(remove_path, subdir);
	test_at_end(remove_path, pin);

	CHECK_INT(mkdir(pin_dir, 0700), 0);
	map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "theirs", 4, 8, 1, NULL);
	CHECK(map >= 0);
	CHECK_INT(bpf_obj_pin(map, pin), 0);
	close(map);
	options.pin_dir = pin_dir;
	CHECK_INT(bpf_programs_load(&options, &bpf), -ENOTEMPTY);
	options.pin_dir = slashes;
	CHECK_INT(bpf_programs_load(&options, &bpf), -ENOTEMPTY);
	CHECK_INT(stat(pin, &st), 0);

	CHECK_INT(unlink(pin), 0);
	CHECK_INT(mkdir(subdir, 0700), 0);
	CHECK_INT(bpf_programs_load(&options, &bpf), -ENOTEMPTY);
	CHECK_INT(rmdir(subdir), 0);

	/* One that comes while we run stays too, and so does its directory. */
	CHECK_INT(bpf_programs_load(&options, &bpf), 0);
	map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "theirs", 4, 8, 1, NULL);
	CHECK(map >= 0);
	CHECK_INT(bpf_obj_pin(map, pin), 0);
	close(map);
	bpf_programs_free(bpf);
	CHECK_INT(stat(pin, &st), 0);
	CHECK_INT(unlink(pin), 0);
	CHECK_INT(rmdir(pin_dir), 0);
}

TEST(slashes_at_the_end_of_a_pin_directory_do_not_matter)
{
	static char slashes[128], link[96];
	struct bpf_programs_options options = {
		.pin_dir = slashes, .max_containers = 4, .kind = SAMPLER_FILES};
	struct bpf_programs *bpf = NULL;
	struct stat st;

	rig_begin(&rig, "slash", SAMPLER_FILES, 4);
	options.hierarchies = &rig.hierarchies;
	log_set_level(LOG_LEVEL_ERROR);

	snprintf(link, sizeof(link), "%s-l", rig.pin_dir);
	test_at_end(remove_path, link);
	CHECK_INT(symlink(rig.pin_dir, link), 0);
	sampler_free(rig.sampler);
	bpf_programs_free(rig.bpf);
	rig.sampler = NULL;
	rig.bpf = NULL;
	CHECK_INT(mkdir(rig.pin_dir, 0700), 0);
	snprintf(slashes, sizeof(slashes), "%s/", link);
	CHECK(bpf_programs_load(&options, &bpf) < 0);

	snprintf(slashes, sizeof(slashes), "%s//", rig.pin_dir);
	CHECK_INT(bpf_programs_load(&options, &rig.bpf), 0);
	CHECK(pinned_map_id("samples") > 0);
	bpf_programs_free(rig.bpf);
	rig.bpf = NULL;
	CHECK(stat(rig.pin_dir, &st) < 0 && errno == ENOENT);
}

/* Everybody's pins are there. */
TEST(the_root_of_the_bpf_file_system_is_no_pin_directory)
{
	static const char *const roots[] = {"/sys/fs/bpf", "/sys/fs/bpf/", "/sys/fs/bpf//",
					    "/sys/fs/bpf/."};
	static char pin[96];
	struct bpf_programs_options options = {.max_containers = 4, .kind = SAMPLER_FILES};
	struct bpf_programs *bpf = NULL;
	struct stat st;
	int map;

	rig_begin(&rig, "root", SAMPLER_FILES, 4);
	options.hierarchies = &rig.hierarchies;
	log_set_level(LOG_LEVEL_ERROR);
	snprintf(pin, sizeof(pin), "/sys/fs/bpf/ebb-test-%d-theirs", (int)getpid());
	test_at_end(remove_path, pin);
	map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "theirs", 4, 8, 1, NULL);
	CHECK(map >= 0);
	CHECK_INT(bpf_obj_pin(map, pin), 0);
	close(map);
	for (size_t i = 0; i < ARRAY_SIZE(roots); i++) {
		options.pin_dir = roots[i];
		CHECK_INT(bpf_programs_load(&options, &bpf), -EINVAL);
		CHECK_INT(stat(pin, &st), 0);
	}
	CHECK_INT(unlink(pin), 0);
}

TEST(two_agents_with_pins_of_their_own_sample_the_same_container)
{
	static struct bpf_programs *bpf;
	static struct sampler *sampler;
	struct container *ours, *theirs;
	struct ebb_sample sample;
	char pin_dir[96];

	rig_begin(&rig, "pair", SAMPLER_AUTO, 4);
	ours = rig_add(&rig, "c");
	snprintf(pin_dir, sizeof(pin_dir), "%s-b", rig.pin_dir);
	CHECK_INT(bpf_programs_load(&(struct bpf_programs_options){.pin_dir = pin_dir,
								   .max_containers = 4,
								   .kind = SAMPLER_AUTO,
								   .hierarchies = &rig.hierarchies},
				    &bpf),
		  0);
	CHECK_INT(sampler_new(SAMPLER_AUTO, bpf, &rig.hierarchies, 4, &sampler), 0);
	theirs = rig_describe(&rig, "c");
	CHECK(sampler_add(sampler, theirs) >= 0);
	CHECK_INT(sampler_sweep(sampler), 0);
	CHECK(sampler_read(sampler, theirs->slot, &sample));
	CHECK_INT(sample.id, ours->id);
	CHECK_INT(sample_now(ours).id, ours->id);
	sampler_remove(sampler, theirs);
	container_free(theirs);
	sampler_free(sampler);
	bpf_programs_free(bpf);
	CHECK_INT(sample_now(ours).id, ours->id);
}

TEST(bpftool_prints_the_records_by_field_name)
{
	static char text[65536];
	char command[512];
	size_t n;
	FILE *f;

	if (access("/usr/sbin/bpftool", X_OK) < 0)
		SKIP("no bpftool");
	rig_begin(&rig, "bpftool", SAMPLER_AUTO, 4);
	sample_now(rig_add(&rig, "c"));
	snprintf(command, sizeof(command), "/usr/sbin/bpftool map dump pinned %s/samples",
		 rig.pin_dir);
	f = popen(command, "re");
	CHECK(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	CHECK_INT(pclose(f), 0);
	CHECK(strstr(text, "\"cpu_ns\""));
	CHECK(strstr(text, "\"nr_throttled\""));
	CHECK(strstr(text, "\"mem_working_set\""));
	snprintf(command, sizeof(command), "\"id\": %llu,",
		 (unsigned long long)rig.containers[0]->id);
	CHECK(strstr(text, command));
}

/* A reader that maps the pinned records, as any tool may: two copies of one `seq` must be
   equal. */
static void read_as_foreigner(int report)
{
	char path[256], verdict = 'k';
	struct ebb_sample last = {0}, copy = {0};
	const volatile struct ebb_sample *shared;
	int fd;

	snprintf(path, sizeof(path), "%s/samples", rig.pin_dir);
	fd = bpf_obj_get(path);
	shared = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	if (shared == MAP_FAILED)
		_exit(1);
	while (getppid() != 1) {
		uint32_t seq = __atomic_load_n(&shared->seq, __ATOMIC_ACQUIRE);

		for (size_t i = 0; i < sizeof(copy) / 8; i++)
			((uint64_t *)&copy)[i] = ((const volatile uint64_t *)shared)[i];
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (seq % 2 || seq != __atomic_load_n(&shared->seq, __ATOMIC_RELAXED))
			continue;
		if (copy.seq == last.seq && memcmp(&copy, &last, sizeof(copy)) != 0)
			verdict = 't';
		if (copy.at_ns < last.at_ns || copy.cpu_ns < last.cpu_ns)
			verdict = 'b';
		last = copy;
		if (copy.seq > 20000 || verdict != 'k')
			break;
	}
	if (write(report, &verdict, 1) != 1)
		_exit(1);
	_exit(0);
}

TEST(a_foreign_reader_sees_whole_records_only)
{
	struct container *container;
	int report[2];
	char verdict;
	pid_t pid;

	rig_begin(&rig, "torn", SAMPLER_AUTO, 4);
	container = rig_add(&rig, "c");
	cgroup_tree_spawn(&rig.tree, "c", burn, NULL);
	sample_now(container);
	CHECK_INT(pipe2(report, O_CLOEXEC | O_NONBLOCK), 0);
	pid = fork();
	if (pid == 0)
		read_as_foreigner(report[1]);
	for (int i = 0; i < 2000000; i++) {
		CHECK_INT(sampler_sweep(rig.sampler), 0);
		if (read(report[0], &verdict, 1) == 1)
			break;
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	CHECK_INT(verdict, 'k');
	close(report[0]);
	close(report[1]);
}

TEST(a_forced_sampler_that_is_not_loaded_is_an_error)
{
	struct sampler *other = NULL;

	rig_begin(&rig, "forced", SAMPLER_FILES, 4);
	log_set_level(LOG_LEVEL_ERROR);
	CHECK_INT(sampler_new(SAMPLER_HELD, rig.bpf, &rig.hierarchies, 4, &other), -EOPNOTSUPP);
	CHECK_INT(sampler_new(SAMPLER_WALK, NULL, &rig.hierarchies, 4, &other), -EOPNOTSUPP);
	CHECK_INT(sampler_new(SAMPLER_AUTO, NULL, &rig.hierarchies, 4, &other), 0);
	CHECK_STR(sampler_name(other), "files");
	sampler_free(other);
}

TEST_MAIN()
