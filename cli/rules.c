/* SPDX-License-Identifier: Apache-2.0 */
/* ebb rules: when events fire, and what requests follow from them. */
#include <math.h>
#include <string.h>

#include "args.h"
#include "cli.h"
#include "logic.h"
#include "request.h"
#include "rules.h"
#include "table.h"
#include "view.h"
#include "ebb/cleanup.h"

static const struct column columns[] = {
	{.title = "RULE", .shrink = 12}, {.title = "RESOURCE"},           {.title = "ACTIVE"},
	{.title = "THEN", .drop = 1},    {.title = "WHEN", .shrink = 20},
};

/* "1 event up", "raise: amount 75", "lower: fit_to_usage". */
static void then_text(const json_t *rule, char *text, size_t size)
{
	const json_t *scale = json_object_get(
		json_object_get(json_object_get(rule, "action"), "events"), "scale");
	double amount = json_get_real(rule, "amount", NAN);
	const char *generates = json_get_text(rule, "generates");
	const char *policy = json_get_text(rule, "rescale_policy");

	text[0] = '\0';
	if (!strcmp(generates, "events")) {
		const char *type = json_object_get(scale, "up") ? "up" : "down";

		snprintf(text, size, "event %s +%lld", type,
			 (long long)json_get_integer(scale, type, 0));
	} else if (!strcmp(generates, "requests")) {
		const char *verb =
			strcmp(json_get_text(rule, "rescale_type"), "up") ? "lower" : "raise";

		if (isfinite(amount))
			snprintf(text, size, "%s: %s %g", verb, policy, amount);
		else
			snprintf(text, size, "%s: %s", verb, policy);
	}
}

static int compare(const void *a, const void *b)
{
	const json_t *ra = *(json_t *const *)a, *rb = *(json_t *const *)b;
	int r = ebb_resource_from_name(json_get_text(ra, "resource")) -
		ebb_resource_from_name(json_get_text(rb, "resource"));

	if (!r)
		r = json_is_true(json_object_get(rb, "active")) -
		    json_is_true(json_object_get(ra, "active"));
	if (!r)
		r = strcmp(json_get_text(ra, "generates"), json_get_text(rb, "generates"));
	return r ? r : strcmp(json_get_text(ra, "name"), json_get_text(rb, "name"));
}

static int list(struct cli *cli)
{
	_cleanup_table_ struct table *table = NULL;
	_cleanup_json_ json_t *docs = NULL;
	_cleanup_free_ json_t **sorted = NULL;
	size_t n;

	if (request_call(cli, "GET", "/rule/", NULL, &docs) < 0)
		return EXIT_FAILED;
	if (cli->json)
		return cli_print_json(docs);
	n = json_array_size(docs);
	sorted = calloc(n + 1, sizeof(json_t *));
	if (!sorted || table_new(columns, ARRAY_SIZE(columns), &table) < 0)
		return cli_fail("out of memory");
	for (size_t i = 0; i < n; i++)
		sorted[i] = json_array_get(docs, i);
	qsort(sorted, n, sizeof(json_t *), compare);
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *when = logic_to_text(json_object_get(sorted[i], "rule"));
		bool active = json_is_true(json_object_get(sorted[i], "active"));
		enum style style = active ? STYLE_NONE : STYLE_DIM;
		char then[80];

		then_text(sorted[i], then, sizeof(then));
		table_add(table, style, "%s", json_get_text(sorted[i], "name"));
		table_add(table, style, "%s", json_get_text(sorted[i], "resource"));
		table_add(table, active ? STYLE_GREEN : STYLE_DIM, "%s", active ? "yes" : "no");
		table_add(table, style, "%s", then);
		table_add(table, style, "%s", when ? when : "");
	}
	table_print(table, stdout, &(struct table_style){.width = cli->width, .color = cli->color});
	return EXIT_OK;
}

static int rules(struct cli *cli, int argc, char **argv)
{
	const char *error, *word, *from = NULL;
	const struct arg_option options[] = {{"--from", 0, NULL, &from}};
	int n;

	n = args_parse(argv + 1, options, ARRAY_SIZE(options), false, &error, &word);
	if (n < 0)
		return cli_usage(&verb_rules, "%s: %s", word, error);
	if (!n && from)
		return cli_usage(&verb_rules, "--from is for edit");
	return n && strcmp(argv[1], "ls") != 0 ? rules_change(cli, n, argv + 1, from) : list(cli);
}

const struct verb verb_rules = {
	.name = "rules",
	.usage = "[ls] | show|edit RULE | add FILE | rm|activate|deactivate RULE... | amount RULE "
		 "NUMBER | policy RULE POLICY | events RULE up|down NUMBER",
	.summary = "the rules: when events fire, what requests follow; change them",
	.help = "Each evaluation that finds WHEN true counts events, or asks for a new limit. usage,\n"
		"current (the limit), upper, lower, min and max are the resource's own; throttled is\n"
		"the share of CFS periods that were throttled.\n"
		"add takes a whole document, JSON or YAML (\"-\": standard input). edit opens it in VISUAL\n"
		"or EDITOR; a change that somebody else made meanwhile is not overwritten, and what is\n"
		"refused is kept in a file: `ebb rules edit RULE --from FILE` tries again.\n",
	.shows = true,
	.run = rules,
};
