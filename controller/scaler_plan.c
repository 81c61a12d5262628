/* SPDX-License-Identifier: Apache-2.0 */
#include "scaler_plan.h"

#include <errno.h>
#include <math.h>

#include "structure.h"
#include "ebb/cleanup.h"

struct plan scaler_plan(const struct plan_input *input)
{
	int64_t max = input->max > 0 ? input->max : INT64_MAX;
	int64_t target = MAX(MIN(input->base + input->amount, max), input->min);
	bool outside = input->current > max || input->current < input->min;
	bool up = target > input->current;
	struct plan plan = {.verdict = PLAN_CHANGE, .target = target};

	if (target == input->current) {
		plan.verdict = PLAN_NOTHING;
		plan.reason = target == max          ? "it is at its max already"
			      : target == input->min ? "it is at its min already"
						     : "the limit is there already";
		return plan;
	}
	if (up != (input->amount > 0) && !outside) {
		plan.verdict = PLAN_NOTHING;
		plan.reason = "the limit has moved past it meanwhile";
		return plan;
	}
	if (!up || target <= input->allocated)
		return plan;

	plan.take = target - input->allocated;
	if (plan.take <= input->free)
		return plan;
	plan.take = MAX(input->free, 0);
	plan.target = input->allocated + plan.take;
	if (plan.target > input->current) {
		plan.verdict = PLAN_PARTIAL;
		return plan;
	}
	return (struct plan){.verdict = PLAN_WAIT, .reason = "the host has nothing free"};
}

static int class_of(const struct plan_rank *rank)
{
	return rank->amount < 0 ? 3 - rank->max : rank->max;
}

int scaler_plan_compare(const struct plan_rank *a, const struct plan_rank *b)
{
	if (a->level != b->level)
		return a->level > b->level ? -1 : 1;
	if (class_of(a) != class_of(b))
		return class_of(a) > class_of(b) ? -1 : 1;
	if (a->priority != b->priority)
		return a->priority > b->priority ? -1 : 1;
	return (a->since > b->since) - (a->since < b->since);
}

/* --- bodies (spec section 4) --- */

static const char *limit_key(enum ebb_resource resource)
{
	switch (resource) {
	case EBB_CPU: return "cpu_allowance_limit";
	case EBB_MEM: return "mem_limit";
	case EBB_DISK_READ: return "disk_read_limit";
	case EBB_DISK_WRITE: return "disk_write_limit";
	case EBB_NET: return "net_limit";
	case EBB_ENERGY: return "energy_limit";
	default: return NULL;
	}
}

int scaler_body_add(json_t *body, enum ebb_resource resource, int64_t limit, const char *cpus)
{
	json_t *part = json_object();

	if (json_object_set_new(part, limit_key(resource), json_integer(limit)) < 0 ||
	    (cpus && json_object_set_new(part, "cpu_num", json_string(cpus)) < 0)) {
		json_decref(part);
		return -ENOMEM;
	}
	return json_object_set_new(body, ebb_resource_name(resource), part) < 0 ? -ENOMEM : 0;
}

int scaler_body_limit(const json_t *resources, enum ebb_resource resource, int64_t *ret_limit)
{
	const json_t *part = json_object_get(resources, ebb_resource_name(resource));
	double limit;

	if (json_to_double(json_object_get(part, limit_key(resource)), &limit) < 0)
		return -EINVAL;
	*ret_limit = limit < 0 ? -1 : llround(limit);
	return 0;
}
