/* SPDX-License-Identifier: Apache-2.0 */
/* The lease as a document of `services`, which the tools of a site show beside the others. Pure. */
#ifndef EBB_LEASE_DOCUMENT_H
#define EBB_LEASE_DOCUMENT_H

#include <jansson.h>

#include "lease.h"

/* -EINVAL when that is none of ours: then nothing is known about who leads. */
int lease_document_parse(const json_t *json, struct lease_doc *ret_doc);
/*
 * The document to be written over doc->rev. `before` (NULL: none) gives the fields that are not
 * ours. `now`: wall clock, s. New reference; NULL on no memory.
 */
json_t *lease_document_build(const struct lease_doc *doc, const json_t *before, double now);

#endif
