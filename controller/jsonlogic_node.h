/* SPDX-License-Identifier: Apache-2.0 */
/* The compiled form of a JsonLogic rule, between the files that compile and evaluate it. */
#ifndef EBB_JSONLOGIC_NODE_H
#define EBB_JSONLOGIC_NODE_H

#include "jsonlogic.h"

#include <stdint.h>

#define JSONLOGIC_DEPTH_MAX 64

enum jsonlogic_op {
	/* Not operators: what a rule's leaves and brackets compile to. */
	JL_NULL,
	JL_FALSE,
	JL_TRUE,
	JL_NUMBER,
	JL_LITERAL, /* string, or an object that is no operator */
	JL_ARRAY,
	JL_PATH, /* {"var": <constant>}, perhaps with a default as its only argument */

	JL_VAR, /* its path is computed */
	JL_MISSING,
	JL_MISSING_SOME,
	JL_IF,
	JL_EQ,
	JL_EQ_STRICT,
	JL_NE,
	JL_NE_STRICT,
	JL_NOT,
	JL_TRUTH,
	JL_OR,
	JL_AND,
	JL_GT,
	JL_GE,
	JL_LT,
	JL_LE,
	JL_MAX,
	JL_MIN,
	JL_ADD,
	JL_SUB,
	JL_MUL,
	JL_DIV,
	JL_MOD,
	JL_MAP,
	JL_REDUCE,
	JL_FILTER,
	JL_ALL,
	JL_NONE,
	JL_SOME,
	JL_MERGE,
	JL_IN,
	JL_CAT,
	JL_SUBSTR,
	JL_LOG,
};

/* All nodes of a rule are one array; a node's arguments are neighbours in it. */
struct jsonlogic_node {
	enum jsonlogic_op op;
	uint32_t n_args;
	uint32_t args; /* index of the first */
	uint32_t path; /* JL_PATH: index into paths */
	int bound;     /* JL_PATH: index into the numbers, or negative */
	union {
		double number;
		json_t *literal;
	};
};

/* "a.b.1", once as written and once cut into "a\0b\0" "1". */
struct jsonlogic_path {
	char *text;
	char *segments;
	size_t n_segments; /* 0: the whole data */
	int bound;
	bool is_variable; /* false: a string that a computed path may turn out to be */
};

struct jsonlogic {
	struct jsonlogic_node *nodes; /* [0] is the root */
	size_t n_nodes, nodes_allocated;
	struct jsonlogic_path *paths;
	size_t n_paths;
};

int jsonlogic_path_init(struct jsonlogic_path *path, const char *text);
void jsonlogic_path_clear(struct jsonlogic_path *path);

#endif
