/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the agent writes to OpenTSDB, replacing an atop pipeline in every container: every `period`
 * seconds, on whole multiples of it, one point per metric and container (or process, or device) for
 * the interval that ended then. The loop only copies what it has; rates, encoding and everything
 * that may block are done on a thread of its own.
 */
#ifndef EBB_SERIES_H
#define EBB_SERIES_H

#include "container.h"
#include "sampler.h"
#include "ebb/loop.h"
#include "ebb/tsdb.h"
#include "ebb/tsdb_metrics.h"

struct bpf_programs;

struct series_options {
	struct loop *loop;
	struct tsdb *tsdb;     /* borrowed; outlives the series */
	unsigned sets;         /* TSDB_SET_CONTAINER | _PROCESS | _HOST */
	unsigned period_s;     /* 5 */
	const char *host_name; /* tag `host` of sys.* and of processes in no container */
	const struct hierarchies *hierarchies;
	struct container_table *table;
	struct sampler *sampler;
	struct tasks *tasks; /* taken over; NULL: no `process` set, `container` from cgroup files */
};

/*
 * Loads the programs that read the processes for `sets`, while that is still allowed (sandbox.h).
 * *ret_tasks NULL: not needed, or not to be had, which is logged. -EOPNOTSUPP with a log line: the
 * `process` set cannot be had here.
 */
int series_load_tasks(struct bpf_programs *bpf, const struct hierarchies *hierarchies,
		      unsigned sets, struct tasks **ret_tasks);

struct series;
/* Starts the thread. */
int series_new(const struct series_options *options, struct series **ret_series);
/* Waits for the interval under way. */
void series_free(struct series *series);
/* Before the sampler forgets it: its last sample ends its series. */
void series_container_removed(struct series *series, struct container *container);
/* Its directories changed. */
void series_container_joined(struct series *series, struct container *container);

/*
 * The next moment to write at. `wall_ms`: CLOCK_REALTIME now; `last_s`: the timestamp written last,
 * 0: none. True: `ret_timestamp` is to be written now. In any case `ret_wait_ms` to the next whole
 * multiple of the period. Pure.
 */
bool series_is_due(int64_t wall_ms, unsigned period_s, int64_t last_s, int64_t *ret_timestamp,
		   unsigned *ret_wait_ms);

/*
 * The multiples of the period that were passed over between `last_s` (0: none) and `timestamp`,
 * when so much time went by as `elapsed_ns` says; a clock that was set passes over none. Pure.
 */
unsigned long series_passed_over(int64_t timestamp, int64_t last_s, unsigned period_s,
				 uint64_t elapsed_ns);

struct series_stats {
	unsigned long intervals, points;
	unsigned long late;             /* intervals that thread or loop could not keep up with */
	unsigned long lost_exits;       /* ended processes that found the buffer full */
	uint64_t collect_ns, encode_ns; /* CPU time of the thread */
	unsigned processes;             /* in the last interval */
};
void series_get_stats(struct series *series, struct series_stats *ret_stats);

#endif
