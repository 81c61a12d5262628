/* SPDX-License-Identifier: Apache-2.0 */
/* ebb app, ebb user: applications with their containers, users with their applications. */
#include <math.h>
#include <string.h>

#include "amount.h"
#include "args.h"
#include "cli.h"
#include "request.h"
#include "table.h"
#include "view.h"
#include "ebb/cleanup.h"
#include "ebb/util.h"

/* How the two verbs differ. */
struct owner {
	const struct verb *verb;
	const char *list_path; /* "/structure/?subtype=application" */
	const char *prefix;    /* "/structure/" */
	const char *members;   /* "containers" */
	bool user;
};

static const struct owner apps = {&verb_app, "/structure/?subtype=application", "/structure/",
				  "containers", false};
static const struct owner users = {&verb_user, "/user/", "/user/", "clusters", true};

static const struct column app_columns[] = {
	{.title = "NAME", .shrink = 12}, {.title = "GUARDED"},
	{.title = "STATE", .drop = 2},   {.title = "CPU", .right = true},
	{.title = "MEM", .right = true}, {.title = "CONTAINERS", .right = true},
};
static const struct column user_columns[] = {
	{.title = "NAME", .shrink = 12},
	{.title = "CPU", .right = true},
	{.title = "MEM", .right = true},
	{.title = "APPS", .right = true},
};

static void add_range(struct table *table, const struct resource_view *view)
{
	if (view->present)
		table_add(table, STYLE_NONE, "%lld..%lld", (long long)view->min,
			  (long long)view->max);
	else
		table_add(table, STYLE_DIM, "-");
}

static int compare(const void *a, const void *b)
{
	return strcmp(json_get_text(*(json_t *const *)a, "name"),
		      json_get_text(*(json_t *const *)b, "name"));
}

static void add_row(struct table *table, const struct owner *owner, const json_t *doc)
{
	struct structure_view view;

	view_read(doc, &view);
	table_add(table, STYLE_NONE, "%s", view.name);
	if (!owner->user) {
		table_add(table, view.guard ? STYLE_GREEN : STYLE_DIM, "%s",
			  view.guard ? "yes" : "no");
		table_add(table, STYLE_NONE, "%s", json_get_text(doc, "state"));
	}
	add_range(table, &view.resources[EBB_CPU]);
	add_range(table, &view.resources[EBB_MEM]);
	table_add(table, STYLE_NONE, "%zu", json_array_size(json_object_get(doc, owner->members)));
}

static int list(struct cli *cli, const struct owner *owner)
{
	_cleanup_table_ struct table *table = NULL;
	_cleanup_json_ json_t *docs = NULL;
	_cleanup_free_ json_t **sorted = NULL;
	size_t n;
	int r;

	if (request_call(cli, "GET", owner->list_path, NULL, &docs) < 0)
		return EXIT_FAILED;
	if (cli->json)
		return cli_print_json(docs);
	n = json_array_size(docs);
	sorted = calloc(n + 1, sizeof(json_t *));
	r = owner->user ? table_new(user_columns, ARRAY_SIZE(user_columns), &table)
			: table_new(app_columns, ARRAY_SIZE(app_columns), &table);
	if (!sorted || r < 0)
		return cli_fail("out of memory");
	for (size_t i = 0; i < n; i++)
		sorted[i] = json_array_get(docs, i);
	qsort(sorted, n, sizeof(json_t *), compare);
	for (size_t i = 0; i < n; i++)
		add_row(table, owner, sorted[i]);
	table_print(table, stdout, &(struct table_style){.width = cli->width, .color = cli->color});
	return EXIT_OK;
}

static void print_tame(const char *text)
{
	_cleanup_free_ char *tame = strdup(text);

	if (tame)
		text_tame(tame);
	fputs(tame ? tame : "", stdout);
}

static void print_resources(const json_t *doc, const struct structure_view *view)
{
	for (int i = 0; i < EBB_RESOURCE_MAX; i++) {
		const struct resource_view *resource = &view->resources[i];
		const char *name = ebb_resource_name(i);
		double weight = json_get_real(
			json_object_get(json_object_get(doc, "resources"), name), "weight", NAN);

		if (!resource->present)
			continue;
		printf("  %-10s %lld..%lld %s", name, (long long)resource->min,
		       (long long)resource->max, ebb_resource_unit(i));
		if (resource->current >= 0)
			printf(", now %lld", (long long)resource->current);
		if (isfinite(weight))
			printf(", weight %g", weight);
		puts(view->guard && resource->guard ? ", guarded" : "");
	}
}

static int show(struct cli *cli, const struct owner *owner, const char *name)
{
	_cleanup_free_ char *path = request_path(owner->prefix, name, "");
	_cleanup_json_ json_t *doc = NULL;
	struct structure_view view;
	const char *state;
	json_t *member;
	size_t i;

	if (request_call(cli, "GET", path, NULL, &doc) < 0)
		return EXIT_FAILED;
	if (!owner->user && strcmp(json_get_text(doc, "subtype"), "application") != 0)
		return cli_fail("%s is a %s, not an application", name,
				json_get_text(doc, "subtype"));
	if (cli->json)
		return cli_print_json(doc);
	view_read(doc, &view);
	state = json_get_text(doc, "state");
	print_tame(name);
	if (*json_get_text(doc, "user")) {
		fputs(" of ", stdout);
		print_tame(json_get_text(doc, "user"));
	}
	printf("%s%s%s\n", *state ? ": " : "", state, view.guard ? ", guarded" : ", not guarded");
	print_resources(doc, &view);
	printf("  %s:", owner->user ? "apps" : "containers");
	json_array_foreach(json_object_get(doc, owner->members), i, member) {
		putchar(' ');
		print_tame(json_string_value(member) ?: "?");
	}
	putchar('\n');
	return EXIT_OK;
}

/* The containers are in the path of the one, the applications in that of the other. */
static char *member_path(const struct owner *owner, const char *name, const char *member)
{
	_cleanup_free_ char *front = owner->user
					     ? request_path("/user/clusters/", name, "/")
					     : request_path("/structure/container/", member, "/");

	return front ? request_path(front, owner->user ? member : name, "") : NULL;
}

static int change_members(struct cli *cli, const struct owner *owner, const char *name, bool add,
			  char **members)
{
	for (; *members; members++) {
		_cleanup_free_ char *path = member_path(owner, name, *members);

		if (request_call(cli, add ? "PUT" : "DELETE", path, NULL, NULL) < 0)
			return EXIT_FAILED;
	}
	return show(cli, owner, name);
}

static int set_state(struct cli *cli, const struct owner *owner, const char *name,
		     const char *state)
{
	_cleanup_free_ char *front = request_path("/structure/", name, "/state/");
	_cleanup_free_ char *path = front ? request_path(front, state, "") : NULL;

	if (request_call(cli, "PUT", path, NULL, NULL) < 0)
		return EXIT_FAILED;
	return show(cli, owner, name);
}

/* RESOURCE max|min|weight VALUE of a user; of applications `ebb set` does it. */
static int set_range(struct cli *cli, const struct owner *owner, const char *name, char **words)
{
	enum ebb_resource resource = ebb_resource_from_name(words[0]);
	_cleanup_json_ json_t *body = NULL;
	_cleanup_free_ char *path = NULL;
	char rest[64];
	int64_t amount;
	double number;

	if (resource == EBB_RESOURCE_INVALID)
		return cli_usage(owner->verb,
				 "'%s' is not a resource: cpu, mem, disk_read, disk_write, net, "
				 "energy",
				 words[0]);
	if (!strcmp(words[1], "weight") && parse_double(words[2], &number) >= 0)
		body = json_pack("{s:f}", "value", number);
	else if ((!strcmp(words[1], "max") || !strcmp(words[1], "min")) &&
		 amount_parse(resource, words[2], &amount) >= 0)
		body = json_pack("{s:I}", "value", (json_int_t)amount);
	else
		return cli_usage(owner->verb,
				 "'%s %s' cannot be set: max, min or weight, and an "
				 "amount",
				 words[1], words[2]);
	snprintf(rest, sizeof(rest), "/resources/%s/%s", words[0], words[1]);
	path = request_path("/user/", name, rest);
	if (request_call(cli, "PUT", path, body, NULL) < 0)
		return EXIT_FAILED;
	return show(cli, owner, name);
}

/* guard|unguard [RESOURCE...] of a user; of applications `ebb guard` does it. */
static int set_guard(struct cli *cli, const struct owner *owner, const char *name, char **words)
{
	bool whole = !words[1];

	for (char **resource = words + 1; whole || *resource; resource++) {
		_cleanup_free_ char *path = NULL;
		char rest[64];

		if (!whole && ebb_resource_from_name(*resource) == EBB_RESOURCE_INVALID)
			return cli_usage(owner->verb,
					 "'%s' is not a resource: cpu, mem, disk_read, disk_write, "
					 "net, energy",
					 *resource);
		snprintf(rest, sizeof(rest), "%s%s/%s", whole ? "" : "/resources/",
			 whole ? "" : *resource, words[0]);
		path = request_path("/user/", name, rest);
		if (request_call(cli, "PUT", path, NULL, NULL) < 0)
			return EXIT_FAILED;
		if (whole)
			break;
	}
	return show(cli, owner, name);
}

static int run(struct cli *cli, const struct owner *owner, char **argv)
{
	const char *error, *word, *what;
	char **words = argv + 1;
	int n;

	n = args_parse(words, NULL, 0, false, &error, &word);
	if (n < 0)
		return cli_usage(owner->verb, "%s: %s", word, error);
	if (!n || (n == 1 && !strcmp(words[0], "ls")))
		return list(cli, owner);
	if (n == 2 && !strcmp(words[0], "show"))
		return show(cli, owner, words[1]);
	what = n > 1 ? words[1] : "";
	if (n > 2 && (!strcmp(what, "add") || !strcmp(what, "rm")))
		return change_members(cli, owner, words[0], !strcmp(what, "add"), words + 2);
	if (!owner->user && n == 3 && !strcmp(what, "state"))
		return set_state(cli, owner, words[0], words[2]);
	if (owner->user && n > 1 && (!strcmp(what, "guard") || !strcmp(what, "unguard")))
		return set_guard(cli, owner, words[0], words + 1);
	if (owner->user && n == 5 && !strcmp(what, "set"))
		return set_range(cli, owner, words[0], words + 2);
	return cli_usage(owner->verb, "that is none of what can be done");
}

static int app(struct cli *cli, int argc, char **argv)
{
	return run(cli, &apps, argv);
}

static int user(struct cli *cli, int argc, char **argv)
{
	return run(cli, &users, argv);
}

const struct verb verb_app = {
	.name = "app",
	.usage = "[ls] | show APP | APP add|rm CONTAINER... | APP state STATE",
	.summary = "applications, and the containers that belong to them",
	.help = "STATE is running, stopped, hdfs_downloading or hdfs_uploading. Applications come and\n"
		"go with `ebb subscribe app`, and are guarded and set as containers are.\n",
	.shows = true,
	.run = app,
};

const struct verb verb_user = {
	.name = "user",
	.usage =
		"[ls] | show USER | USER add|rm APP... | USER guard|unguard [RESOURCE...] | USER set "
		"RESOURCE max|min|weight VALUE",
	.summary = "users, and the applications that belong to them",
	.help = "Users come and go with `ebb subscribe user`.\n",
	.shows = true,
	.run = user,
};
