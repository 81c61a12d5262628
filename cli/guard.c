/* SPDX-License-Identifier: Apache-2.0 */
/* ebb guard, ebb unguard: let a container's limits follow its usage, or leave them as they are. */
#include <string.h>

#include "amount.h"
#include "args.h"
#include "cli.h"
#include "edit.h"
#include "request.h"
#include "ebb/cleanup.h"

/* --cpu MIN..MAX and its like. */
struct range {
	enum ebb_resource resource;
	const char *text;
	int64_t min, max;
};

/* Guards the resources that a range was given for. */
static int guard_named(const struct cli *cli, const char *name, const struct range *ranges,
		       size_t n)
{
	_cleanup_free_ char *path = request_path("/structure/", name, "/resources/guard");
	_cleanup_json_ json_t *body = json_pack("{s:[]}", "resources");
	json_t *list = json_object_get(body, "resources");

	for (size_t i = 0; i < n; i++)
		if (ranges[i].text)
			json_array_append_new(list,
					      json_string(ebb_resource_name(ranges[i].resource)));
	return json_array_size(list) ? request_call(cli, "PUT", path, body, NULL) : 0;
}

static int guard(struct cli *cli, int argc, char **argv)
{
	struct range ranges[] = {
		{.resource = EBB_CPU},        {.resource = EBB_MEM}, {.resource = EBB_DISK_READ},
		{.resource = EBB_DISK_WRITE}, {.resource = EBB_NET},
	};
	const struct arg_option options[] = {
		{"--cpu", 0, NULL, &ranges[0].text},
		{"--mem", 0, NULL, &ranges[1].text},
		{"--disk-read", 0, NULL, &ranges[2].text},
		{"--disk-write", 0, NULL, &ranges[3].text},
		{"--net", 0, NULL, &ranges[4].text},
	};
	_cleanup_free_ char *path = NULL;
	_cleanup_json_ json_t *doc = NULL;
	const char *error, *word, *name;
	int n;

	n = args_parse(argv + 1, options, ARRAY_SIZE(options), false, &error, &word);
	if (n < 0)
		return cli_usage(&verb_guard, "%s: %s", word, error);
	if (n != 1)
		return cli_usage(&verb_guard, "guard takes one NAME");
	name = argv[1];
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
		if (ranges[i].text && amount_parse_range(ranges[i].resource, ranges[i].text,
							 &ranges[i].min, &ranges[i].max) < 0)
			return cli_usage(&verb_guard, "'%s' is not a range of %s, such as %s",
					 ranges[i].text, ebb_resource_name(ranges[i].resource),
					 ranges[i].resource == EBB_CPU   ? "20..200 or 0.2c..2c"
					 : ranges[i].resource == EBB_NET ? "10..100"
									 : "256M..1G");

	if (edit_get(cli, name, &doc) < 0)
		return EXIT_FAILED;
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
		if (ranges[i].text &&
		    edit_range(cli, doc, ranges[i].resource, ranges[i].min, ranges[i].max) < 0)
			return EXIT_FAILED;
	path = request_path("/structure/", name, "/guard");
	if (guard_named(cli, name, ranges, ARRAY_SIZE(ranges)) < 0 ||
	    request_call(cli, "PUT", path, NULL, NULL) < 0 || edit_report(cli, name) < 0)
		return EXIT_FAILED;
	return EXIT_OK;
}

static int unguard(struct cli *cli, int argc, char **argv)
{
	_cleanup_free_ char *path = NULL;
	const char *error, *word;
	int n;

	n = args_parse(argv + 1, NULL, 0, false, &error, &word);
	if (n < 0)
		return cli_usage(&verb_unguard, "%s: %s", word, error);
	if (n != 1)
		return cli_usage(&verb_unguard, "unguard takes one NAME");
	path = request_path("/structure/", argv[1], "/unguard");
	if (request_call(cli, "PUT", path, NULL, NULL) < 0 || edit_report(cli, argv[1]) < 0)
		return EXIT_FAILED;
	return EXIT_OK;
}

const struct verb verb_guard = {
	.name = "guard",
	.usage = "NAME [--cpu MIN..MAX] [--mem MIN..MAX] [--disk-read MIN..MAX] [--disk-write "
		 "MIN..MAX] [--net MIN..MAX]",
	.summary = "let a container's limits follow its usage",
	.help = "A range sets how far the limit may go, and guards that resource. CPU in shares (100\n"
		"= one core) or cores: 20..200, 0.2c..2c. Memory in MiB or with a unit: 256..1024,\n"
		"256M..1G. Disk in MiB/s, network in Mbit/s. One end may be left out: ..2c keeps\n"
		"the minimum.\n"
		"Without a range the container is guarded within the ranges it has.\n",
	.run = guard,
};

const struct verb verb_unguard = {
	.name = "unguard",
	.usage = "NAME",
	.summary = "leave a container's limits as they are now",
	.help = "The limits in force stay, and so do the container's ranges.\n",
	.run = unguard,
};
