/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What tasks.bpf.c tells about a process; sums are over all of its threads, ended ones too. */
#ifndef EBB_BPF_TASKS_H
#define EBB_BPF_TASKS_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#define EBB_COMM_MAX 16

enum ebb_process_flags {
	EBB_PROCESS_ENDED = 1 << 0,  /* from the ring buffer: the numbers are final */
	EBB_PROCESS_KERNEL = 1 << 1, /* a kernel thread; never in a container */
	/* Threads of it were ending whenever it was looked at: sums are not to be used. */
	EBB_PROCESS_UNSTEADY = 1 << 2,
};

struct ebb_process {
	__u32 pid;   /* in the initial namespace */
	__u32 flags; /* enum ebb_process_flags */
	/* CLOCK_MONOTONIC; tells a process from an earlier one of that pid. Kept by exec. */
	__u64 start_ns;
	__u64 container_id; /* struct container's id; 0: in none */
	__u32 slot;
	__u32 threads;
	__u64 runtime_ns; /* exact; the next two are counted by ticks and only give the ratio */
	__u64 utime_ns;
	__u64 stime_ns;
	__u64 read_bytes; /* as /proc/PID/io */
	__u64 write_bytes;
	__u64 rss_pages; /* 0: it has no memory of its own (any more) */
	__u64 vm_pages;
	char comm[EBB_COMM_MAX];
};

#endif
