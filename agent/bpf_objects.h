/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of struct bpf_programs, for the samplers and lifecycle.c. */
#ifndef EBB_BPF_OBJECTS_H
#define EBB_BPF_OBJECTS_H

#include <bpf/libbpf.h>

#include "../bpf/lifecycle.h"
#include "../bpf/sampler.h"
#include "bpf_programs.h"
#include "ebb/sample.h"

#include "block_io.skel.h"
#include "flush.skel.h"
#include "held.skel.h"
#include "lifecycle.skel.h"
#include "maps.skel.h"
#include "walk.skel.h"

struct bpf_programs {
	/* NULL: not loaded, on this kernel or for this kind. */
	struct maps_bpf *maps;
	struct held_bpf *held;
	struct walk_bpf *walk;
	struct flush_bpf *flush;
	struct block_io_bpf *block_io;
	struct lifecycle_bpf *lifecycle;

	enum sampler_kind kind; /* the sampler that is loaded; FILES: none needed */
	char reason[200];       /* why this kind, for people */
	unsigned max_containers;
	struct ebb_host host;
	int flush_cpu_link; /* to the v2 root; -1: none */
	int flush_io_link;  /* the same one where the kernel sums up everything in one go */
	bool flush_io_apart;
	unsigned long last_io_flush; /* seconds, CLOCK_MONOTONIC */

	char *pin_dir;
	int pin_fd; /* locked as long as we live */
};

/* The controller that struct ebb_host's numbers stand for. */
enum cgroup_controller held_controller(enum ebb_held what);

/* Runs a "syscall" program. */
int bpf_run(const struct bpf_program *program);
/* Attaches an iterator to one cgroup (`order` SELF_ONLY) or to all below it; a link descriptor. */
int bpf_attach_cgroup_iter(const struct bpf_program *program, int cgroup_fd, int order);
/* Runs it once. */
int bpf_run_iter(int link_fd);
/* v2: sums up the counters that the next sweep reads: CPU time where asked, and I/O. */
void bpf_flush(struct bpf_programs *programs, bool cpu);

/*
 * What the host is like, for tests too. `zoneinfo`: text of /proc/zoneinfo; bit per zone that has
 * pages on any node, 0 when it cannot be told.
 */
unsigned zones_with_pages(const char *zoneinfo);
/* Fills everything but io_traced. `cpus`: room for EBB_MAX_CPUS, ids are set. */
int host_facts(const struct hierarchies *hierarchies, struct ebb_host *ret_host,
	       struct ebb_cpu *cpus);

#endif
