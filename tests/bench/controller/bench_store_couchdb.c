/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store over a real server (PouchDB Server, or EBB_TEST_COUCHDB): documents a second into it,
 * what one costs us in CPU and memory, and how soon an edit by somebody else is told. The server is
 * what limits the first number: our share of the CPU says by how much.
 */
#include <malloc.h>
#include <pthread.h>
#include <time.h>

#include "peers/peers.h"
#include "store.h"
#include "test.h"
#include "ebb/cleanup.h"
#include "ebb/loop.h"

#define CONTAINERS 1000
#define ROUNDS     10
#define EDITS      200

static struct peer peer;
static struct store *store;

static double seconds_of(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void put_container(int i, int current)
{
	char name[32], text[1024];
	_cleanup_json_ json_t *doc = NULL;

	snprintf(name, sizeof(name), "container-%d", i);
	snprintf(text, sizeof(text),
		 "{\"type\":\"structure\",\"subtype\":\"container\",\"name\":\"%s\",\"guard\":true,"
		 "\"host\":\"h0\",\"host_rescaler_ip\":\"h0\",\"host_rescaler_port\":\"8000\","
		 "\"resources\":{\"cpu\":{\"max\":200,\"current\":%d,\"min\":20,\"guard\":true,"
		 "\"weight\":1.0},\"mem\":{\"max\":6144,\"current\":%d,\"min\":512,\"guard\":true},"
		 "\"disk\":{\"name\":\"ssd_0\",\"path\":\"/mnt/ssd\"},\"disk_read\":{\"max\":300,"
		 "\"current\":100,\"min\":20,\"guard\":false},\"disk_write\":{\"max\":300,"
		 "\"current\":100,\"min\":20,\"guard\":false}}}",
		 name, current, current * 10);
	doc = json_loads(text, 0, NULL);
	CHECK(doc);
	CHECK_INT(store_put(store, DB_STRUCTURES, name, doc), 0);
}

/* `round` -1: as they are. */
static void measure(const char *what, int rounds, int step)
{
	double cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID), wall = seconds_of(CLOCK_MONOTONIC);

	for (int round = 0; round < rounds; round++) {
		for (int i = 0; i < CONTAINERS; i++)
			put_container(i, 100 + step * (round + 1));
		CHECK_INT(store_flush(store), 0);
	}
	cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	wall = seconds_of(CLOCK_MONOTONIC) - wall;
	printf("%-22s %8.0f documents/s, our CPU %5.1f us each (%4.1f%% of the time)\n", what,
	       rounds * CONTAINERS / wall, cpu / (rounds * CONTAINERS) * 1e6, cpu / wall * 100);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static double told_at;
static int told_value;

static void on_change(void *userdata, enum store_db db, const char *id, const json_t *base,
		      json_t *doc)
{
	pthread_mutex_lock(&lock);
	told_at = seconds_of(CLOCK_MONOTONIC);
	told_value = (int)json_integer_value(json_object_get(doc, "edit"));
	pthread_cond_signal(&changed);
	pthread_mutex_unlock(&lock);
}

static int compare(const void *a, const void *b)
{
	return (*(const double *)a > *(const double *)b) -
	       (*(const double *)a < *(const double *)b);
}

static void measure_edits(void)
{
	double delays[EDITS];
	char path[256], body[256], rev[128] = "";

	peer_text(path, sizeof(path), "/%srules/edited", peer.prefix);
	for (int i = 0; i < EDITS; i++) {
		struct http_result result;
		_cleanup_json_ json_t *reply = NULL;
		double begun = seconds_of(CLOCK_MONOTONIC);

		snprintf(body, sizeof(body), "{\"name\":\"edited\",\"edit\":%d%s%s%s}", i + 1,
			 *rev ? ",\"_rev\":\"" : "", rev, *rev ? "\"" : "");
		peer_call(peer.url, NULL, "PUT", path, body, &result);
		reply = json_loads(result.body, 0, NULL);
		http_result_clear(&result);
		snprintf(rev, sizeof(rev), "%s",
			 json_string_value(json_object_get(reply, "rev")) ?: "");
		CHECK(*rev);
		pthread_mutex_lock(&lock);
		while (told_value != i + 1)
			pthread_cond_wait(&changed, &lock);
		delays[i] = (told_at - begun) * 1000;
		pthread_mutex_unlock(&lock);
	}
	qsort(delays, EDITS, sizeof(*delays), compare);
	printf("%-22s p50 %.1f ms, p99 %.1f ms, from before the PUT to the store's call\n",
	       "an edit by another", delays[EDITS / 2], delays[EDITS * 99 / 100]);
}

static int count(void *userdata, const char *id, json_t *doc)
{
	++*(int *)userdata;
	return 0;
}

static void measure_memory(void)
{
	struct mallinfo2 before, after;
	double begun;
	int n = 0;

	store_close(store);
	CHECK_INT(store_open(peer.state, NULL, &store), 0);
	malloc_trim(0);
	before = mallinfo2();
	begun = seconds_of(CLOCK_MONOTONIC);
	CHECK_INT(store_load(store, DB_STRUCTURES, count, &n), 0);
	begun = seconds_of(CLOCK_MONOTONIC) - begun;
	after = mallinfo2();
	CHECK_INT(n, CONTAINERS);
	printf("%-22s %.0f ms for %d documents, %zu bytes kept of each (its text: about 410)\n",
	       "loading", begun * 1000, n, (after.uordblks - before.uordblks) / CONTAINERS);
}

static void end(void *userdata)
{
	store_close(store);
	store = NULL;
}

TEST(store_couchdb)
{
	peer_start(&peer, "couchdb", NULL);
	test_at_end(end, NULL);
	CHECK_INT(store_open(peer.state, NULL, &store), 0);
	for (enum store_db db = 0; db < DB_MAX; db++) {
		int n = 0;

		CHECK_INT(store_load(store, db, count, &n), 0);
	}
	CHECK_INT(store_start(store), 0);
	CHECK_INT(store_follow(store, on_change, NULL), 0);
	measure("new documents", 1, 1);
	measure("changed documents", ROUNDS, 1);
	measure("unchanged documents", ROUNDS, 0);
	measure_edits();
	measure_memory();
}

TEST_MAIN()
