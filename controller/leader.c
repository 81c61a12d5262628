/* SPDX-License-Identifier: Apache-2.0 */
#include "leader.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "couchdb.h"
#include "lease.h"
#include "lease_document.h"
#include "lease_leaves.h"
#include "ebb/cleanup.h"
#include "ebb/http_client.h"
#include "ebb/log.h"
#include "ebb/loop.h"
#include "ebb/units.h"
#include "ebb/util.h"

/*
 * A renewal that is not answered and the promises after it must fit into LEADER_ACT_MS, and a
 * takeover that first asks a silent leader into 3 s. Who does not act can wait longer for an
 * answer: a slow database is better than nobody who leads.
 */
#define CALL_MS    350
#define STANDBY_MS 1000
#define ASK_MS     300
#define RESIGN_MS  1000

struct leader {
	bool alone; /* SQLite */
	struct leader_options options;
	char *advertise;
	struct couchdb *couch;
	struct http_session *peers;
	pthread_t thread;
	bool has_thread;

	pthread_mutex_t lock; /* of all to the empty line; never held across a call */
	pthread_cond_t wake;
	bool stopping, awake;
	struct lease lease;
	uint64_t renewed_at; /* 0: never */
	char error[256];

	/* What leader_acts() reads: until when, and the term that it is for. */
	_Atomic uint64_t acts_until, acts_term;

	/* The thread's own. */
	json_t *document; /* as last read or written, for the fields of others */
	uint64_t announced;
	bool told_split;
	char told_holder[LEASE_URL_MAX];
	char probed[LEASE_STANDBYS_MAX][LEASE_INSTANCE_MAX];
	size_t n_probed;
};

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / EBB_NS_PER_MS;
}

/* --- May we act? ------------------------------------------------------------------------------ */

bool leader_acts(const struct leader *leader, uint64_t *ret_term)
{
	uint64_t until, again;

	if (leader->alone) {
		*ret_term = 0;
		return true;
	}
	/* Between two terms `until` is 0. */
	do {
		until = atomic_load(&leader->acts_until);
		*ret_term = atomic_load(&leader->acts_term);
		again = atomic_load(&leader->acts_until);
	} while (until != again);
	return now_ms() < until;
}

/* With the lock, when the lease may have ended. */
static void retract(struct leader *leader)
{
	uint64_t term;

	if (!lease_acts(&leader->lease, now_ms(), &term) || term != atomic_load(&leader->acts_term))
		atomic_store(&leader->acts_until, 0);
}

static void announce(struct leader *leader, uint64_t term)
{
	if (leader->options.changed)
		leader->options.changed(leader->options.userdata, term);
	leader->announced = term;
}

/* Tells of what the last step has changed; in the thread, without the lock. */
static void settle(struct leader *leader)
{
	uint64_t term, now_term;
	bool acts;

	pthread_mutex_lock(&leader->lock);
	acts = lease_acts(&leader->lease, now_ms(), &term);
	retract(leader);
	pthread_mutex_unlock(&leader->lock);
	if (leader->announced && (!acts || term != leader->announced)) {
		atomic_store(&leader->acts_until, 0);
		log_warning("No longer leading in term %" PRIu64, leader->announced);
		announce(leader, 0);
	}
	if (acts && !leader->announced) {
		log_info("Leading from now on, in term %" PRIu64, term);
		announce(leader, term);
	}
	if (!leader->announced)
		return;
	/* Ready now. That may have taken longer than the lease. */
	pthread_mutex_lock(&leader->lock);
	if (lease_acts(&leader->lease, now_ms(), &now_term) && now_term == leader->announced) {
		atomic_store(&leader->acts_term, now_term);
		atomic_store(&leader->acts_until, leader->lease.acts_until);
	}
	pthread_mutex_unlock(&leader->lock);
}

/* --- The document ----------------------------------------------------------------------------- */

static void set_error(struct leader *leader, const char *text)
{
	bool is_new;

	pthread_mutex_lock(&leader->lock);
	is_new = !leader->error[0] && *text;
	snprintf(leader->error, sizeof(leader->error), "%s", text);
	pthread_mutex_unlock(&leader->lock);
	if (is_new)
		log_warning("The lease: %s", text);
}

static unsigned call_ms(struct leader *leader)
{
	uint64_t term;
	bool acts;

	pthread_mutex_lock(&leader->lock);
	acts = lease_acts(&leader->lease, now_ms(), &term);
	pthread_mutex_unlock(&leader->lock);
	return acts ? CALL_MS : STANDBY_MS;
}

/* New documents come with the answer of a read; what was written is kept with its revision. */
static void keep_document(struct leader *leader, json_t *document)
{
	json_decref(leader->document);
	leader->document = document;
}

static enum lease_result read_document(struct leader *leader, struct lease_doc *ret_doc)
{
	_cleanup_free_ char *path =
		couchdb_db_path(leader->couch, DB_SERVICES, "/" COUCHDB_LEASE "?conflicts=true");
	struct couchdb_reply reply = {0};
	enum lease_result result = LEASE_FAILED;
	const char *reason;
	int r = path ? couchdb_call(leader->couch, "GET", path, NULL, call_ms(leader), &reply)
		     : -ENOMEM;

	reason = json_string_value(json_object_get(reply.json, "reason"));
	if (r < 0) {
		set_error(leader, path ? couchdb_error(leader->couch) : strerror(ENOMEM));
	} else if (reply.status == 200 && lease_document_parse(reply.json, ret_doc) >= 0) {
		keep_document(leader, json_incref(reply.json));
		result = LEASE_DONE;
	} else if (reply.status == 200) {
		set_error(leader, "the document " COUCHDB_LEASE " of the services is no lease: "
				  "delete it");
	} else if (reply.status == 404 && reason &&
		   (!strcmp(reason, "missing") || !strcmp(reason, "deleted"))) {
		result = LEASE_MISSING;
	} else {
		set_error(leader, reply.status == 404
					  ? "the database of the services does not exist"
					  : "unexpected answer to the reading of " COUCHDB_LEASE);
	}
	couchdb_reply_clear(&reply);
	/* Of one with conflicts, the error may be why they stay. */
	if (result == LEASE_MISSING || (result == LEASE_DONE && !ret_doc->split)) {
		set_error(leader, "");
		leader->told_split = false;
	}
	return result;
}

static enum lease_result write_document(struct leader *leader, const struct lease_doc *doc,
					unsigned timeout_ms, char ret_rev[LEASE_REV_MAX])
{
	_cleanup_free_ char *path = couchdb_db_path(leader->couch, DB_SERVICES, "/" COUCHDB_LEASE);
	_cleanup_json_ json_t *json = lease_document_build(doc, leader->document, wall_seconds());
	_cleanup_free_ char *body = json ? json_dumps(json, JSON_COMPACT) : NULL;
	struct couchdb_reply reply = {0};
	enum lease_result result = LEASE_FAILED;
	const char *rev;
	int r = -ENOMEM;

	if (path && body)
		r = couchdb_call(leader->couch, "PUT", path, body, timeout_ms, &reply);
	rev = json_string_value(json_object_get(reply.json, "rev"));
	if (r < 0) {
		set_error(leader, r == -ENOMEM ? strerror(ENOMEM) : couchdb_error(leader->couch));
	} else if (reply.status == 201 && rev && strlen(rev) < LEASE_REV_MAX) {
		/* A cluster's 202 is not enough: too few of its nodes have it. */
		snprintf(ret_rev, LEASE_REV_MAX, "%s", rev);
		result = LEASE_DONE;
	} else if (reply.status == 409) {
		result = LEASE_CONFLICT;
	} else {
		set_error(leader, reply.status == 404
					  ? "the database of the services does not exist"
					  : "the database has not taken " COUCHDB_LEASE);
	}
	couchdb_reply_clear(&reply);
	if (result == LEASE_DONE)
		keep_document(leader, TAKE_PTR(json));
	if (result != LEASE_FAILED)
		set_error(leader, "");
	return result;
}

/* Leaves one of several. The term of those that go is kept in the one that stays: others may not
 * have seen them. */
static uint64_t settle_leaves(struct leader *leader, const struct lease_doc *doc)
{
	/* Writing replaces it. */
	_cleanup_json_ json_t *document = json_incref(leader->document);
	struct lease_doc raised = *doc;
	char rev[LEASE_REV_MAX];
	int r;

	if (!leader->told_split)
		log_warning("The document " COUCHDB_LEASE
			    " of the services has %zu other revisions "
			    "in conflict with it: nobody leads until they are deleted, which is "
			    "done now",
			    json_array_size(json_object_get(document, "_conflicts")));
	leader->told_split = true;
	r = lease_leaves_term(leader->couch, document, STANDBY_MS, &raised.term);
	if (r >= 0 && raised.term > doc->term) {
		raised.renewed++;
		if (write_document(leader, &raised, STANDBY_MS, rev) != LEASE_DONE)
			return raised.term;
	}
	if (r >= 0)
		r = lease_leaves_delete(leader->couch, document, STANDBY_MS);
	if (r < 0)
		set_error(leader, r == -ENOMEM ? strerror(ENOMEM) : couchdb_error(leader->couch));
	return raised.term;
}

/* --- Other controllers ------------------------------------------------------------------------ */

/* What the instance at `url` answers; NULL when that one did not. */
static json_t *call_peer(struct leader *leader, struct http_session *session, const char *url,
			 const char *instance, const char *path, json_t *message)
{
	_cleanup_json_ json_t *owned = message, *answer = NULL;
	_cleanup_free_ char *body = owned ? json_dumps(owned, JSON_COMPACT) : NULL;
	struct http_request_options options = {
		.method = message ? "POST" : "GET",
		.address = url,
		.path = path,
		.body = body,
		.body_len = body ? strlen(body) : 0,
		.identity = leader->options.identity,
		.timeout_ms = ASK_MS,
		.response_max = 64 << 10,
	};
	struct http_result result = {0};
	const char *who;

	if (message && !body)
		return NULL;
	if (http_session_call(session, &options, &result) < 0)
		return NULL;
	if (result.status == 200 && result.body)
		answer = json_loadb(result.body, result.body_len, 0, NULL);
	http_result_clear(&result);
	who = json_string_value(json_object_get(answer, "instance"));
	return who && !strcmp(who, instance) ? TAKE_PTR(answer) : NULL;
}

static bool ask_leader(struct leader *leader, const struct lease_doc *doc)
{
	_cleanup_json_ json_t *answer =
		call_peer(leader, leader->peers, doc->holder, doc->instance, "/leader/ask",
			  json_pack("{s:s, s:s}", "url", leader->advertise, "instance",
				    leader->lease.instance));

	return json_is_true(json_object_get(answer, "acts"));
}

struct promise {
	struct leader *leader;
	const struct lease_step *step;
	const struct lease_standby *from;
	pthread_t thread;
	bool asked, promised;
	uint64_t term;
};

static void *ask_for_promise(void *userdata)
{
	struct promise *promise = userdata;
	struct leader *leader = promise->leader;
	const struct lease_step *step = promise->step;
	_cleanup_json_ json_t *answer = NULL;
	struct http_session *session;
	json_int_t term;

	if (http_session_new(&session) < 0)
		return NULL;
	answer = call_peer(
		leader, session, promise->from->url, promise->from->instance, "/leader/promise",
		json_pack("{s:I, s:s, s:s, s:b}", "term", (json_int_t)step->doc.term, "instance",
			  leader->lease.instance, "holder", leader->advertise, "acts", step->acts));
	http_session_free(session);
	term = json_integer_value(json_object_get(answer, "term"));
	promise->promised = json_is_true(json_object_get(answer, "promised"));
	promise->term = term > 0 ? (uint64_t)term : 0;
	return NULL;
}

/* At once: one after another, a few slow ones would take longer than the lease. */
static bool collect_promises(struct leader *leader, const struct lease_step *step,
			     uint64_t *ret_term)
{
	struct promise promises[LEASE_STANDBYS_MAX] = {0};
	bool all = true;

	*ret_term = 0;
	for (size_t i = 0; i < step->doc.n_standbys; i++) {
		struct promise *promise = &promises[i];

		promise->leader = leader;
		promise->step = step;
		promise->from = &step->doc.standbys[i];
		promise->asked =
			pthread_create(&promise->thread, NULL, ask_for_promise, promise) == 0;
	}
	for (size_t i = 0; i < step->doc.n_standbys; i++) {
		struct promise *promise = &promises[i];

		if (promise->asked)
			pthread_join(promise->thread, NULL);
		all = all && promise->promised;
		*ret_term = MAX(*ret_term, promise->term);
	}
	return all;
}

static bool is_probed(const struct leader *leader, const char *instance)
{
	for (size_t i = 0; i < leader->n_probed; i++)
		if (!strcmp(leader->probed[i], instance))
			return true;
	return false;
}

/* Once for each: an --advertise that leads nowhere is only missed when it is needed. */
static void probe(struct leader *leader, const char *url, const char *instance, const char *what)
{
	_cleanup_json_ json_t *answer = NULL;

	if (!*instance || is_probed(leader, instance))
		return;
	if (leader->n_probed == LEASE_STANDBYS_MAX) {
		memmove(leader->probed[0], leader->probed[1],
			sizeof(leader->probed) - sizeof(leader->probed[0]));
		leader->n_probed--;
	}
	memcpy(leader->probed[leader->n_probed++], instance, LEASE_INSTANCE_MAX);
	answer = call_peer(leader, leader->peers, url, instance, "/leader", NULL);
	if (!answer)
		log_warning("The controller that %s cannot be reached at %s, or another answers "
			    "there: set its --advertise to a URL that works from here, or one of "
			    "them stops acting when the database is away",
			    what, url);
}

static void probe_others(struct leader *leader, const struct lease_doc *doc)
{
	if (leader->lease.holds)
		for (size_t i = 0; i < doc->n_standbys; i++)
			probe(leader, doc->standbys[i].url, doc->standbys[i].instance, "stands by");
	else
		probe(leader, doc->holder, doc->instance, "leads");
}

static void tell_holder(struct leader *leader, const struct lease_doc *doc)
{
	if (!strcmp(doc->holder, leader->told_holder))
		return;
	snprintf(leader->told_holder, sizeof(leader->told_holder), "%s", doc->holder);
	if (!strcmp(doc->holder, leader->lease.url) &&
	    strcmp(doc->instance, leader->lease.instance))
		log_info("Waiting for the end of the lease of the controller that led here before, "
			 "in term %" PRIu64,
			 doc->term);
	else if (*doc->holder && strcmp(doc->instance, leader->lease.instance))
		log_info("Standing by: %s leads, in term %" PRIu64, doc->holder, doc->term);
}

/* --- The thread ------------------------------------------------------------------------------- */

static void read_step(struct leader *leader)
{
	struct lease_doc doc;
	enum lease_result result = read_document(leader, &doc);
	bool changed = false, lives = false;

	pthread_mutex_lock(&leader->lock);
	if (result == LEASE_DONE) {
		changed = strcmp(doc.instance, leader->lease.doc.instance);
		lives = !changed && doc.renewed != leader->lease.doc.renewed;
	}
	lease_read_done(&leader->lease, now_ms(), result, &doc);
	pthread_mutex_unlock(&leader->lock);
	if (result != LEASE_DONE)
		return;
	tell_holder(leader, &doc);
	/*
	 * A silent one must not delay a takeover: only one that has just changed. The one that ran
	 * here before has our address, another that has it and lives must not.
	 */
	if (strcmp(doc.holder, leader->lease.url) ? !changed : !lives)
		return;
	if (strcmp(doc.instance, leader->lease.instance))
		probe_others(leader, &doc);
}

static void write_step(struct leader *leader, const struct lease_step *step)
{
	char rev[LEASE_REV_MAX] = "";
	enum lease_result result = write_document(leader, &step->doc, call_ms(leader), rev);

	pthread_mutex_lock(&leader->lock);
	lease_write_done(&leader->lease, now_ms(), result, step, rev);
	if (result == LEASE_DONE && leader->lease.holds)
		leader->renewed_at = leader->lease.sent_at;
	pthread_mutex_unlock(&leader->lock);
	if (result == LEASE_DONE)
		snprintf(leader->told_holder, sizeof(leader->told_holder), "%s", step->doc.holder);
}

static void wait_until(struct leader *leader, uint64_t until)
{
	struct timespec ts;
	uint64_t now = now_ms(), ns;

	if (until <= now)
		return;
	/* A condition cannot wait by CLOCK_BOOTTIME. */
	clock_gettime(CLOCK_MONOTONIC, &ts);
	ns = (uint64_t)ts.tv_nsec + (until - now) * EBB_NS_PER_MS;
	ts.tv_sec += (time_t)(ns / EBB_NS_PER_SEC);
	ts.tv_nsec = (long)(ns % EBB_NS_PER_SEC);
	pthread_mutex_lock(&leader->lock);
	while (!leader->stopping && !leader->awake &&
	       pthread_cond_timedwait(&leader->wake, &leader->lock, &ts) == 0)
		;
	leader->awake = false;
	pthread_mutex_unlock(&leader->lock);
}

static void *run(void *userdata)
{
	struct leader *leader = userdata;
	struct lease_step step;
	uint64_t term;
	bool stopping, yes;

	for (;;) {
		yes = !leader->options.ready || leader->options.ready(leader->options.userdata);
		pthread_mutex_lock(&leader->lock);
		stopping = leader->stopping;
		leader->lease.unready = !yes;
		lease_next(&leader->lease, now_ms(), &step);
		pthread_mutex_unlock(&leader->lock);
		if (stopping)
			return NULL;
		switch (step.action) {
		case LEASE_WAIT: wait_until(leader, step.until); break;
		case LEASE_READ: read_step(leader); break;
		case LEASE_WRITE: write_step(leader, &step); break;
		case LEASE_ASK:
			yes = ask_leader(leader, &step.doc);
			log_debug("The lease has not been renewed; %s %s", step.doc.holder,
				  yes ? "acts" : "does not act or answer");
			pthread_mutex_lock(&leader->lock);
			lease_ask_done(&leader->lease, now_ms(), yes);
			pthread_mutex_unlock(&leader->lock);
			break;
		case LEASE_SETTLE:
			term = settle_leaves(leader, &step.doc);
			pthread_mutex_lock(&leader->lock);
			lease_settle_done(&leader->lease, now_ms(), term);
			pthread_mutex_unlock(&leader->lock);
			break;
		case LEASE_PROMISES:
			yes = collect_promises(leader, &step, &term);
			pthread_mutex_lock(&leader->lock);
			lease_promises_done(&leader->lease, now_ms(), yes, term);
			pthread_mutex_unlock(&leader->lock);
			break;
		}
		settle(leader);
		if (step.action == LEASE_WRITE && leader->lease.holds)
			probe_others(leader, &step.doc);
	}
}

/* --- What others want of us ------------------------------------------------------------------- */

bool leader_promise(struct leader *leader, uint64_t term, const char *instance, bool acts,
		    uint64_t *ret_term, const char **ret_instance)
{
	bool promised;

	pthread_mutex_lock(&leader->lock);
	promised = !leader->alone && !leader->stopping &&
		   lease_promise(&leader->lease, now_ms(), term, instance, acts);
	*ret_term = leader->lease.max_term;
	*ret_instance = leader->lease.instance;
	pthread_mutex_unlock(&leader->lock);
	return promised;
}

bool leader_asked(struct leader *leader, const char *url, const char *instance,
		  const char **ret_instance)
{
	bool acts;

	pthread_mutex_lock(&leader->lock);
	acts = !leader->alone && lease_asked(&leader->lease, now_ms(), url, instance);
	*ret_instance = leader->lease.instance;
	pthread_mutex_unlock(&leader->lock);
	return acts;
}

void leader_outdated(struct leader *leader, uint64_t term)
{
	bool stops;
	uint64_t ours;

	if (leader->alone)
		return;
	pthread_mutex_lock(&leader->lock);
	stops = lease_acts(&leader->lease, now_ms(), &ours) && term > ours;
	lease_outdated(&leader->lease, term);
	retract(leader);
	leader->awake = true;
	pthread_cond_signal(&leader->wake);
	pthread_mutex_unlock(&leader->lock);
	if (stops)
		log_warning("An agent has heard of term %" PRIu64 ", ours is %" PRIu64
			    ": reading the lease again",
			    term, ours);
}

void leader_get_state(struct leader *leader, struct leader_state *ret_state)
{
	const struct lease *lease = &leader->lease;
	struct leader_state state = {.renewed_age_s = NAN};
	size_t at = 0;

	state.acts = leader_acts(leader, &state.term);
	pthread_mutex_lock(&leader->lock);
	snprintf(state.instance, sizeof(state.instance), "%s", lease->instance);
	if (leader->alone) {
		snprintf(state.holder, sizeof(state.holder), "%s", lease->url);
	} else {
		if (!state.acts)
			state.term = lease->doc.term;
		/* Ours, but we do not act on it (yet), or of the one that ran here before: then
		 * nobody leads, and nobody is to be sent to us. */
		if (!lease->missing && (strcmp(lease->doc.instance, lease->instance)
						? strcmp(lease->doc.holder, lease->url) != 0
						: state.acts))
			snprintf(state.holder, sizeof(state.holder), "%s", lease->doc.holder);
		for (size_t i = 0; i < lease->doc.n_standbys && at < sizeof(state.standby); i++)
			at += (size_t)snprintf(state.standby + at, sizeof(state.standby) - at,
					       "%s%s", at ? " " : "", lease->doc.standbys[i].url);
		state.takeovers = lease->takeovers;
		if (leader->renewed_at)
			state.renewed_age_s = (double)(now_ms() - leader->renewed_at) / 1000;
		snprintf(state.error, sizeof(state.error), "%s", leader->error);
	}
	pthread_mutex_unlock(&leader->lock);
	*ret_state = state;
}

/* --- Life ------------------------------------------------------------------------------------- */

static int copy_text(const char *text, char **ret_copy)
{
	if (!text)
		return 0;
	*ret_copy = strdup(text);
	return *ret_copy ? 0 : -ENOMEM;
}

int leader_new(const struct leader_options *options, struct leader **ret_leader)
{
	struct leader *leader;
	pthread_condattr_t attributes;
	char instance[LEASE_INSTANCE_MAX];
	int r;

	leader = calloc(1, sizeof(*leader));
	if (!leader)
		return -ENOMEM;
	leader->options = *options;
	leader->alone = strncmp(options->uri, "sqlite:", 7) == 0;
	pthread_mutex_init(&leader->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&leader->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	snprintf(instance, sizeof(instance), "%016" PRIx64, random_u64());
	lease_init(&leader->lease, "", instance, now_ms());
	r = 0;
	if (!leader->alone)
		r = couchdb_new(options->uri, options->store, &leader->couch);
	if (r >= 0 && !leader->alone)
		r = http_session_new(&leader->peers);
	if (r < 0) {
		leader_free(leader);
		return r;
	}
	leader->options.uri = NULL;
	leader->options.store = NULL;
	*ret_leader = leader;
	return 0;
}

int leader_start(struct leader *leader, const char *advertise)
{
	int r;

	if (strlen(advertise) >= LEASE_URL_MAX)
		return -ENAMETOOLONG;
	pthread_mutex_lock(&leader->lock);
	r = copy_text(advertise, &leader->advertise);
	snprintf(leader->lease.url, sizeof(leader->lease.url), "%s", advertise);
	pthread_mutex_unlock(&leader->lock);
	if (r < 0 || leader->alone)
		return r;
	r = -pthread_create(&leader->thread, NULL, run, leader);
	leader->has_thread = r == 0;
	return r;
}

/* Hands the lease over, so that nobody has to wait for its end. */
static void stop(struct leader *leader)
{
	struct lease_step step;
	char rev[LEASE_REV_MAX];
	bool resign;

	pthread_mutex_lock(&leader->lock);
	leader->stopping = true;
	pthread_cond_signal(&leader->wake);
	pthread_mutex_unlock(&leader->lock);
	pthread_join(leader->thread, NULL);
	atomic_store(&leader->acts_until, 0);
	if (leader->announced)
		announce(leader, 0);
	/* Again when a standby has registered in between. */
	for (int attempt = 0; attempt < 3; attempt++) {
		pthread_mutex_lock(&leader->lock);
		resign = lease_resign(&leader->lease, &step);
		pthread_mutex_unlock(&leader->lock);
		if (!resign || write_document(leader, &step.doc, RESIGN_MS, rev) != LEASE_CONFLICT)
			return;
		read_step(leader);
	}
}

void leader_free(struct leader *leader)
{
	if (!leader)
		return;
	if (leader->has_thread)
		stop(leader);
	couchdb_free(leader->couch);
	http_session_free(leader->peers);
	json_decref(leader->document);
	pthread_cond_destroy(&leader->wake);
	pthread_mutex_destroy(&leader->lock);
	free(leader->advertise);
	free(leader);
}
