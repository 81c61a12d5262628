/* SPDX-License-Identifier: Apache-2.0 */
#include "shrink_steps.h"

#include <stdio.h>
#include <string.h>

/* Those that the agent sends are short words. */
#define RUNG_MAX 16
#define WHY_MAX  64

static int step_text(const json_t *step, char *buffer, size_t size)
{
	const char *rung = json_string_value(json_object_get(step, "rung"));
	const char *why = json_string_value(json_object_get(step, "why"));
	const json_t *mib = json_object_get(step, "mib"), *ms = json_object_get(step, "ms");
	json_int_t times = json_integer_value(json_object_get(step, "times"));
	char amount[32] = "unlimited", steps[32] = "";

	if (!rung || strlen(rung) > RUNG_MAX || !json_is_number(mib) || !json_is_number(ms))
		return -1;
	if (json_number_value(mib) >= 0)
		snprintf(amount, sizeof(amount), "%.0f MiB", json_number_value(mib));
	if (times > 1)
		snprintf(steps, sizeof(steps), " in %lld steps", (long long)times);
	return snprintf(buffer, size, "%s %s%s, %.0f ms%s%.*s", rung, amount, steps,
			json_number_value(ms), why ? ": " : "", WHY_MAX, why ? why : "");
}

void shrink_steps_text(const json_t *resources, char *buffer, size_t size)
{
	const json_t *steps = json_object_get(json_object_get(resources, "mem"), "steps");
	char one[256];
	size_t i, len = 0;
	json_t *step;

	buffer[0] = '\0';
	json_array_foreach(steps, i, step) {
		int n = step_text(step, one, sizeof(one));

		if (n < 0 || (size_t)n >= sizeof(one))
			continue;
		if (len + (size_t)n + 3 > size)
			return;
		len += (size_t)snprintf(buffer + len, size - len, "%s%s", len ? "; " : "", one);
	}
}
