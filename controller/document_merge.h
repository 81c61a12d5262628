/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of a document that we and somebody else changed at the same time: a merge of three,
 * field by field, from the version both began with. Pure.
 *
 * Ours are the fields that the controller makes: `current`, `usage`, `allocated`, `held`, `upper`,
 * `lower`, `heartbeat`, `heartbeat_human`, `core_usage_mapping`; a host's `free` is additive: what
 * we took or gave back is taken from, or added to, what stands there, until the controller works
 * `free` out again and writes that. Everything else is
 * configuration: a change that only one side made stays; where both changed the same field, theirs
 * does. Lists are taken whole, but of `containers` and `clusters` what each side added and removed
 * counts.
 */
#ifndef EBB_DOCUMENT_MERGE_H
#define EBB_DOCUMENT_MERGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "store.h"

/*
 * Do they say the same? The order of members does not matter, and 1 is 1.0: a document that went
 * through a JavaScript server comes back so. NULL is only like NULL.
 */
bool document_same(const json_t *a, const json_t *b);

/*
 * `base` NULL: not known; then what is configuration counts as changed by them, and what only one
 * side has as added by it. New reference, which shares nothing with the three; NULL on no memory.
 * *ret_theirs: something of theirs is in it that `ours` has not. *ret_lost (may be NULL): path of
 * the first field that both changed and that we gave up ("resources.cpu.max"), or NULL; caller
 * frees.
 */
json_t *document_merge(enum store_db db, const json_t *base, const json_t *ours,
		       const json_t *theirs, bool *ret_theirs, char **ret_lost);

/*
 * A number for the configuration in a document: the same for what document_same() takes for the
 * same, whatever is ours in it, and another one, but for an accident, when anything else changed.
 * Every controller works out the same, before and after a restart.
 */
uint64_t document_version(enum store_db db, const json_t *doc);

#endif
