/* SPDX-License-Identifier: Apache-2.0 */
/* ebb rule: one rule by itself. */
#include <errno.h>
#include <string.h>

#include "args.h"
#include "cli.h"
#include "json_file.h"
#include "controller/jsonlogic.h"
#include "ebb/cleanup.h"

/* A whole rule document has its logic as "rule"; JsonLogic has no operator of that name. */
static const json_t *logic_of(const json_t *rule)
{
	const json_t *logic = json_object_get(rule, "rule");

	return logic ? logic : rule;
}

static int eval(const char *rule_path, const char *data_path)
{
	_cleanup_json_ json_t *rule = NULL, *data = NULL, *result = NULL;
	_cleanup_free_ char *error = NULL;
	struct jsonlogic *logic;
	int r;

	r = json_file_read(rule_path, &rule);
	if (r >= 0)
		r = json_file_read(data_path, &data);
	if (r < 0)
		return r == -EINVAL ? EXIT_USAGE : EXIT_FAILED;
	r = jsonlogic_compile(logic_of(rule), NULL, NULL, &logic, &error);
	if (r < 0) {
		cli_fail("%s: %s", json_file_name(rule_path), error ? error : strerror(-r));
		return r == -EINVAL ? EXIT_USAGE : EXIT_FAILED;
	}
	result = jsonlogic_apply(logic, data);
	jsonlogic_free(logic);
	if (!result)
		return cli_fail("out of memory");
	if (json_dumpf(result, stdout, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15)) <
		    0 ||
	    fputc('\n', stdout) == EOF)
		return EXIT_FAILED;
	return EXIT_OK;
}

static int rule(struct cli *cli, int argc, char **argv)
{
	const char *error, *word;
	int r;

	r = args_parse(argv + 1, NULL, 0, false, &error, &word);
	if (r < 0)
		return cli_usage(&verb_rule, "%s: %s", word, error);
	if (!r || strcmp(argv[1], "eval") != 0)
		return cli_usage(&verb_rule, "what is to be done with the rule: eval");
	if (r != 3)
		return cli_usage(&verb_rule, "eval takes a rule and its data");
	if (!strcmp(argv[2], "-") && !strcmp(argv[3], "-"))
		return cli_usage(&verb_rule, "only one of the two can be standard input");
	return eval(argv[2], argv[3]);
}

const struct verb verb_rule = {
	.name = "rule",
	.usage = "eval RULE.json DATA.json",
	.summary = "the value of a rule's JsonLogic over some data",
	.help = "RULE is a rule document or only its \"rule\", DATA any JSON; \"-\" is standard input.\n"
		"Prints the result as JSON.\n",
	.offline = true,
	.run = rule,
};
