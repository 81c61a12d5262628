/* SPDX-License-Identifier: Apache-2.0 */
/* Which cgroup paths are containers, by the conventions of the container engines. Pure. */
#ifndef EBB_RUNTIME_H
#define EBB_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Is the cgroup at `path` ("/a/b" or "a/b") a container by the engines' conventions? On success the
 * engine (static) and the name within [name, name+len) of path. Nested cgroups of a container
 * (docker/ID/init.scope) are not containers, nor is infrastructure (conmon, pod slices).
 */
bool runtime_match(const char *path, const char **ret_engine, const char **ret_name,
		   size_t *ret_len);
/* Is it inside a container? */
bool runtime_is_nested(const char *path);

/*
 * Is it in the slice of a user other than root ("user.slice/user-1000.slice/..."), and whose? What
 * a cgroup there is called, and what its engine has on disk, is the user's to choose.
 */
bool runtime_of_user(const char *path, uint32_t *ret_uid);

/*
 * Undoes systemd's escapes (\x2d) in a name; what would become '/' or NUL stays escaped.
 * `buffer` of at least len + 1 bytes.
 */
void runtime_unescape(const char *name, size_t len, char *buffer);

#endif
