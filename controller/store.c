/* SPDX-License-Identifier: Apache-2.0 */
#include "store.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "name_index.h"
#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/loop.h"
#include "ebb/units.h"
#include "ebb/util.h"

/* How long the first write of a batch waits for company: half of the promised 100 ms, the other
 * half is for the writing. */
#define COLLECT_NS   (50 * EBB_NS_PER_MS)
#define RETRY_MS     100
#define RETRY_MAX_MS 10000

static const char *const db_names[DB_MAX] = {
	[DB_STRUCTURES] = "structures", [DB_SERVICES] = "services", [DB_LIMITS] = "limits",
	[DB_RULES] = "rules",           [DB_EVENTS] = "events",     [DB_REQUESTS] = "requests",
	[DB_USERS] = "users",
};

struct queued {
	struct store_write write; /* first: the backend gets pointers to it */
	struct queued *next;
};

struct queue {
	struct name_index *by_id[DB_MAX];
	struct queued *first, **last;
	size_t n;
};

struct store {
	const struct store_backend_ops *ops;
	void *backend;

	pthread_mutex_t lock; /* of all below; held for memory operations only */
	pthread_cond_t work, done;
	struct queue queue;
	uint64_t first_queued_ns; /* when the queue last became non-empty */
	uint64_t n_queued;        /* writes ever queued */
	uint64_t n_written;    /* of those, how many the disk has (or newer ones in their place) */
	size_t n_writing;      /* taken from the queue, under way */
	unsigned long flushes; /* calls of store_flush() ... */
	unsigned long flushes_met;       /* ... that a try to write was begun for */
	unsigned long tries, failed_try; /* begun, and the number of the last that failed */
	bool stopping;
	struct store_stats stats;
	uint64_t last_write_ns;

	pthread_t writer;
	bool running;
};

const char *store_db_name(enum store_db db)
{
	return (unsigned)db < DB_MAX ? db_names[db] : NULL;
}

static void queued_free(struct queued *item)
{
	free(item->write.id);
	free(item->write.body);
	free(item);
}

static int queue_init(struct queue *queue)
{
	*queue = (struct queue){};
	queue->last = &queue->first;
	for (int i = 0; i < DB_MAX; i++) {
		queue->by_id[i] = name_index_new();
		if (!queue->by_id[i])
			return -ENOMEM;
	}
	return 0;
}

static void queue_clear(struct queue *queue)
{
	for (struct queued *item = queue->first, *next; item; item = next) {
		next = item->next;
		queued_free(item);
	}
	for (int i = 0; i < DB_MAX; i++)
		name_index_free(queue->by_id[i]);
}

/* Takes `item` over, or on failure leaves it to the caller. */
static int queue_add(struct queue *queue, struct queued *item)
{
	int r = name_index_add(queue->by_id[item->write.db], item->write.id, item);

	if (r < 0)
		return r;
	item->next = NULL;
	*queue->last = item;
	queue->last = &item->next;
	queue->n++;
	return 0;
}

int store_new(const struct store_backend_ops *ops, void *backend, struct store **ret_store)
{
	struct store *store = calloc(1, sizeof(*store));
	pthread_condattr_t monotonic;

	if (!store)
		return -ENOMEM;
	if (queue_init(&store->queue) < 0) {
		queue_clear(&store->queue);
		free(store);
		return -ENOMEM;
	}
	store->ops = ops;
	store->backend = backend;
	pthread_mutex_init(&store->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&store->work, &monotonic);
	pthread_cond_init(&store->done, &monotonic);
	pthread_condattr_destroy(&monotonic);
	*ret_store = store;
	return 0;
}

int store_open(const char *uri, const struct store_options *options, struct store **ret_store)
{
	const struct store_backend_ops *ops;
	void *backend;
	int r;

	if (strncmp(uri, "sqlite:", 7) != 0 || !uri[7]) {
		log_error("State \"%s\" is not known: give sqlite:PATH", uri);
		return -EINVAL;
	}
	r = store_sqlite_open(uri + 7, &ops, &backend);
	if (r < 0)
		return r;
	r = store_new(ops, backend, ret_store);
	if (r < 0)
		ops->close(backend);
	return r;
}

int store_load(struct store *store, enum store_db db,
	       int (*fn)(void *userdata, const char *id, json_t *doc), void *userdata)
{
	return store->ops->load(store->backend, db, fn, userdata);
}

static void wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t ns)
{
	struct timespec until = {
		.tv_sec = (time_t)(ns / EBB_NS_PER_SEC),
		.tv_nsec = (long)(ns % EBB_NS_PER_SEC),
	};

	pthread_cond_timedwait(cond, lock, &until);
}

/* What could not be written goes back, unless something newer waits in its place. */
static void put_back(struct store *store, struct queued *first)
{
	struct queue *queue = &store->queue;
	struct queued *newer = queue->first, **newer_last = queue->last;
	bool any_newer = newer != NULL;

	/* The older ones keep their place in front. */
	queue->first = NULL;
	queue->last = &queue->first;
	for (struct queued *item = first, *next; item; item = next) {
		next = item->next;
		/* -ENOMEM loses a write that the next change of the document repeats. */
		if (queue_add(queue, item) < 0)
			queued_free(item);
	}
	if (any_newer) {
		*queue->last = newer;
		queue->last = newer_last;
	}
}

/* With the lock held, releasing it while the backend works. */
static int write_batch(struct store *store)
{
	_cleanup_free_ struct store_write **writes = NULL;
	struct queued *first = store->queue.first;
	uint64_t upto = store->n_queued;
	size_t n = store->queue.n, i = 0;
	int r = -ENOMEM;

	writes = calloc(n, sizeof(*writes));
	if (!writes)
		return r;
	for (struct queued *item = first; item; item = item->next) {
		name_index_remove(store->queue.by_id[item->write.db], item->write.id);
		writes[i++] = &item->write;
	}
	store->queue.first = NULL;
	store->queue.last = &store->queue.first;
	store->queue.n = 0;
	store->n_writing = n;
	store->flushes_met = store->flushes;
	store->tries++;

	pthread_mutex_unlock(&store->lock);
	r = store->ops->write(store->backend, writes, n);
	if (r >= 0) {
		for (struct queued *item = first, *next; item; item = next) {
			next = item->next;
			queued_free(item);
		}
	}
	pthread_mutex_lock(&store->lock);

	store->n_writing = 0;
	if (r < 0) {
		put_back(store, first);
		return r;
	}
	store->n_written = upto;
	store->stats.writes += n;
	store->stats.batches++;
	store->last_write_ns = now_ns();
	return 0;
}

/* Releases the lock to log: once when it begins to fail, once when it works again. */
static void report(struct store *store, int result, unsigned failures)
{
	size_t waiting = store->queue.n;

	if ((result < 0) == (failures > 0))
		return;
	pthread_mutex_unlock(&store->lock);
	if (result < 0)
		log_warning("Cannot write the state: %s; trying again until it works, %zu "
			    "documents wait",
			    store->ops->error(store->backend), waiting);
	else
		log_info("The state is written again after %u failures", failures);
	pthread_mutex_lock(&store->lock);
}

/* Somebody waits for the next try. */
static bool hurried(const struct store *store)
{
	return store->stopping || store->flushes != store->flushes_met;
}

static void *writer_main(void *userdata)
{
	struct store *store = userdata;
	unsigned attempt = 0;

	pthread_setname_np(pthread_self(), "store");
	pthread_mutex_lock(&store->lock);
	for (;;) {
		uint64_t due;
		int r;

		while (store->queue.n == 0 && !store->stopping)
			pthread_cond_wait(&store->work, &store->lock);
		if (store->queue.n == 0)
			break;
		due = store->first_queued_ns + COLLECT_NS;
		while (now_ns() < due && !hurried(store))
			wait_until(&store->work, &store->lock, due);

		r = write_batch(store);
		report(store, r, attempt);
		if (r >= 0) {
			attempt = 0;
			pthread_cond_broadcast(&store->done);
			continue;
		}
		store->stats.failures++;
		store->failed_try = store->tries;
		snprintf(store->stats.last_error, sizeof(store->stats.last_error), "%s",
			 store->ops->error(store->backend));
		pthread_cond_broadcast(&store->done);
		if (store->stopping)
			break;
		due = now_ns() + backoff_ms(attempt++, RETRY_MS, RETRY_MAX_MS) * EBB_NS_PER_MS;
		while (now_ns() < due && !hurried(store))
			wait_until(&store->work, &store->lock, due);
	}
	pthread_mutex_unlock(&store->lock);
	return NULL;
}

int store_follow(struct store *store, store_changed_fn fn, void *userdata)
{
	return store->ops->follow ? store->ops->follow(store->backend, fn, userdata) : 0;
}

int store_start(struct store *store)
{
	sigset_t all, before;
	int r;

	/* Signals are for the main loop. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&store->writer, NULL, writer_main, store);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r != 0)
		return log_error_errno(r, "Cannot start the thread that writes the state");
	store->running = true;
	return 0;
}

void store_close(struct store *store)
{
	if (!store)
		return;
	if (store->running) {
		pthread_mutex_lock(&store->lock);
		store->stopping = true;
		pthread_cond_signal(&store->work);
		pthread_mutex_unlock(&store->lock);
		pthread_join(store->writer, NULL);
		if (store->queue.n > 0)
			log_error("Stopped with %zu documents not written: %s", store->queue.n,
				  store->stats.last_error);
	}
	store->ops->close(store->backend);
	queue_clear(&store->queue);
	pthread_cond_destroy(&store->work);
	pthread_cond_destroy(&store->done);
	pthread_mutex_destroy(&store->lock);
	free(store);
}

/* Takes `body` over; NULL: deletion. */
static int enqueue(struct store *store, enum store_db db, const char *id, char *body)
{
	struct queued *item;
	int r = 0;

	pthread_mutex_lock(&store->lock);
	item = name_index_get(store->queue.by_id[db], id);
	if (item) {
		free(item->write.body);
		item->write.body = body;
	} else {
		bool was_empty = store->queue.n == 0;

		item = calloc(1, sizeof(*item));
		if (item)
			item->write = (struct store_write){.db = db, .id = strdup(id)};
		if (item && item->write.id)
			r = queue_add(&store->queue, item);
		else
			r = -ENOMEM;
		if (r < 0) {
			if (item)
				queued_free(item);
			free(body);
		} else {
			item->write.body = body;
			if (was_empty) {
				store->first_queued_ns = now_ns();
				pthread_cond_signal(&store->work);
			}
		}
	}
	if (r >= 0)
		store->n_queued++;
	pthread_mutex_unlock(&store->lock);
	return r;
}

int store_put(struct store *store, enum store_db db, const char *id, const json_t *doc)
{
	char *body = json_dumps(doc, JSON_COMPACT);

	if (!body)
		return -ENOMEM;
	return enqueue(store, db, id, body);
}

int store_delete(struct store *store, enum store_db db, const char *id)
{
	return enqueue(store, db, id, NULL);
}

int store_flush(struct store *store)
{
	unsigned long begun;
	uint64_t upto;
	int r = 0;

	if (!store->running)
		return -EIO;
	pthread_mutex_lock(&store->lock);
	begun = store->tries;
	upto = store->n_queued;
	store->flushes++;
	pthread_cond_signal(&store->work);
	while (store->n_written < upto && r == 0) {
		pthread_cond_wait(&store->done, &store->lock);
		if (store->n_written < upto && store->failed_try > begun)
			r = -EIO;
	}
	pthread_mutex_unlock(&store->lock);
	return r;
}

void store_get_stats(struct store *store, struct store_stats *ret_stats)
{
	pthread_mutex_lock(&store->lock);
	*ret_stats = store->stats;
	ret_stats->queued = store->queue.n + store->n_writing;
	ret_stats->last_write_age_s =
		store->last_write_ns
			? (double)(now_ns() - store->last_write_ns) / (double)EBB_NS_PER_SEC
			: 0;
	pthread_mutex_unlock(&store->lock);
}
