/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * v2 keeps some counters per CPU until somebody sums them up: block I/O, and the CPU time of
 * cgroups without the cpu controller. One flush at the root, when a sampler needs one. User space
 * loads what the kernel's BTF has a function for.
 */
#include "kernel.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Up to 6.14: all controllers at once. */
SEC("iter.s/cgroup")
int flush_all(struct bpf_iter__cgroup *ctx)
{
	struct cgroup *root = ctx->cgroup;

	if (root)
		cgroup_rstat_flush(root);
	return 0;
}

/* From 6.15: each controller by itself. */
SEC("iter.s/cgroup")
int flush_cpu(struct bpf_iter__cgroup *ctx)
{
	struct cgroup *root = ctx->cgroup;

	if (root)
		css_rstat_flush(&root->self);
	return 0;
}

SEC("iter.s/cgroup")
int flush_io(struct bpf_iter__cgroup *ctx)
{
	struct cgroup *root = ctx->cgroup;
	struct cgroup_subsys_state *css;

	if (!root)
		return 0;
	/* The root's own is never freed; the verifier wants to see it read under RCU. */
	bpf_rcu_read_lock();
	css = root->subsys[subsys_id(io)];
	bpf_rcu_read_unlock();
	if (css)
		css_rstat_flush(css);
	return 0;
}
