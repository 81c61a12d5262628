/* SPDX-License-Identifier: Apache-2.0 */
/* The table of options as text. */
#ifndef EBB_CONFIG_HELP_H
#define EBB_CONFIG_HELP_H

#include <errno.h>

#include "ebb/config.h"

/*
 * Prints to standard output, as `form` says: "text" (--help), "man" and "keys" (roff: options for a
 * program's manual page, keys for that of the file), "conf" (the file itself, all commented out),
 * "words" (for the shell's completion). -EINVAL: no such form.
 */
int config_help(const struct config_program *program, const char *form);

#endif
