/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Structures evaluated per second on one core, as CPU time, with the default rules and CPU and
 * memory guarded. 10,000 structures in turn, so that their state is not all in the first caches.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "ebb/cleanup.h"
#include "ebb/units.h"
#include "guardian.h"
#include "unit/controller/guarded_resource.h"

#define STRUCTURES 10000
#define ROUNDS     100

enum load { STEADY, UNDERUSED, CHANGING };

static double cpu_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double usage_share(enum load load, int structure, int round)
{
	switch (load) {
	case STEADY: return 0.86;
	case UNDERUSED: return 0.3;
	case CHANGING: break;
	}
	/* Two seconds low, two high, each at its own time. */
	return (structure + round) / 20 % 2 ? 0.99 : 0.3;
}

/* Requests are granted at once when `apply`: limits, windows and events change as they do in use.
 */
static void measure(const char *name, enum load load, bool apply)
{
	_cleanup_json_ json_t *docs = rules_default();
	struct structure *structures = calloc(STRUCTURES, sizeof(*structures));
	struct guardian_config config;
	struct ruleset *rules;
	unsigned long requests = 0, events = 0;
	size_t bytes = 0;
	double started = 0, spent;

	if (!structures || guardian_config_from_json(NULL, &config, NULL) < 0 ||
	    ruleset_new(docs, &rules) < 0)
		exit(1);
	for (int i = 0; i < STRUCTURES; i++) {
		structures[i].guard = true;
		structures[i].guard_state = guard_state_new();
		structures[i].resources[EBB_CPU] = guarded(400, 200, 20);
		structures[i].resources[EBB_MEM] = guarded(8192, 4096, 64);
	}

	/* The first ten rounds allocate and fill the windows. */
	for (int round = -10; round < ROUNDS; round++) {
		if (round == 0)
			started = cpu_seconds();
		for (int i = 0; i < STRUCTURES; i++) {
			struct structure *s = &structures[i];
			double share = usage_share(load, i, round);
			struct guard_sample sample = {
				.at = 100 + round * 0.1,
				.seconds = 0.1,
				.valid = 1 << EBB_CPU | 1 << EBB_MEM,
				.usage = {[EBB_CPU] = share * (double)s->resources[EBB_CPU].current,
					  [EBB_MEM] =
						  share * (double)s->resources[EBB_MEM].current},
			};
			struct guard_outcome outcome;

			guardian_evaluate(&config, rules, s, &sample, &outcome);
			requests += outcome.n_requests;
			events += outcome.events_up + outcome.events_down;
			for (unsigned k = 0; k < outcome.n_requests && apply; k++) {
				const struct guard_request *request = &outcome.requests[k];

				s->resources[request->resource].current += request->amount;
				guard_state_limit_changed(s->guard_state, request->resource,
							  sample.at, request->amount > 0);
			}
		}
	}
	spent = cpu_seconds() - started;

	for (int i = 0; i < STRUCTURES; i++) {
		bytes = guard_state_bytes(structures[i].guard_state);
		guard_state_free(structures[i].guard_state);
	}
	free(structures);
	ruleset_free(rules);
	printf("%-34s %11.0f %8.0f %8.2f %9.3f %7zu\n", name, STRUCTURES * (double)ROUNDS / spent,
	       spent * 1e9 / (STRUCTURES * (double)ROUNDS),
	       (double)events / ((ROUNDS + 10) * (double)STRUCTURES),
	       (double)requests / ((ROUNDS + 10) * (double)STRUCTURES), bytes);
}

int main(void)
{
	printf("%-34s %11s %8s %8s %9s %7s\n", "guardian, cpu and mem guarded", "per second", "ns",
	       "events", "requests", "bytes");
	measure("usage within the boundaries", STEADY, false);
	measure("below, nothing granted", UNDERUSED, false);
	measure("2 s high, 2 s low, all granted", CHANGING, true);
	return 0;
}
