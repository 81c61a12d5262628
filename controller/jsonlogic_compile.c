/* SPDX-License-Identifier: Apache-2.0 */
#include "jsonlogic_node.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"
#include "ebb/util.h"

#define ARGS_ANY UINT32_MAX

/* Extra arguments are refused rather than ignored as in a browser: they are a mistake in the rule.
 */
static const struct op_spec {
	const char *name;
	enum jsonlogic_op op;
	uint32_t min, max;
} operators[] = {
	{"var", JL_VAR, 0, 2},
	{"missing", JL_MISSING, 0, ARGS_ANY},
	{"missing_some", JL_MISSING_SOME, 2, 2},
	{"if", JL_IF, 0, ARGS_ANY},
	{"?:", JL_IF, 0, ARGS_ANY},
	{"==", JL_EQ, 2, 2},
	{"===", JL_EQ_STRICT, 2, 2},
	{"!=", JL_NE, 2, 2},
	{"!==", JL_NE_STRICT, 2, 2},
	{"!", JL_NOT, 1, 1},
	{"!!", JL_TRUTH, 1, 1},
	{"or", JL_OR, 0, ARGS_ANY},
	{"and", JL_AND, 0, ARGS_ANY},
	{">", JL_GT, 2, 3},
	{">=", JL_GE, 2, 3},
	{"<", JL_LT, 2, 3},
	{"<=", JL_LE, 2, 3},
	{"max", JL_MAX, 0, ARGS_ANY},
	{"min", JL_MIN, 0, ARGS_ANY},
	{"+", JL_ADD, 0, ARGS_ANY},
	{"-", JL_SUB, 1, 2},
	{"*", JL_MUL, 1, ARGS_ANY},
	{"/", JL_DIV, 2, 2},
	{"%", JL_MOD, 2, 2},
	{"map", JL_MAP, 2, 2},
	{"reduce", JL_REDUCE, 2, 3},
	{"filter", JL_FILTER, 2, 2},
	{"all", JL_ALL, 2, 2},
	{"none", JL_NONE, 2, 2},
	{"some", JL_SOME, 2, 2},
	{"merge", JL_MERGE, 0, ARGS_ANY},
	{"in", JL_IN, 2, 2},
	{"cat", JL_CAT, 0, ARGS_ANY},
	{"substr", JL_SUBSTR, 2, 3},
	{"log", JL_LOG, 1, 1},
};

bool jsonlogic_operator(const char *name, unsigned *ret_least, unsigned *ret_most)
{
	for (size_t i = 0; i < ARRAY_SIZE(operators); i++) {
		if (strcmp(operators[i].name, name) != 0)
			continue;
		*ret_least = operators[i].min;
		*ret_most = operators[i].max;
		return true;
	}
	return false;
}

/* Where in the rule the compiler is, for error messages; lives on its stack. */
struct place {
	const struct place *parent;
	const char *op;
	size_t arg;
};

/* Does a string in this place name a variable? */
enum names_paths { PATHS_NO, PATHS_PERHAPS, PATHS_SURELY };

struct compiler {
	struct jsonlogic *logic;
	jsonlogic_bind_fn bind;
	void *userdata;
	char **error;
};

/* Bytes of `text` to show. */
static int shown(const char *text)
{
	return (int)utf8_fit(text, 32);
}

static int compile_error(struct compiler *c, const struct place *place, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int compile_error(struct compiler *c, const struct place *place, const char *format, ...)
{
	const struct place *stack[JSONLOGIC_DEPTH_MAX + 2];
	size_t n = 0, length = 0;
	char text[1024];
	va_list args;

	if (!c->error)
		return -EINVAL;

	for (; place && n < ARRAY_SIZE(stack); place = place->parent)
		stack[n++] = place;
	text[0] = '\0';
	while (n-- > 0 && length < sizeof(text) - 256) {
		/* The innermost operator is named without an argument: it is what is wrong. */
		if (n > 0)
			length += (size_t)snprintf(text + length, sizeof(text) - length,
						   "%.*s[%zu].", shown(stack[n]->op), stack[n]->op,
						   stack[n - 1]->arg);
		else
			length += (size_t)snprintf(text + length, sizeof(text) - length,
						   "%.*s: ", shown(stack[n]->op), stack[n]->op);
	}
	va_start(args, format);
	vsnprintf(text + length, sizeof(text) - length, format, args);
	va_end(args);

	*c->error = strdup(text);
	return -EINVAL;
}

int jsonlogic_path_init(struct jsonlogic_path *path, const char *text)
{
	_cleanup_free_ char *copy = strdup(text), *segments = strdup(text);
	size_t n = 0;

	if (!copy || !segments)
		return -ENOMEM;
	if (*text) {
		n = 1;
		for (char *p = segments; *p; p++)
			if (*p == '.') {
				*p = '\0';
				n++;
			}
	}
	*path = (struct jsonlogic_path){
		.text = TAKE_PTR(copy),
		.segments = TAKE_PTR(segments),
		.n_segments = n,
		.bound = -1,
	};
	return 0;
}

void jsonlogic_path_clear(struct jsonlogic_path *path)
{
	free(path->text);
	free(path->segments);
}

static int add_path(struct compiler *c, const char *text, bool is_variable, uint32_t *ret_index)
{
	struct jsonlogic *logic = c->logic;
	struct jsonlogic_path *paths;
	int r;

	for (size_t i = 0; i < logic->n_paths; i++)
		if (!strcmp(logic->paths[i].text, text)) {
			logic->paths[i].is_variable |= is_variable;
			*ret_index = (uint32_t)i;
			return 0;
		}

	paths = reallocarray(logic->paths, logic->n_paths + 1, sizeof(*paths));
	if (!paths)
		return -ENOMEM;
	logic->paths = paths;
	r = jsonlogic_path_init(&paths[logic->n_paths], text);
	if (r < 0)
		return r;
	paths[logic->n_paths].is_variable = is_variable;
	if (c->bind)
		paths[logic->n_paths].bound = c->bind(c->userdata, text);
	*ret_index = (uint32_t)logic->n_paths++;
	return 0;
}

/* Room for `n` neighbours. Moves the array: no pointer into it may be held across a call. */
static int add_nodes(struct jsonlogic *logic, size_t n, uint32_t *ret_first)
{
	if (logic->n_nodes + n > UINT32_MAX / 2)
		return -E2BIG;
	if (logic->n_nodes + n > logic->nodes_allocated) {
		size_t allocated = MAX(logic->nodes_allocated * 2, logic->n_nodes + n);
		struct jsonlogic_node *nodes;

		nodes = reallocarray(logic->nodes, allocated, sizeof(*nodes));
		if (!nodes)
			return -ENOMEM;
		logic->nodes = nodes;
		logic->nodes_allocated = allocated;
	}
	memset(logic->nodes + logic->n_nodes, 0, n * sizeof(*logic->nodes));
	*ret_first = (uint32_t)logic->n_nodes;
	logic->n_nodes += n;
	return 0;
}

static int compile_node(struct compiler *c, const json_t *rule, const struct place *place,
			unsigned depth, enum names_paths names_paths, uint32_t index);

/* The arguments of an operator, or the elements of an array. */
static int compile_args(struct compiler *c, const json_t *args, const struct place *parent,
			unsigned depth, enum names_paths names_paths, uint32_t index)
{
	size_t n = json_is_array(args) ? json_array_size(args) : 1;
	uint32_t first;
	int r;

	r = add_nodes(c->logic, n, &first);
	if (r < 0)
		return r;
	c->logic->nodes[index].n_args = (uint32_t)n;
	c->logic->nodes[index].args = first;

	for (size_t i = 0; i < n; i++) {
		const json_t *arg = json_is_array(args) ? json_array_get(args, i) : args;
		struct place place = {.parent = parent, .op = "", .arg = i};

		r = compile_node(c, arg, &place, depth + 1, names_paths, first + (uint32_t)i);
		if (r < 0)
			return r;
	}
	return 0;
}

/* {"var": "a.b"}, {"var": 1}, {"var": ["a.b", <default>]}, {"var": []}, {"var": null} */
static int compile_constant_var(struct compiler *c, const json_t *args, const struct place *place,
				unsigned depth, uint32_t index)
{
	const json_t *name = json_is_array(args) ? json_array_get(args, 0) : args;
	char digits[32];
	const char *text;
	uint32_t path;
	int r;

	if (!name || json_is_null(name)) {
		text = "";
	} else if (json_is_string(name)) {
		text = json_string_value(name);
	} else {
		snprintf(digits, sizeof(digits), "%" JSON_INTEGER_FORMAT, json_integer_value(name));
		text = digits;
	}
	r = add_path(c, text, /* is_variable= */ true, &path);
	if (r < 0)
		return r;
	c->logic->nodes[index].path = path;
	c->logic->nodes[index].bound = c->logic->paths[path].bound;

	if (json_is_array(args) && json_array_size(args) == 2) {
		struct place inner = {.parent = place, .op = "", .arg = 1};
		uint32_t first;

		r = add_nodes(c->logic, 1, &first);
		if (r < 0)
			return r;
		c->logic->nodes[index].n_args = 1;
		c->logic->nodes[index].args = first;
		r = compile_node(c, json_array_get(args, 1), &inner, depth + 1, PATHS_NO, first);
		if (r < 0)
			return r;
	}
	/* Last: until here it is a node without anything to release. */
	c->logic->nodes[index].op = JL_PATH;
	return 0;
}

static int compile_operator(struct compiler *c, const char *name, const json_t *args,
			    struct place *place, unsigned depth, enum names_paths names_paths,
			    uint32_t index)
{
	const struct op_spec *op = NULL;
	size_t n = json_is_array(args) ? json_array_size(args) : 1;
	const json_t *first = json_is_array(args) ? json_array_get(args, 0) : args;

	place->op = name;
	for (size_t i = 0; i < ARRAY_SIZE(operators); i++)
		if (!strcmp(operators[i].name, name))
			op = &operators[i];
	if (!op)
		return compile_error(c, place, "there is no such operator");
	if (n < op->min || n > op->max) {
		if (op->min == op->max)
			return compile_error(c, place, "takes %u argument%s, has %zu", op->min,
					     op->min == 1 ? "" : "s", n);
		if (op->max == ARGS_ANY)
			return compile_error(c, place, "takes at least %u argument, has %zu",
					     op->min, n);
		return compile_error(c, place, "takes %u to %u arguments, has %zu", op->min,
				     op->max, n);
	}

	if (op->op == JL_VAR &&
	    (!first || json_is_null(first) || json_is_string(first) || json_is_integer(first)))
		return compile_constant_var(c, args, place, depth, index);

	/* Strings below these may be paths: bound now, so that no evaluation has to ask. */
	if (op->op == JL_MISSING || op->op == JL_MISSING_SOME)
		names_paths = PATHS_SURELY;
	else if (op->op == JL_VAR || names_paths != PATHS_NO)
		names_paths = PATHS_PERHAPS;
	c->logic->nodes[index].op = op->op;
	return compile_args(c, args, place, depth, names_paths, index);
}

static int compile_node(struct compiler *c, const json_t *rule, const struct place *place,
			unsigned depth, enum names_paths names_paths, uint32_t index)
{
	struct jsonlogic_node *node = &c->logic->nodes[index];
	struct place here = *place;
	json_t *copy;

	if (depth > JSONLOGIC_DEPTH_MAX)
		return compile_error(c, place->parent, "nested deeper than %d",
				     JSONLOGIC_DEPTH_MAX);

	switch (json_typeof(rule)) {
	case JSON_NULL: node->op = JL_NULL; return 0;
	case JSON_FALSE: node->op = JL_FALSE; return 0;
	case JSON_TRUE: node->op = JL_TRUE; return 0;
	case JSON_INTEGER:
	case JSON_REAL:
		node->op = JL_NUMBER;
		node->number = json_number_value(rule);
		return 0;
	case JSON_ARRAY:
		node->op = JL_ARRAY;
		here.op = "";
		return compile_args(c, rule, &here, depth, names_paths, index);
	case JSON_OBJECT:
		if (json_object_size(rule) == 1) {
			/* jansson has no const iterator; nothing is changed through it. */
			void *iter = json_object_iter((json_t *)rule);

			return compile_operator(c, json_object_iter_key(iter),
						json_object_iter_value(iter), &here, depth,
						names_paths, index);
		}
		break;
	case JSON_STRING:
		if (names_paths != PATHS_NO) {
			uint32_t path;
			int r = add_path(c, json_string_value(rule), names_paths == PATHS_SURELY,
					 &path);

			if (r < 0)
				return r;
		}
		break;
	}

	copy = json_deep_copy(rule);
	if (!copy)
		return -ENOMEM;
	node->op = JL_LITERAL;
	node->literal = copy;
	return 0;
}

int jsonlogic_compile(const json_t *rule, jsonlogic_bind_fn bind, void *userdata,
		      struct jsonlogic **ret_logic, char **ret_error)
{
	char *error = NULL;
	struct compiler c = {
		.bind = bind,
		.userdata = userdata,
		.error = ret_error ? &error : NULL,
	};
	struct place root = {.op = ""};
	uint32_t index;
	int r;

	c.logic = calloc(1, sizeof(*c.logic));
	if (!c.logic)
		return -ENOMEM;
	r = add_nodes(c.logic, 1, &index);
	if (r >= 0)
		r = compile_node(&c, rule, &root, 1, PATHS_NO, index);
	if (r < 0) {
		jsonlogic_free(c.logic);
		if (ret_error)
			*ret_error = error;
		return r;
	}
	*ret_logic = c.logic;
	return 0;
}

void jsonlogic_free(struct jsonlogic *logic)
{
	if (!logic)
		return;
	for (size_t i = 0; i < logic->n_nodes; i++)
		if (logic->nodes[i].op == JL_LITERAL)
			json_decref(logic->nodes[i].literal);
	for (size_t i = 0; i < logic->n_paths; i++)
		jsonlogic_path_clear(&logic->paths[i]);
	free(logic->nodes);
	free(logic->paths);
	free(logic);
}

void jsonlogic_each_variable(const struct jsonlogic *logic,
			     void (*fn)(void *userdata, const char *path), void *userdata)
{
	for (size_t i = 0; i < logic->n_paths; i++)
		if (logic->paths[i].is_variable)
			fn(userdata, logic->paths[i].text);
}
