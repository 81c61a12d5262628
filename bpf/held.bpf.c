/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The held sampler (Linux 6.4): references to the cgroups of every container stay in held_slots;
 * one run of sample_held() reads them all, without a walk, a lock or a lookup.
 *
 * What a sweep costs is cache misses, so a slot also keeps the addresses of the controllers' own
 * structures: all loads for a container then depend on one cache line only and the processor has
 * them under way together. On v1 these live until rmdir, when release_cgroup() clears them before
 * the kernel may free anything. On v2 a controller can be switched off below a living cgroup, so
 * there the cgroup is asked each time.
 */
#define EBB_PLAIN_LOADS
#include "counters.bpf.h"
#include "maps.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct held_slot {
	struct cgroup __kptr *cgroup[EBB_HELD_MAX];
	u64 task_group; /* addresses; 0: none */
	u64 cpu_time;   /* cpuacct's per-CPU counter */
	u64 memcg;
	u64 unused; /* to a cache line's size */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct held_slot);
} held_slots SEC(".maps");

/* Arguments and results of the programs that user space runs, one at a time. */
__u32 arg_slot, arg_index;
__u64 held_id;       /* by hold_cgroup(): the cgroup's id; untouched when it is dead */
__u32 used_slots;    /* highest used + 1 */
__u32 flush_for_cpu; /* by sample_held(): slots whose CPU time is only as fresh as the last flush */

/* By watch_held(): so many, in these slots, and what was found. */
__u32 n_watched;
__u32 watched_slots[EBB_MAX_WATCHED];
struct ebb_watch watched[EBB_MAX_WATCHED];

/* A kptr is reached by a constant offset only, hence the switch. */
static __always_inline struct cgroup *exchange(struct held_slot *slot, u32 index,
					       struct cgroup *with)
{
	switch (index) {
	case EBB_HELD_CPU: return bpf_kptr_xchg(&slot->cgroup[EBB_HELD_CPU], with);
	case EBB_HELD_CPUACCT: return bpf_kptr_xchg(&slot->cgroup[EBB_HELD_CPUACCT], with);
	case EBB_HELD_MEMORY: return bpf_kptr_xchg(&slot->cgroup[EBB_HELD_MEMORY], with);
	default: return bpf_kptr_xchg(&slot->cgroup[EBB_HELD_IO], with);
	}
}

static __always_inline void forget_addresses(struct held_slot *slot, u32 index)
{
	if (host.at[EBB_HELD_CPU] == index)
		slot->task_group = 0;
	if (host.at[EBB_HELD_CPUACCT] == index)
		slot->cpu_time = 0;
	if (host.at[EBB_HELD_MEMORY] == index)
		slot->memcg = 0;
}

SEC("syscall")
int setup_percpu(void *ctx)
{
	find_percpu_offsets();
	return 0;
}

/*
 * Attached to one cgroup at a time. The iterator holds cgroup_mutex and skips dead cgroups, and
 * rmdir holds it too: no reference can be taken after release_cgroup() ran for it.
 */
SEC("iter/cgroup")
int hold_cgroup(struct bpf_iter__cgroup *ctx)
{
	struct cgroup *cgrp = ctx->cgroup, *old;
	u32 key = arg_slot, index = arg_index;
	struct held_slot *slot;
	u64 css;

	slot = bpf_map_lookup_elem(&held_slots, &key);
	if (!cgrp || !slot)
		return 0;

	if (HAS(EBB_HELD_CPU) && host.at[EBB_HELD_CPU] == index)
		slot->task_group = (u64)cgrp->subsys[subsys_id(cpu)];
	if (CPUACCT_COUNTS && host.at[EBB_HELD_CPUACCT] == index) {
		css = (u64)cgrp->subsys[subsys_id(cpuacct)];
		slot->cpu_time = css ? (u64)at_address(struct cpuacct, css)->cpuusage : 0;
	}
	if (HAS(EBB_HELD_MEMORY) && host.at[EBB_HELD_MEMORY] == index)
		slot->memcg = (u64)cgrp->subsys[subsys_id(memory)];
	held_id = cgrp->kn->id;

	cgrp = bpf_cgroup_acquire(cgrp);
	if (!cgrp)
		return 0;
	old = exchange(slot, index, cgrp);
	if (old)
		bpf_cgroup_release(old);
	return 0;
}

/* A removed cgroup is let go at once, or dead ones pile up. Runs under cgroup_mutex, before any of
 * its controllers' structures is freed. */
SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(release_cgroup, struct cgroup *cgrp)
{
	struct ebb_cgroup_place *place = find_place(cgrp);
	struct held_slot *slot;
	struct cgroup *old;
	u32 key;

	if (!place)
		return 0;
	key = place->slot;
	slot = bpf_map_lookup_elem(&held_slots, &key);
	if (!slot)
		return 0;
	forget_addresses(slot, place->index);
	old = exchange(slot, place->index, NULL);
	if (old)
		bpf_cgroup_release(old);
	return 0;
}

SEC("syscall")
int release_slot(void *ctx)
{
	u32 key = arg_slot;
	struct held_slot *slot = bpf_map_lookup_elem(&held_slots, &key);

	if (!slot)
		return 0;
	for (u32 index = 0; index < EBB_HELD_MAX; index++) {
		struct cgroup *old;

		forget_addresses(slot, index);
		old = exchange(slot, index, NULL);
		if (old)
			bpf_cgroup_release(old);
	}
	return 0;
}

static __always_inline void sample_cpu(struct held_slot *slot, struct ebb_sample *record,
				       u32 *valid)
{
	struct cgroup *cgrp;
	u64 tg = 0, se;

	if (CPUACCT_COUNTS && slot->cpu_time) {
		record->cpu_ns = read_cpuacct(slot->cpu_time);
		*valid |= EBB_VALID_CPU;
	}
	if (!HAS(EBB_HELD_CPU))
		return;

	if (!ON_V2(EBB_HELD_CPU)) {
		tg = slot->task_group;
	} else {
		cgrp = slot->cgroup[EBB_HELD_CPU];
		if (!cgrp)
			return;
		tg = (u64)cgrp->subsys[subsys_id(cpu)];
		if (host.cpu_by_flush || (!tg && !CPUACCT_COUNTS)) {
			record->cpu_ns = cgrp->bstat.cputime.sum_exec_runtime;
			*valid |= EBB_VALID_CPU;
			flush_for_cpu++;
		}
	}
	if (!tg)
		return;
	*valid |= read_bandwidth(tg, record);
	if (CPUACCT_COUNTS || host.cpu_by_flush)
		return;
	se = (u64)at_address(struct task_group, tg)->se;
	if (se) {
		record->cpu_ns = read_group_runtime(se);
		*valid |= EBB_VALID_CPU;
	}
}

#define held(slot, what)                                                        \
	(host.at[what] == EBB_HELD_CPU       ? (slot)->cgroup[EBB_HELD_CPU]     \
	 : host.at[what] == EBB_HELD_CPUACCT ? (slot)->cgroup[EBB_HELD_CPUACCT] \
	 : host.at[what] == EBB_HELD_MEMORY  ? (slot)->cgroup[EBB_HELD_MEMORY]  \
					     : (slot)->cgroup[EBB_HELD_IO])

static __always_inline void sample_memory(struct held_slot *slot, struct ebb_sample *record,
					  u32 *valid)
{
	struct cgroup *cgrp;
	u64 memcg;

	if (!HAS(EBB_HELD_MEMORY))
		return;
	cgrp = held(slot, EBB_HELD_MEMORY);
	if (!cgrp)
		return;
	memcg = ON_V2(EBB_HELD_MEMORY) ? (u64)cgrp->subsys[subsys_id(memory)] : slot->memcg;
	if (!memcg)
		return;
	read_memory(memcg, !cgrp->nr_descendants && !cgrp->nr_dying_descendants, record);
	*valid |= EBB_VALID_MEM | EBB_VALID_WORKING_SET | EBB_VALID_OOM;
}

static __always_inline void sample_io(struct held_slot *slot, u32 key, struct ebb_sample *record,
				      u32 *valid)
{
	/* Counted by slot, but a container may lack the cgroup that it would be counted for. */
	if (host.io_traced && held(slot, EBB_HELD_IO)) {
		struct ebb_io_count *count = bpf_map_lookup_elem(&io_counts, &key);

		if (!count)
			return;
		record->read_bytes = count->read_bytes;
		record->write_bytes = count->write_bytes;
		record->read_ops = count->read_ops;
		record->write_ops = count->write_ops;
		*valid |= EBB_VALID_IO;
	} else if (!host.io_traced && HAS(EBB_HELD_IO) && ON_V2(EBB_HELD_IO)) {
		struct cgroup *cgrp = held(slot, EBB_HELD_IO);
		u64 blkcg = cgrp ? (u64)cgrp->subsys[subsys_id(io)] : 0;

		if (!blkcg)
			return;
		read_block_io(blkcg, record);
		*valid |= EBB_VALID_IO;
	}
}

/*
 * Global, so that the verifier looks at it by itself: inside the loop it takes 2 s to see that
 * every way through is as good as the last.
 */
__noinline int sample_slot(u32 key, u64 now)
{
	struct held_slot *slot = bpf_map_lookup_elem(&held_slots, &key);
	struct ebb_sample *record = bpf_map_lookup_elem(&samples, &key);
	u32 valid = 0;

	if (!slot || !record || !record->id)
		return 0;
	record_step(record);
	bpf_rcu_read_lock();
	sample_cpu(slot, record, &valid);
	sample_memory(slot, record, &valid);
	sample_io(slot, key, record, &valid);
	bpf_rcu_read_unlock();
	record->at_ns = now;
	record->valid = valid;
	record_step(record);
	return 0;
}

/*
 * The clock is read once for so many slots, as reading it waits for all loads under way. At 0.4 us
 * a slot the last one's time is 6 us off; with many CPUs to sum over it would be more, so not
 * there.
 */
#define SLOTS_PER_TIMESTAMP (host.n_cpus <= FEW_CPUS ? 16 : 1)

SEC("syscall")
int sample_held(void *ctx)
{
	u64 now = 0;
	int slot;

	flush_for_cpu = 0;
	for_below(slot, used_slots) {
		if (slot % SLOTS_PER_TIMESTAMP == 0)
			now = bpf_ktime_get_ns();
		sample_slot(slot, now);
	}
	return 0;
}

/*
 * Every 10 ms, of those that may grow: what a sweep needs for a decision about all else is not
 * read. `throttled` is known at once, not only when the period has ended.
 */
__noinline int watch_slot(u32 i, u64 now)
{
	struct ebb_watch *watch;
	struct held_slot *slot;
	u32 key, valid = 0;
	u64 tg;

	if (i >= EBB_MAX_WATCHED)
		return 0;
	watch = &watched[i];
	key = watched_slots[i];
	slot = bpf_map_lookup_elem(&held_slots, &key);
	if (!slot)
		return 0;
	bpf_rcu_read_lock();
	tg = slot->task_group;
	if (HAS(EBB_HELD_CPU) && ON_V2(EBB_HELD_CPU)) {
		struct cgroup *cgrp = slot->cgroup[EBB_HELD_CPU];

		tg = cgrp ? (u64)cgrp->subsys[subsys_id(cpu)] : 0;
	}
	watch->throttled = 0;
	if (tg) {
		valid |= read_bandwidth(tg, &watch->sample);
		if (valid)
			watch->throttled = is_throttled(tg);
	}
	sample_memory(slot, &watch->sample, &valid);
	bpf_rcu_read_unlock();
	watch->sample.at_ns = now;
	watch->sample.valid = valid;
	return 0;
}

SEC("syscall")
int watch_held(void *ctx)
{
	u64 now = bpf_ktime_get_ns();
	int i;

	for_below(i, n_watched)
		watch_slot(i, now);
	return 0;
}
