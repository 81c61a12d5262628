/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pure part of operations (spec 6.4): what a container's limit and max become, how far a host
 * has room for it, and how what an application or a user asks for is laid on containers. Edge
 * units.
 */
#ifndef EBB_OPERATION_PLAN_H
#define EBB_OPERATION_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scaler.h"

/* A container in an operation that is being planned. */
struct plan_leaf {
	int64_t current; /* the limit in force */
	int64_t max;     /* 0: none */
	int64_t least;   /* neither goes below */
	int64_t most;    /* max does not go above: what the host has; INT64_MAX: no bound */
	int64_t held;    /* what the host has set aside for it; 0: it is not managed yet */
	int64_t *room;   /* what its host has free, shared by its containers; NULL: no bound */
	double usage;    /* NAN: not known */
	bool fixed;      /* its limit cannot be changed now (its agent is away, it does not run) */

	/* Set. What is held is then at least what is in force now and what is to be. */
	int64_t to, max_to;
	int64_t amount; /* of the field asked for: what it gets (> 0) or gives up */
};

/* Nothing changes, to begin with. */
void plan_leaf_init(struct plan_leaf *leaf);

/*
 * Changes the field by `amount` as far as it goes, on top of what was changed before, and takes
 * what that needs from `room`. A lower max takes the limit in force with it when that is above it;
 * a higher one takes it up to itself, and goes no further than the host has room for that. Returns
 * what was done of `amount`.
 */
int64_t plan_leaf_change(struct plan_leaf *leaf, enum request_field field, int64_t amount);

/* What could be done at most (> 0), if no other container took of the room. */
int64_t plan_leaf_range(const struct plan_leaf *leaf, enum request_field field, bool growth);

/* What the host gets back from it when it is done. */
int64_t plan_leaf_freed(const struct plan_leaf *leaf);

/* An application that is part of what a user asks for, or asks by itself. */
struct plan_branch {
	struct plan_leaf *leaves;
	size_t n;
	int64_t value; /* of the field, before */
	int64_t least; /* never below */
	int64_t most;  /* never above; INT64_MAX: no bound */
	double usage;
	bool stopped; /* last to get, first to give */
	bool bare;    /* has no containers: only its document changes */

	int64_t amount; /* set */
};

/*
 * Lays `amount` on the containers, or on the branches and their containers: what one of them or its
 * host cannot take goes on to the next. Returns what was laid. -ENOMEM.
 */
int plan_leaves(struct plan_leaf *leaves, size_t n, enum request_field field, int64_t amount,
		int64_t slice, int64_t *ret_done);
int plan_branches(struct plan_branch *branches, size_t n, enum request_field field, int64_t amount,
		  int64_t slice, int64_t *ret_done);

/*
 * What a parent may give up or get of what is asked: an application or a user that runs keeps
 * `least`, none gets more than `most`. One that is beyond already stays as it is.
 */
int64_t plan_parent_amount(int64_t amount, int64_t value, int64_t least, int64_t most);

/* Whether who asked knew of another power budget than the one that is set now (spec 6.4). */
bool plan_budget_is_outdated(int64_t amount, double budget, double now);

#endif
