/* SPDX-License-Identifier: Apache-2.0 */
/* ebb why: what was decided about a container, and on what grounds. */
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "cli.h"
#include "explain.h"
#include "request.h"
#include "table.h"
#include "view.h"
#include "ebb/cleanup.h"
#include "ebb/util.h"

/* Nothing was decided: says why that may be. */
static int explain_silence(const struct cli *cli, const char *name)
{
	_cleanup_free_ char *path = request_path("/structure/", name, "?live");
	_cleanup_json_ json_t *doc = NULL;
	struct structure_view view;

	if (request_call(cli, "GET", path, NULL, &doc) < 0)
		return EXIT_FAILED;
	view_read(doc, &view);
	if (view.manual)
		puts("No decisions: another hand set its limits, and it is left alone. `ebb guard NAME` "
		     "changes that.");
	else if (!view.guard)
		puts("No decisions: it is not guarded. `ebb guard NAME` changes that.");
	else if (cli->standby_note)
		puts("No decisions are known here: the controller that leads has them.");
	else if (view.connection == CONNECTION_AWAY)
		puts("No decisions: its host's agent is not connected.");
	else
		puts("No decisions yet: usage has stayed between lower and upper.");
	return EXIT_OK;
}

static int why(struct cli *cli, int argc, char **argv)
{
	const char *limit_text = "10", *error, *word;
	const struct arg_option options[] = {{"--limit", 'n', NULL, &limit_text}};
	_cleanup_free_ char *path = NULL;
	_cleanup_json_ json_t *decisions = NULL;
	uint64_t limit;
	char rest[48];
	int n;

	n = args_parse(argv + 1, options, ARRAY_SIZE(options), false, &error, &word);
	if (n < 0)
		return cli_usage(&verb_why, "%s: %s", word, error);
	if (n != 1)
		return cli_usage(&verb_why, "why takes one NAME");
	if (parse_u64(limit_text, &limit) < 0 || !limit || limit > 10000)
		return cli_usage(&verb_why, "--limit takes a number from 1 to 10000");
	snprintf(rest, sizeof(rest), "&limit=%llu", (unsigned long long)limit);
	path = request_path("/decision/?structure=", argv[1], rest);
	if (request_call(cli, "GET", path, NULL, &decisions) < 0)
		return EXIT_FAILED;
	if (cli->json)
		return cli_print_json(decisions);
	if (!json_array_size(decisions))
		return explain_silence(cli, argv[1]);
	/* Newest last, next to the prompt. */
	for (size_t i = json_array_size(decisions); i-- > 0;) {
		_cleanup_free_ char *text =
			explain_decision(json_array_get(decisions, i), cli->color);

		if (!text)
			return cli_fail("out of memory");
		fputs(text, stdout);
	}
	return EXIT_OK;
}

const struct verb verb_why = {
	.name = "why",
	.usage = "NAME [--limit N] [--json]",
	.summary = "explain the last decisions about a container",
	.help = "For each: what was measured, which rule asked, what was planned, what came of it and\n"
		"how long it took. The newest is last.\n",
	.shows = true,
	.run = why,
};
