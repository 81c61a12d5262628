/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "manager.h"
#include "options.h"
#include "ebb/log.h"
#include "ebb/tsdb.h"
#include "ebb/tsdb_metrics.h"

/* On one line, as arguments of `tsdb mkmetric`. */
static void print_metrics(void)
{
	for (size_t i = 0; i < tsdb_n_metrics; i++)
		printf("%s%s", i ? " " : "", tsdb_metrics[i].name);
	putchar('\n');
}

static int assign_metrics(const struct agent_options *options)
{
	const char **names = calloc(tsdb_n_metrics, sizeof(*names));
	int r;

	if (!names)
		return log_error_errno(ENOMEM, "cannot list the metrics");
	for (size_t i = 0; i < tsdb_n_metrics; i++)
		names[i] = tsdb_metrics[i].name;
	r = tsdb_assign(
		&(struct tsdb_options){
			.url = options->opentsdb,
			.ca_file = options->ca_file,
		},
		names, tsdb_n_metrics);
	free(names);
	return r;
}

int main(int argc, char **argv)
{
	struct agent_options options = {0};
	struct manager *manager;
	int r;

	/*
	 * Large buffers (a megabyte of metrics, a registration) go back to the kernel when freed.
	 * Left alone, the first one freed moves this threshold up, and the next ones stay.
	 */
	mallopt(M_MMAP_THRESHOLD, 128 << 10);
	/* A peer that hangs up is an error of that write, not the end of the agent. */
	signal(SIGPIPE, SIG_IGN);

	r = agent_options_load(argc, argv, &options);
	if (r == CONFIG_OK && options.print_mkmetric) {
		print_metrics();
	} else if (r == CONFIG_OK && options.assign_metrics) {
		r = assign_metrics(&options);
	} else if (r == CONFIG_OK) {
		log_set_level((enum log_level)options.log_level);
		r = manager_new(&options, &manager);
		if (r >= 0) {
			r = manager_run(manager);
			manager_free(manager);
		}
	}
	agent_options_clear(&options);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
