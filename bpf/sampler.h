/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the sampler's programs and user space share, beside the record itself (ebb/sample.h). */
#ifndef EBB_BPF_SAMPLER_H
#define EBB_BPF_SAMPLER_H

#include "ebb/sample.h"

/* Cgroup ids are unique within one hierarchy only: every v1 root is 1. */
struct ebb_cgroup_key {
	__u64 id;
	__u32 hierarchy_id; /* as in /proc/self/cgroup; 0: v2 */
	__u32 unused;       /* 0 */
};

/* Which container a cgroup belongs to. */
struct ebb_cgroup_place {
	__u64 container_id; /* id in the primary hierarchy */
	__u32 slot;
	__u16 index;  /* enum ebb_held: which of the slot's references is this cgroup's */
	__u16 has_io; /* the container has a cgroup for I/O */
};

/* I/O of a container where cgroup v1 does not count it. */
struct ebb_io_count {
	__u64 read_bytes;
	__u64 write_bytes;
	__u64 read_ops;
	__u64 write_ops;
};

/* A container's cgroups: on v2 all four are one, on v1 up to four. */
enum ebb_held { EBB_HELD_CPU, EBB_HELD_CPUACCT, EBB_HELD_MEMORY, EBB_HELD_IO, EBB_HELD_MAX };

#define EBB_MAX_CPUS  4096
#define EBB_MAX_NODES 64
/* A cgroup deeper than this below a container is not traced back to it. */
#define EBB_MAX_DEPTH 32

/* What the host is like: set before load, constants to the verifier. */
struct ebb_host {
	__u32 n_cpus; /* possible ones */
	__u32 n_nodes;
	__u32 nodes[EBB_MAX_NODES]; /* ids of those with memory */
	__u32 zones;                /* bit per memory zone that has pages on any node */
	__u32 page_shift;
	__u32 at[EBB_HELD_MAX]; /* which reference serves cpu, cpuacct, memory, io */
	__u32 v2;               /* bit per enum ebb_held: that controller is on v2 */
	__u32 missing;          /* bit per enum ebb_held: the host has no such controller */
	__u32 cpu_by_flush;     /* v2: CPU time is the cgroup's own sum, as of the last flush */
	__u32 io_traced;        /* block_io.bpf.c counts (v1) */
};

/* So many containers are looked at between two sweeps: 140 KiB, touched as far as they are used. */
#define EBB_MAX_WATCHED 1024

/* What tells that a container is short of something now. */
struct ebb_watch {
	struct ebb_sample sample; /* without CPU time and I/O; `seq` is not used */
	__u32 throttled;          /* some of it waits for the next period at this moment */
	__u32 unused;
};

/* One possible CPU. */
struct ebb_cpu {
	__u64 offset; /* of its per-CPU area */
	__u32 id;
	__u32 unused;
};

#endif
