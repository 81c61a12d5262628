// SPDX-License-Identifier: Apache-2.0
#include "split.h"

#include <math.h>

/* Some milliseconds. More are a terabyte of memory, where nobody cares for 5 MiB. */
#define SLICES_MAX 65536

int64_t split_slice(enum ebb_resource resource)
{
	return resource == EBB_ENERGY ? 1 : 5;
}

/* How much more it can get (growth) or give. */
static int64_t room_of(const struct split_child *child, bool growth)
{
	int64_t v = child->value + child->assigned, room;

	if (growth)
		return __builtin_sub_overflow(child->most, v, &room) ? INT64_MAX : room;
	return v - child->least;
}

static void rank(struct split_child *child, bool growth)
{
	int64_t v = child->value + child->assigned;
	double usage = child->usage;

	if (isnan(usage))
		usage = growth ? 0 : (double)child->value;
	if (child->stopped) {
		child->tier = 4;
		child->key = (double)v;
	} else if (v < child->least) {
		child->tier = 1;
		child->key = (double)v / (double)child->least;
	} else if ((double)v < usage) {
		child->tier = 2;
		child->key = (double)(v - child->least);
	} else {
		child->tier = 3;
		child->key = (double)v - usage;
	}
}

/* Is child `a` served before child `b`? */
static bool before(const struct split_child *children, size_t a, size_t b, bool growth)
{
	const struct split_child *x = &children[a], *y = &children[b];

	if (x->tier != y->tier)
		return growth == (x->tier < y->tier);
	if (x->key < y->key)
		return growth;
	if (x->key > y->key)
		return !growth;
	return a < b;
}

/* The heap: children[place].heap is the index of the child at that place. */
static void sift_down(struct split_child *children, size_t n_heap, size_t place, bool growth)
{
	size_t index = children[place].heap;

	for (;;) {
		size_t down = 2 * place + 1;

		if (down >= n_heap)
			break;
		if (down + 1 < n_heap &&
		    before(children, children[down + 1].heap, children[down].heap, growth))
			down++;
		if (!before(children, children[down].heap, index, growth))
			break;
		children[place].heap = children[down].heap;
		place = down;
	}
	children[place].heap = index;
}

int64_t split_amount(struct split_child *children, size_t n, int64_t amount, int64_t slice)
{
	bool growth = amount > 0;
	/* -amount: at most 2^53 in a document, but this is also for those that do not say so. */
	int64_t left = growth ? amount : amount == INT64_MIN ? INT64_MAX : -amount;
	int64_t unsplit = growth ? 0 : amount + left;
	size_t n_heap = 0;

	if (slice < 1)
		slice = 1;
	if (left / slice > SLICES_MAX)
		slice *= (left / slice + SLICES_MAX - 1) / SLICES_MAX;

	for (size_t i = 0; i < n; i++) {
		children[i].assigned = 0;
		if (room_of(&children[i], growth) <= 0)
			continue;
		rank(&children[i], growth);
		children[n_heap++].heap = i;
	}
	for (size_t place = n_heap / 2; place-- > 0;)
		sift_down(children, n_heap, place, growth);

	/* What is left of the present slice when one had not room for all of it. */
	int64_t rest = 0;

	while (left > 0 && n_heap > 0) {
		struct split_child *child = &children[children[0].heap];
		int64_t room = room_of(child, growth), step = rest > 0 ? rest : slice;

		if (step > left)
			step = left;
		rest = step;
		if (step > room)
			step = room;
		rest -= step;
		left -= step;
		child->assigned += growth ? step : -step;
		if (step == room)
			children[0].heap = children[--n_heap].heap;
		else
			rank(child, growth);
		if (n_heap > 0)
			sift_down(children, n_heap, 0, growth);
	}
	return unsplit + (growth ? left : -left);
}
