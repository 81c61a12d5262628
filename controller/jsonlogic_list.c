/* SPDX-License-Identifier: Apache-2.0 */
/* Operators on arrays. */
#include "jsonlogic_eval_private.h"

#include "ebb/cleanup.h"

/* Evaluates `node` with `element` (borrowed) as the data. */
static struct value eval_with(struct eval *e, const struct jsonlogic_node *node, json_t *element)
{
	const struct jsonlogic_numbers *numbers = e->numbers;
	json_t *data = e->data;
	struct value value;

	e->numbers = NULL;
	e->data = element;
	value = eval_node(e, node);
	e->numbers = numbers;
	e->data = data;
	return value;
}

struct value eval_map(struct eval *e, const struct jsonlogic_node *node)
{
	_cleanup_value_ struct value list = eval_node(e, arg(e, node, 0));
	json_t *made = json_array();

	if (!made || !value_is_array(&list))
		return value_json(made);
	for (size_t i = 0; i < json_array_size(list.json) && spend(&e->budget, 1); i++) {
		json_t *element = json_array_get(list.json, i);

		json_array_append_new(made, value_to_json(eval_with(e, arg(e, node, 1), element)));
	}
	return value_json(made);
}

struct value eval_filter(struct eval *e, const struct jsonlogic_node *node)
{
	_cleanup_value_ struct value list = eval_node(e, arg(e, node, 0));
	json_t *made = json_array();

	if (!made || !value_is_array(&list))
		return value_json(made);
	for (size_t i = 0; i < json_array_size(list.json) && spend(&e->budget, 1); i++) {
		json_t *element = json_array_get(list.json, i);
		_cleanup_value_ struct value keep = eval_with(e, arg(e, node, 1), element);

		if (value_truthy(&keep))
			json_array_append(made, element);
	}
	return value_json(made);
}

/* all, none, some: of an empty list, or of what is none, only `none` is true. */
struct value eval_quantifier(struct eval *e, const struct jsonlogic_node *node)
{
	_cleanup_value_ struct value list = eval_node(e, arg(e, node, 0));
	bool stop_at = node->op != JL_ALL;

	if (!value_is_array(&list) || json_array_size(list.json) == 0)
		return value_bool(node->op == JL_NONE);
	for (size_t i = 0; i < json_array_size(list.json) && spend(&e->budget, 1); i++) {
		json_t *element = json_array_get(list.json, i);
		_cleanup_value_ struct value holds = eval_with(e, arg(e, node, 1), element);

		if (value_truthy(&holds) == stop_at)
			return value_bool(node->op == JL_SOME);
	}
	return value_bool(node->op != JL_SOME);
}

/* Is `json` nested no deeper than `depth`? */
static bool depth_within(long *budget, const json_t *json, unsigned depth)
{
	const char *key;
	json_t *inner;
	size_t i;

	if (!json_is_array(json) && !json_is_object(json))
		return true;
	if (depth == 0)
		return false;
	if (json_is_array(json)) {
		json_array_foreach(json, i, inner) {
			if (!spend(budget, 1) || !depth_within(budget, inner, depth - 1))
				return false;
		}
	} else {
		json_object_foreach((json_t *)json, key, inner) {
			if (!spend(budget, 1) || !depth_within(budget, inner, depth - 1))
				return false;
		}
	}
	return true;
}

struct value eval_reduce(struct eval *e, const struct jsonlogic_node *node)
{
	_cleanup_value_ struct value list = eval_node(e, arg(e, node, 0));
	_cleanup_value_ struct value accumulator =
		node->n_args > 2 ? eval_node(e, arg(e, node, 2)) : null_value;

	if (!value_is_array(&list))
		return value_take(&accumulator);
	for (size_t i = 0; i < json_array_size(list.json) && spend(&e->budget, 1); i++) {
		_cleanup_json_ json_t *data = json_object();

		if (!data)
			return null_value;
		json_object_set_nocheck(data, "current", json_array_get(list.json, i));
		json_object_set_new_nocheck(data, "accumulator",
					    value_to_json(value_take(&accumulator)));
		accumulator = eval_with(e, arg(e, node, 1), data);
		if (accumulator.kind == V_JSON &&
		    !depth_within(&e->budget, accumulator.json, VALUE_DEPTH_MAX)) {
			e->budget = -1;
			break;
		}
	}
	return value_take(&accumulator);
}

struct value eval_merge(struct eval *e, const struct jsonlogic_node *node)
{
	json_t *merged = json_array();

	if (!merged)
		return null_value;
	for (uint32_t i = 0; i < node->n_args; i++) {
		struct value value = eval_node(e, arg(e, node, i));

		if (value_is_array(&value)) {
			if (spend(&e->budget, json_array_size(value.json)))
				json_array_extend(merged, value.json);
			value_clear(&value);
		} else {
			json_array_append_new(merged, value_to_json(value));
		}
	}
	return value_json(merged);
}

struct value eval_array(struct eval *e, const struct jsonlogic_node *node)
{
	json_t *array = json_array();

	if (!array)
		return null_value;
	for (uint32_t i = 0; i < node->n_args; i++)
		json_array_append_new(array, value_to_json(eval_node(e, arg(e, node, i))));
	return value_json(array);
}
