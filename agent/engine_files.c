/* SPDX-License-Identifier: Apache-2.0 */
#include "engine_files.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/util.h"
#include "engines.h"
#include "hash.h"
#include "runtime.h"

static const char *given_dir(const char *given, const char *engine)
{
	size_t len = strlen(engine);

	return !strncmp(given, engine, len) && given[len] == '=' ? given + len + 1 : NULL;
}

bool engine_root(const struct engine_roots *roots, const char *engine, const char *const *defaults,
		 size_t index, char *ret_dir, size_t size)
{
	bool any = false;

	for (size_t i = 0; roots->given && i < roots->given->n; i++) {
		const char *dir = given_dir(roots->given->items[i], engine);

		if (!dir)
			continue;
		any = true;
		if (index-- == 0)
			return (size_t)snprintf(ret_dir, size, "%s", dir) < size;
	}
	if (any)
		return false;
	for (; defaults && *defaults; defaults++) {
		if (index-- == 0)
			return (size_t)snprintf(ret_dir, size, "%s%s", roots->prefix, *defaults) <
			       size;
	}
	return false;
}

const char *engine_state_check(const char *given)
{
	const char *equal = strchr(given, '=');
	bool known = false;

	for (size_t i = 0; equal && engines_with_state[i]; i++)
		known = known || given_dir(given, engines_with_state[i]);
	if (!known)
		return "names no engine: write ENGINE=DIR with docker, podman, containerd, cri-o, "
		       "lxc, lxd, incus, nspawn or apptainer";
	if (equal[1] != '/')
		return "must name an absolute directory";
	return NULL;
}

int engine_user_home(const struct engine_roots *roots, const char *path, char *ret_home,
		     size_t size)
{
	struct passwd entry, *found = NULL;
	char buffer[4096];
	uint32_t uid;

	if (!runtime_of_user(path, &uid))
		return 0;
	if (getpwuid_r((uid_t)uid, &entry, buffer, sizeof(buffer), &found) || !found)
		return -ENOENT;
	if (found->pw_dir[0] != '/' ||
	    (size_t)snprintf(ret_home, size, "%s%s", roots->prefix, found->pw_dir) >= size)
		return -ENOENT;
	return 1;
}

/* `path` relative to `fd`, segment by segment. The last one is opened with `flags`. */
static int open_below(int fd, const char *path, int flags)
{
	_cleanup_close_ int at = openat(fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (at < 0)
		return -errno;
	for (;;) {
		char segment[NAME_MAX + 1];
		size_t len;

		path += strspn(path, "/");
		len = strcspn(path, "/");
		if (len > NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(segment, path, len);
		segment[len] = '\0';
		path += len;
		path += strspn(path, "/");
		if (len == 0 || !strcmp(segment, ".."))
			return -EINVAL;
		int next = openat(at, segment,
				  O_NOFOLLOW | O_CLOEXEC | (*path ? O_PATH | O_DIRECTORY : flags));
		if (next < 0)
			return -errno;
		if (!*path)
			return next;
		close(at);
		at = next;
	}
}

int engine_open_dir(const char *dir, const char *below)
{
	_cleanup_close_ int root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (root < 0)
		return -errno;
	return open_below(root, *below ? below : ".", O_RDONLY | O_DIRECTORY);
}

/* Nothing is opened for reading before it is known to be a regular file: not even a device. */
static int open_regular(const char *dir, const char *name, struct stat *ret_stat)
{
	_cleanup_close_ int root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC), found = -1;
	char proc[64];

	if (root < 0)
		return -errno;
	found = open_below(root, name, O_PATH);
	if (found < 0)
		return found;
	if (fstat(found, ret_stat) < 0)
		return -errno;
	if (S_ISLNK(ret_stat->st_mode))
		return -ELOOP;
	if (!S_ISREG(ret_stat->st_mode))
		return -EINVAL;
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", found);
	int fd = open(proc, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static uint64_t stamp_of(const struct stat *st)
{
	uint64_t stamp = hash_u64(st->st_ino ^ hash_u64(st->st_dev)) ^
			 hash_u64((uint64_t)st->st_mtim.tv_sec * 1000000007U +
				  (uint64_t)st->st_mtim.tv_nsec) ^
			 hash_u64(~(uint64_t)st->st_size);

	return stamp ? stamp : 1;
}

int engine_read_file(const char *dir, const char *name, size_t max, uint64_t *stamp,
		     char **ret_text, size_t *ret_len)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_close_ int fd = -1;
	struct stat st;
	size_t len = 0, size;

	fd = open_regular(dir, name, &st);
	if (fd < 0)
		return fd;
	if ((uint64_t)st.st_size > max)
		return -EFBIG;
	if (stamp && *stamp == stamp_of(&st))
		return -EALREADY;
	size = (size_t)st.st_size + 1;
	text = malloc(size);
	if (!text)
		return -ENOMEM;
	/* What is added while it is read is of the next version. */
	while (len < size - 1) {
		ssize_t n = read(fd, text + len, size - 1 - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	text[len] = '\0';
	if (strlen(text) != len)
		return -EINVAL;
	if (stamp)
		*stamp = stamp_of(&st);
	*ret_text = TAKE_PTR(text);
	*ret_len = len;
	return 0;
}

size_t engine_json_values(const char *text, size_t len)
{
	bool quoted = false;
	size_t n = 1;

	for (size_t i = 0; i < len; i++) {
		if (quoted && text[i] == '\\')
			i++;
		else if (text[i] == '"')
			quoted = !quoted;
		else if (!quoted && (text[i] == ',' || text[i] == '[' || text[i] == '{'))
			n++;
	}
	return n;
}

json_t *engine_json_load(const char *text, size_t len, size_t max)
{
	return engine_json_values(text, len) > max ? NULL : json_loadb(text, len, 0, NULL);
}

const char *engine_json_string(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}
