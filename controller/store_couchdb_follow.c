/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Following: a thread with a continuous `_changes` for each database. A feed that is silent for
 * three heartbeats or breaks is begun anew from what was read last, once it is sure that the
 * database is still the one we know.
 */
#include "store_couchdb_private.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "couchdb_feed.h"
#include "couchdb_json.h"
#include "ebb/cleanup.h"
#include "ebb/http_client.h"
#include "ebb/log.h"
#include "ebb/loop.h"
#include "ebb/units.h"
#include "ebb/util.h"

#define HEARTBEAT_MS 1000
#define SILENCE_S    3
#define SILENT_TRIES 2 /* after so many without a byte it is said */
#define CONNECT_MS   3000
#define RETRY_MS     50
#define RETRY_MAX_MS 2000
/* Each database is looked at every ten seconds or so: one that was deleted and made again may leave
 * its feed open and silent. */
#define LOOK_NS (1400 * EBB_NS_PER_MS)
/* A leader's heartbeats come more often than this. */
#define STANDBY_NS (15 * EBB_NS_PER_SEC)
#define LEAVE_NS   (12 * EBB_NS_PER_SEC) /* more than it takes to be found out */

struct feed {
	struct couchdb_follow *follow;
	enum store_db db;
	struct http_client *client; /* NULL: waits for the timer */
	struct loop_source *timer;
	struct couchdb_lines lines;
	unsigned generation; /* of the database, when the feed was begun */
	unsigned attempts;   /* since something came */
	bool down;           /* could not be begun, or nothing comes */
	uint64_t begun_ns;
};

struct couchdb_follow {
	struct couchdb_store *store;
	struct loop *loop;
	pthread_t thread;
	struct feed feeds[DB_MAX];
	struct loop_source *look;
	enum store_db look_next;
	unsigned n_down;
};

static void schedule(struct feed *feed, unsigned delay_ms)
{
	http_client_free(feed->client);
	feed->client = NULL;
	couchdb_lines_clear(&feed->lines);
	loop_set_timer(feed->timer, delay_ms * EBB_NS_PER_MS, 0);
}

static void schedule_again(struct feed *feed)
{
	schedule(feed, backoff_ms(feed->attempts++, RETRY_MS, RETRY_MAX_MS));
}

/* `why` NULL: what others change is seen. */
static void set_unseen(struct couchdb_store *store, const char *why)
{
	pthread_mutex_lock(&store->lock);
	snprintf(store->unseen, sizeof(store->unseen), "%s", why ?: "");
	pthread_mutex_unlock(&store->lock);
}

/* All feeds? */
static void set_following(struct couchdb_store *store, bool following)
{
	pthread_mutex_lock(&store->lock);
	store->blind = !following;
	pthread_mutex_unlock(&store->lock);
}

static void went_down(struct feed *feed, const char *why)
{
	/* Not for one feed that is cut off and begins again. */
	if (!feed->down && feed->follow->n_down == DB_MAX - 1)
		set_unseen(feed->follow->store, why);
	if (!feed->down)
		set_following(feed->follow->store, false);
	if (!feed->down && feed->follow->n_down++ == 0)
		log_warning("State: what others change is not seen at the moment: %s; trying again",
			    why);
	feed->down = true;
}

static void came_up(struct feed *feed)
{
	feed->attempts = 0;
	if (feed->down && feed->follow->n_down == DB_MAX)
		set_unseen(feed->follow->store, NULL);
	if (feed->down && --feed->follow->n_down == 0) {
		set_following(feed->follow->store, true);
		log_info("State: what others change is seen again");
	}
	feed->down = false;
}

/* --- What arrives ------------------------------------------------------------------------------
 */

static int on_line(void *userdata, const char *line, size_t len)
{
	struct feed *feed = userdata;
	struct couchdb_store *store = feed->follow->store;
	struct couchdb_database *database = couchdb_database(store, feed->db);
	struct couchdb_change change;
	COUCHDB_TOLD_LIST(told);
	int r;

	if (!line) {
		log_error("State: a change in %s is longer than %lu MiB; it is not seen",
			  store_db_name(feed->db), COUCHDB_LINE_MAX >> 20);
		return 0;
	}
	r = couchdb_change_parse(line, len, &change);
	if (r == -EBADMSG && couchdb_change_skim(line, len, &change) == 0) {
		log_error(
			"State: a change of the document %s in %s has what Ebb cannot read (a "
			"number of more than 300 digits, a \\u0000 in a name, or very many levels) "
			"and is passed over: correct it there",
			change.id, store_db_name(feed->db));
		r = 0;
	}
	if (r < 0) {
		log_warning("State: CouchDB's feed of %s has a line that is no change; beginning "
			    "it anew",
			    store_db_name(feed->db));
		return r;
	}
	if (!change.id) {
		/* It ends so when the server stops or the database goes. */
		couchdb_change_clear(&change);
		return -EPIPE;
	}
	pthread_mutex_lock(&store->lock);
	if (database->lost || database->generation != feed->generation) {
		r = -ESTALE;
		couchdb_change_clear(&change);
	} else {
		char *seq = TAKE_PTR(change.seq);

		r = couchdb_documents_take(database->documents, &change, &told);
		/* Without memory it comes again, after a moment. */
		if (r == 0 && seq) {
			free(database->since);
			database->since = TAKE_PTR(seq);
		}
		free(seq);
	}
	couchdb_queue(store, feed->db, &told);
	pthread_mutex_unlock(&store->lock);
	couchdb_tell(store, feed->db);
	return r;
}

static int on_data(void *userdata, const char *data, size_t len)
{
	struct feed *feed = userdata;
	struct couchdb_store *store = feed->follow->store;
	bool current;

	came_up(feed);
	pthread_mutex_lock(&store->lock);
	current = couchdb_database(store, feed->db)->generation == feed->generation;
	pthread_mutex_unlock(&store->lock);
	return current ? couchdb_lines_take(&feed->lines, data, len, on_line, feed) : -ESTALE;
}

static void on_done(void *userdata, const struct http_response *response)
{
	struct feed *feed = userdata;
	struct couchdb_store *store = feed->follow->store;
	char why[256];

	if (response->status == 401)
		couchdb_forget_cookie(store->follower);
	if (response->status == 400 || response->status == 404) {
		/* It does not know our sequence, or itself. */
		couchdb_lose_database(store, feed->db);
	}
	/* Begun again and again, and not even a heartbeat comes. */
	if (feed->attempts >= SILENT_TRIES && response->status / 100 <= 2 &&
	    now_ns() - feed->begun_ns >= SILENCE_S * EBB_NS_PER_SEC) {
		snprintf(
			why, sizeof(why),
			"nothing comes through the feed _changes of %s from CouchDB at %s, as when a "
			"proxy before it holds answers back (nginx needs proxy_buffering off)",
			store_db_name(feed->db), couchdb_server(store->follower));
		went_down(feed, why);
	}
	/* A cookie's end, like a database's, is put right at the next attempt. */
	if (response->status / 100 > 2 && feed->attempts > 0) {
		snprintf(why, sizeof(why), "CouchDB at %s answers %ld to _changes of %s",
			 couchdb_server(store->follower), response->status,
			 store_db_name(feed->db));
		went_down(feed, why);
	}
	schedule_again(feed);
}

/* --- Beginning ---------------------------------------------------------------------------------
 */

/* A controller that writes nothing is a standby: the one that leads fills a lost database first. */
static bool leaves_it_to_others(struct couchdb_store *store, struct couchdb_database *database)
{
	uint64_t now = now_ns();
	bool leaves;

	pthread_mutex_lock(&store->lock);
	leaves = database->lost && now - database->lost_ns < LEAVE_NS &&
		 (!store->call_end_ns || now - store->call_end_ns > STANDBY_NS);
	pthread_mutex_unlock(&store->lock);
	return leaves;
}

/* 0: the table and the database are together. 1: somebody else is at it. */
static int bring_together(struct feed *feed)
{
	struct couchdb_store *store = feed->follow->store;
	struct couchdb_database *database = couchdb_database(store, feed->db);
	bool together;
	int r;

	pthread_mutex_lock(&store->lock);
	together = database->loaded && !database->lost;
	pthread_mutex_unlock(&store->lock);
	if (together) {
		r = couchdb_check_database(store, store->follower, feed->db, true);
		if (r <= 0)
			return r;
		couchdb_lose_database(store, feed->db);
	}
	if (leaves_it_to_others(store, database))
		return 1;
	if (!couchdb_take_turn(store, feed->db))
		return 1;
	r = couchdb_recover_database(store, store->follower, feed->db);
	couchdb_give_turn(store, feed->db);
	return r;
}

static char *changes_path(struct feed *feed)
{
	struct couchdb_store *store = feed->follow->store;
	struct couchdb_database *database = couchdb_database(store, feed->db);
	_cleanup_free_ char *since = NULL, *rest = NULL;

	pthread_mutex_lock(&store->lock);
	since = http_escape(database->since);
	feed->generation = database->generation;
	pthread_mutex_unlock(&store->lock);
	if (!since ||
	    asprintf(&rest, "/_changes?feed=continuous&include_docs=true&heartbeat=%d&since=%s",
		     HEARTBEAT_MS, since) < 0)
		return NULL;
	return couchdb_db_path(store->follower, feed->db, rest);
}

static int request_changes(struct feed *feed)
{
	struct couchdb_follow *follow = feed->follow;
	_cleanup_free_ char *path = changes_path(feed);
	struct http_request_options options = {
		.method = "GET",
		.path = path,
		.timeout_ms = HTTP_NO_TIMEOUT,
		.connect_timeout_ms = CONNECT_MS,
		.silence_s = SILENCE_S,
		.on_data = on_data,
		.data_userdata = feed,
	};
	int r;

	if (!path)
		return -ENOMEM;
	feed->begun_ns = now_ns();
	r = couchdb_access(follow->store->follower, &options);
	if (r == 0)
		r = http_client_new(follow->loop, &feed->client);
	if (r == 0)
		r = http_client_send(feed->client, &options, on_done, feed);
	return r;
}

static void on_begin(void *userdata)
{
	struct feed *feed = userdata;
	struct couchdb_store *store = feed->follow->store;
	int r;

	if (store->stopping)
		return;
	r = bring_together(feed);
	if (r == 0)
		r = request_changes(feed);
	if (r > 0) {
		schedule(feed, RETRY_MS);
	} else if (r < 0 && !store->stopping) {
		went_down(feed, r == -ENOMEM ? "out of memory" : couchdb_error(store->follower));
		schedule_again(feed);
	}
}

/* One database at a time: is it still the one? */
static void on_look(void *userdata)
{
	struct couchdb_follow *follow = userdata;
	struct couchdb_store *store = follow->store;
	struct feed *feed = &follow->feeds[follow->look_next];

	follow->look_next = (follow->look_next + 1) % DB_MAX;
	if (feed->client && couchdb_check_database(store, store->follower, feed->db, false) == 1) {
		couchdb_lose_database(store, feed->db);
	}
	for (enum store_db db = 0; db < DB_MAX; db++) {
		bool stale;

		feed = &follow->feeds[db];
		pthread_mutex_lock(&store->lock);
		stale = couchdb_database(store, db)->lost ||
			couchdb_database(store, db)->generation != feed->generation;
		pthread_mutex_unlock(&store->lock);
		if (feed->client && stale)
			schedule(feed, 0);
	}
}

/* --- The thread --------------------------------------------------------------------------------
 */

/* What a merge took in before anybody listened. */
static void tell_untold(struct couchdb_store *store, enum store_db db)
{
	COUCHDB_TOLD_LIST(told);

	pthread_mutex_lock(&store->lock);
	for (struct couchdb_document *d = couchdb_documents_first(store->dbs[db].documents); d;
	     d = d->next) {
		_cleanup_json_ json_t *doc = NULL;

		if (!d->untold)
			continue;
		doc = couchdb_json_reload(d->synced);
		d->untold = couchdb_told_add(&told, d->key, NULL, doc) < 0;
	}
	couchdb_queue(store, db, &told);
	pthread_mutex_unlock(&store->lock);
	couchdb_tell(store, db);
}

static void *follow_main(void *userdata)
{
	struct couchdb_follow *follow = userdata;

	pthread_setname_np(pthread_self(), "store-follow");
	for (enum store_db db = 0; db < DB_MAX; db++)
		tell_untold(follow->store, db);
	loop_run(follow->loop);
	return NULL;
}

static void follow_free(struct couchdb_follow *follow)
{
	for (enum store_db db = 0; db < DB_MAX; db++) {
		http_client_free(follow->feeds[db].client);
		couchdb_lines_clear(&follow->feeds[db].lines);
	}
	if (follow->loop)
		loop_free(follow->loop);
	free(follow);
}

int couchdb_follow_start(struct couchdb_store *store)
{
	struct couchdb_follow *follow = calloc(1, sizeof(*follow));
	sigset_t all, before;
	int r;

	if (!follow)
		return -ENOMEM;
	follow->store = store;
	r = loop_new(&follow->loop);
	for (enum store_db db = 0; db < DB_MAX && r == 0; db++) {
		struct feed *feed = &follow->feeds[db];

		feed->follow = follow;
		feed->db = db;
		feed->lines.max = COUCHDB_LINE_MAX;
		r = loop_add_timer(follow->loop, 0, 0, on_begin, feed, &feed->timer);
	}
	if (r == 0)
		r = loop_add_timer(follow->loop, LOOK_NS, LOOK_NS, on_look, follow, &follow->look);
	if (r == 0) {
		/* Signals are for the main loop. */
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &before);
		r = -pthread_create(&follow->thread, NULL, follow_main, follow);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
	}
	if (r < 0) {
		follow_free(follow);
		return log_error_errno(r, "Cannot follow the changes of the state");
	}
	store->follow = follow;
	return 0;
}

void couchdb_follow_stop(struct couchdb_store *store)
{
	struct couchdb_follow *follow = store->follow;

	if (!follow)
		return;
	loop_stop(follow->loop);
	pthread_join(follow->thread, NULL);
	follow_free(follow);
	store->follow = NULL;
}
