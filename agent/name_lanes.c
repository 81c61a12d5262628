/* SPDX-License-Identifier: Apache-2.0 */
#include "name_lanes.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/loop.h"
#include "ebb/units.h"

/* The longest that a disk under load was seen to take for a file is a tenth of it. */
#define SLOW_NS (500 * EBB_NS_PER_MS)
#define HUNG_NS (10 * EBB_NS_PER_SEC)
#define END_NS  EBB_NS_PER_SEC
/* Questions of one lane, half a KiB each: as many as there are containers, and some have gone. */
#define WAITING_MAX 16384

struct queue {
	struct name_answer *first, **last;
};

struct lane {
	struct name_lanes *lanes;
	unsigned family;
	pthread_t thread;
	bool started, told;
	pthread_cond_t wake;
	/* Under the lock. */
	struct queue waiting;
	size_t n_waiting;
	uint64_t since_ns; /* it works on a question; 0: it waits for one */
};

struct name_lanes {
	struct engines *engines;
	struct lane lanes[ENGINES_FAMILIES];
	int event_fd;
	pthread_mutex_t lock;
	pthread_cond_t ended;
	/* Under the lock. */
	struct queue finished;
	size_t n_finished;
	unsigned running; /* threads */
	bool stop, abandoned;
};

static void append(struct queue *queue, struct name_answer *one)
{
	one->next = NULL;
	*queue->last = one;
	queue->last = &one->next;
}

static struct name_answer *take_all(struct queue *queue)
{
	struct name_answer *first = queue->first;

	queue->first = NULL;
	queue->last = &queue->first;
	return first;
}

static struct name_answer *take_first(struct queue *queue)
{
	struct name_answer *first = queue->first;

	queue->first = first->next;
	if (!queue->first)
		queue->last = &queue->first;
	return first;
}

void name_answer_free(struct name_answer *answer)
{
	engine_answer_clear(&answer->answer);
	free(answer);
}

static void free_all(struct name_answer *one)
{
	while (one) {
		struct name_answer *next = one->next;

		name_answer_free(one);
		one = next;
	}
}

/* Nobody uses it any more. */
static void lanes_destroy(struct name_lanes *lanes)
{
	for (size_t i = 0; i < ENGINES_FAMILIES; i++) {
		free_all(lanes->lanes[i].waiting.first);
		pthread_cond_destroy(&lanes->lanes[i].wake);
	}
	free_all(lanes->finished.first);
	engines_free(lanes->engines);
	if (lanes->event_fd >= 0)
		close(lanes->event_fd);
	pthread_cond_destroy(&lanes->ended);
	pthread_mutex_destroy(&lanes->lock);
	free(lanes);
}

/* --- A thread's side -------------------------------------------------------------------------- */

static void *lane_thread(void *arg)
{
	struct lane *lane = arg;
	struct name_lanes *lanes = lane->lanes;
	bool last;

	pthread_setname_np(pthread_self(), "names");
	pthread_mutex_lock(&lanes->lock);
	for (;;) {
		while (!lanes->stop && !lane->waiting.first)
			pthread_cond_wait(&lane->wake, &lanes->lock);
		if (lanes->stop)
			break;
		struct name_answer *one = take_first(&lane->waiting);
		lane->n_waiting--;

		lane->since_ns = now_ns();
		pthread_mutex_unlock(&lanes->lock);

		one->result = engines_ask(lanes->engines, &one->query, lane->family, &one->answer);

		pthread_mutex_lock(&lanes->lock);
		lane->since_ns = 0;
		append(&lanes->finished, one);
		lanes->n_finished++;
		eventfd_write(lanes->event_fd, 1);
	}
	last = --lanes->running == 0 && lanes->abandoned;
	pthread_cond_signal(&lanes->ended);
	pthread_mutex_unlock(&lanes->lock);
	if (last)
		lanes_destroy(lanes);
	return NULL;
}

/* --- The loop's side -------------------------------------------------------------------------- */

static int start(struct lane *lane)
{
	sigset_t all, old;
	int r;

	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = -pthread_create(&lane->thread, NULL, lane_thread, lane);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	lane->lanes->running += r == 0;
	if (r < 0 && !lane->told)
		log_error_errno(r, "no thread to ask for the names of %s containers",
				engines_family_name(lane->family));
	lane->told = r < 0;
	lane->started = r == 0;
	return r;
}

static struct lane *lane_of(struct name_lanes *lanes, unsigned family)
{
	for (size_t i = 0; i < ENGINES_FAMILIES; i++)
		if (lanes->lanes[i].family == family)
			return &lanes->lanes[i];
	return NULL;
}

static bool is_slow(const struct lane *lane, uint64_t now)
{
	return lane->since_ns && now - lane->since_ns > SLOW_NS;
}

int name_lanes_ask(struct name_lanes *lanes, unsigned family, uint64_t id,
		   const struct engine_query *query)
{
	size_t path_len = strlen(query->path) + 1, key_len = strlen(query->key) + 1;
	struct lane *lane = lane_of(lanes, family);
	struct name_answer *one;
	int r = 0;

	one = calloc(1, sizeof(*one) + path_len + key_len);
	if (!one)
		return -ENOMEM;
	one->id = id;
	one->family = family;
	one->query = *query;
	one->query.path = memcpy(one->text, query->path, path_len);
	one->query.key = memcpy(one->text + path_len, query->key, key_len);
	pthread_mutex_lock(&lanes->lock);
	if (lane->n_waiting >= WAITING_MAX || is_slow(lane, now_ns()))
		r = -EBUSY;
	else if (!lane->started)
		r = start(lane);
	if (r == 0 && lane->started) {
		append(&lane->waiting, one);
		lane->n_waiting++;
		pthread_cond_signal(&lane->wake);
	}
	pthread_mutex_unlock(&lanes->lock);
	if (r < 0)
		name_answer_free(one);
	return r;
}

int name_lanes_fd(const struct name_lanes *lanes)
{
	return lanes->event_fd;
}

struct name_answer *name_lanes_take(struct name_lanes *lanes)
{
	struct name_answer *first;
	eventfd_t count;

	eventfd_read(lanes->event_fd, &count);
	pthread_mutex_lock(&lanes->lock);
	first = take_all(&lanes->finished);
	lanes->n_finished = 0;
	pthread_mutex_unlock(&lanes->lock);
	return first;
}

size_t name_lanes_answered(struct name_lanes *lanes)
{
	size_t n;

	pthread_mutex_lock(&lanes->lock);
	n = lanes->n_finished;
	pthread_mutex_unlock(&lanes->lock);
	return n;
}

unsigned name_lanes_slow(struct name_lanes *lanes)
{
	unsigned slow = 0, hung = 0;
	uint64_t now;

	pthread_mutex_lock(&lanes->lock);
	/* Not before: a thread that began in between would be ahead of it. */
	now = now_ns();
	for (size_t i = 0; i < ENGINES_FAMILIES; i++) {
		const struct lane *lane = &lanes->lanes[i];

		if (is_slow(lane, now))
			slow |= lane->family;
		if (lane->since_ns && now - lane->since_ns > HUNG_NS)
			hung |= lane->family;
	}
	pthread_mutex_unlock(&lanes->lock);
	for (size_t i = 0; i < ENGINES_FAMILIES; i++) {
		struct lane *lane = &lanes->lanes[i];
		const char *name = engines_family_name(lane->family);

		if (hung & lane->family && !lane->told)
			log_warning("%s: its state has not been read for %u s: does the file "
				    "system hang? Its containers are called by their ids meanwhile",
				    name, (unsigned)(HUNG_NS / EBB_NS_PER_SEC));
		else if (lane->started && lane->told && !(slow & lane->family))
			log_info("%s: its state is read again", name);
		lane->told = lane->started
				     ? hung & lane->family || (lane->told && slow & lane->family)
				     : lane->told;
	}
	return slow;
}

int name_lanes_new(const struct engine_roots *roots, struct name_lanes **ret_lanes)
{
	struct name_lanes *lanes = calloc(1, sizeof(*lanes));
	pthread_condattr_t monotonic;
	int r;

	if (!lanes)
		return -ENOMEM;
	pthread_mutex_init(&lanes->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&lanes->ended, &monotonic);
	pthread_condattr_destroy(&monotonic);
	lanes->finished.last = &lanes->finished.first;
	for (size_t i = 0; i < ENGINES_FAMILIES; i++) {
		struct lane *lane = &lanes->lanes[i];

		lane->lanes = lanes;
		lane->family = 1U << i;
		lane->waiting.last = &lane->waiting.first;
		pthread_cond_init(&lane->wake, NULL);
	}
	lanes->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = lanes->event_fd < 0 ? -errno : engines_new(roots, &lanes->engines);
	if (r < 0) {
		lanes_destroy(lanes);
		return r;
	}
	*ret_lanes = lanes;
	return 0;
}

void name_lanes_free(struct name_lanes *lanes)
{
	uint64_t end = now_ns() + END_NS;
	const struct timespec until = {(time_t)(end / EBB_NS_PER_SEC),
				       (long)(end % EBB_NS_PER_SEC)};
	bool hangs;
	int r = 0;

	if (!lanes)
		return;
	pthread_mutex_lock(&lanes->lock);
	lanes->stop = true;
	for (size_t i = 0; i < ENGINES_FAMILIES; i++)
		pthread_cond_signal(&lanes->lanes[i].wake);
	while (lanes->running && r != ETIMEDOUT)
		r = pthread_cond_timedwait(&lanes->ended, &lanes->lock, &until);
	hangs = lanes->running > 0;
	for (size_t i = 0; i < ENGINES_FAMILIES; i++)
		if (hangs && lanes->lanes[i].started)
			pthread_detach(lanes->lanes[i].thread);
	lanes->abandoned = hangs;
	pthread_mutex_unlock(&lanes->lock);
	/* The last thread does it. */
	if (hangs)
		return;
	for (size_t i = 0; i < ENGINES_FAMILIES; i++)
		if (lanes->lanes[i].started)
			pthread_join(lanes->lanes[i].thread, NULL);
	lanes_destroy(lanes);
}
