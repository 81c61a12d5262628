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
	.usage = "NAME RESOURCE PARAM VALUE",
	.summary = "change one parameter of one resource of a container",
	.help = "RESOURCE  cpu, mem, disk_read, disk_write, net, energy\n"
		"PARAM     max, min       how far the limit may go: 200 or 2c; 1024 or 1G\n"
		"          weight         its share where shares are weighed\n"
		"          boundary       percent between limit and upper, upper and lower: 0..100\n"
		"          boundary_type  percentage_of_max or percentage_of_current\n"
		"          guard          yes or no: this resource alone\n",
	.run = set,
};
