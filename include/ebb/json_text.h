/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON as text, byte for byte what json_dumps() writes with the same flags, in a fraction of the
 * time: documents that are written for every change are most of what the controller does.
 */
#ifndef EBB_JSON_TEXT_H
#define EBB_JSON_TEXT_H

#include <jansson.h>

/*
 * Always compact, of any value. `flags`: JSON_REAL_PRECISION(n) or 0. *ret_len (may be NULL)
 * without the end. Caller frees. NULL: no memory, or what cannot be JSON (also an object that holds
 * itself).
 */
char *json_text(const json_t *json, size_t flags, size_t *ret_len);

#endif
