/* SPDX-License-Identifier: Apache-2.0 */
#include "series_files.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "sampler_text.h"
#include "ebb/cleanup.h"
#include "ebb/loop.h"
#include "ebb/units.h"

enum { FILE_CPU_PRESSURE, FILE_MEM_PRESSURE, FILE_IO_PRESSURE, FILE_CPU_TIMES, FILE_MEMORY_STAT };
_Static_assert(FILE_MEMORY_STAT + 1 == SERIES_FILES, "one descriptor each");

static int dup_into(int fd, int *ret_fd)
{
	int copy = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (fd >= 0 && copy < 0)
		return -errno;
	*ret_fd = copy;
	return 0;
}

int series_dirs_dup(const struct hierarchies *hierarchies, const int *dir_fds, bool processes,
		    struct series_dirs *ret_dirs)
{
	struct series_dirs dirs = SERIES_DIRS_NONE;
	enum cgroup_controller primary = hierarchies->primary;
	bool v2 = hierarchies->by_controller[CGROUP_CPU].version == 2;
	int r = 0;

	if (hierarchies->by_controller[primary].version == 2)
		r = dup_into(dir_fds[primary], &dirs.primary);
	if (r == 0 && !processes)
		r = v2 ? dup_into(dir_fds[CGROUP_CPU], &dirs.cpu)
		       : dup_into(dir_fds[CGROUP_CPUACCT], &dirs.cpuacct);
	if (r == 0 && !processes)
		r = dup_into(dir_fds[CGROUP_MEMORY], &dirs.memory);
	if (r < 0) {
		series_dirs_close(&dirs);
		return r;
	}
	*ret_dirs = dirs;
	return 0;
}

void series_dirs_close(struct series_dirs *dirs)
{
	int fds[] = {dirs->cpu, dirs->cpuacct, dirs->memory, dirs->primary};

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	*dirs = SERIES_DIRS_NONE;
}

static int open_in(int dir, const char *name)
{
	return dir < 0 ? -1 : openat(dir, name, O_RDONLY | O_CLOEXEC);
}

void series_files_open(struct series_files *files, struct series_dirs *dirs)
{
	series_files_close(files);
	files->fds[FILE_CPU_PRESSURE] = open_in(dirs->primary, "cpu.pressure");
	files->fds[FILE_MEM_PRESSURE] = open_in(dirs->primary, "memory.pressure");
	files->fds[FILE_IO_PRESSURE] = open_in(dirs->primary, "io.pressure");
	files->fds[FILE_CPU_TIMES] = dirs->cpu >= 0 ? open_in(dirs->cpu, "cpu.stat")
						    : open_in(dirs->cpuacct, "cpuacct.stat");
	files->fds[FILE_MEMORY_STAT] = open_in(dirs->memory, "memory.stat");
	series_dirs_close(dirs);
}

void series_files_close(struct series_files *files)
{
	for (int i = 0; i < SERIES_FILES; i++)
		if (files->fds[i] >= 0)
			close(files->fds[i]);
	*files = SERIES_FILES_NONE;
}

bool series_files_any(const struct series_files *files)
{
	for (int i = 0; i < SERIES_FILES; i++)
		if (files->fds[i] >= 0)
			return true;
	return false;
}

bool cpu_times_parse(const char *text, unsigned hz, struct series_cpu_times *ret_cpu)
{
	uint64_t user, kernel;

	if (flat_value(text, "user_usec", &user) && flat_value(text, "system_usec", &kernel)) {
		*ret_cpu = (struct series_cpu_times){true, user * 1000, kernel * 1000};
		return true;
	}
	if (flat_value(text, "user", &user) && flat_value(text, "system", &kernel)) {
		uint64_t tick = EBB_NS_PER_SEC / hz;

		*ret_cpu = (struct series_cpu_times){true, user * tick, kernel * tick};
		return true;
	}
	return false;
}

bool resident_parse(const char *memory_stat, uint64_t *ret_bytes)
{
	uint64_t own, mapped;

	/* v1 has both the cgroup's own and, under these names, the hierarchy's. */
	if (flat_value(memory_stat, "total_rss", &own) &&
	    flat_value(memory_stat, "total_mapped_file", &mapped)) {
		*ret_bytes = own + mapped;
		return true;
	}
	if (flat_value(memory_stat, "anon", &own) &&
	    flat_value(memory_stat, "file_mapped", &mapped)) {
		*ret_bytes = own + mapped;
		return true;
	}
	return false;
}

static const char *file_text(const struct series_files *files, int file, char *text, size_t size)
{
	int fd = files->fds[file];
	ssize_t n = fd >= 0 ? pread(fd, text, size - 1, 0) : -1;

	if (n <= 0)
		return NULL;
	text[n] = '\0';
	return text;
}

void series_files_read(const struct series_files *files, struct series_files_read *ret_read,
		       struct series_cpu_times *ret_cpu, uint64_t *ret_resident)
{
	struct series_files_read result = {.at_ns = now_ns()};
	struct series_cpu_times cpu = {0};
	uint64_t resident = 0;
	char text[8192];

	for (int i = 0; i < 3; i++)
		result.has_pressure[i] =
			file_text(files, FILE_CPU_PRESSURE + i, text, sizeof(text)) &&
			pressure_parse(text, &result.pressure_us[i]);
	if (file_text(files, FILE_CPU_TIMES, text, sizeof(text)))
		cpu_times_parse(text, (unsigned)sysconf(_SC_CLK_TCK), &cpu);
	if (file_text(files, FILE_MEMORY_STAT, text, sizeof(text)))
		resident_parse(text, &resident);
	*ret_read = result;
	*ret_cpu = cpu;
	*ret_resident = resident;
}
