/* SPDX-License-Identifier: Apache-2.0 */
/* Command line words: options anywhere among them, "--" ends the options. Pure. */
#ifndef EBB_CLI_ARGS_H
#define EBB_CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>

struct arg_option {
	const char *name;   /* "--cpu" */
	char letter;        /* 'h' for -h; 0: none */
	bool *flag;         /* set when given; or */
	const char **value; /* takes a value: the next word, or what follows '=' */
};

/*
 * Takes the options out of `argv` and leaves the other words, in order, NULL-terminated. Returns
 * how many are left, or -EINVAL with `ret_error` (static storage or into argv; says what is wrong;
 * its word in *ret_word). Unknown options are left alone when `pass_unknown`.
 */
int args_parse(char **argv, const struct arg_option *options, size_t n_options, bool pass_unknown,
	       const char **ret_error, const char **ret_word);

#endif
