/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every process uses, by one read of a BPF iterator, and the last numbers of those that ended:
 * no walk through /proc, and nothing that a process could hide by being short. For one thread.
 */
#ifndef EBB_TASKS_H
#define EBB_TASKS_H

#include <stdbool.h>
#include <stdint.h>

#include "hierarchy.h"
#include "../bpf/tasks.h"

struct bpf_programs;
struct tasks;

typedef void (*tasks_fn)(void *userdata, const struct ebb_process *process);

/*
 * Loads the programs. `outside`: processes in no container and kernel threads too. `bpf` is
 * borrowed; one struct tasks at a time. -EOPNOTSUPP and others: the caller logs.
 */
int tasks_new(struct bpf_programs *bpf, const struct hierarchies *hierarchies, bool outside,
	      struct tasks **ret_tasks);
/* The programs stay loaded until `bpf` goes. */
void tasks_free(struct tasks *tasks);

/* Every process there is, once. A process that begins or ends meanwhile may be missed. */
int tasks_read(struct tasks *tasks, tasks_fn fn, void *userdata);
/*
 * Those that ended since the last call, each once, EBB_PROCESS_ENDED set; how many, or a negative
 * errno. The buffer holds TASKS_ENDED_MAX of them.
 */
#define TASKS_ENDED_MAX 9300
int tasks_drain(struct tasks *tasks, tasks_fn fn, void *userdata);
/* Ended processes that found the buffer full, in total. */
uint64_t tasks_lost(const struct tasks *tasks);

#endif
