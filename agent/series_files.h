/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the series take from a container's own files: pressure (cgroup v2 only), and where processes
 * cannot be had, the split of CPU time and the resident memory. Files stay open; all of it runs on
 * the series' thread.
 */
#ifndef EBB_SERIES_FILES_H
#define EBB_SERIES_FILES_H

#include <stdbool.h>

#include "hierarchy.h"
#include "series_container.h"

/* Directories of a container, handed from the loop to the thread, which closes them. */
struct series_dirs {
	int cpu, cpuacct, memory; /* -1: none, or not needed */
	int primary;              /* on v2: has the pressure files. -1: on v1 */
};
#define SERIES_DIRS_NONE ((struct series_dirs){-1, -1, -1, -1})

/* Duplicates what will be read; -1s when nothing is. -EMFILE, ... */
int series_dirs_dup(const struct hierarchies *hierarchies, const int *dir_fds, bool processes,
		    struct series_dirs *ret_dirs);
void series_dirs_close(struct series_dirs *dirs);

#define SERIES_FILES 5
struct series_files {
	int fds[SERIES_FILES]; /* -1: not there */
};
#define SERIES_FILES_NONE ((struct series_files){{-1, -1, -1, -1, -1}})

/* Takes the directories over; opens what is there. */
void series_files_open(struct series_files *files, struct series_dirs *dirs);
void series_files_close(struct series_files *files);
bool series_files_any(const struct series_files *files);

struct series_cpu_times {
	bool valid;
	uint64_t user_ns, kernel_ns;
};
/* `ret_cpu`, `ret_resident`: from the files for hosts without processes; 0 where they are not. */
void series_files_read(const struct series_files *files, struct series_files_read *ret_read,
		       struct series_cpu_times *ret_cpu, uint64_t *ret_resident);

/* cpu.stat (v2) or cpuacct.stat (v1: ticks, `hz` a second), and memory.stat of either. Pure. */
bool cpu_times_parse(const char *text, unsigned hz, struct series_cpu_times *ret_cpu);
bool resident_parse(const char *memory_stat, uint64_t *ret_bytes);

#endif
