// SPDX-License-Identifier: Apache-2.0
#include "amount_heap.h"

#include <stdbool.h>

static bool before(const struct amount_of *a, const struct amount_of *b)
{
	return a->amount != b->amount ? a->amount > b->amount : a->owner < b->owner;
}

void amount_heap_push(struct amount_heap *heap, int64_t amount, size_t owner)
{
	struct amount_of item = {amount, owner};
	size_t at = heap->n++;

	while (at > 0 && before(&item, &heap->items[(at - 1) / 2])) {
		heap->items[at] = heap->items[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	heap->items[at] = item;
}

struct amount_of amount_heap_pop(struct amount_heap *heap)
{
	struct amount_of first = heap->items[0], last = heap->items[--heap->n];
	size_t at = 0;

	for (;;) {
		size_t down = 2 * at + 1;

		if (down >= heap->n)
			break;
		if (down + 1 < heap->n && before(&heap->items[down + 1], &heap->items[down]))
			down++;
		if (!before(&heap->items[down], &last))
			break;
		heap->items[at] = heap->items[down];
		at = down;
	}
	heap->items[at] = last;
	return first;
}
