/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <stdarg.h>

#include "ebb/log.h"

int cli_fail(const char *format, ...)
{
	char text[4096], line[4096];
	va_list args;

	fflush(stdout);
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	/* Names in it may come from anywhere, and it is to be one line. */
	log_escape(text, line, sizeof(line));
	fprintf(stderr, "ebb: %s\n", line);
	return EXIT_FAILED;
}

int cli_usage(const struct verb *verb, const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fputs("ebb: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	if (verb)
		fprintf(stderr, ". Usage: ebb %s %s\n", verb->name, verb->usage);
	else
		fputs(". `ebb --help` lists what there is\n", stderr);
	return EXIT_USAGE;
}

int cli_print_json(const json_t *doc)
{
	json_dumpf(doc, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
	fputc('\n', stdout);
	return EXIT_OK;
}
