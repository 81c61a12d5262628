/* SPDX-License-Identifier: Apache-2.0 */
/* Sorted blocks of some hundred entries, themselves in a sorted array: with 100,000 names a change
 * moves some kilobytes. */
#include "name_order.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"

#define BLOCK_ENTRIES 256

struct entry {
	const char *name;
	void *value;
};

struct block {
	size_t n; /* never 0 */
	struct entry entries[BLOCK_ENTRIES];
};

struct name_order {
	struct block **blocks;
	size_t n_blocks, allocated, n;
};

struct name_order *name_order_new(void)
{
	return calloc(1, sizeof(struct name_order));
}

void name_order_free(struct name_order *order)
{
	if (!order)
		return;
	for (size_t i = 0; i < order->n_blocks; i++)
		free(order->blocks[i]);
	free(order->blocks);
	free(order);
}

size_t name_order_size(const struct name_order *order)
{
	return order->n;
}

/* The block where `name` is, or belongs: the last that does not begin after it. */
static size_t find_block(const struct name_order *order, const char *name)
{
	size_t low = 0, high = order->n_blocks;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(order->blocks[middle]->entries[0].name, name) <= 0)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* The first entry that is not before `name`. */
static size_t find_entry(const struct block *block, const char *name)
{
	size_t low = 0, high = block->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(block->entries[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Room for a block at `i`. */
static int insert_block(struct name_order *order, size_t i)
{
	struct block *block = calloc(1, sizeof(*block));

	if (block && order->n_blocks == order->allocated) {
		size_t allocated = MAX(order->allocated * 2, (size_t)8);
		struct block **blocks =
			reallocarray(order->blocks, allocated, sizeof(*order->blocks));

		if (!blocks) {
			free(block);
			return -ENOMEM;
		}
		order->blocks = blocks;
		order->allocated = allocated;
	}
	if (!block)
		return -ENOMEM;
	memmove(order->blocks + i + 1, order->blocks + i,
		(order->n_blocks - i) * sizeof(*order->blocks));
	order->blocks[i] = block;
	order->n_blocks++;
	return 0;
}

static void remove_block(struct name_order *order, size_t i)
{
	free(order->blocks[i]);
	order->n_blocks--;
	memmove(order->blocks + i, order->blocks + i + 1,
		(order->n_blocks - i) * sizeof(*order->blocks));
}

static int split_block(struct name_order *order, size_t i)
{
	struct block *full, *rest;
	int r;

	r = insert_block(order, i + 1);
	if (r < 0)
		return r;
	full = order->blocks[i];
	rest = order->blocks[i + 1];
	rest->n = full->n / 2;
	full->n -= rest->n;
	memcpy(rest->entries, full->entries + full->n, rest->n * sizeof(*rest->entries));
	return 0;
}

int name_order_add(struct name_order *order, const char *name, void *value)
{
	size_t i = find_block(order, name), k;
	struct block *block;
	int r = 0;

	if (!order->n_blocks)
		r = insert_block(order, 0);
	if (r < 0)
		return r;
	block = order->blocks[i];
	k = find_entry(block, name);
	if (k < block->n && strcmp(block->entries[k].name, name) == 0)
		return -EEXIST;
	if (block->n == BLOCK_ENTRIES) {
		r = split_block(order, i);
		if (r < 0)
			return r;
		if (k > block->n) {
			k -= block->n;
			block = order->blocks[i + 1];
		}
	}
	memmove(block->entries + k + 1, block->entries + k,
		(block->n - k) * sizeof(*block->entries));
	block->entries[k] = (struct entry){name, value};
	block->n++;
	order->n++;
	return 0;
}

/* So that what is left of many names does not fill a block each. */
static void join_blocks(struct name_order *order, size_t i)
{
	struct block *first, *second;

	if (i + 1 >= order->n_blocks)
		return;
	first = order->blocks[i];
	second = order->blocks[i + 1];
	if (first->n + second->n > BLOCK_ENTRIES / 2)
		return;
	memcpy(first->entries + first->n, second->entries, second->n * sizeof(*second->entries));
	first->n += second->n;
	remove_block(order, i + 1);
}

void *name_order_remove(struct name_order *order, const char *name)
{
	size_t i = find_block(order, name), k;
	struct block *block;
	void *value;

	if (!order->n_blocks)
		return NULL;
	block = order->blocks[i];
	k = find_entry(block, name);
	if (k == block->n || strcmp(block->entries[k].name, name) != 0)
		return NULL;
	value = block->entries[k].value;
	block->n--;
	memmove(block->entries + k, block->entries + k + 1,
		(block->n - k) * sizeof(*block->entries));
	order->n--;
	if (!block->n) {
		remove_block(order, i);
	} else {
		join_blocks(order, i);
		if (i > 0)
			join_blocks(order, i - 1);
	}
	return value;
}

size_t name_order_after(const struct name_order *order, const char *after, void **ret_values,
			size_t n)
{
	size_t i = after ? find_block(order, after) : 0, k = 0, got = 0;

	if (after && i < order->n_blocks) {
		k = find_entry(order->blocks[i], after);
		k += k < order->blocks[i]->n &&
		     strcmp(order->blocks[i]->entries[k].name, after) == 0;
	}
	for (; i < order->n_blocks && got < n; i++, k = 0)
		for (; k < order->blocks[i]->n && got < n; k++)
			ret_values[got++] = order->blocks[i]->entries[k].value;
	return got;
}
