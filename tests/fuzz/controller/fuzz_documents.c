/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents as others may leave them in the state: {"structure", "limits", "rule", "service",
 * "request"}, each of which may be there.
 */
#include "../fuzz.h"
#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "model.h"
#include "request_document.h"

/* What comes out again is taken again, and comes out the same. */
static void try_structure(const json_t *doc, const json_t *limits)
{
	_cleanup_json_ json_t *out = NULL, *out_limits = NULL, *again = NULL, *again_limits = NULL;
	struct structure *structure = NULL;
	char *error = NULL;

	if (structure_from_json(doc, limits, &structure, &error) < 0) {
		FUZZ_CHECK(!structure && error && *error);
		free(error);
		return;
	}
	FUZZ_CHECK(!error);
	out = structure_to_json(structure);
	out_limits = structure_limits_to_json(structure);
	structure_free(structure);
	FUZZ_CHECK(out);
	FUZZ_CHECK(structure_from_json(out, out_limits, &structure, &error) == 0);
	again = structure_to_json(structure);
	again_limits = structure_limits_to_json(structure);
	structure_free(structure);
	FUZZ_CHECK(json_equal(out, again));
	FUZZ_CHECK(out_limits ? json_equal(out_limits, again_limits) : !again_limits);
}

static void try_rule(struct model *model, json_t *doc)
{
	_cleanup_free_ char *error = NULL;
	struct rule rule;

	if (rule_from_json(doc, &rule, &error) == 0) {
		FUZZ_CHECK(!error);
		rule_clear(&rule);
	} else {
		FUZZ_CHECK(error && *error);
	}
	free(error);
	error = NULL;
	FUZZ_CHECK(model_set_rule(model, doc, &error) == 0 || error);
}

static void try_service(struct model *model, json_t *doc)
{
	_cleanup_json_ json_t *before = json_deep_copy(model->services);
	_cleanup_free_ char *error = NULL;

	if (model_set_service(model, doc, &error) < 0) {
		FUZZ_CHECK(error && *error);
		FUZZ_CHECK(json_equal(before, model->services));
	}
}

static void try_request(struct model *model, const json_t *doc)
{
	_cleanup_free_ char *error = NULL;
	struct request request;

	if (request_from_document(model, doc, 1000, &request, &error) < 0)
		FUZZ_CHECK(error && *error);
	else
		FUZZ_CHECK(request.structure && request.amount != 0);
}

static void add_container(struct model *model)
{
	struct structure *structure = structure_new("c0", STRUCTURE_CONTAINER);

	FUZZ_CHECK(structure);
	structure->resources[EBB_CPU] =
		(struct resource_state){.present = true, .max = 400, .min = 20, .current = 200};
	FUZZ_CHECK(model_add(model, structure) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_json_ json_t *json = json_loadb((const char *)data, size, 0, NULL);
	json_t *structure = json_object_get(json, "structure"), *rule, *service, *request;
	struct model *model = NULL;

	log_set_level(LOG_LEVEL_ERROR);
	if (structure)
		try_structure(structure, json_object_get(json, "limits"));
	rule = json_object_get(json, "rule");
	service = json_object_get(json, "service");
	request = json_object_get(json, "request");
	if (!rule && !service && !request)
		return 0;
	FUZZ_CHECK(model_new(NULL, &model) == 0);
	model_lock(model);
	add_container(model);
	if (rule)
		try_rule(model, rule);
	if (service)
		try_service(model, service);
	if (request)
		try_request(model, request);
	model_unlock(model);
	model_free(model);
	return 0;
}
