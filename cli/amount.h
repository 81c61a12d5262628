/* SPDX-License-Identifier: Apache-2.0 */
/* Amounts of resources as people write and read them. Pure. */
#ifndef EBB_CLI_AMOUNT_H
#define EBB_CLI_AMOUNT_H

#include <stdint.h>

#include "ebb/units.h"

/*
 * "150" or "1.5c" (cores) of cpu in shares; "512", "512M", "1.5G" of memory in MiB; "20" or "20M"
 * of disk in MiB/s. -EINVAL: not an amount of that resource; -ERANGE: negative or beyond reason.
 */
int amount_parse(enum ebb_resource resource, const char *text, int64_t *ret_amount);

/* "20..200", "..200", "20..": an end that is not given is -1. -EINVAL also when min > max. */
int amount_parse_range(enum ebb_resource resource, const char *text, int64_t *ret_min,
		       int64_t *ret_max);

#define AMOUNT_MAX 32
/* "180 shares", "512 MiB", "unlimited" when negative. Returns `buffer`. */
const char *amount_format(enum ebb_resource resource, int64_t amount, char buffer[AMOUNT_MAX]);
/* Seconds as "84 ms", "12 s", "3 min", "2 h", "5 d". Returns `buffer`. */
const char *duration_format(double seconds, char buffer[AMOUNT_MAX]);

#endif
