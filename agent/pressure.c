/* SPDX-License-Identifier: Apache-2.0 */
#include "pressure.h"

#include <errno.h>
#include <string.h>

#include "ebb/util.h"
#include "limits.h"

static int total_of(const char *text, const char *kind, uint64_t *ret_us)
{
	size_t len = strlen(kind);

	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		char number[24] = "";

		line += *line == '\n';
		if (strncmp(line, kind, len) || line[len] != ' ')
			continue;
		const char *total = strstr(line, " total="), *end = line + strcspn(line, "\n");
		if (!total || total > end)
			return -EINVAL;
		total += strlen(" total=");
		size_t digits = strcspn(total, " \n");
		if (digits >= sizeof(number))
			return -EINVAL;
		memcpy(number, total, digits);
		return parse_u64(number, ret_us);
	}
	return -ENOENT;
}

int pressure_parse_totals(const char *text, struct pressure *ret_pressure)
{
	struct pressure pressure = {0};

	int r = total_of(text, "some", &pressure.some_us);
	if (r < 0)
		return -EINVAL;
	r = total_of(text, "full", &pressure.full_us);
	if (r < 0 && r != -ENOENT)
		return r;
	*ret_pressure = pressure;
	return 0;
}

int pressure_read(int dir_fd, const char *file, struct pressure *ret_pressure)
{
	char text[512];

	ssize_t n = cgroup_read(dir_fd, file, text, sizeof(text));
	return n < 0 ? (int)n : pressure_parse_totals(text, ret_pressure);
}
