/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Block I/O that Ebb counts itself (cgroup v1) from one run of the agent to the next: a clean stop
 * leaves the counts in a file beside its lock, so that an upgrade does not begin at zero. By
 * cgroup id, and for this boot only.
 */
#ifndef EBB_IO_CARRY_H
#define EBB_IO_CARRY_H

#include <stdint.h>

#include "sampler.h"

struct ebb_io_count;

struct io_carry;
/*
 * Reads what was left at `path` for `boot_id` and removes the file: it is good once. *ret_carry is
 * empty when there is none or it is damaged, which is logged. -ENOMEM.
 */
int io_carry_load(const char *path, const char *boot_id, struct io_carry **ret_carry);
void io_carry_free(struct io_carry *carry);
/* Hands out what container `id` had counted, once. False: nothing. */
bool io_carry_take(struct io_carry *carry, uint64_t id, struct ebb_io_count *ret_count);

/* Writes `n` counts, whole or not at all. Negative errno. */
int io_carry_save(const char *path, const char *boot_id, const uint64_t *ids,
		  const struct ebb_io_count *counts, size_t n);

#endif
