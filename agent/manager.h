/* SPDX-License-Identifier: Apache-2.0 */
/* The agent as a whole: starts the parts in their order, owns them, and runs them in one loop. */
#ifndef EBB_MANAGER_H
#define EBB_MANAGER_H

#include "options.h"

struct manager;

/* Everything started, listening and sampling; each failure has its log line. `options` is borrowed,
 * and changed by SIGHUP. */
int manager_new(struct agent_options *options, struct manager **ret_manager);
/* Until SIGTERM or SIGINT. SIGHUP has files and options read again. */
int manager_run(struct manager *manager);
/* Pins and lock file go, limits stay as they are. */
void manager_free(struct manager *manager);

#endif
