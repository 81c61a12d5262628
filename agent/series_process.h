/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes from one interval to the next: what each used in between, which series are begun and
 * closed, and what those used that came and went unseen. Pure but for memory; none is asked for
 * while the same processes run. For one thread.
 */
#ifndef EBB_SERIES_PROCESS_H
#define EBB_SERIES_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../bpf/tasks.h"

/* Series that begin and end together: proc.cpu.*, proc.mem.*, proc.disk.*. */
enum series_group {
	SERIES_GROUP_CPU = 1 << 0,
	SERIES_GROUP_MEM = 1 << 1,
	SERIES_GROUP_DISK = 1 << 2,
};

/* Use in an interval; memory as of its end. */
struct process_use {
	uint64_t user_ns, kernel_ns;             /* exact in sum */
	uint64_t runtime_ns, utime_ns, stime_ns; /* utime and stime as ticks counted them */
	uint64_t read_bytes, write_bytes;
	uint64_t rss_pages, vm_pages;
};

struct process {
	struct ebb_process last;     /* as far as counted */
	uint64_t user_ns, kernel_ns; /* of last.runtime_ns, neither ever falling */
	struct process_use use;      /* since the last interval */
	bool ended;
	bool unknown;    /* it is older than this look, its first: what it used is not known */
	unsigned unseen; /* intervals in a row */
	unsigned round;  /* of the read that saw it last */
	size_t position; /* the table's own */

	/* The caller's: what it wrote last time, and the tags under which. */
	bool keep;        /* `use` could not be written: it stays for the next interval */
	unsigned kept;    /* how often in a row; the table's own */
	unsigned open;    /* enum series_group */
	char *tags;       /* owned by the process; NULL: to be made */
	unsigned closing; /* groups that are open under... */
	/* ...the name or the container that it had before; owned, there until the next interval */
	char *closing_tags;
};

/* Those of one command in one container that came and went within the interval. */
struct process_gone {
	uint64_t container_id;
	uint32_t slot, flags;
	char comm[EBB_COMM_MAX];
	struct process_use use;
	unsigned count;
	bool keep; /* all as above */
	unsigned kept;
	unsigned open;
	char *tags; /* owned by the table */
};

struct process_table;

/* `max_gone`: pairs of container and command at once, in an interval. */
int process_table_new(size_t max_gone, struct process_table **ret_table);
void process_table_free(struct process_table *table);

/* A look at all processes begins: process_table_add() for each, then process_table_seen(). */
void process_table_look(struct process_table *table, uint64_t at_ns);
/* -ENOMEM: this one is not counted. */
int process_table_add(struct process_table *table, const struct ebb_process *process);
/* All have been added: those that were not are unseen. */
void process_table_seen(struct process_table *table);
/*
 * One that has ended, at any time; never twice the same. -ENOBUFS, -ENOMEM: what it used is not
 * counted.
 */
int process_table_ended(struct process_table *table, const struct ebb_process *process);

/* Between the last two looks; 0: there was one only, and nothing is known of what was used. */
double process_table_seconds(const struct process_table *table);
size_t process_table_count(const struct process_table *table);
struct process *process_table_at(struct process_table *table, size_t index);
size_t process_table_gone_count(const struct process_table *table);
struct process_gone *process_table_gone_at(struct process_table *table, size_t index);

/* The interval has been written: uses start anew, and what is over and closed is forgotten. */
void process_table_next(struct process_table *table);

/*
 * Which groups of these values (enum series_value, the base ones) are worth a series: those not
 * next to nothing, as in the old pipeline.
 */
unsigned series_groups_worth(const double *values);

#endif
