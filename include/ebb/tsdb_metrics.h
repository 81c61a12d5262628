/* SPDX-License-Identifier: Apache-2.0 */
/* Every metric name that Ebb writes to OpenTSDB, with its set: for `tsdb mkmetric`, and the docs.
 */
#ifndef EBB_TSDB_METRICS_H
#define EBB_TSDB_METRICS_H

#include <stddef.h>

enum tsdb_set {
	TSDB_SET_CONTAINER = 1 << 0, /* agent: summed per container, tag host=<container> */
	TSDB_SET_PROCESS = 1 << 1,   /* agent: per pid and command */
	TSDB_SET_HOST = 1 << 2,      /* agent: sys.* */
	TSDB_SET_STATE = 1 << 3,     /* controller: structure.*, limit.*, conf.*, user.* */
};

struct tsdb_metric {
	const char *name;
	unsigned sets; /* enum tsdb_set */
	const char *unit;
};
/* Sorted by name. */
extern const struct tsdb_metric tsdb_metrics[];
extern const size_t tsdb_n_metrics;

#endif
