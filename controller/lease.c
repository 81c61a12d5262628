/* SPDX-License-Identifier: Apache-2.0 */
#include "lease.h"

#include <stdio.h>
#include <string.h>

#include "ebb/cleanup.h"

/* Who has read the document within this time could take over itself, and need not prolong a leader
 * that does not act. */
#define READS_WELL_MS 1000
/* Between a second conflict in a row and the next attempt. */
#define CONFLICT_MS 50
/* A leader that did not answer, or does not act, is not asked again when only another standby came
 * in between: a silent one costs a call's whole time limit. */
#define ASKED_MS 1000

static const struct lease_standby *find(const struct lease_doc *doc, const char *instance)
{
	for (size_t i = 0; i < doc->n_standbys; i++)
		if (!strcmp(doc->standbys[i].instance, instance))
			return &doc->standbys[i];
	return NULL;
}

static bool has_url(const struct lease_doc *doc, const char *url)
{
	for (size_t i = 0; i < doc->n_standbys; i++)
		if (!strcmp(doc->standbys[i].url, url))
			return true;
	return false;
}

bool lease_knows(const struct lease *lease, const char *instance)
{
	return find(&lease->doc, instance) != NULL;
}

/* Who has that URL now has it alone: an instance before it is no more. */
static bool add_standby(struct lease_doc *doc, const char *url, const char *instance, uint64_t seen)
{
	size_t i;

	for (i = 0; i < doc->n_standbys; i++)
		if (!strcmp(doc->standbys[i].instance, instance) ||
		    !strcmp(doc->standbys[i].url, url))
			break;
	if (i == LEASE_STANDBYS_MAX)
		return false;
	doc->n_standbys = MAX(doc->n_standbys, i + 1);
	snprintf(doc->standbys[i].url, LEASE_URL_MAX, "%s", url);
	snprintf(doc->standbys[i].instance, LEASE_INSTANCE_MAX, "%s", instance);
	doc->standbys[i].seen = seen;
	return true;
}

static void remove_standby(struct lease_doc *doc, size_t i)
{
	memmove(&doc->standbys[i], &doc->standbys[i + 1],
		(doc->n_standbys - i - 1) * sizeof(doc->standbys[0]));
	doc->n_standbys--;
}

static void remove_self(struct lease_doc *doc, const struct lease *lease)
{
	for (size_t i = doc->n_standbys; i > 0; i--)
		if (!strcmp(doc->standbys[i - 1].instance, lease->instance) ||
		    !strcmp(doc->standbys[i - 1].url, lease->url))
			remove_standby(doc, i - 1);
}

void lease_init(struct lease *lease, const char *url, const char *instance, uint64_t now)
{
	*lease = (struct lease){.changed_at = now, .next_at = now, .seen = 1};
	snprintf(lease->url, sizeof(lease->url), "%s", url);
	snprintf(lease->instance, sizeof(lease->instance), "%s", instance);
}

bool lease_acts(const struct lease *lease, uint64_t now, uint64_t *ret_term)
{
	*ret_term = lease->doc.term;
	return lease->holds && now < lease->acts_until;
}

/* A leader that was told of a higher term acts again only under one above it. */
static bool term_stands(const struct lease *lease)
{
	return lease->max_term <= lease->doc.term;
}

static void heard_term(struct lease *lease, uint64_t term)
{
	/* The one after it must be possible. */
	if (term < LEASE_TERM_MAX)
		lease->max_term = MAX(lease->max_term, term);
}

static bool given_up(const struct lease *lease)
{
	return lease->known && !lease->missing && !lease->doc.instance[0];
}

/* A takeover whose end we do not know, or that lost: it may be one leaf of two. */
static bool names_us(const struct lease *lease)
{
	return !strcmp(lease->doc.instance, lease->instance);
}

/* When we might take over; UINT64_MAX: not before something else happens. */
static uint64_t may_take_at(const struct lease *lease)
{
	uint64_t at = MAX(lease->promised_until, lease->split_until);

	if (lease->unready)
		return UINT64_MAX;
	/* The leader that was promised has itself given it up. */
	if (given_up(lease))
		return lease->doc.term == lease->promised_term ? lease->split_until : at;
	at = MAX(at, lease->changed_at + LEADER_LEASE_MS);
	if (lease->missing || names_us(lease))
		return at;
	return lease->listed ? MAX(at, lease->listed_at + LEADER_LEASE_MS) : UINT64_MAX;
}

/* --- What to do ------------------------------------------------------------------------------- */

static void drop_the_silent(struct lease *lease, uint64_t now, struct lease_doc *doc)
{
	for (size_t i = doc->n_standbys; i > 0; i--)
		if (now - lease->shown_at[i - 1] >= LEASE_DROP_MS)
			remove_standby(doc, i - 1);
}

static void write_lease(struct lease *lease, uint64_t now, struct lease_step *step)
{
	step->action = LEASE_WRITE;
	step->doc = lease->doc;
	if (lease->missing)
		step->doc.rev[0] = '\0';
	snprintf(step->doc.holder, sizeof(step->doc.holder), "%s", lease->url);
	snprintf(step->doc.instance, sizeof(step->doc.instance), "%s", lease->instance);
	step->doc.renewed++;
	if (!lease->holds || !term_stands(lease))
		step->doc.term = MAX(lease->max_term, lease->doc.term) + 1;
	if (lease->holds)
		drop_the_silent(lease, now, &step->doc);
	else
		remove_self(&step->doc, lease);
	lease->taking_over = !lease->holds;
	lease->sent_at = now;
}

static void next_of_leader(struct lease *lease, uint64_t now, struct lease_step *step)
{
	if (lease->must_promise) {
		lease->must_promise = false;
		lease->told = false;
		step->action = LEASE_PROMISES;
		step->doc = lease->doc;
		step->acts = now < lease->acts_until;
		lease->sent_at = now;
		return;
	}
	if (now < lease->next_at && !lease->must_read &&
	    now - MAX(lease->read_at, lease->checked_at) >= LEASE_CHECK_MS) {
		lease->checking = true;
		lease->checked_at = now;
		step->action = LEASE_READ;
		return;
	}
	if (now < lease->next_at) {
		step->until = lease->next_at;
		/* So that it is noticed when that ends. */
		if (now < lease->acts_until)
			step->until = MIN(step->until, lease->acts_until);
		return;
	}
	lease->next_at = now + LEADER_RENEW_MS;
	if (lease->must_read) {
		step->action = LEASE_READ;
		lease->sent_at = now;
	} else {
		write_lease(lease, now, step);
	}
}

static void next_of_standby(struct lease *lease, uint64_t now, struct lease_step *step)
{
	uint64_t take_at = may_take_at(lease);

	if (lease->must_settle) {
		lease->must_settle = false;
		step->action = LEASE_SETTLE;
		step->doc = lease->doc;
		return;
	}
	if (lease->must_read || (!lease->fresh && now >= lease->next_at)) {
		lease->must_read = false;
		lease->fresh = false;
		lease->next_at = now + LEASE_POLL_MS;
		step->action = LEASE_READ;
		return;
	}
	if (lease->fresh && now >= take_at && now >= lease->asked_until && lease->doc.instance[0] &&
	    strcmp(lease->doc.holder, lease->url)) {
		step->action = LEASE_ASK;
		step->doc = lease->doc;
		return;
	}
	if (lease->fresh && now >= take_at) {
		lease->fresh = false;
		write_lease(lease, now, step);
		return;
	}
	if (lease->fresh && !lease->missing && lease->doc.instance[0] && !names_us(lease) &&
	    (!lease->listed || now - lease->registered_at >= LEASE_REGISTER_MS)) {
		lease->fresh = false;
		step->doc = lease->doc;
		if (add_standby(&step->doc, lease->url, lease->instance, lease->seen)) {
			lease->seen++;
			lease->registering = true;
			step->action = LEASE_WRITE;
			return;
		}
	}
	lease->fresh = false;
	if (take_at > now)
		lease->next_at = MIN(lease->next_at, take_at);
	step->until = lease->next_at;
}

void lease_next(struct lease *lease, uint64_t now, struct lease_step *ret_step)
{
	*ret_step = (struct lease_step){.action = LEASE_WAIT};
	if (lease->holds)
		next_of_leader(lease, now, ret_step);
	else
		next_of_standby(lease, now, ret_step);
}

/* --- What came of it -------------------------------------------------------------------------- */

/* The document is now this. */
static void take_doc(struct lease *lease, uint64_t now, const struct lease_doc *doc)
{
	const struct lease_doc *before = &lease->doc;
	uint64_t shown_at[LEASE_STANDBYS_MAX];
	bool was_listed = lease->listed;

	if (!lease->known || lease->missing || strcmp(doc->instance, before->instance) ||
	    strcmp(doc->holder, before->holder) || doc->term != before->term ||
	    doc->renewed != before->renewed) {
		lease->changed_at = now;
		lease->asked_until = 0;
	}
	for (size_t i = 0; i < doc->n_standbys; i++) {
		const struct lease_standby *one = find(before, doc->standbys[i].instance);

		shown_at[i] = one && one->seen == doc->standbys[i].seen
				      ? lease->shown_at[one - before->standbys]
				      : now;
	}
	memcpy(lease->shown_at, shown_at, doc->n_standbys * sizeof(shown_at[0]));
	lease->doc = *doc;
	lease->known = true;
	lease->missing = false;
	lease->crowded = lease->crowded && doc->n_standbys == LEASE_STANDBYS_MAX;
	heard_term(lease, doc->term);
	lease->listed = find(doc, lease->instance) != NULL;
	if (lease->listed && !was_listed)
		lease->listed_at = now;
}

/* Standbys that told the leader themselves need not be in the document yet. */
static void keep_told(struct lease *lease, struct lease_doc *doc)
{
	for (size_t i = 0; lease->holds && i < lease->doc.n_standbys; i++) {
		const struct lease_standby *one = &lease->doc.standbys[i];

		if (one->seen || has_url(doc, one->url))
			continue;
		if (!add_standby(doc, one->url, one->instance, 0))
			lease->crowded = true;
	}
}

static void lose(struct lease *lease, uint64_t now)
{
	lease->holds = false;
	lease->acts_until = 0;
	lease->must_promise = false;
	lease->must_read = false;
	lease->next_at = now + LEASE_POLL_MS;
	lease->changed_at = now;
}

/*
 * The database did not answer. After a conflict nobody knows who else is there, and after a higher
 * term nothing but a higher one will do. Between two attempts that are far apart (we were paused)
 * somebody may have come and taken over: then only the database can tell.
 */
static void go_on_without(struct lease *lease)
{
	if (lease->sent_at - lease->tried_at > LEADER_LEASE_MS)
		lease->in_doubt = true;
	lease->tried_at = lease->sent_at;
	if (lease->in_doubt || lease->must_read || lease->missing || lease->crowded ||
	    !term_stands(lease))
		return;
	if (lease->doc.n_standbys)
		lease->must_promise = true;
	else
		lease->acts_until = MAX(lease->acts_until, lease->sent_at + LEADER_ACT_MS);
}

/* By a renewal that was answered. */
static void extend(struct lease *lease)
{
	/* Told of a higher term since it was sent; or for too long nobody has looked whether it
	 * went to the only leaf. */
	if (term_stands(lease) && lease->renewed_at <= lease->read_at + LEADER_LEASE_MS)
		lease->acts_until = MAX(lease->acts_until, lease->renewed_at + LEADER_ACT_MS);
}

static void read_split(struct lease *lease, uint64_t now, const struct lease_doc *doc)
{
	take_doc(lease, now, doc);
	lose(lease, now);
	lease->fresh = false;
	lease->must_settle = true;
	lease->split_until = now + LEASE_SPLIT_MS;
}

void lease_read_done(struct lease *lease, uint64_t now, enum lease_result result,
		     const struct lease_doc *doc)
{
	bool checked = lease->checking;

	lease->checking = false;
	if (result != LEASE_DONE && result != LEASE_MISSING) {
		if (lease->holds && !checked)
			go_on_without(lease);
		return;
	}
	lease->must_read = false;
	lease->read_at = now;
	lease->fresh = true;
	if (result == LEASE_MISSING) {
		if (!lease->missing)
			lease->changed_at = now;
		lease->known = true;
		lease->missing = true;
		lease->listed = false;
		/* Whose it was when it went, only who acts can tell. */
		if (lease->holds && now >= lease->acts_until)
			lose(lease, now);
	} else if (doc->split) {
		read_split(lease, now, doc);
		return;
	} else {
		bool ours = lease->holds && !strcmp(doc->instance, lease->instance) &&
			    doc->term == lease->doc.term;
		struct lease_doc merged = *doc;

		if (ours)
			keep_told(lease, &merged);
		take_doc(lease, now, &merged);
		if (lease->holds && !ours)
			lose(lease, now);
		lease->holds = ours;
	}
	if (lease->holds && checked)
		extend(lease);
	else if (lease->holds)
		lease->next_at = now;
}

void lease_write_done(struct lease *lease, uint64_t now, enum lease_result result,
		      const struct lease_step *step, const char *rev)
{
	bool takes_over = lease->taking_over, registers = lease->registering;

	lease->taking_over = false;
	lease->registering = false;
	if (result == LEASE_DONE) {
		struct lease_doc doc = step->doc;

		lease->conflicts = 0;
		keep_told(lease, &doc);
		snprintf(doc.rev, sizeof(doc.rev), "%s", rev);
		take_doc(lease, now, &doc);
		if (registers) {
			lease->registered_at = now;
			return;
		}
		lease->holds = true;
		lease->takeovers += takes_over;
		lease->in_doubt = false;
		lease->tried_at = lease->sent_at;
		lease->renewed_at = lease->sent_at;
		extend(lease);
		lease->next_at = lease->sent_at + LEADER_RENEW_MS;
	} else if (result == LEASE_CONFLICT) {
		/* Once at once: others write too. Not for ever at full speed. */
		lease->must_read = lease->holds || !lease->conflicts;
		lease->next_at = now + (lease->conflicts ? CONFLICT_MS : 0);
		lease->conflicts++;
	} else if (lease->holds) {
		go_on_without(lease);
	}
}

void lease_ask_done(struct lease *lease, uint64_t now, bool acts)
{
	if (!acts) {
		lease->asked_until = now + ASKED_MS;
		return;
	}
	/* As if it had renewed: it knows of us now, and goes on only by our promise. */
	lease->changed_at = now;
	lease->fresh = false;
}

void lease_settle_done(struct lease *lease, uint64_t now, uint64_t term)
{
	heard_term(lease, term);
	lease->split_until = now + LEASE_SPLIT_MS;
	lease->next_at = now + LEASE_POLL_MS;
}

void lease_promises_done(struct lease *lease, uint64_t now, bool all, uint64_t term)
{
	if (!lease->holds)
		return;
	if (term > lease->doc.term) {
		heard_term(lease, term);
		lease->acts_until = 0;
		lease->must_read = true;
	} else if (all && !lease->told && !lease->crowded && term_stands(lease)) {
		lease->acts_until = MAX(lease->acts_until, lease->sent_at + LEADER_ACT_MS);
	}
}

bool lease_resign(struct lease *lease, struct lease_step *ret_step)
{
	bool holds = lease->holds;

	lease->acts_until = 0;
	if (!lease->known || lease->missing || (!holds && !lease->listed))
		return false;
	*ret_step = (struct lease_step){.action = LEASE_WRITE, .doc = lease->doc};
	if (holds) {
		ret_step->doc.holder[0] = '\0';
		ret_step->doc.instance[0] = '\0';
		ret_step->doc.renewed++;
	} else {
		remove_self(&ret_step->doc, lease);
	}
	return true;
}

/* --- What others want of us ------------------------------------------------------------------- */

bool lease_promise(struct lease *lease, uint64_t now, uint64_t term, const char *instance,
		   bool acts)
{
	if (lease->holds || lease->taking_over || term < lease->max_term ||
	    !strcmp(instance, lease->instance))
		return false;
	if (lease->known && !lease->missing && lease->doc.term == term &&
	    strcmp(lease->doc.instance, instance))
		return false;
	if (!acts && lease->read_at && now - lease->read_at < READS_WELL_MS)
		return false;
	heard_term(lease, term);
	lease->promised_until = MAX(lease->promised_until, now + LEADER_LEASE_MS);
	lease->promised_term = term;
	return true;
}

bool lease_asked(struct lease *lease, uint64_t now, const char *url, const char *instance)
{
	uint64_t term;

	if (lease->holds && strcmp(instance, lease->instance) && !lease_knows(lease, instance)) {
		if (!add_standby(&lease->doc, url, instance, 0))
			lease->crowded = true;
		lease->told = true;
		for (size_t i = 0; i < lease->doc.n_standbys; i++)
			if (!strcmp(lease->doc.standbys[i].instance, instance))
				lease->shown_at[i] = now;
	}
	return lease_acts(lease, now, &term);
}

void lease_outdated(struct lease *lease, uint64_t term)
{
	if (!lease->holds || term <= lease->doc.term || term >= LEASE_TERM_MAX)
		return;
	heard_term(lease, term);
	lease->acts_until = 0;
	lease->must_read = true;
	lease->next_at = 0;
}
