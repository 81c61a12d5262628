/* SPDX-License-Identifier: Apache-2.0 */
#include "replay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "json_file.h"
#include "request.h"
#include "controller/audit.h"
#include "ebb/cleanup.h"

struct tally {
	unsigned long decisions, amounts, plans, without, differences;
};

static void print_difference(struct tally *tally, const struct decision *d, const char *what,
			     int64_t recorded, json_t *replayed)
{
	_cleanup_json_ json_t *line =
		json_pack("{s:{s:I, s:f, s:s, s:s, s:s, s:s, s:I, s:o}}", "difference", "id",
			  (json_int_t)d->id, "at", d->at, "structure", d->structure, "resource",
			  ebb_resource_name(d->resource), "rule", d->rule, "of", what, "recorded",
			  (json_int_t)recorded, "replayed", replayed);

	tally->differences++;
	json_dumpf(line, stdout, JSON_COMPACT | JSON_REAL_PRECISION(15));
	fputc('\n', stdout);
}

static void replay_amount(struct tally *tally, const struct decision *d)
{
	int64_t amount = grounds_amount(&d->grounds, d->resource);

	tally->amounts++;
	if (amount != d->requested)
		print_difference(tally, d, "requested", d->requested, json_integer(amount));
}

/* What was planned at last: a request that waited was planned again and again. */
static void replay_plan(struct tally *tally, const struct decision *d)
{
	struct plan plan = grounds_plan(&d->grounds);
	bool change = plan.verdict == PLAN_CHANGE || plan.verdict == PLAN_PARTIAL;
	bool same = change ? plan.target == d->planned : d->planned < 0;

	/* One that could have been, but was overtaken, or its order was never sent. */
	if (change && d->planned < 0 && strcmp(d->outcome, "refused") != 0)
		same = true;
	tally->plans++;
	if (!same)
		print_difference(tally, d, "planned", d->planned,
				 change ? json_integer(plan.target) : json_null());
}

static void replay(struct tally *tally, const struct decision *d)
{
	tally->decisions++;
	if (d->grounds.has_amount)
		replay_amount(tally, d);
	if (d->grounds.has_plan)
		replay_plan(tally, d);
	tally->without += !d->grounds.has_amount && !d->grounds.has_plan;
}

static int replay_json(struct tally *tally, const char *where, unsigned long line,
		       const json_t *json)
{
	struct decision decision;

	if (decision_from_json(json, &decision) < 0) {
		cli_fail("%s:%lu: not a decision: each has an \"id\", a \"structure\" and a "
			 "\"resource\"",
			 where, line);
		return EXIT_USAGE;
	}
	replay(tally, &decision);
	return EXIT_OK;
}

static int replay_file(struct tally *tally, const char *path)
{
	bool standard = strcmp(path, "-") == 0;
	const char *where = json_file_name(path);
	FILE *file = standard ? stdin : fopen(path, "re");
	_cleanup_free_ char *text = NULL;
	unsigned long line = 0;
	int status = EXIT_OK;
	size_t room = 0;
	ssize_t len;

	if (!file)
		return cli_fail("cannot open %s: %s", path, strerror(errno));
	while (status == EXIT_OK && (len = getline(&text, &room, file)) >= 0) {
		_cleanup_json_ json_t *json = NULL;
		json_error_t error;

		line++;
		if (len == 0 || strcmp(text, "\n") == 0)
			continue;
		json = json_loadb(text, (size_t)len, 0, &error);
		if (json) {
			status = replay_json(tally, where, line, json);
		} else if (text[len - 1] == '\n') {
			cli_fail("%s:%lu:%d: not JSON: %s", where, line, error.column, error.text);
			status = EXIT_USAGE;
		}
		/* Without an end it is still being written. */
	}
	if (status == EXIT_OK && ferror(file))
		status = cli_fail("cannot read %s", where);
	if (!standard)
		fclose(file);
	return status;
}

static int replay_url(struct cli *cli, struct tally *tally, const char *url)
{
	_cleanup_json_ json_t *decisions = NULL;
	int status = EXIT_OK;

	free(cli->controller);
	cli->controller = address_normalize(url);
	if (!cli->controller)
		return cli_fail("out of memory");
	if (request_call(cli, "GET", "/decision/?limit=10000", NULL, &decisions) < 0)
		return EXIT_FAILED;
	/* Newest first. */
	for (size_t i = json_array_size(decisions); i-- > 0 && status == EXIT_OK;)
		status =
			replay_json(tally, url, (unsigned long)i + 1, json_array_get(decisions, i));
	return status;
}

int replay_audit(struct cli *cli, const char *from)
{
	bool url = !strncmp(from, "http://", 7) || !strncmp(from, "https://", 8) ||
		   !strncmp(from, "unix:", 5);
	_cleanup_json_ json_t *summary = NULL;
	struct tally tally = {0};
	int status;

	status = url ? replay_url(cli, &tally, from) : replay_file(&tally, from);
	if (status != EXIT_OK)
		return status;
	summary =
		json_pack("{s:{s:I, s:I, s:I, s:I, s:I}}", "replayed", "decisions",
			  (json_int_t)tally.decisions, "amounts", (json_int_t)tally.amounts,
			  "plans", (json_int_t)tally.plans, "without_inputs",
			  (json_int_t)tally.without, "differences", (json_int_t)tally.differences);
	json_dumpf(summary, stdout, JSON_COMPACT);
	fputc('\n', stdout);
	return tally.differences ? EXIT_FAILED : EXIT_OK;
}
