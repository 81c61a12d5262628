/* SPDX-License-Identifier: Apache-2.0 */
/* `_all_docs` by pages: each is asked for one more row than it shows, which begins the next. Pure.
 */
#ifndef EBB_COUCHDB_PAGE_H
#define EBB_COUCHDB_PAGE_H

#include <jansson.h>
#include <stddef.h>

#include "couchdb_feed.h"

#define COUCHDB_PAGE 500

/* "/_all_docs?...", from the id `start` on; NULL: from the first. Caller frees; NULL on no memory.
 */
char *couchdb_page_path(size_t limit, const char *start);
/* The same without the documents. */
char *couchdb_page_path_ids(size_t limit, const char *start);
/*
 * Calls `fn` for each document of the page, as a change without a sequence whose contents `fn`
 * takes over; design documents are left out. *ret_next: where the next page starts, NULL: there is
 * none; caller frees. -EBADMSG when `reply` is no such page; a negative result of `fn` ends it.
 */
int couchdb_page_read(const json_t *reply, size_t limit,
		      int (*fn)(void *userdata, struct couchdb_change *change), void *userdata,
		      char **ret_next);

#endif
