/* SPDX-License-Identifier: Apache-2.0 */
#include "series_lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "ebb/cleanup.h"

#define SLOTS_MIN 256

enum kind {
	RATE,
	LEVEL,
	SHARE,
};

static enum kind kind_of(unsigned what)
{
	switch (what) {
	case SERIES_CPU_USER:
	case SERIES_CPU_KERNEL:
	case SERIES_READS:
	case SERIES_WRITES: return RATE;
	case SERIES_RESIDENT:
	case SERIES_VIRTUAL:
	case SERIES_WORKING_SET: return LEVEL;
	default: return SHARE;
	}
}

void series_lines_reset(struct series_lines *lines)
{
	if (lines->n)
		memset(lines->slots, 0, lines->n_slots * sizeof(*lines->slots));
	lines->n = 0;
}

void series_lines_clear(struct series_lines *lines)
{
	free(lines->all);
	free(lines->slots);
	*lines = (struct series_lines){0};
}

/* Where it is, or would be. */
static uint32_t *find_slot(const struct series_lines *lines, uint64_t hash, const char *tags)
{
	for (size_t i = hash;; i++) {
		uint32_t *slot = &lines->slots[i & (lines->n_slots - 1)];

		if (!*slot || (lines->all[*slot - 1].hash == hash &&
			       !strcmp(lines->all[*slot - 1].tags, tags)))
			return slot;
	}
}

/* At least every other slot stays free. */
static int make_room(struct series_lines *lines)
{
	size_t n_slots = lines->n_slots ? 2 * lines->n_slots : SLOTS_MIN;
	struct series_line *all;
	uint32_t *slots;

	if (lines->n < lines->size)
		return 0;
	all = realloc(lines->all, n_slots / 2 * sizeof(*all));
	if (!all)
		return -ENOMEM;
	lines->all = all;
	slots = calloc(n_slots, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	free(lines->slots);
	lines->slots = slots;
	lines->n_slots = n_slots;
	lines->size = n_slots / 2;
	for (size_t i = 0; i < lines->n; i++)
		*find_slot(lines, lines->all[i].hash, lines->all[i].tags) = (uint32_t)(i + 1);
	return 0;
}

static void combine(struct series_values *into, const struct series_values *values)
{
	for (unsigned i = 0; i < SERIES_VALUE_MAX; i++) {
		if (!(values->valid & (1U << i)))
			continue;
		if (!(into->valid & (1U << i)))
			into->value[i] = values->value[i];
		else if (kind_of(i) == SHARE)
			into->value[i] = MAX(into->value[i], values->value[i]);
		else
			into->value[i] += values->value[i];
		into->valid |= 1U << i;
	}
}

int series_lines_add(struct series_lines *lines, const char *tags,
		     const struct series_values *values, bool gone)
{
	uint64_t hash = hash_string(tags);
	struct series_line *line;
	uint32_t *slot;
	int r = make_room(lines);

	if (r < 0)
		return r;
	slot = find_slot(lines, hash, tags);
	if (!*slot) {
		lines->all[lines->n] = (struct series_line){.tags = tags, .hash = hash};
		*slot = (uint32_t)++lines->n;
	}
	line = &lines->all[*slot - 1];
	combine(gone ? &line->gone : &line->living, values);
	return 0;
}

struct series_values series_line_values(const struct series_line *line)
{
	struct series_values values = line->living, gone = line->gone;

	for (unsigned i = 0; i < SERIES_VALUE_MAX; i++)
		if (kind_of(i) != RATE && (values.valid & (1U << i)))
			gone.valid &= ~(1U << i);
	combine(&values, &gone);
	return values;
}
