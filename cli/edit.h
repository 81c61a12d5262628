/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of one structure, shared by guard, unguard and set. */
#ifndef EBB_CLI_EDIT_H
#define EBB_CLI_EDIT_H

#include "cli.h"
#include "ebb/units.h"

/* GET /structure/NAME. As request_call(). */
int edit_get(const struct cli *cli, const char *name, json_t **ret_doc);
/* PUT /structure/NAME + rest, {"value": value}. Steals `value`. */
int edit_put(const struct cli *cli, const char *name, const char *rest, json_t *value);
/*
 * Sets min and max (-1: leave) in an order in which min <= max holds at each step; puts the first
 * back when the second is refused. `doc`: the structure as it is.
 */
int edit_range(const struct cli *cli, const json_t *doc, enum ebb_resource resource, int64_t min,
	       int64_t max);
/* One line about the structure as it is now: guarded or not, ranges. Reads it anew. */
int edit_report(const struct cli *cli, const char *name);

#endif
