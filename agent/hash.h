/* SPDX-License-Identifier: Apache-2.0 */
/* From a hash to pointers: open addressing, grown as needed. The caller compares the keys. */
#ifndef EBB_HASH_H
#define EBB_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hash_slot {
	uint64_t hash;
	void *value; /* NULL: free */
};

/* Zeroed is empty. */
struct hash {
	struct hash_slot *slots;
	size_t n, size;
};

uint64_t hash_u64(uint64_t key);
uint64_t hash_string(const char *key);

/* -ENOMEM. Several values may have one hash. */
int hash_add(struct hash *hash, uint64_t key_hash, void *value);
/* Does nothing when it is not in there. */
void hash_remove(struct hash *hash, uint64_t key_hash, const void *value);
/* The first value with this hash that `equal` accepts; NULL: none. */
void *hash_find(const struct hash *hash, uint64_t key_hash,
		bool (*equal)(const void *value, const void *key), const void *key);
void hash_clear(struct hash *hash);

#endif
