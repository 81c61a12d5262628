/* SPDX-License-Identifier: Apache-2.0 */
#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "sampler_ops.h"
#include "ebb/util.h"

static int held_start(struct sampler *sampler)
{
	sampler->bpf->held->bss->flush_for_cpu = 1; /* nothing is fresh yet */
	return 0;
}

static void held_stop(struct sampler *sampler)
{
	sampler->bpf->held->bss->used_slots = 0;
	sampler->bpf->held->bss->n_watched = 0;
}

static void held_drop(struct sampler *sampler, unsigned slot)
{
	struct held_bpf *held = sampler->bpf->held;

	held->bss->arg_slot = slot;
	bpf_run(held->progs.release_slot);
}

/* A cgroup that died meanwhile is skipped by the iterator: held_id stays 0. */
static int hold(struct held_bpf *held, int cgroup_fd)
{
	_cleanup_close_ int link = -1;
	int r;

	held->bss->held_id = 0;
	link = bpf_attach_cgroup_iter(held->progs.hold_cgroup, cgroup_fd,
				      BPF_CGROUP_ITER_SELF_ONLY);
	if (link < 0)
		return link == -EBADF ? -ENOENT : link; /* EBADF: a dead cgroup's directory */
	r = bpf_run_iter(link);
	if (r < 0)
		return r;
	return held->bss->held_id ? 0 : -ENOENT;
}

static int held_take(struct sampler *sampler, const struct container *container, unsigned slot)
{
	const struct ebb_host *host = &sampler->bpf->host;
	struct held_bpf *held = sampler->bpf->held;
	const struct hierarchies *hierarchies = sampler->hierarchies;

	held_drop(sampler, slot);
	for (unsigned what = 0; what < EBB_HELD_MAX; what++) {
		enum cgroup_controller controller = held_controller(what);
		int fd = container->dir_fds[controller], r;

		if (host->at[what] != what || (host->missing & (1U << what)) || fd < 0)
			continue;
		held->bss->arg_slot = slot;
		held->bss->arg_index = what;
		r = hold(held, fd);
		/* On v1 one of several may have gone already; its fields become invalid. */
		if (r == -ENOENT && hierarchies->by_controller[controller].shared !=
					    hierarchies->by_controller[hierarchies->primary].shared)
			continue;
		if (r < 0) {
			held_drop(sampler, slot);
			return r == -ENOENT
				       ? r
				       : log_full(LOG_LEVEL_DEBUG, r,
						  "cannot hold the cgroup of %s", container->name);
		}
	}
	held->bss->used_slots = sampler->high;
	held->bss->flush_for_cpu = 1;
	return 0;
}

static int held_sweep(struct sampler *sampler)
{
	struct held_bpf *held = sampler->bpf->held;

	held->bss->used_slots = sampler->high;
	bpf_flush(sampler->bpf, held->bss->flush_for_cpu > 0);
	return bpf_run(held->progs.sample_held);
}

static int held_watch(struct sampler *sampler, const int *slots, size_t n)
{
	struct held_bpf *held = sampler->bpf->held;

	n = MIN(n, (size_t)EBB_MAX_WATCHED);
	for (size_t i = 0; i < n; i++) {
		held->bss->watched_slots[i] = (unsigned)slots[i];
		held->bss->watched[i] = (struct ebb_watch){
			.sample.id = sampler->samples[slots[i]].id,
		};
	}
	held->bss->n_watched = (unsigned)n;
	return (int)n;
}

static int held_look(struct sampler *sampler)
{
	return bpf_run(sampler->bpf->held->progs.watch_held);
}

static bool held_watched(const struct sampler *sampler, size_t i, struct ebb_sample *ret_sample,
			 bool *ret_throttled)
{
	const struct held_bpf *held = sampler->bpf->held;
	const struct ebb_watch *watch;

	if (i >= held->bss->n_watched)
		return false;
	/* Written by the program only while this thread runs it. */
	watch = (const struct ebb_watch *)&held->bss->watched[i];
	if (!watch->sample.at_ns)
		return false;
	*ret_sample = watch->sample;
	*ret_throttled = watch->throttled;
	return true;
}

const struct sampler_ops sampler_held_ops = {
	.name = "held",
	.start = held_start,
	.stop = held_stop,
	.take = held_take,
	.drop = held_drop,
	.sweep = held_sweep,
	.watch = held_watch,
	.look = held_look,
	.watched = held_watched,
};
