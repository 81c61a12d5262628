/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files that evaluate JsonLogic. */
#ifndef EBB_JSONLOGIC_EVAL_PRIVATE_H
#define EBB_JSONLOGIC_EVAL_PRIVATE_H

#include "jsonlogic_node.h"
#include "jsonlogic_value.h"

struct eval {
	const struct jsonlogic *logic;
	const struct jsonlogic_numbers *numbers; /* NULL: data is `data` */
	json_t *data;
	long budget;
};

/* The values that these return are the caller's. */
struct value eval_node(struct eval *e, const struct jsonlogic_node *node);

static inline const struct jsonlogic_node *arg(const struct eval *e,
					       const struct jsonlogic_node *node, uint32_t i)
{
	return &e->logic->nodes[node->args + i];
}

/* jsonlogic_variable.c */
bool eval_find_in_data(const struct eval *e, const struct jsonlogic_path *path,
		       struct value *ret_value);
struct value eval_var(struct eval *e, const struct jsonlogic_node *node);
struct value eval_missing(struct eval *e, const struct jsonlogic_node *node);
struct value eval_missing_some(struct eval *e, const struct jsonlogic_node *node);

/* False: not there, so that a default applies. */
static inline bool eval_find_variable(const struct eval *e, const struct jsonlogic_path *path,
				      int bound, struct value *ret_value)
{
	if (!e->numbers)
		return eval_find_in_data(e, path, ret_value);
	if (bound < 0 || (size_t)bound >= e->numbers->n || !isfinite(e->numbers->values[bound]))
		return false;
	*ret_value = value_number(e->numbers->values[bound]);
	return true;
}

/* jsonlogic_list.c */
struct value eval_map(struct eval *e, const struct jsonlogic_node *node);
struct value eval_filter(struct eval *e, const struct jsonlogic_node *node);
struct value eval_quantifier(struct eval *e, const struct jsonlogic_node *node);
struct value eval_reduce(struct eval *e, const struct jsonlogic_node *node);
struct value eval_merge(struct eval *e, const struct jsonlogic_node *node);
struct value eval_array(struct eval *e, const struct jsonlogic_node *node);

/* jsonlogic_string.c */
struct value eval_in(struct eval *e, const struct jsonlogic_node *node);
struct value eval_cat(struct eval *e, const struct jsonlogic_node *node);
struct value eval_substr(struct eval *e, const struct jsonlogic_node *node);
struct value eval_log(struct eval *e, const struct jsonlogic_node *node);

#endif
