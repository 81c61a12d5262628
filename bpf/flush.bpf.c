/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * v2 keeps some counters per CPU until somebody sums them up: block I/O, and the CPU time of
 * cgroups without the cpu controller. One flush at the root, when a sampler needs one. Two programs
 * for two kernels; user space loads the one whose function BTF has.
 */
#include "kernel.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

__u32 flush_cpu, flush_io; /* what the next run is to sum up */

/* Up to 6.14: all controllers at once. */
SEC("iter.s/cgroup")
int flush_cgroup(struct bpf_iter__cgroup *ctx)
{
	struct cgroup *root = ctx->cgroup;

	if (root)
		cgroup_rstat_flush(root);
	return 0;
}

/* From 6.15: each controller by itself. */
SEC("iter.s/cgroup")
int flush_css(struct bpf_iter__cgroup *ctx)
{
	struct cgroup *root = ctx->cgroup;
	struct cgroup_subsys_state *css;

	if (!root)
		return 0;
	if (flush_cpu)
		css_rstat_flush(&root->self);
	if (flush_io) {
		css = root->subsys[subsys_id(io)];
		if (css)
			css_rstat_flush(css);
	}
	return 0;
}
