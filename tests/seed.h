/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/util.h"

/*
 * What a random test begins with, told on stderr: `fixed`, so that a check that passes passes for
 * everybody. EBB_TEST_SEED=N has it do what it did when it told that number, EBB_TEST_SEED=random
 * something else each time: for those who look for faults.
 */
static inline uint64_t test_seed(uint64_t fixed)
{
	const char *given = getenv("EBB_TEST_SEED");
	uint64_t seed = fixed;

	if (given && !strcmp(given, "random"))
		seed = random_u64() >> 32;
	else if (given)
		seed = strtoull(given, NULL, 0);
	fprintf(stderr, "seed %" PRIu64 " (EBB_TEST_SEED)\n", seed);
	return seed;
}
