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
 * What one write may make the kernel reclaim. Bounds how long a shrink takes to notice that it is
 * cancelled: 5 to 20 ms of clean page cache, more when it has to be written back.
 */
#define STEP_BYTES (32 * EBB_MIB)

/* memory.reclaim that frees nothing so often in a row will not. */
#define FRUITLESS_MAX 5

struct job {
	struct job *next;
	struct container *shadow; /* a copy with the memory directory only */
	uint64_t working_set;
	struct shrink_result result;
	atomic_bool cancelled;
	shrink_done_fn done;
	void *userdata;
};

struct shrinker {
	const struct hierarchies *hierarchies;
	const struct cgroup_ops *ops;
	int event_fd; /* written when `finished` is no longer empty */
	struct loop_source *source;
	pthread_t thread;
	bool started, closing;

	pthread_mutex_t lock; /* of what follows; never held across I/O on cgroups */
	pthread_cond_t wake;
	struct job *waiting, *running, *finished;
	bool stop;
};

uint64_t shrink_floor(uint64_t working_set)
{
	uint64_t margin = MAX(16 * EBB_MIB, working_set / 20);
	return working_set > UINT64_MAX - margin ? UINT64_MAX : working_set + margin;
}

static uint64_t round_up_to_page(uint64_t bytes)
{
	uint64_t down = limits_round_to_page(bytes);
	return down == bytes ? bytes : down + (uint64_t)sysconf(_SC_PAGESIZE);
}

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

struct memory {
	uint64_t limit, usage, floor;
};

static int look(struct shrinker *shrinker, struct job *job, struct memory *ret_memory)
{
	uint64_t limit, usage, inactive_file;

	int r = shrinker->ops->read_mem(job->shadow, &limit);
	if (r == 0)
		r = limits_read_mem_usage(shrinker->hierarchies, job->shadow, &usage,
					  &inactive_file);
	if (r < 0)
		return r;

	uint64_t working_set = usage > inactive_file ? usage - inactive_file : 0;
	ret_memory->limit = limit;
	ret_memory->usage = usage;
	ret_memory->floor = round_up_to_page(shrink_floor(MAX(working_set, job->working_set)));
	return 0;
}

/*
 * v2: makes room before the limit is lowered, because memory.max kills when it cannot. 0 when a
 * little was reclaimed or nothing need be; -EBUSY when nothing can be; -EOPNOTSUPP before 5.19.
 */
static int reclaim(struct job *job, uint64_t bytes)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, bytes);
	int r = cgroup_write(job->shadow->dir_fds[CGROUP_MEMORY], "memory.reclaim", text);
	return r == -EAGAIN ? 0 : r;
}

/*
 * Step by step from the present limit to the target. The target follows the working set up; another
 * limit than the one written last is someone else's, and stays.
 */
static int lower(struct shrinker *shrinker, struct job *job)
{
	bool v2 = shrinker->hierarchies->by_controller[CGROUP_MEMORY].version == 2;
	struct shrink_result *result = &job->result;
	struct memory memory;
	unsigned fruitless = 0;

	int r = look(shrinker, job, &memory);
	if (r < 0)
		return r;

	uint64_t before = memory.limit, level = before, least_usage = UINT64_MAX;
	result->floor = memory.floor;
	if (result->asked >= before) {
		r = limits_write_mem(shrinker->hierarchies, job->shadow, result->asked);
		if (r == 0)
			result->applied = result->asked;
		return r;
	}

	for (;;) {
		if (atomic_load(&job->cancelled))
			r = -ECANCELED;
		else
			r = look(shrinker, job, &memory);
		if (r < 0)
			break;
		if (memory.limit != level)
			return -EREMOTEIO;
		result->floor = memory.floor;

		uint64_t target = MAX(limits_round_to_page(result->asked), memory.floor);
		if (target >= level) {
			result->applied = level;
			return 0;
		}

		uint64_t next = target;
		if (memory.usage > target && v2) {
			fruitless = memory.usage < least_usage ? 0 : fruitless + 1;
			least_usage = MIN(least_usage, memory.usage);
			r = fruitless >= FRUITLESS_MAX
				    ? -EBUSY
				    : reclaim(job, MIN(memory.usage - target, STEP_BYTES));
			if (r == 0)
				continue;
			if (r != -EOPNOTSUPP)
				break;
		}
		if (memory.usage > target + STEP_BYTES)
			next = MAX(target,
				   MIN(level, limits_round_to_page(memory.usage)) - STEP_BYTES);

		r = limits_write_mem(shrinker->hierarchies, job->shadow, next);
		if (r < 0)
			break;
		level = next;
	}

	if (level != before && r != -EREMOTEIO)
		limits_write_mem(shrinker->hierarchies, job->shadow, before);
	return r;
}

static void *shrinker_thread(void *arg)
{
	struct shrinker *shrinker = arg;

	pthread_mutex_lock(&shrinker->lock);
	for (;;) {
		while (!shrinker->stop && !shrinker->waiting)
			pthread_cond_wait(&shrinker->wake, &shrinker->lock);
		if (shrinker->stop)
			break;

		struct job *job = shrinker->running = shrinker->waiting;
		shrinker->waiting = job->next;
		pthread_mutex_unlock(&shrinker->lock);

		uint64_t start = now_ns();
		job->result.error = lower(shrinker, job);
		job->result.seconds = (now_ns() - start) / 1e9;

		pthread_mutex_lock(&shrinker->lock);
		shrinker->running = NULL;
		append(&shrinker->finished, job);
		eventfd_write(shrinker->event_fd, 1);
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
		if (result->error == 0 && result->floor > result->asked)
			log_info(
				"the memory limit of %s is now %llu MiB, not the %llu MiB asked: it "
				"needs %llu MiB",
				job->shadow->name, result->applied / EBB_MIB,
				result->asked / EBB_MIB, result->floor / EBB_MIB);
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
		job->result.error = -ECANCELED;
		append(&shrinker->finished, job);
		eventfd_write(shrinker->event_fd, 1);
	}
	if (!shrinker->running || (id && shrinker->running->shadow->id != *id))
		return false;
	atomic_store(&shrinker->running->cancelled, true);
	return true;
}

bool shrinker_cancel(struct shrinker *shrinker, uint64_t container_id)
{
	pthread_mutex_lock(&shrinker->lock);
	bool running = cancel_locked(shrinker, &container_id);
	pthread_mutex_unlock(&shrinker->lock);
	return running;
}

int shrinker_submit(struct shrinker *shrinker, const struct container *container, uint64_t target,
		    uint64_t working_set, shrink_done_fn done, void *userdata)
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
	job->working_set = working_set;
	job->result.asked = target;
	job->done = done;
	job->userdata = userdata;

	pthread_mutex_lock(&shrinker->lock);
	cancel_locked(shrinker, &shadow->id);
	append(&shrinker->waiting, job);
	pthread_cond_signal(&shrinker->wake);
	pthread_mutex_unlock(&shrinker->lock);
	return 0;
}

int shrinker_new(struct loop *loop, const struct hierarchies *hierarchies,
		 struct shrinker **ret_shrinker)
{
	struct shrinker *shrinker = calloc(1, sizeof(*shrinker));
	sigset_t all, old;
	int r;

	if (!shrinker)
		return -ENOMEM;
	shrinker->hierarchies = hierarchies;
	shrinker->ops = hierarchies->by_controller[CGROUP_MEMORY].version == 2 ? &cgroup_v2_ops
									       : &cgroup_v1_ops;
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

	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = -pthread_create(&shrinker->thread, NULL, shrinker_thread, shrinker);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r < 0)
		goto fail;
	shrinker->started = true;
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
	if (shrinker->started) {
		pthread_mutex_lock(&shrinker->lock);
		shrinker->stop = true;
		cancel_locked(shrinker, NULL);
		pthread_cond_signal(&shrinker->wake);
		pthread_mutex_unlock(&shrinker->lock);
		pthread_join(shrinker->thread, NULL);
		finish_all(shrinker);
	}
	loop_remove(shrinker->source);
	if (shrinker->event_fd >= 0)
		close(shrinker->event_fd);
	pthread_cond_destroy(&shrinker->wake);
	pthread_mutex_destroy(&shrinker->lock);
	free(shrinker);
}
