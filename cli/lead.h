/* SPDX-License-Identifier: Apache-2.0 */
/* Which of several controllers is asked: the one that leads, for only it knows what is measured. */
#ifndef EBB_CLI_LEAD_H
#define EBB_CLI_LEAD_H

#include "cli.h"

/*
 * Sets `cli->controller` to the first of `cli->controllers` (separated by commas) that answers and
 * leads, or else to the one that leads according to one that stands by. When neither is to be had
 * it is the one that stands by, and `cli->standby_note` says so in one line (NULL otherwise); when
 * none answers, the first. The token goes along with none of these questions. -ENOMEM.
 */
int lead_choose(struct cli *cli);

/* Pure: does the controller that gave this heartbeat stand by? */
bool lead_stands_by(const json_t *heartbeat);

/* Pure: may a controller at that address be asked because another one names it? As for Location. */
bool lead_is_address(const char *address);

#endif
