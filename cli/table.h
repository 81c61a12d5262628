/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables of text: columns as wide as their cells, and no wider than the terminal: columns give way
 * by their `drop`, highest first, then the ones that may shrink are cut.
 */
#ifndef EBB_CLI_TABLE_H
#define EBB_CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum style { STYLE_NONE, STYLE_BOLD, STYLE_DIM, STYLE_RED, STYLE_GREEN, STYLE_YELLOW, STYLE_MAX };

/* The escape sequence that starts a style; "" without colour. style_end: that ends it. */
const char *style_start(enum style style, bool color);
const char *style_end(enum style style, bool color);

struct column {
	const char *title;
	bool right;        /* numbers */
	unsigned drop;     /* 0: always shown; else the higher, the sooner left out */
	unsigned shrink;   /* 0: never cut; else cut down to so many columns */
	unsigned at_least; /* width kept even when no cell needs it (a steady live table) */
};

struct table;
/* `columns` must outlive the table. */
int table_new(const struct column *columns, size_t n, struct table **ret_table);
void table_free(struct table *table);
/* The next cell, row by row. Control characters in it become '?'. */
int table_add(struct table *table, enum style style, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
size_t table_rows(const struct table *table);
struct table_style {
	unsigned width;  /* 0: as wide as needed */
	size_t max_rows; /* 0: all */
	bool color, no_titles;
	const char *eol; /* NULL: "\n" */
};
void table_print(const struct table *table, FILE *out, const struct table_style *style);

/* Columns that UTF-8 text takes, one per code point (combining ones none). */
size_t text_width(const char *text);
/* In place: control characters (C0, DEL, C1) become '?': what came over the network must not steer
 * the terminal. */
void text_tame(char *text);

static inline void cleanup_tablep(struct table **table)
{
	table_free(*table);
}
#define _cleanup_table_ __attribute__((cleanup(cleanup_tablep)))

#endif
