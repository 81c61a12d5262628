/* SPDX-License-Identifier: Apache-2.0 */
#include "quoted_json.h"
#include "test.h"

#include "view.h"
#include "ebb/cleanup.h"

static const char web[] =
	"{'name':'web','host':'h0','guard':true,'resources':{'cpu':{'max':200,'min':20,'current':150,"
	"'guard':true},'mem':{'max':1024,'min':64,'guard':false}},'live':{'connected':true,"
	"'throttled':0.25,'resources':{'cpu':{'usage':143.2,'upper':135,'lower':120}}}}";

TEST(a_document_becomes_a_view)
{
	_cleanup_json_ json_t *doc = parse_text(web);
	struct structure_view view;

	view_read(doc, &view);
	CHECK_STR(view.name, "web");
	CHECK(view.guard && view.connection == CONNECTION_UP);
	CHECK_NEAR(view.throttled, 0.25, 1e-9);
	CHECK_INT(view.resources[EBB_CPU].current, 150);
	CHECK_INT(view.resources[EBB_CPU].upper, 135);
	CHECK_NEAR(view.resources[EBB_CPU].usage, 143.2, 1e-9);
	CHECK(view.resources[EBB_MEM].present && !view.resources[EBB_MEM].guard);
	CHECK_INT(view.resources[EBB_MEM].current, -1);
	CHECK(isnan(view.resources[EBB_MEM].usage));
	CHECK(!view.resources[EBB_DISK_READ].present);
}

TEST(a_host_is_away_only_where_the_document_says_so)
{
	_cleanup_json_ json_t *away = parse_text("{'name':'a','live':{'connected':false}}");
	_cleanup_json_ json_t *of_a_standby = parse_text("{'name':'a','live':{}}");
	_cleanup_json_ json_t *null = parse_text("{'name':'a','live':{'connected':null}}");
	struct structure_view view;

	view_read(away, &view);
	CHECK_INT(view.connection, CONNECTION_AWAY);
	view_read(of_a_standby, &view);
	CHECK_INT(view.connection, CONNECTION_UNKNOWN);
	view_read(null, &view);
	CHECK_INT(view.connection, CONNECTION_UNKNOWN);
}

TEST(a_document_of_wrong_types_reads_as_not_known)
{
	_cleanup_json_ json_t *doc =
		parse_text("{'name':7,'guard':'yes','resources':[1],'live':{'throttled':'x',"
			   "'resources':{'cpu':3}}}");
	struct structure_view view;

	view_read(doc, &view);
	CHECK_STR(view.name, "");
	CHECK(!view.guard && !view.resources[EBB_CPU].present);
	CHECK(isnan(view.throttled) && isnan(view.resources[EBB_CPU].usage));
}

TEST(most_cpu_comes_first_and_idle_ones_keep_their_place)
{
	_cleanup_json_ json_t *docs =
		parse_text("[{'name':'b','live':{'resources':{'cpu':{'usage':0.3}}}},"
			   "{'name':'a','live':{'resources':{'cpu':{'usage':0.1}}}},"
			   "{'name':'z','live':{'resources':{'cpu':{'usage':90}}}},{'name':'c'}]");
	_cleanup_json_ json_t *decisions =
		parse_text("[{'structure':'z','id':9},{'structure':'z','id':8},{'structure':'q'}]");
	_cleanup_free_ struct structure_view *views = NULL;
	char *all[] = {NULL}, *some[] = {"[az]", NULL};
	size_t n;

	CHECK_INT(views_read(docs, decisions, all, &views, &n), 0);
	CHECK_INT(n, 4);
	CHECK_STR(views[0].name, "z");
	CHECK_STR(views[1].name, "a");
	CHECK_STR(views[2].name, "b");
	CHECK_STR(views[3].name, "c");
	CHECK_INT(json_get_integer(views[0].decision, "id", 0), 9);
	CHECK(!views[1].decision);
	free(views);
	CHECK_INT(views_read(docs, NULL, some, &views, &n), 0);
	CHECK_INT(n, 2);
	CHECK_STR(views[1].name, "a");
}

TEST(decisions_in_few_words)
{
	_cleanup_json_ json_t *done =
		parse_text("{'resource':'cpu','current':150,'applied':180,'outcome':'applied'}");
	_cleanup_json_ json_t *refused =
		parse_text("{'resource':'mem','current':512,'applied':null,'outcome':'refused'}");
	char text[80];

	decision_brief(done, text, sizeof(text));
	CHECK_STR(text, "cpu 150>180");
	decision_brief(refused, text, sizeof(text));
	CHECK_STR(text, "mem refused");
}

TEST(bars_show_usage_and_limit)
{
	struct resource_view view = {.max = 200, .current = 100, .usage = 60};
	char text[3 * 10 + 1];

	view_bar(&view, 10, false, text);
	CHECK_STR(text, "###.|.....");
	view.usage = 250;
	view.current = 400;
	view_bar(&view, 10, false, text);
	CHECK_STR(text, "#########|");
	view = (struct resource_view){.max = -1, .current = -1, .usage = NAN};
	view_bar(&view, 10, false, text);
	CHECK_STR(text, "..........");
}

TEST_MAIN()
