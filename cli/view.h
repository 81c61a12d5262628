/* SPDX-License-Identifier: Apache-2.0 */
/* Structures and decisions as the controller's documents tell them, for display. Pure. */
#ifndef EBB_CLI_VIEW_H
#define EBB_CLI_VIEW_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ebb/units.h"

struct resource_view {
	bool present, guard;
	int64_t max, min, current, upper, lower; /* -1: not known */
	double usage;                            /* NAN: not known */
};

/* Of its host; one that stands by does not know. */
enum connection { CONNECTION_UNKNOWN, CONNECTION_AWAY, CONNECTION_UP };

struct structure_view {
	const char *name, *host; /* the document's */
	bool guard, manual;      /* manual: unguarded because another hand sets its limits */
	enum connection connection;
	double throttled; /* share of periods, NAN: not known */
	struct resource_view resources[EBB_RESOURCE_MAX];
	const json_t *labels;   /* what its engine says; NULL: nothing */
	const json_t *decision; /* the newest one; NULL: none */
};

/* Reads one document of GET /structure/?live; missing members read as not known. */
void view_read(const json_t *doc, struct structure_view *ret_view);

/*
 * All of `docs` whose names match one of `globs` (NULL-terminated; empty: all), most CPU first.
 * `decisions` (newest first, may be NULL) fill `decision`. The documents must outlive the views;
 * caller frees the array. -ENOMEM.
 */
int views_read(const json_t *docs, const json_t *decisions, char *const *globs,
	       struct structure_view **ret_views, size_t *ret_n);

/* A decision in few words: "cpu 150>180", "mem 512 refused". */
void decision_brief(const json_t *decision, char *text, size_t size);

/*
 * A bar `width` columns wide that stands for 0..max: filled up to usage, a mark at the limit.
 * Text of at most 3 * width + 1 bytes.
 */
void view_bar(const struct resource_view *view, unsigned width, bool utf8, char *text);

/* JSON numbers and nothing else; `fallback` for the rest. */
double json_get_real(const json_t *object, const char *key, double fallback);
int64_t json_get_integer(const json_t *object, const char *key, int64_t fallback);
/* "" when absent. */
const char *json_get_text(const json_t *object, const char *key);

#endif
