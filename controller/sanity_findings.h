/* SPDX-License-Identifier: Apache-2.0 */
/* What one epoch of the Sanity Checker has found. No lock of its own. */
#ifndef EBB_SANITY_FINDINGS_H
#define EBB_SANITY_FINDINGS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "sanity.h"

/* Counted are all, kept so many. */
#define SANITY_FINDINGS_MAX 1000

struct sanity_findings;
/* NULL: no memory. */
struct sanity_findings *sanity_findings_new(void);
void sanity_findings_free(struct sanity_findings *findings);

/*
 * One for each check, structure and resource, the first: `structure` may be NULL, or the name of a
 * rule; `resource` NULL for all. `repaired`: an order that puts it right was given.
 */
void sanity_findings_add(struct sanity_findings *findings, enum sanity_check check,
			 const char *structure, const char *resource, bool repaired,
			 const char *format, ...) __attribute__((format(printf, 6, 7)));
/* What was found `before` already is as old as it was then; the rest began `now`. */
void sanity_findings_date(struct sanity_findings *findings, const struct sanity_findings *before,
			  double now);
size_t sanity_findings_count(const struct sanity_findings *findings, enum sanity_check check);
/* As sanity_findings() of sanity.h tells them. New reference. */
json_t *sanity_findings_to_json(const struct sanity_findings *findings);
/* Calls `fn` for each that was not found `before`. */
void sanity_findings_each_new(const struct sanity_findings *findings, double now,
			      void (*fn)(const char *message));

#endif
