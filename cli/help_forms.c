/* SPDX-License-Identifier: Apache-2.0 */
#include "help_forms.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "settings.h"
#include "ebb/cleanup.h"
#include "ebb/roff.h"

#include "../lib/config_help.h"

#define LETTERS "abcdefghijklmnopqrstuvwxyz-"

static void print_verb(const struct verb *verb)
{
	fputs(".SS ebb ", stdout);
	roff_text(stdout, verb->name);
	putchar('\n');
	roff_sentence(stdout, verb->summary);
	fputs(".PP\n.RS 0\n\\fBebb ", stdout);
	roff_text(stdout, verb->name);
	fputs("\\fR ", stdout);
	roff_text(stdout, verb->usage);
	fputs("\n.RE\n", stdout);
	if (*verb->help)
		roff_lines(stdout, verb->help);
}

/* Is the option at `name`, `n` long, in `list` already? */
static bool has_word(const char *list, const char *name, size_t n)
{
	for (const char *p = list; (p = strstr(p, " --")); p++)
		if (strcspn(p + 1, " ") == n && !strncmp(p + 1, name, n))
			return true;
	return false;
}

char *help_options(const char *usage, const char *help)
{
	const char *const texts[] = {usage, help};
	char *list = calloc(1, strlen(usage) + strlen(help) * 2 + 2);

	if (!list)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		for (const char *p = texts[i]; (p = strstr(p, "--")); p += 2) {
			size_t n = 2 + strspn(p + 2, LETTERS);

			if (n > 2 && (p == texts[i] || !strchr(LETTERS, p[-1])) &&
			    !has_word(list, p, n)) {
				strcat(list, " ");
				strncat(list, p, n);
			}
		}
	}
	return list;
}

static int print_words(const struct verb *const *verbs, size_t n)
{
	for (size_t i = 0; i < settings_program.n_options; i++) {
		const struct option_spec *spec = &settings_program.options[i];

		printf("- --%s%s%s\n", spec->name, spec->value ? " " : "",
		       spec->value ? spec->value : "");
	}
	puts("- --config FILE\n- --help\n- --version");
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *options = help_options(verbs[i]->usage, verbs[i]->help);

		if (!options)
			return -ENOMEM;
		printf("%s%s\n", verbs[i]->name, options);
	}
	return 0;
}

int help_form(const char *form, const struct verb *const *verbs, size_t n)
{
	if (!strcmp(form, "words"))
		return print_words(verbs, n);
	if (strcmp(form, "verbs"))
		return config_help(&settings_program, form);
	for (size_t i = 0; i < n; i++)
		print_verb(verbs[i]);
	return 0;
}
