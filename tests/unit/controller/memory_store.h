/* SPDX-License-Identifier: Apache-2.0 */
/* A database in memory that others write to as well, for tests of what becomes of their changes. */
#ifndef EBB_TEST_MEMORY_STORE_H
#define EBB_TEST_MEMORY_STORE_H

#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>

#include "store.h"
#include "ebb/cleanup.h"

struct memory_store {
	pthread_mutex_t lock;
	json_t *documents[DB_MAX]; /* id -> document */
	unsigned long written;     /* documents that were not there just so */
	bool away;                 /* it does not answer */
};

static int memory_load(void *backend, enum store_db db,
		       int (*fn)(void *userdata, const char *id, json_t *doc), void *userdata)
{
	struct memory_store *memory = backend;
	const char *id;
	json_t *doc;
	int r = 0;

	json_object_foreach(memory->documents[db], id, doc) {
		_cleanup_json_ json_t *copy = json_deep_copy(doc);

		r = fn(userdata, id, copy);
		if (r < 0)
			break;
	}
	return r;
}

static int memory_write(void *backend, struct store_write *const *writes, size_t n)
{
	struct memory_store *memory = backend;

	pthread_mutex_lock(&memory->lock);
	for (size_t i = 0; i < n && !memory->away; i++) {
		json_t *documents = memory->documents[writes[i]->db];
		json_t *before = json_object_get(documents, writes[i]->id);
		json_t *doc = writes[i]->body ? json_loads(writes[i]->body, 0, NULL) : NULL;

		memory->written += !json_equal(before, doc) && (before || doc);
		if (doc)
			json_object_set_new(documents, writes[i]->id, doc);
		else
			json_object_del(documents, writes[i]->id);
	}
	n = memory->away;
	pthread_mutex_unlock(&memory->lock);
	return n ? -EIO : 0;
}

static int memory_follow(void *backend, store_changed_fn fn, void *userdata)
{
	return 0;
}

static const char *memory_error(void *backend)
{
	return "";
}

static void memory_close(void *backend)
{
}

static const struct store_backend_ops memory_ops = {
	.load = memory_load,
	.write = memory_write,
	.follow = memory_follow,
	.error = memory_error,
	.close = memory_close,
};

static inline void memory_store_init(struct memory_store *memory)
{
	*memory = (struct memory_store){.lock = PTHREAD_MUTEX_INITIALIZER};
	for (int i = 0; i < DB_MAX; i++)
		memory->documents[i] = json_object();
}

static inline void memory_store_clear(struct memory_store *memory)
{
	for (int i = 0; i < DB_MAX; i++)
		json_decref(memory->documents[i]);
}

static inline void memory_store_go(struct memory_store *memory, bool away)
{
	pthread_mutex_lock(&memory->lock);
	memory->away = away;
	pthread_mutex_unlock(&memory->lock);
}

/* What stands there; NULL: nothing. New reference. */
static inline json_t *memory_store_get(struct memory_store *memory, enum store_db db,
				       const char *id)
{
	json_t *doc;

	pthread_mutex_lock(&memory->lock);
	doc = json_deep_copy(json_object_get(memory->documents[db], id));
	pthread_mutex_unlock(&memory->lock);
	return doc;
}

/* As somebody else would. `doc` NULL: deletes. */
static inline void memory_store_set(struct memory_store *memory, enum store_db db, const char *id,
				    const json_t *doc)
{
	pthread_mutex_lock(&memory->lock);
	if (doc)
		json_object_set_new(memory->documents[db], id, json_deep_copy(doc));
	else
		json_object_del(memory->documents[db], id);
	pthread_mutex_unlock(&memory->lock);
}

#endif
