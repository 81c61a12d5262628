/* SPDX-License-Identifier: Apache-2.0 */
/* Operators that read the data: var with a computed path, missing, missing_some. */
#include "jsonlogic_eval_private.h"

#include <stdlib.h>
#include <string.h>

/* Borrowed; NULL: not there. */
static json_t *find_in_json(json_t *data, const struct jsonlogic_path *path)
{
	const char *segment = path->segments;

	for (size_t i = 0; data && i < path->n_segments; i++) {
		if (json_is_object(data)) {
			data = json_object_get(data, segment);
		} else if (json_is_array(data)) {
			size_t length = strlen(segment);
			bool digits = length > 0 && length <= 9 &&
				      strspn(segment, "0123456789") == length;

			data = digits ? json_array_get(data, strtoul(segment, NULL, 10)) : NULL;
		} else {
			data = NULL;
		}
		segment += strlen(segment) + 1;
	}
	return data;
}

bool eval_find_in_data(const struct eval *e, const struct jsonlogic_path *path,
		       struct value *ret_value)
{
	json_t *found = find_in_json(e->data, path);

	if (!found)
		return false;
	*ret_value = value_from_json(found);
	return true;
}

static bool find_computed(struct eval *e, const char *text, struct value *ret_value)
{
	struct jsonlogic_path path;
	bool found;

	for (size_t i = 0; i < e->logic->n_paths; i++)
		if (!strcmp(e->logic->paths[i].text, text))
			return eval_find_variable(e, &e->logic->paths[i], e->logic->paths[i].bound,
						  ret_value);
	/* Bound numbers have no names left but those in the rule. */
	if (e->numbers || !spend(&e->budget, strlen(text)) || jsonlogic_path_init(&path, text) < 0)
		return false;
	found = eval_find_variable(e, &path, -1, ret_value);
	jsonlogic_path_clear(&path);
	return found;
}

struct value eval_var(struct eval *e, const struct jsonlogic_node *node)
{
	_cleanup_value_ struct value name = eval_node(e, arg(e, node, 0));
	_cleanup_value_text_ struct value_text text = {};
	struct value value;

	if (!value_text_add(&e->budget, &text, "", 0) ||
	    !value_text_add_value(&e->budget, &text, &name, true))
		return null_value;
	if (find_computed(e, text.bytes, &value))
		return value;
	return node->n_args > 1 ? eval_node(e, arg(e, node, 1)) : null_value;
}

/* Adds `name` to `missing` when the data has nothing, null or "" for it. */
static void check_missing(struct eval *e, const struct value *name, json_t *missing)
{
	_cleanup_value_text_ struct value_text text = {};
	_cleanup_value_ struct value value = null_value;

	if (!spend(&e->budget, 1) || !value_text_add(&e->budget, &text, "", 0) ||
	    !value_text_add_value(&e->budget, &text, name, true))
		return;
	if (find_computed(e, text.bytes, &value) && value.kind != V_NULL &&
	    !(value_is_string(&value) && json_string_length(value.json) == 0))
		return;
	json_array_append_new(
		missing, value_to_json(name->kind == V_JSON ? value_from_json(name->json) : *name));
}

static void check_missing_array(struct eval *e, json_t *names, json_t *missing)
{
	for (size_t i = 0; i < json_array_size(names); i++) {
		_cleanup_value_ struct value name = value_from_json(json_array_get(names, i));

		check_missing(e, &name, missing);
	}
}

struct value eval_missing(struct eval *e, const struct jsonlogic_node *node)
{
	json_t *missing = json_array();

	if (!missing)
		return null_value;
	for (uint32_t i = 0; i < node->n_args; i++) {
		_cleanup_value_ struct value name = eval_node(e, arg(e, node, i));

		/* {"missing": <array>}: all names are in the first argument. */
		if (i == 0 && value_is_array(&name)) {
			check_missing_array(e, name.json, missing);
			break;
		}
		check_missing(e, &name, missing);
	}
	return value_json(missing);
}

struct value eval_missing_some(struct eval *e, const struct jsonlogic_node *node)
{
	_cleanup_value_ struct value need = eval_node(e, arg(e, node, 0));
	_cleanup_value_ struct value names = eval_node(e, arg(e, node, 1));
	json_t *missing = json_array();

	if (!missing || !value_is_array(&names)) {
		json_decref(missing);
		return null_value;
	}
	check_missing_array(e, names.json, missing);
	if ((double)json_array_size(names.json) - (double)json_array_size(missing) >=
	    value_to_number(&e->budget, &need))
		json_array_clear(missing);
	return value_json(missing);
}
