/* SPDX-License-Identifier: Apache-2.0 */
/* Decisions on record, worked out again. */
#ifndef EBB_CLI_REPLAY_H
#define EBB_CLI_REPLAY_H

#include "cli.h"

/* `from`: a controller's file of decisions, "-", or the URL of a controller. Prints each difference
 * and a summary; an exit status: EXIT_FAILED when something came out differently. */
int replay_audit(struct cli *cli, const char *from);

#endif
