/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Evaluation. Operators do as in JavaScript where jsonlogic.com's own implementation leaves it to
 * JavaScript, but for what a missing measurement would turn into a decision:
 *  - null on either side of < <= > >= is false, but two nulls are <= and >=, being equal;
 *  - arithmetic on null, on what is no number, or by zero gives null, not 0, NaN or Infinity.
 * Arrays and objects are equal when their contents are.
 */
#include "jsonlogic_eval_private.h"

#include <math.h>
#include <string.h>

/*
 * What one evaluation may spend: nodes visited, elements and bytes made. `reduce` can double its
 * accumulator at each step, so depth alone bounds nothing. Beyond it the rule's value is null.
 */
#define BUDGET_NUMBERS (1 << 16)
#define BUDGET_JSON    VALUE_SPEND_MAX

static struct value eval_path(struct eval *e, const struct jsonlogic_node *node)
{
	struct value value;

	if (eval_find_variable(e, &e->logic->paths[node->path], node->bound, &value))
		return value;
	return node->n_args > 0 ? eval_node(e, arg(e, node, 0)) : null_value;
}

/* --- logic and arithmetic: what rules over measurements are made of; nothing here allocates --- */

static bool ordered(struct eval *e, enum jsonlogic_op op, const struct value *a,
		    const struct value *b)
{
	double x, y;

	if (a->kind == V_NULL || b->kind == V_NULL)
		return a->kind == b->kind && (op == JL_LE || op == JL_GE);
	if (value_is_string(a) && value_is_string(b)) {
		x = strcmp(json_string_value(a->json), json_string_value(b->json));
		y = 0;
	} else {
		x = value_to_number(&e->budget, a);
		y = value_to_number(&e->budget, b);
	}
	switch (op) {
	case JL_LT: return x < y;
	case JL_LE: return x <= y;
	case JL_GT: return x > y;
	default: return x >= y;
	}
}

static struct value eval_if(struct eval *e, const struct jsonlogic_node *node)
{
	uint32_t i = 0;

	for (; i + 1 < node->n_args; i += 2) {
		_cleanup_value_ struct value condition = eval_node(e, arg(e, node, i));

		if (value_truthy(&condition))
			return eval_node(e, arg(e, node, i + 1));
	}
	return i < node->n_args ? eval_node(e, arg(e, node, i)) : null_value;
}

/* and, or: the value that decided. */
static struct value eval_connective(struct eval *e, const struct jsonlogic_node *node)
{
	struct value value = null_value;

	for (uint32_t i = 0; i < node->n_args; i++) {
		value_clear(&value);
		value = eval_node(e, arg(e, node, i));
		if (value_truthy(&value) == (node->op == JL_OR))
			break;
	}
	return value;
}

static struct value eval_equality(struct eval *e, const struct jsonlogic_node *node)
{
	_cleanup_value_ struct value a = eval_node(e, arg(e, node, 0));
	_cleanup_value_ struct value b = eval_node(e, arg(e, node, 1));

	switch (node->op) {
	case JL_EQ: return value_bool(value_loosely_equal(&e->budget, &a, &b));
	case JL_NE: return value_bool(!value_loosely_equal(&e->budget, &a, &b));
	case JL_EQ_STRICT: return value_bool(value_strictly_equal(&a, &b));
	default: return value_bool(!value_strictly_equal(&a, &b));
	}
}

/* With three arguments the middle one lies between, also for > and >=. */
static struct value eval_order(struct eval *e, const struct jsonlogic_node *node)
{
	_cleanup_value_ struct value a = eval_node(e, arg(e, node, 0));
	_cleanup_value_ struct value b = eval_node(e, arg(e, node, 1));

	if (!ordered(e, node->op, &a, &b))
		return value_bool(false);
	if (node->n_args > 2) {
		_cleanup_value_ struct value c = eval_node(e, arg(e, node, 2));

		return value_bool(ordered(e, node->op, &b, &c));
	}
	return value_bool(true);
}

/* + * min max: any null makes the whole null. */
static struct value eval_fold(struct eval *e, const struct jsonlogic_node *node)
{
	double folded = node->op == JL_ADD ? 0 : NAN;

	for (uint32_t i = 0; i < node->n_args; i++) {
		_cleanup_value_ struct value value = eval_node(e, arg(e, node, i));
		double x = node->op == JL_ADD || node->op == JL_MUL
				   ? value_parse_number(&value)
				   : value_to_number(&e->budget, &value);

		if (isnan(x))
			return null_value;
		if (node->op == JL_ADD)
			folded += x;
		else if (i == 0)
			folded = x;
		else if (node->op == JL_MUL)
			folded *= x;
		else if (node->op == JL_MAX ? x > folded : x < folded)
			folded = x;
	}
	return value_number(folded);
}

static struct value eval_arithmetic(struct eval *e, const struct jsonlogic_node *node)
{
	_cleanup_value_ struct value a = eval_node(e, arg(e, node, 0));
	double x = value_to_number(&e->budget, &a), y;

	if (node->n_args == 1)
		return value_number(-x);

	_cleanup_value_ struct value b = eval_node(e, arg(e, node, 1));
	y = value_to_number(&e->budget, &b);
	if (node->op == JL_SUB)
		return value_number(x - y);
	if (y == 0)
		return null_value;
	return value_number(node->op == JL_DIV ? x / y : fmod(x, y));
}

struct value eval_node(struct eval *e, const struct jsonlogic_node *node)
{
	if (!spend(&e->budget, 1))
		return null_value;

	switch (node->op) {
	case JL_NULL: break;
	case JL_FALSE: return value_bool(false);
	case JL_TRUE: return value_bool(true);
	case JL_NUMBER: return value_number(node->number);
	case JL_LITERAL: return value_json(json_incref(node->literal));
	case JL_ARRAY: return eval_array(e, node);
	case JL_PATH: return eval_path(e, node);
	case JL_VAR: return eval_var(e, node);
	case JL_MISSING: return eval_missing(e, node);
	case JL_MISSING_SOME: return eval_missing_some(e, node);
	case JL_IF: return eval_if(e, node);
	case JL_EQ:
	case JL_NE:
	case JL_EQ_STRICT:
	case JL_NE_STRICT: return eval_equality(e, node);
	case JL_NOT:
	case JL_TRUTH: {
		_cleanup_value_ struct value value = eval_node(e, arg(e, node, 0));

		return value_bool(value_truthy(&value) == (node->op == JL_TRUTH));
	}
	case JL_OR:
	case JL_AND: return eval_connective(e, node);
	case JL_GT:
	case JL_GE:
	case JL_LT:
	case JL_LE: return eval_order(e, node);
	case JL_MAX:
	case JL_MIN:
	case JL_ADD:
	case JL_MUL: return eval_fold(e, node);
	case JL_SUB:
	case JL_DIV:
	case JL_MOD: return eval_arithmetic(e, node);
	case JL_MAP: return eval_map(e, node);
	case JL_REDUCE: return eval_reduce(e, node);
	case JL_FILTER: return eval_filter(e, node);
	case JL_ALL:
	case JL_NONE:
	case JL_SOME: return eval_quantifier(e, node);
	case JL_MERGE: return eval_merge(e, node);
	case JL_IN: return eval_in(e, node);
	case JL_CAT: return eval_cat(e, node);
	case JL_SUBSTR: return eval_substr(e, node);
	case JL_LOG: return eval_log(e, node);
	}
	return null_value;
}

bool jsonlogic_test(const struct jsonlogic *logic, const struct jsonlogic_numbers *numbers)
{
	struct eval e = {.logic = logic, .numbers = numbers, .budget = BUDGET_NUMBERS};
	_cleanup_value_ struct value value = eval_node(&e, logic->nodes);

	return e.budget >= 0 && value_truthy(&value);
}

json_t *jsonlogic_apply(const struct jsonlogic *logic, const json_t *data)
{
	/* References to the data are taken and given back; it is not changed. */
	struct eval e = {.logic = logic, .data = (json_t *)data, .budget = BUDGET_JSON};
	_cleanup_value_ struct value value = eval_node(&e, logic->nodes);

	if (e.budget < 0)
		return json_null();
	/* A copy: the caller may change what it gets, the rule and the data stay as they are. */
	if (value.kind == V_JSON)
		return json_deep_copy(value.json);
	return value_to_json(value_take(&value));
}
