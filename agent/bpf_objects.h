/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of struct bpf_programs, for the samplers and lifecycle.c. */
#ifndef EBB_BPF_OBJECTS_H
#define EBB_BPF_OBJECTS_H

#include <bpf/libbpf.h>

#include "../bpf/lifecycle.h"
#include "../bpf/sampler.h"
#include "bpf_programs.h"
#include "ebb/util.h"
#include "ebb/sample.h"

#include "block_io.skel.h"
#include "flush.skel.h"
#include "held.skel.h"
#include "lifecycle.skel.h"
#include "maps.skel.h"
#include "tasks.skel.h"
#include "walk.skel.h"

struct bpf_programs {
	/* NULL: not loaded, on this kernel or for this kind. */
	struct maps_bpf *maps;
	struct held_bpf *held;
	struct walk_bpf *walk;
	struct flush_bpf *flush;
	struct block_io_bpf *block_io;
	struct lifecycle_bpf *lifecycle;
	struct tasks_bpf *tasks;

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

/* bpf_support.c. `kind`: BTF_KIND_FUNC, ... */
struct btf;
/* As bpf_support_probe(). Returns the kernel's BTF that it has read, for btf__free(); to read it
 * again would take as long as to load a program. NULL: there is none. */
struct btf *bpf_support_probe_btf(struct bpf_support *ret_support);
bool btf_has(const struct btf *btf, const char *name, unsigned kind);
/* Before it is loaded: who may not look at the BTF of modules does without. */
void bpf_leave_modules_out(struct bpf_object *object);
/* Is the first argument of a tracepoint ("btf_trace_mark_victim") a pointer, not a number? */
bool btf_tracepoint_passes_pointer(const struct btf *btf, const char *typedef_name);

/* bpf_host.c. `zoneinfo`: text of /proc/zoneinfo; bit per zone that has pages on any node, 0 when
 * it cannot be told. */
unsigned zones_with_pages(const char *zoneinfo);
/* Fills what can be asked from files. `cpus`: room for EBB_MAX_CPUS, ids are set. */
/* (Those of more CPUs or nodes than there is room for are counted, and host_fits() says no.) */
int host_facts(const struct hierarchies *hierarchies, struct ebb_host *ret_host,
	       struct ebb_cpu *cpus);
void host_set_cpus(const struct cpu_list *possible, struct ebb_host *host, struct ebb_cpu *cpus);
void host_set_nodes(const struct cpu_list *with_memory, struct ebb_host *host);
/* False: programs would leave out some of its CPUs or nodes; `why_not` is for people. */
bool host_fits(const struct ebb_host *host, char *why_not, size_t size);

/*
 * bpf_pins.c. Makes the directory (and mounts a bpffs below it when there is none), locks it and
 * empties it of what a crash left. A descriptor that holds the lock, and the path without slashes
 * at its end; -EBUSY: another agent has it; -ENOTEMPTY: it holds what is not ours; -EINVAL: the
 * root of a file system, or not on a bpffs.
 */
int bpf_pins_open(const char *path, char **ret_pin_dir);
/* -EINVAL: a map whose name bpf_pins.c does not list. */
int bpf_pins_add(const char *pin_dir, const struct bpf_map *map);
/* Only the names that bpf_pins.c lists. */
void bpf_pins_remove(int dir_fd);

#endif
