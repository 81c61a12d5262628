/* SPDX-License-Identifier: Apache-2.0 */
/* ebb apply: a whole site as one file says. */
#include <errno.h>
#include <string.h>

#include "args.h"
#include "cli.h"
#include "json_file.h"
#include "layout.h"
#include "layout_diff.h"
#include "layout_file.h"
#include "request.h"
#include "table.h"
#include "view.h"
#include "ebb/cleanup.h"
#include "ebb/http_client.h"

/* Of --dry-run: 0 nothing to do, 2 changes (1 as ever: it failed). */
#define EXIT_CHANGES 2
/* Documents in one answer, some MiB. */
#define PAGE 5000
/* So many of what was not done are told. */
#define TOLD_MAX 10

/* --- what there is --- */

/* The documents after `start` (NULL: from the first on); -> the name of the last of them. */
static int read_page(const struct cli *cli, const char *collection, const char *start, json_t *docs,
		     size_t *ret_n, const char **ret_last)
{
	_cleanup_free_ char *escaped = http_escape(start ? start : ""), *path = NULL;
	_cleanup_json_ json_t *list = NULL;
	json_t *doc;
	size_t i;
	int r;

	if (!escaped || asprintf(&path, "%s?live&limit=%d%s%s", collection, PAGE,
				 start ? "&start=" : "", escaped) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	r = request_call(cli, "GET", path, NULL, &list);
	if (r < 0)
		return r;
	json_array_foreach(list, i, doc) {
		json_object_set(docs, json_get_text(doc, "name"), doc);
		*ret_last = json_get_text(doc, "name");
	}
	*ret_n = json_array_size(list);
	return 0;
}

/* A collection as {NAME: document}, some at a time: of a large site all are too long an answer. */
static int read_all(const struct cli *cli, const char *collection, json_t *present, const char *key)
{
	json_t *docs = json_object();
	const char *last = NULL;
	size_t n = PAGE;
	int r = 0;

	if (json_object_set_new(present, key, docs) < 0)
		return -ENOMEM;
	while (r >= 0 && n == PAGE)
		r = read_page(cli, collection, last, docs, &n, &last);
	return r;
}

static bool tells_boundary(const json_t *item)
{
	const char *name;
	json_t *resource;

	json_object_foreach(json_object_get(item, "resources"), name, resource)
		if (json_object_get(resource, "boundary") ||
		    json_object_get(resource, "boundary_type"))
			return true;
	return false;
}

/* Only of what the layout tells boundaries of: each is a call. */
static int read_limits(const struct cli *cli, const json_t *layout, const char *kind,
		       json_t *present)
{
	json_t *limits = json_object_get(present, "limits"), *item;
	const char *name;

	json_object_foreach(json_object_get(layout, kind), name, item) {
		_cleanup_free_ char *path = request_path("/structure/", name, "/limits");
		json_t *doc = NULL;
		int r;

		if (!tells_boundary(item) ||
		    !json_object_get(json_object_get(present, "structures"), name))
			continue;
		r = request_call(cli, "GET", path, NULL, &doc);
		if (r < 0)
			return r;
		if (json_object_set_new(limits, name, doc) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* Each with its ETag, so that nobody's change is lost. */
static int read_rules(const struct cli *cli, const json_t *layout, json_t *present)
{
	json_t *rules = json_object_get(present, "rules"), *item;
	json_t *etags = json_object_get(present, "rule_etags");
	const char *name;

	json_object_foreach(json_object_get(layout, "rules"), name, item) {
		_cleanup_free_ char *path = request_path("/rule/", name, "");
		_cleanup_free_ char *etag = NULL, *error = NULL;
		json_t *doc = NULL;
		int r;

		r = request_send(cli, &(struct request){.method = "GET", .path = path}, &doc, &etag,
				 &error);
		if (r == -ENOENT)
			continue;
		if (r < 0) {
			cli_fail("%s", error ? error : strerror(-r));
			return r;
		}
		json_object_set_new(rules, name, doc);
		if (etag)
			json_object_set_new(etags, name, json_string(etag));
	}
	return 0;
}

static int read_present(const struct cli *cli, const json_t *layout, json_t **ret_present)
{
	_cleanup_json_ json_t *present =
		json_pack("{s:{}, s:{}, s:{}}", "limits", "rules", "rule_etags");
	int r;

	r = read_all(cli, "/structure/", present, "structures");
	if (r >= 0)
		r = read_all(cli, "/user/", present, "users");
	if (r >= 0)
		r = read_all(cli, "/service/", present, "services");
	if (r >= 0)
		r = read_rules(cli, layout, present);
	if (r >= 0)
		r = read_limits(cli, layout, "containers", present);
	if (r >= 0)
		r = read_limits(cli, layout, "applications", present);
	if (r >= 0)
		*ret_present = TAKE_PTR(present);
	return r;
}

/* --- doing it --- */

static void print_tame(const char *text)
{
	_cleanup_free_ char *tame = strdup(text);

	if (tame)
		text_tame(tame);
	fputs(tame ? tame : "", stdout);
}

static void print_change(const json_t *change)
{
	print_tame(json_get_text(change, "what"));
	fputs(" (", stdout);
	print_tame(json_get_text(change, "why"));
	fputs(")\n", stdout);
}

static void print_notes(const json_t *diff)
{
	json_t *text;
	size_t i;

	json_array_foreach(json_object_get(diff, "notes"), i, text) {
		fputs("note: ", stdout);
		print_tame(json_string_value(text));
		putchar('\n');
	}
}

/* What stays to be done, after a failure. */
static void print_left(const json_t *changes, size_t from)
{
	size_t n = json_array_size(changes);

	for (size_t i = from; i < n && i < from + TOLD_MAX; i++) {
		fputs("not done: ", stdout);
		print_change(json_array_get(changes, i));
	}
	if (n > from + TOLD_MAX)
		printf("not done: and %zu more\n", n - from - TOLD_MAX);
}

/* The end, whether all went well or not. */
static void print_summary(const struct cli *cli, const json_t *diff, size_t made)
{
	_cleanup_json_ json_t *whole = NULL;

	if (!cli->json) {
		print_notes(diff);
		return;
	}
	whole = json_copy((json_t *)diff);
	json_object_set_new(whole, "made", json_integer((json_int_t)made));
	cli_print_json(whole);
}

static int carry_out(const struct cli *cli, const json_t *diff)
{
	const json_t *changes = json_object_get(diff, "changes");
	size_t n = json_array_size(changes);

	for (size_t i = 0; i < n; i++) {
		const json_t *change = json_array_get(changes, i);
		const struct request request = {
			.method = json_get_text(change, "method"),
			.path = json_get_text(change, "path"),
			.body = json_object_get(change, "body"),
			.if_match = json_string_value(json_object_get(change, "if_match")),
			.only_new = json_is_true(json_object_get(change, "only_new")),
		};
		_cleanup_free_ char *error = NULL;
		int r;

		r = request_send(cli, &request, NULL, NULL, &error);
		if (r < 0) {
			if (!cli->json)
				print_left(changes, i);
			print_summary(cli, diff, i);
			return cli_fail("%s: %s. %zu of %zu changes are made: apply it again to go "
					"on",
					json_get_text(change, "what"), error ? error : strerror(-r),
					i, n);
		}
		if (cli->json)
			continue;
		printf("%zu/%zu ", i + 1, n);
		print_change(change);
		fflush(stdout);
	}
	if (!n && !cli->json)
		puts("Nothing to do: everything is as the layout says.");
	print_summary(cli, diff, n);
	return EXIT_OK;
}

static int show(const struct cli *cli, const json_t *diff)
{
	const json_t *changes = json_object_get(diff, "changes");
	json_t *change;
	size_t i;

	if (cli->json) {
		cli_print_json(diff);
	} else {
		json_array_foreach((json_t *)changes, i, change)
			print_change(change);
		print_notes(diff);
		if (!json_array_size(changes))
			puts("Nothing to do: everything is as the layout says.");
	}
	return json_array_size(changes) ? EXIT_CHANGES : EXIT_OK;
}

static int apply_layout(struct cli *cli, const char *path, bool dry_run, bool prune)
{
	_cleanup_json_ json_t *document = NULL, *layout = NULL, *present = NULL, *diff = NULL;
	_cleanup_free_ char *error = NULL;
	int r;

	if (layout_file_read(path, &document) < 0)
		return EXIT_FAILED;
	r = layout_parse(document, &layout, &error);
	if (r < 0)
		return cli_fail("%s: %s", json_file_name(path), error ? error : strerror(-r));
	if (read_present(cli, layout, &present) < 0)
		return EXIT_FAILED;
	r = layout_diff(present, layout, prune, &diff, &error);
	if (r < 0)
		return cli_fail("%s: %s. Nothing is changed", json_file_name(path),
				error ? error : strerror(-r));
	return dry_run ? show(cli, diff) : carry_out(cli, diff);
}

static int apply(struct cli *cli, int argc, char **argv)
{
	const char *error, *word, *path = NULL;
	bool dry_run = false, prune = false;
	const struct arg_option options[] = {
		{"--file", 'f', NULL, &path},
		{"--dry-run", 'n', &dry_run, NULL},
		{"--prune", 0, &prune, NULL},
	};
	int n;

	n = args_parse(argv + 1, options, ARRAY_SIZE(options), false, &error, &word);
	if (n < 0)
		return cli_usage(&verb_apply, "%s: %s", word, error);
	if (n || !path)
		return cli_usage(&verb_apply, "apply takes -f FILE");
	return apply_layout(cli, path, dry_run, prune);
}

const struct verb verb_apply = {
	.name = "apply",
	.usage = "-f FILE [--dry-run] [--prune]",
	.summary = "make a whole site as one file says",
	.help = "FILE is YAML, or JSON when its name ends in .json; \"-\" is standard input. It tells\n"
		"hosts, containers, applications, users, rules and services (docs/cli.md); what it does\n"
		"not tell stays. Applying it again changes nothing, or goes on where it stopped.\n"
		"  --dry-run, -n  print what would change, and change nothing: exit status 0 when\n"
		"                 there is nothing to do, 2 when there is (--json: as JSON)\n"
		"  --prune        desubscribe what is not in the file, of the kinds that are: without\n"
		"                 it nothing is taken out. Rules and services always stay\n",
	.run = apply,
};
