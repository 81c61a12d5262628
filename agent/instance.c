/* SPDX-License-Identifier: Apache-2.0 */
#include "instance.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "ebb/cleanup.h"
#include "ebb/log.h"

/* "/run/ebb", "/sys/fs/bpf/ebb/": "/run/ebb/agent-sys-fs-bpf-ebb.lock" */
static char *lock_path(const char *lock_dir, const char *pin_dir)
{
	char *path;

	if (asprintf(&path, "%s/agent%s", lock_dir, pin_dir) < 0)
		return NULL;

	char *name = path + strlen(lock_dir) + 1, *out = name;
	for (char *in = name; *in; in++) {
		if (*in == '/' && (in[1] == '/' || !in[1]))
			continue;
		*out++ = *in == '/' ? '-' : *in;
	}
	*out = '\0';

	char *whole;
	int n = asprintf(&whole, "%s.lock", path);
	free(path);
	return n < 0 ? NULL : whole;
}

/* Whoever stops removes the file: the one that was locked may no longer be the one in the
 * directory. */
static bool is_current(int fd, const char *path)
{
	struct stat mine, there;

	return fstat(fd, &mine) == 0 && stat(path, &there) == 0 && mine.st_ino == there.st_ino &&
	       mine.st_dev == there.st_dev;
}

int instance_acquire(const char *lock_dir, const char *pin_dir, struct instance *ret_instance)
{
	_cleanup_free_ char *path = lock_path(lock_dir, pin_dir);

	if (!path)
		return -ENOMEM;
	if (mkdir(lock_dir, 0755) < 0 && errno != EEXIST)
		return log_error_errno(errno, "cannot make the directory %s", lock_dir);
	for (int attempt = 0; attempt < 10; attempt++) {
		_cleanup_close_ int fd =
			open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

		if (fd < 0)
			return log_error_errno(errno, "cannot open the lock file %s", path);
		if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
			if (errno != EWOULDBLOCK)
				return log_error_errno(errno, "cannot lock %s", path);
			log_error("another agent runs with pin directory %s; stop it, or give this "
				  "one a --pin-dir of its own",
				  pin_dir);
			return -EBUSY;
		}
		if (!is_current(fd, path))
			continue;
		ret_instance->fd = TAKE_FD(fd);
		ret_instance->path = TAKE_PTR(path);
		return 0;
	}
	return -EBUSY;
}

void instance_release(struct instance *instance)
{
	if (!instance->path)
		return;
	unlink(instance->path);
	close(instance->fd);
	free(instance->path);
	*instance = (struct instance){.fd = -1};
}

char *instance_file(const char *lock_path, const char *suffix)
{
	const char *end = strrchr(lock_path, '.');
	char *path;

	if (asprintf(&path, "%.*s%s", end ? (int)(end - lock_path) : 0, lock_path, suffix) < 0)
		return NULL;
	return path;
}
