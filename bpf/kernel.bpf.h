/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the kernel offers beyond helpers. All weak: user space asks BTF which exist and leaves out
 * the programs that need a missing one.
 */
#ifndef EBB_KERNEL_BPF_H
#define EBB_KERNEL_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

struct bpf_iter_num {
	u64 opaque;
} __attribute__((aligned(8)));

extern struct cgroup *bpf_cgroup_acquire(struct cgroup *cgrp) __weak __ksym;
extern void bpf_cgroup_release(struct cgroup *cgrp) __weak __ksym;
extern void bpf_rcu_read_lock(void) __weak __ksym;
extern void bpf_rcu_read_unlock(void) __weak __ksym;
extern void *bpf_rdonly_cast(const void *obj, u32 btf_id) __weak __ksym;
extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __weak __ksym;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __weak __ksym;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __weak __ksym;
extern struct task_struct *bpf_task_from_pid(s32 pid) __weak __ksym;
extern void bpf_task_release(struct task_struct *task) __weak __ksym;
/* Up to 6.15 this one, of a whole cgroup; from 6.15 on that one, of one controller. */
extern void cgroup_rstat_flush(struct cgroup *cgrp) __weak __ksym;
extern void css_rstat_flush(struct cgroup_subsys_state *css) __weak __ksym;

#define subsys_id(name) bpf_core_enum_value(enum cgroup_subsys_id, name##_cgrp_id)

#endif
