/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the leader. */
#ifndef EBB_LEADER_PRIVATE_H
#define EBB_LEADER_PRIVATE_H

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "couchdb.h"
#include "leader.h"
#include "lease.h"
#include "ebb/http_client.h"
#include "ebb/units.h"

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

/* As the lease counts: also while the machine sleeps. */
static inline uint64_t leader_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / EBB_NS_PER_MS;
}

/* --- leader_document.c: in the thread, or when it has ended; without the lock --- */

/* What goes wrong is in leader->error, as with the others. */
enum lease_result leader_read_document(struct leader *leader, unsigned timeout_ms,
				       struct lease_doc *ret_doc);
enum lease_result leader_write_document(struct leader *leader, const struct lease_doc *doc,
					unsigned timeout_ms, char ret_rev[LEASE_REV_MAX]);
/* Leaves one of several. The term of those that go is kept in the one that stays: others may not
 * have seen them. */
uint64_t leader_settle_leaves(struct leader *leader, const struct lease_doc *doc);

/* --- leader_peers.c: likewise --- */

/* Does the one that holds the lease act on it? */
bool leader_ask_holder(struct leader *leader, const struct lease_doc *doc);
/* Do all that stand by promise to wait? `ret_term`: the highest that one of them has heard of. */
bool leader_collect_promises(struct leader *leader, const struct lease_step *step,
			     uint64_t *ret_term);
/* Warns, once, of those that cannot be reached. */
void leader_probe_others(struct leader *leader, const struct lease_doc *doc);

#endif
