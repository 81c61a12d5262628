/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Samples every container into one array of records. Three ways to fill the same record, chosen
 * once by asking the kernel's BTF, never its version:
 *   held   cgroup references held in a map, one program loops over them (Linux 6.4)
 *   walk   a cgroup iterator walks each hierarchy and fills the known ones (6.1)
 *   files  user space reads the cgroup files on descriptors that stay open (anything)
 */
#ifndef EBB_SAMPLER_H
#define EBB_SAMPLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "container.h"
#include "ebb/sample.h"

enum sampler_kind { SAMPLER_AUTO, SAMPLER_HELD, SAMPLER_WALK, SAMPLER_FILES, SAMPLER_KIND_MAX };

struct bpf_programs; /* bpf_programs.h: the loaded objects and their pins */

struct sampler;

/*
 * `bpf` may be NULL (no BPF here): then only `files` can be had. With SAMPLER_AUTO falls back held
 * -> walk -> files and says why in the log; a forced kind that cannot be had is an error
 * (-EOPNOTSUPP). `bpf` is borrowed.
 */
int sampler_new(enum sampler_kind kind, struct bpf_programs *bpf,
		const struct hierarchies *hierarchies, unsigned max_containers,
		struct sampler **ret_sampler);
void sampler_free(struct sampler *sampler);

/* "held", "walk", "files", and a sentence that says why this one ("kernel BTF has ..."). */
const char *sampler_name(const struct sampler *sampler);
const char *sampler_reason(const struct sampler *sampler);

/*
 * Starts sampling a container; returns its slot (also set in container->slot), -ENOSPC when all are
 * taken, -ENOENT when its cgroup has gone. Descriptors stay the container's. The caller logs: it
 * knows whether it tries again.
 */
int sampler_add(struct sampler *sampler, struct container *container);
/*
 * The container's directories changed (discovery's `joined`): takes every reference anew. The slot
 * and the record's identity stay. -ENOENT when the primary cgroup has gone.
 */
int sampler_update(struct sampler *sampler, struct container *container);
/*
 * On v2 a container may be handed down another controller at any time, or one anew that had been
 * taken away. To be called now and then for each: files are opened again, if that is how it is
 * sampled.
 */
void sampler_refresh(struct sampler *sampler, const struct container *container);
/* Releases the slot and every cgroup reference that is still held. */
void sampler_remove(struct sampler *sampler, struct container *container);

/* One sweep over all containers: no allocation, no lock, one system call (held), whatever their
 * number. */
int sampler_sweep(struct sampler *sampler);
/* A consistent copy of a slot's record. False: never written, or torn three times in a row. */
bool sampler_read(const struct sampler *sampler, int slot, struct ebb_sample *ret_sample);

/*
 * Where this agent counts block I/O itself: takes up the counts that the run before it left at
 * `path`, before the first container is added; and leaves them there, while containers are. Logs.
 */
void sampler_load_io(struct sampler *sampler, const char *path);
void sampler_save_io(const struct sampler *sampler, const char *path);

/*
 * Between two sweeps, a few of them: sets which slots, then looks at them, in one system call.
 * `i`: in the order in which they were set, as many as sampler_watch() said. The record is without
 * CPU time and I/O. *ret_throttled: some of it waits for its next period at this moment.
 * -EOPNOTSUPP: only the held sampler can.
 */
int sampler_watch(struct sampler *sampler, const int *slots, size_t n);
int sampler_look(struct sampler *sampler);
bool sampler_watched(const struct sampler *sampler, size_t i, struct ebb_sample *ret_sample,
		     bool *ret_throttled);

struct sampler_stats {
	uint64_t sweeps, sweep_ns; /* wall time of sampler_sweep() in total */
	unsigned slots_used, slots_max;
};
void sampler_get_stats(const struct sampler *sampler, struct sampler_stats *ret_stats);

#endif
