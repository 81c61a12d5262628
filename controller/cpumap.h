/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The core map of a host: who owns how many shares of which core (spec 2.3, 6.6). Invariant: for
 * each core the owners' shares and `free` sum to 100.
 */
#ifndef EBB_CPUMAP_H
#define EBB_CPUMAP_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "ebb/util.h"

struct cpumap;

/* All cores free, handed out in this order (core_order.h). */
int cpumap_new(const struct cpu_list *order, struct cpumap **ret_map);
void cpumap_free(struct cpumap *map);
/* Are these its CPUs, in whatever order? */
bool cpumap_has_cpus(const struct cpumap *map, const struct cpu_list *cpus);
/* What is handed out from now on is in this order; who owns what stays. CPUs that `order` does not
 * name come last. On no memory nothing changed. */
int cpumap_reorder(struct cpumap *map, const struct cpu_list *order);
/* Into a new map: each owner's shares on the cores that it has as well, in the order it got them.
 * -ENOMEM: not all of them. */
int cpumap_inherit(struct cpumap *map, const struct cpumap *before);

int64_t cpumap_total(const struct cpumap *map); /* shares */
int64_t cpumap_free_shares(const struct cpumap *map);
int64_t cpumap_owned(const struct cpumap *map, const char *owner);
/* The cores `owner` has shares on, in the order it got them. Caller clears. */
int cpumap_cpus(const struct cpumap *map, const char *owner, struct cpu_list *ret_cpus);

/*
 * Up: fills `free` on cores it already uses, then wholly free cores, then partly free ones, each in
 * order. Returns what was granted (0..shares).
 */
int64_t cpumap_grow(struct cpumap *map, const char *owner, int64_t shares);
/* Down: least used core first, ties in reverse order. Returns what was released. */
int64_t cpumap_shrink(struct cpumap *map, const char *owner, int64_t shares);
void cpumap_release(struct cpumap *map, const char *owner);

/* The cores with free shares, in the order in which they would be handed out. Caller clears. */
int cpumap_free_cpus(const struct cpumap *map, struct cpu_list *ret_cpus);

/* An owner's row, to be put back when an order fails. cpumap_restore fails with -ENOSPC when others
 * have taken the shares meanwhile, or a core has gone. */
struct cpumap_row;
int cpumap_save(const struct cpumap *map, const char *owner, struct cpumap_row **ret_row);
int cpumap_restore(struct cpumap *map, const char *owner, const struct cpumap_row *row);
void cpumap_row_free(struct cpumap_row *row);

/* {"0": {"c0": 100, "free": 0}, ...}; owners with 0 shares are left out. New reference. */
json_t *cpumap_to_json(struct cpumap *map);
/* The same as the map keeps it: borrowed, it changes with the map. A copy of all of it for each
 * order was a tenth of the controller's time. NULL: no memory. */
json_t *cpumap_mapping(struct cpumap *map);
/* Owners' shares from a document, as far as cores and free shares allow; cores the host no longer
 * has are dropped. True: nothing had to be dropped. */
bool cpumap_load_json(struct cpumap *map, const json_t *mapping);
/* NULL when the invariant holds; else what is wrong (caller frees). */
char *cpumap_check(const struct cpumap *map);

#endif
