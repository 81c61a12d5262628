/* SPDX-License-Identifier: Apache-2.0 */
#include "leader_private.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/util.h"

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
	return leader_now_ms() < until;
}

/* With the lock, when the lease may have ended. */
static void retract(struct leader *leader)
{
	uint64_t term;

	if (!lease_acts(&leader->lease, leader_now_ms(), &term) ||
	    term != atomic_load(&leader->acts_term))
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
	acts = lease_acts(&leader->lease, leader_now_ms(), &term);
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
	if (lease_acts(&leader->lease, leader_now_ms(), &now_term) &&
	    now_term == leader->announced) {
		atomic_store(&leader->acts_term, now_term);
		atomic_store(&leader->acts_until, leader->lease.acts_until);
	}
	pthread_mutex_unlock(&leader->lock);
}

/* --- The thread ------------------------------------------------------------------------------- */

static unsigned call_ms(struct leader *leader)
{
	uint64_t term;
	bool acts;

	pthread_mutex_lock(&leader->lock);
	acts = lease_acts(&leader->lease, leader_now_ms(), &term);
	pthread_mutex_unlock(&leader->lock);
	return acts ? CALL_MS : STANDBY_MS;
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

static void read_step(struct leader *leader)
{
	struct lease_doc doc;
	enum lease_result result = leader_read_document(leader, call_ms(leader), &doc);
	bool changed = false, lives = false;

	pthread_mutex_lock(&leader->lock);
	if (result == LEASE_DONE) {
		changed = strcmp(doc.instance, leader->lease.doc.instance);
		lives = !changed && doc.renewed != leader->lease.doc.renewed;
	}
	lease_read_done(&leader->lease, leader_now_ms(), result, &doc);
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
		leader_probe_others(leader, &doc);
}

static void write_step(struct leader *leader, const struct lease_step *step)
{
	char rev[LEASE_REV_MAX] = "";
	enum lease_result result = leader_write_document(leader, &step->doc, call_ms(leader), rev);

	pthread_mutex_lock(&leader->lock);
	lease_write_done(&leader->lease, leader_now_ms(), result, step, rev);
	if (result == LEASE_DONE && leader->lease.holds)
		leader->renewed_at = leader->lease.sent_at;
	pthread_mutex_unlock(&leader->lock);
	if (result == LEASE_DONE)
		snprintf(leader->told_holder, sizeof(leader->told_holder), "%s", step->doc.holder);
}

static void wait_until(struct leader *leader, uint64_t until)
{
	struct timespec ts;
	uint64_t now = leader_now_ms(), ns;

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
		lease_next(&leader->lease, leader_now_ms(), &step);
		pthread_mutex_unlock(&leader->lock);
		if (stopping)
			return NULL;
		switch (step.action) {
		case LEASE_WAIT: wait_until(leader, step.until); break;
		case LEASE_READ: read_step(leader); break;
		case LEASE_WRITE: write_step(leader, &step); break;
		case LEASE_ASK:
			yes = leader_ask_holder(leader, &step.doc);
			log_debug("The lease has not been renewed; %s %s", step.doc.holder,
				  yes ? "acts" : "does not act or answer");
			pthread_mutex_lock(&leader->lock);
			lease_ask_done(&leader->lease, leader_now_ms(), yes);
			pthread_mutex_unlock(&leader->lock);
			break;
		case LEASE_SETTLE:
			term = leader_settle_leaves(leader, &step.doc);
			pthread_mutex_lock(&leader->lock);
			lease_settle_done(&leader->lease, leader_now_ms(), term);
			pthread_mutex_unlock(&leader->lock);
			break;
		case LEASE_PROMISES:
			yes = leader_collect_promises(leader, &step, &term);
			pthread_mutex_lock(&leader->lock);
			lease_promises_done(&leader->lease, leader_now_ms(), yes, term);
			pthread_mutex_unlock(&leader->lock);
			break;
		}
		settle(leader);
		if (step.action == LEASE_WRITE && leader->lease.holds)
			leader_probe_others(leader, &step.doc);
	}
}

/* --- What others want of us ------------------------------------------------------------------- */

bool leader_promise(struct leader *leader, uint64_t term, const char *instance, bool acts,
		    uint64_t *ret_term, const char **ret_instance)
{
	bool promised;

	pthread_mutex_lock(&leader->lock);
	promised = !leader->alone && !leader->stopping &&
		   lease_promise(&leader->lease, leader_now_ms(), term, instance, acts);
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
	acts = !leader->alone && lease_asked(&leader->lease, leader_now_ms(), url, instance);
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
	stops = lease_acts(&leader->lease, leader_now_ms(), &ours) && term > ours;
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
			state.renewed_age_s = (double)(leader_now_ms() - leader->renewed_at) / 1000;
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
	lease_init(&leader->lease, "", instance, leader_now_ms());
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
		if (!resign ||
		    leader_write_document(leader, &step.doc, RESIGN_MS, rev) != LEASE_CONFLICT)
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
