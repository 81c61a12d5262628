/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose hand changes limits: the kernel tells every write to a file of the cgroup trees, with the
 * process that wrote (fanotify). It costs writers about a microsecond and nobody else anything.
 * Linux 6.6 and later tell it of cgroup files; without it a change is seen on the next sample all
 * the same, and nobody knows by whom.
 */
#ifndef EBB_HANDS_H
#define EBB_HANDS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "hierarchy.h"
#include "ebb/loop.h"

/* Who wrote. What could not be found out, most likely as the process has ended, is 0 and "". */
struct hand {
	pid_t pid;     /* in the agent's pid namespace */
	char name[64]; /* of the program, valid UTF-8 */
	char unit[96]; /* the systemd unit or cgroup that it runs in, likewise */
};

/* A limit of the cgroup `id` of the hierarchy of `controller` was written by somebody else. */
typedef void (*hands_fn)(void *userdata, enum cgroup_controller controller, uint64_t id,
			 const struct hand *hand);

struct hands;
/* -EOPNOTSUPP: this kernel does not tell. -EPERM: not without CAP_SYS_ADMIN. */
int hands_new(struct loop *loop, const struct hierarchies *hierarchies, hands_fn fn, void *userdata,
	      struct hands **ret_hands);
void hands_free(struct hands *hands);

/* Pure. Is it a file that holds a limit of ours? */
bool hands_is_limit(const char *file);
/*
 * Pure. The unit of a /proc/PID/cgroup text: the last segment of systemd's own path or, where it
 * names none, of the path in the cpu or unified hierarchy. "" for the root.
 */
void hands_unit(const char *membership, char *unit, size_t size);

#endif
