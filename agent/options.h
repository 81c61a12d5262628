/* SPDX-License-Identifier: Apache-2.0 */
/* What an operator can set: the command line, and the same keys in the [agent] section of a file.
 */
#ifndef EBB_OPTIONS_H
#define EBB_OPTIONS_H

#include <stdbool.h>

#include "ebb/config.h"
#include "ebb/identity.h"

struct agent_options {
	char *listen;    /* "ADDR:PORT" or "unix:PATH" */
	char *advertise; /* the same API as the controller reaches it; NULL: as bound */
	struct string_list controllers; /* URLs; none: no feed */
	char *name;                     /* of the host; its node name by default */
	char *token_file;
	char *tls_cert, *tls_key, *tls_client_ca; /* of the API; NULL: no TLS */
	char *client_cert, *client_key;           /* shown to https servers; NULL: none */
	char *pin_dir;
	char *disk; /* a path on the disk whose bandwidth is limited */
	struct string_list containers, exclude;
	struct string_list enable_controllers; /* "cpu", "cpuset", "memory", "io" */
	struct string_list engine_state;       /* "ENGINE=DIR" */
	char *name_record;                     /* file; NULL: none is kept */
	unsigned period_ms, max_containers;

	char *opentsdb;                   /* URL; NULL: none */
	struct string_list opentsdb_sets; /* "container", "process", "host" */
	unsigned opentsdb_period_s;
	unsigned opentsdb_body_max;          /* bytes */
	char *spool;                         /* directory; NULL: points wait in memory */
	unsigned spool_max;                  /* MiB */
	char *ca_file;                       /* for https servers; NULL: the system's */
	bool print_mkmetric, assign_metrics; /* do that and end */

	bool keep_privileges;
	bool restore_on_exit;

	int sampler;   /* enum sampler_kind */
	int cpu_mode;  /* 0: quota, 1: weight */
	int reflex;    /* 1: on */
	int log_level; /* enum log_level */

	int argc; /* what they were loaded from; it lives as long */
	char **argv;
};

/*
 * Fills the zeroed `options`, as config_load(), and checks what no single option can tell. Clear
 * with agent_options_clear(), after a failure too.
 */
int agent_options_load(int argc, char **argv, struct agent_options *options);
void agent_options_clear(struct agent_options *options);
/*
 * Loads them once more, from the file and by the same command line, and takes over what can be
 * changed while the agent runs. What else differs is told in the log, and so is what is wrong: then
 * nothing changes and it is a negative errno.
 */
int agent_options_reload(struct agent_options *options);

/* Pure: NULL, or what is wrong and how to put it right, written into `buffer`. */
const char *agent_options_check(const struct agent_options *options, char *buffer, size_t size);

/* Borrows. */
struct identity_files agent_identity_files(const struct agent_options *options);

/* enum tsdb_set of a checked list. */
unsigned agent_opentsdb_sets(const struct agent_options *options);

/*
 * Pure: *spool as given (NULL: not) becomes the directory where points wait, NULL in memory: "none"
 * and "" are memory; without one and with an OpenTSDB root's points wait in /var/lib/ebb, others'
 * in memory. -ENOMEM.
 */
int agent_spool(bool root, const char *opentsdb, char **spool);

/*
 * The same for the file that says whose a name is: /var/lib/ebb/names, which a second agent of this
 * host, with a pin directory of its own, must not share.
 */
int agent_name_record(bool root, const char *pin_dir, char **record);

/*
 * The address that the controller is told, from `advertise` (NULL: none) and from the address that
 * the API is bound to: "http://HOST:PORT" (https:// with `tls`) or "unix:PATH". An API bound to all
 * addresses is reached under `host_name`. Caller frees; NULL on no memory.
 */
char *agent_api_url(const char *advertise, const char *bound, const char *host_name, bool tls);

/*
 * Can the controller at `controller` reach the API at `api` (both URLs)? One that is on another
 * machine cannot reach loopback or a socket file.
 */
bool agent_api_is_reachable(const char *controller, const char *api);

#endif
