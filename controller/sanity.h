/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Sanity Checker (spec 1.9, 6.3): looks for what cannot be: core maps and cgroups that differ,
 * sums that do not add up, rules that can never fire. What can be repaired is; all of it is told.
 */
#ifndef EBB_SANITY_H
#define EBB_SANITY_H

#include "model.h"
#include "scaler.h"
#include "timed.h"

enum sanity_check {
	SANITY_CORE_MAP,   /* cores of a cgroup against the host's map; repaired by an order */
	SANITY_ACCOUNTING, /* free = max - allocated, every core 100, limits within min..max */
	SANITY_RULE,       /* a rule that can never fire */
	SANITY_MEMBERSHIP, /* lists that name what is not there, or the same twice */
	SANITY_CHECK_MAX
};
const char *sanity_check_name(enum sanity_check check); /* "core_map", … */

struct sanity;
/* Borrows them. With `timed` (NULL in tests) an epoch runs every DELAY + POLLING_FREQUENCY seconds
 * of its service's document, while that is ACTIVE and this controller leads. */
int sanity_new(struct model *model, struct scaler *scaler, struct timed *timed,
	       struct sanity **ret_sanity);
/* After timed_free(). */
void sanity_free(struct sanity *sanity);
/* One epoch at `now` (wall clock), by one thread: takes the model's lock itself, in pieces. Nothing
 * while another controller leads. -ENOMEM. */
int sanity_epoch(struct sanity *sanity, double now);
/* With `timed`, from any other thread, without the model's lock: waits for an epoch that begins
 * after this, ACTIVE or not. -ETIMEDOUT: it is not over yet. */
int sanity_run_now(struct sanity *sanity, unsigned timeout_ms);
/*
 * [{"check", "structure", "resource", "message", "since", "repaired"}], at most 1,000. For GET
 * /sanity, `ebb doctor` and the metrics. New reference.
 */
json_t *sanity_findings(struct sanity *sanity);
void sanity_count(struct sanity *sanity, size_t ret_counts[SANITY_CHECK_MAX]);

struct sanity_stats {
	bool active; /* it runs here */
	unsigned long epochs, failures;
	unsigned long repairs;  /* orders given, by the scaler too when it saw it first */
	double at;              /* wall clock: when the last epoch began; 0: none yet */
	double seconds, hold_s; /* the last epoch; longest hold of the model's lock, ever */
};
void sanity_get_stats(struct sanity *sanity, struct sanity_stats *ret_stats);

#endif
