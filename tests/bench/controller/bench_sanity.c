/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An epoch of the Sanity Checker, and what a new order of cores costs: hosts with 100 guarded
 * containers each, as large as said on the command line.
 */
#include <stdio.h>
#include <stdlib.h>

#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/loop.h"
#include "model.h"
#include "sanity.h"

#define PER_HOST 100
#define CPUS     64

static json_t *registration(int number)
{
	json_t *cpus = json_array(), *cores = json_object();
	char name[32];

	snprintf(name, sizeof(name), "host%d", number);
	for (int i = 0; i < CPUS; i++) {
		char core[16];

		snprintf(core, sizeof(core), "%d", i / 2);
		json_array_append_new(cpus, json_integer(i));
		if (i % 2)
			json_array_append_new(json_object_get(cores, core), json_integer(i));
		else
			json_object_set_new(cores, core, json_pack("[i]", i));
	}
	return json_pack("{s:s, s:{s:s, s:o, s:I, s:{s:o}}}", "host", name, "register", "address",
			 "http://127.0.0.1:1", "cpus", cpus, "mem", (json_int_t)1 << 38, "topology",
			 "0", cores);
}

static void add_container(struct model *model, struct host *host, int number)
{
	_cleanup_json_ json_t *added = NULL;
	struct structure *s;
	char name[32];

	snprintf(name, sizeof(name), "container%d", number);
	added = json_pack("{s:i, s:s, s:{s:i, s:s, s:i}}", "c", number, "name", name, "limits",
			  "cpu", 60, "cpus", "0-63", "mem", 512);
	if (model_register_container(model, host, added, &s) < 0 ||
	    model_guard(model, s, true, NULL) < 0)
		abort();
}

static double ms_since(uint64_t started)
{
	return (double)(now_ns() - started) / 1e6;
}

static void measure(int n_hosts)
{
	struct sanity_stats stats;
	struct scaler *scaler;
	struct sanity *sanity;
	struct audit *audit;
	struct model *model;
	struct host *host = NULL;
	uint64_t started;

	if (model_new(NULL, &model) < 0 || audit_new(NULL, 1024, &audit) < 0 ||
	    scaler_new(model, audit, &scaler) < 0 || sanity_new(model, scaler, NULL, &sanity) < 0)
		abort();
	model_lock(model);
	/* Nothing is ordered: the looking is measured. */
	model->scaler.pin_cores = false;
	for (int i = 0; i < n_hosts; i++) {
		_cleanup_json_ json_t *message = registration(i);

		if (model_register_host(model, message, &host) < 0)
			abort();
		for (int j = 0; j < PER_HOST; j++)
			add_container(model, host, i * PER_HOST + j);
	}
	model_unlock(model);
	for (int i = 0; i < 3; i++)
		if (sanity_epoch(sanity, 1000 + i) < 0)
			abort();
	sanity_get_stats(sanity, &stats);

	model_lock(model);
	started = now_ns();
	for (int i = 0; i < 100; i++)
		(void)model_set_core_distribution(model, host->structure,
						  i % 2 ? CORES_GROUP_PL : CORES_SPREAD_PL);
	printf("%7d containers: an epoch %8.2f ms, lock held %6.3f ms at most; a new order of %d "
	       "cores %.3f ms\n",
	       n_hosts * PER_HOST, stats.seconds * 1e3, stats.hold_s * 1e3, CPUS,
	       ms_since(started) / 100);
	model_unlock(model);
	sanity_free(sanity);
	scaler_free(scaler);
	audit_free(audit);
	model_free(model);
}

int main(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	measure(10);
	measure(100);
	measure(1000);
	return EXIT_SUCCESS;
}
