/* SPDX-License-Identifier: Apache-2.0 */
/* ebb simulate: what a controller would decide, without a cluster. */
#include <errno.h>
#include <string.h>

#include "args.h"
#include "cli.h"
#include "json_file.h"
#include "replay.h"
#include "controller/simulation.h"
#include "ebb/cleanup.h"
#include "ebb/log.h"

static void print_line(void *userdata, const json_t *line)
{
	bool *failed = userdata;

	/* 200.1 as 200.1, not as 200.09999999999999. */
	if (json_dumpf(line, stdout, JSON_COMPACT | JSON_REAL_PRECISION(15)) < 0 ||
	    fputc('\n', stdout) == EOF)
		*failed = true;
}

static int run_scenario(const char *path)
{
	_cleanup_json_ json_t *scenario = NULL;
	_cleanup_free_ char *error = NULL;
	struct simulation *simulation;
	bool failed = false;
	int r;

	r = json_file_read(path, &scenario);
	if (r < 0)
		return r == -EINVAL ? EXIT_USAGE : EXIT_FAILED;
	r = simulation_new(scenario, &simulation, &error);
	if (r < 0) {
		cli_fail("%s: %s", json_file_name(path), error ? error : strerror(-r));
		return r == -EINVAL ? EXIT_USAGE : EXIT_FAILED;
	}
	r = simulation_run(simulation, print_line, &failed);
	simulation_free(simulation);
	if (r < 0)
		return cli_fail("%s: %s", json_file_name(path), strerror(-r));
	return failed ? EXIT_FAILED : EXIT_OK;
}

static int simulate(struct cli *cli, int argc, char **argv)
{
	const char *error, *word, *audit = NULL;
	const struct arg_option options[] = {{"--from-audit", 0, NULL, &audit}};
	int r;

	r = args_parse(argv + 1, options, ARRAY_SIZE(options), false, &error, &word);
	if (r < 0)
		return cli_usage(&verb_simulate, "%s: %s", word, error);
	if (audit && r)
		return cli_usage(&verb_simulate, "a scenario, or decisions on record");
	if (audit)
		return replay_audit(cli, audit);
	if (r != 1)
		return cli_usage(&verb_simulate,
				 r ? "one scenario at a time" : "no scenario given");
	/* Standard error is for what is wrong with the scenario. */
	log_set_level(LOG_LEVEL_WARNING);
	log_leave_out_time();
	return run_scenario(argv[1]);
}

const struct verb verb_simulate = {
	.name = "simulate",
	.usage = "SCENARIO.json | --from-audit FILE|URL",
	.summary = "what a controller would decide, without a cluster",
	.help = "Runs the controller's own guardian, scaler and rebalancer over a scenario, in virtual\n"
		"time, and prints each decision as a line of JSON. \"-\" is standard input.\n"
		"\n"
		"  structures, limits, rules, services   documents as in the state database; without\n"
		"              rules or services those that a controller begins with\n"
		"  topology    {HOST: {SOCKET: {CORE: [CPU, ...]}}}\n"
		"  usages      [{\"at\": SECONDS, \"structure\": NAME, \"cpu\": SHARES, \"mem\": MIB, ...}]\n"
		"  requests    [{\"at\": SECONDS, \"structure\": NAME, \"resource\": \"cpu\", \"amount\": 50,\n"
		"              \"field\": \"current\" or \"max\", \"pair_structure\": NAME, ...}]\n"
		"  until       SECONDS; without it, the last usage or request\n"
		"  evaluate    \"sample\": at each usage; \"window\": every WINDOW_TIMELAPSE\n"
		"\n"
		"--from-audit works decisions on record out again, each by its rule and what was measured\n"
		"and free then: from a controller's file of decisions, or from the controller at URL.\n"
		"Differences are printed, and the exit status is 1.\n"
		"\n"
		"Lines: limits, event, request, operation, applied; the last one is final. The same\n"
		"scenario gives the same bytes. docs/simulate.md has all of it.\n",
	.offline = true,
	.run = simulate,
};
