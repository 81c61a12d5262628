/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What each process used, for the series: an iterator over all tasks that user space runs once per
 * interval, and the final numbers of those that ended, by a ring buffer.
 *
 * The end is taken from sched_process_free and not from sched_process_exit: while a process exits
 * its last time slice is not charged yet, which for a child of a millisecond is all it used. When
 * it is freed, at most a grace period later, everything has been added up, threads included.
 */
#include "counters.bpf.h"
#include "maps.bpf.h"
#include "tasks.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define PF_KTHREAD  0x00200000 /* include/linux/sched.h */
#define MAX_THREADS (1 << 22)  /* PID_MAX_LIMIT */
#define TRIES       3          /* to look at a process while none of its threads ends */

/* Numbers of the per-process page counts since Linux 4.5; the enum has no name. */
#define MM_FILEPAGES  0
#define MM_ANONPAGES  1
#define MM_SHMEMPAGES 3

/* Set before load. */
const volatile __u32 primary_v2;    /* containers are named by their cgroup on v2 */
const volatile __u32 primary_index; /* else: EBB_HELD_MEMORY where there is no cpu controller */
const volatile __u32 outside;       /* processes in no container, and kernel threads, count too */
const volatile __u32 plain_loads;   /* the kernel has bpf_rdonly_cast() */

__u64 lost; /* ends of processes that found the buffer full */

/* At 112 bytes a process: room for 9,300 ends between two looks. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1024 * 1024);
} ended SEC(".maps");

#define load(type, address, field)                                                                 \
	(plain_loads ? ((type *)bpf_rdonly_cast((void *)(address), bpf_core_type_id_kernel(type))) \
			       ->field                                                             \
		     : BPF_CORE_READ((type *)(address), field))

SEC("syscall")
int setup_percpu(void *ctx)
{
	find_percpu_offsets();
	return 0;
}

/* Exact, as /proc/PID/statm sums it: the count alone is off by up to 32 pages and more a CPU. */
static __always_inline s64 sum_percpu(u64 counters)
{
	s64 sum = 0;

	for (u32 i = 0; i < host.n_cpus && i < EBB_MAX_CPUS; i++)
		sum += (s32)load(struct refcount_struct, counters + cpus[i].offset, refs.counter);
	return sum;
}

#define rss_counter(mm, which)                               \
	(load(struct mm_struct, mm, rss_stat[which].count) + \
	 sum_percpu((u64)load(struct mm_struct, mm, rss_stat[which].counters)))

static __always_inline void read_mm(u64 mm, struct ebb_process *process)
{
	s64 pages;

	if (bpf_core_type_exists(struct mm_rss_stat)) { /* up to Linux 6.1 */
		struct mm_struct___before_6_2 *old = (void *)mm;

		pages = BPF_CORE_READ(old, rss_stat.count[MM_FILEPAGES].counter) +
			BPF_CORE_READ(old, rss_stat.count[MM_ANONPAGES].counter) +
			BPF_CORE_READ(old, rss_stat.count[MM_SHMEMPAGES].counter);
	} else {
		pages = rss_counter(mm, MM_FILEPAGES) + rss_counter(mm, MM_ANONPAGES) +
			rss_counter(mm, MM_SHMEMPAGES);
	}
	process->rss_pages = pages > 0 ? pages : 0;
	process->vm_pages = load(struct mm_struct, mm, total_vm);
}

struct thread_walk {
	u64 node, end; /* addresses in the list of the process's threads */
	u64 runtime, utime, stime, read_bytes, write_bytes;
	u64 mm; /* of the first thread that has not exited yet */
};

static long add_thread(u32 turn, struct thread_walk *walk)
{
	u64 thread = walk->node - bpf_core_field_offset(struct task_struct, thread_node);

	if (!walk->node || walk->node == walk->end)
		return 1;
	walk->runtime += load(struct task_struct, thread, se.sum_exec_runtime);
	walk->utime += load(struct task_struct, thread, utime);
	walk->stime += load(struct task_struct, thread, stime);
	if (bpf_core_field_exists(struct task_io_accounting, read_bytes)) {
		walk->read_bytes += load(struct task_struct, thread, ioac.read_bytes);
		walk->write_bytes += load(struct task_struct, thread, ioac.write_bytes);
	}
	if (!walk->mm)
		walk->mm = (u64)load(struct task_struct, thread, mm);
	walk->node = (u64)load(struct task_struct, thread, thread_node.next);
	return 0;
}

static __always_inline struct cgroup *cgroup_of(struct task_struct *task)
{
	struct cgroup_subsys_state *css;

	/* The controller's own idea would be that of an ancestor where it is not switched on. */
	if (primary_v2)
		return task->cgroups->dfl_cgrp;
	if (primary_index == EBB_HELD_MEMORY)
		css = task->cgroups->subsys[subsys_id(memory)];
	else
		css = task->cgroups->subsys[subsys_id(cpu)];
	return css ? css->cgroup : NULL;
}

/* False: nobody asked for this one. */
static __always_inline bool find_owner(struct task_struct *task, struct ebb_process *process)
{
	struct ebb_cgroup_place *place = NULL;
	struct cgroup *cgrp;

	process->container_id = 0;
	process->slot = 0;
	process->flags = 0;
	if (task->flags & PF_KTHREAD) {
		process->flags = EBB_PROCESS_KERNEL;
		return outside;
	}
	cgrp = cgroup_of(task);
	if (cgrp)
		place = find_place_above(cgrp);
	if (!place)
		return outside;
	process->container_id = place->container_id;
	process->slot = place->slot;
	return true;
}

static __always_inline void identify(struct task_struct *task, struct ebb_process *process)
{
	process->pid = task->tgid;
	process->start_ns = task->start_time;
	__builtin_memcpy(process->comm, task->comm, sizeof(process->comm));
}

/* Sets the sums; add_task() and the walk add to them. */
static __always_inline void add_ended_threads(struct signal_struct *signal,
					      struct ebb_process *process)
{
	process->runtime_ns = signal->sum_sched_runtime;
	process->utime_ns = signal->utime;
	process->stime_ns = signal->stime;
	process->read_bytes = process->write_bytes = 0;
	if (bpf_core_field_exists(struct task_io_accounting, read_bytes)) {
		process->read_bytes = signal->ioac.read_bytes;
		process->write_bytes = signal->ioac.write_bytes;
	}
}

static __always_inline void add_task(struct task_struct *task, struct ebb_process *process)
{
	process->runtime_ns += task->se.sum_exec_runtime;
	process->utime_ns += task->utime;
	process->stime_ns += task->stime;
	if (bpf_core_field_exists(struct task_io_accounting, read_bytes)) {
		process->read_bytes += task->ioac.read_bytes;
		process->write_bytes += task->ioac.write_bytes;
	}
}

static __always_inline u32 stats_sequence(struct signal_struct *signal)
{
	return *(volatile const u32 *)__builtin_preserve_access_index(
		&signal->stats_lock.seqcount.seqcount.sequence);
}

/*
 * All threads of a process, the ended ones too. While one ends it is in the sums of the ended and
 * still in the list; the kernel holds the lock meanwhile. False: one was ending.
 */
static __always_inline bool sum_up(struct task_struct *task, struct signal_struct *signal,
				   struct ebb_process *process, u64 *ret_mm)
{
	struct thread_walk walk = {};
	u32 sequence = stats_sequence(signal);

	barrier();
	add_ended_threads(signal, process);
	process->threads = signal->nr_threads;
	*ret_mm = (u64)task->mm;
	if (process->threads == 1) {
		add_task(task, process);
	} else if (process->threads > 1) {
		walk.node = (u64)signal->thread_head.next;
		walk.end = (u64)signal + bpf_core_field_offset(struct signal_struct, thread_head);
		bpf_loop(MAX_THREADS, add_thread, &walk, 0);
		process->runtime_ns += walk.runtime;
		process->utime_ns += walk.utime;
		process->stime_ns += walk.stime;
		process->read_bytes += walk.read_bytes;
		process->write_bytes += walk.write_bytes;
		/* A leader that ended before its threads left its memory to them. */
		if (!*ret_mm)
			*ret_mm = walk.mm;
	}
	barrier();
	return !(sequence & 1) && stats_sequence(signal) == sequence;
}

SEC("iter/task")
int read_tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct ebb_process process = {};
	struct signal_struct *signal;
	bool steady = false;
	u64 mm = 0;

	if (!task || task->pid != task->tgid)
		return 0;
	signal = task->signal;
	if (!signal || !find_owner(task, &process))
		return 0;
	identify(task, &process);
	for (int i = 0; i < TRIES && !steady; i++)
		steady = sum_up(task, signal, &process, &mm);
	/* The last one has ended; the numbers come when it is freed. */
	if (!process.threads)
		return 0;
	if (!steady)
		process.flags |= EBB_PROCESS_UNSTEADY;
	if (mm && !(process.flags & EBB_PROCESS_KERNEL))
		read_mm(mm, &process);
	bpf_seq_write(ctx->meta->seq, &process, sizeof(process));
	return 0;
}

SEC("tp_btf/sched_process_free")
int BPF_PROG(on_free, struct task_struct *task)
{
	struct ebb_process *process;
	struct ebb_process owner;
	struct signal_struct *signal;
	u64 own;

	if (task->pid != task->tgid || !find_owner(task, &owner))
		return 0;
	signal = task->signal;
	if (!signal)
		return 0;
	process = bpf_ringbuf_reserve(&ended, sizeof(*process), 0);
	if (!process) {
		__sync_fetch_and_add(&lost, 1);
		return 0;
	}
	identify(task, process);
	add_ended_threads(signal, process);
	/* Its parent may have collected the leader before the last slice was charged. */
	own = task->se.sum_exec_runtime;
	if (own > process->runtime_ns)
		process->runtime_ns = own;
	process->flags = owner.flags | EBB_PROCESS_ENDED;
	process->container_id = owner.container_id;
	process->slot = owner.slot;
	process->threads = 0;
	process->rss_pages = process->vm_pages = 0;
	bpf_ringbuf_submit(process, BPF_RB_NO_WAKEUP);
	return 0;
}
