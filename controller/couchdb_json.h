/* SPDX-License-Identifier: Apache-2.0 */
/* JSON as CouchDB has it: it keeps numbers and characters that we have no type for. Pure. */
#ifndef EBB_COUCHDB_JSON_H
#define EBB_COUCHDB_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * An object or array; NULL with `ret_error`. Integers beyond 64 bits become the nearest double, and
 * only they; text may have a \u0000 in it. What stays unreadable: numbers beyond a double, a \u0000
 * in a member's name, and what is nested more than 2048 deep.
 */
json_t *couchdb_json_load(const char *text, size_t len, json_error_t *ret_error);
/* What json_dumps() made of such a value. NULL for NULL, and for what is no object or array. */
json_t *couchdb_json_reload(const char *text);
/* Does it begin as an object or array does? */
bool couchdb_json_like(const char *text, size_t len);

#endif
