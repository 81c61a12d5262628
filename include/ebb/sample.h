/* SPDX-License-Identifier: Apache-2.0 OR BSD-2-Clause OR GPL-2.0-only */
/*
 * The sample record: one per container and sweep, written by bpf/ (or by agent/sampler_files.c)
 * and read through a shared mapping. 128 bytes, two cache lines: cache misses are what a sweep
 * over a busy host costs, so nothing that a decision does not need every period is in here.
 */
#ifndef EBB_SAMPLE_H
#define EBB_SAMPLE_H

#ifndef __bpf__
#include <linux/types.h>
#endif

/* Field groups of struct ebb_sample. A clear bit: the kernel or the cgroup has no such counter. */
enum ebb_valid {
	EBB_VALID_CPU = 1 << 0,         /* cpu_ns */
	EBB_VALID_BANDWIDTH = 1 << 1,   /* quota_ns .. throttled_ns */
	EBB_VALID_MEM = 1 << 2,         /* mem_charged, mem_limit */
	EBB_VALID_WORKING_SET = 1 << 3, /* mem_working_set */
	EBB_VALID_OOM = 1 << 4,         /* oom_kills */
	EBB_VALID_IO = 1 << 5,          /* read_bytes .. write_ops */
};

/* quota_ns and mem_limit of a cgroup without a limit. */
#define EBB_UNLIMITED (~0ULL)

struct ebb_sample {
	__u64 id;              /* cgroup id in the container's primary hierarchy; 0: free slot */
	__u32 seq;             /* odd while being written; every write changes it */
	__u32 valid;           /* enum ebb_valid */
	__u64 at_ns;           /* CLOCK_MONOTONIC, taken in the kernel beside cpu_ns */
	__u64 cpu_ns;          /* CPU time, children included */
	__u64 quota_ns;        /* per period, or EBB_UNLIMITED */
	__u64 period_ns;       /* CFS bandwidth period */
	__u64 throttled_ns;    /* summed over CPUs, as cpu.stat counts it */
	__u32 nr_periods;      /* wraps: the kernel's own counters are ints */
	__u32 nr_throttled;    /* of those periods */
	__u64 mem_charged;     /* bytes, hierarchical */
	__u64 mem_working_set; /* mem_charged - inactive file cache, never below 0 */
	__u64 mem_limit;       /* bytes, or EBB_UNLIMITED */
	__u64 oom_kills;
	__u64 read_bytes;
	__u64 write_bytes;
	__u64 read_ops;
	__u64 write_ops;
};

_Static_assert(sizeof(struct ebb_sample) == 128, "a sample is two cache lines");

#endif
