/* SPDX-License-Identifier: Apache-2.0 */
/* Structures that somebody else changes in the database: while we lead, while we do not, and with
 * orders under way. */
#include "seed.h"
#include "model_edit_fixture.h"

/* --- structures --- */

TEST(ranges_follow_an_edit)
{
	start();
	edit(DB_STRUCTURES, "c0", "{'resources':{'cpu':{'max':300,'min':50,'weight':2}}}");
	CHECK_INT(get("c0")->resources[EBB_CPU].max, 300);
	CHECK_INT(get("c0")->resources[EBB_CPU].min, 50);
	CHECK_NEAR(get("c0")->resources[EBB_CPU].weight, 2, 0);
	CHECK_STR(there(DB_STRUCTURES, "c0", "resources.cpu.max"), "300");
	/* Both below the old min, then both above the old max. */
	edit(DB_STRUCTURES, "c0", "{'resources':{'cpu':{'max':40,'min':30}}}");
	CHECK_INT(get("c0")->resources[EBB_CPU].max, 40);
	CHECK_INT(get("c0")->resources[EBB_CPU].min, 30);
	/* The limit follows a max downwards, and the agent has it. */
	CHECK_INT(get("c0")->resources[EBB_CPU].current, 40);
	check_in_force("c0");
	edit(DB_STRUCTURES, "c0", "{'resources':{'cpu':{'max':400,'min':200}}}");
	CHECK_INT(get("c0")->resources[EBB_CPU].max, 400);
	CHECK_INT(get("c0")->resources[EBB_CPU].min, 200);
	/* By an operator's hand: it stays when it goes. */
	CHECK(!get("c0")->automatic);
}

TEST(what_cannot_be_is_set_back)
{
	start();
	/* More than the host has; the rest of the edit is taken. */
	edit(DB_STRUCTURES, "c0", "{'resources':{'cpu':{'max':4000,'min':30}}}");
	CHECK_INT(get("c0")->resources[EBB_CPU].max, 400);
	CHECK_INT(get("c0")->resources[EBB_CPU].min, 30);
	CHECK_STR(there(DB_STRUCTURES, "c0", "resources.cpu.max"), "400");
	/* No number, and min above max. */
	edit(DB_STRUCTURES, "c0", "{'resources':{'cpu':{'max':'much'}}}");
	CHECK_STR(there(DB_STRUCTURES, "c0", "resources.cpu.max"), "400");
	edit(DB_STRUCTURES, "c0", "{'resources':{'cpu':{'min':401}}}");
	CHECK_STR(there(DB_STRUCTURES, "c0", "resources.cpu.min"), "30");
	edit(DB_STRUCTURES, "c0", "{'resources':7}");
	CHECK_STR(there(DB_STRUCTURES, "c0", "resources.cpu.min"), "30");
	/* Another kind of thing. */
	edit(DB_STRUCTURES, "c0", "{'subtype':'application'}");
	CHECK_STR(there(DB_STRUCTURES, "c0", "subtype"), "\"container\"");
	edit(DB_STRUCTURES, "c0", "{'resources':{'mem':null}}");
	CHECK_INT(get("c0")->resources[EBB_MEM].max, 4096);
	CHECK_STR(there(DB_STRUCTURES, "c0", "resources.mem.max"), "4096");
	check_in_force("c0");
}

TEST(what_is_ours_is_put_back)
{
	_cleanup_json_ json_t *before = NULL, *after = NULL;

	start();
	before = stored(DB_STRUCTURES, "c0");
	edit(DB_STRUCTURES, "c0",
	     "{'resources':{'cpu':{'current':7,'allocated':9,'usage':3,'held':true}}}");
	after = stored(DB_STRUCTURES, "c0");
	CHECK(document_same(before, after));
	/* Nobody's hand: a program writes what it always writes. */
	model_lock(model);
	model_structure(model, "c0")->automatic = true;
	model_unlock(model);
	edit(DB_STRUCTURES, "c0", "{'resources':{'cpu':{'current':7}}}");
	CHECK(get("c0")->automatic);
	edit(DB_STRUCTURES, "h0", "{'resources':{'cpu':{'free':1,'core_usage_mapping':{}}}}");
	CHECK_STR(there(DB_STRUCTURES, "h0", "resources.cpu.free"), "300");
	CHECK_STR(there(DB_STRUCTURES, "h0", "resources.cpu.core_usage_mapping.0.c0"), "100");
	edit(DB_LIMITS, "c0", "{'resources':{'cpu':{'upper':1,'lower':1}}}");
	CHECK_STR(there(DB_LIMITS, "c0", "resources.cpu.upper"), "90");
	check_in_force("c0");
}

TEST(unknown_fields_are_kept)
{
	start();
	edit(DB_STRUCTURES, "c0", "{'owner':{'name':'ann'},'resources':{'cpu':{'note':[1,2]}}}");
	CHECK_STR(there(DB_STRUCTURES, "c0", "owner.name"), "\"ann\"");
	/* Through a change of ours too. */
	model_lock(model);
	CHECK_INT(
		model_set_parameter(model, model_structure(model, "c0"), EBB_CPU, "max", 350, NULL),
		0);
	model_unlock(model);
	settle();
	CHECK_STR(there(DB_STRUCTURES, "c0", "resources.cpu.max"), "350");
	CHECK_STR(there(DB_STRUCTURES, "c0", "owner"), "{\"name\":\"ann\"}");
	CHECK_STR(there(DB_STRUCTURES, "c0", "resources.cpu.note"), "[1,2]");
	edit(DB_STRUCTURES, "c0", "{'owner':null}");
	CHECK_STR(there(DB_STRUCTURES, "c0", "owner"), "");
	edit(DB_STRUCTURES, "h0", "{'rack':'r7'}");
	CHECK_STR(there(DB_STRUCTURES, "h0", "rack"), "\"r7\"");
}

TEST(guard_flags_follow_an_edit)
{
	start();
	edit(DB_STRUCTURES, "c0", "{'guard':false}");
	CHECK(!get("c0")->guard && !get("c0")->guard_state);
	CHECK_STR(there(DB_STRUCTURES, "c0", "guard"), "false");
	edit(DB_STRUCTURES, "c0", "{'guard':true,'resources':{'mem':{'guard':false}}}");
	CHECK(get("c0")->guard && get("c0")->guard_state);
	CHECK(!get("c0")->resources[EBB_MEM].guard && get("c0")->resources[EBB_CPU].guard);
	check_in_force("c0");
	/* A container that holds nothing yet is given what it has. */
	add("c1", 200, 256);
	settle();
	edit(DB_STRUCTURES, "c1", "{'guard':true,'resources':{'cpu':{'max':250}}}");
	CHECK_INT(get("c1")->resources[EBB_CPU].allocated, 200);
	check_in_force("c1");
	/* No room for its min. */
	add("c2", -1, -1);
	settle();
	edit(DB_STRUCTURES, "c2", "{'guard':true,'resources':{'cpu':{'min':200}}}");
	CHECK(!get("c2")->guard);
	CHECK_STR(there(DB_STRUCTURES, "c2", "guard"), "false");
	CHECK_STR(there(DB_STRUCTURES, "c2", "resources.cpu.min"), "200");
	/* A host is none. */
	edit(DB_STRUCTURES, "h0", "{'guard':true}");
	CHECK_STR(there(DB_STRUCTURES, "h0", "guard"), "false");
	sound();
}

TEST(boundaries_follow_an_edit)
{
	start();
	edit(DB_LIMITS, "c0", "{'resources':{'cpu':{'boundary':20}},'note':'x'}");
	CHECK_INT(get("c0")->resources[EBB_CPU].boundary, 20);
	CHECK_INT(get("c0")->resources[EBB_CPU].upper, 80);
	CHECK_STR(there(DB_LIMITS, "c0", "resources.cpu.upper"), "80");
	CHECK_STR(there(DB_LIMITS, "c0", "note"), "\"x\"");
	edit(DB_LIMITS, "c0", "{'resources':{'cpu':{'boundary_type':'percentage_of_max'}}}");
	CHECK_INT(get("c0")->resources[EBB_CPU].boundary_type, BOUNDARY_PERCENTAGE_OF_MAX);
	edit(DB_LIMITS, "c0", "{'resources':{'cpu':{'boundary':101}}}");
	CHECK_STR(there(DB_LIMITS, "c0", "resources.cpu.boundary"), "20");
	edit(DB_LIMITS, "c0", "{'resources':{'cpu':{'boundary_type':'of_nothing'}}}");
	CHECK_STR(there(DB_LIMITS, "c0", "resources.cpu.boundary_type"), "\"percentage_of_max\"");
	edit(DB_LIMITS, "c0", "{'resources':{'cpu':null}}");
	CHECK_STR(there(DB_LIMITS, "c0", "resources.cpu.boundary"), "20");
	delete (DB_LIMITS, "c0");
	CHECK_STR(there(DB_LIMITS, "c0", "resources.cpu.boundary"), "20");
}

/* The API changed one field, which is not written yet; they changed another. */
TEST(neither_side_s_change_is_lost)
{
	_cleanup_json_ json_t *base = NULL, *doc = NULL;

	start();
	base = stored(DB_STRUCTURES, "c0");
	doc = json_deep_copy(base);
	json_object_set_new(json_object_get(json_object_get(doc, "resources"), "cpu"), "min",
			    json_integer(60));
	model_lock(model);
	CHECK_INT(
		model_set_parameter(model, model_structure(model, "c0"), EBB_CPU, "max", 333, NULL),
		0);
	model_unlock(model);
	changed(DB_STRUCTURES, "c0", base, doc);
	CHECK_INT(get("c0")->resources[EBB_CPU].max, 333);
	CHECK_INT(get("c0")->resources[EBB_CPU].min, 60);
	CHECK_STR(there(DB_STRUCTURES, "c0", "resources.cpu.max"), "333");
	CHECK_STR(there(DB_STRUCTURES, "c0", "resources.cpu.min"), "60");
}

TEST(structures_are_added_by_hand)
{
	start();
	/* In any order: the container before its host, the limits before both. */
	edit(DB_LIMITS, "d0",
	     "{'type':'limit','name':'d0','resources':{'cpu':{'boundary':30,"
	     "'boundary_type':'percentage_of_current'}}}");
	edit(DB_STRUCTURES, "d0",
	     "{'type':'structure','subtype':'container','name':'d0','host':'h1','guard':true,"
	     "'host_rescaler_ip':'h1','host_rescaler_port':'8000','resources':{'cpu':{'max':200,"
	     "'min':20,'current':100,'guard':true,'allocated':100}}}");
	edit(DB_STRUCTURES, "h1",
	     "{'type':'structure','subtype':'host','name':'h1','host':'h1','resources':{"
	     "'cpu':{'max':400,'free':400,'core_usage_mapping':{'0':{'free':100},"
	     "'1':{'free':100},'2':{'free':100},'3':{'free':100}}},'mem':{'max':8192,"
	     "'free':8192}}}");
	edit(DB_STRUCTURES, "app1",
	     "{'type':'structure','subtype':'application','name':'app1','guard':false,"
	     "'containers':['d0'],'resources':{'cpu':{'max':800,'min':20,'guard':false}}}");
	CHECK(get("d0") && get("h1") && get("app1"));
	CHECK(get("d0")->host == get("h1")->host);
	CHECK_INT(get("d0")->resources[EBB_CPU].boundary, 30);
	/* What the document says that it holds nobody has given it. */
	CHECK_INT(get("d0")->resources[EBB_CPU].allocated, 0);
	CHECK(get("d0")->guard_state);
	CHECK_INT(((struct host *)get("h1")->host)->free[EBB_MEM], 8192);
	CHECK_STR(there(DB_STRUCTURES, "app1", "containers"), "[\"d0\"]");
	/* Its host is what its document says, as long as no agent says other. */
	edit(DB_STRUCTURES, "h1", "{'resources':{'mem':{'max':4096}}}");
	CHECK_INT(((struct host *)get("h1")->host)->free[EBB_MEM], 4096);
	/* And it may be said to be elsewhere. */
	edit(DB_STRUCTURES, "d0", "{'host':'h0','host_rescaler_ip':'other'}");
	CHECK(get("d0")->host == host);
	CHECK_STR(there(DB_STRUCTURES, "d0", "host_rescaler_ip"), "\"other\"");
	edit(DB_STRUCTURES, "d0", "{'host':null}");
	CHECK(get("d0")->host == NULL);
	edit(DB_STRUCTURES, "app1", "{'containers':['d0','d1'],'resources':{'cpu':{'max':700}}}");
	CHECK_INT(get("app1")->resources[EBB_CPU].max, 700);
	CHECK_STR(there(DB_STRUCTURES, "app1", "containers"), "[\"d0\",\"d1\"]");
	sound();
	/* What an agent says of a live one stays. */
	edit(DB_STRUCTURES, "c0", "{'host':'h1','host_rescaler_ip':'nowhere'}");
	CHECK_STR(there(DB_STRUCTURES, "c0", "host"), "\"h0\"");
	CHECK_STR(there(DB_STRUCTURES, "c0", "host_rescaler_ip"), "\"127.0.0.1\"");
	/* Documents that are none stay where they are, and do nothing. */
	edit(DB_STRUCTURES, "bad", "{'name':'bad','subtype':'moon'}");
	edit(DB_STRUCTURES, "free", "{'name':'free','subtype':'container'}");
	edit(DB_STRUCTURES, "x", "{'name':'y','subtype':'container'}");
	edit(DB_STRUCTURES, "z", "{'subtype':'container'}");
	CHECK(!get("bad") && !get("free") && !get("x") && !get("y") && !get("z"));
	CHECK_STR(there(DB_STRUCTURES, "bad", "subtype"), "\"moon\"");
}

TEST(resources_come_and_go_by_hand)
{
	start();
	edit(DB_STRUCTURES, "c0", "{'resources':{'energy':{'max':60,'min':10,'current':50}}}");
	CHECK(get("c0")->resources[EBB_ENERGY].present);
	CHECK_INT(get("c0")->resources[EBB_ENERGY].max, 60);
	edit(DB_STRUCTURES, "c0", "{'resources':{'energy':null}}");
	CHECK(!get("c0")->resources[EBB_ENERGY].present);
	CHECK_STR(there(DB_STRUCTURES, "c0", "resources.energy"), "");
	/* Of a host too: what its containers may share. */
	edit(DB_STRUCTURES, "h0", "{'resources':{'disk_read':{'max':500}}}");
	CHECK_INT(host->free[EBB_DISK_READ], 500);
	CHECK_STR(there(DB_STRUCTURES, "h0", "resources.disk_read.free"), "500");
	edit(DB_STRUCTURES, "h0", "{'resources':{'cpu':{'max':10000}}}");
	CHECK_STR(there(DB_STRUCTURES, "h0", "resources.cpu.max"), "400");
	sound();
	/* Without an agent its document says what it has, and where its Container Scaler is. */
	host->agentless = true;
	edit(DB_STRUCTURES, "h0",
	     "{'host_rescaler_ip':'elsewhere','feed':'opentsdb','resources':{'mem':{'max':2048}}}");
	CHECK_INT(host->max[EBB_MEM], 2048);
	CHECK_INT(host->free[EBB_MEM], 2048 - get("c0")->resources[EBB_MEM].allocated);
	CHECK_STR(there(DB_STRUCTURES, "h0", "host_rescaler_ip"), "\"elsewhere\"");
	CHECK_STR(there(DB_STRUCTURES, "h0", "feed"), "\"opentsdb\"");
	edit(DB_STRUCTURES, "c0", "{'host_rescaler_port':'8001'}");
	CHECK_STR(there(DB_STRUCTURES, "c0", "host_rescaler_port"), "\"8001\"");
	host->agentless = false;
	sound();
}

TEST(deleted_by_hand)
{
	start();
	edit(DB_STRUCTURES, "app1", "{'subtype':'application','name':'app1'}");
	delete (DB_STRUCTURES, "app1");
	CHECK(!get("app1"));
	/* It runs: as it was when it came. */
	CHECK_INT(host->free[EBB_CPU], 300);
	delete (DB_STRUCTURES, "c0");
	CHECK(get("c0"));
	CHECK(!get("c0")->guard && get("c0")->automatic && get("c0")->live);
	CHECK_INT(get("c0")->resources[EBB_CPU].current, 100);
	CHECK_INT(get("c0")->resources[EBB_CPU].allocated, 0);
	CHECK_INT(host->free[EBB_CPU], 400);
	CHECK_STR(there(DB_STRUCTURES, "c0", "automatic"), "true");
	CHECK_STR(there(DB_LIMITS, "c0", "resources.cpu.boundary"), "10");
	/* One that is kept for its return. */
	edit(DB_STRUCTURES, "c0", "{'guard':true}");
	model_lock(model);
	model_container_gone(model, model_structure(model, "c0"));
	model_unlock(model);
	settle();
	CHECK(get("c0"));
	delete (DB_STRUCTURES, "c0");
	CHECK(!get("c0"));
	CHECK_STR(there(DB_LIMITS, "c0", "name"), "");
	/* A host with its agent here, and without. */
	delete (DB_STRUCTURES, "h0");
	CHECK(get("h0"));
	CHECK_STR(there(DB_STRUCTURES, "h0", "name"), "\"h0\"");
	model_lock(model);
	host->connected = false;
	model_unlock(model);
	delete (DB_STRUCTURES, "h0");
	CHECK(!get("h0"));
	delete (DB_STRUCTURES, "never_was");
	sound();
}

/* --- a standby --- */

TEST(a_standby_takes_documents_as_they_stand)
{
	unsigned long written;

	test_at_end(release_all, NULL);
	memory_store_init(&memory);
	CHECK_INT(stand_in_start(&agent), 0);
	open_model();
	/* No defaults of its own. */
	CHECK_INT(json_object_size(model->rules), 0);
	edit(DB_STRUCTURES, "c0",
	     "{'subtype':'container','name':'c0','host':'h0','guard':true,'resources':{'cpu':{"
	     "'max':200,'min':20,'current':150,'allocated':150,'guard':true}}}");
	edit(DB_LIMITS, "c0",
	     "{'name':'c0','resources':{'cpu':{'boundary':10,'boundary_type':"
	     "'percentage_of_current','upper':135,'lower':120}}}");
	edit(DB_STRUCTURES, "h0",
	     "{'subtype':'host','name':'h0','resources':{'cpu':{'max':400,'free':250,"
	     "'core_usage_mapping':{'0':{'c0':100,'free':0},'1':{'c0':50,'free':50},"
	     "'2':{'free':100},'3':{'free':100}}},'mem':{'max':4096,'free':4096}}}");
	CHECK_INT(get("c0")->resources[EBB_CPU].current, 150);
	CHECK_INT(get("c0")->resources[EBB_CPU].allocated, 150);
	CHECK_INT(get("c0")->resources[EBB_CPU].upper, 135);
	CHECK(get("c0")->host && get("c0")->host == get("h0")->host);
	sound();
	/* The leader goes on. */
	edit(DB_STRUCTURES, "c0", "{'resources':{'cpu':{'current':50,'allocated':50}}}");
	edit(DB_STRUCTURES, "h0",
	     "{'resources':{'cpu':{'free':350,'core_usage_mapping':{'0':{'c0':50,'free':50},"
	     "'1':{'c0':0,'free':100}}}}}");
	CHECK_INT(get("c0")->resources[EBB_CPU].current, 50);
	CHECK_INT(((struct host *)get("h0")->host)->free[EBB_CPU], 350);
	CHECK_INT(get("c0")->resources[EBB_CPU].upper, 135);
	sound();
	edit(DB_SERVICES, "scaler", "{'name':'scaler','config':{'REQUEST_TIMEOUT':44}}");
	CHECK_NEAR(model->scaler.request_timeout, 44, 0);
	edit(DB_REQUESTS, "r1",
	     "{'type':'request','structure':'c0','resource':'cpu','amount':10,"
	     "'timestamp':1}");
	CHECK_STR(there(DB_REQUESTS, "r1", "type"), "\"request\"");
	edit(DB_STRUCTURES, "c9", "{'subtype':'container','name':'c9','host':'h0'}");
	delete (DB_STRUCTURES, "c9");
	CHECK(!get("c9"));
	model_lock(model);
	model_heartbeat(model, 5);
	model_touch(model, model_structure(model, "c0"), MODEL_DIRTY_STRUCTURE);
	model_unlock(model);
	settle();
	written = memory.written;
	CHECK_INT(written, 0);

	/* It takes over. */
	lead(true);
	settle();
	CHECK(memory.written > written);
	CHECK(json_object_get(model->rules, "CpuRescaleUp"));
	CHECK_STR(there(DB_RULES, "CpuRescaleUp", "name"), "\"CpuRescaleUp\"");
	/* What was changed by hand is no default. */
	CHECK_NEAR(model->scaler.request_timeout, 44, 0);
	CHECK(get("c0")->guard_state && !get("c0")->live);
	CHECK_INT(get("c0")->resources[EBB_CPU].upper, 45);
	CHECK_STR(there(DB_LIMITS, "c0", "resources.cpu.upper"), "45");
	sound();
	model_lock(model);
	CHECK(requests_take(model, wall_seconds()));
	model_unlock(model);
	settle();
	CHECK_STR(there(DB_REQUESTS, "r1", "type"), "");
	/* The agent comes, with what is in force. */
	host = register_host("h0");
	add("c0", 60, 512);
	settle();
	CHECK_INT(get("c0")->resources[EBB_CPU].current, 60);
	sound();

	/* And it leads no more. */
	lead(false);
	written = memory.written;
	CHECK(!get("c0")->live && !host->connected && !host->session);
	edit(DB_STRUCTURES, "c0", "{'resources':{'cpu':{'current':70,'allocated':70}}}");
	CHECK_INT(get("c0")->resources[EBB_CPU].current, 70);
	CHECK_INT(memory.written, written);
	lead(true);
	settle();
	sound();
}

/* --- orders under way --- */

/* The agent is slow: edits come while it works, and it answers to what is not there any more. */
/* Somebody changed the boundary while no controller ran: what follows from it was worked out on
 * loading, before we led and could write it. */
TEST(what_was_worked_out_before_leading_is_written)
{
	_cleanup_json_ json_t *structure = NULL, *limits = NULL;

	structure = parse("{'subtype':'container','name':'c0','host':'h0','guard':true,'resources':"
			  "{'cpu':{'max':200,'min':20,'current':100,'guard':true}}}");
	limits = parse("{'name':'c0','resources':{'cpu':{'boundary':20,'boundary_type':"
		       "'percentage_of_current','upper':90,'lower':80}}}");
	test_at_end(release_all, NULL);
	memory_store_init(&memory);
	CHECK_INT(stand_in_start(&agent), 0);
	memory_store_set(&memory, DB_STRUCTURES, "c0", structure);
	memory_store_set(&memory, DB_LIMITS, "c0", limits);
	open_model();
	CHECK_INT(get("c0")->resources[EBB_CPU].upper, 80);
	CHECK_STR(there(DB_LIMITS, "c0", "resources.cpu.upper"), "90");
	lead(true);
	settle();
	CHECK_STR(there(DB_LIMITS, "c0", "resources.cpu.upper"), "80");
	CHECK_STR(there(DB_LIMITS, "c0", "resources.cpu.lower"), "60");
}

TEST(edits_with_orders_under_way)
{
	unsigned seed = (unsigned)test_seed(1);

	srandom(seed);
	start();
	agent.delay_ms = 3;
	add("c1", 50, 256);
	for (int i = 0; i < 400; i++) {
		const char *name = random() % 2 ? "c0" : "c1";
		_cleanup_json_ json_t *base = stored(DB_STRUCTURES, name), *doc = NULL;
		struct structure *s;

		model_lock(model);
		s = model_structure(model, name);
		if (s && s->guard && s->live) {
			struct request asked = {.structure = s,
						.resource = random() % 2 ? EBB_CPU : EBB_MEM,
						.amount = random() % 2 ? 20 : -20,
						.timestamp = wall_seconds(),
						.origin = "test"};

			(void)scaler_request(scaler, &asked);
			scaler_run(scaler);
		}
		switch (random() % 6) {
		case 0: model_document_changed(model, DB_STRUCTURES, name, base, NULL); break;
		case 1:
			if (base) {
				doc = json_deep_copy(base);
				json_object_set_new(doc, "guard", json_boolean(random() % 4));
				model_document_changed(model, DB_STRUCTURES, name, base, doc);
			}
			break;
		case 2:
			if (base) {
				doc = json_deep_copy(base);
				json_object_set_new(
					json_object_get(json_object_get(doc, "resources"), "cpu"),
					"max", json_integer(20 + random() % 400));
				model_document_changed(model, DB_STRUCTURES, name, base, doc);
			}
			break;
		case 3:
			if (s) {
				scaler_forget(scaler, s);
				model_container_gone(model, s);
			}
			break;
		case 4:
			host->connected = random() % 8 != 0;
			if (!host->connected) {
				/* Its agent begins anew. */
				model_document_changed(model, DB_STRUCTURES, "h0", NULL, NULL);
				CHECK(!model_host(model, "h0"));
				model_unlock(model);
				host = register_host("h0");
				model_lock(model);
			}
			break;
		default: break;
		}
		scaler_run(scaler);
		model_unlock(model);
		model_lock(model);
		s = model_structure(model, name);
		model_unlock(model);
		if (!s || !s->live || s->host != host)
			add(name, 50 + (int)(random() % 100), 256);
		if (random() % 3 == 0)
			usleep(1000 * (unsigned)(random() % 4));
		sound();
	}
	settle();
	sound();
}

TEST_MAIN()
