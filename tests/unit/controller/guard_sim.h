/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container under the guardian, in simulated time: threads that want CPU, CFS bandwidth control
 * with its 100 ms period out of step with the samples, memory as a level, and orders that take
 * time. What is counted when (a throttled period at its end, throttled time when it ends, a refill
 * by a write of the quota) is the kernel's way.
 */
#ifndef EBB_GUARD_SIM_H
#define EBB_GUARD_SIM_H

#include "boundaries.h"
#include "ebb/cleanup.h"
#include "guarded_resource.h"
#include "guardian.h"
#include "test.h"

#define SIM_CPUS 8

struct sim {
	struct guardian_config config;
	struct ruleset *rules;
	struct structure structure;

	/* At a millisecond: how many threads want to run (a fraction: for that share of it), or
	 * with `arrives` how many may; the work that arrives, in core-ms. */
	double (*threads)(struct sim *sim, long ms);
	double (*arrives)(struct sim *sim, long ms);
	double (*memory)(struct sim *sim, long ms); /* MiB wanted; NULL: memory is not guarded */
	bool no_bandwidth;                          /* the host does not tell throttling */
	long sample_ms, phase_ms, order_ms;
	bool trace;

	long ms;
	double backlog, left; /* work waiting; quota left, core-ms */
	bool throttled;
	double pending_held;
	double used, held;                  /* counters, core-ms */
	unsigned long periods, n_throttled; /* counters */
	double sample_used, sample_held;
	unsigned long sample_periods, sample_throttled;
	int64_t order[EBB_RESOURCE_MAX];
	long order_at[EBB_RESOURCE_MAX]; /* 0: none */

	/* Since sim_reset_counts(). */
	double sum_used, sum_allocated; /* core-ms */
	double sum_lost;                /* core-ms that runnable threads were throttled */
	unsigned changes, raises, lowerings, out_of_memory;
	long first_request_ms, last_change_ms;
	int64_t lowest, highest;
	double sum_mem_used, sum_mem_limit;
};

static inline void sim_reset_counts(struct sim *sim)
{
	sim->sum_used = sim->sum_allocated = sim->sum_lost = 0;
	sim->sum_mem_used = sim->sum_mem_limit = 0;
	sim->changes = sim->raises = sim->lowerings = sim->out_of_memory = 0;
	sim->first_request_ms = sim->last_change_ms = -1;
	sim->lowest = INT64_MAX;
	sim->highest = -1;
}

static inline void sim_free(void *arg)
{
	struct sim *sim = arg;

	ruleset_free(sim->rules);
	guard_state_free(sim->structure.guard_state);
	sim->rules = NULL;
	sim->structure.guard_state = NULL;
}

/* Of a simulation that is zero or was one before. */
static inline void sim_start(struct sim *sim)
{
	_cleanup_json_ json_t *docs = rules_default();

	sim_free(sim);
	*sim = (struct sim){
		.sample_ms = 100,
		.phase_ms = 37,
		.order_ms = 15,
		.trace = getenv("EBB_TEST_TRACE") != NULL,
	};
	CHECK_INT(guardian_config_from_json(NULL, &sim->config, NULL), 0);
	CHECK_INT(ruleset_new(docs, &sim->rules), 0);
	sim->structure.guard = true;
	sim->structure.guard_state = guard_state_new();
	sim->structure.resources[EBB_CPU] = guarded(400, 20, 20);
	sim->structure.resources[EBB_MEM] = guarded(16384, 256, 64);
	sim_reset_counts(sim);
}

/* `sim` is released when the test ends, so it is static in the test. */
static inline void sim_init(struct sim *sim)
{
	memset(sim, 0, sizeof(*sim));
	test_at_end(sim_free, sim);
	sim_start(sim);
}

static inline void sim_unthrottle(struct sim *sim)
{
	sim->throttled = false;
	sim->held += sim->pending_held;
	sim->pending_held = 0;
}

static inline void sim_apply(struct sim *sim, enum ebb_resource resource)
{
	struct resource_state *state = &sim->structure.resources[resource];
	int64_t before = state->current;

	state->current = sim->order[resource];
	sim->order_at[resource] = 0;
	sim->structure.in_flight &= ~(1u << resource);
	guard_state_limit_changed(sim->structure.guard_state, resource, (double)sim->ms / 1000,
				  state->current > before);
	sim->changes++;
	if (state->current > before)
		sim->raises++;
	else
		sim->lowerings++;
	sim->last_change_ms = sim->ms;
	if (resource == EBB_CPU) {
		sim->left = (double)state->current;
		sim_unthrottle(sim);
	}
	CHECK(state->current >= state->min && state->current <= state->max);
}

static inline void sim_run_cpu(struct sim *sim)
{
	double limit = (double)sim->structure.resources[EBB_CPU].current;
	double runnable = sim->threads ? sim->threads(sim, sim->ms) : 0, run;

	if (sim->arrives) {
		sim->backlog += sim->arrives(sim, sim->ms);
		runnable = MIN(runnable, sim->backlog);
	}
	runnable = MIN(runnable, SIM_CPUS);
	if (sim->ms % 100 == 0) {
		sim->periods++;
		sim->n_throttled += sim->throttled;
		sim_unthrottle(sim);
		sim->left = limit;
	}
	if (runnable > 0 && sim->left <= 0)
		sim->throttled = true;
	run = sim->throttled ? 0 : MIN(runnable, sim->left);
	if (sim->throttled) {
		sim->pending_held += ceil(runnable);
		sim->sum_lost += runnable;
	}
	sim->left -= run;
	sim->used += run;
	if (sim->arrives)
		sim->backlog -= run;
	sim->sum_used += run;
	sim->sum_allocated += limit / 100;
}

static inline void sim_sample(struct sim *sim)
{
	struct guard_sample sample = {
		.at = (double)sim->ms / 1000,
		.seconds = (double)sim->sample_ms / 1000,
		.valid = 1 << EBB_CPU | (sim->memory ? 1 << EBB_MEM : 0),
		.throttled = NAN,
		.held_back = NAN,
		.wait = NAN,
	};
	struct guard_outcome outcome;
	unsigned long periods = sim->periods - sim->sample_periods;

	for (int r = 0; r < EBB_RESOURCE_MAX; r++)
		sample.pressure[r] = NAN;
	sample.usage[EBB_CPU] = (sim->used - sim->sample_used) * 100 / (double)sim->sample_ms;
	if (!sim->no_bandwidth) {
		sample.throttled = periods ? (double)(sim->n_throttled - sim->sample_throttled) /
						     (double)periods
					   : 0;
		sample.held_back =
			(sim->held - sim->sample_held) * 100 / (double)MAX(sim->sample_ms, 100);
	}
	if (sim->memory)
		sample.usage[EBB_MEM] = MIN(sim->memory(sim, sim->ms),
					    (double)sim->structure.resources[EBB_MEM].current);
	sim->sample_used = sim->used;
	sim->sample_held = sim->held;
	sim->sample_periods = sim->periods;
	sim->sample_throttled = sim->n_throttled;

	guardian_evaluate(&sim->config, sim->rules, &sim->structure, &sample, &outcome);
	if (sim->trace)
		printf("# %6ld ms cpu %6.1f of %4lld thr %4.2f held %6.1f mem %7.1f of %5lld up %u down %u",
		       sim->ms, sample.usage[EBB_CPU],
		       (long long)sim->structure.resources[EBB_CPU].current, sample.throttled,
		       sample.held_back, sample.usage[EBB_MEM],
		       (long long)sim->structure.resources[EBB_MEM].current, outcome.events_up,
		       outcome.events_down);
	for (unsigned i = 0; i < outcome.n_requests; i++) {
		const struct guard_request *request = &outcome.requests[i];
		const struct resource_state *state = &sim->structure.resources[request->resource];

		CHECK(request->amount != 0);
		CHECK(!(sim->structure.in_flight & 1u << request->resource));
		if (sim->trace)
			printf(" %s %+lld (%s)", ebb_resource_name(request->resource),
			       (long long)request->amount, request->rule->name);
		if (sim->first_request_ms < 0)
			sim->first_request_ms = sim->ms;
		sim->order[request->resource] = state->current + request->amount;
		sim->order_at[request->resource] = sim->ms + sim->order_ms;
		sim->structure.in_flight |= 1u << request->resource;
	}
	if (sim->trace)
		printf("\n");
}

static inline void sim_run(struct sim *sim, long ms)
{
	for (long end = sim->ms + ms; sim->ms < end;) {
		int64_t limit;

		sim_run_cpu(sim);
		sim->ms++;
		if (sim->memory) {
			double wanted = sim->memory(sim, sim->ms);
			double mem_limit = (double)sim->structure.resources[EBB_MEM].current;

			sim->out_of_memory += wanted > mem_limit;
			sim->sum_mem_used += wanted;
			sim->sum_mem_limit += mem_limit;
		}
		for (int r = 0; r < EBB_RESOURCE_MAX; r++)
			if (sim->order_at[r] && sim->order_at[r] <= sim->ms)
				sim_apply(sim, r);
		if (sim->ms % sim->sample_ms == sim->phase_ms % sim->sample_ms)
			sim_sample(sim);
		limit = sim->structure.resources[EBB_CPU].current;
		sim->lowest = MIN(sim->lowest, limit);
		sim->highest = MAX(sim->highest, limit);
	}
}

static inline double sim_slack(const struct sim *sim)
{
	return 1 - sim->sum_used / sim->sum_allocated;
}

#endif
