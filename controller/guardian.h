/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guardian: from a structure's samples to requests, by rules. Pure: no clock, no lock, no I/O;
 * time comes in with the sample. Called for each sample of a guarded structure as it arrives, under
 * the model's lock.
 */
#ifndef EBB_GUARDIAN_H
#define EBB_GUARDIAN_H

#include <stdbool.h>
#include <stdint.h>

#include "feed_choice.h"
#include "rule.h"
#include "structure.h"

/* Who watches a simulation: each event rule that fired, and counts. */
struct guard_observer {
	void (*fired)(void *userdata, struct structure *structure, const struct rule *rule);
	void *userdata;
};

/* The typed form of the `guardian` services document. Times in seconds. */
struct guardian_config {
	bool active;
	double window_timelapse; /* length of the window that usage is averaged over */
	double window_delay;     /* the window ends this long ago; 0 for a local feed */
	double event_timeout;    /* older events are forgotten */
	unsigned guardable;      /* 1 << resource: GUARDABLE_RESOURCES */
	unsigned guarded;        /* 1 << enum structure_subtype: STRUCTURE_GUARDED */
	enum feed_setting feed;  /* FEED, of hosts that have none of their own */
	double feed_grace;       /* FEED_GRACE: an agent silent for less is waited for */

	const struct guard_observer *observer; /* borrowed; NULL in a controller */
	bool exact; /* samples of one moment are of the same time: a simulation's */
};
#define GUARDED_PARENTS (1u << STRUCTURE_APPLICATION | 1u << STRUCTURE_USER)
/* Spec 1.3 keys over the defaults for a 100 ms feed. -EINVAL with `ret_error` for a value that
 * cannot be. */
int guardian_config_from_json(const json_t *config, struct guardian_config *ret_config,
			      char **ret_error);

/* Usage since the previous sample, in edge units. */
struct guard_sample {
	double at;      /* seconds on the host's clock, end of the interval */
	double seconds; /* length of the interval */
	double blur;    /* so much longer ago may have begun what it tells of, s; 0: none */
	unsigned valid; /* 1 << resource */
	double usage[EBB_RESOURCE_MAX];
	double throttled; /* share of the interval's CFS periods that were throttled; NAN unknown */
	/* CPU the throttling kept from running, in shares: throttled_ns / interval ns * 100 (summed
	 * over CPUs, so it may exceed 100). With the usage it tells the demand. NAN unknown */
	double held_back;
	bool of_members; /* sums: others may leave unused what one of them is held back from */
	/* Of members: what they need in all, none less than its min. */
	double need[EBB_RESOURCE_MAX];
	double pressure[EBB_RESOURCE_MAX]; /* NAN unknown */
	double wait;                       /* NAN unknown */
};

/* Per guarded structure: windows, events, the widening step; under 2 KB with CPU and memory
 * guarded. Opaque. */
struct guard_state;
struct guard_state *guard_state_new(void);
void guard_state_free(struct guard_state *state);
size_t guard_state_bytes(const struct guard_state *state);
/*
 * The limit of `resource` changed at `at` (host clock): what was measured before says nothing about
 * what follows. Forgets its window and events, of both directions; samples that began before `at`
 * are ignored for it. `grown`: keeps the widening step going; a shrink or a change from outside
 * resets it.
 */
void guard_state_limit_changed(struct guard_state *state, enum ebb_resource resource, double at,
			       bool grown);

/* It changed, but what was measured before holds for what follows: it is the sum over many, and one
 * of them has another. */
void guard_state_limit_follows(struct guard_state *state, enum ebb_resource resource,
			       int64_t limit);

/* What the amount of a request is decided on. Units of the resource; NAN: unknown. */
struct guard_measure {
	double usage;     /* mean over the window */
	double before;    /* the same without the newest sample */
	double peak;      /* highest sample: up: in the window, down: over the evidence */
	double last;      /* newest sample */
	double throttled; /* CPU: share of periods; > 0 says that usage is no demand */
	double held_back; /* CPU: see struct guard_sample, of the newest sample */
	bool of_members;  /* likewise */
	double need;      /* likewise; 0: not known */
	double growth;    /* per second */
	unsigned raises;  /* made in a row while pinned at the limit */
	int64_t undo;     /* limit that a lowering just took away; 0: none */
};

struct guard_request {
	enum ebb_resource resource;
	int64_t amount; /* never 0 */
	const struct rule *rule;
	struct guard_measure measure; /* what it was decided on */
	int64_t upper, lower, current;
	int events_up, events_down;
};

struct guard_outcome {
	struct guard_request requests[EBB_RESOURCE_MAX * 2];
	unsigned n_requests;
	unsigned events_up, events_down; /* fired by this sample */
	unsigned boundaries_changed;     /* 1 << resource: upper or lower moved */
	unsigned up_events[EBB_RESOURCE_MAX],
		down_events[EBB_RESOURCE_MAX]; /* for logs: fired now per resource */
};

/*
 * One sample of one structure. Updates usage, upper and lower in `structure` and its guard_state;
 * resources with an order in flight are measured but make no request.
 */
void guardian_evaluate(const struct guardian_config *config, const struct ruleset *rules,
		       struct structure *structure, const struct guard_sample *sample,
		       struct guard_outcome *ret_outcome);

/* Does usage stand at the limit, so that it does not tell the demand? */
bool guardian_pinned(enum ebb_resource resource, int64_t current,
		     const struct guard_measure *measure);

/* Pure: the amount a request rule asks for (spec 5.6), trimmed so that min <= current + amount <=
 * max; it never changes sign by that. 0: nothing to ask. */
int64_t guardian_amount(const struct rule *rule, const struct resource_state *resource,
			const struct guard_measure *measure);

#endif
