/* SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/units.h"
#include "tsdb_refused.h"

#define MINUTE (60 * EBB_NS_PER_SEC)
/* A reminder of the names, as long as points are refused for them. */
#define REMIND (30 * MINUTE)
/* The log cuts a line at 2,048 bytes. */
#define NAMES_TEXT 1400

void tsdb_refused_clear(struct tsdb_refused *refused)
{
	for (unsigned i = 0; i < refused->n_names; i++)
		free(refused->names[i].name);
	*refused = (struct tsdb_refused){.address = refused->address};
}

void tsdb_refused_point(struct tsdb_refused *refused, const char *point, int len, const char *error)
{
	/* What stands before a colon or quote is the same for all points of one kind. */
	size_t n = MIN(strcspn(error, "[\"({:"), sizeof(refused->reasons[0].text) - 1), i;

	if (refused->told < TSDB_REFUSED_LINES) {
		refused->told++;
		log_warning("OpenTSDB %s refuses a point: %s: %.*s", refused->address, error, len,
			    point);
		return;
	}
	refused->untold++;
	for (i = 0; i < TSDB_REFUSED_REASONS - 1 && *refused->reasons[i].text; i++)
		if (!strncmp(refused->reasons[i].text, error, n) && !refused->reasons[i].text[n])
			break;
	if (!*refused->reasons[i].text)
		snprintf(refused->reasons[i].text, sizeof(refused->reasons[i].text), "%.*s",
			 i < TSDB_REFUSED_REASONS - 1 && n ? (int)n : 5,
			 i < TSDB_REFUSED_REASONS - 1 && n ? error : "other");
	refused->reasons[i].n++;
}

void tsdb_refused_metric(struct tsdb_refused *refused, const char *metric)
{
	for (unsigned i = 0; i < refused->n_names; i++)
		if (!strcmp(refused->names[i].name, metric)) {
			refused->names[i].again = refused->again = true;
			return;
		}
	if (refused->n_names == TSDB_REFUSED_NAMES)
		return;
	char *copy = strdup(metric);
	if (!copy)
		return;
	refused->names[refused->n_names].name = copy;
	refused->names[refused->n_names++].again = true;
	refused->n_new++;
}

static void tell_names(struct tsdb_refused *refused, uint64_t now)
{
	char names[NAMES_TEXT];
	size_t at = 0;

	for (unsigned i = 0; i < refused->n_names; i++) {
		int n = snprintf(names + at, sizeof(names) - at, "%s%s", i ? " " : "",
				 refused->names[i].name);
		if ((size_t)n >= sizeof(names) - at) {
			snprintf(names + MIN(at, sizeof(names) - 5), 5, " ...");
			break;
		}
		at += n;
	}
	log_warning("OpenTSDB %s does not know %u metrics and refuses their points: run "
		    "`ebb-agent --assign-metrics`, or there: tsdb mkmetric %s",
		    refused->address, refused->n_names, names);
	refused->n_new = 0;
	refused->again = false;
	refused->names_told_ns = now;
}

static void forget_names(struct tsdb_refused *refused, uint64_t now)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < refused->n_names; i++) {
		if (refused->names[i].again)
			refused->names[i].last_ns = now;
		refused->names[i].again = false;
		if (now - refused->names[i].last_ns < REMIND)
			refused->names[kept++] = refused->names[i];
		else
			free(refused->names[i].name);
	}
	refused->n_names = kept;
}

static void tell_reasons(struct tsdb_refused *refused)
{
	char text[TSDB_REFUSED_REASONS * 96];
	size_t at = 0;

	for (int i = 0; i < TSDB_REFUSED_REASONS && refused->reasons[i].n; i++)
		at += snprintf(text + at, sizeof(text) - at, "%s%lu %s", i ? ", " : "",
			       refused->reasons[i].n, refused->reasons[i].text);
	log_warning("OpenTSDB %s refused %lu more points in the last minute: %s", refused->address,
		    refused->untold, text);
}

void tsdb_refused_tell(struct tsdb_refused *refused, uint64_t now)
{
	uint64_t silent = refused->names_told_ns ? now - refused->names_told_ns : UINT64_MAX;

	forget_names(refused, now);
	if ((refused->n_new && silent >= MINUTE) || (refused->again && silent >= REMIND))
		tell_names(refused, now);
	if (!refused->told)
		return;
	if (!refused->since_ns) {
		refused->since_ns = now;
		return;
	}
	if (now - refused->since_ns < MINUTE)
		return;
	if (refused->untold)
		tell_reasons(refused);
	refused->since_ns = 0;
	refused->told = 0;
	refused->untold = 0;
	memset(refused->reasons, 0, sizeof(refused->reasons));
}
