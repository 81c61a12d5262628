/* SPDX-License-Identifier: Apache-2.0 */
/* Cgroup lifecycle events from the kernel's ring buffer: what happened, to which cgroup, in which
 * hierarchy. */
#ifndef EBB_LIFECYCLE_H
#define EBB_LIFECYCLE_H

#include <stdint.h>

#include "../bpf/lifecycle.h" /* enum lifecycle_kind, and the wire form */
#include "bpf_programs.h"
#include "ebb/loop.h"

struct lifecycle_event {
	enum lifecycle_kind kind;
	int hierarchy_id; /* cgroup_root.hierarchy_id, struct hierarchy's `id`. The root's cgroup
			     id would not tell: it is 1 in every hierarchy */
	/* ATTACH and OOM_KILL come with the container's id, in the primary hierarchy, whichever
	 * cgroup of it, or below it, was the place. */
	uint64_t cgroup_id;
	uint64_t at_ns;   /* CLOCK_MONOTONIC, in the kernel */
	int pid;          /* ATTACH, OOM_KILL */
	const char *path; /* in the hierarchy, "/a/b", possibly cut at 255 bytes; "" where the
			     kernel gives none */
};

typedef void (*lifecycle_fn)(void *userdata, const struct lifecycle_event *event);

struct lifecycle;
/* -EOPNOTSUPP without the programs: then discovery must rescan by time. */
int lifecycle_new(struct bpf_programs *programs, struct loop *loop, lifecycle_fn fn, void *userdata,
		  struct lifecycle **ret_lifecycle);
void lifecycle_free(struct lifecycle *lifecycle);

#endif
