/* SPDX-License-Identifier: Apache-2.0 */
#include "timed.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "ebb/cleanup.h"
#include "ebb/loop.h"
#include "ebb/units.h"
#include "ebb/util.h"

/* How soon a period that was changed, or a clock that was set, is seen. */
#define WAIT_MAX_S 0.5

struct job {
	struct job *next;
	timed_fn fn;
	void *userdata;
};

struct timed {
	pthread_t thread;
	pthread_mutex_t lock; /* of all below; never held while a job is at work */
	pthread_cond_t wake;
	struct job *jobs; /* only grows */
	bool woken, stopping;
};

/* Until when to wait, as wall clock. The lock is not held. */
static double run_all(struct job *jobs)
{
	double due = INFINITY;

	for (struct job *job = jobs; job; job = __atomic_load_n(&job->next, __ATOMIC_ACQUIRE))
		due = MIN(due, job->fn(job->userdata, wall_seconds()));
	return due;
}

static void *timed_thread(void *userdata)
{
	struct timed *timed = userdata;

	pthread_mutex_lock(&timed->lock);
	while (!timed->stopping) {
		struct job *jobs = timed->jobs;
		struct timespec until;
		double due, wait_s;
		uint64_t ns;

		timed->woken = false;
		pthread_mutex_unlock(&timed->lock);
		due = run_all(jobs);
		wait_s = CLAMP(due - wall_seconds(), 0.001, WAIT_MAX_S);
		ns = now_ns() + (uint64_t)(wait_s * EBB_NS_PER_SEC);
		until = (struct timespec){.tv_sec = (time_t)(ns / EBB_NS_PER_SEC),
					  .tv_nsec = (long)(ns % EBB_NS_PER_SEC)};
		pthread_mutex_lock(&timed->lock);
		if (!timed->stopping && !timed->woken)
			pthread_cond_timedwait(&timed->wake, &timed->lock, &until);
	}
	pthread_mutex_unlock(&timed->lock);
	return NULL;
}

int timed_new(struct timed **ret_timed)
{
	struct timed *timed = calloc(1, sizeof(*timed));
	pthread_condattr_t attr;
	int r;

	if (!timed)
		return -ENOMEM;
	pthread_mutex_init(&timed->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&timed->wake, &attr);
	pthread_condattr_destroy(&attr);
	r = -pthread_create(&timed->thread, NULL, timed_thread, timed);
	if (r < 0) {
		pthread_cond_destroy(&timed->wake);
		pthread_mutex_destroy(&timed->lock);
		free(timed);
		return r;
	}
	*ret_timed = timed;
	return 0;
}

void timed_free(struct timed *timed)
{
	if (!timed)
		return;
	pthread_mutex_lock(&timed->lock);
	timed->stopping = true;
	pthread_cond_signal(&timed->wake);
	pthread_mutex_unlock(&timed->lock);
	pthread_join(timed->thread, NULL);
	while (timed->jobs) {
		struct job *job = timed->jobs;

		timed->jobs = job->next;
		free(job);
	}
	pthread_cond_destroy(&timed->wake);
	pthread_mutex_destroy(&timed->lock);
	free(timed);
}

int timed_add(struct timed *timed, timed_fn fn, void *userdata)
{
	struct job *job = calloc(1, sizeof(*job)), **last;

	if (!job)
		return -ENOMEM;
	*job = (struct job){.fn = fn, .userdata = userdata};
	pthread_mutex_lock(&timed->lock);
	for (last = &timed->jobs; *last; last = &(*last)->next)
		;
	__atomic_store_n(last, job, __ATOMIC_RELEASE);
	timed->woken = true;
	pthread_cond_signal(&timed->wake);
	pthread_mutex_unlock(&timed->lock);
	return 0;
}

void timed_wake(struct timed *timed)
{
	pthread_mutex_lock(&timed->lock);
	timed->woken = true;
	pthread_cond_signal(&timed->wake);
	pthread_mutex_unlock(&timed->lock);
}
