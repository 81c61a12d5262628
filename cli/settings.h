/* SPDX-License-Identifier: Apache-2.0 */
/* What `ebb` is told before its verb: options, the environment, and the section [ebb] of a file. */
#ifndef EBB_CLI_SETTINGS_H
#define EBB_CLI_SETTINGS_H

#include <stdbool.h>

#include "ebb/config.h"

#define SETTINGS_FILE "/etc/ebb/ebb.conf"

struct settings {
	char *controller; /* one, or several with commas */
	char *agent;
	char *token_file;
	char *ca_file, *client_cert, *client_key;
	bool json;             /* of the table of options only */
	bool token_by_default; /* from the file: where it cannot be read, one goes without */
};

/* On the command line; NULL: not. */
struct settings_given {
	const char *controller, *agent, *token_file, *ca_file, *client_cert, *client_key;
};

extern const struct config_program settings_program;

/*
 * Fills the zeroed `settings` from what was given, the environment, the file and
 * defaults, in this order. `config`: a file that must be there; NULL: $EBB_CONFIG, or SETTINGS_FILE
 * where there is one that can be read. A negative errno after a line that says what is wrong.
 */
int settings_load(const char *config, const struct settings_given *given,
		  struct settings *settings);
void settings_clear(struct settings *settings);

#endif
