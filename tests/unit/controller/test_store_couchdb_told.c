/* SPDX-License-Identifier: Apache-2.0 */
/* Two threads find changes of a database out: they are told one by one, in the order found out. */
#include "test.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "store_couchdb_private.h"
#include "ebb/cleanup.h"

static struct couchdb_store *store;
static int depth, deepest;
static char said[256];

static void find_out(int number)
{
	COUCHDB_TOLD_LIST(told);
	json_t *doc = json_pack("{s:i}", "n", number);

	pthread_mutex_lock(&store->lock);
	CHECK_INT(couchdb_told_add(&told, "c0", NULL, doc), 0);
	couchdb_queue(store, DB_LIMITS, &told);
	pthread_mutex_unlock(&store->lock);
	CHECK(!told.first);
	json_decref(doc);
}

static void *other_thread(void *userdata)
{
	couchdb_tell(store, DB_LIMITS);
	return NULL;
}

static void on_change(void *userdata, enum store_db db, const char *id, const json_t *base,
		      json_t *doc)
{
	json_int_t n = json_integer_value(json_object_get(doc, "n"));
	size_t len = strlen(said);
	pthread_t thread;

	depth++;
	deepest = MAX(deepest, depth);
	if (n == 1) {
		/* What the other one finds out while the first is being told. */
		find_out(2);
		find_out(3);
		CHECK_INT(pthread_create(&thread, NULL, other_thread, NULL), 0);
		CHECK_INT(pthread_join(thread, NULL), 0);
	}
	snprintf(said + len, sizeof(said) - len, "%s%d ", id, (int)n);
	depth--;
}

static void end(void *userdata)
{
	for (enum store_db db = 0; db < DB_MAX; db++)
		couchdb_documents_free(store->dbs[db].documents);
	pthread_mutex_destroy(&store->lock);
	free(store);
}

TEST(changes_are_told_in_the_order_in_which_they_were_found_out)
{
	struct couchdb_document *document;

	store = calloc(1, sizeof(*store));
	CHECK(store);
	pthread_mutex_init(&store->lock, NULL);
	pthread_cond_init(&store->all_told, NULL);
	for (enum store_db db = 0; db < DB_MAX; db++) {
		CHECK_INT(couchdb_documents_new(db, &store->dbs[db].documents), 0);
		store->dbs[db].told.last = &store->dbs[db].told.first;
	}
	test_at_end(end, NULL);
	store->fn = on_change;
	document = couchdb_documents_add(store->dbs[DB_LIMITS].documents, "c0");
	CHECK(document);
	document->told_ns = UINT64_MAX;
	find_out(1);
	couchdb_tell(store, DB_LIMITS);
	CHECK_STR(said, "c01 c02 c03 ");
	CHECK_INT(deepest, 1);
	CHECK(!store->dbs[DB_LIMITS].told.first);
	CHECK(document->told_ns != UINT64_MAX);
}

TEST_MAIN()
