/* SPDX-License-Identifier: Apache-2.0 */
/* ebb subscribe, ebb desubscribe: hosts, containers, applications and users come in and go. */
#include <errno.h>
#include <string.h>

#include "amount.h"
#include "args.h"
#include "cli.h"
#include "edit.h"
#include "layout.h"
#include "layout_file.h"
#include "request.h"
#include "table.h"
#include "view.h"
#include "ebb/cleanup.h"
#include "ebb/util.h"

enum kind { KIND_HOST, KIND_CONTAINER, KIND_APP, KIND_USER, KIND_MAX };

static const struct {
	const char *name, *prefix;
} kinds[KIND_MAX] = {
	[KIND_HOST] = {"host", "/structure/host/"},
	[KIND_CONTAINER] = {"container", "/structure/container/"},
	[KIND_APP] = {"app", "/structure/apps/"},
	[KIND_USER] = {"user", "/user/"},
};

/* KIND_MAX: none. */
static enum kind kind_from_name(const char *name)
{
	if (!strcmp(name, "application"))
		return KIND_APP;
	for (int i = 0; i < KIND_MAX; i++)
		if (!strcmp(kinds[i].name, name))
			return i;
	return KIND_MAX;
}

static int no_kind(const struct verb *verb, int n, char **words)
{
	return n < 1 ? cli_usage(verb, "what: host, container, app or user")
		     : cli_usage(verb, "there is no kind '%s': host, container, app, user",
				 words[0]);
}

static void print_done(enum kind kind, const char *name, const char *what)
{
	_cleanup_free_ char *tame = strdup(name);

	if (tame)
		text_tame(tame);
	printf("%s %s is %s\n", kinds[kind].name, tame ? tame : "", what);
}

/* --- subscribe --- */

struct wish {
	const char *host, *address, *boundary, *file;
	const char *ranges[EBB_RESOURCE_MAX];
	bool guard;
};

/* "20..200", or a max alone. */
static int add_range(json_t *resources, enum kind kind, enum ebb_resource resource,
		     const char *text)
{
	const char *name = ebb_resource_name(resource);
	int64_t min = -1, max = -1;
	json_t *object;
	int r;

	r = strstr(text, "..") ? amount_parse_range(resource, text, &min, &max)
			       : amount_parse(resource, text, &max);
	if (r < 0 || (kind == KIND_HOST && min >= 0))
		return cli_usage(&verb_subscribe, "'%s' is not %s of %s, such as %s", text,
				 kind == KIND_HOST ? "an amount" : "a range", name,
				 kind == KIND_HOST     ? "800"
				 : resource == EBB_CPU ? "20..200 or 0.2c..2c"
						       : "256..1024");
	object = json_object();
	if (min >= 0)
		json_object_set_new(object, "min", json_integer(min));
	if (max >= 0)
		json_object_set_new(object, "max", json_integer(max));
	json_object_set_new(resources, name, object);
	return EXIT_OK;
}

static int set_boundaries(json_t *resources, const char *text)
{
	static const char *const always[] = {"cpu", "mem"};
	uint64_t boundary;
	const char *name;
	json_t *resource;

	if (parse_u64(text, &boundary) < 0 || boundary > 100)
		return cli_usage(&verb_subscribe, "'%s' is not a percentage, 0 to 100", text);
	for (size_t i = 0; i < ARRAY_SIZE(always); i++)
		if (!json_object_get(resources, always[i]))
			json_object_set_new(resources, always[i], json_object());
	json_object_foreach(resources, name, resource)
		json_object_set_new(resource, "boundary", json_integer((json_int_t)boundary));
	return EXIT_OK;
}

/* As a layout would have it. EXIT_OK, or an exit status. */
static int item_of(enum kind kind, const struct wish *wish, json_t **ret_item)
{
	_cleanup_json_ json_t *item = json_pack("{s:{}}", "resources");
	json_t *resources = json_object_get(item, "resources");
	int status;

	for (int i = 0; i < EBB_RESOURCE_MAX; i++) {
		if (!wish->ranges[i])
			continue;
		status = add_range(resources, kind, i, wish->ranges[i]);
		if (status != EXIT_OK)
			return status;
	}
	if (wish->boundary) {
		status = set_boundaries(resources, wish->boundary);
		if (status != EXIT_OK)
			return status;
	}
	if (wish->address)
		json_object_set_new(item, "address", json_string(wish->address));
	if (wish->host)
		json_object_set_new(item, "host", json_string(wish->host));
	json_object_set_new(item, "guard", json_boolean(wish->guard));
	*ret_item = TAKE_PTR(item);
	return EXIT_OK;
}

/* Where an agent has found it. */
static int find_host(struct cli *cli, const char *name, json_t *item)
{
	_cleanup_free_ char *path = request_path("/structure/", name, ""), *error = NULL;
	_cleanup_json_ json_t *doc = NULL;
	int r;

	if (json_object_get(item, "host"))
		return EXIT_OK;
	r = request_send(cli, &(struct request){.method = "GET", .path = path}, &doc, NULL, &error);
	if (r < 0 && r != -ENOENT)
		return cli_fail("%s", error ? error : strerror(-r));
	if (!*json_get_text(doc, "host"))
		return cli_fail("no agent reports a container '%s': say on which host it is, with "
				"--host",
				name);
	json_object_set(item, "host", json_object_get(doc, "host"));
	return EXIT_OK;
}

static int body_of(struct cli *cli, enum kind kind, const char *name, const struct wish *wish,
		   json_t **ret_body)
{
	_cleanup_json_ json_t *item = NULL;
	int status;

	if (wish->file)
		return layout_file_read(wish->file, ret_body) < 0 ? EXIT_FAILED : EXIT_OK;
	status = item_of(kind, wish, &item);
	if (status == EXIT_OK && kind == KIND_CONTAINER)
		status = find_host(cli, name, item);
	if (status != EXIT_OK)
		return status;
	switch (kind) {
	case KIND_HOST: *ret_body = layout_host_body(name, item); break;
	case KIND_CONTAINER: *ret_body = layout_container_body(name, item, NULL); break;
	case KIND_APP: *ret_body = layout_application_body(name, item); break;
	default: *ret_body = layout_user_body(name, item); break;
	}
	return EXIT_OK;
}

static int subscribe_one(struct cli *cli, enum kind kind, const char *name, const struct wish *wish)
{
	_cleanup_free_ char *path = request_path(kinds[kind].prefix, name, "");
	_cleanup_json_ json_t *body = NULL, *doc = NULL;
	int status;

	status = body_of(cli, kind, name, wish, &body);
	if (status != EXIT_OK)
		return status;
	if (request_call(cli, "PUT", path, body, &doc) < 0)
		return EXIT_FAILED;
	if (cli->json)
		return cli_print_json(doc);
	print_done(kind, name, "subscribed");
	return EXIT_OK;
}

static int subscribe(struct cli *cli, int argc, char **argv)
{
	struct wish wish = {};
	const struct arg_option options[] = {
		{"--host", 0, NULL, &wish.host},
		{"--address", 0, NULL, &wish.address},
		{"--boundary", 0, NULL, &wish.boundary},
		{"--file", 'f', NULL, &wish.file},
		{"--guard", 0, &wish.guard, NULL},
		{"--cpu", 0, NULL, &wish.ranges[EBB_CPU]},
		{"--mem", 0, NULL, &wish.ranges[EBB_MEM]},
		{"--disk-read", 0, NULL, &wish.ranges[EBB_DISK_READ]},
		{"--disk-write", 0, NULL, &wish.ranges[EBB_DISK_WRITE]},
		{"--net", 0, NULL, &wish.ranges[EBB_NET]},
		{"--energy", 0, NULL, &wish.ranges[EBB_ENERGY]},
	};
	const char *error, *word;
	int n, status = EXIT_OK;
	enum kind kind;

	n = args_parse(argv + 1, options, ARRAY_SIZE(options), false, &error, &word);
	if (n < 0)
		return cli_usage(&verb_subscribe, "%s: %s", word, error);
	kind = n ? kind_from_name(argv[1]) : KIND_MAX;
	if (kind == KIND_MAX)
		return no_kind(&verb_subscribe, n, argv + 1);
	if (n < 2)
		return cli_usage(&verb_subscribe, "the NAME is missing");
	if (wish.file && n > 2)
		return cli_usage(&verb_subscribe, "a file tells one NAME");
	if ((wish.host && kind != KIND_CONTAINER) || (wish.address && kind != KIND_HOST) ||
	    (wish.guard && kind != KIND_CONTAINER && kind != KIND_APP) ||
	    (wish.boundary && kind != KIND_CONTAINER && kind != KIND_APP))
		return cli_usage(&verb_subscribe, "--host is for containers, --address for hosts, "
						  "--guard and --boundary for containers and apps");
	for (int i = 2; i <= n && status == EXIT_OK; i++)
		status = subscribe_one(cli, kind, argv[i], &wish);
	return status;
}

const struct verb verb_subscribe = {
	.name = "subscribe",
	.usage = "host|container|app|user NAME... [OPTION...] [-f FILE]",
	.summary = "take hosts, containers, applications or users in",
	.help = "host       --address IP[:PORT] of its agent or Container Scaler (NAME:8000), --cpu,\n"
		"           --mem: what it has, where no agent tells (800, 24576)\n"
		"container  --host HOST (where an agent has found it), --cpu MIN..MAX (20..200), --mem\n"
		"           MIN..MAX (512..6144), --guard, --boundary PERCENT (10). Its limits start\n"
		"           at the maximum\n"
		"app        --cpu (20..1600), --mem (512..24576), --guard, --boundary (5)\n"
		"user       --cpu, --mem as of an app\n"
		"--disk-read, --disk-write, --net and --energy likewise. -f FILE: the whole body, as\n"
		"docs/api.md has it, in JSON or YAML; \"-\" is standard input.\n",
	.run = subscribe,
};

/* --- desubscribe --- */

static int desubscribe(struct cli *cli, int argc, char **argv)
{
	const char *error, *word;
	enum kind kind;
	int n;

	n = args_parse(argv + 1, NULL, 0, false, &error, &word);
	if (n < 0)
		return cli_usage(&verb_desubscribe, "%s: %s", word, error);
	kind = n ? kind_from_name(argv[1]) : KIND_MAX;
	if (kind == KIND_MAX)
		return no_kind(&verb_desubscribe, n, argv + 1);
	if (n < 2)
		return cli_usage(&verb_desubscribe, "the NAME is missing");
	for (int i = 2; i <= n; i++) {
		_cleanup_free_ char *path = request_path(kinds[kind].prefix, argv[i], "");
		_cleanup_json_ json_t *doc = NULL;

		if (request_call(cli, "DELETE", path, NULL, &doc) < 0)
			return EXIT_FAILED;
		if (cli->json)
			cli_print_json(doc);
		else
			print_done(kind, argv[i], "desubscribed");
	}
	return EXIT_OK;
}

const struct verb verb_desubscribe = {
	.name = "desubscribe",
	.usage = "host|container|app|user NAME...",
	.summary = "let hosts, containers, applications or users go",
	.help = "What a container held goes back to its host; its limits stay in force. An application\n"
		"leaves its containers as they are, a user its applications.\n",
	.run = desubscribe,
};
