/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel types that bpf/ reads, and of each only the members that it reads. Offsets are those
 * of the running kernel: every record is preserve_access_index, so libbpf relocates each access by
 * member name, wherever that member has moved (Linux 6.1 and newer are meant). Order and size here
 * mean nothing. Constants (map types, flags) come from the kernel's user headers.
 *
 * Where kernels differ:
 *   - enum values: subsystem numbers depend on the configuration; read them with
 *     bpf_core_enum_value(), never from the numbers below;
 *   - arrays sized by the configuration (zones, CPUs, nodes) are declared with one element, or as
 *     many as are indexed by a constant, and reached by address arithmetic;
 *   - kernfs_node.parent became __parent in 6.15: not read, the parent is found through
 *     cgroup.self.parent;
 *   - mm_struct.rss_stat is a struct mm_rss_stat up to 6.1 and per-CPU counters after it;
 *   - mark_victim passes a pid up to 6.8 and a task after it: two programs, one is loaded.
 */
#ifndef EBB_VMLINUX_H
#define EBB_VMLINUX_H

#include <linux/types.h>
/* Headers of 6.4 and later have this one too; bpf/ declares it by itself, for the others. */
#define bpf_iter_num bpf_iter_num_of_uapi
#include <linux/bpf.h>
#undef bpf_iter_num

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;
typedef __s64 s64;

#define bool  _Bool
#define true  1
#define false 0
#define NULL  ((void *)0)

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	s64 counter;
} atomic_long_t;

/* include/linux/cgroup-defs.h, include/linux/kernfs.h */

enum cgroup_subsys_id {
	cpu_cgrp_id,
	cpuacct_cgrp_id,
	io_cgrp_id,
	memory_cgrp_id,
};

struct kernfs_node {
	u64 id;
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
};

struct task_cputime {
	unsigned long long sum_exec_runtime;
};

struct cgroup_base_stat {
	struct task_cputime cputime;
};

struct cgroup_root {
	int hierarchy_id; /* 0: cgroup v2 */
};

struct cgroup {
	struct cgroup_subsys_state self;
	int level; /* 0: the root */
	int nr_descendants;
	int nr_dying_descendants;
	struct kernfs_node *kn;
	struct cgroup_subsys_state *subsys[16];
	struct cgroup_root *root;
	struct cgroup_base_stat bstat; /* as of the last flush */
};

struct css_set {
	struct cgroup_subsys_state *subsys[16];
	struct cgroup *dfl_cgrp; /* on v2 */
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
	u64 seq_num;
};

struct bpf_iter__cgroup {
	struct bpf_iter_meta *meta;
	struct cgroup *cgroup;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

struct list_head {
	struct list_head *next;
};

/* kernel/sched/sched.h, kernel/sched/cpuacct.c */

struct cfs_bandwidth {
	s64 period;
	u64 quota; /* ~0: none */
	struct list_head throttled_cfs_rq;
	int nr_periods;
	int nr_throttled;
	u64 throttled_time;
};

struct sched_entity {
	u64 sum_exec_runtime;
};

/* include/linux/sched.h, sched/signal.h, task_io_accounting.h */

typedef struct {
	int counter;
} atomic_t;

struct refcount_struct {
	atomic_t refs;
};

struct task_io_accounting {
	u64 read_bytes;
	u64 write_bytes;
};

struct seqcount {
	unsigned int sequence;
};

struct seqcount_spinlock {
	struct seqcount seqcount;
};

typedef struct {
	struct seqcount_spinlock seqcount;
} seqlock_t;

struct signal_struct {
	int nr_threads;
	seqlock_t stats_lock; /* written to while a thread ends */
	struct list_head thread_head;
	u64 utime; /* these: of threads that have ended */
	u64 stime;
	struct task_io_accounting ioac;
	unsigned long long sum_sched_runtime;
};

struct task_struct {
	unsigned int flags;
	int pid;
	int tgid;
	struct sched_entity se;
	struct mm_struct *mm; /* NULL: a kernel thread, or exiting */
	struct list_head thread_node;
	u64 utime;
	u64 stime;
	u64 start_time; /* CLOCK_MONOTONIC */
	char comm[16];
	struct signal_struct *signal;
	struct task_io_accounting ioac;
	struct css_set *cgroups;
};

/* include/linux/mm_types.h, percpu_counter.h */

struct percpu_counter {
	s64 count;
	s32 *counters; /* __percpu */
};

struct mm_struct {
	unsigned long total_vm;
	struct percpu_counter rss_stat[4];
};

struct mm_rss_stat { /* up to 6.1 */
	atomic_long_t count[4];
};

struct mm_struct___before_6_2 {
	struct mm_rss_stat rss_stat;
};

struct task_group {
	struct sched_entity **se; /* per CPU id; NULL for the root */
	struct cfs_bandwidth cfs_bandwidth;
};

struct kernel_cpustat {
	u64 cpustat[1];
};

struct cpuacct {
	u64 *cpuusage; /* __percpu, but BTF made by gcc does not say so */
};

/* include/linux/memcontrol.h, include/linux/page_counter.h */

enum memcg_memory_event {
	MEMCG_OOM_KILL,
};

struct page_counter {
	atomic_long_t usage;
	unsigned long max;
};

/* Called lru_gen_struct up to 6.1. */
struct lru_gen_folio {
	unsigned long max_seq;
	long nr_pages[1]; /* [generation][anon, file][zone], flat in BTF */
	_Bool enabled;
};

struct lruvec {
	struct lru_gen_folio lrugen;
};

struct mem_cgroup_per_node {
	struct lruvec lruvec;
	unsigned long lru_zone_size[1]; /* [zone][LRU list], flat in BTF */
};

struct memcg_vmstats {
	long state[3];
};

struct mem_cgroup {
	struct page_counter memory;
	struct memcg_vmstats *vmstats;
	atomic_long_t memory_events[16];
	struct mem_cgroup_per_node *nodeinfo[1];
};

/* block/blk-cgroup.h, include/linux/blk_types.h */

struct hlist_node {
	struct hlist_node *next;
};

struct hlist_head {
	struct hlist_node *first;
};

struct blkg_iostat {
	u64 bytes[2]; /* read, write; discard is not read here */
	u64 ios[2];
};

struct blkg_iostat_set {
	struct blkg_iostat cur;
};

struct request_queue {
	const void *mq_ops; /* NULL: bios go on to other queues (dm, md) or to RAM */
};

struct blkcg {
	struct cgroup_subsys_state css;
	struct hlist_head blkg_list;
};

struct blkcg_gq {
	struct request_queue *q;
	struct hlist_node blkcg_node;
	struct blkcg *blkcg;
	struct blkg_iostat_set iostat;
};

struct gendisk {
	struct request_queue *queue;
};

struct block_device {
	struct gendisk *bd_disk;
};

struct bvec_iter {
	unsigned int bi_size;
};

struct bio {
	struct block_device *bi_bdev;
	unsigned int bi_opf;
	struct bvec_iter bi_iter;
	struct blkcg_gq *bi_blkg;
};

/* include/linux/bpf.h */

struct bpf_array {
	void *pptrs[1];
};

#pragma clang attribute pop

#endif
