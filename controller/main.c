/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "controller.h"
#include "ebb/log.h"

/*
 * Read by jemalloc. With 100,000 containers glibc's allocator was what took the core beyond its end
 * (docs/measurements.md): 1 s from a sample to its order in place of 3 ms. Every CPU has four
 * arenas otherwise, which is memory, and no time gained under one lock; what is free for 1 s is
 * given back.
 */
const char *malloc_conf = "narenas:2,dirty_decay_ms:1000";

int main(int argc, char **argv)
{
	struct controller_options options = {0};
	struct controller *controller;
	int r;

	/* A peer that hangs up is an error of that write, not the end of the controller. */
	signal(SIGPIPE, SIG_IGN);

	r = controller_options_load(argc, argv, &options);
	if (r == CONFIG_OK) {
		log_set_level((enum log_level)options.log_level);
		r = controller_new(&options, &controller);
		if (r >= 0) {
			r = controller_run(controller);
			controller_free(controller);
		} else if (r == -ECANCELED) {
			/* Told to stop while it waited for its state: it did. */
			log_info("Stopped before the state was there");
			r = 0;
		}
	}
	controller_options_clear(&options);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
