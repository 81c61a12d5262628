/* SPDX-License-Identifier: Apache-2.0 */
/* Whole scenarios, checked and run: what is refused says why, and what runs adds up at the end. */
#include "../fuzz.h"
#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "simulation_private.h"

struct lines {
	uint64_t hash;
	size_t n;
	double at;
};

static void on_line(void *userdata, const json_t *line)
{
	struct lines *lines = userdata;
	const json_t *at = json_object_get(line, "at");
	_cleanup_free_ char *text = json_dumps(line, JSON_COMPACT);

	FUZZ_CHECK(text);
	FUZZ_CHECK(at || json_object_get(line, "final"));
	if (at) {
		FUZZ_CHECK(json_number_value(at) >= lines->at);
		lines->at = json_number_value(at);
	}
	for (const char *p = text; *p; p++)
		lines->hash = (lines->hash ^ (unsigned char)*p) * 0x100000001b3;
	lines->n++;
}

static struct lines run(const json_t *scenario)
{
	struct lines lines = {0};
	struct simulation *sim;
	char *error = NULL;
	int r;

	r = simulation_new(scenario, &sim, &error);
	if (r < 0) {
		FUZZ_CHECK(error && *error);
		free(error);
		return lines;
	}
	FUZZ_CHECK(!error);
	FUZZ_CHECK(simulation_run(sim, on_line, &lines) == 0);
	model_lock(sim->model);
	error = model_check(sim->model);
	model_unlock(sim->model);
	if (error) {
		fprintf(stderr, "%s\n", error);
		json_dumpf(scenario, stderr, JSON_COMPACT);
	}
	FUZZ_CHECK(!error);
	simulation_free(sim);
	return lines;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_json_ json_t *scenario = json_loadb((const char *)data, size, 0, NULL);
	struct lines first, second;

	log_set_level(LOG_LEVEL_ERROR);
	if (!scenario)
		return 0;
	first = run(scenario);
	second = run(scenario);
	FUZZ_CHECK(first.hash == second.hash && first.n == second.n);
	return 0;
}
