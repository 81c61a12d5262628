/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reflex: how much more a container gets at once, between two decisions of the controller. It
 * only ever grows. Pure.
 */
#ifndef EBB_REFLEX_H
#define EBB_REFLEX_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "limits.h"
#include "ebb/sample.h"
#include "ebb/units.h"

/* What can grow: the index of its arrays. */
enum reflex_resource { REFLEX_CPU, REFLEX_MEM, REFLEX_MAX };

enum ebb_resource reflex_resource(enum reflex_resource resource);

/* What the controller has leased: edge units, shares and MiB. */
struct reflex_lease {
	bool present;
	uint64_t number;            /* of the host's accounts that it was made from */
	uint64_t term;              /* the highest heard of when it came */
	uint64_t until_ns;          /* CLOCK_MONOTONIC */
	int64_t pool[REFLEX_MAX];   /* what may be spent on all containers together */
	char cpus[LIMIT_CPUS_TEXT]; /* CPUs with shares to spare, in the order in which they are
				       handed out: "2,3,1"; "": cpusets are left alone */
};

/*
 * From an answer of the feed, which was asked at `asked_ns`: the lease's time counts from there, so
 * that it ends here before it does at the controller. -EINVAL: it is none.
 */
int reflex_lease_parse(const json_t *json, uint64_t asked_ns, uint64_t term,
		       struct reflex_lease *ret_lease);
/* `term`: the highest heard of now. A lease of one that led before is void. */
bool reflex_lease_holds(const struct reflex_lease *lease, uint64_t term, uint64_t now_ns);

/* What the controller is to hear of the growths of one limit: those not settled yet are one. */
struct reflex_report {
	bool pending;
	int64_t base; /* the limit before all growths since the last order for it */
	int64_t from, to;
	uint64_t at_ns, seen_ns; /* at_ns 0: what is in force is not by a growth */
	const char *why;
	int64_t sent_to;
	uint64_t sent_ns; /* number of the growth that was sent last; 0: none */
};
/*
 * The controller has settled what it was sent of growths up to the number `at_ns`, which may be
 * another container's. True: this is no longer pending.
 */
bool reflex_report_settled(struct reflex_report *report, uint64_t at_ns);

/* Of one container and resource, from look to look. */
struct reflex_state {
	uint64_t seen_ns;   /* since when it is short; 0: it is not */
	uint64_t raised_ns; /* 0: never */
	unsigned raises;    /* without relief in between */
	/* CPU */
	bool counted;
	uint32_t nr_throttled;
	/* Memory */
	uint64_t at_ns, used, oom_kills;
	double rate; /* bytes per second */
};

/*
 * What it lacks, in edge units; 0: nothing. `throttled`: at this moment. A quota that holds it back
 * is raised by half, then, while it still does, by all of it, then by twice of it, as usage tells
 * nothing of what is wanted.
 */
int64_t reflex_cpu_wants(struct reflex_state *state, const struct ebb_sample *look, bool throttled);
/*
 * Memory grows before the limit is met: when at the present rate it would be before the look after
 * the next, 50 ms for a busy host included; or when hardly any is left; or when it has cost a
 * process. By what comes in half a second, at least a quarter of the limit.
 */
int64_t reflex_mem_wants(struct reflex_state *state, const struct ebb_sample *look);
/* It was raised, or something else made what was measured void. */
void reflex_raised(struct reflex_state *state, uint64_t now_ns);

/* Within the ceiling and what the lease has left; 0: nothing. Edge units. */
int64_t reflex_grant(int64_t wanted, int64_t limit, int64_t ceiling, int64_t pool);

/*
 * The CPUs for a quota of `shares`: `present` and, of `spare`, as many as are lacking, into
 * `ret_cpus`. Returns the shares that can be used on them; "" in `ret_cpus`: no more CPUs than
 * before.
 */
int64_t reflex_cpus(const char *present, unsigned n_present, const char *spare, int64_t shares,
		    char ret_cpus[LIMIT_CPUS_TEXT]);

#endif
