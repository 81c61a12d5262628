/* SPDX-License-Identifier: Apache-2.0 */
/* The model: its rules and services. */
#include "model_fixture.h"

/* --- rules and services --- */

TEST(model_has_default_rules_and_services)
{
	struct model *model = new_model();
	static const char *const services[] = {"guardian",
					       "scaler",
					       "structures_snapshoter",
					       "database_snapshoter",
					       "refeeder",
					       "sanity_checker",
					       "rebalancer"};
	size_t n_active = 6;

	for (size_t i = 0; i < ARRAY_SIZE(services); i++) {
		json_t *doc = json_object_get(model->services, services[i]);
		bool active =
			json_is_true(json_object_get(json_object_get(doc, "config"), "ACTIVE"));

		CHECK_STR(json_string_value(json_object_get(doc, "name")), services[i]);
		CHECK_INT(active, i < n_active);
	}
	CHECK(model->guardian.active && model->scaler.active);
	CHECK(model->ruleset && model->ruleset->n >= 4);
	CHECK(json_object_get(model->rules, "CpuRescaleUp"));
}

TEST(model_set_service_is_all_or_nothing)
{
	struct model *model = new_model();
	_cleanup_json_ json_t *doc = json_deep_copy(json_object_get(model->services, "scaler"));
	json_t *config = json_object_get(doc, "config");
	char *error = NULL;
	int r;

	json_object_set_new(config, "REQUEST_TIMEOUT", json_string("2.5"));
	json_object_set_new(config, "PIN_CORES", json_false());
	CHECK_INT(model_set_service(model, doc, NULL), 0);
	CHECK_NEAR(model->scaler.request_timeout, 2.5, 1e-9);
	CHECK(!model->scaler.pin_cores);
	/* The caller's document stays the caller's. */
	json_object_set_new(config, "REQUEST_TIMEOUT", json_integer(-3));
	CHECK_STR(json_string_value(json_object_get(
			  json_object_get(json_object_get(model->services, "scaler"), "config"),
			  "REQUEST_TIMEOUT")),
		  "2.5");
	r = model_set_service(model, doc, &error);
	refused(r, -EINVAL, error, "REQUEST_TIMEOUT");
	CHECK_NEAR(model->scaler.request_timeout, 2.5, 1e-9);
	json_object_set_new(config, "REQUEST_TIMEOUT", json_integer(3));
	json_object_set_new(config, "ACTIVE", json_integer(2));
	error = NULL;
	r = model_set_service(model, doc, &error);
	refused(r, -EINVAL, error, "ACTIVE");
}

TEST(model_set_rule_is_all_or_nothing)
{
	struct model *model = new_model();
	_cleanup_json_ json_t *doc = json_deep_copy(json_object_get(model->rules, "CpuRescaleUp"));
	struct ruleset *before = model->ruleset;
	size_t n = before->n;
	char *error = NULL;
	int r;

	json_object_set_new(doc, "amount", json_integer(123));
	CHECK_INT(model_set_rule(model, doc, NULL), 0);
	CHECK(model->ruleset != before || model->ruleset->n == n);
	CHECK_INT(model->ruleset->n, n);
	CHECK_INT(json_integer_value(
			  json_object_get(json_object_get(model->rules, "CpuRescaleUp"), "amount")),
		  123);
	before = model->ruleset;
	json_object_set_new(doc, "rescale_policy", json_string("nonsense"));
	r = model_set_rule(model, doc, &error);
	refused(r, -EINVAL, error, "policy");
	CHECK(model->ruleset == before);
}

/* A rule of so many comparisons, 65 bytes each. */
static int set_long_rule(struct model *model, const char *name, int n, char **ret_error)
{
	json_t *all = json_array();
	_cleanup_json_ json_t *doc = NULL;

	for (int i = 0; i < n; i++)
		json_array_append_new(all, json_pack("{s:[{s:s},{s:s}]}", ">", "var",
						     "cpu.structure.cpu.usage", "var",
						     "cpu.limits.cpu.upper"));
	doc = json_pack("{s:s, s:s, s:s, s:s, s:b, s:s, s:{s:o}, s:{s:{s:{s:i}}}}", "_id", name,
			"name", name, "type", "rule", "resource", "cpu", "active", 1, "generates",
			"events", "rule", "and", all, "action", "events", "scale", "up", 1);
	return model_set_rule(model, doc, ret_error);
}

TEST(model_all_rules_together_are_bounded)
{
	struct model *model = new_model();
	struct ruleset *before;
	char *error = NULL, name[32];
	int r = 0, n;

	for (n = 0; n < 100 && r >= 0; n++) {
		snprintf(name, sizeof(name), "long%d", n);
		r = set_long_rule(model, name, 900, &error);
	}
	CHECK(n > 15 && n < 25);
	refused(r, -ENOSPC, error, "1048576 bytes");
	CHECK(!json_object_get(model->rules, name));
	before = model->ruleset;
	/* What is there may become shorter, not longer. */
	error = NULL;
	r = set_long_rule(model, "long0", 1800, &error);
	refused(r, -ENOSPC, error, "shorten it");
	CHECK(model->ruleset == before);
	CHECK_INT(set_long_rule(model, "long0", 800, NULL), 0);
	CHECK_INT(model_delete_rule(model, "long1"), 0);
	CHECK_INT(set_long_rule(model, name, 900, NULL), 0);
}

TEST(model_heartbeat_marks_what_runs)
{
	struct model *model = new_model();
	json_t *doc;

	model_heartbeat(model, 1795344748.12);
	doc = json_object_get(model->services, "guardian");
	CHECK_NEAR(json_real_value(json_object_get(doc, "heartbeat")), 1795344748.12, 1e-3);
	CHECK_INT(strlen(json_string_value(json_object_get(doc, "heartbeat_human"))), 17);
	doc = json_object_get(model->services, "rebalancer");
	CHECK(!json_object_get(doc, "heartbeat_human"));
}

TEST_MAIN()
