/* SPDX-License-Identifier: Apache-2.0 */
/* Are two JSON values the same to an operator? Pure. */
#ifndef EBB_CLI_LAYOUT_EQUAL_H
#define EBB_CLI_LAYOUT_EQUAL_H

#include <jansson.h>
#include <stdbool.h>

/* As JSON has it, but 1 is 1.0. NULL equals only NULL. */
bool layout_equal(const json_t *a, const json_t *b);
/* Also "10" and 10, "true" and true: the services take either. */
bool layout_means_the_same(const json_t *a, const json_t *b);
/* For messages: text without quotes, the rest as JSON, cut when it is long. Caller frees; NULL on
 * no memory. */
char *layout_value_text(const json_t *value);

#endif
