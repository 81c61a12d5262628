/* SPDX-License-Identifier: Apache-2.0 */
#include "editor.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ebb/cleanup.h"

static const char *variable(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

int editor_file(const char *name, const char *text, char **ret_path)
{
	const char *dir = variable("TMPDIR");
	_cleanup_free_ char *path = NULL;
	_cleanup_file_ FILE *file = NULL;
	int fd;

	if (asprintf(&path, "%s/ebb-%.64s-XXXXXX.json", dir ? dir : "/tmp", name) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	/* A rule's name may hold anything, a path does not. */
	for (char *c = path + strlen(dir ? dir : "/tmp") + 1; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("-_.", *c))
			*c = '_';
	fd = mkostemps(path, 5, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	file = fdopen(fd, "w");
	if (!file) {
		close(fd);
		return -ENOMEM;
	}
	if (fputs(text, file) == EOF || fputc('\n', file) == EOF || fflush(file)) {
		unlink(path);
		return -EIO;
	}
	*ret_path = TAKE_PTR(path);
	return 0;
}

int editor_run(const char *path)
{
	const char *editor = variable("VISUAL");
	_cleanup_free_ char *command = NULL;
	int status;
	pid_t pid;

	if (!editor)
		editor = variable("EDITOR");
	/* By the shell: an editor may come with options. The path goes along as a word of its own.
	 */
	if (asprintf(&command, "%s \"$1\"", editor ? editor : "vi") < 0) {
		command = NULL;
		return -ENOMEM;
	}
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid) {
		execl("/bin/sh", "sh", "-c", command, "ebb", path, (char *)NULL);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -EIO;
}
