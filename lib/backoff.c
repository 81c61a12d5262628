/* SPDX-License-Identifier: Apache-2.0 */
#include "ebb/cleanup.h"
#include "ebb/util.h"

unsigned backoff_ms(unsigned attempt, unsigned base, unsigned cap)
{
	uint64_t delay = attempt < 32 ? (uint64_t)base << attempt : cap;

	delay = MIN(delay, cap);
	/* 75% to 125%, so that hosts that lost the controller together do not return together. */
	uint64_t spread = delay / 2;
	return (unsigned)MIN(delay - delay / 4 + random_u64() % (spread + 1), UINT32_MAX);
}
