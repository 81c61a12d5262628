/* SPDX-License-Identifier: Apache-2.0 */
/* The leaves of the lease document that lost, as a read with `conflicts=true` names them. */
#ifndef EBB_LEASE_LEAVES_H
#define EBB_LEASE_LEAVES_H

#include <jansson.h>
#include <stdint.h>

#include "couchdb.h"

/* So many at a time; the next read names the rest. */
#define LEASE_LEAVES_MAX 8

/* Raises *term to the highest that one of them has. As couchdb_call(). */
int lease_leaves_term(struct couchdb *couch, const json_t *document, unsigned timeout_ms,
		      uint64_t *term);
/* One that is gone meanwhile is no failure. As couchdb_call(). */
int lease_leaves_delete(struct couchdb *couch, const json_t *document, unsigned timeout_ms);

#endif
