/* SPDX-License-Identifier: Apache-2.0 */
/* What sampler_held.c, sampler_walk.c and sampler_files.c each offer to sampler.c. */
#ifndef EBB_SAMPLER_OPS_H
#define EBB_SAMPLER_OPS_H

#include "bpf_objects.h"
#include "sampler.h"

struct sampler_ops;

struct sampler {
	const struct sampler_ops *ops;
	struct bpf_programs *bpf; /* NULL: none */
	const struct hierarchies *hierarchies;
	char reason[256];

	struct ebb_sample *samples;     /* the shared mapping, or plain memory without BPF */
	struct ebb_io_count *io_counts; /* likewise; NULL without BPF */
	struct io_carry *carry;         /* of the run before; NULL: none */
	struct ebb_cgroup_key (*keys)[EBB_HELD_MAX]; /* per slot; id 0: none */
	unsigned slots_max, slots_used;
	unsigned high; /* highest used slot + 1 */
	uint64_t sweeps, sweep_ns;
	void *own; /* the kind's state */
};

struct sampler_ops {
	const char *name;
	int (*start)(struct sampler *sampler);
	void (*stop)(struct sampler *sampler);
	/* The record is cleared and carries the id already. Takes all references, after dropping
	 * old ones. -ENOENT. */
	int (*take)(struct sampler *sampler, const struct container *container, unsigned slot);
	void (*drop)(struct sampler *sampler, unsigned slot);
	int (*sweep)(struct sampler *sampler);
	/* NULL: it sees by itself. See sampler.h. */
	void (*refresh)(struct sampler *sampler, const struct container *container, unsigned slot);
	/* NULL: it cannot. See sampler.h. */
	int (*watch)(struct sampler *sampler, const int *slots, size_t n);
	int (*look)(struct sampler *sampler);
	bool (*watched)(const struct sampler *sampler, size_t i, struct ebb_sample *ret_sample,
			bool *ret_throttled);
};

extern const struct sampler_ops sampler_held_ops, sampler_walk_ops, sampler_files_ops;

/* Odd, then even again: brackets every change of a record that others may be reading. */
void sample_step(struct ebb_sample *sample);

#endif
