/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "table.h"

static char *text;
static struct table *table;

static void cleanup(void *unused)
{
	free(text);
	table_free(table);
	text = NULL;
	table = NULL;
}

static const char *print(const struct table_style *style)
{
	size_t size;
	FILE *out = open_memstream(&text, &size);

	table_print(table, out, style);
	fclose(out);
	return text;
}

TEST(columns_are_as_wide_as_their_cells)
{
	static const struct column columns[] = {{.title = "NAME"}, {.title = "N", .right = true}};

	test_at_end(cleanup, NULL);
	CHECK_INT(table_new(columns, 2, &table), 0);
	table_add(table, STYLE_NONE, "web-server");
	table_add(table, STYLE_NONE, "%d", 5);
	table_add(table, STYLE_NONE, "db");
	table_add(table, STYLE_NONE, "%d", 150);
	CHECK_INT(table_rows(table), 2);
	CHECK_STR(print(&(struct table_style){}), "NAME          N\n"
						  "web-server    5\n"
						  "db          150\n");
}

TEST(columns_give_way_in_a_narrow_terminal)
{
	static const struct column columns[] = {
		{.title = "NAME", .shrink = 4},
		{.title = "HOST", .drop = 1},
		{.title = "EXTRA", .drop = 2},
	};

	test_at_end(cleanup, NULL);
	CHECK_INT(table_new(columns, 3, &table), 0);
	table_add(table, STYLE_NONE, "long-name");
	table_add(table, STYLE_NONE, "h0");
	table_add(table, STYLE_NONE, "x");
	CHECK_STR(print(&(struct table_style){.width = 15, .no_titles = true}), "long-name  h0\n");
	free(text);
	CHECK_STR(print(&(struct table_style){.width = 10, .no_titles = true}), "long-name\n");
	free(text);
	CHECK_STR(print(&(struct table_style){.width = 6, .no_titles = true}), "long-~\n");
}

TEST(wide_letters_count_as_one)
{
	static const struct column columns[] = {{.title = "A", .shrink = 2}, {.title = "B"}};

	test_at_end(cleanup, NULL);
	CHECK_INT(text_width("größe"), 5);
	CHECK_INT(text_width("e\xcc\x81"), 1);
	CHECK_INT(table_new(columns, 2, &table), 0);
	table_add(table, STYLE_NONE, "größe");
	table_add(table, STYLE_NONE, "x");
	CHECK_STR(print(&(struct table_style){.no_titles = true}), "größe  x\n");
	free(text);
	CHECK_STR(print(&(struct table_style){.width = 6, .no_titles = true}), "gr~  x\n");
}

TEST(what_came_over_the_network_cannot_steer_the_terminal)
{
	static const struct column columns[] = {{.title = "A"}};
	char hostile[] = "a\033]0;x\007b\tc\x7f\xc2\x9b"
			 "d\n";

	test_at_end(cleanup, NULL);
	text_tame(hostile);
	CHECK_STR(hostile, "a?]0;x?b?c???d?");
	CHECK_INT(table_new(columns, 1, &table), 0);
	table_add(table, STYLE_RED, "\033[2J");
	CHECK_STR(print(&(struct table_style){.no_titles = true, .color = true}),
		  "\033[31m?[2J\033[0m\n");
	free(text);
	CHECK_STR(print(&(struct table_style){.no_titles = true}), "?[2J\n");
}

TEST_MAIN()
