/* SPDX-License-Identifier: Apache-2.0 */
/* ebb ps: what containers there are, their limits and ranges. */
#include <math.h>

#include "args.h"
#include "cli.h"
#include "request.h"
#include "table.h"
#include "view.h"
#include "ebb/cleanup.h"

static const struct column label_columns[] = {
	{.title = "NAME", .shrink = 12},  {.title = "HOST", .drop = 5, .shrink = 8},
	{.title = "ENGINE", .drop = 4},   {.title = "NAMESPACE", .drop = 2, .shrink = 8},
	{.title = "POD", .shrink = 8},    {.title = "CONTAINER", .drop = 3, .shrink = 8},
	{.title = "IMAGE", .shrink = 12}, {.title = "ID", .drop = 1},
};

static const struct column columns[] = {
	{.title = "NAME", .shrink = 12},
	{.title = "HOST", .drop = 1, .shrink = 8},
	{.title = "GUARDED"},
	{.title = "CPU", .right = true},
	{.title = "LIMIT", .right = true},
	{.title = "RANGE", .drop = 2},
	{.title = "MEM", .right = true},
	{.title = "LIMIT", .right = true},
	{.title = "RANGE", .drop = 3},
};

/* "cpu,mem": what is guarded; "no" for a structure that is not, "manual" for one that was left to
 * whoever else sets its limits. */
static void guarded_text(const struct structure_view *view, char *text, size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (int i = 0; view->guard && i < EBB_RESOURCE_MAX; i++)
		if (view->resources[i].guard && used < size)
			used += snprintf(text + used, size - used, "%s%s", used ? "," : "",
					 ebb_resource_name(i));
	if (!text[0])
		snprintf(text, size, "%s",
			 view->guard    ? "nothing"
			 : view->manual ? "manual"
					: "no");
}

static void add_resource(struct table *table, const struct resource_view *view)
{
	if (isfinite(view->usage))
		table_add(table, STYLE_NONE, "%.0f", view->usage);
	else
		table_add(table, STYLE_DIM, "-");
	if (view->current >= 0)
		table_add(table, STYLE_NONE, "%lld", (long long)view->current);
	else
		table_add(table, STYLE_DIM, "none");
	if (view->present)
		table_add(table, STYLE_NONE, "%lld..%lld", (long long)view->min,
			  (long long)view->max);
	else
		table_add(table, STYLE_DIM, "-");
}

static const char *const connection_words[] = {
	[CONNECTION_UNKNOWN] = " (unknown)",
	[CONNECTION_AWAY] = " (away)",
	[CONNECTION_UP] = "",
};
static const enum style connection_styles[] = {
	[CONNECTION_UNKNOWN] = STYLE_DIM,
	[CONNECTION_AWAY] = STYLE_YELLOW,
	[CONNECTION_UP] = STYLE_NONE,
};

/* What the engines say. */
static void add_labels(struct table *table, const struct structure_view *view)
{
	static const char *const keys[] = {"engine", "namespace", "pod", "name", "image"};

	table_add(table, STYLE_NONE, "%s", view->name);
	table_add(table, connection_styles[view->connection], "%s%s", view->host,
		  connection_words[view->connection]);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const char *value = json_get_text(view->labels, keys[i]);

		table_add(table, *value ? STYLE_NONE : STYLE_DIM, "%s", *value ? value : "-");
	}
	/* As much as the engines show, and accept, themselves. */
	const char *id = json_get_text(view->labels, "id");
	table_add(table, STYLE_DIM, "%.12s", *id ? id : "-");
}

static int ps(struct cli *cli, int argc, char **argv)
{
	_cleanup_table_ struct table *table = NULL;
	_cleanup_free_ struct structure_view *views = NULL;
	_cleanup_json_ json_t *docs = NULL;
	const char *error, *word;
	bool labels = false;
	const struct arg_option options[] = {{.name = "--labels", .letter = 'l', .flag = &labels}};
	size_t n;

	if (args_parse(argv + 1, options, ARRAY_SIZE(options), false, &error, &word) < 0)
		return cli_usage(&verb_ps, "%s: %s", word, error);
	if (request_call(cli, "GET", "/structure/?subtype=container&live", NULL, &docs) < 0)
		return EXIT_FAILED;
	if (cli->json)
		return cli_print_json(docs);
	if (views_read(docs, NULL, argv + 1, &views, &n) < 0 ||
	    table_new(labels ? label_columns : columns,
		      labels ? ARRAY_SIZE(label_columns) : ARRAY_SIZE(columns), &table) < 0)
		return cli_fail("out of memory");
	if (!n) {
		puts(argv[1] ? "No container of that name."
			     : "No containers. They appear when an agent reports them: `ebb "
			       "doctor` says whether one does.");
		return argv[1] ? EXIT_FAILED : EXIT_OK;
	}
	for (size_t i = 0; i < n; i++) {
		char guarded[80];

		if (labels) {
			add_labels(table, &views[i]);
			continue;
		}
		guarded_text(&views[i], guarded, sizeof(guarded));
		table_add(table, STYLE_NONE, "%s", views[i].name);
		table_add(table, connection_styles[views[i].connection], "%s%s", views[i].host,
			  connection_words[views[i].connection]);
		table_add(table,
			  views[i].guard    ? STYLE_GREEN
			  : views[i].manual ? STYLE_YELLOW
					    : STYLE_DIM,
			  "%s", guarded);
		add_resource(table, &views[i].resources[EBB_CPU]);
		add_resource(table, &views[i].resources[EBB_MEM]);
	}
	table_print(table, stdout, &(struct table_style){.width = cli->width, .color = cli->color});
	return EXIT_OK;
}

const struct verb verb_ps = {
	.name = "ps",
	.usage = "[NAME...] [--labels] [--json]",
	.summary = "list containers: usage, limit and range of CPU and memory",
	.help = "CPU is in shares (100 = one core), memory in MiB. NAME may be a pattern ('web-*').\n"
		"GUARDED names the resources whose limit follows usage; 'manual' is left alone because\n"
		"somebody else set its limits, until it is guarded again. RANGE is what the limit may\n"
		"become. --labels (-l) shows what the engines say instead: namespace, pod, name, image\n"
		"and id.\n",
	.shows = true,
	.run = ps,
};
