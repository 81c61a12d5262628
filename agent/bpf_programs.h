/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The BPF objects: opened, loaded, attached and pinned once at start by what the kernel's BTF
 * offers, unpinned at a clean stop. Pins left by a crash are replaced, never trusted. Not pinned is
 * the map of held cgroup references: a crash would leave them to nobody, and removed cgroups in
 * memory.
 */
#ifndef EBB_BPF_PROGRAMS_H
#define EBB_BPF_PROGRAMS_H

#include <stdbool.h>
#include <stddef.h>

#include "hierarchy.h"
#include "sampler.h"

struct bpf_support {
	bool btf;       /* /sys/kernel/btf/vmlinux can be read */
	bool lifecycle; /* tp_btf on cgroup_mkdir, ... */
	bool held;
	bool walk;
	bool block_io;          /* tp_btf/block_bio_queue: I/O where cgroup v1 does not count it */
	bool tasks;             /* iter/task, tp_btf/sched_process_free: processes for the series */
	char why_not_held[160]; /* "" when held; else the missing thing, for people */
	char why_not_walk[160];
};

/* Asks BTF and the objects' own type tags; loads nothing. */
void bpf_support_probe(struct bpf_support *ret_support);

struct bpf_programs_options {
	const char *pin_dir; /* "/sys/fs/bpf/ebb"; a bpffs is mounted at /sys/fs/bpf when there is
				none */
	unsigned max_containers;
	enum sampler_kind kind; /* what to load for; AUTO: the best that loads */
	const struct hierarchies *hierarchies;
};

struct bpf_programs;

/* -EOPNOTSUPP: this kernel cannot; -EPERM: privileges; each with one log line. */
int bpf_programs_load(const struct bpf_programs_options *options,
		      struct bpf_programs **ret_programs);
/*
 * Further programs, for tasks.h: what each process uses. `outside`: also those in no container.
 * -EOPNOTSUPP: this kernel cannot. The caller logs.
 */
int bpf_programs_load_tasks(struct bpf_programs *programs, const struct hierarchies *hierarchies,
			    bool outside);
/* Detaches, unpins, closes. */
void bpf_programs_free(struct bpf_programs *programs);

/* Run time and count of each program for /metrics, when BPF statistics are on. NULL name ends. */
struct bpf_program_info {
	const char *name;
	unsigned long long run_ns, run_count;
};
size_t bpf_programs_info(struct bpf_programs *programs, struct bpf_program_info *ret_infos,
			 size_t max);

#endif
