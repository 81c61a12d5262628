/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <sys/random.h>
#include <time.h>

#include "ebb/util.h"

uint64_t random_u64(void)
{
	uint64_t value;

	/* Up to 256 bytes come whole. It fails only before the pool is ready or under a filter that
	 * forbids it; what is left then is good enough for jitter and session names. */
	if (getrandom(&value, sizeof(value), 0) != sizeof(value)) {
		struct timespec ts;
		clock_gettime(CLOCK_REALTIME, &ts);
		value = ((uint64_t)ts.tv_sec << 32 ^ (uint64_t)ts.tv_nsec) * 0x9e3779b97f4a7c15ULL;
		value ^= value >> 29;
	}
	return value;
}
