/* SPDX-License-Identifier: Apache-2.0 */
#include "quoted_json.h"
#include "test.h"

#include <errno.h>

#include "model.h"
#include "series_config.h"
#include "ebb/cleanup.h"

static struct series_config config;

/* `text`: JSON with ' for ". What is refused must say why, and leave everything as it was. */
static void set(const char *service, const char *text, const char *mention)
{
	struct series_config before = config;
	_cleanup_json_ json_t *json = parse_text(text);
	_cleanup_free_ char *error = NULL;
	int r = series_config_set(&config, service, json, &error);

	if (!mention) {
		CHECK_INT(r, 0);
		CHECK(!error);
		return;
	}
	CHECK_INT(r, -EINVAL);
	if (!error || !strstr(error, mention))
		TEST_FAIL("\"%s\" does not mention \"%s\"", error ? error : "(null)", mention);
	CHECK(memcmp(&before, &config, sizeof(config)) == 0);
}

TEST(series_config_defaults_are_the_originals)
{
	series_config_defaults(&config);
	CHECK(config.database.active && !config.database.debug);
	CHECK_NEAR(config.database.polling_frequency, 5, 0);
	CHECK_INT(config.database.documents, 15);
	CHECK_INT(config.database.services, SERIES_GUARDIAN | SERIES_SCALER);
	CHECK_INT(config.database.n_fields, 8);
	CHECK_STR(config.database.fields[0], "max");
	CHECK_STR(config.database.fields[7], "shares");
	CHECK_STR(config.database.unmapped, "");
	CHECK(config.structures.active);
	CHECK_NEAR(config.structures.polling_frequency, 5, 0);
	CHECK_INT(config.structures.structures, SERIES_APPLICATION);
	CHECK_INT(config.structures.resources, 1 << EBB_CPU | 1 << EBB_MEM);
	CHECK(config.refeeder.active);
	CHECK_NEAR(config.refeeder.window_timelapse, 10, 0);
	CHECK_NEAR(config.refeeder.window_delay, 20, 0);
	CHECK_INT(config.refeeder.structures, SERIES_APPLICATION);
	CHECK_INT(config.refeeder.resources, 1 << EBB_CPU | 1 << EBB_MEM);
}

TEST(series_config_takes_what_the_original_takes)
{
	series_config_defaults(&config);
	/* The document that the original's scripts put there. */
	set("database_snapshoter", "{'ACTIVE':false,'DEBUG':true}", NULL);
	CHECK(!config.database.active && config.database.debug);
	CHECK_NEAR(config.database.polling_frequency, 5, 0);
	set("database_snapshoter",
	    "{'POLLING_FREQUENCY':2.5,'DOCUMENTS_PERSISTED':['structures','limits'],"
	    "'SERVICES_PERSISTED':[],'FIELDS_PERSISTED':['free','boundary','free']}",
	    NULL);
	CHECK_NEAR(config.database.polling_frequency, 2.5, 0);
	CHECK_INT(config.database.documents, SERIES_STRUCTURES | SERIES_LIMITS);
	CHECK_INT(config.database.services, 0);
	CHECK_INT(config.database.n_fields, 2);
	CHECK_STR(config.database.fields[1], "boundary");
	/* A key that is not there any more is the default again. */
	CHECK(config.database.active);

	set("structures_snapshoter",
	    "{'STRUCTURES_PERSISTED':['application','user'],'RESOURCES_PERSISTED':['cpu',"
	    "'disk_read','disk_write','net','energy'],'POLLING_FREQUENCY':'3'}",
	    NULL);
	CHECK_INT(config.structures.structures, SERIES_APPLICATION | SERIES_USER);
	CHECK_INT(config.structures.resources, 63 & ~(1 << EBB_MEM));
	CHECK_NEAR(config.structures.polling_frequency, 3, 0);
	set("structures_snapshoter", "{'STRUCTURES_PERSISTED':[]}", NULL);
	CHECK_INT(config.structures.structures, 0);

	set("refeeder",
	    "{'WINDOW_TIMELAPSE':7,'WINDOW_DELAY':15,'GENERATED_METRICS':['energy'],"
	    "'STRUCTURES_REFEEDED':['user','container']}",
	    NULL);
	CHECK_NEAR(config.refeeder.window_timelapse, 7, 0);
	CHECK_NEAR(config.refeeder.window_delay, 15, 0);
	CHECK_INT(config.refeeder.resources, 1 << EBB_ENERGY);
	CHECK_INT(config.refeeder.structures, SERIES_USER | SERIES_CONTAINER);
	set("refeeder", "{'WINDOW_TIMELAPSE':2.25,'WINDOW_DELAY':0}", NULL);
	CHECK_NEAR(config.refeeder.window_timelapse, 2.25, 0);
}

TEST(series_config_refuses_what_cannot_be)
{
	series_config_defaults(&config);
	set("database_snapshoter", "7", "must be an object");
	set("database_snapshoter", "{'ACTIVE':'maybe'}", "ACTIVE must be true or false");
	set("database_snapshoter", "{'DEBUG':[]}", "DEBUG must be true or false");
	set("database_snapshoter", "{'POLLING_FREQUENCY':0}", "POLLING_FREQUENCY must be seconds");
	set("database_snapshoter", "{'POLLING_FREQUENCY':0.5}", "from 1 to 3600");
	set("database_snapshoter", "{'POLLING_FREQUENCY':1e9}", "from 1 to 3600");
	set("database_snapshoter", "{'POLLING_FREQUENCY':null}", "POLLING_FREQUENCY");
	set("database_snapshoter", "{'DOCUMENTS_PERSISTED':'limits'}", "a list");
	set("database_snapshoter", "{'DOCUMENTS_PERSISTED':['limits','rules']}",
	    "DOCUMENTS_PERSISTED[1] must be limits, structures, users or configs");
	set("database_snapshoter", "{'SERVICES_PERSISTED':[1]}", "SERVICES_PERSISTED[0]");
	set("database_snapshoter", "{'SERVICES_PERSISTED':['a\\nb']}", "SERVICES_PERSISTED[0]");
	set("database_snapshoter", "{'FIELDS_PERSISTED':['max','a b']}", "FIELDS_PERSISTED[1]");
	set("database_snapshoter", "{'FIELDS_PERSISTED':['']}", "FIELDS_PERSISTED[0]");
	set("database_snapshoter",
	    "{'FIELDS_PERSISTED':['a','b','c','d','e','f','g','h','i','j','k','l','m','n','o','p',"
	    "'q']}",
	    "at most 16");
	set("structures_snapshoter", "{'STRUCTURES_PERSISTED':['host']}",
	    "container, application or user");
	set("structures_snapshoter", "{'RESOURCES_PERSISTED':['disk']}", "RESOURCES_PERSISTED[0]");
	set("structures_snapshoter", "{'RESOURCES_PERSISTED':['cpu',null]}",
	    "RESOURCES_PERSISTED[1]");
	set("refeeder", "{'WINDOW_TIMELAPSE':1.9}", "from 2 to 3600");
	set("refeeder", "{'WINDOW_DELAY':-1}", "WINDOW_DELAY must be seconds");
	set("refeeder", "{'WINDOW_TIMELAPSE':2,'WINDOW_DELAY':41}",
	    "at most 20 times WINDOW_TIMELAPSE");
	set("refeeder", "{'GENERATED_METRICS':{}}", "a list");
	/* Nobody's business. */
	set("rebalancer", "{'POLLING_FREQUENCY':-1}", NULL);
}

TEST(series_config_tells_services_without_metrics)
{
	series_config_defaults(&config);
	set("database_snapshoter", "{'SERVICES_PERSISTED':['rebalancer','scaler','refeeder']}",
	    NULL);
	CHECK_INT(config.database.services, SERIES_SCALER);
	CHECK_STR(config.database.unmapped, "rebalancer, refeeder");
}

static void free_model(void *model)
{
	model_unlock(model);
	model_free(model);
}

TEST(series_config_comes_with_the_service_document)
{
	struct model *model = NULL;
	_cleanup_json_ json_t *doc = NULL;
	_cleanup_free_ char *error = NULL;

	CHECK_INT(model_new(NULL, &model), 0);
	model_lock(model);
	test_at_end(free_model, model);
	CHECK(model->series.refeeder.active);
	CHECK_NEAR(model->series.database.polling_frequency, 5, 0);

	doc = json_deep_copy(json_object_get(model->services, "database_snapshoter"));
	json_object_set_new(json_object_get(doc, "config"), "POLLING_FREQUENCY", json_real(1.5));
	json_object_set_new(json_object_get(doc, "config"), "ACTIVE", json_false());
	CHECK_INT(model_set_service(model, doc, &error), 0);
	CHECK(!model->series.database.active);
	CHECK_NEAR(model->series.database.polling_frequency, 1.5, 0);

	json_object_set_new(json_object_get(doc, "config"), "POLLING_FREQUENCY", json_real(0.1));
	CHECK_INT(model_set_service(model, doc, &error), -EINVAL);
	CHECK(error && strstr(error, "POLLING_FREQUENCY must be seconds, from 1 to 3600"));
	CHECK_NEAR(model->series.database.polling_frequency, 1.5, 0);
}

TEST_MAIN()
