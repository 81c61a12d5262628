/* SPDX-License-Identifier: Apache-2.0 */
/* ebb set: one parameter of one resource. */
#include <string.h>

#include "amount.h"
#include "args.h"
#include "cli.h"
#include "edit.h"
#include "request.h"
#include "ebb/cleanup.h"
#include "ebb/util.h"

static int put(const struct cli *cli, const char *name, const char *group, const char *resource,
	       const char *param, json_t *value)
{
	char rest[96];

	snprintf(rest, sizeof(rest), "/%s/%s/%s", group, resource, param);
	return edit_put(cli, name, rest, value);
}

/* --- hosts --- */

/* Of how its cores are handed out, or where its containers are measured. */
static int set_word(const struct cli *cli, const char *name, const char *key, const char *text)
{
	char rest[64];

	snprintf(rest, sizeof(rest), "/%s", key);
	if (edit_put(cli, name, rest, json_string(text)) < 0)
		return EXIT_FAILED;
	printf("%s of %s is set\n", key, name);
	return EXIT_OK;
}

static int set_drift(const struct cli *cli, const char *name, const char *text)
{
	if (edit_put(cli, name, "/drift", strcmp(text, "site") ? json_string(text) : json_null()) <
	    0)
		return EXIT_FAILED;
	printf("drift of %s is set\n", name);
	return EXIT_OK;
}

/* Both sizes go along in one call. */
static int set_disk(const struct cli *cli, char **words)
{
	const char *name = words[0], *disk_name = words[2], *param = words[3];
	_cleanup_free_ char *path = request_path("/structure/host/", name, "/disks");
	_cleanup_json_ json_t *doc = NULL, *body = NULL;
	json_t *disk;
	int64_t amount;

	if (strcmp(param, "max_read") && strcmp(param, "max_write") != 0)
		return cli_usage(&verb_set, "'%s' of a disk cannot be set: max_read or max_write",
				 param);
	if (amount_parse(EBB_DISK_READ, words[4], &amount) < 0)
		return cli_usage(&verb_set, "'%s' is not an amount of MiB/s", words[4]);
	if (edit_get(cli, name, &doc) < 0)
		return EXIT_FAILED;
	disk = json_object_get(json_object_get(json_object_get(doc, "resources"), "disks"),
			       disk_name);
	if (!disk)
		return cli_fail("%s has no disk '%s'", name, disk_name);
	body = json_pack("{s:{s:[{s:s, s:O, s:O}]}}", "resources", "disks", "name", disk_name,
			 "max_read", json_object_get(disk, "max_read"), "max_write",
			 json_object_get(disk, "max_write"));
	disk = json_array_get(json_object_get(json_object_get(body, "resources"), "disks"), 0);
	json_object_set_new(disk, param, json_integer(amount));
	if (request_call(cli, "POST", path, body, NULL) < 0)
		return EXIT_FAILED;
	printf("%s of disk %s of %s is set\n", param, disk_name, name);
	return EXIT_OK;
}

static int set(struct cli *cli, int argc, char **argv)
{
	const char *error, *word, *name, *param, *text;
	enum ebb_resource resource;
	int64_t amount;
	double number;
	int n, r;

	n = args_parse(argv + 1, NULL, 0, false, &error, &word);
	if (n < 0)
		return cli_usage(&verb_set, "%s: %s", word, error);
	if (n == 3 && !strcmp(argv[2], "drift"))
		return set_drift(cli, argv[1], argv[3]);
	if (n == 3 && (!strcmp(argv[2], "core_distribution") || !strcmp(argv[2], "feed")))
		return set_word(cli, argv[1], argv[2], argv[3]);
	if (n == 5 && !strcmp(argv[2], "disk"))
		return set_disk(cli, argv + 1);
	if (n != 4)
		return cli_usage(&verb_set, "set takes four words");
	name = argv[1];
	param = argv[3];
	text = argv[4];
	resource = ebb_resource_from_name(argv[2]);
	if (resource == EBB_RESOURCE_INVALID)
		return cli_usage(&verb_set,
				 "'%s' is not a resource: cpu, mem, disk_read, disk_write, net, "
				 "energy",
				 argv[2]);

	if (!strcmp(param, "max") || !strcmp(param, "min")) {
		if (amount_parse(resource, text, &amount) < 0)
			return cli_usage(&verb_set, "'%s' is not an amount of %s", text, argv[2]);
		r = put(cli, name, "resources", argv[2], param, json_integer(amount));
	} else if (!strcmp(param, "weight") || !strcmp(param, "boundary")) {
		if (parse_double(text, &number) < 0)
			return cli_usage(&verb_set, "'%s' is not a number", text);
		r = put(cli, name, strcmp(param, "weight") ? "limits" : "resources", argv[2], param,
			json_real(number));
	} else if (!strcmp(param, "boundary_type")) {
		r = put(cli, name, "limits", argv[2], param, json_string(text));
	} else if (!strcmp(param, "guard") && (!strcmp(text, "yes") || !strcmp(text, "no"))) {
		r = put(cli, name, "resources", argv[2], strcmp(text, "no") ? "guard" : "unguard",
			json_null());
	} else {
		return cli_usage(&verb_set,
				 "'%s %s' cannot be set: max, min, weight, boundary (percent), "
				 "boundary_type, or guard (yes, no)",
				 param, text);
	}
	if (r < 0 || edit_report(cli, name) < 0)
		return EXIT_FAILED;
	return EXIT_OK;
}

const struct verb verb_set = {
	.name = "set",
	.usage =
		"NAME RESOURCE PARAM VALUE | NAME drift VALUE | HOST core_distribution|feed VALUE | HOST disk DISK "
		"max_read|max_write VALUE",
	.summary = "change one parameter of a resource of a container, application or host",
	.help = "RESOURCE  cpu, mem, disk_read, disk_write, net, energy\n"
		"PARAM     max, min       how far the limit may go: 200 or 2c; 1024 or 1G\n"
		"          weight         its share where shares are weighed\n"
		"          boundary       percent between limit and upper, upper and lower: 0..100\n"
		"          boundary_type  percentage_of_max or percentage_of_current\n"
		"          guard          yes or no: this resource alone\n"
		"drift is what becomes of limits that somebody else changes: reassert, accept, manual,\n"
		"or site for what DRIFT of the service scaler says.\n"
		"Of hosts: core_distribution is how cores are handed out: Group_P&L, Group_1P_2L,\n"
		"Group_PP_LL, Spread_P&L, Spread_PP_LL, Group_NUMA or none; feed where containers are\n"
		"measured: local, opentsdb or auto.\n",
	.run = set,
};
