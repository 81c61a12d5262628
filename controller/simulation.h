/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decisions without a cluster: the controller's own guardian, scaler and rebalancer on virtual
 * time, over a scenario (docs/simulate.md). Orders are done at once, in full. The same scenario
 * gives the same lines: nothing of this machine, its clock or its environment is in them.
 */
#ifndef EBB_SIMULATION_H
#define EBB_SIMULATION_H

#include <jansson.h>

struct simulation;

/*
 * Checks the whole scenario before anything is done. -EINVAL with `ret_error` (caller frees) that
 * names the member and what is expected.
 */
int simulation_new(const json_t *scenario, struct simulation **ret_simulation, char **ret_error);
void simulation_free(struct simulation *simulation);

/* One line of the output, in order of time; borrowed. */
typedef void (*simulation_line_fn)(void *userdata, const json_t *line);
/* Once. -ENOMEM. */
int simulation_run(struct simulation *simulation, simulation_line_fn line, void *userdata);

#endif
