/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --exclude: which containers are left alone. A pattern is for names, one with a '/' for cgroup
 * paths and what lies below (a '*' stops at '/'), KEY=PATTERN for what the engine says: engine,
 * namespace, pod, image. Names, namespaces, pods and images of users' containers, which they choose
 * themselves, are only for user=UID and user=UID/NAME. Pure but for the set of those that are known
 * to be excluded.
 */
#ifndef EBB_EXCLUSION_H
#define EBB_EXCLUSION_H

#include <stdbool.h>
#include <stdint.h>

#include "hash.h"
#include "labels.h"
#include "ebb/config.h"

/*
 * `names`: what the container is called, ends with NULL. `labels` NULL: not known yet, patterns for
 * them match nothing.
 */
bool exclusion_matches(const struct string_list *patterns, const char *engine, const char *path,
		       const char *const *names, const struct container_labels *labels);

/*
 * The cgroups that are excluded by what only their engine could tell: they need not be asked for
 * again. A path belongs to it because an id may be used again. Zeroed is empty.
 */
struct exclusion_set {
	struct hash by_id;
	struct excluded **all;
	size_t n, size;
};
/* `engine` is a static string, the labels are copied: what later patterns are compared with. */
int exclusion_set_add(struct exclusion_set *set, uint64_t id, const char *path, const char *engine,
		      const struct container_labels *labels, unsigned generation);
/* Is it in there? Then it was seen in this generation. */
bool exclusion_set_sees(struct exclusion_set *set, uint64_t id, const char *path,
			unsigned generation);
void exclusion_set_remove(struct exclusion_set *set, uint64_t id);
/* Forgets what was not seen in this generation. */
void exclusion_set_prune(struct exclusion_set *set, unsigned generation);
/* Forgets what none of these patterns matches. */
void exclusion_set_keep(struct exclusion_set *set, const struct string_list *patterns);
void exclusion_set_clear(struct exclusion_set *set);

#endif
