/* SPDX-License-Identifier: Apache-2.0 */
/* ebb sanity: what the Sanity Checker has found. */
#include <string.h>

#include "args.h"
#include "cli.h"
#include "request.h"
#include "table.h"
#include "view.h"
#include "ebb/cleanup.h"

static int sanity(struct cli *cli, int argc, char **argv)
{
	_cleanup_json_ json_t *doc = NULL;
	const char *error, *word;
	json_t *finding;
	size_t i, found;
	int n;

	n = args_parse(argv + 1, NULL, 0, false, &error, &word);
	if (n < 0)
		return cli_usage(&verb_sanity, "%s: %s", word, error);
	if (n > 1 || (n && strcmp(argv[1], "run") != 0))
		return cli_usage(&verb_sanity, "sanity takes nothing, or run");
	if (request_call(cli, n ? "POST" : "GET", n ? "/sanity/run" : "/sanity", NULL, &doc) < 0)
		return EXIT_FAILED;
	if (cli->json)
		return cli_print_json(doc);
	found = json_array_size(json_object_get(doc, "findings"));
	json_array_foreach(json_object_get(doc, "findings"), i, finding) {
		_cleanup_free_ char *text = strdup(json_get_text(finding, "message"));

		if (text)
			text_tame(text);
		printf("%s\n", text ? text : "");
	}
	printf("%zu found, %lld put right; %lld epochs%s\n", found,
	       (long long)json_get_integer(doc, "repairs", 0),
	       (long long)json_get_integer(doc, "epochs", 0),
	       json_is_true(json_object_get(doc, "active")) ? "" : ". It is not active");
	return EXIT_OK;
}

const struct verb verb_sanity = {
	.name = "sanity",
	.usage = "[run]",
	.summary = "what the Sanity Checker has found; run: let it look now",
	.help = "`ebb service sanity_checker ACTIVE true` lets it look from time to time.\n",
	.shows = true,
	.run = sanity,
};
