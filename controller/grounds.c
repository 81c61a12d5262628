/* SPDX-License-Identifier: Apache-2.0 */
#include "grounds.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "ebb/cleanup.h"

enum kind { REAL, INTEGER };

struct field {
	const char *name;
	enum kind kind;
	size_t offset;
};
#define MEMBER(kind, name, member)                           \
	{                                                    \
		name, kind, offsetof(struct grounds, member) \
	}

static const struct field amount_fields[] = {
	MEMBER(REAL, "usage", measure.usage),
	MEMBER(REAL, "before", measure.before),
	MEMBER(REAL, "peak", measure.peak),
	MEMBER(REAL, "last", measure.last),
	MEMBER(REAL, "throttled", measure.throttled),
	MEMBER(REAL, "held_back", measure.held_back),
	MEMBER(REAL, "need", measure.need),
	MEMBER(REAL, "growth", measure.growth),
	MEMBER(INTEGER, "undo", measure.undo),
	MEMBER(REAL, "amount", rule_amount),
	MEMBER(INTEGER, "current", current),
	MEMBER(INTEGER, "min", min),
	MEMBER(INTEGER, "max", max),
	MEMBER(INTEGER, "upper", upper),
	MEMBER(INTEGER, "lower", lower),
};
static const struct field plan_fields[] = {
	MEMBER(INTEGER, "base", plan.base),       MEMBER(INTEGER, "amount", plan.amount),
	MEMBER(INTEGER, "current", plan.current), MEMBER(INTEGER, "allocated", plan.allocated),
	MEMBER(INTEGER, "min", plan.min),         MEMBER(INTEGER, "max", plan.max),
	MEMBER(INTEGER, "free", plan.free),
};
#undef MEMBER

/* Every digit: rounded, a limit at the edge would come out as another one. */
static json_t *to_json(const struct grounds *grounds, const struct field *fields, size_t n)
{
	json_t *json = json_object();

	for (size_t i = 0; i < n; i++) {
		const void *at = (const char *)grounds + fields[i].offset;
		double real = fields[i].kind == REAL ? *(const double *)at : 0;
		json_t *value;

		if (fields[i].kind == INTEGER)
			value = json_integer(*(const int64_t *)at);
		else
			value = isfinite(real) ? json_real(real) : json_null();
		json_object_set_new(json, fields[i].name, value);
	}
	return json;
}

json_t *grounds_to_json(const struct grounds *grounds)
{
	json_t *json, *part;

	if (!grounds->has_amount && !grounds->has_plan)
		return NULL;
	json = json_object();
	if (grounds->has_amount) {
		part = to_json(grounds, amount_fields, ARRAY_SIZE(amount_fields));
		json_object_set_new(part, "raises", json_integer(grounds->measure.raises));
		json_object_set_new(part, "of_members", json_boolean(grounds->measure.of_members));
		json_object_set_new(part, "policy",
				    json_string(rescale_policy_name(grounds->policy)));
		json_object_set_new(part, "type",
				    json_string(grounds->rescale_up > 0 ? "up" : "down"));
		json_object_set_new(part, "boundary", json_integer(grounds->boundary));
		json_object_set_new(part, "boundary_type",
				    json_string(boundary_type_name(grounds->boundary_type)));
		json_object_set_new(json, "amount", part);
	}
	if (grounds->has_plan)
		json_object_set_new(json, "plan",
				    to_json(grounds, plan_fields, ARRAY_SIZE(plan_fields)));
	return json;
}

static bool from_json(const json_t *json, const struct field *fields, size_t n,
		      struct grounds *grounds)
{
	for (size_t i = 0; i < n; i++) {
		const json_t *value = json_object_get(json, fields[i].name);
		void *at = (char *)grounds + fields[i].offset;

		if (fields[i].kind == INTEGER && json_is_integer(value))
			*(int64_t *)at = json_integer_value(value);
		else if (fields[i].kind == REAL && json_is_number(value))
			*(double *)at = json_number_value(value);
		else if (fields[i].kind == REAL && json_is_null(value))
			*(double *)at = NAN;
		else
			return false;
	}
	return true;
}

static bool amount_from_json(const json_t *json, struct grounds *grounds)
{
	const char *policy = json_string_value(json_object_get(json, "policy"));
	const char *type = json_string_value(json_object_get(json, "type"));
	const char *boundary_type = json_string_value(json_object_get(json, "boundary_type"));
	json_int_t boundary = json_integer_value(json_object_get(json, "boundary"));
	json_int_t raises = json_integer_value(json_object_get(json, "raises"));

	if (!from_json(json, amount_fields, ARRAY_SIZE(amount_fields), grounds) || !policy ||
	    !type || !boundary_type || boundary < 0 || boundary > 100 || raises < 0 ||
	    raises > 1000)
		return false;
	grounds->policy = rescale_policy_from_name(policy);
	grounds->boundary_type = boundary_type_from_name(boundary_type);
	grounds->rescale_up = strcmp(type, "up") == 0 ? 1 : -1;
	grounds->boundary = (int)boundary;
	grounds->measure.raises = (unsigned)raises;
	grounds->measure.of_members = json_is_true(json_object_get(json, "of_members"));
	return grounds->policy != RESCALE_POLICY_MAX && grounds->boundary_type != BOUNDARY_TYPE_MAX;
}

void grounds_from_json(const json_t *json, struct grounds *ret_grounds)
{
	struct grounds grounds = {0};

	grounds.has_amount = amount_from_json(json_object_get(json, "amount"), &grounds);
	grounds.has_plan = from_json(json_object_get(json, "plan"), plan_fields,
				     ARRAY_SIZE(plan_fields), &grounds);
	*ret_grounds = grounds;
}

int64_t grounds_amount(const struct grounds *grounds, enum ebb_resource resource)
{
	const struct rule rule = {
		.resource = resource,
		.generates = RULE_REQUESTS,
		.policy = grounds->policy,
		.rescale_up = grounds->rescale_up,
		.amount = grounds->rule_amount,
	};
	const struct resource_state state = {
		.present = true,
		.guard = true,
		.max = grounds->max,
		.min = grounds->min,
		.current = grounds->current,
		.has_boundary = true,
		.boundary = grounds->boundary,
		.boundary_type = grounds->boundary_type,
		.upper = grounds->upper,
		.lower = grounds->lower,
	};

	return guardian_amount(&rule, &state, &grounds->measure);
}

struct plan grounds_plan(const struct grounds *grounds)
{
	return scaler_plan(&grounds->plan);
}
