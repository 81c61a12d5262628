/* SPDX-License-Identifier: Apache-2.0 */
/* The whole controller: owns every part, starts them in order and stops them in the other. */
#ifndef EBB_CONTROLLER_H
#define EBB_CONTROLLER_H

#include "options.h"

struct controller;

/*
 * Logs what is wrong. Blocks SIGINT, SIGTERM and SIGHUP in the calling thread. `options` that were
 * loaded (argv) are borrowed, and changed by SIGHUP.
 */
int controller_new(struct controller_options *options, struct controller **ret_controller);
/* Until SIGINT, SIGTERM or controller_stop(). SIGHUP has files and options read again. */
int controller_run(struct controller *controller);
/* From any thread. */
void controller_stop(struct controller *controller);
/* Waits for orders under way, writes what is queued. */
void controller_free(struct controller *controller);
/* "127.0.0.1:5000": with port 0, the port that was picked. */
const char *controller_address(const struct controller *controller);

#endif
