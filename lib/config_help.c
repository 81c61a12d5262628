/* SPDX-License-Identifier: Apache-2.0 */
#include "config_help.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "ebb/roff.h"
#include "ebb/cleanup.h"

/* Columns of --help. */
#define HELP_WIDTH     100
#define HELP_LEFT_MAX  36
#define HELP_LEFT_LEAD "  --"
/* Columns of a comment in the example of a file. */
#define CONF_WIDTH 96

static void text_of(const struct option_spec *spec, char *buffer, size_t size)
{
	const char *by_default = spec->by_default;

	if (by_default && *by_default && !strstr(spec->help, "(default"))
		snprintf(buffer, size, "%s (default: %s)", spec->help, by_default);
	else
		snprintf(buffer, size, "%s", spec->help);
}

/* How much of `text` goes into a line of `room` columns: to the last blank, or all of a long word.
 */
static size_t line_of(const char *text, size_t room)
{
	size_t take = strlen(text);

	if (take <= room)
		return take;
	for (take = room; take && text[take] != ' '; take--)
		;
	return take ? take : room;
}

/* --- For people ------------------------------------------------------------------------------- */

static void print_option(const char *name, const char *value, const char *text, int left)
{
	char line[64];
	int n = snprintf(line, sizeof(line), HELP_LEFT_LEAD "%s%s%s", name, value ? " " : "",
			 value ? value : "");

	fputs(line, stdout);
	/* Too long for its column: the text starts below. */
	if (n + 2 > left) {
		putchar('\n');
		n = 0;
	}
	for (const char *p = text; *p; n = 0) {
		size_t take = line_of(p, (size_t)(HELP_WIDTH - left));

		printf("%*s%.*s\n", left - n, "", (int)take, p);
		p += take;
		p += strspn(p, " ");
	}
}

#define HELP_CONFIG  "read the same keys from this INI file; options win over it"
#define HELP_HELP    "show this"
#define HELP_VERSION "show the version"

static void print_text(const struct config_program *program)
{
	int left = (int)strlen(HELP_LEFT_LEAD "config FILE") + 2;
	char text[1024];

	for (size_t i = 0; i < program->n_options; i++) {
		const struct option_spec *spec = &program->options[i];
		int n = (int)(strlen(HELP_LEFT_LEAD) + strlen(spec->name) +
			      (spec->value ? strlen(spec->value) + 1 : 0) + 2);
		if (n <= HELP_LEFT_MAX)
			left = MAX(left, n);
	}
	printf("%s: %s\n\nUsage: %s [OPTION...]\n\n", program->name, program->summary,
	       program->name);
	for (size_t i = 0; i < program->n_options; i++) {
		text_of(&program->options[i], text, sizeof(text));
		print_option(program->options[i].name, program->options[i].value, text, left);
	}
	print_option("config", "FILE", HELP_CONFIG, left);
	print_option("help", NULL, HELP_HELP, left);
	print_option("version", NULL, HELP_VERSION, left);
	printf("\nIn the file: \"key = value\" below [%s]. Lists may be given several times, or "
	       "separated by commas.\n",
	       program->section);
}

/* --- For manual pages ------------------------------------------------------------------------- */

static void print_man_option(const char *dashes, const char *name, const char *between,
			     const char *value, const char *text)
{
	char tag[128];

	snprintf(tag, sizeof(tag), "%s%s%s", dashes, name, value ? between : "");
	roff_tag(stdout, tag, value);
	roff_sentence(stdout, text);
}

static void print_man(const struct config_program *program)
{
	char text[1024];

	for (size_t i = 0; i < program->n_options; i++) {
		text_of(&program->options[i], text, sizeof(text));
		print_man_option("--", program->options[i].name, " ", program->options[i].value,
				 text);
	}
	print_man_option("--", "config", " ", "FILE", HELP_CONFIG);
	print_man_option("--", "help", "", NULL, HELP_HELP);
	print_man_option("--", "version", "", NULL, HELP_VERSION);
}

static const char *value_of(const struct option_spec *spec)
{
	return spec->kind == OPTION_BOOL ? "yes|no" : spec->value ? spec->value : "VALUE";
}

static void print_keys(const struct config_program *program)
{
	char text[1024];

	for (size_t i = 0; i < program->n_options; i++) {
		if (program->options[i].action)
			continue;
		text_of(&program->options[i], text, sizeof(text));
		print_man_option("", program->options[i].name, " = ",
				 value_of(&program->options[i]), text);
	}
}

/* --- For the example of a file and for the shell ---------------------------------------------- */

static void print_conf(const struct config_program *program)
{
	for (size_t i = 0; i < program->n_options; i++) {
		const struct option_spec *spec = &program->options[i];
		const char *help = spec->help;

		if (spec->action)
			continue;
		putchar('\n');
		while (*help) {
			size_t take = line_of(help, CONF_WIDTH);

			printf("# %.*s\n", (int)take, help);
			help += take;
			help += strspn(help, " ");
		}
		printf("#%s = %s\n", spec->name,
		       spec->by_default ? spec->by_default : value_of(spec));
	}
}

/* "--sampler auto held walk files", "--pin-dir DIR", "--help": what may follow. */
static void print_words(const struct config_program *program)
{
	for (size_t i = 0; i < program->n_options; i++) {
		const struct option_spec *spec = &program->options[i];

		printf("--%s", spec->name);
		for (int c = 0; spec->kind == OPTION_CHOICE && spec->choices[c]; c++)
			printf(" %s", spec->choices[c]);
		if (spec->kind != OPTION_CHOICE && spec->kind != OPTION_BOOL)
			printf(" %s", spec->value ? spec->value : "VALUE");
		putchar('\n');
	}
	puts("--config FILE\n--help\n--version");
}

int config_help(const struct config_program *program, const char *form)
{
	static const struct {
		const char *name;
		void (*print)(const struct config_program *program);
	} forms[] = {
		{"text", print_text}, {"man", print_man},     {"keys", print_keys},
		{"conf", print_conf}, {"words", print_words},
	};

	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		if (strcmp(forms[i].name, form) == 0) {
			forms[i].print(program);
			return 0;
		}
	}
	return -EINVAL;
}
