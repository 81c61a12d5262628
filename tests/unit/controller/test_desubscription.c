/* SPDX-License-Identifier: Apache-2.0 */
/* Desubscribing, whatever state it is in, and subscriptions that were cut short. */
#include "subscription_fixture.h"

/* --- desubscribing, whatever state it is in --- */

TEST(a_container_that_went_gives_back_what_it_had)
{
	_cleanup_free_ char *host = NULL;

	start();
	CHECK_INT(put_disks(NULL, NULL, NULL), 0);
	host = strdup(document_at("h0", "resources"));
	begin_container("c0", with_disk(100, 150));
	fake_answer_all(&fake, FATE_DONE);
	check_done(200, NULL);
	model_lock(model);
	model_container_gone(model, find("c0"));
	model_unlock(model);
	CHECK_STR(document_at("h0", "resources.disks.ssd_0.load"), "1");
	CHECK_INT(leave("c0", NULL), 0);
	CHECK(!model_structure(model, "c0"));
	CHECK_STR(document_at("h0", "resources"), host);
}

TEST(a_container_of_a_silent_host_gives_back_what_it_had)
{
	_cleanup_free_ char *before = NULL;

	start();
	before = strdup(document_at("h0", "resources"));
	subscribe("container.guard", "true");
	model_host(model, "h0")->connected = false;
	CHECK_INT(leave("c0", NULL), 0);
	CHECK_STR(document_at("h0", "resources"), before);
	CHECK(find("c0")->automatic);
	CHECK(!find("c0")->guard);
}

TEST(an_order_under_way_does_not_keep_a_container)
{
	_cleanup_free_ char *before = NULL;
	struct request request = {
		.resource = EBB_CPU, .amount = -50, .timestamp = 1000, .origin = "test"};

	start();
	before = strdup(document_at("h0", "resources"));
	subscribe("container.guard", "true");
	model->scaler.active = true;
	model_lock(model);
	request.structure = find("c0");
	CHECK_INT(scaler_request(scaler, &request), 0);
	request.resource = EBB_MEM;
	scaler_run(scaler);
	CHECK_INT(scaler_request(scaler, &request), 0);
	model_unlock(model);
	CHECK_INT(fake.n, 1);
	CHECK_INT(leave("c0", NULL), 0);
	CHECK_STR(document_at("h0", "resources"), before);
	fake_answer_all(&fake, FATE_DONE);
	check_adds_up();
	CHECK_STR(document_at("h0", "resources"), before);
	CHECK(find("c0")->automatic);
}

TEST(a_subscription_that_was_cut_short_is_taken_back_by_the_next_controller)
{
	struct memory_store memory;
	struct store *store;
	struct model *next;
	_cleanup_json_ json_t *left = NULL;

	start();
	memory_store_init(&memory);
	begin_container("c0", parse_text(CONTAINER));
	CHECK(fake_answer(&fake, FATE_DONE));
	CHECK_STR(document_at("c0", "subscribing"), "true");
	CHECK_STR(document_at("h0", "resources.cpu.free"), "200");
	for (size_t i = 0; i < model->n_structures; i++) {
		_cleanup_json_ json_t *doc = structure_to_json(model->structures[i]);

		memory_store_set(&memory, DB_STRUCTURES, model->structures[i]->name, doc);
	}
	CHECK_INT(store_new(&memory_ops, &memory, &store), 0);
	CHECK_INT(model_new(store, &next), 0);
	/* It stood by, and takes over. */
	model_lock(next);
	CHECK_INT(model_set_leading(next, true), 0);
	model_unlock(next);
	CHECK(!model_structure(next, "c0"));
	CHECK(model_structure(next, "c1"));
	CHECK_STR(text_at(next->unfinished, "c0.host"), "\"h0\"");
	CHECK_STR(text_at(next->unfinished, "c0.limits.mem"), "{\"mem_limit\":-1}");
	CHECK_INT(model_host(next, "h0")->free[EBB_CPU], 400);
	CHECK_INT(model_host(next, "h0")->free[EBB_MEM], 8192);
	model_free(next);
	store_close(store);
	memory_store_clear(&memory);
}

/* As its agent tells what is in force. */
static void register_as_it_is(const char *name)
{
	json_t *now = at(fake.containers, name);
	_cleanup_json_ json_t *added =
		json_pack("{s:s, s:{s:O, s:O, s:O}}", "name", name, "limits", "cpu",
			  at(now, "cpu.cpu_allowance_limit"), "cpus", at(now, "cpu.cpu_num"), "mem",
			  at(now, "mem.mem_limit"));
	struct structure *s;

	CHECK_INT(model_register_container(model, model_host(model, "h0"), added, &s), 0);
}

TEST(the_next_controller_has_old_limits_put_back)
{
	start();
	begin_container("c0", parse_text(CONTAINER));
	CHECK(fake_answer(&fake, FATE_DONE));
	CHECK_STR(document_at("c0", "limits_before.mem"), "{\"mem_limit\":-1}");
	CHECK(fake_answer(&fake, FATE_DONE));
	lose_the_lead();
	CHECK(fake_answer(&fake, FATE_UNREACHED));
	check_done(503, "does not lead");
	subscriber_tick(subscriber);
	CHECK_STR(text_at(fake.containers, "c0.cpu.cpu_allowance_limit"), "200");
	/* Another one leads. */
	model_lock(model);
	CHECK_INT(model_set_leading(model, true), 0);
	CHECK(!model_structure(model, "c0"));
	model_unlock(model);
	subscriber_tick(subscriber);
	virtual_now += 2;
	subscriber_tick(subscriber);
	CHECK_INT(fake.n, 0);
	/* The agent speaks again. */
	model_lock(model);
	model_host(model, "h0")->connected = true;
	register_as_it_is("c0");
	model_unlock(model);
	CHECK_INT(find("c0")->physical[EBB_CPU], 200);
	subscriber_tick(subscriber);
	CHECK_INT(fake_answer_all(&fake, FATE_DONE), 1);
	CHECK_STR(text_at(fake.containers, "c0.cpu"),
		  "{\"cpu_allowance_limit\":-1,\"cpu_num\":\"0-3\"}");
	CHECK_STR(text_at(fake.containers, "c0.mem"), "{\"mem_limit\":-1}");
	CHECK(find("c0")->automatic);
	CHECK_INT(find("c0")->physical[EBB_CPU], -1);
	check_adds_up();
	virtual_now += 2;
	subscriber_tick(subscriber);
	CHECK_INT(fake.n, 0);
}

TEST(a_subscription_that_succeeded_is_not_taken_back)
{
	start();
	subscribe("container.limits_before", "{'mem': {'mem_limit': 64}}");
	CHECK_STR(document_at("c0", "limits_before"), "");
	lose_the_lead();
	model_lock(model);
	CHECK_INT(model_set_leading(model, true), 0);
	CHECK(model_structure(model, "c0"));
	model_unlock(model);
	subscriber_tick(subscriber);
	CHECK(!model->unfinished);
}

TEST(the_power_limit_of_a_container_is_set_by_hand)
{
	_cleanup_free_ char *error = NULL, *before = NULL;
	struct structure *c0;

	start();
	begin_host("h0", body_with(HOST, "name", "'h0'"));
	check_done(200, NULL);
	subscribe("container.resources.energy",
		  "{'max': 150, 'current': 60, 'min': 10, 'guard': false}");
	c0 = find("c0");
	/* Its agent knows nothing of it: it is only accounted. */
	CHECK_STR(text_at(fake.containers, "c0.energy"), "");
	CHECK_STR(document_at("h0", "resources.energy.free"), "140");
	model_lock(model);
	CHECK_INT(model_set_parameter(model, c0, EBB_ENERGY, "current", 100, NULL), 0);
	model_unlock(model);
	CHECK_STR(document_at("h0", "resources.energy.free"), "100");
	CHECK_STR(document_at("c0", "resources.energy.current"), "100");
	check_adds_up();
	model_lock(model);
	CHECK_INT(model_set_parameter(model, c0, EBB_ENERGY, "current", 20, NULL), 0);
	CHECK_INT(model_set_parameter(model, find("h0"), EBB_ENERGY, "max", 100, NULL), 0);
	model_unlock(model);
	before = everything();
	model_lock(model);
	CHECK_INT(model_set_parameter(model, c0, EBB_ENERGY, "current", 9, &error), -EINVAL);
	CHECK(strstr(error, "not from min 10 to max 150"));
	free(TAKE_PTR(error));
	CHECK_INT(model_set_parameter(model, c0, EBB_ENERGY, "current", 101, &error), -ENOSPC);
	CHECK(strstr(error, "has 80 W of energy free"));
	free(TAKE_PTR(error));
	CHECK_INT(model_set_parameter(model, c0, EBB_CPU, "current", 100, &error), -EINVAL);
	model_unlock(model);
	check_same(before, "a power limit that cannot be");
}

TEST_MAIN()
