/* SPDX-License-Identifier: Apache-2.0 */
/* A host's CPUs as they come and go, and how they are handed out. With the lock held throughout. */
#include "model.h"

#include <errno.h>

#include "ebb/cleanup.h"
#include "model_fixture.h"

static struct model *model;

/* h0 says that it has these CPUs; all of one socket without siblings, unless `more` has another
 * topology. */
static struct host *host_has(const char *cpus, const char *more)
{
	_cleanup_json_ json_t *message =
		parse("{'host':'h0','session':'s','register':{'address':'http://127.0.0.1:8000',"
		      "'cpus':[%s],'mem':8589934592%s}}",
		      cpus, more ? more : "");
	struct host *host = NULL;

	CHECK_INT(model_register_host(model, message, &host), 0);
	host->connected = true;
	sound(model);
	return host;
}

static struct host *start(const char *cpus, const char *more)
{
	model = new_model();
	return host_has(cpus, more);
}

/* Of a registration, after its host. */
static struct structure *here(struct host *host, const char *name, int cpu)
{
	_cleanup_json_ json_t *added =
		parse("{'c':1,'name':'%s','limits':{'cpu':%d,'cpus':'','mem':512}}", name, cpu);
	struct structure *s = NULL;

	CHECK_INT(model_register_container(model, host, added, &s), 0);
	return s;
}

static struct structure *guarded(struct host *host, const char *name, int cpu)
{
	struct structure *s = here(host, name, cpu);
	_cleanup_free_ char *error = NULL;

	if (model_guard(model, s, true, &error) < 0)
		TEST_FAIL("%s", error);
	CHECK_INT(s->resources[EBB_CPU].allocated, cpu);
	while ((s = model_next_apply(model)))
		s->apply = 0;
	sound(model);
	return model_structure(model, name);
}

static const char *cpus_of(struct host *host, const char *name)
{
	static char text[256];
	struct cpu_list cpus = {0};
	_cleanup_free_ char *formatted = NULL;

	CHECK_INT(cpumap_cpus(host->cpumap, name, &cpus), 0);
	formatted = cpu_list_format(&cpus);
	snprintf(text, sizeof(text), "%s", formatted);
	cpu_list_clear(&cpus);
	return text;
}

static const char *order_of(struct host *host)
{
	static char text[256];
	_cleanup_json_ json_t *mapping = cpumap_to_json(host->cpumap);
	const char *cpu;
	json_t *core;
	size_t n = 0;

	json_object_foreach(mapping, cpu, core)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", n ? "," : "", cpu);
	return text;
}

#define TWO_SOCKETS ",'topology':{'0':{'0':[0,4],'1':[1,5]},'1':{'0':[2,6],'1':[3,7]}}"

/* --- more CPUs than registered, holes, CPUs that go --- */

/* Spec 9.3, number 6: the original fails at the first core that its document does not have. */
TEST(a_host_has_what_its_agent_says)
{
	_cleanup_json_ json_t *doc = parse(
		"{'type':'structure','subtype':'host','name':'h0','resources':{'cpu':{'max':400,"
		"'free':400}}}");
	struct structure *s = NULL;
	struct structure *c0;
	struct host *host;

	model = new_model();
	CHECK_INT(structure_from_json(doc, NULL, &s, NULL), 0);
	CHECK_INT(model_add(model, s), 0);
	CHECK_INT(model_host(model, "h0")->max[EBB_CPU], 400);
	host = host_has("0,2,5,6,7,8,9,130", NULL);
	CHECK_INT(host->max[EBB_CPU], 800);
	CHECK_INT(host->free[EBB_CPU], 800);
	c0 = guarded(host, "c0", 350);
	CHECK_STR(cpus_of(host, "c0"), "0,2,5,6");
	/* Growth onto cores that the document did not have. */
	CHECK_INT(model_allocate(model, c0, EBB_CPU, 400), 400);
	CHECK_STR(cpus_of(host, "c0"), "0,2,5,6,7,8,9,130");
	sound(model);
	/* Fewer than its document says. */
	model_allocate(model, c0, EBB_CPU, -550);
	c0->resources[EBB_CPU].current = 200;
	host = host_has("5,6", NULL);
	CHECK_INT(host->max[EBB_CPU], 200);
	CHECK_INT(host->free[EBB_CPU], 0);
	CHECK_STR(cpus_of(host, "c0"), "5,6");
}

TEST(who_loses_a_core_gets_a_free_one)
{
	struct host *host = start("0,1,2,3", NULL);
	struct structure *c0 = guarded(host, "c0", 150), *c1 = guarded(host, "c1", 100);

	CHECK_STR(cpus_of(host, "c0"), "0,1");
	CHECK_STR(cpus_of(host, "c1"), "2");
	host_has("0,2,3", NULL);
	CHECK_INT(host->max[EBB_CPU], 300);
	CHECK_INT(host->free[EBB_CPU], 50);
	CHECK_STR(cpus_of(host, "c0"), "0,3");
	CHECK_INT(c0->resources[EBB_CPU].current, 150);
	CHECK_INT(c0->resources[EBB_CPU].allocated, 150);
	/* As much, but elsewhere: its cpuset has to be written. */
	CHECK_INT(c0->apply, 1u << EBB_CPU);
	CHECK_INT(c1->apply, 0);
	sound(model);
	here(host, "c0", 150);
	here(host, "c1", 100);
	/* It comes back, and nobody has to move. */
	host_has("0,1,2,3", NULL);
	CHECK_INT(host->free[EBB_CPU], 150);
	CHECK_STR(cpus_of(host, "c0"), "0,3");
}

TEST(who_loses_a_core_of_a_full_host_has_less)
{
	struct host *host = start("0,1,2,3", NULL);
	struct structure *c0 = guarded(host, "c0", 100), *c1 = guarded(host, "c1", 250);

	CHECK_STR(cpus_of(host, "c1"), "1,2,3");
	CHECK_INT(model_allocate(model, c0, EBB_CPU, 50), 50);
	c0->resources[EBB_CPU].current = 150;
	CHECK_INT(host->free[EBB_CPU], 0);
	host_has("0,1,3", NULL);
	CHECK_INT(host->max[EBB_CPU], 300);
	CHECK_INT(host->free[EBB_CPU], 0);
	CHECK_INT(c0->resources[EBB_CPU].current, 150);
	CHECK_INT(c1->resources[EBB_CPU].current, 150);
	CHECK_INT(c1->resources[EBB_CPU].allocated, 150);
	CHECK_INT(c1->apply, 1u << EBB_CPU);
	sound(model);
}

TEST(who_loses_all_cores_gets_shares_when_there_are_some)
{
	struct host *host = start("0,1", NULL);
	struct structure *c1;

	guarded(host, "c0", 100);
	c1 = guarded(host, "c1", 100);
	host_has("0", NULL);
	CHECK_INT(c1->resources[EBB_CPU].allocated, 0);
	CHECK_INT(host->free[EBB_CPU], 0);
	here(host, "c0", 100);
	here(host, "c1", 100);
	sound(model);
	host_has("0,1", NULL);
	here(host, "c0", 100);
	here(host, "c1", 100);
	CHECK_INT(c1->resources[EBB_CPU].allocated, 100);
	CHECK_STR(cpus_of(host, "c1"), "1");
	sound(model);
}

TEST(a_row_of_before_does_not_come_back_onto_other_cores)
{
	struct host *host = start("0,1,2,3", NULL);
	struct cpumap_row *row = NULL;

	guarded(host, "c0", 150);
	CHECK_INT(cpumap_save(host->cpumap, "c0", &row), 0);
	host_has("0,2,3", NULL);
	CHECK_STR(cpus_of(host, "c0"), "0,2");
	CHECK_INT(cpumap_restore(host->cpumap, "c0", row), -ENOSPC);
	cpumap_row_free(row);
	CHECK_STR(cpus_of(host, "c0"), "0,2");
	sound(model);
}

/* --- distributions --- */

TEST(the_distribution_is_of_the_host_or_of_the_scaler)
{
	struct host *host = start("0,1,2,3,4,5,6,7", TWO_SOCKETS);
	_cleanup_json_ json_t *doc = json_deep_copy(json_object_get(model->services, "scaler"));
	json_t *config = json_object_get(doc, "config");
	char *error = NULL;

	CHECK_STR(json_string_value(json_object_get(config, "CORE_DISTRIBUTION")), "Group_PP_LL");
	CHECK_STR(order_of(host), "0,1,2,3,4,5,6,7");
	json_object_set_new(config, "CORE_DISTRIBUTION", json_string("Spread_P&L"));
	CHECK_INT(model_set_service(model, doc, NULL), 0);
	CHECK_INT(model_core_distribution(model, host), CORES_SPREAD_PL);
	guarded(host, "c0", 250);
	CHECK_STR(cpus_of(host, "c0"), "2,6,0");
	CHECK_STR(order_of(host), "2,6,0,4,3,7,1,5");

	CHECK_INT(model_set_core_distribution(model, host->structure, CORES_GROUP_PL), 0);
	CHECK_STR(order_of(host), "0,4,1,5,2,6,3,7");
	/* Who has cores keeps them. */
	CHECK_STR(cpus_of(host, "c0"), "2,6,0");
	CHECK_INT(host->structure->apply, 0);
	guarded(host, "c1", 200);
	CHECK_STR(cpus_of(host, "c1"), "4,1");

	json_object_set_new(config, "CORE_DISTRIBUTION", json_string("spread"));
	CHECK_INT(model_set_service(model, doc, &error), -EINVAL);
	CHECK(strstr(error, "CORE_DISTRIBUTION must be Group_P&L, "));
	free(error);
	CHECK_INT(model_core_distribution(model, host), CORES_GROUP_PL);
	CHECK_INT(model_set_core_distribution(model, model_structure(model, "c1"), CORES_NONE),
		  -EINVAL);
	sound(model);
}

TEST(a_registration_orders_by_the_host_s_distribution)
{
	struct host *host = start("0,1,2,3,4,5,6,7", TWO_SOCKETS);

	CHECK_INT(model_set_core_distribution(model, host->structure, CORES_GROUP_NUMA), 0);
	CHECK_STR(order_of(host), "0,1,4,5,2,3,6,7");
	guarded(host, "c0", 150);
	host_has("0,1,2,3,4,5,6,7", TWO_SOCKETS ",'numa':{'0':[2,6,1,5],'1':[0,4,3,7]}");
	CHECK_STR(order_of(host), "1,2,5,6,0,3,4,7");
	CHECK_STR(cpus_of(host, "c0"), "0,1");
	/* Offline ones are not in it, and what the topology does not have comes last. */
	host_has("1,5,0,9", TWO_SOCKETS ",'numa':{'0':[2,6,1,5],'1':[0,4,3,7]}");
	CHECK_STR(order_of(host), "1,5,0,9");
	CHECK_STR(cpus_of(host, "c0"), "0,1");
}

TEST(a_document_edited_by_hand_orders_anew)
{
	struct host *host = start("0,1,2,3,4,5,6,7", TWO_SOCKETS);
	_cleanup_json_ json_t *doc = structure_to_json(host->structure);

	json_object_set_new(doc, "core_distribution", json_string("Spread_PP_LL"));
	model_document_changed(model, DB_STRUCTURES, "h0", NULL, doc);
	CHECK_INT(model_core_distribution(model, host), CORES_SPREAD_PP_LL);
	CHECK_STR(order_of(host), "2,0,3,1,6,4,7,5");
	/* What nobody knows is told, and the scaler's holds. */
	json_object_set_new(doc, "core_distribution", json_string("Scatter"));
	model_document_changed(model, DB_STRUCTURES, "h0", NULL, doc);
	CHECK_INT(model_core_distribution(model, host), CORES_GROUP_PP_LL);
	CHECK_STR(order_of(host), "0,1,2,3,4,5,6,7");
	sound(model);
}

TEST(without_pinning_nothing_is_to_be_written)
{
	struct host *host = start("0,1,2,3", NULL);

	CHECK(model_pins_cores(model, host));
	CHECK_INT(model_set_core_distribution(model, host->structure, CORES_NONE), 0);
	CHECK(!model_pins_cores(model, host));
	/* Its limit is in force already, and its cores are nobody's business. */
	struct structure *c0 = here(host, "c0", 100);

	CHECK_INT(model_guard(model, c0, true, NULL), 0);
	CHECK_INT(c0->apply & 1u << EBB_CPU, 0);
	CHECK_INT(host->free[EBB_CPU], 300);
	sound(model);
}

TEST_MAIN()
