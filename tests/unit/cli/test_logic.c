/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "logic.h"
#include "ebb/cleanup.h"

static char *got;

static void cleanup(void *unused)
{
	free(got);
	got = NULL;
}

static const char *said(const char *text)
{
	_cleanup_json_ json_t *logic = json_loads(text, JSON_DECODE_ANY, NULL);

	cleanup(NULL);
	test_at_end(cleanup, NULL);
	CHECK(logic);
	got = logic_to_text(logic);
	return got;
}

TEST(rules_read_as_sentences)
{
	CHECK_STR(
		said("{\"and\":[{\">\":[{\"var\":\"cpu.structure.cpu.usage\"},{\"var\":\"cpu.limits."
		     "cpu.upper\"}]},{\"<\":[{\"var\":\"cpu.limits.cpu.upper\"},{\"var\":\"cpu."
		     "structure.cpu.max\"}]}]}"),
		"usage > upper and upper < max");
	CHECK_STR(said("{\"and\":[{\">=\":[{\"var\":\"events.scale.up\"},2]},{\"<=\":[{\"var\":"
		       "\"events.scale.down\"},2]}]}"),
		  "up events >= 2 and down events <= 2");
}

TEST(parentheses_where_they_matter)
{
	CHECK_STR(said("{\"<\":[{\"/\":[{\"var\":\"a\"},{\"+\":[{\"var\":\"b\"},1]}]},0.4]}"),
		  "a / (b + 1) < 0.4");
	CHECK_STR(said("{\"and\":[{\"or\":[true,false]},1]}"), "(true or false) and 1");
	CHECK_STR(said("{\"-\":[5,{\"-\":[3,2]}]}"), "5 - (3 - 2)");
}

TEST(other_operators_look_like_functions)
{
	CHECK_STR(said("{\"if\":[{\"var\":\"x\"},1,2]}"), "if(x, 1, 2)");
	CHECK_STR(said("{\"!\":{\"var\":\"x\"}}"), "not x");
	CHECK_STR(said("{\"-\":[5]}"), "-(5)");
	CHECK_STR(said("{\"var\":[\"x\",0]}"), "var(\"x\", 0)");
	CHECK_STR(said("[1,2]"), "[1,2]");
}

TEST_MAIN()
