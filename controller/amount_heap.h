/* SPDX-License-Identifier: Apache-2.0 */
/* A heap of amounts that somebody owns: the largest comes first, of equal ones that of the lowest
 * owner. Its memory is the caller's. Pure. */
#ifndef EBB_AMOUNT_HEAP_H
#define EBB_AMOUNT_HEAP_H

#include <stddef.h>
#include <stdint.h>

struct amount_of {
	int64_t amount;
	size_t owner;
};

struct amount_heap {
	struct amount_of *items; /* room for all that are pushed at a time */
	size_t n;
};

void amount_heap_push(struct amount_heap *heap, int64_t amount, size_t owner);
/* The heap is not empty. */
struct amount_of amount_heap_pop(struct amount_heap *heap);

#endif
