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
#include "ebb/json_text.h"
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

/* Failures of one document before a line in the log: the first ones are conflicts, most likely. */
#define TELL_AFTER 4
/* Tries to write what is left when the controller ends. */
#define LAST_TRIES 3

struct queued {
	struct store_write write; /* first: the backend gets pointers to it */
	struct queued *next;
	uint64_t number;    /* of the first write that waits in it, counted from 1 */
	uint64_t queued_ns; /* when that was queued */
	uint64_t retry_ns;  /* the backend put it off until then; 0: it did not */
	unsigned attempt;
	bool claim; /* a deletion that somebody waits for */
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
	uint64_t fresh_ns; /* when the oldest write that was not tried yet was queued; 0: none */
	uint64_t not_before_ns; /* the backend is not to be tried before that */
	uint64_t n_queued;      /* writes ever queued */
	uint64_t n_written;     /* of those, how many the disk has (or newer ones in their place) */
	size_t n_writing;       /* taken from the queue, under way */
	uint64_t oldest_writing_ns;      /* of those, when the oldest was queued */
	unsigned long flushes;           /* calls of store_flush() ... */
	unsigned long flushes_met;       /* ... that a try to write was begun for */
	unsigned long tries, failed_try; /* begun, and the number of the last that failed */
	bool stopping;
	unsigned compact;    /* 1 << database: to be compacted */
	bool cannot_compact; /* the last try failed; the writer's */
	struct store_stats stats;
	uint64_t last_write_ns;

	pthread_mutex_t follow_lock; /* of these, held while one of them is called */
	store_changed_fn changed;
	void *changed_userdata;
	store_claimed_fn claimed;
	void *claimed_userdata;

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
	store->stats.reachable = store->stats.following = true;
	pthread_mutex_init(&store->lock, NULL);
	pthread_mutex_init(&store->follow_lock, NULL);
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
	_cleanup_free_ char *wrong = NULL;
	const struct store_backend_ops *ops;
	void *backend;
	int r;

	wrong = store_uri_check(uri);
	if (wrong) {
		log_error("%s", wrong);
		return -EINVAL;
	}
	if (store_uri_is_shared(uri))
		r = store_couchdb_open(uri, options, &ops, &backend);
	else
		r = store_sqlite_open(uri + strlen("sqlite:"), &ops, &backend);
	if (r < 0)
		return r;
	r = store_new(ops, backend, ret_store);
	if (r < 0)
		ops->close(backend);
	return r;
}

bool store_is_shared(const struct store *store)
{
	return store->ops->follow != NULL;
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

/*
 * What could not be written goes back to its place in front, unless something newer waits in its
 * stead; that has then waited as long.
 */
static void put_back(struct store *store, struct queued *first)
{
	struct queue *queue = &store->queue;
	struct queued *behind = queue->first, **behind_last = queue->last;

	queue->first = NULL;
	queue->last = &queue->first;
	for (struct queued *item = first, *next; item; item = next) {
		struct queued *newer = name_index_get(queue->by_id[item->write.db], item->write.id);

		next = item->next;
		if (newer) {
			newer->number = item->number;
			newer->queued_ns = item->queued_ns;
			newer->retry_ns = item->retry_ns;
			newer->attempt = item->attempt;
			queued_free(item);
		} else if (queue_add(queue, item) < 0) {
			/* -ENOMEM loses a write that the next change of the document repeats. */
			queued_free(item);
		}
	}
	if (behind) {
		*queue->last = behind;
		queue->last = behind_last;
	}
}

/* Somebody waits for the next try. */
static bool hurried(const struct store *store)
{
	return store->stopping || store->flushes != store->flushes_met;
}

/* Takes what is due off the queue, in order; `all`: what was put off too. */
static struct queued *take_due(struct store *store, bool all, size_t *ret_n)
{
	struct queued *taken = NULL, **last = &taken, **link = &store->queue.first;
	uint64_t now = now_ns();
	size_t n = 0;

	store->oldest_writing_ns = now;
	while (*link) {
		struct queued *item = *link;

		if (!all && item->retry_ns > now) {
			link = &item->next;
			continue;
		}
		*link = item->next;
		item->next = NULL;
		*last = item;
		last = &item->next;
		name_index_remove(store->queue.by_id[item->write.db], item->write.id);
		store->oldest_writing_ns = MIN(store->oldest_writing_ns, item->queued_ns);
		item->write.result = 0;
		n++;
	}
	store->queue.last = link;
	store->queue.n -= n;
	store->n_writing = n;
	store->fresh_ns = 0;
	*ret_n = n;
	return taken;
}

/* Of each document what the backend says; what is to be tried again stays in the list. */
static struct queued *sort_results(struct store *store, struct queued *first)
{
	struct queued *again = NULL, **last = &again;

	for (struct queued *item = first, *next; item; item = next) {
		next = item->next;
		item->next = NULL;
		if (item->write.result != -EAGAIN && item->write.result != -EIO) {
			if (item->write.result < 0)
				store->stats.refused++;
			else
				store->stats.writes++;
			queued_free(item);
			continue;
		}
		item->retry_ns = now_ns() + backoff_ms(item->attempt++, RETRY_MS, RETRY_MAX_MS) *
						    EBB_NS_PER_MS;
		*last = item;
		last = &item->next;
	}
	return again;
}

/* Without the lock. One line for each document that the others left behind. */
static void tell_stubborn(struct store *store, const struct queued *first)
{
	for (const struct queued *item = first; item; item = item->next)
		if (item->write.result == -EAGAIN && item->attempt == TELL_AFTER)
			log_warning("%s %s of the state could not be written %d times: %s; it is "
				    "tried again until it works, the others are written",
				    store_db_name(item->write.db), item->write.id, TELL_AFTER + 1,
				    store->ops->error(store->backend));
}

/* Without the lock. */
static void tell_claimed(struct store *store, const struct queued *first)
{
	for (const struct queued *item = first; item; item = item->next) {
		if (!item->claim || item->write.result < 0)
			continue;
		pthread_mutex_lock(&store->follow_lock);
		if (store->claimed)
			store->claimed(store->claimed_userdata, item->write.db, item->write.id);
		pthread_mutex_unlock(&store->follow_lock);
	}
}

/* Everything before the oldest write that still waits is on disk. */
static void count_written(struct store *store)
{
	uint64_t oldest = store->n_queued + 1;

	for (const struct queued *item = store->queue.first; item; item = item->next)
		oldest = MIN(oldest, item->number);
	store->n_written = oldest - 1;
}

/* Is there one that did not fail with its whole database? */
static bool any_taken(struct store_write *const *writes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (writes[i]->result != -EIO)
			return true;
	return n == 0;
}

/*
 * With the lock held, releasing it while the backend works. -EAGAIN: some documents are to be tried
 * again; another negative errno: all are.
 */
static int write_batch(struct store *store)
{
	_cleanup_free_ struct store_write **writes = calloc(store->queue.n, sizeof(*writes));
	bool all = hurried(store);
	struct queued *first, *again;
	size_t n, i = 0;
	int r;

	store->flushes_met = store->flushes;
	store->tries++;
	if (!writes)
		return -ENOMEM;
	first = take_due(store, all, &n);
	for (struct queued *item = first; item; item = item->next)
		writes[i++] = &item->write;

	pthread_mutex_unlock(&store->lock);
	r = store->ops->write(store->backend, writes, n);
	if (r >= 0) {
		tell_stubborn(store, first);
		tell_claimed(store, first);
	}
	pthread_mutex_lock(&store->lock);

	store->n_writing = 0;
	store->stats.reachable = r >= 0 && any_taken(writes, n);
	again = r < 0 ? first : sort_results(store, first);
	if (again)
		put_back(store, again);
	/* What waits has been tried. */
	if (r < 0 && !store->fresh_ns)
		store->fresh_ns = now_ns();
	count_written(store);
	if (r < 0)
		return r == -EAGAIN ? -EIO : r;
	store->stats.batches++;
	store->last_write_ns = now_ns();
	return again ? -EAGAIN : 0;
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

/* When there is something to do; UINT64_MAX: never, by itself. */
static uint64_t next_due(const struct store *store)
{
	uint64_t due = store->fresh_ns ? store->fresh_ns + COLLECT_NS : UINT64_MAX;

	for (const struct queued *item = store->queue.first; item; item = item->next)
		if (item->retry_ns)
			due = MIN(due, item->retry_ns);
	return MAX(due, store->not_before_ns);
}

static void wait_for_work(struct store *store)
{
	while (store->queue.n == 0 && !store->stopping && !store->compact)
		pthread_cond_wait(&store->work, &store->lock);
	while (!hurried(store) && !store->compact) {
		uint64_t due = next_due(store);

		if (now_ns() >= due)
			break;
		if (due == UINT64_MAX)
			pthread_cond_wait(&store->work, &store->lock);
		else
			wait_until(&store->work, &store->lock, due);
	}
}

static void note_failure(struct store *store)
{
	store->stats.failures++;
	store->failed_try = store->tries;
	snprintf(store->stats.last_error, sizeof(store->stats.last_error), "%s",
		 store->ops->error(store->backend));
}

/* With the lock held, releasing it. */
static void compact(struct store *store)
{
	unsigned databases = store->compact;
	int r;

	store->compact = 0;
	pthread_mutex_unlock(&store->lock);
	r = store->ops->compact(store->backend, databases);
	if (r < 0 && !store->cannot_compact)
		log_warning("The state cannot be compacted: %s", store->ops->error(store->backend));
	store->cannot_compact = r < 0;
	pthread_mutex_lock(&store->lock);
	store->stats.compactions += r >= 0;
}

static void *writer_main(void *userdata)
{
	struct store *store = userdata;
	unsigned attempt = 0, last_tries = 0;

	pthread_setname_np(pthread_self(), "store");
	pthread_mutex_lock(&store->lock);
	for (;;) {
		int r;

		wait_for_work(store);
		if (store->compact && !store->stopping) {
			compact(store);
			continue;
		}
		if (store->queue.n == 0)
			break;
		r = write_batch(store);
		report(store, r == -EAGAIN ? 0 : r, attempt);
		if (r < 0)
			note_failure(store);
		pthread_cond_broadcast(&store->done);
		if (r >= 0 || r == -EAGAIN) {
			attempt = 0;
			store->not_before_ns = 0;
		} else {
			store->not_before_ns =
				now_ns() +
				backoff_ms(attempt++, RETRY_MS, RETRY_MAX_MS) * EBB_NS_PER_MS;
		}
		if (r < 0 && store->stopping && (r != -EAGAIN || ++last_tries == LAST_TRIES))
			break;
	}
	pthread_mutex_unlock(&store->lock);
	return NULL;
}

/* In the backend's thread. */
static void on_change(void *userdata, enum store_db db, const char *id, const json_t *base,
		      json_t *doc)
{
	struct store *store = userdata;

	pthread_mutex_lock(&store->lock);
	store->stats.changes++;
	pthread_mutex_unlock(&store->lock);
	pthread_mutex_lock(&store->follow_lock);
	if (store->changed)
		store->changed(store->changed_userdata, db, id, base, doc);
	pthread_mutex_unlock(&store->follow_lock);
}

int store_follow(struct store *store, store_changed_fn fn, void *userdata)
{
	pthread_mutex_lock(&store->follow_lock);
	store->changed = fn;
	store->changed_userdata = userdata;
	pthread_mutex_unlock(&store->follow_lock);
	return store->ops->follow ? store->ops->follow(store->backend, on_change, store) : 0;
}

int store_catch_up(struct store *store, unsigned timeout_ms)
{
	return store->ops->catch_up ? store->ops->catch_up(store->backend, timeout_ms) : 0;
}

bool store_is_read(struct store *store)
{
	return !store->ops->is_read || store->ops->is_read(store->backend);
}

void store_unfollow(struct store *store)
{
	if (!store)
		return;
	pthread_mutex_lock(&store->follow_lock);
	store->changed = NULL;
	store->claimed = NULL;
	pthread_mutex_unlock(&store->follow_lock);
}

void store_on_claimed(struct store *store, store_claimed_fn fn, void *userdata)
{
	store->claimed = fn;
	store->claimed_userdata = userdata;
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
	pthread_mutex_destroy(&store->follow_lock);
	pthread_mutex_destroy(&store->lock);
	free(store);
}

static int enqueue_new(struct store *store, enum store_db db, const char *id, char *body,
		       bool claim)
{
	struct queued *item = calloc(1, sizeof(*item));
	int r = -ENOMEM;

	if (!item)
		return r;
	item->write = (struct store_write){.db = db, .id = strdup(id)};
	if (item->write.id)
		r = queue_add(&store->queue, item);
	if (r < 0) {
		queued_free(item);
		return r;
	}
	item->write.body = body;
	item->claim = claim;
	item->number = store->n_queued + 1;
	item->queued_ns = item->write.made_ns = now_ns();
	if (!store->fresh_ns) {
		store->fresh_ns = item->queued_ns;
		pthread_cond_signal(&store->work);
	}
	return 0;
}

/* Takes `body` over; NULL: deletion. */
static int enqueue(struct store *store, enum store_db db, const char *id, char *body, bool claim)
{
	struct queued *item;
	int r = 0;

	pthread_mutex_lock(&store->lock);
	item = name_index_get(store->queue.by_id[db], id);
	if (item) {
		free(item->write.body);
		item->write.body = body;
		item->write.made_ns = now_ns();
		item->claim = claim;
	} else {
		r = enqueue_new(store, db, id, body, claim);
		if (r < 0)
			free(body);
	}
	if (r >= 0)
		store->n_queued++;
	pthread_mutex_unlock(&store->lock);
	return r;
}

int store_put(struct store *store, enum store_db db, const char *id, const json_t *doc)
{
	char *body = json_text(doc, 0, NULL);

	if (!body)
		return -ENOMEM;
	return enqueue(store, db, id, body, false);
}

int store_delete(struct store *store, enum store_db db, const char *id)
{
	return enqueue(store, db, id, NULL, false);
}

int store_claim(struct store *store, enum store_db db, const char *id)
{
	return enqueue(store, db, id, NULL, true);
}

void store_compact(struct store *store, unsigned databases)
{
	if (!store->ops->compact || !store->running)
		return;
	pthread_mutex_lock(&store->lock);
	store->compact |= databases;
	pthread_cond_signal(&store->work);
	pthread_mutex_unlock(&store->lock);
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
	uint64_t now, oldest;

	pthread_mutex_lock(&store->lock);
	now = oldest = now_ns();
	if (store->n_writing > 0)
		oldest = MIN(oldest, store->oldest_writing_ns);
	for (const struct queued *item = store->queue.first; item; item = item->next)
		oldest = MIN(oldest, item->queued_ns);
	*ret_stats = store->stats;
	ret_stats->queued = store->queue.n + store->n_writing;
	ret_stats->oldest_queued_s = (double)(now - oldest) / (double)EBB_NS_PER_SEC;
	ret_stats->last_write_age_s =
		store->last_write_ns ? (double)(now - store->last_write_ns) / (double)EBB_NS_PER_SEC
				     : 0;
	pthread_mutex_unlock(&store->lock);
	if (store->ops->add_stats)
		store->ops->add_stats(store->backend, ret_stats);
}
