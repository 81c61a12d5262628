/* SPDX-License-Identifier: Apache-2.0 */
/* ebb reflex: may the agent of a container raise its limits by itself? */
#include <string.h>

#include "args.h"
#include "cli.h"
#include "edit.h"
#include "table.h"
#include "ebb/cleanup.h"

static int report(const struct cli *cli, const char *name)
{
	_cleanup_free_ char *tame = strdup(name);
	_cleanup_json_ json_t *doc = NULL;

	if (edit_get(cli, name, &doc) < 0)
		return EXIT_FAILED;
	if (cli->json)
		return cli_print_json(doc);
	if (tame)
		text_tame(tame);
	printf("reflex of %s is %s\n", tame ? tame : "",
	       json_is_false(json_object_get(doc, "reflex")) ? "off" : "on");
	return EXIT_OK;
}

static int reflex(struct cli *cli, int argc, char **argv)
{
	const char *error, *word;
	int n;

	n = args_parse(argv + 1, NULL, 0, false, &error, &word);
	if (n < 0)
		return cli_usage(&verb_reflex, "%s: %s", word, error);
	if (n != 1 && n != 2)
		return cli_usage(&verb_reflex, "reflex takes a NAME, and on or off");
	if (n == 2 && strcmp(argv[2], "on") && strcmp(argv[2], "off") != 0)
		return cli_usage(&verb_reflex, "'%s' is neither on nor off", argv[2]);
	if (n == 2 && edit_put(cli, argv[1], "/reflex", json_boolean(!strcmp(argv[2], "on"))) < 0)
		return EXIT_FAILED;
	return report(cli, argv[1]);
}

const struct verb verb_reflex = {
	.name = "reflex",
	.usage = "NAME [on|off]",
	.summary = "may an agent raise a container's limits by itself",
	.help = "Between two decisions of the controller an agent raises a guarded container that is\n"
		"short of CPU or memory, inside of what the controller has leased to it. Off: this\n"
		"container waits for the controller. For the whole site it is switched with\n"
		"ebb service scaler REFLEX true|false.\n",
	.run = reflex,
};
