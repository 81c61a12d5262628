/* SPDX-License-Identifier: Apache-2.0 */
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>

#include "manager.h"
#include "options.h"
#include "ebb/log.h"

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
	if (r == CONFIG_OK) {
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
