/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules: the documents of spec 2.8 compiled into a set. A ruleset is immutable; a changed document
 * makes a new one.
 */
#ifndef EBB_RULE_H
#define EBB_RULE_H

#include <jansson.h>
#include <stdbool.h>

#include "jsonlogic.h"
#include "ebb/units.h"

enum rule_generates { RULE_EVENTS, RULE_REQUESTS, RULE_NOTHING /* the rebalancer's */ };

enum rescale_policy {
	RESCALE_AMOUNT,
	RESCALE_PROPORTIONAL,
	RESCALE_FIT_TO_USAGE,
	/*
	 * Ebb's own, for a feed of 100 ms. Up: fits the usage while that says what is wanted; while
	 * it is pinned at the limit grows by at least `amount`, more with each raise, until it no
	 * longer is (DESIGN 4.14). Down: fits the highest usage over the evidence, at most a
	 * halving per second; `amount` is the least head-room to leave. See amount.c.
	 */
	RESCALE_DEMAND,
	/* Accepted over the API as the original does; such a rule makes no requests. */
	RESCALE_MODELLING,
	RESCALE_FIXED_RATIO,
	RESCALE_POLICY_MAX,
};

/* "amount", …; RESCALE_POLICY_MAX for any other name. */
const char *rescale_policy_name(enum rescale_policy policy);
enum rescale_policy rescale_policy_from_name(const char *name);

/* Variables a rule can read about one resource of a structure; see rule_variable_index(). */
enum rule_variable {
	/* RESOURCE.structure.RESOURCE.* */
	VAR_USAGE,
	VAR_CURRENT,
	VAR_MAX,
	VAR_MIN,
	/* RESOURCE.limits.RESOURCE.* */
	VAR_UPPER,
	VAR_LOWER,
	VAR_BOUNDARY,
	/* RESOURCE.structure.RESOURCE.*, beyond the original: */
	VAR_THROTTLED, /* share of CFS periods throttled in the window, 0..1 */
	VAR_PEAK,      /* highest sample in the window */
	VAR_PRESSURE,  /* PSI some, share of time; null where not offered */
	VAR_WAIT,      /* run-queue delay, share of time; null where not offered */
	VAR_GROWTH,    /* change of usage per second, over the window; null before two samples */
	RULE_VARIABLES_PER_RESOURCE,
};
#define RULE_VARIABLES (EBB_RESOURCE_MAX * RULE_VARIABLES_PER_RESOURCE)

/* Indices for request rules: events.scale.up, events.scale.down. */
enum { VAR_EVENTS_UP, VAR_EVENTS_DOWN, RULE_EVENT_VARIABLES };

struct rule {
	char *name;
	enum ebb_resource resource;
	bool active;
	enum rule_generates generates;
	struct jsonlogic *logic;
	int events_up, events_down; /* RULE_EVENTS: how many it counts for */
	enum rescale_policy policy; /* RULE_REQUESTS */
	int rescale_up;             /* 1 up, -1 down */
	double amount;
	int events_to_remove;
};

/* Where the active rules of one resource are: events [first, requests), requests [requests, end).
 */
struct rule_range {
	size_t first, requests, end;
};

struct ruleset {
	struct rule
		*rules; /* sorted by resource and kind, else in the order given; inactive last */
	size_t n;
	struct rule_range ranges[EBB_RESOURCE_MAX];
	unsigned resources; /* 1 << resource that some active rule is about */
};

/* Index of "cpu.structure.cpu.usage" etc. into RULE_VARIABLES numbers; negative: unknown.
 * jsonlogic_bind_fn. */
int rule_variable_index(void *unused, const char *path);
/* "events.scale.up". jsonlogic_bind_fn. */
int rule_event_variable_index(void *unused, const char *path);

/* One document. -EINVAL with `ret_error` (caller frees) that names the field and what is allowed.
 */
int rule_from_json(const json_t *doc, struct rule *ret_rule, char **ret_error);
void rule_clear(struct rule *rule);

/* A bad document is skipped with a warning, the others work. `docs`: array, or object by name. */
int ruleset_new(const json_t *docs, struct ruleset **ret_ruleset);
/* The same under a lock: warnings go to `note`, since writing a log is I/O. */
int ruleset_new_noting(const json_t *docs, void (*note)(void *userdata, const char *text),
		       void *userdata, struct ruleset **ret_ruleset);
void ruleset_free(struct ruleset *ruleset);

/* Array of documents for a first start, for a 100 ms feed: cpu, mem, disk_read, disk_write, and the
 * original's inactive ones. New reference. */
json_t *rules_default(void);

/* The changes of spec 3.2 on a rule document, in place. -EINVAL with `ret_error`; the document is
 * untouched then. */
int rule_set_amount(json_t *doc, double amount, char **ret_error);
int rule_set_policy(json_t *doc, const char *policy, char **ret_error);
/* Changes events_to_remove only when `type` is the direction that the rule consumes. */
int rule_set_events_required(json_t *doc, const char *type, int value, char **ret_error);

#endif
