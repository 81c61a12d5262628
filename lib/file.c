/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/util.h"

ssize_t read_file_at(int dirfd, const char *name, char *buffer, size_t size)
{
	_cleanup_close_ int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
	size_t len = 0;

	if (fd < 0)
		return -errno;
	if (size == 0)
		return -E2BIG;
	for (;;) {
		ssize_t n = read(fd, buffer + len, size - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += n;
		/* Full: whether this is the end cannot be known without asking for more. */
		if (len == size)
			return -E2BIG;
	}
	if (len && buffer[len - 1] == '\n')
		len--;
	buffer[len] = '\0';
	return (ssize_t)len;
}

int write_file_at(int dirfd, const char *name, const char *text, int flags)
{
	_cleanup_close_ int fd = openat(dirfd, name, O_WRONLY | O_CLOEXEC | flags);
	size_t len = strlen(text);
	ssize_t n;

	if (fd < 0)
		return -errno;
	do {
		n = write(fd, text, len);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}

int make_directory_for(const char *path)
{
	_cleanup_free_ char *dir = strdup(path);
	char *last;

	if (!dir)
		return -ENOMEM;
	last = strrchr(dir, '/');
	if (!last || last == dir)
		return 0;
	*last = '\0';
	for (char *end = strchr(dir + 1, '/'); end; end = strchr(end + 1, '/')) {
		*end = '\0';
		if (mkdir(dir, 0700) < 0 && errno != EEXIST)
			return -errno;
		*end = '/';
	}
	return mkdir(dir, 0700) < 0 && errno != EEXIST ? -errno : 0;
}
