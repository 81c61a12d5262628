/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an operator can set: the command line, and the same keys in the [controller] section of a
 * file.
 */
#ifndef EBB_CONTROLLER_OPTIONS_H
#define EBB_CONTROLLER_OPTIONS_H

#include <stdbool.h>

#include "ebb/config.h"
#include "ebb/identity.h"

enum controller_auth { AUTH_BASIC, AUTH_COOKIE };

struct controller_options {
	char *listen;    /* "ADDR:PORT" or "unix:PATH" */
	char *advertise; /* URL; NULL: as bound */
	char *state;     /* "sqlite:PATH", or the URL of a CouchDB */
	char *audit;     /* file of decisions; NULL: beside the state */
	char *state_credentials;
	int state_auth; /* enum controller_auth */
	bool state_optional;
	char *opentsdb;             /* "http(s)://[USER:PASSWORD@]HOST:PORT"; NULL: none */
	unsigned opentsdb_body_max; /* bytes */
	char *spool;                /* directory; NULL: points wait in memory */
	unsigned spool_max;         /* MiB */
	char *ca_file;              /* for https, of the state and of OpenTSDB */
	char *token_file;
	char *tls_cert, *tls_key, *tls_client_ca; /* of the API; NULL: no TLS */
	char *client_cert, *client_key;           /* shown to https servers; NULL: none */
	unsigned threads;                         /* that answer requests */
	int log_level;                            /* enum log_level */

	int argc; /* what they were loaded from; it lives as long. NULL: nothing */
	char **argv;
};

/*
 * Fills the zeroed `options`, as config_load(), and checks what no single option can tell. Clear
 * with controller_options_clear(), after a failure too.
 */
int controller_options_load(int argc, char **argv, struct controller_options *options);
void controller_options_clear(struct controller_options *options);
/*
 * Loads them once more, from the file and by the same command line, and takes over what can be
 * changed while the controller runs. What else differs is told in the log, and so is what is wrong:
 * then nothing changes and it is a negative errno.
 */
int controller_options_reload(struct controller_options *options);

/* Pure: NULL, or what is wrong and how to put it right (caller frees). */
char *controller_options_check(const struct controller_options *options);
/* Borrows. */
struct identity_files controller_identity_files(const struct controller_options *options);
/* The URL that others are told, from `advertise` (may be NULL) and the address that the API is
 * bound to; one bound to all addresses is reached under the name of this machine. Caller frees;
 * NULL on no memory. */
char *controller_advertise(const char *advertise, const char *bound, bool tls);
/* Pure: where the state is kept unless told. `xdg_state` and `home` may be NULL. Caller frees;
 * NULL: there is no such place, or no memory. */
char *controller_default_state(bool root, const char *xdg_state, const char *home);
/*
 * Pure: *spool as given (NULL: not) becomes the directory where points wait, NULL in memory: "none"
 * and "" are memory, and without one and with an OpenTSDB it is beside the default state. -ENOMEM.
 */
int controller_spool(const char *opentsdb, const char *default_state, char **spool);
/*
 * Pure: the file of decisions beside the state; with a CouchDB, where the state would be by default
 * (`default_state`, may be NULL: then the working directory). Caller frees; NULL on no memory.
 */
char *controller_audit_path(const char *state, const char *default_state);

#endif
