/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The least that sampling cgroups by files can cost: every file stays open and is read, nothing is
 * made of the text. Runs until it is killed.
 *   reader PERIOD_MS DIRECTORY...    of each directory below one of these the files it has of
 * `names`
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ebb/cleanup.h"

static const char *const names[] = {
	"cpuacct.usage", "cpu.stat", "memory.usage_in_bytes", "memory.current", "memory.stat",
};

static int *files;
static size_t n_files;

static bool take(int dir)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		int fd = openat(dir, names[i], O_RDONLY | O_CLOEXEC);
		int *more;

		if (fd < 0)
			continue;
		more = reallocarray(files, n_files + 1, sizeof(*files));
		if (!more) {
			close(fd);
			return false;
		}
		files = more;
		files[n_files++] = fd;
	}
	return true;
}

static bool take_below(const char *path)
{
	DIR *all = opendir(path);
	struct dirent *entry;
	bool complete = all;

	while (complete && (entry = readdir(all))) {
		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		_cleanup_close_ int dir =
			openat(dirfd(all), entry->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC);

		complete = dir >= 0 && take(dir);
	}
	if (all)
		closedir(all);
	return complete;
}

int main(int argc, char **argv)
{
	long period_ms = argc > 2 ? strtol(argv[1], NULL, 10) : 0;
	struct rlimit limit;
	struct timespec next;
	char text[16384];

	if (period_ms < 1) {
		fprintf(stderr, "usage: reader PERIOD_MS DIRECTORY...\n");
		return 2;
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	for (int i = 2; i < argc; i++)
		if (!take_below(argv[i])) {
			perror(argv[i]);
			return 1;
		}
	printf("%zu files\n", n_files);
	fflush(stdout);
	clock_gettime(CLOCK_MONOTONIC, &next);
	for (;;) {
		for (size_t i = 0; i < n_files; i++)
			if (pread(files[i], text, sizeof(text), 0) < 0)
				return 1;
		next.tv_nsec += period_ms % 1000 * 1000000;
		next.tv_sec += period_ms / 1000 + next.tv_nsec / 1000000000;
		next.tv_nsec %= 1000000000;
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
	}
}
