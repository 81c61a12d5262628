/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pure part of the scaler (spec 6.4): what becomes of one request, and the order in which
 * requests are looked at. Edge units.
 */
#ifndef EBB_SCALER_PLAN_H
#define EBB_SCALER_PLAN_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "ebb/units.h"

/* A host that does not account a resource has as much of it as is asked for. */
#define PLAN_UNACCOUNTED INT64_MAX

struct plan_input {
	int64_t base;      /* the limit that `amount` counts from */
	int64_t amount;    /* asked for; not 0 */
	int64_t current;   /* the limit in force now */
	int64_t allocated; /* what the host has set aside for it */
	int64_t min, max;
	int64_t free; /* on the host, or PLAN_UNACCOUNTED */
};

enum plan_verdict {
	PLAN_CHANGE,  /* to `target`, after taking `take` from the host */
	PLAN_PARTIAL, /* likewise, with less than was asked for: the host has no more */
	PLAN_WAIT,    /* growth, and nothing is free */
	PLAN_NOTHING, /* nothing to do; `reason` */
};

struct plan {
	enum plan_verdict verdict;
	int64_t target, take;
	const char *reason; /* static; NULL but for PLAN_WAIT and PLAN_NOTHING */
};

/*
 * Clamps base + amount to min..max. A limit outside of min..max is brought back into it whatever
 * the direction asked; one that has moved past what was asked meanwhile is left alone. A max of 0
 * or less is none.
 */
struct plan scaler_plan(const struct plan_input *input);

/*
 * Before (< 0) or after (> 0): users, applications, containers; of one level what lowers a limit,
 * what lowers a max, what raises a max, what raises a limit; then the higher priority, then the
 * older.
 */
struct plan_rank {
	int64_t amount;
	int priority;
	double since;
	bool max;  /* the field asked for */
	int level; /* 0: a container, 1: an application, 2: a user */
};
int scaler_plan_compare(const struct plan_rank *a, const struct plan_rank *b);

/* One resource laid into the body of PUT /container/NAME. `cpus` NULL: no cpu_num. -ENOMEM. */
int scaler_body_add(json_t *body, enum ebb_resource resource, int64_t limit, const char *cpus);
/* The limit of `resource` in what the agent re-read; -1 unlimited. -EINVAL: it is not there. */
int scaler_body_limit(const json_t *resources, enum ebb_resource resource, int64_t *ret_limit);

#endif
