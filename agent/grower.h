/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carries out the reflex (reflex.h): looks at the containers for which the controller leased
 * something every 10 ms, grows them inside the lease through the applier, keeps what is to be
 * reported until the controller has it, and refuses orders that were made without knowing of it.
 * Loop's thread. Format: docs/feed.md.
 *
 * A growth's number is its time, CLOCK_MONOTONIC in ns, rising: after a restart too.
 */
#ifndef EBB_GROWER_H
#define EBB_GROWER_H

#include "apply.h"
#include "host.h"
#include "reflex.h"
#include "sampler.h"
#include "term.h"
#include "ebb/loop.h"

struct grower_options {
	struct loop *loop;
	struct container_table *table;
	const struct hierarchies *hierarchies;
	struct sampler *sampler;
	struct applier *applier;
	const struct term *term;
	const struct host *host; /* its online CPUs, as they are now */
	/* Something has grown and is to be told at once. */
	void (*grown)(void *userdata);
	void *userdata;
};

struct grower;
int grower_new(const struct grower_options *options, struct grower **ret_grower);
void grower_free(struct grower *grower);

/* --- the lease --- */
/* `lease` of an answer to what was asked at `asked_ns`; NULL: there is none any more. */
void grower_lease(struct grower *grower, const json_t *lease, uint64_t asked_ns);
/* The controller has answered a registration: it counts its accounts anew. */
void grower_registered(struct grower *grower);
/* {name: {"cpu": highest, "mem": highest}} of all that may grow; replaces what was known. */
void grower_ceilings(struct grower *grower, const json_t *ceilings);
/* After a sweep: those that are not looked at in between. True: something has grown. */
bool grower_swept(struct grower *grower);
/* Its slot may be another. */
void grower_container_joined(struct grower *grower, struct container *container);
void grower_container_removed(struct grower *grower, struct container *container);

/* --- limits in force that the controller knows of --- */
/* These are about to be told, or were just read for it. What is in force otherwise is another
 * hand's, and not built upon. */
void grower_limits_told(struct grower *grower, struct container *container,
			const struct limits *limits);

/* --- reports --- */
struct growth {
	enum reflex_resource resource;
	int64_t from, to;        /* edge units */
	uint64_t at_ns, seen_ns; /* in force; when the want was first seen */
	const char *why;         /* static */
};
bool grower_has_reports(const struct grower *grower);
/* What of `container` is still to be acknowledged; counts as sent. */
bool grower_report(struct grower *grower, struct container *container,
		   enum reflex_resource resource, struct growth *ret_growth);
bool grower_is_pending(const struct container *container);
/* The controller has settled all growths up to `at_ns`. */
void grower_acknowledged(struct grower *grower, uint64_t at_ns);
/*
 * Another controller, or one that has forgotten: all growths that are still in force are to be told
 * again, also those that were acknowledged, for it may have been before they were written down.
 */
void grower_session_begins(struct grower *grower);
/* The last one's number; 0: none. What a registration tells of limits is from after it. */
uint64_t grower_last(const struct grower *grower);

/* --- orders --- */
/*
 * Was an order made without knowing of a growth that matters to it? `heard`: the last growth that
 * its controller had settled. One for the same limit of the same container always matters, any
 * other only when the order raises that resource: both would spend the same free share. True, and
 * `message` says so: it must not be carried out.
 */
bool grower_refuses(struct grower *grower, const struct container *container,
		    const struct limit_order *order, uint64_t heard, char *message, size_t size);
/* It was carried out. `accounts`: the number of the accounts that it was made from; a lease made
 * before has that much less to give. UINT64_MAX: somebody's who has none. */
void grower_ordered(struct grower *grower, struct container *container,
		    const struct limit_order *order, const struct apply_result *result,
		    uint64_t accounts);

struct grower_stats {
	unsigned long growths[REFLEX_MAX], refused, failed;
	unsigned long looks;
	uint64_t look_ns, reaction_ns; /* sums; from seen to in force */
	unsigned watched;
	double lease_s; /* left; 0: none */
};
void grower_get_stats(const struct grower *grower, struct grower_stats *ret_stats);

#endif
