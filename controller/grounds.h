/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a decision was worked out from, exactly, so that it can be worked out again. Part of the
 * audit. Pure.
 */
#ifndef EBB_GROUNDS_H
#define EBB_GROUNDS_H

#include <jansson.h>
#include <stdbool.h>

#include "guardian.h"
#include "scaler_plan.h"

struct grounds {
	/* The amount that a rule asked for: guardian_amount(). */
	bool has_amount;
	enum rescale_policy policy;
	int rescale_up; /* 1 up, -1 down */
	double rule_amount;
	struct guard_measure measure;
	int boundary;
	enum boundary_type boundary_type;
	int64_t current, min, max, upper, lower;

	/* The limit that was planned: scaler_plan(). */
	bool has_plan;
	struct plan_input plan;
};

/* NULL: nothing is known. New reference. */
json_t *grounds_to_json(const struct grounds *grounds);
/* What is missing or makes no sense is not known. */
void grounds_from_json(const json_t *json, struct grounds *ret_grounds);

/* Worked out again, by the code of today. */
int64_t grounds_amount(const struct grounds *grounds, enum ebb_resource resource);
struct plan grounds_plan(const struct grounds *grounds);

#endif
