/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which of the controllers on one CouchDB leads. A lease document in `services` (name
 * "ebb_leader") is renewed by compare-and-swap of its revision; the term in it rises with each
 * leader and goes with every order to the agents, which refuse an older one. No clocks are
 * compared: a standby takes over when it has seen the same revision for LEADER_LEASE_MS on its own
 * monotonic clock; a leader stops acting when its last renewal, counted from when it was sent, is
 * LEADER_ACT_MS old.
 *
 * While CouchDB cannot be reached nobody can take over through it, so the leader may go on: when it
 * knows of no standby, or as long as every standby it knows of has promised over HTTP, within the
 * same time, not to take over. A standby that sees no renewal asks the leader first.
 *
 * With SQLite there is one controller: it leads from the start, with term 0.
 */
#ifndef EBB_LEADER_H
#define EBB_LEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "store.h"
#include "ebb/identity.h"

/* A kill is noticed within the first, taken over within 3 s; a leader that cannot renew has stopped
 * for certain before another begins. */
#define LEADER_LEASE_MS 1800
#define LEADER_ACT_MS   1200
#define LEADER_RENEW_MS 300

struct leader_options {
	const char *uri; /* of the state; "sqlite:": leads alone */
	const struct store_options *store;
	struct identity *identity; /* borrowed; NULL: no token */
	/*
	 * In the leader's thread, no lock held: from now on it acts (`term` > 0), or no longer does
	 * (`term` 0; then nothing may be sent any more when it returns).
	 */
	void (*changed)(void *userdata, uint64_t term);
	/* In the leader's thread: do we know the state? Before that nothing is taken over. NULL:
	 * yes. */
	bool (*ready)(void *userdata);
	void *userdata;
};

struct leader;
int leader_new(const struct leader_options *options, struct leader **ret_leader);
/* `advertise`: URL at which agents, people and the other controllers reach us. */
int leader_start(struct leader *leader, const char *advertise);
/* Gives the lease up, so that another need not wait for its end. */
void leader_free(struct leader *leader);

/*
 * From any thread, without a lock: may we act at this moment? The term, 1 and more; 0 for SQLite.
 * By CLOCK_BOOTTIME, which goes on while the machine is suspended: who wakes up late knows that it
 * is.
 */
bool leader_acts(const struct leader *leader, uint64_t *ret_term);

struct leader_state {
	bool acts;
	uint64_t term;
	char instance[32];  /* ours */
	char holder[256];   /* URL of who leads, as far as known; "" nobody */
	char standby[2200]; /* URLs of the others, separated by spaces */
	unsigned long takeovers;
	double renewed_age_s; /* since the last renewal that was answered; NAN: never */
	char error[256];      /* why it cannot renew or read; "" when it can */
};
void leader_get_state(struct leader *leader, struct leader_state *ret_state);

/*
 * What other controllers ask us over HTTP; each answers for our own instance, *ret_instance, which
 * lives as long as `leader`. A leader that cannot reach the database wants our promise not to take
 * over for a while: true when it is given. `acts`: it does so at the moment.
 */
bool leader_promise(struct leader *leader, uint64_t term, const char *instance, bool acts,
		    uint64_t *ret_term, const char **ret_instance);
/* A standby that would take over asks whether we act. */
bool leader_asked(struct leader *leader, const char *url, const char *instance,
		  const char **ret_instance);
/* An agent has seen a higher term than ours: we act no more, and read the lease again. */
void leader_outdated(struct leader *leader, uint64_t term);

#endif
