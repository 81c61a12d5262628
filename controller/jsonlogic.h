/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JsonLogic (jsonlogic.com), the whole public operator set, compiled once into a tree of nodes and
 * evaluated many times. Two sources of data: a flat array of numbers bound at compile time (the
 * guardian: no allocation, no string compare per evaluation), or any JSON value.
 */
#ifndef EBB_JSONLOGIC_H
#define EBB_JSONLOGIC_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct jsonlogic;

/*
 * Maps a variable's dotted path to an index into `struct jsonlogic_numbers`, or a negative number
 * when it is not one of the known ones (it then reads as null unless JSON data is given).
 */
typedef int (*jsonlogic_bind_fn)(void *userdata, const char *path);

/*
 * -EINVAL: not JsonLogic: an operator that does not exist, a wrong number of arguments, nesting
 * deeper than 64. `ret_error` (may be NULL) then says where ("and[1].>"), caller frees. The rule is
 * copied. `bind` may be NULL.
 */
int jsonlogic_compile(const json_t *rule, jsonlogic_bind_fn bind, void *userdata,
		      struct jsonlogic **ret_logic, char **ret_error);
void jsonlogic_free(struct jsonlogic *logic);

/* False: there is no such operator. UINT_MAX of `most` is as many as one likes. */
bool jsonlogic_operator(const char *name, unsigned *ret_least, unsigned *ret_most);

/* NAN means null: no data. */
struct jsonlogic_numbers {
	const double *values;
	size_t n;
};

/* Truthiness of the rule over bound numbers. No allocation for rules made of numeric and logic
 * operators. */
bool jsonlogic_test(const struct jsonlogic *logic, const struct jsonlogic_numbers *numbers);
/* The value over JSON data. New reference; NULL on no memory. Division by zero gives null. */
json_t *jsonlogic_apply(const struct jsonlogic *logic, const json_t *data);

/* Calls `fn` for each constant variable path in the rule (validation, displays). */
void jsonlogic_each_variable(const struct jsonlogic *logic,
			     void (*fn)(void *userdata, const char *path), void *userdata);

#endif
