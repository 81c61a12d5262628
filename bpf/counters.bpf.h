/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Reading a cgroup's counters, the same for all programs that sample. With EBB_PLAIN_LOADS each
 * read is one load instruction (bpf_rdonly_cast(), Linux 6.2); without, a bpf_probe_read_kernel().
 *
 * Pointers arrive as plain addresses. The caller is inside an RCU read section and found them
 * through a live cgroup, so what they point to cannot have been freed.
 */
#ifndef EBB_COUNTERS_BPF_H
#define EBB_COUNTERS_BPF_H

#include "kernel.bpf.h"
#include "ebb/sample.h"
#include "sampler.h"

#ifdef EBB_PLAIN_LOADS
#define at_address(type, address) \
	((type *)bpf_rdonly_cast((void *)(address), bpf_core_type_id_kernel(type)))
#define get(ptr, field) ((ptr)->field)
#else
#define at_address(type, address) ((type *)(address))
#define get(ptr, field)           BPF_CORE_READ(ptr, field)
#endif

/*
 * for (i = 0; i < n; i++), with a body that the verifier looks at a few times and not n times,
 * which would exceed its limit on hosts with many CPUs or in loops within loops. A call per turn,
 * so short loops over a constant stay plain. Kernels without the iterator sample by walk.bpf.c,
 * where nothing loops around these.
 */
#ifdef EBB_PLAIN_LOADS
static __always_inline int next_below(struct bpf_iter_num *it)
{
	int *next = bpf_iter_num_next(it);

	return next ? *next : -1;
}

static __always_inline void end_below(struct bpf_iter_num *it)
{
	bpf_iter_num_destroy(it);
}

#define for_below(i, n)                                                     \
	for (struct bpf_iter_num turns __attribute__((cleanup(end_below))), \
	     *started = (bpf_iter_num_new(&turns, 0, (n)), &turns);         \
	     (i = next_below(started)) >= 0;)
#else
#define for_below(i, n) for (i = 0; i < (int)(n); i++)
#endif

const volatile struct ebb_host host;
struct ebb_cpu cpus[EBB_MAX_CPUS]; /* the first host.n_cpus are used */

#define HAS(what)   (!(host.missing & (1U << (what))))
#define ON_V2(what) (host.v2 & (1U << (what)))
/* A v1 cpuacct hierarchy has the CPU time; without one the cpu hierarchy is asked. */
#define CPUACCT_COUNTS (HAS(EBB_HELD_CPUACCT) && !ON_V2(EBB_HELD_CPUACCT))

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} percpu_probe SEC(".maps");

static __always_inline u64 load_u64(u64 address)
{
	return get(at_address(struct kernel_cpustat, address), cpustat[0]);
}

/*
 * Completes `cpus`, whose ids user space has set. bpf_per_cpu_ptr() wants a type tag that BTF from
 * gcc does not carry, and __per_cpu_offset is no exported symbol; but the address of a per-CPU
 * map's element, less the address before the offset, is what we need.
 */
static __always_inline void find_percpu_offsets(void)
{
	/* Stored in a map and loaded again, a pointer has become a number to the verifier. */
	volatile struct ebb_cpu *number = &cpus[EBB_MAX_CPUS - 1];
	u64 base;
	u32 zero = 0;

	number->offset = (u64)&percpu_probe;
	base = load_u64(number->offset + bpf_core_field_offset(struct bpf_array, pptrs));
	for (u32 i = 0; i < host.n_cpus && i < EBB_MAX_CPUS; i++) {
		number->offset = (u64)bpf_map_lookup_percpu_elem(&percpu_probe, &zero, cpus[i].id);
		cpus[i].offset = number->offset - base;
	}
}

#define FEW_CPUS 32

static __always_inline u64 cpuacct_of(u64 cpuusage, u32 cpu)
{
	return cpu < EBB_MAX_CPUS ? load_u64(cpuusage + cpus[cpu].offset) : 0;
}

/* What cpuacct.usage shows: all scheduling classes, children included. */
static __always_inline u64 read_cpuacct(u64 cpuusage)
{
	u64 sum = 0;
	int cpu;

	if (host.n_cpus <= FEW_CPUS) {
		for (cpu = 0; cpu < (int)host.n_cpus; cpu++)
			sum += cpuacct_of(cpuusage, cpu);
		return sum;
	}
	for_below(cpu, host.n_cpus)
		sum += cpuacct_of(cpuusage, cpu);
	return sum;
}

static __always_inline u64 group_runtime_of(u64 se, u32 cpu)
{
	u64 entity = cpu < EBB_MAX_CPUS ? load_u64(se + sizeof(void *) * cpus[cpu].id) : 0;

	return entity ? get(at_address(struct sched_entity, entity), sum_exec_runtime) : 0;
}

/* Time that the group ran under the fair scheduler, children included; no flush needed. */
static __always_inline u64 read_group_runtime(u64 se)
{
	u64 sum = 0;
	int cpu;

	if (host.n_cpus <= FEW_CPUS) {
		for (cpu = 0; cpu < (int)host.n_cpus; cpu++)
			sum += group_runtime_of(se, cpu);
		return sum;
	}
	for_below(cpu, host.n_cpus)
		sum += group_runtime_of(se, cpu);
	return sum;
}

/* What of the record became valid: kernels without CONFIG_CFS_BANDWIDTH have none of it. */
static __always_inline u32 read_bandwidth(u64 task_group, struct ebb_sample *record)
{
	struct task_group *tg = at_address(struct task_group, task_group);

	if (!bpf_core_field_exists(struct cfs_bandwidth, quota))
		return 0;

	record->quota_ns = get(tg, cfs_bandwidth.quota);
	record->period_ns = get(tg, cfs_bandwidth.period);
	record->nr_periods = get(tg, cfs_bandwidth.nr_periods);
	record->nr_throttled = get(tg, cfs_bandwidth.nr_throttled);
	record->throttled_ns = get(tg, cfs_bandwidth.throttled_time);
	return EBB_VALID_BANDWIDTH;
}

/* Has some CPU's share of the group used up what the period had? */
static __always_inline bool is_throttled(u64 task_group)
{
	u64 head = task_group +
		   bpf_core_field_offset(struct task_group, cfs_bandwidth.throttled_cfs_rq);

	return load_u64(head) != head;
}

#define LRU_INACTIVE_FILE 2 /* in every kernel since 2.6.28 */
#define NR_LRU_LISTS      5
#define MAX_ZONES         6

#define NR_GENERATIONS 4 /* MAX_NR_GENS, and file pages come second of two: since Linux 6.1 */

/*
 * Where the multi-generational LRU is on (Debian from 13, Fedora, Arch; it can be switched at any
 * time) the lists are empty and their sizes 0. All generations but the two youngest are what it
 * shows as inactive.
 */
static __always_inline u64 read_old_generations(u64 node)
{
	struct mem_cgroup_per_node *per_node = at_address(struct mem_cgroup_per_node, node);
	u64 sizes, youngest, pages = 0;
	u32 zones;

	if (!bpf_core_field_exists(struct mem_cgroup_per_node, lruvec.lrugen.nr_pages) ||
	    !get(per_node, lruvec.lrugen.enabled))
		return 0;
	youngest = get(per_node, lruvec.lrugen.max_seq);
	sizes = node + bpf_core_field_offset(struct mem_cgroup_per_node, lruvec.lrugen.nr_pages);
	zones = bpf_core_field_size(struct mem_cgroup_per_node, lruvec.lrugen.nr_pages) /
		(NR_GENERATIONS * 2 * sizeof(long));
	for (u32 age = 2; age < NR_GENERATIONS; age++) {
		u32 generation = (youngest - age) % NR_GENERATIONS;

		for (u32 zone = 0; zone < MAX_ZONES && zone < zones; zone++)
			if (host.zones & (1U << zone))
				pages += load_u64(sizes +
						  sizeof(long) *
							  ((generation * 2 + 1) * zones + zone));
	}
	/* Counts of one generation may be below 0 for a moment. */
	return (s64)pages > 0 ? pages : 0;
}

/*
 * Pages of inactive file cache. Of a leaf the LRU lists' own sizes, exact at once. A cgroup with
 * children (dying ones too: their cache stays charged) would need a walk, so the kernel's sum is
 * taken, which it freshens every 2 s; NR_INACTIVE_FILE is the third memcg statistic in all kernels.
 */
static __always_inline u64 read_inactive_file(struct mem_cgroup *memcg, bool leaf)
{
	u64 pages = 0, vmstats;

	if (!leaf) {
		vmstats = (u64)get(memcg, vmstats);
		return get(at_address(struct memcg_vmstats, vmstats), state[2]);
	}

	for (u32 i = 0; i < host.n_nodes && i < EBB_MAX_NODES; i++) {
		u64 node =
			load_u64((u64)memcg + bpf_core_field_offset(struct mem_cgroup, nodeinfo) +
				 sizeof(void *) * host.nodes[i]);
		u64 sizes = node + bpf_core_field_offset(struct mem_cgroup_per_node, lru_zone_size);

		for (u32 zone = 0; zone < MAX_ZONES; zone++)
			if (host.zones & (1U << zone))
				pages += load_u64(sizes + sizeof(long) * (zone * NR_LRU_LISTS +
									  LRU_INACTIVE_FILE));
		pages += read_old_generations(node);
	}
	return pages;
}

static __always_inline void read_memory(u64 mem_cgroup, bool leaf, struct ebb_sample *record)
{
	struct mem_cgroup *memcg = at_address(struct mem_cgroup, mem_cgroup);
	u32 kill = bpf_core_enum_value(enum memcg_memory_event, MEMCG_OOM_KILL);
	u64 charged = get(memcg, memory.usage.counter);
	u64 limit = get(memcg, memory.max);
	u64 inactive;

	record->oom_kills = get(memcg, memory_events[kill].counter);
	inactive = read_inactive_file(memcg, leaf);
	record->mem_charged = charged << host.page_shift;
	/* PAGE_COUNTER_MAX: no limit. */
	record->mem_limit =
		limit >= (~0ULL >> 1 >> host.page_shift) ? EBB_UNLIMITED : limit << host.page_shift;
	/* The two are counted apart and may disagree for a moment. */
	record->mem_working_set = inactive < charged ? (charged - inactive) << host.page_shift : 0;
}

#define MAX_DISKS 64

/*
 * v2: sums over devices, as of the last flush. Queues without mq_ops hand their bios on (dm, md),
 * and the disk below counts them again.
 */
static __always_inline void read_block_io(u64 blkcg_address, struct ebb_sample *record)
{
	u64 node = (u64)get(at_address(struct blkcg, blkcg_address), blkg_list.first);
	u64 read_bytes = 0, write_bytes = 0, read_ops = 0, write_ops = 0;
	int disk;

	for_below(disk, MAX_DISKS) {
		u64 outer = node - bpf_core_field_offset(struct blkcg_gq, blkcg_node), queue;
		struct blkcg_gq *blkg;

		if (!node)
			break;
		blkg = at_address(struct blkcg_gq, outer);
		queue = (u64)get(blkg, q);
		if (get(at_address(struct request_queue, queue), mq_ops)) {
			read_bytes += get(blkg, iostat.cur.bytes[0]);
			write_bytes += get(blkg, iostat.cur.bytes[1]);
			read_ops += get(blkg, iostat.cur.ios[0]);
			write_ops += get(blkg, iostat.cur.ios[1]);
		}
		node = (u64)get(blkg, blkcg_node.next);
	}
	record->read_bytes = read_bytes;
	record->write_bytes = write_bytes;
	record->read_ops = read_ops;
	record->write_ops = write_ops;
}

/*
 * Readers of the shared mapping see an odd `seq` while the rest changes. Stores are not reordered
 * on x86; elsewhere an atomic with a result is a full barrier, which the JIT has to keep.
 */
static __always_inline void record_step(struct ebb_sample *record)
{
#ifdef __TARGET_ARCH_x86
	barrier();
	*(volatile u32 *)&record->seq = record->seq + 1;
	barrier();
#else
	u32 old = __sync_fetch_and_add(&record->seq, 1);

	asm volatile("" : : "r"(old) : "memory");
#endif
}

#endif
