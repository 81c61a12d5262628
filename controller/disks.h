/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disks of a host: `resources.disks` of its document, {name: {"type", "load", "path",
 * "max_read", "free_read", "max_write", "free_write"}} (spec 2.3), in MiB/s. A container is bound
 * to the one that `resources.disk.name` of its document tells; what it holds of disk_read and
 * disk_write is then that disk's. Lock held.
 */
#ifndef EBB_DISKS_H
#define EBB_DISKS_H

#include <stdbool.h>

#include "model.h"

/* Works `load`, `free_read` and `free_write` out anew, from what the containers hold. True: the
 * document changed. */
bool disks_settle(struct host *host);

/*
 * What `container` may set aside on top of what it holds: reads and writes each within their own
 * max, both together within the larger of the two. INT64_MAX: of such a resource, or of such a
 * container, no disk is known.
 */
int64_t disks_room(const struct structure *container, enum ebb_resource resource);
/* It holds `amount` more (< 0: less) of `resource`: the document of its disk follows. */
void disks_take(const struct structure *container, enum ebb_resource resource, int64_t amount);

/* It leaves its host, and holds nothing any more. */
void disks_unbind(struct model *model, const struct structure *container);

/* May a container with the documents of `from` be bound, with so much of both? -EINVAL: no such
 * disk; -ENOSPC. `ret_error` says what to do. */
int disks_check_binding(const struct host *host, const struct structure *from, int64_t read,
			int64_t write, char **ret_error);

/* A list of disks with all their keys, at `where` in a body. -EINVAL with `ret_error`. */
int disks_check(const json_t *list, const char *where, char **ret_error);
/* Adds those of a checked list that are not known yet. */
int disks_add(struct host *host, const json_t *list);
/* "resources.disks" of `body`: [{"name", "max_read", "max_write"}]. All or none. -EINVAL, -ENOENT,
 * -EBUSY (more is held) with `ret_error`. */
int disks_resize(struct host *host, const json_t *list, char **ret_error);

#endif
