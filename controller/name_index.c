/* SPDX-License-Identifier: Apache-2.0 */
#include "name_index.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/util.h"

#define FIRST_SLOTS 64

struct slot {
	const char *name; /* NULL: free */
	uint64_t hash;
	void *value;
};

struct name_index {
	struct slot *slots; /* open addressing, linear probing, at most three quarters full */
	size_t n_slots;     /* a power of two */
	size_t n;
	uint64_t seed; /* names come from outside: nobody shall choose their collisions */
};

static uint64_t hash_name(uint64_t seed, const char *name)
{
	uint64_t hash = seed;

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 0x100000001b3ULL;
	/* The low bits choose the slot: let the high ones speak too. */
	hash ^= hash >> 32;
	hash *= 0xd6e8feb86659fd93ULL;
	return hash ^ (hash >> 32);
}

struct name_index *name_index_new(void)
{
	struct name_index *index = calloc(1, sizeof(*index));

	if (!index)
		return NULL;
	index->slots = calloc(FIRST_SLOTS, sizeof(*index->slots));
	if (!index->slots) {
		free(index);
		return NULL;
	}
	index->n_slots = FIRST_SLOTS;
	index->seed = random_u64();
	return index;
}

void name_index_free(struct name_index *index)
{
	if (!index)
		return;
	free(index->slots);
	free(index);
}

size_t name_index_size(const struct name_index *index)
{
	return index->n;
}

/* The slot that holds `name`, or the free one where it would go. */
static size_t find_slot(const struct name_index *index, const char *name, uint64_t hash)
{
	size_t i = hash & (index->n_slots - 1);

	while (index->slots[i].name &&
	       (index->slots[i].hash != hash || strcmp(index->slots[i].name, name) != 0))
		i = (i + 1) & (index->n_slots - 1);
	return i;
}

void *name_index_get(const struct name_index *index, const char *name)
{
	return index->slots[find_slot(index, name, hash_name(index->seed, name))].value;
}

static int grow(struct name_index *index)
{
	struct slot *old = index->slots;
	size_t n_old = index->n_slots;
	struct slot *slots = calloc(n_old * 2, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	index->slots = slots;
	index->n_slots = n_old * 2;
	for (size_t i = 0; i < n_old; i++)
		if (old[i].name)
			slots[find_slot(index, old[i].name, old[i].hash)] = old[i];
	free(old);
	return 0;
}

int name_index_add(struct name_index *index, const char *name, void *value)
{
	uint64_t hash = hash_name(index->seed, name);
	size_t i = find_slot(index, name, hash);
	int r;

	if (index->slots[i].name)
		return -EEXIST;
	if ((index->n + 1) * 4 > index->n_slots * 3) {
		r = grow(index);
		if (r < 0)
			return r;
		i = find_slot(index, name, hash);
	}
	index->slots[i] = (struct slot){.name = name, .hash = hash, .value = value};
	index->n++;
	return 0;
}

void *name_index_remove(struct name_index *index, const char *name)
{
	size_t mask = index->n_slots - 1;
	size_t hole = find_slot(index, name, hash_name(index->seed, name));
	void *value = index->slots[hole].value;

	if (!index->slots[hole].name)
		return NULL;
	/* Entries that were pushed past the hole move back, so that no search ends too early. */
	for (size_t i = (hole + 1) & mask; index->slots[i].name; i = (i + 1) & mask) {
		size_t home = index->slots[i].hash & mask;

		if (((i - home) & mask) >= ((i - hole) & mask)) {
			index->slots[hole] = index->slots[i];
			hole = i;
		}
	}
	index->slots[hole] = (struct slot){};
	index->n--;
	return value;
}
