/* SPDX-License-Identifier: Apache-2.0 */
#include "table.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"

#define GAP 2

struct cell {
	char *text;
	enum style style;
	size_t width;
};

struct table {
	const struct column *columns;
	size_t n_columns;
	struct cell *cells;
	size_t n, allocated;
};

const char *style_start(enum style style, bool color)
{
	static const char *const starts[STYLE_MAX] = {
		[STYLE_NONE] = "",        [STYLE_BOLD] = "\033[1m",   [STYLE_DIM] = "\033[2m",
		[STYLE_RED] = "\033[31m", [STYLE_GREEN] = "\033[32m", [STYLE_YELLOW] = "\033[33m",
	};

	return color ? starts[style] : "";
}

const char *style_end(enum style style, bool color)
{
	return color && style != STYLE_NONE ? "\033[0m" : "";
}

static bool continues(unsigned char byte)
{
	return (byte & 0xc0) == 0x80;
}

/* U+0300..U+036F, the marks that names in practice carry: 0xcc 0x80 .. 0xcd 0xaf. */
static bool combines(const unsigned char *p)
{
	return p[0] == 0xcc || (p[0] == 0xcd && p[1] < 0xb0);
}

size_t text_width(const char *text)
{
	size_t width = 0;

	for (const unsigned char *p = (const unsigned char *)text; *p; p++)
		if (!continues(*p) && !combines(p))
			width++;
	return width;
}

/* Bytes of the longest start of `text` that takes at most `width` columns. */
static size_t text_fit(const char *text, size_t width)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t used = 0;

	for (; *p; p++) {
		if (continues(*p))
			continue;
		if (!combines(p) && used++ == width)
			break;
	}
	return (const char *)p - text;
}

void text_tame(char *text)
{
	for (unsigned char *p = (unsigned char *)text; *p; p++) {
		if (*p < 0x20 || *p == 0x7f)
			*p = '?';
		else if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)
			p[0] = p[1] = '?';
	}
}

int table_new(const struct column *columns, size_t n, struct table **ret_table)
{
	struct table *table = calloc(1, sizeof(*table));

	if (!table)
		return -ENOMEM;
	table->columns = columns;
	table->n_columns = n;
	*ret_table = table;
	return 0;
}

void table_free(struct table *table)
{
	if (!table)
		return;
	for (size_t i = 0; i < table->n; i++)
		free(table->cells[i].text);
	free(table->cells);
	free(table);
}

int table_add(struct table *table, enum style style, const char *format, ...)
{
	va_list args;
	char *text;
	int r;

	if (table->n == table->allocated) {
		size_t more = MAX(64, table->allocated * 2);
		struct cell *cells = realloc(table->cells, more * sizeof(*cells));

		if (!cells)
			return -ENOMEM;
		table->cells = cells;
		table->allocated = more;
	}
	va_start(args, format);
	r = vasprintf(&text, format, args);
	va_end(args);
	if (r < 0)
		return -ENOMEM;
	text_tame(text);
	table->cells[table->n++] = (struct cell){text, style, text_width(text)};
	return 0;
}

size_t table_rows(const struct table *table)
{
	return table->n / table->n_columns;
}

static size_t total_width(const size_t *widths, size_t n)
{
	size_t total = 0;

	for (size_t i = 0; i < n; i++)
		total += widths[i] ? widths[i] + (total ? GAP : 0) : 0;
	return total;
}

/* Leaves columns out (width 0), then cuts, until the rest fits. */
static void fit_columns(const struct table *table, size_t *widths, unsigned width)
{
	size_t n = table->n_columns;

	while (total_width(widths, n) > width) {
		size_t drop = n;

		for (size_t i = 0; i < n; i++)
			if (widths[i] && table->columns[i].drop &&
			    (drop == n || table->columns[i].drop > table->columns[drop].drop))
				drop = i;
		if (drop == n)
			break;
		widths[drop] = 0;
	}
	for (size_t i = n; i-- > 0;) {
		size_t total = total_width(widths, n), over = total > width ? total - width : 0;
		size_t least = table->columns[i].shrink;

		if (least && widths[i] > least)
			widths[i] -= MIN(over, widths[i] - least);
	}
}

static void print_cell(FILE *out, const struct column *column, const struct cell *cell,
		       size_t width, bool last, bool color)
{
	size_t used = MIN(cell->width, width), pad = width - used;

	if (column->right)
		fprintf(out, "%*s", (int)pad, "");
	fputs(style_start(cell->style, color), out);
	if (cell->width > width && width > 1) {
		fwrite(cell->text, 1, text_fit(cell->text, width - 1), out);
		fputc('~', out);
	} else {
		fwrite(cell->text, 1, text_fit(cell->text, width), out);
	}
	fputs(style_end(cell->style, color), out);
	if (!column->right && !last)
		fprintf(out, "%*s", (int)pad, "");
}

static void print_row(const struct table *table, FILE *out, const size_t *widths,
		      const struct cell *cells, const struct table_style *style)
{
	bool first = true;
	size_t last = 0;

	for (size_t i = 0; i < table->n_columns; i++)
		if (widths[i])
			last = i;
	for (size_t i = 0; i < table->n_columns; i++) {
		struct cell title = {(char *)table->columns[i].title, STYLE_BOLD,
				     text_width(table->columns[i].title)};

		if (!widths[i])
			continue;
		if (!first)
			fprintf(out, "%*s", GAP, "");
		first = false;
		print_cell(out, &table->columns[i], cells ? &cells[i] : &title, widths[i],
			   i == last, style->color);
	}
	fputs(style->eol ? style->eol : "\n", out);
}

void table_print(const struct table *table, FILE *out, const struct table_style *style)
{
	size_t n = table->n_columns, rows = table_rows(table);
	_cleanup_free_ size_t *widths = calloc(n, sizeof(*widths));

	if (!widths)
		return;
	for (size_t i = 0; i < n; i++)
		widths[i] = MAX(text_width(table->columns[i].title), table->columns[i].at_least);
	for (size_t i = 0; i < rows * n; i++)
		widths[i % n] = MAX(widths[i % n], table->cells[i].width);
	if (style->width)
		fit_columns(table, widths, style->width);
	if (style->max_rows && rows > style->max_rows)
		rows = style->max_rows;
	if (!style->no_titles)
		print_row(table, out, widths, NULL, style);
	for (size_t i = 0; i < rows; i++)
		print_row(table, out, widths, table->cells + i * n, style);
}
