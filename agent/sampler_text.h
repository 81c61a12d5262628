/* SPDX-License-Identifier: Apache-2.0 */
/* What the cgroup files say, as the sampler needs it. Pure, for sampler_files.c and tests. */
#ifndef EBB_SAMPLER_TEXT_H
#define EBB_SAMPLER_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "ebb/sample.h"

#define NS_PER_US 1000ULL

/* Digits: what follows them, or NULL when there are none. No locale, no errno, as strtoull() has.
 */
const char *take_number(const char *text, uint64_t *ret_value);

/* "key VALUE" on a line of its own (cpu.stat, memory.stat, memory.events, memory.oom_control). */
bool flat_value(const char *text, const char *key, uint64_t *ret_value);

/* "max 100000", "150000 100000": µs to ns. */
bool cpu_max_parse(const char *text, uint64_t *ret_quota_ns, uint64_t *ret_period_ns);

/* A byte count or "max"; v1 writes no limit as LONG_MAX less a page's remainder. */
bool mem_limit_parse(const char *text, uint64_t *ret_bytes);

/*
 * Tells the disks to count from those whose bios go on to other devices (dm, md), which would count
 * twice.
 */
typedef bool (*disk_counts_fn)(void *userdata, unsigned major, unsigned minor);

/* io.stat, "8:0 rbytes=1 wbytes=2 rios=3 wios=4 ...": adds up into `sample`'s I/O fields. */
void io_stat_parse(const char *text, disk_counts_fn counts, void *userdata,
		   struct ebb_sample *sample);
/*
 * blkio.throttle.io_service*_recursive, "8:0 Read 4096": sums, and how many lines of disks there
 * were. None in the root's file: the kernel does not count.
 */
unsigned blkio_parse(const char *text, disk_counts_fn counts, void *userdata, uint64_t *ret_read,
		     uint64_t *ret_write);

/*
 * Whether a kernel of this release ("6.1.0-56-amd64") that shows disks in those files counts all of
 * their I/O. From 5.16 to 6.4 it counts that of limited cgroups only, in the limited direction, and
 * shows 0 for the rest. A release that is no number is taken for a good one.
 */
bool blkio_counts_all(const char *release);

#endif
