/* SPDX-License-Identifier: Apache-2.0 */
#include "ebb/roff.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

/* Beyond it checkers complain. */
#define LINE_MAX_LEN 72

static void put(FILE *out, const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		switch (text[i]) {
		case '\\': fputs("\\e", out); break;
		/* A hyphen is another character than the minus that is typed. */
		case '-': fputs("\\-", out); break;
		case '\'': fputs("\\(aq", out); break;
		case '`': fputs("\\(ga", out); break;
		case '^': fputs("\\(ha", out); break;
		case '~': fputs("\\(ti", out); break;
		case '"': fputs("\\(dq", out); break;
		default: putc(text[i], out);
		}
	}
}

void roff_text(FILE *out, const char *text)
{
	put(out, text, strlen(text));
}

void roff_tag(FILE *out, const char *name, const char *value)
{
	fputs(".TP\n\\fB", out);
	roff_text(out, name);
	fputs("\\fR", out);
	if (value) {
		fputs("\\fI", out);
		roff_text(out, value);
		fputs("\\fR", out);
	}
	putc('\n', out);
}

static bool ends_sentence(const char *word, size_t n)
{
	return n > 1 && (word[n - 1] == '.' || (word[n - 1] == ')' && word[n - 2] == '.'));
}

void roff_sentence(FILE *out, const char *text)
{
	size_t column = 0;
	bool first = true;

	while (*text) {
		size_t n = strcspn(text, " \n");
		char capital = (char)toupper((unsigned char)*text);
		/* A word of letters only: a path, a number or a name stays as it is. */
		bool plain = first && n == strspn(text, "abcdefghijklmnopqrstuvwxyz");

		if (column && column + n + 1 > LINE_MAX_LEN) {
			putc('\n', out);
			column = 0;
		} else if (column) {
			putc(' ', out);
			column++;
		}
		if (!column && (*text == '.' || *text == '\''))
			fputs("\\&", out);
		if (plain && n) {
			putc(capital, out);
			put(out, text + 1, n - 1);
		} else {
			put(out, text, n);
		}
		column += n;
		first = false;
		if (ends_sentence(text, n)) {
			putc('\n', out);
			column = 0;
		}
		text += n;
		text += strspn(text, " \n");
	}
	if (column)
		fputs(".\n", out);
}

void roff_lines(FILE *out, const char *text)
{
	fputs(".PP\n.nf\n", out);
	while (*text) {
		size_t n = strcspn(text, "\n");

		if (*text == '.' || *text == '\'')
			fputs("\\&", out);
		/* An empty one is a request too few for some readers. */
		if (!n)
			fputs(".sp", out);
		put(out, text, n);
		putc('\n', out);
		text += n;
		text += *text == '\n';
	}
	fputs(".fi\n", out);
}
