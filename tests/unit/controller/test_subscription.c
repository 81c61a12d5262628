/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subscriptions of containers, from the body to the documents, with a host whose answers the test
 * gives. What is refused or fails leaves every document as it was, byte for byte, and the host too.
 */
#include "seed.h"
#include "subscription_fixture.h"

/* --- containers --- */

TEST(a_container_as_the_old_wrapper_sends_it)
{
	start();
	begin_container("c0", parse_text(CONTAINER));
	/* First it is asked what is in force. */
	CHECK_INT(fake.n, 1);
	CHECK_STR(fake_next(&fake), "");
	CHECK(fake_answer(&fake, FATE_DONE));
	/* Then ordered, though the scaler is not active; memory that is lowered apart. */
	CHECK_INT(fake.n, 2);
	CHECK_INT(n_done, 0);
	fake_answer_all(&fake, FATE_DONE);
	check_done(200, NULL);
	CHECK_STR(text_at(got, "resources.cpu"),
		  "{\"max\":200,\"current\":200,\"min\":20,\"guard\":false,\"allocated\":200}");
	CHECK_STR(text_at(got, "resources.mem"),
		  "{\"max\":6144,\"current\":6144,\"min\":512,\"guard\":false,\"allocated\":6144}");
	CHECK_STR(text_at(got, "guard"), "false");
	CHECK_STR(text_at(got, "automatic"), "");
	CHECK_STR(text_at(got, "subscribing"), "");
	CHECK_STR(text_at(got, "resources.disk_read"), "");
	CHECK_STR(document_at("h0", "resources.cpu.free"), "200");
	CHECK_STR(document_at("h0", "resources.mem.free"), "2048");
	CHECK_STR(document_at("h0", "resources.cpu.core_usage_mapping.0.c0"), "100");
	CHECK_STR(document_at("h0", "resources.cpu.core_usage_mapping.0.free"), "0");
	CHECK_STR(text_at(fake.containers, "c0.cpu"),
		  "{\"cpu_allowance_limit\":200,\"cpu_num\":\"0,1\"}");
	CHECK_STR(text_at(fake.containers, "c0.mem"), "{\"mem_limit\":6144}");
	CHECK_INT(find("c0")->resources[EBB_CPU].boundary, 10);
	CHECK_INT(find("c0")->resources[EBB_CPU].upper, 180);
	check_adds_up();
}

TEST(a_container_may_be_guarded_from_the_start)
{
	start();
	subscribe("container.guard", "'true'");
	CHECK(find("c0")->guard);
	CHECK(find("c0")->guard_state);
	CHECK(model_host(model, "h0")->guard_version > 0);
}

TEST(fields_that_are_not_ours_are_kept)
{
	start();
	subscribe("container.guard_policy", "'serverless'");
	CHECK_STR(document_at("c0", "guard_policy"), "\"serverless\"");
}

TEST(what_is_the_controllers_to_say_is_not_taken_from_a_body)
{
	start();
	subscribe("container.resources.cpu",
		  "{'max': 200, 'current': 100, 'min': 20, 'guard': false, 'allocated': 7, "
		  "'usage': 99, 'held': true, 'operating': true}");
	CHECK_INT(find("c0")->resources[EBB_CPU].allocated, 100);
	CHECK_INT(find("c0")->held, 0);
	CHECK_STR(document_at("c0", "resources.cpu.held"), "");
	CHECK_INT(find("c0")->operating, 0);
}

TEST(containers_that_cannot_be_are_refused)
{
	static const struct refusal refusals[] = {
		{"container", NULL, 400, "Missing key 'container'"},
		{"container", "7", 400, "container must be an object"},
		{"container.name", NULL, 400, "Missing key 'container.name'"},
		{"container.resources", NULL, 400, "Missing key 'container.resources'"},
		{"container.host_rescaler_ip", NULL, 400, "container.host_rescaler_ip"},
		{"container.host_rescaler_port", NULL, 400, "container.host_rescaler_port"},
		{"container.host", NULL, 400, "Missing key 'container.host'"},
		{"container.guard", NULL, 400, "Missing key 'container.guard'"},
		{"container.subtype", NULL, 400, "Missing key 'container.subtype'"},
		{"container.name", "'c1'", 400, "must be the same"},
		{"container.name", "7", 400, "must be the same"},
		{"container.subtype", "'host'", 400, "container.subtype must be \"container\""},
		{"container.guard", "'perhaps'", 400, "container.guard must be true or false"},
		{"container.host", "'h9'", 400, "there is no host 'h9'"},
		{"container.host", "'c1'", 400, "there is no host 'c1'"},
		{"container.host", "{}", 400, "container.host must be the name"},
		{"container.host_rescaler_ip", "'http://h0/x?'", 400, "host_rescaler_ip"},
		{"container.host_rescaler_port", "'eighty'", 400, "host_rescaler_port"},
		{"container.resources", "[]", 400, "container.resources must be an object"},
		{"container.resources.cpu", NULL, 400, "Missing key 'container.resources.cpu'"},
		{"container.resources.mem", NULL, 400, "Missing key 'container.resources.mem'"},
		{"container.resources.gpu", "{}", 400, "Resource 'gpu'"},
		{"container.resources.cpu", "'x'", 400,
		 "container.resources.cpu must be an object"},
		{"container.resources.cpu.max", NULL, 400, "container.resources.cpu.max"},
		{"container.resources.cpu.min", NULL, 400, "container.resources.cpu.min"},
		{"container.resources.cpu.current", NULL, 400, "container.resources.cpu.current"},
		{"container.resources.cpu.guard", NULL, 400, "container.resources.cpu.guard"},
		{"container.resources.cpu.max", "'many'", 400, "must be a number"},
		{"container.resources.cpu.max", "true", 400, "must be a number"},
		{"container.resources.cpu.max", "200.5", 400, "must be a whole number"},
		{"container.resources.cpu.max", "-200", 400, "must be a whole number from"},
		{"container.resources.cpu.max", "'1e999'", 400, "must be a number"},
		{"container.resources.cpu.max", "9999999999", 400, "must be a whole number from"},
		{"container.resources.cpu.max", "0", 400, "must be a whole number from 1"},
		{"container.resources.cpu.current", "0", 400, "must be a whole number from 1"},
		{"container.resources.cpu.min", "'201'", 400, "min 201 is above max 200"},
		{"container.resources.cpu.current", "19", 400, "is not from min 20 to max 200"},
		{"container.resources.cpu.current", "201", 400, "is not from min 20 to max 200"},
		{"container.resources.mem.max", "63", 400, "must be a whole number from 64"},
		{"container.resources.cpu.weight", "-1", 400, "weight must be a number"},
		{"container.resources.cpu.guard", "2", 400, "guard must be true or false"},
		{"container.resources.mem", "{'max': 8193, 'current': 8193, 'min': 64, 'guard': 0}",
		 409, "does not have enough free mem"},
		{"container.resources.cpu", "{'max': 500, 'current': 401, 'min': 1, 'guard': 0}",
		 409, "c0 wants 401 shares, 400 are free"},
		{"container.resources.disk", "7", 400,
		 "container.resources.disk must be an object"},
		{"container.resources.disk", "{'name': 'ssd_0'}", 400, "disk.path"},
		{"container.resources.disk", "{'name': 'ssd_0', 'path': 8}", 400, "disk.path"},
		{"container.resources.disk", "{'name': 'ssd_0', 'path': '/mnt'}", 400, "disk_read"},
		{"container.resources.net", "{'max': 9, 'current': 9, 'min': 1, 'guard': false}",
		 400, "cannot limit net"},
		{"limits", NULL, 400, "Missing key 'limits'"},
		{"limits.resources", NULL, 400, "limits.resources must be an object"},
		{"limits.resources.cpu", NULL, 400, "Missing key 'limits.resources.cpu'"},
		{"limits.resources.mem", NULL, 400, "Missing key 'limits.resources.mem'"},
		{"limits.resources.cpu", "[]", 400, "limits.resources.cpu must be an object"},
		{"limits.resources.energy", "{}", 400, "has no counterpart"},
		{"limits.resources.cpu.boundary", NULL, 400, "limits.resources.cpu.boundary"},
		{"limits.resources.cpu.boundary", "101", 400, "0 to 100"},
		{"limits.resources.cpu.boundary", "-1", 400, "limits.resources.cpu.boundary"},
		{"limits.resources.cpu.boundary_type", NULL, 400, "percentage_of_max"},
		{"limits.resources.cpu.boundary_type", "'absolute'", 400, "percentage_of_max"},
	};

	start();
	check_refusals(CONTAINER, "c0", begin_container, refusals, ARRAY_SIZE(refusals));
}

TEST(names_that_cannot_be_are_refused)
{
	_cleanup_free_ char *before = NULL;

	start();
	before = everything();
	begin_container("free", body_with(CONTAINER, "container.name", "'free'"));
	check_done(400, "not 'free'");
	begin_container("h0", body_with(CONTAINER, "container.name", "'h0'"));
	check_done(409, "There is a host 'h0' already");
	begin_container("c9", body_with(CONTAINER, "container.name", "'c9'"));
	check_done(400, "reports no container 'c9'");
	check_same(before, "a bad name");
}

TEST(what_is_subscribed_is_not_subscribed_again)
{
	_cleanup_free_ char *before = NULL;

	start();
	subscribe(NULL, NULL);
	before = everything();
	begin_container("c0", body_with(CONTAINER, "container.resources.cpu.max", "400"));
	check_done(409, "DELETE /structure/container/c0");
	CHECK_INT(fake.n, 0);
	check_same(before, "the second subscription");
}

TEST(one_subscription_of_a_name_at_a_time)
{
	start();
	begin_container("c0", parse_text(CONTAINER));
	CHECK_INT(n_done, 0);
	begin_container("c0", parse_text(CONTAINER));
	check_done(409, "is being subscribed");
	CHECK(fake_answer(&fake, FATE_DONE));
	begin_container("c0", parse_text(CONTAINER));
	check_done(409, "is being subscribed");
	fake_answer_all(&fake, FATE_DONE);
	check_done(200, NULL);
}

TEST(an_agent_that_is_not_connected_is_not_asked)
{
	_cleanup_free_ char *before = NULL;

	start();
	before = everything();
	model_host(model, "h0")->connected = false;
	begin_container("c0", parse_text(CONTAINER));
	check_done(409, "agent of host h0 is not connected");
	CHECK_INT(fake.n, 0);
	model_host(model, "h0")->connected = true;
	check_same(before, "a silent agent");
}

/* All ways in which it can end on the host, at each of the orders. */
TEST(what_fails_on_the_host_is_taken_back)
{
	for (int at_order = 0; at_order < 3; at_order++) {
		for (enum fate fate = FATE_REFUSED; fate < FATE_MAX; fate++) {
			_cleanup_free_ char *before = NULL;

			start();
			before = everything();
			begin_container("c0", parse_text(CONTAINER));
			for (int i = 0; i < at_order; i++)
				CHECK(fake_answer(&fake, FATE_DONE));
			CHECK(fake_answer(&fake, fate));
			fake_answer_all(&fake, FATE_DONE);
			check_done(502, "told to");
			check_same(before, "a failure on the host");
			release_all(NULL);
		}
	}
}

TEST(an_agent_that_dies_between_leaves_nothing_behind)
{
	_cleanup_free_ char *before = NULL;

	start();
	before = everything();
	begin_container("c0", parse_text(CONTAINER));
	CHECK(fake_answer(&fake, FATE_DONE));
	CHECK_INT(fake_answer_all(&fake, FATE_UNREACHED), 3);
	check_done(502, "could not be put back yet");
	check_same(before, "an agent that died");
}

TEST(old_limits_are_put_back_when_the_host_answers_again)
{
	_cleanup_free_ char *before = NULL;

	start();
	before = everything();
	begin_container("c0", parse_text(CONTAINER));
	CHECK(fake_answer(&fake, FATE_DONE));
	CHECK(fake_answer(&fake, FATE_UNANSWERED));
	fake_answer_all(&fake, FATE_UNREACHED);
	check_done(502, "will be when its host answers");
	/* What was ordered is in force, and nobody was told. */
	CHECK_STR(text_at(fake.containers, "c0.cpu.cpu_allowance_limit"), "200");
	subscriber_tick(subscriber);
	CHECK_INT(fake.n, 0);
	virtual_now += 2;
	model_host(model, "h0")->connected = false;
	subscriber_tick(subscriber);
	CHECK_INT(fake.n, 0);
	model_host(model, "h0")->connected = true;
	subscriber_tick(subscriber);
	CHECK_INT(fake_answer_all(&fake, FATE_UNREACHED), 1);
	virtual_now += 2;
	subscriber_tick(subscriber);
	CHECK_INT(fake_answer_all(&fake, FATE_DONE), 1);
	check_same(before, "an agent that was away");
	virtual_now += 2;
	subscriber_tick(subscriber);
	CHECK_INT(fake.n, 0);
}

TEST(what_somebody_wants_meanwhile_is_not_put_back)
{
	start();
	begin_container("c0", parse_text(CONTAINER));
	CHECK(fake_answer(&fake, FATE_DONE));
	CHECK_INT(fake_answer_all(&fake, FATE_UNREACHED), 3);
	check_done(502, "could not be put back yet");
	subscribe(NULL, NULL);
	virtual_now += 2;
	subscriber_tick(subscriber);
	CHECK_INT(fake.n, 0);
}

TEST(memory_that_cannot_be_lowered_takes_all_of_it_back)
{
	_cleanup_free_ char *before = NULL;

	start();
	before = everything();
	fake.mem_floor = 7000;
	begin_container("c0", parse_text(CONTAINER));
	fake_answer_all(&fake, FATE_DONE);
	check_done(409, "mem of it is at 7000 MiB now");
	check_same(before, "memory in use");
}

TEST(what_takes_too_long_is_given_up)
{
	_cleanup_free_ char *before = NULL;

	start();
	before = everything();
	begin_container("c0", parse_text(CONTAINER));
	fake.is_full = true;
	CHECK(fake_answer(&fake, FATE_DONE));
	fake.is_full = false;
	subscriber_tick(subscriber);
	CHECK_INT(n_done, 0);
	virtual_now += 16;
	subscriber_tick(subscriber);
	fake_answer_all(&fake, FATE_DONE);
	check_done(504, "in time");
	check_same(before, "what took too long");
}

/* The slow order, for memory, stays in the executor's queue for now. */
static struct order hold_back_memory(void)
{
	struct order held = fake.orders[(fake.first + 1) % 256];

	CHECK_INT(fake.n, 2);
	CHECK(json_object_get(held.body, "mem"));
	fake.n = 1;
	return held;
}

static void let_go(const struct order *held)
{
	CHECK_INT(fake.n, 0);
	fake.orders[fake.first] = *held;
	fake.n = 1;
}

TEST(what_is_given_up_while_an_order_is_queued_is_put_back_after_it)
{
	_cleanup_free_ char *before = NULL;
	struct order held;

	start();
	before = everything();
	begin_container("c0", parse_text(CONTAINER));
	CHECK(fake_answer(&fake, FATE_DONE));
	held = hold_back_memory();
	CHECK(fake_answer(&fake, FATE_DONE));
	virtual_now += 16;
	subscriber_tick(subscriber);
	CHECK_INT(fake.n, 0);
	let_go(&held);
	CHECK(fake_answer(&fake, FATE_DONE));
	CHECK_STR(text_at(fake.containers, "c0.mem"), "{\"mem_limit\":6144}");
	fake_answer_all(&fake, FATE_DONE);
	check_done(504, "in time");
	check_same(before, "what was queued");
}

static int request(const char *name, const char *pair, enum request_field field, int64_t amount)
{
	struct request request = {
		.structure = find(name),
		.pair = pair ? find(pair) : NULL,
		.resource = EBB_CPU,
		.field = field,
		.amount = amount,
		.timestamp = virtual_now,
		.origin = "tester",
	};
	int r;

	model_lock(model);
	r = scaler_request(scaler, &request);
	scaler_run(scaler);
	model_unlock(model);
	return r;
}

TEST(nothing_scales_what_is_being_subscribed)
{
	static const struct {
		const char *name, *pair;
		enum request_field field;
		int64_t amount, current, max;
	} cases[] = {
		{"c0", NULL, REQUEST_CURRENT, -50, 150, 200},
		{"c0", NULL, REQUEST_MAX, -50, 150, 150},
		{"c1", "c0", REQUEST_CURRENT, 50, 150, 200},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct order held;

		start();
		model->scaler.active = true;
		model->scaler.request_timeout = 1e6;
		begin_container("c1", body_with(CONTAINER, "container.name", "'c1'"));
		fake_answer_all(&fake, FATE_DONE);
		check_done(200, NULL);
		model_lock(model);
		CHECK_INT(model_set_parameter(model, find("c1"), EBB_CPU, "max", 400, NULL), 0);
		model_unlock(model);
		begin_container("c0", body_with(CONTAINER, "container.resources.mem",
						"{'max': 2048, 'current': 2048, 'min': 512, "
						"'guard': false}"));
		CHECK(fake_answer(&fake, FATE_DONE));
		held = hold_back_memory();
		CHECK(fake_answer(&fake, FATE_DONE));
		CHECK_INT(request(cases[i].name, cases[i].pair, cases[i].field, cases[i].amount),
			  0);
		CHECK_INT(fake.n, 0);
		CHECK_INT(find("c0")->resources[EBB_CPU].current, 200);
		let_go(&held);
		CHECK(fake_answer(&fake, FATE_DONE));
		check_done(200, NULL);
		CHECK_STR(text_at(got, "resources.cpu.current"), "200");
		/* Then it is its turn. */
		fake_answer_all(&fake, FATE_DONE);
		CHECK_INT(find("c0")->resources[EBB_CPU].current, cases[i].current);
		CHECK_INT(find("c0")->resources[EBB_CPU].max, cases[i].max);
		check_adds_up();
		release_all(NULL);
	}
}

TEST(nobody_guards_what_is_being_subscribed)
{
	static const struct guardian_config config = {.active = true, .guarded = ~0u};
	const struct guard_sample sample = {.at = 1, .seconds = 0.1};
	const struct sample_times times = {0};
	struct order held;

	start();
	begin_container("c0", body_with(CONTAINER, "container.guard", "true"));
	CHECK(fake_answer(&fake, FATE_DONE));
	held = hold_back_memory();
	CHECK(fake_answer(&fake, FATE_DONE));
	model_lock(model);
	CHECK(!guarding_take_sample(model, scaler, find("c0"), &config, &sample, &times));
	model_unlock(model);
	let_go(&held);
	fake_answer_all(&fake, FATE_DONE);
	check_done(200, NULL);
	model_lock(model);
	CHECK(guarding_take_sample(model, scaler, find("c0"), &config, &sample, &times));
	model_unlock(model);
}

TEST(a_host_does_not_come_in_once_the_lead_is_lost)
{
	_cleanup_free_ char *before = NULL;

	start();
	lose_the_lead();
	before = everything();
	begin_host("h1", parse_text(HOST));
	check_done(503, "does not lead");
	CHECK_INT(fake.n, 0);
	check_same(before, "a host on a standby");
	release_all(NULL);

	start();
	begin_host("h1", parse_text(HOST));
	lose_the_lead();
	CHECK(fake_answer(&fake, FATE_DONE));
	check_done(503, "does not lead");
	CHECK(!model_structure(model, "h1"));
}

/* After so many answers, and then by the next one or by time. */
TEST(a_container_does_not_come_in_once_the_lead_is_lost)
{
	for (int answers = -1; answers < 3; answers++) {
		for (int by_time = 0; by_time < 2; by_time++) {
			start();
			if (answers < 0)
				lose_the_lead();
			begin_container("c0", parse_text(CONTAINER));
			for (int i = 0; i < answers; i++)
				CHECK(fake_answer(&fake, FATE_DONE));
			lose_the_lead();
			if (by_time)
				subscriber_tick(subscriber);
			fake_answer_all(&fake, FATE_DONE);
			check_done(503, "does not lead");
			CHECK_INT(fake.n, 0);
			/* Whoever leads takes it back: it is that one's to write. */
			CHECK_INT(find("c0")->subscription != 0, answers > 0);
			virtual_now += 60;
			subscriber_tick(subscriber);
			CHECK_INT(fake.n, 0);
			release_all(NULL);
		}
	}
}

TEST(old_limits_that_cannot_even_be_ordered_are_owed)
{
	_cleanup_free_ char *before = NULL;

	start();
	before = everything();
	begin_container("c0", parse_text(CONTAINER));
	CHECK(fake_answer(&fake, FATE_DONE));
	CHECK(fake_answer(&fake, FATE_UNANSWERED));
	fake.is_full = true;
	CHECK(fake_answer(&fake, FATE_DONE));
	check_done(502, "will be when its host answers");
	fake.is_full = false;
	virtual_now += 2;
	subscriber_tick(subscriber);
	CHECK_INT(fake.n, 1);
	/* They may not come after what is ordered now. */
	begin_container("c0", parse_text(CONTAINER));
	check_done(409, "is just getting back");
	CHECK(fake_answer(&fake, FATE_DONE));
	check_same(before, "an executor that was full");
	begin_container("c0", parse_text(CONTAINER));
	fake_answer_all(&fake, FATE_DONE);
	check_done(200, NULL);
}

TEST(desubscribed_while_it_is_subscribed)
{
	_cleanup_free_ char *before = NULL;

	start();
	before = everything();
	begin_container("c0", parse_text(CONTAINER));
	CHECK(fake_answer(&fake, FATE_DONE));
	CHECK_INT(leave("c0", NULL), 0);
	subscriber_tick(subscriber);
	check_done(409, "was desubscribed before");
	/* Its order was on the way; what it did is the container's own from now on. */
	CHECK(fake_answer(&fake, FATE_REFUSED));
	check_same(before, "both at once");
}

TEST(shares_that_others_take_meanwhile_are_not_promised_twice)
{
	_cleanup_free_ char *before = NULL;

	start();
	begin_container("c0", parse_text(CONTAINER));
	begin_container("c1", body_with(CONTAINER, "container.name", "'c1'"));
	CHECK(fake_answer(&fake, FATE_DONE));
	before = everything();
	CHECK(fake_answer(&fake, FATE_DONE));
	check_done(409, "does not have enough free mem");
	check_same(before, "the second one");
	fake_answer_all(&fake, FATE_DONE);
	check_done(200, NULL);
	check_adds_up();
}

/* --- at random --- */

static unsigned long long state;

static unsigned pick(unsigned n)
{
	state = state * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(state >> 33) % n;
}

static enum fate pick_fate(void)
{
	return pick(10) < 6 ? FATE_DONE : (enum fate)pick(FATE_MAX);
}

static void count_done(void *userdata, json_t *doc, unsigned with, const char *why)
{
	int *open = userdata;

	CHECK(doc || why);
	json_decref(doc);
	(*open)--;
}

static void begin_random(const char *name, int *open)
{
	int cpu = 1 + (int)pick(250), mem = 64 + (int)pick(4000);
	json_t *body =
		pick(2) ? with_disk((int)pick(300) + 1, (int)pick(300) + 1) : parse_text(CONTAINER);
	json_t *container = json_object_get(body, "container");

	json_object_set_new(container, "name", json_string(name));
	json_object_set_new(container, "guard", json_boolean(pick(2)));
	json_object_set_new(at(container, "resources.cpu"), "current", json_integer(cpu));
	json_object_set_new(at(container, "resources.cpu"), "max", json_integer(cpu + 20));
	json_object_set_new(at(container, "resources.mem"), "current", json_integer(mem));
	json_object_set_new(at(container, "resources.mem"), "min", json_integer(mem / 2));
	(*open)++;
	subscriber_container(subscriber, name, body, count_done, open);
	json_decref(body);
}

static void random_step(int *open)
{
	char name[] = "c0";
	struct structure *s;

	name[1] = (char)('0' + pick(4));
	s = model_structure(model, name);
	switch (pick(8)) {
	case 0:
	case 1: begin_random(name, open); break;
	case 2:
		if (s)
			CHECK_INT(leave(name, NULL), 0);
		break;
	case 3:
		virtual_now += pick(10);
		subscriber_tick(subscriber);
		break;
	case 4:
		if (pick(4))
			break;
		model_lock(model);
		if (s && s->live)
			model_container_gone(model, s);
		else
			register_container(name);
		model_unlock(model);
		break;
	default: fake_answer(&fake, pick_fate()); break;
	}
}

TEST(whatever_happens_all_shares_come_back)
{
	_cleanup_free_ char *before = NULL;
	int open = 0;

	state = test_seed(1);
	start();
	log_set_level(LOG_LEVEL_ERROR);
	CHECK_INT(put_disks(NULL, NULL, NULL), 0);
	before = strdup(document_at("h0", "resources"));
	for (int i = 0; i < 5000; i++) {
		random_step(&open);
		check_adds_up();
		model_lock(model);
		/* What the disks' documents say is what containers hold. */
		if (disks_settle(model_host(model, "h0")))
			TEST_FAIL("step %d: the disks did not add up", i);
		model_unlock(model);
	}
	fake_answer_all(&fake, FATE_DONE);
	virtual_now += 60;
	subscriber_tick(subscriber);
	fake_answer_all(&fake, FATE_DONE);
	CHECK_INT(open, 0);
	for (char c = '0'; c < '4'; c++) {
		char name[] = {'c', c, '\0'};

		if (model_structure(model, name))
			CHECK_INT(leave(name, NULL), 0);
	}
	CHECK_STR(document_at("h0", "resources"), before);
	log_set_level(LOG_LEVEL_INFO);
}

TEST_MAIN()
