/* SPDX-License-Identifier: Apache-2.0 */
#include "shrink.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/units.h"
#include "limits.h"

/*
 * Reclaim may take seconds, and those of other containers shall not wait for it: a few at a time,
 * started when they are needed. More would only compete for the same disks and LRU locks.
 */
#define THREADS_MAX 4

struct job {
	struct job *next;
	struct container *shadow; /* a copy with the memory directory only */
	enum shrink_what what;
	uint64_t working_set;
	struct shrink_result result;
	atomic_bool cancelled;
	shrink_done_fn done;
	void *userdata;
};

struct shrinker {
	const struct hierarchies *hierarchies;
	int event_fd; /* written when `finished` is no longer empty */
	struct loop_source *source;
	pthread_t threads[THREADS_MAX]; /* the loop's thread starts and joins them */
	unsigned n_threads;
	bool closing;

	pthread_mutex_t lock; /* of what follows; never held across I/O on cgroups */
	pthread_cond_t wake;
	struct job *waiting, *finished;
	struct job *running[THREADS_MAX]; /* at most one of a container */
	size_t n_waiting, n_running;
	bool stop;
};

static void append(struct job **list, struct job *job)
{
	job->next = NULL;
	while (*list)
		list = &(*list)->next;
	*list = job;
}

static void job_free(struct job *job)
{
	container_free(job->shadow);
	free(job);
}

static bool is_running(const struct shrinker *shrinker, uint64_t id)
{
	for (unsigned i = 0; i < THREADS_MAX; i++)
		if (shrinker->running[i] && shrinker->running[i]->shadow->id == id)
			return true;
	return false;
}

/* The first whose container has none running, out of the list. With the lock held. */
static struct job *take_waiting(struct shrinker *shrinker)
{
	for (struct job **link = &shrinker->waiting; *link; link = &(*link)->next) {
		struct job *job = *link;

		if (!is_running(shrinker, job->shadow->id)) {
			*link = job->next;
			shrinker->n_waiting--;
			return job;
		}
	}
	return NULL;
}

static void run(struct shrinker *shrinker, struct job *job)
{
	struct shrink_result *result = &job->result;
	uint64_t start = now_ns();
	struct shrink_ladder ladder = {
		.hierarchies = shrinker->hierarchies,
		.container = job->shadow,
		.what = job->what,
		.asked = result->asked,
		.working_set = job->working_set,
		.cancelled = &job->cancelled,
	};

	result->error = shrink_ladder_run(&ladder);
	result->floor = ladder.floor;
	result->applied = ladder.applied;
	result->steps = ladder.steps;
	result->seconds = (now_ns() - start) / 1e9;
}

static void *shrinker_thread(void *arg)
{
	struct shrinker *shrinker = arg;
	struct job *job = NULL;

	pthread_mutex_lock(&shrinker->lock);
	for (;;) {
		while (!shrinker->stop && !(job = take_waiting(shrinker)))
			pthread_cond_wait(&shrinker->wake, &shrinker->lock);
		if (shrinker->stop)
			break;

		unsigned place = 0;
		while (shrinker->running[place])
			place++;
		shrinker->running[place] = job;
		shrinker->n_running++;
		pthread_mutex_unlock(&shrinker->lock);

		run(shrinker, job);

		pthread_mutex_lock(&shrinker->lock);
		shrinker->running[place] = NULL;
		shrinker->n_running--;
		append(&shrinker->finished, job);
		eventfd_write(shrinker->event_fd, 1);
		/* One of the same container may have waited for this one. */
		pthread_cond_signal(&shrinker->wake);
	}
	pthread_mutex_unlock(&shrinker->lock);
	return NULL;
}

static void finish_all(struct shrinker *shrinker)
{
	for (;;) {
		pthread_mutex_lock(&shrinker->lock);
		struct job *job = shrinker->finished;
		if (job)
			shrinker->finished = job->next;
		pthread_mutex_unlock(&shrinker->lock);
		if (!job)
			return;

		const struct shrink_result *result = &job->result;
		char steps[512];
		shrink_steps_format(&result->steps, steps, sizeof(steps));
		if (result->error == 0 && job->what == SHRINK_THE_LIMIT &&
		    result->floor > result->asked)
			log_info(
				"the memory limit of %s is now %llu MiB, not the %llu MiB asked: it "
				"needs %llu MiB (%s)",
				job->shadow->name, result->applied / EBB_MIB,
				result->asked / EBB_MIB, result->floor / EBB_MIB, steps);
		else if (result->steps.n)
			log_debug("memory of %s: %s", job->shadow->name, steps);
		job->done(job->userdata, result);
		job_free(job);
	}
}

static void on_finished(void *userdata, int fd, uint32_t events)
{
	eventfd_t count;

	eventfd_read(fd, &count);
	finish_all(userdata);
}

/* Moves what waits for the container to `finished`, cancelled. With the lock held. */
static bool cancel_locked(struct shrinker *shrinker, const uint64_t *id)
{
	for (struct job **link = &shrinker->waiting; *link;) {
		struct job *job = *link;
		if (id && job->shadow->id != *id) {
			link = &job->next;
			continue;
		}
		*link = job->next;
		shrinker->n_waiting--;
		job->result.error = -ECANCELED;
		append(&shrinker->finished, job);
		eventfd_write(shrinker->event_fd, 1);
	}
	bool running = false;
	for (unsigned i = 0; i < THREADS_MAX; i++) {
		struct job *job = shrinker->running[i];
		if (!job || (id && job->shadow->id != *id))
			continue;
		atomic_store(&job->cancelled, true);
		running = true;
	}
	return running;
}

bool shrinker_cancel(struct shrinker *shrinker, uint64_t container_id)
{
	pthread_mutex_lock(&shrinker->lock);
	bool running = cancel_locked(shrinker, &container_id);
	pthread_mutex_unlock(&shrinker->lock);
	return running;
}

static int start_thread(struct shrinker *shrinker)
{
	sigset_t all, old;

	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int r = -pthread_create(&shrinker->threads[shrinker->n_threads], NULL, shrinker_thread,
				shrinker);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r == 0)
		shrinker->n_threads++;
	return r;
}

static int submit(struct shrinker *shrinker, const struct container *container,
		  enum shrink_what what, uint64_t bytes, uint64_t working_set, shrink_done_fn done,
		  void *userdata)
{
	if (shrinker->closing)
		return -ESHUTDOWN;
	if (container->dir_fds[CGROUP_MEMORY] < 0)
		return -EOPNOTSUPP;

	struct container *shadow;
	int r = container_new(container->id, container->name, container->path, container->engine,
			      &shadow);
	if (r < 0)
		return r;
	shadow->dir_fds[CGROUP_MEMORY] =
		fcntl(container->dir_fds[CGROUP_MEMORY], F_DUPFD_CLOEXEC, 3);
	if (shadow->dir_fds[CGROUP_MEMORY] < 0) {
		r = -errno;
		container_free(shadow);
		return r;
	}

	struct job *job = calloc(1, sizeof(*job));
	if (!job) {
		container_free(shadow);
		return -ENOMEM;
	}
	job->shadow = shadow;
	job->what = what;
	job->working_set = working_set;
	job->result.asked = bytes;
	job->done = done;
	job->userdata = userdata;

	pthread_mutex_lock(&shrinker->lock);
	cancel_locked(shrinker, &shadow->id);
	append(&shrinker->waiting, job);
	shrinker->n_waiting++;
	bool busy = shrinker->n_running + shrinker->n_waiting > shrinker->n_threads;
	pthread_cond_signal(&shrinker->wake);
	pthread_mutex_unlock(&shrinker->lock);
	/* Without one more it waits its turn. */
	if (busy && shrinker->n_threads < THREADS_MAX)
		start_thread(shrinker);
	return 0;
}

int shrinker_submit(struct shrinker *shrinker, const struct container *container, uint64_t target,
		    uint64_t working_set, shrink_done_fn done, void *userdata)
{
	return submit(shrinker, container, SHRINK_THE_LIMIT, target, working_set, done, userdata);
}

int shrinker_submit_high(struct shrinker *shrinker, const struct container *container,
			 uint64_t bytes, shrink_done_fn done, void *userdata)
{
	return submit(shrinker, container, SHRINK_THE_HIGH, bytes, 0, done, userdata);
}

int shrinker_submit_reclaim(struct shrinker *shrinker, const struct container *container,
			    uint64_t bytes, shrink_done_fn done, void *userdata)
{
	return submit(shrinker, container, SHRINK_THE_USAGE, bytes, 0, done, userdata);
}

int shrinker_new(struct loop *loop, const struct hierarchies *hierarchies,
		 struct shrinker **ret_shrinker)
{
	struct shrinker *shrinker = calloc(1, sizeof(*shrinker));
	int r;

	if (!shrinker)
		return -ENOMEM;
	shrinker->hierarchies = hierarchies;
	pthread_mutex_init(&shrinker->lock, NULL);
	pthread_cond_init(&shrinker->wake, NULL);

	shrinker->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (shrinker->event_fd < 0) {
		r = -errno;
		goto fail;
	}
	r = loop_add_fd(loop, shrinker->event_fd, EPOLLIN, on_finished, shrinker,
			&shrinker->source);
	if (r < 0)
		goto fail;

	r = start_thread(shrinker);
	if (r < 0)
		goto fail;
	*ret_shrinker = shrinker;
	return 0;

fail:
	shrinker_free(shrinker);
	return r;
}

void shrinker_free(struct shrinker *shrinker)
{
	if (!shrinker)
		return;
	shrinker->closing = true;
	if (shrinker->n_threads) {
		pthread_mutex_lock(&shrinker->lock);
		shrinker->stop = true;
		cancel_locked(shrinker, NULL);
		pthread_cond_broadcast(&shrinker->wake);
		pthread_mutex_unlock(&shrinker->lock);
		for (unsigned i = 0; i < shrinker->n_threads; i++)
			pthread_join(shrinker->threads[i], NULL);
		finish_all(shrinker);
	}
	loop_remove(shrinker->source);
	if (shrinker->event_fd >= 0)
		close(shrinker->event_fd);
	pthread_cond_destroy(&shrinker->wake);
	pthread_mutex_destroy(&shrinker->lock);
	free(shrinker);
}
