/* SPDX-License-Identifier: Apache-2.0 */
/* A decision (GET /decision/) in sentences. Pure but for the time zone. */
#ifndef EBB_CLI_EXPLAIN_H
#define EBB_CLI_EXPLAIN_H

#include <jansson.h>
#include <stdbool.h>

/* A headline and indented lines, each ended by a newline. Caller frees; NULL on no memory. */
char *explain_decision(const json_t *decision, bool color);

#endif
