/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What happens to cgroups, into one ring buffer: discovery reacts to it and need not look around.
 */
#include "maps.bpf.h"
#include "lifecycle.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* At 288 bytes an event: room for 1,800 between two turns of the agent's loop. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 512 * 1024);
} events SEC(".maps");

/* Those worth reporting from, as in /proc/self/cgroup, and the one that names containers. */
const volatile __u32 hierarchy_ids[EBB_MAX_HIERARCHIES];
const volatile __u32 n_hierarchies;
const volatile __u32 primary_id;

__u64 dropped; /* events that found the buffer full */

static __always_inline bool is_reported(struct cgroup *cgrp)
{
	u32 id = cgrp->root->hierarchy_id;

	for (u32 i = 0; i < n_hierarchies && i < EBB_MAX_HIERARCHIES; i++)
		if (hierarchy_ids[i] == id)
			return true;
	return false;
}

/* 0: none. */
static __always_inline u64 find_container(struct cgroup *cgrp)
{
	struct ebb_cgroup_place *place = find_place_above(cgrp);

	return place ? place->container_id : 0;
}

static __always_inline void emit(u32 kind, u32 hierarchy_id, u64 cgroup_id, int pid,
				 const char *path)
{
	struct ebb_event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event) {
		__sync_fetch_and_add(&dropped, 1);
		return;
	}
	event->kind = kind;
	event->hierarchy_id = hierarchy_id;
	event->cgroup_id = cgroup_id;
	event->at_ns = bpf_ktime_get_ns();
	event->pid = pid;
	event->unused = 0;
	event->path[0] = '\0';
	if (path)
		bpf_probe_read_kernel_str(event->path, sizeof(event->path), path);
	bpf_ringbuf_submit(event, 0);
}

static __always_inline void report(u32 kind, struct cgroup *cgrp, const char *path)
{
	if (is_reported(cgrp))
		emit(kind, cgrp->root->hierarchy_id, cgrp->kn->id, 0, path);
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(on_mkdir, struct cgroup *cgrp, const char *path)
{
	report(LIFECYCLE_MKDIR, cgrp, path);
	return 0;
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(on_rmdir, struct cgroup *cgrp, const char *path)
{
	report(LIFECYCLE_RMDIR, cgrp, path);
	return 0;
}

SEC("tp_btf/cgroup_rename")
int BPF_PROG(on_rename, struct cgroup *cgrp, const char *path)
{
	report(LIFECYCLE_RENAME, cgrp, path);
	return 0;
}

SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(on_attach, struct cgroup *cgrp, const char *path, struct task_struct *task)
{
	u64 container;

	/* A task enters a v1 container once per hierarchy; say so once. */
	if (cgrp->root->hierarchy_id != primary_id)
		return 0;
	container = find_container(cgrp);
	if (container)
		emit(LIFECYCLE_ATTACH, primary_id, container, task->pid, path);
	return 0;
}

static __always_inline void oom_kill(struct task_struct *task, int pid)
{
	struct cgroup_subsys_state *css = task->cgroups->subsys[subsys_id(memory)];
	u64 container;

	if (!css)
		return;
	container = find_container(css->cgroup);
	if (container)
		emit(LIFECYCLE_OOM_KILL, primary_id, container, pid, NULL);
}

/* Linux 6.9 and newer. */
SEC("tp_btf/mark_victim")
int BPF_PROG(oom_victim_task, struct task_struct *task)
{
	oom_kill(task, task->pid);
	return 0;
}

/* Older ones. The pid is the initial namespace's. */
SEC("tp_btf/mark_victim")
int BPF_PROG(oom_victim_pid, int pid)
{
	struct task_struct *task = bpf_task_from_pid(pid);

	if (task) {
		oom_kill(task, pid);
		bpf_task_release(task);
	}
	return 0;
}
