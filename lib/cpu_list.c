/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"
#include "ebb/util.h"

#define CPU_ID_MAX 65535

static int parse_id(const char **text, unsigned *ret_id)
{
	const char *p = *text;
	unsigned id = 0;

	if (*p < '0' || *p > '9')
		return -EINVAL;
	for (; *p >= '0' && *p <= '9'; p++) {
		id = id * 10 + (unsigned)(*p - '0');
		if (id > CPU_ID_MAX)
			return -EINVAL;
	}
	*text = p;
	*ret_id = id;
	return 0;
}

int cpu_list_parse(const char *text, struct cpu_list *ret_list)
{
	_cleanup_free_ unsigned *cpus = NULL;
	unsigned char seen[(CPU_ID_MAX + 1) / 8] = {0};
	size_t n = 0, room = 0;

	while (*text) {
		unsigned first, last;

		if (parse_id(&text, &first) < 0)
			return -EINVAL;
		last = first;
		if (*text == '-') {
			text++;
			if (parse_id(&text, &last) < 0 || last < first)
				return -EINVAL;
		}
		if (*text == ',' && text[1])
			text++;
		else if (*text)
			return -EINVAL;

		size_t need = n + last - first + 1;
		if (need > room) {
			room = MAX(need, room * 2);
			unsigned *grown = reallocarray(cpus, room, sizeof(*cpus));
			if (!grown)
				return -ENOMEM;
			cpus = grown;
		}
		for (unsigned cpu = first; cpu <= last; cpu++) {
			if (seen[cpu / 8] & 1 << cpu % 8)
				return -EINVAL;
			seen[cpu / 8] |= 1 << cpu % 8;
			cpus[n++] = cpu;
		}
	}
	ret_list->cpus = TAKE_PTR(cpus);
	ret_list->n = n;
	return 0;
}

char *cpu_list_format(const struct cpu_list *list)
{
	/* "65535," is six characters. */
	size_t size = list->n * 11 + 1, at = 0;
	char *text = malloc(size);

	if (!text)
		return NULL;
	text[0] = '\0';
	for (size_t i = 0; i < list->n; i++)
		at += snprintf(text + at, size - at, i ? ",%u" : "%u", list->cpus[i]);
	return text;
}

static int by_id(const void *a, const void *b)
{
	unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

	return (x > y) - (x < y);
}

char *cpu_list_format_ranges(const struct cpu_list *list)
{
	_cleanup_free_ unsigned *ids = calloc(list->n + 1, sizeof(*ids));
	size_t size = list->n * 11 + 1, at = 0;
	char *text = malloc(size);

	if (!ids || !text) {
		free(text);
		return NULL;
	}
	text[0] = '\0';
	if (list->n)
		memcpy(ids, list->cpus, list->n * sizeof(*ids));
	qsort(ids, list->n, sizeof(*ids), by_id);
	for (size_t i = 0, end; i < list->n; i = end) {
		for (end = i + 1; end < list->n && ids[end] == ids[end - 1] + 1;)
			end++;
		at += snprintf(text + at, size - at, i ? ",%u" : "%u", ids[i]);
		if (end - i > 1)
			at += snprintf(text + at, size - at, "-%u", ids[end - 1]);
	}
	return text;
}

void cpu_list_clear(struct cpu_list *list)
{
	free(list->cpus);
	*list = (struct cpu_list){0};
}

bool cpu_list_contains(const struct cpu_list *list, unsigned cpu)
{
	for (size_t i = 0; i < list->n; i++)
		if (list->cpus[i] == cpu)
			return true;
	return false;
}
