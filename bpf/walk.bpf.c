/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The walking sampler (Linux 6.1): visits every cgroup of a hierarchy and fills the records of
 * those that are a container's. On v1 each hierarchy is walked and fills its own fields. Nothing
 * goes to the iterator's own buffer, which ends at 32 KiB. The walk holds cgroup_mutex, so no
 * controller's structure goes away below it.
 */
#include "counters.bpf.h"
#include "maps.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

__u32 flush_for_cpu; /* cgroups whose CPU time is only as fresh as the last flush */

SEC("syscall")
int setup_percpu(void *ctx)
{
	find_percpu_offsets();
	return 0;
}

#define SERVES(index, what) (HAS(what) && host.at[what] == (index))

static __always_inline u32 walk_cpuacct(struct cgroup *cgrp, struct ebb_sample *record)
{
	u64 css = (u64)cgrp->subsys[subsys_id(cpuacct)];

	if (!css)
		return 0;
	record->at_ns = bpf_ktime_get_ns();
	record->cpu_ns = read_cpuacct((u64)get(at_address(struct cpuacct, css), cpuusage));
	return EBB_VALID_CPU;
}

static __always_inline u32 walk_cpu(struct cgroup *cgrp, struct ebb_sample *record)
{
	u64 tg = (u64)cgrp->subsys[subsys_id(cpu)], se;
	u32 valid = 0;

	if (!CPUACCT_COUNTS)
		record->at_ns = bpf_ktime_get_ns();
	if (host.cpu_by_flush || (!tg && ON_V2(EBB_HELD_CPU) && !CPUACCT_COUNTS)) {
		record->cpu_ns = cgrp->bstat.cputime.sum_exec_runtime;
		flush_for_cpu++;
		valid |= EBB_VALID_CPU;
	}
	if (!tg)
		return valid;
	valid |= read_bandwidth(tg, record);
	se = (u64)get(at_address(struct task_group, tg), se);
	if (CPUACCT_COUNTS || host.cpu_by_flush || !se)
		return valid;
	record->cpu_ns = read_group_runtime(se);
	return valid | EBB_VALID_CPU;
}

static __always_inline u32 walk_memory(struct cgroup *cgrp, struct ebb_sample *record)
{
	u64 css = (u64)cgrp->subsys[subsys_id(memory)];

	if (!css)
		return 0;
	read_memory(css, !cgrp->nr_descendants && !cgrp->nr_dying_descendants, record);
	return EBB_VALID_MEM | EBB_VALID_WORKING_SET | EBB_VALID_OOM;
}

static __always_inline u32 walk_io(struct cgroup *cgrp, u32 slot, bool has_io,
				   struct ebb_sample *record)
{
	struct ebb_io_count *count;
	u64 css;

	if (host.io_traced) {
		count = bpf_map_lookup_elem(&io_counts, &slot);
		if (!count || !has_io)
			return 0;
		record->read_bytes = count->read_bytes;
		record->write_bytes = count->write_bytes;
		record->read_ops = count->read_ops;
		record->write_ops = count->write_ops;
		return EBB_VALID_IO;
	}
	css = (u64)cgrp->subsys[subsys_id(io)];
	if (!css || !ON_V2(EBB_HELD_IO))
		return 0;
	read_block_io(css, record);
	return EBB_VALID_IO;
}

SEC("iter/cgroup")
int sample_walk(struct bpf_iter__cgroup *ctx)
{
	struct cgroup *cgrp = ctx->cgroup;
	struct ebb_cgroup_place *place;
	struct ebb_sample *record;
	u32 slot, index, asked = 0, valid = 0;
	bool has_io;

	if (!cgrp)
		return 0;
	place = find_place(cgrp);
	if (!place)
		return 0;
	slot = place->slot;
	index = place->index;
	has_io = place->has_io;
	record = bpf_map_lookup_elem(&samples, &slot);
	if (!record || record->id != place->container_id)
		return 0;

	record_step(record);
	if (CPUACCT_COUNTS && SERVES(index, EBB_HELD_CPUACCT)) {
		asked |= EBB_VALID_CPU;
		valid |= walk_cpuacct(cgrp, record);
	}
	if (SERVES(index, EBB_HELD_CPU)) {
		asked |= EBB_VALID_BANDWIDTH | (CPUACCT_COUNTS ? 0 : EBB_VALID_CPU);
		valid |= walk_cpu(cgrp, record);
	}
	if (SERVES(index, EBB_HELD_MEMORY)) {
		asked |= EBB_VALID_MEM | EBB_VALID_WORKING_SET | EBB_VALID_OOM;
		valid |= walk_memory(cgrp, record);
		if (!HAS(EBB_HELD_CPU) && !CPUACCT_COUNTS)
			record->at_ns = bpf_ktime_get_ns();
	}
	if (SERVES(index, EBB_HELD_IO) || (host.io_traced && SERVES(index, EBB_HELD_CPU))) {
		asked |= EBB_VALID_IO;
		valid |= walk_io(cgrp, slot, has_io, record);
	}
	record->valid = (record->valid & ~asked) | valid;
	record_step(record);
	return 0;
}
