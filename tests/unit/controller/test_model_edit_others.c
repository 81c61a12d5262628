/* SPDX-License-Identifier: Apache-2.0 */
/* Rules, services, users and requests that somebody else changes in the database. */
#include "model_edit_fixture.h"

/* --- rules, services, users, requests --- */

TEST(rules_follow_an_edit)
{
	start();
	edit(DB_RULES, "CpuRescaleUp", "{'amount':77,'active':false}");
	model_lock(model);
	CHECK_INT(json_integer_value(
			  json_object_get(json_object_get(model->rules, "CpuRescaleUp"), "amount")),
		  77);
	model_unlock(model);
	/* A bad one: ours is there again. */
	edit(DB_RULES, "CpuRescaleUp", "{'rule':{'nonsense':[]}}");
	CHECK(strstr(there(DB_RULES, "CpuRescaleUp", "rule"), "events.scale.up"));
	CHECK_STR(there(DB_RULES, "CpuRescaleUp", "amount"), "77");
	edit(DB_RULES, "mine",
	     "{'name':'mine','type':'rule','resource':'cpu','active':true,'generates':'events',"
	     "'rule':{'>':[{'var':'cpu.structure.cpu.usage'},1]},"
	     "'action':{'events':{'scale':{'up':1}}}}");
	CHECK(json_object_get(model->rules, "mine"));
	delete (DB_RULES, "mine");
	CHECK(!json_object_get(model->rules, "mine"));
	CHECK_STR(there(DB_RULES, "mine", "name"), "");
	edit(DB_RULES, "bad", "{'name':'bad','type':'rule'}");
	CHECK(!json_object_get(model->rules, "bad"));
}

TEST(a_bad_rule_in_the_database_is_set_back)
{
	start();
	edit(DB_RULES, "CpuRescaleUp",
	     "{'rule':{'and':[{'>=':[{'var':'events.scale.up'},5]},"
	     "{'<=':[{'var':'events.scale.up'},3]}]}}");
	CHECK(strstr(there(DB_RULES, "CpuRescaleUp", "rule"), "events.scale.down"));
	edit(DB_RULES, "mine",
	     "{'name':'mine','type':'rule','resource':'cpu','active':true,'generates':'events',"
	     "'rule':{'>':[{'var':'cpu.usage'},1]},'action':{'events':{'scale':{'up':1}}}}");
	CHECK(!json_object_get(model->rules, "mine"));
}

/* Deleted by hand or over the API, it does not come back, until somebody brings it back. */
TEST(a_deleted_rule_stays_away)
{
	_cleanup_json_ json_t *rule = NULL;

	start();
	rule = json_deep_copy(json_object_get(model->rules, "mem_saturated"));
	delete (DB_RULES, "cpu_saturated");
	model_lock(model);
	CHECK_INT(model_delete_rule(model, "mem_saturated"), 0);
	CHECK_INT(model_delete_rule(model, "mem_saturated"), -ENOENT);
	model_unlock(model);
	settle();
	CHECK_STR(there(DB_RULES, "mem_saturated", "name"), "");
	CHECK_STR(there(DB_SERVICES, "guardian", "rules_deleted"),
		  "[\"cpu_saturated\",\"mem_saturated\"]");
	again();
	lead(true);
	settle();
	CHECK(!json_object_get(model->rules, "cpu_saturated"));
	CHECK(!json_object_get(model->rules, "mem_saturated"));
	CHECK(json_object_get(model->rules, "cpu_exceeded_upper"));
	CHECK_STR(there(DB_RULES, "cpu_saturated", "name"), "");
	model_lock(model);
	CHECK_INT(model_set_rule(model, rule, NULL), 0);
	model_unlock(model);
	settle();
	CHECK_STR(there(DB_SERVICES, "guardian", "rules_deleted"), "[\"cpu_saturated\"]");
	again();
	lead(true);
	CHECK(json_object_get(model->rules, "mem_saturated"));
	CHECK(!json_object_get(model->rules, "cpu_saturated"));
}

/* Of everything that has an ETag. */
static void versions(uint64_t got[6])
{
	_cleanup_json_ json_t *container = structure_to_json(get("c0"));
	_cleanup_json_ json_t *in_host = structure_to_json(get("h0"));
	_cleanup_json_ json_t *limits = structure_limits_to_json(get("c0"));

	got[0] = document_version(DB_STRUCTURES, container);
	got[1] = document_version(DB_STRUCTURES, in_host);
	got[2] = document_version(DB_LIMITS, limits);
	got[3] = document_version(DB_RULES, json_object_get(model->rules, "CpuRescaleUp"));
	got[4] = document_version(DB_SERVICES, json_object_get(model->services, "guardian"));
	got[5] = document_version(DB_SERVICES, json_object_get(model->services, "scaler"));
}

/* A client that reads from the one and writes to the other is not told that something changed. */
TEST(a_standby_has_the_versions_of_the_leader)
{
	uint64_t leader[6], standby[6];

	start();
	versions(leader);
	again();
	CHECK(!model->leading);
	versions(standby);
	for (size_t i = 0; i < ARRAY_SIZE(leader); i++)
		if (leader[i] != standby[i])
			TEST_FAIL("version %zu differs", i);
	lead(true);
	settle();
	versions(standby);
	for (size_t i = 0; i < ARRAY_SIZE(leader); i++)
		if (leader[i] != standby[i])
			TEST_FAIL("version %zu differs after the takeover", i);
	edit(DB_STRUCTURES, "c0", "{'resources':{'cpu':{'max':300}}}");
	versions(standby);
	CHECK(standby[0] != leader[0]);
	CHECK(standby[2] == leader[2]);
}

TEST(services_follow_an_edit)
{
	start();
	edit(DB_SERVICES, "scaler", "{'config':{'REQUEST_TIMEOUT':33,'ACTIVE':false}}");
	CHECK_NEAR(model->scaler.request_timeout, 33, 0);
	CHECK(!model->scaler.active);
	edit(DB_SERVICES, "scaler", "{'config':{'REQUEST_TIMEOUT':'soon'}}");
	CHECK_NEAR(model->scaler.request_timeout, 33, 0);
	CHECK_STR(there(DB_SERVICES, "scaler", "config.REQUEST_TIMEOUT"), "33");
	/* Heartbeats are ours... */
	model_lock(model);
	model_heartbeat(model, 1795344748);
	model_unlock(model);
	settle();
	edit(DB_SERVICES, "scaler", "{'heartbeat':5}");
	CHECK_STR(there(DB_SERVICES, "scaler", "heartbeat"), "1795344748.0");
	delete (DB_SERVICES, "guardian");
	CHECK_STR(there(DB_SERVICES, "guardian", "name"), "\"guardian\"");
	/* ...but not those of services that run elsewhere. */
	edit(DB_SERVICES, "watt_trainer", "{'name':'watt_trainer','heartbeat':1,'config':{}}");
	edit(DB_SERVICES, "watt_trainer", "{'heartbeat':2}");
	CHECK_STR(there(DB_SERVICES, "watt_trainer", "heartbeat"), "2");
	delete (DB_SERVICES, "watt_trainer");
	CHECK_STR(there(DB_SERVICES, "watt_trainer", "name"), "");
	/* The lease is no service. */
	edit(DB_SERVICES, "ebb_leader", "{'name':'ebb_leader','term':1}");
	CHECK(!json_object_get(model->services, "ebb_leader"));
	edit(DB_SERVICES, "ebb_leader", "{'term':2}");
	CHECK_STR(there(DB_SERVICES, "ebb_leader", "term"), "2");
}

TEST(users_follow_an_edit)
{
	start();
	edit(DB_USERS, "u0",
	     "{'type':'user','name':'u0','clusters':['app1'],"
	     "'resources':{'cpu':{'max':2000,'min':100}}}");
	CHECK(model_user(model, "u0") && !get("u0"));
	edit(DB_USERS, "u0", "{'clusters':['app1','app2'],'resources':{'cpu':{'usage':7}}}");
	CHECK_STR(there(DB_USERS, "u0", "clusters"), "[\"app1\",\"app2\"]");
	CHECK_STR(there(DB_USERS, "u0", "resources.cpu"), "{\"max\":2000,\"min\":100}");
	delete (DB_USERS, "u0");
	CHECK(!model_user(model, "u0"));
}

static void request(const char *id, const char *structure, const char *resource, int amount,
		    double timestamp, const char *more)
{
	edit(DB_REQUESTS, id,
	     "{'type':'request','resource':'%s','amount':%d,'priority':0,'structure':'%s',"
	     "'action':'CpuRescaleUp','field':'current','timestamp':%.3f,"
	     "'structure_type':'container'%s}",
	     resource, amount, structure, timestamp, more);
	CHECK_STR(there(DB_REQUESTS, id, "type"), "");
}

static const char *boundary_of(const struct structure *s)
{
	static char text[32];

	if (!s || !s->resources[EBB_CPU].has_boundary)
		return "-";
	snprintf(text, sizeof(text), "%d", s->resources[EBB_CPU].boundary);
	return text;
}

TEST(users_have_limits_and_names_of_their_own)
{
	start();
	/* Limits may come before. */
	edit(DB_LIMITS, "u0",
	     "{'type':'limit','name':'u0','resources':{'cpu':{'boundary':7,"
	     "'boundary_type':'percentage_of_max'}}}");
	edit(DB_USERS, "u0",
	     "{'type':'structure','subtype':'user','name':'u0','odd':[1],'clusters':[],"
	     "'resources':{'cpu':{'max':2000,'min':100,'gpu':1}}}");
	CHECK_STR(boundary_of(model_user(model, "u0")), "7");
	CHECK_STR(there(DB_USERS, "u0", "odd"), "[1]");
	CHECK_STR(there(DB_USERS, "u0", "type"), "\"structure\"");
	CHECK_STR(there(DB_USERS, "u0", "resources.cpu.gpu"), "1");
	edit(DB_LIMITS, "u0", "{'resources':{'cpu':{'boundary':8}}}");
	CHECK_STR(boundary_of(model_user(model, "u0")), "8");
	/* What cannot be is set back. */
	edit(DB_USERS, "u0", "{'resources':{'cpu':{'max':50}}}");
	CHECK_STR(there(DB_USERS, "u0", "resources.cpu.max"), "2000");
	edit(DB_USERS, "u0", "{'subtype':'host'}");
	CHECK_STR(there(DB_USERS, "u0", "subtype"), "\"user\"");

	/* A structure of that name has the limits document from now on. */
	edit(DB_STRUCTURES, "u0",
	     "{'type':'structure','subtype':'application','name':'u0','containers':[],"
	     "'resources':{'cpu':{'max':400,'min':10}}}");
	CHECK(get("u0") && model_user(model, "u0"));
	CHECK_STR(boundary_of(get("u0")), "8");
	edit(DB_LIMITS, "u0",
	     "{'type':'limit','name':'u0','resources':{'cpu':{'boundary':33,"
	     "'boundary_type':'percentage_of_max'}}}");
	CHECK_STR(boundary_of(get("u0")), "33");
	CHECK_STR(boundary_of(model_user(model, "u0")), "8");
	delete (DB_STRUCTURES, "u0");
	CHECK(!get("u0") && model_user(model, "u0"));
	CHECK_STR(there(DB_LIMITS, "u0", "resources.cpu.boundary"), "8");
	delete (DB_USERS, "u0");
	CHECK(!model_user(model, "u0"));
	CHECK_STR(there(DB_LIMITS, "u0", "name"), "");

	/* No structure, and nothing to be set right. */
	edit(DB_STRUCTURES, "u1", "{'type':'user','subtype':'user','name':'u1','clusters':[]}");
	CHECK(!get("u1") && !model_user(model, "u1"));
	CHECK_STR(there(DB_STRUCTURES, "u1", "subtype"), "\"user\"");
	/* Nor is a user that has no sense. */
	edit(DB_USERS, "u2", "{'name':'u2','resources':7}");
	CHECK(!model_user(model, "u2"));
	CHECK_STR(there(DB_USERS, "u2", "resources"), "7");
	sound();
}

static const char *parent(const char *name)
{
	const struct structure *s = get(name), *of = s ? hierarchy_parent(s) : NULL;

	return of ? of->name : "-";
}

TEST(memberships_follow_an_edit)
{
	start();
	edit(DB_USERS, "u0", "{'type':'user','name':'u0','clusters':['app']}");
	edit(DB_STRUCTURES, "app",
	     "{'type':'structure','subtype':'application','name':'app','containers':['c1','c0'],"
	     "'resources':{}}");
	CHECK_STR(parent("c0"), "app");
	CHECK_STR(parent("app"), "u0");
	add("c1", 100, 512);
	CHECK_STR(parent("c1"), "app");
	/* Its document is written anew when it runs: it is where it was. */
	delete (DB_STRUCTURES, "c1");
	CHECK_STR(parent("c1"), "app");
	edit(DB_STRUCTURES, "app", "{'containers':['c1'],'user':'u1'}");
	CHECK_STR(parent("c0"), "-");
	CHECK_STR(parent("app"), "u0");
	edit(DB_USERS, "u0", "{'clusters':[]}");
	CHECK_STR(parent("app"), "-");
	edit(DB_USERS, "u1", "{'type':'user','name':'u1'}");
	CHECK_STR(parent("app"), "u1");
	delete (DB_STRUCTURES, "app");
	CHECK_STR(parent("c1"), "-");
	/* On a standby likewise. */
	lead(false);
	edit(DB_STRUCTURES, "app",
	     "{'type':'structure','subtype':'application','name':'app','containers':['c1','c0'],"
	     "'user':'u1','resources':{}}");
	CHECK_STR(parent("c0"), "app");
	CHECK_STR(parent("app"), "u1");
	edit(DB_STRUCTURES, "app", "{'containers':['c0'],'user':'u0'}");
	CHECK_STR(parent("c1"), "-");
	CHECK_STR(parent("app"), "u0");
	edit(DB_USERS, "u1", "{'clusters':['app'],'resources':{'cpu':{'max':5,'min':1}}}");
	CHECK_STR(parent("app"), "u1");
	CHECK_INT(model_user(model, "u1")->resources[EBB_CPU].max, 5);
	delete (DB_USERS, "u1");
	CHECK_STR(parent("app"), "u0");
	edit(DB_STRUCTURES, "u9", "{'subtype':'user','name':'u9'}");
	CHECK(!get("u9"));
	lead(true);
	CHECK_STR(parent("c0"), "app");
	CHECK_STR(there(DB_STRUCTURES, "app", "containers"), "[\"c0\"]");
}

TEST(applications_and_users_are_guarded_by_hand)
{
	struct structure *app, *u;
	int64_t has;

	start();
	has = get("c0")->resources[EBB_CPU].current;
	edit(DB_STRUCTURES, "app",
	     "{'type':'structure','subtype':'application','name':'app','containers':['c0','c9'],"
	     "'guard':false,'resources':{'cpu':{'max':800,'min':20,'guard':true},"
	     "'mem':{'max':800,'min':20,'guard':false}}}");
	edit(DB_USERS, "u",
	     "{'type':'user','subtype':'user','name':'u','clusters':['app'],"
	     "'resources':{'cpu':{'max':900,'min':20}}}");
	edit(DB_SERVICES, "guardian",
	     "{'config':{'STRUCTURE_GUARDED':['container','application','user']}}");
	app = get("app");
	u = model_user(model, "u");
	edit(DB_STRUCTURES, "app", "{'guard':true}");
	CHECK(app->guard && app->guard_state && app->resources[EBB_CPU].current == has);
	/* It had no limits document. */
	CHECK_STR(there(DB_LIMITS, "app", "resources.cpu.boundary"), "10");
	CHECK_STR(there(DB_LIMITS, "app", "resources.mem"), "");
	CHECK_INT(app->resources[EBB_CPU].upper, has - has / 10);
	edit(DB_USERS, "u", "{'guard':true,'resources':{'cpu':{'guard':true}}}");
	CHECK(u->guard && u->guard_state && u->resources[EBB_CPU].current == has);
	CHECK_STR(there(DB_USERS, "u", "guard"), "true");
	CHECK_STR(there(DB_LIMITS, "u", "resources.cpu.boundary"), "10");
	/* Without a max there is nothing to guard within. */
	edit(DB_USERS, "u", "{'resources':{'mem':{'max':0,'min':0,'guard':true}}}");
	CHECK_STR(there(DB_USERS, "u", "resources.mem.guard"), "");
	/* Whoever leads next goes on with it. */
	lead(false);
	edit(DB_LIMITS, "app", "{'resources':{'cpu':{'boundary':20}}}");
	edit(DB_USERS, "u", "{'guard':false}");
	lead(true);
	CHECK(app->guard && app->guard_state && !u->guard);
	CHECK_INT(app->resources[EBB_CPU].upper, has - has / 5);
	edit(DB_STRUCTURES, "app", "{'guard':false}");
	CHECK(!app->guard && !app->guard_state);
	sound();
}

TEST(requests_are_taken)
{
	double now = wall_seconds();
	struct scaler_stats stats;

	start();
	request("r1", "c0", "cpu", 50, now, "");
	CHECK_INT(get("c0")->resources[EBB_CPU].current, 150);
	check_in_force("c0");
	/* None of these is done, all are deleted. */
	request("r2", "c0", "cpu", 50, now - 3600, "");
	request("r3", "c0", "cpu", 50, now + 3600, "");
	request("r4", "nobody", "cpu", 50, now, "");
	request("r5", "h0", "cpu", 50, now, "");
	request("r6", "c0", "moonlight", 50, now, "");
	request("r7", "c0", "cpu", 0, now, "");
	request("r8", "c0", "cpu", 50, now, ",'field':'min'");
	request("r9", "c0", "cpu", 50, now, ",'pair_structure':'nobody'");
	request("r10", "c0", "cpu", 50, now, ",'pair_structure':'c0'");
	request("r11", "c0", "cpu", 50, now, ",'pair_structure':'h0'");
	request("r12", "c0", "cpu", 50, now, ",'structure_type':'user'");
	request("r13", "c0", "cpu", 50, now, ",'structure_type':'application'");
	request("r14", "c0", "cpu", 50, now, ",'power_budget':'much'");
	request("ra", "c0", "cpu", 50, now, ",'amount':1e300");
	request("rb", "c0", "cpu", 50, now, ",'amount':'lots'");
	edit(DB_REQUESTS, "rc", "{'type':'request'}");
	CHECK_STR(there(DB_REQUESTS, "rc", "type"), "");
	model_lock(model);
	scaler_get_stats(scaler, &stats);
	model_unlock(model);
	CHECK_INT(stats.requests, 1);
	CHECK_INT(get("c0")->resources[EBB_CPU].current, 150);
	/* Less is asked for as well. */
	request("rd", "c0", "cpu", -60, now, "");
	CHECK_INT(get("c0")->resources[EBB_CPU].current, 90);
	check_in_force("c0");
	/* Events are nobody's business here. */
	edit(DB_EVENTS, "e1", "{'type':'event','name':'CpuBottleneck'}");
	CHECK_STR(there(DB_EVENTS, "e1", "type"), "\"event\"");
}

TEST(requests_of_all_kinds_are_taken)
{
	double now = wall_seconds();

	start();
	edit(DB_STRUCTURES, "app",
	     "{'type':'structure','subtype':'application','name':'app','containers':['c0'],"
	     "'resources':{'cpu':{'max':400,'min':20}}}");
	edit(DB_USERS, "c0",
	     "{'name':'c0','clusters':['app'],'resources':{'cpu':{'max':400,'min':20}}}");
	request("r1", "c0", "cpu", -40, now, ",'field':'max','priority':2");
	CHECK_INT(get("c0")->resources[EBB_CPU].max, 360);
	CHECK_INT(get("c0")->resources[EBB_CPU].current, 100);
	request("r2", "app", "cpu", 30, now, ",'structure_type':'application'");
	check_in_force("c0");
	CHECK_INT(get("c0")->resources[EBB_CPU].current, 130);
	CHECK_INT(get("app")->resources[EBB_CPU].current, 130);
	request("r3", "c0", "cpu", -60, now, ",'structure_type':'user','field':'max'");
	CHECK(model_user(model, "c0"));
	CHECK_INT(model_user(model, "c0")->resources[EBB_CPU].max, 340);
	CHECK_INT(get("app")->resources[EBB_CPU].max, 340);
	CHECK_INT(get("c0")->resources[EBB_CPU].max, 300);
	check_in_force("c0");
}

/* Somebody asks for 50 shares more for c0, and nothing can be written. */
static void ask_while_away(const char *id)
{
	_cleanup_json_ json_t *doc =
		parse("{'type':'request','resource':'cpu','amount':50,'structure':'c0',"
		      "'timestamp':%.3f}",
		      wall_seconds());

	memory_store_go(&memory, true);
	memory_store_set(&memory, DB_REQUESTS, id, doc);
	model_lock(model);
	model_document_changed(model, DB_REQUESTS, id, NULL, doc);
	CHECK(requests_take(model, wall_seconds()));
	model_unlock(model);
	CHECK_INT(store_flush(store), -EIO);
}

static unsigned long requests_done(void)
{
	struct scaler_stats stats;

	model_lock(model);
	scaler_get_stats(scaler, &stats);
	model_unlock(model);
	return stats.requests;
}

static void come_back(void)
{
	memory_store_go(&memory, false);
	settle();
}

TEST(requests_are_done_once)
{
	start();
	/* As long as it may be found again, after a kill, nothing is done. */
	ask_while_away("r1");
	CHECK_INT(requests_done(), 0);
	CHECK_INT(get("c0")->resources[EBB_CPU].current, 100);
	come_back();
	CHECK_STR(there(DB_REQUESTS, "r1", "type"), "");
	CHECK_INT(requests_done(), 1);
	CHECK_INT(get("c0")->resources[EBB_CPU].current, 150);
	check_in_force("c0");
	/* Who asked takes it back. */
	ask_while_away("r2");
	model_lock(model);
	model_document_changed(model, DB_REQUESTS, "r2", NULL, NULL);
	model_unlock(model);
	come_back();
	CHECK_INT(requests_done(), 1);
	/* Another one leads: that one has it, or nobody. */
	ask_while_away("r3");
	lead(false);
	come_back();
	CHECK_INT(requests_done(), 1);
	CHECK_INT(json_object_size(model->requests), 0);
	CHECK_INT(json_object_size(model->claimed), 0);
}

TEST(requests_that_are_too_many_are_deleted)
{
	_cleanup_json_ json_t *doc = parse("{'type':'request','resource':'cpu','amount':50,"
					   "'structure':'c0','timestamp':%.3f}",
					   wall_seconds());
	char id[32];

	start();
	lead(false);
	model_lock(model);
	for (int i = 0; i < MODEL_KEPT_MAX + 100; i++) {
		snprintf(id, sizeof(id), "r%d", i);
		memory_store_set(&memory, DB_REQUESTS, id, doc);
		model_document_changed(model, DB_REQUESTS, id, NULL, doc);
	}
	CHECK_INT(model_set_leading(model, true), 0);
	CHECK(requests_take(model, wall_seconds()));
	model_unlock(model);
	settle();
	CHECK_INT(requests_done(), MODEL_KEPT_MAX);
	CHECK_INT(json_object_size(memory.documents[DB_REQUESTS]), 0);
}

TEST_MAIN()
