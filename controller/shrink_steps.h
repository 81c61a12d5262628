/* SPDX-License-Identifier: Apache-2.0 */
/* How an agent brought memory down, from its answer to one line for the audit. Pure. */
#ifndef EBB_SHRINK_STEPS_H
#define EBB_SHRINK_STEPS_H

#include <jansson.h>
#include <stddef.h>

/*
 * `resources`: an agent's answer, whose mem.steps are [{"rung","mib","ms","times","why"},...].
 * "reclaim 96 MiB in 3 steps, 34 ms; limit 80 MiB, 0 ms"; "" without steps. Whole steps, as many as
 * fit, and what makes no sense is left out: the answer comes from another machine.
 */
void shrink_steps_text(const json_t *resources, char *buffer, size_t size);

#endif
