/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One harness is one file tests/fuzz/PART/fuzz_NAME.c with this function. `make check` runs it over
 * tests/fuzz/corpus/NAME and over random changes of those inputs (replay.c); `make fuzz` lets
 * libFuzzer look for new ones.
 */
#ifndef EBB_FUZZ_H
#define EBB_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Fails loudly, so that both runners see it. */
#define FUZZ_CHECK(cond)                                                           \
	do {                                                                       \
		if (!(cond)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
			abort();                                                   \
		}                                                                  \
	} while (0)

/* The input as a string in a block of exactly its size. Caller frees. */
static inline char *fuzz_string(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (!text)
		abort();
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	return text;
}

#endif
