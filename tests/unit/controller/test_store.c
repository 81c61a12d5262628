/* SPDX-License-Identifier: Apache-2.0 */
/* The queue in front of a backend: here one that keeps a journal and fails when told to. */
#include "test.h"

#include <errno.h>
#include <pthread.h>

#include "store.h"
#include "ebb/cleanup.h"

struct journal {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool fail;                  /* the next writes */
	bool hold;                  /* a write under way does not return */
	const char *again, *refuse; /* ids that are put off, and that are never taken */
	int again_result;           /* what is said of the former; 0: -EAGAIN */
	unsigned tries, batches;
	unsigned compactions, compacted;
	store_changed_fn told;
	void *told_userdata;
	char text[4096]; /* "structures/c0={...} limits/c0- | ..." */
};

static int journal_load(void *backend, enum store_db db,
			int (*fn)(void *userdata, const char *id, json_t *doc), void *userdata)
{
	_cleanup_json_ json_t *doc = json_pack("{s:i}", "db", (int)db);

	return fn(userdata, store_db_name(db), doc);
}

static int journal_write(void *backend, struct store_write *const *writes, size_t n)
{
	struct journal *j = backend;
	int r = 0;

	pthread_mutex_lock(&j->lock);
	j->tries++;
	pthread_cond_broadcast(&j->changed);
	while (j->hold)
		pthread_cond_wait(&j->changed, &j->lock);
	if (j->fail) {
		r = -EIO;
	} else {
		j->batches++;
		for (size_t i = 0; i < n; i++) {
			size_t len = strlen(j->text);

			if (j->again && strcmp(writes[i]->id, j->again) == 0)
				writes[i]->result = j->again_result ?: -EAGAIN;
			else if (j->refuse && strcmp(writes[i]->id, j->refuse) == 0)
				writes[i]->result = -EINVAL;
			if (writes[i]->result < 0)
				continue;
			snprintf(j->text + len, sizeof(j->text) - len, "%s/%s%s%s ",
				 store_db_name(writes[i]->db), writes[i]->id,
				 writes[i]->body ? "=" : "-", writes[i]->body ?: "");
		}
		strncat(j->text, "| ", sizeof(j->text) - strlen(j->text) - 1);
	}
	pthread_mutex_unlock(&j->lock);
	return r;
}

static const char *journal_error(void *backend)
{
	return "told to fail";
}

static void journal_close(void *backend)
{
}

static int journal_follow(void *backend, store_changed_fn fn, void *userdata)
{
	struct journal *j = backend;

	j->told = fn;
	j->told_userdata = userdata;
	return 0;
}

static void journal_add_stats(void *backend, struct store_stats *stats)
{
	stats->unchanged += 5;
	stats->conflicts += 2;
}

static int journal_compact(void *backend, unsigned databases)
{
	struct journal *j = backend;
	int r;

	pthread_mutex_lock(&j->lock);
	r = j->fail ? -EIO : 0;
	j->compacted |= databases;
	j->compactions++;
	pthread_cond_broadcast(&j->changed);
	pthread_mutex_unlock(&j->lock);
	return r;
}

static const struct store_backend_ops journal_ops = {
	.compact = journal_compact,
	.load = journal_load,
	.write = journal_write,
	.error = journal_error,
	.close = journal_close,
	.follow = journal_follow,
	.add_stats = journal_add_stats,
};

static struct journal journal;

static void close_store(void *store)
{
	pthread_mutex_lock(&journal.lock);
	journal.hold = journal.fail = false;
	journal.again = journal.refuse = NULL;
	pthread_cond_broadcast(&journal.changed);
	pthread_mutex_unlock(&journal.lock);
	store_close(store);
}

static struct store *open_store(void)
{
	struct store *store = NULL;

	journal = (struct journal){
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.changed = PTHREAD_COND_INITIALIZER,
	};
	CHECK_INT(store_new(&journal_ops, &journal, &store), 0);
	test_at_end(close_store, store);
	CHECK_INT(store_start(store), 0);
	return store;
}

static void put(struct store *store, enum store_db db, const char *id, int value)
{
	_cleanup_json_ json_t *doc = json_pack("{s:i}", "v", value);

	CHECK_INT(store_put(store, db, id, doc), 0);
}

static void set(bool *flag, bool value)
{
	pthread_mutex_lock(&journal.lock);
	*flag = value;
	pthread_cond_broadcast(&journal.changed);
	pthread_mutex_unlock(&journal.lock);
}

static void wait_for_tries(unsigned tries)
{
	pthread_mutex_lock(&journal.lock);
	while (journal.tries < tries)
		pthread_cond_wait(&journal.changed, &journal.lock);
	pthread_mutex_unlock(&journal.lock);
}

TEST(store_flush_writes_all_in_order)
{
	struct store *store = open_store();

	put(store, DB_STRUCTURES, "c0", 1);
	put(store, DB_LIMITS, "c0", 2);
	CHECK_INT(store_delete(store, DB_RULES, "old"), 0);
	CHECK_INT(store_flush(store), 0);
	CHECK_STR(journal.text, "structures/c0={\"v\":1} limits/c0={\"v\":2} rules/old- | ");
	/* Nothing waits: returns at once. */
	CHECK_INT(store_flush(store), 0);
	CHECK_INT(journal.batches, 1);
}

TEST(store_coalesces_per_document)
{
	struct store *store = open_store();
	struct store_stats stats;

	/* While a batch is being written, the next one gathers. */
	set(&journal.hold, true);
	put(store, DB_STRUCTURES, "first", 0);
	wait_for_tries(1);
	for (int i = 0; i < 1000; i++) {
		put(store, DB_STRUCTURES, "c0", i);
		put(store, DB_STRUCTURES, "c1", i);
	}
	CHECK_INT(store_delete(store, DB_STRUCTURES, "c1"), 0);
	put(store, DB_LIMITS, "c0", 7);
	store_get_stats(store, &stats);
	/* These, and the one under way. */
	CHECK_INT(stats.queued, 4);
	set(&journal.hold, false);
	CHECK_INT(store_flush(store), 0);
	CHECK_STR(journal.text, "structures/first={\"v\":0} | structures/c0={\"v\":999} "
				"structures/c1- limits/c0={\"v\":7} | ");
	store_get_stats(store, &stats);
	CHECK_INT(stats.queued, 0);
	CHECK_INT(stats.writes, 4);
	CHECK_INT(stats.batches, 2);
	CHECK_INT(stats.failures, 0);
}

TEST(store_document_may_change_after_put)
{
	struct store *store = open_store();
	_cleanup_json_ json_t *doc = json_pack("{s:i}", "v", 1);

	CHECK_INT(store_put(store, DB_STRUCTURES, "c0", doc), 0);
	json_object_set_new(doc, "v", json_integer(2));
	CHECK_INT(store_flush(store), 0);
	CHECK_STR(journal.text, "structures/c0={\"v\":1} | ");
}

TEST(store_keeps_what_could_not_be_written)
{
	struct store *store = open_store();
	struct store_stats stats;

	set(&journal.fail, true);
	put(store, DB_STRUCTURES, "c0", 1);
	put(store, DB_STRUCTURES, "c1", 1);
	CHECK_INT(store_flush(store), -EIO);
	CHECK_INT(store_flush(store), -EIO);
	store_get_stats(store, &stats);
	CHECK_INT(stats.queued, 2);
	CHECK(stats.failures >= 2);
	CHECK_STR(stats.last_error, "told to fail");
	CHECK_STR(journal.text, "");

	set(&journal.fail, false);
	put(store, DB_STRUCTURES, "c2", 1);
	put(store, DB_STRUCTURES, "c1", 2);
	CHECK_INT(store_flush(store), 0);
	/* By itself it may have been tried again before c2 and the newer c1 came. */
	CHECK(strstr(journal.text, "structures/c0={\"v\":1} "));
	CHECK(strstr(journal.text, "structures/c1={\"v\":2} "));
	CHECK(strstr(journal.text, "structures/c2={\"v\":1} "));
	store_get_stats(store, &stats);
	CHECK_INT(stats.queued, 0);
}

TEST(store_newer_write_wins_over_one_that_failed)
{
	struct store *store = open_store();

	set(&journal.hold, true);
	put(store, DB_STRUCTURES, "c0", 1);
	put(store, DB_STRUCTURES, "c1", 1);
	wait_for_tries(1);
	/* Comes while the older ones are under way, which then fail. */
	put(store, DB_STRUCTURES, "c2", 2);
	put(store, DB_STRUCTURES, "c0", 2);
	set(&journal.fail, true);
	set(&journal.hold, false);
	CHECK_INT(store_flush(store), -EIO);
	set(&journal.fail, false);
	CHECK_INT(store_flush(store), 0);
	CHECK_STR(journal.text,
		  "structures/c1={\"v\":1} structures/c2={\"v\":2} structures/c0={\"v\":2} | ");
}

TEST(store_close_writes_what_waits)
{
	struct store *store = NULL;

	journal = (struct journal){
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.changed = PTHREAD_COND_INITIALIZER,
	};
	CHECK_INT(store_new(&journal_ops, &journal, &store), 0);
	CHECK_INT(store_start(store), 0);
	put(store, DB_USERS, "u", 1);
	store_close(store);
	CHECK_STR(journal.text, "users/u={\"v\":1} | ");
}

static void set_id(const char **which, const char *id)
{
	pthread_mutex_lock(&journal.lock);
	*which = id;
	pthread_mutex_unlock(&journal.lock);
}

TEST(store_a_document_that_waits_does_not_hold_up_the_others)
{
	struct store *store = open_store();
	struct store_stats stats;

	set_id(&journal.again, "c1");
	put(store, DB_STRUCTURES, "c0", 1);
	put(store, DB_STRUCTURES, "c1", 1);
	put(store, DB_STRUCTURES, "c2", 1);
	CHECK_INT(store_flush(store), -EIO);
	CHECK_STR(journal.text, "structures/c0={\"v\":1} structures/c2={\"v\":1} | ");
	/* Nor those that come while it is put off. */
	put(store, DB_STRUCTURES, "c3", 1);
	put(store, DB_STRUCTURES, "c1", 2);
	CHECK_INT(store_flush(store), -EIO);
	CHECK(strstr(journal.text, "structures/c3={\"v\":1} "));
	store_get_stats(store, &stats);
	CHECK_INT(stats.queued, 1);
	CHECK_INT(stats.writes, 3);
	CHECK(stats.failures >= 2);
	CHECK(stats.reachable);

	set_id(&journal.again, NULL);
	CHECK_INT(store_flush(store), 0);
	/* The newest, once. */
	CHECK(strstr(journal.text, "structures/c1={\"v\":2} "));
	CHECK(!strstr(journal.text, "structures/c1={\"v\":1} "));
	store_get_stats(store, &stats);
	CHECK_INT(stats.queued, 0);
	CHECK_INT(stats.writes, 4);
	CHECK_INT(stats.refused, 0);
}

/* Nobody asks for it: it is tried again by itself. */
TEST(store_tries_a_document_again)
{
	struct store *store = open_store();
	struct store_stats stats;
	unsigned tries;

	set_id(&journal.again, "c0");
	put(store, DB_STRUCTURES, "c0", 1);
	CHECK_INT(store_flush(store), -EIO);
	pthread_mutex_lock(&journal.lock);
	tries = journal.tries;
	journal.again = NULL;
	pthread_mutex_unlock(&journal.lock);
	wait_for_tries(tries + 1);
	do
		store_get_stats(store, &stats);
	while (stats.queued > 0);
	CHECK_STR(strrchr(journal.text, 's'), "s/c0={\"v\":1} | ");
}

TEST(store_tells_a_database_in_trouble_from_a_document)
{
	struct store *store = open_store();
	struct store_stats stats;

	journal.again_result = -EIO;
	set_id(&journal.again, "c0");
	put(store, DB_STRUCTURES, "c0", 1);
	CHECK_INT(store_flush(store), -EIO);
	store_get_stats(store, &stats);
	CHECK(!stats.reachable);
	CHECK_INT(stats.queued, 1);
	put(store, DB_LIMITS, "c1", 1);
	CHECK_INT(store_flush(store), -EIO);
	store_get_stats(store, &stats);
	CHECK_INT(stats.queued, 1);
	CHECK_STR(journal.text, "| limits/c1={\"v\":1} | ");
	set_id(&journal.again, NULL);
	while (store_flush(store) < 0)
		;
	CHECK(strstr(journal.text, "structures/c0={\"v\":1}"));
}

TEST(store_drops_what_is_refused_for_good)
{
	struct store *store = open_store();
	struct store_stats stats;

	set_id(&journal.refuse, "bad");
	put(store, DB_STRUCTURES, "bad", 1);
	put(store, DB_STRUCTURES, "good", 1);
	CHECK_INT(store_flush(store), 0);
	CHECK_STR(journal.text, "structures/good={\"v\":1} | ");
	store_get_stats(store, &stats);
	CHECK_INT(stats.queued, 0);
	CHECK_INT(stats.refused, 1);
	CHECK_INT(stats.writes, 1);
}

TEST(store_newer_write_wins_over_one_that_was_put_off)
{
	struct store *store = open_store();

	set_id(&journal.again, "c0");
	set(&journal.hold, true);
	put(store, DB_STRUCTURES, "c0", 1);
	wait_for_tries(1);
	put(store, DB_STRUCTURES, "c0", 2);
	set(&journal.hold, false);
	CHECK_INT(store_flush(store), -EIO);
	set_id(&journal.again, NULL);
	CHECK_INT(store_flush(store), 0);
	CHECK(strstr(journal.text, "structures/c0={\"v\":2} "));
	CHECK(!strstr(journal.text, "structures/c0={\"v\":1} "));
}

TEST(store_tells_whether_it_is_reached)
{
	struct store *store = open_store();
	struct store_stats stats;

	store_get_stats(store, &stats);
	CHECK(stats.reachable);
	CHECK(stats.oldest_queued_s == 0);
	set(&journal.fail, true);
	put(store, DB_STRUCTURES, "c0", 1);
	CHECK_INT(store_flush(store), -EIO);
	store_get_stats(store, &stats);
	CHECK(!stats.reachable);
	CHECK(stats.oldest_queued_s > 0);
	/* The age is that of the first write, however often it is replaced. */
	double before = stats.oldest_queued_s;

	put(store, DB_STRUCTURES, "c0", 2);
	store_get_stats(store, &stats);
	CHECK(stats.oldest_queued_s >= before);
	CHECK_INT(stats.queued, 1);
	set(&journal.fail, false);
	CHECK_INT(store_flush(store), 0);
	store_get_stats(store, &stats);
	CHECK(stats.reachable);
	CHECK(stats.oldest_queued_s == 0);
	/* What only the backend counts. */
	CHECK_INT(stats.unchanged, 5);
	CHECK_INT(stats.conflicts, 2);
}

static void note_change(void *userdata, enum store_db db, const char *id, const json_t *base,
			json_t *doc)
{
	snprintf(userdata, 64, "%s/%s%s%s", store_db_name(db), id, base ? "~" : "", doc ? "" : "-");
}

TEST(store_passes_changes_on)
{
	struct store *store = open_store();
	_cleanup_json_ json_t *doc = json_object();
	struct store_stats stats;
	char seen[64] = "";

	CHECK_INT(store_follow(store, note_change, seen), 0);
	journal.told(journal.told_userdata, DB_RULES, "r", doc, doc);
	CHECK_STR(seen, "rules/r~");
	journal.told(journal.told_userdata, DB_USERS, "u", NULL, NULL);
	CHECK_STR(seen, "users/u-");
	store_get_stats(store, &stats);
	CHECK_INT(stats.changes, 2);
}

static void note_claimed(void *userdata, enum store_db db, const char *id)
{
	size_t len = strlen(userdata);

	snprintf((char *)userdata + len, 64 - len, "%s/%s ", store_db_name(db), id);
}

TEST(store_tells_what_was_claimed)
{
	static char seen[64];
	struct store *store = NULL;

	seen[0] = '\0';
	journal = (struct journal){
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.changed = PTHREAD_COND_INITIALIZER,
		.fail = true,
		.refuse = "refused",
	};
	CHECK_INT(store_new(&journal_ops, &journal, &store), 0);
	test_at_end(close_store, store);
	store_on_claimed(store, note_claimed, seen);
	CHECK_INT(store_start(store), 0);
	CHECK_INT(store_claim(store, DB_REQUESTS, "r1"), 0);
	CHECK_INT(store_claim(store, DB_REQUESTS, "refused"), 0);
	CHECK_INT(store_delete(store, DB_REQUESTS, "deleted"), 0);
	CHECK_INT(store_claim(store, DB_REQUESTS, "written"), 0);
	put(store, DB_REQUESTS, "written", 1);
	CHECK_INT(store_flush(store), -EIO);
	CHECK_STR(seen, "");
	set(&journal.fail, false);
	CHECK_INT(store_flush(store), 0);
	CHECK_STR(seen, "requests/r1 ");
	store_unfollow(store);
	CHECK_INT(store_claim(store, DB_REQUESTS, "r2"), 0);
	CHECK_INT(store_flush(store), 0);
	CHECK_STR(seen, "requests/r1 ");
}

static void wait_for_compactions(unsigned n)
{
	pthread_mutex_lock(&journal.lock);
	while (journal.compactions < n)
		pthread_cond_wait(&journal.changed, &journal.lock);
	pthread_mutex_unlock(&journal.lock);
}

TEST(store_compacts_beside_the_writes)
{
	struct store *store = open_store();
	struct store_stats stats;

	/* Nothing is there to be written. */
	store_compact(store, 1u << DB_EVENTS | 1u << DB_LIMITS);
	wait_for_compactions(1);
	CHECK_INT(journal.compacted, 1u << DB_EVENTS | 1u << DB_LIMITS);
	put(store, DB_STRUCTURES, "c0", 1);
	CHECK_INT(store_flush(store), 0);
	CHECK_STR(journal.text, "structures/c0={\"v\":1} | ");
	/* What fails is not tried again by itself, and keeps nothing from being written. */
	set(&journal.fail, true);
	store_compact(store, 1u << DB_RULES);
	wait_for_compactions(2);
	set(&journal.fail, false);
	put(store, DB_STRUCTURES, "c1", 1);
	CHECK_INT(store_flush(store), 0);
	store_get_stats(store, &stats);
	CHECK_INT(stats.compactions, 1);
	CHECK_INT(stats.failures, 0);
	CHECK_INT(journal.compactions, 2);
}

static int see(void *userdata, const char *id, json_t *doc)
{
	snprintf(userdata, 64, "%s:%lld", id, json_integer_value(json_object_get(doc, "db")));
	return 0;
}

TEST(store_load_asks_the_backend)
{
	struct store *store = open_store();
	char seen[64] = "";

	CHECK_INT(store_load(store, DB_EVENTS, see, seen), 0);
	CHECK_STR(seen, "events:4");
}

TEST(store_uri_must_be_known)
{
	struct store *store = (void *)1;

	CHECK_INT(store_open("mysql://x", NULL, &store), -EINVAL);
	CHECK_INT(store_open("sqlite:", NULL, &store), -EINVAL);
	CHECK_INT(store_open("/var/lib/x.db", NULL, &store), -EINVAL);
	CHECK(store == (void *)1);
}

TEST(store_names)
{
	CHECK_STR(store_db_name(DB_STRUCTURES), "structures");
	CHECK_STR(store_db_name(DB_USERS), "users");
	CHECK(store_db_name(DB_MAX) == NULL);
}

/* Many threads putting while the writer works: nothing is lost (and TSan has something to see). */
enum { THREADS = 4, PER_THREAD = 2000 };
struct putter {
	struct store *store;
	int n;
};

static void *putter_main(void *userdata)
{
	struct putter *p = userdata;
	char id[32];

	for (int i = 0; i < PER_THREAD; i++) {
		snprintf(id, sizeof(id), "t%d", p->n);
		_cleanup_json_ json_t *doc = json_pack("{s:i}", "v", i);
		store_put(p->store, DB_STRUCTURES, id, doc);
	}
	return NULL;
}

TEST(store_many_threads)
{
	struct store *store = open_store();
	pthread_t threads[THREADS];
	struct putter putters[THREADS];
	char want[64];

	for (int i = 0; i < THREADS; i++) {
		putters[i] = (struct putter){store, i};
		CHECK_INT(pthread_create(&threads[i], NULL, putter_main, &putters[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	CHECK_INT(store_flush(store), 0);
	for (int i = 0; i < THREADS; i++) {
		snprintf(want, sizeof(want), "structures/t%d={\"v\":%d} ", i, PER_THREAD - 1);
		CHECK(strstr(journal.text, want));
	}
}

TEST_MAIN()
