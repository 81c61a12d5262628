/* SPDX-License-Identifier: Apache-2.0 */
/* ebb rule: one rule by itself. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
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

static bool print_scalar(const json_t *value, FILE *out)
{
	_cleanup_free_ char *text = NULL;

	/* The fewest digits that read back as the same number. */
	for (unsigned digits = 15; digits <= 17; digits++) {
		free(text);
		text = json_dumps(value,
				  JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(digits));
		if (!text)
			return false;
		if (!json_is_real(value) || strtod(text, NULL) == json_real_value(value))
			break;
	}
	return fputs(text, out) >= 0;
}

/* As deep as a result may be, which jsonlogic.h bounds. */
static bool print_value(const json_t *value, FILE *out)
{
	const char *key, *before = "";
	json_t *item;
	size_t i;

	if (json_is_array(value)) {
		fputc('[', out);
		json_array_foreach((json_t *)value, i, item) {
			fputs(i ? "," : "", out);
			if (!print_value(item, out))
				return false;
		}
		return fputc(']', out) != EOF;
	}
	if (!json_is_object(value))
		return print_scalar(value, out);
	fputc('{', out);
	json_object_foreach((json_t *)value, key, item) {
		_cleanup_json_ json_t *name = json_string(key);

		fputs(before, out);
		before = ",";
		if (!name || !print_scalar(name, out))
			return false;
		fputc(':', out);
		if (!print_value(item, out))
			return false;
	}
	return fputc('}', out) != EOF;
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
	return print_value(result, stdout) && fputc('\n', stdout) != EOF ? EXIT_OK : EXIT_FAILED;
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
