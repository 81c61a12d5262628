/* SPDX-License-Identifier: Apache-2.0 */
/* A test's cgroups under a sampler of its own: own pin directory, real kernel, containers by hand.
 */
#ifndef EBB_TEST_SAMPLED_TREE_H
#define EBB_TEST_SAMPLED_TREE_H

#include "cgroup_tree.h"
#include "container.h"
#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "sampler.h"
#include "bpf_programs.h"
#include "test.h"

#define RIG_CONTAINERS 8

struct rig {
	struct cgroup_tree tree;
	struct hierarchies hierarchies;
	struct bpf_programs *bpf;
	struct sampler *sampler;
	char pin_dir[64];
	struct container *containers[RIG_CONTAINERS];
	int n_containers;
};

__attribute__((unused)) static void rig_end(void *arg)
{
	struct rig *rig = arg;

	for (int i = 0; i < rig->n_containers; i++) {
		if (rig->sampler)
			sampler_remove(rig->sampler, rig->containers[i]);
		container_free(rig->containers[i]);
	}
	sampler_free(rig->sampler);
	bpf_programs_free(rig->bpf);
	cgroup_tree_remove(&rig->tree);
	hierarchies_close(&rig->hierarchies);
}

/* A tree, and nothing loaded yet. Skips the test where this kind cannot be had. */
__attribute__((unused)) static void rig_plant(struct rig *rig, const char *name,
					      enum sampler_kind kind)
{
	struct bpf_support support;
	int r;

	memset(rig, 0, sizeof(*rig));
	log_set_level(getenv("EBB_TEST_DEBUG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING);
	if (geteuid() != 0)
		SKIP("needs root");
	if (kind != SAMPLER_FILES)
		bpf_support_probe(&support);
	if (kind == SAMPLER_HELD && !support.held)
		SKIP("%s", support.why_not_held);
	if (kind == SAMPLER_WALK && !support.walk)
		SKIP("%s", support.why_not_walk);
	if (hierarchies_open(NULL, &rig->hierarchies) < 0)
		SKIP("no cgroups");

	snprintf(rig->pin_dir, sizeof(rig->pin_dir), "/sys/fs/bpf/ebb-test-%d-%s", (int)getpid(),
		 name);
	test_at_end(rig_end, rig);
	r = cgroup_tree_new(&rig->tree, name);
	if (r < 0)
		SKIP("cannot make cgroups: %s", strerror(-r));
}

__attribute__((unused)) static void rig_load(struct rig *rig, enum sampler_kind kind,
					     unsigned max_containers)
{
	struct bpf_programs_options options = {
		.pin_dir = rig->pin_dir,
		.max_containers = max_containers,
		.kind = kind,
		.hierarchies = &rig->hierarchies,
	};

	CHECK_INT(bpf_programs_load(&options, &rig->bpf), 0);
	CHECK_INT(sampler_new(kind, rig->bpf, &rig->hierarchies, max_containers, &rig->sampler), 0);
}

__attribute__((unused)) static void rig_begin(struct rig *rig, const char *name,
					      enum sampler_kind kind, unsigned max_containers)
{
	rig_plant(rig, name, kind);
	rig_load(rig, kind, max_containers);
}

/* The tree's own cgroup, or `child` of it, as discovery would describe it. */
__attribute__((unused)) static struct container *rig_describe(const struct rig *rig,
							      const char *child)
{
	const struct hierarchies *h = &rig->hierarchies;
	struct container *container;
	char path[256];
	uint64_t id = 0;

	snprintf(path, sizeof(path), "%s%s%s", rig->tree.name, child ? "/" : "",
		 child ? child : "");
	CHECK_INT(container_new(1, child ? child : rig->tree.name, path, "cgroup", &container), 0);
	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++) {
		const struct hierarchy *hierarchy = &h->by_controller[c];

		if (!hierarchy->mount)
			continue;
		if (hierarchy->shared != (enum cgroup_controller)c) {
			container->dir_fds[c] = container->dir_fds[hierarchy->shared];
			container->ids[c] = container->ids[hierarchy->shared];
			continue;
		}
		container->dir_fds[c] = cgroup_open_beneath(hierarchy->root_fd, path);
		if (container->dir_fds[c] >= 0)
			container->ids[c] = cgroup_id_of_fd(container->dir_fds[c]);
	}
	id = container->ids[h->primary];
	container->id = id;
	return container;
}

/* Makes `child` (NULL: the tree's own, which exists) and samples it. */
__attribute__((unused)) static struct container *rig_add(struct rig *rig, const char *child)
{
	struct container *container;

	CHECK(rig->n_containers < RIG_CONTAINERS);
	if (child)
		CHECK_INT(cgroup_tree_mkdir(&rig->tree, child), 0);
	container = rig_describe(rig, child);
	rig->containers[rig->n_containers++] = container;
	CHECK(sampler_add(rig->sampler, container) >= 0);
	return container;
}

__attribute__((unused)) static void sleep_ms(unsigned ms)
{
	nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

#endif
