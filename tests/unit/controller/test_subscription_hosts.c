/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts that are subscribed, and their disks. */
#include "subscription_fixture.h"

/* --- disks --- */

TEST(disks_are_bound_and_given_back)
{
	_cleanup_free_ char *before = NULL;

	start();
	CHECK_INT(put_disks(NULL, NULL, NULL), 0);
	CHECK_STR(document_at("h0", "resources.disks.ssd_0"),
		  "{\"type\":\"SSD\",\"load\":0,\"path\":\"/dev/sdb\",\"max_read\":500,"
		  "\"free_read\":500,\"max_write\":400,\"free_write\":400}");
	before = everything();
	begin_container("c0", with_disk(100, 150));
	fake_answer_all(&fake, FATE_DONE);
	check_done(200, NULL);
	CHECK_STR(document_at("h0", "resources.disks.ssd_0"),
		  "{\"type\":\"SSD\",\"load\":1,\"path\":\"/dev/sdb\",\"max_read\":500,"
		  "\"free_read\":400,\"max_write\":400,\"free_write\":250}");
	CHECK_STR(document_at("c0", "resources.disk"),
		  "{\"name\":\"ssd_0\",\"path\":\"/mnt/ssd\"}");
	CHECK_STR(text_at(fake.containers, "c0.disk_write"), "{\"disk_write_limit\":150}");
	CHECK_INT(model_free_for(find("c0"), EBB_DISK_READ), 250);
	CHECK_INT(model_free_for(find("c0"), EBB_DISK_WRITE), 250);
	/* Nothing that grows gets more than the disk has. */
	model_lock(model);
	CHECK_INT(model_allocate(model, find("c0"), EBB_DISK_READ, 1000), 250);
	CHECK_INT(model_allocate(model, find("c0"), EBB_DISK_READ, -250), -250);
	model_unlock(model);
	CHECK_INT(leave("c0", NULL), 0);
	CHECK_STR(document_at("h0", "resources.disks.ssd_0.load"), "0");
	fake_container(&fake, "c0", UNLIMITED);
	model_lock(model);
	CHECK_INT(model_limits_reported(model, find("c0"), json_object_get(fake.containers, "x")),
		  0);
	model_unlock(model);
	CHECK_STR(document_at("h0", "resources.disks.ssd_0.free_read"), "500");
	CHECK_STR(document_at("h0", "resources.disks.ssd_0.free_write"), "400");
}

TEST(disks_that_are_full_are_not_bound)
{
	_cleanup_free_ char *before = NULL;

	start();
	before = everything();
	begin_container("c0", with_disk(100, 150));
	check_done(400, "has no disk 'ssd_0'");
	check_same(before, "no such disk");
	CHECK_INT(put_disks("resources.disks.0.max_read", "290", NULL), 0);
	free(before);
	before = everything();
	begin_container("c0", with_disk(291, 20));
	check_done(409, "does not have enough bandwidth");
	/* Each would fit, but not both. */
	begin_container("c0", with_disk(200, 201));
	check_done(409, "400 together");
	check_same(before, "a disk that is full");
	begin_container("c0", with_disk(200, 200));
	fake_answer_all(&fake, FATE_DONE);
	check_done(200, NULL);
}

TEST(disks_are_checked_whole)
{
	static const struct {
		const char *path, *value, *word;
	} refusals[] = {
		{"resources", NULL, "Missing key 'resources'"},
		{"resources.disks", NULL, "Missing key 'resources.disks'"},
		{"resources.disks", "{}", "resources.disks must be a list"},
		{"resources.disks.0", "7", "resources.disks[0] must be an object"},
		{"resources.disks.0.name", "7", "resources.disks[0].name"},
		{"resources.disks.0.name", "''", "resources.disks[0].name"},
		{"resources.disks.0.type", NULL, "resources.disks[0].type"},
		{"resources.disks.0.type", "7", "resources.disks[0].type must be a string"},
		{"resources.disks.0.path", NULL, "resources.disks[0].path"},
		{"resources.disks.0.load", NULL, "resources.disks[0].load"},
		{"resources.disks.0.max_read", "-1", "resources.disks[0].max_read"},
		{"resources.disks.0.free_read", "'x'", "resources.disks[0].free_read"},
		{"resources.disks.0.max_write", NULL, "resources.disks[0].max_write"},
		{"resources.disks.0.free_write", "[]", "resources.disks[0].free_write"},
	};
	_cleanup_free_ char *before = NULL;

	start();
	before = everything();
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		_cleanup_free_ char *error = NULL;

		CHECK_INT(put_disks(refusals[i].path, refusals[i].value, &error), -EINVAL);
		if (!strstr(error, refusals[i].word))
			TEST_FAIL("\"%s\" does not say \"%s\"", error, refusals[i].word);
		check_same(before, refusals[i].path);
	}
}

TEST(disks_are_resized_but_not_below_what_is_held)
{
	_cleanup_free_ char *error = NULL, *before = NULL;

	start();
	CHECK_INT(put_disks(NULL, NULL, NULL), 0);
	/* What is known stays as it is. */
	CHECK_INT(put_disks("resources.disks.0.max_read", "9", NULL), 0);
	CHECK_STR(document_at("h0", "resources.disks.ssd_0.max_read"), "500");
	begin_container("c0", with_disk(100, 150));
	fake_answer_all(&fake, FATE_DONE);
	check_done(200, NULL);
	CHECK_INT(post_disks("{'resources': {'disks': [{'name': 'ssd_0', 'max_read': '600', "
			     "'max_write': 200}]}}",
			     NULL),
		  0);
	CHECK_STR(document_at("h0", "resources.disks.ssd_0.free_read"), "500");
	CHECK_STR(document_at("h0", "resources.disks.ssd_0.free_write"), "50");
	before = everything();
	CHECK_INT(post_disks("{'resources': {'disks': [{'name': 'ssd_0', 'max_read': 99, "
			     "'max_write': 200}]}}",
			     &error),
		  -EBUSY);
	CHECK(strstr(error, "below the 100 MiB/s that containers hold"));
	free(TAKE_PTR(error));
	CHECK_INT(post_disks("{'resources': {'disks': [{'name': 'ssd_0', 'max_read': 200, "
			     "'max_write': 200}]}}",
			     &error),
		  -EBUSY);
	CHECK(strstr(error, "together"));
	free(TAKE_PTR(error));
	CHECK_INT(post_disks("{'resources': {'disks': [{'name': 'ssd_0', 'max_read': 900, "
			     "'max_write': 900}, {'name': 'x', 'max_read': 9, 'max_write': 9}]}}",
			     &error),
		  -ENOENT);
	CHECK(strstr(error, "no disk 'x'"));
	check_same(before, "a resize that cannot be");
}

/* --- hosts --- */

TEST(a_host_that_answers_comes_in)
{
	start_empty();
	begin_host("h1", parse_text(HOST));
	CHECK_INT(fake.n, 1);
	CHECK_INT(n_done, 0);
	CHECK_STR(fake.orders[fake.first].address, "http://h1:8000");
	CHECK(!fake.orders[fake.first].container);
	CHECK(fake.orders[fake.first].without_token);
	CHECK(fake_answer(&fake, FATE_DONE));
	check_done(200, NULL);
	CHECK_STR(document_at("h1", "resources.cpu.free"), "800");
	CHECK_STR(document_at("h1", "resources.cpu.core_usage_mapping.7"), "{\"free\":100}");
	CHECK_STR(document_at("h1", "resources.cpu.core_usage_mapping.8"), "");
	CHECK_STR(document_at("h1", "resources.mem"), "{\"max\":24576,\"free\":24576}");
	CHECK_STR(document_at("h1", "resources.energy"), "{\"max\":200,\"free\":200}");
	CHECK_STR(document_at("h1", "resources.disks.ssd_0.free_write"), "400");
	CHECK_STR(document_at("h1", "host_rescaler_port"), "\"8000\"");
	check_adds_up();
}

TEST(a_host_that_does_not_answer_is_refused)
{
	static const enum fate fates[] = {FATE_REFUSED, FATE_UNREACHED};

	for (size_t i = 0; i < ARRAY_SIZE(fates); i++) {
		_cleanup_free_ char *before = NULL;

		start();
		before = everything();
		begin_host("h1", parse_text(HOST));
		CHECK(fake_answer(&fake, fates[i]));
		check_done(400, "Could not connect to host h1 at http://h1:8000");
		check_same(before, "a host that is not there");
		release_all(NULL);
	}
}

TEST(hosts_that_cannot_be_are_refused)
{
	static const struct refusal refusals[] = {
		{"name", NULL, 400, "Missing key 'name'"},
		{"host", NULL, 400, "Missing key 'host'"},
		{"host", "7", 400, "host must be the name"},
		{"subtype", NULL, 400, "Missing key 'subtype'"},
		{"subtype", "'container'", 400, "subtype must be \"host\""},
		{"host_rescaler_ip", NULL, 400, "Missing key 'host_rescaler_ip'"},
		{"host_rescaler_ip", "'unix:/run/x'", 400, "host_rescaler_ip"},
		{"host_rescaler_port", NULL, 400, "Missing key 'host_rescaler_port'"},
		{"host_rescaler_port", "0", 400, "host_rescaler_port"},
		{"resources", NULL, 400, "Missing key 'resources'"},
		{"resources", "7", 400, "resources must be an object"},
		{"resources.cpu", NULL, 400, "Missing key 'resources.cpu'"},
		{"resources.mem", NULL, 400, "Missing key 'resources.mem'"},
		{"resources.cpu.max", NULL, 400, "resources.cpu.max"},
		{"resources.cpu.free", NULL, 400, "resources.cpu.free"},
		{"resources.cpu.free", "801", 400, "resources.cpu.free 801 is above max 800"},
		{"resources.cpu", "{'max': 99, 'free': 9}", 400, "some cores"},
		{"resources.gpu", "{}", 400, "Resource 'gpu'"},
		{"resources.disks", "{}", 400, "resources.disks must be a list"},
		{"resources.disks.0", "{}", 400, "resources.disks[0].name"},
		{"name", "'h2'", 400, "must be the same"},
	};
	_cleanup_free_ char *before = NULL;

	start();
	check_refusals(HOST, "h1", begin_host, refusals, ARRAY_SIZE(refusals));
	before = everything();
	begin_host("c0", body_with(HOST, "name", "'c0'"));
	check_done(409, "There is a container 'c0' already");
	check_same(before, "the name of a container");
}

TEST(a_host_that_its_agent_registered_is_taken_over)
{
	json_t *body = body_with(HOST, "name", "'h0'");
	_cleanup_free_ char *before = NULL;

	start();
	CHECK(find("h0")->automatic);
	begin_host("h0", body);
	/* Its agent is there: nobody has to be asked. */
	CHECK_INT(fake.n, 0);
	check_done(200, NULL);
	CHECK(!find("h0")->automatic);
	/* The agent knows better what there is. */
	CHECK_STR(document_at("h0", "resources.cpu.max"), "400");
	CHECK_STR(document_at("h0", "resources.mem.max"), "8192");
	CHECK_STR(document_at("h0", "host_rescaler_ip"), "\"127.0.0.1\"");
	CHECK_STR(document_at("h0", "resources.energy"), "{\"max\":200,\"free\":200}");
	CHECK_STR(document_at("h0", "resources.disks.ssd_0.load"), "0");
	check_adds_up();
	before = everything();
	begin_host("h0", body_with(HOST, "name", "'h0'"));
	check_done(409, "There is a host 'h0' already");
	check_same(before, "the second subscription");
}

TEST(a_host_with_containers_stays)
{
	_cleanup_free_ char *before = NULL, *error = NULL;

	start();
	subscribe(NULL, NULL);
	before = everything();
	CHECK_INT(leave("h0", &error), -EBUSY);
	CHECK(strstr(error, "Host h0 has 1 container, such as c0"));
	check_same(before, "a host with a container");
	CHECK_INT(leave("c0", NULL), 0);
	/* What registered by itself goes with it. */
	CHECK_INT(leave("h0", NULL), 0);
	CHECK(!model_structure(model, "h0"));
	CHECK(!model_structure(model, "c0"));
	CHECK(!model_structure(model, "c1"));
}

/* --- a host without an agent --- */

TEST(a_container_scaler_is_asked_for_its_containers)
{
	_cleanup_free_ char *before = NULL;
	json_t *body = body_with(CONTAINER, "container.host", "'h1'");

	start_empty();
	begin_host("h1", parse_text(HOST));
	CHECK(fake_answer(&fake, FATE_DONE));
	check_done(200, NULL);
	before = everything();
	begin_container("c0", json_incref(body));
	CHECK_INT(fake.n, 1);
	CHECK(fake.orders[fake.first].without_token);
	CHECK(fake_answer(&fake, FATE_DONE)); /* it is not there */
	check_done(400, "knows no such container");
	check_same(before, "a container that is not there");

	fake_container(&fake, "c0", UNLIMITED);
	begin_container("c0", json_incref(body));
	fake_answer_all(&fake, FATE_DONE);
	check_done(200, NULL);
	CHECK_STR(text_at(fake.containers, "c0.mem"), "{\"mem_limit\":6144}");
	CHECK_STR(document_at("c0", "host_rescaler_ip"), "\"h1\"");
	check_adds_up();
	CHECK_INT(leave("c0", NULL), 0);
	/* Nobody reports it. */
	CHECK(!model_structure(model, "c0"));
	CHECK_STR(document_at("h1", "resources.cpu.free"), "800");
	json_decref(body);
}

TEST(half_of_an_order_to_a_container_scaler_is_put_back)
{
	json_t *body = body_with(CONTAINER, "container.host", "'h1'");
	_cleanup_free_ char *before = NULL;

	start_empty();
	begin_host("h1", parse_text(HOST));
	CHECK(fake_answer(&fake, FATE_DONE));
	fake_container(&fake, "c0",
		       "{'cpu': {'cpu_allowance_limit': 300, 'cpu_num': '2,3,4'}, "
		       "'mem': {'mem_limit': 4096}}");
	before = everything();
	begin_container("c0", body);
	CHECK(fake_answer(&fake, FATE_DONE));
	CHECK(fake_answer(&fake, FATE_BROKEN));
	fake_answer_all(&fake, FATE_DONE);
	check_done(502, "told to");
	check_same(before, "half of an order");
}

TEST_MAIN()
