/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The maps that several objects use; maps.bpf.c makes them, the others are given its descriptors.
 */
#ifndef EBB_MAPS_BPF_H
#define EBB_MAPS_BPF_H

#include "kernel.bpf.h"
#include "ebb/sample.h"
#include "sampler.h"

/* Indexed by slot; sizes are set by user space. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct ebb_sample);
} samples SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct ebb_io_count);
} io_counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct ebb_cgroup_key);
	__type(value, struct ebb_cgroup_place);
} cgroups SEC(".maps");

static __always_inline struct ebb_cgroup_place *find_place(struct cgroup *cgrp)
{
	struct ebb_cgroup_key key = {
		.id = cgrp->kn->id,
		.hierarchy_id = cgrp->root->hierarchy_id,
	};

	return bpf_map_lookup_elem(&cgroups, &key);
}

/* Of the container that a cgroup is, or is inside of. NULL: none. */
static __always_inline struct ebb_cgroup_place *find_place_above(struct cgroup *cgrp)
{
	for (u32 i = 0; i < EBB_MAX_DEPTH; i++) {
		struct ebb_cgroup_place *place;
		struct cgroup_subsys_state *parent;

		if (cgrp->level == 0)
			return NULL;
		place = find_place(cgrp);
		if (place)
			return place;
		parent = cgrp->self.parent;
		if (!parent)
			return NULL;
		cgrp = parent->cgroup;
	}
	return NULL;
}

#endif
