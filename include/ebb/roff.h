/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of manual pages that are made of what the programs know about themselves: man(7). */
#ifndef EBB_ROFF_H
#define EBB_ROFF_H

#include <stdio.h>

/* As it is, on a line that has begun: nothing in it is taken for a request or an escape. */
void roff_text(FILE *out, const char *text);
/* A paragraph with a tag: `name` in bold, `value` (may be NULL) in italics right behind it. */
void roff_tag(FILE *out, const char *name, const char *value);
/* Filled text: a capital at its begin, a full stop at its end, each sentence on a line of its own.
 */
void roff_sentence(FILE *out, const char *text);
/* Lines as they stand. */
void roff_lines(FILE *out, const char *text);

#endif
