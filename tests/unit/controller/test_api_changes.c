/* SPDX-License-Identifier: Apache-2.0 */
/* The API: changes that know what they change, and collections page by page. */
#include "api_fixture.h"

#include "document_merge.h"

static const char *header_of_answer(const char *name)
{
	return http_session_header(f.session, name);
}

static void ask_if(const char *header, const char *method, const char *path, const char *with)
{
	with_header = header;
	ask(method, path, with);
	with_header = NULL;
}

/* "HEADER: ETAG", with the ETag of `path`. */
static const char *condition(const char *header, const char *path)
{
	static char lines[4][128];
	static unsigned next;
	char *line = lines[next++ % ARRAY_SIZE(lines)];

	ask("GET", path, NULL);
	CHECK_INT(status, 200);
	CHECK(header_of_answer("ETag"));
	snprintf(line, sizeof(lines[0]), "%s: %s", header, header_of_answer("ETag"));
	return line;
}

TEST(two_that_read_the_same_do_not_undo_each_other)
{
	static const struct {
		const char *read, *write, *first, *second;
	} cases[] = {
		{"/structure/c0", "/structure/c0/resources/cpu/min", "{'value':30}",
		 "{'value':40}"},
		{"/structure/c0/resources", "/structure/c0/resources/unguard",
		 "{'resources':['cpu']}", "{'resources':['mem']}"},
		{"/structure/c0/limits", "/structure/c0/limits/cpu/boundary", "{'value':11}",
		 "{'value':12}"},
		{"/structure/c0/limits", "/structure/c0/limits/cpu/boundary_type",
		 "{'value':'percentage_of_max'}", "{'value':'percentage_of_current'}"},
		{"/rule/CpuRescaleUp", "/rule/CpuRescaleUp/amount", "{'value':30}", "{'value':40}"},
		{"/service/guardian", "/service/guardian", "{'EVENT_TIMEOUT':30}",
		 "{'EVENT_TIMEOUT':40}"},
		{"/service/scaler", "/service/scaler/REQUEST_TIMEOUT", "{'value':30}",
		 "{'value':40}"},
		{"/structure/h0", "/structure/h0/feed", "{'value':'local'}", "{'value':'auto'}"},
	};

	start();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *mine = condition("If-Match", cases[i].read);
		const char *other = condition("If-Match", cases[i].read);
		char *before;

		CHECK_STR(mine, other);
		ask_if(mine, "PUT", cases[i].write, cases[i].first);
		if (status != 200)
			TEST_FAIL("%s: %ld %s", cases[i].write, status, body);
		if (!header_of_answer("ETag") || strstr(mine, header_of_answer("ETag")))
			TEST_FAIL("%s left the ETag as it was: %s", cases[i].write, body);
		before = everything();
		ask_if(other, "PUT", cases[i].write, cases[i].second);
		if (status != 412 || !strstr(body, "Read it again"))
			TEST_FAIL("%s: %ld %s", cases[i].write, status, body);
		free(body);
		body = NULL;
		char *after = everything();

		CHECK_STR(after, before);
		free(before);
		free(after);
		/* Read again, it goes. */
		ask_if(condition("If-Match", cases[i].read), "PUT", cases[i].write,
		       cases[i].second);
		CHECK_INT(status, 200);
	}
}

TEST(the_answer_to_a_change_tells_the_next_etag)
{
	char first[64];

	start();
	ask("PUT", "/structure/c0/resources/cpu/min", "{'value':30}");
	snprintf(first, sizeof(first), "%s", header_of_answer("ETag"));
	ask("GET", "/structure/c0", NULL);
	CHECK_STR(header_of_answer("ETag"), first);
	ask("PUT", "/structure/c0/limits/cpu/boundary", "{'value':17}");
	snprintf(first, sizeof(first), "%s", header_of_answer("ETag"));
	ask("GET", "/structure/c0/limits/cpu", NULL);
	CHECK_STR(header_of_answer("ETag"), first);
}

/* What is measured and decided moves all the time; nobody's change is to fail for it. */
TEST(what_is_measured_changes_no_etag)
{
	char tag[64], limits[64];
	struct structure *s;

	start();
	ask("PUT", "/structure/c0/limits/cpu/boundary", "{'value':17}");
	snprintf(limits, sizeof(limits), "%s", header_of_answer("ETag"));
	ask("GET", "/structure/c0", NULL);
	snprintf(tag, sizeof(tag), "%s", header_of_answer("ETag"));
	model_lock(f.model);
	s = model_structure(f.model, "c0");
	s->resources[EBB_CPU].current = 77;
	s->resources[EBB_CPU].usage = 12.5;
	s->resources[EBB_CPU].upper = 66;
	model_unlock(f.model);
	ask("GET", "/structure/c0?live", NULL);
	CHECK(strstr(body, "77"));
	CHECK_STR(header_of_answer("ETag"), tag);
	ask("GET", "/structure/c0/limits", NULL);
	CHECK(strstr(body, "66"));
	CHECK_STR(header_of_answer("ETag"), limits);
	ask("GET", "/service/guardian", NULL);
	snprintf(tag, sizeof(tag), "%s", header_of_answer("ETag"));
	model_lock(f.model);
	model_heartbeat(f.model, 12345);
	model_unlock(f.model);
	ask("GET", "/service/guardian", NULL);
	CHECK(strstr(body, "12345"));
	CHECK_STR(header_of_answer("ETag"), tag);
}

TEST(what_is_not_changed_need_not_be_sent_again)
{
	static const char *const paths[] = {"/structure/c0", "/structure/c0/limits",
					    "/rule/CpuRescaleUp", "/service/guardian"};
	const char *none;

	start();
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		none = condition("If-None-Match", paths[i]);
		ask_if(none, "GET", paths[i], NULL);
		CHECK_INT(status, 304);
		CHECK_STR(body ? body : "", "");
		CHECK(header_of_answer("ETag"));
		ask_if("If-None-Match: \"0123456789abcdef\"", "GET", paths[i], NULL);
		CHECK_INT(status, 200);
	}
	none = condition("If-None-Match", "/structure/c0");
	/* Measured values are asked for because they change. */
	ask_if(none, "GET", "/structure/c0?live", NULL);
	CHECK_INT(status, 200);
	json_decref(put("/structure/c0/resources/cpu/min", "{'value':33}"));
	ask_if(none, "GET", "/structure/c0", NULL);
	CHECK_INT(status, 200);
}

TEST(conditions_in_all_forms)
{
	char tag[64], line[256];

	start();
	ask("GET", "/rule/CpuRescaleUp", NULL);
	snprintf(tag, sizeof(tag), "%s", header_of_answer("ETag"));
	ask_if("If-Match: *", "PUT", "/rule/CpuRescaleUp/activate", NULL);
	CHECK_INT(status, 200);
	snprintf(line, sizeof(line), "If-Match: \"1\", W/%s", tag);
	ask_if(line, "PUT", "/rule/CpuRescaleUp/activate", NULL);
	CHECK_INT(status, 200);
	snprintf(line, sizeof(line), "If-Match: \"1\",%s,\"2\"", tag);
	ask_if(line, "PUT", "/rule/CpuRescaleUp/activate", NULL);
	CHECK_INT(status, 200);
	/* A part of it is another one. */
	snprintf(line, sizeof(line), "If-Match: \"%.8s\"", tag + 1);
	ask_if(line, "PUT", "/rule/CpuRescaleUp/activate", NULL);
	CHECK_INT(status, 412);
	snprintf(line, sizeof(line), "If-Match: \"%.16s0\"", tag + 1);
	ask_if(line, "PUT", "/rule/CpuRescaleUp/activate", NULL);
	CHECK_INT(status, 412);
	ask_if("If-Match: ,,\"", "PUT", "/rule/CpuRescaleUp/activate", NULL);
	CHECK_INT(status, 412);
	/* What is not there is a 404, whatever is asked of it. */
	ask_if("If-Match: \"1\"", "PUT", "/structure/c9/guard", NULL);
	CHECK_INT(status, 404);
	ask_if("If-Match: \"1\"", "PUT", "/rule/nothing/activate", NULL);
	CHECK_INT(status, 404);
}

static const char my_rule[] = "{'resource':'cpu','active':false,'generates':'','rule':{'>':[{'var':"
			      "'cpu.structure.cpu.usage'},5]}}";

TEST(a_rule_is_made_only_once)
{
	start();
	ask_if("If-Match: \"1\"", "PUT", "/rule/mine", my_rule);
	CHECK_INT(status, 412);
	ask_if("If-None-Match: *", "PUT", "/rule/mine", my_rule);
	CHECK_INT(status, 200);
	ask_if("If-None-Match: *", "PUT", "/rule/mine", my_rule);
	CHECK_INT(status, 412);
	CHECK(strstr(body, "there already"));
	ask_if("If-Match: \"1\"", "DELETE", "/rule/mine", NULL);
	CHECK_INT(status, 412);
	ask_if(condition("If-Match", "/rule/mine"), "DELETE", "/rule/mine", NULL);
	CHECK_INT(status, 200);
}

static const char my_app[] =
	"{'app':{'name':'app1','guard':'false','subtype':'application','resources':{"
	"'cpu':{'max':1600,'min':20,'guard':'false','weight':1},"
	"'mem':{'max':24576,'min':512,'guard':'false','weight':1}},"
	"'install_script':'i.sh','install_files':'','runtime_files':'r','output_dir':'o',"
	"'start_script':'s.sh','stop_script':'x.sh','framework':'spark'},"
	"'limits':{'resources':{'cpu':{'boundary':5,'boundary_type':'percentage_of_max'},"
	"'mem':{'boundary':5,'boundary_type':'percentage_of_max'}}}}";

TEST(a_structure_is_made_only_once)
{
	static const char *const paths[] = {"/structure/host/h0", "/structure/container/c0",
					    "/structure/apps/app1"};

	start();
	ask_if("If-Match: \"1\"", "PUT", "/structure/apps/app1", my_app);
	CHECK_INT(status, 412);
	ask_if("If-None-Match: *", "PUT", "/structure/apps/app1", my_app);
	CHECK_INT(status, 200);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		ask_if("If-None-Match: *", "PUT", paths[i], my_app);
		CHECK_INT(status, 412);
		ask_if("If-Match: \"1\"", "PUT", paths[i], my_app);
		CHECK_INT(status, 412);
	}
	/* What is there is not made again, then. */
	ask_if(condition("If-Match", "/structure/app1"), "PUT", "/structure/apps/app1", my_app);
	CHECK_INT(status, 409);
}

TEST(who_joins_an_application_changes_that)
{
	char line[128];

	start();
	json_decref(put("/structure/apps/app1", my_app));
	ask_if(condition("If-Match", "/structure/c0"), "PUT", "/structure/container/c0/app1", NULL);
	CHECK_INT(status, 412);
	CHECK(strstr(body, "'app1' is not as If-Match says"));
	ask_if(condition("If-Match", "/structure/app1"), "PUT", "/structure/container/c0/app1",
	       NULL);
	CHECK_INT(status, 200);
	snprintf(line, sizeof(line), "If-Match: %s", header_of_answer("ETag"));
	CHECK_STR(line, condition("If-Match", "/structure/app1"));
	ask_if("If-Match: \"1\"", "DELETE", "/structure/container/c0/app1", NULL);
	CHECK_INT(status, 412);
	ask_if(condition("If-Match", "/structure/app1"), "DELETE", "/structure/container/c0/app1",
	       NULL);
	CHECK_INT(status, 200);
}

static void set_leading(bool leading)
{
	model_lock(f.model);
	CHECK_INT(model_set_leading(f.model, leading), 0);
	model_unlock(f.model);
}

/* Let in while it led. */
TEST(nothing_is_changed_once_the_lead_is_lost)
{
	static const struct {
		const char *method, *path, *with;
	} calls[] = {
		{"PUT", "/structure/c0/guard", NULL},
		{"PUT", "/structure/c0/resources/cpu/min", "{'value':30}"},
		{"PUT", "/structure/c0/limits/cpu/boundary", "{'value':11}"},
		{"PUT", "/structure/h0/feed", "{'value':'local'}"},
		{"DELETE", "/structure/container/c0", NULL},
		{"DELETE", "/structure/host/h0", NULL},
		{"PUT", "/structure/container/c0", "{}"},
		{"PUT", "/structure/host/h9", "{}"},
		{"PUT", "/structure/apps/app1", my_app},
		{"PUT", "/structure/container/c0/app1", NULL},
		{"PUT", "/structure/app1/state/running", NULL},
		{"PUT", "/rule/mine", my_rule},
		{"PUT", "/rule/CpuRescaleUp/deactivate", NULL},
		{"DELETE", "/rule/CpuRescaleUp", NULL},
		{"PUT", "/service/guardian", "{'EVENT_TIMEOUT':30}"},
		{"PUT", "/user/u0", "{}"},
	};

	start();
	set_leading(false);
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		ask(calls[i].method, calls[i].path, calls[i].with);
		if (status != 503)
			TEST_FAIL("%s %s: %ld %s", calls[i].method, calls[i].path, status, body);
		CHECK(strstr(body, "No controller leads at the moment"));
	}
	ask("GET", "/structure/c0", NULL);
	CHECK_INT(status, 200);
}

TEST(the_version_of_a_document)
{
	_cleanup_json_ json_t *doc = json_loads(
		"{\"name\":\"h\",\"subtype\":\"host\",\"resources\":{\"cpu\":{\"max\":400,\"free\":"
		"100,\"core_usage_mapping\":{\"0\":{\"free\":100}}},\"disks\":{\"d\":{\"max_read\":5,"
		"\"free_read\":3}}},\"list\":[1,2],\"_rev\":\"1-a\"}",
		0, NULL);
	_cleanup_json_ json_t *same = json_loads(
		"{\"list\":[1.0,2],\"resources\":{\"disks\":{\"d\":{\"free_read\":1,\"max_read\":5.0}},"
		"\"cpu\":{\"free\":7,\"max\":400}},\"subtype\":\"host\",\"name\":\"h\"}",
		0, NULL);
	uint64_t version = document_version(DB_STRUCTURES, doc);

	CHECK(version == document_version(DB_STRUCTURES, same));
	json_array_set_new(json_object_get(same, "list"), 0, json_integer(2));
	json_array_set_new(json_object_get(same, "list"), 1, json_integer(1));
	CHECK(version != document_version(DB_STRUCTURES, same));
	json_object_set_new(doc, "more", json_null());
	CHECK(version != document_version(DB_STRUCTURES, doc));
	json_object_del(doc, "more");
	CHECK(version == document_version(DB_STRUCTURES, doc));
	/* The same words elsewhere. */
	json_object_set_new(doc, "name", json_string("host"));
	json_object_set_new(doc, "subtype", json_string("h"));
	CHECK(version != document_version(DB_STRUCTURES, doc));
}

TEST(what_comes_in_without_a_body_is_refused)
{
	start();
	refused("/user/u2", "{}", 400, "user");
	refused("/user/u2", "{'user':[]}", 400, "user");
	refused("/structure/apps/a2", "{}", 400, "app");
}

/* --- page by page --- */

/* Adds applications a000, a001, ... to the two containers and the host. */
static void add_applications(unsigned n)
{
	model_lock(f.model);
	for (unsigned i = 0; i < n; i++) {
		struct structure *s;
		char name[16];

		/* Not in the order of their names. */
		snprintf(name, sizeof(name), "a%03u", i * 7 % n);
		s = structure_new(name, STRUCTURE_APPLICATION);
		CHECK(s);
		s->guard = i % 2;
		CHECK_INT(model_add(f.model, s), 0);
	}
	model_unlock(f.model);
}

/* Follows Link from `path` on; the names, each with a comma. Caller frees. */
static char *follow(const char *path, unsigned *ret_pages, const char *want_total)
{
	char next[512], *names = strdup("");

	snprintf(next, sizeof(next), "%s", path);
	for (*ret_pages = 0; *next; ++*ret_pages) {
		_cleanup_json_ json_t *page = get(next);
		const char *link = header_of_answer("Link");
		json_t *doc;
		size_t i;

		CHECK(*ret_pages < 1000);
		CHECK_STR(header_of_answer("X-Total-Count"), want_total);
		json_array_foreach(page, i, doc) {
			char *more;

			CHECK(asprintf(&more, "%s%s,", names,
				       json_string_value(json_object_get(doc, "name"))) > 0);
			free(names);
			names = more;
		}
		if (link) {
			const char *end = strstr(link, ">; rel=\"next\"");

			CHECK(*link == '<' && end);
			snprintf(next, sizeof(next), "%.*s", (int)(end - link - 1), link + 1);
		} else {
			*next = '\0';
		}
	}
	return names;
}

static void sorted(const char *names, size_t want)
{
	_cleanup_free_ char *copy = strdup(names);
	char *save, *name = strtok_r(copy, ",", &save), *before = NULL;
	size_t n = 0;

	for (; name; before = name, name = strtok_r(NULL, ",", &save), n++)
		if (before && strcmp(before, name) >= 0)
			TEST_FAIL("%s comes before %s", before, name);
	CHECK_INT(n, want);
}

TEST(collections_page_by_page)
{
	static const struct {
		const char *all, *paged, *total;
		unsigned n, pages;
	} cases[] = {
		{"/structure/", "/structure/?limit=10", "103", 103, 11},
		{"/structure/", "/structure?limit=103", "103", 103, 1},
		{"/structure/?subtype=application", "/structure/?limit=7&subtype=application",
		 "100", 100, 15},
		{"/structure/?subtype=container", "/structure/?limit=1&subtype=container", "2", 2,
		 2},
		{"/structure/?guard=true", "/structure/?guard=true&limit=20", "50", 50, 3},
		{"/structure/?host=h0", "/structure/?host=h0&limit=2", "3", 3, 2},
		{"/structure/?host=h0&subtype=container",
		 "/structure/?host=h0&limit=1&subtype=container", "2", 2, 2},
		{"/structure/?host=nobody", "/structure/?host=nobody&limit=3", "0", 0, 1},
		{"/structure/?subtype=nothing", "/structure/?subtype=nothing&limit=3", "0", 0, 1},
	};

	start();
	add_applications(100);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned pages;
		_cleanup_free_ char *all = follow(cases[i].all, &pages, cases[i].total);

		CHECK_INT(pages, 1);
		sorted(all, cases[i].n);
		_cleanup_free_ char *paged = follow(cases[i].paged, &pages, cases[i].total);

		CHECK_STR(paged, all);
		CHECK_INT(pages, cases[i].pages);
	}
}

TEST(rules_and_services_page_by_page)
{
	char total[24];
	unsigned pages;

	start();
	snprintf(total, sizeof(total), "%zu", json_object_size(f.model->rules));
	_cleanup_free_ char *all = follow("/rule/", &pages, total);
	_cleanup_free_ char *paged = follow("/rule/?limit=3", &pages, total);
	sorted(all, json_object_size(f.model->rules));
	CHECK_STR(paged, all);
	CHECK_INT(pages, (json_object_size(f.model->rules) + 2) / 3);
	json_t *found = get("/rule/?resource=mem&generates=requests&active=true");

	CHECK_INT(json_array_size(found), 2);
	CHECK_STR(header_of_answer("X-Total-Count"), "2");
	json_decref(found);
	found = get("/rule/?generates=&active=false");
	CHECK_INT(json_array_size(found), 2);
	json_decref(found);
	snprintf(total, sizeof(total), "%zu", json_object_size(f.model->services));
	_cleanup_free_ char *services = follow("/service/?limit=2", &pages, total);

	sorted(services, json_object_size(f.model->services));
}

TEST(users_page_by_page)
{
	unsigned pages;

	start();
	model_lock(f.model);
	for (int i = 0; i < 70; i++) {
		char name[16];

		snprintf(name, sizeof(name), "u%03d", i * 3 % 70);
		CHECK_INT(model_add(f.model, structure_new(name, STRUCTURE_USER)), 0);
	}
	model_unlock(f.model);
	_cleanup_free_ char *all = follow("/user/", &pages, "70");
	_cleanup_free_ char *paged = follow("/user/?limit=35", &pages, "70");

	sorted(all, 70);
	CHECK_STR(paged, all);
	CHECK_INT(pages, 2);
	ask_if(condition("If-None-Match", "/user/u003"), "GET", "/user/u003", NULL);
	CHECK_INT(status, 304);
}

/* What goes or comes between two pages moves nothing else. */
TEST(a_page_begins_where_the_last_one_ended)
{
	json_t *page;

	start();
	add_applications(10);
	page = get("/structure/?limit=4&subtype=application");
	json_decref(page);
	model_lock(f.model);
	model_remove(f.model, model_structure(f.model, "a001"));
	model_remove(f.model, model_structure(f.model, "a003"));
	model_unlock(f.model);
	page = get("/structure/?limit=4&subtype=application&start=a003");
	CHECK_STR(json_string_value(json_object_get(json_array_get(page, 0), "name")), "a004");
	CHECK_INT(json_array_size(page), 4);
	json_decref(page);
	/* A name that has to be encoded. */
	model_lock(f.model);
	CHECK_INT(model_add(f.model, structure_new("a b&c", STRUCTURE_APPLICATION)), 0);
	model_unlock(f.model);
	page = get("/structure/?limit=1&subtype=application");
	json_decref(page);
	CHECK(strstr(header_of_answer("Link"), "start=a%20b%26c"));
}

TEST(bad_pages_are_refused)
{
	static const char *const paths[] = {
		"/structure/?limit=0",     "/structure/?limit=x",     "/structure/?limit=-1",
		"/structure/?limit=10001", "/rule/?limit=",           "/service/?limit=1.5",
		"/user/?limit=0",          "/rule/?active=perhaps",   "/structure/?guard=2",
		"/decision/?limit=0",      "/decision/?start=newest", "/decision/?resource=gpu",
	};

	start();
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		ask("GET", paths[i], NULL);
		if (status != 400)
			TEST_FAIL("%s: %ld %s", paths[i], status, body);
	}
}

TEST(decisions_page_by_page)
{
	unsigned long before = 100000;
	char next[256] = "/decision/?structure=c0&limit=7";
	size_t n = 0;

	start();
	for (int i = 0; i < 60; i++) {
		struct decision decision;

		decision_init(&decision);
		snprintf(decision.structure, sizeof(decision.structure), "c%d", i % 3);
		snprintf(decision.outcome, sizeof(decision.outcome), i % 2 ? "applied" : "failed");
		snprintf(decision.origin, sizeof(decision.origin), "guardian");
		decision.resource = i % 4 == 0 ? EBB_MEM : EBB_CPU;
		audit_add(f.audit, &decision);
	}
	while (*next) {
		_cleanup_json_ json_t *page = get(next);
		const char *link = header_of_answer("Link");
		json_t *doc;
		size_t i;

		CHECK_STR(header_of_answer("X-Total-Count"), "20");
		json_array_foreach(page, i, doc) {
			unsigned long id = (unsigned long)number_at(doc, "id");

			CHECK(id < before);
			before = id;
			n++;
		}
		CHECK(n <= 20);
		snprintf(next, sizeof(next), "%.*s", link ? (int)strcspn(link + 1, ">") : 0,
			 link ? link + 1 : "");
	}
	CHECK_INT(n, 20);
	json_decref(get("/decision/?outcome=applied&limit=1"));
	CHECK_STR(header_of_answer("X-Total-Count"), "30");
	json_decref(get("/decision/?resource=mem&origin=guardian"));
	CHECK_STR(header_of_answer("X-Total-Count"), "15");
	CHECK(!header_of_answer("Link"));
	json_decref(get("/decision/?origin=api"));
	CHECK_STR(header_of_answer("X-Total-Count"), "0");
}

TEST_MAIN()
