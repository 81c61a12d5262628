/* SPDX-License-Identifier: Apache-2.0 */
#include "names.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "hash.h"
#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/units.h"

/* Engines write down a container before they make its cgroup, or a moment later. */
#define RETRY_NS (100 * EBB_NS_PER_MS)
/* For engines that were down and, less often, containers that were renamed: one fstat() each. */
#define REFRESH_NS     (5 * EBB_NS_PER_SEC)
#define REFRESH_ROUNDS 12 /* of those whose names are known */

struct entry {
	uint64_t id, stamp;
	uint64_t added_ns;
	const char *engine;
	char *path, *key;
	size_t position;
	bool asked; /* a job of it is under way */
	bool told;  /* `named` was called, with or without a name */
};

struct job {
	struct job *next;
	uint64_t id;
	struct engine_query query; /* its strings are in `text` */
	int result;
	struct engine_answer answer;
	char text[];
};

struct queue {
	struct job *first, **last;
};

struct names {
	struct names_options options;
	struct engines *engines;
	struct hash by_id;
	struct entry **entries;
	size_t n, size, n_untold, n_asked;
	struct loop_source *source, *retry_timer, *refresh_timer;
	bool retrying, told_unreadable;
	unsigned round;

	pthread_t thread;
	bool started;
	int event_fd;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	/* Under the lock. */
	struct queue waiting, finished;
	size_t n_finished;
	bool stop;
};

static void append(struct queue *queue, struct job *job)
{
	job->next = NULL;
	*queue->last = job;
	queue->last = &job->next;
}

static struct job *take_all(struct queue *queue)
{
	struct job *first = queue->first;

	queue->first = NULL;
	queue->last = &queue->first;
	return first;
}

static void job_free(struct job *job)
{
	engine_answer_clear(&job->answer);
	free(job);
}

static void free_jobs(struct job *job)
{
	while (job) {
		struct job *next = job->next;

		job_free(job);
		job = next;
	}
}

/* --- The thread's side ------------------------------------------------------------------------ */

static void *names_thread(void *arg)
{
	struct names *names = arg;

	pthread_setname_np(pthread_self(), "names");
	pthread_mutex_lock(&names->lock);
	for (;;) {
		while (!names->stop && !names->waiting.first)
			pthread_cond_wait(&names->wake, &names->lock);
		if (names->stop)
			break;
		struct job *job = names->waiting.first;
		names->waiting.first = job->next;
		if (!job->next)
			names->waiting.last = &names->waiting.first;
		pthread_mutex_unlock(&names->lock);

		job->result = engines_ask(names->engines, &job->query, &job->answer);

		pthread_mutex_lock(&names->lock);
		append(&names->finished, job);
		names->n_finished++;
		eventfd_write(names->event_fd, 1);
	}
	pthread_mutex_unlock(&names->lock);
	return NULL;
}

/* --- The loop's side -------------------------------------------------------------------------- */

static bool id_equal(const void *value, const void *key)
{
	return ((const struct entry *)value)->id == *(const uint64_t *)key;
}

static struct entry *find(const struct names *names, uint64_t id)
{
	return hash_find(&names->by_id, hash_u64(id), id_equal, &id);
}

static void entry_free(struct entry *entry)
{
	free(entry->path);
	free(entry->key);
	free(entry);
}

static void ask(struct names *names, struct entry *entry)
{
	size_t path_len = strlen(entry->path) + 1, key_len = strlen(entry->key) + 1;
	struct job *job;

	if (entry->asked)
		return;
	job = calloc(1, sizeof(*job) + path_len + key_len);
	if (!job)
		return; /* the next round tries again */
	job->id = entry->id;
	job->query = (struct engine_query){
		.engine = entry->engine,
		.path = memcpy(job->text, entry->path, path_len),
		.key = memcpy(job->text + path_len, entry->key, key_len),
		.stamp = entry->stamp,
	};
	entry->asked = true;
	names->n_asked++;
	pthread_mutex_lock(&names->lock);
	append(&names->waiting, job);
	pthread_cond_signal(&names->wake);
	pthread_mutex_unlock(&names->lock);
}

static void tell(struct names *names, struct entry *entry, struct engine_answer *answer)
{
	uint64_t id = entry->id;

	if (!entry->told)
		names->n_untold--;
	entry->told = true;
	/* It may remove the entry. */
	names->options.named(names->options.userdata, id, answer);
}

static void retry_later(struct names *names)
{
	if (names->retrying)
		return;
	names->retrying = true;
	loop_set_timer(names->retry_timer, RETRY_NS, 0);
}

static void take_answer(struct names *names, struct job *job)
{
	struct entry *entry = find(names, job->id);

	names->n_asked--;
	/* It has gone, and its id may be another one's by now. */
	if (!entry || strcmp(entry->path, job->query.path))
		return;
	entry->asked = false;
	if (job->result == 0) {
		entry->stamp = job->answer.stamp;
		tell(names, entry, &job->answer);
		return;
	}
	if (job->result == -EALREADY)
		return;
	if (job->result != -ENOENT && !names->told_unreadable) {
		log_warning_errno(job->result,
				  "the engines' state about the container at %s cannot be read: "
				  "such containers are called by their ids",
				  entry->path);
		names->told_unreadable = true;
	}
	if (!entry->told)
		retry_later(names);
}

static int by_age(const void *a, const void *b)
{
	uint64_t x = (*(struct job *const *)a)->id, y = (*(struct job *const *)b)->id;

	return x < y ? -1 : x > y;
}

static void on_finished(void *userdata, int fd, uint32_t events)
{
	struct names *names = userdata;
	struct job *first, *job;
	eventfd_t count;
	size_t n = 0;

	eventfd_read(fd, &count);
	pthread_mutex_lock(&names->lock);
	first = take_all(&names->finished);
	names->n_finished = 0;
	pthread_mutex_unlock(&names->lock);

	for (job = first; job; job = job->next)
		n++;
	_cleanup_free_ struct job **jobs = calloc(n + 1, sizeof(*jobs));
	if (!jobs) {
		for (job = first; job; job = job->next)
			take_answer(names, job);
		free_jobs(first);
		return;
	}
	n = 0;
	for (job = first; job; job = job->next)
		jobs[n++] = job;
	qsort(jobs, n, sizeof(*jobs), by_age);
	for (size_t i = 0; i < n; i++) {
		take_answer(names, jobs[i]);
		job_free(jobs[i]);
	}
}

static void on_retry(void *userdata)
{
	struct names *names = userdata;
	uint64_t now = now_ns();

	names->retrying = false;
	for (size_t i = names->n; i-- > 0 && names->n_untold > 0;) {
		struct entry *entry;

		/* Being told may have removed some. */
		if (i >= names->n)
			continue;
		entry = names->entries[i];
		if (entry->told)
			continue;
		ask(names, entry);
		if (now - entry->added_ns >= NAMES_WAIT_NS)
			tell(names, entry, NULL);
	}
	if (names->n_untold > 0)
		retry_later(names);
}

static void on_refresh(void *userdata)
{
	struct names *names = userdata;

	names->round++;
	for (size_t i = 0; i < names->n; i++)
		if (!names->entries[i]->stamp || names->round % REFRESH_ROUNDS == 0)
			ask(names, names->entries[i]);
}

int names_add(struct names *names, const struct container *container)
{
	struct entry *entry;
	int r = -ENOMEM;

	names_remove(names, container->id);
	if (names->n == names->size) {
		size_t size = names->size ? 2 * names->size : 64;
		struct entry **entries = realloc(names->entries, size * sizeof(*entries));

		if (!entries)
			return -ENOMEM;
		names->entries = entries;
		names->size = size;
	}
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return -ENOMEM;
	entry->id = container->id;
	entry->engine = container->engine;
	entry->added_ns = now_ns();
	entry->position = names->n;
	entry->path = strdup(container->path);
	entry->key = strdup(container->key);
	if (entry->path && entry->key)
		r = hash_add(&names->by_id, hash_u64(entry->id), entry);
	if (r < 0) {
		entry_free(entry);
		return r;
	}
	names->entries[names->n++] = entry;
	names->n_untold++;
	ask(names, entry);
	/* The thread may hang, and the second passes all the same. */
	retry_later(names);
	return 0;
}

static void drop(struct names *names, struct entry *entry)
{
	struct entry *last = names->entries[--names->n];

	last->position = entry->position;
	names->entries[last->position] = last;
	if (!entry->told)
		names->n_untold--;
	hash_remove(&names->by_id, hash_u64(entry->id), entry);
	entry_free(entry);
}

void names_remove(struct names *names, uint64_t id)
{
	struct entry *entry = find(names, id);

	if (entry)
		drop(names, entry);
}

void names_settle(struct names *names, unsigned timeout_ms)
{
	uint64_t until = now_ns() + timeout_ms * EBB_NS_PER_MS, now;

	while (names->n_asked > 0 && (now = now_ns()) < until) {
		struct pollfd ready = {.fd = names->event_fd, .events = POLLIN};
		eventfd_t count;
		bool all;

		poll(&ready, 1, (int)((until - now) / EBB_NS_PER_MS) + 1);
		pthread_mutex_lock(&names->lock);
		all = names->n_finished == names->n_asked;
		pthread_mutex_unlock(&names->lock);
		if (all)
			break;
		eventfd_read(names->event_fd, &count);
	}
	on_finished(names, names->event_fd, EPOLLIN);
}

int names_new(const struct names_options *options, struct names **ret_names)
{
	struct names *names = calloc(1, sizeof(*names));
	sigset_t all, old;
	int r;

	if (!names)
		return -ENOMEM;
	names->options = *options;
	names->waiting.last = &names->waiting.first;
	names->finished.last = &names->finished.first;
	pthread_mutex_init(&names->lock, NULL);
	pthread_cond_init(&names->wake, NULL);
	names->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (names->event_fd < 0) {
		r = -errno;
		goto fail;
	}
	r = engines_new(&options->roots, &names->engines);
	if (r >= 0)
		r = loop_add_fd(options->loop, names->event_fd, EPOLLIN, on_finished, names,
				&names->source);
	if (r >= 0)
		r = loop_add_timer(options->loop, LOOP_TIMER_OFF, 0, on_retry, names,
				   &names->retry_timer);
	if (r >= 0)
		r = loop_add_timer(options->loop, REFRESH_NS, REFRESH_NS, on_refresh, names,
				   &names->refresh_timer);
	if (r < 0)
		goto fail;

	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = -pthread_create(&names->thread, NULL, names_thread, names);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r < 0)
		goto fail;
	names->started = true;
	*ret_names = names;
	return 0;

fail:
	names_free(names);
	return r;
}

void names_free(struct names *names)
{
	if (!names)
		return;
	if (names->started) {
		pthread_mutex_lock(&names->lock);
		names->stop = true;
		pthread_cond_signal(&names->wake);
		pthread_mutex_unlock(&names->lock);
		pthread_join(names->thread, NULL);
	}
	loop_remove(names->source);
	loop_remove(names->retry_timer);
	loop_remove(names->refresh_timer);
	free_jobs(names->waiting.first);
	free_jobs(names->finished.first);
	while (names->n > 0)
		drop(names, names->entries[names->n - 1]);
	free(names->entries);
	hash_clear(&names->by_id);
	engines_free(names->engines);
	if (names->event_fd >= 0)
		close(names->event_fd);
	pthread_cond_destroy(&names->wake);
	pthread_mutex_destroy(&names->lock);
	free(names);
}
