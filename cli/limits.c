/* SPDX-License-Identifier: Apache-2.0 */
/* ebb limits: how far upper and lower are below a limit. */
#include <string.h>

#include "args.h"
#include "cli.h"
#include "edit.h"
#include "request.h"
#include "table.h"
#include "view.h"
#include "ebb/cleanup.h"
#include "ebb/util.h"

static const struct column columns[] = {
	{.title = "RESOURCE"},
	{.title = "BOUNDARY", .right = true},
	{.title = "OF"},
	{.title = "LOWER", .right = true},
	{.title = "UPPER", .right = true},
};

static void add_number(struct table *table, const json_t *limit, const char *key)
{
	int64_t number = json_get_integer(limit, key, -1);

	if (number >= 0)
		table_add(table, STYLE_NONE, "%lld", (long long)number);
	else
		table_add(table, STYLE_DIM, "-");
}

static int show(struct cli *cli, const char *name, const char *only)
{
	_cleanup_free_ char *path = request_path("/structure/", name, "/limits");
	_cleanup_table_ struct table *table = NULL;
	_cleanup_json_ json_t *limits = NULL;
	const char *resource;
	json_t *limit;

	if (request_call(cli, "GET", path, NULL, &limits) < 0)
		return EXIT_FAILED;
	if (only && !json_object_get(limits, only))
		return cli_fail("%s has no limits of %s", name, only);
	if (cli->json)
		return cli_print_json(only ? json_object_get(limits, only) : limits);
	if (table_new(columns, ARRAY_SIZE(columns), &table) < 0)
		return cli_fail("out of memory");
	json_object_foreach(limits, resource, limit) {
		const char *type = json_get_text(limit, "boundary_type");

		if (only && strcmp(only, resource) != 0)
			continue;
		table_add(table, STYLE_NONE, "%s", resource);
		table_add(table, STYLE_NONE, "%lld%%",
			  (long long)json_get_integer(limit, "boundary", 0));
		table_add(table, STYLE_NONE, "%s",
			  strcmp(type, "percentage_of_max") ? "current" : "max");
		add_number(table, limit, "lower");
		add_number(table, limit, "upper");
	}
	table_print(table, stdout, &(struct table_style){.width = cli->width, .color = cli->color});
	return EXIT_OK;
}

static int change(struct cli *cli, const char *name, const char *resource, const char *what,
		  const char *text)
{
	bool type = strcmp(what, "boundary") != 0;
	uint64_t percent = 0;
	char rest[64];

	if (type && strcmp(what, "type") && strcmp(what, "boundary_type") != 0)
		return cli_usage(&verb_limits, "'%s' cannot be set: boundary or type", what);
	if (!type && (parse_u64(text, &percent) < 0 || percent > 100))
		return cli_usage(&verb_limits, "'%s' is not a percentage, 0 to 100", text);
	/* Short for what the documents call it. */
	if (!strcmp(text, "max"))
		text = "percentage_of_max";
	else if (!strcmp(text, "current"))
		text = "percentage_of_current";
	snprintf(rest, sizeof(rest), "/limits/%s/%s", resource,
		 type ? "boundary_type" : "boundary");
	if (edit_put(cli, name, rest,
		     type ? json_string(text) : json_integer((json_int_t)percent)) < 0)
		return EXIT_FAILED;
	return show(cli, name, resource);
}

static int limits(struct cli *cli, int argc, char **argv)
{
	const char *error, *word;
	int n;

	n = args_parse(argv + 1, NULL, 0, false, &error, &word);
	if (n < 0)
		return cli_usage(&verb_limits, "%s: %s", word, error);
	if (n != 1 && n != 2 && n != 4)
		return cli_usage(&verb_limits, "limits takes a NAME, and what to change");
	if (n > 1 && ebb_resource_from_name(argv[2]) == EBB_RESOURCE_INVALID)
		return cli_usage(&verb_limits,
				 "'%s' is not a resource: cpu, mem, disk_read, disk_write, net, "
				 "energy",
				 argv[2]);
	return n == 4 ? change(cli, argv[1], argv[2], argv[3], argv[4])
		      : show(cli, argv[1], n == 2 ? argv[2] : NULL);
}

const struct verb verb_limits = {
	.name = "limits",
	.usage = "NAME [RESOURCE [boundary PERCENT | type max|current]]",
	.summary = "where upper and lower are, below the limit",
	.help = "upper is the boundary below the limit, lower as much below upper: what is used is to\n"
		"stay between them. The boundary is a percentage of the maximum, or of the limit in\n"
		"force (current).\n",
	.shows = true,
	.run = limits,
};
