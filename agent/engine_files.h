/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engines' state on disk, read only. Whoever runs a container may have written some of it, and
 * may write it while it is read: only regular files of bounded size are read, no symbolic link
 * below a state directory is followed, and nothing there can make the reader wait.
 */
#ifndef EBB_ENGINE_FILES_H
#define EBB_ENGINE_FILES_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "ebb/config.h"

/* Where the engines keep their state. */
struct engine_roots {
	const struct string_list *given; /* "ENGINE=DIR": instead of that engine's default ones */
	/* Prefixed to every default directory, and to those of users; "" but for tests. */
	const char *prefix;
	/* Where the cgroups are mounted that queries name; NULL: not known. */
	const char *cgroups;
};

/*
 * The directories of `engine`, one by one: `index` from 0 on. False: no more. At most `size` - 1
 * bytes; longer ones are left out.
 */
bool engine_root(const struct engine_roots *roots, const char *engine, const char *const *defaults,
		 size_t index, char *ret_dir, size_t size);

/* An "ENGINE=DIR" that makes sense? NULL, or what is wrong with it. */
const char *engine_state_check(const char *given);

/*
 * The home of the user whose session holds the cgroup at `path` ("user.slice/user-1000.slice/…").
 * 1; 0: it is no user's but root's; -ENOENT: there is no such user.
 */
int engine_user_home(const struct engine_roots *roots, const char *path, char *ret_home,
		     size_t size);

/* Opens a directory below `dir`, through no symbolic link below it. Readable. */
int engine_open_dir(const char *dir, const char *below);

/*
 * The regular file `name` below `dir`, NUL-terminated. Caller frees. -ENOENT, -EACCES, -ELOOP,
 * -EFBIG above `max` bytes, -EINVAL for what is no regular file or has a NUL in it.
 * `stamp` (NULL: none): which version of the file was read last, 0: none. -EALREADY when that is
 * what is still there; set to the present one otherwise.
 */
int engine_read_file(const char *dir, const char *name, size_t max, uint64_t *stamp,
		     char **ret_text, size_t *ret_len);

/* More than any engine writes of one container. */
#define ENGINE_VALUES_MAX 65536

/* How many values the JSON text has, at most: each takes memory, however short it is. */
size_t engine_json_values(const char *text, size_t len);
/* Caller unrefs. NULL: it is no JSON, or has more than `max` values. */
json_t *engine_json_load(const char *text, size_t len, size_t max);
/* The string `key` of an object; NULL: there is none. */
const char *engine_json_string(const json_t *object, const char *key);

#endif
