/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The wire form of lifecycle events in the ring buffer; agent/lifecycle.h is what is made of them.
 */
#ifndef EBB_BPF_LIFECYCLE_H
#define EBB_BPF_LIFECYCLE_H

#ifndef __bpf__
#include <linux/types.h>
#endif

enum lifecycle_kind {
	LIFECYCLE_MKDIR,
	LIFECYCLE_RMDIR,
	LIFECYCLE_RENAME,
	LIFECYCLE_ATTACH,   /* a task entered a sampled cgroup, or one below */
	LIFECYCLE_OOM_KILL, /* of a task in a sampled cgroup, or one below */
	LIFECYCLE_LOST,     /* events were dropped: rescan. Only at_ns is set */
};

#define EBB_PATH_MAX        256
#define EBB_MAX_HIERARCHIES 8

struct ebb_event {
	__u32 kind;
	__u32 hierarchy_id; /* as in /proc/self/cgroup; 0: v2 */
	__u64 cgroup_id;
	__u64 at_ns;
	__s32 pid;
	__u32 unused;
	char path[EBB_PATH_MAX];
};

#endif
