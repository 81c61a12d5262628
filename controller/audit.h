/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit: for every limit change (tried, refused or done) what was measured, which rule asked,
 * what was planned, what happened and how long each step took. A bounded ring in memory, and JSON
 * lines in a file next to the state, rotated at 64 MiB. Own lock, held for memory operations only.
 */
#ifndef EBB_AUDIT_H
#define EBB_AUDIT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "grounds.h"
#include "ebb/units.h"

struct decision {
	uint64_t id;
	double at; /* wall clock, s */
	char structure[256];
	char host[256];
	enum ebb_resource resource;
	char origin[64]; /* "guardian", "api", "rebalancer" */
	char rule[64];   /* "" when no rule */
	/* what is changed */
	uint64_t operation; /* all changes of one have its number; 0: a change by itself */
	char subtype[16];   /* of the structure: "container", "application", "user" */
	char field[8];      /* "current" or "max" */
	char pair[256];     /* whom it swaps with; "": nobody */
	/* inputs */
	double usage, peak, throttled;
	int64_t current, upper, lower, min, max;
	int events_up, events_down;
	/* request and plan */
	int64_t requested; /* amount */
	int64_t planned;   /* new limit; -1: none */
	char cpus[256];
	/* result */
	char outcome[24]; /* "applied", "partial", "refused", "failed", "expired",
			     "superseded", "rolled back" */
	char reason[256];
	int64_t applied; /* the limit read back; -1: none */
	char steps[256]; /* how memory came down, by the agent's words; "" for all else */
	/* milliseconds since the sample was taken; NAN: did not happen */
	double received_ms, evaluated_ms, sent_ms, applied_ms;
	struct grounds grounds; /* the same once more, exactly */
};

/* Nothing asked, planned or measured yet: times and usages NAN, limits -1. */
void decision_init(struct decision *decision);
/* Members named as in the struct, resource by name; null for NAN, for -1 of current, upper, lower,
 * planned and applied, and for an operation of 0. New reference. */
json_t *decision_to_json(const struct decision *decision);
/* The way back; what is missing stays as decision_init() leaves it. -EINVAL: no decision. */
int decision_from_json(const json_t *json, struct decision *ret_decision);

struct audit;
/* `path` NULL: memory only. Reads the end of an existing file back in. */
int audit_new(const char *path, size_t capacity, struct audit **ret_audit);
void audit_free(struct audit *audit);
/* Copies; sets id. Never blocks on I/O: a thread of its own writes the file. */
void audit_add(struct audit *audit, const struct decision *decision);
/* Tells each decision as it is added, in the thread that adds it. Before the first one. */
void audit_observe(struct audit *audit,
		   void (*added)(void *userdata, const struct decision *decision), void *userdata);
/* Newest first, at most `limit`; `structure` NULL: all. New reference (array). */
json_t *audit_query(struct audit *audit, const char *structure, size_t limit);

/* The number of the next operation, above all that are on record. */
uint64_t audit_next_operation(struct audit *audit);

struct audit_filter {
	const char *structure, *origin, *outcome; /* NULL: any */
	enum ebb_resource resource;               /* EBB_RESOURCE_INVALID: any */
};
struct audit_page {
	struct audit_filter filter;
	uint64_t before; /* only those with a lower id; 0: from the newest on */
	size_t limit;
};
/*
 * Newest first. *ret_total (may be NULL): how many the filter lets through in all; *ret_more (may
 * be NULL): there are some beyond the page, known only with ret_total. New reference (array).
 */
json_t *audit_query_page(struct audit *audit, const struct audit_page *page, size_t *ret_total,
			 bool *ret_more);

struct audit_stats {
	unsigned long total, applied, failed, dropped; /* since the start */
	double reaction_ms_p50, reaction_ms_p95,
		reaction_ms_p99; /* sample to applied, last 1,024 */
};
void audit_get_stats(struct audit *audit, struct audit_stats *ret_stats);

#endif
