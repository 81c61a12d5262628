/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lease of leader.h as a state machine without I/O: time and replies come in as arguments, what
 * to do next comes out. Milliseconds of one clock of this machine; those of two are never compared.
 *
 * Why no two act at the same moment, as long as clocks differ by less than LEADER_LEASE_MS to
 * LEADER_ACT_MS, a third:
 * - Whoever acts by the document does so for LEADER_ACT_MS from when it sent a renewal that was
 *   answered. Who takes over has not seen the leader's part of the document change for
 *   LEADER_LEASE_MS since it received it, and replaces the very revision that it saw: a renewal
 *   that came between makes that fail. A renewal that is not answered extends nothing.
 * - Whoever acts without the database has, from every standby that it knows, a promise that counts
 *   from when it was asked for, and LEADER_LEASE_MS from when it was given. While a takeover is
 *   under way nothing is promised, and while a promise holds nothing is taken over.
 * - A standby may take over only when the document has listed it for LEADER_LEASE_MS: in that time
 *   every leader that reaches the database renews, fails, and reads that there is one more. And it
 *   asks the leader first, who from then on knows it even when it cannot reach the database.
 *
 * - A document can have two leaves: a replica can bring them, and so can a cluster, where one node
 *   keeps a write that was refused by the others. Each can then be renewed over its own revision,
 * so whoever reads that there are two leads no longer, deletes all but one, and takes over only
 *   LEASE_SPLIT_MS after it last saw them, under a term above all of theirs. Who acts by the
 * document reads it again and again, and a renewal later than LEADER_LEASE_MS after such a reading
 * extends nothing. A document that names us without our knowing that a takeover succeeded is like
 * one that names somebody else.
 *
 * So these are safe: the database down, or cut off from any or all of the controllers; controllers
 * cut off from each other while the leader reaches the database; processes that are paused, killed
 * and started again; messages lost, late or doubled.
 *
 * This one is not, and relies on the agents, which refuse the older term: the leader is cut off
 * from the database, and from a standby which it never knew (it was listed after the leader's last
 * renewal), but not from its agents. Both act then: the one as if it were alone, the other because
 * nobody answers. It ends when the leader reaches the database, that standby, or an agent that has
 * heard the new leader.
 *
 * The price: a leader whose standby is dead, but not yet dropped from the list, stops acting when
 * the database goes too (limits stay as they are); nobody can tell it from one that is cut off.
 */
#ifndef EBB_LEASE_H
#define EBB_LEASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "leader.h"

/* A standby looks at the document so often... */
#define LEASE_POLL_MS 200
/* ...and shows in it so often that it lives. */
#define LEASE_REGISTER_MS 4000
/* The leader strikes off who has not shown for so long. Safe after any time: who is not listed has
 * to be listed again first. */
#define LEASE_DROP_MS 15000
/* Of what the leader knows there are few: each is asked for its promise, all at once. */
#define LEASE_STANDBYS_MAX 8
/* The leader reads the document so often, besides writing it... */
#define LEASE_CHECK_MS 500
/* ...and stops by LEADER_LEASE_MS + LEADER_ACT_MS after it could have read of another leaf. */
#define LEASE_SPLIT_MS (2 * LEADER_LEASE_MS)
/* JSON's numbers are whole up to here in every language. */
#define LEASE_TERM_MAX ((UINT64_C(1) << 53) - 1)

#define LEASE_URL_MAX      256
#define LEASE_INSTANCE_MAX 17
#define LEASE_REV_MAX      128

struct lease_standby {
	char url[LEASE_URL_MAX];
	char instance[LEASE_INSTANCE_MAX];
	uint64_t seen; /* counts up while it lives */
};

struct lease_doc {
	char rev[LEASE_REV_MAX];                                  /* "": to be created */
	char holder[LEASE_URL_MAX], instance[LEASE_INSTANCE_MAX]; /* "": given up */
	uint64_t term, renewed;
	struct lease_standby standbys[LEASE_STANDBYS_MAX];
	size_t n_standbys;
	bool split; /* there are leaves besides this one */
};

enum lease_action {
	LEASE_WAIT,     /* until `until`; sooner does no harm */
	LEASE_READ,     /* the document, then lease_read_done() */
	LEASE_WRITE,    /* `doc` over its revision, then lease_write_done() */
	LEASE_ASK,      /* doc.holder whether it acts, then lease_ask_done() */
	LEASE_SETTLE,   /* delete the other leaves of `doc`, then lease_settle_done() */
	LEASE_PROMISES, /* all of doc.standbys for theirs, then lease_promises_done() */
};

struct lease_step {
	enum lease_action action;
	uint64_t until;
	struct lease_doc doc;
	bool acts; /* LEASE_PROMISES: at this moment */
};

enum lease_result {
	LEASE_DONE,
	LEASE_MISSING,  /* a read: there is no such document */
	LEASE_CONFLICT, /* a write: the revision is another */
	LEASE_FAILED,   /* no answer, or none that says whether it was done; no such database */
};

/* Read it; change it through the functions below. */
struct lease {
	char url[LEASE_URL_MAX], instance[LEASE_INSTANCE_MAX];

	bool unready; /* set from outside: the state is not known yet, nothing is taken over */
	bool known;   /* a read was answered since the start */
	bool missing; /* there was none then; `doc` is the one before */
	struct lease_doc doc; /* as last read or written */
	uint64_t changed_at;  /* since when the leader's part of it is what it is */
	uint64_t shown_at[LEASE_STANDBYS_MAX]; /* when each counter last rose; a leader's */
	uint64_t max_term;                     /* of all that were heard of */

	bool holds; /* the document names us */
	uint64_t acts_until;
	uint64_t renewed_at; /* when the last renewal that was answered was sent */
	uint64_t tried_at;   /* when the last renewal that came to an end was sent */
	bool in_doubt;       /* we were away for too long to go on without the database */
	bool told;    /* of one more standby, since the others were asked for their promises */
	bool crowded; /* there is a standby that found no room in the list */
	unsigned long takeovers;

	bool listed;
	uint64_t listed_at; /* since when, as far as we know */
	uint64_t registered_at;
	uint64_t seen;
	uint64_t promised_until, promised_term;
	uint64_t read_at;     /* the last time that one was answered */
	uint64_t checked_at;  /* when the leader last read without need */
	uint64_t split_until; /* nobody takes over before */

	/* What is under way, and what is due. */
	bool taking_over, registering, fresh, must_read, must_promise, must_settle, checking;
	uint64_t asked_until; /* the leader, who does not act */
	uint64_t sent_at, next_at;
	unsigned conflicts; /* in a row */
};

/* `instance`: random, LEASE_INSTANCE_MAX - 1 characters. */
void lease_init(struct lease *lease, const char *url, const char *instance, uint64_t now);

/* What to do now. One thing at a time: its ..._done() comes before the next call. */
void lease_next(struct lease *lease, uint64_t now, struct lease_step *ret_step);
/* `doc` with LEASE_DONE only. */
void lease_read_done(struct lease *lease, uint64_t now, enum lease_result result,
		     const struct lease_doc *doc);
/* `step` as it was given, `rev` the new revision with LEASE_DONE. */
void lease_write_done(struct lease *lease, uint64_t now, enum lease_result result,
		      const struct lease_step *step, const char *rev);
/* `acts`: the leader's own instance answered that it does. */
void lease_ask_done(struct lease *lease, uint64_t now, bool acts);
/* `term`: the highest that one of the leaves has. */
void lease_settle_done(struct lease *lease, uint64_t now, uint64_t term);
/* `all`: every one promised, by its own instance. `term`: the highest that one of them knows. */
void lease_promises_done(struct lease *lease, uint64_t now, bool all, uint64_t term);

/* Stops acting. True: `ret_step` is the write that hands the lease over, or strikes a standby off
 * the list; nothing is to be done after it. */
bool lease_resign(struct lease *lease, struct lease_step *ret_step);

/* A leader asks us for a promise. `acts`: it does at the moment. */
bool lease_promise(struct lease *lease, uint64_t now, uint64_t term, const char *instance,
		   bool acts);
/* A standby asks us whether we act; from now on we know of it. */
bool lease_asked(struct lease *lease, uint64_t now, const char *url, const char *instance);
/* An agent has heard of a higher term than ours. */
void lease_outdated(struct lease *lease, uint64_t term);

/* May we act? *ret_term is ours then. */
bool lease_acts(const struct lease *lease, uint64_t now, uint64_t *ret_term);
bool lease_knows(const struct lease *lease, const char *instance);

#endif
