/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options: one table describes each, and gives the long option, the INI key, the environment-free
 * default and the line in --help. Order: defaults, then the file, then the command line; a list
 * given in one replaces that of the one before. "--x V" or "--x=V". An unknown key or a bad value
 * is an error that names file and line and, when there is one, the name that was probably meant.
 */
#ifndef EBB_CONFIG_H
#define EBB_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

enum option_kind {
	OPTION_STRING, /* char *, owned by the target struct, freed by config_clear() */
	OPTION_LIST,   /* struct string_list: may be given several times, or separated by commas */
	OPTION_UINT,   /* unsigned, within min..max */
	OPTION_BOOL,   /* bool: "--x", "--x=no", "x = yes" */
	OPTION_CHOICE, /* int: index into `choices` */
};

struct string_list {
	char **items;
	size_t n;
};

struct option_spec {
	const char *name; /* "sampler": --sampler and the key `sampler` */
	enum option_kind kind;
	size_t offset;              /* in the target struct */
	const char *value;          /* "ADDR:PORT", for --help */
	const char *help;           /* one line */
	const char *by_default;     /* parsed like a given value; NULL: zero */
	unsigned min, max;          /* OPTION_UINT; max 0: no limit */
	const char *const *choices; /* OPTION_CHOICE, NULL-terminated */
	bool action;  /* of OPTION_BOOL: does something and ends; no file should say it */
	bool secret;  /* may be a URL with a password: that is taken out of argv once it is read, so
			 that nobody sees it in `ps`, and is in no message */
	bool reloads; /* a new value is taken while the program runs: config_adopt() */
};

struct config_program {
	const char *name; /* "ebb-agent": also the INI section read, [agent] for "ebb-agent" */
	const char *section;
	const char *summary; /* for --help */
	const struct option_spec *options;
	size_t n_options;
};

/* What config_load() did. */
enum config_result { CONFIG_OK = 0, CONFIG_EXIT = 1 /* --help or --version was printed */ };

/*
 * Fills `target` (zeroed by the caller). "--config FILE", "--help" and "--version" are known to
 * every program, and "--help=FORM" for what is made of it (lib/config_help.h). 0; or CONFIG_EXIT,
 * or a negative errno after one clear line on standard error: then every option's field is zero
 * again.
 */
int config_load(const struct config_program *program, int argc, char **argv, void *target);
void config_clear(const struct config_program *program, void *target);

/*
 * Takes what reloads over from `fresh`, which was loaded anew by the same command line, into
 * `target`; `fresh` gets the old values and is to be cleared. What else differs stays as it is in
 * `target`, and its names are put into `buffer`, "listen, period": "" when nothing does. Of a
 * secret only what is no password is compared.
 */
void config_adopt(const struct config_program *program, void *target, void *fresh, char *buffer,
		  size_t size);

/* The program version, from the Makefile. */
const char *ebb_version(void);

#endif
