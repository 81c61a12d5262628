/* SPDX-License-Identifier: Apache-2.0 */
/* A load that waits in its cgroup until it is let loose: in the moment, and without a fork. */
#ifndef EBB_GATED_LOAD_H
#define EBB_GATED_LOAD_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <unistd.h>

/* In memory that both share; 0: it sleeps, and looks every 0.5 ms. */
struct load_gate {
	_Atomic int open;
};

static inline void *gated_spin(void *arg)
{
	struct load_gate *gate = arg;

	for (;;) {
		while (!atomic_load_explicit(&gate->open, memory_order_relaxed))
			usleep(500);
		while (atomic_load_explicit(&gate->open, memory_order_relaxed))
			;
	}
	return NULL;
}

/* For cgroup_tree_spawn(): two threads that spin while it is open, until killed. */
static inline void gated_spin_on_two(void *gate)
{
	pthread_t other;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (pthread_create(&other, NULL, gated_spin, gate))
		_exit(1);
	gated_spin(gate);
}

#endif
