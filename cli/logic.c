/* SPDX-License-Identifier: Apache-2.0 */
#include "logic.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "ebb/cleanup.h"

#define DEPTH_MAX 64

/* "cpu.structure.cpu.usage" -> "usage"; "events.scale.up" -> "up events". */
static void print_variable(FILE *out, const char *path)
{
	const char *last = strrchr(path, '.');

	if (!strcmp(path, "events.scale.up") || !strcmp(path, "events.scale.down"))
		fprintf(out, "%s events", last + 1);
	else
		fputs(last && (strstr(path, ".structure.") || strstr(path, ".limits.")) ? last + 1
											: path,
		      out);
}

/* How tightly an operator binds; 0: not one that is written between its arguments. */
static int binds(const char *op)
{
	static const struct {
		const char *op;
		int binds;
	} table[] = {
		{"or", 1},  {"and", 2}, {"==", 3}, {"!=", 3}, {"===", 3},
		{"!==", 3}, {"<", 4},   {"<=", 4}, {">", 4},  {">=", 4},
		{"+", 5},   {"-", 5},   {"*", 6},  {"/", 6},  {"%", 6},
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (!strcmp(op, table[i].op))
			return table[i].binds;
	return 0;
}

static void print_json(FILE *out, const json_t *value)
{
	json_dumpf(value, out, JSON_COMPACT | JSON_ENCODE_ANY);
}

static void print_logic(FILE *out, const json_t *logic, int outer, int depth)
{
	const char *op;
	json_t *arguments, *argument;
	size_t i;
	int inner;

	if (!json_is_object(logic) || json_object_size(logic) != 1 || depth > DEPTH_MAX) {
		if (json_is_real(logic))
			fprintf(out, "%g", json_real_value(logic));
		else
			print_json(out, logic);
		return;
	}
	op = json_object_iter_key(json_object_iter((json_t *)logic));
	arguments = json_object_get(logic, op);
	if (!strcmp(op, "var") && json_is_string(arguments)) {
		print_variable(out, json_string_value(arguments));
		return;
	}
	inner = binds(op);
	if (!inner || json_array_size(arguments) < 2) {
		if (!strcmp(op, "!") && !json_is_array(arguments)) {
			fputs("not ", out);
			print_logic(out, arguments, 9, depth + 1);
			return;
		}
		fprintf(out, "%s(", op);
		if (!json_is_array(arguments))
			print_logic(out, arguments, 0, depth + 1);
		json_array_foreach(arguments, i, argument) {
			if (i)
				fputs(", ", out);
			print_logic(out, argument, 0, depth + 1);
		}
		fputc(')', out);
		return;
	}
	if (inner <= outer)
		fputc('(', out);
	json_array_foreach(arguments, i, argument) {
		if (i)
			fprintf(out, " %s ", op);
		print_logic(out, argument, inner, depth + 1);
	}
	if (inner <= outer)
		fputc(')', out);
}

char *logic_to_text(const json_t *logic)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	print_logic(out, logic, 0, 0);
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}
