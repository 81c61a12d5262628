/* SPDX-License-Identifier: Apache-2.0 */
/* What manual page, file and completion are made of. */
#ifndef EBB_CLI_HELP_FORMS_H
#define EBB_CLI_HELP_FORMS_H

#include "cli.h"

/*
 * To standard output: "verbs" (roff), "words" (options as "- --json", and verbs with theirs), or
 * one of config_help()'s. -EINVAL: no such form.
 */
int help_form(const char *form, const struct verb *const *verbs, size_t n);
/* The options in `text`, each once, with a blank before each: " --cpu --mem". Caller frees. */
char *help_options(const char *usage, const char *help);

#endif
