/* SPDX-License-Identifier: Apache-2.0 */
#include "hash.h"

#include <errno.h>
#include <stdlib.h>

/* The finisher of splitmix64: every input bit reaches every output bit. */
uint64_t hash_u64(uint64_t key)
{
	key += 0x9e3779b97f4a7c15ULL;
	key = (key ^ key >> 30) * 0xbf58476d1ce4e5b9ULL;
	key = (key ^ key >> 27) * 0x94d049bb133111ebULL;
	return key ^ key >> 31;
}

/* FNV-1a, then mixed: linear probing wants good low bits. */
uint64_t hash_string(const char *key)
{
	uint64_t h = 0xcbf29ce484222325ULL;
	for (; *key; key++)
		h = (h ^ (unsigned char)*key) * 0x100000001b3ULL;
	return hash_u64(h);
}

static void insert(struct hash_slot *slots, size_t size, uint64_t key_hash, void *value)
{
	size_t i = key_hash & (size - 1);
	while (slots[i].value)
		i = (i + 1) & (size - 1);
	slots[i] = (struct hash_slot){key_hash, value};
}

int hash_add(struct hash *hash, uint64_t key_hash, void *value)
{
	if (2 * (hash->n + 1) > hash->size) {
		size_t size = hash->size ? 2 * hash->size : 64;
		struct hash_slot *slots = calloc(size, sizeof(*slots));
		if (!slots)
			return -ENOMEM;
		for (size_t i = 0; i < hash->size; i++) {
			if (hash->slots[i].value)
				insert(slots, size, hash->slots[i].hash, hash->slots[i].value);
		}
		free(hash->slots);
		hash->slots = slots;
		hash->size = size;
	}
	insert(hash->slots, hash->size, key_hash, value);
	hash->n++;
	return 0;
}

void hash_remove(struct hash *hash, uint64_t key_hash, const void *value)
{
	if (hash->size == 0)
		return;

	size_t mask = hash->size - 1, i = key_hash & mask;
	while (hash->slots[i].value && hash->slots[i].value != value)
		i = (i + 1) & mask;
	if (!hash->slots[i].value)
		return;

	/* Close the gap: whoever probed past slot i moves back, so that no tombstones pile up. */
	for (size_t next = (i + 1) & mask; hash->slots[next].value; next = (next + 1) & mask) {
		size_t home = hash->slots[next].hash & mask;
		if (((next - home) & mask) >= ((next - i) & mask)) {
			hash->slots[i] = hash->slots[next];
			i = next;
		}
	}
	hash->slots[i].value = NULL;
	hash->n--;
}

void *hash_find(const struct hash *hash, uint64_t key_hash,
		bool (*equal)(const void *value, const void *key), const void *key)
{
	if (hash->size == 0)
		return NULL;

	size_t mask = hash->size - 1;
	for (size_t i = key_hash & mask; hash->slots[i].value; i = (i + 1) & mask) {
		if (hash->slots[i].hash == key_hash && equal(hash->slots[i].value, key))
			return hash->slots[i].value;
	}
	return NULL;
}

void hash_clear(struct hash *hash)
{
	free(hash->slots);
	*hash = (struct hash){0};
}
