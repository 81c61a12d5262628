/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A copy of a plain struct without the words that are zero: what has names and reasons in arrays
 * that are as long as the longest is mostly that. Pure.
 */
#ifndef EBB_PACKED_H
#define EBB_PACKED_H

#include <stddef.h>

/* Of a struct of so many bytes at most. */
#define PACKED_MAX 4096

struct packed;
/* To be freed with free(). NULL: no memory. */
struct packed *packed_new(const void *data, size_t size);
/* Into one of the very same size. */
void packed_get(const struct packed *packed, void *data, size_t size);
/* That the copy takes. */
size_t packed_bytes(const struct packed *packed);

#endif
