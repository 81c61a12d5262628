/* SPDX-License-Identifier: Apache-2.0 */
#include "amount.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ebb/cleanup.h"
#include "ebb/util.h"

/* As the controller: a million cores or a PiB is a slip of the hand. */
#define AMOUNT_LIMIT (1LL << 30)

/* The factor of a unit to the resource's own; 0: not a unit of it. */
static double unit_factor(enum ebb_resource resource, const char *unit)
{
	static const struct {
		const char *name;
		double mib;
	} sizes[] = {{"k", 1.0 / 1024},    {"kib", 1.0 / 1024},   {"m", 1},
		     {"mib", 1},           {"g", 1024},           {"gib", 1024},
		     {"t", 1024.0 * 1024}, {"tib", 1024.0 * 1024}};

	if (!*unit)
		return 1;
	switch (resource) {
	case EBB_CPU:
		return !strcasecmp(unit, "c") || !strcasecmp(unit, "core") ||
				       !strcasecmp(unit, "cores")
			       ? EBB_SHARES_PER_CORE
			       : 0;
	case EBB_MEM:
	case EBB_DISK_READ:
	case EBB_DISK_WRITE:
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
			if (!strcasecmp(unit, sizes[i].name))
				return sizes[i].mib;
		return 0;
	default: return 0;
	}
}

int amount_parse(enum ebb_resource resource, const char *text, int64_t *ret_amount)
{
	size_t digits = strspn(text, "0123456789.");
	char number[32];
	double value, factor;
	int r;

	if (text[0] == '-')
		return -ERANGE;
	if (!digits || digits >= sizeof(number))
		return -EINVAL;
	memcpy(number, text, digits);
	number[digits] = '\0';
	r = parse_double(number, &value);
	if (r < 0)
		return r;
	factor = unit_factor(resource, text + digits);
	if (factor == 0)
		return -EINVAL;
	value = round(value * factor);
	if (value > AMOUNT_LIMIT)
		return -ERANGE;
	*ret_amount = (int64_t)value;
	return 0;
}

int amount_parse_range(enum ebb_resource resource, const char *text, int64_t *ret_min,
		       int64_t *ret_max)
{
	const char *dots = strstr(text, "..");
	_cleanup_free_ char *low = NULL;
	int64_t min = -1, max = -1;
	int r;

	if (!dots || (dots == text && !dots[2]))
		return -EINVAL;
	low = strndup(text, dots - text);
	if (!low)
		return -ENOMEM;
	if (*low) {
		r = amount_parse(resource, low, &min);
		if (r < 0)
			return r;
	}
	if (dots[2]) {
		r = amount_parse(resource, dots + 2, &max);
		if (r < 0)
			return r;
	}
	if (min >= 0 && max >= 0 && min > max)
		return -EINVAL;
	*ret_min = min;
	*ret_max = max;
	return 0;
}

const char *amount_format(enum ebb_resource resource, int64_t amount, char buffer[AMOUNT_MAX])
{
	if (amount < 0)
		snprintf(buffer, AMOUNT_MAX, "unlimited");
	else
		snprintf(buffer, AMOUNT_MAX, "%lld %s", (long long)amount,
			 ebb_resource_unit(resource));
	return buffer;
}

const char *duration_format(double seconds, char buffer[AMOUNT_MAX])
{
	if (!isfinite(seconds) || seconds < 0)
		snprintf(buffer, AMOUNT_MAX, "?");
	else if (seconds < 0.9995)
		snprintf(buffer, AMOUNT_MAX, "%.0f ms", seconds * 1e3);
	else if (seconds < 10)
		snprintf(buffer, AMOUNT_MAX, "%.1f s", seconds);
	else if (seconds < 120)
		snprintf(buffer, AMOUNT_MAX, "%.0f s", seconds);
	else if (seconds < 7200)
		snprintf(buffer, AMOUNT_MAX, "%.0f min", seconds / 60);
	else if (seconds < 2 * 86400)
		snprintf(buffer, AMOUNT_MAX, "%.0f h", seconds / 3600);
	else
		snprintf(buffer, AMOUNT_MAX, "%.0f d", seconds / 86400);
	return buffer;
}
