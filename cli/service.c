/* SPDX-License-Identifier: Apache-2.0 */
/* ebb service: how the parts of the controller are configured. */
#include <string.h>

#include "args.h"
#include "cli.h"
#include "layout_equal.h"
#include "request.h"
#include "table.h"
#include "view.h"
#include "ebb/cleanup.h"

static const struct column list_columns[] = {
	{.title = "SERVICE"},
	{.title = "ACTIVE"},
	{.title = "KEYS", .right = true},
};
static const struct column key_columns[] = {
	{.title = "KEY"},
	{.title = "VALUE", .shrink = 20},
};

static int list(struct cli *cli)
{
	_cleanup_table_ struct table *table = NULL;
	_cleanup_json_ json_t *docs = NULL;
	json_t *doc;
	size_t i;

	if (request_call(cli, "GET", "/service/", NULL, &docs) < 0)
		return EXIT_FAILED;
	if (cli->json)
		return cli_print_json(docs);
	if (table_new(list_columns, ARRAY_SIZE(list_columns), &table) < 0)
		return cli_fail("out of memory");
	json_array_foreach(docs, i, doc) {
		const json_t *config = json_object_get(doc, "config");
		const json_t *active = json_object_get(config, "ACTIVE");

		table_add(table, STYLE_NONE, "%s", json_get_text(doc, "name"));
		table_add(table, json_is_true(active) ? STYLE_GREEN : STYLE_DIM, "%s",
			  json_is_true(active)    ? "yes"
			  : json_is_false(active) ? "no"
						  : "-");
		table_add(table, STYLE_NONE, "%zu", json_object_size(config));
	}
	table_print(table, stdout, &(struct table_style){.width = cli->width, .color = cli->color});
	return EXIT_OK;
}

static int get(struct cli *cli, const char *name, json_t **ret_doc)
{
	_cleanup_free_ char *path = request_path("/service/", name, "");

	return request_call(cli, "GET", path, NULL, ret_doc);
}

static int show(struct cli *cli, const char *name, const char *only)
{
	_cleanup_table_ struct table *table = NULL;
	_cleanup_json_ json_t *doc = NULL;
	json_t *config, *value;
	const char *key;

	if (get(cli, name, &doc) < 0)
		return EXIT_FAILED;
	config = json_object_get(doc, "config");
	if (only) {
		_cleanup_free_ char *text = NULL;

		value = json_object_get(config, only);
		if (!value)
			return cli_fail("%s is not set in %s: it is at its default", only, name);
		if (cli->json || !json_is_string(value))
			return cli_print_json(value);
		text = layout_value_text(value);
		if (text)
			text_tame(text);
		puts(text ? text : "");
		return EXIT_OK;
	}
	if (cli->json)
		return cli_print_json(doc);
	if (table_new(key_columns, ARRAY_SIZE(key_columns), &table) < 0)
		return cli_fail("out of memory");
	json_object_foreach(config, key, value) {
		_cleanup_free_ char *text = layout_value_text(value);

		table_add(table, STYLE_NONE, "%s", key);
		table_add(table, STYLE_NONE, "%s", text ? text : "");
	}
	table_print(table, stdout, &(struct table_style){.width = cli->width, .color = cli->color});
	return EXIT_OK;
}

/* Several words, and one where a list is now, are a list; the controller reads numbers itself. */
static json_t *value_of(char **words, int n, const json_t *now)
{
	json_t *list_json;

	if (n == 1 && !json_is_array(now))
		return json_string(words[0]);
	list_json = json_array();
	for (int i = 0; i < n; i++)
		if (*words[i])
			json_array_append_new(list_json, json_string(words[i]));
	return list_json;
}

static int set(struct cli *cli, const char *name, const char *key, char **words, int n)
{
	_cleanup_json_ json_t *doc = NULL, *body = NULL;
	_cleanup_free_ char *front = NULL, *path = NULL;

	if (get(cli, name, &doc) < 0)
		return EXIT_FAILED;
	body = json_pack("{s:o}", "value",
			 value_of(words, n, json_object_get(json_object_get(doc, "config"), key)));
	front = request_path("/service/", name, "/");
	path = front ? request_path(front, key, "") : NULL;
	if (!body)
		return cli_usage(&verb_service, "the value is not UTF-8");
	if (request_call(cli, "PUT", path, body, NULL) < 0)
		return EXIT_FAILED;
	return show(cli, name, key);
}

static int service(struct cli *cli, int argc, char **argv)
{
	const char *error, *word;
	int n;

	n = args_parse(argv + 1, NULL, 0, false, &error, &word);
	if (n < 0)
		return cli_usage(&verb_service, "%s: %s", word, error);
	if (!n)
		return list(cli);
	if (n < 3)
		return show(cli, argv[1], argv[2]);
	return set(cli, argv[1], argv[2], argv + 3, n - 2);
}

const struct verb verb_service = {
	.name = "service",
	.usage = "[NAME [KEY [VALUE...]]]",
	.summary = "how the parts of the controller are configured",
	.help = "Without a NAME lists them, with one its keys. Several VALUEs are a list. A negative\n"
		"VALUE comes after \"--\".\n",
	.shows = true,
	.run = service,
};
