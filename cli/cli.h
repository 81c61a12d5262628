/* SPDX-License-Identifier: Apache-2.0 */
/* What every verb gets: where to ask, how to print; and the table of verbs. */
#ifndef EBB_CLI_H
#define EBB_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* Exit statuses. */
enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct cli {
	char *controllers;  /* as given: one, or several with commas */
	char *controller;   /* the one to ask: "http://127.0.0.1:5000" or "unix:PATH" */
	char *standby_note; /* it only stands by, and why no other is asked; NULL: it does not */
	struct http_session *session; /* its connections to the controller */
	char *agent;                  /* like `controller` */
	char *token;                  /* NULL: none */
	struct identity *identity;    /* whom it believes, and its certificate; no token */
	char *token_file;             /* where it came from */
	bool token_by_default;        /* nobody gave it: a file of the system's says so */
	bool json;
	bool help;
	bool color; /* standard output is a terminal that wants it */
	bool utf8;
	unsigned width; /* columns of the terminal; 0: not a terminal */
};

/* `argv` without the program and the global options; argv[0] is the verb. Returns an exit status.
 */
typedef int (*verb_fn)(struct cli *cli, int argc, char **argv);

struct verb {
	const char *name;
	const char *usage;   /* "NAME [--cpu MIN..MAX]" */
	const char *summary; /* one line */
	const char *help;    /* the rest of `ebb help VERB`, lines ended by newlines */
	bool offline;        /* asks no controller */
	bool shows;          /* what a controller knows: says so first where that is a standby */
	verb_fn run;
};
extern const struct verb verb_ps, verb_top, verb_guard, verb_unguard, verb_set, verb_rules,
	verb_why, verb_doctor, verb_migrate, verb_simulate, verb_rule, verb_subscribe,
	verb_desubscribe, verb_app, verb_user, verb_limits, verb_service, verb_apply, verb_sanity,
	verb_reflex;

/* Prints "ebb: ..." as one line on standard error; EXIT_FAILED. */
int cli_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same, with the verb's usage line; EXIT_USAGE. */
int cli_usage(const struct verb *verb, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Prints a document as JSON on standard output. */
int cli_print_json(const json_t *doc);

#endif
