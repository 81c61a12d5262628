/* SPDX-License-Identifier: Apache-2.0 */
#include "packed.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"

#define WORD     sizeof(uint64_t)
#define MASK_MAX (PACKED_MAX / WORD / 64)

struct packed {
	uint32_t n_masks, n_words;
	uint64_t words[]; /* masks of the words that are there, then those */
};

struct packed *packed_new(const void *data, size_t size)
{
	size_t n = (size + WORD - 1) / WORD, n_masks = (n + 63) / 64, n_words = 0;
	uint64_t masks[MASK_MAX] = {0}, words[PACKED_MAX / WORD];
	struct packed *packed;

	assert(size <= PACKED_MAX);
	for (size_t i = 0; i < n; i++) {
		uint64_t word = 0;

		memcpy(&word, (const char *)data + i * WORD, MIN(WORD, size - i * WORD));
		if (!word)
			continue;
		masks[i / 64] |= UINT64_C(1) << i % 64;
		words[n_words++] = word;
	}
	packed = malloc(sizeof(*packed) + (n_masks + n_words) * WORD);
	if (!packed)
		return NULL;
	packed->n_masks = (uint32_t)n_masks;
	packed->n_words = (uint32_t)n_words;
	memcpy(packed->words, masks, n_masks * WORD);
	memcpy(packed->words + n_masks, words, n_words * WORD);
	return packed;
}

void packed_get(const struct packed *packed, void *data, size_t size)
{
	const uint64_t *word = packed->words + packed->n_masks;

	memset(data, 0, size);
	for (size_t m = 0; m < packed->n_masks; m++)
		for (uint64_t mask = packed->words[m]; mask; mask &= mask - 1) {
			size_t at = (m * 64 + (size_t)__builtin_ctzll(mask)) * WORD;

			memcpy((char *)data + at, word++, MIN(WORD, size - at));
		}
}

size_t packed_bytes(const struct packed *packed)
{
	return sizeof(*packed) + ((size_t)packed->n_masks + packed->n_words) * WORD;
}
