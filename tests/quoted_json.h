/* SPDX-License-Identifier: Apache-2.0 */
/* JSON in the text of a test, where ' reads better than \". */
#ifndef EBB_TEST_QUOTED_JSON_H
#define EBB_TEST_QUOTED_JSON_H

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

/* Each ' becomes a ", in place. */
static inline char *requote(char *text)
{
	for (char *p = text; *p; p++)
		if (*p == '\'')
			*p = '"';
	return text;
}

/* JSON with ' for "; any value. New reference; what is no JSON ends the test. */
static inline json_t *parse_text(const char *text)
{
	char *json_text = requote(strdup(text));
	json_error_t error;
	json_t *json = json_loads(json_text, JSON_DECODE_ANY, &error);

	free(json_text);
	if (!json)
		TEST_FAIL("%s in: %s", error.text, text);
	return json;
}

/* The same, formatted. */
__attribute__((format(printf, 1, 2))) static inline json_t *parse(const char *format, ...)
{
	char *text = NULL;
	json_t *json;
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&text, format, ap) < 0)
		abort();
	va_end(ap);
	json = parse_text(text);
	free(text);
	return json;
}

#endif
