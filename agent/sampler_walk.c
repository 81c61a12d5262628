/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "sampler_ops.h"

struct walk {
	int links[EBB_HELD_MAX]; /* to the hierarchies' roots */
	unsigned n;
};

static int walk_start(struct sampler *sampler)
{
	const struct ebb_host *host = &sampler->bpf->host;
	struct walk *walk = calloc(1, sizeof(*walk));

	if (!walk)
		return -ENOMEM;
	sampler->own = walk;
	for (unsigned what = 0; what < EBB_HELD_MAX; what++) {
		int root = sampler->hierarchies->by_controller[held_controller(what)].root_fd;
		int link;

		if (host->at[what] != what || (host->missing & (1U << what)))
			continue;
		if (what == EBB_HELD_IO && !(host->v2 & (1U << what)))
			continue;
		link = bpf_attach_cgroup_iter(sampler->bpf->walk->progs.sample_walk, root,
					      BPF_CGROUP_ITER_DESCENDANTS_PRE);
		if (link < 0)
			return log_error_errno(
				link, "cannot walk the cgroups below %s",
				sampler->hierarchies->by_controller[held_controller(what)].mount);
		walk->links[walk->n++] = link;
	}
	sampler->bpf->walk->bss->flush_for_cpu = 1;
	return 0;
}

static void walk_stop(struct sampler *sampler)
{
	struct walk *walk = sampler->own;

	for (unsigned i = 0; walk && i < walk->n; i++)
		close(walk->links[i]);
	free(walk);
}

/*
 * The record and the keys are all that the program asks for. It writes what the cgroups that it
 * meets have: the fields of one that has gone are for us to clear.
 */
static int walk_take(struct sampler *sampler, const struct container *container, unsigned slot)
{
	static const uint32_t groups[EBB_HELD_MAX] = {
		[EBB_HELD_CPU] = EBB_VALID_BANDWIDTH,
		[EBB_HELD_CPUACCT] = EBB_VALID_CPU,
		[EBB_HELD_MEMORY] = EBB_VALID_MEM | EBB_VALID_WORKING_SET | EBB_VALID_OOM,
		[EBB_HELD_IO] = EBB_VALID_IO,
	};
	const struct ebb_host *host = &sampler->bpf->host;
	struct ebb_sample *sample = &sampler->samples[slot];
	uint32_t gone = 0;

	/* Without cpuacct the CPU time is the cpu controller's. */
	for (unsigned what = 0; what < EBB_HELD_MAX; what++) {
		if (!(host->missing & (1U << what)) && !sampler->keys[slot][host->at[what]].id)
			gone |= groups[what];
	}
	if (!(sample->valid & gone))
		return 0;
	sample_step(sample);
	sample->valid &= ~gone;
	sample_step(sample);
	return 0;
}

static void walk_drop(struct sampler *sampler, unsigned slot)
{
}

static int walk_sweep(struct sampler *sampler)
{
	struct walk_bpf *program = sampler->bpf->walk;
	struct walk *walk = sampler->own;
	int r = 0;

	bpf_flush(sampler->bpf, program->bss->flush_for_cpu > 0);
	program->bss->flush_for_cpu = 0;
	for (unsigned i = 0; i < walk->n && r == 0; i++)
		r = bpf_run_iter(walk->links[i]);
	return r;
}

const struct sampler_ops sampler_walk_ops = {
	.name = "walk",
	.start = walk_start,
	.stop = walk_stop,
	.take = walk_take,
	.drop = walk_drop,
	.sweep = walk_sweep,
};
